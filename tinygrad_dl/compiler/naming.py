"""Names for what a program computes, as notebooks write them: W1, b1, Z1, A1, dW1.

Parameters are called after the model: numbered in a Sequential, by their path elsewhere. Results are called after what
they were computed from (Z1 with W1, A1 of Z1), and gradients after what they are the gradient of.
"""

from __future__ import annotations

import re
from keyword import iskeyword
from typing import Any

from tinygrad_dl.compiler.capture import Capture
from tinygrad_dl.compiler.program import Call, Program, Var, Vjp
from tinygrad_dl.graph import Value

#: Operation -> the letter that its result gets before the number or name of its layer.
LETTERS = {
    "linear": "Z", "conv": "Z", "conv_transpose": "Z", "standardize": "N", "affine": "N", "max_pool": "P",
    "avg_pool": "P", "reshape": "F", "flatten": "F",
} | dict.fromkeys(
    """relu tanh sigmoid gelu silu softplus leaky_relu elu selu softmax log_softmax hardtanh prelu mish relu6
    hardsigmoid hardswish log_sigmoid""".split(),
    "A",
)  # fmt: skip
#: What optimizers call their averages -> the letters of the papers.
AVERAGES = {
    "exp_avg": "m", "exp_avg_sq": "v", "max_exp_avg_sq": "vmax", "momentum_buffer": "v", "square_avg": "s", "sum": "s",
    "grad_avg": "m", "exp_inf": "u",
}  # fmt: skip
#: Operations that a layer's parameters belong to, by the position of the weight among their inputs.
WEIGHTED = {"linear": 1, "conv": 1, "conv_transpose": 1, "standardize": 1, "affine": 1}


#: Names that end in the name of a layer.
LAYER = r"(?:[A-Z]|gamma)(\d*|_\w+)"


class Names:
    """`of` holds the names by the serial of the captured variable; `parameters` by the identity of the Tensor."""

    def __init__(self, program: Program, capture: Capture) -> None:
        self.parameters = parameter_names(capture)
        for var in program.states:  # arguments that the program is made for
            if var.name and isinstance(var.source, Value) and any(var.source is x for _, x in capture.bound):
                self.parameters.setdefault(id(var.source), identifier(var.name))
        unnamed = [var.source for var in program.states if isinstance(var.source, Value)]
        unnamed = [x for x in unnamed if id(x) not in self.parameters]
        for i, tensor in enumerate(unnamed):
            own = getattr(tensor, "_name", None)
            self.parameters[id(tensor)] = identifier(own) if own else f"p{i + 1}" if len(unnamed) > 1 else "p"
        self.of: dict[int, str] = {}
        self.weak: dict[int, str] = {}  # names for what needs one only if it is used several times
        self._counts: dict[str, int] = {}
        self._unfitted: dict[int, tuple[Any, ...]] = {}  # gradients that are yet to be summed to a shape
        for var in (*program.arguments, *program.states):
            self.of[var.serial] = self._input(var)
        self.inputs = {*self.of.values(), *self.parameters.values()}
        seeds = {
            id(step.call)
            for step in program.steps
            if isinstance(step, Vjp) and isinstance(step.inputs[0], Var) and step.inputs[0].kind == "constant"
        }
        for step in program.steps:
            if isinstance(step, Call) and step.phase == "forward":
                self._result(step, id(step) in seeds)
            elif isinstance(step, Call):
                self._sum(step)
            elif isinstance(step, Vjp):
                for x, out in zip(step.call.inputs, step.outputs):
                    for names in (self.of, self.weak):
                        if out is not None and isinstance(x, Var) and x.serial in names:
                            self._gradient(names, out, f"d{names[x.serial]}", x.shape)

    def state(self, source: Any) -> str:
        """The name of an array that lives outside: a parameter, an optimizer's average, a gradient."""
        if isinstance(source, Value):
            return self.parameters.get(id(source)) or identifier(getattr(source, "_name", None) or "data")
        if len(source) == 3:
            return f"{AVERAGES.get(source[2], source[2])}_{self.parameters.get(id(source[1]), 'p')}"
        return f"d{self.parameters.get(id(source[0]), 'p')}"

    def name(self, var: Any) -> str:
        """The name of a captured or lowered variable, "" if it has none."""
        return (var.kind == "result" and var.name) or self.of.get(var.serial, "")

    def suffix(self, var: Any) -> str:
        """What follows the letter of a name: "1" of Z1, "_fc" of A_fc."""
        found = re.fullmatch(LAYER, self.name(var)) if isinstance(var, Var) else None
        return "" if found is None else found[1]

    def _input(self, var: Var) -> str:
        return identifier(var.name or "x") if var.kind == "argument" else self.state(var.source)

    def _result(self, step: Call, root: bool) -> None:
        (out, *_) = step.outputs
        assert out is not None
        op = step.op.name
        at = WEIGHTED.get(op, 0)
        near = step.inputs[at] if at < len(step.inputs) else None
        near = near if isinstance(near, Var) else next((x for x in step.inputs if isinstance(x, Var)), None)
        layer = near is not None and re.fullmatch(LAYER, self.of.get(near.serial, ""))
        if out.name:  # as the user's code calls it
            name = identifier(out.name)
        elif not out.shape and root:
            name = "loss"
        elif op == "dropout" and layer:
            name = f"{self.of[near.serial]}_kept"  # type: ignore[union-attr]
        elif op in LETTERS and layer:
            name = LETTERS[op] + self.suffix(near)
        elif op in ("lstm", "gru", "rnn"):
            name = "H"
        else:
            self._counts[op] = self._counts.get(op, 0) + 1
            self.weak[out.serial] = f"{identifier(op)}{self._counts[op]}"
            return
        self.of[out.serial] = name

    def _gradient(self, names: dict[int, str], out: Var, name: str, shape: Any) -> None:
        """Name a gradient, once it has the shape of what it belongs to."""
        if out.shape == shape:
            names[out.serial] = name
        else:
            self._unfitted[out.serial] = names, name, shape

    def _sum(self, step: Call) -> None:
        """Contributions to one gradient add up under one name."""
        (out, *_) = step.outputs
        (x, *_) = step.inputs or [None]
        if out is not None and isinstance(x, Var) and x.serial in self._unfitted:
            names, name, shape = self._unfitted[x.serial]
            self._gradient(names, out, name, shape)
        if (
            step.op.name == "add"
            and out is not None
            and isinstance(x, Var)
            and self.of.get(x.serial, "")[:1] == "d"
        ):
            self.of[out.serial] = self.of[x.serial]


def identifier(text: str) -> str:
    """The text as a name in Python."""
    name = re.sub(r"\W+", "_", text).strip("_") or "x"
    return f"p{name}" if name[0].isdigit() else f"{name}_" if iskeyword(name) else name


def parameter_names(capture: Capture) -> dict[int, str]:
    """Names by the identity of Tensors: of parameters and buffers; of others, as the function calls them."""
    names: dict[int, str] = {}
    for root in capture.roots():
        found = [*root.named_parameters(), *root.named_buffers()]
        labels = _labels(root, [path.rpartition(".")[0] for path, _ in found])
        short: dict[str, int] = {}
        for path, _ in found:
            own = _own(root, path, labels)
            short[own] = short.get(own, 0) + 1
        for path, tensor in found:
            layer, _, last = path.rpartition(".")
            own = _own(root, path, labels)
            if short[own] > 1:
                own = identifier(f"{_letters(last)}_{layer.replace('.', '_')}")
            names.setdefault(id(tensor), own)
    for tensor, path in capture.guards.tensors.values():
        last = path.rpartition(".")[2]
        if id(tensor) not in names and last.isidentifier():
            names[id(tensor)] = getattr(tensor, "_name", None) or last
    return {key: identifier(name) for key, name in names.items()}


def _labels(root: Any, layers: list[str]) -> dict[str, str]:
    """Layer -> what its letters get: a number in a Sequential, its path elsewhere. Norms count with what is before."""
    labels: dict[str, str] = {}
    number = 0
    for layer in dict.fromkeys(layers):
        if layer and all(part.isdigit() for part in layer.split(".")):
            number += "Norm" not in type(root.get_submodule(layer)).__name__ or not number
            labels[layer] = str(number)
        else:
            labels[layer] = f"_{layer.replace('.', '_')}" if layer else ""
    if number == 1 and all(label in ("1", "") for label in labels.values()):
        labels = dict.fromkeys(labels, "")  # a single layer needs no number
    return labels


def _letters(name: str) -> str:
    """weight -> W, bias_hh -> b_hh; other names stay."""
    return re.sub(r"^weight(?=_|$)", "W", re.sub(r"^bias(?=_|$)", "b", name))


def _own(root: Any, path: str, labels: dict[str, str]) -> str:
    layer, _, last = path.rpartition(".")
    if last in ("weight", "bias"):
        norm = "Norm" in type(root.get_submodule(layer)).__name__
        letters = ("gamma", "beta") if norm else ("W", "b")
        return letters[last == "bias"] + labels[layer]
    if last.startswith(("weight_", "bias_")):  # W_ih: its layer only where there are several such
        return _letters(last)
    return last + labels[layer]
