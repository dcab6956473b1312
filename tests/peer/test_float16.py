"""float16 at large and small magnitudes: never further from the exact result than PyTorch's float16, twice over."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import linalg
from tinygrad_dl.nn import functional as F

torch = pytest.importorskip("torch", reason="PyTorch, which float16 is compared with, is not installed")
TF, TL = torch.nn.functional, torch.linalg

ONE: dict[str, tuple[Callable[..., Any], Callable[..., Any]]] = {
    "sum": (lambda x: tg.sum(x, axis=0), lambda x: x.sum(0)),
    "mean": (lambda x: tg.mean(x, axis=0), lambda x: x.mean(0)),
    "var": (lambda x: tg.var(x, axis=0), lambda x: x.var(0, correction=0)),
    "std": (lambda x: tg.std(x, axis=0), lambda x: x.std(0, correction=0)),
    "prod": (lambda x: tg.prod(1 + 1e-5 * x, axis=0), lambda x: (1 + 1e-5 * x).prod(0)),
    "cumulative_sum": (lambda x: tg.cumulative_sum(x, axis=0), lambda x: x.cumsum(0)),
    "logsumexp": (lambda x: tg.logsumexp(x, axis=0), lambda x: x.logsumexp(0)),
    "softmax": (lambda x: tg.softmax(x, axis=0), lambda x: x.softmax(0)),
    "log_softmax": (lambda x: tg.log_softmax(x, axis=0), lambda x: x.log_softmax(0)),
    "vector_norm": (lambda x: linalg.vector_norm(x, axis=0), lambda x: TL.vector_norm(x, 2, 0)),
    "vector_norm 3": (lambda x: linalg.vector_norm(x, axis=0, ord=3), lambda x: TL.vector_norm(x, 3, 0)),
    "matrix_norm": (lambda x: linalg.matrix_norm(x), lambda x: TL.matrix_norm(x)),
    "normalize": (lambda x: F.normalize(x, dim=0), lambda x: TF.normalize(x, dim=0)),
    "layer_norm": (lambda x: F.layer_norm(x, x.shape[-1:]), lambda x: TF.layer_norm(x, x.shape[-1:])),
    "rms_norm": (lambda x: F.rms_norm(x, x.shape[-1:]), lambda x: TF.rms_norm(x, x.shape[-1:])),
    "batch_norm": (
        lambda x: F.batch_norm(x, None, None, training=True),
        lambda x: TF.batch_norm(x, None, None, training=True),
    ),
    "group_norm": (lambda x: F.group_norm(x, 1), lambda x: TF.group_norm(x, 1)),
    "avg_pool": (lambda x: F.avg_pool1d(x[None], 3), lambda x: TF.avg_pool1d(x[None], 3)),
}
LOSSES = (
    "mse_loss", "l1_loss", "smooth_l1_loss", "huber_loss", "binary_cross_entropy_with_logits", "cosine_similarity",
    "pairwise_distance", "poisson_nll_loss",
)  # fmt: skip


def exact(x: Any) -> np.ndarray:
    values = np.asarray(x.detach().numpy(), np.float64)
    return np.where(np.abs(values) > 65519, np.copysign(np.inf, values), values)


def distance(found: np.ndarray, expected: np.ndarray) -> float:
    """The largest error, relative to each value and to a thousandth of the largest one."""
    finite = np.abs(expected[np.isfinite(expected)])
    scale = np.abs(expected) + 1e-3 * finite.max(initial=0.0) + 6e-5
    with np.errstate(invalid="ignore"):
        error = np.where(
            (found == expected) | (np.isnan(found) & np.isnan(expected)),
            0.0,
            np.abs(found - expected) / scale,
        )
    return float(np.nan_to_num(error, nan=np.inf, posinf=np.inf).max(initial=0.0))


def compare(ours: Callable[..., Any], theirs: Callable[..., Any], *values: np.ndarray) -> None:
    half = [v.astype(np.float16) for v in values]
    with np.errstate(all="ignore"):
        out = ours(*[tg.asarray(h) for h in half])
        reference = exact(theirs(*[torch.from_numpy(h.astype(np.float64)) for h in half]))
        peer = exact(theirs(*[torch.from_numpy(h) for h in half]))
    assert out.dtype == np.float16
    assert distance(exact(out), reference) <= max(4e-3, 2 * distance(peer, reference))


@pytest.mark.parametrize("magnitude", [1e-4, 1e-2, 1.0, 50.0, 300.0])
@pytest.mark.parametrize("shape", [(3000, 3), (3, 3000)], ids=str)
class TestAsExactAsPyTorch:
    @pytest.mark.parametrize("name", ONE)
    def test_a_reduction_or_normalization(self, name: str, shape: tuple[int, int], magnitude: float) -> None:
        rng = np.random.default_rng(0)
        compare(*ONE[name], magnitude * (rng.standard_normal(shape) + (magnitude >= 1)))

    @pytest.mark.parametrize("name", LOSSES)
    def test_a_loss_or_a_distance(self, name: str, shape: tuple[int, int], magnitude: float) -> None:
        rng = np.random.default_rng(0)
        x, y = (magnitude * rng.standard_normal(shape) for _ in range(2))
        y = np.abs(np.tanh(y)) if name == "binary_cross_entropy_with_logits" else y
        compare(getattr(F, name), getattr(TF, name), x, y)
