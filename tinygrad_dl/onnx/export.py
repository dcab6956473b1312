"""Export: the program that a model computes, as an ONNX file."""

from __future__ import annotations

import ast
import operator
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import no_grad, pytree
from tinygrad_dl.arguments import refuse_unfit
from tinygrad_dl.compiler.capture import Capture, fixed
from tinygrad_dl.compiler.program import Call, Effect, NotLowered, Program, Step, Var
from tinygrad_dl.compiler.recording import record
from tinygrad_dl.compiler.replay import live_steps
from tinygrad_dl.compiler.rows import SAMPLES, merged_program
from tinygrad_dl.compiler.sizes import Filled, Ratio, Size
from tinygrad_dl.convert import describe
from tinygrad_dl.dispatch import draw_now
from tinygrad_dl.errors import CompileError, DTypeError, ShapeError, TinygradError, ValueRangeError
from tinygrad_dl.files import write_atomically
from tinygrad_dl.graph import Value as Recorded
from tinygrad_dl.onnx.graph import Graph, Refused, Value, library
from tinygrad_dl.onnx.operators import translate
from tinygrad_dl.onnx.preparation import answered, check_preparation, prepared
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import readable

#: The batch sizes of the runs that show what follows from the batch size.
BATCHES = (2, 3, 5)
BINARY: dict[type, Callable[[Any, Any], Any]] = {
    ast.Add: operator.add, ast.Mult: operator.mul, ast.Div: operator.truediv, ast.Pow: operator.pow,
}  # fmt: skip


class ExportError(CompileError):
    """A model with a part that ONNX cannot express, or that is no program; the message names the part."""


def _options(
    path: str | os.PathLike[str], input_names: Sequence[str] | None, output_names: Sequence[str] | None
) -> None:
    """The options of export, for refuse_unfit."""


@readable
def export(
    model: Callable[..., Any],
    example: Any,
    path: str | os.PathLike[str],
    preprocess: Any = None,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    dynamic_batch: bool | int | Sequence[int | None] = True,
) -> None:
    """Write a model to `path` as an ONNX file, which other runtimes run; needs the extra `onnx`.

    `example`: an input, a tuple of inputs, or a dict of them by argument name; of it only shapes and dtypes are kept.
    The model is exported in evaluation mode. Parameters keep the names of `state_dict()`; nodes are named after the
    modules that they belong to. `dynamic_batch`: the axis of each input whose size stays free, the first by default
    (True), None for an input without one, False for none at all. `preprocess`: a fitted `data.Standardize` or
    `data.Table`, which becomes part of the file: it takes unprepared inputs, of a table one (N, 1) for each column, and
    returns numbers in the unit of the table's target.
    Raises ExportError (a RuntimeError) for what ONNX cannot express, with the operation and the module's path.

    >>> import os, tempfile
    >>> from tinygrad_dl import nn
    >>> file = os.path.join(tempfile.mkdtemp(), "model.onnx")
    >>> export(nn.Sequential(nn.Linear(4, 3), nn.ReLU()), np.zeros((1, 4), np.float32), file)
    >>> os.path.getsize(file) > 0
    True
    """
    library()
    if not callable(model):
        raise DTypeError(f"onnx.export: model: expected a Module or a function, got {describe(model)}")
    options = {"path": path, "input_names": input_names, "output_names": output_names}
    refuse_unfit(_options, (), options, "onnx.export")
    if os.path.isdir(path):
        raise IsADirectoryError(
            f"onnx.export: path: expected the path of a file, got the folder {os.fspath(path)}"
        )
    args, kwargs = _arguments(example) if preprocess is None else ((example,), {})
    if preprocess is not None:
        check_preparation(preprocess)
        made = preprocess.transform(args[0]) if hasattr(preprocess, "transform") else preprocess(args[0])
        args = tuple(_as_input(x) for x in (made if isinstance(made, tuple) else (made,)))
    leaves = [*args, *kwargs.values()]
    names = _input_names(model, len(args), list(kwargs), input_names, preprocess is not None)
    axes = _batch_axes(leaves, names, dynamic_batch)
    mode = [(m, m.training) for m in model.modules()] if hasattr(model, "modules") else []
    try:
        if mode:
            model.eval()  # type: ignore[attr-defined]
        program, result, paths = _program(model, args, kwargs, names, axes)
    finally:
        for module, training in mode:
            module.training = training
    modules = dict(model.named_modules()) if hasattr(model, "named_modules") else {}
    g = Graph()
    writer = _Writer(g, program, model, modules, paths)
    inputs = writer.inputs(names, axes, preprocess)
    outputs = writer.outputs(result, output_names, preprocess)
    title = type(model).__name__ if modules else getattr(model, "__name__", type(model).__name__)
    made = g.model(inputs, outputs, title, writer.notes)
    g.onnx.checker.check_model(made, full_check=True)
    write_atomically(path, made.SerializeToString())


def _as_input(x: Any) -> Any:
    """An input as the model is given it: floating arrays as Tensors, integers as arrays."""
    if x is None or isinstance(x, Recorded):
        return x
    try:
        array = np.asarray(x)
    except ValueError:
        array = np.asarray(None)
    if array.dtype.kind not in "fiub":
        raise DTypeError(
            f"onnx.export: example: expected an array, a tuple of arrays or a dict of them, got {describe(x)}"
        )
    if isinstance(x, (list, float)) and array.dtype == np.float64:
        array = array.astype(np.float32)
    return Tensor(array)


def _arguments(example: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    if isinstance(example, Mapping) and example:
        return (), {str(k): _as_input(v) for k, v in example.items()}
    parts = example if isinstance(example, tuple) else (example,)
    if not parts or isinstance(example, Mapping):
        raise ValueRangeError("onnx.export: example: expected at least one input, got none")
    return tuple(_as_input(x) for x in parts), {}


def _input_names(
    model: Any, count: int, named: list[str], given: Sequence[str] | None, prepared_inside: bool
) -> list[str]:
    from tinygrad_dl.compiler.compiled import _argument_names

    found = _argument_names(model, (0,) * count, {})
    found = [found[i] if i < len(found) else f"input{i}" for i in range(count)] + named
    if given is None:
        return found
    if isinstance(given, str) or any(not isinstance(n, str) or not n for n in given):
        raise DTypeError(f"onnx.export: input_names: expected a list of names, got {given!r}")
    if not prepared_inside and (len(given) != len(found) or len(set(given)) < len(given)):
        raise ValueRangeError(
            f"onnx.export: input_names: expected {len(found)} different names, got {list(given)!r}"
        )
    return list(given)


def _batch_axes(leaves: list[Any], names: list[str], dynamic: Any) -> list[int | None]:
    """The axis of each input whose size is free."""
    shapes = [None if x is None else x.shape for x in leaves]
    if dynamic is False:
        return [None] * len(leaves)
    if dynamic is True:
        axes: list[Any] = [0 if shape else None for shape in shapes]
    elif isinstance(dynamic, (int, np.integer)):
        axes = [int(dynamic) if shape is not None else None for shape in shapes]
    elif isinstance(dynamic, (list, tuple)) and len(dynamic) == len(leaves):
        axes = list(dynamic)
    else:
        raise DTypeError(
            "onnx.export: dynamic_batch: expected True, False, an axis, or one axis or None for each of the "
            f"{len(leaves)} inputs, got {dynamic!r}"
        )
    for i, (axis, shape) in enumerate(zip(axes, shapes)):
        if axis is None or shape is None:
            axes[i] = None
        elif isinstance(axis, bool) or not isinstance(axis, (int, np.integer)):
            raise DTypeError(f"onnx.export: dynamic_batch: expected an axis or None, got {axis!r}")
        elif not -len(shape) <= axis < len(shape):
            raise ShapeError(
                f"onnx.export: dynamic_batch: expected an axis of {names[i] if i < len(names) else 'the input'} of "
                f"shape {shape}, got {axis}"
            )
        else:
            axes[i] = axis % len(shape)
    sizes = {shape[axis] for axis, shape in zip(axes, shapes) if axis is not None and shape is not None}
    if len(sizes) > 1:
        raise ShapeError(
            f"onnx.export: expected inputs of one batch size, got {', '.join(map(str, sorted(sizes)))}. Name the axes "
            "with dynamic_batch, such as dynamic_batch=(0, None)."
        )
    if sizes == {0}:
        raise ShapeError("onnx.export: example: expected at least one row, got none")
    return axes


# Capturing


def _capture(
    model: Any, args: tuple[Any, ...], kwargs: dict[str, Any], names: Sequence[str]
) -> tuple[Program, Any, Capture]:
    """One run as a program."""
    program, result, capture = record(model, args, kwargs, names)
    reading = [p for p in capture.problems if "reads values in Python" in p or "computes outside" in p]
    if reading:
        raise ExportError(
            f"onnx.export: expected a model that computes with its inputs only, but {reading[0]}"
        )
    changed = next((s for s in program.steps if isinstance(s, Effect)), None)
    if changed is not None:
        does = "draws random numbers" if changed.function is draw_now else f"calls {changed.what}"
        raise ExportError(
            f"onnx.export: expected a model without side effects and random numbers, but {_where(changed)} {does}"
        )
    return program, result, capture


def _rows_of(x: Any, axis: int | None, rows: int, shift: int) -> Any:
    """The input with another number of rows, and with its values in other places: see `_check_constants`."""
    if not isinstance(x, Recorded):
        return x
    array = np.roll(x._data, shift)
    if array.dtype == bool and shift % 2:
        array = ~array
    if axis is not None:
        array = np.take(array, np.arange(rows) % array.shape[axis], axis=axis)
    return Tensor(array)


def _program(
    model: Any,
    args: tuple[Any, ...],
    kwargs: dict[str, Any],
    names: Sequence[str],
    axes: Sequence[int | None],
) -> tuple[Program, Any, dict[int, str]]:
    """The program of the model, for any batch size if an axis is free; the nesting of its result, and state names."""
    if all(axis is None for axis in axes):
        with no_grad():
            model(*args, **kwargs)  # lazy layers get their parameters, caches are filled
        program, result, _ = _capture(model, args, kwargs, names)
        other = [_rows_of(x, None, 0, 1) for x in (*args, *kwargs.values())]
        try:
            again, _, _ = _capture(
                model, tuple(other[: len(args)]), dict(zip(kwargs, other[len(args) :])), names
            )
        except TinygradError:  # such as a length that does not fit any more
            again = program
        _check_constants([program, again])
        program.steps = live_steps(program)
        return program, result, _state_names(model)
    captured: list[tuple[Program, Any, Capture]] = []
    for i, rows in enumerate(BATCHES):
        given = [_rows_of(x, axis, rows, i) for x, axis in zip([*args, *kwargs.values()], axes)]
        own, named = tuple(given[: len(args)]), dict(zip(kwargs, given[len(args) :]))
        try:
            if not captured:
                with no_grad():
                    model(*own, **named)
            captured.append(_capture(model, own, named, names))
        except ExportError:
            raise
        except Exception as error:
            raise ExportError(
                f"onnx.export: dynamic_batch: expected a model that takes any number of rows, but with {rows} rows it "
                f"raises {type(error).__name__}: {error}. Pass dynamic_batch=False for the example's size only."
            ) from error
    programs = [program for program, _, _ in captured]
    try:
        merged = merged_program(programs, BATCHES, SAMPLES[0])
    except NotLowered as reason:
        _check_constants(programs)
        raise ExportError(
            f"onnx.export: dynamic_batch: expected a program that is the same for any number of rows, got {reason}. "
            "Pass dynamic_batch=False for the example's size only."
        ) from None
    return merged, captured[-1][1], _state_names(model)


def _check_constants(programs: Sequence[Program]) -> None:
    """Refuse arrays that NumPy computed from the inputs: the file would have those of the example."""
    steps = [live_steps(p) for p in programs]
    if len({len(s) for s in steps}) > 1:
        return
    for parts in zip(*steps):
        if not all(isinstance(s, Call) for s in parts):
            continue
        for xs in zip(*([*s.inputs, *s.options] for s in parts)):
            if not all(
                isinstance(x, (float, complex)) or isinstance(x, Var) and x.kind == "constant" for x in xs
            ):
                continue
            arrays = [fixed(x) if isinstance(x, Var) else np.asarray(x) for x in xs]
            if len(programs) > 2 and not isinstance(xs[0], Var):
                continue  # it may follow from the batch size
            if any(
                not np.array_equal(_start(a, arrays), _start(arrays[0], arrays), a.dtype.kind in "fc")
                for a in arrays
            ):
                call = parts[0]
                assert isinstance(call, Call)
                raise ExportError(
                    f"onnx.export: expected operations on Tensors, got an array of {call.op.name} in "
                    f"{_where(call)} that NumPy computes from the inputs, outside of the program"
                )


def _start(array: np.ndarray, others: Sequence[np.ndarray]) -> np.ndarray:
    if any(a.ndim != array.ndim for a in others):
        return array
    return array[tuple(slice(min(column)) for column in zip(*(a.shape for a in others)))]


def _state_names(model: Any) -> dict[int, str]:
    """id of each parameter and buffer -> its name in the state dict."""
    if not hasattr(model, "named_parameters"):
        return {}
    named = [*model.named_parameters(), *model.named_buffers()]
    return {id(tensor): name for name, tensor in named}


def _where(call: Step) -> str:
    path, _, kind = call.module.partition(": ")
    if not call.module:
        return "the function"
    return f"module {path!r} ({kind})" if kind and path else f"the module {(kind or path)!r}"


# Writing


def _evaluated(tree: ast.AST, rows: Value) -> Any:
    """The value of an expression in `rows`, as `Ratio` has them: sums, products, quotients and powers."""
    if isinstance(tree, ast.BinOp):
        return BINARY[type(tree.op)](_evaluated(tree.left, rows), _evaluated(tree.right, rows))
    if isinstance(tree, ast.UnaryOp):
        return -_evaluated(tree.operand, rows)
    return tree.value if isinstance(tree, ast.Constant) else rows


class _Writer:
    """Turns the steps of a program into nodes."""

    def __init__(
        self, g: Graph, program: Program, model: Any, modules: dict[str, Any], states: dict[int, str]
    ) -> None:
        self.g, self.program, self.model, self.modules, self.states = g, program, model, modules, states
        self.values: dict[int, Value] = {}  # serial of a variable -> its value
        self._stored: dict[int, Value] = {}  # id of a Tensor -> its initializer
        self.notes: dict[str, str] = {}

    def inputs(self, names: list[str], axes: Sequence[int | None], preprocess: Any) -> list[Any]:
        """The descriptions of the inputs."""
        g = self.g
        infos: list[Any] = []
        if preprocess is not None:
            infos, values, source = prepared(g, preprocess, self.program.arguments, names)
            if axes[0] is not None:
                g.source_of_rows = source, 0
            for var, value in zip(self.program.arguments, values):
                value.shape = var.shape
                self.values[var.serial] = g.cast(value, var.dtype)
            return infos
        for var in self.program.arguments:
            i = var.source[0]
            name = g.unique(names[i])
            value = Value(g, name, var.dtype, var.shape)
            self.values[var.serial] = value
            infos.append(g.info(name, var.dtype, var.shape))
            axis = axes[i]
            if axis is not None and g.source_of_rows is None:
                g.source_of_rows = value, axis
        return infos

    def operand(self, x: Any, option: bool = False) -> Any:
        """What a formula reads: a value for an array, else the object itself; of an option also a constant array."""
        if isinstance(x, tuple):
            return tuple(self.operand(part, option) for part in x)
        if option and isinstance(x, Var) and x.kind == "constant" and not isinstance(x.source, Filled):
            return fixed(x)
        return self.value(x) if isinstance(x, Var) else x

    def number(self, x: Any) -> Any:
        """An input of a call: as `operand`, and a number that follows from the batch size is computed from it."""
        if not isinstance(x, (Size, Ratio)):
            return self.operand(x)
        rows = self.g.squeeze(self.g.rows(), 0)
        if isinstance(x, Size):
            made = rows * x.slope + x.rest
        else:
            made = _evaluated(ast.parse(x.text, mode="eval").body, self.g.cast(rows, np.float64))
        made.shape = ()
        return made

    def value(self, var: Var) -> Value:
        found = self.values.get(var.serial)
        if found is not None:
            return found
        if var.kind == "state":
            made = self.state(var.source)
        elif isinstance(var.source, Filled):
            made = self.g.expand(self.g.constant(var.source.value, var.dtype), var.shape)
        else:
            made = self.g.constant(fixed(var))
        self.values[var.serial] = made
        return made

    def state(self, tensor: Any) -> Value:
        """The initializer of a parameter, a buffer or another Tensor that the model has."""
        found = self._stored.get(id(tensor))
        if found is None:
            name = self.states.get(id(tensor)) or getattr(tensor, "_name", None) or "tensor"
            found = self._stored[id(tensor)] = self.g.constant(tensor._data, name=name)
        return found

    def outputs(self, result: Any, names: Sequence[str] | None, preprocess: Any) -> list[Any]:
        """Translate every step; the descriptions of the outputs."""
        g = self.g
        for step in self.program.steps:
            assert isinstance(step, Call)
            g.path = step.module
            path, _, kind = step.module.partition(": ")
            module = self.modules.get(path if kind else "")
            try:
                out = step.outputs[0]
                assert out is not None
                self.values[out.serial] = translate(g, step, self.operand, self.number, module, self.state)
            except Refused as reason:
                raise ExportError(
                    f"onnx.export: {step.op.name} in {_where(step)} has no form in ONNX: {reason}"
                ) from None
        g.path = ""
        leaves = list(pytree.leaves(result))
        chosen = self._output_names(leaves, names)
        infos = []
        for (_, leaf), var, name in zip(leaves, self.program.results, chosen):
            if not isinstance(var, Var):
                raise ExportError(f"onnx.export: expected a model that returns Tensors, got {describe(leaf)}")
            value = answered(g, preprocess, self.value(var)) if len(leaves) == 1 else self.value(var)
            name = g.unique(name)
            g.nodes.append(g.onnx.helper.make_node("Identity", [value.name], [name], name=f"{name}/Identity"))
            infos.append(g.info(name, var.dtype, var.shape))
        if not infos:
            raise ExportError("onnx.export: expected a model that returns Tensors, got None")
        return infos

    def _output_names(self, leaves: Sequence[Any], given: Sequence[str] | None) -> list[str]:
        if given is None:
            if len(leaves) == 1:
                return ["output"]
            plain = [path.strip("[]'\"").replace("']['", ".") for path, _ in leaves]
            return [p if p.isidentifier() else f"output{i}" for i, p in enumerate(plain)]
        if isinstance(given, str) or any(not isinstance(n, str) or not n for n in given):
            raise DTypeError(f"onnx.export: output_names: expected a list of names, got {given!r}")
        taken = {v.name for v in self.values.values()}
        if len(given) != len(leaves) or len(set(given)) < len(given) or taken.intersection(given):
            raise ValueRangeError(
                f"onnx.export: output_names: expected {len(leaves)} different names that no input or parameter has, "
                f"got {list(given)!r}"
            )
        return list(given)
