// The panel of a node or an edge, and the search.

function number(value) {
  if (typeof value !== "number") return String(value);
  if (value === 0) return "0";
  return Number.isInteger(value) && Math.abs(value) < 1e6 ? String(value) : String(Number(value.toPrecision(5)));
}

function whole(value) {
  return Array.isArray(value) ? "[" + value.map(whole).join(", ") + "]" : number(value);
}

// Recorded statistics in few words: the array itself if it is small, else its norm.
function brief(found) {
  if (!found) return "not recorded";
  const bad = ["nan", "inf"].filter((k) => found[k]).map((k) => `${found[k]} ${k}`).join(", ");
  if ("whole" in found && !(found.size > 8)) return whole(found.whole);
  return `norm ${number(found.norm)}${bad ? ` (${bad} of ${found.size})` : ""}`;
}

function nodeButton(id) {
  const node = data.nodes[id];
  const button = make("button", node ? node.says.split(",")[0] : id, { type: "button", class: "link" });
  button.addEventListener("click", () => choose(id));
  return button;
}

function list(about, title, rows) {
  const shown = rows.filter(([, value]) => value !== undefined && value !== "" && value !== null);
  if (!shown.length) return;
  if (title) about.append(make("h3", title));
  const dl = make("dl");
  for (const [name, value] of shown) {
    const dd = make("dd");
    dd.append(value instanceof Node ? value : document.createTextNode(value));
    dl.append(make("dt", name), dd);
  }
  about.append(dl);
}

function statistics(about, title, found) {
  if (!found) return;
  list(about, title, [
    ["value", "whole" in found ? (found.size > 8 ? valueOf(found) : whole(found.whole)) : undefined],
    ["norm", number(found.norm)],
    ["mean", "mean" in found ? number(found.mean) : undefined],
    ["std", "std" in found ? number(found.std) : undefined],
    ["range", "min" in found ? `${number(found.min)} to ${number(found.max)}` : undefined],
    ["nan", found.nan ? `${found.nan} of ${found.size}` : undefined],
    ["infinite", found.inf ? `${found.inf} of ${found.size}` : undefined],
  ]);
  if (!found.histogram || found.histogram.length < 2) return;
  const space = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(space, "svg");
  const counts = found.histogram, most = Math.max(...counts);
  svg.setAttribute("viewBox", `0 0 ${counts.length * 10} 50`);
  svg.setAttribute("preserveAspectRatio", "none");
  svg.setAttribute("class", "histogram");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", `Histogram of ${title} from ${number(found.min)} to ${number(found.max)}: ${counts.join(", ")}`);
  counts.forEach((count, i) => {
    const bar = document.createElementNS(space, "rect");
    const height = (48 * count) / most;
    for (const [k, v] of Object.entries({ x: i * 10 + 0.5, y: 50 - height, width: 9, height })) bar.setAttribute(k, v);
    svg.append(bar);
  });
  about.append(svg);
}

// The life of a program's buffers: a row for each, a bar over the steps at which it is in use.
function memory() {
  const life = data.life, about = openPanel(), space = "http://www.w3.org/2000/svg";
  mark("chosen", []);
  state.node = "";
  about.append(make("h2", "Buffers"));
  about.append(make("p", `Each lies in the block from the step that writes it to the last that reads it${life.width > 1 ? `; a column is ${life.width} steps` : ""}.`));
  const names = 84, sizes = 56, cell = 8, row = 16, left = names + sizes;
  const svg = document.createElementNS(space, "svg");
  const put = (name, attributes, text) => {
    const part = document.createElementNS(space, name);
    for (const [k, v] of Object.entries(attributes)) part.setAttribute(k, v);
    if (text !== undefined) part.textContent = text;
    svg.append(part);
    return part;
  };
  svg.id = "life";
  svg.setAttribute("viewBox", `0 0 ${left + life.columns * cell + 4} ${(life.rows.length + 1) * row + 4}`);
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", life.rows.map(([name, size, first, last]) => `${name}, ${size}, steps ${first * life.width + 1} to ${(last + 1) * life.width}`).join("; "));
  for (let i = 0; i < life.columns; i += 5) put("text", { x: left + i * cell, y: 11, class: "soft" }, i * life.width + 1);
  life.rows.forEach(([name, size, first, last], i) => {
    const y = (i + 1) * row;
    put("text", { x: 0, y: y + 11 }, name.length > 13 ? name.slice(0, 12) + "\u2026" : name);
    put("text", { x: left - 6, y: y + 11, "text-anchor": "end", class: "soft" }, size);
    put("rect", { x: left, y: y + 2, width: life.columns * cell, height: row - 4, class: "row" });
    put("rect", { x: left + first * cell, y: y + 2, width: (last - first + 1) * cell - 1, height: row - 4 });
  });
  about.append(svg);
  if (life.note) about.append(make("p", life.note));
}

function openPanel() {
  byId("panel").hidden = false;
  byId("about").replaceChildren();
  byId("panel").scrollTop = 0;
  return byId("about");
}

function closePanel() {
  byId("panel").hidden = true;
  mark("chosen", []);
  state.node = "";
  link();
}

function mark(name, ids) {
  for (const group of canvas.querySelectorAll("." + name)) group.classList.remove(name);
  for (const id of ids) {
    const group = parts.get(id);
    if (group) group.classList.add(name);
  }
}

function choose(id) {
  const shown = shownAs(id);
  const node = data.nodes[id] || data.nodes[shown];
  if (!node) return;
  state.node = id;
  mark("chosen", [shown]);
  reveal(shown);
  const about = openPanel();
  about.append(make("h2", node.name && node.kind === "op" ? `${node.name} = ${node.label}` : node.label));
  if (node.error) about.append(make("p", node.error, { class: "error" }));
  if (node.bad) about.append(make("p", node.bad === "origin" ? "The first value that is not finite." : "Not finite.", { class: "error" }));
  const cost = node.cost || {};
  list(about, "", [
    ["kind", node.kind === "op" ? `operation ${node.op}` : node.kind],
    ["name", node.kind === "op" ? undefined : node.name],
    ["module", node.module && data.modules[node.module] ? data.modules[node.module].says : undefined],
    ["shape", node.shape ? `(${node.shape.join(", ")}${node.shape.length === 1 ? "," : ""})` : undefined],
    ["dtype", node.dtype],
    ["options", node.options ? Object.entries(node.options).map(([k, v]) => `${k}=${v}`).join(", ") : undefined],
    ["represents", node.count > 1 ? `${node.count} nodes${node.repeat > 1 ? `, ${node.repeat} copies` : ""}` : undefined],
    ["multiply-adds", cost.multiply_adds ? cost.multiply_adds.toLocaleString("en") : undefined],
    ["result", cost.bytes ? `${cost.bytes.toLocaleString("en")} bytes` : undefined],
    ["saved for backward", cost.saved_bytes ? `${cost.saved_bytes.toLocaleString("en")} bytes` : undefined],
    ["gain", node.gain !== undefined ? `${number(node.gain)} (norm of the gradient passed on / received)` : undefined],
    ["at a kink", node.kinks],
    ["computed at", node.origin],
    ["change", node.change],
  ]);
  if (node.formula) {
    about.append(make("h3", "Formula"));
    about.append(...forwardMath({ op: node.op }));
    about.append(make("pre", node.formula));
  }
  const incoming = incomingOf(id);
  const outgoing = data.edges.filter((edge) => edge.source === id);
  if (incoming.length) {
    about.append(make("h3", "Inputs and the gradient of each"));
    const items = make("ul");
    for (const edge of incoming) {
      const item = make("li", edge.operand ? `${edge.operand}: ` : "");
      item.append(nodeButton(edge.source));
      const formula = mathOf(node.op, edge.position) || mathOf(node.op, 0);
      if (formula && edge.rule) item.append(line(`d ${called(edge.source)} = `, formula));
      if (edge.rule) item.append(make("pre", edge.rule));
      if (edge.broadcast) item.append(make("div", edge.broadcast));
      if (edge.local !== undefined) item.append(make("div", `local derivative ${number(edge.local)}`));
      if (edge.flow) item.append(make("div", `contribution ${brief(edge.flow)}`));
      items.append(item);
    }
    about.append(items);
  }
  statistics(about, "Value", node.value);
  if (state.step && !hasArrived(id)) about.append(make("p", "Its gradient is not complete at this step."));
  else statistics(about, "Gradient", node.grad);
  const flows = outgoing.filter((edge) => edge.flow);
  if (flows.length > 1) {
    about.append(make("h3", "The gradient is a sum"));
    about.append(make("pre", "g = " + flows.map((edge) => brief(edge.flow)).join("\n  + ") + `\n  = ${brief(node.grad)}`));
  }
  if (outgoing.length) {
    about.append(make("h3", "Used by"));
    const items = make("ul");
    for (const edge of outgoing) {
      const item = make("li", edge.operand ? `as ${edge.operand} of ` : "");
      item.append(nodeButton(edge.target));
      items.append(item);
    }
    about.append(items);
  }
  link();
}

function showEdge(id) {
  const edge = edgeOf.get(id);
  if (!edge) return;
  mark("chosen", []);
  const about = openPanel();
  about.append(make("h2", "Edge"));
  list(about, "", [
    ["from", nodeButton(edge.source)],
    ["to", nodeButton(edge.target)],
    ["operand", edge.operand],
    ["shape", edge.shape ? `(${edge.shape.join(", ")}${edge.shape.length === 1 ? "," : ""})` : undefined],
    ["dtype", edge.dtype],
    ["broadcast", edge.broadcast],
  ]);
  if (edge.rule) {
    about.append(make("h3", "Derivative rule: the contribution to the gradient of the input, from the gradient g"));
    about.append(make("pre", edge.rule));
    if (edge.rule_source && edge.rule_source !== edge.rule) about.append(make("pre", edge.rule_source));
  }
  if (edge.local !== undefined) list(about, "", [["local derivative", number(edge.local)]]);
  statistics(about, "Contribution to the gradient", edge.flow);
}

let matches = [];
let match = -1;

function search(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  matches = words.length
    ? data.layouts[state.layout].nodes.filter((id) => words.every((word) => data.nodes[id].finds.includes(word)))
    : [];
  match = -1;
  mark("match", matches);
  canvas.classList.toggle("searching", words.length > 0);
  byId("found").textContent = words.length ? String(matches.length) : "";
  if (words.length) say(`${matches.length} found`);
}

function nextMatch() {
  if (!matches.length) return;
  match = (match + 1) % matches.length;
  choose(matches[match]);
}
