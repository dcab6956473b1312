"""Reducer: gradients averaged over the ranks in buckets, whose exchanges go on while backward does."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.convert import wrap
from tinygrad_dl.distributed.world import DONE, Pending, World, is_number
from tinygrad_dl.errors import CommunicationError, ValueRangeError
from tinygrad_dl.modes import StepWatcher
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import NDArray

# Bytes that are exchanged in one go. Smaller buckets begin earlier and cost more latency; see docs/scaling.
BUCKET = 4 << 20


class _Bucket:
    """Gradients of one dtype in one array, which is exchanged as a whole; its end counts who has each gradient."""

    def __init__(self, dtype: np.dtype, params: list[tuple[str, Tensor]]) -> None:
        self.params = params
        sizes = [tensor.size for _, tensor in params]
        self.array = np.empty(sum(sizes) + len(params), dtype)
        ends = np.cumsum(sizes)
        self.flags = self.array[ends[-1] :]
        self.places = [
            self.array[end - size : end].reshape(tensor.shape)
            for end, size, (_, tensor) in zip(ends, sizes, params)
        ]
        self.clear()

    def clear(self) -> None:
        self.waiting = set(range(len(self.params)))
        self.pending: Pending | None = None

    def fill(self, i: int, weight: float) -> None:
        """Take in the gradient of parameter `i`, times the weight of this rank."""
        grad = getattr(self.params[i][1], "_grad", None)  # the slot may never have been written
        if grad is None or not weight:  # 0 times nan would be nan
            self.places[i][...] = 0
        elif weight == 1:
            self.places[i][...] = grad._data
        else:
            np.multiply(grad._data, weight, out=self.places[i], casting="same_kind")
        self.flags[i] = 0 if grad is None else 1
        self.waiting.discard(i)

    def deliver(self, factor: float) -> None:
        """Write the sums, times `factor`, into the gradients."""
        for i, (_, tensor) in enumerate(self.params):
            if not self.flags[i].real:
                continue
            if getattr(tensor, "_grad", None) is None:
                tensor._grad = wrap(np.empty(tensor.shape, tensor.dtype))
            out = tensor._grad._data
            if factor == 1:
                out[...] = self.places[i]
            else:
                np.multiply(self.places[i], factor, out=out, casting="same_kind")


class _Completed(StepWatcher):
    """Tells the Reducer of each gradient of a leaf as soon as it is complete."""

    early = True

    def __init__(self, reducer: Reducer) -> None:
        super().__init__()
        self.reducer = reducer

    def received(self, owner: Tensor, before: Tensor | None) -> None:
        self.reducer._received(owner)


class Reducer:
    """Average the gradients of parameters over the ranks.

    `parameters`: name -> Tensor, the same on all ranks. They are exchanged in buckets of about `bucket` bytes, from the
    last parameter to the first, as backward makes them; a bucket's exchange begins when it is full and goes on beside
    the rest of backward. `check`: compare shapes and dtypes of all ranks first. Raises CommunicationError.

    >>> from tinygrad_dl import Tensor
    >>> from tinygrad_dl.distributed.world import world
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> Reducer({"w": w}, world()).backward((w * w).mean(), weight=2)
    2.0
    >>> w.grad
    Tensor([1., 2.])
    """

    @checked
    def __init__(
        self, parameters: Mapping[str, Tensor], group: World, bucket: Count = BUCKET, check: bool = False
    ) -> None:
        self.group = group
        params = [(name, p) for name, p in reversed(list(parameters.items())) if p.requires_grad]
        if check and group.size > 1:
            group.agree("average_gradients", [(name, p.shape, str(p.dtype)) for name, p in params])
        self.buckets: list[_Bucket] = []
        open_: dict[np.dtype, list[tuple[str, Tensor]]] = {}
        for name, p in params:
            # Sums of float16 are made in float32, as everywhere.
            dtype = np.dtype(np.float32) if p.dtype == np.float16 else p.dtype
            members = open_.setdefault(dtype, [])
            members.append((name, p))
            if sum(tensor.size for _, tensor in members) * dtype.itemsize >= bucket:
                self.buckets.append(_Bucket(dtype, open_.pop(dtype)))
        self.buckets += [_Bucket(dtype, members) for dtype, members in open_.items()]
        self._place = {id(p): (b, i) for b in self.buckets for i, (_, p) in enumerate(b.params)}
        self._begun = 0  # buckets whose exchange has begun
        self._weight = 1.0
        self._figures: NDArray = np.zeros(1)
        self._pending_figures: Pending = DONE

    def backward(self, loss: Tensor, weight: float = 1.0, *figures: float, mean: bool = True) -> float:
        """Run the backward pass of a loss, and average the gradients by weight; the sum of the weights.

        The pass starts from the weight, so that layers which exchange values themselves, such as SyncBatchNorm, weigh
        the ranks alike. `figures`: numbers that are summed over the ranks meanwhile, and left in `sums`. `mean=False`:
        the gradients are summed.
        """
        self.begin(weight, *figures)
        if self.group.size == 1:
            loss.backward()
            return self.finish(mean)
        self._weight = 1.0 if weight else 0.0  # the pass has the weight in it
        with _Completed(self):
            loss.backward(np.full(loss.shape, weight, loss.dtype))
        return self.finish(mean)

    def average(self, weight: float = 1.0, *figures: float, mean: bool = True) -> float:
        """Average the gradients that are there, or sum them (`mean=False`); the sum of the weights."""
        self.begin(weight, *figures)
        return self.finish(mean)

    def begin(self, weight: float, *figures: float) -> None:
        """Begin the exchange of a step: first the weights, which are known before backward."""
        if not is_number(weight) or not 0 <= weight < float("inf"):
            raise ValueRangeError(
                f"average_gradients: weight: expected a number of at least 0, got {weight!r:.200}"
            )
        self._weight, self._begun = float(weight), 0
        for bucket in self.buckets:
            bucket.clear()
        self._figures = np.array([weight, *figures], np.float64)
        self._pending_figures = self.group.start_sum(self._figures)

    @property
    def weight(self) -> float:
        """The sum of the weights of the last step."""
        return float(self._figures[0])

    @property
    def sums(self) -> list[float]:
        """The sums over the ranks of the figures that were given with the last step."""
        return [float(figure) for figure in self._figures[1:]]

    def _received(self, owner: Tensor) -> None:
        place = self._place.get(id(owner))
        if place is None:
            return
        bucket, i = place
        if bucket.pending is not None:
            raise CommunicationError(
                "Reducer.backward: expected one backward pass, got another gradient of "
                f"{bucket.params[i][0]} while the first one is exchanged"
            )
        bucket.fill(i, self._weight)
        # In one order on all ranks, whichever is full first.
        while self._begun < len(self.buckets) and not self.buckets[self._begun].waiting:
            self._start()
        for begun in self.buckets[: self._begun]:
            if begun.pending is not None:
                begun.pending.progress()

    def _start(self) -> None:
        bucket = self.buckets[self._begun]
        bucket.pending = self.group.start_sum(bucket.array)
        self._begun += 1

    def finish(self, mean: bool = True) -> float:
        """Wait for the averages, or the sums; the sum of the weights."""
        if self.group.size == 1:
            return float(self._figures[0])
        for bucket in self.buckets[self._begun :]:
            for i in sorted(bucket.waiting):
                bucket.fill(i, self._weight)
            self._start()
        self._pending_figures.wait()
        total = float(self._figures[0])
        if not total > 0:
            raise ValueRangeError(
                f"average_gradients: weight: expected one above 0 on some rank, got a sum of {total:g}"
            )
        for bucket in self.buckets:
            assert bucket.pending is not None
            bucket.pending.wait()
            bucket.deliver(1 / total if mean else 1.0)
        return total
