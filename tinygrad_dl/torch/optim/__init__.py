"""torch.optim: the core's optimizers on this layer's parameters."""

from __future__ import annotations

import sys
from functools import wraps
from types import SimpleNamespace
from typing import Any

import numpy as np

from tinygrad_dl import optim as core
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import made, without_example
from tinygrad_dl.torch.optim import lr_scheduler as lr_scheduler
from tinygrad_dl.torch.optim import swa_utils as swa_utils


class Optimizer(core.Optimizer):
    """Base of optimizers. One of your own defines step(), as in PyTorch, with self.param_groups and self.state."""

    def __init__(self, params: Any, defaults: Any) -> None:
        core.Optimizer.__init__(self, params, defaults)

    def state_dict(self) -> Any:
        """The state, with Tensors for arrays."""
        return _tensors(super().state_dict())

    def load_state_dict(self, state_dict: Any) -> None:
        """Go on from a state."""
        super().load_state_dict(_arrays(state_dict))

    def register_step_pre_hook(self, hook: Any) -> Any:
        """Call `hook(optimizer, args, kwargs)` before each step; it may return others. args[0] is the optimizer."""
        return _entered(self._hooks("before"), hook)

    def register_step_post_hook(self, hook: Any) -> Any:
        """Call `hook(optimizer, args, kwargs)` after each step."""
        return _entered(self._hooks("after"), hook)

    def _hooks(self, when: str) -> list[Any]:
        found: list[Any] = vars(self).setdefault(f"_hooks_{when}", [])
        return found

    def __init_subclass__(cls, **how: Any) -> None:
        super().__init_subclass__(**how)
        if "step" in vars(cls):
            cls.step = _hooked(cls.step)  # type: ignore[method-assign]


def _entered(hooks: list[Any], hook: Any) -> Any:
    """A hook added to a list, and the handle that removes it."""
    hooks.append(hook)
    return SimpleNamespace(remove=lambda: hooks.remove(hook) if hook in hooks else None)


def _hooked(step: Any) -> Any:
    """A step with the hooks around it."""

    @wraps(step)
    def call(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "_hooks_before" not in vars(self) and "_hooks_after" not in vars(self):
            return step(self, *args, **kwargs)
        args = (self, *args)
        for hook in list(self._hooks("before")):
            found = hook(self, args, kwargs)
            if found is not None:
                if not (isinstance(found, tuple) and len(found) == 2):
                    raise RuntimeError(
                        f"{type(self).__name__}.step: a hook must return None or a tuple of (new_args, new_kwargs), "
                        f"got {found!r:.40}"
                    )
                args, kwargs = found
        result = step(*args, **kwargs)
        for hook in list(self._hooks("after")):
            hook(self, args, kwargs)
        return result

    return call


def _tensors(x: Any) -> Any:
    if isinstance(x, np.ndarray):
        return made(x)
    if isinstance(x, dict):
        return {key: _tensors(v) for key, v in x.items()}
    return [_tensors(v) for v in x] if isinstance(x, list) else x


def _arrays(x: Any) -> Any:
    if isinstance(x, Value):
        return x._data
    if isinstance(x, dict):
        return {key: _arrays(v) for key, v in x.items()}
    return [_arrays(v) for v in x] if isinstance(x, list) else x


def _optimizer(kind: type) -> Any:
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        kind.__init__(self, *args, **kwargs)  # type: ignore[misc]

    step = kind.step  # type: ignore[attr-defined]
    body = {
        "__init__": __init__,
        "step": step,
        "__doc__": without_example(kind.__doc__),
        "__module__": __name__,
    }
    return type(kind.__name__, (Optimizer, kind), body)


for _name in dir(core):
    _kind = getattr(core, _name)
    if isinstance(_kind, type) and issubclass(_kind, core.Optimizer) and _kind is not core.Optimizer:
        globals()[_name] = _optimizer(_kind)

__all__ = [name for name in dict(globals()) if not name.startswith("_")]


def __getattr__(name: str) -> Any:
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch.optim", name, globals())


for _name in (
    "optimizer",
    "adam",
    "adamw",
    "sgd",
    "rmsprop",
    "lbfgs",
    "adagrad",
    "adadelta",
):  # PyTorch's files
    sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
