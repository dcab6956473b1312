"""Progress."""

from __future__ import annotations

import io
import sys

import pytest

from tests.train.test_trainer import points, trainer
from tinygrad_dl.errors import MissingExtraError
from tinygrad_dl.train import EarlyStopping, Progress
from tinygrad_dl.train.progress import format_epoch, wrapped


def shown(level: str = "auto", epochs: int = 3, terminal: bool = False, **options: object) -> str:
    stream = Terminal() if terminal else io.StringIO()
    t = trainer(**options)
    t.progress = Progress(level, stream=stream)
    t.fit(points(), points(seed=1), epochs)
    return stream.getvalue()


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NO_COLOR", "FORCE_COLOR", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")


def test_a_file_gets_one_plain_line_per_epoch() -> None:
    text = shown()
    lines = text.splitlines()
    assert len(lines) == 3 and "\x1b" not in text and "\r" not in text
    assert lines[0].startswith("epoch 1/3   loss ") and "| dev" in lines[0] and "accuracy" in lines[0]


def test_a_long_run_prints_about_a_hundred_lines_and_the_last() -> None:
    lines = shown(epochs=450).splitlines()
    assert len(lines) == 113 and lines[-1].startswith("epoch 450/450")


def test_off_prints_nothing_and_a_stop_is_reported() -> None:
    assert shown("off") == ""
    text = shown("epoch", epochs=50, callbacks=[EarlyStopping("lr", patience=2)])
    assert text.splitlines()[-1].startswith("stopped: lr has not improved since epoch 1")


def test_a_terminal_gets_a_bar_that_disappears_and_the_same_lines() -> None:
    pytest.importorskip("rich", reason="the bar is rich's")
    text = shown(terminal=True, epochs=3)
    assert "\x1b[?25l" in text and "\x1b[?25h" in text, "the cursor is hidden and shown again"
    assert text.count("loss") >= 3 and "epoch 3/3" in text


def test_no_color_is_honored(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("rich", reason="the bar is rich's")
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[3" not in shown(terminal=True)


def test_a_dumb_terminal_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert "\x1b" not in shown(terminal=True)


def test_the_bar_is_drawn_at_most_ten_times_per_second(monkeypatch: pytest.MonkeyPatch) -> None:
    rich = pytest.importorskip("rich.progress", reason="the bar is rich's")
    updates = []
    original = rich.Progress.update
    monkeypatch.setattr(
        rich.Progress, "update", lambda self, *a, **k: updates.append(1) or original(self, *a, **k)
    )
    monkeypatch.setattr(
        "tinygrad_dl.train.progress.time.monotonic", iter(i * 0.03 + 5 for i in range(9999)).__next__
    )
    t = trainer()
    t.progress = Progress("bar", stream=Terminal())
    t.fit(points(), epochs=40, batch_size=4)  # 400 batches, 0.03 seconds each by this clock
    assert 80 <= len(updates) <= 120


def test_without_rich_lines_are_printed_and_a_bar_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rich", "rich.console", "rich.progress"):
        monkeypatch.setitem(sys.modules, name, None)
    assert len(shown(terminal=True).splitlines()) == 3
    with pytest.raises(MissingExtraError, match=r"a progress bar needs the package rich.*\[train\]"):
        shown("bar")


def test_values_of_any_size_are_legible() -> None:
    text = format_epoch(
        {"epoch": 7, "loss": 1.23456e-7, "dev_loss": 123456.7, "accuracy": 1.0, "lr": 1, "seconds": 0.5}, 10
    )
    assert text == "epoch  7/10   loss 1.235e-07 | dev 1.235e+05   accuracy 100.00 %   0.50 s"


@pytest.mark.parametrize("width", [30, 44, 60, 200])
def test_a_line_is_broken_between_its_quantities(width: int) -> None:
    line = "epoch 10/100   loss 0.1234 | dev 0.2345   accuracy 97.50 % | dev 96.10 %   f1 0.97   1.20 s"
    lines = wrapped(line, width).splitlines()
    assert "   ".join(part.strip() for part in lines) == line
    parts = [part.strip() for one in lines for part in one.strip().split("   ")]
    assert parts == line.split("   ")
    assert all(len(one) <= max(width, 2 + max(map(len, parts))) for one in lines)
