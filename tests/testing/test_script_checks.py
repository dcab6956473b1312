"""The command tinygrad-dl check: what it takes, what it says, its exit codes, JSON and JUnit XML."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tinygrad_dl import cli

pytest.importorskip("click", reason="the command is made with click")

FILE = """
import numpy as np
import tinygrad_dl as tg

def product(x, y):
    return tg.tanh(x) * y

def forward(x, W):
    return x @ W

def backward(g, x, W):
    return g @ W.T, x.T @ g

def swapped(g, x, W):
    return g @ W, x.T @ g

def arctangent(x):
    return np.arctan(x)

def slope(g, x):
    return 1.01 * g / (1 + x * x)

def fails(x):
    raise KeyError("no such\\x00 key")

def root(x):
    return tg.sqrt(x)

net = tg.nn.Sequential(tg.nn.Linear(3, 4), tg.nn.Tanh())

class Layer:
    def __init__(self, width=2):
        self.W, self.dW = np.ones((3, width)), None
    def forward(self, x):
        self.x = x
        return x @ self.W
    def backward(self, dout):
        self.dW = self.x.T @ dout
        return dout @ self.W.T

class Needs:
    def __init__(self, width):
        pass
    forward = backward = None

class Sized(Layer):
    def __init__(self, width):
        super().__init__(width)

number = 3
"""


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "mine.py"
    path.write_text(FILE)
    return path


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["check", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("name", "options", "code", "words"),
    [
        ("product", "--input 2,3 --input 3", 0, "gradcheck passed: the gradient agrees in 54 numbers"),
        ("product", "--input 2 --input 2 --order 2", 0, "the gradient of order 2 agrees"),
        ("forward", "--backward backward --input 4,3 --input 3,2", 0, "backward is correct: all 2 gradients"),
        ("forward", "--backward swapped --input 4,3 --input 3,3", 1, "likely mistake: transpose (dx)"),
        ("arctangent", "--backward slope --laws", 1, "check_op failed: arctangent breaks"),
        ("net", "--input 4,3", 0, "the gradient agrees in"),
        ("Layer", "--input 4,3", 0, "read as: Layer with forward(x) and backward(dout); gradients of x, W"),
        ("fails", "--input 3", 1, "KeyError: 'no such"),
        ("root", "--input 3", 1, "cannot tell"),
        ("root", "--input 3 --domain 0.5,4", 0, "gradcheck passed"),
    ],
)
def test_what_a_file_defines_is_checked(
    file: Path, name: str, options: str, code: int, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    found, out, err = call(capsys, f"{file}:{name}", *options.split())
    assert (found, err) == (code, "") and words in out, out
    assert out.startswith(f"{file}:{name}: ")


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("{}:nothing", "", "has no 'nothing'; it has Layer, Needs, Sized, arctangent"),
        ("{}", "", "expected FILE.py:NAME, such as model.py:net, got"),
        ("missing.py:f", "", "the file 'missing.py' does not exist"),
        ("{}:product", "--input 3", "product: expected 2 inputs, got 1. Give the shape of each: --input 3,4"),
        ("{}:product", "--input 3x", "expected a shape such as 32,64 or 32,64:int64, got '3x'"),
        ("{}:forward", "--backward number --input 3", "--backward: expected a function, got int"),
        (
            "{}:number",
            "",
            "number: expected a function, a model or a layer with forward and backward, got int",
        ),
        ("{}:Sized", "--input 3", "Sized: expected a class that can be made without arguments"),
        (
            "{}:product",
            "--domain 3,1",
            "--domain: expected two numbers, the lower first, such as 0.1,5, got '3,1'",
        ),
        ("{}:product", "--order 9", "--order: expected an integer from 1 to 4, got '9'"),
        ("{}:product", "--junit no/such/folder.xml", "--junit: the folder 'no/such' does not exist"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(
    file: Path, target: str, options: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, target.format(file), *options.split())
    assert code == 2 and out == "" and message in err and err.count("\n") == 1
    assert err.startswith("tinygrad-dl check: ")


def test_a_file_that_cannot_be_run_is_told_with_its_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "broken.py"
    path.write_text("import tinygrad_dl\n1 / 0\n")
    code, _, err = call(capsys, f"{path}:f")
    assert code == 2 and "line 2: ZeroDivisionError: division by zero" in err


def test_several_targets_are_written_as_json_and_as_junit_xml(
    file: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    targets = [f"{file}:{name}" for name in ("product", "fails", "root")]
    xml = tmp_path / "report.xml"
    code, out, _ = call(capsys, *targets, "--input", "2", "--input", "2", "--json", "--junit", str(xml))
    assert code == 1
    rows = json.loads(out)
    assert [row["verdict"] for row in rows] == ["correct", "error", "error"]
    assert rows[0]["checked"] == 8 and set(rows[0]["errors"]) == {"input 0", "input 1"}
    suites = ElementTree.parse(xml).getroot()
    assert (suites.get("tests"), suites.get("failures"), suites.get("errors")) == ("3", "0", "2")
    cases = suites.findall("./testsuite/testcase")
    assert [case.get("name") for case in cases] == [f"{n} (gradcheck)" for n in ("product", "fails", "root")]
    assert cases[0].find("error") is None and "of 2 arguments" in str(cases[1].findtext("error"))


def test_the_findings_are_data(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, f"{file}:root", "--input", "3", "--json")
    (row,) = json.loads(out)
    assert row["verdict"] == "cannot tell" and row["findings"][0]["kind"] == "domain"
    _, out, _ = call(capsys, f"{file}:forward", *"--backward swapped --input 4,3 --input 3,3 --json".split())
    (row,) = json.loads(out)
    assert row["wrong"] == ["x"] and row["guesses"][0]["kind"] == "transpose"
    _, out, _ = call(capsys, f"{file}:arctangent", "--backward", "slope", "--laws", "--json")
    (row,) = json.loads(out)
    assert {law["law"]: law["outcome"] for law in row["laws"]}["gradient"] == "broken"


def test_functions_and_modules_of_pytorch_are_known_by_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("torch")
    path = tmp_path / "theirs.py"
    path.write_text(
        "import torch\n"
        "class Half(torch.autograd.Function):\n"
        "    @staticmethod\n    def forward(ctx, x):\n        ctx.save_for_backward(x)\n        return x * x\n"
        "    @staticmethod\n    def backward(ctx, g):\n        return g * ctx.saved_tensors[0]\n"
        "linear = torch.nn.Linear(3, 2)\n"
        "def f(x, y):\n    return torch.tanh(x) * y\n"
        "class Net(torch.nn.Linear):\n    def __init__(self):\n        super().__init__(3, 2)\n"
        "class Sized(torch.nn.Linear):\n    pass\n"
    )
    assert call(capsys, f"{path}:Net", "--input", "2,3")[0] == 0
    code, _, err = call(capsys, f"{path}:Sized", "--input", "2,3")
    assert code == 2 and "expected a class that can be made without arguments" in err
    code, out, _ = call(capsys, f"{path}:Half", "--input", "3")
    assert code == 1 and "half of what it should be" in out
    assert call(capsys, f"{path}:linear", "--input", "2,3")[0] == 0
    assert call(capsys, f"{path}:f", "--input", "2,3", "--input", "3")[0] == 0
