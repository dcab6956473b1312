"""Parameter and Buffer: the Tensors that a module owns, trained or only saved; also before they have values."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl import config, graph
from tinygrad_dl.convert import wrap
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import UninitializedError
from tinygrad_dl.graph import Value
from tinygrad_dl.tensor import Tensor, rebuild
from tinygrad_dl.typing import ArrayLike, DTypeLike, Shape


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


# The slot that holds a Tensor's array; uninitialized ones hide it behind a property that raises.
_array: Any = Value.__dict__["_data"]


class Uninitialized(Tensor):
    """Base of the parameters and buffers without values: their dtype is known, their shape is not.

    The array in the slot has that dtype; its shape tells what is known: 0 along an axis that is not, () for nothing.
    """

    __slots__ = ()
    becomes: type[Tensor]

    @property
    def _data(self) -> Any:  # type: ignore[override]
        kind = "buffer" if isinstance(self, Buffer) else "parameter"
        raise UninitializedError(
            f"{f'{self.name}: ' if self.name else ''}this {kind} of a lazy layer has no shape and no values yet. Call "
            "the model once with an example input, or load a state dict."
        )

    @property
    def dtype(self) -> Any:
        """The dtype that the elements will have."""
        return self.form().dtype

    def convert(self, dtype: DTypeLike) -> None:
        """Change the dtype that the elements will have."""
        _put(self, self.form().astype(dtype))

    def form(self) -> np.ndarray:
        """The array that tells the dtype, and what is known of the shape."""
        array: np.ndarray = _array.__get__(self)
        return array

    def expected(self) -> str | None:
        """What is known of the shape, as text, such as "(4, ?)"; None if nothing is."""
        shape = self.form().shape
        return str(tuple(n or "?" for n in shape)).replace("'", "") if shape else None

    def fits(self, shape: Shape) -> bool:
        """Whether the elements may have this shape."""
        known = self.form().shape
        return not known or (len(known) == len(shape) and all(n in (0, m) for n, m in zip(known, shape)))

    def materialize(self, shape: Shape, device: str | None = None, dtype: DTypeLike | None = None) -> None:
        """Become a plain parameter or buffer of zeros, the same object, with its hooks and its place in optimizers."""
        _put(self, np.zeros(shape, self.dtype if dtype is None else dtype))
        self.__class__ = self.becomes  # type: ignore[assignment]

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for the gradient, or with False no longer, from the first input on."""
        if not requires_grad:
            self.node = None
        elif self.node is None:
            self.node = graph.leaf(wrap(self.form()))
            self.node.watch = graph.Watch(self)
        return self

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"

    __str__ = __repr__

    def __reduce__(self) -> Any:
        return _rebuild_uninitialized, (
            type(self), self.form(), self.requires_grad, self.name, getattr(self, "persistent", True),
        )  # fmt: skip

    def __copy__(self) -> Any:
        rebuild, parts = self.__reduce__()
        return rebuild(*parts)

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        memo[id(self)] = copied = self.__copy__()
        return copied


def _put(tensor: Tensor, array: np.ndarray) -> None:
    """Replace a Tensor's array, and in its node what is known of it."""
    _array.__set__(tensor, array)
    if tensor.node is not None:
        tensor.node.shape, tensor.node.dtype = array.shape, array.dtype


class UninitializedParameter(Uninitialized, Parameter):
    """A parameter of a lazy layer before the first input: it can be trained, converted, frozen, loaded and copied.

    Whatever needs its shape or values raises UninitializedError. It becomes a Parameter, the same object.
    >>> from tinygrad_dl import nn
    >>> nn.LazyLinear(4).weight
    <UninitializedParameter>
    """

    __slots__ = ()
    becomes = Parameter

    def __init__(
        self, requires_grad: bool = True, device: str | None = None, dtype: DTypeLike | None = None
    ) -> None:
        _start(self, dtype)
        self.requires_grad_(requires_grad)


class UninitializedBuffer(Uninitialized, Buffer):
    """A buffer of a lazy layer before the first input, such as a running mean; see UninitializedParameter."""

    __slots__ = ()
    becomes = Buffer

    def __init__(
        self,
        requires_grad: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        persistent: bool = True,
    ) -> None:
        _start(self, dtype)
        self.persistent = persistent


def _start(tensor: Tensor, dtype: DTypeLike | None) -> None:
    _array.__set__(tensor, np.empty((), config.default_dtype if dtype is None else dtype))
    tensor.node, tensor.name = None, None


def uninitialized(tensor: Tensor, form: np.ndarray | None = None) -> None:
    """Take the values from a parameter or buffer; what stays known is `form`, by default its own array, see above."""
    if form is not None:
        _put(tensor, form)
    kind: Any = UninitializedBuffer if isinstance(tensor, Buffer) else UninitializedParameter
    tensor.__class__ = kind


def _rebuild_uninitialized(
    kind: type, array: np.ndarray, requires_grad: bool, name: str | None, persistent: bool
) -> Any:
    tensor: Any = object.__new__(kind)
    _array.__set__(tensor, array)
    tensor.node, tensor.name = None, name
    if kind is UninitializedBuffer:
        tensor.persistent = persistent
    tensor.requires_grad_(requires_grad)
    return tensor


def as_parameter(value: ArrayLike) -> Parameter:
    """The value as a Parameter; a Parameter is returned unchanged."""
    return value if isinstance(value, Parameter) else Parameter(asarray(value))
