"""Which module computed a node: the boxes of a diagram, from the calls that nn.Module records in the graph.

Serials decrease: a call that started at `start` and ended at `stop` computed the nodes with serials in between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.graph import Node
from tinygrad_dl.viz.graph.model import GraphModel, GraphModule, GraphNode


class ModulePlacement:
    """Places nodes in modules while a graph model is built, one box per call; nodes must come oldest first."""

    def __init__(
        self, graph: GraphModel, model: Any, nodes: Sequence[Node], running: Sequence[tuple[Any, int]] = ()
    ) -> None:
        self.graph = graph
        calls: dict[int, tuple[int, Any, str]] = {}
        for node in nodes:
            scope = node.scope
            while scope is not None:
                # A call that returned several nodes has a record at each of them; the last one ended the call.
                module, start, stop, scope = scope
                before = calls.get(start, (stop, None, ""))[0]
                calls[start] = min(stop, before), module(), getattr(module, "kind", "")
        # Calls that an exception left unfinished end after everything that is drawn.
        self.end = min([0, *(node.serial for node in nodes), *(start for _, start in running)]) - 1
        calls.update({start: (self.end - 1, module, "") for module, start in running})
        self.calls = [(start, *calls[start]) for start in sorted(calls)]  # the outermost and oldest is last
        self.names: dict[int, str] = {}
        self.parameters: dict[int, str] = {}
        if model is not None:
            self._record_names(model)
        # (stop, box id, path) of the calls around the current node
        self.open: list[tuple[int, str, str]] = []
        self.boxes: dict[str, list[GraphModule]] = {}
        self.waiting: list[tuple[GraphNode, str]] = []
        stack: list[int] = []
        for start, stop, module, _ in reversed(self.calls):
            while stack and stack[-1] > start:
                stack.pop()
            if not stack and module is not None and id(module) not in self.names:
                self._record_names(module)
            stack.append(stop)

    def _record_names(self, module: Any) -> None:
        """Remember the paths of all modules and parameters inside a module."""
        if hasattr(module, "named_modules"):
            for name, part in module.named_modules():
                self.names.setdefault(id(part), str(name))
        if hasattr(module, "named_parameters"):
            for name, tensor in module.named_parameters():
                if tensor.node is not None:
                    self.parameters.setdefault(tensor.node.serial, str(name))

    def place_operation(self, drawn: GraphNode, serial: int) -> None:
        """Put an operation into the box of the innermost call that computed it."""
        while True:
            if self.open and self.open[-1][0] > serial:
                self.open.pop()
            elif self.calls and self.calls[-1][0] > serial:
                start, stop, module, kind = self.calls.pop()
                if stop < serial:
                    self._enter(stop, module, kind)
            else:
                break
        drawn.module = self.open[-1][1] if self.open else ""

    def _enter(self, stop: int, module: object, kind: str = "") -> None:
        """Open the box of a call; calls of modules that are gone or unknown are named by their class."""
        parent, path = (self.open[-1][1], self.open[-1][2]) if self.open else ("", "")
        name = self.names.get(id(module)) if module is not None else None
        kind = type(module).__name__ if module is not None else kind or "Module"
        if name is None:
            name = f"{path}.{kind}" if path else kind
        title = name.removeprefix(path + ".") if path else name
        box = GraphModule(f"m{len(self.graph.modules)}", name, kind, parent, title)
        self.graph.modules.append(box)
        self.boxes.setdefault(name, []).append(box)
        self.open.append((stop, box.id, name))

    def place_leaf(self, drawn: GraphNode, path: str | None) -> None:
        """Remember a parameter for the box of its module, which may come later."""
        if path is not None:
            self.waiting.append((drawn, path))

    def finish(self) -> None:
        """Put the parameters into their modules' boxes; around these, where a module was called several times."""
        for drawn, path in self.waiting:
            while path:
                path = path.rpartition(".")[0]
                found = self.boxes.get(path)
                if found:
                    drawn.module = found[0].id if len(found) == 1 else found[0].parent
                    if len(found) == 1:
                        drawn.label = drawn.name.removeprefix(path + ".")
                    break
