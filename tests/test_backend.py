"""What counts as an array, and NumPy's floating-point warnings, which a training step never raises."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.backend import is_array, to_cpu


def test_arrays_and_numpy_scalars_are_arrays_and_lists_and_numbers_are_not() -> None:
    assert is_array(np.ones(2)) and is_array(np.float32(1.0))
    assert not is_array([1.0]) and not is_array(1.0)
    array = np.ones(2)
    assert to_cpu(array) is array


def test_a_step_leaves_the_error_state_of_the_user_also_after_an_error() -> None:
    x = Tensor([0.0], requires_grad=True)
    sgd = optim.SGD([x], lr=0.1)
    with np.errstate(all="raise"):
        before = np.geterr()
        (x * 2.0).sum().backward()
        sgd.step()
        assert np.geterr() == before
        x.register_hook(lambda g: 1 // 0)
        with pytest.raises(ZeroDivisionError):
            (x * 2.0).sum().backward()
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.log(0.0)


def test_steps_in_several_threads_raise_nothing_and_leave_the_error_state() -> None:
    def step(seed: int) -> bool:
        x = Tensor([1.0], requires_grad=True)
        x.grad = Tensor([float("inf")])
        with np.errstate(all="raise"):
            optim.SGD([x], lr=0.0).step()
            return bool(np.isnan(x.data).all()) and np.geterr()["invalid"] == "raise"

    before = np.geterr()
    with ThreadPoolExecutor(4) as pool:
        assert all(pool.map(step, range(16)))
    assert np.geterr() == before


def test_a_hook_and_an_optimizer_see_the_context_of_their_caller() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    request.set("ours")
    x = Tensor([1.0], requires_grad=True)

    def hook(g: Tensor) -> None:
        request.set(request.get() + ", hooked")

    x.register_hook(hook)
    x.sum().backward()
    assert request.get() == "ours, hooked"

    class Updating(optim.SGD):
        def update(self, *args: object) -> None:
            request.set(request.get() + " and updated")
            super().update(*args)  # type: ignore[arg-type]

    Updating([x], lr=0.1).step()
    assert request.get() == "ours, hooked and updated"


def test_a_step_of_what_is_not_finite_raises_nothing_where_the_user_lets_numpy_raise() -> None:
    model = nn.Linear(2, 3)
    sgd = optim.SGD(model.parameters(), lr=1e30)
    with np.errstate(all="raise"):
        loss = nn.functional.cross_entropy(model(tg.ones((4, 2))) * float("inf"), tg.asarray([0, 1, 2, 0]))
        assert np.isnan(loss.item())
        loss.backward()
        sgd.step()
    assert np.isnan(model.weight.data).any()
