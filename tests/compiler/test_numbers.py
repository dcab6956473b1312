"""The numbers of an optimizer's step, such as bias corrections: those of eager at every run, however they are found."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.compiler.program import NotLowered
from tinygrad_dl.compiler.update import Symbol

pytest.importorskip("llvmlite")

X = tg.asarray(np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32))


def changed_count(optimizer: Any) -> None:
    for state in optimizer.state.values():
        state["step"] += 5


def changed_one_count(optimizer: Any) -> None:
    next(iter(optimizer.state.values()))["step"] += 5


def changed_rate(optimizer: Any) -> None:
    optimizer.param_groups[1]["lr"] = 0.5


def run(optimizer_of: Callable[[Any], Any], change: Callable[[Any], None], compiled: bool) -> list[Any]:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = optimizer_of(
        [{"params": model[0].parameters()}, {"params": model[2].parameters(), "lr": 0.02}]
    )

    def step() -> Any:
        optimizer.zero_grad()
        loss = (model(X) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    f = tg.compile(step, fullgraph=True) if compiled else step
    for k in range(14):
        if k in (8, 10):
            change(optimizer)
        f()
    if compiled:
        (entry,) = next(iter(f._entries.values()))
        optimizer.formula = entry.native.lowered.updates[0]._formula
    counts = [float(state["step"]) for state in optimizer.state.values()]
    return [optimizer, counts, *(p.numpy().copy() for p in map(tg.Tensor.detach, model.parameters()))]


@pytest.mark.parametrize("change", [changed_count, changed_one_count, changed_rate])
@pytest.mark.parametrize(
    ("optimizer_of", "is_formula"),
    [
        (optim.Adam, True),
        (lambda groups: optim.AdamW(groups, amsgrad=True), True),
        (optim.Adamax, True),
        (optim.RAdam, False),
        (optim.NAdam, False),
        (lambda groups: optim.SGD(groups, 0.1, momentum=0.9), False),
    ],
)
def test_numbers_are_those_of_eager_after_every_change(
    optimizer_of: Callable[[Any], Any], is_formula: bool, change: Callable[[Any], None]
) -> None:
    (_, counts, *want), (optimizer, got_counts, *got) = (run(optimizer_of, change, c) for c in (False, True))
    assert got_counts == counts
    for x, y in zip(got, want, strict=True):
        np.testing.assert_allclose(x, y, rtol=1e-4, atol=1e-6)
    assert (optimizer.formula is not None) is (is_formula and change is not changed_one_count)


def test_a_symbol_gives_the_text_of_a_formula_and_no_decision() -> None:
    t = Symbol("t")
    text = (0.5 * (1 - np.float64(0.9) ** t) / 2 - -t + (t + 1) * 3 - t**0.5).text
    assert eval(text, {"t": 3}) == 0.5 * (1 - 0.9**3) / 2 + 3 + 4 * 3 - 3**0.5
    for use in (lambda: bool(t), lambda: t == 1, lambda: t + float("inf"), lambda: t * "a"):
        with pytest.raises(NotLowered):
            use()
    for use in (lambda: float(t), lambda: t > 1):
        with pytest.raises(TypeError):
            use()


@pytest.mark.parametrize(
    "view",
    # The first row is written before the second reads it.
    [lambda w: w, lambda w: w[:], lambda w: w[::-1], lambda w: w[:1], lambda w: w[0]],
)
def test_an_argument_may_lie_in_the_memory_of_a_parameter(view: Callable[[Any], Any]) -> None:
    def losses(compiled: bool) -> list[float]:
        w = tg.Tensor(np.ones((8, 16), np.float32), requires_grad=True)
        optimizer = optim.SGD([w], 0.1)

        def step(x: Any) -> Any:
            optimizer.zero_grad()
            loss = ((w - 3) ** 2 * x).sum()
            loss.backward()
            optimizer.step()
            return loss.detach() + x.sum()  # of what the step has made of it

        f = tg.compile(step) if compiled else step
        for _ in range(5):
            f(tg.asarray(view(np.full((8, 16), 0.5, np.float32))))
        shared = view(w.data)
        assert np.shares_memory(shared, w.data)
        return [f(tg.asarray(shared)).item() for _ in range(3)]

    np.testing.assert_allclose(losses(True), losses(False), rtol=1e-5)
