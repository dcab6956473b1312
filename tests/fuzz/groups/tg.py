"""Functions of the package itself that are no operations of the registry: creation, composed functions, modes."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

import tinygrad_dl as tg
from tests.fuzz.harness import Call, calls_of, with_arguments
from tinygrad_dl import Tensor


def t(*shape: int) -> Tensor:
    return Tensor(np.random.default_rng(0).uniform(0.1, 0.9, shape), requires_grad=True)


TABLE = {
    **{name: lambda: with_arguments((2, 3)) for name in ("zeros", "ones", "empty")},
    **{name: lambda: with_arguments(t(2, 3)) for name in (
        "zeros_like", "ones_like", "empty_like", "Tensor", "asarray", "diag", "diff", "median", "average", "ptp",
        "trace",
        "unique_all", "unique_counts", "unique_inverse", "unique_values", "unstack", "nonzero", "absolute",
        "result_type",
    )},
    **{name: lambda: with_arguments(t(3), t(3)) for name in (
        "dot", "inner", "outer", "kron", "pow", "result_type 2", "meshgrid", "broadcast_arrays",
    )},
    "tensordot": lambda: with_arguments(t(2, 3, 4), t(3, 4, 2), 2),
    "from_dlpack": lambda: with_arguments(t(2, 3).detach()),
    "full": lambda: with_arguments((2, 3), 0.5),
    "full_like": lambda: with_arguments(t(2, 3), 0.5),
    "arange": lambda: with_arguments(0, 5, 2),
    "linspace": lambda: with_arguments(0, 1, 5),
    "eye": lambda: with_arguments(3, 4),
    "asarray list": lambda: with_arguments([[1.0, 2.0], [3.0, 4.0]]),
    "Tensor list": lambda: with_arguments([[1.0, 2.0], [3.0, 4.0]]),
    "average weighted": lambda: with_arguments(t(2, 3), weights=t(2, 3)),
    "quantile": lambda: with_arguments(t(2, 3), 0.5),
    "concatenate": lambda: with_arguments([t(2, 3), t(2, 3)]),
    "split": lambda: with_arguments(t(4, 3), 2),
    "swapaxes": lambda: with_arguments(t(2, 3), 0, 1),
    "moveaxis": lambda: with_arguments(t(2, 3), 0, 1),
    "einsum": lambda: with_arguments("ij,jk->ik", t(2, 3), t(3, 2)),
    "interp": lambda: with_arguments(t(4), [0.0, 0.5, 1.0], [1.0, 2.0, 3.0]),
    "where_safe": lambda: with_arguments(np.array([True, False, True]), tg.log, t(3), 0.0),
    "can_cast": lambda: with_arguments("float32", "float64"),
    "isdtype": lambda: with_arguments(tg.float32, "real floating"),
    "finfo": lambda: with_arguments("float32"),
    "iinfo": lambda: with_arguments("int32"),
    "manual_seed": lambda: with_arguments(0),
    "rand": lambda: with_arguments((2, 3)),
    "randn": lambda: with_arguments((2, 3)),
    "randint": lambda: with_arguments(0, 5, (2, 3)),
    "randperm": lambda: with_arguments(5),
    "no_grad": lambda: with_arguments(),
    "enable_grad": lambda: with_arguments(),
    "detect_anomaly": lambda: with_arguments(),
    "strict_broadcast": lambda: with_arguments(),
    "set_default_dtype": lambda: with_arguments("float32"),
}  # fmt: skip


def calls() -> Iterator[Call]:
    yield from calls_of(tg, TABLE)
