"""What the reference says of an operation, from the registry."""

from __future__ import annotations

import docstrings

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


def in_families() -> list[Op]:
    """All operations, each family together: the registry is in order of definition."""
    return sorted(OPS.values(), key=family)


def public_name(op: Op) -> str:
    """Where an operation is imported from."""
    name = op.forward.__name__
    namespaces = (tinygrad_dl, tinygrad_dl.linalg, tinygrad_dl.fft)
    public = next(
        (r.__name__ for r in namespaces if getattr(r, name, None) is op.function), op.forward.__module__
    )
    return f"{public}.{name}"
