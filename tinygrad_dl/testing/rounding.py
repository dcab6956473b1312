"""Where a function rounds float64 values to a coarser dtype: differences of its results tell little."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import autograd
from tinygrad_dl.anomaly import Origin
from tinygrad_dl.creation import asarray
from tinygrad_dl.graph import Node
from tinygrad_dl.modes import Watcher
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, Input

if TYPE_CHECKING:
    from tinygrad_dl.op import Op
    from tinygrad_dl.testing.gradcheck import Problem


class RoundingWatcher(Watcher):
    """Notes each operation and each rule in the graph whose result is coarser than a value it was computed from."""

    def __init__(self) -> None:
        super().__init__()
        self.places: dict[str, np.dtype] = {}  # each place once, in order

    def after_forward(self, op: Op, inputs: Sequence[Input], options: Sequence[object], result: Any) -> None:
        """An operation ran."""
        floats = [x.dtype for x in inputs if isinstance(x, Tensor) and x.node is not None]
        self._compare(op.name, floats, result.dtype)

    def after_backward(self, node: Node, g: Array, contributions: Any) -> None:
        """A rule ran: what it gives an input is cast to the dtype of that input."""
        for parent, c in zip(node.parents, contributions):
            if c is not None and type(parent) is Node:
                self._compare(f"the gradient of {node.op.name}", [c.dtype], parent.dtype)

    def _compare(self, what: str, given: list[np.dtype], made: np.dtype) -> None:
        coarser = [
            d
            for d in given
            if d.kind in "fc" and made.kind in "fc" and np.finfo(d).bits > np.finfo(made).bits
        ]
        if coarser:
            place = f"{coarser[0]} is rounded to {made} by {what}, called at {Origin(None).place}"
            self.places.setdefault(place, made)


def _watched(problem: Problem) -> dict[str, np.dtype]:
    watcher = RoundingWatcher()
    with problem.arguments(problem.arrays, requires_grad=True) as (values, tensors):
        if problem.backward is not None:
            outputs = problem.outputs(values)
        else:
            with watcher:
                outputs = problem.outputs(values)
                live = [o for o in outputs if isinstance(o, Tensor) and o.requires_grad]
                seeds = [asarray(np.ones(o.shape, o.dtype)) for o in live]
                if live:
                    autograd.grad(live, tensors, seeds, True, allow_unused=True)
        for dtype in [np.asarray(o._data if isinstance(o, Tensor) else o).dtype for o in outputs]:
            if np.finfo(dtype).bits < 64:
                watcher.places.setdefault(f"the function returns {dtype}", dtype)
    return watcher.places


def places(problem: Problem) -> list[str]:
    """The places where a function rounds, in words; none where it computes in float64 throughout."""
    return list(_watched(problem))


def dtypes(problem: Problem) -> list[np.dtype]:
    """The dtypes that a function rounds to."""
    return list(_watched(problem).values())
