"""What holds for every differentiable function, whatever it computes: each law is tried at some inputs.

A law is a function of a Subject that says what does not hold, as text, or raises NotApplicable.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.testing.frameworks import module_of
from tinygrad_dl.testing.frameworks.adapter import Adapter, normal
from tinygrad_dl.testing.frameworks.own_functions import NumpyPair
from tinygrad_dl.testing.gradcheck import gradcheck
from tinygrad_dl.testing.report import NO_VERDICT, Report
from tinygrad_dl.typing import NDArray

# Two ways to compute the same in float64, and in float32, agree to this part of the largest number.
EXACT = {"float64": 1e-9, "float32": 1e-3}


class NotApplicable(Exception):
    """Why a law says nothing about a function."""


class Subject:
    """A function of a framework at some inputs: its results, and gradients of these to go back with.

    `backward`: that of a NumPy function. `elementwise`: whether the inputs broadcast.
    """

    def __init__(
        self,
        f: Any,
        arrays: Sequence[NDArray],
        framework: str = "tinygrad_dl",
        backward: Callable[..., Any] | None = None,
        elementwise: bool = False,
        prepared: Callable[[Sequence[NDArray]], Adapter] | None = None,
    ) -> None:
        self.f, self.arrays, self.backward, self.elementwise = f, list(arrays), backward, elementwise
        self.framework, self.prepared = framework, prepared
        self.adapter = self.made(self.arrays)
        self.names = self.adapter.names
        self.results = self.adapter.value(*self.arrays)

    def made(self, arrays: Sequence[NDArray]) -> Adapter:
        """The function's adapter at other inputs, which may lie in memory in any order."""
        if self.prepared is not None:
            return self.prepared(arrays)
        if self.backward is not None:
            return NumpyPair(self.f, self.backward, arrays)
        module = module_of(self.framework, "check_op")
        found: Adapter = module.adapter(self.f, [module.asarray(a) for a in arrays])
        return found

    def alone(self, k: int) -> Adapter:
        """The function of one input, with the others as constants."""
        module = module_of(self.framework, "check_op")
        function = self.f.apply if isinstance(self.f, type) and hasattr(self.f, "apply") else self.f
        others = [_constant(module.asarray(a)) for a in self.arrays]

        def only(x: Any) -> Any:
            return function(*others[:k], x, *others[k + 1 :])

        found: Adapter = module.adapter(only, [module.asarray(self.arrays[k])])
        return found

    def seeds(self, number: int, results: Sequence[NDArray] | None = None) -> list[NDArray]:
        """Random gradients of the results, the same for the same number."""
        results = self.results if results is None else results
        drawn = normal((number, 11), [r.shape for r in results])
        return [d.astype(r.dtype) for d, r in zip(drawn, results)]

    def vjp(self, seeds: Sequence[NDArray]) -> list[NDArray]:
        """The gradients of the inputs, zeros where nothing depends on one."""
        return gradients(self.adapter, seeds, self.arrays)

    def check(self, order: int) -> Report:
        """gradcheck of the function along random directions."""
        if self.backward is not None:
            return gradcheck(
                self.f, list(self.arrays), backward=self.backward, fast=True, raise_exception=False
            )
        module = module_of(self.framework, "check_op")
        inputs = [module.asarray(a) for a in self.arrays]
        # Differences of gradients are less exact than those of values.
        rtol, atol = (1e-5, 1e-6) if order == 1 else (1e-4, 1e-5)
        return gradcheck(
            self.f, inputs, order=order, fast=True, rtol=rtol, atol=atol, framework=self.framework,
            raise_exception=False,
        )  # fmt: skip


def _constant(x: Any) -> Any:
    """An input that requires no gradient."""
    return x.detach() if hasattr(x, "detach") else x


def gradients(adapter: Adapter, seeds: Sequence[NDArray], arrays: Sequence[NDArray]) -> list[NDArray]:
    """The gradients of the inputs of an adapter's function, zeros where nothing depends on one."""
    given = adapter.vjp(tuple(seeds) if len(seeds) > 1 else seeds[0], *arrays)
    return [np.zeros_like(a) if d is None else np.asarray(d) for d, a in zip(given, arrays)]


def difference(what: str, a: NDArray, b: NDArray, scale: float, exact: float) -> str:
    """Where two arrays differ by more than a part of the scale; "" where they agree."""
    if a.shape != b.shape:
        return f"{what}: the shapes are {a.shape} and {b.shape}"
    same = np.isclose(a, b, rtol=exact, atol=exact * scale, equal_nan=True)
    if same.all():
        return ""
    worst = np.argwhere(~same)[0]
    where = f"[{', '.join(map(str, worst.tolist()))}]" if a.ndim else ""
    return f"{what}{where}: {a[tuple(worst)]:.9g} and {b[tuple(worst)]:.9g}"


def _size(*arrays: NDArray) -> float:
    finite = [np.abs(a[np.isfinite(a)]) for a in arrays]
    return max((float(np.max(a, initial=0.0)) for a in finite), default=0.0)


def _exact(subject: Subject) -> float:
    return max((EXACT.get(str(a.dtype), 1e-2) for a in subject.arrays), default=1e-9)


def gradient(subject: Subject) -> Iterator[str]:
    """The gradient is that of finite differences."""
    yield from _judged(subject.check(1))


def second_order(subject: Subject) -> Iterator[str]:
    """The derivative of the gradient is that of finite differences."""
    if subject.backward is not None:
        raise NotApplicable("backward= has first derivatives only")
    try:
        report = subject.check(2)
    except ValueRangeError as error:
        raise NotApplicable(str(error).removeprefix("gradcheck: order: ")) from None
    for finding in report.findings:
        if finding.kind == "second derivative":
            raise NotApplicable(finding.message)
    yield from _judged(report)


def _judged(report: Report) -> Iterator[str]:
    for finding in report.findings:
        if finding.kind not in NO_VERDICT:
            yield str(finding)


def linearity(subject: Subject) -> Iterator[str]:
    """The gradient is linear in that of the result: vjp(2 u - 3 v) = 2 vjp(u) - 3 vjp(v), and vjp(0) = 0."""
    u, v = subject.seeds(0), subject.seeds(1)
    of_u, of_v = subject.vjp(u), subject.vjp(v)
    of_both = subject.vjp([2 * s - 3 * t for s, t in zip(u, v)])
    of_zero = subject.vjp([np.zeros_like(s) for s in u])
    for name, a, b, both, zero in zip(subject.names, of_u, of_v, of_both, of_zero):
        if a.shape != b.shape or a.shape != both.shape:
            continue  # another law's
        if np.any(zero[np.isfinite(zero)]):
            yield f"the gradient of {name} is not 0 where that of the result is"
        what = f"the gradient of {name} by vjp(2 u - 3 v) and 2 vjp(u) - 3 vjp(v)"
        finite = np.isfinite(a) & np.isfinite(b)  # where the derivative is infinite, inf - inf is nan
        both, sum_of_both = np.where(finite, both, 0.0), np.where(finite, 2 * a - 3 * b, 0.0)
        yield difference(what, both, sum_of_both, 3 * _size(a, b), _exact(subject))


def adjointness(subject: Subject) -> Iterator[str]:
    """Forward mode and backward are adjoint: u @ (J v) = (J.T u) @ v."""
    v = [
        t.astype(a.dtype) for t, a in zip(normal((5, 11), [a.shape for a in subject.arrays]), subject.arrays)
    ]
    changes = None if subject.backward is not None else subject.adapter.jvp(v, *subject.arrays)
    if changes is None:
        raise NotApplicable("the function has no forward mode")
    u = subject.seeds(0, changes)
    back = subject.vjp(u)
    if any(b.shape != t.shape for b, t in zip(back, v)):
        return
    forward, reverse = sum(float(np.sum(a * c)) for a, c in zip(u, changes)), 0.0
    scale = sum(float(np.sum(np.abs(a * c))) for a, c in zip(u, changes))
    for b, t in zip(back, v):
        reverse += float(np.sum(b * t))
        scale += float(np.sum(np.abs(b * t)))
    if not abs(forward - reverse) <= _exact(subject) * scale and np.isfinite(forward + reverse):
        yield f"u @ (J v) is {forward:.9g} by jvp, and (J.T u) @ v is {reverse:.9g} by vjp"


def shapes_and_dtypes(subject: Subject) -> Iterator[str]:
    """A gradient has the shape and the dtype of its input, in float64 and in float32, which stays float32."""
    in_float64 = subject.vjp(subject.seeds(0))
    if hasattr(subject.f, "parameters"):  # the parameters of a module are float64, and the results with them
        yield from _like_the_inputs(subject, subject.arrays, in_float64)
        return
    narrow = [a.astype(np.float32) for a in subject.arrays]
    adapter = subject.made(narrow)
    results = adapter.value(*narrow)
    for number, (r, wide) in enumerate(zip(results, subject.results)):
        where = f"result {number}" if len(results) > 1 else "the result"
        if r.dtype != np.float32:
            yield f"{where} of float32 inputs has the dtype {r.dtype}"
        if r.shape != wide.shape:
            yield f"{where} has the shape {r.shape} for float32 inputs, {wide.shape} for float64"
    seeds = [s.astype(r.dtype) for s, r in zip(subject.seeds(0), results)]
    yield from _like_the_inputs(subject, subject.arrays, in_float64)
    yield from _like_the_inputs(subject, narrow, gradients(adapter, seeds, narrow))


def _like_the_inputs(subject: Subject, arrays: Sequence[NDArray], found: Sequence[NDArray]) -> Iterator[str]:
    for name, a, d in zip(subject.names, arrays, found):
        if d.shape != a.shape:
            yield f"the gradient of {name} has the shape {d.shape}, the input {a.shape}"
        elif d.dtype != a.dtype:
            yield f"the gradient of {name} has the dtype {d.dtype}, the input {a.dtype}"


def _refuse_random(subject: Subject) -> None:
    """Random numbers are drawn in the order of the memory, and for the shapes that there are."""
    if getattr(subject.adapter, "draws", False):
        raise NotApplicable("the function draws random numbers")


def broadcasting(subject: Subject) -> Iterator[str]:
    """Inputs that broadcast give the values of the same inputs written out, and gradients summed over these axes."""
    if not subject.elementwise or len(subject.arrays) < 2:
        raise NotApplicable("there are no inputs that broadcast together")
    _refuse_random(subject)
    shape = np.broadcast_shapes(*(a.shape for a in subject.arrays))
    whole = [np.array(np.broadcast_to(a, shape)) for a in subject.arrays]
    adapter, exact, seeds = subject.made(whole), _exact(subject), subject.seeds(0)
    for r, w in zip(subject.results, adapter.value(*whole)):
        yield difference("the result, and that of inputs written out", r, w, _size(w), exact)
    if any(r.shape != shape for r in subject.results):
        return
    for name, a, d, w in zip(
        subject.names, subject.arrays, subject.vjp(seeds), gradients(adapter, seeds, whole)
    ):
        added = tuple(range(len(shape) - a.ndim))
        stretched = tuple(k + len(added) for k, n in enumerate(a.shape) if n == 1)
        total = np.sum(w, axis=added + stretched).reshape(a.shape) if w.shape == shape else w
        yield difference(
            f"the gradient of {name}, and the sum of that written out", d, total, _size(w), exact
        )


def each_input_alone(subject: Subject) -> Iterator[str]:
    """An input has the same gradient where the others require none."""
    if subject.backward is not None:
        raise NotApplicable("backward= gives all gradients")
    if len(subject.arrays) < 2:
        raise NotApplicable("there is one input")
    seeds = subject.seeds(0)
    together = subject.vjp(seeds)
    for k, name in enumerate(subject.names):
        try:
            (alone,) = gradients(subject.alone(k), seeds, [subject.arrays[k]])
        except Exception as error:
            yield f"the gradient of {name} alone raises {type(error).__name__}: {error}"
            continue
        what = f"the gradient of {name} with those of the others, and alone"
        yield difference(what, together[k], alone, _size(together[k]), _exact(subject))


def determinism(subject: Subject) -> Iterator[str]:
    """Two calls with the same inputs give the same bits, values and gradients."""
    seeds = subject.seeds(0)
    first = subject.vjp(seeds)
    subject.vjp(subject.seeds(1))  # buffers that are used again
    for r, again in zip(subject.results, subject.adapter.value(*subject.arrays)):
        if not np.array_equal(r, again, equal_nan=True):
            yield "two calls with the same inputs give different values"
    for name, d, again in zip(subject.names, first, subject.vjp(seeds)):
        if not np.array_equal(d, again, equal_nan=True):
            yield f"two calls give different gradients of {name}"


def memory(subject: Subject) -> Iterator[str]:
    """Neither the function nor its backward writes into the inputs or into g."""
    adapter = subject.made(subject.arrays)
    adapter.watching = True
    adapter.value(*subject.arrays)
    for name in sorted(adapter.written):
        yield f"the function writes into {name}"
    adapter.written.clear()
    gradients(adapter, subject.seeds(0), subject.arrays)
    for name in sorted(adapter.written):
        yield f"backward writes into {name}" + (", the gradient of the result" if name == "g" else "")


def layout(subject: Subject) -> Iterator[str]:
    """Values and gradients are the same however the inputs, and the gradient of the result, lie in memory."""
    _refuse_random(subject)
    arrays = [np.array(a, order="F") for a in subject.arrays]
    adapter, exact = subject.made(arrays), _exact(subject)
    for r, again in zip(subject.results, adapter.value(*arrays)):
        yield difference(
            "the result, and that of inputs laid out column by column", r, again, _size(r), exact
        )
    seeds = subject.seeds(0)
    turned = [np.array(s, order="F") for s in seeds]
    for name, d, again in zip(subject.names, subject.vjp(seeds), gradients(adapter, turned, arrays)):
        what = f"the gradient of {name}, and that with arrays laid out column by column"
        yield difference(what, d, again, _size(d), exact)


#: The laws by name, in the order in which they are tried.
LAWS: dict[str, Callable[[Subject], Iterator[str]]] = {
    "gradient": gradient,
    "shapes and dtypes": shapes_and_dtypes,
    "linearity": linearity,
    "adjointness": adjointness,
    "broadcasting": broadcasting,
    "each input alone": each_input_alone,
    "determinism": determinism,
    "memory": memory,
    "layout": layout,
    "second order": second_order,
}


def broken(law: Callable[[Subject], Iterator[str]], subject: Subject) -> str:
    """What does not hold, "" where everything does. Raises NotApplicable."""
    with np.errstate(all="ignore"):
        return next((said for said in law(subject) if said), "")
