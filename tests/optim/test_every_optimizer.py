"""Properties of every optimizer: the classes are found in the package, so that new ones are tested at once."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import AnomalyError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.optim.fused import FUSED_SIZE

LARGE = 4 * FUSED_SIZE  # elements: such a parameter is updated alone

OPTIMIZERS = {
    name: value
    for name, value in vars(optim).items()
    if inspect.isclass(value) and issubclass(value, optim.Optimizer) and value is not optim.Optimizer
}
# Options that need more state than the defaults, and a rate that suits a quadratic.
OPTIONS: dict[str, list[dict[str, Any]]] = {
    "SGD": [{"lr": 0.1}, {"lr": 0.05, "momentum": 0.9, "nesterov": True, "weight_decay": 0.01}],
    "Adam": [{"lr": 0.1}, {"lr": 0.1, "amsgrad": True, "weight_decay": 0.01}],
    "RMSprop": [{"lr": 0.05}, {"lr": 0.01, "centered": True, "momentum": 0.9}],
    "Adagrad": [{"lr": 0.5}, {"lr": 0.5, "lr_decay": 0.01, "initial_accumulator_value": 0.1}],
    "Adadelta": [{"lr": 10.0}],
    "LBFGS": [{"lr": 0.5}, {"line_search_fn": "strong_wolfe", "history_size": 2}],
    "NAdam": [{"lr": 0.1}, {"lr": 0.1, "weight_decay": 0.01, "decoupled_weight_decay": True}],
    "Muon": [{"lr": 0.1}, {"lr": 0.1, "nesterov": False, "adjust_lr_fn": "match_rms_adamw"}],
    "ASGD": [{"lr": 0.1}, {"lr": 0.1, "t0": 3, "weight_decay": 0.01}],
}
ALL = [(name, options) for name in OPTIMIZERS for options in OPTIONS.get(name, [{"lr": 0.1}])]
every = pytest.mark.parametrize(("name", "options"), ALL)


def parameters(name: str, dtype: str = "float64", large: bool = False) -> list[Tensor]:
    rng = np.random.default_rng(0)
    shapes: list[tuple[int, ...]] = (
        [(3, 4), (2, 5), (4, 2)] if name == "Muon" else [(3, 4), (4,), (), (2, 1, 3)]
    )
    if large:
        shapes.append((3, 7) if name == "Muon" else (LARGE + 3,))
    return [Tensor(rng.normal(size=shape).astype(dtype) + 1, requires_grad=True) for shape in shapes]


def step(optimizer: Any, params: list[Tensor], seed: int = 0) -> float:
    """One step on a quadratic with noise in its gradient; returns the loss before it."""
    weights = [
        np.random.default_rng((seed, i)).uniform(0.9, 1.1, p.shape).astype(p.dtype)
        for i, p in enumerate(params)
    ]

    def closure() -> Any:
        optimizer.zero_grad()
        loss: Any = 0.0
        for p, w in zip(params, weights):
            loss = loss + (p * p * w).sum()
        loss.backward()
        return loss

    loss: float = optimizer.step(closure).item()
    return loss


def make(name: str, params: Any, **options: Any) -> Any:
    return OPTIMIZERS[name](params, **options)


@every
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_it_minimizes_a_quadratic_and_keeps_the_dtype(name: str, options: dict[str, Any], dtype: str) -> None:
    params = parameters(name, dtype)
    optimizer = make(name, params, **options)
    losses = [step(optimizer, params) for _ in range(60)]
    assert losses[-1] < 0.5 * losses[0]
    assert {p.dtype for p in params} == {np.dtype(dtype)}
    for state in optimizer.state.values():
        for value in state.values():
            assert not isinstance(value, np.ndarray) or value.dtype == dtype


@every
def test_maximizing_is_minimizing_the_negative(name: str, options: dict[str, Any]) -> None:
    if "maximize" not in inspect.signature(OPTIMIZERS[name]).parameters:
        assert name in ("LBFGS", "Muon")  # PyTorch's do not have it either
        return
    one, other = parameters(name), parameters(name)
    down, up = make(name, one, **options), make(name, other, **options, maximize=True)
    for seed in range(3):
        for p, q in zip(one, other):
            g = np.random.default_rng(seed).normal(size=p.shape)
            p.grad, q.grad = Tensor(g), Tensor(-g)
        down.step()
        up.step()
    for p, q in zip(one, other):
        np.testing.assert_allclose(p.data, q.data, rtol=1e-12)


@every
def test_training_resumes_from_a_saved_state_to_the_bit(name: str, options: dict[str, Any]) -> None:
    one = parameters(name, "float32", large=True)
    first = make(name, one, **options)
    for seed in range(3):
        step(first, one, seed)
    other = [Tensor(p.data, requires_grad=True) for p in one]
    second = make(name, other)
    second.load_state_dict(first.state_dict())
    third_params, third = pickle.loads(pickle.dumps((one, first)))
    fourth_params, fourth = copy.deepcopy((one, first))
    for seed in range(3, 6):
        for optimizer, params in (
            (first, one),
            (second, other),
            (third, third_params),
            (fourth, fourth_params),
        ):
            step(optimizer, params, seed)
    for p, *rest in zip(one, other, third_params, fourth_params):
        for q in rest:
            np.testing.assert_array_equal(p.data, q.data)


@every
def test_a_state_is_saved_to_a_file_and_loaded(name: str, options: dict[str, Any], tmp_path: Any) -> None:
    pytest.importorskip("safetensors", reason="files are written with the package safetensors")
    one = parameters(name)
    first = make(name, one, **options)
    step(first, one)
    tg.save(first.state_dict(), tmp_path / "state.safetensors")
    other = [Tensor(p.data, requires_grad=True) for p in one]
    second = make(name, other)
    second.load_state_dict(tg.load(tmp_path / "state.safetensors"))
    step(first, one)
    step(second, other)
    for p, q in zip(one, other):
        np.testing.assert_array_equal(p.data, q.data)


@every
def test_a_parameter_without_gradient_is_left_alone(name: str, options: dict[str, Any]) -> None:
    params = parameters(name)
    frozen, before = params[1], params[1].data.copy()
    optimizer = make(name, params, **options)
    for _ in range(2):
        for p in params:
            p.grad = Tensor(np.ones(p.shape)) if p is not frozen else None
        optimizer.step(lambda: Tensor(0.0))
    np.testing.assert_array_equal(frozen.data, before)
    assert frozen not in optimizer.state
    optimizer.zero_grad()
    with pytest.raises(GraphError, match=f"^{name}.step: no parameter has a gradient"):
        optimizer.step(lambda: Tensor(0.0))


@every
def test_the_gradient_is_unchanged_and_the_array_is_updated_in_place(
    name: str, options: dict[str, Any]
) -> None:
    params = parameters(name, large=True)
    arrays = [p.data for p in params]
    gradients = [np.full(p.shape, 0.5) for p in params]
    for p, g in zip(params, gradients):
        p.grad = tg.asarray(g)
    make(name, params, **options).step(lambda: Tensor(0.0))
    for p, array, g in zip(params, arrays, gradients):
        assert p.data is array
        assert (g == 0.5).all()


@every
def test_a_gradient_that_is_not_finite_is_applied_silently_but_named_under_detect_anomaly(
    name: str, options: dict[str, Any]
) -> None:
    for bad in (np.nan, np.inf):
        params = parameters(name)
        for p in params:
            p.grad = Tensor(np.full(p.shape, bad))
        named = [(f"layer.{i}", p) for i, p in enumerate(params)]
        before = [p.data.copy() for p in params]
        with (
            tg.detect_anomaly(),
            pytest.raises(AnomalyError, match=f"^{name}.step: .* parameter layer.0 is not"),
        ):
            make(name, named, **options).step(lambda: Tensor(0.0))
        for p, array in zip(params, before):
            np.testing.assert_array_equal(p.data, array)
        make(name, named, **options).step(lambda: Tensor(0.0))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_rate_may_be_a_tensor_of_one_element(name: str) -> None:
    one, other = parameters(name), parameters(name)
    rate = Tensor(0.125)
    first, second = make(name, one, lr=0.125), make(name, other, lr=rate)
    for _ in range(2):
        step(first, one)
        step(second, other)
    for p, q in zip(one, other):
        np.testing.assert_array_equal(p.data, q.data)
    saved = second.state_dict()
    assert saved["param_groups"][0]["lr"] == 0.125
    saved["param_groups"][0]["lr"] = 0.5
    second.load_state_dict(saved)
    assert second.param_groups[0]["lr"] is rate and rate.item() == 0.5
    with pytest.raises(ShapeError, match=r"lr: expected a Tensor of one element, got the shape \(2,\)"):
        make(name, parameters(name), lr=Tensor([0.1, 0.1]))


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_negative_or_missing_rate_raises(name: str) -> None:
    for bad in (-0.5, float("nan")):
        with pytest.raises(ValueRangeError, match=f"^{name}: lr: expected a number of at least 0, got .*$"):
            make(name, parameters(name), lr=bad)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_execution_options_of_pytorch_are_accepted_and_change_nothing(name: str) -> None:
    accepted = inspect.signature(OPTIMIZERS[name]).parameters
    one, other = parameters(name), parameters(name)
    flags = {flag: True for flag in ("foreach", "capturable") if flag in accepted}
    first, second = make(name, one), make(name, other, **flags)
    step(first, one)
    step(second, other)
    for p, q in zip(one, other):
        np.testing.assert_array_equal(p.data, q.data)
    assert "foreach" not in repr(second)
    if "differentiable" in accepted:
        with pytest.raises(
            ValueRangeError, match="differentiable: expected False, got True: a step is written"
        ):
            make(name, parameters(name), differentiable=True)
    if "fused" in accepted:
        with pytest.raises(ValueRangeError, match="foreach: expected False together with fused, got True"):
            make(name, parameters(name), foreach=True, fused=True)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"LBFGS"}))
def test_a_group_that_is_added_later_is_updated_with_its_own_options(name: str) -> None:
    first, *rest = parameters(name)
    optimizer = make(name, [first], lr=0.1)
    step(optimizer, [first])
    optimizer.add_param_group({"params": rest, "lr": 0.0})
    before = [p.data.copy() for p in rest]
    step(optimizer, [first, *rest])
    if name != "Rprop":  # its rate is only the first size of a step, and the least size is more than 0
        for p, array in zip(rest, before):
            np.testing.assert_array_equal(p.data, array)


@pytest.mark.parametrize("name", sorted(set(OPTIMIZERS) - {"LBFGS"}))
def test_a_state_with_names_is_matched_by_name(name: str) -> None:
    one = parameters(name)
    first = make(name, [(f"p{i}", p) for i, p in enumerate(one)])
    step(first, one)
    other = [Tensor(p.data, requires_grad=True) for p in one]
    second = make(name, [(f"p{i}", p) for i, p in reversed(list(enumerate(other)))])
    second.load_state_dict(first.state_dict())
    step(first, one)
    step(second, other)
    for p, q in zip(one, other):
        np.testing.assert_array_equal(p.data, q.data)
    third = make(name, [(f"q{i}", p) for i, p in enumerate(other)])
    with pytest.raises(ValueRangeError, match=r"missing in the saved state: \['q0'.*unexpected: \['p0'"):
        third.load_state_dict(first.state_dict())


def test_parameters_with_and_without_names_are_not_mixed() -> None:
    p, q = parameters("SGD")[:2]
    with pytest.raises(
        ValueRangeError, match="^SGD: expected names for all parameters or for none, got a mixture$"
    ):
        optim.SGD([("p", p), q])
    with pytest.raises(ValueRangeError, match="names for all parameters or for none"):
        optim.SGD([{"params": [("p", p)]}, {"params": [q]}])


def test_an_overflow_in_the_square_of_a_gradient_stops_an_element_and_makes_no_nan() -> None:
    for name in ("Adam", "AdamW", "NAdam", "RAdam", "RMSprop", "Adadelta"):
        p = Tensor(np.array([[1.0]], "float32"), requires_grad=True)
        optimizer = make(name, [p])
        for g in (1e30, 1.0, 1.0):
            p.grad = Tensor(np.array([[g]], "float32"))
            optimizer.step()
        if name != "RAdam":  # its first steps do not look at the square
            assert np.isfinite(p.data).all(), name


def test_each_source_file_has_a_test_file() -> None:
    tests = Path(__file__).parent
    for source in Path(optim.__file__).parent.glob("*.py"):
        assert source.stem in ("__init__", "typing") or (tests / f"test_{source.stem}.py").is_file(), (
            source.name
        )
