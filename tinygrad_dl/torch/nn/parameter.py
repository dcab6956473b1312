"""Parameter and Buffer with PyTorch's methods."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import nn
from tinygrad_dl.nn import parameter as core
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import boundary
from tinygrad_dl.torch.tensor import Tensor, _rebuilt


class Parameter(Tensor, core.Parameter):
    """A Tensor that a module trains; it shares the memory of the Tensor that it is made of."""

    def __init__(self, data: Any = None, requires_grad: bool = True, name: Any = None) -> None:
        self._data = (
            np.zeros(0, np.float32)
            if data is None
            else data._data
            if isinstance(data, Value)
            else np.asarray(data)
        )
        self.node, self._name = None, None
        if not self._data.flags.writeable:
            self._data = self._data.copy()
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return "Parameter containing:\n" + super().__repr__()

    def __str__(self) -> str:
        return repr(self)


class Buffer(Tensor, core.Buffer):
    """A Tensor of a module's state that is not trained."""

    def __init__(self, data: Any = None, *, persistent: bool = True) -> None:
        self._data = (
            np.zeros(0, np.float32)
            if data is None
            else data._data
            if isinstance(data, Value)
            else np.asarray(data)
        )
        self.node, self._name, self.persistent = None, None, persistent

    def __reduce__(self) -> Any:
        return _buffer, (self._data, self.persistent)

    def __copy__(self) -> Any:
        return _buffer(self._data, self.persistent)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo[id(self)] = copied = _buffer(self._data.copy(), self.persistent)
        return copied


def _buffer(data: Any, persistent: bool) -> Any:
    made = _rebuilt(Buffer, data._data if isinstance(data, Value) else data, False, None)
    made.persistent = persistent
    return made


# The base with __dict__ comes first, so that `__class__` can become that of a parameter with values; what a parameter
# without values does is taken over name by name.
_WITHOUT_VALUES = {
    name: value for name, value in vars(core.Uninitialized).items() if name not in ("__slots__", "__doc__")
}


def _nothing(self: Any) -> Any:
    """No values, as PyTorch's `.data` of a parameter without values: writing to it changes nothing."""
    return boundary.made(np.zeros(0, np.float32))


class UninitializedParameter(Parameter, core.Uninitialized):
    """A parameter of a lazy layer before the first input."""

    becomes = Parameter
    locals().update(_WITHOUT_VALUES, data=property(_nothing, vars(Tensor)["data"].fset))

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        core._start(self, boundary.lower(dtype))
        self.requires_grad_(requires_grad)


class UninitializedBuffer(Buffer, core.Uninitialized):
    """A buffer of a lazy layer before the first input."""

    becomes = Buffer
    locals().update(_WITHOUT_VALUES, data=property(_nothing, vars(Tensor)["data"].fset))

    def __init__(self, requires_grad: bool = False, device: Any = None, dtype: Any = None) -> None:
        core._start(self, boundary.lower(dtype))
        self.persistent = True


KINDS = {
    nn.Parameter: Parameter,
    nn.Buffer: Buffer,
    nn.UninitializedParameter: UninitializedParameter,
    nn.UninitializedBuffer: UninitializedBuffer,
}
for _core, _ours in KINDS.items():
    boundary.bind(_ours, _core)


def adopted(x: Any) -> Any:
    """A parameter or buffer of the core as one of this layer, with the same array, node and hooks."""
    kind = KINDS.get(type(x))
    if kind is None:
        return x
    made = boundary._moved(x, kind)
    if isinstance(made, core.Buffer):
        made.persistent = x.persistent
    if made.node is not None:
        made.node = None
        made.requires_grad_()
    return made
