"""The documentation pages: their examples run as shown, and the table of operations is up to date."""

from __future__ import annotations

import ast
import doctest
import importlib.util
import inspect
import re
import subprocess
import sys
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

import tinygrad_dl as tg
from tests import how_to
from tests.layout import ROOT
from tests.printed import Checker
from tests.test_doctests import FLAGS
from tinygrad_dl import data, nn

PAGES = sorted((ROOT / "docs").glob("*.md"))
HOW_TOS = sorted((ROOT / "docs" / "howto").glob("*.md"))
# Their programs are run by the tests that have the servers: tests/train/test_search_database.py, test_dask.py and
# test_mlflow.py.
SERVED = ("search-on-a-database", "cross-validate-on-a-cluster", "watch-training")
JAPANESE = sorted((ROOT / "docs" / "ja").rglob("*.md"))
# Sphinx runs these when the documentation is built.
TUTORIALS = sorted((ROOT / "docs").glob("tutorials/*.md")) + [
    p for p in JAPANESE if p.read_text(encoding="utf-8").startswith("---\njupytext:")
]


def require_safetensors(text: str) -> None:
    """Skip a page that saves weights if the extra for that is not installed."""
    if "save(" in text or "Checkpoint(" in text:
        pytest.importorskip("safetensors", reason="weights are safetensors files (extra train)")


def examples(page: Path) -> str:
    """The examples of a page, which is one session. Other lines become blank, so that line numbers are correct."""
    lines, inside = [], False
    for line in page.read_text(encoding="utf-8").splitlines():
        fence = line.startswith("```")
        inside = line == "```python" if fence and not inside else inside and not fence
        lines.append(line if inside and not fence else "")
    return "\n".join(lines) + "\n"


@pytest.mark.parametrize("page", [p for p in PAGES if ">>>" in examples(p)], ids=lambda p: p.stem)
def test_the_examples_of_a_page_give_the_output_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    require_safetensors(examples(page))
    monkeypatch.chdir(tmp_path)  # some write files
    test = doctest.DocTestParser().get_doctest(
        examples(page), {"__name__": "__main__"}, page.stem, str(page), 0
    )
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(Checker(), optionflags=FLAGS).run(test, out=said.append)
    assert not failed, "".join(said)


def script(name: str) -> Any:
    """A program of docs/ as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "docs" / f"{name}.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_the_table_of_operations_is_up_to_date() -> None:
    page = ROOT / "docs" / "ops.md"
    assert page.read_text(encoding="utf-8") == script("ops_table").text(), "make ops-table"


@pytest.mark.parametrize("language", ["en", "ja"])
def test_the_tables_of_names_are_up_to_date(language: str) -> None:
    table = script("coming_from")
    page = ROOT / "docs" / table.PAGES[language][0]
    assert page.read_text(encoding="utf-8") == table.text(language), "make names-table"


def test_each_translated_remark_is_one_of_the_table_of_names() -> None:
    table = script("coming_from")
    rows = [row for sections in table.TABLE.values() for rows in sections.values() for row in rows]
    titles = {title for sections in table.TABLE.values() for title in sections}
    known = {row.note for row in rows} | titles | {"here", "nothing", "the same"}
    assert set(table.PAGES["ja"][2]) <= known


def test_the_site_of_versions_lists_releases_newest_first(monkeypatch: pytest.MonkeyPatch) -> None:
    versions = script("versions")
    tags = versions.releases(["v0.9", "v0.10.0", "v1.0rc1", "start", "v0.2.1"])
    assert tags == ["v0.10.0", "v0.9", "v0.2.1"]
    monkeypatch.setenv("DOCS_URL", "https://example.org/docs")
    files = versions.index([*tags, "latest"])
    assert files["versions.js"] == 'window.VERSIONS = ["v0.10.0", "v0.9", "v0.2.1", "latest"];\n'
    assert "url=v0.10.0/index.html" in files["index.html"]
    assert files["robots.txt"].endswith("Sitemap: https://example.org/docs/v0.10.0/sitemap.xml\n")


@pytest.mark.parametrize("page", [p for p in HOW_TOS if p.stem not in SERVED], ids=lambda p: p.stem)
def test_the_programs_of_a_how_to_print_the_output_shown(
    page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if page.stem not in ("save-and-load", "compile"):
        pytest.importorskip("sklearn", reason="the data sets of the how-tos are scikit-learn's (extra data)")
    monkeypatch.chdir(tmp_path)  # they write files
    require_safetensors(page.read_text(encoding="utf-8"))
    how_to.run(page)


@pytest.mark.parametrize("page", TUTORIALS, ids=lambda p: f"{p.parent.name}/{p.stem}")
def test_a_tutorial_is_short_and_a_notebook(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert text.startswith("---\njupytext:") and "```{code-cell} ipython3\n" in text
    assert f"<{page.stem}.ipynb>`" in text, "link to the notebook"
    assert len(text.splitlines()) < 250


def test_each_tutorial_is_a_clean_notebook_in_each_language(tmp_path: Path) -> None:
    nbformat = pytest.importorskip("nbformat", reason="notebooks are nbformat's (extra docs)")
    pytest.importorskip("myst_nb", reason="it reads the tutorials (extra docs)")
    module = script("as_notebooks")
    written = module.write(tmp_path)
    assert len({path.name for path in written}) == len(TUTORIALS), "names of both languages differ"
    for path in written:
        notebook = nbformat.read(path, 4)
        nbformat.validate(notebook)
        text = "\n".join(cell.source for cell in notebook.cells if cell.cell_type == "markdown")
        assert text.startswith("# ") and not re.search(r"\{[a-z-]+\}`|^:::|^```\{", text, re.MULTILINE)
        assert "%pip install" in notebook.cells[1].source
        for cell in notebook.cells:
            if cell.cell_type == "code":
                ast.parse(re.sub(r"^( *)%.*", r"\1pass", cell.source, flags=re.MULTILINE))
        for target in re.findall(r"\]\((?!https?:)([^)#]+)", text):
            assert (tmp_path / target).exists(), target
    japanese = [path.name for path in written if path.name.endswith(".ja.ipynb")]
    assert len(japanese) == len([page for page in TUTORIALS if page.parent.name == "ja"])


@pytest.mark.parametrize(
    "page", [*PAGES, *HOW_TOS, *TUTORIALS, *JAPANESE], ids=lambda p: f"{p.parent.name}/{p.stem}"
)
def test_links_lead_to_pages(page: Path) -> None:
    targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
    assert [t for t in targets if not (page.parent / t).exists()] == []


@pytest.mark.parametrize("page", JAPANESE, ids=lambda p: p.stem)
def test_a_japanese_page_links_to_japanese_pages_where_there_are_any(page: Path) -> None:
    translated = {original(p): p for p in JAPANESE if p.stem != "index"}
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\[([^\]]*)\]\((?!https?:)([^)#]+\.md)[^)]*\)(\(英語\))?", text)
    for name, target, said in links:
        found = (page.parent / target).resolve()
        if found.is_relative_to(ROOT / "docs" / "ja"):
            assert not said, name
        else:
            assert said, f"{name}: say that the page is in English"
            assert found not in translated or translated[found] == page, name


def normal(program: str) -> str:
    """A program without its comments and texts, which a translation may change."""
    tree = ast.parse(re.sub(r"^%.*|;$", "", program, flags=re.MULTILINE))
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node.value = ""
        if isinstance(node, ast.JoinedStr):
            node.values = [v for v in node.values if isinstance(v, ast.FormattedValue)]
    return ast.dump(tree)


def original(page: Path) -> Path:
    """The English page of a Japanese one."""
    name = page.relative_to(ROOT / "docs" / "ja")
    found = [p for p in (ROOT / "docs" / "tutorials" / name, ROOT / "docs" / name) if p.exists()]
    return found[0]


@pytest.mark.parametrize("page", JAPANESE, ids=lambda p: p.stem)
def test_a_japanese_page_shows_the_programs_of_the_english_one(page: Path) -> None:
    fences = r"^```(?:python|\{code-cell\} ipython3)\n(.*?)^```"
    blocks = [
        re.findall(fences, p.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
        for p in (page, original(page))
    ]
    if ">>>" in "".join(blocks[0]):
        assert blocks[0] == blocks[1]
    else:
        assert [normal(b) for b in blocks[0]] == [normal(b) for b in blocks[1]]


def test_the_front_page_shows_the_programs_of_the_readme() -> None:
    block = r"```(?:python|text)\n.*?```"
    pages = [ROOT / "docs" / "index.md", ROOT / "README.md"]
    front, readme = (re.findall(block, p.read_text(encoding="utf-8"), flags=re.DOTALL) for p in pages)
    assert front == readme[:2]


def test_every_page_is_in_the_contents() -> None:
    index = (ROOT / "docs" / "index.md").read_text(encoding="utf-8")
    listed = set(re.findall(r"^([\w/-]+)$", index, flags=re.MULTILINE))
    docs = ROOT / "docs"
    pages = {
        p.relative_to(docs).with_suffix("").as_posix() for p in [*PAGES, *HOW_TOS, *TUTORIALS, *JAPANESE]
    }
    assert pages - {"index"} <= listed


def test_the_reference_lists_parameters_in_words() -> None:
    pytest.importorskip("sphinx", reason="the pages are made with Sphinx (extra docs)")
    table = script("parameters").table
    rows = {name: rest for name, *rest in table(nn.Conv2d)}
    assert list(rows) == list(inspect.signature(nn.Conv2d).parameters)
    assert rows["groups"][:2] == ["an int of at least 1", "1"] and "divided" in rows["groups"][2]
    assert rows["device"] == ["a string or None", "None", 'accepted as in PyTorch; "cpu" is the only device']
    # The same name in another part of the package is another thing.
    assert next(row for row in table(data.split) if row[0] == "groups")[3] == ""
    assert table(tg.exp) == [("x", "an array", "", "")]


def test_the_menu_of_versions_leads_to_the_same_page_of_another_version(browser: Any, tmp_path: Path) -> None:
    pytest.importorskip("furo", reason="the pages' theme is furo (extra docs)")
    source = tmp_path / "source"
    source.mkdir()
    (source / "conf.py").write_text(
        f"html_theme = 'furo'\ntemplates_path = [{str(ROOT / 'docs' / '_templates')!r}]\n"
        f"html_static_path = [{str(ROOT / 'docs' / '_static')!r}]\nhtml_js_files = ['pages.js']\n",
        encoding="utf-8",
    )
    (source / "index.rst").write_text("Front\n=====\n\n.. toctree::\n\n   other\n", encoding="utf-8")
    (source / "other.rst").write_text("Other\n=====\n", encoding="utf-8")
    for version in ("latest", "v1.0"):
        subprocess.run(
            [sys.executable, "-m", "sphinx", "-q", "-b", "html", "-A", f"docs_version={version}"]
            + [str(source), str(tmp_path / "site" / version)],
            check=True,
        )
    (tmp_path / "site" / "v1.0" / "other.html").unlink()
    for name, text in script("versions").index(["v1.0", "latest"]).items():
        (tmp_path / "site" / name).write_text(text, encoding="utf-8")
    handler = partial(Quiet, directory=str(tmp_path / "site"))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        root = f"http://127.0.0.1:{server.server_port}"
        page = browser.new_page()
        page.goto(f"{root}/index.html")
        page.wait_for_url(f"{root}/v1.0/index.html")
        menu = page.locator(".versions select")
        assert menu.locator("option").all_inner_texts() == ["v1.0", "latest"] and menu.input_value() == "v1.0"
        menu.select_option("latest")
        page.wait_for_url(f"{root}/latest/index.html")
        page.goto(f"{root}/latest/other.html")
        page.locator(".versions select").select_option("v1.0")  # which has no such page
        page.wait_for_url(f"{root}/v1.0/index.html")
        page.close()
        server.shutdown()


class Quiet(SimpleHTTPRequestHandler):
    """A server of files that writes no log."""

    def log_message(self, format: str, *args: object) -> None:
        pass
