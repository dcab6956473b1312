"""The configuration: its limits, its JSON, and the link that carries it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl.errors import DTypeError, TinygradError, ValueRangeError
from tinygrad_dl.playground.presets import PRESETS
from tinygrad_dl.playground.state import (
    ACTIVATIONS,
    INITIALIZATIONS,
    OPTIMIZERS,
    Config,
    Layer,
    from_fragment,
    to_fragment,
)

LAYERS = st.builds(
    Layer,
    units=st.integers(1, 32),
    activation=st.sampled_from(ACTIVATIONS),
    dropout=st.floats(0, 0.9),
    l1=st.floats(0, 1),
    l2=st.floats(0, 1),
)
CONFIGS = st.builds(
    Config,
    data=st.sampled_from(["circles", "moons", "spirals", "flower", "blobs", "xor", "regression", "digits"]),
    examples=st.integers(12, 1000),
    noise=st.floats(0, 1),
    train=st.floats(0.1, 0.9),
    normalize=st.booleans(),
    layers=st.lists(LAYERS, max_size=8),
    initialization=st.sampled_from(INITIALIZATIONS),
    optimizer=st.sampled_from(OPTIMIZERS),
    rate=st.floats(1e-6, 10),
    decay=st.floats(0, 10),
    batch_size=st.integers(1, 1000),
    seed=st.integers(0, 2**31 - 1),
)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=12,
)


@given(CONFIGS, st.integers(0, 100_000))
def test_a_link_restores_the_configuration_and_the_step(config: Config, step: int) -> None:
    assert from_fragment("#" + to_fragment([config, config], step)) == ((config, config), step)


@given(CONFIGS)
def test_every_configuration_trains_on_some_and_measures_on_others(config: Config) -> None:
    assert 1 <= config.training < config.count <= config.examples
    assert 1 <= config.batch <= config.training
    assert config.batch * config.steps_per_epoch <= config.training


@given(st.sampled_from(list(Config().as_json())), JSON)
def test_a_field_of_any_value_is_taken_or_refused_in_one_line(name: str, value: Any) -> None:
    try:
        config = Config.from_json({**Config().as_json(), name: value})
    except TinygradError as error:
        assert str(error) and "\n" not in str(error) and len(str(error)) < 300
    else:
        json.dumps(config.as_json(), allow_nan=False)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rate": float("nan")}, "rate: expected a number from 1e-06 to 10, got nan"),
        ({"rate": True}, "rate: expected a number, got True"),
        ({"examples": 1001}, "examples: expected an integer from 12 to 1000, got 1001"),
        ({"data": "mnist"}, "data: expected one of circles, moons, .*, got 'mnist'"),
        ({"layers": [{}] * 9}, "layers: expected at most 8 layers, got 9"),
        ({"layers": [{"units": 33}]}, "layer.units: expected an integer from 1 to 32, got 33"),
        ({"layers": [{"kind": "conv"}]}, "expected dense layers, got a convolution for circles"),
        ({"data": "points", "points": [[0, 0, 1]]}, "points: expected at least 4 points, got 1"),
        ({"points": [[0, 11, 1]]}, "points: y: expected a number from -10 to 10, got 11"),
        ({"surprise": 1}, "config: expected keys among data, .*, got 'surprise'"),
        ({"batch_size": 1, "layers": [{"batch_norm": True}]}, "at least 2 with batch normalization, got 1"),
        ({"seed": 10**100}, "seed: expected an integer .*, got an integer of more than 30 digits"),
    ],
    ids=lambda value: None if isinstance(value, str) else "-".join(value),
)
def test_what_is_out_of_its_limits_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueRangeError, DTypeError), match=message):
        Config.from_json(changes)


@pytest.mark.parametrize(
    "fragment", ["", "#", "%7B", "#[]", "#1", "#%7B%22runs%22%3A%5B%5D%2C%22step%22%3A0%7D"]
)
def test_a_link_that_is_none_is_refused(fragment: str) -> None:
    with pytest.raises(ValueRangeError):
        from_fragment(fragment)


@pytest.mark.parametrize("preset", PRESETS, ids=lambda preset: preset.name)
def test_a_preset_has_two_languages_two_sentences_and_a_question(preset: Any) -> None:
    assert set(preset.texts) == {"en", "ja"}
    english, japanese = preset.texts["en"], preset.texts["ja"]
    assert english[1].count(". ") + 1 >= 2 and english[1].endswith(".")
    assert japanese[1].count("。") >= 2
    assert "?" in english[2] and japanese[2].endswith("。")
    if len(preset.runs) == 2:
        first, second = (run.as_json() for run in preset.runs)
        assert first != second
