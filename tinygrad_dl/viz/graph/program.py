"""From a compiled program to the graph model: its steps in order, fused loops as boxes, and the life of its buffers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl.compiler.compiled import Compiled
from tinygrad_dl.compiler.formulas import short
from tinygrad_dl.compiler.fusion import Group, reads_of
from tinygrad_dl.compiler.naming import Names
from tinygrad_dl.compiler.program import CONVOLUTIONS, VIEW, Call, Effect, Number, Prim, Step, Var, Vjp
from tinygrad_dl.compiler.replay import live_steps
from tinygrad_dl.compiler.report import buffers, stored_by
from tinygrad_dl.compiler.windows import multiply_adds
from tinygrad_dl.graph import Value
from tinygrad_dl.op import OPS
from tinygrad_dl.viz.graph.labels import byte_text, cut
from tinygrad_dl.viz.graph.model import GraphBuffer, GraphEdge, GraphModel, GraphModule, GraphNode
from tinygrad_dl.viz.graph.rules import dtype_text

#: Programs with more boxes are drawn with each fused loop as one box.
OPEN = 60
#: Programs of more steps are drawn with what a layer does in a pass as one box.
STEPS = 40
#: From so many arrays of parameters and optimizers on, those of a layer share a box.
SHARED = 6
SIDE_EFFECTS = {
    "keep_mask": "draw which elements dropout keeps",
    "_count_batch": "count the batch",
    "_clip_grad_norm": "clip_grad_norm_",
    "_update_all": "the optimizer's step",
    "_discard_gradients": "discard the gradients",
}
SIGNS = {"multiply": "*", "add": "+", "subtract": "-", "divide": "/", "matmul": "@", "cast": "convert"}


def program_graph(compiled: Compiled) -> GraphModel:
    """The graph model of the program that a compiled function used last. Raises CompileError without one."""
    entry = compiled._latest()
    drawing = ProgramDrawing(entry, compiled._name)
    drawing.add_steps()
    return drawing.finish()


class ProgramDrawing:
    """One pass over the steps of a program in the order in which they run."""

    def __init__(self, entry: Any, name: str) -> None:
        self.entry, self.native, self.program = entry, entry.native, entry.program
        self.graph = GraphModel(title=f"Compiled program of {name}")
        self.names = Names(entry.program, entry.capture or entry.recorded)
        self.layers = {
            id(tensor): path.rpartition(".")[0]
            for root in (entry.capture or entry.recorded).roots()
            for path, tensor in (*root.named_parameters(), *root.named_buffers())
        }
        self.lowered = None if self.native is None else self.native.lowered
        self.items: Sequence[Any] = (
            self.native.items if self.native is not None else live_steps(entry.program)
        )
        self.called: dict[int, str] = {}  # serial -> name
        self.made: dict[int, GraphNode] = {}  # serial -> the box that holds or makes it
        self.shown: dict[int, Var] = {}  # serial of a view -> what it is a view of
        self.large = sum(not _is_view(item) for item in self.items) > STEPS
        self.stages: dict[tuple[str, str], GraphModule] = {}
        self.transposed: dict[int, bool] = {}
        self.states: dict[str, GraphNode] = {}
        self.phases: dict[str, str] = {}
        self.stored = {v.serial for item in self.items for v in stored_by(item)}
        self._name_results()

    # Names

    def _name_results(self) -> None:
        """The names of the source for what the program makes; the others are numbered."""
        for var in (*self.program.arguments, *self.program.states):
            self.called[var.serial] = self.names.of[var.serial]
        for step in self.program.steps:
            for var in step.writes():
                found = var if self.lowered is None else self.lowered.at(var)
                name = self.names.of.get(var.serial) or self.names.weak.get(var.serial)
                if name and isinstance(found, Var) and found.kind == "result":
                    self.called.setdefault(found.serial, name)
        if self.lowered is not None:
            for var in self.lowered.states:
                self.called[var.serial] = self.names.state(var.source)
            for step in self.lowered.steps:
                for var in step.writes():
                    if var.name:
                        self.called.setdefault(var.serial, var.name)
        self.numbers: dict[int, str] = {}
        for update in self.lowered.updates if self.lowered is not None else ():
            for _, group, first, last in update.parameters:
                for i in range(first, last):
                    value = update.at_capture[i - update.first]
                    usual = (n for n in ("lr", "momentum", "weight_decay", "eps") if group.get(n) == value)
                    self.numbers[i] = next(usual, short(value))

    # Boxes

    def add_steps(self) -> None:
        """Draw arguments, then every step with the states that it reads first."""
        for var in self.program.arguments:
            self.made[var.serial] = self._box("argument", self.called[var.serial], var)
        number = 0
        self.at: list[int] = []  # position of an item -> the number of its step
        for item in self.items:
            prim = item if isinstance(item, Prim) else None
            if prim is not None and _is_view(item):
                out, x = prim.outputs[0], prim.inputs[0]
                assert out is not None and isinstance(x, Var)
                self.shown[out.serial] = x
                turned = prim.kind == "transpose" and len(x.shape) == 2
                self.transposed[out.serial] = turned != self.transposed.get(x.serial, False)
                self.at.append(number)
                continue
            number += 1
            self.at.append(number)
            if isinstance(item, Group):
                self._group(item, number)
            elif prim is not None and prim.kind == "assign":
                self._written_state(prim.inputs[0], prim.inputs[1])
            else:
                self._single(item, number)
            for var in stored_by(item):
                target = self._target(var)
                if target is not None:
                    self._written_state(target, var)

    def finish(self) -> GraphModel:
        """Mark the results, list the buffers, and say in the notes what the picture does not."""
        results = self.program.results if self.lowered is None else self.lowered.results
        gradients = self.program.gradients if self.lowered is None else self.lowered.gradients
        for var in (*results, *(v for _, v in gradients)):
            root = self._root(var) if isinstance(var, Var) else None
            if root is not None and root.serial in self.made and any(var is r for r in results):
                self.made[root.serial].output = True
        self.graph.events = [
            {"pass": "forward", "phase": self.phases.get(n.id, "run"), "node": n.id}
            for n in self.graph.nodes
            if n.kind not in ("argument", "parameter", "constant", "number") or n.op
        ]
        self._place_states()
        if self.native is None:
            self.graph.notes.append(
                "backend numpy: every operation and rule is called as it is; nothing is fused"
            )
            return self.graph
        loops = sum(isinstance(item, Group) for item in self.items)
        inside = sum(len(item.prims) for item in self.items if isinstance(item, Group))
        self.graph.notes.append(
            f"{max(self.at, default=0)} steps; {inside} primitives in {loops} fused loops"
        )
        self._buffers()
        return self.graph

    def _box(self, kind: str, label: str, var: Var | None, name: str = "", module: str = "") -> GraphNode:
        node = GraphNode(self.graph.next_node_id(), kind, label, name, module=module)
        if var is not None:
            node.shape, node.dtype = var.shape, dtype_text(var.dtype)
        self.graph.nodes.append(node)
        return node

    def _group(self, group: Group, number: int) -> None:
        """A fused loop: one box, with its primitives inside."""
        layers = list(dict.fromkeys(p.module for p in group.prims if p.module))
        what = ", ".join(layers[:2]) + (", ..." if len(layers) > 2 else "")
        shape = " x ".join(map(str, group.shape)) or "one number"
        stage = self._stage(group.prims[0])
        box = GraphModule(f"g{number}", "", f"loop over {shape}" + (f" ({what})" if what else ""), stage)
        box.title = str(number)
        made = [v for p in group.prims for v in p.writes() if v.serial in group.stored]
        names = [self._state_of(v) or self.called.get(v.serial, "") for v in made]
        named = ", ".join(dict.fromkeys(name for name in names if name))
        count = f"{len(group.prims)} operation{'s' if len(group.prims) > 1 else ''}"
        box.makes = cut(f"{count}{f': {named}' if named else ''}", 44)
        self.graph.modules.append(box)
        for prim in group.prims:
            self._primitive(prim, box.id, group.stored)

    def _stage(self, step: Step) -> str:
        """In a large program, the box of what a layer does in a pass; each counts its steps."""
        if not self.large:
            return ""
        key = step.phase, step.module
        if key not in self.stages:
            self.stages[key] = GraphModule(f"s{len(self.stages)}", "", "")
            self.graph.modules.append(self.stages[key])
        stage = self.stages[key]
        stage.steps += 1
        what = f"{step.phase}{f' of {step.module}' if step.module else ''}"
        stage.kind = f"{what}, {stage.steps} step{'s' if stage.steps > 1 else ''}"
        return stage.id

    def _single(self, item: Any, number: int) -> None:
        """A step of its own: a product, a copy, or a call of Python."""
        if isinstance(item, Prim):
            self._primitive(item, self._stage(item), self.stored, f"{number}: ")
            return
        if isinstance(item, Call):
            label, kind = str(item.op.name), "call"
        elif isinstance(item, Vjp):
            label, kind = f"rules of {item.call.op.name}", "call"
        else:
            name = str(item.function.__name__)
            label, kind = SIDE_EFFECTS.get(name, name.strip("_")), "call"
        outs = list(item.writes())
        node = self._box(kind, f"{number}: {label}", outs[0] if outs else None, module=self._stage(item))
        node.op = str(label)
        node.name = ", ".join(n for v in outs if (n := self.called.get(v.serial, "")))
        node.options = {"layer": item.module} if item.module else {}
        self.phases[node.id] = item.phase
        for position, var in enumerate(reads_of(item)):
            self._edge(var, node, position)
        for var in outs:
            self.made[var.serial] = node
        if isinstance(item, Effect) and item.function.__name__ == "_update_all":
            for leaf, _ in item.gradients:
                self._state_box(self.names.parameters.get(id(leaf), "p"), node)

    def _primitive(self, prim: Prim, module: str, stored: Any, prefix: str = "") -> None:
        out = prim.outputs[0] if prim.outputs else None
        kind = "product" if prim.kind in ("matmul", *CONVOLUTIONS) else "op"
        sources = [x for x in prim.inputs if isinstance(x, Var)]
        for x in sources:
            self._need(x, prim.phase)
        name = self.called.get(out.serial, "") if out is not None else ""
        node = self._box(kind, self._label(prim), out, name, module)
        if prefix:
            node.label, node.name = f"{prefix}{name} = {node.label}" if name else prefix + node.label, ""
        node.op = prim.kind
        if "axes" in prim.params and prim.kind in ("sum", "max", "min", "prod"):
            axes = prim.params["axes"]
            node.options["over"] = (
                "axis " + str(axes[0])
                if len(axes) == 1
                else "all"
                if len(axes) == len(sources[0].shape)
                else f"axes {', '.join(map(str, axes))}"
            )
        node.formula = self._formula(prim)
        self.phases[node.id] = prim.phase
        if out is not None:
            if out.serial in stored:
                node.cost["bytes"] = out.nbytes
            if kind == "product":
                node.cost["multiply_adds"] = multiply_adds(prim)
            self.made[out.serial] = node
        for position, x in enumerate(sources):
            self._edge(x, node, position, prim.phase)

    def _label(self, prim: Prim) -> str:
        """A primitive in few signs: + between arrays, 1 - ... with a number, x @ W1.T of a product."""
        if prim.kind == "matmul":
            return " @ ".join(self._operand(x) for x in prim.inputs if isinstance(x, Var))
        if prim.kind == "check_classes":
            return "check the classes"
        sign = SIGNS.get(prim.kind) or (OPS[prim.kind].label if prim.kind in OPS else prim.kind)
        numbers = [not isinstance(x, Var) or self._hidden(x, prim.phase) for x in prim.inputs]
        if len(prim.inputs) == 2 and any(numbers):
            texts = [
                self.numbers.get(x.index, short(x.value))
                if isinstance(x, Number)
                else _text(x)
                if not isinstance(x, Var)
                else self._called(x)
                if self._hidden(x, prim.phase)
                else "..."
                for x in prim.inputs
            ]
            infix = not sign.isidentifier()
            return f" {sign} ".join(texts) if infix else f"{sign}({', '.join(texts)})"
        if prim.kind == "multiply" and prim.inputs[0] is prim.inputs[1]:
            return "square"
        return sign

    def _hidden(self, var: Var, phase: str) -> bool:
        """Whether no edge leads here from a state: an update reads what it writes."""
        return phase == "update" and self._root(var).kind == "state"

    def _operand(self, var: Var) -> str:
        """A factor of a product by its name, transposed or not."""
        name = self._called(var)
        return f"{name}.T" if self.transposed.get(var.serial) else name

    def _formula(self, prim: Prim) -> str:
        inputs = [
            self._called(x)
            if isinstance(x, Var)
            else self.numbers.get(x.index, "")
            if isinstance(x, Number)
            else _text(x)
            for x in prim.inputs
        ]
        return f"{prim.kind}({', '.join(inputs)})"

    def _called(self, var: Var) -> str:
        root = self._root(var)
        return self.called.get(var.serial) or self.called.get(root.serial) or "..."

    def _root(self, var: Var) -> Var:
        while var.serial in self.shown:
            var = self.shown[var.serial]
        return var

    def _need(self, var: Var, phase: str = "") -> None:
        """Draw the box of a state or constant that is read for the first time."""
        root = self._root(var)
        if root.serial in self.made or self._hidden(var, phase):
            return
        if root.kind == "constant":
            label = (
                "constant"
                if root.size != 1
                else _text(np.asarray(getattr(root.source, "array", root.source)).item())
            )
            self.made[root.serial] = self._box("constant" if root.size != 1 else "number", label, root)
        elif root.kind == "state":
            owner = self._owner(root)
            node = self.states.get(owner)
            if node is None:
                node = self.states[owner] = self._box("parameter", owner, root)
            self._add_part(node, root)
            self.made[root.serial] = node

    def _owner(self, var: Var) -> str:
        """The box of a state: the parameter that it belongs to, or its layer where there are many."""
        tensor = (
            var.source
            if isinstance(var.source, Value)
            else var.source[-2]
            if len(var.source) == 3
            else var.source[0]
        )
        name = self.names.parameters.get(id(tensor)) or self.called.get(var.serial) or "data"
        states = self.program.states if self.lowered is None else self.lowered.states
        if len(states) <= SHARED:
            return name
        layer = self.layers.get(id(tensor))
        return f"parameters of {layer}" if layer else name

    def _add_part(self, node: GraphNode, var: Var) -> None:
        """List an array that shares a box."""
        name = self.called.get(var.serial, "")
        if not name or name == node.label:
            return
        have = node.options.get("with", "")
        if name not in have.split(", "):
            node.options["with"] = f"{have}, {name}" if have else name
        if node.label.startswith("parameters of "):
            node.shape, node.dtype = None, ""

    def _target(self, var: Var) -> Var | None:
        """The state that a result is the new value of, written where it lies."""
        if self.native is None or self.lowered is None or var.kind != "result":
            return None
        place = self.native.places.get(var.serial)
        if place is None or place.slot == 0:
            return None
        return next((s for s in self.lowered.states if self.native.places.get(s.serial) is place), None)

    def _state_of(self, var: Var) -> str:
        target = self._target(var)
        return "" if target is None else self.called.get(target.serial, "")

    def _written_state(self, target: Any, value: Any) -> None:
        """A state gets its new value, in place."""
        owner = self._owner(target)
        if isinstance(value, Var):
            self._need(value)
        node = self._state_box(owner, None)
        if node.shape is None and not owner.startswith("parameters of "):
            node.shape, node.dtype = target.shape, dtype_text(target.dtype)
        self._add_part(node, target)
        if isinstance(value, Var):
            self._edge(value, node, 0)

    def _state_box(self, owner: str, source: GraphNode | None) -> GraphNode:
        key = f"{owner} after"
        node = self.states.get(key)
        if node is None:
            node = self.states[key] = self._box("parameter", owner, None)
            node.output = True
            node.change = "read and written in place"
        if source is not None:
            self.graph.edges.append(GraphEdge(f"e{len(self.graph.edges)}", source.id, node.id))
        return node

    def _place_states(self) -> None:
        """States that are written follow what writes them, also in the list of boxes."""
        after = [n for n in self.graph.nodes if n.kind == "parameter" and n.change]
        self.graph.nodes = [n for n in self.graph.nodes if n not in after] + after

    def _edge(self, var: Var, node: GraphNode, position: int, phase: str = "") -> None:
        """An operand; what lies in memory between two steps is named with its bytes."""
        self._need(var, phase)
        root = self._root(var)
        if self._hidden(var, phase):
            return
        source = self.made.get(root.serial)
        if source is None or source is node:
            return
        if any(e.source == source.id and e.target == node.id for e in self.graph.edges[-6:]):
            return
        edge = GraphEdge(f"e{len(self.graph.edges)}", source.id, node.id, position)
        if source.module != node.module or not node.module:
            if source.kind not in ("argument", "parameter", "constant", "number"):
                edge.operand = f"{byte_text(root.nbytes)}"
        self.graph.edges.append(edge)

    # Memory

    def _buffers(self) -> None:
        """The buffers of the block, and the steps between which each is in use."""
        for found in buffers(self.native):
            node = self.made.get(found.var.serial)
            label = "" if node is None else node.label.partition(": ")[2] or node.label
            first, last = self.at[found.first], self.at[found.last]
            name = self.called.get(found.var.serial) or f"{first}: {label}"
            self.graph.buffers.append(
                GraphBuffer(name, found.var.nbytes, found.start, first, max(first, last))
            )
        self.graph.buffers.sort(key=lambda b: (b.first, b.start))
        self.graph.steps = max(self.at, default=0)
        if self.graph.buffers:
            total = sum(b.bytes for b in self.graph.buffers)
            self.graph.notes.append(
                f"{len(self.graph.buffers)} buffers of {byte_text(total)} in a block of "
                f"{byte_text(self.native.block.size)}"
            )


def _is_view(item: Any) -> bool:
    return isinstance(item, Prim) and item.kind in VIEW


def _text(x: Any) -> str:
    """A number in a label: four digits are enough there."""
    return f"{x:.4g}" if isinstance(x, float) else str(x)
