"""PyTorch's names over this engine: `import tinygrad_dl.torch as torch`, and a program for PyTorch runs.

Tensors have PyTorch's methods and semantics, `torch.nn`, `torch.optim`, `torch.utils.data` and the others its classes,
and `torch.manual_seed` its random numbers. The core knows nothing of this layer.

>>> import tinygrad_dl.torch as torch
>>> x = torch.arange(6.0).view(2, 3).requires_grad_()
>>> x.std(dim=1).sum().backward()
>>> x.grad
tensor([[-0.5000,  0.0000,  0.5000],
        [-0.5000,  0.0000,  0.5000]])
"""

from __future__ import annotations

import math as _math
import sys as _sys
from contextlib import suppress as _suppress
from functools import partial as _partial
from importlib.util import find_spec as _find_spec
from types import SimpleNamespace
from typing import Any

from tinygrad_dl.modes import is_grad_enabled as is_grad_enabled
from tinygrad_dl.torch import accelerator as accelerator
from tinygrad_dl.torch import amp as amp
from tinygrad_dl.torch import autograd as autograd
from tinygrad_dl.torch import backends as backends
from tinygrad_dl.torch import creation as _creation
from tinygrad_dl.torch import cuda as cuda
from tinygrad_dl.torch import distributed as distributed
from tinygrad_dl.torch import dtypes as _dtypes
from tinygrad_dl.torch import fft as fft
from tinygrad_dl.torch import func as func
from tinygrad_dl.torch import jit as jit
from tinygrad_dl.torch import linalg as linalg
from tinygrad_dl.torch import methods as _methods
from tinygrad_dl.torch import multiprocessing as multiprocessing
from tinygrad_dl.torch import nn as nn
from tinygrad_dl.torch import onnx as onnx
from tinygrad_dl.torch import optim as optim
from tinygrad_dl.torch import random as random
from tinygrad_dl.torch import serialization as serialization
from tinygrad_dl.torch import sparse as sparse
from tinygrad_dl.torch import special as special
from tinygrad_dl.torch import testing as testing
from tinygrad_dl.torch import types as types
from tinygrad_dl.torch import utils as utils
from tinygrad_dl.torch.boundary import made as _made
from tinygrad_dl.torch.dtypes import Size as Size
from tinygrad_dl.torch.dtypes import can_cast as can_cast
from tinygrad_dl.torch.dtypes import device as device
from tinygrad_dl.torch.dtypes import dtype as dtype
from tinygrad_dl.torch.dtypes import finfo as finfo
from tinygrad_dl.torch.dtypes import get_default_dtype as get_default_dtype
from tinygrad_dl.torch.dtypes import iinfo as iinfo
from tinygrad_dl.torch.dtypes import promote_types as promote_types
from tinygrad_dl.torch.dtypes import result_type as result_type
from tinygrad_dl.torch.dtypes import set_default_dtype as set_default_dtype
from tinygrad_dl.torch.func import vmap as vmap
from tinygrad_dl.torch.grad_mode import enable_grad as enable_grad
from tinygrad_dl.torch.grad_mode import inference_mode as inference_mode
from tinygrad_dl.torch.grad_mode import is_inference_mode_enabled as is_inference_mode_enabled
from tinygrad_dl.torch.grad_mode import no_grad as no_grad
from tinygrad_dl.torch.grad_mode import set_grad_enabled as set_grad_enabled
from tinygrad_dl.torch.printing import set_printoptions as set_printoptions
from tinygrad_dl.torch.random import Generator as Generator
from tinygrad_dl.torch.random import default_generator as default_generator
from tinygrad_dl.torch.random import initial_seed as initial_seed
from tinygrad_dl.torch.random import manual_seed as manual_seed
from tinygrad_dl.torch.random import seed as seed
from tinygrad_dl.torch.registry import IN_PLACE as _IN_PLACE
from tinygrad_dl.torch.registry import TORCH as _TORCH
from tinygrad_dl.torch.serialization import load as load
from tinygrad_dl.torch.serialization import save as save
from tinygrad_dl.torch.shaping import broadcast_shapes as broadcast_shapes
from tinygrad_dl.torch.sparse import sparse_coo_tensor as sparse_coo_tensor
from tinygrad_dl.torch.sparse import sparse_csr_tensor as sparse_csr_tensor
from tinygrad_dl.torch.tensor import Tensor as Tensor
from tinygrad_dl.torch.tensor import strided as strided

__version__ = "2.13.0+tinygrad_dl"
pi, e, inf, nan, newaxis = _math.pi, _math.e, _math.inf, _math.nan, None
contiguous_format, preserve_format, channels_last, channels_last_3d = (
    "contiguous_format",
    "preserve_format",
    "channels_last",
    "channels_last_3d",
)

globals().update({name: f for name, f in _TORCH.items() if not name.startswith("special_")})
globals().update({name: one for name, one in vars(_dtypes).items() if isinstance(one, _dtypes.dtype)})
globals().update(_creation.TYPED)
for _name in (
    "tensor as_tensor asarray from_numpy frombuffer from_dlpack arange linspace logspace eye zeros ones empty full "
    "zeros_like ones_like empty_like full_like scalar_tensor empty_strided rand randn randint randperm rand_like "
    "randn_like randint_like normal bernoulli multinomial poisson binomial bartlett_window blackman_window "
    "hamming_window hann_window kaiser_window unravel_index"
).split():
    globals()[_name] = getattr(_creation, _name)
range = _creation.range_
for _name in (
    "clone numel is_tensor is_floating_point is_complex is_signed is_nonzero is_same_size is_conj"
).split():
    globals()[_name] = getattr(_methods, _name)
for _name in ("zero_", "fill_", "detach", "detach_", "squeeze_", "unsqueeze_"):
    globals()[_name] = getattr(Tensor, _name)
for _name in _IN_PLACE:  # torch.relu_(x)
    globals().setdefault(f"{_name}_", getattr(Tensor, f"{_name}_"))

# Functions of nn.functional that torch has, too
for _name in (
    "conv1d conv2d conv3d conv_transpose1d conv_transpose2d conv_transpose3d avg_pool1d "
    "max_pool1d max_pool2d max_pool3d "
    "adaptive_avg_pool1d adaptive_max_pool1d batch_norm layer_norm group_norm instance_norm rms_norm bilinear "
    "celu selu prelu rrelu threshold dropout alpha_dropout feature_alpha_dropout feature_dropout "
    "cosine_similarity pairwise_distance pdist embedding embedding_bag pixel_shuffle pixel_unshuffle channel_shuffle "
    "cosine_embedding_loss ctc_loss hinge_embedding_loss kl_div margin_ranking_loss poisson_nll_loss "
    "triplet_margin_loss "
    "binary_cross_entropy_with_logits dropout_ relu_ celu_ selu_ rrelu_ threshold_ hardshrink"
).split():
    if hasattr(nn.functional, _name):
        globals().setdefault(_name, getattr(nn.functional, _name))
feature_dropout = nn.functional.dropout2d
for _name in ("celu", "selu", "rrelu", "threshold", "dropout", "alpha_dropout", "feature_alpha_dropout"):
    globals()[f"{_name}_"] = _partial(getattr(nn.functional, _name), inplace=True)
feature_dropout_ = globals()["dropout_"]
conj_physical_ = getattr(Tensor, "conj_")  # noqa: B009
matrix_rank, nuclear_norm = linalg.matrix_rank, lambda x: _TORCH["norm"](x, "nuc")
layout, memory_format = type(strided), str


def fill(input: Any, value: Any) -> Any:
    """A Tensor of the same shape with one value everywhere."""
    return input.clone().fill_(value)


def get_device(input: Any) -> int:
    """-1: the CPU."""
    return -1


cpu = accelerator
GradScaler = amp.GradScaler
legacy_contiguous_format = contiguous_format
is_neg, resize_as_ = _methods.is_conj, Tensor.resize_as_  # type: ignore[attr-defined]
Tensor.hardshrink, Tensor.prelu = nn.functional.hardshrink, nn.functional.prelu  # type: ignore[attr-defined]


def typename(obj: Any) -> str:
    """The name of an object's type."""
    kind: Any = type(obj)
    return (
        str(kind.type(obj)) if isinstance(obj, Tensor) else f"{type(obj).__module__}.{type(obj).__qualname__}"
    )


def is_storage(obj: Any) -> bool:
    """Whether it is a storage."""
    return isinstance(obj, _methods.Storage)


def set_default_tensor_type(t: Any) -> None:
    """Set the default dtype by a type such as torch.DoubleTensor."""
    kind = _creation.TYPED[t.rpartition(".")[2]] if isinstance(t, str) else t
    set_default_dtype(kind.dtype)


def set_default_device(device: Any) -> None:
    """The CPU; raises for others."""
    _dtypes.check_device(device)


def get_default_device() -> Any:
    """The CPU."""
    return _dtypes.CPU


def get_rng_state() -> Any:
    """Where the default generator is, as a Tensor of bytes."""
    import pickle

    import numpy as np

    return _made(np.frombuffer(pickle.dumps(default_generator.get_state_dict()), np.uint8).copy())


def set_rng_state(new_state: Any) -> None:
    """Set the default generator back."""
    import pickle

    default_generator.set_state_dict(pickle.loads(new_state.numpy().tobytes()))


random.get_rng_state, random.set_rng_state = get_rng_state, set_rng_state  # type: ignore[attr-defined]


def _same(*args: Any, **kwargs: Any) -> Any:
    """Accepted, and changes nothing."""


use_deterministic_algorithms = set_num_threads = set_num_interop_threads = set_float32_matmul_precision = (
    _same
)
set_flush_denormal = set_warn_always = set_deterministic_debug_mode = _same


def get_num_threads() -> int:
    """1: threads are NumPy's own affair."""
    return 1


get_num_interop_threads = get_num_threads


def are_deterministic_algorithms_enabled() -> bool:
    """True: the same seed gives the same numbers."""
    return True


def get_float32_matmul_precision() -> str:
    """The highest."""
    return "highest"


def compile(
    model: Any = None,
    *,
    fullgraph: bool = False,
    dynamic: Any = None,
    backend: Any = "inductor",
    mode: Any = None,
    options: Any = None,
    disable: bool = False,
) -> Any:
    """The function, model or training step as a program, made by `tg.compile`; `explain()` says what was done.

    What draws random numbers, writes in place or computes by NumPy runs eagerly, and a warning says so.
    """
    if model is None:
        return _partial(compile, fullgraph=fullgraph, backend=backend, disable=disable)
    if disable or backend == "eager":
        return model
    from tinygrad_dl.torch.compiled import Compiled

    return Compiled(model, fullgraph, "auto")


# Other devices, of which there are none
mps = xpu = mtia = accelerator
version = SimpleNamespace(__version__=__version__, cuda=None, hip=None, git_version=None, debug=False)
for _name in ("mps", "xpu"):
    _sys.modules[f"{__name__}.{_name}"] = accelerator
_sys.modules[f"{__name__}.version"] = version  # type: ignore[assignment]
_sys.modules[f"{__name__}._tensor"] = _sys.modules[Tensor.__module__]
autocast = amp.autocast
get_autocast_dtype = get_autocast_gpu_dtype = get_autocast_cpu_dtype = lambda *args: globals()["float32"]
is_autocast_enabled = lambda *args: False  # noqa: E731
_sys.modules.setdefault(f"{__name__}.cuda.amp", cuda.amp)

if _find_spec("einops") is not None:  # so that its functions take these Tensors
    from tinygrad_dl.torch.einops import register as _register

    with _suppress(ImportError):  # a version that is made differently
        _register()


def __getattr__(name: str) -> Any:
    if name == "distributions":
        from importlib import import_module

        return import_module(f"{__name__}.distributions")
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch", name, globals())
