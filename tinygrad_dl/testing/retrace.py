"""Mistakes inside a chain of layers: the traced graph is walked again with one thing done wrongly on purpose.

A wrong step changes every gradient before it, so its mark is the whole set of gradients that it would give.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from tinygrad_dl.backward import unbroadcast
from tinygrad_dl.graph import Node, ancestors
from tinygrad_dl.modes import active, modes
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.mistakes import Context, Guess, close

ELEMENTWISE = frozenset(
    "negative positive exp log log1p expm1 tanh sigmoid relu sqrt square abs multiply divide add subtract "
    "power maximum minimum where reciprocal softplus sin cos clip astype".split()
)

Jump = dict[int, tuple[Node, Any]]  # serial of a chain's end -> its start, and the slope of the chain
Change = Callable[[Node, Any, tuple[Any, ...]], Any]


class Seen:
    """The values that a forward computes, by the serial of their node, and the arrays without gradient."""

    def __init__(self) -> None:
        self.values: dict[int, np.ndarray] = {}
        self.constants: list[np.ndarray] = []

    def after_forward(self, op: Any, inputs: Any, options: Any, result: Any) -> None:
        """Told of each operation by the engine."""
        if result.node is not None:
            self.values[result.node.serial] = result.data
        self.constants += [x for x in inputs if isinstance(x, np.ndarray)]

    def after_backward(self, node: Any, g: Any, contributions: Any) -> None:
        """Told of each step back; nothing is kept of it."""


class Trace:
    """The graph of one forward on Tensors, the values on it, and its inputs' nodes by name."""

    def __init__(self, output: Tensor, inputs: dict[str, Tensor], g: np.ndarray, seen: Seen) -> None:
        assert output.node is not None
        self.root, self.nodes = output.node, ancestors([output.node])
        self.inputs = {name: t.node for name, t in inputs.items()}
        self.seed = g.reshape(output.shape)
        self.values: dict[int, np.ndarray] = {
            t.node.serial: t.data for t in inputs.values() if t.node is not None
        }
        self.values |= seen.values
        self.constants = seen.constants
        self.users: dict[int, list[Node]] = {}
        for node in self.nodes:
            for parent in node.parents:
                if type(parent) is Node:
                    self.users.setdefault(parent.serial, []).append(node)

    @staticmethod
    def of(pair: Any, g: np.ndarray) -> Trace | None:
        """The trace of a NumPy forward, or None where autograd cannot follow it."""
        values = list(pair.values)
        tensors = {}
        for k in pair.live:
            values[k] = tensors[pair.names[k]] = Tensor(values[k], requires_grad=True)
        seen = Seen()
        modes.watchers = (*modes.watchers, seen)
        active.append("retrace")
        try:
            output = pair.run(values)[0]
        except Exception:
            return None
        finally:
            modes.watchers = modes.watchers[:-1]
            active.remove("retrace")
        if not isinstance(output, Tensor) or output.node is None or output.size != g.size:
            return None
        return Trace(output, tensors, g, seen)

    def gradients(self, change: Change | None = None, jump: Jump | None = None) -> dict[str, Any]:
        """The inputs' gradients; `change` may alter contributions, `jump` replace a chain by a slope."""
        pending: dict[int, Any] = {self.root.serial: self.seed}
        found: dict[int, Any] = {}
        for node in reversed(self.nodes):
            g = pending.pop(node.serial, None)
            if g is None:
                continue
            if node.op is None:
                found[node.serial] = g
                continue
            if jump is not None and node.serial in jump:
                start, factor = jump[node.serial]
                pairs = [(start, g * factor)]
            else:
                contributions = tuple(node.op.vjp(node, g))
                if change is not None:
                    contributions = change(node, g, contributions)
                pairs = [
                    (p, c) for p, c in zip(node.parents, contributions) if type(p) is Node and c is not None
                ]
            for parent, c in pairs:
                c = c if np.shape(c) == parent.shape else unbroadcast(c, parent.shape)
                pending[parent.serial] = pending[parent.serial] + c if parent.serial in pending else c
        return {
            name: found.get(node.serial, np.zeros(node.shape)) for name, node in self.inputs.items() if node
        }

    def agrees(self, truth: dict[str, np.ndarray]) -> bool:
        """Whether autograd and differences agree, so that the trace can be trusted."""
        return all(close(g, truth[name]) for name, g in self.gradients().items())


def variants(trace: Trace, context: Context) -> list[Guess]:
    """The wrong walks whose gradients are the learner's."""
    found: dict[tuple[str, str], Guess] = {}
    for rank, kind, words, gradients in _walks(trace):
        explained = [
            n
            for n in context.wrong
            if n in gradients
            and close(gradients[n], context.given.get(n))
            and _changed(gradients[n], context.truth[n])
        ]
        spoiled = [
            n
            for n in context.truth
            if n not in context.wrong and not close(gradients.get(n), context.truth[n])
        ]
        if explained:
            # What it gets wrong that the learner got right speaks against it, but does not rule it out:
            # the mistake may stand in one line of two.
            found.setdefault((kind, words), Guess(kind, words, explained, rank + 5 * len(spoiled)))
    for guess in _on_edges(trace, context):
        found.setdefault((guess.kind, guess.words), guess)
    return list(found.values())


def _changed(a: Any, b: Any) -> bool:
    return not close(a, b)


def _walks(trace: Trace) -> Iterator[tuple[float, str, str, dict[str, Any]]]:
    with np.errstate(all="ignore"):
        together: dict[Any, list[tuple[float, str, str, Jump]]] = {}
        for chain in _chains(trace):
            for form, rank, kind, words, jump in _along(trace, chain):
                together.setdefault(form, []).append((rank, kind, words, jump))
                yield rank, kind, words, trace.gradients(jump=jump)
        for same in together.values():
            if len(same) > 1:  # a loop over layers makes one mistake in all of them
                rank, kind, words, _ = same[0]
                whole = {at: how for *_, jump in same for at, how in jump.items()}
                yield rank, kind, f"{words}, in {len(same)} layers", trace.gradients(jump=whole)
        for node in trace.nodes:
            users = trace.users.get(node.serial, [])
            if len(users) > 1 and node.op is not None or len(users) > 1 and node.serial in trace.values:
                for user in dict.fromkeys(users):

                    def drop(
                        at: Node, g: Any, c: tuple[Any, ...], user: Node = user, node: Node = node
                    ) -> Any:
                        return (
                            tuple(None if p is node else x for p, x in zip(at.parents, c))
                            if at is user
                            else c
                        )

                    words = f"what flows back through `{user.op.name}` is left out where several paths meet"
                    yield 3, "missing path", words, trace.gradients(drop)
            if node.op is not None and node.op.name in ("multiply", "divide"):
                yield from _factors(trace, node)
            if node.op is not None and node.op.name == "matmul":
                yield from _products(trace, node)


def _chains(trace: Trace) -> Iterator[list[Node]]:
    """Runs of elementwise nodes, each with one live input of its own shape: [start, ..., end]."""
    ends = []
    for node in trace.nodes:
        if _single(node) is None:
            continue
        users = trace.users.get(node.serial, [])
        if len(users) != 1 or _single(users[0]) is not node:
            ends.append(node)
    for end in ends:
        chain = [end]
        while (parent := _single(chain[0])) is not None:
            chain.insert(0, parent)
            if len(trace.users.get(parent.serial, [])) > 1:
                break
        if len(chain) <= 12:
            yield chain


def _single(node: Node) -> Node | None:
    """The one live input of an elementwise node, if it has just one of its own shape."""
    if node.op is None or node.op.name not in ELEMENTWISE:
        return None
    live = [p for p in node.parents if type(p) is Node]
    return live[0] if len(live) == 1 and live[0].shape == node.shape else None


def _slopes(trace: Trace, chain: list[Node]) -> list[Any]:
    """The local derivative of each link of a chain."""
    slopes = []
    for before, node in zip(chain, chain[1:]):
        contributions = tuple(node.op.vjp(node, np.ones(node.shape)))
        slopes.append(next(c for p, c in zip(node.parents, contributions) if p is before))
    return slopes


def _along(trace: Trace, chain: list[Node]) -> Iterator[tuple[Any, float, str, str, Jump]]:
    """Derivatives of parts of a chain left out or exchanged; the first entry is alike for like mistakes."""
    slopes = _slopes(trace, chain)
    form = tuple(n.op.name for n in chain[1:])
    for i in range(len(slopes)):
        for j in range(i + 1, len(slopes) + 1):
            skipped = np.prod(np.array([np.broadcast_to(s, chain[0].shape) for s in slopes[i:j]]), axis=0)
            part = chain[i + 1 : j + 1]
            kind, words = _name(part, skipped)
            if close(skipped, np.ones_like(skipped)):
                continue
            names = tuple(n.op.name for n in part)
            rank = 3.5 if kind == "missing factor" else 1 + 0.1 * (j - i != len(slopes))
            yield (form, i, j), rank, kind, words, {chain[j].serial: (chain[i], 1.0)}
            if _is_activation(part):
                before, after = trace.values.get(chain[i].serial), _value(trace, chain, j)
                for words, slope in _other_slopes(before, after):
                    if not close(slope, skipped):
                        said = f"the derivative used is {words} in the place of the activation's own"
                        jump = {chain[j].serial: (chain[i], slope)}
                        yield (
                            (form, i, j, words),
                            2,
                            "wrong activation",
                            f"{said} (`{' '.join(names)}`)",
                            jump,
                        )


def _value(trace: Trace, chain: list[Node], j: int) -> Any:
    return trace.values.get(chain[j].serial)


def _smooth(part: list[Node]) -> bool:
    names = {n.op.name for n in part}
    return bool(names & {"tanh", "sigmoid", "relu", "exp", "maximum", "where", "clip"})


def _said(names: Iterable[str]) -> str:
    return ", ".join(f"`{n}`" for n in names)


def _is_activation(part: list[Node]) -> bool:
    """Whether a part of a chain is an activation alone: one operation, or one written out with exp."""
    names = {n.op.name for n in part}
    return names <= {"tanh", "sigmoid", "relu", "maximum", "where", "clip"} or "exp" in names


def _name(part: list[Node], slope: np.ndarray) -> tuple[str, str]:
    """What is missing when a part of a chain has no derivative."""
    names = [n.op.name for n in part]
    said = _said(names)
    flat = np.asarray(slope)
    distinct = np.unique(np.round(flat, 12))
    if set(names) <= {"multiply", "divide", "where"}:
        if distinct.size == 1:
            return "dropout not scaled", f"the factor {distinct[0]:.6g} of {said} is missing (1/keep_prob?)"
        if distinct.size == 2 and 0.0 in distinct:
            return "dropout mask", "the dropout mask is not applied in backward"
    if _smooth(part):
        return "activation derivative", f"the derivative of the activation ({said}) is missing"
    return "missing factor", f"the derivative of {said} is missing"


def _other_slopes(before: Any, after: Any) -> list[tuple[str, Any]]:
    """Derivatives mistaken for another: formulas at the activation `after`, or at what goes in, `before`."""
    formulas: list[tuple[str, Any]] = []
    if after is not None:
        formulas += [
            ("of sigmoid, a * (1 - a)", after * (1 - after)), ("of tanh, 1 - a**2", 1 - after**2),
            ("of ReLU, a > 0", (after > 0) * 1.0), ("a, without its (1 - a)", after),
            ("1 - a alone, without a square or a factor a,", 1 - after), ("a**2, without its 1 -,", after**2),
        ]  # fmt: skip
    if before is not None:
        formulas += [
            ("of sigmoid taken at z: z * (1 - z)", before * (1 - before)),
            ("of tanh taken at z: 1 - z**2", 1 - before**2), ("of ReLU, z > 0", (before > 0) * 1.0),
            ("of ReLU the wrong way round, z < 0", (before < 0) * 1.0),
            ("of tanh, 1 - tanh(z)**2", 1 - np.tanh(before) ** 2),
            ("of sigmoid, s(z) * (1 - s(z))", (1 - np.tanh(before / 2) ** 2) / 4),
            ("the activation itself, max(z, 0),", np.maximum(before, 0)),
        ]  # fmt: skip
    return formulas


def _factors(trace: Trace, node: Node) -> Iterator[tuple[float, str, str, dict[str, Any]]]:
    """A product of two live values whose other factor is forgotten."""
    live = [type(p) is Node for p in node.parents]
    for side in (0, 1) if all(live) else ():

        def forget(at: Node, g: Any, c: tuple[Any, ...], side: int = side) -> Any:
            return tuple(g if i == side else x for i, x in enumerate(c)) if at is node else c

        other = ("second", "first")[side]
        yield (
            3,
            "missing factor",
            f"the {other} factor of `{node.op.name}` is left out",
            trace.gradients(forget),
        )


def _products(trace: Trace, node: Node) -> Iterator[tuple[float, str, str, dict[str, Any]]]:
    """A matrix product whose backward takes the other operand untransposed, or another value like it."""
    operands = dict(zip(node.op.saves, node.saved or ()))
    for side in (0, 1):
        other = operands.get(node.op.inputs[1 - side])
        if type(node.parents[side]) is not Node or other is None or other.ndim != 2:
            continue
        right = other.T
        choices = [("transpose", "the other factor of the matrix product is not transposed", other)]
        for value in (*trace.values.values(), *trace.constants):
            if value.ndim == 2 and value.shape == other.shape:
                choices.append(
                    ("wrong layer", "the matrix product takes the values of another layer", value.T)
                )
        for kind, words, factor in choices:
            if factor.shape != right.shape or close(factor, right):
                continue

            def swap(at: Node, g: Any, c: tuple[Any, ...], side: int = side, factor: Any = factor) -> Any:
                if at is not node:
                    return c
                mine = g @ factor if side == 0 else factor @ g
                return (mine, c[1]) if side == 0 else (c[0], mine)

            yield 2.5, kind, words, trace.gradients(swap)


def _on_edges(trace: Trace, context: Context) -> Iterator[Guess]:
    """Sums over a broadcast axis done wrongly, seen from the gradient before the sum."""
    before: dict[int, Any] = {}

    def watch(node: Node, g: Any, contributions: tuple[Any, ...]) -> Any:
        for parent, c in zip(node.parents, contributions):
            if type(parent) is Node and c is not None and c.shape != parent.shape:
                before[parent.serial] = c
        return contributions

    trace.gradients(watch)
    for name in context.wrong:
        node, a = trace.inputs[name], context.given.get(name)
        full = before.get(node.serial) if node is not None else None
        if full is None or a is None:
            continue
        if close(a, full):
            yield Guess(
                "missing sum",
                "the sum over the axis along which the input was broadcast is left out",
                [name],
                0.5,
            )
        for axis in range(full.ndim):
            for keepdims in (False, True):
                for kind, f in (("sum", np.sum), ("mean", np.mean)):
                    value = f(full, axis=axis, keepdims=keepdims)
                    if close(a, value) and not close(value.reshape(-1), context.truth[name].reshape(-1)):
                        right = value.shape == context.truth[name].shape and kind == "mean"
                        words = (
                            f"the gradient is the mean over axis {axis}; the broadcast asks for the sum"
                            if right
                            else f"the {kind} is taken over axis {axis}, which was not broadcast"
                        )
                        yield Guess("mean for sum" if right else "wrong axis", words, [name], 0.6)
        total = np.sum(full)
        if (
            np.size(a) != full.size
            and close(a, np.broadcast_to(total, np.shape(a)))
            and not close(a, context.truth[name])
        ):
            yield Guess("wrong axis", "the sum is taken over all axes", [name], 0.7)
