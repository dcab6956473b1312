"""torch.nn.utils: clipping, vectors of parameters, weight and spectral normalization, packed sequences."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np

from tinygrad_dl.nn import utils as core
from tinygrad_dl.torch.boundary import function, made, without_example
from tinygrad_dl.torch.func import functional_call as functional_call
from tinygrad_dl.torch.nn.utils import fusion as fusion
from tinygrad_dl.torch.nn.utils import parametrizations as parametrizations
from tinygrad_dl.torch.nn.utils import parametrize as parametrize
from tinygrad_dl.torch.nn.utils import rnn as rnn
from tinygrad_dl.torch.nn.utils.fusion import (
    convert_conv2d_weight_memory_format as convert_conv2d_weight_memory_format,
)
from tinygrad_dl.torch.nn.utils.fusion import (
    convert_conv3d_weight_memory_format as convert_conv3d_weight_memory_format,
)
from tinygrad_dl.torch.nn.utils.fusion import fuse_conv_bn_eval as fuse_conv_bn_eval
from tinygrad_dl.torch.nn.utils.fusion import fuse_conv_bn_weights as fuse_conv_bn_weights
from tinygrad_dl.torch.nn.utils.fusion import fuse_linear_bn_eval as fuse_linear_bn_eval
from tinygrad_dl.torch.nn.utils.fusion import fuse_linear_bn_weights as fuse_linear_bn_weights


def _given(parameters: Any) -> list[Any]:
    from tinygrad_dl.torch.boundary import is_ours

    return [parameters] if is_ours(parameters) else list(parameters)


def get_total_norm(
    tensors: Any, norm_type: float = 2.0, error_if_nonfinite: bool = False, foreach: Any = None
) -> Any:
    """The norm of several Tensors taken as one."""
    arrays = [x._data for x in _given(tensors)]
    kind = arrays[0].dtype if arrays else np.dtype(np.float32)
    norms = np.array(
        [float(np.linalg.norm(a.reshape(-1).astype(np.float64), norm_type)) for a in arrays] or [0.0]
    )
    total = np.asarray(np.linalg.norm(norms, norm_type)).astype(kind)
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(
            f"The total norm of order {norm_type} for gradients from `parameters` is non-finite, so it "
            "cannot be clipped."
        )
    return made(total)


def clip_grad_norm_(
    parameters: Any,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: Any = None,
) -> Any:
    """Scale the gradients so that their norm is at most `max_norm`; returns the norm before."""
    grads = [p.grad for p in _given(parameters) if p.grad is not None]
    if not grads:
        return made(np.asarray(0.0, np.float32))
    total = get_total_norm(grads, norm_type, error_if_nonfinite)
    scale = min(1.0, float(max_norm) / (float(total) + 1e-6))
    for g in grads:
        g._data[...] *= g._data.dtype.type(scale)
    return total


clip_grad_norm = clip_grad_norm_


def clip_grads_with_norm_(parameters: Any, max_norm: float, total_norm: Any, foreach: Any = None) -> None:
    """Scale the gradients as if their norm were `total_norm`."""
    scale = min(1.0, float(max_norm) / (float(total_norm) + 1e-6))
    for p in _given(parameters):
        if p.grad is not None:
            p.grad._data[...] *= p._data.dtype.type(scale)


def clip_grad_value_(parameters: Any, clip_value: float, foreach: Any = None) -> None:
    """Hold each element of the gradients in [-clip_value, clip_value]."""
    for p in _given(parameters):
        if p.grad is not None:
            np.clip(p.grad._data, -clip_value, clip_value, out=p.grad._data)


parameters_to_vector = function(lambda parameters: core.parameters_to_vector(parameters))


def vector_to_parameters(vec: Any, parameters: Any) -> None:
    """Write the parts of a vector to parameters."""
    start = 0
    for p in parameters:
        p._data[...] = vec._data[start : start + p._data.size].reshape(p._data.shape)
        start += p._data.size


def _on_module(f: Any) -> Any:
    def call(module: Any, *args: Any, **kwargs: Any) -> Any:
        from tinygrad_dl.torch.nn.modules import adopt

        return adopt(f(module, *args, **kwargs))

    call.__name__, call.__doc__ = f.__name__, without_example(f.__doc__)
    return call


weight_norm, spectral_norm = _on_module(core.weight_norm), _on_module(core.spectral_norm)
remove_weight_norm, remove_spectral_norm = (
    _on_module(core.remove_weight_norm),
    _on_module(core.remove_spectral_norm),
)
skip_init = lambda module_cls, *args, **kwargs: module_cls(*args, **kwargs)  # noqa: E731


# PyTorch's files: torch.nn.utils.clip_grad.clip_grad_norm_
for _name in (
    "clip_grad",
    "convert_parameters",
    "memory_format",
    "spectral_norm",
    "stateless",
    "weight_norm",
):
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
    globals().setdefault(_name, sys.modules[__name__])  # where a function has the name, it stays
