"""torch.distributions: with sample, rsample, log_prob, entropy, and kl_divergence between two."""

from __future__ import annotations

import sys
from typing import Any

from tinygrad_dl.torch.distributions import constraints as constraints
from tinygrad_dl.torch.distributions import discrete, gamma, location_scale, multivariate, transformed
from tinygrad_dl.torch.distributions import transforms as transforms
from tinygrad_dl.torch.distributions.distribution import Distribution as Distribution
from tinygrad_dl.torch.distributions.distribution import ExponentialFamily as ExponentialFamily
from tinygrad_dl.torch.distributions.distribution import broadcast_all as broadcast_all
from tinygrad_dl.torch.distributions.divergences import kl_divergence as kl_divergence
from tinygrad_dl.torch.distributions.divergences import register_kl as register_kl
from tinygrad_dl.torch.distributions.transforms import biject_to as biject_to
from tinygrad_dl.torch.distributions.transforms import identity_transform as identity_transform
from tinygrad_dl.torch.distributions.transforms import transform_to as transform_to

for _part in (location_scale, gamma, discrete, multivariate, transformed, transforms):
    for _name, _one in list(vars(_part).items()):
        if isinstance(_one, type) and _one.__module__ == _part.__name__ and not _name.startswith("_"):
            globals()[_name] = _one


def __getattr__(name: str) -> Any:
    from tinygrad_dl.torch.left_out import missing

    raise missing("torch.distributions", name, globals())


# PyTorch's files: torch.distributions.normal.Normal
for _name in (
    "bernoulli beta binomial categorical cauchy chi2 constraint_registry continuous_bernoulli dirichlet exp_family "
    "exponential fishersnedecor generalized_pareto geometric gumbel half_cauchy half_normal independent inverse_gamma "
    "kl kumaraswamy laplace lkj_cholesky log_normal logistic_normal lowrank_multivariate_normal mixture_same_family "
    "multinomial multivariate_normal negative_binomial normal one_hot_categorical pareto poisson relaxed_bernoulli "
    "relaxed_categorical studentT transformed_distribution uniform utils von_mises weibull wishart"
).split():
    globals()[_name] = sys.modules[f"{__name__}.{_name}"] = sys.modules[__name__]
