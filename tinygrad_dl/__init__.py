"""Reverse-mode autograd in pure Python over NumPy: modules, optimizers, diagrams, a gradient-testing kit."""

# ruff: noqa: E402, F403 - the path below must be set before the imports; stars are for type checkers only

import os
from typing import TYPE_CHECKING

__version__ = "0.1.0"

# In a checkout nn/, optim/ and examples/course/ stand beside this folder; an installed package has them inside.
# Adding their folders lets a plain clone import them, also when it shadows an installed wheel.
_root = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
if os.path.isfile(os.path.join(_root, "setup.cfg")) and os.path.isfile(
    os.path.join(_root, "nn", "module.py")
):
    __path__.extend((_root, os.path.join(_root, "examples")))

import tinygrad_dl.optim.swa_utils  # noqa: F401 - it needs both nn and optim, which do not import it
from tinygrad_dl import autograd, nn, optim, random
from tinygrad_dl.anomaly import detect_anomaly
from tinygrad_dl.autograd import checkpoint
from tinygrad_dl.config import get_default_dtype, manual_seed, set_default_dtype
from tinygrad_dl.creation import (
    arange,
    asarray,
    empty,
    empty_like,
    eye,
    from_dlpack,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    zeros,
    zeros_like,
)
from tinygrad_dl.dtypes import (
    __array_namespace_info__,
    bool,
    can_cast,
    complex64,
    complex128,
    finfo,
    float16,
    float32,
    float64,
    iinfo,
    int8,
    int16,
    int32,
    int64,
    isdtype,
    result_type,
    uint8,
    uint16,
    uint32,
    uint64,
)
from tinygrad_dl.errors import CompileError
from tinygrad_dl.files import load, save
from tinygrad_dl.modes import enable_grad, is_grad_enabled, no_grad, strict_broadcast
from tinygrad_dl.nn.architecture import load_model
from tinygrad_dl.op import OPS, op
from tinygrad_dl.ops.diagonals import diag, trace
from tinygrad_dl.ops.einsum import einsum
from tinygrad_dl.ops.join import broadcast_arrays, meshgrid, split, unstack
from tinygrad_dl.ops.matmul import dot, inner, kron, outer, tensordot
from tinygrad_dl.ops.scan import diff
from tinygrad_dl.ops.sets import unique_all, unique_counts, unique_inverse, unique_values
from tinygrad_dl.ops.shape import moveaxis, swapaxes
from tinygrad_dl.ops.sort import nonzero, where_safe
from tinygrad_dl.ops.statistics import average, interp, median, ptp, quantile
from tinygrad_dl.random import rand, randint, randn, randperm
from tinygrad_dl.tensor import Tensor

if TYPE_CHECKING:
    # At run time the registry and __getattr__ (below) provide these.
    from tinygrad_dl import course as course
    from tinygrad_dl import data as data
    from tinygrad_dl import distributed as distributed
    from tinygrad_dl import fft as fft
    from tinygrad_dl import func as func
    from tinygrad_dl import linalg as linalg
    from tinygrad_dl import onnx as onnx
    from tinygrad_dl import testing as testing
    from tinygrad_dl import torch as torch
    from tinygrad_dl import train as train
    from tinygrad_dl import viz as viz
    from tinygrad_dl.compiler import compile as compile
    from tinygrad_dl.linalg import norm as norm
    from tinygrad_dl.ops.activations import *
    from tinygrad_dl.ops.conv import *
    from tinygrad_dl.ops.diagonals import *
    from tinygrad_dl.ops.dropout import *
    from tinygrad_dl.ops.elementwise import *
    from tinygrad_dl.ops.embedding import *
    from tinygrad_dl.ops.index import *
    from tinygrad_dl.ops.join import *
    from tinygrad_dl.ops.linear import *
    from tinygrad_dl.ops.logic import *
    from tinygrad_dl.ops.losses import *
    from tinygrad_dl.ops.matmul import *
    from tinygrad_dl.ops.normalization import *
    from tinygrad_dl.ops.padding import *
    from tinygrad_dl.ops.pooling import *
    from tinygrad_dl.ops.recurrent import *
    from tinygrad_dl.ops.reduce import *
    from tinygrad_dl.ops.resize import *
    from tinygrad_dl.ops.rounding import *
    from tinygrad_dl.ops.scan import *
    from tinygrad_dl.ops.shape import *
    from tinygrad_dl.ops.sort import *
    from tinygrad_dl.ops.special import *
    from tinygrad_dl.ops.trigonometry import *
    from tinygrad_dl.ops.unfold import *
    from tinygrad_dl.viz.draw import draw as draw

if TYPE_CHECKING:
    # Once more, as a family above imports the name for its own use, such as math's prod: the last one counts.
    from tinygrad_dl.creation import ones as ones
    from tinygrad_dl.ops.elementwise import sqrt as sqrt
    from tinygrad_dl.ops.matmul import dot as dot
    from tinygrad_dl.ops.matmul import inner as inner
    from tinygrad_dl.ops.padding import pad as pad
    from tinygrad_dl.ops.reduce import prod as prod
    from tinygrad_dl.ops.rounding import ceil as ceil
    from tinygrad_dl.ops.rounding import floor as floor

e = 2.718281828459045
pi = 3.141592653589793
inf = float("inf")
nan = float("nan")
newaxis = None
__array_api_version__ = "2024.12"

__all__ = [
    "OPS",
    "CompileError",
    "Tensor",
    "__array_api_version__",
    "__array_namespace_info__",
    "__version__",
    "absolute",
    "arange",
    "asarray",
    "autograd",
    "average",
    "bool",
    "broadcast_arrays",
    "can_cast",
    "checkpoint",
    "complex64",
    "complex128",
    "concatenate",
    "detect_anomaly",
    "diag",
    "diff",
    "dot",
    "e",
    "einsum",
    "empty",
    "empty_like",
    "enable_grad",
    "eye",
    "finfo",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "full",
    "full_like",
    "func",
    "get_default_dtype",
    "iinfo",
    "inf",
    "inner",
    "int8",
    "int16",
    "int32",
    "int64",
    "interp",
    "is_grad_enabled",
    "isdtype",
    "kron",
    "linspace",
    "load",
    "load_model",
    "manual_seed",
    "median",
    "meshgrid",
    "moveaxis",
    "nan",
    "newaxis",
    "nn",
    "no_grad",
    "nonzero",
    "ones",
    "ones_like",
    "op",
    "optim",
    "outer",
    "pi",
    "pow",
    "ptp",
    "quantile",
    "rand",
    "randint",
    "randn",
    "random",
    "randperm",
    "result_type",
    "save",
    "set_default_dtype",
    "split",
    "strict_broadcast",
    "swapaxes",
    "tensordot",
    "trace",
    "uint8",
    "uint16",
    "uint32",
    "uint64",
    "unique_all",
    "unique_counts",
    "unique_inverse",
    "unique_values",
    "unstack",
    "where_safe",
    "zeros",
    "zeros_like",
]

globals().update({_name: _op.function for _name, _op in OPS.items()})
__all__ += OPS  # pyright: ignore[reportUnsupportedDunderAll]
# A second name that NumPy has too.
pow, absolute, concatenate = OPS["power"].function, OPS["abs"].function, OPS["concat"].function


if not TYPE_CHECKING:  # a type checker shall still report unknown names

    def __getattr__(name):
        # What stands above the engine is imported when it is first asked for: the engine's import stays fast.
        from importlib import import_module

        if name == "compile":
            return import_module("tinygrad_dl.compiler").compile
        if name == "draw":
            return import_module("tinygrad_dl.viz").draw
        if name == "norm":
            return import_module("tinygrad_dl.linalg").norm
        if name in (
            "func",
            "linalg",
            "fft",
            "testing",
            "viz",
            "data",
            "distributed",
            "train",
            "onnx",
            "course",
            "torch",
        ):
            return import_module(f"tinygrad_dl.{name}")
        unknown = import_module("tinygrad_dl.vocabulary").unknown
        raise unknown(__name__, name, globals())
