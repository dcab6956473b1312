"""Every configuration of PyTorch's own optimizer database: the same ten steps, to 1e-7 in float64.

Also states that go from one library to the other in the middle.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim

torch = pytest.importorskip(
    "torch", reason="PyTorch, which these optimizers are compared with, is not installed"
)
pytest.importorskip("expecttest", reason="PyTorch's optimizer database needs the package expecttest")
database = pytest.importorskip(
    "torch.testing._internal.common_optimizers", reason="this PyTorch has no optimizer database"
)

SHAPES = [(3, 4), (4,), (), (2, 3, 2), (1, 5), (5, 2), (0,)]
MATRICES = [(3, 4), (5, 2), (1, 5), (4, 4)]
STEPS = 10


def cases() -> list[Any]:
    """All configurations but SparseAdam's, whose gradients are sparse."""
    found = []
    for info in database.optim_db:
        if info.name != "SparseAdam":
            for i, entry in enumerate(info.optim_inputs_func(device="cpu")):
                found.append(pytest.param(info.name, entry.kwargs, id=f"{info.name}-{i}-{entry.desc}"))
    return found


def ours(options: dict[str, Any]) -> dict[str, Any]:
    return {k: Tensor(v.numpy()) if isinstance(v, torch.Tensor) else v for k, v in options.items()}


class Both:
    """The same parameters, gradients and optimizer in both libraries."""

    def __init__(
        self, name: str, options: dict[str, Any], dtype: str = "float64", groups: bool = False
    ) -> None:
        rng = np.random.default_rng(0)
        # PyTorch's Adafactor divides by the size.
        shapes = MATRICES if name == "Muon" else [s for s in SHAPES if 0 not in s or name != "Adafactor"]
        arrays = [rng.normal(size=s).astype(dtype) for s in shapes]
        self.theirs = [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
        self.ours = [Tensor(a, requires_grad=True) for a in arrays]
        self.weights = [rng.uniform(0.5, 2, a.shape).astype(dtype) for a in arrays]
        self.centers = [rng.normal(size=a.shape).astype(dtype) for a in arrays]

        def split(params: list[Any]) -> list[Any]:
            return [{"params": params[:2]}, {"params": params[2:], "lr": 0.05}] if groups else params

        self.their_optimizer = getattr(torch.optim, name)(split(self.theirs), **options)
        self.our_optimizer = getattr(optim, name)(split(self.ours), **ours(options))

    def step(self, i: int) -> None:
        """One step on a loss that is not quadratic, part of whose gradients is noise."""
        noise = [np.random.default_rng((i, j)).normal(size=w.shape) * 0.1 for j, w in enumerate(self.weights)]

        def their_closure() -> Any:
            self.their_optimizer.zero_grad()
            loss = torch.zeros((), dtype=self.theirs[0].dtype)
            for p, w, c, n in zip(self.theirs, self.weights, self.centers, noise):
                w, c, n = (torch.tensor(a.astype(w.dtype)) for a in (w, c, n))
                loss = loss + (w * (p - c) ** 2 + 0.1 * (p - c) ** 4 + n * p).sum()
            loss.backward()
            return loss

        def our_closure() -> Any:
            self.our_optimizer.zero_grad()
            loss: Any = Tensor(0.0, dtype=self.ours[0].dtype)
            for p, w, c, n in zip(self.ours, self.weights, self.centers, noise):
                w, c, n = (Tensor(a.astype(w.dtype)) for a in (w, c, n))
                loss = loss + (w * (p - c) ** 2 + 0.1 * (p - c) ** 4 + n * p).sum()
            loss.backward()
            return loss

        a, b = self.their_optimizer.step(their_closure), self.our_optimizer.step(our_closure)
        assert b.item() == pytest.approx(a.item(), rel=1e-5)

    def agree(self, tolerance: float) -> None:
        for p, q in zip(self.ours, self.theirs):
            np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize(("name", "options"), cases())
def test_ten_steps_agree_with_those_of_pytorch(name: str, options: dict[str, Any]) -> None:
    both = Both(name, options)
    # Given lr as a Tensor of float32, PyTorch computes 1 - lr * weight_decay in float32.
    coarse = name == "Muon" and isinstance(options.get("lr"), torch.Tensor)
    for i in range(STEPS):
        both.step(i)
        both.agree(1e-6 if coarse else 1e-7)


@pytest.mark.parametrize(("name", "options"), cases())
def test_ten_steps_in_float32_agree_as_far_as_float32_goes(name: str, options: dict[str, Any]) -> None:
    both = Both(name, options, "float32")
    # A step of LBFGS is twenty of others, each of which makes more of a difference in the last bit.
    for i in range(1 if name == "LBFGS" else STEPS):
        both.step(i)
    assert {p.dtype for p in both.ours} == {np.dtype("float32")}
    both.agree(2e-3 if name in ("LBFGS", "Muon") else 1e-4)


@pytest.mark.parametrize("name", sorted({case.values[0] for case in cases()} - {"LBFGS"}))
def test_groups_with_a_rate_of_their_own_agree(name: str) -> None:
    both = Both(name, {}, groups=True)
    for i in range(STEPS):
        both.step(i)
    both.agree(1e-7)


def as_arrays(value: Any) -> Any:
    """A state dict of PyTorch with arrays in the place of tensors."""
    if isinstance(value, torch.Tensor):
        return value.detach().numpy().copy()
    if isinstance(value, dict):
        return {k: as_arrays(v) for k, v in value.items()}
    return [as_arrays(v) for v in value] if isinstance(value, list) else value


def as_tensors(value: Any) -> Any:
    """Our state dict with PyTorch's tensors in the place of arrays."""
    if isinstance(value, np.ndarray):
        return torch.tensor(value)
    if isinstance(value, dict):
        return {k: as_tensors(v) for k, v in value.items()}
    return [as_tensors(v) for v in value] if isinstance(value, list) else value


@pytest.mark.parametrize(("name", "options"), cases())
def test_a_state_of_pytorch_is_taken_over_in_the_middle(name: str, options: dict[str, Any]) -> None:
    both = Both(name, options)
    for i in range(3):
        both.step(i)
    fresh = Both(name, options)
    for p, q in zip(fresh.ours, both.theirs):
        p.data = q.detach().numpy().copy()
    fresh.theirs, fresh.their_optimizer = both.theirs, both.their_optimizer
    fresh.our_optimizer.load_state_dict(as_arrays(both.their_optimizer.state_dict()))
    for i in range(3, STEPS):
        fresh.step(i)
    fresh.agree(1e-7)


@pytest.mark.parametrize(("name", "options"), cases())
def test_a_state_of_ours_is_taken_over_by_pytorch_in_the_middle(name: str, options: dict[str, Any]) -> None:
    both = Both(name, options)
    for i in range(3):
        both.step(i)
    fresh = Both(name, options)
    with torch.no_grad():
        for q, p in zip(fresh.theirs, both.ours):
            q.copy_(torch.tensor(p.data))
    fresh.ours, fresh.our_optimizer = both.ours, both.our_optimizer
    fresh.their_optimizer.load_state_dict(as_tensors(both.our_optimizer.state_dict()))
    for i in range(3, STEPS):
        fresh.step(i)
    fresh.agree(1e-7)


@pytest.mark.parametrize("name", sorted({case.values[0] for case in cases()}))
def test_options_and_their_order_are_those_of_pytorch(name: str) -> None:
    import inspect

    their_parameters = inspect.signature(getattr(torch.optim, name)).parameters
    our_parameters = inspect.signature(getattr(optim, name)).parameters
    assert [(p.name, p.kind) for p in our_parameters.values()] == [
        (p.name, p.kind) for p in their_parameters.values()
    ]
    for option, parameter in their_parameters.items():
        assert our_parameters[option].default == parameter.default, option
    (group,) = getattr(torch.optim, name)([torch.nn.Parameter(torch.ones(2, 2))]).param_groups
    (own,) = getattr(optim, name)([Tensor(np.ones((2, 2)), requires_grad=True)]).param_groups
    assert set(own) == set(group)
