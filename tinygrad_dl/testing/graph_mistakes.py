"""Mistakes inside a chain of layers: the backward pass is repeated on the traced graph with one mistake injected.

A wrong step changes every gradient upstream of it, so the whole set of gradients identifies the mistake.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np

from tinygrad_dl.anomaly import Origin
from tinygrad_dl.backward import unbroadcast
from tinygrad_dl.graph import Node, ancestors
from tinygrad_dl.modes import Watcher
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.gradient_mistakes import Context, Guess, close
from tinygrad_dl.typing import Input, NDArray

if TYPE_CHECKING:
    from tinygrad_dl.op import Op
    from tinygrad_dl.testing.forms import Pair

# What activations are written with in NumPy; any expression that contains exp is taken for one, too.
ACTIVATIONS = frozenset(("tanh", "sigmoid", "relu", "maximum", "where", "clip"))
# Longer chains of elementwise operations are not activations, and their parts are too many to try.
MAX_CHAIN = 12
# So many pairs of missing paths are tried.
MAX_PAIRS = 150

#: The gradients that a node returns to its parents, None for what needs no gradient.
Contributions: TypeAlias = tuple[Any, ...]
#: Replaces the contributions of a node, given the gradient that arrives at it.
Mutation: TypeAlias = Callable[[Node, NDArray, Contributions], Contributions]
#: Serial of the end of a region -> its start, and the local derivative to use for it, or a function of the gradient.
Shortcuts: TypeAlias = dict[int, tuple[Node, Any]]


class Variant(NamedTuple):
    """The gradients of a backward pass with one mistake injected; a lower rank is a likelier mistake."""

    rank: float
    kind: str
    words: str
    gradients: dict[str, Any]
    place: str = ""


class Region(NamedTuple):
    """Elementwise operations between two values, such as an activation: their names and their joint derivative."""

    start: Node
    end: Node
    derivative: NDArray
    names: tuple[str, ...]


class Replaced(NamedTuple):
    """A mistake in the derivative of a region; `key` is equal for the same mistake in equal regions."""

    key: tuple[Any, ...]
    rank: float
    kind: str
    words: str
    shortcuts: Shortcuts
    place: str


class ValueRecorder(Watcher):
    """Records what a forward computes, by the serial of the node, its constants, and the lines it is written in."""

    def __init__(self) -> None:
        super().__init__()
        self.values: dict[int, NDArray] = {}
        self.constants: list[NDArray] = []
        self.places: dict[int, str] = {}

    def after_forward(self, op: Op, inputs: Sequence[Input], options: Sequence[object], result: Any) -> None:
        """Called by the engine after each operation."""
        if result.node is not None:
            self.values[result.node.serial] = result.data
            self.places[result.node.serial] = Origin(None).place
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
        self.constants, self.places = recorder.constants, recorder.places
        self.ignored: set[tuple[int, int]] = set()  # (user, parent): a path without effect
        self.users: dict[int, list[Node]] = {}
        for node in self.nodes:
            for parent in node.parents:
                if type(parent) is Node:
                    self.users.setdefault(parent.serial, []).append(node)

    def divisors(self) -> set[int]:
        """The numbers that the forward divides by, such as the number of examples."""
        found = set()
        for node in self.nodes:
            if node.op is None:
                continue
            if node.op.name == "mean":
                sizes = [p.shape for p in node.parents if type(p) is Node]
                found |= {int(np.prod(shape)) // max(int(np.prod(node.shape)), 1) for shape in sizes}
            if node.op.name in ("divide", "multiply"):
                numbers = [float(p) for p in node.parents if isinstance(p, (int, float))]
                for x in [n if node.op.name == "divide" else 1 / n for n in numbers if n]:
                    if 1.5 < abs(x) < 1e9:
                        found.add(round(abs(x)))
        return found

    def place(self, node: Node) -> str:
        """The line of the forward that made a node."""
        found = re.match(r"(.*?):(\d+): (.*)", self.places.get(node.serial, ""), re.DOTALL)
        return f"line {found[2]} of {Path(found[1]).name}: {found[3]}" if found else ""

    @staticmethod
    def of(pair: Pair, g: NDArray) -> Trace | None:
        """Trace a NumPy forward; None where autograd cannot follow it."""
        tensors = {name: Tensor(array, requires_grad=True) for name, array in zip(pair.names, pair.arrays)}
        recorder = ValueRecorder()
        try:
            with recorder, warnings.catch_warnings():
                warnings.simplefilter("ignore")  # a Tensor written into an array: that is not traced
                output = pair.traced(list(tensors.values()))
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
                pairs = [(start, factor(g) if callable(factor) else g * factor)]
            else:
                contributions = tuple(node.op.vjp(node, g))
                if mutation is not None:
                    contributions = mutation(node, g, contributions)
                pairs = [
                    (p, c)
                    for p, c in zip(node.parents, contributions)
                    if type(p) is Node and c is not None and (node.serial, p.serial) not in self.ignored
                ]
            for parent, contribution in pairs:
                c: Any = contribution
                c = c if np.shape(c) == parent.shape else unbroadcast(c, parent.shape)
                pending[parent.serial] = pending[parent.serial] + c if parent.serial in pending else c
        return {
            name: found.get(node.serial, np.zeros(node.shape)) for name, node in self.inputs.items() if node
        }


def variants(trace: Trace, context: Context) -> list[Guess]:
    """Return the injected mistakes that reproduce gradients of the learner."""
    found: dict[tuple[str, str], Guess] = {}
    _ignore_stabilizing_maxima(trace, context)
    for rank, kind, words, gradients, place in _variants(trace, context):
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
            # A factor that some gradients lack is rather that of a layer than of the cost.
            inside = kind == "dropout not scaled" and len(context.wrong) < len(context.truth)
            guess = Guess(kind, words, explained, rank + 5 * len(contradicted) - 2 * inside, place)
            same = found.setdefault((kind, words), guess)
            same.inputs += [n for n in explained if n not in same.inputs]
    for guess in _broadcast_sums(trace, context):
        found.setdefault((guess.kind, guess.words), guess)
    return list(found.values())


def penalties(trace: Trace, truth: Mapping[str, NDArray]) -> dict[str, NDArray]:
    """The part of each gradient that comes from the sum of squares of the input itself: the L2 term."""
    drops = [
        _dropped(user, node)
        for node in trace.inputs.values()
        if node is not None
        for user in trace.users.get(node.serial, [])
        if _is_square(user, node)
    ]
    if not drops:
        return {}
    rest = trace.gradients(_all_of(drops))
    found = {name: truth[name] - rest[name] for name in truth if name in rest}
    return {name: p for name, p in found.items() if np.any(p != 0) and np.any(rest[name] != 0)}


def _is_square(user: Node, node: Node) -> bool:
    """Whether a node is the square of another."""
    return user.op.name in ("square", "power", "multiply") and all(
        p is node for p in user.parents if type(p) is Node
    )


def _ignore_stabilizing_maxima(trace: Trace, context: Context) -> None:
    """Drop the path through the maximum that softmax subtracts: its gradients cancel, and nobody writes them down."""
    paths = {
        (user.serial, node.serial)
        for node in trace.nodes
        if node.op is not None and node.op.name in ("max", "amax", "amin", "min")
        for user in trace.users.get(node.serial, [])
        if user.op.name == "subtract"
    }
    if paths:
        trace.ignored = paths
        gradients = trace.gradients()
        if not all(close(gradients.get(n), context.truth[n]) for n in context.truth):
            trace.ignored = set()


def _variants(trace: Trace, context: Context) -> Iterator[Variant]:
    # Injected mistakes may divide by 0 or overflow, which is not the learner's concern.
    with np.errstate(all="ignore"):
        by_key: dict[tuple[Any, ...], list[Replaced]] = {}
        for region in _regions(trace):
            for mistake in _region_mistakes(trace, region):
                by_key.setdefault(mistake.key, []).append(mistake)
                # The last layer may be another matter than those before: what uses its result is another operation.
                after = tuple(sorted({user.op.name for user in trace.users.get(region.end.serial, [])}))
                by_key.setdefault((*mistake.key, after), []).append(mistake)
                gradients = trace.gradients(shortcuts=mistake.shortcuts)
                yield Variant(mistake.rank, mistake.kind, mistake.words, gradients, mistake.place)
        for same in by_key.values():
            if len(same) > 1:  # code that loops over layers makes one mistake in all of them
                first = same[0]
                merged = {end: shortcut for mistake in same for end, shortcut in mistake.shortcuts.items()}
                words = f"{first.words}, in {len(same)} layers"
                gradients = trace.gradients(shortcuts=merged)
                yield Variant(first.rank, first.kind, words, gradients, first.place)
        yield from _softmax_mistakes(trace)
        yield from _missing_paths(trace)
        yield from _overwritten(trace, context)
        operands: dict[tuple[str, str, int], list[tuple[Mutation, Node]]] = {}
        for node in trace.nodes:
            if node.op is not None and node.op.name in ("multiply", "divide"):
                yield from _missing_factors(trace, node)
            if node.op is not None and node.op.name == "matmul":
                for kind, words, mutation, key in _wrong_operands(trace, node):
                    operands.setdefault((kind, words, key), []).append((mutation, node))
                    yield Variant(2.5, kind, words, trace.gradients(mutation), trace.place(node))
        for (kind, words, _), many in operands.items():
            if len(many) > 1:  # the same weights in every step
                gradients = trace.gradients(_all_of([m for m, _ in many]))
                yield Variant(2.5, kind, f"{words}, in {len(many)} steps", gradients, trace.place(many[0][1]))


def _all_of(mutations: Sequence[Mutation]) -> Mutation:
    def mutate(node: Node, g: NDArray, contributions: Contributions) -> Contributions:
        for mutation in mutations:
            contributions = mutation(node, g, contributions)
        return contributions

    return mutate


def _dropped(user: Node, node: Node) -> Mutation:
    """The gradient of a node through one of its users is missing."""

    def drop(at: Node, g: NDArray, c: Contributions) -> Contributions:
        return tuple(None if p is node else x for p, x in zip(at.parents, c)) if at is user else c

    return drop


def _missing_paths(trace: Trace) -> Iterator[Variant]:
    """Yield gradients that lack one of the paths that meet in a node, the same one everywhere, or two of them."""
    single: list[tuple[Mutation, str, Node]] = []
    groups: dict[tuple[str, str], list[tuple[Mutation, Node]]] = {}
    for node in trace.nodes:
        users = list(dict.fromkeys(trace.users.get(node.serial, [])))
        if len(users) < 2 or node.op is None and node.serial not in trace.values:
            continue
        for user in users:
            drop = _dropped(user, node)
            if node.op is None and _is_square(user, node):
                words = (
                    "the derivative of the sum of squares that is added to the cost is missing: lambda/m * W"
                )
                yield Variant(2.9, "L2 term", words, trace.gradients(drop), trace.place(user))
                continue
            words = f"the gradient through `{user.op.name}` is missing where several paths meet"
            single.append((drop, words, user))
            name = node.op.name if node.op is not None else ""
            groups.setdefault((name, user.op.name), []).append((drop, user))
            yield Variant(3, "missing path", words, trace.gradients(drop), trace.place(user))
    for (_, user_name), many in groups.items():
        if len(many) > 1:
            words = f"the gradient through `{user_name}` is missing where several paths meet, in {len(many)} steps"
            gradients = trace.gradients(_all_of([drop for drop, _ in many]))
            yield Variant(3.1, "missing path", words, gradients, trace.place(many[0][1]))
    pairs = [(a, b) for i, a in enumerate(single) for b in single[i + 1 :]]
    for (first, _, user), (second, _, other) in pairs[:MAX_PAIRS]:
        words = f"the gradients through `{user.op.name}` and `{other.op.name}` are missing where several paths meet"
        gradients = trace.gradients(_all_of([first, second]))
        yield Variant(3.6, "missing path", words, gradients, trace.place(user))


def _overwritten(trace: Trace, context: Context) -> Iterator[Variant]:
    """Yield gradients of an input that is used several times, of which one use alone counts: = instead of +=."""
    for name, node in trace.inputs.items():
        users = sorted(
            dict.fromkeys(trace.users.get(node.serial, []) if node is not None else []),
            key=lambda n: -n.serial,
        )
        if len(users) < 2 or name not in context.wrong or len({u.op.name for u in users}) > 1:
            continue
        for kept, which in ((users[0], "first"), (users[-1], "last")):
            drops = [_dropped(user, node) for user in users if user is not kept and node is not None]
            words = f"only the {which} of several uses counts: is it = where += belongs, in the loop?"
            yield Variant(2.4, "overwritten", words, trace.gradients(_all_of(drops)), trace.place(kept))


def _softmax_mistakes(trace: Trace) -> Iterator[Variant]:
    """Yield a softmax whose Jacobian, diag(a) - a a^T, is replaced by a part of it."""
    for node in trace.nodes:
        a = trace.values.get(node.serial)
        if node.op is None or node.op.name != "divide" or a is None or a.ndim == 0:
            continue
        numerator = node.parents[0]
        if type(numerator) is not Node or numerator.op is None or numerator.op.name != "exp":
            continue
        axes = [
            k for k in range(a.ndim) if a.shape[k] > 1 and close(a.sum(axis=k), np.ones_like(a.sum(axis=k)))
        ]
        start = next((p for p in numerator.parents if type(p) is Node), None)
        if not axes or start is None or start.shape != node.shape:
            continue
        choices: list[tuple[str, str, Any]] = [
            ("wrong activation", "softmax is differentiated element by element, a * (1 - a)", a * (1 - a)),
            ("missing path", "the sum of g * a is not subtracted in the derivative of softmax", a),
            ("activation derivative", "the derivative of softmax is missing", 1.0),
        ]
        for axis in range(a.ndim):
            if axis not in axes:
                choices.append(
                    ("wrong axis", f"softmax sums over axis {axis} in backward", _softmax_over(a, axis))
                )
        for kind, words, factor in choices:
            gradients = trace.gradients(shortcuts={node.serial: (start, factor)})
            yield Variant(1.5, kind, words, gradients, trace.place(node))


def _softmax_over(a: NDArray, axis: int) -> Callable[[NDArray], NDArray]:
    return lambda g: a * (g - (g * a).sum(axis=axis, keepdims=True))


def _regions(trace: Trace) -> Iterator[Region]:
    """Yield parts of the graph that are elementwise from one value to another: every path between them, complete."""
    local: dict[int, list[tuple[Node, NDArray]] | None] = {}
    by_serial = {node.serial: node for node in trace.nodes}
    for end in trace.nodes:
        if end.op is None:
            continue
        gradients: dict[int, Any] = {end.serial: np.ones(end.shape)}
        visited: list[Node] = []
        while len(visited) < MAX_CHAIN:
            node = by_serial[min(gradients)]  # the newest
            if node.serial not in local:
                local[node.serial] = _local_derivatives(node)
            parents = local[node.serial]
            if parents is None:
                break
            g = gradients.pop(node.serial)
            visited.append(node)
            for parent, derivative in parents:
                gradients[parent.serial] = gradients.get(parent.serial, 0.0) + g * derivative
            if len(gradients) == 1:
                serial = next(iter(gradients))
                names = tuple(n.op.name for n in reversed(visited))
                yield Region(by_serial[serial], end, gradients[serial], names)
                if any(user not in visited for user in trace.users.get(serial, [])):
                    break  # the gradient is a sum over several paths there


def _local_derivatives(node: Node) -> list[tuple[Node, NDArray]] | None:
    """The local derivatives of an elementwise node, None if it is not elementwise.

    Elementwise means that the Jacobians are diagonal: the vjp multiplies g by the same numbers, whatever g is.
    """
    parents = list(dict.fromkeys(p for p in node.parents if type(p) is Node))
    if node.op is None or not parents or any(p.shape != node.shape for p in parents):
        return None
    # The values of a probe are distinct, so that an operation that moves elements does not look elementwise.
    count = int(np.prod(node.shape))
    probe = np.linspace(1.0, 2.0, max(count, 2))[:count].reshape(node.shape)
    ones, other = node.op.vjp(node, np.ones(node.shape)), node.op.vjp(node, probe)
    found = []
    for parent in parents:
        at = [k for k, p in enumerate(node.parents) if p is parent]
        if any(ones[k] is None or np.shape(ones[k]) != node.shape for k in at):
            return None
        diagonal, product = sum(ones[k] for k in at), sum(other[k] for k in at)
        if not np.allclose(product, probe * diagonal, equal_nan=True):
            return None
        found.append((parent, np.asarray(diagonal)))
    return found


def _region_mistakes(trace: Trace, region: Region) -> Iterator[Replaced]:
    """Yield the derivative of a region left out, or replaced by that of another activation."""
    start, end, derivative, names = region
    # The same operations after the same one: a mask after a ReLU is no label before a logarithm.
    before = start.op.name if start.op is not None else ""
    if close(derivative, np.ones_like(derivative)):
        return  # leaving it out changes nothing
    z, a = trace.values.get(start.serial), trace.values.get(end.serial)
    kind, words = _missing(names, derivative, z)
    # A whole activation left out is likelier than a part of it.
    whole = (
        len(trace.users.get(end.serial, [])) != 1 or _local_derivatives(trace.users[end.serial][0]) is None
    )
    rank = 3.5 if kind == "missing factor" else 1 + 0.1 * (not whole)
    yield Replaced((before, names, kind), rank, kind, words, {end.serial: (start, 1.0)}, trace.place(end))
    if not _is_activation(names):
        return
    for formula, other in _activation_derivatives(z, a):
        # A constant factor is no other activation.
        product = float(np.sum(other * other))
        ratio = float(np.sum(other * derivative)) / product if product else 0.0
        if not close(ratio * other, derivative):
            words = f"the derivative used is {formula} instead of the activation's own (`{' '.join(names)}`)"
            shortcuts = {end.serial: (start, other)}
            yield Replaced(
                (before, names, formula), 2, "wrong activation", words, shortcuts, trace.place(end)
            )


def _is_activation(names: Sequence[str]) -> bool:
    """Whether operations are an activation: one or several of its usual parts, or an expression with exp."""
    parts = {*ACTIVATIONS, "multiply", "add", "subtract", "negative", "divide", "exp"}
    return bool({"exp", *ACTIVATIONS} & set(names)) and parts.issuperset(names)


def _missing(names: Sequence[str], derivative: NDArray, z: NDArray | None) -> tuple[str, str]:
    """Return kind and words for a region whose derivative is left out."""
    listed = ", ".join(f"`{name}`" for name in names)
    values = np.unique(np.round(derivative, 12))
    relu = z is not None and "where" in names and close(derivative, (z > 0) * 1.0)
    if {"multiply", "divide", "where"}.issuperset(names) and not relu:
        inverse = 1 / float(values[0]) if values.size == 1 and values[0] else 0.0
        if derivative.size == 1 and inverse > 1.5 and abs(inverse - round(inverse)) < 1e-9:
            m = round(inverse)  # dropout scales activations, a mean divides one number
            return "missing 1/m", f"the gradient is {m} times too large: is the 1/{m} of {listed} missing?"
        if values.size == 1 and values[0] > 1:  # 1/keep_prob
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
            ("the activation itself, a,", np.asarray(a)),
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


def _wrong_operands(trace: Trace, node: Node) -> Iterator[tuple[str, str, Mutation, int]]:
    """Yield a matrix product whose backward uses the other operand untransposed, or another value of its shape.

    The last part is equal for products with the same operand.
    """
    operands = dict(zip(node.op.saves, node.saved or ()))
    for side in (0, 1):
        other = operands.get(node.op.inputs[1 - side])
        if type(node.parents[side]) is not Node or other is None or other.ndim != 2:
            continue
        correct = other.T
        choices = [("transpose", "the other factor of the matrix product is not transposed", other)]
        for value in (*trace.values.values(), *trace.constants):
            if value.ndim == 2 and value.shape == other.shape and value.any():
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

            yield kind, words, replace, hash((side, correct.tobytes()))


def _broadcast_sums(trace: Trace, context: Context) -> Iterator[Guess]:
    """Yield wrong sums over a broadcast axis, recognized from the gradient before the sum."""
    unsummed: dict[int, NDArray] = {}

    def record(node: Node, g: NDArray, contributions: Contributions) -> Contributions:
        for parent, c in zip(node.parents, contributions):
            if type(parent) is Node and c is not None and c.shape != parent.shape:
                # Where it is used several times, in all of them.
                before = unsummed.get(parent.serial)
                unsummed[parent.serial] = c if before is None or before.shape != c.shape else before + c
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
