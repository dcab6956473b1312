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
    and not path.is_relative_to(BUILT / "_modules")
    and not path.is_relative_to(
        BUILT / "recorded"
    )  # shown in a frame, in the language that its address ends with
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
    "ja/coming-from",
    "ops",
    "api/reference/nn-convolution-names",
    "api/reference/nn-Conv2d-class",
    "api/reference/viz-draw-function",
]
WIDTHS = {"desktop": 1400, "phone": 400}

# The texts whose contrast with the nearest background behind them is below 4.5, of what can be seen.
FAINT = (
    "() => {"
    + COLORS
    + """
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
    assert long == {}


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


def head(name: str) -> dict[str, str]:
    """The properties of a page that other sites read: og:title and the like."""
    text = (BUILT / f"{name}.html").read_text(encoding="utf-8")
    return dict(re.findall(r'<meta (?:property|name)="([\w:]+)" content="([^"]*)"', text))


@pytest.mark.parametrize("name", ["index", "tutorials/cnn", "ja/sharp-bits", "api/reference/nn-Conv2d-class"])
def test_other_sites_can_show_a_card_of_a_page(name: str) -> None:
    found = head(name)
    assert found["og:title"] and found["og:description"] and found["twitter:card"] == "summary_large_image"
    picture = found["og:image"].partition("/_static/")[2]
    assert found["og:image"].startswith("http") and (BUILT / "_static" / picture).stat().st_size > 10_000


def test_search_engines_find_every_page() -> None:
    listed = re.findall(r"<loc>([^<]+)</loc>", (BUILT / "sitemap.xml").read_text(encoding="utf-8"))
    robots = (BUILT / "robots.txt").read_text(encoding="utf-8")
    (where,) = re.findall(r"^Sitemap: (.+)$", robots, re.MULTILINE)
    root = where.removesuffix("sitemap.xml")
    assert {path.relative_to(BUILT).as_posix() for path in [*PAGES, *ONES]} == {
        unquote(address.removeprefix(root)) for address in listed
    }


def test_one_can_go_through_the_reference_page_by_page() -> None:
    ends = []
    for path in ONES:
        text = path.read_text(encoding="utf-8")
        found = [bool(re.search(f'class="{name}-page" href="[^#"]', text)) for name in ("prev", "next")]
        if found != [True, True]:
            ends.append((path.name, found))
    # The last page of each hub leads nowhere.
    hubs = list((BUILT / "api").glob("*.html"))
    assert all(found == [True, False] for _, found in ends) and len(ends) <= len(hubs), ends


def test_pages_of_the_reference_lead_to_the_source() -> None:
    without = [
        path.name
        for path in ONES
        if "-names" not in path.name and "_modules/" not in path.read_text(encoding="utf-8")
    ]
    assert len(without) < len(ONES) / 20, without


def test_every_page_leads_to_the_other_language() -> None:
    for path in PAGES:
        code = "en" if path.is_relative_to(BUILT / "ja") else "ja"
        assert f'hreflang="{code}"' in path.read_text(encoding="utf-8"), path
        for name in ("prev", "next"):
            found = re.search(f'class="{name}-page" href="([^"]+)"', path.read_text(encoding="utf-8"))
            if found:
                to = (path.parent / found[1].partition("#")[0]).resolve()
                assert to.is_relative_to(BUILT / "ja") == path.is_relative_to(BUILT / "ja"), (path, found[1])


def test_the_contents_of_a_japanese_page_begin_with_japanese_pages() -> None:
    for name, first in (("ja/one-neuron", "日本語"), ("index", "Getting started")):
        text = (BUILT / f"{name}.html").read_text(encoding="utf-8")
        assert re.findall(r'class="caption-text">([^<]+)', text)[0] == first


def test_the_gallery_begins_with_thumbnails_that_lead_to_the_pictures(browser: Any) -> None:
    page = browser.new_page(viewport={"width": 1400, "height": 900})
    page.goto((BUILT / "gallery.html").as_uri())
    sizes = page.locator(".thumbnails img").evaluate_all(
        "all => all.map(i => [i.clientWidth, i.clientHeight])"
    )
    assert len(sizes) == 11 and all(60 < width < 300 and 60 < height < 200 for width, height in sizes)
    assert page.locator(".thumbnails a").first.get_attribute("href") == "#the-chain-rule-edge-by-edge"
    page.close()


def test_programs_have_a_button_that_copies_them(browser: Any) -> None:
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    page = context.new_page()
    page.goto((BUILT / "install.html").as_uri())
    block = page.locator("div.highlight-python").first
    block.hover()
    block.locator("button.copy").click()
    page.wait_for_function(
        "() => document.querySelector('div.highlight-python button.copy').textContent === 'Copied'"
    )
    copied = page.evaluate("navigator.clipboard.readText()")
    assert copied.startswith("import tinygrad_dl as tg\n") and ">>>" not in copied
    context.close()
