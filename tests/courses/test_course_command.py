"""tinygrad-dl course: what it prints, when it reports that results differ, and what it skips."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from tinygrad_dl import cli
from tinygrad_dl.course import EXPERIMENTS, gradient_checking
from tinygrad_dl.course.record import Row, compare, table

pytest.importorskip("click", reason="the command is made with click")


def call(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = cli.main(["course", *arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    ("row", "shown", "verdict"),
    [
        (Row("cost", "0.693147", 0.6931471806), "0.693147", "same"),
        (Row("cost", "0.693147", 0.6931476), "0.693148", "DIFFERS"),
        (Row("cost", "0.218612", 0.218544, 5e-4), "0.218544", "chaotic: close"),
        (Row("cost", "0.218612", 0.2186121, 5e-4), "0.218612", "same"),
        (Row("cost", "0.218612", 0.2196, 5e-4), "0.219600", "DIFFERS"),
        (Row("cost", "0.218612", float("nan")), "nan", "DIFFERS"),
        (Row("accuracy", "90 %", 90.75), "90.75 %", "same"),
        (Row("accuracy", "90 %", 91.0), "91.00 %", "DIFFERS"),
        (Row("accuracy", "98.56 %", 98.5646), "98.56 %", "same"),
        (Row("difference", "1e-9", 6e-10), "6.0e-10", "same"),
        (Row("difference", "1e-9", 6e-8), "6.0e-08", "DIFFERS"),
        (Row("seconds", "", 1.5), "1.5", ""),
        (Row("accuracy, %", "", 98.76543), "98.77", ""),
    ],
)
def test_a_result_agrees_if_it_is_the_printed_one(row: Row, shown: str, verdict: str) -> None:
    assert (row.shown, row.verdict) == (shown, verdict)


def test_published_and_measured_are_side_by_side_and_the_unmeasured_is_omitted() -> None:
    rows = compare({"a": "1.0", "b": "2.0"}, {"a": 1.0, "c": 3.0})
    assert table(rows) == "   published  measured\na        1.0       1.0  same\nc                    3"


def test_an_experiment_is_run_and_its_results_compared(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "gradient_checking")
    assert code == 0 and err == "" and out.startswith(gradient_checking.TITLE)
    assert out.count("same") == 3


def test_a_result_that_differs_makes_the_exit_code_1(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(gradient_checking.PUBLISHED, "injected mistakes found", "3")
    code, out, _ = call(capsys, "gradient_checking")
    assert code == 1 and out.count("DIFFERS") == 1


def test_with_json_the_results_are_on_stdout_alone(capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = call(capsys, "gradient_checking", "--json")
    (result,) = json.loads(out)["experiments"]
    assert code == 0 and result["name"] == "gradient_checking" and "same" in err
    assert result["rows"][1]["published"] == result["rows"][1]["shown"] == "0.285093"


@pytest.mark.parametrize("arguments", [[], ["--list"]])
def test_the_list_names_every_experiment_and_its_files(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, _ = call(capsys, *arguments)
    assert code == 0 and [line.split()[0] for line in out.splitlines()] == list(EXPERIMENTS)
    assert "[requires data.mat]" in out
    assert json.loads(call(capsys, "--json")[1]) == list(EXPERIMENTS)


def test_without_the_courses_files_an_experiment_is_skipped_with_a_message(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("TINYGRAD_DL_COURSE_DATA", raising=False)
    code, out, err = call(capsys, "regularization")
    message = "tinygrad-dl course: regularization is skipped: it requires data.mat, "
    message += "which this package does not include. "
    assert code == 1 and out == "" and err == message + "Pass their folder: --data FOLDER\n"
    assert (
        call(capsys, "regularization", "--data", str(tmp_path))[2] == message + f"Not found in {tmp_path}\n"
    )


def test_a_damaged_file_of_the_course_is_one_clear_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    pytest.importorskip("scipy", reason="data.mat is read with it")
    (tmp_path / "data.mat").write_bytes(b"nothing of the kind" * 20)
    code, _, err = call(capsys, "regularization", "--data", str(tmp_path))
    assert code == 1 and err.count("\n") == 1 and "damaged or not the course's data.mat" in err


def test_an_experiment_whose_extra_is_absent_is_skipped_and_names_it(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "sklearn"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "sklearn", None)
    code, _, err = call(capsys, "initialization")
    assert code == 1 and err.count("\n") == 1
    assert "initialization is skipped: " in err and 'pip install "tinygrad_dl[data]"' in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nothing"], "NAME: expected one of cats_logistic, "),
        (["gradient_checking", "--all"], "expected NAME or --all, got both"),
        (["--data", "nowhere"], "--data: Directory 'nowhere' does not exist"),
    ],
)
def test_a_wrong_call_is_one_line_and_code_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    code, out, err = call(capsys, *arguments)
    assert code == 2 and out == "" and err.count("\n") == 1 and message in err
