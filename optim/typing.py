"""The types that the signatures of optimizers share."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from math import inf
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias, Union

from tinygrad_dl.arguments import Bounds, NonNegative
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

#: A rate: a number, or a Tensor of one element, of at least 0. (At run time a Tensor of one element is a number.)
if TYPE_CHECKING:
    Rate: TypeAlias = Union[float, Tensor]
else:
    Rate = NonNegative
#: A finite number.
Finite: TypeAlias = Annotated[float, Bounds(above=-inf, below=inf)]
#: A number, also an infinite one, but not nan.
NotNan: TypeAlias = Annotated[float, Bounds()]
