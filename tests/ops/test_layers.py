"""Operations that layers share: whatever shapes the parameters have and whoever asks for a gradient."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.leaves import gradient
from tests.ops.slopes import drawn
from tinygrad_dl import Tensor
from tinygrad_dl.autograd import grad
from tinygrad_dl.kernels import blas as products
from tinygrad_dl.kernels.blas import KERNEL, MANY, NARROW, THREADED, TURNED, dot, turned
from tinygrad_dl.op import OPS
from tinygrad_dl.ops.linear import linear

AXES = [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)]
SHAPES: list[Any] = [None, (4,), (3, 1), (3, 4), (1,), (2, 1, 1)]


def both_agree(f: Any, arrays: list[Any], needed: tuple[bool, ...]) -> None:
    """The gradients of the quick rules are those of the rules that record."""
    tensors = [a if a is None else Tensor(a, requires_grad=n) for a, n in zip(arrays, needed)]
    asked = [t for t in tensors if t is not None and t.requires_grad]
    if not asked:
        return
    out = f(*tensors)
    seed = drawn(9, *out.shape)
    plain = grad(out, asked, seed, retain_graph=True)
    recorded = grad(out, asked, seed, create_graph=True)
    for x, g, again in zip(asked, plain, recorded):
        assert g.shape == x.shape
        np.testing.assert_allclose(g.data, again.data, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("axis", AXES)
@pytest.mark.parametrize("center", [True, False])
def test_standardize_has_one_gradient_for_all_shapes_of_its_parameters(axis: Any, center: bool) -> None:
    standardize = OPS["standardize"].function
    for w, b in product(SHAPES, SHAPES):
        arrays = [drawn(1, 2, 3, 4), None if w is None else drawn(2, *w), None if b is None else drawn(3, *b)]
        for needed in [(True, True, True), (True, False, False), (False, True, True), (False, False, True)]:
            both_agree(lambda *a: standardize(*a, axis=axis, center=center), arrays, needed)


LARGE: list[Any] = [
    ((4, 6, 7000), (6,), {"axis": (2, 3), "view": (4, 2, 3, 7000), "fit": (2, 3, 1)}),
    ((4, 6, 7000), (6,), {"axis": (0, 2), "view": (4, 6, 7000), "fit": (6, 1)}),
    ((15, 24000), (24000,), {"axis": (1,)}), ((150, 1000), (1000,), {"axis": (1,)}),
    ((150, 1000), (1000,), {"axis": (1,), "center": False}),
    ((4, 6, 7000), (6, 1), {"axis": (0, 2), "center": False}),
]  # fmt: skip


@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize(
    ("w", "b", "fit"),
    [(None, None, None), ((6,), (2, 3), (2, 3, 1)), (None, (6,), (2, 3, 1)), ((6, 1), None, (2, 3, 1))],
)
def test_standardize_in_another_view_has_one_gradient_for_all_shapes_of_its_parameters(
    w: Any, b: Any, fit: Any, center: bool
) -> None:
    arrays = [drawn(1, 2, 6, 3), *(None if p is None else drawn(2, *p) for p in (w, b))]
    how: Any = {"axis": (2, 3), "view": (2, 2, 3, 3), "fit": fit, "center": center}
    for needed in product([True, False], repeat=3):
        both_agree(lambda *a: OPS["standardize"].function(*a, **how), arrays, needed)


def test_standardize_over_all_axes_has_one_gradient() -> None:
    arrays = [drawn(1, 2, 3, 20), drawn(2, 1), drawn(3, 20)]
    both_agree(lambda *a: OPS["standardize"].function(*a, axis=(0, 1, 2)), arrays, (True, True, True))


def test_affine_of_empty_rows_has_gradients_of_zero() -> None:
    x, scale, shift = (
        Tensor(a, requires_grad=True) for a in (np.ones((3, 0)), np.ones((3, 1)), np.ones((3, 1)))
    )
    OPS["affine"].function(x, scale, shift).sum().backward()
    for p in (scale, shift):
        assert p.grad is not None and p.grad.tolist() == [[0], [0], [0]]


@pytest.mark.parametrize(("shape", "parameter", "how"), LARGE)
def test_standardize_of_what_is_taken_in_parts_agrees_and_leaves_numpys_buffers_alone(
    shape: Any, parameter: Any, how: Any
) -> None:
    standardize, before = OPS["standardize"].function, np.getbufsize()
    arrays = [drawn(1, *shape), drawn(2, *parameter), drawn(3, *parameter)]
    both_agree(lambda *a: standardize(*a, **how), arrays, (True, True, True))
    both_agree(lambda *a: standardize(*a, **how), [arrays[0].T.copy().T, *arrays[1:]], (True, True, False))
    both_agree(lambda *a: standardize(*a, **how), arrays, (False, True, True))
    both_agree(lambda *a: standardize(*a, **how), [arrays[0], None, None], (True, False, False))
    assert np.getbufsize() == before


@pytest.mark.parametrize(
    ("offset", "spread"), [(0, 1), (1, 1), (-1.9, 1), (2.1, 1), (1000, 1), (1, 0.001), (0.001, 0.001)]
)
@pytest.mark.parametrize(
    ("shape", "parameter", "how"), [*LARGE[:2], ((40, 6, 300), (6, 1), {"axis": (0, 2)})]
)
def test_standardize_keeps_its_digits_wherever_the_mean_lies(
    shape: Any, parameter: Any, how: Any, offset: float, spread: float
) -> None:
    x = drawn(1, *shape)
    seed = drawn(2, *shape) + 2 * x
    x = (spread * x + offset).astype(np.float32)
    x[:, 2:4] -= offset  # one group or channel stays where it is
    own = [drawn(i, *parameter).astype(np.float32) for i in (3, 4)]
    for w, b in ((None, None), own):
        found: list[Any] = []
        for precise in (np.float32, np.float64):
            tensors = [Tensor(a.astype(precise), requires_grad=True) for a in (x, w, b) if a is not None]
            out = OPS["standardize"].function(*tensors, eps=1e-12, **how)
            found.append([out, *grad(out, tensors, seed.astype(precise), create_graph=precise is np.float64)])
        viewed = x.astype(float).reshape(how["view"] if "view" in how else shape)
        d = viewed - viewed.mean(axis=how["axis"], keepdims=True)
        expected = d / np.sqrt((d * d).mean(axis=how["axis"], keepdims=True) + 1e-12)
        if w is not None and b is not None:
            expected = expected * w.reshape(how.get("fit", parameter)) + b.reshape(how.get("fit", parameter))
        found[1][0] = Tensor(expected.reshape(shape))
        for one, other in zip(*found):
            allowed = 3e-6 * (1 + abs(offset) / spread) * np.abs(other.data).max()
            assert np.abs(one.data - other.data).max() <= allowed


def test_standardize_of_what_is_constant_is_the_shift() -> None:
    x, b = np.full((4, 6, 7000), 3.0, np.float32), np.arange(6, dtype=np.float32)
    out = OPS["standardize"].function(x, None, b, axis=(0, 2), fit=(6, 1))
    assert np.array_equal(out, np.broadcast_to(b[:, None], x.shape))


@pytest.mark.parametrize("needed", [n for n in product([True, False], repeat=3) if any(n)])
def test_affine_has_one_gradient_for_all_shapes_of_its_parameters(needed: tuple[bool, ...]) -> None:
    affine = OPS["affine"].function
    for scale, shift in product(SHAPES[1:], SHAPES[1:]):
        both_agree(affine, [drawn(1, 2, 3, 4), drawn(2, *scale), drawn(3, *shift)], needed)


@pytest.mark.parametrize(
    "shape", [(4, 3, 8, 8), (3, 5, 7), (2, 600, 3), (1, 1, 2, 2), (0, 2, 3), (2, 3, 2, 3, 2)]
)
def test_what_lies_channels_last_is_standardized_as_what_lies_channels_first(shape: tuple[int, ...]) -> None:
    w, b = (drawn(i, shape[1], *[1] * (len(shape) - 2)) for i in (1, 2))
    first, seed = drawn(3, *shape), drawn(4, *shape)
    axis = (0, *range(2, len(shape)))
    found = []
    for order in (range(len(shape)), (0, *range(2, len(shape)), 1)):
        x, g = (a.transpose(order).copy().transpose(np.argsort(order)) for a in (first, seed))
        tensors = [Tensor(np.empty(0), requires_grad=True), *(Tensor(p, requires_grad=True) for p in (w, b))]
        tensors[0].data = x  # as it lies
        before = x.copy()
        out = OPS["standardize"].function(*tensors, axis=axis)
        found.append([out._data, *(g._data for g in grad(out, tensors, g))])
        assert np.array_equal(x, before)
    for one, other in zip(*found):
        np.testing.assert_allclose(one, other, rtol=1e-9, atol=1e-12)


def test_long_runs_and_memory_in_another_order_give_the_same_sums() -> None:
    affine = OPS["affine"].function
    for x in (drawn(1, 3, 40), drawn(1, 2, 3, 5, 8), drawn(1, 40, 3).T):
        scale, shift = drawn(2, *x.shape[1:]), drawn(3, *x.shape[-1:])
        both_agree(affine, [x, scale, shift], (True, True, True))


@pytest.mark.parametrize("place", range(6))
def test_a_recurrent_layer_whose_one_parameter_is_asked_for_gives_its_gradient(place: int) -> None:
    arrays = [drawn(i, *shape) for i, shape in enumerate([(3, 2, 4), (2, 5), (5, 4), (5, 5), (5,), (5,)])]
    both_agree(OPS["rnn"].function, arrays, tuple(i == place for i in range(6)))


def lying(x: np.ndarray, order: Any) -> np.ndarray:
    """The same array with its axes in another order in memory."""
    return x.transpose(order).copy().transpose(np.argsort(order))


@pytest.mark.parametrize("parameter", [(3, 1), (4,), (3, 4), (1,)])
def test_affine_has_one_gradient_however_value_and_gradient_lie(parameter: Any) -> None:
    found = []
    for x_order, g_order in product([(0, 1, 2), (0, 2, 1)], repeat=2):
        x = Tensor(np.empty(0), requires_grad=True)
        x.data = lying(drawn(1, 2, 3, 4), x_order)
        scale, shift = (Tensor(drawn(i, *parameter), requires_grad=True) for i in (2, 3))
        out = OPS["affine"].function(x, scale, shift)
        found.append([g.data for g in grad(out, [x, scale, shift], lying(drawn(4, 2, 3, 4), g_order))])
    for other in found[1:]:
        for a, b in zip(found[0], other):
            np.testing.assert_allclose(a, b, rtol=1e-12)


@pytest.mark.parametrize("shape", [(2, 0, 3), (0, 2, 3), (2, 3, 0)])
def test_affine_of_nothing_has_empty_gradients_and_zeros(shape: tuple[int, ...]) -> None:
    arrays = np.ones(shape), np.ones((shape[1], 1)), np.ones((shape[1], 1))
    x, *both = (Tensor(a, requires_grad=True) for a in arrays)
    OPS["affine"].function(x, *both).sum().backward()
    assert x.grad is not None and x.grad.shape == shape
    for p in both:
        assert p.grad is not None and p.grad.tolist() == [[0]] * shape[1]


@pytest.mark.parametrize("needed", [n for n in product([True, False], repeat=3) if any(n)])
def test_a_convolution_gives_the_gradients_that_are_asked_for(needed: tuple[bool, ...]) -> None:
    both_agree(OPS["conv"].function, [drawn(1, 2, 3, 5), drawn(2, 4, 3, 2), drawn(3, 4)], needed)


@pytest.mark.parametrize(
    ("shape", "axis"), [((2, 3, 3), (0, 1)), ((3, 3, 1), (1, 2)), ((2, 3, 3, 3), (0, 1, 2))]
)
def test_as_many_channels_as_places_are_told_apart_in_any_memory_order(shape: Any, axis: Any) -> None:
    x, g, last = drawn(1, *shape), drawn(2, *shape), (0, *range(2, len(shape)), 1)

    def mean(a: np.ndarray) -> np.ndarray:
        return a.mean(axis=axis, keepdims=True)

    scale = 1 / np.sqrt(mean((x - mean(x)) ** 2) + 1e-5)
    hat = (x - mean(x)) * scale
    slope = scale * (g - mean(g) - hat * mean(g * hat))
    for lies, seed in product((x, lying(x, last)), (g, lying(g, last))):
        t = Tensor(np.empty(0), requires_grad=True)
        t.data = lies
        out = OPS["standardize"].function(t, axis=axis)
        np.testing.assert_allclose(out.data, hat, rtol=1e-10, atol=1e-12)
        np.testing.assert_allclose(grad(out, [t], seed)[0].data, slope, rtol=1e-8, atol=1e-10)


@pytest.mark.parametrize("shape", [(100, 128), (2, 50, 128)])
def test_large_linear_layers_write_from_the_beginning_of_a_line_of_the_cache_and_gradients_add_up(
    shape: tuple[int, ...],
) -> None:
    for outs in range(128, 132):
        x, w = Tensor(drawn(1, *shape), requires_grad=True), Tensor(drawn(2, outs, 128), requires_grad=True)
        slope_x, slope_w = w.data.sum(0), x.data.reshape(-1, 128).sum(0)
        out = linear(x, w)
        np.testing.assert_allclose(out.data, np.einsum("...i,oi->...o", x.data, w.data))
        out.sum().backward()
        first = gradient(w)
        for array in (out.data, first):
            assert array.ctypes.data % 64 == 0
        np.testing.assert_allclose(first, np.broadcast_to(slope_w, w.shape))
        np.testing.assert_allclose(gradient(x), np.broadcast_to(slope_x, shape))
        (linear(x, w) + linear(2 * x, w)).sum().backward()
        np.testing.assert_allclose(gradient(w), np.broadcast_to(4 * slope_w, w.shape))
        np.testing.assert_allclose(gradient(x), np.broadcast_to(4 * slope_x, shape))
        np.testing.assert_allclose(first, np.broadcast_to(slope_w, w.shape))


@pytest.mark.parametrize("rows", [MANY - 1, MANY])
@pytest.mark.parametrize("inputs", [0, 1, NARROW, 3 * NARROW, 3 * NARROW + 1])
@pytest.mark.parametrize("outputs", [0, 1, 2, NARROW, NARROW + 1])
def test_many_rows_of_a_few_columns_lie_column_by_column_and_are_the_same_numbers(
    rows: int, inputs: int, outputs: int
) -> None:
    shapes = ((rows, inputs), (outputs, inputs), (outputs,), (rows, outputs))
    x, w, b, g = (drawn(seed, *shape) for seed, shape in enumerate(shapes))
    a, p, q = (Tensor(value, requires_grad=True) for value in (x, w, b))
    out = linear(a, p, q)
    np.testing.assert_allclose(out.data, np.einsum("ni,oi->no", x, w) + b, rtol=1e-12, atol=1e-12)
    few = rows >= MANY and inputs <= 3 * NARROW and outputs <= NARROW
    assert out.data.flags.f_contiguous is (few or outputs <= 1)
    for gradient_of in (g, np.asfortranarray(g)):
        fast = grad(out, [a, p, q], gradient_of, retain_graph=True)
        plain = grad(out, [a, p, q], gradient_of, create_graph=True)
        for one, other, value in zip(fast, plain, (x, w, b)):
            assert one.shape == value.shape
            np.testing.assert_allclose(one.data, other.data, rtol=1e-12, atol=1e-12)


def test_a_network_of_narrow_layers_keeps_what_follows_in_one_order() -> None:
    x = Tensor(np.ones((MANY, 3), np.float32), requires_grad=True)
    w = Tensor(np.ones((4, 3), np.float32), requires_grad=True)
    h = linear(x, w)
    h.retain_grad()
    v = Tensor(np.ones((2, 4), np.float32), requires_grad=True)
    (linear(h.tanh(), v) ** 2).sum().backward()
    assert h.grad is not None and w.grad is not None
    assert h.data.flags.f_contiguous and h.grad.data.flags.f_contiguous
    assert w.grad.data.flags.c_contiguous


# Products

AROUND_THE_LIMITS = [  # rows, inner size, columns, and whether the second matrix is copied to lie row by row
    (64, 64, THREADED // 64**2, False), (65, 64, THREADED // 64**2, True), (100, 100, KERNEL // 100**2, True),
    (101, 100, KERNEL // 100**2, False), (64, 96, TURNED // 96, True), (64, 96, TURNED // 96 + 1, False),
    (1, 64, 8192, False), (0, 3, 2, False), (2, 0, 3, False), (2, 3, 0, False),
]  # fmt: skip


@pytest.mark.parametrize("small_kernels", [True, False])
@pytest.mark.parametrize(("rows", "inner", "columns"), [case[:3] for case in AROUND_THE_LIMITS])
def test_products_are_the_same_numbers_however_their_matrices_lie(
    rows: int, inner: int, columns: int, small_kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(products, "_has_small_kernels", lambda: small_kernels)
    a, b = drawn(1, rows, inner), drawn(2, inner, columns)
    expected = np.einsum("ri,ic->rc", a, b)
    lefts, rights = ((m, np.asfortranarray(m), m.astype(np.float32)) for m in (a, b))
    for one, other in product(lefts, rights):
        made = dot(one, other)
        assert made.flags.c_contiguous and made.dtype == np.result_type(one, other)
        rough = np.float32 in (one.dtype, other.dtype)
        np.testing.assert_allclose(
            made, expected, rtol=1e-4 if rough else 1e-12, atol=1e-4 if rough else 1e-12
        )


@pytest.mark.parametrize("small_kernels", [True, False])
@pytest.mark.parametrize(("rows", "inner", "columns", "pays"), AROUND_THE_LIMITS)
def test_a_transposed_matrix_is_copied_only_for_the_products_that_it_makes_quicker(
    rows: int, inner: int, columns: int, pays: bool, small_kernels: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    copied: list[Any] = []
    monkeypatch.setattr(products, "_has_small_kernels", lambda: small_kernels)
    monkeypatch.setattr(np, "ascontiguousarray", lambda b: copied.append(b) or b.copy())
    transposed = drawn(2, columns, inner).T
    dot(drawn(1, rows, inner), transposed)
    assert [b is transposed for b in copied] == [True] * (pays and small_kernels)


def test_weights_are_copied_transposed_for_many_rows() -> None:
    w = drawn(1, 6, 3)
    few, many = turned(w, MANY - 1), turned(w, MANY)
    assert few.base is w and many.flags.c_contiguous
    np.testing.assert_array_equal(few, many)


LEVELS = [("AVX512_SKX", True), ("X86_V4", True), ("X86_V3", False), ("FMA3__AVX2", False), ("NEON", False)]


@pytest.mark.parametrize(("level", "there"), [*LEVELS, (None, False)])
def test_what_the_processor_can_is_read_from_what_numpy_chose(
    level: str | None, there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = {} if level is None else {"maximum": {"fff": {"current": level, "available": "AVX512_SKX X86_V4"}}}
    monkeypatch.setattr(products, "opt_func_info", lambda name, signature: told)
    assert products._has_small_kernels.__wrapped__() is there


def test_numpy_tells_how_it_computes_the_maximum() -> None:
    (told,) = products.opt_func_info("^maximum$", "float32")["maximum"].values()
    assert told["current"] in told["available"]
