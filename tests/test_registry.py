"""Every operation of the registry on its own cases, real and complex: values, derivatives of two orders, dtypes."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from typing import Any
from zlib import crc32

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as td
import tinygrad_dl.fft
import tinygrad_dl.linalg  # operations of these two are registered when they are imported
from tinygrad_dl import OPS, Tensor
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.op import Case, Domain, Missing, Op

STEP = 1e-5
# Other test files register operations of theirs when pytest imports them.
OWN = {name: op for name, op in OPS.items() if op.forward.__module__.startswith("tinygrad_dl.")}


# Complex vectors come with arbitrary phases, and what depends on these has no derivative.
PHASES = frozenset(("eig", "eigh", "qr", "svd"))


def cases_of(op: Op) -> tuple[Case, ...]:
    return op.cases or (Case((2, 3)), Case(()), Case((0, 2)), Case((1,)))


def every_case() -> Iterator[Any]:
    for op in OWN.values():
        for number, case in enumerate(cases_of(op)):
            yield pytest.param(op, case, id=f"{op.name}-{number}")


def with_gradient() -> Iterator[Any]:
    for parameters in every_case():
        op = parameters.values[0]
        if any(callable(rule) for rule in op.rules):
            yield parameters


def with_complex_gradient() -> Iterator[Any]:
    return (p for p in with_gradient() if not p.values[0].real and p.values[0].name != "astype")


def drawn(
    op: Op, case: Case, seed: int, complex_too: bool = False
) -> tuple[list[Any], list[int], tuple[Any, ...], dict[str, Any]]:
    """The inputs of a case, the places of those to differentiate, and its options by position and by name."""
    rng = np.random.default_rng(seed)
    entries = list(case.inputs[0]) if op.variadic else list(case.inputs[: len(op.inputs)])
    options = case.inputs[1:] if op.variadic else case.inputs[len(op.inputs) :]
    named = dict(case.options)
    entries += [named.pop(name) for name in op.inputs[len(entries) :] if not op.variadic and name in named]
    values: list[Any] = []
    for i, entry in enumerate(entries):
        domain = op.domain[i % len(op.domain)] if isinstance(op.domain, tuple) else op.domain
        if isinstance(entry, tuple):
            values.append(domain.sample(rng, entry))
        else:
            values.append(entry)
    rules = op.rules * len(values) if op.joint or op.variadic else op.rules
    free = [
        i
        for i, value in enumerate(values)
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and callable(rules[i])
    ]
    if complex_too:
        for i in free:
            values[i] = np.asarray(values[i] + 0.3j * rng.uniform(-1, 1, values[i].shape))
    return values, free, options, named


def call(op: Op, values: Sequence[Any], options: Sequence[Any], named: dict[str, Any]) -> Any:
    return op.function(values, *options, **named) if op.variadic else op.function(*values, *options, **named)


def without_phase(op: Op, out: Any) -> Any:
    """A result, or of complex vectors, whose phase is arbitrary, the squares of their magnitudes."""
    return (out * td.conj(out)).real if op.name in PHASES and out.dtype.kind == "c" else out


def seed_of(op: Op, case: Case) -> int:
    return crc32(f"{op.name}{case!r}".encode())


def as_tensors(values: Sequence[Any], free: Sequence[int] = ()) -> list[Any]:
    return [
        Tensor(value, requires_grad=i in free) if isinstance(value, np.ndarray) else value
        for i, value in enumerate(values)
    ]


def projection(shape: tuple[int, ...], seed: int) -> np.ndarray:
    return np.random.default_rng(seed + 1).uniform(0.5, 1.5, shape) * np.random.default_rng(seed + 2).choice(
        [-1, 1], shape
    )


def weights(out: Any, seed: int) -> np.ndarray:
    """Random weights for a result, complex if it is."""
    real = projection(out.shape, seed)
    return real + 1j * projection(out.shape, seed + 3) if out.dtype.kind == "c" else real


def inner(x: np.ndarray, y: np.ndarray) -> float:
    """The change of a loss with the gradient x along y."""
    return float((x.conj() * y).sum().real)


def along(
    f: Callable[[list[np.ndarray]], float], points: list[np.ndarray], directions: list[np.ndarray]
) -> float:
    """The derivative of f along a direction by central differences of fourth order."""

    def at(t: float) -> float:
        return f([p + t * d for p, d in zip(points, directions)])

    return (8 * (at(STEP) - at(-STEP)) - (at(2 * STEP) - at(-2 * STEP))) / (12 * STEP)


def agree(exact: float, numeric: float, scale: float) -> bool:
    return abs(exact - numeric) <= 2e-6 * max(1.0, scale, abs(exact))


def check_orders(
    op: Op, case: Case, seed: int, orders: Sequence[int] = (1, 2), complex_too: bool = False
) -> None:
    """Gradients of a random projection, and of a random projection of these, against differences."""
    values, free, options, named = drawn(op, case, seed, complex_too)
    if not free:
        return
    points = [np.asarray(values[i], np.complex128 if complex_too else np.float64) for i in free]

    def inputs_at(new: Sequence[Any]) -> list[Any]:
        return [new[free.index(i)] if i in free else value for i, value in enumerate(values)]

    def projected(new: Sequence[Any]) -> Any:
        out = without_phase(op, call(op, inputs_at(new), options, named))
        return td.sum((out * weights(out, seed)).real)

    def gradients(new: Sequence[Any], recording: bool) -> tuple[Any, ...]:
        leaves = [Tensor(p, requires_grad=True) for p in new]
        return leaves, grad(projected(leaves), leaves, create_graph=recording)

    directions = [weights(p, seed + 7 + i) for i, p in enumerate(points)]
    if 1 in orders:
        _, plain = gradients(points, False)
        for g, p in zip(plain, points):
            assert g.shape == p.shape and g.dtype == p.dtype
        exact = sum(inner(g.data, d) for g, d in zip(plain, directions))
        numeric = along(lambda new: float(projected([Tensor(p) for p in new])), points, directions)
        assert agree(exact, numeric, 0), f"first order: rule {exact!r}, differences {numeric!r}, case {case}"
    if 2 in orders:
        leaves, recorded = gradients(points, True)
        for g, again in zip(plain if 1 in orders else recorded, recorded):
            np.testing.assert_allclose(again.data, g.data, rtol=1e-9, atol=1e-12)
        scale = sum((g * weights(g, seed + 17 + i)).real.sum() for i, g in enumerate(recorded))
        second = grad(scale, leaves, allow_unused=True) if scale.requires_grad else [None] * len(leaves)
        exact = sum(inner(g.data, d) for g, d in zip(second, directions) if g is not None)

        def slope(new: list[np.ndarray]) -> float:
            _, found = gradients(new, False)
            return sum(float((g.data * weights(g, seed + 17 + i)).real.sum()) for i, g in enumerate(found))

        numeric = along(slope, points, directions)
        assert agree(exact, numeric, float(abs(scale.data))), (
            f"second order: rule {exact!r}, differences {numeric!r}, case {case}"
        )


@pytest.mark.parametrize("op", list(OWN.values()), ids=list(OWN))
def test_every_operation_is_documented_and_has_cases(op: Op) -> None:
    text = op.function.__doc__
    assert text, "a docstring is needed"
    assert ">>>" in text, "the docstring shows an example"
    assert "hape" in text or "->" in text or "broadcast" in text, "the docstring says the shapes"
    assert len(text.strip().splitlines()) <= 12, "a docstring has 12 lines at most"
    domains = op.domain if isinstance(op.domain, tuple) else (op.domain,)
    assert all(isinstance(domain, Domain) for domain in domains)
    assert op.cases or len(op.inputs) == 1 and not op.options, (
        "an operation of several inputs or options has cases"
    )
    for rule in op.rules:
        assert rule is None or isinstance(rule, Missing) or callable(rule)


@pytest.mark.parametrize(("op", "case"), list(every_case()))
def test_the_value_on_tensors_is_the_value_on_arrays_and_inputs_stay_as_they_are(op: Op, case: Case) -> None:
    values, free, options, named = drawn(op, case, seed_of(op, case))
    before = [np.array(v) if isinstance(v, np.ndarray) else v for v in values]
    if any(isinstance(v, np.ndarray) for v in values):
        on_arrays = call(op, values, options, named)
        assert not isinstance(on_arrays, Tensor)
        on_tensors = call(op, as_tensors(values, free), options, named)
        assert type(on_tensors) is Tensor
        np.testing.assert_array_equal(on_tensors.data, on_arrays)
        assert on_tensors.dtype == on_arrays.dtype
        assert on_tensors.requires_grad == bool(free and on_tensors.dtype.kind in "fc")
    for value, kept in zip(values, before):
        np.testing.assert_array_equal(value, kept)


@pytest.mark.parametrize(("op", "case"), list(every_case()))
def test_float32_stays_float32_in_values_and_gradients(op: Op, case: Case) -> None:
    values, free, options, named = drawn(op, case, seed_of(op, case))
    if not free or op.name == "astype":
        return
    narrow = [
        v.astype(np.float32) if isinstance(v, np.ndarray) and v.dtype == np.float64 else v for v in values
    ]
    tensors = as_tensors(narrow, free)
    out = call(op, tensors, options, named)
    assert out.dtype in (np.float32, np.complex64)
    without_phase(op, out).real.sum().backward()
    for i in free:
        assert tensors[i].grad.dtype == np.float32
        assert tensors[i].grad.shape == tensors[i].shape


@pytest.mark.parametrize(("op", "case"), list(with_complex_gradient()))
def test_complex64_stays_complex64_in_gradients(op: Op, case: Case) -> None:
    values, free, options, named = drawn(op, case, seed_of(op, case), complex_too=True)
    if not free or op.name == "astype":
        return
    narrow = {np.dtype(np.float64): np.float32, np.dtype(np.complex128): np.complex64}
    values = [v.astype(narrow.get(v.dtype, v.dtype)) if isinstance(v, np.ndarray) else v for v in values]
    tensors = as_tensors(values, free)
    out = call(op, tensors, options, named)
    assert out.dtype in (np.float32, np.complex64)
    without_phase(op, out).real.sum().backward()
    for i in free:
        assert tensors[i].grad.dtype == np.complex64
        assert tensors[i].grad.shape == tensors[i].shape


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_derivatives_of_first_and_second_order_agree_with_differences(op: Op, case: Case) -> None:
    check_orders(op, case, seed_of(op, case))


@pytest.mark.parametrize(("op", "case"), list(with_complex_gradient()))
def test_complex_derivatives_of_first_and_second_order_agree_with_differences(op: Op, case: Case) -> None:
    check_orders(op, case, seed_of(op, case), complex_too=True)


@pytest.mark.parametrize("op", [op for op in OWN.values() if op.real], ids=str)
def test_an_operation_of_real_numbers_refuses_to_record_complex_ones(op: Op) -> None:
    values, free, options, named = drawn(op, cases_of(op)[0], 0, complex_too=True)
    with pytest.raises(TinygradError, match="real numbers|floating logits"), np.errstate(all="ignore"):
        call(op, as_tensors(values, free), options, named)


@pytest.mark.parametrize(
    "op", [op for op in OWN.values() if any(callable(r) for r in op.rules)], ids=lambda op: op.name
)
@given(data=st.data())
def test_derivatives_agree_with_differences_wherever_the_domain_reaches(op: Op, data: st.DataObject) -> None:
    case = data.draw(st.sampled_from(cases_of(op)), label="case")
    seed = data.draw(st.integers(0, 2**32 - 1), label="seed")
    check_orders(op, broadcast_anew(op, case, data), seed)


def broadcast_anew(op: Op, case: Case, data: st.DataObject) -> Case:
    """The case, for operations that broadcast with other shapes."""
    shapes = [entry for entry in case.inputs if isinstance(entry, tuple)]
    if op.ufunc is None or op.ufunc.signature is not None or len(shapes) != len(op.inputs):
        return case
    whole = data.draw(st.lists(st.integers(0, 3), max_size=3).map(tuple), label="shape")
    drawn_shapes = []
    for i, _ in enumerate(shapes):
        start = data.draw(st.integers(0, len(whole)), label=f"axes left out of input {i}")
        ones = data.draw(st.lists(st.booleans(), min_size=len(whole), max_size=len(whole)), label="ones")
        drawn_shapes.append(tuple(1 if one else n for one, n in zip(ones, whole))[start:])
    return Case(*drawn_shapes, **case.options)


@pytest.mark.parametrize(
    "op", [op for op in OWN.values() if any(isinstance(r, Missing) for r in op.rules)], ids=str
)
def test_asking_for_a_derivative_that_does_not_exist_raises(op: Op) -> None:
    for case, i in itertools.product(cases_of(op), range(len(op.inputs))):
        values, _, options, named = drawn(op, case, 0)
        if isinstance(op.rules[i], Missing) and isinstance(values[i], np.ndarray):
            values[i] = Tensor(values[i], requires_grad=True)
            with pytest.raises(
                RuntimeError, match=f"{op.name}: no derivative with respect to {op.inputs[i]}"
            ):
                call(op, values, options, named)


def test_a_rule_that_is_one_percent_off_fails_the_check() -> None:
    @td.op(lambda g, out: g * out * 1.01)
    def exp_with_a_slip(x: Any) -> Any:
        return np.exp(x)

    with pytest.raises(AssertionError, match="first order"):
        check_orders(OPS["exp_with_a_slip"], Case((3,)), 0)


def test_a_rule_that_is_right_at_first_order_only_fails_the_check() -> None:
    @td.op(lambda g, x: g * Tensor(np.cos(x.data if isinstance(x, Tensor) else x)).data)
    def sin_with_a_cut(x: Any) -> Any:
        return np.sin(x)

    with pytest.raises(AssertionError, match="second order"):
        check_orders(OPS["sin_with_a_cut"], Case((3,)), 0)
