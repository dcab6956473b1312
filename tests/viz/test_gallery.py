"""The gallery page: its programs run, and its images are what they make."""

from __future__ import annotations

import importlib.util
import re
import xml.etree.ElementTree as ET
from pathlib import Path
from types import ModuleType

import pytest

from tests.layout import ROOT
from tinygrad_dl.viz.formats.graphviz import available

pytestmark = pytest.mark.skipif(not available(), reason="neither Graphviz nor pygraphviz is installed")


@pytest.fixture(scope="module")
def gallery() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gallery", ROOT / "docs" / "gallery.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def words(image: Path) -> list[str]:
    """The texts of an image, sorted, without numbers: their last digits differ between machines."""
    if image.suffix == ".html":
        text = image.read_text(encoding="utf-8")
        return sorted(re.sub(r"\d+", "#", found) for found in re.findall(r'"says":"(.*?)"', text))
    texts = ["".join(e.itertext()) for e in ET.parse(image).iter() if e.tag.endswith("}text")]
    return sorted(re.sub(r"-?\d[\d.]*(?:e[-+]\d+)?", "#", text) for text in texts)


def test_the_programs_run_and_the_images_are_up_to_date(gallery: ModuleType, tmp_path: Path) -> None:
    for said, shown in gallery.run(tmp_path / "images"):
        assert said == shown
    made = {path.name: path for path in (tmp_path / "images").iterdir()}
    kept = {path.name: path for path in gallery.PICTURES.iterdir()}
    assert set(made) == set(kept)
    for name in made:
        assert words(made[name]) == words(kept[name]), f"{name} is old: python docs/gallery.py"


def test_every_image_is_on_the_page_with_a_text_alternative(gallery: ModuleType) -> None:
    page = gallery.PAGE.read_text(encoding="utf-8")
    shown = {name: text for text, name in re.findall(r"!\[(.+?)\]\(gallery/(\S+)\)", page)}
    assert set(shown) | {"player.html"} == {path.name for path in gallery.PICTURES.iterdir()}
    assert len(shown) >= 10 and all(len(text) > 20 for text in shown.values())


def test_each_image_takes_few_lines_and_is_small(gallery: ModuleType) -> None:
    page = gallery.PAGE.read_text(encoding="utf-8")
    for program in re.findall(r"```python\n(.*?)```", page, re.DOTALL):
        assert len(program.strip().splitlines()) <= 8
    for path in gallery.PICTURES.iterdir():  # the page of the player holds its scripts
        assert path.stat().st_size < (120_000 if path.suffix == ".html" else 50_000), path.name
