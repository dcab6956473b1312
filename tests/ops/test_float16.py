"""float16 is stored, and everything that adds up is computed in float32."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.test_registry import OWN, cases_of, drawn
from tinygrad_dl import Tensor, linalg, nn
from tinygrad_dl.nn import functional as F
from tinygrad_dl.op import Case, Op

ACCUMULATING = [
    pytest.param(op, case, id=f"{op.name}-{number}")
    for op in OWN.values()
    if op.accumulates and not op.variadic
    for number, case in enumerate(cases_of(op))
]


def half(values: Any) -> Tensor:
    return Tensor(np.asarray(values, np.float16))


def rounded(values: Any) -> np.ndarray:
    with np.errstate(over="ignore"):
        return np.asarray(values).astype(np.float16)


@pytest.mark.parametrize(("op", "case"), ACCUMULATING)
def test_an_operation_that_accumulates_gives_the_rounded_float32_result(op: Op, case: Case) -> None:
    values, free, options, named = drawn(op, case, 0)
    if not free:
        pytest.skip("no floating input")
    as_half = [np.asarray(v, np.float16) if i in free else v for i, v in enumerate(values)]
    as_single = [np.asarray(v, np.float32) if i in free else v for i, v in enumerate(as_half)]

    def run(inputs: list[Any]) -> tuple[Tensor, list[Tensor]]:
        leaves = [Tensor(v, requires_grad=True) if i in free else v for i, v in enumerate(inputs)]
        out = op.function(*leaves, *options, **named)
        seed = np.random.default_rng(1).uniform(0.5, 1.5, out.shape).astype(np.float16)
        out.backward(seed.astype(out.dtype))
        return out, [leaves[i] for i in free]

    out, leaves = run(as_half)
    expected, singles = run(as_single)
    assert out.dtype == np.float16
    np.testing.assert_allclose(out.detach().numpy(), rounded(expected.detach().numpy()), 2e-3, 1e-6)
    for leaf, single in zip(leaves, singles):
        assert leaf.grad is not None and single.grad is not None
        assert leaf.grad.dtype == np.float16
        # The result that a rule names is the rounded one.
        np.testing.assert_allclose(leaf.grad.numpy(), rounded(single.grad.numpy()), 1e-2, 2e-3)


ROW = np.linspace(-300, 300, 64)


@pytest.mark.parametrize(
    ("result", "expected"),
    [
        (lambda: F.layer_norm(half(ROW), (64,))[[0, -1]], [-1.705, 1.705]),
        (lambda: F.batch_norm(half(ROW)[:, None], None, None, training=True)[[0, -1], 0], [-1.705, 1.705]),
        (lambda: F.rms_norm(half(np.full(5000, 300.0)), (5000,))[:1], [1.0]),
        (lambda: F.layer_norm(half(np.full(5000, 300.0)), (5000,))[:1], [0.0]),
        (lambda: F.mse_loss(half(np.full(5000, 10.0)), half(np.zeros(5000))), 100.0),
        (lambda: linalg.norm(half(np.full(5000, 10.0))), 707.0),
        (lambda: F.cosine_similarity(half(np.full((1, 64), 100.0)), half(np.full((1, 64), 50.0))), [1.0]),
        (lambda: linalg.norm(F.normalize(half(np.full((64, 100), 200.0)))[0]), 1.0),
        (lambda: tg.sum(half(np.ones((4000, 2))), axis=0), [4000.0, 4000.0]),
        (lambda: tg.cumulative_sum(half(np.ones(4000)))[-1], 4000.0),
        (lambda: tg.std(half([0.0, 600.0])), 300.0),
        (lambda: tg.var(half([1e-3, 3e-3])), 1e-6),
        (lambda: tg.softmax(half(np.zeros((4000, 2))), axis=0)[0], [2.5e-4, 2.5e-4]),
        (lambda: tg.logsumexp(half(np.zeros((4000, 2))), axis=0), [np.log(4000)] * 2),
        (lambda: F.pairwise_distance(half(np.full((1, 64), 300.0)), half(np.zeros((1, 64)))), [2400.0]),
        (lambda: F.avg_pool2d(half(np.full((1, 1, 30, 30), 300.0)), 30)[0, 0, 0], [300.0]),
        (lambda: F.local_response_norm(half(np.full((1, 2, 1), 300.0)), 2, alpha=0.0)[0, :, 0], [300.0, 300.0]),
        (lambda: nn.GroupNorm(1, 2).half()(half([[[0.0, 600.0], [0.0, 600.0]]]))[0, 0], [-1.0, 1.0]),
        (lambda: F.cross_entropy(half(np.zeros((2, 4000))), np.array([0, 1])), np.log(4000)),
        (lambda: F.scaled_dot_product_attention(*(half(np.ones((1, 3000, 4))),) * 3)[0, 0], [1.0] * 4),
        (lambda: tg.average(half(np.ones((4000, 1))), axis=0), [1.0]),
    ],
)  # fmt: skip
def test_large_and_small_numbers_of_float16_survive(result: Any, expected: Any) -> None:
    out = result()
    assert out.dtype == np.float16
    np.testing.assert_allclose(out.detach().numpy().astype(float), expected, rtol=2e-3, atol=2e-7)


def test_the_gradient_of_a_broadcast_bias_is_summed_in_float32() -> None:
    bias = Tensor(np.zeros(2, np.float16), requires_grad=True)
    (half(np.zeros((4000, 2))) + bias).sum().backward()
    assert bias.grad is not None
    np.testing.assert_array_equal(bias.grad.numpy(), np.full(2, 4000, np.float16))


def test_a_dtype_given_to_a_sum_is_that_of_its_result() -> None:
    x = half(np.ones((4000, 2)))
    assert tg.sum(x, axis=0, dtype="float32").tolist() == [4000.0, 4000.0]
    assert tg.sum(x, axis=0, dtype="float32").dtype == np.float32
    assert tg.sum(x, axis=0, dtype="float16").tolist() == [4000.0, 4000.0]


def test_float16_with_float32_is_float32() -> None:
    assert (half([[1.0, 2.0]]) @ Tensor(np.ones((2, 1), np.float32))).dtype == np.float32
    assert F.cosine_similarity(half([[1.0]]), Tensor(np.ones((1, 1), np.float32))).dtype == np.float32
