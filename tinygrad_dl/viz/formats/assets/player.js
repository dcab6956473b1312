// The player: forward and backward, one operation per step, with the recorded numbers.

let timer = 0;

function eventAt(step) {
  return step ? data.events[step - 1] : null;
}

function paragraph(...pieces) {
  const p = make("p");
  for (const piece of pieces) p.append(piece instanceof Node ? piece : document.createTextNode(piece));
  return p;
}

function describeForward(node, incoming, phase) {
  const from = incoming.map((edge) => (data.nodes[edge.source] || { says: edge.source }).says.split(",")[0]);
  const lines = [paragraph(make("b", `${phase ? phase[0].toUpperCase() + phase.slice(1) : "Forward"}: ${node.name || node.label}`), node.formula ? `: ${node.formula}` : "")];
  lines.push(paragraph(from.length ? `from ${from.join(" and ")}` : "", node.value ? `; result ${brief(node.value)}` : ""));
  if (node.origin) lines.push(paragraph(make("code", node.origin)));
  if (node.error) lines.push(paragraph(node.error));
  return lines;
}

function describeBackward(event, node) {
  const lines = [paragraph(make("b", `Backward: ${node.name || node.label}`), `: upstream gradient g = ${brief(event.g)}`)];
  for (const part of event.parts) {
    const edge = edgeOf.get(part.edge) || {};
    const to = (data.nodes[part.to] || { says: part.to }).says.split(",")[0];
    // A rule that calls helpers of the package says nothing here: its mathematics is above.
    const rule = edge.rule && !(/(^|\W)_\w/.test(edge.rule) && mathOf(node.op, edge.position)) ? edge.rule : "";
    const pieces = [`to ${to}: `, ...(rule ? [make("code", rule), " = "] : []), brief(part.part)];
    if (edge.local !== undefined) pieces.push(` (local derivative ${number(edge.local)} times g)`);
    if (edge.broadcast) pieces.push(`, ${edge.broadcast.split("; ")[1]}`);
    if (part.nth > 1) pieces.push(`; sum so far, ${part.nth} parts: ${brief(part.sum)}`);
    lines.push(paragraph(...pieces));
  }
  if (!event.parts.length) lines.push(paragraph("no input requires a gradient"));
  return lines;
}

// What the operation computes, in the language of mathematics, above the details of the step.

function mathOf(op, part) {
  const found = (data.maths[op] || {})[part];
  const box = make("span");
  if (found) box.innerHTML = found; // made by the page's own converter, which escapes all text
  return found ? box : null;
}

// A value as mathematics: a number, a matrix of up to 8 by 8, or else its norm.
function valueOf(found) {
  if (!found || !Array.isArray(found.whole)) return document.createTextNode(brief(found));
  const rows = found.whole.every((row) => Array.isArray(row)) ? found.whole : [found.whole];
  if (rows.some((row) => row.some(Array.isArray))) return document.createTextNode(brief(found));
  const table = make("table", "", { class: "matrix" });
  for (const row of rows) {
    const tr = make("tr");
    for (const cell of row) tr.append(make("td", Number.isFinite(cell) ? String(Number(cell.toPrecision(3))) : String(cell)));
    table.append(tr);
  }
  return table;
}

function called(id) {
  return (data.nodes[id] || { says: id }).says.split(",")[0].split(" = ")[0];
}

function line(...pieces) {
  const div = make("div", "", { class: "line" });
  for (const piece of pieces) div.append(piece instanceof Node ? piece : make("span", piece));
  return div;
}

function forwardMath(node) {
  const formula = mathOf(node.op, "forward");
  const lines = [];
  if (formula) lines.push(line("out = ", formula, ...(node.value ? [" = ", valueOf(node.value)] : [])));
  return lines;
}

// All contributions to a gradient up to a step, in the order in which they arrive.
function contributions(id, step) {
  return data.events.slice(0, step).flatMap((event) => (event.pass === "backward" ? event.parts.filter((part) => part.to === id) : []));
}

function backwardMath(event, node, step) {
  const lines = [make("p", "The chain rule: the upstream gradient g times the local derivative is what each input receives.", { class: "rule" })];
  lines.push(line("g = ", valueOf(event.g)));
  for (const part of event.parts) {
    const edge = edgeOf.get(part.edge) || {};
    const formula = mathOf(node.op, edge.position) || mathOf(node.op, 0);
    const numbers = edge.local !== undefined ? [` = ${brief(event.g)} \u22c5 ${number(edge.local)}`] : [];
    lines.push(line(`d ${called(part.to)} = `, ...(formula ? [formula] : ["its rule"]), ...numbers, " = ", valueOf(part.part)));
    if (part.nth > 1) {
      const before = contributions(part.to, step).slice(0, part.nth);
      const sum = before.flatMap((one, i) => (i ? [" + ", valueOf(one.part)] : [valueOf(one.part)]));
      lines.push(line(`${called(part.to)} is used ${part.nth} times so far, and its gradient is the sum: `, ...sum, " = ", valueOf(part.sum)));
    }
  }
  return lines;
}

// Step at which the gradient of a node is complete: that of its own turn, or of the last contribution to a leaf.
const complete = new Map();
data.events.forEach((event, i) => {
  if (event.pass !== "backward") return;
  if (!complete.has(event.node)) complete.set(event.node, i + 1);
  for (const part of event.parts) if (!(data.nodes[part.to] || {}).op) complete.set(part.to, i + 1);
});

function hasArrived(id) {
  return !complete.has(id) || state.step >= complete.get(id);
}

// Gradients and contributions are written on boxes and edges once the backward pass has computed them.
function showArrived(flowed) {
  if (!complete.size) return;
  const latest = new Map();
  for (const [id, step] of complete) latest.set(shownAs(id), Math.max(step, latest.get(shownAs(id)) || 0));
  for (const [id, step] of latest) {
    const group = parts.get(id);
    if (!group) continue;
    for (const text of group.querySelectorAll("text")) {
      if (/^(grad |gain |= )/.test(text.textContent)) text.classList.toggle("later", state.step < step);
    }
  }
  for (const [id] of data.layouts[state.layout].edges) {
    const group = parts.get(id);
    if (!group) continue;
    group.classList.toggle("back", flowed.has(id));
    for (const text of group.querySelectorAll("text")) {
      if (text.textContent.startsWith("\u2190")) text.classList.toggle("later", !flowed.has(id));
    }
  }
}

function goTo(step, quiet) {
  state.step = Math.max(0, Math.min(data.events.length, step));
  const event = eventAt(state.step);
  const done = new Set(), active = new Set();
  const backward = event && event.pass === "backward";
  data.events.slice(0, state.step).forEach((past) => {
    if (backward && past.pass === "forward") return;
    done.add(shownAs(past.node));
    if (past.pass === "backward") past.parts.forEach((part) => done.add(part.edge).add(shownAs(part.to)));
    else incomingOf(past.node).forEach((edge) => done.add(edge.id).add(shownAs(edge.source)));
  });
  const explanation = byId("explanation");
  explanation.replaceChildren();
  if (event) {
    const node = data.nodes[event.node];
    const incoming = incomingOf(event.node);
    active.add(shownAs(event.node));
    if (backward) event.parts.forEach((part) => active.add(part.edge));
    else incoming.forEach((edge) => active.add(edge.id));
    explanation.append(...(backward ? describeBackward(event, node) : describeForward(node, incoming, event.phase)));
    if (!quiet) reveal(shownAs(event.node));
  } else {
    const backwards = data.events.some((e) => e.pass === "backward");
    const program = data.events.some((e) => e.phase);
    const order = program ? "in the order in which the program runs" : `forward${backwards ? ", then backward" : ""}`;
    explanation.append(paragraph(`Step through ${data.events.length} steps: ${order}. Keys: \u2190 \u2192 Space Home End.${backwards ? " Gradients appear when the backward pass reaches them; End shows all." : ""}`));
  }
  const formula = byId("formula");
  const made = !event ? [] : backward ? backwardMath(event, data.nodes[event.node], state.step) : forwardMath(data.nodes[event.node]);
  formula.replaceChildren(...made);
  formula.hidden = !made.length;
  const flowed = new Set(data.events.slice(0, state.step).flatMap((past) => (past.pass === "backward" ? past.parts.map((part) => part.edge) : [])));
  showArrived(flowed);
  canvas.classList.toggle("playing", Boolean(event));
  mark("done", done);
  mark("active", active);
  byId("steps").value = state.step;
  byId("count").textContent = `${state.step} / ${data.events.length}`;
  if (event) say([...explanation.children].map((p) => p.textContent).join(". "));
  link();
}

// A training run: the numbers of each step of gradient descent on the same graph.

let training = 0;

function curve() {
  const losses = data.runs.map((run) => run.loss).map((loss) => (Number.isFinite(loss) ? loss : NaN));
  const known = losses.filter(Number.isFinite);
  if (!known.length) return;
  const low = Math.min(...known), span = Math.max(...known) - low || 1, last = Math.max(losses.length - 1, 1);
  const place = (i) => `${(2 + (296 * i) / last).toFixed(1)} ${(31 - (28 * (losses[i] - low)) / span).toFixed(1)}`;
  const drawn = losses.map((loss, i) => i).filter((i) => Number.isFinite(losses[i]));
  const path = (d, name) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", "path");
    made.setAttribute("d", d);
    if (name) made.setAttribute("class", name);
    return made;
  };
  const at = (2 + (296 * state.run) / last).toFixed(1);
  byId("curve").replaceChildren(path("M" + drawn.map(place).join("L")), path(`M${at} 1V33`, "now"));
}

// Show the numbers of one training step: in the boxes, on the edges, and in the steps of the player.
function showRun(index) {
  state.run = Math.max(0, Math.min(data.runs.length - 1, index));
  const run = data.runs[state.run];
  for (const [id, found] of Object.entries(run.values)) if (data.nodes[id]) data.nodes[id].value = found;
  for (const [id, found] of Object.entries(run.grads)) if (data.nodes[id]) data.nodes[id].grad = found;
  data.events.filter((event) => event.pass === "backward").forEach((event, i) => {
    event.g = run.events[i].g;
    for (const part of event.parts) {
      const edge = edgeOf.get(part.edge);
      [part.part, part.sum] = run.events[i].parts[edge.position];
      edge.flow = part.part;
      delete edge.local; // it was that of the last step
    }
  });
  relabel();
  byId("run").value = state.run;
  const loss = Number.isFinite(run.loss) ? `, loss ${number(Number(run.loss.toPrecision(4)))}` : "";
  byId("trained").textContent = `step ${run.step} of ${data.runs[data.runs.length - 1].step}${loss}`;
  curve();
  goTo(state.step, true);
  if (state.node) choose(state.node);
}

// Statistics as short as a box is wide: the array if it is small, else its norm.
function inBox(found) {
  return found.text && found.text.length <= 34 ? found.text : `norm ${number(Number(Number(found.norm).toPrecision(4)))}`;
}

// Write the numbers of the training step into the drawing. It has the gradients of the last one, and the values of
// parameters after it.
function relabel() {
  const last = state.run === data.runs.length - 1;
  for (const text of canvas.querySelectorAll(".node text, .edge text")) {
    text.dataset.drawn ??= text.textContent;
    const drawn = text.dataset.drawn, node = data.nodes[(text.closest(".node") || {}).id];
    const edge = edgeOf.get((text.closest(".edge") || {}).id);
    let now = drawn;
    if (node && drawn.startsWith("value ")) now = `value ${inBox(node.value)}`;
    else if (node && drawn.startsWith("grad ")) now = `grad ${inBox(node.grad)}`;
    else if (!last && /^(= |gain )/.test(drawn)) now = "\u00a0";
    else if (!last && edge && /^\u2190 (norm|\[|-?[\d.])/.test(drawn)) now = `\u2190 ${inBox(edge.flow)}`;
    if (text.textContent !== now) text.textContent = now;
  }
}

function train(on) {
  clearInterval(training);
  training = 0;
  byId("train").setAttribute("aria-label", on ? "Pause the training" : "Play the training");
  byId("train").textContent = on ? "\u275a\u275a" : "\u25b6 train";
  if (!on) return;
  if (state.run >= data.runs.length - 1) showRun(0);
  training = setInterval(() => {
    if (state.run >= data.runs.length - 1) train(false);
    else showRun(state.run + 1);
  }, Math.max(40, 6000 / data.runs.length));
}

function play(on) {
  clearInterval(timer);
  timer = 0;
  const button = byId("play");
  if (on) {
    if (state.step >= data.events.length) goTo(0);
    timer = setInterval(() => {
      if (state.step >= data.events.length) play(false);
      else goTo(state.step + 1);
    }, 900);
  }
  button.setAttribute("aria-label", on ? "Pause" : "Play");
  button.textContent = on ? "\u275a\u275a" : "\u25b6";
}
