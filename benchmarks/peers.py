"""The digits as a beginner meets them: scikit-learn's MLPClassifier, Keras and PyTorch beside tinygrad_dl.

python -m benchmarks.peers [--rounds N] [--epochs N]
1. The same network, optimizer, batches and epochs as scikit-learn's MLPClassifier, by default the 200 epochs that are
   its default, too; mark: 0.3 of its time. The first program takes 0.06 s, or 0.15 s where no machine code of it is
   stored, which is most of the time of few epochs.
2. From the start of a process to 97 % on unseen digits, imports and compilation included; mark: first.
Every run is a new process, in turns. Libraries that are missing are left out.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

HIDDEN, BATCH, RATE, EPOCHS = 64, 32, 3e-3, 200
GOAL, MOST = 0.97, 100  # the share of right answers to reach, and the epochs after which it is given up
Epoch = Callable[[], float]  # trains an epoch and gives the share of right answers on unseen digits


def batches(rng: Any, count: int) -> Iterator[Any]:
    """The indices of an epoch's batches."""
    order = rng.permutation(count)
    for start in range(0, count, BATCH):
        yield order[start : start + BATCH]


def ours(d: Any, compiled: bool) -> Epoch:
    import numpy as np

    import tinygrad_dl as tg
    from tinygrad_dl import nn, optim

    tg.manual_seed(0)
    model = nn.Sequential(nn.Linear(64, HIDDEN), nn.ReLU(), nn.Linear(HIDDEN, 10))
    optimizer, criterion = optim.Adam(model.parameters(), lr=RATE), nn.CrossEntropyLoss()
    rng = np.random.default_rng(0)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
        return loss

    run = tg.compile(step, fullgraph=True) if compiled else step

    def epoch() -> float:
        for i in batches(rng, len(d["x"])):
            run(tg.asarray(d["x"][i]), tg.asarray(d["y"][i]))
        with tg.no_grad():
            return float((model(tg.asarray(d["tx"])).numpy().argmax(1) == d["ty"]).mean())

    return epoch


def pytorch(d: Any) -> Epoch:
    import numpy as np
    import torch

    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, HIDDEN), torch.nn.ReLU(), torch.nn.Linear(HIDDEN, 10))
    optimizer, criterion = torch.optim.Adam(model.parameters(), lr=RATE), torch.nn.CrossEntropyLoss()
    x, y, tx = torch.tensor(d["x"]), torch.tensor(d["y"]), torch.tensor(d["tx"])
    rng = np.random.default_rng(0)

    def epoch() -> float:
        for i in batches(rng, len(x)):
            optimizer.zero_grad()
            criterion(model(x[i]), y[i]).backward()
            optimizer.step()
        with torch.no_grad():
            return float((model(tx).numpy().argmax(1) == d["ty"]).mean())

    return epoch


def keras(d: Any) -> Epoch:
    os.environ.setdefault("KERAS_BACKEND", "jax" if find_spec("jax") else "torch")
    import keras as library

    library.utils.set_random_seed(0)
    layers = library.layers
    model = library.Sequential(
        [layers.Input((64,)), layers.Dense(HIDDEN, activation="relu"), layers.Dense(10)]
    )
    loss = library.losses.SparseCategoricalCrossentropy(from_logits=True)
    model.compile(library.optimizers.Adam(RATE), loss)

    def epoch() -> float:
        model.fit(d["x"], d["y"], batch_size=BATCH, epochs=1, verbose=0)
        return float((model.predict(d["tx"], verbose=0).argmax(1) == d["ty"]).mean())

    return epoch


def scikit_learn(d: Any) -> Epoch:
    import warnings

    from sklearn.neural_network import MLPClassifier

    warnings.simplefilter("ignore")
    settings = {
        "hidden_layer_sizes": (HIDDEN,),
        "batch_size": BATCH,
        "learning_rate_init": RATE,
        "alpha": 0.0,
    }
    model = MLPClassifier(**settings, max_iter=1, warm_start=True, random_state=0)

    def epoch() -> float:
        model.fit(d["x"], d["y"])
        return float((model.predict(d["tx"]) == d["ty"]).mean())

    def whole(epochs: int) -> None:
        MLPClassifier(**settings, max_iter=epochs, tol=0, n_iter_no_change=epochs, random_state=0).fit(
            d["x"], d["y"]
        )

    epoch.whole = whole  # type: ignore[attr-defined]
    return epoch


CONTENDERS: dict[str, tuple[str, Callable[[Any], Epoch]]] = {
    "tinygrad_dl": ("tinygrad_dl", lambda d: ours(d, False)),
    "tinygrad_dl, compiled": ("tinygrad_dl", lambda d: ours(d, True)),
    "scikit-learn": ("sklearn", scikit_learn),
    "PyTorch": ("torch", pytorch),
    "Keras": ("keras", keras),
}


def worker(name: str, what: str, path: str, epochs: int) -> None:
    """In a process of its own: train, and print the results."""
    import numpy as np

    with np.load(path) as file:
        d = dict(file)
    if what == "epochs":
        begin = time.perf_counter()
        epoch = CONTENDERS[name][1](d)
        begin = time.perf_counter()  # after the imports
        if hasattr(epoch, "whole"):
            epoch.whole(epochs)
        else:
            for _ in range(epochs):
                reached = epoch()
        print(json.dumps({"seconds": time.perf_counter() - begin}))
        return
    epoch = CONTENDERS[name][1](d)
    done, reached = 0, 0.0
    while reached < GOAL and done < MOST:
        reached, done = epoch(), done + 1
    print(json.dumps({"epochs": done, "reached": reached}))


def digits(path: Path) -> None:
    """The digits as files that every library reads alike: three quarters to learn from, the others to judge by."""
    import numpy as np

    from tinygrad_dl.data import datasets

    x, y = (np.asarray(part) for part in datasets.load_digits()[:])
    x = (x / 16).astype(np.float32)
    order = np.random.default_rng(0).permutation(len(x))
    learn, judge = order[: len(x) * 3 // 4], order[len(x) * 3 // 4 :]
    np.savez(path, x=x[learn], y=y[learn].astype(np.int64), tx=x[judge], ty=y[judge].astype(np.int64))


def timed(name: str, what: str, path: Path, epochs: int) -> tuple[float, dict[str, Any]]:
    """The seconds from the start of a process to its end, and what it printed."""
    begin = time.perf_counter()
    command = [sys.executable, "-m", "benchmarks.peers", "--worker", name, what, str(path), str(epochs)]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": ""}  # what is imported is compiled once, as usual
    out = subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout
    return time.perf_counter() - begin, json.loads(out.splitlines()[-1])


def main(arguments: list[str] | None = None) -> int:
    """Run all contenders in turns and print their times; 1 if a mark is missed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--worker", nargs=4, help=argparse.SUPPRESS)
    chosen = parser.parse_args(arguments)
    if chosen.worker:
        worker(*chosen.worker[:3], int(chosen.worker[3]))
        return 0
    present = [name for name, (package, _) in CONTENDERS.items() if find_spec(package)]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "digits.npz")
        digits(path)
        same: dict[str, list[float]] = {n: [] for n in present if n not in ("PyTorch", "Keras")}
        race: dict[str, list[float]] = {n: [] for n in present}
        epochs = {}
        for _ in range(chosen.rounds):
            for name, times in same.items():
                times.append(timed(name, "epochs", path, chosen.epochs)[1]["seconds"])
            for name, times in race.items():
                seconds, said = timed(name, "goal", path, chosen.epochs)
                times.append(seconds if said["reached"] >= GOAL else float("inf"))
                epochs[name] = said["epochs"]
    print(f"minimum (median) of {chosen.rounds} rounds in turns, s")
    print(f"{chosen.epochs} epochs of 64-{HIDDEN}-10 with Adam, batches of {BATCH}, without imports:")
    for name, times in same.items():
        print(f"  {name:22} {min(times):7.2f} ({statistics.median(times):.2f})")
    missed = False
    if "scikit-learn" in same:
        ratio = min(min(times) for n, times in same.items() if n != "scikit-learn") / min(
            same["scikit-learn"]
        )
        missed = ratio > 0.3
        print(f"  of scikit-learn's time {ratio:.2f}, mark 0.3")
    print(f"from the start of the process to {GOAL:.0%} on unseen digits:")
    for name, times in sorted(race.items(), key=lambda item: min(item[1])):
        print(f"  {name:22} {min(times):7.2f} ({statistics.median(times):.2f})   {epochs[name]} epochs")
    return int(missed or not min(race, key=lambda n: min(race[n])).startswith("tinygrad_dl"))


if __name__ == "__main__":
    sys.exit(main())
