"""Training steps that update parameters by hand, as learners write them: captured whole, with eager's results."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import nn
from tinygrad_dl.errors import CompileError

LR = 0.1
X = np.random.default_rng(0).normal(size=(20, 3)).astype("float32")
Y = X @ np.array([[1.0], [2.0], [3.0]], np.float32)


class Line:
    """Linear regression with its gradients, and a way to update it."""

    def __init__(self, dtype: str = "float32") -> None:
        self.w = tg.Tensor(np.zeros((3, 1), dtype), requires_grad=True)
        self.b = tg.Tensor(np.zeros((), dtype), requires_grad=True)
        self.x, self.y = tg.asarray(X.astype(dtype)), tg.asarray(Y.astype(dtype))

    def backward(self) -> tg.Tensor:
        for p in (self.w, self.b):
            p.grad = None
        loss = ((self.x @ self.w + self.b - self.y) ** 2).mean()
        loss.backward()
        return loss

    @property
    def gradients(self) -> Iterator[tuple[Any, Any]]:
        return ((p, p.grad) for p in (self.w, self.b))


def in_place(line: Line) -> None:
    with tg.no_grad():
        for p, g in line.gradients:
            p -= LR * g


def whole_index(line: Line) -> None:
    with tg.no_grad():
        for p, g in line.gradients:
            p[...] = p - LR * g


def data_and_data(line: Line) -> None:
    for p, g in line.gradients:
        p.data -= LR * g.data


def data_and_tensor(line: Line) -> None:
    with tg.no_grad():
        for p, g in line.gradients:
            p.data -= LR * g


def data_and_numpy(line: Line) -> None:
    for p, g in line.gradients:
        p.data -= LR * g.numpy()


def new_data(line: Line) -> None:
    for p, g in line.gradients:
        p.data = p.data - LR * g.data


def new_data_of_a_tensor(line: Line) -> None:
    with tg.no_grad():
        for p, g in line.gradients:
            p.data = p - LR * g


def part_of_data(line: Line) -> None:
    for p, g in line.gradients:
        p.data[...] -= LR * g.data


def ufuncs(line: Line) -> None:
    for p, g in line.gradients:
        p.data -= LR * g.data / (np.sqrt(np.square(g.data)) + 1.0)


def signs(line: Line) -> None:
    for p, g in line.gradients:
        p.data -= LR * np.sign(g.data) * np.abs(g.data)


def scaled_gradient(line: Line) -> None:
    for p, g in line.gradients:
        g.data *= 0.5
        p.data -= LR * g.data


def clipped_weights(line: Line) -> None:
    for p, g in line.gradients:
        p.data -= LR * g.data
        p.data[...] = np.minimum(p.data, 1.5)


def decayed(line: Line) -> None:
    line.w.data *= 0.99
    line.b.data.fill(0.25)


def temporary(line: Line) -> None:
    for p, g in line.gradients:
        step = LR * g.data
        step *= 0.5
        p.data -= step


UPDATES = [
    in_place, whole_index, data_and_data, data_and_tensor, data_and_numpy, new_data, new_data_of_a_tensor,
    part_of_data, ufuncs, signs, scaled_gradient, clipped_weights, decayed, temporary,
]  # fmt: skip


def stepped(line: Line, update: Callable[[Line], None]) -> Callable[[], tg.Tensor]:
    def step() -> tg.Tensor:
        loss = line.backward()
        update(line)
        return loss

    return step


def state_of(line: Line) -> list[Any]:
    return [
        x
        for p in (line.w, line.b)
        for x in (p.numpy() if not p.requires_grad else p.detach().numpy(), p.grad)
    ]


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("update", UPDATES)
def test_an_update_by_hand_is_captured(update: Any, dtype: str, backend: Any) -> None:
    eager, line = Line(dtype), Line(dtype)
    plain, step = stepped(eager, update), tg.compile(stepped(line, update), fullgraph=True, backend=backend)
    for _ in range(8):
        expected, got = plain(), step()
        np.testing.assert_allclose(got.item(), expected.item(), rtol=1e-4, atol=1e-6)
        for a, b in zip(state_of(eager), state_of(line)):
            np.testing.assert_allclose(np.asarray(b), np.asarray(a), rtol=1e-4, atol=1e-6)
    assert "captured" in step.explain()


@pytest.mark.parametrize("update", UPDATES)
def test_the_source_of_an_update_by_hand_runs(update: Any) -> None:
    line = Line("float64")
    step = tg.compile(stepped(line, update), fullgraph=True)
    for _ in range(3):
        step()
    space: dict[str, Any] = {}
    exec(step.source, space)
    w, b = line.w.detach().numpy().copy(), line.b.detach().numpy().copy()
    loss = space["step"](line.x.numpy(), w, b, line.y.numpy())
    np.testing.assert_allclose(step().item(), loss if np.ndim(loss) == 0 else loss[0], rtol=1e-7)
    np.testing.assert_allclose(line.w.detach().numpy(), w, rtol=1e-7)


def test_the_update_reads_as_it_was_written() -> None:
    for update in (in_place, data_and_data, new_data):
        step = tg.compile(stepped(Line(), update), fullgraph=True)
        for _ in range(3):
            step()
        assert "    # Update\n    w -= 0.1 * dw\n    b -= 0.1 * db\n" in step.source


@pytest.mark.parametrize("backend", BACKENDS)
def test_who_holds_the_array_before_new_data_keeps_it(backend: Any) -> None:
    line = Line()
    step = tg.compile(stepped(line, new_data), backend=backend)
    for _ in range(6):
        before, values = line.w.data, line.w.data.copy()
        step()
        assert line.w.data is not before
        np.testing.assert_array_equal(before, values)


@pytest.mark.parametrize("backend", BACKENDS)
def test_in_place_updates_stay_in_the_array(backend: Any) -> None:
    line = Line()
    array, step = line.w.data, tg.compile(stepped(line, data_and_data), backend=backend)
    for _ in range(6):
        step()
    assert line.w.data is array


def first_row(line: Line) -> None:
    line.w.data[0] = 1.0


def python_number(line: Line) -> None:
    line.w.data *= float(line.w.grad.data.max())  # type: ignore[union-attr]


def truth(line: Line) -> None:
    if (line.w.data > 0).all():
        line.w.data *= 0.5


def other_dtype(line: Line) -> None:
    line.w.data = line.w.data * np.float64(0.5)


def printed(line: Line) -> None:
    str(line.w.data)


def into_an_array(line: Line) -> None:
    KEPT[...] = line.w.data


def argument_of_a_function(line: Line) -> None:
    np.add.at(line.w.data, 0, 1.0)


KEPT = np.zeros((3, 1), np.float32)


@pytest.mark.parametrize(
    "update", [first_row, python_number, truth, other_dtype, printed, into_an_array, argument_of_a_function]
)
def test_what_reads_values_is_eager_with_eagers_results(update: Any) -> None:
    eager, line = Line(), Line()
    plain, step = stepped(eager, update), tg.compile(stepped(line, update))
    with pytest.warns(UserWarning, match="runs eagerly"):
        for _ in range(5):
            assert plain().item() == step().item()
            np.testing.assert_array_equal(line.w.data, eager.w.data)
            assert line.w.data.dtype == eager.w.data.dtype
    with pytest.raises(CompileError, match="reads values in Python|computes outside of the graph"):
        tg.compile(stepped(Line(), update), fullgraph=True)()


def test_arrays_that_are_more_than_operands_are_arrays() -> None:
    """A function that gives them to calls or containers, or returns them, gets them as they are."""
    x = tg.Tensor([[1.0, 2.0], [3.0, 4.0]])
    held: list[Any] = []

    def in_a_list(x: tg.Tensor) -> Any:
        held.append(x.data)

    def returned(x: tg.Tensor) -> Any:
        a = x.data
        return a

    def called(x: tg.Tensor) -> Any:
        return bytes(memoryview(np.ascontiguousarray(x.data * 2)))

    def named(x: tg.Tensor) -> Any:
        a = x.numpy() + 1
        b = a
        return [b]

    def either(x: tg.Tensor) -> Any:
        return x.data if x.shape else x.data + 1

    def attribute(x: tg.Tensor) -> Any:
        held.a = x.data  # type: ignore[attr-defined]

    for function in (in_a_list, returned, called, named, either):
        with pytest.warns(UserWarning, match=r"Tensor\.(data|numpy\(\)) reads values in Python"):
            result = tg.compile(function)(x)
        expected = function(x)
        for a, b in ((result, expected), (held[0], x.data), (np.asarray(held[-1]), x.data)):
            assert type(a) is type(b) and np.array_equal(np.asarray(a), np.asarray(b))


def test_what_stands_for_an_array_passes_for_one() -> None:
    x, seen = tg.Tensor([[1.0, 2.0], [3.0, 4.0]]), []

    def look(x: tg.Tensor) -> None:
        a = x.data
        seen.append(
            [float(a[1, 0]), len(a), str(a), f"{a}", int(a.sum()), a.shape, a.dtype, a.ndim, a.tolist()]
        )
        b = a + 1
        seen.append([str(b), b.tolist(), str(a == 1), bool((a > 0).all()), str(a @ a), str(np.sqrt(a))])
        c = x * a
        seen.append([c.tolist(), (a - x).tolist(), str(a.T), str(-a), str(2**a), str(a[...])])

    with pytest.warns(UserWarning, match="runs eagerly"):
        tg.compile(look)(x)
    captured, seen[:] = seen[:], []
    look(x)
    assert captured == seen


def test_updates_under_enable_grad_and_nested_modes_are_captured() -> None:
    model = nn.Linear(3, 1)
    x, y = tg.asarray(X), tg.asarray(Y)

    @tg.compile(fullgraph=True)
    def step() -> tg.Tensor:
        with tg.no_grad():
            with tg.enable_grad():
                loss = ((model(x) - y) ** 2).mean()
            for p, g in zip(model.parameters(), tg.autograd.grad(loss, list(model.parameters()))):
                p -= LR * g
        return loss

    losses = [step().item() for _ in range(20)]
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.5 * losses[0]


def test_a_tensor_that_is_made_in_the_step_is_not_a_state() -> None:
    @tg.compile
    def f(x: tg.Tensor) -> tg.Tensor:
        t = tg.zeros(2).requires_grad_()
        with tg.no_grad():
            t += x
        return t.detach() * 2

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(5):
            assert f(tg.Tensor([float(i), 1.0])).tolist() == [2.0 * i, 2.0]


def test_numpys_functions_of_tensors_are_captured() -> None:
    functions: list[Callable[[Any], Any]] = [
        lambda x: np.sum(x), lambda x: np.clip(x, 0, 1), lambda x: np.where(x > 0, x, 0.0),
        lambda x: np.concatenate([x, x]), lambda x: np.linalg.norm(x), lambda x: np.mean(x * x, axis=0),
    ]  # fmt: skip
    for function in functions:
        f = tg.compile(function, fullgraph=True)
        for i in range(4):
            x = tg.Tensor([-1.0, 0.5, float(i)])
            np.testing.assert_allclose(f(x).numpy(), function(x.numpy()), rtol=1e-6)


@pytest.mark.parametrize("backend", BACKENDS)
def test_averages_that_are_written_to_and_rates_that_are_tensors(backend: Any) -> None:
    runs = []
    for compiled in (False, True):
        line, rate = Line(), tg.Tensor(0.1)
        averages = [tg.zeros((3, 1)), tg.zeros(())]

        def step(line: Line = line, rate: Any = rate, averages: Any = averages) -> tg.Tensor:
            loss = line.backward()
            with tg.no_grad():
                for m, (p, g) in zip(averages, line.gradients):
                    m[...] = 0.9 * m + g
                    p -= rate * m
            return loss

        run = tg.compile(step, fullgraph=True, backend=backend) if compiled else step
        losses = []
        for i in range(12):
            rate.data[...] = 0.1 / (1 + i)
            losses.append(run().item())
        runs.append([losses, line.w.detach().numpy(), *(m.numpy() for m in averages)])
    for eager, other in zip(*runs):
        np.testing.assert_allclose(other, eager, rtol=1e-4, atol=1e-6)
