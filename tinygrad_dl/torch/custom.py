"""autograd.Function: an operation whose forward and backward are the user's own methods."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl import convert
from tinygrad_dl.convert import attach
from tinygrad_dl.graph import Node, Value, next_serial
from tinygrad_dl.modes import modes, no_grad
from tinygrad_dl.ops.index import getitem
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.torch.boundary import is_ours, lift, lower


class Context:
    """What forward hands to backward: `ctx`."""

    def __init__(self) -> None:
        self._saved: tuple[Any, ...] = ()
        self.needs_input_grad: tuple[bool, ...] = ()
        self._without: tuple[int, ...] = ()
        self._dirty: tuple[int, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Save Tensors, or None, for backward."""
        # Without their Tensors: a node that held one could close a reference cycle.
        self._saved = tuple((t._data, t.node) if isinstance(t, Value) else t for t in tensors)

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        """What save_for_backward was given."""
        return tuple(_restored(*x) if isinstance(x, tuple) else x for x in self._saved)

    def save_for_forward(self, *tensors: Any) -> None:
        """Accepted; there is no forward mode through an autograd.Function."""

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """The outputs that have no gradient."""
        self._without = tuple(id(t) for t in tensors)

    def mark_dirty(self, *tensors: Any) -> None:
        """The inputs that forward changed in place and returns."""
        self._dirty = tuple(id(t) for t in tensors)

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros for an output without a gradient, or None."""
        self._materialize = value


def _restored(data: Any, node: Any) -> Any:
    found = attach(data.view(), node)
    return lift(found if isinstance(found, Value) else convert.wrap(found))


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

    @classmethod
    def apply(cls, *args: Any, **kwargs: Any) -> Any:
        """Call the operation."""
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
        _connect_saved(ctx, plain, args)
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


def _connect_saved(ctx: Context, plain: list[Any], args: Any) -> None:
    """Give saved inputs the nodes of the arguments, so that backward can be differentiated again."""
    nodes = {id(x._data): original.node for x, original in zip(plain, args) if isinstance(x, Value)}
    ctx._saved = tuple((x[0], nodes.get(id(x[0]), x[1])) if isinstance(x, tuple) else x for x in ctx._saved)


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
        if recording:
            found = self.cls.backward(ctx, *given)
        else:
            with no_grad():
                found = self.cls.backward(ctx, *given)
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
