"""Arguments compared with annotations: what fits, what does not, and the words of the errors."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Literal

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl.arguments import Count, Decay, NonNegative, Positive, Probability, Size, checked, explained
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import Array, Sizes


class Layer:
    @checked
    def __init__(
        self,
        features: Size,
        eps: Positive = 1e-5,
        momentum: float | None = 0.1,
        bias: bool = True,
        mode: Literal["zeros", "same"] = "zeros",
        betas: tuple[Decay, Decay] = (0.9, 0.999),
        kernel: Sizes = 1,
        groups: Count = 1,
        decay: NonNegative = 0,
        p: Probability = 0.5,
    ) -> None:
        self.features = features


@explained
def softened(x: Array, axis: int = -1) -> Any:
    return x.ndim + axis


@explained
def called(f: Callable[[], Any], n: int = 0) -> Any:
    return f()


@explained
def indexed(x: np.ndarray, rows: Sequence[int]) -> Any:
    return x[rows[0]]


@pytest.mark.parametrize(
    "arguments",
    [
        {"features": 3}, {"features": np.int64(3)}, {"features": tg.asarray(3)}, {"features": 0},
        {"features": 1, "eps": 1}, {"features": 1, "eps": np.float32(0.1)}, {"features": 1, "eps": tg.Tensor(0.1)},
        {"features": 1, "momentum": None}, {"features": 1, "bias": np.True_}, {"features": 1, "bias": 0},
        {"features": 1, "betas": [0.5, 0]}, {"features": 1, "kernel": (1, 2)},
        {"features": 1, "kernel": np.array([1, 2])},
        {"features": 1, "p": 1}, {"features": 1, "decay": 0},
    ],
)  # fmt: skip
def test_what_fits_is_taken(arguments: dict[str, Any]) -> None:
    Layer(**arguments)


@pytest.mark.parametrize(
    ("arguments", "kind", "words"),
    [
        ({"features": "a"}, DTypeError, "features: expected an int of at least 0, got str 'a'"),
        ({"features": True}, ValueRangeError, "features: expected an int of at least 0, got bool True"),
        ({"features": 2.0}, DTypeError, "features: expected an int of at least 0, got float 2.0"),
        ({"features": -1}, ValueRangeError, "features: expected an int of at least 0, got int -1"),
        (
            {"features": 2**40},
            ValueRangeError,
            "features: expected an int of at least 0 and at most 2147483647, got int 1099511627776",
        ),
        ({"features": None}, DTypeError, "features: expected an int of at least 0, got NoneType None"),
        ({"features": 1, "eps": 0}, ValueRangeError, "eps: expected a number above 0, got int 0"),
        (
            {"features": 1, "eps": float("nan")},
            ValueRangeError,
            "eps: expected a number above 0, got float nan",
        ),
        (
            {"features": 1, "eps": float("inf")},
            ValueRangeError,
            "eps: expected a number above 0, got float inf",
        ),
        ({"features": 1, "eps": 1j}, DTypeError, "eps: expected a number above 0, got complex 1j"),
        ({"features": 1, "momentum": "q"}, DTypeError, "momentum: expected a number or None, got str 'q'"),
        ({"features": 1, "bias": "False"}, DTypeError, "bias: expected True or False, got str 'False'"),
        (
            {"features": 1, "mode": "abc"},
            ValueRangeError,
            "mode: expected one of 'zeros', 'same', got str 'abc'",
        ),
        ({"features": 1, "mode": 3}, DTypeError, "mode: expected one of 'zeros', 'same', got int 3"),
        (
            {"features": 1, "betas": 0.9},
            DTypeError,
            "betas: expected a tuple of 2 numbers in [0, 1), got float 0.9",
        ),
        (
            {"features": 1, "betas": (0.9, 1.5)},
            ValueRangeError,
            "betas: expected a tuple of 2 numbers in [0, 1), got tuple (0.9, 1.5)",
        ),
        (
            {"features": 1, "kernel": "a"},
            DTypeError,
            "kernel: expected an int or a sequence of them, got str 'a'",
        ),
        ({"features": 1, "groups": 0}, ValueRangeError, "groups: expected an int of at least 1, got int 0"),
        ({"features": 1, "p": 1.1}, ValueRangeError, "p: expected a number in [0, 1], got float 1.1"),
        (
            {"features": 1, "decay": -0.1},
            ValueRangeError,
            "decay: expected a number of at least 0, got float -0.1",
        ),
    ],
)
def test_what_does_not_fit_is_named(arguments: dict[str, Any], kind: type[Exception], words: str) -> None:
    with pytest.raises(kind) as caught:
        Layer(**arguments)
    assert str(caught.value) == f"Layer: {words}"
    assert caught.value.__cause__ is None and caught.value.__context__ is None


def test_a_missing_argument_is_pythons_own_error() -> None:
    with pytest.raises(TypeError, match="missing 1 required positional argument"):
        Layer()  # type: ignore[call-arg]


def test_a_failure_names_the_argument_that_does_not_fit_and_chains_nothing() -> None:
    with pytest.raises(DTypeError) as caught:
        softened(None)  # type: ignore[arg-type]
    assert str(caught.value) == "softened: x: expected a Tensor or an array, got NoneType None"
    assert caught.value.__cause__ is None and caught.value.__suppress_context__ is False
    assert caught.value.__context__ is None


def test_nested_lists_of_numbers_are_taken_as_arrays() -> None:
    assert softened([[1.0]]) == softened(x=((1.0, 2.0),)) == 1  # type: ignore[arg-type]
    with pytest.raises(
        DTypeError, match=r"^softened: x: expected a Tensor or an array, got list \[\['a'\]\]$"
    ):
        softened([["a"]])  # type: ignore[arg-type]


def test_the_name_of_a_helper_gives_way_to_what_the_user_called() -> None:
    @explained
    def pooled(x: Array, text: str, padding: int = 0) -> None:
        raise ShapeError(text)

    for text, words in [
        ("inner: expected 3 axes", "pooled: expected 3 axes"),
        ("padding=-1: expected at least 0", "pooled: padding=-1: expected at least 0"),
        ("inner((4, 3), axis=(0,)): cannot reshape", "pooled: cannot reshape"),
        ("Layer: expected 3 axes", "pooled: Layer: expected 3 axes"),
        ("pooled: as it is", "pooled: as it is"),
    ]:
        with pytest.raises(ShapeError) as caught:
            pooled(np.ones(2), text)
        assert str(caught.value) == words


def test_a_failure_with_fitting_arguments_says_what_was_given() -> None:
    with pytest.raises(
        IndexRangeError, match=r"^indexed\(x=an array of shape \(2,\) and dtype float64, rows=list \[5\]\): "
    ):
        indexed(np.ones(2), [5])


def test_errors_of_the_users_own_function_are_not_touched() -> None:
    with pytest.raises(ZeroDivisionError):
        called(lambda: 1 / 0)
    with pytest.raises(DTypeError, match="^called: f: expected a function, got int 3"):
        called(3)  # type: ignore[arg-type]


def test_errors_raised_on_purpose_pass_through() -> None:
    @explained
    def raising(x: int, error: Exception) -> None:
        raise error

    for error in (ShapeError("raising: as it is"), KeyError("raising: as it is")):
        with pytest.raises(type(error)) as caught:
            raising(1, error)
        assert caught.value is error and error.args == ("raising: as it is",)
