"""The methods of Tensor that are operations: a table of operators, and of functions under their own names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.arguments import hinted
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, modes, tell
from tinygrad_dl.ops import (
    activations,
    elementwise,
    index,
    logic,
    matmul,
    reduce,
    rounding,
    scan,
    sort,
    special,
    trigonometry,
)
from tinygrad_dl.ops import shape as shaping
from tinygrad_dl.typing import DTypeLike, ShapeLike

if TYPE_CHECKING:
    from tinygrad_dl.signatures import Input
    from tinygrad_dl.tensor import Tensor

Order = Literal["C", "F", "A", "K"]


def _reflected(function: Callable[..., Any]) -> Callable[[Any, Input], Tensor]:
    def method(self: Any, other: Input) -> Tensor:
        return function(other, self)

    return method


def _assigning(function: Callable[..., Any], sign: str) -> Callable[[Any, Input], Tensor]:
    def method(self: Any, other: Input) -> Tensor:
        return self._in_place(function, other, sign)

    return method


class Methods(Value):
    """What a Tensor can compute, as a base class: each entry is a function of `tinygrad_dl.ops`."""

    __slots__ = ()

    __add__ = elementwise.add
    __sub__ = elementwise.subtract
    __mul__ = elementwise.multiply
    __truediv__ = elementwise.divide
    __floordiv__ = logic.floor_divide
    __mod__ = logic.remainder
    __pow__ = elementwise.power
    __matmul__ = matmul.matmul
    __and__ = logic.bitwise_and
    __or__ = logic.bitwise_or
    __xor__ = logic.bitwise_xor
    __lshift__ = logic.bitwise_left_shift
    __rshift__ = logic.bitwise_right_shift

    __radd__ = _reflected(elementwise.add)
    __rsub__ = _reflected(elementwise.subtract)
    __rmul__ = _reflected(elementwise.multiply)
    __rtruediv__ = _reflected(elementwise.divide)
    __rfloordiv__ = _reflected(logic.floor_divide)
    __rmod__ = _reflected(logic.remainder)
    __rpow__ = _reflected(elementwise.power)
    __rmatmul__ = _reflected(matmul.matmul)
    __rand__ = _reflected(logic.bitwise_and)
    __ror__ = _reflected(logic.bitwise_or)
    __rxor__ = _reflected(logic.bitwise_xor)
    __rlshift__ = _reflected(logic.bitwise_left_shift)
    __rrshift__ = _reflected(logic.bitwise_right_shift)

    __iadd__ = _assigning(elementwise.add, "+=")
    __isub__ = _assigning(elementwise.subtract, "-=")
    __imul__ = _assigning(elementwise.multiply, "*=")
    __itruediv__ = _assigning(elementwise.divide, "/=")
    __ifloordiv__ = _assigning(logic.floor_divide, "//=")
    __imod__ = _assigning(logic.remainder, "%=")
    __ipow__ = _assigning(elementwise.power, "**=")
    __imatmul__ = _assigning(matmul.matmul, "@=")
    __iand__ = _assigning(logic.bitwise_and, "&=")
    __ior__ = _assigning(logic.bitwise_or, "|=")
    __ixor__ = _assigning(logic.bitwise_xor, "^=")
    __ilshift__ = _assigning(logic.bitwise_left_shift, "<<=")
    __irshift__ = _assigning(logic.bitwise_right_shift, ">>=")

    __neg__ = elementwise.negative
    __pos__ = elementwise.positive
    __invert__ = logic.bitwise_invert
    __lt__ = logic.less
    __le__ = logic.less_equal
    __gt__ = logic.greater
    __ge__ = logic.greater_equal
    __hash__ = object.__hash__

    abs = elementwise.abs
    astype = elementwise.astype
    conj = elementwise.conj
    cos = trigonometry.cos
    exp = elementwise.exp
    expm1 = special.expm1
    log = elementwise.log
    log1p = special.log1p
    relu = activations.relu
    sigmoid = activations.sigmoid
    sin = trigonometry.sin
    sqrt = elementwise.sqrt
    square = elementwise.square
    tanh = activations.tanh

    clip = rounding.clip
    round = rounding.round
    __round__ = rounding.round
    __trunc__ = rounding.trunc
    __floor__ = rounding.floor
    __ceil__ = rounding.ceil

    all = reduce.all
    any = reduce.any
    logsumexp = special.logsumexp
    log_softmax = activations.log_softmax
    max = reduce.max
    mean = reduce.mean
    min = reduce.min
    prod = reduce.prod
    softmax = activations.softmax
    std = reduce.std
    sum = reduce.sum
    var = reduce.var

    argmax = sort.argmax
    argmin = sort.argmin
    argsort = sort.argsort
    nonzero = sort.nonzero
    searchsorted = sort.searchsorted
    sort = sort.sort

    dot = matmul.dot
    repeat = shaping.repeat
    squeeze = shaping.squeeze
    swapaxes = shaping.swapaxes

    @hinted
    def cumsum(self, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
        """The sums of the first elements along an axis, or of the flattened ones."""
        x = self if axis is not None else shaping.reshape(self, (-1,))
        return scan.cumulative_sum(x, axis=0 if axis is None else axis, dtype=dtype)

    @hinted
    def cumprod(self, axis: int | None = None, dtype: DTypeLike | None = None) -> Tensor:
        """The products of the first elements along an axis, or of the flattened ones."""
        x = self if axis is not None else shaping.reshape(self, (-1,))
        return scan.cumulative_prod(x, axis=0 if axis is None else axis, dtype=dtype)

    def __eq__(self, other: object) -> Tensor:  # type: ignore[override]
        return self._compare(logic.equal, other)

    def __ne__(self, other: object) -> Tensor:  # type: ignore[override]
        return self._compare(logic.not_equal, other)

    def _compare(self, function: Callable[..., Any], other: object) -> Any:
        try:
            return function(self, other)
        except DTypeError:
            return NotImplemented  # for None, strings and other objects Python then compares identities

    def __abs__(self) -> Tensor:  # type checkers want a function for the builtin abs()
        return elementwise.abs(self)

    def __divmod__(self, other: Input) -> tuple[Tensor, Tensor]:
        return logic.floor_divide(self, other), logic.remainder(self, other)

    def __rdivmod__(self, other: Input) -> tuple[Tensor, Tensor]:
        return logic.floor_divide(other, self), logic.remainder(other, self)

    @hinted
    def take(self, indices: Input, axis: int | None = None) -> Tensor:
        """The slices at given indices along an axis, or of the flattened elements."""
        return index.take(self, indices, axis=axis)

    def flatten(self, order: Order = "C") -> Tensor:
        """The elements along one axis, read in NumPy's `order`: "C", "F", "A" or "K"."""
        if type(order) is not str or order != "C":
            return shaping.raveled("flatten", self, order)
        return shaping.reshape(self, (self._data.size,))

    def ravel(self, order: Order = "C") -> Tensor:
        """The elements along one axis, read in NumPy's `order`: "C", "F", "A" or "K"."""
        if type(order) is not str or order != "C":
            return shaping.raveled("ravel", self, order)
        return shaping.reshape(self, (self._data.size,))

    def copy(self, order: Order = "C") -> Tensor:
        """The same values in another array, laid out in NumPy's `order`; the gradient passes through."""
        if type(order) is not str or order not in ("C", "F", "A", "K"):
            raise ValueRangeError(
                f'copy: order: expected "C", "F", "A" or "K", got {convert.describe(order)}'
            )
        out = convert.wrap(self._data.copy(order))
        if active:
            tell("created", out, self)
        out.node = None if self.node is None else elementwise.positive(self).node
        return out

    @property
    def real(self) -> Tensor:
        """The real parts; of a real Tensor the Tensor itself."""
        return elementwise.real(self)

    @property
    def imag(self) -> Tensor:
        """The imaginary parts; zeros for a real Tensor."""
        return elementwise.imag(self)

    @property
    def T(self) -> Tensor:
        """The transpose of a matrix; for other numbers of axes use mT or permute_dims."""
        if self._data.ndim != 2:
            if self._data.ndim < 2:
                return shaping.permute_dims(self, tuple(range(self._data.ndim)))
            raise ShapeError(
                f"T: expected a matrix, got the shape {self._data.shape}. "
                "Use .mT for the last two axes or permute_dims(axes)."
            )
        return shaping.permute_dims(self, (1, 0))

    @property
    def mT(self) -> Tensor:
        """The transpose of the last two axes."""
        if self._data.ndim < 2:
            raise ShapeError(f"mT: expected at least two axes, got the shape {self._data.shape}")
        return shaping.permute_dims(
            self, (*range(self._data.ndim - 2), self._data.ndim - 1, self._data.ndim - 2)
        )

    # Forms that take sizes or axes one by one, as NumPy's methods do

    def reshape(self, *sizes: ShapeLike, order: Order = "C", copy: bool | None = None) -> Tensor:
        """The same elements in another shape: x.reshape(2, 3) or x.reshape((2, 3)); one size may be -1.

        `order`: how they are read and placed, "C" (the last axis fastest), "F" (the first) or "A", as NumPy does.
        """
        if type(order) is not str or order != "C":
            shape: Any = sizes[0] if len(sizes) == 1 else sizes
            return shaping.reshaped("reshape", self, shape, order, copy)
        return shaping.reshape(self, sizes[0] if len(sizes) == 1 else sizes, copy=copy)

    def transpose(self, *axes: int | Sequence[int] | None) -> Tensor:
        """The axes in another order, reversed by default: x.transpose(1, 0) or x.transpose((1, 0))."""
        order: Any = axes[0] if len(axes) == 1 and axes[0] is not None else axes
        return shaping.permute_dims(
            self, order if axes and axes[0] is not None else tuple(range(self._data.ndim))[::-1]
        )

    # Assignment by operators

    def _validate_in_place(self, what: str) -> None:
        if modes.recording:
            raise GraphError(
                f"{what} on a leaf that requires grad would change what was recorded. "
                "Do it under no_grad(), or compute a new Tensor."
            )

    def _in_place(self, function: Callable[..., Any], other: Input, sign: str) -> Any:
        on_leaf = self.node is not None and self.node.op is None
        if on_leaf:
            self._validate_in_place(f"x {sign} ...")
        result = function(self, other)
        if result.shape != self._data.shape:
            raise ShapeError(
                f"x {sign} y: the result has the shape {result.shape}, but x has {self._data.shape}"
            )
        if result.dtype != self._data.dtype:
            if not np.can_cast(result.dtype, self._data.dtype, "same_kind"):
                raise DTypeError(f"x {sign} y: the result is {result.dtype}, but x is {self._data.dtype}")
            result = elementwise.astype(result, self._data.dtype)
        if on_leaf:
            self._data[...] = result._data
            if active:
                tell("wrote", self, ..., result._data)
            return self
        return result
