"""The recurrent layer with long short-term memory (LSTM), one operation for a whole sequence."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.op import Case, op
from tinygrad_dl.ops.contract import matmul
from tinygrad_dl.ops.elementwise import sigmoid, tanh
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.layers import linear
from tinygrad_dl.ops.products import turned
from tinygrad_dl.ops.recurrent import check_shapes, flat, inputs_of_gates, swap, to_weights, to_weights_fast
from tinygrad_dl.ops.shape import reshape


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
    g: Any, x: Any, w_ih: Any, w_hh: Any, states: Any, gates: Any, memory: Any, needs_input_grad: Any
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
    gx = (d @ w_ih).reshape(x.shape) if needs_input_grad[0] else None
    return gx, dh, dc, *to_weights_fast(d, d, x, states[:steps], needs_input_grad[3:])


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
