"""A recording of several training steps: the numbers of each, on one graph."""

from __future__ import annotations

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn, optim, viz
from tinygrad_dl.viz.graph.runs import MOST_RUNS


def recorded(steps: int, change: bool = False) -> tuple[viz.GraphView, list[float], list[float]]:
    """(view of the last step, the losses, the weights before each step) of gradient descent on (w - 3)^2."""
    w = nn.Parameter([1.0])
    optimizer = optim.SGD([w], lr=0.1)
    losses, weights = [], []
    with viz.record() as recording:
        for step in range(steps):
            optimizer.zero_grad()
            weights.append(w.item())
            loss = ((w - 3) ** 2).sum() if not change or step % 2 else (w - 3).abs().sum()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    return viz.draw(loss, record=recording, names={"w": w, "loss": loss}), losses, weights


def test_each_step_has_its_loss_values_and_gradients() -> None:
    view, losses, weights = recorded(5)
    runs = view.full.runs
    (w,) = [node.id for node in view.full.nodes if node.name == "w"]
    assert [run["step"] for run in runs] == [1, 2, 3, 4, 5]
    assert [run["loss"] for run in runs] == pytest.approx(losses, rel=1e-5)
    assert [run["values"][w]["whole"] for run in runs] == pytest.approx(weights, rel=1e-5)
    assert [run["grads"][w]["whole"] for run in runs] == pytest.approx(
        [2 * (v - 3) for v in weights], rel=1e-5
    )
    backward = [event for event in view.full.events if event["pass"] == "backward"]
    assert all(len(run["events"]) == len(backward) for run in runs)
    for event, found in zip(backward, runs[-1]["events"]):
        assert found["g"]["norm"] == pytest.approx(event["g"]["norm"], rel=1e-5)


def test_steps_on_another_graph_are_left_out() -> None:
    view, _, _ = recorded(6, change=True)
    assert [run["step"] for run in view.full.runs] == [1, 2, 3]


def test_one_step_is_no_run_and_a_long_run_is_thinned() -> None:
    assert recorded(1)[0].full.runs == []
    runs = recorded(3 * MOST_RUNS + 1)[0].full.runs
    assert len(runs) <= MOST_RUNS + 1 and runs[0]["step"] == 1 and runs[-1]["step"] == 3 * MOST_RUNS + 1


def test_a_batch_of_each_step_is_shown_with_its_numbers() -> None:
    w = Tensor([1.0, 1.0], requires_grad=True)
    with viz.record() as recording:
        for i in range(3):
            (w * Tensor(np.full(2, float(i)), name="batch")).sum().backward()
        loss = (w * Tensor(np.full(2, 3.0), name="batch")).sum()
        loss.backward()
    view = viz.draw(loss, record=recording)
    (batch,) = [node.id for node in view.full.nodes if node.name == "batch"]
    assert [run["values"][batch]["whole"] for run in view.full.runs] == [[float(i)] * 2 for i in range(4)]
