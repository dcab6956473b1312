"""Standardization, the core of batch, layer, group, instance and RMS normalization; and a scale with a shift."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.batching import Call, elementwise
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels import normalize
from tinygrad_dl.kernels.normalize import enlarges, layout_of, varying_axes
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.elementwise import sqrt
from tinygrad_dl.ops.reduce import mean, sum
from tinygrad_dl.ops.shape import broadcast_to, reshape
from tinygrad_dl.typing import NDArray, Shape

Axes = tuple[int, ...]


def _seen(a: NDArray | None, shape: Shape | None) -> Any:
    return a if a is None or shape is None else reshape(a, shape)


def _standardize_rule(
    g: NDArray, x: NDArray, w: NDArray | None, axis: Axes, eps: float, center: bool, view: Shape | None,
    fit: Shape | None, needs_input_grad: Sequence[bool], x_shape: Shape, w_shape: Shape, b_shape: Shape,
) -> tuple[NDArray | None, ...]:  # fmt: skip
    g, x, w = _seen(g, view), _seen(x, view), _seen(w, fit)
    d = x - mean(x, axis=axis, keepdims=True) if center else x
    scale = 1 / sqrt(mean(d * d, axis=axis, keepdims=True) + eps)
    hat = d * scale
    h = g if w is None else g * w
    inner = h - hat * mean(h * hat, axis=axis, keepdims=True)
    gx = scale * (inner - mean(h, axis=axis, keepdims=True) if center else inner)
    gw, gb = g * hat if needs_input_grad[1] else None, g * 1 if needs_input_grad[2] else None
    if view is None and fit is None:
        return gx, gw, gb

    def summed(own: NDArray | None, shape: Shape) -> Any:
        """The gradient of a parameter, whose shape is `fit` or broadcasts to that of x."""
        kept = varying_axes(x.ndim, shape if fit is None else fit)
        return None if own is None else reshape(sum(own, axis=tuple({*range(x.ndim)} - {*kept})), shape)

    return reshape(gx, x_shape), summed(gw, w_shape), summed(gb, b_shape)


def _standardize_all(call: Call) -> Any:
    axis, view, fit = (call.options[name] for name in ("axis", "view", "fit"))
    w, b = call.inputs[1:]
    view = None if view is None else (call.size, *view)
    if any(call.batched[1:]):
        ndim = len(call.shape()) if view is None else len(view) - 1
        w, b = (None if p is None else _aligned(call.full(i), ndim, fit) for i, p in enumerate((w, b), 1))
        fit = None
    return call.run(call.full(0), w, b, axis=tuple(a + 1 for a in axis), view=view, fit=fit)


def _aligned(p: Any, ndim: int, fit: Shape | None) -> Any:
    shape = p.shape[1:] if fit is None else fit
    return reshape(p, (p.shape[0], *(1,) * (ndim - len(shape)), *shape))


def _of_standardized(
    t: Any, x: Any, w: Any, average: NDArray | None, scale: NDArray, factor: NDArray | None, axis: Axes, eps: float,
    center: bool, view: Shape | None, fit: Shape | None, x_shape: Shape, w_shape: Shape,
) -> Any:  # fmt: skip
    if isinstance(t, np.ndarray):
        layout = layout_of(x.shape, axis, w_shape or None, None, view, fit)
        seen = t.reshape(layout.shape), x.reshape(layout.shape), _seen(w, layout.fit[0])
        return normalize.standardize_moved(*seen, average, scale, factor, layout).reshape(x_shape)
    t, x, w = _seen(t, view), _seen(x, view), _seen(w, fit)
    d = x - mean(x, axis=axis, keepdims=True) if center else x
    scale = 1 / sqrt(mean(d * d, axis=axis, keepdims=True) + eps)
    hat = d * scale
    change = t - mean(t, axis=axis, keepdims=True) if center else t
    out = (change - hat * mean(change * hat, axis=axis, keepdims=True)) * scale
    return reshape(out if w is None else out * w, x_shape)


def _of_weight(
    t: Any,
    x: Any,
    axis: Axes,
    eps: float,
    center: bool,
    view: Shape | None,
    fit: Shape | None,
    x_shape: Shape,
) -> Any:
    x = _seen(x, view)
    d = x - mean(x, axis=axis, keepdims=True) if center else x
    return reshape(d / sqrt(mean(d * d, axis=axis, keepdims=True) + eps) * _seen(t, fit), x_shape)


def _of_bias(t: Any, view: Shape | None, fit: Shape | None, x_shape: Shape) -> Any:
    return _seen(t, fit) if view is None else reshape(broadcast_to(_seen(t, fit), view), x_shape)


def _standardize_fast(
    g: NDArray, x: NDArray, w: NDArray | None, average: NDArray | None, scale: NDArray, factor: NDArray | None,
    axis: Axes, view: Shape | None, fit: Shape | None, needs_input_grad: Sequence[bool], w_shape: Shape, b_shape: Shape,
) -> Any:  # fmt: skip
    layout = layout_of(x.shape, axis, w_shape or None, b_shape or None, view, fit)  # the shape of None is ()
    w = None if w is None else w.reshape(layout.fit[0])
    # The gradient is written into an array of x's shape: a view of another would have to be copied.
    gx = None if view is None or not needs_input_grad[0] else np.empty(x.shape, g.dtype)
    buffer = None if gx is None else gx.reshape(layout.shape)
    seen = g.reshape(layout.shape), x.reshape(layout.shape), w, average, scale, factor
    made, gw, gb = normalize.standardize_gradient(*seen, layout, needs_input_grad, buffer)
    return (
        made if gx is None else gx,
        None if gw is None else gw.reshape(w_shape),
        None if gb is None else gb.reshape(b_shape),
    )


@op(
    _standardize_rule,
    fast=(_standardize_fast,),
    joint=True,
    inputs=3,
    kernel=normalize.standardize,
    cached=("average", "scale", "factor"),
    cases=(
        Case((5, 3), (3,), (3,), axis=(0,)), Case((4, 6), (6,), (6,), axis=(1,)), Case((4, 6), None, None, axis=(1,)),
        Case((2, 3, 4), (3, 1), (3, 1), axis=(0, 2)), Case((2, 3, 4), (3, 4), None, axis=(1, 2), center=False),
        Case((2, 3, 4), (4,), (4,), axis=(0, 2)), Case((0, 3), (3,), (3,), axis=(1,)),
        Case((2, 6, 3), (6,), (6,), axis=(2, 3), view=(2, 2, 3, 3), fit=(2, 3, 1)),
        Case((2, 3, 2, 2), (3,), None, axis=(0, 2), view=(2, 3, 4), fit=(3, 1)),
        Case((2, 12), (12,), (12,), axis=(1, 2), view=(2, 3, 4), fit=(3, 4)),
        Case((2, 3, 4), (3,), (3,), axis=(0, 2), fit=(3, 1)),
    ), accumulates=True,
    batch=_standardize_all, jvp=(_of_standardized, _of_weight, _of_bias),
    math=(
        r"w \hat{x} + b, \quad \hat{x} = \frac{x - \mu}{\sqrt{v + \varepsilon}}",
        r"\frac{w}{\sqrt{v + \varepsilon}} (g - \overline{g} - \hat{x} \, \overline{g \hat{x}})",
        r"\sum g \, \hat{x}",
        r"\sum g",
    ),
)  # fmt: skip
def standardize(
    x: NDArray, w: NDArray | None = None, b: NDArray | None = None, /, axis: Axes = (0,), eps: float = 1e-5, *,
    center: bool = True, moments: Callable[..., Any] | None = None, view: Shape | None = None,
    fit: Shape | None = None,
) -> Any:  # fmt: skip
    """Zero mean and unit variance along axes, then a scale and a shift: the core of every normalization layer.

    out = (x - mean) / sqrt(variance + eps) * w + b, with the biased variance; `center=False` leaves the mean in
    and divides by the root mean square.   x (...), w and b broadcast to x, axis: axes >= 0 -> same as x.
    `view`, `fit`: the shapes in which x, and w and b, are seen. `moments`: a function that is called with the
    mean and the variance; in func.vmap its `opened(level)`. Raises ShapeError. Source: Ioffe and Szegedy 2015.
    >>> standardize(np.array([[1.0], [3.0]]), eps=0.0)
    array([[-1.],
           [ 1.]])
    """
    shape, layout = (
        x.shape,
        layout_of(
            x.shape,
            axis,
            np.shape(w) if w is not None else None,
            np.shape(b) if b is not None else None,
            view,
            fit,
        ),
    )
    x, w, b = x.reshape(layout.shape), _seen(w, layout.fit[0]), _seen(b, layout.fit[1])
    with np.errstate(invalid="ignore", divide="ignore"):
        average = np.add.reduce(x, axis=axis, keepdims=True) / layout.elements if center else 0
        d = x - average
        variance = np.add.reduce(d * d, axis=axis, keepdims=True) / layout.elements
        out = d / np.sqrt(variance + eps)
    out = out if w is None else out * w
    out = out if b is None else out + b
    if moments is not None:
        moments(average, variance)
    return out.reshape(shape)


# A scale and a shift


def _affine_all(call: Call) -> Any:
    return elementwise(
        Call(call.op, call.size, (call.full(0), *call.inputs[1:]), (True, *call.batched[1:]), ())
    )


def _affine_fast(
    g: NDArray,
    x: NDArray,
    scale: NDArray,
    scale_shape: Shape,
    shift_shape: Shape,
    needs_input_grad: Sequence[bool],
) -> Any:
    gx = g * scale if needs_input_grad[0] else None
    gs = (
        normalize.summed_product(g, x, varying_axes(g.ndim, scale_shape)).reshape(scale_shape)
        if needs_input_grad[1]
        else None
    )
    gb = (
        normalize.summed(g, varying_axes(g.ndim, shift_shape)).reshape(shift_shape)
        if needs_input_grad[2]
        else None
    )
    return gx, gs, gb


@op(
    lambda g, x, scale, needs_input_grad: (
        g * scale,
        g * x if needs_input_grad[1] else None,
        g * 1 if needs_input_grad[2] else None,
    ),
    fast=(_affine_fast,),
    joint=True,
    inputs=3,
    cases=(Case((4, 3), (3,), (3,)), Case((2, 3, 4), (3, 1), (3, 1)), Case((2, 3, 4), (4,), (1, 1, 4))),
    accumulates=True,
    batch=_affine_all,
    jvp=(lambda t, scale: t * scale, lambda t, x: t * x, lambda t: t),
    math=(r"x \cdot s + t", r"g \cdot s", r"\sum g \cdot x", r"\sum g"),
)
def affine(x: NDArray, scale: NDArray, shift: NDArray, /) -> Any:
    """A scale and a shift, in one pass each way.

    out = x * scale + shift.   scale and shift broadcast to x.
    >>> affine(np.array([1.0, 2.0]), np.array([3.0]), np.array([1.0]))
    array([4., 7.])
    """
    if enlarges(scale.shape, x.shape) or enlarges(shift.shape, x.shape):
        raise ShapeError(
            f"affine: scale {scale.shape} and shift {shift.shape} do not fit x of shape {x.shape}"
        )
    return x * scale + shift
