"""Recurrent layers against their formulas step by step; directions, layers, cells and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, func, nn
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.ops.recurrent import gru, lstm, rnn

LAYERS = [nn.RNN, nn.GRU, nn.LSTM]
CELLS = {nn.RNN: nn.RNNCell, nn.GRU: nn.GRUCell, nn.LSTM: nn.LSTMCell}


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def step(kind: Any, layer: Any, x: np.ndarray, h: np.ndarray, c: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """One step by the formula in the layer's docstring."""
    a = x @ layer.weight_ih_l0.data.T + layer.bias_ih_l0.data
    b = h @ layer.weight_hh_l0.data.T + layer.bias_hh_l0.data
    if kind is nn.RNN:
        return np.tanh(a + b), c
    if kind is nn.GRU:
        (ar, az, an), (br, bz, bn) = np.split(a, 3, -1), np.split(b, 3, -1)
        r, z = sigmoid(ar + br), sigmoid(az + bz)
        return (1 - z) * np.tanh(an + r * bn) + z * h, c
    i, f, g, o = np.split(a + b, 4, -1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


def sequence(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(len(shape)).standard_normal(shape))


@pytest.mark.parametrize("kind", LAYERS)
def test_a_layer_follows_its_formula_step_by_step(kind: Any) -> None:
    layer, x = kind(3, 4, rng=0).double(), sequence(5, 2, 3)
    out, last = layer(x)
    h, c = np.zeros((2, 4)), np.zeros((2, 4))
    for t in range(5):
        h, c = step(kind, layer, x.data[t], h, c)
        np.testing.assert_allclose(out.data[t], h, atol=1e-12)
    if kind is nn.LSTM:
        np.testing.assert_allclose(last[1].data[0], c, atol=1e-12)
        last = last[0]
    np.testing.assert_allclose(last.data[0], h, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_a_cell_makes_the_steps_of_its_layer(kind: Any) -> None:
    layer, cell, x = kind(3, 4).double(), CELLS[kind](3, 4).double(), sequence(4, 2, 3)
    cell.load_state_dict({name[: -len("_l0")]: array for name, array in layer.state_dict().items()})
    state = None
    for t in range(4):
        state = cell(x[t], state)
    got = state[0] if isinstance(state, tuple) else state
    np.testing.assert_allclose(got.data, layer(x)[0].data[-1], atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("examples", [2, 64])
def test_the_fast_rule_and_the_one_for_every_order_agree(kind: Any, examples: int) -> None:
    layer, x = kind(3, 2, bidirectional=True).double(), sequence(4, examples, 3).requires_grad_()
    leaves = [x, *layer.parameters()]

    def loss() -> Any:
        out, last = layer(x)
        ends = last if isinstance(last, tuple) else (last,)
        return (out * out).sum() + sum((end**3).sum() for end in ends)

    plain, recorded = grad(loss(), leaves), grad(loss(), leaves, create_graph=True)
    for a, b in zip(plain, recorded):
        np.testing.assert_allclose(a.data, b.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
@pytest.mark.parametrize("examples", [63, 64])
def test_examples_do_not_know_of_each_other_however_many_there_are(kind: Any, examples: int) -> None:
    layer, x = kind(3, 5).double(), sequence(4, examples, 3)
    together, few = layer(x)[0].data, layer(x[:, -2:])[0].data
    np.testing.assert_allclose(together[:, -2:], few, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_the_reverse_direction_reads_the_sequence_backwards(kind: Any) -> None:
    both, x = kind(3, 4, bidirectional=True).double(), sequence(5, 2, 3)
    one = kind(3, 4).double()
    one.load_state_dict(
        {k[: -len("_reverse")]: v for k, v in both.state_dict().items() if k.endswith("_reverse")}
    )
    np.testing.assert_allclose(both(x)[0].data[::-1, :, 4:], one(x[::-1])[0].data, atol=1e-12)


@pytest.mark.parametrize("kind", LAYERS)
def test_layers_are_stacked_and_batch_first_only_swaps_axes(kind: Any) -> None:
    layer = kind(3, 4, num_layers=2, batch_first=True).double()
    other = kind(3, 4, num_layers=2).double()
    other.load_state_dict(layer.state_dict())
    x = sequence(2, 5, 3)
    out, _ = layer(x)
    swapped, _ = other(Tensor(x.data.swapaxes(0, 1)))
    np.testing.assert_allclose(out.data.swapaxes(0, 1), swapped.data, atol=1e-12)
    alone, _ = other(x[0])
    np.testing.assert_allclose(alone.data, out.data[0], atol=1e-12)


def test_a_projected_state_has_the_size_of_the_projection() -> None:
    layer = nn.LSTM(3, 5, num_layers=2, proj_size=2, bidirectional=True)
    out, (h, c) = layer(Tensor(np.zeros((4, 1, 3), np.float32)))
    assert (out.shape, h.shape, c.shape) == ((4, 1, 4), (4, 1, 2), (4, 1, 5))
    assert layer.weight_hr_l1_reverse.shape == (2, 5)


def test_dropout_is_applied_between_layers_while_training_and_repeats_with_its_seed() -> None:
    x = Tensor(np.ones((3, 1, 2), np.float32))
    one, other = (nn.GRU(2, 8, num_layers=2, dropout=0.5, rng=np.random.default_rng(3)) for _ in range(2))
    np.testing.assert_array_equal(one(x)[0].data, other(x)[0].data)
    assert not np.array_equal(one(x)[0].data, one(x)[0].data)
    one.eval()
    np.testing.assert_array_equal(one(x)[0].data, one(x)[0].data)


@pytest.mark.parametrize("kind", LAYERS)
def test_float32_stays_float32_through_time(kind: Any) -> None:
    layer = kind(2, 3)
    out, _ = layer(Tensor(np.zeros((4, 1, 2), np.float32)))
    out.sum().backward()
    assert out.dtype == np.float32
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in layer.parameters())


def test_gates_far_from_zero_saturate_without_warnings() -> None:
    layer = nn.LSTM(1, 2).double()
    for parameter in layer.parameters():
        parameter.data[...] = 1000.0
    out, _ = layer(Tensor(np.array([[[1.0]], [[1000.0]]])))
    np.testing.assert_allclose(out.data[:, 0], np.tanh([[1, 1], [2, 2]]))


def test_an_input_of_the_wrong_size_is_explained() -> None:
    with pytest.raises(ShapeError) as error:
        nn.LSTM(3, 4, batch_first=True)(Tensor(np.zeros((2, 5, 7), np.float32)))
    assert "LSTM: expected input (N, T, I), or (T, I), with I = input_size = 3, got (2, 5, 7)" in str(
        error.value
    )


def test_a_state_of_the_wrong_shape_is_explained() -> None:
    with pytest.raises(ShapeError, match=r"expected hx of shape .* = \(1, 2, 4\), got \(2, 4\)"):
        nn.GRU(3, 4)(Tensor(np.zeros((5, 2, 3), np.float32)), Tensor(np.zeros((2, 4), np.float32)))
    with pytest.raises(ShapeError, match=r"expected the state as a pair \(h, c\)"):
        nn.LSTM(3, 4)(Tensor(np.zeros((5, 2, 3), np.float32)), Tensor(np.zeros((1, 2, 4), np.float32)))


def test_an_empty_sequence_is_refused() -> None:
    with pytest.raises(ShapeError, match="with at least one step"):
        nn.RNN(3, 4)(Tensor(np.zeros((0, 2, 3), np.float32)))


def test_settings_that_make_no_layer_are_refused() -> None:
    for options in ({"hidden_size": 0}, {"num_layers": 0}, {"dropout": 2.0}):
        with pytest.raises(ValueRangeError):
            nn.LSTM(**{"input_size": 3, "hidden_size": 4, **options})
    with pytest.raises(ValueRangeError, match="expected proj_size smaller than hidden_size=4, got 4"):
        nn.LSTM(3, 4, proj_size=4)


@pytest.mark.parametrize("weights_are_narrow", [False, True])
@pytest.mark.parametrize(("op", "gates", "states"), [(rnn, 1, 1), (gru, 3, 1), (lstm, 4, 2)])
def test_a_layer_of_mixed_precision_has_its_gradients_in_the_larger_one(
    op: Any, gates: int, states: int, weights_are_narrow: bool
) -> None:
    rng = np.random.default_rng(5)
    shapes = [(4, 2, 3), *[(2, 5)] * states, (5 * gates, 3), (5 * gates, 5)]
    wide = [rng.standard_normal(shape).astype(np.float32).astype(np.float64) for shape in shapes]
    narrow = [(i > states) == weights_are_narrow for i in range(len(shapes))]
    mixed = [a.astype(np.float32) if low else a for a, low in zip(wide, narrow)]
    found = []
    for arrays in (wide, mixed):
        leaves = [Tensor(a, requires_grad=True) for a in arrays]
        out = op(*leaves)
        assert out.dtype == np.float64
        found.append(grad((out * out).sum(), leaves))
    for exact, got, low in zip(*found, narrow):
        np.testing.assert_allclose(got.data, exact.data, rtol=1e-6 if low else 1e-12)
    changes = [func.jvp(op, tuple(arrays), tuple(arrays))[1] for arrays in (wide, mixed)]
    np.testing.assert_allclose(changes[1], changes[0], rtol=1e-12)
