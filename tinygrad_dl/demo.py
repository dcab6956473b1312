"""The demonstration: train a network on real handwritten digits and show what it learned."""

from __future__ import annotations

import copy
import json
import math
import os
import platform
import shlex
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.data import DataLoader, Standardize, TensorDataset, datasets, split
from tinygrad_dl.environment import version_of
from tinygrad_dl.errors import MissingExtraError, missing_extra
from tinygrad_dl.files import save, write_atomically
from tinygrad_dl.train import History, Progress, Schedule, Trainer
from tinygrad_dl.train.html_report import write_report
from tinygrad_dl.train.threads import one_blas_thread
from tinygrad_dl.viz.formats.graphviz import LayoutError
from tinygrad_dl.viz.plots.axes import matplotlib
from tinygrad_dl.viz.plots.confusion import confusion, plot_confusion, plot_mistakes
from tinygrad_dl.viz.plots.learning_curves import plot_history

if TYPE_CHECKING:
    from tinygrad_dl.viz import GraphView

SIZES = {"train": 0.7, "dev": 0.15, "test": 0.15}
FILES = {
    "report.html": "everything below on one page",
    "metrics.json": "the metrics",
    "history.csv": "loss and accuracy of every epoch",
    "curves.png": "learning curves of the training and dev sets",
    "confusion.png": "the confusion matrix",
    "mistakes.png": "the misclassified digits",
    "graph.svg": "the computation graph of one small training step",
    "model.safetensors": "the weights",
}


@dataclass
class Settings:
    """The options of the command."""

    seed: int = 0
    epochs: int = 60
    lr: float = 0.003
    batch_size: int = 64
    out: Path = Path("runs/demo")


@dataclass
class Digits:
    """The three sets, standardized by the training set, and the unscaled images of the test set, (N, 8, 8)."""

    train: TensorDataset
    dev: TensorDataset
    test: TensorDataset
    images: np.ndarray


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
    trainer = make_trainer(model, settings, quiet)
    say(
        f"Handwritten digits: {len(digits.train)} images to train on, {len(digits.dev)} to monitor the training (dev), "
        f"{len(digits.test)} for the final test."
    )
    count = sum(p.size for p in model.parameters())
    say(f"The network has {count:,} parameters; the seed is {settings.seed}.\n")
    # Batch normalization cannot normalize a last batch of one example: it has no variance.
    drop_last = len(digits.train) % settings.batch_size == 1
    loader = DataLoader(
        digits.train,
        settings.batch_size,
        shuffle=True,
        drop_last=drop_last,
        transform=add_noise,
        rng=settings.seed,
    )
    interrupted = False
    start = time.perf_counter()
    with one_blas_thread():
        try:
            trainer.fit(loader, digits.dev, settings.epochs)
        except KeyboardInterrupt:
            interrupted = True
        seconds = time.perf_counter() - start
        if not trainer.history.epochs:
            complain("interrupted before the first epoch ended: there is nothing to save")
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
        complain(f"interrupted after {done}; their results are in {settings.out}")
        return 130
    return 0


def check_extras() -> None:
    """Raise MissingExtraError before the training for packages that are used only after it."""
    matplotlib("the demo")
    if version_of("safetensors", "safetensors") is None:
        raise missing_extra("safetensors", "train", "the demo")


def why_not_writable(folder: Path) -> str:
    """Create the folder; the reason, in one line, why nothing can be written there, or ""."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / ".writable", b"")
        (folder / ".writable").unlink()
        for name in FILES:
            if (folder / name).is_dir():
                return f"{folder / name} is a folder, and a file of this name is written"
        foreign = sorted(
            name for name in FILES if os.path.lexists(folder / name) and name not in written(folder)
        )
        if foreign:
            return f"{folder} has {', '.join(foreign)}, which the demo did not write. Choose another folder"
    except OSError as error:
        return f"cannot write to {folder}: {error.strerror or error}"
    return ""


def written(folder: Path) -> list[str]:
    """The files in a folder that an earlier run of the demo has written, and this one may replace."""
    try:
        metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    if not isinstance(metrics, dict) or metrics.get("data") != "digits" or "test_recall" not in metrics:
        return []
    files = metrics.get("files")
    return files if isinstance(files, list) else []


def load(seed: int) -> Digits:
    """The digits in three sets, stratified by digit."""
    train, dev, test = split(datasets.load_digits(), SIZES, stratify=True, rng=seed)
    scale = Standardize().fit(train)
    return Digits(scale(train), scale(dev), scale(test), test.x.reshape(-1, 8, 8))


def network() -> nn.Sequential:
    """64 pixels, two hidden layers with batch normalization and dropout, ten digits."""
    layers: list[Any] = []
    sizes = (64, 256, 128)
    for before, after in zip(sizes, sizes[1:]):
        layers += [nn.Linear(before, after), nn.BatchNorm1d(after), nn.ReLU(), nn.Dropout(0.2)]
    return nn.Sequential(*layers, nn.Linear(sizes[-1], 10))


def add_noise(x: np.ndarray, y: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Data augmentation: normal noise of half a standard deviation, so that no image is seen twice."""
    return x + rng.normal(0, 0.5, x.shape).astype(x.dtype)


def make_trainer(model: nn.Module, settings: Settings, quiet: bool) -> Trainer:
    """A Trainer with Adam and cosine annealing of the learning rate."""

    def cosine(epoch: float) -> float:
        return 0.5 * (1 + math.cos(math.pi * epoch / settings.epochs))

    optimizer = optim.Adam(model.parameters(), lr=settings.lr)
    trainer = Trainer(
        model,
        nn.CrossEntropyLoss(),
        optimizer,
        metrics=["accuracy"],
        callbacks=[Schedule(cosine)],
    )
    # On stderr, as everything but the figures of --json.
    trainer.progress = Progress("off" if quiet else "auto", stream=sys.stderr)
    return trainer


def probabilities(trainer: Trainer, data: TensorDataset) -> np.ndarray:
    """The probability of each digit for each example, (N, 10)."""
    logits = trainer.predict(data)
    shifted = np.exp(logits - logits.max(axis=1, keepdims=True))
    return shifted / shifted.sum(axis=1, keepdims=True)


def measure(trainer: Trainer, digits: Digits, settings: Settings) -> dict[str, Any]:
    """All metrics of the trained model."""
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
    """Write all results to the folder; the result lists what could not be made, and why."""
    for name in FILES:
        (out / name).unlink(missing_ok=True)  # of an earlier run
    notes = []
    # Without wall-clock time the same seed gives the same file.
    epochs = [{k: v for k, v in epoch.items() if k != "seconds"} for epoch in trainer.history]
    History(epochs).save(out / "history.csv")
    test = digits.test
    probability = probabilities(trainer, test)
    predicted, confidence = probability.argmax(axis=1), probability.max(axis=1)
    write_figure(out / "curves.png", plot_history(trainer.history))
    write_figure(out / "confusion.png", plot_confusion(test.y, predicted, classes=test.classes).figure)
    write_figure(out / "mistakes.png", plot_mistakes(digits.images, test.y, predicted, confidence=confidence))
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
    """Write a figure as PNG, at a resolution for high-density screens."""
    write_atomically(path, lambda beside: figure.savefig(beside, dpi=160))


def draw_step(trainer: Trainer, data: TensorDataset) -> GraphView:
    """The graph of one training step on four examples, on a copy, so that running statistics do not change."""
    model = copy.deepcopy(trainer.model)
    model.train()
    x, y = (tg.asarray(array[:4]) for array in data.arrays)
    x.name = "x"
    loss = trainer.loss(model(x), y)
    return tg.draw(loss, model=model, show=("shape",))


def summary(settings: Settings, metrics: dict[str, Any]) -> str:
    """The test accuracy, the files, and what to try next."""
    out, test = settings.out, metrics["test"]
    right = test["examples"] - metrics["mistakes"]
    width = max(len(str(out / name)) for name in metrics["files"])
    files = [f"  {str(out / name):<{width}}  {FILES[name]}" for name in FILES if name in metrics["files"]]
    weights = json.dumps(str(out / "model.safetensors"), ensure_ascii=False)
    python = interpreter()
    program = ["tinygrad-dl"] if shutil.which("tinygrad-dl") else [python, "-m", "tinygrad_dl"]
    command = quoted(*program)
    look = quoted(python, "-c", f"import tinygrad_dl as tg; print(tg.load({weights}).keys())")
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
            f"  {command} demo --seed 1              another split, other initial weights",
            f"  {command} demo --epochs 5 --lr 0.1   the effect of a high learning rate",
            f"  {look}",
        ]
    )


def quoted(*words: str) -> str:
    """A command as it is typed, whatever blanks and signs its words have."""
    return subprocess.list2cmdline(words) if os.name == "nt" else shlex.join(words)


def interpreter() -> str:
    """The command that starts the running Python from the current folder."""
    if shutil.which("python") == sys.executable:
        return "python"
    path, folder = Path(sys.executable), Path.cwd()
    return str(path.relative_to(folder)) if path.is_relative_to(folder) else str(path)
