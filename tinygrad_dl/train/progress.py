"""Progress: a line per epoch and a progress bar."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

from tinygrad_dl.errors import DTypeError, ValueRangeError, missing_extra
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.history import format_value

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

LEVELS = ("auto", "bar", "epoch", "off")
INTERVAL = 0.1  # seconds between updates of the bar: the eye needs no more, and drawing costs time


class Progress(Callback):
    """Print a line per epoch, with a progress bar below them in terminals, on stderr.

    `level`: "bar", "epoch" (lines only), "off", or "auto", which shows the bar in terminals only. NO_COLOR is
    honored. Only every `every`-th epoch and the last one are printed, by default about 100 lines. Raises
    ValueRangeError, MissingExtraError.
    """

    def __init__(self, level: str = "auto", every: int | None = None, stream: IO[str] | None = None) -> None:
        if not isinstance(level, str) or level not in LEVELS:
            raise ValueRangeError(f"progress: expected one of {', '.join(LEVELS)}, got {level!r}")
        if every is not None and (not isinstance(every, int) or every < 1):
            raise ValueRangeError(
                f"Progress: every: expected an integer of at least 1 or None, got {every!r}"
            )
        if stream is not None and not hasattr(stream, "write"):
            raise DTypeError(f"Progress: stream: expected a file with write, got {type(stream).__name__}")
        self.level, self.every, self.stream = level, every, stream
        self._console: Any = None
        self._bar: Any = None
        self._best: dict[str, float] = {}  # loss -> its best value so far

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._last = 0.0
        self._step = self.every or max(1, trainer.epochs // 100)
        self._printed = -1
        if self.level in ("off", "epoch"):
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            if self.level == "bar":
                raise missing_extra("rich", "train", "a progress bar") from None
            return
        console = Console(file=self.stream if self.stream is not None else sys.stderr)
        interactive = console.is_terminal and not console.is_dumb_terminal and not console.is_jupyter
        if self.level == "auto" and not interactive:
            return
        self._console = console
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[figures]}", style="dim"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            refresh_per_second=1 / INTERVAL,
        )
        self._task = self._bar.add_task("training", total=trainer.epochs * trainer.batches, figures="")
        self._bar.start()

    def on_batch_end(self, trainer: Trainer) -> None:
        if self._bar is None:
            return
        now = time.monotonic()
        if now - self._last < INTERVAL:
            return
        self._last = now
        completed = (trainer.epoch - trainer.first_epoch) * trainer.batches + trainer.batch
        self._bar.update(
            self._task,
            completed=completed,
            total=trainer.epochs * trainer.batches,
            description=f"epoch {trainer.epoch + 1}/{trainer.first_epoch + trainer.epochs}",
            figures=f"loss {trainer.running_loss:.4f}",
        )

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        last = trainer.first_epoch + trainer.epochs
        improved = self._improved(epoch)
        if self.level == "off" or (epoch["epoch"] % self._step and epoch["epoch"] != last):
            return
        self._print(format_epoch(epoch, last), improved)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._bar is not None:
            self._bar.stop()
            self._bar = None
        if trainer.history.stopped:
            self.write(f"stopped: {trainer.history.stopped}")

    def _improved(self, epoch: dict[str, Any]) -> bool:
        """Whether this is the best epoch so far, by the dev loss if there is one, otherwise by the loss."""
        name = "dev_loss" if "dev_loss" in epoch else "loss"
        best = self._best.get(name)
        value = epoch[name]
        if best is None or value < best:
            self._best[name] = value
            return True
        return False

    def write(self, text: str) -> None:
        """Print a line, above the bar if there is one; nothing at level "off"."""
        if self.level != "off":
            self._print(text, False)

    def _print(self, text: str, improved: bool) -> None:
        if self._bar is not None:
            self._console.print(text, style="green" if improved else None, highlight=False, soft_wrap=True)
        else:
            print(text, file=self.stream if self.stream is not None else sys.stderr, flush=True)


def format_epoch(epoch: dict[str, Any], last: int) -> str:
    """Format an epoch as one line: each quantity on the training part and, after a bar, on the dev part."""
    parts = [f"epoch {epoch['epoch']:>{len(str(last))}}/{last}"]
    for name, value in epoch.items():
        if name in ("epoch", "lr", "seconds") or name.startswith("dev_") or isinstance(value, str):
            continue
        text = f"{name} {_format_quantity(name, value)}"
        if f"dev_{name}" in epoch:
            text += f" | dev {_format_quantity(name, epoch[f'dev_{name}'])}"
        parts.append(text)
    if "seconds" in epoch:
        parts.append(f"{epoch['seconds']:.2f} s")
    return "   ".join(parts)


def _format_quantity(name: str, value: float) -> str:
    if name.endswith(("accuracy", "precision", "recall")):
        return f"{100 * value:.2f} %".rjust(8)
    return f"{value:.4f}" if 1e-3 <= abs(value) < 1e4 else format_value(float(value))
