"""Pictures that a browser takes: the card that other sites show of a page, and the player's picture in the gallery.

`python docs/screenshots.py` writes docs/_static/card.png and docs/images/player.png. It needs playwright and Chromium.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from playwright.sync_api import sync_playwright

DOCS = Path(__file__).resolve().parent

CARD = """<!DOCTYPE html><meta charset="utf-8"><style>
body { margin: 0; width: 1200px; height: 630px; display: flex; align-items: center; background: #fff;
  font-family: "Liberation Sans", Arial, sans-serif; color: #14181b; color-scheme: light; }
div { padding: 0 30px 0 70px; flex: 1; }
h1 { font-size: 68px; margin: 0 0 24px; }
p { font-size: 32px; line-height: 1.35; margin: 0; color: #4a545c; }
img { height: 580px; padding-right: 40px; }
</style><div><h1>tinygrad_dl</h1><p>Deep learning in pure Python over NumPy: autograd, PyTorch's modules and optimizers,
diagrams of every graph, and a kit for testing gradients</p></div>
<img src="%s">"""


def main() -> None:
    program = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as engine:
        browser = engine.chromium.launch(executable_path=program, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1200, "height": 630})
        at = DOCS / "_static" / "card.html"  # a page of its own may show pictures of this folder
        at.write_text(CARD % (DOCS / "images" / "graph.svg").as_uri(), encoding="utf-8")
        try:
            page.goto(at.as_uri())
            page.screenshot(path=DOCS / "_static" / "card.png")
        finally:
            at.unlink()
        page.set_viewport_size({"width": 720, "height": 520})
        page.goto((DOCS / "gallery" / "player.html").as_uri() + "#step=6")
        page.wait_for_selector("body[data-ready='1']")
        page.screenshot(path=DOCS / "images" / "player.png")
        browser.close()


if __name__ == "__main__":
    main()
