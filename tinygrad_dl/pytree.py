"""Nested lists, tuples and dicts of arrays: their leaves, and the same nesting with other leaves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from tinygrad_dl.errors import ValueRangeError


def leaves(tree: object, path: str = "", inside: tuple[Any, ...] = ()) -> Iterator[tuple[str, Any]]:
    """Each leaf with its path, such as `["w"][0]`; None is not a leaf, a dict goes in its own order.

    >>> list(leaves({"w": [1.0, 2.0], "b": None}))
    [("['w'][0]", 1.0), ("['w'][1]", 2.0)]
    """
    if isinstance(tree, (dict, list, tuple)) and any(tree is outer for outer in inside):
        raise ValueRangeError(f"expected nested lists, tuples and dicts, got one that holds itself at {path}")
    if isinstance(tree, dict):
        for key, child in tree.items():
            yield from leaves(child, f"{path}[{key!r}]", (*inside, tree))
    elif isinstance(tree, (list, tuple)):
        for i, child in enumerate(tree):
            yield from leaves(child, f"{path}[{i}]", (*inside, tree))
    elif tree is not None:
        yield path, tree


def refill(tree: object, values: Iterator[Any]) -> Any:
    """The same nesting with the next values in the places of the leaves.

    >>> refill({"w": [1.0, 2.0], "b": None}, iter("xy"))
    {'w': ['x', 'y'], 'b': None}
    """
    if isinstance(tree, dict):
        return {key: refill(child, values) for key, child in tree.items()}
    if isinstance(tree, (list, tuple)):
        children = [refill(child, values) for child in tree]
        return type(tree)(*children) if hasattr(tree, "_fields") else type(tree)(children)
    return None if tree is None else next(values)
