"""einops on this layer's Tensors: its functions take them, and its layers are here.

`from einops import rearrange` works as it is; `from einops.layers.torch import Rearrange` becomes
`from tinygrad_dl.torch.einops import Rearrange`. einops has to be installed for it.
"""

from __future__ import annotations

from functools import cache
from importlib import import_module
from types import SimpleNamespace
from typing import Any

FUNCTIONS = ("asnumpy", "einsum", "pack", "parse_shape", "rearrange", "reduce", "repeat", "unpack")


@cache
def register() -> Any:
    """Tell einops of this layer's Tensors; its functions and layers."""
    torch: Any = import_module("tinygrad_dl.torch")
    module: Any = torch.nn.Module
    try:
        functions, layers = import_module("einops"), import_module("einops.layers")
        base: Any = import_module("einops._backends").AbstractBackend
        rearranging: Any = layers.RearrangeMixin
        reducing: Any = layers.ReduceMixin
        mixed: Any = import_module("einops.layers._einmix")._EinmixMixin
    except ImportError as error:
        raise ImportError("tinygrad_dl.torch.einops needs einops: pip install einops") from error

    class Backend(base):
        """What einops asks of a library; einops finds it because it is a subclass."""

        framework_name = "tinygrad_dl.torch"

        def is_appropriate_type(self, tensor: Any) -> bool:
            return isinstance(tensor, torch.Tensor)

        def from_numpy(self, x: Any) -> Any:
            return torch.from_numpy(x)

        def to_numpy(self, x: Any) -> Any:
            return x.detach().numpy()

        def arange(self, start: int, stop: int) -> Any:
            return torch.arange(start, stop)

        def reduce(self, x: Any, operation: str, axes: Any) -> Any:
            if operation in ("min", "max"):
                return getattr(x, f"a{operation}")(tuple(axes))
            if operation in ("sum", "mean", "any", "all"):
                return getattr(x, operation)(tuple(axes))
            for axis in sorted(axes, reverse=True):  # prod
                x = getattr(x, operation)(axis)
            return x

        def transpose(self, x: Any, axes: Any) -> Any:
            return x.permute(axes)

        def stack_on_zeroth_dimension(self, tensors: list[Any]) -> Any:
            return torch.stack(tensors)

        def add_axis(self, x: Any, new_position: int) -> Any:
            return x.unsqueeze(new_position)

        def add_axes(self, x: Any, n_axes: int, pos2len: dict[int, int]) -> Any:
            for position in sorted(pos2len):
                x = x.unsqueeze(position)
            return x.expand([pos2len.get(i, -1) for i in range(n_axes)])

        def tile(self, x: Any, repeats: Any) -> Any:
            return x.repeat(repeats)

        def concat(self, tensors: Any, axis: int) -> Any:
            return torch.cat(tensors, dim=axis)

        def is_float_type(self, x: Any) -> bool:
            return bool(x.dtype.is_floating_point)

        def einsum(self, pattern: str, *x: Any) -> Any:
            return torch.einsum(pattern, *x)

    class Rearrange(rearranging, module):
        """einops.rearrange as a layer."""

        def forward(self, input: Any) -> Any:
            return self._apply_recipe(input)

    class Reduce(reducing, module):
        """einops.reduce as a layer."""

        def forward(self, input: Any) -> Any:
            return self._apply_recipe(input)

    class EinMix(mixed, module):
        """einops's linear layer with the axes of a pattern."""

        def _create_parameters(
            self, weight_shape: Any, weight_bound: float, bias_shape: Any, bias_bound: float
        ) -> None:
            self.weight = torch.nn.Parameter(torch.zeros(weight_shape).uniform_(-weight_bound, weight_bound))
            self.bias = None
            if bias_shape is not None:
                self.bias = torch.nn.Parameter(torch.zeros(bias_shape).uniform_(-bias_bound, bias_bound))

        def _create_rearrange_layers(self, *patterns: Any) -> None:
            names = ("pre_rearrange", "post_rearrange")
            for name, pattern, lengths in zip(names, patterns[::2], patterns[1::2]):
                setattr(self, name, None if pattern is None else Rearrange(pattern, **lengths))

        def forward(self, input: Any) -> Any:
            x = input if self.pre_rearrange is None else self.pre_rearrange(input)
            x = torch.einsum(self.einsum_pattern, x, self.weight)
            x = x if self.bias is None else x + self.bias
            return x if self.post_rearrange is None else self.post_rearrange(x)

    for layer in (Rearrange, Reduce, EinMix):  # so that pickle finds them
        layer.__qualname__ = layer.__name__
    found = {name: getattr(functions, name) for name in FUNCTIONS}
    return SimpleNamespace(Backend=Backend, Rearrange=Rearrange, Reduce=Reduce, EinMix=EinMix, **found)


def __getattr__(name: str) -> Any:
    if name in (*FUNCTIONS, "Rearrange", "Reduce", "EinMix"):
        return getattr(register(), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
