"""The page in a real Chromium: panels, keys, zoom, search, collapsing, the player; no request and no error."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.layout import ROOT
from tests.leaves import leaf
from tests.viz.examples import NASTY, Tower, failed
from tinygrad_dl import Tensor, nn, no_grad, viz
from tinygrad_dl.viz.formats.graphviz import ENGINE_IN_PAGE, available
from tinygrad_dl.viz.formats.html import ASSETS, json_in_html, to_html

VARIANTS = ["drawn", "draws itself"]
SIZES = {"desktop": (1200, 800), "phone": (400, 780)}


Opener = Callable[..., Any]


@pytest.fixture
def open_page(browser: Any, tmp_path: Path) -> Iterator[Opener]:
    """Opens the page of a view, and at the end finds it without an error and without a request."""
    pages: list[Any] = []
    faults: list[str] = []

    def open_(view: viz.GraphView, variant: str = "drawn", size: str = "desktop", hash: str = "") -> Any:
        if variant == "drawn" and not available():
            pytest.skip("no layout engine is installed")
        width, height = SIZES[size]
        page = browser.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(300_000)
        pages.append(page)
        page.on("console", lambda m: faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: faults.append(str(e)))
        page.on("dialog", lambda d: (faults.append(f"dialog {d.message}"), d.dismiss()))
        page.on("request", lambda r: None if r.url.startswith("file:") else faults.append(r.url))
        path = tmp_path / f"page{len(pages)}.html"
        path.write_text(to_html(view, None if variant == "drawn" else ENGINE_IN_PAGE), encoding="utf-8")
        page.goto(path.as_uri() + hash)
        page.wait_for_selector("body[data-ready='1']", timeout=300_000)
        return page

    yield open_
    for page in pages:
        page.close()
    assert faults == []


def network() -> viz.GraphView:
    """The two-layer network of the course, with everything recorded."""
    rng = np.random.default_rng(0)
    x = Tensor(rng.normal(size=(8, 2)).astype(np.float32), name="x")
    y = Tensor((rng.normal(size=(8, 1)) > 0).astype(np.float32), name="y")
    model = nn.Sequential(nn.Linear(2, 4), nn.Tanh(), nn.Linear(4, 1))
    with viz.record() as recording:
        loss = nn.functional.binary_cross_entropy_with_logits(model(x), y)
        loss.name = "loss"
        loss.backward()
    return viz.draw(loss, model=model, record=recording)


def ids(page: Any, selector: str) -> set[str]:
    return set(page.eval_on_selector_all(selector, "all => all.map(e => e.id)"))


@pytest.mark.parametrize("size", list(SIZES))
@pytest.mark.parametrize("variant", VARIANTS)
def test_every_part_of_the_page_works(open_page: Opener, variant: str, size: str) -> None:
    view = network()
    page = open_page(view, variant, size)
    nodes = {node.id for node in view.graph.nodes}
    assert ids(page, "#canvas .node") == nodes

    # A node's panel: by mouse and by keyboard.
    tanh = next(node.id for node in view.graph.nodes if node.op == "tanh")
    page.click("#fit")
    page.click(f"#{tanh}")
    panel = page.inner_text("#about")
    assert panel.startswith("tanh") and "g * (1 - out * out)" in panel and "Used by" in panel
    assert page.locator("#about .histogram").count() == 2
    assert f"node={tanh}" in page.url
    page.keyboard.press("Escape")
    assert page.is_hidden("#panel")
    page.focus("#n1")
    page.keyboard.press("Enter")
    assert "parameter" in page.inner_text("#about")
    page.click("#close")

    # Zoom and pan, by wheel, buttons and dragging.
    page.click("#fit")
    before = page.get_attribute("#canvas svg", "viewBox")
    box = page.locator("#canvas").bounding_box()
    page.mouse.move(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    page.mouse.wheel(0, -300)
    page.wait_for_function(
        "before => document.querySelector('#canvas svg').getAttribute('viewBox') !== before", arg=before
    )
    zoomed = page.get_attribute("#canvas svg", "viewBox")
    assert float(zoomed.split()[2]) < float(before.split()[2])
    page.mouse.down()
    page.mouse.move(box["x"] + 20, box["y"] + 20, steps=4)
    page.mouse.up()
    moved = page.get_attribute("#canvas svg", "viewBox")
    assert moved.split()[2] == zoomed.split()[2] and moved.split()[0] != zoomed.split()[0]
    assert page.is_hidden("#panel"), "a drag is no click"
    page.click("#fit")
    assert page.get_attribute("#canvas svg", "viewBox") == before

    # Search.
    page.fill("#search", "linear (8, 4)")
    assert ids(page, "#canvas .match") == {
        n.id for n in view.graph.nodes if n.op == "linear" and n.shape == (8, 4)
    }
    assert page.inner_text("#found") == "1"
    page.press("#search", "Enter")
    assert "out[" in page.inner_text("#about") or "linear" in page.inner_text("#about")
    page.press("#search", "Escape")
    assert ids(page, "#canvas .match") == set()

    # Collapse a module in place, and by depth.
    box_id = next(module.id for module in view.graph.modules if module.path == "0")
    inside = {node.id for node in view.graph.nodes if node.module == box_id}
    page.evaluate(
        "id => document.getElementById(id).dispatchEvent(new MouseEvent('click', {bubbles: true}))", box_id
    )
    assert ids(page, "#canvas .node.inside") == inside
    page.evaluate(
        "id => document.getElementById(id).dispatchEvent(new MouseEvent('click', {bubbles: true}))", box_id
    )
    assert ids(page, "#canvas .inside") == set()
    page.select_option("#depth", label="modules to depth 1")
    page.wait_for_selector(f"#canvas #{box_id}.node")
    assert not ids(page, "#canvas .node") & inside
    page.select_option("#depth", "0")
    page.wait_for_selector(f"#{tanh}.node")

    # Colors.
    page.select_option("#color", "grad")
    fills = page.eval_on_selector_all(
        "#canvas .node", "all => all.map(e => e.querySelector('path,polygon').style.fill)"
    )
    assert len(set(fills)) > 3 and "gradient norm" in page.inner_text("#legend")
    page.click("#theme")
    assert page.evaluate("document.documentElement.dataset.theme") == "dark"

    # Nothing is wider than the window.
    assert page.evaluate("document.documentElement.scrollWidth") <= SIZES[size][0]
    assert page.evaluate("document.documentElement.scrollHeight") <= SIZES[size][1]


@pytest.mark.parametrize("variant", VARIANTS)
def test_the_player_goes_through_forward_and_backward_to_the_end(open_page: Opener, variant: str) -> None:
    view = network()
    page = open_page(view, variant)
    events = view.full.events
    assert page.inner_text("#count") == f"0 / {len(events)}"
    texts = []
    for i, event in enumerate(events, 1):
        page.keyboard.press("ArrowRight")
        assert page.inner_text("#count") == f"{i} / {len(events)}"
        assert ids(page, "#canvas .node.active") == {event["node"]}
        texts.append(page.inner_text("#explanation"))
        if event["pass"] == "backward":
            assert ids(page, "#canvas .edge.active") == {part["edge"] for part in event["parts"]}
            assert len(page.query_selector_all("#explanation p")) == 1 + max(1, len(event["parts"]))
    assert texts[0].startswith("Forward: linear") and texts[-1].startswith("Backward: linear")
    assert page.inner_text("#live") == texts[-1].replace("\n\n", "\n").replace("\n", ". ")
    page.keyboard.press("ArrowRight")
    assert page.inner_text("#count") == f"{len(events)} / {len(events)}"
    page.keyboard.press("Home")
    assert page.inner_text("#count") == f"0 / {len(events)}" and ids(page, "#canvas .active") == set()
    page.keyboard.press("End")
    page.keyboard.press("ArrowLeft")
    assert page.inner_text("#count") == f"{len(events) - 1} / {len(events)}"
    page.keyboard.press("Home")
    page.keyboard.press(" ")
    assert page.get_attribute("#play", "aria-label") == "Pause"
    page.wait_for_function(
        "() => document.getElementById('count').textContent.startsWith('1 /')", timeout=300_000
    )
    page.keyboard.press(" ")
    assert page.get_attribute("#play", "aria-label") == "Play"


def test_the_player_shows_the_numbers_and_the_sum_so_far(open_page: Opener) -> None:
    a, b = leaf(2.0), leaf(-3.0)
    c = a * b
    page = open_page(viz.draw(c * c + a, names={"a": a, "b": b, "c": c}), hash="#step=6")
    assert page.locator("#explanation p").all_inner_texts() == [
        "Backward: c: upstream gradient g = -12",
        "to a: g * y = 36 (local derivative -3 times g); sum so far, 2 parts: 37",
        "to b: g * x = -24 (local derivative 2 times g)",
    ]
    page.click("#n0")
    assert "g = 1\n  + 36\n  = 37" in page.inner_text("#about") or "g = 36\n  + 1\n  = 37" in page.inner_text(
        "#about"
    )


def test_gradients_appear_when_the_backward_pass_reaches_them(open_page: Opener) -> None:
    a, b = leaf(2.0), leaf(-3.0)
    c = a * b
    names = {"a": a, "b": b, "c": c}
    page = open_page(viz.draw(c * c + a, names=names, show=("value", "grad", "rule")))

    def shown() -> set[str]:
        """The nodes whose gradient can be seen."""
        texts = page.locator("#canvas .node text").evaluate_all(
            "all => all.filter(t => t.textContent.startsWith('grad ') && getComputedStyle(t).visibility === 'visible')"
            ".map(t => t.closest('.node').id)"
        )
        return set(texts)

    assert shown() == set(), "nothing is computed yet"
    steps = []
    for _ in range(6):
        page.keyboard.press("ArrowRight")
        steps.append(shown())
    # Three forward steps; then +, the product, and c: a leaf has its gradient when its last contribution came.
    assert steps == [set(), set(), set(), {"n4"}, {"n4", "n3", "n2"} - {"n2"}, {"n4", "n3", "n2", "n0", "n1"}]
    page.keyboard.press("Home")
    assert shown() == set()


def test_the_player_shows_mathematics_and_writes_sums_out(open_page: Opener) -> None:
    a, b = leaf(2.0), leaf(-3.0)
    c = a * b
    page = open_page(viz.draw(c * c + a, names={"a": a, "b": b, "c": c}), hash="#step=6")
    text = " ".join(page.inner_text("#formula").split())
    assert text.startswith("The chain rule: the upstream gradient g times the local derivative")
    assert "= -12 ⋅ -3 = 36" in text and "its gradient is the sum: 1 + 36 = 37" in text
    assert page.locator("#formula math").count() == 2
    arrows = page.locator("#canvas .edge.active").evaluate_all(
        "all => all.map(e => [getComputedStyle(e.querySelector('path')).markerStart,"
        " getComputedStyle(e.querySelector('polygon')).visibility])"
    )
    assert len(arrows) == 2 and all("turned" in start and head == "hidden" for start, head in arrows)


def test_the_player_leaves_out_rules_that_call_helpers(open_page: Opener) -> None:
    view = network()
    page = open_page(view)
    assert any("_rows" in (edge.rule or "") for edge in view.full.edges), (
        "the weight's rule of a linear layer"
    )
    page.keyboard.press("End")
    text = page.inner_text("#explanation")
    assert "Backward: linear" in text and "to weight: " in text and "_rows" not in text
    assert page.locator("#formula math").count() >= 2


def test_the_player_shows_matrices_up_to_8_by_8_whole(open_page: Opener) -> None:
    w = leaf(np.arange(64.0).reshape(8, 8))
    page = open_page(viz.draw((w * w).sum()), hash="#step=4")
    assert page.locator("#formula .matrix").first.locator("td").count() == 64
    assert page.locator("#formula .matrix td").last.inner_text() == "126"


def test_the_page_plays_a_training_run(open_page: Opener) -> None:
    w = leaf(1.0)
    with viz.record() as recording:
        for _ in range(4):
            w.grad = None
            loss = (w - 3.0) ** 2
            loss.backward()
            with no_grad():
                w -= 0.25 * w.grad
    page = open_page(viz.draw(loss, record=recording, names={"w": w}, show=("value", "grad")))
    assert page.inner_text("#trained") == "step 4 of 4, loss 0.0625"
    page.keyboard.press("End")
    numbers = []
    for run in range(4):
        page.evaluate(
            "i => { const r = document.getElementById('run'); r.value = i; r.dispatchEvent(new Event('input')); }",
            run,
        )
        texts = page.locator("#n0 text").evaluate_all("all => all.map(t => t.textContent)")
        numbers.append([text for text in texts if text.startswith(("value", "grad"))])
    assert numbers == [
        ["value 1", "grad -4"],
        ["value 2", "grad -2"],
        ["value 2.5", "grad -1"],
        ["value 2.75", "grad -0.5"],
    ]
    assert page.locator("#curve path").count() == 2
    page.click("#train")
    page.wait_for_function("() => document.getElementById('trained').textContent.startsWith('step 4 of 4')")


def test_a_folded_module_leaves_no_hole(open_page: Opener) -> None:
    model = nn.Sequential(
        nn.Linear(2, 4), nn.Sequential(nn.Tanh(), nn.Linear(4, 4), nn.Tanh()), nn.Linear(4, 1)
    )
    with viz.record() as recording:
        loss = model(Tensor(np.ones((3, 2), np.float32), name="x")).sum()
        loss.backward()
    view = viz.draw(loss, model=model, record=recording, repeats=False)
    page = open_page(view)
    (box,) = [module.id for module in view.graph.modules if module.path == "1"]

    def places() -> dict[str, list[float]]:
        """Node or folded module -> left, top, right and bottom in the drawing's own units."""
        return page.evaluate(
            """() => {
              const scale = document.querySelector("#canvas svg").getScreenCTM().inverse();
              const shown = "#canvas .node:not(.inside), #canvas .cluster[aria-expanded='false']";
              return Object.fromEntries([...document.querySelectorAll(shown)].map((e) => {
                const box = (e.matches(".cluster") ? e.querySelector("path") : e).getBoundingClientRect();
                const a = new DOMPoint(box.left, box.top).matrixTransform(scale);
                const b = new DOMPoint(box.right, box.bottom).matrixTransform(scale);
                return [e.id, [a.x, a.y, b.x, b.y]];
              }));
            }"""
        )

    def click() -> None:
        page.evaluate(
            "id => document.getElementById(id).dispatchEvent(new MouseEvent('click', {bubbles: true}))", box
        )

    before, whole = places(), page.get_attribute("#canvas svg", "viewBox")
    click()
    after = places()
    assert box in after and len(after) < len(before)
    heights = [
        max(p[3] for p in found.values()) - min(p[1] for p in found.values()) for found in (before, after)
    ]
    assert heights[1] < 0.8 * heights[0]
    # Nothing lies upon anything else.
    listed = list(after.values())
    for i, a in enumerate(listed):
        for b in listed[:i]:
            assert a[2] <= b[0] + 1 or b[2] <= a[0] + 1 or a[3] <= b[1] + 1 or b[3] <= a[1] + 1
    # Edges into it and out of it end at its frame.
    ends = page.evaluate(
        """() => [...document.querySelectorAll("#canvas .edge:not(.inside) path[data-d]")].map((path) =>
             [0, path.getTotalLength()].map((at) => {
               const point = path.getPointAtLength(at).matrixTransform(path.getScreenCTM());
               return [point.x, point.y];
             }))"""
    )
    frame = page.locator(f"#{box} path").bounding_box()
    middles = [frame["x"] + frame["width"] / 2, frame["y"] + frame["height"] / 2]
    assert ends and all(
        abs(x - middles[0]) > frame["width"] / 2 - 4 or abs(y - middles[1]) > frame["height"] / 2 - 4
        for pair in ends for x, y in pair
    )  # fmt: skip
    # The player marks it while it steps inside.
    page.keyboard.press("ArrowRight")
    page.keyboard.press("ArrowRight")
    assert ids(page, "#canvas .active:not(.edge)") == {box}
    click()
    page.keyboard.press("Home")
    assert page.get_attribute("#canvas svg", "viewBox") == whole
    for id, place in places().items():
        assert place == pytest.approx(before[id], abs=0.5)


@pytest.mark.parametrize("size", list(SIZES))
def test_the_view_stays_where_it_is_while_everything_fits(open_page: Opener, size: str) -> None:
    view = network()
    page = open_page(view, size=size)
    before = page.get_attribute("#canvas svg", "viewBox")
    for _ in view.full.events:
        page.keyboard.press("ArrowRight")
    box = page.locator("#canvas").bounding_box()
    for node in page.locator("#canvas .node").all():
        at = node.bounding_box()
        assert at["x"] >= box["x"] - 1 and at["x"] + at["width"] <= box["x"] + box["width"] + 1
        assert at["y"] >= box["y"] - 1 and at["y"] + at["height"] <= box["y"] + box["height"] + 1
    page.keyboard.press("+")
    page.keyboard.press("Home")
    assert page.get_attribute("#canvas svg", "viewBox") == before


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_link_leads_to_a_step_and_a_node(open_page: Opener, variant: str) -> None:
    page = open_page(network(), variant, hash="#step=3&node=n3&color=gain")
    assert page.inner_text("#count").startswith("3 /") and page.inner_text("#about").startswith("linear")
    assert page.input_value("#color") == "gain"
    page.keyboard.press("ArrowRight")
    assert re.search(r"#step=4&node=n3&color=gain$", page.url)


@pytest.mark.parametrize(
    "hash", ["#step=999&node=n77", "#step=x&color=constructor&collapse=-1", "#%%%", "#node=constructor"]
)
def test_a_link_that_leads_nowhere_does_no_harm(open_page: Opener, hash: str) -> None:
    page = open_page(network(), hash=hash)
    assert page.is_hidden("#panel") and ids(page, "#canvas .node")


@pytest.mark.parametrize("variant", VARIANTS)
def test_names_of_users_are_text_and_nothing_else(open_page: Opener, variant: str) -> None:
    total = leaf(1.0)
    tensors = [Tensor(1.0, requires_grad=True, name=name) for name in NASTY]
    for tensor in tensors:
        total = total + tensor
    view = viz.draw(total, direction="LR")
    page = open_page(view, variant)
    leaves = [node for node in view.graph.nodes if node.kind == "leaf"][-len(NASTY) :]
    assert [node.name for node in leaves] == NASTY
    for node in leaves:
        page.focus(f"#{node.id}")
        page.keyboard.press("Enter")
        expected = " ".join((node.name or "leaf").replace("\ud800", "\ufffd").split())
        assert " ".join(page.inner_text("#about h2").split())[:40] == expected[:40]
    page.keyboard.press("End")
    assert page.locator("script").count() == (3 if variant == "draws itself" else 2)
    assert page.locator("#about b, #canvas b, #explanation script").count() == 0


def test_a_failed_run_and_a_collapsed_tower_have_pages(open_page: Opener) -> None:
    page = open_page(failed())
    page.click(".node.failed")
    assert "ShapeError: matmul" in page.inner_text("#about .error")
    model = Tower(5)
    view = viz.draw(model(Tensor([1.0], name="x")).sum(), model=model, depth=1)
    page = open_page(view)
    last = page.evaluate("Number(document.getElementById('steps').max)")
    assert last == len(view.full.events)
    for _ in range(last):
        page.keyboard.press("ArrowRight")
        assert len(ids(page, "#canvas .active.node")) == 1
    page.select_option("#depth", label="everything")
    page.wait_for_function("() => document.querySelectorAll('#canvas .node').length > 15")


def test_a_page_works_inside_a_sandboxed_frame(browser: Any, tmp_path: Path) -> None:
    import html

    outer = tmp_path / "outer.html"
    srcdoc = html.escape(to_html(network(), ENGINE_IN_PAGE))
    # Without a charset the browser guesses one from what it has read so far, rarely wrong; then no hash fits.
    outer.write_text(
        '<!DOCTYPE html><meta charset="utf-8">'
        f'<iframe srcdoc="{srcdoc}" sandbox="allow-scripts" width=900 height=600></iframe>',
        encoding="utf-8",
    )
    page = browser.new_page()
    page.set_default_timeout(300_000)
    faults: list[str] = []
    page.on("pageerror", lambda e: faults.append(str(e)))
    page.goto(outer.as_uri())
    frame = page.frames[1]
    frame.wait_for_selector("body[data-ready='1']", timeout=300_000)
    frame.click("#n3")
    page.keyboard.press("ArrowRight")
    assert frame.inner_text("#count").startswith("1 /") and faults == []
    page.close()


def test_the_policy_allows_the_pages_own_scripts_by_their_hashes_and_nothing_else() -> None:
    page = to_html(network(), ENGINE_IN_PAGE)
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == rules["base-uri"] == rules["form-action"] == "'none'"
    assert "unsafe-inline" not in policy and "unsafe-eval" not in policy.replace("wasm-unsafe-eval", "")
    scripts = re.findall(r"<script>(.*?)</script>", page, re.DOTALL)
    hashes = [base64.b64encode(hashlib.sha256(s.encode()).digest()).decode() for s in scripts]
    assert rules["script-src"].split() == [*(f"'sha256-{h}'" for h in hashes), "'wasm-unsafe-eval'"]
    assert not re.search(r"""(?:src|href)=["']?(?:https?:)?//""", page)


def test_a_page_that_is_drawn_here_needs_no_engine_in_it() -> None:
    if not available():
        pytest.skip("no layout engine is installed")
    page = network().html()
    assert len(page) < 200_000 and "Viz.js" not in page and "wasm" not in page


def test_json_in_a_page_cannot_end_its_element() -> None:
    for name in NASTY:
        text = json_in_html({"name": name})
        assert not re.search("[<>&\u2028\u2029\ud800-\udfff]", text)
        assert json.loads(text)["name"] == name.replace("\ud800", "\ufffd")


def test_vendored_files_are_those_that_third_party_md_names() -> None:
    rows = re.findall(
        r"^\| `(tinygrad_dl/viz/formats/assets/\S+)` .*`([0-9a-f]{64})` \|$",
        (ROOT / "THIRD_PARTY.md").read_text(),
        re.M,
    )
    assert [path for path, _ in rows] == ["tinygrad_dl/viz/formats/assets/viz-global.js"]
    for path, digest in rows:
        assert hashlib.sha256((ROOT / path).read_bytes()).hexdigest() == digest
    own = {"page.html", "page.css", "canvas.js", "fold.js", "panel.js", "player.js", "start.js"}
    assert {path.name for path in ASSETS.iterdir()} == own | {Path(path).name for path, _ in rows}
