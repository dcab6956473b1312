"""Containers: what they hold, in which order, under which names."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_dl import Tensor, nn


def test_sequential_runs_in_order_takes_names_slices_and_changes() -> None:
    model = nn.Sequential({"first": nn.Linear(1, 1), "act": nn.ReLU()})
    assert list(model.state_dict()) == ["first.weight", "first.bias"]
    assert model.first is model[0] and len(model) == 2 and isinstance(model[-1], nn.ReLU)
    assert list(model[1:]._entries()) == ["act"]
    model[1] = nn.Tanh()
    assert repr(model[1]) == "Tanh()"
    model.append(nn.Identity()).insert(0, nn.Flatten())
    assert [type(module).__name__ for module in model] == ["Flatten", "Linear", "Tanh", "Identity"]
    assert list(model._entries()) == ["0", "1", "2", "3"]
    del model[0]
    assert type(model.pop()).__name__ == "Identity" and len(model) == 2


def test_sequentials_are_added_and_repeated_with_the_same_modules() -> None:
    one, other = nn.Sequential(nn.ReLU(), nn.Tanh()), nn.Sequential(nn.Sigmoid())
    joined = one + other
    assert list(joined) == [*one, *other] and list(joined._entries()) == ["0", "1", "2"]
    assert list(one * 2) == list(2 * one) == [*one, *one] and len(one) == 2
    one *= 2
    one += other
    assert [type(module).__name__ for module in one] == ["ReLU", "Tanh", "ReLU", "Tanh", "Sigmoid"]
    assert (
        one[0] is one[2] and repr(one.pop(slice(0, 1))) == "Sequential(\n  (0): ReLU()\n)" and len(one) == 4
    )


def test_an_attribute_that_is_no_module_is_no_entry() -> None:
    model = nn.Sequential(nn.Linear(1, 1))
    model.note, model.scale = "first", nn.Parameter([1.0])
    assert len(model) == 1 and list(model) == [model[0]] and model(Tensor([[1.0]])).shape == (1, 1)
    held = nn.ParameterDict({"a": [1.0]})
    held.note = "first"
    assert list(held) == ["a"] and len(held) == 1


def test_a_dict_of_parameters_has_the_methods_of_a_dict() -> None:
    held = nn.ParameterDict({"a": [1.0], "b": [2.0]})
    assert list(reversed(held)) == ["b", "a"]
    assert held.setdefault("a", [9.0]) is held["a"] and held.setdefault("c", [3.0]).tolist() == [3.0]
    twin = held.copy()
    assert held.popitem()[0] == "c" and list(held) == ["a", "b"]
    assert list(twin) == ["a", "b", "c"] and twin["a"] is held["a"]
    both = held | {"a": [5.0], "d": [6.0]}
    assert [both[key].tolist() for key in both] == [[5], [2], [6]] and held["a"].tolist() == [1]
    reverse: Any = {"e": 1} | held
    assert reverse == {"e": 1, "a": held["a"], "b": held["b"]}
    held |= {"d": [6.0]}
    held.update([("d", [7.0])])
    assert held.pop("d").tolist() == [7] and list(held) == ["a", "b"]
    alike = nn.ParameterDict.fromkeys(["x", "y"], [0.0])
    assert list(alike.state_dict()) == ["x", "y"] and alike["x"] is not alike["y"]
    held.clear()
    with pytest.raises(KeyError, match="ParameterDict: cannot pop from an empty dict"):
        held.popitem()


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (lambda: nn.Sequential(nn.ReLU()) * 0, ValueError, "Sequential: expected at least one repetition, got 0"),
        (
            lambda: nn.Sequential(nn.ReLU()) * 1.5, TypeError,
            "Sequential: expected an int as the number of repetitions, got float",
        ),
        (
            lambda: nn.ModuleList([nn.ReLU()]).insert(2, nn.ReLU()), IndexError,
            "ModuleList: expected an index from -1 to 1, got 2",
        ),
        (
            lambda: nn.ModuleDict({"a.b": nn.ReLU()}), KeyError,
            "\"ModuleDict: expected a nonempty key without dots, got 'a.b'\"",
        ),
        (
            lambda: nn.ParameterDict({"": [1.0]}), KeyError,
            "\"ParameterDict: expected a nonempty key without dots, got ''\"",
        ),
    ],
)  # fmt: skip
def test_what_a_container_cannot_do_is_explained(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message


def test_sequential_says_what_to_do_with_lists_and_classes() -> None:
    with pytest.raises(TypeError) as caught:
        nn.Sequential([nn.ReLU()])
    assert str(caught.value) == (
        "Sequential: expected a Module as entry 0, got list. Pass them one by one: Sequential(*layers)."
    )
    with pytest.raises(TypeError, match=r"Give an instance: ReLU\(\)\."):
        nn.Sequential(nn.ReLU)


def test_lists_and_dicts_hold_modules_and_parameters_under_their_places() -> None:
    layers = nn.ModuleList([nn.Linear(1, 1)]) + [nn.ReLU()]
    layers.extend([nn.Linear(1, 1)])
    assert list(layers.state_dict()) == ["0.weight", "0.bias", "2.weight", "2.bias"]
    named = nn.ModuleDict({"a": nn.ReLU(), "b": nn.Tanh()})
    assert (
        list(named) == ["a", "b"]
        and "a" in named
        and type(named.pop("a")).__name__ == "ReLU"
        and len(named) == 1
    )
    with pytest.raises(KeyError, match="the name of a method"):
        named["keys"] = nn.ReLU()
    values = nn.ParameterList([[1.0], [2.0]])
    assert list(values.state_dict()) == ["0", "1"] and all(p.requires_grad for p in values)
    table = nn.ParameterDict({"w": [1.0]})
    table["v"] = [2.0]
    assert list(table.state_dict()) == ["w", "v"]
    with pytest.raises(IndexError, match="ModuleList: expected an index into its 3 entries, got 3"):
        layers[3]
    with pytest.raises(TypeError, match="ModuleList: expected a Module, got int"):
        layers.append(3)


def test_a_dict_of_parameters_gives_a_default_for_a_key_it_lacks() -> None:
    held = nn.ParameterDict({"scale": [2.0]})
    assert held.get("scale") is held["scale"]
    assert held.get("shift") is None
    assert held.get("shift", 3) == 3
