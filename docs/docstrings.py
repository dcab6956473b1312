"""Convert docstrings, which are plain text for the source and help(), to reStructuredText.

Examples are unchanged, `code` becomes a literal, an indented block a literal block, and a line that starts with
`Shape:`, `Raises:`, `Source:` or `name = ` starts a line of its own. Everything else is text and is escaped, so that
a name such as `x_` or a formula such as |x| * 2 is not taken for markup.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

OWN_LINE = re.compile(r"[A-Z][a-z]+:\s|[\w.\[\], ]+ = |\w+\(.*\) = ")
CODE = re.compile(r"``(.+?)``|`([^`]+)`")
MARKUP = re.compile(r"([\\*|`])|(?<=\w)(_)(?!\w)|(?<!\w)(_)(?=\w)")


def escaped(text: str) -> str:
    return MARKUP.sub(lambda match: "\\" + match.group(), text)


def inline(text: str) -> str:
    """One line of text with its code made literal and everything else escaped."""
    parts, end = [], 0
    for match in CODE.finditer(text):
        before = escaped(text[end : match.start()])
        glue = "\\ " if before[-1:].isalnum() else ""
        after = "\\ " if text[match.end() : match.end() + 1].isalnum() else ""
        parts.append(f"{before}{glue}``{(match[1] or match[2]).strip()}``{after}")
        end = match.end()
    return "".join(parts) + escaped(text[end:])


def blocks(lines: list[str]) -> Iterator[list[str]]:
    """The lines in blocks: at blank lines, and before an example that follows its text directly."""
    block: list[str] = []
    for line in [*lines, ""]:
        starts_example = line.lstrip().startswith(">>>") and block and ">>>" not in block[0]
        if block and (not line.strip() or starts_example):
            yield block
            block = []
        if line.strip():
            block.append(line)


def rst(lines: list[str]) -> list[str]:
    """The lines of a docstring as lines of reStructuredText."""
    made: list[str] = []
    for block in blocks(lines):
        if block[0].lstrip().startswith(">>>"):
            indent = len(block[0]) - len(block[0].lstrip())
            made += [*(line[indent:] for line in block), ""]
        elif block[0].startswith((" ", "\t")):
            made += ["::", "", *("    " + line for line in block), ""]
        elif block[0].startswith("- "):
            made += [line[:2] + inline(line[2:]) for line in block] + [""]
        else:
            text = "\n".join(block)
            # Code may run over the end of a line.
            text = CODE.sub(lambda match: match.group().replace("\n", " "), text)
            rows: list[str] = []
            for line in text.split("\n"):
                if rows and not OWN_LINE.match(line):
                    rows[-1] += " " + line.strip()
                else:
                    rows.append(line.strip())
            made += ["| " + inline(row) for row in rows] + [""] if len(rows) > 1 else [inline(rows[0]), ""]
    return made


def as_rst(app: Any, what: str, name: str, obj: Any, options: Any, lines: list[str]) -> None:
    """Sphinx's event autodoc-process-docstring: change the lines in place."""
    lines[:] = rst(lines)
