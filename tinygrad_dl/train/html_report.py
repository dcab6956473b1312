"""report.html: the results of a run on one self-contained page."""

from __future__ import annotations

import base64
import html
import json
import os
from pathlib import Path
from typing import Any, NoReturn

from tinygrad_dl.errors import FileFormatError, ValueRangeError
from tinygrad_dl.files import write_atomically
from tinygrad_dl.train.history import History, format_value

# file -> (heading, what the image shows, what to look for)
IMAGES = {
    "curves.png": (
        "Learning curves",
        "Loss and accuracy over the epochs, for the training part and the dev part.",
        "The training values are measured with noise and dropout, the dev values without: that is why the dev "
        "curve can be the better one. A dev loss that rises while the training loss falls would mean overfitting.",
    ),
    "confusion.png": (
        "Confusion matrix",
        "Confusion matrix of the test part: one row per true class, one column per predicted class.",
        "Correct predictions are on the diagonal; each red number counts one kind of mistake.",
    ),
    "mistakes.png": (
        "The mistakes",
        "The misclassified test images, each with its true label, its predicted label and the probability of the "
        "predicted one.",
        "The most confident mistakes come first.",
    ),
    "residuals.png": (
        "Residuals",
        "Actual less predicted value for each test row, over the predicted one.",
        "A good model leaves a band around 0 without a shape: a curve or a funnel is something it has not learned.",
    ),
    "calibration.png": (
        "Calibration",
        "How often predictions are correct, over the probability that the model gives them.",
        "On the diagonal the probabilities can be believed; below it the model is too sure.",
    ),
    "importance.png": (
        "Which columns count",
        "Permutation importance: by how much the error grows when the values of one column are shuffled.",
        "A column without importance can be left out; one that counts more than expected may give the target away.",
    ),
    "errors.png": (
        "Errors by column value",
        "The mean error of the test rows with each value of a column, the largest first, with the number of rows.",
        "A value with many rows and large errors needs more data, or another column that explains it.",
    ),
    "graph.svg": (
        "The computation graph of one step",
        "Graph from the inputs and parameters to the loss, with the modules as boxes and the shapes on the edges.",
        "Four examples pass through the network; backward() goes through the same graph from the loss to every "
        "parameter.",
    ),
}

STYLE = """
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #57606a; --page: #fff; --card: #f6f8fa;
  --line: #d0d7de; --accent: #0b6e4f; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #9da7b1; --page: #191919; --card: #222426; --line: #3d444d;
    --accent: #5fd3a8; }
  img.paper { filter: invert(.902) hue-rotate(180deg); } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 3rem; max-width: 68rem; font: 1rem/1.55 system-ui, sans-serif;
  color: var(--ink); background: var(--page); }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.2rem; margin: 2.2rem 0 .4rem; }
p { margin: .3rem 0 .8rem; max-width: 46rem; }
.soft, figcaption { color: var(--soft); }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .7rem;
  margin: 1.2rem 0; padding: 0; }
.tiles div { padding: .6rem .8rem; }
.tiles div, pre { background: var(--card); border: 1px solid var(--line); border-radius: .5rem; }
.tiles dt { color: var(--soft); font-size: .85rem; }
.tiles dd { margin: 0; font-size: 1.25rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.tiles .main dd { color: var(--accent); font-size: 1.6rem; line-height: 1.2; }
figure { margin: 0; }
figcaption { margin-top: .6rem; max-width: 46rem; }
figure img { display: block; max-width: 100%; height: auto; }
figure.pair { align-items: center; display: flex; flex-wrap: wrap; gap: .6rem 2rem; }
figure.pair figcaption { flex: 1 1 16rem; }
.square img { width: 32rem; }
@media (max-width: 40rem) { .wide { overflow-x: auto; } .wide img { max-width: none; width: 38rem; } }
.scroll { overflow: auto; max-height: 46rem; border: 1px solid var(--line); border-radius: .5rem; }
.scroll:focus-visible { outline: 2px solid var(--accent); }
.scroll img { margin: 0 auto; max-width: none; }
/* Shadows at the sides show where there is more. */
.scroll:not(.table) { background:
  linear-gradient(var(--page) 40%, transparent) top / 100% 3rem local,
  linear-gradient(transparent, var(--page) 60%) bottom / 100% 3rem local,
  linear-gradient(to right, var(--page) 40%, transparent) left / 3rem 100% local,
  linear-gradient(to left, var(--page) 40%, transparent) right / 3rem 100% local,
  radial-gradient(farthest-side at 50% 0, #8888, transparent) top / 100% .9rem scroll,
  radial-gradient(farthest-side at 50% 100%, #8888, transparent) bottom / 100% .9rem scroll,
  radial-gradient(farthest-side at 0 50%, #8888, transparent) left / .9rem 100% scroll,
  radial-gradient(farthest-side at 100% 50%, #8888, transparent) right / .9rem 100% scroll;
  background-repeat: no-repeat; }
.scroll.table { max-height: 22rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .9rem; }
th, td { text-align: right; padding: .2rem .8rem; border-bottom: 1px solid var(--line); white-space: nowrap; }
pre { overflow-x: auto; padding: .7rem .9rem; font-size: .85rem; }
summary { cursor: pointer; font-weight: 600; margin: 1rem 0 .5rem; }
"""


def write_report(run: str | os.PathLike[str]) -> Path:
    """Write report.html from metrics.json, history.csv and the images in the folder of a run; returns its path.

    Missing files are omitted. Raises ValueRangeError if all are missing, FileFormatError for damaged files.
    """
    folder = Path(run)
    metrics: dict[str, Any] = {}
    if (folder / "metrics.json").is_file():
        try:
            metrics = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))
        except (ValueError, RecursionError) as error:
            raise FileFormatError(f"report: {folder / 'metrics.json'} is damaged: {error}") from None
        _refuse_other_metrics(folder / "metrics.json", metrics)
    history = History.load(folder / "history.csv") if (folder / "history.csv").is_file() else None
    images = [name for name in IMAGES if _is_image(folder / name)]
    if not metrics and history is None and not images:
        raise ValueRangeError(
            f"report: {folder}: expected metrics.json, history.csv or images such as curves.png, got none"
        )
    title = (
        "Reading handwritten digits" if metrics.get("data") == "digits" else f"Run {folder.resolve().name}"
    )
    parts = [_head(title, metrics)]
    parts += [_image(folder / name) for name in images]
    if history is not None and len(history):
        parts.append(_table(history))
    parts.append(_details(metrics))
    page = (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<title>{_text(title)}</title>\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<style>{STYLE}</style>\n</head>\n<body>\n" + "\n".join(filter(None, parts)) + "\n</body>\n</html>\n"
    )
    path = folder / "report.html"
    write_atomically(path, page.encode())
    return path


def _is_image(path: Path) -> bool:
    """Whether a file is an image; what a link of that name leads to is not shown to others by a report."""
    if not path.is_file():
        return False
    with open(path, "rb") as file:
        begin = file.read(1000)
    return b"<svg" in begin if path.suffix == ".svg" else begin.startswith(b"\x89PNG")


def _refuse_other_metrics(path: Path, metrics: object) -> None:
    """Raise FileFormatError where metrics.json has other contents than the demo writes; every entry is optional."""

    def refuse(name: str, expected: str, got: object) -> NoReturn:
        raise FileFormatError(f"report: {path}: {name}expected {expected}, got {json.dumps(got)[:60]}")

    if not isinstance(metrics, dict):
        refuse("", 'a JSON object such as {"test": {"accuracy": 0.93}}', metrics)
    for name in ("test", "dev", "train", "timing", "versions"):
        if not isinstance(metrics.get(name, {}), dict):
            refuse(f"{name}: ", "a JSON object", metrics[name])
    numbers = [
        *(
            (key, metrics)
            for key in ("parameters", "mistakes", "epochs", "epochs_done", "lr", "batch_size", "seed")
        ),
        *(
            (key, metrics.get(part, {}))
            for part in ("test", "dev", "train")
            for key in ("accuracy", "loss", "examples")
        ),
        ("training_seconds", metrics.get("timing", {})),
    ]
    for key, entries in numbers:
        value = entries.get(key, 0)
        if value is not None and not isinstance(value, (int, float)):
            refuse(f"{key}: ", "a number", value)
    if metrics.get("data") == "digits":
        needed = {
            "": ("parameters", "mistakes", "seed", "epochs", "lr", "batch_size"),
            "train": ("examples",),
            "test": ("examples",),
        }
        for part, keys in needed.items():
            entries = metrics.get(part, {}) if part else metrics
            missing = [key for key in keys if entries.get(key) is None]
            if missing:
                refuse(f"{part}: " if part else "", f"{', '.join(missing)} for the data digits", entries)
    if metrics.get("interrupted") and not {"epochs", "epochs_done"} <= set(metrics):
        refuse("", "epochs and epochs_done for an interrupted run", metrics)


def _text(value: object) -> str:
    return html.escape(str(value))


def _head(title: str, metrics: dict[str, Any]) -> str:
    lines = [f"<header><h1>{_text(title)}</h1>"]
    test = metrics.get("test", {})
    if metrics.get("data") == "digits":
        lines.append(
            f"<p>A network with {metrics['parameters']:,} parameters learned to read scans of handwritten "
            f"digits, 8 by 8 pixels each, from {metrics['train']['examples']:,} examples. It classified "
            f"{test['examples'] - metrics['mistakes']} of {test['examples']} unseen ones correctly.</p>"
        )
    if metrics.get("interrupted"):
        lines.append(
            f"<p><strong>The training was interrupted after {metrics['epochs_done']} of "
            f"{metrics['epochs']} epochs.</strong></p>"
        )
    tiles = _tiles(metrics)
    if tiles:
        boxes = "".join(
            f"<div{' class=main' if i == 0 else ''}><dt>{_text(k)}</dt><dd>{_text(v)}</dd></div>"
            for i, (k, v) in enumerate(tiles)
        )
        lines.append(f'<dl class="tiles">{boxes}</dl>')
    return "\n".join(lines) + "</header>\n<main>"


def _tiles(metrics: dict[str, Any]) -> list[tuple[str, str]]:
    tiles = []
    for part in ("test", "dev", "train"):
        for name, value in metrics.get(part, {}).items():
            if name == "accuracy" and value is not None:
                tiles.append((f"{part} accuracy", f"{100 * value:.2f}\u00a0%"))
    if metrics.get("test", {}).get("loss") is not None:
        tiles.append(("test loss", format_value(float(metrics["test"]["loss"]))))
    for key, label in (
        ("epochs_done", "epochs"),
        ("lr", "learning rate"),
        ("batch_size", "batch size"),
        ("seed", "seed"),
    ):
        if metrics.get(key) is not None:
            tiles.append((label, format_value(metrics[key])))
    seconds = metrics.get("timing", {}).get("training_seconds")
    if seconds is not None:
        tiles.append(("training time", f"{seconds:.1f} s"))
    return tiles


def _image(path: Path) -> str:
    heading, what, hint = IMAGES[path.name]
    data = path.read_bytes()
    kind = "svg+xml" if path.suffix == ".svg" else "png"
    # An image with its own dark mode is not inverted.
    paper = "" if b"prefers-color-scheme" in data else ' class="paper"'
    image = (
        f'<img{paper} alt="{_text(what)}" src="data:image/{kind};base64,{base64.b64encode(data).decode()}">'
    )
    label = f' tabindex="0" role="region" aria-label="{_text(heading)}"'
    box = "scroll" if path.suffix == ".svg" else "square" if path.stem == "confusion" else "wide"
    scrolls = "" if box == "square" else label
    image = f'<div class="{box}"{scrolls}>{image}</div>'
    return (
        f"<section><h2>{_text(heading)}</h2>\n<figure{' class=pair' if box == 'square' else ''}>{image}\n"
        f"<figcaption>{_text(what)} "
        f"{_text(hint)}</figcaption>"
        "</figure></section>"
    )


def _table(history: History) -> str:
    names = history.names
    head = "".join(f'<th scope="col">{_text(name.replace("_", " "))}</th>' for name in names)
    rows = "".join(
        "<tr>" + "".join(f"<td>{_text(format_value(epoch.get(name, '')))}</td>" for name in names) + "</tr>"
        for epoch in history
    )
    return (
        f"<section><details><summary>All {len(history)} epochs</summary>\n"
        '<div class="scroll table" tabindex="0" role="region" aria-label="All epochs"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div></details></section>"
    )


def _details(metrics: dict[str, Any]) -> str:
    if not metrics:
        return "</main>"
    parts = ["<section><h2>How it was made</h2>"]
    if "model" in metrics:
        parts.append(f"<p>The model:</p>\n<pre>{_text(metrics['model'])}</pre>")
    if metrics.get("data") == "digits":
        options = (
            f"--seed {metrics['seed']} --epochs {metrics['epochs']} --lr {metrics['lr']:g} "
            f"--batch-size {metrics['batch_size']}"
        )
        commands = (
            f'make demo ARGS="{options}"   # in a clone\ntinygrad-dl demo {options}   # where it is installed'
        )
        parts.append(f"<p>To get the same figures again:</p>\n<pre>{_text(commands)}</pre>")
        parts.append(
            "<p>The model is in <code>model.safetensors</code>; <code>tinygrad_dl.load_model(path)</code> "
            "loads it. To try next: another seed, 5 epochs, a learning rate of 0.1.</p>"
        )
    parts.append(
        "<details><summary>All "
        f"figures</summary>\n<pre>{_text(json.dumps(metrics, indent=2))}</pre></details></section>"
    )
    versions = ", ".join(f"{name} {version}" for name, version in metrics.get("versions", {}).items())
    return "\n".join(parts) + f'\n</main>\n<footer class="soft"><p>{_text(versions)}</p></footer>'
