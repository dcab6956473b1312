"""Hooks of modules: around forward, backward, saving and loading."""

from __future__ import annotations

import gc
from typing import Any
from weakref import ref

import pytest

from tinygrad_dl import Tensor, autograd, nn, no_grad


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


class Calls(nn.Module):
    """A module of any function, with the calls of its backward hooks."""

    def __init__(self, f: Any, give: Any = None, give_first: Any = None) -> None:
        self.f, self.seen = f, []
        self.register_full_backward_hook(lambda m, *g: self.seen.append(shown(g)) or (give and give(g[0])))
        self.register_full_backward_pre_hook(
            lambda m, g: self.seen.append(shown(g)) or (give_first and give_first(g))
        )

    def forward(self, *args: Any) -> Any:
        return self.f(*args)


def shown(value: Any) -> Any:
    return tuple(map(shown, value)) if isinstance(value, tuple) else None if value is None else value.item()


def two(*values: float) -> list[Tensor]:
    return [Tensor([value], requires_grad=True) for value in values]


def test_backward_hooks_run_and_replace_gradients_in_every_backward_through_one_forward() -> None:
    layer = nn.Linear(2, 2)
    layer.weight.data[...], layer.bias.data[...] = [[1, 2], [3, 4]], 0
    model, calls = nn.Sequential(layer, nn.ReLU()), []
    model[1].register_full_backward_hook(lambda m, gi, go: calls.append(1) or (gi[0] * 0,))
    x = Tensor([[1.0, 1.0]], requires_grad=True)
    out = model(x)
    for k in (0, 1, 0):
        x.grad = None
        out[0, k].backward(retain_graph=True)
        assert x.grad.tolist() == [[0.0, 0.0]]
    assert len(calls) == 3


def test_an_unused_input_gets_zeros_in_backward_hooks_and_can_be_given_a_gradient() -> None:
    x, y = two(3.0, 4.0)
    module = Calls(lambda x, y: 2 * x)
    module(x, y).backward()
    assert module.seen == [(1.0,), ((2.0, 0.0), (1.0,))] and y.grad.item() == 0.0
    x, y = two(3.0, 4.0)
    Calls(lambda x, y: 2 * x, lambda g: (None, g[0] * 5))(x, y).backward()
    assert x.grad is None and y.grad.item() == 10.0


def test_backward_hooks_of_several_outputs_run_once_with_all_gradients() -> None:
    w = Tensor([2.0], requires_grad=True)
    module = Calls(lambda x: (x * w, x + w, 7))
    a, b, _ = module(Tensor([3.0]))  # no input requires grad
    (a + 20 * b).backward()
    assert module.seen == [(1.0, 20.0, None), ((None,), (1.0, 20.0, None))] and w.grad.item() == 23.0
    x, y = two(3.0, 4.0)
    module = Calls(lambda x, y: (x * 2, y * 3), None, lambda g: tuple(e * 10 for e in g))
    a, b = module(x, y)
    (a + 2 * b).backward()
    assert module.seen == [(1.0, 2.0), ((20.0, 60.0), (10.0, 20.0))]
    assert (x.grad.item(), y.grad.item()) == (20.0, 60.0)


def test_an_output_that_was_not_used_has_the_gradient_none_and_a_pre_hook_may_give_it_one() -> None:
    x, y = two(3.0, 4.0)
    module = Calls(lambda x, y: (x * 2, y * 3), None, lambda g: (g[0], g[0]))
    module(x, y)[0].backward()
    assert module.seen == [(1.0, None), ((2.0, 3.0), (1.0, 1.0))] and y.grad.item() == 3.0


def test_backward_hooks_of_an_output_that_is_no_tensor_and_no_tuple_warn_and_are_not_called() -> None:
    (x,) = two(3.0)
    module = Calls(lambda x: {"a": x * 2})
    with pytest.warns(
        UserWarning, match="^Calls: backward hooks are called for an output that is a Tensor or a tuple"
    ):
        out = module(x)
    out["a"].backward()
    assert module.seen == [] and x.grad.item() == 2.0


def test_gradients_that_cannot_replace_those_of_a_module_are_refused() -> None:
    x, y = two(3.0, 4.0)
    with pytest.raises(
        ValueError, match=r"^backward hook of Calls: expected as many gradients as grad_input has, 2, got 1"
    ):
        Calls(lambda x, y: x * y, lambda g: g[:1])(x, y).backward()
    with pytest.raises(
        ValueError, match=r"expected the hook to return a gradient of shape \(1,\), got \(2,\)"
    ):
        Calls(lambda x, y: x * y, lambda g: ([1.0, 1.0], g[1]))(x, y).backward()
    with pytest.raises(
        RuntimeError, match="^backward hook of Calls: expected None, since no input requires grad"
    ):
        Calls(lambda a: x * a, lambda g: (1.0,))(Tensor([1.0])).backward()
    assert x.grad is None and y.grad is None


def test_backward_hooks_run_in_autograd_grad_and_not_without_recording() -> None:
    x, y = two(3.0, 4.0)
    module = Calls(lambda x, y: x * y, lambda g: (g[0] * 10, g[1]))
    out = module(x, y)
    assert shown(autograd.grad(out, x, retain_graph=True)) == (40.0,) and module.seen[1] == (
        (4.0, 3.0),
        (1.0,),
    )
    (first,) = autograd.grad(out, x, create_graph=True)
    assert shown(autograd.grad(first, y)) == (10.0,)
    module.seen.clear()
    with no_grad():
        assert module(x, y).node is None
    handle = module.register_full_backward_hook(lambda *_: module.seen.append("late"))
    out = module(x, y)
    handle.remove()  # as in PyTorch, the hooks of a call are those there were when it began
    out.backward()
    assert module.seen[-1] == "late"


def test_a_graph_with_backward_hooks_is_freed_with_its_last_reference() -> None:
    module, (x, y) = Calls(lambda x, y: (x * y, x)), two(3.0, 4.0)
    gc.collect()
    gc.disable()
    try:
        out = module(x, y)
        result = ref(out[0])
        out[0].backward(retain_graph=True)
        del out
        assert result() is None and gc.collect() == 0
    finally:
        gc.enable()


def test_prepended_backward_hooks_run_first() -> None:
    (x,), ran, layer = two(1.0), [], nn.Identity()
    for name, first in (("a", False), ("b", True)):
        layer.register_full_backward_hook(lambda *_, name=name: ran.append(name), prepend=first)
        layer.register_full_backward_pre_hook(lambda *_, name=name: ran.append(name.upper()), prepend=first)
    layer(x).backward()
    assert ran == ["B", "A", "b", "a"]


def test_a_pre_hook_with_kwargs_returns_both() -> None:
    layer = Scale()
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args, kwargs), with_kwargs=True)
    assert layer(Tensor([1.0])).tolist() == [2.0]
    layer.register_forward_pre_hook(lambda m, args, kwargs: (args[0],), with_kwargs=True)
    with pytest.raises(
        TypeError, match=r"^forward pre-hook of Scale: expected None or a pair \(args, kwargs\), got tuple"
    ):
        layer(Tensor([1.0]))
