// The page: its state, what is sent to the server, and what is drawn of the answers.
// @ts-check
import { inputNames, kindOf, legend } from "./config.js";
import { Connection } from "./connection.js";
import { color, drawDigit, drawFit, drawHistogram, drawLines, drawPlane, readColors, short } from "./draw.js";
import { dataChanged, edit, START } from "./editor.js";
import { show } from "./inside.js";
import { translated } from "./japanese.js";
import { NetworkView } from "./network.js";
import { readRecording, Recording } from "./recorded.js";
import { currentLanguage, setLanguage, translate, word } from "./words.js";

const byId = (/** @type {string} */ id) => /** @type {any} */ (document.getElementById(id));
const token = new URLSearchParams(location.search).get("token") ?? "";
const NAMES = ["A", "B"];

/** @type {any} */
let start;
/** @type {any[]} */
let runs = [];
let active = 0;
let presetName = "";
let wantsPlay = false; // playing, as soon as the configuration is there
let configured = false; // whether a frame of the present configuration has come
let configuration = 0; // its number: frames that are on the way may be of an older one
let targetStep = 0;
/** @type {import("./connection.js").Frame | null} */
let latest = null;
let drawn = true;
/** @type {{data: Record<string, any>, extent: number[] | null, classes: number}[]} */
let examples = [];
/** @type {any[]} */
let layers = [];
/** @type {{boundary: HTMLCanvasElement, numbers: HTMLElement, layers: HTMLElement, network: NetworkView}[]} */
let views = [];
let example = 0;
/** @type {number | null} */
let sought = null; // the step that the time line was moved to, until its frame comes: those on the way are older
let cross = { x: 0, y: 0 };
/** @type {Set<number>} */
const opened = new Set();
/** @type {Connection | Recording} */
let connection;
const recorded = document.getElementById("recorded"); // a recording inside the page, in the place of the server
/** @type {number | undefined} */
let timer;

// ------------------------------------------------------------------ state, link, configuration

function readLink() {
  if (location.hash.length < 2) return false;
  try {
    const state = JSON.parse(decodeURIComponent(location.hash.slice(1)));
    if (!Array.isArray(state.runs) || !state.runs.length) return false;
    runs = state.runs.slice(0, 2).map((/** @type {any} */ run) => ({ ...start.default, ...run }));
    targetStep = Number.isInteger(state.step) ? state.step : 0;
    return true;
  } catch {
    return false;
  }
}

/** @param {number} step */
function writeLink(step) {
  if (recorded) return;
  history.replaceState(null, "", `${location.pathname}${location.search}#${encodeURIComponent(JSON.stringify({ runs, step }))}`);
}

const currentStep = () => (latest && configured ? latest.header.runs[0].step : targetStep);

/** @param {number} step */
function configure(step = 0) {
  window.clearTimeout(timer);
  configured = false;
  configuration += 1;
  targetStep = step;
  active = Math.min(active, runs.length - 1);
  writeLink(step);
  render();
  control({ type: "configure", runs, step, number: configuration });
}

/** @param {any} config */
function change(config) {
  runs = runs.map((run, i) => (i === active ? config : run));
  configured = false;
  configuration += 1;
  presetName = "";
  byId("preset").value = "";
  render();
  window.clearTimeout(timer);
  timer = window.setTimeout(() => configure(), 120); // a field that is typed into changes often
}

/** @param {string} name */
function usePreset(name) {
  const preset = start.presets.find((/** @type {any} */ p) => p.name === name);
  presetName = preset ? name : "";
  runs = preset ? preset.runs : [start.default];
  active = 0;
  wantsPlay = false;
  byId("answer").replaceChildren();
  byId("text").hidden = true;
  configure();
}

// ------------------------------------------------------------------ the page around the pictures

function render() {
  translate();
  const preset = start.presets.find((/** @type {any} */ p) => p.name === presetName);
  byId("lesson").hidden = !preset;
  if (preset) {
    const texts = preset.texts[currentLanguage()];
    byId("lesson-title").textContent = texts.title;
    byId("lesson-watch").textContent = texts.watch;
    byId("lesson-question").textContent = texts.question;
  }
  byId("preset").replaceChildren(
    new Option(word("custom"), "", false, !preset),
    ...start.presets.map((/** @type {any} */ p) => new Option(p.texts[currentLanguage()].title, p.name, false, p.name === presetName)),
  );
  byId("which").replaceChildren(
    ...runs.map((_, i) => button(word("run", NAMES[i]), () => { active = i; render(); }, i === active)),
    ...(recorded ? [] : [runs.length === 1
      ? button(word("compare"), () => { runs = [runs[0], structuredClone(runs[0])]; active = 1; configure(); })
      : button(word("alone"), () => { runs = [runs[0]]; active = 0; configure(); })]),
  );
  edit(runs[active], start.limits, change, opened);
  if (recorded) {
    for (const fields of document.querySelectorAll("fieldset")) fields.disabled = true;
    byId("step").textContent = word("next");
  }
  showPlaying(wantsPlay);
  makeViews();
  redraw();
}

/**
 * @param {string} text
 * @param {() => void} act
 * @param {boolean} [pressed]
 */
function button(text, act, pressed) {
  const made = document.createElement("button");
  made.textContent = text;
  if (pressed !== undefined) made.setAttribute("aria-pressed", String(pressed));
  made.addEventListener("click", act);
  return made;
}

function makeViews() {
  const shape = JSON.stringify([runs.length, currentLanguage(), runs.map((r) => [r.data, inputNames(r), kindOf(r)])]);
  if (byId("run-views").dataset.shape === shape) return;
  byId("run-views").dataset.shape = shape;
  byId("run-views").className = runs.length > 1 ? "two" : "";
  views = [];
  byId("run-views").replaceChildren(...runs.map((run, i) => {
    const section = document.createElement("section");
    const title = document.createElement("h2");
    title.textContent = word("run", NAMES[i]);
    title.id = `run-${i}`;
    section.setAttribute("aria-labelledby", title.id);
    const seen = document.createElement("div");
    seen.className = "seen";
    const net = document.createElement("div");
    net.className = "net";
    net.setAttribute("role", "group");
    net.setAttribute("aria-label", word("net", NAMES[i]));
    const right = document.createElement("div");
    const boundary = document.createElement("canvas");
    boundary.className = kindOf(run) === "digit" ? "boundary digit" : "boundary";
    boundary.setAttribute("role", "img");
    boundary.setAttribute("aria-label", word({ curve: "fit", digit: "digit", plane: "boundary" }[kindOf(run)], NAMES[i]));
    if (run.data === "points") {
      boundary.tabIndex = 0;
      boundary.addEventListener("click", (event) => addPoint(boundary, event, i));
      boundary.addEventListener("keydown", (event) => moveCross(event, i));
    }
    const numbers = document.createElement("div");
    numbers.className = "numbers";
    const axes = document.createElement("p");
    axes.className = "hint";
    axes.textContent = legend(run, word("othersAtMean"));
    right.append(boundary, axes, numbers);
    if (run.data === "digits" && !recorded) {
      const label = document.createElement("label");
      label.className = "field";
      const input = document.createElement("input");
      input.type = "range";
      input.min = "0";
      input.max = String(run.examples - 1);
      input.value = String(example);
      input.addEventListener("input", () => { example = Number(input.value); connection.send({ type: "example", index: example }); });
      label.append(word("digit"), input);
      right.append(label);
    }
    seen.append(net, right);
    const details = document.createElement("div");
    details.className = "scroll";
    details.tabIndex = 0;
    details.setAttribute("role", "group");
    details.setAttribute("aria-label", word("layers"));
    section.append(title, seen, details);
    const view = new NetworkView(net, (layer, unit) => ask({ type: "unit", run: i, layer, unit }), (layer, unit, input) => ask({ type: "weight", run: i, layer, unit, input }));
    views.push({ boundary, numbers, layers: details, network: view });
    return section;
  }));
}

/** @param {any} message */
function ask(message) {
  byId("answer").textContent = word("working");
  connection.send(message);
}

// ------------------------------------------------------------------ points by hand

/**
 * @param {HTMLCanvasElement} canvas
 * @param {MouseEvent} event
 * @param {number} i
 */
function addPoint(canvas, event, i) {
  const box = canvas.getBoundingClientRect(), extent = extentOf(i);
  cross = {
    x: extent[0] + ((event.clientX - box.left) / box.width) * (extent[1] - extent[0]),
    y: extent[3] - ((event.clientY - box.top) / box.height) * (extent[3] - extent[2]),
  };
  putPoint(i);
}

/** @param {number} i */
const extentOf = (i) => examples[i]?.extent ?? [-1, 1, -1, 1];

/** @param {number} i */
function putPoint(i) {
  active = i;
  const label = Number(/** @type {HTMLInputElement} */ (document.querySelector("input[name=class]:checked")).value);
  const point = [Number(cross.x.toFixed(3)), Number(cross.y.toFixed(3)), label];
  change({ ...runs[i], normalize: false, points: [...runs[i].points, point].slice(-1000) });
}

/**
 * @param {KeyboardEvent} event
 * @param {number} i
 */
function moveCross(event, i) {
  const extent = extentOf(i), dx = (extent[1] - extent[0]) / 20, dy = (extent[3] - extent[2]) / 20;
  const moves = /** @type {Record<string, [number, number]>} */ ({ ArrowLeft: [-dx, 0], ArrowRight: [dx, 0], ArrowUp: [0, dy], ArrowDown: [0, -dy] });
  if (event.key in moves) {
    const [x, y] = moves[event.key];
    cross = { x: Math.min(extent[1], Math.max(extent[0], cross.x + x)), y: Math.min(extent[3], Math.max(extent[2], cross.y + y)) };
    redraw();
  } else if (event.key === "Enter") putPoint(i);
  else return;
  event.preventDefault();
}

// ------------------------------------------------------------------ a file

let content = ""; // of the file that was read last, in base64

/**
 * Have a file read on this machine's server; its columns come back as numbers.
 * @param {Uint8Array} bytes
 */
function readFile(bytes) {
  if (bytes.length > 140_000) {
    notice(word("csvLarge", Math.round(bytes.length / 1000)));
    return;
  }
  content = btoa(Array.from(bytes, (byte) => String.fromCharCode(byte)).join(""));
  connection.send({ type: "csv", content, target: "" });
}

/** @param {any} answer */
function useTable(answer) {
  byId("csv-target").replaceChildren(...answer.names.map((/** @type {string} */ name) => new Option(name, name, false, name === answer.target)));
  byId("csv-target").disabled = false;
  byId("csv-columns").replaceChildren(...Object.entries(answer.decisions).map(([name, text]) => {
    const item = document.createElement("li");
    item.textContent = `${name}: ${translated(String(text))}`;
    return item;
  }));
  change({ ...dataChanged(runs[active], "csv"), table: answer.table });
}

// ------------------------------------------------------------------ frames

function redraw() {
  if (!latest || !configured || latest.header.runs.length !== runs.length) return;
  const { header, arrays } = latest;
  header.runs.forEach((/** @type {any} */ run, /** @type {number} */ i) => {
    const get = (/** @type {string} */ name) => arrays[`${i}/${name}`];
    const view = views[i], seen = examples[i];
    view.network.draw(runs[i], get);
    const kind = kindOf(runs[i]);
    if (kind === "digit") drawDigit(view.boundary, seen.data.x.subarray(64 * (example % seen.data.y.length), 64 * (example % seen.data.y.length) + 64));
    else if (kind === "curve") drawFit(view.boundary, /** @type {Float32Array} */ (get("curve").data), /** @type {any} */ (seen.data), extentOf(i));
    else drawPlane(view.boundary, /** @type {any} */ (get("boundary")), /** @type {any} */ (seen.data), extentOf(i),
      runs[i].data === "points" && document.activeElement === view.boundary ? cross : null);
    writeNumbers(view.numbers, run);
    writeLayers(view.layers, layers[i] ?? [], i);
  });
  drawCurves();
  const first = header.runs[0];
  const timeline = byId("timeline");
  timeline.max = String(Math.min(...header.runs.map((/** @type {any} */ r) => r.last)));
  if (sought === first.step) sought = null;
  if (sought === null) timeline.value = String(first.step);
  timeline.setAttribute("aria-valuetext", word("position", first.step, first.epoch));
  byId("position").textContent = word("position", first.step, first.epoch);
  document.body.dataset.step = String(first.step);
  if (header.runs.some((/** @type {any} */ r) => r.diverged)) notice(word("diverged"));
}

/**
 * @param {HTMLElement} place
 * @param {any} run
 */
function writeNumbers(place, run) {
  const rows = [["", word("train"), word("dev")], [word("loss"), short(run.train_loss), short(run.dev_loss)]];
  if (run.train_accuracy !== null) rows.push([word("accuracy"), percent(run.train_accuracy), percent(run.dev_accuracy)]);
  rows.push([word("rate"), short(run.rate), ""]);
  const cells = rows.flat();
  if (place.children.length !== cells.length)
    place.replaceChildren(...cells.map((_, k) => document.createElement(k < 3 || k % 3 === 0 ? "b" : "span")));
  cells.forEach((text, k) => { place.children[k].textContent = text; });
}

const percent = (/** @type {number} */ share) => `${(100 * share).toFixed(1)} %`;

/**
 * @param {HTMLElement} place
 * @param {any[]} rows
 * @param {number} run
 */
function writeLayers(place, rows, run) {
  const shape = `${rows.length} ${currentLanguage()}`;
  if (place.dataset.shape !== shape) {
    place.dataset.shape = shape;
    const table = document.createElement("table");
    const head = table.createTHead().insertRow();
    for (const key of ["layer", "activations", "gradients", "norm", "ratio", "dead"]) {
      const cell = document.createElement("th");
      cell.scope = "col";
      cell.textContent = word(`t.${key}`);
      head.append(cell);
    }
    const body = table.createTBody();
    rows.forEach((_, k) => {
      const row = body.insertRow();
      row.insertCell().textContent = k === rows.length - 1 ? word("output") : String(k + 1);
      for (let c = 0; c < 2; c++) {
        const canvas = document.createElement("canvas");
        canvas.setAttribute("role", "img");
        row.insertCell().append(canvas);
      }
      for (let c = 0; c < 3; c++) row.insertCell();
    });
    place.replaceChildren(table);
  }
  const body = /** @type {HTMLTableElement | null} */ (place.querySelector("table"))?.tBodies[0];
  rows.forEach((row, k) => {
    const cells = /** @type {HTMLTableRowElement} */ (body?.rows[k]).cells;
    for (const [c, name] of [[1, "activations"], [2, "gradients"]]) {
      const canvas = /** @type {HTMLCanvasElement} */ (cells[Number(c)].querySelector("canvas"));
      const range = `${short(row[name].low)} … ${short(row[name].high)}`;
      canvas.setAttribute("aria-label", range);
      canvas.title = range;
      drawHistogram(canvas, row[name]);
    }
    cells[3].textContent = short(row.norm);
    cells[4].textContent = short(row.ratio);
    cells[5].textContent = runs[run].layers[k]?.activation === "relu" ? `${row.dead} / ${row.units}` : "–";
  });
}

function drawCurves() {
  if (!latest) return;
  /** @type {Parameters<typeof drawLines>[1]} */
  const lines = [];
  /** @type {string[]} */
  const said = [];
  latest.header.runs.forEach((/** @type {any} */ run, /** @type {number} */ i) => {
    const epochs = latest?.arrays[`${i}/curve_epochs`].data ?? [], batches = latest?.arrays[`${i}/curve_batches`].data ?? [];
    const train = [], dev = [], ink = color(`run${i}`);
    for (let k = 0; k < epochs.length; k += 3) {
      train.push(epochs[k], epochs[k + 1]);
      dev.push(epochs[k], epochs[k + 2]);
    }
    lines.unshift({ points: /** @type {any} */ (batches), color: ink, width: 1, alpha: 0.3 });
    lines.push({ points: train, color: ink }, { points: dev, color: ink, dash: [6, 4] });
    said.push(`${word("run", NAMES[i])}: ${word("train")} ${short(run.train_loss)}, ${word("dev")} ${short(run.dev_loss)}`);
  });
  drawLines(byId("curve"), lines);
  byId("curve").setAttribute("aria-label", word("chart", currentStep(), said.join("; ")));
}

/** @param {import("./connection.js").Frame} frame */
function receive(frame) {
  const { header, arrays } = frame;
  if (header.number !== configuration) { // the server waits for an answer all the same
    connection.send({ type: "seen" });
    return;
  }
  if (header.fresh) {
    configured = true;
    examples = header.runs.map((/** @type {any} */ run, /** @type {number} */ i) => ({
      data: Object.fromEntries(["x", "y", "trained"].map((name) => [name, arrays[`${i}/examples_${name}`].data])),
      extent: run.extent,
      classes: run.classes,
    }));
    byId("notice").hidden = true;
    if (wantsPlay && !header.replaying) play();
  }
  latest = frame;
  header.runs.forEach((/** @type {any} */ run, /** @type {number} */ i) => { if (run.layers) layers[i] = run.layers; });
  layers.length = header.runs.length;
  if (header.ended) showPlaying(false);
  if (!drawn) return;
  drawn = false;
  // One frame at a time: the next one is asked for when this one is on the screen.
  requestAnimationFrame(() => {
    drawn = true;
    redraw();
    document.body.dataset.frames = String(Number(document.body.dataset.frames ?? 0) + 1);
    if (!header.playing && !header.replaying && configured) writeLink(currentStep());
    connection.send({ type: "seen" });
  });
}

/** @param {any} answer */
function answered(answer) {
  if (answer.type === "error") {
    sought = null;
    notice(answer.code ? word(answer.code) : translated(answer.message));
    if (byId("answer").textContent === word("working")) byId("answer").replaceChildren();
  } else if (answer.type === "export") {
    save(answer);
  } else if (answer.type === "csv") {
    useTable(answer);
  } else {
    const epochs = latest?.header.runs[answer.run]?.epoch ?? 0;
    show(byId("answer"), { ...answer, epochs }, runs[answer.run], {
      weight: (layer, unit, input) => ask({ type: "weight", run: answer.run, layer, unit, input }),
      rate: (rate) => { active = answer.run; change({ ...runs[active], rate }); },
    });
  }
}

/** @param {any} file */
function save(file) {
  const content = file.base64 ? Uint8Array.from(atob(file.base64), (c) => c.charCodeAt(0)) : file.text;
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([content], { type: file.media }));
  link.download = file.name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
  byId("text").hidden = !file.text || file.format === "notebook";
  byId("text").textContent = file.text ?? "";
}

/** @param {string} text */
function notice(text) {
  byId("notice").textContent = text;
  byId("notice").hidden = !text;
}

// ------------------------------------------------------------------ controls

/** @param {{type: string, step?: number, [name: string]: any}} message what moves the training */
function control(message) {
  // A recording answers with the nearest frame it has
  sought = message.type === "seek" && !recorded ? message.step ?? null : null;
  connection.send(message);
}

function play() {
  control({ type: "play", speed: Number(byId("speed").value) });
  showPlaying(true);
}

function pause() {
  control({ type: "pause" });
  showPlaying(false);
}

/** @param {boolean} playing */
function showPlaying(playing) {
  wantsPlay = playing;
  byId("play").textContent = word(playing ? "pause" : "play");
  byId("play").setAttribute("aria-pressed", String(playing));
}

function listen() {
  byId("play").addEventListener("click", () => (wantsPlay ? pause() : play()));
  byId("step").addEventListener("click", () => { pause(); control({ type: "advance", steps: 1 }); });
  byId("epoch").addEventListener("click", () => { pause(); control({ type: "epoch" }); });
  byId("restart").addEventListener("click", () => configure());
  byId("speed").addEventListener("change", () => { if (wantsPlay) play(); });
  byId("timeline").addEventListener("input", () => { pause(); control({ type: "seek", step: Number(byId("timeline").value) }); });
  byId("preset").addEventListener("change", () => usePreset(byId("preset").value));
  byId("language").addEventListener("change", () => {
    setLanguage(byId("language").value);
    remember(byId("language").value);
    byId("answer").replaceChildren();
    render();
  });
  const add = (/** @type {any} */ layer, /** @type {boolean} */ first) => {
    const before = first ? runs[active].layers.filter((/** @type {any} */ l) => l.kind === "conv").length : runs[active].layers.length;
    change({ ...runs[active], layers: runs[active].layers.toSpliced(before, 0, layer) });
  };
  const plain = { kind: "dense", units: 4, activation: "tanh", batch_norm: false, dropout: 0, l1: 0, l2: 0 };
  byId("add-layer").addEventListener("click", () => add({ ...plain, activation: runs[active].layers.at(-1)?.activation ?? "tanh" }, false));
  byId("add-conv").addEventListener("click", () => add({ ...plain, kind: "conv", activation: "relu" }, true));
  byId("csv-file").addEventListener("change", async () => {
    const file = byId("csv-file").files[0];
    if (file) readFile(new Uint8Array(await file.slice(0, 200_000).arrayBuffer()));
  });
  byId("csv-use").addEventListener("click", () => readFile(new TextEncoder().encode(byId("csv-text").value)));
  byId("csv-target").addEventListener("change", () => connection.send({ type: "csv", content, target: byId("csv-target").value }));
  byId("clear").addEventListener("click", () => change({ ...runs[active], points: START }));
  for (const element of document.querySelectorAll("[data-ask]"))
    element.addEventListener("click", () => ask({ type: /** @type {HTMLElement} */ (element).dataset.ask, run: active }));
  for (const element of document.querySelectorAll("[data-export]"))
    element.addEventListener("click", () => connection.send({ type: "export", run: active, format: /** @type {HTMLElement} */ (element).dataset.export }));
  byId("link").addEventListener("click", async () => {
    writeLink(currentStep());
    try {
      await navigator.clipboard.writeText(location.href);
      notice(word("copied"));
    } catch {
      notice(`${word("copyThis")} ${location.href}`);
    }
  });
  document.addEventListener("keydown", (event) => {
    const typing = event.target instanceof Element && event.target.closest("input, select, button, summary, canvas, pre");
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === " ") { event.preventDefault(); if (wantsPlay) pause(); else play(); }
    else if (event.key === "s") byId("step").click();
    else if (event.key === "e") byId("epoch").click();
    else if (event.key === "r") byId("restart").click();
  });
  window.addEventListener("hashchange", () => { if (readLink()) { presetName = ""; configure(targetStep); } });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => { readColors(); redraw(); });
  new ResizeObserver(() => redraw()).observe(byId("views"));
}

/** @param {string} language */
function remember(language) {
  try {
    localStorage.setItem("tinygrad_dl.language", language);
  } catch { /* a browser that keeps nothing */ }
}

function chosenLanguage() {
  if (recorded && location.hash.length > 1) return location.hash.slice(1); // the language of the page around it
  try {
    const kept = localStorage.getItem("tinygrad_dl.language");
    if (kept) return kept;
  } catch { /* a browser that keeps nothing */ }
  return navigator.language.startsWith("ja") ? "ja" : "en";
}

async function main() {
  setLanguage(chosenLanguage());
  byId("language").value = currentLanguage();
  readColors();
  if (recorded) {
    await replay(recorded.textContent ?? "");
    return;
  }
  start = await (await fetch(`/start.json?token=${encodeURIComponent(token)}`)).json();
  if (!readLink()) runs = [start.default];
  listen();
  render();
  connection = new Connection(token, {
    open: () => { notice(""); configure(currentStep()); },
    frame: receive,
    answer: answered,
    lost: () => notice(word("lost")),
  });
}

/**
 * Show a recording, which has one experiment.
 * @param {string} text
 */
async function replay(text) {
  const recording = await readRecording(text);
  start = recording.start;
  presetName = start.presets[0].name;
  runs = start.presets[0].runs;
  connection = new Recording(recording, { frame: receive, answer: answered });
  listen();
  configure();
}

main();
