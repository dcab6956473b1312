"""Axes and matplotlib: no window, and an error that names the extra."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.layout import ROOT
from tinygrad_dl import viz
from tinygrad_dl.errors import MissingExtraError
from tinygrad_dl.train import History

pytest.importorskip("matplotlib", reason="plots are matplotlib's")


def history(n: int = 10, **others: list[float]) -> History:
    return History(
        [
            {
                "epoch": i + 1,
                "loss": 1 / (i + 1),
                "dev_loss": 0.2 + abs(i - 4) / 10,
                "accuracy": i / n,
                "lr": 0.1,
            }
            for i in range(n)
        ],
        **others,  # type: ignore[arg-type]
    )


def test_no_plot_imports_pyplot_or_opens_a_window() -> None:
    code = (
        "import sys; from tinygrad_dl import viz; assert 'matplotlib' not in sys.modules\n"
        "viz.plot_history({'loss': [1.0, 0.5]}); viz.plot_confusion([0, 1], [0, 1])\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_without_matplotlib_the_error_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(MissingExtraError, match=r"plot_history needs the package matplotlib.*\[viz\]"):
        viz.plot_history(history())
