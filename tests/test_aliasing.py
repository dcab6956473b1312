"""Values are values: no gradient shares memory with another, and assignments change one name only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.tensor import Tensor

# No gradient shares memory with another


PROGRAMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "reshape": lambda x, y: x.reshape(6) + y.reshape(6),
    "transpose": lambda x, y: x.T + y.T,
    "squeeze": lambda x, y: x[None].squeeze(0) + y,
    "getitem": lambda x, y: x[...] + y[:],
    "broadcast": lambda x, y: tg.broadcast_to(x, (2, 3)) + y,
    "where": lambda x, y: tg.where(np.ones((2, 3), bool), x, y) + y,
    "concat": lambda x, y: tg.concat([x, y]),
    "stack": lambda x, y: tg.stack([x, y]),
    "positive": lambda x, y: +x + y,
    "astype": lambda x, y: x.astype("float64") + y,
    "setitem": lambda x, y: tg.setitem(x, y, slice(None)) + x + y,
    "mean": lambda x, y: x.mean(0) + y.mean(0),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_changing_one_gradient_in_place_changes_no_other(name: str, create_graph: bool) -> None:
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    out = PROGRAMS[name](x, y)
    seed = Tensor(np.ones(out.shape))
    h = out + 0
    h.retain_grad()
    h.backward(seed, create_graph=create_graph)
    assert x.grad is not None and y.grad is not None and h.grad is not None
    arrays = [x.grad.data, y.grad.data, h.grad.data, seed.data, x.data, y.data, out.data]
    before = [a.copy() for a in arrays]
    for i, array in enumerate(arrays):
        array += 100  # writable too
        for j, other in enumerate(arrays):
            if i != j:
                np.testing.assert_array_equal(other, before[j], err_msg=f"{name}: {i} and {j} share memory")
        array -= 100


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_that_grad_returns_share_no_memory(name: str, create_graph: bool) -> None:
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    out = PROGRAMS[name](x, y)
    seed = Tensor(np.ones(out.shape))
    found = tg.autograd.grad(out, [x, y, out, x], seed, create_graph=create_graph)
    arrays = [*(g.data for g in found if g is not None), seed.data]
    assert len(arrays) == 5
    for i, array in enumerate(arrays):
        array += 0
        assert not any(np.may_share_memory(array, other) for other in arrays[i + 1 :])


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_hook_that_writes_to_the_gradient_a_walk_starts_from_changes_no_later_walk(
    create_graph: bool,
) -> None:
    x, met = leaf(np.array(2.0)), []

    def write(g: Tensor) -> None:
        met.append(g.item())
        g.data.fill(5)

    for _ in range(2):
        y = x * 1
        y.register_hook(write)
        y.backward(create_graph=create_graph)
    assert met == [1, 1]


def test_shared_buffers_do_not_mix_up_gradients() -> None:
    x, y = leaf(2.0), leaf(3.0)
    (x / (x + y)).backward()
    assert gradient(x) == pytest.approx(0.12) and gradient(y) == pytest.approx(-0.08)
    a = leaf([1.0, 2.0])
    b = a * 1
    ((b + b) * b).sum().backward()
    assert gradient(a).tolist() == [4, 8]


def test_a_view_of_another_array_is_not_added_to_in_place() -> None:
    held = np.ones((64, 64))

    @tg.op(lambda g: held[...])
    def slope_of_one(x: Any, /) -> Any:
        """The same values."""
        return x * 1

    x = leaf(np.zeros((64, 64)))
    (slope_of_one(x) + slope_of_one(x)).sum().backward()
    assert (gradient(x) == 2).all() and (held == 1).all()


# Dtypes and shapes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_has_dtype_and_shape_of_its_tensor(dtype: Any, create_graph: bool) -> None:
    x, y = leaf(np.ones((2, 1)), dtype), leaf(np.ones(3), np.float64)
    b = leaf(2.0, dtype)
    (((x * 2.0 + y) * np.float64(3) / b).exp().mean() + x.sum() * y.sum()).backward(create_graph=create_graph)
    for t in (x, y, b):
        assert t.grad is not None and type(t.grad) is Tensor and type(t.grad.data) is np.ndarray
        assert (t.grad.dtype, t.grad.shape) == (t.dtype, t.shape)


def test_float32_stays_float32_with_python_numbers_and_float64_scalars() -> None:
    x = leaf([1.0, 2.0], np.float32)
    for y in (
        x * 2.0,
        x + np.float64(1),
        x * 2,
        1 / x,
        np.float64(2) ** x,
        x**2,
        x**0.5,
        -x,
        x.mean(),
        x.exp(),
    ):
        assert y.dtype == np.float32
        (g,) = tg.autograd.grad(y.sum(), x)
        assert g is not None and g.dtype == np.float32


def test_empty_arrays_have_empty_gradients() -> None:
    x = leaf(np.ones((0, 3)), np.float32)
    (x.exp() * 2).sum().backward()
    assert gradient(x).shape == (0, 3)


def test_a_gradient_given_to_backward_is_broadcast_never() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ShapeError):
        (x * 2).backward(1.0)
    (x * 2).backward([1, 10])
    assert gradient(x).tolist() == [2, 20]


# Assignment makes a new value


def test_assignment_is_differentiable_in_both_and_leaves_other_names_alone() -> None:
    x, v = leaf([1.0, 2.0, 3.0]), leaf(5.0)
    y = x * 1
    old = y.detach()
    y[1] = v
    (y * y).sum().backward()
    assert gradient(x).tolist() == [2, 0, 6] and gradient(v) == 10
    assert old.tolist() == [1, 2, 3]


def test_an_array_that_asarray_shares_is_not_written_by_assignments_to_the_tensor() -> None:
    array = np.array([1.0, 2.0])
    t = tg.asarray(array)
    t[0] = 9
    t += 1
    assert array.tolist() == [1, 2] and t.tolist() == [10, 3]


def test_a_view_that_was_taken_before_an_assignment_keeps_the_old_value() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    view = x[1:]
    x[1] = 20.0
    assert view.tolist() == [2, 3] and x.tolist() == [1, 20, 3]


def test_changing_the_dtype_of_a_leaf_leaves_older_graphs_without_effect_on_it() -> None:
    x = leaf([1.0], np.float32)
    y = (x * 2).sum()
    x.data = x.data.astype(np.float64)
    y.backward()
    assert x.grad is None
    (x * 2).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float64
