"""The table of exactness: trainings whose results do not depend on the number of ranks.

Run on each number of ranks; rank 0 writes the parameters and histories of all cases.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import distributed, nn, optim, train
from tinygrad_dl.data import DataLoader, TensorDataset
from tinygrad_dl.train import DataParallel

CLASSES = 3


class Partly(nn.Module):
    """One layer never has a gradient, and the other is used twice."""

    def __init__(self) -> None:
        self.used, self.unused, self.last = nn.Linear(8, 8), nn.Linear(8, 8), nn.Linear(8, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.last(tg.tanh(self.used(tg.tanh(self.used(x)))))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        self.lstm, self.last = nn.LSTM(4, 5, batch_first=True), nn.Linear(5, CLASSES)

    def forward(self, x: Any) -> Any:
        return self.last(self.lstm(x.reshape(-1, 2, 4))[0][:, -1])


# A bias that a normalization takes away again has a gradient of rounding errors, which some optimizers enlarge.
MODELS: dict[str, Callable[[], Any]] = {
    "mlp": lambda: nn.Sequential(nn.Linear(8, 16), nn.Tanh(), nn.Linear(16, CLASSES)),
    "partly": Partly,
    "batch norm": lambda: nn.Sequential(
        nn.Linear(8, 8, bias=False), nn.BatchNorm1d(8), nn.ReLU(),
        nn.Linear(8, CLASSES, bias=False), nn.SyncBatchNorm(CLASSES),
    ),
    "convolution": lambda: nn.Sequential(
        nn.Unflatten(1, (1, 2, 4)), nn.Conv2d(1, 4, 3, padding=1, bias=False),
        nn.BatchNorm2d(4, momentum=None), nn.ReLU(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Linear(8, CLASSES),
    ),
    "lstm": Recurrent,
}  # fmt: skip

OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "sgd": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=1e-3),
    "adam": lambda p: optim.Adam(p, lr=0.01),
    "adamw": lambda p: optim.AdamW(p, lr=0.01, weight_decay=0.1),
    "rmsprop": lambda p: optim.RMSprop(p, lr=0.01),
    "adagrad": lambda p: optim.Adagrad(p, lr=0.05),
}

#: Examples and batch size. The last batch may have fewer examples than there are ranks.
SIZES = {
    "even": (24, 12),
    "last of 5": (29, 12),
    "uneven": (20, 5),
    "last of 2": (26, 6),
    "last of 1": (25, 6),
}
NORMALIZING = ("batch norm", "convolution")


def cases() -> list[tuple[str, str, str, str]]:
    """(model, optimizer, sizes, loss): every pair of two of the first three, and each loss."""
    found = []
    for i, model in enumerate(MODELS):
        for j, optimizer in enumerate(OPTIMIZERS):
            found.append((model, optimizer, list(SIZES)[(i + 2 * j) % 4], "mean"))
    for sizes in ("even", "last of 2", "last of 1"):
        found += [("batch norm", "sgd", sizes, "mean"), ("partly", "adam", sizes, "mean")]
        found += [("mlp", "sgd", sizes, loss) for loss in ("sum", "weighted", "ignoring")]
    found.append(("mlp", "adam", "last of 5", "compiled"))
    # One example has no variance, and if it is the one to ignore, no loss.
    whole = {case for case in found if case[0] in NORMALIZING or case[3] == "ignoring"}
    return sorted({case for case in found if case not in whole or case[2] != "last of 1"})


def loss_of(kind: str) -> Any:
    weights = tg.Tensor(np.array([1.0, 3.0, 0.5]))
    return {
        "sum": nn.CrossEntropyLoss(reduction="sum"),
        "weighted": nn.CrossEntropyLoss(weights),
        "ignoring": nn.CrossEntropyLoss(ignore_index=-100),
    }.get(kind, nn.CrossEntropyLoss())


def run(model_name: str, optimizer: str, sizes: str, kind: str) -> dict[str, Any]:
    """Train, and return all that the run left."""
    n, batch = SIZES[sizes]
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(n, 8)), rng.integers(0, CLASSES, n)
    if kind == "ignoring":
        y[:3] = -100
    tg.manual_seed(3)
    model = MODELS[model_name]().double()
    many = tg.distributed.world()
    if many.rank:  # other weights than rank 0 has, which are replaced
        for p in model.parameters():
            p.data[...] = 0
    compiled = kind == "compiled"
    trainer = train.Trainer(
        model, loss_of(kind), OPTIMIZERS[optimizer](model.parameters()), metrics=["accuracy"], progress="off",
        callbacks=[
            train.ClipGradients(norm=1.0), train.EarlyStopping("dev_loss", patience=2),
            train.Schedule(lambda epoch: 0.9**epoch, per="batch"),
        ],
        compile=compiled, distributed=DataParallel(check_every=1, bucket=1000, timeout=60),
    )  # fmt: skip
    loader = DataLoader(TensorDataset(x, y), batch, shuffle=True, rng=5)
    trainer.fit(loader, (x[:7] + 0.1, y[:7]), epochs=2)
    trainer.fit(loader, (x[:7] + 0.1, y[:7]), epochs=6 if compiled else 1)
    if compiled and many.size > 1:
        for name in ("step", "update"):
            entries = trainer._programs[name][1].compiled._entries.values()
            assert any(e.verified for found in entries for e in found), name
    found: dict[str, Any] = {f"model.{k}": v for k, v in model.state_dict().items()}
    for number, state in trainer.optimizer.state_dict()["state"].items():
        found.update({f"optimizer.{number}.{k}": np.asarray(v) for k, v in state.items()})
    for name in ("loss", "accuracy", "dev_loss", "dev_accuracy", "lr"):
        found[f"history.{name}"] = np.array(trainer.history[name])
    return found


def own_loop() -> dict[str, Any]:
    """A compiled step that averages gradients itself; the ranks' parts of a batch are of different sizes."""
    rng = np.random.default_rng(2)
    x, y = rng.normal(size=(26, 8)), rng.integers(0, CLASSES, 26)
    tg.manual_seed(4)
    model = MODELS["mlp"]().double()
    optimizer = OPTIMIZERS["adam"](model.parameters())
    distributed.broadcast(model)

    def step(inputs: Any, targets: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(inputs), targets)
        loss.backward()
        distributed.average_gradients(model.parameters(), weight=len(targets))
        optimizer.step()
        return loss

    run = tg.compile(step)
    with warnings.catch_warnings():
        if distributed.world().size > 1:  # it says that the step runs eagerly, and why
            warnings.filterwarnings(
                "ignore", "compile: .*an exchange with other ranks reads values in Python"
            )
        for _ in range(6):
            for inputs, targets in DataLoader((x, y), 13, shard=distributed.world()):
                run(inputs, targets)
    return {f"loop/{name}": value for name, value in model.state_dict().items()}


def main(path: Path) -> None:
    results = own_loop()
    for case in cases():
        results.update({f"{'/'.join(case)}/{name}": value for name, value in run(*case).items()})
    if not tg.distributed.world().rank:
        np.savez(path, **results)


if __name__ == "__main__":
    main(Path(sys.argv[1]))
