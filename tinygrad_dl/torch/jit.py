"""torch.jit: functions and modules as they are, which run eagerly."""

from __future__ import annotations

from typing import Any


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """The function or module itself."""
    return func


def ignore(drop: Any = False, **kwargs: Any) -> Any:
    """The function itself."""
    return drop if callable(drop) else lambda f: f


unused = export = script_method = script
ScriptModule = object


def is_scripting() -> bool:
    """False: everything runs eagerly."""
    return False


is_tracing = is_scripting
