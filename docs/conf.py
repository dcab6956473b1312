"""Sphinx settings. `make docs` builds with warnings as errors."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import docstrings  # noqa: E402  docs/docstrings.py, found by the line above
import operations  # noqa: E402

import tinygrad_dl  # noqa: E402

project = "tinygrad_dl"
author = "The tinygrad_dl authors"
copyright = "2026, " + author
version = release = tinygrad_dl.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc"]
myst_enable_extensions = ["colon_fence", "deflist"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
root_doc = "index"

smartquotes = False  # three dots and two hyphens mean themselves in formulas
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # an override that says nothing new is not listed again
autodoc_typehints = "none"  # the docstring names the shapes, which says more than Any
autodoc_default_options = {"members": True}

html_theme = "furo"
html_title = f"tinygrad_dl {version}"
html_copy_source = False
html_extra_path = ["gallery/player.html"]  # the gallery shows it in a frame


def operations_once(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave the operations out of Tensor's page: they stand on their own."""
    return True if what == "class" and hasattr(obj, "op") else None


def setup(app: Any) -> None:
    app.connect("autodoc-skip-member", operations_once)
    app.connect("autodoc-process-docstring", docstrings.as_rst)
    app.add_directive("operations", operations.Operations)
