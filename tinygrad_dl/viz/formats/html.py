"""The page: one HTML file with the diagram, the panels and the player; it loads nothing from the network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
import time
from collections.abc import Collection, Sequence
from dataclasses import asdict
from functools import cache
from pathlib import Path
from typing import Any

from tinygrad_dl.errors import GraphError, ValueRangeError
from tinygrad_dl.op import OPS
from tinygrad_dl.viz.formats import graphviz
from tinygrad_dl.viz.formats.colors import KINDS, STATUS, Coloring, dark
from tinygrad_dl.viz.formats.dot import clean, module_title, to_dot
from tinygrad_dl.viz.formats.graphviz import ENGINE_IN_PAGE, LayoutFailed, available, render
from tinygrad_dl.viz.formats.mathml import to_mathml
from tinygrad_dl.viz.graph.buffers import strip
from tinygrad_dl.viz.graph.collapse import collapse
from tinygrad_dl.viz.graph.diagram import Diagram
from tinygrad_dl.viz.graph.labels import cut, node_lines
from tinygrad_dl.viz.graph.model import GraphModel, GraphNode

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("canvas.js", "fold.js", "panel.js", "player.js", "start.js")
MAX_LAYOUTS = 5  # that a page holds, one per collapse depth
ALL_NODES = 2000  # up to so many nodes, collapsed ones can be searched and stepped through too


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


@cache
def _script(name: str) -> str:
    """A script of our own, without its comments and indentation: each page has a copy."""
    return re.sub(
        r"^[ ]+", "", re.sub(r"^[ ]*//.*\n", "", _asset(name), flags=re.MULTILINE), flags=re.MULTILINE
    )


def content(diagram: Diagram) -> str:
    """The content of an .html file."""
    return to_html(diagram)


def to_html(diagram: Diagram, engine: str | None = None) -> str:
    """The page of a diagram: laid out now if a layout engine is installed, else by the page itself with viz.js.

    All layouts together have one time limit. What the engine has not laid out by then, or has failed to, the page
    lays out itself.
    """
    layouts = _layouts(diagram)
    data = _data(diagram, layouts)
    chosen = engine or diagram.engine
    laid_out = chosen != ENGINE_IN_PAGE and (chosen is not None or bool(available()))
    end = time.monotonic() + graphviz.TIME_LIMIT
    drawings = []
    for i, (_, graph) in enumerate(layouts):
        dot = to_dot(graph, diagram.show_lines, None, diagram.direction, legend=False)
        svg = _svg(dot, chosen, end) if laid_out else ""
        if svg:
            drawings.append(f'<template data-layout="{i}">{svg}</template>')
        else:
            data["layouts"][i]["dot"] = dot
    complete = len(drawings) == len(layouts)
    scripts = ["(() => {\n'use strict';\n" + "\n".join(map(_script, SCRIPTS)) + "})();"]
    if not complete:
        scripts.insert(0, _asset("viz-global.js"))
    css = _asset("page.css")
    policy = [
        "default-src 'none'",
        "script-src "
        + " ".join(_hash(script) for script in scripts)
        + ("" if complete else " 'wasm-unsafe-eval'"),
        f"style-src {_hash(css)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    parts = {
        "csp": "; ".join(policy),
        "title": html.escape(_title(diagram.full)),
        "css": css,
        "layouts": "\n".join(drawings),
        "data": json_in_html(data),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    return re.sub(
        r"%(csp|title|css|layouts|data|scripts)%", lambda found: parts[found[1]], _asset("page.html")
    )


def _svg(dot: str, engine: str | None, end: float) -> str:
    """The SVG of a layout, or "" where the engine fails or the time is up at `end`."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        return ""
    try:
        svg = render(dot, "svg", engine, seconds).decode()
    except LayoutFailed:
        return ""
    return re.sub(r"^.*?(?=<svg)", "", svg, flags=re.DOTALL)


def json_in_html(data: object) -> str:
    """JSON that is safe inside a script element: nothing in it can end the element or be markup."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return re.sub("[\ud800-\udfff]", "\\\\ufffd", text)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _title(graph: GraphModel) -> str:
    if graph.title:
        return cut(clean(graph.title), 100)
    outputs = [node.name or node.label for node in graph.nodes if node.output]
    return cut(clean("Graph of " + (", ".join(outputs) or "a computation")), 100)


def _layouts(diagram: Diagram) -> list[tuple[str, GraphModel]]:
    """The diagram as drawn, and collapsed to each other depth; equal ones once."""
    found = [("as drawn", diagram.graph)]
    deepest = max((len(list(diagram.full.within(module.id))) for module in diagram.full.modules), default=0)
    for depth in [*range(deepest), None]:
        graph = collapse(
            diagram.full, depth, diagram.max_nodes, diagram.repeats if depth is not None else False
        )
        ids = [node.id for node in graph.nodes]
        if all(ids != [node.id for node in other.nodes] for _, other in found):
            found.append(("everything" if depth is None else f"modules to depth {depth}", graph))
    return found[:MAX_LAYOUTS]


def _data(diagram: Diagram, layouts: Sequence[tuple[str, GraphModel]]) -> dict[str, Any]:
    """What the scripts of the page read; `says`, `finds` and `fills` are for people, the search and the colors."""
    full = diagram.full
    nodes = {node.id: node for node in full.nodes} if len(full.nodes) <= ALL_NODES else {}
    for _, graph in layouts:
        for node in graph.nodes:
            nodes.setdefault(node.id, node)
    plain = {node["id"]: node for node in GraphModel(list(nodes.values())).to_dict()["nodes"]}
    colorings = {name: Coloring(full, name) for name in _colors(full)}
    for id, node in nodes.items():
        plain[id]["says"] = _says(node)
        plain[id]["finds"] = " ".join(
            (
                node.id,
                node.label,
                node.name,
                node.op,
                node.kind,
                str(node.shape or ""),
                node.dtype,
                node.formula,
            )
        ).lower()
        plain[id]["fills"] = {
            name: [fill, "#ffffff" if dark(fill) else "#14181b"]
            for name, coloring in colorings.items()
            if (fill := coloring.measured(node))
        }
    source = full if len(full.nodes) <= ALL_NODES else layouts[0][1]
    whole = source.to_dict()
    # An event of a node that no layout holds could not be shown.
    events = [event for event in whole["events"] if event["node"] in nodes]
    return {
        "color": diagram.color or "",
        "nodes": plain,
        "edges": whole["edges"],
        "runs": full.runs,
        "maths": _maths({node.op for node in nodes.values() if node.op}),
        "modules": {
            m.id: {"says": clean(module_title(m)), "parent": m.parent, "path": m.path} for m in full.modules
        },
        "events": events,
        "life": _life(full),
        "legends": {name: _legend(full, coloring) for name, coloring in colorings.items()},
        "layouts": [
            {
                "name": name,
                "nodes": [node.id for node in graph.nodes],
                "edges": [[edge.id, edge.source, edge.target] for edge in graph.edges],
                "hidden": graph.hidden,
            }
            for name, graph in layouts
        ],
    }


def _maths(names: Collection[str]) -> dict[str, dict[str, str]]:
    """Operation -> its formula ("forward") and the derivative of each input, by position, as MathML."""
    found: dict[str, dict[str, str]] = {}
    for name in sorted(names):
        op = OPS.get(name)
        if op is None or not op.math:
            continue
        forward, *derivatives = op.math
        texts = {"forward": forward, **{str(i): text for i, text in enumerate(derivatives)}}
        try:
            found[name] = {key: to_mathml(text) for key, text in texts.items() if text}
        except ValueRangeError:
            continue  # a formula of the user's own, in more of LaTeX than is known here
    return found


def _life(graph: GraphModel) -> dict[str, Any] | None:
    """The strip of a program's buffers, for the panel."""
    life = strip(graph)
    return None if life is None else asdict(life)


def _says(node: GraphNode) -> str:
    title, *rest = node_lines(node, ("shape", "value"), whole=True)
    return clean(", ".join([title.replace(",", " "), node.kind if node.kind != "op" else "operation", *rest]))


def _colors(graph: GraphModel) -> list[str]:
    names = [""]
    if any(node.grad for node in graph.nodes):
        names.append("grad")
    if any(node.gain is not None for node in graph.nodes):
        names.append("gain")
    if any(node.bad for node in graph.nodes):
        names.append("nan")
    return names


def _legend(graph: GraphModel, coloring: Coloring) -> list[list[str]]:
    """The legend under one coloring: (fill or name of a theme color, text) of each entry."""
    if coloring.color:
        return [[fill, text] for fill, text in coloring.legend()]
    themed = {kind: kind for kind in ("op", "parameter", "leaf", "constant", "module", "product", "call")}
    themed["argument"] = "leaf"
    found = [
        [themed.get(kind, KINDS[kind][0]), KINDS[kind][3]]
        for kind in KINDS
        if kind != "number" and any(node.kind == kind for node in graph.nodes)
    ]
    found += [
        [fill, name] for name, (fill, _) in STATUS.items() if any(n.status == name for n in graph.nodes)
    ]
    if any(node.output for node in graph.nodes):
        found.append(["", "double line: output"])
    return found + [["", note] for note in graph.notes]


def open_page(diagram: Diagram) -> None:
    """Show the page below a notebook's cell, or in the browser. Raises GraphError without either."""
    page = to_html(diagram)
    if _in_notebook():
        from IPython.display import HTML, display

        frame = f'<iframe srcdoc="{html.escape(page)}" sandbox="allow-scripts" width="100%" height="640"'
        display(HTML(frame + ' title="Computation graph" style="border: 1px solid #c9d0d6"></iframe>'))
        return
    import tempfile
    import webbrowser

    with tempfile.NamedTemporaryFile("w", suffix=".html", delete=False, encoding="utf-8") as file:
        file.write(page)
    if not webbrowser.open(Path(file.name).as_uri()):
        raise GraphError(
            f"show: no browser could be opened. The page is {file.name}; save('graph.html') writes another."
        )


def _in_notebook() -> bool:
    import sys

    shell = sys.modules.get("IPython")
    current = shell.get_ipython() if shell is not None else None
    return current is not None and hasattr(current, "kernel")
