"""tinygrad_dl.torch beside PyTorch: random streams, initial weights, programs, optimizers, operators, files, names."""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

import tinygrad_dl.torch as ours
from tests.torch_layer.programs import PROGRAMS
from tinygrad_dl.torch.left_out import reason

torch = pytest.importorskip("torch")
from torch.utils._pytree import tree_flatten, tree_unflatten  # noqa: E402


def array(x: Any) -> Any:
    return x.detach().resolve_conj().numpy() if isinstance(x, torch.Tensor) else np.asarray(x._data)


# Random numbers

DRAWS: dict[str, Callable[[Any], Any]] = {
    "rand": lambda t: t.rand(1000),
    "rand float64": lambda t: t.rand(50, dtype=t.float64),
    "randn below 16": lambda t: t.randn(15),
    "randn": lambda t: t.randn(5000),
    "randn in blocks": lambda t: t.randn(7, 5),
    "randn float64": lambda t: t.randn(33, dtype=t.float64),
    "randint": lambda t: t.randint(3, 1000, (50,)),
    "randint wide": lambda t: t.randint(0, 2**40, (20,)),
    "randperm": lambda t: t.randperm(100),
    "uniform_": lambda t: t.empty(333).uniform_(-0.3, 0.3),
    "normal_": lambda t: t.empty(333).normal_(1.5, 0.7),
    "normal": lambda t: t.normal(t.arange(20.0), t.ones(20)),
    "bernoulli": lambda t: t.bernoulli(t.full((100,), 0.3)),
    "bernoulli_": lambda t: t.empty(100).bernoulli_(0.3),
    "exponential_": lambda t: t.empty(100).exponential_(2.0),
    "random_": lambda t: t.empty(50).random_(),
    "multinomial": lambda t: t.multinomial(t.tensor([0.1, 3.0, 0.0, 0.4]), 40, replacement=True),
    "multinomial once": lambda t: t.multinomial(t.arange(20.0).view(4, 5) + 1, 1),
    "multinomial without replacement": lambda t: t.multinomial(t.arange(1.0, 20.0), 10),
    "cauchy_": lambda t: t.empty(20).cauchy_(1.0, 2.0),
    "log_normal_": lambda t: t.empty(20).log_normal_(0.5, 0.7),
    "geometric_": lambda t: t.empty(20).geometric_(0.3),
    "poisson": lambda t: t.poisson(t.tensor([0.0, 0.5, 3.0, 9.9, 10.0, 33.0, 1000.0])),
    "Gamma": lambda t: t.distributions.Gamma(t.tensor([0.01, 0.5, 1.0, 40.0]), 2.0).sample((9,)),
    "Beta": lambda t: t.distributions.Beta(t.tensor([0.3, 2.0]), t.tensor([0.5, 30.0])).sample((9,)),
    "Dirichlet": lambda t: t.distributions.Dirichlet(t.tensor([0.3, 2.0, 9.0])).sample((9,)),
    "StudentT": lambda t: t.distributions.StudentT(t.tensor([1.5, 9.0])).sample((9,)),
    "dropout": lambda t: t.nn.functional.dropout(t.ones(200), 0.3),
    "dropout2d": lambda t: t.nn.functional.dropout2d(t.ones(4, 5, 2, 2), 0.3),
    "alpha_dropout": lambda t: t.nn.functional.alpha_dropout(t.ones(50), 0.3, training=True),
    "gumbel_softmax": lambda t: t.nn.functional.gumbel_softmax(t.zeros(5, 4)),
    "orthogonal_": lambda t: t.nn.init.orthogonal_(t.empty(5, 7)),
    "trunc_normal_": lambda t: t.nn.init.trunc_normal_(t.empty(60)),
    "sparse_": lambda t: t.nn.init.sparse_(t.empty(6, 4), 0.3),
    "kaiming_normal_": lambda t: t.nn.init.kaiming_normal_(t.empty(6, 4)),
}
# multiples of a power of two, and choices
EXACT = {"rand", "rand float64", "bernoulli", "bernoulli_", "dropout2d", "random_"}


@pytest.mark.parametrize("name", DRAWS)
def test_random_numbers_are_pytorchs(name: str) -> None:
    found = []
    for t in (torch, ours):
        t.manual_seed(1234)
        found.append([array(DRAWS[name](t)), array(DRAWS[name](t)), array(t.rand(3))])
    for a, b in zip(*found):
        assert a.dtype == b.dtype and a.shape == b.shape
        if a.dtype.kind == "f" and name not in EXACT:  # whose last bit depends on the kind of processor
            np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-6)
        else:
            np.testing.assert_array_equal(b, a)


LAID_OUT: dict[str, Callable[[Any], Any]] = {
    "transposed": lambda t: t.ones(5, 7).t(),
    "permuted": lambda t: t.ones(3, 4, 5).permute(1, 0, 2) * 2,
    "turned around": lambda t: t.ones(3, 4, 5).transpose(0, 2),
    "every other column": lambda t: t.ones(6, 4)[::2].t(),
    "a part": lambda t: t.ones(3, 4, 5)[:, :2],
    "expanded": lambda t: t.ones(5, 1).expand(5, 4),
}
FILLED: dict[str, Callable[[Any, Any], Any]] = {
    "dropout": lambda t, x: t.nn.functional.dropout(x),
    "alpha_dropout": lambda t, x: t.nn.functional.alpha_dropout(x, 0.5, True),
    "rand_like": lambda t, x: t.rand_like(x),
    "randn_like": lambda t, x: t.randn_like(x),
    "randint_like": lambda t, x: t.randint_like(x, 9),
    "bernoulli": lambda t, x: t.bernoulli(x * 0.5),
    "bernoulli_": lambda t, x: x.clone().bernoulli_(0.3),
    "normal_": lambda t, x: x.clone().normal_(),
    "init": lambda t, x: t.nn.init.uniform_(x.clone()) + t.nn.init.normal_(x.clone()),
}


@pytest.mark.parametrize("name", FILLED)
@pytest.mark.parametrize("layout", LAID_OUT)
def test_numbers_are_drawn_in_the_order_of_memory(layout: str, name: str) -> None:
    found = []
    for t in (torch, ours):
        t.manual_seed(0)
        found.append(array(FILLED[name](t, LAID_OUT[layout](t))))
    np.testing.assert_allclose(*found, rtol=1e-6)


LAYERS: dict[str, tuple[Any, ...]] = {
    "Linear": (4, 3),
    "Bilinear": (2, 3, 4),
    "Conv1d": (2, 3, 3),
    "Conv2d": (4, 6, 3),
    "ConvTranspose2d": (3, 4, 3),
    "Embedding": (10, 4, 3),
    "EmbeddingBag": (10, 4),
    "RNN": (3, 4, 2),
    "LSTM": (3, 4, 2),
    "GRU": (3, 4),
    "LSTMCell": (3, 4),
    "GRUCell": (3, 4),
    "RNNCell": (3, 4),
    "MultiheadAttention": (8, 2),
    "TransformerEncoderLayer": (8, 2, 16),
    "TransformerDecoderLayer": (8, 2, 16),
    "Transformer": (8, 2, 2, 1, 16),
    "BatchNorm2d": (3,),
    "PReLU": (),
    "AdaptiveLogSoftmaxWithLoss": (8, 20, [5, 10]),
}


@pytest.mark.parametrize("name", LAYERS)
def test_initial_weights_are_pytorchs(name: str) -> None:
    states = []
    for t in (torch, ours):
        t.manual_seed(3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            states.append({k: array(v) for k, v in getattr(t.nn, name)(*LAYERS[name]).state_dict().items()})
    theirs, own = states
    assert list(theirs) == list(own)
    for key, value in theirs.items():
        np.testing.assert_allclose(own[key], value, rtol=1e-5, atol=1e-6)


# Programs


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_has_pytorchs_losses(program: Callable[[Any], list[float]]) -> None:
    np.testing.assert_allclose(program(ours), program(torch), rtol=1e-3, atol=1e-5)


OPTIMIZERS: dict[str, dict[str, Any]] = {
    "SGD": {"lr": 0.1, "momentum": 0.9, "nesterov": True},
    "Adam": {"lr": 0.01, "amsgrad": True},
    "AdamW": {"lr": 0.01},
    "RMSprop": {"lr": 0.01, "centered": True},
    "Adagrad": {"lr": 0.1},
    "Adadelta": {},
    "Adamax": {},
    "NAdam": {},
    "RAdam": {},
    "Rprop": {},
    "ASGD": {},
    "LBFGS": {"lr": 0.5, "max_iter": 3},
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_optimizers_take_pytorchs_steps_and_go_on_from_their_state(name: str) -> None:
    results = []
    for t in (torch, ours):
        t.manual_seed(0)
        model, x = t.nn.Linear(4, 2).double(), t.randn(8, 4, dtype=t.float64)
        optimizer = getattr(t.optim, name)(model.parameters(), **OPTIMIZERS[name])
        schedule = t.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        for step in range(5):

            def closure() -> Any:
                optimizer.zero_grad()  # noqa: B023
                loss = model(x).pow(2).mean()  # noqa: B023
                loss.backward()
                return loss

            optimizer.step(closure)
            schedule.step()
            if step == 2:
                state = optimizer.state_dict()
                optimizer = getattr(t.optim, name)(model.parameters(), **OPTIMIZERS[name])
                optimizer.load_state_dict(state)
                schedule = t.optim.lr_scheduler.StepLR(optimizer, 2, 0.5)
        results.append(array(model.weight))
    np.testing.assert_allclose(results[1], results[0], rtol=1e-6, atol=1e-9)


# Files


def test_files_go_both_ways(tmp_path: Any) -> None:
    def content(t: Any) -> dict[str, Any]:
        t.manual_seed(2)
        model = t.nn.Sequential(t.nn.Linear(3, 2), t.nn.BatchNorm1d(2))
        return {
            "model": model.state_dict(),
            "epoch": 4,
            "lr": 0.1,
            "x": t.arange(6).view(2, 3).t(),
            "flags": [True, None, "a"],
        }

    torch.save(content(torch), tmp_path / "theirs.pt")
    ours.save(content(ours), tmp_path / "ours.pt")
    for back, t in (
        (ours.load(tmp_path / "theirs.pt"), ours),
        (torch.load(tmp_path / "ours.pt", weights_only=True), torch),
    ):
        expected = content(t)
        assert list(back) == list(expected) and back["flags"] == expected["flags"] and back["epoch"] == 4
        np.testing.assert_array_equal(array(back["x"]), array(expected["x"]))
        for key, value in expected["model"].items():
            np.testing.assert_array_equal(array(back["model"][key]), array(value))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_numbers_at_equal_distances_are_pytorchs(dtype: str) -> None:
    for start, end, steps in [
        (-1, 1, 18),
        (0, 10, 1000),
        (-3.3, 2.7, 37),
        (5, -5, 100),
        (2, 3, 1),
        (0, 1, 0),
    ]:
        a, b = (array(t.linspace(start, end, steps, dtype=getattr(t, dtype))) for t in (torch, ours))
        np.testing.assert_allclose(b, a, rtol=1e-15, atol=1e-15 if dtype == "float64" else 1e-12)


def test_linearized_functions_and_batch_norm_without_averages_are_pytorchs() -> None:
    x, v = ours.linspace(0.1, 1, 4).double(), ours.linspace(1, 2, 4).double()
    value, along = ours.func.linearize(lambda x: (x.sin() * x).cumsum(0), x)
    slope = (np.sin(array(x)) + np.cos(array(x)) * array(x)) * array(v)
    for factor in (1, 2):
        np.testing.assert_allclose(array(along(factor * v)), factor * np.cumsum(slope), rtol=1e-12)
    np.testing.assert_allclose(array(value), np.cumsum(np.sin(array(x)) * array(x)), rtol=1e-12)
    found = []
    for t in (torch, ours):
        model = t.nn.Sequential(t.nn.BatchNorm1d(2), t.nn.Sequential(t.nn.BatchNorm1d(2)))
        t.func.replace_all_batch_norm_modules_(model)
        found.append(array(model.eval()(t.arange(6.0).view(3, 2) ** 2)))
    np.testing.assert_allclose(found[1], found[0], rtol=1e-6)


@pytest.mark.parametrize("name", ["Conv2d", "ConvTranspose2d", "Linear"])
def test_fused_layers_are_pytorchs_and_compute_the_same(name: str) -> None:
    found = []
    for t in (torch, ours):
        t.manual_seed(0)
        linear, turned = name == "Linear", name == "ConvTranspose2d"
        layer = getattr(t.nn, name)(*((3, 4) if linear else (3, 4, 2)))
        norm = (t.nn.BatchNorm1d if linear else t.nn.BatchNorm2d)(4)
        x = t.randn(6, 3) if linear else t.randn(6, 3, 5, 5)
        norm(layer(x * 2 + 1))
        layer, norm = layer.eval(), norm.eval()
        fuse = t.nn.utils.fusion.fuse_linear_bn_eval if linear else t.nn.utils.fusion.fuse_conv_bn_eval
        fused = fuse(layer, norm, *([True] if turned else []))
        found.append([array(fused.weight), array(fused.bias), array(fused(x)), array(norm(layer(x)))])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1][2], found[1][3], rtol=1e-4, atol=1e-5)


def test_einops_takes_the_tensors_and_has_its_layers() -> None:
    pytest.importorskip("einops")
    import pickle

    import einops.layers.torch as of_pytorch
    from einops import einsum, pack, rearrange, reduce, repeat

    import tinygrad_dl.torch.einops as own

    found = []
    for t, layers in ((torch, of_pytorch), (ours, own)):
        t.manual_seed(0)
        x = t.randn(2, 3, 4, 6, requires_grad=True)
        y = rearrange(x, "b c (h p) (w q) -> b (h w) (p q c)", p=2, q=3)
        z = repeat(reduce(y, "b n d -> b d", "max"), "b d -> b k d", k=2)
        mixed = layers.EinMix("b n d -> b n (k e)", weight_shape="d k e", bias_shape="k e", d=18, k=2, e=3)
        net = t.nn.Sequential(layers.Rearrange("b n d -> b d n"), layers.Reduce("b d n -> b n", "mean"))
        packed, _ = pack([y, y.sum(1)], "b * d")
        parts = [z, mixed(y), pickle.loads(pickle.dumps(net))(y), packed, reduce(x, "b c h w -> b", "prod")]
        parts.append(einsum(y, y, "b i d, b j d -> b i j"))
        sum((p**2).sum() for p in parts).backward()
        found.append([array(p) for p in (*parts, x.grad)])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5)


# Factorizations of matrices: name -> a function of the module torch and a matrix

FACTORIZATIONS: dict[str, Any] = {
    "lu": lambda t, a: t.linalg.lu(a),
    "lu without exchanges": lambda t, a: t.linalg.lu(a.mH @ a, pivot=True),
    "lu_factor": lambda t, a: t.linalg.lu_factor(a),
    "lu_factor_ex": lambda t, a: t.linalg.lu_factor_ex(a),
    "lu_unpack": lambda t, a: t.lu_unpack(*t.linalg.lu_factor(a)),
    "lu_solve": lambda t, a: [
        t.linalg.lu_solve(
            *t.linalg.lu_factor(a @ a.mH + t.eye(a.shape[-2])), a if left else a.mH, left=left, adjoint=adjoint
        )
        for left in (True, False)
        for adjoint in (True, False)
    ],
    "solve_triangular": lambda t, a: [
        t.linalg.solve_triangular(
            a @ a.mH + t.eye(a.shape[-2]), a if left else a.mH, upper=upper, left=left, unitriangular=unit
        )
        for upper in (True, False)
        for left in (True, False)
        for unit in (True, False)
    ],
    "cholesky_solve": lambda t, a: [
        t.cholesky_solve(a, t.linalg.cholesky(a @ a.mH + t.eye(a.shape[-2]), upper=upper), upper)
        for upper in (True, False)
    ],
    "cholesky_inverse": lambda t, a: [
        t.cholesky_inverse(t.linalg.cholesky(a @ a.mH + t.eye(a.shape[-2]), upper=upper), upper)
        for upper in (True, False)
    ],
    "solve_ex": lambda t, a: t.linalg.solve_ex(a @ a.mH + t.eye(a.shape[-2]), a),
    "lstsq": lambda t, a: t.linalg.lstsq(a.expand(2, *a.shape), a.cos().expand(2, *a.shape)).solution,
    "lstsq of vectors": lambda t, a: t.linalg.lstsq(a.expand(2, *a.shape), a.cos().expand(2, *a.shape)[..., 0])[0],
    "householder_product": lambda t, a: (
        t.linalg.householder_product(a, a[..., 0, :] / 3) if a.shape[-2] >= a.shape[-1] else a
    ),
    "ormqr": lambda t, a: [t.ormqr(a, a[..., 0, : min(a.shape[-2:])] / 3, a, True, turned) for turned in (True, False)],
    "geqrf": lambda t, a: t.geqrf(a.detach()),
}  # fmt: skip


def flattened(results: Any) -> list[Any]:
    return [x for r in results for x in flattened(r)] if isinstance(results, (list, tuple)) else [results]


@pytest.mark.parametrize("shape", [(3, 3), (2, 4, 3), (2, 3, 4), (1, 1)], ids=str)
@pytest.mark.parametrize("name", FACTORIZATIONS)
def test_factorizations_are_pytorchs(name: str, shape: tuple[int, ...]) -> None:
    for dtype in ("float64", "complex128"):
        if name == "ormqr" and dtype == "complex128":
            continue  # LAPACK's own function and PyTorch's formula differ there
        numbers = np.random.default_rng(0).standard_normal((2, *shape))
        found = []
        for t in (torch, ours):
            parts = t.tensor(numbers, dtype=t.float64)
            a = (t.complex(*parts) if dtype == "complex128" else parts[0]).detach().requires_grad_()
            results = flattened(FACTORIZATIONS[name](t, a))
            smooth = [r for r in results if r.requires_grad]
            loss = sum(((r.abs() + r.real) ** 2).sum() for r in smooth)
            grads = [] if not smooth else t.autograd.grad(loss, a)
            found.append([array(r) for r in (*results, *grads)])
        assert len(found[0]) == len(found[1])
        for a, b in zip(*found):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-8)


# Distributions whose samples have a gradient at a fixed quantile

REPARAMETRIZED: dict[str, list[list[float]]] = {
    "Gamma": [[0.01, 0.3, 0.9, 1.0, 2.5, 9.0, 50.0, 1e3, 2e5], [1.0, 2.0, 3.0, 1.0, 1.0, 1.0, 2.0, 1.0, 1.0]],
    "Beta": [[0.2, 0.5, 1.0, 3.0, 30.0, 500.0, 8.0], [0.3, 2.0, 1.0, 2.0, 40.0, 2.0, 9000.0]],
    "Dirichlet": [[0.3, 1.0, 5.0, 20.0]],
    "Chi2": [[1.0, 3.0, 30.0]],
    "StudentT": [[1.5, 3.0, 30.0]],
}


@pytest.mark.parametrize("name", REPARAMETRIZED)
def test_gradients_of_samples_are_pytorchs_which_are_approximate(name: str) -> None:
    found = []
    for t in (torch, ours):
        t.manual_seed(3)
        given = [t.tensor(p, dtype=t.float64, requires_grad=True) for p in REPARAMETRIZED[name]]
        x = getattr(t.distributions, name)(*given).rsample((3,))
        (x * t.linspace(1, 2, x.numel(), dtype=t.float64).view(x.shape)).sum().backward()
        found.append([array(p.grad) for p in given])
    for a, b in zip(*found):  # PyTorch's rational approximations are good to about 1e-3
        np.testing.assert_allclose(b, a, rtol=2e-3, atol=1e-9)


# name -> its parameters; samples, densities and their gradients, moments, quantiles and entropies are compared
DISTRIBUTIONS: dict[str, tuple[Any, ...]] = {
    "Weibull": ((2.0, 0.5), (1.5, 3.0)),
    "Pareto": ((1.0, 2.0), (3.0, 2.5)),
    "Kumaraswamy": ((0.5, 2.0), (2.0, 3.0)),
    "InverseGamma": ((3.0, 4.0), (1.0, 2.0)),
    "HalfCauchy": ((1.0, 2.0),),
    "HalfNormal": ((1.0, 2.0),),
    "LogNormal": ((0.5, 2.0), (0.3, 1.0)),
    "Normal": ((0.5, 2.0), (0.3, 1.0)),
    "Laplace": ((0.5, 2.0), (0.3, 1.0)),
    "Cauchy": ((0.5, 2.0), (0.3, 1.0)),
    "Gumbel": ((0.5, 2.0), (0.3, 1.0)),
    "VonMises": ((0.5, 2.0), (0.3, 9.0)),
    "GeneralizedPareto": ((0.5, 2.0, 1.0), (0.3, 1.0, 2.0), (0.2, -0.4, 0.0)),
    "Uniform": ((0.5, 2.0), (1.3, 4.0)),
    "Exponential": ((0.5, 2.0),),
    "Gamma": ((0.5, 2.0), (0.3, 1.0)),
    "Chi2": ((0.5, 3.0),),
    "Beta": ((0.5, 2.0), (0.3, 1.0)),
    "Dirichlet": ((0.5, 2.0),),
    "StudentT": ((0.5, 5.0), (0.3, 1.0), (2.0, 1.0)),
    "Bernoulli": ((0.3, 0.7),),
    "ContinuousBernoulli": ((0.3, 0.7, 0.4995, 0.5),),
    "Geometric": ((0.3, 0.7),),
    "Poisson": ((0.3, 7.0),),
    "Binomial": ((4.0, 30.0, 900.0), (0.3, 0.6, 0.5)),
    "Categorical": ((0.3, 0.7),),
    "OneHotCategorical": ((0.3, 0.7),),
    "RelaxedBernoulli": (0.5, (0.3, 0.7)),
    "RelaxedOneHotCategorical": (0.5, (0.3, 0.7)),
    "OneHotCategoricalStraightThrough": ((0.3, 0.7),),
    "NegativeBinomial": ((3.0, 4.0), (0.3, 0.6)),
    "FisherSnedecor": ((3.0, 4.0), (5.0, 6.0)),
    "LogisticNormal": ((0.5, 2.0), (0.3, 1.0)),
    "MultivariateNormal": ((0.5, 2.0), ((2.0, 0.5), (0.5, 1.0))),
    "LowRankMultivariateNormal": ((0.5, 2.0), ((2.0,), (0.5,)), (1.0, 0.3)),
}
FACTS = ("mean", "mode", "variance", "stddev", "entropy", "perplexity", "enumerate_support")


def facts(t: Any, name: str) -> dict[str, Any]:
    t.manual_seed(1)
    given = [t.tensor(p, dtype=t.float64, requires_grad=True) for p in DISTRIBUTIONS[name]]
    one = getattr(t.distributions, name)(*given)
    x = one.rsample((4,)) if one.has_rsample else one.sample((4,))
    density = one.log_prob(x.detach())
    density.sum().backward()
    found = {
        "sample": x,
        "log_prob": density,
        "of batch": one.expand((3, *one.batch_shape)).log_prob(x[:1].detach()),
    }
    asked = {fact: lambda fact=fact: getattr(one, fact) for fact in FACTS}
    asked |= {
        "cdf": lambda: one.cdf(x.detach()),
        "icdf": lambda: one.icdf(t.full(one.batch_shape, 0.3).double()),
    }
    for fact, ask in asked.items():
        try:
            value = ask()
            found[fact] = value() if callable(value) else value
        except (NotImplementedError, AttributeError):
            pass
    return {k: array(v) for k, v in found.items()} | {
        f"gradient {i}": array(p.grad) for i, p in enumerate(given) if p.grad is not None
    }


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_distributions_are_pytorchs(name: str) -> None:
    for t in (torch, ours):
        t.set_default_dtype(t.float64)  # PyTorch's generalized Pareto compares with a number of this dtype
    try:
        theirs, own = facts(torch, name), facts(ours, name)
    finally:
        for t in (torch, ours):
            t.set_default_dtype(t.float32)
    assert theirs.keys() <= own.keys()
    for key in theirs:
        rtol = 1e-5 if name == "VonMises" else 1e-7  # PyTorch's Bessel functions are approximations
        np.testing.assert_allclose(own[key], theirs[key], rtol=rtol, atol=1e-9, err_msg=key)


def test_random_matrices_are_pytorchs() -> None:
    found = []
    for t in (torch, ours):
        t.manual_seed(4)
        one = t.distributions.LKJCholesky(3, t.tensor([0.5, 2.0]).double())
        x = one.sample((4,))
        wishart = t.distributions.Wishart(t.tensor(4.0).double(), t.tensor([[2.0, 0.5], [0.5, 1.0]]).double())
        y = t.tensor([[3.0, -1.0], [-1.0, 2.0]]).double()
        parts = [wishart.log_prob(y), wishart.entropy(), wishart.mean, wishart.mode, wishart.variance]
        found.append([array(v) for v in (x, one.log_prob(x), *parts)])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-9, atol=1e-12)
    draws = wishart.sample((2000,))
    np.testing.assert_allclose(array(draws.mean(0)), array(wishart.mean), rtol=0.1, atol=0.1)


# The parameters of a pair for KL divergences between every two of PyTorch's table

MEMBERS: dict[str, tuple[Any, ...]] = {
    "Bernoulli": ((0.3, 0.0),), "Beta": ((1.5, 0.7), (2.0, 3.0)), "Binomial": ((3.0, 4.0), (0.2, 0.6)),
    "Categorical": ((0.3, 0.7),), "ContinuousBernoulli": ((0.3, 0.8),), "Dirichlet": ((1.5, 0.7),),
    "Exponential": ((0.5, 2.0),), "Gamma": ((1.5, 0.7), (2.0, 3.0)), "Gumbel": ((0.5, -1.0), (2.0, 1.0)),
    "Geometric": ((0.3, 0.6),), "HalfNormal": ((0.3, 0.6),), "Laplace": ((0.5, -1.0), (2.0, 1.0)),
    "LowRankMultivariateNormal": ((0.5, 2.0), ((2.0,), (0.5,)), (1.0, 0.3)),
    "MultivariateNormal": ((0.5, 1.0), ((2.0, 0.5), (0.5, 1.0))), "Normal": ((0.5, -1.0), (2.0, 1.0)),
    "OneHotCategorical": ((0.3, 0.7),), "Pareto": ((1.0, 0.5), (3.0, 1.5)), "Poisson": ((0.3, 7.0),),
    "Uniform": ((0.1, -0.2), (0.7, 3.0)), "Cauchy": ((0.5, -1.0), (2.0, 1.0)),
}  # fmt: skip


def test_divergences_are_pytorchs_for_all_pairs_of_its_table() -> None:
    pairs = [
        (p.__name__, q.__name__)
        for p, q in torch.distributions.kl._KL_REGISTRY
        if {p.__name__, q.__name__} <= MEMBERS.keys()
    ]
    assert len(pairs) > 80
    for first, second in pairs:
        found = []
        for t in (torch, ours):
            p, q = (
                getattr(t.distributions, n)(*[t.tensor(v).double() * s for v in MEMBERS[n]])
                for n, s in ((first, 1.0), (second, 1.0 if second in ("Binomial", "Bernoulli") else 1.25))
            )
            found.append(array(t.distributions.kl_divergence(p, q)))
        np.testing.assert_allclose(
            found[1], found[0], rtol=1e-9, atol=1e-12, err_msg=f"{first} from {second}"
        )


# Transforms, with the shape of their arguments

TRANSFORMS: dict[str, Any] = {
    "ExpTransform": (2, 3), "SigmoidTransform": (2, 3), "SoftplusTransform": (2, 3), "TanhTransform": (2, 3),
    "StickBreakingTransform": (2, 3), "SoftmaxTransform": (2, 3), "CorrCholeskyTransform": (2, 3),
    "LowerCholeskyTransform": (2, 3, 3), "PositiveDefiniteTransform": (2, 3, 3),
}  # fmt: skip


def of_transform(one: Any, x: Any) -> list[Any]:
    y = one(x)
    found = [y, one.inv(y)]
    try:
        found.append(one.log_abs_det_jacobian(x, y))
    except NotImplementedError:
        pass
    return [*found, t_shape(one.forward_shape(x.shape)), t_shape(one.inverse_shape(y.shape))]


def t_shape(shape: Any) -> Any:
    return np.array(tuple(shape))


def test_transforms_are_pytorchs() -> None:
    found = []
    for t in (torch, ours):
        tr = t.distributions.transforms
        x = t.linspace(-1, 1, 18).double().view(2, 3, 3)
        results = [
            of_transform(getattr(tr, n)(), x if len(s) == 3 else x[:, 0]) for n, s in TRANSFORMS.items()
        ]
        affine = tr.AffineTransform(
            t.tensor([1.0, 2.0, 3.0]).double(), t.tensor([2.0, -1.0, 0.5]).double(), 1
        )
        pieces = [tr.ExpTransform(), affine, tr.TanhTransform()]
        results += [
            of_transform(one, x)
            for one in (
                tr.ComposeTransform([tr.TanhTransform(), affine]),
                tr.IndependentTransform(tr.ExpTransform(), 2),
                tr.ReshapeTransform((3, 3), (9,)),
                tr.StackTransform([tr.ExpTransform(), tr.TanhTransform(), tr.ExpTransform()], 1),
                tr.CatTransform([tr.ExpTransform(), tr.TanhTransform()], 1, [1, 2]),
            )
        ]
        flow = t.distributions.TransformedDistribution(
            t.distributions.Normal(t.zeros(2, 3).double(), 1.0), [pieces[1], pieces[2]]
        )
        results.append(
            [flow.log_prob(x[0, :2].abs() / 2), t_shape(flow.batch_shape), t_shape(flow.event_shape)]
        )
        for name in "positive unit_interval simplex lower_cholesky corr_cholesky positive_definite".split():
            constraint = getattr(t.distributions.constraints, name)
            y = (
                t.distributions.transform_to(constraint)(x if "chol" in name or "def" in name else x[:, 0])
                if name != "corr_cholesky"
                else t.distributions.biject_to(constraint)(x[:, 0])
            )
            results.append([y, constraint.check(y)])
        found.append([r if isinstance(r, np.ndarray) else array(r) for rs in results for r in rs])
    assert len(found[0]) == len(found[1])
    for a, b in zip(*found):
        np.testing.assert_allclose(b, a, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize(
    "wrong",
    [
        lambda t: t.distributions.Normal(t.zeros(2), t.tensor([1.0, -1.0])),
        lambda t: t.distributions.Categorical(logits=t.tensor([0.0, math.nan])),
        lambda t: t.distributions.Bernoulli(0.5).log_prob(t.tensor(2.0)),
        lambda t: t.distributions.Normal(t.zeros(3), t.ones(3)).log_prob(t.zeros(2)),
        lambda t: t.distributions.Categorical(t.ones(3)).log_prob(t.tensor(5)),
        lambda t: t.distributions.Normal(0.0, 1.0).log_prob(2.0),
        lambda t: t.distributions.Exponential(1.0).expand((2,)).log_prob(-t.ones(2)),
    ],
)
def test_wrong_parameters_and_samples_of_distributions_have_pytorchs_errors(wrong: Any) -> None:
    messages = []
    for t in (torch, ours):
        with pytest.raises(ValueError) as caught:
            wrong(t)
        messages.append(str(caught.value).splitlines()[0])
    assert messages[0] == messages[1]


def test_mixtures_transforms_and_divergences_are_pytorchs() -> None:
    found = []
    for t in (torch, ours):
        d = t.distributions
        t.manual_seed(2)
        mixture = d.MixtureSameFamily(
            d.Categorical(t.tensor([0.2, 0.8])), d.Normal(t.tensor([0.0, 3.0]), t.tensor([1.0, 2.0]))
        )
        x = mixture.sample((5,))
        normal = d.Normal(t.zeros(2), t.ones(2))
        squashed = d.TransformedDistribution(normal, [d.transforms.TanhTransform(cache_size=1)])
        y = squashed.rsample()
        pairs = [
            [d.Beta(t.tensor(2.0), t.tensor(p)) for p in (1.0, 3.0)],
            [d.Dirichlet(t.tensor([2.0, p])) for p in (1.0, 3.0)],
            [d.LogNormal(t.tensor(p), t.tensor(p)) for p in (1.0, 3.0)],
            [d.HalfNormal(t.tensor(p)) for p in (1.0, 3.0)],
            [d.Geometric(t.tensor(p)) for p in (0.3, 0.6)],
        ]
        found.append(
            [x, mixture.log_prob(x), mixture.mean, mixture.variance, y, squashed.log_prob(y)]
            + [d.kl_divergence(*pair) for pair in pairs]
        )
    for a, b in zip(*found):
        np.testing.assert_allclose(array(b), array(a), rtol=1e-5, atol=1e-6)


# torch.special

NUMBERS = [-30.0, -5.3, -2.0, -1.0, -0.99, -0.5, -1e-3, 0.0, 1e-3, 0.3, 0.5, 0.7, 0.999, 1.0, 1.5, 2.0, 3.3, 4.0,
           5.5, 9.0, 20.0, 31.0, 60.0, 1e3, math.inf, -math.inf, math.nan]  # fmt: skip
SPECIAL = (
    "digamma entr erfc erfcx erfinv gammaln i0 i0e i1 i1e log_ndtr ndtr ndtri sinc logit "
    "gammainc gammaincc xlog1py xlogy zeta chebyshev_polynomial_t hermite_polynomial_h laguerre_polynomial_l "
    "legendre_polynomial_p shifted_chebyshev_polynomial_u modified_bessel_k0 bessel_j0 airy_ai"
).split()


@pytest.mark.parametrize("name", SPECIAL)
def test_special_functions_have_pytorchs_values_and_gradients(name: str) -> None:
    theirs, own = getattr(torch.special, name), getattr(ours.special, name)
    binary = name in ("gammainc", "gammaincc", "xlog1py", "xlogy", "zeta") or "polynomial" in name
    if name in SCIPYS:
        pytest.importorskip("scipy")
    for second in (3.0, 2.5, 1.0) if binary else (None,):
        pairs = [torch.tensor(NUMBERS, dtype=torch.float64), ours.tensor(NUMBERS, dtype=ours.float64)]
        more = [] if second is None else [second]
        # of zeta and the incomplete gamma functions the second argument has a derivative
        order = slice(None, None, -1 if name in ("zeta", "gammainc", "gammaincc") else 1)
        results = []
        for x, f, t in zip(pairs, (theirs, own), (torch, ours)):
            x.requires_grad_()
            y = f(*[x, *(t.tensor(v, dtype=t.float64) for v in more)][order])
            results.append((y, x))
        (a, x), (b, z) = results
        # at the infinities and poles PyTorch's functions differ among themselves
        regular = np.isfinite(array(a)) & np.isfinite(NUMBERS)
        tolerance = 1e-6 if name in SCIPYS else 1e-12  # PyTorch's are approximations
        np.testing.assert_allclose(array(b)[regular], array(a)[regular], rtol=1e-6, atol=tolerance)
        assert (np.isnan(array(b)) <= (np.isnan(array(a)) | np.isnan(NUMBERS))).all()
        if not a.requires_grad:
            continue
        (first,), (found,) = torch.autograd.grad(a.sum(), x), ours.autograd.grad(b.sum(), z)
        regular &= np.isfinite(first.numpy()) & (abs(first.numpy()) < 1e20)
        np.testing.assert_allclose(array(found)[regular], first.numpy()[regular], rtol=1e-6, atol=1e-11)


SCIPYS = ("modified_bessel_k0", "bessel_j0", "airy_ai")


# Operators

# name -> why it is not compared
NOT_COMPARED = {
    "empty": "not defined",
    "empty_like": "not defined",
    "new_empty": "not defined",
    "empty_strided": "not defined",
    "randn": "the database seeds",
    "randn_like": "",
    "rand_like": "",
    "randint": "",
    "randint_like": "",
    "multinomial": "",
    "normal": "",
    "bernoulli": "",
    "nn.functional.rrelu": "",
    "nn.functional.dropout2d": "the database seeds",
    "nn.functional.dropout3d": "",
    "nn.functional.feature_alpha_dropout": "",
    "nn.functional.scaled_dot_product_attention": "it draws",
    "nn.functional.multi_head_attention_forward": "it draws",
    "nn.functional.fractional_max_pool2d": "it draws",
    "nn.functional.fractional_max_pool3d": "it draws",
    "svd": "signs are free",
    "linalg.svd": "signs are free",
    "linalg.eig": "order is free",
    "linalg.eigh": "signs are free",
    "linalg.eigvalsh": "the gradient of one triangle",
    "linalg.pinv": "of Hermitian matrices: the gradient of one triangle",
    "linalg.lstsq": "empty results",
    "nn.functional.triplet_margin_with_distance_loss": "takes PyTorch's own functions",
    "nn.functional.embedding": "called with exchanged arguments",
    "nn.functional.embedding_bag": "",
    "where": "",
    "nn.functional.multi_margin_loss": "of numbers",
    "nn.functional.gaussian_nll_loss": "losses do not broadcast",
    "nn.functional.batch_norm": "of empty vectors",
    "nextafter": "no derivative",
    "sgn": "ZeroTensor",
    "as_strided": "of Tensors with gaps",
    "as_strided_scatter": "overlapping",
    "nn.functional.avg_pool2d": "an empty stride",
    "addbmm": "broadcasts in place",
    "zero_": "of a leaf",
    "bfloat16": "float32 here",
    "double": "not callable in torch",
    "float": "",
    "half": "",
    "int": "",
    "long": "",
    "short": "",
    "bool": "",
    "cdouble": "",
    "cfloat": "",
    "normal.in_place": "",
    "to": "",
    "linalg.norm": "the subgradient at 0",
    "cholesky_inverse": "PyTorch's derivative is that of a full matrix, of which only a triangle is read",
    "cholesky_solve": "PyTorch's derivative is that of a full matrix, of which only a triangle is read",
    "nn.functional.dropout": "its samples seed PyTorch themselves",
    "nn.functional.alpha_dropout": "its samples seed PyTorch themselves",
    "linalg.householder_product": "an empty matrix",
}


def operators() -> Iterator[Any]:
    # PyTorch's tests change its settings when they are imported
    from torch.testing._internal.common_methods_invocations import op_db

    for op in op_db:
        outside = op.name.startswith(
            ("_", "ops.", "torch.", "sparse", "jiterator", "masked.", "signal.", "special.")
        )
        if outside or op.name in NOT_COMPARED or op.name.endswith("_copy") or torch.float64 not in op.dtypes:
            continue
        if _found(op.name) is not None:
            yield pytest.param(op, id=f"{op.name}.{op.variant_test_name}".rstrip("."))


def _found(name: str) -> Any:
    place: Any = ours
    for part in name.split("."):
        place = getattr(place, part, None)
        if place is None:
            return None
    return place


def translated(x: Any) -> Any:
    if isinstance(x, torch.Tensor):
        made = ours.tensor(x.detach().resolve_conj().resolve_neg().numpy().copy())
        return made.requires_grad_() if x.requires_grad else made
    if isinstance(x, torch.Size):
        return ours.Size(x)
    if isinstance(x, (list, tuple)):
        return type(x)(map(translated, x)) if not hasattr(x, "_fields") else tuple(map(translated, x))
    if isinstance(x, dict):
        return {key: translated(v) for key, v in x.items()}
    if isinstance(x, torch.dtype):
        return getattr(ours, str(x).partition(".")[2])
    return "cpu" if isinstance(x, torch.device) else x


def flat(x: Any) -> list[Any]:
    if isinstance(x, dict):
        x = list(x.values())
    return [v for part in x for v in flat(part)] if isinstance(x, (list, tuple)) else [] if x is None else [x]


def compare(op: Any, theirs: Any, own: Any, sample: Any, in_place: bool) -> None:
    target = sample.input
    given, args, kwargs = translated(target), translated(sample.args), translated(sample.kwargs)
    left, right = (target * 1, given * 1) if in_place else (target, given)
    torch.manual_seed(0)
    ours.manual_seed(0)
    try:
        expected = flat(theirs(left, *sample.args, **sample.kwargs))
    except (RuntimeError, TypeError, IndexError, ValueError, NotImplementedError):
        return  # in place, this sample is not possible
    found = flat(own(right, *args, **kwargs))
    assert len(expected) == len(found)
    for a, b in zip(expected, found):
        if not isinstance(a, torch.Tensor):
            assert a == b
            continue
        assert array(a).dtype == array(b).dtype
        np.testing.assert_allclose(array(b), array(a), rtol=1e-6, atol=1e-8)
    pairs = [(a, b) for a, b in zip(expected, found) if isinstance(a, torch.Tensor) and a.requires_grad]
    if not pairs:
        return
    inputs = [
        [x for x in flat([i, a, k]) if isinstance(x, kind) and x.requires_grad]
        for i, a, k, kind in (
            (target, sample.args, sample.kwargs, torch.Tensor),
            (given, args, kwargs, ours.Tensor),
        )
    ]
    rng = np.random.default_rng(0)
    seeds = [rng.standard_normal(tuple(a.shape)) for a, _ in pairs]
    seeds = [
        s + 1j * rng.standard_normal(s.shape) if a.is_complex() else s for s, (a, _) in zip(seeds, pairs)
    ]
    if in_place and op.name in ("acosh", "asinh", "atanh"):
        return  # PyTorch has no derivative in place
    first = torch.autograd.grad(
        [a for a, _ in pairs], inputs[0], [torch.tensor(s) for s in seeds], allow_unused=True
    )
    second = ours.autograd.grad(
        [b for _, b in pairs], inputs[1], [ours.tensor(s) for s in seeds], allow_unused=True
    )
    for a, b in zip(first, second):
        if a is None or b is None:
            assert not np.any(array(b if a is None else a)) if (a is None) != (b is None) else True
        else:
            np.testing.assert_allclose(array(b), array(a), rtol=1e-5, atol=1e-7)


THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
SAMPLES = 60 if THOROUGH else 4


def samples_of(op: Any, requires_grad: bool, dtype: Any = torch.float64) -> list[Any]:
    state = np.random.get_state()  # noqa: NPY002  the database seeds it
    torch.manual_seed(0)
    samples = list(op.sample_inputs("cpu", dtype, requires_grad=requires_grad))
    np.random.set_state(state)  # noqa: NPY002
    return samples[:: max(1, len(samples) // SAMPLES)][:SAMPLES]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", list(operators()))
def test_an_operator_has_pytorchs_values_and_gradients_as_function_method_and_in_place(op: Any) -> None:
    for sample in samples_of(op, op.supports_autograd):
        compare(op, op.op, _found(op.name), sample, False)
        for variant, in_place in ((op.method_variant, False), (op.inplace_variant, True)):
            name = getattr(variant, "__name__", "<lambda>")
            own = getattr(ours.Tensor, name, None)
            if name != "<lambda>" and own is not None and isinstance(sample.input, torch.Tensor):
                compare(op, variant, own, sample, in_place)


# Of complex numbers, and why.
NOT_COMPLEX = {
    "cholesky": "a gradient of the real diagonal that is not real",
    "linalg.cholesky": "a gradient of the real diagonal that is not real",
    "linalg.cholesky_ex": "a gradient of the real diagonal that is not real",
    "cov": "of two numbers, whose differences cancel",
    "logaddexp": "of real numbers only, as in NumPy",
    "logcumsumexp": "of real numbers only",
    "softmax": "PyTorch drops imaginary parts for a real dtype",
    "log_softmax": "PyTorch drops imaginary parts for a real dtype",
    "nn.functional.softmin": "PyTorch drops imaginary parts for a real dtype",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize(
    "op",
    [
        p
        for p in operators()
        if torch.complex128 in p.values[0].dtypes and p.values[0].name not in NOT_COMPLEX
    ],
)
def test_an_operator_has_pytorchs_values_and_gradients_of_complex_numbers(op: Any) -> None:
    for sample in samples_of(op, op.supports_autograd, torch.complex128):
        compare(op, op.op, _found(op.name), sample, False)


# What func.vmap and func.jvp are not compared in, and why.
NOT_TRANSFORMED = {
    "nn.functional.dropout": "its samples seed PyTorch themselves",
    "nn.functional.alpha_dropout": "its samples seed PyTorch themselves",
    "nn.functional.ctc_loss": "half a batch is no log-probabilities, which are normalized here",
    "linalg.cholesky": "of tangents that are not symmetric",
    "linalg.cholesky_ex": "of tangents that are not symmetric",
    "cholesky_inverse": "PyTorch's derivative is that of a full matrix, of which only a triangle is read",
    "cholesky_solve": "PyTorch's derivative is that of a full matrix, of which only a triangle is read",
    "linspace": "a batch of ends",
    "logspace": "a batch of ends",
    "resize_as_": "it writes in place",
    "geqrf": "PyTorch has no derivative",
    "nn.functional.nll_loss": "PyTorch leaves out the tangent of the weights",
    "nn.functional.linear_cross_entropy": "PyTorch leaves out the tangent of the weights",
    "var": "of no elements, which is nan",
    "var_mean": "of no elements, which is nan",
}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("op", [p for p in operators() if p.values[0].name not in NOT_TRANSFORMED])
def test_an_operator_is_transformed_as_pytorch_does(op: Any) -> None:
    own = _found(op.name)

    def caller(f: Any, leaves: list[Any], kind: Any) -> Any:
        """The Tensors that come of f when the floating ones of its arguments are these."""

        def call(*values: Any) -> tuple[Any, ...]:
            filled = list(leaves)
            for i, value in zip(places, values):
                filled[i] = value
            first, args, kwargs = tree_unflatten(filled, spec)
            return tuple(x for x in flat(f(first, *args, **kwargs)) if isinstance(x, kind))

        return call

    def equal(expected: Any, found: Any) -> None:
        assert len(expected) == len(found)
        for a, b in zip(expected, found):
            a = a.detach().resolve_conj().resolve_neg().numpy(force=True)
            np.testing.assert_allclose(array(b), a, rtol=1e-5, atol=1e-7)

    for sample in samples_of(op, False):
        leaves, spec = tree_flatten((sample.input, sample.args, sample.kwargs))
        places = [i for i, x in enumerate(leaves) if isinstance(x, torch.Tensor) and x.is_floating_point()]
        if not places:
            continue
        theirs = caller(op.op, leaves, torch.Tensor)
        ours_ = caller(own, [translated(x) for x in leaves], ours.Tensor)
        primals, rng = [leaves[i] for i in places], np.random.default_rng(0)
        tangents = [torch.tensor(rng.standard_normal(tuple(x.shape))) for x in primals]
        if op.supports_forward_ad:
            try:
                expected = torch.func.jvp(theirs, tuple(primals), tuple(tangents))
            except (RuntimeError, NotImplementedError):
                continue  # not of this sample
            found = ours.func.jvp(ours_, tuple(map(translated, primals)), tuple(map(translated, tangents)))
            for a, b in zip(expected, found):
                real = [k for k, x in enumerate(a) if x.is_floating_point() or x.is_complex()]
                equal([a[k] for k in real], [b[k] for k in real])
        batch = [torch.stack([x, 0.9 * x]) for x in primals]
        try:
            each = [theirs(*(x[k] for x in batch)) for k in (0, 1)]
        except (RuntimeError, ValueError):
            continue  # nor of half of it
        if each[0]:
            equal(
                [torch.stack(column) for column in zip(*each)],
                ours.func.vmap(ours_, randomness="same")(*map(translated, batch)),
            )


# Text


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"precision": 2},
        {"sci_mode": True},
        {"sci_mode": False},
        {"linewidth": 40},
        {"edgeitems": 2, "threshold": 10},
    ],
    ids=str,
)
def test_tensors_are_printed_as_pytorch_prints_them(options: Any) -> None:
    rng = np.random.default_rng(0)
    values: list[Any] = [
        lambda shape: rng.standard_normal(shape),
        lambda shape: rng.integers(-5, 100, shape),
        lambda shape: 10.0 ** rng.integers(-7, 9, shape) * rng.choice([-1, 1], shape),
        lambda shape: rng.choice([0.0, -0.0, np.nan, np.inf, -np.inf, 12.0, 2.0], shape),
        lambda shape: rng.choice([np.nan, np.inf, 0.0], shape),
        lambda shape: rng.integers(-3000, 3000, shape) + 0.5,
        np.zeros,
    ]
    shapes = [(), (1,), (0,), (2, 0), (30,), (2, 3), (2, 2, 2), (2, 1, 2, 3), (1001,), (40, 30), (3, 300, 2)]
    kinds = ["float32", "float64", "float16", "complex64", "int64", "int32", "uint8", "bool"]
    try:
        for t in (torch, ours):
            t.set_printoptions(profile="default")
            t.set_printoptions(**options)
        for value in values:
            for shape in shapes:
                for kind in kinds:
                    with np.errstate(invalid="ignore", over="ignore"):
                        x = np.asarray(value(shape)).astype(kind)
                    theirs, own = torch.tensor(x), ours.tensor(x)
                    assert repr(own) == repr(theirs)
                    if x.dtype.kind in "fc":
                        assert repr(own.requires_grad_()) == repr(theirs.requires_grad_())
                        assert repr(own * 1) == repr(theirs * 1)
    finally:
        for t in (torch, ours):
            t.set_printoptions(profile="default")


# Quantiles


@pytest.mark.parametrize("interpolation", ["linear", "lower", "higher", "midpoint", "nearest"])
@pytest.mark.parametrize("name", ["quantile", "nanquantile"])
def test_quantiles_and_their_gradients_are_pytorchs(name: str, interpolation: str) -> None:
    rng = np.random.default_rng(0)
    with_nan = rng.standard_normal((2, 5, 3))
    with_nan[0, 1, 2] = np.nan
    for x in (rng.standard_normal(()), rng.standard_normal(5), rng.integers(0, 3, (3, 4)) * 1.0, with_nan):
        for q in (0.0, 0.5, 0.3, [0.1, 0.25, 1.0]):
            for dim in (None, 0, -1):
                for keepdim in (False, True):
                    found = []
                    for t in (torch, ours):
                        value, fraction = t.tensor(x, requires_grad=True), t.tensor(q, dtype=t.float64)
                        out = getattr(t, name)(value, fraction, dim, keepdim, interpolation=interpolation)
                        (
                            out.nan_to_num() * t.arange(1.0, 1 + out.numel()).reshape(out.shape)
                        ).sum().backward()
                        found.append((out.detach().numpy(), value.grad.numpy()))
                    for a, b in zip(*found):
                        assert a.shape == b.shape
                        np.testing.assert_allclose(b, a, rtol=1e-12)


# Names


@pytest.mark.parametrize(
    ("place", "names"),
    [
        ("torch", lambda: [n for n in dir(torch) if not n.startswith("_")]),
        ("Tensor", lambda: [n for n in dir(torch.Tensor) if not n.startswith("_")]),
        ("nn", lambda: [n for n in dir(torch.nn) if not n.startswith("_")]),
        ("nn.functional", lambda: [n for n in dir(torch.nn.functional) if not n.startswith("_")]),
        ("nn.init", lambda: [n for n in dir(torch.nn.init) if n.endswith("_") and n[0] != "_"]),
        ("special", lambda: torch.special.__all__),
        ("linalg", lambda: [n for n in dir(torch.linalg) if n[0] != "_" and n.islower()]),
        ("fft", lambda: torch.fft.__all__),
        ("optim", lambda: [n for n in dir(torch.optim) if n[0].isupper()]),
        ("optim.lr_scheduler", lambda: torch.optim.lr_scheduler.__all__),
        ("utils.data", lambda: torch.utils.data.__all__),
    ],
)
def test_names_are_there_or_left_out_with_a_reason(place: str, names: Callable[[], list[str]]) -> None:
    own = _found(place) if place != "torch" else ours
    missing = [name for name in names() if not hasattr(own, name) and not reason(name)]
    there = [name for name in names() if hasattr(own, name)]
    assert len(there) >= 0.9 * (len(there) + len(missing)), missing
