"""History."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from tinygrad_dl.errors import FileFormatError, ValueRangeError
from tinygrad_dl.train import History


def run() -> History:
    return History(
        [
            {"epoch": 1, "loss": 0.5, "dev_accuracy": 0.25},
            {"epoch": 2, "loss": 1 / 3, "dev_accuracy": 0.75},
            {"epoch": 3, "loss": math.nan, "dev_accuracy": 0.5},
        ]
    )


def test_quantities_are_read_by_name_and_the_best_epoch_is_found() -> None:
    history = run()
    assert len(history) == 3 and "loss" in history and "f1" not in history
    assert history["dev_accuracy"] == [0.25, 0.75, 0.5]
    assert history.best("loss")["epoch"] == 2 and history.best("dev_accuracy")["epoch"] == 2
    with pytest.raises(ValueRangeError, match="expected one of epoch, loss, dev_accuracy, got 'dev_loss'"):
        history.best()


def test_a_quantity_measured_in_some_epochs_is_nan_in_the_others() -> None:
    history = History([{"epoch": 1, "loss": 1.0}, {"epoch": 2, "loss": 0.5, "dev_loss": 0.25}])
    assert math.isnan(history["dev_loss"][0]) and history["dev_loss"][1] == 0.25
    assert history.best()["epoch"] == 2


def test_a_run_of_nan_has_no_best_epoch() -> None:
    with pytest.raises(ValueRangeError, match="expected a finite loss in some epoch, got nan in all"):
        History([{"epoch": 1, "loss": math.nan}]).best("loss")


def test_it_is_saved_and_loaded_exactly(tmp_path: Path) -> None:
    run().save(tmp_path / "history.csv")
    loaded = History.load(tmp_path / "history.csv")
    assert loaded.epochs[:2] == run().epochs[:2] and math.isnan(loaded["loss"][2])
    assert loaded.name == tmp_path.name and type(loaded["epoch"][0]) is int


def test_a_table_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("name,age\nAda,36\n")
    with pytest.raises(FileFormatError, match="is not a table of epochs"):
        History.load(tmp_path / "t.csv")


def test_it_shows_itself_as_text_and_html() -> None:
    history = run()
    assert (
        repr(history) == "History(3 epochs, loss nan, dev_accuracy 0.5)"
        and repr(History()) == "History(0 epochs)"
    )
    assert history.table().splitlines()[1].split() == ["1", "0.5", "0.25"]
    long = History([{"epoch": i, "loss<b>": 1.0} for i in range(50)])
    assert "30 more" in long._repr_html_() and "loss&lt;b&gt;" in long._repr_html_()
