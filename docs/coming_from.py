"""Write docs/coming-from.md from the table of names in tinygrad_dl/vocabulary.py: `make names-table`."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import coming_from_ja  # noqa: E402

from tinygrad_dl.vocabulary import TABLE, expressions  # noqa: E402

EXAMPLE = """\
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
"""

HEAD = """\
# Coming from PyTorch, Keras, NumPy or scikit-learn

`nn` and `optim` have PyTorch's classes, arguments, weight shapes and state-dict names. Tensors follow NumPy and the
Python array API standard: `axis=`, `reshape`, `astype`, `concat`. The tables list what differs. `x` is a Tensor,
`tg` is `tinygrad_dl`, and `F` is `tinygrad_dl.nn.functional`. What the tables do not list has the same name here.

You do not need to learn the tables by heart: an unknown name is answered from them.

{example}
What has the same name and behaves differently is explained in [Sharp bits](sharp-bits.md).

A PyTorch program runs as it is with `import tinygrad_dl.torch as torch`: see
[Run PyTorch programs](howto/pytorch-programs.md).
"""
# Language -> the file, its first part, and a translation of headings and remarks.
PAGES: dict[str, tuple[str, str, dict[str, str]]] = {
    "en": ("coming-from.md", HEAD, {}),
    "ja": ("ja/coming-from.md", coming_from_ja.HEAD, coming_from_ja.TEXTS),
}


def code(text: str) -> str:
    """Each expression of a list as code, one per line."""
    parts = expressions(text)
    return ("<br>" if len(parts) < 4 else ", ").join(f"`{part}`" for part in parts)


def page(language: str) -> Iterator[str]:
    """The lines of the page."""
    _, head, texts = PAGES[language]

    def said(text: str) -> str:
        if texts and text and text not in texts:
            raise LookupError(f"docs/coming_from_{language}.py has no translation of {text!r}")
        return texts.get(text, text)

    yield head.replace("{example}", EXAMPLE)
    for library, sections in TABLE.items():
        yield f"## {library}\n"
        for title, rows in sections.items():
            yield f"### {said(title)}\n"
            yield f"| {library} | {said('here')} | |\n|---|---|---|"
            for row in rows:
                first = re.sub(r"^\w+\.(\w+).*", r"\1", row.there)
                here = row.here.replace("{name}", first)
                here = said(here) if here == "the same" else code(here) if here else said("nothing")
                yield f"| {code(row.there)} | {here} | {said(row.note)} |"
            yield ""


def text(language: str = "en") -> str:
    """The whole page."""
    return "\n".join(page(language)).rstrip() + "\n"


if __name__ == "__main__":
    for language, (name, _, _) in PAGES.items():
        (ROOT / "docs" / name).write_text(text(language), encoding="utf-8")
        print(f"docs/{name}")
