"""Preprocessing fitted on the training part."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, overload

import numpy as np

from tinygrad_dl import Tensor
from tinygrad_dl.arguments import checked, described
from tinygrad_dl.compiler.shipping import literal
from tinygrad_dl.data.dataset import Dataset, Subset, TensorDataset
from tinygrad_dl.errors import AxisError, DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.nn.architecture import register_preparation
from tinygrad_dl.typing import ArrayLike, NDArray

PROGRAM = '''\
MEAN = {mean}
STD = {std}


def predict(x):
    """The outputs of the model for inputs as they are collected."""
    x = np.asarray(x)
    return outputs((x - MEAN) / STD)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("python predict.py inputs.npy: expected the path of an array")
    with np.printoptions(threshold=sys.maxsize):
        print(predict(np.load(sys.argv[1])))
'''


@register_preparation
class Standardize:
    """Standardize inputs: each feature of the training part gets mean 0 and standard deviation 1.

    x' = (x - mean) / std, with the statistics over `axis` of the training x; a constant feature is only centered.
    `fit` rejects a data set that `split` marked as dev or test, whose statistics would leak into training. Raises
    ValueRangeError, ShapeError, and GraphError before fit.

    >>> scale = Standardize().fit([[1.0], [3.0]])
    >>> scale([[2.0], [5.0]]).tolist()
    [[0.0], [3.0]]
    """

    @checked
    def __init__(self, axis: int | tuple[int, ...] = 0) -> None:
        self.axis = axis
        self.mean: np.ndarray | None = None
        self.std: np.ndarray | None = None

    def __repr__(self) -> str:
        state = "not fitted" if self.mean is None else f"fitted to {self.mean.size} features"
        return f"{described(self)[:-1]}{', ' if self.axis != 0 else ''}{state})"

    def fit(self, data: ArrayLike | TensorDataset) -> Standardize:
        """Compute mean and standard deviation of an array, or of the x of a data set."""
        part = getattr(data, "part", None)
        if part not in (None, "train"):
            raise ValueRangeError(
                f"Standardize.fit: expected the training part, got the {part} part. Fit on the training part only "
                "and apply the result to the others: their statistics would leak into training."
            )
        x = _inputs(data)
        if not x.size:
            raise ValueRangeError(f"Standardize.fit: expected at least one example, got shape {x.shape}")
        axes = (self.axis,) if isinstance(self.axis, (int, np.integer)) else tuple(self.axis)
        if any(not -x.ndim <= axis < x.ndim for axis in axes) or len({a % x.ndim for a in axes}) < len(axes):
            raise AxisError(
                f"Standardize.fit: axis: expected different axes of inputs of shape {x.shape}, got {self.axis}"
            )
        wide = x.astype(np.float64)  # sums of float32 lose digits over many examples
        mean = wide.mean(axis=axes, keepdims=True)
        if not np.isfinite(mean).all():
            index = tuple(int(i) for i in np.argwhere(~np.isfinite(wide))[0])
            raise ValueRangeError(
                f"Standardize.fit: expected finite values, got {wide[index]} at x{list(index)}. "
                "Impute or drop such values."
            )
        std = wide.std(axis=axes, keepdims=True)
        # The standard deviation of a constant feature is rounding error: do not divide by it.
        std[std <= 1e-12 * np.maximum(np.abs(mean), 1e-300)] = 1.0
        dtype = x.dtype if x.dtype.kind == "f" else np.float64
        self.mean, self.std = mean.astype(dtype), std.astype(dtype)
        return self

    @overload
    def __call__(self, data: TensorDataset) -> TensorDataset: ...

    @overload
    def __call__(self, data: ArrayLike) -> NDArray: ...

    def __call__(self, data: ArrayLike | TensorDataset) -> NDArray | TensorDataset:
        """Return the standardized array, or a data set with its x standardized."""
        mean, std = self._fitted()
        x = _inputs(data)
        self._check(x)
        scaled = (x - mean) / std
        return data.replaced(scaled) if isinstance(data, TensorDataset) else scaled

    def inverse(self, x: ArrayLike) -> NDArray:
        """Undo the standardization: x' * std + mean."""
        mean, std = self._fitted()
        array = _inputs(x)
        self._check(array)
        return array * std + mean

    def state_dict(self) -> dict[str, np.ndarray]:
        """Return mean and standard deviation, to be saved with the model."""
        mean, std = self._fitted()
        return {"mean": mean, "std": std}

    def load_state_dict(self, state: Mapping[str, NDArray]) -> None:
        """Restore what `state_dict` returned."""
        if not isinstance(state, Mapping) or not {"mean", "std"} <= set(state):
            raise ValueRangeError(
                "Standardize.load_state_dict: state: expected mean and std, as state_dict returns, got "
                f"{', '.join(map(str, state)) if isinstance(state, Mapping) else type(state).__name__}"
            )
        self.mean, self.std = np.array(state["mean"]), np.array(state["std"])

    def saved(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """The settings as JSON can hold them, and the arrays: what a file of a whole model keeps."""
        axis = self.axis if isinstance(self.axis, (int, np.integer)) else [int(a) for a in self.axis]
        return {"axis": axis}, self.state_dict()

    @classmethod
    def restored(cls, settings: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> Standardize:
        """The preparation of what `saved` returned."""
        axis = settings["axis"]
        made = cls(tuple(axis) if isinstance(axis, list) else axis)
        made.load_state_dict(arrays)
        return made

    def example(self, rows: int) -> tuple[NDArray]:
        """Inputs of zeros for a number of rows, as the model takes them."""
        mean, _ = self._fitted()
        return (np.zeros((rows, *mean.shape[1:]), mean.dtype),)

    def program(self) -> str:
        """The text that a file of `compile(model).save(path, preprocess=...)` has around the model."""
        mean, std = self._fitted()
        return PROGRAM.format(mean=literal(mean), std=literal(std))

    def _fitted(self) -> tuple[np.ndarray, np.ndarray]:
        if self.mean is None or self.std is None:
            raise GraphError("Standardize: expected fitted statistics, got none. Call fit(train) first.")
        return self.mean, self.std

    def _check(self, x: np.ndarray) -> None:
        assert self.mean is not None
        axes = (self.axis,) if isinstance(self.axis, (int, np.integer)) else self.axis
        reduced = {axis % self.mean.ndim for axis in axes}
        matches = x.ndim == self.mean.ndim and all(
            i in reduced or m == s for i, (m, s) in enumerate(zip(self.mean.shape, x.shape))
        )
        if not matches:
            raise ShapeError(
                f"Standardize: expected inputs that match the fitted statistics {self.mean.shape}, "
                f"got shape {x.shape}"
            )


def _inputs(data: ArrayLike | Dataset) -> NDArray:
    if isinstance(data, TensorDataset):
        return data.x
    if isinstance(data, Subset):
        raise DTypeError(
            "Standardize: expected an array or a TensorDataset, got a Subset, which has no array x. "
            "Standardize its data set instead."
        )
    try:
        x = data.data if isinstance(data, Tensor) else np.asarray(data)
    except ValueError:
        raise ShapeError(
            "Standardize: expected rows of equal length, got rows of different lengths"
        ) from None
    if x.dtype.kind not in "fiub":
        raise DTypeError(f"Standardize: expected numbers, got {x.dtype}")
    return x
