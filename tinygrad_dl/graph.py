"""The computation graph: nodes, and the walk that carries gradients from outputs back to inputs. Knows no op.

A node never refers to a Tensor, so a graph has no reference cycle and dies with its last reference.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from heapq import heappop, heappush
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from tinygrad_dl.backend import Memory
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.modes import active, modes

# Serials fall, so the newest node has the smallest: creation order, newest first, is a valid order for
# backward (an operation is always newer than what went into it), and a heap yields it as it stands.
next_serial: Callable[[], int] = count(0, -1).__next__


class Node:
    """One operation that was recorded, or one leaf (`op` is None).

    `parents` has an entry an input: its Node; or, for an input that needs no gradient, (shape, dtype, name)
    of an array, the number itself, or None. `saved` holds the values that the derivative rules name, and
    None once they are freed. `scope` tells which call of a module returned it: (reference to the module, start,
    stop, scope of the call inside that returned the same node), or None. The nodes made during that call have
    serials below `start` and above `stop`. `origin` is set under detect_anomaly only: where the user's code made
    the node.
    """

    __slots__ = ("op", "parents", "saved", "options", "shape", "dtype", "serial", "watch", "origin", "scope")
    op: Any
    parents: tuple[Any, ...]
    saved: tuple[Any, ...] | None
    options: tuple[Any, ...]
    shape: tuple[int, ...]
    dtype: Any
    serial: int
    watch: Watch | None
    origin: Any
    scope: Any


class Watch:
    """What happens when a node's gradient is complete: hooks run, and the Tensor that owns it receives it."""

    __slots__ = ("owner", "hooks")

    def __init__(self, owner: Value | None) -> None:
        self.owner = ref(owner) if owner is not None else None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None


class Hook:
    """The handle of a hook: remove() takes it away, as does calling it, or the end of a `with` block."""

    __slots__ = ("_hooks", "_key")

    def __init__(self, hooks: dict[int, Callable[[Any], Any]], hook: Callable[[Any], Any]) -> None:
        self._hooks, self._key = hooks, next_serial()
        hooks[self._key] = hook

    def remove(self) -> None:
        """Take the hook away; a second call does nothing."""
        self._hooks.pop(self._key, None)

    __call__ = remove

    def __enter__(self) -> Hook:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


class Value:
    """Data and the node that recorded it; the part of a Tensor that the engine needs to know."""

    __slots__ = ("_data", "node", "_grad", "_name", "__weakref__")
    _data: np.ndarray
    node: Node | None
    _grad: Any
    _name: str | None


def leaf(owner: Value) -> Node:
    """The node of a Tensor that no operation made and that asks for its gradient."""
    node = Node()
    node.op, node.parents, node.saved, node.options = None, (), (), ()
    node.shape, node.dtype = owner._data.shape, owner._data.dtype
    node.serial, node.watch, node.scope = next_serial(), Watch(owner), None
    return node


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """All nodes that the roots depend on, and the roots, oldest first."""
    seen: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.serial not in seen:
            seen[node.serial] = node
            stack += [parent for parent in node.parents if type(parent) is Node]
    return [seen[serial] for serial in sorted(seen, reverse=True)]


def unbroadcast(g: Any, shape: tuple[int, ...]) -> Any:
    """Sum `g` over the axes along which a value of the given shape was broadcast."""
    extra = g.ndim - len(shape)
    if extra < 0 or any(size not in (1, g.shape[i + extra]) for i, size in enumerate(shape)):
        raise ShapeError(f"the shape {g.shape} cannot be summed to {shape}")
    axes = tuple(range(extra)) + tuple(
        i + extra for i, size in enumerate(shape) if size == 1 and g.shape[i + extra] != 1
    )
    summed = g.sum(axis=axes, keepdims=False)
    return summed if summed.shape == shape else summed.reshape(shape)


def _cast(c: Any, dtype: Any) -> Any:
    return c if c.dtype == dtype else (c.real if c.dtype.kind == "c" else c).astype(dtype)


def walk(
    roots: list[tuple[Node, Any]],
    *,
    wanted: dict[int, Any] | None = None,
    needed: dict[int, bool | None] | None = None,
    retain: bool = False,
    wrap: Callable[[Any], Value] | None = None,
) -> None:
    """Carry the roots' gradients back through the graph, newest node first.

    Without `wanted` every complete gradient goes to the Tensor that watches its node; with it, to
    `wanted[serial]` for the serials in `wanted`, by way of the nodes in `needed` only: through those that are
    True there; what is False ends the path, what is None ends it before its hooks have run. With `wrap`, which
    makes a Tensor of an array, rules run on Tensors and record (create_graph). Unless `retain`, saved values
    are freed.
    """
    heap: list[int] = []  # serials of operations; leaves, which nothing lies behind, stay in `met` to the end
    # Serial -> node, its gradient so far, and whether nobody else holds that array: it may be added to in place.
    met: dict[int, list[Any]] = {}
    recording = wrap is not None
    watchers = modes.watchers if active else ()
    for node, g in roots:
        serial = node.serial
        if serial in met:
            met[serial][1] = met[serial][1] + g
        else:
            met[serial] = [node, g, False]
            if node.op is not None:
                heappush(heap, serial)

    while heap:
        node, g, owned = met.pop(heappop(heap))
        if node.watch is not None or wanted is not None or recording:
            g = _complete(node, g, owned, wanted, needed, wrap)
        if needed is not None and not needed[node.serial]:
            continue
        op = node.op
        if node.saved is None:
            raise GraphError(
                f"backward: the graph was freed by an earlier backward (met at `{op.name}`). "
                "Pass retain_graph=True to the first call if you need a second."
            )
        if needed is None:
            contributions = op.vjp_recording(node, g) if recording else op.vjp(node, g)
        else:
            contributions = op.vjp_needed(node, g, needed, recording)
            if op.joint:  # one rule for all inputs: it may give more than was asked for
                wants = [type(parent) is Node and parent.serial in needed for parent in node.parents]
                contributions = tuple(c if want else None for c, want in zip(contributions, wants))
        for watcher in watchers:
            watcher.after_backward(node, g, contributions)
        if not retain:
            node.saved = None
        try:
            for parent, c in zip(node.parents, contributions):
                if c is None or type(parent) is not Node:
                    continue
                if c.shape != parent.shape:
                    c = unbroadcast(c, parent.shape)
                if c.dtype is not parent.dtype:
                    c = _cast(c, parent.dtype)
                serial = parent.serial
                entry = met.get(serial)
                if entry is None:
                    alone = c is not g and not recording and (c.base is None or type(c.base) is Memory)
                    met[serial] = [parent, c, alone]
                    if parent.op is not None:
                        heappush(heap, serial)
                elif entry[2]:
                    entry[1] += c
                else:
                    entry[1] = entry[1] + c
                    entry[2] = not recording
        except (AttributeError, ShapeError):
            _blame(node, contributions, recording)
            raise
    for node, g, owned in met.values():
        _complete(node, g, owned, wanted, needed, wrap)


def _blame(node: Node, contributions: Iterable[Any], recording: bool) -> None:
    """Raise the error for a rule that gave something else than an array of its input's shape, if one did."""
    op = node.op
    for i, (parent, c) in enumerate(zip(node.parents, contributions)):
        if c is None or type(parent) is not Node:
            continue
        name = op.inputs[min(i, len(op.inputs) - 1)]
        if not hasattr(c, "shape"):
            raise DTypeError(
                f"{op.name}: its derivative rule for {name} gave {type(c).__name__} {c!r}; an array is needed"
            )
        if isinstance(c, Value) and not recording:
            raise DTypeError(
                f"{op.name}: its derivative rule for {name} gave a Tensor where only arrays went in. "
                "Does it call an operation on plain numbers, which makes Tensors?"
            )
        try:
            unbroadcast(c, parent.shape)
        except (ShapeError, ValueError) as error:
            raise ShapeError(
                f"{op.name}: its derivative rule for {name} gave the shape {c.shape}; the input has "
                f"{parent.shape}"
            ) from error


def _complete(node: Node, g: Any, owned: bool, wanted: Any, needed: Any, wrap: Any) -> Any:
    """What is due once a node's gradient is complete: its hooks run, and it goes where `walk` is to bring it."""
    if wrap is not None and not isinstance(g, Value):
        g = wrap(g)
    watch = node.watch
    if watch is not None and (needed is None or needed[node.serial] is not None):
        owner = watch.owner() if watch.owner is not None else None
        if watch.hooks:
            g = _hooked(node, g, list(watch.hooks.values()), wrap)
        # A Tensor that an assignment has given another node since is not what this gradient is for.
        if wanted is None and owner is not None and owner.node is node:
            before = getattr(owner, "_grad", None)
            if wrap is not None:
                owner._grad = own(g, wrap) if before is None else before + g
            else:
                # A rule may hand on g itself or a view of it to several inputs; a .grad is nobody else's.
                array = g if owned and node.op is None else np.array(g)
                owner._grad = _tensor(array if before is None else np.asarray(before._data + array))
    if wanted is not None and node.serial in wanted:
        wanted[node.serial] = g if wrap is not None or owned else g.copy()
    return g


def _hooked(node: Node, g: Any, hooks: list[Any], wrap: Callable[[Any], Value] | None) -> Any:
    """The gradient after a node's hooks, each of which may give another."""
    for hook in hooks:
        given = hook(g if wrap is not None else _tensor(np.array(g)))
        if given is not None:
            data = given._data if isinstance(given, Value) else np.asarray(given)
            if data.shape != node.shape:
                raise ShapeError(
                    f"register_hook: the hook returned a gradient of shape {data.shape}; {node.shape} is needed"
                )
            if wrap is not None and isinstance(given, Value):
                g = _cast(given, node.dtype)
            else:  # a copy: what the hook returned stays the user's
                g = np.array(data, node.dtype) if wrap is None else wrap(np.array(data, node.dtype))
    return g


def own(g: Any, wrap: Callable[[Any], Value]) -> Value:
    """A recorded gradient with an array of its own: a rule may hand on one Tensor to several inputs."""
    result = wrap(g._data.copy())
    result.node = g.node
    return result


_tensor: Any = None


def bind_tensor(wrap: Callable[[np.ndarray], Value]) -> None:
    """Tell the graph how an array becomes a Tensor; the class itself stands on a higher floor."""
    global _tensor
    _tensor = wrap
