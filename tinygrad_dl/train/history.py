"""History: the values measured in each epoch."""

from __future__ import annotations

import csv
import io
import math
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import markup
from tinygrad_dl.arguments import checked
from tinygrad_dl.directions import Mode, higher_is_better
from tinygrad_dl.errors import DTypeError, FileFormatError, ValueRangeError
from tinygrad_dl.files import write_atomically


class History:
    """The epochs of a run, one dict each: "epoch" from 1, "loss", metrics, the same with "dev_", "lr", "seconds".

    `history["dev_loss"]` lists one quantity. `stopped` says why training ended early, if it did. `modes`: "max" or
    "min" for metrics of your own, whose names do not tell which values are better.

    >>> history = History([{"epoch": 1, "loss": 0.5}, {"epoch": 2, "loss": 0.25}])
    >>> history["loss"], history.best("loss")["epoch"]
    ([0.5, 0.25], 2)
    """

    @checked
    def __init__(
        self,
        epochs: Iterable[dict[str, Any]] | None = None,
        name: str = "",
        modes: dict[str, Mode] | None = None,
    ) -> None:
        self.epochs = list(epochs or [])
        for epoch in self.epochs:
            if not isinstance(epoch, Mapping):
                raise DTypeError(
                    "History: epochs: expected one dict per epoch, such as {'epoch': 1, 'loss': 0.5}, got "
                    f"{type(epoch).__name__}"
                )
        self.name = name
        self.modes: dict[str, Mode] = dict(modes or {})
        self.stopped = ""
        self.shown_in: int | None = None  # the cell of a notebook below which fit shows it already

    if not TYPE_CHECKING:

        def __getattr__(self, name):
            # Reached only when the attribute does not exist.
            from tinygrad_dl.vocabulary import unknown

            raise unknown("History", name, dir(type(self)), type(self).__name__)

    def __len__(self) -> int:
        return len(self.epochs)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.epochs)

    def __contains__(self, name: object) -> bool:
        return name in self.names

    @property
    def names(self) -> list[str]:
        """The quantities measured in any epoch, in order of appearance."""
        return list(dict.fromkeys(name for epoch in self.epochs for name in epoch))

    def __getitem__(self, name: str) -> list[Any]:
        """List one quantity over the epochs, nan where it was not measured. Raises ValueRangeError."""
        self._check(name)
        return [epoch.get(name, math.nan) for epoch in self.epochs]

    def higher_is_better(self, name: str, mode: Mode | None = None) -> bool | None:
        """Whether larger values of a quantity are better: by `mode`, by `modes`, or by its name; None if unknown."""
        return higher_is_better(name, mode or self.modes.get(name.removeprefix("dev_")))

    def _rises(self, caller: str, name: str, mode: Mode | None) -> bool:
        rises = self.higher_is_better(name, mode)
        if rises is None:
            raise ValueRangeError(
                f"{caller}: expected a metric of which it is known whether larger or smaller is better, got {name!r}. "
                'Pass mode="max" or mode="min".'
            )
        return rises

    @checked
    def best(self, name: str = "dev_loss", mode: Mode | None = None) -> dict[str, Any]:
        """Return the epoch with the best value of a quantity: the largest accuracy (F1, R², ...), the smallest loss.

        `mode`: "max" or "min", for a metric of your own. Raises ValueRangeError.
        """
        self._check(name)
        sign = -1 if self._rises("History.best", name, mode) else 1
        known = [epoch for epoch in self.epochs if _is_number(epoch.get(name)) and epoch[name] == epoch[name]]
        if not known:
            raise ValueRangeError(f"History.best: expected a finite {name} in some epoch, got nan in all")
        return min(known, key=lambda epoch: sign * epoch[name])

    def _check(self, name: str) -> None:
        if not isinstance(name, str) or name not in self.names:
            advice = ""
            if isinstance(name, str) and name.startswith("val_"):
                advice = f". Its name here is dev_{name.removeprefix('val_')}"
            if isinstance(name, str) and name.startswith(("val_", "dev_")) and "dev_loss" not in self:
                advice += ". It is measured where fit gets a dev part: fit(X, y, dev=(X_dev, y_dev))"
            raise ValueRangeError(
                f"History: expected one of {', '.join(self.names) or 'no quantities'}, got {name!r}{advice}"
            )

    @checked
    def save(self, path: str | os.PathLike[str]) -> None:
        """Write a CSV table with one row per epoch."""
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, self.names, lineterminator="\n")
        writer.writeheader()
        writer.writerows(self.epochs)
        write_atomically(path, text.getvalue().encode())

    @classmethod
    @checked
    def load(cls, path: str | os.PathLike[str]) -> History:
        """Read what `save` wrote. Raises FileFormatError for other tables."""
        try:
            with open(path, newline="", encoding="utf-8") as file:
                rows = list(csv.DictReader(file))
            epochs = [
                {
                    name: int(value) if name == "epoch" else float(value)
                    for name, value in row.items()
                    if value
                }
                for row in rows
            ]
        except (TypeError, ValueError, csv.Error) as error:
            raise FileFormatError(
                f"History.load: {os.fspath(path)} is not a table of epochs: {error}"
            ) from None
        return cls(epochs, name=os.path.basename(os.path.dirname(os.path.abspath(path))))

    def table(self) -> str:
        """Return the epochs as a text table."""
        names = self.names
        rows = [names, *([format_value(epoch.get(name, "")) for name in names] for epoch in self.epochs)]
        widths = [max(len(row[i]) for row in rows) for i in range(len(names))]
        return "\n".join("  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows)

    def plot(self, *others: History, **options: Any) -> Any:
        """Plot learning curves; see viz.plot_history. `others`: runs to compare with."""
        from tinygrad_dl.viz.plots.learning_curves import plot_history

        return plot_history(self, *others, **options)

    def __repr__(self) -> str:
        last = "".join(
            f", {name} {format_value(value)}"
            for name, value in (self.epochs or [{}])[-1].items()
            if name != "epoch"
        )
        return f"History({len(self)} epochs{last})"

    def _repr_html_(self) -> str:
        from tinygrad_dl.train.notebook import history_html

        if self.shown_in is not None and self.shown_in == markup.cell():
            return markup.paragraph(markup.text(repr(self)))
        return history_html(self, (10, 10)) or markup.paragraph("History of no epochs")


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float, np.integer, np.floating))


def format_value(value: object) -> str:
    """Format a value for people: floats to four significant digits, anything else as it is."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def format_epoch(epoch: dict[str, Any], last: int) -> str:
    """Format an epoch as one line: each quantity on the training part and, after a bar, on the dev part."""
    parts = [f"epoch {epoch['epoch']:>{len(str(last))}}/{last}"]
    for name, value in epoch.items():
        if name in ("epoch", "lr", "seconds") or name.startswith("dev_") or isinstance(value, str):
            continue
        text = f"{name} {format_quantity(name, value)}"
        if f"dev_{name}" in epoch:
            text += f" | dev {format_quantity(name, epoch[f'dev_{name}'])}"
        parts.append(text)
    if "seconds" in epoch:
        parts.append(f"{epoch['seconds']:.2f} s")
    return "   ".join(parts)


def format_quantity(name: str, value: Any) -> str:
    """Format a quantity by its name: an accuracy in percent, a loss with four digits after the point."""
    if not _is_number(value):
        return str(value)
    if name == "seconds":
        return f"{value:.2f}"
    if name.endswith(("accuracy", "precision", "recall")):
        return f"{100 * value:.2f} %".rjust(8)
    fixed = name != "lr" and 1e-3 <= abs(value) < 1e4
    return f"{value:.4f}" if fixed else format_value(float(value))
