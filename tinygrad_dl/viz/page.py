"""The page: one HTML file with the drawing, the panels and the player, that asks nothing of any network."""

from __future__ import annotations

import base64
import hashlib
import html
import json
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_dl.errors import GraphError
from tinygrad_dl.viz.colors import KINDS, STATUS, Coloring, dark
from tinygrad_dl.viz.dot import clean, module_title, to_dot
from tinygrad_dl.viz.fold import fold
from tinygrad_dl.viz.labels import cut, node_lines
from tinygrad_dl.viz.layout import ENGINE_IN_PAGE, available, render
from tinygrad_dl.viz.picture import Picture, PictureNode

if TYPE_CHECKING:
    from tinygrad_dl.viz.view import GraphView

ASSETS = Path(__file__).parent / "assets"
SCRIPTS = ("canvas.js", "panel.js", "player.js", "start.js")
LEVELS = 5  # layouts that a page holds
EVERYTHING = 2000  # nodes up to which folded ones can be looked up and stepped through too


@cache
def _asset(name: str) -> str:
    return (ASSETS / name).read_text(encoding="utf-8")


def to_html(view: GraphView, engine: str | None = None) -> str:
    """The page of a view: laid out here if there is an engine, else by the page itself with viz.js."""
    layouts = _layouts(view)
    data = _data(view, layouts)
    chosen = engine or view.engine
    drawn_here = chosen != ENGINE_IN_PAGE and (chosen is not None or bool(available()))
    drawings = []
    for i, (_, picture) in enumerate(layouts):
        dot = to_dot(picture, view.show_lines, None, view.direction, legend=False)
        if drawn_here:
            svg = re.sub(r"^.*?(?=<svg)", "", render(dot, "svg", chosen).decode(), flags=re.DOTALL)
            drawings.append(f'<template data-layout="{i}">{svg}</template>')
        else:
            data["layouts"][i]["dot"] = dot
    scripts = ["(() => {\n'use strict';\n" + "\n".join(_asset(name) for name in SCRIPTS) + "})();"]
    if not drawn_here:
        scripts.insert(0, _asset("viz-global.js"))
    css = _asset("page.css")
    policy = [
        "default-src 'none'",
        "script-src "
        + " ".join(_hash(script) for script in scripts)
        + ("" if drawn_here else " 'wasm-unsafe-eval'"),
        f"style-src {_hash(css)}",
        "base-uri 'none'",
        "form-action 'none'",
    ]
    parts = {
        "csp": "; ".join(policy),
        "title": html.escape(_title(view.full)),
        "css": css,
        "layouts": "\n".join(drawings),
        "data": json_in_html(data),
        "scripts": "\n".join(f"<script>{script}</script>" for script in scripts),
    }
    return re.sub(
        r"%(csp|title|css|layouts|data|scripts)%", lambda found: parts[found[1]], _asset("page.html")
    )


def json_in_html(data: Any) -> str:
    """JSON that can stand inside a script element: nothing in it can end the element or be markup."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return re.sub("[\ud800-\udfff]", "\\\\ufffd", text)


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def _title(picture: Picture) -> str:
    if picture.title:
        return cut(clean(picture.title), 100)
    outputs = [node.name or node.label for node in picture.nodes if node.output]
    return cut(clean("Graph of " + (", ".join(outputs) or "a computation")), 100)


def _layouts(view: GraphView) -> list[tuple[str, Picture]]:
    """The view as it is, and folded to each other depth; each drawing once."""
    found = [("as drawn", view.picture)]
    deepest = max((len(list(view.full.within(module.id))) for module in view.full.modules), default=0)
    for depth in [*range(deepest), None]:
        picture = fold(view.full, depth, view.max_nodes, view.repeats if depth is not None else False)
        ids = [node.id for node in picture.nodes]
        if all(ids != [node.id for node in other.nodes] for _, other in found):
            found.append(("everything" if depth is None else f"modules to depth {depth}", picture))
    return found[:LEVELS]


def _data(view: GraphView, layouts: Sequence[tuple[str, Picture]]) -> dict[str, Any]:
    full = view.full
    nodes = {node.id: node for node in full.nodes} if len(full.nodes) <= EVERYTHING else {}
    for _, picture in layouts:
        for node in picture.nodes:
            nodes.setdefault(node.id, node)
    plain = {node["id"]: node for node in Picture(list(nodes.values())).to_dict()["nodes"]}
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
    source = full if len(full.nodes) <= EVERYTHING else layouts[0][1]
    whole = source.to_dict()
    events = [event for event in whole["events"] if event["node"] in nodes]
    return {
        "color": view.color or "",
        "nodes": plain,
        "edges": whole["edges"],
        "modules": {
            m.id: {"says": clean(module_title(m)), "parent": m.parent, "path": m.path} for m in full.modules
        },
        "events": events,
        "legends": {name: _legend(full, coloring) for name, coloring in colorings.items()},
        "layouts": [
            {
                "name": name,
                "nodes": [node.id for node in picture.nodes],
                "edges": [[edge.id, edge.source, edge.target] for edge in picture.edges],
                "hidden": picture.hidden,
            }
            for name, picture in layouts
        ],
    }


def _says(node: PictureNode) -> str:
    title, *rest = node_lines(node, ("shape", "value"), whole=True)
    return clean(", ".join([title.replace(",", " "), node.kind if node.kind != "op" else "operation", *rest]))


def _colors(picture: Picture) -> list[str]:
    names = [""]
    if any(node.grad for node in picture.nodes):
        names.append("grad")
    if any(node.gain is not None for node in picture.nodes):
        names.append("gain")
    if any(node.bad for node in picture.nodes):
        names.append("nan")
    return names


def _legend(picture: Picture, coloring: Coloring) -> list[list[str]]:
    if coloring.color:
        return [[fill, text] for fill, text in coloring.legend()]
    themed = ("op", "parameter", "leaf", "constant", "module")
    found = [
        [kind if kind in themed else KINDS[kind][0], KINDS[kind][3]]
        for kind in KINDS
        if kind != "number" and any(node.kind == kind for node in picture.nodes)
    ]
    found += [
        [fill, name] for name, (fill, _) in STATUS.items() if any(n.status == name for n in picture.nodes)
    ]
    if any(node.output for node in picture.nodes):
        found.append(["", "double line: output"])
    return found + [["", note] for note in picture.notes]


def open_page(view: GraphView) -> None:
    """Show the page below a notebook's cell, or in the browser. Raises GraphError where there is neither."""
    page = to_html(view)
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
