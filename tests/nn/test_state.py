"""State dicts: what is saved, how it loads, and what does not fit."""

from __future__ import annotations

import gc
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


class Counting(nn.Module):
    def __init__(self) -> None:
        self.weight, self.calls = nn.Parameter([1.0]), {"train": 0}

    def get_extra_state(self) -> dict[str, int]:
        return dict(self.calls)

    def set_extra_state(self, state: dict[str, int]) -> None:
        self.calls = dict(state)


def test_state_dict_holds_parameters_and_persistent_buffers_and_copies_them() -> None:
    model = Everything()
    saved = model.state_dict()
    assert list(saved) == NAMES[:3] + ["steps"] + NAMES[3:]
    saved["first"][:] = 9
    assert model.first.tolist() == [1.0]


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


def test_the_prefix_of_a_state_dict_is_put_in_front_as_it_is() -> None:
    assert list(nn.Linear(1, 1).state_dict(prefix="net.")) == ["net.weight", "net.bias"]


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


def test_asking_for_members_leaves_no_reference_cycle() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Sequential(nn.BatchNorm1d(2)))
    gc.collect()
    gc.disable()
    try:
        list(model.parameters()), list(model.buffers()), list(model.modules()), model.state_dict()
        model.apply(lambda m: None).train().double().requires_grad_().zero_grad()
        next(iter(model.parameters()))  # not to the end
        assert gc.collect() == 0
        model.summary((3, 2))
        assert gc.collect() == 0
    finally:
        gc.enable()
