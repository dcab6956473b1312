"""detect_anomaly: what it finds, what it says, and what it leaves alone."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl import detect_anomaly, nn
from tinygrad_dl.errors import AnomalyError
from tinygrad_dl.modes import active, modes
from tinygrad_dl.tensor import Tensor

HERE = str(Path(__file__))


def said(f: Callable[[], Any]) -> list[str]:
    """The lines of the error that f raises under detect_anomaly; the place without its number."""
    with detect_anomaly(), pytest.raises(AnomalyError) as caught:
        f()
    return [re.sub(rf"{re.escape(HERE)}:\d+", "HERE", line).strip() for line in str(caught.value).split("\n")]


def cause(f: Callable[[], Any]) -> str:
    return said(f)[-2].removeprefix("likely cause: ")


# Forward


def test_the_first_operation_that_makes_an_infinity_is_reported_with_its_inputs_and_the_line() -> None:
    x = leaf([2.0, 0.0, 1.0], np.float32)

    def f() -> Tensor:
        y = x * 2
        z = y.log()  # here
        return z * 3

    assert said(f) == [
        "log: made -inf in 1 of 3 elements",
        "x: float32 (3,), 0 to 4",
        "likely cause: log of 0. Of a probability, compute it from the logits: log_softmax, or a loss with "
        "logits; "
        "otherwise add a small number",
        "called at HERE: z = y.log()  # here",
    ]


@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (lambda: tg.log(Tensor([-1.0])), "log of a number below 0"),
        (lambda: tg.log1p(Tensor([-1.0])), "log1p of -1."),
        (lambda: tg.log1p(Tensor([-2.0])), "log1p of a number below -1"),
        (lambda: Tensor([1.0]) / Tensor([0.0]), "division by 0. Add a small number to the divisor"),
        (lambda: Tensor([0.0]) / 0, "division by 0."),
        (lambda: tg.reciprocal(Tensor([0.0])), "division by 0."),
        (lambda: Tensor([0.0]) ** -1, "0 to a negative power is a division by 0"),
        (lambda: Tensor([-2.0]) ** 0.5, "a negative number to a fractional power"),
        (lambda: Tensor([-2.0]).sqrt(), "the square root of a negative number"),
        (lambda: Tensor([89.0]).exp(), "overflow: exp exceeds what float32 holds above 88.72. Subtract"),
        (lambda: tg.exp(Tensor(np.array(710.0))), "overflow: exp exceeds what float64 holds above 709.8."),
        (lambda: Tensor([1e30]) * 1e30, "overflow: float32 holds up to 3.4e+38. Scale the values"),
        (lambda: (Tensor([3e38, 3e38])).sum(), "overflow: float32 holds up to 3.4e+38."),
        (lambda: Tensor([np.inf]) - Tensor([np.inf]), "infinities among the inputs that cancel"),
        (lambda: tg.asin(Tensor([2.0])), "the inputs lie outside of where asin is defined"),
        (lambda: Tensor([np.nan]) * 2, "no operation in here made it: the data or a parameter has it"),
        (lambda: tg.concat([Tensor([np.nan]), Tensor([1.0])]), "no operation in here made it"),
    ],
)  # fmt: skip
def test_the_likely_cause_of_a_forward_anomaly_is_named(f: Callable[[], Any], expected: str) -> None:
    assert cause(f).startswith(expected)


def test_operations_on_what_requires_no_grad_and_under_no_grad_are_watched_too() -> None:
    assert cause(lambda: Tensor([0.0]).log()).startswith("log of 0")
    with tg.no_grad():
        assert cause(lambda: leaf([0.0]).log()).startswith("log of 0")


def test_an_infinity_that_is_only_handed_on_is_allowed() -> None:
    mask = np.array([True, False])
    with detect_anomaly():
        x = leaf([1.0, 2.0])
        y = tg.where(mask, x, -np.inf)
        tg.softmax(y).sum().backward()
        assert (y * 2).tolist() == [2, -np.inf]
        assert tg.isnan(Tensor([np.nan])).tolist() == [True]
        assert tg.where(np.array([False]), Tensor([np.nan]), 0.0).tolist() == [0]
    assert np.isfinite(gradient(x)).all()


def test_the_range_of_an_input_counts_what_is_not_finite() -> None:
    lines = said(lambda: Tensor([[1.0, np.inf], [-3.0, np.inf]]) - Tensor([0.0, np.inf]))
    assert lines[:3] == [
        "subtract: made nan in 2 of 4 elements",
        "x: float32 (2, 2), -3 to 1, 2 infinite",
        "y: float32 (2,), 0, 1 infinite",
    ]


# Backward


def test_the_untaken_branch_of_a_where_is_recognised() -> None:
    x = leaf([0.0, 4.0])

    def f() -> None:
        root = x.sqrt()  # here
        tg.where(x > 0, root, 0.0).sum().backward()

    assert said(f) == [
        "backward: the derivative of sqrt in x made nan in 1 of 2 elements",
        "g, the gradient of sqrt: float64 (2,), 0 to 1",
        "out: float64 (2,), 0 to 2",
        "likely cause: sqrt at 0, where its derivative is infinite, times a gradient that is 0 there: 0 * "
        "inf is nan. "
        "So it is in the branch of a where that is not taken, or under a mask: use where_safe",
        "called at HERE: root = x.sqrt()  # here",
    ]
    with detect_anomaly():
        tg.where_safe(x > 0, tg.sqrt, x, 0.0).sum().backward()
    assert gradient(x).tolist() == [0, 0.25]


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize(
    ("f", "expected"),
    [
        (
            lambda x: (x * x).sum().sqrt(),
            "a norm (the square root of a sum) at 0, where its derivative is infinite.",
        ),
        (lambda x: x.sqrt().sum(), "sqrt at 0, where its derivative is infinite."),
        (
            lambda x: (x**0.5).sum(),
            "a power of 0 with an exponent below 1, where its derivative is infinite.",
        ),
        (lambda x: ((x + 1e-20) ** -1.5).sum(), "overflow: float32 holds up to 3.4e+38."),
    ],
)
def test_the_likely_cause_of_a_backward_anomaly_is_named(f: Any, expected: str, create_graph: bool) -> None:
    x = leaf([0.0, 0.0], np.float32)
    assert cause(lambda: f(x).backward(create_graph=create_graph)).startswith(expected)


def test_a_gradient_that_comes_in_bad_is_not_blamed_on_the_derivative() -> None:
    x = leaf([1.0, 2.0])
    lines = said(lambda: (x * 2).backward(np.array([np.nan, 1.0])))
    assert lines[0] == "backward: the derivative of multiply in x was given nan in 1 of 2 elements"
    assert lines[-2] == (
        "likely cause: no derivative made it: the gradient passed to backward, a hook or a sum did"
    )

    def hooked() -> None:
        y = x * 2
        y.register_hook(lambda g: g * np.inf)
        y.sum().backward()

    assert "was given inf in 2 of 2" in said(hooked)[0]


def test_a_graph_made_outside_is_reported_without_a_line() -> None:
    x = leaf([0.0])
    y = x.sqrt()
    assert said(y.backward)[-1] == "called outside of detect_anomaly"


def test_the_module_is_named_in_forward_and_in_backward() -> None:
    class Root(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.sqrt()

    class Net(nn.Module):
        def __init__(self) -> None:
            self.blocks = [nn.Identity(), Root()]

        def forward(self, x: Tensor) -> Tensor:
            for block in self.blocks:
                x = block(x)
            return x

    net = Net()
    assert (
        said(lambda: net(leaf([0.0])).backward())[-1]
        == "called at HERE: return x.sqrt() [in Net.blocks.1: Root]"
    )
    assert "Net.blocks.1" in said(lambda: net(leaf([-1.0])))[-1]


# Arrays that changed


@pytest.mark.parametrize(
    ("name", "op", "program"),
    [
        ("x", "multiply", lambda x, a: ((x * x).sum(), x.data)),
        ("y", "multiply", lambda x, a: ((x * a).sum(), a)),
        ("out", "exp", lambda x, a: ((y := x.exp()).sum(), y.data)),
        ("key", "getitem", lambda x, a: (x[k := np.array([0, 1])].sum(), k)),
        ("condition", "where", lambda x, a: (tg.where(k := np.array([True, False]), x, 0.0).sum(), k)),
    ],
)
def test_a_saved_array_that_changed_before_backward_is_named(name: str, op: str, program: Any) -> None:
    def f() -> None:
        out, array = program(leaf([1.0, 2.0]), np.array([3.0, 4.0]))
        array[:] = array[::-1].copy()
        out.backward()

    lines = said(f)
    assert lines[0] == f"backward: {name}, which {op} saved, was changed in place since"
    assert lines[-1].startswith("called at HERE: ")


def test_an_optimizer_step_between_forward_and_backward_is_found() -> None:
    w = leaf([1.0, 2.0])

    def f() -> None:
        first, second = (w * w).sum(), (w * w * w).sum()
        first.backward()
        w.data[...] -= 0.1
        second.backward()

    assert said(f)[0] == "backward: y, which multiply saved, was changed in place since"


def test_assignments_change_no_saved_array() -> None:
    x = leaf([1.0, 2.0])
    with detect_anomaly():
        y = x.exp()
        z = y * y
        y += 1
        y[0] = 5.0
        (z + y).sum().backward()
    np.testing.assert_allclose(gradient(x), 2 * np.exp([2.0, 4.0]) + [0, np.exp(2)])


# The mode


def test_values_and_gradients_are_the_same_under_the_mode() -> None:
    found = []
    for mode in (detect_anomaly, tg.enable_grad):
        x = leaf(np.linspace(-1, 1, 6).reshape(2, 3))
        with mode():
            y = (tg.softmax(x @ x.T) * tg.concat([x, x])[:2, :2]).sum() + tg.max(x, axis=0).sum()
            (g,) = tg.autograd.grad(y, x, create_graph=True)
            assert g is not None
            (g * g).sum().backward()
        found.append((y.item(), gradient(x).tolist()))
    assert found[0] == found[1]


def test_the_mode_decorates_nests_and_is_restored() -> None:
    errors = np.geterr()

    @detect_anomaly()
    def f(x: Tensor) -> Tensor:
        with detect_anomaly():
            assert len(modes.watchers) == 1
            return x.log()

    with pytest.raises(AnomalyError):
        f(leaf([0.0]))
    assert modes.watchers == () and active == [] and np.geterr() == errors
    with np.errstate(divide="ignore"):
        assert leaf([0.0]).log().item() == -np.inf


def test_other_threads_are_not_watched() -> None:
    seen: list[Any] = []

    def work() -> None:
        with np.errstate(all="ignore"):
            seen.append(leaf([0.0]).log().item())

    with detect_anomaly():
        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
    assert seen == [-np.inf]


def test_checkpoint_is_watched_where_it_computes_again() -> None:
    x = leaf([0.0])
    lines = said(lambda: tg.checkpoint(lambda x: x.sqrt(), x).backward())
    assert lines[0] == "backward: the derivative of sqrt in x made inf in 1 of 1 element"


def test_without_the_mode_nothing_is_remembered() -> None:
    y = leaf([1.0]).exp()
    assert y.node is not None and not hasattr(y.node, "origin")
