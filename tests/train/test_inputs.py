"""What a Trainer takes: arrays, lists, frames, dicts, generators; and what it says to the rest."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn, optim
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.train import Trainer

pd = pytest.importorskip("pandas", reason="frames are pandas' (extra data)")
pytest.importorskip("sklearn", reason="frames are prepared with scikit-learn (extra data)")

X = np.random.default_rng(0).standard_normal((60, 3)).astype(np.float32)
Y = X.sum(axis=1, keepdims=True)


def trainer(features: int = 3) -> Trainer:
    model = nn.Sequential(nn.Linear(features, 8), nn.ReLU(), nn.Linear(8, 1))
    return Trainer(model, nn.MSELoss(), optim.Adam(model.parameters(), lr=0.05), progress="off")


def houses() -> Any:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"area": rng.normal(80, 20, 120).round(1), "city": rng.choice(["Kobe", "Nara"], 120)}
    )
    return frame.assign(price=frame["area"] * 1000 + (frame["city"] == "Kobe") * 20000.0)


FORMS = {
    "array": np.asarray,
    "list": list,
    "nested list": lambda a: a.tolist(),
    "Tensor": Tensor,
    "frame": pd.DataFrame,
}


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS.keys())
def test_arrays_lists_tensors_and_frames_of_numbers_are_taken(form: Any) -> None:
    expected, ours = trainer(), trainer()
    ours.model.load_state_dict(expected.model.state_dict())
    for t, x, y in ((expected, X, Y), (ours, form(X), form(Y))):
        t.fit(x, y, epochs=2, rng=0)
    np.testing.assert_allclose(ours.predict(form(X)), expected.predict(X), rtol=1e-5, atol=1e-6)
    assert ours.evaluate(form(X), form(Y))["loss"] == pytest.approx(
        expected.evaluate((X, Y))["loss"], rel=1e-5
    )


def test_a_frame_with_its_target_is_prepared_once() -> None:
    frame, t = houses(), trainer()
    t.fit(frame[:100], frame[100:], epochs=40, target="price", rng=0)
    assert t.table is not None and t.table.features == ["area", "city=Kobe", "city=Nara"]
    assert t.history.epochs[-1]["dev_loss"] < 0.05
    np.testing.assert_allclose(t.table.predictions(t.predict(frame[100:])), frame["price"][100:], rtol=0.15)
    assert t.evaluate(frame)["loss"] < 0.05
    assert t.predict(frame.drop(columns="price")).shape == (120, 1)


def test_polars_frames_are_taken() -> None:
    pl = pytest.importorskip("polars", reason="polars is not installed")
    frame, t = pl.DataFrame(houses().to_dict("list")), trainer()
    t.fit(frame, epochs=1, target="price")
    assert t.predict(frame).shape == (120, 1)
    t = trainer()
    t.fit(pl.DataFrame(X), pl.DataFrame(Y), epochs=1)
    assert t.predict(pl.DataFrame(X)).shape == (60, 1)


def test_dicts_of_arrays_are_inputs_by_order_and_a_target() -> None:
    t = trainer()
    t.fit({"x": X, "y": Y}, epochs=1, target="y")
    assert set(t.evaluate({"x": X, "y": Y}, target="y")) == {"loss"}


def test_generators_are_taken_for_every_epoch() -> None:
    def batches() -> Iterator[Any]:
        for i in range(0, 60, 20):
            yield Tensor(X[i : i + 20]), Tensor(Y[i : i + 20])

    for source in (batches, batches()):
        t = trainer()
        t.fit(source, epochs=3)
        assert t.batches == 3 and len(t.history.epochs) == 3
    assert t.evaluate(batches)["loss"] == pytest.approx(t.evaluate(X, Y)["loss"], rel=1e-4)


@pytest.mark.parametrize(
    "call, message",
    [
        (lambda t: t.fit(houses()), r"fit\(frame, target=\.\.\.\), one of 'area', 'city', 'price'"),
        (lambda t: t.fit({"x": X, "y": Y}), r"fit\(arrays, target=\.\.\.\), one of 'x', 'y'"),
        (lambda t: t.fit({"x": X, "y": Y}, target="z"), "expected one of the keys x, y, got 'z'"),
        (lambda t: t.fit({"y": Y}, target="y"), "expected an array beside the target"),
        (lambda t: t.fit(X), r"expected targets beside the array x: fit\(x, y\)"),
        (lambda t: t.fit(X, Y, target="y"), r"Write fit\(x, y\)"),
        (
            lambda t: t.fit(houses()[["area", "city"]], houses()["price"]),
            "Text and dates are prepared by a table",
        ),
        (lambda t: t.fit(X, Y, validation_data=(X, Y)), r"use dev=\(X, y\)"),
        (lambda t: t.fit(X, Y, learning_rate=0.1), "learning_rate: there is no such argument"),
        (lambda t: t.fit("data.csv"), "expected a data set"),
    ],
)
def test_what_does_not_fit_is_answered_with_the_call_that_does(call: Any, message: str) -> None:
    with pytest.raises((DTypeError, ValueRangeError), match=message):
        call(trainer())
