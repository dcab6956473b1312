"""Sphinx settings. `make docs` builds with warnings as errors."""

from __future__ import annotations

import logging
import os
import re
import sys
import tempfile
from collections.abc import Collection
from pathlib import Path
from typing import Any
from urllib.parse import quote

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "docs")]

import as_notebooks  # noqa: E402
import docstrings  # noqa: E402  docs/docstrings.py, found by the line above
import recorded  # noqa: E402
import reference  # noqa: E402
import words  # noqa: E402
from docutils import nodes  # noqa: E402
from docutils.parsers.rst import Directive  # noqa: E402
from sphinx.search import languages  # noqa: E402

import tinygrad_dl  # noqa: E402

project = "tinygrad_dl"
author = "The tinygrad_dl authors"
copyright = "2026, " + author
version = release = tinygrad_dl.__version__

extensions = [
    "myst_nb",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinxext.opengraph",
    "mathml",
]
viewcode_follow_imported_members = True
myst_enable_extensions = ["colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3
exclude_patterns = ["_build"]
templates_path = ["_templates"]
root_doc = "index"

# Tutorials are notebooks in Markdown: each build runs them, and an error in one ends it.
os.environ["PYTHONPATH"] = str(ROOT)  # this checkout, not what may be installed
# An IPython without the user's startup files, whose kernel does not warn about local connections.
os.environ["IPYTHONDIR"] = tempfile.mkdtemp()
profile = Path(os.environ["IPYTHONDIR"], "profile_default", "ipython_kernel_config.py")
profile.parent.mkdir()
profile.write_text("c.IPKernelApp.log_level = 40\nc.InlineBackend.figure_formats = ['retina']\n")
logging.getLogger("traitlets").setLevel(logging.WARNING)
nb_execution_mode = "force"
nb_execution_in_temp = True  # what they save is discarded
nb_execution_raise_on_error = True
nb_execution_timeout = 120  # seconds per cell
nb_merge_streams = True

smartquotes = False  # three dots and two hyphens are literal in formulas
autodoc_member_order = "bysource"
autodoc_inherit_docstrings = False  # an override without a docstring of its own is not listed
autodoc_typehints = "none"  # the docstring names the shapes, which says more than Any
autodoc_default_options = {"members": True}

html_theme = "furo"
html_math_renderer = "mathml"
html_title = f"tinygrad_dl {version}"
html_copy_source = False
html_search_language = "en"
languages["en"] = words.SearchWords
html_static_path = ["_static"]
html_css_files = ["pages.css"]
html_js_files = ["copy.js", "pages.js"]
html_extra_path = ["gallery/player.html"]  # the gallery shows it in a frame

# Where the site is published, for the sitemap and the cards that other sites show of its pages.
html_baseurl = os.environ.get("DOCS_URL", "")
ogp_site_url = (html_baseurl or "http://localhost:8000").rstrip("/") + "/"
ogp_image = "_static/card.png"
ogp_image_alt = "A graph of a training step, and the name tinygrad_dl"
ogp_custom_meta_tags = ['<meta name="twitter:card" content="summary_large_image" />']


def operations_once(app: Any, what: str, name: str, obj: Any, skip: bool, options: Any) -> bool | None:
    """Leave the operations out of Tensor's page: they have a page of their own."""
    return True if what == "class" and hasattr(obj, "op") else None


# The theme's words on Japanese pages.
WORDS = {
    "Next": "次へ",
    "Previous": "前へ",
    "On this page": "このページの内容",
    "Contents": "目次",
    "Search": "検索",
    "Version": "バージョン",
    "Back to top": "ページの先頭へ",
    "Home": "ホーム",
    "Skip to content": "本文へ移動",
    "Hide navigation sidebar": "ナビゲーションを隠す",
    "Hide table of contents sidebar": "目次を隠す",
    "Toggle site navigation sidebar": "ナビゲーションの表示を切り替える",
    "Toggle table of contents sidebar": "目次の表示を切り替える",
    "Toggle Light / Dark / Auto color theme": "ライト/ダーク/自動の配色を切り替える",
}


def translations(pages: Collection[str]) -> dict[str, str]:
    """Each page that is there in both languages -> the other one. Tutorials in Japanese are not in a folder."""
    found = {}
    for page in pages:
        if page.startswith("ja/"):
            name = page.removeprefix("ja/")
            english = f"tutorials/{name}" if f"tutorials/{name}" in pages else name
            found.update({page: english, english: page})
    return found


def language_of(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Japanese pages say so, have the theme's words in Japanese, and link to the page in English, and the reverse.

    A page that is there in English only links to the Japanese front page. Browsers choose the Japanese forms of
    characters by the language. The previous and the next page are of the same language.
    """
    is_japanese = page.startswith("ja/")
    if is_japanese:

        def japanese(text: str, **values: Any) -> str:
            return WORDS.get(text, text) % values if values else WORDS.get(text, text)

        context.update({"language": "ja", "_": japanese, "gettext": japanese})
    _, before, after = app.env.collect_relations().get(page, (None, None, None))
    for key, neighbor in (("prev", before), ("next", after)):
        if neighbor is not None and neighbor.startswith("ja/") != is_japanese:
            context[key] = None
    # The pages of single classes and functions are in no table of contents.
    for key, neighbor in zip(("prev", "next"), reference.neighbors().get(page, ("", ""))):
        if neighbor in app.env.titles:
            context[key] = {"link": context["pathto"](neighbor), "title": app.env.titles[neighbor].astext()}
    other = translations(app.env.all_docs).get(page, "ja/index")
    if context.get("body"):
        code, text = ("en", "English") if is_japanese else ("ja", "日本語")
        link = f'<a href="{context["pathto"](other)}" hreflang="{code}" lang="{code}">{text}</a>'
        context["body"] = f'<p class="language">{link}</p>\n{context["body"]}'


class Thumbnails(Directive):
    """The place of small copies of a page's plots, which lead to their sections."""

    def run(self) -> list[nodes.Node]:
        return [nodes.raw("", '<div class="thumbnails plots"></div>', format="html")]


def plots_of(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Say in words what the plots of notebooks are, and fill the place of their thumbnails."""
    body = context.get("body") or ""
    words = "上のコードで描いた図" if page.startswith("ja/") else "Plot made by the code above"
    context["body"] = re.sub(r'(<img alt=")[^"]*_images/[^"]*"', rf'\1{words}"', body)
    place = '<div class="thumbnails plots"></div>'
    if place not in body:
        return
    links = ""
    for name, title, section in re.findall(
        r'<section id="([\w-]+)">\s*<h2>(.*?)<a class="headerlink.*?</h2>(.*?)</section>', body, re.DOTALL
    ):
        if found := re.search(r'<img [^>]*src="([^"]*)"', section):
            links += f'<a href="#{name}"><img alt="" src="{found[1]}" />{title}</a>\n'
    filled = f'<div class="thumbnails plots"><p>{links}</p></div>'
    context["body"] = context["body"].replace(place, filled)


def japanese_first(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """The table of contents of a Japanese page begins with the Japanese pages."""
    tree = context.get("furo_navigation_tree", "")
    if page.startswith("ja/") and tree:
        start, *parts = re.split(r'(?=<p class="caption")', tree)
        parts.sort(key=lambda part: "日本語</span>" not in part)
        context["furo_navigation_tree"] = "".join([start, *parts])


def notebook_link(
    name: str, rawtext: str, text: str, line: int, inliner: Any, options: Any = None, content: Any = ()
) -> tuple[list[Any], list[Any]]:
    """The role nb-download: a link to the page's notebook as docs/as_notebooks.py makes it."""
    page = Path(inliner.document.current_source)
    target = f"../notebooks/{as_notebooks.name_of(page)}"
    title = text.partition(" <")[0]
    return [nodes.reference(rawtext, title, refuri=target, classes=["download"])], []


def write_beside(app: Any, error: Exception | None) -> None:
    """Write the notebooks, the recorded experiments, and what search engines read first."""
    if error is None and app.builder.format == "html":
        as_notebooks.write(Path(app.outdir, "notebooks"), Path(app.outdir))
        recorded.write(Path(app.outdir, "recorded"))
        addresses = [
            ogp_site_url + quote(app.builder.get_target_uri(page)) for page in sorted(app.env.all_docs)
        ]
        listed = "".join(f"<url><loc>{address}</loc></url>\n" for address in addresses)
        Path(app.outdir, "sitemap.xml").write_text(
            '<?xml version="1.0" encoding="utf-8"?>\n'
            f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{listed}</urlset>\n',
            encoding="utf-8",
        )
        Path(app.outdir, "robots.txt").write_text(
            f"User-agent: *\nAllow: /\nSitemap: {ogp_site_url}sitemap.xml\n", encoding="utf-8"
        )


def setup(app: Any) -> None:
    # After the extension that defines the role.
    app.connect(
        "config-inited", lambda app, config: app.add_role("nb-download", notebook_link, override=True)
    )
    app.connect("build-finished", write_beside)
    app.connect("html-page-context", plots_of)
    app.connect("html-page-context", language_of)
    app.add_directive("thumbnails", Thumbnails)
    app.connect("html-page-context", japanese_first, priority=900)  # after the theme has made it
    app.connect("autodoc-skip-member", operations_once)
    app.connect("autodoc-process-docstring", docstrings.as_rst)
    app.add_directive("reference", reference.Reference)
    app.add_directive("recordings", recorded.Recordings)
    app.connect("builder-inited", lambda app: reference.write())
