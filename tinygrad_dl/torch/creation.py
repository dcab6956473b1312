"""Functions that make Tensors, with PyTorch's arguments: sizes one by one, dtype, device, requires_grad."""

from __future__ import annotations

import math
import warnings
from functools import partial
from typing import Any

import numpy as np

from tinygrad_dl import config, convert
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import into, is_ours, made
from tinygrad_dl.torch.dtypes import check_device, numpy_of, of
from tinygrad_dl.torch.random import drawing, generator_of, memory_order
from tinygrad_dl.torch.shaping import sizes
from tinygrad_dl.torch.tensor import Tensor


def _finished(array: Any, requires_grad: bool = False, device: Any = None, out: Any = None) -> Any:
    check_device(device)
    result = made(array)
    if out is not None:
        return into(out, result)
    return result.requires_grad_() if requires_grad else result


def _filled(fill: Any) -> Any:
    def create(
        *size: Any,
        out: Any = None,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        pin_memory: bool = False,
        memory_format: Any = None,
        names: Any = None,
        **named: Any,
    ) -> Any:
        shape = sizes(size if "size" not in named else (named["size"],))
        if any(n < 0 for n in shape):
            raise RuntimeError(f"Trying to create tensor with negative dimension {min(shape)}: {list(shape)}")
        kind = config.default_dtype if dtype is None else numpy_of(dtype)
        return _finished(np.full(shape, fill, kind), requires_grad, device, out)

    return create


zeros, ones, empty = _filled(0), _filled(1), _filled(0)
for _f, _name, _text in (
    (zeros, "zeros", "zeros"),
    (ones, "ones", "ones"),
    (empty, "empty", "zeros, too: nothing is left undefined"),
):
    _f.__name__, _f.__doc__ = _name, f"A Tensor of sizes, filled with {_text}."


def full(
    size: Any,
    fill_value: Any,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """A Tensor with one value everywhere; without a dtype that of the value."""
    value = fill_value.item() if isinstance(fill_value, Value) else fill_value
    if dtype is None:
        kind: Any = {bool: np.bool_, int: np.int64}.get(type(value), config.default_dtype)
        kind = np.result_type(kind, np.complex64) if isinstance(value, complex) else kind
    else:
        kind = numpy_of(dtype)
    with np.errstate(all="ignore"):  # PyTorch does not warn of what overflows
        array = np.full(sizes((size,)), value, kind)
    return _finished(array, requires_grad, device, out)


def _like(fill: Any) -> Any:
    def create(
        input: Any,
        *args: Any,
        dtype: Any = None,
        layout: Any = None,
        device: Any = None,
        requires_grad: bool = False,
        memory_format: Any = None,
        pin_memory: bool = False,
        **named: Any,
    ) -> Any:
        value = fill if fill is not None else args[0] if args else named["fill_value"]
        value = value.item() if isinstance(value, Value) else value
        kind = input._data.dtype if dtype is None else numpy_of(dtype)
        with np.errstate(all="ignore"):
            array = np.full(input.shape, value, kind)
        return _finished(array, requires_grad, device)

    return create


zeros_like, ones_like, empty_like, full_like = _like(0), _like(1), _like(0), _like(None)
for _f, _name in (
    (zeros_like, "zeros_like"),
    (ones_like, "ones_like"),
    (empty_like, "empty_like"),
    (full_like, "full_like"),
):
    _f.__name__, _f.__doc__ = _name, "A Tensor of the shape and dtype of another."


@np.errstate(all="ignore")  # PyTorch does not warn of what overflows
def array_of(data: Any, dtype: Any) -> Any:
    """Data as an array: lists of Tensors as their numbers, Python floats in the default dtype."""
    if isinstance(data, Value):
        array = np.asarray(data._data)
    elif isinstance(data, (np.ndarray, np.generic)):
        array = np.asarray(data)
    else:
        plain = _numbers(data)
        kind = numpy_of(dtype)
        array = (
            convert.asarray_of(plain, kind, "torch.tensor")
            if kind is None or kind.kind != "b"
            else np.asarray(plain)
        )
        if isinstance(plain, (list, tuple)) and not array.size:
            array = array.astype(config.default_dtype)
    if array.dtype.kind not in "biufc":
        raise TypeError(
            f"can't convert np.ndarray of type {array.dtype}. The only supported types are: float64, float32, float16, "
            "complex64, complex128, int64, int32, int16, int8, uint8, and bool."
        )
    if dtype is not None:
        array = array.astype(numpy_of(dtype), copy=False)
    if not array.dtype.isnative:
        raise ValueError("given numpy array has byte order different from the native byte order.")
    return array


def _numbers(data: Any) -> Any:
    if isinstance(data, (list, tuple)):
        return [_numbers(x) for x in data]
    if isinstance(data, Value):
        return data._data.tolist() if data._data.ndim == 0 else data._data
    if hasattr(data, "__array__") and not isinstance(data, (np.ndarray, np.generic)):
        return np.asarray(data)
    return data


def tensor(
    data: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False, pin_memory: bool = False
) -> Any:
    """A Tensor of numbers, lists or an array, which is copied."""
    if isinstance(data, Value):
        warnings.warn(
            "To copy construct from a tensor, it is recommended to use sourceTensor.detach().clone() or "
            "sourceTensor.detach().clone().requires_grad_(True), rather than torch.tensor(sourceTensor).",
            stacklevel=2,
        )
    return _finished(np.array(array_of(data, dtype)), requires_grad, device)


def as_tensor(data: Any, dtype: Any = None, device: Any = None) -> Any:
    """A Tensor that shares the memory of an array or Tensor where the dtype allows it."""
    check_device(device)
    if is_ours(data):
        return data if dtype is None or data.dtype == dtype else data.to(dtype)
    if isinstance(data, np.ndarray) and (dtype is None or data.dtype == numpy_of(dtype)):
        return from_numpy(data)
    return made(np.array(array_of(data, dtype)))


def asarray(
    obj: Any, *, dtype: Any = None, device: Any = None, copy: Any = None, requires_grad: bool = False
) -> Any:
    """A Tensor of anything that holds numbers."""
    found = tensor(obj, dtype=dtype, device=device) if copy else as_tensor(obj, dtype, device)
    return found.requires_grad_() if requires_grad else found


def from_numpy(ndarray: Any) -> Any:
    """A Tensor that shares the memory of an array."""
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    result = made(array_of(ndarray, None))
    result._exported = True
    return result


def frombuffer(
    buffer: Any, *, dtype: Any, count: int = -1, offset: int = 0, requires_grad: bool = False
) -> Any:
    """A Tensor that shares a buffer's memory."""
    return _finished(np.frombuffer(buffer, numpy_of(dtype), count, offset), requires_grad)


def from_dlpack(x: Any) -> Any:
    """A Tensor that shares the memory of another library's array."""
    return made(np.from_dlpack(x))


def arange(
    start: Any = 0,
    end: Any = None,
    step: Any = 1,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The numbers from `start` in steps, `end` excluded."""
    first, last, by = (x.item() if isinstance(x, Value) else x for x in (start, end, step))
    if last is None:
        first, last = 0, first
    if by == 0 or (last - first) / by < 0:
        raise RuntimeError(
            "upper bound and lower bound inconsistent with step sign" if by else "step must be nonzero"
        )
    kind: Any = numpy_of(dtype)
    if kind is None:
        kind = (
            np.int64
            if all(isinstance(x, (int, np.integer)) for x in (first, last, by))
            else config.default_dtype
        )
    if np.dtype(kind).kind == "f":
        numbers = first + by * np.arange(math.ceil((last - first) / by), dtype=np.float64)
    else:
        numbers = np.arange(first, last, by)
    return _finished(numbers.astype(kind), requires_grad, device, out)


def range_(start: Any = 0, end: Any = None, step: Any = 1, **how: Any) -> Any:
    """The numbers from `start` in steps, `end` included."""
    return arange(start, end + step / 2, step, **how).to(how.get("dtype") or of(config.default_dtype))


def linspace(
    start: Any,
    end: Any,
    steps: int,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Numbers at equal distances, both ends included."""
    first, last = (x._data if isinstance(x, Value) else x for x in (start, end))
    kind = config.default_dtype if dtype is None else numpy_of(dtype)
    if np.dtype(kind).kind == "f" and steps > 1 and not np.ndim(first) and not np.ndim(last):
        numbers = _equal_steps(first, last, steps, np.dtype(kind).type)
    else:
        numbers = np.linspace(first, last, steps).astype(kind)
    return _finished(numbers, requires_grad, device, out)


def _equal_steps(first: Any, last: Any, steps: int, kind: Any) -> Any:
    """As PyTorch counts them: from both ends, with products and sums that are rounded once."""
    begin, end = kind(first), kind(last)
    by, i = (end - begin) / kind(steps - 1), np.arange(steps)
    wide = np.longdouble if kind is np.float64 else np.float64
    up, down = wide(begin) + wide(by) * i, wide(end) - wide(by) * (steps - 1 - i)
    return np.where(i < steps // 2, up, down).astype(kind)


def logspace(
    start: Any,
    end: Any,
    steps: int,
    base: float = 10.0,
    *,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    layout: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Powers of a base with exponents at equal distances."""
    kind = config.default_dtype if dtype is None else numpy_of(dtype)
    return _finished(np.logspace(start, end, steps, base=base).astype(kind), requires_grad, device, out)


def eye(
    n: int,
    m: Any = None,
    *,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """The identity matrix."""
    kind = config.default_dtype if dtype is None else numpy_of(dtype)
    return _finished(np.eye(n, n if m is None else m, dtype=kind), requires_grad, device, out)


def scalar_tensor(s: Any, *, dtype: Any = None, device: Any = None, requires_grad: bool = False) -> Any:
    """A Tensor without axes, of the default dtype."""
    return _finished(
        np.asarray(s, config.default_dtype if dtype is None else numpy_of(dtype)), requires_grad, device
    )


def empty_strided(size: Any, stride: Any, **how: Any) -> Any:
    """A Tensor with its own steps in memory."""
    shape, steps = sizes((size,)), sizes((stride,))
    kind = np.dtype(numpy_of(how.get("dtype")) or config.default_dtype)
    length = 1 + sum((n - 1) * s for n, s in zip(shape, steps)) if all(shape) else 0
    memory = np.zeros(max(length, 0), kind)
    return made(np.ndarray(shape, kind, memory, 0, [s * kind.itemsize for s in steps]))


# Random numbers


def _real_kind(dtype: Any) -> Any:
    kind = config.default_dtype if dtype is None else np.dtype(numpy_of(dtype))
    if kind.kind not in "fc":
        raise RuntimeError(f"expected a floating-point dtype for random numbers, got {of(kind)}")
    return kind


@drawing
def rand(
    *size: Any,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Any:
    """Uniform random numbers in [0, 1)."""
    kind, shape = _real_kind(dtype), sizes(size if "size" not in named else (named["size"],))
    return _finished(generator_of(generator).uniforms(shape, 0.0, 1.0, kind), requires_grad, device, out)


def normals_of(generator: Any, shape: Any, mean: float, std: float, kind: Any, in_order: bool = True) -> Any:
    """Normal numbers, complex ones with half of the variance in each part."""
    if np.dtype(kind).kind == "c":
        part = np.float32 if kind == np.complex64 else np.float64
        pairs = generator.normals((*shape, 2), 0.0, std * math.sqrt(0.5), part, in_order)
        return np.ascontiguousarray(pairs).view(kind)[..., 0] + mean
    return generator.normals(shape, mean, std, kind, in_order)


@drawing
def randn(
    *size: Any,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
    **named: Any,
) -> Any:
    """Normal random numbers with mean 0 and variance 1."""
    kind, shape = _real_kind(dtype), sizes(size if "size" not in named else (named["size"],))
    return _finished(normals_of(generator_of(generator), shape, 0.0, 1.0, kind), requires_grad, device, out)


@drawing
def randint(
    low: Any,
    high: Any = None,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Random integers in [low, high)."""
    if size is None:
        low, high, size = 0, low, high
    if high is None:
        low, high = 0, low
    if low >= high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    numbers = generator_of(generator).randints(int(low), int(high), sizes((size,)))
    return _finished(
        numbers.astype(np.int64 if dtype is None else numpy_of(dtype)), requires_grad, device, out
    )


@drawing
def randperm(
    n: int,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    layout: Any = None,
    device: Any = None,
    requires_grad: bool = False,
    pin_memory: bool = False,
) -> Any:
    """The numbers 0 to n - 1 in random order."""
    return _finished(
        generator_of(generator).order(n).astype(np.int64 if dtype is None else numpy_of(dtype)),
        requires_grad,
        device,
        out,
    )


def rand_like(input: Any, *, dtype: Any = None, **how: Any) -> Any:
    """Uniform random numbers of the shape and dtype of another Tensor."""
    return _laid_out_as(input, rand, lambda out: out.uniform_(), dtype, how)


def randn_like(input: Any, *, dtype: Any = None, **how: Any) -> Any:
    """Normal random numbers of the shape and dtype of another Tensor."""
    return _laid_out_as(input, randn, lambda out: out.normal_(), dtype, how)


def randint_like(input: Any, low: Any, high: Any = None, *, dtype: Any = None, **how: Any) -> Any:
    """Random integers of the shape and dtype of another Tensor."""
    low, high = (0, low) if high is None else (low, high)
    return _laid_out_as(input, partial(randint, low, high), lambda out: out.random_(low, high), dtype, how)


def _laid_out_as(input: Any, draw: Any, fill: Any, dtype: Any, how: dict[str, Any]) -> Any:
    """What is drawn for the shape of a Tensor, laid out as it is: a transposed one is filled in its order."""
    kind, axes = input.dtype if dtype is None else dtype, memory_order(input)
    if axes is None:
        return draw(tuple(input.shape), dtype=kind, **_known(how))
    empty = np.empty([input.shape[a] for a in axes], numpy_of(kind)).transpose(np.argsort(axes).tolist())
    return _finished(fill(made(empty))._data, how.get("requires_grad", False), how.get("device"))


def _known(how: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in how.items() if key != "memory_format"}


@drawing
def normal(
    mean: Any = 0.0,
    std: Any = 1.0,
    size: Any = None,
    *,
    generator: Any = None,
    out: Any = None,
    dtype: Any = None,
    device: Any = None,
    requires_grad: bool = False,
) -> Any:
    """Normal random numbers with means and standard deviations."""
    tensors = [x for x in (mean, std) if isinstance(x, Value)]
    shape = sizes((size,)) if size is not None else np.broadcast_shapes(*[x._data.shape for x in tensors])
    kind = tensors[0]._data.dtype if tensors else _real_kind(dtype)
    if not tensors:
        return _finished(
            normals_of(generator_of(generator), shape, mean, std, kind), requires_grad, device, out
        )
    drawn = generator_of(generator).normals(shape, 0.0, 1.0, kind)
    m, s = (x._data if isinstance(x, Value) else np.asarray(x, kind) for x in (mean, std))
    return _finished((drawn * s + m).astype(kind), requires_grad, device, out)


@drawing
def bernoulli(input: Any, p: Any = None, *, generator: Any = None, out: Any = None) -> Any:
    """Ones with the probabilities given, zeros otherwise."""
    data = input._data if p is None else np.broadcast_to(np.asarray(p, input._data.dtype), input._data.shape)
    if data.size and not ((data >= 0) & (data <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false.")
    chance = float(p) if p is not None and not isinstance(p, Value) else data
    found = generator_of(generator).booleans(chance, data.shape)
    return _finished(found.astype(input._data.dtype), out=out)


@drawing
def multinomial(
    input: Any, num_samples: int, replacement: bool = False, *, generator: Any = None, out: Any = None
) -> Any:
    """Indices drawn with probabilities proportional to the rows of a matrix, or to a vector."""
    weights = input._data
    if weights.ndim not in (1, 2):
        raise RuntimeError("prob_dist must be 1 or 2 dim")
    if not np.isfinite(weights).all() or (weights < 0).any():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if (weights.sum(-1) <= 0).any():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if num_samples <= 0:
        raise RuntimeError("cannot sample num_samples <= 0 samples")
    if not replacement and num_samples > weights.shape[-1]:
        raise RuntimeError(
            f"cannot sample {num_samples} samples without replacement from {weights.shape[-1]} categories"
        )
    g = generator_of(generator)
    if not replacement or num_samples == 1:
        # the smallest of exponential numbers divided by the weights
        q = g.exponentials(weights.shape, 1.0, weights.dtype)
        with np.errstate(divide="ignore", invalid="ignore"):
            race = np.where(weights == 0, 0, weights / q)
        if num_samples == 1:
            found = np.argmax(race, -1, keepdims=True)
        else:
            n = race.shape[-1]
            found = (n - 1 - np.argsort(race[..., ::-1], -1, kind="stable")[..., ::-1])[..., :num_samples]
        return _finished(found.astype(np.int64), out=out)
    rows = weights.reshape(-1, weights.shape[-1])
    sums = np.cumsum(rows, -1, dtype=rows.dtype)
    cumulative = sums / sums[:, -1:]
    cumulative[:, -1] = 1
    u = g.doubles(len(rows) * num_samples).reshape(len(rows), num_samples)
    found = np.stack([np.searchsorted(c, x.astype(c.dtype), "left") for c, x in zip(cumulative, u)])
    found = np.minimum(found, weights.shape[-1] - 1)
    return _finished(found.reshape((*weights.shape[:-1], num_samples)).astype(np.int64), out=out)


@drawing
def poisson(input: Any, generator: Any = None) -> Any:
    """Numbers of the Poisson distributions with the rates given."""
    if (input._data < 0).any():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    return made(generator_of(generator).poissons(input._data).astype(input._data.dtype))


@drawing
def binomial(count: Any, prob: Any, generator: Any = None) -> Any:
    """Numbers of successes of `count` trials."""
    if (count._data < 0).any() or (count._data != np.floor(count._data)).any():
        raise RuntimeError("binomial: expected counts that are whole numbers of at least 0")
    drawn = generator_of(generator).binomials(count._data, prob._data)
    return made(drawn.astype(prob._data.dtype))


# Typed constructors of old programs


def _typed(kind: str) -> Any:
    class Typed(type):
        def __instancecheck__(cls, x: Any) -> bool:
            return isinstance(x, Tensor) and x._data.dtype == kind

        def __call__(cls, *args: Any) -> Any:
            return Tensor(*args, dtype=of(kind))

    return Typed


TYPED = {
    name: _typed(kind)(name, (), {"dtype": of(kind), "__module__": "torch"})
    for name, kind in (
        ("FloatTensor", "float32"),
        ("DoubleTensor", "float64"),
        ("HalfTensor", "float16"),
        ("LongTensor", "int64"),
        ("IntTensor", "int32"),
        ("ShortTensor", "int16"),
        ("CharTensor", "int8"),
        ("ByteTensor", "uint8"),
        ("BoolTensor", "bool"),
    )
}


# Windows


def _window(name: str) -> Any:
    function = getattr(np, name)

    def window(window_length: int, periodic: bool = True, *args: Any, dtype: Any = None, **how: Any) -> Any:
        kind = config.default_dtype if dtype is None else numpy_of(dtype)
        if window_length < 2:
            return made(np.ones(window_length, kind))
        more = args or (12.0,) if name == "kaiser" else ()
        return made(function(window_length + periodic, *more)[:window_length].astype(kind))

    window.__name__, window.__doc__ = f"{name}_window", f"The window of {name}."
    return window


bartlett_window, blackman_window, hamming_window = (
    _window("bartlett"),
    _window("blackman"),
    _window("hamming"),
)
hann_window, kaiser_window = _window("hanning"), _window("kaiser")


def unravel_index(indices: Any, shape: Any) -> Any:
    """Places in the flattened Tensor as one index for each axis."""
    return tuple(made(np.asarray(i, np.int64)) for i in np.unravel_index(indices._data, tuple(shape)))
