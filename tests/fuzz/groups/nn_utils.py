"""tinygrad_dl.nn.utils."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor, nn


def parameters() -> list[Tensor]:
    layer = nn.Linear(2, 3)
    for p in layer.parameters():
        p.grad = Tensor(np.ones(p.shape, np.float32))
    return list(layer.parameters())


def sequences() -> list[Tensor]:
    return [Tensor(np.ones((3, 2))), Tensor(np.ones((2, 2)))]


TABLE = {
    "clip_grad_norm_": lambda: with_arguments(parameters(), 1.0),
    "clip_grad_value_": lambda: with_arguments(parameters(), 1.0),
    "parameters_to_vector": lambda: with_arguments(parameters()),
    "vector_to_parameters": lambda: with_arguments(Tensor(np.ones(9, np.float32)), parameters()),
}
SEQUENCES = {
    "pad_sequence": lambda: with_arguments(sequences()),
    "pack_sequence": lambda: with_arguments(sequences()),
    "pack_padded_sequence": lambda: with_arguments(Tensor(np.ones((3, 2, 4))), [3, 2]),
    "pad_packed_sequence": lambda: with_arguments(nn.utils.rnn.pack_sequence(sequences())),
}
PARAMETRIZATIONS = {
    "weight_norm": lambda: with_arguments(nn.Linear(2, 3)),
    "spectral_norm": lambda: with_arguments(nn.Linear(2, 3)),
    "orthogonal": lambda: with_arguments(nn.Linear(2, 3)),
}
PARAMETRIZE = {
    "register_parametrization": lambda: with_arguments(nn.Linear(2, 3), "weight", nn.Identity()),
    "is_parametrized": lambda: with_arguments(nn.Linear(2, 3)),
}


def calls() -> Iterator[Call]:
    yield from calls_of(nn.utils, TABLE)
    yield from calls_of(nn.utils.rnn, SEQUENCES)
    yield from calls_of(nn.utils.parametrizations, PARAMETRIZATIONS)
    yield from calls_of(nn.utils.parametrize, PARAMETRIZE)
