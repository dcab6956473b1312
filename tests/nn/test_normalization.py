"""Normalization: values by hand, running statistics, and what cannot be normalized."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn

X = [[1.0], [2.0], [3.0], [6.0]]


def test_batch_norm_in_training_by_hand() -> None:
    layer, x = nn.BatchNorm1d(1, dtype="float64"), Tensor(np.array(X), requires_grad=True)
    y = layer(x)
    assert y.detach().numpy().ravel() == pytest.approx([-1.0690436, -0.5345218, 0.0, 1.6035654])
    assert layer.running_mean.item() == pytest.approx(0.3)
    assert layer.running_var.item() == pytest.approx(1.3666667)  # 0.9 + 0.1 * 14 / 3: unbiased
    assert layer.num_batches_tracked.item() == 1
    y[0].backward()
    assert x.grad is not None
    assert x.grad.numpy().ravel() == pytest.approx([0.248171, -0.209990, -0.133630, 0.095450], abs=1e-5)


def test_batch_norm_in_evaluation_uses_the_running_statistics_and_leaves_them() -> None:
    layer, x = nn.BatchNorm1d(1, dtype="float64"), Tensor(np.array(X), requires_grad=True)
    layer(x)
    layer.eval()(x)[0].backward()
    assert x.grad is not None and x.grad.numpy().ravel() == pytest.approx([0.855396, 0, 0, 0], abs=1e-5)
    assert layer.running_mean.item() == pytest.approx(0.3) and layer.num_batches_tracked.item() == 1


def test_momentum_none_averages_all_batches() -> None:
    layer = nn.BatchNorm1d(1, momentum=None)
    for value in (1.0, 2.0, 6.0):
        layer(Tensor([[value], [value + 2]]))
    assert layer.running_mean.item() == pytest.approx(4.0) and layer.running_var.item() == pytest.approx(2.0)
    layer.reset_running_stats()
    assert (layer.running_mean.item(), layer.running_var.item(), layer.num_batches_tracked.item()) == (
        0,
        1,
        0,
    )


def test_one_value_a_channel_cannot_be_normalized_in_training() -> None:
    layer = nn.BatchNorm1d(2)
    with pytest.raises(
        ValueError,
        match=r"expected more than one value per channel in training \(one value has no variance\).*drop_last=True",
    ):
        layer(Tensor([[1.0, 2.0]]))
    assert layer.eval()(Tensor([[1.0, 2.0]])).shape == (1, 2)


def test_a_constant_batch_gives_the_shift_and_finite_gradients() -> None:
    x = Tensor([[3.0], [3.0]], requires_grad=True)
    y = nn.BatchNorm1d(1)(x)
    y.sum().backward()
    assert y.tolist() == [[0.0], [0.0]] and x.grad is not None and np.isfinite(x.grad.numpy()).all()


LAYERS: list[tuple[Any, tuple[int, ...]]] = [
    (lambda: nn.BatchNorm1d(4), (3, 4)), (lambda: nn.BatchNorm1d(4), (3, 4, 5)),
    (lambda: nn.BatchNorm2d(4), (3, 4, 2, 2)),
    (lambda: nn.BatchNorm3d(4), (3, 4, 2, 2, 2)), (lambda: nn.InstanceNorm1d(4, affine=True), (3, 4, 5)),
    (lambda: nn.InstanceNorm2d(4), (4, 2, 3)), (lambda: nn.LayerNorm((4, 5)), (3, 4, 5)),
    (lambda: nn.RMSNorm(5), (3, 5)),
    (lambda: nn.GroupNorm(2, 4), (3, 4, 5)), (lambda: nn.LocalResponseNorm(2), (3, 4, 5)),
]  # fmt: skip


@pytest.mark.parametrize(("make", "shape"), LAYERS)
def test_float32_stays_float32(make: Any, shape: tuple[int, ...]) -> None:
    layer, x = (
        make(),
        Tensor(np.random.default_rng(0).normal(size=shape).astype("float32"), requires_grad=True),
    )
    for mode in (True, False):
        out = layer.train(mode)(x)
        out.sum().backward()
        assert out.dtype == np.float32 and x.grad is not None and x.grad.dtype == np.float32
        assert all(p.grad.dtype == np.float32 for p in layer.parameters())
        assert all(b.dtype in (np.float32, np.int64) for b in layer.buffers())


@pytest.mark.parametrize(("make", "shape"), LAYERS[:9])
def test_what_is_normalized_is_named_by_the_axes(make: Any, shape: tuple[int, ...]) -> None:
    x = np.random.default_rng(0).normal(3.0, 5.0, size=shape)
    layer = make().double()
    out = layer(Tensor(x)).detach().numpy()
    if isinstance(layer, nn.RMSNorm):
        assert np.allclose((out**2).mean(axis=-1), 1, atol=1e-5)
    elif isinstance(layer, nn.LayerNorm):
        assert np.allclose(out.mean(axis=(1, 2)), 0) and np.allclose(out.std(axis=(1, 2)), 1, atol=1e-4)
    elif isinstance(layer, nn.GroupNorm):
        groups = out.reshape(3, 2, -1)
        assert np.allclose(groups.mean(axis=2), 0) and np.allclose(groups.std(axis=2), 1, atol=1e-4)
    else:
        axes = tuple(range(1, out.ndim)) if len(shape) == 3 and isinstance(layer, nn.InstanceNorm2d) else None
        if axes is None:
            first = (2,) if isinstance(layer, nn.InstanceNorm1d) else (0, *range(2, out.ndim))
            axes = first
        assert np.allclose(out.mean(axis=axes), 0) and np.allclose(out.std(axis=axes), 1, atol=1e-4)


def test_wrong_axes_and_channels_are_explained() -> None:
    with pytest.raises(ValueError, match=r"BatchNorm2d: expected an input of 4 axes, got the shape \(2, 3\)"):
        nn.BatchNorm2d(3)(Tensor(np.zeros((2, 3))))
    with pytest.raises(ValueError, match=r"an input of num_features = 3 channels, got \(2, 4\)"):
        nn.BatchNorm1d(3)(Tensor(np.zeros((2, 4))))
    with pytest.raises(
        ValueError, match=r"expected an input whose last sizes are normalized_shape = \(3,\), got \(2, 4\)"
    ):
        nn.LayerNorm(3)(Tensor(np.zeros((2, 4))))
    with pytest.raises(ValueError, match="expected num_groups to divide num_channels=5, got 2"):
        nn.GroupNorm(2, 5)


@pytest.mark.parametrize("offset", [0.0, 1000.0])
@pytest.mark.parametrize("groups", [1, 2, 8])
def test_group_norm_in_float32_keeps_its_digits_far_from_zero(groups: int, offset: float) -> None:
    rng = np.random.default_rng(0)
    data, seed = rng.standard_normal((3, 8, 5, 7)) + offset, rng.standard_normal((3, 8, 5, 7))
    found = []
    for dtype in (np.float32, np.float64):
        layer = nn.GroupNorm(groups, 8).astype(dtype)
        layer.weight.data[...] = np.arange(1, 9)
        x = Tensor(data.astype(np.float32).astype(dtype), requires_grad=True)
        out = layer(x)
        out.backward(Tensor(seed.astype(dtype)))
        found.append([out.detach(), x.grad, layer.weight.grad, layer.bias.grad])
    for got, exact in zip(*found):
        assert got.dtype == np.float32
        # BLAS adds float32 in an order of its own, so the mean is off by some ulp of the offset; a value that is
        # divided by the deviation, 1, is off by as many times its own size.
        size = np.abs(exact.numpy()).max()
        atol = 5e-5 + 4 * np.finfo(np.float32).eps * offset * size
        np.testing.assert_allclose(got.numpy(), exact.numpy(), atol=atol)


def test_batch_normalization_over_all_processes_is_that_of_the_one_there_is() -> None:
    x = Tensor(np.random.default_rng(0).standard_normal((4, 3, 2, 2)))
    model = nn.Sequential(
        nn.BatchNorm2d(3), nn.ReLU(), nn.Sequential(nn.BatchNorm2d(3, affine=False))
    ).double()
    twin = copy.deepcopy(model)
    weight = twin[0].weight
    assert nn.SyncBatchNorm.convert_sync_batchnorm(twin, process_group="all") is twin
    assert type(twin[0]) is type(twin[2][0]) is nn.SyncBatchNorm and twin[0].process_group == "all"
    assert twin[0].weight is weight and list(twin.state_dict()) == list(model.state_dict())
    for _ in range(2):
        np.testing.assert_array_equal(twin(x).data, model(x).data)
    for name, array in model.state_dict().items():
        np.testing.assert_array_equal(twin.state_dict()[name], array)
    np.testing.assert_array_equal(twin.eval()(x).data, model.eval()(x).data)
    layer = nn.SyncBatchNorm(3, bias=False)
    assert layer.bias is None and layer(np.ones((2, 3), np.float32)).shape == (2, 3)
    with pytest.raises(
        ValueError, match=r"SyncBatchNorm: expected an input of at least 2 axes, got the shape \(3,\)"
    ):
        layer(np.ones(3, np.float32))
