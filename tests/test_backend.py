"""The array library underneath: NumPy's warnings, held back where values tell of what is not finite."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextvars import ContextVar

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.backend import quietly

SILENT = {"divide": "ignore", "over": "ignore", "under": "ignore", "invalid": "ignore"}


def test_quietly_holds_back_every_warning_of_numpy_and_nothing_else() -> None:
    assert quietly(np.geterr) == SILENT
    assert np.isnan(quietly(np.divide, 0.0, 0.0))
    assert quietly(lambda a, b: (a, b), 1, b=2) == (1, 2)


def test_quietly_leaves_the_error_state_of_the_user_also_after_an_error() -> None:
    with np.errstate(all="raise"):
        before = np.geterr()
        quietly(np.log, 0.0)
        assert np.geterr() == before
        with pytest.raises(ZeroDivisionError):
            quietly(lambda: 1 // 0)
        assert np.geterr() == before
        with pytest.raises(FloatingPointError):
            np.log(0.0)


def test_quietly_may_be_called_inside_of_itself_and_in_several_threads() -> None:
    assert quietly(quietly, np.geterr) == SILENT
    assert quietly(lambda: (quietly(int), np.geterr())[1]) == SILENT
    before = np.geterr()
    with ThreadPoolExecutor(4) as pool:
        assert all(state == SILENT for state in pool.map(lambda _: quietly(np.geterr), range(64)))
    assert np.geterr() == before


def test_a_hook_and_an_optimizer_see_the_context_of_their_caller() -> None:
    request: ContextVar[str] = ContextVar("request", default="none")
    request.set("mine")
    x = Tensor([1.0], requires_grad=True)

    def told(g: Tensor) -> None:
        request.set(request.get() + ", seen")

    x.register_hook(told)
    x.sum().backward()
    assert request.get() == "mine, seen"

    class Told(optim.SGD):
        def update(self, *args: object) -> None:
            request.set(request.get() + " and updated")
            super().update(*args)  # type: ignore[arg-type]

    Told([x], lr=0.1).step()
    assert request.get() == "mine, seen and updated"


def test_a_step_of_what_is_not_finite_raises_nothing_where_the_user_lets_numpy_raise() -> None:
    model = nn.Linear(2, 3)
    sgd = optim.SGD(model.parameters(), lr=1e30)
    with np.errstate(all="raise"):
        loss = nn.functional.cross_entropy(model(tg.ones((4, 2))) * float("inf"), tg.asarray([0, 1, 2, 0]))
        assert np.isnan(loss.item())
        loss.backward()
        sgd.step()
    assert np.isnan(model.weight.data).any()
