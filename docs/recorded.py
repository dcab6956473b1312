"""The playground's experiments as recordings: the documentation's build trains each and writes a page for it."""

from __future__ import annotations

import html
from pathlib import Path
from typing import Any

from docutils import nodes
from docutils.parsers.rst import Directive

from tinygrad_dl.playground.presets import PRESETS
from tinygrad_dl.playground.recording import page

FIRST = "flower"
MOST = 400_000  # bytes of a page
TITLE = {"en": "A recorded experiment of the playground", "ja": "プレイグラウンドの実験の記録"}


def write(folder: Path) -> None:
    """Write the page of each experiment."""
    folder.mkdir(exist_ok=True)
    for preset in PRESETS:
        data = page(preset).encode()
        if len(data) > MOST:
            raise ValueError(f"recorded/{preset.name}.html: expected at most {MOST} bytes, got {len(data)}")
        (folder / f"{preset.name}.html").write_bytes(data)


class Recordings(Directive):
    """`{recordings}`: a frame with one recording, and links that show the others in it."""

    def run(self) -> list[Any]:
        language = "ja" if Path(self.state.document.current_source).parent.name == "ja" else "en"
        root = "../recorded" if language == "ja" else "recorded"

        def address(name: str) -> str:
            return f"{root}/{name}.html#{language}"

        links = " · ".join(
            f'<a href="{address(p.name)}" target="recording">{html.escape(p.texts[language][0])}</a>'
            for p in PRESETS
        )
        frame = (
            f'<iframe name="recording" src="{address(FIRST)}" title="{TITLE[language]}" loading="lazy" '
            'sandbox="allow-scripts allow-downloads" '
            'style="width: 100%; height: 820px; border: 1px solid #c9d0d6; border-radius: 6px"></iframe>'
        )
        return [nodes.raw("", f"<p>{links}</p>\n{frame}", format="html")]
