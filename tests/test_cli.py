"""The command tinygrad-dl: its options, its errors and its exit codes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import tinygrad_dl
from tests.layout import ROOT
from tinygrad_dl import cli, environment
from tinygrad_dl.errors import ShapeError

click = pytest.importorskip("click", reason="the command is made with click")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(arguments)
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ("demo --epochs 0", "tinygrad-dl demo: --epochs: expected an integer from 1 to 10000, got '0'"),
        (
            "demo --epochs many",
            "tinygrad-dl demo: --epochs: expected an integer from 1 to 10000, got 'many'",
        ),
        ("demo --epochs", "Option '--epochs' requires an argument"),
        ("demo --lr nan", "tinygrad-dl demo: --lr: expected a number above 0, got 'nan'"),
        ("demo --lr -1", "tinygrad-dl demo: --lr: expected a number above 0, got '-1'"),
        ("demo --lr inf", "tinygrad-dl demo: --lr: expected a number above 0, got 'inf'"),
        ("demo --batch-size 1", "--batch-size: expected an integer from 2 to 1024, got '1'"),
        ("demo --seed -1", "--seed: expected an integer from 0 to 9223372036854775807, got '-1'"),
        ("demo --learning-rate 1", "tinygrad-dl demo: No such option '--learning-rate'"),
        ("demo here", "tinygrad-dl demo: Got unexpected extra argument (here)"),
        ("dmo", "tinygrad-dl: No such command 'dmo'"),
        ("draw f.py net", "tinygrad-dl draw: expected FILE.py:NAME, got f.py net. Write f.py:net"),
        ("report", "tinygrad-dl report: RUN is missing"),
        ("report nowhere", "tinygrad-dl report: RUN: Directory 'nowhere' does not exist"),
    ],
)
def test_a_wrong_call_is_one_clear_line_and_code_2(
    arguments: str, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *arguments.split())
    assert code == 2 and out == ""
    assert message in err and err.count("\n") == 1 and "--help" in err


@pytest.mark.parametrize(
    "arguments", [[], ["--help"], ["demo", "--help"], ["doctor", "-h"], ["report", "--help"]]
)
def test_help_is_printed(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 0 and out.startswith("Usage: tinygrad-dl") and err == ""


@pytest.mark.parametrize("columns", ["44", "80", "200"])
def test_no_help_is_cut_or_broken_inside_a_word(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", columns)
    _, out, _ = call(capsys, "--help")
    words = " ".join(out.split())
    for sentence in (
        "Train a network on real handwritten digits and show what it learned.",
        "Show the installed versions, extras and graph layout engines,",
    ):
        assert sentence in words, out
    assert "..." not in words.replace("[ARGS]...", "")
    assert all(len(line) <= int(columns) for line in out.splitlines())


@pytest.mark.parametrize("command", ["demo", "draw", "course", "doctor", "report"])
def test_help_and_report_fit_a_narrow_terminal(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "44")
    _, out, _ = call(capsys, command, "--help")
    assert all(len(line) <= 44 for line in out.splitlines()), out
    monkeypatch.setattr(environment, "version_of", lambda package, module: "1.0")
    narrow = call(capsys, "doctor")[1]
    # What has no blank, such as a path, cannot be broken.
    assert all(len(line) <= 44 or " " not in line.strip() for line in narrow.splitlines()), narrow
    monkeypatch.setenv("COLUMNS", "500")
    assert narrow.split() == call(capsys, "doctor")[1].split()


def test_the_help_of_draw_names_every_format(capsys: pytest.CaptureFixture[str]) -> None:
    from tinygrad_dl.viz.formats import FORMATS

    named = set(call(capsys, "draw", "--help")[1].translate(str.maketrans(",.", "  ")).split())
    assert {name.removeprefix(".") for name in FORMATS} <= named


def test_the_help_of_the_demo_names_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = call(capsys, "demo", "--help")
    for option in ("--seed", "--epochs", "--lr", "--batch-size", "--out", "--json", "--quiet", "--help"):
        assert option in out


def test_the_version_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    assert call(capsys, "--version") == (0, f"tinygrad_dl {tinygrad_dl.__version__}\n", "")


def test_python_m_runs_the_command() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tinygrad_dl", "--version"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
    )  # fmt: skip
    assert (done.returncode, done.stdout) == (0, f"tinygrad_dl {tinygrad_dl.__version__}\n")


def test_the_doctor_says_what_is_here_and_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    found = json.loads(call(capsys, "doctor", "--json")[1])
    assert found["tinygrad_dl"] == tinygrad_dl.__version__ and set(found["extras"]) == set(environment.EXTRAS)
    monkeypatch.setattr(
        environment, "version_of", lambda package, module: None if package == "pooch" else "1.0"
    )
    monkeypatch.setattr("tinygrad_dl.viz.formats.graphviz.available", list)
    code, out, _ = call(capsys, "doctor")
    assert code == 0
    for text in (
        "NumPy", "train ok", "data partial", "scikit-learn 1.0, pooch missing, h5py 1.0", '[data]"',
        "Graph layout engines: none", "install Graphviz",
    ):  # fmt: skip
        assert text in " ".join(out.split())  # lines are broken where the terminal ends
    monkeypatch.setattr(
        environment, "version_of", lambda package, module: None if package == "hypothesis" else "1.0"
    )
    monkeypatch.setattr("tinygrad_dl.viz.formats.graphviz.available", lambda: ["dot"])
    assert "Everything is installed but the extra test" in call(capsys, "doctor")[1]
    monkeypatch.setattr(environment, "version_of", lambda package, module: "1.0")
    assert call(capsys, "doctor")[1].endswith("Graph layout engines: dot\n\nEverything is installed.\n")


def test_the_extras_of_the_doctor_are_those_of_setup_cfg() -> None:
    import configparser
    import re

    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg", encoding="utf-8")
    for extra, (_, packages) in environment.EXTRAS.items():
        listed = set(re.findall(r"^[\w-]+", setup["options.extras_require"][extra], re.M))
        assert set(packages) <= listed and (extra in environment.UNASKED or listed == set(packages)), extra


def test_without_click_the_error_names_the_extra_and_the_doctor_still_works(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "click", None)
    monkeypatch.delitem(sys.modules, "tinygrad_dl.commands", raising=False)
    monkeypatch.delattr(tinygrad_dl, "commands", raising=False)
    code, out, err = call(capsys, "demo")
    assert code == 1 and out == "" and err.count("\n") == 1
    assert 'pip install "tinygrad_dl[train]"' in err and "tinygrad-dl doctor" in err
    assert call(capsys, "--version")[0] == 0
    code, out, _ = call(capsys, "doctor")
    assert code == 0 and "Extras" in out


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        (ShapeError("this\n  and that"), 1, "tinygrad-dl: this and that\n"),
        (OSError(28, "No space left on device"), 1, "tinygrad-dl: [Errno 28] No space left on device\n"),
        (KeyboardInterrupt(), 130, "tinygrad-dl: interrupted\n"),
    ],
)
def test_what_goes_wrong_is_one_line(
    error: BaseException,
    code: int,
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def broken() -> str:
        raise error

    monkeypatch.setattr(environment, "as_text", broken)
    got, out, err = call(capsys, "doctor")
    assert (got, out, err.lstrip()) == (code, "", message)  # after ^C click begins a new line


@pytest.mark.parametrize("unbuffered", ["", "1"])  # held back until the end, or written line by line
def test_a_closed_pipe_is_not_a_traceback(unbuffered: str) -> None:
    done = subprocess.run(
        f'"{sys.executable}" -m tinygrad_dl doctor | true',
        shell=True, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300,
        env=dict(os.environ, PYTHONUNBUFFERED=unbuffered),
    )  # fmt: skip
    assert done.stderr == ""


def test_a_folder_without_a_run_has_no_report(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = call(capsys, "report", str(tmp_path))
    assert code == 1 and "expected metrics.json, history.csv or images" in err
    (tmp_path / "metrics.json").write_text("{")
    code, _, err = call(capsys, "report", str(tmp_path))
    assert code == 1 and "metrics.json is damaged" in err
