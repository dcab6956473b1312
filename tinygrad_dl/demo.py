"""The demonstration: train a network on real handwritten digits and show what it learned."""

from __future__ import annotations

import copy
import json
import math
import platform
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.data import DataLoader, Standardize, TensorDataset, datasets, split
from tinygrad_dl.environment import version_of
from tinygrad_dl.errors import MissingExtraError, missing_extra
from tinygrad_dl.files import save, write_atomically
from tinygrad_dl.train import History, Schedule, Trainer
from tinygrad_dl.train.html_report import write_report
from tinygrad_dl.train.threads import one_blas_thread
from tinygrad_dl.viz.axes import matplotlib
from tinygrad_dl.viz.curves import plot_history
from tinygrad_dl.viz.layout import LayoutError
from tinygrad_dl.viz.results import confusion, plot_confusion, plot_mistakes

SIZES = {"train": 0.7, "dev": 0.15, "test": 0.15}
FILES = {
    "report.html": "everything below on one page",
    "metrics.json": "the figures",
    "history.csv": "loss and accuracy of every epoch",
    "curves.png": "loss and accuracy, training and dev part",
    "confusion.png": "which digits are taken for which",
    "mistakes.png": "the digits that were read wrongly",
    "graph.svg": "the computation graph of one small step",
    "model.safetensors": "the weights",
}


@dataclass
class Settings:
    """What the options of the command say."""

    seed: int = 0
    epochs: int = 60
    lr: float = 0.003
    batch_size: int = 64
    out: Path = Path("runs/demo")


@dataclass
class Digits:
    """The parts, standardised by the training part, and the test part's scans as they were, (N, 8, 8)."""

    train: TensorDataset
    dev: TensorDataset
    test: TensorDataset
    scans: np.ndarray


def run(settings: Settings, as_json: bool = False, quiet: bool = False) -> int:
    """Run the demonstration; returns the exit code: 0, 2 if nothing can be written, 130 after Ctrl-C."""

    def say(text: str = "") -> None:
        if not quiet:
            print(text, file=sys.stderr, flush=True)

    def complain(text: str) -> None:
        print(f"tinygrad-dl demo: {text}", file=sys.stderr, flush=True)

    problem = why_not_writable(settings.out)
    if problem:
        complain(f"--out: {problem}")
        return 2
    check_extras()
    digits = load(settings.seed)
    tg.manual_seed(settings.seed)
    model = network()
    trainer = trainer_of(model, settings, quiet)
    say(
        f"Handwritten digits: {len(digits.train)} scans to train on, {len(digits.dev)} to watch the "
        "training by (dev), "
        f"{len(digits.test)} for the final test."
    )
    count = sum(p.size for p in model.parameters())
    say(f"The network has {count:,} parameters; the seed is {settings.seed}.\n")
    # A single example left over would be a batch without a spread to normalise by.
    alone = len(digits.train) % settings.batch_size == 1
    loader = DataLoader(
        digits.train, settings.batch_size, shuffle=True, drop_last=alone, transform=noisy, rng=settings.seed
    )
    interrupted = False
    begin = time.perf_counter()
    with one_blas_thread():
        try:
            trainer.fit(loader, digits.dev, settings.epochs)
        except KeyboardInterrupt:
            interrupted = True
        seconds = time.perf_counter() - begin
        if not trainer.history.epochs:
            complain("interrupted before the first epoch ended: there is nothing to keep")
            return 130
        say(f"\nTrained in {seconds:.1f} s. Writing the results ...")
        metrics = measure(trainer, digits, settings)
        metrics["interrupted"] = interrupted
        metrics["timing"] = {"training_seconds": round(seconds, 3)}
        notes = write(settings.out, trainer, digits, metrics)
    for note in notes:
        complain(note)
    if not quiet:
        print(summary(settings, metrics), file=sys.stderr if as_json else sys.stdout, flush=True)
    if as_json:
        print(json.dumps({**metrics, "out": str(settings.out)}, indent=2), flush=True)
    if interrupted:
        done = f"{len(trainer.history)} of {settings.epochs} epochs"
        complain(f"interrupted: {done} were done; what they gave is kept in {settings.out}")
        return 130
    return 0


def check_extras() -> None:
    """Raise MissingExtraError now for what is needed only after the training."""
    matplotlib("the demo")
    if version_of("safetensors", "safetensors") is None:
        raise missing_extra("safetensors", "train", "the demo")


def why_not_writable(folder: Path) -> str:
    """Make the folder, and say in one line why nothing can be written there; "" if it can."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink()
        for name in FILES:
            if (folder / name).is_dir():
                return f"{folder / name} is a folder; a file of this name is to be written"
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror or error}"
    return ""


def load(seed: int) -> Digits:
    """The digits in three parts with equal shares of each digit."""
    train, dev, test = split(datasets.load_digits(), SIZES, stratify=True, rng=seed)
    scale = Standardize().fit(train)
    return Digits(scale(train), scale(dev), scale(test), test.x.reshape(-1, 8, 8))


def network() -> nn.Sequential:
    """64 pixels, two hidden layers with batch normalisation and dropout, ten digits."""
    layers: list[Any] = []
    sizes = (64, 256, 128)
    for before, after in zip(sizes, sizes[1:]):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 10))


def noisy(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Training scans with normal noise of half a standard deviation: no scan is ever seen twice."""
    return x + rng.normal(0, 0.5, x.shape).astype(x.dtype)


def trainer_of(model: Any, settings: Settings, quiet: bool) -> Trainer:
    """Adam, its rate falling along half a cosine."""

    def falling(epoch: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs))

    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=["accuracy"],
        callbacks=[Schedule(falling)],
        progress="off" if quiet else "auto",
    )


def probabilities(trainer: Trainer, data: TensorDataset) -> np.ndarray:
    """The probability of each digit for each example, (N, 10)."""
    logits = trainer.predict(data)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def measure(trainer: Trainer, digits: Digits, settings: Settings) -> dict[str, Any]:
    """All figures of the trained model."""
    test = digits.test
    figures: dict[str, Any] = {
        "test_accuracy": 0.0,
        "seed": settings.seed,
        "epochs": settings.epochs,
        "epochs_done": len(trainer.history),
        "lr": settings.lr,
        "batch_size": settings.batch_size,
        "parameters": sum(p.size for p in trainer.model.parameters()),
    }
    for name, part in (("train", digits.train), ("dev", digits.dev), ("test", test)):
        figures[name] = {"examples": len(part), **trainer.evaluate(part)}
    figures["test_accuracy"] = figures["test"]["accuracy"]
    predicted = probabilities(trainer, test).argmax(axis=1)
    counts = confusion(test.y, predicted, 10)
    figures["mistakes"] = int(counts.sum() - np.trace(counts))
    figures["test_recall"] = {str(i): float(counts[i, i] / counts[i].sum()) for i in range(10)}
    figures["best_dev_epoch"] = trainer.history.best("dev_loss")["epoch"]
    figures["data"] = "digits"
    figures["model"] = repr(trainer.model)
    figures["versions"] = {
        "tinygrad_dl": tg.__version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }
    return figures


def write(out: Path, trainer: Trainer, digits: Digits, metrics: dict[str, Any]) -> list[str]:
    """Write all results to the folder; returns what could not be made, and why."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)  # of an earlier run
    notes = []
    # Wall-clock time stays out: the same seed then gives the same file.
    epochs = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in trainer.history]
    History(epochs).save(out / "history.csv")
    test = digits.test
    chances = probabilities(trainer, test)
    predicted, sure = chances.argmax(axis=1), chances.max(axis=1)
    write_figure(out / "curves.png", plot_history(trainer.history))
    write_figure(out / "confusion.png", plot_confusion(test.y, predicted, classes=test.classes).figure)
    write_figure(out / "mistakes.png", plot_mistakes(digits.scans, test.y, predicted, confidence=sure))
    try:
        draw_step(trainer, test).save(out / "graph.svg")
    except (LayoutError, MissingExtraError) as error:
        notes.append(f"graph.svg was not made: {error}")
    save(trainer.model, out / "model.safetensors", metadata={"data": "digits", "seed": str(metrics["seed"])})
    made = [name for name in FILES if (out / name).exists() or name in ("metrics.json", "report.html")]
    metrics["files"] = sorted(made)
    write_atomically(out / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    write_report(out)
    return notes


def write_figure(path: Path, figure: Any) -> None:
    """Write a figure as PNG, sharp on dense screens too."""
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=160))


def draw_step(trainer: Trainer, data: TensorDataset) -> Any:
    """The graph of one training step on four examples, on a copy: the model keeps its running statistics."""
    model = copy.deepcopy(trainer.model)
    model.train()
    x, y = (tg.asarray(array[:4]) for array in data.arrays)
    x.name = "x"
    loss = trainer.loss(model(x), y)
    return tg.draw(loss, model=model, show=("shape",))


def summary(settings: Settings, metrics: dict[str, Any]) -> str:
    """What came out, where it is, and what to try next."""
    out, test = settings.out, metrics["test"]
    right = test["examples"] - metrics["mistakes"]
    width = max(len(str(out / name)) for name in metrics["files"])
    files = [f"  {str(out / name):<{width}}  {FILES[name]}" for name in FILES if name in metrics["files"]]
    weights = out / "model.safetensors"
    python = interpreter()
    command = "tinygrad-dl" if shutil.which("tinygrad-dl") else f"{python} -m tinygrad_dl"
    return "\n".join(
        [
            f"Test accuracy: {100 * test['accuracy']:.2f} % ({right} of {test['examples']} digits never "
            "seen before)",
            "",
            "Results:",
            *files,
            "",
            "What to try next:",
            f"  open {out / 'report.html'} in a browser",
            f"  {command} demo --seed 1              other parts, other initial weights",
            f"  {command} demo --epochs 5 --lr 0.1   what a high learning rate does",
            f"  {python} -c \"import tinygrad_dl as tg; print(tg.load('{weights}').keys())\"",
        ]
    )


def interpreter() -> str:
    """How a person in this folder calls the Python that runs this."""
    if shutil.which("python") == sys.executable:
        return "python"
    path, here = Path(sys.executable), Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
