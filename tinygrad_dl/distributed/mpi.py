"""A World of several processes over MPI: exchanges that notice missing ranks, and errors that end all of them."""

from __future__ import annotations

import atexit
import os
import pickle
import platform
import sys
import time
import traceback
from types import TracebackType
from typing import Any

import numpy as np

from tinygrad_dl.distributed.world import Pending, Reduction, World, import_mpi, ranks_text, world
from tinygrad_dl.errors import CommunicationError
from tinygrad_dl.modes import tell
from tinygrad_dl.typing import NDArray

# Seconds. While the others are expected at once a rank looks without pause; then it leaves the processor to them, for
# an eighth of the time that it has waited.
SPIN, SHARE, NAP = 2e-4, 8, 1e-3
LONG = 2.0  # after so long it asks the others where they are
ANSWER = 3.0  # a rank that waits, too, answers at once; one that computes does not
TOGETHER = 0.4  # errors that occur within this time are one error: the lowest rank shows its own
ENDING = 10.0  # until a rank that shows nothing ends by itself

MOST = 1 << 30  # bytes in one call: counts are 32-bit numbers in older libraries

# Tags of the messages beside the exchanges.
QUESTION, REPLY, FAILED = 1, 2, 3


def communicator(count: int) -> Any:
    """MPI's communicator of all processes. Raises CommunicationError unless it has as many as were started."""
    mpi = import_mpi()
    found = mpi.COMM_WORLD.Get_size()
    if found != count:
        library = mpi.Get_library_version().split(",")[0].strip()
        raise CommunicationError(
            f"world: expected the {count} processes that the launcher started, got {found}: mpi4py uses {library}, and "
            "the launcher belongs to another MPI. Start the program with the launcher of that library, or install "
            "mpi4py for the launcher's. Slurm has to speak that library's language: srun --mpi=pmix for Open MPI, "
            "pmi2 for MPICH (srun --mpi=list shows what it has)."
        )
    return mpi.COMM_WORLD


class _Request(Pending):
    """A request of MPI, and the array that it works on, which has to stay until it is complete."""

    def __init__(self, world: MPIWorld, request: Any, what: str, *kept: Any) -> None:
        self._world, self._request, self._what, self._kept = world, request, what, kept

    def wait(self) -> None:
        self._world._wait(self._request, self._what)
        self._kept = ()

    def progress(self) -> None:
        self._request.Test()


class MPIWorld(World):
    """The processes of an MPI communicator."""

    def __init__(self, comm: Any) -> None:
        self._mpi = import_mpi()
        # Apart from what the program itself exchanges; the gradients of a step apart from what goes on meanwhile.
        self._comm, self._sums, self._control = comm.Dup(), comm.Dup(), comm.Dup()
        self.rank, self.size = comm.Get_rank(), comm.Get_size()
        self.host = platform.node()
        self._count = 0  # of the exchanges that were begun
        self._sent: list[Any] = []  # messages that may still be on their way
        self._sums_of = {
            "sum": self._mpi.SUM, "mean": self._mpi.SUM, "max": self._mpi.MAX, "min": self._mpi.MIN
        }  # fmt: skip
        self._hook = sys.excepthook
        sys.excepthook = self._fail
        atexit.register(self._leave)

    def __reduce__(self) -> Any:
        return world, ()  # a copy in another process belongs to that process

    # Exchanges

    def _begin(self) -> None:
        """Count an exchange; a compiled function has to leave it to Python, since its program is run and compared."""
        self._count += 1
        tell("read", "an exchange with other ranks")

    def start_sum(self, array: NDArray) -> Pending:
        self._begin()
        request = self._sums.Iallreduce(self._mpi.IN_PLACE, array, self._mpi.SUM)
        return _Request(self, request, "the sum of gradients", array)

    def reduce(self, array: NDArray, op: Reduction = "sum") -> NDArray:
        result = np.array(array, order="C")
        self._begin()
        kind = result.dtype
        if kind.kind == "b" or kind == np.float16:  # which MPI does not add
            result = result.astype(np.float32 if kind == np.float16 else np.int64)
        request = self._comm.Iallreduce(self._mpi.IN_PLACE, result, self._sums_of[op])
        self._wait(request, f"the {op} of an array")
        if op == "mean":
            return np.asarray(result / self.size).astype(kind if kind.kind in "fc" else np.float64)
        return result.astype(kind) if kind == np.float16 or op in ("max", "min") else result

    def gather(self, value: Any) -> list[Any]:
        data = np.frombuffer(pickle.dumps(value, pickle.HIGHEST_PROTOCOL), np.uint8)
        sizes = np.empty(self.size, np.int64)
        self._begin()
        self._wait(self._comm.Iallgather(np.array([data.size]), sizes), "gather")
        ends = np.cumsum(sizes)
        whole = np.empty(ends[-1], np.uint8)
        parts = np.split(whole, ends[:-1])
        if whole.size <= MOST:
            place = (whole, sizes, ends - sizes, self._mpi.BYTE)
            self._wait(self._comm.Iallgatherv(data, place), "gather")
        else:
            parts[self.rank][...] = data
            for rank, part in enumerate(parts):
                self._broadcast_bytes(part, rank, "gather")
        return [pickle.loads(part.data) for part in parts]

    def broadcast(self, value: Any) -> Any:
        data = np.frombuffer(pickle.dumps(value, pickle.HIGHEST_PROTOCOL) if not self.rank else b"", np.uint8)
        size = np.array([data.size])
        self._begin()
        self._wait(self._comm.Ibcast(size), "broadcast")
        data = data.copy() if not self.rank else np.empty(size[0], np.uint8)
        self._broadcast_bytes(data, 0, "broadcast")
        return pickle.loads(data.data)

    def broadcast_array(self, array: NDArray) -> None:
        self._begin()
        self._broadcast_bytes(array.reshape(-1).view(np.uint8), 0, "broadcast")

    def _broadcast_bytes(self, data: NDArray, root: int, what: str) -> None:
        for begin in range(0, data.size, MOST):
            self._wait(self._comm.Ibcast(data[begin : begin + MOST], root), what)

    def barrier(self) -> None:
        self._begin()
        self._wait(self._comm.Ibarrier(), "barrier")

    # Waiting

    def _wait(self, request: Any, what: str) -> None:
        """Wait for a request; answer who asks meanwhile, and raise CommunicationError where a rank does not come."""
        begin = now = time.monotonic()
        asked = begin + LONG
        while not self._complete(request, what):
            now = time.monotonic()
            if now - begin < SPIN:
                continue
            time.sleep(min((now - begin) / SHARE, NAP))
            if now - begin < SHARE * NAP:
                continue
            self._reply((self._count, what))
            if now >= min(asked, begin + self.timeout):
                final = now >= begin + self.timeout
                self._find_missing(what, now - begin, final)
                asked = now + LONG + ANSWER

    def _complete(self, request: Any, what: str) -> bool:
        try:
            return bool(request.Test())
        except self._mpi.Exception as error:
            raise CommunicationError(
                f"rank {self.rank} of {self.size}: MPI ended call {self._count}, {what}, with the error {error}. Did "
                "the ranks make different calls, or one call with arrays of different sizes?"
            ) from None

    def _send(self, message: object, rank: int, tag: int) -> None:
        self._sent = [request for request in self._sent if not request.Test()]
        self._sent.append(self._control.isend(message, dest=rank, tag=tag))

    def _answer_for(self, seconds: float) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self._reply((self._count, "an error"))
            time.sleep(NAP)

    def _reply(self, state: tuple[int, str] | str) -> None:
        """Tell the ranks that ask where this one is."""
        status = self._mpi.Status()
        while self._control.Iprobe(tag=QUESTION, status=status):
            source = status.Get_source()
            number = self._control.recv(source=source, tag=QUESTION)
            self._send((number, state), source, REPLY)

    def _find_missing(self, what: str, waited: float, final: bool) -> None:
        """Ask where the others are; raise if one has ended, or if the time is up (`final`).

        Rank 0 asks all of them, the others ask rank 0: in a large world everybody asking everybody would be too much.
        """
        asked = [rank for rank in range(self.size) if rank] if not self.rank else [0]
        number = time.monotonic_ns()
        for rank in asked:
            self._send(number, rank, QUESTION)
        states: dict[int, tuple[int, str] | str] = {}
        end, status = time.monotonic() + (ANSWER if final else 0.2), self._mpi.Status()
        while len(states) < len(asked) and time.monotonic() < end:
            self._reply((self._count, what))
            while self._control.Iprobe(tag=REPLY, status=status):
                source = status.Get_source()
                back, state = self._control.recv(source=source, tag=REPLY)
                if back == number:
                    states[source] = state
            time.sleep(NAP)
        ended = [rank for rank in asked if isinstance(states.get(rank), str)]
        here = f"rank {self.rank} of {self.size} waits in call {self._count}, {what}"
        if ended:
            raise CommunicationError(
                f"{here}, and {ranks_text(ended)} {'has' if len(ended) == 1 else 'have'} ended the program before it. "
                "Every rank has to make the same calls in the same order."
            )
        if not final:
            return
        silent = [rank for rank in asked if rank not in states]
        elsewhere = [
            f"rank {r} in call {s[0]}, {s[1]}" for r, s in states.items() if s != (self._count, what)
        ]
        if silent:
            raise CommunicationError(
                f"{here}, for {waited:.0f} s: {ranks_text(silent)} did not come, and "
                f"{'does' if len(silent) == 1 else 'do'} not answer: it hangs, or computes for longer than "
                f"timeout={self.timeout:g} seconds"
            )
        if elsewhere:
            raise CommunicationError(
                f"{here}, for {waited:.0f} s; {'; '.join(elsewhere[:4])}. Every rank has to make the same calls in the "
                "same order."
            )
        if self.rank:  # rank 0 waits in the same call, and asks the others
            self._answer_for(ANSWER + LONG)
        raise CommunicationError(
            f"{here}, for {waited:.0f} s, longer than timeout={self.timeout:g} seconds. Is the network down?"
        )

    # The end

    def _fail(self, kind: type[BaseException], error: BaseException, where: TracebackType | None) -> None:
        """Show an exception that nobody caught, once if several ranks have it, and end all ranks."""
        try:
            sys.stdout.flush()
            if self._shows():
                self._hook(kind, error, where)
                print(
                    f"rank {self.rank} of {self.size} on {self.host}: the error above ends all ranks",
                    file=sys.stderr,
                )
            else:
                time.sleep(ENDING)
            sys.stderr.flush()
        except BaseException:  # whatever happens here, the ranks are ended
            traceback.print_exc()
        self._comm.Abort(130 if issubclass(kind, KeyboardInterrupt) else 1)
        os._exit(1)

    def _shows(self) -> bool:
        """Whether this rank shows its error: the first does, the lowest of those that fail at the same time."""
        if self._failed_ranks():
            return False
        for rank in range(self.size):
            if rank != self.rank:
                self._send(None, rank, FAILED)
        others: list[int] = []
        end = time.monotonic() + TOGETHER
        while time.monotonic() < end:
            others += self._failed_ranks()
            time.sleep(NAP)
        return self.rank < min(others, default=self.size)

    def _failed_ranks(self) -> list[int]:
        status, found = self._mpi.Status(), []
        while self._control.Iprobe(tag=FAILED, status=status):
            found.append(status.Get_source())
            self._control.recv(source=status.Get_source(), tag=FAILED)
        return found

    def _leave(self) -> None:
        """At the end of the program: wait for the others, and tell those that wait for this rank that it has ended."""
        if self._mpi.Is_finalized():
            return
        request = self._control.Ibarrier()
        while not request.Test():
            self._reply("ended")
            time.sleep(NAP)
        if sys.excepthook == self._fail:
            sys.excepthook = self._hook
