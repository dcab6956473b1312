"""Which values of a metric are the better ones: for early stopping, the best epoch, plots and pruning."""

from __future__ import annotations

import re
from typing import Literal

#: "max" where larger values of a metric are better, "min" where smaller ones are.
Mode = Literal["min", "max"]

# The names of scikit-learn's scorers, except neg_*; tests/test_directions.py compares them with the scorers.
HIGHER = frozenset(
    """
    accuracy adjusted_mutual_info_score adjusted_rand_score auc average_precision balanced_accuracy
    completeness_score d2_absolute_error_score d2_brier_score d2_log_loss_score explained_variance f1
    fowlkes_mallows_score homogeneity_score jaccard matthews_corrcoef mutual_info_score
    normalized_mutual_info_score positive_likelihood_ratio precision r2 rand_score recall roc_auc roc_auc_ovo
    roc_auc_ovr top_k_accuracy v_measure_score
    """.split()
)
# lr and seconds are no metrics, but stand beside them in a history.
LOWER = frozenset(
    "brier_score lr mae mape mse msle negative_likelihood_ratio perplexity rmse rmsle seconds".split()
)
AVERAGES = re.compile(r"_(macro|micro|samples|weighted)$")
AT_K = re.compile(r"(top|(precision|recall|accuracy|f1)(@|_at_|@_|_top|_))_?\d+")


def higher_is_better(name: str, mode: Mode | None = None) -> bool | None:
    """Whether larger values of a metric are better; None where neither its name nor `mode` tells.

    Known are the built-in metrics, the names of scikit-learn's scorers, and names that end in loss, error or
    deviance, also as dev_, train_, val_ and test_.

    >>> higher_is_better("dev_balanced_accuracy"), higher_is_better("dev_loss"), higher_is_better("iou")
    (True, False, None)
    """
    if mode is not None:
        return mode == "max"
    name = re.sub(r"^(dev|train|val|test)_", "", name)
    if name.startswith("neg_"):
        positive = higher_is_better(name[4:])
        return None if positive is None else not positive
    plain = AVERAGES.sub("", name)
    if plain in HIGHER or plain.removesuffix("_score") in HIGHER or AT_K.fullmatch(plain):
        return True
    if plain in LOWER or re.search(r"(^|_)(loss|error|deviance)$", plain):
        return False
    return None
