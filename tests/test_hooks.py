"""Hooks on gradients, and gradients of intermediate results."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl.errors import ShapeError
from tinygrad_dl.tensor import Tensor


def test_a_hook_sees_the_whole_gradient_once_and_may_replace_it() -> None:
    x = leaf(3.0)
    y = x * 2
    seen: list[float] = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.register_hook(lambda g: g * 10)
    (y + y * y).backward()
    assert seen == [13] and gradient(x) == 260


def test_hooks_run_in_order_and_can_be_removed() -> None:
    x = leaf(1.0)
    first = x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 2)
    (x * 1).backward()
    assert gradient(x) == 4
    first.remove()
    first.remove()
    x.grad = None
    (x * 1).backward()
    assert gradient(x) == 2


def test_a_hook_ends_with_its_block_or_when_its_handle_is_called() -> None:
    x = leaf(1.0)
    with x.register_hook(lambda g: g * 2):
        (x * 1).backward()
    called = x.register_hook(lambda g: g * 100)
    called()
    (x * 1).backward()
    assert gradient(x) == 3


def test_a_hook_on_a_leaf_runs_at_each_backward() -> None:
    x = leaf(1.0)
    count: list[int] = []
    x.register_hook(lambda g: count.append(1))
    for _ in range(3):
        (x * x + x).backward()
    assert len(count) == 3


def test_what_a_hook_returns_or_gets_is_not_shared_with_the_gradient() -> None:
    x = leaf([1.0, 1.0])
    mine = Tensor(np.array([5.0, 5.0]))
    seen: list[Tensor] = []

    def hook(g: Tensor) -> Tensor:
        seen.append(g)
        return mine

    x.register_hook(hook)
    (x * 1).sum().backward()
    seen[0].data[:] = -1
    mine.data[:] = -1
    assert gradient(x).tolist() == [5, 5]
    (found,) = tg.autograd.grad((x * 1).sum(), x)
    assert found is not None and not np.may_share_memory(found.data, mine.data)


def test_grad_gives_what_the_hooks_of_a_leaf_made_of_its_gradient() -> None:
    x = leaf([1.0, 1.0])
    x.register_hook(lambda g: g * 2)
    for create_graph in (False, True):
        (found,) = tg.autograd.grad((x * 3).sum(), x, create_graph=create_graph)
        assert found is not None and found.tolist() == [6, 6] and x.grad is None


def test_a_hook_keeps_the_dtype_of_the_gradient() -> None:
    x = leaf([1.0], np.float32)
    x.register_hook(lambda g: g.numpy().astype(np.float64) * 2)
    (x * 1).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float32 and x.grad.tolist() == [2]


def test_a_hook_of_a_recorded_gradient_is_differentiated_too() -> None:
    x = leaf(2.0)
    y = x * x
    remove = y.register_hook(lambda g: g * y)
    (g,) = tg.autograd.grad(y, x, create_graph=True)  # y * 2x = 2x^3
    remove()
    (h,) = tg.autograd.grad(g, x)
    assert (g.item(), h.item()) == (16, 24)


def test_a_hook_that_gives_another_dtype_stays_in_the_graph() -> None:
    x = leaf(2.0, np.float32)
    y = x * x
    remove = y.register_hook(lambda g: g.astype("float64") * y)
    (g,) = tg.autograd.grad(y, x, create_graph=True)
    remove()
    (h,) = tg.autograd.grad(g, x)
    assert (g.item(), h.item()) == (16, 24) and g.dtype == h.dtype == np.float32


def test_a_hook_with_the_wrong_shape_says_so() -> None:
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ShapeError) as caught:
        (x * 1).sum().backward()
    assert str(caught.value) == "register_hook: expected the hook to return a gradient of shape (2,), got ()"


def test_an_exception_in_a_hook_leaves_the_engine_usable() -> None:
    x = leaf(1.0)

    def fail(g: Tensor) -> None:
        raise KeyError("mine")

    remove = x.register_hook(fail)
    with pytest.raises(KeyError):
        (x * 1).backward()
    remove()
    (x * 1).backward()
    assert gradient(x) == 1


def test_a_hook_may_run_backward_itself() -> None:
    x, z = leaf(2.0), leaf(3.0)
    y = x * 2
    y.register_hook(lambda g: (z * z).backward())
    y.backward()
    assert gradient(x) == 2 and gradient(z) == 6


def test_intermediates_keep_no_gradient_unless_asked() -> None:
    x = leaf(3.0)
    y = x * 2
    z = y * y
    y.retain_grad()
    z.backward()
    assert y.grad is not None and y.grad.item() == 12
    with pytest.warns(UserWarning, match=r"retain_grad\(\)"):
        assert z.grad is None


def test_retained_gradients_accumulate_as_those_of_leaves() -> None:
    x = leaf(3.0)
    y = x * 2
    y.retain_grad()
    for _ in range(2):
        (y * y).backward(retain_graph=True)
    assert y.grad is not None and y.grad.item() == 24


def test_an_assignment_moves_retain_grad_to_the_new_value() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    y.retain_grad()
    y[0] = 7.0
    (y * y).sum().backward()
    assert gradient(x).tolist() == [0, 36]
    assert y.grad is not None and y.grad.tolist() == [14, 12]
