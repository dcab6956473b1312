"""Convolution of some examples as primitives: columns of windows, products, and sums over windows.

What reads the columns of a whole batch would need many times the memory of the images, so native code applies these
formulas to a few examples at a time: see `Native`. A program that people read has them for the whole batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import TYPE_CHECKING, TypeAlias, Union

import numpy as np

from tinygrad_dl.compiler.program import CONVOLUTIONS, NotLowered, Prim, Var
from tinygrad_dl.compiler.sizes import Size
from tinygrad_dl.typing import Sizes

if TYPE_CHECKING:
    from tinygrad_dl.compiler.lower import Builder

#: How a convolution is padded: "same", "valid", or for each axis a number or a pair.
Padding: TypeAlias = Union[str, int, Sequence[Union[int, tuple[int, int]]]]
# Positions that a product should have at least: examples with fewer are taken together.
POSITIONS = 64


class Geometry:
    """Where the windows of a convolution or pooling lie in x (N, C, *S), padded."""

    def __init__(
        self, x: Sequence[int], kernel: Sequence[int], stride: Sizes, padding: Padding, dilation: Sizes
    ) -> None:
        n = len(kernel)
        self.kernel = tuple(int(k) for k in kernel)
        self.stride, self.dilation = per_axis(stride, n), per_axis(dilation, n)
        if padding == "same":
            spans = [d * (k - 1) for k, d in zip(self.kernel, self.dilation)]
            self.pads = tuple((s // 2, s - s // 2) for s in spans)
        elif isinstance(padding, str):
            self.pads = ((0, 0),) * n
        else:
            entries = (padding,) * n if isinstance(padding, (int, np.integer)) else padding
            self.pads = tuple(pair(entry) for entry in entries)
        if len(self.pads) != n:
            raise NotLowered("padding")
        self.sizes = tuple(x[2:])
        self.padded = tuple(s + lo + hi for s, (lo, hi) in zip(self.sizes, self.pads))
        self.counts = tuple(
            (p - d * (k - 1) - 1) // s + 1
            for p, k, s, d in zip(self.padded, self.kernel, self.stride, self.dilation)
        )
        if any(c < 1 for c in self.counts):
            raise NotLowered("windows that do not fit")

    def offsets(self) -> list[tuple[int, ...]]:
        """The positions of a window's elements, relative to its first, in the order of the kernel."""
        return [tuple(int(i) * d for i, d in zip(at, self.dilation)) for at in np.ndindex(*self.kernel)]


def per_axis(x: Sizes, n: int) -> tuple[int, ...]:
    return (int(x),) * n if isinstance(x, (int, np.integer)) else tuple(int(v) for v in x)


def pair(x: int | tuple[int, int]) -> tuple[int, int]:
    before, after = (x, x) if isinstance(x, (int, np.integer)) else x
    return int(before), int(after)


def geometry(prim: Prim) -> Geometry:
    """The windows of a primitive "conv", "conv_weight" or "conv_input", whose images are padded."""
    p = prim.params
    return Geometry((1, 1, *p["sizes"]), p["kernel"], p["stride"], 0, p["dilation"])


def products(prim: Prim) -> tuple[int, int, int]:
    """What a primitive of convolution multiplies: examples, positions of an example, multiplications of a position."""
    x, y = prim.inputs
    assert isinstance(x, Var) and isinstance(y, Var)
    (out,) = prim.outputs
    assert out is not None
    weight = out if prim.kind == "conv_weight" else y
    return x.shape[0], prod(geometry(prim).counts), weight.size


def multiply_adds(prim: Prim) -> int:
    """The multiplications of a product or convolution; 0 of another primitive."""
    x, out = prim.inputs[0] if prim.inputs else None, prim.outputs[0] if prim.outputs else None
    if prim.kind in CONVOLUTIONS:
        return prod(products(prim))
    return out.size * x.shape[-1] if prim.kind == "matmul" and isinstance(x, Var) and out is not None else 0


def at_a_time(examples: int, positions: int) -> int:
    """How many examples are taken together: the fewest that have enough positions, and divide all without a rest."""
    if isinstance(examples, Size) or positions >= POSITIONS:
        return 1
    divisors = (n for n in range(1, examples) if examples % n == 0 and n * positions >= POSITIONS)
    return next(divisors, examples)


# Arrays of images are (N, C, *S) and (N, O, *L), weights (O, C / G, *K). Products are of stacks of G matrices, whose
# columns are the positions (N, *L).


def columns(b: Builder, x: Var, f: Geometry, groups: int) -> Var:
    """The windows of padded x: (G, C / G * K, N * L)."""
    n, c = x.shape[:2]
    axes = [(1, 1, c), *((i + 2, d, k) for i, (d, k) in enumerate(zip(f.dilation, f.kernel)))]
    axes += [(0, 1, n), *((i + 2, s, m) for i, (s, m) in enumerate(zip(f.stride, f.counts)))]
    windows = b.emit("strided", [x], [size for _, _, size in axes], x.dtype, axes=tuple(axes), start=())
    return b.reshape(windows, (groups, c // groups * prod(f.kernel), n * prod(f.counts)))


def filters(b: Builder, w: Var, groups: int) -> Var:
    """The weight as matrices (G, O / G, C / G * K)."""
    return b.reshape(w, (groups, w.shape[0] // groups, prod(w.shape[1:])))


def positions(b: Builder, g: Var, groups: int) -> Var:
    """Arrays (N, O, *L) as matrices (G, O / G, N * L)."""
    n, o = g.shape[:2]
    turned = b.transpose(g, (1, 0, *range(2, len(g.shape))))
    return b.reshape(turned, (groups, o // groups, n * prod(g.shape[2:])))


def turned(b: Builder, x: Var) -> Var:
    """Matrices transposed."""
    return b.transpose(x, (0, 2, 1))


def conv(b: Builder, x: Var, w: Var, f: Geometry, groups: int) -> Var:
    """A convolution of padded x, as matrices (G, O / G, N * L)."""
    return b.matmul(filters(b, w, groups), columns(b, x, f, groups))


def images(b: Builder, matrices: Var, n: int, counts: Sequence[int]) -> Var:
    """Matrices (G, O / G, N * L) as arrays (N, O, *L)."""
    o = matrices.shape[0] * matrices.shape[1]
    return b.transpose(b.reshape(matrices, (o, n, *counts)), (1, 0, *range(2, 2 + len(counts))))


def conv_weight(b: Builder, x: Var, g: Var, f: Geometry, groups: int) -> tuple[Var, Var]:
    """The factors of the gradient of the weight: (G, O / G, N * L) and (G, N * L, C / G * K)."""
    return positions(b, g, groups), turned(b, columns(b, x, f, groups))


def conv_input(b: Builder, g: Var, w: Var, f: Geometry, groups: int) -> Var:
    """The gradient of padded x, channels first: (C, N, *S). Each position adds the filters, scaled, to its window."""
    n, c = g.shape[0], w.shape[1] * groups
    parts = b.matmul(turned(b, filters(b, w, groups)), positions(b, g, groups))
    parts = b.reshape(parts, (c, *f.kernel, n, *f.counts))
    elements, places = [], []
    for at, offset in zip(np.ndindex(*f.kernel), f.offsets()):
        elements.append(b.slice(parts, (slice(None), *(int(i) for i in at))))
        axes = [(0, 1, c), (1, 1, n), *((i + 2, s, m) for i, (s, m) in enumerate(zip(f.stride, f.counts)))]
        places.append((tuple(axes), (0, 0, *offset)))
    return b.emit("fold", elements, (c, n, *f.padded), g.dtype, places=tuple(places))
