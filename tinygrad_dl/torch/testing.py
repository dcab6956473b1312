"""torch.testing: assert_close."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.tensor import Tensor as Value

_TOLERANCES = {
    "float16": (1e-3, 1e-5),
    "float32": (1.3e-6, 1e-5),
    "float64": (1e-7, 1e-7),
    "complex64": (1.3e-6, 1e-5),
    "complex128": (1e-7, 1e-7),
}


def assert_close(
    actual: Any,
    expected: Any,
    *,
    allow_subclasses: bool = True,
    rtol: Any = None,
    atol: Any = None,
    equal_nan: bool = False,
    check_device: bool = True,
    check_dtype: bool = True,
    check_layout: bool = True,
    check_stride: bool = False,
    msg: Any = None,
) -> None:
    """Raise AssertionError unless |actual - expected| <= atol + rtol * |expected|, by default as the dtype allows."""
    if (rtol is None) != (atol is None):
        raise ValueError("Either both or none of 'rtol' and 'atol' must be specified for all argument types.")
    _compare(actual, expected, rtol, atol, equal_nan, check_dtype, msg, "")


def _compare(
    a: Any, b: Any, rtol: Any, atol: Any, equal_nan: bool, check_dtype: bool, msg: Any, where: str
) -> None:
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        if set(a) != set(b):
            raise AssertionError(f"The keys of the mappings do not match: {set(a)} and {set(b)}")
        for key in a:
            _compare(a[key], b[key], rtol, atol, equal_nan, check_dtype, msg, f"{where}[{key!r}]")
        return
    if isinstance(a, Sequence) and isinstance(b, Sequence) and not isinstance(a, str):
        if len(a) != len(b):
            raise AssertionError(f"The length of the sequences mismatch: {len(a)} != {len(b)}")
        for i, (x, y) in enumerate(zip(a, b)):
            _compare(x, y, rtol, atol, equal_nan, check_dtype, msg, f"{where}[{i}]")
        return
    x, y = (v._data if isinstance(v, Value) else np.asarray(v) for v in (a, b))

    def fail(text: str) -> None:
        raise AssertionError(
            (msg(text) if callable(msg) else msg)
            or text + (f"\n\nThe failure occurred for item {where}" if where else "")
        )

    if x.shape != y.shape:
        fail(f"The values for attribute 'shape' do not match: {x.shape} != {y.shape}.")
    if check_dtype and isinstance(a, Value) and isinstance(b, Value) and x.dtype != y.dtype:
        fail(f"The values for attribute 'dtype' do not match: {a.dtype} != {b.dtype}.")
    kinds = [_TOLERANCES.get(v.dtype.name, (0.0, 0.0)) for v in (x, y)]
    r, t = (max(k[i] for k in kinds) for i in (0, 1))
    r, t = (r if rtol is None else rtol), (t if atol is None else atol)
    close = np.isclose(x, y, r, t, equal_nan)
    if not close.all():
        wrong = int((~close).sum())
        difference = np.abs(np.subtract(x, y, dtype=np.result_type(x, y, np.float64)))
        fail(
            f"Tensor-likes are not close!\n\nMismatched elements: {wrong} / {x.size} ({100 * wrong / x.size:.1f}%)\n"
            f"Greatest absolute difference: {difference.max()} (up to {t} allowed)"
        )


def assert_allclose(actual: Any, expected: Any, rtol: Any = None, atol: Any = None, **how: Any) -> None:
    """The old name of assert_close."""
    assert_close(actual, expected, rtol=rtol, atol=atol, check_dtype=False)
