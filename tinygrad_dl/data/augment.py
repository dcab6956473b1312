"""Augmentations: random changes of images that leave their class as it is. Each is drawn anew for each image.

They take arrays (N, H, W) or (N, C, H, W) and `rng=`, by hand or as `transform=` of a DataLoader.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError, missing_extra


class Augmentation:
    """Base of augmentations: a subclass defines `change(x, rng)` for images x (N, C, H, W) of floats."""

    def __call__(self, x: Any, *others: Any, rng: np.random.Generator | int | None = None) -> np.ndarray:
        x = np.asarray(x)
        if x.ndim not in (3, 4):
            raise ShapeError(
                f"{type(self).__name__}: images (N, H, W) or (N, C, H, W) are needed; {x.shape} came. "
                "Reshape flat images: x.reshape(-1, 1, height, width)."
            )
        if x.dtype.kind != "f":
            raise DTypeError(
                f"{type(self).__name__}: floats are needed; {x.dtype} came. Divide pixels by 255?"
            )
        images = x[:, None] if x.ndim == 3 else x
        changed = self.change(images, default_rng(rng)).astype(x.dtype, copy=False)
        return changed[:, 0] if x.ndim == 3 else changed

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The changed images."""
        raise DTypeError(f"{type(self).__name__} has to define change(x, rng)")

    def _range(self, name: str, value: Any, least: float, neutral: float = 0.0) -> tuple[float, float]:
        """(low, high) of a random amount: a number reaches to both sides of what changes nothing."""
        pair = (neutral - float(value), neutral + float(value)) if np.ndim(value) == 0 else tuple(value)
        if len(pair) != 2 or not least <= pair[0] <= pair[1] < np.inf:
            raise ValueRangeError(
                f"{type(self).__name__}: {name}: a number or a pair (low, high), not below {least:g}, is "
                "needed; "
                f"{value!r} came"
            )
        return float(pair[0]), float(pair[1])


class Compose(Augmentation):
    """Several augmentations, one after the other."""

    def __init__(self, *steps: Augmentation) -> None:
        self.steps = steps

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        for step in self.steps:
            x = step.change(x, rng)
        return x


class Flip(Augmentation):
    """Mirror an image with probability p: left to right (axis -1), or upside down (axis -2).

    >>> Flip(1.0)(np.array([[[1.0, 2.0]]])).tolist()
    [[[2.0, 1.0]]]
    """

    def __init__(self, p: float = 0.5, axis: int = -1) -> None:
        if not 0 <= p <= 1 or axis not in (-1, -2):
            raise ValueRangeError(f"Flip: p in [0, 1] and axis -1 or -2 are needed; {p}, {axis} came")
        self.p, self.axis = p, axis

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        chosen = rng.random(len(x)) < self.p
        return np.where(chosen[:, None, None, None], np.flip(x, self.axis), x)


class Crop(Augmentation):
    """A random part of the size (H', W') of each image, which is padded by `padding` pixels first.

    size None keeps the image's size. Raises ShapeError if the part is larger than the padded image.
    """

    def __init__(self, size: tuple[int, int] | None = None, padding: int = 0, mode: str = "constant") -> None:
        if padding < 0 or (size is not None and min(size) < 1):
            raise ValueRangeError(
                f"Crop: size of at least 1 and padding of at least 0 are needed; {size}, {padding} came"
            )
        self.size, self.padding, self.mode = size, padding, mode

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        height, width = self.size or x.shape[2:]
        pad = (self.padding, self.padding)
        padded = np.pad(x, ((0, 0), (0, 0), pad, pad), mode=self.mode)  # type: ignore[call-overload]
        free = padded.shape[2] - height, padded.shape[3] - width
        if min(free) < 0:
            raise ShapeError(
                f"Crop: a part of {(height, width)} does not fit in an image of {padded.shape[2:]}"
            )
        top, left = (rng.integers(0, n + 1, len(x))[:, None, None] for n in free)
        rows, columns = top + np.arange(height)[:, None], left + np.arange(width)
        return padded[np.arange(len(x))[:, None, None], :, rows, columns].transpose(0, 3, 1, 2)


class Affine(Augmentation):
    """Rotate, zoom, shear and shift an image around its centre, in one resampling (scipy.ndimage).

    rotate and shear in degrees, zoom as a factor, shift in pixels: each a number to both sides, or (low,
    high). `order` of the interpolation: 0 nearest, 1 linear, 3 cubic; `mode` and `fill` for what lies
    outside.
    """

    def __init__(
        self,
        rotate: Any = 0.0,
        zoom: Any = 0.0,
        shear: Any = 0.0,
        shift: Any = 0.0,
        *,
        order: int = 1,
        mode: str = "constant",
        fill: float = 0.0,
    ) -> None:
        self.rotate = self._range("rotate", rotate, -360)
        self.zoom = self._range("zoom", zoom, 1e-3, neutral=1.0)
        self.shear = self._range("shear", shear, -80)
        self.shift = self._range("shift", shift, -1e6)
        self.order, self.mode, self.fill = order, mode, fill

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        try:
            from scipy import ndimage
        except ImportError:
            raise missing_extra("scipy", "data", type(self).__name__) from None
        n = len(x)
        angle, shear = (np.deg2rad(rng.uniform(*limits, n)) for limits in (self.rotate, self.shear))
        zoom = rng.uniform(*self.zoom, n)
        shift = rng.uniform(*self.shift, (n, 2))
        centre = (np.array(x.shape[2:]) - 1) / 2
        out = np.empty_like(x)
        for i in range(n):
            cos, sin = np.cos(angle[i]), np.sin(angle[i])
            # From places in the result to places in the image: the inverse of what is seen.
            matrix = np.array([[cos, sin], [-sin, cos]]) @ np.array([[1, 0], [np.tan(shear[i]), 1]]) / zoom[i]
            offset = centre - matrix @ (centre + shift[i])
            for image, target in zip(x[i], out[i]):
                # Rounded, so that a right angle loses no border: scipy fills a position 1e-16 pixels outside, too.
                ndimage.affine_transform(
                    image, matrix.round(12), offset.round(12), output=target,
                    order=self.order, mode=self.mode, cval=self.fill,
                )  # fmt: skip
        return out


class Rotate(Affine):
    """Turn an image by up to so many degrees to both sides, or by (low, high)."""

    def __init__(self, degrees: Any = 15.0, **options: Any) -> None:
        super().__init__(rotate=degrees, **options)


class Zoom(Affine):
    """Make an image larger or smaller by a factor 1 ± amount, or from (low, high)."""

    def __init__(self, amount: Any = 0.1, **options: Any) -> None:
        super().__init__(zoom=amount, **options)


class Shift(Affine):
    """Move an image by up to so many pixels in each direction, or by (low, high)."""

    def __init__(self, pixels: Any = 2.0, **options: Any) -> None:
        super().__init__(shift=pixels, **options)


class Shear(Affine):
    """Slant an image by up to so many degrees to both sides, or by (low, high)."""

    def __init__(self, degrees: Any = 10.0, **options: Any) -> None:
        super().__init__(shear=degrees, **options)


class Noise(Augmentation):
    """Add normal noise of standard deviation `std`.

    >>> Noise(0.0)(np.ones((1, 2, 2))).tolist()
    [[[1.0, 1.0], [1.0, 1.0]]]
    """

    def __init__(self, std: float = 0.1) -> None:
        if not 0 <= std < np.inf:
            raise ValueRangeError(f"Noise: std: a number of at least 0 is needed; {std!r} came")
        self.std = std

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + rng.normal(0, self.std, x.shape).astype(x.dtype)


class Colour(Augmentation):
    """Change brightness, contrast and saturation of images with values from 0 to 1; they stay between these.

    x' = mean + contrast * (x - mean) + brightness; then each pixel moves between its grey and itself by
    saturation. Each a number to both sides of no change, or (low, high); saturation for three channels
    only.
    """

    def __init__(self, brightness: Any = 0.1, contrast: Any = 0.2, saturation: Any = 0.0) -> None:
        self.brightness = self._range("brightness", brightness, -1)
        self.contrast = self._range("contrast", contrast, 0, neutral=1.0)
        self.saturation = self._range("saturation", saturation, 0, neutral=1.0)

    def change(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        limits = (self.brightness, self.contrast, self.saturation)
        brightness, contrast, saturation = (
            rng.uniform(*limit, (len(x), 1, 1, 1)).astype(x.dtype) for limit in limits
        )
        mean = x.mean(axis=(1, 2, 3), keepdims=True)
        x = mean + contrast * (x - mean) + brightness
        if self.saturation != (1.0, 1.0):
            if x.shape[1] != 3:
                raise ShapeError(f"Colour: saturation needs three channels (N, 3, H, W); {x.shape} came")
            grey = np.tensordot(x, np.array([0.299, 0.587, 0.114], x.dtype), axes=(1, 0))[:, None]
            x = grey + saturation * (x - grey)
        return np.clip(x, 0, 1)
