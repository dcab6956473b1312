"""DataLoader: a data set in batches."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import Any

import numpy as np

from tinygrad_dl import asarray
from tinygrad_dl.config import default_rng
from tinygrad_dl.data.dataset import Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError


class DataLoader:
    """Batches of a data set, as Tensors; iterating it once is one epoch.

    `rng` seeds the orders: epoch e's is drawn from (seed, e) alone, so that setting `epoch` repeats or
    resumes any. `transform(*arrays, rng=rng)` changes each batch, e.g. augments it, and gives the new arrays.
    `prefetch`: a thread prepares so many batches ahead, worth it where examples are read from disk. Raises
    ValueRangeError.

    >>> data = TensorDataset(np.arange(5.0), np.arange(5))
    >>> [y.tolist() for x, y in DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    def __init__(
        self,
        dataset: Any,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        rng: np.random.Generator | int | None = None,
        transform: Callable[..., Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        prefetch: int = 0,
    ) -> None:
        if isinstance(dataset, tuple):
            dataset = TensorDataset(*dataset)
        elif isinstance(dataset, np.ndarray):
            dataset = TensorDataset(dataset)
        if not (hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")):
            raise DTypeError(
                "DataLoader: a data set with __len__ and __getitem__, or a tuple of arrays, is needed; "
                f"{type(dataset).__name__} came"
            )
        for name, value, least in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueRangeError(
                    f"DataLoader: {name}: a whole number of at least {least} is needed; {value!r} came"
                )
        self.dataset, self.batch_size = dataset, int(batch_size)
        self.shuffle, self.drop_last, self.prefetch = shuffle, drop_last, int(prefetch)
        self.transform, self.collate = transform, collate
        # The seed is drawn only if something random is asked for: other draws then stay what they were.
        self.seed = int(default_rng(rng).integers(2**63)) if shuffle or transform is not None else 0
        self.epoch = 0

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        self.epoch += 1
        batches = self._batches(np.random.default_rng((self.seed, epoch)))
        return _ahead(batches, self.prefetch) if self.prefetch else batches

    def _batches(self, rng: np.random.Generator) -> Iterator[Any]:
        n, size = len(self.dataset), self.batch_size
        order = rng.permutation(n) if self.shuffle else None
        arrays = None
        if self.collate is None:
            arrays, order = _arrays_of(self.dataset, order)
        for begin in range(0, len(self) * size, size):
            chosen: Any = slice(begin, min(begin + size, n))
            if order is not None:
                chosen = order[chosen]
            if arrays is not None:
                batch: Any = tuple(a[chosen] for a in arrays)
            else:
                examples = range(chosen.start, chosen.stop) if isinstance(chosen, slice) else chosen.tolist()
                batch = (self.collate or _stack)([self.dataset[i] for i in examples])
            if self.transform is not None:
                parts = batch if isinstance(batch, tuple) else (batch,)
                changed = self.transform(*parts, rng=rng)
                batch = changed if isinstance(changed, tuple) else (changed, *parts[1:])
            yield _tensors(batch)


def _arrays_of(
    dataset: Any, order: np.ndarray | None
) -> tuple[tuple[np.ndarray, ...] | None, np.ndarray | None]:
    """The arrays below a data set and the order of its examples in them; (None, order) if there are none."""
    below, place = dataset, order
    while isinstance(below, Subset):
        place = below.indices if place is None else below.indices[place]
        below = below.dataset
    return (below.arrays, place) if type(below) is TensorDataset else (None, order)


def _stack(examples: list[Any]) -> Any:
    """Examples of one structure, put together along a new first axis."""
    first = examples[0]
    if isinstance(first, (tuple, list)):
        if len({len(example) for example in examples}) > 1:
            raise ShapeError("DataLoader: the examples of one batch have different numbers of parts")
        return tuple(_stack([example[i] for example in examples]) for i in range(len(first)))
    if isinstance(first, dict):
        return {key: _stack([example[key] for example in examples]) for key in first}
    arrays = [asarray(example).data for example in examples]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise ShapeError(
            f"DataLoader: the examples of one batch have different shapes, such as {sorted(shapes)[0]} and "
            f"{sorted(shapes)[-1]}. Give collate=, a function that makes one batch of a list of examples."
        )
    return np.stack(arrays)


def _tensors(batch: Any) -> Any:
    if isinstance(batch, tuple):
        return tuple(_tensors(part) for part in batch)
    if isinstance(batch, dict):
        return {key: _tensors(part) for key, part in batch.items()}
    return asarray(batch) if isinstance(batch, np.ndarray) else batch


def _ahead(batches: Iterator[Any], count: int) -> Iterator[Any]:
    """The same batches, up to `count` of them made in advance by a thread, which ends with this iterator."""
    ready: Queue[tuple[str, Any]] = Queue(count)
    stop = Event()

    def put(item: tuple[str, Any]) -> None:
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.05)
            except Full:
                continue

    def work() -> None:
        try:
            for batch in batches:
                put(("batch", batch))
                if stop.is_set():
                    return
            put(("end", None))
        except BaseException as error:
            put(("error", error))

    thread = Thread(target=work, name="tinygrad_dl DataLoader", daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = ready.get(timeout=1.0)
            except Empty:
                continue
            if kind == "batch":
                yield value
            elif kind == "error":
                raise value
            else:
                return
    finally:
        stop.set()
        thread.join()
