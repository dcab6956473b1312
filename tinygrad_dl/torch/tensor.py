"""PyTorch's Tensor: a Tensor of the core with PyTorch's attributes, and assignment that reaches every view.

In the core, assignment gives a name a new value; in PyTorch it changes memory that views share. Here a write goes to
the memory. Where a graph has saved that memory, the Tensor and its views move to new memory first, so that what is
saved stays as it was; where gradients have to follow, the base and its views are given the nodes that PyTorch gives
them: the base one in which the written part is replaced, each view one that picks its elements out of the base.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.modes import modes
from tinygrad_dl.ops import elementwise, index
from tinygrad_dl.ops import shape as shaping
from tinygrad_dl.tensor import Tensor as CoreTensor
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import boundary
from tinygrad_dl.torch.boundary import (
    as_view,
    computed,
    connect,
    is_ours,
    lift,
    looked_at,
    lower,
    made,
    note_view,
    root_of,
    views_of,
)
from tinygrad_dl.torch.dtypes import _CATEGORY, CPU, Count, Size, numpy_of, of

_GRAD: Any = vars(CoreTensor)["grad"]


class Tensor(CoreTensor):
    """An n-dimensional array with PyTorch's methods, which records what is computed from it.

    `torch.Tensor(2, 3)` is an uninitialized one of the default dtype; of lists, `torch.tensor(...)` keeps the dtype.
    """

    _base: Any = None  # the Tensor that it is a view of
    _views: Any = ()  # references to the views of it
    _detached = False  # whether it shares memory with its base, and no gradient
    _saved = False  # whether a graph may have saved the array
    _exported = False  # whether NumPy shares the array
    _stands_for: Any = None  # a reference to the Tensor that this would be a view of in PyTorch, as conj() is

    def __init__(
        self, *args: Any, dtype: Any = None, requires_grad: bool = False, device: Any = None
    ) -> None:
        kind = np.dtype(numpy_of(dtype) if dtype is not None else of(np.float32).dtype)
        if dtype is None:
            from tinygrad_dl import config

            kind = config.default_dtype
        if len(args) == 1 and not isinstance(args[0], (int, np.integer)):
            given = args[0]
            if isinstance(given, Size):
                self._data = np.zeros(tuple(given), kind)
            elif isinstance(given, Value):
                self._data = given._data
            else:
                self._data = np.array(convert.asarray_of(given, None, "Tensor"), kind)
        else:
            self._data = np.zeros(tuple(int(n) for n in args) if args else (0,), kind)
        self.node, self._name = None, None
        alias: Any = args[0] if len(args) == 1 and is_ours(args[0]) else None
        if alias is not None and alias.level is None:
            self.node = shaping.reshape(lower(alias), self._data.shape).node
            as_view(self, alias)
        elif requires_grad:
            self.requires_grad_()

    # What it is

    @property
    def shape(self) -> Any:
        """The size of each axis."""
        return Size(self._data.shape)

    @property
    def size(self) -> Any:
        """size(): the sizes of all axes; size(dim): that of one."""
        count = Count(self._data.size)
        count.shape = self._data.shape
        return count

    @property
    def dtype(self) -> Any:
        """The dtype of the elements."""
        return of(self._data.dtype)

    @property
    def device(self) -> Any:
        """The device: the CPU."""
        return CPU

    @property
    def layout(self) -> Any:
        """The layout: strided."""
        return strided

    is_cuda = is_sparse = is_quantized = is_meta = is_mps = is_xpu = is_mkldnn = is_nested = False
    is_cpu = True
    names: Any = None
    output_nr = 0

    def stride(self, dim: int | None = None) -> Any:
        """The steps, in elements, along the axes."""
        steps = tuple(s // max(self._data.itemsize, 1) for s in self._data.strides)
        return steps if dim is None else steps[dim]

    def storage_offset(self) -> int:
        """Where the first element lies in the memory of the base, in elements."""
        root = root_of(self)
        return (_address(self._data) - _address(root._data)) // max(self._data.itemsize, 1)

    def data_ptr(self) -> int:
        """The address of the first element."""
        return _address(self._data)

    def is_contiguous(self, memory_format: Any = None) -> bool:
        """Whether the elements lie in order."""
        return bool(self._data.flags.c_contiguous)

    # The graph

    @property
    def data(self) -> Any:
        """The same memory without the graph."""
        return self.detach()

    @data.setter
    def data(self, value: Any) -> None:
        array = value._data if isinstance(value, Value) else np.asarray(value)
        if self.node is not None and self.is_leaf and array.dtype.kind not in "fc":
            raise RuntimeError(
                "data set to a tensor that requires gradients must be floating point or complex"
            )
        if self.node is not None and self.is_leaf:
            self._data, self.node = array, None
            self.requires_grad_()
        else:
            self._data = array

    @property
    def grad(self) -> Any:
        """The gradient that backward accumulated, or None."""
        found = getattr(self, "_grad", None)
        if found is None:
            if self.node is not None and self.node.op is not None:
                return _GRAD.__get__(self)  # warns
            return None
        if not is_ours(found):
            found = self._grad = lift(found)
        return found

    @grad.setter
    def grad(self, value: Any) -> None:
        _GRAD.__set__(self, value)

    @property
    def grad_fn(self) -> Any:
        """The operation that made this Tensor, or None."""
        return None if self.is_leaf else GradFn(self.node)

    @property
    def retains_grad(self) -> bool:
        """Whether retain_grad() was called on this result."""
        return (
            not self.is_leaf
            and self.node is not None
            and self.node.watch is not None
            and (self.node.watch.owner is not None)
        )

    @property
    def requires_grad(self) -> bool:
        """Whether backward computes a gradient for this Tensor or for something it depends on."""
        return self.node is not None

    @requires_grad.setter
    def requires_grad(self, value: bool) -> None:
        self.requires_grad_(value)

    def requires_grad_(self, requires_grad: bool = True) -> Any:
        """Ask for the gradient of this Tensor; returns the Tensor itself."""
        if requires_grad and self.node is None and self._data.dtype.kind not in "fc":
            raise RuntimeError("only Tensors of floating point dtype can require gradients")
        if not requires_grad and not self.is_leaf:
            raise RuntimeError(
                "you can only change requires_grad flags of leaf variables. If you want to use a computed variable in "
                "a subgraph that doesn't require differentiation use var_no_grad = var.detach()."
            )
        return super().requires_grad_(bool(requires_grad))

    def detach(self) -> Any:
        """The same memory without the graph."""
        if self.level is not None:
            return lift(lower(self).detach())
        return as_view(made(self._data), self, detached=True)

    def detach_(self) -> Any:
        """Cut this Tensor off from the graph that made it."""
        self.node = None
        return self

    def backward(
        self,
        gradient: Any = None,
        retain_graph: bool | None = None,
        create_graph: bool = False,
        inputs: Any = None,
    ) -> None:
        """Add the gradient of this Tensor to `.grad` of every leaf, or of `inputs`."""
        if inputs is None:
            super().backward(lower(gradient), retain_graph, create_graph)
            return
        from tinygrad_dl import autograd

        wanted = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        found = autograd.grad(
            lower(self),
            [lower(x) for x in wanted],
            lower(gradient),
            retain_graph,
            create_graph,
            allow_unused=True,
        )
        for x, g in zip(wanted, found):
            if g is not None:
                x.grad = lift(g) if x.grad is None else x.grad + lift(g)

    def register_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Call `hook(gradient)` when this Tensor's gradient is complete; what it returns replaces it."""
        return super().register_hook(lambda g: lower(hook(lift(g))))

    def register_post_accumulate_grad_hook(self, hook: Callable[[Any], Any]) -> Any:
        """Left out: backward tells a leaf's hooks of a gradient before it is accumulated."""
        raise NotImplementedError(
            "register_post_accumulate_grad_hook is left out: call what it does after backward()"
        )

    # Other forms

    def numpy(self, *, force: bool = False) -> Any:
        """The array underneath, shared."""
        if self.node is not None and not force:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        computed("Tensor.numpy()")
        root_of(self)._exported = True
        return self._data

    def item(self) -> Any:
        """The one element as a Python number."""
        if self._data.size != 1:
            raise RuntimeError(f"a Tensor with {self._data.size} elements cannot be converted to Scalar")
        return super().item()

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        if self.node is not None:
            raise RuntimeError(
                "Can't call numpy() on Tensor that requires grad. Use tensor.detach().numpy() instead."
            )
        computed("NumPy")
        root_of(self)._exported = True
        return np.array(self._data, dtype=numpy_of(dtype), copy=copy)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        plain = _arrays(args), _arrays(kwargs)
        return func(*plain[0], **plain[1])

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        operator = _OPERATORS.get(ufunc.__name__) if method == "__call__" and not kwargs else None
        if operator is not None and len(inputs) == 2:  # ndarray + Tensor is PyTorch's sum
            a, b = (x if isinstance(x, Value) else made(np.asarray(x)) for x in inputs)
            return operator(a, b)
        return lift(convert.wrap(getattr(ufunc, method)(*_arrays(inputs), **_arrays(kwargs))))

    def __array_wrap__(self, array: Any, *context: Any) -> Any:
        return made(array)

    def __repr__(self) -> str:
        from tinygrad_dl.torch.printing import text

        return text(self)

    def __str__(self) -> str:
        return repr(self)

    def __format__(self, spec: str) -> str:
        if self._data.ndim == 0 and self.level is None:
            return format(self.item(), spec)
        return object.__format__(self, spec)

    def __len__(self) -> int:
        if not self._data.ndim:
            raise TypeError("len() of a 0-d tensor")
        return int(self._data.shape[0])

    def __iter__(self) -> Iterator[Any]:
        if not self._data.ndim:
            raise TypeError("iteration over a 0-d tensor")
        return iter([self[i] for i in range(len(self))])

    def __contains__(self, element: Any) -> bool:
        return bool((self._data == (element._data if isinstance(element, Value) else element)).any())

    def __bool__(self) -> bool:
        if self._data.size != 1:
            raise RuntimeError("Boolean value of Tensor with more than one value is ambiguous")
        return super().__bool__()

    def __hash__(self) -> int:
        return id(self)

    def __dir__(self) -> list[str]:
        return sorted(set(object.__dir__(self)))

    def __reduce__(self) -> Any:
        return _rebuilt, (type(self), self._data, self.requires_grad, getattr(self, "_grad", None))

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self.__reduce__()

    def __copy__(self) -> Any:
        return _rebuilt(type(self), self._data, self.requires_grad, getattr(self, "_grad", None))

    def __deepcopy__(self, memo: dict[int, Any]) -> Any:
        if not self.is_leaf:
            raise RuntimeError(
                "Only Tensors created explicitly by the user (graph leaves) support the deepcopy protocol at the moment"
            )
        found = getattr(self, "_grad", None)
        grad = None if found is None else made(found._data.copy())
        memo[id(self)] = twin = _rebuilt(type(self), np.array(self._data), self.requires_grad, grad)
        return twin

    # Indexing and assignment

    def __getitem__(self, key: Any) -> Any:
        place = _key(key)
        if self.level is not None:
            result = lift(lower(self)[place])
            if _is_view(place):
                note_view(result, self, lambda base: base[place])
            return result
        result = lift(index.getitem(lower(self), index.plain_key(place)))
        basic = _is_view(place)
        if basic and result.level is None and not result._data.ndim and result._data.base is None:
            # NumPy gives a number here, PyTorch a view of the element
            parts = place if type(place) is tuple else (place,)
            result._data = self._data[parts if Ellipsis in parts else (*parts, Ellipsis)]
        return connect(result, (self,), basic)

    @np.errstate(all="ignore")
    def __setitem__(self, key: Any, value: Any) -> None:
        place = index.plain_key(_key(key))
        given: Any = lower(value)
        if self.level is not None or getattr(given, "level", None) is not None:
            assign(self, lift(index.setitem(lower(self), given, place)), "x[...] = ...")
            return
        if not isinstance(given, (Value, np.ndarray, int, float, bool, complex)):
            given = np.asarray(given)
        tracked = modes.recording and (
            self.node is not None
            or root_of(self).node is not None
            or getattr(given, "node", None) is not None
        )
        if tracked and not self._detached:
            if isinstance(given, Value) and given.dtype != self._data.dtype:
                given = elementwise.astype(given, self._data.dtype)
            given = _fitting(given, self._data, place)
            assign(self, lift(index.setitem(lower(self), given, place)), "x[...] = ...")
            return
        writable(self, "x[...] = ...")
        array = given._data if isinstance(given, Value) else np.asarray(given)
        self._data[place] = _fitting(array, self._data, place)

    def __delitem__(self, key: Any) -> None:
        raise TypeError("Tensor does not support deleting items")


def _arrays(x: Any) -> Any:
    """Arguments of a NumPy function with arrays in the place of Tensors."""
    if isinstance(x, Tensor):
        return x.__array__()
    if isinstance(x, (list, tuple)):
        return type(x)([_arrays(v) for v in x]) if not hasattr(x, "_fields") else x
    if isinstance(x, dict):
        return {key: _arrays(v) for key, v in x.items()}
    return x


# NumPy's name of an operator -> the function of two Tensors; functions.py fills it.
_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {}


class _Layout:
    def __repr__(self) -> str:
        return "torch.strided"


strided = _Layout()


class GradFn:
    """The node of a result, under PyTorch's name for its kind."""

    def __init__(self, node: Any) -> None:
        self.node = node

    def name(self) -> str:
        """Such as "AddBackward0"."""
        words = str(getattr(self.node.op, "name", "leaf")).split("_")
        names = {"subtract": "Sub", "multiply": "Mul", "divide": "Div", "negative": "Neg", "power": "Pow"}
        return names.get(words[0], "".join(word.capitalize() for word in words)) + "Backward0"

    @property
    def next_functions(self) -> tuple[Any, ...]:
        """The nodes of the inputs, each with 0; None for one without a gradient."""
        from tinygrad_dl.graph import Node

        parents = self.node.parents
        return tuple((GradFn(p) if isinstance(p, Node) else None, 0) for p in parents)

    def __repr__(self) -> str:
        return f"<{self.name()}>"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, GradFn) and other.node is self.node

    def __hash__(self) -> int:
        return id(self.node)


def _rebuilt(kind: Any, data: Any, requires_grad: bool, grad: Any) -> Any:
    """A Tensor from its parts, without copying."""
    result = object.__new__(kind)
    result._data, result.node, result._name = data, None, None
    if requires_grad:
        result.requires_grad_()
    result._grad = grad
    return result


def _address(array: Any) -> int:
    return int(array.__array_interface__["data"][0])


def _key(key: Any) -> Any:
    """An index in NumPy's words."""
    if isinstance(key, list) and any(isinstance(k, (slice, type(None), type(Ellipsis), Tensor)) for k in key):
        key = tuple(key)
    return lower(key) if isinstance(key, (tuple, list, Value)) else key


def _is_view(key: Any) -> bool:
    """Whether NumPy gives a view for an index: integers and slices only."""
    parts = key if type(key) is tuple else (key,)
    return all(
        k is None
        or k is Ellipsis
        or isinstance(k, slice)
        or (isinstance(k, (int, np.integer)) and not isinstance(k, (bool, np.bool_)))
        or (isinstance(k, Value) and k.ndim == 0 and k.dtype.kind in "iu")
        for k in parts
    )


def _fitting(value: Any, target: Any, place: Any) -> Any:
    """A value without the leading axes of size 1 that PyTorch lets an assigned value have."""
    shape = np.shape(value._data if isinstance(value, Value) else value)
    if len(shape) <= 1 or shape[0] != 1:
        return value
    spare = len(shape) - target[place].ndim
    return value.reshape(shape[spare:]) if spare > 0 and shape[:spare] == (1,) * spare else value


# Writing in place


def writable(x: Any, what: str) -> None:
    """Make sure that a Tensor's memory may be written: it is nobody's constant, and no graph has saved it."""
    computed(f"writing in place ({what})")
    root = root_of(x)
    _own_values(root, what)
    if modes.recording and not x._detached:
        if x.node is not None and x.node.op is None:
            raise RuntimeError(
                f"{what}: a leaf Variable that requires grad is being used in an in-place operation."
            )
        if x is not root and root.node is not None and root.node.op is None:
            raise RuntimeError(
                f"{what}: a view of a leaf Variable that requires grad is being used in an in-place operation."
            )
    if x._data.size and any(s == 0 and n > 1 for s, n in zip(x._data.strides, x._data.shape)):
        raise RuntimeError(
            f"{what}: unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )
    if root._saved and not root._exported:
        _relocate(root, None)
        root._saved = False
    if not x._data.flags.writeable:
        if root._exported:
            raise RuntimeError(
                f"{what}: the memory is a NumPy array that is not writable. Use clone() first."
            )
        _relocate(root, None)


def _own_values(root: Any, what: str) -> None:
    """Raise where PyTorch's write would reach another Tensor, which still exists, and this one would not."""
    if root._stands_for is not None and root._stands_for() is not None:
        raise RuntimeError(
            f"{what}: a complex conjugate (conj, adjoint, H, mH; view_as_complex of float16) has values of its own "
            "here, and a write to it would not reach the Tensor that it was taken of, as it does in PyTorch. Write to "
            "that Tensor, or to x.conj().clone()."
        )


def _views(root: Any) -> list[Any]:
    """The views of a Tensor that still exist."""
    return [v for v in (r() for r in root._views) if v is not None]


def _relocate(root: Any, content: Any) -> None:
    """Move a Tensor and its views to new memory, with `content` or what is there now."""
    old = root._data
    dense = sorted(zip(old.strides, old.shape), reverse=True)
    step, is_dense = old.itemsize, True
    for stride, size in reversed(dense):
        is_dense, step = is_dense and (stride == step or size == 1), step * size
    if not (is_dense and old.size):
        # Gaps: the base gets memory of its own order, and so can have no views that lie in the gaps.
        views = [(v, positions(v, root)) for v in _views(root)]
        root._data = np.array(old if content is None else content, order="C")
        flat = root._data.reshape(-1)
        for v, where in views:
            v._data = flat[where]
        return
    memory = np.empty(old.size, old.dtype)
    new = np.ndarray(old.shape, old.dtype, memory, 0, old.strides)
    new[...] = old if content is None else content
    start = _address(old)
    for v in _views(root):
        data = v._data
        v._data = np.ndarray(data.shape, data.dtype, memory, _address(data) - start, data.strides)
    root._data = new


def positions(view: Any, root: Any) -> Any:
    """The flat indices, in the base's order, of a view's elements; for views of the same dtype."""
    base, data = root._data, view._data
    if data.dtype != base.dtype:
        raise RuntimeError(
            "in-place: writing through a view of another dtype (real, imag, view_as_real) of a Tensor that requires "
            "grad is left out. Write to the Tensor itself."
        )
    numbers = np.arange(base.size).reshape(base.shape)
    if not base.flags.c_contiguous:  # laid out as the base is
        laid = np.ndarray(
            base.shape, numbers.dtype, np.empty(base.size, numbers.dtype), 0, _steps(base, numbers)
        )
        laid[...] = numbers
        numbers = laid
    offset = (_address(data) - _address(base)) // base.itemsize * numbers.itemsize
    owner = numbers if numbers.base is None else numbers.base
    return np.ndarray(data.shape, numbers.dtype, owner, offset, _steps(data, numbers))


def _steps(like: Any, numbers: Any) -> tuple[int, ...]:
    return tuple(s // like.itemsize * numbers.itemsize for s in like.strides)


@np.errstate(all="ignore")
def assign(x: Any, value: Any, what: str) -> Any:
    """Give x, its base and its views the values of a Tensor of x's shape, in place; returns x."""
    if x.level is not None or value.level is not None:
        _assign_in_levels(x, value)
        return x
    if tuple(value._data.shape) != x._data.shape:
        raise RuntimeError(
            f"{what}: output with shape {list(x.shape)} doesn't match the broadcast shape {list(value._data.shape)}"
        )
    if value._data.dtype != x._data.dtype:
        if _CATEGORY[value._data.dtype.kind] > _CATEGORY[x._data.dtype.kind]:
            raise RuntimeError(
                f"{what}: result type {of(value._data.dtype)} can't be cast to the desired output type {x.dtype}"
            )
        value = lift(elementwise.astype(lower(value), x._data.dtype))
    root = root_of(x)
    tracked = modes.recording and (
        value.node is not None or ((x.node is not None or root.node is not None) and not x._detached)
    )
    if not tracked or (x._detached and value.node is None):
        array = value._data
        shared = array.base is not None and np.may_share_memory(array, x._data)
        writable(x, what)
        x._data[...] = array.copy() if shared else array
        return x
    writable_node(x, root, what)
    if (
        value.node is None and x.node is not None
    ):  # a constant in its place: the gradient of what was there is 0
        value = lift(index.setitem(lower(x), lower(value), Ellipsis))
    if x is root or x._detached:
        if x._detached and x is not root:
            _leave(x)
        new = lower(value)
        if new._data.base is not None or value._saved or any(new._data is v._data for v in (x,)):
            new._data = np.array(new._data)
    else:
        where = positions(x, root)
        flat = index.setitem(
            shaping.reshape(lower(root), (-1,)), shaping.reshape(lower(value), (-1,)), where.reshape(-1)
        )
        new = shaping.reshape(flat, root._data.shape)
    top = x if x._base is None else root
    watch = None if top.node is None else top.node.watch
    places = [(v, None if v._detached else positions(v, top)) for v in _views(top)]
    _relocate(top, new._data)
    top.node, top._saved = new.node, True
    for v, where in places:
        if where is not None:
            v.node = (
                None if new.node is None else index.getitem(shaping.reshape(lower(top), (-1,)), where).node
            )
    if watch is not None and watch.owner is not None and top.node is not None:
        top.retain_grad()
    return x


def _assign_in_levels(x: Any, value: Any) -> None:
    """The same inside of func.vmap and func.jvp, where Tensors share no memory: what looks at x is computed anew."""
    from tinygrad_dl.tensor import take_over

    root, where = looked_at(x)
    if root is not x:
        flat = shaping.reshape(lower(root), (-1,))
        whole = index.setitem(flat, shaping.reshape(lower(value), (-1,)), where.reshape(-1))
        value = lift(shaping.reshape(whole, tuple(root.shape)))
    take_over(root, value)
    for view in views_of(root):
        source, places = looked_at(view)
        if source is root:
            take_over(view, lift(index.getitem(shaping.reshape(lower(root), (-1,)), places)))


def _leave(x: Any) -> None:
    """Make a detached alias a Tensor of its own memory, which may then have a graph."""
    root = x._base
    root._views[:] = [r for r in root._views if r() is not x]
    x._data, x._base, x._detached = np.array(x._data), None, False


def writable_node(x: Any, root: Any, what: str) -> None:
    """Raise where a recorded write is not possible: on leaves, and where elements share memory."""
    computed(f"writing in place ({what})")
    _own_values(root, what)
    if x._detached:
        return
    if x.node is not None and x.node.op is None:
        raise RuntimeError(
            f"{what}: a leaf Variable that requires grad is being used in an in-place operation."
        )
    if x is not root and root.node is not None and root.node.op is None:
        raise RuntimeError(
            f"{what}: a view of a leaf Variable that requires grad is being used in an in-place operation."
        )
    if x._data.size and any(s == 0 and n > 1 for s, n in zip(x._data.strides, x._data.shape)):
        raise RuntimeError(
            f"{what}: unsupported operation: more than one element of the written-to tensor refers to a single memory "
            "location. Please clone() the tensor before performing the operation."
        )


boundary.bind(Tensor, CoreTensor)
