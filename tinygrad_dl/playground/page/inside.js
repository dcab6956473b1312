// The answers about what is inside: a unit, a weight, the gradient check, the diagnosis, the rates, the graph.
// @ts-check
import { inputNames } from "./config.js";
import { color, drawLines, drawSurface, short } from "./draw.js";
import { translated } from "./japanese.js";
import { word } from "./words.js";

/**
 * @param {string} tag
 * @param {string} [text]
 * @param {(Node | string)[]} [children]
 */
function make(tag, text, children = []) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  element.append(...children);
  return element;
}

/** @param {[string, number | null][]} pairs */
function numbers(pairs) {
  const list = make("div");
  list.className = "buttons";
  for (const [name, value] of pairs) list.append(make("span", undefined, [make("b", `${name} = `), exact(value)]));
  return list;
}

/** @param {number | null} value */
const exact = (value) => (value === null ? "–" : String(Number(value.toPrecision(6))));

/**
 * @param {string[]} head
 * @param {(string | Node)[][]} rows
 */
function table(head, rows) {
  const body = rows.map((row) => make("tr", undefined, row.map((cell) => make("td", undefined, [cell]))));
  const top = make("tr", undefined, head.map((text) => {
    const cell = make("th", text);
    cell.setAttribute("scope", "col");
    return cell;
  }));
  const scroll = make("div", undefined, [make("table", undefined, [make("thead", undefined, [top]), make("tbody", undefined, body)])]);
  scroll.className = "scroll";
  return scroll;
}

/** @param {any} config @param {number} layer @param {number} index */
export function sourceName(config, layer, index) {
  if (layer > 0) return word("unitName", layer, index + 1);
  return config.data === "digits" ? `x${index + 1}` : inputNames(config)[index];
}

/**
 * @param {HTMLElement} place
 * @param {any} answer
 * @param {any} config of the run that was asked
 * @param {{weight: (layer: number, unit: number, input: number) => void, rate: (rate: number) => void}} act
 */
export function show(place, answer, config, act) {
  const last = config.layers.length;
  if (answer.type === "unit") {
    const name = answer.layer === last ? word("outputName", answer.unit + 1) : word("unitTitle", answer.layer + 1, answer.unit + 1, answer.example);
    const parts = [make("h3", name), numbers([[word("sum"), answer.sum], [word("out"), answer.output], [word("dsum"), answer.sum_gradient], [word("dout"), answer.gradient]])];
    if (answer.bias !== null) parts.push(numbers([[word("bias"), answer.bias], [word("dbias"), answer.bias_gradient]]));
    if (answer.terms)
      parts.push(make("p", word("unitText", answer.inputs)), table([word("source"), word("weight"), word("activation"), word("times")],
        answer.terms.map((/** @type {any} */ term) => {
          const button = make("button", exact(term.weight));
          button.addEventListener("click", () => act.weight(answer.layer, answer.unit, term.input));
          const product = term.weight === null || term.value === null ? null : term.weight * term.value;
          const wide = answer.layer > 0 && config.layers[answer.layer - 1].kind === "conv";
          return [wide ? String(term.input + 1) : sourceName(config, answer.layer, term.input), button, exact(term.value), exact(product)];
        })));
    else parts.splice(1, 0, make("p", word("meanText")));
    place.replaceChildren(...parts);
  } else if (answer.type === "weight") {
    place.replaceChildren(
      make("h3", word("weightTitle", sourceName(config, answer.layer, answer.input), answer.layer + 1, answer.unit + 1)),
      numbers([[word("value"), answer.value], [word("dvalue"), answer.gradient], [word("penalty"), answer.penalty]]),
      make("p", word("weightText", answer.batch)),
      table([word("example"), "∂L/∂z", word("source"), word("product")], answer.terms.map((/** @type {any} */ term) =>
        [String(term.example), exact(term.delta), exact(term.value), exact(term.delta === null || term.value === null ? null : term.delta * term.value)])),
    );
  } else if (answer.type === "check") {
    place.replaceChildren(make("h3", word(answer.passed ? "passed" : "failed")),
      make("p", word("checked", answer.count, answer.error === null ? "–" : answer.error.toExponential(1))), ...(answer.passed ? [] : [make("pre", answer.text)]));
  } else if (answer.type === "diagnosis") {
    const found = answer.findings.map((/** @type {any} */ f) => make("li", undefined, [make("b", translated(f.name)), `: ${translated(f.evidence)}${word("stop")}${translated(f.advice)}`]));
    place.replaceChildren(make("h3", word("diagnosis")), found.length ? make("ul", undefined, found) : make("p", word(answer.epochs < 5 ? "tooEarly" : "healthy")));
  } else if (answer.type === "rates") {
    const canvas = /** @type {HTMLCanvasElement} */ (make("canvas"));
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", word("suggestion", short(answer.suggestion)));
    const use = make("button", word("use"));
    use.className = "live";
    use.addEventListener("click", () => act.rate(Number(answer.suggestion.toPrecision(2))));
    place.replaceChildren(make("h3", word("rates")), canvas, make("p", word("suggestion", short(answer.suggestion))), use);
    const points = answer.rates.flatMap((/** @type {number} */ rate, /** @type {number} */ i) => [rate, answer.losses[i] ?? NaN]);
    drawLines(canvas, [{ points, color: color("run0") }], true);
  } else if (answer.type === "surface") {
    const canvas = /** @type {HTMLCanvasElement} */ (make("canvas")), names = answer.names.map((/** @type {number} */ i) => word("run", "AB"[i])).join(", ");
    const text = word("surfaceText", Math.round(100 * answer.explained), names);
    canvas.className = "surface";
    canvas.setAttribute("role", "img");
    canvas.setAttribute("aria-label", word("surface"));
    place.replaceChildren(make("h3", word("surface")), canvas, make("p", text));
    drawSurface(canvas, answer, answer.names.map((/** @type {number} */ i) => color(`run${i}`)));
  } else if (answer.type === "graph") {
    const frame = document.createElement("iframe");
    frame.src = answer.url;
    frame.title = word("graph");
    frame.setAttribute("sandbox", "allow-scripts");
    const link = /** @type {HTMLAnchorElement} */ (make("a", word("open")));
    link.href = answer.url;
    link.target = "_blank";
    link.rel = "noopener";
    place.replaceChildren(make("h3", word("graph")), make("p", undefined, [link]), frame);
  }
}
