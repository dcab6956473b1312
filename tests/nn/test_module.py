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


def test_a_tensor_in_the_place_of_a_parameter_is_refused_and_in_that_of_a_buffer_becomes_one() -> None:
    model = Everything()
    with pytest.raises(
        TypeError, match=r"Everything\.first is a Parameter: expected a Parameter or None, got"
    ):
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


def test_a_buffer_registered_as_none_becomes_one_when_it_is_assigned() -> None:
    module = nn.Module()
    module.register_buffer("saved", None)
    module.register_buffer("unsaved", None, persistent=False)
    assert list(module.state_dict()) == [] == list(module.buffers())
    module.saved, module.unsaved = Tensor([2.0]), np.ones(2, np.float32)
    assert [name for name, _ in module.named_buffers()] == ["saved", "unsaved"]
    assert list(module.state_dict()) == ["saved"] and module.double().saved.dtype == np.float64
    module.saved = None
    copied = pickle.loads(pickle.dumps(module))
    for same in (module, copied, copy.deepcopy(module)):
        same.saved = Tensor([3.0])
        assert same.state_dict()["saved"].tolist() == [3.0]
    with pytest.raises(
        TypeError, match=r"^Module\.saved is a buffer: expected a Tensor, an array or None, got float 3\.0$"
    ):
        module.saved = 3.0
    module.plain = None
    module.plain = Tensor([1.0])  # never registered
    assert list(module.state_dict()) == ["saved"]
    module.saved = nn.Parameter([1.0])
    assert [name for name, _ in module.named_parameters()] == ["saved"]


def test_nothing_but_a_parameter_or_none_takes_the_place_of_a_parameter() -> None:
    layer = nn.Linear(2, 3)
    for value in (Tensor([1.0]), np.ones(3), 3.0, nn.Linear(1, 1), nn.Buffer([1.0])):
        with pytest.raises(
            TypeError, match=r"^Linear\.bias is a Parameter: expected a Parameter or None, got .*Assign nn\."
        ):
            layer.bias = value
    layer.bias = None
    with pytest.raises(TypeError, match=r"^Linear\.bias is a Parameter"):
        layer.bias = Tensor([1.0, 2.0, 3.0])
    layer.bias = nn.Parameter([1.0, 2.0, 3.0])
    assert list(layer.state_dict()) == ["weight", "bias"] and layer(np.zeros((1, 2), "float32")).tolist() == [
        [1, 2, 3]
    ]
    module = nn.Module()
    module.register_parameter("p", None)
    with pytest.raises(TypeError, match=r"^Module\.p is a Parameter"):
        module.p = Tensor([1.0])


OPTIONAL = [
    (nn.Linear(2, 3, bias=False), ["bias"], []),
    (nn.Bilinear(2, 2, 3, bias=False), ["bias"], []),
    (nn.Conv2d(2, 3, 1, bias=False), ["bias"], []),
    (nn.ConvTranspose1d(2, 3, 1, bias=False), ["bias"], []),
    (nn.InstanceNorm1d(2), ["weight", "bias"], ["running_mean", "running_var", "num_batches_tracked"]),
    (
        nn.BatchNorm1d(2, affine=False, track_running_stats=False),
        ["weight", "bias"],
        ["running_mean", "running_var"],
    ),
    (nn.LayerNorm(3, elementwise_affine=False), ["weight", "bias"], []),
    (nn.GroupNorm(1, 2, affine=False), ["weight", "bias"], []),
    (nn.RMSNorm(2, elementwise_affine=False), ["weight"], []),
    (nn.LSTMCell(2, 3, bias=False), ["bias_ih", "bias_hh"], []),
    (
        nn.MultiheadAttention(4, 1, bias=False),
        ["q_proj_weight", "k_proj_weight", "v_proj_weight", "in_proj_bias"],
        [],
    ),
    (nn.MultiheadAttention(4, 1, kdim=3), ["in_proj_weight", "bias_k", "bias_v"], []),
    (nn.CrossEntropyLoss(), [], ["weight"]),
    (nn.NLLLoss(), [], ["weight"]),
    (nn.BCELoss(), [], ["weight"]),
    (nn.BCEWithLogitsLoss(), [], ["weight", "pos_weight"]),
    (nn.MultiMarginLoss(), [], ["weight"]),
    (nn.MultiLabelSoftMarginLoss(), [], ["weight"]),
]


@pytest.mark.parametrize(("layer", "parameters", "buffers"), OPTIONAL, ids=lambda value: type(value).__name__)
def test_parameters_and_buffers_that_a_layer_was_made_without_are_known(
    layer: Any, parameters: list[str], buffers: list[str]
) -> None:
    layer = copy.deepcopy(layer)
    for name in parameters:
        with pytest.raises(TypeError, match=rf"\.{name} is a Parameter: expected a Parameter or None, got"):
            setattr(layer, name, Tensor([1.0]))
        assert getattr(layer, name) is None
    for name in buffers:
        setattr(layer, name, Tensor([1.0]))
        assert name in layer.state_dict()
