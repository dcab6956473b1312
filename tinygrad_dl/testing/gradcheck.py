"""gradcheck: compare gradients with central differences, and diagnose disagreements."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import autograd
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing import finite_differences
from tinygrad_dl.testing.disagreement import diagnose
from tinygrad_dl.testing.report import Finding, GradcheckError, Report
from tinygrad_dl.typing import NDArray, Shape


class Problem:
    """A function and its inputs, as a function from arrays to one flat float64 array."""

    def __init__(
        self, f: Callable[..., Any], inputs: Sequence[Any], backward: Callable[..., Any] | None
    ) -> None:
        self.f, self.backward = f, backward
        self.given = list(inputs)
        self.tensors = [isinstance(x, Tensor) for x in inputs] if backward is None else [False] * len(inputs)
        self.data = [x.detach().numpy() if isinstance(x, Tensor) else x for x in inputs]
        # If some inputs require grad, only these are checked, otherwise every floating-point one.
        selected = any(isinstance(x, Tensor) and x.requires_grad for x in inputs)
        self.positions = [
            k
            for k, (x, d) in enumerate(zip(inputs, self.data))
            if isinstance(d, (np.ndarray, np.floating))
            and d.dtype.kind == "f"
            and (not selected or (isinstance(x, Tensor) and x.requires_grad))
        ]
        self.arrays = [np.asarray(self.data[k]) for k in self.positions]
        self.names = [getattr(self.given[k], "name", None) or f"input {k}" for k in self.positions]

    def arguments(self, arrays: Sequence[NDArray], requires_grad: bool) -> tuple[list[Any], list[Tensor]]:
        """Return the arguments of a call with the checked inputs replaced, and the replaced ones."""
        values = list(self.data if self.backward is not None else self.given)
        checked: list[Any] = []
        for k, array in zip(self.positions, arrays):
            if self.backward is None:
                values[k] = Tensor(
                    array, requires_grad=requires_grad, name=getattr(self.given[k], "name", None)
                )
            else:
                values[k] = array
            checked.append(values[k])
        return values, checked

    def outputs(self, values: Sequence[Any]) -> list[Any]:
        """Return the floating-point results of a call as a list."""
        result = self.f(*values)
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        floating = [r for r in results if np.asarray(_to_array(r)).dtype.kind == "f"]
        if not floating:
            raise DTypeError(
                "gradcheck: expected the function to return a floating-point result, got none to differentiate"
            )
        return floating

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        """Return all results at the given inputs, concatenated to one flat array."""
        values, _ = self.arguments(arrays, requires_grad=False)
        return np.concatenate(
            [np.asarray(_to_array(r), np.float64).reshape(-1) for r in self.outputs(values)]
        )


def _to_array(x: Any) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else x


def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    *,
    backward: Callable[..., Any] | None = None,
    order: int = 1,
    fast: bool = False,
    step: float = finite_differences.STEP,
    atol: float = 1e-6,
    rtol: float = 1e-5,
    float32: bool = False,
    seed: int = 0,
    raise_exception: bool = True,
) -> Report:
    """Compare the gradient of `f` with central differences, and say where and why they disagree.

    |analytic - numeric| <= atol + rtol * |numeric| for every pair of an input element and an output element;
    with `fast`, for one random projection per input. `inputs`: a Tensor, an array, or a sequence of them, in
    float64; those that require grad are checked, or all floating-point ones if none does. `backward(g, *inputs)`:
    the gradient of an `f` in plain NumPy. Raises GradcheckError with the report, unless `raise_exception=False`;
    DTypeError, ValueRangeError, ShapeError.

    >>> bool(gradcheck(lambda x: (x * x).sum(), np.array([1.0, 2.0])))
    True
    """
    if order > 1:
        options: dict[str, Any] = {"fast": fast, "step": step, "atol": atol, "rtol": rtol, "float32": float32}
        options |= {"seed": seed, "raise_exception": raise_exception}
        return _check_higher_order(f, inputs, order, backward, options)
    if order < 1:
        raise ValueRangeError(f"gradcheck: order: expected an integer of at least 1, got {order}")
    sequence = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    problem = Problem(f, sequence, backward)
    if not problem.positions:
        raise DTypeError(
            "gradcheck: expected at least one floating-point input, got none: there is no gradient to check"
        )
    for name, array in zip(problem.names, problem.arrays):
        if array.dtype != np.float64 and not float32:
            raise DTypeError(
                f"gradcheck: {name}: expected float64, got {array.dtype}, whose differences are too coarse to tell a "
                "correct gradient from a wrong one. Pass float64, or float32=True with suitable tolerances, such as "
                "atol=1e-2, step=1e-2."
            )
    report = Report()
    rng = np.random.default_rng(seed)
    before = [a.copy() for a in problem.arrays]
    value = problem.value(before)
    for name, array, passed in zip(problem.names, problem.arrays, before):
        if not np.array_equal(array, passed, equal_nan=True):
            message = "the function modifies this input in place"
            report.findings.append(Finding("input modified", message, input=name))
    again = problem.value([a.copy() for a in problem.arrays])
    if not np.array_equal(value, again, equal_nan=True):
        message = "two calls with the same inputs differ (dropout, or other random numbers?): fix the seed"
        report.findings.append(Finding("nondeterministic", message))
    if not report.findings:
        (_check_projections if fast else _check_all)(problem, report, value, rng, step, atol, rtol)
    if report.findings and raise_exception:
        raise GradcheckError(report)
    return report


def gradgradcheck(f: Callable[..., Any], inputs: Any, **options: Any) -> Report:
    """Compare second derivatives with central differences of the gradient; options as for gradcheck.

    >>> bool(gradgradcheck(lambda x: (x * x * x).sum(), np.array([1.0, 2.0])))
    True
    """
    return gradcheck(f, inputs, order=2, **options)


def _analytic(problem: Problem, seeds: Sequence[NDArray], report: Report) -> list[list[NDArray]]:
    """Return the gradient of each checked input for each seed, a flat gradient of all outputs."""
    values, checked = problem.arguments([a.copy() for a in problem.arrays], requires_grad=True)
    outputs = problem.outputs(values)
    offsets = np.cumsum([0] + [int(np.asarray(_to_array(o)).size) for o in outputs])
    rows = []
    for seed in seeds:
        parts = [
            seed[a:b].reshape(np.shape(_to_array(o))).astype(_to_array(o).dtype)
            for a, b, o in zip(offsets, offsets[1:], outputs)
        ]
        if problem.backward is not None:
            gradients = problem.backward(parts[0] if len(parts) == 1 else tuple(parts), *values)
            gradients = gradients if isinstance(gradients, (tuple, list)) else (gradients,)
            if len(gradients) != len(checked):
                raise ShapeError(
                    f"gradcheck: expected backward to return {len(checked)} gradients, one per input, got "
                    f"{len(gradients)}"
                )
        else:
            # An output that does not require grad is constant: its gradient is 0.
            live = [(o, p) for o, p in zip(outputs, parts) if o.requires_grad]
            gradients = (
                autograd.grad(
                    [o for o, _ in live], checked, [asarray(p) for _, p in live], True, allow_unused=True
                )
                if live
                else [None] * len(checked)
            )
        row = []
        for name, g, array in zip(problem.names, gradients, problem.arrays):
            g = np.zeros_like(array) if g is None else np.asarray(_to_array(g))
            if g.shape != array.shape or g.dtype != array.dtype:
                kind = "shape" if g.shape != array.shape else "dtype"
                message = f"expected the {kind} of the input, {getattr(array, kind)}, got {getattr(g, kind)}"
                report.findings.append(Finding(kind, message, input=name))
                g = np.broadcast_to(g, array.shape) if g.size == 1 else np.resize(g, array.shape)
            row.append(g.astype(np.float64))
        rows.append(row)
        if report.findings:
            break
    return rows


def _check_all(
    problem: Problem,
    report: Report,
    value: NDArray,
    rng: np.random.Generator,
    step: float,
    atol: float,
    rtol: float,
) -> None:
    rows = _analytic(problem, list(np.eye(value.size)), report)
    if report.findings:
        report.disagreeing = report.checked = len(report.findings)
        return
    with np.errstate(all="ignore"):
        for k, (name, array) in enumerate(zip(problem.names, problem.arrays)):
            analytic = np.array([row[k].reshape(-1) for row in rows]).reshape(value.size, array.size)
            numeric = np.array(list(finite_differences.columns(problem.value, problem.arrays, k, step)))
            numeric = numeric.reshape(array.size, value.size).T
            report.errors[name] = finite_differences.relative_error(analytic, numeric)
            report.checked += analytic.size
            # The values are rounded, and the difference divides their rounding error by the step: allow for that.
            noise = 8 * np.finfo(np.float64).eps * np.max(np.abs(value), initial=0.0) / step
            bad = ~(np.abs(analytic - numeric) <= atol + noise + rtol * np.abs(numeric))
            bad &= ~(np.isnan(analytic) & np.isnan(numeric))
            where = np.argwhere(bad)
            report.disagreeing += len(where)
            size = np.abs(analytic - numeric)[bad] if len(where) else np.empty(0)
            worst = where[np.argsort(-np.nan_to_num(size, nan=np.inf), kind="stable")][: report.limit]
            for o, i in worst:
                finding = diagnose(
                    problem.value, problem.arrays, k, int(i), int(o), analytic, numeric, step, atol, rtol
                )
                if finding is not None:
                    finding.input, finding.element = name, _index(int(i), array.shape)
                    finding.output = (int(o),) if value.size > 1 else ()
                    report.findings.append(finding)
                else:
                    report.disagreeing -= 1


def _index(i: int, shape: Shape) -> Shape:
    return tuple(int(n) for n in np.unravel_index(i, shape)) if shape else ()


def _check_projections(
    problem: Problem,
    report: Report,
    value: NDArray,
    rng: np.random.Generator,
    step: float,
    atol: float,
    rtol: float,
) -> None:
    u = rng.standard_normal(value.size)
    rows = _analytic(problem, [u], report)
    if report.findings:
        report.disagreeing = report.checked = len(report.findings)
        return
    with np.errstate(all="ignore"):
        for k, (name, array) in enumerate(zip(problem.names, problem.arrays)):
            v = rng.standard_normal(array.shape)
            analytic = float(np.sum(rows[0][k] * v))
            numeric = float(u @ finite_differences.along(problem.value, problem.arrays, k, v, step))
            report.errors[name] = finite_differences.relative_error(analytic, numeric)
            report.checked += 1
            scale = float(np.abs(u) @ np.abs(value)) if value.size else 0.0
            noise = 8 * np.finfo(np.float64).eps * scale / step
            if not abs(analytic - numeric) <= atol * max(1, array.size) ** 0.5 + noise + rtol * abs(numeric):
                # A projection does not tell which element is wrong: repeat the check element by element.
                full = Report()
                _check_all(problem, full, value, rng, step, atol, rtol)
                report.findings += full.findings
                report.disagreeing += 1
                if full.findings:
                    return


def _check_higher_order(
    f: Callable[..., Any],
    inputs: Any,
    order: int,
    backward: Callable[..., Any] | None,
    options: dict[str, Any],
) -> Report:
    """Check the derivative of order `order`: gradcheck of a random projection of the derivative before it."""
    if backward is not None:
        raise ValueRangeError(
            f"gradcheck: order: expected 1 with backward=, which has first derivatives only, got {order}"
        )
    sequence = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    positions = Problem(f, sequence, None).positions

    def gradient_of(function: Callable[..., Any], level: int) -> Callable[..., Any]:
        def projected(*values: Any) -> Any:
            checked = [
                values[k] if values[k].requires_grad else Tensor(values[k].data, requires_grad=True)
                for k in positions
            ]
            arguments = list(values)
            for k, tensor in zip(positions, checked):
                arguments[k] = tensor
            result = function(*arguments)
            outputs = [
                r for r in (result if isinstance(result, (tuple, list)) else [result]) if r.requires_grad
            ]
            if not outputs:
                return tuple(tensor * 0.0 for tensor in checked)
            rng = np.random.default_rng((options["seed"], level))
            seeds = [asarray(rng.standard_normal(o.shape)) for o in outputs]
            gradients = autograd.grad(outputs, checked, seeds, create_graph=True, allow_unused=True)
            return tuple(g if g is not None else c * 0.0 for g, c in zip(gradients, checked))

        return projected

    for level in range(1, order):
        f = gradient_of(f, level)
    raise_exception = options.pop("raise_exception")
    report = gradcheck(f, inputs, raise_exception=False, **options)
    report.order = order
    if report.findings and raise_exception:
        raise GradcheckError(report)
    return report
