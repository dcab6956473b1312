"""DOT: stored texts, DOT parsed again, and names that try to break out."""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import xml.etree.ElementTree as ET
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.leaves import leaf
from tests.viz.examples import EXAMPLES, NASTY, STORED, named, texts
from tinygrad_dl import viz
from tinygrad_dl.viz.formats.dot import clean, quoted
from tinygrad_dl.viz.formats.graphviz import available
from tinygrad_dl.viz.graph.labels import node_lines


@pytest.mark.parametrize("name", list(EXAMPLES))
def test_texts_are_those_that_are_stored(name: str) -> None:
    # After a change that was meant: python -m tests.viz.examples, and look at the differences.
    for format, text in texts(name).items():
        assert text == (STORED / f"{name}.{format}").read_text(encoding="utf-8"), f"{name}.{format}"


def parsed_by_dot(source: str) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    """Labels by node id, and (source, target, edge id), as the program dot reads them."""
    done = subprocess.run(["dot", "-Tdot_json"], input=source.encode(), capture_output=True, check=True)
    found = json.loads(done.stdout)
    objects = found.get("objects", [])
    nodes = {o["name"]: o for o in objects if not o["name"].startswith("cluster_")}
    edges = [
        (objects[e["tail"]]["name"], objects[e["head"]]["name"], e["id"]) for e in found.get("edges", [])
    ]
    return {name: o["label"] for name, o in nodes.items()}, edges


def parsed_by_pygraphviz(source: str) -> tuple[dict[str, Any], list[tuple[str, str, str]]]:
    with pytest.importorskip("pygraphviz", reason="pygraphviz is not installed").AGraph(
        string=source
    ) as graph:
        nodes = {str(n): n.attr["label"] for n in graph.nodes()}
        return nodes, [(str(e[0]), str(e[1]), e.attr["id"]) for e in graph.edges()]


PARSERS = {"dot": parsed_by_dot, "pygraphviz": parsed_by_pygraphviz}


def unquoted(label: str) -> str:
    """What Graphviz shows for a label: escapes and entities undone."""
    pieces = {"\\n": "\n", "\\\\": "\\", '\\"': '"'}
    return html.unescape(re.sub(r"\\(?:n|\\|\")", lambda found: pieces[found[0]], label))


@pytest.mark.parametrize("engine", list(PARSERS))
@pytest.mark.parametrize("name", list(EXAMPLES))
def test_parsed_dot_is_the_neutral_form(name: str, engine: str) -> None:
    if engine == "dot" and shutil.which("dot") is None:
        pytest.skip("Graphviz is not installed")
    view = EXAMPLES[name]()
    nodes, edges = PARSERS[engine](view.source)
    assert {id: unquoted(label) for id, label in nodes.items()} == {
        node.id: "\n".join(node_lines(node, view.show_lines)) for node in view.graph.nodes
    }
    assert sorted(edges) == sorted((e.source, e.target, e.id) for e in view.graph.edges)


def svg_texts(svg: str) -> list[str]:
    root = ET.fromstring(svg)
    assert not [e.tag for e in root.iter() if e.tag.split("}")[-1] not in SVG_PARTS]
    assert not [k for e in root.iter() for k in e.attrib if k.lower().startswith("on")]
    return ["".join(e.itertext()) for e in root.iter() if e.tag.endswith("}text")]


SVG_PARTS = {"svg", "g", "title", "text", "path", "polygon", "ellipse", "polyline", "a", "style"}


@pytest.mark.parametrize("name", NASTY)
@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
def test_a_nasty_name_is_text_in_the_image(name: str, engine: str) -> None:
    if engine not in available():
        pytest.skip(f"{engine} is not installed")
    view = named(name)
    view.engine = engine
    shown = svg_texts(view.svg())
    first = node_lines(view.graph.nodes[0], ())[0]
    if first.strip():
        expected = clean(first).replace("\u00a0", " ")
        assert expected in [text.replace("\u00a0", " ") for text in shown]


@given(st.text(max_size=60))
def test_any_label_is_one_string_of_dot(text: str) -> None:
    inside = quoted(text)[1:-1]
    assert '"' not in re.sub(r"\\.", "", inside) and not inside.startswith("<")
    assert not re.search(r"(?<!\\)(?:\\\\)*\\$", inside)
    assert unquoted(quoted(text)[1:-1]) == clean(text)


@given(st.lists(st.text(max_size=30), min_size=1, max_size=4))
def test_labels_round_trip_through_pygraphviz(names: list[str]) -> None:
    x = leaf(1.0)
    total = x
    for name in names:
        total = total * 2
        total.name = name
    view = viz.draw(total, names={"root": x}, max_nodes=100)
    nodes, _ = parsed_by_pygraphviz(view.source)
    expected = {n.id: clean("\n".join(node_lines(n, view.show_lines))) for n in view.graph.nodes}
    assert {id: unquoted(label) for id, label in nodes.items()} == expected


@pytest.mark.parametrize("direction", ["TB", "BT", "LR", "RL"])
def test_directions_are_graphviz_own(direction: str) -> None:
    assert f"rankdir={direction}," in viz.draw(leaf(1.0) * 2, direction=direction).source
