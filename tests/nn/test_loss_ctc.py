"""The connectionist temporal classification loss."""

from __future__ import annotations

from math import log

import numpy as np
import pytest

from tinygrad_dl.nn import functional as F


def test_ctc_counts_every_way_to_stretch_the_labels() -> None:
    p = np.array([[0.6, 0.4], [0.3, 0.7]])  # blank and one label, two steps
    ways = 0.4 * 0.7 + 0.6 * 0.7 + 0.4 * 0.3
    loss = F.ctc_loss(np.log(p)[:, None], np.array([[1]]), [2], [1], reduction="sum")
    assert loss == pytest.approx(-log(ways))
    none = F.ctc_loss(np.log(p)[:, None], np.array([[1, 1]]), [2], [2], reduction="sum")
    assert none == np.inf
    assert F.ctc_loss(np.log(p)[:, None], np.array([[1, 1]]), [2], [2], zero_infinity=True) == 0.0
