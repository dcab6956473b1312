"""The types that the signatures of optimizers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any, TypeAlias, Union

from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import NDArray

#: What an optimizer takes: Tensors, pairs (name, Tensor), or groups: dicts with "params" and options.
Params: TypeAlias = Union[Iterable[Tensor], Iterable[tuple[str, Tensor]], Iterable[Mapping[str, Any]]]
#: A group of parameters: "params", and options by name.
Group: TypeAlias = dict[str, Any]
#: The state of one parameter: "step", and an optimizer's arrays and numbers by name.
State: TypeAlias = dict[str, Any]
#: Uninitialized arrays of a parameter's shape, for intermediate results.
Workspace: TypeAlias = tuple[NDArray, ...]
#: Computes the loss and its gradients, and returns the loss.
Closure: TypeAlias = Callable[[], Any]
