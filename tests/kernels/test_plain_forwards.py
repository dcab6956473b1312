"""Each kernel against the plain forward beside it: over the cases of its operation, and over random draws."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

import tinygrad_dl as tg
import tinygrad_dl.fft
import tinygrad_dl.linalg  # operations of these two are registered when they are imported
from tests.test_registry import cases_of, drawn, seed_of
from tinygrad_dl import func
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.op import OPS, Case, Op
from tinygrad_dl.ops.pooling import max_pool_indices, pick_in_space, put_in_space

WITH_KERNEL = {
    name: op for name, op in OPS.items() if op.kernel and op.forward.__module__.startswith("tinygrad_dl.")
}
TOLERANCE = {np.dtype(np.float16): 2e-2, np.dtype(np.float32): 2e-5, np.dtype(np.float64): 1e-11}


def result_of_kernel(op: Op, values: Any, options: Any, named: dict[str, Any]) -> Any:
    assert op.kernel is not None
    out = op.kernel(*values, *options, **named)
    return out[0] if op.cached else out


def check(op: Op, values: list[Any], options: Any = (), named: dict[str, Any] | None = None) -> None:
    """Both give the same values, shape and dtype, or both refuse; neither writes to its inputs."""
    if op.variadic:
        values = [values]
    named = named or {}
    before = [v.copy() if isinstance(v, np.ndarray) else v for v in values]
    try:
        plain = op.forward(*values, *options, **named)
    except TinygradError as error:
        with pytest.raises(type(error)) as caught:
            result_of_kernel(op, values, options, named)
        assert str(caught.value) == str(error)
        return
    fast = result_of_kernel(op, values, options, named)
    assert fast.shape == plain.shape and fast.dtype == plain.dtype
    tolerance = TOLERANCE.get(fast.dtype, 0)
    scale = max(1.0, float(np.max(np.abs(plain), where=np.isfinite(plain), initial=0)))
    np.testing.assert_allclose(fast, plain, rtol=tolerance, atol=tolerance * scale)
    for value, was in zip(values, before):
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(value, was)


def as_dtype(values: Any, dtype: Any) -> Any:
    """Floating arrays in another dtype."""
    if isinstance(values, np.ndarray) and values.dtype.kind == "f":
        return values.astype(dtype)
    return type(values)(as_dtype(v, dtype) for v in values) if isinstance(values, (list, tuple)) else values


def in_layout(values: Any, layout: str) -> Any:
    """The same arrays in another memory layout: C or Fortran order, channels last, or with gaps."""
    if isinstance(values, (list, tuple)):
        return type(values)(in_layout(v, layout) for v in values)
    if not isinstance(values, np.ndarray) or not values.ndim:
        return values
    if layout == "gaps":
        wide = np.repeat(values, 2, axis=-1)
        return wide[..., ::2]
    if layout == "channels last" and values.ndim > 2:
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(values, 1, -1)), -1, 1)
    return np.array(values, order="F" if layout == "F" else "C")


LAYOUTS = ("C", "F", "channels last", "gaps")


def every_case() -> Iterator[Any]:
    for op in WITH_KERNEL.values():
        for number, case in enumerate(cases_of(op)):
            yield pytest.param(op, case, id=f"{op.name}-{number}")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(("op", "case"), list(every_case()))
def test_a_kernel_gives_what_the_plain_forward_gives(op: Op, case: Case, dtype: Any) -> None:
    values, _, options, named = drawn(op, case, seed_of(op, case))
    for layout in LAYOUTS:
        check(op, in_layout(as_dtype(values, dtype), layout), options, named)


def test_the_cases_above_are_those_of_every_kernel() -> None:
    assert {"conv", "conv_transpose", "conv_weight", "max_pool", "avg_pool", "standardize", "lstm"} <= set(
        WITH_KERNEL
    )


arrays = st.tuples(
    st.integers(0, 2**32 - 1), st.sampled_from([np.float32, np.float64]), st.sampled_from(LAYOUTS)
)


def array(source: tuple[int, Any, str], *shape: int) -> np.ndarray:
    seed, dtype, layout = source
    value: np.ndarray = in_layout(np.random.default_rng(seed).standard_normal(shape).astype(dtype), layout)
    return value


@st.composite
def convolutions(draw: st.DrawFn) -> tuple[dict[str, Any], list[int], list[int], int, int, int]:
    """Options, spatial sizes, kernel sizes, channels and filters per group, groups."""
    n = draw(st.integers(1, 3))
    sizes = [draw(st.integers(1, 7)) for _ in range(n)]
    kernel = [draw(st.integers(1, 5)) for _ in range(n)]
    padding = draw(
        st.one_of(
            st.integers(0, 2),
            st.sampled_from(["same", "valid"]),
            st.tuples(*[st.tuples(st.integers(-1, 2), st.integers(-1, 2))] * n),
        )
    )
    options = {
        "stride": 1 if padding == "same" else draw(st.integers(1, 3)),
        "padding": padding,
        "dilation": draw(st.integers(1, 2)),
        "groups": draw(st.integers(1, 3)),
    }
    per, each = draw(st.sampled_from([1, 2, 4, 9])), draw(st.sampled_from([1, 2, 5]))
    return options, sizes, kernel, per, each, draw(st.integers(0, 3))


@given(convolution=convolutions(), source=arrays, bias=st.booleans())
def test_convolutions_agree_for_all_sizes_and_options(convolution: Any, source: Any, bias: bool) -> None:
    options, sizes, kernel, per, each, examples = convolution
    groups = options["groups"]
    x, w = array(source, examples, per * groups, *sizes), array(source, each * groups, per, *kernel)
    b = array(source, each * groups) if bias else None
    check(OPS["conv"], [x, w, b], named=options)
    try:
        y = OPS["conv"].forward(x, w, None, **options)
    except TinygradError:
        assume(False)
    check(OPS["conv_weight"], [x, y, tuple(kernel)], named=options)
    b = array(source, per * groups) if bias else None
    check(OPS["conv_transpose"], [y, w, b], named={**options, "size": tuple(sizes)})
    check(OPS["conv_transpose"], [y, w, b], named=options)


POOLED: dict[str, Any] = {
    "sizes": [5, 4], "kernel": 3, "stride": 2, "padding": 1, "dilation": 1, "ceil_mode": True, "count": False,
}  # fmt: skip


@example(**POOLED, source=(0, np.float32, "C"), special=-np.inf)
@example(**POOLED, source=(0, np.float64, "channels last"), special=np.nan)
@example(**POOLED, source=(0, np.float64, "gaps"), special=0.0)
@given(
    sizes=st.lists(st.integers(1, 7), min_size=1, max_size=3), kernel=st.integers(1, 4), stride=st.integers(1, 4),
    padding=st.integers(0, 2), dilation=st.integers(1, 2), ceil_mode=st.booleans(), source=arrays, count=st.booleans(),
    special=st.sampled_from([0.0, np.nan, np.inf, -np.inf]),
)  # fmt: skip
def test_poolings_agree_for_all_sizes_and_options(
    sizes: list[int], kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool, source: Any,
    count: bool, special: float,
) -> None:  # fmt: skip
    x = array(source, 3, 4, *sizes)
    options: dict[str, Any] = {"kernel": kernel, "stride": stride, "padding": padding, "ceil_mode": ceil_mode}
    check(OPS["avg_pool"], [x], named={**options, "count_include_pad": count})
    if special:
        x[0, :2] = special
        x[2] = special  # all of an example
    x[1] = np.round(x[1])  # ties
    options["dilation"] = dilation
    check(OPS["max_pool"], [x], named=options)
    try:
        out = tg.max_pool(x, **options)
    except TinygradError:
        return
    # The first maximum of each window moves it, and gets its gradient.
    indices = max_pool_indices(x, **options)
    t, g = (
        array(source, *x.shape),
        in_layout(np.cos(np.arange(out.size)).reshape(out.shape).astype(x.dtype), source[2]),
    )
    value, change = func.jvp(lambda x: tg.max_pool(x, **options), (x,), (t,))
    np.testing.assert_array_equal(value, out)
    np.testing.assert_array_equal(change, pick_in_space(t, indices))
    leaf = tg.Tensor(x, requires_grad=True)
    (gradient,) = tg.autograd.grad(tg.max_pool(leaf, **options), leaf, g)
    tolerance = TOLERANCE[x.dtype]
    np.testing.assert_allclose(
        gradient, put_in_space(g, indices, tuple(sizes)), rtol=tolerance, atol=tolerance
    )


@given(shape=st.lists(st.integers(1, 5), min_size=1, max_size=4), source=arrays, data=st.data())
def test_standardize_agrees_along_all_axes(shape: list[int], source: Any, data: st.DataObject) -> None:
    axis = tuple(sorted(data.draw(st.sets(st.integers(0, len(shape) - 1), min_size=1))))
    x = array(source, *shape)
    parameters = []
    for _ in range(2):
        own = [size if data.draw(st.booleans()) else 1 for size in shape]
        parameters.append(array(source, *own) if data.draw(st.booleans()) else None)
    check(OPS["standardize"], [x, *parameters], named={"axis": axis, "center": data.draw(st.booleans())})


@given(
    steps=st.integers(1, 4), n=st.integers(0, 3), i=st.integers(1, 3), h=st.integers(1, 3), source=arrays,
    bias=st.tuples(st.booleans(), st.booleans()),
)  # fmt: skip
def test_recurrent_layers_agree(
    steps: int, n: int, i: int, h: int, source: Any, bias: tuple[bool, bool]
) -> None:
    for name, gates in (("rnn", 1), ("gru", 3), ("lstm", 4)):
        states = [array(source, n, h)] * (2 if name == "lstm" else 1)
        weights = [array(source, gates * h, i), array(source, gates * h, h)]
        biases = [array(source, gates * h) if given else None for given in bias]
        check(OPS[name], [array(source, steps, n, i), *states, *weights, *biases])


@given(
    n=st.integers(0, 5), classes=st.integers(1, 4), rest=st.sampled_from([(), (3,)]), source=arrays,
    reduction=st.sampled_from(["none", "mean", "sum"]), weighted=st.booleans(),
    smoothing=st.sampled_from([0.0, 0.2]), ignore=st.sampled_from([-100, 0, 1]), seed=st.integers(0, 99),
)  # fmt: skip
def test_cross_entropies_agree(
    n: int, classes: int, rest: tuple[int, ...], source: Any, reduction: str, weighted: bool, smoothing: float,
    ignore: int, seed: int,
) -> None:  # fmt: skip
    rng = np.random.default_rng(seed)
    target = rng.integers(-1 if seed == 0 else 0, classes, (n, *rest))
    options = {
        "reduction": reduction, "ignore_index": ignore, "label_smoothing": smoothing,
        "weight": rng.uniform(0.5, 2, classes) if weighted else None,
    }  # fmt: skip
    check(OPS["softmax_cross_entropy"], [array(source, n, classes, *rest), target], named=options)


@given(rows=st.integers(1, 4), indices=st.lists(st.integers(0, 3), max_size=40), source=arrays)
def test_rows_added_at_repeated_indices_agree(rows: int, indices: list[int], source: Any) -> None:
    index = np.array(indices, int) % rows
    check(OPS["scatter_rows"], [array(source, len(index), 3), index, rows])
    x = array(source, 1, 2, len(index))
    check(OPS["put_in_space"], [x, np.stack([index, index[::-1]])[None], (2, 2)])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.int64])
@pytest.mark.parametrize("name", ["erf", "gelu"])
def test_curves_agree_everywhere(name: str, dtype: Any) -> None:
    for x in (np.linspace(-9, 9, 1001), np.array([0.0, np.inf, -np.inf, np.nan]), np.zeros((0, 2))):
        with np.errstate(invalid="ignore"):
            check(OPS[name], [x.astype(dtype)])


def test_no_operation_names_a_tuning_constant() -> None:
    """Sizes from which another way is faster belong beside the kernel that they choose."""
    modules = {op.forward.__module__ for op in OPS.values()}
    numbers = [
        f"{module}.{name}"
        for module in modules
        if module.startswith("tinygrad_dl.ops.")
        for name, value in vars(sys.modules[module]).items()
        if name.isupper() and type(value) is int
    ]
    assert numbers == []
