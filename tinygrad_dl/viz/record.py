"""What the player shows: the numbers that backward computes, recorded as statistics while it runs."""

from __future__ import annotations

import linecache
import math
import os
import sys
from typing import Any

import numpy as np

from tinygrad_dl import graph
from tinygrad_dl.backward import backward_pass, unbroadcast
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.modes import active, modes
from tinygrad_dl.viz.picture import norm, statistics

DETAILS = 400  # nodes of a graph up to which a drawing keeps histograms


PACKAGE = os.path.join(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))), ""
)  # where the engine stands


class Pull:
    """One step of backward: a node's complete gradient, and by position what it contributes to each input."""

    __slots__ = ("g", "gain", "locals", "nth", "parts", "sums")

    def __init__(self, g: dict[str, Any]) -> None:
        self.g = g
        self.parts: dict[int, dict[str, Any]] = {}
        self.sums: dict[int, dict[str, Any]] = {}  # the gradient of that input so far, this part included
        self.nth: dict[int, int] = {}  # the how-manieth part it is
        self.locals: dict[int, float] = {}  # the derivative itself, where result and input are single numbers
        self.gain: float | None = None


class Recording:
    """Record the values that operations compute and the gradients that backward carries, as statistics.

    A context manager: what runs inside is recorded, for this thread; arrays of up to 8 elements whole, of
    others norm and, with `detail`, range, mean and histogram. `viz.draw(..., record=recording)` shows it.
    >>> from tinygrad_dl import Tensor
    >>> x = Tensor(3.0, requires_grad=True)
    >>> with Recording() as recording:
    ...     (x * x).backward()
    >>> [pull.gain for pull in recording.pulls.values()]
    [6.0]
    """

    def __init__(self, detail: bool = True) -> None:
        self.detail = detail
        self.results: dict[Any, dict[str, Any]] = {}
        self.pulls: dict[int, Pull] = {}
        self.origins: dict[int, str] = {}  # where the user's code called the operation
        self.names: dict[int, str] = {}  # of Tensors that may be gone when the graph is drawn
        self.note = ""  # what went wrong while the gradient was computed for the drawing
        self._finished: dict[int, dict[str, Any]] = {}
        self._pending: dict[int, tuple[Any, int]] = {}  # sums that are not complete: (sum, parts)
        self._last: float = -math.inf

    def __enter__(self) -> Recording:
        self._before = modes.watchers
        modes.watchers = (*modes.watchers, self)
        active.append("watchers")
        return self

    def __exit__(self, *exc: object) -> None:
        modes.watchers = self._before
        active.remove("watchers")
        self._finish()

    def _finish(self) -> None:
        for serial, (total, _) in self._pending.items():
            self._finished[serial] = statistics(total, self.detail)
        self._pending.clear()

    @property
    def gradients(self) -> dict[int, dict[str, Any]]:
        """The gradient of each node, by serial."""
        found = {serial: pull.g for serial, pull in self.pulls.items()}
        found |= self._finished
        return found | {serial: statistics(total) for serial, (total, _) in self._pending.items()}

    # Called by the engine

    def after_forward(self, op: Any, inputs: Any, options: Any, result: Any) -> None:
        """An operation ran."""
        if result.node is None:
            return
        self.results[result.node.serial] = statistics(result._data, self.detail)
        self.origins[result.node.serial] = _caller()
        for i, x in enumerate(inputs):
            if not isinstance(x, Value):
                continue
            if x.node is None:
                self.results[result.node.serial, i] = statistics(x._data, self.detail)
            elif getattr(x, "_name", None):
                self.names[x.node.serial] = str(x._name)

    def after_backward(self, node: Node, g: Any, contributions: Any) -> None:
        """The gradient `g` of a node is complete, and its rules gave the contributions to its inputs."""
        g = _array(g)
        if node.serial <= self._last:
            # A walk goes from new nodes to old ones, whose serials are larger: this is another walk.
            self._finish()
        self._last = node.serial
        self._pending.pop(node.serial, None)
        self.pulls.pop(node.serial, None)  # a second backward: the later one counts, at its own place
        pull = self.pulls[node.serial] = Pull(statistics(g, self.detail))
        for i, (parent, c) in enumerate(zip(node.parents, contributions)):
            if c is None or type(parent) is not Node:
                continue
            c = _array(c)
            if c.shape != parent.shape:
                c = unbroadcast(c, parent.shape)
            before, times = self._pending.get(parent.serial, (None, 0))
            total = c if before is None else before + c
            self._pending[parent.serial] = total, times + 1
            part = pull.parts[i] = statistics(c)
            pull.sums[i] = part if before is None else statistics(total)
            pull.nth[i] = times + 1
            if node.shape == () == parent.shape and g != 0:
                pull.locals[i] = float(c) / float(g)
        if pull.parts and pull.g["norm"]:
            pull.gain = _gain(node, contributions, pull)


def _caller() -> str:
    """The line of the user's code that is running: the innermost outside of this package."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (
        str(frame.f_globals.get("__name__", "")).startswith("tinygrad_dl.")
        or frame.f_code.co_filename.startswith(PACKAGE)
    ):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    # Of a relative name the wrong file may be found. Only the file's own name is kept: paths differ by machine.
    code = linecache.getline(file, line).strip() if os.path.isabs(file) or file.startswith("<") else ""
    return f"{os.path.basename(file)}:{line}" + (f": {code}" if code else "")


def _array(value: Any) -> np.ndarray:
    return value._data if isinstance(value, Value) else np.asarray(value)


def _gain(node: Node, contributions: Any, pull: Pull) -> float:
    """How much the gradient grows on its way back: what goes on to earlier operations, over what came.

    Where there is no earlier operation, what goes to the leaves counts.
    """
    passed = [i for i in pull.parts if node.parents[i].op is not None] or list(pull.parts)
    parents = {i: node.parents[i].serial for i in passed}
    if len(set(parents.values())) < len(
        parents
    ):  # x * x: the parts of one input add up before they are measured
        sums: dict[int, Any] = {}
        for i, (parent, c) in enumerate(zip(node.parents, contributions)):
            if i in parents:
                c = unbroadcast(_array(c), parent.shape) if c.shape != parent.shape else _array(c)
                sums[parent.serial] = c if parent.serial not in sums else sums[parent.serial] + c
        norms = [norm(c) for c in sums.values()]
    else:
        norms = [pull.parts[i]["norm"] for i in passed]
    return math.hypot(*norms) / pull.g["norm"]


def rehearse(tensor: Any, recording: Recording | None = None) -> Recording | None:
    """What backward from a Tensor would compute, without touching any .grad; added to `recording` if given.

    Saved values stay, nothing is deposited, and hooks do not run.
    """
    node = tensor.node
    if node is None or tensor._data.size != 1:
        return recording
    nodes = graph.ancestors([node])
    if any(n.op is not None and n.saved is None for n in nodes):
        return recording
    watched = [(n, n.watch) for n in nodes if n.watch is not None]
    recording = recording if recording is not None else Recording(len(nodes) <= DETAILS)
    before = modes.watchers
    for n, _ in watched:
        n.watch = None
    try:
        # Only this recording may look: other watchers, such as detect_anomaly, watch what the user runs.
        modes.watchers = ()
        with recording, np.errstate(all="ignore"):
            backward_pass([(node, np.ones(node.shape, node.dtype))], wanted={}, retain=True)
    except (
        Exception
    ) as error:  # a rule may be the user's own, and the forward graph can be drawn all the same
        recording.note = f"the gradient could not be computed: {type(error).__name__}: {error}"
    finally:
        modes.watchers = before
        for n, watch in watched:
            n.watch = watch
    return recording
