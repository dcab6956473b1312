"""Masks, targets, lengths and offsets as arguments of a step: read at every run, however the layer looks at them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import nn, optim
from tinygrad_dl.nn import functional as F

RNG = np.random.default_rng(0)
CALLS = 7  # of which four run the program, two of them unverified no longer
X = [RNG.normal(size=(5, 3, 8)).astype(np.float32) for _ in range(CALLS)]
ROWS = [x[:, 0] for x in X]
IMAGES = [RNG.normal(size=(2, 3, 9, 9)).astype(np.float32) for _ in range(CALLS)]


def masks(shape: tuple[int, ...]) -> list[np.ndarray]:
    """Boolean masks, of which some let a query attend to no key."""
    made = [RNG.random(shape) < 0.4 for _ in range(CALLS)]
    for k in (1, 4, 6):
        made[k][..., k % shape[-2], :] = True
    return made


def to_add(made: Sequence[np.ndarray]) -> list[np.ndarray]:
    return [np.where(m, -np.inf, RNG.normal(size=m.shape)).astype(np.float32) for m in made]


MASK, HEADS, PADDING = masks((5, 5)), masks((6, 5, 5)), masks((3, 5))


def trained(make: Callable[[], nn.Module], call: Callable[..., Any]) -> Callable[[], Callable[..., Any]]:
    """A step that minimizes the mean square of what a layer gives, or its number."""

    def made() -> Callable[..., Any]:
        layer = make()
        optimizer = optim.SGD(layer.parameters(), 0.05)

        def step(*args: Any) -> Any:
            optimizer.zero_grad()
            out = call(layer, *args)
            loss = (out * out).mean() if out.ndim else out
            loss.backward()
            optimizer.step()
            return loss

        return step

    return made


def attention(**options: Any) -> Callable[[], Callable[..., Any]]:
    def call(layer: Any, x: Any, mask: Any, padding: Any = None) -> Any:
        out, weights = layer(x, x, x, attn_mask=mask, key_padding_mask=padding)
        return (out * out).mean() + (weights * weights).sum()

    return trained(lambda: nn.MultiheadAttention(8, 2, dropout=0.1, **options), call)


def loss(
    criterion: Callable[[], Any], head: Callable[[Any], Any] = lambda x: x
) -> Callable[[], Callable[..., Any]]:
    def made() -> Callable[..., Any]:
        own = criterion()
        return trained(lambda: nn.Linear(8, 6), lambda layer, x, *target: own(head(layer(x)), *target))()

    return made


def bags(**options: Any) -> Callable[[], Callable[..., Any]]:
    return trained(lambda: nn.EmbeddingBag(10, 4, **options), lambda layer, *args: layer(*args))


def normalized(norm: Callable[[Any], Any], layer: Callable[[], Any]) -> Callable[[], Callable[..., Any]]:
    return trained(lambda: norm(layer()), lambda layer, x: layer(x) + (layer.weight**2).sum())


def integers(low: int, high: int, shape: tuple[int, ...]) -> list[np.ndarray]:
    return [RNG.integers(low, high, shape) for _ in range(CALLS)]


INDEX = integers(0, 10, (12,))
OFFSETS = [np.concatenate([[0], np.sort(RNG.integers(0, 13, 4))]) for _ in range(CALLS)]
LISTED = [np.stack([np.r_[RNG.permutation(6)[:k], [-1] * (6 - k)] for k in range(5)]).astype(int) for _ in X]
CTC = list(zip(X, integers(1, 6, (3, 2)), integers(4, 6, (3,)), integers(0, 3, (3,)), strict=True))

#: What makes a step, and the arguments of its calls.
STEPS: dict[str, tuple[Callable[[], Callable[..., Any]], Sequence[Sequence[Any]]]] = {
    "boolean mask": (attention(), list(zip(X, MASK, strict=True))),
    "mask to add": (attention(), list(zip(X, to_add(MASK), strict=True))),
    "mask of each head": (attention(), list(zip(X, HEADS, strict=True))),
    "padding": (attention(), [(x, None, p) for x, p in zip(X, PADDING, strict=True)]),
    "both": (
        attention(add_bias_kv=True, add_zero_attn=True), list(zip(X, MASK, to_add(PADDING), strict=True))
    ),
    "scaled_dot_product_attention": (
        trained(
            lambda: nn.Linear(8, 8), lambda layer, x, m: F.scaled_dot_product_attention(layer(x), x, x, m)
        ),
        list(zip(X, masks((3, 3)), strict=True)),
    ),
    "encoder": (
        trained(
            lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16), 2),
            lambda layer, x, m, p: layer(x, m, p, is_causal=True),
        ),
        list(zip(X, MASK, PADDING, strict=True)),
    ),
    "transformer": (
        trained(
            lambda: nn.Transformer(8, 2, 1, 1, 16),
            lambda layer, x, p: layer(
                x, x, None, layer.generate_square_subsequent_mask(5), None, p, None, p
            ),
        ),
        list(zip(X, PADDING, strict=True)),
    ),
    "CTCLoss": (loss(nn.CTCLoss, lambda x: F.log_softmax(x, -1)), CTC),
    "CTCLoss, zero_infinity": (loss(lambda: nn.CTCLoss(zero_infinity=True, reduction="sum")), CTC),
    "MultiMarginLoss": (loss(nn.MultiMarginLoss), list(zip(ROWS, integers(0, 6, (5,)), strict=True))),
    "MultiMarginLoss, int32": (
        loss(lambda: nn.MultiMarginLoss(2, weight=tg.arange(1.0, 7.0))),
        [(x, t.astype(np.int32)) for x, t in zip(ROWS, integers(0, 6, (5,)), strict=True)],
    ),
    "MultiLabelMarginLoss": (loss(nn.MultiLabelMarginLoss), list(zip(ROWS, LISTED, strict=True))),
    "FractionalMaxPool2d": (
        trained(
            lambda: nn.Sequential(nn.Conv2d(3, 3, 1), nn.FractionalMaxPool2d(2, output_size=4)),
            lambda layer, x: layer(x),
        ),
        [(x,) for x in IMAGES],
    ),
    "EmbeddingBag": (bags(mode="sum"), list(zip(INDEX, OFFSETS, X, strict=True))),
    "EmbeddingBag, mean": (
        bags(mode="mean", padding_idx=2, scale_grad_by_freq=True), list(zip(INDEX, OFFSETS, strict=True))
    ),
    "EmbeddingBag, last offset": (
        bags(include_last_offset=True, max_norm=1.0),
        [(i, np.append(o, 12)) for i, o in zip(INDEX, OFFSETS, strict=True)],
    ),
    "weight_norm": (normalized(nn.utils.weight_norm, lambda: nn.Linear(8, 6)), [(x,) for x in ROWS]),
    "spectral_norm": (normalized(nn.utils.spectral_norm, lambda: nn.Conv2d(3, 4, 3)), [(x,) for x in IMAGES]),
}  # fmt: skip
STEPS["EmbeddingBag"] = (
    STEPS["EmbeddingBag"][0], [(i, o, x.reshape(-1)[:12]) for i, o, x in STEPS["EmbeddingBag"][1]]
)  # fmt: skip


def results(step: Callable[..., Any], calls: Sequence[Sequence[Any]]) -> list[float]:
    return [step(*(tg.asarray(x) if isinstance(x, np.ndarray) else x for x in args)).item() for args in calls]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", STEPS)
def test_what_a_step_is_given_is_read_at_every_run(name: str, backend: str) -> None:
    make, calls = STEPS[name]
    tg.manual_seed(1)
    want = results(make(), calls)
    tg.manual_seed(1)
    got = results(tg.compile(make(), backend=backend, fullgraph=True), calls)
    np.testing.assert_allclose(got, want, rtol=2e-4)
    assert np.isfinite(want).all() or "CTC" in name


def test_lengths_and_offsets_that_are_wrong_are_refused_by_a_program_too() -> None:
    bag = tg.compile(lambda i, o: F.embedding_bag(i, tg.ones((10, 2)), o, mode="sum"), fullgraph=True)
    for _ in range(5):
        bag(tg.asarray(INDEX[0]), tg.asarray(OFFSETS[0]))
    with pytest.raises(ValueError, match="expected offsets that start at 0"):
        bag(tg.asarray(INDEX[0]), tg.asarray(OFFSETS[0] + 1))


def test_a_weight_that_a_hook_computes_is_there_after_a_run_and_not_read_before() -> None:
    layer = nn.utils.weight_norm(nn.Linear(8, 6))
    forward = tg.compile(lambda x: layer(x), fullgraph=True)
    with tg.no_grad():
        for k, x in enumerate(ROWS):
            layer.weight_g.data[...] = k + 1.0
            forward(tg.asarray(x))
            np.testing.assert_allclose(np.linalg.norm(layer.weight.numpy(), axis=1), k + 1.0, rtol=1e-5)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            early = tg.compile(lambda x: layer.weight.sum() + layer(x).sum())
            for k, x in enumerate(ROWS):
                layer.weight_g.data[...] = k + 1.0
                want = layer.weight.sum().item() + F.linear(
                    x, layer.weight_g.data * layer.weight_v.data
                    / np.linalg.norm(layer.weight_v.data, axis=1, keepdims=True), layer.bias.data,
                ).sum()  # fmt: skip
                np.testing.assert_allclose(early(tg.asarray(x)).item(), want, rtol=1e-4)
    assert caught


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_single_index_that_is_a_tensor_is_read_at_every_run(backend: str) -> None:
    place = tg.asarray(np.array(1))
    functions = (
        lambda x, i: x[i] * 2,
        lambda x, i: x[:, i, None] + x[i, 0],
        lambda x, i: x[tg.argmax(x[:, 0])],
        lambda x, i: x[place],
    )
    x = np.random.default_rng(0).normal(size=(4, 3))
    for f in functions:
        compiled = tg.compile(f, backend=backend, fullgraph=True)
        for k in (1, 1, 1, 1, 2, 0, 2):
            place.data[...] = k
            arguments = tg.asarray(x * (k - 0.5)), tg.asarray(np.array(k))
            np.testing.assert_array_equal(compiled(*arguments).numpy(), f(*arguments).numpy())


@pytest.mark.parametrize("backend", BACKENDS)
def test_lists_as_indices_are_part_of_the_program(backend: str) -> None:
    rows = [0, 2, 0]

    def f(x: Any) -> Any:
        y = x[:, [0, 2]] * 2
        y[[0, 1]] = 5
        return x[rows], x[[[0, 1], [2, 3]]], x[[True, False] * 2], x[[k + 0 for k in range(3)]], y

    compiled = tg.compile(f, backend=backend, fullgraph=True)
    for k in range(8):
        rows[0] = k // 4
        x = tg.asarray(np.random.default_rng(k).normal(size=(4, 3)))
        for got, expected in zip(compiled(x), f(x), strict=True):
            np.testing.assert_array_equal(got.numpy(), expected.numpy())


def _array(values: Any, dtype: str = "int64") -> tg.Tensor:
    return tg.asarray(np.array(values, dtype))


TABLE = _array(np.arange(15.0).reshape(5, 3), "float32")
# A function, an argument that it takes, and some that it refuses.
REFUSED: dict[str, tuple[Callable[[Any], Any], Any, list[Any]]] = {
    "embedding": (lambda i: F.embedding(i, TABLE) * 2, [0, 1], [[-1, 1], [0, 5]]),
    "embedding of float16": (lambda i: F.embedding(i, TABLE.astype("float16")), [0, 1], [[-1, 1], [0, 5]]),
    "embedding_bag": (lambda i: F.embedding_bag(i, TABLE, mode="max"), [[0, 1]], [[[-1, 1]], [[0, 5]]]),
    "one_hot": (lambda i: F.one_hot(i, 4), [0, 1], [[-1, 1], [0, 5]]),
    "index": (lambda i: TABLE[i], [0, 1], [[9, 1], [-7, 0]]),
    "nll_loss": (lambda i: F.nll_loss(TABLE[:2], i), [0, 1], [[-1, 1], [0, 5]]),
    "cross_entropy": (lambda i: F.cross_entropy(TABLE[:2], i), [0, 1], [[-1, 1], [0, 5]]),
    "multi_margin_loss": (lambda i: F.multi_margin_loss(TABLE[:2], i), [0, 1], [[-1, 1], [0, 5]]),
    "binary_cross_entropy": (
        lambda x: F.binary_cross_entropy(x, x * 0 + 1),
        [0.5, 1.0],
        [[-0.5, 1.0], [0.5, 2.0]],
    ),
    "gaussian_nll_loss": (
        lambda v: F.gaussian_nll_loss(TABLE[0], TABLE[1], v),
        [1.0, 2.0, 3.0],
        [[-1.0, 2.0, 3.0]],
    ),
    "normal": (lambda v: tg.random.normal(0.0, v), [1.0, 2.0], [[-1.0, 2.0]]),
    "inv": (lambda x: tg.linalg.inv(x), [[2.0, 0.0], [0.0, 1.0]], [[[0.0, 0.0], [0.0, 0.0]]]),
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", REFUSED)
def test_values_that_are_refused_leave_the_error_and_state_of_eager(name: str, backend: str) -> None:
    """Before it: a random mask and running statistics, which eager has changed when it raises."""

    def run(compile_: Callable[[Any], Any]) -> list[Any]:
        function, good, wrong = REFUSED[name]
        dtype = "float32" if isinstance(np.array(good).flat[0], np.floating) else "int64"
        tg.manual_seed(0)
        layers = nn.Sequential(nn.BatchNorm1d(3), nn.Dropout(0.5))
        w = tg.Tensor(TABLE.numpy(), requires_grad=True)

        def step(i: Any) -> Any:
            w.grad = None
            noisy = layers(w)
            result = function(i).sum() * noisy.sum()
            result.backward()
            return result.detach()

        step, found = compile_(step), []
        for given in [good] * 4 + wrong + [good]:
            try:
                found.append(step(_array(given, dtype)).tolist())
            except Exception as error:
                found.append((type(error), str(error)))
            gradient = None if w.grad is None else w.grad.numpy().round(3).tolist()
            found.append((gradient, layers[0].running_mean.numpy().round(3).tolist(), tg.rand(2).tolist()))
        return found

    expected, got = run(lambda f: f), run(lambda f: tg.compile(f, backend=backend))
    for a, b in zip(got, expected, strict=True):
        if isinstance(b, float):
            np.testing.assert_allclose(a, b, rtol=1e-4)
        elif isinstance(b[0], type):
            assert a == b
        else:
            assert (a[0] is None) == (b[0] is None) and a[2] == b[2]
            np.testing.assert_allclose(a[1], b[1], atol=2e-3)
            if b[0] is not None:
                np.testing.assert_allclose(a[0], b[0], rtol=1e-3, atol=2e-3)
