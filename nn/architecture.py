"""The architecture of a model as data, so that a file holds the whole model: written by `save`, read by `load_model`.

The description is JSON in the header of the safetensors file: the class of each module by name, and its attributes.
Reading it makes objects of the classes of nn, and of those that the caller names; it runs no constructor and no other
code of the file's choice.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Iterable, Mapping
from importlib import import_module
from typing import Any

import numpy as np

from tinygrad_dl import files, nn
from tinygrad_dl.arguments import checked, refuse_unfit
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, FileFormatError, TinygradError, ValueRangeError
from tinygrad_dl.files import EXTRA, MODEL
from tinygrad_dl.nn.functional import activation
from tinygrad_dl.nn.module import PACKAGE, Module
from tinygrad_dl.nn.parameter import Buffer, Parameter
from tinygrad_dl.nn.state import saved_tensors
from tinygrad_dl.op import OPS
from tinygrad_dl.tensor import Tensor

VERSION = 1
#: Modules and containers inside each other; deeper files are refused.
DEEPEST = 100
#: The classes of preparations, by name; `tinygrad_dl.data` enters them when it is imported.
PREPARATIONS: dict[str, Any] = {}


class NotDescribed(Exception):
    """A part of a model that no description can hold."""


def _functions() -> dict[str, Callable[..., Any]]:
    """The functions that a model may hold, by name: those of nn.functional, and operations."""
    named = {name: op.function for name, op in OPS.items()}
    return named | {name: getattr(nn.functional, name) for name in nn.functional.__all__}


# Writing


class _Writer:
    def __init__(self, model: Module) -> None:
        self.names = {id(tensor): name for name, tensor in saved_tensors(model)}
        self.arrays: dict[str, np.ndarray] = {}
        self.modules: dict[int, int] = {}  # id of a module -> its number
        self._functions: dict[int, str] = {}

    def value(self, x: Any, path: str, depth: int = 0) -> Any:
        """The description of an attribute; lists and dicts have tags, as JSON has no tuples and no other keys."""
        if depth > DEEPEST:
            raise NotDescribed(f"{path} is nested more than {DEEPEST} deep")
        if x is None or isinstance(x, (bool, str)):
            return x
        if isinstance(x, (np.generic, int, float)) and not isinstance(x, np.datetime64):
            number = x.item() if isinstance(x, np.generic) else x
            if isinstance(number, float) and not math.isfinite(number):
                return {"float": repr(number)}
            if isinstance(number, (int, float)):
                return number
        if isinstance(x, Module):
            return self.module(x, path, depth)
        if isinstance(x, (Tensor, np.ndarray)):
            return self.tensor(x, path)
        if isinstance(x, (list, tuple, set)) and type(x) in (list, tuple, set):
            parts = [self.value(part, f"{path}.{i}", depth + 1) for i, part in enumerate(x)]
            return {type(x).__name__: parts}
        if type(x) is dict:
            if not all(isinstance(key, (str, int)) for key in x):
                raise NotDescribed(f"{path} has keys that are neither strings nor ints")
            return {"dict": [[k, self.value(v, f"{path}.{k}", depth + 1)] for k, v in x.items()]}
        if isinstance(x, np.dtype) or (isinstance(x, type) and issubclass(x, np.generic)):
            return {"dtype": np.dtype(x).name}
        if isinstance(x, np.random.Generator):
            return None  # the model draws from the default generator again
        if type(x).__name__ in PREPARATIONS and type(x) is PREPARATIONS[type(x).__name__]:
            return self.preparation(x)
        if callable(x):
            if not self._functions:
                # Layers hold some of them as their own module has them, without what nn.functional adds.
                plain = ((name, getattr(activation, name, None)) for name in nn.functional.__all__)
                self._functions = {
                    id(f): name for name, f in (*_functions().items(), *plain) if f is not None
                }
            if id(x) in self._functions:
                return {"function": self._functions[id(x)]}
        raise NotDescribed(f"{path} is {describe(x)}, which a description cannot contain")

    def array(self, x: np.ndarray) -> str:
        if x.dtype.kind not in "fiubc" or x.dtype.itemsize > 8:
            raise NotDescribed(f"an array of {x.dtype}")
        name = f"{EXTRA}{len(self.arrays)}"
        self.arrays[name] = x
        return name

    def tensor(self, x: Any, path: str) -> Any:
        if isinstance(x, np.ndarray):
            return {"array": self.array(x)}
        kind = "parameter" if isinstance(x, Parameter) else "buffer" if isinstance(x, Buffer) else "tensor"
        named: dict[str, Any] = {kind: self.names.get(id(x))}
        if type(x) not in (Parameter, Buffer, Tensor):
            raise NotDescribed(f"{path} is {type(x).__name__}")
        if named[kind] is None:  # in no state dict
            if x.node is not None and x.node.op is not None:
                raise NotDescribed(f"{path} is the result of operations")
            named[kind] = self.names[id(x)] = self.array(x._data)
        if x.requires_grad != (kind == "parameter"):
            named["requires_grad"] = x.requires_grad
        if isinstance(x, Buffer) and not x.persistent:
            named["persistent"] = False
        if x.name is not None:
            named["name"] = x.name
        return named

    def module(self, module: Module, path: str, depth: int) -> Any:
        if id(module) in self.modules:
            return {"same": self.modules[id(module)]}
        self.modules[id(module)] = len(self.modules)
        kind = type(module)
        own = not (kind.__module__.startswith(PACKAGE) and getattr(nn, kind.__name__, None) is kind)
        if own and kind.__module__.startswith("tinygrad_dl."):
            raise NotDescribed(
                f"{path or 'the model'} is {kind.__name__}, whose class is made while the program runs"
            )
        if module._hooks is not None:
            raise NotDescribed(f"{path or 'the model'} has hooks")
        if hasattr(kind, "get_extra_state"):
            raise NotDescribed(f"{path or 'the model'} has an extra state")
        attributes = {
            name: self.value(x, f"{path}.{name}" if path else name, depth + 1)
            for name, x in vars(module).items()
            if name != "process_group"  # which belongs to a run
        }
        made: dict[str, Any] = {"module": kind.__name__, "attributes": attributes}
        if own:
            made["own"] = True
        return made

    def preparation(self, x: Any) -> Any:
        settings, arrays = x.saved()
        named = {name: self.array(np.asarray(array)) for name, array in arrays.items()}
        return {"preparation": type(x).__name__, "settings": settings, "arrays": named}


def described(model: Module, preprocess: Any = None) -> tuple[str, dict[str, np.ndarray]]:
    """The description of a model as text, and the arrays that it needs beside the state dict."""
    writer = _Writer(model)
    try:
        found: dict[str, Any] = {"version": VERSION, "model": writer.value(model, "")}
        if preprocess is not None:
            found["preprocess"] = writer.value(preprocess, "preprocess")
    except NotDescribed as reason:
        if preprocess is not None:
            raise DTypeError(
                f"save: expected a model of nn's parts and a preparation of data, but {reason}"
            ) from None
        return json.dumps({"version": VERSION, "reason": str(reason)}), {}
    return json.dumps(found), writer.arrays


# Reading


class _Reader:
    def __init__(self, arrays: Mapping[str, np.ndarray], classes: Mapping[str, type[Module]]) -> None:
        self.arrays, self.classes = arrays, classes
        self.modules: list[Module] = []
        self.tensors: dict[str, Any] = {}

    def value(self, x: Any, path: str, depth: int = 0) -> Any:
        if depth > DEEPEST:
            raise ValueError(f"{path[:50]}... is nested more than {DEEPEST} deep")
        if x is None or isinstance(x, (bool, str, int, float)):
            return x
        if not isinstance(x, dict) or not x:
            raise ValueError(f"{path}: expected a value with a tag, got {type(x).__name__}")
        tag, content = next(iter(x.items()))
        read = getattr(self, f"_{tag}", None) if tag in TAGS else None
        if read is None:
            raise ValueError(f"{path}: unknown tag {tag!r}")
        return read(x, content, path, depth)

    def _float(self, x: Any, content: Any, path: str, depth: int) -> float:
        return {"inf": math.inf, "-inf": -math.inf, "nan": math.nan}[content]

    def _list(self, x: Any, content: Any, path: str, depth: int) -> Any:
        if not isinstance(content, list):
            raise ValueError(f"{path}: expected a list, got {type(content).__name__}")
        return [self.value(part, f"{path}.{i}", depth + 1) for i, part in enumerate(content)]

    def _tuple(self, x: Any, content: Any, path: str, depth: int) -> Any:
        return tuple(self._list(x, content, path, depth))

    def _set(self, x: Any, content: Any, path: str, depth: int) -> Any:
        return set(self._list(x, content, path, depth))

    def _dict(self, x: Any, content: Any, path: str, depth: int) -> Any:
        found = {}
        for key, part in content:
            if not isinstance(key, (str, int)):
                raise ValueError(f"{path}: expected keys that are strings or ints, got {type(key).__name__}")
            found[key] = self.value(part, f"{path}.{key}", depth + 1)
        return found

    def _dtype(self, x: Any, content: Any, path: str, depth: int) -> Any:
        dtype = np.dtype(str(content))
        if dtype.kind not in "fiubc":
            raise ValueError(f"{path}: expected a dtype of numbers, got {dtype}")
        return dtype

    def _function(self, x: Any, content: Any, path: str, depth: int) -> Any:
        found = _functions().get(content)
        if found is None:
            raise ValueError(f"{path}: expected the name of a function of nn.functional, got {content!r}")
        return found

    def _same(self, x: Any, content: Any, path: str, depth: int) -> Any:
        if not isinstance(content, int) or not 0 <= content < len(self.modules):
            raise ValueError(f"{path}: expected the number of a module before, got {content!r}")
        return self.modules[content]

    def _array(self, x: Any, content: Any, path: str, depth: int) -> Any:
        if not isinstance(content, str) or content not in self.arrays:
            raise ValueError(f"{path}: expected the name of an array in the file, got {content!r}")
        return self.arrays[content]

    def _tensor(self, x: Any, content: Any, path: str, depth: int) -> Any:
        kind = next(iter(x))
        array = self._array(x, content, path, depth)
        name, requires_grad = x.get("name"), x.get("requires_grad", kind == "parameter")
        persistent = x.get("persistent", True)
        if not (name is None or isinstance(name, str)) or {type(requires_grad), type(persistent)} != {bool}:
            raise ValueError(f"{path}: wrong types in the description of a tensor")
        known = self.tensors.get(content)
        if known is None:
            if kind == "parameter":
                known = Parameter(array, requires_grad, name)
            elif kind == "buffer":
                known = Buffer(array, persistent, name)
            else:
                known = Tensor(array, requires_grad=requires_grad, name=name)
            self.tensors[content] = known
        if type(known).__name__.lower() != kind:
            raise ValueError(f"{path}: {content} is a {type(known).__name__}, not a {kind}")
        return known

    _parameter = _buffer = _tensor

    def _module(self, x: Any, content: Any, path: str, depth: int) -> Any:
        kind = self.class_of(content, x.get("own", False), path)
        attributes = x.get("attributes")
        if not isinstance(attributes, dict):
            raise ValueError(f"{path or 'the model'}: expected attributes, got {type(attributes).__name__}")
        made = object.__new__(kind)
        self.modules.append(made)
        for name, part in attributes.items():
            if name.startswith("__") or name == "_hooks" or callable(getattr(kind, name, None)):
                raise ValueError(f"{path}: {name!r} cannot be an attribute of a {kind.__name__}")
            value = self.value(part, f"{path}.{name}" if path else name, depth + 1)
            object.__setattr__(made, name, value)
        if not x.get("own", False):
            self.check(made, path)
        return made

    def class_of(self, name: Any, own: Any, path: str) -> type[Module]:
        where = f"the module {path!r}" if path else "the model"
        if own is not True:
            kind = getattr(nn, name, None) if isinstance(name, str) and name in nn.__all__ else None
            if not isinstance(kind, type) or not issubclass(kind, Module):
                raise ValueError(f"{where} is of the class {name!r}, which nn does not have")
            return kind
        if name not in self.classes:
            raise ValueError(
                f"{where} is of the class {name}, which is not one of nn. Pass it: "
                f'load_model(path, classes={{"{name}": {name}}})'
            )
        return self.classes[name]

    def check(self, module: Any, path: str) -> None:
        """Raise for a layer of nn that its constructor would refuse, or that lacks what its text tells of."""
        kind = type(module)
        function = getattr(kind.__init__, "__wrapped__", kind.__init__)
        code = getattr(function, "__code__", None)
        names = () if code is None else code.co_varnames[1 : code.co_argcount + code.co_kwonlyargcount]
        defaults = getattr(function, "__defaults__", None) or ()
        required = () if code is None else code.co_varnames[1 : code.co_argcount - len(defaults)]
        # A parameter or buffer may have the name of the option that asked for it, such as `bias`.
        given = {
            name: value
            for name, value in vars(module).items()
            if name in names and (value is not None or name in required) and not isinstance(value, Tensor)
        }
        try:
            refuse_unfit(kind.__init__, (module,), given)
            module.extra_repr()
        except (TinygradError, AttributeError, TypeError, ValueError, IndexError) as error:
            raise ValueError(f"{path or 'the model'}: {error}") from None

    def _preparation(self, x: Any, content: Any, path: str, depth: int) -> Any:
        if content not in PREPARATIONS:
            import_module("tinygrad_dl.data")
        settings, arrays = x.get("settings"), x.get("arrays")
        if content not in PREPARATIONS or not isinstance(settings, dict) or not isinstance(arrays, dict):
            raise ValueError(f"{path}: unknown preparation {content!r}")
        found = {name: self._array(x, array, path, depth) for name, array in arrays.items()}
        return PREPARATIONS[content].restored(settings, found)


TAGS = frozenset(
    "float list tuple set dict dtype function same array tensor parameter buffer module preparation".split()
)


@checked
def load_model(
    path: str | os.PathLike[str],
    classes: Mapping[str, type[Module]] | Iterable[type[Module]] | None = None,
) -> Any:
    """The model that `save(model, path)` wrote: its architecture and its weights.

    No constructor runs, and nothing of the file is executed. `classes`: the classes of your own that the model is made
    of, as a list or by name. What was saved with `preprocess=` is the model's attribute `preprocess`.
    Raises FileNotFoundError, and FileFormatError for files that hold no model or a damaged one, or need a class.

    >>> import os, tempfile
    >>> from tinygrad_dl.files import save
    >>> file = os.path.join(tempfile.mkdtemp(), "model.safetensors")
    >>> save(nn.Sequential(nn.Linear(2, 3), nn.ReLU()), file)
    >>> load_model(file)
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """
    given: Any = classes or ()
    named: Mapping[str, Any] = given if isinstance(given, Mapping) else {c.__name__: c for c in given}
    for name, kind in named.items():
        if not isinstance(kind, type) or not issubclass(kind, Module):
            raise DTypeError(
                f"load_model: classes: {name}: expected a class of modules, got {describe(kind)}"
            )
    arrays, header = files.read(path, "load_model")
    shown = os.fspath(path)
    text = header.get(MODEL)
    if text is None:
        raise FileFormatError(
            f"load_model: {shown} holds arrays and no architecture. Make the model, then "
            "model.load_state_dict(load(path))."
        )
    try:
        found = json.loads(text)
        if not isinstance(found, dict) or found.get("version") != VERSION:
            raise ValueError(f"expected a description of version {VERSION}")
        if "reason" in found:
            raise FileFormatError(
                f"load_model: {shown} has the weights only: when it was saved, {found['reason']}. Make the model, "
                "then model.load_state_dict(load(path))."
            )
        reader = _Reader(arrays, named)
        model = reader.value(found.get("model"), "")
        if not isinstance(model, Module):
            raise ValueError("the description is not that of a module")
        if found.get("preprocess") is not None:
            object.__setattr__(model, "preprocess", reader.value(found["preprocess"], "preprocess"))
    except FileFormatError:
        raise
    except RecursionError:
        raise FileFormatError(f"load_model: {shown}: the description is nested too deeply") from None
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, OverflowError, MemoryError) as error:
        raise FileFormatError(f"load_model: {shown}: {error}") from None
    return model


def register_preparation(kind: Any) -> Any:
    """Enter a class with `saved()` and `restored(settings, arrays)`; a decorator."""
    if kind.__name__ in PREPARATIONS and PREPARATIONS[kind.__name__] is not kind:
        raise ValueRangeError(f"register_preparation: there is already a class {kind.__name__}")
    PREPARATIONS[kind.__name__] = kind
    return kind
