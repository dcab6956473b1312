"""What a user does to an optimizer's state and groups counts: the same random actions here and in PyTorch."""

from __future__ import annotations

import copy
import inspect
import pickle
import random
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, optim
from tinygrad_dl.optim.fused import FUSED_SIZE

torch = pytest.importorskip(
    "torch", reason="PyTorch, which these optimizers are compared with, is not installed"
)

OPTIONS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "dampening": 0.5, "weight_decay": 0.01},
    "Adam": {"lr": 0.05, "amsgrad": True},
    "AdamW": {"lr": 0.05},
    "Adagrad": {"lr": 0.1, "lr_decay": 0.01},
    "RMSprop": {
        "lr": 0.01,
        "momentum": 0.9,
    },  # centered, an edited variance is nan there and cut off at 0 here
    "Adadelta": {"lr": 1.0},
    "Adamax": {"lr": 0.05},
    "NAdam": {"lr": 0.05},
    "RAdam": {"lr": 0.05},
    "ASGD": {"lr": 0.1, "t0": 2, "lambd": 0.01},
    "Rprop": {"lr": 0.01},
    "Adafactor": {"lr": 0.05},
    "Muon": {"lr": 0.05},
}
MATRICES = [(3, 4), (2, 5), (3, 4), (6, 4)]
SHAPES = [(3, 4), (4,), (), (1,), (3, 4), (FUSED_SIZE + 5,), (2, 2, 2), (5,)]


class Both:
    """The same parameters, gradients and optimizer in both libraries, and what can be done to them."""

    def __init__(self, name: str, seed: int) -> None:
        self.name, self.random, self.rng = name, random.Random(seed), np.random.default_rng(seed)
        arrays = [self.rng.normal(size=shape) for shape in (MATRICES if name == "Muon" else SHAPES)]
        self.theirs = [torch.nn.Parameter(torch.tensor(a)) for a in arrays]
        self.ours = [Tensor(a, requires_grad=True) for a in arrays]
        self.used = len(arrays) - 1  # the last one comes in a group of its own, later
        self.b = getattr(torch.optim, name)(self.theirs[: self.used], **OPTIONS[name])
        self.a = getattr(optim, name)(self.ours[: self.used], **OPTIONS[name])
        self.done: list[str] = []

    def step(self) -> None:
        chosen = [i for i in range(self.used) if self.random.random() < 0.85] or [0]
        for i, (p, q) in enumerate(zip(self.ours, self.theirs)):
            p.grad, q.grad = None, None
            if i in chosen:
                g = self.rng.normal(size=p.shape)
                p.grad, q.grad = Tensor(g), torch.tensor(g)
        self.a.step()
        self.b.step()

    def both(self) -> list[int]:
        """The parameters that have a state here and there."""
        return [
            i for i in range(self.used) if self.a.state.get(self.ours[i]) and self.b.state.get(self.theirs[i])
        ]

    def arrays_of(self, i: int) -> list[str]:
        ours, theirs = self.a.state[self.ours[i]], self.b.state[self.theirs[i]]
        return [
            k
            for k, v in ours.items()
            if k != "step" and isinstance(v, np.ndarray) and torch.is_tensor(theirs.get(k))
        ]

    # Actions

    def clear(self) -> None:
        self.a.state.clear()
        self.b.state.clear()

    def replace(self) -> None:
        from collections import defaultdict

        self.a.state = {} if self.random.random() < 0.5 else defaultdict(dict)
        self.b.state = defaultdict(dict)

    def delete(self) -> None:
        for i in self.both()[:1]:
            del self.a.state[self.ours[i]], self.b.state[self.theirs[i]]

    def empty(self) -> None:
        for i in self.both()[-1:]:
            self.a.state[self.ours[i]] = {}
            self.b.state[self.theirs[i]] = {}

    def zero_in_place(self) -> None:
        for i in self.both():
            for key in self.arrays_of(i)[:1]:
                self.a.state[self.ours[i]][key][...] = 0.0
                self.b.state[self.theirs[i]][key].zero_()

    def replace_arrays(self) -> None:
        for i in self.both():
            if self.random.random() < 0.5:
                continue
            for key in self.arrays_of(i):
                shape = self.a.state[self.ours[i]][key].shape
                new = abs(self.rng.normal(size=shape)) + 0.1
                kinds = [new, new.tolist(), Tensor(new), np.array(new, order="F")]
                self.a.state[self.ours[i]][key] = self.random.choice(kinds)
                self.b.state[self.theirs[i]][key] = torch.tensor(new)

    def set_step(self) -> None:
        for i in self.both():
            if self.random.random() < 0.5 and "step" in self.b.state[self.theirs[i]]:
                value = self.random.choice([0, 3])
                kinds = [value, float(value), np.array(value), Tensor(float(value)), np.float32(value)]
                self.a.state[self.ours[i]]["step"] = self.random.choice(kinds)
                self.b.state[self.theirs[i]]["step"] = torch.tensor(float(value))

    def swap(self) -> None:
        found = [i for i in self.both() if self.ours[i].shape == (3, 4)]
        if len(found) == 2:
            for state, params in ((self.a.state, self.ours), (self.b.state, self.theirs)):
                p, q = (params[i] for i in found)
                state[p], state[q] = state[q], state[p]

    def reload(self) -> None:
        self.a.load_state_dict(self.a.state_dict())
        self.b.load_state_dict(self.b.state_dict())

    def copy(self) -> None:
        self.ours, self.a = copy.deepcopy((self.ours, self.a))

    def pickle(self) -> None:
        self.ours, self.a = pickle.loads(pickle.dumps((self.ours, self.a)))

    def add_group(self) -> None:
        if self.used < len(self.ours):
            self.a.add_param_group({"params": self.ours[self.used :], "lr": 0.02})
            self.b.add_param_group({"params": self.theirs[self.used :], "lr": 0.02})
            self.used = len(self.ours)

    def set_options(self) -> None:
        for group, other in zip(self.a.param_groups, self.b.param_groups):
            group["lr"] = other["lr"] = self.random.choice([0.01, 0.03])
            if "weight_decay" in group:
                group["weight_decay"] = other["weight_decay"] = self.random.choice([0, 0.1])
            if self.name == "SGD":
                group["momentum"] = other["momentum"] = self.random.choice([0, 0.5, 0.9])

    def freeze(self) -> None:
        i = self.random.randrange(len(self.ours))
        frozen = self.random.random() < 0.5
        self.ours[i].requires_grad_(not frozen)
        self.theirs[i].requires_grad_(not frozen)
        if not self.ours[i].requires_grad:
            self.ours[i].requires_grad_()
            self.theirs[i].requires_grad_()

    def set_data(self) -> None:
        i = self.random.randrange(len(self.ours))
        new = self.rng.normal(size=self.ours[i].shape)
        self.ours[i].data = new.copy()
        self.theirs[i].data = torch.tensor(new)

    def agree(self) -> None:
        tolerance = 1e-5 if self.name in COARSE else 1e-9
        for p, q in zip(self.ours, self.theirs):
            np.testing.assert_allclose(
                p.data, q.detach().numpy(), rtol=tolerance, atol=tolerance, err_msg=", ".join(self.done)
            )
        saved, expected = self.a.state_dict()["state"], self.b.state_dict()["state"]
        for i, values in expected.items():
            if i not in saved:  # PyTorch's Adagrad makes its state in the constructor
                continue
            for key, value in values.items():
                if value is not None and key != "step":
                    np.testing.assert_allclose(
                        np.asarray(saved[i][key]), np.asarray(value), rtol=1e-4, atol=tolerance, err_msg=key
                    )


ACTIONS = [
    name
    for name, value in vars(Both).items()
    if inspect.isfunction(value) and name not in ("__init__", "step", "both", "arrays_of", "agree")
]
# PyTorch keeps these numbers in float32.
COARSE = ("ASGD", "NAdam")
# PyTorch's Adagrad makes its state in the constructor and fails without.
RESETS = ("clear", "replace", "delete", "empty")


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("name", OPTIONS)
def test_actions_on_state_and_groups_count_as_in_pytorch(name: str, seed: int) -> None:
    both = Both(name, seed)
    for _ in range(20):
        both.step()
        both.agree()
        action = both.random.choice(ACTIONS)
        if name == "Adagrad" and action in RESETS:
            continue
        both.done.append(action)
        getattr(both, action)()


def test_momentum_set_later_begins_with_the_gradient_undamped() -> None:
    both = Both("SGD", 0)
    for optimizer in (both.a, both.b):
        optimizer.param_groups[0].update(momentum=0, dampening=0.5)
    both.step()
    for optimizer in (both.a, both.b):
        optimizer.param_groups[0]["momentum"] = 0.9
    for _ in range(3):
        both.step()
        both.agree()


@pytest.mark.parametrize("action", ["clear", "replace", "delete", "empty"])
def test_lbfgs_begins_again_when_its_state_is_reset(action: str) -> None:
    start = np.array([3.0, -2.0])
    p, q = Tensor(start, requires_grad=True), torch.nn.Parameter(torch.tensor(start))
    a, b = optim.LBFGS([p], lr=0.3, max_iter=2), torch.optim.LBFGS([q], lr=0.3, max_iter=2)
    weights = np.array([1.0, 9.0])

    def closure(optimizer: Any, x: Any, w: Any) -> Any:
        optimizer.zero_grad()
        loss = (x * x * w).sum()
        loss.backward()
        return loss

    for i in range(4):
        a.step(lambda: closure(a, p, Tensor(weights)))
        b.step(lambda: closure(b, q, torch.tensor(weights)))
        np.testing.assert_allclose(p.data, q.detach().numpy(), rtol=1e-9)
        if i == 1:
            for optimizer, x in ((a, p), (b, q)):
                if action == "clear":
                    optimizer.state.clear()
                elif action == "replace":
                    optimizer.state = {x: {}}
                elif action == "delete":
                    del optimizer.state[x]
                else:
                    optimizer.state[x] = {}
            if action == "delete":
                b.state = torch.optim.LBFGS([q]).state
