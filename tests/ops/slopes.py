"""Matrices to draw, and first and second derivatives of functions of one array, for the tests of linear algebra."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

import tinygrad_dl as td
from tests.leaves import leaf
from tinygrad_dl import Tensor
from tinygrad_dl.autograd import grad


def drawn(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape)


def slope(f: Callable[[Tensor], Any], array: Any) -> np.ndarray:
    """The gradient of the sum of f(x)."""
    x = leaf(array)
    (g,) = grad(td.sum(f(x)), [x])
    return np.asarray(g.numpy())


def second(f: Callable[[Tensor], Any], array: Any) -> np.ndarray:
    """The matrix of second derivatives of the sum of f(x), over the flattened x."""
    x = leaf(array)
    (g,) = grad(td.sum(f(x)), [x], create_graph=True)
    if not g.requires_grad:
        return np.zeros((x.size, x.size))
    rows = [grad(g.reshape(-1)[i], [x], retain_graph=True, allow_unused=True)[0] for i in range(x.size)]
    return np.array([np.zeros(x.size) if r is None else r.numpy().reshape(-1) for r in rows])
