"""A forward and a backward written by hand with another framework's arrays, as functions of NumPy arrays."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from contextlib import nullcontext
from functools import wraps
from typing import Any

import numpy as np

from tinygrad_dl.errors import ShapeError
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.frameworks import framework_of, module_of
from tinygrad_dl.testing.frameworks.translated import translated

# HIPS autograd's functions take NumPy's arrays, and MyGrad's tensors are differentiated by MyGrad.
CONVERTED = ("torch", "jax")


class Context:
    """What PyTorch hands to the forward and the backward of an autograd.Function."""

    def __init__(self, count: int) -> None:
        self.saved_tensors: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = (True,) * count
        self.constants: tuple[Any, ...] = ()
        self.materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        self.saved_tensors = tensors

    def save_for_forward(self, *tensors: Any) -> None: ...

    def mark_dirty(self, *tensors: Any) -> None: ...

    def mark_non_differentiable(self, *tensors: Any) -> None:
        self.constants = tensors

    def set_materialize_grads(self, value: bool) -> None:
        self.materialize = value


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
        forward, backward, inputs = _of_function(module, forward, values)
    elif hasattr(forward, "bwd") and hasattr(forward, "fwd"):
        forward, backward, inputs = _of_custom_vjp(module, forward, values)
    if not callable(forward) or not callable(backward) or inputs is missing:
        return forward, backward, inputs
    return _wrapped(module, forward, True), _wrapped(module, backward, False), _to_numpy(inputs)


#: A forward, a backward, and the inputs to differentiate.
Read = tuple[Callable[..., Any], Callable[..., Any], list[Any]]


def _of_function(module: Any, kind: Any, inputs: Any) -> Read:
    """The forward and the backward of an autograd.Function class; the context is the cache.

    As in PyTorch, the inputs are tensors; where some require grad, these are differentiated alone.
    """
    torch = module.torch
    setup = kind.setup_context if "setup_context" in vars(kind) else None
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    tensors = [k for k, x in enumerate(given) if isinstance(x, torch.Tensor) and x.is_floating_point()]
    live = [k for k in tensors if given[k].requires_grad] or tensors

    def forward(*chosen: Any) -> tuple[Any, Any]:
        every = list(given)
        for k, x in zip(live, chosen):
            every[k] = x
        context = Context(len(every))
        context.needs_input_grad = tuple(k in live for k in range(len(every)))
        compute = _traceable(kind.forward, chosen)
        output = compute(*every) if setup is not None else compute(context, *every)
        if setup is not None:
            setup(context, tuple(every), output)
        if not isinstance(output, tuple):
            return output, (context, (output,), [True])
        outputs = output
        counted = [o.is_floating_point() and not any(o is c for c in context.constants) for o in outputs]
        kept = [o for o, counts in zip(outputs, counted) if counts]
        joined = torch.cat([o.reshape(-1) for o in kept])
        return joined, (context, outputs, counted)

    def backward(g: Any, cache: Any) -> Any:
        context, outputs, counted = cache
        parts, start, seeds = torch.as_tensor(g), 0, []
        for o, counts in zip(outputs, counted):
            if counts:
                part = parts if len(outputs) == 1 else parts[start : start + o.numel()]
                seeds.append(part.reshape(o.shape).to(o.dtype))
                start += o.numel()
            else:
                seeds.append(torch.zeros_like(o) if context.materialize else None)
        return _chosen(kind.backward(context, *seeds), live, len(given), "backward")

    names = list(inspect.signature(kind.forward).parameters)[setup is None :]
    called = [names[k] if k < len(names) else f"x{k}" for k in live]
    return *_signed(forward, backward, called, kind), [given[k] for k in live]


def _of_custom_vjp(module: Any, f: Any, inputs: Any) -> Read:
    """The forward and the backward of a custom_vjp, of the arrays in its arguments; what it saves is the cache."""
    jax, jnp = module.jax, module.jnp
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    trees = jax.tree_util
    paths, tree = trees.tree_flatten_with_path(given)
    constants = [k % len(given) for k in f.nondiff_argnums]
    # The places, among all leaves, of the arrays to differentiate, and the argument that each is in.
    live = [i for i, (path, x) in enumerate(paths) if path[0].idx not in constants and module._kind(x) == "f"]
    parameters = list(inspect.signature(f.fwd).parameters)

    def forward(*chosen: Any) -> tuple[Any, Any]:
        every = [x for _, x in paths]
        for i, x in zip(live, chosen):
            every[i] = x
        output, saved = _traceable(f.fwd, chosen)(*trees.tree_unflatten(tree, every))
        results = [r for r in trees.tree_leaves(output) if module._kind(r) == "f"]
        joined = results[0] if len(results) == 1 else jnp.concatenate([jnp.ravel(r) for r in results])
        return joined, (output, saved)

    def backward(g: Any, cache: Any) -> Any:
        output, saved = cache
        results, structure = trees.tree_flatten(output)
        parts, start, seeds = jnp.asarray(g), 0, []
        for r in results:
            if module._kind(r) != "f":
                seeds.append(np.zeros(np.shape(r), jax.dtypes.float0))
                continue
            size = int(np.prod(np.shape(r)))
            part = parts if len(results) == 1 else parts[start : start + size]
            seeds.append(jnp.reshape(part, np.shape(r)))
            start += size
        arguments = [given[k] for k in constants]
        found = f.bwd(*arguments, saved, trees.tree_unflatten(structure, seeds))
        positions = [k for k in range(len(given)) if k not in constants]
        found = _chosen(found, range(len(positions)), len(positions), "bwd")
        gradients: list[Any] = []
        for k, d in zip(positions, found):
            part = trees.tree_structure(given[k])
            gradients += [None] * part.num_leaves if d is None else part.flatten_up_to(d)
        places = [i for i, (path, _) in enumerate(paths) if path[0].idx not in constants]
        return tuple(gradients[places.index(i)] for i in live)

    named = []
    for i in live:
        path = paths[i][0]
        base = parameters[path[0].idx] if path[0].idx < len(parameters) else f"x{path[0].idx}"
        last = getattr(path[-1], "key", getattr(path[-1], "name", "")) if len(path) > 1 else base
        named.append(str(last) if str(last).isidentifier() else f"{base}_{getattr(path[-1], 'idx', i)}")
    return *_signed(forward, backward, named, f), [paths[i][1] for i in live]


def _chosen(result: Any, places: Any, count: int, what: str) -> tuple[Any, ...]:
    """The gradients of some inputs among those that a backward returns for all of them."""
    found = result if isinstance(result, tuple) else (result,) if what == "backward" else ()
    if len(found) != count:
        raise ShapeError(
            f"check_backward: {what}: expected a tuple with one gradient for each of {count} inputs, got "
            f"{f'{len(found)} gradients' if isinstance(result, tuple) else type(result).__name__}"
        )
    return tuple(found[k] for k in places)


def _signed(
    forward: Callable[..., Any], backward: Callable[..., Any], names: list[str], of: Any
) -> tuple[Any, Any]:
    """Both functions with the names of the inputs, and with the source of what they stand for."""
    unique = [n if names.count(n) == 1 else f"{n}_{k}" for k, n in enumerate(names)]
    parameter = inspect.Parameter
    signature = inspect.Signature([parameter(n, parameter.POSITIONAL_OR_KEYWORD) for n in unique])
    forward.__signature__ = signature  # type: ignore[attr-defined]
    backward.__signature__ = inspect.signature(backward)  # type: ignore[attr-defined]
    forward.reads = backward.reads = of  # type: ignore[attr-defined]
    sources = (of.fwd, of.bwd) if hasattr(of, "fwd") else (of.forward, of.backward)
    forward.__wrapped__, backward.__wrapped__ = sources  # type: ignore[attr-defined]
    return forward, backward


def _wrapped(module: Any, function: Callable[..., Any], is_forward: bool) -> Callable[..., Any]:
    """A function of NumPy arrays; what it saves for backward stays as it is."""
    torch = getattr(module, "torch", None)

    @wraps(function)
    def call(*arguments: Any) -> Any:
        given = [_to_framework(module, a) for a in arguments]
        with torch.no_grad() if torch is not None else nullcontext():
            result = (function if hasattr(function, "reads") else _traceable(function, given))(*given)
        for a, t in zip(arguments, given):
            _bring_back(a, t)
        if is_forward and isinstance(result, tuple) and len(result) == 2:
            return _to_numpy(result[0]), result[1]
        return _to_numpy(result)

    if hasattr(function, "__signature__"):
        call.__signature__ = function.__signature__  # type: ignore[attr-defined]
    return call


def _traceable(function: Any, arguments: Any) -> Any:
    """A function as one of Tensors, where it is called with these to record its graph."""
    values = [v for a in arguments for v in (a.values() if isinstance(a, Mapping) else [a])]
    return translated(function) if any(isinstance(v, Tensor) for v in values) else function


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
