"""What forward mode does to every operation: it is the adjoint of the backward pass, in every combination."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.test_registry import (
    call,
    drawn,
    projection,
    seed_of,
    with_complex_gradient,
    with_gradient,
    without_phase,
)
from tests.test_vmap_registry import SIZE, close
from tinygrad_dl import Tensor, func, nn
from tinygrad_dl.op import Case, Joint, Op


def differentiable(
    op: Op, case: Case, complex_too: bool = False
) -> tuple[Callable[..., Any], list[np.ndarray], list[np.ndarray]]:
    """The operation as a function of what it can be differentiated in, a point, and directions at it."""
    values, free, options, named = drawn(op, case, seed_of(op, case), complex_too)

    def f(*new: Any) -> Any:
        given = [new[free.index(i)] if i in free else v for i, v in enumerate(values)]
        return without_phase(op, call(op, given, options, named))

    points = [values[i] for i in free]
    return f, points, [projection(p.shape, 9 + i).astype(p.dtype) for i, p in enumerate(points)]


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_forward_mode_is_the_adjoint_of_the_backward_pass(op: Op, case: Case) -> None:
    f, points, directions = differentiable(op, case)
    out, pullback = func.vjp(f, *points)
    value, change = func.jvp(f, points, directions)
    close(value, out)
    assert change.shape == out.shape
    assert change.dtype == out.dtype
    seed = projection(out.shape, 3).astype(out.dtype)
    product = np.vdot(seed, change).real
    backward = sum(np.vdot(g, d).real for g, d in zip(pullback(seed), directions))
    np.testing.assert_allclose(product, backward, rtol=1e-9, atol=1e-10)
    again, along = func.linearize(f, *points)
    close(again, out)
    close(along(*directions), change)
    for i, direction in enumerate(directions):  # each input alone
        _, alone = func.jvp(lambda x, i=i: f(*points[:i], x, *points[i + 1 :]), (points[i],), (direction,))
        expected = np.vdot(pullback(seed)[i], direction).real
        np.testing.assert_allclose(np.vdot(seed, alone).real, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize(("op", "case"), list(with_complex_gradient()))
def test_forward_mode_of_complex_values_is_the_adjoint_too(op: Op, case: Case) -> None:
    f, points, directions = differentiable(op, case, complex_too=True)
    directions = [d * (1 + 0.5j) if d.dtype.kind == "c" else d for d in directions]
    with np.errstate(all="ignore"):
        out, pullback = func.vjp(f, *points)
        _, change = func.jvp(f, points, directions)
        seed = projection(out.shape, 3).astype(out.dtype) * (1 - 0.3j if out.dtype.kind == "c" else 1)
        gradients = pullback(seed)
    assert change.dtype == out.dtype
    backward = sum(np.vdot(g, d).real for g, d in zip(gradients, directions))
    np.testing.assert_allclose(np.vdot(seed, change).real, backward, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_forward_over_reverse_is_reverse_over_reverse(op: Op, case: Case) -> None:
    f, points, directions = differentiable(op, case)

    def loss(*new: Any) -> Any:
        out = f(*new)
        total = (out * projection(out.shape, 3).astype(out.dtype)).sum()
        return total.real if total.dtype.kind == "c" else total

    def slope(*new: Any) -> Any:
        gradients = func.grad(loss, argnums=tuple(range(len(new))))(*new)
        return sum((g * d).sum() for g, d in zip(gradients, directions))

    everything = tuple(range(len(points)))
    reverse = func.grad(slope, argnums=everything)(*points)
    forward = func.hvp(loss, tuple(points), tuple(directions))
    for one, other in zip(forward, reverse):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)

    def pushed(*new: Any) -> Any:
        return func.jvp(loss, new, directions)[1]

    for one, other in zip(func.grad(pushed, argnums=everything)(*points), reverse):
        np.testing.assert_allclose(one, other, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_forward_mode_inside_and_outside_of_vmap_is_a_loop(op: Op, case: Case) -> None:
    f, points, directions = differentiable(op, case)
    several = [np.stack([d * (k + 1) for k in range(SIZE)]) for d in directions]
    expected = [func.jvp(f, points, [d[k] for d in several])[1] for k in range(SIZE)]
    found = func.vmap(lambda *ds: func.jvp(f, points, ds)[1], randomness="same")(*several)
    close(found, np.stack(expected))
    everywhere = [np.stack([p] * SIZE) for p in points]
    n = len(points)
    found = func.vmap(lambda *given: func.jvp(f, given[:n], given[n:])[1], randomness="same")(
        *everywhere, *several
    )
    close(found, np.stack(expected))
    _, found = func.jvp(func.vmap(f, randomness="same"), everywhere, several)
    close(found, np.stack(expected))


@pytest.mark.parametrize(
    ("op", "case"), [p for p in with_gradient() if isinstance(p.values[0].jvp, (tuple, Joint))]
)
def test_a_recorded_change_is_that_of_arrays_for_each_input_alone(op: Op, case: Case) -> None:
    f, points, directions = differentiable(op, case)
    for i, direction in enumerate(directions):

        def alone(x: Any, i: int = i) -> Any:
            return f(*points[:i], x, *points[i + 1 :])

        _, expected = func.jvp(alone, (points[i],), (direction,))
        _, recorded = func.jvp(alone, (points[i],), (Tensor(direction, requires_grad=True),))
        close(recorded.detach(), expected)
        close(func.vmap(lambda d: func.jvp(alone, (points[i],), (d,))[1])(direction[None])[0], expected)  # noqa: B023


@pytest.mark.parametrize("kind", [nn.RNN, nn.GRU, nn.LSTM])
def test_forward_mode_of_recurrent_parameters_and_states_together_is_the_sum_of_each(kind: Any) -> None:
    tg.manual_seed(0)
    layer = kind(3, 2).to("float64")
    parameters = {name: p.detach().data for name, p in layer.named_parameters()}
    x = projection((4, 2, 3), 1)
    directions = {name: projection(p.shape, 2 + i) for i, (name, p) in enumerate(parameters.items())}

    def out(parameters: Any) -> Any:
        return func.functional_call(layer, parameters, (x,))[0]

    _, together = func.jvp(out, (parameters,), (directions,))
    step = 1e-6
    moved = [
        out({name: p + sign * step * directions[name] for name, p in parameters.items()}).detach().data
        for sign in (1, -1)
    ]
    np.testing.assert_allclose(np.asarray(together), (moved[0] - moved[1]) / (2 * step), rtol=1e-6, atol=1e-9)


def test_max_pooling_moves_with_its_first_maximum_beside_infinities() -> None:
    x, t = np.array([[[1.0, 1.0, np.inf, 0.0]]]), np.array([[[5.0, np.inf, 3.0, 4.0]]])
    for first, expected in ((np.inf, [5.0, 3.0]), (2.0, [5.0, 3.0])):
        x[0, 0, 2] = first
        _, change = func.jvp(lambda x: tg.max_pool(x, 2), (x,), (t,))
        np.testing.assert_array_equal(change[0, 0], expected)


@pytest.mark.parametrize("axis", [None, 0, 1, (1, 0)])
def test_extremes_move_with_their_ties_and_with_nan(axis: Any) -> None:
    x = np.array([[1.0, 3.0, 3.0], [3.0, -1.0, 2.0]])
    t = np.arange(6.0).reshape(2, 3)
    _, change = func.jvp(lambda x: tg.max(x, axis=axis), (x,), (t,))
    hit = x == x.max(axis=axis, keepdims=True)
    np.testing.assert_allclose(change, (t * hit).sum(axis=axis) / hit.sum(axis=axis))
    x[0, 0] = np.nan
    _, change = func.jvp(lambda x: tg.min(x, axis=axis), (x,), (t,))
    _, pullback = func.vjp(lambda x: tg.min(x, axis=axis), x)
    np.testing.assert_allclose(np.sum(change), np.sum(t * pullback(np.ones_like(change))[0]))


@pytest.mark.parametrize("classes", [3, 70])
@pytest.mark.parametrize("reduction", ["none", "mean"])
def test_cross_entropy_moves_with_softmax_less_the_target(classes: int, reduction: Any) -> None:
    x, t, target = projection((5, classes), 1), projection((5, classes), 2), np.array([0, 2, 1, 2, 0])
    p = np.exp(x) / np.exp(x).sum(axis=1, keepdims=True)
    expected = ((p - np.eye(classes)[target]) * t).sum(axis=1)

    def loss(x: Any) -> Any:
        return nn.functional.cross_entropy(x, target, reduction=reduction)

    _, change = func.jvp(loss, (x,), (t,))
    np.testing.assert_allclose(change, expected if reduction == "none" else expected.mean(), rtol=1e-12)


DECOMPOSITIONS: dict[str, Callable[[Any], Any]] = {
    "cholesky": lambda x: tg.linalg.cholesky(x @ tg.conj(x).mT + 5 * np.eye(75)),
    "upper": lambda x: tg.linalg.cholesky(x @ tg.conj(x).mT + 5 * np.eye(75), upper=True),
    "qr": lambda x: tg.concat([part.mT for part in tg.linalg.qr(x)]),
    "tall": lambda x: tg.concat(tg.linalg.qr(x[:, :70]), axis=0),
    "wide": lambda x: tg.linalg.qr(x[:70]).R,
    "solve": lambda x: tg.linalg.solve(x, x[:, 0] ** 2),
    "det": lambda x: tg.linalg.det(x / 10) * 1e9,
    "slogdet": lambda x: tg.linalg.slogdet(x).logabsdet,
    "sign": lambda x: tg.linalg.slogdet(x).sign,
    "pinv": lambda x: tg.linalg.pinv(x[:, :70]),
    "eigvalsh": lambda x: tg.linalg.eigvalsh(x),
    "svdvals": lambda x: tg.linalg.svdvals(x[:60]),
    "eigvals": lambda x: (tg.linalg.eigvals(x) ** 2).sum(),
}


@pytest.mark.parametrize("kind", ["real", "complex"])
@pytest.mark.parametrize("name", list(DECOMPOSITIONS))
def test_large_matrices_move_by_their_differences_by_every_rule(name: str, kind: str) -> None:
    f = DECOMPOSITIONS[name]
    x, t = np.random.default_rng(0).standard_normal((2, 75, 75))
    if kind == "complex":
        x, t = x + 0.5j * x.T, t - 0.3j * t.T
    value, change = func.jvp(f, (x,), (t,))
    step = 1e-6
    differences = (f(x + step * t) - f(x - step * t)) / (2 * step)
    np.testing.assert_allclose(value, f(x), rtol=1e-9, atol=1e-9 * np.abs(value).max())
    np.testing.assert_allclose(change, differences, rtol=1e-4, atol=1e-5 * np.abs(change).max() + 1e-9)
    _, recorded = func.jvp(f, (x,), (Tensor(t, requires_grad=True),))
    np.testing.assert_allclose(recorded.detach(), change, rtol=1e-6, atol=1e-9 * np.abs(change).max())


def test_values_computed_with_their_change_are_checked_and_watched_as_alone() -> None:
    for name in ("eigvals", "eigvalsh", "svdvals"):
        f = getattr(tg.linalg, name)
        wrong = np.ones(3) if name == "svdvals" else np.ones((2, 3))
        with pytest.raises(tg.errors.MatrixError) as alone:
            f(wrong)
        with pytest.raises(tg.errors.MatrixError) as moved:
            func.jvp(f, (wrong,), (wrong,))
        assert str(moved.value) == str(alone.value)
        x = np.diag([3.0, 2.0, 1.0])
        with tg.detect_anomaly():
            _, change = func.jvp(f, (x,), (np.eye(3) * 2,))
        np.testing.assert_allclose(change, [2.0, 2.0, 2.0])
        empty = np.zeros((2, 0, 0))
        assert [part.shape for part in func.jvp(f, (empty,), (empty,))] == [(2, 0), (2, 0)]
