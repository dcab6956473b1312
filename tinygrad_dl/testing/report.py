"""The result of a gradient check: an object, text for terminals, HTML for notebooks."""

from __future__ import annotations

from collections.abc import Callable

from tinygrad_dl import markup
from tinygrad_dl.arguments import Count, Size, checked
from tinygrad_dl.errors import TinygradError

# The thresholds of the courses for |a - n| / (|a| + |n|).
CORRECT, SUSPICIOUS = 2e-7, 1e-5
# The kinds of findings where there is no derivative to compare with.
NO_VERDICT = ("domain", "cannot tell", "precision", "no dependence", "nondeterministic")


class GradcheckError(TinygradError, AssertionError):
    """A gradient disagrees with finite differences; `report` says where and why."""

    @checked
    def __init__(self, report: Report) -> None:
        super().__init__(str(report))
        self.report = report


class Finding:
    """One disagreement: where, both values, and the diagnosis.

    `kind` is one of fault, kink, cannot tell, domain, precision, no dependence, nondeterministic, input modified,
    shape, dtype; for other frameworks also needs_input_grad, non-contiguous, saved tensor modified, forward mode,
    second derivative, unused result, vmap, forward rule. At a kink a gradient between the derivatives of both sides is
    correct, and no finding.
    """

    @checked
    def __init__(
        self,
        kind: str,
        message: str,
        *,
        input: str = "",
        element: tuple[int, ...] | None = None,
        output: tuple[int, ...] | None = None,
        analytic: float = float("nan"),
        numeric: float = float("nan"),
    ) -> None:
        self.kind, self.message, self.input, self.element, self.output = kind, message, input, element, output
        self.analytic, self.numeric = analytic, numeric

    @property
    def absolute_error(self) -> float:
        """|analytic - numeric|."""
        return abs(self.analytic - self.numeric)

    @property
    def relative_error(self) -> float:
        """|analytic - numeric| / max(|analytic|, |numeric|)."""
        # Relative to the larger of both, so that it is symmetric and at most 2.
        larger = max(abs(self.analytic), abs(self.numeric))
        return self.absolute_error / larger if larger else 0.0

    def __str__(self) -> str:
        where = self.input
        if self.element is not None:
            where += f"[{', '.join(map(str, self.element))}]" if self.element else ""
        if self.output:
            where += f", output[{', '.join(map(str, self.output))}]"
        text = f"{where}: " if where else ""
        if self.element is not None:
            text += f"analytic {self.analytic:.9g}, numeric {self.numeric:.9g} "
            text += f"(off by {self.absolute_error:.2g}, relative {self.relative_error:.2g}): "
        return f"{text}{self.kind}: {self.message}"


class Report:
    """The result of a gradient check; true if it passed.

    `findings` (worst first), `errors` (input name -> |a - n| / (|a| + |n|)), `checked` (numbers compared), `note`,
    `guesses` (likely mistakes, in words), `places` (the parts of the function, and the lines, that are wrong).
    """

    @checked
    def __init__(self, order: Count = 1, limit: Size = 8) -> None:
        self.order, self.limit = order, limit
        self.findings: list[Finding] = []
        self.errors: dict[str, float] = {}
        self.checked = 0
        self.disagreeing = 0
        self.examined = 0  # those at which a closer look was taken
        self.kinks = 0  # correct ones at a kink
        self.note = ""  # what the comparison depended on
        self.guesses: list[str] = []
        self.places: list[str] = []

    def __bool__(self) -> bool:
        return not self.findings

    @property
    def verdict(self) -> str:
        """ "correct", "wrong" or "cannot tell"."""
        if not self.findings:
            return "correct"
        return "cannot tell" if all(f.kind in NO_VERDICT for f in self.findings) else "wrong"

    def reading(self) -> str:
        """Classify the largest relative error as the courses do."""
        worst = max(self.errors.values(), default=0.0)
        if self and worst > CORRECT:
            return f"{worst:.2g}, within the tolerances: correct"
        if worst <= CORRECT:
            return f"{worst:.2g}, at most 2e-7: correct"
        if worst <= SUSPICIOUS:
            return f"{worst:.2g}, between 2e-7 and 1e-5: suspicious"
        return f"{worst:.2g}, above 1e-5: probably wrong"

    def __str__(self) -> str:
        what = "gradient" if self.order == 1 else f"gradient of order {self.order}"
        if self:
            passed = f"gradcheck passed: the {what} agrees in {self.checked} numbers (relative error {self.reading()})"
            if self.kinks:
                passed += f"\n  {self.kinks} of them at a kink, between the derivatives of both sides"
            return passed + (f"\n  {self.note}" if self.note else "")
        lines = [f"{self._headline(what)} of {self.checked} numbers"]
        if not self.checked:
            failed = "failed" if self.verdict == "wrong" else "cannot tell: it stopped"
            lines = [f"gradcheck {failed} before it could compare the {what}"]
        lines += [
            f"  {name}: |a-n| / (|a|+|n|) = {error:.3g}"
            for name, error in list(self.errors.items())[: self.limit]
        ]
        lines += [f"  likely mistake: {guess}" for guess in self.guesses[:2]]
        lines += [f"  {place}" for place in self.places[:4]]
        lines += [f"  {finding}" for finding in self.findings[: self.limit]]
        if len(self.findings) > self.limit:
            lines.append(f"  and {len(self.findings) - self.limit} more")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    __repr__ = __str__

    def _headline(self, what: str) -> str:
        if self.verdict == "wrong":
            return f"gradcheck failed: the {what} disagrees in {self.disagreeing}"
        return f"gradcheck cannot tell: the {what} could not be judged in {self.disagreeing}"

    def _repr_html_(self) -> str:
        head, *more = str(self).splitlines()
        if self:
            return markup.block("".join(markup.paragraph(markup.text(line)) for line in [f"✓ {head}", *more]))
        columns: dict[str, Callable[[Finding], str]] = {
            "input": lambda f: f.input,
            "element": lambda f: "" if f.element is None else str(f.element),
            "output": lambda f: str(f.output or ""),
            "analytic": lambda f: f"{f.analytic:.6g}" if f.element is not None else "",
            "numeric": lambda f: f"{f.numeric:.6g}" if f.element is not None else "",
            "kind": lambda f: f.kind,
            "why": lambda f: f.message[:400],
        }
        cells = {
            name: [markup.text(of(f)) for f in self.findings[: self.limit]] for name, of in columns.items()
        }
        shown = {name: column for name, column in cells.items() if any(column)}
        sign = "✗" if self.verdict == "wrong" else "?"
        left = [i for i, name in enumerate(shown) if name in ("input", "kind", "why")]
        rows = list(zip(*shown.values()))
        return markup.paragraph(markup.text(f"{sign} {head}")) + markup.block(
            markup.table(list(shown), rows, left)
        )
