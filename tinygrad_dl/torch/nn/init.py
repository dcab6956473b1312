"""Initializers: the core's formulas with the draws of PyTorch's generator."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_dl.nn import init as core
from tinygrad_dl.torch.boundary import lower, without_example
from tinygrad_dl.torch.creation import normals_of
from tinygrad_dl.torch.random import drawn_as, generator_of

calculate_gain = core.calculate_gain
__all__ = [
    "calculate_gain",
    "constant_",
    "dirac_",
    "eye_",
    "kaiming_normal_",
    "kaiming_uniform_",
    "normal_",
    "ones_",
    "orthogonal_",
    "sparse_",
    "trunc_normal_",
    "uniform_",
    "xavier_normal_",
    "xavier_uniform_",
    "zeros_",
]


def _write(tensor: Any, values: Any) -> Any:
    tensor._data[...] = values
    return tensor


def uniform_(tensor: Any, a: float = 0.0, b: float = 1.0, generator: Any = None) -> Any:
    """Fill with draws from the uniform distribution on [a, b)."""
    g, kind = generator_of(generator), tensor._data.dtype
    return _write(tensor, drawn_as(tensor, lambda shape: g.uniforms(shape, a, b, kind)))


def normal_(tensor: Any, mean: float = 0.0, std: float = 1.0, generator: Any = None) -> Any:
    """Fill with draws from the normal distribution."""
    g, kind, in_order = generator_of(generator), tensor._data.dtype, tensor._data.flags.c_contiguous
    return _write(tensor, drawn_as(tensor, lambda shape: normals_of(g, shape, mean, std, kind, in_order)))


def trunc_normal_(
    tensor: Any, mean: float = 0.0, std: float = 1.0, a: float = -2.0, b: float = 2.0, generator: Any = None
) -> Any:
    """Fill with draws from the normal distribution truncated to [a, b]; what falls outside is drawn again."""

    def cdf(x: float) -> float:
        return (1.0 + math.erf(x / math.sqrt(2.0))) / 2.0

    g, shape, kind = generator_of(generator), tuple(tensor.shape), tensor._data.dtype
    low, high = kind.type(a), kind.type(b)
    if cdf((b - mean) / std) - cdf((a - mean) / std) > 0.3:
        values = g.normals(shape, mean, std, kind)
        while (outside := (values < low) | (values > high)).any():
            values = np.where(outside, g.normals(shape, mean, std, kind), values)
        return _write(tensor, values)
    # where almost every normal draw would be rejected: uniform ones, rejected by the density
    peak = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2

    def rejected(values: Any) -> Any:
        return np.log(g.uniforms(shape, 0.0, 1.0, kind)) > -0.5 * ((values - mean) / std) ** 2 - peak

    values = g.uniforms(shape, a, b, kind)
    with np.errstate(divide="ignore"):
        pending = rejected(values)
        while pending.any():
            candidates = g.uniforms(shape, a, b, kind)
            values = np.where(pending, candidates, values)
            pending &= rejected(candidates)
    return _write(tensor, values)


def _plain(name: str) -> Any:
    function = getattr(core, name)

    def fill(tensor: Any, *args: Any, **kwargs: Any) -> Any:
        function(lower(tensor), *args, **kwargs)
        return tensor

    fill.__name__, fill.__doc__ = name, without_example(function.__doc__)
    return fill


constant_, ones_, zeros_, eye_, dirac_ = (
    _plain(n) for n in ("constant_", "ones_", "zeros_", "eye_", "dirac_")
)


def _calculate_fan_in_and_fan_out(tensor: Any) -> tuple[int, int]:
    return core.fan_in_and_out(lower(tensor))


def xavier_uniform_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Uniform in [-a, a], a = gain * sqrt(6 / (in + out))."""
    inputs, outputs = _calculate_fan_in_and_fan_out(tensor)
    bound = math.sqrt(3.0) * gain * math.sqrt(2.0 / float(inputs + outputs))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Any, gain: float = 1.0, generator: Any = None) -> Any:
    """Normal with the standard deviation gain * sqrt(2 / (in + out))."""
    inputs, outputs = _calculate_fan_in_and_fan_out(tensor)
    return normal_(tensor, 0.0, gain * math.sqrt(2.0 / float(inputs + outputs)), generator)


def _kaiming(tensor: Any, a: float, mode: str, nonlinearity: str) -> float:
    inputs, outputs = _calculate_fan_in_and_fan_out(tensor)
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"Mode {mode} not supported, please use one of ['fan_in', 'fan_out']")
    fan = inputs if mode == "fan_in" else outputs
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def kaiming_uniform_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Uniform in [-b, b], b = gain * sqrt(3 / fan)."""
    if 0 in tensor.shape:
        return tensor
    bound = math.sqrt(3.0) * _kaiming(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Any, a: float = 0, mode: str = "fan_in", nonlinearity: str = "leaky_relu", generator: Any = None
) -> Any:
    """Normal with the standard deviation gain / sqrt(fan)."""
    if 0 in tensor.shape:
        return tensor
    return normal_(tensor, 0.0, _kaiming(tensor, a, mode, nonlinearity), generator)


def orthogonal_(tensor: Any, gain: float = 1, generator: Any = None) -> Any:
    """Fill with a (semi-)orthogonal matrix times gain."""
    if tensor._data.ndim < 2:
        raise ValueError("Only tensors with 2 or more dimensions are supported")
    rows = tensor.shape[0]
    columns = tensor._data.size // max(rows, 1)
    drawn = generator_of(generator).normals((rows, columns), 0.0, 1.0, tensor._data.dtype)
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q = q * np.sign(np.diagonal(r))
    return _write(tensor, gain * (q.T if rows < columns else q).reshape(tensor.shape))


def sparse_(tensor: Any, sparsity: float, std: float = 0.01, generator: Any = None) -> Any:
    """Normal draws, and the fraction `sparsity` of each column 0."""
    if tensor._data.ndim != 2:
        raise ValueError("Only tensors with 2 dimensions are supported")
    rows, columns = tensor.shape
    normal_(tensor, 0, std, generator)
    for column in range(columns):
        chosen = generator_of(generator).order(rows)[: math.ceil(sparsity * rows)]
        tensor._data[chosen, column] = 0
    return tensor


# Old names, without the underscore

uniform, normal, constant, xavier_uniform, xavier_normal = (
    uniform_,
    normal_,
    constant_,
    xavier_uniform_,
    xavier_normal_,
)
kaiming_uniform, kaiming_normal, orthogonal, eye, dirac, sparse = (
    kaiming_uniform_,
    kaiming_normal_,
    orthogonal_,
    eye_,
    dirac_,
    sparse_,
)
