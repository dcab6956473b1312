"""Augmentations: random changes of images that preserve their class, drawn independently for each image.

Each takes arrays (N, H, W) or (N, C, H, W) and `rng=`; call it directly, or pass it to a DataLoader as `transform=`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal, TypeAlias, Union

import numpy as np

from tinygrad_dl import Tensor
from tinygrad_dl.arguments import Bounds, NonNegative, Probability, checked, described
from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.typing import NDArray, RandomLike

# Larger images do not fit into memory.
LARGEST_IMAGE = 100_000
Pixels: TypeAlias = Annotated[int, Bounds(least=1, most=LARGEST_IMAGE)]
Padding: TypeAlias = Annotated[int, Bounds(least=0, most=LARGEST_IMAGE)]
PadMode: TypeAlias = Literal[
    "constant", "edge", "linear_ramp", "maximum", "mean", "median", "minimum", "reflect", "symmetric", "wrap"
]
#: How far an augmentation may go: one number for both directions, or (low, high).
Amount: TypeAlias = Union[float, Sequence[float]]


class Augmentation:
    """Base class of augmentations: a subclass defines `change(x, rng)` for floating-point images x (N, C, H, W)."""

    def __call__(self, x: NDArray, *targets: NDArray, rng: RandomLike = None) -> NDArray:
        try:
            x = np.asarray(x.data if isinstance(x, Tensor) else x)
        except ValueError as error:
            raise ShapeError(f"{type(self).__name__}: expected images of equal sizes: {error}") from None
        if x.ndim not in (3, 4):
            raise ShapeError(
                f"{type(self).__name__}: expected images (N, H, W) or (N, C, H, W), got shape {x.shape}. "
                "Reshape flat images: x.reshape(-1, 1, height, width)."
            )
        if x.dtype.kind != "f":
            raise DTypeError(
                f"{type(self).__name__}: expected floating-point images, got {x.dtype}. Divide pixels by 255?"
            )
        # Subclasses see one layout: (N, H, W) gets a channel axis, which is removed again. They may write into it.
        images = (x[:, None] if x.ndim == 3 else x).copy()
        changed = self.change(images, default_rng(rng)).astype(x.dtype, copy=False)
        return changed[:, 0] if x.ndim == 3 else changed

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        """Return the augmented images, in the shape of x unless the augmentation crops."""
        raise DTypeError(f"{type(self).__name__} must define change(x, rng)")

    def __repr__(self) -> str:
        return described(self)

    def _limits(self, name: str, value: Amount, least: float, neutral: float = 0.0) -> tuple[float, float]:
        """Return (low, high); a single number is symmetric around `neutral`, the amount that changes nothing."""
        single = isinstance(value, (int, float, np.integer, np.floating))
        values: list[Any] = [value] if single else list(value)  # type: ignore[arg-type]
        try:
            numbers = tuple(map(float, values))
        except (TypeError, ValueError):
            raise DTypeError(
                f"{type(self).__name__}: {name}: expected a number or a pair (low, high), got {value!r}"
            ) from None
        pair = (neutral - numbers[0], neutral + numbers[0]) if single else numbers
        if len(pair) != 2 or not least <= pair[0] <= pair[1] < np.inf:
            raise ValueRangeError(
                f"{type(self).__name__}: {name}: expected a number or a pair (low, high) of at least {least:g}, "
                f"got {value!r}"
            )
        return float(pair[0]), float(pair[1])


class Compose(Augmentation):
    """Apply several augmentations, one after the other."""

    def __init__(self, *steps: Augmentation) -> None:
        for step in steps:
            if not isinstance(step, Augmentation):
                raise DTypeError(f"Compose: expected augmentations, got {type(step).__name__}")
        self.steps = steps

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        for step in self.steps:
            x = step.change(x, rng)
        return x


class Flip(Augmentation):
    """Flip an image with probability p: horizontally (axis -1) or vertically (axis -2).

    >>> Flip(1.0)(np.array([[[1.0, 2.0]]])).tolist()
    [[[2.0, 1.0]]]
    """

    @checked
    def __init__(self, p: Probability = 0.5, axis: Literal[-1, -2] = -1) -> None:
        self.p, self.axis = p, axis

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        flipped = rng.random(len(x)) < self.p
        return np.where(flipped[:, None, None, None], np.flip(x, self.axis), x)


class Crop(Augmentation):
    """Crop each image to `size` (H', W') at a random position, after padding it by `padding` pixels.

    size None keeps the image's size; `mode` is that of np.pad. Raises ShapeError if the crop is larger than the
    padded image.
    """

    @checked
    def __init__(
        self, size: tuple[Pixels, Pixels] | None = None, padding: Padding = 0, mode: PadMode = "constant"
    ) -> None:
        self.size, self.padding = size, padding
        self.mode: PadMode = mode

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        height, width = self.size or x.shape[2:]
        pad = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), pad, pad), mode=self.mode)
        margin = padded.shape[2] - height, padded.shape[3] - width
        if min(margin) < 0:
            raise ShapeError(
                f"Crop: expected a size that fits in the padded image {padded.shape[2:]}, got {(height, width)}. "
                "Increase padding=."
            )
        top, left = (rng.integers(0, n + 1, len(x))[:, None, None] for n in margin)
        # Fancy indexing on axes 0, 2 and 3 puts the channels last, hence the transpose.
        rows, columns = top + np.arange(height)[:, None], left + np.arange(width)
        return padded[np.arange(len(x))[:, None, None], :, rows, columns].transpose(0, 3, 1, 2)


SplineMode: TypeAlias = Literal[
    "reflect", "grid-mirror", "constant", "grid-constant", "nearest", "mirror", "grid-wrap", "wrap"
]


class Affine(Augmentation):
    """Rotate, zoom, shear and shift an image around its center, in one interpolation (scipy.ndimage).

    rotate and shear in degrees, zoom as a factor, shift in pixels: each one number for both directions, or
    (low, high). `order` of the spline: 0 nearest, 1 linear, 3 cubic; `mode` and `fill` say what surrounds the
    image, as in scipy.ndimage. Raises ValueRangeError, MissingExtraError without SciPy.
    """

    @checked
    def __init__(
        self,
        rotate: Amount = 0.0,
        zoom: Amount = 0.0,
        shear: Amount = 0.0,
        shift: Amount = 0.0,
        *,
        order: Annotated[int, Bounds(least=0, most=5)] = 1,
        mode: SplineMode = "constant",
        fill: float = 0.0,
    ) -> None:
        self.rotate = self._limits("rotate", rotate, -360)
        self.zoom = self._limits("zoom", zoom, 1e-3, neutral=1.0)
        self.shear = self._limits("shear", shear, -80)
        self.shift = self._limits("shift", shift, -1e6)
        self.order, self.mode, self.fill = order, mode, fill

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        try:
            from scipy import ndimage
        except ImportError:
            raise missing_extra("scipy", "data", type(self).__name__) from None
        n = len(x)
        angle, shear = (np.deg2rad(rng.uniform(*limits, n)) for limits in (self.rotate, self.shear))
        zoom = rng.uniform(*self.zoom, n)
        shift = rng.uniform(*self.shift, (n, 2))
        center = (np.array(x.shape[2:]) - 1) / 2
        out = np.empty_like(x)
        # scipy.ndimage transforms one image at a time.
        for i in range(n):
            cos, sin = np.cos(angle[i]), np.sin(angle[i])
            # affine_transform maps output coordinates to input coordinates: the inverse of the visible motion.
            matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [np.tan(shear[i]), 1]]) / zoom[i]
            offset = center - matrix @ (center + shift[i])
            for image, target in zip(x[i], out[i]):
                # Rounded, so that a right angle loses no border: scipy fills a position 1e-16 pixels outside, too.
                ndimage.affine_transform(
                    image, matrix.round(12), offset.round(12), output=target,
                    order=self.order, mode=self.mode, cval=self.fill,
                )  # fmt: skip
        return out


class Rotate(Affine):
    """Rotate an image by up to `degrees` in either direction, or by (low, high)."""

    @checked
    def __init__(self, degrees: Amount = 15.0, **options: Any) -> None:
        super().__init__(rotate=degrees, **options)


class Zoom(Affine):
    """Scale an image by a factor from 1 - amount to 1 + amount, or from (low, high)."""

    @checked
    def __init__(self, amount: Amount = 0.1, **options: Any) -> None:
        super().__init__(zoom=amount, **options)


class Shift(Affine):
    """Translate an image by up to `pixels` along each axis, or by (low, high)."""

    @checked
    def __init__(self, pixels: Amount = 2.0, **options: Any) -> None:
        super().__init__(shift=pixels, **options)


class Shear(Affine):
    """Shear an image by up to `degrees` in either direction, or by (low, high)."""

    @checked
    def __init__(self, degrees: Amount = 10.0, **options: Any) -> None:
        super().__init__(shear=degrees, **options)


class Noise(Augmentation):
    """Add Gaussian noise of standard deviation `std`.

    >>> Noise(0.0)(np.ones((1, 2, 2))).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """

    @checked
    def __init__(self, std: NonNegative = 0.1) -> None:
        self.std = std

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        return x + rng.normal(0, self.std, x.shape).astype(x.dtype)


class Color(Augmentation):
    """Change brightness, contrast and saturation of images in [0, 1]; the result is clipped to [0, 1].

    x' = mean + contrast * (x - mean) + brightness, then x' = gray + saturation * (x' - gray), with gray the
    ITU-R BT.601 luma. Each option is one number for both directions, or (low, high). Saturation requires three
    channels: ShapeError otherwise.
    """

    @checked
    def __init__(self, brightness: Amount = 0.1, contrast: Amount = 0.2, saturation: Amount = 0.0) -> None:
        self.brightness = self._limits("brightness", brightness, -1)
        self.contrast = self._limits("contrast", contrast, 0, neutral=1.0)
        self.saturation = self._limits("saturation", saturation, 0, neutral=1.0)

    def change(self, x: NDArray, rng: np.random.Generator) -> NDArray:
        brightness, contrast, saturation = (
            rng.uniform(*limits, (len(x), 1, 1, 1)).astype(x.dtype)
            for limits in (self.brightness, self.contrast, self.saturation)
        )
        # Contrast is relative to the mean of the whole image.
        mean = x.mean(axis=(1, 2, 3), keepdims=True)
        x = mean + contrast * (x - mean) + brightness
        if self.saturation != (1.0, 1.0):
            if x.shape[1] != 3:
                raise ShapeError(
                    f"Color: saturation: expected three channels (N, 3, H, W), got shape {x.shape}"
                )
            gray = np.tensordot(x, np.array([0.299, 0.587, 0.114], x.dtype), axes=(1, 0))[:, None]
            x = gray + saturation * (x - gray)
        return np.clip(x, 0, 1)
