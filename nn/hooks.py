"""Hooks of modules: functions that run around forward, backward, and saving and loading."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from tinygrad_dl.graph import Value, next_serial
from tinygrad_dl.ops.elementwise import positive

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
    for hook, with_kwargs in list(hooks.of["before"].values()):
        given = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if given is not None and with_kwargs:
            args, kwargs = given
        elif given is not None:
            args = given if isinstance(given, tuple) else (given,)
    watching = hooks.of["backward"] or hooks.of["backward_pre"]
    watch = _Backward(module, hooks) if watching else None
    if watch is not None:
        args = watch.inputs(args)
    out = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks.of["after"].values()):
        given = hook(module, args, kwargs, out) if with_kwargs else hook(module, args, out)
        out = out if given is None else given
    return out if watch is None else watch.outputs(out)


class _Backward:
    """Collects the gradients of one call's outputs and inputs and passes them to the backward hooks."""

    def __init__(self, module: Module, hooks: Hooks) -> None:
        self.module, self.hooks = module, hooks
        self.grad_output: list[Any] = []
        self.grad_input: list[Any] = []
        self.waiting = 0
        self.called = False

    def inputs(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        marked = []
        for i, x in enumerate(args):
            self.grad_input.append(None)
            if isinstance(x, Value) and x.node is not None:
                x = positive(x)  # a node of its own, on which gradients can be watched
                self.waiting += 1
                x.register_hook(partial(self.input_arrived, i))
            marked.append(x)
        return tuple(marked)

    def outputs(self, out: Any) -> Any:
        parts = out if isinstance(out, tuple) else (out,)
        marked = []
        for i, x in enumerate(parts):
            self.grad_output.append(None)
            if isinstance(x, Value) and x.node is not None:
                x = positive(x)  # a node of its own, on which gradients can be watched
                x.register_hook(partial(self.output_arrived, i))
            marked.append(x)
        return tuple(marked) if isinstance(out, tuple) else marked[0]

    def output_arrived(self, i: int, g: Any) -> Any:
        self.grad_output[i] = g
        for hook, _ in list(self.hooks.of["backward_pre"].values()):
            given = hook(self.module, tuple(self.grad_output))
            if given is not None:
                given = given if isinstance(given, tuple) else (given,)
                self.grad_output[i] = given[i]
        if not self.waiting:
            # No input requires a gradient, so there is nothing to wait for.
            self.run()
        return self.grad_output[i]

    def input_arrived(self, i: int, g: Any) -> Any:
        self.grad_input[i] = g
        self.waiting -= 1
        if self.waiting:
            return None
        self.run()
        return self.grad_input[i]

    def run(self) -> None:
        for hook, _ in list(self.hooks.of["backward"].values()):
            given = hook(self.module, tuple(self.grad_input), tuple(self.grad_output))
            if given is not None:
                self.grad_input = list(given if isinstance(given, tuple) else (given,))
