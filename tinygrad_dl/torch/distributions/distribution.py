"""The bases of distributions: shapes, checks of parameters and samples, and parameters that broadcast."""

from __future__ import annotations

import inspect
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl.convert import values_of
from tinygrad_dl.modes import enable_grad, no_grad
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import creation
from tinygrad_dl.torch.boundary import is_ours
from tinygrad_dl.torch.distributions import constraints
from tinygrad_dl.torch.dtypes import Size
from tinygrad_dl.torch.registry import TORCH as T


def broadcast_all(*values: Any) -> list[Any]:
    """Numbers and Tensors as Tensors of one shape; numbers get the dtype of the first Tensor."""
    for v in values:
        if not isinstance(v, (Value, int, float, np.number)):
            raise ValueError("Input arguments must all be instances of Number, torch.Tensor")
    dtype = next((v.dtype for v in values if isinstance(v, Value)), None)
    found = [v if isinstance(v, Value) else creation.tensor(float(v), dtype=dtype) for v in values]
    return list(T["broadcast_tensors"](*found))


def sizes(shape: Any) -> tuple[int, ...]:
    """A sample shape as a tuple."""
    return (shape,) if isinstance(shape, int) else tuple(shape)


def sum_rightmost(x: Any, n: int) -> Any:
    """The sum over the last n axes."""
    return x.sum(tuple(range(-n, 0))) if n and isinstance(x, Value) else x


class lazy:
    """A property that is computed once, with its gradient, wherever it is asked for first."""

    def __init__(self, f: Any) -> None:
        self._f, self._name, self.__doc__ = f, f.__name__, f.__doc__

    def __get__(self, one: Any, kind: Any = None) -> Any:
        if one is None:
            return self
        with enable_grad():
            found = vars(one)[self._name] = self._f(one)
        return found


def _everywhere(condition: Any) -> bool:
    """Whether a condition holds for all elements, in func.vmap of all examples."""
    if condition.level is not None:
        return bool(np.all(values_of(condition)))
    return bool(condition.all())


class Distribution:
    """Base of distributions. Shapes: sample_shape + batch_shape + event_shape."""

    has_rsample: Any = False
    has_enumerate_support = False
    arg_constraints: ClassVar[Any] = {}
    _validate_args = True

    def __init__(self, batch_shape: Any = (), event_shape: Any = (), validate_args: Any = None) -> None:
        self._batch_shape, self._event_shape = Size(batch_shape), Size(event_shape)
        if validate_args is not None:
            self._validate_args = validate_args
        if self._validate_args:
            for name, constraint in self.arg_constraints.items():
                if name in vars(self) and not constraints.is_dependent(constraint):
                    self._check_parameter(name, constraint)

    def _check_parameter(self, name: str, constraint: Any) -> None:
        value = getattr(self, name)
        if not _everywhere(constraint.check(value)):
            raise ValueError(
                f"Expected parameter {name} ({type(value).__name__} of shape {tuple(value.shape)}) of distribution "
                f"{self!r} to satisfy the constraint {constraint!r}, but found invalid values:\n{value}"
            )

    @staticmethod
    def set_default_validate_args(value: bool) -> None:
        """Whether parameters and samples are checked from now on."""
        if value not in (True, False):
            raise ValueError
        Distribution._validate_args = value

    @property
    def batch_shape(self) -> Any:
        """The shape of the parameters: of independent distributions side by side."""
        return self._batch_shape

    @property
    def event_shape(self) -> Any:
        """The shape of one draw of one distribution."""
        return self._event_shape

    support: Any
    mean: Any
    mode: Any
    variance: Any

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with its parameters repeated to a batch shape."""
        raise NotImplementedError

    def _extended_shape(self, sample_shape: Any = ()) -> Any:
        return Size((*sizes(sample_shape), *self._batch_shape, *self._event_shape))

    def sample(self, sample_shape: Any = ()) -> Any:
        """Draws, without a gradient."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Any = ()) -> Any:
        """Draws whose gradient reaches the parameters."""
        raise NotImplementedError(f"{type(self).__name__}: there is no reparameterized sample; use sample()")

    def sample_n(self, n: int) -> Any:
        """n draws."""
        return self.sample((n,))

    def log_prob(self, value: Any) -> Any:
        """The logarithm of the density or probability."""
        return self._of_sample(self._log_prob, value)

    def cdf(self, value: Any) -> Any:
        """The probability of a draw up to the value."""
        return self._of_sample(self._cdf, value)

    def icdf(self, value: Any) -> Any:
        """The inverse of cdf."""
        raise NotImplementedError

    def entropy(self) -> Any:
        """The entropy."""
        raise NotImplementedError

    def perplexity(self) -> Any:
        """exp of the entropy."""
        return self.entropy().exp()

    def enumerate_support(self, expand: bool = True) -> Any:
        """All values of a discrete distribution, along the first axis."""
        raise NotImplementedError

    def _enumerated(self, values: Any, expand: bool) -> Any:
        values = values.view(-1, *(1,) * len(self._batch_shape))
        return values.expand(-1, *self._batch_shape) if expand else values

    @property
    def stddev(self) -> Any:
        """The standard deviation."""
        return self.variance.sqrt()

    def _log_prob(self, value: Any) -> Any:
        raise NotImplementedError

    def _cdf(self, value: Any) -> Any:
        raise NotImplementedError

    def _of_sample(self, f: Any, value: Any) -> Any:
        if self._validate_args:
            self._validate_sample(value)
        return f(value)

    def _validate_sample(self, value: Any) -> None:
        if not isinstance(value, Value):
            raise ValueError("The value argument to log_prob must be a Tensor")
        at = len(value.shape) - len(self._event_shape)
        if tuple(value.shape[at:]) != tuple(self._event_shape):
            raise ValueError(
                f"The right-most size of value must match event_shape: {value.shape} vs {self._event_shape}."
            )
        own = (*self._batch_shape, *self._event_shape)
        for i, j in zip(reversed(value.shape), reversed(own)):
            if i != 1 and j != 1 and i != j:
                raise ValueError(
                    f"Value is not broadcastable with batch_shape+event_shape: {value.shape} vs {Size(own)}."
                )
        support = getattr(self, "support", None)
        if support is not None and not constraints.is_dependent(support):
            if not _everywhere(support.check(value)):
                raise ValueError(
                    f"Expected value argument ({type(value).__name__} of shape {tuple(value.shape)}) to be within the "
                    f"support ({support!r}) of the distribution {self!r}, but found invalid values:\n{value}"
                )

    def __getattr__(self, name: str) -> Any:
        if name in ("mean", "mode", "variance"):
            raise NotImplementedError(f"{type(self).__name__}: there is no {name}")
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __repr__(self) -> str:
        held = [(name, vars(self)[name]) for name in self.arg_constraints if is_ours(vars(self).get(name))]
        parts = [f"{name}: {x if x.numel() == 1 else x.size()}" for name, x in held]
        return f"{type(self).__name__}({', '.join(parts)})"


class ExponentialFamily(Distribution):
    """Base of exponential families."""


class Parametric(Distribution):
    """A distribution of numbers whose parameters broadcast: `arg_constraints` names them in the constructor's order."""

    _defaults: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if isinstance(cls.__dict__.get("arg_constraints"), dict) and "__init__" not in cls.__dict__:
            either = inspect.Parameter.POSITIONAL_OR_KEYWORD
            parameters = [
                inspect.Parameter(name, either, default=cls._defaults.get(name, inspect.Parameter.empty))
                for name in cls.arg_constraints
            ]
            cls.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
                [*parameters, inspect.Parameter("validate_args", either, default=None)]
            )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        bound = type(self).__signature__.bind(*args, **kwargs)  # type: ignore[attr-defined]
        bound.apply_defaults()
        validate_args = bound.arguments.pop("validate_args")
        values = broadcast_all(*bound.arguments.values())
        vars(self).update(zip(bound.arguments, values))
        self._build(values[0].shape, validate_args)

    def _build(self, batch_shape: Any, validate_args: Any) -> None:
        """What else the constructor makes of its parameters."""
        Distribution.__init__(self, batch_shape, (), validate_args)

    def expand(self, batch_shape: Any, _instance: Any = None) -> Any:
        """The distribution with its parameters repeated to a batch shape."""
        given = {name: getattr(self, name).expand(sizes(batch_shape)) for name in self.arg_constraints}
        new = type(self)(**given, validate_args=False)
        new._validate_args = self._validate_args
        return new
