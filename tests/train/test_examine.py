"""examine: errors by value, permutation importance, residuals, calibration, and their place in a report."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import data, nn, optim, train
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train.html_report import write_report

pd = pytest.importorskip("pandas", reason="tables need the extra data")
pytest.importorskip("sklearn", reason="tables need the extra data")
pytest.importorskip("matplotlib", reason="pictures need the extra viz")


def trained(target: str) -> tuple[Any, Any, Any]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": rng.normal(80, 20, 200), "city": rng.choice(["Kobe", "Nara"], 200), "noise": rng.normal(0, 1, 200),
            "day": pd.date_range("2020-01-01", periods=200, freq="5D").astype(str),
        }
    )  # fmt: skip
    frame["price"] = frame["area"] * 3 + (frame["city"] == "Kobe") * rng.normal(0, 40, 200)
    frame["large"] = np.where(frame["area"] > 80, "yes", "no")
    table = data.Table(frame, target, drop=["large" if target == "price" else "price"], quiet=True)
    table.fit(np.arange(150))
    tg.manual_seed(0)
    outputs = 1 if target == "price" else 2
    model = nn.Sequential(nn.Linear(len(table.features), 16), nn.ReLU(), nn.Linear(16, outputs))
    loss = nn.MSELoss() if target == "price" else nn.CrossEntropyLoss()
    trainer = train.Trainer(model, loss, optim.Adam(model.parameters(), lr=0.01), progress="off")
    trainer.fit(table.dataset(frame[:150]), epochs=30, rng=0)
    return trainer, table, frame[150:]


@pytest.mark.parametrize("target", ["price", "large"])
def test_errors_and_importances_are_found_and_shown_in_the_report(target: str, tmp_path: Path) -> None:
    trainer, table, test = trained(target)
    found = train.examine(trainer, table, test, tmp_path)
    assert found.importance.index[0] == "area" and found.importance["importance"].iloc[0] > 0
    assert len(found.predictions) == 50
    of_city = found.by_value.query("column == 'city'")
    mean = np.average(of_city["error"], weights=of_city["rows"])
    np.testing.assert_allclose(mean, found.predictions["error"].mean(), rtol=1e-5)
    if target == "price":
        city = found.by_value.query("column == 'city'").set_index("value")["error"]
        assert city["Kobe"] > city["Nara"]
    names = {"importance.png", "errors.png", "residuals.png" if target == "price" else "calibration.png"}
    assert {p.name for p in tmp_path.iterdir()} == names
    text = write_report(tmp_path).read_text(encoding="utf-8")
    assert "Which columns count" in text and "Errors by column value" in text


def test_what_does_not_fit_is_one_clear_error() -> None:
    trainer, table, test = trained("price")
    with pytest.raises(DTypeError, match="expected a Trainer and the Table"):
        train.examine(table, trainer, test)  # type: ignore[arg-type]
    with pytest.raises(ValueRangeError, match="expected the column 'price' to compare with"):
        train.examine(trainer, table, test.drop(columns="price"))
