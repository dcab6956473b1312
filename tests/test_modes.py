"""no_grad, enable_grad, strict_broadcast: per thread, restored after everything, free of cost when off."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import gradient, leaf
from tinygrad_dl import enable_grad, is_grad_enabled, no_grad, strict_broadcast
from tinygrad_dl.errors import DTypeError, ShapeError
from tinygrad_dl.modes import active, modes


def test_no_grad_records_nothing_and_enable_grad_records_again() -> None:
    x = leaf([1.0, 2.0])
    with no_grad():
        assert not (x * 2).requires_grad and not tg.concat([x, x]).requires_grad
        with enable_grad():
            assert (x * 2).requires_grad
        assert not is_grad_enabled()
    assert (x * 2).requires_grad and active == []


def test_no_grad_gives_the_values_it_gives_with_the_graph() -> None:
    x, y = leaf([[1.0, 2.0]]), np.array([3.0, 4.0])
    for f in (
        lambda: x + y,
        lambda: y - x,
        lambda: x @ y,
        lambda: tg.where(y > 3, x, 0.0),
        lambda: tg.concat([x[0], y]),
        lambda: tg.max(x, axis=1),
        lambda: x.mean(axis=0, keepdims=True),
        lambda: np.exp(x),
    ):
        recorded = f()
        with no_grad():
            plain = f()
        assert plain.dtype == recorded.dtype and plain.tolist() == recorded.tolist()
        assert recorded.requires_grad and not plain.requires_grad


def test_a_mode_is_restored_after_an_exception() -> None:
    with pytest.raises(KeyError), no_grad():
        raise KeyError
    assert is_grad_enabled() and active == []


def test_an_error_inside_an_operation_under_a_mode_restores_everything() -> None:
    with tg.detect_anomaly():
        with pytest.raises(ShapeError):
            leaf([1.0, 2.0]) + leaf([1.0, 2.0, 3.0])
        # The operation after the failed one is watched again.
        with pytest.raises(tg.errors.AnomalyError):
            leaf([0.0]).log()


def test_modes_decorate_functions_with_and_without_parentheses() -> None:
    @no_grad()
    def f(x: Any, *, k: int = 2) -> Any:
        """Doc."""
        return x * k

    @no_grad
    def g(x: Any) -> Any:
        return x * 2

    x = leaf(1.0)
    assert not f(x, k=3).requires_grad and not g(x).requires_grad
    assert f.__name__ == "f" and f.__doc__ == "Doc." and g.__name__ == "g"
    assert is_grad_enabled()


def test_a_decorated_function_may_call_itself_and_may_raise() -> None:
    @no_grad()
    def down(n: int) -> int:
        if n == 0:
            raise ValueError("bottom")
        assert not is_grad_enabled()
        return down(n - 1)

    with pytest.raises(ValueError, match="bottom"):
        down(3)
    assert is_grad_enabled() and active == []


def test_a_decorated_generator_leaves_the_mode_while_it_is_suspended() -> None:
    seen: list[bool] = []

    @no_grad()
    def steps() -> Any:
        seen.append(is_grad_enabled())
        got = yield 1
        seen.append(is_grad_enabled())
        try:
            yield got
        except KeyError:
            seen.append(is_grad_enabled())
            yield "caught"
        return "end"

    run = steps()
    assert next(run) == 1 and is_grad_enabled()
    assert run.send("sent") == "sent" and is_grad_enabled()
    assert run.throw(KeyError()) == "caught" and is_grad_enabled()
    with pytest.raises(StopIteration) as end:
        next(run)
    assert end.value.value == "end"
    assert seen == [False] * 3 and active == []


def test_closing_a_decorated_generator_runs_its_cleanup_under_the_mode() -> None:
    seen: list[bool] = []

    @no_grad()
    def steps() -> Iterator[int]:
        try:
            yield 1
        finally:
            seen.append(is_grad_enabled())

    run = steps()
    next(run)
    run.close()
    assert active == [] and is_grad_enabled()
    assert seen == [False]


def test_a_decorator_refuses_what_it_cannot_hold() -> None:
    with pytest.raises(DTypeError) as caught:

        @no_grad()
        async def f() -> None: ...

    assert str(caught.value) == (
        "@no_grad: f is asynchronous and would leave the mode on while others run. "
        "Write `with no_grad():` around the parts that do not await."
    )
    with pytest.raises(DTypeError, match="Decorate the methods of a class"):
        no_grad(int)
    with pytest.raises(DTypeError, match="expected a function, got 3"):
        no_grad(3)


def test_one_mode_object_may_be_entered_again_inside_itself() -> None:
    mode = no_grad()
    with mode, mode:
        assert not is_grad_enabled()
    assert is_grad_enabled()


def test_modes_hold_for_their_own_thread() -> None:
    seen: list[bool] = []
    x = leaf(3.0)
    with no_grad():
        thread = threading.Thread(target=lambda: seen.append((x * x).requires_grad and is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_that_enter_and_leave_modes_do_not_disturb_each_other() -> None:
    wrong: list[str] = []
    start = threading.Barrier(3)

    def work(mode: Any, recorded: bool) -> None:
        start.wait()
        for _ in range(300):
            with mode():
                if (leaf(1.0) * 2).requires_grad != recorded:
                    wrong.append(mode.__name__)
            if not is_grad_enabled():
                wrong.append("left on")

    threads = [
        threading.Thread(target=work, args=pair)
        for pair in ((no_grad, False), (enable_grad, True), (tg.detect_anomaly, True))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == [] and active == []


def test_backward_under_no_grad_works_and_with_create_graph_records() -> None:
    x = leaf(2.0)
    y = x**3
    with no_grad():
        (g,) = tg.autograd.grad(y, x, create_graph=True)
        y.backward()
    assert g is not None and g.requires_grad and gradient(x) == 12


def test_leaves_are_written_in_place_under_no_grad_only() -> None:
    x = leaf([1.0, 2.0])
    alias = x
    with no_grad():
        x -= 0.5
        x[0] = 7.0
    assert alias is x and x.tolist() == [7, 1.5] and x.is_leaf and x.requires_grad


# strict_broadcast


def test_strict_broadcast_raises_where_both_operands_expand() -> None:
    column, row = tg.ones((4, 1)), tg.ones(4)
    with strict_broadcast(), pytest.raises(ShapeError) as caught:
        column - row
    assert str(caught.value) == (
        "subtract: (4, 1) with (4,) expands both to (4, 4) under strict_broadcast. "
        "Reshape one of them to the shape of the other."
    )
    assert (column - row).shape == (4, 4)


@pytest.mark.parametrize(
    ("a", "b"),
    [
        ((4, 3), (3,)),
        ((4, 1), (4, 3)),
        ((), (4, 1)),
        ((4, 1), (4, 1)),
        ((1, 3), (3,)),
        ((0, 1), (1,)),
        ((1,), (1, 1)),
    ],
)
def test_strict_broadcast_allows_one_operand_to_expand(a: tuple[int, ...], b: tuple[int, ...]) -> None:
    with strict_broadcast():
        assert (tg.ones(a) * tg.ones(b)).shape == np.broadcast_shapes(a, b)
        assert (tg.ones(b) * np.ones(a)).shape == np.broadcast_shapes(a, b)


def test_strict_broadcast_leaves_the_error_for_shapes_that_do_not_fit() -> None:
    with strict_broadcast(), pytest.raises(ShapeError, match="the shapes do not broadcast"):
        tg.ones((2, 3)) + tg.ones(2)


def test_strict_broadcast_holds_for_arrays_comparisons_and_under_no_grad() -> None:
    with strict_broadcast(), no_grad():
        for f in (lambda a, b: a > b, lambda a, b: np.add(b, a), lambda a, b: tg.maximum(a, b)):
            with pytest.raises(ShapeError, match="under strict_broadcast"):
                f(tg.ones((4, 1)), np.ones(4))


def test_strict_broadcast_does_not_hold_inside_derivative_rules() -> None:
    @tg.op(lambda g, x: (g * (x[:, None] + x[None, :])).sum(axis=1))
    def pairs(x: Any, /) -> Any:
        """Something whose rule, right or not, makes a table of all pairs."""
        return np.sum(x) * x

    x = leaf([1.0, 2.0])
    with strict_broadcast():
        (g,) = tg.autograd.grad(pairs(x).sum(), x, create_graph=True)
        assert g is not None and g.tolist() == [5, 7]
        g.sum().backward()
    assert gradient(x).shape == (2,)


def test_without_recording_an_input_may_be_left_out_and_a_wrong_one_is_named_all_the_same() -> None:
    x = leaf([3.0])
    with no_grad():
        assert tg.clip(x, None, 1.0).tolist() == [1]
        assert tg.clip(x, 4.0, None).tolist() == [4]
        with pytest.raises(
            TypeError, match="^multiply: expected a Tensor, an array or a number, got str 'a'"
        ):
            tg.multiply(x, "a")
        with pytest.raises(
            TypeError, match="^multiply: expected a Tensor, an array or a number, got NoneType"
        ):
            tg.multiply(x, None)


def test_who_watches_is_told_of_each_operation_with_its_inputs_options_and_result() -> None:
    class Witness:
        def __init__(self) -> None:
            self.seen: list[Any] = []

        def after_forward(self, *what: Any) -> None:
            self.seen.append(what)

        def after_backward(self, *what: Any) -> None:
            self.seen.append(what)

    witness, x = Witness(), leaf([3.0])
    modes.watchers = (witness,)
    active.append("watchers")
    try:
        y = tg.leaky_relu(x, 0.5)
        y.backward()
        with no_grad():
            z = tg.concat([x, y.detach()])
    finally:
        modes.watchers = ()
        active.remove("watchers")
    (op, inputs, options, result), (node, g, contributions), (joining, joined, axis, whole) = witness.seen
    assert (op.name, inputs, options) == ("leaky_relu", (x,), (0.5,)) and result is y
    assert node is y.node and g.tolist() == [1] and [c.tolist() for c in contributions] == [[1]]
    assert (joining.name, len(joined), axis) == ("concat", 2, (0,)) and whole is z
