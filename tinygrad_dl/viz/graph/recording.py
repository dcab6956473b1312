"""What the player shows: the numbers of the backward pass, recorded as statistics while it runs."""

from __future__ import annotations

import linecache
import math
import os
import sys
from typing import Any

import numpy as np

from tinygrad_dl import graph
from tinygrad_dl.arguments import checked
from tinygrad_dl.backward import backward_pass, unbroadcast
from tinygrad_dl.convert import conjugated
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.modes import Watcher, modes
from tinygrad_dl.viz.graph.array_statistics import norm, statistics
from tinygrad_dl.viz.graph.variables import Variables

DETAILS = 400  # up to so many nodes, histograms are computed

# The folder of the package, with a separator at its end.
PACKAGE = os.path.join(os.path.dirname(os.path.abspath(graph.__file__)), "")


class BackwardStep:
    """One step of the backward pass: the gradient of a node, and by position what it contributes to each input."""

    __slots__ = ("g", "gain", "locals", "nth", "parts", "sums")

    def __init__(self, g: dict[str, Any]) -> None:
        self.g = g
        self.parts: dict[int, dict[str, Any]] = {}
        self.sums: dict[
            int, dict[str, Any]
        ] = {}  # the gradient of that input so far, this contribution included
        self.nth: dict[int, int] = {}  # the number of the contribution, from 1
        self.locals: dict[int, float] = {}  # the derivative itself, where result and input are scalars
        self.gain: float | None = None


class Recording(Watcher):
    """Record the values that operations compute and the gradients of the backward pass, as statistics.

    A context manager: what runs inside it, in this thread, is recorded. Arrays of up to 8 elements are recorded
    whole, of others the norm and, with `detail`, range, mean and histogram. `viz.draw(..., record=recording)`
    shows it.
    >>> from tinygrad_dl import Tensor
    >>> x = Tensor(3.0, requires_grad=True)
    >>> with Recording() as recording:
    ...     (x * x).backward()
    >>> [step.gain for step in recording.backward_steps.values()]
    [6.0]
    """

    @checked
    def __init__(self, detail: bool = True) -> None:
        super().__init__()
        self.detail = detail
        self.results: dict[Any, dict[str, Any]] = {}
        self.backward_steps: dict[int, BackwardStep] = {}
        self.origins: dict[int, str] = {}  # where the user's code called the operation
        self.names: dict[int, str] = {}  # of Tensors that may be gone when the graph is drawn
        self.called: dict[tuple[int, int], str] = {}  # (serial of the user, position) -> name of a constant
        self.variables: Variables | None = None  # what the constants may be called
        # (serial, operation, shape) of each step of each backward pass
        self.passes: list[list[tuple[int, str, tuple[int, ...]]]] = []
        # (serial of the user, position) -> the value that a leaf had
        self.leaves: dict[tuple[int, int], dict[str, Any]] = {}
        self.note = ""  # what went wrong while the gradient was computed for the drawing
        self._finished: dict[int, dict[str, Any]] = {}
        self._pending: dict[int, tuple[Any, int]] = {}  # sums that are not complete: (sum, parts)
        self._last: float = -math.inf

    def _restore_state(self, before: Any) -> None:
        super()._restore_state(before)
        self._finish()

    def _finish(self) -> None:
        for serial, (total, _) in self._pending.items():
            self._finished[serial] = statistics(total, self.detail)
        self._pending.clear()

    @property
    def gradients(self) -> dict[int, dict[str, Any]]:
        """The gradient of each node, by serial."""
        found = {serial: step.g for serial, step in self.backward_steps.items()}
        found |= self._finished
        return found | {serial: statistics(total) for serial, (total, _) in self._pending.items()}

    # Called by the engine

    def after_forward(self, op: Any, inputs: Any, options: Any, result: Any) -> None:
        """Record the result of an operation, and the constants among its inputs."""
        if result.node is None:
            return
        self.results[result.node.serial] = statistics(result._data, self.detail)
        self.origins[result.node.serial] = _caller()
        for i, x in enumerate(inputs):
            if self.variables is not None and (name := self.variables.name_of(getattr(x, "_data", x))):
                self.called[result.node.serial, i] = name
            if not isinstance(x, Value):
                continue
            if x.node is None:
                self.results[result.node.serial, i] = statistics(x._data, self.detail)
                continue
            if x.node.op is None:  # a later step of training writes into it
                self.leaves[result.node.serial, i] = statistics(x._data, self.detail)
            if getattr(x, "_name", None):
                self.names[x.node.serial] = str(x._name)

    def after_backward(self, node: Node, g: Any, contributions: Any) -> None:
        """The gradient `g` of a node is complete, and its rules gave the contributions to its inputs."""
        g = conjugated(_array(g))
        contributions = [None if c is None else conjugated(_array(c)) for c in contributions]
        if node.serial <= self._last:
            # A backward pass goes from new nodes to old ones, whose serials are larger: this is another pass.
            self._finish()
            self.passes.append([])
        self._last = node.serial
        if not self.passes:
            self.passes.append([])
        self.passes[-1].append((node.serial, node.op.name, tuple(node.shape)))
        self._pending.pop(node.serial, None)
        self.backward_steps.pop(
            node.serial, None
        )  # of two backward passes the later one counts, with its own order
        step = self.backward_steps[node.serial] = BackwardStep(statistics(g, self.detail))
        for i, (parent, c) in enumerate(zip(node.parents, contributions)):
            if c is None or type(parent) is not Node:
                continue
            if c.shape != parent.shape:
                c = unbroadcast(c, parent.shape)
            c = c.real if parent.dtype.kind != "c" else c
            before, times = self._pending.get(parent.serial, (None, 0))
            total = c if before is None else before + c
            self._pending[parent.serial] = total, times + 1
            part = step.parts[i] = statistics(c)
            step.sums[i] = part if before is None else statistics(total)
            step.nth[i] = times + 1
            if node.shape == () == parent.shape and g != 0 and "c" not in (g.dtype.kind, c.dtype.kind):
                step.locals[i] = float(c) / float(g)
        if step.parts and step.g["norm"]:
            step.gain = _gain(node, contributions, step)


def _caller() -> str:
    """The line of the user's code that is running: the innermost frame outside of this package."""
    frame = sys._getframe(2)
    while frame.f_back is not None and (
        str(frame.f_globals.get("__name__", "")).startswith("tinygrad_dl.")
        or frame.f_code.co_filename.startswith(PACKAGE)
    ):
        frame = frame.f_back
    file, line = frame.f_code.co_filename, frame.f_lineno
    # A relative name may lead to the wrong file. Only the name of the file is recorded: paths differ by machine.
    code = linecache.getline(file, line).strip() if os.path.isabs(file) or file.startswith("<") else ""
    return f"{os.path.basename(file)}:{line}" + (f": {code}" if code else "")


def _array(value: Any) -> np.ndarray:
    return value._data if isinstance(value, Value) else np.asarray(value)


def _gain(node: Node, contributions: Any, step: BackwardStep) -> float:
    """How much the gradient grows in a node: the norm passed on to earlier operations, over the norm received.

    Without an earlier operation, what is passed on to leaves counts.
    """
    passed = [i for i in step.parts if node.parents[i].op is not None] or list(step.parts)
    parents = {i: node.parents[i].serial for i in passed}
    if len(set(parents.values())) < len(
        parents
    ):  # x * x: the parts of one input add up before they are measured
        sums: dict[int, Any] = {}
        for i, (parent, c) in enumerate(zip(node.parents, contributions)):
            if i in parents:
                c = unbroadcast(c, parent.shape) if c.shape != parent.shape else c
                sums[parent.serial] = c if parent.serial not in sums else sums[parent.serial] + c
        norms = [norm(c) for c in sums.values()]
    else:
        norms = [step.parts[i]["norm"] for i in passed]
    return math.hypot(*norms) / step.g["norm"]


def rehearse(tensor: Any, recording: Recording | None = None) -> Recording | None:
    """Record what backward from a Tensor would compute, without changing any .grad; into `recording` if given.

    Saved values are kept, nothing is accumulated, and hooks do not run.
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
        # Other watchers, such as detect_anomaly, are there for what the user runs.
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
