"""Checkpoints: a run killed at any moment resumes from the last one, after an epoch or within it, bit for bit."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.errors import FileFormatError, ValueRangeError
from tinygrad_dl.files import load, save
from tinygrad_dl.train.callback import Callback

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

NAME = re.compile(r"epoch-(\d{6,})(?:-batch-(\d{6,}))?\.safetensors")


class Checkpoint(Callback):
    """Save the run to `folder` every `every` epochs and at the end; a new Trainer resumes from there.

    `every_batches`: save also after so many batches of each epoch, which is then resumed in its middle. A checkpoint
    holds weights, optimizer, callbacks, random generators, order of batches and history. Writes are
    atomic; the newest `keep` files are kept. A damaged file is skipped in favor of the one before it, with a
    message. A script that calls fit several times resumes in the call that was interrupted; the finished ones before
    it are passed over. Each Trainer has a Checkpoint of its own. With resume=False the checkpoints in the folder are
    removed and training starts from the beginning. Raises ValueRangeError.
    """

    last = True

    @checked
    def __init__(
        self,
        folder: str | os.PathLike[str],
        every: Count = 1,
        keep: Count = 2,
        resume: bool = True,
        *,
        every_batches: Count | None = None,
    ) -> None:
        self.folder, self.every, self.keep, self.resume = Path(folder), int(every), int(keep), resume
        self.every_batches = every_batches
        self._trainer: Trainer | None = None

    def files(self) -> list[Path]:
        """Return the checkpoints in the folder, oldest first."""
        if not self.folder.is_dir():
            return []
        found = [(NAME.fullmatch(path.name), path) for path in self.folder.iterdir()]
        numbered = sorted((int(match[1]), int(match[2] or 0), path) for match, path in found if match)
        return [path for *_, path in numbered if path.is_file()]

    def on_fit_begin(self, trainer: Trainer) -> None:
        if self._trainer not in (None, trainer) and self.resume:
            # Resuming here would put the weights of one fold into the model of the next.
            raise ValueRangeError(
                f"Checkpoint: expected the Trainer whose run is in {self.folder}, got another one. Make a Checkpoint "
                "with a folder of its own for each run, or a new one with this folder to resume."
            )
        self._trainer = trainer
        # Of several ranks rank 0 alone reads and writes: the others may not see its files.
        found = self._begin(trainer) if not trainer.world.rank else None
        found = trainer.world.broadcast(found)
        if found is not None:
            state, path = found
            trainer._resume(state)
            batch = f", batch {trainer.batch} of the next one" if trainer.batch else ""
            trainer.write(f"resumed after epoch {trainer.epoch}{batch}, from {path}")

    def _begin(self, trainer: Trainer) -> tuple[Any, Path] | None:
        """Make the folder ready; the newest checkpoint to resume from, and its path."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob(".epoch-*"):
            if path.is_file():
                path.unlink()  # the temporary file of a run that was killed while writing
        if trainer.epoch:  # a second fit of the same Trainer continues its own run
            return None
        if not self.resume:
            for path in self.files():
                path.unlink()
            return None
        for path in reversed(self.files()):
            try:
                return load(path), path
            except FileFormatError as error:
                trainer.write(f"checkpoint skipped: {error}")
        return None

    def on_batch_end(self, trainer: Trainer) -> None:
        last = trainer.batch == trainer.batches  # the epoch is saved soon
        if self.every_batches is None or trainer.batch % self.every_batches or last:
            return
        state = trainer.state_dict()  # which all ranks have a part in
        if not trainer.world.rank:
            self._save(state, f"epoch-{trainer.epoch:06d}-batch-{trainer.batch:06d}.safetensors")

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        if trainer.world.rank:
            return
        final = trainer.stopping or trainer.epoch == trainer.first_epoch + trainer.epochs
        if trainer.epoch % self.every and not final:
            return
        self._save(trainer.state_dict(), f"epoch-{trainer.epoch:06d}.safetensors")

    def _save(self, state: dict[str, Any], name: str) -> None:
        save(state, self.folder / name)
        for path in self.files()[: -self.keep]:
            path.unlink()
