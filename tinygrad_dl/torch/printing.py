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
    """One width and style for all numbers of a Tensor."""

    def __init__(self, data: Any) -> None:
        self.floating, self.int_mode, self.sci_mode, self.width = data.dtype.kind == "f", True, False, 1
        if not self.floating:
            self.width = max([1, *(len(str(v)) for v in data.reshape(-1).tolist())])
            return
        values = data.reshape(-1)
        usable = np.abs(values[np.isfinite(values) & (values != 0)]).astype(np.float64)
        precision = OPTIONS["precision"]
        if usable.size:
            low, high = float(usable.min()), float(usable.max())
            self.int_mode = bool((usable == np.ceil(usable)).all())
            if self.int_mode:
                self.sci_mode = high / low > 1000.0 or high > 1.0e8
            else:
                self.sci_mode = high / low > 1000.0 or high > 1.0e8 or low < 1.0e-4
        if OPTIONS["sci_mode"] is not None:
            self.sci_mode = OPTIONS["sci_mode"]
        self.precision = precision
        # the widths of numbers that are 0 or not finite do not count, as in PyTorch
        counted = values[np.isfinite(values) & (values != 0)].tolist()
        if self.int_mode and not self.sci_mode:
            self.width = max([1, *(len(f"{v:.0f}") + 1 for v in counted)])
        else:
            self.width = max([1, *(len(self._number(v)) for v in counted)])

    def _number(self, v: float) -> str:
        if self.sci_mode:
            return f"{v:.{self.precision}e}"
        if self.int_mode:
            text = f"{v:.0f}"
            return text if math.isinf(v) or math.isnan(v) else text + "."
        return f"{v:.{self.precision}f}"

    def __call__(self, v: Any) -> str:
        text = self._number(v) if self.floating else str(v)
        return text.rjust(self.width)


def _text(data: Any, indent: int, summarize: bool, format: Any) -> str:
    edge = OPTIONS["edgeitems"]
    if data.ndim == 0:
        return str(format(data.item()))
    cut = summarize and len(data) > 2 * edge
    if data.ndim == 1:
        values = [*data[:edge].tolist(), None, *data[-edge:].tolist()] if cut else data.tolist()
        items = [" ..." if v is None else format(v) for v in values]
        length = max(
            1, int((OPTIONS["linewidth"] - indent) // (max(len(format(0)), getattr(format, "width", 1)) + 2))
        )
        lines = [items[i : i + length] for i in range(0, len(items), length)] or [[]]
        return "[" + (",\n" + " " * (indent + 1)).join(", ".join(line) for line in lines) + "]"
    rows = [*data[:edge], None, *data[-edge:]] if cut else list(data)
    parts = ["..." if row is None else _text(row, indent + 1, summarize, format) for row in rows]
    gap = ",\n" * (data.ndim - 1) + " " * (indent + 1)
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
        if data.shape != (0,):
            suffixes.append(f"size={tuple(data.shape)}")
        body = "[]"
    elif data.dtype.kind == "c":
        real, imag = Formatter(data.real), Formatter(data.imag)

        def both(v: Any) -> str:
            v = complex(v)
            sign = "-" if math.copysign(1, v.imag) < 0 else "+"
            return f"{real(v.real)}{sign}{imag(abs(v.imag)).strip()}j"

        body = _text(data, len(prefix), data.size > OPTIONS["threshold"], both)
    else:
        summarize = data.size > OPTIONS["threshold"]
        shown = _shown(data) if summarize else data
        body = _text(data, len(prefix), summarize, Formatter(shown))
    standard = data.dtype in ("int64", "bool") or (
        x.dtype == get_default_dtype() or x.dtype == get_default_dtype().to_complex()
    )
    if not standard or (not data.size and data.dtype != get_default_dtype().dtype):
        suffixes.append(f"dtype={x.dtype}")
    if x.grad_fn is not None:
        suffixes.append(f"grad_fn={x.grad_fn!r}")
    elif x.requires_grad:
        suffixes.append("requires_grad=True")
    return prefix + ", ".join([body, *suffixes]) + ")"


def _shown(data: Any) -> Any:
    """The elements that are printed, of a large array."""
    edge = OPTIONS["edgeitems"]
    for axis in range(data.ndim):
        n = data.shape[axis]
        if n > 2 * edge:
            data = np.take(data, [*range(edge), *range(n - edge, n)], axis)
    return data
