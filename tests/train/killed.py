"""A run that is killed repeatedly: 50 times with SIGKILL, at random moments, and resumed each time.

Run as a script, in a process with one thread that forks the runs; prints what the test reads.
"""

from __future__ import annotations

import os
import random
import signal
import sys
import time
from hashlib import sha256
from pathlib import Path

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.data import DataLoader, Noise, TensorDataset
from tinygrad_dl.train import AveragedWeights, Checkpoint, EarlyStopping, Schedule, Trainer

EPOCHS = 60


def train(folder: Path) -> str:
    """Train, or go on training, and return a digest of all that the run left."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(48, 1, 2, 3)).astype(np.float32)
    data = TensorDataset(x, (x.sum(axis=(1, 2, 3)) > 0).astype(np.int64))
    tg.manual_seed(0)
    model = nn.Sequential(
        nn.Flatten(), nn.Linear(6, 16), nn.BatchNorm1d(16), nn.ReLU(), nn.Dropout(0.3), nn.Linear(16, 2)
    )
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optim.Adam(model.parameters(), lr=0.01),
        metrics=["accuracy"],
        callbacks=[
            Checkpoint(folder, every_batches=2),
            EarlyStopping("dev_loss", patience=1000),
            Schedule(lambda epoch: 0.98**epoch, per="batch"),
            AveragedWeights(0.9, apply=False),
        ],
        progress="off",
    )
    loader = DataLoader(data, 16, shuffle=True, transform=Noise(0.1), rng=7)
    trainer.fit(loader, data, EPOCHS)
    digest = sha256()
    for name, value in sorted(
        {**model.state_dict(), **trainer.callbacks[-2].state_dict()["average"]}.items()
    ):
        digest.update(name.encode() + np.asarray(value).tobytes())
    for epoch in trainer.history:
        digest.update(repr([value for name, value in epoch.items() if name != "seconds"]).encode())
    return digest.hexdigest()


def main(folder: Path, kills: int) -> None:
    begin = time.perf_counter()
    expected = train(folder / "whole")
    length = time.perf_counter() - begin
    chance = random.Random(1)
    done = run = 0
    while done < kills:
        result = folder / f"result-{run}"
        child = os.fork()
        if not child:
            result.write_text(train(folder / f"run-{run}"))
            os._exit(0)
        time.sleep(chance.uniform(0, length / 4))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        done += os.WIFSIGNALED(status)
        if not os.WIFSIGNALED(status):
            assert result.read_text() == expected, f"run {run} ended in other bits after {done} kills"
            run += 1
    assert train(folder / f"run-{run}") == expected, "the last run ended in other bits"
    print(f"killed {done} times, {run + 1} runs, all in the same bits")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
