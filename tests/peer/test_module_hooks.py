"""Backward hooks of modules beside PyTorch's: random trees of modules, the sequence of calls and every value."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, autograd, nn

torch = pytest.importorskip("torch")

SHAPE = (2,)


class Here:
    nn, grad = nn, staticmethod(autograd.grad)

    @staticmethod
    def tensor(values: Any, requires_grad: bool) -> Any:
        return Tensor(values, requires_grad=requires_grad)

    is_tensor = staticmethod(lambda x: isinstance(x, Tensor))
    values = staticmethod(lambda x: x.detach().data.tolist())


class There:
    nn, grad = torch.nn, staticmethod(torch.autograd.grad)

    @staticmethod
    def tensor(values: Any, requires_grad: bool) -> Any:
        return torch.tensor(values, requires_grad=requires_grad)

    is_tensor = staticmethod(lambda x: isinstance(x, torch.Tensor))
    values = staticmethod(lambda x: x.detach().tolist())


def plan(rng: np.random.Generator, depth: int, inputs: int) -> dict[str, Any]:
    """A random module: what it computes, its children, what it returns, and what its hooks do."""
    steps, size = [], inputs + 1  # the last value so far is the module's own parameter
    for _ in range(int(rng.integers(1, 5))):
        kind = str(rng.choice(["add", "multiply", "square", "detach", "child" if depth else "add"]))
        picked = [int(i) for i in rng.integers(0, size, 2)]
        child = plan(rng, depth - 1, int(rng.integers(1, 4))) if kind == "child" else None
        if child is not None:
            picked = [int(i) for i in rng.integers(0, size, child["inputs"])]
            size += child["results"]
        else:
            size += 1
        steps.append((kind, picked, child))
    results = int(rng.integers(1, 4))
    form = str(rng.choice(["tensor" if results == 1 else "tuple", "tuple", "tuple", "dict", "list"]))
    kinds = ["watch", "watch", "scale", "some None", "none", "all None", "fill"]
    return {
        "inputs": inputs, "steps": steps, "form": form, "results": results, "extra": bool(rng.random() < 0.2),
        "picked": [int(i) for i in rng.integers(size if rng.random() < 0.2 else inputs, size + 1, results) - 1],
        "hooks": [(str(k), str(rng.choice(kinds))) for k in rng.choice(["pre", "full"], int(rng.integers(0, 4)))],
    }  # fmt: skip


def build(world: Any, plan: dict[str, Any], log: list[Any], name: str = "m") -> Any:
    class Block(world.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.own = world.nn.Parameter(world.tensor([2.0, 3.0], False))
            for i, (_, _, child) in enumerate(plan["steps"]):
                if child is not None:
                    setattr(self, f"child{i}", build(world, child, log, f"{name}.{i}"))

        def forward(self, *args: Any) -> Any:
            values = [*args, self.own]
            for i, (kind, picked, child) in enumerate(plan["steps"]):
                if child is not None:
                    out = getattr(self, f"child{i}")(*(values[j] for j in picked))
                    parts = out.values() if isinstance(out, dict) else [out] if world.is_tensor(out) else out
                    values += [x for x in parts if world.is_tensor(x)]
                    continue
                a, b = (values[j] for j in picked)
                values.append(
                    a.detach()
                    if kind == "detach"
                    else a + 2 * b
                    if kind == "add"
                    else a * (b if kind == "multiply" else a)
                )
            results = [values[j] for j in plan["picked"]]
            if plan["form"] == "tensor":
                return results[0]
            if plan["form"] == "dict":
                return dict(enumerate(results))
            results += [7] if plan["extra"] else []
            return tuple(results) if plan["form"] == "tuple" else results

    def shown(gradients: Any) -> Any:
        return [world.values(g) if world.is_tensor(g) else g for g in gradients]

    def replaced(kind: str, gradients: Any) -> Any:
        if kind == "scale":
            return tuple(None if g is None else g * 2 for g in gradients)
        if kind == "some None":
            return tuple(None if i % 2 else g for i, g in enumerate(gradients))
        if kind == "all None":
            return (None,) * len(gradients)
        if kind == "fill":
            full = next((g for g in gradients if g is not None), None)
            return tuple(full if g is None else g for g in gradients)
        return None

    module = Block()
    for number, (moment, kind) in enumerate(plan["hooks"]):

        def pre(m: Any, grad_output: Any, number: int = number, kind: str = kind) -> Any:
            log.append((name, number, "pre", shown(grad_output)))
            return replaced(kind, grad_output)

        def full(m: Any, grad_input: Any, grad_output: Any, number: int = number, kind: str = kind) -> Any:
            log.append((name, number, shown(grad_input), shown(grad_output)))
            # To replace the gradient of what has none is an error in both; here only what has one is replaced.
            return None if all(g is None for g in grad_input) else replaced(kind, grad_input)

        if moment == "pre":
            module.register_full_backward_pre_hook(pre)
        else:
            module.register_full_backward_hook(full)
    return module


def run(world: Any, seed: int) -> tuple[list[Any], list[Any]]:
    rng, log = np.random.default_rng(seed), []
    spec = plan(rng, 2, int(rng.integers(1, 4)))
    model = build(world, spec, log)
    xs = [
        world.tensor(rng.uniform(0.5, 1.5, SHAPE).astype(np.float32), bool(rng.random() < 0.7))
        for _ in range(spec["inputs"])
    ]
    out = model(*xs)
    parts = out.values() if isinstance(out, dict) else [out] if world.is_tensor(out) else out
    parts = [x for x in parts if world.is_tensor(x) and x.requires_grad]
    leaves = [x for x in [*xs, *model.parameters()] if x.requires_grad]
    found: list[Any] = []
    for _ in range(int(rng.integers(1, 4))):
        chosen = [part for part in parts if rng.random() < 0.7]
        order, through = rng.random() < 0.3, rng.random() < 0.3
        some = [x for x in leaves if rng.random() < 0.5]
        if not chosen:
            continue
        loss = sum((part * part).sum() for part in chosen)
        log.append("pass")
        if through and some:
            got = list(world.grad(loss, some, retain_graph=True, create_graph=order, allow_unused=True))
        else:
            loss.backward(retain_graph=True)
            got = [x.grad for x in leaves]
        found += [None if g is None else world.values(g) for g in got]
        second = [g for g in got if g is not None and g.requires_grad]
        if second:
            log.append("second order")
            sum((g * g).sum() for g in second).backward(retain_graph=True)
            found += [None if x.grad is None else world.values(x.grad) for x in leaves]
    return log, found


def close(a: Any, b: Any) -> bool:
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(close, a, b))
    return a == b or (
        isinstance(a, float) and isinstance(b, float) and np.isclose(a, b, rtol=1e-4, atol=1e-5)
    )


@pytest.mark.parametrize("block", range(8))
def test_backward_hooks_of_random_trees_of_modules_are_called_as_in_pytorch(block: int) -> None:
    called = 0
    for seed in range(50 * block, 50 * block + 50):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of hooks that will not be called: both warn
            here, there = run(Here, seed), run(There, seed)
        assert [entry[:2] for entry in here[0]] == [entry[:2] for entry in there[0]], seed
        assert close(here[0], there[0]), seed
        assert close(here[1], there[1]), seed
        called += sum(entry not in ("pass", "second order") for entry in here[0])
    assert called > 25
