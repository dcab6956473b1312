"""Gradients of recorded Tensors with respect to others, without touching `.grad`; checkpointing."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, ClassVar

import numpy as np

from tinygrad_dl import config, convert, graph
from tinygrad_dl.arguments import require
from tinygrad_dl.backward import backward_pass, copied, own, run, seed_for
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.graph import Node
from tinygrad_dl.modes import call_recording, modes
from tinygrad_dl.ops.elementwise import astype, real
from tinygrad_dl.ops.index import getitem
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike, readable

__all__ = ["checkpoint", "grad"]


@readable
def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: ArrayLike | Sequence[ArrayLike | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    allow_unused: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of the sum of the outputs with respect to each input, as a tuple; no `.grad` changes.

    `grad_outputs`: what multiplies each output, of its shape; may be left out (or None) for one element.
    `retain_graph` (default: as `create_graph`) keeps the graph for another call; `create_graph` records the
    gradients themselves. An input that no output depends on raises GraphError, or is None with
    `allow_unused`.
    >>> x = Tensor(3.0, requires_grad=True)
    >>> (derivative,) = grad(x**3, x, create_graph=True)
    >>> grad(derivative, x)
    (Tensor(18.),)
    """
    for option, flag in (("create_graph", create_graph), ("allow_unused", allow_unused)):
        require("autograd.grad", option, flag, bool)
    require("autograd.grad", "retain_graph", retain_graph, bool | None)
    outs, ins = _tensors(outputs, "outputs"), _tensors(inputs, "inputs")
    for name, tensors in (("outputs", outs), ("inputs", ins)):
        for i, tensor in enumerate(tensors):
            if tensor.node is None:
                why = (
                    "nothing it depends on does, or the graph was cut by detach(), no_grad or NumPy"
                    if name == "outputs"
                    else "call requires_grad_() on it before the outputs are computed"
                )
                raise GraphError(f"autograd.grad: {name}[{i}] does not require grad: {why}")
    seeds = _seeds(outs, grad_outputs)
    retain = create_graph if retain_graph is None else retain_graph
    if modes.levels:
        from tinygrad_dl import levels  # above this module

        found = levels.grad(outs, ins, seeds, retain, create_graph)
    else:
        found = gradients(outs, ins, seeds, retain, create_graph)
    for i, (g, tensor) in enumerate(zip(found, ins)):
        if g is None and not allow_unused:
            raise GraphError(
                f"autograd.grad: no output depends on inputs[{i}] (shape {tensor.shape}). "
                "Pass allow_unused=True to get None for it."
            )
    return tuple(found)


def gradients(
    outs: Sequence[Any],
    ins: Sequence[Any],
    seeds: Sequence[Any],
    retain: bool,
    recording: bool,
    tensors: bool = False,
) -> list[Any]:
    """The gradients of outputs with given seeds in each input, None for one that is not reached. See backward.run."""
    ends = [
        (t.node, seed_for(t, seed, "autograd.grad")) for t, seed in zip(outs, seeds) if t.node is not None
    ]
    starts = [t.node for t in ins if t.node is not None]
    needed = needed_for([node for node, _ in ends], starts)
    wanted: dict[int, Any] = {node.serial: None for node in starts}
    run(
        [(node, seed) for node, seed in ends if node.serial in needed],
        retain=retain,
        recording=recording,
        tensors=tensors,
        wanted=wanted,
        needed=needed,
    )
    results = []
    for i, node in enumerate(starts):
        g = wanted[node.serial]
        if g is not None:
            # An array of its own for each: the same gradient may reach several inputs.
            if recording or tensors:
                g = own(g)
            else:
                first = convert.wrap(g)
                g = copied(first) if node in starts[:i] else first
        results.append(g)
    return results


def needed_for(roots: Iterable[Node], wanted: Iterable[Node]) -> dict[int, bool | None]:
    """The serials on a path from the roots to a wanted node, and whether the path goes on below."""
    needed: dict[int, bool | None] = {node.serial: False for node in wanted}
    oldest = max(needed, default=0)
    parents_of: dict[int, list[Node]] = {}
    together: dict[int, list[int]] = {}  # the nodes with which a node shares a hook
    stack = list(roots)
    while stack:
        node = stack.pop()
        # What is older than everything wanted depends on none of it.
        if node.serial not in parents_of and node.serial < oldest:
            parents = [parent for parent in node.parents if type(parent) is Node]
            if node.watch is not None and node.watch.joint is not None:
                # Its hook may give a gradient to each of these.
                parents, together[node.serial] = node.watch.joint.parents, node.watch.joint.serials
            parents_of[node.serial] = parents
            stack += parents
    for serial in sorted(parents_of, reverse=True):
        for parent in parents_of[serial]:
            if parent.serial in needed:
                needed[serial] = True
                for other in together.get(serial, ()):  # the hook is given their gradients, too
                    needed.setdefault(other, False)
                break
    return needed


def _tensors(given: object, name: str) -> list[Tensor]:
    if isinstance(given, Tensor):
        return [given]
    if not isinstance(given, Iterable) or isinstance(given, (str, np.ndarray)):
        raise DTypeError(
            f"autograd.grad: {name}: expected a Tensor or a sequence of Tensors, got {convert.describe(given)}"
        )
    tensors = list(given)
    for i, tensor in enumerate(tensors):
        if not isinstance(tensor, Tensor):
            raise DTypeError(f"autograd.grad: {name}[{i}]: expected a Tensor, got {convert.describe(tensor)}")
    if not tensors:
        raise DTypeError(f"autograd.grad: {name}: expected at least one Tensor, got an empty sequence")
    return tensors


def _seeds(outs: list[Tensor], given: ArrayLike | Sequence[ArrayLike | None] | None) -> list[Any]:
    if given is None:
        given = [None] * len(outs)
    elif isinstance(given, (Tensor, np.ndarray)) or not isinstance(given, Iterable):
        given = [given]
    seeds = list(given)
    if len(seeds) != len(outs):
        raise ShapeError(
            f"autograd.grad: expected one of grad_outputs per output, got {len(seeds)} for {len(outs)} outputs"
        )
    return seeds


def inside(roots: Iterable[Node], start: int) -> tuple[list[Node], dict[int, Node]]:
    """The nodes made since the serial `start` that the roots depend on, oldest first; and the older ones they use."""
    found: dict[int, Node] = {}
    outside: dict[int, Node] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node.serial > start:
            outside[node.serial] = node
        elif node.serial not in found:
            found[node.serial] = node
            stack += [parent for parent in node.parents if type(parent) is Node]
    return [found[serial] for serial in sorted(found, reverse=True)], outside


def checkpoint(f: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """f(*args, **kwargs) without saving what happens inside: backward computes it again.

    Costs a second forward, saves the memory between. Arguments and results may be nested lists, tuples and
    dicts; the generators that it draws from are set back, so dropout repeats its choices. f must compute the same again
    (GraphError else); what it changes elsewhere, such as running averages, it changes twice. Every order of
    derivative works.
    >>> x = Tensor([1.0, 2.0], requires_grad=True)
    >>> checkpoint(lambda x: (x * x * x).sum(), x).backward()
    >>> x.grad
    Tensor([ 3., 12.])
    """
    if not callable(f):
        raise DTypeError(f"autograd.checkpoint: expected a function first, got {convert.describe(f)}")
    # A value in forward mode has its tangent at hand, and needs what happens inside.
    if not modes.recording or any(level.size is None for level in modes.levels):
        return f(*args, **kwargs)
    start = graph.next_serial()
    with config.noted_generators() as states:
        result = f(*args, **kwargs)
    made = _made_since(result, start)
    if not made:
        return result
    _, outside = inside([t.node for t in made if t.node is not None], start)
    node = Node()
    node.op, node.parents = RECOMPUTE, tuple(outside.values())
    node.saved = (f, _packed(args), _packed(kwargs), states, modes.levels)
    bare = [_bare(t) for t in made]
    node.options = (tuple((t.shape, t.dtype) for t in bare),)
    node.serial, node.watch, node.scope = graph.next_serial(), None, None
    # One node has one value: several results become the pieces of one array.
    joined = bare[0]._data if len(bare) == 1 else np.concatenate([t._data.reshape(-1) for t in bare])
    node.shape, node.dtype = joined.shape, joined.dtype
    whole = convert.attach(joined, node)
    parts = [whole] if len(made) == 1 else _pieces(whole, node.options[0])
    pieces = iter([_in_levels(piece, _levels_of(t)) for t, piece in zip(made, parts)])
    new = {id(t) for t in made}
    return refill(result, iter([next(pieces) if id(leaf) in new else leaf for _, leaf in leaves(result)]))


def states_of(generators: Iterable[np.random.Generator | None]) -> list[tuple[Any, Any]]:
    """Generators, of which None is the default one, with their states."""
    return [(g, config.default_rng(g).bit_generator.state) for g in generators]


def _made_since(result: object, start: int) -> list[Tensor]:
    tensors = [leaf for _, leaf in leaves(result) if isinstance(leaf, Tensor)]
    return [t for t in tensors if t.node is not None and t.node.serial < start]


def _pieces(whole: Array, forms: Sequence[tuple[tuple[int, ...], Any]]) -> list[Any]:
    pieces, end = [], 0
    for shape, dtype in forms:
        begin, end = end, end + int(np.prod(shape, dtype=int))
        piece = reshape(getitem(whole, slice(begin, end)), shape)
        if piece.dtype.kind == "c" and dtype.kind != "c":
            piece = real(piece)
        pieces.append(piece if piece.dtype == dtype else astype(piece, dtype))
    return pieces


class _Packed:
    """A Tensor's parts: a node that held the Tensor could close a reference cycle through its `.grad`."""

    __slots__ = ("data", "levels", "node")

    def __init__(self, tensor: Tensor) -> None:
        bare = _bare(tensor)
        self.data, self.node, self.levels = bare._data, bare.node, _levels_of(tensor)

    def tensor(self) -> Any:
        return _in_levels(convert.attach(self.data, self.node), self.levels)


def _bare(t: Any) -> Any:
    """The Tensor of all examples, of a value that belongs to func.vmap."""
    return t if t.level is None else _bare(t.held)


def _levels_of(t: Any) -> list[Any]:
    """The calls of func.vmap that a value belongs to, the newest first."""
    return [] if t.level is None else [t.level, *_levels_of(t.held)]


def _in_levels(t: Any, found: Sequence[Any]) -> Any:
    for level in reversed(found):
        t = level.example_of(t)
    return t


def _packed(tree: object) -> Any:
    return refill(tree, iter([_Packed(v) if isinstance(v, Tensor) else v for _, v in leaves(tree)]))


def _unpacked(tree: object) -> Any:
    values = [v for _, v in leaves(tree)]
    return refill(tree, iter([v.tensor() if isinstance(v, _Packed) else v for v in values]))


class Recompute:
    """What a node has in place of an operation: backward runs the function again and differentiates that run."""

    name = label = "checkpoint"
    inputs = ("inputs",)
    options = ("forms",)
    rules: tuple[Any, ...] = ()
    saves: tuple[str, ...] = ()
    forward = staticmethod(checkpoint)
    defaults: ClassVar[dict[str, Any]] = {}
    variadic, joint, differentiable, ufunc, kinks = True, True, True, None, ""

    def vjp(self, node: Node, g: Array) -> tuple[Any, ...]:
        return self.vjp_needed(node, g, None, False)

    def vjp_recording(self, node: Node, g: Array) -> tuple[Any, ...]:
        return self.vjp_needed(node, g, None, True)

    def vjp_needed(
        self, node: Node, g: Array, needed: Mapping[int, Any] | None, recording: bool
    ) -> tuple[Any, ...]:
        assert node.saved is not None
        f, args, kwargs, states, levels = node.saved
        now = states_of([generator for generator, _ in states])
        config.restore_generators(states)
        start = graph.next_serial()
        try:
            with ExitStack() as inside_of:
                for level in levels:  # the function ran inside of these calls of func.vmap
                    if level not in modes.levels:
                        inside_of.enter_context(level)
                found = _made_since(call_recording(f, *_unpacked(args), **_unpacked(kwargs)), start)
            made = [_bare(t) for t in found]
        finally:
            config.restore_generators(now)
        forms = tuple((t.shape, t.dtype) for t in made)
        within, outside = inside([t.node for t in made if t.node is not None], start)
        wanted: dict[int, Any] = {
            p.serial: None for p in node.parents if needed is None or p.serial in needed
        }
        if forms != node.options[0] or set(outside) != {p.serial for p in node.parents}:
            raise GraphError(
                "checkpoint: the function computed something else when it was run again: other results, or "
                "from other Tensors. It must depend on its arguments and the random numbers that it draws only."
            )
        # Hooks on what f used from outside run when its gradient is complete, not on this part of it: None.
        path: dict[int, bool | None] = dict.fromkeys(wanted)
        for inner in within:
            if any(type(parent) is Node and parent.serial in path for parent in inner.parents):
                path[inner.serial] = True
        parts = [g] if len(made) == 1 else _pieces(g, forms)
        roots = [
            (t.node, part) for t, part in zip(made, parts) if t.node is not None and t.node.serial in path
        ]
        backward_pass(roots, wanted=wanted, needed=path, retain=recording, recording=recording)
        return tuple(wanted.get(p.serial) for p in node.parents)


RECOMPUTE = Recompute()
