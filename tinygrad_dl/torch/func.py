"""torch.func: transformations of functions, the core's, on this layer's Tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_dl import func as core
from tinygrad_dl.torch.boundary import lift, lower, without_example


def _inner(f: Callable[..., Any]) -> Callable[..., Any]:
    """A function of this layer's Tensors as one of the core's."""

    def call(*args: Any, **kwargs: Any) -> Any:
        return lower(f(*[lift(x) for x in args], **{key: lift(x) for key, x in kwargs.items()}))

    call.__name__ = getattr(f, "__name__", "function")
    return call


def _outer(f: Callable[..., Any]) -> Callable[..., Any]:
    def call(*args: Any, **kwargs: Any) -> Any:
        return lift(f(*[lower(x) for x in args], **{key: lower(x) for key, x in kwargs.items()}))

    return call


def grad(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """The function that gives the gradient of a function of one value."""
    return _outer(core.grad(_inner(func), argnums, has_aux))


def grad_and_value(func: Any, argnums: Any = 0, has_aux: bool = False) -> Any:
    """The function that gives gradient and value."""
    both = _outer(core.value_and_grad(_inner(func), argnums, has_aux))

    def call(*args: Any, **kwargs: Any) -> Any:
        value, found = both(*args, **kwargs)
        return found, value

    return call


def vmap(
    func: Any, in_dims: Any = 0, out_dims: Any = 0, randomness: Any = "error", *, chunk_size: Any = None
) -> Any:
    """The function on batches: `func` sees one example at a time."""
    return _outer(core.vmap(_inner(func), in_dims, out_dims, randomness=randomness, chunk_size=chunk_size))


def vjp(func: Any, *primals: Any, has_aux: bool = False) -> Any:
    """(value, the function from a gradient of the result to those of the arguments)."""
    value, pull, *aux = core.vjp(_inner(func), *[lower(x) for x in primals], has_aux=has_aux)

    def back(*cotangents: Any, **how: Any) -> Any:
        # One gradient for each result, as PyTorch takes them, or the structure of the results
        one = len(cotangents) == 1 or not isinstance(value, (tuple, list))
        return lift(pull(lower(cotangents[0]) if one else type(value)(lower(x) for x in cotangents)))

    return (lift(value), back, *map(lift, aux))


def jvp(func: Any, primals: Any, tangents: Any, *, strict: bool = False, has_aux: bool = False) -> Any:
    """(value, its derivative along the tangents)."""
    return lift(core.jvp(_inner(func), tuple(map(lower, primals)), tuple(map(lower, tangents)), has_aux))


def linearize(func: Any, *primals: Any) -> Any:
    """(value, the function from tangents to the derivative along them), computed at the primals once."""
    value, along = core.linearize(_inner(func), *[lower(x) for x in primals])
    return lift(value), _outer(along)


def functionalize(func: Any, *, remove: str = "mutations") -> Any:
    """The function as it is: what it writes in place it writes to copies here, wherever a transformation runs it."""
    return func


def replace_all_batch_norm_modules_(root: Any) -> Any:
    """Take the running averages away from all batch normalizations of a module, which then use each batch's own."""
    from tinygrad_dl.torch import nn

    for module in root.modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):  # type: ignore[attr-defined]
            module.running_mean = module.running_var = module.num_batches_tracked = None
            module.track_running_stats = False
    return root


def _jacobian(name: str) -> Any:
    def transform(func: Any, argnums: Any = 0, has_aux: bool = False, **how: Any) -> Any:
        how.pop("randomness", None)  # tangents do not change what is drawn
        return _outer(getattr(core, name)(_inner(func), argnums, has_aux, **how))

    transform.__name__, transform.__doc__ = name, without_example(getattr(core, name).__doc__)
    return transform


jacrev, jacfwd, hessian = _jacobian("jacrev"), _jacobian("jacfwd"), _jacobian("hessian")


def functional_call(
    module: Any, parameter_and_buffer_dicts: Any, args: Any = None, kwargs: Any = None, **how: Any
) -> Any:
    """The module called with other parameters and buffers."""
    given = parameter_and_buffer_dicts
    merged: dict[str, Any] = {}
    for part in given if isinstance(given, (tuple, list)) else (given,):
        merged.update(part)
    arguments = args if isinstance(args, tuple) else () if args is None else (args,)
    swapped = []
    try:
        for name, value in merged.items():
            owner = module.get_submodule(name.rpartition(".")[0])
            key = name.rpartition(".")[2]
            swapped.append((vars(owner), key, vars(owner)[key]))
            vars(owner)[key] = value
        return module(*arguments, **(kwargs or {}))
    finally:
        for holder, key, before in reversed(swapped):
            holder[key] = before


def stack_module_state(models: Any) -> Any:
    """The parameters, and the buffers, of several models stacked by name."""
    from tinygrad_dl.torch.shaping import stack

    parameters = [dict(m.named_parameters()) for m in models]
    buffers = [dict(m.named_buffers()) for m in models]
    stacked = {k: stack([p[k].detach() for p in parameters]).requires_grad_() for k in parameters[0]}
    return stacked, {k: stack([b[k] for b in buffers]) for k in buffers[0]}
