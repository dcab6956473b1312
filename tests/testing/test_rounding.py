"""Where a function rounds is said once for each place; a function that computes in float64 throughout has none."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl.testing import rounding
from tinygrad_dl.testing.gradcheck import Problem

X = np.array([0.3, -1.0])


def places(f, *arrays, backward=None):
    """The places without where they are called, and the dtypes."""
    problem = Problem(f, arrays or (X,), backward)
    found = rounding.places(problem)
    assert all("returns" in place or "test_rounding.py:" in place for place in found)
    return [place.partition(", called at")[0] for place in found], [str(d) for d in rounding.dtypes(problem)]


@pytest.mark.parametrize(
    "f",
    [
        lambda x: (tg.exp(x), x * 2),
        lambda x: tg.where(x > 0, x, 2 * x),
        lambda x: tg.floor(x) + 0 * x,
        lambda x: x.detach() * 2,
        lambda x: tg.ones(2, dtype="float64"),
        lambda x: x * tg.asarray(np.ones(2, np.float32)).astype("float64"),
        lambda x: tg.abs(x * (1 + 2j)),
    ],
)
def test_a_function_in_float64_rounds_nowhere(f):
    assert places(f) == ([], [])


def test_inputs_without_use_and_graphs_from_outside_stay_as_they_are():
    assert places(lambda x, y: x * 2, X, X) == ([], [])
    given = tg.asarray(X).requires_grad_()
    outside = given * given
    assert places(lambda x: x * outside, given) == ([], [])
    outside.sum().backward()
    assert given.grad.tolist() == (2 * X).tolist()


def test_the_operation_the_gradient_and_the_result_that_round_are_named():
    cast = "float64 is rounded to float32 by astype"
    assert places(lambda x: x.astype("float32")) == (
        [cast, "the function returns float32"], ["float32"] * 2
    )  # fmt: skip
    assert places(lambda x: x * x.astype("float32")) == (
        [cast, "float64 is rounded to float32 by the gradient of multiply"], ["float32"] * 2
    )  # fmt: skip
    assert places(lambda x: (x.astype("float16") * 2, x.astype("float32")))[1][-2:] == ["float16", "float32"]
    assert places(lambda x: (x, np.float32(1))) == (["the function returns float32"], ["float32"])
    assert places(lambda x: (x, tg.ones(2))) == (["the function returns float32"], ["float32"])
    found = places(lambda z: z.astype("complex64"), X + 1j)
    assert found == (
        ["complex128 is rounded to complex64 by astype", "the function returns complex64"],
        ["complex64"] * 2,
    )


def test_a_place_that_is_passed_again_is_said_once():
    def repeated(x):
        for _ in range(3):
            x = x * tg.astype(x, "float32")
        return x

    assert len(places(repeated)[0]) == 2


def test_the_results_of_a_numpy_function_are_looked_at():
    assert places(np.sin, backward=lambda g, x: g * np.cos(x)) == ([], [])
    found = places(lambda x: np.float32(x), backward=lambda g, x: g)
    assert found == (["the function returns float32"], ["float32"])
