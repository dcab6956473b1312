"""The preparation of inputs as a part of the graph, so that a file takes them as they are collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.compiler.program import Var
from tinygrad_dl.convert import describe
from tinygrad_dl.data.prepare import Standardize
from tinygrad_dl.errors import DTypeError
from tinygrad_dl.onnx.graph import Graph, Value


def check_preparation(preprocess: Any) -> None:
    """Raise DTypeError for what is no preparation."""
    if not isinstance(preprocess, Standardize):
        raise DTypeError(
            f"onnx.export: preprocess: expected a fitted data.Standardize or data.Table, got {describe(preprocess)}"
        )


def prepared(
    g: Graph, preprocess: Any, var: Var, names: Sequence[str], free: bool
) -> tuple[list[Any], Value, Value]:
    """The descriptions of the inputs, the prepared value, and an input whose first size is the batch."""
    name = g.unique(names[0])
    x = Value(g, name, var.dtype, var.shape)
    g.path = "preprocess"
    mean, std = preprocess._fitted()
    value = (x - g.constant(mean, var.dtype, "preprocess.mean")) / g.constant(
        std, var.dtype, "preprocess.std"
    )
    return [g.info(name, var.dtype, var.shape)], value, x
