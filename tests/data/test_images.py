"""Images in folders: formats, orientation, sizes, labels, unreadable files, caches."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import data
from tinygrad_dl.data import load_images
from tinygrad_dl.errors import DTypeError, FileFormatError, ShapeError, ValueRangeError

Image = pytest.importorskip("PIL.Image", reason="images are read with Pillow (extra data)")


def picture(height: int = 6, width: int = 8, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def folder(tmp_path: Path, count: int = 3, ending: str = "png") -> Path:
    root = tmp_path / "pictures"
    for label, seed in (("cats", 0), ("dogs", 100)):
        (root / label).mkdir(parents=True)
        for i in range(count):
            Image.fromarray(picture(seed=seed + i)).save(root / label / f"{i}.{ending}")
    return root


def test_one_folder_is_one_class(tmp_path: Path) -> None:
    found = load_images(folder(tmp_path))
    assert found.x.shape == (6, 3, 6, 8) and found.x.dtype == np.float32 and found.classes == ["cats", "dogs"]
    assert found.y.tolist() == [0, 0, 0, 1, 1, 1] and found.name == "pictures"
    np.testing.assert_allclose(found.x[0], picture().transpose(2, 0, 1) / 255, rtol=1e-6)
    gray = load_images(tmp_path / "pictures", mode="gray").x
    assert gray.shape == (6, 1, 6, 8)
    weights = np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray[0, 0], picture() @ weights / 255, atol=1 / 255)


@pytest.mark.parametrize("ending", ["png", "bmp", "gif", "jpg", "webp", "tif", "ppm"])
def test_formats_are_read(ending: str, tmp_path: Path) -> None:
    assert load_images(folder(tmp_path, 1, ending)).x.shape == (2, 3, 6, 8)


def test_a_picture_is_turned_as_its_camera_noted(tmp_path: Path) -> None:
    root = tmp_path / "p" / "a"
    root.mkdir(parents=True)
    exif = Image.Exif()
    exif[0x0112] = 6  # the camera was held upright
    Image.fromarray(picture()).save(root / "x.png", exif=exif)
    x = load_images(tmp_path / "p").x[0]
    np.testing.assert_allclose(x.transpose(1, 2, 0), np.rot90(picture(), -1) / 255, rtol=1e-6)


def test_palettes_transparency_and_16_bits_are_converted(tmp_path: Path) -> None:
    root = tmp_path / "p" / "a"
    root.mkdir(parents=True)
    clear = np.concatenate([picture(2, 2), np.array([[[0], [255]], [[255], [255]]], np.uint8)], axis=2)
    Image.fromarray(clear, "RGBA").save(root / "0.png")
    Image.fromarray(np.array([[0, 65535], [32768, 257]], np.uint16)).save(root / "1.png")
    Image.fromarray(picture(2, 2)).convert("P").save(root / "2.png")
    x = load_images(tmp_path / "p").x
    np.testing.assert_allclose(x[0, :, 0, 0], 1)
    np.testing.assert_allclose(x[0, :, 0, 1], picture(2, 2)[0, 1] / 255, rtol=1e-6)
    np.testing.assert_allclose(x[1, 0], np.array([[0, 1], [128 / 255, 1 / 255]]), atol=1e-6)


@pytest.mark.parametrize("fit", ["resize", "crop", "pad"])
def test_one_size_is_reached(fit: str, tmp_path: Path) -> None:
    root = folder(tmp_path)
    Image.fromarray(picture(20, 4)).save(root / "cats" / "tall.png")
    with pytest.raises(
        ShapeError, match=r"images of one size, got \(6, 8\) and, in .*tall.png, \(20, 4\).*size="
    ):
        load_images(root)
    x = load_images(root, (5, 10), fit=fit).x
    assert x.shape == (7, 3, 5, 10)
    assert bool((x[3, :, :, 0] == 0).all()) == (fit == "pad")
    assert load_images(root, 4).x.shape == (7, 3, 4, 4)


@pytest.mark.parametrize("header", [True, False])
def test_labels_come_from_a_csv_file_or_a_dict(header: bool, tmp_path: Path) -> None:
    Image.fromarray(picture()).save(tmp_path / "a.png")
    Image.fromarray(picture(seed=1)).save(tmp_path / "b.png")
    with pytest.raises(FileFormatError, match="2 images lie in it directly: pass labels="):
        load_images(tmp_path)
    text = ("name,label\n" if header else "") + "b.png,dog\na.png,cat\n"
    (tmp_path / "labels.csv").write_text(text, encoding="utf-8")
    for labels in (tmp_path / "labels.csv", {"b.png": "dog", "a.png": "cat"}):
        found = load_images(tmp_path, labels=labels)
        assert found.classes == ["cat", "dog"] and found.y.tolist() == [1, 0]
    with pytest.raises(FileFormatError, match="expected names of files in .*, got c.png"):
        load_images(tmp_path, labels={"c.png": "x"})


def test_unreadable_files_are_in_one_error_or_skipped(tmp_path: Path) -> None:
    root = folder(tmp_path)
    (root / "cats" / "1.png").write_bytes(b"no picture")
    (root / "dogs" / "2.png").write_bytes((root / "dogs" / "0.png").read_bytes()[:60])
    with pytest.raises(FileFormatError, match=r'got 2 that are not.*unreadable="skip"') as caught:
        load_images(root)
    assert "cats/1.png" in str(caught.value).replace("\\", "/") and "dogs/2.png" in str(caught.value).replace(
        "\\", "/"
    )
    found = load_images(root, unreadable="skip")
    assert len(found) == 4 and found.y.tolist() == [0, 0, 1, 1]
    assert [Path(p).name for p in found.skipped] == ["1.png", "2.png"]


def test_images_are_read_when_they_are_asked_for(tmp_path: Path) -> None:
    root = folder(tmp_path)
    whole, lazy = load_images(root, 4), load_images(root, 4, lazy=True)
    x, y = lazy[[4, 1]]
    np.testing.assert_array_equal(x.numpy(), whole.x[[4, 1]])
    assert (
        y.tolist() == [1, 0]
        and lazy[2][0].shape == (3, 4, 4)
        and repr(lazy) == "Images(pictures: 6 files, 2 classes)"
    )
    train, test = data.split(lazy, (0.5, 0.5), duplicates="allow", stratify=True, rng=0)
    batches = list(data.DataLoader(train, 2, shuffle=True, rng=0, transform=data.Flip()))
    assert [b[0].shape for b in batches] == [(2, 3, 4, 4), (1, 3, 4, 4)]
    (root / "cats" / "0.png").write_bytes(b"x")
    with pytest.raises(FileFormatError, match="0.png: expected a readable image"):
        lazy[0]
    with pytest.raises(ValueRangeError, match="size: expected one with lazy=True"):
        load_images(root, lazy=True)


def test_a_cache_is_used_while_the_files_are_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from tinygrad_dl.data import images

    root, cache = folder(tmp_path), tmp_path / "cache.npz"
    first = load_images(root, 4, cache=cache)
    read = images.read_image
    monkeypatch.setattr(images, "read_image", lambda *args: pytest.fail("an image was read"))
    again = load_images(root, 4, cache=cache)
    np.testing.assert_array_equal(again.x, first.x)
    monkeypatch.setattr(images, "read_image", read)
    assert load_images(root, 5, cache=cache).x.shape[2:] == (5, 5)
    Image.fromarray(picture(7, 7)).save(root / "cats" / "9.png")
    assert len(load_images(root, 5, cache=cache)) == 7
    cache.write_bytes(b"damaged")
    assert len(load_images(root, 5, cache=cache)) == 7


@pytest.mark.parametrize(
    "arguments, error",
    [
        ({"size": 0}, ValueRangeError), ({"size": 10**9}, ValueRangeError), ({"mode": "cmyk"}, ValueError),
        ({"fit": "no"}, ValueError), ({"folder": "absent"}, FileNotFoundError), ({"size": "big"}, DTypeError),
        ({"unreadable": "maybe"}, ValueError),
    ],
)  # fmt: skip
def test_a_wrong_argument_is_one_clear_error(
    arguments: dict[str, Any], error: type[Exception], tmp_path: Path
) -> None:
    given = {"folder": folder(tmp_path), **arguments}
    with pytest.raises(error, match="load_images"):
        load_images(**given)
