"""Module, and every layer of the core as one of this layer: with its Tensors, its parameters, its random stream."""

from __future__ import annotations

import inspect
import math
from collections import OrderedDict
from typing import Any

import numpy as np

from tinygrad_dl import nn
from tinygrad_dl.nn.layers.conv import _Conv
from tinygrad_dl.nn.layers.recurrent import _Recurrent
from tinygrad_dl.nn.layers.recurrent_cells import _Cell
from tinygrad_dl.nn.module import Module as CoreModule
from tinygrad_dl.nn.parameter import Uninitialized
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import connect, is_ours, lift, lower, made, without_example
from tinygrad_dl.torch.dtypes import check_device, device, dtype, numpy_of
from tinygrad_dl.torch.nn import functional as F
from tinygrad_dl.torch.nn import init
from tinygrad_dl.torch.nn.parameter import Buffer, Parameter, adopted
from tinygrad_dl.torch.random import default_generator, dropout_draws
from tinygrad_dl.torch.tensor import assign

#: The class of the core -> the class of this layer.
CLASSES: dict[type, type] = {}


class Module(CoreModule):
    """Base of layers and models, with PyTorch's methods."""

    _library = False

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        if args or kwargs:
            raise TypeError(
                f"{type(self).__name__}.__init__() got arguments that it does not take: {args or kwargs}"
            )

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if getattr(type(self), "_library", True) and self._hooks is None:
            return super().__call__(*args, **kwargs)
        if not _from_core(args) and not _from_core(kwargs.values()):
            return super().__call__(*args, **kwargs)
        # a layer of the core calls a user's: in PyTorch's words inside, in the core's outside
        out = super().__call__(*[lift(x) for x in args], **{key: lift(x) for key, x in kwargs.items()})
        return lower(out)

    def _call_impl(self, *args: Any, **kwargs: Any) -> Any:
        return self(*args, **kwargs)

    def _apply(self, fn: Any, recurse: bool = True) -> Any:
        for x in [*self.parameters(recurse), *self.buffers(recurse)]:
            x.data = fn(x.data)
        return self

    def register_buffer(self, name: str, tensor: Any, persistent: bool = True) -> None:
        """Make a Tensor part of the module's state, which is not trained; its memory is shared."""
        if tensor is None:
            super().register_buffer(name, None, persistent)
            return
        given: Any = tensor if isinstance(tensor, Value) else np.asarray(tensor)
        super().register_buffer(name, given, persistent)
        vars(self)[name] = Buffer(tensor, persistent=persistent)

    def __setattr__(self, name: str, value: Any) -> None:
        before = self.__dict__.get(name)
        if isinstance(before, Buffer) and is_ours(value) and not isinstance(value, Parameter):
            vars(self)[name] = Buffer(value.detach(), persistent=before.persistent)
            if value.node is not None:
                vars(self)[name].node = value.node
            return
        if isinstance(before, Parameter) and value is not None and not isinstance(value, Parameter):
            raise TypeError(
                f"cannot assign '{type(value).__name__}' as parameter '{name}' (torch.nn.Parameter or None expected)"
            )
        super().__setattr__(name, value)
        after = self.__dict__.get(name)
        if not getattr(type(self), "_library", True) and type(after) in (
            nn.Buffer,
            nn.Parameter,
        ):  # layers are adopted once they are made
            vars(self)[name] = adopted(after)

    @property
    def _parameters(self) -> Any:
        return OrderedDict((k, v) for k, v in vars(self).items() if isinstance(v, Parameter))

    @property
    def _buffers(self) -> Any:
        return OrderedDict((k, v) for k, v in vars(self).items() if isinstance(v, Buffer))

    @property
    def _modules(self) -> Any:
        return OrderedDict(self.named_children())

    # Hooks: backward's are told gradients in PyTorch's words

    def register_full_backward_hook(self, hook: Any, prepend: bool = False) -> Any:
        """Call `hook(module, grad_input, grad_output)` in each backward pass."""
        return super().register_full_backward_hook(lambda m, a, b: lower(hook(m, lift(a), lift(b))), prepend)

    def register_full_backward_pre_hook(self, hook: Any, prepend: bool = False) -> Any:
        """Call `hook(module, grad_output)` before the module's backward."""
        return super().register_full_backward_pre_hook(lambda m, g: lower(hook(m, lift(g))), prepend)

    register_backward_hook = register_full_backward_hook

    # Saving

    def state_dict(
        self, *args: Any, destination: Any = None, prefix: str = "", keep_vars: bool = False
    ) -> Any:
        """Parameters and persistent buffers by name, sharing their memory."""
        found = super().state_dict(prefix=prefix)
        own = {
            f"{prefix}{name}": x
            for name, x in [
                *self.named_parameters(remove_duplicate=False),
                *self.named_buffers(remove_duplicate=False),
            ]
        }
        result = OrderedDict() if destination is None else destination
        for name, value in found.items():
            if name in own and own[name].shape == np.shape(value):
                result[name] = own[name] if keep_vars else own[name].detach()
            else:
                result[name] = made(np.asarray(value)) if isinstance(value, np.ndarray) else value
        return result

    def load_state_dict(self, state_dict: Any, strict: bool = True, assign: bool = False) -> Any:
        """Load Tensors by name."""
        given = {k: v._data if isinstance(v, Value) else v for k, v in state_dict.items()}
        try:
            found = super().load_state_dict(given, strict, assign)
        except ValueError as error:
            raise RuntimeError(
                f"Error(s) in loading state_dict for {type(self).__name__}:\n\t{error}"
            ) from None
        return Keys(found.missing_keys, found.unexpected_keys)

    # Converting

    def to(self, *args: Any, **kwargs: Any) -> Any:
        """Convert to a dtype; the CPU is the only device."""
        kind = kwargs.get("dtype")
        check_device(kwargs.get("device"))
        for x in args:
            if isinstance(x, Value):
                kind = x.dtype
            elif isinstance(x, (dtype, np.dtype)):
                kind = x
            elif isinstance(x, (str, device, int)) and not isinstance(x, bool):
                check_device(x)
        return self if kind is None else self.astype(numpy_of(kind))

    def type(self, dst_type: Any) -> Any:
        """Convert to a dtype."""
        return self.astype(numpy_of(getattr(dst_type, "dtype", dst_type)))

    def cuda(self, device: Any = None) -> Any:
        """Raises: there is no such device."""
        check_device("cuda")

    def bfloat16(self) -> Any:
        """Convert to float32, which stands for bfloat16."""
        return self.astype(np.float32)

    def to_empty(self, *, device: Any, recurse: bool = True) -> Any:
        """The module: parameters are made with memory."""
        return self

    def share_memory(self) -> Any:
        """The module."""
        return self

    def compile(self, *args: Any, **kwargs: Any) -> None:
        """Nothing: modules run eagerly."""

    def half(self) -> Any:
        """Convert to float16."""
        return self.astype(np.float16)


class Keys:
    """The names that load_state_dict missed, and those it did not expect."""

    def __init__(self, missing: list[str], unexpected: list[str]) -> None:
        self.missing_keys, self.unexpected_keys = missing, unexpected

    def __iter__(self) -> Any:
        return iter((self.missing_keys, self.unexpected_keys))

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"_IncompatibleKeys(missing_keys={self.missing_keys}, unexpected_keys={self.unexpected_keys})"


def _from_core(values: Any) -> bool:
    return any(
        (isinstance(x, Value) and not is_ours(x)) or (isinstance(x, (tuple, list)) and _from_core(x))
        for x in values
    )


def adopt(module: Any) -> Any:
    """Make everything inside of a module of this layer that its constructor made in the core's."""
    known: dict[int, Any] = {}
    for m in list(module.modules()):
        kind = CLASSES.get(type(m))
        if kind is not None:
            m.__class__ = kind
        if "rng" in vars(m):
            vars(m)["rng"] = default_generator if "Fractional" in type(m).__name__ else dropout_draws
        _adopt_inside(vars(m), known)
    return module


def _adopt_inside(holder: Any, known: dict[int, Any]) -> None:
    items = list(holder.items()) if isinstance(holder, dict) else list(enumerate(holder))
    for key, value in items:
        if isinstance(value, Value) and not is_ours(value):
            new = known.setdefault(id(value), adopted(value))
            if new is not value:
                holder[key] = new
        elif type(value) in (list, dict):
            _adopt_inside(value, known)


# What layers draw


def _bound_of(fan: int) -> float:
    return 1 / math.sqrt(fan) if fan > 0 else 0.0


def _reset_linear(self: Any) -> None:
    init.kaiming_uniform_(self.weight, a=math.sqrt(5))
    if self.bias is not None:
        fan, _ = init._calculate_fan_in_and_fan_out(self.weight)
        bound = _bound_of(fan)
        init.uniform_(self.bias, -bound, bound)


def _reset_conv(self: Any) -> None:
    if self.weight._data.size:
        _reset_linear(self)


def _reset_bilinear(self: Any) -> None:
    bound = _bound_of(self.weight.shape[1])
    init.uniform_(self.weight, -bound, bound)
    if self.bias is not None:
        init.uniform_(self.bias, -bound, bound)


def _reset_embedding(self: Any) -> None:
    init.normal_(self.weight)
    if self.padding_idx is not None:
        self.weight._data[self.padding_idx] = 0


def _reset_recurrent(self: Any) -> None:
    bound = _bound_of(self.hidden_size)
    for x in self.parameters():
        init.uniform_(x, -bound, bound)


def _reset_attention(self: Any) -> None:
    _redraw(self.out_proj)
    names = (
        ("in_proj_weight",)
        if self.in_proj_weight is not None
        else ("q_proj_weight", "k_proj_weight", "v_proj_weight")
    )
    for name in names:
        init.xavier_uniform_(getattr(self, name))
    if self.in_proj_bias is not None:
        init.zeros_(self.in_proj_bias)
        init.zeros_(self.out_proj.bias)
    for name in ("bias_k", "bias_v"):
        if getattr(self, name) is not None:
            init.xavier_normal_(getattr(self, name))


RESETS: list[tuple[Any, Any]] = [
    (nn.Linear, _reset_linear),
    (nn.Bilinear, _reset_bilinear),
    (_Conv, _reset_conv),
    ((nn.Embedding, nn.EmbeddingBag), _reset_embedding),
    ((_Recurrent, _Cell), _reset_recurrent),
    (nn.MultiheadAttention, _reset_attention),
]


def _redraw(module: Any) -> None:
    """Draw a module's parameters once more, in the order in which PyTorch's constructor draws them."""
    if isinstance(module, nn.MultiheadAttention):
        _reset_attention(module)
        return
    if isinstance(module, nn.Transformer):
        _redraw_transformer(module)
        return
    for child in module.children():
        _redraw(child)
    reset = next((r for kind, r in RESETS if isinstance(module, kind)), None)
    if reset is not None:
        reset(module)


def _redraw_transformer(module: Any) -> None:
    for stack in (module.encoder, module.decoder):
        layers = list(getattr(stack, "layers", ()))
        if layers:
            _redraw(layers[0])
            for other in layers[1:]:
                for a, b in zip(other.parameters(), layers[0].parameters()):
                    a._data[...] = b._data
    for x in module.parameters():
        if x._data.ndim > 1:
            init.xavier_uniform_(x)


def _has_no_values(module: Any) -> bool:
    return any(isinstance(x, Uninitialized) for x in vars(module).values())


# The classes


def _forward(core_forward: Any) -> Any:
    """A forward of the core on this layer's Tensors."""

    def forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        seen: list[Any] = []
        lowered = [lower(x, seen) for x in args]
        named = {key: lower(x, seen) for key, x in kwargs.items()}
        if any(x is None for x in seen):
            return core_forward(self, *lowered, **named)
        with np.errstate(all="ignore"):
            out = core_forward(self, *lowered, **named)
        result = connect(lift(out), seen, True)
        if self.__dict__.get("inplace") is True and seen and result is not seen[0]:
            return assign(seen[0], result, f"{type(self).__name__}(inplace=True)")
        return result

    forward.__doc__ = without_example(core_forward.__doc__)
    return forward


def _layer(core: type) -> Any:
    """The class of this layer for a class of the core."""
    parameters = inspect.signature(core.__init__).parameters  # type: ignore[misc]
    draws, lazy = "rng" in parameters, hasattr(core, "_become_plain")
    reset = next((r for kind, r in RESETS if issubclass(core, kind)), None)
    if issubclass(core, nn.MultiheadAttention):
        reset = None
    composed = (
        draws and reset is None
    )  # of other layers, whose draws come in the order of PyTorch's constructors

    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        check_device(kwargs.pop("device", None))
        named = {key: lower(x) if key != "dtype" else numpy_of(x) for key, x in kwargs.items()}
        if draws:
            named["rng"] = np.random.default_rng(0)  # what counts is drawn by reset_parameters
        core.__init__(self, *[_argument(x) for x in args], **named)  # type: ignore[misc]
        if "inplace" in parameters:
            self.inplace = bool(named.get("inplace", self.__dict__.get("inplace", False)))
        adopt(self)
        if composed:
            _redraw(self)

    body: dict[str, Any] = {
        "__init__": __init__,
        "__doc__": without_example(core.__doc__),
        "__module__": "tinygrad_dl.torch.nn",
        "_library": True,
        "forward": _forward(core.forward),  # type: ignore[attr-defined]
    }
    if reset is not None:

        def reset_parameters(self: Any, rng: Any = None) -> None:
            """Draw the parameters again."""
            trial = lazy and "_lazy" not in vars(self)  # made for its shapes alone
            if not trial and not _has_no_values(self):
                reset(self)

        body["reset_parameters"] = reset_parameters
    if lazy:
        body["_become_plain"] = _become_plain
    return type(core.__name__, (Module, core), body)


def _become_plain(self: Any) -> None:
    """What a lazy layer does at its first input."""
    del self._lazy
    self.__class__ = CLASSES[self.becomes]


def _argument(x: Any) -> Any:
    return x if isinstance(x, CoreModule) else lower(x)


CONTAINERS = (nn.Sequential, nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
for _name in dir(nn):
    _core = getattr(nn, _name)
    if not (isinstance(_core, type) and issubclass(_core, CoreModule)) or _core is CoreModule:
        continue
    CLASSES[_core] = globals()[_name] = _layer(_core)


def _dropping(name: str) -> None:
    f = getattr(F, name)

    def forward(self: Any, input: Any) -> Any:
        out = f(input, self.p, self.training)
        if self.__dict__.get("inplace") is True and is_ours(input) and out is not input:
            return assign(input, out, f"{type(self).__name__}(inplace=True)")
        return out

    kind = "".join(part.capitalize() for part in name.split("_"))
    globals()[kind].forward = forward


for _name in ("dropout", "dropout1d", "dropout2d", "dropout3d", "alpha_dropout", "feature_alpha_dropout"):
    _dropping(_name)


def _rrelu(self: Any, input: Any) -> Any:
    return F.rrelu(input, self.lower, self.upper, self.training)


globals()["RReLU"].forward = _rrelu


def _softmax_forward(name: str) -> Any:
    f = getattr(F, name)
    return lambda self, input: (
        f(input, self.dim) if is_ours(input) or self.dim is not None else f(lift(input), None)
    )


for _kind, _name in (("Softmax", "softmax"), ("LogSoftmax", "log_softmax"), ("Softmin", "softmin")):
    globals()[_kind].forward = _softmax_forward(_name)


def _flat_weights_names(self: Any) -> list[str]:
    return [name for name, _ in self.named_parameters()]


def _all_weights(self: Any) -> list[list[Any]]:
    groups: dict[str, list[Any]] = {}
    for name, p in self.named_parameters():
        groups.setdefault(name.partition("_l")[2], []).append(p)
    return list(groups.values())


for _name in ("RNN", "LSTM", "GRU"):  # what programs that initialize recurrent layers read
    globals()[_name].all_weights = property(_all_weights)
    globals()[_name]._flat_weights_names = property(_flat_weights_names)
    globals()[_name]._flat_weights = property(lambda self: list(self.parameters()))
