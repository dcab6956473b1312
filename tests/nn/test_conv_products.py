"""The ways in which convolution's products are made, each held against another."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor
from tinygrad_dl.backend import Memory
from tinygrad_dl.kernels import conv_lines as lines
from tinygrad_dl.kernels import im2col as columns
from tinygrad_dl.kernels import layout as window
from tinygrad_dl.kernels.windows import Frame
from tinygrad_dl.ops.conv import conv, conv_transpose, conv_weight


def test_blocks_of_examples_give_what_one_block_gives(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    for channels in (1, 9):
        x = rng.standard_normal((7, channels, 6, 6))
        w = Tensor(rng.standard_normal((4, channels, 3, 3)), requires_grad=True)
        results: list[Any] = []
        for block in (2**20, 1):
            monkeypatch.setattr(columns, "BLOCK", block)
            leaf = Tensor(x, requires_grad=True)
            w.grad = None
            out = conv(leaf, w, padding=1)
            (out * out).sum().backward()
            assert leaf.grad is not None and w.grad is not None
            results.append((out.data, leaf.grad.data, w.grad.data))
        for whole, parts in zip(*results):
            np.testing.assert_allclose(parts, whole, atol=1e-10)


def test_a_long_sum_is_split_without_changing_the_weight_gradient(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(2)
    for channels in (1, 9):
        x, g = rng.standard_normal((6, channels, 5)), rng.standard_normal((6, 2, 4))
        whole = conv_weight(x, g, (2,))
        monkeypatch.setattr(columns, "SUMMED", 8)
        np.testing.assert_allclose(conv_weight(x, g, (2,)), whole, atol=1e-12)
        monkeypatch.undo()


def take_together(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Have convolution see so many windows side by side as one; 0: have it take lines."""
    monkeypatch.setattr(
        columns, "_together", lambda n, c, outs, f, groups, product: many if f.stride[-1] == 1 else 1
    )


@pytest.mark.parametrize(
    ("channels", "outs", "kernel", "together"), [(1, 6, 5, 12), (3, 8, 5, 4), (8, 16, 3, 0), (64, 64, 3, 0)]
)
def test_windows_seen_together_or_in_lines_give_what_each_alone_gives(
    channels: int, outs: int, kernel: int, together: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(4)
    x, w = rng.standard_normal((64, channels, 5, 12)), rng.standard_normal((outs, channels, 3, kernel))
    g = rng.standard_normal((64, outs, 5, 12))
    how: dict[str, Any] = {"padding": (1, kernel // 2)}
    f = Frame("conv", x.shape[2:], w.shape[2:], 1, (1, kernel // 2), 1)
    assert columns._together(64, channels, outs, f, 1, columns.RESULT) == together
    take_together(monkeypatch, 1)
    alone = conv(x, w, **how), conv_weight(x, g, w.shape[2:], **how)
    for many in (0, 2, 3, 12):
        take_together(monkeypatch, many)
        for one, other in zip(alone, (conv(x, w, **how), conv_weight(x, g, w.shape[2:], **how))):
            np.testing.assert_allclose(other, one, atol=1e-10)


def test_frames_that_are_made_of_one_are_each_as_if_made_first_and_made_once() -> None:
    def made() -> Frame:
        return Frame("conv", (7, 13), (3, 5), 1, ((1, 0), (2, 1)), 1)

    def ways(f: Frame) -> list[Frame]:
        return [f.together(2), f.mirrored(), f.together(3), f.together(4)]

    whole = made()
    alone = [made().together(2), made().mirrored(), made().together(3), made().together(4)]
    for _ in range(2):
        for f, other in zip(ways(whole), alone):
            for name in ("sizes", "kernel", "stride", "pads", "dilation", "counts"):
                assert getattr(f, name) == getattr(other, name)
    assert all(one is other for one, other in zip(ways(whole), ways(whole)))
    assert whole.mirrored().mirrored().pads == whole.pads and whole.kernel == (3, 5)


@pytest.mark.parametrize(("space", "kernel", "how"), [
    ((9, 10), (3, 4), {}), ((9, 10), (3, 4), {"padding": 2}), ((9, 10), (3, 4), {"stride": 2, "padding": 1}),
    ((9, 10), (3, 4), {"stride": (1, 3)}), ((9, 10), (3, 4), {"dilation": (2, 1), "padding": (0, 3)}),
    ((9, 10), (3, 4), {"padding": ((2, -1), (-2, 1))}), ((8, 1), (3, 1), {}), ((2, 11), (1, 5), {}),
    ((12,), (5,), {"stride": 2}), ((4, 5, 6), (2, 3, 2), {"padding": 1}), ((3, 2, 4, 5), (2, 1, 3, 3), {}),
])  # fmt: skip
@pytest.mark.parametrize("rows", [1024, 3])
def test_lines_give_what_windows_give(
    space: Any, kernel: Any, how: dict[str, Any], rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((3, 4, *space)), rng.standard_normal((5, 4, *kernel))
    monkeypatch.setattr(columns, "_together", lambda *_: 1)
    out = conv(x, w, **how)
    g = rng.standard_normal(out.shape)
    windows = out, conv_weight(x, g, kernel, **how)
    monkeypatch.setattr(columns, "_together", lambda *_: 0)
    monkeypatch.setattr(lines, "ROWS", rows)  # in one product: of all three examples, or of one
    for one, other in zip(windows, (conv(x, w, **how), conv_weight(x, g, kernel, **how))):
        np.testing.assert_allclose(other, one, atol=1e-12)


@pytest.mark.parametrize(("shape", "kernel", "how", "many", "elements"), [
    ((2, 4, 5, 6), (3, 2), {}, 1, 2 * 3 * 5 * 6 * 4),
    ((2, 4, 5, 6), (3, 2), {}, 5, 2 * 3 * 3 * 6 * 4),  # five windows as one, six wide
    ((2, 4, 5, 6), (3, 2), {}, 0, 2 * 3 * 6 * 3 * 4),  # lines: a place holds what stands above it
    ((2, 4, 5, 6), (3, 2), {"groups": 2}, 0, 2 * 3 * 6 * 3 * 4),
    ((2, 4, 5, 6), (3, 2), {"groups": 2}, 1, 0),
    ((2, 4, 6), (2,), {}, 0, 0),  # the input lies in lines already
    ((2, 4, 6), (1,), {}, 1, 0),
    ((2, 4, 5, 6), (3, 2), {"groups": 4}, 1, 0),  # channel by channel
    ((2, 4, 7, 6), (3, 2), {"stride": (2, 1)}, 1, 2 * 3 * 5 * 6 * 4),
    ((2, 4, 7, 6), (3, 2), {"dilation": (2, 1)}, 0, 2 * 3 * 6 * 3 * 4),
    ((2, 4, 7, 6), (3, 2), {"padding": (1, 0)}, 1, 2 * 7 * 5 * 6 * 4),
])  # fmt: skip
@pytest.mark.parametrize("one_by_one", [False, True])
def test_a_convolution_holds_its_windows_for_the_weight_if_they_are_small(
    shape: Any, kernel: Any, how: dict[str, Any], many: int, elements: int, one_by_one: bool,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    take_together(monkeypatch, many)
    if one_by_one:
        monkeypatch.setattr(columns, "BLOCK", 1)
        monkeypatch.setattr(lines, "ROWS", 1)
    rng = np.random.default_rng(8)
    x = rng.standard_normal(shape)
    weight = rng.standard_normal((4, 4 // how.get("groups", 1), *kernel))
    for limit in (max(elements, 1), elements - 1):
        monkeypatch.setattr(window, "HELD_ELEMENTS", limit)
        w = Tensor(weight, requires_grad=True)
        out = conv(x, w, **how)
        assert isinstance(out, Tensor) and out.node is not None and out.node.saved is not None
        held = out.node.saved[-1]
        assert held.nbytes == (elements * x.itemsize if limit >= elements else 0)
        blocks = list(map(id, held.values()))
        conv(x + 1, w, **how)  # builds its windows in the memory that is used again
        g = rng.standard_normal(out.shape)
        out.backward(g)
        assert list(map(id, held.values())) == blocks
        expected = conv_weight(x, g, kernel, **how)
        assert w.grad is not None
        np.testing.assert_allclose(w.grad.data, expected, atol=1e-12)


@pytest.mark.parametrize("many", [0, 1])  # by lines of all groups at once, or group by group
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("space", "kernel"), [((9,), (5,)), ((6, 7), (3, 4)), ((3, 4, 5), (2, 3, 4))])
def test_each_group_gives_what_it_gives_alone(
    space: Any, kernel: Any, stride: int, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal((2, 12, *space)), rng.standard_normal((15, 4, *kernel))
    how: dict[str, Any] = {"stride": stride, "padding": 1}
    g = rng.standard_normal(conv(x, w, groups=3, **how).shape)
    groups = [(x[:, 4 * i : 4 * i + 4], w[5 * i : 5 * i + 5], g[:, 5 * i : 5 * i + 5]) for i in range(3)]
    alone = (
        np.concatenate([conv(a, b, **how) for a, b, _ in groups], 1),
        np.concatenate([conv_transpose(c, b, size=space, **how) for _, b, c in groups], 1),
        np.concatenate([conv_weight(a, c, kernel, **how) for a, _, c in groups]),
    )
    take_together(monkeypatch, many)
    at_once = (
        conv(x, w, groups=3, **how),
        conv_transpose(g, w, groups=3, size=space, **how),
        conv_weight(x, g, kernel, groups=3, **how),
    )
    for one, other in zip(alone, at_once):
        np.testing.assert_allclose(other, one, atol=1e-10)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("many", [0, 1, 4])
def test_what_is_not_finite_reaches_only_the_windows_that_hold_it(
    value: float, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_together(monkeypatch, many)
    x, w = np.zeros((1, 1, 1, 12)), np.ones((6, 1, 1, 5))
    x[..., 5] = value
    with np.errstate(invalid="ignore"):
        out = conv(x, w)
    expected = np.zeros((1, 6, 1, 8))
    expected[..., 1:6] = value
    assert np.array_equal(out, expected, equal_nan=True)


@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan, 1e30])
@pytest.mark.parametrize("many", [0, 1, 4])
def test_a_weight_that_is_not_finite_reaches_only_the_results_of_its_filter(
    value: float, many: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    take_together(monkeypatch, many)
    x, w = np.full((1, 1, 1, 12), 1e30, np.float32), np.zeros((6, 1, 1, 5), np.float32)
    w[2, ..., 3] = value
    with np.errstate(over="ignore", invalid="ignore"):
        out = conv(x, w)
        expected = np.zeros((1, 6, 1, 8), np.float32)
        expected[:, 2] = np.float32(value) * np.float32(1e30)
    assert np.array_equal(out, expected, equal_nan=True)


def test_results_begin_with_a_line_of_the_cache_and_are_arrays_of_their_own() -> None:
    for outs in range(3, 9):
        rng = np.random.default_rng(outs)
        out = conv(Tensor(rng.normal(size=(2, 3, 9, 9))), Tensor(rng.normal(size=(outs, 3, 3, 3)))).data
        assert out.ctypes.data % 64 == 0 and type(out.base) is Memory
