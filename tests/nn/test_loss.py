"""Losses: values by hand, the ends of their ranges, and shapes that do not fit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, nn
from tinygrad_dl.nn import functional as F

PAIRED = [
    nn.L1Loss, nn.MSELoss, nn.SmoothL1Loss, nn.HuberLoss, nn.PoissonNLLLoss, nn.KLDivLoss, nn.BCELoss,
    nn.BCEWithLogitsLoss, nn.SoftMarginLoss, nn.MultiLabelSoftMarginLoss, nn.HingeEmbeddingLoss,
    nn.MultiLabelMarginLoss,
]  # fmt: skip


@pytest.mark.parametrize("kind", PAIRED)
def test_no_loss_broadcasts(kind: Any) -> None:
    with pytest.raises(ValueError) as caught:
        kind()(Tensor([[0.1], [0.2], [0.3]]), Tensor([0.0, 1.0, 1.0]))
    assert (
        "the prediction has the shape (3, 1), the target (3,); losses do not broadcast. "
        "Drop the last axis of the prediction with .squeeze(-1)?"
    ) in str(caught.value)


@pytest.mark.parametrize(
    ("shapes", "advice"),
    [
        (((3,), (3, 1)), "Drop the last axis of the target with .squeeze(-1)?"),
        (((2, 3), (3, 2)), "Transpose one of them?"),
        (
            ((2, 3), (2,)),
            "For class indices use cross_entropy; for other targets give each prediction its own.",
        ),
        (((2, 3), (4,)), "Each prediction needs one target: reshape one of them."),
    ],
)
def test_the_likely_fix_is_named(shapes: Any, advice: str) -> None:
    with pytest.raises(ValueError) as caught:
        F.mse_loss(Tensor(np.zeros(shapes[0])), Tensor(np.zeros(shapes[1])))
    assert str(caught.value) == (
        f"mse_loss: the prediction has the shape {shapes[0]}, the target {shapes[1]}; losses do not broadcast. {advice}"
    )


def test_reductions_are_checked_by_name() -> None:
    with pytest.raises(
        ValueError, match='MSELoss: expected a reduction of "mean", "sum" or "none", got \'avg\''
    ):
        nn.MSELoss(reduction="avg")
    assert nn.KLDivLoss(reduction="batchmean").reduction == "batchmean"


@pytest.mark.parametrize("kind", [nn.MSELoss, nn.L1Loss, nn.BCEWithLogitsLoss, nn.HuberLoss])
def test_float32_stays_float32_whatever_the_target_is(kind: Any) -> None:
    x = Tensor(np.zeros(3, "float32"), requires_grad=True)
    for target in (np.ones(3), np.ones(3, int), np.ones(3, bool)):
        loss = kind()(x, target)
        loss.backward()
        assert loss.dtype == np.float32 and x.grad is not None and x.grad.dtype == np.float32


def test_losses_take_their_options_in_pytorchs_places() -> None:
    x, t, var = Tensor([[0.5, 2.0]]), Tensor([[1.0, 1.0]]), Tensor([[1.0, 2.0]])
    assert nn.HuberLoss("sum", 2.0)(x, t) == F.huber_loss(x, t, reduction="sum", delta=2.0)
    assert F.huber_loss(x, t, "sum", 2.0) == F.huber_loss(x, t, reduction="sum", delta=2.0)
    whole = F.gaussian_nll_loss(x, t, var, full=True)
    assert F.gaussian_nll_loss(x, t, var, True) == whole
    assert np.isnan(nn.CrossEntropyLoss(None, None, 1)(x, Tensor([1])).item())  # the class 1 is ignored
    assert F.margin_ranking_loss(x, t, t, 0.25) == nn.MarginRankingLoss(0.25)(x, t, t)
    assert F.multi_margin_loss(x, Tensor([0]), 2, 0.5) == nn.MultiMarginLoss(2, 0.5)(x, Tensor([0]))


@pytest.mark.parametrize(
    ("old", "reduction"),
    [({"size_average": False}, "sum"), ({"reduce": False}, "none"), ({"size_average": True}, "mean")],
)
def test_the_deprecated_reduction_arguments_warn_and_mean_the_same(
    old: dict[str, bool], reduction: str
) -> None:
    with pytest.warns(UserWarning, match=f"use reduction='{reduction}'"):
        loss = nn.MSELoss(**old)
    assert loss.reduction == reduction
    with pytest.warns(UserWarning, match=f"use reduction='{reduction}'"):
        got = F.l1_loss([1.0, 2.0], [0.0, 4.0], **old)
    assert (got == F.l1_loss([1.0, 2.0], [0.0, 4.0], reduction=reduction)).all()


def test_a_reduction_in_the_place_of_an_old_boolean_is_an_error_that_names_the_argument() -> None:
    # PyTorch takes the string for True there, and averages.
    with pytest.raises(
        TypeError,
        match=r"MSELoss: size_average: expected True, False or None, got str 'sum'. It .*: write reduction='sum'\.",
    ):
        nn.MSELoss("sum")
