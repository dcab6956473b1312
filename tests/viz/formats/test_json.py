"""JSON: what it has to represent as text, and names of users."""

from __future__ import annotations

import json

import numpy as np
import pytest

from tests.leaves import leaf
from tests.viz.examples import NASTY, named
from tinygrad_dl import viz


@pytest.mark.parametrize("name", NASTY)
def test_a_nasty_name_survives_the_way_through_json(name: str) -> None:
    view = named(name)
    back = json.loads(view.json().encode())
    assert name in {node.get("name", "") for node in back["nodes"]}


def test_values_that_are_not_finite_stay_valid_json() -> None:
    x = leaf([np.nan, np.inf, 1.0])
    text = viz.draw((x * 2).sum()).json()
    found = json.loads(text, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    assert found["nodes"][0]["value"]["whole"] == ["nan", "inf", 1.0]
