"""Module: what is found among its attributes, saved and loaded, switched, hooked, copied and shown."""

from __future__ import annotations

import copy
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import ShapeError


class Scale(nn.Module):
    def __init__(self) -> None:
        self.factor = nn.Parameter([2.0])

    def forward(self, x: Any) -> Any:
        return x * self.factor


class Everything(nn.Module):
    """Parameters and modules in every place where they are looked for; no call of super().__init__()."""

    def __init__(self) -> None:
        self.first = nn.Parameter([1.0])
        self.layers = [nn.Linear(2, 2), (Scale(), {"a": Scale()})]
        self.table = {"w": nn.Parameter([3.0]), "n": 5}
        self.last = nn.Parameter([4.0])
        self.steps = nn.Buffer(np.array(0))
        self.hidden = nn.Buffer([1.0], persistent=False)
        self.number, self.nothing = 3, None


NAMES = [
    "first",
    "table.w",
    "last",
    "layers.0.weight",
    "layers.0.bias",
    "layers.1.0.factor",
    "layers.1.1.a.factor",
]


def test_parameters_are_found_in_lists_tuples_and_dicts_in_order_of_definition() -> None:
    assert [name for name, _ in Everything().named_parameters()] == NAMES


def test_state_dict_holds_parameters_and_persistent_buffers_and_copies_them() -> None:
    model = Everything()
    saved = model.state_dict()
    assert list(saved) == NAMES[:3] + ["steps"] + NAMES[3:]
    saved["first"][:] = 9
    assert model.first.tolist() == [1.0]


def test_shared_parameters_and_modules_count_once_and_are_saved_under_every_name() -> None:
    model = nn.Module()
    model.a = nn.Linear(1, 1)
    model.b = model.a
    model.weight = model.a.weight
    assert [name for name, _ in model.named_parameters()] == ["weight", "a.bias"]
    assert [name for name, _ in model.named_modules()] == ["", "a"]
    assert list(model.state_dict()) == ["weight", "a.weight", "a.bias", "b.weight", "b.bias"]


def test_a_module_that_knows_its_owner_and_a_list_that_holds_itself_do_not_go_round() -> None:
    model = Scale()
    model.inner = Scale()
    model.inner.owner = model
    model.items = [model.inner]
    model.items.append(model.items)
    assert [name for name, _ in model.named_parameters()] == ["factor", "inner.factor"]
    assert list(model.state_dict()) == ["factor", "inner.factor", "items.0.factor"]


def test_loading_takes_arrays_tensors_and_other_float_dtypes_and_keeps_the_parameters_dtype() -> None:
    layer = nn.Linear(2, 1)
    found = layer.load_state_dict({"weight": np.array([[1.0, 2.0]]), "bias": Tensor([3.0])})
    assert found == ([], [])
    assert layer.weight.dtype == np.float32
    assert layer(Tensor([1.0, 1.0])).tolist() == [6.0]


def test_loading_writes_in_place_so_that_optimizers_keep_their_parameters() -> None:
    layer = nn.Linear(1, 1)
    weight, array = layer.weight, layer.weight.data
    layer.load_state_dict({"weight": [[5.0]], "bias": [0.0]})
    assert layer.weight is weight and layer.weight.data is array and array.tolist() == [[5.0]]


def test_a_state_dict_with_other_names_loads_nothing_and_names_them() -> None:
    layer = nn.Linear(1, 1)
    before = layer.state_dict()
    with pytest.raises(ValueError) as caught:
        layer.load_state_dict({"weight": [[5.0]], "bais": [0.0]})
    assert str(caught.value) == (
        "load_state_dict: the names do not match Linear. Missing: bias (did you mean 'bais'?). Unexpected: bais. "
        "Pass strict=False to load what fits."
    )
    assert all(np.array_equal(value, before[name]) for name, value in layer.state_dict().items())
    assert layer.load_state_dict({"weight": [[5.0]], "bais": [0.0]}, strict=False) == (["bias"], ["bais"])


def test_a_state_dict_with_one_wrong_shape_loads_nothing() -> None:
    layer = nn.Linear(2, 1)
    before = layer.state_dict()
    with pytest.raises(ShapeError) as caught:
        layer.load_state_dict({"weight": [[5.0, 6.0]], "bias": [0.0, 1.0]})
    assert str(caught.value) == (
        "load_state_dict: arrays do not fit Linear: bias: expected (1,), got (2,). Nothing was loaded."
    )
    assert np.array_equal(layer.weight.data, before["weight"])


def test_a_tensor_in_the_place_of_a_parameter_is_refused_and_in_that_of_a_buffer_becomes_one() -> None:
    model = Everything()
    with pytest.raises(TypeError, match=r"Everything\.first is a Parameter; a Tensor cannot take its place"):
        model.first = Tensor([1.0])
    model.hidden = model.hidden * 3
    assert (
        isinstance(model.hidden, nn.Buffer) and not model.hidden.persistent and model.hidden.tolist() == [3.0]
    )
    model.first = None
    assert "first" not in model.state_dict()


def test_train_and_eval_reach_every_module_and_leave_parameters_alone() -> None:
    model = Everything().eval()
    assert not any(module.training for module in model.modules())
    assert all(module.training for module in model.train().modules())


def test_apply_visits_inner_modules_first_and_each_once() -> None:
    model = nn.Sequential(nn.Sequential(nn.Linear(1, 1), nn.ReLU()), nn.Tanh())
    seen: list[str] = []
    assert model.apply(lambda module: seen.append(type(module).__name__)) is model
    assert seen == ["Linear", "ReLU", "Sequential", "Tanh", "Sequential"]


def test_freezing_keeps_gradients_away() -> None:
    model = nn.Sequential(nn.Linear(1, 1).requires_grad_(False), nn.Linear(1, 1))
    model(Tensor([1.0])).backward()
    assert [p.grad is not None for p in model.parameters()] == [False, False, True, True]


def test_zero_grad_drops_gradients_or_fills_them() -> None:
    model = Scale()
    model(Tensor([1.0])).backward()
    model.zero_grad(set_to_none=False)
    assert model.factor.grad is not None and model.factor.grad.tolist() == [0.0]
    model.zero_grad()
    assert model.factor.grad is None


def test_double_converts_floats_and_their_gradients_in_place() -> None:
    model = Everything()
    (model.first * 2).backward()
    first = model.first
    assert model.double() is model and model.first is first
    assert first.dtype == first.grad.dtype == model.hidden.dtype == np.float64
    assert model.steps.dtype == np.int64
    (model.first * 2).backward()
    assert first.grad.tolist() == [4.0]


def test_hooks_see_and_replace_arguments_and_outputs_until_removed() -> None:
    model = Scale()
    seen = []
    before = model.register_forward_pre_hook(lambda module, args: (args[0] + 1,))
    after = model.register_forward_hook(lambda module, args, out: seen.append((args[0].item(), out.item())))
    assert model(Tensor([1.0])).tolist() == [4.0]
    before.remove()
    with after:
        assert model(Tensor([1.0])).tolist() == [2.0]
    model(Tensor([1.0]))
    assert seen == [(2.0, 4.0), (1.0, 2.0)]
    assert model._hooks is None


def test_backward_hooks_see_both_gradients_and_may_replace_the_inputs() -> None:
    model = Scale()
    seen = []

    def hook(module: Any, grad_input: Any, grad_output: Any) -> Any:
        seen.append((grad_input[0].item(), grad_output[0].item()))
        return (grad_input[0] * 10,)

    with model.register_full_backward_hook(hook):
        x = Tensor([1.0], requires_grad=True)
        (model(x) * 3).backward()
    assert seen == [(6.0, 3.0)]
    assert x.grad is not None and x.grad.tolist() == [60.0]


def test_an_error_inside_says_where_in_the_model_it_arose() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.blocks = [nn.Sequential(nn.ReLU(), nn.Linear(3, 2))]

        def forward(self, x: Any) -> Any:
            return self.blocks[0](x)

    with pytest.raises(ShapeError) as caught:
        Net()(Tensor([[1.0, 2.0]]))
    assert str(caught.value) == (
        "linear: x (1, 2) and weight (2, 3): the last size of x must be in = 3 "
        "[in Net.blocks.0.1: Linear(in_features=3, out_features=2, bias=True)]"
    )


def test_a_node_remembers_the_modules_that_made_it_without_keeping_them_alive() -> None:
    model = nn.Sequential(nn.Linear(1, 1), nn.ReLU())
    out = model(Tensor([[1.0]]))
    assert out.node is not None
    module, start, stop, (inner, inner_start, inner_stop, innermost) = out.node.scope
    assert module() is model and inner() is model[1] and innermost is None
    linear, linear_start, linear_stop, _ = out.node.parents[0].scope
    assert linear() is model[0]
    assert start > linear_start > linear_stop > inner_start > inner_stop > stop
    del model
    assert module() is None


def test_copies_and_pickles_are_models_of_their_own() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.BatchNorm1d(2), nn.Dropout(0.5)).eval()
    for twin in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert repr(twin) == repr(model) and not twin.training
        assert all(
            np.array_equal(a, b) for a, b in zip(twin.state_dict().values(), model.state_dict().values())
        )
        twin[0].weight.data[...] = 0
        assert model[0].weight.data.any()
        assert all(type(a) is type(b) for a, b in zip(twin.buffers(), model.buffers()))


def test_a_shared_parameter_stays_shared_in_a_copy() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[1].weight = model[0].weight
    twin = copy.deepcopy(model)
    assert twin[1].weight is twin[0].weight


def test_registering_checks_kinds_and_names() -> None:
    model = nn.Module()
    model.register_parameter("w", nn.Parameter([1.0]))
    model.register_buffer("b", [2.0], persistent=False)
    model.register_module("m", nn.ReLU())
    assert list(model.state_dict()) == ["w"] and [name for name, _ in model.named_children()] == ["m"]
    with pytest.raises(TypeError, match="expected a Parameter or None, got Tensor"):
        model.register_parameter("v", Tensor([1.0]))  # type: ignore[arg-type]
    for name in ("a.b", "", "forward"):
        with pytest.raises(ValueError):
            model.register_module(name, nn.ReLU())


def test_what_is_missing_is_named() -> None:
    with pytest.raises(AttributeError, match="Linear has no attribute 'Weight'. Did you mean 'weight'?"):
        nn.Linear(1, 1).Weight  # noqa: B018
    with pytest.raises(TypeError, match="Empty has no forward method"):
        type("Empty", (nn.Module,), {})()(1)
    with pytest.raises(AttributeError, match="Linear has no parameter 'w'; it has weight, bias"):
        nn.Linear(1, 1).get_parameter("w")


def test_a_prepended_hook_runs_before_those_that_are_there() -> None:
    layer, ran = nn.Identity(), []
    for name, first in (("a", False), ("b", True), ("c", False)):
        layer.register_forward_pre_hook(lambda *_, name=name: ran.append(name), prepend=first)
        layer.register_forward_hook(lambda *_, name=name: ran.append(name.upper()), prepend=first)
    layer(1)
    assert ran == ["b", "a", "c", "B", "A", "C"]


def test_the_prefix_of_a_state_dict_is_put_in_front_as_it_is() -> None:
    assert list(nn.Linear(1, 1).state_dict(prefix="net.")) == ["net.weight", "net.bias"]


class Counting(nn.Module):
    def __init__(self) -> None:
        self.weight, self.calls = nn.Parameter([1.0]), {"train": 0}

    def get_extra_state(self) -> dict[str, int]:
        return dict(self.calls)

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = dict(state)


def test_what_a_module_saves_beside_its_arrays_comes_back() -> None:
    one, other = nn.Sequential(Counting()), nn.Sequential(Counting())
    one[0].calls["train"] = 3
    saved = one.state_dict()
    assert list(saved) == ["0.weight", "0._extra_state"]
    other.load_state_dict(saved)
    assert other[0].calls == {"train": 3}
    del saved["0._extra_state"]
    with pytest.raises(ValueError, match=r"Missing: 0\._extra_state"):
        other.load_state_dict(saved)


def test_a_module_is_put_in_the_place_of_a_dotted_name_also_in_lists_and_dicts() -> None:
    class Model(nn.Module):
        def __init__(self) -> None:
            self.body = nn.Sequential(nn.ReLU(), nn.Sequential(nn.ReLU()))
            self.heads = [nn.ReLU()]
            self.named = {"a": nn.ReLU(), 3: nn.ReLU()}
            self.fixed = (nn.ReLU(),)
            self.size = 3

    model = Model()
    for name in ("body.1.0", "heads.0", "named.3", "body.0"):
        model.set_submodule(name, nn.Tanh(), strict=True)
        assert type(model.get_submodule(name)) is nn.Tanh
    for name in ("tail", "body.last", "named.b"):
        with pytest.raises(AttributeError) as error:
            model.set_submodule(name, nn.Tanh(), strict=True)
        assert str(error.value) == f"set_submodule: Model has no module '{name}'"
        model.set_submodule(name, nn.Tanh())
        assert type(model.get_submodule(name)) is nn.Tanh
    for name in ("", "missing.x", "heads.1", "fixed.0", "size.x"):
        with pytest.raises(AttributeError, match=f"^set_submodule: Model has no module '{name}'$"):
            model.set_submodule(name, nn.Tanh())
    with pytest.raises(AttributeError, match="^set_submodule: expected 'size' to be a Module, got int$"):
        model.set_submodule("size", nn.Tanh())
    with pytest.raises(TypeError, match="^set_submodule: expected a Module, got int$"):
        model.set_submodule("body", 3)  # type: ignore[arg-type]


def test_assigned_arrays_take_the_places_of_those_there_were_and_keep_their_dtype() -> None:
    layer = nn.Linear(2, 3)
    parameter, weight, bias = layer.weight, np.ones((3, 2)), np.zeros(3)
    bias.flags.writeable = False
    layer(Tensor(np.ones((1, 2), np.float32))).sum().backward()
    layer.load_state_dict({"weight": weight, "bias": bias}, assign=True)
    assert layer.weight is parameter and parameter.data is weight and parameter.requires_grad
    assert parameter.grad is None and layer.bias.data is not bias and layer.bias.dtype == np.float64
    layer(Tensor(np.ones((1, 2)))).sum().backward()
    assert parameter.grad is not None and parameter.grad.dtype == np.float64
    with pytest.raises(ValueError, match=r"weight: expected float64, got int64\. Nothing was loaded\."):
        layer.load_state_dict({"weight": np.ones((3, 2), int), "bias": bias}, assign=True)
    assert parameter.data is weight


def test_hooks_run_around_saving_and_loading_with_the_modules_own_prefix() -> None:
    layer = nn.Linear(1, 1)
    model, seen = nn.Sequential(nn.Sequential(layer)), []
    handles = [
        layer.register_state_dict_pre_hook(lambda m, prefix, keep_vars: seen.append((m, prefix, keep_vars))),
        layer.register_state_dict_post_hook(
            lambda m, saved, prefix, meta: saved.update({prefix + "note": 1})
        ),
        layer.register_load_state_dict_pre_hook(
            lambda m, arrays, prefix, *others: arrays.pop(prefix + "note")
        ),
        layer.register_load_state_dict_post_hook(lambda m, mismatch: seen.append((m, mismatch))),
    ]
    saved = model.state_dict(prefix="net.")
    assert seen.pop() == (layer, "net.0.0.", False)
    assert list(saved) == ["net.0.0.weight", "net.0.0.bias", "net.0.0.note"]
    saved = model.state_dict()
    result = model.load_state_dict(saved)
    assert seen.pop() == (layer, result) and "0.0.note" in saved
    for handle in handles:
        handle.remove()
    assert list(model.state_dict()) == ["0.0.weight", "0.0.bias"] and layer._hooks is None


def test_hooks_of_loading_may_forgive_names_or_refuse() -> None:
    layer = nn.Linear(1, 1)
    with layer.register_load_state_dict_post_hook(lambda m, mismatch: mismatch.missing_keys.clear()):
        assert layer.load_state_dict({"weight": [[2.0]]}).missing_keys == []
        assert layer.weight.item() == 2.0
        with pytest.raises(ValueError, match="Unexpected: wait"):
            layer.load_state_dict({"weight": [[2.0]], "wait": [1.0]})
    with layer.register_load_state_dict_pre_hook(lambda *args: args[-1].append("made by another version")):
        with pytest.raises(ValueError, match=r"Linear: made by another version\. Nothing was loaded\."):
            layer.load_state_dict(layer.state_dict())


@pytest.mark.parametrize("device", ["cuda", "cuda:1", "mps", 0])
def test_there_is_only_the_cpu(device: Any) -> None:
    layer = nn.Linear(1, 1)
    with pytest.raises(ValueError) as error:
        layer.to(device)
    assert str(error.value) == f'to: expected the device "cpu", which is the only one, got {device!r}'
    with pytest.raises(ValueError, match="which is the only one, got 'cuda'"):
        layer.cuda()
    assert layer.to("cpu") is layer.cpu() is layer
    assert layer.to("cpu:0", "float64", non_blocking=True).weight.dtype == np.float64
    assert layer.to(Tensor([1.0])).weight.dtype == np.float32
