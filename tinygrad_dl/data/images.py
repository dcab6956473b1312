"""Images in folders: Pillow reads them, as arrays of one size."""

from __future__ import annotations

import csv
import os
import warnings
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Literal

import numpy as np

from tinygrad_dl import asarray
from tinygrad_dl.arguments import Count, checked
from tinygrad_dl.data.dataset import Dataset, TensorDataset, _positions
from tinygrad_dl.errors import FileFormatError, IndexRangeError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.files import write_atomically
from tinygrad_dl.typing import NDArray

ENDINGS = frozenset(
    (
        ".png",
        ".jpg",
        ".jpeg",
        ".gif",
        ".bmp",
        ".webp",
        ".tif",
        ".tiff",
        ".ppm",
        ".pgm",
        ".pbm",
        ".avif",
        ".ico",
    )
)
THREADS = 4  # Pillow decodes outside of Python's lock
SHOWN = 10  # unreadable files that an error names
LARGEST = 20_000  # pixels along a side


def _pillow() -> Any:
    try:
        import PIL.Image
        import PIL.ImageOps
    except ImportError:
        raise missing_extra("Pillow", "data", "load_images") from None
    return PIL


class Images(Dataset):
    """Image files as examples (x, y), read when they are asked for: x (C, H, W) from 0 to 1, y the number of a class.

    For folders larger than memory; what `load_images(lazy=True)` returns. `files`, `y`, `classes` describe it.
    """

    def __init__(
        self,
        files: Sequence[Path],
        y: NDArray,
        classes: list[str],
        read: Callable[[Path], NDArray],
        name: str,
    ) -> None:
        self.files, self.y, self.classes, self.name = list(files), y, classes, name
        self.part: str | None = None
        self._read = read

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, index: Any) -> Any:
        at = _positions("Images", index, len(self))
        if isinstance(at, slice):
            at = np.arange(len(self))[at]
        if isinstance(at, (int, np.integer)):
            if not -len(self) <= at < len(self):
                raise IndexRangeError(f"Images: expected an index below {len(self)}, got {at}")
            return asarray(_scaled(_checked_read(self._read, self.files[at]))), asarray(self.y[at])
        x = np.stack([_scaled(_checked_read(self._read, self.files[i])) for i in at])
        return asarray(x), asarray(self.y[at])

    def __repr__(self) -> str:
        return f"Images({self.name}: {len(self)} files, {len(self.classes)} classes)"


@checked
def load_images(
    folder: str | os.PathLike[str],
    size: Count | tuple[Count, Count] | None = None,
    *,
    mode: Literal["rgb", "gray"] = "rgb",
    fit: Literal["resize", "crop", "pad"] = "resize",
    labels: str | os.PathLike[str] | Mapping[str, Any] | None = None,
    unreadable: Literal["raise", "skip"] = "raise",
    lazy: bool = False,
    cache: str | os.PathLike[str] | None = None,
) -> Any:
    """Load images as x (N, C, H, W), float32 from 0 to 1, and classes y (N,): a TensorDataset.

    `folder` has one folder for each class, or `labels` names a CSV file, or a dict, of file names and their labels.
    `size`: (height, width) or one number for both, reached by `fit`: "resize" stretches, "crop" cuts the middle out,
    "pad" adds black borders; without it the images must have one size. Pictures are turned as their camera noted
    (EXIF). All unreadable files are named in one error, or with `unreadable="skip"` left out and listed in the
    attribute `skipped`. `lazy`: read each image when it is asked for. `cache`: an .npz file that is written, and read
    instead of the images while these are as they were. Needs the extra `data`.
    Raises FileNotFoundError, FileFormatError, ValueRangeError.
    """
    root = Path(folder)
    if not root.is_dir():
        raise FileNotFoundError(f"load_images: expected a folder of images, got {os.fspath(folder)}")
    _pillow()
    sides = (size, size) if isinstance(size, (int, np.integer)) else size
    if sides is not None and max(sides) > LARGEST:
        raise ValueRangeError(f"load_images: size: expected at most {LARGEST} pixels a side, got {size!r}")
    files, names = _labeled(root, labels) if labels is not None else _in_folders(root)
    classes = sorted(set(names))
    y = np.array([{c: i for i, c in enumerate(classes)}[n] for n in names], np.int64)

    def read(path: Path) -> NDArray:
        return read_image(path, sides, mode, fit)

    if lazy:
        if sides is None:
            raise ValueRangeError(
                "load_images: size: expected one with lazy=True, got none: batches need one size"
            )
        if cache is not None:
            raise ValueRangeError(
                "load_images: cache: expected none with lazy=True, which reads single images"
            )
        return Images(files, y, classes, read, root.name)
    stamp = _stamp(files, sides, mode, fit)
    stored = _cached(cache, stamp)
    if stored is None:
        x, skipped = _read_all(files, read, unreadable, root)
        if cache is not None:
            _write_cache(cache, x, np.array([i in skipped for i in range(len(files))]), stamp)
    else:
        x, missing = stored
        skipped = dict.fromkeys(np.flatnonzero(missing).tolist(), "")
    kept = np.array([i not in skipped for i in range(len(files))])
    made = TensorDataset(_scaled(x), y[kept], classes=classes, name=root.name)
    made.skipped = [str(files[i]) for i in skipped]  # type: ignore[attr-defined]
    return made


def _scaled(x: NDArray) -> NDArray:
    return x.astype(np.float32) / np.float32(255)


def _in_folders(root: Path) -> tuple[list[Path], list[str]]:
    """The image files below each folder, and the names of these."""
    files: list[Path] = []
    names: list[str] = []
    for each in sorted(p for p in root.iterdir() if p.is_dir() and not p.name.startswith(".")):
        found = sorted(p for p in each.rglob("*") if p.suffix.lower() in ENDINGS and p.is_file())
        files += found
        names += [each.name] * len(found)
    if not files:
        loose = sum(p.suffix.lower() in ENDINGS for p in root.iterdir())
        advice = (
            f" {loose} images lie in it directly: pass labels=, a CSV file of names and labels."
            if loose
            else ""
        )
        raise FileFormatError(
            f"load_images: {root}: expected a folder of images for each class, such as {root.name}/cats/1.png, got "
            f"none.{advice}"
        )
    return files, names


def _labeled(root: Path, labels: Any) -> tuple[list[Path], list[str]]:
    """The files that a CSV file or a dict names, and their labels."""
    if isinstance(labels, Mapping):
        pairs = [(str(name), str(label)) for name, label in labels.items()]
    else:
        try:
            with open(labels, newline="", encoding="utf-8-sig") as file:
                lines = [line for line in csv.reader(file) if line]
        except (UnicodeError, csv.Error) as error:
            raise FileFormatError(f"load_images: labels: {os.fspath(labels)}: {error}") from None
        short = next((i for i, line in enumerate(lines) if len(line) < 2), None)
        if short is not None:
            raise FileFormatError(
                f"load_images: labels: {os.fspath(labels)}, line {short + 1}: expected a name and a label, got "
                f"{lines[short]!r}"
            )
        pairs = [(line[0].strip(), line[1].strip()) for line in lines]
        if pairs and not (root / pairs[0][0]).is_file():
            pairs = pairs[1:]  # the names of the columns
    absent = [name for name, _ in pairs if not (root / name).is_file()]
    if absent or not pairs:
        shown = ", ".join(absent[:SHOWN]) or "no names at all"
        raise FileFormatError(
            f"load_images: labels: expected names of files in {root}, got {shown}"
            f"{f' and {len(absent) - SHOWN} more' if len(absent) > SHOWN else ''}"
        )
    return [root / name for name, _ in pairs], [label for _, label in pairs]


def read_image(path: Path, size: tuple[int, int] | None, mode: str, fit: str) -> NDArray:
    """One image as (C, H, W) of uint8. Raises OSError, ValueError and others for a damaged file."""
    pil = _pillow()
    with warnings.catch_warnings():
        warnings.simplefilter("error", pil.Image.DecompressionBombWarning)
        warnings.simplefilter("ignore", UserWarning)  # about metadata
        with pil.Image.open(path) as opened:
            if size is not None and opened.format == "JPEG":
                opened.draft(None, (2 * size[1], 2 * size[0]))  # decodes at a smaller scale
            image = pil.ImageOps.exif_transpose(opened)
            if image.mode.startswith(("I", "F")):  # more than 8 bits: Pillow would cut them off
                wide = np.asarray(image).astype(np.float64)
                wide *= 255 / (65535 if wide.max(initial=0) > 255 else 255)
                image = pil.Image.fromarray(wide.clip(0, 255).round().astype(np.uint8))
            if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
                image = image.convert("RGBA")
                image = pil.Image.alpha_composite(pil.Image.new("RGBA", image.size, "white"), image)
            image = image.convert("RGB" if mode == "rgb" else "L")
            if size is not None:
                target = (size[1], size[0])
                if fit == "crop":
                    image = pil.ImageOps.fit(image, target)
                elif fit == "pad":
                    image = pil.ImageOps.pad(image, target)
                elif image.size != target:
                    image = image.resize(target)
            array = np.asarray(image)
    return array[None] if array.ndim == 2 else np.moveaxis(array, 2, 0)


def _reason(read: Callable[[Path], NDArray], path: Path) -> NDArray | str:
    """The image, or why there is none."""
    try:
        return read(path)
    except Exception as error:  # damaged files raise nearly everything
        return f"{type(error).__name__}: {error}"


def _checked_read(read: Callable[[Path], NDArray], path: Path) -> NDArray:
    found = _reason(read, path)
    if isinstance(found, str):
        raise FileFormatError(f"load_images: {path}: expected a readable image: {found}")
    return found


def _read_all(
    files: Sequence[Path], read: Callable[[Path], NDArray], unreadable: str, root: Path
) -> tuple[NDArray, dict[int, str]]:
    """All images in one array, and what could not be read: number -> reason."""
    images: list[NDArray] = []
    skipped: dict[int, str] = {}
    with ThreadPoolExecutor(THREADS) as pool:
        for i, found in enumerate(pool.map(lambda path: _reason(read, path), files)):
            if isinstance(found, str):
                skipped[i] = found
            elif images and found.shape != images[0].shape:
                raise ShapeError(
                    f"load_images: expected images of one size, got {images[0].shape[1:]} and, in {files[i]}, "
                    f"{found.shape[1:]}. Pass size=, such as size={images[0].shape[1:]}."
                )
            else:
                images.append(found)
    if skipped and (unreadable == "raise" or not images):
        lines = [f"\n  {files[i].relative_to(root)}: {reason}" for i, reason in [*skipped.items()][:SHOWN]]
        more = f"\n  and {len(skipped) - SHOWN} more" if len(skipped) > SHOWN else ""
        raise FileFormatError(
            f"load_images: {root}: expected readable images, got {len(skipped)} that are not. Remove them, or pass "
            f'unreadable="skip".{"".join(lines)}{more}'
        )
    return np.stack(images), skipped


# A cache is used while the files and the options are the same


def _stamp(files: Iterable[Path], *options: Any) -> str:
    from hashlib import sha256

    digest = sha256(repr(options).encode())
    for path in files:
        about = path.stat()
        digest.update(f"{path}\0{about.st_size}\0{about.st_mtime_ns}\0".encode(errors="surrogateescape"))
    return digest.hexdigest()


def _cached(cache: Any, stamp: str) -> tuple[NDArray, NDArray] | None:
    """The images of a cache of this stamp; None where there is none, or a damaged one."""
    if cache is None or not os.path.isfile(cache):
        return None
    try:
        with np.load(cache, allow_pickle=False) as file:
            if str(file["stamp"]) != stamp:
                return None
            return file["x"], file["skipped"]
    except Exception:  # written again
        return None


def _write_cache(cache: Any, x: NDArray, skipped: NDArray, stamp: str) -> None:
    def write(path: str) -> None:
        with open(path, "wb") as file:
            np.savez(file, x=x, skipped=skipped, stamp=np.array(stamp))

    write_atomically(cache, write)
