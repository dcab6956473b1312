"""PyTorch's operators that have a counterpart here, all together, and those of nn.functional."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tests.peer import operators_of_numpy, operators_on_elements, operators_on_matrices, operators_on_shapes  # noqa: F401, they enter theirs
from tests.peer.counterparts import OURS, Unlike
from tinygrad_dl.nn import functional

__all__ = ["OURS", "Unlike", "of_functional"]

# nn.functional: PyTorch's names and arguments are ours; so only what differs stands here

RANDOM = frozenset(
    """
    alpha_dropout dropout dropout2d dropout3d feature_alpha_dropout fractional_max_pool2d fractional_max_pool3d
    multi_head_attention_forward rrelu
    """.split()
)


def of_functional(name: str) -> Callable[..., Any] | None:
    """The function of nn.functional for a name of the database, such as nn.functional.avg_pool2d; None without one."""
    if not name.startswith("nn.functional."):
        return None
    name = name.split(".")[2]
    if name in RANDOM:
        return None
    return FUNCTIONAL.get(name) or getattr(functional, name, None)


def _functional(name: str, unlike: Callable[..., str | None]) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        reason = unlike(*arguments, **options)
        if reason:
            raise Unlike(reason)
        return getattr(functional, name)(*arguments, **options)

    return call


FUNCTIONAL: dict[str, Callable[..., Any]] = {
    "embedding": lambda table, indices, **options: functional.embedding(indices, table, **options),
    "embedding_bag": lambda table, indices, **options: functional.embedding_bag(indices, table, **options),
    "triplet_margin_with_distance_loss": lambda *xs, distance_function=None, **options: _triplet(
        *xs, distance_function, **options
    ),
    "multi_margin_loss": _functional(
        "multi_margin_loss", lambda x, *_, **__: "a score for each class is needed" if not x.ndim else None
    ),
    "avg_pool2d": _functional("avg_pool2d", lambda *a, **_: "() is no stride" if () in a[2:3] else None),
    "batch_norm": _functional(
        "batch_norm", lambda x, *_, **__: "inputs have a batch and channels" if x.ndim < 2 else None
    ),
    "gaussian_nll_loss": _functional(
        "gaussian_nll_loss", lambda x, y, *_, **__: "losses do not broadcast" if x.shape != y.shape else None
    ),
    "grid_sample": _functional(
        "grid_sample", lambda *_, mode="bilinear", **__: "no bicubic samples" if mode == "bicubic" else None
    ),
    "scaled_dot_product_attention": _functional(
        "scaled_dot_product_attention",
        lambda *_, dropout_p=0, **__: "dropout is random" if dropout_p else None,
    ),
}


def _triplet(a: Any, b: Any, c: Any, distance_function: Any, **options: Any) -> Any:
    if type(distance_function).__name__ == "PairwiseDistance":
        distance_function = functional.pairwise_distance
    elif distance_function is not None:
        raise Unlike("the distance is PyTorch's")
    return functional.triplet_margin_with_distance_loss(
        a, b, c, distance_function=distance_function, **options
    )
