"""An ONNX graph under construction: nodes named after modules, constants, and values that formulas are written with."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.compiler.sizes import Size, is_rows, parts_of
from tinygrad_dl.errors import missing_extra

OPSET, IR_VERSION = 24, 11
#: The name of the free size in the shapes of inputs and outputs.
BATCH = "batch"


def library() -> Any:
    """The package onnx; MissingExtraError without it."""
    try:
        import onnx
        import onnx.numpy_helper
    except ImportError:
        raise missing_extra("onnx", "onnx", "onnx.export") from None
    return onnx


class Refused(Exception):
    """Something that ONNX cannot express; the text says why."""


class Value:
    """A value of the graph: its name, dtype and shape; operators add nodes, and take Python numbers."""

    def __init__(self, graph: Graph, name: str, dtype: Any, shape: Sequence[int] | None = None) -> None:
        self.graph, self.name, self.dtype = graph, name, np.dtype(dtype)
        self.shape = None if shape is None else tuple(shape)

    def __add__(self, other: Any) -> Value:
        return self.graph.node("Add", self, other)

    def __sub__(self, other: Any) -> Value:
        return self.graph.node("Sub", self, other)

    def __rsub__(self, other: Any) -> Value:
        return self.graph.node("Sub", self.graph.constant(other, self.dtype), self)

    def __mul__(self, other: Any) -> Value:
        return self.graph.node("Mul", self, other)

    def __truediv__(self, other: Any) -> Value:
        return self.graph.node("Div", self, other)

    def __radd__(self, other: Any) -> Value:
        return self + other

    def __rmul__(self, other: Any) -> Value:
        return self * other

    def __rtruediv__(self, other: Any) -> Value:
        return self.graph.node("Div", self.graph.constant(other, self.dtype), self)

    def __pow__(self, other: Any) -> Value:
        return self.graph.node("Pow", self, other)

    def __neg__(self) -> Value:
        return self.graph.node("Neg", self)

    def __lt__(self, other: Any) -> Value:
        return self.graph.node("Less", self, other, dtype=bool)

    def __gt__(self, other: Any) -> Value:
        return self.graph.node("Greater", self, other, dtype=bool)

    def __le__(self, other: Any) -> Value:
        return self.graph.node("LessOrEqual", self, other, dtype=bool)

    def __ge__(self, other: Any) -> Value:
        return self.graph.node("GreaterOrEqual", self, other, dtype=bool)


class Graph:
    """Nodes in order, initializers, and the module that the next nodes belong to."""

    def __init__(self) -> None:
        self.onnx = library()
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.path = ""  # of the module whose call is translated, "encoder.0: Linear"
        self._names: Counter[str] = Counter()
        self._constants: dict[Any, Value] = {}
        self._rows: Value | None = None
        self.source_of_rows: tuple[Value, int] | None = None  # an input, and which of its axes is the batch

    # Names

    def unique(self, stem: str) -> str:
        """The stem, with a number behind it if it is taken."""
        self._names[stem] += 1
        while self._names[stem] > 1:
            name = f"{stem}_{self._names[stem]}"
            if name not in self._names:
                self._names[name] += 1
                return name
            self._names[stem] += 1
        return stem

    # Values

    def constant(self, value: Any, dtype: Any = None, name: str = "") -> Value:
        """An initializer; equal unnamed ones are stored once."""
        array = np.array(value, dtype=dtype, order="C")
        if array.dtype.kind == "c":
            raise Refused(f"{array.dtype} values")
        if name:
            name = self.unique(name)
            self.initializers[name] = array
            return Value(self, name, array.dtype, array.shape)
        key = (array.tobytes(), array.dtype.str, array.shape)
        found = self._constants.get(key)
        if found is None:
            name = self.unique("constant")
            self.initializers[name] = array
            found = self._constants[key] = Value(self, name, array.dtype, array.shape)
        return found

    def text(self, values: Sequence[str]) -> Value:
        """Text as an initializer."""
        name = self.unique("levels")
        self.initializers[name] = np.array(list(values), object)
        return Value(self, name, np.float32, (len(values),))

    def integers(self, *values: int) -> Value:
        return self.constant(np.array(values, np.int64))

    def node(
        self,
        kind: str,
        *inputs: Any,
        dtype: Any = None,
        outputs: int = 1,
        **attributes: Any,
    ) -> Any:
        """Add a node; its output, or a list of them. Numbers become constants of the first value's dtype."""
        first = next((x for x in inputs if isinstance(x, Value)), None)
        own = np.dtype(np.float32) if first is None else first.dtype
        given = [
            "" if x is None else x.name if isinstance(x, Value) else self.constant(x, own).name
            for x in inputs
        ]
        name = self.unique("/".join(filter(None, [*self.path.partition(":")[0].split("."), kind])))
        made = [name if outputs == 1 else f"{name}:{i}" for i in range(outputs)]
        attributes = {k: v for k, v in attributes.items() if v is not None}
        self.nodes.append(self.onnx.helper.make_node(kind, given, made, name=name, **attributes))
        values = [Value(self, n, own if dtype is None else dtype) for n in made]
        return values[0] if outputs == 1 else values

    def cast(self, x: Value, dtype: Any) -> Value:
        """The value in another dtype; itself if it has that already."""
        dtype = np.dtype(dtype)
        if x.dtype == dtype:
            return x
        out = self.node("Cast", x, dtype=dtype, to=self.tensor_type(dtype))
        out.shape = x.shape
        return out

    def tensor_type(self, dtype: Any) -> int:
        if np.dtype(dtype).kind == "c":
            raise Refused(f"{np.dtype(dtype)} values")
        return int(self.onnx.helper.np_dtype_to_tensor_dtype(np.dtype(dtype)))

    # Shapes, in which the batch size is free

    def rows(self) -> Value:
        """The batch size of the run, as a vector of one integer."""
        if self._rows is None:
            assert self.source_of_rows is not None
            x, axis = self.source_of_rows
            rows = self._rows = self.node("Shape", x, dtype=np.int64, start=axis, end=axis + 1)
            return rows
        return self._rows

    def sizes(self, shape: Sequence[int]) -> Value:
        """A shape as a vector: a constant, or computed from the batch size."""
        if not any(isinstance(n, Size) for n in shape):
            return self.integers(*shape)
        parts: list[Value] = []
        fixed: list[int] = []
        for n in shape:
            if not isinstance(n, Size):
                fixed.append(n)
                continue
            if fixed:
                parts.append(self.integers(*fixed))
                fixed = []
            slope, rest = parts_of(n)
            size = self.rows()
            size = size if slope == 1 else size * slope
            parts.append(size + rest if rest else size)
        if fixed:
            parts.append(self.integers(*fixed))
        return parts[0] if len(parts) == 1 else self.node("Concat", *parts, axis=0)

    def reshape(self, x: Value, shape: Sequence[int]) -> Value:
        """The value in another shape; ONNX infers the only size that depends on the batch."""
        free = [n for n in shape if isinstance(n, Size)]
        if len(free) == 1 and all(n > 0 for n in shape):
            to = self.integers(*(-1 if isinstance(n, Size) else n for n in shape))
        else:
            to = self.sizes(shape)
        out = self.node("Reshape", x, to, allowzero=1 if not free and 0 in shape else None)
        out.shape = tuple(shape)
        return out

    def expand(self, x: Value, shape: Sequence[int]) -> Value:
        """The value broadcast to a shape; itself if it has that already."""
        if x.shape is not None and len(x.shape) == len(shape) and all(map(same, x.shape, shape)):
            return x
        out = self.node("Expand", x, self.sizes(shape))
        out.shape = tuple(shape)
        return out

    def squeeze(self, x: Value, *axes: int) -> Value:
        return self.node("Squeeze", x, self.integers(*axes))

    def unsqueeze(self, x: Value, *axes: int) -> Value:
        return self.node("Unsqueeze", x, self.integers(*axes))

    def transpose(self, x: Value, axes: Sequence[int]) -> Value:
        return self.node("Transpose", x, perm=list(axes) or None)

    def where(self, condition: Value, x: Any, y: Any, dtype: Any) -> Value:
        parts = [p if isinstance(p, Value) else self.constant(p, dtype) for p in (x, y)]
        return self.node("Where", condition, *parts, dtype=dtype)

    # The finished graph

    def info(self, name: str, dtype: Any, shape: Sequence[Any]) -> Any:
        """The description of an input or output; sizes that depend on the batch are named after it."""
        sizes: list[Any] = []
        for n in shape:
            if isinstance(n, Size):
                sizes.append(BATCH if is_rows(n) else f"{n!r}".strip("()").replace("rows", BATCH))
            else:
                sizes.append(n if n is None or isinstance(n, str) else int(n))
        return self.onnx.helper.make_tensor_value_info(name, self.tensor_type(dtype), sizes)

    def model(self, inputs: list[Any], outputs: list[Any], title: str, notes: Mapping[str, str]) -> Any:
        """The ONNX model: what no output needs is left out."""
        helper = self.onnx.helper
        wanted = {o.name for o in outputs}
        nodes = []
        for node in reversed(self.nodes):
            if wanted.intersection(node.output):
                nodes.append(node)
                wanted.update(node.input)
        stored = [
            self.onnx.numpy_helper.from_array(array, name)
            for name, array in self.initializers.items()
            if name in wanted
        ]
        graph = helper.make_graph(nodes[::-1], title, inputs, outputs, stored)
        from tinygrad_dl import __version__

        model = helper.make_model(
            graph,
            opset_imports=[helper.make_opsetid("", OPSET)],
            ir_version=IR_VERSION,
            producer_name="tinygrad_dl",
            producer_version=__version__,
        )
        if notes:
            helper.set_model_props(model, dict(notes))
        return model


def same(x: int, y: int) -> bool:
    return parts_of(x) == parts_of(y)
