"""The page in Chromium: experiments end to end, every part of it, languages, schemes, widths, a lost connection."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest

from tests.colors import COLORS
from tests.playground.test_program import numbers, run
from tests.waiting import wait_until
from tinygrad_dl.playground.presets import PRESETS
from tinygrad_dl.playground.state import Config, Layer, to_fragment
from tinygrad_dl.train import History, Monitor, diagnose

SMALL = Config(data="xor", examples=40, layers=(Layer(units=3, activation="relu"),), batch_size=5)
FAINT = (
    "() => {"
    + COLORS
    + """
  const found = [];
  for (const element of document.querySelectorAll("h1, h2, h3, p, span, button, legend, summary, th, td, b, output")) {
    const text = element.textContent.trim();
    if (!text || !element.getClientRects().length || element.disabled) continue;
    const ratio = contrast(parse(getComputedStyle(element).color), behind(element));
    if (ratio < 4.5) found.push(`${text.slice(0, 30)}: ${ratio.toFixed(1)}`);
  }
  return found;
}"""
)
NAMELESS = """() => [...document.querySelectorAll("button, input, select, canvas[role=img], iframe, section")]
  .filter((e) => e.getClientRects().length && !(e.getAttribute("aria-label") || e.getAttribute("aria-labelledby")
    || e.title || e.textContent.trim() || e.closest("label")?.textContent.trim()))
  .map((e) => e.outerHTML.slice(0, 80))"""


class Page:
    """A tab of the browser on the playground, which notes errors and requests that leave the machine."""

    def __init__(
        self,
        browser: Any,
        address: str,
        configs: list[Config] | None = None,
        between: Callable[[Any], None] | None = None,
        **options: Any,
    ) -> None:
        self.context = browser.new_context(
            **{"viewport": {"width": 1400, "height": 1000}, "locale": "en-US", **options}
        )
        self.page = self.context.new_page()
        if between is not None:
            self.page.route_web_socket(re.compile("/tab"), between)
        self.faults: list[str] = []
        self.page.on(
            "console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None
        )
        self.page.on("pageerror", lambda error: self.faults.append(str(error)))
        own = (address.partition("?")[0], "blob:", "data:")
        self.page.on("request", lambda r: None if r.url.startswith(own) else self.faults.append(r.url))
        self.page.goto(address + ("#" + to_fragment(configs) if configs else ""))
        self.until("Number(document.body.dataset.frames) > 0")

    def until(self, expression: str) -> None:
        """Wait for an expression; the page's policy forbids playwright's own way, which evaluates text in it."""
        wait_until(
            lambda: self.page.evaluate(expression),
            lambda: (expression, self.faults, self.page.inner_text("body")[:500]),
        )

    def step(self) -> int:
        return int(self.page.evaluate("document.body.dataset.step"))

    def until_step(self, step: int) -> None:
        self.until(f"Number(document.body.dataset.step) === {step}")

    def answer(self, selector: str) -> str:
        self.page.click(selector)
        self.until("!/^(Working …)?$/.test(document.getElementById('answer').textContent)")
        text: str = self.page.inner_text("#answer")
        return text

    def losses(self, run: int = 0) -> list[float]:
        text = self.page.locator(".numbers").nth(run).inner_text()
        return [float(word) for word in re.findall(r"\d+\.?\d*(?:e-?\d+)?", text.replace("%", ""))]

    def close(self) -> None:
        assert self.faults == []
        self.context.close()


@pytest.fixture
def small(browser: Any, address: str) -> Iterator[Page]:
    page = Page(browser, address, [SMALL])
    yield page
    page.close()


def test_training_plays_pauses_steps_and_goes_back(small: Page) -> None:
    page = small.page
    page.click("#step")
    small.until_step(1)
    page.click("#epoch")
    small.until_step(4)
    page.click("#play")
    small.until("Number(document.body.dataset.step) > 30")
    page.click("#play")
    assert page.inner_text("#play") == "Play"
    page.focus("#timeline")
    page.keyboard.press("Home")
    small.until_step(0)
    page.keyboard.press("ArrowRight")
    small.until_step(1)
    page.click("#restart")
    small.until("document.getElementById('timeline').max === '0'")
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press("s")
    small.until_step(1)
    page.keyboard.press(" ")
    small.until("Number(document.body.dataset.step) > 10")
    page.keyboard.press(" ")


class Late:
    """What the server sends, held back while `holding`."""

    def __init__(self) -> None:
        self.holding, self.messages = False, list[tuple[Any, Any]]()

    def between(self, socket: Any) -> None:
        def pass_on(message: Any) -> None:
            if self.holding:
                self.messages.append((socket, message))
            else:
                socket.send(message)

        socket.connect_to_server().on_message(pass_on)

    def deliver(self) -> None:
        """Send what is held, in its order."""
        while self.messages:
            socket, message = self.messages.pop(0)
            socket.send(message)


def test_the_time_line_stays_where_it_was_moved_to(browser: Any, address: str) -> None:
    """Frames that were on the way when the time line was moved do not move it back."""
    late = Late()
    small = Page(browser, address, [SMALL], between=late.between)
    page = small.page
    page.click("#play")
    small.until("Number(document.body.dataset.step) > 30")
    late.holding = True
    wait_until(lambda: (page.evaluate("0"), late.messages)[1])  # a frame of the playing run
    page.click("#play")
    page.focus("#timeline")
    page.keyboard.press("Home")
    late.holding = False
    late.deliver()
    small.until_step(0)
    assert page.input_value("#timeline") == "0"
    page.keyboard.press("ArrowRight")
    small.until_step(1)
    page.keyboard.press("ArrowRight")
    small.until_step(2)
    page.click("#step")
    small.until_step(3)
    assert page.input_value("#timeline") == "3"
    small.close()


def test_a_frame_of_an_older_configuration_is_not_drawn(browser: Any, address: str) -> None:
    """The first frame of a curve comes when the settings already say points in the plane."""
    late = Late()
    small = Page(browser, address, [SMALL], between=late.between)
    page = small.page
    late.holding = True
    page.select_option("[name=data]", "regression")
    wait_until(lambda: (page.evaluate("0"), late.messages)[1])
    page.select_option("[name=data]", "moons")
    late.deliver()  # which is drawn before the next one comes
    page.evaluate("new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)))")
    wait_until(lambda: (page.evaluate("0"), late.messages)[1])
    late.holding = False
    late.deliver()
    page.click("#step")
    small.until_step(1)
    assert page.input_value("[name=data]") == "moons"
    small.close()  # no error was thrown


def test_what_is_inside_can_be_asked_for(small: Page) -> None:
    page = small.page
    page.click("#epoch")
    small.until_step(4)
    assert "sum z" in small.answer("button.unit[data-layer='0'] >> nth=1")
    page.locator("#answer table button").first.click()
    small.until("document.getElementById('answer').textContent.includes('∂L/∂w')")
    # On the first edge, from x1 to the first unit
    page.evaluate(
        """() => { const edges = document.querySelector("canvas.edges"), box = edges.getBoundingClientRect();
        const at = (name) => document.querySelector(name).getBoundingClientRect();
        const a = at("button.unit:disabled"), b = at("button.unit[data-layer='0']");
        edges.dispatchEvent(new MouseEvent("click", {clientX: (a.right + b.left) / 2,
            clientY: (a.top + a.bottom + b.top + b.bottom) / 4})); }"""
    )
    small.until("document.getElementById('answer').textContent.includes('Weight from x1 to layer 1, unit 1')")
    assert "The gradients are right" in small.answer("[data-ask=check]")
    assert "No problem found so far" in small.answer("[data-ask=diagnosis]")
    assert "falls fastest at a rate" in small.answer("[data-ask=rates]")
    page.click("#epoch")
    small.until_step(8)
    assert "in which the weights moved most" in small.answer("[data-ask=surface]")
    small.answer("[data-ask=graph]")
    frame = page.frame_locator("#answer iframe")
    frame.locator("svg").first.wait_for(timeout=120_000)


def test_every_setting_gives_another_run(small: Page) -> None:
    page = small.page
    page.select_option("[name=data]", "moons")
    page.fill("[name=examples]", "60")
    page.fill("[name=noise]", "0.3")
    page.fill("[name=seed]", "5")
    page.uncheck("[name=normalize]")
    page.select_option("[name=initialization]", "he")
    page.select_option("[name=optimizer]", "momentum")
    page.fill("[name=rate]", "0.1")
    page.fill("[name=decay]", "0.01")
    page.fill("[name=batch_size]", "8")
    page.click("#add-layer")
    page.click("details.layer >> nth=1")
    page.fill("details.layer:nth-of-type(2) [name=units]", "5")
    page.select_option("details.layer:nth-of-type(2) [name=activation]", "tanh")
    page.fill("details.layer:nth-of-type(2) [name=dropout]", "0.1")
    page.check("details.layer:nth-of-type(2) [name=batch_norm]")
    page.fill("details.layer:nth-of-type(2) [name=l2]", "0.001")
    page.keyboard.press("Tab")
    small.until("document.querySelectorAll(\"button.unit[data-layer='1']\").length === 5")
    small.until("location.hash.includes(encodeURIComponent('\"l2\":0.001'))")
    state = json.loads(unquote(page.evaluate("location.hash.slice(1)")))
    config = Config.from_json(state["runs"][0])
    assert (config.data, config.examples, config.noise, config.seed, config.normalize) == (
        "moons",
        60,
        0.3,
        5,
        False,
    )
    assert (config.optimizer, config.rate, config.decay, config.batch_size) == ("momentum", 0.1, 0.01, 8)
    assert config.layers[1] == Layer(units=5, batch_norm=True, dropout=0.1, l2=0.001)
    page.click("#epoch")
    small.until_step(config.steps_per_epoch)
    page.locator("details.layer button").nth(1).click()
    small.until("document.querySelectorAll(\"button.unit[data-layer='1']\").length === 1")
    page.fill("[name=rate]", "77")
    page.keyboard.press("Tab")  # out of its limits: the field says so, and nothing is sent
    assert page.evaluate("document.querySelector('[name=rate]').matches(':invalid')")


def test_points_are_drawn_by_mouse_and_by_keys(small: Page) -> None:
    page = small.page
    page.select_option("[name=data]", "points")
    small.until("JSON.parse(decodeURIComponent(location.hash.slice(1))).runs[0].points.length === 4")
    page.check("input[name=class][value='1']")
    page.locator(".boundary").click(position={"x": 40, "y": 60})
    small.until("JSON.parse(decodeURIComponent(location.hash.slice(1))).runs[0].points.length === 5")
    page.locator(".boundary").focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Enter")
    small.until("JSON.parse(decodeURIComponent(location.hash.slice(1))).runs[0].points.length === 6")
    points = json.loads(unquote(page.evaluate("location.hash.slice(1)")))["runs"][0]["points"]
    assert points[4][2] == points[5][2] == 1 and points[5][1] > points[4][1]
    page.click("#step")
    small.until_step(1)


def test_each_experiment_reaches_what_its_program_prints(browser: Any, address: str, tmp_path: Path) -> None:
    shown = Page(browser, address)
    page = shown.page
    seen, programs = {}, []
    for preset in PRESETS:
        page.select_option("#preset", preset.name)
        shown.until(f"document.querySelectorAll('.net').length === {len(preset.runs)}")
        assert page.inner_text("#lesson-question") == preset.texts["en"][2]
        shown.until("document.body.dataset.step === '0'")
        for i in range(2):
            page.click("#epoch")
            shown.until_step(preset.runs[0].steps_per_epoch * (i + 1))
        for run_ in range(len(preset.runs)):
            page.locator("#which button").nth(run_).click()
            with page.expect_download() as download:
                page.click("[data-export=program]")
            programs.append(f"{preset.name}{run_}")
            download.value.save_as(tmp_path / f"{programs[-1]}.py")
            seen[programs[-1]] = shown.losses(run_)
    # One process runs them all.
    lines = "".join(f"print({name!r})\nexec(open({name + '.py'!r}).read(), {{}})\n" for name in programs)
    (tmp_path / "all.py").write_text(lines, encoding="utf-8")
    for part in re.split(r"^(?=[a-z-]+\d$)", run(tmp_path / "all.py"), flags=re.MULTILINE)[1:]:
        name, _, said = part.partition("\n")
        printed = numbers(said)
        if len(printed) == 4:  # losses and accuracies; the page shows percents
            assert seen[name][2:4] == pytest.approx([100 * printed[1], 100 * printed[3]], abs=0.51), name
        assert seen.pop(name)[:2] == pytest.approx(printed[:: len(printed) // 2], rel=0.01, abs=1e-3), name
    assert not seen
    for kind in ("notebook", "numpy", "weights"):
        with page.expect_download() as download:
            page.click(f"[data-export={kind}]")
        assert Path(download.value.path()).stat().st_size > 100
    shown.close()


def test_a_csv_file_is_trained_on(small: Page, tmp_path: Path) -> None:
    page = small.page
    page.select_option("[name=data]", "csv")
    assert page.is_visible("#csv-file")
    path = tmp_path / "flowers.csv"
    path.write_text("長さ,w,kind\n" + "".join(f"{i % 7},{i % 5},{'ab'[i % 2]}\n" for i in range(40)), "cp932")
    page.set_input_files("#csv-file", path)
    small.until("document.querySelector('button.unit:disabled')?.textContent === '長さ'")
    page.click("#epoch")
    small.until("Number(document.body.dataset.step) > 0")
    assert "■ b" in page.inner_text(".seen .hint") and len(small.losses()) >= 4
    page.select_option("#csv-target", "長さ")
    small.until("document.querySelector('.boundary').getAttribute('aria-label') === 'Fitted curve of run A'")
    page.fill("#csv-text", "a,b")
    page.click("#csv-use")
    small.until("document.getElementById('notice').textContent.startsWith('csv: ')")
    page.select_option("[name=data]", "regression")
    small.until("document.querySelector('button.unit:disabled')?.textContent === 'x'")


def test_a_link_restores_the_run_at_its_step(browser: Any, address: str, small: Page) -> None:
    small.page.click("#epoch")
    small.until_step(4)
    small.until("decodeURIComponent(location.hash).includes('\"step\":4')")
    link = small.page.evaluate("location.href")
    other = Page(browser, link)
    other.until_step(4)
    assert other.losses() == pytest.approx(small.losses(), rel=1e-2, abs=1e-3)
    other.close()


def test_a_lost_connection_is_made_again_at_the_same_step(browser: Any, address: str) -> None:
    # The socket is closed as from outside, through a page that keeps hold of it.
    context = browser.new_context(locale="en-US")
    page = context.new_page()
    page.add_init_script(
        "window.sockets = []; window.WebSocket = class extends WebSocket {"
        " constructor(...a) { super(...a); window.sockets.push(this); } };"
    )
    page.goto(address + "#" + to_fragment([SMALL]))

    def until(expression: str) -> None:
        wait_until(lambda: page.evaluate(expression), lambda: expression)

    until("document.body.dataset.step === '0'")
    page.click("#epoch")
    until("document.body.dataset.step === '4'")
    frames = page.evaluate("Number(document.body.dataset.frames)")  # before: the next frame may come at once
    page.evaluate("window.sockets[0].close()")
    until(f"window.sockets.length > 1 && Number(document.body.dataset.frames) > {frames}")
    page.click("#step")
    until("document.body.dataset.step === '5'")
    context.close()


def test_each_sentence_of_the_diagnosis_is_there_in_japanese(browser: Any, address: str) -> None:
    falling, rising = [1.0, 0.8, 0.6, 0.4, 0.3, 0.2, 0.15, 0.1], [0.9, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1]
    columns: list[dict[str, list[float]]] = [
        {"loss": falling, "dev_loss": rising},
        {"loss": falling, "dev_loss": falling, "accuracy": [0.9] * 8, "dev_accuracy": [0.7] * 8},
        {"loss": falling, "dev_loss": [1.0] * 8},
        {"loss": [1.0, float("nan")]},
        {"loss": [0.5, 1.0, 0.5, 1.0, 0.5, 1.0], "lr": [0.1] * 6},
        {"loss": [1.0 - 0.01 * i for i in range(20)]},
    ]
    findings: list[Any] = []
    for column in columns:
        rows = [dict(zip(column, values)) for values in zip(*column.values())]
        findings += diagnose(History([{"epoch": i + 1, **row} for i, row in enumerate(rows)]))
    for first, ratio in ((1e-9, 1e-9), (1e9, 1.0)):
        monitor = Monitor()
        monitor.steps.append(1)
        monitor.gradients = {
            "layer 1 weight": [{"norm": first, "ratio": ratio}],
            "layer 2 weight": [{"norm": 1.0, "ratio": ratio}],
        }
        monitor.activations = {"layer 1": [{"dead": 0.5}]}
        findings += diagnose(History([{"epoch": 1, "loss": 1.0}]), monitor)
    sentences = sorted({part for finding in findings for part in finding})
    assert len({finding.name for finding in findings}) == 8  # all but the bias, which needs a target
    shown = Page(browser, address, locale="ja-JP")
    japanese = shown.page.evaluate(
        "texts => import('/page/japanese.js').then((m) => texts.map(m.translated))", sentences
    )
    left = [text for text in japanese if re.search(r"\b(?!ReLU|Leaky|tanh)[a-z]{4,}", text) or "$" in text]
    assert left == []
    shown.page.fill("[name=rate]", "0.5")
    shown.page.evaluate("location.hash = encodeURIComponent(JSON.stringify({runs: [{rate: 77}], step: 0}))")
    shown.until(
        "document.getElementById('notice').textContent === 'rate：1e-06から10までの数にしてください（今は77）'"
    )
    shown.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("language", ["en-US", "ja-JP"])
@pytest.mark.parametrize("width", [1400, 400])
def test_the_page_fits_can_be_read_and_has_names(
    browser: Any, address: str, width: int, language: str, scheme: str
) -> None:
    runs = [SMALL, Config(data="digits", examples=40, layers=(Layer(kind="conv", units=2), Layer(units=12)))]
    shown = Page(
        browser, address, runs, viewport={"width": width, "height": 800}, locale=language, color_scheme=scheme
    )
    page = shown.page
    assert page.inner_text("#play") == ("Play" if language == "en-US" else "再生")
    assert page.evaluate("document.documentElement.lang") == language[:2]
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.click("button.unit[data-layer='0'] >> nth=0")
    shown.until("document.querySelector('#answer table') !== null")
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.evaluate(FAINT) == []
    assert page.evaluate(NAMELESS) == []
    if language == "ja-JP":
        words = page.inner_text("main")
        assert not re.search(r"\b(undefined|null|NaN|Layer|Run|train)\b", words)
    shown.close()
