"""Progress: a line per epoch and a progress bar, or one display that a notebook updates."""

from __future__ import annotations

import sys
import time
from typing import IO, TYPE_CHECKING, Any

from tinygrad_dl import markup
from tinygrad_dl.errors import DTypeError, ValueRangeError, missing_extra
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.history import format_epoch
from tinygrad_dl.train.notebook import LiveDisplay

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

LEVELS = ("auto", "bar", "epoch", "off")
INTERVAL = 0.1  # seconds between updates of the bar: the eye needs no more, and drawing costs time


def wrapped(text: str, width: int) -> str:
    """A line as several where it is too wide: broken between its quantities, never inside of one."""
    lines: list[str] = []
    for part in text.split("   "):
        if lines and len(lines[-1]) + 3 + len(part) <= width:
            lines[-1] += "   " + part
        else:
            lines.append("  " * bool(lines) + part)
    return "\n".join(lines)


class Progress(Callback):
    """Print a line per epoch to stdout, in a terminal with a progress bar below; show a notebook a live display.

    `level`: "bar", "epoch" (lines only), "off", or "auto", which shows the bar in terminals only. With "bar" and
    "auto" a notebook gets one display, updated in place: a table of the epochs and the curve of the loss. NO_COLOR
    is honored. Only every `every`-th epoch and the last one are printed, by default about 100 lines. `stream`: a file
    to print to instead. Raises ValueRangeError, MissingExtraError.
    """

    rank_zero_only = True

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
        self._live: LiveDisplay | None = None
        self._best: dict[str, float] = {}  # loss -> its best value so far

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._last = 0.0
        self._step = self.every or max(1, trainer.epochs // 100)
        self._printed = -1
        if self.level in ("off", "epoch"):
            return
        if self.stream is None and markup.in_notebook():
            self._live = LiveDisplay(time.monotonic)
            self._live.update(trainer)
            return
        try:
            from rich.console import Console
            from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn
        except ImportError:
            if self.level == "bar":
                raise missing_extra("rich", "train", "a progress bar") from None
            return
        console = Console(file=self._file)
        interactive = console.is_terminal and not console.is_dumb_terminal
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

    @property
    def _file(self) -> IO[str]:
        return self.stream if self.stream is not None else sys.stdout

    def on_batch_end(self, trainer: Trainer) -> None:
        if self._live is not None:
            self._live.update(trainer)
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
        if self._live is not None:
            self._live.update(trainer)
            return
        last = trainer.first_epoch + trainer.epochs
        improved = self._improved(epoch)
        if self.level == "off" or (epoch["epoch"] % self._step and epoch["epoch"] != last):
            return
        self._print(format_epoch(epoch, last), improved)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._live is not None:
            live, self._live = self._live, None
            live.finish(trainer)
            return
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
        """Print a line, above the bar or below the table if there is one; nothing at level "off"."""
        if self._live is not None:
            self._live.message(text)
        elif self.level != "off":
            self._print(text, False)

    def _print(self, text: str, improved: bool) -> None:
        if self._bar is not None:
            text = wrapped(text, self._console.width)
            self._console.print(text, style="green" if improved else None, highlight=False)
        else:
            print(text, file=self._file, flush=True)
