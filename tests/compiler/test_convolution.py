"""Convolution in native code: a few examples at a time, with the interpreter's results and eager's memory at most."""

from __future__ import annotations

import tracemalloc
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

pytest.importorskip("llvmlite", reason="without it nothing is native")

import tinygrad_dl as tg
from tests.compiler.test_llvm import Case
from tinygrad_dl import nn, optim
from tinygrad_dl.compiler import llvm, native, threads, windows
from tinygrad_dl.compiler.sizes import Size


@st.composite
def convolutions(draw: Any) -> Case:
    """The three primitives for images of one to three dimensions, wherever these lie."""
    case, b = Case(draw(st.integers(0, 99))), None
    b = case.b
    axes, groups = draw(st.integers(1, 3)), draw(st.sampled_from([1, 1, 2, 3]))
    n, c, o = (draw(st.integers(1, k)) for k in (6, 3, 4))
    sizes = draw(st.sampled_from([[3, 9, 30], [6, 7, 5], [2, 3, 4]]))[-axes:]
    kernel = [draw(st.integers(1, min(size, 4))) for size in sizes]
    dilation = [draw(st.integers(1, 2)) if (k - 1) * 2 < size else 1 for k, size in zip(kernel, sizes)]
    stride = [draw(st.integers(1, 3)) for _ in sizes]
    f = windows.Geometry((n, c, *sizes), kernel, tuple(stride), 0, tuple(dilation))
    dtype = draw(st.sampled_from([np.float32, np.float64]))

    def images(channels: int, own: Any) -> Any:
        shape = (n, channels * groups, *own)
        if draw(st.booleans()):  # channels last, or first of all
            order = draw(st.sampled_from([(0, *range(2, axes + 2), 1), (1, 0, *range(2, axes + 2))]))
            x = b.multiply(case.argument(case.array([shape[i] for i in order], dtype)), 2.0)
            return b.transpose(x, [order.index(i) for i in range(axes + 2)])
        return b.multiply(case.argument(case.array(shape, dtype)), 2.0)

    x, g = images(c, sizes), images(o, f.counts)
    w = case.argument(case.array((o * groups, c, *kernel), dtype))
    params = {
        "kernel": f.kernel,
        "stride": f.stride,
        "dilation": f.dilation,
        "sizes": tuple(sizes),
        "groups": groups,
    }
    made = [
        b.emit("conv", [x, w], g.shape, dtype, **params),
        b.emit("conv_weight", [x, g], w.shape, dtype, **params),
        b.emit("conv_input", [g, w], x.shape, dtype, **params),
    ]
    case.results = [b.add(y, 1.0) if draw(st.booleans()) else y for y in made]
    return case


@settings(deadline=None, max_examples=25)
@given(convolutions())
def test_convolutions_are_the_sums_that_they_stand_for(case: Case) -> None:
    case.check()


@pytest.mark.parametrize("two", [False, True])
def test_halves_of_a_batch_give_the_same_in_one_thread_and_in_two(two: bool, monkeypatch: Any) -> None:
    monkeypatch.setattr(threads, "wanted", lambda: two)
    monkeypatch.setattr(native, "DIVIDED_PRODUCT", 1)
    monkeypatch.setattr(native, "small", lambda shared=False: 1 << 62)
    case = Case()
    n, c, o, side = 7, 3, 5, 12
    x, g = (
        case.argument(case.array((n, c, side, side))),
        case.argument(case.array((n, o, side - 2, side - 2))),
    )
    w = case.argument(case.array((o, c, 3, 3)))
    params = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "sizes": (side, side), "groups": 1}
    case.results = [
        case.b.emit("conv", [x, w], g.shape, np.float32, **params),
        case.b.emit("conv_weight", [x, g], w.shape, np.float32, **params),
        case.b.emit("conv_input", [g, w], x.shape, np.float32, **params),
    ]
    case.check()
    assert ("half.part" in llvm_text(case)) == two


@pytest.mark.parametrize(("side", "width", "shared"), [(18, 8, True), (34, 8, False), (18, 256, False)])
def test_products_beside_shared_convolutions_are_made_here_or_all_by_blas(
    side: int, width: int, shared: bool, monkeypatch: Any
) -> None:
    """Limits of 36,864 multiplications for two threads: a convolution, or the product, may be larger."""
    for module in (llvm, native):
        monkeypatch.setattr(module, "small", lambda shared=False: 36_864 if shared else 0)
    monkeypatch.setattr(threads, "wanted", lambda: True)
    monkeypatch.setattr(native, "DIVIDED_PRODUCT", 1)
    case = Case()
    x, w = case.argument(case.array((4, 4, side, side))), case.argument(case.array((4, 4, 3, 3)))
    a, b = case.argument(case.array((16, 16))), case.argument(case.array((16, width)))
    params = {"kernel": (3, 3), "stride": (1, 1), "dilation": (1, 1), "sizes": (side, side), "groups": 1}
    images = (4, 4, side - 2, side - 2)
    case.results = [case.b.emit("conv", [x, w], images, np.float32, **params), case.b.matmul(a, b)]
    case.check()
    text = llvm_text(case)
    assert ("half.part" in text) == shared and ("(i32 101, " in text) != shared  # CblasRowMajor


def llvm_text(case: Case) -> str:
    """The module that a case becomes."""
    texts: list[str] = []
    finish = llvm.Emitter.finish

    def kept(self: Any) -> Any:
        texts.append(self.assembly())
        return finish(self)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(llvm.Emitter, "finish", kept)
        case.run()
    return texts[0]


@pytest.mark.parametrize(
    ("examples", "positions", "together"),
    [(8, 64, 1), (8, 63, 2), (9, 30, 3), (7, 30, 7), (32, 1, 32), (64, 4, 16), (Size(1, 0, 8), 1, 1)],
)
def test_examples_are_taken_together_that_are_small(examples: int, positions: int, together: int) -> None:
    assert windows.at_a_time(examples, positions) == together


def test_a_step_of_convolutions_needs_no_more_memory_than_eager() -> None:
    def step_of(model: Any) -> Any:
        optimizer, loss = optim.SGD(model.parameters(), lr=0.01), nn.CrossEntropyLoss()

        def step() -> None:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()

        return step

    rng = np.random.default_rng(0)
    x, y = (
        tg.asarray(rng.normal(size=(64, 1, 28, 28)).astype(np.float32)),
        tg.asarray(rng.integers(0, 10, 64)),
    )

    def model() -> Any:
        return nn.Sequential(
            nn.Conv2d(1, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(6, 16, 5), nn.ReLU(),
            nn.MaxPool2d(2), nn.Flatten(), nn.Linear(400, 10),
        )  # fmt: skip

    eager = step_of(model())
    eager()
    tracemalloc.start()
    eager()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    compiled = tg.compile(step_of(model()), fullgraph=True)
    for _ in range(4):
        compiled()
    (entries,) = compiled._entries.values()
    table = entries[0].native.block.size
    assert table < peak
