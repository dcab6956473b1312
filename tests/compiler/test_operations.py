"""Compiled operations give what eager ones give: values and gradients, over every case of the registry."""

from __future__ import annotations

import importlib.util
import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import OPS, Tensor
from tinygrad_dl.op import Case

BACKENDS = [
    "numpy",
    pytest.param(
        "llvm", marks=pytest.mark.skipif(find_spec("llvmlite") is None, reason="llvmlite is not installed")
    ),
]
OWN = {name: op for name, op in OPS.items() if op.forward.__module__.startswith("tinygrad_dl.ops.")}
CASES = [
    pytest.param(name, i, id=f"{name}-{i}")
    for name, op in OWN.items()
    for i, _ in enumerate(op.cases or [Case(*[(2, 3)] * len(op.inputs))])
]


def drawn(op: Any, case: Case, dtype: str) -> list[Any]:
    """Inputs for a case, in the operation's domain."""
    rng = np.random.default_rng(0)
    domains = op.domain if isinstance(op.domain, tuple) else (op.domain,) * len(case.inputs)
    inputs: list[Any] = []
    for i, x in enumerate(case.inputs):
        if i < len(op.inputs) and isinstance(x, tuple) and all(isinstance(n, int) for n in x):
            inputs.append(domains[min(i, len(domains) - 1)].sample(rng, x).astype(dtype))
        else:
            inputs.append(x)
    return inputs


def step_of(op: Any, case: Case, inputs: list[Any], leaves: list[Any]) -> Any:
    """A function that computes an operation's result and, where it has gradients, adds these up in the leaves."""

    def step(*arrays: Any) -> Any:
        for leaf in leaves:
            if leaf is not None:
                leaf.grad = None
        given = [leaf if leaf is not None else x for leaf, x in zip(leaves, inputs)]
        out = op.function(given, **case.options) if op.variadic else op.function(*given, **case.options)
        if isinstance(out, np.ndarray):
            return out
        if out.requires_grad:
            (out * out).sum().backward()
        return out.detach()

    return step


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(("name", "number"), CASES)
def test_a_compiled_operation_is_the_eager_one(name: str, number: int, backend: Any) -> None:
    op = OWN[name]
    case = (op.cases or [Case(*[(2, 3)] * len(op.inputs))])[number]
    if op.variadic:
        inputs = drawn(
            op,
            Case(*(case.inputs[0] if isinstance(case.inputs[0], (list, tuple)) else case.inputs)),
            "float64",
        )
    else:
        inputs = drawn(op, case, "float64")
    leaves = [
        Tensor(
            x,
            requires_grad=op.differentiable
            and (op.variadic or op.rules[min(i, len(op.rules) - 1)] is not None),
        )
        if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        else None
        for i, x in enumerate(inputs)
    ]
    try:
        step = step_of(op, case, inputs, leaves)
        expected = step()
    except tg.errors.TinygradError as error:
        pytest.skip(f"the case has no gradient of this kind: {error}")
    grads = [None if leaf is None or leaf.grad is None else leaf.grad.numpy().copy() for leaf in leaves]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = tg.compile(step, backend=backend)
        for _ in range(4):
            got = compiled()
    wrong = [str(w.message) for w in caught if "computes another" in str(w.message)]
    assert not wrong
    if np.asarray(case.options.get("rng", 0)).dtype != object and "rng" in op.options:
        return  # random numbers move on
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-6, atol=1e-9)
    for leaf, g in zip(leaves, grads):
        if g is not None:
            np.testing.assert_allclose(leaf.grad.numpy(), g, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize(("name", "number"), CASES)
def test_the_source_of_an_operation_computes_the_same(name: str, number: int, tmp_path: Path) -> None:
    op = OWN[name]
    case = (op.cases or [Case(*[(2, 3)] * len(op.inputs))])[number]
    if "rng" in op.options:
        return  # random numbers move on
    whole = isinstance(case.inputs[0], (list, tuple)) and op.variadic
    inputs = drawn(op, Case(*(case.inputs[0] if whole else case.inputs)), "float64")
    leaves = [
        Tensor(
            x,
            requires_grad=op.differentiable
            and (op.variadic or op.rules[min(i, len(op.rules) - 1)] is not None),
        )
        if isinstance(x, np.ndarray) and x.dtype.kind == "f"
        else None
        for i, x in enumerate(inputs)
    ]
    try:
        step = step_of(op, case, inputs, leaves)
        expected = step()
        compiled = tg.compile(step, backend="numpy")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(3):
                compiled()
        compiled.save(tmp_path / "saved.py")
    except tg.errors.TinygradError:
        return  # it has no gradient of this kind, or no formula, which is said
    spec = importlib.util.spec_from_file_location("saved", tmp_path / "saved.py")
    assert spec is not None and spec.loader is not None
    saved = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(saved)
    with np.errstate(all="ignore"):
        got = getattr(saved, "step", None) or saved.predict
        got = got()
    if isinstance(got, tuple) and isinstance(got[-1], dict):
        wanted = [leaf.grad.numpy() for leaf in leaves if leaf is not None and leaf.grad is not None]
        assert len(got[-1]) == len(wanted)
        for g, w in zip(got[-1].values(), wanted):
            np.testing.assert_allclose(g, w, rtol=1e-6, atol=1e-9)
        got = got[0]
    np.testing.assert_allclose(np.asarray(got), np.asarray(expected), rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("name", ["x * 1.0", "x ** 0.5", "x ** 2.0", "1.0 * x", "x + 0.0", "x / 1"])
def test_integers_and_a_float_give_floats(name: str) -> None:
    f = tg.compile(eval(f"lambda x: {name}"), fullgraph=True)
    x = tg.asarray(np.arange(5))
    for _ in range(4):
        got, want = f(x), eval(name)
        assert got.dtype == want.dtype
        np.testing.assert_allclose(got.numpy(), want.numpy(), rtol=1e-6)
