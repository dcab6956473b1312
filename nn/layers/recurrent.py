"""Recurrent layers: RNN, LSTM, GRU, with layers, directions, dropout, projections and packed sequences."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.arguments import Count, Probability, Size
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn import init
from tinygrad_dl.nn.functional.dropouts import dropout
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.warnings import warn_of_widening
from tinygrad_dl.ops.join import concat, stack
from tinygrad_dl.ops.recurrent import gru, lstm, lstm_projected, rnn
from tinygrad_dl.ops.shape import expand_dims, permute_dims, reshape, squeeze
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike

if TYPE_CHECKING:
    from tinygrad_dl.nn.utils.rnn import PackedSequence


def draw(module: Module, hidden_size: int, rng: RandomLike) -> None:
    """Initialize all parameters uniformly in [-k, k], k = 1 / sqrt(hidden_size)."""
    bound = hidden_size**-0.5 if hidden_size else 0.0
    for parameter in module.parameters():
        init.uniform_(parameter, -bound, bound, rng=rng)


def _blocks(batch_sizes: list[int]) -> list[tuple[int, int, int]]:
    """Runs of steps with the same number of sequences: start in the packed data, number of steps and of sequences."""
    blocks, start = [], 0
    for batch, run in groupby(batch_sizes):
        steps = len(list(run))
        blocks.append((start, steps, batch))
        start += steps * batch
    return blocks


class _Recurrent(Module):
    """Base of recurrent layers: parameters named by layer and direction, and the loop over both."""

    gates: int
    # One layer in one direction: (x, state, suffix) -> all its outputs (T, N, H), and its last state.
    _run: Callable[..., tuple[Any, tuple[Any, ...]]]
    # (N, dtype, hx, unbatched) -> the parts of the starting state, each (layers * directions, N, size).
    _begin: Callable[..., tuple[Any, ...]]

    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        num_layers: Count = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: Probability = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        proj_size: Size = 0,
        rng: RandomLike = None,
    ) -> None:
        name = type(self).__name__
        if hidden_size < 1 or num_layers < 1:
            raise ValueRangeError(
                f"{name}: expected hidden_size and num_layers of at least 1, got {hidden_size} and {num_layers}"
            )
        if not 0 <= dropout <= 1:
            raise ValueRangeError(f"{name}: expected a dropout probability from 0 to 1, got {dropout!r}")
        if not 0 <= proj_size < hidden_size:
            raise ValueRangeError(
                f"{name}: expected proj_size smaller than hidden_size={hidden_size}, got {proj_size}"
            )
        self.input_size, self.hidden_size, self.num_layers = input_size, hidden_size, num_layers
        self.bias, self.batch_first, self.dropout = bias, batch_first, dropout
        self.bidirectional, self.proj_size = bidirectional, proj_size
        self.rng = rng
        gate_size, state = self.gates * hidden_size, proj_size or hidden_size
        for layer, suffix in self._names():
            inputs = input_size if not layer else state * self._directions
            setattr(self, f"weight_ih_{suffix}", init.empty((gate_size, inputs), dtype, device))
            setattr(self, f"weight_hh_{suffix}", init.empty((gate_size, state), dtype, device))
            if bias:
                setattr(self, f"bias_ih_{suffix}", init.empty((gate_size,), dtype, device))
                setattr(self, f"bias_hh_{suffix}", init.empty((gate_size,), dtype, device))
            if proj_size:
                setattr(self, f"weight_hr_{suffix}", init.empty((proj_size, hidden_size), dtype, device))
        self.reset_parameters(rng)

    @property
    def _directions(self) -> int:
        return 2 if self.bidirectional else 1

    def _names(self) -> Iterator[tuple[int, str]]:
        for layer in range(self.num_layers):
            yield layer, f"l{layer}"
            if self.bidirectional:
                yield layer, f"l{layer}_reverse"

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Reinitialize all parameters, uniformly in [-k, k] with k = 1 / sqrt(hidden_size)."""
        draw(self, self.hidden_size, rng)

    def flatten_parameters(self) -> None:
        """Does nothing; for compatibility with PyTorch."""

    def _parameters_at(self, suffix: str) -> tuple[Any, ...]:
        weights = getattr(self, f"weight_ih_{suffix}"), getattr(self, f"weight_hh_{suffix}")
        if not self.bias:
            return *weights, None, None
        return *weights, getattr(self, f"bias_ih_{suffix}"), getattr(self, f"bias_hh_{suffix}")

    def _part(
        self, name: str, batch: int, dtype: DTypeLike | None, part: Any, size: int, unbatched: bool
    ) -> Any:
        shape = (self.num_layers * self._directions, batch, size)
        if part is None:
            return np.zeros(shape, dtype)
        part = expand_dims(part, 1) if unbatched and part.ndim == 2 else part
        if part.shape != shape:
            given = part.shape if not unbatched else (part.shape[0], *part.shape[2:])
            wanted = shape if not unbatched else (shape[0], size)
            raise ShapeError(
                f"{type(self).__name__}: expected {name} of shape (num_layers * directions, "
                f"{'' if unbatched else 'N, '}size) = {wanted}, got {given}"
            )
        return part

    def _sequence(self, input: Array | PackedSequence, hx: Any) -> tuple[Any, tuple[Any, ...]]:
        """The outputs of the last layer, packed if the input is, and the last states of every layer."""
        packed = input if isinstance(input, tuple) else None  # a PackedSequence is a tuple
        x: Any = input if packed is None else packed.data
        self._check(x, (2, 3) if packed is None else (2,))
        if packed is not None:
            sizes, order, back = packed.batch_sizes.tolist(), packed.sorted_indices, packed.unsorted_indices
            begin = self._begin(sizes[0], x.dtype, hx, False)
            if order is not None:
                begin = tuple(part[:, order] for part in begin)
            x, last = self._stacked(x, begin, partial(self._run_packed, _blocks(sizes)))
            return packed._replace(data=x), last if back is None else tuple(part[:, back] for part in last)
        unbatched = x.ndim == 2
        if unbatched:
            x = expand_dims(x, 1)
        elif self.batch_first:
            x = permute_dims(x, (1, 0, 2))
        x, last = self._stacked(x, self._begin(x.shape[1], x.dtype, hx, unbatched), self._run_directed)
        if unbatched:
            return squeeze(x, 1), tuple(squeeze(part, 1) for part in last)
        return (permute_dims(x, (1, 0, 2)) if self.batch_first else x), last

    def _check(self, x: Array, axes: tuple[int, ...]) -> None:
        name = type(self).__name__
        if x.ndim not in axes or x.shape[-1] != self.input_size:
            order = "(N, T, I)" if self.batch_first else "(T, N, I)"
            shapes = f"{order}, or (T, I)," if 3 in axes else "packed sequences of (L, I)"
            raise ShapeError(
                f"{name}: expected input {shapes} with I = input_size = {self.input_size}, got {x.shape}"
            )
        weight = vars(self).get("weight_hh_l0", x)  # not there if it is computed by a parametrization
        if isinstance(x, Tensor) and x._data.dtype is not weight._data.dtype:
            warn_of_widening(name, x, weight)

    def _stacked(
        self, x: Array, begin: tuple[Any, ...], run: Callable[..., Any]
    ) -> tuple[Any, tuple[Any, ...]]:
        """Run all layers and directions by `run`; returns the last layer's outputs and all last states."""
        ends: list[tuple[Any, ...]] = []
        outs: list[Any] = []
        for i, (layer, suffix) in enumerate(self._names()):
            if layer and not outs and self.dropout and self.training:
                x = dropout(x, self.dropout, True, rng=self.rng)
            out, end = run(x, tuple(part[i] for part in begin), suffix)
            outs.append(out)
            ends.append(end)
            if len(outs) == self._directions:
                x, outs = (concat(outs, axis=-1) if self.bidirectional else outs[0]), []
        grouped = map(list, zip(*ends))  # all first parts of the states, all second ones
        return x, tuple(stack(parts) if len(parts) > 1 else expand_dims(parts[0], 0) for parts in grouped)

    def _run_directed(self, x: Array, state: tuple[Any, ...], suffix: str) -> tuple[Any, tuple[Any, ...]]:
        if not suffix.endswith("reverse"):
            return self._run(x, state, suffix)
        out, end = self._run(x[::-1], state, suffix)
        return out[::-1], end

    def _run_packed(
        self, blocks: list[tuple[int, int, int]], x: Array, state: tuple[Any, ...], suffix: str
    ) -> tuple[Any, tuple[Any, ...]]:
        """Run blocks of steps with the same number of sequences: forward, sequences end; backward, they begin."""
        reverse = suffix.endswith("reverse")
        outs: list[Any] = []
        ends: list[tuple[Any, ...]] = []
        current = tuple(part[:0] for part in state) if reverse else state
        for start, steps, batch in reversed(blocks) if reverse else blocks:
            size = current[0].shape[0]
            if size < batch:
                current = tuple(concat([part, first[size:batch]]) for part, first in zip(current, state))
            elif size > batch:
                ends.append(tuple(part[batch:] for part in current))
                current = tuple(part[:batch] for part in current)
            block = reshape(x[start : start + steps * batch], (steps, batch, x.shape[1]))
            out, current = self._run_directed(block, current, suffix)
            outs.append(reshape(out, (steps * batch, out.shape[2])))
        last = tuple(concat(parts) for parts in zip(current, *reversed(ends)))
        return concat(outs[::-1] if reverse else outs), last

    def extra_repr(self) -> str:
        """The sizes, and the settings that differ from their defaults."""
        text = f"{self.input_size}, {self.hidden_size}"
        for name, default in (
            ("proj_size", 0), ("num_layers", 1), ("bias", True), ("batch_first", False), ("dropout", 0.0),
            ("bidirectional", False),
        ):  # fmt: skip
            if getattr(self, name) != default:
                text += f", {name}={getattr(self, name)}"
        return text


class _OneState(_Recurrent):
    def _begin(
        self, batch: int, dtype: DTypeLike | None, hx: Array | None, unbatched: bool
    ) -> tuple[Any, ...]:
        return (self._part("hx", batch, dtype, hx, self.hidden_size, unbatched),)

    def forward(self, input: Array | PackedSequence, hx: Array | None = None) -> tuple[Tensor, Tensor]:
        """All states of the last layer, and the last state of every layer."""
        out, (last,) = self._sequence(input, hx)
        return out, last


class RNN(_OneState):
    """Recurrent layers: h[t] = tanh(W_ih x[t] + b_ih + W_hh h[t-1] + b_hh), or relu.

    input (T, N, I), or (N, T, I) with batch_first -> all states of the last layer (T, N, D * H) and the last ones
    of all layers (layers * D, N, H), D = 2 if bidirectional. `dropout` between layers, while training.
    Parameters weight_ih_l0 (H, I), weight_hh_l0 (H, H), bias_ih_l0, bias_hh_l0 (H,), ..._reverse; all are
    initialized uniformly in [-k, k], k = 1 / sqrt(H).   Source: Elman 1990.
    >>> from tinygrad_dl import zeros
    >>> out, last = RNN(3, 5)(zeros((7, 2, 3)))
    >>> out.shape, last.shape
    ((7, 2, 5), (1, 2, 5))
    """

    gates = 1

    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        num_layers: Count = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: Probability = 0.0,
        bidirectional: bool = False,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueRangeError(f"RNN: expected nonlinearity 'tanh' or 'relu', got {nonlinearity!r}")
        self.nonlinearity = nonlinearity
        super().__init__(
            input_size,
            hidden_size,
            num_layers,
            bias,
            batch_first,
            dropout,
            bidirectional,
            device,
            dtype,
            rng=rng,
        )

    def _run(self, x: Array, state: tuple[Any, ...], suffix: str) -> tuple[Any, tuple[Any, ...]]:
        out = rnn(x, *state, *self._parameters_at(suffix), nonlinearity=self.nonlinearity)
        return out, (out[-1],)


class GRU(_OneState):
    """Gated recurrent layers; gates in the order reset r, update z, new n.

    r, z = sigmoid(W_ih x + b_ih + W_hh h + b_hh), n = tanh(W_in x + b_in + r * (W_hn h + b_hn)),
    h' = (1 - z) * n + z * h.   Shapes as RNN's, weight_ih_l0 (3 H, I), weight_hh_l0 (3 H, H).
    Source: Cho and others 2014.
    >>> from tinygrad_dl import zeros
    >>> GRU(3, 5, num_layers=2, batch_first=True)(zeros((2, 7, 3)))[0].shape
    (2, 7, 5)
    """

    gates = 3

    def _run(self, x: Array, state: tuple[Any, ...], suffix: str) -> tuple[Any, tuple[Any, ...]]:
        out = gru(x, *state, *self._parameters_at(suffix))
        return out, (out[-1],)


class LSTM(_Recurrent):
    """Layers with long short-term memory; gates in the order input i, forget f, cell g, output o.

    i, f, o = sigmoid(W_ih x + b_ih + W_hh h + b_hh), g = tanh(that), c' = f * c + i * g, h' = o * tanh(c').
    input (T, N, I), state (h, c), zeros by default -> states (T, N, D * H) and (h, c) of every layer
    (layers * D, N, H); weight_ih_l0 (4 H, I), weight_hh_l0 (4 H, H). proj_size=P: h' = W_hr (o * tanh(c')), (P,).
    Other arguments as RNN's.   Source: Hochreiter and Schmidhuber 1997.
    >>> from tinygrad_dl import zeros
    >>> out, (h, c) = LSTM(3, 5)(zeros((7, 2, 3)))
    >>> out.shape, h.shape, c.shape
    ((7, 2, 5), (1, 2, 5), (1, 2, 5))
    """

    gates = 4

    def __init__(
        self,
        input_size: Count,
        hidden_size: Count,
        num_layers: Count = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: Probability = 0.0,
        bidirectional: bool = False,
        proj_size: Size = 0,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        rng: RandomLike = None,
    ) -> None:
        super().__init__(
            input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional, device, dtype,
            proj_size=proj_size, rng=rng,
        )  # fmt: skip

    def _begin(self, batch: int, dtype: DTypeLike | None, hx: Any, unbatched: bool) -> tuple[Any, ...]:
        if hx is not None and not (isinstance(hx, (tuple, list)) and len(hx) == 2):
            raise ShapeError(f"LSTM: expected the state as a pair (h, c), got {type(hx).__name__}")
        h, c = (None, None) if hx is None else hx
        return (
            self._part("h", batch, dtype, h, self.proj_size or self.hidden_size, unbatched),
            self._part("c", batch, dtype, c, self.hidden_size, unbatched),
        )

    def _run(self, x: Array, state: tuple[Any, ...], suffix: str) -> tuple[Any, tuple[Any, ...]]:
        (h, c), (w_ih, w_hh, b_ih, b_hh) = state, self._parameters_at(suffix)
        if self.proj_size:
            w_hr = getattr(self, f"weight_hr_{suffix}")
            out, c = lstm_projected(x, h, c, w_ih, w_hh, b_ih, b_hh, w_hr)
            return out, (out[-1], c)
        states = lstm(x, h, c, w_ih, w_hh, b_ih, b_hh)
        return states[:-1], (states[-2], states[-1])

    def forward(
        self, input: Array | PackedSequence, hx: tuple[Array, Array] | None = None
    ) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """All states of the last layer, and the pair of the last h and c of every layer."""
        out, (h, c) = self._sequence(input, hx)
        return out, (h, c)
