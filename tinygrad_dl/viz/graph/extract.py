"""From the nodes of a computation graph to the graph model, in one pass over the nodes, oldest first."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_dl.graph import Node, Value, ancestors, shape_of
from tinygrad_dl.op import Op
from tinygrad_dl.typing import NDArray, Shape
from tinygrad_dl.viz.graph import rules
from tinygrad_dl.viz.graph.array_statistics import statistics
from tinygrad_dl.viz.graph.constants import Constants
from tinygrad_dl.viz.graph.model import GraphEdge, GraphModel, GraphNode, Stats
from tinygrad_dl.viz.graph.modules import ModulePlacement
from tinygrad_dl.viz.graph.recording import DETAILS, Recording
from tinygrad_dl.viz.graph.rules import dtype_text
from tinygrad_dl.viz.graph.runs import add_runs
from tinygrad_dl.viz.graph.steps import add_gradients, add_steps
from tinygrad_dl.viz.graph.variables import Variables

if TYPE_CHECKING:
    from tinygrad_dl.nn.module import Module


def extract(
    roots: Sequence[Any],
    *,
    model: Module | None = None,
    names: Mapping[str, Any] | None = None,
    recording: Recording | None = None,
    also: Iterable[Any] = (),
    running: Sequence[tuple[Any, int]] = (),
    variables: Variables | None = None,
) -> GraphModel:
    """The graph model of the computation graph behind Tensors; `also` are Tensors that are drawn, not as outputs.

    `running`: (module, first serial) of each call that an exception left unfinished, the outermost first.
    """
    extraction = Extraction(roots, model, names, recording, also, running, variables)
    extraction.add_nodes()
    return extraction.finish()


class Extraction:
    """One pass: first the nodes with their edges, in topological order, then what a recording knows of them.

    Ids follow the topological order, so the same program gives the same text.
    """

    def __init__(
        self,
        roots: Sequence[Any],
        model: Module | None,
        names: Mapping[str, Any] | None,
        recording: Recording | None,
        also: Iterable[Any] = (),
        running: Sequence[tuple[Any, int]] = (),
        variables: Variables | None = None,
    ) -> None:
        tensors = [*roots, *also]
        self.nodes = ancestors([t.node for t in tensors if t.node is not None])
        self.roots, self.recording = roots, recording
        self.detail = len(self.nodes) <= DETAILS
        self.values = _known_values(self.nodes, tensors)
        self.names = _known_names(self.nodes, roots, names, recording)
        self.variables = variables if variables is not None else Variables(names or {})
        for serial, name in self.variables.leaves.items():
            self.names.setdefault(serial, name)
        self.outputs = {t.node.serial for t in roots if t.node is not None}
        self.graph = GraphModel()
        self.ids: dict[int, str] = {}  # serial of a node -> its id in the graph model
        self.placement = ModulePlacement(self.graph, model, self.nodes, running)
        self.constants = Constants(self.graph, self.detail)
        self.entered: set[str] = set()  # the modules of which an operation is drawn already

    def add_nodes(self) -> None:
        """Draw the nodes of the computation graph."""
        for node in self.nodes:
            if node.op is not None:
                self._add_operation(node)
        for node in self.nodes:
            if node.serial not in self.ids:
                self._add_leaf(node)
        for i, tensor in enumerate(self.roots):
            if tensor.node is None:
                label = f"output {i}" if len(self.roots) > 1 else "output"
                self.constants.add(label, tensor).output = True

    def finish(self) -> GraphModel:
        """Put parameters into their modules, gradients onto nodes and edges, and list the player's steps."""
        self.placement.finish()
        if self.recording is not None:
            add_gradients(self.graph, self.recording)
            if self.recording.note:
                self.graph.notes.append(self.recording.note)
        add_steps(self.graph, self.recording, self.ids)
        if self.recording is not None:
            add_runs(self.graph, self.recording, self.ids)
        return self.graph

    def _value(self, key: int | tuple[int, int]) -> Stats | None:
        """What is known of a value, by the serial of its node or (serial of its user, position)."""
        array = self.values.get(key)
        if array is not None and hasattr(array, "dtype"):
            return statistics(array, self.detail)
        if self.recording is not None:
            return self.recording.results.get(key)
        return None

    def _add_leaf(self, node: Node) -> None:
        """Draw a Tensor that is not the result of an operation."""
        parameter = self.placement.parameters.get(node.serial)
        owner = _owner(node)
        kind = "parameter" if parameter is not None or type(owner).__name__ == "Parameter" else "leaf"
        name = parameter or self.names.get(node.serial, "")
        drawn = self._box(node, kind, name or kind, name)
        grad = getattr(owner, "_grad", None)
        if grad is not None:
            drawn.grad = statistics(grad._data, self.detail)
        self.placement.place_leaf(drawn, parameter)

    def _add_operation(self, node: Node) -> None:
        """Draw an operation, the operands that are not drawn yet, and the edges between them."""
        op = node.op
        constants: dict[int, GraphNode] = {}
        for i, operand in enumerate(node.parents):
            if operand is None:
                continue
            if type(operand) is not Node:
                constants[i] = self._add_constant(node, i, operand)
            elif operand.serial not in self.ids:
                self._add_leaf(operand)  # beside what uses it, so that an outline reads well
        drawn = self._box(node, "op", op.label, self.names.get(node.serial, ""))
        drawn.op, drawn.formula, drawn.kinks = op.name, rules.formula(op), op.kinks
        drawn.options = rules.option_texts(op, node)
        drawn.cost = rules.cost(op, [_shape(operand) for operand in node.parents], node)
        if node.saved:
            drawn.cost["saved_bytes"] = sum(int(getattr(v, "nbytes", 0)) for v in node.saved)
        drawn.origin = self._origin(node)
        self._place_operation(drawn, node.serial, constants)
        self._add_edges(node, drawn, constants)

    def _add_constant(self, node: Node, i: int, operand: Any) -> GraphNode:
        """Draw an operand that needs no gradient, by the name that the user knows it by."""
        array, called = self.values.get((node.serial, i)), ""
        if isinstance(operand, tuple) and not operand[2]:
            if self.recording is not None:
                called = self.recording.called.get((node.serial, i), "")
            called = called or self.variables.name_of(array)
            operand = (*operand[:2], called or None)
        role = "" if node.op.variadic else node.op.inputs[i]
        # The word for it in the operation's own signature, where that is a word.
        label = role if len(role) > 2 else "array" if _shape(operand) else "constant"
        return self.constants.add(label, operand, self._value((node.serial, i)))

    def _box(self, node: Node, kind: str, label: str, name: str) -> GraphNode:
        """Add the box of a node: what operations and leaves have in common."""
        drawn = GraphNode(self.graph.next_node_id(), kind, label, name)
        drawn.shape, drawn.dtype, drawn.serial = node.shape, dtype_text(node.dtype), node.serial
        drawn.value, drawn.output = self._value(node.serial), node.serial in self.outputs
        self.ids[node.serial] = drawn.id
        self.graph.nodes.append(drawn)
        return drawn

    def _place_operation(self, drawn: GraphNode, serial: int, constants: Mapping[int, GraphNode]) -> None:
        """Put an operation and its constants into the box of the module whose call computed it."""
        self.placement.place_operation(drawn, serial)
        around = [module.id for module in self.graph.within(drawn.module)]
        is_first = bool(around) and around[-1] not in self.entered
        self.entered.update(around)
        for i, constant in constants.items():
            # The first operand of a model's first operation is the input of the model.
            is_model_input = is_first and i == 0 and constant.kind == "constant"
            if is_model_input and not constant.name:
                constant.label = "input"
            elif constant.label == "array" and around and self._is_loss(around[0]):
                constant.label = "target"
            self.constants.place(constant, drawn.module, is_model_input)

    def _is_loss(self, box: str) -> bool:
        """Whether a box is that of a loss, whose input is a result of the model."""
        return any(module.id == box and module.kind.endswith("Loss") for module in self.graph.modules)

    def _add_edges(self, node: Node, drawn: GraphNode, constants: Mapping[int, GraphNode]) -> None:
        """Draw an edge from each operand, with the derivative rule of that input."""
        op: Op = node.op
        operands = [(i, operand) for i, operand in enumerate(node.parents) if operand is not None]
        texts = rules.rule_texts(op)
        for i, operand in operands:
            source = constants[i].id if i in constants else self.ids[operand.serial]
            edge = GraphEdge(f"e{len(self.graph.edges)}", source, drawn.id, i)
            if len(operands) > 1:
                edge.operand = f"{op.inputs[0]}[{i}]" if op.variadic else op.inputs[i]
            edge.shape, edge.dtype = _shape(operand), _dtype(operand)
            if type(operand) is Node:
                edge.broadcast = broadcast_text(edge.shape, node.shape) if op.ufunc is not None else ""
                edge.rule, edge.rule_source = texts[0 if op.variadic else i]
            self.graph.edges.append(edge)

    def _origin(self, node: Node) -> str:
        """The line of the user's code that called the operation, as far as it is known."""
        if self.recording is not None and node.serial in self.recording.origins:
            return self.recording.origins[node.serial]
        # Set under detect_anomaly, with the whole path of the file.
        place = getattr(getattr(node, "origin", None), "place", None)
        return str(place).replace("\\", "/").rpartition("/")[2] if place else ""


def _known_values(nodes: Sequence[Node], tensors: Sequence[Any]) -> dict[int | tuple[int, int], NDArray]:
    """The arrays that still exist, by serial, or by (serial of the user, position) for constants.

    Those of Tensors that are alive, and those that operations saved for the backward pass.
    """
    found: dict[int | tuple[int, int], NDArray] = {}
    for node in nodes:
        owner = _owner(node)
        if owner is not None:
            found[node.serial] = owner._data
        if node.op is None or not node.saved:
            continue
        if node.op.variadic:
            # A checkpoint saves what it computes again, not arrays.
            inputs = list(enumerate(node.saved[0])) if isinstance(node.saved[0], (list, tuple)) else []
        else:
            saved = dict(zip(node.op.saves, node.saved))
            if saved.get("out") is not None:
                found.setdefault(node.serial, saved["out"])
            inputs = [(i, saved.get(name)) for i, name in enumerate(node.op.inputs)]
        for (i, array), operand in zip(inputs, node.parents):
            if array is not None:
                found.setdefault(operand.serial if type(operand) is Node else (node.serial, i), array)
    for tensor in tensors:
        if tensor.node is not None and hasattr(tensor, "_data"):
            found[tensor.node.serial] = tensor._data
    return found


def _known_names(
    nodes: Sequence[Node],
    roots: Sequence[Any],
    names: Mapping[str, Any] | None,
    recording: Recording | None,
) -> dict[int, str]:
    """Serial -> name. The names given to draw() go first, then recorded ones, then the Tensors' own."""
    found: dict[int, str] = {}
    for name, tensor in (names or {}).items():
        if isinstance(tensor, Value) and tensor.node is not None and not str(name).startswith("_"):
            found.setdefault(tensor.node.serial, str(name))
    for serial, name in recording.names.items() if recording is not None else ():
        found.setdefault(serial, name)
    own_names = [(node, getattr(_owner(node), "_name", None)) for node in nodes]
    own_names += [(tensor.node, getattr(tensor, "_name", None)) for tensor in roots]
    for node, own_name in own_names:
        if node is not None and own_name:
            found.setdefault(node.serial, own_name)
    return found


def _owner(node: Node) -> Any:
    """The Tensor of a node, if it is alive."""
    return node.watch.owner() if node.watch is not None and node.watch.owner is not None else None


def _shape(operand: Any) -> Shape | None:
    if type(operand) in (float, int):
        return ()
    return None if operand is None else tuple(shape_of(operand))


def _dtype(operand: Any) -> str:
    if type(operand) is Node:
        return dtype_text(operand.dtype)
    return dtype_text(operand[1]) if isinstance(operand, tuple) else ""


def broadcast_text(shape: Shape | None, result: Shape) -> str:
    """How an operand was broadcast, and over which axes its gradient is summed.

    >>> broadcast_text((4,), (3, 4))
    '(4,) broadcast to (3, 4); its gradient is summed over axis 0'
    """
    if shape is None or shape == result or len(shape) > len(result):
        return ""
    extra = len(result) - len(shape)
    axes = [*range(extra), *(i + extra for i, s in enumerate(shape) if s == 1 and result[i + extra] != 1)]
    if not axes:
        return ""
    axes_text = f"axis {axes[0]}" if len(axes) == 1 else f"axes {', '.join(map(str, axes))}"
    return f"{shape} broadcast to {result}; its gradient is summed over {axes_text}"
