"""A program as NumPy text that people read: one formula a line, with the model's names.

The text is stand-alone: it imports NumPy only, and its function takes the arguments, the parameters and the options of
a step. Lines are grouped by pass and by layer, as the courses write a forward and a backward pass by hand.
"""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tinygrad_dl.compiler.capture import Capture, fixed
from tinygrad_dl.compiler.formulas import ATOM, HELPERS, PRODUCT, SIGN, SUM, Forms, index, short
from tinygrad_dl.compiler.fusion import live, reads_of
from tinygrad_dl.compiler.lower import keep_mask
from tinygrad_dl.compiler.lowered import Lowered
from tinygrad_dl.compiler.naming import Names
from tinygrad_dl.compiler.notation import on_a_line
from tinygrad_dl.compiler.program import (
    ELEMENTWISE,
    VIEW,
    Call,
    Effect,
    Number,
    Operand,
    Prim,
    Program,
    Step,
    Var,
    Vjp,
)
from tinygrad_dl.compiler.replay import live_steps
from tinygrad_dl.dispatch import draw_now
from tinygrad_dl.errors import CompileError
from tinygrad_dl.graph import Value

BINARY = {
    "add": ("+", SUM), "subtract": ("-", SUM), "multiply": ("*", PRODUCT), "divide": ("/", PRODUCT),
    "matmul": ("@", PRODUCT), "greater": (">", 0), "greater_equal": (">=", 0), "less": ("<", 0),
    "less_equal": ("<=", 0), "equal": ("==", 0), "not_equal": ("!=", 0),
}  # fmt: skip
STRENGTHS = {"sum": SUM, "product": PRODUCT, "sign": SIGN, "atom": ATOM}
WIDTH = 110
#: Formulas of more primitives are cut into several lines.
LONGEST = 14
PHASES = {
    "forward": "Forward",
    "backward": "Backward: dX is the derivative of the loss L with respect to X, by the chain rule",
    "clip": "Clip the gradients",
    "update": "Update",
}


def readable(program: Program, capture: Capture) -> Lowered:
    """The program lowered to the formulas that people know."""
    return Lowered(program, capture, forms=Forms(Names(program, capture)))


class Printer:
    """Turns the steps of a lowered program into lines."""

    def __init__(self, lowered: Lowered) -> None:
        self.lowered, self.forms = lowered, lowered.forms
        self.helpers: set[str] = set()
        self.draws = False
        self.names: dict[int, str] = {}
        self.taken: set[str] = {"np", *HELPERS}
        self.numbers: dict[int, str] = {}
        self.outputs = {r.serial for r in lowered.results if isinstance(r, Var)}
        self.outputs |= {v.serial for _, v in lowered.gradients if v is not None}
        self.steps = live(lowered.steps, set(self.outputs))
        self.defined = {
            v.serial: s for s in self.steps if isinstance(s, Prim) and s.kind != "lines" for v in s.writes()
        }
        self.users: dict[int, list[int]] = {}  # serial -> positions of the steps that read it
        for i, step in enumerate(self.steps):
            for x in reads_of(step):
                self.users.setdefault(x.serial, []).append(i)
        self._decide()
        self._name_inputs()

    # What is written inside of other formulas

    def _decide(self) -> None:
        """Choose the results that have no line of their own."""
        self.inlined: set[int] = set()
        written: dict[int, list[int]] = {}  # serial -> positions at which it is changed in place
        for i, step in enumerate(self.steps):
            changed: list[Any] = []
            if isinstance(step, Prim) and step.kind == "assign":
                changed = step.inputs[:1]
            elif not isinstance(step, Prim) or step.params.get("always"):
                changed = list(reads_of(step))
            for x in changed:
                if isinstance(x, Var):
                    written.setdefault(x.serial, []).append(i)
        reads: dict[int, set[int]] = {}  # serial -> what is changed somewhere, and read by its formula
        length: dict[int, int] = {}
        last = self._last_uses()
        for step in self.steps:
            for made in step.writes() if isinstance(step, Prim) else ():
                found = {x.serial for x in step.reads() if x.serial in written}
                reads[made.serial] = found.union(*(reads.get(x.serial, set()) for x in step.reads()))
        for i, step in enumerate(self.steps):
            if not isinstance(step, Prim) or step.kind in ("lines", "assign", "check_classes"):
                continue
            out = step.outputs[0]
            assert out is not None
            inside = [x.serial for x in step.reads() if x.serial in self.inlined]
            length[out.serial] = 1 + sum(length[x] for x in inside)
            end = last[out.serial]
            changed_before = any(i < j < end for x in reads[out.serial] for j in written[x])
            if not changed_before and self._fits(step, out, length):
                self.inlined.add(out.serial)

    def _last_uses(self) -> dict[int, int]:
        """Serial -> the position after which a formula is not read, wherever it may be written."""
        last: dict[int, int] = {}
        for step in reversed(self.steps):
            for out in step.writes():
                end = 0
                for j in self.users.get(out.serial, []):
                    user = self.steps[j]
                    inside = isinstance(user, Prim) and user.kind not in ("lines", "assign")
                    ends = [last[v.serial] for v in user.writes() if inside and not v.name]
                    end = max(end, j, *ends)
                last[out.serial] = end
        return last

    def _fits(self, step: Prim, out: Var, length: dict[int, int]) -> bool:
        """Whether a result reads better where it is used than in a line of its own."""
        if step.kind == "broadcast" and self._needless(step, out):
            return True
        if out.serial in self.outputs or out.name:
            return False
        users = [self.steps[j] for j in self.users.get(out.serial, [])]
        if any(isinstance(u, Prim) and u.params.get("rebinds") or not isinstance(u, Prim) for u in users):
            return False
        if step.kind in ("iota", "cast") or (step.kind in VIEW and step.kind != "strided"):
            source = step.inputs[0] if step.inputs else None
            plain = (
                not isinstance(source, Var)
                or length.get(source.serial, 0) == 0
                or source.serial not in self.inlined
            )
            plain = plain or (isinstance(source, Var) and self._is_view(source))
            if plain or len(users) == 1:
                return True
        if not out.shape and not any(x.shape for x in step.reads()) and length[out.serial] < 3:
            return True
        return len(users) == 1 and length[out.serial] < LONGEST and users[0].phase == step.phase

    def _is_view(self, x: Var) -> bool:
        step = self.defined.get(x.serial)
        while step is not None and step.kind in VIEW and x.serial in self.inlined:
            (x,) = step.reads()
            step = self.defined.get(x.serial)
        return x.serial not in self.inlined

    def _needless(self, step: Prim, out: Var) -> bool:
        """Whether NumPy broadcasts by itself where the result is read."""
        for j in self.users.get(out.serial, []):
            user = self.steps[j]
            if not isinstance(user, Prim) or user.kind not in ELEMENTWISE:
                return False
            if not any(x.shape == out.shape for x in user.reads() if x is not out):
                (made,) = user.outputs
                if made is None or made.name or not self._needless(user, made):
                    return False
        return out.serial not in self.outputs

    # Names

    def _name(self, var: Var, wish: str) -> str:
        name, i = wish, 1
        while name in self.taken:
            i += 1
            name = f"{wish}_{i}"
        self.taken.add(name)
        self.names[var.serial] = name
        return name

    def _name_inputs(self) -> None:
        """Names for arguments, parameters, buffers, averages, constants and the options of a step."""
        names: Names = self.forms.names
        for var in self.lowered.program.arguments:
            self._name(var, names.of[var.serial])
        for var in self.lowered.computed_states:
            self._name(var, names.state(var.source))
        self.constants = []
        for var in self.lowered.program.constants:
            if var.serial in self.users and self._literal(var) is None:
                self._name(var, "constant")
                self.constants.append(var)
        order = ("lr", "momentum", "beta1", "beta2", "eps", "weight_decay")
        known = sorted(self.forms.options, key=lambda n: order.index(n) if n in order else len(order))
        self.options = {name: self.forms.options[name] for name in known}
        self.taken |= {self.forms.count, "rng", *self.options}
        for update in self.lowered.updates:
            for _, group, first, last in update.parameters:
                for i in range(first, last):
                    value = update.at_capture[i - update.first]
                    usual = ("lr", "momentum", "weight_decay", "alpha", "rho", "eps")
                    wish = next(
                        (n for n in usual if n in group and value == float(group[n])), f"c{i - first + 1}"
                    )
                    name, n = wish, 1
                    while self.options.setdefault(name, value) != value:
                        n += 1
                        name = f"{wish}_{n}"
                    self.numbers[i] = name

    def _literal(self, var: Var) -> str | None:
        """A constant as text, if it is small or all the same."""
        array = fixed(var)
        if array.size == 1 and not array.shape:
            return short(float(array.item())) if array.dtype.kind == "f" else repr(array.item())
        # An array of the user's may be written to; what the package made is the same at every run.
        if array.dtype.kind not in "biuf" or isinstance(var.source, np.ndarray):
            return None
        first = array.reshape(-1)[:1]
        if array.size and np.all(array == first):
            value = f", {first.item()!r}" if first[0] else ""
            return f"np.{'full' if value else 'zeros'}({array.shape}{value}, np.{array.dtype.name})"
        return f"np.array({array.tolist()}, np.{array.dtype.name})" if array.size <= 12 else None

    # Expressions

    def text(self, x: Operand, strength: int = 0) -> str:
        if x is None:
            return "None"
        if isinstance(x, Number):
            return self.numbers.get(x.index, f"c{x.index}")
        if not isinstance(x, Var):
            text = short(x) if isinstance(x, float) and np.isfinite(x) else repr(x)
            text = (
                text
                if text not in ("inf", "-inf", "nan")
                else text.replace("inf", "np.inf").replace("nan", "np.nan")
            )
            return f"({text})" if text.startswith("-") and strength > SUM else text
        if x.serial in self.names:
            return self.names[x.serial]
        prim = self.defined.get(x.serial)
        if (
            prim is None and x.kind == "result"
        ):  # a mask of dropout, a table of integers, what is returned as it was
            raise CompileError("source: expected values that have a formula in NumPy, got one that has none")
        if prim is None:
            return self._literal(x) or "constant"
        if prim.kind == "broadcast" and self._needless(prim, x):
            return self.text(prim.inputs[0], strength)
        text, own = self.expression(prim)
        return f"({text})" if own < strength else text

    def expression(self, prim: Prim) -> tuple[str, int]:
        """The formula of a primitive and how strongly it binds."""
        kind, xs, p = prim.kind, prim.inputs, prim.params
        (out,) = prim.outputs
        assert out is not None
        if kind == "formula":
            self.helpers.update(p["helpers"])
            return self._filled(p["text"], prim), p["strength"]
        if kind in BINARY:
            return self._binary(prim)
        if kind == "negative":
            return f"-{self.text(xs[0], SIGN)}", SIGN
        if kind == "positive":
            return self.text(xs[0]), SUM
        if kind == "cast":
            return f"{self.text(xs[0], ATOM)}.astype(np.{out.dtype.name})", ATOM
        if kind == "transpose":
            x, axes = xs[0], p["axes"]
            while (
                isinstance(x, Var) and x.serial in self.inlined and self.defined[x.serial].kind == "transpose"
            ):
                inner = self.defined[x.serial]
                x, axes = inner.inputs[0], tuple(inner.params["axes"][a] for a in axes)
            if axes == tuple(range(len(axes))):  # there and back
                return self.text(x, ATOM), ATOM
            whole = axes == tuple(reversed(range(len(axes))))
            return f"{self.text(x, ATOM)}{'.T' if whole else f'.transpose({_plain(axes)})'}", ATOM
        if kind == "reshape":
            return f"{self.text(xs[0], ATOM)}.reshape({_plain(p['shape']) or '()'})", ATOM
        if kind == "broadcast":
            return f"np.broadcast_to({self.text(xs[0])}, {p['shape']})", ATOM
        if kind == "slice":
            return f"{self.text(xs[0], ATOM)}[{', '.join(map(index, p['index'])) or '()'}]", ATOM
        if kind in ("sum", "max", "min", "prod"):
            return self._reduction(prim, kind)
        if kind == "take":
            x = xs[0]
            assert isinstance(x, Var)
            return f"{self.text(x, ATOM)}[np.arange({x.shape[0]}), {self.text(xs[1])}]", ATOM
        if kind == "rows":
            return f"{self.text(xs[0], ATOM)}[{self.text(xs[1], ATOM)}[..., 0]]", ATOM
        if kind == "scatter":
            self.helpers.add("add_rows")
            return f"add_rows({self.text(xs[0])}, {self.text(xs[1])}, {out.shape})", ATOM
        if kind == "iota":
            alone = out.size == out.shape[-1]  # along the last axis, which NumPy lines up by itself
            return f"np.arange({out.size})" + ("" if alone else f".reshape({_plain(out.shape)})"), ATOM
        if kind == "pad":
            value = f", constant_values={self.text(p['value'])}" if p["value"] else ""
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
        if kind in ("sigmoid", "erf"):
            self.helpers.add(kind)
            return f"{kind}({self.text(xs[0])})", ATOM
        if kind == "power":
            return f"{self.text(xs[0], ATOM)} ** {self.text(xs[1], ATOM)}", SIGN
        if kind == "softplus":
            return f"np.logaddexp(0, {self.text(xs[0])})", ATOM
        if kind == "round":
            return f"np.round({self.text(xs[0])})", ATOM
        return f"np.{kind}({', '.join(map(self.text, xs))})", ATOM

    def _binary(self, prim: Prim) -> tuple[str, int]:
        kind, xs = prim.kind, prim.inputs
        sign, strength = BINARY[kind]
        if prim.params.get("mean"):
            total, share = xs
            assert isinstance(total, Var) and isinstance(share, float)
            if total.serial in self.inlined:
                return self._reduction(self.defined[total.serial], "mean")
            return f"{self.text(total, PRODUCT)} / {round(1 / share)}", PRODUCT
        if kind in ("multiply", "add") and isinstance(xs[1], Number):
            xs = xs[::-1]
        for x, other in (xs, xs[::-1]) if kind == "multiply" else ():
            part = self._fraction(x)
            if part is not None:  # a mean's share of the gradient
                return f"{self.text(other, PRODUCT)} / {part}", PRODUCT
            if self._is_one(x) and isinstance(other, Var):
                return self.text(other, PRODUCT), PRODUCT
        if kind == "divide" and type(xs[1]) in (int, float) and xs[1] == 1:
            return self.text(xs[0], PRODUCT), PRODUCT
        if kind == "multiply" and xs[0] is xs[1]:
            return f"{self.text(xs[0], ATOM)}**2", SIGN
        left = self.text(xs[0], strength)
        right = self.text(xs[1], strength + (kind not in ("add", "multiply")))
        return f"{left} {sign} {right}", strength

    def _filled(self, text: str, prim: Prim) -> str:
        """A formula's text with its inputs and outputs in their places."""

        def value(found: re.Match[str]) -> str:
            if found[1]:
                out = prim.outputs[int(found[2])]
                return "_" if out is None else self.names.get(out.serial, "_")
            return self.text(prim.inputs[int(found[2])], STRENGTHS.get(found[3] or "", 0))

        return re.sub(r"{(out)?(\d+)(?::(\w+))?}", value, text)

    def _fraction(self, x: Operand) -> int | None:
        """n, if the operand is 1 / n."""
        prim = self._through_broadcasts(x)
        if prim is None or prim.kind != "divide":
            return None
        one, n = prim.inputs
        return n if self._is_one(one) and type(n) is int else None

    def _through_broadcasts(self, x: Operand) -> Prim | None:
        while isinstance(x, Var) and x.serial in self.inlined:
            prim = self.defined[x.serial]
            by_one = prim.kind == "divide" and type(prim.inputs[1]) in (int, float) and prim.inputs[1] == 1
            if not by_one and (prim.kind != "broadcast" or not self._needless(prim, x)):
                return prim
            x = prim.inputs[0]
        return None

    def _is_one(self, x: Operand) -> bool:
        if isinstance(x, Var) and x.serial in self.inlined:
            prim = self.defined[x.serial]
            return prim.kind == "broadcast" and self._needless(prim, x) and self._is_one(prim.inputs[0])
        if type(x) in (int, float):
            return x == 1
        return isinstance(x, Var) and x.kind == "constant" and x.size == 1 and fixed(x).item() == 1

    def _reduction(self, prim: Prim, name: str) -> tuple[str, int]:
        (x,), p = prim.inputs, prim.params
        assert isinstance(x, Var)
        options = [] if len(p["axes"]) == len(x.shape) else [f"axis={_plain(p['axes'], one=True)}"]
        options += ["keepdims=True"] if p["keepdims"] else []
        text = self.text(x)
        if name in ("sum", "mean") and re.fullmatch(r"-\(.*\)", text) and self._is_negation(x):
            return f"{text}.{name}({', '.join(options)})", SIGN  # -(...).mean()
        return f"{self.text(x, ATOM)}.{name}({', '.join(options)})", ATOM

    def _is_negation(self, x: Var) -> bool:
        """Whether a formula is the negative of one in parentheses."""
        step = self.defined.get(x.serial)
        return step is not None and step.kind == "formula" and step.params["text"][:2] == "-("

    # Lines

    def render(self, title: str, function: str) -> str:
        lines: list[str] = []
        phase = layer = ""
        self._find_notes()
        for i, step in enumerate(self.steps):
            made = self._step(i, step)
            if not made:
                continue
            named = step.phase in ("clip", "update") and step.module
            if step.phase != phase or (named and step.module != layer):
                phase = step.phase
                lines.append(f"# {PHASES.get(phase, phase)}{f': {step.module}' if named else ''}")
                layer = step.module if named else ""
            notes = [step.module] if step.module and step.module != layer else []
            layer = step.module or layer
            notes += [note for v in step.writes() if (note := self._note(v, made[-1]))][:1]
            note = f"# {': '.join(notes)}" if notes else ""
            if note and len(made[0]) + len(note) + 6 > WIDTH:  # the function's lines are indented by four
                lines += [note, *made]
            else:
                lines += [f"{made[0]}  {note}" if note else made[0], *made[1:]]
        lines += self._returned()
        imports = "import math\n\n" if "erf" in self.helpers else ""
        head = f'"""{title}"""\n\n{imports}import numpy as np\n'
        for name in HELPERS:
            if name in self.helpers:
                head += f"\n\n{HELPERS[name]}"
        head += f"\n\ndef {function}({', '.join(self.parameters())}):\n"
        return head + "".join(f"    {line}\n" for line in lines or ["pass"])

    def parameters(self) -> list[str]:
        """The names of what the function takes."""
        inputs = (*self.lowered.program.arguments, *self.lowered.computed_states, *self.constants)
        found = [self.names[v.serial] for v in inputs]
        return [
            *found,
            *self.options,
            *([self.forms.count] if self.forms.counted else []),
            *(["rng"] if self.draws else []),
        ]

    def _step(self, i: int, step: Step) -> list[str]:
        """The lines of a step; none for what is written elsewhere."""
        if isinstance(step, Effect):
            return self._effect(step)
        assert isinstance(step, Prim)
        if step.kind == "check_classes" or any(v.serial in self.inlined for v in step.writes()):
            return []
        if step.kind == "assign":
            return [self._assignment(step)]
        if step.kind == "lines":
            self.helpers.update(step.params.get("helpers", ()))
            for made in step.writes():
                if made.serial in self.users or made.serial in self.outputs or step.params.get("names"):
                    self._name(made, self._wish(made))
            return [self._filled(line, step) for line in step.params["lines"]]
        (out,) = step.outputs
        assert out is not None
        formula, _ = self.expression(step)
        return [f"{self._rebound(i, step, out) or self._name(out, self._wish(out))} = {formula}"]

    def _wish(self, out: Var) -> str:
        return out.name or self.forms.hints.get(out.serial) or "tmp"

    def _rebound(self, i: int, step: Prim, out: Var) -> str:
        """The name of a gradient to which another contribution is added, if only the sum is read from now on."""
        x = step.inputs[0] if step.inputs else None
        if step.kind != "add" or not isinstance(x, Var) or not out.name or x.serial in self.outputs:
            return ""
        if self.names.get(x.serial) == out.name and max(self.users[x.serial]) == i and x.kind == "result":
            self.names[out.serial] = out.name
            return out.name
        return ""

    def _note(self, made: Var, line: str) -> str:
        """What the chain rule does, and the mathematics of the operation where the line does not say it itself."""
        note, formula = self.notes.get(made.serial, ""), self.formulas.get(made.serial, "")
        if not formula or _letters(formula) == _letters(line.partition(" = ")[2]):
            return note
        return f"{note} = {formula}" if note else formula

    def _find_notes(self) -> None:
        """What the chain rule does, for gradients of what layers compute: dL/dZ1 = dL/dA1 * dA1/dZ1.

        And the formulas of elementwise operations, such as Z1 * Phi(Z1), from the registry.
        """
        self.notes: dict[int, str] = {}
        self.formulas: dict[int, str] = {}
        names: Names = self.forms.names
        for step in live_steps(self.lowered.program):
            if isinstance(step, Call) and step.op.name == "bce_with_logits":
                loss = self.lowered.at(step.outputs[0])
                self.notes[loss.serial] = "the mean of -(y log A + (1 - y) log(1 - A)), A = sigmoid(Z)"
            self._find_formula(step)
            if not isinstance(step, Vjp):
                continue
            out = step.call.outputs[0]
            after = names.of.get(out.serial, "") if out is not None else ""
            first = True
            for x, v in zip(step.call.inputs, step.outputs):
                found = self.lowered.at(v) if v is not None and v.serial in names.of else None
                if not isinstance(x, Var) or not isinstance(found, Var) or x.kind in ("argument", "constant"):
                    continue
                if x.serial not in names.of:
                    continue
                if x.kind == "state" and not (first and step.call.op.name in ("linear", "conv")):
                    continue
                first = False
                name = names.of[x.serial]
                if after in ("loss", ""):
                    self.notes[found.serial] = f"dL/d{name}"
                else:
                    self.notes[found.serial] = f"dL/d{name} = dL/d{after} * d{after}/d{name}"

    def _find_formula(self, step: Step) -> None:
        call = step.call if isinstance(step, Vjp) else step
        if not isinstance(call, Call) or len(call.op.math) != 2 or not call.op.elementwise:
            return
        x, out, of = call.inputs[0], call.outputs[0], self.forms.names.of
        if not isinstance(x, Var) or out is None or x.serial not in of or out.serial not in of:
            return
        names = {"x": of[x.serial], "out": of[out.serial], "g": f"d{of[out.serial]}"}
        forward, equals, _ = on_a_line(call.op.math[0], names).partition(" = ")
        if isinstance(step, Call):
            self.formulas[self.lowered.at(out).serial] = forward
        elif (gradient := step.outputs[0]) is not None:
            rule = on_a_line(call.op.math[1], names)
            # Sigmoid's is written with its result, as sigma is defined by it.
            self.formulas[self.lowered.at(gradient).serial] = (
                rule.replace(forward, names["out"]) if equals else rule
            )

    def _returned(self) -> list[str]:
        """The return statement: what the function returned, and the gradients unless an update has used them."""
        names: Names = self.forms.names
        inputs = {
            id(v.source): self.names[v.serial]
            for v in self.lowered.computed_states
            if isinstance(v.source, Value)
        }
        gradients = {
            f"d{inputs.get(id(leaf)) or names.parameters.get(id(leaf), 'p')}": self.text(v)
            for leaf, v in self.lowered.gradients
            if v is not None and not self._updates()
        }
        results = [self.text(r) for r in self.lowered.results]
        if gradients:
            results.append("{" + ", ".join(f'"{k}": {v}' for k, v in gradients.items()) + "}")
        return [f"return {', '.join(results)}"] if results else []

    def _updates(self) -> bool:
        return any(isinstance(s, Prim) and s.phase == "update" for s in self.steps)

    def _effect(self, step: Effect) -> list[str]:
        """A random draw as a line; of other side effects, that they are left out."""
        if step.function is keep_mask:
            (out,) = step.outputs
            assert out is not None
            p, shape, seed = step.args
            value = f"{self._generator(seed)}.random({tuple(shape)}, dtype=np.float32) >= {p}"
            return [f"{self._name(out, out.name or 'kept')} = {value}"]
        if step.function is draw_now:
            (out,) = step.outputs
            assert out is not None
            _, shape, text, seed, *_ = step.args
            text = text.replace("rng.", f"{self._generator(seed)}.")
            value = text.format(shape=tuple(shape)) if text else "..."  # what has no text cannot be saved
            return [f"{self._name(out, 'kept' if out.dtype == bool else 'noise')} = {value}"]
        name = step.function.__name__
        if name == "_count_batch":  # a line, where the count is read
            counts = [v for v in self.lowered.computed_states if v.source is step.args[0]]
            return [f"{self.names[v.serial]} += 1" for v in counts if v.serial in self.names]
        if name in ("_discard_gradients", "_store_weight"):
            return []
        step.phase = "update" if name == "_update_all" else step.phase
        what = f"the step of {type(step.args[0]).__name__}" if name == "_update_all" else name.strip("_")
        return [f"# Not written out: {what}"]

    def _generator(self, seed: object) -> str:
        """What draws: the generator that the program is given, or for a seed a new one at every run."""
        if isinstance(seed, (int, np.integer)):
            return f"np.random.default_rng({int(seed)})"
        self.draws = True
        return "rng"

    def _assignment(self, step: Prim) -> str:
        """A new value of a state: `w -= ...` where it is the old one and something more."""
        target, value = step.inputs
        assert isinstance(target, Var)
        name = self.names[target.serial]
        inside = isinstance(value, Var) and value.serial in self.inlined
        prim = self.defined[value.serial] if inside and isinstance(value, Var) else None
        if (
            prim is not None
            and prim.kind in ("add", "subtract", "multiply", "divide")
            and prim.inputs[0] is target
        ):
            return f"{name} {BINARY[prim.kind][0]}= {self.text(prim.inputs[1])}"
        return f"{name}[...] = {self.text(value)}"


def _letters(formula: str) -> str:
    """A formula without what NumPy writes differently: `max(Z, 0)` is np.maximum(Z, 0)."""
    for ours, numpy in (
        ("sigma", "sigmoid"),
        ("max", "np.maximum"),
        ("^", "**"),
        ("ln", "np.log"),
        ("abs", "np.abs"),
    ):
        formula = formula.replace(numpy, ours)
    return re.sub(r"np\.|[ *()]", "", formula)


def _plain(x: tuple[int, ...], one: bool = False) -> str:
    return str(x[0]) if one and len(x) == 1 else str(x) if one else ", ".join(map(str, x))


def source(lowered: Lowered, title: str, function: str) -> str:
    """The text of a program. Raises CompileError where a part of it has no formula here."""
    left = [
        s.op.name if isinstance(s, Call) else s.call.op.name
        for s in lowered.steps
        if isinstance(s, (Call, Vjp))
    ]
    if left:
        what = ", ".join(dict.fromkeys(left))
        raise CompileError(
            f"source: expected operations that have a formula in NumPy, got {what}, which are called as they are"
        )
    return Printer(lowered).render(title, function)
