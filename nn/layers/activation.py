"""Activations. Each is also a function in nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

from tinygrad_dl.arguments import Count, NonNegative, Real
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.nn.functional import activation as functions
from tinygrad_dl.nn.init import constant_ as _constant_
from tinygrad_dl.nn.init import empty as _empty
from tinygrad_dl.nn.module import Module
from tinygrad_dl.ops import activations
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike, RandomLike


class _Activation(Module):
    """Base of activations: the options of the function are attributes, shown in the repr."""

    function: Callable[..., Any]
    options: tuple[str, ...] = ()

    def forward(self, input: Array) -> Tensor:
        """Apply the activation to the input."""
        if not self.options:
            return type(self).function(input)
        return type(self).function(input, *[getattr(self, name) for name in self.options])

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(f"{name}={getattr(self, name)!r}" for name in self.options)


class _InPlace(_Activation):
    """An activation with PyTorch's `inplace`, which is shown and otherwise ignored: the result is a new Tensor."""

    def __init__(self, inplace: bool = False) -> None:
        self.inplace = inplace

    def extra_repr(self) -> str:
        """The options."""
        return ", ".join(filter(None, (super().extra_repr(), "inplace=True" if self.inplace else "")))


class ReLU(_InPlace):
    """The positive part of the input.

    out = max(x, 0), with derivative 0 at 0.
    >>> ReLU()(Tensor([-1.0, 2.0]))
    Tensor([0., 2.])
    """

    function = staticmethod(activations.relu)


class ReLU6(_InPlace):
    """The positive part, clamped to at most 6.

    out = min(max(x, 0), 6), with derivative 0 at 0 and 6.
    >>> ReLU6()(Tensor([-1.0, 8.0]))
    Tensor([0., 6.])
    """

    function = staticmethod(functions.relu6)


class Tanh(_Activation):
    """The hyperbolic tangent, in (-1, 1)."""

    function = staticmethod(activations.tanh)


class Sigmoid(_Activation):
    """The logistic function, in (0, 1).

    out = 1 / (1 + e^-x).
    >>> Sigmoid()(Tensor([0.0]))
    Tensor([0.5])
    """

    function = staticmethod(activations.sigmoid)


class SELU(_InPlace):
    """elu with the two constants that preserve mean 0 and variance 1 from layer to layer; with lecun_normal_ and
    AlphaDropout.
    """

    function = staticmethod(activations.selu)


class SiLU(_InPlace):
    """The input times its logistic sigmoid.

    out = x / (1 + e^-x).
    """

    function = staticmethod(activations.silu)


class Mish(_InPlace):
    """The input times the hyperbolic tangent of its softplus.

    out = x * tanh(log(1 + e^x)).
    """

    function = staticmethod(activations.mish)


class Hardswish(_InPlace):
    """The input times its hardsigmoid.

    out = x * min(max(x + 3, 0), 6) / 6.
    """

    function = staticmethod(activations.hardswish)


class Hardsigmoid(_InPlace):
    """A piecewise linear approximation of the logistic sigmoid.

    out = min(max(x / 6 + 1/2, 0), 1).
    """

    function = staticmethod(activations.hardsigmoid)


class LogSigmoid(_Activation):
    """The logarithm of the logistic function, accurate at any magnitude."""

    function = staticmethod(activations.log_sigmoid)


class Softsign(_Activation):
    """A curve like tanh that saturates more slowly.

    out = x / (1 + |x|).
    """

    function = staticmethod(activations.softsign)


class Tanhshrink(_Activation):
    """The difference between the input and its hyperbolic tangent.

    out = x - tanh(x).
    """

    function = staticmethod(activations.tanhshrink)


class LeakyReLU(_InPlace):
    """The positive part plus a small multiple of the negative part.

    out = x where x > 0, negative_slope * x elsewhere.
    """

    function = staticmethod(activations.leaky_relu)
    options = ("negative_slope",)

    def __init__(self, negative_slope: Real = 0.01, inplace: bool = False) -> None:
        self.negative_slope, self.inplace = negative_slope, inplace


class ELU(_InPlace):
    """The input above 0, a saturating exponential below.

    out = x where x > 0, alpha * (e^x - 1) elsewhere.
    """

    function = staticmethod(activations.elu)
    options = ("alpha",)

    def __init__(self, alpha: Real = 1.0, inplace: bool = False) -> None:
        self.alpha, self.inplace = alpha, inplace


class CELU(_InPlace):
    """elu with a smooth derivative at 0.

    out = x where x > 0, alpha * (e^(x / alpha) - 1) elsewhere.
    """

    function = staticmethod(activations.celu)
    options = ("alpha",)

    def __init__(self, alpha: Real = 1.0, inplace: bool = False) -> None:
        if not alpha:
            raise ValueRangeError("CELU: expected alpha other than 0, got 0")
        self.alpha, self.inplace = alpha, inplace


class GELU(_Activation):
    """The input times the standard normal distribution function; approximate="tanh" as in some published models.

    out = x * (1 + erf(x / sqrt(2))) / 2.
    """

    function = staticmethod(functions.gelu)
    options = ("approximate",)

    def __init__(self, approximate: Literal["none", "tanh"] = "none") -> None:
        self.approximate = approximate


class Softplus(_Activation):
    """A smooth positive part.

    out = log(1 + e^(beta * x)) / beta, and x itself where beta * x > threshold.
    """

    function = staticmethod(activations.softplus)
    options = (
        "beta",
        "threshold",
    )

    def __init__(self, beta: Real = 1.0, threshold: Real = 20.0) -> None:
        self.beta, self.threshold = beta, threshold


class Hardtanh(_InPlace):
    """The input clamped to a range.

    out = min(max(x, min_val), max_val).
    """

    function = staticmethod(activations.hardtanh)
    options = (
        "min_val",
        "max_val",
    )

    def __init__(self, min_val: Real = -1.0, max_val: Real = 1.0, inplace: bool = False) -> None:
        if not min_val < max_val:
            raise ValueRangeError(
                f"Hardtanh: expected min_val below max_val, got min_val={min_val!r} and max_val={max_val!r}"
            )
        self.min_val, self.max_val, self.inplace = min_val, max_val, inplace


class Hardshrink(_Activation):
    """Zero for values near zero, the input elsewhere.

    out = x where |x| > lambd, 0 elsewhere.
    """

    function = staticmethod(activations.hardshrink)
    options = ("lambd",)

    def __init__(self, lambd: Real = 0.5) -> None:
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The bound."""
        return str(self.lambd)


class Softshrink(_Activation):
    """The input shrunk toward zero by lambd, and zero where |x| <= lambd."""

    function = staticmethod(activations.softshrink)
    options = ("lambd",)

    def __init__(self, lambd: NonNegative = 0.5) -> None:
        self.lambd = lambd

    def extra_repr(self) -> str:
        """The bound."""
        return str(self.lambd)


class Threshold(_InPlace):
    """The input where it is above a threshold, a constant elsewhere.

    out = x where x > threshold, value elsewhere.
    """

    function = staticmethod(activations.threshold)
    options = (
        "threshold",
        "value",
    )

    def __init__(self, threshold: Real, value: float, inplace: bool = False) -> None:
        self.threshold, self.value, self.inplace = threshold, value, inplace


class GLU(_Activation):
    """One half of the channels, gated by the other half.

    out = a * sigmoid(b), with x split into a and b along `dim`.
    """

    function = staticmethod(activations.glu)
    options = ("dim",)

    def __init__(self, dim: int = -1) -> None:
        self.dim = dim


class Softmax(_Activation):
    """Exponentials normalized to sum to 1 along `dim`. Do not use it before CrossEntropyLoss, which includes it.

    out_i = e^x_i / (e^x_1 + ... + e^x_n).
    """

    function = staticmethod(functions.softmax)
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim


class Softmin(_Activation):
    """The softmax of -x along `dim`."""

    function = staticmethod(functions.softmin)
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim


class LogSoftmax(_Activation):
    """The logarithm of softmax along `dim`, exact where softmax rounds to 0 or 1; for NLLLoss."""

    function = staticmethod(functions.log_softmax)
    options = ("dim",)

    def __init__(self, dim: int | None = None) -> None:
        self.dim = dim


class Softmax2d(Module):
    """The softmax over the channels of x (N, C, H, W) or (C, H, W)."""

    def forward(self, input: Array) -> Tensor:
        """Apply the activation to the input."""
        return functions.softmax2d(input)


class PReLU(Module):
    """The positive part plus a learned multiple of the negative part, shared by all channels or one per channel.

    out = x where x > 0, weight * x elsewhere.   weight (num_parameters,), channels on axis 1.
    >>> PReLU()(Tensor([-1.0, 2.0])).tolist()
    [-0.25, 2.0]
    """

    def __init__(
        self,
        num_parameters: Count = 1,
        init: Real = 0.25,
        device: str | None = None,
        dtype: DTypeLike | None = None,
    ) -> None:
        self.num_parameters, self.init = num_parameters, init
        self.weight = _empty((num_parameters,), dtype, device)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Set the weight to the value given at construction."""
        _constant_(self.weight, self.init)

    def forward(self, input: Array) -> Tensor:
        """Apply the activation to the input."""
        return functions.prelu(input, self.weight)

    def extra_repr(self) -> str:
        """The number of weights."""
        return f"num_parameters={self.num_parameters}"


class RReLU(_InPlace):
    """leaky_relu with a negative slope drawn per element in training, and the mean of the range in evaluation.

    The negative slopes are uniform in [lower, upper].   Source: Xu and others 2015.
    """

    options = ("lower", "upper")

    def __init__(
        self, lower: Real = 1 / 8, upper: Real = 1 / 3, inplace: bool = False, *, rng: RandomLike = None
    ) -> None:
        if not lower <= upper:
            raise ValueRangeError(
                f"RReLU: expected lower of at most upper, got lower={lower!r} and upper={upper!r}"
            )
        self.lower, self.upper, self.inplace, self.rng = lower, upper, inplace, rng

    def forward(self, input: Array) -> Tensor:
        """Apply the activation to the input."""
        return functions.rrelu(input, self.lower, self.upper, self.training, rng=self.rng)
