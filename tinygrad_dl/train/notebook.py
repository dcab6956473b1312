"""A run in a notebook: one display, updated in place, with a table of epochs and the curve of the loss."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from tinygrad_dl import markup
from tinygrad_dl.train.history import History, format_epoch, format_quantity

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

INTERVAL = (
    0.25  # seconds between updates: each one is a message to the browser, which lays the page out again
)
ROWS = (2, 8)  # of a long run: the first and the last epochs; few, so that the display keeps its height
MOST_MESSAGES = 5


class LiveDisplay:
    """What a notebook shows of a call of fit. The last update, which stays, is made when the call ends."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._handle: Any = None
        self._messages: list[str] = []
        self._clock = clock
        self._begin = self._last = clock()

    def message(self, line: str) -> None:
        """Add a line of text, to be shown with the next update."""
        self._messages.append(line)

    def update(self, trainer: Trainer, force: bool = False) -> None:
        """Show where the run is, if the last update is long enough ago."""
        now = self._clock()
        if self._handle is not None and not force and now - self._last < INTERVAL:
            return
        self._last = now
        self._publish(self._bundle(trainer, self._heading(trainer, now - self._begin)))

    def finish(self, trainer: Trainer) -> None:
        """Show how the run ended."""
        seconds = self._clock() - self._begin
        done, history = trainer.epoch - trainer.first_epoch, trainer.history
        heading = f"{done} epoch{'' if done == 1 else 's'} in {_duration(seconds)}"
        if history.stopped:
            heading += f", stopped: {history.stopped}"
        elif trainer.interrupted:
            heading += f", stopped by an error in epoch {trainer.epoch + 1}"
        self._publish(self._bundle(trainer, markup.paragraph(markup.text(heading)), heading))
        trainer.history.shown_in = markup.cell()
        self._handle = None

    def _publish(self, bundle: dict[str, str]) -> None:
        from IPython.display import display

        if self._handle is None:
            self._handle = display(bundle, raw=True, display_id=True)
        elif self._handle:
            self._handle.update(bundle, raw=True)

    def _heading(self, trainer: Trainer, seconds: float) -> str:
        done = trainer.epoch - trainer.first_epoch + trainer.batch / max(trainer.batches, 1)
        share = done / max(trainer.epochs, 1)
        number = min(trainer.epoch + 1, trainer.first_epoch + trainer.epochs)
        label = f"epoch {number} of {trainer.first_epoch + trainer.epochs}"
        if math.isfinite(trainer.running_loss):
            label += f", loss {format_quantity('loss', trainer.running_loss)}"
        if share > 0:
            label += f", {_duration(seconds * (1 - share) / share)} left"
        return markup.paragraph(markup.bar(share, markup.text(label), width=160))

    def _bundle(self, trainer: Trainer, heading: str, plain: str = "") -> dict[str, str]:
        lines = [markup.paragraph(markup.text(line)) for line in self._messages[-MOST_MESSAGES:]]
        last = trainer.first_epoch + trainer.epochs
        epochs = markup.elided(trainer.history.epochs, *ROWS)
        shown = ["..." if epoch is None else format_epoch(epoch, last) for epoch in epochs]
        return {
            "text/html": heading + history_html(trainer.history) + "".join(lines),
            "text/plain": "\n".join(filter(None, [*shown, *self._messages[-MOST_MESSAGES:], plain])),
        }


def history_html(history: History, rows: tuple[int, int] = ROWS) -> str:
    """The epochs of a run as a table, the best one in color, beside the curve of the loss."""
    if not len(history):
        return ""
    return markup.block(epochs_table(history, rows), loss_curve(history))


def best_epoch(history: History) -> int | None:
    """The position of the best epoch, by the dev loss if there is one, otherwise by the loss; None if there is none."""
    name = "dev_loss" if "dev_loss" in history else "loss"
    found = [
        (value, i)
        for i, epoch in enumerate(history.epochs)
        if math.isfinite(value := _number(epoch.get(name)))
    ]
    return min(found)[1] if found else None


def epochs_table(history: History, shown: tuple[int, int] = ROWS) -> str:
    """The first, the last and the best epochs as an HTML table."""
    names = [name for name in history.names if name != "epoch"]
    best = best_epoch(history)
    positions = markup.elided(range(len(history)), *shown)
    if best is not None and best not in positions:
        positions[shown[0] : shown[0] + 1] = [None, best, None]
    rows: list[Sequence[str]] = []
    for place, i in enumerate(positions):
        if i is None:
            before, after = positions[place - 1], positions[place + 1]
            if after - before > 1:
                rows.append([f"… {after - before - 1} more …"])
            continue
        epoch = history.epochs[i]
        cells = [markup.text(epoch.get("epoch", i + 1))]
        cells += [
            markup.text(format_quantity(name, epoch[name]).strip()) if name in epoch else "" for name in names
        ]
        if i == best:
            cells = [markup.colored(cell, markup.GREEN) for cell in cells]
            cells[0] += markup.colored(" best", markup.GREEN)
        rows.append(cells)
    return markup.table(["epoch", *(markup.text(name.replace("_", " ")) for name in names)], rows)


def loss_curve(history: History) -> str:
    """The loss over the epochs on the training part and the dev part, as SVG."""
    x = [_number(epoch.get("epoch", i + 1)) for i, epoch in enumerate(history.epochs)]
    lines = [
        markup.Line(label, x, [_number(epoch.get(name)) for epoch in history.epochs], hue)
        for name, label, hue in (("loss", "train", markup.BLUE), ("dev_loss", "dev", markup.RED))
        if name in history
    ]
    best = best_epoch(history)
    marks = []
    if best is not None:
        line = lines[-1]
        marks.append(markup.Mark("best", x[best], line.y[best]))
    return markup.chart(lines, "The loss over the epochs", marks, x_label="epoch")


def _number(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return math.nan


def _duration(seconds: float) -> str:
    if seconds < 10:
        return f"{seconds:.1f} s"
    if seconds < 100:
        return f"{seconds:.0f} s"
    minutes = round(seconds / 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"
