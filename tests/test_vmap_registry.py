"""What func.vmap does to every operation: the same as a loop over the examples, in values and gradients."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tests.test_registry import call, drawn, every_case, projection, seed_of, with_gradient, without_phase
from tinygrad_dl import Tensor, func, stack
from tinygrad_dl.autograd import grad
from tinygrad_dl.op import Case, Op

SIZE = 5  # another number than the cases have elements along an axis


def examples(op: Op, case: Case) -> tuple[list[list[Any]], list[int], list[int], Any, Any]:
    """The inputs of several examples, the places of arrays and of what is differentiated, and the options."""
    drawn_ones = [drawn(op, case, seed_of(op, case) + k) for k in range(SIZE)]
    values, free, options, named = drawn_ones[0]
    arrays = [i for i, value in enumerate(values) if isinstance(value, np.ndarray)]
    return [one[0] for one in drawn_ones], arrays, free, options, named


def choices(arrays: list[int]) -> list[tuple[int, ...]]:
    """Which inputs differ between the examples: all of them, and each one alone."""
    return [tuple(arrays), *((i,) for i in arrays if len(arrays) > 1)]


def close(actual: Any, expected: Any) -> None:
    actual, expected = (x.data if isinstance(x, Tensor) else x for x in (actual, expected))
    assert actual.shape == expected.shape
    assert actual.dtype == expected.dtype
    np.testing.assert_allclose(actual, expected, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize(("op", "case"), list(every_case()))
def test_vmap_is_a_loop_in_values_and_gradients(op: Op, case: Case) -> None:
    ones, arrays, free, options, named = examples(op, case)
    for chosen in choices(arrays):
        shared = ones[0]
        inputs = {
            i: Tensor(
                np.stack([one[i] for one in ones]) if i in chosen else shared[i], requires_grad=i in free
            )
            for i in arrays
        }
        given = [inputs[i] for i in arrays]

        def f(*tensors: Any, shared: Any = shared) -> Any:
            values = list(shared)
            for i, tensor in zip(arrays, tensors):
                values[i] = tensor
            return without_phase(op, call(op, values, options, named))

        axes = tuple(0 if i in chosen else None for i in arrays)
        out = func.vmap(f, in_axes=axes, randomness="same")(*given)
        looped = stack([f(*(x[k] if i in chosen else x for i, x in inputs.items())) for k in range(SIZE)])
        close(out, looped)
        assert out.requires_grad == looped.requires_grad
        if out.requires_grad:
            seed = projection(out.shape, 3).astype(out.dtype)
            differentiated = [inputs[i] for i in free]
            for one, other in zip(grad(out, differentiated, seed), grad(looped, differentiated, seed)):
                close(one, other)


def cases_of_batch_rules() -> Iterator[Any]:
    """Every case of the operations that have a rule for batches, but those of which a rule takes only some."""
    for parameters in every_case():
        op, _ = parameters.values
        if op.batch is not None and op.name not in ("repeat", "isin", "searchsorted", "rnn", "gru", "lstm"):
            yield parameters


@pytest.mark.parametrize(("op", "case"), list(cases_of_batch_rules()))
def test_what_has_a_rule_runs_once_for_all_examples(op: Op, case: Case) -> None:
    ones, arrays, _, options, named = examples(op, case)

    def f(*given: Any) -> Any:
        values = list(ones[0])
        for i, x in zip(arrays, given):
            values[i] = x
        return call(op, values, options, named)

    for chosen in choices(arrays):
        given = [np.stack([one[i] for one in ones]) if i in chosen else ones[0][i] for i in arrays]
        report = func.vmap(f, tuple(0 if i in chosen else None for i in arrays), randomness="same").explain(
            *given
        )
        assert not report.looped


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_a_batch_of_gradients_goes_back_as_each_does(op: Op, case: Case) -> None:
    values, free, options, named = drawn(op, case, seed_of(op, case))
    primals = [values[i] for i in free]

    def f(*new: Any) -> Any:
        given = [new[free.index(i)] if i in free else v for i, v in enumerate(values)]
        return without_phase(op, call(op, given, options, named))

    out, pullback = func.vjp(f, *primals)
    seeds = np.stack([projection(out.shape, k).astype(out.dtype) for k in range(SIZE)])
    found = func.vmap(pullback)(seeds)
    for i, batch in enumerate(found):
        close(batch, np.stack([pullback(seed)[i] for seed in seeds]))


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_grad_inside_of_vmap_is_the_gradient_of_each_example(op: Op, case: Case) -> None:
    ones, _, free, options, named = examples(op, case)

    def loss(shared: Any, *new: Any) -> Any:
        values = [new[free.index(i)] if i in free else v for i, v in enumerate(shared)]
        out = without_phase(op, call(op, values, options, named))
        total = (out * projection(out.shape, 3).astype(out.dtype)).sum()
        return total.real if total.dtype.kind == "c" else total

    for chosen in choices(free):
        fixed = [one if i not in free else ones[0][i] for i, one in enumerate(ones[0])]
        given = [np.stack([one[i] for one in ones]) if i in chosen else ones[0][i] for i in free]
        axes = tuple(0 if i in chosen else None for i in free)
        at = tuple(range(1, len(free) + 1))
        gradient = func.grad(loss, argnums=at)
        found = func.vmap(lambda *new: gradient(fixed, *new), axes, randomness="same")(*given)  # noqa: B023
        for place, batch in enumerate(found):
            each = [
                gradient(fixed, *(x[k] if i in chosen else x for i, x in zip(free, given)))[place]
                for k in range(SIZE)
            ]
            close(batch, np.stack(each))
        tensors = [Tensor(x, requires_grad=True) for x in given]
        recorded = func.vmap(lambda *new: gradient(fixed, *new), axes, randomness="same")(*tensors)  # noqa: B023
        for one, other in zip(recorded, found):
            close(one.detach(), other)
