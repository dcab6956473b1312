"""The doctor on random code: correct code gets no complaint, and planted mistakes are found and named.

`python -m tests.testing.generated --cases 10000` prints the tables; HYPOTHESIS_PROFILE=thorough runs many here.
"""

from __future__ import annotations

import os

from tests.testing import generated

CASES = 2000 if os.environ.get("HYPOTHESIS_PROFILE") == "thorough" else 60


def test_correct_code_is_never_called_wrong():
    _, _, _, lines = generated.measure(range(CASES), planted=False)
    assert not lines, "\n".join(lines)


def test_every_planted_mistake_is_found_and_nearly_all_are_named_at_first_guess():
    cases, found, named, lines = generated.measure(range(CASES), planted=True)
    assert found == cases, "\n".join(lines)
    assert named.total() >= 0.95 * cases.total(), "\n".join(lines)


def test_the_generator_draws_at_least_thirty_kinds_of_mistakes_and_repeats_them_by_seed():
    assert len({name for mistakes in generated.FAMILIES.values() for name in mistakes}) > 30
    first, again = generated.draw(7, planted=True), generated.draw(7, planted=True)
    assert (first.family, first.mistake, first.about) == (again.family, again.mistake, again.about)
