// A button on each program that copies it, of a session only what was typed.
"use strict";

function typed(text) {
  if (!/^>>> /m.test(text)) return text;
  return text
    .split("\n")
    .filter((line) => /^(>>>|\.\.\.)( |$)/.test(line))
    .map((line) => line.slice(4))
    .join("\n");
}

document.addEventListener("DOMContentLoaded", () => {
  const [copy, copied] = document.documentElement.lang === "ja" ? ["コピー", "コピーしました"] : ["Copy", "Copied"];
  if (!navigator.clipboard) return; // over plain http browsers offer none
  for (const block of document.querySelectorAll("div.highlight-python, div.highlight-ipython3, div.highlight-sh")) {
    const button = document.createElement("button");
    button.className = "copy";
    button.type = "button";
    button.textContent = copy;
    button.addEventListener("click", async () => {
      await navigator.clipboard.writeText(typed(block.querySelector("pre").textContent).trimEnd() + "\n");
      button.textContent = copied;
      setTimeout(() => (button.textContent = copy), 1500);
    });
    block.querySelector("div.highlight").append(button);
  }
});
