"""The backward pass: from the gradient of outputs back to the gradients of what they depend on. Knows no operation.

Complex values: inside a pass the gradient g of z is the coefficient in dL = Re(g dz), so that the derivative rule of
a holomorphic function is that of real numbers, without a conjugate. What is given to a pass, and what leaves it
(.grad, hooks, results), is its conjugate, as in PyTorch: z - lr * z.grad descends. That of a real value is real.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from tinygrad_dl.convert import asarray_of, conjugated, wrap
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.graph import Joint, Node, Value, ancestors
from tinygrad_dl.modes import active, enable_grad, lenient_broadcast, modes, no_grad, tell
from tinygrad_dl.typing import ArrayLike, NDArray, Shape

if TYPE_CHECKING:
    from tinygrad_dl.tensor import Tensor

#: A gradient on its way: an array, or a Tensor where the gradient itself is recorded.
Gradient: TypeAlias = Any


def seed_for(output: Value, gradient: ArrayLike | None, what: str) -> Gradient:
    """The gradient that the backward pass starts from: the given one, checked, or a one for a single element.

    `what` names the caller in errors.
    """
    data = output._data
    if gradient is None:
        if data.size != 1:
            raise GraphError(
                f"{what}: expected a gradient for a result of shape {data.shape}, got none. "
                "Reduce it to one number first, such as with .sum() or .mean(), or pass the gradient."
            )
        if data.dtype.kind == "c":
            raise GraphError(
                f"{what}: expected a gradient for a complex result, got none: only a real number can be minimized. "
                "Reduce it to a real one first, such as with abs() or .real, or pass the gradient."
            )
        seed = data.copy()  # np.ones takes six times as long
        seed.fill(1)
        if active:
            tell("seeded", seed)
        return seed
    given: Any = gradient if isinstance(gradient, Value) else asarray_of(gradient)
    if given.shape != data.shape:
        raise ShapeError(f"{what}: expected a gradient of the result's shape {data.shape}, got {given.shape}")
    return given if given.dtype == data.dtype else _cast(given, data.dtype)


# What is wrong in a gradient shows in its values; NumPy's warnings would not name a line of the user's.
@np.errstate(all="ignore")
def run(
    roots: Sequence[tuple[Node, Gradient]],
    *,
    retain: bool,
    recording: bool,
    tensors: bool = False,
    **how: Any,
) -> None:
    """Run the backward pass from the roots: on arrays or, to record the gradient itself, on Tensors.

    `tensors`: on Tensors that do not record, for gradients that belong to func.vmap or func.jvp.
    """
    if active:
        tell("before_backward_pass", roots, recording or tensors)
    if recording:
        _recording_pass(roots, retain=retain, recording=True, **how)
    elif tensors:
        _tensor_pass(roots, retain=retain, recording=True, **how)
    else:
        arrays = [(node, g._data if isinstance(g, Value) else g) for node, g in roots]
        _outer_pass(arrays, retain=retain, **how)
    if active:
        tell("after_backward_pass")


def backward_pass(
    roots: Sequence[tuple[Node, Gradient]],
    *,
    wanted: dict[int, Gradient] | None = None,
    needed: dict[int, bool | None] | None = None,
    retain: bool = False,
    recording: bool = False,
) -> None:
    """Carry the roots' gradients back through the graph, newest node first.

    Without `wanted` every complete gradient goes to the Tensor that watches its node; with it, to `wanted[serial]`
    for the serials in `wanted`, through the nodes in `needed` only: a node that is True there passes its gradient on,
    at one that is False the path ends, at one that is None it ends before the node's hooks have run. `recording`:
    rules run on Tensors and record (create_graph). Unless `retain`, saved values are freed.
    """
    heap: list[int] = []  # serials of operations; leaves have no parents and wait in `pending` to the end
    # Serial -> node, its gradient so far, and whether nobody else holds that array: it may be added to in place.
    pending: dict[int, list[Any]] = {}
    watchers = modes.watchers if active else ()
    ran: dict[Any, Any] = {}  # hooks on several nodes that ran in this pass, and what they returned
    early = any(getattr(watcher, "early", False) for watcher in watchers)
    last = _last_uses([node for node, _ in roots]) if early else {}
    for node, g in roots:
        serial = node.serial
        if serial in pending:
            pending[serial][1] = pending[serial][1] + g
        else:
            pending[serial] = [node, g, False]
            if node.op is not None:
                heappush(heap, serial)

    while heap:
        node, g, owned = pending.pop(heappop(heap))
        if node.watch is not None or wanted is not None or recording:
            joint = None if node.watch is None else node.watch.joint
            if joint is None:
                g = None if g is None else _complete(node, g, owned, wanted, needed, recording)
            elif joint.key not in ran:
                pending[node.serial] = [node, g, owned]
                _complete_jointly(joint, pending, heap, ran, wanted, needed, recording)
                g = pending.pop(node.serial)[1]
        if needed is not None and not needed[node.serial]:
            continue
        if g is None:
            # A hook replaced the gradient by None. What is below counts as reached, as in PyTorch.
            for parent in node.parents:
                if type(parent) is Node and parent.serial not in pending:
                    _add(pending, heap, needed, parent, None, False)
            continue
        op = node.op
        if node.saved is None:
            raise GraphError(
                f"backward: the graph was freed by an earlier backward (found at `{op.name}`). "
                "Pass retain_graph=True to the first call if you need a second."
            )
        try:
            if needed is None:
                contributions = op.vjp_recording(node, g) if recording else op.vjp(node, g)
            else:
                contributions = op.vjp_needed(node, g, needed, recording)
        except Exception:
            if not _with_plain_options(node):
                raise
            if needed is None:
                contributions = op.vjp_recording(node, g) if recording else op.vjp(node, g)
            else:
                contributions = op.vjp_needed(node, g, needed, recording)
        if needed is not None:
            if op.joint:  # one rule for all inputs: it may give more than was asked for
                asked = [type(parent) is Node and parent.serial in needed for parent in node.parents]
                contributions = tuple(c if needs else None for c, needs in zip(contributions, asked))
        for watcher in watchers:
            watcher.after_backward(node, g, contributions)
        if not retain:
            node.saved = None
        try:
            for parent, c in zip(node.parents, contributions):
                if c is None or type(parent) is not Node:
                    continue
                if c.shape != parent.shape:
                    c = unbroadcast(c, parent.shape)
                if c.dtype is not parent.dtype:
                    c = _cast(c, parent.dtype)
                serial = parent.serial
                entry = pending.get(serial)
                if entry is None:
                    # A view may belong to somebody else.
                    exclusive = c is not g and not recording and c.base is None
                    pending[serial] = [parent, c, exclusive]
                    if parent.op is not None:
                        heappush(heap, serial)
                elif entry[2]:
                    entry[1] += c
                elif entry[1] is None:
                    entry[1] = c
                else:
                    entry[1] = entry[1] + c
                    entry[2] = not recording
        except (AttributeError, ShapeError):
            _raise_for_wrong_rule(node, contributions, recording)
            raise
        if early:
            for serial in last.get(node.serial, ()):
                entry = pending.pop(serial, None)
                if entry is not None and entry[1] is not None:
                    leaf, g, owned = entry
                    _complete(leaf, g, owned, wanted, needed, recording)
    for node, g, owned in pending.values():
        if g is not None:
            _complete(node, g, owned, wanted, needed, recording)


def _last_uses(roots: Sequence[Node]) -> dict[int, list[int]]:
    """Serial of an operation -> those of the leaves that no older one uses: after its rules they are complete."""
    given = {node.serial for node in roots}
    users = {
        parent.serial: node.serial  # oldest first, so reversed: the last one stored is the oldest
        for node in reversed(ancestors(roots))
        for parent in node.parents
        if type(parent) is Node and parent.op is None and parent.serial not in given
    }
    found: dict[int, list[int]] = {}
    for leaf, user in users.items():
        found.setdefault(user, []).append(leaf)
    return found


def _with_plain_options(node: Node) -> bool:
    """Put numbers and tuples in the place of a node's options that are Tensors; False if there are none.

    A Tensor passes as an axis in NumPy, but not in the arithmetic of a rule; looking for one in each call would cost
    every call.
    """
    if not any(isinstance(option, Value) for option in node.options):
        return False
    plain = (x._data.tolist() if isinstance(x, Value) else x for x in node.options)
    node.options = tuple(tuple(x) if type(x) is list else x for x in plain)
    return True


def _outer_pass(
    roots: Sequence[tuple[Node, Gradient]], wanted: dict[int, Gradient] | None = None, **how: Any
) -> None:
    """A pass between what users give and what they get, which are the conjugates of what is inside."""
    backward_pass([(node, conjugated(g)) for node, g in roots], wanted=wanted, **how)
    if wanted is not None:
        for serial, g in wanted.items():
            if g is not None:
                wanted[serial] = conjugated(g)


_recording_pass = enable_grad()(lenient_broadcast()(_outer_pass))
_tensor_pass = no_grad()(lenient_broadcast()(_outer_pass))


def _complete(
    node: Node,
    g: Gradient,
    owned: bool,
    wanted: dict[int, Gradient] | None,
    needed: dict[int, bool | None] | None,
    recording: bool,
) -> Gradient:
    """Deliver a complete gradient: run the node's hooks, then store it where the pass was asked to; returns it."""
    if recording and not isinstance(g, Value):
        g = wrap(g)
    watch = node.watch
    if watch is not None and (needed is None or needed[node.serial] is not None):
        owner = (
            watch.owner() if watch.owner is not None else None
        )  # held: a hook may drop the last other reference
        if watch.hooks:
            g = _run_hooks(node, g, list(watch.hooks.values()), recording)
        # An assignment may have given the Tensor another node since: then this gradient is not its own.
        if wanted is None and owner is not None and owner.node is node:
            before = getattr(owner, "_grad", None)
            if recording:
                given = conjugated(g)
                owner._grad = own(given) if before is None else before + given
            else:
                # A .grad shares its array with nobody; a rule may hand on g, or a view of it, to several inputs.
                array: NDArray = g if owned and node.op is None else np.array(g)  # pyright: ignore
                if array.dtype.kind == "c":
                    array = array.conj()
                owner._grad = wrap(array if before is None else before._data + array)
            if active:
                tell("received", owner, before)
    if wanted is not None and node.serial in wanted:
        wanted[node.serial] = g if recording or owned else g.copy()  # pyright: ignore[reportAttributeAccessIssue]
        if active:
            tell("delivered", node, wanted[node.serial])
    return g


def _complete_jointly(
    joint: Joint,
    pending: dict[int, list[Any]],
    heap: list[int],
    ran: dict[Any, Any],
    wanted: dict[int, Gradient] | None,
    needed: dict[int, bool | None] | None,
    recording: bool,
) -> None:
    """Deliver the gradients of the nodes that share a hook, run it, and put what it returns in their places."""
    gradients: list[Any] = []
    for serial in joint.serials:
        entry = pending.get(serial)
        if entry is not None and entry[1] is not None:
            entry[1] = _complete(entry[0], entry[1], entry[2], wanted, needed, recording)
            entry[2] = False
            given = conjugated(entry[1])
            gradients.append(given if recording else wrap(np.array(given)))
        else:
            gradients.append(None)
    ran[joint.key] = None
    if needed is not None and not any(needed.get(serial) for serial in joint.serials):
        return
    ran[joint.key] = results = joint.hook(gradients, ran)
    for serial, parent, before, result in zip(joint.serials, joint.parents, gradients, results):
        what = "backward hook of a module"
        g = None if result is None else conjugated(_replacement(parent, result, recording, what))
        if serial in pending:
            if result is not before:
                pending[serial][1] = g
        else:  # the pass did not reach the node; its gradient is its parent's
            _add(pending, heap, needed, parent, g, not recording)


def _add(
    pending: dict[int, list[Any]],
    heap: list[int],
    needed: dict[int, bool | None] | None,
    node: Node,
    g: Gradient,
    owned: bool,
) -> None:
    """Add a gradient, or None for a node that is reached without one, to what is pending."""
    entry = pending.get(node.serial)
    if entry is None:
        if needed is None or node.serial in needed:
            pending[node.serial] = [node, g, owned and g is not None]
            if node.op is not None:
                heappush(heap, node.serial)
    elif g is not None:
        entry[1], entry[2] = (g, owned) if entry[1] is None else (entry[1] + g, owned)


def _replacement(node: Node, returned: ArrayLike, recording: bool, what: str) -> Gradient:
    """The gradient that a hook returned in the place of a node's, checked."""
    data = returned._data if isinstance(returned, Value) else np.asarray(returned)
    if data.shape != node.shape:
        raise ShapeError(
            f"{what}: expected the hook to return a gradient of shape {node.shape}, got {data.shape}"
        )
    if recording and isinstance(returned, Value):
        return _cast(returned, node.dtype)
    copy = np.array(data, node.dtype)  # what the hook returned stays the user's
    return wrap(copy) if recording else copy


def _run_hooks(node: Node, g: Gradient, hooks: Sequence[Callable[[Any], Any]], recording: bool) -> Gradient:
    """The gradient after a node's hooks, each of which may replace it."""
    g = conjugated(g)
    for hook in hooks:
        returned = hook(g if recording else wrap(np.array(g)))
        if returned is not None:
            g = _replacement(node, returned, recording, "register_hook")
    return conjugated(g)


def own(g: Tensor) -> Value:
    """A recorded gradient with an array of its own: a rule may hand on one Tensor to several inputs."""
    if g.level is not None:
        return g
    result = copied(g)
    result.node = g.node
    return result


def copied(g: Tensor) -> Tensor:
    """The same gradient in an array of its own, without a graph."""
    result = wrap(g._data.copy())
    if active:
        tell("copied", g, result)
    return result


def unbroadcast(g: Gradient, shape: Shape) -> Gradient:
    """Sum `g` over the axes along which a value of the given shape was broadcast."""
    extra = g.ndim - len(shape)
    if extra < 0 or any(size not in (1, g.shape[i + extra]) for i, size in enumerate(shape)):
        raise ShapeError(f"the shape {g.shape} cannot be summed to {shape}")
    axes = tuple(range(extra)) + tuple(
        i + extra for i, size in enumerate(shape) if size == 1 and g.shape[i + extra] != 1
    )
    if g.dtype == np.float16 and isinstance(g, np.ndarray):
        summed = g.sum(axis=axes, dtype=np.float32).astype(np.float16)
    else:
        summed = g.sum(axis=axes, keepdims=False)
    return summed if summed.shape == shape else summed.reshape(shape)


def _cast(c: Gradient, dtype: np.dtype) -> Gradient:
    """A gradient in the dtype of its value: of a real value it is real, of a complex one complex."""
    if c.dtype == dtype:
        return c
    return (c.real if c.dtype.kind == "c" and dtype.kind != "c" else c).astype(dtype)


def _raise_for_wrong_rule(node: Node, contributions: Sequence[Any], recording: bool) -> None:
    """Raise the error for a rule that did not give an array of its input's shape, if there is one."""
    op = node.op
    for i, (parent, c) in enumerate(zip(node.parents, contributions)):
        if c is None or type(parent) is not Node:
            continue
        rule = f"{op.name}: its derivative rule for {op.inputs[min(i, len(op.inputs) - 1)]}"
        if not hasattr(c, "shape"):
            raise DTypeError(f"{rule} gave {type(c).__name__} {c!r}; expected an array")
        shape = c.shape
        if isinstance(c, Value) and not recording:
            raise DTypeError(
                f"{rule} gave a Tensor where only arrays went in. "
                "Does it call an operation on plain numbers, which makes Tensors?"
            )
        try:
            unbroadcast(c, parent.shape)
        except (ShapeError, ValueError) as error:
            raise ShapeError(f"{rule} gave the shape {shape}; the input has {parent.shape}") from error
