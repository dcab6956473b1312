"""What a notebook shows: a run while it trains, and objects as HTML."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.layout import ROOT
from tests.train.test_trainer import points, trainer
from tinygrad_dl import data, markup, nn, optim, train
from tinygrad_dl.train import EarlyStopping, History, Progress, runs

IPython = pytest.importorskip("IPython", reason="a notebook's shell is IPython's")


@pytest.fixture
def published() -> Iterator[list[tuple[dict[str, str], bool]]]:
    """What a front end is sent: (what is displayed, whether it updates the display before)."""
    from IPython.core.displaypub import DisplayPublisher
    from IPython.core.interactiveshell import InteractiveShell

    sent: list[tuple[dict[str, str], bool]] = []

    class Publisher(DisplayPublisher):
        def publish(self, data: Any, metadata: Any = None, *, update: bool = False, **options: Any) -> None:
            sent.append((data, update))

    InteractiveShell.clear_instance()
    hooks = sys.displayhook, sys.excepthook
    shell = InteractiveShell.instance(display_pub_class=Publisher, history_manager=None)
    yield sent
    shell.restore_sys_module_state()
    InteractiveShell.clear_instance()
    sys.displayhook, sys.excepthook = hooks


def visible(**options: Any) -> train.Trainer:
    """A Trainer that shows its progress."""
    t = trainer(**options)
    t.progress = Progress()
    return t


class Tags(HTMLParser):
    """Checks that tags are closed in the order in which they were opened, and collects the text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words = ""
        self.feed(page)
        self.close()
        assert not self.open, f"not closed: {self.open}"

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_startendtag(self, tag: str, attrs: object) -> None:
        pass

    def handle_data(self, data: str) -> None:
        self.words += data + " "


def test_a_run_is_one_display_that_is_updated_in_place(
    published: list[Any], capfd: pytest.CaptureFixture[str]
) -> None:
    t = visible()
    history = t.fit(points(), points(seed=1), epochs=30)
    assert capfd.readouterr() == ("", ""), "nothing is printed beside the display"
    assert [update for _, update in published] == [False] + [True] * (len(published) - 1)
    last = published[-1][0]
    text = Tags(last["text/html"]).words
    assert text.startswith("30 epochs in ") and "dev loss" in text and "best" in text
    assert "<svg" in last["text/html"] and last["text/html"].count("<path") >= 4, "a curve of each part"
    assert last["text/plain"].splitlines()[0].startswith("epoch  1/30   loss ")
    best = history.best("dev_loss")["epoch"]
    assert re.search(rf"color-mix[^>]*>{best}</b><b[^>]*> best<", last["text/html"])


def test_a_display_is_updated_at_most_four_times_per_second(
    published: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = iter(i * 0.03 for i in range(99999))
    monkeypatch.setattr("tinygrad_dl.train.progress.time.monotonic", clock.__next__)
    t = visible()
    t.fit(points(), epochs=40, batch_size=4)
    seconds = next(clock)
    assert 0.1 * seconds <= len(published) <= 4 * seconds + 2


@pytest.mark.parametrize("level", ["epoch", "off"])
def test_lines_are_printed_instead_where_the_level_says_so(
    published: list[Any], level: str, capsys: pytest.CaptureFixture[str]
) -> None:
    t = trainer()
    t.progress = Progress(level)
    t.fit(points(), epochs=3)
    assert not published and len(capsys.readouterr().out.splitlines()) == (3 if level == "epoch" else 0)


def test_the_display_says_how_a_run_ended(published: list[Any]) -> None:
    t = visible(callbacks=[EarlyStopping("lr", patience=2)])
    t.fit(points(), epochs=50)
    assert "3 epochs in" in published[-1][0]["text/html"]
    assert "stopped: lr has not improved since epoch 1" in published[-1][0]["text/plain"]
    t = visible(lr=1e30)
    with pytest.raises(tg.errors.AnomalyError):
        t.fit((np.full((4, 2), np.nan, "float32"), np.zeros(4, "int64")), epochs=3)
    assert "stopped by an error in epoch 1" in published[-1][0]["text/html"]


def test_the_history_below_the_cell_that_trained_does_not_repeat_the_table(published: list[Any]) -> None:
    history = visible().fit(points(), epochs=3)
    assert "<table" not in history._repr_html_() and "3 epochs" in history._repr_html_()
    IPython.get_ipython().execution_count += 1
    assert "<table" in history._repr_html_()


def test_lines_of_callbacks_are_below_the_table(published: list[Any]) -> None:
    class Telling(train.Callback):
        def on_epoch_end(self, trainer: train.Trainer, epoch: dict[str, Any]) -> None:
            trainer.write(f"<epoch {epoch['epoch']}>")

    visible(callbacks=[Telling()]).fit(points(), epochs=9)
    page = published[-1][0]["text/html"]
    assert "&lt;epoch 9&gt;" in page and "&lt;epoch 4&gt;" not in page, "the last five"


def test_a_pipe_gets_lines_on_stdout_and_nothing_on_stderr() -> None:
    program = (
        "from tests.train.test_trainer import points, trainer\n"
        "from tinygrad_dl.train import Progress\n"
        "t = trainer()\nt.progress = Progress()\nt.fit(points(), epochs=2)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stderr == "" and len(done.stdout.splitlines()) == 2


def test_a_real_notebook_saves_the_last_update_and_shows_each_plot_once() -> None:
    nbformat, nbclient = pytest.importorskip("nbformat"), pytest.importorskip("nbclient")
    pytest.importorskip("ipykernel")
    pytest.importorskip("matplotlib")
    cells = [
        "from tests.train.test_trainer import points, trainer\nfrom tinygrad_dl.train import Progress\nt = trainer()\n"
        "t.progress = Progress()\nhistory = t.fit(points(), epochs=3)",
        "history.plot()",
    ]
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    nbclient.NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(ROOT)}}).execute()
    (display,) = notebook.cells[0].outputs
    assert display.output_type == "display_data" and "3 epochs in" in display.data["text/html"]
    (plot,) = notebook.cells[1].outputs
    assert "image/png" in plot.data and plot.data["text/plain"].startswith("<Figure ")


# Objects as text and HTML


def objects() -> dict[str, object]:
    """What a notebook may show, small, large and with names that look like tags."""
    rng = np.random.default_rng(0)
    history = History([{"epoch": i + 1, "loss": 1 / (i + 1), "dev_loss": float("nan")} for i in range(500)])
    model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    t = trainer()
    x = rng.normal(size=(100, 2)).astype("float32")
    return {
        "Tensor": tg.Tensor([[1.0, 2.0]], requires_grad=True, name="<x>"),
        "Tensor of one number": tg.Tensor(3.0),
        "Tensor without elements": tg.Tensor(np.zeros((0, 3))),
        "large Tensor": tg.Tensor(rng.normal(size=(2000, 700))),
        "Tensor of many axes": tg.Tensor(np.ones((2, 2, 2, 2))),
        "Tensor with nan": tg.Tensor(np.array([np.nan, np.inf] * 200)),
        "huge numbers": tg.Tensor(np.array([-1.7e308, 1.7e308] * 200)),
        "complex Tensor": tg.Tensor(np.ones(300) * 1j),
        "booleans": tg.Tensor(np.arange(300) % 2 == 0),
        "a constant": tg.Tensor(np.ones(300)),
        "Module": model,
        "Module of 1,000 layers": nn.Sequential(*[nn.ReLU() for _ in range(1000)]),
        "lazy Module": nn.LazyLinear(3),
        "Module without layers": nn.Module(),
        "summary": model.summary(),
        "summary of a run": model.summary((4, 2)),
        "summary of a failure": model.summary((4, 7)),
        "History": history,
        "empty History": History(),
        "Trainer": t,
        "DataLoader": data.DataLoader((x, x[:, :1]), 32, shuffle=True),
        "DataLoader of a list": data.DataLoader([(1.0, 2.0)] * 5, 2),
        "find_rate": train.find_rate(t, points(), batch_size=2),
    }


def test_a_trainer_shows_how_many_parameters_its_model_has() -> None:
    for model, count in ((nn.Linear(4, 8), 40), (nn.LazyLinear(8), 0)):
        shown = train.Trainer(model, nn.MSELoss(), optim.SGD([nn.Parameter([0.0])], lr=0.1))
        assert f"{count} parameters" in shown._repr_html_()
        assert runs.hyperparameters_of(shown)["parameters"] == count


@pytest.mark.parametrize("name", list(objects()))
def test_what_a_notebook_shows_is_sound_bounded_and_follows_the_theme(name: str) -> None:
    shown = objects()[name]
    page = shown._repr_html_()  # type: ignore[attr-defined]
    Tags(page)
    assert len(page) < 60_000 and "<x>" not in page and "<script" not in page
    # Colors are the page's own or mixed with it: a fixed one is not readable on every background.
    colors = re.findall(r'(?:color|fill|stroke|background)[=:]"?([^;">]+)', page)
    allowed = re.compile(r"color-mix\(in srgb,#[0-9A-F]{6} \d+%,currentColor\)|currentColor|none|inherit")
    assert all(allowed.fullmatch(color.strip()) for color in colors), set(colors)
    # Letters in pictures have the size that they say, since pictures are not scaled.
    for width, box, size in re.findall(
        r'<svg[^>]*width="(\d+)"[^>]*viewBox="0 0 (\d+) \d+"[^>]*font-size="(\d+)"', page
    ):
        assert width == box and int(width) <= 368 and int(size) >= 11
    text = repr(shown)
    assert " object at 0x" not in text and len(text) < 20_000


@pytest.mark.parametrize(
    ("made", "text"),
    [
        (lambda: EarlyStopping(patience=3), "EarlyStopping(patience=3)"),
        (lambda: Progress(), "Progress()"),
        (lambda: data.Standardize(), "Standardize(not fitted)"),
        (lambda: data.Flip(), "Flip()"),
        (
            lambda: tg.optim.lr_scheduler.StepLR(tg.optim.SGD([nn.Parameter([1.0])], lr=0.5), 30),
            "StepLR(step_size=30, epoch 0, lr 0.5)",
        ),
        (
            lambda: data.DataLoader(np.zeros((10, 2)), 4, drop_last=True),
            "DataLoader(2 batches of 4, last batch dropped; TensorDataset(float64(10, 2)))",
        ),
        (lambda: train.diagnose(History([{"epoch": 1, "loss": 1.0}])), "no problem found"),
    ],
)  # fmt: skip
def test_the_text_of_an_object_says_what_it_is(made: Any, text: str) -> None:
    assert repr(made()) == text


def test_a_range_test_is_one_line_of_text() -> None:
    rates = train.find_rate(trainer(), points(), batch_size=2)
    assert re.fullmatch(r"Rates\(\d+ steps, lr 1e-06 to \S+, lowest loss \S+, suggestion \S+\)", repr(rates))
    assert "suggestion" in Tags(rates._repr_html_()).words


def test_a_search_shows_its_best_trials() -> None:
    search = pytest.importorskip("tinygrad_dl.train.search")
    pytest.importorskip("optuna")
    found = search.run(
        lambda s: (s["lr"] - 0.1) ** 2, {"lr": search.LogUniform(1e-3, 1)}, trials=15, rng=0, sampler="random"
    )
    assert repr(found).startswith("Found(15 trials, best value ") and "lr=" in repr(found)
    page = Tags(found._repr_html_()).words
    assert "15 trials, 15 of them completed" in page and "… 5 more" in page

    def fails(setting: Any) -> float:
        return float("nan")

    none = search.run(fails, {"lr": search.LogUniform(1e-3, 1)}, trials=2, rng=0)
    assert repr(none) == "Found(2 trials, none completed)" and "0 of them completed" in none._repr_html_()


def test_the_share_of_a_layer_is_its_share_of_the_multiply_adds() -> None:
    model = nn.Sequential(nn.Linear(2, 3), nn.Linear(3, 6))  # 6 and 18 multiply-adds per example
    words = Tags(model.summary((5, 2))._repr_html_()).words
    assert "25 %" in words and "75 %" in words
    words = Tags(model._repr_html_()).words
    assert "weight (3, 2), bias (3,)" in words and "27 %" in words, "9 of 33 parameters"


def test_charts_leave_out_what_cannot_be_drawn() -> None:
    nan = float("nan")
    assert markup.chart([markup.Line("", [1.0], [nan])], "none") == ""
    broken = markup.chart([markup.Line("", [1.0, 2.0, 3.0, 4.0], [1.0, nan, 3.0, 4.0])], "broken")
    assert len(re.findall(r'd="M[^"]*M[^"]*L[^"]*"', broken)) == 1, "a gap, and a dot before it"
    long = markup.chart(
        [markup.Line("", list(range(100_000)), [float(i % 7) for i in range(100_000)])], "long"
    )
    assert len(long) < 20_000
    for values in ([5.0, 5.0], [-1.7e308, 1.7e308], [1e-320, 1.0], [0.0, 1e-9]):
        assert "nan" not in markup.chart([markup.Line("", [0.0, 1.0], values)], "extreme")


@pytest.mark.parametrize(
    "y",
    [
        [1.0, 0.9, 0.2, 0.9, 1.0],  # the letters' usual place, above on the right, is on the rising line
        [1.0, 0.5, 0.2, 0.19, 0.18],
        [0.2, 0.2, 0.2, 0.2, 0.2],
        [0.1, 0.5, 1.0, 0.5, 0.1],
    ],
)
@pytest.mark.parametrize("at", range(5))
def test_the_letters_of_a_mark_are_beside_the_curve(y: list[float], at: int) -> None:
    x = [0.0, 1.0, 2.0, 3.0, 4.0]
    chart = markup.chart([markup.Line("", x, y)], "c", [markup.Mark("best", x[at], y[at])])
    (path,) = re.findall(r'<path d="(M[^"]*)" fill="none"', chart)
    curve = np.array([[float(v) for v in part.split()] for part in re.split("[ML]", path)[1:]])
    found = re.search(r'<text x="([\d.]+)" y="([\d.]+)"[^>]*text-anchor="(\w+)"[^>]*>best<', chart)
    assert found is not None
    start = float(found[1]) - {"start": 0, "end": 28, "middle": 14}[found[3]]
    base, under = float(found[2]), np.linspace(start, start + 28, 9)
    assert np.abs(np.interp(under, *curve.T) - (base - 4)).min() > 7
    assert 0 < min(under) and max(under) < 340
