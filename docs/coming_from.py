"""Write docs/coming-from.md from the table of names in tinygrad_dl/vocabulary.py: `make names-table`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tinygrad_dl.vocabulary import TABLE  # noqa: E402

HEAD = """\
# Coming from PyTorch, Keras, NumPy or scikit-learn

`nn` and `optim` have PyTorch's classes, arguments, weight shapes and state-dict names. Tensors follow NumPy and the
Python array API standard: `axis=`, `reshape`, `astype`, `concat`. The tables list what differs. `x` is a Tensor,
`tg` is `tinygrad_dl`, and `F` is `tinygrad_dl.nn.functional`. What the tables do not list has the same name here.

You do not need to learn the tables by heart: an unknown name is answered from them.

```python
>>> import tinygrad_dl as tg
>>> from tinygrad_dl import nn
>>> tg.ones(6).view(2, 3)
Traceback (most recent call last):
    ...
AttributeError: Tensor.view: use x.reshape(2, 3)
>>> nn.Conv2D(16, 3)
Traceback (most recent call last):
    ...
AttributeError: nn.Conv2D: use nn.Conv2d(3, 16, 3); images are (N, C, H, W)

```

What has the same name and behaves differently is explained in [Sharp bits](sharp-bits.md).

A PyTorch program runs as it is with `import tinygrad_dl.torch as torch`: see
[Run PyTorch programs](howto/pytorch-programs.md).
"""


def code(text: str) -> str:
    """Each expression of a list as code, one per line."""
    depth, expressions = 0, [""]
    for part in re.split(r"([()\[\]]|, )", text):
        depth += (part in ("(", "[")) - (part in (")", "]"))
        if part == ", " and not depth:
            expressions.append("")
        elif part:
            expressions[-1] += part
    return ("<br>" if len(expressions) < 4 else ", ").join(f"`{e}`" for e in expressions)


def page() -> Iterator[str]:
    """The lines of the page."""
    yield HEAD
    for library, sections in TABLE.items():
        yield f"## {library}\n"
        for title, rows in sections.items():
            yield f"### {title}\n"
            yield f"| {library} | here | |\n|---|---|---|"
            for row in rows:
                first = re.sub(r"^\w+\.(\w+).*", r"\1", row.there)
                here = row.here.replace("{name}", first)
                here = here if here == "the same" else code(here) if here else "nothing"
                yield f"| {code(row.there)} | {here} | {row.note} |"
            yield ""


def text() -> str:
    """The whole page."""
    return "\n".join(page()).rstrip() + "\n"


if __name__ == "__main__":
    (ROOT / "docs" / "coming-from.md").write_text(text(), encoding="utf-8")
    print("docs/coming-from.md")
