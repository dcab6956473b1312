"""Identity, and the modules that only change the shape."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeVar

from tinygrad_dl.errors import DTypeError, ShapeError
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array

T = TypeVar("T")


class Identity(Module):
    """Returns its input unchanged; constructor arguments are ignored, so it can replace any layer.

    >>> Identity(54)(1)
    1
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: T) -> T:
        """The input, unchanged."""
        return input


class Flatten(Module):
    """Flattens the axes from start_dim to end_dim into one.

    x (N, A, B, ...) -> (N, A*B*...) by default.
    >>> Flatten()(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Array) -> Tensor:
        """Flatten the input."""
        ndim = len(input.shape)
        if not ndim:
            return reshape(input, (1,))
        start, end = self.start_dim, self.end_dim
        if not (-ndim <= start < ndim and -ndim <= end < ndim) or start % ndim > end % ndim:
            raise ShapeError(
                f"Flatten: expected start_dim and end_dim to be axes of the shape {input.shape}, in order, "
                f"got {start} and {end}"
            )
        shape, start, end = input.shape, start % ndim, end % ndim
        size = 1
        for n in shape[start : end + 1]:
            size *= n
        return reshape(input, (*shape[:start], size, *shape[end + 1 :]))

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Expands one axis into several: the inverse of Flatten.

    >>> Unflatten(1, (2, 3))(Tensor([[0.0] * 6])).shape
    (1, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        if not isinstance(dim, int):
            raise DTypeError(f"Unflatten: expected dim to be an int (axes have no names here), got {dim!r}")
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Array) -> Tensor:
        """Expand the axis of the input."""
        shape, dim = input.shape, self.dim
        if not -len(shape) <= dim < len(shape):
            raise ShapeError(f"Unflatten: expected dim to be one of the axes of the shape {shape}, got {dim}")
        dim %= len(shape)
        return reshape(input, (*shape[:dim], *self.unflattened_size, *shape[dim + 1 :]))

    def extra_repr(self) -> str:
        """The axis and its new sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
