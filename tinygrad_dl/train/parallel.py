"""What a Trainer does on several processes: equal beginnings, averaged gradients, global figures, streams of draws."""

from __future__ import annotations

import platform
import sys
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tinygrad_dl import __version__, config
from tinygrad_dl.data import DataLoader, TensorDataset
from tinygrad_dl.data.blocks import BlockDataset
from tinygrad_dl.data.loader import part_of_batch
from tinygrad_dl.distributed import Reducer, World, broadcast, world
from tinygrad_dl.distributed.gradients import BUCKET
from tinygrad_dl.distributed.parameters import all_equal, named
from tinygrad_dl.distributed.world import ALONE
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.nn.layers.normalization import _BatchNorm
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl import Tensor
    from tinygrad_dl.train.trainer import Trainer

ROWS = 256  # of a data set that are compared between ranks


class DataParallel(NamedTuple):
    """How a Trainer works on several processes: `Trainer(..., distributed=DataParallel(timeout=60))`.

    `check_every`: the bits of all parameters are compared between ranks after so many steps, and after each epoch.
    `bucket`: gradients are exchanged in pieces of about so many bytes. `timeout`: the seconds after which a rank that
    does not come is named. distributed="mpi" is DataParallel().
    """

    check_every: int = 100
    bucket: int = BUCKET
    timeout: float | None = None


def settings(distributed: Any) -> DataParallel | None:
    """What a Trainer was given as `distributed`. Raises ValueRangeError, DTypeError."""
    if distributed is None:
        return None
    if isinstance(distributed, str):
        if distributed != "mpi":
            raise ValueRangeError(
                f'Trainer: distributed: expected None, "mpi" or a DataParallel, got {distributed!r}'
            )
        return DataParallel()
    if not isinstance(distributed, DataParallel):
        raise DTypeError(
            f'Trainer: distributed: expected None, "mpi" or a DataParallel, got {type(distributed).__name__}'
        )
    for name in ("check_every", "bucket"):
        value = getattr(distributed, name)
        if isinstance(value, bool) or not isinstance(value, (int, np.integer)) or value < 1:
            raise ValueRangeError(f"DataParallel: {name}: expected an integer of at least 1, got {value!r}")
    return distributed


def world_of(chosen: DataParallel | None) -> World:
    """The processes that a Trainer works on."""
    return ALONE if chosen is None else world(chosen.timeout)


class Parts:
    """A loader of another kind, with each of its batches cut among the ranks."""

    def __init__(self, batches: Any, group: World) -> None:
        self.batches, self.shard = batches, group

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Iterator[Any]:
        return (part_of_batch(batch, self.shard.rank, self.shard.size) for batch in self.batches)


def parts_of(batches: Any, group: World) -> Any:
    """The part of this rank of each batch; of a loader that gives parts already, that loader."""
    if group.size == 1 or getattr(batches, "shard", None) is not None:
        return batches
    return batches.sharded(group) if isinstance(batches, DataLoader) else Parts(batches, group)


def weight_of(loss: Any, target: NDArray) -> float:
    """What the mean of a loss over the examples of a batch is divided by: their number, or the weights of classes."""
    weight, ignored = getattr(loss, "weight", None), getattr(loss, "ignore_index", None)
    classes = target.dtype.kind in "iu"
    if not classes or ignored is None or getattr(loss, "reduction", "mean") != "mean":
        return float(len(target))
    counted = target[target != ignored]
    return float(counted.size if weight is None else np.asarray(weight._data, np.float64)[counted].sum())


class Parallel:
    """A fit on several ranks; `close` undoes what it changed in the model."""

    def __init__(self, trainer: Trainer, group: World, chosen: DataParallel) -> None:
        self.group, self.chosen, self.trainer = group, chosen, trainer
        self.tensors: dict[str, Tensor] = {}
        self._reducer: Reducer | None = None
        self._trained: list[bool] = []
        self.steps = 0
        self.seed = 0  # of the streams of random numbers
        self.synchronizes = False  # whether layers exchange values themselves
        self._norms: list[Any] = []

    # Begin and end

    def begin(self, facts: dict[str, Any]) -> None:
        """Compare what the ranks were given, and give all of them the weights of rank 0."""
        self.compare({**program_facts(), **self._trainer_facts(), **facts})
        self.tensors = self._trained_tensors()
        broadcast({**named("Trainer.fit", self.trainer.model), **self.tensors})
        # Batch normalization by the statistics of a part would be another network.
        found = [module for module in self.trainer.model.modules() if isinstance(module, _BatchNorm)]
        self.synchronizes = bool(found)
        self._norms = [module for module in found if module.process_group is None]
        for module in self._norms:
            module.process_group = self.group
        self.seed = self.group.broadcast(int(config.default_rng().integers(2**63)))

    def close(self) -> None:
        """Leave the model as it was."""
        for module in self._norms:
            del module.process_group
        self._norms = []

    def _trained_tensors(self) -> dict[str, Tensor]:
        """The parameters of the model, and what else the optimizer trains, such as parameters of the loss."""
        found: dict[str, Tensor] = named("Trainer.fit", self.trainer.model, buffers=False)
        known = {id(p) for p in found.values()}
        groups = self.trainer.optimizer.param_groups
        more = [p for group in groups for p in group["params"] if id(p) not in known]
        return {**found, **{f"parameter {i} beside the model": p for i, p in enumerate(more)}}

    @property
    def reducer(self) -> Reducer:
        """What averages the gradients; a new one where layers have been frozen or unfrozen since."""
        trained = [p.requires_grad for p in self.tensors.values()]
        if self._reducer is None or trained != self._trained:
            self._reducer, self._trained = Reducer(self.tensors, self.group, self.chosen.bucket), trained
        return self._reducer

    def compare(self, facts: dict[str, Any]) -> None:
        """Raise CommunicationError on all ranks for the first fact that differs between them."""
        all_facts = self.group.gather(facts)
        for name in facts:
            values = [other.get(name) for other in all_facts]
            if any(value != values[0] for value in values):
                self.group.agree(f"Trainer.fit: {name}", facts.get(name))
        self.group.agree("Trainer.fit: what is compared", list(facts))

    def _trainer_facts(self) -> dict[str, Any]:
        trainer = self.trainer
        options = [
            {key: value for key, value in group.items() if isinstance(value, (bool, int, float, str, tuple))}
            for group in trainer.optimizer.param_groups
        ]
        return {
            "the model": [
                (name, p.shape, str(p.dtype), p.requires_grad)
                for name, p in {**named("Trainer.fit", trainer.model), **self._trained_tensors()}.items()
            ],
            "the optimizer": (type(trainer.optimizer).__name__, options),
            "the loss": getattr(trainer.loss, "__qualname__", type(trainer.loss).__name__),
            "the metrics": list(trainer.metrics.functions),
            "the callbacks": [type(callback).__name__ for callback in trainer.callbacks],
            "compile": str(trainer.compile),
            "the epochs": (trainer.epoch, trainer.epochs),
        }

    # Steps

    def empty_pass(self, output: Any) -> Any:
        """A loss of 0 for the rank that has no example, through the layers that all ranks take part in."""
        return output.sum() * 0

    def check(self, now: bool = False) -> None:
        """Compare the bits of all parameters between the ranks, if it is time or `now`."""
        if now or self.steps % self.chosen.check_every == 0:
            trainer = self.trainer
            when = f"after step {self.steps} of this fit (epoch {trainer.epoch + 1}, batch {trainer.batch})"
            all_equal(self.tensors, self.group, when)

    def seed_streams(self, rank: int) -> None:
        """Begin the streams of random numbers of an epoch: another one for each generator and each `rank`."""
        for i, generator in enumerate(self.trainer._generators()):
            seeds = np.random.SeedSequence((self.seed, self.trainer.epoch, i, rank))
            kind: Any = type(generator.bit_generator)
            generator.bit_generator.state = kind(seeds).state

    def restore_streams(self, saved: Sequence[Any]) -> None:
        """Go on with the streams of a saved run, where it had as many ranks."""
        if len(saved) == self.group.size:
            for generator, state in zip(self.trainer._generators(), saved[self.group.rank]):
                generator.bit_generator.state = state

    # Figures of all ranks

    def totals(self, figures: Sequence[tuple[float, float, float]]) -> NDArray:
        """The sums over the ranks of three figures of each batch: three rows."""
        return self.group.reduce(np.array(figures, np.float64).reshape(-1, 3)).T

    def gathered(self, batches: Sequence[NDArray | None]) -> list[NDArray]:
        """The arrays of all ranks for each batch, in the order of the whole batches."""
        every = self.group.gather(list(batches))
        return [part for parts in zip(*every) for part in parts if part is not None]

    def agree_to_stop(self) -> None:
        """Stop on all ranks if one stops, for the reason of the first."""
        trainer = self.trainer
        for stopping, reason in self.group.gather((trainer.stopping, trainer.history.stopped)):
            if stopping:
                trainer.stop(reason)
                return


def program_facts() -> dict[str, Any]:
    """What has to be the same on all ranks whatever they train."""
    from importlib.util import find_spec

    script = getattr(sys.modules.get("__main__"), "__file__", None)
    code = zlib.crc32(Path(script).read_bytes()) if script and Path(script).is_file() else None
    return {
        "the version of tinygrad_dl": __version__,
        "the version of Python": platform.python_version(),
        "the version of NumPy": np.__version__,
        "whether llvmlite is installed": find_spec("llvmlite") is not None,
        "the program's code (checksum)": code,
    }


def data_facts(name: str, loader: Any) -> dict[str, Any]:
    """What has to be the same on all ranks about data: the number of batches, shapes, and a sample of the values."""
    if loader is None:
        return {name: None}
    facts: dict[str, Any] = {
        f"{name}: the number of batches": len(loader) if hasattr(loader, "__len__") else None
    }
    if isinstance(loader, DataLoader):
        facts[f"{name}: batch_size"] = loader.batch_size
        facts[f"{name}: the number of examples"] = len(loader.dataset)
        data = loader.dataset
        if isinstance(data, TensorDataset):
            facts[f"{name}: shapes and dtypes"] = [(a.shape, str(a.dtype)) for a in data.arrays]
            facts[f"{name}: the values (checksums)"] = [_sampled(a) for a in data.arrays]
        elif isinstance(data, BlockDataset):
            facts[f"{name}: shapes and dtypes"] = [(shape, str(dtype)) for shape, dtype in data.kinds]
            facts[f"{name}: the files (checksums)"] = data.checksums()
    return facts


def _sampled(array: NDArray) -> int:
    rows = array[:: max(1, len(array) // ROWS)] if len(array) else array
    return zlib.crc32(np.ascontiguousarray(rows).data) if rows.dtype.kind in "fiubc" else 0
