"""Layout engines: which one is taken, what is said without one, and that they are silent."""

from __future__ import annotations

import builtins
import os
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.leaves import leaf
from tinygrad_dl import nn, viz
from tinygrad_dl.errors import MissingExtraError, ValueRangeError
from tinygrad_dl.viz import LayoutError
from tinygrad_dl.viz.formats import dot, graphviz

ENGINES = graphviz.available()


needs_engine = pytest.mark.skipif(not ENGINES, reason="neither Graphviz nor pygraphviz is installed")


def view(**how: Any) -> viz.GraphView:
    return viz.draw((leaf([1.0, 2.0]) * 2).sum(), **how)


@pytest.fixture
def no_engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A machine without Graphviz and without pygraphviz."""
    real = builtins.__import__

    def guarded(name: str, *args: Any, **kwargs: Any) -> Any:
        if name.split(".")[0] in ("pygraphviz", "graphviz"):
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        return real(name, *args, **kwargs)

    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.delenv(graphviz.VARIABLE, raising=False)
    monkeypatch.setattr(builtins, "__import__", guarded)
    monkeypatch.setattr(graphviz.importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("format", ["svg", "png", "pdf"])
def test_without_an_engine_images_say_what_is_missing_and_three_ways_out(format: str, tmp_path: Path) -> None:
    with pytest.raises(LayoutError) as caught:
        view().save(tmp_path / f"graph.{format}")
    text = str(caught.value)
    assert f".{format} needs a layout engine" in text
    assert "neither the program dot on the PATH nor the Python package pygraphviz" in text
    assert 'pip install "tinygrad_dl[viz]"' in text and "install Graphviz" in text and ".html" in text
    assert isinstance(caught.value, (RuntimeError, MissingExtraError))
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("format", ["dot", "json", "txt", "mmd", "html"])
def test_without_an_engine_every_other_format_works(format: str, tmp_path: Path) -> None:
    assert view().save(tmp_path / f"graph.{format}").stat().st_size > 50


@pytest.mark.usefixtures("no_engine")
def test_without_an_engine_the_page_brings_its_own() -> None:
    page = view().html()
    assert "Viz.js 3.31.0" in page and "'wasm-unsafe-eval'" in page


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
def test_an_engine_that_was_asked_for_and_is_absent_is_an_error(engine: str) -> None:
    with pytest.raises(LayoutError, match="Three ways out"):
        view(engine=engine).svg()


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_makes_each_image_format(engine: str, tmp_path: Path) -> None:
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    for format, start in starts.items():
        path = view(engine=engine).save(tmp_path / "sub" / f"graph.{format}")
        assert path.read_bytes().startswith(start)


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_the_ids_of_the_graph_model_are_ids_in_the_svg(engine: str) -> None:
    one = view(engine=engine)
    svg = one.svg()
    for id in [node.id for node in one.graph.nodes] + [edge.id for edge in one.graph.edges]:
        assert svg.count(f'id="{id}"') == 1


@needs_engine
def test_the_environment_names_the_engine_and_the_argument_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(graphviz.VARIABLE, "nothing")
    with pytest.raises(
        ValueRangeError, match="engine: expected 'dot' or 'pygraphviz' or a path to dot, got 'nothing'"
    ):
        view().svg()
    assert view(engine=ENGINES[0]).svg()


def test_a_path_to_dot_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="does not exist"):
        view(engine=str(tmp_path / "dot")).svg()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_a_layout_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    slow = tmp_path / "dot"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    with pytest.raises(LayoutError, match=r"did not finish the layout in 0\.2 s\. Collapse the graph"):
        graphviz.render("digraph {}", "svg", str(slow), timeout=0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX's")
def test_what_a_layout_has_started_is_ended_with_it(tmp_path: Path) -> None:
    slow, child = tmp_path / "dot", tmp_path / "child"
    slow.write_text(f"#!/bin/sh\nsleep 300 &\necho $! > {child}\nwait\n")
    slow.chmod(0o755)
    with pytest.raises(LayoutError, match="did not finish"):
        graphviz.render("digraph {}", "svg", str(slow), timeout=1)
    pid = int(child.read_text())
    for _ in range(500):  # until the system has reaped it
        if not is_running(pid):
            break
        time.sleep(0.01)
    assert not is_running(pid)


def is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    stat = Path(f"/proc/{pid}/stat")
    return not (stat.exists() and stat.read_text().rpartition(")")[2].split()[0] == "Z")


def broken_engine(folder: Path, script: str) -> str:
    path = folder / "dot"
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return str(path)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
@pytest.mark.parametrize("script", ["echo 'trouble in init_rank' >&2; exit 1", "exec sleep 300"])
def test_the_page_lays_itself_out_where_the_engine_does_not(
    script: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graphviz, "TIME_LIMIT", 0.3)
    one = view(engine=broken_engine(tmp_path, script))
    page = one.html()
    assert "Viz.js 3.31.0" in page and "'wasm-unsafe-eval'" in page and "<template" not in page
    assert '"dot":"digraph graph_of_tensors' in page
    with pytest.raises(
        LayoutError, match="init_rank" if "echo" in script else "which the browser lays out then"
    ):
        one.svg()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_all_layouts_of_a_page_have_one_time_limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    count = tmp_path / "count"
    engine = broken_engine(tmp_path, f"echo x >> {count}; exec sleep 300")
    monkeypatch.setattr(graphviz, "TIME_LIMIT", 0.3)
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.Tanh()))
    x = leaf(np.ones((1, 2)), np.float32)
    page = viz.draw(model(x).sum(), model=model, engine=engine).html()
    assert page.count('"dot":"digraph') >= 2 and len(count.read_text().splitlines()) == 1


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_long_loops_are_drawn(engine: str) -> None:
    weight, state = leaf(np.eye(3)), leaf(np.ones(3))
    for _ in range(60):
        state = (weight @ state + 0.1).tanh()
    long = viz.draw(state.sum(), repeats=False, engine=engine)
    assert dot.is_large(long.graph) and long.svg().count('class="edge"') == len(long.graph.edges)


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_an_unrolled_lstm_of_40_steps_is_drawn(engine: str) -> None:
    cell, state = nn.LSTMCell(2, 3), None
    for _ in range(40):
        state = cell(leaf(np.ones((1, 2)), np.float32), state)
    assert state is not None
    page = viz.draw(state[0].sum(), model=cell, engine=engine).html()
    assert page.count("<template data-layout") + page.count('"dot":"digraph') == 3


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_what_graphviz_says_when_it_fails_is_passed_on(tmp_path: Path) -> None:
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\necho 'out of paper' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(LayoutError, match="Graphviz failed: out of paper"):
        view(engine=str(broken)).svg()
    bundle = view(engine=str(broken))._repr_mimebundle_()
    assert "out of paper" in bundle["text/plain"] and "image/svg+xml" not in bundle


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_warnings_of_a_layout_that_succeeds_are_dropped(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    noisy = tmp_path / "dot"
    noisy.write_text("#!/bin/sh\necho 'Fontconfig warning: unknown element' >&2\necho '<svg/>'\n")
    noisy.chmod(0o755)
    assert view(engine=str(noisy)).svg() == "<svg/>\n"
    assert capfd.readouterr() == ("", "")


def stand_in_for_pygraphviz(
    folder: Path, monkeypatch: pytest.MonkeyPatch, draw: str = "return b'<svg/>'"
) -> None:
    """A package pygraphviz whose import and layout write to the process's own stderr, as C libraries do."""
    package = folder / "pygraphviz"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import os\n"
        "os.write(2, b'warning of a library, at import\\n')\n"
        "class AGraph:\n"
        "    def __init__(self, string): self.string = string\n"
        "    def __enter__(self): return self\n"
        "    def __exit__(self, *error): pass\n"
        "    def draw(self, format, prog):\n"
        "        os.write(2, b'Fontconfig warning: unknown element\\n')\n"
        f"        {draw}\n"
    )
    for name in [name for name in sys.modules if name.split(".")[0] == "pygraphviz"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(str(folder))


def test_what_a_library_inside_pygraphviz_writes_to_stderr_is_dropped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in_for_pygraphviz(tmp_path, monkeypatch)
    assert view(engine="pygraphviz").svg() == "<svg/>"
    assert capfd.readouterr() == ("", "")


def test_an_error_inside_pygraphviz_is_passed_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    stand_in_for_pygraphviz(tmp_path, monkeypatch, "raise OSError('out of paper')")
    with pytest.raises(LayoutError, match=r"Graphviz in pygraphviz failed: [^$]*out of paper"):
        view(engine="pygraphviz").svg()
    assert capfd.readouterr() == ("", "")


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_every_engine_is_silent_in_every_format_and_in_threads(
    engine: str, capfd: pytest.CaptureFixture[str]
) -> None:
    one = view(engine=engine)
    with ThreadPoolExecutor(4) as pool:
        images = list(pool.map(lambda format: graphviz.render(one.source, format, engine), IMAGES * 2))
    assert all(images)
    assert capfd.readouterr() == ("", "")


IMAGES = ["svg", "png", "pdf"]
