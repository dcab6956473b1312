"""What prepares inputs, fitted on the training part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from tinygrad_dl.data.dataset import Subset, TensorDataset
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError


class Standardize:
    """Shift and scale inputs so that each feature of the training part has mean 0 and standard deviation 1.

    x' = (x - mean) / std, over `axis` of the training x; a constant feature is shifted only. `fit` refuses
    a data set that `split` marked as dev or test: what it measures there would leak into training.

    >>> scale = Standardize().fit([[1.0], [3.0]])
    >>> scale([[2.0], [5.0]]).tolist()
    [[0.0], [3.0]]
    """

    def __init__(self, axis: int | tuple[int, ...] = 0) -> None:
        self.axis = axis
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None

    def fit(self, data: Any) -> Standardize:
        """Measure mean and standard deviation on an array or on the x of a data set."""
        part = getattr(data, "part", None)
        if part not in (None, "train"):
            raise ValueRangeError(
                f"Standardize.fit: this is the {part} part. Fit on the training part only and apply the "
                "result to "
                "the others; otherwise what is measured on them leaks into training."
            )
        x = _inputs(data)
        if not x.size:
            raise ValueRangeError(f"Standardize.fit: there are no examples; the shape {x.shape} came")
        wide = x.astype(np.float64)
        mean = wide.mean(axis=self.axis, keepdims=True)
        if not np.isfinite(mean).all():
            place = tuple(int(i) for i in np.argwhere(~np.isfinite(wide))[0])
            raise ValueRangeError(
                f"Standardize.fit: x{list(place)} is {wide[place]}; fill or drop such values"
            )
        std = wide.std(axis=self.axis, keepdims=True)
        # A constant feature's rounding error is no spread.
        std[std <= 1e-12 * np.maximum(np.abs(mean), 1e-300)] = 1.0
        kept = x.dtype if x.dtype.kind == "f" else np.float64
        self.mean, self.std = mean.astype(kept), std.astype(kept)
        return self

    def __call__(self, data: Any) -> Any:
        """The same kind of thing, standardised: an array, or a data set with its x replaced."""
        mean, std = self._fitted()
        x = _inputs(data)
        self._check(x)
        scaled = (x - mean) / std
        return data.replaced(scaled) if isinstance(data, TensorDataset) else scaled

    def inverse(self, x: Any) -> np.ndarray:
        """The inputs as they were: x' * std + mean."""
        mean, std = self._fitted()
        x = _inputs(x)
        self._check(x)
        return x * std + mean

    def state_dict(self) -> dict[str, np.ndarray]:
        """Mean and standard deviation, to be saved with the model."""
        mean, std = self._fitted()
        return {"mean": mean, "std": std}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Take over what `state_dict` gave."""
        self.mean, self.std = np.array(state["mean"]), np.array(state["std"])

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if self.mean is None or self.std is None:
            raise GraphError("Standardize: call fit(train) first")
        return self.mean, self.std

    def _check(self, x: np.ndarray) -> None:
        assert self.mean is not None
        axes = (self.axis,) if isinstance(self.axis, int) else self.axis
        measured = {axis % self.mean.ndim for axis in axes}
        fits = x.ndim == self.mean.ndim and all(
            i in measured or m == s for i, (m, s) in enumerate(zip(self.mean.shape, x.shape))
        )
        if not fits:
            raise ShapeError(f"Standardize: fitted for {self.mean.shape}; x has the shape {x.shape}")


def _inputs(data: Any) -> np.ndarray:
    if isinstance(data, TensorDataset):
        return data.x
    if isinstance(data, Subset):
        raise DTypeError(
            "Standardize: a Subset of examples has no array x; standardise in the data set itself"
        )
    x = np.asarray(data)
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"Standardize: numbers are needed; {x.dtype} came")
    return x
