"""How a walk back through the graph is started: from which gradient, and on arrays or on Tensors."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import calls
from tinygrad_dl.backend import quietly
from tinygrad_dl.errors import GraphError, ShapeError
from tinygrad_dl.graph import Node, Value, walk
from tinygrad_dl.modes import enable_grad, lenient_broadcast


def seed_for(output: Value, gradient: Any, what: str) -> Any:
    """The gradient that a walk starts from: the given one, checked, or one for a single element."""
    data = output._data
    if gradient is None:
        if data.size != 1:
            raise GraphError(
                f"{what}: a gradient is needed for a result of shape {data.shape}. "
                "Reduce it to one number first, such as with .sum() or .mean(), or pass the gradient."
            )
        return np.ones(data.shape, data.dtype)
    seed: Any = gradient if isinstance(gradient, Value) else calls.asarray_of(gradient)
    if seed.shape != data.shape:
        raise ShapeError(f"{what}: the gradient has the shape {seed.shape}; the result has {data.shape}")
    return seed if seed.dtype == data.dtype else seed.astype(data.dtype)


def run(roots: list[tuple[Node, Any]], *, retain: bool, recording: bool, **how: Any) -> None:
    """Walk the graph back from the roots, on arrays or, to record the gradient itself, on Tensors."""
    # What is wrong in a gradient shows in its values; NumPy's warnings would name no line of the user's.
    if recording:
        with enable_grad(), lenient_broadcast():
            quietly(walk, roots, retain=retain, wrap=calls.wrap, **how)
    else:
        quietly(walk, [(n, g._data if isinstance(g, Value) else g) for n, g in roots], retain=retain, **how)
