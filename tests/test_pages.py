"""The built documentation in a browser, where `make docs` has been run before: widths, contrast, links, search."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import pytest

from tests.colors import COLORS
from tests.layout import ROOT

BUILT = ROOT / "docs" / "_build" / "html"
pytestmark = pytest.mark.skipif(not (BUILT / "index.html").exists(), reason="make docs has not been run")

# Pages whose source is in docs/, and those of single classes and functions.
PAGES = sorted(
    path
    for path in BUILT.rglob("*.html")
    if not path.is_relative_to(BUILT / "_static")
    and path.name not in ("genindex.html", "search.html", "player.html", "py-modindex.html")
    and not path.is_relative_to(BUILT / "api" / "reference")
)
ONES = sorted((BUILT / "api" / "reference").glob("*.html")) if BUILT.exists() else []
LOOKED_AT = [
    "index",
    "tutorials/one-neuron",
    "tutorials/cnn",
    "api/nn",
    "gallery",
    "sharp-bits",
    "ja/index",
    "ops",
]
WIDTHS = {"desktop": 1400, "phone": 400}

# The texts whose contrast with the nearest background behind them is below 4.5, of what can be seen.
FAINT = (
    "() => {"
    + COLORS
    + """
  const behind = (element) => {
    const layers = [];
    for (let e = element; e; e = e.parentElement) layers.push(parse(getComputedStyle(e).backgroundColor));
    return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255, 1]);
  };
  const found = [];
  const walker = document.createTreeWalker(document.querySelector("article"), NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const text = walker.currentNode.textContent.trim(), element = walker.currentNode.parentElement;
    if (!text || element.closest("svg, script, style, .headerlink, button")) continue;
    const style = getComputedStyle(element);
    if (style.visibility !== "visible" || !element.getClientRects().length) continue;
    const back = behind(element), ink = parse(style.color);
    ink[3] *= Number(style.opacity);
    const ratio = contrast(ink, back);
    if (ratio < 4.5) found.push(`${text.slice(0, 40)}: ${ratio.toFixed(1)}`);
  }
  return found;
}"""
)


@pytest.mark.parametrize("width", WIDTHS)
def test_no_page_is_wider_than_the_window(browser: Any, width: str) -> None:
    page = browser.new_page(viewport={"width": WIDTHS[width], "height": 800})
    wide = []
    # A phone is where pages are too wide.
    for path in [*PAGES, *ONES[::20]] if width == "phone" else [BUILT / f"{name}.html" for name in LOOKED_AT]:
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        if page.evaluate("document.documentElement.scrollWidth") > WIDTHS[width]:
            wide.append(str(path.relative_to(BUILT)))
    assert wide == []


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("name", LOOKED_AT)
def test_text_can_be_read_in_both_schemes(browser: Any, name: str, scheme: str) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900}, color_scheme=scheme)
    page.goto((BUILT / f"{name}.html").as_uri())
    assert page.evaluate(FAINT) == []
    page.close()


def test_pages_of_the_reference_are_short(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    long = {}
    for path in [*sorted((BUILT / "api").glob("*.html")), *ONES[::12]]:
        page.goto(path.as_uri(), wait_until="domcontentloaded")
        height = page.evaluate("document.querySelector('article').scrollHeight")
        if height > 5000:
            long[str(path.relative_to(BUILT))] = height
    # Two tables with a line for each of some 200 names
    assert set(long) <= {"api/operations.html", "api/nn.html"}, long


class Links(HTMLParser):
    """The targets and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.targets: list[str] = []
        self.anchors: set[str] = {""}
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            if name in ("href", "src") and value and tag in ("a", "img", "script", "iframe", "link"):
                self.targets.append(value)
            if name == "id" and value:
                self.anchors.add(value)


def test_every_link_leads_to_a_page_and_a_place_that_are_there() -> None:
    read = {path: Links(path) for path in [*PAGES, *ONES]}
    dead = []
    for path, found in read.items():
        for target in found.targets:
            if re.match(r"[a-z]+:|//", target):
                continue
            name, _, anchor = target.partition("#")
            name = unquote(name.partition("?")[0])
            to = (path.parent / name).resolve() if name else path
            if not to.exists() or (to in read and unquote(anchor) not in read[to].anchors):
                dead.append(f"{path.relative_to(BUILT)}: {target}")
    assert dead == []


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("confusion matrix", "viz"),
        ("seed", "faq"),
        ("export", "onnx"),
        ("install", "install"),
        ("勾配", "ja/"),
        ("誤差逆伝播", "ja/"),
    ],
)
def test_the_search_finds_words_of_the_text_in_a_file(browser: Any, words: str, page: str) -> None:
    shown = browser.new_page()
    faults: list[str] = []
    shown.on("console", lambda m: faults.append(m.text) if m.type == "error" else None)
    shown.goto(f"{(BUILT / 'search.html').as_uri()}?q={quote(words)}")
    shown.wait_for_selector("#search-results li", timeout=60_000)
    shown.wait_for_function("() => /[0-9]/.test(document.querySelector('#search-results p').textContent)")
    found = shown.locator("#search-results li a").evaluate_all("all => all.map(a => a.getAttribute('href'))")
    assert any(page in href for href in found), found[:20]
    assert faults == []
    shown.close()
