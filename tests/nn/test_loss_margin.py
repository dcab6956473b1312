"""Margin losses by hand."""

from __future__ import annotations

import pytest

from tinygrad_dl.nn import functional as F


def test_losses_of_margins_by_hand() -> None:
    assert F.margin_ranking_loss([1.0], [3.0], [-1.0], margin=1.0).item() == 0.0
    assert F.triplet_margin_loss([[0.0, 0.0]], [[3.0, 4.0]], [[0.0, 1.0]], eps=0.0).item() == 5.0
    assert F.multi_margin_loss([[1.0, 0.5, 3.0]], [0]).item() == pytest.approx((0.5 + 3.0) / 3)
    assert F.cosine_embedding_loss([[1.0, 0.0]], [[2.0, 0.0]], [-1], margin=0.25).item() == pytest.approx(
        0.75
    )
