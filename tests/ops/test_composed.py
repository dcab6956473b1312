"""Functions made of other operations, which the registry does not list, have right derivatives of two orders."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
SPREAD = RNG.permutation(np.linspace(-2, 2, 12)).reshape(3, 4)
CALLS: dict[str, tuple[Callable[..., Any], list[np.ndarray]]] = {
    "average": (lambda x, w: td.average(x, axis=1, weights=w) ** 2, [SPREAD, np.linspace(0.5, 1, 4)]),
    "broadcast_arrays": (lambda x, y: td.multiply(*td.broadcast_arrays(x, y)), [SPREAD[:, :1], SPREAD[0]]),
    "cumprod": (lambda x: x.cumprod(), [SPREAD[:, :2]]),
    "cumsum": (lambda x: x.cumsum() ** 2, [SPREAD[:, :2]]),
    "diff": (lambda x: td.diff(x, n=2, axis=0) ** 2, [SPREAD]),
    "divmod": (lambda x, y: divmod(x * x, y)[1] ** 2, [SPREAD, np.array([0.3])]),
    "flatten": (lambda x: x.flatten() ** 2, [SPREAD]),
    "interp": (
        lambda x, xp, fp: td.interp(x, xp, fp) ** 2,
        [np.array([-5.0, 0.2, 1.7]), np.array([-1.0, 1.0, 3.0]), np.array([5.0, 7.0, -1.0])],
    ),
    "median": (lambda x: td.median(x, axis=1) ** 2, [SPREAD]),
    "meshgrid": (lambda x, y: td.multiply(*td.meshgrid(x, y)), [SPREAD[0], SPREAD[1, :3]]),
    "moveaxis": (lambda x: td.moveaxis(x, 0, 1) ** 2, [SPREAD]),
    "ptp": (lambda x: td.ptp(x, axis=0) ** 2, [SPREAD]),
    "quantile": (
        lambda x, q: td.quantile(x, q, axis=0) ** 2,
        [SPREAD, np.array([0.2, 0.7])],
    ),
    "split": (lambda x: td.multiply(*td.split(x, 2, axis=1)), [SPREAD]),
    "swapaxes": (lambda x: x.swapaxes(0, 1) ** 2, [SPREAD]),
    "take": (lambda x: x.take([0, 2, 0], axis=1) ** 2, [SPREAD]),
    "unique_values": (lambda x: td.unique_values(x) ** 2, [SPREAD]),
    "unstack": (lambda x: td.multiply(*td.unstack(x[:2])), [SPREAD]),
    "where_safe": (lambda x: td.where_safe(x > 0, td.log, x, 0.0), [SPREAD]),
}


@pytest.mark.parametrize("name", CALLS)
def test_derivatives_of_two_orders_agree_with_differences(name: str) -> None:
    f, inputs = CALLS[name]
    assert gradcheck(f, inputs)
    assert gradgradcheck(f, inputs)
