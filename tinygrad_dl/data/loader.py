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
from tinygrad_dl.data.blocks import BlockDataset, batches_of, windows
from tinygrad_dl.data.dataset import Examples, Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.typing import NDArray, RandomLike

if TYPE_CHECKING:
    from tinygrad_dl.distributed.world import World

REPR_ELEMENTS = 1_000_000  # of arrays up to this size a notebook shows the range


class DataLoader:
    """Iterate over a data set in batches of Tensors; one iteration is one epoch.

    `rng` seeds the shuffling: the order of epoch e depends on (seed, e) alone, so setting `epoch` repeats or
    resumes any epoch; `state_dict` and `load_state_dict` resume one in its middle. `transform(*arrays, rng=rng)` maps
    each batch to new arrays, for example to augment it; it may write into those it is given, which are copies.
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
        self._current = [-1, 0]  # the epoch that is iterated over, and how many of its batches were given
        self._resumed = (0, 0)  # the epoch that begins with another batch than its first, and that batch
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
        new._current = list(self._current)
        new._cut_among(shard, chosen=False)
        return new

    def __len__(self) -> int:
        n = len(self.dataset)
        return n // self.batch_size if self.drop_last else math.ceil(n / self.batch_size)

    def __iter__(self) -> Iterator[Any]:
        epoch = self.epoch
        first = self._resumed[1] if self._resumed[0] == epoch else 0
        self._resumed = (0, 0)
        self.epoch += 1
        self._current = current = [epoch, first]

        def batches() -> Iterator[Any]:
            return self._batches(epoch, first)

        return self._counted(_prefetch(batches, self.prefetch) if self.prefetch else batches(), current)

    @staticmethod
    def _counted(batches: Iterator[Any], current: list[int]) -> Iterator[Any]:
        """The same batches, which are counted as they are given."""
        for batch in batches:
            current[1] += 1
            yield batch
        current[1] = 0  # the epoch is over

    def state_dict(self) -> dict[str, Any]:
        """Return where the iteration is: the seed, the epoch, and how many of its batches were given.

        It is the same on every rank, and for any number of them.
        """
        epoch, batch = self._current
        if not batch or epoch + 1 != self.epoch:
            epoch, batch = self._resumed if self._resumed[0] == self.epoch else (self.epoch, 0)
        return {
            "seed": self.seed,
            "epoch": epoch,
            "batch": batch,
            "batch_size": self.batch_size,
            "examples": len(self.dataset),
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on where `state_dict` was called: the next iteration gives the batches that followed.

        Raises ValueRangeError in the middle of an epoch for other data or another batch size.
        """
        if not isinstance(state, Mapping) or not {"seed", "epoch"} <= set(state):
            raise ValueRangeError(
                f"DataLoader.load_state_dict: state: expected what state_dict returns, got {describe(state)}"
            )
        batch = int(state.get("batch", 0))
        for name, here in (("batch_size", self.batch_size), ("examples", len(self.dataset))):
            if batch and state.get(name, here) != here:
                raise ValueRangeError(
                    f"DataLoader.load_state_dict: {name}: expected {state[name]}, to go on in the middle of an epoch, "
                    f"got {here}"
                )
        self.seed, self.epoch = int(state["seed"]), int(state["epoch"])
        self._current, self._resumed = [-1, 0], (self.epoch, batch)

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
        base, _ = _base_of(self.dataset)
        for i, array in enumerate(base.arrays if type(base) is TensorDataset else ()):
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

    def _random(self, epoch: int, *key: int) -> np.random.Generator:
        """The random numbers of an epoch: those of its order, and other ones for each key."""
        seed = np.random.SeedSequence((self.seed, epoch), spawn_key=key)
        return np.random.default_rng(seed)

    def _batches(self, epoch: int, first: int) -> Iterator[Any]:
        """The batches of an epoch, from the `first` one on."""
        base, indices = _base_of(self.dataset)
        rows_of = _rows_of(base) if self.collate is None else None
        rank, ranks = (0, 1) if self.shard is None else (self.shard.rank, self.shard.size)
        for number, whole in enumerate(self._selections(base, indices, epoch, first), first):
            begin, end = (whole.start, whole.stop) if isinstance(whole, slice) else (0, len(whole))
            part = part_of(slice(begin, end), rank, ranks)
            empty = part.start == part.stop
            if empty:  # a batch that has no example for this rank: its structure is that of one example
                part = slice(begin, begin + 1)
            selected: Any = part if isinstance(whole, slice) else whole[part]
            if rows_of is not None:
                batch: Any = rows_of(selected)
            else:
                at = range(part.start, part.stop) if isinstance(whole, slice) else selected.tolist()
                batch = (self.collate or _stack)([base[i] for i in at])
            if self.transform is not None:
                # Copies: slices and examples are the data set's own memory.
                batch = _copied(batch)
                parts = batch if isinstance(batch, tuple) else (batch,)
                # The order is common to all ranks; what each draws for its own part is not.
                new = self.transform(*parts, rng=self._random(epoch, 1, number, rank))
                # A single array replaces the inputs; the targets stay.
                batch = new if isinstance(new, tuple) else (new, *parts[1:])
            yield _to_tensors(_rows(batch, slice(0, 0)) if empty else batch)

    def _selections(
        self, base: Examples, indices: NDArray | None, epoch: int, first: int
    ) -> Iterator[slice | NDArray]:
        """What is in each batch of an epoch, from the `first` one on: positions in `base`."""
        n, size, count = len(self.dataset), self.batch_size, len(self)
        if self.shuffle and isinstance(base, BlockDataset):
            by_block = windows(base, indices, lambda *key: self._random(epoch, *key), first * size)
            yield from islice(batches_of(by_block, size), count - first)
            return
        order = indices
        if self.shuffle:
            permuted = self._random(epoch).permutation(n)
            order = permuted if indices is None else indices[permuted]
        for begin in range(first * size, count * size, size):
            batch = slice(begin, min(begin + size, n))
            yield batch if order is None else order[batch]


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


def _base_of(dataset: Examples) -> tuple[Examples, NDArray | None]:
    """The data set that a subset is of, and the positions of its examples in it; None for all of them, in order."""
    base, indices = dataset, None
    while isinstance(base, Subset):
        indices = base.indices if indices is None else base.indices[indices]
        base = base.dataset
    return base, indices


def _rows_of(dataset: Examples) -> Callable[[Any], tuple[NDArray, ...]] | None:
    """What gives the arrays of several examples at once, which is much faster than stacking single ones."""
    if isinstance(dataset, BlockDataset):
        return lambda at: dataset.rows(np.arange(at.start, at.stop) if isinstance(at, slice) else at)
    # Not isinstance: a subclass may override __getitem__.
    if type(dataset) is TensorDataset:
        return lambda at: tuple(array[at] for array in dataset.arrays)
    return None


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
