"""Utilities for parameters: gradient clipping, flattening into one vector, reparametrization."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from importlib import import_module
from math import inf, isfinite
from typing import TYPE_CHECKING, Any, Union

import numpy as np

from tinygrad_dl.arguments import vetted
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import AnomalyError, DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Uninitialized
from tinygrad_dl.nn.utils.weight_hooks import (
    remove_spectral_norm,
    remove_weight_norm,
    spectral_norm,
    weight_norm,
)
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array

__all__ = [
    "clip_grad_norm_", "clip_grad_value_", "clip_grads_with_norm_", "get_total_norm", "parameters_to_vector",
    "parametrizations", "parametrize", "remove_spectral_norm", "remove_weight_norm", "rnn", "spectral_norm",
    "vector_to_parameters", "weight_norm",
]  # fmt: skip

if TYPE_CHECKING:
    from tinygrad_dl.nn.utils import parametrizations as parametrizations
    from tinygrad_dl.nn.utils import parametrize as parametrize
    from tinygrad_dl.nn.utils import rnn as rnn


# What the functions take as parameters: a model, one Tensor, or several, each with or without its name.
Parameters = Union[Module, Tensor, Iterable[Tensor], Iterable[tuple[str, Tensor]]]


if not TYPE_CHECKING:  # a type checker shall still report unknown names

    def __getattr__(name):
        """The modules of this package, imported when first named."""
        if name in ("parametrizations", "parametrize", "rnn"):
            return import_module(f"{__name__}.{name}")
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def _named(parameters: Parameters) -> Iterator[tuple[str, Tensor]]:
    """Parameters with a name for messages: of a model, of pairs, of a list, or of one Tensor."""
    if isinstance(parameters, Module):
        yield from parameters.named_parameters()
        return
    several = isinstance(parameters, Iterable) and not isinstance(parameters, Tensor)
    entries: Iterable[Any] = parameters if several else [parameters]
    for i, entry in enumerate(entries):
        name, parameter = entry if isinstance(entry, tuple) and len(entry) == 2 else (None, entry)
        if not isinstance(parameter, Tensor):
            raise DTypeError(
                f"parameters: expected a model, a Tensor or several Tensors, got {describe(parameter)}"
                + ("" if parameter is parameters else f" as number {i}")
            )
        known = not isinstance(parameter, Uninitialized)
        yield (
            name or parameter.name or f"number {i}" + (f" of shape {parameter.shape}" if known else ""),
            parameter,
        )


def _norm(array: np.ndarray, norm_type: float) -> float:
    if norm_type == inf:
        return float(np.abs(array).max(initial=0))
    flat = np.abs(array).reshape(-1) if array.dtype.kind == "c" else array.reshape(-1)
    if flat.dtype == np.float16:  # whose squares over- and underflow
        flat = flat.astype(np.float32)
    if norm_type == 2:
        # A product with itself needs no temporary; what it overflows on is summed again in float64.
        with np.errstate(over="ignore"):
            square = float(np.dot(flat, flat))
        if not isfinite(square) and np.isfinite(flat).all():
            square = float(np.sum(flat.astype(np.float64) ** 2))
        return square**0.5
    return float(np.sum(np.abs(flat.astype(np.float64)) ** norm_type) ** (1 / norm_type))


def _total(norms: list[float], norm_type: float) -> float:
    if norm_type == inf:
        return max(norms, default=0.0)
    return float(sum(norm**norm_type for norm in norms) ** (1 / norm_type))


@vetted
def get_total_norm(
    tensors: Iterable[Any],
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """The norm of all tensors concatenated into one vector.

    >>> get_total_norm([Tensor([3.0]), Tensor([[4.0]])])
    Tensor(5.)
    """
    named = list(_named(tensors))
    _check_norm_type("get_total_norm", norm_type)
    names = [name for name, _ in named]
    return effect(_total_norm, names, norm_type, error_if_nonfinite, *(tensor for _, tensor in named))


def _total_norm(names: list[str], norm_type: float, error_if_nonfinite: bool, *tensors: Tensor) -> Tensor:
    named = list(zip(names, tensors))
    return _as_tensor(_summed("get_total_norm", named, norm_type, error_if_nonfinite), named)


def _check_norm_type(name: str, norm_type: float) -> None:
    if not norm_type > 0:
        raise ValueRangeError(f"{name}: expected norm_type above 0, or inf, got {norm_type!r}")


def _check_max_norm(name: str, max_norm: float) -> None:
    if not max_norm >= 0:  # a negative one would turn the gradients around
        raise ValueRangeError(f"{name}: expected max_norm of at least 0, got {max_norm!r}")


def _summed(name: str, named: list[tuple[str, Any]], norm_type: float, error_if_nonfinite: bool) -> float:
    norms = [_norm(tensor._data, norm_type) for _, tensor in named]
    total = _total(norms, norm_type)
    if error_if_nonfinite and not isfinite(total):
        bad = [
            n
            for (n, tensor), norm in zip(named, norms)
            if not isfinite(norm) or not np.isfinite(tensor._data).all()
        ]
        raise AnomalyError(
            f"{name}: the norm of the gradients is {total}: nan or inf in {', '.join(bad) or 'their sum'}. "
            "Run the step under detect_anomaly() to find where it arose."
        )
    return total


def _as_tensor(total: float, named: list[tuple[str, Any]]) -> Tensor:
    """The norm in the dtype that holds all of the tensors' dtypes, as in PyTorch."""
    dtype = np.result_type(*(tensor.dtype for _, tensor in named)) if named else np.dtype(np.float32)
    dtype = np.finfo(dtype).dtype if dtype.kind == "c" else dtype
    with np.errstate(over="ignore"):
        return asarray(np.array(total).astype(dtype))


@vetted
def clip_grad_norm_(
    parameters: Parameters,
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """Scale all gradients by one factor, in place, so that their norm is at most max_norm; returns the original norm.

    factor = min(1, max_norm / (norm + 1e-6)).   parameters: a model, its parameters, or pairs of name and parameter.
    `error_if_nonfinite`: raise AnomalyError naming the parameters whose gradients are nan or inf. `foreach` is
    accepted for PyTorch and ignored.
    >>> p = Tensor([3.0, 4.0], requires_grad=True)
    >>> p.grad = Tensor([3.0, 4.0])
    >>> clip_grad_norm_([p], 1.0), p.grad.round(4)
    (Tensor(5.), Tensor([0.6, 0.8]))
    """
    _check_norm_type("clip_grad_norm_", norm_type)
    _check_max_norm("clip_grad_norm_", max_norm)
    named = list(_named(parameters))
    return effect(_clip_grad_norm, named, max_norm, norm_type, error_if_nonfinite, gradients=True)


def _clip_grad_norm(
    named: list[tuple[str, Tensor]], max_norm: float, norm_type: float, error_if_nonfinite: bool
) -> Tensor:
    grads = [(name, p.grad) for name, p in named if p.grad is not None]
    total = _summed("clip_grad_norm_", grads, norm_type, error_if_nonfinite)
    _scale([grad for _, grad in grads], max_norm, total)
    return _as_tensor(total, grads)


@vetted
def clip_grads_with_norm_(
    parameters: Parameters, max_norm: float, total_norm: Tensor | float, foreach: bool | None = None
) -> None:
    """Scale all gradients in place by min(1, max_norm / (total_norm + 1e-6))."""
    _check_max_norm("clip_grads_with_norm_", max_norm)
    effect(_scale_gradients, list(_named(parameters)), max_norm, total_norm, gradients=True)


def _scale_gradients(named: list[tuple[str, Tensor]], max_norm: float, total: Tensor | float) -> None:
    _scale([p.grad for _, p in named if p.grad is not None], max_norm, float(total))


def _scale(grads: list[Any], max_norm: float, total: float) -> None:
    factor = max_norm / (total + 1e-6)
    if not factor >= 1:  # nan scales as well, so that it stays visible
        for grad in grads:
            grad._data *= grad.dtype.type(factor)


@vetted
def clip_grad_value_(parameters: Parameters, clip_value: float, foreach: bool | None = None) -> None:
    """Clamp each element of the gradients to [-clip_value, clip_value], in place.

    >>> p = Tensor([3.0], requires_grad=True)
    >>> p.grad = Tensor([3.0])
    >>> clip_grad_value_([p], 1.0)
    >>> p.grad
    Tensor([1.])
    """
    if not clip_value >= 0:
        raise ValueRangeError(f"clip_grad_value_: expected clip_value of at least 0, got {clip_value!r}")
    effect(_clip_grad_value, list(_named(parameters)), clip_value, gradients=True)


def _clip_grad_value(named: list[tuple[str, Tensor]], clip_value: float) -> None:
    for name, p in named:
        if p.grad is not None and p.grad.dtype.kind == "c":
            raise DTypeError(
                f"clip_grad_value_: {name}: expected real gradients, got {p.grad.dtype}. clip_grad_norm_ takes both."
            )
    for _, p in named:
        if p.grad is not None:
            np.clip(p.grad._data, -clip_value, clip_value, out=p.grad._data)


@vetted
def parameters_to_vector(parameters: Iterable[Any]) -> Tensor:
    """All parameters concatenated into one vector, differentiably.

    >>> parameters_to_vector([Tensor([1.0]), Tensor([[2.0, 3.0]])])
    Tensor([1., 2., 3.])
    """
    return concat([reshape(p, (p.size,)) for _, p in _named(parameters)])


@vetted
def vector_to_parameters(vec: Array, parameters: Iterable[Any]) -> None:
    """Write a vector from parameters_to_vector back into the parameters. Raises ShapeError for another size."""
    named = list(_named(parameters))
    flat = np.asarray(vec._data if isinstance(vec, Tensor) else vec)
    total = sum(p.size for _, p in named)
    if flat.shape != (total,):
        raise ShapeError(
            f"vector_to_parameters: expected a vector of {total} elements, got the shape {flat.shape}"
        )
    start = 0
    for _, p in named:
        p._data[...] = flat[start : start + p.size].reshape(p.shape)
        start += p.size
