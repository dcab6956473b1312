"""DataLoader: iterate over a data set in batches."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from itertools import islice
from queue import Empty, Full, Queue
from threading import Event, Thread
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import Tensor, asarray
from tinygrad_dl.arguments import brief, hinted, refuse_unfit
from tinygrad_dl.config import default_rng
from tinygrad_dl.convert import describe
from tinygrad_dl.data.dataset import Examples, Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import NDArray, RandomLike

if TYPE_CHECKING:
    from tinygrad_dl.distributed.world import World

REPR_ELEMENTS = 1_000_000  # of arrays up to this size a notebook shows the range


class DataLoader:
    """Iterate over a data set in batches of Tensors; one iteration is one epoch.

    `rng` seeds the shuffling: the order of epoch e depends on (seed, e) alone, so setting `epoch` repeats or
    resumes any epoch. `transform(*arrays, rng=rng)` maps each batch to new arrays, for example to augment it; it
    may write into those it is given, which are copies.
    `collate` makes one batch of a list of examples. `prefetch`: a thread prepares that many batches in advance,
    which pays where examples are read from disk. `shard`: the processes of a run, `distributed.world()`; each batch of
    `batch_size` examples is then cut among them, a loader gives the part of its rank, and the order is rank 0's.
    Raises ValueRangeError, DTypeError, CommunicationError where ranks are given different seeds.

    >>> data = TensorDataset(np.arange(5.0), np.arange(5))
    >>> [y.tolist() for x, y in DataLoader(data, batch_size=2)]
    [[0, 1], [2, 3], [4]]
    """

    @hinted
    def __init__(
        self,
        dataset: Examples,
        batch_size: int = 1,
        shuffle: bool = False,
        drop_last: bool = False,
        *,
        rng: RandomLike = None,
        transform: Callable[..., Any] | None = None,
        collate: Callable[[list[Any]], Any] | None = None,
        prefetch: int = 0,
        shard: World | None = None,
    ) -> None:
        if isinstance(dataset, tuple):
            dataset = TensorDataset(*dataset)
        elif isinstance(dataset, (np.ndarray, Tensor)):
            dataset = TensorDataset(dataset)
        refuse_other_data("DataLoader", dataset)
        refuse_unfit(
            _options,
            (shuffle, drop_last),
            {"rng": rng, "transform": transform, "collate": collate},
            "DataLoader",
        )
        for name, value, least in (("batch_size", batch_size, 1), ("prefetch", prefetch, 0)):
            if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < least:
                raise ValueRangeError(
                    f"DataLoader: {name}: expected an integer of at least {least}, got {value!r}"
                )
        self.dataset, self.batch_size = dataset, int(batch_size)
        self.shuffle, self.drop_last, self.prefetch = shuffle, drop_last, int(prefetch)
        self.transform, self.collate = transform, collate
        # A seed is drawn only where it is used, so that a loader without randomness leaves the generator alone.
        self.seed = int(default_rng(rng).integers(2**63)) if shuffle or transform is not None else 0
        self.epoch = 0
        self.shard: World | None = None
        if shard is not None:
            self._cut_among(shard, rng is not None)

    def _cut_among(self, shard: World, chosen: bool) -> None:
        """Cut each batch among ranks, in the order of rank 0; `chosen`: the seed is the user's, one for all ranks."""
        if not all(hasattr(shard, name) for name in ("rank", "size", "broadcast", "agree")):
            raise DTypeError(
                f"DataLoader: shard: expected a distributed.World such as distributed.world(), got {describe(shard)}"
            )
        if shard.size > 1:
            shard.agree("DataLoader: the number of examples", len(self.dataset))
            if chosen:
                shard.agree("DataLoader: the seed", self.seed)
            self.seed = shard.broadcast(self.seed)
        self.shard = shard

    def sharded(self, shard: World) -> DataLoader:
        """This loader, with each batch cut among the ranks of a run; see `shard`."""
        new = copy(self)
        new._cut_among(shard, chosen=False)
        return new

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        self.epoch += 1

        def batches() -> Iterator[Any]:
            return self._batches(np.random.default_rng((self.seed, epoch)))

        return _prefetch(batches, self.prefetch) if self.prefetch else batches()

    def __repr__(self) -> str:
        options = ", shuffled" if self.shuffle else ""
        options += ", last batch dropped" if self.drop_last else ""
        options += f", transform={brief(self.transform)}" if self.transform is not None else ""
        if self.shard is not None:
            options += f", rank {self.shard.rank} of {self.shard.size}"
        number = len(self)
        of = f"{number} batch{'' if number == 1 else 'es'} of {self.batch_size}{options}"
        return f"DataLoader({of}; {brief(self.dataset)})"

    def _repr_html_(self) -> str:
        from tinygrad_dl import markup

        rows = []
        parts, order = _arrays_of(self.dataset, None)
        for i, array in enumerate(parts or ()):
            numbers = array if array.dtype.kind in "fiub" and array.size <= REPR_ELEMENTS else array[:0]
            extremes = (
                [f"{value:.4g}" for value in (numbers.min(), numbers.max())] if numbers.size else ["", ""]
            )
            shape = ("N", *array.shape[1:])
            shown = str(shape).replace("'", "") if len(shape) > 1 else "(N,)"
            rows.append([markup.text(cell) for cell in (f"part {i}", shown, array.dtype, *extremes)])
        table = markup.table(["", "shape", "dtype", "min", "max"], rows, left=(0, 1, 2)) if rows else ""
        return (
            markup.paragraph(markup.text(repr(self).split(";")[0][len("DataLoader(") :]))
            + markup.paragraph(markup.text(f"{len(self.dataset):,} examples of {brief(self.dataset)}"))
            + table
        )

    def _batches(self, rng: np.random.Generator) -> Iterator[Any]:
        n, size = len(self.dataset), self.batch_size
        order = rng.permutation(n) if self.shuffle else None
        arrays = None
        if self.collate is None:
            arrays, order = _arrays_of(self.dataset, order)
        rank, ranks = (0, 1) if self.shard is None else (self.shard.rank, self.shard.size)
        if ranks > 1:  # the order is common to all ranks; what each draws for its own part is not
            rng = rng.spawn(ranks)[rank]
        for begin in range(0, len(self) * size, size):
            selected: Any = part_of(slice(begin, min(begin + size, n)), rank, ranks)
            empty = selected.start == selected.stop
            if empty:  # a batch that has no example for this rank: its structure is that of one example
                selected = slice(0, 1)
            if order is not None:
                selected = order[selected]
            if arrays is not None:
                batch: Any = tuple(a[selected] for a in arrays)
            else:
                in_order = isinstance(selected, slice)
                indices = range(selected.start, selected.stop) if in_order else selected.tolist()
                batch = (self.collate or _stack)([self.dataset[i] for i in indices])
            if self.transform is not None:
                # Copies: slices and examples are the data set's own memory.
                batch = _copied(batch)
                parts = batch if isinstance(batch, tuple) else (batch,)
                new = self.transform(*parts, rng=rng)
                # A single array replaces the inputs; the targets stay.
                batch = new if isinstance(new, tuple) else (new, *parts[1:])
            yield _to_tensors(_rows(batch, slice(0, 0)) if empty else batch)


def _options(
    shuffle: bool = False,
    drop_last: bool = False,
    *,
    rng: RandomLike = None,
    transform: Callable[..., Any] | None = None,
    collate: Callable[[list[Any]], Any] | None = None,
) -> None:
    """The options of a loader, for refuse_unfit."""


def refuse_other_data(called: str, dataset: object) -> None:
    """Raise DTypeError for what is not a data set: a length, and examples by index from 0."""
    by_label = hasattr(dataset, "iloc")  # pandas: frame[0] is a column
    if by_label or (isinstance(dataset, Mapping) and 0 not in dataset):
        example = (
            "frame[columns].to_numpy(), frame[target].to_numpy()" if by_label else "data['x'], data['y']"
        )
        raise DTypeError(
            f"{called}: expected a data set or a tuple of arrays, got {type(dataset).__name__}. Pass its arrays: "
            f"({example})."
        )
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    if not sized or isinstance(dataset, (str, bytes, type)):
        raise DTypeError(
            f"{called}: expected a data set with __len__ and __getitem__, or a tuple of arrays, got "
            f"{type(dataset).__name__}"
        )


def part_of(batch: slice, rank: int, ranks: int) -> slice:
    """The part of a batch that belongs to a rank; the first ranks have one example more where it does not divide."""
    least, more = divmod(batch.stop - batch.start, ranks)
    begin, end = (batch.start + r * least + min(r, more) for r in (rank, rank + 1))
    return slice(begin, end)


def _rows(batch: object, rows: slice) -> Any:
    """Rows of all arrays of a batch."""
    if isinstance(batch, (tuple, list)):
        return tuple(_rows(part, rows) for part in batch)
    if isinstance(batch, dict):
        return {key: _rows(part, rows) for key, part in batch.items()}
    return batch[rows] if isinstance(batch, (np.ndarray, Tensor)) else batch


def part_of_batch(batch: Any, rank: int, ranks: int) -> Any:
    """The part of a rank of a batch, whose arrays have one row for each example."""
    first = batch
    while isinstance(first, (tuple, list, dict)) and first:
        first = next(iter(first.values() if isinstance(first, dict) else first))
    return _rows(batch, part_of(slice(0, len(first)), rank, ranks))


def _copied(batch: object) -> Any:
    if isinstance(batch, tuple):
        return tuple(_copied(part) for part in batch)
    if isinstance(batch, dict):
        return {key: _copied(part) for key, part in batch.items()}
    if isinstance(batch, Tensor):
        return Tensor(batch.data)
    return batch.copy() if isinstance(batch, np.ndarray) else batch


def _arrays_of(dataset: Examples, order: NDArray | None) -> tuple[tuple[NDArray, ...] | None, NDArray | None]:
    """Return the arrays of a data set and the order of its examples in them; (None, order) if it has none.

    Slicing arrays once per batch is much faster than stacking single examples.
    """
    base, indices = dataset, order
    while isinstance(base, Subset):
        indices = base.indices if indices is None else base.indices[indices]
        base = base.dataset
    # Not isinstance: a subclass may override __getitem__.
    return (base.arrays, indices) if type(base) is TensorDataset else (None, order)


def _stack(examples: list[Any]) -> Any:
    """Stack examples of one structure along a new first axis."""
    first = examples[0]
    for kind in ((tuple, list), dict):
        if isinstance(first, kind) and not all(isinstance(example, kind) for example in examples):
            raise ShapeError(
                "DataLoader: expected examples of the same structure in one batch, got "
                f"{' and '.join(sorted({type(example).__name__ for example in examples}))}"
            )
    if isinstance(first, (tuple, list)):
        if len({len(example) for example in examples}) > 1:
            raise ShapeError(
                "DataLoader: expected examples of the same length in one batch, got tuples of different lengths"
            )
        return tuple(_stack([example[i] for example in examples]) for i in range(len(first)))
    if isinstance(first, dict):
        return {key: _stack([example[key] for example in examples]) for key in first}
    arrays = [asarray(example).data for example in examples]
    shapes = {a.shape for a in arrays}
    if len(shapes) > 1:
        raise ShapeError(
            f"DataLoader: expected examples of the same shape in one batch, got {sorted(shapes)[0]} and "
            f"{sorted(shapes)[-1]}. Pass collate=, a function that makes one batch of a list of examples."
        )
    return np.stack(arrays)


def _to_tensors(batch: object) -> Any:
    if isinstance(batch, tuple):
        return tuple(_to_tensors(part) for part in batch)
    if isinstance(batch, dict):
        return {key: _to_tensors(part) for key, part in batch.items()}
    return asarray(batch) if isinstance(batch, np.ndarray) else batch


def _prefetch(batches: Callable[[], Iterator[Any]], count: int) -> Iterator[Any]:
    """Yield the same batches, up to `count` of them prepared in advance by a thread that ends with this iterator."""
    ready: Queue[tuple[str, Any]] = Queue(count)
    stop = Event()

    def put(item: tuple[str, Any]) -> None:
        # With a timeout, so that the thread notices when the consumer stops early.
        while not stop.is_set():
            try:
                return ready.put(item, timeout=0.05)
            except Full:
                continue

    def work() -> None:
        try:
            for batch in batches():
                put(("batch", batch))
                if stop.is_set():
                    return
            put(("end", None))
        except BaseException as error:  # raised again in the consumer's thread
            put(("error", error))

    thread = Thread(target=work, name="tinygrad_dl DataLoader", daemon=True)
    process = os.getpid()
    thread.start()
    yielded = 0
    try:
        while os.getpid() == process:
            try:
                kind, value = ready.get(timeout=1.0)
            except Empty:
                continue
            if kind == "batch":
                yielded += 1
                yield value
            elif kind == "error":
                raise value
            else:
                return
    finally:
        if os.getpid() == process:
            stop.set()
            thread.join()
    # A forked child has neither the thread nor, perhaps, the lock of the queue: it makes the rest itself.
    yield from islice(batches(), yielded, None)
