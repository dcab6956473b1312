"""Logs of a run in files: CSV and JSON lines, and TensorBoard's events."""

from __future__ import annotations

import json
import math
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_dl.errors import MissingExtraError, ValueRangeError
from tinygrad_dl.train.callback import Callback

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer


class Log(Callback):
    """Write each epoch's figures to a file as it ends: a table if it ends in .csv, a JSON object a line if in .jsonl.

    A resumed run writes its whole history. Raises ValueRangeError for other endings.
    """

    last = True

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self.path = Path(path)
        if self.path.suffix not in (".csv", ".jsonl"):
            raise ValueRangeError(f"Log: a path ending in .csv or .jsonl is needed; {self.path.name!r} came")
        self._lines = 0

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._lines = -1

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if self.path.suffix == ".csv":
            trainer.history.save(self.path)
            return
        fresh = self._lines < 0
        epochs = trainer.history.epochs if fresh else [epoch]
        with open(self.path, "w" if fresh else "a", encoding="utf-8") as file:
            for one in epochs:
                # JSON has no nan: a reader of other make would stumble over it.
                finite = {
                    k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in one.items()
                }
                file.write(json.dumps(finite) + "\n")
        self._lines = len(trainer.history)


class TensorBoard(Callback):
    """Write each epoch's figures as TensorBoard events, with the package tensorboardX or torch.

    Raises MissingExtraError if neither is installed.
    """

    last = True

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
