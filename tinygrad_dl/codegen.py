"""The source of the functions that build.py makes: the call of an operation, and the pull that runs its rules.

The text depends only on what the operation declares, and names nothing of one operation alone (`op`, `forward`
and the rules come from the namespace it is run in), so operations of one form share one compiled code.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.errors import ValueRangeError


def _signature(self: Any) -> str:
    parts: list[str] = []
    for i, name in enumerate((*self.inputs, *self.options)):
        if i == self.positional:
            parts.append("*")
        parts.append(f"{name}=None" if name in self.defaults else name)
        if i + 1 == self.posonly:
            parts.append("/")
    return ", ".join(parts)


def _tuple(items: Sequence[str]) -> str:
    return f"({', '.join(items)}{',' if len(items) == 1 else ''})"


def call_source(self: Any) -> str:
    """The source of `call`, the function that users call."""
    inputs, options = self.inputs, _tuple(self.options)
    lines = [f"def call({_signature(self)}):"]
    if self.variadic:
        return "\n".join([*lines, f"    return apply_variadic(op, {inputs[0]}, {options})"])
    lines += ["    if active:", f"        result = under_modes(op, {_tuple(inputs)}, {options})"]
    lines += ["        if result is not None:", "            return result"]
    arguments = ", ".join(
        [f"{n}_data" for n in inputs]
        + [n if len(inputs) + i < self.positional else f"{n}={n}" for i, n in enumerate(self.options)]
    )
    data = _tuple([f"{n}_data" for n in inputs])
    forward = [
        "try:",
        f"    out = forward({arguments})",
        "except Exception as error:",
        f"    explain(op, {data}, {options}, error)",
    ]
    if len(inputs) == 1:
        (x,) = inputs
        lines += [
            f"    if isinstance({x}, Value):",
            f"        {x}_data = {x}._data",
            f"        {x}_node = {x}.node",
        ]
        lines += ["    else:", f"        return apply_plain(op, ({x},), {options})"]
    else:
        lines += ["    met = False"]
        for n in inputs:
            lines += [
                f"    if isinstance({n}, Value):",
                f"        {n}_data = {n}._data",
                f"        {n}_node = {n}.node",
            ]
            lines += ["        met = True"]
            if n in self.defaults:
                lines += [f"    elif {n} is None:", f"        {n}_data = {n}_node = None"]
            lines += ["    else:", f"        {n}_node = None"]
            lines += [f"        {n}_data = {n} if type({n}) in RAW else coerce(op, {n})"]
        arrays = " or ".join(f"type({n}_data) is ndarray" for n in inputs)
        kept = "out[0]" if self.cached else "out"
        lines += ["    if not met:", f"        if not ({arrays}):"]
        lines += [f"            return apply_plain(op, {_tuple(inputs)}, {options})"]
        lines += [f"        {line}" for line in forward] + [f"        return {kept}"]
    lines += [f"    {line}" for line in forward]
    if self.cached:
        lines += [f"    out, {', '.join(self.cached)} = out"]
    lines += [
        "    result = new(Tensor)",
        f"    result._data = out if type(out) is ndarray else plain(op, out, {options})",
    ]
    return "\n".join(lines + _record(self))


def _record(self: Any) -> list[str]:
    inputs = self.inputs
    live = [
        n
        for n, rule in zip(inputs, self.rules if not self.joint else self.rules * len(inputs))
        if rule is not None
    ]
    if not live:
        return ["    result.node = None", "    return result"]
    lines = [f"    if {' and '.join(f'{n}_node is None' for n in live)}:", "        result.node = None"]
    lines += ["        return result"]
    for i, rule in enumerate(self.rules):
        if type(rule).__name__ == "Missing":
            lines += [f"    if {inputs[i]}_node is not None:", f"        raise op.refuse({i})"]
    lines += [
        "    dtype = out.dtype",
        "    if dtype is not F4 and dtype is not F8 and not unusual(op, dtype):",
    ]
    lines += [
        "        result.node = None",
        "        return result",
        "    node = new(Node)",
        "    node.op = op",
    ]
    entries = []
    for n in inputs:
        if n in live and len(inputs) == 1:
            entries.append(f"{n}_node")
        else:
            entries.append(f"{n}_node if {n}_node is not None else constant({n}, {n}_data)")
    lines += [f"    node.parents = {_tuple(entries)}"]
    saved = []
    for name in self.saves:
        value = f"{name}_data" if name in inputs else name
        users = _users(self, name)
        saved.append(value if set(users) >= set(live) else f"{value} if {_any_node(users)} else None")
    lines += [f"    node.saved = {_tuple(saved)}", f"    node.options = {_tuple(self.options)}"]
    lines += ["    node.shape = out.shape", "    node.dtype = dtype", "    node.serial = next_serial()"]
    lines += ["    node.watch = node.scope = None"]
    return [*lines, "    result.node = node", "    return result"]


def _any_node(users: Sequence[str]) -> str:
    return " or ".join(f"{n}_node is not None" for n in users)


def _users(self: Any, name: str) -> list[str]:
    """The inputs whose rule, plain or fast, names the value."""
    if self.joint:
        return list(self.inputs)
    return [
        n for n, a, b in zip(self.inputs, self.rule_arguments, self.fast_arguments) if name in a or name in b
    ]


def vjp_source(
    self: Any, rule_arguments: Sequence[Sequence[str]], live: Sequence[bool], recording: bool, selective: bool
) -> str:
    """The source of `vjp(node, g)`: the contribution of a node's gradient to each of its parents.

    Selective: `vjp(node, g, needed)` leaves out parents whose serial is not in `needed`.
    """
    inputs = self.inputs
    lines = [f"def vjp(node, g{', needed' if selective else ''}):"]
    lines += [f"    {', '.join(f'{n}_node' for n in inputs)}, = node.parents"]
    named = {name for names in rule_arguments for name in names}
    if self.saves and any(n in named for n in self.saves):
        lines += [f"    {', '.join(self.saves)}, = node.saved"]
    if any(n in named for n in self.options):
        lines += [f"    {', '.join(self.options)}, = node.options"]
    for n in inputs:
        for what in ("shape", "dtype"):
            if f"{n}_{what}" in named:
                lines += [f"    {n}_{what} = {what}_of({n}_node)"]
    if recording:
        lines += [f"    {n} = attach({n}, {n}_node)" for n in inputs if n in named]
        if "out" in named:
            lines += ["    out = attach(out, node)"]
    wanted = [
        f"type({n}_node) is Node" + (f" and {n}_node.serial in needed" if selective else "") for n in inputs
    ]
    if self.joint:
        if "needs_input_grad" in named:
            lines += [f"    needs_input_grad = {_tuple(wanted)}"]
        return "\n".join([*lines, f"    return distinct(rule0({', '.join(rule_arguments[0])}))"])
    calls = []
    for i, names in enumerate(rule_arguments):
        call = f"rule{i}({', '.join(names)})"
        if not live[i]:
            calls.append("None")
        elif len(inputs) == 1 and not selective:
            calls.append(call)
        else:
            calls.append(f"{call} if {wanted[i]} else None")
    return "\n".join([*lines, f"    return {_tuple(calls)}"])


def check_signature(name: str, code: Any, count: int, rules: int) -> None:
    """Refuse a definition whose parameters and rules do not go together."""
    names = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]
    if not rules:
        raise ValueRangeError(
            f"@op {name}: at least one rule is needed, one an input; None for an input without a derivative"
        )
    if code.co_flags & 0x0C:  # *args or **kwargs
        more = code.co_varnames[len(names)]
        raise ValueRangeError(
            f"@op {name}: {'*' if code.co_flags & 0x04 else '**'}{more} has no place in an operation; "
            "name each parameter, or use variadic=True for a sequence"
        )
    if count > code.co_argcount or (rules > 1 and rules != count):
        raise ValueRangeError(
            f"@op {name}: {rules} rules came for the parameters {', '.join(names) or 'none'}; "
            "one rule an input is needed"
        )
