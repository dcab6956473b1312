"""Checkpoints: a run that is killed at any moment goes on from its last whole epoch, in the same bits."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_dl.errors import FileFormatError, ValueRangeError
from tinygrad_dl.files import load, save
from tinygrad_dl.train.callback import Callback

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

NAME = re.compile(r"epoch-(\d{6,})\.safetensors")


class Checkpoint(Callback):
    """Save the whole run to `folder` every so many epochs and at the end; a new Trainer goes on from there.

    Saved are weights, optimizer, callbacks, random generators, order of batches, history. Each file is
    written whole or not at all; the newest `keep` stay. A damaged one is passed over for the one before,
    and that is said. With resume=False the folder's checkpoints are removed and training starts anew.
    Raises ValueRangeError.
    """

    last = True

    def __init__(
        self, folder: str | os.PathLike[str], every: int = 1, keep: int = 2, resume: bool = True
    ) -> None:
        if every < 1 or keep < 1:
            raise ValueRangeError(
                f"Checkpoint: every and keep of at least 1 are needed; {every}, {keep} came"
            )
        self.folder, self.every, self.keep, self.resume = Path(folder), every, keep, resume

    def files(self) -> list[Path]:
        """The checkpoints in the folder, the oldest first."""
        if not self.folder.is_dir():
            return []
        found = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        return [path for _, path in sorted((int(match[1]), path) for match, path in found if match)]

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob(".epoch-*"):
            path.unlink()  # half a file of a run that was killed
        if trainer.epoch:
            return
        if not self.resume:
            for path in self.files():
                path.unlink()
            return
        for path in reversed(self.files()):
            try:
                state = load(path)
            except FileFormatError as error:
                trainer.say(f"passed over: {error}")
                continue
            trainer.load_state_dict(state)
            trainer.say(f"resumed after epoch {trainer.epoch}, from {path}")
            return

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        final = trainer.stopping or trainer.epoch == trainer.first_epoch + trainer.epochs
        if trainer.epoch % self.every and not final:
            return
        save(trainer.state_dict(), self.folder / f"epoch-{trainer.epoch:06d}.safetensors")
        for path in self.files()[: -self.keep]:
            path.unlink()
