// The canvas: which layout is shown, pan and zoom, collapsing a module in place, colors.

const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const canvas = byId("canvas");
const state = { layout: 0, color: data.color, step: 0, node: "", svg: null, view: null, whole: null, collapsed: new Set() };
const parts = new Map(); // id in the SVG -> its group
const READABLE = 1.1; // points per pixel: text of 11 points is then 10 pixels high
const edgeOf = new Map(data.edges.map((edge) => [edge.id, edge]));
const incoming = new Map();
for (const edge of data.edges) incoming.set(edge.target, [...(incoming.get(edge.target) || []), edge]);
let engine = null; // viz.js, if the page lays itself out

function make(tag, text, attributes) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes || {})) made.setAttribute(name, value);
  return made;
}

function incomingOf(id) {
  return incoming.get(id) || [];
}

function say(text) {
  byId("live").textContent = text;
}

// The node that is drawn for another one: itself, or the box it is collapsed into, or the folded module around it.
function shownAs(id) {
  const box = data.layouts[state.layout].hidden[id] || id;
  return collapsedAround(box) || box;
}

async function svgOf(index) {
  const stored = document.querySelector(`template[data-layout="${index}"]`);
  if (stored) return stored.content.querySelector("svg").cloneNode(true);
  canvas.replaceChildren(make("p", "Laying out the graph: for a large one this takes a while."));
  engine = engine || (await Viz.instance());
  await new Promise((done) => setTimeout(done)); // the sentence is drawn before the layout blocks the page
  try {
    return engine.renderSVGElement(data.layouts[index].dot);
  } catch (error) {
    engine = null; // Graphviz that has failed once cannot be used again
    throw error;
  }
}

// The head of an arrow at the start of an edge, for what flows backward.
function arrow(id) {
  const space = "http://www.w3.org/2000/svg";
  const marker = document.createElementNS(space, "marker"), head = document.createElementNS(space, "path");
  const about = { id, viewBox: "0 0 10 10", refX: 10, refY: 5, markerWidth: 7, markerHeight: 7, markerUnits: "userSpaceOnUse", orient: "auto-start-reverse" };
  for (const [name, value] of Object.entries(about)) marker.setAttribute(name, value);
  head.setAttribute("d", "M0 1L10 5L0 9z");
  marker.append(head);
  return marker;
}

async function showLayout(index) {
  const svg = await svgOf(index);
  state.layout = index;
  state.collapsed.clear();
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.setAttribute("preserveAspectRatio", "xMidYMid meet");
  svg.setAttribute("role", "group");
  svg.setAttribute("aria-label", "Computation graph");
  canvas.replaceChildren(svg);
  svg.querySelector("g").classList.add("by-kind");
  state.svg = svg;
  svg.prepend(arrow("turned"), arrow("turned-active"));
  state.whole = svg.viewBox.baseVal.width ? [...svg.getAttribute("viewBox").split(/[ ,]+/).map(Number)] : [0, 0, 100, 100];
  state.drawn = state.whole;
  parts.clear();
  for (const group of svg.querySelectorAll("g[id]")) parts.set(group.id, group);
  // Graphviz puts ids into <title>; the browser would show them as tooltips.
  for (const title of svg.querySelectorAll("title")) title.remove();
  for (const link of svg.querySelectorAll("a")) {
    const tip = link.getAttribute("xlink:title") || link.getAttribute("title");
    link.removeAttribute("xlink:title");
    if (tip && link.closest(".node")) {
      const title = document.createElementNS(svg.namespaceURI, "title");
      title.textContent = tip;
      link.prepend(title);
    }
  }
  for (const id of data.layouts[index].nodes) {
    const group = parts.get(id);
    if (!group) continue;
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-label", data.nodes[id].says);
  }
  initialView();
  paint();
}

// Pan and zoom by the view box, so that text stays sharp.

function setView(x, y, width, height) {
  state.view = [x, y, width, height];
  state.svg.setAttribute("viewBox", state.view.join(" "));
}

// The view of the whole graph.
function fitted() {
  const [x, y, width, height] = state.whole;
  const box = canvas.getBoundingClientRect();
  // A small graph is not enlarged to more than two pixels per point.
  const grow = Math.max(1, Math.min(box.width / (2 * width), box.height / (2 * height)));
  return [x - (width * (grow - 1)) / 2, y - (height * (grow - 1)) / 2, width * grow, height * grow];
}

function fit() {
  setView(...fitted());
}

// The initial view: the whole graph, or its start if the text would be too small to read.
function initialView() {
  fit();
  if (unitsPerPixel() > 2) closer(data.layouts[state.layout].nodes[0]);
}

// Center a node, at a size at which its text can be read.
function closer(id) {
  const group = parts.get(id);
  if (!group) return;
  const box = canvas.getBoundingClientRect(), at = group.getBBox();
  const shift = state.svg.querySelector("g").transform.baseVal.consolidate().matrix;
  const own = group.transform.baseVal.consolidate(); // where folding has moved it
  const x = at.x + at.width / 2 + shift.e + (own ? own.matrix.e : 0), y = at.y + at.height / 2 + shift.f + (own ? own.matrix.f : 0);
  const width = box.width * READABLE, height = box.height * READABLE;
  const [left, top, wide, high] = state.whole;
  // If the drawing is larger than the window, the window stays inside it.
  const within = (center, length, start, all) => length >= all
    ? start + all / 2 - length / 2
    : Math.max(start, Math.min(start + all - length, center - length / 2));
  setView(within(x, width, left, wide), within(y, height, top, high), width, height);
}

function unitsPerPixel() {
  const box = canvas.getBoundingClientRect();
  return Math.max(state.view[2] / box.width, state.view[3] / box.height);
}

function zoom(factor, clientX, clientY) {
  const box = canvas.getBoundingClientRect();
  const [x, y, width, height] = state.view;
  const unit = unitsPerPixel();
  const smallest = 20, largest = 40 * Math.max(state.whole[2], state.whole[3]);
  if (width * factor < smallest || width * factor > largest) return;
  const px = clientX === undefined ? 0 : clientX - box.left - box.width / 2;
  const py = clientY === undefined ? 0 : clientY - box.top - box.height / 2;
  const cx = x + width / 2 + px * unit * (1 - factor), cy = y + height / 2 + py * unit * (1 - factor);
  setView(cx - (width * factor) / 2, cy - (height * factor) / 2, width * factor, height * factor);
}

function pan(dx, dy) {
  const unit = unitsPerPixel();
  setView(state.view[0] - dx * unit, state.view[1] - dy * unit, state.view[2], state.view[3]);
}

// Scroll a node into view if it is outside or too small to read.
function reveal(id) {
  const group = parts.get(id);
  if (!group) return;
  // The same limit as for the first view: what could be read then does not move.
  if (unitsPerPixel() > 2) {
    closer(id);
    return;
  }
  const box = canvas.getBoundingClientRect(), at = group.getBoundingClientRect();
  // Only as far as needed, so that as much as possible stays where it is.
  const edge = 3;
  const shift = (low, high, least, most) => (high - low > most - least ? (least + most - low - high) / 2 : low < least ? least - low : high > most ? most - high : 0);
  const dx = shift(at.left, at.right, box.left + edge, box.right - edge), dy = shift(at.top, at.bottom, box.top + edge, box.bottom - edge);
  if (dx || dy) pan(dx, dy);
}

function listenToPointers() {
  const down = new Map();
  let moved = 0;
  canvas.addEventListener("pointerdown", (event) => {
    if (event.button) return;
    down.set(event.pointerId, [event.clientX, event.clientY]);
    if (down.size === 1) moved = 0;
  });
  window.addEventListener("pointermove", (event) => {
    const before = down.get(event.pointerId);
    if (!before || !state.view) return;
    const now = [event.clientX, event.clientY];
    moved += Math.abs(now[0] - before[0]) + Math.abs(now[1] - before[1]);
    if (down.size === 2) {
      const other = [...down].find(([id]) => id !== event.pointerId)[1];
      const was = Math.hypot(before[0] - other[0], before[1] - other[1]);
      const is = Math.hypot(now[0] - other[0], now[1] - other[1]);
      if (is > 0) zoom(was / is, (now[0] + other[0]) / 2, (now[1] + other[1]) / 2);
    } else if (moved > 4) {
      canvas.classList.add("dragging");
      pan(now[0] - before[0], now[1] - before[1]);
    }
    down.set(event.pointerId, now);
  });
  const end = (event) => {
    down.delete(event.pointerId);
    canvas.classList.remove("dragging");
    // The click that ends a drag comes before this; one that comes later is a click.
    setTimeout(() => (moved = 0), 0);
  };
  window.addEventListener("pointerup", end);
  window.addEventListener("pointercancel", end);
  canvas.addEventListener("click", (event) => {
    if (moved > 4) return;
    const group = event.target.closest(".node, .edge, .cluster");
    if (!group) return;
    if (group.classList.contains("cluster")) toggleModule(group.id);
    else if (group.classList.contains("edge")) showEdge(group.id);
    else choose(group.id);
  });
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(Math.sign(event.deltaY) * 0.18), event.clientX, event.clientY);
  }, { passive: false });
}

// Collapse or expand a module in place: its inside is hidden, and what is around it closes up.
function toggleModule(id) {
  const fits = String(state.view) === String(fitted());
  if (state.collapsed.has(id)) state.collapsed.delete(id);
  else state.collapsed.add(id);
  paint();
  goTo(state.step, true);
  if (fits) fit();
  else reveal(id);
  say(`${data.modules[id].says} ${state.collapsed.has(id) ? "collapsed" : "expanded"}`);
}

function collapsedAround(nodeId) {
  let module = (data.nodes[nodeId] || {}).module || "";
  let found = "";
  while (module) {
    if (state.collapsed.has(module)) found = module;
    module = (data.modules[module] || {}).parent || "";
  }
  return found;
}

function paint() {
  unfold();
  const layout = data.layouts[state.layout], folded = new Map();
  const counts = new Map();
  for (const id of layout.nodes) {
    const around = collapsedAround(id);
    const group = parts.get(id);
    if (!group) continue;
    group.classList.toggle("inside", Boolean(around));
    if (around) counts.set(around, (counts.get(around) || 0) + 1);
    const fill = (data.nodes[id].fills || {})[state.color];
    for (const shape of group.querySelectorAll(':is(path, polygon, ellipse):not([fill="none"])')) {
      if (fill) shape.style.fill = fill[0];
      else shape.style.removeProperty("fill");
    }
    for (const text of group.querySelectorAll("text")) {
      if (fill) text.style.fill = fill[1];
      else text.style.removeProperty("fill");
    }
  }
  for (const [id, source, target] of layout.edges) {
    const a = collapsedAround(source), b = collapsedAround(target);
    const group = parts.get(id);
    if (group) group.classList.toggle("inside", Boolean(a) && a === b);
  }
  for (const old of state.svg.querySelectorAll(".summary")) old.remove();
  for (const [id, group] of parts) {
    if (!group.classList.contains("cluster")) continue;
    const around = collapsedParent(id);
    group.classList.toggle("inside", Boolean(around));
    group.setAttribute("tabindex", "0");
    group.setAttribute("role", "button");
    group.setAttribute("aria-expanded", String(!state.collapsed.has(id)));
    group.setAttribute("aria-label", data.modules[id] ? data.modules[id].says : id);
    if (state.collapsed.has(id) && !around) folded.set(id, summarize(group, counts.get(id) || 0));
  }
  closeUp(folded);
}

function collapsedParent(id) {
  let module = (data.modules[id] || {}).parent || "";
  while (module) {
    if (state.collapsed.has(module)) return module;
    module = (data.modules[module] || {}).parent || "";
  }
  return "";
}

// Write into a folded module what it is. Returns the box of the text.
function summarize(group, count) {
  const [x, y] = middle(group.querySelector("path, polygon").getBBox());
  const text = document.createElementNS(state.svg.namespaceURI, "text");
  text.setAttribute("class", "summary");
  const own = [...group.querySelectorAll("text")];
  const lines = [own.map((label) => label.textContent).join(" "), `\u25b8 ${count} boxes`];
  lines.forEach((words, i) => {
    const line = document.createElementNS(state.svg.namespaceURI, "tspan");
    line.setAttribute("x", x);
    line.setAttribute("y", y + 15 * i - 3);
    line.textContent = words;
    text.append(line);
  });
  for (const label of own) label.classList.add("inside");
  group.append(text);
  return text.getBBox();
}
