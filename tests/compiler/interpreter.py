"""Lowered programs run primitive by primitive in NumPy: the oracle that lowerings and native code are held against."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_dl.compiler.program import CONVOLUTIONS, Call, Effect, Number, Prim, Var, Vjp

FUNCTIONS = {
    "abs": np.abs, "positive": np.positive, "cast": lambda x: x, "sigmoid": lambda x: 1 / (1 + np.exp(-x)),
    "softplus": lambda x: np.logaddexp(0, x), "erf": np.vectorize(math.erf, otypes=[float]), "round": np.round,
}  # fmt: skip


def evaluate(prim: Prim, xs: list[Any]) -> Any:
    """A primitive's result, as its definition says."""
    kind, p = prim.kind, prim.params
    (out,) = prim.outputs
    assert out is not None
    if kind in ("sum", "prod", "max", "min"):
        return getattr(np, kind)(xs[0], axis=p["axes"], keepdims=p["keepdims"])
    if kind == "transpose":
        return xs[0].transpose(p["axes"])
    if kind == "reshape":
        return xs[0].reshape(p["shape"])
    if kind == "broadcast":
        return np.broadcast_to(xs[0], p["shape"])
    if kind == "slice":
        return xs[0][p["index"]]
    if kind == "strided":
        return windows(xs[0], p["axes"], p["start"])
    if kind == "matmul":
        return np.matmul(*xs)
    if kind in CONVOLUTIONS:
        return convolution(kind, *xs, p, out.shape)
    if kind == "take":
        return xs[0][np.arange(len(xs[1])), xs[1]]
    if kind == "rows":
        return xs[0][xs[1][..., 0]]
    if kind == "scatter":
        total = np.zeros(out.shape, out.dtype)
        np.add.at(total, xs[1], xs[0])
        return total
    if kind == "iota":
        return np.arange(out.size).reshape(out.shape)
    if kind == "pad":
        return np.pad(xs[0], p["pairs"], constant_values=p["value"])
    if kind == "join":
        total = np.zeros(out.shape, out.dtype)
        for part, (axes, start) in zip(xs, p["places"]):
            windows(total, axes, start)[...] = part
        return total
    if kind == "fold":
        total = np.zeros(out.shape, out.dtype)
        for part, (axes, start) in zip(xs, p["places"]):
            view = windows(total, axes, start)
            view += part
        return total
    return (FUNCTIONS.get(kind) or getattr(np, kind))(*xs)


def windows(x: np.ndarray, axes: Any, start: Any) -> np.ndarray:
    """The view that the primitive `strided` stands for."""
    x = x[tuple(slice(i, None) for i in start)]
    return np.lib.stride_tricks.as_strided(
        x, [n for *_, n in axes], [x.strides[a] * step for a, step, _ in axes]
    )


def convolution(
    kind: str, x: np.ndarray, y: np.ndarray, p: dict[str, Any], shape: tuple[int, ...]
) -> np.ndarray:
    """The sums that the primitives of convolution stand for, one element of the kernel and one group at a time."""
    total = np.zeros(shape)
    images, results = (total, x) if kind == "conv_input" else (x, total if kind == "conv" else y)
    weight = total if kind == "conv_weight" else y
    c, o = images.shape[1] // p["groups"], results.shape[1] // p["groups"]
    for g in range(p["groups"]):
        ins, outs = slice(g * c, (g + 1) * c), slice(g * o, (g + 1) * o)
        for at in np.ndindex(*p["kernel"]):
            ends = zip(at, p["dilation"], p["stride"], results.shape[2:])
            index = tuple(slice(i * d, i * d + s * (n - 1) + 1, s) for i, d, s, n in ends)
            under, w = images[(slice(None), ins, *index)], weight[(outs, slice(None), *at)]
            if kind == "conv":
                results[:, outs] += np.einsum("nc...,oc->no...", under, w)
            elif kind == "conv_weight":
                w += np.einsum(
                    "nox,ncx->oc", *(a.reshape(*a.shape[:2], -1) for a in (results[:, outs], under))
                )
            else:
                under += np.einsum("no...,oc->nc...", results[:, outs], w)
    return total


def interpret(lowered: Any, values: dict[int, Any], numbers: list[float]) -> dict[int, Any]:
    """The values of all variables of a lowered program, from those of its arguments, states and constants."""
    known = dict(values)

    def value(x: Any) -> Any:
        if isinstance(x, Var):
            return known[x.serial]
        return numbers[x.index] if isinstance(x, Number) else x

    for step in lowered.steps:
        assert not isinstance(step, (Call, Vjp)), step
        if isinstance(step, Effect):
            continue
        if step.kind == "check_classes":
            continue
        if step.kind == "assign":
            target, new = step.inputs
            known[target.serial] = np.broadcast_to(value(new), target.shape).astype(target.dtype)
            continue
        (out,) = step.outputs
        with np.errstate(all="ignore"):
            result = np.asarray(evaluate(step, [value(x) for x in step.inputs]))
        assert result.shape == out.shape, (step.kind, result.shape, out.shape)
        known[out.serial] = result.astype(out.dtype)
    return known
