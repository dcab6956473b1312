"""torch.nn.utils.fusion: a batch normalization in evaluation as part of the layer before it."""

from __future__ import annotations

import copy
from typing import Any

from tinygrad_dl.torch import creation
from tinygrad_dl.torch.nn.parameter import Parameter


def fuse_conv_bn_weights(
    conv_w: Any,
    conv_b: Any,
    bn_rm: Any,
    bn_rv: Any,
    bn_eps: float,
    bn_w: Any,
    bn_b: Any,
    transpose: bool = False,
) -> tuple[Any, Any]:
    """The weight and bias of a convolution followed by a normalization with these averages."""
    scale = (1.0 if bn_w is None else bn_w) * (bn_rv + bn_eps).rsqrt()
    bias = ((0.0 if conv_b is None else conv_b) - bn_rm) * scale + (0.0 if bn_b is None else bn_b)
    sizes = [1] * conv_w.dim()
    sizes[1 if transpose else 0] = -1
    weight = conv_w * scale.reshape(sizes)
    return Parameter(weight.detach(), conv_w.requires_grad), Parameter(bias.detach(), conv_w.requires_grad)


def fuse_linear_bn_weights(
    linear_w: Any, linear_b: Any, bn_rm: Any, bn_rv: Any, bn_eps: float, bn_w: Any, bn_b: Any
) -> tuple[Any, Any]:
    """The weight and bias of a linear layer followed by a normalization with these averages."""
    return fuse_conv_bn_weights(linear_w, linear_b, bn_rm, bn_rv, bn_eps, bn_w, bn_b)


def fuse_conv_bn_eval(conv: Any, bn: Any, transpose: bool = False) -> Any:
    """A layer that computes what the layer and the normalization compute in evaluation."""
    if conv.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    fused = copy.deepcopy(conv)
    bias = creation.zeros_like(bn.running_mean) if conv.bias is None else conv.bias
    fused.weight, fused.bias = fuse_conv_bn_weights(
        conv.weight, bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose
    )
    return fused


fuse_linear_bn_eval = fuse_conv_bn_eval


def convert_conv2d_weight_memory_format(module: Any, memory_format: Any) -> Any:
    """The module: memory is in order here, whatever the format."""
    return module


convert_conv3d_weight_memory_format = convert_conv2d_weight_memory_format
