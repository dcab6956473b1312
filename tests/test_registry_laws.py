"""What holds for every operation beside values and derivatives: memory, modes, one input at a time."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.test_registry import (
    PHASES,
    as_tensors,
    call,
    drawn,
    every_case,
    projection,
    seed_of,
    weights,
    with_gradient,
    without_phase,
)
from tinygrad_dl import Tensor
from tinygrad_dl.graph import Node
from tinygrad_dl.op import Case, Op
from tinygrad_dl.testing import laws
from tinygrad_dl.testing.frameworks.own_functions import TensorFunction


class Prepared:
    """A case of an operation: the inputs, those to differentiate, and the call."""

    def __init__(self, op: Op, case: Case, shift: int = 0) -> None:
        self.op, self.seed = op, seed_of(op, case) + shift
        self.values, self.free, self.options, self.named = drawn(op, case, self.seed)

    def result(self, inputs: list[Any]) -> Any:
        return call(self.op, inputs, self.options, self.named)

    def backward(
        self, free: list[int] | None = None, **how: Any
    ) -> tuple[Tensor, list[Tensor], list[np.ndarray]]:
        """The result, its inputs, and the gradients of the free inputs."""
        free = self.free if free is None else free
        tensors = as_tensors(self.values, free)
        out = self.result(tensors)
        out.backward(seed_for(self.op, out), **how)
        return out, tensors, [tensors[i].grad.data for i in free]


def seed_for(op: Op, out: Tensor) -> np.ndarray:
    """A random gradient of a result; for vectors of arbitrary phase that of a function of their magnitudes."""
    if op.name in PHASES and out.dtype.kind == "c":
        return projection(out.shape, 5) * out.data
    return weights(out, 5).astype(out.dtype)


def arrays_in(values: Any) -> list[np.ndarray]:
    if isinstance(values, np.ndarray):
        return [values]
    return [a for v in values for a in arrays_in(v)] if isinstance(values, (tuple, list)) else []


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_gradients_are_arrays_of_their_own(op: Op, case: Case) -> None:
    prepared = Prepared(op, case)
    out, tensors, gradients = prepared.backward(retain_graph=True)
    assert out.node is not None
    held = [out.data, *arrays_in(out.node.saved), *(t.data for t in tensors if isinstance(t, Tensor))]
    for i, g in enumerate(gradients):
        assert g.flags.writeable
        others = held + gradients[i + 1 :]
        assert not any(np.may_share_memory(g, other) and np.shares_memory(g, other) for other in others)
    # What a rule gives may be added to in place, unless it is g itself or a view.
    g = seed_for(op, out).conj()
    for i, c in enumerate(parts := tuple(op.vjp(out.node, g))):
        if isinstance(c, np.ndarray) and c is not g and c.base is None:
            others = [g, *held, *(p for p in parts[i + 1 :] if isinstance(p, np.ndarray))]
            assert not any(np.shares_memory(c, other) for other in others if isinstance(other, np.ndarray))


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_backward_changes_no_input_and_no_saved_array_and_may_run_again(op: Op, case: Case) -> None:
    prepared = Prepared(op, case)
    tensors = as_tensors(prepared.values, prepared.free)
    out = prepared.result(tensors)
    assert out.node is not None
    watched = [out.data, *arrays_in(out.node.saved), *(t.data for t in tensors if isinstance(t, Tensor))]
    before = [a.copy() for a in watched]
    seed = seed_for(op, out)
    out.backward(seed, retain_graph=True)
    first = [tensors[i].grad.data.copy() for i in prepared.free]
    for array, was in zip(watched, before):
        np.testing.assert_array_equal(array, was)
    other = Prepared(op, case, shift=1)  # another pass in between: buffers that are used again
    other.backward()
    for i in prepared.free:
        tensors[i].grad = None
    out.backward(seed)
    for i, g in zip(prepared.free, first):
        np.testing.assert_array_equal(tensors[i].grad.data, g)


@pytest.mark.parametrize("law", ["linearity", "determinism", "memory", "layout"])
@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_the_laws_that_check_op_tries_hold_for_every_operation(op: Op, case: Case, law: str) -> None:
    p = Prepared(op, case)

    def function(*inputs: Any) -> Any:
        return without_phase(op, p.result(list(inputs)))

    subject = laws.Subject(
        function,
        [np.asarray(p.values[i]) for i in p.free],
        prepared=lambda arrays: TensorFunction(function, p.values, p.free),
    )
    assert not laws.broken(laws.LAWS[law], subject)


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_each_input_alone_gets_the_gradient_it_gets_with_the_others(op: Op, case: Case) -> None:
    prepared = Prepared(op, case)
    _, _, together = prepared.backward()
    for place, expected in zip(prepared.free, together):
        for recorded in (False, True):
            _, _, (alone,) = prepared.backward([place], create_graph=recorded)
            np.testing.assert_allclose(alone, expected, rtol=1e-9, atol=1e-12)
        tensors = as_tensors(prepared.values, prepared.free)
        out = prepared.result(tensors)
        seed = seed_for(op, out)
        (selected,) = tg.autograd.grad(out, tensors[place], seed)
        assert selected is not None
        np.testing.assert_allclose(selected.data, expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_checkpoint_and_detect_anomaly_change_no_gradient(op: Op, case: Case) -> None:
    prepared = Prepared(op, case)
    _, _, expected = prepared.backward()
    with tg.detect_anomaly():
        _, _, found = prepared.backward()
        _, _, recorded = prepared.backward(create_graph=True)
    tensors = as_tensors(prepared.values, prepared.free)
    out = tg.checkpoint(lambda *inputs: prepared.result(list(inputs)), *tensors)
    out.backward(seed_for(op, out))
    again = [tensors[i].grad.data for i in prepared.free]
    for e, f, r, a in zip(expected, found, recorded, again):
        np.testing.assert_array_equal(f, e)
        np.testing.assert_allclose(r, e, rtol=1e-9, atol=1e-12)
        np.testing.assert_array_equal(a, e)


@pytest.mark.parametrize(("op", "case"), list(every_case()))
def test_values_are_the_same_on_arrays_and_on_tensors_with_and_without_the_graph(op: Op, case: Case) -> None:
    prepared = Prepared(op, case)
    recorded = prepared.result(as_tensors(prepared.values, prepared.free))
    with tg.no_grad():
        plain = prepared.result(as_tensors(prepared.values, prepared.free))
        constant = prepared.result(as_tensors(prepared.values))
    arrays = prepared.result(prepared.values)
    assert isinstance(recorded, Tensor) and not plain.requires_grad and not constant.requires_grad
    for other in (plain.data, constant.data, arrays.data if isinstance(arrays, Tensor) else arrays):
        np.testing.assert_array_equal(np.asarray(other), recorded.data)
        assert np.asarray(other).dtype == recorded.dtype


@pytest.mark.parametrize(("op", "case"), list(with_gradient()))
def test_a_node_keeps_no_tensor(op: Op, case: Case) -> None:
    prepared = Prepared(op, case)
    out = prepared.result(as_tensors(prepared.values, prepared.free))
    node = out.node
    assert type(node) is Node

    def tensors_in(value: Any) -> bool:
        return isinstance(value, Tensor) or (isinstance(value, (tuple, list)) and any(map(tensors_in, value)))

    assert not tensors_in(node.saved) and not tensors_in(node.options) and not tensors_in(node.parents)
