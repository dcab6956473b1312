// The search in files, the menu of versions, and a field above the table of operations that leaves the rows in which all words occur.
"use strict";

// A page that is opened as a file may not read others, so the search shows titles without excerpts there.
if (location.protocol === "file:" && typeof DOCUMENTATION_OPTIONS !== "undefined") {
  DOCUMENTATION_OPTIONS.SHOW_SEARCH_SUMMARY = false;
}

document.addEventListener("DOMContentLoaded", () => {
  const place = document.querySelector("#all-operations > h1");
  if (!place) return;
  const tables = [...document.querySelectorAll("#all-operations table")];
  const field = document.createElement("input");
  field.type = "search";
  field.className = "filter";
  field.placeholder = "Filter: a name, such as conv, or what a rule uses, such as sigmoid";
  field.setAttribute("aria-label", "Filter the operations");
  const found = document.createElement("p");
  found.setAttribute("aria-live", "polite");
  place.after(field, found);
  field.addEventListener("input", () => {
    const words = field.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const table of tables) {
      let shown = 0;
      for (const row of table.querySelectorAll("tbody tr")) {
        const matches = words.every((word) => row.textContent.toLowerCase().includes(word));
        row.hidden = !matches;
        shown += Number(matches);
      }
      // The section of a family of which nothing is left.
      table.closest("section").hidden = words.length > 0 && !shown;
      count += shown;
    }
    found.textContent = words.length ? `${count} found` : "";
  });
});

// The versions of the site. The menu leads to the same page of another version, or to its front page if there is none.
document.addEventListener("DOMContentLoaded", () => {
  const menu = document.querySelector(".versions select");
  if (!menu || !window.VERSIONS) return;
  for (const version of window.VERSIONS) {
    menu.append(new Option(version, version, false, version === menu.dataset.version));
  }
  menu.addEventListener("change", async () => {
    const root = new URL(menu.dataset.root || "./", location.href);
    const page = location.href.slice(root.href.length), other = new URL(`../${menu.value}/`, root);
    const there = await fetch(new URL(page, other), { method: "HEAD" }).catch(() => ({ ok: false }));
    location.href = new URL(there.ok ? page : "index.html", other);
  });
});
