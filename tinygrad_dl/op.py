"""Operations: the decorator `op`, which makes one block of code a differentiable operation, and the registry OPS."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from types import CodeType
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, TypeAlias, overload

import numpy as np

from tinygrad_dl import codegen
from tinygrad_dl.batching import BatchRule
from tinygrad_dl.batching import elementwise as align
from tinygrad_dl.convert import attach, describe
from tinygrad_dl.dispatch import explain, in_float32, is_half
from tinygrad_dl.errors import DTypeError, GraphError, ValueRangeError
from tinygrad_dl.graph import Node, shape_of
from tinygrad_dl.typing import Array, NDArray, Shape

if TYPE_CHECKING:
    from tinygrad_dl.signatures import DefineBinary, DefineSeveral, DefineUnary, DefineVariadic

Rule: TypeAlias = Callable[..., Any]


# What an operation declares beside its rules


class Domain:
    """Where the inputs of an operation may lie: what tests draw, and what the table of operations shows.

    Values in [low, high]; at least `gap` away from each value in `avoid` (kinks, poles); `distinct` values at
    least `gap` apart (sorting, maxima); `make` turns a drawn array into a valid one (a positive definite matrix).
    """

    def __init__(
        self,
        low: float = -2.0,
        high: float = 2.0,
        avoid: Sequence[float] = (),
        gap: float = 0.1,
        distinct: bool = False,
        make: Callable[[NDArray], NDArray] | None = None,
    ) -> None:
        self.low, self.high, self.avoid, self.gap = low, high, tuple(avoid), gap
        self.distinct, self.make = distinct, make

    def sample(self, rng: np.random.Generator, shape: Shape) -> NDArray:
        """A float64 array of the given shape that lies in the domain."""
        if self.distinct:
            size = int(np.prod(shape))
            x = rng.permutation(np.linspace(self.low, self.high, max(size, 2)))[:size].reshape(shape)
        else:
            x = rng.uniform(self.low, self.high, shape)
        for point in self.avoid:
            below, above = point - self.gap, point + self.gap
            # Past an end of the domain there is no room on that side.
            side = np.where((x < point) & (below >= self.low) | (above > self.high), below, above)
            x = np.where(abs(x - point) < self.gap, side, x)
        return x if self.make is None else self.make(x)

    def __repr__(self) -> str:
        text = f"[{self.low:g}, {self.high:g}]"
        return text + (f" without {', '.join(f'{p:g}' for p in self.avoid)}" if self.avoid else "")


class Case:
    """One sample call: one entry per input (a shape to draw, or an array or number as it is), and the options."""

    def __init__(self, *inputs: Any, **options: object) -> None:
        self.inputs, self.options = inputs, options

    def __repr__(self) -> str:
        shown = [repr(i) for i in self.inputs] + [f"{k}={v!r}" for k, v in self.options.items()]
        return f"Case({', '.join(shown)})"


class Missing:
    """In the place of a rule: the derivative is not implemented, so asking for it is an error, never a zero."""

    def __init__(self, reason: str) -> None:
        self.reason = reason


# Rules of forward mode that are another rule of the operation
LINEAR = "linear"
SYMMETRIC = "symmetric"
TRANSPOSED = "transposed"


class Joint(NamedTuple):
    """A rule of forward mode for all inputs at once, as `jvp=`: it names `ts`, the changes of all, None for none.

    `rule` is made of operations; `fast` is for arrays, and may name what the forward cached. `with_result`: the result
    and its change together from the arrays of the inputs, `ts` and the options, where that saves a decomposition.
    """

    rule: Rule
    fast: Rule
    with_result: Rule | None = None


# The operation


class Op:
    """One operation: its forward function on arrays, its derivative rules, and what tests and pages need to know.

    `forward` is the plain forward, the text to read and the tests' oracle; `run` is what a call computes with: the
    kernel where there is one. `inputs` and `options` are the names of its parameters; `saves` the names of the values
    that a node keeps for the rules; `rule_arguments` what each rule names, `fast_arguments` what each fast one does.
    """

    def __init__(
        self, forward: Callable[..., Any], rules: tuple[Rule | Missing | None, ...], **about: Any
    ) -> None:
        code = forward.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self.name: str = about.pop("name") or forward.__name__
        self.forward = forward
        self.kernel: Callable[..., Any] | None = about.pop("kernel")
        self.run = self.kernel or forward
        self.joint: bool = about.pop("joint")
        self.variadic: bool = about.pop("variadic")
        self.cached: tuple[str, ...] = about.pop("cached")
        count = about.pop("inputs") or len(rules)
        check_signature(self.name, code, count, len(rules))
        self.inputs = names[:count]
        self.options = names[len(self.inputs) :]
        self.positional, self.posonly = code.co_argcount, code.co_posonlyargcount
        defaults = forward.__defaults__ or ()
        given = zip(names[code.co_argcount - len(defaults) :], defaults)
        self.defaults: dict[str, Any] = {**dict(given), **(forward.__kwdefaults__ or {})}
        self.rules: tuple[Any, ...] = rules
        self.fast: tuple[Any, ...] | None = about.pop("fast")
        self.missing = [i for i, rule in enumerate(rules) if isinstance(rule, Missing)]
        self.differentiable = any(rule is not None for rule in rules)
        self.domain = about.pop("domain") or Domain()
        self.cases: tuple[Case, ...] = tuple(about.pop("cases"))
        self.kinks: str = about.pop("kinks")
        self.label: str = about.pop("label") or self.name
        self.hint: Callable[..., str | None] | None = about.pop("hint")
        self.ufunc: np.ufunc | None = about.pop("ufunc")
        self.accumulates: bool = about.pop("accumulates")
        one_by_one = self.ufunc is not None and self.ufunc.signature is None
        self.elementwise: bool = about.pop("elementwise") or one_by_one
        self.batch: BatchRule | None = about.pop("batch") or (align if self.elementwise else None)
        self.jvp: Any = about.pop("jvp") or (SYMMETRIC if self.elementwise else None)
        self.real: bool = about.pop("real")
        self.math: tuple[str, ...] = tuple(about.pop("math"))
        # Without a kernel the forward itself returns what is cached, and every rule may name it.
        cached = () if self.kernel else self.cached
        self.rule_arguments = [self._arguments_of(rule, cached) for rule in rules]
        self.fast_arguments = (
            self.rule_arguments
            if self.fast is None
            else [self._arguments_of(rule, self.cached) for rule in self.fast]
        )
        named = {name for names in (*self.rule_arguments, *self.fast_arguments) for name in names}
        self.saves = tuple(name for name in (*self.inputs, "out", *self.cached) if name in named)
        self.function: Any = None

    def _arguments_of(self, rule: Rule | Missing | None, cached: tuple[str, ...]) -> tuple[str, ...]:
        """The names of a rule's parameters; ValueRangeError for one that is unknown."""
        if rule is None or isinstance(rule, Missing):
            return ()
        names = rule.__code__.co_varnames[: rule.__code__.co_argcount]
        known = {"g", "out", "needs_input_grad", *self.inputs, *self.options, *cached}
        known |= {f"{name}_{what}" for name in self.inputs for what in ("shape", "dtype")}
        if self.variadic:
            known |= {"i", "shapes"}
        for name in names:
            if name not in known:
                raise ValueRangeError(
                    f"@op {self.name}: a rule names `{name}`; it may name {', '.join(sorted(known))}"
                )
        return tuple(names)

    @cached_property
    def jvp_arguments(self) -> list[tuple[str, ...]]:
        """What each rule of forward mode names; ValueRangeError for what the input's other rule does not save."""
        found, of_all = [], isinstance(self.jvp, Joint)
        for i, rule in enumerate(self.jvp[:2] if of_all else self.jvp if isinstance(self.jvp, tuple) else ()):
            names = () if rule is None else rule.__code__.co_varnames[: rule.__code__.co_argcount]
            at = slice(None) if of_all else slice(1) if self.joint or self.variadic else slice(i, i + 1)
            known = {"ts" if of_all else "t", "i", *self.options}
            known.update(*self.rule_arguments[at], *self.fast_arguments[at])
            known |= {f"{name}_{what}" for name in self.inputs for what in ("shape", "dtype")}
            for name in names:
                if name not in known:
                    raise ValueRangeError(
                        f"@op {self.name}: a rule of jvp= names `{name}`; it may name {', '.join(sorted(known))}"
                    )
            found.append(tuple(names))
        return found

    def users_of(self, name: str) -> list[str]:
        """The inputs whose rule, plain or fast, names the value."""
        if self.joint:
            return list(self.inputs)
        arguments = zip(self.inputs, self.rule_arguments, self.fast_arguments)
        return [x for x, plain, fast in arguments if name in plain or name in fast]

    def arguments(self, inputs: Sequence[Any], options: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call as a list of the positional ones and a dict of the others."""
        values = [*inputs, *options]
        names = (*self.inputs, *self.options)
        return values[: self.positional], dict(zip(names[self.positional :], values[self.positional :]))

    def compute(self, inputs: Sequence[Any], options: Sequence[Any]) -> Any:
        """The result on arrays, its errors explained; without the values cached for the rules."""
        args, kwargs = self.arguments(inputs, options)
        try:
            half = self.accumulates and is_half(inputs[0])
            out = in_float32(self, inputs, options) if half else self.run(*args, **kwargs)
        except Exception as error:
            explain(self, inputs, options, error)
        return out[0] if self.cached else out

    # The vector-Jacobian products are generated at their first use: an import should not pay for what does not run.

    @cached_property
    def vjp(self) -> Callable[[Node, Any], Sequence[Any]]:
        """vjp(node, g): what of the gradient `g` of a node's result reaches each of its parents, as arrays."""
        if self.variadic:
            return lambda node, g: self._vjp_variadic(node, g, None, False)
        return codegen.build_vjp(self, recording=False, selective=False)

    @cached_property
    def vjp_recording(self) -> Callable[[Node, Any], Sequence[Any]]:
        """The same on Tensors, by the plain rules: the gradient is recorded."""
        if self.variadic:
            return lambda node, g: self._vjp_variadic(node, g, None, True)
        return codegen.build_vjp(self, recording=True, selective=False)

    @cached_property
    def vjp_needed(self) -> Callable[[Node, Any, dict[int, Any], bool], Sequence[Any]]:
        """vjp_needed(node, g, needed, recording): the same for the parents whose serial is in `needed` only."""
        if self.variadic:
            return self._vjp_variadic
        on_arrays = codegen.build_vjp(self, recording=False, selective=True)
        on_tensors = codegen.build_vjp(self, recording=True, selective=True)
        return lambda node, g, needed, recording: (on_tensors if recording else on_arrays)(node, g, needed)

    def _vjp_variadic(
        self, node: Node, g: Array, needed: dict[int, Any] | None, recording: bool
    ) -> tuple[Any, ...]:
        known: dict[str, Any] = dict(
            zip(self.options, node.options), g=g, shapes=tuple(shape_of(p) for p in node.parents)
        )
        if node.saved:
            (arrays,) = node.saved
            known[self.inputs[0]] = tuple(map(attach, arrays, node.parents)) if recording else arrays
        (rule,), (names,) = self.rules, self.rule_arguments
        return tuple(
            rule(*[i if name == "i" else known[name] for name in names])
            if type(parent) is Node and (needed is None or parent.serial in needed)
            else None
            for i, parent in enumerate(node.parents)
        )

    def missing_rule(self, i: int) -> GraphError:
        """The error for asking for the derivative with respect to input `i`, which has no rule."""
        return GraphError(
            f"{self.name}: no derivative with respect to {self.inputs[i]}: {self.rules[i].reason}. "
            "Call .detach() on it if no gradient should flow."
        )

    def __repr__(self) -> str:
        return f"<Op {self.name}>"


def check_signature(name: str, code: CodeType, inputs: int, rules: int) -> None:
    """Raise ValueRangeError for a definition whose parameters and rules do not go together."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if not rules:
        raise ValueRangeError(
            f"@op {name}: expected at least one rule, one per input, got none. "
            "Give None for an input without a derivative."
        )
    has_args, has_kwargs = code.co_flags & 0x04, code.co_flags & 0x08
    if has_args or has_kwargs:
        starred = ("*" if has_args else "**") + code.co_varnames[len(names)]
        raise ValueRangeError(
            f"@op {name}: an operation cannot take {starred}. "
            "Name each parameter, or use variadic=True for a sequence."
        )
    if inputs > code.co_argcount or (rules > 1 and rules != inputs):
        raise ValueRangeError(
            f"@op {name}: expected one rule per input, got {rules} rules for the parameters "
            f"{', '.join(names) or 'none'}"
        )


OPS: dict[str, Op] = {}


@overload
def op(
    rule: Rule | Missing | None,
    /,
    *,
    inputs: Literal[1] | None = None,
    joint: Literal[False] = False,
    variadic: Literal[False] = False,
    **about: Any,
) -> DefineUnary: ...
@overload
def op(
    rule_of_x: Rule | Missing | None,
    rule_of_y: Rule | Missing | None,
    /,
    *,
    inputs: Literal[2] | None = None,
    joint: Literal[False] = False,
    variadic: Literal[False] = False,
    **about: Any,
) -> DefineBinary: ...
@overload
def op(rule: Rule | Missing | None, /, *, variadic: Literal[True], **about: Any) -> DefineVariadic: ...
@overload
def op(*rules: Rule | Missing | None, **about: Any) -> DefineSeveral: ...
def op(  # type: ignore[misc]  # the overloads look at what decides the type and take the rest as it comes
    *rules: Rule | Missing | None,
    name: str | None = None,
    inputs: int | None = None,
    joint: bool = False,
    variadic: bool = False,
    cached: tuple[str, ...] = (),
    kernel: Callable[..., Any] | None = None,
    fast: tuple[Rule | None, ...] | None = None,
    domain: Domain | tuple[Domain, ...] | None = None,
    cases: Sequence[Case] = (),
    kinks: str = "",
    label: str | None = None,
    hint: Callable[..., str | None] | None = None,
    ufunc: np.ufunc | None = None,
    accumulates: bool = False,
    elementwise: bool = False,
    batch: BatchRule | None = None,
    jvp: Literal["linear", "symmetric", "transposed"] | tuple[Rule | None, ...] | Joint | None = None,
    real: bool = False,
    math: Sequence[str] = (),
    listed: bool = True,
) -> Any:
    """Make a function on arrays a differentiable operation: given Tensors it records, given arrays it computes.

    One rule per input, in order: what reaches that input of the gradient `g` of the result. A rule names what it
    requires: `g`, `out`, an input, `<input>_shape`, `<input>_dtype`, an option, a value in `cached` (which the forward
    returns after its result). None: not differentiable. `joint`: one rule gives a tuple for all `inputs`.
    `kernel`: a faster forward, which runs in place of the plain one and returns the `cached` values after its result.
    `fast`: rules for arrays only, beside the plain ones. `accumulates`: float16 is computed in float32.
    `real`: complex values have no derivative. `elementwise`: each element of the result depends on one of each input.
    `batch`: the rule under func.vmap (see batching.py). `jvp`: the rules of forward mode, one per input, which give the
    change of the result from `t`, that of the input, or a Joint one of all; "linear" where it is the operation itself,
    "symmetric" where it is the input's other rule; without it that rule is transposed. `math`: LaTeX for people, of the
    forward and of what each input receives. `listed`: whether it is in the registry, by its name. See docs/custom-ops
    for a worked example.

    >>> @op(lambda g, x: g * 3 * x ** 2)
    ... def cube_of(x):
    ...     return x ** 3
    >>> cube_of(2.0)
    Tensor(8.)
    """

    def define(forward: Callable[..., Any]) -> Any:
        if not hasattr(forward, "__code__"):
            raise DTypeError(
                f"@op: expected a function on arrays, got {describe(forward)}. Write the rules in "
                "parentheses after @op, one per input: @op(lambda g, x: ...)"
            )
        operation = Op(
            forward, rules, name=name, inputs=inputs, joint=joint, variadic=variadic, cached=cached, kernel=kernel,
            fast=fast, domain=domain, cases=cases, kinks=kinks, label=label, hint=hint, ufunc=ufunc,
            accumulates=accumulates, real=real, elementwise=elementwise, batch=batch, jvp=jvp, math=math,
        )  # fmt: skip
        existing = OPS.get(operation.name) if listed else None
        if existing is not None and existing.forward.__module__ != forward.__module__:
            raise ValueRangeError(
                f"@op: there is already an operation named `{operation.name}`. Choose another name."
            )
        function = operation.function = codegen.declare(operation, forward)
        if listed:
            OPS[operation.name] = operation
        return function

    return define
