"""From the nodes of a computation graph to the neutral form: one pass over the nodes, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import Any

import numpy as np

from tinygrad_dl.graph import Node, Value, ancestors, shape_of
from tinygrad_dl.viz import rules
from tinygrad_dl.viz.labels import summary
from tinygrad_dl.viz.picture import Picture, PictureEdge, PictureNode, number, statistics
from tinygrad_dl.viz.record import DETAILS, Recording
from tinygrad_dl.viz.scopes import Scopes


def extract(
    roots: Sequence[Any],
    *,
    model: Any = None,
    names: Mapping[str, Any] | None = None,
    recording: Recording | None = None,
    also: Iterable[Any] = (),
    running: Sequence[tuple[Any, int]] = (),
) -> Picture:
    """The picture of the graph behind Tensors; `also` are Tensors that are drawn but are no outputs.

    `running`: (module, first serial) of each call that an error left unfinished, the outermost first.
    """
    return Extraction(roots, model, names, recording, also, running).run()


class Extraction:
    """The state of one pass: ids follow the topological order, so the same program gives the same text."""

    def __init__(
        self,
        roots: Sequence[Any],
        model: Any,
        names: Mapping[str, Any] | None,
        recording: Recording | None,
        also: Iterable[Any] = (),
        running: Sequence[tuple[Any, int]] = (),
    ) -> None:
        tensors = [*roots, *also]
        self.nodes = nodes = ancestors([t.node for t in tensors if t.node is not None])
        self.roots, self.recording = roots, recording
        self.picture = Picture()
        self.scopes = Scopes(self.picture, model, nodes, running)
        self.ids: dict[int, str] = {}
        self.detail = len(nodes) <= DETAILS
        self.values = self._known_values(tensors)
        self.names = self._known_names(names)
        self.outputs = {t.node.serial for t in roots if t.node is not None}
        self.constants: dict[Any, list[PictureNode]] = {}
        self.placed: set[str] = set()
        self.begun: set[str] = set()  # modules in which an operation was drawn
        self.texts: dict[int, list[tuple[str, str]]] = {}

    def run(self) -> Picture:
        """The whole pass."""
        self.begin()
        return self.end()

    def begin(self) -> None:
        """Draw the nodes of the graph."""
        for node in self.nodes:
            if node.op is not None:
                self._add_operation(node)
        for node in self.nodes:
            if node.serial not in self.ids:
                self._add_leaf(node)
        for i, tensor in enumerate(self.roots):
            if tensor.node is None:
                self.add_constant(f"output {i}" if len(self.roots) > 1 else "output", tensor).output = True

    def end(self) -> Picture:
        """Put parameters into their modules, gradients onto nodes and edges, and list the player's steps."""
        self.scopes.finish()
        if self.recording is not None:
            self._add_gradients(self.recording)
            if self.recording.note:
                self.picture.notes.append(self.recording.note)
        self._add_events()
        return self.picture

    # What is known beside the nodes

    def _known_values(self, tensors: Sequence[Any]) -> dict[Any, Any]:
        """Arrays by serial, or by (serial of the user, position) for what no node made."""
        found: dict[Any, Any] = {}
        for node in self.nodes:
            owner = _owner(node)
            if owner is not None:
                found[node.serial] = owner._data
            if node.op is None or not node.saved:
                continue
            if node.op.variadic:
                given = list(zip(range(len(node.parents)), node.saved[0]))
            else:
                saved = dict(zip(node.op.saves, node.saved))
                if saved.get("out") is not None:
                    found.setdefault(node.serial, saved["out"])
                given = [(i, saved.get(name)) for i, name in enumerate(node.op.inputs)]
            for i, array in given:
                if array is not None and i < len(node.parents):
                    entry = node.parents[i]
                    found.setdefault(entry.serial if type(entry) is Node else (node.serial, i), array)
        for tensor in tensors:
            if tensor.node is not None and hasattr(tensor, "_data"):
                found[tensor.node.serial] = tensor._data
        return found

    def _known_names(self, names: Mapping[str, Any] | None) -> dict[int, str]:
        found: dict[int, str] = {}
        for name, tensor in (names or {}).items():
            if isinstance(tensor, Value) and tensor.node is not None and not str(name).startswith("_"):
                found.setdefault(tensor.node.serial, str(name))
        if self.recording is not None:
            found |= {serial: name for serial, name in self.recording.names.items() if serial not in found}
        for node in self.nodes:
            own = getattr(_owner(node), "_name", None)
            if own:
                found.setdefault(node.serial, own)
        for tensor in self.roots:
            if tensor.node is not None and getattr(tensor, "_name", None):
                found.setdefault(tensor.node.serial, tensor._name)
        return found

    def _next_id(self) -> str:
        return f"n{len(self.picture.nodes)}"

    def _value(self, key: Any) -> dict[str, Any] | None:
        array = self.values.get(key)
        if array is not None and hasattr(array, "dtype"):
            return statistics(array, self.detail)
        if self.recording is not None:
            return self.recording.results.get(key)
        return None

    # Nodes

    def _add_leaf(self, node: Node) -> None:
        parameter = self.scopes.parameters.get(node.serial)
        owner = _owner(node)
        kind = "parameter" if parameter is not None or type(owner).__name__ == "Parameter" else "leaf"
        name = parameter or self.names.get(node.serial, "")
        drawn = PictureNode(
            self._next_id(), kind, name or kind, name, shape=node.shape, dtype=_text(node.dtype)
        )
        drawn.value, drawn.serial = self._value(node.serial), node.serial
        drawn.output = node.serial in self.outputs
        grad = getattr(owner, "_grad", None)
        if grad is not None:
            drawn.grad = statistics(grad._data, self.detail)
        self.ids[node.serial] = drawn.id
        self.picture.nodes.append(drawn)
        self.scopes.place_leaf(drawn, parameter)

    def add_constant(self, label: str, value: Any, known: dict[str, Any] | None = None) -> PictureNode:
        """What needs no gradient and so has no node: a number, or an array of which the shape is known.

        Arrays are told apart by name, shape and what is known of their values; the same one is drawn once.
        """
        if isinstance(value, tuple):
            shape, dtype, name = value
            for same in self.constants.get((name, shape, dtype), ()) if name else ():
                if same.value is None or known is None or repr(same.value) == repr(known):
                    same.value = same.value or known
                    return same
            drawn = PictureNode(self._next_id(), "constant", name or label, name or "", shape=shape)
            drawn.dtype, drawn.value = _text(dtype), known
            self.constants.setdefault((name, shape, dtype), []).append(drawn)
        elif isinstance(value, np.ndarray):
            drawn = PictureNode(self._next_id(), "constant", label, shape=value.shape, dtype=str(value.dtype))
            drawn.value = statistics(value, self.detail)
        elif isinstance(value, Value):
            drawn = PictureNode(self._next_id(), "constant", getattr(value, "_name", None) or label)
            drawn.shape, drawn.dtype = value._data.shape, str(value._data.dtype)
            drawn.value = statistics(value._data, self.detail)
        else:
            is_number = isinstance(value, (int, float, complex, np.generic))
            text = number(value, 7) if is_number else rules.short(value)
            drawn = PictureNode(self._next_id(), "number", text)
            if isinstance(value, (int, float)):
                drawn.value = statistics(value)
        self.picture.nodes.append(drawn)
        return drawn

    def _add_operation(self, node: Node) -> None:
        op = node.op
        sources = [(i, entry) for i, entry in enumerate(node.parents) if entry is not None]
        constants: dict[int, PictureNode] = {}
        for i, entry in sources:
            if type(entry) is not Node:
                constants[i] = self.add_constant("constant", entry, self._value((node.serial, i)))
            elif entry.serial not in self.ids:
                self._add_leaf(entry)  # beside what uses it, so that an outline reads well
        drawn = PictureNode(self._next_id(), "op", op.label, self.names.get(node.serial, ""), op=op.name)
        drawn.shape, drawn.dtype, drawn.serial = node.shape, _text(node.dtype), node.serial
        drawn.formula, drawn.kinks = rules.formula(op), op.kinks
        drawn.options = rules.option_texts(op, node)
        drawn.value = self._value(node.serial)
        drawn.output = node.serial in self.outputs
        shapes = [_shape(entry) for entry in node.parents]
        drawn.cost = rules.cost(op, shapes, node)
        if node.saved:
            drawn.cost["saved_bytes"] = sum(int(getattr(v, "nbytes", 0)) for v in node.saved)
        drawn.origin = self._origin(node)
        self.ids[node.serial] = drawn.id
        self.picture.nodes.append(drawn)
        self.scopes.place_operation(drawn, node.serial)
        around = [module.id for module in self.picture.within(drawn.module)] if drawn.module else []
        first = bool(around) and around[-1] not in self.begun
        self.begun.update(around)
        for i, constant in constants.items():
            # The first operand of a model's first operation is what was put into the model.
            shared = constant.id in self.placed and constant.module != drawn.module
            outside = shared or (first and i == 0 and constant.kind == "constant")
            constant.module = "" if outside else drawn.module
            self.placed.add(constant.id)
        key = id(op)
        if key not in self.texts:
            self.texts[key] = rules.rule_texts(op)
        for i, entry in sources:
            source = constants[i].id if i in constants else self.ids[entry.serial]
            edge = PictureEdge(f"e{len(self.picture.edges)}", source, drawn.id, i)
            if len(sources) > 1:
                edge.operand = f"{op.inputs[0]}[{i}]" if op.variadic else op.inputs[i]
            edge.shape, edge.dtype = shapes[i], _dtype(entry)
            if type(entry) is Node:
                edge.broadcast = broadcast_text(edge.shape, node.shape) if op.ufunc is not None else ""
                edge.rule, edge.rule_source = self.texts[key][0 if op.variadic else i]
            self.picture.edges.append(edge)

    def _origin(self, node: Node) -> str:
        if self.recording is not None and node.serial in self.recording.origins:
            return self.recording.origins[node.serial]
        # Set under detect_anomaly, with the whole path of the file.
        place = getattr(getattr(node, "origin", None), "place", None)
        return str(place).replace("\\", "/").rpartition("/")[2] if place else ""

    # Gradients and the player's steps

    def _add_gradients(self, recording: Recording) -> None:
        edges: dict[str, list[PictureEdge]] = {}
        for edge in self.picture.edges:
            edges.setdefault(edge.target, []).append(edge)
        gradients = recording.gradients
        for drawn in self.picture.nodes:
            if drawn.serial is None:
                continue
            drawn.grad = gradients.get(drawn.serial, drawn.grad)
            pull = recording.pulls.get(drawn.serial) if drawn.kind == "op" else None
            if pull is None:
                continue
            drawn.gain = pull.gain
            for edge in edges.get(drawn.id, []):
                edge.flow = pull.parts.get(edge.position)
                edge.local = pull.locals.get(edge.position)

        sums: dict[str, list[str]] = {}
        for edge in reversed(self.picture.edges):  # the order of backward: the last user gives the first part
            if edge.flow is not None:
                sums.setdefault(edge.source, []).append(summary(edge.flow))
        for drawn in self.picture.nodes:
            if len(sums.get(drawn.id, ())) > 1 and not drawn.output:
                drawn.parts = sums[drawn.id]

    def _add_events(self) -> None:
        events = self.picture.events
        events += [
            {"pass": "forward", "node": n.id} for n in self.picture.nodes if n.kind in ("op", "failed")
        ]
        if self.recording is None:
            return
        incoming: dict[str, list[PictureEdge]] = {}
        for edge in self.picture.edges:
            incoming.setdefault(edge.target, []).append(edge)
        for serial, pull in self.recording.pulls.items():
            if serial not in self.ids:
                continue
            parts = []
            for edge in incoming.get(self.ids[serial], []):
                if edge.position in pull.parts:
                    part = {"edge": edge.id, "to": edge.source, "part": pull.parts[edge.position]}
                    parts.append(part | {"sum": pull.sums[edge.position], "nth": pull.nth[edge.position]})
            events.append({"pass": "backward", "node": self.ids[serial], "g": pull.g, "parts": parts})


def _owner(node: Node) -> Any:
    return node.watch.owner() if node.watch is not None and node.watch.owner is not None else None


@cache
def _text(dtype: Any) -> str:
    return str(dtype)


def _shape(entry: Any) -> tuple[int, ...] | None:
    if type(entry) in (float, int):
        return ()
    return None if entry is None else tuple(shape_of(entry))


def _dtype(entry: Any) -> str:
    return _text(entry.dtype) if type(entry) is Node else _text(entry[1]) if isinstance(entry, tuple) else ""


def broadcast_text(shape: tuple[int, ...] | None, whole: tuple[int, ...]) -> str:
    """How a value was broadcast, and how its gradient comes back: summed over those axes."""
    if shape is None or shape == whole or len(shape) > len(whole):
        return ""
    extra = len(whole) - len(shape)
    axes = [*range(extra), *(i + extra for i, s in enumerate(shape) if s == 1 and whole[i + extra] != 1)]
    if not axes:
        return ""
    told = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
    return f"{shape} broadcast to {whole}; its gradient is summed over {told}"
