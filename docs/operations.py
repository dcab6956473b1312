"""The directive `operations`: the page of all operations, written from the registry as the docs are built."""

from __future__ import annotations

import importlib
from itertools import groupby

import docstrings
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

import tinygrad_dl
import tinygrad_dl.fft
import tinygrad_dl.linalg
from tinygrad_dl.op import OPS, Op


def family(op: Op) -> str:
    return op.forward.__module__


def facts(op: Op) -> str:
    """What the registry knows beyond the docstring: which inputs are differentiable, and the convention at kinks."""
    if not op.differentiable:
        return "Not differentiable."
    without = [name for name, rule in zip(op.inputs, op.rules) if rule is None and not op.joint]
    notes = (
        [f"Not differentiable with respect to {', '.join(f'``{name}``' for name in without)}."]
        if without
        else []
    )
    if op.kinks:
        notes.append(f"At kinks: {docstrings.inline(op.kinks)}.")
    return " ".join(notes)


def page() -> list[str]:
    """The page's reStructuredText, one section per family."""
    lines: list[str] = []
    # The registry is in order of definition; the page lists each family together.
    for module, ops in groupby(sorted(OPS.values(), key=family), key=family):
        title = module.rpartition(".")[2]
        about = (importlib.import_module(module).__doc__ or "").splitlines()
        lines += [title.capitalize(), "-" * len(title), "", *docstrings.rst(about[:1]), ""]
        for op in ops:
            name = op.forward.__name__
            namespaces = (tinygrad_dl, tinygrad_dl.linalg, tinygrad_dl.fft)
            public = next((r.__name__ for r in namespaces if getattr(r, name, None) is op.function), module)
            lines += [f".. autofunction:: {public}.{name}", "", f"   {facts(op)}", ""]
    return lines


class Operations(SphinxDirective):
    def run(self) -> list[nodes.Node]:
        return self.parse_text_to_nodes("\n".join(page()), allow_section_headings=True)
