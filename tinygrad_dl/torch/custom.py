"""autograd.Function: an operation whose forward and backward are the user's own methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.convert import attach
from tinygrad_dl.dispatch import maps_of
from tinygrad_dl.graph import Node, Value, next_serial
from tinygrad_dl.modes import modes, no_grad
from tinygrad_dl.ops.index import getitem
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.torch.boundary import is_ours, lift, lower, made


class Context:
    """What forward hands to backward: `ctx`."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self._for_jvp: tuple[Any, ...] | None = None
        self._node: Node | None = None  # that of the result, while backward or jvp runs
        self._forms: tuple[Any, ...] = ()  # shape and dtype of each argument that is a Tensor
        self.needs_input_grad: tuple[bool, ...] = ()
        self._without: tuple[int, ...] = ()
        self._dirty: tuple[int, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Save Tensors, or None, for backward."""
        self._saved = _bare_of(tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward or save_for_forward was given."""
        owned = [x for x in self._saved if isinstance(x, tuple)]
        places = {owner: data for data, owner in owned if isinstance(owner, int)}
        results = {} if self._node is None or not places else _results(self._node, places)
        return tuple(_restored(x[0], x[1], results) if isinstance(x, tuple) else x for x in self._saved)

    def save_for_forward(self, *tensors: Any) -> None:
        """Save Tensors, or None, for jvp, which else has those for backward."""
        self._for_jvp = _bare_of(tensors)

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """The outputs that have no gradient."""
        self._without = tuple(id(t) for t in tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """The inputs that forward changed in place and returns."""
        self._dirty = tuple(id(t) for t in tensors)

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros for an output without a gradient, or None."""
        self._materialize = value


def _restored(data: Any, owner: Any, results: Mapping[int, Any]) -> Any:
    """A saved array as a Tensor of its node; `owner`: the node, or the place among the results."""
    if owner in results:
        return lift(results[owner])
    found = attach(data.view(), owner)
    return lift(found if isinstance(found, Value) else convert.wrap(found))


def _bare_of(tensors: Any) -> tuple[Any, ...]:
    """Arrays and nodes, without their Tensors: a node that held one could close a reference cycle."""
    return tuple((t._data, t.node) if isinstance(t, Value) else t for t in tensors)


class Function:
    """Base of custom operations: a subclass defines forward(ctx, ...) and backward(ctx, *grad_outputs)."""

    generate_vmap_rule = False

    @staticmethod
    def forward(*args: Any, **kwargs: Any) -> Any:
        """The computation, on Tensors that do not record."""
        raise NotImplementedError("You must implement the forward function for custom autograd.Function.")

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> Any:
        """One gradient for each argument of forward, None for what has none."""
        raise NotImplementedError(
            "You must implement the backward function for your custom autograd.Function."
        )

    @staticmethod
    def jvp(ctx: Any, *grad_inputs: Any) -> Any:
        """One tangent for each result; a subclass without it has that of its backward."""
        raise NotImplementedError(
            "You must implement the jvp function for custom autograd.Function to use it with forward mode AD."
        )

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the operation."""
        if modes.levels and any(isinstance(x, Value) and x.level is not None for x in args):
            return _in_levels(cls, args, kwargs)
        ctx = Context()
        ctx.needs_input_grad = tuple(isinstance(x, Value) and x.node is not None for x in args)
        split = "setup_context" in vars(cls) or any("setup_context" in vars(k) for k in cls.__mro__[:-2])
        with no_grad():
            plain = [_bare(x) for x in args]
            if split:
                result = cls.forward(*plain, **kwargs)
                cls.setup_context(ctx, tuple(plain), result)  # type: ignore[attr-defined]
            else:
                result = cls.forward(ctx, *plain, **kwargs)
        same = {id(x): original for x, original in zip(plain, args) if isinstance(x, Value)}
        outputs = result if isinstance(result, tuple) else (result,)
        _connect_saved(ctx, plain, args, outputs)
        if not modes.recording or not any(ctx.needs_input_grad):
            return result
        parents = [(i, x) for i, x in enumerate(args) if ctx.needs_input_grad[i]]
        differentiable = [
            i
            for i, o in enumerate(outputs)
            if isinstance(o, Value) and o._data.dtype.kind in "fc" and id(o) not in ctx._without
        ]
        if not differentiable:
            return result
        node = Node()
        node.op = Operation(cls)
        node.parents = tuple(x.node for _, x in parents)
        ctx._forms = tuple((x._data.shape, x._data.dtype) if isinstance(x, Value) else None for x in args)
        node.saved = (ctx, tuple(i for i, _ in parents), len(args))
        node.options = (
            tuple((outputs[i].shape, outputs[i]._data.dtype) for i in differentiable),
            differentiable,
            len(outputs),
        )
        node.serial, node.watch, node.scope = next_serial(), None, None
        arrays = [outputs[i]._data for i in differentiable]
        kind = np.result_type(*arrays)
        joined = (
            arrays[0] if len(arrays) == 1 else np.concatenate([a.reshape(-1).astype(kind) for a in arrays])
        )
        node.shape, node.dtype = joined.shape, joined.dtype
        whole = attach(joined, node)
        pieces = [whole] if len(arrays) == 1 else _pieces(whole, node.options[0])
        finished = list(outputs)
        for place, piece in zip(differentiable, pieces):
            out = lift(piece)
            out._data, out._saved = outputs[place]._data, True
            original = same.get(id(outputs[place]))
            if id(outputs[place]) in ctx._dirty and original is not None:
                original.node = out.node
                out = original
            elif original is not None:
                out._data = out._data.copy()
            finished[place] = out
        return tuple(finished) if isinstance(result, tuple) else finished[0]

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise RuntimeError(f"{type(self).__name__}: call it by its class: {type(self).__name__}.apply(...)")


def _bare(x: Any) -> Any:
    return lift(convert.wrap(x._data)) if isinstance(x, Value) else x


def _connect_saved(ctx: Context, plain: list[Any], args: Any, outputs: Any) -> None:
    """Give what is saved the nodes of arguments, or places among the results, so that both can be differentiated."""
    owners: dict[int, Any] = {id(o._data): i for i, o in enumerate(outputs) if isinstance(o, Value)}
    for x, original in zip(plain, args):
        if isinstance(x, Value) and id(x) not in ctx._dirty:
            owners[id(x._data)] = original.node

    def connected(saved: tuple[Any, ...]) -> tuple[Any, ...]:
        return tuple((x[0], owners.get(id(x[0]), x[1])) if isinstance(x, tuple) else x for x in saved)

    ctx._saved = connected(ctx._saved)
    ctx._for_jvp = None if ctx._for_jvp is None else connected(ctx._for_jvp)


def _results(node: Node, values: Mapping[int, Any]) -> dict[int, Any]:
    """Tensors of the differentiable results, by place, of which these are the values."""
    forms, places, _ = node.options
    known = [values.get(place, np.zeros(())) for place in places]
    if len(forms) == 1:
        return {place: attach(data.view(), node) for place, data in zip(places, known)}
    parts = [np.broadcast_to(data, shape).reshape(-1) for data, (shape, _) in zip(known, forms)]
    whole = attach(np.concatenate(parts).astype(node.dtype), node)
    return dict(zip(places, _pieces(whole, forms)))


def _in_levels(cls: Any, args: Any, kwargs: Any) -> Any:
    """The results inside of func.vmap, one example after the other, and of func.jvp."""
    maps = [level for x in args for level in maps_of(x)]
    if maps:

        def call(*given: Any, **named: Any) -> Any:
            return lower(cls.apply(*[lift(x) for x in given], **named))

        call.__name__ = cls.__name__
        return lift(max(maps, key=lambda level: level.number).each(call, tuple(map(lower, args)), kwargs))
    places = [i for i, x in enumerate(args) if isinstance(x, Value)]
    many = True
    plain: list[Any] = []

    def tensors(*given: Any) -> list[Any]:
        nonlocal many
        filled = list(args)
        for i, x in zip(places, given):
            filled[i] = lift(x)
        result = cls.apply(*filled, **kwargs)
        many = isinstance(result, tuple)
        plain[:] = result if many else (result,)
        return [lower(x) for x in plain if isinstance(x, Value)]

    newest = max((args[i].level for i in places if args[i].level is not None), key=lambda level: level.number)
    moved = iter(newest.through(tensors, [lower(args[i]) for i in places]))
    results = tuple(lift(next(moved)) if isinstance(x, Value) else x for x in plain)
    return results if many else results[0]


def _pieces(whole: Any, forms: Any) -> list[Any]:
    pieces, end = [], 0
    for shape, _ in forms:
        begin, end = end, end + int(np.prod(shape, dtype=int))
        pieces.append(reshape(getitem(whole, slice(begin, end)), tuple(shape)))
    return pieces


class Operation:
    """What a node of an autograd.Function has in the place of an operation of the core."""

    inputs: tuple[str, ...] = ("inputs",)
    options = ("forms", "places", "count")
    rules: tuple[Any, ...] = ()
    saves: tuple[str, ...] = ()
    defaults: ClassVar[dict[str, Any]] = {}
    variadic, joint, differentiable, ufunc, kinks, cached = True, True, True, None, "", ()
    accumulates = elementwise = real = False

    def __init__(self, cls: Any) -> None:
        self.cls = cls
        self.name = self.label = cls.__name__
        self.forward = cls.forward
        self.jvp = None if cls.jvp is Function.jvp else self._moved

    def _moved(self, node: Node, moved: Any) -> Any:
        """The change of the results, by the user's jvp."""
        assert node.saved is not None
        ctx, places, count = node.saved
        forms, positions, _ = node.options
        given: list[Any] = [None] * count
        if ctx._materialize:
            given = [None if form is None else made(np.zeros(*form)) for form in ctx._forms]
        for i, t in moved:
            given[places[i]] = lift(t)
        saved = ctx._saved
        ctx._node, ctx._saved = node, saved if ctx._for_jvp is None else ctx._for_jvp
        try:
            found = self.cls.jvp(ctx, *given)
        finally:
            ctx._node, ctx._saved = None, saved
        results = found if isinstance(found, (tuple, list)) else (found,)
        parts = [results[place] for place in positions]
        parts = [made(np.zeros(*form)) if part is None else part for part, form in zip(parts, forms)]
        if len(parts) == 1:
            return lower(parts[0])
        return concat([reshape(lower(part), (-1,)) for part in parts])

    def vjp(self, node: Node, g: Any) -> tuple[Any, ...]:
        return self.vjp_needed(node, g, None, False)

    def vjp_recording(self, node: Node, g: Any) -> tuple[Any, ...]:
        return self.vjp_needed(node, g, None, True)

    def vjp_needed(
        self, node: Node, g: Any, needed: Mapping[int, Any] | None, recording: bool
    ) -> tuple[Any, ...]:
        assert node.saved is not None
        ctx, places, count = node.saved
        forms, positions, outputs = node.options
        whole: Any = g if isinstance(g, Value) else convert.wrap(g)
        if whole.dtype.kind == "c":
            whole = whole.conj()
        parts = [whole] if len(forms) == 1 else _pieces(whole, forms)
        given: list[Any] = [None] * outputs
        for place, part, (_, kind) in zip(positions, parts, forms):
            given[place] = lift(part if part.dtype == kind else part.astype(kind))
        ctx._node = node
        try:
            if recording:
                found = self.cls.backward(ctx, *given)
            else:
                with no_grad():
                    found = self.cls.backward(ctx, *given)
        finally:
            ctx._node = None
        results = found if isinstance(found, (tuple, list)) else (found,)
        if len(results) < count or any(r is not None for r in results[count:]):
            raise RuntimeError(
                f"{self.name}.backward: expected {count} gradients, one for each argument of forward (None for "
                f"what has none), got {len(results)}"
            )
        return tuple(
            self._contribution(results[i], parent, recording) for i, parent in zip(places, node.parents)
        )

    def _contribution(self, found: Any, parent: Any, recording: bool) -> Any:
        if found is None:
            return (
                convert.wrap(np.zeros(parent.shape, parent.dtype))
                if recording
                else np.zeros(parent.shape, parent.dtype)
            )
        if not is_ours(found):
            raise RuntimeError(f"{self.name}.backward: expected Tensors or None, got {type(found).__name__}")
        core = lower(found)
        if core.shape != tuple(parent.shape):
            raise RuntimeError(
                f"Function {self.name} returned an invalid gradient: got {list(core.shape)} but expected shape "
                f"compatible with {list(parent.shape)}"
            )
        core = core if core.dtype == parent.dtype else core.astype(parent.dtype)
        core = core.conj() if core.dtype.kind == "c" else core
        return core if recording else core._data
