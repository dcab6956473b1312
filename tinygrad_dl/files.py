"""save and load: named arrays, and nested structures of them, in safetensors files."""

from __future__ import annotations

import itertools
import os
import re
import time
import warnings
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeGuard, cast

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.backend import to_cpu
from tinygrad_dl.errors import (
    DTypeError,
    FileFormatError,
    UninitializedError,
    ValueRangeError,
    missing_extra,
)
from tinygrad_dl.graph import Value

STRUCTURE, DIGEST = "tinygrad_dl.structure", "tinygrad_dl.sha256"
#: The architecture of a model in the header, and the beginning of the names of arrays that only it needs.
MODEL, EXTRA = "tinygrad_dl.model", "tinygrad_dl.extra."
FOREIGN = frozenset(
    (".pt", ".pth", ".ckpt", ".pkl", ".pickle", ".h5", ".hdf5", ".keras", ".npy", ".npz", ".onnx")
)
METADATA = "__metadata__"  # the format's own name for the strings in the header
# The dtypes of the format that NumPy has too.
DTYPES = frozenset(("BOOL", "U8", "I8", "U16", "I16", "U32", "I32", "U64", "I64", "F16", "F32", "F64", "C64"))


@checked
def save(
    data: object,
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
    preprocess: object = None,
) -> None:
    """Write a module, a dict name -> array, or a nested dict or list (an optimizer's state) to `path`.

    The file is whole at any moment: it is written beside, synced, and then renamed; a link is followed. `metadata`:
    strings for its header. Of a module it has the weights, which `load` reads, and the architecture, from which
    `load_model` builds the module again; `preprocess`: a fitted preparation of its inputs, which is kept with it.
    Raises DTypeError for what no safetensors file holds, ValueRangeError, OSError.

    >>> import tempfile, os
    >>> path = os.path.join(tempfile.mkdtemp(), "w.safetensors")
    >>> save({"w": np.ones(2)}, path)
    >>> load(path)
    {'w': array([1., 1.])}
    """
    library = _safetensors("save")
    described: dict[str, str] = {}
    more: dict[str, np.ndarray] = {}
    if hasattr(data, "architecture"):
        described[MODEL], more = cast(Any, data).architecture(preprocess)
    elif preprocess is not None:
        raise DTypeError(
            f"save: preprocess: expected with a module only, got data of type {type(data).__name__}"
        )
    if hasattr(data, "state_dict"):
        data = cast(Any, data).state_dict()
    if Path(path).suffix.lower() in FOREIGN:
        warnings.warn(
            f"save: {Path(path).name} will be a safetensors file, which the programs that write {Path(path).suffix} "
            f"files do not read. Name it {Path(path).stem}.safetensors.",
            stacklevel=3,  # of `checked`
        )
    for key, value in (metadata or {}).items():
        if not isinstance(key, str) or not isinstance(value, str):
            raise DTypeError(f"save: metadata: expected strings, got {key!r}: {value!r}")
        if key in (STRUCTURE, DIGEST, MODEL):
            raise ValueRangeError(
                f"save: metadata: expected a name other than {STRUCTURE}, {DIGEST} and {MODEL}, got {key!r}"
            )
        _refuse_surrogates("metadata", key, value)
    if os.path.isdir(path):
        raise IsADirectoryError(f"save: expected the path of a file, got the folder {os.fspath(path)}")
    arrays: dict[str, np.ndarray] = {}
    if _is_flat(data):
        arrays = {name: _storable(name, value) for name, value in {**data, **more}.items()}
        header = described
    else:
        import json

        try:
            header = {STRUCTURE: json.dumps(_flatten(data, "", arrays))}
        except RecursionError:
            raise ValueRangeError(
                "save: data: expected dicts and lists that do not hold themselves, got some nested without end"
            ) from None
        except ValueError as error:
            raise ValueRangeError(f"save: data: {error}") from None
    _refuse_surrogates("names", *arrays)
    header = {**(metadata or {}), **header}
    header[DIGEST] = _digest(arrays, header)
    write_atomically(path, _ordered(library.save(arrays, metadata=header)))


def _other_format(path: str | os.PathLike[str], error: Exception) -> str:
    """What a file is that is not in the format safetensors, by how it begins."""
    with open(path, "rb") as file:
        begin = file.read(8)
    if begin.startswith(b"PK\x03\x04"):
        return (
            "is a ZIP file. One of PyTorch is read by tinygrad_dl.torch.load, one of NumPy (.npz) by np.load, "
            "and load reads safetensors files."
        )
    if begin.startswith(b"\x89HDF"):
        return "is an HDF5 file, such as Keras writes: read it with h5py. load reads safetensors files."
    return f"is damaged or not a safetensors file: {error}"


@checked
def load(path: str | os.PathLike[str]) -> Any:
    """What `save` wrote to `path`, or the arrays of any safetensors file as a dict name -> array.

    Raises FileNotFoundError, and FileFormatError if the file is damaged or of another kind.
    """
    arrays, header = read(path, "load")
    if STRUCTURE not in header:
        return {name: array for name, array in arrays.items() if not name.startswith(EXTRA)}
    import json

    try:
        return _rebuild(json.loads(header[STRUCTURE]), arrays)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        raise FileFormatError(
            f"load: {os.fspath(path)} is damaged: its header tells of no structure that save writes: {error!r}"
        ) from None


def read(path: str | os.PathLike[str], what: str) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays and the strings in the header of a safetensors file; `what`: the name of the call for errors."""
    _safetensors(what)
    from safetensors import SafetensorError, safe_open

    if not os.path.exists(path):
        raise FileNotFoundError(f"{what}: no such file: {os.fspath(path)}")
    if os.path.isdir(path):
        raise IsADirectoryError(f"{what}: {os.fspath(path)} is a folder; expected the path of a file")
    with open(path, "rb"):
        pass  # a file that may not be read raises PermissionError here; safetensors says that there is none
    try:
        with safe_open(path, framework="numpy") as file:
            header = file.metadata() or {}
            for name in file.keys():
                dtype = file.get_slice(name).get_dtype()
                if dtype not in DTYPES:
                    raise FileFormatError(
                        f"{what}: {os.fspath(path)}: {name}: expected a dtype that NumPy has, got {dtype}. Convert the "
                        "file where it was made, such as model.float() in PyTorch."
                    )
            arrays = {name: file.get_tensor(name) for name in file.keys()}
    except FileFormatError:
        raise
    except (SafetensorError, TypeError, ValueError, KeyError, AttributeError, MemoryError) as error:
        raise FileFormatError(f"{what}: {os.fspath(path)} {_other_format(path, error)}") from None
    digest = header.pop(DIGEST, None)
    # A model always has one; in files of other programs there is none.
    if (digest is not None or MODEL in header) and digest != _digest(arrays, header):
        raise FileFormatError(
            f"{what}: {os.fspath(path)} is damaged: its contents do not match their checksum"
        )
    return arrays, header


def write_atomically(path: str | os.PathLike[str], data: bytes | Callable[[str], None]) -> None:
    """Write bytes, or let a function write, to a file beside `path`; then sync and rename it to `path`."""
    # Through links: the link stays, and the file that it names is replaced.
    target = os.path.realpath(path)
    folder = os.path.dirname(target)
    number = next(_counter)
    beside = os.path.join(folder, _temporary(os.path.basename(target), number))
    _writing.add(beside)
    try:
        _clear(target)
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
    except OSError as error:
        _remove(beside)
        if error.errno is None or error.filename not in (None, beside):
            raise
        # The path that the caller gave, not that of the temporary file.
        raise OSError(error.errno, error.strerror, os.fspath(path)) from None
    except BaseException:
        _remove(beside)
        raise
    finally:
        _writing.discard(beside)
    if os.name == "posix":  # the rename itself is on disk only when the folder is
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


# The temporary files that threads of this process are writing.
_writing: set[str] = set()
_counter = itertools.count()
STALE = 3600  # seconds, where it cannot be seen whether a process lives


def _host() -> str:
    import socket

    return f"{zlib.crc32(socket.gethostname().encode(errors='replace')):08x}"


def _temporary(base: str, number: int) -> str:
    """The name of a temporary file: hidden, and with the machine, the process and a number of its own."""
    return f"{_stem(base)}.{_host()}-{os.getpid()}-{number}{os.path.splitext(base)[1]}"


def _stem(base: str) -> str:
    short = base if len(os.fsencode(base)) <= 150 else f"{zlib.crc32(os.fsencode(base)):08x}"
    return f".{short}"


def _clear(target: str) -> None:
    """Remove the temporary files of processes that were killed while they wrote the same file."""
    base = os.path.basename(target)
    ending = r"\.(?:([0-9a-f]{8})-)?(\d+)(?:-\d+)?" + re.escape(os.path.splitext(base)[1])
    name = re.compile(re.escape(_stem(base)) + ending)
    for path in Path(os.path.dirname(target)).glob(".*"):
        match = name.fullmatch(path.name)
        if match is None or str(path) in _writing:
            continue
        mine = match[1] in (None, _host())
        if mine and os.name == "posix":
            dead = int(match[2]) == os.getpid() or not alive(int(match[2]))
        else:
            dead = path.is_file() and time.time() - path.stat().st_mtime > STALE
        if dead:
            _remove(str(path))


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:  # another thread has removed it, or it was never made
        pass


def alive(process: int) -> bool:
    """Whether a process runs on this machine, on POSIX systems."""
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        return True
    # In a container the process may be a zombie: dead, but its number is still in use until it is reaped.
    status = Path("/proc", str(process), "stat")
    try:
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (OSError, IndexError):  # it ended in between
        return False


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


def _is_flat(data: object) -> TypeGuard[Mapping[str, Any]]:
    return isinstance(data, Mapping) and all(
        isinstance(k, str) and k != METADATA and _is_array(v) for k, v in data.items()
    )


def _refuse_surrogates(what: str, *texts: str) -> None:
    for text in texts:
        try:
            text.encode()
        except UnicodeEncodeError:
            raise ValueRangeError(
                f"save: {what}: expected text that UTF-8 can hold, got {text!r}, which has a lone surrogate"
            ) from None


def _storable(name: str, value: Any) -> np.ndarray:
    try:
        array = to_cpu(value._data if isinstance(value, Value) else value)
    except UninitializedError as error:
        raise UninitializedError(f"save: {name}: {error}") from None
    if array.dtype.kind not in "fiubc" or array.dtype.itemsize > 8:
        advice = (
            "complex64, or save .real and .imag" if array.dtype.kind == "c" else "floats, integers or bools"
        )
        raise DTypeError(
            f"save: {name}: {array.dtype} is not a dtype of safetensors files. Convert to {advice}."
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


def _flatten(data: object, path: str, arrays: dict[str, np.ndarray]) -> Any:
    """A structure as JSON can hold it; its arrays go to `arrays` under the paths at which they stand."""
    if _is_array(data):
        # Paths may join alike: {"a": {"b.c": x}, "a.b": {"c": y}}, or the keys 1 and "1".
        others = (f"{path}#{n}" for n in itertools.count(2))
        name = path if path != METADATA else next(others)
        while name in arrays:
            name = next(others)
        arrays[name] = _storable(path, data)
        return {"array": name}
    if isinstance(data, np.generic):
        data = data.item()
    if isinstance(data, (str, bool, int, float)) or data is None:
        return data
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
    if kind not in ("list", "tuple"):
        raise ValueError(f"unknown kind {kind!r}")
    items = [_rebuild(item, arrays) for item in value]
    return tuple(items) if kind == "tuple" else items
