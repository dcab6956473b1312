"""What the reference says of an operation, from the registry; and the titles of subjects."""

from __future__ import annotations

import docstrings

import tinygrad_dl
import tinygrad_dl.fft
import tinygrad_dl.linalg
from tinygrad_dl.op import OPS, Op

# File of a subject -> its title, where the name of the file is not one.
TITLES = {
    "accumulate": "Accumulation in float32",
    "augment": "Augmentation",
    "check_op": "Checking an operation",
    "conv": "Convolution",
    "diagonals": "Diagonals and traces",
    "doctor": "Checking a backward pass",
    "einsum": "Einstein summation",
    "elementwise": "Elementwise arithmetic",
    "fourier": "Fourier transforms",
    "gradcheck": "Checking gradients",
    "grid": "Sampling on grids",
    "index": "Indexing",
    "join": "Joining and splitting",
    "linalg": "Linear systems",
    "linear": "Linear and bilinear maps",
    "lazy": "Lazy layers",
    "loader": "Data loading",
    "logic": "Comparison, logic and bits",
    "matmul": "Matrix products and contractions",
    "norms": "Norms, rank and least squares",
    "prepare": "Preparation",
    "recurrent": "Recurrent layers",
    "reduce": "Reductions",
    "report": "Results",
    "resize": "Resizing",
    "rounding": "Rounding and bounds",
    "rnn": "Sequences of different lengths",
    "scan": "Cumulative sums and recurrences",
    "sets": "Distinct values",
    "shape": "Shapes",
    "sort": "Sorting and searching",
    "special": "Exponentials and logarithms",
    "spectral": "Eigenvalues and singular values",
    "swa_utils": "Weight averaging",
    "triangular": "Cholesky and QR",
    "trigonometry": "Trigonometry",
    "unfold": "Windows as columns",
    "upsample": "Upsampling",
}


def family(op: Op) -> str:
    return op.forward.__module__


def title(module: str) -> str:
    """The heading of a subject, such as a family of operations, from the name of its module."""
    name = module.rpartition(".")[2]
    return TITLES.get(name, name.replace("_", " ").capitalize())


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
