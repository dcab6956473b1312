"""The tutorials as notebooks: `make notebooks` writes them to notebooks/, and the site offers them for download."""

from __future__ import annotations

import argparse
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import quote

DOCS = Path(__file__).resolve().parent
FOLDERS = {"tutorials": "", "ja": ".ja"}  # folder -> what its notebooks have before the ending

# The sentence that offers the notebook, with the space before it; and links to other pages.
DOWNLOAD = re.compile(r"\s*\{nb-download\}`[^`]*`[.。]?")
LINK = re.compile(r"\]\(((?![a-z]+:)[^)#]+\.md)(#[^)]*)?\)")

INSTALL = """\
# Installs tinygrad_dl where it is missing. source: a clone of the repository, or anything else that pip takes.
source = {source!r}
try:
    import tinygrad_dl
except ImportError:
    %pip install --quiet "{{source}}[viz,train,data]\""""


def tutorials() -> list[Path]:
    """The pages that are notebooks in Markdown."""
    pages = sorted(page for folder in FOLDERS for page in (DOCS / folder).glob("*.md"))
    return [page for page in pages if "```{code-cell}" in page.read_text(encoding="utf-8")]


def name_of(page: Path) -> str:
    """The name of a page's notebook; those of both languages can be in one folder."""
    return f"{page.stem}{FOLDERS[page.parent.name]}.ipynb"


def notebook(page: Path, folder: Path, site: Path | None, source: str) -> Any:
    """A page as a notebook in `folder`, whose links lead to other notebooks, and to pages of `site` or of docs/."""
    import nbformat
    from myst_nb.core.read import read_myst_markdown_notebook

    made = read_myst_markdown_notebook(page.read_text(encoding="utf-8"))
    named = {other.resolve(): name_of(other) for other in tutorials()}

    def lead(match: re.Match[str]) -> str:
        target = (page.parent / match[1]).resolve()
        if target in named:
            return f"]({named[target]})"
        if site is not None:
            target = site / target.relative_to(DOCS).with_suffix(".html")
        return f"]({quote(Path(os.path.relpath(target, folder)).as_posix())}{match[2] or ''})"

    for cell in made.cells:
        if cell.cell_type == "markdown":
            cell.source = LINK.sub(lead, DOWNLOAD.sub("", cell.source)).strip()
            left = re.search(r"^:::|\{[a-z-]+\}`|^```\{", cell.source, re.MULTILINE)
            if left:
                raise ValueError(f"{page}: expected Markdown that notebooks know, got {left[0]!r}")
    made.cells = [cell for cell in made.cells if cell.source]
    made.cells.insert(1, nbformat.v4.new_code_cell(INSTALL.format(source=source)))
    for number, cell in enumerate(made.cells):
        cell["id"] = f"cell-{number}"  # the same in each build
    made.metadata = {"kernelspec": made.metadata.get("kernelspec", {}), "language_info": {"name": "python"}}
    made.nbformat, made.nbformat_minor = 4, 5
    nbformat.validate(made)
    return made


def write(folder: Path, site: Path | None = None) -> list[Path]:
    """Write the notebooks to a folder; `site`: the folder of the built pages that their links lead to."""
    import nbformat

    folder.mkdir(parents=True, exist_ok=True)
    clone = DOCS.parent
    source = Path(os.path.relpath(clone, folder)).as_posix() if site is None else "path/to/the/clone"
    written = []
    for page in tutorials():
        path = folder / name_of(page)
        nbformat.write(notebook(page, folder.resolve(), site, source), path)
        written.append(path)
    return written


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=DOCS.parent / "notebooks")
    chosen = parser.parse_args().folder
    made = write(chosen)
    print(f"notebooks: {len(made)} in {chosen}")
