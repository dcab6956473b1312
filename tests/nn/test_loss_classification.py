"""Classification losses: values by hand, the ends of their ranges, weights and ignored targets."""

from __future__ import annotations

import re
from math import log
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, func, nn
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import GraphError
from tinygrad_dl.nn import functional as F


def gradients_of(loss: Any, x: list[float], t: list[float]) -> list[list[float]]:
    """The gradients in prediction and target, which must be the same where they are recorded."""
    pair = [Tensor(np.array(v), requires_grad=True) for v in (x, t)]
    out = loss(*pair)
    plain = grad(out, pair, retain_graph=True)
    for g, again in zip(plain, grad(out, pair, create_graph=True)):
        np.testing.assert_allclose(again.detach().numpy(), g.numpy())
    return [g.tolist() for g in plain]


def test_cross_entropy_is_exact_for_huge_logits_without_a_warning() -> None:
    x = Tensor([[1000.0, 0.0]], requires_grad=True)
    loss = F.cross_entropy(x, [1])
    loss.backward()
    assert loss.item() == 1000.0 and x.grad is not None and x.grad.tolist() == [[1.0, -1.0]]


def test_the_gradient_of_cross_entropy_is_probability_minus_target_over_n() -> None:
    x = Tensor([[0.0, 0.0], [0.0, 0.0]], requires_grad=True)
    F.cross_entropy(x, [0, 1]).backward()
    assert x.grad is not None and x.grad.tolist() == [[-0.25, 0.25], [0.25, -0.25]]


@pytest.mark.parametrize("classes", [3, 70])  # few are laid first in memory
@pytest.mark.parametrize("dtype", [np.int64, np.int8, np.uint8, np.uint64])
def test_cross_entropy_is_its_formula_however_logits_and_classes_lie(classes: int, dtype: Any) -> None:
    rng = np.random.default_rng(1)
    logits, target = rng.standard_normal((5, classes)), np.array([2, 0, 2, 1, 2], dtype)
    p = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    chosen = np.arange(5), target.astype(int)
    expected = p / 5
    expected[chosen] -= 1 / 5
    wide = np.zeros((10, 2 * classes))
    wide[::2, ::2] = logits
    for x in (logits, np.asfortranarray(logits), wide[::2, ::2], logits[::-1][::-1]):
        leaf = Tensor(x, requires_grad=True)
        loss = F.cross_entropy(leaf, target)
        loss.backward()
        np.testing.assert_allclose(loss.item(), -np.log(p[chosen]).mean(), rtol=1e-12)
        assert leaf.grad is not None
        np.testing.assert_allclose(leaf.grad.data, expected, atol=1e-12)


def test_weights_smoothing_and_ignored_targets_of_cross_entropy_by_hand() -> None:
    x = np.log([[0.5, 0.25, 0.25], [0.2, 0.2, 0.6]])
    weight = [1.0, 2.0, 3.0]
    weighted = F.cross_entropy(x, np.array([0, 2]), weight)
    assert weighted == pytest.approx(-(log(0.5) + 3 * log(0.6)) / 4)
    ignored = F.cross_entropy(x, np.array([0, -100]))
    assert ignored == pytest.approx(-log(0.5))
    smooth = F.cross_entropy(x[:1], np.array([0]), label_smoothing=0.3)
    assert smooth == pytest.approx(-0.8 * log(0.5) - 0.1 * log(0.25) - 0.1 * log(0.25))
    probable = F.cross_entropy(x[:1], np.array([[0.5, 0.5, 0.0]]))
    assert probable == pytest.approx(-0.5 * log(0.5) - 0.5 * log(0.25))


def test_the_mean_of_ignored_targets_alone_is_nan_with_gradient_zero() -> None:
    x = Tensor([[1.0, 2.0]], requires_grad=True)
    loss = F.cross_entropy(x, [1], ignore_index=1)
    loss.backward()
    assert np.isnan(loss.item()) and x.grad is not None and x.grad.tolist() == [[0.0, 0.0]]


@pytest.mark.parametrize("target", [[2], [-1]])
def test_a_class_that_does_not_exist_is_named(target: list[int]) -> None:
    with pytest.raises(IndexError) as caught:
        nn.CrossEntropyLoss()(Tensor([[1.0, 2.0]]), target)
    assert str(caught.value) == (
        f"cross_entropy: the target holds the class {target[0]}; logits of shape (1, 2) have the classes 0 to 1 "
        "[in CrossEntropyLoss()]"
    )


def test_targets_that_are_no_classes_are_refused() -> None:
    with pytest.raises(
        TypeError, match="cross_entropy: expected class indices of an integer dtype, got a target of float32"
    ):
        F.cross_entropy(Tensor([[1.0, 2.0]]), Tensor([1.0]))
    with pytest.raises(
        ValueError, match=r"for logits of shape \(1, 2\), .* got a target of shape \(1, 1\).*squeeze"
    ):
        F.cross_entropy(Tensor([[1.0, 2.0]]), [[1]])


def test_bce_with_logits_at_zero_and_far_out() -> None:
    x = Tensor([0.0, -200.0, 1000.0], requires_grad=True)
    loss = F.binary_cross_entropy_with_logits(x, [0.0, 1.0, 1.0], reduction="none")
    loss.sum().backward()
    assert loss.tolist() == pytest.approx([log(2), 200.0, 0.0])
    assert x.grad is not None and x.grad.tolist() == [0.5, -1.0, 0.0]


def test_pos_weight_counts_positive_targets_more_often() -> None:
    x, three = np.array([0.5, 0.5]), np.array([3.0, 3.0])
    plain = F.binary_cross_entropy_with_logits(x, np.array([1.0, 0.0]), reduction="none")
    weighted = F.binary_cross_entropy_with_logits(x, np.array([1.0, 0.0]), reduction="none", pos_weight=three)
    assert np.allclose(weighted, plain * [3, 1])


def test_bce_holds_the_logarithm_above_minus_100_and_refuses_logits() -> None:
    assert F.binary_cross_entropy([0.0], [1.0]).item() == 100.0
    with pytest.raises(
        ValueError, match="got values from 2 to 2. For logits use binary_cross_entropy_with_logits"
    ):
        F.binary_cross_entropy([2.0], [1.0])


def test_binary_cross_entropy_at_certainty_has_a_finite_gradient_in_both_arguments() -> None:
    in_x, in_t = gradients_of(
        lambda x, t: F.binary_cross_entropy(x, t, reduction="sum"), [0.0, 1.0, 0.0, 0.5], [1.0, 0.0, 0.0, 0.5]
    )
    assert in_x == [-1e12, 1e12, 0, 0]
    assert in_t == [100, -100, 100, 0]


def test_one_class_has_no_loss_and_an_ignored_sample_no_gradient() -> None:
    x = Tensor(np.array([[3.0], [4.0]]), requires_grad=True)
    out = F.cross_entropy(x, np.array([0, -100]), weight=np.array([2.0]))
    assert out.item() == 0
    assert grad(out, [x], create_graph=True)[0].tolist() == [[0], [0]]


@pytest.mark.parametrize("ignore_index", [-100, 0, 2])
@pytest.mark.parametrize("weight", [[1.0, 1.0, 1.0], [0.5, 2.0, 1.5]])
def test_smoothed_cross_entropy_is_its_formula(weight: list[float], ignore_index: int) -> None:
    x, target, w, e = np.arange(12.0).reshape(4, 3) % 5, np.array([0, 1, 2, 1]), np.array(weight), 0.2
    log_p = x - np.log(np.exp(x).sum(axis=1, keepdims=True))
    each = -(1 - e) * w[target] * log_p[np.arange(4), target] - e / 3 * (w * log_p).sum(axis=1)
    kept = target != ignore_index
    options: Any = {"weight": w, "label_smoothing": e, "ignore_index": ignore_index}
    y = F.cross_entropy(Tensor(x), target, reduction="none", **options)
    np.testing.assert_allclose(y.data, each * kept, rtol=1e-12)
    mean = F.cross_entropy(Tensor(x), target, **options)
    assert mean.item() == pytest.approx((each * kept).sum() / (w[target] * kept).sum(), rel=1e-12)


@pytest.mark.parametrize("recording", [False, True])
def test_a_class_that_does_not_come_may_have_an_infinite_weight(recording: bool) -> None:
    found = []
    for other in (1.0, np.inf):
        x = Tensor(np.array([[1.0, 2.0], [0.5, -1.0]]), requires_grad=True)
        found.append(
            grad(F.cross_entropy(x, [0, 0], weight=np.array([1.0, other])), [x], create_graph=recording)[0]
        )
    np.testing.assert_allclose(found[1].data, found[0].data)


def test_the_recorded_gradient_of_cross_entropy_is_exact_for_huge_logits() -> None:
    x = Tensor(np.array([[1000.0, 0.0], [1000.0, 1000.0]]), requires_grad=True)
    (g,) = grad(F.cross_entropy(x, [1, 0], reduction="sum"), [x], create_graph=True)
    assert g.tolist() == [[1, -1], [-0.5, 0.5]]
    (second,) = grad(g[1, 0], [x])
    assert second.tolist() == [[0, 0], [0.25, -0.25]]


def test_weights_of_classes_have_a_gradient_with_probabilities_and_an_error_with_classes() -> None:
    rng = np.random.default_rng(0)
    x, target, w = rng.standard_normal((4, 3)), rng.dirichlet(np.ones(3), 4), np.array([1.0, 2.0, 0.5])
    by_weight = -(target * (x - np.log(np.exp(x).sum(1, keepdims=True)))).mean(0)
    gradient = func.grad(lambda w: F.cross_entropy(x, target, weight=w))(w)
    np.testing.assert_allclose(gradient, by_weight)
    change = func.jvp(lambda w: F.cross_entropy(x, target, weight=w), (w,), (w,))[1]
    np.testing.assert_allclose(change, by_weight @ w)
    classes = np.array([0, 2, 1, 1])
    message = (
        "cross_entropy: no derivative with respect to weight for targets of classes. Call .detach() on it if no "
        "gradient should flow, or give targets of probabilities."
    )
    with pytest.raises(GraphError, match=f"^{re.escape(message)}$"):
        F.cross_entropy(x, classes, weight=Tensor(w, requires_grad=True))
    with pytest.raises(GraphError, match="no derivative with respect to weight"):
        func.jvp(lambda w: F.cross_entropy(x, classes, weight=w), (w,), (w,))
    each = func.vmap(lambda w: F.cross_entropy(x, classes, weight=w, reduction="sum"))(np.stack([w, 2 * w]))
    one = F.cross_entropy(x, classes, weight=w, reduction="sum")
    np.testing.assert_allclose(each, [one, 2 * one])


def test_weights_of_classes_have_a_gradient_in_nll_loss() -> None:
    log_p, classes = np.log([[0.2, 0.8], [0.5, 0.5]]), np.array([0, 1])
    gradient = func.grad(lambda w: F.nll_loss(log_p, classes, w, reduction="sum"))(np.array([1.0, 3.0]))
    np.testing.assert_allclose(gradient, [-np.log(0.2), -np.log(0.5)])
