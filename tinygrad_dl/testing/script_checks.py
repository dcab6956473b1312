"""Checks of what a Python file defines, for the command tinygrad-dl check, and their results as JUnit XML and JSON."""

from __future__ import annotations

import json
import math
import re
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple
from xml.etree import ElementTree

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.nn import Module
from tinygrad_dl.op import Domain
from tinygrad_dl.scripts import find, required, shape_of
from tinygrad_dl.testing.check_op import OpReport, check_op
from tinygrad_dl.testing.doctor import Diagnosis, check_backward
from tinygrad_dl.testing.frameworks import FRAMEWORKS, OWN, framework_of, module_of
from tinygrad_dl.testing.gradcheck import gradcheck
from tinygrad_dl.testing.report import Report
from tinygrad_dl.typing import NDArray

# XML 1.0 has no way to write other control characters.
CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


class Outcome(NamedTuple):
    """The result of one check: its verdict is correct, wrong, cannot tell or error; the report as text and as data."""

    target: str
    check: str
    verdict: str
    report: str
    details: dict[str, Any]
    seconds: float


class Options(NamedTuple):
    """How to check: the options of the command."""

    inputs: Sequence[str] = ()
    backward: str | None = None
    laws: bool = False
    domain: Domain | None = None
    order: int = 1
    fast: bool = False
    framework: str | None = None
    seed: int = 0


class Prepared:
    """A target and its inputs, read from the command line. Raises ValueRangeError for what does not fit."""

    def __init__(self, target: str, options: Options) -> None:
        self.target, self.options = target, options
        found, name = find(target, "check")
        self.backward: Any = None
        if options.backward is not None:
            owner, attribute = target.rpartition(":")[0], options.backward
            self.backward = find(f"{owner}:{attribute}", "check")[0] if not hasattr(found, attribute) else getattr(
                found, attribute
            )  # fmt: skip
            if not callable(self.backward):
                raise ValueRangeError(
                    f"check: --backward: expected a function, got {type(self.backward).__name__}"
                )
        if isinstance(found, type) and (
            issubclass(found, Module) or _is_layer(found) or _is_torch_module(found)
        ):
            if required(found):
                raise ValueRangeError(
                    f"check: {name}: expected a class that can be made without arguments. Make one in the file, such "
                    f"as `layer = {name}(...)`, and check that"
                )
            found = found()
        self.found = found
        self.layer = _is_layer(found) and not isinstance(found, Module) and framework_of(found, ()) is None
        if not callable(found) and not self.layer:
            raise ValueRangeError(
                f"check: {name}: expected a function, a model or a layer with forward and backward, got "
                f"{type(found).__name__}"
            )
        numpy = self.backward is not None or self.layer
        self.framework = (
            options.framework or framework_of(found, ()) or ("numpy" if numpy else _imported(found))
        )
        self.shapes = [shape_of(text, "check", "float64") for text in options.inputs]
        count = _inputs_of(found)
        if options.laws and not self.shapes:
            return
        if count > len(self.shapes):
            raise ValueRangeError(
                f"check: {name}: expected {count} inputs, got {len(self.shapes)}. Give the shape of each: "
                "--input 3,4. If one is a setting, such as a slope, check a function of the rest: lambda x: g(x, 0.1)"
            )

    def check(self) -> Outcome:
        """Make the check; what the user's code raises is an outcome, too."""
        begin = time.perf_counter()
        kind = (
            "check_op"
            if self.options.laws
            else "check_backward"
            if self.layer or self.backward
            else "gradcheck"
        )
        if kind == "gradcheck" and self.options.order > 1:
            kind = f"gradcheck of order {self.options.order}"
        try:
            result = self._result()
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            return Outcome(self.target, kind, "error", said, {}, time.perf_counter() - begin)
        verdict = result.verdict
        return Outcome(self.target, kind, verdict, str(result), _details(result), time.perf_counter() - begin)

    def _result(self) -> Report | Diagnosis | OpReport:
        o = self.options
        if o.laws:
            shapes = [shape for shape, _ in self.shapes] or None
            return check_op(
                self.found, o.domain, shapes=shapes, backward=self.backward, framework=self.framework, seed=o.seed,
                raise_exception=False,
            )  # fmt: skip
        arrays = [self._drawn(k, *shape) for k, shape in enumerate(self.shapes)]
        if self.layer:
            return check_backward(self.found, arrays, seed=o.seed, raise_exception=False)
        if self.backward is not None:
            return check_backward(self.found, self.backward, arrays, seed=o.seed, raise_exception=False)
        f = self.found
        inputs: list[Any] = list(arrays)
        if isinstance(f, Module):
            f = f.double()
            count, model = len(arrays), f
            inputs = [*arrays, *(p for p in model.parameters() if p.requires_grad)]
            f = lambda *values: model(*values[:count])  # noqa: E731
            # With parameters among the inputs only these would be checked.
            module = module_of("tinygrad_dl")
            inputs = [module.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        elif self.framework not in OWN:
            module = module_of(self.framework)
            f = f.double() if hasattr(f, "double") else f
            inputs = [module.asarray(a) for a in arrays]
        return gradcheck(
            f,
            inputs,
            order=o.order,
            fast=o.fast,
            seed=o.seed,
            framework=self.framework,
            raise_exception=False,
        )

    def _drawn(self, k: int, shape: tuple[int, ...], dtype: np.dtype) -> NDArray:
        rng = np.random.default_rng([self.options.seed, k])
        if dtype.kind in "fc":
            drawn = (
                self.options.domain.sample(rng, shape) if self.options.domain else rng.standard_normal(shape)
            )
            return np.asarray(drawn).astype(dtype)
        return rng.integers(0, 2, shape).astype(dtype)


def _is_layer(found: Any) -> bool:
    return callable(getattr(found, "forward", None)) and callable(getattr(found, "backward", None)) and (
        not isinstance(found, type) or framework_of(found, ()) is None
    )  # fmt: skip


def _is_torch_module(found: type) -> bool:
    return any(
        kind.__module__.startswith("torch.nn.") and kind.__name__ == "Module" for kind in found.__mro__
    )


def _inputs_of(found: Any) -> int:
    """The number of inputs that a target requires."""
    function: Callable[..., Any] = found
    if isinstance(found, type) and hasattr(found, "forward"):
        return max(required(found.forward) - 1, 0)  # a Function of PyTorch: forward(ctx, ...)
    if hasattr(found, "forward"):
        function = found.forward
    return required(function)


def _imported(f: Any) -> str:
    """The one framework whose modules the file of a function imports; "tinygrad_dl" where there is none."""
    used = {
        value.__name__.partition(".")[0]
        for value in getattr(f, "__globals__", {}).values()
        if isinstance(value, ModuleType)
    }
    known = [name for name in FRAMEWORKS if name in used]
    return known[0] if len(known) == 1 and "tinygrad_dl" not in used else "tinygrad_dl"


def _details(result: Report | Diagnosis | OpReport) -> dict[str, Any]:
    """A report as data that JSON can hold."""
    if isinstance(result, Report):
        findings = [
            {
                "kind": f.kind,
                "message": f.message,
                "input": f.input,
                "element": f.element,
                "output": f.output,
                "analytic": _number(f.analytic),
                "numeric": _number(f.numeric),
            }
            for f in result.findings
        ]
        errors = {name: _number(e) for name, e in result.errors.items()}
        return {
            "checked": result.checked,
            "errors": errors,
            "findings": findings,
            "guesses": result.guesses,
            "places": result.places,
        }
    if isinstance(result, Diagnosis):
        guesses = [{"kind": g.kind, "message": g.words, "inputs": g.inputs} for g in result.guesses]
        errors = {name: _number(e) for name, e in result.errors.items()}
        return {"errors": errors, "wrong": result.wrong, "guesses": guesses, "lines": result.lines}
    laws = [
        {"law": v.law, "outcome": v.outcome, "message": v.message, "inputs": [_listed(x) for x in v.inputs]}
        for v in result.verdicts
    ]
    return {"laws": laws, "notes": result.notes}


def _listed(x: NDArray) -> Any:
    return json.loads(json.dumps(x.tolist()), parse_constant=str)


def _number(x: float) -> float | None:
    return float(x) if math.isfinite(x) else None


def as_json(outcomes: Sequence[Outcome]) -> str:
    """The outcomes as JSON: a list of objects with target, check, verdict, report, seconds and what the check found."""
    rows = [
        {
            "target": o.target,
            "check": o.check,
            "verdict": o.verdict,
            "seconds": round(o.seconds, 3),
            "report": o.report,
            **o.details,
        }
        for o in outcomes
    ]
    return json.dumps(rows, indent=1, allow_nan=False)


def write_junit(outcomes: Sequence[Outcome], path: Path) -> None:
    """Write the outcomes as JUnit XML, which CI systems read: one test case for each target."""
    wrong = sum(o.verdict in ("wrong", "cannot tell") for o in outcomes)
    errors = sum(o.verdict == "error" for o in outcomes)
    total = f"{sum(o.seconds for o in outcomes):.3f}"
    counts = {"tests": str(len(outcomes)), "failures": str(wrong), "errors": str(errors), "time": total}
    root = ElementTree.Element("testsuites", counts)
    suite = ElementTree.SubElement(root, "testsuite", {"name": "tinygrad-dl check", "skipped": "0", **counts})
    for o in outcomes:
        file, _, name = o.target.rpartition(":")
        attributes = {
            "classname": file.removesuffix(".py").replace("/", ".").lstrip("."),
            "name": f"{name} ({o.check})",
        }
        case = ElementTree.SubElement(
            suite, "testcase", {**attributes, "file": file, "time": f"{o.seconds:.3f}"}
        )
        if o.verdict != "correct":
            kind = "error" if o.verdict == "error" else "failure"
            first = CONTROL.sub("�", o.report.splitlines()[0] if o.report else "")
            problem = ElementTree.SubElement(case, kind, {"message": first, "type": o.verdict})
            problem.text = CONTROL.sub("�", o.report)
    ElementTree.indent(root)
    ElementTree.ElementTree(root).write(path, encoding="utf-8", xml_declaration=True)
