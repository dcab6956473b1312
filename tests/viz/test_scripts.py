"""Drawing what a Python file defines, from Python and from the command line."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tinygrad_dl import cli, viz
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.viz.scripts import draw_script

SOURCE = """
import numpy as np
from tinygrad_dl import Tensor, nn
from beside import SIZE

net = nn.Sequential(nn.Linear(SIZE, 8), nn.ReLU(), nn.Linear(8, 2))
words = nn.Embedding(5, 3)
number = 7

class Net(nn.Module):
    def __init__(self):
        self.fc = nn.Linear(SIZE, 2)
    def forward(self, x):
        return self.fc(x)

def make():
    return Net()

def loss(x, y):
    return ((x - y) ** 2).mean()

def sized(hidden=4):
    return nn.Linear(SIZE, hidden)

def scaled(x=2.0):
    return (x * 3).sum()

class Sized(nn.Module):
    def __init__(self, size):
        self.fc = nn.Linear(SIZE, size)

class Broken(nn.Module):
    def __init__(self):
        1 / 0

def result():
    x = Tensor([1.0, 2.0], requires_grad=True)
    return (x * x).sum()
"""


@pytest.fixture
def script(tmp_path: Path) -> str:
    (tmp_path / "beside.py").write_text("SIZE = 4\n")
    (tmp_path / "model.py").write_text(SOURCE)
    return str(tmp_path / "model.py")


@pytest.mark.parametrize(
    ("name", "inputs", "operations"),
    [
        ("net", ["3,4"], ["linear", "relu", "linear"]),
        ("Net", ["3,4"], ["linear"]),
        ("make", ["(3, 4)"], ["linear"]),
        ("words", ["6:int64"], ["rows"]),
        ("sized", ["3,4"], ["linear"]),
        ("scaled", ["3"], ["multiply", "sum"]),
        ("loss", ["3", "3"], ["subtract", "power", "mean"]),
        ("result", [], ["multiply", "sum"]),
    ],
)
def test_models_factories_and_functions_are_drawn(
    script: str, name: str, inputs: list[str], operations: list[str]
) -> None:
    view = draw_script(f"{script}:{name}", inputs)
    drawn = [node.op for node in view.full.nodes if node.kind == "op"]
    assert [op for op in drawn if op in operations] == operations


DATACLASS = """
from __future__ import annotations
import pickle
import typing
from dataclasses import dataclass
from tinygrad_dl import nn

@dataclass
class Settings:
    hidden: int = 3
    name: typing.ClassVar[str] = "x"

net = nn.Linear(2, Settings().hidden)
assert typing.get_type_hints(Settings)["hidden"] is int
assert pickle.loads(pickle.dumps(Settings())) == Settings()
"""


@pytest.mark.parametrize("file", ["settings.py", "json.py", "my net.py", "sub.name.py"])
def test_a_file_with_dataclasses_is_drawn_whatever_its_name(file: str, tmp_path: Path) -> None:
    import json

    path = tmp_path / file
    path.write_text(DATACLASS)
    for _ in range(2):
        view = draw_script(f"{path}:net", ["1,2"])
        assert "linear" in [node.op for node in view.full.nodes]
    assert sys.modules["json"] is json


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("x = 1\ny = x / 0\n", "cannot be run: line 2: ZeroDivisionError: division by zero"),
        ("def f(:\n", "cannot be run: SyntaxError: "),
        ("import nothing_of_this_name\n", "cannot be run: line 1: ModuleNotFoundError: No module named"),
        ("import sys\nsys.exit(f'args {sys.argv[1:]}')\n", "cannot be run: line 2: exit: args []"),
    ],
)
def test_a_file_that_cannot_be_run_is_one_error(source: str, message: str, tmp_path: Path) -> None:
    path, before = tmp_path / "faulty_file.py", (sys.argv, list(sys.path))
    path.write_text(source)
    with pytest.raises(TinygradError) as caught:
        draw_script(f"{path}:net")
    assert message in str(caught.value)
    assert "faulty_file" not in sys.modules and (sys.argv, sys.path) == before


def test_the_same_seed_gives_the_same_inputs(script: str) -> None:
    texts = [draw_script(f"{script}:loss", ["3", "3"], seed=s).text() for s in (1, 1, 2)]
    assert texts[0] == texts[1] != texts[2]


@pytest.mark.parametrize(
    ("target", "inputs", "message"),
    [
        ("{}", [], "draw: expected FILE.py:NAME, such as model.py:net, got"),
        ("missing.py:net", [], "draw: the file 'missing.py' does not exist"),
        ("{}:nett", [], "has no 'nett'; it has Broken, Net, Sized, loss, make, result, scaled, sized"),
        ("{}:net", [], "draw: net: expected 1 inputs, got 0. Give the shape of each: --input 32,64"),
        ("{}:net", ["3x4"], "draw: expected a shape such as 32,64 or 32,64:int64, got '3x4'"),
        ("{}:net", ["3,4:float33"], "draw: 'float33' is not a dtype of numbers"),
        ("{}:net", ["3,4:object"], "draw: 'object' is not a dtype of numbers"),
        ("{}:net", ["3,4:datetime64"], "draw: 'datetime64' is not a dtype of numbers"),
        (
            "{}:net",
            ["99999999999,3"],
            "draw: expected a shape of at most 134,217,728 numbers and 64 axes, got",
        ),
        ("{}:net", ["100000,100000"], "numbers and 64 axes, got '100000,100000'"),
        ("{}:net", ["9" * 5000], "numbers and 64 axes, got '9999"),
        ("{}:net", [",".join("1" * 65)], "numbers and 64 axes, got '1,1"),
        (
            "{}:Sized",
            ["3,4"],
            "Sized: expected a class that can be made without arguments, got one that needs 1.",
        ),
        ("{}:Broken", ["3,4"], "draw: Broken(): ZeroDivisionError: division by zero"),
        ("{}:number", [], "draw: number: expected a model, a function or a Tensor, got int"),
    ],
)
def test_what_cannot_be_drawn_is_named(script: str, target: str, inputs: list[str], message: str) -> None:
    with pytest.raises(TinygradError) as caught:
        draw_script(target.format(script), inputs)
    assert message in str(caught.value)


def test_the_command_writes_a_page(script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("click", reason="click is not installed")
    out = tmp_path / "x.html"
    assert cli.main(["draw", f"{script}:net", "--input", "32,4", "--out", str(out)]) == 0
    assert capsys.readouterr().out.strip() == str(out)
    assert '"op":"relu"' in out.read_text(encoding="utf-8")


def test_the_command_draws_a_failed_run_and_says_so_in_its_exit_code(
    script: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("click", reason="click is not installed")
    out = tmp_path / "x.txt"
    assert cli.main(["draw", f"{script}:net", "--input", "3,5", "--out", str(out)]) == 1
    assert "failed; ShapeError: linear" in out.read_text(encoding="utf-8")
    assert capsys.readouterr().err.startswith("tinygrad-dl draw: ShapeError: linear")


def test_wrong_calls_of_the_command_are_one_line(script: str, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("click", reason="click is not installed")
    assert cli.main(["draw", "nowhere.py:net"]) == 1
    assert capsys.readouterr().err == "tinygrad-dl: draw: the file 'nowhere.py' does not exist\n"
    assert cli.main(["draw"]) == 2
    assert cli.main(["draw", f"{script}:net", "--color", "red"]) == 2
    assert len(capsys.readouterr().err.splitlines()) == 2


def test_a_view_says_what_it_holds() -> None:
    from tests.leaves import leaf

    assert repr(viz.draw(leaf(1.0) * 2)) == "<GraphView: 3 boxes for 2 nodes, 2 edges>"
