"""Operations: the decorator `op`, which makes one block of code a differentiable operation, and the registry OPS.

The function that a user calls is made for the operation at its first call: see build.py.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, ParamSpec

import numpy as np

from tinygrad_dl import build, calls
from tinygrad_dl.codegen import check_signature
from tinygrad_dl.domain import Case as Case
from tinygrad_dl.domain import Domain as Domain
from tinygrad_dl.domain import Missing as Missing
from tinygrad_dl.errors import DTypeError, GraphError, ValueRangeError
from tinygrad_dl.graph import Node

if TYPE_CHECKING:
    from tinygrad_dl.tensor import Tensor

P = ParamSpec("P")
Rule = Callable[..., Any]


class Op:
    """One operation: its forward function on arrays, its derivative rules, and what tests and pages need to know."""

    vjp: Callable[[Node, Any], tuple[Any, ...]]
    vjp_recording: Callable[[Node, Any], tuple[Any, ...]]

    def __init__(self, forward: Callable[..., Any], rules: tuple[Any, ...], **about: Any) -> None:
        code = forward.__code__
        names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
        self.name: str = about.pop("name") or forward.__name__
        self.forward = forward
        self.joint: bool = about.pop("joint")
        self.variadic: bool = about.pop("variadic")
        self.cached: tuple[str, ...] = about.pop("cached")
        self.kernel: Callable[..., Any] | None = about.pop("kernel")
        self.run = self.kernel or forward  # what a call computes with
        count = about.pop("inputs") or len(rules)
        check_signature(self.name, code, count, len(rules))
        self.inputs = names[:count]
        self.options = names[len(self.inputs) :]
        self.positional, self.posonly = code.co_argcount, code.co_posonlyargcount
        defaults = forward.__defaults__ or ()
        given = zip(names[code.co_argcount - len(defaults) :], defaults)
        self.defaults: dict[str, Any] = {**dict(given), **(forward.__kwdefaults__ or {})}
        self.rules = rules
        self.fast: tuple[Any, ...] | None = about.pop("fast")
        self.domain = about.pop("domain") or Domain()
        self.cases: tuple[Case, ...] = tuple(about.pop("cases"))
        self.kinks: str = about.pop("kinks")
        self.label: str = about.pop("label") or self.name
        self.hint: Callable[..., str | None] | None = about.pop("hint")
        self.ufunc: np.ufunc | None = about.pop("ufunc")
        self.differentiable = any(rule is not None for rule in rules)
        # Without a kernel the forward itself returns what is cached, and every rule may name it.
        cached = () if self.kernel else self.cached
        self.rule_arguments = [self._names_of(rule, cached) for rule in rules]
        self.fast_arguments = (
            self.rule_arguments
            if self.fast is None
            else [self._names_of(rule, self.cached) for rule in self.fast]
        )
        # What a node keeps: the values that some rule names, and nothing else.
        named = {
            name for rule_arguments in (*self.rule_arguments, *self.fast_arguments) for name in rule_arguments
        }
        self.saves = tuple(n for n in (*self.inputs, "out", *self.cached) if n in named)
        self.function: Any = None

    def _names_of(self, rule: Any, cached: tuple[str, ...]) -> tuple[str, ...]:
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

    def __getattr__(self, name: str) -> Any:
        # Pulls are built at their first use: an import should not pay for operations it does not run.
        variants = {"vjp": (False, False), "vjp_recording": (True, False)}
        if name in variants:
            built = build.vjp(self, *variants[name])
        elif name == "vjp_needed":
            plain, recorded = build.vjp(self, False, True), build.vjp(self, True, True)

            def built(node: Node, g: Any, needed: Any, recording: bool) -> tuple[Any, ...]:
                return (recorded if recording else plain)(node, g, needed)
        else:
            raise AttributeError(f"Op has no attribute {name!r}")
        setattr(self, name, built)
        return built

    def arguments(self, inputs: Sequence[Any], options: Sequence[Any]) -> tuple[list[Any], dict[str, Any]]:
        """The arguments of a call as a list of the positional ones and a dict of the others."""
        values = [*inputs, *options]
        names = (*self.inputs, *self.options)
        return values[: self.positional], dict(zip(names[self.positional :], values[self.positional :]))

    def compute(self, inputs: Sequence[Any], options: Sequence[Any]) -> Any:
        """The result on arrays, its errors explained; without the values cached for the rules."""
        args, kwargs = self.arguments(inputs, options)
        try:
            out = self.run(*args, **kwargs)
        except Exception as error:
            calls.explain(self, inputs, options, error)
        return out[0] if self.cached else out

    def refuse(self, i: int) -> GraphError:
        """The error for asking the derivative of input `i`, which has no rule."""
        return GraphError(
            f"{self.name}: no derivative with respect to {self.inputs[i]}: {self.rules[i].reason}. "
            "Call .detach() on it if no gradient should flow."
        )

    def __repr__(self) -> str:
        return f"<Op {self.name}>"


OPS: dict[str, Op] = {}


def op(
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
) -> Callable[[Callable[P, Any]], Callable[P, Tensor]]:
    """Make a function on arrays a differentiable operation: given Tensors it records, given arrays it computes.

    One rule an input, in order: what reaches that input of the gradient `g` of the result. A rule names what it
    needs: `g`, `out`, an input, `<input>_shape`, `<input>_dtype`, an option, a value in `cached` (which the forward
    returns after its result). None: not differentiable. `joint`: one rule gives a tuple for all `inputs`.
    `kernel`: a faster forward, which runs in place of the plain one and returns the `cached` values after its result.
    `fast`: rules for arrays only, beside the plain ones. See docs/custom-ops for a worked example.

    >>> @op(lambda g, x: g * 3 * x ** 2)
    ... def cube_of(x):
    ...     return x ** 3
    >>> cube_of(2.0)
    Tensor(8.)
    """

    def define(forward: Callable[P, Any]) -> Callable[P, Tensor]:
        if not hasattr(forward, "__code__"):
            raise DTypeError(
                f"@op: a function on arrays is needed; {calls.describe(forward)} came. The rules stand in parentheses "
                "behind @op, one an input: @op(lambda g, x: ...)"
            )
        self = Op(
            forward, rules, name=name, inputs=inputs, joint=joint, variadic=variadic, cached=cached, kernel=kernel,
            fast=fast, domain=domain, cases=cases, kinks=kinks, label=label, hint=hint, ufunc=ufunc,
        )  # fmt: skip
        there = OPS.get(self.name)
        if there is not None and there.forward.__module__ != forward.__module__:
            raise ValueRangeError(f"@op: there is an operation `{self.name}` already; choose another name")
        function = build.declare(self, forward)
        self.function = function
        OPS[self.name] = self
        return function

    return define
