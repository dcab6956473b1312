"""The demonstration from end to end, as a user runs it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from tests.layout import ROOT

for _package in ("click", "rich", "safetensors", "sklearn", "matplotlib"):
    pytest.importorskip(_package, reason=f"the demo needs {_package}")

FILES = {
    "report.html", "metrics.json", "history.csv", "curves.png", "confusion.png", "mistakes.png", "graph.svg",
    "model.safetensors",
}  # fmt: skip


def command(*arguments: str | Path) -> list[str]:
    return [sys.executable, "-m", "tinygrad_dl", "demo", *map(str, arguments)]


def environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(ROOT)}


def demo(*arguments: str | Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command(*arguments),
        cwd=cwd,
        env=environment(),
        capture_output=True,
        text=True,
        check=False,
        timeout=600,
    )


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[subprocess.CompletedProcess[str], Path]:
    """The demo as it is, run once."""
    folder = tmp_path_factory.mktemp("full")
    done = demo(cwd=folder)
    assert done.returncode == 0, done.stderr
    return done, folder / "runs" / "demo"


def layout_engine() -> bool:
    from tinygrad_dl.viz.formats.graphviz import available

    return bool(available())


def test_it_reads_97_percent_of_unseen_digits(
    full: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    metrics = json.loads((full[1] / "metrics.json").read_text())
    assert metrics["test_accuracy"] == metrics["test"]["accuracy"] >= 0.97
    assert metrics["timing"]["training_seconds"] > 0
    examples = [metrics[part]["examples"] for part in ("train", "dev", "test")]
    assert sum(examples) == 1797 and metrics["epochs_done"] == metrics["epochs"] == 60
    assert metrics["mistakes"] == round((1 - metrics["test_accuracy"]) * examples[2])


def test_it_says_where_everything_is_and_what_to_try_next(
    full: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    done, folder = full
    made = {path.name for path in folder.iterdir()}
    assert made == FILES if layout_engine() else made == FILES - {"graph.svg"}
    for name in made:
        assert str(Path("runs/demo") / name) in done.stdout
    assert "Test accuracy: 9" in done.stdout and "What to try next" in done.stdout
    assert len(re.findall(r"^epoch ", done.stderr, re.M)) == 60 and "\x1b" not in done.stderr + done.stdout


def test_the_history_has_a_row_per_epoch(full: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    with open(full[1] / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == list(range(1, 61))
    assert list(rows[0]) == ["epoch", "loss", "accuracy", "dev_loss", "dev_accuracy", "lr"]


def test_the_plots_are_images(full: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    import matplotlib.image

    for name in ("curves.png", "confusion.png", "mistakes.png"):
        image = matplotlib.image.imread(full[1] / name)
        assert image.shape[1] > 400 and image.std() > 0.01, name
    if layout_engine():
        graph = ET.parse(full[1] / "graph.svg").getroot()
        text = " ".join(graph.itertext())
        assert graph.tag.endswith("svg") and "BatchNorm1d" in text and "(4, 256)" in text


def test_the_weights_load_into_the_network(full: tuple[subprocess.CompletedProcess[str], Path]) -> None:
    import tinygrad_dl
    from tinygrad_dl import demo as module
    from tinygrad_dl.nn import CrossEntropyLoss
    from tinygrad_dl.optim import SGD
    from tinygrad_dl.train import Trainer

    model = module.network()
    model.load_state_dict(tinygrad_dl.load(full[1] / "model.safetensors"))
    trainer = Trainer(model, CrossEntropyLoss(), SGD(model.parameters()), metrics=["accuracy"])
    accuracy = trainer.evaluate(module.load(0).test)["accuracy"]
    assert accuracy == json.loads((full[1] / "metrics.json").read_text())["test_accuracy"]


class Page(HTMLParser):
    """What the tests look at in a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.images: list[dict[str, str | None]] = []
        self.links: list[str] = []
        self.headings: list[str] = []
        self.lang: str | None = None
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        if tag == "img":
            self.images.append(values)
        if tag == "html":
            self.lang = values.get("lang")
        if tag in ("h1", "h2"):
            self.headings.append(tag)
        self.links += [value or "" for name, value in attrs if name in ("src", "href")]


def test_the_report_is_one_page_that_needs_nothing_else(
    full: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    text = (full[1] / "report.html").read_text()
    page = Page(text)
    assert (
        all(link.startswith("data:") for link in page.links) and "@import" not in text and "url(" not in text
    )
    assert len(page.images) == 3 + layout_engine() and all(image["alt"] for image in page.images)
    assert page.lang == "en" and page.headings.count("h1") == 1 and "prefers-color-scheme" in text
    accuracy = json.loads((full[1] / "metrics.json").read_text())["test_accuracy"]
    assert f"{100 * accuracy:.2f}\u00a0%" in text


def test_the_report_can_be_made_again_from_the_folder(
    full: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    from tinygrad_dl import cli

    before = (full[1] / "report.html").read_bytes()
    (full[1] / "report.html").unlink()
    assert cli.main(["report", str(full[1])]) == 0
    assert (full[1] / "report.html").read_bytes() == before


def test_the_same_seed_gives_the_same_figures_and_another_seed_others(tmp_path: Path) -> None:
    results = []
    for folder, seed in (("a", 3), ("b", 3), ("c", 4)):
        done = demo("--epochs", "2", "--seed", str(seed), "--out", folder, "--quiet", cwd=tmp_path)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
        metrics = json.loads((tmp_path / folder / "metrics.json").read_text())
        del metrics["timing"]
        results.append(
            (metrics, *((tmp_path / folder / n).read_bytes() for n in ("history.csv", "model.safetensors")))
        )
    assert results[0] == results[1] != results[2]


def test_json_is_on_stdout_and_everything_else_on_stderr(tmp_path: Path) -> None:
    options = ["--epochs", "1", "--lr", "0.01", "--batch-size", "629", "--out", "there", "--json"]
    done = demo(*options, cwd=tmp_path)
    figures = json.loads(done.stdout)
    assert figures["out"] == "there" and figures["lr"] == 0.01 and figures["batch_size"] == 629
    assert "Test accuracy" in done.stderr
    quiet = demo(*options, "--quiet", cwd=tmp_path)
    assert json.loads(quiet.stdout)["test"] == figures["test"] and quiet.stderr == ""


def test_a_last_batch_of_one_example_is_left_out(tmp_path: Path) -> None:
    size = next(n for n in range(2, 1024) if 1258 % n == 1)
    done = demo("--epochs", "1", "--batch-size", str(size), "--out", "o", "--quiet", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("where", ["file/inside", "file"])
def test_a_folder_that_cannot_be_written_is_said_before_training(where: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = demo("--out", where, cwd=tmp_path)
    assert done.returncode == 2 and done.stdout == "" and done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"tinygrad-dl demo: --out: cannot write to {where}: ")


@pytest.mark.parametrize(
    ("files", "named"),
    [
        ({"metrics.json": '{"accuracy": 0.9}', "notes.txt": "mine"}, "metrics.json"),
        ({"model.safetensors": "mine", "report.html": "mine"}, "model.safetensors, report.html"),
        ({"metrics.json": "no JSON"}, "metrics.json"),
        (
            {
                "metrics.json": '{"data": "digits", "test_recall": {}, "files": ["metrics.json"]}',
                "graph.svg": "mine",
            },
            "graph.svg",
        ),
    ],
)
def test_files_that_the_demo_did_not_write_are_kept(
    files: dict[str, str], named: str, tmp_path: Path
) -> None:
    from tinygrad_dl.demo import why_not_writable

    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert why_not_writable(tmp_path) == (
        f"{tmp_path} has {named}, which the demo did not write. Choose another folder"
    )
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == files


def test_the_results_of_an_earlier_run_are_replaced(
    full: tuple[subprocess.CompletedProcess[str], Path],
) -> None:
    from tinygrad_dl.demo import why_not_writable

    assert why_not_writable(full[1]) == ""


@pytest.mark.skipif(os.name == "nt", reason="the shell of Windows quotes otherwise")
def test_the_printed_commands_run_in_a_folder_with_blanks_and_quotes(tmp_path: Path) -> None:
    done = demo("--epochs", "1", "--out", "my 'new' $HOME", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    last = done.stdout.rstrip().splitlines()[-1]
    shown = subprocess.run(last, shell=True, cwd=tmp_path, env=environment(), capture_output=True, text=True)
    assert shown.returncode == 0 and "dict_keys" in shown.stdout, shown.stderr


def test_a_rate_that_makes_the_loss_explode_is_explained(tmp_path: Path) -> None:
    done = demo("--lr", "1e30", "--epochs", "3", "--out", "o", cwd=tmp_path)
    assert done.returncode in (0, 1) and "Traceback" not in done.stderr
    if done.returncode:
        assert "learning rate (1e+30) too high" in done.stderr


def test_ctrl_c_keeps_what_is_done_and_says_so(tmp_path: Path) -> None:
    # In a background job of a shell Ctrl-C is ignored, and what it starts inherits that.
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(
        command("--epochs", "10000"), cwd=tmp_path, env=environment(), text=True, preexec_fn=heard,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    ) as process:  # fmt: skip
        assert process.stderr is not None
        said = []
        try:
            for text in process.stderr:
                said.append(text)
                if text.startswith("epoch "):
                    time.sleep(0.2)
                    process.send_signal(signal.SIGINT)
                    break
            out, err = process.communicate(timeout=300)
        finally:
            process.kill()
    assert process.returncode == 130, "".join(said) + err
    metrics = json.loads((tmp_path / "runs/demo/metrics.json").read_text())
    assert metrics["interrupted"] and 1 <= metrics["epochs_done"] < 10000
    assert f"interrupted after {metrics['epochs_done']} of 10000 epochs" in err and "Traceback" not in err
    assert "Test accuracy" in out
    assert "interrupted after" in (tmp_path / "runs/demo/report.html").read_text()


def test_ctrl_c_before_the_first_epoch_says_that_there_is_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinygrad_dl import cli
    from tinygrad_dl.train import Trainer

    def interrupted(self: Trainer, batch: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Trainer, "_train_step", interrupted)
    assert cli.main(["demo", "--quiet", "--out", str(tmp_path / "o")]) == 130
    assert capsys.readouterr().err == (
        "tinygrad-dl demo: interrupted before the first epoch ended: there is nothing to save\n"
    )


def test_without_a_layout_engine_everything_else_is_made(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinygrad_dl import cli

    monkeypatch.setattr("tinygrad_dl.viz.formats.graphviz.available", list)
    monkeypatch.delenv("TINYGRAD_DL_GRAPH_ENGINE", raising=False)
    assert cli.main(["demo", "--epochs", "1", "--quiet", "--out", str(tmp_path)]) == 0
    assert {path.name for path in tmp_path.iterdir()} == FILES - {"graph.svg"}
    assert "graph.svg was not made" in capsys.readouterr().err


def test_without_an_extra_it_is_said_before_training(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinygrad_dl import cli

    monkeypatch.setitem(sys.modules, "matplotlib", None)
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    assert cli.main(["demo", "--out", str(tmp_path)]) == 1
    err = capsys.readouterr().err
    assert "the demo needs the package matplotlib" in err and "[viz]" in err and "epoch" not in err
