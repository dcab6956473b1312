"""The modules of tinygrad_dl.nn: constructors, and calls of the module made."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from tests.fuzz.harness import Call, with_arguments
from tinygrad_dl import Tensor, nn


def t(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).uniform(0.1, 0.9, shape).astype(np.float32))


# The arguments of the constructor, and those of a call (None: the module is made only).
TABLE: dict[str, tuple[Any, Any]] = {
    **{name: (with_arguments(), lambda: with_arguments(t(2, 3))) for name in (
        "ReLU", "ReLU6", "ELU", "SELU", "CELU", "GELU", "SiLU", "Mish", "Hardswish", "Hardsigmoid", "Hardtanh",
        "LeakyReLU",
        "LogSigmoid", "Sigmoid", "Tanh", "Softplus", "Softshrink", "Hardshrink", "Tanhshrink", "Softsign", "Dropout",
        "AlphaDropout", "PReLU", "RReLU", "Flatten", "Identity",
    )},
    **{name: (with_arguments(), lambda: with_arguments(t(2, 3), t(2, 3))) for name in (
        "MSELoss", "L1Loss", "SmoothL1Loss", "HuberLoss", "BCELoss", "BCEWithLogitsLoss", "KLDivLoss", "PoissonNLLLoss",
        "SoftMarginLoss", "CosineSimilarity", "PairwiseDistance",
    )},
    **{name: (with_arguments(), lambda: with_arguments(t(2, 3), np.array([0, 1]))) for name in (
        "CrossEntropyLoss", "NLLLoss", "MultiMarginLoss",
    )},
    "Softmax": (with_arguments(-1), lambda: with_arguments(t(2, 3))),
    "LogSoftmax": (with_arguments(-1), lambda: with_arguments(t(2, 3))),
    "Linear": (with_arguments(3, 2), lambda: with_arguments(t(2, 3))),
    "Bilinear": (with_arguments(3, 4, 2), lambda: with_arguments(t(2, 3), t(2, 4))),
    "Conv1d": (with_arguments(2, 3, 3), lambda: with_arguments(t(1, 2, 6))),
    "Conv2d": (with_arguments(2, 3, 3), lambda: with_arguments(t(1, 2, 6, 6))),
    "Conv3d": (with_arguments(2, 3, 2), lambda: with_arguments(t(1, 2, 4, 4, 4))),
    "ConvTranspose1d": (with_arguments(2, 3, 3), lambda: with_arguments(t(1, 2, 6))),
    "ConvTranspose2d": (with_arguments(2, 3, 3), lambda: with_arguments(t(1, 2, 6, 6))),
    "LazyLinear": (with_arguments(3), lambda: with_arguments(t(2, 3))),
    "LazyConv2d": (with_arguments(3, 3), lambda: with_arguments(t(1, 2, 6, 6))),
    "MaxPool1d": (with_arguments(2), lambda: with_arguments(t(1, 2, 6))),
    "MaxPool2d": (with_arguments(2), lambda: with_arguments(t(1, 2, 6, 6))),
    "AvgPool2d": (with_arguments(2), lambda: with_arguments(t(1, 2, 6, 6))),
    "LPPool2d": (with_arguments(2, 2), lambda: with_arguments(t(1, 2, 6, 6))),
    "AdaptiveAvgPool2d": (with_arguments(2), lambda: with_arguments(t(1, 2, 6, 6))),
    "AdaptiveMaxPool2d": (with_arguments(2), lambda: with_arguments(t(1, 2, 6, 6))),
    "BatchNorm1d": (with_arguments(3), lambda: with_arguments(t(4, 3))),
    "BatchNorm2d": (with_arguments(3), lambda: with_arguments(t(4, 3, 2, 2))),
    "InstanceNorm2d": (with_arguments(3), lambda: with_arguments(t(4, 3, 2, 2))),
    "LayerNorm": (with_arguments(3), lambda: with_arguments(t(4, 3))),
    "RMSNorm": (with_arguments(3), lambda: with_arguments(t(4, 3))),
    "GroupNorm": (with_arguments(2, 4), lambda: with_arguments(t(2, 4, 3))),
    "LocalResponseNorm": (with_arguments(2), lambda: with_arguments(t(1, 4, 2, 2))),
    "Embedding": (with_arguments(4, 3), lambda: with_arguments(np.array([0, 1]))),
    "EmbeddingBag": (with_arguments(4, 3), lambda: with_arguments(np.array([[0, 1]]))),
    "RNN": (with_arguments(3, 4), lambda: with_arguments(t(5, 2, 3))),
    "LSTM": (with_arguments(3, 4), lambda: with_arguments(t(5, 2, 3))),
    "GRU": (with_arguments(3, 4), lambda: with_arguments(t(5, 2, 3))),
    "LSTMCell": (with_arguments(3, 4), lambda: with_arguments(t(2, 3))),
    "MultiheadAttention": (with_arguments(4, 2), lambda: with_arguments(t(5, 2, 4), t(5, 2, 4), t(5, 2, 4))),
    "TransformerEncoderLayer": (with_arguments(4, 2, 8), lambda: with_arguments(t(5, 2, 4))),
    "ConstantPad2d": (with_arguments(1, 0.0), lambda: with_arguments(t(1, 2, 3, 3))),
    "ReflectionPad2d": (with_arguments(1), lambda: with_arguments(t(1, 2, 3, 3))),
    "ZeroPad2d": (with_arguments(1), lambda: with_arguments(t(1, 2, 3, 3))),
    "Upsample": (with_arguments(scale_factor=2), lambda: with_arguments(t(1, 2, 3, 3))),
    "PixelShuffle": (with_arguments(2), lambda: with_arguments(t(1, 4, 3, 3))),
    "Unfold": (with_arguments(2), lambda: with_arguments(t(1, 2, 4, 4))),
    "Fold": (with_arguments((4, 4), 2), lambda: with_arguments(t(1, 8, 9))),
}  # fmt: skip


def calls() -> Iterator[Call]:
    for name, (made, called) in TABLE.items():
        kind = getattr(nn, name)
        yield Call(name, lambda kind=kind, made=made: (kind, *made))  # type: ignore[misc]

        def make(kind: Any = kind, made: Any = made, called: Any = called) -> Any:
            return kind(*made[0], **made[1]), *called()

        yield Call(f"{name} called", make)
