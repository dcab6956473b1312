"""A model's layers as a table: shapes, parameters, multiply-adds and memory, measured by running it once."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tinygrad_dl import config
from tinygrad_dl.modes import Watcher, no_grad
from tinygrad_dl.nn import state
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Parameter, Uninitialized
from tinygrad_dl.tensor import Tensor

REPR_ROWS = 100  # up to so many layers a notebook shows them all
HEADINGS = ("layer", "in", "out", "parameters", "mult-adds", "memory", "mode")


class Layer:
    """One row of the table."""

    def __init__(self, name: str, module: Module, depth: int) -> None:
        self.name, self.module, self.depth = name, module, depth
        self.given: Any = None
        self.result: Any = None
        self.calls = 0
        self.parameters = 0
        self.multiply_adds = 0
        self.memory = 0
        self.failed = False
        self.is_repeat = False  # listed before: its parameters are counted there


def _shapes(value: Any) -> str:
    if isinstance(value, (Tensor, np.ndarray)):
        return str(value.shape)
    if isinstance(value, (tuple, list)):
        return ", ".join(filter(None, map(_shapes, value)))
    return ""


def multiply_adds(name: str, inputs: Any, out: Any) -> int:
    """The multiply-adds of a matrix product or a convolution; 0 for other operations."""
    shapes = [x.shape for x in inputs if isinstance(x, (Tensor, np.ndarray))]
    if len(shapes) < 2 or not shapes[0]:
        return 0
    if name in ("linear", "matmul", "vecdot"):
        return int(out.size) * int(shapes[0][-1])
    if name.startswith("conv_transpose"):
        return math.prod(shapes[0]) * math.prod(shapes[1][1:])
    if name.startswith("conv"):
        return int(out.size) * math.prod(shapes[1][1:])
    return 0


class _Counter(Watcher):
    """Adds the cost of each operation to the modules that are running; the engine calls it for every operation."""

    def __init__(self) -> None:
        super().__init__()
        self.running: list[Layer] = []

    def after_forward(self, op: Any, inputs: Any, options: Any, result: Any) -> None:
        cost = multiply_adds(op.name, inputs, result)
        # A view of another array takes no memory of its own.
        base = result._data.base is None
        for layer in self.running:
            layer.multiply_adds += cost
            layer.memory += result.nbytes if base else 0


class Summary:
    """The table, shown when printed; `layers` has its rows, `error` the exception that stopped the run, if any."""

    def __init__(self, layers: list[Layer], error: Exception | None) -> None:
        self.layers, self.error = layers, error

    @property
    def ran(self) -> bool:
        """Whether the model was called, or only its parameters counted."""
        return self.error is not None or self.layers[0].calls > 0

    @property
    def parameters(self) -> int:
        """The number of elements of all parameters."""
        return self.layers[0].parameters

    @property
    def trainable(self) -> int:
        """The number of elements of the parameters that require a gradient."""
        return sum(p.size for p in _known(self.layers[0].module) if p.requires_grad)

    @property
    def multiply_adds(self) -> int:
        """The multiply-adds of one run."""
        return self.layers[0].multiply_adds

    def _row(self, layer: Layer, lead: str) -> list[str]:
        kind = type(layer.module).__name__
        title = f"{lead}{layer.name}: {kind}" if layer.name else kind
        title += f" x{layer.calls}" if layer.calls > 1 else ""
        if layer.failed:
            given, result = layer.given or "", "failed"
        elif self.ran:
            given, result = (layer.given, layer.result) if layer.calls else ("not called", "")
        else:
            given, result = "", ""
        count = "(as above)" if layer.is_repeat else f"{layer.parameters:,}" if layer.parameters else ""
        cost = f"{layer.multiply_adds:,}" if layer.multiply_adds else ""
        memory = _bytes(layer.memory) if layer.memory else ""
        return [title, given, result, count, cost, memory, "train" if layer.module.training else "eval"]

    def __str__(self) -> str:
        rows: list[list[str]] = [list(HEADINGS)]
        shown = self.layers
        if self.error is not None:
            last = max((i for i, layer in enumerate(shown) if layer.failed), default=len(shown) - 1)
            shown = shown[: last + 1]
        for i, layer in enumerate(shown):
            rows.append(self._row(layer, _lead(shown, i)))
        widths = [max(len(row[c]) for row in rows) for c in range(len(HEADINGS))]
        right = (3, 4, 5)
        lines = [
            "  ".join(
                cell.rjust(w) if c in right else cell.ljust(w) for c, (cell, w) in enumerate(zip(row, widths))
            ).rstrip()
            for row in rows
        ]
        rule = "-" * max(map(len, lines))
        lines = [lines[0], rule, *lines[1:], rule]
        if self.error is not None:
            return "\n".join([*lines, f"stopped by {type(self.error).__name__}: {self.error}"])
        frozen = self.parameters - self.trainable
        size = sum(p.nbytes for p in _known(self.layers[0].module))
        lines.append(
            f"parameters: {self.parameters:,} ({_bytes(size)})"
            + (f", {frozen:,} of them frozen" if frozen else "")
        )
        if self.ran:
            lines.append(
                f"multiply-adds: {self.multiply_adds:,}; activations: {_bytes(self.layers[0].memory)}"
            )
        else:
            lines.append("for shapes and multiply-adds pass an input or its shape, such as summary((1, 4))")
        return "\n".join(lines)

    __repr__ = __str__

    def _repr_html_(self) -> str:
        from tinygrad_dl import markup

        whole = max(self.multiply_adds if self.ran else self.parameters, 1)
        rows: list[list[str]] = []
        for layer in markup.elided(self.layers, REPR_ROWS - 10, 10):
            if layer is None:
                rows.append([f"… {len(self.layers) - REPR_ROWS} more layers …"])
                continue
            title, given, result, count, cost, memory, mode = map(markup.text, self._row(layer, ""))
            title = f'<span style="padding-left:{1.2 * layer.depth:.1f}em">{title}</span>'
            amount = layer.multiply_adds if self.ran else 0 if layer.is_repeat else layer.parameters
            share = amount / whole if amount else 0.0
            bar = markup.bar(share, f"{100 * share:.0f} %", 60) if share else ""
            if self.ran:
                rows.append([title, given, result, count, cost, bar, memory, mode])
            else:
                rows.append([title, markup.text(_own_shapes(layer.module)), count, bar, mode])
        if self.ran:
            head = ["layer", "in", "out", "parameters", "mult-adds", "share", "memory", "mode"]
        else:
            head = ["layer", "shapes", "parameters", "share", "mode"]
        left = [i for i, name in enumerate(head) if name in ("layer", "in", "out", "shapes", "share", "mode")]
        lines = str(self).splitlines()
        end = next(i for i in range(len(lines) - 1, 0, -1) if not lines[i].strip("-"))
        notes = "".join(markup.paragraph(markup.text(line)) for line in lines[end + 1 :])
        return markup.block(markup.table(head, rows, left)) + notes


def _own_shapes(module: Module) -> str:
    """The parameters of a layer itself, with their shapes."""
    own = module.named_parameters(recurse=False)
    shapes = ((name, p.expected() or "?" if isinstance(p, Uninitialized) else p.shape) for name, p in own)
    return ", ".join(f"{name} {shape}" for name, shape in shapes)


def _lead(layers: list[Layer], i: int) -> str:
    """The tree branches before a name."""
    text, depth = "", layers[i].depth
    for level in range(1, depth + 1):
        later = next((other.depth for other in layers[i + 1 :] if other.depth <= level), 0)
        more = later == level
        text += ("|-- " if more else "`-- ") if level == depth else ("|   " if more else "    ")
    return text


def _bytes(n: float) -> str:
    for unit in ("B", "kB", "MB"):
        if n < 1000:
            return f"{n:.0f} {unit}" if unit == "B" else f"{n:.1f} {unit}"
        n /= 1000
    return f"{n:.1f} GB"


def _known(module: Module) -> list[Parameter]:
    """The parameters that have values: after an error, some of lazy layers may have none."""
    return [p for p in module.parameters() if not isinstance(p, Uninitialized)]


def parameter_count(module: Module) -> int:
    """The number of elements of all parameters; those of a lazy layer count once they have a shape."""
    return sum(int(p.size) for p in _known(module))


def _tree(module: Module) -> list[Layer]:
    layers: list[Layer] = []
    _add(layers, set(), module, "", 0, (id(module),))
    return layers


def _add(
    layers: list[Layer], visited: set[int], module: Module, name: str, depth: int, ancestors: tuple[int, ...]
) -> None:
    layer = Layer(name, module, depth)
    layers.append(layer)
    layer.is_repeat = id(module) in visited
    visited.add(id(module))
    for child, inner in state.named_children(module, remove_duplicate=False):
        if id(inner) not in ancestors:
            _add(layers, visited, inner, child, depth + 1, (*ancestors, id(module)))


def _inputs(given: tuple[Any, ...]) -> tuple[Any, ...]:
    if len(given) == 1 and isinstance(given[0], tuple) and all(isinstance(n, int) for n in given[0]):
        return (Tensor(np.zeros(given[0], config.default_dtype)),)
    return tuple(Tensor(x) if isinstance(x, np.ndarray) else x for x in given)


def _needs_input(model: Module) -> bool:
    """Whether forward has an argument without a default."""
    from inspect import Parameter as Argument
    from inspect import signature

    named = (Argument.POSITIONAL_ONLY, Argument.POSITIONAL_OR_KEYWORD, Argument.KEYWORD_ONLY)
    return any(
        a.kind in named and a.default is Argument.empty for a in signature(model.forward).parameters.values()
    )


def counted(model: Module) -> Summary:
    """The table without shapes and costs, for which the model would have to run."""
    layers = _tree(model)
    for layer in layers:
        layer.parameters = parameter_count(layer.module)
    return Summary(layers, None)


def summary(model: Module, *inputs: Any, **options: Any) -> Summary:
    """A table of a model's layers: input and output shapes, parameters, multiply-adds, memory of results, mode.

    `inputs`: what forward takes, or one shape, for zeros; without them only the parameters are counted. The model
    runs once, in evaluation mode and without a graph; afterwards modes, parameters, buffers, gradients and the
    random generator are as they were. An error inside ends the table at the layer that failed. Lazy layers are
    initialized, as by any first call.
    >>> from tinygrad_dl.nn import Linear
    >>> summary(Linear(3, 2), (5, 3)).multiply_adds
    30
    """
    if not inputs and not options and _needs_input(model):
        return counted(model)
    layers = _tree(model)
    first: dict[int, Layer] = {}
    for layer in layers:
        first.setdefault(id(layer.module), layer)
    counter = _Counter()
    before = [(module, module.__dict__.get("training")) for module in model.modules()]
    tensors = [*model.parameters(), *model.buffers()]
    lazy = any(isinstance(tensor, Uninitialized) for tensor in tensors)
    values = [(tensor, tensor._data.copy()) for tensor in tensors if not isinstance(tensor, Uninitialized)]
    generators = [config.default_rng()] + [
        m.rng for m in model.modules() if isinstance(getattr(m, "rng", None), np.random.Generator)
    ]
    states = [generator.bit_generator.state for generator in generators]
    handles = []

    def enter(module: Module, args: Any, kwargs: Any) -> None:
        layer = first[id(module)]
        layer.calls += 1
        layer.failed = True  # until it returns
        layer.given = layer.given or _shapes([args, list(kwargs.values())])
        counter.running.append(layer)

    def leave(module: Module, args: Any, out: Any) -> None:
        layer = counter.running.pop()
        layer.failed = False
        layer.result = layer.result or _shapes(out)

    error: Exception | None = None
    try:
        for layer in first.values():
            handles.append(layer.module.register_forward_pre_hook(enter, with_kwargs=True))
            handles.append(layer.module.register_forward_hook(leave))
        # In evaluation mode running statistics do not move and dropout draws nothing.
        model.eval()
        with no_grad(), counter:
            model(*_inputs(inputs), **options)
    except Exception as caught:
        error = caught
    finally:
        for handle in handles:
            handle.remove()
        for module, training in before:
            if training is None:
                module.__dict__.pop("training", None)
            else:
                module.training = training
        for tensor, value in values:
            tensor._data[...] = value
        if not lazy:  # what initialized a lazy layer must not be drawn again
            for generator, saved in zip(generators, states):
                generator.bit_generator.state = saved
    for layer in layers:
        layer.parameters = parameter_count(layer.module)
        if layer.is_repeat:
            source = first[id(layer.module)]
            layer.given, layer.result, layer.calls = source.given, source.result, 1 if source.calls else 0
    return Summary(layers, error)
