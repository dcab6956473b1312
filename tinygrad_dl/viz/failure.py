"""The graph up to the operation that failed, read from the frames of an exception's traceback."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import FrameType
from typing import Any

from tinygrad_dl.backward import backward_pass
from tinygrad_dl.errors import AnomalyError, DTypeError
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.op import Op
from tinygrad_dl.viz import rules
from tinygrad_dl.viz.extract import Extraction
from tinygrad_dl.viz.picture import Picture, PictureEdge, PictureNode
from tinygrad_dl.viz.record import Recording

OPERANDS = 8  # Tensors of a frame that are drawn, where no operation failed but the code around


class Failure:
    """What an exception tells: which operation failed, on what, in which calls of modules."""

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
            if self._is_operation(frame) or self._is_backward(frame):
                return
        for frame in reversed(frames):
            if self._holds_tensors(frame):
                return

    def _is_operation(self, frame: FrameType) -> bool:
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

    def _is_backward(self, frame: FrameType) -> bool:
        local = frame.f_locals
        if frame.f_code is not backward_pass.__code__ or not isinstance(local.get("node"), Node):
            return False
        self.roots, self.at = [node for node, _ in local["roots"]], local["node"]
        return True

    def _holds_tensors(self, frame: FrameType) -> bool:
        local = frame.f_locals
        found = [(name, x) for name, x in local.items() if isinstance(x, Value) and name != "self"]
        if not found:
            return False
        owner = type(local["self"]).__name__ + "." if "self" in local else ""
        self.label, self.inputs = owner + frame.f_code.co_name, found[-OPERANDS:]
        return True


def _frames(error: BaseException) -> Iterator[FrameType]:
    """The frames an exception rose through, outermost first; those of its cause where it has none."""
    seen: set[int] = set()
    while error.__traceback__ is None and (error.__cause__ or error.__context__) and id(error) not in seen:
        seen.add(id(error))
        error = error.__cause__ or error.__context__  # type: ignore[assignment]
    trace = error.__traceback__
    while trace is not None:
        yield trace.tb_frame
        trace = trace.tb_next


def picture_of_failure(
    error: BaseException, model: Any, names: Mapping[str, Any] | None, recording: Recording | None
) -> Picture:
    """The graph of what went into the failing operation, and it with the error. Raises DTypeError."""
    failure = Failure(error)
    message = f"{type(error).__name__}: {error}"
    if failure.at is not None:
        return _failed_backward(failure, message, model, names, recording)
    if not failure.inputs:
        raise DTypeError(
            f"draw: no Tensor was met on the way of this {type(error).__name__}, so there is no graph. "
            "Pass the exception as `except ... as error` gives it, with its traceback."
        )
    tensors = [x for _, x in failure.inputs if isinstance(x, Value)]
    extraction = Extraction([], model, names, recording, tensors, failure.running)
    extraction.picture.title = message
    add = extraction.add_constant
    extraction.begin()
    sources = []
    for name, x in failure.inputs:
        if isinstance(x, Value) and x.node is not None:
            sources.append((name, extraction.ids[x.node.serial], x))
        elif x is not None:
            sources.append((name, add(name, x).id, x))
    failed = PictureNode(f"n{len(extraction.picture.nodes)}", "failed", failure.label, error=message)
    failed.bad = "origin" if isinstance(error, AnomalyError) else ""
    failed.op, failed.options = failure.op.name if failure.op else "", failure.options
    extraction.picture.nodes.append(failed)
    extraction.scopes.place_operation(failed, extraction.scopes.end)
    for i, (name, id, x) in enumerate(sources):
        edge = PictureEdge(
            f"e{len(extraction.picture.edges)}", id, failed.id, i, name if len(sources) > 1 else ""
        )
        data = x._data if isinstance(x, Value) else x
        edge.shape = tuple(data.shape) if hasattr(data, "shape") else None
        edge.dtype = str(data.dtype) if hasattr(data, "dtype") else ""
        extraction.picture.edges.append(edge)
    return extraction.end()


def _failed_backward(
    failure: Failure, message: str, model: Any, names: Mapping[str, Any] | None, recording: Recording | None
) -> Picture:
    class Root(Value):
        __slots__ = ()

    roots = []
    for node in failure.roots:
        root = object.__new__(Root)
        root.node = node
        roots.append(root)
    extraction = Extraction(roots, model, names, recording)
    extraction.begin()
    assert failure.at is not None
    drawn = extraction.picture.node(extraction.ids[failure.at.serial])
    drawn.bad = "origin" if isinstance(failure.error, AnomalyError) else ""
    drawn.kind, drawn.error = "failed", f"in the backward pass: {message}"
    return extraction.end()
