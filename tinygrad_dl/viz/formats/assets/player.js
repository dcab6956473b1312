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
    const pieces = [`to ${to}: `, make("code", edge.rule || "its rule"), ` = ${brief(part.part)}`];
    if (edge.local !== undefined) pieces.push(` (local derivative ${number(edge.local)} times g)`);
    if (edge.broadcast) pieces.push(`, ${edge.broadcast.split("; ")[1]}`);
    if (part.nth > 1) pieces.push(`; sum so far, ${part.nth} parts: ${brief(part.sum)}`);
    lines.push(paragraph(...pieces));
  }
  if (!event.parts.length) lines.push(paragraph("no input requires a gradient"));
  return lines;
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
    explanation.append(paragraph(`Step through ${data.events.length} steps: ${order}. Keys: \u2190 \u2192 Space Home End.`));
  }
  canvas.classList.toggle("playing", Boolean(event));
  mark("done", done);
  mark("active", active);
  byId("steps").value = state.step;
  byId("count").textContent = `${state.step} / ${data.events.length}`;
  if (event) say([...explanation.children].map((p) => p.textContent).join(". "));
  link();
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
