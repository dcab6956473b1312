"""The labels of nodes and edges, as lines of plain text; each format escapes them in its own way."""

from __future__ import annotations

import textwrap
from collections.abc import Collection

from tinygrad_dl.viz.graph.array_statistics import number, shape_text
from tinygrad_dl.viz.graph.model import GraphEdge, GraphNode, Stats

SHOWABLE = ("shape", "dtype", "value", "grad", "stats", "rule", "gain", "cost", "options", "origin")
LIMIT = 60  # characters per line
ERROR_LINES = 6
ARRAY_LIMIT = 34  # characters up to which a small array is written out


def cut(text: str, limit: int = LIMIT) -> str:
    """The text, shortened in the middle if it is longer than the limit."""
    if len(text) <= limit:
        return text
    half = (limit - 3) // 2
    return f"{text[:half]}...{text[-half:]}"


def _one_line(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\n", "\u23ce").replace("\r", "\u23ce")


def node_title(node: GraphNode) -> str:
    """The first line of a node: its name and what it is."""
    label = _one_line(node.label)
    if node.kind in ("op", "failed", "call") and node.name:
        label = f"{_one_line(node.name)} = {label}"
    if node.repeat > 1:
        label += f"  \u00d7{node.repeat}"
    return cut(label) or " "


def node_lines(node: GraphNode, show: Collection[str], whole: bool = False) -> list[str]:
    """The lines of a node; an error is wrapped, or in one line if `whole`."""
    lines = [node_title(node)]
    if node.kind in ("op", "failed", "product", "call", "parameter") and node.options:
        lines.append(cut(", ".join(f"{k}={v}" for k, v in node.options.items())))
    if node.kind == "number":
        return [cut(_one_line(node.change), 80)] if node.change else lines
    shape_and_dtype = [shape_text(node.shape)] if "shape" in show and node.shape is not None else []
    if "dtype" in show and node.dtype:
        shape_and_dtype.append(node.dtype)
    if shape_and_dtype:
        lines.append(" ".join(shape_and_dtype))
    if "value" in show and node.value and "value " not in node.change:
        lines.append(cut(f"value {summary(node.value, 'stats' in show)}"))
    if "grad" in show and "grad " not in node.change:
        lines += _gradient_lines(node, show)
    if "gain" in show and node.gain is not None:
        lines.append(f"gain {number(node.gain)}")
    if "cost" in show and node.cost:
        lines.append(cost_text(node.cost))
    if "origin" in show and node.origin:
        lines.append(cut(node.origin))
    if node.change:
        lines.append(cut(_one_line(node.change), 80))
    if node.error:
        lines += [" ".join(node.error.split())] if whole else _wrapped_error(node.error)
    return lines


def _wrapped_error(error: str) -> list[str]:
    """The first lines of an error message, wrapped."""
    lines = [part for line in error.splitlines() for part in textwrap.wrap(line, LIMIT)]
    return [*lines[:ERROR_LINES], *(["..."] if len(lines) > ERROR_LINES else [])]


def _gradient_lines(node: GraphNode, show: Collection[str]) -> list[str]:
    """The gradient, and with "rule" the contributions it is the sum of."""
    lines = [cut(f"grad {summary(node.grad, 'stats' in show)}")] if node.grad else []
    if lines and "rule" in show and node.parts:
        terms = f"= {' + '.join(node.parts)}"
        lines.append(terms if len(terms) <= LIMIT else f"= the sum of {len(node.parts)} parts")
    return lines


def summary(found: Stats, stats: bool = False) -> str:
    """Statistics in few words: the array itself if it is small, else its norm."""
    text = str(found.get("text", ""))
    if text and (len(text) <= ARRAY_LIMIT or "norm" not in found):
        return text
    text = f"norm {number(found['norm'])}"
    bad = [f"{found[k]} {k}" for k in ("nan", "inf") if found.get(k)]
    if bad:
        text = " and ".join(bad) + f" of {found['size']}"
    if stats and "mean" in found:
        text += f", mean {number(found['mean'])} in [{number(found['min'])}, {number(found['max'])}]"
    return text


def cost_text(cost: dict[str, int]) -> str:
    """A cost in few words: the multiply-adds of a contraction, and the bytes of the result."""
    parts = []
    if "multiply_adds" in cost:
        parts.append(f"{quantity(cost['multiply_adds'])} multiply-adds")
    if "bytes" in cost:
        parts.append(f"{quantity(cost['bytes'])}B")
    return ", ".join(parts)


def quantity(count: int) -> str:
    """A count with k, M or G, three significant digits."""
    value, sign = float(count), ""
    for unit in ("k", "M", "G", "T"):
        if value < 1000:
            break
        value, sign = value / 1000, unit
    return f"{value:.3g} {sign}".rstrip() if sign else str(count)


def byte_text(count: int) -> str:
    """A number of bytes in few signs: 96 B, 6.4 kB."""
    text = quantity(count)
    return f"{text}{'' if ' ' in text else ' '}B"


def edge_lines(edge: GraphEdge, show: Collection[str]) -> list[str]:
    """The lines of an edge: operand and shape going forward, derivative rule and contribution coming back."""
    lines = []
    first = []
    if edge.operand:
        first.append(edge.operand)
    if "shape" in show and edge.shape is not None and edge.dtype:
        first.append(shape_text(edge.shape))
    if edge.count > 1:
        first.append(f"\u00d7{edge.count}")
    if first:
        lines.append(" ".join(first))
    if "rule" in show and edge.rule:
        lines.append(cut(f"\u2190 {edge.rule}", 44))
    if "rule" in show and edge.flow:
        lines.append(cut(f"\u2190 {summary(edge.flow)}", 44))
    if edge.broadcast and ("rule" in show or "shape" in show):
        lines.append(cut("\u2190 sum over " + edge.broadcast.rpartition("over ")[2], 44))
    return lines


def tooltip(node: GraphNode) -> str:
    """The tooltip of a node: its formula and where it was computed."""
    parts = [node.formula, node.origin]
    return cut(" | ".join(_one_line(part) for part in parts if part), 200) or node_title(node)
