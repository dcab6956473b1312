// Pictures: the plane with its boundary and examples, curves, histograms, and the small pictures of units.
// @ts-check

/** @type {Record<string, [number, number, number]>} */
let palette = {};
let named = /** @type {Record<string, string>} */ ({});

/** Read the colors of the page's scheme. */
export function readColors() {
  const style = getComputedStyle(document.documentElement);
  palette = {};
  named = {};
  for (const name of [...CLASSES, "zero", "text", "faint", "line", "panel", "run0", "run1"]) {
    named[name] = style.getPropertyValue(`--${name}`).trim();
    const value = parseInt(named[name].slice(1), 16);
    palette[name] = [value >> 16, (value >> 8) & 255, value & 255];
  }
}

const CLASSES = ["low", "high", "third", "fourth", "fifth", "sixth"];
const classColor = (/** @type {number} */ i) => palette[CLASSES[i % CLASSES.length]];
export const color = (/** @type {string} */ name) => named[name];

/**
 * A canvas's context with one unit a CSS pixel, cleared.
 * @param {HTMLCanvasElement} canvas
 */
export function prepare(canvas) {
  const scale = window.devicePixelRatio || 1;
  const width = canvas.clientWidth, height = canvas.clientHeight;
  if (canvas.width !== Math.round(width * scale) || canvas.height !== Math.round(height * scale)) {
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  context.setTransform(scale, 0, 0, scale, 0, 0);
  context.clearRect(0, 0, width, height);
  return { context, width, height };
}

/**
 * Paint bytes around 128 from the low color over zero's to the high color.
 * @param {HTMLCanvasElement} canvas
 * @param {Uint8Array} bytes
 * @param {number} width
 * @param {number} height
 */
export function paintUnit(canvas, bytes, width, height) {
  if (canvas.width !== width || canvas.height !== height) {
    canvas.width = width;
    canvas.height = height;
  }
  const context = /** @type {CanvasRenderingContext2D} */ (canvas.getContext("2d"));
  const image = context.createImageData(width, height);
  for (let i = 0; i < bytes.length; i++) {
    const t = (bytes[i] - 128) / 127;
    mix(image.data, 4 * i, palette.zero, t < 0 ? palette.low : palette.high, Math.min(1, Math.abs(t)));
  }
  context.putImageData(image, 0, 0);
}

/**
 * @param {Uint8ClampedArray} data
 * @param {number} at
 * @param {number[]} from
 * @param {number[]} to
 * @param {number} t
 */
function mix(data, at, from, to, t) {
  for (let k = 0; k < 3; k++) data[at + k] = from[k] + (to[k] - from[k]) * t;
  data[at + 3] = 255;
}

const plane = document.createElement("canvas");

/**
 * The decision boundary with the examples on it. Examples trained on are filled, the others are hollow.
 * @param {HTMLCanvasElement} canvas
 * @param {{data: Uint8Array, shape: number[]} | null} boundary
 * @param {{x: Float32Array, y: Float32Array, trained: Uint8Array}} examples
 * @param {number[]} extent
 * @param {{x: number, y: number} | null} cross
 */
export function drawPlane(canvas, boundary, examples, extent, cross) {
  const { context, width, height } = prepare(canvas);
  if (boundary) {
    const [rows, columns, classes] = boundary.shape;
    plane.width = columns;
    plane.height = rows;
    const painter = /** @type {CanvasRenderingContext2D} */ (plane.getContext("2d"));
    const image = painter.createImageData(columns, rows);
    for (let i = 0; i < rows * columns; i++) {
      if (classes === 1) {
        const t = (boundary.data[i] - 127.5) / 127.5;
        mix(image.data, 4 * i, palette.zero, t < 0 ? palette.low : palette.high, 0.75 * Math.abs(t));
      } else {
        const blend = [0, 0, 0];
        for (let c = 0; c < classes; c++)
          for (let k = 0; k < 3; k++) blend[k] += (classColor(c)[k] * boundary.data[classes * i + c]) / 255;
        mix(image.data, 4 * i, palette.zero, blend, 0.7);
      }
    }
    painter.putImageData(image, 0, 0);
    context.imageSmoothingEnabled = true;
    context.drawImage(plane, 0, 0, width, height);
  }
  const [left, right, bottom, top] = extent;
  const radius = width < 260 ? 2.6 : 3.4;
  for (let i = 0; i < examples.y.length; i++) {
    const px = ((examples.x[2 * i] - left) / (right - left)) * width;
    const py = ((top - examples.x[2 * i + 1]) / (top - bottom)) * height;
    mark(context, px, py, radius, examples.y[i], Boolean(examples.trained[i]));
  }
  if (cross) {
    const px = ((cross.x - left) / (right - left)) * width, py = ((top - cross.y) / (top - bottom)) * height;
    context.strokeStyle = named.text;
    context.beginPath();
    context.moveTo(px - 7, py); context.lineTo(px + 7, py); context.moveTo(px, py - 7); context.lineTo(px, py + 7);
    context.stroke();
  }
}

/**
 * A circle, square, triangle or diamond by class, so that color is not all that tells.
 * @param {CanvasRenderingContext2D} context
 * @param {number} x
 * @param {number} y
 * @param {number} r
 * @param {number} label
 * @param {boolean} filled
 */
function mark(context, x, y, r, label, filled) {
  context.beginPath();
  const shape = label % 4;
  if (shape === 0) context.arc(x, y, r, 0, 7);
  else if (shape === 3) {
    context.moveTo(x, y - r * 1.3); context.lineTo(x + r * 1.3, y); context.lineTo(x, y + r * 1.3); context.lineTo(x - r * 1.3, y); context.closePath();
  } else if (shape === 1) context.rect(x - r * 0.9, y - r * 0.9, 1.8 * r, 1.8 * r);
  else { context.moveTo(x, y - r * 1.2); context.lineTo(x + r * 1.1, y + r * 0.8); context.lineTo(x - r * 1.1, y + r * 0.8); context.closePath(); }
  const ink = `rgb(${classColor(label).join(",")})`;
  context.fillStyle = filled ? ink : named.panel;
  context.strokeStyle = filled ? named.panel : ink;
  context.lineWidth = filled ? 1 : 1.6;
  context.fill();
  context.stroke();
}

/**
 * The fitted curve of a regression over its examples.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} curve
 * @param {{x: Float32Array, y: Float32Array, trained: Uint8Array}} examples
 * @param {number[]} extent
 */
export function drawFit(canvas, curve, examples, extent) {
  const { context, width, height } = prepare(canvas);
  const [left, right, bottom, top] = extent;
  const at = (/** @type {number} */ x, /** @type {number} */ y) =>
    /** @type {[number, number]} */ ([((x - left) / (right - left)) * width, ((top - y) / (top - bottom)) * height]);
  for (let i = 0; i < examples.y.length; i++) mark(context, ...at(examples.x[i], examples.y[i]), 3, 0, Boolean(examples.trained[i]));
  context.strokeStyle = named.high;
  context.lineWidth = 2.5;
  context.beginPath();
  for (let i = 0; i < curve.length; i += 2) context.lineTo(...at(curve[i], Math.max(-1e6, Math.min(1e6, curve[i + 1]))));
  context.stroke();
}

/**
 * One digit, dark on light or light on dark as the scheme has it.
 * @param {HTMLCanvasElement} canvas
 * @param {Float32Array} pixels
 */
export function drawDigit(canvas, pixels) {
  const low = Math.min(...pixels), high = Math.max(...pixels);
  paintUnit(canvas, Uint8Array.from(pixels, (p) => 128 + (127 * (p - low)) / (high - low || 1)), 8, 8);
}

/**
 * Lines over a common plane, with axes. A line is [x0, y0, x1, y1, ...].
 * @param {HTMLCanvasElement} canvas
 * @param {{points: ArrayLike<number>, color: string, dash?: number[], width?: number, alpha?: number}[]} lines
 * @param {boolean} logarithmic
 */
export function drawLines(canvas, lines, logarithmic = false) {
  const { context, width, height } = prepare(canvas);
  const tx = (/** @type {number} */ x) => (logarithmic ? Math.log10(x) : x);
  let left = Infinity, right = -Infinity, top = -Infinity, bottom = 0;
  /** @type {number[]} */
  const values = [];
  for (const { points } of lines)
    for (let i = 0; i < points.length; i += 2) {
      if (!Number.isFinite(points[i + 1])) continue;
      left = Math.min(left, tx(points[i]));
      right = Math.max(right, tx(points[i]));
      values.push(points[i + 1]);
    }
  context.font = "12px system-ui, sans-serif";
  if (!values.length) return;
  // The first losses of a run may be huge: the scale is that of nearly all values.
  values.sort((a, b) => a - b);
  top = Math.max(values[Math.floor(0.98 * (values.length - 1))] * 1.1, 1e-9);
  if (right <= left) right = left + 1;
  const margin = { left: 46, right: 8, top: 8, bottom: 20 };
  const at = (/** @type {number} */ x, /** @type {number} */ y) => /** @type {[number, number]} */ ([
    margin.left + ((tx(x) - left) / (right - left)) * (width - margin.left - margin.right),
    margin.top + (1 - (Math.min(y, 2 * top) - bottom) / (top - bottom)) * (height - margin.top - margin.bottom),
  ]);
  context.strokeStyle = named.line;
  context.fillStyle = named.faint;
  context.lineWidth = 1;
  for (let k = 0; k <= 4; k++) {
    const y = (top * k) / 4;
    const [, py] = at(logarithmic ? 10 ** left : left, y);
    context.beginPath();
    context.moveTo(margin.left, py);
    context.lineTo(width - margin.right, py);
    context.stroke();
    context.textAlign = "right";
    context.fillText(short(y), margin.left - 4, py + 4);
  }
  for (const k of [0, 0.5, 1]) {
    const x = left + (right - left) * k;
    context.textAlign = k === 0 ? "left" : k === 1 ? "right" : "center";
    const px = margin.left + k * (width - margin.left - margin.right);
    context.fillText(logarithmic ? short(10 ** x) : short(Math.round(x)), px, height - 5);
  }
  context.save();
  context.beginPath();
  context.rect(margin.left, margin.top - 4, width - margin.left - margin.right + 4, height - margin.top - margin.bottom + 4);
  context.clip();
  for (const line of lines) {
    context.strokeStyle = line.color;
    context.globalAlpha = line.alpha ?? 1;
    context.lineWidth = line.width ?? 2;
    context.setLineDash(line.dash ?? []);
    context.beginPath();
    for (let i = 0; i < line.points.length; i += 2)
      if (Number.isFinite(line.points[i + 1])) context.lineTo(...at(line.points[i], line.points[i + 1]));
    context.stroke();
  }
  context.restore();
  context.setLineDash([]);
}

const BANDS = 14;

/**
 * The loss over a plane of weights in bands of its logarithm, and the paths of runs in it.
 * @param {HTMLCanvasElement} canvas
 * @param {{size: number, losses: (number | null)[], extent: number[], paths: number[][]}} surface
 * @param {string[]} inks of the paths
 */
export function drawSurface(canvas, { size, losses, extent, paths }, inks) {
  const { context, width, height } = prepare(canvas);
  const logs = losses.map((loss) => (loss === null ? Infinity : Math.log(Math.max(loss, 1e-12))));
  const finite = logs.filter(Number.isFinite), low = Math.min(...finite), high = Math.max(...finite);
  const at = (/** @type {number} */ row, /** @type {number} */ column) => logs[Math.min(size - 1, row) * size + Math.min(size - 1, column)];
  const fine = 160;
  plane.width = plane.height = fine;
  const painter = /** @type {CanvasRenderingContext2D} */ (plane.getContext("2d"));
  const image = painter.createImageData(fine, fine);
  for (let i = 0; i < fine * fine; i++) {
    // The grid's rows go up; between its points the loss is interpolated.
    const u = ((i % fine) / (fine - 1)) * (size - 1), v = (1 - Math.floor(i / fine) / (fine - 1)) * (size - 1);
    const c = Math.floor(u), r = Math.floor(v), s = u - c, t = v - r;
    const value = (at(r, c) * (1 - s) + at(r, c + 1) * s) * (1 - t) + (at(r + 1, c) * (1 - s) + at(r + 1, c + 1) * s) * t;
    const band = Number.isFinite(value) ? Math.floor((BANDS * (value - low)) / (high - low || 1)) / BANDS : 1;
    mix(image.data, 4 * i, palette.low, palette.zero, Math.min(1, band));
  }
  painter.putImageData(image, 0, 0);
  context.drawImage(plane, 0, 0, width, height);
  const [left, right, bottom, top] = extent;
  const place = (/** @type {number[]} */ path, /** @type {number} */ i) => /** @type {[number, number]} */ ([
    ((path[i] - left) / (right - left)) * width, ((top - path[i + 1]) / (top - bottom)) * height]);
  paths.forEach((path, k) => {
    for (const [ink, line] of /** @type {[string, number][]} */ ([[named.panel, 4], [inks[k], 2]])) {
      context.strokeStyle = ink;
      context.lineWidth = line;
      context.beginPath();
      for (let i = 0; i < path.length; i += 2) context.lineTo(...place(path, i));
      context.stroke();
    }
    for (const [i, fill] of /** @type {[number, string][]} */ ([[0, named.panel], [path.length - 2, inks[k]]])) {
      context.fillStyle = fill;
      context.strokeStyle = inks[k];
      context.beginPath();
      context.arc(...place(path, i), 5, 0, 7);
      context.fill();
      context.stroke();
    }
  });
}

/**
 * @param {HTMLCanvasElement} canvas
 * @param {{counts: number[]}} histogram
 */
export function drawHistogram(canvas, histogram) {
  const { context, width, height } = prepare(canvas);
  const most = Math.max(...histogram.counts, 1), bar = width / histogram.counts.length;
  context.fillStyle = named.low;
  histogram.counts.forEach((count, i) => {
    const h = count ? Math.max(1, (count / most) * (height - 2)) : 0;
    context.fillRect(i * bar, height - 1 - h, bar - 0.5, h);
  });
  context.fillStyle = named.line;
  context.fillRect(0, height - 1, width, 1);
}

/**
 * A number in at most six characters or so.
 * @param {number | null | undefined} value
 */
export function short(value) {
  if (value === null || value === undefined || !Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e5)) return value.toExponential(1);
  return String(Number(value.toPrecision(3)));
}
