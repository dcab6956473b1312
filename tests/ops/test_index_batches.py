"""Indexing and assignment inside of func.vmap, for every form of an index, against a loop over the examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import func
from tinygrad_dl.op import OPS

N = 5  # another number than that of axes
X = np.arange(N * 2 * 3 * 4, dtype=np.float64).reshape(N, 2, 3, 4) ** 1.5 / 10
I = np.array([[0, 2, -1], [1, 1, 0], [2, -3, 1], [-1, -2, -3], [0, 0, 2]])
V = np.array([1.5, -2.0, 4.0, 0.5, 9.0])
FIXED = np.array([2, 0])
MASK = np.array([True, False, True])

FORMS: dict[str, Callable[[Any], Any]] = {
    "one array": lambda i: (slice(None), i),
    "alone": lambda i: i % 2,
    "after an ellipsis": lambda i: (..., i, slice(None)),
    "before an ellipsis": lambda i: (i % 2, ...),
    "ellipsis of no axis": lambda i: (slice(None), i, slice(None), ...),
    "with a new axis": lambda i: (None, slice(None), None, i),
    "with an integer beside": lambda i: (1, i),
    "with an integer behind": lambda i: (slice(None), i, -1),
    "with an integer apart": lambda i: (1, slice(None), i),
    "integer and array apart around an ellipsis": lambda i: (0, ..., i),
    "with a slice": lambda i: (slice(0, 1), i, slice(None, None, -2)),
    "two": lambda i: (i % 2, i),
    "two apart": lambda i: (i % 2, slice(None), i),
    "in two axes": lambda i: (slice(None), i[:, None] if i.ndim else i),
    "with a fixed one": lambda i: (FIXED[:, None] % 2, i),
    "with a fixed mask": lambda i: (slice(None), MASK, i[:2]),
    "three": lambda i: (i % 2, i, i % 3),
    "slices alone": lambda i: (slice(1), slice(None, None, 2)),
    "an integer alone": lambda i: 1,
    "an integer behind an ellipsis": lambda i: (..., 2),
}


def both(f: Callable[..., Any], *batches: Any) -> None:
    """Values and gradients in the first batch against one example at a time."""
    weights = np.cos(np.arange(1000.0))

    def loss(*args: Any) -> Any:
        out = f(*args)
        return (out**2 * tg.asarray(weights[: out.size].reshape(out.shape))).sum()

    for g in (f, func.grad(loss)):
        found = func.vmap(g)(*map(tg.asarray, batches))
        one = [g(*(tg.asarray(b[k]) for b in batches)).numpy() for k in range(N)]
        np.testing.assert_allclose(found.numpy(), np.stack(one), rtol=1e-12)


@pytest.mark.parametrize("form", FORMS)
def test_an_index_of_each_example(form: str) -> None:
    both(lambda x, i: x[FORMS[form](i)], X, I)


@pytest.mark.parametrize("form", FORMS)
def test_one_array_indexed_by_each_example(form: str) -> None:
    found = func.vmap(lambda i: tg.asarray(X[1])[FORMS[form](i)])(tg.asarray(I))
    np.testing.assert_array_equal(found.numpy(), np.stack([X[1][FORMS[form](i)] for i in I]))


@pytest.mark.parametrize("form", FORMS)
def test_a_common_index(form: str) -> None:
    both(lambda x: x[FORMS[form](I[0])], X)


@pytest.mark.parametrize("form", [form for form in FORMS if form not in ("with a fixed one",)])
@pytest.mark.parametrize("common", [False, True], ids=["of each example", "common"])
@pytest.mark.parametrize("value", ["number", "array", "array of each example", "array of more axes"])
def test_assignment(form: str, common: bool, value: str) -> None:
    def assigned(x: Any, i: Any, v: Any) -> Any:
        y, key = x.copy(), FORMS[form](I[0] if common else i)
        shape = y[key].shape
        if value == "number":
            new: Any = 2.5
        else:  # one value for all, so that the order of repeated indices does not matter
            ones = np.ones((1, *shape) if value == "array of more axes" else shape[-1:])
            new = (v if value == "array of each example" else 3.5) * ones
        y[key] = new
        return y

    both(assigned, X, I, V)


@pytest.mark.parametrize("value", ["number", "of each example"])
def test_assignment_by_a_mask_of_each_example(value: str) -> None:
    def assigned(x: Any, v: Any) -> Any:
        y = x.copy()
        y[x > 5] = 2.5 if value == "number" else v
        return y

    both(assigned, X, V)


def test_assignment_by_a_mask_of_the_first_axis_of_each_example() -> None:
    def assigned(x: Any, mask: Any, v: Any) -> Any:
        y = x.copy()
        y[mask] = v
        return y

    masks = np.eye(N, 2, dtype=bool)
    rows = func.vmap(assigned)(tg.asarray(X), tg.asarray(masks), tg.asarray(V))
    expected = np.where(masks[:, :, None, None], V[:, None, None, None], X)
    np.testing.assert_array_equal(rows.numpy(), expected)


def test_a_boolean_index_of_each_example_is_refused() -> None:
    with pytest.raises(tg.errors.IndexRangeError, match="another number of elements by its mask"):
        func.vmap(lambda x: x[x > 5])(tg.asarray(X))


def test_a_boolean_number() -> None:
    both(lambda x: x[:, True, I[0]], X)
    with pytest.raises(tg.errors.IndexRangeError, match="Write None in the place of True"):
        func.vmap(lambda x, i: x[:, True, i])(tg.asarray(X), tg.asarray(I))


def test_assignment_beside_a_boolean_number() -> None:
    def assigned(x: Any, v: Any) -> Any:
        y = x.copy()
        y[:, True, FIXED] = v
        return y

    both(assigned, X, V)


def test_placing_by_an_index_of_each_example() -> None:
    place = OPS["place"].function
    both(lambda x, i: place(x, (i % 2, i), (2, 3, 4)), X[:, 0, :], I)
