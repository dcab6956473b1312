"""Mistakes inside a chain of layers: the backward pass is repeated on the traced graph with one mistake injected.

A wrong step changes every gradient upstream of it, so the whole set of gradients identifies the mistake.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tinygrad_dl.backward import unbroadcast
from tinygrad_dl.graph import Node, ancestors
from tinygrad_dl.modes import Watcher
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.gradient_mistakes import Context, Guess, close
from tinygrad_dl.typing import Input, NDArray

if TYPE_CHECKING:
    from tinygrad_dl.op import Op
    from tinygrad_dl.testing.doctor import Pair

# What activations are written with in NumPy; any expression that contains exp is taken for one, too.
ACTIVATIONS = frozenset(("tanh", "sigmoid", "relu", "maximum", "where", "clip"))
# Longer chains of elementwise operations are not activations, and their parts are too many to try.
MAX_CHAIN = 12

#: The gradients that a node returns to its parents, None for what needs no gradient.
Contributions: TypeAlias = tuple[Any, ...]
#: Replaces the contributions of a node, given the gradient that arrives at it.
Mutation: TypeAlias = Callable[[Node, NDArray, Contributions], Contributions]
#: Serial of the end of a chain -> its start, and the local derivative to use for the whole chain.
Shortcuts: TypeAlias = dict[int, tuple[Node, Any]]


class Variant(NamedTuple):
    """The gradients of a backward pass with one mistake injected; a lower rank is a likelier mistake."""

    rank: float
    kind: str
    words: str
    gradients: dict[str, Any]


class ChainMistake(NamedTuple):
    """A mistake in the derivative of a chain; `key` is equal for the same mistake in equal chains."""

    key: tuple[Any, ...]
    rank: float
    kind: str
    words: str
    shortcuts: Shortcuts


class ValueRecorder(Watcher):
    """Records the values that a forward computes, by the serial of their node, and its constant arrays."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[int, NDArray] = {}
        self.constants: list[NDArray] = []

    def after_forward(self, op: Op, inputs: Sequence[Input], options: Sequence[object], result: Any) -> None:
        """Called by the engine after each operation."""
        if result.node is not None:
            self.values[result.node.serial] = result.data
        self.constants += [x for x in inputs if isinstance(x, np.ndarray)]


class Trace:
    """The graph of one forward on Tensors, the values of its nodes, and the nodes of its inputs by name."""

    def __init__(
        self, output: Tensor, inputs: dict[str, Tensor], g: NDArray, recorder: ValueRecorder
    ) -> None:
        assert output.node is not None
        self.root, self.nodes = output.node, ancestors([output.node])
        self.inputs = {name: t.node for name, t in inputs.items()}
        self.seed = g.reshape(output.shape)
        self.values = {t.node.serial: t.data for t in inputs.values() if t.node is not None}
        self.values |= recorder.values
        self.constants = recorder.constants
        self.users: dict[int, list[Node]] = {}
        for node in self.nodes:
            for parent in node.parents:
                if type(parent) is Node:
                    self.users.setdefault(parent.serial, []).append(node)

    @staticmethod
    def of(pair: Pair, g: NDArray) -> Trace | None:
        """Trace a NumPy forward; None where autograd cannot follow it."""
        values = list(pair.values)
        tensors = {}
        for k in pair.live:
            values[k] = tensors[pair.names[k]] = Tensor(values[k], requires_grad=True)
        recorder = ValueRecorder()
        try:
            with recorder:
                output = pair.run(values)[0]
        except Exception:  # whatever a learner's code raises on Tensors: it is checked by differences alone
            return None
        if not isinstance(output, Tensor) or output.node is None or output.size != g.size:
            return None
        return Trace(output, tensors, g, recorder)

    def gradients(
        self, mutation: Mutation | None = None, shortcuts: Shortcuts | None = None
    ) -> dict[str, Any]:
        """Run the backward pass and return the gradients of the inputs, with a mistake if one is given."""
        # The backward pass of the engine, without its freeing and accumulation in place: the trace is used many times.
        pending: dict[int, Any] = {self.root.serial: self.seed}
        found: dict[int, Any] = {}
        for node in reversed(self.nodes):
            g = pending.pop(node.serial, None)
            if g is None:
                continue
            if node.op is None:
                found[node.serial] = g
                continue
            if shortcuts is not None and node.serial in shortcuts:
                start, factor = shortcuts[node.serial]
                pairs = [(start, g * factor)]
            else:
                contributions = tuple(node.op.vjp(node, g))
                if mutation is not None:
                    contributions = mutation(node, g, contributions)
                pairs = [
                    (p, c) for p, c in zip(node.parents, contributions) if type(p) is Node and c is not None
                ]
            for parent, c in pairs:
                c = c if np.shape(c) == parent.shape else unbroadcast(c, parent.shape)
                pending[parent.serial] = pending[parent.serial] + c if parent.serial in pending else c
        return {
            name: found.get(node.serial, np.zeros(node.shape)) for name, node in self.inputs.items() if node
        }


def variants(trace: Trace, context: Context) -> list[Guess]:
    """Return the injected mistakes that reproduce gradients of the learner."""
    found: dict[tuple[str, str], Guess] = {}
    for rank, kind, words, gradients in _variants(trace):
        explained = [
            n
            for n in context.wrong
            if n in gradients
            and close(gradients[n], context.given.get(n))
            and not close(gradients[n], context.truth[n])
        ]
        contradicted = [
            n
            for n in context.truth
            if n not in context.wrong and not close(gradients.get(n), context.truth[n])
        ]
        if explained:
            # Gradients that the learner has right are evidence against the mistake, but do not rule it out:
            # a backward may compute the same derivative in two lines and have one of them right.
            found.setdefault((kind, words), Guess(kind, words, explained, rank + 5 * len(contradicted)))
    for guess in _broadcast_sums(trace, context):
        found.setdefault((guess.kind, guess.words), guess)
    return list(found.values())


def _variants(trace: Trace) -> Iterator[Variant]:
    # Injected mistakes may divide by 0 or overflow, which is not the learner's concern.
    with np.errstate(all="ignore"):
        by_key: dict[tuple[Any, ...], list[ChainMistake]] = {}
        for chain in _chains(trace):
            for mistake in _chain_mistakes(trace, chain):
                by_key.setdefault(mistake.key, []).append(mistake)
                gradients = trace.gradients(shortcuts=mistake.shortcuts)
                yield Variant(mistake.rank, mistake.kind, mistake.words, gradients)
        for same in by_key.values():
            if len(same) > 1:  # code that loops over layers makes one mistake in all of them
                first = same[0]
                merged = {end: shortcut for mistake in same for end, shortcut in mistake.shortcuts.items()}
                words = f"{first.words}, in {len(same)} layers"
                yield Variant(first.rank, first.kind, words, trace.gradients(shortcuts=merged))
        for node in trace.nodes:
            users = trace.users.get(node.serial, [])
            if len(users) > 1 and node.op is not None or len(users) > 1 and node.serial in trace.values:
                for user in dict.fromkeys(users):

                    def drop(
                        at: Node, g: NDArray, c: Contributions, user: Node = user, node: Node = node
                    ) -> Contributions:
                        if at is not user:
                            return c
                        return tuple(None if p is node else x for p, x in zip(at.parents, c))

                    words = f"the gradient through `{user.op.name}` is missing where several paths meet"
                    yield Variant(3, "missing path", words, trace.gradients(drop))
            if node.op is not None and node.op.name in ("multiply", "divide"):
                yield from _missing_factors(trace, node)
            if node.op is not None and node.op.name == "matmul":
                yield from _wrong_operands(trace, node)


def _chains(trace: Trace) -> Iterator[list[Node]]:
    """Yield maximal paths of elementwise nodes, each the only user of the one before: [start, ..., end]."""
    inputs = {node.serial: _elementwise_input(node) for node in trace.nodes}
    ends = []
    for node in trace.nodes:
        if inputs[node.serial] is None:
            continue
        users = trace.users.get(node.serial, [])
        if len(users) != 1 or inputs[users[0].serial] is not node:
            ends.append(node)
    for end in ends:
        chain = [end]
        while (parent := inputs[chain[0].serial]) is not None:
            chain.insert(0, parent)
            if len(trace.users.get(parent.serial, [])) > 1:  # the gradient is a sum over several paths there
                break
        if len(chain) <= MAX_CHAIN:
            yield chain


def _elementwise_input(node: Node) -> Node | None:
    """Return the parent of an elementwise node with one differentiable input of its own shape, otherwise None.

    Elementwise means that the Jacobian is diagonal: the vjp multiplies g by the same numbers, whatever g is.
    """
    parents = [p for p in node.parents if type(p) is Node]
    if node.op is None or len(parents) != 1 or parents[0].shape != node.shape:
        return None
    # The values of a probe are distinct, so that an operation that moves elements does not look elementwise.
    probe = np.linspace(1.0, 2.0, max(int(np.prod(node.shape)), 2))[: int(np.prod(node.shape))].reshape(
        node.shape
    )
    diagonal = _local_derivative(node, parents[0], np.ones(node.shape))
    product = _local_derivative(node, parents[0], probe)
    elementwise = np.shape(product) == node.shape and np.allclose(product, probe * diagonal, equal_nan=True)
    return parents[0] if elementwise else None


def _local_derivative(node: Node, parent: Node, g: NDArray) -> Any:
    """Return what the vjp of a node gives one of its parents for the gradient `g`."""
    return next(c for p, c in zip(node.parents, node.op.vjp(node, g)) if p is parent)


def _chain_mistakes(trace: Trace, chain: list[Node]) -> Iterator[ChainMistake]:
    """Yield the derivative of each part of a chain left out, or replaced by that of another activation."""
    derivatives = [
        np.broadcast_to(_local_derivative(node, before, np.ones(node.shape)), node.shape)
        for before, node in zip(chain, chain[1:])
    ]
    names = tuple(n.op.name for n in chain[1:])
    for i in range(len(derivatives)):
        for j in range(i + 1, len(derivatives) + 1):
            derivative = np.prod(np.array(derivatives[i:j]), axis=0)
            if close(derivative, np.ones_like(derivative)):
                continue  # leaving it out changes nothing
            part = names[i:j]
            start, end = chain[i], chain[j]
            kind, words = _missing(part, derivative)
            # A whole chain left out is likelier than a part of it.
            rank = 3.5 if kind == "missing factor" else 1 + 0.1 * (j - i != len(derivatives))
            yield ChainMistake((names, i, j), rank, kind, words, {end.serial: (start, 1.0)})
            if not _is_activation(part):
                continue
            z, a = trace.values.get(start.serial), trace.values.get(end.serial)
            for formula, other in _activation_derivatives(z, a):
                if not close(other, derivative):
                    words = f"the derivative used is {formula} instead of the activation's own (`{' '.join(part)}`)"
                    shortcuts = {end.serial: (start, other)}
                    yield ChainMistake((names, i, j, formula), 2, "wrong activation", words, shortcuts)


def _is_activation(names: Sequence[str]) -> bool:
    """Whether operations are an activation: one or several of its usual parts, or an expression with exp."""
    return ACTIVATIONS.issuperset(names) or "exp" in names


def _missing(names: Sequence[str], derivative: NDArray) -> tuple[str, str]:
    """Return kind and words for a part of a chain whose derivative is left out."""
    listed = ", ".join(f"`{name}`" for name in names)
    values = np.unique(np.round(derivative, 12))
    if {"multiply", "divide", "where"}.issuperset(names):
        inverse = 1 / float(values[0]) if values.size == 1 and values[0] else 0.0
        if derivative.size == 1 and inverse > 1.5 and abs(inverse - round(inverse)) < 1e-9:
            m = round(inverse)  # dropout scales activations, a mean divides one number
            return "missing 1/m", f"the gradient is {m} times too large: is the 1/{m} of {listed} missing?"
        if values.size == 1:
            return "dropout not scaled", f"the factor {values[0]:.6g} of {listed} is missing (1/keep_prob?)"
        if values.size == 2 and 0.0 in values:
            return "dropout mask", "the dropout mask is not applied in backward"
    if not {"exp", *ACTIVATIONS}.isdisjoint(names):
        return "activation derivative", f"the derivative of the activation ({listed}) is missing"
    return "missing factor", f"the derivative of {listed} is missing"


def _activation_derivatives(z: NDArray | None, a: NDArray | None) -> list[tuple[str, NDArray]]:
    """Return derivatives that are mistaken for another, at the activation `a` or at its input `z`."""
    formulas: list[tuple[str, NDArray]] = []
    if a is not None:
        formulas += [
            ("of sigmoid, a * (1 - a)", a * (1 - a)),
            ("of tanh, 1 - a**2", 1 - a**2),
            ("of ReLU, a > 0", (a > 0) * 1.0),
            ("a, without its (1 - a)", a),
            ("1 - a alone, without a square or a factor a,", 1 - a),
            ("a**2, without its 1 -,", a**2),
        ]
    if z is not None:
        formulas += [
            ("of sigmoid taken at z: z * (1 - z)", z * (1 - z)),
            ("of tanh taken at z: 1 - z**2", 1 - z**2),
            ("of ReLU, z > 0", (z > 0) * 1.0),
            ("of ReLU with the wrong sign, z < 0", (z < 0) * 1.0),
            ("of tanh, 1 - tanh(z)**2", 1 - np.tanh(z) ** 2),
            ("of sigmoid, s(z) * (1 - s(z))", (1 - np.tanh(z / 2) ** 2) / 4),
            ("the activation itself, max(z, 0),", np.maximum(z, 0)),
        ]
    return formulas


def _missing_factors(trace: Trace, node: Node) -> Iterator[Variant]:
    """Yield a product of two differentiable values in whose derivative the other factor is left out."""
    both = all(type(p) is Node for p in node.parents)
    for side in (0, 1) if both else ():

        def leave_out(at: Node, g: NDArray, c: Contributions, side: int = side) -> Contributions:
            return tuple(g if i == side else x for i, x in enumerate(c)) if at is node else c

        other = ("second", "first")[side]
        words = f"the {other} factor of `{node.op.name}` is left out"
        yield Variant(3, "missing factor", words, trace.gradients(leave_out))


def _wrong_operands(trace: Trace, node: Node) -> Iterator[Variant]:
    """Yield a matrix product whose backward uses the other operand untransposed, or another value of its shape."""
    operands = dict(zip(node.op.saves, node.saved or ()))
    for side in (0, 1):
        other = operands.get(node.op.inputs[1 - side])
        if type(node.parents[side]) is not Node or other is None or other.ndim != 2:
            continue
        correct = other.T
        choices = [("transpose", "the other factor of the matrix product is not transposed", other)]
        for value in (*trace.values.values(), *trace.constants):
            if value.ndim == 2 and value.shape == other.shape:
                choices.append(
                    ("wrong layer", "the matrix product uses the values of another layer", value.T)
                )
        for kind, words, factor in choices:
            if factor.shape != correct.shape or close(factor, correct):
                continue

            def replace(
                at: Node, g: NDArray, c: Contributions, side: int = side, factor: NDArray = factor
            ) -> Contributions:
                if at is not node:
                    return c
                return (g @ factor, c[1]) if side == 0 else (c[0], factor @ g)

            yield Variant(2.5, kind, words, trace.gradients(replace))


def _broadcast_sums(trace: Trace, context: Context) -> Iterator[Guess]:
    """Yield wrong sums over a broadcast axis, recognized from the gradient before the sum."""
    unsummed: dict[int, NDArray] = {}

    def record(node: Node, g: NDArray, contributions: Contributions) -> Contributions:
        for parent, c in zip(node.parents, contributions):
            if type(parent) is Node and c is not None and c.shape != parent.shape:
                unsummed[parent.serial] = c
        return contributions

    trace.gradients(record)
    for name in context.wrong:
        node, a = trace.inputs[name], context.given.get(name)
        full = unsummed.get(node.serial) if node is not None else None
        if full is None or a is None:
            continue
        if close(a, full):
            yield Guess(
                "missing sum",
                "the sum over the axis along which the input was broadcast is missing",
                [name],
                0.5,
            )
        for axis in range(full.ndim):
            for keepdims in (False, True):
                for kind, f in (("sum", np.sum), ("mean", np.mean)):
                    value = f(full, axis=axis, keepdims=keepdims)
                    if close(a, value) and not close(value.reshape(-1), context.truth[name].reshape(-1)):
                        right_axis = value.shape == context.truth[name].shape and kind == "mean"
                        words = (
                            f"the gradient is the mean over axis {axis}; broadcasting requires the sum"
                            if right_axis
                            else f"the {kind} is taken over axis {axis}, which was not broadcast"
                        )
                        yield Guess("mean for sum" if right_axis else "wrong axis", words, [name], 0.6)
        total = np.sum(full)
        if (
            np.size(a) != full.size
            and close(a, np.broadcast_to(total, np.shape(a)))
            and not close(a, context.truth[name])
        ):
            yield Guess("wrong axis", "the sum is taken over all axes", [name], 0.7)
