// The network of a run: a button with a small picture for each unit, and the weights as edges between them.
// @ts-check
import { inputNames } from "./config.js";
import { color, paintUnit, prepare } from "./draw.js";
import { word } from "./words.js";

/** @typedef {{units: HTMLButtonElement[], x: number, size: number, ys: number[]}} Column */

export class NetworkView {
  /**
   * @param {HTMLElement} element
   * @param {(layer: number, unit: number) => void} onUnit
   * @param {(layer: number, unit: number, input: number) => void} onWeight
   */
  constructor(element, onUnit, onWeight) {
    this.element = element;
    this.inner = document.createElement("div");
    this.edges = document.createElement("canvas");
    this.edges.className = "edges";
    element.replaceChildren(this.inner);
    this.onUnit = onUnit;
    this.onWeight = onWeight;
    /** @type {Column[]} */
    this.columns = [];
    this.shape = "";
    /** @type {{layer: number, unit: number, input: number, line: number[]}[]} */
    this.lines = [];
    this.edges.addEventListener("click", (event) => this.click(event));
  }

  /**
   * Lay the buttons out if the network has another shape than before.
   * @param {any} config
   * @param {number[]} counts units of each layer, the output layer last
   */
  layout(config, counts) {
    const names = inputNames(config), inputs = names.length;
    const shape = JSON.stringify([names, counts, document.documentElement.lang, this.element.clientWidth]);
    if (shape === this.shape) return;
    this.shape = shape;
    const all = [inputs, ...counts], widest = all.length > 6 ? 26 : 40;
    const sizeOf = (/** @type {number} */ n) => Math.min(n <= 6 ? 40 : n <= 10 ? 30 : n <= 16 ? 22 : 13, widest);
    const margin = Math.max(...all.map(sizeOf));
    const height = Math.max(150, ...all.map((n) => n * (sizeOf(n) + (n > 16 ? 2 : 6)) + 30));
    const width = Math.max(this.element.clientWidth - 4, all.length * (margin + 20));
    this.inner.style.width = `${width}px`;
    this.inner.style.height = `${height}px`;
    this.edges.style.width = `${width}px`;
    this.edges.style.height = `${height}px`;
    this.inner.replaceChildren(this.edges);
    this.columns = all.map((count, c) => {
      const size = sizeOf(count), x = (margin + 14) / 2 + ((width - margin - 14) * c) / (all.length - 1);
      const gap = (height - 22) / count;
      const ys = Array.from({ length: count }, (_, i) => 20 + gap * (i + 0.5));
      const label = document.createElement("span");
      label.className = "label";
      label.textContent = c === 0 ? word("input") : c === all.length - 1 ? word("output") : String(c);
      label.style.cssText = `left:${Math.max(0, x - 24)}px;width:48px;top:0`;
      this.inner.append(label);
      const units = ys.map((y, i) => {
        const button = document.createElement("button");
        button.className = "unit";
        button.style.cssText = `left:${x - size / 2}px;top:${y - size / 2}px;width:${size}px;height:${size}px`;
        button.append(document.createElement("canvas"));
        const name = c === 0 ? names[i] : c === all.length - 1 ? word("outputName", i + 1) : word("unitName", c, i + 1);
        button.setAttribute("aria-label", name);
        button.title = name;
        if (c === 0) {
          button.disabled = true;
          button.textContent = name;
        } else {
          button.dataset.layer = String(c - 1);
          button.dataset.unit = String(i);
          button.addEventListener("click", () => this.onUnit(c - 1, i));
          if (c === all.length - 1) {
            const tag = document.createElement("span");
            tag.textContent = all[c] > 2 ? String(i) : "ŷ";
            button.append(tag);
          }
        }
        this.inner.append(button);
        return button;
      });
      return { units, x, size, ys };
    });
  }

  /**
   * @param {any} config
   * @param {(name: string) => {data: any, shape: number[]} | undefined} get an array of this run's frame
   */
  draw(config, get) {
    const counts = [];
    for (let i = 0; ; i++) {
      const weights = get(`weights${i}`);
      if (!weights) break;
      counts.push(weights.shape[0]);
    }
    this.layout(config, counts);
    for (let i = 0; i < counts.length; i++) {
      const units = get(`units${i}`);
      if (!units) continue;
      const [count, height, width] = units.shape;
      for (let u = 0; u < count; u++) {
        const canvas = this.columns[i + 1].units[u].querySelector("canvas");
        if (!canvas) continue;
        canvas.classList.add("seen");
        paintUnit(canvas, units.data.subarray(u * height * width, (u + 1) * height * width), width, height);
      }
    }
    this.drawEdges(counts, get);
  }

  /**
   * @param {number[]} counts
   * @param {(name: string) => {data: any, shape: number[]} | undefined} get
   */
  drawEdges(counts, get) {
    const { context } = prepare(this.edges);
    this.lines = [];
    counts.forEach((count, layer) => {
      const weights = get(`weights${layer}`);
      if (!weights) return;
      const from = this.columns[layer], to = this.columns[layer + 1], sources = from.ys.length;
      const inputs = weights.shape[1], group = inputs / sources;
      if (!Number.isInteger(group)) return;
      let largest = 1e-9;
      for (const w of weights.data) if (Number.isFinite(w)) largest = Math.max(largest, Math.abs(w));
      for (let u = 0; u < count; u++)
        for (let s = 0; s < sources; s++) {
          let w = 0;  // of several weights, such as those of a feature map, their sum
          for (let k = 0; k < group; k++) w += weights.data[u * inputs + s * group + k] / group;
          const t = Math.min(1, Math.abs(w) / largest);
          const line = [from.x + from.size / 2, from.ys[s], to.x - to.size / 2, to.ys[u]];
          this.lines.push({ layer, unit: u, input: group === 1 ? s : -1, line });
          context.strokeStyle = w < 0 ? color("low") : color("high");
          context.globalAlpha = 0.15 + 0.75 * t;
          context.lineWidth = 0.4 + 3.2 * t;
          context.beginPath();
          context.moveTo(line[0], line[1]);
          context.lineTo(line[2], line[3]);
          context.stroke();
        }
    });
    context.globalAlpha = 1;
  }

  /** @param {MouseEvent} event */
  click(event) {
    const box = this.edges.getBoundingClientRect();
    const x = event.clientX - box.left, y = event.clientY - box.top;
    let best = 7, found = null;
    for (const candidate of this.lines) {
      const [x0, y0, x1, y1] = candidate.line;
      const t = Math.max(0, Math.min(1, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / ((x1 - x0) ** 2 + (y1 - y0) ** 2)));
      const distance = Math.hypot(x - x0 - t * (x1 - x0), y - y0 - t * (y1 - y0));
      if (distance < best) {
        best = distance;
        found = candidate;
      }
    }
    if (found && found.input >= 0) this.onWeight(found.layer, found.unit, found.input);
  }
}
