"""Files of weights: save and load."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import tinygrad_dl as tg
from tests.fuzz.harness import Call, calls_of, with_arguments


def saved_model() -> str:
    tg.save(tg.nn.Linear(3, 2), "model.safetensors")
    return "model.safetensors"


def saved() -> str:
    tg.save({"a": np.ones((2, 3))}, "weights.safetensors")
    return "weights.safetensors"


def calls() -> Iterator[Call]:
    yield from calls_of(
        tg,
        {
            "save": lambda: with_arguments({"a": np.ones((2, 3))}, "weights.safetensors"),
            "load": lambda: with_arguments(saved()),
            "load_model": lambda: with_arguments(saved_model()),
        },
    )
