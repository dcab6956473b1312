"""Programs for any number of rows: after a few sizes one program serves them all, with eager's results."""

from __future__ import annotations

import copy
import warnings
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS, MODELS, assert_same, network, training_step
from tinygrad_dl import data, nn, optim
from tinygrad_dl.compiler import compiled as compiled_module
from tinygrad_dl.compiler.program import NotLowered
from tinygrad_dl.compiler.rows import Merger, Unexplained
from tinygrad_dl.compiler.sizes import Ratio, Size

COMMON = "one program for any number of rows"


def captures(monkeypatch: Any) -> list[int]:
    """A list that gets an entry at every capture."""
    found: list[int] = []
    run = compiled_module.Capture.run

    def counted(self: Any, *args: Any) -> Any:
        found.append(1)
        return run(self, *args)

    monkeypatch.setattr(compiled_module.Capture, "run", counted)
    return found


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", MODELS)
def test_steps_of_any_number_of_rows_are_the_eager_ones(name: str, backend: str, monkeypatch: Any) -> None:
    make, x, y = MODELS[name]
    models, losses = [], []
    made = captures(monkeypatch)
    for compiled in (False, True):
        tg.manual_seed(3)
        model = make()
        step = training_step(model, optim.SGD(model.parameters(), lr=0.05, momentum=0.9))
        run = tg.compile(step, backend=backend, fullgraph=True) if compiled else step
        rng = np.random.default_rng(len(name))
        tg.manual_seed(5)
        values = []
        # Up to more than a vector holds, and than a sum takes in a row before it goes on in another accumulator.
        for n in [4, 7, 9, *rng.integers(2, 40, 8), 300, 64, 2, 3]:
            rows = rng.integers(0, len(x), n)
            values.append(run(tg.asarray(x[rows]), tg.asarray(y[rows])).item())
        models.append(model)
        losses.append(values)
    np.testing.assert_allclose(losses[1], losses[0], rtol=2e-4, atol=1e-5)
    assert_same(*models, tolerance=1e-3)
    assert len(made) == 3
    text = run.explain()
    assert COMMON in text and "float32[rows, " in text.replace("int64", "float32")
    assert ("backend: llvm" in text) == (backend == "llvm")


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_model_predicts_any_number_of_rows(backend: str, monkeypatch: Any) -> None:
    model = network()
    made = captures(monkeypatch)
    predict = tg.compile(model, backend=backend, fullgraph=True)
    rng = np.random.default_rng(0)
    with tg.no_grad():
        for n in [5, 2, 3, 1, 1, 8, 1000, 17, 100, 1, 1000]:
            x = tg.asarray(rng.normal(size=(n, 4)).astype(np.float32))
            got = predict(x)
            assert got.shape == (n, 3)
            np.testing.assert_allclose(got.numpy(), model(x).numpy(), rtol=1e-5, atol=1e-6)
        assert len(made) == 3
        assert predict(tg.asarray(np.zeros((0, 4), np.float32))).shape == (0, 3)
    held = []
    for n in [6, 7, 8, 9, 9, 10]:
        x = tg.Tensor(rng.normal(size=(n, 4)).astype(np.float32), requires_grad=True)
        out = predict(x)
        held.append((out, out.detach().numpy().copy()))
        (out**2).sum().backward()
        grad = x.grad.numpy().copy()
        x.grad = None
        (model(x) ** 2).sum().backward()
        np.testing.assert_allclose(grad, x.grad.numpy(), rtol=1e-4, atol=1e-6)
    for out, copied in held:
        np.testing.assert_array_equal(out.detach().numpy(), copied)


@pytest.mark.parametrize("backend", BACKENDS)
def test_the_last_batch_of_a_loader_trains_as_eagerly(backend: str) -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(50, 4)).astype(np.float32), rng.integers(0, 3, 50)
    models = [network(), network()]
    for model in models:
        step = training_step(model, optim.Adam(model.parameters(), lr=0.01))
        if model is models[1]:
            step = tg.compile(step, backend=backend, fullgraph=True)
        for size in (16, 12, 11, 7):  # batches of these and of 2, 2, 6 and 1
            for batch in data.DataLoader(data.TensorDataset(x, y), batch_size=size):
                step(*batch)
    assert_same(*models)


@pytest.mark.parametrize("backend", BACKENDS)
def test_numbers_that_follow_from_the_size_are_those_of_the_call(backend: str) -> None:
    def f(x: Any, w: Any) -> Any:
        n = x.shape[0]
        total = (x * w).sum() / (n - 1) + x.mean() * n**0.5
        zeros = tg.zeros((n, 2))
        return total, (x + zeros).reshape(-1), tg.concat([x, zeros]), n

    g = tg.compile(f, backend=backend, fullgraph=True)
    w = tg.asarray([1.0, 2.0])
    for n in (3, 5, 8, 21, 21, 2, 13):
        x = tg.asarray(np.random.default_rng(n).normal(size=(n, 2)).astype(np.float32))
        for a, b in zip(g(x, w), f(x, w)):
            assert type(a) is type(b)
            np.testing.assert_allclose(np.asarray(a), np.asarray(b), rtol=1e-5, atol=1e-6)
    assert COMMON in g.explain()


def unrolled(x: Any) -> Any:
    total = tg.zeros(3)
    for i in range(x.shape[0]):
        total = total + x[i] * (i + 1)
    return total


FIXED: dict[str, Any] = {
    "first rows": lambda x: x[:2].sum(),
    "row by number": lambda x: x[1] * 2,
    "unrolled": unrolled,
}


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("name", FIXED)
def test_what_depends_on_the_size_otherwise_has_a_program_for_each(name: str, backend: str) -> None:
    f = FIXED[name]
    g = tg.compile(f, backend=backend, fullgraph=True)
    rng = np.random.default_rng(0)
    for n in [4, 5, 6, 7, 7, 7, 7, 2, 3, 7]:
        x = tg.asarray(rng.normal(size=(n, 3)).astype(np.float32))
        np.testing.assert_allclose(g(x).numpy(), f(x).numpy(), rtol=1e-5, atol=1e-5)
    text = g.explain()
    assert COMMON not in text and "no program for any number of rows: " in text


@pytest.mark.parametrize("backend", BACKENDS)
def test_a_choice_by_size_is_found_at_every_size(backend: str) -> None:
    def f(x: Any) -> Any:
        return x * 2 if len(x) < 10 else x * 3

    g = tg.compile(f, backend=backend, fullgraph=True)
    for n in [12, 15, 20, 30, 30, 5, 5, 5, 5, 11, 5, 4]:
        assert g(tg.asarray(np.ones((n, 2), np.float32))).numpy()[0, 0] == (2 if n < 10 else 3)


@pytest.mark.parametrize("backend", BACKENDS)
def test_what_has_no_native_code_for_any_size_runs_in_numpy(backend: str) -> None:
    g = tg.compile(lambda x: (x @ x.T).sum(), backend=backend, fullgraph=True)
    for n in [4, 5, 6, 7, 7, 20, 2]:
        x = tg.asarray(np.full((n, 3), 2, np.float32))
        assert g(x).item() == 12 * n * n
    assert COMMON in g.explain() and "backend: numpy" in g.explain()


def test_arguments_of_other_sizes_are_eagers_error() -> None:
    f = tg.compile(lambda x, y: (x * y).sum())
    for n in (4, 5, 6, 7, 7):
        f(tg.asarray(np.ones((n, 2), np.float32)), tg.asarray(np.ones((n, 1), np.float32)))
    with pytest.raises(ValueError, match="broadcast"):
        f(tg.asarray(np.ones((4, 2), np.float32)), tg.asarray(np.ones((5, 1), np.float32)))
    # An argument that keeps its size while the others change is no part of what may vary.
    one = tg.asarray(np.ones((1, 1), np.float32))
    for n in (4, 5, 6, 7, 7):
        assert f(tg.asarray(np.ones((n, 2), np.float32)), one).item() == 2 * n


def test_what_changes_outside_leads_to_another_common_program() -> None:
    model = nn.Sequential(nn.Linear(3, 3), nn.Dropout(0.5))
    predict = tg.compile(model, fullgraph=True)
    for mode in (True, False, True):
        model.train(mode)
        with tg.no_grad():
            for n in (4, 5, 6, 7, 8):
                x = tg.asarray(np.ones((n, 3), np.float32))
                tg.manual_seed(n)
                got = predict(x).numpy()
                tg.manual_seed(n)
                np.testing.assert_allclose(got, model(x).numpy(), rtol=1e-5, atol=1e-6)


def test_what_is_kept_is_bounded() -> None:
    f = tg.compile(lambda x: x[:2].sum(), backend="numpy")
    predict = tg.compile(network(), backend="numpy")
    with tg.no_grad(), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "compile: .* nearly every time")
        for n in range(2, 100):
            for _ in range(1 + (n == 2)):
                f(tg.asarray(np.ones((n, 2), np.float32)))
            predict(tg.asarray(np.ones((n, 4), np.float32)))
    for g in (f, predict):
        own = [found for found in g._entries.values() if any(e.common is None for e in found)]
        assert len(own) <= compiled_module.SIGNATURES
        assert all(len(family.samples) <= compiled_module.FEW for family in g._families.values())
    assert len(own) <= compiled_module.FEW and len(predict._entries) <= compiled_module.SERVED


# Finding out how sizes and numbers follow from the number of rows


@given(
    st.integers(1, 50),
    st.integers(-5, 50),
    st.lists(st.integers(2, 200), min_size=3, max_size=3, unique=True),
)
def test_sizes_are_found(slope: int, rest: int, rows: list[int]) -> None:
    found = Merger(rows, 1009).size([slope * n + rest for n in rows])
    assert isinstance(found, Size) and (found.slope, found.rest) == (slope, rest)
    assert found == slope * 1009 + rest and found.of(7) == slope * 7 + rest
    with pytest.raises(Unexplained):
        Merger(rows, 1009).size([n * n for n in rows])


@pytest.mark.parametrize(
    "f", [lambda n: 1 / n, lambda n: 0.1 / (6 * n), lambda n: 0.1 * n / (n - 1), lambda n: 0.5 * n, lambda n: n**-0.5,
          lambda n: 3 * n**0.5, lambda n: 1 / (4 * n - 1)]
)  # fmt: skip
def test_numbers_are_found(f: Any) -> None:
    rows = [7, 64, 33]
    found = Merger(rows, 1009).number([f(n) for n in rows])
    assert isinstance(found, Ratio)
    for n in (2, 5, 1000):
        np.testing.assert_allclose(eval(found.text, {"rows": n}), f(n), rtol=1e-11)
    with pytest.raises(Unexplained):
        Merger(rows, 1009).number([np.sin(n).item() for n in rows])


def test_arithmetic_of_sizes_stays_exact_or_refuses() -> None:
    n = Size(1, 0, 1009)
    for x, of in ((n * 4 + 3, 4), (3 + 4 * n, 4), (-(-4 * n) - 1, 4), ((8 * n) // 2, 4), (5 - n, -1)):
        assert isinstance(x, Size) and x.slope == of and x == x.of(1009)
    assert n - n == 0 and type(n - n) is int and (4 * n) % 2 == 0 and type(0 * n) is int
    for f in (lambda: n * n, lambda: n // 2, lambda: n / 2, lambda: 1 / n, lambda: n % 2, lambda: 5 % n):
        with pytest.raises(NotLowered):
            f()
    assert repr((n, 4 * n, 2)) == "(rows, (4 * rows + 0), 2)"


def test_nothing_is_told_of_sizes_that_come_once() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        f = tg.compile(lambda x: x.sum())
        for n in range(1, 12):
            assert f(tg.asarray(np.ones((n, 2), np.float32))).item() == 2 * n


def test_one_output_for_any_number_of_rows() -> None:
    """Products of a matrix and a vector, whose sizes follow from the number of rows."""
    tg.manual_seed(0)
    model = nn.Linear(300, 1)
    eager = copy.deepcopy(model)
    steps = []
    for m in (eager, model):
        optimizer = optim.SGD(m.parameters(), lr=1e-3)

        def step(x: Any, y: Any, m: Any = m, optimizer: Any = optimizer) -> Any:
            optimizer.zero_grad()
            loss = ((m(x) - y) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        steps.append(step)
    run = tg.compile(steps[1], fullgraph=True)
    draw = np.random.default_rng(0)
    for rows in (5, 9, 6, 33, 2, 64, 7):
        x = tg.asarray(draw.normal(size=(rows, 300)).astype("float32"))
        y = tg.asarray(draw.normal(size=(rows, 1)).astype("float32"))
        np.testing.assert_allclose(run(x, y).item(), steps[0](x, y).item(), rtol=1e-4)
        for p, q in zip(model.parameters(), eager.parameters()):
            np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-4, atol=1e-6)
    assert COMMON in run.explain()
