"""Which module computed a node: the boxes of a diagram, from the scopes that nn.Module writes into the graph."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.graph import Node
from tinygrad_dl.viz.picture import Picture, PictureModule, PictureNode


class Scopes:
    """Places nodes in modules while a picture is made; modules appear in the order of their first node."""

    def __init__(self, picture: Picture, model: Any) -> None:
        self.picture = picture
        self.paths: dict[int, str] = {}
        if model is not None and hasattr(model, "named_modules"):
            self.paths = {id(module): str(path) for path, module in model.named_modules()}
        self.model = model
        self.boxes: dict[Any, PictureModule] = {}
        self.homes: dict[str, str] = {}  # the path of a module -> the id of its first box
        self.waiting: list[tuple[PictureNode, str]] = []

    def place_operation(self, drawn: PictureNode, node: Node) -> None:
        """Put an operation into the box of the call that computed it."""
        drawn.module = ""

    def place_leaf(self, drawn: PictureNode, path: str | None) -> None:
        """Remember where a parameter belongs: in the box of its module, once that is there."""
        if path is not None:
            self.waiting.append((drawn, path.rpartition(".")[0]))

    def finish(self) -> None:
        """Put the parameters into their modules' boxes."""
        for drawn, path in self.waiting:
            drawn.module = self.homes.get(path, "")
