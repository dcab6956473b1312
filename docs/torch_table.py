"""Write the table of PyTorch's public names in docs/howto/pytorch-programs.md: `make torch-table`, with PyTorch."""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

PAGE = ROOT / "docs" / "howto" / "pytorch-programs.md"
BEGIN = "<!-- The table is made by `make torch-table`. -->\n"
END = "<!-- The end of the table. -->\n"
PLACES = (
    "torch", "Tensor", "nn", "nn.functional", "nn.init", "nn.utils", "optim", "optim.lr_scheduler", "utils.data",
    "autograd", "func", "linalg", "fft", "special", "distributions",
)  # fmt: skip
#: Names of these have no meaning on a CPU with NumPy's dtypes, or are no programs' business.
WITHOUT_MEANING = ("quantization", "sparse", "there is one device", "PyTorch's compilers", "NumPy has no", "internal",
                   "memory is NumPy's", "named axes")  # fmt: skip


def names_of(torch: Any, place: str) -> tuple[Any, list[str]]:
    """A module or class of PyTorch, and its public names."""
    holder = torch
    if place != "torch":
        for part in place.split("."):
            holder = getattr(holder, part)
    listed = place in (
        "special",
        "fft",
        "distributions",
        "utils.data",
        "optim.lr_scheduler",
        "nn.init",
        "func",
    )
    names = getattr(holder, "__all__", None) if listed else None
    return holder, sorted(n for n in names or dir(holder) if not n.startswith("_"))


def table() -> str:
    """The table."""
    import torch

    import tinygrad_dl.torch as ours
    from tinygrad_dl.torch.left_out import reason

    lines = [
        "| PyTorch | names | implemented | of those that apply to a CPU | left out |",
        "|---|---|---|---|---|",
    ]
    for place in PLACES:
        _, names = names_of(torch, place)
        own, _ = names_of(ours, place)
        missing = Counter(reason(n) or "there is no such name here" for n in names if not hasattr(own, n))
        there = len(names) - sum(missing.values())
        meant = there + sum(n for why, n in missing.items() if not why.startswith(WITHOUT_MEANING))
        why = "; ".join(
            f"{n}: {text.partition(':')[0].partition(';')[0]}" for text, n in missing.most_common()
        )
        lines.append(f"| `{place}` | {len(names)} | {there} | {there / meant:.0%} | {why} |")
    return "\n".join(lines) + "\n"


def text() -> str:
    """The page with a new table."""
    page = PAGE.read_text(encoding="utf-8")
    head, _, rest = page.partition(BEGIN)
    return head + BEGIN + "\n" + table() + "\n" + END + rest.partition(END)[2]


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        PAGE.write_text(text(), encoding="utf-8")
