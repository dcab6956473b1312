"""An optimizer's step as primitives, recorded by running its own `update` on arrays that record what is done to them.

The numbers of an update (learning rate, bias corrections, ...) are inputs of the program. Before each run the same
`update` is called again on arrays that compute nothing, only to yield its numbers; so schedules, and whatever a user
does to an option, count at the next step without a new program.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from math import isfinite
from operator import is_
from typing import TYPE_CHECKING, Any, NoReturn, SupportsFloat, TypeAlias, TypeGuard, Union

import numpy as np

from tinygrad_dl.compiler.lower import COMPARE, Builder
from tinygrad_dl.compiler.program import ELEMENTWISE, NotLowered, Number, Operand, Var
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.typing import NDArray, Shape

if TYPE_CHECKING:
    from tinygrad_dl.optim.optimizer import Optimizer
    from tinygrad_dl.optim.typing import Group
    from tinygrad_dl.tensor import Tensor

# NumPy's names of ufuncs that are primitives under another name.
NAMES = {"absolute": "abs", "true_divide": "divide"}


#: What an update computes with: numbers, arrays of one number, and traced arrays.
Term: TypeAlias = Union["Traced", float, np.floating, np.integer, NDArray]


class Changed(Exception):
    """An update computes something else than when it was recorded: the program has to be made again."""


class Shared(Changed):
    """An argument lies in the memory of a state that the program writes: what it reads changes during the run."""


class Traced:
    """An array in an update: operators and ufuncs on it are handed to `apply(kind, inputs, out)`."""

    __slots__ = ("apply", "dtype", "operand", "shape")
    __array_priority__ = 1000

    def __init__(
        self,
        apply: Callable[[str, Sequence[Term], Traced | None], Traced],
        operand: Operand,
        shape: Shape,
        dtype: np.dtype[Any],
    ) -> None:
        self.apply, self.operand, self.shape, self.dtype = apply, operand, shape, dtype

    @property
    def size(self) -> int:
        return int(np.prod(self.shape, dtype=int))

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __array_ufunc__(
        self,
        ufunc: np.ufunc,
        method: str,
        *inputs: Term,
        out: tuple[Traced, ...] | None = None,
        where: Traced | None = None,
        **kwargs: object,
    ) -> Traced:
        if method != "__call__" or kwargs or (where is not None and out is None):
            raise NotLowered(f"{ufunc.__name__}.{method}")
        name = str(ufunc.__name__)
        kind, target = NAMES.get(name, name), None if out is None else out[0]
        if where is None:
            return self.apply(kind, inputs, target)
        assert target is not None
        return self.apply("where", (where, self.apply(kind, inputs, None), target), target)

    def __array_function__(
        self,
        function: Callable[..., Any],
        types: Iterable[type],
        args: Sequence[Any],
        kwargs: Mapping[str, Any],
    ) -> Traced:
        if function is not np.clip or len(args) != 3 or kwargs.keys() - {"out"}:
            raise NotLowered(function.__name__)
        x, low, high = args
        return self.apply("minimum", (self.apply("maximum", (x, low), None), high), kwargs.get("out"))

    def __array__(self, *args: object, **kwargs: object) -> NoReturn:
        raise NotLowered("an array")

    def __add__(self, x: Term) -> Traced:
        return self.apply("add", (self, x), None)

    def __radd__(self, x: float) -> Traced:
        return self.apply("add", (x, self), None)

    def __sub__(self, x: Term) -> Traced:
        return self.apply("subtract", (self, x), None)

    def __rsub__(self, x: float) -> Traced:
        return self.apply("subtract", (x, self), None)

    def __mul__(self, x: Term) -> Traced:
        return self.apply("multiply", (self, x), None)

    def __rmul__(self, x: float) -> Traced:
        return self.apply("multiply", (x, self), None)

    def __truediv__(self, x: Term) -> Traced:
        return self.apply("divide", (self, x), None)

    def __rtruediv__(self, x: float) -> Traced:
        return self.apply("divide", (x, self), None)

    def __neg__(self) -> Traced:
        return self.apply("negative", (self,), None)

    def __abs__(self) -> Traced:
        return self.apply("abs", (self,), None)

    def __iadd__(self, x: Term) -> Traced:
        return self.apply("add", (self, x), self)

    def __isub__(self, x: Term) -> Traced:
        return self.apply("subtract", (self, x), self)

    def __imul__(self, x: Term) -> Traced:
        return self.apply("multiply", (self, x), self)

    def __itruediv__(self, x: Term) -> Traced:
        return self.apply("divide", (self, x), self)

    def __setitem__(self, key: object, value: Term) -> None:
        if isinstance(key, Traced):  # a mask
            self.apply("where", (key, value, self), self)
        elif key is Ellipsis:
            self.apply("positive", (value,), self)
        else:
            raise NotLowered("an assignment to a part")

    def __lt__(self, x: Term) -> Traced:  # type: ignore[misc]
        return self.apply("less", (self, x), None)

    def __gt__(self, x: Term) -> Traced:  # type: ignore[misc]
        return self.apply("greater", (self, x), None)

    def __getattr__(self, name: str) -> Any:
        raise NotLowered(name)


#: What an option of an optimizer's may be for its value to be compared from step to step.
OPTIONS = (bool, int, float, str, type(None), tuple)


class Counted(dict):
    """A parameter's state that notes whether the count of steps was read, on which numbers then may depend."""

    counted = False

    def __getitem__(self, key: str) -> Any:
        if key == "step":
            self.counted = True
        return super().__getitem__(key)

    def get(self, key: str, default: object = None) -> Any:
        return self[key] if key in self else default

    def _all(self) -> Any:
        self.counted = True
        return self

    def items(self) -> Any:
        return dict.items(self._all())

    def values(self) -> Any:
        return dict.values(self._all())

    def __iter__(self) -> Any:
        return dict.__iter__(self._all())


def _is_number(x: object) -> TypeGuard[SupportsFloat]:
    return isinstance(x, (bool, int, float, np.floating, np.integer)) or (
        isinstance(x, np.ndarray) and x.ndim == 0
    )


class Symbol:
    """A number that is not known yet, such as the count of steps: arithmetic with it gives the text of a formula."""

    __slots__ = ("text",)
    __array_ufunc__ = None

    def __init__(self, text: str) -> None:
        self.text = text

    @staticmethod
    def text_of(x: Any) -> str:
        """A symbol, or a number, in a formula."""
        if isinstance(x, Symbol):
            return x.text
        if not _is_number(x) or not isfinite(x):
            raise NotLowered("a number without a text")
        return repr(x if isinstance(x, int) else float(x))

    def _with(self, sign: str, x: Any, turned: bool = False) -> Any:
        if isinstance(x, Traced):
            return NotImplemented
        left, right = (x, self) if turned else (self, x)
        return Symbol(f"({self.text_of(left)} {sign} {self.text_of(right)})")

    def __add__(self, x: Any) -> Any:
        return self._with("+", x)

    def __radd__(self, x: Any) -> Any:
        return self._with("+", x, True)

    def __sub__(self, x: Any) -> Any:
        return self._with("-", x)

    def __rsub__(self, x: Any) -> Any:
        return self._with("-", x, True)

    def __mul__(self, x: Any) -> Any:
        return self._with("*", x)

    def __rmul__(self, x: Any) -> Any:
        return self._with("*", x, True)

    def __truediv__(self, x: Any) -> Any:
        return self._with("/", x)

    def __rtruediv__(self, x: Any) -> Any:
        return self._with("/", x, True)

    def __pow__(self, x: Any) -> Any:
        return self._with("**", x)

    def __rpow__(self, x: Any) -> Any:
        return self._with("**", x, True)

    def __neg__(self) -> Any:
        return Symbol(f"(-{self.text})")

    def __bool__(self) -> bool:
        raise NotLowered("a decision that depends on the count of steps")

    def __eq__(self, x: object) -> bool:
        raise NotLowered("a decision that depends on the count of steps")

    __hash__ = None  # type: ignore[assignment]


class Update:
    """The step of one optimizer: `record` makes its primitives, `numbers` yields the numbers of the next run."""

    def __init__(self, optimizer: Optimizer, first: int) -> None:
        self.optimizer, self.first = optimizer, first
        # parameter, group, first number, one past the last
        self.parameters: list[tuple[Tensor, Group, int, int]] = []
        # If the numbers follow from the options alone: groups and options, the states whose steps count, the numbers.
        self._known: list[tuple[Any, list[Any]]] | None = None
        self._counted: list[
            tuple[dict[str, Any], dict[str, Any]]
        ] = []  # states, and their numbers after the run
        self._states: list[dict[str, Any]] = []
        self._found: list[float] = []
        self._valid: list[Any] = []  # options that were found valid
        # The numbers as a function of the count of steps, if they are; for the options in `_known`.
        self._formula: Callable[[Any], list[float]] | None = None
        self._options: list[list[Any]] = []  # of the run before
        self._numbers: list[float] = []
        self._trail: list[str] = []
        self._trails: list[list[str]] = []

    @property
    def counted(self) -> bool:
        """Whether the numbers depend on how many steps were made."""
        for (p, group, *_), trail in zip(self.parameters, self._trails):
            state = self.optimizer.state[p]
            plain = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
            self._harvest(p, group, state, plain | {"step": plain["step"] + 1}, trail)
            if self._twin.counted or len(plain) > 1:
                return True
        return False

    def __len__(self) -> int:
        return len(self._numbers)

    def record(self, b: Builder, gradients: dict[int, Var], state_of: Callable[..., Var]) -> None:
        """Make the primitives of every parameter that has a gradient; raises NotLowered where they cannot be made."""
        self._builder = b
        b.phase = "update"
        for group in self.optimizer.param_groups:
            for p in group["params"]:
                g = gradients.get(id(p))
                if g is not None:
                    self._record(b, p, g, group, state_of)
        del self._builder
        self.at_capture = tuple(self._numbers)

    def _record(
        self, b: Builder, p: Tensor, g: Var, group: dict[str, Any], state_of: Callable[..., Var]
    ) -> None:
        state = self.optimizer.state.get(p)
        if not state:
            raise NotLowered("the optimizer has no state of a parameter yet")
        if p.dtype.kind == "c":
            raise NotLowered("a complex parameter is updated as pairs of real numbers")
        first = len(self._numbers)
        self._trail = []
        shape, dtype = p._data.shape, p._data.dtype
        variables = {"": state_of(p, "")}
        for key, value in state.items():
            if isinstance(value, np.ndarray):
                if value.shape != shape or value.dtype != dtype or not value.flags.c_contiguous:
                    raise NotLowered(key)
                variables[key] = state_of(p, key)
        traced = {key: Traced(self._make, var, shape, dtype) for key, var in variables.items()}
        twin: dict[str, Any] = {key: traced.get(key, value) for key, value in state.items()}
        work = tuple(Traced(self._make, 0.0, shape, dtype) for _ in range(self.optimizer.workspace_arrays))
        twin["step"] += 1  # the one that eager counted before is the one after for the next
        update: Callable[..., None] = self.optimizer.update
        try:
            update(traced[""], Traced(self._make, g, shape, dtype), twin, group, work)
        except (
            TypeError,
            AttributeError,
            ValueError,
            LookupError,
        ) as error:  # such as a comparison of arrays
            raise NotLowered(f"{type(self.optimizer).__name__}: {error}") from error
        for key, var in variables.items():
            new = traced[key].operand
            if new is not var:
                b.assign(var, new)
        self.parameters.append((p, group, first, len(self._numbers)))
        self._trails.append(self._trail)

    def _make(self, kind: str, inputs: Sequence[Term], out: Traced | None) -> Traced:
        """One operation of an update, recorded as a primitive."""
        if kind not in ELEMENTWISE:
            raise NotLowered(kind)
        operands: list[Operand] = []
        for x in inputs:
            if isinstance(x, Traced):
                operands.append(x.operand)
            elif _is_number(x):
                operands.append(Number(self.first + len(self._numbers), float(x)))
                self._numbers.append(float(x))
            else:
                raise NotLowered(kind)
        some = next(x for x in (out, *inputs) if isinstance(x, Traced))
        self._trail.append(kind)
        var = self._builder.elementwise(kind, *operands, dtype=bool if kind in COMPARE else some.dtype)
        if out is None:
            return Traced(self._make, var, some.shape, var.dtype)
        out.operand = var
        return out

    # Before a run

    def numbers(self) -> list[float]:
        """The numbers of the next run, which `count` then counts. Raises Changed for another update.

        The list is the same object as long as nothing that the update reads has changed.
        """
        known = self._known
        if known is not None and [[*group.values()] for group, _ in known] == [values for _, values in known]:
            states = self.optimizer.state
            if all(states.get(p) is state for (p, *_), state in zip(self.parameters, self._states)):
                if self._formula is None:
                    return self._found
                count = self._states[0]["step"]
                if all(
                    state["step"] == count and len(state) == n for state, n in zip(self._states, self._sizes)
                ):
                    return self._formula(count + 1)
        self._known = self._formula = None
        self._validate()
        return self._harvested()

    def count(self) -> None:
        """The run has been made: its steps are counted, and other numbers of the states are those after it."""
        if self._known is None:
            for state, numbers in self._counted:
                state.update(numbers)
            self._counted = []
        else:
            for state in self._states:
                state["step"] += 1
        self.optimizer.stepped = True

    def _validate(self) -> None:
        """Options that are not those of the run before are validated, as the optimizer does."""
        groups = self.optimizer.param_groups
        values = [value for group in groups for value in group.values()]
        if len(values) == len(self._valid) and all(map(is_, values, self._valid)):
            return
        for group in groups:
            try:
                self.optimizer._validate(group)
            except TinygradError as error:  # eager raises it
                raise Changed from error
        self._valid = values

    def _harvested(self) -> list[float]:
        found: list[float] = []
        fixed = True  # whether the numbers follow from the options alone
        done: dict[Any, tuple[list[float], dict[str, Any]]] = {}
        self._counted = counted = []
        for (p, group, first, last), trail in zip(self.parameters, self._trails):
            state = self.optimizer.state.get(p)
            if state is None or "step" not in state:  # the user has cleared it
                raise Changed
            plain = {k: v for k, v in state.items() if not isinstance(v, np.ndarray)}
            key = (id(group), last - first, *plain.values())
            have = done.get(key)
            if have is None:
                plain["step"] += 1
                have = done[key] = self._harvest(p, group, state, plain, trail)
                fixed = fixed and len(plain) == 1 and not self._twin.counted
            if len(have[0]) != last - first:
                raise Changed
            found += have[0]
            counted.append((state, have[1]))
        groups = list(self.optimizer.param_groups)
        if not all(isinstance(v, OPTIONS) for g in groups for k, v in g.items() if k != "params"):
            return found
        options = [[*group.values()] for group in groups]
        if (
            not fixed and options == self._options
        ):  # not a schedule, for whose numbers a formula is made too often
            self._formula = self._make_formula()
        self._options = options
        if fixed or self._formula is not None:
            self._known = list(zip(groups, options))
            self._states = [state for state, _ in counted]
            self._sizes = list(map(len, self._states))
            self._found = found
        return found

    def _make_formula(self) -> Callable[[Any], list[float]] | None:
        """The numbers of all parameters as a function of their count of steps, where that is their only number."""
        lines: dict[Any, str] = {}
        names = []
        if len({self.optimizer.state[p]["step"] for p, *_ in self.parameters}) != 1:
            return None
        for (p, group, first, last), trail in zip(self.parameters, self._trails):
            state = self.optimizer.state[p]
            if [k for k, v in state.items() if not isinstance(v, np.ndarray)] != ["step"]:
                return None
            key = (id(group), last - first)
            if key not in lines:
                try:
                    numbers, after = self._harvest(
                        p, group, state, {"step": Symbol("t")}, trail, Symbol.text_of
                    )
                except (Changed, NotLowered):
                    return None
                if after.keys() != {"step"} or getattr(after["step"], "text", "") != "t":
                    return None
                lines[key] = f"n{len(lines)} = ({''.join(f'float({text}), ' for text in numbers)})"
            names.append(f"*n{list(lines).index(key)}")
        space: dict[str, Any] = {}
        body = "".join(f"    {line}\n" for line in lines.values())
        source = f"def formula(t):\n{body}    return [{', '.join(names)}]\n"
        exec(compile(source, "<tinygrad_dl numbers>", "exec"), space)
        formula: Callable[[Any], list[float]] = space["formula"]
        return formula

    def _harvest(
        self,
        p: Tensor,
        group: Group,
        state: dict[str, Any],
        plain: dict[str, Any],
        trail: list[str],
        kind_of: Callable[[Any], Any] = float,
    ) -> tuple[list[Any], dict[str, Any]]:
        """The numbers of one parameter's update, and what it makes of the numbers in its state."""
        numbers: list[Any] = []
        kinds: list[str] = []

        def note(kind: str, inputs: Sequence[Term], out: Traced | None) -> Traced:
            kinds.append(kind)
            for x in inputs:
                if not isinstance(x, Traced):
                    numbers.append(kind_of(x))
            return idle if out is None else out

        idle = Traced(note, None, p._data.shape, p._data.dtype)
        self._twin = twin = Counted((key, plain.get(key, idle)) for key in state)
        update: Callable[..., None] = self.optimizer.update
        try:
            update(idle, idle, twin, group, (idle,) * self.optimizer.workspace_arrays)
        except (NotLowered, TypeError, AttributeError, ValueError, LookupError) as error:
            raise Changed from error
        if kinds != trail:
            raise Changed
        return numbers, {key: value for key, value in dict.items(twin) if value is not idle}
