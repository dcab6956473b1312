"""The steps of a training run on one graph: what a recording of several steps holds of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tinygrad_dl.viz.graph.model import GraphModel, jsonable
from tinygrad_dl.viz.graph.recording import Recording

MOST_RUNS = 200  # that a page holds: of more, every n-th and the last


def add_runs(graph: GraphModel, recording: Recording, ids: Mapping[int, str]) -> None:
    """List the recorded backward passes that went through the same operations as the drawn one, oldest first.

    `ids`: serial of a node of the computation graph -> id in the graph model. Each has the loss, the value and the
    gradient of each box, and the numbers of each step of the player.
    """
    drawn = next((one for one in reversed(recording.passes) if one and all(s in ids for s, *_ in one)), None)
    if drawn is None:
        return
    shape = [entry[1:] for entry in drawn]
    same = [one for one in recording.passes if [entry[1:] for entry in one] == shape]
    if len(same) < 2:
        return
    step = -(-len(same) // MOST_RUNS)
    chosen = [one for i, one in enumerate(same) if i % step == 0 or i == len(same) - 1]
    sources = {(edge.target, edge.position): edge.source for edge in graph.edges}
    numbers = {id(one): i + 1 for i, one in enumerate(same)}
    for one in chosen:
        graph.runs.append(
            {"step": numbers[id(one)], **_run(one, [ids[s] for s, *_ in drawn], recording, sources)}
        )


def _run(
    one: list[tuple[int, str, tuple[int, ...]]],
    drawn: list[str],
    recording: Recording,
    sources: Mapping[tuple[str, int], str],
) -> dict[str, Any]:
    """The numbers of one backward pass, under the ids of the drawn one."""
    values: dict[str, Any] = {}
    grads: dict[str, Any] = {}
    events = []
    for (serial, *_), box in zip(one, drawn):
        step = recording.backward_steps[serial]
        values[box], grads[box] = recording.results.get(serial), step.g
        for (target, position), source in sources.items():
            if target == box:
                key = serial, position
                found = recording.leaves.get(key, recording.results.get(key))
                if found is not None:
                    values[source] = found
                if position in step.sums and source not in drawn:
                    grads[source] = step.sums[position]
        events.append(
            {"g": step.g, "parts": {str(i): [part, step.sums[i]] for i, part in step.parts.items()}}
        )
    loss = recording.results.get(one[0][0], {}).get("whole")
    found = {
        "loss": loss if isinstance(loss, float) else None,
        "values": values,
        "grads": grads,
        "events": events,
    }
    return {name: jsonable(value) for name, value in found.items()}
