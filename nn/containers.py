"""Modules made of modules: in a chain, in a list, in a dict; and those that only change the shape."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.parameter import Parameter, as_parameter
from tinygrad_dl.ops.shape import reshape
from tinygrad_dl.tensor import Tensor


class _Numbered(Module):
    """What Sequential, ModuleList and ParameterList share: entries are attributes named 0, 1, 2, ..."""

    def _entries(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("training", "_hooks")}

    def _refill(self, values: Iterable[Any]) -> None:
        for name in self._entries():
            delattr(self, name)
        for i, value in enumerate(values):
            setattr(self, str(i), value)

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, Module):
            raise DTypeError(f"{type(self).__name__}: a Module is needed; {type(value).__name__} came")
        return value

    def _name_at(self, index: int) -> str:
        names = list(self._entries())
        if not -len(names) <= index < len(names):
            raise IndexRangeError(
                f"{type(self).__name__}: it has {len(names)} entries; the index {index} came"
            )
        return names[index]

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[Any]:
        return iter(self._entries().values())

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)._of(list(self)[index])
        return getattr(self, self._name_at(index))

    @classmethod
    def _of(cls, values: list[Any]) -> Any:
        return cls(values)  # type: ignore[call-arg]

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._name_at(index), self._checked(value))

    def __delitem__(self, index: Any) -> None:
        values = list(self)
        del values[index]
        self._refill(values)

    def append(self, value: Any) -> Any:
        """Put an entry at the end; returns the container."""
        setattr(self, str(len(self)), self._checked(value))
        return self

    def extend(self, values: Iterable[Any]) -> Any:
        """Put entries at the end; returns the container."""
        for value in list(values):
            self.append(value)
        return self

    def insert(self, index: int, value: Any) -> Any:
        """Put an entry in front of the one at an index; returns the container."""
        values = list(self)
        values.insert(index, self._checked(value))
        self._refill(values)
        return self

    def pop(self, index: int = -1) -> Any:
        """Take the entry at an index out and return it."""
        value = self[index]
        del self[index]
        return value

    def __add__(self, other: Iterable[Any]) -> Any:
        return type(self)._of([*self, *other])

    def __iadd__(self, other: Iterable[Any]) -> Any:
        return self.extend(other)

    def __dir__(self) -> Iterable[str]:
        return [name for name in super().__dir__() if not name.isdigit()]


class Sequential(_Numbered):
    """Modules in a chain: each gets what the one before it gave. Takes modules, or one dict of named ones.

    >>> from tinygrad_dl.nn import Linear, ReLU
    >>> Sequential(Linear(2, 3), ReLU())
    Sequential(
      (0): Linear(in_features=2, out_features=3, bias=True)
      (1): ReLU()
    )
    """

    def __init__(self, *modules: Any) -> None:
        named = modules[0] if len(modules) == 1 and isinstance(modules[0], dict) else None
        for name, module in named.items() if named is not None else enumerate(modules):
            if not isinstance(module, Module):
                advice = (
                    " Pass them one by one: Sequential(*layers)." if isinstance(module, (list, tuple)) else ""
                )
                advice = advice or (
                    f" Give an instance: {module.__name__}()." if isinstance(module, type) else ""
                )
                raise DTypeError(
                    f"Sequential: entry {name} is no Module but {type(module).__name__}.{advice}"
                )
            self.register_module(str(name), module)

    @classmethod
    def _of(cls, values: list[Any]) -> Any:
        return cls(*values)

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, slice):
            return type(self)(dict(list(self._entries().items())[index]))
        return super().__getitem__(index)

    def forward(self, input: Any) -> Any:
        """The result of the last module."""
        for module in list(vars(self).values()):
            if isinstance(module, Module):
                input = module(input)
        return input


class ModuleList(_Numbered):
    """A list of modules that is itself a module; a plain list as an attribute does as well.

    >>> from tinygrad_dl.nn import Linear
    >>> len(ModuleList([Linear(2, 2) for _ in range(3)]))
    3
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        self.extend(modules or ())

    def __repr__(self) -> str:
        # As in PyTorch, neighbours that read the same are one entry: (0-5): 6 x Linear(...)
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


class ParameterList(_Numbered):
    """A list of parameters that is itself a module; arrays and Tensors become parameters.

    >>> ParameterList([[1.0], [2.0]])[1]
    Parameter([2.], requires_grad=True)
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        self.extend(values or ())

    def _checked(self, value: Any) -> Parameter:
        return as_parameter(value)

    def extra_repr(self) -> str:
        """A line a parameter."""
        return "\n".join(f"({name}): {_described(value)}" for name, value in self._entries().items())


def _described(value: Any) -> str:
    sizes = "x".join(map(str, value.shape)) or "scalar"
    return f"Parameter containing: [{value.dtype} of size {sizes}]"


class _Named(Module):
    """What ModuleDict and ParameterDict share: entries are attributes under their keys."""

    def _checked(self, value: Any) -> Any:
        if not isinstance(value, Module):
            raise DTypeError(f"{type(self).__name__}: a Module is needed; {type(value).__name__} came")
        return value

    def _entries(self) -> dict[str, Any]:
        return {name: value for name, value in vars(self).items() if name not in ("training", "_hooks")}

    def __getitem__(self, key: str) -> Any:
        if key not in self._entries():
            raise KeyError(key)
        return vars(self)[key]

    def __setitem__(self, key: str, value: Any) -> None:
        if hasattr(type(self), key):
            raise KeyError(f"{type(self).__name__}: {key!r} is one of its methods; choose another key")
        setattr(self, key, self._checked(value))

    def __delitem__(self, key: str) -> None:
        self[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._entries())

    def __iter__(self) -> Iterator[str]:
        return iter(self._entries())

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

    def update(self, values: Any) -> None:
        """Put in the entries of a dict, or pairs of keys and entries."""
        for key, value in values.items() if hasattr(values, "items") else values:
            self[key] = value

    def pop(self, key: str) -> Any:
        """Take an entry out and return it."""
        value = self[key]
        delattr(self, key)
        return value

    def clear(self) -> None:
        """Take all entries out."""
        for key in list(self):
            delattr(self, key)


class ModuleDict(_Named):
    """A dict of modules that is itself a module; a plain dict as an attribute does as well.

    >>> from tinygrad_dl.nn import ReLU
    >>> ModuleDict({"act": ReLU()})["act"]
    ReLU()
    """

    def __init__(self, modules: Any = None) -> None:
        self.update(modules or {})


class ParameterDict(_Named):
    """A dict of parameters that is itself a module; arrays and Tensors become parameters.

    >>> ParameterDict({"scale": [2.0]})["scale"]
    Parameter([2.], requires_grad=True)
    """

    def __init__(self, parameters: Any = None) -> None:
        self.update(parameters or {})

    def _checked(self, value: Any) -> Parameter:
        return as_parameter(value)

    def get(self, key: str, default: Any = None) -> Any:
        """The entry under a key, or the default."""
        return self[key] if key in self else default

    def extra_repr(self) -> str:
        """A line a parameter."""
        return "\n".join(f"({name}): {_described(value)}" for name, value in self._entries().items())


class Identity(Module):
    """Passes its input on; whatever it is constructed with is ignored, so it can stand in for any layer.

    >>> Identity(54)(1)
    1
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Any) -> Any:
        """input."""
        return input


class Flatten(Module):
    """The axes from start_dim to end_dim made one.

    x (N, A, B, ...) -> (N, A*B*...) by default.
    >>> Flatten()(Tensor([[[1.0, 2.0], [3.0, 4.0]]])).shape
    (1, 4)
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        self.start_dim, self.end_dim = start_dim, end_dim

    def forward(self, input: Any) -> Tensor:
        """input with those axes made one."""
        ndim = len(input.shape)
        if not ndim:
            return reshape(input, (1,))
        start, end = self.start_dim, self.end_dim
        if not (-ndim <= start < ndim and -ndim <= end < ndim) or start % ndim > end % ndim:
            raise ShapeError(f"Flatten: the axes {start} to {end} do not fit the shape {input.shape}")
        shape, start, end = input.shape, start % ndim, end % ndim
        size = 1
        for n in shape[start : end + 1]:
            size *= n
        return reshape(input, (*shape[:start], size, *shape[end + 1 :]))

    def extra_repr(self) -> str:
        """The axes."""
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """One axis made several: the reverse of Flatten.

    >>> Unflatten(1, (2, 3))(Tensor([[0.0] * 6])).shape
    (1, 2, 3)
    """

    def __init__(self, dim: int, unflattened_size: Any) -> None:
        if not isinstance(dim, int):
            raise DTypeError(f"Unflatten: axes have no names here, dim is an int; {dim!r} came")
        self.dim, self.unflattened_size = dim, tuple(unflattened_size)

    def forward(self, input: Any) -> Tensor:
        """input with that axis made several."""
        shape, dim = input.shape, self.dim
        if not -len(shape) <= dim < len(shape):
            raise ShapeError(f"Unflatten: the shape {shape} has no axis {dim}")
        dim %= len(shape)
        return reshape(input, (*shape[:dim], *self.unflattened_size, *shape[dim + 1 :]))

    def extra_repr(self) -> str:
        """The axis and its new sizes."""
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"
