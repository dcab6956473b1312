"""split."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl.data import Subset, TensorDataset, split
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError


@given(
    classes=st.lists(st.integers(0, 3), min_size=12, max_size=80),
    fractions=st.sampled_from([(0.5, 0.5), (0.6, 0.2, 0.2), (0.7, 0.15, 0.15), (0.25, 0.25, 0.25, 0.25)]),
    seed=st.integers(0, 5),
)
def test_parts_have_their_sizes_share_no_example_and_keep_the_class_proportions(
    classes: list[int], fractions: tuple[float, ...], seed: int
) -> None:
    n, y = len(classes), np.array(classes)
    parts = split((np.arange(n), y), fractions, stratify=True, rng=seed)
    everything = np.concatenate([part.x for part in parts])
    assert sorted(everything) == list(range(n))
    for part, fraction in zip(parts, fractions):
        assert abs(len(part) - fraction * n) <= 1
        for c in set(classes):
            assert abs((part.y == c).sum() - fraction * (y == c).sum()) < 2


@given(rows=st.lists(st.integers(0, 12), min_size=20, max_size=60), seed=st.integers(0, 3))
def test_equal_rows_never_are_in_two_parts(rows: list[int], seed: int) -> None:
    x = np.array(rows, float)[:, None]
    if len(set(rows)) < 6:
        return
    try:
        train, test = split((x, np.arange(len(x))), (0.7, 0.3), rng=seed)
    except ValueRangeError as error:
        assert "would be empty" in str(error)
        return
    assert not set(train.x.ravel()) & set(test.x.ravel())
    assert len(train) + len(test) == len(x)


def test_repeated_rows_are_refused_or_ignored_when_asked() -> None:
    x = np.array([[1.0, 2], [3, 4], [1, 2], [5, 6]])
    with pytest.raises(
        ValueRangeError, match=r"equal rows 0 and 2 \(1 rows are repeated\), which could leak"
    ):
        split((x, np.arange(4)), (0.5, 0.5), duplicates="refuse")
    split((x[:2], np.arange(2)), (0.5, 0.5), duplicates="refuse")
    parts = split((np.zeros((4, 1)), np.arange(4)), (0.5, 0.5), duplicates="allow", rng=0)
    assert [len(part) for part in parts] == [2, 2]


def test_zero_and_minus_zero_are_the_same_row() -> None:
    with pytest.raises(ValueRangeError, match="equal rows 0 and 1"):
        split((np.array([[0.0], [-0.0]]), np.arange(2)), (0.5, 0.5), duplicates="refuse")


def test_groups_stay_together_also_across_equal_rows() -> None:
    x = np.arange(12.0)
    x[11] = x[0]  # joins the groups a and d
    groups = np.repeat(list("abcd"), 3)
    for seed in range(5):
        parts = split((x, np.arange(12)), (0.5, 0.5), groups=groups, rng=seed)
        where = {groups[i]: k for k, part in enumerate(parts) for i in part.y}
        assert where["a"] == where["d"]
        assert sum(len({groups[i] for i in part.y}) for part in parts) == 4


def test_the_same_seed_gives_the_same_parts() -> None:
    data = (np.arange(30.0), np.arange(30))
    one, other, third = (split(data, rng=seed) for seed in (1, 1, 2))
    assert all(np.array_equal(a.x, b.x) for a, b in zip(one, other))
    assert not all(np.array_equal(a.x, b.x) for a, b in zip(one, third))


def test_parts_are_named_and_keep_the_description() -> None:
    data = TensorDataset(np.arange(10.0), np.arange(10), classes=["a"], name="n")
    assert [part.part for part in split(data)] == ["train", "dev", "test"]
    assert [part.part for part in split(data, (0.5, 0.5))] == ["train", "test"]
    named = split(data, {"fit": 7, "hold": 3}, rng=0)
    assert [(p.part, len(p), p.classes, p.name) for p in named] == [
        ("fit", 7, ["a"], "n"),
        ("hold", 3, ["a"], "n"),
    ]


def test_any_data_set_can_be_split_by_labels() -> None:
    train, test = split(list("abcdefgh"), (0.5, 0.5), stratify=[0, 1] * 4, rng=0)
    assert isinstance(train, Subset) and sorted([*train, *test]) == list("abcdefgh")
    assert sum(ord(c) % 2 for c in train) == 2


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        (
            {"sizes": (0.5, 0.6)},
            ValueRangeError,
            r"fractions that sum to 1, got \[0.5, 0.6\], which sum to 1.1",
        ),
        (
            {"sizes": (5, 6)},
            ValueRangeError,
            r"counts that sum to 10, .*, got \[5, 6\], which sum to 11",
        ),
        ({"sizes": (-0.5, 1.5)}, ValueRangeError, "expected fractions or counts of at least 0"),
        ({"sizes": (float("nan"), 0.5)}, ValueRangeError, "expected fractions or counts of at least 0"),
        (
            {"sizes": (0.99, 0.01)},
            ValueRangeError,
            "expected at least one example for test, got a fraction of 0.01 of 10",
        ),
        ({"stratify": [0, 1]}, ShapeError, r"expected one label per example, \(10,\), got \(2,\)"),
        ({"groups": [0, 1]}, ShapeError, r"expected one value per example, \(10,\)"),
        (
            {"duplicates": "maybe"},
            ValueRangeError,
            "duplicates: expected one of 'together', .*got str 'maybe'",
        ),
    ],
)
def test_wrong_calls_are_explained(options: dict[str, Any], error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        split((np.arange(10.0), np.arange(10)), **options)


def test_real_numbers_and_missing_labels_cannot_be_stratified() -> None:
    with pytest.raises(ValueRangeError, match="expected class labels, got real numbers"):
        split((np.arange(50.0), np.arange(50) / 7), stratify=True)
    with pytest.raises(ValueRangeError, match="stratify=True: expected a data set with y"):
        split(TensorDataset(np.arange(5.0)), stratify=True)
    with pytest.raises(
        DTypeError,
        match="split: expected a data set with __len__ and __getitem__, or .*, got int",
    ):
        split(3)


def test_a_data_set_of_one_repeated_row_cannot_be_split() -> None:
    with pytest.raises(ValueRangeError, match="got none: too many rows are duplicates"):
        split((np.zeros((10, 2)), np.arange(10)))
