"""A sample of every module of nn: how it is made and what it is called with, for exports and for saved models.

Inputs are float32 with the batch first, unless the sample says which axis the batch is in.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from tinygrad_dl import nn


@dataclass
class Sample:
    """One module and one call of it; `axis`: where each input has its batch; `reason`: why ONNX cannot express it."""

    make: Callable[[], Any]
    inputs: Callable[[np.random.Generator], tuple[Any, ...]]
    axis: Any = True
    reason: str = ""


def normal(*shape: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: (rng.standard_normal(shape, np.float32),)


def pair(*shape: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    return lambda rng: (rng.standard_normal(shape, np.float32), rng.standard_normal(shape, np.float32))


def signs(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.choice([-1.0, 1.0], shape).astype(np.float32)


VECTORS, IMAGES = normal(4, 6), normal(2, 4, 6, 6)
SERIES, VOLUMES = normal(2, 4, 8), normal(2, 4, 4, 4, 3)
STEPS = normal(5, 3, 6)  # steps, examples, features

ACTIVATIONS = {
    name: Sample(make, VECTORS)
    for name, make in {
        "CELU": lambda: nn.CELU(0.7), "ELU": lambda: nn.ELU(0.5), "GELU": nn.GELU, "SELU": nn.SELU,
        "Hardshrink": nn.Hardshrink, "Hardsigmoid": nn.Hardsigmoid, "Hardswish": nn.Hardswish,
        "Hardtanh": lambda: nn.Hardtanh(-0.5, 0.7), "LeakyReLU": lambda: nn.LeakyReLU(0.2), "LogSigmoid": nn.LogSigmoid,
        "Mish": nn.Mish, "PReLU": lambda: nn.PReLU(6), "ReLU": nn.ReLU, "ReLU6": nn.ReLU6, "RReLU": nn.RReLU,
        "Sigmoid": nn.Sigmoid, "SiLU": nn.SiLU, "Softplus": lambda: nn.Softplus(2.0, 1.0), "Softshrink": nn.Softshrink,
        "Softsign": nn.Softsign, "Tanh": nn.Tanh, "Tanhshrink": nn.Tanhshrink,
        "Threshold": lambda: nn.Threshold(0.1, 2.0), "LogSoftmax": lambda: nn.LogSoftmax(-1),
        "Softmax": lambda: nn.Softmax(1), "Softmin": lambda: nn.Softmin(1), "GLU": nn.GLU, "Identity": nn.Identity,
        "Dropout": nn.Dropout, "AlphaDropout": nn.AlphaDropout, "FeatureAlphaDropout": nn.FeatureAlphaDropout,
        "Linear": lambda: nn.Linear(6, 3), "LayerNorm": lambda: nn.LayerNorm(6), "RMSNorm": lambda: nn.RMSNorm(6),
        "BatchNorm1d": lambda: nn.BatchNorm1d(6), "SyncBatchNorm": lambda: nn.SyncBatchNorm(6),
        "LazyLinear": lambda: nn.LazyLinear(3), "LazyBatchNorm1d": nn.LazyBatchNorm1d,
        "Unflatten": lambda: nn.Unflatten(1, (2, 3)),
    }.items()
}  # fmt: skip

ON_IMAGES = {
    name: Sample(make, IMAGES)
    for name, make in {
        "Softmax2d": nn.Softmax2d, "Dropout2d": nn.Dropout2d, "Flatten": nn.Flatten,
        "Conv2d": lambda: nn.Conv2d(4, 6, 3, stride=2, padding=1, groups=2),
        "ConvTranspose2d": lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1),
        "LazyConv2d": lambda: nn.LazyConv2d(3, 3, padding="same"),
        "LazyConvTranspose2d": lambda: nn.LazyConvTranspose2d(3, 3),
        "BatchNorm2d": lambda: nn.BatchNorm2d(4), "LazyBatchNorm2d": nn.LazyBatchNorm2d,
        "InstanceNorm2d": lambda: nn.InstanceNorm2d(4, affine=True, track_running_stats=True),
        "LazyInstanceNorm2d": nn.LazyInstanceNorm2d, "GroupNorm": lambda: nn.GroupNorm(2, 4),
        "LocalResponseNorm": lambda: nn.LocalResponseNorm(3),
        "AvgPool2d": lambda: nn.AvgPool2d(3, 2, padding=1, ceil_mode=True, count_include_pad=False),
        "MaxPool2d": lambda: nn.MaxPool2d(3, 2, padding=1, ceil_mode=True),
        "LPPool2d": lambda: nn.LPPool2d(2, 2), "AdaptiveAvgPool2d": lambda: nn.AdaptiveAvgPool2d((4, 1)),
        "AdaptiveMaxPool2d": lambda: nn.AdaptiveMaxPool2d(4),
        "CircularPad2d": lambda: nn.CircularPad2d((1, 2, 0, 1)), "ConstantPad2d": lambda: nn.ConstantPad2d(1, 0.5),
        "ReflectionPad2d": lambda: nn.ReflectionPad2d((1, 2, 0, 1)), "ZeroPad2d": lambda: nn.ZeroPad2d((1, -1, 0, 2)),
        "ReplicationPad2d": lambda: nn.ReplicationPad2d((1, 2, 0, 1)),
        "ChannelShuffle": lambda: nn.ChannelShuffle(2), "PixelShuffle": lambda: nn.PixelShuffle(2),
        "PixelUnshuffle": lambda: nn.PixelUnshuffle(2), "Unfold": lambda: nn.Unfold(3, padding=1, stride=2),
        "Upsample": lambda: nn.Upsample(scale_factor=2, mode="bicubic"),
        "UpsamplingBilinear2d": lambda: nn.UpsamplingBilinear2d(scale_factor=2),
        "UpsamplingNearest2d": lambda: nn.UpsamplingNearest2d((9, 7)),
    }.items()
}  # fmt: skip

ON_SERIES = {
    name: Sample(make, SERIES)
    for name, make in {
        "Dropout1d": nn.Dropout1d, "Conv1d": lambda: nn.Conv1d(4, 6, 3, padding=2, dilation=2),
        "ConvTranspose1d": lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), "LazyConv1d": lambda: nn.LazyConv1d(3, 3),
        "LazyConvTranspose1d": lambda: nn.LazyConvTranspose1d(3, 3),
        "InstanceNorm1d": lambda: nn.InstanceNorm1d(4), "LazyInstanceNorm1d": nn.LazyInstanceNorm1d,
        "AvgPool1d": lambda: nn.AvgPool1d(3, 2, padding=1), "MaxPool1d": lambda: nn.MaxPool1d(3, 2, dilation=2),
        "LPPool1d": lambda: nn.LPPool1d(2, 3), "AdaptiveAvgPool1d": lambda: nn.AdaptiveAvgPool1d(3),
        "AdaptiveMaxPool1d": lambda: nn.AdaptiveMaxPool1d(3), "CircularPad1d": lambda: nn.CircularPad1d(2),
        "ConstantPad1d": lambda: nn.ConstantPad1d((1, 2), -1.0), "ReflectionPad1d": lambda: nn.ReflectionPad1d(2),
        "ReplicationPad1d": lambda: nn.ReplicationPad1d(2), "ZeroPad1d": lambda: nn.ZeroPad1d(2),
    }.items()
}  # fmt: skip

ON_VOLUMES = {
    name: Sample(make, VOLUMES)
    for name, make in {
        "Dropout3d": nn.Dropout3d, "Conv3d": lambda: nn.Conv3d(4, 3, 2, padding=1),
        "ConvTranspose3d": lambda: nn.ConvTranspose3d(4, 3, 2), "LazyConv3d": lambda: nn.LazyConv3d(3, 3),
        "LazyConvTranspose3d": lambda: nn.LazyConvTranspose3d(3, 3), "BatchNorm3d": lambda: nn.BatchNorm3d(4),
        "LazyBatchNorm3d": nn.LazyBatchNorm3d, "InstanceNorm3d": lambda: nn.InstanceNorm3d(4),
        "LazyInstanceNorm3d": nn.LazyInstanceNorm3d, "AvgPool3d": lambda: nn.AvgPool3d(2),
        "MaxPool3d": lambda: nn.MaxPool3d(2), "LPPool3d": lambda: nn.LPPool3d(2, 2),
        "AdaptiveAvgPool3d": lambda: nn.AdaptiveAvgPool3d(2), "AdaptiveMaxPool3d": lambda: nn.AdaptiveMaxPool3d(2),
        "CircularPad3d": lambda: nn.CircularPad3d(1), "ConstantPad3d": lambda: nn.ConstantPad3d(1, 0.5),
        "ReflectionPad3d": lambda: nn.ReflectionPad3d(1), "ReplicationPad3d": lambda: nn.ReplicationPad3d(1),
        "ZeroPad3d": lambda: nn.ZeroPad3d(1),
    }.items()
}  # fmt: skip


def indices_of(*sizes: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """What a maximum pooling with windows of two found, and where."""

    def made(rng: np.random.Generator) -> tuple[Any, ...]:
        small = tuple(n // 2 for n in sizes[2:])
        at = np.stack(np.meshgrid(*(np.arange(n) * 2 for n in small), indexing="ij"))
        flat = np.ravel_multi_index(tuple(at), sizes[2:])
        indices = np.broadcast_to(flat, (*sizes[:2], *small)).copy()
        return rng.standard_normal(indices.shape, np.float32), indices

    return made


UNPOOLED = {
    "MaxUnpool1d": Sample(lambda: nn.MaxUnpool1d(2), indices_of(2, 4, 8)),
    "MaxUnpool2d": Sample(lambda: nn.MaxUnpool2d(2), indices_of(2, 4, 6, 6)),
    "MaxUnpool3d": Sample(lambda: nn.MaxUnpool3d(2), indices_of(2, 3, 4, 4, 4)),
}

RECURRENT = {
    "RNN": Sample(lambda: nn.RNN(6, 4, num_layers=2, bidirectional=True), STEPS, 1),
    "GRU": Sample(lambda: nn.GRU(6, 4, num_layers=2, batch_first=True), STEPS),
    "LSTM": Sample(lambda: nn.LSTM(6, 4, bidirectional=True), STEPS, 1),
    "RNNCell": Sample(lambda: nn.RNNCell(6, 4), VECTORS),
    "GRUCell": Sample(lambda: nn.GRUCell(6, 4), VECTORS),
    "LSTMCell": Sample(lambda: nn.LSTMCell(6, 4), VECTORS),
}

TRANSFORMERS = {
    "MultiheadAttention": Sample(
        lambda: nn.MultiheadAttention(6, 2, batch_first=True, add_bias_kv=True),
        lambda rng: tuple(rng.standard_normal((3, n, 6), np.float32) for n in (4, 5, 5)),
    ),
    "TransformerEncoderLayer": Sample(
        lambda: nn.TransformerEncoderLayer(6, 2, 8, batch_first=True), normal(3, 5, 6)
    ),
    "TransformerEncoder": Sample(
        lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(6, 2, 8, activation="gelu", batch_first=True), 2),
        normal(3, 5, 6),
    ),
    "TransformerDecoderLayer": Sample(
        lambda: nn.TransformerDecoderLayer(6, 2, 8, batch_first=True, norm_first=True), pair(3, 5, 6)
    ),
    "TransformerDecoder": Sample(
        lambda: nn.TransformerDecoder(nn.TransformerDecoderLayer(6, 2, 8), 2), pair(5, 3, 6), 1
    ),
    "Transformer": Sample(lambda: nn.Transformer(6, 2, 1, 1, 8, batch_first=True), pair(3, 5, 6)),
}  # fmt: skip

AT_RANDOM = "its windows are drawn at random at every call"

OTHERS = {
    "FractionalMaxPool2d": Sample(lambda: nn.FractionalMaxPool2d(2, 3), IMAGES, reason=AT_RANDOM),
    "FractionalMaxPool3d": Sample(lambda: nn.FractionalMaxPool3d(2, 2), VOLUMES, reason=AT_RANDOM),
    "Bilinear": Sample(lambda: nn.Bilinear(6, 6, 3), pair(4, 6)),
    "CosineSimilarity": Sample(nn.CosineSimilarity, pair(4, 6)),
    "PairwiseDistance": Sample(nn.PairwiseDistance, pair(4, 6)),
    "Embedding": Sample(lambda: nn.Embedding(9, 4), lambda rng: (rng.integers(0, 9, (3, 5)),)),
    "EmbeddingBag": Sample(lambda: nn.EmbeddingBag(9, 4, mode="mean"), lambda rng: (rng.integers(0, 9, (3, 5)),)),
    "Fold": Sample(lambda: nn.Fold((4, 4), 2, stride=2), normal(2, 12, 4)),
    "Sequential": Sample(lambda: nn.Sequential(nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)), VECTORS),
    "AdaptiveLogSoftmaxWithLoss": Sample(
        lambda: nn.AdaptiveLogSoftmaxWithLoss(6, 9, [3]),
        lambda rng: (rng.standard_normal((4, 6), np.float32), rng.integers(0, 9, 4)),
        reason="which rows a cluster computes depends on the values of the targets",
    ),
}  # fmt: skip


def classes(*shape: int) -> Callable[[np.random.Generator], tuple[Any, ...]]:
    """Logits or scores of as many classes as the second axis has, and the right ones."""
    return lambda rng: (
        rng.standard_normal(shape, np.float32),
        rng.integers(0, shape[1], (shape[0], *shape[2:])),
    )


LOSSES = {
    "BCELoss": Sample(nn.BCELoss, lambda rng: (rng.random((4, 6), np.float32), rng.random((4, 6), np.float32))),
    "BCEWithLogitsLoss": Sample(
        nn.BCEWithLogitsLoss, lambda rng: (rng.standard_normal((4, 6), np.float32), rng.random((4, 6), np.float32))
    ),
    "CosineEmbeddingLoss": Sample(
        nn.CosineEmbeddingLoss,
        lambda rng: (*(rng.standard_normal((4, 6), np.float32) for _ in range(2)), signs(rng, 4)),
    ),
    "CrossEntropyLoss": Sample(lambda: nn.CrossEntropyLoss(label_smoothing=0.1), classes(4, 6)),
    "CTCLoss": Sample(
        lambda: nn.CTCLoss(reduction="none"),
        lambda rng: (
            np.log(rng.dirichlet(np.ones(5), (6, 3))).astype(np.float32),
            rng.integers(1, 5, (3, 2)), np.array([6, 5, 6]), np.array([2, 1, 2]),
        ),
        False,
        reason="its alignments depend on the values of targets and lengths",
    ),
    "GaussianNLLLoss": Sample(
        nn.GaussianNLLLoss,
        lambda rng: (
            rng.standard_normal((4, 6), np.float32), rng.standard_normal((4, 6), np.float32),
            rng.random((4, 6), np.float32) + np.float32(0.1),
        ),
    ),
    "HingeEmbeddingLoss": Sample(
        nn.HingeEmbeddingLoss, lambda rng: (rng.random((4, 6), np.float32), signs(rng, 4, 6))
    ),
    "HuberLoss": Sample(lambda: nn.HuberLoss(delta=0.7), pair(4, 6)),
    "KLDivLoss": Sample(
        lambda: nn.KLDivLoss(reduction="batchmean"),
        lambda rng: (
            np.log(rng.dirichlet(np.ones(5), 4)).astype(np.float32), rng.dirichlet(np.ones(5), 4).astype(np.float32)
        ),
    ),
    "L1Loss": Sample(nn.L1Loss, pair(4, 6)),
    "LinearCrossEntropyLoss": Sample(
        lambda: nn.LinearCrossEntropyLoss(6, 5),
        lambda rng: (rng.standard_normal((4, 6), np.float32), rng.integers(0, 5, 4)),
    ),
    "MarginRankingLoss": Sample(
        nn.MarginRankingLoss,
        lambda rng: (*(rng.standard_normal(4, np.float32) for _ in range(2)), signs(rng, 4)),
    ),
    "MSELoss": Sample(lambda: nn.MSELoss(reduction="sum"), pair(4, 6)),
    "MultiLabelMarginLoss": Sample(
        nn.MultiLabelMarginLoss,
        lambda rng: (rng.standard_normal((3, 4), np.float32), np.array([[3, 0, -1, 1], [2, -1, 0, 0], [0, 1, 2, 3]])),
        reason="how many labels count depends on the values of the targets",
    ),
    "MultiLabelSoftMarginLoss": Sample(
        nn.MultiLabelSoftMarginLoss,
        lambda rng: (rng.standard_normal((4, 6), np.float32), (rng.random((4, 6)) > 0.5).astype(np.float32)),
    ),
    "MultiMarginLoss": Sample(nn.MultiMarginLoss, classes(4, 6)),
    "NLLLoss": Sample(nn.NLLLoss, classes(4, 6)),
    "PoissonNLLLoss": Sample(
        nn.PoissonNLLLoss,
        lambda rng: (rng.standard_normal((4, 6), np.float32), rng.poisson(2.0, (4, 6)).astype(np.float32)),
    ),
    "SmoothL1Loss": Sample(lambda: nn.SmoothL1Loss(beta=0.5), pair(4, 6)),
    "SoftMarginLoss": Sample(
        nn.SoftMarginLoss, lambda rng: (rng.standard_normal((4, 6), np.float32), signs(rng, 4, 6))
    ),
    "TripletMarginLoss": Sample(
        nn.TripletMarginLoss, lambda rng: tuple(rng.standard_normal((4, 6), np.float32) for _ in range(3))
    ),
    "TripletMarginWithDistanceLoss": Sample(
        nn.TripletMarginWithDistanceLoss,
        lambda rng: tuple(rng.standard_normal((4, 6), np.float32) for _ in range(3)),
    ),
}  # fmt: skip

SAMPLES: dict[str, Sample] = {
    **ACTIVATIONS, **ON_IMAGES, **ON_SERIES, **ON_VOLUMES, **UNPOOLED, **RECURRENT, **TRANSFORMERS, **OTHERS, **LOSSES,
}  # fmt: skip

#: What of nn is no computation of its own.
CONTAINERS = ("Module", "ModuleDict", "ModuleList", "ParameterDict", "ParameterList")
