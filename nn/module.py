"""Module: the base of every layer and model. Its parameters are found by walking its attributes when asked."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeVar
from weakref import ref

import numpy as np

from tinygrad_dl.arguments import checked, explanation, with_arrays
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import zeros
from tinygrad_dl.errors import DTypeError, TinygradError, ValueRangeError
from tinygrad_dl.graph import Value, next_serial
from tinygrad_dl.modes import effect
from tinygrad_dl.nn import state
from tinygrad_dl.nn.hooks import Removable, call_with_hooks
from tinygrad_dl.nn.parameter import Buffer, Parameter, Uninitialized
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import ArrayLike, DTypeLike, readable

M = TypeVar("M", bound="Module")
PACKAGE = f"{__name__.rpartition('.')[0]}."


@readable
class Module:
    """Base class of layers and models: a subclass sets parameters and modules as attributes and defines `forward`.

    Parameters, buffers and modules are found among the attributes, also in lists, tuples and dicts, in order of
    definition; `super().__init__()` is allowed and not needed.
    >>> class Double(Module):
    ...     def __init__(self):
    ...         self.factor = Parameter([2.0])
    ...     def forward(self, x):
    ...         return x * self.factor
    >>> Double()(Tensor([1.0, 3.0]))
    Tensor([2., 6.], op=multiply)
    """

    training: bool = True
    _reference: type[Reference]
    _hooks: Any = None  # hooks.Hooks, once one is registered
    # The names of parameters (None) and buffers (persistent or not) whose value is None: of a class, and of a module.
    _optional: Mapping[str, bool | None] = {}
    _absent: Mapping[str, bool | None] | None = None
    # The names of Tensors that a hook computes before each forward.
    _computed: tuple[str, ...] = ()

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """The computation of the module, which every subclass defines."""
        raise DTypeError(f"{type(self).__name__} has no forward method: define `def forward(self, x): ...`")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Compute `forward` of the arguments, with the hooks around it."""
        start = next_serial()
        try:
            if self._hooks is None:
                out = self.forward(*args, **kwargs)
            else:
                given, named = _arrays(self, args, kwargs) or (args, kwargs)
                out = call_with_hooks(self, self._hooks, given, named)
        except Exception as error:
            out, problem = _again(self, args, kwargs, error)
            if problem is error:
                raise
            if problem is not None:
                raise problem from None
        if isinstance(out, Value):
            node = out.node
            if node is not None and node.serial < start:
                node.scope = self._reference(self), start, next_serial(), node.scope
        elif isinstance(out, tuple):
            self._record(out, start)
        return out

    def __init_subclass__(cls, **options: Any) -> None:
        super().__init_subclass__(**options)
        cls._reference = _reference_to(cls)
        # The package's own layers declare their arguments; a user's class may annotate as it likes.
        if cls.__module__.startswith(PACKAGE) and "__init__" in vars(cls):
            cls.__init__ = checked(cls.__init__)  # type: ignore[method-assign]
        readable(cls)

    def _record(self, out: Any, start: int) -> None:
        stop = next_serial()
        for part in out:
            if isinstance(part, Value) and part.node is not None and part.node.serial < start:
                part.node.scope = self._reference(self), start, stop, part.node.scope
            elif isinstance(part, tuple):
                self._record(part, start)

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(before, (Parameter, Buffer)):
            if value is None:  # the name still stands for a parameter, or a buffer
                self._absent = {**(self._absent or {}), name: _kept(before)}
            elif not isinstance(value, Parameter if isinstance(before, Parameter) else (Parameter, Buffer)):
                value = self._in_place(name, value, _kept(before))
        elif before is None and value is not None and name in self.__dict__:
            known = self._absent if self._absent and name in self._absent else self._optional
            if name in known and not isinstance(value, (Parameter, Buffer)):
                value = self._in_place(name, value, known[name])
        object.__setattr__(self, name, value)

    def _in_place(self, name: str, value: Any, persistent: bool | None) -> Any:
        """What is stored for a value under the name of a buffer, or, if `persistent` is None, of a parameter."""
        if persistent is not None and isinstance(value, (Tensor, np.ndarray, list)):
            return Buffer(value, persistent)
        if persistent is not None:
            raise DTypeError(
                f"{type(self).__name__}.{name} is a buffer: expected a Tensor, an array or None, got {describe(value)}"
            )
        # Silently it would be neither trained nor saved.
        raise DTypeError(
            f"{type(self).__name__}.{name} is a Parameter: expected a Parameter or None, got {describe(value)}. "
            f"Assign nn.Parameter(...), or write to {name}.data."
        )

    def __getattr__(self, name: str) -> Any:
        # Reached only when the attribute does not exist.
        if name.startswith("__"):  # Python and its libraries ask for many of these
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}")
        from tinygrad_dl.vocabulary import hint as elsewhere

        near = [n for n in dir(type(self)) + list(vars(self)) if n.lower() == name.lower()]
        known = "" if name.startswith("_") else elsewhere("Module", name)
        hint = f". Did you mean {near[0]!r}?" if near else f": {known}" if known else ""
        raise AttributeError(f"{type(self).__name__} has no attribute {name!r}{hint}")

    # Members

    def named_modules(self, prefix: str = "", remove_duplicate: bool = True) -> Iterator[tuple[str, Module]]:
        """This module and all modules inside, outer ones first, with their dotted names."""
        return state.named_modules(self, prefix, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all modules inside, each once, outer ones first."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly inside, each once, with their names."""
        return state.named_children(self)

    def children(self) -> Iterator[Module]:
        """The modules directly inside, each once."""
        return (module for _, module in self.named_children())

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters with their dotted names, in order of definition, shared ones once.

        >>> from tinygrad_dl.nn import Linear
        >>> [name for name, _ in Linear(2, 3).named_parameters()]
        ['weight', 'bias']
        """
        return state.named_tensors(self, Parameter, prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, in order of definition, shared ones once; what an optimizer takes."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Buffer]]:
        """The buffers with their dotted names, in order of definition, shared ones once."""
        return state.named_tensors(self, Buffer, prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Buffer]:
        """The buffers, in order of definition, shared ones once."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module inside with this dotted name; "" is the module itself. Raises AttributeError."""
        return _found(self, target, dict(self.named_modules(remove_duplicate=False)), "module")

    def get_parameter(self, target: str) -> Parameter:
        """The parameter with this dotted name. Raises AttributeError."""
        return _found(self, target, dict(self.named_parameters(remove_duplicate=False)), "parameter")

    def get_buffer(self, target: str) -> Buffer:
        """The buffer with this dotted name. Raises AttributeError."""
        return _found(self, target, dict(self.named_buffers(remove_duplicate=False)), "buffer")

    def set_submodule(self, target: str, module: Module, strict: bool = False) -> None:
        """Replace the module with this dotted name; `strict`: it must exist. Raises AttributeError."""
        state.set_submodule(self, target, module, strict)

    # Registering under a computed name

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Set `param` as an attribute; None registers the name without a parameter."""
        if param is not None and not isinstance(param, Parameter):
            raise DTypeError(f"register_parameter: expected a Parameter or None, got {type(param).__name__}")
        setattr(self, _checked(name), param)
        if param is None:
            self._absent = {**(self._absent or {}), name: None}

    def register_buffer(self, name: str, tensor: ArrayLike | None, persistent: bool = True) -> None:
        """Make an array or Tensor a buffer: saved with the module (if persistent), not trained.

        With None, a Tensor that is assigned later becomes one.
        """
        setattr(self, _checked(name), None if tensor is None else Buffer(tensor, persistent))
        if tensor is None:
            self._absent = {**(self._absent or {}), name: persistent}

    def register_module(self, name: str, module: Module | None) -> None:
        """Make a module an attribute under a computed name."""
        if module is not None and not isinstance(module, Module):
            raise DTypeError(f"register_module: expected a Module or None, got {type(module).__name__}")
        setattr(self, _checked(name), module)

    add_module = register_module

    # Saving

    def state_dict(self, *, prefix: str = "") -> dict[str, np.ndarray]:
        """Copies of all parameters and persistent buffers, by name; `prefix` is prepended to each name unchanged.

        A module that defines get_extra_state() and set_extra_state(state) saves that too, as "_extra_state".

        >>> from tinygrad_dl.nn import Linear
        >>> {name: array.shape for name, array in Linear(2, 3).state_dict().items()}
        {'weight': (3, 2), 'bias': (3,)}
        """
        return state.save(self, prefix)

    def architecture(self, preprocess: Any = None) -> tuple[str, dict[str, np.ndarray]]:
        """What `save` writes beside the weights, so that `load_model` builds the module again.

        A description as JSON, and the arrays that it needs and state_dict has not; or the reason why there is none.
        """
        from tinygrad_dl.nn.architecture import described

        return described(self, preprocess)

    def load_state_dict(
        self, state_dict: Mapping[str, Any], strict: bool = True, assign: bool = False
    ) -> state.Mismatch:
        """Load arrays by name into parameters and buffers: all of them, or on an error none.

        `strict`: names must be exactly those of state_dict(). `assign`: the arrays themselves, uncopied and in their
        dtypes, replace the existing ones. Returns the names missing and unexpected.
        Raises ValueError for names, ShapeError for shapes.
        """
        return state.load(self, state_dict, strict, assign)

    # Changing all modules and parameters

    def apply(self: M, fn: Callable[[Module], Any]) -> M:
        """Call `fn` with every module inside, children first, and with this one; returns the module."""
        for module in state.inner_first(self):
            fn(module)
        return self

    def train(self: M, mode: bool = True) -> M:
        """Switch dropout, batch normalization and the like to training, here and in all modules inside."""
        if not isinstance(mode, bool):
            raise DTypeError(f"train: expected True or False, got {mode!r}")
        for module in self.modules():
            if vars(module).get("training") is not mode:  # an entry of its own, also for the default
                effect(_switch, module, mode, changes=(module,))
        return self

    def eval(self: M) -> M:
        """Switch to evaluation: dropout is off, batch normalization uses its running statistics."""
        return self.train(False)

    def requires_grad_(self: M, requires_grad: bool = True) -> M:
        """Train all parameters, or with False freeze them."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop all gradients, or with `set_to_none=False` fill them with zeros."""
        for parameter in self.parameters():
            if set_to_none or parameter.grad is None:
                parameter.grad = None
            else:
                parameter.grad = zeros(parameter.shape, dtype=parameter.dtype)

    def astype(self: M, dtype: DTypeLike) -> M:
        """Convert floating parameters and buffers, and their gradients, to a floating or complex dtype, in place.

        Complex ones become another complex dtype only: a real one would drop their imaginary parts.
        """
        new = np.dtype(dtype)
        if new.kind not in "fc":
            raise DTypeError(f"astype: expected a floating-point or complex dtype, got {new}")
        for _, tensor in [*self.named_parameters(), *self.named_buffers()]:
            if isinstance(tensor, Uninitialized):
                tensor.convert(new)
            elif tensor.dtype.kind in ("f", new.kind) and tensor.dtype != new:
                grad, tensor.grad = tensor.grad, None
                tensor.data = tensor._data.astype(new)
                tensor.grad = None if grad is None else grad._data.astype(new)
        return self

    def to(self: M, *args: Any, **kwargs: Any) -> M:
        """Convert to a dtype, as astype; "cpu" is the only device."""
        dtype = state.requested_dtype("to", args, kwargs)
        return self if dtype is None else self.astype(dtype)

    def cpu(self: M) -> M:
        """Returns the module unchanged: the CPU is the only device."""
        return self

    def cuda(self: M, device: str | None = None) -> M:
        """Raises ValueRangeError: the CPU is the only device."""
        return self.to("cuda")

    def float(self: M) -> M:
        """Convert floating parameters and buffers to float32."""
        return self.astype(np.float32)

    def double(self: M) -> M:
        """Convert floating parameters and buffers to float64."""
        return self.astype(np.float64)

    def half(self: M) -> M:
        """Convert floating parameters and buffers to float16."""
        return self.astype(np.float16)

    # Hooks

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Removable:
        """Call `hook(module, args)` before forward; what it returns, unless None, replaces the arguments.

        `prepend`: before the hooks already registered, not after them.
        """
        return Removable(self, "before", hook, with_kwargs, prepend)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> Removable:
        """Call `hook(module, args, output)` after forward; what it returns, unless None, replaces the output.

        `prepend`: before the hooks already registered. Returns a handle whose remove() unregisters the hook; it is
        also a context manager.
        """
        return Removable(self, "after", hook, with_kwargs, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Removable:
        """Call `hook(module, grad_input, grad_output)` in each backward pass, once the inputs' gradients are complete.

        Both are tuples, with an entry for each positional argument and each output: None for what is not a Tensor,
        zeros for an input that got no gradient. What the hook returns, unless None, replaces the gradients of the
        inputs. If no input requires grad, the hook runs when the gradients of the outputs are complete. Outputs are
        a Tensor or a tuple of Tensors; for anything else the hook is not called, with a warning.
        """
        return Removable(self, "backward", hook, False, prepend)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> Removable:
        """Call `hook(module, grad_output)` when the gradients of all outputs are complete; may replace them."""
        return Removable(self, "backward_pre", hook, False, prepend)

    def register_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Removable:
        """Call `hook(module, prefix, keep_vars)` before state_dict() reads the module."""
        return Removable(self, "saving", hook, False)

    def register_state_dict_post_hook(self, hook: Callable[..., Any]) -> Removable:
        """Call `hook(module, state_dict, prefix, local_metadata)` after state_dict(); it may change the dict."""
        return Removable(self, "saved", hook, False)

    def register_load_state_dict_pre_hook(self, hook: Callable[..., Any]) -> Removable:
        """Call `hook(module, state_dict, prefix, local_metadata, strict, missing, unexpected, errors)` before loading.

        The dict is a copy, which the hook may change; so are the three lists, to which it may add.
        """
        return Removable(self, "loading", hook, False)

    def register_load_state_dict_post_hook(self, hook: Callable[..., Any]) -> Removable:
        """Call `hook(module, mismatch)` after loading; it may remove names from the mismatch's two lists."""
        return Removable(self, "loaded", hook, False)

    # Representation

    def extra_repr(self) -> str:
        """The text between the parentheses of the module's repr."""
        return ""

    def _get_name(self) -> str:
        return type(self).__name__

    def __repr__(self) -> str:
        own = self.extra_repr().split("\n") if self.extra_repr() else []
        inside = []
        for name, child in state.named_children(self, remove_duplicate=False):
            inside.append(f"({name}): " + repr(child).replace("\n", "\n  "))
        if not inside and len(own) <= 1:
            return f"{self._get_name()}({own[0] if own else ''})"
        return f"{self._get_name()}(\n  " + "\n  ".join(own + inside) + "\n)"

    def _repr_html_(self) -> str:
        from tinygrad_dl.nn.summary import counted

        return counted(self)._repr_html_()

    def summary(self, *inputs: Any, **options: Any) -> Any:
        """A table of the layers with shapes, parameters, multiply-adds and memory; see nn.summary."""
        from tinygrad_dl.nn.summary import summary

        return summary(self, *inputs, **options)


class Reference(ref["Module"]):
    """A weak reference to a module that knows its class when the module is gone, such as a loss made in the call."""

    __slots__ = ()
    kind = ""


def _reference_to(cls: type[Module]) -> type[Reference]:
    # A class for each class of modules: an attribute of each reference would be set at every call of a module.
    return type("Reference", (Reference,), {"__slots__": (), "kind": cls.__name__})


Module._reference = _reference_to(Module)


def _switch(module: Module, mode: bool) -> None:
    module.training = mode


def _kept(tensor: Parameter | Buffer) -> bool | None:
    """Whether state_dict saves a buffer; None for a parameter."""
    return tensor.persistent if isinstance(tensor, Buffer) else None


def _checked(name: str) -> str:
    if not isinstance(name, str) or not name or "." in name:
        raise ValueRangeError(f"expected a name that is a nonempty string without dots, got {name!r}")
    if hasattr(Module, name):
        raise ValueRangeError(f"{name!r} is an attribute of every Module; choose another name")
    return name


def _found(self: Module, target: str, known: dict[str, Any], what: str) -> Any:
    if target in known:
        return known[target]
    raise AttributeError(
        f"{type(self).__name__} has no {what} {target!r}; it has {', '.join(filter(None, known)) or 'none'}"
    )


def _is_ours(self: Module) -> bool:
    """Whether the package defines what the module computes, and so knows what its arguments mean."""
    return str(type(self).forward.__module__).startswith(PACKAGE)


def _arrays(self: Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """The arguments with lists of numbers as Tensors; None if there is nothing to convert."""
    if not _is_ours(self):
        return None
    changed = with_arrays(type(self).forward, (self, *args), kwargs)
    return None if changed is None else (changed[0][1:], changed[1])


def _again(
    self: Module, args: tuple[Any, ...], kwargs: dict[str, Any], error: Exception
) -> tuple[Any, Exception | None]:
    """After a failed call: its result with lists as Tensors, or the error to raise, explained and located."""
    converted = _arrays(self, args, kwargs) if self._hooks is None else None
    if converted is not None:
        args, kwargs = converted
        try:
            return self.forward(*args, **kwargs), None
        except Exception as second:
            error = second
    if _is_ours(self):
        function, name = type(self).forward, type(self).__name__
        if not hasattr(error, "_raised_in"):  # else a layer inside has explained it
            error = explanation(function, (self, *args), kwargs, error, name) or error
    locate(self, error)
    return None, error


def locate(self: Module, error: Exception) -> None:
    """Add to an error the place in this module where it was raised."""
    trail: Any = getattr(error, "_raised_in", None)
    if trail is None:
        trail = (str(error), self, "", repr(self).partition("\n")[0].rstrip("("))
    else:
        text, below, path, leaf = trail
        name = next((n for n, child in state.named_children(self) if child is below), None)
        trail = (text, self, f"{name}.{path}".rstrip(".") if name is not None else path, leaf)
    text, _, path, leaf = trail
    where = f"in {type(self).__name__}.{path}: {leaf}" if path else f"in {leaf}"
    error._raised_in = trail  # type: ignore[attr-defined]
    if isinstance(error, TinygradError):
        error.args = (f"{text} [{where}]",)
    elif hasattr(error, "__notes__") or hasattr(error, "add_note"):
        notes = [n for n in getattr(error, "__notes__", []) if not n.startswith("Raised in ")]
        error.__notes__ = [*notes, f"Raised {where}"]  # pyright: ignore[reportAttributeAccessIssue]
