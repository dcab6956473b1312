"""Modules, losses, initialisers and their functions, with PyTorch's names."""

if __name__ != "tinygrad_dl.nn":
    raise ImportError("this folder is the package tinygrad_dl.nn: write `from tinygrad_dl import nn`")

from tinygrad_dl.nn import init
from tinygrad_dl.nn.activation import ReLU, Sigmoid, Tanh
from tinygrad_dl.nn.containers import (
    Flatten,
    Identity,
    ModuleDict,
    ModuleList,
    ParameterDict,
    ParameterList,
    Sequential,
    Unflatten,
)
from tinygrad_dl.nn.dropout import Dropout, Dropout1d, Dropout2d, Dropout3d
from tinygrad_dl.nn.linear import Bilinear, Linear
from tinygrad_dl.nn.loss import BCEWithLogitsLoss, CrossEntropyLoss, MSELoss
from tinygrad_dl.nn.module import Module
from tinygrad_dl.nn.normalization import BatchNorm1d, BatchNorm2d, BatchNorm3d
from tinygrad_dl.nn.parameter import Buffer, Parameter
