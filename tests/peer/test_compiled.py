"""Compiled = eager over PyTorch's databases: every module, train and eval, and every optimizer configuration."""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Iterator
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.peer import test_modules, test_optimizers
from tinygrad_dl import Tensor, config, nn, optim

torch = test_modules.torch

THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
BACKENDS = ["numpy", *(["llvm"] if find_spec("llvmlite") is not None else [])]
SAMPLES = 60 if THOROUGH else 1  # of each module
STEPS = 10 if THOROUGH else 5


@pytest.fixture(autouse=True)
def restored_dtype() -> Iterator[None]:
    before = config.get_default_dtype()
    yield
    config.set_default_dtype(before)


def agree(a: Any, b: Any, what: str, tolerance: float) -> None:
    assert (a is None) == (b is None), what
    if a is None:
        return
    x, y = (np.asarray(v.detach().numpy() if isinstance(v, Tensor) else v) for v in (a, b))
    assert x.shape == y.shape and x.dtype == y.dtype, what
    scale = max(1.0, float(np.abs(y[np.isfinite(y)]).max(initial=0.0))) if y.dtype.kind in "fc" else 1.0
    np.testing.assert_allclose(x, y, rtol=tolerance, atol=tolerance * scale, err_msg=what)


def agree_on_state(module: Any, twin: Any, tolerance: float) -> None:
    for (name, p), (_, q) in zip(module.state_dict().items(), twin.state_dict().items(), strict=True):
        agree(p, q, name, tolerance)
    for (name, p), (_, q) in zip(module.named_parameters(), twin.named_parameters(), strict=True):
        agree(p.grad, q.grad, f"gradient of {name}", tolerance)


def step_of(module: Any, optimizer: Any) -> Any:
    """A training step: the sum of squares of what the module computes, and an update."""

    def step(*args: Any, **kwargs: Any) -> Any:
        module.zero_grad()
        out = module(*args, **kwargs)
        parts = [t for t in test_modules.tensors(out) if t.requires_grad]
        if parts:
            loss = sum(((t * t).mean() if t.size else t.sum()) for t in parts)
            loss.backward()
            if optimizer is not None and any(p.grad is not None for p in module.parameters()):
                optimizer.step()
        return [t.detach() for t in test_modules.tensors(out)]

    return step


def run_module(name: str, mode: str, backend: str, sample: Any, dtype: str) -> str:
    """The steps of a module and of its compiled twin; "" or why it ran eagerly."""
    made = sample.constructor_input
    tg.manual_seed(1)
    module = getattr(nn, name)(*test_modules.translated(made.args), **test_modules.translated(made.kwargs))
    given = [sample.forward_input.args, sample.forward_input.kwargs]
    (args, kwargs), (own, own_kwargs) = (
        test_modules.translated(test_modules.leaves(given)) for _ in range(2)
    )
    module.train(mode == "train")
    if name.startswith("Lazy"):
        module(*args, **kwargs)
    twin = copy.deepcopy(module)
    steps = []
    for m in (module, twin):
        parameters = [p for p in m.parameters() if p.requires_grad]
        steps.append(step_of(m, optim.SGD(parameters, lr=1e-3, momentum=0.9) if parameters else None))
    compiled = tg.compile(steps[1], backend=backend)
    tolerance = 1e-7 if dtype == "float64" else 2e-3
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        state = config.default_rng().bit_generator.state
        for i in range(STEPS):
            config.default_rng().bit_generator.state = state
            expected = steps[0](*args, **kwargs)
            after, config.default_rng().bit_generator.state = config.default_rng().bit_generator.state, state
            got = compiled(*own, **own_kwargs)
            assert str(config.default_rng().bit_generator.state) == str(after), "other random draws"
            state = after
            for a, b in zip(got, expected, strict=True):
                agree(a, b, f"step {i}", tolerance)
            agree_on_state(twin, module, tolerance)
            for a, b in zip(test_modules.tensors([own, own_kwargs]), test_modules.tensors([args, kwargs])):
                agree(a.grad, b.grad, "gradient of an input", tolerance * (1 + i))
    told = [str(w.message) for w in caught if str(w.message).startswith("compile:")]
    assert not any("computes another" in text for text in told), told
    return told[0] if told else ""


@pytest.mark.parametrize("mode", ["train", "eval"])
@pytest.mark.parametrize("name", list(test_modules.INFOS))
@pytest.mark.filterwarnings("ignore")  # PyTorch's, about its own deprecations and fallbacks
def test_a_compiled_module_trains_as_the_eager_one(name: str, mode: str) -> None:
    info = test_modules.INFOS[name]
    number = list(test_modules.INFOS).index(name) + (mode == "eval")
    for dtype in ("float64", "float32") if THOROUGH else ("float64",):
        torch.manual_seed(0)
        torch.set_default_dtype(getattr(torch, dtype))
        tg.set_default_dtype(dtype)
        try:
            samples = info.module_inputs_func(
                info, device="cpu", dtype=getattr(torch, dtype), requires_grad=True, training=mode == "train"
            )
            for sample in samples[:: max(len(samples) // SAMPLES, 1)][:SAMPLES]:
                # Each with one backend in turn, unless there is time for both.
                for backend in BACKENDS if THOROUGH else [BACKENDS[number % len(BACKENDS)]]:
                    run_module(name, mode, backend, sample, dtype)
        finally:
            torch.set_default_dtype(torch.float32)


def run_optimizer(name: str, options: dict[str, Any], dtype: str, backend: str) -> str:
    """Ten steps on a loss of some parameters, eager and compiled."""
    models = []
    for _ in range(2):
        both = test_optimizers.Both(name, options, dtype)
        constants = [(Tensor(w), Tensor(c)) for w, c in zip(both.weights, both.centers)]

        def step(
            optimizer: Any = both.our_optimizer, ours: Any = both.ours, constants: Any = constants
        ) -> Any:
            optimizer.zero_grad()
            loss = sum(
                (w * (p - c) ** 2 + 0.1 * (p - c) ** 4 + 0.1 * p).sum() for p, (w, c) in zip(ours, constants)
            )
            loss.backward()
            optimizer.step()
            return loss

        models.append((both, step))
    compiled = tg.compile(models[1][1], backend=backend)
    tolerance = (1e-7 if dtype == "float64" else 1e-3) * (10 if name in ("Muon", "LBFGS", "Adafactor") else 1)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(10 if THOROUGH else 6):
            expected, got = models[0][1](), compiled()
            agree(got, expected, f"loss of step {i}", tolerance)
            for p, q in zip(models[1][0].ours, models[0][0].ours):
                agree(p, q, f"parameter after step {i}", tolerance)
            for p, q in zip(models[1][0].ours, models[0][0].ours):
                mine, theirs = (
                    m[0].our_optimizer.state.get(t, {}) for m, t in ((models[1], p), (models[0], q))
                )
                assert list(mine) == list(theirs)
                for key, value in mine.items():
                    agree(value, theirs[key], f"state {key} after step {i}", tolerance * 10)
    told = [str(w.message) for w in caught if str(w.message).startswith("compile:")]
    assert not any("computes another" in text for text in told), told
    return told[0] if told else ""


@pytest.mark.parametrize(
    ("name", "options"), [case for case in test_optimizers.cases() if case.values[0] != "LBFGS"]
)
def test_a_compiled_step_of_an_optimizer_is_the_eager_one(name: str, options: dict[str, Any]) -> None:
    for dtype in ("float64", "float32"):
        number = len(str(options)) + (dtype == "float64")
        for backend in BACKENDS if THOROUGH else [BACKENDS[number % len(BACKENDS)]]:
            run_optimizer(name, options, dtype, backend)
