"""torch.autograd.functional: Jacobians, Hessians and products with them."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.torch.boundary import made


def _tuple(x: Any) -> tuple[Any, ...]:
    return tuple(x) if isinstance(x, (tuple, list)) else (x,)


def _leaves(inputs: Any) -> list[Any]:
    return [x.detach().clone().requires_grad_() if not x.requires_grad else x for x in _tuple(inputs)]


def _grad(outputs: Any, inputs: Any, seed: Any, create_graph: bool) -> list[Any]:
    from tinygrad_dl.torch.autograd import grad

    return list(
        grad(outputs, inputs, seed, retain_graph=True, create_graph=create_graph, materialize_grads=True)
        if any(o.requires_grad for o in _tuple(outputs))
        else [x * 0 for x in inputs]
    )


def jacobian(
    func: Any,
    inputs: Any,
    create_graph: bool = False,
    strict: bool = False,
    vectorize: bool = False,
    strategy: str = "reverse-mode",
) -> Any:
    """The derivatives of each element of the outputs in each element of the inputs."""
    from tinygrad_dl.torch.shaping import stack

    args = _leaves(inputs)
    outs = func(*args)
    found = []
    for out in _tuple(outs):
        rows = []
        for j in range(out.numel()):
            seed = np.zeros(out._data.shape, out._data.dtype)
            seed.reshape(-1)[j] = 1
            rows.append(_grad(out, args, made(seed), create_graph))
        parts = [
            stack([row[i] for row in rows]).reshape(*out.shape, *x.shape)
            if rows
            else made(np.zeros((*out.shape, *x.shape), out._data.dtype))
            for i, x in enumerate(args)
        ]
        parts = parts if create_graph else [p.detach() for p in parts]
        found.append(tuple(parts) if isinstance(inputs, (tuple, list)) else parts[0])
    return tuple(found) if isinstance(outs, (tuple, list)) else found[0]


def hessian(func: Any, inputs: Any, create_graph: bool = False, **how: Any) -> Any:
    """The second derivatives of a function of one value."""
    several = isinstance(inputs, (tuple, list))

    def gradient(*args: Any) -> Any:
        found = tuple(_grad(func(*args), list(args), None, True))
        return found if several else found[0]

    return jacobian(gradient, inputs, create_graph)


def vjp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, v times the Jacobian)."""
    args = _leaves(inputs)
    outs = func(*args)
    found = _grad(outs, args, None if v is None else list(_tuple(v)), create_graph)
    value = (
        outs
        if create_graph
        else (tuple(o.detach() for o in outs) if isinstance(outs, tuple) else outs.detach())
    )
    found = found if create_graph else [g.detach() for g in found]
    return value, tuple(found) if isinstance(inputs, (tuple, list)) else found[0]


def jvp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, the Jacobian times v)."""
    args = _leaves(inputs)
    outs = func(*args)
    seeds = [made(np.zeros(o._data.shape, o._data.dtype)).requires_grad_() for o in _tuple(outs)]
    first = _grad(outs, args, seeds, True)
    vectors = [made(np.ones(x._data.shape, x._data.dtype)) for x in args] if v is None else list(_tuple(v))
    found = _grad(first, seeds, vectors, create_graph)
    found = found if create_graph else [g.detach() for g in found]
    value = (
        outs
        if create_graph
        else (tuple(o.detach() for o in outs) if isinstance(outs, tuple) else outs.detach())
    )
    return value, tuple(found) if isinstance(outs, (tuple, list)) else found[0]


def vhp(func: Any, inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False) -> Any:
    """(outputs, v times the Hessian)."""
    args = _leaves(inputs)
    out = func(*args)
    first = _grad(out, args, None, True)
    vectors = [made(np.ones(x._data.shape, x._data.dtype)) for x in args] if v is None else list(_tuple(v))
    found = _grad(first, args, vectors, create_graph)
    found = found if create_graph else [g.detach() for g in found]
    return out if create_graph else out.detach(), tuple(found) if isinstance(
        inputs, (tuple, list)
    ) else found[0]


hvp = vhp
