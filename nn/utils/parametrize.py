"""Parameters and buffers computed from others whenever they are read: parametrizations."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, GraphError, ShapeError, ValueRangeError
from tinygrad_dl.modes import no_grad
from tinygrad_dl.nn.containers import ModuleDict, ModuleList
from tinygrad_dl.nn.module import M, Module
from tinygrad_dl.nn.parameter import Buffer, Parameter
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import DTypeLike, Shape

__all__ = [
    "ParametrizationList", "cached", "is_parametrized", "register_parametrization", "remove_parametrizations",
    "transfer_parametrizations_and_params", "type_before_parametrizations",
]  # fmt: skip

_caches: list[dict[tuple[int, str], Any]] = []  # one, while `cached` is on


@contextmanager
def cached() -> Iterator[None]:
    """Compute each parametrized tensor once and cache it until the end of the `with` block.

    For modules that read one several times, such as a cell in a loop.
    >>> from tinygrad_dl.nn import Linear, ReLU
    >>> layer = register_parametrization(Linear(2, 2), "weight", ReLU())
    >>> with cached():
    ...     layer.weight is layer.weight
    True
    """
    _caches.append(_caches[-1] if _caches else {})
    try:
        yield
    finally:
        _caches.pop()


class ParametrizationList(ModuleList):
    """The parametrizations of one tensor, in order, and its original; created by register_parametrization.

    `original` is the previous parameter or buffer; where the first right_inverse gives several tensors they are
    original0, original1, ...
    """

    def __init__(self, modules: Any, original: Any, unsafe: bool = False) -> None:
        super().__init__(modules)
        self.unsafe = unsafe
        with no_grad():
            new = original
            for module in reversed(list(self)):
                try:
                    new = module.right_inverse(new) if hasattr(module, "right_inverse") else new
                except NotImplementedError:
                    pass  # as if it had none
        self.is_tensor = isinstance(new, (Tensor, np.ndarray))
        self.ntensors = 1 if self.is_tensor else len(new)
        shape, dtype = original.shape, original.dtype
        if self.is_tensor:
            self.original = original
            if new is not original:
                _write(original, new)
        else:
            for i, part in enumerate(new):
                setattr(self, f"original{i}", _alike(original, part))
        if not unsafe:
            _check(self(), shape, dtype, "the parametrization")

    def _originals(self) -> list[Any]:
        if self.is_tensor:
            return [self.original]
        return [getattr(self, f"original{i}") for i in range(self.ntensors)]

    def forward(self) -> Any:
        """The parametrized tensor."""
        first, *others = self
        out = first(*self._originals())
        for module in others:
            out = module(out)
        return out

    def right_inverse(self, value: Any) -> None:
        """Set the originals so that the result is this value, by the right_inverse of each parametrization."""
        value = asarray(value)
        with no_grad():
            for module in reversed(list(self)):
                if not hasattr(module, "right_inverse"):
                    raise GraphError(
                        f"{type(module).__name__} has no right_inverse, so its result cannot be assigned"
                    )
                value = module.right_inverse(value)
        parts = [value] if self.is_tensor else list(value)
        if len(parts) != self.ntensors:
            raise ShapeError(f"right_inverse: expected {self.ntensors} tensors, got {len(parts)}")
        for original, part in zip(self._originals(), parts):
            _write(original, part)


def _write(original: Any, value: Any) -> None:
    array = asarray(value)._data
    if array.dtype != original.dtype:
        raise DTypeError(f"right_inverse: expected a value of dtype {original.dtype}, got {array.dtype}")
    original.data = array.copy()


def _alike(original: Any, value: Any) -> Any:
    """The value as a parameter or a buffer, like the original."""
    value = asarray(value).detach()
    if isinstance(original, Parameter):
        return Parameter(value, original.requires_grad)
    return Buffer(value, original.persistent)


def _check(value: Any, shape: Shape, dtype: DTypeLike | None, what: str) -> None:
    if not isinstance(value, Tensor):
        raise DTypeError(
            f"register_parametrization: expected a Tensor from {what}, got {type(value).__name__}"
        )
    if value.dtype != dtype:
        raise DTypeError(
            f"register_parametrization: expected {dtype} from {what}, got {value.dtype}. Pass unsafe=True to allow it."
        )
    if value.shape != shape:
        raise ShapeError(
            f"register_parametrization: expected the shape {shape} from {what}, "
            f"got {value.shape}. Pass unsafe=True to allow it."
        )


class _Computed(property):
    """The attribute of a parametrized module's class that computes the tensor."""

    def __init__(self, name: str) -> None:
        def read(module: Module) -> Any:
            if not _caches:
                return module.parametrizations[name]()
            cache, key = _caches[-1], (id(module), name)
            if key not in cache:
                cache[key] = module.parametrizations[name]()
            return cache[key]

        def write(module: Module, value: Any) -> None:
            module.parametrizations[name].right_inverse(value)

        super().__init__(read, write)


def _reduced(module: Module, protocol: Any) -> Any:
    base, names = type_before_parametrizations(module), tuple(module.parametrizations)
    return _rebuilt, (base, names), vars(module)


def _rebuilt(base: Any, names: tuple[str, ...]) -> Any:
    module = base.__new__(base)
    module.__class__ = _class(base, names)
    return module


def _class(base: Any, names: tuple[str, ...]) -> Any:
    """A new subclass for one module, because properties belong to classes."""
    # The generated class cannot be imported by name, so pickling goes by its base class.
    members = {"__reduce_ex__": _reduced} | {name: _Computed(name) for name in names}
    return type(f"Parametrized{base.__name__}", (base,), members)


@checked
def register_parametrization(
    module: M, tensor_name: str, parametrization: Module, *, unsafe: bool = False
) -> M:
    """Compute a parameter or buffer of a module by another module, whenever it is read; returns the module.

    module.weight is then parametrization(original), or that of the earlier ones; `original` is what is trained, at
    module.parametrizations.weight.original. With a method right_inverse(value) the parametrization says which original
    gives a value, now and when one is assigned; a tuple from it makes several originals. Raises ValueError if the
    module has no such tensor, or if dtype or shape change (`unsafe=True` allows it).
    >>> from tinygrad_dl.nn import Linear, ReLU
    >>> bool((register_parametrization(Linear(2, 3), "weight", ReLU()).weight >= 0).all())
    True
    """
    parametrization.train(module.training)
    if is_parametrized(module, tensor_name):
        parametrizations = module.parametrizations[tensor_name]
        if not unsafe:
            before = getattr(module, tensor_name)
            after = parametrization(before)
            _check(after, before.shape, before.dtype, "the parametrization")
            if hasattr(parametrization, "right_inverse"):
                try:
                    _check(
                        parametrization.right_inverse(after),
                        before.shape,
                        before.dtype,
                        "right_inverse",
                    )
                except NotImplementedError:
                    pass
        parametrizations.append(parametrization)
        parametrizations.unsafe |= unsafe
        return module
    original = vars(module).get(tensor_name)
    if not isinstance(original, (Parameter, Buffer)):
        raise ValueRangeError(
            f"register_parametrization: {type(module).__name__} has no parameter or buffer {tensor_name!r}"
        )
    parametrized = ParametrizationList([parametrization], original, unsafe)
    if not is_parametrized(module):
        module.parametrizations = ModuleDict()
        module.__class__ = _class(type(module), ())
    module.parametrizations[tensor_name] = parametrized
    delattr(module, tensor_name)
    setattr(type(module), tensor_name, _Computed(tensor_name))
    return module


@checked
def is_parametrized(module: Module, tensor_name: str | None = None) -> bool:
    """Whether a module has a parametrization: of this tensor, or of any."""
    if not isinstance(module, Module):
        raise DTypeError(f"is_parametrized: module: expected a Module, got {describe(module)}")
    registered = vars(module).get("parametrizations")
    return isinstance(registered, ModuleDict) and (
        len(registered) > 0 if tensor_name is None else tensor_name in registered
    )


@checked
def remove_parametrizations(module: M, tensor_name: str, leave_parametrized: bool = True) -> M:
    """Make a parametrized tensor a parameter or buffer again; returns the module.

    Its value stays, or with `leave_parametrized=False` becomes the original's. Raises ValueError if it is not
    parametrized, or if there are several originals.
    """
    if not is_parametrized(module, tensor_name):
        raise ValueRangeError(
            f"remove_parametrizations: {type(module).__name__}.{tensor_name} is not parametrized"
        )
    parametrizations = module.parametrizations[tensor_name]
    if not parametrizations.is_tensor and not leave_parametrized:
        raise ValueRangeError(
            f"remove_parametrizations: {tensor_name} is computed from {parametrizations.ntensors} tensors; "
            "only its present value can be left. Pass leave_parametrized=True."
        )
    original = parametrizations._originals()[0]
    if leave_parametrized:
        with no_grad():
            value = getattr(module, tensor_name)
        if parametrizations.is_tensor:
            original.data = value._data.copy()
        else:
            original = _alike(original, value)
    delattr(type(module), tensor_name)
    del module.parametrizations[tensor_name]
    setattr(module, tensor_name, original)
    if not is_parametrized(module):
        del vars(module)["parametrizations"]
        module.__class__ = type(module).__bases__[0]
    return module


@checked
def type_before_parametrizations(module: Module) -> type:
    """The class of a module as it was before it was parametrized."""
    return type(module).__bases__[0] if is_parametrized(module) else type(module)


@checked
def transfer_parametrizations_and_params(
    from_module: Module, to_module: M, tensor_name: str | None = None
) -> M:
    """Parametrize another module by the same modules and originals, in all tensors or in one; returns it."""
    if is_parametrized(from_module):
        for name in from_module.parametrizations if tensor_name is None else [tensor_name]:
            parametrizations = from_module.parametrizations[name]
            if not hasattr(to_module, name):
                setattr(to_module, name, Parameter(getattr(from_module, name).detach()))
            for parametrization in parametrizations:
                register_parametrization(to_module, name, parametrization, unsafe=parametrizations.unsafe)
            for key, original in vars(parametrizations).items():
                if isinstance(original, (Parameter, Buffer)):
                    setattr(to_module.parametrizations[name], key, original)
    return to_module
