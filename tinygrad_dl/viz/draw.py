"""draw: the diagram of a Tensor's computation graph."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.graph import Value
from tinygrad_dl.viz.extract import extract
from tinygrad_dl.viz.fold import fold
from tinygrad_dl.viz.labels import SHOWABLE
from tinygrad_dl.viz.picture import Picture
from tinygrad_dl.viz.record import Recording, rehearse
from tinygrad_dl.viz.view import GraphView

COLORS = ("grad", "gain", "nan")
DIRECTIONS = ("TB", "BT", "LR", "RL")


def draw(
    tensor: Any,
    model: Any = None,
    *,
    show: Sequence[str] = ("shape", "dtype", "value", "grad"),
    depth: int | None = None,
    color: str | None = None,
    direction: str = "TB",
    max_nodes: int = 400,
    names: Mapping[str, Any] | None = None,
    record: Recording | None = None,
    engine: str | None = None,
) -> GraphView:
    """The computation graph behind a Tensor, or behind several, as a diagram.

    `model` gives parameters their names and modules their boxes, `names` (such as `locals()`) names Tensors.

    >>> from tinygrad_dl import Tensor
    >>> x = Tensor(3.0, requires_grad=True, name="x")
    >>> print(draw(x * x, show=("shape",)).text(), end="")
    n0 x; leaf; ()
    n1 *(n0, n0); (); output
    """
    _check(show, color, direction)
    roots = list(tensor) if isinstance(tensor, (list, tuple)) else [tensor]
    for root in roots:
        if not isinstance(root, Value):
            raise DTypeError(f"draw: a Tensor is needed; {type(root).__name__} came")
    if (
        record is None
        and len(roots) == 1
        and ({"grad", "gain", "rule"} & set(show) or color in ("grad", "gain"))
    ):
        record = rehearse(roots[0])
    full = extract(roots, model=model, names=names, recording=record)
    return view_of(full, show, depth, color, direction, max_nodes, engine)


def view_of(
    full: Picture,
    show: Sequence[str],
    depth: int | None,
    color: str | None,
    direction: str,
    max_nodes: int,
    engine: str | None,
) -> GraphView:
    """A view of a picture, folded to the depth and the number of boxes asked for."""
    return GraphView(fold(full, depth, max_nodes), full, show, color, direction, engine)


def _check(show: Sequence[str], color: str | None, direction: str) -> None:
    if isinstance(show, str):
        raise DTypeError(f"draw: show: a sequence such as ({show!r},) is needed; the string {show!r} came")
    for name in show:
        if name not in SHOWABLE:
            near = get_close_matches(str(name), SHOWABLE, 1)
            told = f"did you mean {near[0]!r}?" if near else f"it may hold {', '.join(SHOWABLE)}"
            raise ValueRangeError(f"draw: show holds {name!r}, which is not known; {told}")
    if color is not None and color not in COLORS:
        raise ValueRangeError(
            f"draw: color: one of {', '.join(map(repr, COLORS))} or None is needed; {color!r} came"
        )
    if direction not in DIRECTIONS:
        raise ValueRangeError(
            f"draw: direction: one of {', '.join(DIRECTIONS)} is needed; {direction!r} came"
        )
