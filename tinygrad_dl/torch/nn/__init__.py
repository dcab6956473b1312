"""torch.nn: the core's modules with PyTorch's Tensors, parameters and random stream."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from types import ModuleType
from typing import Any

from tinygrad_dl.torch import types
from tinygrad_dl.torch.nn import attention as attention
from tinygrad_dl.torch.nn import functional as functional
from tinygrad_dl.torch.nn import init as init
from tinygrad_dl.torch.nn import modules as modules
from tinygrad_dl.torch.nn import parameter as parameter
from tinygrad_dl.torch.nn.modules import CLASSES, Module
from tinygrad_dl.torch.nn.parameter import Buffer, Parameter, UninitializedBuffer, UninitializedParameter

globals().update({kind.__name__: kind for kind in CLASSES.values()})
NLLLoss2d, CrossEntropyLoss2d = globals()["NLLLoss"], globals()["CrossEntropyLoss"]
RNNBase, RNNCellBase = globals()["RNN"].__mro__[2], globals()["RNNCell"].__mro__[2]


class Container(Module):
    """The old base of containers."""


class DataParallel(Module):
    """The module itself, under `module`: there is one device."""

    def __init__(self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0) -> None:
        super().__init__()
        self.module = module

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)


class DistributedDataParallel(DataParallel):
    """The module itself, under `module`: there is one process."""

    def __init__(
        self, module: Any, device_ids: Any = None, output_device: Any = None, dim: int = 0, **how: Any
    ) -> None:
        super().__init__(module)


def data_parallel(module: Any, inputs: Any, *args: Any, **kwargs: Any) -> Any:
    """The module called with the inputs: there is one device."""
    return module(*(inputs if isinstance(inputs, tuple) else (inputs,)))


parallel = ModuleType(f"{__name__}.parallel", "Modules over several devices: there is one.")
vars(parallel).update(
    DataParallel=DataParallel, DistributedDataParallel=DistributedDataParallel, data_parallel=data_parallel
)
sys.modules[parallel.__name__] = parallel

# PyTorch's names for the bases and files of layers: torch.nn.modules.batchnorm.BatchNorm2d, nn.modules.dropout.Dropout
_FILES = (
    "activation",
    "adaptive",
    "batchnorm",
    "container",
    "conv",
    "distance",
    "dropout",
    "flatten",
    "fold",
    "instancenorm",
    "linear",
    "loss",
    "module",
    "normalization",
    "padding",
    "pixelshuffle",
    "pooling",
    "rnn",
    "sparse",
    "transformer",
    "upsampling",
    "channelshuffle",
)
for _name in _FILES:
    _file = ModuleType(f"tinygrad_dl.torch.nn.modules.{_name}", "The layers, under one of PyTorch's paths.")
    vars(_file).update({kind.__name__: kind for kind in CLASSES.values()}, Module=Module)
    sys.modules[_file.__name__] = _file
    setattr(modules, _name, _file)
modules.__path__ = []  # so that `import ...modules.dropout` looks in sys.modules
modules.batchnorm._BatchNorm = globals()["BatchNorm2d"].__mro__[3]  # type: ignore[attr-defined]
modules.batchnorm._NormBase = modules.batchnorm._BatchNorm  # type: ignore[attr-defined]
modules.conv._ConvNd = globals()["Conv2d"].__mro__[3]  # type: ignore[attr-defined]
modules.linear.NonDynamicallyQuantizableLinear = globals()["Linear"]  # type: ignore[attr-defined]
modules.loss._Loss = Module  # type: ignore[attr-defined]


def _ntuple(n: int) -> Any:
    """A function that repeats a number n times, and leaves what has elements as it is."""
    return lambda x: tuple(x) if isinstance(x, Iterable) else (x,) * n


_helpers = ModuleType("tinygrad_dl.torch.nn.modules.utils", "What layers of programs use for their sizes.")
vars(_helpers).update(
    _ntuple=_ntuple, _single=_ntuple(1), _pair=_ntuple(2), _triple=_ntuple(3), _quadruple=_ntuple(4)
)
modules.utils = sys.modules[_helpers.__name__] = _helpers  # type: ignore[attr-defined]
sys.modules[f"{__name__}.common_types"] = types

from tinygrad_dl.torch.nn import utils as utils  # noqa: E402

__all__ = [
    "Buffer",
    "Container",
    "DataParallel",
    "Module",
    "Parameter",
    "UninitializedBuffer",
    "UninitializedParameter",
    "functional",
    "init",
    "modules",
    "utils",
    *[kind.__name__ for kind in CLASSES.values()],
]


def __getattr__(name: str) -> Any:
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch.nn", name, globals())
