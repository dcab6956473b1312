"""detect_anomaly: where the first nan or infinity was made, and which saved array changed before backward."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.backward import backward_pass
from tinygrad_dl.errors import AnomalyError
from tinygrad_dl.graph import Node, Value
from tinygrad_dl.modes import Mode, modes
from tinygrad_dl.typing import Array

if TYPE_CHECKING:
    from tinygrad_dl.op import Op


class detect_anomaly(Mode):
    """Raise AnomalyError at the first operation that makes a nan or an infinity, forward or backward.

    The error shows its inputs' ranges, the user's line, the module, and the likely cause. Backward also
    raises if an array that an operation saved has changed since. Both must run inside. A context manager
    and a decorator, per thread; slow, and without cost when it is off.
    >>> from tinygrad_dl import Tensor
    >>> x = Tensor([1.0, 0.0])
    >>> with detect_anomaly():
    ...     x.log()
    Traceback (most recent call last):
        ...
    tinygrad_dl.errors.AnomalyError: log: made -inf in 1 of 2 elements
      x: float32 (2,), 0 to 1
      likely cause: log of 0...
    """

    setting = "watchers"

    def _state(self) -> Any:
        return modes.watchers, np.geterr()

    def _switch_on(self) -> None:
        others = modes.watchers
        modes.watchers = others if any(isinstance(w, detect_anomaly) for w in others) else (*others, self)
        np.seterr(all="ignore")  # NumPy's warnings would come first and say less

    def _restore_state(self, before: Any) -> None:
        modes.watchers, errors = before
        np.seterr(**errors)

    # Called by the engine

    def after_forward(self, op: Op, inputs: Sequence[Any], options: Sequence[Any], result: Any) -> None:
        """An operation ran: remember where it was called, and look at its result."""
        node = result.node
        if node is not None:
            node.origin = Origin(node)
        out = result._data
        if out.dtype.kind not in "fc" or np.isfinite(out).all() or _in_rule():
            return
        arrays = [np.asarray(x._data if isinstance(x, Value) else x) for x in inputs if x is not None]
        names = (op.inputs * len(arrays) if op.variadic else op.inputs)[: len(arrays)]
        floating = [x for x in arrays if x.dtype.kind in "fc"]
        had_nan = any(np.isnan(x).any() for x in floating)
        had_infinity = any(np.isinf(x).any() for x in floating)
        if np.isnan(out).any():
            what = "was given" if had_nan else "made"
        elif not had_infinity and not had_nan:
            what = "made"
        else:
            return  # an infinity handed on, such as the -inf of a mask
        found = "nan" if np.isnan(out).any() else infinity(out)
        cause = (
            "no operation in here made it: the data or a parameter has it already"
            if what == "was given"
            else cause_in_result(op.name, arrays, out)
        )
        raise AnomalyError(
            _report(
                f"{op.name}: {what} {found} in {_share(out)}",
                [(name, x) for name, x in zip(names, arrays)],
                cause,
                f"called at {Origin(None).place}",
            )
        )

    def after_backward(self, node: Node, g: Array, contributions: Sequence[Any]) -> None:
        """Backward went through a node: its saved arrays must be as they were, its contributions finite."""
        origin = getattr(node, "origin", None)
        called = (
            "called outside of detect_anomaly"
            if origin is None
            else f"called at {origin.place}{origin.within}"
        )
        if origin is not None:
            for (name, before), (_, after) in zip(origin.prints, _prints(node)):
                if before != after:
                    raise AnomalyError(
                        _report(
                            f"backward: {name}, which {node.op.name} saved, was changed in place since",
                            [],
                            "written through .data, .numpy() or an array shared by asarray, or by an "
                            "optimizer's "
                            "step between forward and backward; compute a new Tensor or write to a copy",
                            called,
                        )
                    )
        g = _array(g)
        for i, c in enumerate(contributions):
            if c is None or type(node.parents[i]) is not Node or np.isfinite(_array(c)).all():
                continue
            c = _array(c)
            found = "nan" if np.isnan(c).any() else infinity(c)
            saved = [(f"g, the gradient of {node.op.name}", g), *_saved_values(node)]
            finite = np.isfinite(g).all()
            name = node.op.inputs[min(i, len(node.op.inputs) - 1)] if node.op.inputs else f"input {i}"
            raise AnomalyError(
                _report(
                    f"backward: the derivative of {node.op.name} in {name} "
                    f"{'made' if finite else 'was given'} "
                    f"{found} in {_share(c)}",
                    saved,
                    cause_in_derivative(node, g, c, dict(saved))
                    if finite
                    else "no derivative made it: the gradient passed to backward, a hook or a sum did",
                    called,
                )
            )


class Origin:
    """Where the user's code called an operation, in which module, and what the saved arrays looked like."""

    __slots__ = ("place", "prints", "within")

    def __init__(self, node: Node | None) -> None:
        self.place, modules = _caller()
        self.within = f" [in {_path(modules)}]" if modules else ""
        self.prints = [] if node is None else _prints(node)


def _prints(node: Node) -> list[tuple[str, int]]:
    """A fingerprint of each array that a node saved."""
    from zlib import crc32

    named = [*zip(node.op.saves, node.saved or ()), *zip(node.op.options, node.options)]
    return [(name, crc32(a.tobytes())) for name, value in named for a in _arrays(value)]


def _arrays(value: object) -> Iterator[np.ndarray]:
    if isinstance(value, (np.ndarray, np.generic)):
        yield np.asarray(value)
    elif isinstance(value, (tuple, list)):
        for part in value:
            yield from _arrays(part)


def _saved_values(node: Node) -> list[tuple[str, np.ndarray]]:
    """The saved arrays, and the numbers among the inputs."""
    saved = [(name, a) for name, value in zip(node.op.saves, node.saved or ()) for a in _arrays(value)]
    return saved + [
        (name, np.asarray(entry))
        for name, entry in zip(node.op.inputs, node.parents)
        if isinstance(entry, (int, float)) and name not in dict(saved)
    ]


def _array(x: object) -> np.ndarray:
    return x._data if isinstance(x, Value) else np.asarray(x)


def infinity(x: np.ndarray) -> str:
    """Which infinities an array has."""
    if x.dtype.kind == "c":
        return "inf"
    return " and ".join(name for name, bad in (("inf", np.inf), ("-inf", -np.inf)) if (x == bad).any())


def _share(x: np.ndarray) -> str:
    bad = np.isnan(x) if np.isnan(x).any() else np.isinf(x)
    return f"{int(bad.sum())} of {x.size} element{'' if x.size == 1 else 's'}"


def _report(what: str, values: Sequence[tuple[str, np.ndarray]], cause: str, called: str) -> str:
    lines = [
        what,
        *(f"  {name}: {ranged(x)}" for name, x in values),
        f"  likely cause: {cause}",
        f"  {called}",
    ]
    return "\n".join(lines)


def ranged(x: np.ndarray) -> str:
    """An array in a report: dtype, shape, the range of what is finite in it, and how much is not."""
    text = f"{x.dtype} {x.shape}"
    if x.dtype.kind not in "biufc" or not x.size:
        return text
    finite = x[np.isfinite(x)]
    if finite.size:
        if x.dtype.kind == "c":  # in the complex plane there is no order: how far from 0
            finite, text = np.abs(finite), f"{text}, magnitudes"
        low, high = finite.min(), finite.max()
        text += f", {low:.6g}" if low == high else f", {low:.6g} to {high:.6g}"
    for name, count in (("nan", np.isnan(x).sum()), ("infinite", np.isinf(x).sum())):
        text += f", {int(count)} {name}" if count else ""
    return text


# Where the user's code is


def _is_ours(frame: FrameType) -> bool:
    """Whether a frame runs code of this package, or NumPy's, whose errstate is between two of its functions."""
    return str(frame.f_globals.get("__name__", "")).partition(".")[0] in ("tinygrad_dl", "numpy")


def _in_rule() -> bool:
    """Whether the current operation is part of a derivative rule that records: after_backward() sees its result."""
    frame = sys._getframe(1)
    while frame is not None and _is_ours(frame):
        if frame.f_code is backward_pass.__code__:
            return True
        frame = frame.f_back  # type: ignore[assignment]
    return False


def _caller() -> tuple[str, list[Any]]:
    """The user's file, line and code; and the modules that are being called, outermost first."""
    import linecache

    frame: Any = sys._getframe(2)
    place = ""
    modules: list[Any] = []
    while frame is not None:
        if not place and not _is_ours(frame):
            name, line = frame.f_code.co_filename, frame.f_lineno
            code = linecache.getline(name, line, frame.f_globals).strip()
            place = f"{name}:{line}" + (f": {code}" if code else "")
        if frame.f_code.co_name == "__call__" and frame.f_globals.get("__name__") == "tinygrad_dl.nn.module":
            modules.insert(0, frame.f_locals["self"])
        frame = frame.f_back
    return place or "an unknown place", modules


def _path(modules: list[Any]) -> str:
    """The innermost module as it is reached from the outermost, such as `Model.block.0: Linear`."""
    names = []
    for outer, inner in zip(modules, modules[1:]):
        names += [name for name, child in outer.named_children() if child is inner][:1]
    return ".".join([type(modules[0]).__name__, *names]) + (
        f": {type(modules[-1]).__name__}" if len(modules) > 1 else ""
    )


# The likely cause of what was found: diagnosis

# The pole of each logarithm.
LOGARITHMS = {"log": 0.0, "log2": 0.0, "log10": 0.0, "log1p": -1.0}


def cause_in_result(name: str, inputs: list[np.ndarray], out: np.ndarray) -> str:
    """The likely cause of a nan or infinity in the result of an operation on these inputs."""
    x = inputs[0]
    last = inputs[-1]
    if name in LOGARITHMS and x.dtype.kind in "biuf":
        return _of_logarithm(name, x)
    if name in ("divide", "reciprocal", "remainder", "floor_divide") and (last == 0).any():
        return "division by 0. Add a small number to the divisor, or choose with where_safe"
    if name == "sqrt" and (x < 0).any():
        return "the square root of a negative number"
    if name == "power" and x.dtype.kind in "biuf":
        if ((x == 0) & (last < 0)).any():
            return "0 to a negative power is a division by 0"
        if ((x < 0) & (last != np.round(last))).any():
            return "a negative number to a fractional power"
    if any(i.dtype.kind in "fc" and np.isinf(i).any() for i in inputs):
        return "infinities among the inputs that cancel, such as inf - inf, 0 * inf or inf / inf"
    if np.isinf(out).any() and out.dtype.kind == "f":
        return _overflow(name, out.dtype)
    return f"the inputs lie outside of where {name} is defined"


def _of_logarithm(name: str, x: np.ndarray) -> str:
    pole = LOGARITHMS[name]
    if (x < pole).any():
        return f"{name} of a number below {pole:g}"
    return (
        f"{name} of {pole:g}. Of a probability, compute it from the logits: log_softmax, or a loss with "
        "logits; "
        "otherwise add a small number"
    )


def _overflow(name: str, dtype: np.dtype) -> str:
    largest = float(np.finfo(dtype).max)
    if name in ("exp", "expm1", "sinh", "cosh"):
        return (
            f"overflow: {name} exceeds what {dtype} holds above {np.log(largest):.4g}. "
            "Subtract the maximum first, or use logsumexp or softmax"
        )
    return (
        f"overflow: {dtype} holds up to {largest:.3g}. "
        "Scale the values, lower the learning rate, or clip gradients"
    )


def cause_in_derivative(node: Node, g: np.ndarray, c: np.ndarray, saved: dict[str, np.ndarray]) -> str:
    """The likely cause of a nan or infinity among what a node's derivative gives, where `g` is finite."""
    bad = ~np.isfinite(c)
    at, advice = _infinite_at(node, saved)
    if g.shape == c.shape and np.isnan(c).any() and (g[bad] == 0).all():
        return (
            f"{at or 'an infinite derivative'}, times a gradient that is 0 there: 0 * inf is nan. So it is "
            "in the branch of a where that is not taken, or under a mask: use where_safe"
        )
    if at:
        return f"{at}. {advice}"
    return _overflow("", c.dtype) if np.isinf(c).any() else "the inputs lie where there is no derivative"


SMALL = "Add a small number before"


def _infinite_at(node: Node, saved: dict[str, np.ndarray]) -> tuple[str, str]:
    """The point at which the derivative is infinite, if this is one, and what to do."""
    name = node.op.name
    x, y, out = (saved.get(key) for key in ("x", "y", "out"))
    zero_out = out is not None and bool((out == 0).any())
    if name == "sqrt" and zero_out:
        source = node.parents[0]
        if type(source) is Node and source.op is not None and source.op.name in ("sum", "mean"):
            return (
                "a norm (the square root of a sum) at 0, where its derivative is infinite",
                "linalg.vector_norm and std have a finite one there",
            )
        return "sqrt at 0, where its derivative is infinite", SMALL
    if name in LOGARITHMS and x is not None and (x == LOGARITHMS[name]).any():
        return f"{name} at {LOGARITHMS[name]:g}, where its derivative is infinite", SMALL
    divisor = y if name == "divide" else out if name == "reciprocal" else None
    if divisor is not None and (np.isinf(divisor) if name == "reciprocal" else divisor == 0).any():
        return "division by 0", SMALL
    if name == "power" and x is not None and (x == 0).any():
        return "a power of 0 with an exponent below 1, where its derivative is infinite", SMALL
    if name in ("norm", "cbrt") and zero_out:
        return f"{name} at 0, where its derivative is infinite", SMALL
    return "", ""
