"""Tensors of random numbers. `shape`: an int or a tuple; `rng`: a np.random.Generator, a seed, or None."""

from __future__ import annotations

from collections.abc import Sequence
from math import prod
from typing import Any, TypeGuard

import numpy as np

from tinygrad_dl import config, convert
from tinygrad_dl.arguments import Size, checked
from tinygrad_dl.convert import constant
from tinygrad_dl.creation import sizes_of
from tinygrad_dl.dispatch import drawn
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, check_values, tell
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import ArrayLike, DTypeLike, NDArray, RandomLike, Shape, ShapeLike

__all__ = [
    "bernoulli", "choice", "multinomial", "normal", "rand", "randint", "randn", "randperm", "uniform",
]  # fmt: skip


def _draw(
    what: str, draw: Any, shape: Shape, rng: RandomLike, text: str = "", given: Sequence[NDArray] = ()
) -> Tensor:
    """What `draw(generator, shape, *given)` gives as a Tensor: see dispatch.drawn."""
    return drawn(
        what, lambda generator, size, *given: constant(draw(generator, size, *given)), shape, text, rng, given
    )


def _given(x: Any, what: str) -> NDArray:
    """The array of an argument, which a compiled step reads at every run."""
    array = convert.asarray_of(x, None, what)
    if active and not isinstance(x, (Value, np.ndarray)):
        tell("created", convert.wrap(array), x)
    return array


def _dtype(what: str, dtype: DTypeLike | None, kinds: str) -> np.dtype:
    found = config.default_dtype if dtype is None else convert.dtype_of(dtype, what)
    if found.kind not in kinds:
        expected = {"f": "a floating dtype", "fc": "a floating or complex dtype", "iu": "an integer dtype"}
        raise DTypeError(f"{what}: dtype: expected {expected.get(kinds, 'a dtype of numbers')}, got {found}")
    return found


def _floats(what: str, method: str, shape: Shape, dtype: DTypeLike | None, rng: RandomLike) -> Tensor:
    """Draws of Generator.random or .standard_normal in a dtype; what these do not draw is rounded from float64."""
    new = _dtype(what, dtype, "f" if method == "random" else "fc")

    def draw(generator: np.random.Generator, size: Shape) -> NDArray:
        function = getattr(generator, method)
        if new.kind == "c":  # half the variance for each part
            pairs = function((*size, 2)) * np.sqrt(0.5)
            return convert.as_complex(pairs).astype(new)
        if new in (np.float32, np.float64):
            return np.asarray(function(size, dtype=new))
        values = np.asarray(function(size)).astype(new)
        # rounding to float16 may give 1, which is outside of [0, 1)
        return np.minimum(values, np.nextafter(new.type(1), new.type(0))) if method == "random" else values

    text = f"rng.{method}({{shape}}, dtype=np.{new})" if new in (np.float32, np.float64) else ""
    return _draw(what, draw, shape, rng, text)


@checked
def rand(shape: ShapeLike = (), *, dtype: DTypeLike | None = None, rng: RandomLike = None) -> Tensor:
    """Draws from the uniform distribution on [0, 1), of the default dtype unless another is given.

    Shape: `shape`. Raises DTypeError unless the dtype is floating.
    >>> rand((2, 3), rng=0).shape
    (2, 3)
    """
    return _floats("rand", "random", sizes_of(shape, "rand"), dtype, rng)


@checked
def randn(shape: ShapeLike = (), *, dtype: DTypeLike | None = None, rng: RandomLike = None) -> Tensor:
    """Draws from the normal distribution with mean 0 and variance 1; complex ones have half of it in each part.

    Shape: `shape`. Raises DTypeError unless the dtype is floating or complex.
    >>> randn((2, 3), dtype="float64", rng=0).dtype
    dtype('float64')
    """
    return _floats("randn", "standard_normal", sizes_of(shape, "randn"), dtype, rng)


@checked
def randint(
    low: int,
    high: int | None = None,
    shape: ShapeLike = (),
    *,
    dtype: DTypeLike = "int64",
    rng: RandomLike = None,
) -> Tensor:
    """Integers from `low` to `high` - 1, each equally likely; with one number from 0 to `low` - 1.

    Shape: `shape`. Raises ValueRangeError if there is no such integer, or the dtype does not hold them all.
    >>> bool((randint(1, 7, (100,), rng=0) <= 6).all())
    True
    """
    first, last = (0, low) if high is None else (low, high)
    new, sizes = _dtype("randint", dtype, "iu"), sizes_of(shape, "randint")
    if first >= last:
        raise ValueRangeError(f"randint: expected low below high, got low={first} and high={last}")
    if first < np.iinfo(new).min or last - 1 > np.iinfo(new).max:
        raise ValueRangeError(
            f"randint: expected numbers that {new} holds, got low={first} and high={last}. Give another dtype."
        )
    text = f"rng.integers({first}, {last}, {{shape}}, np.{new})"
    return _draw("randint", lambda g, size: np.asarray(g.integers(first, last, size, new)), sizes, rng, text)


@checked
def randperm(n: Size, *, dtype: DTypeLike = "int64", rng: RandomLike = None) -> Tensor:
    """The integers from 0 to n - 1 in random order.

    Shape: (n,).
    >>> sorted(randperm(4, rng=0).tolist())
    [0, 1, 2, 3]
    """
    new = _dtype("randperm", dtype, "iuf")
    text = f"rng.permutation({n}).astype(np.{new})"

    def draw(g: np.random.Generator, size: Sequence[int]) -> Any:  # in func.vmap, of all examples
        each = [g.permutation(n) for _ in range(prod(size[:-1]))]
        return np.array(each, new).reshape(size)

    return _draw("randperm", draw, (n,), rng, text)


@checked
def uniform(
    low: ArrayLike = 0.0,
    high: ArrayLike = 1.0,
    shape: ShapeLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    rng: RandomLike = None,
) -> Tensor:
    """Draws from the uniform distribution on [low, high); gradients reach both.

    out = low + (high - low) * u, u uniform on [0, 1).   Shape: `shape`, by default that of low and high broadcast.
    >>> uniform(Tensor([0.0, 10.0]), Tensor([1.0, 20.0]), rng=0).shape
    (2,)
    """
    first, last, sizes, new = _parameters("uniform", ("low", low), ("high", high), shape, dtype)
    if bool((convert.values_of(first) > convert.values_of(last)).any()):
        raise ValueRangeError("uniform: expected low of at most high")
    return first + (last - first) * _floats("uniform", "random", sizes, new, rng)


@checked
def normal(
    mean: ArrayLike = 0.0,
    std: ArrayLike = 1.0,
    shape: ShapeLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    rng: RandomLike = None,
) -> Tensor:
    """Draws from the normal distribution with a mean and a standard deviation; gradients reach both.

    out = mean + std * z, z with mean 0 and variance 1.   Shape: `shape`, by default that of mean and std broadcast.
    >>> normal(5.0, 0.1, (2, 2), rng=0).shape
    (2, 2)
    """
    center, scale, sizes, new = _parameters("normal", ("mean", mean), ("std", std), shape, dtype)
    check_values(_check_deviation, convert.values_of(scale))
    return center + scale * _floats("normal", "standard_normal", sizes, new, rng)


def _check_deviation(values: Any) -> None:
    if bool((values < 0).any()):
        raise ValueRangeError("normal: expected a standard deviation of at least 0, got a negative one")


def _parameters(
    what: str,
    first: tuple[str, Any],
    second: tuple[str, Any],
    shape: ShapeLike | None,
    dtype: DTypeLike | None,
) -> tuple[Any, Any, Shape, np.dtype]:
    """Two parameters of a distribution as Tensors of the dtype of the draws, and the shape of these."""
    pair: list[Any] = []
    for name, x in (first, second):
        value = x if isinstance(x, Value) else constant(convert.asarray_of(x, None, f"{what}: {name}"))
        pair.append(value)
    kinds = [x.dtype for x in pair if x.dtype.kind == "f"]
    new = _dtype(what, dtype if dtype is not None or not kinds else np.result_type(*kinds), "f")
    a, b = (x if x.dtype == new else x.astype(new) for x in pair)
    try:
        joint = np.broadcast_shapes(a.shape, b.shape)
        sizes = joint if shape is None else sizes_of(shape, what)
        fits = np.broadcast_shapes(joint, sizes) == sizes
    except ValueError:
        fits, sizes = False, ()
    if not fits:
        raise ShapeError(
            f"{what}: {first[0]} and {second[0]} of the shapes {a.shape} and {b.shape} do not broadcast"
            + ("" if shape is None else f" to the shape {sizes_of(shape, what)}")
        )
    return a, b, sizes, new


@checked
def bernoulli(
    p: ArrayLike, shape: ShapeLike | None = None, *, dtype: DTypeLike | None = None, rng: RandomLike = None
) -> Tensor:
    """Ones with the probability p and zeros otherwise; there is no gradient.

    Shape: `shape`, by default that of p. Raises ValueRangeError for a p outside of [0, 1].
    >>> bernoulli(1.0, (3,)).tolist()
    [1.0, 1.0, 1.0]
    """
    own = p if isinstance(p, Value) else _given(p, "bernoulli: p")
    _check_probabilities(convert.values_of(own))
    sizes = own.shape if shape is None else sizes_of(shape, "bernoulli")
    new: Any = dtype if dtype is not None or own.dtype.kind != "f" else own.dtype
    new = config.default_dtype if new is None else convert.dtype_of(new, "bernoulli")
    try:
        fits = np.broadcast_shapes(own.shape, sizes) == sizes
    except ValueError:
        fits = False
    if not fits:
        raise ShapeError(f"bernoulli: p of the shape {own.shape} does not broadcast to the shape {sizes}")
    if _is_held(own):
        return (_draw("bernoulli", _uniforms, sizes, rng) < own).astype(new)

    def draw(generator: np.random.Generator, size: Shape, p: NDArray) -> NDArray:
        _check_probabilities(p)  # at every run of a compiled step
        return np.asarray(generator.random(size) < p).astype(new)

    return _draw("bernoulli", draw, sizes, rng, given=(convert.values_of(own),))


def _is_held(x: Any) -> TypeGuard[Tensor]:
    """Whether a parameter is a value under func.vmap or func.jvp: a draw compares with it, and does not read it."""
    return isinstance(x, Value) and x.level is not None


def _uniforms(generator: np.random.Generator, size: Shape) -> NDArray:
    return np.asarray(generator.random(size))


def _check_probabilities(p: NDArray) -> None:
    if p.dtype.kind not in "biuf" or not bool(((p >= 0) & (p <= 1)).all()):
        raise ValueRangeError("bernoulli: p: expected probabilities from 0 to 1")


def _weights(what: str, name: str, weights: Any) -> NDArray:
    """Weights along the last axis as probabilities in float64."""
    p = np.asarray(convert.asarray_of(weights, None, f"{what}: {name}"), np.float64)
    if not p.ndim or not p.shape[-1]:
        raise ShapeError(
            f"{what}: {name}: expected at least one weight on the last axis, got the shape {p.shape}"
        )
    with np.errstate(invalid="ignore", over="ignore"):
        total = p.sum(-1, keepdims=True)
    if not bool((p >= 0).all() and np.isfinite(total).all() and (total > 0).all()):
        raise ValueRangeError(
            f"{what}: {name}: expected finite weights of at least 0, not all of them 0, along the last axis"
        )
    return p / total


@checked
def multinomial(
    weights: ArrayLike, num_samples: Size = 1, replacement: bool = False, *, rng: RandomLike = None
) -> Tensor:
    """Indices drawn with probabilities proportional to `weights`, which need not add up to 1.

    Shape: weights (..., K), out (..., num_samples), int64. Raises ValueRangeError for negative weights, and without
    `replacement` for more samples than there are weights above 0.
    >>> multinomial(Tensor([0.0, 1.0, 0.0]), 4, replacement=True).tolist()
    [1, 1, 1, 1]
    """
    if _is_held(weights):
        return _indices_of_examples(weights, num_samples, replacement, rng)
    given = _given(weights, "multinomial: weights")
    return drawn("multinomial", _draw_indices, (num_samples,), "", rng, (given, replacement))


def _checked_weights(weights: NDArray, num_samples: int, replacement: bool) -> NDArray:
    """The probabilities of multinomial."""
    p = _weights("multinomial", "weights", weights)
    if not replacement and p.size and num_samples > int((p > 0).sum(-1).min()):
        raise ValueRangeError(
            f"multinomial: expected at most as many samples as weights above 0, got num_samples={num_samples}. "
            "Give replacement=True to draw an index more than once."
        )
    return p


def _indices_of_examples(weights: Any, num_samples: int, replacement: bool, rng: RandomLike) -> Any:
    """The indices of multinomial where each example of func.vmap has its own weights, as _draw_indices finds them."""
    from tinygrad_dl.ops.elementwise import where
    from tinygrad_dl.ops.scan import cumulative_sum
    from tinygrad_dl.ops.sort import argsort

    _checked_weights(convert.values_of(weights), num_samples, replacement)
    p = weights.astype("float64")
    possible = p > 0
    if not replacement:
        draw = _draw("multinomial", lambda g, size: g.standard_exponential(size), p.shape, rng)
        return argsort(where(possible, draw / where(possible, p, 1), np.inf), axis=-1)[..., :num_samples]
    ends = cumulative_sum(p / p.sum(axis=-1, keepdims=True), axis=-1)
    u = _draw("multinomial", _uniforms, (*p.shape[:-1], num_samples), rng)
    found = (u[..., None] >= ends[..., None, :]).sum(axis=-1)
    last = where(possible, np.arange(p.shape[-1]), 0).max(axis=-1, keepdims=True)
    return where(found < last, found, last)


def _draw_indices(
    generator: np.random.Generator, shape: Shape, weights: NDArray, replacement: bool
) -> Tensor:
    """The indices of multinomial; in func.vmap `shape` begins with the numbers of examples."""
    *examples, num_samples = shape
    p = _checked_weights(weights, num_samples, replacement)
    p = np.broadcast_to(p, (*examples, *p.shape))
    if replacement:
        ends = np.cumsum(p, -1)
        ends[..., -1:] = 1
        u = generator.random((*p.shape[:-1], num_samples))
        # the number of classes that end at or below u; those of weight 0 end where they begin
        rows = zip(ends.reshape(-1, p.shape[-1]), u.reshape(-1, num_samples))
        found = np.stack([np.searchsorted(e, r, side="right") for e, r in rows]) if u.size else u
        last = (
            p.shape[-1] - 1 - np.argmax(p[..., ::-1] > 0, -1)
        )  # rounding must not reach weights of 0 at the end
        return constant(np.minimum(found.reshape(u.shape), last[..., None]).astype(np.int64))
    # the order of exponential draws divided by their weights is that of draws without replacement
    with np.errstate(divide="ignore"):
        times = generator.standard_exponential(p.shape) / p
    return constant(np.argsort(times, -1, kind="stable")[..., :num_samples].astype(np.int64))


@checked
def choice(
    a: ArrayLike,
    shape: ShapeLike = (),
    replace: bool = True,
    p: ArrayLike | None = None,
    *,
    axis: int = 0,
    rng: RandomLike = None,
) -> Tensor:
    """Entries of `a` along an axis drawn at random; an int stands for arange(a). `p`: their probabilities.

    Shape: a (..., K, ...), p (K,); out has `shape` in the place of K. Gradients reach `a`. Raises ValueRangeError for
    more draws without `replace` than there are entries.
    >>> sorted(choice(3, (3,), replace=False).tolist())
    [0, 1, 2]
    """
    from tinygrad_dl.ops.index import take
    from tinygrad_dl.ops.shape import reshape

    sizes = sizes_of(shape, "choice")
    if isinstance(a, Value):
        x: Any = a
    elif isinstance(a, (int, np.integer)) and not isinstance(a, bool):
        x = constant(np.arange(a))
    else:
        x = convert.wrap(_given(a, "choice"))
    if not x.ndim or not -x.ndim <= axis < x.ndim:
        raise ShapeError(f"choice: expected an axis of a, got axis={axis} and the shape {x.shape}")
    k, n = x.shape[axis], prod(sizes)
    if not k and n:
        raise ValueRangeError("choice: expected at least one entry to draw from, got none")
    if _is_held(p):
        if p.shape != (k,):
            raise _wrong_probabilities(k, p.shape)
        indices = multinomial(p, n, replace, rng=rng)
    else:
        given = () if p is None else (_given(p, "choice: p"),)
        indices = drawn("choice", _choose, (n,), "", rng, (k, replace, *given))
    axis %= x.ndim
    taken = take(x, indices, axis=axis)
    return reshape(taken, (*x.shape[:axis], *sizes, *x.shape[axis + 1 :]))


def _choose(
    generator: np.random.Generator, shape: Shape, k: int, replace: bool, p: NDArray | None = None
) -> NDArray:
    """The indices of choice; in func.vmap `shape` begins with the numbers of examples."""
    weights, (*examples, n) = None if p is None else _weights("choice", "p", p), shape
    if weights is not None and weights.shape != (k,):
        raise _wrong_probabilities(k, weights.shape)
    if not replace and n > (k if weights is None else int((weights > 0).sum())):
        raise ValueRangeError(
            f"choice: expected at most {k} draws without replacement, of entries with a probability above 0, got {n}"
        )
    found: Any = [generator.choice(k, n, replace, weights) if n else [] for _ in range(prod(examples))]
    return np.array(found, np.int64).reshape(shape)


def _wrong_probabilities(k: int, shape: Shape) -> ShapeError:
    return ShapeError(f"choice: p: expected one probability for each of {k} entries, got {shape}")
