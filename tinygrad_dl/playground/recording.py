"""An experiment recorded for a page without a server: one file of HTML that asks for nothing."""

from __future__ import annotations

import base64
import html
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.playground.presets import Preset
from tinygrad_dl.playground.session import GRID, SMALL
from tinygrad_dl.playground.state import MAX_LAYERS, MAX_UNITS, Config
from tinygrad_dl.playground.tab import Tab, frame
from tinygrad_dl.typing import NDArray

PAGE = Path(__file__).with_name("page")
MODULES = (
    "words",
    "config",
    "japanese",
    "draw",
    "network",
    "editor",
    "inside",
    "connection",
    "recorded",
    "main",
)  # imported ones first
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"
FRAMES = 22
WEIGHTS = 100  # of a run whose single weights can be asked for


def steps(last: int, frames: int = FRAMES) -> list[int]:
    """The steps of the frames, from 0 to the last one: many of the first, where most happens.

    >>> steps(100, 5)
    [0, 6, 25, 56, 100]
    """
    return sorted({round(last * (i / (frames - 1)) ** 2) for i in range(frames)})


def record(preset: Preset, frames: int = FRAMES) -> tuple[dict[str, Any], list[bytes]]:
    """Train the runs of an experiment. Returns what the page starts with, answers included, and the frames."""
    tab = Tab()
    _ask(tab, type="configure", runs=[run.as_json() for run in preset.runs], step=0, number=0)
    taken = steps(preset.steps, frames)
    blocks = []
    for step in taken:
        for session in tab.sessions:
            session.advance(step - session.step)
        header, arrays = tab.view()
        kept = step == taken[-1]  # the curves, of which the page shows the part up to its step
        arrays = {
            name: _small(name, array) for name, array in arrays.items() if kept or "/curve_" not in name
        }
        blocks.append(frame(header, arrays))
    start = {
        "presets": [preset.as_json()],
        "default": Config().as_json(),
        "limits": {"layers": MAX_LAYERS, "units": MAX_UNITS},
        "answers": list(_answers(tab)),
    }
    return start, blocks


def _ask(tab: Tab, **message: Any) -> list[Any]:
    return [json.loads(answer) for answer in tab.receive(json.dumps(message))]


def _answers(tab: Tab) -> Iterator[Any]:
    """What can be asked for after the last step."""
    for run, session in enumerate(tab.sessions):
        for kind in ("check", "diagnosis", "rates", "surface"):
            yield from _ask(tab, type=kind, run=run)
        for kind in ("program", "notebook", "numpy"):
            yield from _ask(tab, type="export", run=run, format=kind)
        weights = [session.model[place.weight].weight.data for place in session.positions]
        for layer, weight in enumerate(weights):
            for unit in range(len(weight)):
                yield from _ask(tab, type="unit", run=run, layer=layer, unit=unit)
                if weight.ndim == 2 and sum(w.size for w in weights) <= WEIGHTS:
                    for source in range(weight.shape[1]):
                        yield from _ask(tab, type="weight", run=run, layer=layer, unit=unit, input=source)


def _small(name: str, array: NDArray) -> NDArray:
    """An array of a frame in fewer bytes: pixels are left out, and weights are relative to the layer's largest."""
    if array.shape[1:] == (SMALL, SMALL):
        gap = 2 if len(array) <= 16 else 3  # the more units, the smaller the page shows them
        return array[:, ::gap, ::gap]
    if array.shape[:2] == (GRID, GRID):
        return array[::2, ::2]
    if "/weights" in name:
        return np.rint(127 * array / max(float(np.abs(array).max(initial=0)), 1e-12)).astype(np.int8)
    return array


def page(preset: Preset, frames: int = FRAMES) -> str:
    """The page of an experiment: its runs can be played and scrubbed, nothing is asked of a server.

    The modules of the page are those of the playground, one after the other in one script.
    """
    start, blocks = record(preset, frames)
    head = json.dumps(start, separators=(",", ":"), allow_nan=False).encode()
    packed = b"".join(struct.pack("<I", len(part)) + part for part in (head, *blocks))
    data = base64.b64encode(zlib.compress(packed, 9)).decode()
    script = "\n".join(_module(name) for name in MODULES)
    style = (PAGE / "style.css").read_text(encoding="utf-8")
    text = (PAGE / "index.html").read_text(encoding="utf-8")
    title = html.escape(preset.texts["en"][0])
    text, count = re.subn(
        r"<title>.*?</head>\n<body>",
        lambda _: (
            f'<title>{title}</title>\n<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
            f'<link rel="icon" href="data:,">\n<style>\n{style}</style>\n</head>\n<body class="recorded">\n'
            f'<script type="text/plain" id="recorded">{data}</script>\n<script type="module">\n{script}</script>'
        ),
        text,
        flags=re.DOTALL,
    )
    if count != 1:
        raise ValueRangeError("recording: expected a page with a head and a body, got another one")
    return text


def _module(name: str) -> str:
    text = (PAGE / f"{name}.js").read_text(encoding="utf-8")
    return re.sub(r"^(import .*\n|export )", "", text, flags=re.MULTILINE)
