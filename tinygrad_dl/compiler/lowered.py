"""A captured program lowered step by step; what has no lowering stays as it was captured."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.compiler import lower
from tinygrad_dl.compiler.capture import Capture, Fixed, overwrite, replace
from tinygrad_dl.compiler.lower import Builder
from tinygrad_dl.compiler.program import (
    Call,
    Effect,
    NotLowered,
    Operand,
    Prim,
    Program,
    Step,
    Var,
    Vjp,
    all_reads,
    named_values,
)
from tinygrad_dl.compiler.replay import live_steps
from tinygrad_dl.compiler.update import Update
from tinygrad_dl.graph import Value
from tinygrad_dl.modes import active, modes, no_grad
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl.op import Op
    from tinygrad_dl.optim.optimizer import Optimizer


class Lowered:
    """`steps` are primitives and what was left; `at(x)` is the variable that stands for a captured one."""

    def __init__(
        self,
        program: Program,
        capture: Capture,
        supported: Callable[[Prim], bool] | None = None,
        forms: Any = None,
    ) -> None:
        self.program, self.capture, self.supported = program, capture, supported
        self.forms: Any = forms  # for a program that people read: see `formulas`
        self._whole: set[int] = (
            set()
        )  # calls that stay whole, as rules that were not lowered read what they cache
        while not self._attempt():
            pass
        self.steps = self._builder.steps
        self.results = [self.at(r) for r in (program.results if forms is None else capture.shown)]
        self.gradients = [(leaf, None if v is None else self.at(v)) for leaf, v in program.gradients]

    @property
    def computed_states(self) -> list[Var]:
        """The states that operations read and write; those that only a side effect changes belong to Python."""
        plain = (step for step in self.steps if not isinstance(step, Effect))
        used = {var.serial for step in plain for var in (*all_reads(step), *step.writes())}
        used |= {x.serial for x in (*self.results, *(v for _, v in self.gradients)) if isinstance(x, Var)}
        return [var for var in self.states if var.serial in used]

    def _attempt(self) -> bool:
        """Lower everything; False if a call turns out to have to stay whole."""
        program, known = self.program, len(self._whole)
        self.states = list(program.states)
        self.updates: list[Update] = []
        self.left: list[str] = []  # what was not lowered, and why
        self.numbers = 0
        self._builder = Builder(self.supported)
        self._builder.values = self.capture.values
        self._builder.state_of = self._array_state  # type: ignore[method-assign]
        if self.forms is not None:
            self._builder.readable = True
            self.forms.start(self._builder)
        self._same: dict[int, Operand] = {}
        self._states = {(id(s.source), ""): s for s in program.states if isinstance(s.source, Value)}
        for i, step in enumerate(live_steps(program)):
            owner = step.call if isinstance(step, Vjp) else step
            self._builder.module, self._builder.phase, self._builder.origin = owner.module, step.phase, i
            self._lower(step)
        return len(self._whole) == known

    def at(self, x: object) -> Any:
        """What stands for a captured variable, also inside the options of a call."""
        if isinstance(x, Var):
            found = self._same.get(x.serial, x)
            return found if found is x or not isinstance(found, Var) else self.at(found)
        if isinstance(x, tuple):
            return tuple(self.at(part) for part in x)
        return x

    def _lower(self, step: Step) -> None:
        b = self._builder
        mark = len(b.steps)
        try:
            if isinstance(step, Call):
                if id(step) in self._whole:
                    raise NotLowered("its rules are not lowered")
                try:
                    values = self._called(step, mark)
                except NotLowered:
                    del b.steps[mark:]
                    b.keep_known(mark)
                    values = self._plain_forward(step)
                for var, value in zip(step.outputs, values):
                    self._bind(var, value)
            elif isinstance(step, Vjp):
                for var, value in zip(step.outputs, self._expanded(step)):
                    self._bind(var, value if var is None else b.fitted(value, var))
            else:
                assert isinstance(step, Effect)
                self._effect(step)
        except NotLowered as reason:
            del b.steps[mark:]
            b.keep_known(mark)
            self._leave(step, str(reason))

    def _leave(self, step: Step, reason: str) -> None:
        """The step stays as it was captured, on the variables that now stand for its inputs."""
        twin: Step
        if isinstance(step, Call):
            twin = self._mapped(step)
            twin.outputs = step.outputs
            what = step.op.name
        elif isinstance(step, Vjp):
            twin = Vjp([self.at(step.inputs[0])], step.outputs, call=self._mapped(step.call))
            what = f"the rules of {step.call.op.name}"
            if step.call.op.cached:
                self._whole.add(id(step.call))
        else:
            assert isinstance(step, Effect)
            inputs = [self.at(x) for x in step.inputs]
            args = tuple(self.at(x) if isinstance(x, Var) else x for x in step.args)
            twin = Effect(inputs, step.outputs, function=step.function, args=args, what=step.what)
            twin.changes, twin.objects, twin.wrapped = step.changes, step.objects, step.wrapped
            twin.gradients = [(leaf, None if v is None else self.at(v)) for leaf, v in step.gradients]
            what = step.what
            gradients = [v for _, v in twin.gradients if isinstance(v, Var)]
            changed = [x for x in map(self.at, step.changes) if isinstance(x, Var)]
            self._builder.forget(*changed, *gradients)
        twin.module, twin.phase = step.module, step.phase
        self._builder.steps.append(twin)
        self.left.append(f"{what}: {reason}" if reason else what)

    def _mapped(self, call: Call) -> Call:
        inputs, outputs = [self.at(x) for x in call.inputs], [self.at(o) for o in call.outputs]
        return Call(inputs, outputs, op=call.op, options=self.at(call.options))

    def _bind(self, var: Var | None, value: Operand) -> None:
        if var is None:
            return
        if value is None:
            raise NotLowered("a value that has no lowering")
        if value is not var:
            self._same[var.serial] = value
        if self.forms is not None:
            self.forms.bind(var, value)

    def _called(self, step: Call, mark: int) -> Sequence[Operand]:
        """A forward as primitives, or as the formula that people know."""
        call = self._mapped(step)
        if self.forms is not None:
            try:
                values = self.forms.forward(call)
            except NotLowered:
                del self._builder.steps[mark:]
                self._builder.keep_known(mark)
            else:
                if values is not None:
                    return values
        return lower.lower_call(self._builder, call)

    def _expanded(self, step: Vjp) -> Sequence[Operand]:
        """A vjp as primitives: by a lowering of its own, or by running its rules once and lowering what they called."""
        needed = tuple(v is not None for v in step.outputs)
        call, op = step.call, step.call.op
        if self.forms is not None:
            mark = len(self._builder.steps)
            try:
                values = self.forms.backward(self.at(step.inputs[0]), self._mapped(call), call, needed)
            except NotLowered:
                del self._builder.steps[mark:]
                self._builder.keep_known(mark)
            else:
                if values is not None:
                    return values
        own = lower.BACKWARD.get(op.name)
        if own is not None:
            return own(self._builder, self.at(step.inputs[0]), self._mapped(call), needed)
        if op.variadic:
            raise NotLowered
        known = {**named_values(call), "g": step.inputs[0], "needs_input_grad": needed}
        recorder = Capture(lambda x: False)

        def run(named: Callable[[str], Any]) -> list[Any]:
            if op.joint:
                return list(op.rules[0](*map(named, op.rule_arguments[0])))
            rules = zip(op.rules, op.rule_arguments, needed)
            return [rule(*map(named, names)) if wanted else None for rule, names, wanted in rules]

        made = self._recorded(recorder, known, run)
        return [self.at(recorder.var_of(r)) if n else None for r, n in zip(made, needed)]

    def _plain_forward(self, call: Call) -> list[Operand]:
        """A forward as primitives, by running the plain one once on Tensors and lowering the operations it called."""
        op = call.op
        if op.variadic or any("rng" in o or o == "moments" for o in op.options):
            raise NotLowered
        recorder = Capture(lambda x: False)
        known = named_values(call)

        def run(named: Callable[[str], Any]) -> list[Any]:
            args, kwargs = op.arguments([named(n) for n in op.inputs], [named(n) for n in op.options])
            out = op.forward(*args, **kwargs)
            return list(out) if op.cached and op.kernel is None else [out]

        made = self._recorded(recorder, known, run, op)
        return [self.at(recorder.var_of(r)) for r in made]

    def _recorded(
        self,
        recorder: Capture,
        known: dict[str, Any],
        run: Callable[[Callable[[str], Any]], list[Any]],
        op: Op | None = None,
    ) -> list[Any]:
        """What `run` computes on Tensors of the captured values; the operations that it calls are lowered in turn."""
        tensors: dict[str, Any] = {}

        def named(name: str) -> Any:
            if name in tensors:
                return tensors[name]
            if name in known:
                x = known[name]
                if isinstance(x, Var):
                    # An array of its own, so that its identity tells the variable.
                    tensors[name] = x = recorder.add_value(self._sample(x), x)
                return x
            base, _, what = name.rpartition("_")
            x = known[base]
            if what == "shape":
                return x.shape if isinstance(x, Var) else np.shape(x)
            return x.dtype if isinstance(x, Var) else np.result_type(x)

        watchers = modes.watchers
        modes.watchers = (recorder,)
        active.append("watchers")
        try:
            with no_grad(), np.errstate(all="ignore"):
                made = run(named)
        except Exception as error:  # such as NumPy on Tensors: arrays do not mind, Tensors do
            raise NotLowered(f"it cannot be recorded: {error}") from error
        finally:
            active.remove("watchers")
            modes.watchers = watchers
        if any(not isinstance(var.source, Fixed) or var.size > 1 for _, var in recorder.unknown):
            raise NotLowered("it computes with NumPy")
        for _, made_here in recorder.unknown:  # constants of one element, such as np.array(0, dtype)
            if made_here.shape != ():
                raise NotLowered("it computes with NumPy")
            self._bind(made_here, made_here.source.array.item())
        self.capture.values |= recorder.values
        for inner in recorder.steps:
            assert isinstance(inner, Call)
            if inner.op is op:
                raise NotLowered("no lowering")
            mapped = self._mapped(inner)
            try:
                values = lower.lower_call(self._builder, mapped)
            except NotLowered:
                values = self._plain_forward(inner)
            for var, value in zip(inner.outputs, values):
                self._bind(var, value)
        return made

    def _sample(self, x: Var) -> np.ndarray:
        """Values of a captured variable; any will do, once those of the capture are gone."""
        found = self.capture.values.get(x.serial)
        return np.full(x.shape, 0.5, x.dtype) if found is None else found

    def _effect(self, step: Effect) -> None:
        name = step.function.__name__
        if step.function in (overwrite, replace):
            owner, value = step.args
            if step.function is replace:
                if self.forms is None:
                    raise NotLowered("a Tensor that is given another array")
            self._builder.assign(self._state(None, owner, ""), self.at(value))
            return
        if self.forms is not None and self._written_effect(step, name):
            return
        if name != "_update_all":
            raise NotLowered("")
        update = Update(step.args[0], self.numbers)
        gradients = {id(leaf): self.at(v) for leaf, v in step.gradients if v is not None}
        update.record(self._builder, gradients, lambda p, key: self._state(step.args[0], p, key))
        self.updates.append(update)
        self.numbers += len(update)

    def _written_effect(self, step: Effect, name: str) -> bool:
        """A side effect as the lines that people know, if it has such."""
        gradients = {id(leaf): self.at(v) for leaf, v in step.gradients if v is not None}
        if name == "_update_all":
            return bool(self.forms.update(step.args[0], gradients, self._state))
        return bool(self.forms.effect(name, step, gradients))

    def _array_state(self, array: NDArray | None) -> Var:
        """The variable of an array that a Tensor of the model's holds, such as a running mean."""
        for tensor, _ in self.capture.guards.tensors.values():
            if tensor._data is array:
                return self._state(None, tensor, "")
        raise NotLowered("an array of unknown origin")

    def _state(self, optimizer: Optimizer | None, p: Value, key: str) -> Var:
        place = (id(p), key)
        if place not in self._states:
            array = p._data if key == "" or optimizer is None else optimizer.state[p][key]
            source = p if key == "" else (optimizer, p, key)
            self._states[place] = Var(array.shape, array.dtype, "state", source)
            self.states.append(self._states[place])
        return self._states[place]
