"""Layers that take their input size from the first input."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.arguments import Positive, Real
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import GraphError, ShapeError
from tinygrad_dl.nn.functional.conv import batched
from tinygrad_dl.nn.layers import conv
from tinygrad_dl.nn.layers import normalization as norms
from tinygrad_dl.nn.layers.linear import Linear
from tinygrad_dl.nn.module import Module, locate
from tinygrad_dl.nn.parameter import Buffer, Parameter, Uninitialized, uninitialized
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, DTypeLike


class _Lazy(Module):
    """Mixin: the plain layer `becomes` of input size 0, with parameters without values until the first input."""

    becomes: Any
    size_name: str  # the attribute with the size of the input

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        self.becomes.__init__(self, 0, *args, **kwargs)
        for tensor in self._tensors().values():
            if tensor.ndim:  # the number of batches tracked is known: 0
                uninitialized(tensor)
        self._lazy = args, kwargs

    def _tensors(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if isinstance(value, (Parameter, Buffer))}

    def _input_size(self, input: Array) -> int:
        """The size that is taken from an input; raises ShapeError for one that the layer cannot have."""
        raise NotImplementedError

    def has_uninitialized_params(self) -> bool:
        """Whether a parameter or a buffer has no values yet."""
        return any(isinstance(tensor, Uninitialized) for tensor in self._tensors().values())

    def initialize_parameters(self, input: Array, *args: Any, **kwargs: Any) -> None:
        """Make the parameters for inputs like this one; those that were loaded stay. On an error nothing changes."""
        given, named = self._lazy
        array = input if isinstance(input, (Tensor, np.ndarray)) else asarray(input)
        size = self._input_size(array)
        # The plain layer tells the shapes, and refuses what does not go together, before anything is changed.
        plain: Any = object.__new__(type(self))
        self.becomes.__init__(plain, size, *given, **named)
        loaded, missing = [], []
        for name, tensor in self._tensors().items():
            form: Any = vars(plain).get(name)
            if isinstance(tensor, Uninitialized):
                if form is None:
                    raise GraphError(
                        f"{type(self).__name__}: {name} is not a parameter of {self.becomes.__name__}"
                    )
                missing.append((tensor, form.shape))
            elif form is not None and form.shape != tensor.shape:
                raise ShapeError(
                    f"{type(self).__name__}: expected an input that fits the loaded {name} of shape {tensor.shape}, "
                    f"got {array.shape}, for which it would have the shape {form.shape}"
                )
            else:
                loaded.append((tensor, tensor._data.copy()))
        setattr(self, self.size_name, size)
        for tensor, shape in missing:
            tensor.materialize(shape)
        if missing:
            rng = named.get("rng")
            self.reset_parameters(*(() if rng is None else (rng,)))
            for tensor, values in loaded:
                tensor._data[...] = values

    def reset_parameters(self, *args: Any, **kwargs: Any) -> None:
        """Reinitialize the parameters; before the first input there are none, and nothing is drawn."""
        if "_lazy" in vars(self) and getattr(self, self.size_name) and not self.has_uninitialized_params():
            super().reset_parameters(*args, **kwargs)  # type: ignore[misc]

    def _become_plain(self) -> None:
        # The object changes its class, so that references to it, such as a parent's attribute, stay valid.
        del self._lazy
        self.__class__ = self.becomes

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        kind, lazy = type(self), self._lazy
        missing = [tensor for tensor in self._tensors().values() if isinstance(tensor, Uninitialized)]
        forms = [tensor.form() for tensor in missing]
        try:
            self.initialize_parameters(*args, **kwargs)
        except Exception as error:
            locate(self, error)
            raise
        self._become_plain()
        try:
            return self(*args, **kwargs)
        except Exception:
            # The input was refused: the layer waits for the next one, with the same parameters.
            self.__class__, self._lazy = kind, lazy
            setattr(self, self.size_name, 0)
            for tensor, form in zip(missing, forms):
                uninitialized(tensor, form)
            raise

    def forward(self, input: Array, *args: Any, **kwargs: Any) -> Any:
        """Become the plain layer for inputs like this one, and return its result."""
        self.initialize_parameters(input, *args, **kwargs)
        self._become_plain()
        return self.forward(input, *args, **kwargs)


class _LazyConv(_Lazy):
    size_name = "in_channels"

    def _input_size(self, input: Array) -> int:
        batch, _ = batched(type(self).__name__, input, self.becomes.n)
        return int(batch.shape[1])


class _LazyNorm(_Lazy):
    size_name = "num_features"

    def _input_size(self, input: Array) -> int:
        self._check(input)
        return int(input.shape[1])


class LazyLinear(_Lazy, Linear):
    """Linear without in_features, which is taken from the first input; see LazyConv2d for what holds before.

    >>> import numpy as np
    >>> layer = LazyLinear(2)
    >>> layer(np.zeros((4, 3), "float32")).shape, layer
    ((4, 2), Linear(in_features=3, out_features=2, bias=True))
    """

    becomes, size_name = Linear, "in_features"

    def _input_size(self, input: Array) -> int:
        if not input.ndim:
            raise ShapeError(
                f"{type(self).__name__}: expected an input (..., in_features), got a single number"
            )
        return int(input.shape[-1])


class LazyBatchNorm1d(_LazyNorm, norms.BatchNorm1d):
    """BatchNorm1d without num_features, which is taken from the first input."""

    becomes = norms.BatchNorm1d


class LazyBatchNorm2d(_LazyNorm, norms.BatchNorm2d):
    """BatchNorm2d without num_features, which is taken from the first input."""

    becomes = norms.BatchNorm2d


class LazyBatchNorm3d(_LazyNorm, norms.BatchNorm3d):
    """BatchNorm3d without num_features, which is taken from the first input."""

    becomes = norms.BatchNorm3d


class _LazyInstanceNorm(_LazyNorm):
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

    def _input_size(self, input: Array) -> int:
        self._check(input)
        # Without a batch, there is one axis less.
        return int(input.shape[-min(self.becomes.axes)])


class LazyInstanceNorm1d(_LazyInstanceNorm, norms.InstanceNorm1d):
    """InstanceNorm1d without num_features, which is taken from the first input; affine and with running statistics.

    >>> import numpy as np
    >>> layer = LazyInstanceNorm1d()
    >>> layer(np.zeros((4, 3, 5), "float32")).shape, layer.num_features
    ((4, 3, 5), 3)
    """

    becomes = norms.InstanceNorm1d


class LazyInstanceNorm2d(_LazyInstanceNorm, norms.InstanceNorm2d):
    """InstanceNorm2d without num_features, which is taken from the first input; affine and with running statistics."""

    becomes = norms.InstanceNorm2d


class LazyInstanceNorm3d(_LazyInstanceNorm, norms.InstanceNorm3d):
    """InstanceNorm3d without num_features, which is taken from the first input; affine and with running statistics."""

    becomes = norms.InstanceNorm3d


class LazyConv1d(_LazyConv, conv.Conv1d):
    """Conv1d without in_channels, which is taken from the first input."""

    becomes = conv.Conv1d


class LazyConv2d(_LazyConv, conv.Conv2d):
    """Conv2d without in_channels, which is taken from the first input.

    Before it the layer has its parameters without values (UninitializedParameter), so that an optimizer made then
    trains them, and conversions, freezing, copies and load_state_dict count. The first call makes them, and the layer
    an ordinary Conv2d; an input that is refused leaves the layer as it was.
    """

    becomes = conv.Conv2d


class LazyConv3d(_LazyConv, conv.Conv3d):
    """Conv3d without in_channels, which is taken from the first input."""

    becomes = conv.Conv3d


class LazyConvTranspose1d(_LazyConv, conv.ConvTranspose1d):
    """ConvTranspose1d without in_channels, which is taken from the first input."""

    becomes = conv.ConvTranspose1d


class LazyConvTranspose2d(_LazyConv, conv.ConvTranspose2d):
    """ConvTranspose2d without in_channels, which is taken from the first input."""

    becomes = conv.ConvTranspose2d


class LazyConvTranspose3d(_LazyConv, conv.ConvTranspose3d):
    """ConvTranspose3d without in_channels, which is taken from the first input."""

    becomes = conv.ConvTranspose3d
