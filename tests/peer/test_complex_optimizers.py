"""Optimizers on complex parameters: PyTorch's steps, which are those of the real and imaginary parts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import DTypeError

torch = pytest.importorskip(
    "torch", reason="PyTorch, which the optimizers are compared with, is not installed"
)

OPTIMIZERS: list[tuple[str, dict[str, Any]]] = [
    ("SGD", {"lr": 0.1}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.1, "nesterov": True}),
    ("SGD", {"lr": 0.1, "momentum": 0.9, "dampening": 0.3, "maximize": True}),
    ("Adam", {"lr": 0.1}),
    ("Adam", {"lr": 0.1, "amsgrad": True, "weight_decay": 0.1}),
    ("AdamW", {"lr": 0.1, "weight_decay": 0.1}),
    ("NAdam", {"lr": 0.1}),
    ("RAdam", {"lr": 0.1}),
    ("Adamax", {"lr": 0.1}),
    ("Adadelta", {"lr": 0.5}),
    ("Adagrad", {"lr": 0.1, "initial_accumulator_value": 0.3}),
    ("RMSprop", {"lr": 0.1}),
    ("RMSprop", {"lr": 0.1, "centered": True, "momentum": 0.5}),
    ("Rprop", {"lr": 0.1}),
    ("ASGD", {"lr": 0.1}),
]
RTOL, ATOL = 1e-6, 1e-8  # NAdam and ASGD keep some of their numbers in float32 there
START = [np.array([[1 + 2j, -0.5j], [0.3 + 0j, 2 - 1j]]), np.array([1.5, -0.5]), np.array(0.2 - 0.7j)]


def loss_of(z: Any, x: Any, w: Any) -> Any:
    return ((z * z - (1 + 1j)) * w).abs().sum() + (x * z.real).sum() + (w.conj() * w).real


@pytest.mark.parametrize(("name", "options"), OPTIMIZERS)
def test_steps_on_complex_parameters_are_pytorchs(name: str, options: dict[str, Any]) -> None:
    ours = [Tensor(p, requires_grad=True) for p in START]
    theirs = [torch.tensor(p, requires_grad=True) for p in START]
    mine = getattr(optim, name)(ours, **options)
    other = getattr(torch.optim, name)(theirs, **options)
    for step in range(6):
        for optimizer, parameters in ((mine, ours), (other, theirs)):
            optimizer.zero_grad()
            loss_of(*parameters).backward()
            optimizer.step()
        for p, q in zip(ours, theirs):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=RTOL, atol=ATOL)
        if step == 2:  # the state is of the parameters' dtype, and can be saved
            saved = mine.state_dict()
            mine = getattr(optim, name)(ours, **options)
            mine.load_state_dict(saved)
            for one, state in other.state_dict()["state"].items():
                for key, value in state.items():
                    if torch.is_tensor(value) and value.shape == ours[one].shape and value.ndim:
                        np.testing.assert_allclose(
                            saved["state"][one][key], value.numpy(), rtol=RTOL, atol=ATOL
                        )


@pytest.mark.parametrize("line_search", [None, "strong_wolfe"])
def test_lbfgs_on_complex_parameters_is_pytorchs(line_search: str | None) -> None:
    ours = [Tensor(p, requires_grad=True) for p in (START[0], START[2])]
    theirs = [torch.tensor(p, requires_grad=True) for p in (START[0], START[2])]

    def loss(z: Any, w: Any) -> Any:
        return ((z - w - (1 + 2j)).abs() ** 2).sum() + (w - 1j).abs() ** 2

    for parameters, kind in ((ours, optim.LBFGS), (theirs, torch.optim.LBFGS)):
        optimizer = kind(parameters, lr=0.5, max_iter=5, line_search_fn=line_search)

        def closure(optimizer: Any = optimizer, parameters: Any = parameters) -> Any:
            optimizer.zero_grad()
            value = loss(*parameters)
            value.backward()
            return value

        optimizer.step(closure)
        optimizer.step(closure)
    for p, q in zip(ours, theirs):
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["Adafactor", "Muon"])
def test_optimizers_of_matrices_refuse_complex_parameters_as_pytorch_does(name: str) -> None:
    with pytest.raises(DTypeError, match=r"expected a floating dtype, got complex128\. Optimize its real"):
        getattr(optim, name)([Tensor(START[0], requires_grad=True)])
