"""Which custom function, or which module, of a PyTorch function is the one whose gradient is wrong."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any

from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.testing.frameworks.adapter import IsWrong, backward_places, load

torch: Any = load("torch")

# So many calls of each custom function, and so many modules, are checked for themselves.
CALLS, MODULES = 3, 24


def custom_functions(results: Sequence[Any]) -> list[Any]:
    """The autograd.Function classes in the graph of some results, each once."""
    found: dict[int, Any] = {}
    seen: set[Any] = set()
    stack = [r.grad_fn for r in results if r.grad_fn is not None]
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        kind = getattr(node, "_forward_cls", None)
        if kind is not None:
            found[id(kind)] = kind
        stack += [parent for parent, _ in node.next_functions if parent is not None]
    return list(found.values())


def places(run: Callable[[], Sequence[Any]], modules: Sequence[Any], is_wrong: IsWrong) -> list[str]:
    """The custom functions and modules that are wrong when they are checked alone, at what they were called with."""
    kinds = custom_functions(run())
    found, unknown = [], []
    for kind in kinds:
        calls = _calls(kind, run)
        wrong = next((names for names in (is_wrong(kind, args, "torch") for args in calls) if names), [])
        if wrong:
            what = f"{kind.__name__}.backward is wrong for {', '.join(wrong)} of its own"
            found += [what, *function_places(kind, wrong)]
        elif not calls:
            unknown.append(kind)
    if not found and len(kinds) == 1 and unknown:
        found = function_places(kinds[0], [])
    return found or _wrong_modules(run, modules, is_wrong)


def function_places(kind: Any, wrong: Sequence[str]) -> list[str]:
    """The lines of an autograd.Function class in which the gradients of some inputs are computed."""
    names = list(inspect.signature(kind.forward).parameters)
    names = names if "setup_context" in vars(kind) else names[1:]
    numbers = [int(name.split()[1].partition("[")[0]) for name in wrong if name.startswith("input ")]
    called = [names[k] for k in numbers if k < len(names)]
    return backward_places(kind.backward, called, f"{kind.__name__}.backward")


def _copies(arguments: Sequence[Any]) -> list[Any]:
    """Arguments with copies of their tensors, which require grad as these did."""
    values = [
        x.detach().clone().requires_grad_(x.requires_grad) if isinstance(x, torch.Tensor) else x
        for _, x in leaves(list(arguments))
    ]
    return list(refill(list(arguments), iter(values)))


def _calls(kind: Any, run: Callable[[], Any]) -> list[list[Any]]:
    """What a custom function is called with."""
    apply, calls = kind.apply, list[list[Any]]()
    own = vars(kind).get("apply")

    def noted(*arguments: Any) -> Any:
        if len(calls) < CALLS:
            calls.append(_copies(arguments))
        return apply(*arguments)

    try:
        kind.apply = staticmethod(noted)
        run()
    finally:
        if own is None:
            del kind.apply
        else:
            kind.apply = own
    return calls


def _wrong_modules(run: Callable[[], Any], modules: Sequence[Any], is_wrong: IsWrong) -> list[str]:
    """The innermost modules that are wrong alone; PyTorch's own are taken to be right."""
    named = [
        (name, part)
        for module in modules
        for name, part in module.named_modules()
        if name and not type(part).__module__.startswith("torch.nn.")
    ][:MODULES]
    calls: dict[int, list[Any]] = {}

    def note(module: Any, arguments: Any) -> None:
        calls.setdefault(id(module), _copies(arguments))

    hooks = [part.register_forward_pre_hook(note) for _, part in named]
    try:
        run()
    finally:
        for hook in hooks:
            hook.remove()
    found: dict[str, str] = {}
    for name, part in sorted(named, key=lambda pair: -pair[0].count(".")):
        if id(part) not in calls or any(inner.startswith(f"{name}.") for inner in found):
            continue
        with suppress(
            Exception
        ):  # it has no floating-point results, or takes more than arguments by position
            if wrong := is_wrong(part, calls[id(part)], "torch"):
                found[name] = (
                    f"module {name} ({type(part).__name__}) is wrong for {', '.join(wrong)} of its own"
                )
    return list(found.values())
