"""Convolution against loops over its formula and known numbers; its layers' shapes, options and errors."""

from __future__ import annotations

import itertools
import re
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn import functional
from tinygrad_dl.ops.conv import conv, conv_transpose, conv_weight


def by_formula(
    x: np.ndarray, w: np.ndarray, stride: int, padding: int, dilation: int, groups: int
) -> np.ndarray:
    """The sum that defines a convolution, place by place."""
    x = np.pad(x, [(0, 0), (0, 0), *[(padding, padding)] * (x.ndim - 2)])
    kernel = w.shape[2:]
    sizes = [(s - dilation * (k - 1) - 1) // stride + 1 for s, k in zip(x.shape[2:], kernel)]
    out = np.zeros((x.shape[0], w.shape[0], *sizes))
    each, per = w.shape[0] // groups, w.shape[1]
    for place in itertools.product(*map(range, sizes)):
        window = tuple(
            slice(p * stride, p * stride + dilation * (k - 1) + 1, dilation) for p, k in zip(place, kernel)
        )
        for o in range(w.shape[0]):
            start = o // each * per
            part = x[(slice(None), slice(start, start + per), *window)]
            out[(slice(None), o, *place)] = (part * w[o]).reshape(len(x), -1).sum(1)
    return out


@given(
    n=st.integers(1, 3),
    per=st.sampled_from([1, 2, 5, 9]),
    each=st.integers(1, 3),
    groups=st.integers(1, 3),
    kernel=st.integers(1, 3),
    stride=st.integers(1, 3),
    padding=st.integers(0, 2),
    dilation=st.integers(1, 2),
    last=st.booleans(),
)
def test_convolution_is_the_sum_of_its_formula_in_every_memory_order(
    n: int,
    per: int,
    each: int,
    groups: int,
    kernel: int,
    stride: int,
    padding: int,
    dilation: int,
    last: bool,
) -> None:
    rng = np.random.default_rng(n + per)
    x = rng.standard_normal((2, per * groups, *(6,) * n))
    w = rng.standard_normal((each * groups, per, *(kernel,) * n))
    given_x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1) if last else x
    got = conv(given_x, w, None, stride, padding, dilation, groups)
    np.testing.assert_allclose(got, by_formula(x, w, stride, padding, dilation, groups), atol=1e-10)


@given(
    n=st.integers(1, 2),
    channels=st.sampled_from([1, 2, 5, 9, 17]),
    outs=st.sampled_from([1, 4, 9]),
    kernel=st.integers(1, 5),
    stride=st.integers(1, 2),
    padding=st.integers(0, 1),
    dilation=st.integers(1, 2),
)
def test_the_three_operations_are_one_trilinear_form(
    n: int, channels: int, outs: int, kernel: int, stride: int, padding: int, dilation: int
) -> None:
    """<conv(x, w), g> = <x, conv_transpose(g, w)> = <w, conv_weight(x, g)>."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((2, channels, *(11, 10)[:n]))
    w = rng.standard_normal((outs, channels, *(kernel,) * n))
    how = {"stride": stride, "padding": padding, "dilation": dilation}
    out = conv(x, w, **how)
    g = rng.standard_normal(out.shape)
    whole = (out * g).sum()
    assert np.isclose((x * conv_transpose(g, w, size=x.shape[2:], **how)).sum(), whole)
    assert np.isclose((w * conv_weight(x, g, w.shape[2:], **how)).sum(), whole)


def test_geometry_may_be_given_as_lists_and_arrays_and_is_refused_each_time() -> None:
    rng = np.random.default_rng(6)
    x, w = rng.standard_normal((1, 2, 6, 7)), rng.standard_normal((3, 2, 2, 3))
    for _ in range(2):
        for make in (tuple, list, np.array):
            given = {"stride": make((2, 1)), "padding": [make((1, 0)), (0, 2)], "dilation": make([1, 2])}
            np.testing.assert_array_equal(
                conv(x, w, **given), conv(x, w, stride=(2, 1), padding=((1, 0), (0, 2)), dilation=(1, 2))
            )
        with pytest.raises(ValueRangeError, match="stride: expected at least 1, got stride=0"):
            conv(x, w, stride=0)
        with pytest.raises(ShapeError, match=r"stride=\(1, 2, 3\): expected an int or 2 ints"):
            conv(x, w, stride=[1, 2, 3])


def test_convolution_slides_the_kernel_without_mirroring_it() -> None:
    assert conv(np.array([[[1.0, 2.0, 3.0]]]), np.array([[[1.0, 10.0]]])).tolist() == [[[21.0, 32.0]]]


def test_a_strided_padded_convolution_has_the_known_values_and_gradients() -> None:
    x = Tensor(np.arange(16.0).reshape(1, 1, 4, 4), requires_grad=True)
    w = Tensor(np.ones((1, 1, 3, 3)), requires_grad=True)
    out = functional.conv2d(x, w, stride=2, padding=1)
    assert out.data.tolist() == [[[[10, 24], [51, 90]]]]
    out.sum().backward()
    assert w.grad is not None and w.grad.data.tolist() == [[[[5, 10, 12], [10, 20, 24], [18, 36, 40]]]]


def test_an_element_that_no_window_meets_gets_no_gradient() -> None:
    x = Tensor(np.zeros((1, 1, 5)), requires_grad=True)
    functional.conv1d(x, np.ones((1, 1, 2)), stride=2).sum().backward()
    assert x.grad is not None and x.grad.data.tolist() == [[[1, 1, 1, 1, 0]]]


@pytest.mark.parametrize("padding", [0, 2])
def test_wide_kernels_over_few_channels_carry_back_what_the_formula_says(padding: int) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 6, 9, 8)), rng.standard_normal((13, 6, 5, 5))  # filters > 2 * channels
    g = rng.standard_normal(conv(x, w, padding=padding).shape)
    back = conv_transpose(g, w, padding=padding)
    # What one element of x adds to <conv(x, w), g>, the convolution being linear in it.
    for place in [(0, 0, 0, 0), (1, 5, 8, 7), (0, 2, 4, 3)]:
        one = np.zeros_like(x)
        one[place] = 1
        assert np.isclose((by_formula(one, w, 1, padding, 1, 1) * g).sum(), back[place])


def test_same_padding_keeps_the_sizes_and_puts_the_odd_element_at_the_end() -> None:
    layer = nn.Conv1d(1, 1, kernel_size=2, padding="same", bias=False)
    layer.weight.data[...] = 1
    assert layer(Tensor([[[1.0, 2.0, 3.0]]])).data.tolist() == [[[3.0, 5.0, 3.0]]]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [("zeros", [2, 4, 2]), ("reflect", [4, 4, 4]), ("replicate", [3, 4, 5]), ("circular", [5, 4, 3])],
)
def test_padding_modes_say_what_is_outside(mode: str, expected: list[float]) -> None:
    layer = nn.Conv1d(1, 1, kernel_size=3, padding=1, padding_mode=mode, bias=False)
    layer.weight.data[...] = [[[1, 0, 1]]]
    assert layer(Tensor([[[1.0, 2.0, 3.0]]])).data.ravel().tolist() == expected


def test_an_input_without_a_batch_gives_a_result_without_one() -> None:
    layer = nn.Conv2d(2, 3, 3)
    x = Tensor(np.ones((2, 5, 5), np.float32))
    np.testing.assert_allclose(layer(x).data, layer(x.reshape(1, 2, 5, 5)).data[0])


def test_an_empty_batch_gives_an_empty_result_and_zero_gradients() -> None:
    layer = nn.Conv2d(2, 3, 3)
    out = layer(Tensor(np.zeros((0, 2, 5, 5), np.float32)))
    assert out.shape == (0, 3, 3, 3)
    out.sum().backward()
    assert layer.weight.grad is not None and not layer.weight.grad.data.any()


def test_a_transposed_convolution_can_give_each_size_that_its_stride_allows() -> None:
    layer = nn.ConvTranspose1d(1, 1, kernel_size=3, stride=2)
    x = Tensor(np.ones((1, 1, 3), np.float32))
    assert [layer(x, output_size=(size,)).shape[2] for size in (7, 8)] == [7, 8]
    with pytest.raises(ShapeError, match=r"expected an output_size from \(7,\) to \(8,\)"):
        layer(x, output_size=(9,))


def test_float32_stays_float32_and_the_result_is_channels_last() -> None:
    out = nn.Conv2d(3, 8, 3)(Tensor(np.zeros((2, 3, 6, 6), np.float32)))
    assert out.dtype == np.float32
    assert out.data.transpose(0, 2, 3, 1).flags.c_contiguous


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.complex64, np.int32, bool])
@pytest.mark.parametrize(
    ("shape", "groups"), [((4, 1, 3), 4), ((8, 1, 3), 4), ((4, 2, 5), 2), ((4, 4, 5), 1)]
)
def test_each_dtype_stays_itself_in_all_three_operations(
    dtype: Any, shape: tuple[int, ...], groups: int
) -> None:
    x, w = np.ones((2, 4, 8), dtype), np.ones(shape, dtype)
    out = conv(x, w, padding=1, groups=groups)
    back = conv_transpose(out, w, padding=1, groups=groups)
    assert out.dtype == back.dtype == conv_weight(x, out, shape[2:], padding=1, groups=groups).dtype == dtype


@pytest.mark.parametrize("groups", [1, 2])
def test_a_long_sum_in_half_precision_does_not_stall(groups: int) -> None:
    ones = np.ones((4096, 2, 1), np.float16)
    assert (conv_weight(ones, ones, (1,), groups=groups) == 4096).all()


def test_wrong_channels_are_explained() -> None:
    with pytest.raises(ShapeError) as error:
        nn.Conv2d(3, 8, 3)(Tensor(np.zeros((2, 6, 6, 3), np.float32)))
    assert "expected an input of in_channels = 3 channels, got 6 in (2, 6, 6, 3)" in str(error.value)
    assert "move the channels, which are last, to axis 1" in str(error.value)


def test_a_kernel_larger_than_the_input_is_explained() -> None:
    with pytest.raises(ShapeError) as error:
        conv(np.zeros((1, 1, 3)), np.zeros((1, 1, 3)), dilation=2)
    assert str(error.value) == (
        "conv: a kernel of 3 with dilation 2, spanning 5, does not fit axis 2 of size 3 with padding (0, 0). "
        "Use a smaller kernel, more padding or larger inputs."
    )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"groups": 2}, "expected in_channels divisible by groups=2, got 3"),
        ({"groups": 0}, "Conv2d: groups: expected an int of at least 1, got int 0"),
        (
            {"stride": 2, "padding": "same"},
            "padding='same' keeps the sizes: expected stride=1, got stride=(2, 2)",
        ),
        ({"padding": "most"}, "padding: expected an int, a tuple, 'same' or 'valid', got 'most'"),
        ({"stride": 0}, "Conv2d: stride: expected an int of at least 1 or a sequence of them, got int 0"),
        (
            {"padding_mode": "mirror"},
            "expected padding_mode to be one of zeros, reflect, replicate, circular, got 'mirror'",
        ),
    ],
)
def test_arguments_that_make_no_convolution_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueRangeError, match=re.escape(message)):
        nn.Conv2d(3, 4, 3, **options)
