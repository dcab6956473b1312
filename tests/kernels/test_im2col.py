"""How convolution's products are made: block by block, group by group, and where values are not finite."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.kernels import im2col
from tinygrad_dl.kernels.layout import channels_last
from tinygrad_dl.kernels.windows import Windows
from tinygrad_dl.ops.conv import conv, conv_transpose, conv_weight


def test_blocks_of_examples_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    for channels, space in (
        (1, (6, 6)),
        (9, (6, 6)),
        (1, (2, 1)),
    ):  # the last with fewer columns than examples
        x = rng.standard_normal((40, channels, *space))
        w = Tensor(rng.standard_normal((4, channels, 3, 3)), requires_grad=True)
        results: list[Any] = []
        for block in (2**20, 1):
            monkeypatch.setattr(im2col, "BLOCK", block)
            leaf = Tensor(x, requires_grad=True)
            w.grad = None
            out = conv(leaf, w, padding=1)
            (out * out).sum().backward()
            assert leaf.grad is not None and w.grad is not None
            results.append((out.data, leaf.grad.data, w.grad.data))
        for whole, parts in zip(*results):
            np.testing.assert_allclose(parts, whole, atol=1e-10)


@pytest.mark.parametrize(("per", "each"), [(4, 5), (1, 1), (1, 2)])
@pytest.mark.parametrize(("stride", "dilation"), [(1, 1), (2, 1), (2, 2)])
@pytest.mark.parametrize(("space", "kernel"), [((9,), (5,)), ((6, 7), (3, 4)), ((3, 4, 5), (2, 3, 4))])
def test_each_group_gives_what_it_gives_alone(
    space: Any, kernel: Any, stride: int, dilation: int, per: int, each: int
) -> None:
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal((2, 3 * per, *space)), rng.standard_normal((3 * each, per, *kernel))
    how: dict[str, Any] = {"stride": stride, "padding": 1, "dilation": dilation}
    g = rng.standard_normal(conv(x, w, groups=3, **how).shape)
    places = [(slice(per * i, per * (i + 1)), slice(each * i, each * (i + 1))) for i in range(3)]
    groups = [(x[:, ins], w[outs], g[:, outs]) for ins, outs in places]
    alone = (
        np.concatenate([conv(a, b, **how) for a, b, _ in groups], 1),
        np.concatenate([conv_transpose(c, b, size=space, **how) for _, b, c in groups], 1),
        np.concatenate([conv_weight(a, c, kernel, **how) for a, _, c in groups]),
    )
    at_once = (
        conv(x, w, groups=3, **how),
        conv_transpose(g, w, groups=3, size=space, **how),
        conv_weight(x, g, kernel, groups=3, **how),
    )
    for one, other in zip(alone, at_once):
        np.testing.assert_allclose(other, one, atol=1e-10)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("groups", [1, 2, 4])
def test_of_two_dtypes_the_larger_one_is_computed_in(groups: int, stride: int) -> None:
    rng = np.random.default_rng(3)
    x, w = rng.standard_normal((2, 4, 6, 6)), rng.standard_normal((4, 4 // groups, 3, 4))
    how: dict[str, Any] = {"groups": groups, "stride": stride}
    g = rng.standard_normal(conv(x, w, **how).shape)
    narrow = [a.astype(np.float32) for a in (x, w, g)]
    wide = [a.astype(np.float64) for a in narrow]
    for one, other in ((narrow, wide), (wide, narrow)):
        (x, _, y), (_, w, g) = one, other
        pairs = [
            (conv(x, w, **how), conv(wide[0], wide[1], **how)),
            (conv_transpose(y, w, **how), conv_transpose(wide[2], wide[1], **how)),
            (conv_weight(x, g, (3, 4), **how), conv_weight(wide[0], wide[2], (3, 4), **how)),
        ]
        for found, expected in pairs:
            np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
def test_what_is_not_finite_reaches_only_the_windows_that_hold_it(value: float) -> None:
    x, w = np.zeros((1, 1, 1, 12)), np.ones((6, 1, 1, 5))
    x[..., 5] = value
    with np.errstate(invalid="ignore"):
        out = conv(x, w)
    expected = np.zeros((1, 6, 1, 8))
    expected[..., 1:6] = value
    assert np.array_equal(out, expected, equal_nan=True)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e30])
def test_a_weight_that_is_not_finite_reaches_only_the_results_of_its_filter(value: float) -> None:
    x, w = np.full((1, 1, 1, 12), 1e30, np.float32), np.zeros((6, 1, 1, 5), np.float32)
    w[2, ..., 3] = value
    with np.errstate(over="ignore", invalid="ignore"):
        out = conv(x, w)
        expected = np.zeros((1, 6, 1, 8), np.float32)
        expected[:, 2] = np.float32(value) * np.float32(1e30)
    assert np.array_equal(out, expected, equal_nan=True)


def test_the_mirrored_geometry_is_made_once_and_mirrors_back() -> None:
    f = Windows("conv", (7, 13), (3, 5), 1, ((1, 0), (2, 1)), 1)
    other = f.mirrored()
    assert other is f.mirrored() and other.mirrored().pads == f.pads
    assert (other.sizes, other.counts, other.kernel) == (f.counts, f.sizes, f.kernel)


def test_results_are_channels_last_arrays_of_their_own() -> None:
    for shape, kernel in [((2, 3, 9, 9), (3, 3)), ((2, 3, 7), (2,)), ((1, 3, 4, 5, 6), (2, 2, 2))]:
        rng = np.random.default_rng(0)
        out = conv(Tensor(rng.normal(size=shape)), Tensor(rng.normal(size=(5, 3, *kernel)))).data
        assert out.base is None and channels_last(out).flags.c_contiguous
