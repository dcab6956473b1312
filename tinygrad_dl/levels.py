"""Values under func.vmap and func.jvp: Batched and Dual Tensors, and the levels that compute with them.

A Batched Tensor stands for one example, and holds all of them; a Dual Tensor holds a value and its tangent. While a
level is active, each operation comes to the newest level among its inputs (dispatch.under_modes), which computes with
what they hold; that may belong to older levels in turn. What is computed is ordinary operations, recorded as usual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import count
from typing import Any, ClassVar, NoReturn, TypeVar

import numpy as np

from tinygrad_dl import autograd, convert, graph
from tinygrad_dl.batching import Call, OfAll, looped
from tinygrad_dl.dispatch import check_strict_broadcast, explain, maps_of
from tinygrad_dl.errors import GraphError, UnreadError, ValueRangeError
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.modes import Mode, lenient_broadcast, modes
from tinygrad_dl.op import LINEAR, SYMMETRIC, Joint
from tinygrad_dl.ops.elementwise import astype, positive
from tinygrad_dl.ops.index import plain_key, setitem
from tinygrad_dl.ops.join import stack
from tinygrad_dl.ops.shape import broadcast_to, moveaxis
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor, take_over

L = TypeVar("L", bound="Level")
_numbers = count(1)


class Level(Mode):
    """One running func.vmap or func.jvp. `number` counts up: an operation comes to the newest level first."""

    setting = "levels"
    what: ClassVar[str] = ""
    size: int | None = None  # the number of examples of func.vmap
    visible = False  # whether random numbers drawn inside of it are one for each example

    def __new__(cls: type[L], *args: Any, **kwargs: Any) -> L:
        return object.__new__(cls)

    def __init__(self) -> None:
        super().__init__()
        self.number = next(_numbers)

    def _switch_on(self) -> None:
        modes.levels = (*modes.levels, self)

    def apply(self, op: Any, values: Sequence[Any], options: Sequence[Any]) -> Any:
        """The result of an operation on values of which one at least belongs to this level."""
        raise NotImplementedError

    def attached(self, x: Tensor) -> Tensor:
        """A saved value as this level has it: see convert.attach."""
        return x

    def check_active(self) -> None:
        """Raise GraphError for a value that was kept beyond the end of its level."""
        if self not in modes.levels:
            raise GraphError(
                f"func.{self.what}: a Tensor from inside the function is used after the call ended. "
                "Return it from the function."
            )


class Held(Tensor):
    """A Tensor that holds others in its slots: they have other names here, and the layout is that of Tensor."""

    __slots__ = ()
    full: Any
    primal: Any
    tangent: Any

    def __copy__(self) -> Tensor:
        return positive(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Tensor:
        return positive(self)

    def copy(self, order: Any = "C") -> Tensor:
        return positive(self)

    def __setitem__(self, key: Any, value: Any) -> None:
        take_over(self, setitem(self, value, plain_key(key)))

    @property
    def is_leaf(self) -> bool:
        return self.node is None or self.node.op is None

    @property
    def name(self) -> str | None:
        return None

    @name.setter
    def name(self, value: str | None) -> None:
        pass

    def backward(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise GraphError(
            f"func.{self.level.what}: backward() inside of the function does not know for which example or direction "
            "it is called. Use func.grad or func.vjp."
        )

    def requires_grad_(self, requires_grad: bool = True) -> NoReturn:
        raise GraphError(
            f"func.{self.level.what}: requires_grad_() inside of the function. Use func.grad, which takes the "
            "derivative with respect to its arguments."
        )


# Batched


class Form:
    """Shape and dtype in the place of one example's array: whoever reads the values gets an error."""

    __slots__ = ("shape", "dtype")

    def __init__(self, shape: tuple[int, ...], dtype: Any) -> None:
        self.shape, self.dtype = shape, dtype

    @property
    def ndim(self) -> int:
        return len(self.shape)

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def itemsize(self) -> int:
        return self.dtype.itemsize

    @property
    def nbytes(self) -> int:
        return self.size * self.dtype.itemsize

    def __array__(self, *args: Any, **kwargs: Any) -> NoReturn:
        raise unread("the values of a Tensor")

    def __getattr__(self, name: str) -> NoReturn:
        if name.startswith("__"):
            raise AttributeError(name)
        raise unread("the values of a Tensor")

    def __getitem__(self, key: Any) -> NoReturn:
        raise unread("the values of a Tensor")

    def _read(self, *others: Any) -> NoReturn:
        raise unread("the values of a Tensor")

    # Python would answer == by itself, and call a comparison impossible
    __eq__ = __ne__ = __lt__ = __le__ = __gt__ = __ge__ = __bool__ = __invert__ = __neg__ = __abs__ = _read
    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _read
    __floordiv__ = __rfloordiv__ = __mod__ = __rmod__ = __pow__ = __rpow__ = __matmul__ = __rmatmul__ = _read
    __and__ = __rand__ = __or__ = __ror__ = __xor__ = __rxor__ = __len__ = __iter__ = __contains__ = _read
    __hash__ = None  # type: ignore[assignment]


def unread(what: str) -> UnreadError:
    """The error for reading one value of a Tensor that has one for each example."""
    return UnreadError(
        f"func.vmap: {what} cannot be read inside of the function, as each example has its own. Compute with the "
        "Tensor itself; in the place of `if`, use where(condition, a, b)."
    )


def _unreadable(what: str) -> Any:
    def method(self: Any, *args: Any, **kwargs: Any) -> NoReturn:
        raise unread(what)

    return method


class Batched(Held):
    """One example under func.vmap. `full`: all of them, the batch axis in front; `level`: the vmap they belong to."""

    __slots__ = ()
    full: Any = Value.__dict__["_data"]
    held = full
    level: Any = Value.__dict__["_grad"]

    @property
    def _data(self) -> Any:  # type: ignore[override]
        self.level.check_active()
        full = self.full
        return Form(full.shape[1:], full.dtype)

    @property
    def node(self) -> Any:  # type: ignore[override]
        return self.full.node

    @property
    def shape(self) -> tuple[int, ...]:
        return self.full.shape[1:]

    @property
    def ndim(self) -> int:
        return self.full.ndim - 1

    @property
    def dtype(self) -> Any:
        return self.full.dtype

    @property  # type: ignore[misc]
    def grad(self) -> None:
        return None

    def detach(self) -> Tensor:
        return batched(self.full.detach(), self.level)

    data = property(_unreadable(".data"))
    numpy = _unreadable(".numpy()")
    item = _unreadable(".item()")
    tolist = _unreadable(".tolist()")
    __array__ = _unreadable("the array of a Tensor")
    __dlpack__ = _unreadable("the array of a Tensor")
    __bool__ = _unreadable("the truth of a Tensor")
    __float__ = _unreadable("a Tensor as a number")
    __int__ = _unreadable("a Tensor as a number")
    __complex__ = _unreadable("a Tensor as a number")
    __index__ = _unreadable("a Tensor as an index or an option")
    __reduce__ = _unreadable("the array of a Tensor")

    def register_hook(self, hook: Callable[[Tensor], Any]) -> graph.Hook:
        level = self.level

        def on_all(g: Tensor) -> Any:
            result = hook(batched(g, level))
            return None if result is None else exposed(result, level)

        return self.full.register_hook(on_all)

    def retain_grad(self) -> NoReturn:
        raise GraphError("func.vmap: retain_grad() inside of the function: it has no .grad. Use func.grad.")

    def __repr__(self) -> str:
        return f"Batched({self.level.size} examples of shape {self.full.shape[1:]}, dtype={self.full.dtype})"


def batched(full: Any, level: Level) -> Batched:
    """One example's Tensor from the Tensor of all, the batch axis in front."""
    result = object.__new__(Batched)
    result.full, result.level = full, level
    return result


class BatchLevel(Level):
    """The level of one func.vmap of a given size."""

    what = "vmap"

    size: int

    def __init__(self, size: int, randomness: str = "error", visible: bool = True) -> None:
        super().__init__()
        self.size, self.randomness = size, randomness
        self.visible = (
            visible  # False: only gradients and tangents are batched, not what the function is given
        )
        self.calls: Counter[tuple[str, str]] = Counter()

    def apply(self, op: Any, values: Sequence[Any], options: Sequence[Any]) -> Any:
        self.check_active()
        inputs = [x if isinstance(x, Value) or x is None else convert.coerce(op.name, x) for x in values]
        inputs = [convert.wrap(x) if isinstance(x, np.ndarray) else x for x in inputs]
        flags = [isinstance(x, Batched) and x.level is self for x in inputs]
        if modes.strict:
            check_strict_broadcast(op, inputs)
            with lenient_broadcast():
                return self._apply(op, inputs, flags, options)
        return self._apply(op, inputs, flags, options)

    def _apply(self, op: Any, inputs: Sequence[Any], flags: Sequence[bool], options: Sequence[Any]) -> Any:
        given = [x.full if flag else x for x, flag in zip(inputs, flags)]
        return batched(self.compute(op, given, flags, options), self)

    def compute(self, op: Any, given: Sequence[Any], flags: Sequence[bool], options: Sequence[Any]) -> Any:
        """The results of all examples: by the operation's batching rule, or one example after the other."""
        if "key" in op.options:
            at = op.options.index("key")
            options = (*options[:at], self._opened(options[at]), *options[at + 1 :])
        if "moments" in op.options and (tracked := options[at := op.options.index("moments")]) is not None:
            options = (*options[:at], tracked.opened(self), *options[at + 1 :])
        call = Call(op, self.size, given, flags, options)
        before = modes.levels
        if "rng" in op.options:
            check_randomness(self, op.name)
            call.randomness = self.randomness
            # Of the maps around this one, each draws in turn.
            modes.levels = tuple(x for x in before if not x.visible or x.number < self.number)
        try:
            out = None if op.batch is None else op.batch(call)
            self.calls[op.name, "looped" if out is None else "batched"] += 1
            return looped(call) if out is None else out
        finally:
            modes.levels = before

    def example_of(self, full: Any) -> Batched:
        """One example's Tensor, from that of all."""
        return batched(full, self)

    def drawn(
        self, what: str, draw: Callable[[Any], Any], shape: Sequence[int], older: Sequence[BatchLevel]
    ) -> Any:
        """Random numbers of one example's shape: see dispatch.drawn. `older`: the maps around this one."""
        check_randomness(self, what)
        shape = tuple(shape) if self.randomness == "same" else (self.size, *shape)
        values = older[-1].drawn(what, draw, shape, older[:-1]) if older else draw(shape)
        if self.randomness == "same":
            return values
        return batched(values if isinstance(values, Value) else convert.wrap(values), self)

    def each(self, function: Callable[..., Any], args: Any, kwargs: Any) -> Any:
        """The results of a function that is called for one example after the other: see dispatch.each_example."""
        self.calls[function.__name__, "looped"] += 1
        given = [leaf for _, leaf in leaves([args, kwargs])]
        opened = [exposed(x, self) if belongs(x, self) else x for x in given]
        results = []
        for k in range(max(self.size, 1)):  # without examples, one of zeros tells shape and dtype
            chosen = [
                old if x is old else x[k] if self.size else _zeros(x.shape[1:], x.dtype)
                for x, old in zip(opened, given)
            ]
            new_args, new_kwargs = refill([args, kwargs], iter(chosen))
            results.append(function(*new_args, **new_kwargs))
        columns = list(zip(*([leaf for _, leaf in leaves(result)] for result in results)))
        if not columns or not all(isinstance(column[0], (Value, np.generic)) for column in columns):
            raise unread(f"what {function.__name__} returns")
        made = [
            stack([x if isinstance(x, Value) else convert.wrap(np.asarray(x)) for x in c]) for c in columns
        ]
        return refill(results[0], iter([hidden(x if self.size else x[:0], self) for x in made]))

    def _opened(self, key: Any) -> Any:
        if type(key) is tuple:
            return tuple(map(self._opened, key))
        return OfAll(plain_key(exposed(key, self))) if belongs(key, self) else key


# Dual


class Dual(Held):
    """A value in forward mode. `primal`: the value, `tangent`: its change, `level`: the jvp it belongs to."""

    __slots__ = ()
    primal: Any = Value.__dict__["_data"]
    held = primal
    tangent: Any = Value.__dict__["_grad"]
    level: Any = Value.__dict__["_name"]

    @property
    def _data(self) -> Any:  # type: ignore[override]
        return self.primal._data

    @property
    def node(self) -> Any:  # type: ignore[override]
        return self.primal.node

    @property  # type: ignore[misc]
    def grad(self) -> None:
        return None

    def detach(self) -> Tensor:
        return self.primal.detach()  # the derivative ends here, in forward mode too

    def register_hook(self, hook: Callable[[Tensor], Any]) -> graph.Hook:
        return self.primal.register_hook(hook)

    def retain_grad(self) -> NoReturn:
        raise GraphError("func.jvp: retain_grad() inside of the function: it has no .grad. Use func.grad.")

    def __reduce__(self) -> NoReturn:
        raise GraphError("func.jvp: a Tensor with a tangent cannot be pickled")

    def __repr__(self) -> str:
        return f"Dual({self.primal!r}, tangent={self.tangent!r})"


def dual(primal: Any, tangent: Any, level: Level) -> Dual:
    """A value with a tangent."""
    result = object.__new__(Dual)
    result.primal, result.tangent, result.level = primal, tangent, level
    return result


class ForwardLevel(Level):
    """The level of one func.jvp.

    `tangents`: those of the nodes recorded inside of it, by serial. A backward pass that runs inside computes with
    saved values that have their tangents again: forward over reverse.
    """

    what = "jvp"

    def __init__(self) -> None:
        super().__init__()
        self.tangents: dict[int, Any] = {}

    def attached(self, x: Tensor) -> Tensor:
        tangent = self.tangents.get(x.node.serial) if x.node is not None else None
        return x if tangent is None else dual(x, tangent, self)

    def primal(self, x: Any) -> Any:
        """A value without the tangent that it has here."""
        return x.primal if isinstance(x, Dual) and x.level is self else x

    def tangent(self, x: Any) -> Any:
        """The tangent that a value has here; None if it has none."""
        return x.tangent if isinstance(x, Dual) and x.level is self else None

    def note(self, x: Any, tangent: Any) -> None:
        """Remember the tangent of a recorded value, with the batch axes that its array has."""
        x, tangent = laid_open(x, tangent)
        self.tangents[x.node.serial] = tangent

    def apply(self, op: Any, values: Sequence[Any], options: Sequence[Any]) -> Any:
        drawing = [level for level in modes.levels if level.visible] if "rng" in op.options else []
        if drawing:  # each example has a draw of its own, with its tangent
            return self._under_batch(drawing[-1], op, values, options)
        for x in values:
            batch = next(maps_of(x), None)
            if batch is not None:
                return self._under_batch(batch, op, values, options)
        primals: list[Any] = []
        tangents: list[Any] = []
        for x in values:
            primals.append(self.primal(x))
            tangents.append(self.tangent(x))
        if not op.differentiable:
            return call_op(op, primals, options)
        recording = modes.recording and any(isinstance(x, Value) and x.node is not None for x in primals)
        if isinstance(op.jvp, Joint) and op.jvp.with_result and not recording:
            both = _with_result(op, primals, tangents, options)
            if both is not None:
                return dual(*both, self)
        older = [x for x in modes.levels if isinstance(x, ForwardLevel) and x.number < self.number]
        notes = [len(level.tangents) for level in older]
        for i, t in enumerate(tangents):
            if t is not None:
                if primals[i].node is None:  # so that the operation's node has it as a parent
                    primals[i] = recorded(primals[i])
                if recording and innermost(primals[i]).node.serial not in self.tangents:
                    self.note(primals[i], t)
        before = modes.recording
        modes.recording = True
        try:
            result = call_op(op, primals, options)
        finally:
            modes.recording = before
        node = result.node
        if node is None:
            return result
        carried = recording or (before and any(t is not None and t.node is not None for t in tangents))
        # The tangent is one of older levels: what it is computed from has none of this level.
        active, modes.levels = modes.levels, tuple(level for level in modes.levels if level is not self)
        modes.recording = carried
        try:
            tangent = pushforward(node, tangents, result)
        finally:
            modes.recording, modes.levels = before, active
        if recording:
            if tangent is not None:
                self.note(result, tangent)
        else:
            for level, length in zip(older, notes):
                while len(level.tangents) > length:
                    level.tangents.popitem()
            result = without_node(result)
        return result if tangent is None else dual(result, tangent, self)

    def through(self, function: Callable[..., Sequence[Any]], values: Sequence[Any]) -> list[Any]:
        """The results of a function that records nodes of its own, with their tangents; no value is batched."""
        primals, tangents = [self.primal(x) for x in values], [self.tangent(x) for x in values]
        recording = modes.recording and any(isinstance(x, Value) and x.node is not None for x in primals)
        given = []
        for i, t in enumerate(tangents):
            if t is not None:
                if primals[i].node is None:
                    primals[i] = recorded(primals[i])
                if recording and innermost(primals[i]).node.serial not in self.tangents:
                    self.note(primals[i], t)
                given.append((primals[i], t))
        start = graph.next_serial()
        before, active = modes.recording, modes.levels
        modes.recording = True
        try:
            results = function(*primals)
            nodes, _ = autograd.inside([node for x in results for node in nodes_of(x)], start)
            modes.recording = recording or (before and any(t.node is not None for _, t in given))
            modes.levels = tuple(level for level in active if level is not self)
            known = _changes(nodes, *zip(*given))
        finally:
            modes.recording, modes.levels = before, active
        if recording:
            self.tangents |= {node.serial: known[node.serial] for node in nodes if node.serial in known}
        moved = []
        for x in results:
            tangent = None if x.node is None else known.get(innermost(x).node.serial)
            x = x if recording else without_node(x)
            moved.append(x if tangent is None else dual(x, tangent, self))
        return moved

    def _under_batch(self, batch: BatchLevel, op: Any, values: Sequence[Any], options: Sequence[Any]) -> Any:
        """The same where a value is batched by a vmap around this level: all examples at once."""
        inputs = [x if isinstance(x, Value) or x is None else convert.coerce(op.name, x) for x in values]
        inputs = [convert.wrap(x) if isinstance(x, np.ndarray) else x for x in inputs]
        flags = [isinstance(x, Value) and belongs(x, batch) for x in inputs]
        given = [exposed(x, batch) if flag else x for x, flag in zip(inputs, flags)]
        return hidden(batch.compute(op, given, flags, options), batch)


def call_op(op: Any, inputs: Sequence[Any], options: Sequence[Any]) -> Any:
    """Call an operation by its inputs and options."""
    args, kwargs = op.arguments((tuple(inputs),) if op.variadic else inputs, options)
    return op.function(*args, **kwargs)


# The tangent of one operation


def pushforward(node: Node, tangents: Sequence[Any], result: Any) -> Any:
    """The change of a node's value when its parents change by the tangents (None: not at all); None if it does not.

    By the operation's rule of forward mode, or by its derivative rule, which is linear in g: g -> g J has the
    derivative J.
    """
    op, how = node.op, getattr(node.op, "jvp", None)
    moved = [
        (i, t)
        for i, (t, parent) in enumerate(zip(tangents, node.parents))
        if t is not None and type(parent) is Node
    ]
    if not moved:
        return None
    if callable(how):  # an operation outside of the registry
        return as_tangent(how(node, moved), node)
    held = isinstance(result, Held) or any(isinstance(t, Held) for _, t in moved)
    tensors = modes.recording or held or bool(modes.watchers)  # who watches is told of operations
    if how == LINEAR:
        by_parent = dict(moved)
        inputs = [
            by_parent[i] if i in by_parent else None if p is None else _zeros(graph.shape_of(p), node.dtype)
            for i, p in enumerate(node.parents)
        ]
        return as_tangent(call_op(op, inputs, node.options), node)
    if how == SYMMETRIC:
        by_serial = {node.parents[i].serial: t for i, t in moved}  # an input may be given twice
        parts = [c for serial, t in by_serial.items() for c in _symmetric(op, node, serial, t, tensors)]
    elif isinstance(how, Joint):
        parts = [_joint_rule(op, node, moved, tensors)]
    elif isinstance(how, tuple):
        parts = [_forward_rule(op, node, i, t, tensors) for i, t in moved]
    else:
        return _transposed(op, node, moved)
    return as_tangent(_added(parts, moved), node)


def _with_result(
    op: Any, primals: Sequence[Any], tangents: Sequence[Any], options: Sequence[Any]
) -> tuple[Any, Any] | None:
    """The result and its tangent computed together; None where levels, records or watchers have to see each."""
    values = [x for x in (*primals, *tangents) if isinstance(x, Value)]
    if modes.watchers or any(isinstance(x, Held) or (modes.recording and x.node is not None) for x in values):
        return None
    data = [x._data if isinstance(x, Value) else x for x in primals]
    ts = [None if t is None else t._data for t in tangents]
    try:
        result, change = op.jvp.with_result(*data, ts, *options)
    except Exception as error:
        explain(op, data, options, error)
    return convert.wrap(result), convert.wrap(change)


def push_along(
    nodes: Sequence[Node], starts: Sequence[Any], directions: Sequence[Any], ends: Sequence[Any]
) -> list[Any]:
    """The changes of recorded values when others change: the nodes between, oldest first, each pushed forward."""
    known = _changes(nodes, starts, directions)
    results = []
    for end in ends:
        change = None if end.node is None else known.get(end.node.serial)
        for level in sorted(maps_of(end), key=lambda level: level.number):
            change = None if change is None else hidden(change, level)
        results.append(change)
    return results


def _changes(nodes: Sequence[Node], starts: Sequence[Any], directions: Sequence[Any]) -> dict[int, Any]:
    """The changes of nodes, oldest first, by serial: those of the starts are given."""
    known: dict[int, Any] = {}
    for start, direction in zip(starts, directions):
        for level in sorted(maps_of(start), key=lambda level: -level.number):
            direction = exposed(direction, level)
        known[innermost(start).node.serial] = direction
    for node in nodes:
        if node.op is None or node.serial in known:
            continue
        tangents = [known.get(p.serial) if type(p) is Node else None for p in node.parents]
        if any(t is not None for t in tangents):
            found = pushforward(node, tangents, None)
            if found is not None:
                known[node.serial] = found
    return known


def _symmetric(op: Any, node: Node, serial: int, t: Any, tensors: bool) -> list[Any]:
    t = t if t.shape == node.shape else broadcast_to(t, node.shape)
    return op.vjp_needed(node, t if tensors else t._data, {serial: True}, tensors)


def _joint_rule(op: Any, node: Node, moved: Sequence[tuple[int, Any]], tensors: bool) -> Any:
    by_parent = {i: t if tensors else t._data for i, t in moved}
    known = _known(op, node, tensors)
    known["ts"] = [by_parent.get(i) for i in range(len(op.inputs))]
    rule, names = op.jvp[not tensors], op.jvp_arguments[not tensors]
    return rule(*[known[name] for name in names])


def _forward_rule(op: Any, node: Node, i: int, t: Any, tensors: bool) -> Any:
    at = 0 if op.variadic else i
    rule, names = op.jvp[at], op.jvp_arguments[at]
    if rule is None:
        return None
    known = _known(op, node, tensors)
    known.update(t=t if tensors else t._data, i=i)
    return rule(*[known[name] for name in names])


def _known(op: Any, node: Node, tensors: bool) -> dict[str, Any]:
    """What the rules of forward mode may name: options, and what the node saved."""
    known: dict[str, Any] = dict(zip(op.options, node.options))
    saved = node.saved or ()
    if op.variadic:
        known["shapes"] = tuple(map(graph.shape_of, node.parents))
        if saved:
            arrays = saved[0]
            known[op.inputs[0]] = tuple(map(convert.attach, arrays, node.parents)) if tensors else arrays
    else:
        known.update(zip(op.saves, saved))
        for name, parent in zip(op.inputs, node.parents):
            if tensors and name in known and name in op.saves:
                known[name] = convert.attach(known[name], parent)
            known[f"{name}_shape"], known[f"{name}_dtype"] = graph.shape_of(parent), graph.dtype_of(parent)
        if tensors and known.get("out") is not None:
            known["out"] = convert.attach(known["out"], node)
    return known


def _transposed(op: Any, node: Node, moved: Sequence[tuple[int, Any]]) -> Any:
    """J t from the rule g -> g J: recorded with a g that requires grad, and differentiated in it."""
    recording = modes.recording
    g = convert.constant(np.zeros(node.shape, node.dtype))
    g.node = graph.leaf(g)
    needed: dict[int, Any] = {node.parents[i].serial: True for i, _ in moved}
    modes.recording = True
    try:
        contributions = op.vjp_needed(node, g, needed, True)
    finally:
        modes.recording = recording
    outs, seeds = [], []
    for i, t in moved:
        c = contributions[i]
        if c is None or c.node is None:
            continue
        parent = node.parents[i]
        if c.shape != parent.shape:
            t = broadcast_to(t, c.shape)
        outs.append(c)
        seeds.append(convert.conjugated(t if t.dtype == c.dtype else astype(t, c.dtype)))
    if not outs:
        return None
    (found,) = autograd.grad(outs, g, seeds, True, recording, allow_unused=True)
    return None if found is None else as_tangent(convert.conjugated(found), node)


def _added(parts: Iterable[Any], moved: Sequence[tuple[int, Any]]) -> Any:
    """The sum of the parts of a tangent; added up in place where the first is an array of its own."""
    total, own = None, False
    for part in parts:
        if part is None:
            continue
        if total is None:
            total = part
            own = (
                type(part) is np.ndarray and part.base is None and all(part is not t._data for _, t in moved)
            )
        elif own and part.shape == total.shape and part.dtype == total.dtype:
            total += part
        else:
            total = total + part
            own = type(total) is np.ndarray
    return total


def _zeros(shape: tuple[int, ...], dtype: Any) -> Tensor:
    return convert.constant(np.zeros(shape, dtype))


def as_tangent(t: Any, node: Node) -> Any:
    """A tangent as a Tensor of its node's shape and dtype."""
    if t is None:
        return None
    t = t if isinstance(t, Value) else convert.wrap(t)
    if t.shape != node.shape:
        t = broadcast_to(t, node.shape)
    if (
        t.dtype.kind == "c" and node.dtype.kind != "c"
    ):  # of a rule g -> g d with a complex d and a real result
        t = t.real
    return t if t.dtype == node.dtype else astype(t, node.dtype)


# Values of several levels


def innermost(x: Any) -> Any:
    """The Tensor of no level that a value is made of."""
    while isinstance(x, Held):
        x = x.held
    return x


def nodes_of(x: Any) -> Iterator[Node]:
    """The nodes of a value and of its tangents."""
    if x.node is not None:
        yield x.node
    while isinstance(x, Held):
        if isinstance(x, Dual):
            yield from nodes_of(x.tangent)
        x = x.held


def belongs(x: Any, level: Level) -> bool:
    """Whether a value, or a tangent of it, belongs to a level."""
    if not isinstance(x, Held):
        return False
    if x.level is level:
        return True
    return (
        belongs(x.full, level)
        if isinstance(x, Batched)
        else belongs(x.primal, level) or belongs(x.tangent, level)
    )


def exposed(x: Any, level: BatchLevel) -> Any:
    """A value with the batch axis of a level as its first axis: repeated along it if it is not batched there."""
    if not isinstance(x, Held):
        whole: Any = x if isinstance(x, Value) else convert.wrap(np.asarray(x))
        return broadcast_to(whole, (level.size, *whole.shape))
    if x.level is level:
        return x.full
    if isinstance(x, Dual):
        return dual(exposed(x.primal, level), exposed(x.tangent, level), x.level)
    if x.level.number < level.number:
        return broadcast_to(x, (level.size, *x.shape))
    return batched(moveaxis(exposed(x.full, level), 1, 0), x.level)


def hidden(x: Any, level: BatchLevel) -> Any:
    """The counterpart of exposed: the value of one example, from one whose first axis is a level's batch axis."""
    if not isinstance(x, Held) or x.level.number < level.number:
        return batched(x, level)
    if isinstance(x, Dual):
        return dual(hidden(x.primal, level), hidden(x.tangent, level), x.level)
    return batched(hidden(moveaxis(x.full, 1, 0), level), x.level)


def laid_open(x: Any, tangent: Any) -> tuple[Any, Any]:
    """The Tensor of no level that a value is made of, and a tangent of the value with its batch axes."""
    while isinstance(x, Held):
        if isinstance(x, Batched):
            tangent = exposed(tangent, x.level)
        x = x.held
    return x, tangent


def without_node(x: Any) -> Any:
    """The same value cut off from the graph, with its tangents."""
    if isinstance(x, Batched):
        return batched(without_node(x.full), x.level)
    if isinstance(x, Dual):
        return dual(without_node(x.primal), without_node(x.tangent), x.level)
    return convert.wrap(x._data) if x.node is not None else x


def recorded(x: Any) -> Any:
    """The same value as a leaf that requires grad, or connected to it if it requires grad."""
    if isinstance(x, Batched):
        return batched(recorded(x.full), x.level)
    if isinstance(x, Dual):
        primal = recorded(x.primal)
        x.level.note(primal, x.tangent)
        return dual(primal, x.tangent, x.level)
    if x.node is not None and modes.recording:
        return positive(x)
    new = convert.wrap(x._data)
    new.node = graph.leaf(new)
    return new


def variable(x: Any) -> Any:
    """A value to differentiate with respect to inside of levels: each example has its own."""
    for level in modes.levels:
        if isinstance(level, BatchLevel) and level.visible and not belongs(x, level):
            x = hidden(exposed(x, level), level)
    return recorded(x)


# Gradients


def grad(
    outs: Sequence[Any], ins: Sequence[Any], seeds: Sequence[Any], retain: bool, recording: bool
) -> list[Any]:
    """autograd.grad where an output, an input or a gradient belongs to a level; None for what is not reached."""
    seeds = [
        seed
        if isinstance(seed, Value)
        else convert.constant(np.ones(out.shape, out.dtype))
        if seed is None
        else convert.wrap(convert.asarray_of(seed))
        for out, seed in zip(outs, seeds)
    ]
    opened: list[BatchLevel] = []
    while True:
        found = [level for x in (*outs, *ins) for level in maps_of(x)]
        if not found:
            break
        level = max(found, key=lambda level: level.number)
        if not all(belongs(x, level) for x in ins):
            raise GraphError(
                "autograd.grad: inside of func.vmap, the gradient of an example with respect to a Tensor that all "
                "examples share. Use func.grad, or pass the Tensor to the function as an argument of func.vmap."
            )
        kept = [(exposed(o, level), exposed(s, level)) for o, s in zip(outs, seeds) if belongs(o, level)]
        if not kept:
            return [None] * len(ins)
        outs, seeds = [o for o, _ in kept], [s for _, s in kept]
        ins = [exposed(x, level) for x in ins]
        opened.append(level)
    tensors = any(isinstance(s, Held) for s in seeds) or any(
        getattr(level, "tangents", None) for level in modes.levels
    )
    results = autograd.gradients(outs, ins, seeds, retain, recording, tensors)
    for level in reversed(opened):
        results = [None if g is None else hidden(g, level) for g in results]
    return results


def check_randomness(level: BatchLevel, what: str) -> None:
    """Raise for random numbers inside of a func.vmap that was not told how to draw them."""
    if level.randomness == "error":
        raise ValueRangeError(
            f'{what}: random numbers inside of func.vmap: pass randomness="different" to vmap for draws that differ '
            'between the examples, or "same" for one that all share'
        )
