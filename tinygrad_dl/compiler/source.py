"""A program as NumPy text that people read: one formula a line, with the model's names.

The text is stand-alone: it imports NumPy only, and its function takes the arguments, the parameters and the numbers of
a run. Lines are grouped by pass and by layer, as the courses write a forward and a backward pass by hand.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.fusion import live, reads_of
from tinygrad_dl.compiler.lower import NotLowered
from tinygrad_dl.compiler.lowered import Lowered
from tinygrad_dl.compiler.program import VIEW, Call, Effect, Number, Operand, Prim, Step, Var, Vjp
from tinygrad_dl.compiler.update import Update
from tinygrad_dl.graph import Value
from tinygrad_dl.typing import BasicIndex

WIDTH = 110
# Binding strengths of NumPy expressions: what is weaker than its place asks for stands in parentheses.
SUM, PRODUCT, SIGN, ATOM = 1, 2, 3, 4
BINARY = {
    "add": ("+", SUM), "subtract": ("-", SUM), "multiply": ("*", PRODUCT), "divide": ("/", PRODUCT),
    "matmul": ("@", PRODUCT), "greater": (">", 0), "greater_equal": (">=", 0), "less": ("<", 0),
    "less_equal": ("<=", 0), "equal": ("==", 0), "not_equal": ("!=", 0),
}  # fmt: skip
FUNCTIONS = {
    "abs": "np.abs",
    "logical_and": "np.logical_and",
    "logical_or": "np.logical_or",
    "logical_not": "np.logical_not",
}
HELPERS = {
    "sigmoid": "def sigmoid(x):\n    return 1 / (1 + np.exp(-x))\n",
    "erf": "erf = np.vectorize(__import__('math').erf)\n",
    "add_rows": (
        "def add_rows(g, index, count):\n"
        '    """Zeros with the rows of g added at the indices."""\n'
        "    out = np.zeros((count, g.shape[-1]), g.dtype)\n"
        "    np.add.at(out, index, g)\n"
        "    return out\n"
    ),
    "windows": (
        "def windows(x, axes, start):\n"
        '    """A view of x with an axis for each (axis, step, size) in axes, from the index start."""\n'
        "    x = x[tuple(slice(i, None) for i in start)]\n"
        "    shape, strides = [n for _, _, n in axes], [x.strides[a] * step for a, step, _ in axes]\n"
        "    return np.lib.stride_tricks.as_strided(x, shape, strides)\n"
    ),
    "add_windows": (
        "def add_windows(parts, shape, places):\n"
        '    """Zeros of the given shape, with each part added where its windows lie."""\n'
        "    out = np.zeros(shape, parts[0].dtype)\n"
        "    for part, (axes, start) in zip(parts, places):\n"
        "        view = windows(out, axes, start)\n"
        "        view += part\n"
        "    return out\n"
    ),
}


class Printer:
    """Turns the steps of a lowered program into lines."""

    def __init__(self, lowered: Lowered, steps: Sequence[Step], title: str, function: str) -> None:
        self.lowered, self.steps, self.title, self.function = lowered, steps, title, function
        self.helpers: set[str] = set()
        self.draws = False
        self.uniform: list[Var] = []  # constants of one value everywhere, which are made anew
        self.constants: list[Var] = []  # others, which are arguments of the function
        self.names: dict[int, str] = {}
        self.taken: set[str] = {"np"}
        self.numbers: dict[int, str] = {}
        self.defined: dict[int, Prim] = {
            v.serial: s for s in steps if isinstance(s, Prim) for v in s.writes()
        }
        self.uses: dict[int, list[Step]] = {}
        for step in steps:
            for x in step.reads():
                self.uses.setdefault(x.serial, []).append(step)
        self.outputs = {r.serial for r in lowered.results if isinstance(r, Var)}
        self.outputs |= {v.serial for _, v in lowered.gradients if v is not None}

    # Names

    def _name(self, var: Var, wish: str) -> str:
        name, i = wish, 1
        while name in self.taken:
            i += 1
            name = f"{wish}_{i}"
        self.taken.add(name)
        self.names[var.serial] = name
        return name

    def name_inputs(self) -> None:
        """Names for arguments, parameters, buffers, the optimizer's averages and the numbers of a run."""
        program = self.lowered.program
        for var in program.arguments:
            self._name(var, var.name or "x")
        parameters = parameter_names(self.lowered)
        for var in self.lowered.states:
            source = var.source
            if isinstance(source, Value):
                self._name(var, parameters.get(id(source)) or var.name or "data")
            elif len(source) == 3:
                self._name(var, f"{source[2]}_{parameters.get(id(source[1]), 'p')}")
            else:
                self._name(var, f"d{parameters.get(id(source[0]), 'p')}")
        used = {x.serial for step in self.steps for x in reads_of(step)} | self.outputs
        for var in program.constants:
            if var.size != 1 and var.serial in used:
                self._name(var, "constant")
                (self.uniform if _is_uniform(fixed(var)) else self.constants).append(var)
        for update in self.lowered.updates:
            for _, group, first, last in update.parameters:
                for i in range(first, last):
                    self.numbers[i] = self._number_name(update, i, first, group)

    def _number_name(self, update: Update, index: int, first: int, group: dict[str, Any]) -> str:
        value = update.at_capture[index - update.first]
        for name in ("lr", "momentum", "weight_decay", "alpha", "rho", "eps"):
            if name in group and value == float(group[name]):
                return name
        return f"c{index - first + 1}"

    # Expressions

    def text(self, x: Operand, strength: int = 0) -> str:
        if x is None:
            return "None"
        if isinstance(x, Number):
            return self.numbers.get(x.index, f"c{x.index}")
        if not isinstance(x, Var):
            text = repr(x) if not isinstance(x, float) else _short(x)
            return f"({text})" if text.startswith("-") and strength > SUM else text
        if x.serial in self.names:
            return self.names[x.serial]
        prim = self.defined.get(x.serial)
        if prim is None:
            return _short(float(fixed(x).item()))
        text, own = self.expression(prim)
        return f"({text})" if own < strength else text

    def expression(self, prim: Prim) -> tuple[str, int]:
        """The formula of a primitive and how strongly it binds."""
        kind, xs, p = prim.kind, prim.inputs, prim.params
        (out,) = prim.outputs
        assert out is not None
        if kind in BINARY:
            sign, strength = BINARY[kind]
            if p.get("mean"):
                total, share = xs
                assert isinstance(total, Var) and isinstance(share, float)
                if total.serial in self.defined and total.serial not in self.names:
                    return self._reduction(self.defined[total.serial], "mean"), ATOM
                return f"{self.text(total, PRODUCT)} / {round(1 / share)}", PRODUCT
            if kind in ("multiply", "add") and isinstance(xs[1], Number):
                xs = xs[::-1]
            part = self._fraction(xs[0]) if kind == "multiply" else None
            if part is not None:  # a mean's share of the gradient
                return f"{self.text(xs[1], PRODUCT)} / {part}", PRODUCT
            if kind == "multiply" and xs[0] is xs[1]:
                return f"{self.text(xs[0], ATOM)}**2", SIGN
            left = self.text(xs[0], strength)
            right = self.text(xs[1], strength + (kind not in ("add", "multiply")))
            return f"{left} {sign} {right}", strength
        if kind == "negative":
            return f"-{self.text(xs[0], SIGN)}", SIGN
        if kind in ("positive", "cast"):
            if kind == "cast":
                return f"{self.text(xs[0], ATOM)}.astype(np.{out.dtype.name})", ATOM
            return self.text(xs[0]), SUM
        if kind == "transpose":
            axes = p["axes"]
            whole = axes == tuple(reversed(range(len(axes))))
            return (
                f"{self.text(xs[0], ATOM)}.T"
                if whole
                else f"{self.text(xs[0], ATOM)}.transpose({_plain(axes)})",
                ATOM,
            )
        if kind == "reshape":
            return f"{self.text(xs[0], ATOM)}.reshape({_plain(p['shape'])})", ATOM
        if kind == "broadcast":
            return f"np.broadcast_to({self.text(xs[0])}, {p['shape']})", ATOM
        if kind == "slice":
            return f"{self.text(xs[0], ATOM)}[{', '.join(map(_index, p['index']))}]", ATOM
        if kind in ("sum", "max", "min", "prod"):
            return self._reduction(prim, kind), ATOM
        if kind == "take":
            x = xs[0]
            assert isinstance(x, Var)
            return f"{self.text(x, ATOM)}[np.arange({x.shape[0]}), {self.text(xs[1])}]", ATOM
        if kind == "iota":
            return f"np.arange({out.size})", ATOM
        if kind == "pad":
            value = (
                ""
                if not p["value"]
                else f", constant_values={'-np.inf' if p['value'] == -np.inf else p['value']}"
            )
            return f"np.pad({self.text(xs[0])}, {p['pairs']}{value})", ATOM
        if kind == "strided":
            self.helpers.add("windows")
            return f"windows({self.text(xs[0])}, {p['axes']}, {p['start']})", ATOM
        if kind == "join":
            first = xs[0]
            assert isinstance(first, Var)
            axis = next((i for i, (n, m) in enumerate(zip(first.shape, out.shape)) if n != m), 0)
            return f"np.concatenate([{', '.join(map(self.text, xs))}], axis={axis})", ATOM
        if kind == "fold":
            self.helpers |= {"windows", "add_windows"}
            return f"add_windows([{', '.join(map(self.text, xs))}], {out.shape}, {p['places']})", ATOM
        if kind in HELPERS:
            self.helpers.add(kind)
            return f"{kind}({self.text(xs[0])})", ATOM
        if kind == "power":
            return f"{self.text(xs[0], ATOM)} ** {self.text(xs[1], ATOM)}", SIGN
        return f"{FUNCTIONS.get(kind, 'np.' + kind)}({', '.join(map(self.text, xs))})", ATOM

    def _fraction(self, x: Operand) -> int | None:
        """n, if the operand is 1 / n."""
        prim = self.defined.get(x.serial) if isinstance(x, Var) and x.serial not in self.names else None
        if prim is None or prim.kind != "divide":
            return None
        one, n = prim.inputs
        fits = isinstance(one, Var) and one.kind == "constant" and one.size == 1 and fixed(one).item() == 1
        return n if fits and type(n) is int else None

    def _reduction(self, prim: Prim, name: str) -> str:
        (x,), p = prim.inputs, prim.params
        assert isinstance(x, Var)
        options = [] if len(p["axes"]) == len(x.shape) else [f"axis={_plain(p['axes'], one=True)}"]
        options += ["keepdims=True"] if p["keepdims"] else []
        return f"{self.text(x, ATOM)}.{name}({', '.join(options)})"

    def _inlined(self, prim: Prim) -> bool:
        """Whether a result is written where it is used: views, and what one formula of the same layer uses once."""
        (out,) = prim.outputs
        assert out is not None
        if out.serial in self.outputs or out.name:
            return False
        if prim.kind in VIEW and prim.kind != "strided" or prim.kind in ("iota", "cast") or not out.shape:
            return True
        users = self.uses.get(out.serial, [])
        if len(users) != 1:
            return False
        user = users[0]
        return (isinstance(user, Prim) and user.kind in VIEW) or user.origin == prim.origin

    # Lines

    def render(self) -> str:
        self.name_inputs()
        lines: list[str] = []
        phase = layer = ""
        for step in self.steps:
            if isinstance(step, Effect):
                text = self._effect(step)
                if not text:
                    continue
                lines.append(text)
                continue
            if isinstance(step, (Call, Vjp)):
                text = self._lookup(step)
            elif not isinstance(step, Prim) or step.kind == "check_classes":
                continue
            elif step.kind == "assign":
                text = self._assignment(step)
            else:
                if self._inlined(step):
                    continue
                (out,) = step.outputs
                assert out is not None
                formula, _ = self.expression(step)
                text = f"{self._name(out, out.name or 't')} = {formula}"
            if step.phase != phase:
                phase = step.phase
                lines.append(f"# {PHASES.get(phase, phase)}")
            note = step.module if step.module and step.module != layer else ""
            layer = step.module or layer
            lines.append(f"{text}  # {note}" if note else text)
        results = [self.text(r) for r in self.lowered.results]
        gradients = {}
        names = parameter_names(self.lowered)
        for leaf, v in self.lowered.gradients:
            if v is not None:
                gradients[names.get(id(leaf), "p")] = self.text(v)
        if results:
            lines.append(f"return {', '.join(results)}")
        elif gradients:
            lines.append("return {" + ", ".join(f'"{k}": {v}' for k, v in gradients.items()) + "}")
        lines[:0] = [f"{self.names[v.serial]} = {_filled(fixed(v))}" for v in self.uniform]
        given = (*self.lowered.program.arguments, *self.lowered.states, *self.constants)
        parameters = [self.names[v.serial] for v in given]
        parameters += list(dict.fromkeys(self.numbers.values()))
        parameters += ["rng"] if self.draws else []
        helpers = "".join("\n\n" + HELPERS[h] for h in HELPERS if h in self.helpers)
        head = f'"""{self.title}"""\n\nimport numpy as np\n{helpers}\n\ndef {self.function}({", ".join(parameters)}):\n'
        return head + "".join(f"    {line}\n" for line in lines or ["pass"])

    def _lookup(self, step: Call | Vjp) -> str:
        """The lookup of rows in a table, or the gradient of the table, as a line."""
        (out,) = step.outputs[:1]
        call = step.call if isinstance(step, Vjp) else step
        assert out is not None
        name, index = self._name(out, out.name or "t"), self.text(call.options[0])
        if isinstance(step, Call):
            return f"{name} = {self.text(call.inputs[0], ATOM)}[{index}]"
        self.helpers.add("add_rows")
        return f"{name} = add_rows({self.text(step.inputs[0])}, {index}, {out.shape[0]})"

    def _effect(self, step: Effect) -> str:
        """A random draw as a line; other side effects belong to Python and are left out."""
        if not step.outputs:
            return ""
        (out,) = step.outputs
        assert out is not None
        p, shape, _ = step.args
        self.draws = True
        return f"{self._name(out, 'kept')} = rng.random({tuple(shape)}, dtype=np.float32) >= {p}"

    def _assignment(self, step: Prim) -> str:
        """A new value of a state: `w -= ...` where it is the old one and something more."""
        target, value = step.inputs
        assert isinstance(target, Var)
        name = self.names[target.serial]
        prim = (
            self.defined.get(value.serial)
            if isinstance(value, Var) and value.serial not in self.names
            else None
        )
        if (
            prim is not None
            and prim.kind in ("add", "subtract", "multiply", "divide")
            and prim.inputs[0] is target
        ):
            sign = BINARY[prim.kind][0]
            text = f"{name} {sign}= {self.text(prim.inputs[1])}"
        else:
            text = f"{name}[...] = {self.text(value)}"
        return text


PHASES = {
    "forward": "Forward",
    "backward": "Backward: d... is the derivative of the loss with respect to ...",
    "update": "Update",
}


def _short(x: float) -> str:
    text = f"{x:.8g}"
    return text if float(text) == x else repr(x)


def _is_uniform(x: np.ndarray) -> bool:
    return not x.size or bool((x == x.flat[0]).all())


def _filled(x: np.ndarray) -> str:
    """An array of one value everywhere."""
    value = x.flat[0].item() if x.size else 0
    if not value:
        return f"np.zeros({x.shape}, np.{x.dtype.name})"
    return f"np.full({x.shape}, {value!r}, np.{x.dtype.name})"


def _plain(x: tuple[int, ...], one: bool = False) -> str:
    return str(x[0]) if one and len(x) == 1 else str(x) if one else ", ".join(map(str, x))


def _index(p: BasicIndex) -> str:
    if p is Ellipsis:
        return "..."
    if p is None:
        return "None"
    if isinstance(p, slice):
        first, last = ("" if v is None else str(v) for v in (p.start, p.stop))
        return f"{first}:{last}" + (f":{p.step}" if p.step not in (None, 1) else "")
    return str(p)


def parameter_names(lowered: Lowered) -> dict[int, str]:
    """Names of parameters and buffers by the identity of their Tensors: w1, b1 in a Sequential, fc_weight elsewhere."""
    names: dict[int, str] = {}
    layers: dict[str, int] = {}
    for root in lowered.capture.roots():
        found = [*root.named_parameters(), *root.named_buffers()]
        for path, tensor in found:
            layer, _, own = path.rpartition(".")
            if own in ("weight", "bias") and (not layer or layer.rpartition(".")[2].isdigit()):
                kind = type(root.get_submodule(layer)).__name__
                number = layers.setdefault(layer, len(layers) + 1)
                letters = ("gamma", "beta") if "Norm" in kind else ("w", "b")
                name = f"{letters[own == 'bias']}{number if layer else ''}"
            else:
                name = path.replace(".", "_")
                name = f"p{name}" if name[:1].isdigit() else name
            names.setdefault(id(tensor), name)
    return names


def name_results(lowered: Lowered) -> None:
    """Names for what layers and losses compute, and for derivatives, as people write them."""
    program, layers = lowered.program, 0
    names: dict[int, str] = {}
    inputs = parameter_names(lowered)
    for var in (*program.arguments, *program.states):
        names[var.serial] = inputs.get(id(var.source), "") if isinstance(var.source, Value) else var.name
    counts: dict[str, int] = {}
    for step in program.steps:
        if isinstance(step, Call) and step.phase == "forward":
            (out, *_) = step.outputs
            assert out is not None
            if step.op.name in ("linear", "conv"):
                layers += 1
                name = f"z{layers}"
            elif step.op.name in ("standardize", "affine") and layers:
                name = f"n{layers}"
            elif step.op.name in ACTIVATIONS and layers:
                name = f"a{layers}"
            elif not out.shape and any(isinstance(v, Vjp) and v.call is step for v in program.steps):
                name = "loss"
            else:
                counts[step.op.name] = counts.get(step.op.name, 0) + 1
                name = f"{step.op.name}{counts[step.op.name]}"
            names[out.serial] = name
            _give(lowered, out, name)
        elif isinstance(step, Vjp):
            for x, out in zip(step.call.inputs, step.outputs):
                if out is not None and isinstance(x, Var) and names.get(x.serial):
                    _give(lowered, out, f"d{names[x.serial]}")


def _give(lowered: Lowered, var: Var, name: str) -> None:
    found = lowered.at(var)
    if isinstance(found, Var) and found.kind == "result" and not found.name:
        found.name = name


ACTIVATIONS = frozenset(
    "relu tanh sigmoid gelu silu softplus leaky_relu elu selu softmax log_softmax hardtanh".split()
)


def source(lowered: Lowered, title: str, function: str) -> str:
    """The text of a program; raises NotLowered where a part of it has no formula here."""
    calls = [s.call if isinstance(s, Vjp) else s for s in lowered.steps if isinstance(s, (Call, Vjp))]
    if any(call.op.name != "rows" for call in calls):
        raise NotLowered("; ".join(lowered.left))
    name_results(lowered)
    return printer(lowered, title, function).render()


def printer(lowered: Lowered, title: str = "", function: str = "") -> Printer:
    """The printer of what a program's results and effects need."""
    wanted = {r.serial for r in lowered.results if isinstance(r, Var)}
    wanted |= {v.serial for _, v in lowered.gradients if v is not None}
    return Printer(lowered, live(lowered.steps, wanted), title, function)
