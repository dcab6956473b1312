"""A forward and a backward written by hand with another framework's arrays, as functions of NumPy arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_dl.testing.frameworks import framework_of, module_of

# HIPS autograd's functions take NumPy's arrays, and MyGrad's tensors are differentiated by MyGrad.
CONVERTED = ("torch", "jax")


class Context:
    """What PyTorch hands to the forward and the backward of an autograd.Function."""

    def __init__(self, count: int) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad = (True,) * count

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None: ...

    def mark_dirty(self, *tensors: Any) -> None: ...

    def mark_non_differentiable(self, *tensors: Any) -> None: ...

    def set_materialize_grads(self, value: bool) -> None: ...


def converted(forward: Any, backward: Any, inputs: Any, missing: object) -> tuple[Any, Any, Any]:
    """The three arguments of check_backward as functions of NumPy arrays, where they are of PyTorch or JAX.

    An autograd.Function class, and a custom_vjp, have their own forward and backward.
    """
    values = backward if inputs is missing else inputs
    name = framework_of(forward, () if values is missing else values)
    if name not in CONVERTED:
        return forward, backward, inputs
    module = module_of(str(name))
    if isinstance(forward, type) and hasattr(forward, "backward") and hasattr(forward, "apply"):
        forward, backward, inputs = *_of_function(forward), values
    elif hasattr(forward, "bwd") and hasattr(forward, "fwd"):
        forward, backward, inputs = *_of_custom_vjp(forward), values
    if not callable(forward) or not callable(backward) or inputs is missing:
        return forward, backward, inputs
    return _wrapped(module, forward, True), _wrapped(module, backward, False), _to_numpy(inputs)


def _of_function(kind: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and the backward of an autograd.Function class; the context is the cache."""
    setup = kind.setup_context if "setup_context" in vars(kind) else None

    def forward(*inputs: Any) -> tuple[Any, Context]:
        context = Context(len(inputs))
        if setup is None:
            return kind.forward(context, *inputs), context
        output = kind.forward(*inputs)
        setup(context, inputs, output)
        return output, context

    def backward(g: Any, context: Context) -> Any:
        return kind.backward(context, g)

    names = list(inspect.signature(kind.forward).parameters.values())
    forward.__signature__ = inspect.Signature(names if setup is not None else names[1:])  # type: ignore[attr-defined]
    backward.__signature__ = inspect.signature(backward)  # type: ignore[attr-defined]
    forward.__wrapped__, backward.__wrapped__ = kind.forward, kind.backward  # type: ignore[attr-defined]
    return forward, backward


def _of_custom_vjp(f: Any) -> tuple[Callable[..., Any], Callable[..., Any]]:
    """The forward and the backward of a custom_vjp; what it saves is the cache."""

    def backward(g: Any, saved: Any) -> Any:
        return f.bwd(saved, g)

    backward.__signature__ = inspect.signature(backward)  # type: ignore[attr-defined]
    backward.__wrapped__ = f.bwd  # type: ignore[attr-defined]
    return f.fwd, backward


def _wrapped(module: Any, function: Callable[..., Any], is_forward: bool) -> Callable[..., Any]:
    """A function of NumPy arrays; what it saves for backward stays as it is."""
    torch = getattr(module, "torch", None)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        given = [_to_framework(module, a) for a in arguments]
        with torch.no_grad() if torch is not None else nullcontext():
            result = function(*given)
        for a, t in zip(arguments, given):
            _bring_back(a, t)
        if is_forward and isinstance(result, tuple) and len(result) == 2:
            return _to_numpy(result[0]), result[1]
        return _to_numpy(result)

    if hasattr(function, "__signature__"):
        call.__signature__ = function.__signature__  # type: ignore[attr-defined]
    return call


def _to_framework(module: Any, x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return module.asarray(x)
    if isinstance(x, Mapping):
        return {k: _to_framework(module, v) for k, v in x.items()}
    return x


def _bring_back(x: Any, moved: Any) -> None:
    """What a function wrote into its argument, so that it is seen."""
    if isinstance(x, np.ndarray) and hasattr(moved, "detach"):
        now = moved.detach().cpu().numpy()
        if x.flags.writeable and x.shape == now.shape and not np.array_equal(now, x, equal_nan=True):
            x[...] = now
    elif isinstance(x, dict) and isinstance(moved, dict):
        for k in x:
            _bring_back(x[k], moved[k])


def _to_numpy(x: Any) -> Any:
    if hasattr(x, "detach") and hasattr(x, "cpu"):
        return x.detach().cpu().numpy()
    if isinstance(x, Mapping):
        return {k: _to_numpy(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return type(x)(_to_numpy(v) for v in x) if type(x) in (list, tuple) else tuple(map(_to_numpy, x))
    return np.array(x) if type(x).__module__.partition(".")[0] in ("jax", "jaxlib") else x
