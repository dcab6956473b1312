"""The functions generated for each operation: its call, and the vector-Jacobian products that run its rules.

As a dataclass writes its `__init__`: source for exactly the inputs, options and saved names that the operation
declares, so that nothing generic is left to run. The text depends only on what is declared and names nothing of one
operation alone (`op`, `forward` and the rules come from the namespace it runs in), so operations of one form share
one compilation. Each generated source stands in `linecache`, where tracebacks and debuggers find its lines.
"""

from __future__ import annotations

import linecache
import math
import typing
from collections.abc import Callable, Sequence
from functools import cache
from types import CodeType, FunctionType, UnionType
from typing import TYPE_CHECKING, Annotated, Any, Literal, Union

import numpy as np

from tinygrad_dl import arguments, convert, dispatch
from tinygrad_dl.graph import Node, Value, constant_entry, dtype_of, next_serial, shape_of
from tinygrad_dl.modes import active
from tinygrad_dl.typing import readable

if TYPE_CHECKING:
    from tinygrad_dl.op import Op

# What every generated call reads; `Tensor`, `op` and `forward` are added for each operation.
CALL_NAMES: dict[str, Any] = {
    "__name__": __name__, "ndarray": np.ndarray, "active": active, "next_serial": next_serial,
    "Value": Value, "Node": Node, "constant_entry": constant_entry, "coerce": convert.coerce,
    "under_modes": dispatch.under_modes,
    "refuse_complex": dispatch.refuse_complex, "apply_without_tensors": dispatch.apply_without_tensors,
    "apply_variadic": dispatch.apply_variadic, "explain": dispatch.explain,
    "check_option": dispatch.check_option,
    "unknown_option": arguments.unknown_option, "in_float32": dispatch.in_float32, "F2": np.dtype(np.float16),
    "inf": math.inf,
    "dtype_type": np.dtype,
    "plain_array": dispatch.plain_array,
    "F4": np.dtype(np.float32), "F8": np.dtype(np.float64),
    "new": object.__new__, "RAW": frozenset((float, int, bool)), "FC": "fc",
}  # fmt: skip


# The call


def declare(op: Op, forward: Callable[..., Any]) -> Any:
    """The public function of an operation. Its code is generated at the first call, which keeps the import fast."""
    namespace = dict(CALL_NAMES, op=op, forward=op.run, build_call=build_call)
    readable(forward)
    function: Any = FunctionType(_first_call.__code__, namespace, forward.__name__)
    function.__doc__, function.__qualname__ = forward.__doc__, forward.__qualname__
    function.__module__, function.__annotations__ = forward.__module__, forward.__annotations__
    function.__wrapped__ = forward  # whose source and signature `inspect` shows, and so help() and `??`
    function.op = op
    return function


def _first_call(*args: object, **kwargs: object) -> Any:
    build_call(op)  # type: ignore[name-defined]  # noqa: F821  in the namespace of the operation
    return op.function(*args, **kwargs)  # type: ignore[name-defined]  # noqa: F821


def build_call(op: Op) -> None:
    """Give the public function of an operation the code generated for it."""
    source = call_source(op)
    file = _register(f"<tinygrad_dl call of {op.name}>", source)
    function = op.function
    function.__globals__["Tensor"] = convert.tensor_type()
    function.__defaults__, function.__kwdefaults__ = op.forward.__defaults__, op.forward.__kwdefaults__
    # The compilation is shared, the name in tracebacks is the operation's own.
    function.__code__ = _compiled(source).replace(co_filename=file, co_name=op.name)


@cache
def _compiled(source: str) -> CodeType:
    """The code of the one function that a source defines; equal sources are compiled once."""
    module = compile(source, "<tinygrad_dl>", "exec")
    return next(constant for constant in module.co_consts if isinstance(constant, CodeType))


def _register(file: str, source: str) -> str:
    """Put a generated source into `linecache` under a name that says what it is; returns the name."""
    # The entry has no modification time, so that linecache does not look for the file.
    linecache.cache[file] = (len(source), None, source.splitlines(keepends=True), file)
    return file


def call_source(op: Op) -> str:
    """The source of the function that users call."""
    inputs, options = op.inputs, _tuple(op.options)
    lines = [f"def call({_signature(op)}):"]
    if "axis" in op.options:  # PyTorch's dim= and keepdim= are answered with the names here
        lines += ["    if others:", "        raise unknown_option(op.name, others)"]
    lines += _option_lines(op)
    if op.variadic:
        return "\n".join([*lines, f"    return apply_variadic(op, {inputs[0]}, {options})"])
    lines += [
        "    if active:",
        f"        result = under_modes(op, {_tuple(inputs)}, {options})",
        "        if result is not None:",
        "            return result",
    ]
    arguments = ", ".join(
        [f"{x}_data" for x in inputs]
        + [o if len(inputs) + i < op.positional else f"{o}={o}" for i, o in enumerate(op.options)]
    )
    data = _tuple([f"{x}_data" for x in inputs])
    first = f"{inputs[0]}_data"
    half = f"type({first}) is ndarray and {first}.dtype is F2"
    narrow = [f"    if {half}:", f"        out = in_float32(op, {data}, {options})", "    else:"]
    forward = [
        "try:",
        *(narrow if op.accumulates else []),
        f"    {'    ' * op.accumulates}out = forward({arguments})",
        "except Exception as error:",
        f"    explain(op, {data}, {options}, error)",
    ]
    result = "out[0]" if op.cached else "out"
    without_tensors = f"return apply_without_tensors(op, {_tuple(inputs)}, {options})"
    if len(inputs) == 1:
        (x,) = inputs
        lines += [
            f"    if isinstance({x}, Value):",
            f"        {x}_data = {x}._data",
            f"        {x}_node = {x}.node",
            f"    elif type({x}) is ndarray:",
            f"        {x}_data = {x}",
            *[f"        {line}" for line in forward],
            f"        return {result}",
            "    else:",
            f"        {without_tensors}",
        ]
    else:
        lines += ["    any_tensor = False"]
        for x in inputs:
            lines += [
                f"    if isinstance({x}, Value):",
                f"        {x}_data = {x}._data",
                f"        {x}_node = {x}.node",
                "        any_tensor = True",
            ]
            if x in op.defaults:
                lines += [f"    elif {x} is None:", f"        {x}_data = {x}_node = None"]
            lines += [
                "    else:",
                f"        {x}_node = None",
                f"        {x}_data = {x} if type({x}) in RAW else coerce(op.name, {x})",
            ]
        any_array = " or ".join(f"type({x}_data) is ndarray" for x in inputs)
        lines += [
            "    if not any_tensor:",
            f"        if not ({any_array}):",
            f"            {without_tensors}",
            *[f"        {line}" for line in forward],
            f"        return {result}",
        ]
    lines += [f"    {line}" for line in forward]
    if op.cached:
        lines += [f"    out, {', '.join(op.cached)} = out"]
    lines += [
        "    result = new(Tensor)",
        f"    result._data = out if type(out) is ndarray else plain_array(op, out, {options})",
    ]
    return "\n".join(lines + _record_lines(op))


def _option_lines(op: Op) -> list[str]:
    """The checks of options at the begin of a call: what is plainly right costs a comparison or two."""
    if not op.forward.__module__.startswith(dispatch.OWN_OPERATIONS):
        return []  # annotations of a user's operation are the user's own
    hints = arguments.hints(op.forward)
    unusual = [(o, _unusual(o, hints[o])) for o in op.options]
    return [
        line for o, c in unusual if c for line in (f"    if {c}:", f"        check_option(op, {o!r}, {o})")
    ]


def _unusual(o: str, hint: object) -> str | None:
    """The condition under which an option is compared with its annotation; None where the forward refuses it."""
    origin, parts = typing.get_origin(hint), typing.get_args(hint)
    if origin in (Union, UnionType) and arguments.takes_dtypes(parts):
        return f"{o} is not None and not isinstance({o}, dtype_type)"
    if origin in (Union, UnionType) and len(parts) == 2 and type(None) in parts:
        inner = _unusual(o, parts[0] if parts[1] is type(None) else parts[1])
        return f"{o} is not None and ({inner})" if inner else None
    if origin is Annotated:
        inner = _unusual(o, parts[0])
        bounds = [part for part in parts[1:] if isinstance(part, arguments.Bounds)]
        limits = [
            f"not {o} {sign} {limit!r}"
            for b in bounds
            for sign, limit in ((">=", b.least), ("<=", b.most), (">", b.above), ("<", b.below))
            if limit is not None
        ]
        return " or ".join([inner, *limits]) if inner else None
    if origin is Literal:
        words = tuple(part for part in parts if part is not None)
        if not all(isinstance(word, str) for word in words):
            return None
        other = f"type({o}) is not str or {o} not in {words!r}"
        return f"{o} is not None and ({other})" if None in parts else other
    return (
        {
            bool: f"{o} is not False and {o} is not True",
            int: f"type({o}) is not int",
            float: f"type({o}) is not float and type({o}) is not int",
            str: f"type({o}) is not str",
        }.get(hint)
        if isinstance(hint, type)
        else None
    )


def _record_lines(op: Op) -> list[str]:
    """The end of a call: the node that records it, unless no input requires grad."""
    inputs = op.inputs
    rules = op.rules * len(inputs) if op.joint else op.rules
    differentiable = [x for x, rule in zip(inputs, rules) if rule is not None]
    if not differentiable:
        return ["    result.node = None", "    return result"]
    lines = [
        f"    if {' and '.join(f'{x}_node is None' for x in differentiable)}:",
        "        result.node = None",
        "        return result",
    ]
    for i in op.missing:
        lines += [f"    if {inputs[i]}_node is not None:", f"        raise op.missing_rule({i})"]
    lines += [
        "    dtype = out.dtype",
        "    if dtype is not F4 and dtype is not F8 and dtype.kind not in FC:",
        "        result.node = None",
        "        return result",
    ]
    parents = [
        f"{x}_node"
        if len(inputs) == 1 and x in differentiable
        else f"{x}_node if {x}_node is not None else constant_entry({x}, {x}_data)"
        for x in inputs
    ]
    # A value is saved only if an input whose rule names it requires grad.
    saved = []
    for name in op.saves:
        value = f"{name}_data" if name in inputs else name
        users = op.users_of(name)
        asked = " or ".join(f"{x}_node is not None" for x in users)
        saved.append(value if set(users) >= set(differentiable) else f"{value} if {asked} else None")
    if op.real:
        data = _tuple([f"{x}_data" for x in inputs])
        lines += [
            "    if dtype is not F4 and dtype is not F8:",
            f"        refuse_complex(op, {data})",
        ]
    return [
        *lines,
        "    node = new(Node)",
        "    node.op = op",
        f"    node.parents = {_tuple(parents)}",
        f"    node.saved = {_tuple(saved)}",
        f"    node.options = {_tuple(op.options)}",
        "    node.shape = out.shape",
        "    node.dtype = dtype",
        "    node.serial = next_serial()",
        "    node.watch = node.scope = None",
        "    result.node = node",
        "    return result",
    ]


def _signature(op: Op) -> str:
    parts: list[str] = []
    for i, name in enumerate((*op.inputs, *op.options)):
        if i == op.positional:
            parts.append("*")
        parts.append(f"{name}=None" if name in op.defaults else name)  # build_call sets the real defaults
        if i + 1 == op.posonly:
            parts.append("/")
    return ", ".join([*parts, "**others"] if "axis" in op.options else parts)


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


# The vector-Jacobian products

VJP_NAMES: dict[str, Any] = {
    "__name__": __name__, "Node": Node, "shape_of": shape_of, "dtype_of": dtype_of, "attach": convert.attach,
    "F2": np.dtype(np.float16), "widened": dispatch.widened,
}  # fmt: skip


def build_vjp(op: Op, recording: bool, selective: bool) -> Callable[..., tuple[Any, ...]]:
    """The function that runs an operation's rules: on arrays or on Tensors, for all parents or for some of them."""
    fast = op.fast is not None and not recording
    rules = op.fast if fast and op.fast is not None else op.rules
    named = op.fast_arguments if fast else op.rule_arguments
    namespace = VJP_NAMES | {f"rule{i}": rule for i, rule in enumerate(rules)}
    namespace["distinct"] = distinct
    source = vjp_source(op, named, recording, selective)
    what = f"vjp{', recorded' if recording else ''}{', for some inputs' if selective else ''}"
    file = _register(f"<tinygrad_dl {what} of {op.name}>", source)
    return FunctionType(_compiled(source).replace(co_filename=file), namespace, "vjp")


def vjp_source(op: Op, named: Sequence[Sequence[str]], recording: bool, selective: bool) -> str:
    """The source of `vjp(node, g)`: what of the gradient `g` of a node's result reaches each of its parents.

    `named`: what each rule names. Selective: `vjp(node, g, needed)` leaves out parents whose serial is not in `needed`.
    """
    inputs = op.inputs
    lines = [f"def vjp(node, g{', needed' if selective else ''}):"]
    if op.accumulates and not recording:
        lines += ["    if node.dtype is F2:", "        node, g = widened(node, g)"]
    lines += [f"    {', '.join(f'{x}_node' for x in inputs)}, = node.parents"]
    used = {name for names in named for name in names}
    if any(name in used for name in op.saves):
        lines += [f"    {', '.join(op.saves)}, = node.saved"]
    if any(name in used for name in op.options):
        lines += [f"    {', '.join(op.options)}, = node.options"]
    for x in inputs:
        for what in ("shape", "dtype"):
            if f"{x}_{what}" in used:
                lines += [f"    {x}_{what} = {what}_of({x}_node)"]
    if recording:
        lines += [f"    {x} = attach({x}, {x}_node)" for x in inputs if x in used]
        if "out" in used:
            lines += ["    out = attach(out, node)"]
    requires = [
        f"type({x}_node) is Node" + (f" and {x}_node.serial in needed" if selective else "") for x in inputs
    ]
    if op.joint:
        if "needs_input_grad" in used:
            lines += [f"    needs_input_grad = {_tuple(requires)}"]
        return "\n".join([*lines, f"    return distinct(rule0({', '.join(named[0])}))"])
    contributions = []
    for i, names in enumerate(named):
        if op.rules[i] is None or i in op.missing:
            contributions.append("None")
        elif len(inputs) == 1 and not selective:  # a node of one input is recorded only if that requires grad
            contributions.append(f"rule{i}({', '.join(names)})")
        else:
            contributions.append(f"rule{i}({', '.join(names)}) if {requires[i]} else None")
    return "\n".join([*lines, f"    return {_tuple(contributions)}"])


def distinct(contributions: tuple[Any, ...]) -> list[Any]:
    """The contributions of a joint rule, none of them the same array twice: the backward pass may add in place."""
    if len({*map(id, contributions)}) == len(contributions):
        return list(contributions)
    different: list[Any] = []
    for c in contributions:
        if c is not None and any(c is other for other in different):
            c = c * 1
        different.append(c)
    return different
