"""tinygrad_dl.nn.functional."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor
from tinygrad_dl.nn import functional as F


def t(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).uniform(0.1, 0.9, shape), requires_grad=True)


TABLE = {
    **{name: lambda: with_arguments(t(2, 3)) for name in (
        "relu", "relu6", "elu", "selu", "celu", "gelu", "silu", "mish", "hardswish", "hardsigmoid", "hardtanh",
        "leaky_relu", "logsigmoid", "sigmoid", "tanh", "softplus", "softshrink", "hardshrink", "tanhshrink", "softsign",
        "dropout", "alpha_dropout", "normalize", "rrelu",
    )},
    **{name: lambda: with_arguments(t(2, 3), -1) for name in ("softmax", "softmin", "log_softmax")},
    "cross_entropy": lambda: with_arguments(t(2, 3), np.array([0, 1])),
    "nll_loss": lambda: with_arguments(t(2, 3), np.array([0, 1])),
    **{name: lambda: with_arguments(t(2, 3), t(2, 3)) for name in (
        "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy",
        "binary_cross_entropy_with_logits",
        "kl_div", "poisson_nll_loss", "soft_margin_loss", "cosine_similarity", "pairwise_distance",
    )},
    "linear": lambda: with_arguments(t(2, 3), t(4, 3), t(4)),
    "conv1d": lambda: with_arguments(t(1, 2, 5), t(3, 2, 3), t(3)),
    "conv2d": lambda: with_arguments(t(1, 2, 5, 5), t(3, 2, 3, 3), t(3)),
    "conv_transpose2d": lambda: with_arguments(t(1, 2, 5, 5), t(2, 3, 3, 3), t(3)),
    "max_pool2d": lambda: with_arguments(t(1, 2, 6, 6), 2),
    "avg_pool2d": lambda: with_arguments(t(1, 2, 6, 6), 2),
    "lp_pool2d": lambda: with_arguments(t(1, 2, 6, 6), 2.0, 2),
    "adaptive_avg_pool2d": lambda: with_arguments(t(1, 2, 6, 6), 2),
    "batch_norm": lambda: with_arguments(t(4, 3), t(3).detach(), t(3).detach(), t(3), t(3), True),
    "layer_norm": lambda: with_arguments(t(4, 3), (3,), t(3), t(3)),
    "group_norm": lambda: with_arguments(t(2, 4, 3), 2),
    "rms_norm": lambda: with_arguments(t(4, 3), (3,)),
    "embedding": lambda: with_arguments(np.array([0, 1]), t(4, 3)),
    "one_hot": lambda: with_arguments(np.array([0, 1]), 3),
    "interpolate": lambda: with_arguments(t(1, 2, 4, 4), scale_factor=2),
    "pad": lambda: with_arguments(t(2, 3), (1, 1)),
    "scaled_dot_product_attention": lambda: with_arguments(t(2, 4, 3), t(2, 4, 3), t(2, 4, 3)),
}  # fmt: skip


def calls() -> Iterator[Call]:
    yield from calls_of(F, TABLE)
