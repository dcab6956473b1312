"""GraphView: saving, and showing itself in notebooks and browsers."""

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
from tinygrad_dl.errors import GraphError, ValueRangeError
from tinygrad_dl.viz.formats import graphviz

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
def test_without_an_engine_a_notebook_shows_text_and_a_hint() -> None:
    bundle = view()._repr_mimebundle_()
    assert set(bundle) == {"text/plain"}
    assert bundle["text/plain"].endswith("(no layout engine: .show() lays the graph out in the browser)")


def test_an_ending_that_is_not_a_format_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueRangeError) as caught:
        view().save(tmp_path / "graph.jpg")
    assert str(caught.value) == (
        "save: expected a path that ends in one of .svg, .png, .pdf, .dot, .json, .html, .txt, .mmd, got 'graph.jpg'"
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
    with pytest.raises(AttributeError, match=r"^tg\.drawing: there is no such name"):
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
