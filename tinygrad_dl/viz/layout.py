"""Layout engines, which turn DOT into a picture: Graphviz on the PATH, or inside pygraphviz."""

from __future__ import annotations

import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable

from tinygrad_dl.errors import MissingExtraError, ValueRangeError

ENGINES = ("dot", "pygraphviz")
ENGINE_IN_PAGE = "viz.js"  # pages only: they lay themselves out
VARIABLE = "TINYGRAD_DL_GRAPH_ENGINE"
TIME_LIMIT = 60.0  # seconds


class LayoutError(MissingExtraError, RuntimeError):
    """No layout engine is there, or the one that is there failed."""


def render(source: str, format: str, engine: str | None = None, timeout: float | None = None) -> bytes:
    """The DOT source laid out by Graphviz, as SVG, PNG or PDF. Raises LayoutError."""
    chosen = engine or os.environ.get(VARIABLE) or None
    if chosen is None:
        found = available()
        if not found:
            raise LayoutError(_nothing_there(format))
        chosen = found[0]
    if chosen in ENGINES:
        return _RUNNERS[chosen](source, format, timeout or TIME_LIMIT)
    if os.path.basename(chosen).split(".")[0] == "dot":
        return _run_program(chosen, source, format, timeout or TIME_LIMIT)
    raise ValueRangeError(
        f"engine: {' or '.join(map(repr, ENGINES))} or a path to dot is needed; {chosen!r} came"
    )


def available() -> list[str]:
    """The engines that are installed here, the preferred one first."""
    found = ["dot"] if shutil.which("dot") else []
    if importlib.util.find_spec("pygraphviz") is not None:
        found.append("pygraphviz")
    return found


def _run_dot(source: str, format: str, timeout: float) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise LayoutError(_nothing_there(format))
    return _run_program(program, source, format, timeout)


def _run_program(program: str, source: str, format: str, timeout: float) -> bytes:
    # In a process of its own: a crash of Graphviz does not take the user's session with it.
    try:
        done = subprocess.run(
            [program, f"-T{format}"], input=source.encode(), capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError as error:
        raise LayoutError(f"draw: there is no program {program!r}") from error
    except subprocess.TimeoutExpired as error:
        raise LayoutError(
            f"draw: Graphviz did not finish the layout in {timeout:g} s. Fold the graph with depth= or "
            "max_nodes=, or save .html without an engine, .dot or .txt."
        ) from error
    if done.returncode or not done.stdout:
        raise LayoutError(f"draw: Graphviz failed: {done.stderr.decode(errors='replace').strip()[:400]}")
    return done.stdout


def _run_pygraphviz(source: str, format: str, timeout: float) -> bytes:
    try:
        from pygraphviz import AGraph
    except ImportError as error:
        raise LayoutError(_nothing_there(format)) from error
    try:
        with AGraph(string=source) as graph:
            made = graph.draw(format=format, prog="dot")
    except (OSError, ValueError) as error:
        raise LayoutError(f"draw: Graphviz in pygraphviz failed: {str(error)[:400]}") from error
    return made if isinstance(made, bytes) else str(made).encode()


_RUNNERS: dict[str, Callable[[str, str, float], bytes]] = {"dot": _run_dot, "pygraphviz": _run_pygraphviz}


def _nothing_there(format: str) -> str:
    package = {"darwin": "brew install graphviz", "win32": "winget install graphviz"}.get(
        sys.platform, "apt install graphviz, or your system's like of it"
    )
    return (
        f"draw: .{format} needs a layout engine; there is neither the program dot on the PATH nor the Python "
        f"package pygraphviz. Three ways out:\n"
        f'  1. pip install "tinygrad_dl[viz]" (pygraphviz brings its own Graphviz);\n'
        f"  2. install Graphviz: {package};\n"
        f"  3. save another format: .html is laid out by the browser; .dot, .json, .txt, .mmd need nothing."
    )
