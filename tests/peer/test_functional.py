"""Functions of nn.functional and nn.init beside PyTorch's: the same arguments in the same places, and values."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import functional as F

torch = pytest.importorskip(
    "torch", reason="PyTorch, whose functions these are compared with, is not installed"
)

# Arguments of PyTorch's that make no sense here, or that have another name.
LEFT_OUT = {"device", "dtype", "out", "_stacklevel", "self", "generator", "min_value", "max_value"}
# What PyTorch's own signature hides: written in C, or chosen by a flag.
BY_HAND = {
    "linear": ["input", "weight", "bias"],
    "bilinear": ["input1", "input2", "weight", "bias"],
    "conv2d": ["input", "weight", "bias", "stride", "padding", "dilation", "groups"],
    "max_pool2d": ["input", "kernel_size", "stride", "padding", "dilation", "ceil_mode", "return_indices"],
    "avg_pool2d": ["input", "kernel_size", "stride", "padding", "ceil_mode", "count_include_pad"],
    "pixel_shuffle": ["input", "upscale_factor"],
    "pdist": ["input", "p"],
}  # fmt: skip


def arguments(function: Any) -> list[str] | None:
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return None
    if any(p.kind in (p.VAR_POSITIONAL, p.VAR_KEYWORD) for p in parameters):
        return None
    return [p.name for p in parameters if p.name not in LEFT_OUT and p.kind is not p.KEYWORD_ONLY]


@pytest.mark.parametrize("name", F.__all__)
def test_a_function_takes_pytorchs_arguments_in_pytorchs_places(name: str) -> None:
    expected = BY_HAND.get(name) or arguments(getattr(torch.nn.functional, name, None) or (lambda *a: a))
    if expected is not None:
        got = arguments(getattr(F, name))
        assert got is not None
        assert got[: len(expected)] == expected


LOSSES = [n for n in nn.__all__ if n.endswith("Loss") and hasattr(torch.nn, n)]


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_takes_pytorchs_arguments_in_pytorchs_places(name: str) -> None:
    expected = arguments(getattr(torch.nn, name).__init__)
    got = arguments(getattr(nn, name).__init__)
    assert expected is not None
    assert got is not None
    assert got[: len(expected)] == expected


def agree(ours: Any, theirs: Any, *values: np.ndarray) -> None:
    """The same result and the same gradients of the values given."""
    here = [Tensor(v, requires_grad=True) for v in values]
    there = [torch.tensor(v, requires_grad=True) for v in values]
    out, expected = ours(*here), theirs(*there)
    np.testing.assert_allclose(out.detach().numpy(), expected.detach().numpy(), rtol=1e-9, atol=1e-12)
    (out * out).sum().backward()
    (expected * expected).sum().backward()
    for a, b in zip(here, there):
        assert a.grad is not None
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("align_corners", [False, True])
@pytest.mark.parametrize("padding", ["zeros", "border", "reflection"])
def test_bicubic_samples_agree(padding: str, align_corners: bool) -> None:
    rng = np.random.default_rng(0)
    x, grid = rng.standard_normal((2, 3, 5, 4)), rng.uniform(-1.6, 1.6, (2, 3, 6, 2))

    def sampled(functional: Any) -> Any:
        return lambda x, grid: functional.grid_sample(x, grid, "bicubic", padding, align_corners)

    agree(sampled(F), sampled(torch.nn.functional), x, grid)


@pytest.mark.parametrize("p", [0.5, 1.0, 2.0, 3.0, float("inf")])
def test_distances_of_all_pairs_agree(p: float) -> None:
    rows = np.random.default_rng(0).standard_normal((5, 3))
    agree(lambda x: F.pdist(x, p), lambda x: torch.nn.functional.pdist(x, p), rows)
