"""The preparation of inputs as a part of the graph, so that a file takes them as they are collected."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl.compiler.program import Var
from tinygrad_dl.compiler.sizes import Size
from tinygrad_dl.convert import describe
from tinygrad_dl.data.prepare import Standardize
from tinygrad_dl.data.tables import Table
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.onnx.graph import Graph, Value


def check_preparation(preprocess: Any) -> None:
    """Raise DTypeError for what is no preparation, and ValueRangeError for a column that ONNX cannot prepare."""
    if not isinstance(preprocess, (Standardize, Table)):
        raise DTypeError(
            f"onnx.export: preprocess: expected a fitted data.Standardize or data.Table, got {describe(preprocess)}"
        )
    if isinstance(preprocess, Table):
        preprocess.example(1)  # raises before it is fitted
        dates = [c["name"] for c in preprocess.columns if c["kind"] == "date"]
        if dates:
            raise ValueRangeError(
                f"onnx.export: preprocess: expected numbers and categories, got the date {dates[0]!r}: ONNX has no "
                "operators for dates. Replace it by columns of numbers, such as its year, or ship the model as Python: "
                "tg.compile(model).save(path, preprocess=table)"
            )


def prepared(
    g: Graph, preprocess: Any, arguments: Sequence[Var], names: Sequence[str]
) -> tuple[list[Any], list[Value], Value]:
    """The descriptions of the inputs, the prepared values, and an input whose first size is the batch."""
    g.path = "preprocess"
    var = arguments[0]
    if isinstance(preprocess, Table):
        return _columns(g, preprocess, var)
    name = g.unique(names[0])
    x = Value(g, name, var.dtype, var.shape)
    mean, std = preprocess._fitted()
    value = (x - g.constant(mean, var.dtype, "preprocess.mean")) / g.constant(
        std, var.dtype, "preprocess.std"
    )
    return [g.info(name, var.dtype, var.shape)], [value], x


def _columns(g: Graph, table: Table, var: Var) -> tuple[list[Any], list[Value], Value]:
    """One input (N, 1) for each column: float32 for a number, text for a category; nan and "" are missing."""
    infos, numbers, codes = [], [], []
    first: Value | None = None
    helper, text = g.onnx.helper, g.onnx.TensorProto.STRING
    rows: Any = var.shape[0]
    for column in table.columns:
        name = g.unique(str(column["name"]))
        number = column["kind"] == "number"
        x = Value(g, name, np.float32, (rows, 1))
        first = x if first is None else first
        if number:
            infos.append(g.info(name, np.float32, (rows, 1)))
            (fill,), (mean,), (scale,) = column["fill"], column["mean"], column["scale"]
            known = g.node("Abs", x) < np.inf  # nan is not less either
            numbers.append((g.where(known, x, fill, np.float32) - mean) / scale)
            continue
        size = "batch" if isinstance(rows, Size) else int(rows)
        infos.append(helper.make_tensor_value_info(name, text, [size, 1]))
        levels = g.text(column["levels"])
        same = g.node("Equal", x, levels, dtype=bool)
        if column["kind"] == "category":
            numbers.append(g.cast(same, np.float32))
            continue
        # The number of the level counted from 1; 0 for an unknown one.
        places = g.constant(np.arange(1, len(column["levels"]) + 1, dtype=np.int64))
        codes.append(g.node("ReduceSum", g.cast(same, np.int64) * places, g.integers(1), keepdims=1))
    assert first is not None
    found = [g.node("Concat", *numbers, axis=1)] if numbers else []
    if not numbers:
        found = [g.expand(g.constant(0, np.float32), var.shape)]
    if codes:
        found.append(g.node("Concat", *codes, axis=1))
    return infos, found, first


def answered(g: Graph, preprocess: Any, value: Value) -> Value:
    """An output in the unit of a table's target, if that is a number."""
    if not isinstance(preprocess, Table) or preprocess.classes is not None:
        return value
    g.path = "predictions"
    target = preprocess._answer
    return value * float(target["scale"]) + float(target["mean"])
