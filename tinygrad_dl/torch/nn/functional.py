"""nn.functional: the core's functions, which have PyTorch's arguments, on this layer's Tensors."""

from __future__ import annotations

import inspect
import math
import warnings
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import config
from tinygrad_dl.nn import functional as core
from tinygrad_dl.ops.activations import SELU_ALPHA, SELU_SCALE
from tinygrad_dl.ops.dropout import dropout as draw_mask
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import function, is_ours, without_example, wrapped
from tinygrad_dl.torch.random import (
    default_generator,
    drawing,
    drawn_as,
    dropout_draws,
    generator_of,
    memory_order,
)
from tinygrad_dl.torch.registry import TORCH
from tinygrad_dl.torch.tensor import assign


def _adapted(name: str) -> Any:
    """A function of the core on this layer's Tensors; `inplace=True` writes the result to the input."""
    inner = getattr(core, name)
    parameters = list(inspect.signature(inner).parameters)
    draws = "rng" in parameters

    def call(*args: Any, **kwargs: Any) -> Any:
        if draws:
            kwargs.setdefault("rng", default_generator if "fractional" in name else dropout_draws)
        return _of_integers(inner(*args, **kwargs), args)

    call.__name__, call.__doc__ = name, without_example(inner.__doc__)
    adapted = function(call, view=True)
    if "inplace" not in parameters:
        return adapted
    return _overwriting(adapted, parameters.index("inplace"))


def _of_integers(result: Any, args: Any) -> Any:
    """A result that NumPy computes of integers in float64, in the default dtype as PyTorch's."""
    kinds = [x.dtype.kind for x in args if isinstance(x, Value)]
    if (
        isinstance(result, Value)
        and result.dtype == np.float64
        and kinds
        and "f" not in kinds
        and "c" not in kinds
    ):
        return tg.astype(result, config.default_dtype)
    return result


def _overwriting(f: Any, position: int) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        inplace = kwargs.get("inplace", args[position] if len(args) > position else False)
        result = f(*args, **kwargs)
        target = args[0] if args else kwargs["input"]
        if inplace and is_ours(target) and result is not target:
            return assign(target, result, f"{f.__name__}(inplace=True)")
        return result

    call.__name__, call.__doc__, call.core = f.__name__, f.__doc__, f.core  # type: ignore[attr-defined]
    return call


_NAMES = [
    name
    for name in dir(core)
    if not name.startswith("_") and inspect.isfunction(getattr(core, name)) and name != "vetted"
]
for _name in _NAMES:
    globals()[_name] = _adapted(_name)


# Where PyTorch's functions are more, or draw in an order of their own


def _implicit_dim(name: str, ndim: int) -> int:
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=5,
    )
    return 0 if ndim in (0, 1, 3) else 1


def _along(name: str) -> Any:
    inner = getattr(core, name)

    def call(input: Any, dim: Any = None, _stacklevel: int = 3, dtype: Any = None) -> Any:
        x = input if dtype is None else tg.astype(input, dtype)
        return inner(x, _implicit_dim(name, x.ndim) if dim is None else dim)

    call.__name__, call.__doc__ = name, without_example(inner.__doc__)
    return function(call)


softmax, log_softmax, softmin = (_along(n) for n in ("softmax", "log_softmax", "softmin"))


def _masked(input: Any, p: float, shape: Any) -> Any:
    """The input times a mask of PyTorch's draws, scaled up by 1 / (1 - p)."""
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 1:
        return input * 0
    axes = memory_order(input) if shape == input.shape else None
    if axes is None:
        return draw_mask(input, p, shape=shape, rng=dropout_draws)
    out = draw_mask(tg.permute_dims(input, axes), p, rng=dropout_draws)
    return tg.permute_dims(out, tuple(np.argsort(axes).tolist()))


def _dropout(name: str, shape_of: Any) -> Any:
    def call(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        if not training or p == 0 or not input.size:
            return input
        return _masked(input, p, shape_of(input))

    call.__name__, call.__doc__ = name, without_example(getattr(core, name).__doc__)
    return _overwriting(function(call), 3)


def _channels(input: Any) -> tuple[int, ...]:
    if input.ndim < 2:
        raise RuntimeError("Feature dropout requires at least 2 dimensions in the input")
    return (*input.shape[:2], *(1,) * (input.ndim - 2))


dropout = _dropout("dropout", lambda input: input.shape)
_feature = {n: _dropout(f"dropout{n}d", _channels) for n in (1, 2, 3)}


def _by_channel(n: int) -> Any:
    def call(input: Any, p: float = 0.5, training: bool = True, inplace: bool = False) -> Any:
        ndim = input.ndim
        if ndim not in (n + 1, n + 2):
            warnings.warn(
                f"dropout{n}d: Received a {ndim}-D input to dropout{n}d, which is deprecated and will result in an "
                "error in a future release.",
                stacklevel=2,
            )
        if ndim == n + 1 and n != 2:
            out = _feature[n](input[None], p, training)[0]
            return assign(input, out, f"dropout{n}d(inplace=True)") if inplace and is_ours(input) else out
        return _feature[n](input, p, training, inplace)

    call.__name__, call.__doc__ = f"dropout{n}d", without_example(getattr(core, f"dropout{n}d").__doc__)
    return call


dropout1d, dropout2d, dropout3d = _by_channel(1), _by_channel(2), _by_channel(3)


@drawing
def _alpha_dropout(input: Any, p: float, shape: Any) -> Any:
    if not 0 <= p <= 1:
        raise ValueError(f"dropout probability has to be between 0 and 1, but got {p}")
    if p == 1:
        return input * 0
    alpha = SELU_ALPHA * SELU_SCALE
    g = generator_of(None)
    keep = (
        drawn_as(input, lambda s: g.booleans(1 - p, s)) if shape == input.shape else g.booleans(1 - p, shape)
    )
    keep = keep.astype(input.dtype)
    a = 1.0 / math.sqrt((alpha * alpha * p + 1) * (1 - p))
    shift = (keep - 1) * (alpha * a) + alpha * a * p
    return input * wrapped((keep * a).astype(input.dtype)) + wrapped(shift.astype(input.dtype))


def _alpha(name: str, shape_of: Any) -> Any:
    def call(input: Any, p: float = 0.5, training: bool = False, inplace: bool = False) -> Any:
        return _alpha_dropout(input, p, shape_of(input)) if training and p and input.size else input

    call.__name__, call.__doc__ = name, without_example(getattr(core, name).__doc__)
    return _overwriting(function(call), 3)


alpha_dropout, feature_alpha_dropout = (
    _alpha("alpha_dropout", lambda x: x.shape),
    _alpha("feature_alpha_dropout", _channels),
)


@function
@drawing
def gumbel_softmax(logits: Any, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Any:
    """Samples of softmax with Gumbel noise; `hard`: one-hot, with the gradient of the soft ones."""
    noise = -np.log(generator_of(None).exponentials(logits.shape, 1.0, logits.dtype))
    soft = tg.softmax((logits + wrapped(noise)) / tau, dim)
    if not hard:
        return soft
    classes = np.arange(soft.shape[dim]).reshape(-1, *(1,) * (soft.ndim - 1 - dim % soft.ndim))
    sharp = tg.astype(tg.argmax(soft, dim, keepdims=True) == classes, soft.dtype)
    return sharp - soft.detach() + soft


@function
@drawing
def rrelu(
    input: Any, lower: float = 1 / 8, upper: float = 1 / 3, training: bool = False, inplace: bool = False
) -> Any:
    """x where x > 0, else a random slope times x; in evaluation the mean slope."""
    if not training:
        return core.leaky_relu(input, (lower + upper) / 2)
    below = input._data <= 0
    slopes = np.ones(input.shape, input.dtype)
    drawn = generator_of(None).doubles(int(below.sum())) * (upper - lower) + lower
    slopes[below] = drawn.astype(input.dtype)
    return input * wrapped(slopes)


def pad(input: Any, pad: Any, mode: str = "constant", value: Any = None) -> Any:
    """The input with elements added at the ends of its last axes."""
    return _pad(input, [int(n) for n in pad], mode, value)


_pad = _adapted("pad")


def relu_(input: Any) -> Any:
    """relu, written to the input."""
    return assign(input, globals()["relu"](input), "relu_")


def _in_place(name: str) -> Any:
    def call(input: Any, *args: Any, **kwargs: Any) -> Any:
        return assign(input, globals()[name](input, *args, **kwargs), f"{name}_")

    call.__name__, call.__doc__ = f"{name}_", f"`{name}`, written to the input."
    return call


for _name in ("elu", "celu", "selu", "leaky_relu", "hardtanh", "threshold", "rrelu"):
    globals()[f"{_name}_"] = _in_place(_name)

for _name in ("sigmoid", "tanh"):
    globals()[_name] = TORCH[_name]

_max_pool = {n: globals()[f"max_pool{n}d"] for n in (1, 2, 3)}


def _with_indices(f: Any) -> Any:
    def call(*args: Any, **kwargs: Any) -> Any:
        return f(*args, **{**kwargs, "return_indices": True})

    return call


for _n in (1, 2, 3):
    for _name in (f"max_pool{_n}d", f"adaptive_max_pool{_n}d"):
        globals()[f"{_name}_with_indices"] = _with_indices(globals()[_name])
for _n in (2, 3):
    globals()[f"fractional_max_pool{_n}d_with_indices"] = _with_indices(
        globals()[f"fractional_max_pool{_n}d"]
    )


__all__ = [name for name in dict(globals()) if not name.startswith("_") and callable(globals()[name])]
