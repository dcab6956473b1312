"""Layout engines, which turn DOT into an image: the program dot on the PATH, or the Graphviz inside pygraphviz.

Both run in a process of their own. A crash of Graphviz then does not end the user's session, a layout that takes
too long can be given up, and what Graphviz and its libraries write to stderr (a fontconfig that is older than the
system's configuration warns about each file of it) is read here: it becomes the error message of a layout that
failed, and is dropped for one that succeeded.
"""

from __future__ import annotations

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable

from tinygrad_dl.errors import MissingExtraError, ValueRangeError
from tinygrad_dl.viz.formats.dot import to_dot
from tinygrad_dl.viz.formats.themes import themed
from tinygrad_dl.viz.graph.diagram import Diagram

ENGINES = ("dot", "pygraphviz")
ENGINE_IN_PAGE = "viz.js"  # of pages only: the browser lays the graph out
VARIABLE = "TINYGRAD_DL_GRAPH_ENGINE"
TIME_LIMIT = 60.0  # seconds

# The program that lays out with pygraphviz: DOT on stdin, the image on stdout. Its arguments are the format and the
# file of the package: by this the process finds the same pygraphviz, whatever its own path is. The working directory
# is taken off the path, because a file of the user's there may have the name of a module.
PYGRAPHVIZ_PROGRAM = """\
import sys
sys.path = [folder for folder in sys.path if folder]
import importlib.util
spec = importlib.util.spec_from_file_location("pygraphviz", sys.argv[2])
sys.modules["pygraphviz"] = package = importlib.util.module_from_spec(spec)
spec.loader.exec_module(package)
try:
    with package.AGraph(string=sys.stdin.buffer.read().decode()) as graph:
        image = graph.draw(format=sys.argv[1], prog="dot")
except (OSError, ValueError) as error:
    sys.exit(str(error))
sys.stdout.buffer.write(image if isinstance(image, bytes) else str(image).encode())
"""


class LayoutError(MissingExtraError, RuntimeError):
    """No layout engine is installed, or the one that is installed failed."""


class LayoutFailed(LayoutError):
    """The layout engine did not finish this graph, or failed; a page lets the browser lay it out then."""


def svg(diagram: Diagram) -> bytes:
    """The content of an .svg file. Raises LayoutError."""
    return themed(_image(diagram, "svg"))


def png(diagram: Diagram) -> bytes:
    """The content of a .png file. Raises LayoutError."""
    return _image(diagram, "png")


def pdf(diagram: Diagram) -> bytes:
    """The content of a .pdf file. Raises LayoutError."""
    return _image(diagram, "pdf")


def _image(diagram: Diagram, format: str) -> bytes:
    source = to_dot(diagram.graph, diagram.show_lines, diagram.color, diagram.direction)
    return render(source, format, diagram.engine)


def render(source: str, format: str, engine: str | None = None, timeout: float | None = None) -> bytes:
    """The DOT source laid out by Graphviz, as SVG, PNG or PDF. Raises LayoutError, ValueRangeError."""
    chosen = engine or os.environ.get(VARIABLE) or None
    if chosen is None:
        installed = available()
        if not installed:
            raise LayoutError(_no_engine_message(format))
        chosen = installed[0]
    require_engine(chosen)
    if chosen in ENGINES:
        return _RUNNERS[chosen](source, format, timeout or TIME_LIMIT)
    return _run("Graphviz", [chosen, f"-T{format}"], source, timeout or TIME_LIMIT)


def require_engine(name: str, called: str = "") -> None:
    """Raise ValueRangeError for what is neither an engine nor a path to dot."""
    if name not in ENGINES and os.path.basename(name).split(".")[0] != "dot":
        raise ValueRangeError(
            f"{called}engine: expected {' or '.join(map(repr, ENGINES))} or a path to dot, got {name!r}"
        )


def available() -> list[str]:
    """The engines that are installed, the preferred one first."""
    found = ["dot"] if shutil.which("dot") else []
    if importlib.util.find_spec("pygraphviz") is not None:
        found.append("pygraphviz")
    return found


def _run_dot(source: str, format: str, timeout: float) -> bytes:
    program = shutil.which("dot")
    if program is None:
        raise LayoutError(_no_engine_message(format))
    return _run("Graphviz", [program, f"-T{format}"], source, timeout)


def _run_pygraphviz(source: str, format: str, timeout: float) -> bytes:
    spec = importlib.util.find_spec("pygraphviz")
    if spec is None or spec.origin is None:
        raise LayoutError(_no_engine_message(format))
    if not sys.executable:  # a Python inside another program
        raise LayoutError(
            "draw: pygraphviz runs in a Python process of its own, and sys.executable does not say which program "
            "Python is. Install Graphviz, or save one of the formats that need no layout engine."
        )
    program = [sys.executable, "-c", PYGRAPHVIZ_PROGRAM, format, spec.origin]
    return _run("Graphviz in pygraphviz", program, source, timeout)


_RUNNERS: dict[str, Callable[[str, str, float], bytes]] = {"dot": _run_dot, "pygraphviz": _run_pygraphviz}


def _run(name: str, command: list[str], source: str, timeout: float) -> bytes:
    """What a command writes to stdout, given the DOT source on stdin; its stderr is shown only if it fails."""
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # so that what the command starts can be ended with it
        )
    except FileNotFoundError as error:
        raise LayoutError(f"draw: the program {command[0]!r} does not exist") from error
    except OSError as error:
        raise LayoutError(
            f"draw: the program {command[0]!r} cannot be run: {error.strerror or error}"
        ) from error
    try:
        image, errors = process.communicate(source.encode(), timeout)
    except subprocess.TimeoutExpired:
        _end(process)
        raise LayoutFailed(
            f"draw: {name} did not finish the layout in {timeout:.3g} s. Collapse the graph with depth= or "
            "max_nodes=, or save .html, which the browser lays out then, .dot or .txt."
        ) from None
    except BaseException:  # Ctrl-C: the layout would go on alone
        _end(process)
        raise
    if process.returncode or not image:
        said = errors.decode(errors="replace").strip() or f"exit code {process.returncode}"
        raise LayoutFailed(f"draw: {name} failed: {said[-400:]}")
    return image


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a command and what it has started: a script named dot has the program that lays out as its child."""
    if hasattr(os, "killpg"):
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except ProcessLookupError:
            pass
    process.kill()
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            try:
                pipe.close()
            except OSError:  # input that the command has not read
                pass
    process.wait()


def _no_engine_message(format: str) -> str:
    """What to do without a layout engine."""
    # Imported here because the table of formats imports this file.
    from tinygrad_dl.viz.formats import endings

    package = {"darwin": "brew install graphviz", "win32": "winget install graphviz"}.get(
        sys.platform, "apt install graphviz, or the like on your system"
    )
    return (
        f"draw: .{format} needs a layout engine; there is neither the program dot on the PATH nor the Python "
        f"package pygraphviz. Three ways out:\n"
        f'  1. pip install "tinygrad_dl[viz]" (pygraphviz brings its own Graphviz);\n'
        f"  2. install Graphviz: {package};\n"
        f"  3. save a format that needs none: {endings(without_engine=True)} (the browser lays .html out)."
    )
