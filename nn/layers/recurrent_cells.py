"""Cells of recurrent layers: one step of an RNN, a GRU or an LSTM."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Count, Size
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn import init
from tinygrad_dl.nn.layers.recurrent import draw
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops.recurrent import gru, lstm, rnn
from tinygrad_dl.ops.shape import expand_dims
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike


class _Cell(Module):
    """One step of a recurrent layer."""

    gates: int

    _optional = {"bias_ih": None, "bias_hh": None}

    def __init__(
        self,
        input_size: Size,
        hidden_size: Count,
        bias: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        self.input_size, self.hidden_size, self.bias = input_size, hidden_size, bias
        gate_size = self.gates * hidden_size
        self.weight_ih = init.empty((gate_size, input_size), dtype, device)
        self.weight_hh = init.empty((gate_size, hidden_size), dtype, device)
        self.bias_ih = init.empty((gate_size,), dtype, device) if bias else None
        self.bias_hh = init.empty((gate_size,), dtype, device) if bias else None
        self.reset_parameters(rng)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize all parameters, uniformly in [-k, k] with k = 1 / sqrt(hidden_size)."""
        draw(self, self.hidden_size, rng)

    def _sequence(self, input: Array, *states: Any) -> tuple[Any, list[Any], bool]:
        """The input as a sequence of one step, the states as (N, H), and whether N had to be added."""
        name = type(self).__name__
        if input.ndim not in (1, 2) or input.shape[-1] != self.input_size:
            raise ShapeError(
                f"{name}: expected input (N, I) or (I,) with I = input_size = {self.input_size}, got {input.shape}"
            )
        # A cell is a sequence of one step, so it shares the operations of the layers.
        added = input.ndim == 1
        x = expand_dims(input, (0, 1) if added else 0)
        batched = []
        for state in states:
            if state is None:
                state = np.zeros((x.shape[1], self.hidden_size), x.dtype)
            elif added and state.ndim == 1:
                state = expand_dims(state, 0)
            if state.shape != (x.shape[1], self.hidden_size):
                raise ShapeError(
                    f"{name}: expected a state of shape {(x.shape[1], self.hidden_size)} for input {input.shape}, "
                    f"got {state.shape}"
                )
            batched.append(state)
        return x, batched, added

    def _weights(self) -> tuple[Any, ...]:
        return self.weight_ih, self.weight_hh, self.bias_ih, self.bias_hh

    def extra_repr(self) -> str:
        """The sizes."""
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else ", bias=False")


class RNNCell(_Cell):
    """One step of an RNN: input (N, I), hx (N, H), zeros by default -> (N, H).

    >>> from tinygrad_dl import zeros
    >>> RNNCell(3, 5)(zeros((2, 3))).shape
    (2, 5)
    """

    gates = 1

    def __init__(
        self,
        input_size: Size,
        hidden_size: Count,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueRangeError(f"RNNCell: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(input_size, hidden_size, bias, device, dtype, rng=rng)

    def forward(self, input: Array, hx: Array | None = None) -> Tensor:
        """The next state."""
        x, (h,), added = self._sequence(input, hx)
        out = rnn(x, h, *self._weights(), nonlinearity=self.nonlinearity)
        return out[0, 0] if added else out[0]


class GRUCell(_Cell):
    """One step of a GRU: input (N, I), hx (N, H), zeros by default -> (N, H)."""

    gates = 3

    def forward(self, input: Array, hx: Array | None = None) -> Tensor:
        """The next state."""
        x, (h,), added = self._sequence(input, hx)
        out = gru(x, h, *self._weights())
        return out[0, 0] if added else out[0]


class LSTMCell(_Cell):
    """One step of an LSTM: input (N, I), hx a pair (h, c) of (N, H), zeros by default -> the next pair.

    >>> from tinygrad_dl import zeros
    >>> h, c = LSTMCell(3, 5)(zeros((2, 3)))
    >>> h.shape, c.shape
    ((2, 5), (2, 5))
    """

    gates = 4

    def forward(self, input: Array, hx: tuple[Array, Array] | None = None) -> tuple[Tensor, Tensor]:
        """The next h and c."""
        x, (h, c), added = self._sequence(input, *((None, None) if hx is None else hx))
        out = lstm(x, h, c, *self._weights())
        return (out[0, 0], out[1, 0]) if added else (out[0], out[1])
