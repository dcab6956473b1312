"""The registry's mathematics on one line, with the names of a program: `x \\, \\Phi(x)` as Z1 * Phi(Z1)."""

from __future__ import annotations

import re
from collections.abc import Mapping

TOKEN = re.compile(r"\\([A-Za-z]+|.)|([0-9]+(?:\.[0-9]+)?)|\s+|(.)")
FUNCTIONS = {
    "sin", "cos", "tan", "arcsin", "arccos", "arctan", "sinh", "cosh", "tanh", "ln", "max", "min", "sign", "arsinh",
    "arcosh", "artanh", "sigma", "Phi", "phi",
}  # fmt: skip
SAME = {"varphi": "phi"}
SPACES = (",", ":", ";", " ")
OPEN, CLOSED = {"(": "(", "[": "(", "lvert": "abs("}, {")": ")", "]": ")", "rvert": ")"}


class Unwritable(Exception):
    """A part that does not fit on a line: cases, sums, an option's letter."""


def on_a_line(latex: str, names: Mapping[str, str]) -> str:
    """A formula in plain text; "" if it does not fit on a line. `names`: what `x`, `g` and `out` are called.

    >>> on_a_line(r"g \\cdot \\frac{1}{1 + x}", {"g": "dA", "x": "Z"})
    'dA / (1 + Z)'
    """
    found = TOKEN.findall(latex)
    tokens = [command or number or other for command, number, other in found if command not in SPACES]
    tokens = [token for token in tokens if token][::-1]
    try:
        text = _row(tokens, names, "")
    except Unwritable:
        return ""
    return re.sub(r" \* 1 / ", " / ", text)


def _row(tokens: list[str], names: Mapping[str, str], end: str) -> str:
    """The tokens up to `end`, which is taken. What stands next to each other is multiplied."""
    text, function = "", False  # whether the last one is a function without its argument yet
    while tokens:
        token = tokens.pop()
        if token == end:
            return text
        if token in ("+", "-", "=", "<", ">"):
            text += f" {token} " if text else token
            continue
        if token == "," and end in (")", "]"):
            text += ", "
            continue
        if token == "^":
            text = f"{text}^{_argument(tokens, names)}"
            continue
        if token == "cdot":
            continue
        part = _atom(token, tokens, names)
        if function:
            text += part if part.startswith("(") else f"({part})"
        else:
            text += f" * {part}" if text and text[-1] not in " -" else part
        function = part in FUNCTIONS
        if function and tokens[-1:] == ["^"]:  # tanh^2 x
            tokens.pop()
            power = _argument(tokens, names)
            text += f"({_part(tokens, names)})^{power}"
            function = False
    if end:
        raise Unwritable
    return text


def _atom(token: str, tokens: list[str], names: Mapping[str, str]) -> str:
    if token in names:
        return names[token]
    if token.replace(".", "").isdigit():
        return token
    if token in OPEN:
        closed = {"(": ")", "[": "]", "lvert": "rvert"}[token]
        return f"{OPEN[token]}{_row(tokens, names, closed)})"
    if token == "{":
        return _row(tokens, names, "}")
    if token == "frac":
        above, below = _argument(tokens, names), _argument(tokens, names)
        return f"{above} / {below}"
    if token == "sqrt" and tokens[-1:] == ["{"]:
        return f"sqrt({_part(tokens, names)})"
    if token in ("mathrm", "operatorname"):
        word = ""
        tokens.pop()
        while (letter := tokens.pop()) != "}":
            word += letter
        return _atom(word, tokens, names)
    if token == "e" and tokens[-1:] == ["^"]:
        tokens.pop()
        return f"exp({_part(tokens, names)})"
    if SAME.get(token, token) in FUNCTIONS:
        return SAME.get(token, token)
    raise Unwritable


def _part(tokens: list[str], names: Mapping[str, str]) -> str:
    """What a command applies to."""
    if not tokens:
        raise Unwritable
    return _atom(tokens.pop(), tokens, names)


def _argument(tokens: list[str], names: Mapping[str, str]) -> str:
    """A part as an operand: in parentheses if it is more than a name, a number or a call."""
    text = _part(tokens, names)
    return text if re.fullmatch(r"\w+(\([^()]*\))?", text) else f"({text})"
