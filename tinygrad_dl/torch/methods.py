"""Methods of Tensor: the functions entered in the registry, those in place, conversions and operators."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import creation, elementwise, shaping
from tinygrad_dl.torch import indexing as indexing  # they enter their functions
from tinygrad_dl.torch import products as products
from tinygrad_dl.torch.boundary import function, hold, is_ours, lift, lower, made
from tinygrad_dl.torch.dtypes import check_device, device, dtype, numpy_of
from tinygrad_dl.torch.random import drawing, drawn_as, generator_of
from tinygrad_dl.torch.registry import IN_PLACE, METHODS, TORCH
from tinygrad_dl.torch.tensor import _OPERATORS, Tensor, assign

METHODS["where"] = METHODS.pop("where_method")
METHODS["polygamma"] = METHODS.pop("polygamma_method")
IN_PLACE.add("polygamma")
METHODS["round"], METHODS["pow"] = TORCH["round"], TORCH["pow"]

for _name, _function in METHODS.items():
    setattr(Tensor, _name, _function)


def in_place(name: str, f: Callable[..., Any]) -> Callable[..., Any]:
    """The method that writes what a function gives to its Tensor, and returns the Tensor."""

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return assign(self, f(self, *args, **kwargs), name)

    method.__name__, method.__doc__ = name, f"`{name[:-1]}`, written to the Tensor itself; returns it."
    return method


for _name in IN_PLACE:
    setattr(Tensor, f"{_name}_", in_place(f"{_name}_", METHODS[_name]))
for _name in (
    "masked_fill",
    "masked_scatter",
    "index_put",
    "index_fill",
    "index_copy",
    "index_add",
    "scatter",
    "scatter_add",
):
    TORCH.setdefault(_name, METHODS[_name])


# Conversions


def _astype(x: Any, kind: Any) -> Any:
    return x if x._data.dtype == kind else function(elementwise.astype)(x, kind)


def to(self: Any, *args: Any, **kwargs: Any) -> Any:
    """The Tensor in another dtype: to(dtype), to(device), to(device, dtype), to(other)."""
    kind = kwargs.get("dtype")
    check_device(kwargs.get("device"))
    for x in args:
        if isinstance(x, Value):
            kind = x.dtype
        elif isinstance(x, (dtype, np.dtype, type)):
            kind = x
        elif isinstance(x, (str, device)):
            check_device(x)
        elif not (x is None or isinstance(x, bool)):
            kind = x
    out = self if kind is None else _astype(self, numpy_of(kind))
    return out.clone() if out is self and kwargs.get("copy") else out


def type_(self: Any, dtype: Any = None, non_blocking: bool = False) -> Any:
    """The name of the type, such as "torch.FloatTensor"; with a dtype or such a name, a conversion."""
    if dtype is None:
        names = {one.dtype: name for name, one in creation.TYPED.items()}
        return f"torch.{names[self.dtype]}"
    if isinstance(dtype, str):
        dtype = creation.TYPED[dtype.rpartition(".")[2]]
    return _astype(self, numpy_of(getattr(dtype, "dtype", dtype)))


def _converting(kind: Any) -> Any:
    def method(self: Any, memory_format: Any = None) -> Any:
        return _astype(self, numpy_of(kind))

    return method


CONVERSIONS = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "int": "int32",
    "short": "int16",
    "char": "int8",
    "byte": "uint8",
    "bool": "bool",
    "bfloat16": "float32",
    "cfloat": "complex64",
    "cdouble": "complex128",
}


def clone(self: Any, *, memory_format: Any = None) -> Any:
    """A copy; the gradient passes through."""
    return function(_copied)(self)


def _copied(x: Any) -> Any:
    if x.level is not None or x.node is not None:
        out = tg.positive(x)
        if x.level is None:
            hold(out, np.array(x._data, order="K"))
        return out
    out = made_core(x._data)
    hold(out, np.array(x._data, order="K"))
    return out


def made_core(array: Any) -> Any:
    """An array as a Tensor of the core."""
    from tinygrad_dl.convert import wrap

    return wrap(array)


def contiguous(self: Any, memory_format: Any = None) -> Any:
    """The Tensor with its elements in order: itself where they are."""
    if self.level is not None or self._data.flags.c_contiguous:
        return self
    out = clone(self)
    hold(out, np.ascontiguousarray(out._data))
    return out


def same(self: Any, *args: Any, **kwargs: Any) -> Any:
    """The Tensor itself: everything is on the CPU."""
    return self


def cuda(self: Any, device: Any = None, *args: Any, **kwargs: Any) -> Any:
    """Raises: there is no such device."""
    check_device(device or "cuda")


def dim(self: Any) -> int:
    """The number of axes."""
    return int(self._data.ndim)


def numel(self: Any) -> int:
    """The number of elements."""
    return int(self._data.size)


def element_size(self: Any) -> int:
    """The bytes of one element."""
    return int(self._data.itemsize)


def get_device(self: Any) -> int:
    """-1: the CPU."""
    return -1


def is_floating_point(self: Any) -> bool:
    """Whether the dtype is floating."""
    return bool(self._data.dtype.kind == "f")


def is_complex(self: Any) -> bool:
    """Whether the dtype is complex."""
    return bool(self._data.dtype.kind == "c")


def is_signed(self: Any) -> bool:
    """Whether the dtype has negative numbers."""
    return bool(self._data.dtype.kind in "fci")


def is_nonzero(self: Any) -> bool:
    """Whether the one element is not 0."""
    return bool(self)


def is_same_size(self: Any, other: Any) -> bool:
    """Whether the shapes are equal."""
    return bool(self.shape == other.shape)


def is_tensor(obj: Any) -> bool:
    """Whether it is a Tensor."""
    return is_ours(obj)


def is_shared(self: Any) -> bool:
    """Whether other processes share the memory: no."""
    return False


def is_conj(self: Any) -> bool:
    """Whether a conjugation is still to be computed: no."""
    return False


def apply_(self: Any, callable: Any) -> Any:
    """Each element replaced by a function of it."""
    array = np.array([callable(v) for v in self._data.reshape(-1).tolist()])
    return assign(self, made(array.reshape(self._data.shape).astype(self._data.dtype)), "apply_")


def map_(self: Any, tensor: Any, callable: Any) -> Any:
    """Each element replaced by a function of it and another."""
    a, b = np.broadcast_arrays(self._data, tensor._data)
    array = np.array([callable(v, w) for v, w in zip(a.reshape(-1).tolist(), b.reshape(-1).tolist())])
    return assign(self, made(array.reshape(self._data.shape).astype(self._data.dtype)), "map_")


# Written in place


@np.errstate(all="ignore")
def fill_(self: Any, value: Any) -> Any:
    """One value everywhere."""
    if isinstance(value, Value) and value.node is not None:
        return assign(self, lift(tg.broadcast_to(lower(value), tuple(self.shape))), "fill_")
    number = value.item() if isinstance(value, Value) else value
    return assign(self, made(np.full(self._data.shape, number).astype(self._data.dtype)), "fill_")


def zero_(self: Any) -> Any:
    """0 everywhere."""
    return fill_(self, 0)


@np.errstate(all="ignore")
def copy_(self: Any, src: Any, non_blocking: bool = False) -> Any:
    """The values of another Tensor, converted and broadcast."""
    source = lower(src if isinstance(src, Value) else made(np.asarray(src)))
    try:
        wide = source if source.shape == tuple(self.shape) else tg.broadcast_to(source, tuple(self.shape))
    except ValueError:
        raise RuntimeError(
            f"The size of tensor a ({list(self.shape)}) must match the size of tensor b ({list(source.shape)})"
        ) from None
    return assign(self, lift(elementwise.astype(wide, self._data.dtype)), "copy_")


def fill_diagonal_(self: Any, fill_value: Any, wrap: bool = False) -> Any:
    """One value along the diagonal."""
    array = np.array(self._data)
    np.fill_diagonal(array, fill_value, wrap)
    return assign(self, made(array), "fill_diagonal_")


def _drawing(what: str, draw: Callable[..., Any]) -> Any:
    @drawing
    def drawn(like: Any, *args: Any, generator: Any = None, **kwargs: Any) -> Any:
        g, kind = generator_of(generator), like._data.dtype
        if draw is _normal:
            kwargs["in_order"] = bool(like.level is not None or like._data.flags.c_contiguous)
        if any(isinstance(x, Value) for x in (*args, *kwargs.values())):  # one chance for each element
            array = draw(g, like._data.shape, kind, *args, **kwargs)
        else:
            array = drawn_as(like, lambda shape: np.asarray(draw(g, shape, kind, *args, **kwargs)))
        return made(np.asarray(array).astype(kind))

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        return assign(self, drawn(self, *args, **kwargs), what)

    method.__name__, method.__doc__ = what, f"Filled with random numbers: {what[:-1]}."
    return method


def _uniform(g: Any, shape: Any, kind: Any, from_: float = 0.0, to: float = 1.0, **named: Any) -> Any:
    low = named.get("from", from_)
    if low > to:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={to}")
    return g.uniforms(shape, low, to, kind)


def _normal(
    g: Any, shape: Any, kind: Any, mean: float = 0.0, std: float = 1.0, *, in_order: bool = True
) -> Any:
    if std < 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    return creation.normals_of(g, shape, mean, std, kind, in_order)


def _random(g: Any, shape: Any, kind: Any, from_: int = 0, to: Any = None, **named: Any) -> Any:
    low = named.get("from", from_)
    if to is None and low:
        low, to = 0, low
    if to is None:
        bits = {
            np.dtype("float32"): 24,
            np.dtype("float64"): 53,
            np.dtype("int64"): 63,
            np.dtype("int32"): 31,
            np.dtype("int16"): 15,
            np.dtype("int8"): 7,
            np.dtype("uint8"): 8,
            np.dtype("bool"): 1,
        }[kind]
        to = 2**bits + (1 if np.dtype(kind).kind == "f" else 0)
        if bits >= 53:
            return (g.raw64(int(np.prod(shape))) % np.uint64(to)).reshape(shape)
    return g.randints(low, to, shape)


def _bernoulli(g: Any, shape: Any, kind: Any, p: Any = 0.5) -> Any:
    return g.booleans(np.broadcast_to(p._data, shape) if isinstance(p, Value) else float(p), shape)


def _log_normal(g: Any, shape: Any, kind: Any, mean: float = 1.0, std: float = 2.0) -> Any:
    return g.log_normals(shape, mean, std, kind)


def _cauchy(g: Any, shape: Any, kind: Any, median: float = 0.0, sigma: float = 1.0) -> Any:
    return median + sigma * np.tan(np.pi * (g.doubles(int(np.prod(shape))).reshape(shape) - 0.5))


def _geometric(g: Any, shape: Any, kind: Any, p: float) -> Any:
    return np.ceil(np.log(g.doubles(int(np.prod(shape)))) / np.log1p(-p)).reshape(shape)


def _exponential(g: Any, shape: Any, kind: Any, lambd: float = 1.0) -> Any:
    return g.exponentials(shape, lambd, kind)


# Creation by a Tensor: x.new_zeros(2, 3)


def _new(create: Any) -> Any:
    def method(self: Any, *args: Any, dtype: Any = None, **kwargs: Any) -> Any:
        return create(*args, dtype=self.dtype if dtype is None else dtype, **kwargs)

    return method


def new(self: Any, *args: Any) -> Any:
    """A Tensor of the same dtype: of sizes, or of numbers."""
    return Tensor(*args, dtype=self.dtype)


OWN: dict[str, Any] = {
    "to": to,
    "type": type_,
    "clone": clone,
    "contiguous": contiguous,
    "dim": dim,
    "ndimension": dim,
    "numel": numel,
    "nelement": numel,
    "element_size": element_size,
    "get_device": get_device,
    "cuda": cuda,
    **dict.fromkeys(
        ("cpu", "pin_memory", "share_memory_", "coalesce", "to_dense", "rename", "refine_names"), same
    ),
    "is_floating_point": is_floating_point,
    "is_complex": is_complex,
    "is_signed": is_signed,
    "is_conj": is_conj,
    "is_neg": is_conj,
    "is_inference": is_conj,
    "is_nonzero": is_nonzero,
    "is_same_size": is_same_size,
    "is_shared": is_shared,
    "is_pinned": is_shared,
    "apply_": apply_,
    "map_": map_,
    "fill_": fill_,
    "zero_": zero_,
    "copy_": copy_,
    "fill_diagonal_": fill_diagonal_,
    "uniform_": _drawing("uniform_", _uniform),
    "normal_": _drawing("normal_", _normal),
    "random_": _drawing("random_", _random),
    "bernoulli_": _drawing("bernoulli_", _bernoulli),
    "exponential_": _drawing("exponential_", _exponential),
    "log_normal_": _drawing("log_normal_", _log_normal),
    "cauchy_": _drawing("cauchy_", _cauchy),
    "geometric_": _drawing("geometric_", _geometric),
    "new_zeros": _new(creation.zeros),
    "new_ones": _new(creation.ones),
    "new_empty": _new(creation.empty),
    "new_full": _new(creation.full),
    "new_tensor": _new(creation.tensor),
    "new": new,
    "multinomial": creation.multinomial,
    "bernoulli": creation.bernoulli,
    "type_as": lambda self, other: _astype(self, other._data.dtype),
    **{name: _converting(kind) for name, kind in CONVERSIONS.items()},
}
for _name, _function in OWN.items():
    setattr(Tensor, _name, _function)

# Views that change the Tensor's own shape


def _reshaping(name: str) -> Any:
    f = METHODS[name]

    def method(self: Any, *args: Any, **kwargs: Any) -> Any:
        other = f(self, *args, **kwargs)
        self._data, self.node = other._data, other.node
        return self

    method.__name__, method.__doc__ = f"{name}_", f"`{name}` of the Tensor itself; returns it."
    return method


for _name in ("squeeze", "unsqueeze", "transpose", "t", "swapaxes", "swapdims"):
    setattr(Tensor, f"{_name}_", _reshaping(_name))


def _resize(self: Any, *size: Any, memory_format: Any = None) -> Any:
    """Another shape; elements in front stay."""
    shape = shaping.sizes(size)
    if self.node is not None:
        raise RuntimeError("cannot resize variables that require grad")
    old, n = self._data.reshape(-1), int(np.prod(shape))
    new = np.zeros(n, self._data.dtype)
    new[: min(n, old.size)] = old[:n]
    self._data = new.reshape(shape)
    return self


Tensor.conj_physical_ = Tensor.conj_  # type: ignore[attr-defined]
Tensor.resize_ = _resize  # type: ignore[attr-defined]
Tensor.resize_as_ = lambda self, other: _resize(self, tuple(other.shape))  # type: ignore[attr-defined]


def _set(self: Any, source: Any = None) -> Any:
    """The memory of another Tensor."""
    self._data = np.zeros(0, self._data.dtype) if source is None else source._data
    return self


Tensor.set_ = _set  # type: ignore[attr-defined]


class Storage:
    """The elements of a Tensor as a list, in memory order."""

    def __init__(self, x: Any) -> None:
        self._data = x._data

    def __len__(self) -> int:
        return int(self._data.size)

    def __iter__(self) -> Any:
        return iter(self._data.reshape(-1).tolist())

    def __getitem__(self, i: Any) -> Any:
        return self._data.reshape(-1)[i].item()

    def data_ptr(self) -> int:
        """The address of the first element."""
        base = self._data
        while isinstance(base.base, np.ndarray):
            base = base.base
        return int(base.__array_interface__["data"][0])

    def nbytes(self) -> int:
        """The bytes of the elements."""
        return int(self._data.nbytes)

    size = __len__


Tensor.storage = Tensor.untyped_storage = lambda self: Storage(self)  # type: ignore[attr-defined]

# Attributes


def _mT(self: Any) -> Any:
    """The last two axes exchanged."""
    return self.transpose(-1, -2)


def _T(self: Any) -> Any:
    """The axes in reverse order."""
    return self.permute(*range(self._data.ndim)[::-1])


for _name, _getter in (
    ("T", _T),
    ("mT", _mT),
    ("H", lambda self: self.transpose(-1, -2).conj()),
    ("mH", lambda self: self.transpose(-1, -2).conj()),
    ("real", TORCH["real"]),
    ("imag", TORCH["imag"]),
    ("itemsize", element_size),
    ("nbytes", lambda self: int(self._data.nbytes)),
    ("ndim", dim),
):
    setattr(Tensor, _name, property(_getter))

# Operators


def _reflected(f: Any) -> Any:
    return lambda self, other: NotImplemented if _foreign(other) else f(other, self)


def _direct(f: Any) -> Any:
    return lambda self, other: NotImplemented if _foreign(other) else f(self, other)


def _foreign(x: Any) -> bool:
    return not isinstance(x, (Value, np.ndarray, np.generic, int, float, complex, bool))


def _writing(f: Any, sign: str) -> Any:
    def method(self: Any, other: Any) -> Any:
        if not is_ours(self) or (isinstance(other, Value) and not is_ours(other)):
            return f(self, other)
        return assign(self, f(self, other), sign)

    return method


ARITHMETIC = {
    "add": "add",
    "sub": "sub",
    "mul": "mul",
    "truediv": "div",
    "floordiv": "floor_divide",
    "mod": "remainder",
    "pow": "pow",
    "matmul": "matmul",
    "and": "bitwise_and",
    "or": "bitwise_or",
    "xor": "bitwise_xor",
    "lshift": "bitwise_left_shift",
    "rshift": "bitwise_right_shift",
}
for _name, _theirs in ARITHMETIC.items():
    _f = TORCH[_theirs]
    setattr(Tensor, f"__{_name}__", _direct(_f))
    setattr(Tensor, f"__r{_name}__", _reflected(_f))
    setattr(Tensor, f"__i{_name}__", _writing(_f, f"{_name} in place"))
for _name in ("eq", "ne", "lt", "le", "gt", "ge"):
    setattr(Tensor, f"__{_name}__", _direct(TORCH[_name]))
setattr(Tensor, "__neg__", lambda self: TORCH["neg"](self))  # noqa: B010
setattr(Tensor, "__pos__", lambda self: self)  # noqa: B010
setattr(Tensor, "__abs__", lambda self: TORCH["abs"](self))  # noqa: B010
setattr(Tensor, "__invert__", lambda self: TORCH["bitwise_not"](self))  # noqa: B010
Tensor.__hash__ = object.__hash__  # type: ignore[method-assign]
_OPERATORS.update(
    {
        "add": TORCH["add"],
        "subtract": TORCH["sub"],
        "multiply": TORCH["mul"],
        "divide": TORCH["div"],
        "true_divide": TORCH["div"],
        "power": TORCH["pow"],
        "matmul": TORCH["matmul"],
        "equal": TORCH["eq"],
        "not_equal": TORCH["ne"],
        "less": TORCH["lt"],
        "less_equal": TORCH["le"],
        "greater": TORCH["gt"],
        "greater_equal": TORCH["ge"],
        "floor_divide": TORCH["floor_divide"],
        "remainder": TORCH["remainder"],
        "bitwise_and": TORCH["bitwise_and"],
        "bitwise_or": TORCH["bitwise_or"],
        "bitwise_xor": TORCH["bitwise_xor"],
    }
)
