"""Recurrent layers, each one operation for a whole sequence: plain and gated (GRU); see lstm.py for LSTM.

Sequences are (T, N, I): steps, examples, features. Each operation has two rules: `fast` on arrays, with the gates
that the forward pass kept, and one of operations, which computes the gates again and so serves every order.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.kernels.blas import sum_rows, turned
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.activations import sigmoid, tanh
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.linear import linear
from tinygrad_dl.ops.matmul import matmul
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import permute_dims, reshape


def check_shapes(name: str, gates: int, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> None:
    """Raise unless the shapes fit; the sizes are T, N, I, H."""
    if x.ndim != 3 or not x.shape[0]:
        raise ShapeError(f"{name}: x must be (T, N, I) with at least one step; {x.shape} came")
    if w_hh.ndim != 2 or w_hh.shape[0] != gates * w_hh.shape[1]:
        raise ShapeError(f"{name}: w_hh must be ({gates} * H, H); {w_hh.shape} came")
    hidden = w_hh.shape[1]
    for what, array, shape in (
        ("w_ih", w_ih, (gates * hidden, x.shape[2])),
        ("h", h, (x.shape[1], hidden)),
        ("b_ih", b_ih, (gates * hidden,)),
        ("b_hh", b_hh, (gates * hidden,)),
    ):
        if array is not None and array.shape != shape:
            raise ShapeError(
                f"{name}: for x {x.shape} and w_hh {w_hh.shape}, {what} must be {shape}; {array.shape} came"
            )


def flat(x: Any) -> Any:
    """(T, N, F) as the matrix (T * N, F)."""
    return reshape(x, (x.shape[0] * x.shape[1], x.shape[2]))


def swap(x: Any) -> Any:
    return permute_dims(x, (1, 0))


def _before(h: Any, states: list[Any]) -> Any:
    """The state in front of each step, as the matrix (T * N, H)."""
    return flat(stack([h, *states[:-1]]))


def to_weights(d_ih: Any, d_hh: Any, x: Any, before: Any) -> tuple[Any, ...]:
    """What the parameters receive from the gradients of what they add to: matrices (T * N, gates * H)."""
    return matmul(swap(d_ih), flat(x)), matmul(swap(d_hh), before), sum(d_ih, axis=0), sum(d_hh, axis=0)


def to_weights_fast(
    d_ih: np.ndarray, d_hh: np.ndarray, x: np.ndarray, before: np.ndarray, needs: Any
) -> tuple[Any, ...]:
    same = d_hh is d_ih
    b_ih = sum_rows(d_ih) if needs[2] or (same and needs[3]) else None
    b_hh = (b_ih if same else sum_rows(d_hh)) if needs[3] else None
    w_ih = d_ih.T @ x.reshape(len(d_ih), x.shape[2]) if needs[0] else None
    w_hh = d_hh.T @ before.reshape(len(d_hh), before.shape[-1]) if needs[1] else None
    return w_ih, w_hh, b_ih, b_hh


def inputs_of_gates(x: np.ndarray, w: np.ndarray, *biases: Any) -> np.ndarray:
    """What the inputs of all steps add to the gates, in one product."""
    total = x.reshape(-1, x.shape[2]) @ w.T
    for b in biases:
        if b is not None:
            total += b
    return total.reshape(*x.shape[:2], w.shape[0])


SMALL = ((3, 2, 2), (2, 2))


# Plain


def _rnn_rule(
    g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, nonlinearity: Any, out: Any
) -> tuple[Any, ...]:
    states = [out[t] for t in range(x.shape[0])]
    deltas: list[Any] = []
    carried: Any = 0
    for t in reversed(range(len(states))):
        slope = 1 - states[t] * states[t] if nonlinearity == "tanh" else states[t] > 0
        deltas.append((g[t] + carried) * slope)
        carried = matmul(deltas[-1], w_hh)
    d = flat(stack(deltas[::-1]))
    return reshape(matmul(d, w_ih), x.shape), carried, *to_weights(d, d, x, _before(h, states))


def _rnn_fast(
    g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, nonlinearity: Any, states: Any, needs: Any
) -> tuple[Any, ...]:
    after = states[1:]
    d = 1 - after * after if nonlinearity == "tanh" else (after > 0).astype(after.dtype)
    carried = np.zeros_like(h, dtype=d.dtype)
    for t in range(len(d) - 1, -1, -1):
        carried += g[t]
        d[t] *= carried
        np.matmul(d[t], w_hh, out=carried)
    d = d.reshape(-1, d.shape[2])
    gx = (d @ w_ih).reshape(x.shape) if needs[0] else None
    return gx, carried, *to_weights_fast(d, d, x, states[:-1], needs[2:])


@op(
    _rnn_rule,
    fast=(_rnn_fast,),
    joint=True,
    inputs=6,
    cached=("states",),
    cases=(
        Case(*SMALL, (2, 2), (2, 2), (2,), (2,)), Case(*SMALL, (2, 2), (2, 2), None, None, nonlinearity="relu"),
        Case((2, 1, 3), (1, 2), (2, 3), (2, 2), None, (2,)),
    ),
)  # fmt: skip
def rnn(
    x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None, *, nonlinearity: str = "tanh"
) -> Any:
    """A plain recurrent layer over a sequence.

    out[t] = tanh(w_ih x[t] + b_ih + w_hh out[t - 1] + b_hh), out[-1] = h; or relu.
    x (T, N, I), h (N, H), w_ih (H, I), w_hh (H, H), biases (H,) -> (T, N, H).   Raises ShapeError.
    Source: Elman 1990.
    >>> one = np.ones((1, 1))
    >>> rnn(np.ones((2, 1, 1)), 0 * one, one, one, nonlinearity="relu").ravel()
    array([1., 2.])
    """
    check_shapes("rnn", 1, x, h, w_ih, w_hh, b_ih, b_hh)
    added = inputs_of_gates(x, w_ih, b_ih, b_hh)
    states = np.empty((len(x) + 1, *h.shape), np.result_type(added, h, w_hh))
    states[0] = h
    recurrent = turned(w_hh, x.shape[0] * x.shape[1])
    for t in range(len(x)):
        now = states[t + 1]
        np.matmul(states[t], recurrent, out=now)
        now += added[t]
        if nonlinearity == "tanh":
            np.tanh(now, out=now)
        else:
            np.maximum(now, 0, out=now)
    return states[1:], states


# Gated


def _gru_steps(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> list[tuple[Any, ...]]:
    """State before, reset, update, new, recurrent part of new: of each step."""
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


def _gru_rule(g: Any, x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[Any, ...]:
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


def _gru_fast(
    g: Any, x: Any, w_ih: Any, w_hh: Any, states: Any, gates: Any, parts: Any, needs: Any
) -> tuple[Any, ...]:
    steps, n, size = parts.shape
    split = gates.reshape(steps, n, 3, size)
    r, z, new = split[:, :, 0], split[:, :, 1], split[:, :, 2]
    # Slopes of each step on its own, for all steps at once
    d_hh = np.empty_like(split)
    d_new = (1 - z) * (1 - new * new)
    np.multiply(parts, r * (1 - r), out=d_hh[:, :, 0])
    np.multiply(states[:-1] - new, z * (1 - z), out=d_hh[:, :, 1])
    d_hh[:, :, 2] = r
    carried, kept = np.zeros_like(parts[0]), np.empty_like(parts[0])
    for t in range(steps - 1, -1, -1):
        carried += g[t]
        d_new[t] *= carried
        d_hh[t, :, ::2] *= d_new[t][:, None]
        d_hh[t, :, 1] *= carried
        np.multiply(carried, z[t], out=kept)
        np.matmul(d_hh[t].reshape(n, 3 * size), w_hh, out=carried)
        carried += kept
    d_ih = d_hh.copy()
    d_ih[:, :, 2] = d_new
    d_ih, d_hh = d_ih.reshape(-1, 3 * size), d_hh.reshape(-1, 3 * size)
    gx = (d_ih @ w_ih).reshape(x.shape) if needs[0] else None
    return gx, carried, *to_weights_fast(d_ih, d_hh, x, states[:-1], needs[2:])


@op(
    _gru_rule,
    fast=(_gru_fast,),
    joint=True,
    inputs=6,
    cached=("states", "gates", "parts"),
    cases=(Case(*SMALL, (6, 2), (6, 2), (6,), (6,)), Case((2, 1, 3), (1, 2), (6, 3), (6, 2), None, None)),
)
def gru(x: Any, h: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """A gated recurrent layer over a sequence; gates in PyTorch's order: reset r, update z, new n.

    r, z = sigmoid(w_ih x[t] + b_ih + w_hh h + b_hh), n = tanh(w_in x[t] + b_in + r * (w_hn h + b_hn)),
    out[t] = (1 - z) * n + z * h with h = out[t - 1], out[-1] = h.
    x (T, N, I), h (N, H), w_ih (3H, I), w_hh (3H, H), biases (3H,) -> (T, N, H).   Raises ShapeError.
    Source: Cho and others 2014.
    >>> gru(np.ones((1, 1, 1)), np.ones((1, 1)), np.zeros((3, 1)), np.zeros((3, 1)))
    array([[[0.5]]])
    """
    check_shapes("gru", 3, x, h, w_ih, w_hh, b_ih, b_hh)
    (steps, n, _), size = x.shape, w_hh.shape[1]
    gates = inputs_of_gates(x, w_ih, b_ih)
    if b_hh is not None:
        gates[:, :, : 2 * size] += b_hh[: 2 * size]
    dtype = np.result_type(gates, h, w_hh)
    gates = gates.astype(dtype, copy=False)
    states, parts = np.empty((steps + 1, n, size), dtype), np.empty((steps, n, size), dtype)
    states[0] = h
    recurrent, product = turned(w_hh, steps * n), np.empty((n, 3 * size), dtype)
    for t in range(steps):
        before, after, part, gate = states[t], states[t + 1], parts[t], gates[t]
        np.matmul(before, recurrent, out=product)
        rz, new = gate[:, : 2 * size], gate[:, 2 * size :]
        rz += product[:, : 2 * size]
        rz *= 0.5
        np.tanh(rz, out=rz)
        rz += 1
        rz *= 0.5
        part[...] = product[:, 2 * size :]
        if b_hh is not None:
            part += b_hh[2 * size :]
        new += np.multiply(rz[:, :size], part, out=after)
        np.tanh(new, out=new)
        np.subtract(before, new, out=after)
        after *= rz[:, size:]
        after += new
    return states[1:], states, gates, parts


# LSTM


def _halving(hidden: int, gates: int, whole: int, dtype: Any) -> tuple[np.ndarray, np.ndarray]:
    """Factors and shifts that make tanh logistic, sigmoid(x) = tanh(x / 2) / 2 + 1 / 2, but in gate `whole`."""
    factor, shift = np.full(gates * hidden, 0.5, dtype), np.full(gates * hidden, 0.5, dtype)
    factor[whole * hidden : (whole + 1) * hidden] = 1
    shift[whole * hidden : (whole + 1) * hidden] = 0
    return factor, shift


def _lstm_steps(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> list[tuple[Any, ...]]:
    """State and memory before, gates i, f, g, o, memory after in tanh: of each step."""
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


def _lstm_rule(g: Any, x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any) -> tuple[Any, ...]:
    steps = _lstm_steps(x, h, c, w_ih, w_hh, b_ih, b_hh)
    deltas: list[Any] = []
    dh: Any = 0
    dc = g[len(steps)]
    for t in reversed(range(len(steps))):
        _, memory, i, f, n, o, squashed = steps[t]
        dh = dh + g[t]
        dc = dc + dh * o * (1 - squashed * squashed)
        parts = (
            dc * n * i * (1 - i),
            dc * memory * f * (1 - f),
            dc * i * (1 - n * n),
            dh * squashed * o * (1 - o),
        )
        deltas.append(concat(parts, axis=1))
        dh, dc = matmul(deltas[-1], w_hh), dc * f
    d = flat(stack(deltas[::-1]))
    before = flat(stack([step[0] for step in steps]))
    return reshape(matmul(d, w_ih), x.shape), dh, dc, *to_weights(d, d, x, before)


def _lstm_fast(
    g: Any, x: Any, w_ih: Any, w_hh: Any, states: Any, gates: Any, memory: Any, needs: Any
) -> tuple[Any, ...]:
    (steps, n, _), size = x.shape, w_hh.shape[1]
    split = gates.reshape(steps, n, 4, size)
    i, f, new, o = (split[:, :, k] for k in range(4))
    squashed = np.tanh(memory[1:])
    # Slopes of each step on its own, for all steps at once
    d = 1 - split
    d *= split  # the logistic function's slope s * (1 - s)
    d[:, :, 0] *= new
    d[:, :, 1] *= memory[:-1]
    np.multiply(i, 1 - new * new, out=d[:, :, 2])
    d[:, :, 3] *= squashed
    squashed *= squashed
    through = np.subtract(1, squashed, out=squashed)
    through *= o
    dh, dc, part = np.zeros_like(memory[0]), g[steps].astype(d.dtype), np.empty_like(memory[0])
    for t in range(steps - 1, -1, -1):
        now = d[t]
        dh += g[t]
        dc += np.multiply(dh, through[t], out=part)
        now[:, :3] *= dc[:, None]
        now[:, 3] *= dh
        np.matmul(now.reshape(n, 4 * size), w_hh, out=dh)
        dc *= f[t]
    d = d.reshape(-1, 4 * size)
    gx = (d @ w_ih).reshape(x.shape) if needs[0] else None
    return gx, dh, dc, *to_weights_fast(d, d, x, states[:steps], needs[3:])


@op(
    _lstm_rule,
    fast=(_lstm_fast,),
    joint=True,
    inputs=7,
    cached=("states", "gates", "memory"),
    cases=(
        Case((3, 2, 2), (2, 2), (2, 2), (8, 2), (8, 2), (8,), (8,)),
        Case((2, 1, 3), (1, 2), (1, 2), (8, 3), (8, 2), None, None),
    ),
)  # fmt: skip
def lstm(x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any = None, b_hh: Any = None) -> Any:
    """A layer with long short-term memory over a sequence; gates in PyTorch's order: i, f, g, o.

    i, f, o = sigmoid(w_ih x[t] + b_ih + w_hh h + b_hh), g = tanh(that); c = f * c + i * g, h = o * tanh(c).
    x (T, N, I), h and c (N, H), w_ih (4H, I), w_hh (4H, H), biases (4H,) -> (T + 1, N, H): h of every step,
    and behind them the last c.   Raises ShapeError.   Source: Hochreiter and Schmidhuber 1997, Gers 2000.
    >>> lstm(np.ones((1, 1, 1)), np.ones((1, 1)), np.ones((1, 1)), np.zeros((4, 1)), np.zeros((4, 1)))[1]
    array([[0.5]])
    """
    check_shapes("lstm", 4, x, h, w_ih, w_hh, b_ih, b_hh)
    if c.shape != h.shape:
        raise ShapeError(f"lstm: h {h.shape} and c {c.shape} must have one shape")
    (steps, n, _), size = x.shape, w_hh.shape[1]
    gates = inputs_of_gates(x, w_ih, b_ih, b_hh)
    dtype = np.result_type(gates, h, c, w_hh)
    gates = gates.astype(dtype, copy=False)
    states, memory = np.empty((steps + 2, n, size), dtype), np.empty((steps + 1, n, size), dtype)
    states[0], memory[0] = h, c
    factor, shift = _halving(size, 4, 2, dtype)
    gates *= factor
    recurrent = turned(w_hh * factor[:, None], steps * n)
    product, part = np.empty((n, 4 * size), dtype), np.empty((n, size), dtype)
    for t in range(steps):
        gate, after, state = gates[t], memory[t + 1], states[t + 1]
        gate += np.matmul(states[t], recurrent, out=product)
        np.tanh(gate, out=gate)
        gate *= factor
        gate += shift
        np.multiply(gate[:, size : 2 * size], memory[t], out=after)
        after += np.multiply(gate[:, :size], gate[:, 2 * size : 3 * size], out=part)
        np.tanh(after, out=state)
        state *= gate[:, 3 * size :]
    states[-1] = memory[-1]
    return states[1:], states, gates, memory


def lstm_projected(
    x: Any, h: Any, c: Any, w_ih: Any, w_hh: Any, b_ih: Any, b_hh: Any, w_hr: Any
) -> tuple[Any, Any]:
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
