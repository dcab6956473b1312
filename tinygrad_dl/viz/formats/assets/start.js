// Connects the controls, the keys and the URL, and shows the first layout.

let linking = false;

function link() {
  if (!linking) return;
  const words = new URLSearchParams();
  if (state.step) words.set("step", state.step);
  if (state.node) words.set("node", state.node);
  if (state.layout) words.set("collapse", state.layout);
  if (state.color !== data.color) words.set("color", state.color || "kind");
  try {
    history.replaceState(null, "", "#" + words);
  } catch {
    // A page in a sandboxed frame may not have a URL of its own.
  }
}

async function follow() {
  linking = false;
  const words = new URLSearchParams(location.hash.slice(1));
  const layout = Number(words.get("collapse") || 0);
  state.color = words.get("color") === "kind" ? "" : words.get("color") || data.color;
  if (!Object.hasOwn(data.legends, state.color)) state.color = data.color;
  await showLayout(data.layouts[layout] ? layout : 0);
  byId("depth").value = state.layout;
  byId("color").value = state.color;
  legend();
  goTo(Number(words.get("step")) || 0, true);
  if (data.runs.length > 1) showRun(data.runs.length - 1);
  if (Object.hasOwn(data.nodes, words.get("node") || "")) choose(words.get("node"));
  linking = true;
}

function legend() {
  const items = (data.legends[state.color] || []).map(([fill, text]) => {
    const item = make("li");
    if (fill) {
      const swatch = make("i");
      swatch.style.background = fill.startsWith("#") ? fill : `var(--${fill})`;
      item.append(swatch);
    }
    item.append(text);
    return item;
  });
  byId("legend").replaceChildren(...items);
}

function theme(dark) {
  document.documentElement.dataset.theme = dark ? "dark" : "light";
  byId("theme").setAttribute("aria-pressed", String(dark));
}

function complain(error) {
  byId("canvas").replaceChildren(make("p", `The graph could not be laid out: ${error.message || error}`));
}

function listenToControls() {
  data.layouts.forEach((layout, i) => byId("depth").append(make("option", layout.name, { value: i })));
  const names = { "": "kind", grad: "gradient", gain: "gain", nan: "not finite" };
  for (const name of Object.keys(data.legends)) byId("color").append(make("option", names[name], { value: name }));
  byId("steps").max = data.events.length;
  byId("depth").addEventListener("change", async (event) => {
    try {
      await showLayout(Number(event.target.value));
    } catch (error) {
      complain(error);
      return;
    }
    search(byId("search").value);
    goTo(state.step);
    if (data.runs.length > 1) showRun(state.run);
    if (state.node) mark("chosen", [shownAs(state.node)]);
    link();
  });
  byId("color").addEventListener("change", (event) => {
    state.color = event.target.value;
    paint();
    legend();
    link();
  });
  byId("memory").hidden = !data.life;
  byId("memory").addEventListener("click", memory);
  byId("zoom-in").addEventListener("click", () => zoom(0.8));
  byId("zoom-out").addEventListener("click", () => zoom(1.25));
  byId("fit").addEventListener("click", fit);
  byId("close").addEventListener("click", closePanel);
  byId("theme").addEventListener("click", () => theme(document.documentElement.dataset.theme !== "dark"));
  byId("first").addEventListener("click", reset);
  byId("back").addEventListener("click", () => goTo(state.step - 1));
  byId("next").addEventListener("click", () => goTo(state.step + 1));
  byId("last").addEventListener("click", () => goTo(data.events.length));
  byId("play").addEventListener("click", () => play(!timer));
  byId("training").hidden = data.runs.length < 2;
  byId("run").max = data.runs.length - 1;
  byId("train").addEventListener("click", () => train(!training));
  byId("run").addEventListener("input", (event) => {
    train(false);
    showRun(Number(event.target.value));
  });
  byId("steps").addEventListener("input", (event) => goTo(Number(event.target.value)));
  byId("search").addEventListener("input", (event) => search(event.target.value));
  byId("search").addEventListener("keydown", (event) => {
    if (event.key === "Enter") nextMatch();
    if (event.key === "Escape") {
      event.target.value = "";
      search("");
      canvas.focus();
    }
  });
  window.addEventListener("resize", () => state.svg && initialView());
  window.addEventListener("hashchange", follow);
}

// Back to the first step and the first view.
function reset() {
  play(false);
  goTo(0);
  initialView();
}

function listenToKeys() {
  const keys = {
    ArrowRight: () => goTo(state.step + 1),
    ArrowLeft: () => goTo(state.step - 1),
    " ": () => play(!timer),
    Home: reset,
    End: () => goTo(data.events.length),
    "+": () => zoom(0.8),
    "=": () => zoom(0.8),
    "-": () => zoom(1.25),
    0: fit,
    "/": () => byId("search").focus(),
    Escape: closePanel,
  };
  document.addEventListener("keydown", (event) => {
    const target = event.target;
    if (event.ctrlKey || event.metaKey || event.altKey || target.closest("input, select")) return;
    const group = target.closest("#canvas .node, #canvas .cluster");
    if (group && (event.key === "Enter" || event.key === " ")) {
      event.preventDefault();
      if (group.classList.contains("cluster")) toggleModule(group.id);
      else choose(group.id);
      return;
    }
    if (event.key === " " && target.closest("button")) return;
    const act = keys[event.key];
    if (!act) return;
    event.preventDefault();
    act();
  });
}

theme(matchMedia("(prefers-color-scheme: dark)").matches);
listenToControls();
listenToPointers();
listenToKeys();
follow()
  .catch(complain)
  .finally(() => {
    document.body.dataset.ready = "1";
  });
