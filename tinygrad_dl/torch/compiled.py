"""What torch.compile makes: a compiled function of the core whose results are this layer's Tensors."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.compiler import compiled as core
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import is_ours, lift


class Compiled(core.Compiled[..., Any]):
    """A compiled function: called as the original, it gives the same results and the same side effects."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        result = super().__call__(*args, **kwargs)
        if result is None or is_ours(result):
            return result
        if isinstance(result, Value):
            return _lifted(result)
        found = [_lifted(x) for _, x in leaves(result)]
        return refill(result, iter(found))

    @property
    def _orig_mod(self) -> Any:
        return self._function


def _lifted(x: Any) -> Any:
    """A result of a program, in memory of its own."""
    if is_ours(x) or not isinstance(x, Value):
        return x
    result = lift(x)
    if result._data.base is not None:
        result._data = result._data.copy()
    return result
