"""The adaptive softmax: its parts make one distribution, and agree with PyTorch's."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn


def made(**options):
    return nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, rng=0, **options).double()


def test_the_probabilities_of_all_classes_sum_to_one():
    x = Tensor(np.random.default_rng(0).standard_normal((5, 8)))
    assert np.allclose(np.exp(made().log_prob(x).data).sum(axis=1), 1)


def test_output_and_loss_are_those_of_log_prob():
    layer, x = made(head_bias=True), Tensor(np.random.default_rng(0).standard_normal((6, 8)))
    target = np.array([0, 2, 3, 6, 7, 11])
    output, loss = layer(x, Tensor(target))
    assert np.allclose(output.data, layer.log_prob(x).data[np.arange(6), target])
    assert loss.item() == pytest.approx(-output.data.mean())
    one = layer(x[0], 0)
    assert one.output.shape == () and one.output.item() == pytest.approx(output.data[0])


def test_a_prediction_is_the_most_probable_class_of_the_cluster_the_head_points_at():
    layer, x = made(), Tensor(np.random.default_rng(0).standard_normal((40, 8)) * 4)
    predicted, head = layer.predict(x).data, layer.head(x).data.argmax(axis=1)
    assert np.array_equal(predicted[head < 3], head[head < 3])
    assert np.array_equal(predicted[head >= 3], layer.log_prob(x).data.argmax(axis=1)[head >= 3])


@pytest.mark.parametrize("cutoffs", [[], [0, 3], [3, 3], [5, 3], [12]])
def test_cutoffs_that_do_not_rise_within_the_classes_are_refused(cutoffs):
    with pytest.raises(ValueError, match="cutoff"):
        nn.AdaptiveLogSoftmaxWithLoss(8, 12, cutoffs)


def test_targets_outside_of_the_classes_and_of_another_shape_are_refused():
    x = Tensor(np.zeros((2, 8)))
    with pytest.raises(IndexError, match="expected target classes from 0 to 11, got 12"):
        made()(x, np.array([0, 12]))
    with pytest.raises(ValueError, match=r"and target \(N,\), got \(2, 8\) and \(3,\)"):
        made()(x, np.array([0, 1, 2]))


@pytest.mark.parametrize("head_bias", [False, True])
def test_values_and_gradients_are_pytorchs(head_bias):
    torch = pytest.importorskip("torch", reason="PyTorch, the peer, is not installed")
    theirs = torch.nn.AdaptiveLogSoftmaxWithLoss(8, 12, [3, 7], div_value=2.0, head_bias=head_bias).double()
    ours = made(head_bias=head_bias)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    x, target = np.random.default_rng(1).standard_normal((9, 8)), np.array([0, 1, 2, 3, 5, 6, 7, 9, 11])
    a, b = torch.tensor(x, requires_grad=True), Tensor(x, requires_grad=True)
    expected, found = theirs(a, torch.tensor(target)), ours(b, Tensor(target))
    assert np.allclose(found.output.data, expected.output.detach().numpy(), atol=1e-12)
    expected.loss.backward()
    found.loss.backward()
    assert np.allclose(b.grad.data, a.grad.numpy(), atol=1e-12)
    for (name, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters()):
        assert np.allclose(p.grad.data, q.grad.numpy(), atol=1e-12), name
    assert np.array_equal(ours.predict(b).data, theirs.predict(a).numpy())
