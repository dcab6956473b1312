"""Logs of a run: CSV and JSON Lines files, and TensorBoard events."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_dl.arguments import checked
from tinygrad_dl.errors import MissingExtraError, ValueRangeError
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


class TensorBoard(Callback):
    """Log the values of each epoch as TensorBoard events, with the package tensorboardX or torch.

    Raises MissingExtraError if neither is installed.
    """

    last = rank_zero_only = True

    @checked
    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = os.fspath(folder)
        self._writer: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._writer = _summary_writer()(self.folder)

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        for name, value in epoch.items():
            if name != "epoch" and isinstance(value, (int, float)):
                group, plain = ("dev", name[4:]) if name.startswith("dev_") else ("train", name)
                self._writer.add_scalar(f"{plain}/{group}", value, epoch["epoch"])

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _summary_writer() -> Any:
    try:
        from tensorboardX import SummaryWriter

        return SummaryWriter
    except ImportError:
        try:
            from torch.utils.tensorboard import SummaryWriter

            return SummaryWriter
        except ImportError:
            raise MissingExtraError(
                "TensorBoard needs the package tensorboardX, which is not installed. "
                "Install it with: pip install tensorboardX"
            ) from None
