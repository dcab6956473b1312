"""What is taken home: programs that print the page's numbers, notebooks, the step in NumPy, weights."""

from __future__ import annotations

import ast
import base64
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

import tinygrad_dl as tg
from tests.playground.test_state import CONFIGS
from tinygrad_dl.playground.program import program, setup
from tinygrad_dl.playground.session import Session
from tinygrad_dl.playground.state import Config, Layer
from tinygrad_dl.playground.takehome import export

RUNS = {
    "xor": Config(
        data="xor", examples=60, layers=(Layer(units=4, dropout=0.1, l2=0.001),), decay=0.05, seed=3
    ),
    "digits": Config(
        data="digits",
        examples=60,
        layers=(Layer(kind="conv", units=2, activation="relu"), Layer(units=4, batch_norm=True)),
    ),
}


def numbers(text: str) -> list[float]:
    return [float(number) for number in re.findall(r"(?:loss|accuracy) ([\d.]+)", text)]


def expected(session: Session) -> list[float]:
    now = session.measure()
    return [now.train_loss, now.train_accuracy, now.dev_loss, now.dev_accuracy]


def run(path: Path) -> str:
    ran = subprocess.run(
        [sys.executable, str(path)], capture_output=True, text=True, check=False, cwd=path.parent
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


@pytest.mark.parametrize("name", RUNS)
def test_the_program_prints_the_numbers_of_the_page_in_a_fresh_process(name: str, tmp_path: Path) -> None:
    session = Session(RUNS[name])
    session.advance(24)
    path = tmp_path / "taken_home.py"
    path.write_text(export(session, "program")["text"], encoding="utf-8")
    assert numbers(run(path)) == pytest.approx(expected(session), rel=1e-3, abs=1e-3)


def test_the_notebook_has_the_program_and_prints_the_same_numbers(tmp_path: Path) -> None:
    session = Session(RUNS["xor"])
    session.advance(24)
    book = json.loads(export(session, "notebook")["text"])
    nbformat = pytest.importorskip("nbformat")
    nbformat.validate(nbformat.from_dict(book))
    cells = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    path = tmp_path / "cells.py"
    path.write_text("\n".join(cells), encoding="utf-8")
    assert numbers(run(path)) == pytest.approx(expected(session), rel=1e-3, abs=1e-3)


def test_the_weights_load_into_the_programs_model(tmp_path: Path) -> None:
    pytest.importorskip("safetensors")
    session = Session(RUNS["xor"])
    session.advance(10)
    path = tmp_path / "weights.safetensors"
    path.write_bytes(base64.b64decode(export(session, "weights")["base64"]))
    other = Session(RUNS["xor"])
    other.model.load_state_dict(tg.load(path))
    assert other.measure()[1:] == pytest.approx(session.measure()[1:])


def test_the_step_in_numpy_names_numpy_only() -> None:
    session = Session(RUNS["xor"])
    assert "few steps" in export(session, "numpy")["text"]
    session.advance(10)
    tree = ast.parse(export(session, "numpy")["text"])
    imported = {alias.name for node in ast.walk(tree) if isinstance(node, ast.Import) for alias in node.names}
    assert "numpy" in imported and not any(name.startswith("tinygrad_dl") for name in imported)


@settings(max_examples=40)
@given(CONFIGS)
def test_a_program_is_made_of_known_names_and_numbers(config: Config) -> None:
    tree = ast.parse(program(config, 10))
    texts = {n.value for n in ast.walk(tree) if isinstance(n, ast.Constant) and isinstance(n.value, str)}
    assert {"exec", "eval", "open"}.isdisjoint(n.id for n in ast.walk(tree) if isinstance(n, ast.Name))
    assert len(texts) < 20 and all(len(text) < 100 for text in texts)


def test_no_line_of_a_program_is_long() -> None:
    for config in RUNS.values():
        assert max(map(len, setup(config).splitlines())) <= 120
