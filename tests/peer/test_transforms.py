"""PyTorch's operator database under torch.vmap and in forward mode, ours beside; and torch.func's own examples.

`python -m tests.peer.test_transforms` prints how many samples agree.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from typing import Any

import numpy as np
import pytest

from tests.peer.operators import OURS, Unlike
from tests.peer.test_operators import COMPARED, INFOS, flat, samples_of, translated
from tests.peer.test_operators import (
    samples_leave_numpys_generator_alone as samples_leave_numpys_generator_alone,
)
from tinygrad_dl import Tensor, func, nn, stack

torch = pytest.importorskip("torch", reason="PyTorch, which is compared with, is not installed")

SAMPLES = 6  # of an operator at most
RTOL, ATOL = 1e-6, 1e-8
EXAMPLES = 3


def few(found: list[Any]) -> list[Any]:
    return found[:: max(1, -(-len(found) // SAMPLES))]


def prepared(name: str, sample: Any) -> tuple[Any, list[Any], Any, list[Any]]:
    """Their function and ours of the inputs that require grad, and these."""
    info = INFOS[name]
    pairs: list[tuple[Any, Tensor]] = []
    arguments = [translated(v, pairs) for v in (sample.input, *sample.args)]
    options = {k: translated(v, pairs) for k, v in sample.kwargs.items()}
    if info.gradcheck_wrapper.__name__ == "gradcheck_wrapper_hermitian_input":
        raise Unlike("the sample is made symmetric before the call")
    if not pairs:
        raise Unlike("nothing requires grad")
    view = COMPARED.get(name, lambda r: r)
    old = {id(t): i for i, (t, _) in enumerate(pairs)}
    mine = {id(x): i for i, (_, x) in enumerate(pairs)}

    def swapped(value: Any, places: dict[int, int], new: tuple[Any, ...]) -> Any:
        if id(value) in places:
            return new[places[id(value)]]
        if type(value) in (tuple, list):
            return type(value)(swapped(v, places, new) for v in value)
        return value

    def theirs(*new: Any) -> Any:
        args = [swapped(v, old, new) for v in (sample.input, *sample.args)]
        kwargs = {k: swapped(v, old, new) for k, v in sample.kwargs.items()}
        return tuple(flat(view(info.get_op()(*args, **kwargs))))

    def ours(*new: Any) -> Any:
        args = [swapped(v, mine, new) for v in arguments]
        kwargs = {k: swapped(v, mine, new) for k, v in options.items()}
        return tuple(flat(view(OURS[name](*args, **kwargs))))

    return theirs, [t.detach() for t, _ in pairs], ours, [x.detach() for _, x in pairs]


def agree(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for f, e in zip(found, expected):
        assert f.shape == tuple(e.shape)
        np.testing.assert_allclose(f.detach().numpy(), (e.detach() + 0).numpy(), RTOL, ATOL)


def compare_forward(name: str, sample: Any) -> None:
    if "max_unpool" in name:
        raise Unlike("windows that overlap give a place several values, and which one stays is not defined")
    theirs, inputs, ours, values = prepared(name, sample)
    rng = np.random.default_rng(0)
    tangents = [rng.uniform(-1, 1, v.shape) for v in values]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            _, expected = torch.func.jvp(theirs, tuple(inputs), tuple(map(torch.from_numpy, tangents)))
        except (RuntimeError, TypeError, AssertionError, ValueError) as error:
            raise Unlike(f"torch.func.jvp fails: {error}") from None
        if any(e.dtype.is_complex for e in expected):
            raise Unlike("the result is complex")
        _, found = func.jvp(ours, tuple(values), tuple(map(Tensor, tangents)))
    kept = [k for k, e in enumerate(expected) if e.dtype.is_floating_point]
    agree([found[k] for k in kept], [expected[k] for k in kept])


def compare_vmap(name: str, sample: Any) -> None:
    if name == "nn.functional.ctc_loss":
        raise Unlike("the examples would be scaled, and such are no logarithms of probabilities")
    theirs, inputs, ours, values = prepared(name, sample)
    rng = np.random.default_rng(0)
    # Examples that differ little, so that they stay where the operator is defined
    factors = [1 + 0.01 * rng.uniform(-1, 1, (EXAMPLES, *[1] * v.ndim)) for v in values]
    several = [v.data * f for v, f in zip(values, factors)]
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            expected = torch.func.vmap(theirs, randomness="same")(*map(torch.from_numpy, several))
        except (RuntimeError, TypeError, AssertionError, ValueError, NotImplementedError) as error:
            raise Unlike(f"torch.func.vmap fails: {error}") from None
        if any(e.dtype.is_complex for e in expected):
            raise Unlike("the result is complex")
        found = func.vmap(ours, randomness="same")(*map(Tensor, several))
    agree(found, expected)


MAPPED = sorted(n for n, info in INFOS.items() if info.supports_autograd and torch.float64 in info.dtypes)
FORWARD = [n for n in MAPPED if getattr(INFOS[n], "supports_fwgrad_bwgrad", False)]


@pytest.mark.parametrize("name", FORWARD)
def test_forward_mode_is_pytorchs(name: str) -> None:
    _each(name, compare_forward)


@pytest.mark.parametrize("name", MAPPED)
def test_vmap_is_pytorchs(name: str) -> None:
    _each(name, compare_vmap)


def _each(name: str, compare: Any) -> None:
    compared = 0
    for sample in few(samples_of(INFOS[name], torch.float64)):
        try:
            compare(name, sample)
            compared += 1
        except Unlike:
            pass
    if not compared:
        pytest.skip("no sample can be compared")


# The examples of torch.func's documentation


def test_per_sample_gradients_of_a_network() -> None:
    theirs = torch.nn.Sequential(torch.nn.Linear(5, 4), torch.nn.Tanh(), torch.nn.Linear(4, 3))
    ours = nn.Sequential(nn.Linear(5, 4), nn.Tanh(), nn.Linear(4, 3))
    ours.load_state_dict({k: v.numpy() for k, v in theirs.state_dict().items()})
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((7, 5)).astype(np.float32), rng.integers(0, 3, 7)

    def their_loss(parameters: Any, x: Any, y: Any) -> Any:
        out = torch.func.functional_call(theirs, parameters, (x[None],))
        return torch.nn.functional.cross_entropy(out, y[None])

    def loss(parameters: Any, x: Any, y: Any) -> Any:
        return nn.functional.cross_entropy(func.functional_call(ours, parameters, (x[None],)), y[None])

    expected = torch.func.vmap(torch.func.grad(their_loss), (None, 0, 0))(
        {k: v.detach() for k, v in theirs.named_parameters()}, torch.from_numpy(x), torch.from_numpy(y)
    )
    found = func.vmap(func.grad(loss), (None, 0, 0))(
        {k: v.detach() for k, v in ours.named_parameters()}, Tensor(x), Tensor(y)
    )
    assert list(found) == list(expected)
    for name, g in found.items():
        np.testing.assert_allclose(g.numpy(), expected[name].numpy(), rtol=1e-4, atol=1e-6)


def test_an_ensemble_of_models_runs_as_one() -> None:
    models = [nn.Sequential(nn.Linear(5, 4), nn.ReLU(), nn.BatchNorm1d(4), nn.Linear(4, 3)) for _ in range(6)]
    for model in models:
        model.eval()
    parameters, buffers = func.stack_module_state(models)
    x = Tensor(np.random.default_rng(0).standard_normal((8, 5)).astype(np.float32))

    def call(parameters: Any, buffers: Any, x: Any) -> Any:
        return func.functional_call(models[0], (parameters, buffers), (x,))

    found = func.vmap(call, in_axes=(0, 0, None))(parameters, buffers, x)
    np.testing.assert_allclose(
        found.detach().data, stack([m(x) for m in models]).detach().data, rtol=1e-4, atol=1e-5
    )
    found.sum().backward()
    stack([m(x) for m in models]).sum().backward()
    for name, p in parameters.items():
        each = np.stack([dict(m.named_parameters())[name].grad.data for m in models])
        np.testing.assert_allclose(p.grad.data, each, rtol=1e-3, atol=1e-4)


@pytest.mark.filterwarnings("ignore:.*torch.jit:DeprecationWarning")
def test_jacobians_and_hessians_in_every_composition_are_pytorchs() -> None:
    rng = np.random.default_rng(0)
    w, x = rng.standard_normal((4, 3)), rng.standard_normal(3)
    batch = rng.standard_normal((5, 3))

    def theirs(x: Any) -> Any:
        return torch.tanh(torch.from_numpy(w) @ x)

    def ours(x: Any) -> Any:
        return np.tanh(w @ x)

    f = torch.func
    for one, other in ((func.jacrev, f.jacrev), (func.jacfwd, f.jacfwd)):
        np.testing.assert_allclose(one(ours)(x), other(theirs)(torch.from_numpy(x)).numpy(), 1e-9)
        np.testing.assert_allclose(
            func.vmap(one(ours))(batch), f.vmap(other(theirs))(torch.from_numpy(batch)).numpy(), 1e-9
        )
        for inner, their_inner in ((func.jacrev, f.jacrev), (func.jacfwd, f.jacfwd)):
            np.testing.assert_allclose(
                one(inner(ours))(x), other(their_inner(theirs))(torch.from_numpy(x)).numpy(), 1e-8, 1e-10
            )
    np.testing.assert_allclose(
        func.vmap(func.hessian(ours))(batch),
        f.vmap(f.hessian(theirs))(torch.from_numpy(batch)).numpy(),
        1e-8,
        1e-10,
    )


def table() -> None:
    """Print how many samples agree, by transformation."""
    for what, names, compare in (
        ("forward mode", FORWARD, compare_forward),
        ("vmap", MAPPED, compare_vmap),
    ):
        counts: Counter[str] = Counter()
        for name in sorted(names):
            for sample in few(samples_of(INFOS[name], torch.float64)):
                try:
                    compare(name, sample)
                    counts["agree"] += 1
                except Unlike:
                    counts["nothing to compare"] += 1
                except Exception as error:  # whatever differs is reported
                    counts["differ"] += 1
                    print(
                        f"{what}: {name}: {type(error).__name__}: {str(error).strip().splitlines()[0][:150]}"
                    )
        print(f"{what}: {len(names)} operators, {dict(counts)}")


if __name__ == "__main__":
    sys.exit(table())
