"""The diagram of a compiled program: its steps, fused loops, states and buffers."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim, viz
from tinygrad_dl.errors import CompileError
from tinygrad_dl.viz.graph.buffers import ROWS, strip, strip_lines
from tinygrad_dl.viz.graph.model import GraphBuffer, GraphModel
from tinygrad_dl.viz.graph.program import OPEN

pytest.importorskip("llvmlite")

RNG = np.random.default_rng(0)
X = RNG.normal(size=(40, 2)).astype(np.float32)
Y = (X[:, :1] > 0).astype(np.float32)


def step_of(model: Any, optimizer: Any, x: Any = X, y: Any = Y, loss: Any = None, **options: Any) -> Any:
    criterion = loss or nn.BCEWithLogitsLoss()

    @tg.compile(**options)
    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    for _ in range(4):
        step(tg.asarray(x), tg.asarray(y))
    return step


def network(**options: Any) -> Any:
    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    return step_of(model, optim.SGD(model.parameters(), lr=0.1), **options)


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(2, 4, batch_first=True)
        self.head = nn.Linear(4, 1)

    def forward(self, x: Any) -> Any:
        return self.head(self.lstm(x)[0][:, -1])


def recurrent() -> Any:
    tg.manual_seed(0)
    model = Recurrent()
    x = RNG.normal(size=(8, 20, 2)).astype(np.float32)
    return step_of(model, optim.Adam(model.parameters()), x, Y[:8], nn.MSELoss())


def test_products_loops_and_states_have_their_boxes() -> None:
    view = viz.draw(network())
    nodes = view.full.nodes
    by_kind: dict[str, list[str]] = {}
    for node in nodes:
        by_kind.setdefault(node.kind, []).append(node.label)
    assert by_kind["argument"] == ["x", "y"]
    products = [label.partition(": ")[2] for label in by_kind["product"]]
    assert products == ["x @ W1.T", "A1 @ W2.T", "dA1 = dZ2 @ W2", "dW2 = dZ2.T @ A1", "dW1 = dZ1.T @ x"]
    assert by_kind["parameter"] == ["W1", "b1", "W2", "b2"] * 2
    written = [node.label for node in nodes if node.change == "read and written in place"]
    assert written == ["W1", "b1", "W2", "b2"]
    assert [node.name for node in nodes if node.output and node.kind == "op"] == ["loss"]
    loops = [module for module in view.full.modules if "loop over 40 x 4" in module.kind]
    assert [loop.kind for loop in loops] == [
        "loop over 40 x 4 (0: Linear, 1: Tanh)",
        "loop over 40 x 4 (1: Tanh, 0: Linear)",
    ]


def test_every_step_of_the_program_has_an_event_of_the_player() -> None:
    full = viz.draw(network()).full
    phases = [event["phase"] for event in full.events]
    assert phases.index("backward") > phases.index("forward")
    assert phases[-1] == "update"
    computed = {node.id for node in full.nodes if node.op}
    assert {event["node"] for event in full.events} == computed


@pytest.mark.parametrize("make", [network, recurrent])
def test_buffers_that_are_in_use_at_once_do_not_overlap(make: Callable[[], Any]) -> None:
    step = make()
    full = viz.draw(step).full
    native = step._latest().native
    assert full.buffers and full.steps
    for buffer in full.buffers:
        assert 1 <= buffer.first <= buffer.last <= full.steps
        assert 0 <= buffer.start and buffer.start + buffer.bytes <= native.block.size
    for i, a in enumerate(full.buffers):
        for b in full.buffers[:i]:
            if a.first <= b.last - 1 and b.first <= a.last - 1:
                assert a.start + a.bytes <= b.start or b.start + b.bytes <= a.start


def test_a_large_program_is_drawn_with_a_box_for_each_layer_and_pass() -> None:
    view = viz.draw(recurrent())
    assert len(view.full.nodes) > 400
    assert len(view.graph.nodes) < OPEN
    titles = [node.label for node in view.graph.nodes if node.kind == "module"]
    assert any(title.startswith("forward of lstm: LSTM, ") for title in titles)
    assert any(title.startswith("backward of lstm: LSTM, ") for title in titles)
    assert "parameters of lstm" in [node.label for node in view.graph.nodes]


def test_what_is_not_lowered_is_drawn_as_a_call() -> None:
    f = tg.compile(lambda x: tg.linalg.inv(x) + 1)
    with tg.no_grad():
        for _ in range(4):
            f(tg.Tensor(np.eye(2, dtype=np.float32)))
    calls = [node.label for node in viz.draw(f).full.nodes if node.kind == "call"]
    assert calls == ["1: inv"]


def test_a_program_in_numpy_is_a_row_of_calls() -> None:
    view = viz.draw(network(backend="numpy"))
    assert {node.kind for node in view.full.nodes} == {"argument", "parameter", "call", "number"}
    assert view.full.notes == ["backend numpy: every operation and rule is called as it is; nothing is fused"]


def test_a_function_without_a_program_is_refused() -> None:
    never = tg.compile(lambda x: x * 2)
    with pytest.raises(CompileError) as error:
        viz.draw(never)
    assert str(error.value).endswith("got none yet. Call it first.")
    halted = tg.compile(lambda x: x * 2 if x.sum() > 0 else x)
    with pytest.warns(UserWarning, match="runs eagerly"):
        halted(tg.Tensor([1.0]))
    with pytest.raises(CompileError, match="runs eagerly: the truth of a Tensor reads values in Python"):
        viz.draw(halted)


def test_every_format_has_the_buffers(tmp_path: Path) -> None:
    view = viz.draw(network())
    for ending in ("dot", "json", "txt", "mmd", "html"):
        text = view.save(tmp_path / f"program.{ending}").read_text(encoding="utf-8")
        assert "dZ1" in text and "W1" in text
    assert "buffers (# from the step" in view.text()
    data = json.loads(view.json())
    assert {"name", "bytes", "start", "first", "last"} == set(data["buffers"][0])
    assert '"life":{' in view.html()


def test_a_strip_shows_the_largest_buffers_and_joins_columns() -> None:
    graph = GraphModel()
    assert strip(graph) is None
    graph.buffers = [GraphBuffer(f"v{i}", 100 + i, 0, i + 1, i + 2) for i in range(ROWS + 5)]
    graph.steps = 200
    life = strip(graph)
    assert life is not None and life.width == 5 and life.columns == 40 and len(life.rows) == ROWS
    lines = strip_lines(life)
    assert lines[0] == "buffers (# from the step that writes to the last that reads, 5 steps a column):"
    assert lines[1].split() == ["v5", "105", "B", ".#" + "." * 38]
    assert lines[-1] == "  and 5 smaller buffers"
