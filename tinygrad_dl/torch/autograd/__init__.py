"""torch.autograd: gradients, custom operations, gradcheck."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tinygrad_dl import autograd as core
from tinygrad_dl import detect_anomaly as _detect_anomaly
from tinygrad_dl.errors import GraphError
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.autograd import forward_ad as forward_ad
from tinygrad_dl.torch.autograd import functional as functional
from tinygrad_dl.torch.autograd import graph as graph
from tinygrad_dl.torch.boundary import is_ours, lift, lower
from tinygrad_dl.torch.custom import Context as _Context
from tinygrad_dl.torch.custom import Function as Function
from tinygrad_dl.torch.grad_mode import enable_grad as enable_grad
from tinygrad_dl.torch.grad_mode import inference_mode as inference_mode
from tinygrad_dl.torch.grad_mode import no_grad as no_grad
from tinygrad_dl.torch.grad_mode import set_grad_enabled as set_grad_enabled

FunctionCtx = _Context


def grad(
    outputs: Any,
    inputs: Any,
    grad_outputs: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: Any = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> Any:
    """The gradients of the sum of the outputs in the inputs."""
    given = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
    outs = list(outputs) if isinstance(outputs, (list, tuple)) else [outputs]
    seeds = grad_outputs
    if seeds is not None:
        seeds = list(seeds) if isinstance(seeds, (list, tuple)) else [seeds]
    allow = bool(allow_unused) or materialize_grads
    try:
        found = core.grad(lower(outs), lower(given), lower(seeds), retain_graph, create_graph, allow)
    except GraphError as error:
        raise RuntimeError(str(error)) from None
    result = tuple(lift(g) for g in found)
    if materialize_grads:
        from tinygrad_dl.torch.creation import zeros_like

        result = tuple(zeros_like(x) if g is None else g for x, g in zip(given, result))
    return result


def backward(
    tensors: Any,
    grad_tensors: Any = None,
    retain_graph: Any = None,
    create_graph: bool = False,
    inputs: Any = None,
) -> None:
    """Add the gradients of the sum of the Tensors to `.grad` of leaves."""
    outs = list(tensors) if isinstance(tensors, (list, tuple)) else [tensors]
    seeds = (
        [None] * len(outs)
        if grad_tensors is None
        else (list(grad_tensors) if isinstance(grad_tensors, (list, tuple)) else [grad_tensors])
    )
    for i, (x, g) in enumerate(zip(outs, seeds)):
        last = i == len(outs) - 1
        x.backward(g, True if not last else retain_graph, create_graph, inputs)


def Variable(data: Any, requires_grad: bool = False, volatile: bool = False) -> Any:
    """The Tensor itself: Variables and Tensors are one."""
    return data.detach().requires_grad_() if requires_grad and not data.requires_grad else data


def gradcheck(
    func: Any,
    inputs: Any,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
    **kwargs: Any,
) -> bool:
    """Compare the gradients of a function with finite differences."""
    given = inputs if isinstance(inputs, (list, tuple)) else (inputs,)

    def values(arrays: Any) -> list[Any]:
        from tinygrad_dl.torch.creation import tensor

        args = [
            tensor(arrays[i], requires_grad=x.requires_grad) if is_ours(x) else x for i, x in enumerate(given)
        ]
        out = func(*args)
        return [args, list(out) if isinstance(out, (tuple, list)) else [out]]

    arrays = [np.array(x._data) if isinstance(x, Value) else x for x in given]
    args, outs = values(arrays)
    for k, out in enumerate(o for o in outs if is_ours(o) and o.requires_grad):
        size = out._data.size
        wanted = [i for i, x in enumerate(args) if is_ours(x) and x.requires_grad]
        analytic = {i: np.zeros((args[i]._data.size, size)) for i in wanted}
        for j in range(size):
            seed = np.zeros(out._data.shape, out._data.dtype)
            seed.reshape(-1)[j] = 1
            found = grad(
                out, [args[i] for i in wanted], lift(lower(_wrap(seed))), retain_graph=True, allow_unused=True
            )
            for i, g in zip(wanted, found):
                if g is not None:
                    analytic[i][:, j] = g._data.reshape(-1)
        for i in wanted:
            for e in range(args[i]._data.size):
                moved = []
                for sign in (1, -1):
                    changed = [a.copy() if isinstance(a, np.ndarray) else a for a in arrays]
                    changed[i].reshape(-1)[e] += sign * eps
                    _, new = values(changed)
                    moved.append([o for o in new if is_ours(o)][k]._data.reshape(-1))
                numeric = (moved[0] - moved[1]) / (2 * eps)
                if not np.allclose(analytic[i][e], numeric, rtol, atol):
                    if raise_exception:
                        raise RuntimeError(
                            f"Jacobian mismatch for output {k} with respect to input {i}: numerical {numeric}, "
                            f"analytical {analytic[i][e]}"
                        )
                    return False
    return True


def gradgradcheck(func: Any, inputs: Any, grad_outputs: Any = None, **kwargs: Any) -> bool:
    """Compare the second derivatives of a function with finite differences."""
    given = inputs if isinstance(inputs, (list, tuple)) else (inputs,)
    wanted = [i for i, x in enumerate(given) if is_ours(x) and x.requires_grad]

    def first(*args: Any) -> Any:
        out = func(*args)
        outs = out if isinstance(out, (tuple, list)) else (out,)
        total = sum((o * o).sum() for o in outs)
        return grad(total, [args[i] for i in wanted], create_graph=True)

    return gradcheck(first, inputs, **kwargs)


def _wrap(array: Any) -> Any:
    from tinygrad_dl.torch.boundary import made

    return made(array)


class detect_anomaly(_detect_anomaly):
    """Name the operation that first produces a nan."""

    def __new__(cls, check_nan: bool = True) -> Any:
        return _detect_anomaly()


class set_detect_anomaly(detect_anomaly):
    """The same; False does nothing."""

    def __new__(cls, mode: bool, check_nan: bool = True) -> Any:
        from contextlib import nullcontext

        return _detect_anomaly() if mode else nullcontext()


for _name in ("anomaly_mode", "function", "grad_mode", "variable"):  # PyTorch's files
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
