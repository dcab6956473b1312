"""The methods of Tensor, its operators and its settable attributes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor


def t(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).uniform(0.1, 0.9, shape), requires_grad=True)


def integers() -> Tensor:
    return Tensor(np.array([1, 2, 3]))


TABLE: dict[str, Any] = {
    **{name: lambda: with_arguments(t(2, 3)) for name in (
        "abs", "all", "any", "argmax", "argmin", "argsort", "conj", "copy", "cos", "cumprod", "cumsum", "exp", "expm1",
        "flatten", "log", "log1p", "log_softmax", "logsumexp", "max", "mean", "min", "nonzero", "prod", "ravel", "relu",
        "requires_grad_", "retain_grad", "round", "sigmoid", "sin", "softmax", "sort", "sqrt", "square", "std", "sum",
        "tanh", "tolist", "transpose", "var", "detach", "__array__", "__dlpack__", "__array_namespace__",
    ) if name not in ("retain_grad", "__dlpack__", "__array__")},
    **{name: lambda: with_arguments(t(2, 3), t(2, 3)) for name in (
        "__add__", "__sub__", "__mul__", "__truediv__", "__floordiv__", "__mod__", "__pow__", "__radd__", "__rsub__",
        "__rtruediv__", "__lt__", "__le__", "__gt__", "__ge__", "__eq__", "__ne__", "__divmod__",
    )},
    **{name: lambda: with_arguments(integers(), integers()) for name in (
        "__and__", "__or__", "__xor__", "__lshift__", "__rshift__",
    )},
    "__matmul__": lambda: with_arguments(t(2, 3), t(3, 2)),
    "__array__": lambda: with_arguments(t(2, 3).detach()),
    "__dlpack__": lambda: with_arguments(t(2, 3).detach()),
    "__iadd__": lambda: with_arguments(t(2, 3).detach(), t(2, 3)),
    "__getitem__": lambda: with_arguments(t(2, 3), 0),
    "__getitem__ pair": lambda: with_arguments(t(2, 3), (slice(None), np.array([0, 2]))),
    "__setitem__": lambda: with_arguments(t(2, 3).detach(), 0, 1.0),
    "__format__": lambda: with_arguments(t(), ".2f"),
    "astype": lambda: with_arguments(t(2, 3), "float32"),
    "backward": lambda: with_arguments((t(2, 3) * 2).sum()),
    "clip": lambda: with_arguments(t(2, 3), 0.2, 0.8),
    "dot": lambda: with_arguments(t(2, 3), t(3, 2)),
    "item": lambda: with_arguments(t()),
    "register_hook": lambda: with_arguments(t(2, 3), lambda g: g),
    "repeat": lambda: with_arguments(t(2, 3), 2, axis=0),
    "reshape": lambda: with_arguments(t(2, 3), (3, 2)),
    "reshape sizes": lambda: with_arguments(t(2, 3), 3, 2),
    "searchsorted": lambda: with_arguments(Tensor([1.0, 2.0, 3.0]), t(2)),
    "squeeze": lambda: with_arguments(t(1, 3), 0),
    "swapaxes": lambda: with_arguments(t(2, 3), 0, 1),
    "take": lambda: with_arguments(t(2, 3), np.array([0, 1]), 0),
    "to_device": lambda: with_arguments(t(2, 3), "cpu"),
    "transpose axes": lambda: with_arguments(t(2, 3), 1, 0),
}  # fmt: skip


def setting(name: str) -> Callable[[Any, Any], None]:
    def set_to(x: Any, value: Any) -> None:
        setattr(x, name, value)

    return set_to


def calls() -> Iterator[Call]:
    for call in calls_of(Tensor, TABLE):
        call.leave = frozenset({0, "self"})  # the method of another object is not ours
        yield call
    for name, value in {
        "data": np.ones((2, 3)),
        "grad": t(2, 3).detach(),
        "name": "x",
        "requires_grad": True,
    }.items():
        yield Call(
            f"{name} set",
            lambda name=name, value=value: (setting(name), (t(2, 3), value), {}),  # type: ignore[misc]
            frozenset({0}),
        )
