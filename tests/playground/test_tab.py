"""Messages from the page: what is right is done, what is wrong is answered once and changes nothing."""

from __future__ import annotations

import json
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.playground.test_state import JSON
from tinygrad_dl.playground.messages import MAX_BYTES, NUMBERS
from tinygrad_dl.playground.state import Config, Layer
from tinygrad_dl.playground.tab import Tab, frame
from tinygrad_dl.typing import NDArray

SMALL = Config(data="xor", examples=40, layers=(Layer(units=3),), batch_size=5).as_json()


def ask(tab: Tab, **message: Any) -> list[dict[str, Any]]:
    return [json.loads(text) for text in tab.receive(json.dumps(message))]


def decoded(block: bytes) -> tuple[dict[str, Any], dict[str, NDArray]]:
    (length,) = struct.unpack_from("<I", block)
    header = json.loads(block[4 : 4 + length])
    arrays = {}
    for name, place in header["arrays"].items():
        count = int(np.prod(place["shape"]))
        made = np.frombuffer(block, "<" + place["dtype"], count, 4 + length + place["offset"])
        arrays[name] = made.reshape(place["shape"])
    return header, arrays


@pytest.fixture(scope="module")
def configured() -> Tab:
    tab = Tab()
    assert ask(tab, type="configure", runs=[SMALL], step=0, number=1) == []
    ask(tab, type="advance", steps=5)
    return tab


def state(tab: Tab) -> Any:
    weights = [
        value.tobytes() for s in tab.sessions for value in map(np.array, s.model.state_dict().values())
    ]
    return tab.speed, tab.until, tab.example, [s.step for s in tab.sessions], weights


hostile = (
    st.text(max_size=200)
    | JSON.map(json.dumps)
    | st.builds(
        lambda kind, fields: json.dumps({**fields, "type": kind}),
        st.sampled_from([*NUMBERS, "eval", "", None]),
        st.dictionaries(
            st.sampled_from(
                [
                    "step",
                    "steps",
                    "speed",
                    "run",
                    "layer",
                    "unit",
                    "input",
                    "index",
                    "runs",
                    "format",
                    "content",
                ]
            ),
            st.just(10**9) | st.just(-1) | st.floats(allow_nan=True) | st.text(max_size=9) | st.none(),
            min_size=1,
        ),
    )
)


@given(hostile)
def test_a_hostile_message_is_answered_once_and_changes_nothing(configured: Tab, text: str) -> None:
    before = state(configured)
    answers = [json.loads(answer) for answer in configured.receive(text)]
    assert len(answers) == 1 and answers[0]["type"] == "error", answers
    assert answers[0]["message"] and "\n" not in answers[0]["message"] and len(answers[0]["message"]) < 400
    assert state(configured) == before


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[" * 100_000, "expected JSON"),
        ("9" * 5000, "more than 40 digits"),
        ('{"type": "play", "speed": NaN}', "expected finite numbers, got NaN"),
        ('{"type": "play", "speed": 1e999}', "expected finite numbers"),
        ('{"type": "advance", "steps": 1001}', "advance.steps: expected an integer from 1 to 1000, got 1001"),
        ('{"type": "advance", "steps": 1, "more": 2}', "advance: expected the fields steps, type"),
        ('{"type": "seek", "step": 99}', "seek.step: expected a step from 0 to 5, got 99"),
        (
            '{"type": "unit", "run": 1, "layer": 0, "unit": 0}',
            "unit.run: expected a run that is there, got 1",
        ),
        ('{"type": "unit", "run": 0, "layer": 2, "unit": 0}', "layer: expected an index from 0 to 1, got 2"),
        (
            '{"type": "weight", "run": 0, "layer": 0, "unit": 0, "input": 2}',
            "input: expected an index from 0 to 1",
        ),
        ('{"type": "export", "run": 0, "format": "pickle"}', "export.format: expected one of program"),
        (
            '{"type": "configure", "runs": [], "step": 0, "number": 1}',
            "runs: expected a list of 1 to 2 configurations",
        ),
        (json.dumps({"type": "x" * MAX_BYTES}), f"expected at most {MAX_BYTES} characters"),
    ],
    ids=range(13),
)
def test_the_error_says_what_was_expected(configured: Tab, text: str, message: str) -> None:
    (answer,) = (json.loads(answer) for answer in configured.receive(text))
    assert answer["type"] == "error" and message in answer["message"]


def test_nothing_can_be_asked_before_there_is_a_configuration() -> None:
    assert ask(Tab(), type="epoch")[0]["message"] == "epoch: expected a configuration first, got none yet"


def test_a_frame_comes_when_the_last_one_was_seen() -> None:
    tab = Tab()
    ask(tab, type="configure", runs=[SMALL], step=0, number=2)
    ask(tab, type="play", speed=3)
    block = tab.work()
    assert block is not None and tab.sessions[0].step == 3
    assert tab.waiting and tab.work() is None and tab.sessions[0].step == 3
    ask(tab, type="seen")
    assert tab.work() is not None and tab.sessions[0].step == 6
    ask(tab, type="pause")
    ask(tab, type="seen")
    assert tab.work() is not None  # what the pause changed is shown
    ask(tab, type="seen")
    assert tab.work() is None


def test_two_runs_are_in_a_frame_and_a_links_step_is_reached() -> None:
    tab = Tab()
    ask(tab, type="configure", runs=[SMALL, {**SMALL, "seed": 1}], step=12, number=1)
    block = tab.work()
    assert block is not None
    header, arrays = decoded(block)
    assert [run["step"] for run in header["runs"]] == [12, 12] and header["fresh"] and not header["replaying"]
    assert arrays["0/boundary"].shape == arrays["1/boundary"].shape == (60, 60, 1)
    assert arrays["0/weights0"].shape == (3, 2) and arrays["0/examples_x"].shape == (40, 2)
    np.testing.assert_array_equal(arrays["0/weights0"], tab.sessions[0].model[0].weight.data)


def test_a_step_asked_for_on_the_way_to_a_links_step_comes_after_it() -> None:
    tab = Tab()
    ask(tab, type="configure", runs=[SMALL], step=12, number=1)
    ask(tab, type="advance", steps=1)
    assert tab.work() is not None and tab.sessions[0].step == 13


@given(st.lists(st.integers(0, 7), max_size=5))
def test_arrays_of_a_frame_are_aligned(sizes: list[int]) -> None:
    given = {str(i): np.arange(n, dtype="u1" if i % 2 else "f4") for i, n in enumerate(sizes)}
    header, arrays = decoded(frame({"text": "é"}, given))
    assert all(place["offset"] % 4 == 0 for place in header["arrays"].values())
    for name, array in given.items():
        np.testing.assert_array_equal(arrays[name], array)
