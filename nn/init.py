"""Initializers, which fill parameters in place; each returns the Tensor it filled.

Complex parameters as in PyTorch: uniform draws for the real and for the imaginary part, normal ones with half the
variance for each.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from math import prod
from typing import Annotated, Any, TypeAlias

import numpy as np
from numpy.random import Generator

from tinygrad_dl import config
from tinygrad_dl.arguments import Advice, Count, Finite, NonNegative, Positive, Probability, Real, checked
from tinygrad_dl.config import default_rng
from tinygrad_dl.convert import as_complex
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.parameter import Parameter
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import DTypeLike, NDArray, RandomLike, Shape

# What the initializers fill.
Filled: TypeAlias = Annotated[Tensor, Advice("Pass one parameter, such as layer.weight.")]


def empty(shape: tuple[int, ...], dtype: DTypeLike | None = None, device: str | None = None) -> Parameter:
    """A Parameter of zeros of a shape, for a layer to fill; raises for negative sizes and devices other than "cpu"."""
    if device not in (None, "cpu"):
        raise ValueRangeError(f'device: expected "cpu", the only device, got {device!r}')
    for size in shape:
        if not isinstance(size, (int, np.integer)) or size < 0:
            raise ValueRangeError(
                f"expected layer sizes that are integers of at least 0, got {size!r} in {tuple(shape)}"
            )
    chosen = config.default_dtype if dtype is None else np.dtype(dtype)
    if chosen.kind not in "fc":
        raise DTypeError(f"dtype: expected a floating-point or complex dtype for parameters, got {chosen}")
    return Parameter(np.zeros(shape, chosen))


def _write(tensor: Tensor, values: Callable[[Generator], Any], rng: RandomLike = None) -> Tensor:
    """Fill with what a function of the generator gives; a compiled step that initializes fills again at every run."""
    effect(_initialize, tensor, values, rng, changes=(tensor,))
    return tensor


def _initialize(tensor: Tensor, values: Callable[[Generator], Any], rng: RandomLike) -> None:
    tensor._data[...] = values(default_rng(rng))


def _uniform(tensor: Tensor, low: float, high: float, rng: RandomLike) -> Tensor:
    shape, dtype = tensor.shape, tensor.dtype

    def draw(generator: Generator) -> Any:
        if dtype.kind == "c":
            return as_complex(generator.uniform(low, high, (*shape, 2)))
        if dtype in (np.float32, np.float64):
            values = generator.random(shape, dtype=dtype)
            values *= high - low
            values += low
            return values
        return generator.uniform(low, high, shape)

    return _write(tensor, draw, rng)


def _normal(tensor: Tensor, mean: float, std: float, rng: RandomLike) -> Tensor:
    shape, dtype = tensor.shape, tensor.dtype
    return _write(tensor, lambda generator: _normal_draws(generator, shape, dtype, mean, std), rng)


def _normal_draws(generator: Generator, shape: Shape, dtype: np.dtype, mean: float, std: float) -> Any:
    if dtype.kind == "c":
        return as_complex(generator.normal(mean, std / math.sqrt(2), (*shape, 2)))
    values = generator.standard_normal(shape, dtype=dtype if dtype == np.float32 else np.float64)
    values *= std
    values += mean
    return values


@checked
def uniform_(tensor: Filled, a: Finite = 0.0, b: Finite = 1.0, rng: RandomLike = None) -> Tensor:
    """Fill with draws from the uniform distribution on [a, b).

    >>> t = uniform_(Parameter(np.zeros(100)), -1.0, 1.0, rng=0)
    >>> bool((abs(t.data) <= 1).all())
    True
    """
    if a > b:
        raise ValueRangeError(f"uniform_: expected a of at most b, got a={a!r} and b={b!r}")
    return _uniform(tensor, a, b, rng)


@checked
def normal_(tensor: Filled, mean: Finite = 0.0, std: NonNegative = 1.0, rng: RandomLike = None) -> Tensor:
    """Fill with draws from the normal distribution with a mean and a standard deviation."""
    return _normal(tensor, mean, std, rng)


@checked
def trunc_normal_(
    tensor: Filled,
    mean: Finite = 0.0,
    std: Positive = 1.0,
    a: Real = -2.0,
    b: Real = 2.0,
    rng: RandomLike = None,
) -> Tensor:
    """Fill with draws from the normal distribution truncated to [a, b].

    >>> t = trunc_normal_(Parameter(np.zeros(1000)), std=3.0, rng=0)
    >>> bool((abs(t.data) <= 2).all())
    True
    """
    if not a < b:
        raise ValueRangeError(f"trunc_normal_: expected a below b, got a={a!r} and b={b!r}")
    if tensor.dtype.kind == "c":
        raise DTypeError(
            f"trunc_normal_: expected a real dtype, got {tensor.dtype}: complex numbers have no order"
        )
    shape, low, high = tensor.shape, (a - mean) / std, (b - mean) / std

    def draw(generator: Generator) -> NDArray:
        values = generator.standard_normal(shape)
        if low > 2 or high < -2 or high - low < 0.5:
            # Almost every normal draw would be rejected: sample uniformly and reject by the density instead.
            peak = min(max(0.0, low), high)
            undrawn = np.ones(shape, bool)
            while undrawn.any():
                proposed = generator.uniform(low, high, shape)
                taken = undrawn & (np.log(generator.random(shape)) <= (peak**2 - proposed**2) / 2)
                values[taken] = proposed[taken]
                undrawn &= ~taken
        else:
            outside = (values < low) | (values > high)
            while outside.any():
                values[outside] = generator.standard_normal(int(outside.sum()))
                outside = (values < low) | (values > high)
        return np.clip(values * std + mean, a, b)

    return _write(tensor, draw, rng)


@checked
def constant_(tensor: Filled, val: float) -> Tensor:
    """Fill with one value.

    >>> constant_(Parameter([0.0, 0.0]), 0.5)
    Parameter([0.5, 0.5], requires_grad=True)
    """
    return _write(tensor, lambda _: val)


@checked
def ones_(tensor: Filled) -> Tensor:
    """Fill with ones."""
    return _write(tensor, lambda _: 1)


@checked
def zeros_(tensor: Filled) -> Tensor:
    """Fill with zeros."""
    return _write(tensor, lambda _: 0)


@checked
def eye_(tensor: Filled) -> Tensor:
    """Fill a matrix with the identity, so that a linear layer passes its input through.

    >>> eye_(Parameter(np.zeros((2, 2)))).tolist()
    [[1.0, 0.0], [0.0, 1.0]]
    """
    if tensor.ndim != 2:
        raise ShapeError(f"eye_: expected a matrix, got the shape {tensor.shape}")
    rows, columns = tensor.shape
    return _write(tensor, lambda _: np.eye(rows, columns))


@checked
def dirac_(tensor: Filled, groups: Count = 1) -> Tensor:
    """Fill a convolution's weight (out, in, k, ...) so that each group passes its channels through.

    Raises ShapeError unless the weight has 3 to 5 axes and `groups` divides its first size.
    >>> dirac_(Parameter(np.zeros((1, 1, 3)))).tolist()
    [[[0.0, 1.0, 0.0]]]
    """
    if tensor.ndim not in (3, 4, 5):
        raise ShapeError(
            f"dirac_: expected a convolution's weight of 3 to 5 axes, got the shape {tensor.shape}"
        )
    out, channels, *kernel = tensor.shape
    if groups < 1 or out % groups:
        raise ShapeError(f"dirac_: expected groups to divide the {out} filters, got {groups}")
    values = np.zeros(tensor.shape, tensor.dtype)
    each = out // groups
    for group in range(groups):
        for i in range(min(each, channels)):
            values[(group * each + i, i, *(k // 2 for k in kernel))] = 1
    return _write(tensor, lambda _: values)


# By the number of inputs and outputs


def fan_in_and_out(tensor: Tensor) -> tuple[int, int]:
    """The fan-in and fan-out of a weight (out, in, k, ...)."""
    if tensor.ndim < 2:
        raise ShapeError(
            f"init: expected a weight of at least two axes, to count inputs and outputs, got {tensor.shape}. "
            "For a bias use zeros_ or uniform_."
        )
    kernel = prod(tensor.shape[2:])
    return tensor.shape[1] * kernel, tensor.shape[0] * kernel


GAINS = {
    "linear": 1.0, "conv1d": 1.0, "conv2d": 1.0, "conv3d": 1.0, "conv_transpose1d": 1.0, "conv_transpose2d": 1.0,
    "conv_transpose3d": 1.0, "sigmoid": 1.0, "tanh": 5 / 3, "relu": math.sqrt(2), "selu": 0.75,
}  # fmt: skip


@checked
def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """The factor that preserves the variance through an activation; `param`: the negative slope of "leaky_relu".

    sqrt(2) for relu, 5/3 for tanh, sqrt(2 / (1 + slope^2)) for leaky_relu, 3/4 for selu, 1 for others.
    >>> round(calculate_gain("relu") ** 2, 3)
    2.0
    """
    if nonlinearity == "leaky_relu":
        slope = 0.01 if param is None else param
        if isinstance(slope, bool) or not isinstance(slope, (int, float)):
            raise ValueRangeError(
                f"calculate_gain: expected a number as the negative slope of leaky_relu, got {slope!r}"
            )
        return math.sqrt(2 / (1 + slope**2))
    if nonlinearity not in GAINS:
        known = ", ".join([*GAINS, "leaky_relu"])
        raise ValueRangeError(f"calculate_gain: expected one of {known}, got {nonlinearity!r}")
    return GAINS[nonlinearity]


@checked
def xavier_uniform_(tensor: Filled, gain: NonNegative = 1.0, rng: RandomLike = None) -> Tensor:
    """Xavier (Glorot) uniform initialization, which balances the variances forward and backward; for tanh and sigmoid.

    Uniform in [-a, a], a = gain * sqrt(6 / (in + out)).   Source: Glorot and Bengio 2010.
    >>> t = xavier_uniform_(Parameter(np.zeros((3, 3))), rng=0)
    >>> bool((abs(t.data) <= 1).all())
    True
    """
    bound = gain * math.sqrt(6 / max(sum(fan_in_and_out(tensor)), 1))
    return _uniform(tensor, -bound, bound, rng)


@checked
def xavier_normal_(tensor: Filled, gain: NonNegative = 1.0, rng: RandomLike = None) -> Tensor:
    """Xavier (Glorot) normal initialization: standard deviation gain * sqrt(2 / (in + out))."""
    return _normal(tensor, 0.0, gain * math.sqrt(2 / max(sum(fan_in_and_out(tensor)), 1)), rng)


def _he_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    if mode not in ("fan_in", "fan_out"):
        raise ValueRangeError(f'kaiming: expected mode "fan_in" or "fan_out", got {mode!r}')
    fan = fan_in_and_out(tensor)[mode == "fan_out"]
    return calculate_gain(nonlinearity, a) / math.sqrt(max(fan, 1))


@checked
def kaiming_uniform_(
    tensor: Filled,
    a: Finite = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: RandomLike = None,
) -> Tensor:
    """He (Kaiming) uniform initialization: preserves the variance through relu and similar activations.

    Uniform in [-b, b], b = gain * sqrt(3 / fan); `a` is the negative slope of leaky_relu.   Source: He and others 2015.
    >>> t = kaiming_uniform_(Parameter(np.zeros((2, 6))), rng=0)
    >>> bool((abs(t.data) <= 1).all())
    True
    """
    bound = math.sqrt(3) * _he_std(tensor, a, mode, nonlinearity)
    return _uniform(tensor, -bound, bound, rng)


@checked
def kaiming_normal_(
    tensor: Filled,
    a: Finite = 0.0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    rng: RandomLike = None,
) -> Tensor:
    """He (Kaiming) normal initialization: standard deviation gain / sqrt(fan), sqrt(2 / in) for relu."""
    return _normal(tensor, 0.0, _he_std(tensor, a, mode, nonlinearity), rng)


@checked
def lecun_uniform_(tensor: Filled, rng: RandomLike = None) -> Tensor:
    """LeCun initialization, uniform in [-a, a], a = sqrt(3 / in); for selu and linear layers.   Source: LeCun 1998."""
    bound = math.sqrt(3 / max(fan_in_and_out(tensor)[0], 1))
    return _uniform(tensor, -bound, bound, rng)


@checked
def lecun_normal_(tensor: Filled, rng: RandomLike = None) -> Tensor:
    """LeCun normal initialization: standard deviation sqrt(1 / in); for selu and linear layers."""
    return _normal(tensor, 0.0, 1 / math.sqrt(max(fan_in_and_out(tensor)[0], 1)), rng)


@checked
def orthogonal_(tensor: Filled, gain: Finite = 1.0, rng: RandomLike = None) -> Tensor:
    """Fill with a (semi-)orthogonal matrix, a complex one unitary, times gain; axes after the first count as one.

    Source: Saxe and others 2014.
    >>> w = orthogonal_(Parameter(np.zeros((2, 3))), rng=0).data
    >>> bool(np.allclose(w @ w.T, np.eye(2)))
    True
    """
    if tensor.ndim < 2:
        raise ShapeError(f"orthogonal_: expected at least two axes, got the shape {tensor.shape}")
    shape, dtype, rows, columns = tensor.shape, tensor.dtype, tensor.shape[0], prod(tensor.shape[1:])
    size = (max(rows, columns), min(rows, columns))

    def draw(generator: Generator) -> Any:
        drawn: Any = generator.standard_normal(size)
        if dtype.kind == "c":
            drawn = drawn + 1j * generator.standard_normal(size)
        q, r = np.linalg.qr(drawn)
        turned = np.sign(np.diag(r))  # without the signs of R's diagonal, Q would not be uniform
        q *= np.where(turned == 0, 1, turned)
        return gain * (q if rows >= columns else q.T).reshape(shape)

    return _write(tensor, draw, rng)


@checked
def sparse_(tensor: Filled, sparsity: Probability, std: NonNegative = 0.01, rng: RandomLike = None) -> Tensor:
    """Fill a matrix with normal draws and set the fraction `sparsity` of each column to 0.   Source: Martens 2010."""
    if tensor.ndim != 2:
        raise ShapeError(f"sparse_: expected a matrix, got the shape {tensor.shape}")
    if not 0 <= sparsity <= 1:
        raise ValueRangeError(f"sparse_: expected sparsity from 0 to 1, got {sparsity!r}")
    shape, dtype, zeros = tensor.shape, tensor.dtype, math.ceil(float(sparsity) * tensor.shape[0])

    def draw(generator: Generator) -> Any:
        values = _normal_draws(generator, shape, dtype, 0.0, std)
        for column in range(shape[1]):
            values[generator.permutation(shape[0])[:zeros], column] = 0
        return values

    return _write(tensor, draw, rng)
