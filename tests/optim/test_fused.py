"""Fused updates of small parameters give the same bits as updates one by one."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from tests.optim.test_optimizer import give_gradients, parameters
from tinygrad_dl.optim import SGD, Adam
from tinygrad_dl.optim.fused import FUSED_SIZE

LARGE = 4 * FUSED_SIZE  # elements: such a parameter is updated alone


class OneByOne(Adam):
    """Adam that updates each parameter alone: what fused updates have to agree with."""

    elementwise = False


def test_small_and_large_parameters_are_updated_as_if_each_were_alone() -> None:
    shapes = [
        (3, 4),
        (),
        (0,),
        (5,),
        (LARGE + 7,),
        (2, LARGE),
        (FUSED_SIZE,),
        (FUSED_SIZE + 1,),
        (LARGE,),
        (3, LARGE),
    ]
    one, other = parameters(*shapes), parameters(*shapes)
    fused, alone = Adam(one, lr=0.1, weight_decay=0.1), OneByOne(other, lr=0.1, weight_decay=0.1)
    for step in range(4):
        give_gradients(one, seed=step)
        give_gradients(other, seed=step)
        if step == 2:  # the plan changes: two parameters have no gradient
            for params in (one, other):
                params[0].grad = params[4].grad = None
        fused.step()
        alone.step()
    for p, q in zip(one, other):
        np.testing.assert_array_equal(p.data, q.data)
    assert [fused.state[p]["step"] for p in one] == [3, 4, 4, 4, 3, 4, 4, 4, 4, 4]


class Counted(SGD):
    """SGD with a state of two numbers per parameter."""

    def init_state(self, p: Any, group: Any) -> dict[str, Any]:
        return {"seen": np.zeros(2, p.dtype)}

    def update(self, p: Any, g: Any, state: Any, group: Any, workspace: Any) -> None:
        state["seen"] += p.size, 1
        super().update(p, g, state, group, workspace)


class Wide(SGD):
    """SGD with a state of float64 for each element."""

    def init_state(self, p: Any, group: Any) -> dict[str, Any]:
        return {"seen": np.zeros(p.shape)}

    def update(self, p: Any, g: Any, state: Any, group: Any, workspace: Any) -> None:
        state["seen"] += g
        super().update(p, g, state, group, workspace)


@pytest.mark.parametrize("size", [3, FUSED_SIZE + 1, LARGE + 1])
def test_a_state_of_another_shape_or_dtype_than_its_parameter_stays_so(size: int) -> None:
    for make in (Counted, Wide):
        params = parameters((size,), (size,), dtype="float32")
        give_gradients(params)
        before = [p.data.copy() for p in params]
        optimizer = make(params, lr=0.1)
        optimizer.step()
        for p, old in zip(params, before):
            assert p.grad is not None
            seen = optimizer.state[p]["seen"]
            assert seen.dtype == (np.float32 if make is Counted else np.float64)
            np.testing.assert_array_equal(seen, [size, 1] if make is Counted else p.grad.data)
            np.testing.assert_array_equal(p.data, old - np.float32(0.1) * p.grad.data)


def test_a_state_in_column_major_order_is_continued() -> None:
    for size in (3, FUSED_SIZE, LARGE):
        one, other = parameters((2, size)), parameters((2, size))
        a, b = Adam(one), Adam(other)
        for step in range(2):
            give_gradients(one, seed=step)
            give_gradients(other, seed=step)
            a.step()
            b.step()
            state = b.state[other[0]]
            b.state[other[0]] = {k: np.asfortranarray(v) if np.ndim(v) else v for k, v in state.items()}
            b, other = copy.deepcopy((b, other))
        np.testing.assert_array_equal(one[0].data, other[0].data)
        np.testing.assert_array_equal(a.state[one[0]]["exp_avg"], b.state[other[0]]["exp_avg"])


class Working(Adam):
    """Adam that records the addresses of its workspace and the number of bytes in it."""

    addresses: frozenset[tuple[int, ...]] = frozenset()
    largest: int = 0

    def update(self, p: Any, g: Any, state: Any, group: Any, workspace: Any) -> None:
        assert not any(np.shares_memory(workspace[0], other) for other in (p, g, workspace[1]))
        self.addresses |= {tuple(w.ctypes.data for w in workspace)}
        self.largest = max(self.largest, workspace[0].nbytes)
        super().update(p, g, state, group, workspace)


def test_all_parameters_of_a_dtype_are_updated_in_the_same_workspace() -> None:
    shapes = [(3,), (FUSED_SIZE + 1,), (2, LARGE), (4, FUSED_SIZE), (5, 5), (LARGE,), (0, 3)]
    params = parameters(*shapes, dtype="float32")
    optimizer = Working(params)
    for _ in range(2):
        give_gradients(params)
        optimizer.step()
    assert len(optimizer.addresses) == 1 and optimizer.largest == 4 * 2 * LARGE
    params += parameters((7,), (FUSED_SIZE + 1,), dtype="float64")
    mixed = Working(params)
    give_gradients(params)
    mixed.step()
    assert len(mixed.addresses) == 2
