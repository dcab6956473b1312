"""Containers of modules or parameters: sequences, lists and dicts."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

from tinygrad_dl.errors import DTypeError, IndexRangeError, ValueRangeError
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Parameter, Uninitialized, as_parameter
from tinygrad_dl.typing import ArrayLike

N = TypeVar("N", bound="_Numbered")


class _Container(Module):
    """Base of all containers: the entries are the attributes of one kind."""

    kind: type = Module

    def _entries(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if isinstance(value, self.kind)}

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, Module):
            raise DTypeError(f"{type(self).__name__}: expected a Module, got {type(value).__name__}")
        return value

    def __len__(self) -> int:
        return len(self._entries())


class _OfParameters(_Container):
    kind = Parameter

    def _checked(self, value: Any) -> Parameter:
        return as_parameter(value)

    def extra_repr(self) -> str:
        """One line per parameter."""
        lines = []
        for name, value in self._entries().items():
            if isinstance(value, Uninitialized):
                lines.append(f"({name}): {value!r}")
                continue
            sizes = "x".join(map(str, value.shape)) or "scalar"
            lines.append(f"({name}): Parameter containing: [{value.dtype} of size {sizes}]")
        return "\n".join(lines)


class _Numbered(_Container):
    """Base of Sequential, ModuleList and ParameterList: the entries are attributes named 0, 1, 2, ..."""

    def _refill(self, values: Iterable[Any]) -> None:
        for name in self._entries():
            delattr(self, name)
        for i, value in enumerate(values):
            setattr(self, str(i), value)

    def _name_at(self, index: int) -> str:
        names = list(self._entries())
        if not -len(names) <= index < len(names):
            raise IndexRangeError(
                f"{type(self).__name__}: expected an index into its {len(names)} entries, got {index}"
            )
        return names[index]

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries().values())

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)._of(list(self)[index])
        return getattr(self, self._name_at(index))

    @classmethod
    def _of(cls, values: list[Any]) -> Any:
        return cls(values)  # type: ignore[call-arg]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name_at(index), self._checked(value))

    def __delitem__(self, index: int | slice) -> None:
        values = list(self)
        del values[index]
        self._refill(values)

    def append(self: N, value: Any) -> N:
        """Append an entry; returns the container."""
        setattr(self, str(len(self)), self._checked(value))
        return self

    def extend(self: N, values: Iterable[Any]) -> N:
        """Append entries; returns the container."""
        for value in list(values):
            self.append(value)
        return self

    def insert(self: N, index: int, value: Any) -> N:
        """Insert an entry before an index; returns the container."""
        values = list(self)
        if not -len(values) <= index <= len(values):
            raise IndexRangeError(
                f"{type(self).__name__}: expected an index from -{len(values)} to {len(values)}, got {index}"
            )
        values.insert(index, self._checked(value))
        self._refill(values)
        return self

    def pop(self, index: int = -1) -> Any:
        """Remove and return the entry at an index."""
        value = self[index]
        del self[index]
        return value

    def __add__(self, other: Iterable[Any]) -> Any:
        return type(self)._of([*self, *other])

    def __iadd__(self: N, other: Iterable[Any]) -> N:
        return self.extend(other)

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if not name.isdigit()]


class Sequential(_Numbered):
    """Modules called in order, each with the result of the one before. Takes modules, or one dict of named ones.

    >>> from tinygrad_dl.nn import Linear, ReLU
    >>> Sequential(Linear(2, 3), ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Module | dict[str, Module]) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        for name, module in named.items() if named is not None else enumerate(modules):
            if not isinstance(module, Module):
                advice = (
                    " Pass them one by one: Sequential(*layers)." if isinstance(module, (list, tuple)) else ""
                )
                advice = advice or (
                    f" Give an instance: {module.__name__}()." if isinstance(module, type) else ""
                )
                if callable(module) and not advice:
                    advice = " Functions are called in forward; activations are modules, too: nn.ReLU()."
                raise DTypeError(
                    f"Sequential: expected a Module as entry {name}, got {type(module).__name__}.{advice}"
                )
            self.register_module(str(name), module)

    @classmethod
    def _of(cls, values: list[Any]) -> Any:
        return cls(*values)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._entries().items())[index]))
        return super().__getitem__(index)

    def __mul__(self, times: int) -> Any:
        return Sequential(*_repeated(self, times))

    __rmul__ = __mul__

    def __imul__(self, times: int) -> Any:
        return self.extend(_repeated(self, times)[len(self) :])

    def forward(self, input: Any) -> Any:
        """Call the modules in order; returns the last result."""
        for module in list(vars(self).values()):
            if isinstance(module, Module):
                input = module(input)
        return input


def _repeated(chain: Sequential, times: int) -> list[Any]:
    """The same modules (not copies), repeated."""
    if not isinstance(times, int):
        raise DTypeError(
            f"Sequential: expected an int as the number of repetitions, got {type(times).__name__}"
        )
    if times < 1:
        raise ValueRangeError(f"Sequential: expected at least one repetition, got {times}")
    return list(chain) * times


class ModuleList(_Numbered):
    """A list of modules that is itself a module; a plain list as an attribute works too.

    >>> from tinygrad_dl.nn import Linear
    >>> len(ModuleList([Linear(2, 2) for _ in range(3)]))
    3
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self.extend(modules or ())

    def __repr__(self) -> str:
        # As in PyTorch, neighbors that read the same are one entry: (0-5): 6 x Linear(...)
        runs: list[list[Any]] = []
        for i, text in enumerate(map(repr, self)):
            if runs and runs[-1][2] == text:
                runs[-1][1] = i
            else:
                runs.append([i, i, text])
        lines = [
            (f"({a}): " if a == b else f"({a}-{b}): {b - a + 1} x ") + text.replace("\n", "\n  ")
            for a, b, text in runs
        ]
        return (
            f"{type(self).__name__}(\n  " + "\n  ".join(lines) + "\n)"
            if lines
            else f"{type(self).__name__}()"
        )


class ParameterList(_OfParameters, _Numbered):
    """A list of parameters that is itself a module; arrays and Tensors become parameters.

    >>> ParameterList([[1.0], [2.0]])[1]
    Parameter([2.], requires_grad=True)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.extend(values or ())


class _Named(_Container):
    """Base of ModuleDict and ParameterDict: the entries are attributes under their keys."""

    def __getitem__(self, key: str) -> Any:
        if key not in self._entries():
            raise KeyError(key)
        return vars(self)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if hasattr(type(self), key):
            raise KeyError(f"{type(self).__name__}: {key!r} is the name of a method; choose another key")
        if not key or "." in key:
            raise KeyError(f"{type(self).__name__}: expected a nonempty key without dots, got {key!r}")
        setattr(self, key, self._checked(value))

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

    def __reversed__(self) -> Iterator[str]:
        return reversed(self._entries())

    def __contains__(self, key: object) -> bool:
        return key in self._entries()

    def keys(self) -> Iterable[str]:
        """The keys, in order of definition."""
        return self._entries().keys()

    def values(self) -> Iterable[Any]:
        """The entries, in order of definition."""
        return self._entries().values()

    def items(self) -> Iterable[tuple[str, Any]]:
        """Keys and entries, in order of definition."""
        return self._entries().items()

    def update(self, values: Mapping[str, Any] | _Named | Iterable[tuple[str, Any]]) -> None:
        """Add the entries of a dict, or pairs of keys and entries."""
        items = getattr(values, "items", None)  # of a dict, another container, or anything like them
        pairs: Any = values if items is None else items()
        for key, value in pairs:
            self[key] = value

    def pop(self, key: str) -> Any:
        """Remove and return an entry."""
        value = self[key]
        delattr(self, key)
        return value

    def clear(self) -> None:
        """Remove all entries."""
        for key in list(self):
            delattr(self, key)


class ModuleDict(_Named):
    """A dict of modules that is itself a module; a plain dict as an attribute works too.

    >>> from tinygrad_dl.nn import ReLU
    >>> ModuleDict({"act": ReLU()})["act"]
    ReLU()
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        self.update(modules or {})


class ParameterDict(_OfParameters, _Named):
    """A dict of parameters that is itself a module; arrays and Tensors become parameters.

    >>> ParameterDict({"scale": [2.0]})["scale"]
    Parameter([2.], requires_grad=True)
    """

    def __init__(
        self, parameters: Mapping[str, ArrayLike] | Iterable[tuple[str, ArrayLike]] | None = None
    ) -> None:
        self.update(parameters or {})

    def get(self, key: str, default: Any = None) -> Any:
        """The entry under a key, or the default."""
        return self[key] if key in self else default

    def setdefault(self, key: str, default: ArrayLike) -> Any:
        """The entry under a key, which is set to the default if the key is missing."""
        if key not in self:
            self[key] = default
        return self[key]

    def popitem(self) -> tuple[str, Any]:
        """Remove and return the last key and entry."""
        key = next(reversed(self), None)
        if key is None:
            raise KeyError(f"{type(self).__name__}: cannot pop from an empty dict")
        return key, self.pop(key)

    def copy(self) -> ParameterDict:
        """Another ParameterDict of the same parameters."""
        return ParameterDict(self.items())

    @staticmethod
    def fromkeys(keys: Iterable[str], default: ArrayLike) -> ParameterDict:
        """A ParameterDict with a new parameter, created from the default, under each key."""
        return ParameterDict({key: Parameter(default) for key in keys})

    def __or__(self, other: Any) -> ParameterDict:
        joined = self.copy()
        joined.update(other)
        return joined

    def __ror__(self, other: Any) -> Any:
        joined = other.copy()
        joined.update(self.items())
        return joined

    def __ior__(self, other: Any) -> ParameterDict:
        self.update(other)
        return self
