"""Layers that take their input size from the first input."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.arguments import Positive, Real
from tinygrad_dl.nn.functional.conv import batched
from tinygrad_dl.nn.layers import conv
from tinygrad_dl.nn.layers import normalization as norms
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.module import Module
from tinygrad_dl.typing import Array, DTypeLike, RandomLike


class _Lazy(Module):
    """Becomes the plain layer, of the class `becomes`, on its first input."""

    becomes: type[Module]
    axis = 1  # of the input: its size is the missing argument
    unknown = "?"

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self._pending = (args, kwargs)

    def _input_size(self, input: Array) -> int:
        return input.shape[self.axis]

    def forward(self, input: Array, *args: Any, **kwargs: Any) -> Any:
        """Become the plain layer for inputs like this one, and return its result."""
        size = self._input_size(input)
        given, named = self.__dict__.pop("_pending")
        # The object changes its class, so that references to it, such as a parent's attribute, stay valid.
        self.__class__ = self.becomes  # type: ignore[assignment]
        self.__init__(size, *given, **named)  # type: ignore[misc]
        return self.forward(input, *args, **kwargs)

    def reset_parameters(self, rng: RandomLike = None) -> None:
        """Does nothing: there are no parameters before the first input."""

    def extra_repr(self) -> str:
        """The arguments known before the first input."""
        given, named = self._pending
        return ", ".join([self.unknown, *map(repr, given), *(f"{k}={v!r}" for k, v in named.items())])


class _LazyConv(_Lazy):
    becomes: type[Module]
    unknown = "in_channels=?"

    def _input_size(self, input: Array) -> int:
        n: int = self.becomes.n  # type: ignore[attr-defined]
        batch, _ = batched(self.becomes.__name__, input, n)
        return int(batch.shape[1])


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
        eps: Positive = 1e-5,
        momentum: Real | None = 0.1,
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


class LazyConv1d(_LazyConv):
    """Conv1d without in_channels, which is taken from the first input."""

    becomes = conv.Conv1d


class LazyConv2d(_LazyConv):
    """Conv2d without in_channels, which is taken from the first input."""

    becomes = conv.Conv2d


class LazyConv3d(_LazyConv):
    """Conv3d without in_channels, which is taken from the first input."""

    becomes = conv.Conv3d


class LazyConvTranspose1d(_LazyConv):
    """ConvTranspose1d without in_channels, which is taken from the first input."""

    becomes = conv.ConvTranspose1d


class LazyConvTranspose2d(_LazyConv):
    """ConvTranspose2d without in_channels, which is taken from the first input."""

    becomes = conv.ConvTranspose2d


class LazyConvTranspose3d(_LazyConv):
    """ConvTranspose3d without in_channels, which is taken from the first input."""

    becomes = conv.ConvTranspose3d
