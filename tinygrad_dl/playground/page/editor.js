// The settings of a run as fields: every change gives a new configuration.
// @ts-check
import { word } from "./words.js";

const DATA = ["circles", "moons", "spirals", "flower", "blobs", "xor", "regression", "digits", "points", "csv"];
const ACTIVATIONS = ["relu", "tanh", "sigmoid", "leaky_relu", "linear"];
const INITIALIZATIONS = ["zeros", "large", "xavier", "he"];
const OPTIMIZERS = ["sgd", "momentum", "adagrad", "rmsprop", "adam"];

/**
 * @param {string} name
 * @param {string | number | boolean} value
 * @param {{options?: string[], min?: number, max?: number, step?: number | "any", key?: string}} kind
 * @param {(value: any) => void} change
 */
function field(name, value, kind, change) {
  const label = document.createElement("label");
  label.className = typeof value === "boolean" ? "field check" : "field";
  const text = document.createElement("span");
  text.textContent = word(`f.${kind.key ?? name}`);
  if (kind.options) {
    const select = document.createElement("select");
    select.name = name;
    for (const option of kind.options) select.add(new Option(word(option), option, false, option === value));
    select.addEventListener("change", () => change(select.value));
    label.append(text, select);
    return label;
  }
  const input = document.createElement("input");
  input.name = name;
  if (typeof value === "boolean") {
    input.type = "checkbox";
    input.checked = value;
    input.addEventListener("change", () => change(input.checked));
    label.append(input, text);
    return label;
  }
  input.type = "number";
  input.value = String(value);
  input.required = true;
  if (kind.min !== undefined) input.min = String(kind.min);
  if (kind.max !== undefined) input.max = String(kind.max);
  input.step = String(kind.step ?? 1);
  input.addEventListener("change", () => {
    if (input.reportValidity()) change(Number(input.value));
  });
  label.append(text, input);
  return label;
}

/** What the fields change: they stay while they are used, so they do not hold a configuration of their own. */
let now = { config: /** @type {any} */ (null), change: /** @type {(config: any) => void} */ (() => {}) };
let structure = "";

/** Show the values of the present configuration in the fields that are there; what is typed into is left alone. */
function refresh() {
  for (const input of /** @type {NodeListOf<HTMLInputElement>} */ (document.querySelectorAll("#settings .fields [name]"))) {
    const layer = /** @type {HTMLElement | null} */ (input.closest("details.layer"));
    const value = (layer ? now.config.layers[Number(layer.dataset.layer)] : now.config)[input.name];
    if (input.type === "checkbox") input.checked = value;
    else if (input !== document.activeElement) input.value = String(value);
  }
  for (const details of /** @type {NodeListOf<HTMLElement>} */ (document.querySelectorAll("details.layer"))) {
    const i = Number(details.dataset.layer);
    /** @type {HTMLElement} */ (details.querySelector("summary")).textContent = heading(now.config.layers[i], i);
  }
}

/** @param {any} layer @param {number} i */
const heading = (layer, i) => word(layer.kind === "conv" ? "conv" : "layer", i + 1, layer.units, word(layer.activation));

/**
 * Fill the settings with the fields of a configuration.
 * @param {any} config
 * @param {{layers: number, units: number}} limits
 * @param {(config: any) => void} change called with the changed configuration
 * @param {Set<number>} opened the layers whose details are open
 */
export function edit(config, limits, change, opened) {
  now = { config, change };
  const shape = JSON.stringify([document.documentElement.lang, config.data, config.layers.map((/** @type {any} */ l) => l.kind)]);
  if (shape === structure) {
    refresh();
    return;
  }
  structure = shape;
  const set = (/** @type {string} */ name) => (/** @type {any} */ value) => now.change({ ...now.config, [name]: value });
  const byId = (/** @type {string} */ id) => /** @type {HTMLElement} */ (document.getElementById(id));
  const focused = document.activeElement instanceof HTMLElement ? document.activeElement.closest("[name]") : null;
  const path = focused && focused.closest("[data-layer]")?.getAttribute("data-layer");
  const drawn = config.data === "points";
  byId("data-fields").replaceChildren(
    field("data", config.data, { options: DATA }, (value) => {
      byId("csv").hidden = value !== "csv";
      if (value !== "csv" || now.config.table.rows.length) now.change(dataChanged(now.config, value));
    }),
    ...(drawn || config.data === "csv" ? [] : [field("examples", config.examples, { min: 12, max: 1000 }, set("examples")),
      field("noise", config.noise, { min: 0, max: 1, step: 0.05 }, set("noise"))]),
    field("train", config.train, { min: 0.1, max: 0.9, step: 0.1 }, set("train")),
    field("seed", config.seed, { min: 0, max: 2 ** 31 - 1 }, set("seed")),
    field("normalize", config.normalize, {}, set("normalize")),
  );
  byId("network-fields").replaceChildren(
    field("initialization", config.initialization, { options: INITIALIZATIONS }, set("initialization")),
  );
  byId("training-fields").replaceChildren(
    field("optimizer", config.optimizer, { options: OPTIMIZERS }, set("optimizer")),
    field("rate", config.rate, { min: 1e-6, max: 10, step: "any" }, set("rate")),
    field("decay", config.decay, { min: 0, max: 10, step: "any" }, set("decay")),
    field("batch_size", config.batch_size, { min: 1, max: 1000 }, set("batch_size")),
    field("output_l1", config.output_l1, { min: 0, max: 1, step: "any" }, set("output_l1")),
    field("output_l2", config.output_l2, { min: 0, max: 1, step: "any" }, set("output_l2")),
  );
  byId("layer-fields").replaceChildren(...config.layers.map((/** @type {any} */ layer, /** @type {number} */ i) => {
    const put = (/** @type {string} */ name) => (/** @type {any} */ value) =>
      now.change({ ...now.config, layers: now.config.layers.map((/** @type {any} */ l, /** @type {number} */ k) => (k === i ? { ...l, [name]: value } : l)) });
    const details = document.createElement("details");
    details.className = "layer";
    details.dataset.layer = String(i);
    details.open = opened.has(i);
    details.addEventListener("toggle", () => (details.open ? opened.add(i) : opened.delete(i)));
    const summary = document.createElement("summary");
    summary.textContent = heading(layer, i);
    const fields = document.createElement("div");
    fields.className = "fields";
    const remove = document.createElement("button");
    remove.textContent = word("remove", i + 1);
    remove.addEventListener("click", () =>
      now.change({ ...now.config, layers: now.config.layers.filter((/** @type {any} */ _, /** @type {number} */ k) => k !== i) }));
    fields.append(
      field("units", layer.units, { min: 1, max: limits.units, key: layer.kind === "conv" ? "filters" : "units" }, put("units")),
      field("activation", layer.activation, { options: ACTIVATIONS }, put("activation")),
      field("dropout", layer.dropout, { min: 0, max: 0.9, step: "any" }, put("dropout")),
      field("batch_norm", layer.batch_norm, {}, put("batch_norm")),
      field("l1", layer.l1, { min: 0, max: 1, step: "any" }, put("l1")),
      field("l2", layer.l2, { min: 0, max: 1, step: "any" }, put("l2")),
      remove,
    );
    details.append(summary, fields);
    return details;
  }));
  byId("csv").hidden = config.data !== "csv";
  byId("drawing").hidden = byId("drawing-hint").hidden = !drawn;
  const convolutions = config.layers.filter((/** @type {any} */ l) => l.kind === "conv").length;
  byId("add-conv").hidden = config.data !== "digits" || convolutions > 1;
  byId("add-layer").toggleAttribute("disabled", config.layers.length >= limits.layers);
  byId("add-conv").toggleAttribute("disabled", config.layers.length >= limits.layers);
  // The fields are made again: the one that was used keeps the focus.
  if (focused) {
    const scope = path ? `[data-layer="${path}"] ` : ":not([data-layer]) > .fields > .field > ";
    const again = document.querySelector(`#settings ${scope}[name="${focused.getAttribute("name")}"]`);
    if (again instanceof HTMLElement) again.focus();
  }
}

/**
 * Another data set: convolutions need images, and drawing needs points to begin with.
 * @param {any} config
 * @param {string} data
 */
export function dataChanged(config, data) {
  const layers = data === "digits" ? config.layers : config.layers.filter((/** @type {any} */ l) => l.kind !== "conv");
  const points = data === "points" && config.points.length < 4 ? START : config.points;
  return { ...config, data, layers, points, normalize: data === "points" ? false : data === "csv" ? true : config.normalize };
}

export const START = [[-0.6, 0.6, 0], [0.6, -0.6, 0], [0.6, 0.6, 1], [-0.6, -0.6, 1]];
