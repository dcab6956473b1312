"""Hooks of modules: functions that run around forward, backward, and saving and loading."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl.convert import describe, wrap
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError
from tinygrad_dl.graph import Joint, next_serial
from tinygrad_dl.ops.elementwise import positive
from tinygrad_dl.tensor import Tensor

if TYPE_CHECKING:
    from tinygrad_dl.nn.module import Module

KINDS = ("before", "after", "backward_pre", "backward", "saving", "saved", "loading", "loaded")


class Hooks:
    """The hooks of one module, by kind and by key, in order of registration."""

    def __init__(self) -> None:
        self.of: dict[str, dict[int, tuple[Callable[..., Any], bool]]] = {kind: {} for kind in KINDS}


class Removable:
    """The handle of a registered hook: remove() unregisters it, as does leaving it as a context manager."""

    def __init__(
        self, module: Module, kind: str, hook: Callable[..., Any], with_kwargs: bool, prepend: bool = False
    ) -> None:
        if module._hooks is None:
            module._hooks = Hooks()
        self._module, self._kind, self._key = module, kind, next_serial()
        registered = module._hooks.of[kind]
        module._hooks.of[kind] = (
            {self._key: (hook, with_kwargs), **registered}
            if prepend
            else {**registered, self._key: (hook, with_kwargs)}
        )

    def remove(self) -> None:
        """Unregister the hook; a second call does nothing."""
        hooks = self._module._hooks
        if hooks is None:
            return
        hooks.of[self._kind].pop(self._key, None)
        if not any(hooks.of.values()):
            self._module._hooks = None

    def __enter__(self) -> Removable:
        return self

    def __exit__(self, *exc: object) -> None:
        self.remove()


def call_with_hooks(module: Module, hooks: Hooks, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """Run a module's forward with its hooks around it."""
    # As in PyTorch, the backward hooks of a call are those registered when it began.
    watching = hooks.of["backward"] or hooks.of["backward_pre"]
    watch = _Backward(module, hooks) if watching else None
    for hook, with_kwargs in list(hooks.of["before"].values()):
        given = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if given is not None and with_kwargs:
            if not (isinstance(given, tuple) and len(given) == 2 and isinstance(given[1], dict)):
                raise DTypeError(
                    f"forward pre-hook of {type(module).__name__}: expected None or a pair (args, kwargs), "
                    f"got {describe(given)}"
                )
            args, kwargs = given
        elif given is not None:
            args = given if isinstance(given, tuple) else (given,)
    if watch is not None:
        args = watch.inputs(args)
    out = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks.of["after"].values()):
        given = hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)
        out = out if given is None else given
    return out if watch is None else watch.outputs(out)


class _Backward:
    """One call of a module: passes the gradients of its outputs and inputs to the backward hooks.

    Every backward pass calls them anew; what belongs to one pass is kept in `ran`, which the engine makes for each.
    """

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self.module = module
        self.before = [hook for hook, _ in hooks.of["backward_pre"].values()]
        self.after = [hook for hook, _ in hooks.of["backward"].values()]
        self.places: list[int] = []  # of the inputs that require grad, among the arguments
        # What stands in a hook's grad_input for an argument without a gradient: as in PyTorch, zeros for a Tensor.
        self.forms: list[tuple[Any, Any] | None] = []
        self.targets: list[int] = []  # of the outputs that require grad, among the outputs
        self.size = 0  # the number of outputs

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        """The arguments, those that require grad with nodes of their own, whose gradients can be watched."""
        self.forms = [(x.shape, x.dtype) if isinstance(x, Tensor) else None for x in args]
        marked, self.places = _marked(args, ("inputs", self), self.inputs_arrived)
        return marked

    def outputs(self, out: Any) -> Any:
        """The same for what the call returned."""
        if isinstance(out, Tensor):
            marked, self.targets = _marked((out,), ("outputs", self), self.outputs_arrived)
            self.size = 1
            return marked[0]
        if not isinstance(out, tuple):
            warnings.warn(
                f"{type(self.module).__name__}: backward hooks are called for an output that is a Tensor or a tuple of "
                f"Tensors, got {type(out).__name__}; they will not be called. Return a tuple.",
                stacklevel=5,
            )
            return out
        self.size = len(out)
        marked, self.targets = _marked(out, ("outputs", self), self.outputs_arrived)
        return marked if type(out) is tuple else type(out)(*marked)

    def outputs_arrived(self, gradients: list[Any], ran: dict[Any, Any]) -> list[Any]:
        """Call the pre-hooks; and the hooks, if there will be no gradient of an input to wait for."""
        grad_output: Any = _placed(gradients, self.targets, self.size)
        for hook in self.before:
            given = hook(self.module, grad_output)
            if given is not None:
                grad_output = _same_number(
                    given, grad_output, "backward pre-hook", "grad_output", self.module
                )
        ran[self] = grad_output
        if not self.places:
            for hook in self.after:
                given = hook(self.module, (None,) * len(self.forms), grad_output)
                if given is not None and not (isinstance(given, tuple) and all(g is None for g in given)):
                    raise GraphError(
                        f"backward hook of {type(self.module).__name__}: expected None, since no input requires grad "
                        f"and there is no gradient to replace, got {describe(given)}"
                    )
        return [grad_output[i] for i in self.targets]

    def inputs_arrived(self, gradients: list[Any], ran: dict[Any, Any]) -> list[Any]:
        """Call the hooks; a gradient that no operation gave is zeros, as in PyTorch."""
        placed = _placed(gradients, self.places, len(self.forms))
        grad_input: Any = tuple(
            wrap(np.zeros(*form)) if g is None and form is not None else g
            for g, form in zip(placed, self.forms)
        )
        grad_output = ran.pop(self, None)
        if grad_output is not None:  # None: a second-order pass that came past the outputs
            for hook in self.after:
                given = hook(self.module, grad_input, grad_output)
                if given is not None:
                    grad_input = _same_number(given, grad_input, "backward hook", "grad_input", self.module)
        return [grad_input[i] for i in self.places]


def _marked(values: tuple[Any, ...], key: Any, hook: Any) -> tuple[tuple[Any, ...], list[int]]:
    """The values, those that require grad replaced by copies of their nodes that share a hook; and their places."""
    marked, places, nodes = list(values), [], []
    for i, x in enumerate(values):
        if isinstance(x, Tensor) and x.node is not None:
            copied = positive(x)
            if copied.node is not None:  # recording is on
                marked[i] = copied
                places.append(i)
                nodes.append(copied.node)
    if nodes:
        Joint(key, nodes, hook)
    return tuple(marked), places


def _placed(gradients: list[Any], places: list[int], size: int) -> tuple[Any, ...]:
    """A tuple of a size with the gradients in their places and None elsewhere."""
    placed: list[Any] = [None] * size
    for i, g in zip(places, gradients):
        placed[i] = g
    return tuple(placed)


def _same_number(
    given: Any, before: tuple[Any, ...], what: str, argument: str, module: Module
) -> tuple[Any, ...]:
    """What a hook returned, as a tuple with one gradient for each before; for a single one also without a tuple."""
    gradients = tuple(given) if isinstance(given, (tuple, list)) else (given,)
    if len(gradients) != len(before):
        raise ShapeError(
            f"{what} of {type(module).__name__}: expected as many gradients as {argument} has, {len(before)}, "
            f"got {len(gradients)}"
        )
    return gradients
