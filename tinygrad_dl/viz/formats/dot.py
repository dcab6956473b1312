"""The graph model in DOT, Graphviz's language. This is the only place that escapes users' text for DOT."""

from __future__ import annotations

import re
from collections.abc import Collection

from tinygrad_dl.viz.formats.colors import KINDS, STATUS, Coloring, dark
from tinygrad_dl.viz.graph.buffers import Strip, strip
from tinygrad_dl.viz.graph.diagram import Diagram
from tinygrad_dl.viz.graph.labels import edge_lines, node_lines, tooltip
from tinygrad_dl.viz.graph.model import GraphModel, GraphModule, GraphNode

# In a large graph the search for the best layout is cut short (Graphviz's own limit grows with the graph), and edges
# have no labels, which would double the ranks of the layout; their tooltips have the same text. Graphviz's time grows
# with the edges and with the ranks that they cross: a weight that each step of a loop uses makes long edges.
LARGE = 500  # edges
LARGE_SPAN = 4000  # ranks that all edges together cross
FONT = "Helvetica,Arial,sans-serif"


def content(diagram: Diagram) -> str:
    """The content of a .dot file."""
    return to_dot(diagram.graph, diagram.show_lines, diagram.color, diagram.direction)


def to_dot(
    graph: GraphModel,
    show: Collection[str],
    color: str | None = None,
    direction: str = "TB",
    legend: bool = True,
) -> str:
    """DOT text, deterministic; the ids of the graph model are names in DOT and ids in SVG."""
    coloring = Coloring(graph, color)
    legend_label = _legend(graph, coloring) if legend else quoted("")
    lines = ["digraph graph_of_tensors {"]
    lines.append(f'  graph [rankdir={direction}, fontname="{FONT}", fontsize=11, nodesep=0.25, ranksep=0.35,')
    lines.append(f'         bgcolor="transparent", labelloc=b, label={legend_label}];')
    lines.append(f'  node [fontname="{FONT}", fontsize=11, margin="0.12,0.06", height=0.3, style=filled];')
    lines.append(
        f'  edge [fontname="{FONT}", fontsize=9, color="#5b6770", fontcolor="#4a545c", arrowsize=0.7];'
    )
    large = is_large(graph)
    if large:
        # With lower limits later steps are slow, and Graphviz 16 fails.
        lines.append("  graph [nslimit=2, nslimit1=2, mclimit=0.1];")
    members: dict[str, list[GraphNode]] = {}
    for node in graph.nodes:
        members.setdefault(node.module, []).append(node)
    children: dict[str, list[GraphModule]] = {}
    for child in graph.modules:
        children.setdefault(child.parent, []).append(child)
    lines += [_node(node, show, coloring, "  ") for node in members.get("", [])]
    # A stack and no recursion: modules may be nested deeper than Python's recursion limit.
    stack: list[tuple[GraphModule | None, int]] = [(m, 1) for m in reversed(children.get("", []))]
    while stack:
        opened, depth = stack.pop()
        if opened is None:
            lines.append("  " * depth + "}")
            continue
        module, indent = opened, "  " * depth
        lines.append(f"{indent}subgraph cluster_{module.id} {{")
        title = quoted(module_title(module))
        lines.append(
            f'{indent}  graph [id="{module.id}", class="module", style="rounded,filled", color="#9a86b8", '
            f'fillcolor="#7a5aa814", labelloc=t, labeljust=l, label={title}, tooltip={title}];'
        )
        lines += [_node(node, show, coloring, indent + "  ") for node in members.get(module.id, [])]
        stack.append((None, depth))
        stack += [(child, depth + 1) for child in reversed(children.get(module.id, []))]
    constants = {node.id for node in graph.nodes if node.kind in ("constant", "number")}
    for edge in graph.edges:
        tip = quoted("\n".join(edge_lines(edge, show)))
        extra = ", style=dashed" if edge.source in constants or edge.status == "removed" else ""
        if edge.status:
            extra += f', color="{STATUS[edge.status][1]}", penwidth=2'
        label = '""' if large else tip
        lines.append(
            f'  {edge.source} -> {edge.target} [id="{edge.id}", label={label}, tooltip={tip}{extra}];'
        )
    lines.append("}")
    return "\n".join(lines) + "\n"


def is_large(graph: GraphModel) -> bool:
    """Whether Graphviz would take long for the graph with the labels of its edges."""
    if len(graph.edges) > LARGE:
        return True
    sources: dict[str, list[str]] = {}
    for edge in graph.edges:
        sources.setdefault(edge.target, []).append(edge.source)
    rank: dict[str, int] = {}
    for node in graph.nodes:  # in topological order
        rank[node.id] = 1 + max((rank.get(source, 0) for source in sources.get(node.id, ())), default=-1)
    return sum(abs(rank[edge.target] - rank[edge.source]) for edge in graph.edges) > LARGE_SPAN


def module_title(module: GraphModule) -> str:
    """The title of a module's box: its name, its class, and how often it repeats."""
    title = f"{module.title}: {module.kind}" if module.title and module.title != module.kind else module.kind
    return title + (f"  \u00d7{module.repeat}" if module.repeat > 1 else "")


def _node(node: GraphNode, show: Collection[str], coloring: Coloring, indent: str) -> str:
    """The statement of a node, indented."""
    _, _, shape, _ = KINDS[node.kind]
    fill = coloring.fill(node)
    styles = ["filled"]
    if node.kind in ("op", "elided"):
        styles.append("rounded")
    if node.kind in ("constant", "elided") or node.status == "removed":
        styles.append("dashed")
    label = quoted("\n".join(node_lines(node, show)))
    double = ", peripheries=2" if node.output and shape != "plaintext" else ""
    width = 2.2 if node.output or node.bad == "origin" or node.kind == "failed" else 1.0
    return (
        f'{indent}{node.id} [id="{node.id}", class="{_classes(node)}", label={label}, '
        f'shape={shape}, style="{",".join(styles)}", fillcolor="{fill}", color="{coloring.border(node)}", '
        f'fontcolor="{"#ffffff" if dark(fill) else "#14181b"}", penwidth={width:g}'
        f"{double}, tooltip={quoted(tooltip(node))}];"
    )


def _classes(node: GraphNode) -> str:
    return " ".join(
        filter(
            None, (node.kind, "output" if node.output else "", node.status, node.bad and f"bad-{node.bad}")
        )
    )


def quoted(text: str) -> str:
    """A DOT string in which nothing is an escape (\\N), an entity (&lt;) or, in <>, an HTML-like label."""
    text = clean(text).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n") + '"'


def clean(text: str) -> str:
    """Text that XML and DOT can hold: control characters and lone surrogates become U+FFFD."""
    return re.sub(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\ud800-\udfff\ufffe\uffff]", "\ufffd", text.replace("\r\n", "\n")
    )


def _legend(graph: GraphModel, coloring: Coloring) -> str:
    """An HTML-like label of color swatches, followed by the notes, escaped."""
    kinds = [kind for kind in KINDS if any(node.kind == kind for node in graph.nodes)]
    cells = [(KINDS[kind][0], KINDS[kind][1], KINDS[kind][3]) for kind in kinds if kind != "number"]
    if any(node.output for node in graph.nodes):
        cells.append(("#ffffff", "#b8860b", "double line: output"))
    cells += [(STATUS[s][0], STATUS[s][1], s) for s in STATUS if any(n.status == s for n in graph.nodes)]
    scale = [(fill, "#5b6770", text) for fill, text in coloring.legend()]
    rows = "".join(f"<TR>{''.join(_swatch(*cell) for cell in row)}</TR>" for row in (cells, scale) if row)
    notes = [*graph.notes]
    if is_large(graph):
        notes.append("a large graph: the labels of the edges are in their tooltips")
    for note in notes:
        rows += f'<TR><TD COLSPAN="{max(1, 2 * len(cells))}" ALIGN="LEFT">{_markup(note)}</TD></TR>'
    life = strip(graph)
    if life is not None:
        # In a table of its own, the legend is not drawn apart by the strip below it.
        table = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="1">'
        rows = f'<TR><TD ALIGN="LEFT">{table}{rows}</TABLE></TD></TR>'
        rows += f'<TR><TD ALIGN="LEFT">{_strip_table(life)}</TD></TR>'
    if not rows:
        return quoted("")
    return f'<<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="3" CELLPADDING="1">{rows}</TABLE>>'


def _strip_table(life: Strip) -> str:
    """The life of buffers as a table: a row for each, with a bar over the steps at which it is in use."""
    border = '<TABLE BORDER="0" CELLBORDER="0" CELLSPACING="1" CELLPADDING="0">'
    numbers = "".join(
        f'<TD WIDTH="14" ALIGN="CENTER"><FONT POINT-SIZE="9">{_number_of(i, life)}</FONT></TD>'
        for i in range(life.columns)
    )
    rows = [f'<TR><TD ALIGN="LEFT">buffer</TD><TD ALIGN="RIGHT">bytes  </TD>{numbers}</TR>']
    for name, size, first, last in life.rows:
        parts = [(first, ""), (last - first + 1, ' BGCOLOR="#6aaed6"'), (life.columns - last - 1, "")]
        spans = "".join(f'<TD COLSPAN="{n}" HEIGHT="9"{color}></TD>' for n, color in parts if n)
        rows.append(f'<TR><TD ALIGN="LEFT">{_markup(name)}  </TD><TD ALIGN="RIGHT">{size}  </TD>{spans}</TR>')
    if life.note:
        rows.append(f'<TR><TD ALIGN="LEFT" COLSPAN="{life.columns + 2}">{_markup(life.note)}</TD></TR>')
    return f"{border}{''.join(rows)}</TABLE>"


def _number_of(column: int, life: Strip) -> str:
    """The first step of a column; of every fifth one where they are many."""
    return str(column * life.width + 1) if life.columns <= 20 or column % 5 == 0 else " "


def _swatch(fill: str, border: str, text: str) -> str:
    return (
        f'<TD BGCOLOR="{fill}" COLOR="{border}" BORDER="1" WIDTH="14" HEIGHT="10" FIXEDSIZE="TRUE"></TD>'
        f'<TD ALIGN="LEFT">{_markup(text)}</TD>'
    )


def _markup(text: str) -> str:
    text = clean(text).replace("\n", " ")
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace('"', "&quot;")
