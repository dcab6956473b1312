"""Operations that layers share: whatever shapes the parameters have and whoever asks for a gradient."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest

from tests.leaves import gradient
from tests.ops.slopes import drawn
from tinygrad_dl import Tensor, func
from tinygrad_dl.autograd import grad
from tinygrad_dl.op import OPS
from tinygrad_dl.ops.linear import linear

AXES = [(0,), (1,), (2,), (0, 2), (1, 2), (0, 1, 2)]
SHAPES: list[Any] = [None, (4,), (3, 1), (3, 4), (1,), (2, 1, 1)]


def both_agree(f: Any, arrays: list[Any], needed: tuple[bool, ...]) -> None:
    """The gradients of the fast rules are those of the rules that record."""
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
def test_standardize_of_large_arrays_agrees_and_leaves_numpys_buffers_alone(
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
    ("shape", "axis"),
    [
        *(
            (s, (0, *range(2, len(s))))
            for s in [(4, 3, 8, 8), (3, 5, 7), (2, 600, 3), (1, 1, 2, 2), (0, 2, 3), (2, 3, 2, 3, 2)]
        ),
        ((1, 3, 1, 4), (1, 2, 3)),
    ],
)
def test_what_lies_channels_last_is_standardized_as_what_lies_channels_first(shape: Any, axis: Any) -> None:
    w, b = (drawn(i, shape[1], *[1] * (len(shape) - 2)) for i in (1, 2))
    first, seed = drawn(3, *shape), drawn(4, *shape)
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


def test_the_gradient_of_one_image_channels_last_writes_to_none_of_its_inputs() -> None:
    x, g = (drawn(i, 1, 4, 4, 3).transpose(0, 3, 1, 2) for i in (1, 2))
    found = []
    for a, b in ((x, g), (x.copy(), g.copy())):
        tensor = Tensor(np.empty(0), requires_grad=True)
        tensor.data = a
        before = a.copy(), b.copy()
        out = OPS["standardize"].function(tensor, None, None, axis=(2, 3, 4), view=(1, 3, 1, 4, 4))
        found += [g.data for g in grad(out, [tensor], b)]
        assert np.array_equal(a, before[0]) and np.array_equal(b, before[1])
    np.testing.assert_allclose(*found, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("narrow", "wide"), [(0, 1), (1, 0)])
@pytest.mark.parametrize("axis", [(0,), (1,)])
def test_standardize_of_two_precisions_computes_in_the_wider(narrow: int, wide: int, axis: Any) -> None:
    x, w, b = drawn(1, 4, 6), drawn(2, 6), drawn(3, 6)
    dtypes = ["float32", "float64"]
    given = x.astype(dtypes[narrow]), w.astype(dtypes[wide]), b.astype(dtypes[wide])
    out, pullback = func.vjp(lambda *a: OPS["standardize"].function(*a, axis=axis), *given)
    expected, exact = func.vjp(lambda *a: OPS["standardize"].function(*a, axis=axis), x, w, b)
    _, change = func.jvp(lambda *a: OPS["standardize"].function(*a, axis=axis), given, given)
    _, moved = func.jvp(lambda *a: OPS["standardize"].function(*a, axis=axis), (x, w, b), (x, w, b))
    assert out.dtype == change.dtype == np.float64
    for one, other in ((out, expected), (change, moved), *zip(pullback(x), exact(x))):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-5)


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
def test_gradients_of_large_linear_layers_add_up(shape: tuple[int, ...]) -> None:
    for outs in range(128, 132):
        x, w = Tensor(drawn(1, *shape), requires_grad=True), Tensor(drawn(2, outs, 128), requires_grad=True)
        slope_x, slope_w = w.data.sum(0), x.data.reshape(-1, 128).sum(0)
        out = linear(x, w)
        np.testing.assert_allclose(out.data, np.einsum("...i,oi->...o", x.data, w.data))
        out.sum().backward()
        first = gradient(w)
        np.testing.assert_allclose(first, np.broadcast_to(slope_w, w.shape))
        np.testing.assert_allclose(gradient(x), np.broadcast_to(slope_x, shape))
        (linear(x, w) + linear(2 * x, w)).sum().backward()
        np.testing.assert_allclose(gradient(w), np.broadcast_to(4 * slope_w, w.shape))
        np.testing.assert_allclose(gradient(x), np.broadcast_to(4 * slope_x, shape))
        np.testing.assert_allclose(first, np.broadcast_to(slope_w, w.shape))
