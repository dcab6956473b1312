// Folding a module: its inside goes, and so does the space that it took, so that the rest closes up.

const GAP = 8; // what is left of an empty strip
const AROUND = 14; // the space around what is shown that stays as it is
const ARROW = 9; // the length of an arrow's head

// Ranges in order, with those that touch as one.
function joined(ranges) {
  const found = [];
  for (const [low, high] of [...ranges].sort((a, b) => a[0] - b[0])) {
    const last = found[found.length - 1];
    if (last && low <= last[1]) last[1] = Math.max(last[1], high);
    else found.push([low, high]);
  }
  return found;
}

// A map of one axis under which the strips of `ranges` that have nothing of `kept` in them shrink to a gap.
function closing(ranges, kept) {
  const strips = [], stays = joined(kept);
  for (const [low, high] of joined(ranges)) {
    let at = low;
    for (const [a, b] of stays) {
      if (b <= at || a >= high) continue;
      if (a - at > GAP) strips.push([at, a]);
      at = b;
    }
    if (high - at > GAP) strips.push([at, high]);
  }
  return (x) => strips.reduce((now, [a, b]) => (x <= a ? now : now - ((Math.min(x, b) - a) * (b - a - GAP)) / (b - a)), x);
}

function middle(box) {
  return [box.x + box.width / 2, box.y + box.height / 2];
}

function inside(box, [x, y], margin = 0) {
  return x > box.x - margin && x < box.x + box.width + margin && y > box.y - margin && y < box.y + box.height + margin;
}

// As it was drawn, before anything was folded.
function unfold() {
  for (const moved of state.svg.querySelectorAll("[data-moved]")) {
    moved.removeAttribute("transform");
    delete moved.dataset.moved;
  }
  for (const path of state.svg.querySelectorAll("path[data-d]")) path.setAttribute("d", path.dataset.d);
  for (const text of state.svg.querySelectorAll(".cluster text.inside, .edge text.inside")) text.classList.remove("inside");
  state.whole = state.drawn;
}

function transform(element, text) {
  element.setAttribute("transform", text);
  element.dataset.moved = "1";
}

function newPath(path, d) {
  path.dataset.d ??= path.getAttribute("d");
  path.setAttribute("d", d);
}

function between([x, y], [toX, toY], steps) {
  return Array.from({ length: steps + 1 }, (_, i) => [x + ((toX - x) * i) / steps, y + ((toY - y) * i) / steps]);
}

// A box with round corners.
function frame({ x, y, width, height }) {
  const r = Math.min(10, width / 2, height / 2);
  return `M${x + r},${y}H${x + width - r}Q${x + width},${y} ${x + width},${y + r}V${y + height - r}Q${x + width},${y + height} ${x + width - r},${y + height}H${x + r}Q${x},${y + height} ${x},${y + height - r}V${y + r}Q${x},${y} ${x + r},${y}Z`;
}

// Close the drawing up around the folded modules. `folded`: id of each -> the box of its summary.
function closeUp(folded) {
  if (!folded.size) return;
  const nodes = [], clusters = [], edges = [], kept = [...folded.values()];
  for (const id of data.layouts[state.layout].nodes) {
    const group = parts.get(id);
    if (group && !group.classList.contains("inside")) nodes.push([group, group.getBBox()]);
  }
  for (const [id, group] of parts) {
    if (!group.classList.contains("cluster") || group.classList.contains("inside")) continue;
    clusters.push([id, group, group.querySelector("path, polygon").getBBox()]);
    if (!folded.has(id)) for (const text of group.querySelectorAll("text")) kept.push(text.getBBox());
  }
  const ranges = clusters.filter(([id]) => folded.has(id)).map(([, , box]) => box);
  for (const [id, source, target] of data.layouts[state.layout].edges) {
    const group = parts.get(id);
    if (!group || group.classList.contains("inside")) continue;
    const ends = [source, target].map((node) => collapsedAround(node));
    edges.push([group, ends]);
    for (const text of group.querySelectorAll("text")) {
      // What is written on an edge inside of a folded module goes with it.
      if (ranges.some((box) => inside(box, middle(text.getBBox()))) && (ends[0] || ends[1])) text.classList.add("inside");
      else kept.push(text.getBBox());
    }
  }
  kept.push(...nodes.map(([, box]) => box));
  const X = closing(ranges.map((box) => [box.x, box.x + box.width]), kept.map((box) => [box.x - AROUND, box.x + box.width + AROUND]));
  const Y = closing(ranges.map((box) => [box.y, box.y + box.height]), kept.map((box) => [box.y - AROUND, box.y + box.height + AROUND]));
  const mapped = (box) => ({ x: X(box.x), y: Y(box.y), width: X(box.x + box.width) - X(box.x), height: Y(box.y + box.height) - Y(box.y) });
  const move = (element, box = element.getBBox()) => {
    const [x, y] = middle(box);
    transform(element, `translate(${X(x) - x} ${Y(y) - y})`);
  };

  for (const [group, box] of nodes) move(group, box);
  const frames = new Map();
  for (const [id, group, box] of clusters) {
    const text = folded.get(id), edge = AROUND - 2;
    const now = mapped(text ? { x: text.x - edge, y: text.y - edge, width: text.width + 2 * edge, height: text.height + 2 * edge } : box);
    frames.set(id, now);
    newPath(group.querySelector("path, polygon"), frame(now));
    for (const text of group.querySelectorAll("text")) move(text);
  }
  for (const [group, ends] of edges) {
    const path = group.querySelector("path"), head = group.querySelector("polygon");
    for (const text of group.querySelectorAll("text:not(.inside)")) move(text);
    if (path) newPath(path, path.getAttribute("d").replace(/(-?[\d.]+),(-?[\d.]+)/g, (_, x, y) => `${X(Number(x))},${Y(Number(y))}`));
    if (head) move(head);
    if (path && (ends[0] || ends[1])) shorten(path, head, frames.get(ends[0]), frames.get(ends[1]));
  }
  const [left, top, width, height] = state.drawn;
  const shift = state.svg.querySelector("g").transform.baseVal.consolidate().matrix;
  const whole = mapped({ x: left - shift.e, y: top - shift.f, width, height });
  state.whole = [whole.x + shift.e, whole.y + shift.f, whole.width, whole.height];
}

// Let an edge begin and end at the frames of the folded modules, and its head be where it ends.
function shorten(path, head, first, last) {
  const length = path.getTotalLength(), steps = 64;
  let points = Array.from({ length: steps + 1 }, (_, i) => path.getPointAtLength((length * i) / steps)).map(({ x, y }) => [x, y]);
  // Where it ended there may be nothing any more: it goes on towards the middle of the frame.
  if (first) points.unshift(...between(middle(first), points[0], steps));
  if (last) points.push(...between(points[points.length - 1], middle(last), steps));
  if (first) points = points.slice(Math.max(0, points.findLastIndex((point) => inside(first, point))));
  if (last) {
    const end = points.findIndex((point) => inside(last, point, ARROW));
    if (end > 0) points = points.slice(0, end + 1);
  }
  newPath(path, "M" + points.map(([x, y]) => `${x.toFixed(1)},${y.toFixed(1)}`).join("L"));
  if (!last || !head || points.length < 2) return;
  const [[x, y], [beforeX, beforeY]] = [points[points.length - 1], points[Math.max(0, points.length - 4)]];
  const [left, tip, right] = head.getAttribute("points").trim().split(/\s+/).map((pair) => pair.split(",").map(Number));
  const was = Math.atan2(tip[1] - (left[1] + right[1]) / 2, tip[0] - (left[0] + right[0]) / 2), is = Math.atan2(y - beforeY, x - beforeX);
  const degrees = ((is - was) * 180) / Math.PI;
  transform(head, `translate(${x + ARROW * Math.cos(is)} ${y + ARROW * Math.sin(is)}) rotate(${degrees}) translate(${-tip[0]} ${-tip[1]})`);
}
