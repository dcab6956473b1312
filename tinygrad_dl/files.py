"""save and load: named arrays, and nested structures of them, in safetensors files."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.backend import to_cpu
from tinygrad_dl.errors import DTypeError, FileFormatError, UninitializedError, missing_extra
from tinygrad_dl.graph import Value

STRUCTURE, DIGEST = "tinygrad_dl.structure", "tinygrad_dl.sha256"


@checked
def save(data: Any, path: str | os.PathLike[str], metadata: Mapping[str, str] | None = None) -> None:
    """Write a module, a dict name -> array, or a nested dict or list (an optimizer's state) to `path`.

    The file is whole at any moment: it is written beside, synced, and then renamed. `metadata`: strings for
    its header. Raises DTypeError for what no safetensors file holds.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "w.safetensors")
    >>> save({"w": np.ones(2)}, path)
    >>> load(path)
    {'w': array([1., 1.])}
    """
    library = _safetensors("save")
    if hasattr(data, "state_dict"):
        data = data.state_dict()
    arrays: dict[str, np.ndarray] = {}
    if _is_flat(data):
        arrays, header = {name: _storable(name, value) for name, value in data.items()}, {}
    else:
        import json

        header = {STRUCTURE: json.dumps(_flatten(data, "", arrays))}
    header = {**(metadata or {}), **header}
    for key, value in header.items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise DTypeError(f"save: metadata: expected strings, got {key!r}: {value!r}")
    header[DIGEST] = _digest(arrays, header)
    write_atomically(path, _ordered(library.save(arrays, metadata=header)))


@checked
def load(path: str | os.PathLike[str]) -> Any:
    """What `save` wrote to `path`, or the arrays of any safetensors file as a dict name -> array.

    Raises FileNotFoundError, and FileFormatError if the file is damaged or of another kind.
    """
    _safetensors("load")
    from safetensors import SafetensorError, safe_open

    if not os.path.exists(path):
        raise FileNotFoundError(f"load: no such file: {os.fspath(path)}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"load: {os.fspath(path)} is a folder; the path of a file is needed")
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except (SafetensorError, TypeError, ValueError, KeyError) as error:
        raise FileFormatError(f"load: {os.fspath(path)} is damaged or no safetensors file: {error}") from None
    digest = header.pop(DIGEST, None)
    if digest is not None and digest != _digest(arrays, header):
        raise FileFormatError(f"load: {os.fspath(path)} is damaged: its contents do not match their checksum")
    if STRUCTURE not in header:
        return arrays
    import json

    return _rebuild(json.loads(header[STRUCTURE]), arrays)


def write_atomically(path: str | os.PathLike[str], data: bytes | Callable[[str], None]) -> None:
    """Write bytes, or let a function write, to a file beside `path`; then sync and rename it to `path`."""
    target = os.fspath(path)
    folder = os.path.dirname(os.path.abspath(target))
    # The process in the name: two writers do not disturb each other, and the last one wins.
    beside = os.path.join(folder, f".{os.path.basename(target)}.{os.getpid()}{os.path.splitext(target)[1]}")
    try:
        if callable(data):
            data(beside)
            with open(beside, "rb+") as file:
                os.fsync(file.fileno())
        else:
            with open(beside, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        os.replace(beside, target)
    except BaseException:
        if os.path.exists(beside):
            os.unlink(beside)
        raise
    if os.name == "posix":  # the rename itself is on disk only when the folder is
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def _ordered(file: bytes) -> bytes:
    """The same file with its metadata in order: the library writes it in one that differs each time."""
    import json

    size = int.from_bytes(file[:8], "little")
    header = json.loads(file[8 : 8 + size])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode().ljust(size)
    return file[:8] + text + file[8 + size :] if len(text) == size else file


def _safetensors(what: str) -> Any:
    try:
        import safetensors.numpy
    except ImportError:
        raise missing_extra("safetensors", "train", what) from None
    return safetensors.numpy


def _is_array(value: object) -> bool:
    return isinstance(value, (np.ndarray, Value))


def _is_flat(data: object) -> bool:
    return isinstance(data, Mapping) and all(isinstance(k, str) and _is_array(v) for k, v in data.items())


def _storable(name: str, value: Any) -> np.ndarray:
    try:
        array = to_cpu(value._data if isinstance(value, Value) else value)
    except UninitializedError as error:
        raise UninitializedError(f"save: {name}: {error}") from None
    if array.dtype.kind not in "fiub" or array.dtype.itemsize > 8:
        raise DTypeError(
            f"save: {name}: {array.dtype} is not a dtype of safetensors files. Convert to floats, integers or bools."
        )
    return np.array(array, dtype=array.dtype.newbyteorder("="), order="C")


def _digest(arrays: Mapping[str, np.ndarray], header: Mapping[str, str]) -> str:
    """The sha256 of names, dtypes, shapes, contents and header: what safetensors itself does not check."""
    from hashlib import sha256

    digest = sha256()
    for name in sorted(arrays):
        array = arrays[name]
        digest.update(f"{name}\0{array.dtype.str}\0{array.shape}\0".encode())
        digest.update(array.tobytes())
    for key in sorted(header):
        digest.update(f"{key}\0{header[key]}\0".encode())
    return digest.hexdigest()


def _flatten(data: Any, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """A structure as JSON can hold it; its arrays go to `arrays` under the paths at which they stand."""
    if _is_array(data):
        arrays[path] = _storable(path, data)
        return {"array": path}
    if isinstance(data, (str, bool, int, float)) or data is None:
        return data
    if isinstance(data, np.generic):
        return data.item()
    if isinstance(data, Mapping):
        pairs = [
            [key, _flatten(value, f"{path}.{key}" if path else str(key), arrays)]
            for key, value in data.items()
        ]
        if any(not isinstance(key, (str, int)) for key, _ in pairs):
            raise DTypeError(f"save: {path or 'the dict'}: keys have to be strings or whole numbers")
        return {"dict": pairs}
    if isinstance(data, (list, tuple)):
        items = [_flatten(value, f"{path}.{i}" if path else str(i), arrays) for i, value in enumerate(data)]
        return {"tuple" if isinstance(data, tuple) else "list": items}
    raise DTypeError(
        f"save: {path or 'data'}: expected arrays, numbers, strings, or dicts and lists of them, got "
        f"{type(data).__name__}"
    )


def _rebuild(data: Any, arrays: Mapping[str, np.ndarray]) -> Any:
    if not isinstance(data, dict):
        return data
    ((kind, value),) = data.items()
    if kind == "array":
        return arrays[value]
    if kind == "dict":
        return {key: _rebuild(item, arrays) for key, item in value}
    items = [_rebuild(item, arrays) for item in value]
    return tuple(items) if kind == "tuple" else items
