"""Recurrent layers, each one operation for a whole sequence: plain, gated (GRU), and LSTM.

Sequences are (T, N, I): steps, examples, features. Each operation has two rules: a fast one on arrays, with the gates
that the forward pass saved, and one of operations, which computes the gates again and so serves every order.
"""

from __future__ import annotations

import operator
from collections.abc import Sequence
from functools import reduce
from typing import Any

import numpy as np

from tinygrad_dl.batching import Call, merged
from tinygrad_dl.kernels import recurrent as kernels
from tinygrad_dl.kernels.recurrent import check_cell, check_shapes
from tinygrad_dl.op import Case, Joint, op
from tinygrad_dl.ops.activations import sigmoid, tanh
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.linear import linear
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import moveaxis, permute_dims, reshape
from tinygrad_dl.typing import Array, NDArray


def flat(x: Array) -> Any:
    """(T, N, F) as the matrix (T * N, F)."""
    return reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


def swap(x: Array) -> Any:
    return permute_dims(x, (1, 0))


def _before(h: NDArray, states: list[Any]) -> NDArray:
    """The state before each step, as the matrix (T * N, H)."""
    return flat(stack([h, *states[:-1]]))


def to_weights(d_ih: NDArray, d_hh: NDArray, x: NDArray, before: NDArray) -> tuple[Any, ...]:
    """The gradients of the parameters from those of what they add to: matrices (T * N, gates * H)."""
    return matmul(swap(d_ih), flat(x)), matmul(swap(d_hh), before), sum(d_ih, axis=0), sum(d_hh, axis=0)


def _sequences(call: Call) -> Any:
    """The batch as more examples of a layer, unless each has weights of its own."""
    states = 1 + ("c" in call.op.inputs)
    if any(call.batched[1 + states :]):
        return None
    x = merged(moveaxis(call.full(0), 0, 1), 1)
    out = call.run(x, *(merged(call.full(i)) for i in range(1, 1 + states)), *call.inputs[1 + states :])
    return moveaxis(call.split(out, 1), 1, 0)


def _total(*parts: Any) -> Any:
    """The sum of the parts that are not None; None if all are."""
    present = [part for part in parts if part is not None]
    return reduce(operator.add, present) if present else None


def _product_moved(x: Any, w: Any, t_x: Any, t_w: Any, t_b: Any) -> Any:
    """The change of linear(x, w, b) when its arguments change, None if none does."""
    return _total(
        None if t_x is None else linear(t_x, w), None if t_w is None else linear(x, t_w), t_b
    )  # fmt: skip


def _at(moved: Any, t: int) -> Any:
    """What one step has of a change of all steps, or of one that they share."""
    return moved if moved is None or moved.ndim < 3 else moved[t]


SMALL = ((3, 2, 2), (2, 2))


# Plain


def _rnn_rule(
    g: NDArray, x: NDArray, h: NDArray, w_ih: NDArray, w_hh: NDArray,
    b_ih: NDArray | None, b_hh: NDArray | None, nonlinearity: str, out: NDArray,
) -> tuple[Any, ...]:  # fmt: skip
    states = [out[t] for t in range(x.shape[0])]
    deltas: list[Any] = []
    carried: Any = 0
    for t in reversed(range(len(states))):
        derivative = 1 - states[t] * states[t] if nonlinearity == "tanh" else states[t] > 0
        deltas.append((g[t] + carried) * derivative)
        carried = matmul(deltas[-1], w_hh)
    d = flat(stack(deltas[::-1]))
    return reshape(matmul(d, w_ih), x.shape), carried, *to_weights(d, d, x, _before(h, states))


def _rnn_moved(
    ts: Sequence[Any], x: NDArray, h: NDArray, w_ih: NDArray, w_hh: NDArray, nonlinearity: str, out: NDArray
) -> Any:
    t_x, t_h, t_wi, t_wh, t_bi, t_bh = ts
    added = _total(_product_moved(x, w_ih, t_x, t_wi, t_bi), t_bh)
    moved = []
    for t in range(x.shape[0]):
        change = _total(_at(added, t), _product_moved(h, w_hh, t_h, t_wh, None))
        h = out[t]
        derivative = 1 - h * h if nonlinearity == "tanh" else h > 0
        t_h = None if change is None else change * derivative
        moved.append(h * 0 if t_h is None else t_h)
    return stack(moved)


@op(
    _rnn_rule,
    fast=(kernels.rnn_gradient,),
    jvp=Joint(_rnn_moved, kernels.rnn_moved),
    kernel=kernels.rnn,
    joint=True,
    inputs=6,
    cached=("states",),
    cases=(
        Case(*SMALL, (2, 2), (2, 2), (2,), (2,)), Case(*SMALL, (2, 2), (2, 2), None, None, nonlinearity="relu"),
        Case((2, 1, 3), (1, 2), (2, 3), (2, 2), None, (2,)),
    ), accumulates=True,
    batch=_sequences,
    math=(
        r"h_t = \tanh(a_t), \quad a_t = W_{ih} x_t + b_{ih} + W_{hh} h_{t-1} + b_{hh}",
        r"W_{ih}^\top \delta_t, \quad \delta_t = (g_t + W_{hh}^\top \delta_{t+1}) \cdot (1 - h_t^2)",
        r"W_{hh}^\top \delta_1",
        r"\sum_t \delta_t x_t^\top",
        r"\sum_t \delta_t h_{t-1}^\top",
        r"\sum_t \delta_t",
        r"\sum_t \delta_t",
    ),
)  # fmt: skip
def rnn(
    x: NDArray, h: NDArray, w_ih: NDArray, w_hh: NDArray, b_ih: NDArray | None = None, b_hh: NDArray | None = None,
    *, nonlinearity: str = "tanh",
) -> Any:  # fmt: skip
    """A plain recurrent layer over a sequence.

    out[t] = tanh(w_ih x[t] + b_ih + w_hh out[t - 1] + b_hh), out[-1] = h; or relu.
    x (T, N, I), h (N, H), w_ih (H, I), w_hh (H, H), biases (H,) -> (T, N, H).   Raises ShapeError.
    Source: Elman 1990.
    >>> one = np.ones((1, 1))
    >>> rnn(np.ones((2, 1, 1)), 0 * one, one, one, nonlinearity="relu").ravel()
    array([1., 2.])
    """
    check_shapes("rnn", 1, x, h, w_ih, w_hh, b_ih, b_hh)
    states = []
    for now in x:
        total = linear(now, w_ih, b_ih) + linear(h, w_hh, b_hh)
        h = np.tanh(total) if nonlinearity == "tanh" else np.maximum(total, 0)
        states.append(h)
    return np.stack(states)


# Gated


def _gru_steps(
    x: NDArray, h: NDArray, w_ih: NDArray, w_hh: NDArray, b_ih: NDArray | None, b_hh: NDArray | None
) -> list[tuple[Any, ...]]:
    """State before, reset, update, new, recurrent part of new: for each step."""
    size, steps = w_hh.shape[1], []
    added = linear(x, w_ih, b_ih)
    for t in range(x.shape[0]):
        a, b = added[t], linear(h, w_hh, b_hh)
        r = sigmoid(a[:, :size] + b[:, :size])
        z = sigmoid(a[:, size : 2 * size] + b[:, size : 2 * size])
        n = tanh(a[:, 2 * size :] + r * b[:, 2 * size :])
        steps.append((h, r, z, n, b[:, 2 * size :]))
        h = n + z * (h - n)
    return steps


def _gru_rule(
    g: NDArray, x: NDArray, h: NDArray, w_ih: NDArray, w_hh: NDArray,
    b_ih: NDArray | None, b_hh: NDArray | None,
) -> tuple[Any, ...]:  # fmt: skip
    steps = _gru_steps(x, h, w_ih, w_hh, b_ih, b_hh)
    to_inputs, to_states = [], []
    carried: Any = 0
    for t in reversed(range(len(steps))):
        before, r, z, n, part = steps[t]
        dh = g[t] + carried
        dn = dh * (1 - z) * (1 - n * n)
        dz = dh * (before - n) * z * (1 - z)
        dr = dn * part * r * (1 - r)
        to_inputs.append(concat([dr, dz, dn], axis=1))
        to_states.append(concat([dr, dz, dn * r], axis=1))
        carried = dh * z + matmul(to_states[-1], w_hh)
    d_ih, d_hh = flat(stack(to_inputs[::-1])), flat(stack(to_states[::-1]))
    before = flat(stack([step[0] for step in steps]))
    return reshape(matmul(d_ih, w_ih), x.shape), carried, *to_weights(d_ih, d_hh, x, before)


def _gru_moved(
    ts: Sequence[Any], x: NDArray, h: NDArray, w_ih: NDArray, w_hh: NDArray,
    b_ih: NDArray | None, b_hh: NDArray | None,
) -> Any:  # fmt: skip
    t_x, t_h, t_wi, t_wh, t_bi, t_bh = ts
    size, moved = w_hh.shape[1], []
    added = _product_moved(x, w_ih, t_x, t_wi, t_bi)
    for t, (before, r, z, n, part) in enumerate(_gru_steps(x, h, w_ih, w_hh, b_ih, b_hh)):
        a, b = _at(added, t), _total(_product_moved(before, w_hh, t_h, t_wh, None), t_bh)
        both = _total(a, b)
        if both is not None:
            dr = both[..., :size] * r * (1 - r)
            dz = both[..., size : 2 * size] * z * (1 - z)
            dn = dr * part
            dn = dn if a is None else dn + a[..., 2 * size :]
            dn = dn if b is None else dn + r * b[..., 2 * size :]
            kept = dn * (1 - n * n) * (1 - z) + dz * (before - n)
            t_h = kept if t_h is None else kept + z * t_h
        moved.append(n * 0 if t_h is None else t_h)
    return stack(moved)


@op(
    _gru_rule,
    fast=(kernels.gru_gradient,),
    jvp=Joint(_gru_moved, kernels.gru_moved),
    kernel=kernels.gru,
    joint=True,
    inputs=6,
    cached=("states", "gates", "parts"),
    cases=(Case(*SMALL, (6, 2), (6, 2), (6,), (6,)), Case((2, 1, 3), (1, 2), (6, 3), (6, 2), None, None)),
    accumulates=True,
    batch=_sequences,
    math=(
        r"h_t = (1 - z_t) \cdot n_t + z_t \cdot h_{t-1}",
        r"W_{ih}^\top \delta_t",
        r"W_{hh}^\top \delta_1 + z_1 \cdot dh_1",
        r"\sum_t \delta_t x_t^\top",
        r"\sum_t \delta_t h_{t-1}^\top",
        r"\sum_t \delta_t",
        r"\sum_t \delta_t",
    ),
)
def gru(
    x: NDArray,
    h: NDArray,
    w_ih: NDArray,
    w_hh: NDArray,
    b_ih: NDArray | None = None,
    b_hh: NDArray | None = None,
) -> Any:
    """A gated recurrent layer over a sequence; gates in PyTorch's order: reset r, update z, new n.

    r, z = sigmoid(w_ih x[t] + b_ih + w_hh h + b_hh), n = tanh(w_in x[t] + b_in + r * (w_hn h + b_hn)),
    out[t] = (1 - z) * n + z * h with h = out[t - 1], out[-1] = h.
    x (T, N, I), h (N, H), w_ih (3H, I), w_hh (3H, H), biases (3H,) -> (T, N, H).   Raises ShapeError.
    Source: Cho and others 2014.
    >>> gru(np.ones((1, 1, 1)), np.ones((1, 1)), np.zeros((3, 1)), np.zeros((3, 1)))
    array([[[0.5]]])
    """
    check_shapes("gru", 3, x, h, w_ih, w_hh, b_ih, b_hh)
    return np.stack([n + z * (h - n) for h, _, z, n, _ in _gru_steps(x, h, w_ih, w_hh, b_ih, b_hh)])


# LSTM


def _lstm_steps(
    x: NDArray, h: NDArray, c: NDArray, w_ih: NDArray, w_hh: NDArray,
    b_ih: NDArray | None, b_hh: NDArray | None,
) -> list[tuple[Any, ...]]:  # fmt: skip
    """State and cell before, gates i, f, g, o, tanh of the cell after: for each step."""
    size, steps = w_hh.shape[1], []
    added = linear(x, w_ih, b_ih)
    for t in range(x.shape[0]):
        a = added[t] + linear(h, w_hh, b_hh)
        i, f, o = (sigmoid(a[:, k * size : (k + 1) * size]) for k in (0, 1, 3))
        n = tanh(a[:, 2 * size : 3 * size])
        after = f * c + i * n
        squashed = tanh(after)
        steps.append((h, c, i, f, n, o, squashed))
        h, c = o * squashed, after
    return steps


def _lstm_rule(
    g: NDArray, x: NDArray, h: NDArray, c: NDArray, w_ih: NDArray, w_hh: NDArray,
    b_ih: NDArray | None, b_hh: NDArray | None,
) -> tuple[Any, ...]:  # fmt: skip
    steps = _lstm_steps(x, h, c, w_ih, w_hh, b_ih, b_hh)
    deltas: list[Any] = []
    dh: Any = 0
    dc = g[len(steps)]
    for t in reversed(range(len(steps))):
        _, cell, i, f, n, o, squashed = steps[t]
        dh = dh + g[t]
        dc = dc + dh * o * (1 - squashed * squashed)
        parts = (
            dc * n * i * (1 - i),
            dc * cell * f * (1 - f),
            dc * i * (1 - n * n),
            dh * squashed * o * (1 - o),
        )
        deltas.append(concat(parts, axis=1))
        dh, dc = matmul(deltas[-1], w_hh), dc * f
    d = flat(stack(deltas[::-1]))
    before = flat(stack([step[0] for step in steps]))
    return reshape(matmul(d, w_ih), x.shape), dh, dc, *to_weights(d, d, x, before)


def _lstm_moved(
    ts: Sequence[Any], x: NDArray, h: NDArray, c: NDArray, w_ih: NDArray, w_hh: NDArray,
    b_ih: NDArray | None, b_hh: NDArray | None,
) -> Any:  # fmt: skip
    t_x, t_h, t_c, t_wi, t_wh, t_bi, t_bh = ts
    size, moved = w_hh.shape[1], []
    added = _total(_product_moved(x, w_ih, t_x, t_wi, t_bi), t_bh)
    t_c = c * 0 if t_c is None else t_c
    for t, (before, cell, i, f, n, o, squashed) in enumerate(_lstm_steps(x, h, c, w_ih, w_hh, b_ih, b_hh)):
        change = _total(_at(added, t), _product_moved(before, w_hh, t_h, t_wh, None))
        t_c = f * t_c
        if change is not None:
            di, df, dn, do = (change[..., k * size : (k + 1) * size] for k in range(4))
            t_c = t_c + di * n * i * (1 - i) + df * cell * f * (1 - f) + dn * i * (1 - n * n)
        t_h = t_c * o * (1 - squashed * squashed)
        t_h = t_h if change is None else t_h + do * squashed * o * (1 - o)
        moved.append(t_h)
    return stack([*moved, t_c])


@op(
    _lstm_rule,
    fast=(kernels.lstm_gradient,),
    jvp=Joint(_lstm_moved, kernels.lstm_moved),
    kernel=kernels.lstm,
    joint=True,
    inputs=7,
    cached=("states", "gates", "cells"),
    cases=(
        Case((3, 2, 2), (2, 2), (2, 2), (8, 2), (8, 2), (8,), (8,)),
        Case((2, 1, 3), (1, 2), (1, 2), (8, 3), (8, 2), None, None),
    ), accumulates=True,
    batch=_sequences,
    math=(
        r"h_t = o_t \cdot \tanh(c_t), \quad c_t = f_t \cdot c_{t-1} + i_t \cdot \tilde{c}_t",
        r"W_{ih}^\top \delta_t",
        r"W_{hh}^\top \delta_1",
        r"f_1 \cdot dc_1",
        r"\sum_t \delta_t x_t^\top",
        r"\sum_t \delta_t h_{t-1}^\top",
        r"\sum_t \delta_t",
        r"\sum_t \delta_t",
    ),
)  # fmt: skip
def lstm(
    x: NDArray, h: NDArray, c: NDArray, w_ih: NDArray, w_hh: NDArray, b_ih: NDArray | None = None,
    b_hh: NDArray | None = None,
) -> Any:  # fmt: skip
    """A layer with long short-term memory over a sequence; gates in PyTorch's order: i, f, g, o.

    i, f, o = sigmoid(w_ih x[t] + b_ih + w_hh h + b_hh), g = tanh(that); c = f * c + i * g, h = o * tanh(c).
    x (T, N, I), h and c (N, H), w_ih (4H, I), w_hh (4H, H), biases (4H,) -> (T + 1, N, H): h of every step,
    and behind them the last c.   Raises ShapeError.   Source: Hochreiter and Schmidhuber 1997, Gers 2000.
    >>> lstm(np.ones((1, 1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.zeros((4, 1)), np.zeros((4, 1)))[1]
    array([[0.5]])
    """
    check_shapes("lstm", 4, x, h, w_ih, w_hh, b_ih, b_hh)
    check_cell(h, c)
    steps = _lstm_steps(x, h, c, w_ih, w_hh, b_ih, b_hh)
    _, before, i, f, n, *_ = steps[-1]
    return np.stack([*(o * squashed for *_, o, squashed in steps), f * before + i * n])


def lstm_projected(
    x: Array, h: Array, c: Array, w_ih: Array, w_hh: Array,
    b_ih: Array | None, b_hh: Array | None, w_hr: Array,
) -> tuple[Any, Any]:  # fmt: skip
    """An LSTM whose state is projected to fewer features, w_hr (P, H).

    -> all states (T, N, P), and the last c (N, H).       Source: Sak and others 2014.
    >>> y, c = lstm_projected(*map(np.ones, [(2, 1, 1), (1, 1), (1, 2), (8, 1), (8, 1), 8, 8, (1, 2)]))
    >>> y.shape, c.shape
    ((2, 1, 1), (1, 2))
    """
    size, states = w_hr.shape[1], []
    added = linear(x, w_ih, b_ih)
    for t in range(x.shape[0]):
        a = added[t] + linear(h, w_hh, b_hh)
        i, f, o = (sigmoid(a[:, k * size : (k + 1) * size]) for k in (0, 1, 3))
        c = f * c + i * tanh(a[:, 2 * size : 3 * size])
        h = matmul(o * tanh(c), swap(w_hr))
        states.append(h)
    return stack(states), c
