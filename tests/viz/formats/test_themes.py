"""Pictures can be read on light and on dark pages, and at the width where they are shown."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.colors import COLORS
from tests.layout import ROOT
from tinygrad_dl import Tensor, nn, viz
from tinygrad_dl.viz.formats import colors, themes
from tinygrad_dl.viz.formats.graphviz import available

PICTURES = sorted([*(ROOT / "docs" / "gallery").glob("*.svg"), *(ROOT / "docs" / "images").glob("*.svg")])
PAGES = {"light": "#ffffff", "dark": "#0d1117"}  # GitHub's and the theme's backgrounds

# The contrast of each text with what is behind it: filled shapes in the order in which they are painted.
MEASURE = (
    "(page) => {"
    + COLORS
    + """
  const hex = (color) => [1, 3, 5].map((i) => parseInt(color.slice(i, i + 2), 16)).concat(1);
  const shapes = [...document.querySelectorAll("path,polygon,ellipse,rect,polyline")]
    .filter((shape) => !shape.closest("defs"));
  const found = [];
  for (const text of document.querySelectorAll("text")) {
    if (!text.textContent.trim()) continue;
    const box = text.getBoundingClientRect();
    let back = hex(page);
    for (const shape of shapes) {
      const fill = getComputedStyle(shape).fill;
      if (fill === "none" || !(shape.compareDocumentPosition(text) & Node.DOCUMENT_POSITION_FOLLOWING)) continue;
      const color = parse(fill);
      color[3] *= Number(getComputedStyle(shape).fillOpacity);
      const point = new DOMPoint(box.x + box.width / 2, box.y + box.height / 2);
      if (shape.isPointInFill(point.matrixTransform(shape.getScreenCTM().inverse()))) back = over(color, back);
    }
    const matrix = text.getScreenCTM();
    found.push([text.textContent, contrast(parse(getComputedStyle(text).fill), back),
      parseFloat(getComputedStyle(text).fontSize) * Math.hypot(matrix.a, matrix.b)]);
  }
  return found;
}"""
)


def texts(browser: Any, path: Path, scheme: str) -> list[tuple[str, float, float]]:
    """Each text of a picture, its contrast and its size in pixels, as the browser shows it."""
    page = browser.new_page(color_scheme=scheme)
    page.goto(path.as_uri())
    found = page.evaluate(MEASURE, PAGES[scheme])
    page.close()
    return [(text, contrast, size) for text, contrast, size in found]


@pytest.mark.parametrize("scheme", PAGES)
@pytest.mark.parametrize("picture", PICTURES, ids=lambda path: path.stem)
def test_every_picture_of_the_docs_can_be_read_on_light_and_dark_pages(
    browser: Any, picture: Path, scheme: str
) -> None:
    found = texts(browser, picture, scheme)
    assert [text for text, contrast, _ in found if contrast < 4.5] == []
    assert [text for text, _, size in found if size < 11] == []
    assert "prefers-color-scheme" in picture.read_text(encoding="utf-8")


@pytest.mark.skipif(not available(), reason="no layout engine")
@pytest.mark.parametrize("scheme", PAGES)
@pytest.mark.parametrize("color", [None, "grad", "gain", "nan"])
def test_every_drawing_can_be_read_on_light_and_dark_pages(
    browser: Any, tmp_path: Path, color: str | None, scheme: str
) -> None:
    x, y = np.ones((4, 2), "float32"), np.zeros((4, 1), "float32")
    model = nn.Sequential(nn.Linear(2, 3), nn.Tanh(), nn.Linear(3, 1))
    with np.errstate(all="ignore"):
        loss = nn.MSELoss()(model(x), y) * 2 + (model[0].weight - 1e9).log().sum()
        path = viz.draw(loss, model, color=color, show=("shape", "grad", "rule")).save(tmp_path / "x.svg")  # type: ignore[arg-type]
    assert [text for text, contrast, _ in texts(browser, path, scheme) if contrast < 4.5] == []


def test_each_color_of_a_box_has_one_for_dark_pages() -> None:
    fills = {fill for fill, *_ in colors.KINDS.values()} | {fill for fill, _ in colors.STATUS.values()}
    assert fills - {"none"} <= set(themes.DARK_FILLS)
    borders = {border for _, border, *_ in colors.KINDS.values()} | {
        border for _, border in colors.STATUS.values()
    }
    assert borders | {colors.OUTPUT_BORDER} <= set(themes.DARK_LINES)
    for light, dark in themes.DARK_FILLS.items():
        assert (
            colors.contrast(themes.TEXT, light) > 4.5 < colors.contrast(themes.DARK_TEXT[themes.TEXT], dark)
        )
    for fill in (*colors.SEQUENTIAL, *colors.DIVERGING):
        text = "#ffffff" if colors.dark(fill) else themes.TEXT
        assert colors.contrast(text, fill) > 4.5


@pytest.mark.skipif(not available(), reason="no layout engine")
def test_a_notebook_shows_a_picture_in_the_colors_of_its_theme() -> None:
    x = Tensor(3.0, requires_grad=True, name="<x>")
    bundle = viz.draw(x * x + 1)._repr_mimebundle_()
    page = bundle["text/html"]
    assert "<style" not in page, "it would apply to the whole page"
    assert "<a" not in page, "links have the page's color of links"
    assert "currentColor" in page and "overflow-x:auto" in page and "&lt;x&gt;" in page
    assert not re.search(r"<text(?![^>]*fill=)", page), "black is not readable everywhere"
    wide = viz.draw(sum((x * i for i in range(9)), x), direction="LR")._repr_mimebundle_()
    assert "scroll sideways" in wide["text/html"] and "scroll sideways" not in page
