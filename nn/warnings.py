"""Warnings about likely mistakes that are not errors, each issued once per process."""

from __future__ import annotations

import sys
import warnings
from typing import Any

import numpy as np

from tinygrad_dl.graph import Value

issued: set[str] = set()


def warn_once(key: str, message: str) -> None:
    """Warn once per key, at the line of the user: the first outside of the package."""
    if key in issued:
        return
    issued.add(key)
    # Frames of the package are skipped, so that the warning names the line of the user.
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).startswith("tinygrad_dl."):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, UserWarning, stacklevel=level)


def warn_of_widening(layer: str, data: Any, parameter: Any) -> None:
    """Warn once where data of a wider dtype promotes all later results beyond the dtype of the parameters."""
    dtype = data.dtype
    if dtype != parameter.dtype and np.result_type(dtype, parameter.dtype) != parameter.dtype:
        warn_once(
            "widening",
            f"{layer}: the data is {dtype}, the parameters are {parameter.dtype}; all later results are computed in "
            f"{np.result_type(dtype, parameter.dtype)}, which is slower. Convert the data with "
            f".astype('{parameter.dtype}'), or the model with .double().",
        )


def warn_of_softmax(loss: str, x: Any, ops: tuple[str, ...], fix: str) -> None:
    """Warn once if the logits of a loss come directly from the activation that the loss applies itself."""
    node = x.node if isinstance(x, Value) else None
    if node is not None and node.op is not None and node.op.name in ops:
        warn_once(
            f"{loss} after {node.op.name}",
            f"{loss}: the input is the result of {node.op.name}, which {loss} applies itself; trained this way a "
            f"model learns slowly and its loss is wrong. {fix}",
        )
