"""The LaTeX of the registry's formulas as MathML, which browsers render without a script.

It knows what formulas are written with there, and raises ValueRangeError for anything else.
"""

from __future__ import annotations

import html
import re
from functools import lru_cache

from tinygrad_dl.errors import ValueRangeError

SIGNS = {
    "cdot": "⋅", "times": "×", "odot": "⊙", "le": "≤", "ge": "≥", "ne": "≠", "top": "⊤", "ldots": "…", "infty": "∞",
    "sum": "∑", "prod": "∏", "int": "∫", "lvert": "|", "rvert": "|", "lfloor": "⌊", "rfloor": "⌋", "lceil": "⌈",
    "rceil": "⌉", "partial": "∂", "in": "∈", "to": "→",
}  # fmt: skip
LETTERS = {
    "alpha": "α", "beta": "β", "delta": "δ", "varepsilon": "ε", "lambda": "λ", "mu": "μ", "pi": "π", "sigma": "σ",
    "varphi": "φ", "Phi": "Φ", "theta": "θ",
}  # fmt: skip
NAMES = (
    "sin",
    "cos",
    "tan",
    "arcsin",
    "arccos",
    "arctan",
    "sinh",
    "cosh",
    "tanh",
    "ln",
    "log",
    "max",
    "min",
    "arg",
    "det",
)
SPACES = {",": "0.17em", ":": "0.22em", ";": "0.28em", "quad": "1em", " ": "0.33em", "bmod": ""}
BELOW = ("sum", "prod", "max", "min")  # limits are below and above
ACCENTS = {"hat": "^", "overline": "¯", "tilde": "~"}

THIN = '<mspace width="0.17em"></mspace>'
TOKEN = re.compile(r"\\([A-Za-z]+|.)|([0-9]+(?:\.[0-9]+)?)|(\s+)|(.)", re.DOTALL)


@lru_cache(maxsize=1024)
def to_mathml(latex: str) -> str:
    """A formula as a MathML element.

    >>> to_mathml("g^2 x")
    '<math><mrow><msup><mi>g</mi><mn>2</mn></msup><mi>x</mi></mrow></math>'
    """
    parser = _Parser(latex)
    body = parser.row(())
    if parser.rest:
        raise parser.problem()
    return f"<math>{body}</math>"


class _Parser:
    """Reads a formula from left to right; each method returns the MathML of what it has read."""

    def __init__(self, latex: str) -> None:
        self.latex, self.last = latex, ""
        found = (match.groups() for match in TOKEN.finditer(latex))
        # Commands begin with a backslash; blanks mean nothing outside of \\text.
        self.rest = [
            ("\\" + command) if command is not None else (n or other)
            for command, n, s, other in found
            if not s
        ]
        self.rest.reverse()

    def problem(self) -> ValueRangeError:
        at = f" at {self.rest[-1]!r}" if self.rest else " at the end"
        return ValueRangeError(f"math: expected LaTeX that MathML is known for, got {self.latex!r}{at}")

    def peek(self) -> str:
        return self.rest[-1] if self.rest else ""

    def take(self, expected: str = "") -> str:
        if not self.rest or (expected and self.rest[-1] != expected):
            raise self.problem()
        self.last = self.rest.pop()
        return self.last

    def row(self, ends: tuple[str, ...]) -> str:
        parts: list[str] = []
        before = ""
        while self.rest and self.peek() not in ends:
            token = self.peek()
            named = token[1:] in NAMES or token == "\\operatorname"
            if named and (before.isalnum() or before in ("}", ")")):
                parts.append(THIN)  # between a factor and a function
            parts.append(self.scripted())
            before = self.last
            if named and self.rest and self.peek() not in (*ends, "(", ")", ",", "_", "^"):
                parts.append(THIN)
        return parts[0] if len(parts) == 1 else f"<mrow>{''.join(parts)}</mrow>"

    def scripted(self) -> str:
        """An atom with what is below and above it."""
        limits = self.peek()[1:] in BELOW and self.peek().startswith("\\")
        base = self.atom()
        below = above = ""
        while self.peek() in ("_", "^"):
            if self.take() == "_":
                below = self.argument()
            else:
                above = self.argument()
        if not below and not above:
            return base
        tag = (
            ("munderover" if limits else "msubsup")
            if below and above
            else (("munder" if limits else "msub") if below else ("mover" if limits else "msup"))
        )
        return f"<{tag}>{base}{below}{above}</{tag}>"

    def argument(self) -> str:
        if self.peek() == "{":
            self.take()
            inside = self.row(("}",))
            self.take("}")
            return inside
        return self.atom()

    def raw(self) -> str:
        """The text between braces as it is."""
        start = self.latex  # blanks count in text, so it is found in the source
        index = len(start) - self._length()
        match = re.compile(r"\s*\{([^{}\\]*)\}").match(start, index)
        if match is None:
            raise self.problem()
        self.take("{")
        while self.take() != "}":
            pass
        return match[1]

    def _length(self) -> int:
        """How many characters of the source are not read yet."""
        tokens = list(TOKEN.finditer(self.latex))
        real = [token for token in tokens if token[3] is None]
        return len(self.latex) - (real[-len(self.rest)].start() if self.rest else len(self.latex))

    def atom(self) -> str:
        token = self.take()
        if token == "{":
            inside = self.row(("}",))
            self.take("}")
            return inside
        if token.startswith("\\"):
            return self.command(token[1:])
        if token[0].isdigit():
            return f"<mn>{token}</mn>"
        if token.isalpha():
            return f"<mi>{token}</mi>"
        if token in "()[]":
            return f'<mo stretchy="false">{token}</mo>'
        if token in "+-=<>,:/|":
            return f"<mo>{html.escape('−' if token == '-' else token)}</mo>"
        self.rest.append(token)
        raise self.problem()

    def command(self, name: str) -> str:
        if name in SIGNS:
            fence = (
                ' stretchy="false"'
                if name in ("lvert", "rvert", "lfloor", "rfloor", "lceil", "rceil")
                else ""
            )
            return f"<mo{fence}>{SIGNS[name]}</mo>"
        if name in LETTERS:
            return f"<mi>{LETTERS[name]}</mi>"
        if name in NAMES:
            return f"<mi>{name}</mi>"
        if name == "bmod":
            return "<mo>mod</mo>"
        if name in SPACES:
            return f'<mspace width="{SPACES[name]}"></mspace>'
        if name == "frac":
            return f"<mfrac>{self.argument()}{self.argument()}</mfrac>"
        if name == "sqrt":
            if self.peek() == "[":
                self.take()
                index = self.row(("]",))
                self.take("]")
                return f"<mroot>{self.argument()}{index}</mroot>"
            return f"<msqrt>{self.argument()}</msqrt>"
        if name in ACCENTS:
            return f'<mover accent="true">{self.argument()}<mo>{ACCENTS[name]}</mo></mover>'
        if name in ("mathrm", "operatorname"):
            return f'<mi mathvariant="normal">{html.escape(self.raw())}</mi>'
        if name == "text":
            return f"<mtext>{html.escape(self.raw()).replace(' ', chr(160))}</mtext>"
        if name == "begin":
            return self.cases()
        self.rest.append("\\" + name)
        raise self.problem()

    def cases(self) -> str:
        if self.raw() != "cases":
            raise self.problem()
        rows = []
        while True:
            cells = [self.row(("&", "\\\\", "\\end"))]
            while self.peek() == "&":
                self.take()
                cells.append(self.row(("&", "\\\\", "\\end")))
            rows.append("".join(f'<mtd columnalign="left">{cell}</mtd>' for cell in cells))
            if self.take() == "\\end":
                break
        if self.raw() != "cases":
            raise self.problem()
        table = "".join(f"<mtr>{row}</mtr>" for row in rows)
        return f"<mrow><mo>{{</mo><mtable>{table}</mtable></mrow>"
