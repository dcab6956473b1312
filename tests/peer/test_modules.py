"""Every module of PyTorch's own module database: the same output, gradients and state, in float64 to 1e-6.

Constructor and forward samples come from the database; the state dict is PyTorch's, loaded as arrays.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, config, nn
from tinygrad_dl.nn import functional

torch = pytest.importorskip(
    "torch", reason="PyTorch, which these modules are compared with, is not installed"
)
pytest.importorskip("expecttest", reason="PyTorch's module database needs the package expecttest")
database = pytest.importorskip(
    "torch.testing._internal.common_modules", reason="this PyTorch has no module database"
)

SAMPLES = 60  # of a module at most, evenly spread: some have hundreds that differ in a reduction

INFOS = {info.name.removeprefix("nn."): info for info in database.module_db}


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    before = config.get_default_dtype()
    config.set_default_dtype("float64")
    yield
    config.set_default_dtype(before)


def translated(value: Any) -> Any:
    """PyTorch's tensors, dtypes, functions and modules as ours."""
    if isinstance(value, torch.Tensor):
        array = value.detach().numpy().copy()
        return Tensor(array, requires_grad=value.requires_grad)
    if isinstance(value, torch.nn.Module):
        return translated_module(value)
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, (tuple, list)):
        return type(value)(translated(v) for v in value)
    if isinstance(value, dict):
        return {key: translated(v) for key, v in value.items()}
    if callable(value) and hasattr(functional, getattr(value, "__name__", "")):
        return getattr(functional, value.__name__)
    return value


def translated_module(theirs: Any) -> Any:
    """A module given to a constructor: only encoder layers are."""
    attention = theirs.self_attn
    return nn.TransformerEncoderLayer(
        attention.embed_dim, attention.num_heads, theirs.linear1.out_features, theirs.dropout.p,
        activation=getattr(functional, theirs.activation.__name__), batch_first=attention.batch_first,
        norm_first=theirs.norm_first, bias=theirs.linear1.bias is not None,
    )  # fmt: skip


def leaves(value: Any) -> Any:
    """The same arguments as leaves, so that PyTorch keeps their gradients."""
    if isinstance(value, torch.Tensor):
        return value.detach().clone().requires_grad_(value.requires_grad)
    if isinstance(value, (tuple, list)):
        return type(value)(leaves(v) for v in value)
    if isinstance(value, dict):
        return {key: leaves(v) for key, v in value.items()}
    return value


def tensors(value: Any) -> Iterator[Any]:
    """The tensors in arguments or results, in order."""
    if isinstance(value, (torch.Tensor, Tensor)):
        yield value
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from tensors(part)
    elif isinstance(value, dict):
        for part in value.values():
            yield from tensors(part)


def arrays(module: Any) -> dict[str, np.ndarray]:
    return {name: np.array(value.detach().numpy()) for name, value in module.state_dict().items()}


def agree(ours: Any, theirs: Any, what: str) -> None:
    if theirs is None:
        # PyTorch leaves None where a gradient is zero because nothing depends on the value.
        assert ours is None or not np.any(ours.numpy()), f"{what}: a gradient where PyTorch has none"
        return
    expected = theirs.detach().numpy()
    assert ours is not None or not expected.any(), f"{what}: no gradient"
    if ours is None:
        return
    got = ours.detach().numpy() if isinstance(ours, Tensor) else ours
    assert got.shape == expected.shape, f"{what}: shape {got.shape}, PyTorch's {expected.shape}"
    assert got.dtype == expected.dtype, f"{what}: dtype {got.dtype}, PyTorch's {expected.dtype}"
    np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-6, err_msg=what)


def compare(theirs: Any, ours: Any, sample: Any, training: bool) -> None:
    """One forward and one backward on both sides, from the same state."""
    args, kwargs = leaves(sample.forward_input.args), leaves(sample.forward_input.kwargs)
    our_args, our_kwargs = translated(args), translated(kwargs)
    theirs.train(training)
    ours.train(training)
    if any(isinstance(p, torch.nn.UninitializedParameter) for p in theirs.parameters()):
        theirs(*args, **kwargs)
        ours(*our_args, **our_kwargs)
    ours.load_state_dict(arrays(theirs))
    expected, got = theirs(*args, **kwargs), ours(*our_args, **our_kwargs)
    rng = np.random.default_rng(0)
    their_loss, our_loss = torch.zeros(()), Tensor(0.0)
    expected_parts, got_parts = list(tensors(expected)), list(tensors(got))
    assert len(expected_parts) == len(got_parts)
    for i, (a, b) in enumerate(zip(expected_parts, got_parts)):
        agree(b, a, f"output {i}")
        if a.requires_grad:
            seed = rng.standard_normal(a.shape)
            their_loss = their_loss + (a * torch.as_tensor(seed)).sum()
            our_loss = our_loss + (b * seed).sum()
    if isinstance(their_loss, torch.Tensor) and their_loss.requires_grad:
        their_loss.backward()
        our_loss.backward()
        inputs = zip(tensors([args, kwargs]), tensors([our_args, our_kwargs]))
        for i, (a, b) in enumerate(inputs):
            if a.requires_grad:
                agree(b.grad, a.grad, f"gradient of input {i}")
        parameters = dict(ours.named_parameters())
        for name, parameter in theirs.named_parameters():
            agree(parameters[name].grad, parameter.grad, f"gradient of {name}")
    after = ours.state_dict()
    for name, value in arrays(theirs).items():
        np.testing.assert_allclose(after[name], value, rtol=1e-6, atol=1e-6, err_msg=f"state: {name}")


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", list(INFOS))
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own deprecations and fallbacks
def test_a_module_agrees_with_pytorch(name: str, mode: str) -> None:
    assert hasattr(nn, name), f"nn.{name} is missing"
    info = INFOS[name]
    torch.manual_seed(0)
    torch.set_default_dtype(torch.float64)
    try:
        samples = info.module_inputs_func(
            info, device="cpu", dtype=torch.float64, requires_grad=True, training=mode == "train"
        )
        assert samples
        for sample in samples[:: max(len(samples) // SAMPLES, 1)]:
            made = sample.constructor_input
            theirs = info.module_cls(*made.args, **made.kwargs).double()
            ours = getattr(nn, name)(*translated(made.args), **translated(made.kwargs))
            try:
                compare(theirs, ours, sample, mode == "train")
            except Exception as error:
                shown = [
                    tuple(t.shape) for t in tensors([sample.forward_input.args, sample.forward_input.kwargs])
                ]
                error.add_note(f"sample {sample.desc!r}: {name}{made.args}{made.kwargs} on {shown}")
                raise
    finally:
        torch.set_default_dtype(torch.float32)


# Where PyTorch's own text leaves something out, quotes strings otherwise, or names a class of its own inside.
OTHER_TEXT = {
    "AvgPool1d", "Conv1d", "Conv2d", "Conv3d", "FractionalMaxPool2d", "FractionalMaxPool3d", "RNNCell",
    "MultiheadAttention", "Transformer", "TransformerEncoder", "TransformerEncoderLayer", "TransformerDecoderLayer",
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(n for n in INFOS if n not in OTHER_TEXT and not n.startswith("Lazy")))
@pytest.mark.filterwarnings("ignore")
def test_a_module_reads_as_in_pytorch(name: str) -> None:
    info = INFOS[name]
    samples = info.module_inputs_func(
        info, device="cpu", dtype=torch.float64, requires_grad=False, training=True
    )
    for sample in samples[:SAMPLES]:
        made = sample.constructor_input
        theirs = info.module_cls(*made.args, **made.kwargs)
        assert repr(getattr(nn, name)(*translated(made.args), **translated(made.kwargs))) == repr(theirs)
