"""A run: its steps, the way back, what is shown of it, and that looking changes nothing."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.playground import inside
from tinygrad_dl.playground.session import CHECKPOINTS, CURVE, Session, histogram, thinned
from tinygrad_dl.playground.state import Config, Layer
from tinygrad_dl.typing import NDArray

SMALL = Config(data="xor", examples=40, layers=(Layer(units=3),), batch_size=5)
FULL = Config(
    data="xor",
    examples=40,
    layers=(
        Layer(units=3, activation="relu", batch_norm=True, dropout=0.2, l2=0.01),
        Layer(units=2, l1=0.001),
    ),
    initialization="he",
    decay=0.1,
    batch_size=5,
)


def arrays(session: Session) -> list[NDArray]:
    return [np.array(value) for value in session.model.state_dict().values()]


def same(a: list[NDArray], b: list[NDArray]) -> bool:
    return all(np.array_equal(x, y) for x, y in zip(a, b))


def test_a_run_goes_back_to_any_step_and_takes_the_same_steps_again() -> None:
    session = Session(FULL)
    session.advance(13)
    there = arrays(session)
    session.advance(20)
    losses, end = list(session.batch_losses), arrays(session)
    session.seek(13)
    np.testing.assert_allclose(np.hstack([a.ravel() for a in arrays(session)]),
                               np.hstack([a.ravel() for a in there]), rtol=1e-4, atol=1e-5)  # fmt: skip
    assert len(session.batch_losses) == 33  # what came later can still be gone to
    session.seek(33)
    np.testing.assert_allclose(np.hstack([a.ravel() for a in arrays(session)]),
                               np.hstack([a.ravel() for a in end]), rtol=1e-4, atol=1e-5)  # fmt: skip
    session.seek(13)
    session.advance(20)
    np.testing.assert_allclose(session.batch_losses, losses, rtol=1e-4, atol=1e-5)


def test_training_from_an_earlier_step_forgets_what_came_later() -> None:
    session = Session(SMALL)
    session.advance(30)
    session.seek(10)
    session.advance(1)
    assert session.step == len(session.batch_losses) == 11
    assert max(m.step for m in session.measured) <= 11


def test_only_steps_that_were_taken_can_be_gone_to() -> None:
    session = Session(SMALL)
    session.advance(3)
    for step in (-1, 4):
        with pytest.raises(ValueRangeError, match=f"expected a step from 0 to 3, got {step}"):
            session.seek(step)


def test_checkpoints_and_curves_stay_bounded() -> None:
    session = Session(Config(data="xor", examples=12, layers=(), batch_size=1000))
    session.advance(1000)
    assert len(session._checkpoints) <= CHECKPOINTS and session._checkpoints[0].step == 0
    assert all(len(curve) <= CURVE for curve in session.curves().values())
    assert thinned(1001)[[0, -1]].tolist() == [0, 1000]


def test_looking_inside_changes_nothing() -> None:
    session = Session(FULL)
    session.advance(9)
    before, state = arrays(session), session._random
    session.layers()
    session.pictures()
    session.status()
    inside.unit(session, 0, 1)
    inside.weight(session, 1, 0, 2)
    inside.check(session)
    inside.rates(session)
    inside.surface([session], 0)
    inside.diagnosis(session)
    assert "<svg" in inside.graph(session) or "<html" in inside.graph(session)
    assert same(before, arrays(session)) and session._random == state


def test_the_gradient_of_a_weight_is_the_sum_that_is_shown() -> None:
    session = Session(
        Config(data="xor", examples=40, layers=(Layer(units=3, l2=0.01, l1=0.02),), batch_size=8)
    )
    session.advance(5)
    answer = inside.weight(session, 0, 1, 0)
    w = answer["value"]
    assert answer["penalty"] == pytest.approx(0.02 * math.copysign(1, w) + 2 * 0.01 * w)
    total = sum(term["delta"] * term["value"] for term in answer["terms"])  # 8 examples: all are shown
    assert answer["gradient"] == pytest.approx(total + answer["penalty"], rel=1e-4, abs=1e-7)


def test_the_value_of_a_unit_is_the_sum_that_is_shown() -> None:
    session = Session(SMALL)
    session.advance(5)
    answer = inside.unit(session, 0, 2)
    total = sum(term["weight"] * term["value"] for term in answer["terms"]) + answer["bias"]
    assert answer["sum"] == pytest.approx(total, rel=1e-4, abs=1e-6)
    assert answer["output"] == pytest.approx(math.tanh(total), rel=1e-4, abs=1e-6)


def test_the_check_finds_a_wrong_gradient() -> None:
    session = Session(SMALL)
    assert inside.check(session)["passed"]
    loss_of = session.space["loss_of"]
    # Half of the loss is hidden from the graph, so gradients are half of what they should be.
    session.space["loss_of"] = lambda out, y: 0.5 * loss_of(out, y) + 0.5 * loss_of(out.detach(), y)
    assert not inside.check(session)["passed"]


def test_two_runs_side_by_side_do_not_share_random_numbers() -> None:
    alone = Session(FULL)
    alone.advance(8)
    first, second = Session(FULL), Session(FULL)
    for _ in range(8):
        first.advance(1)
        second.advance(1)
    np.testing.assert_allclose(first.batch_losses, alone.batch_losses, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(second.batch_losses, alone.batch_losses, rtol=1e-4, atol=1e-5)


def test_units_that_start_at_zero_stay_equal() -> None:
    session = Session(Config(data="circles", examples=60, layers=(Layer(units=3),), initialization="zeros"))
    session.advance(20)
    assert np.ptp(session.model[0].weight.data, axis=0).max() == 0


def test_a_run_that_diverges_stops_and_says_so() -> None:
    session = Session(
        Config(
            data="regression",
            examples=40,
            layers=(Layer(units=8, activation="relu"),),
            initialization="large",
            optimizer="sgd",
            rate=10.0,
        )  # fmt: skip
    )
    session.advance(300)
    assert session.diverged and session.step < 300
    status = session.status()
    assert status["diverged"] and status["batch_loss"] is None
    session.pictures()
    session.layers()


@pytest.mark.parametrize(
    "config",
    [
        Config(
            data="digits",
            examples=40,
            layers=(Layer(kind="conv", units=2, activation="relu"), Layer(units=3)),
        ),
        Config(data="digits", examples=40, layers=(Layer(kind="conv", units=2), Layer(kind="conv", units=3))),
        Config(data="digits", examples=40, layers=(Layer(units=3),)),
        Config(data="regression", examples=40),
        Config(data="spirals", examples=42),
        Config(data="points", points=((0, 0, 0), (1, 1, 1), (0, 0, 0), (1, 1, 1))),
        Config(data="points", points=((0, 0, 0),) * 4),
        Config(data="blobs", examples=12, layers=()),
    ],
    ids=[
        "cnn",
        "two-convolutions",
        "dense-digits",
        "regression",
        "spirals",
        "points",
        "one-point",
        "no-layer",
    ],
)
def test_every_kind_of_run_has_its_pictures(config: Config) -> None:
    session = Session(config)
    session.advance(3)
    made = session.pictures()
    for i, layer in enumerate(config.layers):
        assert len(made[f"units{i}"]) == layer.units and made[f"units{i}"].dtype == np.uint8
    assert len(session.weights()) == len(session.layers()) == len(config.layers) + 1
    assert inside.unit(session, len(config.layers), 0)["unit"] == 0
    if config.data != "digits":
        left, right, bottom, top = session.extent()
        assert left < right and bottom < top
    if config.classes > 2 and config.data != "digits":
        assert made["boundary"].shape[2] == config.classes


def test_a_histogram_counts_what_is_finite() -> None:
    made = histogram(np.array([0.0, 1.0, 1.0, np.nan, np.inf]))
    assert sum(made["counts"]) == 3 and made["lost"] == 2 and (made["low"], made["high"]) == (0, 1)
    assert sum(histogram(np.zeros(5))["counts"]) == 5
    assert sum(histogram(np.full(3, np.nan))["counts"]) == 0


def test_the_loss_surface_of_a_line_is_its_parabola_through_the_measured_losses() -> None:
    config = Config(data="regression", layers=(), optimizer="sgd", rate=0.05, batch_size=1000)
    sessions = [Session(config), Session(replace(config, optimizer="momentum"))]
    for session in sessions:
        session.advance(30)
    found = inside.surface(sessions, 1)
    assert found["names"] == [0, 1] and found["explained"] == 1  # a weight and a bias span the plane
    left, right, bottom, top = found["extent"]
    u, v = np.meshgrid(np.linspace(left, right, found["size"]), np.linspace(bottom, top, found["size"]))

    def terms(u: NDArray, v: NDArray) -> NDArray:
        return np.stack([u * u, u * v, v * v, u, v, np.ones_like(u)], axis=-1)

    losses = np.array(found["losses"])
    coefficients, *_ = np.linalg.lstsq(terms(u.ravel(), v.ravel()), losses, rcond=None)
    for session, flat in zip(sessions, found["paths"]):
        path = np.array(flat).reshape(-1, 2)
        assert len(path) == 31
        along = terms(*path.T) @ coefficients
        np.testing.assert_allclose(along, [m.train_loss for m in session.measured], rtol=5e-3, atol=2e-3)
    assert found["paths"][1][-2:] == [0, 0]
    with pytest.raises(ValueRangeError, match="surface: expected a run of two epochs or more"):
        inside.surface([Session(config)], 0)


def test_what_speaks_for_a_digit_is_the_weights_of_a_network_without_hidden_layers() -> None:
    session = Session(Config(data="digits", examples=60, layers=()))
    session.advance(20)
    gradients = [p.grad.data.copy() for p in session.model.parameters()]
    shown = session.pictures()["units0"].astype(float) - 128
    weights = session.model[0].weight.data.reshape(10, 8, 8)
    expected = 127 * weights / np.abs(weights).max((1, 2), keepdims=True)
    np.testing.assert_allclose(shown, expected, atol=0.51)
    for p, before in zip(session.model.parameters(), gradients):
        np.testing.assert_array_equal(p.grad.data, before)


def test_the_learning_rate_test_counts_penalties() -> None:
    plain = Session(Config(data="xor", examples=40, layers=(Layer(units=3),), batch_size=20))
    penalized = Session(replace(plain.config, layers=(Layer(units=3, l1=0.5, l2=1.0),), output_l2=0.3))
    hidden, output = (np.asarray(plain.model[i].weight.data, float) for i in (0, 2))
    extra = 0.5 * np.abs(hidden).sum() + (hidden**2).sum() + 0.3 * (output**2).sum()
    first, second = inside.rates(plain)["losses"][0], inside.rates(penalized)["losses"][0]
    assert second - first == pytest.approx(extra, rel=1e-3)
