"""PyTorch's databases of modules and of optimizers through tinygrad_dl.torch, with PyTorch's own calls.

Both sides start from the same seed, so that they draw the same initial weights and dropout masks; nothing is copied.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dl.torch as ours
from tests.peer.pytorch import torch
from tests.peer.test_torch_layer import array, flat, translated

pytest.importorskip("expecttest", reason="PyTorch's databases need the package expecttest")
modules = pytest.importorskip("torch.testing._internal.common_modules")
optimizers = pytest.importorskip("torch.testing._internal.common_optimizers")

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
SAMPLES = 1000 if THOROUGH else 4  # of a module, evenly spread

MODULES = {info.name.removeprefix("nn."): info for info in modules.module_db}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    before = ours.get_default_dtype(), torch.get_default_dtype()
    ours.set_default_dtype(ours.float64)
    torch.set_default_dtype(torch.float64)
    yield
    ours.set_default_dtype(before[0])
    torch.set_default_dtype(before[1])


def argument(x: Any) -> Any:
    """An argument of a constructor or a call for this layer."""
    if isinstance(x, torch.nn.Module):  # an encoder layer, whose weights come along
        attention = x.self_attn
        made = ours.nn.TransformerEncoderLayer(
            attention.embed_dim, attention.num_heads, x.linear1.out_features, x.dropout.p, argument(x.activation),
            batch_first=attention.batch_first, norm_first=x.norm_first, bias=x.linear1.bias is not None,
        )  # fmt: skip
        made.load_state_dict({k: ours.tensor(v.numpy()) for k, v in x.state_dict().items()})
        return made
    if isinstance(x, (list, tuple)) and type(x) in (list, tuple):
        return type(x)(argument(v) for v in x)
    if isinstance(x, dict):
        return {key: argument(v) for key, v in x.items()}
    name = getattr(x, "__name__", "")
    if callable(x) and not isinstance(x, torch.Tensor):
        return getattr(ours.nn.functional, name, None) or getattr(ours, name, None) or getattr(ours.nn, name)
    return translated(x)


def leaves(x: Any) -> Any:
    """The same arguments as leaves, so that PyTorch keeps their gradients."""
    if isinstance(x, torch.Tensor):
        return x.detach().clone().requires_grad_(x.requires_grad)
    if isinstance(x, (tuple, list)):
        return type(x)(leaves(v) for v in x)
    return {key: leaves(v) for key, v in x.items()} if isinstance(x, dict) else x


def agree(theirs: Any, own: Any, what: str) -> None:
    if theirs is None or own is None:  # nothing depends on it
        assert all(x is None or not array(x).any() for x in (theirs, own)), what
        return
    assert tuple(own.shape) == tuple(theirs.shape) and str(own.dtype) == str(theirs.dtype), what
    np.testing.assert_allclose(array(own), array(theirs), rtol=1e-6, atol=1e-6, err_msg=what)


def compare(info: Any, sample: Any, training: bool) -> None:
    """Make a module, call it, and go back: results, gradients and the state afterwards."""
    made, given = sample.constructor_input, sample.forward_input
    args, kwargs = leaves(given.args), leaves(given.kwargs)
    own_args, own_kwargs = argument(args), argument(kwargs)
    first, second = argument(made.args), argument(made.kwargs)
    torch.manual_seed(7)
    ours.manual_seed(7)
    theirs = info.module_cls(*made.args, **made.kwargs).train(training)
    own = getattr(ours.nn, info.name.removeprefix("nn."))(*first, **second).train(training)
    expected, found = flat(theirs(*args, **kwargs)), flat(own(*own_args, **own_kwargs))
    assert len(expected) == len(found)
    losses = [torch.zeros(()), ours.zeros(())]
    rng = np.random.default_rng(0)
    for i, (a, b) in enumerate(zip(expected, found)):
        agree(a, b, f"output {i}")
        if a.requires_grad:
            seed = rng.standard_normal(tuple(a.shape))
            losses[0] = losses[0] + (a * torch.tensor(seed)).sum()
            losses[1] = losses[1] + (b * ours.tensor(seed)).sum()
    assert losses[0].requires_grad == losses[1].requires_grad
    if losses[0].requires_grad:
        for loss in losses:
            loss.backward()
        pairs = zip(flat([args, kwargs]), flat([own_args, own_kwargs]))
        for i, (a, b) in enumerate(pairs):
            if isinstance(a, torch.Tensor) and a.requires_grad:
                agree(a.grad, b.grad, f"gradient of input {i}")
    assert [n for n, _ in own.named_parameters()] == [n for n, _ in theirs.named_parameters()]
    for (name, p), (_, q) in zip(theirs.named_parameters(), own.named_parameters()):
        agree(p.grad, q.grad, f"gradient of {name}")
    after, own_after = theirs.state_dict(), own.state_dict()
    assert list(after) == list(own_after)
    for name in after:
        agree(after[name], own_after[name], f"state: {name}")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", MODULES)
def test_a_module_has_pytorchs_values_gradients_and_state(name: str, mode: str) -> None:
    info = MODULES[name]
    torch.manual_seed(0)
    samples = info.module_inputs_func(
        info, device="cpu", dtype=torch.float64, requires_grad=True, training=mode == "train"
    )
    for sample in samples[:: max(1, -(-len(samples) // SAMPLES))]:
        try:
            compare(info, sample, mode == "train")
        except Exception as error:
            shapes = [tuple(t.shape) for t in flat([sample.forward_input.args, sample.forward_input.kwargs])
                      if isinstance(t, torch.Tensor)]  # fmt: skip
            made = sample.constructor_input
            error.add_note(f"sample {sample.desc!r}: {name}{made.args}{made.kwargs} on {shapes}")
            raise


def configurations() -> Iterator[Any]:
    """All configurations of all optimizers but SparseAdam's, whose gradients are sparse."""
    for info in optimizers.optim_db:
        if info.name != "SparseAdam":
            for i, entry in enumerate(info.optim_inputs_func(device="cpu")):
                yield pytest.param(info.name, entry.kwargs, id=f"{info.name}-{i}-{entry.desc}")


SHAPES = [(3, 4), (4,), (), (2, 3, 2), (1, 5)]
MATRICES = [(3, 4), (5, 2), (4, 4)]  # Muon's


def train(t: Any, name: str, options: dict[str, Any], shapes: list[tuple[int, ...]]) -> list[Any]:
    """Some steps on a loss that is not quadratic; a state saved in the middle is loaded by a second optimizer."""
    t.manual_seed(5)
    parameters = [t.nn.Parameter(t.randn(s)) for s in shapes]
    centers = [t.randn(s) for s in shapes]

    def optimizer() -> Any:
        groups = [{"params": parameters[:2]}, {"params": parameters[2:], "lr": 0.05}]
        return getattr(t.optim, name)(parameters if name == "LBFGS" else groups, **options)

    found, current = [], optimizer()
    # PyTorch's LBFGS keeps a Tensor lr itself as the size of its last step, which a schedule would write to.
    gamma = 1.0 if name == "LBFGS" else 0.9
    schedule = t.optim.lr_scheduler.ExponentialLR(current, gamma)
    for step in range(6):

        def closure() -> Any:
            current.zero_grad()  # noqa: B023
            loss = sum(((p - c) ** 2).sum() + 0.1 * ((p - c) ** 4).sum() for p, c in zip(parameters, centers))
            loss.backward()
            return loss

        found.append(current.step(closure).item())
        schedule.step()
        if step == 2:
            state = current.state_dict()
            current = optimizer()
            current.load_state_dict(state)
            schedule = t.optim.lr_scheduler.ExponentialLR(current, gamma)
    return [found, *[array(p).copy() for p in parameters]]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(("name", "options"), list(configurations()))
def test_an_optimizer_takes_pytorchs_steps(name: str, options: dict[str, Any]) -> None:
    shapes = MATRICES if name == "Muon" else SHAPES
    own_options, options = (
        translated(options),
        {k: leaves(v) for k, v in options.items()},
    )  # steps write to lr
    theirs, own = train(torch, name, options, shapes), train(ours, name, own_options, shapes)
    # Given lr as a Tensor of float32, PyTorch computes 1 - lr * weight_decay in float32.
    coarse = name == "Muon" and isinstance(options.get("lr"), torch.Tensor)
    for a, b in zip(theirs, own):
        np.testing.assert_allclose(b, a, rtol=1e-5 if coarse else 1e-7, atol=1e-9)
