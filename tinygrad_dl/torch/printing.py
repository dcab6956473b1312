"""The text of Tensors as PyTorch prints it."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

OPTIONS: dict[str, Any] = {
    "precision": 4,
    "threshold": 1000,
    "edgeitems": 3,
    "linewidth": 80,
    "sci_mode": None,
}
_PROFILES: dict[str, dict[str, Any]] = {
    "default": {"precision": 4, "threshold": 1000, "edgeitems": 3, "linewidth": 80},
    "short": {"precision": 2, "threshold": 1000, "edgeitems": 2, "linewidth": 80},
    "full": {"precision": 4, "threshold": math.inf, "edgeitems": 3, "linewidth": 80},
}


def set_printoptions(
    precision: Any = None,
    threshold: Any = None,
    edgeitems: Any = None,
    linewidth: Any = None,
    profile: Any = None,
    sci_mode: Any = None,
) -> None:
    """How Tensors are printed: decimals, from which size on with dots, line width."""
    if profile is not None:
        OPTIONS.update(_PROFILES[profile])
    given = {"precision": precision, "threshold": threshold, "edgeitems": edgeitems, "linewidth": linewidth}
    OPTIONS.update({key: value for key, value in given.items() if value is not None}, sci_mode=sci_mode)


class Formatter:
    """One width and style for all numbers of an array; those that are 0 or not finite do not count."""

    def __init__(self, data: Any) -> None:
        self.floating, self.int_mode, self.sci_mode, self.width = data.dtype.kind == "f", True, False, 1
        values = data.reshape(-1)
        if self.floating:
            values = values[np.isfinite(values) & (values != 0)]
            if values.size:
                sizes = np.abs(values)
                low, high = float(sizes.min()), float(sizes.max())
                self.int_mode = bool((values == np.ceil(values)).all())
                self.sci_mode = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
                if OPTIONS["sci_mode"] is not None:
                    self.sci_mode = OPTIONS["sci_mode"]
        self.width = max([1, *(len(self._number(v)) for v in values.tolist())])

    def _number(self, v: Any) -> str:
        if not self.floating:
            return str(v)
        if self.sci_mode:
            return f"{v:.{OPTIONS['precision']}e}"
        if self.int_mode:
            return f"{v:.0f}" + ("." if math.isfinite(v) else "")
        return f"{v:.{OPTIONS['precision']}f}"

    def __call__(self, v: Any) -> str:
        return self._number(v).rjust(self.width)


class ComplexFormatter:
    """The same for complex numbers, whose parts have a style each."""

    def __init__(self, data: Any) -> None:
        self.real, self.imag = Formatter(data.real), Formatter(data.imag)
        self.width = self.real.width + self.imag.width + 1

    def __call__(self, v: Any) -> str:
        imag = self.imag(v.imag).lstrip()
        return f"{self.real(v.real)}{'' if imag[0] == '-' else '+'}{imag}j"


def _text(data: Any, indent: int, summarize: bool, format: Any) -> str:
    edge = OPTIONS["edgeitems"]
    if data.ndim == 0:
        return str(format(data.item()))
    cut = summarize and len(data) > 2 * edge
    rows = [*data[:edge], None, *data[-edge:]] if cut else list(data)
    if data.ndim == 1:
        items = [" ..." if v is None else format(v.item()) for v in rows]
        length = max(1, (OPTIONS["linewidth"] - indent) // (format.width + 2))
        lines = [items[i : i + length] for i in range(0, len(items), length)] or [[]]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"
    parts = ["..." if row is None else _text(row, indent + 1, summarize, format) for row in rows]
    gap = "," + "\n" * (data.ndim - 1) + " " * (indent + 1)
    return "[" + gap.join(parts) + "]"


def text(x: Any, name: str = "tensor") -> str:
    """Such as tensor([1., 2.], requires_grad=True)."""
    from tinygrad_dl.torch.dtypes import get_default_dtype

    prefix = f"{name}("
    if x.level is not None:
        return f"{type(x).__mro__[2].__name__}({tuple(x.shape)})"
    data = x._data
    suffixes = []
    if not data.size:
        if data.ndim != 1:
            suffixes.append(f"size={tuple(data.shape)}")
        body = "[]"
    else:
        summarize = data.size > OPTIONS["threshold"]
        kind = ComplexFormatter if data.dtype.kind == "c" else Formatter
        body = _text(data, len(prefix), summarize, kind(_shown(data) if summarize else data))
    default = get_default_dtype()
    if x.dtype != default and (
        not data.size or (data.dtype not in ("int64", "bool") and x.dtype != default.to_complex())
    ):
        suffixes.append(f"dtype={x.dtype}")
    if x.grad_fn is not None:
        suffixes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    return prefix + body + _after(prefix + body, suffixes, len(prefix)) + ")"


def _after(body: str, suffixes: list[str], indent: int) -> str:
    """What follows the numbers, on new lines where it does not fit."""
    parts, end = [], len(body) - body.rfind("\n") + 1
    for suffix in suffixes:
        if end + len(suffix) + 2 > OPTIONS["linewidth"]:
            parts.append(",\n" + " " * indent + suffix)
            end = indent + len(suffix)
        else:
            parts.append(", " + suffix)
            end += len(suffix) + 2
    return "".join(parts)


def _shown(data: Any) -> Any:
    """The elements that are printed, of a large array."""
    edge = OPTIONS["edgeitems"]
    for axis in range(data.ndim):
        n = data.shape[axis]
        if n > 2 * edge:
            data = np.take(data, [*range(edge), *range(n - edge, n)], axis)
    return data
