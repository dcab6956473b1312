"""Pooling, padding and resizing: known numbers, kinks and edges, and the errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.test_registry import check_orders
from tinygrad_dl import OPS, Tensor, nn
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn import functional
from tinygrad_dl.op import Case
from tinygrad_dl.ops.pooling import avg_pool, max_pool, max_pool_indices


def gradient(function: Any, x: Any) -> np.ndarray:
    leaf = Tensor(np.asarray(x, float), requires_grad=True)
    function(leaf).sum().backward()
    assert leaf.grad is not None
    return leaf.grad.data


def channels_last(x: np.ndarray) -> np.ndarray:
    return np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)


@pytest.mark.parametrize("order", [np.asarray, channels_last], ids=["channels first", "channels last"])
def test_the_first_maximum_of_a_window_gets_the_whole_gradient(order: Any) -> None:
    ones = order(np.ones((1, 2, 4, 4)))
    expected = np.zeros((4, 4))
    expected[::2, ::2] = 1
    assert gradient(lambda x: max_pool(x, 2), ones).tolist() == [[expected.tolist()] * 2]
    overlapping = gradient(lambda x: max_pool(x, 3, 1), ones)
    assert overlapping[0, 0].tolist() == [[1, 1, 0, 0], [1, 1, 0, 0], [0, 0, 0, 0], [0, 0, 0, 0]]


@pytest.mark.parametrize("how", [
    {"kernel": 2}, {"kernel": 2, "stride": 1}, {"kernel": 2, "padding": 1}, {"kernel": 2, "stride": 3},
    {"kernel": 2, "dilation": 2}, {"kernel": (2, 1), "stride": 2}, {"kernel": (1, 2), "stride": (2, 1)},
])  # fmt: skip
def test_the_gradient_of_maxima_does_not_depend_on_the_memory_order(how: dict[str, Any]) -> None:
    rng = np.random.default_rng(0)
    for size in (2, 5, 6):  # with 2 there may be one window, whose order in memory cannot be told
        if how.get("dilation", 1) == 2 and size == 2:
            continue
        x = rng.integers(0, 3, (5, 3, size, size)).astype(float)  # with ties
        whole = gradient(lambda x: max_pool(x, **how) ** 2, x)
        for order in (np.ascontiguousarray, channels_last):
            assert np.array_equal(gradient(lambda x: max_pool(x, **how) ** 2, order(x)), whole)


def test_the_gradient_of_maxima_is_the_same_when_it_is_recorded() -> None:
    x = Tensor(np.array([[[3.0, 3.0, 1.0, 4.0, 4.0]]]), requires_grad=True)
    (max_pool(x, 2, 1) ** 2).sum().backward(create_graph=True)
    assert x.grad is not None and x.grad.data.tolist() == [[[6.0, 6.0, 0.0, 16.0, 0.0]]]


def test_padding_never_wins_a_maximum() -> None:
    x = np.full((1, 1, 2), -5.0)
    assert max_pool(x, 2, 2, 1).tolist() == [[[-5.0, -5.0]]]
    low = np.full((1, 1, 2), -np.inf)
    assert max_pool_indices(low, 2, 2, 1).tolist() == [[[0, 1]]]
    assert gradient(lambda x: max_pool(x, 2, 2, 1), low).tolist() == [[[1, 1]]]


def test_a_nan_is_the_maximum_of_its_windows_and_gets_their_gradient() -> None:
    x = np.array([[[1.0, np.nan, 3.0, 4.0]]])
    assert np.isnan(max_pool(x, 2)[0, 0]).tolist() == [True, False]
    assert gradient(lambda t: max_pool(t, 2), x).tolist() == [[[0, 1, 0, 1]]]


def test_integers_can_be_pooled() -> None:
    assert max_pool(np.array([[[1, -3, 2, 5]]]), 3, 1, 1).tolist() == [[[1, 2, 5, 5]]]


def test_ceil_mode_adds_a_window_that_begins_inside() -> None:
    x = np.arange(5.0).reshape(1, 1, 5)
    assert max_pool(x, 2).tolist() == [[[1, 3]]]
    assert max_pool(x, 2, ceil_mode=True).tolist() == [[[1, 3, 4]]]
    assert avg_pool(x, 2, ceil_mode=True).tolist() == [[[0.5, 2.5, 4]]]


def test_means_count_padding_unless_told_otherwise() -> None:
    x = np.full((1, 1, 2), 6.0)
    assert avg_pool(x, 3, 3, 1).tolist() == [[[4.0]]]
    assert avg_pool(x, 3, 3, 1, count_include_pad=False).tolist() == [[[6.0]]]
    assert avg_pool(x, 2, divisor_override=3).tolist() == [[[4.0]]]


def test_indices_put_maxima_back_where_they_were() -> None:
    x = Tensor(np.array([[[[1.0, 2.0], [4.0, 3.0]]]]))
    pooled, places = nn.MaxPool2d(2, return_indices=True)(x)
    assert places.data.tolist() == [[[[2]]]]
    assert nn.MaxUnpool2d(2)(pooled, places).data.tolist() == [[[[0, 0], [4, 0]]]]


def test_adaptive_regions_overlap_where_sizes_do_not_divide() -> None:
    x = np.arange(5.0).reshape(1, 1, 5)
    assert functional.adaptive_avg_pool1d(x, 2).tolist() == [[[1.0, 3.0]]]
    assert functional.adaptive_max_pool1d(x, 3).tolist() == [[[1.0, 3.0, 4.0]]]


def test_a_window_of_nothing_but_padding_is_refused() -> None:
    with pytest.raises(ValueRangeError, match="must be at most half of the kernel"):
        nn.MaxPool1d(2, padding=2)(Tensor(np.zeros((1, 1, 4))))


def test_an_index_outside_of_the_result_is_refused() -> None:
    with pytest.raises(ValueRangeError, match="is outside of the 4 positions"):
        functional.max_unpool1d(np.ones((1, 1, 2)), np.array([[[0, 9]]]), 2)


def test_empty_batches_pass_through() -> None:
    x = Tensor(np.zeros((0, 2, 4, 4)), requires_grad=True)
    for layer in (
        nn.MaxPool2d(2),
        nn.AvgPool2d(2),
        nn.AdaptiveAvgPool2d(1),
        nn.LPPool2d(2, 2),
        nn.ZeroPad2d(1),
    ):
        out = layer(x)
        assert out.shape[:2] == (0, 2)
        out.sum().backward()


# Padding and resizing


@pytest.mark.parametrize(("kernel", "padding"), [(1, 1), (2, 2), (3, 2), (5, 3)])
def test_padding_by_more_than_half_of_the_kernel_is_refused(kernel: int, padding: int) -> None:
    avg_pool(np.ones((1, 1, 9)), kernel, padding=padding - 1)
    with pytest.raises(ValueError, match="must be at most half of the kernel"):
        avg_pool(np.ones((1, 1, 9)), kernel, padding=padding)


@pytest.mark.parametrize("pool", [max_pool, avg_pool])
def test_a_kernel_that_does_not_fit_is_explained_by_the_name_of_the_operation(pool: Any) -> None:
    with pytest.raises(ShapeError) as error:
        pool(np.ones((1, 1, 9, 2)), 3)
    assert str(error.value) == (
        f"{pool.__name__}: a kernel of 3 does not fit axis 3 of size 2 with padding (0, 0). "
        "Use a smaller kernel, more padding or larger inputs."
    )


# A last window that would begin inside, were ceil_mode on
@pytest.mark.parametrize("divisor", [None, 4])
@pytest.mark.parametrize("counted", [False, True])
def test_means_of_padded_windows_have_their_gradients(divisor: int | None, counted: bool) -> None:
    how = {"kernel": 3, "stride": 2, "padding": 1, "count_include_pad": counted, "divisor_override": divisor}
    check_orders(OPS["avg_pool"], Case((1, 1, 6), **how), 0)
    check_orders(OPS["avg_pool_spread"], Case((1, 1, 3), size=(6,), **how), 0)


@pytest.mark.parametrize("shape", [(2, 0, 4), (0, 2, 4), (0, 0, 4)])
@pytest.mark.parametrize("recording", [False, True])
def test_the_gradient_of_no_maxima_is_empty(shape: tuple[int, ...], recording: bool) -> None:
    x = Tensor(np.zeros(shape), requires_grad=True)
    max_pool(x, 2).sum().backward(create_graph=recording)
    assert x.grad is not None and x.grad.shape == shape
    assert max_pool_indices(np.zeros(shape), 2).shape == (*shape[:2], 2)


def test_a_kernel_of_one_element_gives_each_maximum_its_own_gradient() -> None:
    x = np.array([[[1.0, np.nan, 3.0, -np.inf]]])
    assert gradient(lambda t: max_pool(t, 1), x).tolist() == [[[1, 1, 1, 1]]]
    assert gradient(lambda t: max_pool(t, 1, 2), x).tolist() == [[[1, 0, 1, 0]]]
    assert max_pool_indices(x, 1).tolist() == [[[0, 1, 2, 3]]]


def test_the_first_nan_of_a_window_gets_its_gradient() -> None:
    x = np.array([[[np.nan, 1.0, np.nan]]])
    assert gradient(lambda t: max_pool(t, 3), x).tolist() == [[[1, 0, 0]]]
    assert max_pool_indices(x, 3).tolist() == [[[0]]]
    assert gradient(lambda t: max_pool(t, 2), x).tolist() == [[[1, 0, 0]]]


def test_elements_between_windows_have_gradient_zero_whatever_the_memory_held(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(np, "empty", lambda shape, dtype=float: np.full(shape, 7, dtype))
    x = np.arange(5.0).reshape(1, 1, 5)
    assert gradient(lambda t: max_pool(t, 1, 2), x).tolist() == [[[1, 0, 1, 0, 1]]]
    assert gradient(lambda t: max_pool(t, 1, 4), x).tolist() == [[[1, 0, 0, 0, 1]]]
