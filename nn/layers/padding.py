"""Padding layers, each written once for one, two and three spatial dimensions."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.arguments import Offsets
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops.padding import pad
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array


class _Pad(Module):
    n: int  # spatial dimensions
    mode: str
    value: float = 0.0

    def __init__(self, padding: Offsets) -> None:
        self.padding = (
            (int(padding),) * 2 * self.n if isinstance(padding, (int, np.integer)) else tuple(padding)
        )
        if len(self.padding) != 2 * self.n:
            raise ShapeError(
                f"{type(self).__name__}: expected padding to be an int or {2 * self.n} ints, "
                f"two per spatial dimension with the last dimension first, got {padding!r}"
            )

    def forward(self, input: Array) -> Tensor:
        """Pad the spatial dimensions of the input (N, C, *S) or (C, *S)."""
        if input.ndim not in (self.n + 1, self.n + 2):
            raise ShapeError(
                f"{type(self).__name__}: expected an input of {self.n + 2} axes, (N, C, *S), "
                f"or {self.n + 1} without N, got the shape {input.shape}"
            )
        return pad(input, self.padding, self.mode, self.value if self.mode == "constant" else None)

    def extra_repr(self) -> str:
        """The padding widths."""
        return f"{self.padding}"


class _ConstantPad(_Pad):
    mode = "constant"

    def __init__(self, padding: Offsets, value: float) -> None:
        super().__init__(padding)
        self.value = value

    def extra_repr(self) -> str:
        """The padding widths and the value."""
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    """Pads x (N, C, L) with a constant; padding: an int or (left, right).

    >>> ConstantPad1d((1, 2), 9.0)(Tensor([[[1.0]]]))
    Tensor([[[9., 1., 9., 9.]]])
    """

    n = 1


class ConstantPad2d(_ConstantPad):
    """Pads with a constant around x (N, C, H, W); padding: an int or (left, right, top, bottom)."""

    n = 2


class ConstantPad3d(_ConstantPad):
    """Pads with a constant around x (N, C, D, H, W); padding: an int or (left, right, top, bottom, front, back)."""

    n = 3


class _ZeroPad(_Pad):
    mode = "constant"


class ZeroPad1d(_ZeroPad):
    """Pads x (N, C, L) with zeros; padding: an int or (left, right)."""

    n = 1


class ZeroPad2d(_ZeroPad):
    """Pads with zeros around x (N, C, H, W); padding: an int or (left, right, top, bottom); a negative width crops.

    >>> ZeroPad2d((1, 0, 0, 1))(Tensor([[[[1.0]]]]))
    Tensor([[[[0., 1.],
              [0., 0.]]]])
    """

    n = 2


class ZeroPad3d(_ZeroPad):
    """Pads with zeros around x (N, C, D, H, W); padding: an int or (left, right, top, bottom, front, back)."""

    n = 3


class _ReflectionPad(_Pad):
    mode = "reflect"


class ReflectionPad1d(_ReflectionPad):
    """Pads x (N, C, L) with its mirror image, the edge not repeated; padding: an int or (left, right).

    >>> ReflectionPad1d(2)(Tensor([[[1.0, 2.0, 3.0]]]))
    Tensor([[[3., 2., 1., 2., 3., 2., 1.]]])
    """

    n = 1


class ReflectionPad2d(_ReflectionPad):
    """Pads x (N, C, H, W) with its mirror image, the edge not repeated."""

    n = 2


class ReflectionPad3d(_ReflectionPad):
    """Pads x (N, C, D, H, W) with its mirror image, the edge not repeated."""

    n = 3


class _ReplicationPad(_Pad):
    mode = "replicate"


class ReplicationPad1d(_ReplicationPad):
    """Pads x (N, C, L) with its first and last elements; padding: an int or (left, right).

    >>> ReplicationPad1d(2)(Tensor([[[1.0, 2.0]]]))
    Tensor([[[1., 1., 1., 2., 2., 2.]]])
    """

    n = 1


class ReplicationPad2d(_ReplicationPad):
    """Pads x (N, C, H, W) with the elements at its edges."""

    n = 2


class ReplicationPad3d(_ReplicationPad):
    """Pads x (N, C, D, H, W) with the elements at its edges."""

    n = 3


class _CircularPad(_Pad):
    mode = "circular"


class CircularPad1d(_CircularPad):
    """Pads x (N, C, L) with the elements from its other end; padding: an int or (left, right).

    >>> CircularPad1d(1)(Tensor([[[1.0, 2.0, 3.0]]]))
    Tensor([[[3., 1., 2., 3., 1.]]])
    """

    n = 1


class CircularPad2d(_CircularPad):
    """Pads x (N, C, H, W) with the elements from its other ends."""

    n = 2


class CircularPad3d(_CircularPad):
    """Pads x (N, C, D, H, W) with the elements from its other ends."""

    n = 3
