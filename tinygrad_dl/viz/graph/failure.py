"""The graph up to the operation that failed, read from the frames of an exception's traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from tinygrad_dl.backward import backward_pass
from tinygrad_dl.errors import AnomalyError, DTypeError
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.op import Op
from tinygrad_dl.viz.graph import rules
from tinygrad_dl.viz.graph.extract import Extraction
from tinygrad_dl.viz.graph.model import GraphEdge, GraphModel, GraphNode
from tinygrad_dl.viz.graph.recording import Recording
from tinygrad_dl.viz.graph.variables import Variables

MAX_OPERANDS = 8  # Tensors of a frame that are drawn, if code outside of operations failed


class Failure:
    """What the frames of an exception tell: which operation failed, on which inputs, in which calls of modules."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
        self.op: Op | None = None
        self.label = type(error).__name__
        self.inputs: list[tuple[str, Any]] = []
        self.options: dict[str, str] = {}
        self.running: list[tuple[Any, int]] = []
        self.roots: list[Node] = []  # of a backward pass that failed
        self.at: Node | None = None
        frames = list(_frames(error))
        for frame in frames:
            local = frame.f_locals
            if frame.f_code.co_name == "__call__" and isinstance(local.get("start"), int) and "self" in local:
                self.running.append((local["self"], local["start"]))
        for frame in reversed(frames):
            if self._read_operation(frame) or self._read_backward_pass(frame):
                return
        for frame in reversed(frames):
            if self._read_tensors(frame):
                return

    def _read_operation(self, frame: FrameType) -> bool:
        """Take operation and inputs from the frame of an operation's call, and say whether it is one."""
        local = frame.f_locals
        op = frame.f_globals.get("op")
        if isinstance(op, Op) and frame.f_code is op.function.__code__ and not op.variadic:
            self.inputs = [(name, local.get(name)) for name in op.inputs]
        elif frame.f_code.co_name == "apply_variadic" and isinstance(local.get("op"), Op):
            op = local["op"]
            self.inputs = [(f"{op.inputs[0]}[{i}]", x) for i, x in enumerate(tuple(local.get("values", ())))]
        else:
            return False
        self.op, self.label = op, op.label
        self.options = {
            name: rules.short(local[name])
            for name in op.options
            if name in local and local[name] is not op.defaults.get(name, op)
        }
        return True

    def _read_backward_pass(self, frame: FrameType) -> bool:
        """Take the roots and the current node from the frame of a backward pass, and say whether it is one."""
        local = frame.f_locals
        if frame.f_code is not backward_pass.__code__ or not isinstance(local.get("node"), Node):
            return False
        self.roots, self.at = [node for node, _ in local["roots"]], local["node"]
        return True

    def _read_tensors(self, frame: FrameType) -> bool:
        """Take the Tensors among the local variables of a frame, and say whether there are any."""
        local = frame.f_locals
        found = [(name, x) for name, x in local.items() if isinstance(x, Value) and name != "self"]
        if not found:
            return False
        owner = type(local["self"]).__name__ + "." if "self" in local else ""
        self.label, self.inputs = owner + frame.f_code.co_name, found[-MAX_OPERANDS:]
        return True


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The frames that an exception passed through, outermost first; those of its cause if it has none."""
    seen: set[int] = set()
    while error.__traceback__ is None and (error.__cause__ or error.__context__) and id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def graph_of_failure(
    error: BaseException,
    model: Any,
    names: Mapping[str, Any] | None,
    recording: Recording | None,
    variables: Variables | None = None,
) -> GraphModel:
    """The graph behind the inputs of the failing operation, and the operation with the error. Raises DTypeError."""
    failure = Failure(error)
    message = f"{type(error).__name__}: {error}"
    if failure.at is not None:
        return _failed_backward(failure, message, model, names, recording)
    if not failure.inputs:
        raise DTypeError(
            f"draw: expected an exception raised by code with Tensors, got a {type(error).__name__} without any. "
            "Pass the exception as `except ... as error` gives it, with its traceback."
        )
    tensors = [x for _, x in failure.inputs if isinstance(x, Value)]
    extraction = Extraction([], model, names, recording, tensors, failure.running, variables)
    extraction.graph.title = message
    extraction.add_nodes()
    sources = []
    for name, x in failure.inputs:
        if isinstance(x, Value) and x.node is not None:
            sources.append((name, extraction.ids[x.node.serial], x))
        elif x is not None:
            called = extraction.variables.name_of(getattr(x, "_data", x)) or name
            sources.append((name, extraction.constants.add(called, x).id, x))
    failed = GraphNode(extraction.graph.next_node_id(), "failed", failure.label, error=message)
    failed.bad = "origin" if isinstance(error, AnomalyError) else ""
    failed.op, failed.options = failure.op.name if failure.op else "", failure.options
    extraction.graph.nodes.append(failed)
    extraction.placement.place_operation(failed, extraction.placement.end)
    for i, (name, id, x) in enumerate(sources):
        edge = GraphEdge(
            f"e{len(extraction.graph.edges)}", id, failed.id, i, name if len(sources) > 1 else ""
        )
        data = x._data if isinstance(x, Value) else x
        edge.shape = tuple(data.shape) if hasattr(data, "shape") else None
        edge.dtype = str(data.dtype) if hasattr(data, "dtype") else ""
        extraction.graph.edges.append(edge)
    return extraction.finish()


def _failed_backward(
    failure: Failure, message: str, model: Any, names: Mapping[str, Any] | None, recording: Recording | None
) -> GraphModel:
    """The whole graph of a backward pass that failed, with the error at the node it had reached."""

    # The Tensors whose backward failed may be gone; their nodes are enough for the extraction.
    class Root(Value):
        __slots__ = ()

    roots = []
    for node in failure.roots:
        root = object.__new__(Root)
        root.node = node
        roots.append(root)
    extraction = Extraction(roots, model, names, recording)
    extraction.add_nodes()
    assert failure.at is not None
    drawn = extraction.graph.node(extraction.ids[failure.at.serial])
    drawn.bad = "origin" if isinstance(failure.error, AnomalyError) else ""
    drawn.kind, drawn.error = "failed", f"in the backward pass: {message}"
    return extraction.finish()
