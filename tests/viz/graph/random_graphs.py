"""Random computation graphs, for properties that hold of every graph."""

from __future__ import annotations

import numpy as np
from hypothesis import strategies as st

from tests.leaves import leaf
from tinygrad_dl import Tensor

UNARY = ("cos", "tanh", "sigmoid", "sin", "negative")
BINARY = ("add", "subtract", "multiply")


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[Tensor], Tensor]:
    """Leaves and a scalar computed from them in a random way, with values used often, and broadcast."""
    import tinygrad_dl as tg

    shapes = [(), (3,), (2, 1), (2, 3)]
    rng = np.random.default_rng(draw(st.integers(0, 2**31)))
    leaves = [leaf(rng.uniform(-1, 1, draw(st.sampled_from(shapes)))) for _ in range(draw(st.integers(1, 3)))]
    pool: list[Tensor] = list(leaves)
    for _ in range(draw(st.integers(1, 8))):
        if draw(st.booleans()):
            pool.append(getattr(tg, draw(st.sampled_from(UNARY)))(pool[draw(st.integers(0, len(pool) - 1))]))
        else:
            one, two = (pool[draw(st.integers(0, len(pool) - 1))] for _ in range(2))
            pool.append(getattr(tg, draw(st.sampled_from(BINARY)))(one, two))
    total = pool[-1].sum()
    for value in pool[:-1]:
        total = total + value.sum()
    return leaves, total


def whole(found: dict[str, object] | None) -> np.ndarray:
    assert found is not None
    return np.array(found["whole"])
