"""The reference: a page for each class and function, and the directive `reference`, tables of them by subject."""

from __future__ import annotations

import importlib
import inspect
import re
import sys
from collections.abc import Iterator
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import docstrings
import operations
import parameters
from docutils import nodes
from sphinx.util.docutils import SphinxDirective

DOCS = Path(__file__).resolve().parent
FOLDER = DOCS / "api" / "reference"  # written by each build

# Page of the reference -> the modules whose classes and functions are on it.
MODULES = {
    "operations": ["operations"],
    "data": ["tinygrad_dl.data"],
    "nn": ["tinygrad_dl.nn"],
    "nn-utils": [
        "tinygrad_dl.nn.utils",
        "tinygrad_dl.nn.utils.rnn",
        "tinygrad_dl.nn.utils.parametrize",
        "tinygrad_dl.nn.utils.parametrizations",
    ],
    "optim": ["tinygrad_dl.optim", "tinygrad_dl.optim.lr_scheduler", "tinygrad_dl.optim.swa_utils"],
    "distributed": ["tinygrad_dl.distributed"],
    "train": ["tinygrad_dl.train", "tinygrad_dl.train.search"],
    "viz": ["tinygrad_dl.viz"],
    "testing": ["tinygrad_dl.testing", "tinygrad_dl.testing.strategies"],
}
# The subjects of nn in the order in which people look for them; others follow.
LAYERS = [
    *("module", "containers", "parameter"),
    *(f"layers.{name}" for name in ("linear", "conv", "pooling", "activation", "normalization", "dropout")),
    *(f"layers.{name}" for name in ("loss", "recurrent", "recurrent_cells", "attention", "transformer")),
    *(f"layers.{name}" for name in ("embedding", "padding", "upsample", "flatten", "fold", "distance")),
]
# Modules with so many names that each subject has its table on a page of its own.
IN_PARTS = {"operations", "tinygrad_dl.nn"}


class Entry(NamedTuple):
    """A class or function of the reference."""

    name: str
    path: str  # as it is imported
    made: Any
    subject: str  # the module that defines it

    @property
    def page(self) -> str:
        # Names that differ in case only would be one file on some systems: linear and Linear.
        kind = "class" if isinstance(self.made, type) else "function"
        return re.sub(r"\W", "-", self.path.removeprefix("tinygrad_dl.")) + f"-{kind}"


@cache
def entries(module: str) -> tuple[Entry, ...]:
    """The public classes and functions of a module, by subject."""
    if module == "operations":
        return tuple(
            Entry(op.forward.__name__, operations.public_name(op), op.function, operations.family(op))
            for op in operations.in_families()
        )
    space = importlib.import_module(module)
    names = getattr(space, "__all__", None)
    if names is None:
        public = {
            name: str(getattr(made, "__module__", "")) for name, made in vars(space).items() if name[0] != "_"
        }
        # What a module defines; of one that gathers, what it has from the modules beside it.
        own = [name for name, place in public.items() if place == module]
        folder = module.rpartition(".")[0]
        names = own or [name for name, place in public.items() if place.rpartition(".")[0] == folder]
    found = []
    for name in names:
        made = getattr(space, name)
        if (inspect.isclass(made) or inspect.isroutine(made)) and (made.__doc__ or "").strip():
            found.append(Entry(name, f"{module}.{name}", made, str(made.__module__)))
    order = {entry.subject: i for i, entry in reversed(list(enumerate(found)))}
    for place, subject in enumerate(reversed(LAYERS)):
        order[f"tinygrad_dl.nn.{subject}"] = -1 - place
    return tuple(sorted(found, key=lambda entry: (order[entry.subject], entry.name.lower())))


def subjects(module: str) -> Iterator[tuple[str, str, list[Entry]]]:
    """(title, what it is about, entries) of each subject of a module; one subject where most entries have their own."""
    if len({entry.subject for entry in entries(module)}) > len(entries(module)) / 2:
        listed = sorted(entries(module), key=lambda entry: entry.name.lower())
        yield operations.title(module), "", listed
        return
    for subject, members in groupby(entries(module), key=lambda entry: entry.subject):
        title = operations.title(subject)
        about = ((sys.modules[subject].__doc__ or "").strip().splitlines() or [""])[0]
        yield title, about, list(members)


def summary(entry: Entry) -> str:
    """The first sentence of the docstring, as reStructuredText."""
    text = " ".join((inspect.getdoc(entry.made) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.:])\s(?=[A-Z`>])", text)[0]
    return docstrings.inline(sentence.rstrip(":"))


def table(members: list[Entry]) -> list[str]:
    """A table with a line for each entry."""
    lines = [".. list-table::", "   :widths: 30 70", "   :class: summary", ""]
    for entry in members:
        lines.append(f"   * - :doc:`{entry.name} </api/reference/{entry.page}>`")
        lines.append(f"     - {summary(entry)}")
    return [*lines, ""]


def links(members: list[Entry]) -> str:
    """The names of entries, each a link to its page."""
    return ", ".join(f":doc:`{entry.name} </api/reference/{entry.page}>`" for entry in members)


def part(module: str, title: str) -> str:
    """The name of the page of a subject, for a module in parts."""
    return f"{module.rpartition('.')[2]}-{title}-names".lower().replace(" ", "-").replace(",", "")


def contents(module: str) -> list[str]:
    """A table with a line for each subject of a module in parts: its page, and its names."""
    lines = [".. list-table::", "   :widths: 24 76", "   :class: summary parts", ""]
    for title, _, members in subjects(module):
        lines.append(f"   * - :doc:`{title} </api/reference/{part(module, title)}>`")
        lines.append(f"     - {links(members)}")
    return [*lines, ""]


class Reference(SphinxDirective):
    """The tables of a module's classes and functions."""

    required_arguments = 1

    def run(self) -> list[nodes.Node]:
        module = self.arguments[0]
        parts = list(subjects(module))
        if module in IN_PARTS:
            return self.parse_text_to_nodes("\n".join(contents(module)))
        if len(parts) == 1:
            return self.parse_text_to_nodes("\n".join(table(parts[0][2])))
        made: list[nodes.Node] = []
        for title, about, members in parts:
            # Sections without names: the labels of several pages would be the same.
            ids = f"{module.rpartition('.')[2]}-{title.lower().replace(' ', '-')}"
            section = nodes.section("", nodes.title(title, title), ids=[ids])
            text = [docstrings.inline(about), ""] if about else []
            section += self.parse_text_to_nodes("\n".join([*text, *table(members)]))
            made.append(section)
        return made


def write() -> None:
    """Write a page for each entry, and remove those of entries that are gone. Unchanged ones are not built again."""
    FOLDER.mkdir(exist_ok=True)
    wanted = {}
    for hub, modules in MODULES.items():
        for module in modules:
            for title, about, members in subjects(module):
                place = f":doc:`/api/{hub}` › {title}"
                if module in IN_PARTS:
                    name = part(module, title)
                    wanted[FOLDER / f"{name}.rst"] = part_page(hub, title, about, members)
                    place = f":doc:`/api/{hub}` › :doc:`{title} </api/reference/{name}>`"
                for entry in members:
                    wanted[FOLDER / f"{entry.page}.rst"] = page(hub, place, title, entry, members)
    for old in set(FOLDER.glob("*.rst")) - set(wanted):
        old.unlink()
    for path, text in wanted.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")


@cache
def neighbors() -> dict[str, tuple[str, str]]:
    """Each page of the reference -> the pages before and after it, in the order of the tables, from the hub on."""
    found: dict[str, tuple[str, str]] = {}
    for hub, modules in MODULES.items():
        pages = [f"api/{hub}"]
        for module in modules:
            for title, _, members in subjects(module):
                pages += [f"api/reference/{part(module, title)}"] * (module in IN_PARTS)
                pages += [f"api/reference/{entry.page}" for entry in members]
        for before, page, after in zip(pages, pages[1:], [*pages[2:], ""]):
            found[page] = (before, after)
    return found


def headed(title: str) -> list[str]:
    """The first lines of a page that is in no table of contents."""
    return [":orphan:", "", title, "=" * len(title), ""]


def part_page(hub: str, title: str, about: str, members: list[Entry]) -> str:
    """The page of a subject: its table."""
    lines = [
        *headed(title),
        f":doc:`/api/{hub}` › {title}",
        "",
        docstrings.inline(about),
        "",
        *table(members),
    ]
    return "\n".join(lines)


def arguments(made: Any) -> list[str]:
    """A table of the parameters, where the annotations say more than that they are arrays."""
    rows = parameters.table(made)
    if not any(takes not in ("", "an array") or what for _, takes, _, what in rows):
        return []
    shown = [["name", "expects", "default", "description"]]
    for name, takes, default, what in rows:
        value = f"``{default}``" if default else ""
        shown.append([f"``{name}``", docstrings.inline(takes), value, docstrings.inline(what)])
    columns = 4 if any(what for *_, what in rows) else 3
    lines = [".. rubric:: Parameters", "", ".. list-table::", "   :header-rows: 1", "   :widths: auto"]
    lines += ["   :class: parameters", ""]
    for row in shown:
        lines += [f"   {' ' if i else '*'} - {text}".rstrip() for i, text in enumerate(row[:columns])]
    return [*lines, ""]


def page(hub: str, place: str, title: str, entry: Entry, members: list[Entry]) -> str:
    """The page of an entry, with its neighbors of the same subject."""
    kind = "autoclass" if isinstance(entry.made, type) else "autofunction"
    others = links([other for other in members if other is not entry])
    lines = [*headed(entry.name), place, "", f".. {kind}:: {entry.path}", ""]
    op = getattr(entry.made, "op", None) if hub == "operations" else None
    if op is not None and operations.facts(op):
        lines += [f"   {operations.facts(op)}", ""]  # as a part of the docstring
    lines += arguments(entry.made)
    if op is not None and op.math:
        names = [rf"\mathrm{{d}}\mathrm{{{name.replace('_', '')}}}" for name in op.inputs]
        rules = [f"{name} = {text}" for name, text in zip(names, op.math[1:]) if text]
        lines += ["The result, and what each input receives of the gradient g of the result:", ""]
        for formula in (op.math[0], *rules):
            lines += [".. math::", "", f"   {formula}", ""]
    if others:
        lines += [f".. rubric:: {title}", "", others, ""]
    return "\n".join(lines)
