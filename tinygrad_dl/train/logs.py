"""Logs of a run as CSV and JSON Lines files."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_dl.arguments import checked
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train.callback import Callback

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer


class Log(Callback):
    """Log the values of each epoch to a file as it ends: a table (.csv), or one JSON object per line (.jsonl).

    A resumed run rewrites the file with its full history. Raises ValueRangeError for other suffixes.
    """

    last = rank_zero_only = True

    @checked
    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueRangeError(
                f"Log: path: expected a name ending in .csv or .jsonl, got {self.path.name!r}"
            )
        self._first = True  # whether this fit has not written yet

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._first = True

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.path.suffix == ".csv":
            trainer.history.save(self.path)
            return
        epochs = trainer.history.epochs if self._first else [epoch]
        with open(self.path, "w" if self._first else "a", encoding="utf-8") as file:
            for values in epochs:
                # JSON has no nan: other readers would reject what json.dumps writes for it.
                finite = {
                    k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in values.items()
                }
                file.write(json.dumps(finite) + "\n")
        self._first = False
