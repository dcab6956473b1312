"""DataLoader."""

from __future__ import annotations

import os
import signal
import threading
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tinygrad_dl.data import DataLoader, Dataset, Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, ShapeError, TinygradError, ValueRangeError


def numbers(n: int) -> TensorDataset:
    return TensorDataset(np.arange(float(n)), np.arange(n))


def labels_of(loader: Any) -> list[int]:
    return [i for _, y in loader for i in y.tolist()]


class Squares(Dataset):
    """Examples made one by one."""

    def __len__(self) -> int:
        return 5

    def __getitem__(self, index: int) -> dict[str, Any]:
        if not 0 <= index < 5:
            raise IndexError(index)
        return {"x": np.array([float(index), 1.0]), "y": (index * index,)}


@given(n=st.integers(0, 40), size=st.integers(1, 50), shuffle=st.booleans(), drop=st.booleans())
def test_an_epoch_has_every_example_once_in_batches_of_the_size(
    n: int, size: int, shuffle: bool, drop: bool
) -> None:
    loader = DataLoader(numbers(n), size, shuffle, drop, rng=0)
    sizes = [len(y) for _, y in loader]
    assert len(sizes) == len(loader)
    assert set(sizes[:-1]) <= {size}
    assert sum(sizes) == (n // size * size if drop else n)
    examples = labels_of(loader)
    assert len(set(examples)) == len(examples)
    if not shuffle:
        assert examples == list(range(len(examples)))


def test_the_order_of_an_epoch_depends_on_seed_and_epoch_alone() -> None:
    one, other = (DataLoader(numbers(20), 3, shuffle=True, rng=5) for _ in range(2))
    first, second = labels_of(one), labels_of(one)
    assert first != second
    other.epoch = 1
    assert labels_of(other) == second
    assert labels_of(DataLoader(numbers(20), 3, shuffle=True, rng=6)) != first
    half = iter(one)
    next(half)  # an epoch that is broken off counts
    other.epoch = 3
    assert labels_of(one) == labels_of(other)


def test_without_shuffling_nothing_is_drawn_from_the_generator() -> None:
    rng = np.random.default_rng(0)
    DataLoader(numbers(3), rng=rng)
    assert rng.random() == np.random.default_rng(0).random()


def test_a_tuple_of_arrays_a_subset_and_a_list_can_be_loaded() -> None:
    assert labels_of(DataLoader((np.zeros(3), np.arange(3)), 2)) == [0, 1, 2]
    assert sorted(
        labels_of(DataLoader(Subset(Subset(numbers(9), [8, 7, 1]), [0, 2]), 2, shuffle=True, rng=0))
    ) == [1, 8]
    batches = list(DataLoader([1.5, 2.5, 3.5], 2))
    assert [b.tolist() for b in batches] == [[1.5, 2.5], [3.5]] and batches[0].dtype == np.float32
    ((x,),) = DataLoader(np.arange(2), 2)
    assert x.tolist() == [0, 1]


def test_examples_of_any_structure_are_stacked() -> None:
    batch = next(iter(DataLoader(Squares(), 2)))
    assert batch["x"].tolist() == [[0.0, 1.0], [1.0, 1.0]] and batch["y"][0].tolist() == [0, 1]
    assert next(iter(DataLoader(Subset(Squares(), [3]), 2)))["y"][0].tolist() == [9]


def test_examples_of_different_shapes_need_a_collate_function() -> None:
    ragged = [np.zeros(2), np.zeros(3)]
    with pytest.raises(
        ShapeError, match=r"of the same shape in one batch, got \(2,\) and \(3,\)\. Pass collate="
    ):
        next(iter(DataLoader(ragged, 2)))
    assert next(iter(DataLoader(ragged, 2, collate=len))) == 2
    with pytest.raises(ShapeError, match="tuples of different lengths"):
        next(iter(DataLoader([(1, 2), (1,)], 2)))


def test_a_transform_changes_batches_with_the_generator_of_the_epoch() -> None:
    def noisy(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + rng.random(x.shape)

    one, other = (DataLoader(numbers(4), 2, transform=noisy, rng=1) for _ in range(2))
    first = [x.tolist() for x, _ in one]
    assert first == [x.tolist() for x, _ in other] != [x.tolist() for x, _ in one]
    both = DataLoader(numbers(2), 2, transform=lambda x, y, rng: (x * 0, y + 1))
    ((x, y),) = both
    assert x.tolist() == [0.0, 0.0] and y.tolist() == [1, 2]


def test_prefetching_gives_the_same_batches_and_its_thread_ends() -> None:
    before = threading.active_count()
    plain, ahead = (DataLoader(numbers(50), 4, shuffle=True, rng=2, prefetch=n) for n in (0, 3))
    assert labels_of(plain) == labels_of(ahead)
    batches = iter(ahead)
    next(batches)
    batches.close()  # type: ignore[attr-defined]
    assert threading.active_count() == before


def test_an_error_in_the_prefetching_thread_arrives() -> None:
    def broken(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        raise ZeroDivisionError("in the thread")

    with pytest.raises(ZeroDivisionError, match="in the thread"):
        list(DataLoader(numbers(5), 2, transform=broken, prefetch=2))


@pytest.mark.parametrize("size", [0, -1, 2.5, True, "3"])
def test_a_batch_size_that_is_not_a_positive_integer_is_refused(size: Any) -> None:
    with pytest.raises(ValueRangeError, match="batch_size: expected an integer of at least 1"):
        DataLoader(numbers(3), size)


def test_anything_but_a_data_set_is_refused() -> None:
    with pytest.raises(DTypeError, match="or a tuple of arrays, got int"):
        DataLoader(3)


def add_in_place(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    x += rng.normal(size=x.shape)
    y += 1
    return x


class Rows(Dataset):
    """Gives its own rows, not copies."""

    def __init__(self) -> None:
        self.x, self.y = np.zeros((6, 2)), np.zeros((6, 1))

    def __len__(self) -> int:
        return 6

    def __getitem__(self, index: int) -> Any:
        return self.x[index : index + 1], self.y[index : index + 1]


@pytest.mark.parametrize("prefetch", [0, 2])
@pytest.mark.parametrize("shuffle", [False, True])
@pytest.mark.parametrize("collate", [None, lambda examples: examples[0]])
@pytest.mark.parametrize("kind", ["arrays", "subset", "rows"])
def test_a_transform_that_writes_in_place_does_not_reach_the_data_set(
    kind: str, shuffle: bool, collate: Any, prefetch: int
) -> None:
    rows = Rows()
    data: Any = rows if kind == "rows" else TensorDataset(rows.x, rows.y)
    data = Subset(data, range(6)) if kind == "subset" else data
    loader = DataLoader(data, 1, shuffle, transform=add_in_place, collate=collate, prefetch=prefetch, rng=0)
    for _ in range(2):
        assert all(np.abs(x.data).max() > 0 for x, _ in loader)
    assert not rows.x.any() and not rows.y.any()


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system cannot fork")
@pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of a fork while threads run
def test_a_forked_child_makes_the_rest_of_the_batches_itself() -> None:
    loader = DataLoader(numbers(20), 2, shuffle=True, rng=0, prefetch=3)
    expected = labels_of(DataLoader(numbers(20), 2, shuffle=True, rng=0))
    batches = iter(loader)
    next(batches)
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        signal.alarm(20)
        os.write(writing, bytes(labels_of(batches)))
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as pipe:
        received = list(pipe.read())
    assert os.waitpid(child, 0)[1] == 0
    assert received == expected[2:] == labels_of(batches)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: DataLoader({"x": np.ones(3)}),
            DTypeError,
            r"got dict. Pass its arrays: \(data\['x'\], data\['y'\]\)",
        ),
        (lambda: DataLoader("text"), DTypeError, "expected a data set with __len__ and __getitem__.*got str"),
        (lambda: DataLoader(iter([1])), DTypeError, "got list_iterator"),
        (
            lambda: DataLoader(numbers(3), shuffle="yes"),
            DTypeError,
            "DataLoader: shuffle: expected True or False",
        ),
        (
            lambda: DataLoader(numbers(3), transform=3),
            DTypeError,
            "DataLoader: transform: expected a function",
        ),
        (lambda: DataLoader(numbers(3), rng="0"), DTypeError, "DataLoader: rng: expected"),
        (
            lambda: DataLoader(numbers(3), shuffle=True, rng=-1),
            TinygradError,
            "DataLoader: rng: expected .*seed of at least 0",
        ),
    ],
)
def test_wrong_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        call()


def test_a_table_of_pandas_is_refused_with_the_way_to_pass_it() -> None:
    class DataFrame:  # what DataLoader sees of pandas' class
        iloc = None

        def __len__(self) -> int:
            return 3

        def __getitem__(self, name: str) -> None:
            raise KeyError(name)

    with pytest.raises(
        DTypeError, match=r"got DataFrame. Pass its arrays: \(frame\[columns\].to_numpy\(\), frame"
    ):
        DataLoader(DataFrame())


def test_examples_of_different_structures_are_refused() -> None:
    for examples in ([(1.0, 2.0), 3.0], [{"x": 1.0}, (1.0,)]):
        with pytest.raises(ShapeError, match="expected examples of the same structure in one batch, got"):
            list(DataLoader(examples, 2))
