"""The result of a gradient check: an object, text for terminals, HTML for notebooks."""

from __future__ import annotations

from html import escape
from typing import Any

from tinygrad_dl.arguments import Count, Size, checked
from tinygrad_dl.errors import TinygradError

# The thresholds of the courses for |a - n| / (|a| + |n|).
CORRECT, SUSPICIOUS = 2e-7, 1e-5
# The kinds of findings where there is no derivative to compare with.
NO_VERDICT = ("domain", "cannot tell", "precision", "no dependence")


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
    second derivative. At a kink a gradient between the derivatives of both sides is correct, and no finding.
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

    `findings` (worst first), `errors` (input name -> |a - n| / (|a| + |n|)), `checked` (numbers compared), `note`.
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
        lines = [f"gradcheck failed: the {what} disagrees in {self.disagreeing} of {self.checked} numbers"]
        lines += [
            f"  {name}: |a-n| / (|a|+|n|) = {error:.3g}"
            for name, error in list(self.errors.items())[: self.limit]
        ]
        lines += [f"  {finding}" for finding in self.findings[: self.limit]]
        if len(self.findings) > self.limit:
            lines.append(f"  and {len(self.findings) - self.limit} more")
        return "\n".join(lines + ([f"  {self.note}"] if self.note else []))

    __repr__ = __str__

    def _repr_html_(self) -> str:
        if self:
            return f"<p>✓ {escape(str(self))}</p>"
        head, *_ = str(self).splitlines()
        rows: list[list[Any]] = [
            [f.input, f.element, f.output, f"{f.analytic:.6g}", f"{f.numeric:.6g}", f.kind, f.message]
            for f in self.findings[: self.limit]
        ]
        cells = "".join(
            "<tr>" + "".join(f"<td>{escape(str(c))[:400]}</td>" for c in row) + "</tr>" for row in rows
        )
        names = "".join(
            f"<th>{n}</th>" for n in ("input", "element", "output", "analytic", "numeric", "kind", "why")
        )
        return f"<p>✗ {escape(head)}</p><table><tr>{names}</tr>{cells}</table>"
