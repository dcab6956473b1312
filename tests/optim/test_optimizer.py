"""Optimizer, the base class: groups, steps, states, errors."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.optim import SGD, Adam, Optimizer
from tinygrad_dl.optim.fused import FUSED_SIZE
from tinygrad_dl.optim.optimizer import options

LARGE = 4 * FUSED_SIZE  # elements: such a parameter is updated alone


def parameters(*shapes: tuple[int, ...], dtype: str = "float64", seed: int = 0) -> list[Tensor]:
    rng = np.random.default_rng(seed)
    return [Tensor(rng.normal(size=shape).astype(dtype), requires_grad=True) for shape in shapes]


def give_gradients(params: list[Tensor], seed: int = 1) -> None:
    rng = np.random.default_rng(seed)
    for p in params:
        p.grad = Tensor(rng.normal(size=p.shape).astype(p.dtype))


def test_a_parameter_without_gradient_is_left_alone_and_counts_no_step() -> None:
    p, q = parameters((2,), (2,))
    before = q.data.copy()
    p.grad = Tensor(np.ones(2))
    optimizer = Adam([p, q])
    optimizer.step()
    np.testing.assert_array_equal(q.data, before)
    assert q not in optimizer.state


def test_the_array_of_a_parameter_is_changed_in_place() -> None:
    params = parameters((2, 2), (3,), (FUSED_SIZE + 1,), (LARGE + 1,))
    arrays, before = [p.data for p in params], [p.data.copy() for p in params]
    give_gradients(params)
    Adam(params).step()
    assert all(p.data is array for p, array in zip(params, arrays))
    assert all((array != old).all() for array, old in zip(arrays, before))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_a_step_keeps_the_dtype_even_if_the_rate_is_a_float64_of_numpy(dtype: str) -> None:
    for make in (SGD, Adam):
        params = parameters((2, 2), (3,), (LARGE + 1,), dtype=dtype)
        give_gradients(params)
        optimizer = make(params, lr=np.float64(0.1))
        optimizer.step()
        assert {p.dtype for p in params} == {np.dtype(dtype)}
        arrays = [
            v for state in optimizer.state.values() for v in state.values() if isinstance(v, np.ndarray)
        ]
        assert all(array.dtype == dtype for array in arrays)


def test_a_parameter_laid_out_in_columns_is_updated_in_place() -> None:
    for size in (3, FUSED_SIZE, LARGE):
        array = np.asfortranarray(np.ones((2, size)))
        p = tg.asarray(array).requires_grad_()
        p.grad = Tensor(np.ones((2, size)))
        SGD([p], lr=0.5).step()
        np.testing.assert_array_equal(array, np.full((2, size), 0.5))


def test_state_follows_a_parameter_to_another_dtype() -> None:
    params = parameters((2, 2), (3,), dtype="float32")
    optimizer = Adam(params)
    give_gradients(params)
    optimizer.step()
    for p in params:
        p.grad = None
        p.data = p.data.astype("float64")
    give_gradients(params)
    optimizer.step()
    assert [optimizer.state[p]["step"] for p in params] == [2, 2]
    assert {optimizer.state[p]["exp_avg"].dtype for p in params} == {np.dtype("float64")}


def test_a_parameter_that_changed_its_shape_needs_a_new_optimizer() -> None:
    (p,) = parameters((2,))
    optimizer = Adam([p])
    give_gradients([p])
    optimizer.step()
    p.grad = None
    p.data = np.zeros(3)
    give_gradients([p])
    with pytest.raises(
        ShapeError, match=r"expected a parameter of shape \(2,\), as at the last step, got \(3,\)"
    ):
        optimizer.step()


def test_a_step_without_any_gradient_names_the_likely_reason() -> None:
    params = parameters((2,))
    optimizer = SGD(params, lr=0.1)
    with pytest.raises(
        GraphError, match=r"^SGD.step: no parameter has a gradient; call loss.backward\(\) between"
    ):
        optimizer.step()
    with tg.no_grad(), pytest.raises(GraphError, match="this runs under no_grad"):
        optimizer.step()
    params[0].requires_grad_(False)
    with pytest.raises(GraphError, match="none of them requires grad: they are frozen"):
        optimizer.step()


def test_zero_grad_discards_gradients_or_fills_them_with_zeros() -> None:
    p, q = parameters((2,), (3,))
    p.grad = Tensor(np.ones(2))
    optimizer = SGD([p, q])
    optimizer.zero_grad(set_to_none=False)
    assert p.grad is not None and p.grad.tolist() == [0.0, 0.0] and q.grad is None
    optimizer.zero_grad()
    assert p.grad is None


def test_a_closure_is_run_with_the_graph_recorded_and_its_loss_returned() -> None:
    (p,) = parameters((2,))
    optimizer = SGD([p], lr=0.1)

    def closure() -> Tensor:
        optimizer.zero_grad()
        loss = (p * p).sum()
        loss.backward()
        return loss

    expected = p.data * 0.8
    with tg.no_grad():
        loss = optimizer.step(closure)
    assert loss.requires_grad
    np.testing.assert_allclose(p.data, expected)


def test_groups_have_options_of_their_own() -> None:
    p, q = parameters((2,), (2,))
    optimizer = SGD([{"params": [p], "lr": 1.0}, {"params": q}], lr=0.5)
    p.grad = q.grad = Tensor(np.ones(2))
    before = [p.data.copy(), q.data.copy()]
    optimizer.step()
    np.testing.assert_allclose(before[0] - p.data, 1.0)
    np.testing.assert_allclose(before[1] - q.data, 0.5)


def test_a_rate_changed_between_steps_is_used() -> None:
    (p,) = parameters((2,))
    optimizer = SGD([p], lr=0.5)
    optimizer.param_groups[0]["lr"] = 0.0
    give_gradients([p])
    before = p.data.copy()
    optimizer.step()
    np.testing.assert_array_equal(p.data, before)


def test_momentum_switched_on_later_gets_its_buffer() -> None:
    (p,) = parameters((2,))
    optimizer = SGD([p], lr=0.5)
    give_gradients([p])
    optimizer.step()
    optimizer.param_groups[0]["momentum"] = 0.9
    optimizer.step()
    assert set(optimizer.state[p]) == {"step", "momentum_buffer"}


@pytest.mark.parametrize("make", [SGD, Adam])
def test_training_resumes_from_a_saved_state_to_the_bit(make: type[Optimizer]) -> None:
    shapes = [(3, 2), (4,), (LARGE + 3,)]
    options: dict[str, Any] = {"momentum": 0.9, "dampening": 0.5} if make is SGD else {"amsgrad": True}
    one = parameters(*shapes)
    first = make(one, lr=0.1, **options)
    for step in range(2):
        give_gradients(one, seed=step)
        first.step()
    saved = first.state_dict()
    other = [Tensor(p.data, requires_grad=True) for p in one]
    second = make(other, lr=0.7, **options)
    second.load_state_dict(saved)
    assert second.param_groups[0]["lr"] == 0.1
    for step in range(2, 4):
        for params, optimizer in ((one, first), (other, second)):
            give_gradients(params, seed=step)
            optimizer.step()
    for p, q in zip(one, other):
        np.testing.assert_array_equal(p.data, q.data)


def test_a_saved_state_is_a_copy() -> None:
    (p,) = parameters((2,))
    optimizer = Adam([p])
    give_gradients([p])
    optimizer.step()
    saved = optimizer.state_dict()
    before = saved["state"][0]["exp_avg"].copy()
    optimizer.step()
    np.testing.assert_array_equal(saved["state"][0]["exp_avg"], before)


def test_a_state_of_other_parameters_raises_and_changes_nothing() -> None:
    p, q = parameters((2,), (3,))
    optimizer, other = Adam([p]), Adam([q])
    give_gradients([p, q])
    optimizer.step()
    other.step()
    with pytest.raises(ShapeError, match=r"exp_avg: expected the shape \(2,\) for .* \(2,\), got \(3,\)"):
        optimizer.load_state_dict(other.state_dict())
    assert optimizer.state[p]["exp_avg"].shape == (2,)
    with pytest.raises(ValueRangeError, match=r"expected groups of \[2\] parameters, .*, got \[1\]"):
        Adam(parameters((2,), (3,))).load_state_dict(other.state_dict())
    with pytest.raises(ValueRangeError, match='expected a dict with "state" and "param_groups"'):
        optimizer.load_state_dict({})


def test_model_and_optimizer_are_copied_and_pickled_together() -> None:
    params = parameters((2, 2), (3,))
    optimizer = Adam(params)
    give_gradients(params)
    optimizer.step()
    for twin_params, twin in (
        copy.deepcopy((params, optimizer)),
        pickle.loads(pickle.dumps((params, optimizer))),
    ):
        give_gradients(params, seed=5)
        give_gradients(twin_params, seed=5)
        optimizer_now = copy.deepcopy((params, optimizer))
        optimizer_now[1].step()
        twin.step()
        for p, q in zip(optimizer_now[0], twin_params):
            np.testing.assert_array_equal(p.data, q.data)


def test_an_entry_that_is_not_a_parameter_raises_with_the_reason() -> None:
    (p,) = parameters((2,))
    with pytest.raises(
        DTypeError, match=r"^SGD: params: expected the parameters, .* got Tensor. Pass a list: \[w\]$"
    ):
        SGD(p)
    with pytest.raises(DTypeError, match="got int"):
        SGD(3)  # type: ignore[arg-type]
    with pytest.raises(ValueRangeError, match="expected at least one parameter, got none"):
        SGD([])
    with pytest.raises(DTypeError, match="expected Tensors, got ndarray"):
        SGD([np.ones(2)])
    with pytest.raises(ValueRangeError, match="is the result of an operation"):
        SGD([p * 2])
    with pytest.raises(ValueRangeError, match=r"the parameter of shape \(2,\) is given twice"):
        SGD([p, p])
    with pytest.raises(ValueRangeError, match="the parameter w is given twice"):
        SGD([{"params": [p]}, {"params": [("w", p)]}])
    with pytest.raises(DTypeError, match="got a mixture"):
        SGD([p, {"params": [p]}])
    with pytest.raises(DTypeError, match='a group: expected a dict with "params", got dict'):
        SGD([{"lr": 1.0}])
    with pytest.raises(ValueRangeError, match="a group: expected options among lr, momentum, .* got 'rate'"):
        SGD([{"params": [p], "rate": 1.0}])


def test_names_of_parameters_are_kept() -> None:
    p, q = parameters((2,), (2,))
    optimizer = SGD([("w", p), ("b", q)])
    assert optimizer.param_groups[0]["param_names"] == ["w", "b"]
    assert optimizer.param_groups[0]["params"][0] is p


def test_a_subclass_without_update_is_told_to_define_it() -> None:
    (p,) = parameters((2,))
    give_gradients([p])
    with pytest.raises(DTypeError, match=r"has to define update\(p, g, state, group, workspace\)"):
        Optimizer([p], {"lr": 0.1}).step()


def test_the_gradient_stays_as_it_was() -> None:
    options: list[tuple[type[Optimizer], dict[str, Any]]] = [
        (SGD, {"weight_decay": 0.1, "momentum": 0.9, "nesterov": True, "maximize": True}),
        (Adam, {"weight_decay": 0.1, "maximize": True, "amsgrad": True}),
    ]
    for make, chosen in options:
        params = parameters((2, 2), (LARGE + 1,))
        give_gradients(params)
        before = [p.grad.data.copy() for p in params if p.grad is not None]
        make(params, **chosen).step()
        for p, g in zip(params, before):
            assert p.grad is not None
            np.testing.assert_array_equal(p.grad.data, g)


def test_repr_shows_the_options_of_each_group() -> None:
    text = repr(SGD(parameters((2,)), lr=0.5))
    assert text.startswith("SGD (\nParameter Group 0\n    dampening: 0\n    lr: 0.5\n")


def test_options_are_the_arguments_of_the_constructor() -> None:
    class Decaying(SGD):
        def __init__(self, params: Any, lr: float = 0.5, halving: int = 3) -> None:
            super().__init__(params, lr=lr)
            self.found = options(locals())

    assert Decaying(parameters((2,)), halving=4).found == {"lr": 0.5, "halving": 4}


def test_a_subclass_in_the_style_of_pytorch_lists_its_defaults() -> None:
    class Plain(Optimizer):
        def __init__(self, params: Any, lr: float = 0.5) -> None:
            super().__init__(params, {"lr": lr})

        def update(self, p: Any, g: Any, state: Any, group: Any, workspace: Any) -> None:
            p -= group["lr"] * g

    (p,) = parameters((2,))
    before = p.data.copy()
    p.grad = Tensor(np.ones(2))
    Plain([{"params": [p], "lr": 0.25}]).step()
    np.testing.assert_array_equal(p.data, before - 0.25)
