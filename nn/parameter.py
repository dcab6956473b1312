"""Parameter and Buffer: the Tensors that a module owns, trained or only saved."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.creation import asarray
from tinygrad_dl.tensor import Tensor, rebuild
from tinygrad_dl.typing import ArrayLike


class Parameter(Tensor):
    """A Tensor that a module trains: optimizers find it, state_dict saves it. Requires grad by default.

    What is computed from it is a plain Tensor.
    >>> Parameter([1.0, 2.0])
    Parameter([1., 2.], requires_grad=True)
    """

    __slots__ = ()

    def __init__(self, data: ArrayLike, requires_grad: bool = True, name: str | None = None) -> None:
        super().__init__(data, requires_grad=requires_grad, name=name)


class Buffer(Tensor):
    """A Tensor that belongs to a module's state but is not trained, such as a running mean.

    `persistent=False`: state_dict leaves it out.
    >>> Buffer([0.0])
    Buffer([0.])
    """

    __slots__ = ("persistent",)
    persistent: bool

    def __init__(self, data: ArrayLike, persistent: bool = True, name: str | None = None) -> None:
        super().__init__(data, name=name)
        self.persistent = persistent

    # Tensor's own copying and pickling would lose `persistent`.
    def __reduce__(self) -> Any:
        return _rebuild_buffer, (self._data, self.name, self.persistent)

    def __copy__(self) -> Buffer:
        return _rebuild_buffer(self._data, self.name, self.persistent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Buffer:
        memo[id(self)] = copied = _rebuild_buffer(self._data.copy(), self.name, self.persistent)
        return copied


def _rebuild_buffer(data: np.ndarray, name: str | None, persistent: bool) -> Buffer:
    buffer: Buffer = rebuild(Buffer, data, False, name, None)
    buffer.persistent = persistent
    return buffer


def as_parameter(value: ArrayLike) -> Parameter:
    """The value as a Parameter; a Parameter is returned unchanged."""
    return value if isinstance(value, Parameter) else Parameter(asarray(value))
