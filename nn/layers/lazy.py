"""Layers that take their input size from the first input."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.nn.layers import normalization as norms
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.module import Module
from tinygrad_dl.typing import Array, DTypeLike


class _Lazy(Module):
    """Becomes the plain layer, of the class `becomes`, on its first input."""

    becomes: type[Module]
    axis = 1

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pending = (args, kwargs)

    def forward(self, input: Array) -> Any:
        """Become the plain layer for inputs like this one, and return its result."""
        given, named = self.__dict__.pop("_pending")
        size = input.shape[self.axis]
        self.__class__ = self.becomes  # type: ignore[assignment]
        self.__init__(size, *given, **named)  # type: ignore[misc]
        return self.forward(input)

    def extra_repr(self) -> str:
        """The arguments known before the first input."""
        given, named = self._pending
        return ", ".join(["?", *map(repr, given), *(f"{k}={v!r}" for k, v in named.items())])


class LazyLinear(_Lazy):
    """Linear without in_features, which is taken from the first input. Create the optimizer after that.

    >>> import numpy as np
    >>> layer = LazyLinear(2)
    >>> layer(np.zeros((4, 3), "float32")).shape, layer
    ((4, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    becomes, axis = Linear, -1


class LazyBatchNorm1d(_Lazy):
    """BatchNorm1d without num_features, which is taken from the first input."""

    becomes = norms.BatchNorm1d


class LazyBatchNorm2d(_Lazy):
    """BatchNorm2d without num_features, which is taken from the first input."""

    becomes = norms.BatchNorm2d


class LazyBatchNorm3d(_Lazy):
    """BatchNorm3d without num_features, which is taken from the first input."""

    becomes = norms.BatchNorm3d


class _LazyInstanceNorm(_Lazy):
    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: str | None = None,
        dtype: DTypeLike | None = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(
            eps=eps, momentum=momentum, affine=affine, track_running_stats=track_running_stats, device=device,
            dtype=dtype, bias=bias,
        )  # fmt: skip


class LazyInstanceNorm1d(_LazyInstanceNorm):
    """InstanceNorm1d without num_features, which is taken from the first input; affine and with running statistics.

    >>> import numpy as np
    >>> layer = LazyInstanceNorm1d()
    >>> layer(np.zeros((4, 3, 5), "float32")).shape, layer.num_features
    ((4, 3, 5), 3)
    """

    becomes, axis = norms.InstanceNorm1d, -2


class LazyInstanceNorm2d(_LazyInstanceNorm):
    """InstanceNorm2d without num_features, which is taken from the first input; affine and with running statistics."""

    becomes, axis = norms.InstanceNorm2d, -3


class LazyInstanceNorm3d(_LazyInstanceNorm):
    """InstanceNorm3d without num_features, which is taken from the first input; affine and with running statistics."""

    becomes, axis = norms.InstanceNorm3d, -4
