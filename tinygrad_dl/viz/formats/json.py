"""The graph model as JSON."""

from __future__ import annotations

import json
import re

from tinygrad_dl.viz.graph.diagram import Diagram
from tinygrad_dl.viz.graph.model import GraphModel


def content(diagram: Diagram) -> str:
    """The content of a .json file."""
    return to_json(diagram.graph)


def to_json(graph: GraphModel) -> str:
    """JSON text: nodes, edges, modules, notes and the steps of the player."""
    text = json.dumps(graph.to_dict(), indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    # UTF-8 cannot encode a lone surrogate; escaped, the user's name survives as it was.
    return re.sub("[\ud800-\udfff]", lambda found: f"\\u{ord(found[0]):04x}", text)
