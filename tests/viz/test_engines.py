"""Layout engines: which one is taken, what is said when there is none, and what works all the same."""

from __future__ import annotations

import builtins
import sys
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from urllib.parse import urlparse
from urllib.request import url2pathname

import pytest

from tests.leaves import leaf
from tinygrad_dl import viz
from tinygrad_dl.errors import GraphError, MissingExtraError, ValueRangeError
from tinygrad_dl.viz import LayoutError, layout

ENGINES = layout.available()
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
    monkeypatch.delenv(layout.VARIABLE, raising=False)
    monkeypatch.setattr(builtins, "__import__", guarded)
    monkeypatch.setattr(layout.importlib.util, "find_spec", lambda name: None)


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("format", ["svg", "png", "pdf"])
def test_without_an_engine_pictures_say_what_is_missing_and_three_ways_out(
    format: str, tmp_path: Path
) -> None:
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
def test_without_an_engine_a_notebook_shows_text_and_a_hint() -> None:
    bundle = view()._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert bundle["text/plain"].endswith("(no layout engine: .show() lays the graph out in the browser)")


@pytest.mark.usefixtures("no_engine")
@pytest.mark.parametrize("engine", ["dot", "pygraphviz"])
def test_an_engine_that_was_asked_for_and_is_absent_is_an_error(engine: str) -> None:
    with pytest.raises(LayoutError, match="Three ways out"):
        view(engine=engine).svg()


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_each_engine_makes_each_picture(engine: str, tmp_path: Path) -> None:
    starts = {"svg": b"<?xml", "png": b"\x89PNG", "pdf": b"%PDF"}
    for format, start in starts.items():
        path = view(engine=engine).save(tmp_path / "sub" / f"graph.{format}")
        assert path.read_bytes().startswith(start)


@needs_engine
@pytest.mark.parametrize("engine", ENGINES)
def test_the_ids_of_the_picture_are_ids_in_the_svg(engine: str) -> None:
    one = view(engine=engine)
    svg = one.svg()
    for id in [node.id for node in one.picture.nodes] + [edge.id for edge in one.picture.edges]:
        assert svg.count(f'id="{id}"') == 1


@needs_engine
def test_the_environment_names_the_engine_and_the_argument_goes_first(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(layout.VARIABLE, "nothing")
    with pytest.raises(
        ValueRangeError, match="engine: 'dot' or 'pygraphviz' or a path to dot is needed; 'nothing'"
    ):
        view().svg()
    assert view(engine=ENGINES[0]).svg()


def test_a_path_to_dot_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="there is no program"):
        view(engine=str(tmp_path / "dot")).svg()


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_a_layout_that_takes_too_long_is_given_up(tmp_path: Path) -> None:
    slow = tmp_path / "dot"
    slow.write_text("#!/bin/sh\nexec sleep 30\n")
    slow.chmod(0o755)
    with pytest.raises(LayoutError, match=r"did not finish the layout in 0\.2 s\. Fold the graph"):
        layout.render("digraph {}", "svg", str(slow), timeout=0.2)


@pytest.mark.skipif(sys.platform == "win32", reason="the stand-in for dot is a shell script")
def test_what_graphviz_says_when_it_fails_is_passed_on(tmp_path: Path) -> None:
    broken = tmp_path / "dot"
    broken.write_text("#!/bin/sh\necho 'out of paper' >&2\nexit 3\n")
    broken.chmod(0o755)
    with pytest.raises(LayoutError, match="Graphviz failed: out of paper"):
        view(engine=str(broken)).svg()
    bundle = view(engine=str(broken))._repr_mimebundle_()
    assert "out of paper" in bundle["text/plain"] and "image/svg+xml" not in bundle


def test_an_ending_that_is_no_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueRangeError) as caught:
        view().save(tmp_path / "graph.jpg")
    assert str(caught.value) == (
        "save: the path must end in one of .svg, .png, .pdf, .dot, .json, .html, .txt, .mmd; 'graph.jpg' came"
    )


@needs_engine
def test_a_notebook_shows_svg() -> None:
    bundle = view()._repr_mimebundle_()
    assert "<svg" in bundle["image/svg+xml"] and bundle["text/plain"].startswith("n0 leaf")


def test_what_a_notebook_keeps_is_bounded() -> None:
    y = leaf(1.0)
    for i in range(3000):
        y = y + i
    bundle = viz.draw(y, max_nodes=10_000)._repr_mimebundle_()
    assert sum(map(len, bundle.values())) < 20_000


def test_draw_is_found_under_the_package() -> None:
    import tinygrad_dl as tg

    assert tg.draw is viz.draw and tg.viz is viz
    with pytest.raises(AttributeError, match="no attribute 'drawing'"):
        tg.drawing  # noqa: B018


class Shown:
    """Stands in for IPython: collects what would be displayed."""

    def __init__(self, kernel: bool) -> None:
        self.shown: list[str] = []
        self.kernel = kernel

    def modules(self) -> dict[str, Any]:
        shell = SimpleNamespace(kernel=object()) if self.kernel else SimpleNamespace()
        ipython = ModuleType("IPython")
        ipython.get_ipython = lambda: shell  # type: ignore[attr-defined]
        screen = ModuleType("IPython.display")
        screen.HTML = lambda text: text  # type: ignore[attr-defined]
        screen.display = self.shown.append  # type: ignore[attr-defined]
        return {"IPython": ipython, "IPython.display": screen}


def test_in_a_notebook_show_puts_a_sandboxed_frame_below_the_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    notebook = Shown(kernel=True)
    for name, module in notebook.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    view().show()
    (frame,) = notebook.shown
    assert 'sandbox="allow-scripts"' in frame and frame.count("<") == 2 and "srcdoc=" in frame


def test_elsewhere_show_opens_a_browser_or_says_where_the_page_is(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal, opened = Shown(kernel=False), []
    for name, module in terminal.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("webbrowser.open", lambda uri: opened.append(uri) or True)
    view().show()
    path = Path(url2pathname(urlparse(opened[0]).path))
    assert "<title>Graph of sum</title>" in path.read_text(encoding="utf-8") and terminal.shown == []
    path.unlink()
    monkeypatch.setattr("webbrowser.open", lambda uri: False)
    with pytest.raises(GraphError, match=r"no browser could be opened\. The page is .*\.html;") as caught:
        view().show()
    Path(str(caught.value).partition("The page is ")[2].partition(";")[0]).unlink()
