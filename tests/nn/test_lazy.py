"""Lazy layers: their parameters exist from the start, without values, and get them at the first input."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, errors, manual_seed, nn, optim

UNKNOWN = (
    r"this parameter of a lazy layer has no shape and no values yet\. "
    r"Call the model once with an example input, or load a state dict\."
)


def array(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


# Every lazy layer: how it is made, the plain layer, an input, and an input that it refuses.
LAYERS: dict[str, tuple[Any, Any, np.ndarray, Any]] = {
    "LazyLinear": (lambda: nn.LazyLinear(4), lambda: nn.Linear(3, 4), array(2, 3), np.float32(1)),
    "LazyBatchNorm1d": (nn.LazyBatchNorm1d, lambda: nn.BatchNorm1d(3), array(2, 3), array(4)),
    "LazyBatchNorm2d": (nn.LazyBatchNorm2d, lambda: nn.BatchNorm2d(3), array(2, 3, 4, 4), array(2, 3)),
    "LazyBatchNorm3d": (nn.LazyBatchNorm3d, lambda: nn.BatchNorm3d(3), array(2, 3, 4, 4, 2), array(2, 3)),
}
for n in (1, 2, 3):
    x, space = array(2, 3, *(5, 4, 6)[:n]), (2,) * n
    LAYERS |= {
        f"LazyConv{n}d": (
            lambda n=n: getattr(nn, f"LazyConv{n}d")(4, 2, padding=1),
            lambda n=n: getattr(nn, f"Conv{n}d")(3, 4, 2, padding=1),
            x, array(*space),
        ),
        f"LazyConvTranspose{n}d": (
            lambda n=n: getattr(nn, f"LazyConvTranspose{n}d")(4, 2),
            lambda n=n: getattr(nn, f"ConvTranspose{n}d")(3, 4, 2),
            x, array(*space),
        ),
        f"LazyInstanceNorm{n}d": (
            getattr(nn, f"LazyInstanceNorm{n}d"),
            lambda n=n: getattr(nn, f"InstanceNorm{n}d")(3, affine=True, track_running_stats=True),
            x, array(*space),
        ),
    }  # fmt: skip


def state(layer: Any) -> dict[str, Any]:
    return {name: np.asarray(value).tolist() for name, value in layer.state_dict().items()}


def test_every_lazy_layer_is_in_the_table() -> None:
    assert sorted(LAYERS) == [name for name in nn.__all__ if name.startswith("Lazy")]


@pytest.mark.parametrize("name", LAYERS)
def test_a_lazy_layer_becomes_the_plain_one_at_its_first_input(name: str) -> None:
    make, plain, x, _ = LAYERS[name]
    manual_seed(0)
    layer = make()
    parameters = dict(layer.named_parameters())
    assert list(layer.state_dict()) == list(plain().state_dict())
    assert repr(layer).startswith(f"{name}(")
    manual_seed(5)
    out = layer(x)
    manual_seed(5)
    reference = plain()
    assert (
        type(layer) is type(reference)
        and repr(layer) == repr(reference)
        and vars(layer).keys() == vars(reference).keys()
    )
    np.testing.assert_array_equal(out.data, reference(x).data)
    assert state(layer) == state(reference)
    assert all(layer.get_parameter(key) is value for key, value in parameters.items())
    assert all(type(value) is nn.Parameter for value in parameters.values())


@pytest.mark.parametrize("name", LAYERS)
def test_an_optimizer_made_before_the_first_call_trains_a_lazy_layer(name: str) -> None:
    make, _, x, _ = LAYERS[name]
    layer = make()
    optimizer = optim.Adam(layer.parameters(), lr=0.1)
    (layer(x) ** 3).sum().backward()
    before = state(layer)
    optimizer.step()
    assert len(optimizer.state) == 2
    assert all(before[key] != state(layer)[key] for key in ("weight", "bias"))


@pytest.mark.parametrize("name", LAYERS)
def test_a_lazy_layer_loads_the_plain_layers_state_and_keeps_it_at_the_first_input(name: str) -> None:
    make, plain, x, _ = LAYERS[name]
    layer, reference = make(), plain()
    for p in reference.parameters():
        p.data[...] = array(*p.shape)
    weight = layer.weight
    assert layer.load_state_dict(reference.state_dict()) == ([], [])
    assert (
        layer.weight is weight
        and type(weight) is nn.Parameter
        and weight.tolist() == reference.weight.tolist()
    )
    assert type(layer).__name__ == name
    np.testing.assert_array_equal(layer(x).data, reference(x).data)
    assert type(layer) is type(reference) and state(layer) == state(reference)


@pytest.mark.parametrize("name", LAYERS)
def test_what_is_done_to_a_lazy_layer_before_the_first_call_holds(name: str) -> None:
    make, _, x, _ = LAYERS[name]
    layer = make().double().requires_grad_(False).eval()
    layer.note, text = "kept", repr(layer)
    for same in (layer, copy.deepcopy(layer), copy.copy(layer), pickle.loads(pickle.dumps(layer))):
        assert repr(same) == text and same.weight.dtype == np.float64 and not same.weight.requires_grad
        same(x.astype(np.float64))
        assert not hasattr(same, "has_uninitialized_params")
        assert same.weight.dtype == same.bias.dtype == np.float64 and not same.weight.requires_grad
        assert not same.training and same.note == "kept"
    layer = make().half().to("float64").requires_grad_(False).requires_grad_()
    layer(x.astype(np.float64))
    assert layer.weight.dtype == np.float64 and layer.weight.requires_grad


@pytest.mark.parametrize("name", LAYERS)
def test_an_input_that_is_refused_leaves_a_lazy_layer_as_it_was_with_the_true_error(name: str) -> None:
    make, _, x, wrong = LAYERS[name]
    layer = make()
    text, names = repr(layer), list(vars(layer))
    for _ in range(2):
        with pytest.raises(errors.ShapeError, match=f"^{name}: expected"):
            layer(wrong)
        assert repr(layer) == text and list(vars(layer)) == names and layer.has_uninitialized_params()
    assert layer(x).shape[0] == len(x)


def test_an_input_that_the_plain_layer_refuses_leaves_a_lazy_layer_as_it_was() -> None:
    layer = nn.LazyConv2d(4, kernel_size=3).double()
    optimizer, weight = optim.SGD(layer.parameters(), 0.1), layer.weight
    with pytest.raises(errors.ShapeError):
        layer(array(1, 7, 2, 2))  # smaller than the kernel
    assert type(layer) is nn.LazyConv2d and layer.in_channels == 0 and layer.weight is weight
    assert repr(weight) == "<UninitializedParameter>" and weight.dtype == np.float64 and weight.requires_grad
    layer(array(1, 2, 5, 5).astype(float)).sum().backward()
    optimizer.step()
    assert layer.weight.shape == weight.grad.shape == (4, 2, 3, 3)
    layer = nn.LazyConv2d(4, 3, groups=2)
    with pytest.raises(errors.ValueRangeError, match="expected in_channels divisible by groups=2, got 3"):
        layer(array(1, 3, 5, 5))
    assert layer(array(1, 4, 5, 5)).shape == (1, 4, 3, 3) and layer.weight.shape == (4, 2, 3, 3)


def test_the_d2l_order_trains_the_lazy_layer() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.LazyLinear(2))
    optimizer = optim.SGD(model.parameters(), lr=0.5)
    assert len(optimizer.param_groups[0]["params"]) == 4
    x, y = Tensor(array(8, 3)), Tensor(array(8, 2))
    first = model(x)
    begin = model[2].weight.data.copy()
    for _ in range(5):
        optimizer.zero_grad()
        nn.MSELoss()(model(x), y).backward()
        optimizer.step()
    assert abs(model[2].weight.data - begin).max() > 1e-3
    assert nn.MSELoss()(model(x), y).item() < nn.MSELoss()(first, y).item()


def test_a_parameter_without_values_says_so_wherever_values_are_asked_for() -> None:
    weight: Any = nn.LazyLinear(4).weight
    uses = [
        lambda: weight + 1, lambda: weight.shape, lambda: weight.size, lambda: weight.data, lambda: np.sin(weight),
        lambda: weight.sum(), lambda: len(weight), lambda: weight @ weight, lambda: nn.init.zeros_(weight),
        lambda: weight.tolist(), lambda: Tensor([1.0]) * weight, lambda: nn.functional.linear(array(2, 3), weight),
        lambda: weight[0], lambda: np.asarray(weight.detach()), lambda: nn.utils.parameters_to_vector([weight]),
    ]  # fmt: skip
    for use in uses:
        with pytest.raises(errors.UninitializedError, match=UNKNOWN):
            use()
    assert issubclass(
        errors.UninitializedError, (RuntimeError, ValueError)
    )  # PyTorch raises one or the other
    assert repr(weight) == str(weight) == "<UninitializedParameter>"
    assert weight.requires_grad and weight.is_leaf and weight.grad is None and weight.dtype == np.float32
    assert repr(nn.LazyBatchNorm1d().running_mean) == "<UninitializedBuffer>"
    assert nn.LazyBatchNorm1d().num_batches_tracked.item() == 0
    assert nn.LazyLinear(4, bias=False).bias is None and isinstance(nn.LazyLinear(4), nn.Linear)


def test_states_that_do_not_fit_a_lazy_layer_are_refused_and_change_nothing() -> None:
    layer = nn.LazyLinear(4)
    with pytest.raises(
        errors.ShapeError,
        match=r"weight: expected \(4, \?\), got \(5, 3\); bias: expected \(4,\), got \(5,\)",
    ):
        layer.load_state_dict(nn.Linear(3, 5).state_dict())
    assert layer.has_uninitialized_params() and repr(layer.bias) == "<UninitializedParameter>"
    assert layer.load_state_dict(nn.LazyLinear(4).state_dict()) == ([], [])
    with pytest.raises(errors.ShapeError, match=r"weight: expected \(4, 3\), got <UninitializedParameter>"):
        nn.Linear(3, 4).load_state_dict(layer.state_dict())
    layer.load_state_dict(nn.Linear(3, 4).state_dict())
    weight = layer.weight.tolist()
    with pytest.raises(
        errors.ShapeError,
        match=r"^LazyLinear: expected an input that fits the loaded weight of shape \(4, 3\), got \(2, 5\), "
        r"for which it would have the shape \(4, 5\)",
    ):
        layer(array(2, 5))
    assert layer(array(2, 3)).shape == (2, 4) and layer.weight.tolist() == weight
    assigned = nn.LazyLinear(4)
    assigned.load_state_dict({k: v.astype(float) for k, v in layer.state_dict().items()}, assign=True)
    assert assigned.weight.dtype == np.float64 and assigned.weight.requires_grad


def test_a_state_that_was_loaded_in_part_stays_and_the_rest_is_initialized() -> None:
    layer = nn.LazyLinear(4)
    layer.load_state_dict({"bias": np.arange(4.0)}, strict=False)
    layer(array(2, 3))
    assert layer.bias.tolist() == [0, 1, 2, 3] and layer.weight.data.any()


def test_options_of_a_lazy_layer_reach_the_plain_one() -> None:
    layer = nn.LazyLinear(4, dtype="float64", rng=3)
    layer(array(2, 3).astype(float))
    assert state(layer) == state(nn.Linear(3, 4, dtype="float64", rng=3))
    layer = nn.LazyConv1d(4, 3, bias=False, padding="same", padding_mode="circular")
    assert layer(array(2, 6, 5)).shape == (2, 4, 5) and layer.bias is None


def test_hooks_of_a_lazy_layer_see_the_plain_one() -> None:
    layer, seen = nn.LazyLinear(4), []
    layer.register_forward_pre_hook(lambda m, args: seen.append((type(m), m.weight.shape)))
    layer.register_forward_hook(lambda m, args, out: seen.append(type(m)))
    layer.weight.register_hook(lambda g: g * 2)
    layer(array(2, 3)).sum().backward()
    assert seen == [(nn.Linear, (4, 3)), nn.Linear]
    np.testing.assert_allclose(
        layer.weight.grad.data, 2 * np.tile(array(2, 3).sum(axis=0), (4, 1)), rtol=1e-5
    )


def test_a_summary_initializes_lazy_layers_and_counts_them() -> None:
    model = nn.Sequential(nn.LazyConv2d(4, 3), nn.Flatten(), nn.LazyLinear(2))
    failed = model.summary((5, 5))
    assert failed.error is not None and failed.parameters == 0 and "LazyConv2d" in str(failed)
    table = model.summary((1, 3, 5, 5))
    assert table.parameters == 4 * 3 * 9 + 4 + 36 * 2 + 2 and type(model[2]) is nn.Linear
    assert model[2].weight.data.any() and model.training
    assert nn.SyncBatchNorm.convert_sync_batchnorm(nn.LazyBatchNorm1d())(array(2, 3)).shape == (2, 3)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [(nn.LazyInstanceNorm1d, (5,)), (nn.LazyInstanceNorm2d, (5, 4)), (nn.LazyInstanceNorm3d, (5, 4, 2))],
)
@pytest.mark.parametrize("batch", [(), (2,)])
def test_a_lazy_instance_norm_takes_its_channels_from_the_first_input_with_or_without_a_batch(
    kind: Any, shape: tuple[int, ...], batch: tuple[int, ...]
) -> None:
    layer = kind(eps=1e-3)
    out = layer(array(*batch, 3, *shape))
    assert type(layer).__name__ == kind.__name__.removeprefix("Lazy") and layer.num_features == 3
    assert layer.weight.shape == layer.running_mean.shape == (3,) and layer.eps == 1e-3
    np.testing.assert_allclose(out.data.mean(axis=tuple(range(-len(shape), 0))), 0, atol=1e-5)


def test_uninitialized_parameters_of_ones_own_get_their_values_by_materialize() -> None:
    module = nn.Module()
    module.w, module.b = (
        nn.UninitializedParameter(),
        nn.UninitializedBuffer(dtype="float64", persistent=False),
    )
    w = module.w
    assert w.requires_grad and list(module.state_dict()) == ["w"]
    w.materialize((2, 3))
    module.b.materialize((2,))
    assert module.w is w and type(w) is nn.Parameter and w.shape == (2, 3) and w.dtype == np.float32
    assert type(module.b) is nn.Buffer and module.b.dtype == np.float64 and not module.b.persistent
    (w * 2).sum().backward()
    assert w.grad.tolist() == [[2.0] * 3] * 2
    frozen = nn.UninitializedParameter(requires_grad=False)
    frozen.materialize((1,), dtype="float64")
    assert not frozen.requires_grad and frozen.dtype == np.float64
