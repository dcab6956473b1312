"""Hooks of modules: around forward, backward, saving and loading."""

from __future__ import annotations

from typing import Any

import pytest

from tinygrad_dl import Tensor, nn


class Scale(nn.Module):
    def __init__(self) -> None:
        self.factor = nn.Parameter([2.0])

    def forward(self, x: Any) -> Any:
        return x * self.factor


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


def test_a_prepended_hook_runs_before_those_that_are_there() -> None:
    layer, ran = nn.Identity(), []
    for name, first in (("a", False), ("b", True), ("c", False)):
        layer.register_forward_pre_hook(lambda *_, name=name: ran.append(name), prepend=first)
        layer.register_forward_hook(lambda *_, name=name: ran.append(name.upper()), prepend=first)
    layer(1)
    assert ran == ["b", "a", "c", "B", "A", "C"]


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
