"""Whole models in files: every module of nn comes back, and damaged or hostile files are one clear error."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.onnx.modules import SAMPLES
from tinygrad_dl import Tensor, nn, pytree
from tinygrad_dl.data import Standardize
from tinygrad_dl.errors import FileFormatError
from tinygrad_dl.files import DIGEST, MODEL, _digest

pytest.importorskip("safetensors", reason="saved models need the extra train")


class Mine(nn.Module):
    """A model of somebody's own, whose constructor must not run when a file is read."""

    def __init__(self, width: int) -> None:
        assert width, "the constructor ran"
        self.layers = [nn.Linear(3, width), nn.Linear(width, 3)]
        self.table = {"scale": np.arange(3.0), "names": ("a", "b"), 1: np.float32(0.5)}
        self.act = nn.functional.gelu
        self.register_buffer("shift", np.ones(3, np.float32), persistent=False)
        self.dtype = np.dtype("float32")

    def forward(self, x: Any) -> Any:
        for layer in self.layers:
            x = self.act(layer(x))
        return x + self.shift


def same(ours: Any, theirs: Any) -> None:
    for (_, a), (_, b) in zip(pytree.leaves(ours), pytree.leaves(theirs), strict=True):
        np.testing.assert_array_equal(np.asarray(a.detach()), np.asarray(b.detach()))


@pytest.mark.parametrize("name", list(SAMPLES))
def test_a_module_comes_back_as_it_was(name: str, tmp_path: Path) -> None:
    model, path = SAMPLES[name].make(), tmp_path / "m.safetensors"
    args = [Tensor(x) if x.dtype.kind == "f" else x for x in SAMPLES[name].inputs(np.random.default_rng(0))]
    model.eval()
    model(*args)  # lazy layers have parameters only then
    tg.save(model, path)
    again = tg.load_model(path)
    assert type(again) is type(model) and repr(again) == repr(model) and not again.training
    tg.manual_seed(1)
    expected = model(*args)
    tg.manual_seed(1)
    same(again(*args), expected)
    state, other = model.state_dict(), again.state_dict()
    assert list(state) == list(other)
    assert set(tg.load(path)) == set(state)


def test_a_class_of_ones_own_is_asked_for_by_name(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    model = nn.Sequential(nn.Linear(3, 3), Mine(4))
    tg.save(model, path)
    with pytest.raises(
        FileFormatError, match=r"the module '1' is of the class Mine.*classes=\{\"Mine\": Mine\}"
    ):
        tg.load_model(path)
    x = Tensor(np.ones((2, 3), np.float32))
    for classes in ({"Mine": Mine}, [Mine]):
        again = tg.load_model(path, classes)
        same(again(x), model(x))
        assert again[1].table[1] == 0.5 and again[1].table["names"] == ("a", "b")
        np.testing.assert_array_equal(again[1].table["scale"], np.arange(3.0))
    with pytest.raises(TypeError, match="classes: Mine: expected a class of modules"):
        tg.load_model(path, {"Mine": int})  # type: ignore[dict-item]


def test_shared_modules_and_parameters_stay_shared_and_frozen_ones_frozen(tmp_path: Path) -> None:
    shared, path = nn.Linear(3, 3), tmp_path / "m.safetensors"
    model = nn.Sequential(shared, nn.Tanh(), shared, nn.Linear(3, 3))
    model[3].weight = shared.weight
    shared.bias.requires_grad_(False)
    tg.save(model, path)
    again = tg.load_model(path)
    assert again[0] is again[2] and again[3].weight is again[0].weight
    assert not again[0].bias.requires_grad and again[0].weight.requires_grad
    assert len(list(again.parameters())) == len(list(model.parameters()))
    again(Tensor(np.ones((1, 3), np.float32))).sum().backward()
    assert again[0].weight.grad is not None


def test_a_preparation_is_kept_with_the_model(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    x = np.random.default_rng(0).normal(3, 2, (20, 3)).astype(np.float32)
    scale = Standardize().fit(x)
    tg.save(nn.Linear(3, 1), path, preprocess=scale)
    again = tg.load_model(path)
    np.testing.assert_array_equal(again.preprocess(x), scale(x))
    tg.save(again, path)  # an attribute like any other
    np.testing.assert_array_equal(tg.load_model(path).preprocess(x), scale(x))
    with pytest.raises(TypeError, match="preprocess: expected with a module only"):
        tg.save({"w": x}, path, preprocess=scale)
    with pytest.raises(TypeError, match="preprocess is object"):
        tg.save(nn.Linear(3, 1), path, preprocess=object())


@pytest.mark.parametrize(
    "change, reason",
    [
        (lambda m: m.register_forward_hook(lambda *args: None), "the model has hooks"),
        (lambda m: setattr(m, "extra", lambda x: x), "extra is function"),
        (lambda m: nn.utils.parametrizations.weight_norm(m), "whose class is made while the program runs"),
    ],
)
def test_what_no_description_can_hold_is_saved_as_weights_only(
    change: Any, reason: str, tmp_path: Path
) -> None:
    model, path = nn.Linear(3, 2), tmp_path / "m.safetensors"
    change(model)
    tg.save(model, path)
    assert set(tg.load(path)) == set(model.state_dict())
    with pytest.raises(FileFormatError, match=f"weights only.*{reason}"):
        tg.load_model(path)


def test_a_file_of_arrays_says_what_to_do(tmp_path: Path) -> None:
    tg.save({"w": np.ones(2)}, tmp_path / "w.safetensors")
    with pytest.raises(FileFormatError, match="holds arrays and no architecture"):
        tg.load_model(tmp_path / "w.safetensors")
    with pytest.raises(FileNotFoundError, match="load_model: no such file"):
        tg.load_model(tmp_path / "absent.safetensors")


# Files that somebody made to do harm


def forged(path: Path, description: Any) -> Path:
    """A file with a right checksum and another description."""
    from safetensors.numpy import save

    arrays = {"weight": np.ones((2, 3), np.float32), "bias": np.ones(2, np.float32)}
    header = {MODEL: description if isinstance(description, str) else json.dumps(description)}
    header[DIGEST] = _digest(arrays, header)
    path.write_bytes(save(arrays, metadata=header))
    return path


LINEAR = {
    "in_features": 3, "out_features": 2, "weight": {"parameter": "weight"}, "bias": {"parameter": "bias"},
}  # fmt: skip


def linear(**changes: Any) -> dict[str, Any]:
    return {"version": 1, "model": {"module": "Linear", "attributes": {**LINEAR, **changes}}}


def deep(depth: int) -> str:
    return json.dumps(linear(x=0)).replace('"x": 0', '"x": ' + '{"list": [' * depth + "1" + "]}" * depth)


def test_the_forged_file_is_right_but_for_the_changes(tmp_path: Path) -> None:
    assert repr(tg.load_model(forged(tmp_path / "m", linear()))) == repr(nn.Linear(3, 2))


@pytest.mark.parametrize(
    "description",
    [
        "", "[", "3", "null", "[]", "{}", "[" * 100_000, {"version": 2}, {"version": 1},
        {"version": 1, "model": 3}, {"version": 1, "model": {"module": "Linear"}},
        {"version": 1, "model": {"module": "Module.__init__", "attributes": {}}},
        {"version": 1, "model": {"module": "functional", "attributes": {}}},
        {"version": 1, "model": {"module": "Parameter", "attributes": {}}},
        {"version": 1, "model": {"module": ["Linear"], "attributes": {}}},
        {"version": 1, "model": {"module": "Popen", "own": True, "attributes": {}}},
        {"version": 1, "model": {"same": 0}}, {"version": 1, "model": {"function": "relu"}},
        linear(in_features=10**30), linear(in_features=-1), linear(in_features="3"), linear(in_features=None),
        linear(in_features={"list": []}), linear(weight={"parameter": "absent"}), linear(weight={"array": 3}),
        linear(weight={"parameter": "weight", "requires_grad": "no"}), linear(weight={"eval": "1"}),
        linear(weight={"buffer": "bias"}, bias={"parameter": "bias"}), linear(forward="x"), linear(__class__="x"),
        linear(_hooks=1), linear(x={"function": "os.system"}), linear(x={"dtype": "object"}), linear(x={"float": "1"}),
        linear(x={"same": 7}), deep(50_000), deep(300), linear(x=[1]), linear(x={}),
        linear(x={"dict": [[1.5, 2]]}), linear(x={"dict": 3}), linear(x={"set": [{"list": []}]}),
        linear(x={"preparation": "os", "settings": {}, "arrays": {}}),
        linear(x={"preparation": "Standardize", "settings": {"axis": "x"}, "arrays": {}}),
        {"version": 1, "model": {"module": "Linear", "attributes": {"weight": {"parameter": "weight"}}}},
        {"version": 1, "model": {"module": "Conv2d", "attributes": {"kernel_size": 3}}},
    ],
    ids=lambda x: str(x)[:60],
)  # fmt: skip
def test_a_hostile_description_is_one_clear_error(description: Any, tmp_path: Path) -> None:
    path = forged(tmp_path / "m", description)
    with pytest.raises(FileFormatError, match="^load_model: ") as caught:
        tg.load_model(path)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("at", [0.2, 0.5, 0.9])
def test_a_changed_byte_is_found(at: float, tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    tg.save(nn.Linear(3, 2), path)
    data = bytearray(path.read_bytes())
    data[int(len(data) * at)] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(FileFormatError, match="^load_model: "):
        tg.load_model(path)
