"""Distances and similarities between vectors."""

from __future__ import annotations

import numpy as np

from tinygrad_dl.nn import functional as F


def test_cosine_similarity_broadcasts_before_it_sums() -> None:
    x, y = np.ones((1, 2, 3)), np.ones((2, 1, 3))
    np.testing.assert_allclose(F.cosine_similarity(x, y, dim=-2), np.ones((2, 3)))


def test_normalize_and_pairwise_distance_count_for_p_zero() -> None:
    x = np.array([[3.0, 0.0, 4.0]])
    np.testing.assert_allclose(F.normalize(x, p=0), [[1.5, 0, 2]])
    np.testing.assert_allclose(F.pairwise_distance(x, np.zeros((1, 3)), p=0, eps=0.0), [2])
