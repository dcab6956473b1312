"""Classifier and Regressor: scikit-learn estimators over any model."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl import asarray, config, nn, no_grad, optim
from tinygrad_dl.arguments import Count, NonNegative, Positive, Size, hinted, refuse_unfit
from tinygrad_dl.config import default_rng, manual_seed
from tinygrad_dl.data import DataLoader, TensorDataset, split
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.nn import Module
from tinygrad_dl.train.callback import EarlyStopping
from tinygrad_dl.train.regularize import Penalty
from tinygrad_dl.train.trainer import Trainer
from tinygrad_dl.typing import ArrayLike, NDArray

try:
    from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
    from sklearn.utils.multiclass import check_classification_targets
    from sklearn.utils.validation import check_is_fitted, validate_data
except ImportError:
    raise missing_extra("scikit-learn", "data", "Classifier and Regressor") from None


MOST_LAYERS = 1000  # a longer list is a slip, such as the data themselves


class _Estimator(BaseEstimator):
    """Options, training and outputs, which classifier and regressor share."""

    @hinted
    def __init__(
        self,
        model: Module | Callable[[int, int], Module] | None = None,
        hidden: int | Sequence[int] = (64,),
        *,
        epochs: int = 100,
        batch_size: int = 32,
        lr: float = 0.003,
        l2: float = 0.0,
        standardize: bool = True,
        early_stopping: int | None = None,
        dev: float = 0.1,
        random_state: int | np.random.RandomState | np.random.Generator | None = None,
        progress: str = "off",
    ) -> None:
        self.model = model
        self.hidden = hidden
        self.epochs = epochs
        self.batch_size = batch_size
        self.lr = lr
        self.l2 = l2
        self.standardize = standardize
        self.early_stopping = early_stopping
        self.dev = dev
        self.random_state = random_state
        self.progress = progress

    def _seed(self) -> int:
        if self.random_state is None:
            return int(default_rng().integers(2**31))
        if isinstance(self.random_state, np.random.RandomState):
            return int(self.random_state.randint(2**31 - 1))
        return int(default_rng(self.random_state).integers(2**31))

    def _train(self, x: NDArray, y: NDArray, outputs: int, loss: Module, stratify: bool) -> None:
        # scikit-learn's rule: options are compared in fit, not in the constructor.
        options = {name: getattr(self, name) for name in _OPTIONS}
        refuse_unfit(_options, (), options, type(self).__name__)
        if not isinstance(self.dev, (float, np.floating)) or not 0 < self.dev < 1:
            raise ValueRangeError(
                f"{type(self).__name__}: dev: expected a fraction between 0 and 1, got {self.dev!r}"
            )
        seed = self._seed()
        wide = x.astype(np.float64)
        self.mean_ = wide.mean(axis=0) if self.standardize else np.zeros(x.shape[1:])
        std = wide.std(axis=0) if self.standardize else np.ones(x.shape[1:])
        # The standard deviation of a constant feature is rounding error: do not divide by it.
        self.scale_ = np.where(std > 1e-12 * np.maximum(np.abs(self.mean_), 1e-300), std, 1.0)
        data = TensorDataset(self._standardized(x), y)
        dev = None
        if self.early_stopping is not None:
            try:
                # Few kinds of rows, such as two binary features, have to be on both sides.
                sizes = (1 - self.dev, self.dev)
                data, dev = split(data, sizes, stratify=stratify, duplicates="allow", rng=seed)
            except ValueRangeError as error:
                raise ValueRangeError(f"{type(self).__name__}: early_stopping: {error}") from None
        # The model draws from the default generator; that of the user is restored afterwards.
        previous = config._rng
        try:
            manual_seed(seed)
            self.model_ = self._build(x.shape[1:], outputs)
            self._refuse_other_outputs(data.x[:2], outputs)
            callbacks: list[Any] = [Penalty(l2=self.l2)] if self.l2 else []
            if self.early_stopping is not None:
                callbacks.append(EarlyStopping(patience=self.early_stopping))
            optimizer = optim.Adam(self.model_.parameters(), lr=self.lr)
            trainer = Trainer(self.model_, loss, optimizer, callbacks=callbacks, progress=self.progress)
            # Batch normalization has no variance to divide by in a last batch of one example.
            drop_last = len(data) > 1 and len(data) % self.batch_size == 1
            loader = DataLoader(data, self.batch_size, shuffle=True, drop_last=drop_last, rng=seed)
            self.history_ = trainer.fit(loader, dev=dev, epochs=self.epochs)
        finally:
            config._rng = previous
        self.n_iter_ = len(self.history_)
        self.model_.eval()
        self.loss_ = loss

    def _refuse_other_outputs(self, x: NDArray, outputs: int) -> None:
        """Raise ShapeError where the model returns another number of outputs than there are classes or targets."""
        self.model_.eval()
        with no_grad():
            shape = self.model_(asarray(x)).shape
        self.model_.train()
        if shape != (len(x), outputs):
            what = "one logit per class" if isinstance(self, Classifier) else "one per target"
            raise ShapeError(
                f"{type(self).__name__}: model: expected outputs (N, {outputs}), {what}, got {shape} for {len(x)} rows"
            )

    def _build(self, shape: tuple[int, ...], outputs: int) -> Module:
        """Return a copy of the model given, the model of a factory(inputs, outputs), or hidden layers with ReLU."""
        inputs = int(np.prod(shape))
        if isinstance(self.model, nn.Module):
            return copy.deepcopy(self.model)
        if self.model is not None:
            return self.model(inputs, outputs)
        hidden = self.hidden
        sizes = [inputs, *([hidden] if isinstance(hidden, (int, np.integer)) else hidden)]
        if len(sizes) > MOST_LAYERS:
            raise ValueRangeError(
                f"{type(self).__name__}: hidden: expected fewer than {MOST_LAYERS} layers, got {len(sizes) - 1}"
            )
        layers: list[Any] = []
        for a, b in zip(sizes, sizes[1:]):
            layers += [nn.Linear(a, b), nn.ReLU()]
        return nn.Sequential(*layers, nn.Linear(sizes[-1], outputs))

    def _standardized(self, x: NDArray) -> NDArray:
        return ((x - self.mean_) / self.scale_).astype(np.float32)

    def _validated(self, *data: Any, **how: Any) -> Any:
        """The data as scikit-learn's own checks pass them; its errors as this package's."""
        called = f"{type(self).__name__}.{'predict' if len(data) == 1 else 'fit'}"
        try:
            return validate_data(self, *data, **how)
        except ValueError as error:
            raise ValueRangeError(f"{called}: {error}") from None
        except TypeError as error:
            raise DTypeError(f"{called}: {error}") from None

    def _outputs(self, x: ArrayLike) -> NDArray:
        check_is_fitted(self, "model_")
        rows = self._validated(x, reset=False, dtype="numeric", ensure_2d=True)
        trainer = Trainer(self.model_, self.loss_, optim.SGD(self.model_.parameters()), progress="off")
        return trainer.predict(self._standardized(rows))


def _options(
    hidden: Count | Sequence[Count] = (64,),
    epochs: Size = 100,
    batch_size: Count = 32,
    lr: Positive = 0.003,
    l2: NonNegative = 0.0,
    standardize: bool = True,
    early_stopping: Count | None = None,
) -> None:
    """The options of an estimator, for refuse_unfit."""


_OPTIONS = ("hidden", "epochs", "batch_size", "lr", "l2", "standardize", "early_stopping")


class Classifier(ClassifierMixin, _Estimator):
    """A network as a scikit-learn classifier: fit(X, y), predict, predict_proba; for pipelines and searches.

    `model`: an nn.Module that returns one logit per class, or a function(inputs, classes) that makes one; None
    means layers of `hidden` units with ReLU. `l2`: penalty on the weights. `early_stopping`: patience in epochs,
    on the fraction `dev` of the data. An integer `random_state` makes results reproducible. After fit: classes_,
    model_, history_, n_iter_.

    >>> model = Classifier(epochs=50, random_state=0)
    >>> model.fit([[0.0], [1.0], [2.0], [3.0]], list("aabb")).predict([[0.2], [2.9]])
    array(['a', 'b'], dtype='<U1')
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Classifier:
        """Train on X (N, features) and labels y (N,)."""
        x, labels = self._validated(X, y, dtype="numeric")
        try:
            check_classification_targets(labels)
        except ValueError as error:
            raise ValueRangeError(f"Classifier.fit: y: {error}") from None
        self.classes_, codes = np.unique(labels, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueRangeError("Classifier.fit: expected at least two classes in y, got only one class")
        self._train(x, codes.reshape(-1).astype(np.int64), len(self.classes_), nn.CrossEntropyLoss(), True)
        return self

    def predict_proba(self, X: ArrayLike) -> np.ndarray:
        """Return the probability of each class, (N, classes), in the order of classes_."""
        logits = self._outputs(X)
        exp = np.exp(logits - logits.max(axis=1, keepdims=True))  # the maximum is subtracted against overflow
        return exp / exp.sum(axis=1, keepdims=True)

    def decision_function(self, X: ArrayLike) -> np.ndarray:
        """Return the logits (N, classes); for two classes their difference (N,), positive for the second class."""
        logits = self._outputs(X)
        return logits[:, 1] - logits[:, 0] if len(self.classes_) == 2 else logits

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the most probable label of each row."""
        outputs = self._outputs(X)  # first: it raises NotFittedError
        return self.classes_[outputs.argmax(axis=1)]


class Regressor(RegressorMixin, _Estimator):
    """A network as a scikit-learn regressor: fit(X, y), predict; for pipelines and searches.

    The options are those of Classifier; targets y (N,) or (N, targets) are standardized for training.

    >>> model = Regressor(epochs=200, random_state=0).fit([[0.0], [1.0], [2.0], [3.0]], [0.0, 2.0, 4.0, 6.0])
    >>> abs(model.predict([[1.5]])[0] - 3) < 0.5
    np.True_
    """

    def fit(self, X: ArrayLike, y: ArrayLike) -> Regressor:
        """Train on X (N, features) and numbers y (N,) or (N, targets)."""
        x, numbers = self._validated(X, y, dtype="numeric", multi_output=True, y_numeric=True)
        targets = np.asarray(numbers, np.float64)
        self.target_shape_ = targets.shape[1:]
        columns = targets.reshape(len(targets), -1)
        self.target_mean_, std = columns.mean(axis=0), columns.std(axis=0)
        self.target_scale_ = np.where(std > 0, std, 1.0)
        scaled = ((columns - self.target_mean_) / self.target_scale_).astype(np.float32)
        self._train(x, scaled, scaled.shape[1], nn.MSELoss(), False)
        return self

    def predict(self, X: ArrayLike) -> np.ndarray:
        """Return the predicted target of each row."""
        outputs = self._outputs(X) * self.target_scale_ + self.target_mean_
        return outputs.reshape(len(outputs), *self.target_shape_)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.target_tags.multi_output = True
        return tags
