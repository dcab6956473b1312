"""save and load in PyTorch's file format: a zip file of raw arrays, and a pickle that says what they belong to.

Loading runs no code of the file. The pickle may name what rebuilds Tensors, containers and numbers, and the classes
that `add_safe_globals` lists; anything else is refused. `weights_only=False` trusts the file, as in PyTorch.
"""

from __future__ import annotations

import io
import math
import os
import pickle
import tempfile
import zipfile
from collections import OrderedDict
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch import dtypes
from tinygrad_dl.torch.boundary import made

STORAGES = {
    "FloatStorage": "float32",
    "DoubleStorage": "float64",
    "HalfStorage": "float16",
    "LongStorage": "int64",
    "IntStorage": "int32",
    "ShortStorage": "int16",
    "CharStorage": "int8",
    "ByteStorage": "uint8",
    "BoolStorage": "bool",
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
}
_STORAGE_OF = {np.dtype(kind): name for name, kind in STORAGES.items()}


class _Global:
    """A name that the pickle refers to, such as torch._utils._rebuild_tensor_v2."""

    def __init__(self, module: str, name: str) -> None:
        self.module, self.name = module, name

    def __call__(self, *args: Any) -> Any:
        raise pickle.UnpicklingError(f"{self.module}.{self.name} is not called by loading")


REBUILD_TENSOR = _Global("torch._utils", "_rebuild_tensor_v2")
REBUILD_PARAMETER = _Global("torch._utils", "_rebuild_parameter")
_SAFE: list[Any] = []


class _Storage:
    """An array on its way into the file."""

    def __init__(self, array: Any) -> None:
        self.array = array


_PICKLER: Any = getattr(pickle, "_Pickler")  # noqa: B009  the one in Python, whose save() can be extended


class _Writer(_PICKLER):
    """A pickler that writes Tensors as PyTorch does."""

    def __init__(self, file: Any) -> None:
        super().__init__(file, protocol=2)
        self.arrays: list[Any] = []

    def reducer_override(self, x: Any) -> Any:
        from tinygrad_dl.torch.nn.parameter import Buffer, Parameter, _buffer

        if isinstance(x, Value):
            data = np.ascontiguousarray(x._data)
            strides = tuple(s // max(data.itemsize, 1) for s in data.strides)
            parts: tuple[Any, ...] = (_Storage(data), 0, tuple(data.shape), strides, False, OrderedDict())
            if type(x) is Parameter:
                return REBUILD_PARAMETER, (made(data), x.requires_grad, OrderedDict())
            if isinstance(x, Buffer):
                return _buffer, (made(data), x.persistent)
            if type(x).__name__ == "Tensor":
                return REBUILD_TENSOR, (*parts[:4], x.requires_grad, parts[5])
        return NotImplemented

    def persistent_id(self, x: Any) -> Any:
        if not isinstance(x, _Storage):
            return None
        if x.array.dtype not in _STORAGE_OF:
            raise TypeError(f"torch.save: there is no storage for {x.array.dtype}")
        self.arrays.append(x.array)
        kind = _Global("torch", _STORAGE_OF[x.array.dtype])
        return ("storage", kind, str(len(self.arrays) - 1), "cpu", int(x.array.size))

    def save(self, x: Any, save_persistent_id: bool = True) -> None:
        if isinstance(x, _Global):
            self.write(pickle.GLOBAL + f"{x.module}\n{x.name}\n".encode())
            return
        if isinstance(x, dtypes.dtype):
            self.write(pickle.GLOBAL + f"torch\n{x.name}\n".encode())
            return
        super().save(x, save_persistent_id)


def save(obj: Any, f: Any, pickle_module: Any = None, pickle_protocol: int = 2, **kwargs: Any) -> None:
    """Write Tensors, containers of them, numbers, or a whole module to a file; atomically where `f` is a path."""
    text = io.BytesIO()
    writer = _Writer(text)
    writer.dump(obj)
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr("archive/data.pkl", text.getvalue())
        archive.writestr("archive/byteorder", "little")
        for i, array in enumerate(writer.arrays):
            archive.writestr(f"archive/data/{i}", array.astype(array.dtype.newbyteorder("<")).tobytes())
        archive.writestr("archive/version", "3\n")
    if hasattr(f, "write"):
        f.write(packed.getvalue())
        return
    path = os.fspath(f)
    folder = os.path.dirname(path) or "."
    if not os.path.isdir(folder):
        raise RuntimeError(f"Parent directory {folder} does not exist.")
    handle, name = tempfile.mkstemp(dir=folder)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(packed.getvalue())
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


class _Reader(pickle.Unpickler):
    """An unpickler that knows what PyTorch's files name, and calls nothing else."""

    def __init__(self, file: Any, archive: Any, prefix: str, trusted: bool) -> None:
        super().__init__(file)
        self.archive, self.prefix, self.trusted, self.found = archive, prefix, trusted, {}  # type: ignore[var-annotated]
        order = f"{prefix}byteorder"
        self.big = order in archive.namelist() and archive.read(order) == b"big"

    def find_class(self, module: str, name: str) -> Any:
        known = _KNOWN.get((module, name))
        if known is not None:
            return known
        if module == "torch" and (name in STORAGES or name == "BFloat16Storage"):
            return name
        if module == "torch" and isinstance(getattr(dtypes, name, None), dtypes.dtype):
            return getattr(dtypes, name)
        for one in _SAFE:
            if (one.__module__, one.__qualname__) == (module, name):
                return one
        ours = _own(module, name)
        if ours is not None:
            return ours
        if self.trusted:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(
            f"torch.load: the file names {module}.{name}, which loading would run. Only Tensors, containers and "
            "numbers "
            "are read. If you trust the file, list the class with torch.serialization.add_safe_globals, or pass "
            "weights_only=False."
        )

    def persistent_load(self, pid: Any) -> Any:
        kind, storage, key, _, numel = pid
        if kind != "storage" or not isinstance(storage, str):
            raise pickle.UnpicklingError(f"torch.load: expected a storage, got {pid!r}")
        if key not in self.found:
            content = self.archive.read(f"{self.prefix}data/{key}")
            if storage == "BFloat16Storage":  # the upper half of float32
                halves = np.frombuffer(content, ">u2" if self.big else "<u2").astype(np.uint32)
                array = (halves << np.uint32(16)).view(np.float32)
            else:
                stored = np.dtype(STORAGES[storage]).newbyteorder(">" if self.big else "<")
                array = np.frombuffer(content, stored).astype(stored.newbyteorder("="))
            if array.size < numel:
                raise RuntimeError(
                    f"torch.load: the file is damaged: storage {key} has {array.size} of {numel} elements"
                )
            self.found[key] = array
        return self.found[key]


def _rebuild_tensor(
    storage: Any, offset: int, size: Any, stride: Any, requires_grad: bool = False, *more: Any
) -> Any:
    size, stride = tuple(size), tuple(stride)
    last = offset + sum((n - 1) * s for n, s in zip(size, stride)) if all(size) else 0
    if any(x < 0 for x in (*size, *stride, offset)) or (all(size) and last >= storage.size):
        raise RuntimeError("torch.load: the file is damaged: a Tensor reaches beyond its storage")
    if all(size):
        array = np.ndarray(
            size, storage.dtype, storage, offset * storage.itemsize, [s * storage.itemsize for s in stride]
        )
    else:
        array = np.zeros(size, storage.dtype)
    result = made(array)
    result._exported = True  # Tensors of one storage share it
    return result.requires_grad_() if requires_grad else result


def _rebuild_parameter(data: Any, requires_grad: bool, hooks: Any = None, *more: Any) -> Any:
    from tinygrad_dl.torch.nn.parameter import Parameter

    return Parameter(data, requires_grad)


def _own(module: str, name: str) -> Any:
    """The layers of this package and what rebuilds them: their constructors read nothing but their arguments."""
    if not module.startswith("tinygrad_dl."):
        return None
    if module == "tinygrad_dl.torch.nn":
        from tinygrad_dl.torch import nn

        return getattr(nn, name) if isinstance(getattr(nn, name, None), type) else None
    if module == "tinygrad_dl.nn.functional.activation":  # that of a Transformer layer
        from tinygrad_dl.nn import functional

        return getattr(functional, name, None)
    if (module, name) in {
        ("tinygrad_dl.torch.tensor", "_rebuilt"),
        ("tinygrad_dl.torch.tensor", "Tensor"),
        ("tinygrad_dl.torch.nn.parameter", "_buffer"),
        ("tinygrad_dl.torch.nn.parameter", "Parameter"),
        ("tinygrad_dl.torch.nn.parameter", "Buffer"),
        ("tinygrad_dl.torch.dtypes", "Size"),
        ("tinygrad_dl.torch.dtypes", "device"),
        ("tinygrad_dl.torch.random", "_default"),
        ("tinygrad_dl.torch.random", "_dropout_draws"),
    }:
        import importlib

        return getattr(importlib.import_module(module), name)
    return None


def _reconstructor(cls: type, base: type, state: Any) -> Any:
    """copyreg's, for classes that are allowed."""
    return object.__new__(cls)


# Arrays of NumPy and its numbers, which pickles name, made without running NumPy's own rebuilding


class _Kind:
    """A dtype of numbers."""

    def __init__(self, name: str = "", align: Any = False, copy: Any = False) -> None:
        kind = np.dtype(name) if isinstance(name, str) and name[:1] in "biufc?<>|=" else np.dtype(object)
        if kind.kind not in "biufc":
            raise pickle.UnpicklingError(
                f"torch.load: expected an array of numbers, got the dtype {name!r:.40}"
            )
        self.dtype = kind

    def __setstate__(self, state: Any) -> None:
        self.dtype = self.dtype.newbyteorder(">" if state[1] == ">" else "<")

    def array(self, content: Any, shape: Any, order: Any = "C") -> np.ndarray:
        """Bytes as an array."""
        if not isinstance(content, bytes) or len(content) != math.prod(shape) * self.dtype.itemsize:
            raise pickle.UnpicklingError(
                "torch.load: the file is damaged: an array has not the bytes of its shape"
            )
        found = np.frombuffer(content, self.dtype).reshape(shape, order=order)
        return found.astype(self.dtype.newbyteorder("="))


class _Array:
    """An array whose content comes with its state."""

    found: Any = None

    def __setstate__(self, state: Any) -> None:
        _, shape, kind, fortran, content = state
        self.found = kind.array(content, tuple(shape), "F" if fortran else "C")


def _with_arrays(x: Any) -> Any:
    """What was read, with the arrays themselves."""
    if isinstance(x, _Array):
        return x.found
    if type(x) is dict or type(x) is OrderedDict:
        for key, value in x.items():
            x[key] = _with_arrays(value)
    elif type(x) is list:
        x[:] = [_with_arrays(value) for value in x]
    elif type(x) is tuple:
        return tuple(_with_arrays(value) for value in x)
    return x


def _encoded(text: str, encoding: str = "latin1") -> bytes:
    """Bytes, as the second protocol of pickles writes them."""
    return text.encode("latin1")


_KNOWN: dict[tuple[str, str], Any] = {
    ("numpy", "ndarray"): object,  # named alone, as what is rebuilt
    ("numpy", "dtype"): _Kind,
    ("_codecs", "encode"): _encoded,
    **{
        (f"numpy.{core}.multiarray", name): made_here
        for core in ("core", "_core")
        for name, made_here in (
            ("_reconstruct", lambda kind, shape, code: _Array()),
            ("scalar", lambda kind, content: kind.array(content, ())[()]),
        )
    },
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_parameter"): _rebuild_parameter,
    ("torch", "Size"): dtypes.Size,
    ("torch", "device"): dtypes.device,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    ("__builtin__", "object"): object,
    ("builtins", "object"): object,
    ("copy_reg", "_reconstructor"): _reconstructor,
    ("copyreg", "_reconstructor"): _reconstructor,
}


def load(
    f: Any,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: Any = None,
    mmap: Any = None,
    **kwargs: Any,
) -> Any:
    """Read what PyTorch, or `save`, wrote. Raises pickle.UnpicklingError for a file that names other objects."""
    if hasattr(f, "read"):
        content = f.read()
    else:
        with open(os.fspath(f), "rb") as file:
            content = file.read()
    if not zipfile.is_zipfile(io.BytesIO(content)):
        raise RuntimeError(
            "torch.load: expected PyTorch's zip format (torch.save since version 1.6), got another file. Files of "
            "older "
            "versions are pickles that run code: convert them with PyTorch."
        )
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        names = [n for n in archive.namelist() if n.endswith("data.pkl")]
        if not names:
            raise RuntimeError("torch.load: the file is no archive of PyTorch: data.pkl is missing")
        prefix = names[0].removesuffix("data.pkl")
        reader = _Reader(io.BytesIO(archive.read(names[0])), archive, prefix, weights_only is False)
        return _with_arrays(reader.load())


def add_safe_globals(safe_globals: Any) -> None:
    """Allow loading to make objects of these classes."""
    for one in safe_globals:
        _SAFE.append(one[0] if isinstance(one, tuple) else one)


def get_safe_globals() -> list[Any]:
    """The classes that loading may make objects of."""
    return list(_SAFE)


def clear_safe_globals() -> None:
    """Allow no classes any more."""
    _SAFE.clear()


@contextmanager
def safe_globals(classes: Any) -> Any:
    """Allow classes until the end of the block."""
    before = list(_SAFE)
    add_safe_globals(classes)
    try:
        yield
    finally:
        _SAFE[:] = before
