"""The computation graph: its nodes, and what hangs on them. Knows no operation and no Tensor.

A node never refers to a Tensor, so a graph has no reference cycle and is freed with its last reference.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from itertools import count
from typing import Any
from weakref import ref

import numpy as np

from tinygrad_dl.typing import Shape

# Serials count down, so the newest node has the smallest one. Creation order, newest first, is a valid order for
# the backward pass (an operation is always newer than its inputs), and a heap yields it without sorting.
next_serial: Callable[[], int] = count(0, -1).__next__


class Node:
    """One recorded operation, or one leaf (`op` is None).

    `parents` has one entry per input: its Node; or, for an input that does not require grad, (shape, dtype, name)
    of an array, the number itself, or None. `saved` holds the values that the derivative rules name, and None once
    they are freed. `scope` tells which module call returned the node: (reference to the module, start, stop, scope
    of the inner call that returned the same node), or None; the nodes made during that call have serials below
    `start` and above `stop`. `origin` is set under detect_anomaly only: where the user's code made the node.
    """

    __slots__ = ("op", "parents", "saved", "options", "shape", "dtype", "serial", "watch", "origin", "scope")
    op: Any
    parents: tuple[Any, ...]
    saved: tuple[Any, ...] | None
    options: tuple[Any, ...]
    shape: Shape
    dtype: Any
    serial: int
    watch: Watch | None
    origin: Any
    scope: Any


class Watch:
    """What happens when a node's gradient is complete: hooks run, and the Tensor that owns the node receives it."""

    __slots__ = ("owner", "hooks", "joint")

    def __init__(self, owner: Value | None) -> None:
        self.owner = ref(owner) if owner is not None else None
        self.hooks: dict[int, Callable[[Any], Any]] | None = None
        self.joint: Joint | None = None


class Joint:
    """A hook on the gradients of several nodes at once, such as those of all outputs of a module.

    The nodes hand on their gradients unchanged to `parents`, and were made one after the other: when the newest of
    those that a backward pass reaches is complete, so are the others. Then `hook(gradients, ran)` runs: a list with
    None for a node that was not reached; it returns the list of what replaces them. `ran` belongs to the pass, and has
    what the hooks of this pass returned so far, by `key`. Refers to older nodes only, so that there is no cycle.
    """

    __slots__ = ("key", "serials", "parents", "hook")

    def __init__(
        self, key: Hashable, nodes: Iterable[Node], hook: Callable[[list[Any], dict[Any, Any]], list[Any]]
    ) -> None:
        self.key, self.hook = key, hook
        self.serials = [node.serial for node in nodes]
        self.parents: list[Node] = [node.parents[0] for node in nodes]
        for node in nodes:
            if node.watch is None:
                node.watch = Watch(None)
            node.watch.joint = self


class Hook:
    """The handle of a hook: remove() takes the hook away, as does calling the handle or leaving its `with` block."""

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
    """Data and the node that recorded it: the part of a Tensor that the engine needs to know."""

    __slots__ = ("_data", "node", "_grad", "_name", "__weakref__")
    level: Any = None  # the func.vmap or func.jvp that a value belongs to: see levels.py
    held: Any  # what a value with a level is made of
    _data: np.ndarray
    node: Node | None
    _grad: Any
    _name: str | None


def leaf(owner: Value) -> Node:
    """The node of a Tensor that requires grad and that no operation made."""
    node = Node()
    node.op, node.parents, node.saved, node.options = None, (), (), ()
    node.shape, node.dtype = owner._data.shape, owner._data.dtype
    node.serial, node.watch, node.scope = next_serial(), Watch(owner), None
    return node


def ancestors(roots: Iterable[Node]) -> list[Node]:
    """The roots and all nodes that they depend on, oldest first."""
    found: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.serial not in found:
            found[node.serial] = node
            stack += [parent for parent in node.parents if type(parent) is Node]
    return [found[serial] for serial in sorted(found, reverse=True)]


# The entries of `Node.parents`


def constant_entry(x: object, data: object) -> Any:
    """What a node records of an input that does not require grad: never the array itself, which would stay alive."""
    if isinstance(data, np.ndarray):
        return (data.shape, data.dtype, getattr(x, "_name", None))
    return data


def shape_of(entry: Any) -> Shape:
    """The shape of an entry of `Node.parents`."""
    return entry.shape if type(entry) is Node else entry[0] if type(entry) is tuple else np.shape(entry)


def dtype_of(entry: Any) -> np.dtype:
    """The dtype of an entry of `Node.parents`."""
    return entry.dtype if type(entry) is Node else entry[1] if type(entry) is tuple else np.result_type(entry)
