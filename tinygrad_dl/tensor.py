"""Tensor: an array and the node of the graph that recorded it. What it computes is a table in methods.py."""

from __future__ import annotations

import linecache
import sys
import warnings
from collections.abc import Callable, Iterator
from types import ModuleType
from typing import TYPE_CHECKING, Any
from weakref import ref

import numpy as np

from tinygrad_dl import backward, convert, graph, protocols
from tinygrad_dl.arguments import checked, explained, require
from tinygrad_dl.backend import to_cpu
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.methods import Methods
from tinygrad_dl.modes import active, handed_out, modes, tell
from tinygrad_dl.ops import index
from tinygrad_dl.typing import ArrayLike, DTypeLike, Index, NDArray, Shape, readable

if TYPE_CHECKING:
    from tinygrad_dl.signatures import Input


@readable
class Tensor(Methods):
    """An n-dimensional array that can record what is computed from it, and receive its gradient.

    `data` is copied; lists and Python floats take the default dtype, arrays keep theirs. `requires_grad` asks
    for the gradient in `.grad` after `backward()`; floating dtypes only (else DTypeError). `name` labels
    diagrams.
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    Tensor([2., 4.])
    """

    __slots__ = ()

    def __init__(
        self,
        data: ArrayLike,
        dtype: DTypeLike | None = None,
        requires_grad: bool = False,
        name: str | None = None,
    ) -> None:
        self._data = np.array(convert.asarray_of(data, dtype, "Tensor"))
        self.node, self.name = None, name
        if active:
            tell("created", self, data)
        if requires_grad is not False:
            require("Tensor", "requires_grad", requires_grad, bool)
            self.requires_grad_(requires_grad)

    # What it is

    @property
    def data(self) -> NDArray:
        """The array underneath, shared: what is written to it is not recorded."""
        return handed_out(self, "Tensor.data") if active else self._data

    @data.setter
    def data(self, value: ArrayLike) -> None:
        array, before = convert.asarray_of(value, None, "data"), self._data
        changed = array.shape != self._data.shape or array.dtype != self._data.dtype
        if changed and self.node is not None:
            if not self.is_leaf:
                raise GraphError(
                    "data: the result of an operation keeps its shape and dtype; use detach() first"
                )
            if array.dtype.kind not in "fc":
                raise DTypeError(
                    f"data: expected floating or complex values, as this Tensor requires grad, got {array.dtype}. "
                    "Convert them with .astype('float32'), or call requires_grad_(False) first."
                )
            self._data, self.node = array, None
            self.requires_grad_()
        self._data = array
        if active:
            tell("replaced", self, before, value)

    @property
    def shape(self) -> Shape:
        """The size of each axis."""
        return self._data.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        """The dtype of the elements."""
        return self._data.dtype

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return self._data.ndim

    @property
    def size(self) -> int:
        """The number of elements."""
        return _Size(self._data.size)

    @property
    def nbytes(self) -> int:
        """The memory of the elements, in bytes."""
        return self._data.nbytes

    @property
    def itemsize(self) -> int:
        """The memory of one element, in bytes."""
        return self._data.itemsize

    @property
    def device(self) -> str:
        """Where the array lies: "cpu"."""
        return "cpu"

    @property
    def name(self) -> str | None:
        """A label for diagrams and messages, or None."""
        return getattr(self, "_name", None)

    @name.setter
    def name(self, value: str | None) -> None:
        if value is not None and not isinstance(value, str):
            raise DTypeError(f"name: expected a string or None, got {convert.describe(value)}")
        self._name = value

    # The graph

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for this Tensor or for something it depends on."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    @property
    def is_leaf(self) -> bool:
        """Whether no recorded operation made this Tensor."""
        return self.node is None or self.node.op is None

    @property
    def grad(self) -> Tensor | None:
        """The gradient that backward accumulated for this Tensor, or None; see `retain_grad` for results."""
        if active:
            tell("looked_at", self)
        found = getattr(self, "_grad", None)
        if found is None and self.node is not None and self.node.op is not None:
            _warn_of_result(self.node)
        return found

    @grad.setter
    def grad(self, value: ArrayLike | None) -> None:
        if value is not None:
            value = (
                value if isinstance(value, Tensor) else convert.wrap(convert.asarray_of(value, None, "grad"))
            )
            if value.shape != self.shape or value.dtype != self.dtype:
                raise ShapeError(
                    f"grad: expected the shape {self.shape} and the dtype {self.dtype}, got {value.shape} and "
                    f"{value.dtype}"
                )
        self._grad = value
        if active:
            tell("assigned", self)

    def requires_grad_(self, requires_grad: bool = True) -> Tensor:
        """Ask for the gradient of this Tensor, or with False no longer; returns the Tensor itself."""
        if requires_grad is not True and requires_grad is not False:
            require("requires_grad_", "requires_grad", requires_grad, bool)
        if not requires_grad:
            if not self.is_leaf:
                raise GraphError(
                    "requires_grad_: this Tensor is the result of an operation; use detach() instead"
                )
            self.node = None
        elif self.node is None:
            if self._data.dtype.kind not in "fc":
                raise DTypeError(
                    f"requires_grad: only floating and complex Tensors have gradients; this one is {self.dtype}. "
                    "Make it floating first, with .astype('float32')."
                )
            self.node = graph.leaf(self)
        return self

    def backward(
        self, gradient: ArrayLike | None = None, retain_graph: bool | None = None, create_graph: bool = False
    ) -> None:
        """Add the gradient of this Tensor to `.grad` of every leaf that it depends on.

        `gradient`: what multiplies it, of this shape; may be left out for one element. `retain_graph`
        (default: as `create_graph`) keeps the graph for a second call; `create_graph` records the gradient
        itself, for higher orders. Raises GraphError.
        >>> x = Tensor(3.0, requires_grad=True)
        >>> (x**2).backward()
        >>> x.grad
        Tensor(6.)
        """
        if self.node is None:
            raise GraphError(
                "backward: this Tensor does not require grad: nothing it depends on does, or the graph was "
                "cut by detach(), no_grad or NumPy"
            )
        if create_graph is not False or retain_graph is not None:
            require("backward", "create_graph", create_graph, bool)
            require("backward", "retain_graph", retain_graph, bool | None)
        seed = backward.seed_for(self, gradient, "backward")
        retain = create_graph if retain_graph is None else retain_graph
        backward.run([(self.node, seed)], retain=retain, recording=create_graph)

    def detach(self) -> Tensor:
        """The same values, cut off from the graph; the array is shared."""
        return convert.wrap(self._data)

    def retain_grad(self) -> None:
        """Keep the gradient of this intermediate result in `.grad` too. Raises GraphError without a graph."""
        owner: ref[graph.Value] = ref(self)
        self._watch("retain_grad").owner = owner

    def register_hook(self, hook: Callable[[Tensor], Any]) -> graph.Hook:
        """Call `hook(gradient)` when this Tensor's gradient is complete; what it returns replaces it.

        Returns a handle, whose remove() takes the hook away. Raises GraphError without a graph.
        >>> x = Tensor(1.0, requires_grad=True)
        >>> handle = x.register_hook(lambda g: 2 * g)
        >>> x.backward()
        >>> x.grad
        Tensor(2.)
        """
        require("register_hook", "hook", hook, Callable)
        watch = self._watch("register_hook")
        watch.hooks = watch.hooks if watch.hooks is not None else {}
        return graph.Hook(watch.hooks, hook)

    def _watch(self, what: str) -> graph.Watch:
        if self.node is None:
            raise GraphError(f"{what}: this Tensor does not require grad, so it receives no gradient")
        if self.node.watch is None:
            self.node.watch = graph.Watch(None)
        return self.node.watch

    # Other forms

    def numpy(self) -> NDArray:
        """The array underneath, shared. Raises GraphError if the Tensor requires grad: detach() it first."""
        if self.node is not None:
            raise GraphError(
                "numpy: this Tensor requires grad, which NumPy cannot record. Use .detach().numpy()."
            )
        array = handed_out(self, "Tensor.numpy()") if active else self._data
        return to_cpu(array) if array is self._data else array

    def item(self) -> Any:
        """The one element as a Python number. Raises ShapeError for any other number of elements."""
        if self._data.size != 1:
            raise ShapeError(f"item: expected one element, got {self.size} of the shape {self.shape}")
        if active:
            tell("read", "Tensor.item()")
        return self._data.item()

    def tolist(self) -> Any:
        """The elements as nested Python lists."""
        if active:
            tell("read", "Tensor.tolist()")
        return self._data.tolist()

    @explained
    def to_device(self, device: str, /, *, stream: object = None) -> Tensor:
        """This Tensor; "cpu" is the only device, and it has no streams."""
        if stream is not None:
            raise ValueRangeError(f"to_device: stream: expected None, got {convert.describe(stream)}")
        if device != "cpu":
            raise ValueRangeError(f'to_device: expected the device "cpu", the only one, got {device!r}')
        return self

    @checked
    def __array__(self, dtype: DTypeLike | None = None, copy: bool | None = None) -> NDArray:
        return np.array(self.numpy(), dtype=dtype, copy=copy)

    @checked
    def __dlpack__(
        self,
        *,
        stream: Any = None,
        max_version: Any = None,
        dl_device: Any = None,
        copy: bool | None = None,
    ) -> Any:
        if stream is not None:
            raise ValueRangeError(
                f"__dlpack__: stream: expected None on the CPU, got {convert.describe(stream)}"
            )
        given = {"stream": stream, "max_version": max_version, "dl_device": dl_device, "copy": copy}
        try:
            return self.numpy().__dlpack__(
                **{name: value for name, value in given.items() if value is not None}
            )
        except BufferError as error:
            raise ValueRangeError(f"__dlpack__: {error}") from None

    def __dlpack_device__(self) -> Any:
        return self._data.__dlpack_device__()

    @explained
    def __array_namespace__(self, *, api_version: str | None = None) -> Any:
        return protocols.namespace(api_version)

    __array_ufunc__ = protocols.array_ufunc
    __array_function__ = protocols.array_function

    def __repr__(self) -> str:
        if active:
            tell("read", "the text of a Tensor")
        text = np.array2string(self._data, separator=", ", prefix="Tensor(", threshold=200, edgeitems=3)
        if self._data.dtype not in ("float32", "int64", "bool") or self.size == 0:
            text += f", dtype={self.dtype}"
        if self.size == 0:
            text += f", shape={self.shape}"
        if self.name is not None:
            text += f", name={self.name!r}"
        if self.node is not None:
            text += ", requires_grad=True" if self.node.op is None else f", op={self.node.op.name}"
        return f"{type(self).__name__}({text})"

    def _repr_html_(self) -> str:
        from tinygrad_dl import markup

        if type(self).__repr__ is not Tensor.__repr__:  # it has no values of its own
            return markup.paragraph(markup.text(repr(self)))
        if active:
            tell("read", "the text of a Tensor")
        facts = [f"{type(self).__name__} {self.shape}", str(self.dtype)]
        if self.name is not None:
            facts.insert(0, self.name)
        if self.node is not None:
            facts.append("requires grad" if self.node.op is None else f"result of {self.node.op.name}")
        return markup.array(self._data, ", ".join(facts))

    def __format__(self, spec: str) -> str:
        require("format", "spec", spec, str)
        try:
            return format(self.item() if spec and self.ndim == 0 else repr(self), spec)
        except ValueError as error:
            if self.ndim == 0:
                raise ValueRangeError(f"format: {error}") from None
            raise DTypeError(
                f"format {spec!r} is for one number; this Tensor has the shape {self.shape}. "
                "Format .item(), or each element of .tolist()."
            ) from None

    def __len__(self) -> int:
        if not self.ndim:
            raise DTypeError("len: a Tensor without axes has no length")
        return self.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if not self.ndim:
            raise DTypeError("a Tensor without axes cannot be iterated over; .item() gives its number")
        return (self[i] for i in range(len(self)))

    def __bool__(self) -> bool:
        if self.size != 1:
            raise ValueRangeError(
                f"the truth of a Tensor of shape {self.shape} is not one answer: use .any() or .all()"
            )
        if active:
            tell("read", "the truth of a Tensor")
        return bool(self._data)

    def __float__(self) -> float:
        if self.node is not None:
            _warn_if_written()
        return float(self.item())

    def __int__(self) -> int:
        if self.node is not None:
            _warn_if_written()
        return int(self.item())

    def __complex__(self) -> complex:
        if self.node is not None:
            _warn_if_written()
        return complex(self.item())

    def __index__(self) -> int:
        if self.ndim or self.dtype.kind not in "iu":
            raise DTypeError(
                f"index: expected one integer without axes, got a Tensor of shape {self.shape} and dtype "
                f"{self.dtype}"
            )
        if active:
            tell("read", "a Tensor as an index")
        return self._data.__index__()

    # Copies are leaves: the history is not copied

    def __reduce__(self) -> Any:
        return rebuild, (type(self), self._data, self.requires_grad, self.name, getattr(self, "_grad", None))

    def __copy__(self) -> Tensor:
        return rebuild(type(self), self._data, self.requires_grad, self.name, getattr(self, "_grad", None))

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        grad = getattr(self, "_grad", None)
        grad = None if grad is None else convert.wrap(grad._data.copy())
        memo[id(self)] = twin = rebuild(type(self), np.array(self._data), self.requires_grad, self.name, grad)
        return twin

    def __dir__(self) -> list[str]:
        return sorted(set(super().__dir__()) - ELSEWHERE)

    # Assignment rebinds: the Tensor takes a new value and a new node, and names that share the old value keep it

    def __getitem__(self, key: Index) -> Tensor:
        return index.getitem(self, index.plain_key(key))

    def __setitem__(self, key: Index, value: Input) -> None:
        place = index.plain_key(key)
        if self.node is not None and self.node.op is None:
            self._validate_in_place("x[...] = ...")
            self._data[place] = array = convert.asarray_of(value)
            if active:
                tell("wrote", self, place, array)
            return
        before, result = self._data, index.setitem(self, value, place)
        if result.level is not None:  # a value of func.vmap or func.jvp was put in: now this is one, too
            take_over(self, result)
            return
        watch = None if self.node is None else self.node.watch
        self._data, self.node = result._data, result.node
        if active:
            tell("replaced", self, before, result)
        if watch is not None and watch.owner is not None and self.node is not None:
            self.retain_grad()


def take_over(tensor: Any, other: Any) -> None:
    """Make a Tensor what another one is."""
    tensor.__class__ = type(other)
    for slot in ("_data", "node", "_grad", "_name"):
        content = graph.Value.__dict__[slot]
        try:
            content.__set__(tensor, content.__get__(other))
        except AttributeError:  # nothing was put there
            pass


def _warn_if_written() -> None:
    """Warn where NumPy asks for the number of a Tensor that requires grad: array[i] = t ends the graph in silence."""
    if not modes.recording:
        return
    from opcode import opname

    frame: Any = sys._getframe(2)
    code = frame.f_code
    doing = opname[code.co_code[frame.f_lasti]]
    level = 3
    inside_numpy = False
    while frame is not None and frame.f_globals.get("__name__", "").partition(".")[0] == "numpy":
        frame, level, inside_numpy = frame.f_back, level + 1, True
    # what float(t) itself asks for is meant; an assignment and a function that fills an array are not
    filling = doing.startswith("CALL") and not FILLING.isdisjoint(code.co_names)
    if filling:
        line = linecache.getline(code.co_filename, sys._getframe(2).f_lineno)
        filling = any(f"{name}(" in line for name in FILLING)
    if doing == "STORE_SUBSCR" or inside_numpy or filling:
        warnings.warn(
            "A Tensor that requires grad is written into an array as a number, and its gradient ends there. Collect "
            "Tensors in a list and use stack(list), assign to a Tensor, or write t.detach().",
            stacklevel=level,
        )


FILLING = frozenset({"fill", "fromiter"})


def _warn_of_result(node: graph.Node) -> None:
    """Warn where the gradient of a result is asked for, which backward() does not store unless retain_grad() asked."""
    if node.watch is None or node.watch.owner is None:
        warnings.warn(
            f"grad: this Tensor is the result of an operation ({node.op.name}), and backward() fills .grad of leaves "
            "only. To update a parameter in place, write `with tg.no_grad(): w -= lr * w.grad`; to see the gradient "
            "of a result, call its retain_grad() before backward().",
            stacklevel=3,
        )


def rebuild(kind: type, data: np.ndarray, requires_grad: bool, name: str | None, grad: Any) -> Any:
    """A Tensor from its parts, without copying; what pickle and copy call."""
    tensor: Any = object.__new__(kind)
    tensor._data, tensor.node, tensor._name = data, None, name
    if requires_grad:
        tensor.requires_grad_()
    tensor._grad = grad
    return tensor


class Elsewhere:
    """In a class, a name that other libraries have: reading it is the AttributeError that says what to use here.

    With `__getattr__` instead, Python would read every attribute of a Tensor the slow way.
    """

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name = name

    def __get__(self, instance: object, owner: type | None = None) -> object:
        from tinygrad_dl.vocabulary import unknown

        raise unknown("Tensor", self.name)


# The names of vocabulary.py that are methods elsewhere; it is loaded on use, and a test compares the two.
ELSEWHERE = frozenset(
    """
    view view_as reshape_as numel dim unsqueeze permute t expand expand_as repeat_interleave chunk unbind
    movedim contiguous gather index_select masked_fill masked_select scatter_ index_put_ topk clamp norm pow eq
    ne floor ceil trunc sign tan sinh cosh asin acos atan erf exp2 log2 log10 reciprocal isnan isinf isfinite
    median flip roll tile split outer tril triu diag diagonal trace maximum minimum add sub mul div neg mm bmm
    mv matmul float double half long int bool to type type_as cuda cpu is_cuda clone zero_ fill_ copy_ add_ sub_
    mul_ div_ clamp_ uniform_ normal_ grad_fn retains_grad fill tofile strides flags base flat
    nelement ndimension swapdims unflatten t_ squeeze_ unsqueeze_ transpose_ is_contiguous select narrow
    masked_fill_ index_fill_ index_copy_ take_along_dim amax amin clamp_min clamp_max gt ge lt le allclose equal
    unique nan_to_num rsqrt lerp acosh asinh atanh atan2 hypot angle copysign signbit cross kron diff quantile
    isclose logical_and logical_or logical_xor logical_not logaddexp bitwise_and bitwise_or bitwise_xor
    floor_divide remainder count_nonzero moveaxis broadcast_to addmm addmv baddbmm addcmul addcdiv det slogdet
    svd qr cholesky matrix_power inverse pinverse short char byte is_floating_point is_complex element_size
    new_zeros new_ones new_empty new_full new_tensor get_device is_cpu pin_memory share_memory_ exp_ log_ sqrt_
    square_ abs_ neg_ pow_ sin_ cos_ tanh_ sigmoid_ relu_ floor_ ceil_ round_ sign_ reciprocal_ rsqrt_ tril_
    triu_ clip_ lerp_ addcmul_ addcdiv_ addmm_ detach_ random_ bernoulli_ stride data_ptr
    """.split()
)
for _name in ELSEWHERE:
    setattr(Tensor, _name, Elsewhere(_name))


class _Size(int):
    """The number of elements, which answers a call like PyTorch's x.size(0)."""

    __slots__ = ()

    def __call__(self, *args: Any) -> Any:
        from tinygrad_dl.vocabulary import hint

        raise DTypeError(f"Tensor.size: {hint('Tensor', 'size')}")

    def __reduce__(self) -> Any:
        return int, (int(self),)


class _NoFunction(ModuleType):
    """This module, `tg.tensor`, where it is called like torch.tensor."""

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        from tinygrad_dl.vocabulary import hint

        raise DTypeError(f"tg.tensor: {hint('tinygrad_dl', 'tensor')}")


sys.modules[__name__].__class__ = _NoFunction

convert.bind_tensor(Tensor)
