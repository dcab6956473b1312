"""The doctor finds injected mistakes, names them, and accepts correct code."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

from tests.layout import ROOT
from tests.testing import handwritten
from tinygrad_dl.testing import BackwardError, check_backward

INJECTED = [
    (handwritten.shallow, "missing 1/m", "missing 1/m"),
    (handwritten.shallow, "sign", "sign"),
    (handwritten.shallow, "output activation derivative", "activation derivative"),
    (handwritten.shallow, "factor 2", "factor 2"),
    (handwritten.shallow, "missing 1/m in dW2", "missing 1/m"),
    (handwritten.shallow, "wrong layer's values", "wrong layer"),
    (handwritten.shallow, "extra 1/m in db2", "extra 1/m"),
    (handwritten.shallow, "activation derivative", "activation derivative"),
    (handwritten.shallow, "sigmoid for tanh", "wrong activation"),
    (handwritten.shallow, "relu for tanh", "wrong activation"),
    (handwritten.shallow, "derivative at z", "wrong activation"),
    (handwritten.shallow, "forgotten square", "wrong activation"),
    (handwritten.shallow, "transpose", "transpose"),
    (handwritten.shallow, "missing sum", "missing sum"),
    (handwritten.shallow, "wrong axis", "wrong axis"),
    (handwritten.shallow, "sum over everything", "wrong axis"),
    (handwritten.shallow, "keepdims", "shape"),
    (handwritten.shallow, "missing gradient", "missing gradient"),
    (handwritten.shallow, "stale cache", "stale cache"),
    (lambda mistake: handwritten.shallow(mistake, lambd=0.7), "L2 term", "L2 term"),
    (lambda mistake: handwritten.shallow(mistake, lambd=0.7), "L2 scale", "L2 term"),
    (handwritten.deep, "dropout mask", "dropout mask"),
    (handwritten.deep, "dropout scale", "dropout not scaled"),
    (handwritten.deep, "relu derivative", "activation derivative"),
    (handwritten.deep, "relu the wrong way round", "wrong activation"),
    (handwritten.deep, "relu as value", "wrong activation"),
    (handwritten.deep, "mean for sum", "extra 1/m"),
    (handwritten.deep, "other layer's weights", "transpose"),
    (handwritten.deep, "layers swapped", "wrong layer"),
    (handwritten.batch_norm, "dgamma without hat", "wrong layer"),
    (handwritten.batch_norm, "dgamma not summed", "missing sum"),
    (handwritten.batch_norm, "gamma forgotten", "missing factor"),
    (handwritten.batch_norm, "mean as a constant", "missing path"),
    (handwritten.batch_norm, "variance as a constant", "missing path"),
    (handwritten.batch_norm, "sums for means", "missing 1/m"),
]


@pytest.mark.parametrize(("model", "mistake", "kind"), INJECTED, ids=[f"{m}" for _, m, _ in INJECTED])
def test_an_injected_mistake_is_found_and_named_at_first_guess(model, mistake, kind):
    diagnosis = check_backward(*model(mistake))
    assert not diagnosis
    assert diagnosis.mistake == kind, str(diagnosis)


def test_a_mistake_of_an_unknown_kind_is_found_nevertheless():
    diagnosis = check_backward(*handwritten.batch_norm("variance for deviation"))
    assert diagnosis.wrong == ["x"]


@pytest.mark.parametrize(
    "model",
    [handwritten.shallow, handwritten.deep, handwritten.batch_norm, lambda: handwritten.shallow(lambd=0.7)],
    ids=["shallow", "deep with dropout", "batch norm", "L2"],
)
def test_correct_code_is_accepted(model):
    diagnosis = check_backward(*model())
    assert diagnosis, str(diagnosis)
    assert diagnosis.guesses == [] and diagnosis.traced


def test_a_forward_that_leaves_numpy_is_checked_by_finite_differences_only():
    def forward(x):
        return float(sum(float(v) ** 2 for v in x))

    diagnosis = check_backward(forward, lambda x: 2 * x, np.array([1.0, 2.0, 3.0]))
    assert diagnosis and not diagnosis.traced
    wrong = check_backward(forward, lambda x: -2 * x, np.array([1.0, 2.0, 3.0]))
    assert wrong.mistake == "sign"
    assert "differences only" in str(wrong)


def test_raise_exception_raises_with_the_diagnosis():
    with pytest.raises(BackwardError, match="likely mistake: sign") as caught:
        check_backward(lambda x: (x * x).sum(), lambda x: -2 * x, np.array([1.0, 2.0]), raise_exception=True)
    assert caught.value.diagnosis.wrong == ["x"]


def test_a_random_forward_is_refused_with_a_hint():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two calls with the same inputs differ"):
        check_backward(lambda x: (x * rng.random(2)).sum(), lambda x: x, np.array([1.0, 2.0]))


def test_the_global_random_state_is_restored():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    check_backward(lambda x: (x * np.random.rand(2)).sum(), lambda x: x, np.array([1.0, 2.0]))  # noqa: NPY002
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_integer_inputs_alone_are_refused():
    with pytest.raises(TypeError, match="expected at least one floating-point array"):
        check_backward(lambda x: x.sum(), lambda x: x, np.array([1, 2]))


def test_a_backward_with_other_arguments_is_refused():
    with pytest.raises(TypeError, match="expected backward to take"):
        check_backward(lambda x: x.sum(), lambda a, b, c, d: a, np.array([1.0, 2.0]))


def test_the_page_shows_the_current_guesses_of_the_doctor():
    path = ROOT / "docs" / "planted.py"
    spec = spec_from_file_location("planted_page", path)
    page = module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text() == page.fresh(), "run: python docs/planted.py"
