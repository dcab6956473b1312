"""Recorded experiments: the frames are those of the run, and the page works without a server."""

from __future__ import annotations

import base64
import json
import re
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.playground.test_page import FAINT, NAMELESS, Page
from tests.playground.test_tab import decoded
from tinygrad_dl.playground.presets import Preset
from tinygrad_dl.playground.recording import page, record, steps
from tinygrad_dl.playground.session import Session
from tinygrad_dl.playground.state import Config, Layer

LAYERS = (Layer(units=3, activation="relu"),)
COLORS_OF_EDGES = """() => {
  const canvas = document.querySelector("canvas.edges"), found = new Set();
  const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
  for (let i = 0; i < data.length; i += 4) if (data[i + 3] > 99) found.add(data[i] > data[i + 2] ? "high" : "low");
  return [...found].sort();
}"""
SMALL = Preset(
    "small",
    (
        Config(data="xor", examples=40, layers=LAYERS, batch_size=5),
        Config(data="regression", examples=40, layers=LAYERS, batch_size=5),
    ),
    40,
    {"en": ("XOR & a curve", "Watch.", "Why?"), "ja": ("XORと曲線", "見てください。", "なぜですか。")},
)


def test_frames_are_those_of_the_runs_and_the_same_each_time() -> None:
    start, frames = record(SMALL, frames=4)
    assert [decoded(block)[0]["runs"][0]["step"] for block in frames] == steps(40, 4) == [0, 4, 18, 40]
    session = Session(SMALL.runs[0])
    session.advance(18)
    header, arrays = decoded(frames[2])
    assert header["runs"][0]["train_loss"] == session.measure().train_loss
    weights = session.weights()["weights0"]
    np.testing.assert_allclose(arrays["0/weights0"] / 127, weights / np.abs(weights).max(), atol=0.5 / 127)
    np.testing.assert_array_equal(arrays["0/boundary"], session.pictures()["boundary"][::2, ::2])
    assert (start, frames) == record(SMALL, frames=4)


def test_the_page_holds_the_recording_and_names_no_other_file() -> None:
    text = page(SMALL, frames=3)
    found = re.search(r'id="recorded">([^<]*)<', text)
    assert found is not None
    packed, parts = zlib.decompress(base64.b64decode(found.group(1))), []
    while packed:
        (length,) = struct.unpack_from("<I", packed)
        parts.append(packed[4 : 4 + length])
        packed = packed[4 + length :]
    assert json.loads(parts[0])["presets"] == [SMALL.as_json()] and len(parts) == 4
    assert "XOR &amp; a curve" in text and not re.search(r'(?:src|href)="/|^(?:import|export) ', text, re.M)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    path: Path = tmp_path_factory.mktemp("recorded") / "small.html"
    path.write_text(page(SMALL, frames=5), encoding="utf-8")
    yield path.as_uri()


@pytest.mark.parametrize("language", ["en", "ja"])
def test_a_recording_is_played_scrubbed_and_asked(browser: Any, address: str, language: str) -> None:
    shown = Page(browser, f"{address}?#{language}", viewport={"width": 400, "height": 800})
    page = shown.page
    assert page.inner_text("#lesson-title") == SMALL.texts[language][0]
    assert page.inner_text("#play") == {"en": "Play", "ja": "再生"}[language]
    page.click("#play")
    shown.until_step(40)
    shown.until(f"document.getElementById('play').textContent === {page.inner_text('#play')!r}")
    end = shown.losses()
    # Weights of both signs are there, and edges in both colors.
    assert page.evaluate(COLORS_OF_EDGES) == ["high", "low"]
    page.focus("#timeline")
    page.keyboard.press("Home")
    shown.until_step(0)
    page.keyboard.press("ArrowRight")
    shown.until_step(2)
    page.click("#step")
    shown.until_step(10)
    assert shown.losses() != end
    assert page.is_disabled("[name=rate]") and not page.is_visible("#epoch")
    page.click("button.unit[data-layer='0'] >> nth=1")
    shown.until("document.querySelector('#answer table') !== null")
    page.locator("#answer table button").first.click()
    shown.until("document.getElementById('answer').textContent.includes('∂L/∂w')")
    for question in ("check", "diagnosis", "rates", "surface"):
        shown.answer(f"[data-ask={question}]")
    with page.expect_download() as download:
        page.click("[data-export=program]")
    assert "40 steps" in Path(download.value.path()).read_text(encoding="utf-8")
    assert page.evaluate("document.documentElement.scrollWidth") <= 400
    assert page.evaluate(FAINT) == [] and page.evaluate(NAMELESS) == []
    shown.close()
