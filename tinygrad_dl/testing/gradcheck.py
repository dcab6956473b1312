"""gradcheck: compare gradients with central differences, and diagnose disagreements."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl import autograd, config
from tinygrad_dl.arguments import Count, NonNegative, Positive, Size, checked, refuse_unfit
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing import finite_differences, journal, rounding
from tinygrad_dl.testing.calls import random_states_kept, refuse_call
from tinygrad_dl.testing.disagreement import judge
from tinygrad_dl.testing.evidence import Evidence, examine, nearby
from tinygrad_dl.testing.frameworks import adapter_of
from tinygrad_dl.testing.frameworks.adapter import Adapter, cut_note, named_leaves, no_result
from tinygrad_dl.testing.gradient_mistakes import Context, gradient_guesses, ranked
from tinygrad_dl.testing.report import Finding, GradcheckError, Report
from tinygrad_dl.typing import NDArray, Shape

# A derivative of at most this part of the largest one is 0 up to rounding.
NEGLIGIBLE = 1e-13
# So many calls are watched for writes into their inputs.
WATCHED = 12
# Values of an input that are moved at once hold up to so many numbers; a few elements are moved one by one.
MANY, FEW = 2**22, 32


def _pairs(x: NDArray) -> NDArray:
    """Complex numbers as (real, imaginary) along a last axis; real numbers as they are."""
    return np.stack([np.real(x), np.imag(x)], axis=-1) if x.dtype.kind == "c" else x


def _unpaired(x: NDArray, dtype: np.dtype) -> NDArray:
    """The counterpart of _pairs."""
    return (x[..., 0] + 1j * x[..., 1]).astype(dtype) if dtype.kind == "c" else x


class Problem:
    """A function and its inputs, as a function from real arrays to one flat float64 array.

    A complex input or result is checked as its real and its imaginary parts, which are pairs along a last axis.
    A Tensor that is given is itself what the function gets, moved in place and moved back: the function may use it
    without its argument, as a method of a module uses the module's parameters.
    """

    def __init__(
        self,
        f: Callable[..., Any],
        inputs: Sequence[Any],
        backward: Callable[..., Any] | None,
        names: Sequence[str] = (),
    ) -> None:
        self.f, self.backward = f, backward
        self.given = [_as_array(x) for x in inputs]
        self.data = [x.detach().numpy() if isinstance(x, Tensor) else x for x in self.given]
        # If some inputs require grad, only these are checked, otherwise every floating-point or complex one.
        selected = any(isinstance(x, Tensor) and x.requires_grad for x in self.given)
        self.positions = [
            k
            for k, (x, d) in enumerate(zip(self.given, self.data))
            if isinstance(d, (np.ndarray, np.inexact))
            and d.dtype.kind in "fc"
            and (not selected or (isinstance(x, Tensor) and x.requires_grad))
        ]
        self.dtypes = [self.data[k].dtype for k in self.positions]
        self.arrays = [_pairs(np.array(self.data[k])) for k in self.positions]
        self.results: list[
            tuple[int, bool]
        ] = []  # the number of elements of each result, and whether it is complex
        self.every_name = list(names) or [f"input {k}" for k in range(len(self.given))]
        self.names = [getattr(self.given[k], "name", None) or self.every_name[k] for k in self.positions]
        self.cut: list[int] = []  # the numbers of results that are not compared, as they require no grad
        # The coarsest spacing of the checked inputs.
        self.eps = max((float(np.finfo(d).eps) for d in self.dtypes), default=finite_differences.EPS)
        self.modified: set[str] = set()  # the names of inputs that the function wrote into
        self.calls = 0
        self.shape: Shape = ()  # that of the result, if there is one
        #: The results for many values of one input at once, where a framework computes these: an adapter's `values`.
        self.values: Callable[..., NDArray | None] | None = None
        self.copied = True  # whether the function is given copies, into which it may write
        self.depends = False  # whether a derivative other than 0 was seen
        #: The Jacobians by input, (output, input), as they were compared.
        self.compared: dict[str, tuple[NDArray, NDArray]] = {}
        self.none: set[str] = (
            set()
        )  # the names of inputs for which there is no gradient, and not one of zeros

    @contextmanager
    def requiring_grad(self) -> Iterator[None]:
        """Let the Tensors that are checked require grad, and restore what they were."""
        tensors = [self.given[k] for k in self.positions if isinstance(self.given[k], Tensor)]
        added = [t for t in tensors if not t.requires_grad] if self.backward is None else []
        try:
            for t in added:
                t.requires_grad_()
            yield
        finally:
            for t in added:
                t.requires_grad_(False)

    @contextmanager
    def arguments(
        self, arrays: Sequence[NDArray], requires_grad: bool
    ) -> Iterator[tuple[list[Any], list[Any]]]:
        """The arguments of a call with the checked inputs at `arrays`, and the checked ones among them."""
        values = list(self.data if self.backward is not None else self.given)
        before: list[tuple[Tensor, NDArray, NDArray]] = []
        passed = []
        try:
            for k, dtype, start, array in zip(self.positions, self.dtypes, self.arrays, arrays):
                x = self.given[k]
                if self.backward is not None:
                    values[k] = _unpaired(array, dtype)
                    if self.copied:
                        values[k] = values[k].copy()
                elif not isinstance(x, Tensor):
                    values[k] = Tensor(_unpaired(array, dtype), requires_grad=requires_grad)
                else:
                    before.append((x, x._data, x._data.copy()))
                    # Where a Tensor is given twice, only one of its arrays has moved.
                    if not np.array_equal(array, start, equal_nan=True):
                        _write(x, _unpaired(array, dtype))
            checked = [values[k] for k in self.positions]
            self.calls += 1
            if self.calls <= WATCHED:
                passed = [np.array(_to_array(x)) for x in checked]
            yield values, checked
        finally:
            for k, name, array in zip(self.positions, self.names, passed):
                if not np.array_equal(_to_array(values[k]), array, equal_nan=True):
                    self.modified.add(name)
            for x, data, copy in reversed(before):
                x._data = data
                if data.flags.writeable:
                    data[...] = copy

    def outputs(self, values: Sequence[Any]) -> list[Any]:
        """Return the floating-point and complex results of a call as a list."""
        result = self.f(*values)
        results = [r for _, r in leaves(result)]
        kinds = [np.asarray(_to_array(r)).dtype for r in results]
        floating = [
            r if isinstance(r, Tensor) else np.asarray(r)
            for r, kind in zip(results, kinds)
            if kind.kind in "fc"
        ]
        if not floating:
            raise no_result(result)
        return [r for o, r in enumerate(floating) if o not in self.cut]

    def leave_out_constants(self) -> None:
        """Compare no results that require no grad where others do: `return loss, accuracy.detach()`."""
        if self.backward is None:
            with self.arguments(self.arrays, requires_grad=True) as (values, _):
                cut = [not (isinstance(r, Tensor) and r.requires_grad) for r in self.outputs(values)]
            self.cut = [o for o, is_cut in enumerate(cut) if is_cut and not all(cut)]

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        """Return all results at the given inputs, concatenated to one flat array."""
        with self.arguments(arrays, requires_grad=False) as (values, _):
            found = [np.asarray(_to_array(r)) for r in self.outputs(values)]
            self.results = [(r.size, r.dtype.kind == "c") for r in found]
            self.shape = found[0].shape if len(found) == 1 else ()
            return np.concatenate([_pairs(r).astype(np.float64).reshape(-1) for r in found])

    def columns(self, k: int, step: float) -> NDArray:
        """Central differences: a row of derivatives of all results for each element of a checked input."""
        many = self.many_columns(k, step) if self.values is not None else None
        if many is not None:
            return many
        return np.array(list(finite_differences.columns(self.value, self.arrays, k, step)))

    def many_columns(self, k: int, step: float) -> NDArray | None:
        """The same with many elements at once, None where the function cannot."""
        array, found = self.arrays[k], []
        chunk = max(1, MANY // max(sum(a.size for a in self.arrays), 1))
        if array.size < FEW or self.values is None:
            return None
        for start in range(0, array.size, chunk):
            places = np.arange(start, min(start + chunk, array.size))
            h = np.array([finite_differences.step_for(x, step) for x in array.reshape(-1)[places].tolist()])
            rows, sides = np.arange(len(places)), []
            for sign in (1.0, -1.0):
                moved = np.repeat(array.reshape(1, -1), len(places), axis=0)
                moved[rows, places] += sign * h
                sides.append(self.values(k, moved.reshape(len(places), *array.shape), *self.arrays))
            if sides[0] is None or sides[1] is None:
                return None
            found.append((sides[0] - sides[1]) / (2 * h[:, None]))
        return np.concatenate(found)

    def element(self, k: int, i: int) -> tuple[str, Shape]:
        """The name of a checked input and the index of its element at a flat position of its array."""
        index = _index(i, self.arrays[k].shape)
        if self.dtypes[k].kind != "c":
            return self.names[k], index
        return f"{('real', 'imag')[index[-1]]}({self.names[k]})", index[:-1]

    def output(self, o: int) -> tuple[int, str]:
        """The number of an element among all results, and which part of it a flat position is."""
        start = 0
        for size, is_complex in self.results:
            if o < size * (1 + is_complex):
                return (
                    (start + o // 2, ("real part", "imaginary part")[o % 2])
                    if is_complex
                    else (start + o, "")
                )
            start, o = start + size, o - size * (1 + is_complex)
        raise AssertionError("no such output")


def _write(x: Tensor, array: NDArray) -> None:
    """Write into the array of a Tensor, as others may share it; give the Tensor a new one where that cannot be."""
    data = x._data
    overlapping = any(n > 1 and s == 0 for n, s in zip(data.shape, data.strides))
    if data.flags.writeable and not overlapping:
        data[...] = array
    else:
        x._data = np.array(array, data.dtype)


def _as_array(x: object) -> Any:
    """A list of floats as an array, a number as one of no axes; anything else as it is."""
    if isinstance(x, (float, complex)):
        return np.array(x) if not isinstance(x, np.inexact) else x
    if not isinstance(x, (list, tuple)):
        return x
    try:
        array = np.array(x)
    except (ValueError, TypeError, RecursionError):  # ragged: it is no array
        return x
    return array if array.dtype.kind in "fc" and not _holds_arrays(x) else x


def _holds_arrays(x: object) -> bool:
    """Whether a list holds arrays, and is none itself."""
    return isinstance(x, (Tensor, np.ndarray)) or (
        isinstance(x, (list, tuple)) and any(map(_holds_arrays, x))
    )


def _to_array(x: object) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else x


@checked
def gradcheck(
    f: Callable[..., Any],
    inputs: Any,
    *,
    backward: Callable[..., Any] | None = None,
    order: Count = 1,
    fast: bool = False,
    step: Positive = finite_differences.STEP,
    atol: NonNegative = 1e-6,
    rtol: NonNegative = 1e-5,
    float32: bool = False,
    seed: Size = 0,
    framework: str | None = None,
    raise_exception: bool = True,
) -> Report:
    """Compare the gradient of `f` with central differences, and say where and why they disagree.

    |analytic - numeric| <= atol + rtol * |numeric| for every pair of an input element and an output element;
    with `fast`, for one random projection per input. `inputs`: a Tensor, an array, or a sequence of them, in
    float64 or complex128 (moved along both parts); those that require grad are checked, or all floating-point
    ones if none does. Tensors are moved in place, as `f` may use them from outside, and restored.
    `backward(g, *inputs)`: the gradient of an `f` in plain NumPy. PyTorch's tensors, autograd.Function classes and
    Modules, JAX's functions of pytrees and MyGrad's tensors are known by their types, functions of HIPS autograd by
    framework="autograd". Raises GradcheckError with the report, unless
    `raise_exception=False`; DTypeError, ValueRangeError, ShapeError.

    >>> bool(gradcheck(lambda x: (x * x).sum(), np.array([1.0, 2.0])))
    True
    """
    if backward is not None and order > 1:
        raise ValueRangeError(
            f"gradcheck: order: expected 1 with backward=, which has first derivatives only, got {order}"
        )
    settings, given = Settings(order, fast, step, atol, rtol, seed), f
    if (adapter := adapter_of(f, inputs, framework)) is not None:
        return _noted(f, _check_foreign(adapter, settings, float32), raise_exception)
    sequence = list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
    f, sequence, names = _unnested(f, sequence) if backward is None else (f, sequence, [])
    first = Problem(f, sequence, backward, names)
    if not first.positions:
        raise _no_input(first.data)
    _refuse_coarse(first, float32)
    refuse_call("gradcheck: f", f, first.given, "one per input")
    if backward is not None:
        expected = "the gradient of the result and one per input"
        refuse_call("gradcheck: backward", backward, [None, *first.given], expected)
    for level in range(1, order):
        f = _gradient_of(f, first.positions, (seed, level))
    # What is not finite is a finding.
    with random_states_kept(), first.requiring_grad(), np.errstate(all="ignore"):
        problem = Problem(f, first.given, backward, names) if order > 1 else first
        if order == 1:
            first.leave_out_constants()
        report = _compare(problem, settings)
        closer = report.findings or report.examined
        if closer and not float32 and (places := rounding.places(problem)):
            report = _in_float64(problem, settings, report, places)
        compared = report.checked and all(f.element is not None for f in report.findings)
        if backward is not None and compared and _forgets_g(problem, problem.value(problem.arrays)):
            message = "backward does not use g, the gradient of the result, by which it multiplies: it returns the same"
            report.disagreeing = report.disagreeing or report.checked
            for finding in report.findings or [Finding("fault", "", input=problem.names[0])]:
                finding.message = f"{message} whatever g is"
                report.findings = report.findings or [finding]
        if problem.cut:
            report.note = "\n  ".join(part for part in (report.note, cut_note(problem.cut)) if part)
        _guess(problem, report)
        if not report.findings and report.checked and not problem.depends and not _depends(first, seed):
            report.findings.append(Finding("no dependence", NO_DEPENDENCE))
            report.disagreeing = report.checked
    return _noted(given, report, raise_exception)


def _unnested(
    f: Callable[..., Any], inputs: Sequence[Any]
) -> tuple[Callable[..., Any], list[Any], list[str]]:
    """A function of nested lists, tuples and dicts of Tensors as one of the Tensors, and what these are called."""
    given = tuple(_as_array(x) for x in inputs)
    if not any(isinstance(x, dict) or isinstance(x, (list, tuple)) and _holds_arrays(x) for x in given):
        return f, list(inputs), []
    found = named_leaves(given)
    return lambda *values: f(*refill(given, iter(values))), [leaf for _, leaf in found], [n for n, _ in found]


def _no_input(given: Sequence[Any]) -> DTypeError:
    what = ", ".join(describe(x) for x in given[:4]) or "no input"
    return DTypeError(
        f"gradcheck: expected at least one floating-point input, got {what}: there is no gradient to check"
    )


def _noted(f: Callable[..., Any], report: Report, raise_exception: bool) -> Report:
    """The report, or the error that has it."""
    what = (
        "gradcheck" if report.order == 1 else "gradgradcheck" if report.order == 2 else "gradcheck of order 3"
    )
    journal.note(what, str(getattr(f, "__name__", type(f).__name__)), report.verdict, str(report))
    if report.findings and raise_exception:
        raise GradcheckError(report)
    return report


def _refuse_coarse(problem: Problem, float32: bool, hint: str = "") -> None:
    for name, dtype in zip(problem.names, problem.dtypes):
        if dtype not in (np.float64, np.complex128) and not float32:
            expected = "complex128" if dtype.kind == "c" else "float64"
            raise DTypeError(
                f"gradcheck: {name}: expected {expected}, got {dtype}, whose differences are too coarse to tell a "
                f"correct gradient from a wrong one. Pass {expected}, or float32=True with suitable tolerances, such "
                f"as atol=1e-2, step=1e-2.{hint}"
            )


def _check_foreign(adapter: Adapter, settings: Settings, float32: bool) -> Report:
    """Check a function of another framework by its values and gradients at NumPy arrays."""
    if not adapter.arrays:
        raise DTypeError(
            "gradcheck: expected at least one floating-point input, got none: there is no gradient to check"
        )
    first = adapter
    try:
        for level in range(1, settings.order):
            adapter = adapter.gradient((settings.seed, level))
        problem = Problem(adapter.value, adapter.arrays, adapter.vjp)
        problem.values = adapter.values
        problem.names, problem.copied = list(adapter.names), False  # an adapter does not write into arrays
        _refuse_coarse(problem, float32, first.in_float64)
        with random_states_kept(), np.errstate(all="ignore"):
            try:
                report = _compare(problem, settings)
            except Exception as error:
                finding = first.explain(error)
                if finding is None:
                    raise
                report = Report(settings.order)
                report.findings.append(finding)
                report.checked = report.disagreeing = 1
                return report
            report.note = first.note()
            if report.findings and all(f.kind == "fault" for f in report.findings):
                _name_swapped(problem, report)
                report.places = first.places(_wrong_inputs(report), _is_wrong) if settings.order == 1 else []
            _guess(problem, report)
            if not report.findings and settings.order == 1:
                report.findings += adapter.findings()
                report.disagreeing = len(report.findings)
            if (
                not report.findings
                and report.checked
                and not problem.depends
                and not _depends(problem, settings.seed)
            ):
                report.findings.append(Finding("no dependence", NO_DEPENDENCE))
                report.disagreeing = report.checked
    finally:
        first.close()
    return report


def _wrong_inputs(report: Report) -> list[str]:
    return list(dict.fromkeys(f.input for f in report.findings if f.kind == "fault" and f.input))


def _is_wrong(f: Any, inputs: Any, framework: str) -> list[str]:
    """The inputs for which a part of a function is wrong when it is checked alone."""
    with journal.paused():
        report = gradcheck(f, inputs, fast=True, framework=framework, raise_exception=False)
    return _wrong_inputs(report) if report.verdict == "wrong" else []


def _in_one_direction(problem: Problem) -> tuple[NDArray, dict[str, NDArray], dict[str, NDArray]]:
    """A random gradient of the results, and the analytic and the numeric gradients of the inputs that it gives."""
    size = next(iter(problem.compared.values()))[0].shape[0]
    g: NDArray = np.random.default_rng([26, 2]).standard_normal((size,)) if size > 1 else np.ones(1)
    shapes = dict(zip(problem.names, (a.shape for a in problem.arrays)))
    given = {name: (g @ a).reshape(shapes[name]) for name, (a, _) in problem.compared.items()}
    return g, given, {name: (g @ n).reshape(shapes[name]) for name, (_, n) in problem.compared.items()}


def _name_swapped(problem: Problem, report: Report) -> None:
    """Say so where a gradient is that of another input."""
    if not problem.compared:
        return
    _, given, correct = _in_one_direction(problem)
    for name, a in given.items():
        for other, n in correct.items():
            if (
                other != name
                and a.size == n.size
                and np.linalg.norm(a.ravel() - n.ravel()) < 1e-5 * np.linalg.norm(n)
            ):
                for finding in report.findings:
                    if finding.input == name:
                        finding.message = (
                            f"this is the gradient of {other}: are the results of backward in order?"
                        )


# What the message of a finding says already.
SAID = ("scale", "sign", "zero gradient", "missing gradient", "wrong layer", "not finite", "wrong shape")


def _guess(problem: Problem, report: Report) -> None:
    """Name the mistakes that explain the gradients, as check_backward does from the numbers alone."""
    wrong = [name for name in _wrong_inputs(report) if name in problem.compared]
    if report.verdict != "wrong" or not wrong or any(d.kind == "c" for d in problem.dtypes):
        return
    g, given, correct = _in_one_direction(problem)
    values = dict(zip(problem.names, problem.arrays))
    if not all(np.isfinite(d).all() for d in (*given.values(), *correct.values())):
        return
    result = problem.value(problem.arrays)
    context = Context(given, correct, values, [*problem.arrays, result], wrong)
    context.jacobians = {name: n.T for name, (_, n) in problem.compared.items()}
    context.g, context.output = g, problem.shape if len(problem.results) == 1 else result.shape
    guesses = [guess for guess in ranked(gradient_guesses(context), wrong) if guess.kind not in SAID]
    report.guesses = [f"{guess.kind} ({', '.join(guess.inputs)}): {guess.words}" for guess in guesses]


NO_DEPENDENCE = (
    "no result depends on an input, and 0 was compared with 0. Does the function use its argument, "
    "or something it captured, an array or a detached copy, in its place?"
)


NO_GRADIENT = (
    "there is no gradient: is the graph cut by detach, no_grad or NumPy, or does backward return None for this input? "
    "If the input is data, let only the others require grad"
)


class Settings(NamedTuple):
    """How to compare: the arguments of gradcheck."""

    order: int
    fast: bool
    step: float
    atol: float
    rtol: float
    seed: int


def _compare(problem: Problem, settings: Settings) -> Report:
    """Compare the gradient of a problem with differences; a function that is none is reported and not compared."""
    report = Report(settings.order)
    for name, array in zip(problem.names, problem.arrays):
        if not np.isfinite(array).all():
            message = f"{np.count_nonzero(~np.isfinite(array))} of {array.size} elements are nan or infinite"
            report.findings.append(Finding("domain", message, input=name))
    if report.findings:
        return report
    value = problem.value(problem.arrays)
    for name in problem.names:
        if name in problem.modified:
            message = "the function modifies this input in place"
            report.findings.append(Finding("input modified", message, input=name))
    again = problem.value(problem.arrays)
    if not np.array_equal(value, again, equal_nan=True):
        message = "two calls with the same inputs differ (dropout, or other random numbers?): fix the seed"
        report.findings.append(Finding("nondeterministic", message))
    if not report.findings:
        rng = np.random.default_rng([settings.seed, 1])  # others than the inputs are often drawn from
        compare = _check_projections if settings.fast else _check_all
        compare(problem, report, value, rng, settings.step, settings.atol, settings.rtol)
    return report


def _in_float64(problem: Problem, settings: Settings, report: Report, places: list[str]) -> Report:
    """Judge a disagreement of a function that rounds its values to a coarser dtype than float64 on the way."""
    where = f"{places[0]}{f', and at {len(places) - 1} more' if len(places) > 1 else ''}"
    default = config.get_default_dtype()
    try:
        config.set_default_dtype("float64")
        remaining = rounding.places(problem)
        report = report if remaining else _compare(problem, settings)
    finally:
        config.set_default_dtype(default)
    if not remaining:
        report.note = (
            f"compared with set_default_dtype('float64'), as otherwise {where}. Python numbers and lists become "
            "float32 unless dtype= says otherwise."
        )
        return report
    # Differences of rounded values cannot be better than this; what is worse is wrong in any dtype.
    eps = max(float(np.finfo(dtype).eps) for dtype in rounding.dtypes(problem))
    size = float(np.max(np.abs(problem.value(problem.arrays)), initial=1.0))
    unclear = [
        finding
        for finding in report.findings
        if finding.kind in ("fault", "cannot tell", "kink")
        and finding.absolute_error <= 8 * eps * (size / settings.step + max(abs(finding.numeric), 1.0))
    ]
    if len(unclear) == len(report.findings):
        report.findings = [
            Finding(
                "precision", f"{where}: its differences are too coarse. Compute in float64 for the check."
            )
        ]
    else:
        report.note = f"{where}."
    return report


def _depends(problem: Problem, seed: int) -> bool:
    """Whether a result depends on an input: by the graph, or by its value at other inputs."""
    if problem.backward is None:
        with problem.arguments(problem.arrays, requires_grad=True) as (values, tensors):
            live = [o for o in problem.outputs(values) if isinstance(o, Tensor) and o.requires_grad]
            ones = [asarray(np.ones(o.shape, o.dtype)) for o in live]
            if live and any(
                g is not None for g in autograd.grad(live, tensors, ones, True, allow_unused=True)
            ):
                return True
    value, rng = problem.value(problem.arrays), np.random.default_rng(seed)
    for scale in (0.1, 3.0):
        moved = [
            (a + scale * rng.standard_normal(a.shape) * (1 + abs(a))).astype(a.dtype) for a in problem.arrays
        ]
        try:
            if not np.array_equal(problem.value(moved), value, equal_nan=True):
                return True
        except Exception:  # out of the function's domain
            continue
    return False


def gradgradcheck(f: Callable[..., Any], inputs: Any, **options: Any) -> Report:
    """Compare second derivatives with central differences of the gradient; options as for gradcheck.

    >>> bool(gradgradcheck(lambda x: (x * x * x).sum(), np.array([1.0, 2.0])))
    True
    """
    refuse_unfit(gradcheck, (f, inputs), options, "gradgradcheck")
    return gradcheck(f, inputs, order=2, **options)


def _analytic(problem: Problem, seeds: Sequence[NDArray], report: Report) -> list[list[NDArray]]:
    """Return the gradient of each checked input for each seed, a flat gradient of all outputs."""
    with problem.arguments(problem.arrays, requires_grad=True) as (values, tensors):
        outputs = problem.outputs(values)
        like = [np.asarray(_to_array(o)) for o in outputs]
        offsets = np.cumsum([0] + [_pairs(o).size for o in like])
        rows = []
        for seed in seeds:
            parts = [
                _unpaired(seed[a:b].reshape(_pairs(o).shape), o.dtype).astype(o.dtype)
                for a, b, o in zip(offsets, offsets[1:], like)
            ]
            row = []
            gradients = _gradients(problem, values, tensors, outputs, parts)
            for name, given, k in zip(problem.names, gradients, problem.positions):
                x = np.asarray(problem.data[k])
                g = np.zeros_like(x) if given is None else np.asarray(_to_array(given))
                if given is None:
                    problem.none.add(name)
                if g.shape != x.shape or g.dtype != x.dtype:
                    kind = "shape" if g.shape != x.shape else "dtype"
                    message = f"expected the {kind} of the input, {getattr(x, kind)}, got {getattr(g, kind)}"
                    report.findings.append(Finding(kind, message, input=name))
                    g = np.zeros_like(x)
                problem.depends = problem.depends or bool(np.any(g != 0))
                row.append(_pairs(g).astype(np.float64))
            rows.append(row)
            if report.findings:
                break
    return rows


def _gradients(
    problem: Problem,
    values: Sequence[Any],
    tensors: Sequence[Tensor],
    outputs: Sequence[Any],
    seeds: Sequence[NDArray],
) -> Sequence[Any]:
    """The gradient of each checked input, None where nothing depends on it."""
    if problem.backward is not None:
        copies = [np.array(v) if isinstance(v, np.ndarray) else v for v in values]
        given = problem.backward(seeds[0] if len(seeds) == 1 else tuple(seeds), *copies)
        gradients = given if isinstance(given, (tuple, list)) else (given,)
        if any(isinstance(g, (dict, str, bytes)) for g in gradients):
            raise DTypeError(
                f"gradcheck: backward: expected gradients as arrays, one per input, got {describe(given)}. "
                "check_backward takes a dictionary."
            )
        if len(gradients) != len(tensors):
            raise ShapeError(
                f"gradcheck: expected backward to return {len(tensors)} gradients, one per input, got {len(gradients)}"
            )
        return gradients
    # An output that does not require grad is constant: its gradient is 0.
    live = [(o, asarray(s)) for o, s in zip(outputs, seeds) if isinstance(o, Tensor) and o.requires_grad]
    if not live:
        return [None] * len(tensors)
    return autograd.grad([o for o, _ in live], tensors, [s for _, s in live], True, allow_unused=True)


def _forgets_g(problem: Problem, value: NDArray) -> bool:
    """Whether a backward returns the same for other gradients of the result."""
    rng, rows = np.random.default_rng(0), []
    for _ in range(2):
        row = _analytic(problem, [rng.standard_normal(value.size)], Report())
        rows.append(np.concatenate([g.reshape(-1) for g in row[0]]) if row else np.empty(0))
    return bool(rows[0].any() and np.array_equal(rows[0], rows[1]))


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
    eps = problem.eps
    overall = max(
        (float(np.max(np.abs(d[np.isfinite(d)]), initial=0.0)) for row in rows for d in row), default=0.0
    )
    # The values are rounded, and the difference divides their rounding error by the step: allow for that.
    noise = 8 * eps * np.max(np.abs(value), initial=0.0) / step
    for k, (name, array) in enumerate(zip(problem.names, problem.arrays)):
        analytic = np.array([row[k].reshape(-1) for row in rows]).reshape(value.size, array.size)
        numeric = problem.columns(k, step).reshape(array.size, value.size).T
        report.checked += analytic.size
        bound = _absolute(atol, numeric, eps)
        bad = ~(np.abs(analytic - numeric) <= bound + noise + rtol * np.abs(numeric))
        # What small differences are worth is not known: where they are lost in the noise, a closer look is taken.
        scale = np.max(np.abs(numeric), initial=0.0)
        if eps == finite_differences.EPS and noise > 1e-3 * scale > 0:
            bad |= np.abs(numeric) > 0
        where = np.argwhere(bad)
        report.disagreeing += len(where)
        size = np.abs(analytic - numeric)[bad] if len(where) else np.empty(0)
        worst = where[np.argsort(-np.nan_to_num(size, nan=np.inf), kind="stable")]
        looked_at: dict[int, Evidence] = {}
        around: dict[int, tuple[NDArray, NDArray]] = {}
        found = 0
        for o, i in worst.tolist():
            if found == report.limit:
                break
            report.examined += 1
            if i not in looked_at:
                line = finite_differences.line(problem.value, problem.arrays, k, i)
                looked_at[i] = examine(line, float(array.reshape(-1)[i]), eps)
            x = float(array.reshape(-1)[i])
            finding, kink, n = judge(looked_at[i], o, x, analytic, numeric, i, bound, rtol)
            if finding is not None and finding.kind in ("fault", "kink") and eps == finite_differences.EPS:
                if i not in around:
                    around[i] = nearby(problem.value, problem.arrays, k, i)
                low, high = (float(part[o]) for part in around[i])
                if low <= analytic[o, i] <= high:
                    finding, kink, n = None, True, float(analytic[o, i])
            if finding is not None and finding.kind == "cannot tell" and not looked_at[i].reason[o]:
                # It is 0 up to rounding, beside the other derivatives: that of a bias before batch normalization.
                finding = None if abs(analytic[o, i]) <= NEGLIGIBLE * overall else finding
            if finding is not None and np.isnan(analytic[o, i]) and finding.kind != "domain":
                # A gradient of 0 times an infinite derivative elsewhere.
                infinite = not np.isfinite(value).all()
                if infinite or any(looked_at[i].reason) or np.isinf(analytic[:, i]).any():
                    finding.kind = "domain"
                    what = "is not finite" if infinite else "has an infinite derivative"
                    finding.message = (
                        f"another result of the function {what}. Move the input into its domain."
                    )
            if finding is not None and finding.kind == "fault" and name in problem.none:
                finding.message = NO_GRADIENT
            if finding is not None:
                finding.input, finding.element = problem.element(k, i)
                number, part = problem.output(o)
                finding.output = (number,) if sum(size for size, _ in problem.results) > 1 else ()
                finding.message = f"in the {part}: {finding.message}" if part else finding.message
                report.findings.append(finding)
                found += 1
            else:
                report.disagreeing -= 1
                report.kinks += kink
                numeric[o, i] = n
        problem.compared[name] = analytic, numeric
        # What is 0 up to the noise has no relative error.
        lost = (np.abs(analytic - numeric) <= noise) & (np.abs(numeric) <= 100 * noise)
        report.errors[name] = finite_differences.relative_error(analytic, np.where(lost, analytic, numeric))


def _absolute(atol: float, numeric: NDArray, eps: float) -> float:
    """The absolute tolerance: at most a thousandth of the largest derivative, so that small ones count, too."""
    largest = float(np.max(np.abs(numeric[np.isfinite(numeric)]), initial=0.0))
    # The gradient is rounded itself.
    return (min(atol, 1e-3 * largest) if eps == finite_differences.EPS else atol) + 1e3 * eps * largest


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
    for k, (name, array) in enumerate(zip(problem.names, problem.arrays)):
        v = rng.standard_normal(array.shape)
        analytic = float(np.sum(rows[0][k] * v))
        numeric = float(u @ finite_differences.along(problem.value, problem.arrays, k, v, step))
        report.errors[name] = finite_differences.relative_error(analytic, numeric)
        report.checked += 1
        scale = float(np.abs(u) @ np.abs(value)) if value.size else 0.0
        noise = 8 * problem.eps * scale / step
        bound = _absolute(atol * max(1, array.size) ** 0.5, np.array(numeric), problem.eps)
        lost = problem.eps == finite_differences.EPS and noise > 1e-3 * abs(numeric) > 0
        if lost or not abs(analytic - numeric) <= bound + noise + rtol * abs(numeric):
            # A projection does not tell which element is wrong: repeat the check element by element.
            full = Report()
            _check_all(problem, full, value, rng, step, atol, rtol)
            report.kinks, report.examined = max(report.kinks, full.kinks), report.examined + full.examined
            if full.findings:
                report.findings += full.findings
                report.disagreeing += 1
                return
            report.errors[name] = full.errors[name]


def _gradient_of(
    function: Callable[..., Any], positions: Sequence[int], seed: tuple[int, int]
) -> Callable[..., Any]:
    """The gradient of a random projection of a function, as a function of the same arguments."""

    def projected(*values: Tensor) -> Any:
        checked = [
            values[k] if values[k].requires_grad else Tensor(values[k].data, requires_grad=True)
            for k in positions
        ]
        arguments = list(values)
        for k, tensor in zip(positions, checked):
            arguments[k] = tensor
        result = function(*arguments)
        results = result if isinstance(result, (tuple, list)) else [result]
        outputs = [r for r in results if isinstance(r, Tensor) and r.requires_grad]
        if not outputs:
            return tuple(tensor * 0.0 for tensor in checked)
        rng = np.random.default_rng(seed)
        seeds = [asarray(_normal(rng, o)) for o in outputs]
        gradients = autograd.grad(outputs, checked, seeds, create_graph=True, allow_unused=True)
        return tuple(g if g is not None else c * 0.0 for g, c in zip(gradients, checked))

    return projected


def _normal(rng: np.random.Generator, x: Tensor) -> NDArray:
    """Normal random numbers of the shape of x, complex if x is."""
    drawn = rng.standard_normal(x.shape)
    return drawn + 1j * rng.standard_normal(x.shape) if x.dtype.kind == "c" else drawn
