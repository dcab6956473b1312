"""Capture: one eager run of a function, recorded as a program.

A capture watches what the engine does while the function runs as usual: the calls of registered operations, the nodes
that backward visits, and the package's own side effects. It sees the user's Python through a profile function: which
code ran (whose globals, closures and attributes become guards), which module was being called, and what cannot be
repeated without Python, such as printing.
"""

from __future__ import annotations

import builtins
import gc
import re
import sys
import weakref
from array import array
from collections import deque
from collections.abc import Callable, Iterator, Sequence, Set
from types import CodeType, FrameType, FunctionType, GeneratorType, MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import pytree
from tinygrad_dl.compiler.arithmetic import only_computes
from tinygrad_dl.compiler.bytecode import elements_read, written_in_place
from tinygrad_dl.compiler.data import Data, is_whole
from tinygrad_dl.compiler.guards import Guards
from tinygrad_dl.compiler.origins import frame_is_users, is_users
from tinygrad_dl.compiler.program import Call, Effect, Operand, Program, Step, Var, Vjp, generators_in
from tinygrad_dl.convert import coerce, wrap
from tinygrad_dl.graph import Node, Value, next_serial
from tinygrad_dl.modes import StepWatcher, _Exit, modes
from tinygrad_dl.op import OPS
from tinygrad_dl.typing import Array, Input

if TYPE_CHECKING:
    from tinygrad_dl.nn.module import Module
    from tinygrad_dl.op import Op
    from tinygrad_dl.tensor import Tensor

# Built-in functions that user code may call during a step: they compute with what is there and change nothing outside.
PURE = frozenset(
    """abs all any bool callable chr dict divmod enumerate filter float format frozenset getattr hasattr hash id int
    isinstance issubclass iter len list map max min ord pow range repr reversed round set slice sorted str sum super
    tuple type zip vars dir __build_class__""".split()
)
# Modules of the standard library whose functions change nothing but what they are given. What a step does to containers
# is noticed afterwards, if the guards know them.
SILENT_MODULES = frozenset(
    "functools contextlib itertools collections typing dataclasses enum abc operator math numbers".split()
)
# Types whose own methods change nothing but the object itself.
SILENT: tuple[Any, ...] = (
    *(int, float, complex, bool, str, bytes, bytearray, list, tuple, dict, set, frozenset, range, slice, memoryview),
    *(type(None), np.generic, np.dtype, MappingProxyType, deque, array, property, GeneratorType, re.Pattern, re.Match),
    *(type({}.keys()), type({}.values()), type({}.items()), weakref.ref, BaseException, FunctionType),
)  # fmt: skip


# Functions that run where they are written.
COMPREHENSIONS = frozenset(["<listcomp>", "<setcomp>", "<dictcomp>", "<genexpr>"])


# Functions of the package that change what a program does not know, and where files are written.
OUTSIDE = frozenset("manual_seed set_default_dtype load_state_dict vector_to_parameters".split())
FILES = "tinygrad_dl.files"


class Fixed:
    """The values of a constant that is made at every run; two with the same values are the same constant."""

    def __init__(self, array: np.ndarray) -> None:
        self.array = array

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fixed) and np.array_equal(self.array, other.array)

    __hash__ = object.__hash__


class Capture(StepWatcher):
    """One recorded run; `run` executes the function and fills `program`."""

    arrays = True  # calls on plain arrays are reported too

    def __init__(self, skip: Callable[[object], bool], function: Callable[..., Any] | None = None) -> None:
        super().__init__()
        # The function's own code is the user's, wherever it is from: what it reads is guarded.
        self._function_code = function.__code__ if isinstance(function, FunctionType) else None
        # The closure with which code ran last: to find another takes as long as a small step.
        own = getattr(function, "__func__", function)
        self._closures: dict[CodeType, tuple[Any, ...]] = (
            {own.__code__: own.__closure__ or ()} if isinstance(own, FunctionType) else {}
        )
        self.guards = Guards(skip)
        self.steps: list[Step] = []
        self.calls: dict[int, Call] = {}  # serial of the node -> the call that recorded it
        self.problems: list[str] = []
        self._vars: dict[int, Var] = {}  # id of an array -> its variable
        self._alive: list[Any] = []  # keeps those ids from being used again
        self.values: dict[int, np.ndarray] = {}  # serial of a variable -> what it was at the capture
        self._pending: dict[int, Var] = {}  # serial of a node -> its gradient so far, during a backward pass
        self._before: dict[int, Any] = {}  # id of a leaf -> its .grad when the capture began
        self._leaves: dict[int, Any] = {}
        self._stack: list[Any] = []  # the modules that are being called
        self._paths: dict[int, str] = {}
        self.unknown: list[tuple[np.ndarray, Var]] = []
        self.arguments: list[Var] = []
        self._given_tensors: dict[int, Value] = {}
        #: Arguments, by number, that the program is made for: see `bind`.
        self.bound: list[tuple[int, Value]] = []
        self.states: list[Var] = []
        self.optimizers: dict[int, Any] = {}
        self.results: list[Operand] = []
        self.shown: list[
            Operand
        ] = []  # the same for readers of the program, with those that were there before
        self.resets: dict[
            int, bool
        ] = {}  # id of a leaf -> whether its .grad was None when its first gradient came
        #: id of a leaf whose `.grad` was used as it was given -> the leaf, and whether that was None.
        self.given: dict[int, tuple[Any, bool]] = {}
        self.cleared: dict[int, Any] = {}  # id -> leaf whose `.grad` was set before one was computed
        self.raw: dict[
            int, str
        ] = {}  # ids of the arguments that are arrays and no Tensors, which Python can read
        self._contents: list[tuple[np.ndarray, np.ndarray, str]] = []  # these, as they were, and their names
        self.held: set[int] = set()  # ids of arrays of Tensors that the program has as objects
        self.scalars: list[np.generic] = []  # that operations were given
        #: Functions that raise for values that are refused, the number of an argument or an array, what else they
        #: are given, and whether native code checks the values itself.
        self.checks: list[tuple[Callable[..., object], Any, tuple[object, ...], bool]] = []
        self.phase = "forward"
        self._owners: dict[int, Value] = {}  # id of an argument's array that was handed out -> the Tensor
        self._passed = False  # whether a backward pass has ended
        self._made: dict[int, tuple[object, bool]] = {}  # id -> an object, and whether the step made it
        self._importing = 0  # imports that are running

    # What the program's variables are

    def add_argument(self, x: Value | np.ndarray, index: int, name: str) -> Var:
        """An argument of the function, an array or a Tensor."""
        tensor = isinstance(x, Value)
        array = x._data if isinstance(x, Value) else x
        if isinstance(x, Value):
            self._given_tensors[index] = x
        var = Var(array.shape, array.dtype, "argument", (index, tensor), name)
        self.arguments.append(var)
        self._vars[id(array)] = var
        self.values[var.serial] = array
        self._alive.append(array)
        if not tensor:
            self.raw[id(array)] = name
            self._contents.append((array, array.copy(), name))
        return var

    def written(self) -> list[str]:
        """The names of arguments that are arrays and no Tensors, and that the function has written to."""
        return [name for array, before, name in self._contents if not _equal(array, before)]

    def bind(self, tensor: Value) -> None:
        """The program is for this very Tensor, if it is an argument: it is written to, or given a gradient."""
        var = self._vars.get(id(tensor._data))
        if var is None or var.kind != "argument" or self._given_tensors.get(var.source[0]) is not tensor:
            return
        self.bound.append((var.source[0], tensor))
        var.kind, var.source = "state", tensor
        self.arguments.remove(var)
        self.states.append(var)

    def _state_var(self, tensor: Value, name: str = "") -> Var:
        """The variable of a Tensor that was there before: a parameter, a buffer, data that a closure holds."""
        array = tensor._data
        var = self._vars.get(id(array))
        if var is None:
            if (
                id(tensor) not in self.guards.tensors
            ):  # such as what detach() gives, a new Tensor at every call
                owners = (t for t, _ in self.guards.tensors.values() if t._data is array)
                tensor = next(owners, tensor)
            var = Var(array.shape, array.dtype, "state", tensor, name or getattr(tensor, "_name", None) or "")
            self.states.append(var)
            self._vars[id(array)] = var
            self.values[var.serial] = array
            self._alive.append((array, tensor))
        return var

    def _constant(self, array: np.ndarray) -> None:
        """An array that depends on nothing that may change; its values are kept, as it is a new one at every run."""
        var = Var(array.shape, array.dtype, "constant", Fixed(array.copy()))
        self._vars[id(array)] = var
        self.values[var.serial] = array
        self._alive.append(array)
        self.unknown.append((array, var))

    def _operand(self, x: Input) -> Operand:
        if isinstance(x, Value):
            found = self._vars.get(id(x._data)) or self._number(x)
            return found if found is not None else self._state_var(x)
        if isinstance(x, np.ndarray):
            return self._array(x)
        if isinstance(x, np.generic):
            self.scalars.append(x)
            return self._array(np.asarray(x)) if x.dtype.kind not in "biuf" else x.item()
        return x

    def _number(self, x: Value) -> Var | None:
        """The variable of what a rule was given as its node's result: a number, of which the rule has an array anew."""
        call = self.calls.get(x.node.serial) if x.node is not None and x._data.ndim == 0 else None
        var = call.outputs[0] if call is not None else None
        return var if var is not None and var.shape == () and var.dtype == x._data.dtype else None

    def _array(self, x: np.ndarray) -> Var:
        var = self._vars.get(id(x))
        if var is None:
            var = Var(x.shape, x.dtype, "constant", x)
            self._vars[id(x)] = var
            self.values[var.serial] = x
            self._alive.append(x)
            self.unknown.append((x, var))
        return var

    def _result(self, x: Input) -> Var | None:
        data = x._data if isinstance(x, Value) else x
        if data is None:
            return None
        if not isinstance(data, np.ndarray):
            data = np.asarray(data)
        var = Var(data.shape, data.dtype)
        self._vars[id(data)] = var
        self.values[var.serial] = data
        self._alive.append((data, x))
        return var

    def roots(self) -> list[Module]:
        """The models that the function used: modules that lie in no other one."""
        modules = [module for module, _ in self.guards.modules.values()]
        inside = {id(m) for module in modules for m in module.modules() if m is not module}
        return [m for m in modules if id(m) not in inside and any(True for _ in m.parameters())]

    def shared(self) -> list[str]:
        """The names of arguments whose arrays the function also reads as something else.

        An argument that is itself what it reads elsewhere, such as a parameter of a model, is bound.
        """
        held: list[Any] = [t for t, _ in self.guards.tensors.values()]
        for tensor in held:
            self.bind(tensor)
        names = {id(self.values[var.serial]): var.name for var in self.arguments}
        arrays = [t._data for t in held] + [a for a, *_ in self.guards.arrays]
        return list(dict.fromkeys(names[id(array)] for array in arrays if id(array) in names))

    def too_early(self) -> list[str]:
        """Names of Tensors that the function reads before the module to which they belong has computed them."""
        computed = self.guards.computed
        return [computed[id(var.source)][1] for var in self.states if id(var.source) in computed]

    def operands(self) -> set[int]:
        """The ids of the arrays and generators that operations were given."""
        found = {id(array) for array, _ in self.unknown}
        found |= {id(x) for s in self.steps for x in generators_in(s)}
        return found | {id(x) for s in self.steps if isinstance(s, Call) for x in s.options}

    def _add(self, step: Step) -> None:
        step.owner = self._stack[-1] if self._stack else None
        step.phase = self.phase
        # After a backward pass, what is computed without a graph is an update by hand.
        if self._passed and self.phase == "forward" and (isinstance(step, Effect) or not modes.recording):
            step.phase = "update"
        self.steps.append(step)

    def release(self) -> None:
        """Let go of the arrays of the captured run; the program needs none of them."""
        self.values.clear()
        self._alive.clear()
        self._vars.clear()
        self.calls.clear()

    # What the engine reports

    def after_forward(
        self, op: Op, inputs: Sequence[Input], options: Sequence[object], result: Input
    ) -> None:
        """A registered operation ran."""
        operands = [self._operand(self._listed(op, x) if isinstance(x, (list, tuple)) else x) for x in inputs]
        node = result.node if isinstance(result, Value) else None
        kept: list[Any] = []
        if node is not None and op.cached:
            saved = dict(zip(op.saves, node.saved or ()))
            kept = [saved.get(name) for name in op.cached]
        for name, x in zip(op.options, options):
            self.scalars += [part for part in _parts(x) if isinstance(part, np.generic)]
            if name != "key" and any(
                part.ndim == 0 and not isinstance(part, np.generic) for part in _parts(x)
            ):
                self.problem(f"{op.name} reads {name}, a number that is an array,")
        options = tuple(self._option(x) for x in options)
        for x in options:
            if hasattr(x, "momentum"):  # running statistics, which the operation updates
                self.held |= {id(getattr(x, part)) for part in ("mean", "var", "batches")}
        call = Call(operands, [self._result(result)], op=op, options=options)
        call.outputs += [self._result(x) if isinstance(x, np.ndarray) else None for x in kept]
        if node is not None:
            self.calls[node.serial] = call
            self._alive.append(node)
        self._add(call)

    def _listed(self, op: Any, x: Any) -> np.ndarray:
        """The array that an operation makes of a list."""
        array = coerce(op.name, x)
        if self._of_numbers(x, op.name):
            self._constant(array)
        return array

    def _of_numbers(self, x: Any, what: str) -> bool:
        """Whether a list holds numbers only, which guards know; arrays in it would be read in Python."""
        for leaf in leaves_of(x):
            if isinstance(leaf, np.generic):
                self.scalars.append(leaf)
            elif isinstance(leaf, (np.ndarray, Value)):
                self.problem(f"{what} of a list that holds arrays reads values in Python")
                return False
        return True

    def add_value(self, array: np.ndarray, var: Var) -> Any:
        """A copy of the array that the capture knows as the variable: a Tensor, or an array where it holds indices."""
        copy = np.array(array)
        self._vars[id(copy)] = var
        self.values[var.serial] = copy
        self._alive.append(copy)
        return wrap(copy) if var.dtype.kind in "fc" else copy

    def var_of(self, x: Array) -> Var | None:
        """The variable of an array or Tensor, if the capture knows it."""
        return self._vars.get(id(x._data if isinstance(x, Value) else x))

    def _option(self, x: object) -> Any:
        """An option of an operation: an array among them is an operand, so that it is read at every run."""
        if isinstance(x, np.ndarray) and x.dtype != object:
            return self._array(x)
        if isinstance(x, Value):
            return self._operand(x)
        if isinstance(x, tuple) and any(isinstance(part, (np.ndarray, Value)) for part in x):
            return tuple(self._option(part) for part in x)
        return x

    def seeded(self, seed: np.ndarray) -> None:
        """A backward pass will begin with a single one: a constant, although its array is a new one at every run."""
        self._constant(seed)

    def before_backward_pass(self, roots: Sequence[tuple[Node, Array]], tensors: bool) -> None:
        """A backward pass begins. With `tensors` all of it is operations, which are seen one by one."""
        self._tensors = tensors
        self.arrays = tensors  # rules on arrays are seen as a whole, not by what they call
        self._pending = {}
        self._outer, self.phase = self.phase, "backward"
        if not tensors:
            for node, g in roots:
                seed = self._operand(g)
                assert isinstance(seed, Var)
                self._accumulate(node, self._conjugated(seed))

    def _accumulate(self, node: Node, var: Var) -> None:
        have = self._pending.get(node.serial)
        if have is not None:
            total = Var(have.shape, have.dtype)
            self.values[total.serial] = self.values[
                have.serial
            ]  # of the right shape and dtype, if not the sum
            self._add(Call([have, var], [total], op=OPS["add"], options=()))
            var = total
        self._pending[node.serial] = var

    def after_backward(self, node: Node, g: Array, contributions: Sequence[Input]) -> None:
        """The rules of a node ran: on arrays they are one step; on Tensors they were recorded as operations."""
        given = self._pending.pop(node.serial, None)
        watch = node.watch
        if (given is None and not self._tensors) or (watch is not None and (watch.hooks or watch.joint)):
            self.problem(f"a hook of a {'module' if watch is not None and watch.joint else 'Tensor'} ran")
            return
        if self._tensors:
            return
        call = self.calls.get(node.serial)
        if call is None:
            self.problem("backward went through a graph that was recorded before")
            return
        outputs = [None if c is None else self._own(c) for c in contributions]
        self._add(Vjp([given], outputs, call=call))
        for parent, out in zip(node.parents, outputs):
            if out is not None and type(parent) is Node:
                self._accumulate(parent, self._fitted(out, parent))

    def _own(self, c: Input) -> Var:
        """A variable for a contribution; a rule may hand on one array to several inputs, or an input itself."""
        data = c._data if isinstance(c, Value) else np.asarray(c)
        self._alive.append(data)
        var = Var(data.shape, data.dtype)
        self.values[var.serial] = data
        return var

    def _fitted(self, var: Var, parent: Node) -> Var:
        """The contribution summed to the shape, and converted to the dtype, of what it belongs to."""
        if var.shape != parent.shape:
            extra = len(var.shape) - len(parent.shape)
            axes = tuple(range(extra)) + tuple(
                i + extra for i, n in enumerate(parent.shape) if n == 1 and var.shape[i + extra] != 1
            )
            kept = tuple(n for i, n in enumerate(var.shape) if i not in axes)
            summed = Var(kept, var.dtype)
            self._add_call("sum", [var], summed, axis=axes)
            var = summed
            if kept != parent.shape:
                shaped = Var(parent.shape, var.dtype)
                self._add_call("reshape", [var], shaped, shape=parent.shape)
                var = shaped
        if var.dtype.kind == "c" != parent.dtype.kind:  # the gradient of a real value is real
            part = Var(var.shape, np.finfo(var.dtype).dtype)
            self._add_call("real", [var], part)
            var = part
        if var.dtype != parent.dtype:
            cast = Var(var.shape, np.dtype(parent.dtype))
            self._add_call("astype", [var], cast, dtype=parent.dtype)
            var = cast
        return var

    def _conjugated(self, var: Var) -> Var:
        """What the engine has inside of a backward pass of a complex gradient, or the gradient of that."""
        if var.dtype.kind != "c":
            return var
        out = Var(var.shape, var.dtype)
        self._add_call("conj", [var], out)
        return out

    def _add_call(self, name: str, inputs: list[Operand], out: Var, **options: object) -> None:
        op = OPS[name]
        chosen = tuple(options.get(o, op.defaults.get(o)) for o in op.options)
        self.values[out.serial] = np.zeros(out.shape, out.dtype)
        self._add(Call(inputs, [out], op=op, options=chosen))

    def _lasts(self, owner: Tensor) -> bool:
        """Whether a Tensor was there before the step; `.grad` of one that the step makes ends with it."""
        self.bind(owner)
        var, node = self._vars.get(id(owner._data)), owner.node
        made = var is not None and var.source is not owner and node is not None and node.serial < self.start
        return not made

    def with_gradients(self) -> list[Any]:
        """The leaves whose `.grad` the step computes, sets or uses."""
        known = {**self._leaves, **self.cleared, **{i: leaf for i, (leaf, _) in self.given.items()}}
        return [leaf for leaf in known.values() if getattr(leaf, "_grad", None) is not None]

    def lost(self, result: object, given: Set[int]) -> list[str]:
        """What a result has beside its values, which a program does not return."""
        found = []
        for i, x in enumerate(leaves_of(result)):
            if i in given or not isinstance(x, Value):
                continue
            if x.node is not None and x.node.op is None:
                found.append("it returns a Tensor that it has made and that requires grad")
            elif x.node is not None and getattr(x, "_grad", None) is not None:
                found.append("it returns a Tensor that retains its gradient")
        return found

    def assigned(self, owner: Tensor) -> None:
        """A `.grad` was set: the program sets it, too."""
        if id(owner) not in self._leaves and self._lasts(owner):
            self.cleared[id(owner)] = owner

    def looked_at(self, owner: Tensor) -> None:
        """A `.grad` is about to be used."""
        if self._may_have_gradient(owner):
            self._gradient(owner)

    def _may_have_gradient(self, owner: Value) -> bool:
        """Whether a Tensor is a leaf, or a frozen parameter, which may have a gradient from before."""
        if owner.node is not None:
            return owner.node.op is None
        var = self._vars.get(id(owner._data))
        return var is None or var.source is owner

    def received(self, owner: Tensor, before: Tensor | None) -> None:
        """A leaf's gradient is complete and goes to `.grad`, where `before` was."""
        node = owner.node
        assert node is not None and node.watch is not None
        if node.watch.hooks:
            self.problem("a hook of a Tensor ran")
        pending = self._pending.get(node.serial)
        var = self._vars.get(id(owner._grad._data)) if self._tensors else pending
        if var is None:
            self.problem("a gradient was computed outside of the step")
            return
        if not self._tensors:
            var = self._conjugated(var)
        if self._lasts(owner):
            self._state_var(owner)
            if id(owner) not in self._leaves:
                self._leaves[id(owner)] = owner
                self.resets[id(owner)] = before is None
        if before is not None and not self._tensors:
            have = self._vars.get(id(before._data))
            if have is None:  # the gradient that the step before left there
                have = self._incoming(owner, before)
            total = Var(var.shape, var.dtype)
            self._add(Call([have, var], [total], op=OPS["add"], options=()))
            var = total
        array = owner._grad._data
        self._vars[id(array)] = var
        self._alive.append(array)

    def delivered(self, node: Node, g: Array) -> None:
        """A complete gradient goes to the caller of the backward pass."""
        var = self._pending.get(node.serial)
        if var is not None:
            if var.dtype.kind == "c":
                self.problem("it takes a complex gradient with autograd.grad")
            array = g._data if isinstance(g, Value) else g
            self._vars[id(array)] = var
            self._alive.append(array)

    def copied(self, given: Tensor, copy: Tensor) -> None:
        """A gradient was given an array of its own, which holds the same variable."""
        var = self._vars.get(id(given._data))
        if var is not None:
            self._vars[id(copy._data)] = var
            self._alive.append(copy)

    def after_backward_pass(self) -> None:
        """The backward pass ended."""
        self._pending = {}
        self.phase, self.arrays, self._passed = self._outer, True, True

    def effect(
        self,
        function: Callable[..., Any],
        args: tuple[Any, ...],
        result: object,
        changes: Sequence[object],
        gradients: bool,
    ) -> None:
        """A side effect of the package's own ran: an optimizer's step, a clipping of gradients, a moving average."""
        if args and hasattr(args[0], "param_groups"):
            self.optimizers[id(args[0])] = args[0]
            self.guards.add_groups(args[0])
        self.held |= {id(x) for x in args if isinstance(x, np.ndarray)}
        step = Effect([], [], function=function, what=getattr(function, "__qualname__", repr(function)))
        step.args = tuple(self._given(step, x) for x in args)
        if gradients:
            # Frozen ones, too: an optimizer updates what has a gradient.
            outside = {id(p): p for p in _parameters(args) if self._may_have_gradient(p)}
            known = self._leaves | self.cleared
            for leaf in (known | outside).values():
                step.gradients.append((leaf, self._gradient(leaf)))
        for x in changes:
            if isinstance(x, (Value, np.ndarray)):
                operand = self._operand(x)
                assert isinstance(operand, Var)
                step.changes.append(operand)
            else:
                step.objects.append(x)
                self.guards.allow_switch(x)
        for x in result if isinstance(result, tuple) else (result,):
            if isinstance(x, (Value, np.ndarray)):
                step.outputs.append(self._result(x))
        self._add(step)

    def _given(self, step: Effect, x: object) -> object:
        """What stands for an argument of a side effect: a variable for an array or a Tensor, else the object itself."""
        if not isinstance(x, (Value, np.ndarray)):
            return x
        var = self._operand(x)
        assert isinstance(var, Var)
        if var.source is x:  # a Tensor that is there at every run
            return x
        step.inputs.append(var)
        step.wrapped.append(isinstance(x, Value))
        return var

    def checked(
        self, check: Callable[..., object], values: Any, rest: tuple[object, ...], native: bool
    ) -> None:
        """An array was checked; one that is there before a run is checked before each."""
        var = self._vars.get(id(values))
        if var is not None and var.kind == "argument":
            self.checks.append((check, var.source[0], rest, native))
        elif var is not None and (isinstance(var.source, (Value, np.ndarray))):
            self.checks.append((check, var.source, rest, native))

    # Writing by hand: parameters that are updated without an optimizer, and what `.data` is used for

    def handed_out(self, owner: Value, what: str) -> Any:
        """What the user's code gets of `.data` and `.numpy()`, whose use is recorded where that is possible."""
        frame: FrameType | None = sys._getframe(3)  # beyond `modes` and the property
        assert frame is not None
        users = frame_is_users(frame) or frame.f_code is self._function_code
        if not (users and only_computes(frame.f_code, frame.f_globals)):
            self.read(what)
            return owner._data
        var = self._operand(owner)
        if isinstance(var, Var) and var.kind == "argument":
            self._owners[id(owner._data)] = owner
        return Data(owner._data, self, what)

    def known(self, array: np.ndarray) -> np.ndarray:
        """The array, which has a variable from now on."""
        self._array(array)
        return array

    def values_for(self, array: np.ndarray, value: Any) -> np.ndarray | None:
        """What `array[...] = value` writes, as an array that has a variable; None for what cannot be recorded."""
        value = value._data if isinstance(value, Value) else value
        if isinstance(value, (bool, int, float)):
            new = np.full(array.shape, value, array.dtype)
            self._constant(new)
            return new
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "biuf":
            return None
        return value

    def write(self, array: np.ndarray, value: np.ndarray) -> bool:
        """Write all of an array that Tensors are known to hold; False, with nothing done, for another."""
        target = self._vars.get(id(array))
        if target is not None and target.kind == "argument" and id(array) in self._owners:
            self.bind(self._owners[id(array)])
        if target is None or target.kind == "argument" or not array.flags.writeable:
            return False
        if target.kind == "constant" and not isinstance(target.source, Fixed):
            return False
        if target.kind != "state" and array.base is not None:  # others may look at the same memory
            return False
        if target.kind == "state" and isinstance(target.source, Value) and target.source._data is not array:
            return False
        new = self._shaped(value, target)
        array[...] = value
        self._written(array, target, new)
        return True

    def _shaped(self, value: np.ndarray, target: Var) -> Var:
        """A value converted and broadcast to what it is written to."""
        new = self._array(value)
        for name, changed, shape, dtype, options in (
            ("astype", new.dtype != target.dtype, new.shape, target.dtype, {"dtype": target.dtype}),
            ("broadcast_to", new.shape != target.shape, target.shape, target.dtype, {"shape": target.shape}),
        ):
            if changed:
                out = Var(shape, dtype)
                self._add_call(name, [new], out, **options)
                new = out
        return new

    def _written(self, array: np.ndarray, target: Var, new: Var) -> None:
        """The array of a variable holds another value now."""
        if target.kind == "state" and isinstance(target.source, Value):
            self._change(overwrite, target.source, target, new)
            return
        self._vars[id(array)] = new
        self._alive.append(array)
        if target.kind == "state":  # a gradient that was there before
            self.assigned(target.source[0])

    def _change(self, function: Callable[..., None], owner: Value, target: Var, new: Var) -> None:
        step = Effect([new], [], function=function, what=function.__name__, args=(owner, new))
        step.wrapped, step.changes = [True], [target]
        self._add(step)

    def wrote(self, owner: Value, place: object, value: np.ndarray) -> None:
        """Elements of a leaf were overwritten: recorded where it is all of them, and the leaf was there before."""
        self.bind(owner)
        target = self._operand(owner)
        assert isinstance(target, Var)
        if not is_whole(place) or target.kind in ("argument", "constant"):
            self.problem(
                "a part of a Tensor is overwritten" if target.kind == "state" else "a Tensor is overwritten"
            )
            return
        self._written(owner._data, target, self._shaped(value, target))

    def replaced(self, owner: Value, before: np.ndarray, source: object) -> None:
        """A Tensor that was there before holds another array from now on."""
        array, target = owner._data, self._vars.get(id(before))
        if array is before or (target is not None and target.kind in ("result", "constant")):
            return
        if target is not None and target.kind == "argument" and target.source[1]:
            owner._data = before
            self.bind(owner)
            owner._data = array
        if target is None:
            owner._data = before
            target = self._state_var(owner)
            owner._data = array
        if target.kind == "argument" or target.source is not owner or array.shape != before.shape:
            self.problem("a Tensor is given another array")
            return
        self._change(replace, owner, target, self._array(array))

    def _gradient(self, leaf: Tensor) -> Var | None:
        """The variable of a leaf's `.grad`, which may come from outside of the step."""
        g = getattr(leaf, "_grad", None)
        var = None if g is None else self._vars.get(id(g._data))
        known = any(id(leaf) in known for known in (self._leaves, self.cleared, self.given))
        if not known and self._lasts(leaf):
            self.given[id(leaf)] = leaf, g is None
        return self._incoming(leaf, g) if g is not None and var is None else var

    def _incoming(self, leaf: Tensor, g: Tensor) -> Var:
        """The variable of a gradient that was there when the step began."""
        var = Var(g.shape, g.dtype, "state", (leaf, "grad"))
        self.states.append(var)
        self._vars[id(g._data)] = var
        self.values[var.serial] = g._data
        self._alive.append(g)
        return var

    def created(self, result: Value, source: object) -> None:
        """`Tensor(source)` or `asarray(source)` made a Tensor of an array of the user's."""
        if source is None:  # zeros and the like: the same at every run
            self._constant(result._data)
            self._check_numbers()
        elif not isinstance(source, (np.ndarray, Value)):  # numbers and lists, which guards know
            self._of_numbers(source, "a Tensor")
            self._constant(result._data)
        else:
            array, given = result._data, source._data if isinstance(source, Value) else source
            var = self._operand(
                source
            )  # an array that no argument is: read at every run, as it may be written to
            if array is given or not isinstance(var, Var):
                return
            out = Var(array.shape, array.dtype)
            self._vars[id(array)] = out
            self._alive.append((array, source))
            self._add_call("astype", [var], out, dtype=array.dtype)

    def _check_numbers(self) -> None:
        """Sizes, ends and the like of what `arange` and others make may be arguments that are arrays."""
        frame: FrameType | None = sys._getframe(2) if self.raw else None
        while frame is not None and not frame_is_users(frame):
            name = frame.f_code.co_name
            if frame.f_globals.get("__name__") == "tinygrad_dl.creation" and not name.endswith("_like"):
                given = leaves_of(list(frame.f_locals.values()))
                self.scalars += [x for x in given if isinstance(x, np.generic)]
                found = {id(x) for x in given} & self.raw.keys()
                if found:
                    self.problem(f"{name} reads {self.raw[found.pop()]} in Python")
            frame = frame.f_back

    def read(self, what: str) -> None:
        """The user's code read the values of a Tensor."""
        self.problem(f"{what} reads values in Python")

    def problem(self, what: str) -> None:
        """Something that a program cannot repeat, with the user's line."""
        frame: FrameType | None = sys._getframe(1)
        while frame is not None and not frame_is_users(frame):
            frame = frame.f_back
        where = f" ({frame.f_code.co_filename}:{frame.f_lineno})" if frame is not None else ""
        self.problems.append(what + where)

    # The run

    def run(self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        """Call the function and record what happens; its result."""
        self.start = next_serial()
        profile: Any = sys.getprofile()
        collecting = gc.isenabled()
        gc.disable()  # finalizers of other objects are no part of the step
        gc.collect(0)  # so that the youngest objects are those that the step makes: see `_young`
        sys.setprofile(self._profile)
        try:
            with self:
                return function(*args, **kwargs)
        finally:
            if profile is None or callable(profile):
                sys.setprofile(profile)
            else:  # cProfile's, which is no function
                sys.setprofile(None)
                profile.enable()
            if collecting:
                gc.enable()

    def _profile(self, frame: FrameType, event: str, arg: object) -> None:
        if self not in modes.watchers:  # within a side effect, which is repeated as a whole
            return
        code = frame.f_code
        # A module is imported, perhaps by the package's own code: that happens once.
        if code.co_name == "_find_and_load" and code.co_filename.startswith("<frozen importlib"):
            self._importing += {"call": 1, "return": -1}.get(event, 0)
        if self._importing:
            return
        if event == "call":
            module = str(frame.f_globals.get("__name__"))
            outside = code.co_name in OUTSIDE and module.startswith("tinygrad_dl.")
            if outside or (code.co_name == "save" and module == FILES):
                self.problem(f"it calls {code.co_name}")
            if code.co_name == "__call__" and frame.f_globals.get("__name__") == "tinygrad_dl.nn.module":
                self._stack.append(frame.f_locals.get("self"))
            elif frame_is_users(frame) or code is self._function_code:
                self._enter(frame, code)
            elif frame.f_back is not None and frame_is_users(frame.f_back):
                self._foreign(frame)
        elif event == "return":
            if code.co_name == "__call__" and frame.f_globals.get("__name__") == "tinygrad_dl.nn.module":
                self._stack.pop()
            elif frame_is_users(frame) or code is self._function_code:
                self._name_results(frame)
        elif event == "c_call" and frame_is_users(frame):
            self._builtin(frame, arg)

    def _enter(self, frame: FrameType, code: CodeType) -> None:
        """The user's code begins to run: what it can read outside of its arguments becomes guards."""
        if code.co_flags & (0x80 | 0x200):
            self.problems.append(f"{code.co_name} is asynchronous ({code.co_filename}:{code.co_firstlineno})")
        self.guards.add_frame(code, frame.f_globals, self._closure(frame, code))
        if self.raw:
            for name, value in frame.f_locals.items():
                if id(value) not in self.raw:
                    continue
                where = f" ({code.co_filename}:{code.co_firstlineno})"
                if name in elements_read(code):
                    self.problems.append(f"it reads elements of {name} in Python{where}")
                if name in written_in_place(code):
                    self.problems.append(f"it writes to the array {name} in Python{where}")
        for name in code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]:
            value = frame.f_locals.get(name)
            # Objects that last from call to call; others are made again from what is known.
            lasting = name == "self" and "self" in frame.f_locals or hasattr(type(value), "named_parameters")
            if lasting and not self.guards.knows(value) and not self._is_made(value):
                self.guards.add_argument(value, name)

    def _closure(self, frame: FrameType, code: CodeType) -> tuple[Any, ...]:
        """The closure cells of a running function; none of one that the step made, and makes again at every run."""
        if not code.co_freevars:
            return ()
        known = self._closures.get(code, ())
        if _holds(known, frame):
            return known
        outer = frame.f_back
        if code.co_name in COMPREHENSIONS and outer is not None and code in outer.f_code.co_consts:
            return ()
        if any(
            type(x) is FunctionType and x.__code__ is code and _holds(x.__closure__, frame) for x in _young()
        ):
            return ()
        self._closures[code] = known = _cells_of(frame)
        return known

    def _is_made(self, value: object) -> bool:
        """Whether an object was made in the step."""
        if id(value) not in self._made:
            self._made[id(value)] = value, any(x is value for x in _young())
        return self._made[id(value)][1]

    def _name_results(self, frame: FrameType) -> None:
        """What the user's code called its results, for readers of the program."""
        for name, value in list(frame.f_locals.items()):
            if isinstance(value, Value) and name.isidentifier():
                var = self._vars.get(id(value._data))
                if var is not None and var.kind == "result" and not var.name:
                    var.name = name

    def _foreign(self, frame: FrameType) -> None:
        """Code outside of the package and of the user's program was called by the user's code."""
        name = str(frame.f_globals.get("__name__", ""))
        if not name:
            return
        if (
            name.partition(".")[0] in ("tinygrad_dl", "importlib", "_frozen_importlib")
            or name.partition(".")[0] in SILENT_MODULES
        ):
            return
        user = frame.f_back
        assert user is not None
        # The function of NumPy's that looks at the arguments before our own is called, which is recorded.
        if name.partition(".")[0] == "numpy" and any(isinstance(x, Value) for x in _given_to(frame)):
            return
        if name == "numpy.lib.mixins" and any(type(x) is Data for x in frame.f_locals.values()):
            return
        self.problems.append(
            f"it calls {name}.{frame.f_code.co_name} ({user.f_code.co_filename}:{user.f_lineno})"
        )

    def _builtin(self, frame: FrameType, function: object) -> None:
        name = getattr(function, "__name__", "")
        owner = getattr(function, "__self__", None)
        where = f" ({frame.f_code.co_filename}:{frame.f_lineno})"
        if owner is builtins or owner is None or type(owner).__name__ == "module":
            module = getattr(function, "__module__", None) or "builtins"
            if module == "builtins" and name not in PURE:
                self.problems.append(f"it calls {name}{where}")
            elif module not in ("builtins", "math", "_operator", "itertools", "_functools", "_collections"):
                self.problems.append(f"it calls {module}.{name}{where}")
        elif isinstance(owner, (np.ndarray, np.ufunc)):
            self.problems.append(f"NumPy's {name} computes outside of the graph{where}")
        elif isinstance(owner, type):
            if owner.__module__ != "builtins" and not is_users(str(owner.__module__)):
                self.problems.append(f"it calls {owner.__name__}.{name}{where}")
        elif not isinstance(owner, (*SILENT, _Exit)) and not (
            name[:2] == "__" and is_users(type(owner).__module__)
        ):
            self.problems.append(f"it calls {type(owner).__name__}.{name}{where}")


def _parts(x: object) -> tuple[Any, ...]:
    """The arrays, Tensors and NumPy scalars that an option of an operation is, or is made of."""
    parts = x if isinstance(x, tuple) else (x.start, x.stop, x.step) if isinstance(x, slice) else (x,)
    return tuple(part for part in parts if isinstance(part, (np.ndarray, np.generic, Value)))


def _equal(x: np.ndarray, y: np.ndarray) -> bool:
    return x.shape == y.shape and np.array_equal(x, y, equal_nan=x.dtype.kind in "fc")


def _young() -> list[Any]:
    """The objects made since a capture began, those that may refer to others."""
    return gc.get_objects(generation=0)


def overwrite(owner: Value, value: Value) -> None:
    """`owner -= ...` of a leaf, and `owner.data[...] = value`."""
    owner._data[...] = value._data


def replace(owner: Value, value: Value) -> None:
    """`owner.data = value`: whoever holds the array before keeps it."""
    owner._data = value._data.copy()


def _parameters(args: tuple[Any, ...]) -> Iterator[Any]:
    """The Tensors among the arguments of a side effect, those of optimizers and lists included."""
    for x in args:
        if isinstance(x, Value):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from _parameters(tuple(x))
        elif hasattr(x, "param_groups"):
            for group in x.param_groups:
                yield from _parameters(tuple(group["params"]))


def _given_to(frame: FrameType) -> list[Any]:
    """The arguments of a function of NumPy's that dispatches by their types, also those in lists."""
    code = frame.f_code
    dispatches = (
        code.co_name.endswith("_dispatcher") or frame.f_globals.get("__name__") == "numpy._core.multiarray"
    )
    return leaves_of(list(frame.f_locals.values())) if dispatches else []


def _cells_of(frame: FrameType) -> tuple[Any, ...]:
    """The closure cells of a running function, found through the function object where that is possible."""
    code = frame.f_code
    for holder in gc.get_referrers(code):
        closure = getattr(holder, "__closure__", None)
        if getattr(holder, "__code__", None) is code and closure and _holds(closure, frame):
            return tuple(closure)
    return ()


def _holds(closure: Sequence[Any] | None, frame: FrameType) -> bool:
    """Whether these closure cells hold what the running function has."""
    if closure is None:
        return False
    names, values = frame.f_code.co_freevars, frame.f_locals
    try:
        return len(closure) == len(names) and all(
            name not in values or cell.cell_contents is values[name] for name, cell in zip(names, closure)
        )
    except ValueError:  # not yet assigned
        return False


def fixed(var: Var) -> np.ndarray:
    """The array of a constant."""
    return var.source.array if isinstance(var.source, Fixed) else var.source


def leaves_of(tree: object) -> list[Any]:
    """The leaves of nested lists, tuples and dicts."""
    return [leaf for _, leaf in pytree.leaves(tree)]


def finish(capture: Capture, result: object, given: Set[int]) -> Program:
    """The program of a finished capture; `given`: numbers of the results that were there before."""
    paths = {id(m): (path, type(m).__name__) for root in capture.roots() for path, m in root.named_modules()}
    for step in capture.steps:
        path, kind = paths.get(
            id(step.owner), ("", type(step.owner).__name__ if step.owner is not None else "")
        )
        step.module = f"{path}: {kind}" if path else kind
        step.owner = None
    leaves = leaves_of(result)
    results = [
        None if i in given else capture._operand(leaf) if isinstance(leaf, (Value, np.ndarray)) else leaf
        for i, leaf in enumerate(leaves)
    ]
    capture.shown = [
        capture.var_of(leaves[i]) or Var(leaves[i].shape, leaves[i].dtype) if i in given else x
        for i, x in enumerate(results)
    ]
    gradients = []
    for leaf in (capture._leaves | capture.cleared).values():
        g = getattr(leaf, "_grad", None)
        gradients.append((leaf, None if g is None else capture.var_of(g) or capture._array(g._data)))
    capture.results = results
    constants = [var for _, var in capture.unknown]
    return Program(capture.arguments, capture.states, constants, capture.steps, results, gradients)
