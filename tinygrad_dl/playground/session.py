"""A run of the playground: its network, where the training is, what was measured, and what the page shows of it."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.playground.program import Position, modules, setup
from tinygrad_dl.playground.state import MAX_STEPS, Config
from tinygrad_dl.typing import NDArray

GRID, SMALL = 60, 24  # pixels of the decision boundary and of a neuron's picture, in each direction
CHECKPOINTS = 64
CURVE = 300  # points of a curve: more than its pixels on the page
BINS = 24


class Measurement(NamedTuple):
    """What the network reached after a number of steps."""

    step: int
    train_loss: float
    dev_loss: float
    train_accuracy: float
    dev_accuracy: float


class Checkpoint(NamedTuple):
    """Everything that the following steps depend on."""

    step: int
    arrays: dict[str, NDArray]
    optimizer: dict[str, Any]
    rng: Mapping[str, Any]


class Session:
    """A run from its first step on.

    The program of the configuration, which the learner takes home, is what runs here. Its text is made of checked
    numbers and of words from fixed lists only.

    >>> session = Session(Config(data="xor"))
    >>> session.advance(20)
    >>> session.step, len(session.batch_losses)
    (20, 20)
    """

    def __init__(self, config: Config) -> None:
        self.config = config
        self._random: Mapping[str, Any] = {}  # where the generator of dropout's masks is
        # A name outside of the package: the compiler takes the package's functions for known ones.
        self.space: dict[str, Any] = {"__name__": "__playground__"}
        with self._own_random():
            exec(compile(setup(config), "<playground>", "exec"), self.space)
        self.positions: list[Position] = modules(config)[1]
        self.model, self.optimizer = self.space["model"], self.space["optimizer"]
        self.x: NDArray = self.space["x"]
        self.y: NDArray = self.space["y"]
        self.train_rows: NDArray = self.space["train"]
        self.dev_rows: NDArray = self.space["dev"]
        self.step = 0
        self.measured: list[Measurement] = []
        self.batch_losses: list[float] = []
        self.ratios: list[float] = []
        self._checkpoints: list[Checkpoint] = []
        self._spacing = 1  # epochs between two checkpoints
        self._note()

    @contextmanager
    def _own_random(self) -> Iterator[None]:
        """Let the default generator be this run's, as it is in the program, where another run is beside it."""
        outside = default_rng().bit_generator.state
        try:
            if self._random:
                default_rng().bit_generator.state = self._random
            yield
            self._random = dict(default_rng().bit_generator.state)
        finally:
            default_rng().bit_generator.state = outside

    @property
    def epoch(self) -> int:
        """The number of finished epochs."""
        return self.step // self.config.steps_per_epoch

    @property
    def diverged(self) -> bool:
        """Whether a loss is no longer a finite number: more steps could not change that."""
        return self.step > 0 and not math.isfinite(self.batch_losses[self.step - 1])

    def advance(self, steps: int) -> None:
        """Take this number of steps, fewer where the run has its last one. What was after this step is forgotten."""
        end = min(self.step + steps, MAX_STEPS)
        while self.step < end and not self.diverged:
            if self.batch_losses[self.step :]:
                self._forget()
            with np.errstate(all="ignore"):
                self.batch_losses.append(self._step(weigh=self.step == end - 1))
            if self.step % self.config.steps_per_epoch == 0:
                self._note()

    def _step(self, weigh: bool = False) -> float:
        before = [p.data.copy() for p in self._weights()] if weigh else []
        with self._own_random():
            loss: float = self.space["train_step"](self.step)
        self.step += 1
        if weigh:
            self.ratios = [
                float(np.linalg.norm(p.data - old) / max(float(np.linalg.norm(old)), 1e-12))
                for p, old in zip(self._weights(), before)
            ]
        return loss

    def seek(self, step: int) -> None:
        """Go to a step of this run: back to the checkpoint before it, and the same steps from there again."""
        last = len(self.batch_losses)
        if not 0 <= step <= last:
            raise ValueRangeError(f"seek: expected a step from 0 to {last}, got {step}")
        found = max((c for c in self._checkpoints if c.step <= step), key=lambda c: c.step)
        if not found.step <= self.step <= step:
            self._restore(found)
        with np.errstate(all="ignore"):
            while self.step < step:
                self._step(weigh=self.step == step - 1)

    def _forget(self) -> None:
        del self.batch_losses[self.step :]
        self.measured = [m for m in self.measured if m.step <= self.step]
        self._checkpoints = [c for c in self._checkpoints if c.step <= self.step]

    def _note(self) -> None:
        """Measure, and keep a checkpoint at some of the epochs, so that their number is bounded."""
        self.measured.append(self.measure())
        if self.epoch % self._spacing == 0:
            self._checkpoints.append(self._checkpoint())
            if len(self._checkpoints) > CHECKPOINTS:
                self._spacing *= 2
                per = self.config.steps_per_epoch * self._spacing
                self._checkpoints = [c for c in self._checkpoints if c.step % per == 0]

    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(
            self.step,
            {name: np.array(value) for name, value in self.model.state_dict().items()},
            copy.deepcopy(self.optimizer.state_dict()),
            self._random,
        )

    def path(self, chosen: Callable[[Mapping[str, Any]], NDArray]) -> NDArray:
        """What is chosen of the arrays at each checkpoint up to this step, and now: (checkpoints + 1, ...)."""
        before = [c.arrays for c in self._checkpoints if c.step < self.step]
        return np.stack([chosen(arrays) for arrays in [*before, self.model.state_dict()]])

    def _restore(self, checkpoint: Checkpoint) -> None:
        self.model.load_state_dict(checkpoint.arrays)
        self.optimizer.load_state_dict(copy.deepcopy(checkpoint.optimizer))
        self._random = checkpoint.rng
        self.step = checkpoint.step

    def measure(self) -> Measurement:
        """The losses and accuracies at this step; accuracies are nan in regression."""
        with np.errstate(all="ignore"):
            train_loss, train_accuracy = self.space["measure"](self.train_rows)
            dev_loss, dev_accuracy = self.space["measure"](self.dev_rows)
        return Measurement(self.step, train_loss, dev_loss, train_accuracy, dev_accuracy)

    def _weights(self) -> list[Tensor]:
        return [self.model[place.weight].weight for place in self.positions]

    # ---------------------------------------------------------------- what the page shows

    def outputs(self, x: NDArray) -> list[NDArray]:
        """The outputs of every layer of the configuration in evaluation mode, the last one's logits at the end."""
        shown = {place.output for place in self.positions}
        found: list[NDArray] = []
        self.model.eval()
        try:
            with tg.no_grad(), np.errstate(all="ignore"):
                out: Any = tg.asarray(x)
                for i, module in enumerate(self.model):
                    out = module(out)
                    if i in shown:
                        found.append(out.data)
        finally:
            self.model.train()
        return found

    def extent(self) -> tuple[float, float, float, float]:
        """The part of the plane that is drawn: (left, right, bottom, top), all examples with a margin."""
        values = self.x[:, :2] if self.config.classes else np.hstack([self.x[:, :1], self.y])
        low, high = values.min(0), values.max(0)
        margin = 0.1 * (high - low) + 1e-3
        left, bottom = (low - margin).tolist()
        right, top = (high + margin).tolist()
        return left, right, bottom, top

    def _grid(self, size: int) -> NDArray:
        left, right, bottom, top = self.extent()
        columns = np.linspace(left, right, size, dtype=np.float32)
        rows = np.linspace(top, bottom, size, dtype=np.float32)
        return self._with_means(np.stack(np.meshgrid(columns, rows), axis=-1).reshape(-1, 2))

    def _with_means(self, shown: NDArray) -> NDArray:
        """Examples with these values in the columns that are shown, and the mean of the training part in the others."""
        others = self.x[self.train_rows, shown.shape[1] :].mean(0, dtype=np.float32)
        return np.hstack([shown, np.tile(others, (len(shown), 1))])

    def examples(self) -> dict[str, NDArray]:
        """The examples as the page draws them: values, targets, and whether they are trained on."""
        trained = np.zeros(len(self.x), np.uint8)
        trained[self.train_rows] = 1
        return {
            "x": self.x[:, : self.config.shown].astype(np.float32),
            "y": self.y.astype(np.float32).reshape(-1),
            "trained": trained,
        }

    def pictures(self, example: int = 0) -> dict[str, NDArray]:
        """The decision boundary (uint8) or the curve (float32), and a picture of what each unit computes (uint8).

        For points in the plane a unit's picture is its output over the plane, with 128 for 0. For digits it is its
        weights, of the layers that see pixels, and otherwise its output for one example as a single pixel; of an
        output, how its logit changes with each pixel.
        """
        made: dict[str, NDArray] = {}
        if self.config.data == "digits":
            for i, out in enumerate(self.outputs(self.x[[example % len(self.x)]])[:-1]):
                made[f"units{i}"] = _signed(self._filters(i, out[0]))
            made[f"units{len(self.positions) - 1}"] = _signed(self._evidence())
            made["boundary"] = np.empty(0, np.uint8)
            return made
        if not self.config.classes:
            left, right, _, _ = self.extent()
            line = np.linspace(left, right, SMALL * 4, dtype=np.float32)[:, None]
            *hidden, last = self.outputs(self._with_means(line))
            made["curve"] = np.hstack([line, last]).astype(np.float32)
            for i, out in enumerate(hidden):
                made[f"units{i}"] = _signed(
                    np.repeat(out.T[:, None, ::4], SMALL, axis=1)
                )  # the same in each row of the picture
            return made
        for i, out in enumerate(self.outputs(self._grid(SMALL))[:-1]):
            made[f"units{i}"] = _signed(out.T.reshape(-1, SMALL, SMALL))
        logits = self.outputs(self._grid(GRID))[-1].astype(np.float64)
        with np.errstate(all="ignore"):
            if self.config.outputs == 1:
                shares = 1 / (1 + np.exp(-logits))
            else:
                shares = np.exp(logits - logits.max(1, keepdims=True))
                shares /= shares.sum(1, keepdims=True)
        made["boundary"] = _bytes(255 * shares).reshape(GRID, GRID, -1)
        return made

    def _evidence(self) -> NDArray:
        """For each digit, how its logit changes with each pixel: the mean gradient over some examples (10, 8, 8)."""
        rows = self.dev_rows[:10]
        x = tg.Tensor(np.tile(self.x[rows], (10, 1)), requires_grad=True)
        chosen = np.repeat(np.eye(10, dtype=x.dtype), len(rows), axis=0)
        self.model.eval()
        try:
            with np.errstate(all="ignore"):
                (found,) = tg.autograd.grad(self.model(x), x, grad_outputs=tg.asarray(chosen))
        finally:
            self.model.train()
        assert found is not None
        return found.data.reshape(10, len(rows), 8, 8).mean(1)

    def _filters(self, i: int, out: NDArray) -> NDArray:
        weight: NDArray = self.model[self.positions[i].weight].weight.data
        if weight.ndim == 4:
            return out  # the feature maps (channels, height, width)
        return weight.reshape(-1, 8, 8) if weight.shape[1] == 64 else out.reshape(-1, 1, 1)

    def weights(self) -> dict[str, NDArray]:
        """The weights of each layer as a matrix (units, inputs): of a convolution, the norm of each window."""
        made = {}
        for i, weight in enumerate(self._weights()):
            matrix = np.linalg.norm(weight.data, axis=(2, 3)) if weight.data.ndim == 4 else weight.data
            made[f"weights{i}"] = matrix.astype(np.float32)
        return made

    def curves(self) -> dict[str, NDArray]:
        """(step, train loss, dev loss) of the epochs and (step, loss) of the batches, thinned to what can be seen."""
        rows = np.array([m[:3] for m in self.measured], np.float32).reshape(-1, 3)
        losses = np.array(self.batch_losses, np.float32)
        kept = thinned(len(losses))
        batches = np.stack([kept.astype(np.float32) + 1, losses[kept]], axis=1)
        return {"curve_epochs": rows[thinned(len(rows))], "curve_batches": batches.astype(np.float32)}

    def layers(self) -> list[dict[str, Any]]:
        """Per layer: histograms of the activations and of their gradients, dead units, and the last step's ratio.

        The batch is that of the next step. Nothing is changed: generators and running statistics are put back.
        """
        batch = self.space["batch_of"](self.step)
        seen = self.look(batch)
        found = []
        for i, (out, grad) in enumerate(zip(seen.outputs, seen.gradients)):
            units = np.moveaxis(out, 1, 0).reshape(out.shape[1], -1)
            relu = i < len(self.config.layers) and self.config.layers[i].activation == "relu"
            found.append(
                {
                    "activations": histogram(out),
                    "gradients": histogram(grad),
                    "dead": int((units == 0).all(1).sum()) if relu else 0,
                    "units": len(units),
                    "ratio": self.ratios[i] if i < len(self.ratios) else None,
                    "norm": number(np.linalg.norm(seen.weights[i])),
                }
            )
        return found

    def look(self, rows: NDArray) -> Seen:
        """One forward and backward pass on these rows in training mode, with everything that was in between."""
        saved = self._checkpoint()
        gradients = [p.grad for p in self.model.parameters()]
        try:
            with np.errstate(all="ignore"), self._own_random():
                return self._look(rows)
        finally:
            self.model.load_state_dict(saved.arrays)
            self._random = saved.rng
            for p, grad in zip(self.model.parameters(), gradients):
                p.grad = grad

    def _look(self, rows: NDArray) -> Seen:
        for p in self.model.parameters():
            p.grad = None
        inputs, sums, outputs = [], [], []
        by_weight = {place.weight for place in self.positions}
        by_output = {place.output for place in self.positions}
        out: Any = tg.asarray(self.x[rows])
        for i, module in enumerate(self.model):
            if i in by_weight:
                inputs.append(out)
            out = module(out)
            if i in by_weight or i in by_output:
                out.retain_grad()
            if i in by_weight:
                sums.append(out)
            if i in by_output:
                outputs.append(out)
        loss = self.space["loss_of"](out, tg.asarray(self.y[rows]))
        loss.backward()
        return Seen(
            float(loss.item()),
            [t.data.copy() for t in inputs],
            [t.data.copy() for t in sums],
            [_grad(t) for t in sums],
            [t.data.copy() for t in outputs],
            [_grad(t) for t in outputs],
            [_grad(self.model[place.weight].weight) for place in self.positions],
            [
                np.zeros(0) if self.model[place.weight].bias is None else _grad(self.model[place.weight].bias)
                for place in self.positions
            ],
        )

    def status(self) -> dict[str, Any]:
        """The numbers that the page prints, None where a number is not finite."""
        now = self.measured[-1] if self.measured[-1].step == self.step else self.measure()
        return {
            "step": self.step,
            "last": len(self.batch_losses),
            "epoch": self.epoch,
            "rate": self.space["rate_of"](self.step),
            "diverged": self.diverged,
            "batch_loss": number(self.batch_losses[self.step - 1]) if self.step else None,
            **{name: number(value) for name, value in now._asdict().items() if name != "step"},
        }


class Seen(NamedTuple):
    """A pass through the network: per layer, output layer included, the arrays (examples, ...) and their gradients."""

    loss: float
    inputs: list[NDArray]
    sums: list[NDArray]  # before batch normalization and activation
    sum_gradients: list[NDArray]
    outputs: list[NDArray]
    gradients: list[NDArray]  # of the outputs
    weights: list[NDArray]  # gradients of the weights
    biases: list[NDArray]  # empty for a layer without bias


def _grad(tensor: Tensor) -> NDArray:
    return np.zeros_like(tensor.data) if tensor.grad is None else tensor.grad.data.copy()


def _bytes(values: NDArray) -> NDArray:
    return np.clip(np.nan_to_num(np.rint(values)), 0, 255).astype(np.uint8)


def _signed(values: NDArray) -> NDArray:
    """Each unit's values as bytes: 128 for 0, 1 and 255 for the largest absolute value."""
    values = np.nan_to_num(values.astype(np.float64), posinf=0, neginf=0)
    largest = (
        np.abs(values).max(axis=(1, 2), keepdims=True) if values.shape[1:] != (1, 1) else np.abs(values).max()
    )
    return _bytes(128 + 127 * values / np.maximum(largest, 1e-12))


def thinned(n: int, most: int = CURVE) -> NDArray:
    """The indices of at most `most` of n points, the first and the last among them."""
    return np.arange(n) if n <= most else np.unique(np.linspace(0, n - 1, most).astype(int))


def number(value: Any) -> float | None:
    """A finite number for JSON, None for others."""
    return float(value) if math.isfinite(value) else None


def histogram(values: NDArray) -> dict[str, Any]:
    """Counts over equal bins from the least to the largest value, with the number of those that are not finite."""
    finite = values[np.isfinite(values)].astype(np.float64)
    low, high = (float(finite.min()), float(finite.max())) if finite.size else (0.0, 0.0)
    if not high > low:
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(finite, BINS, (low, high))
    return {"low": low, "high": high, "counts": counts.tolist(), "lost": int(values.size - finite.size)}
