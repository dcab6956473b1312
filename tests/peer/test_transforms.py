"""PyTorch's operator database under torch.vmap and in forward mode, ours beside; and torch.func's own examples.

`python -m tests.peer.test_transforms` prints how many samples agree.
"""

from __future__ import annotations

import sys
import warnings
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from typing import Any

import numpy as np
import pytest

from tests.peer.operators import OURS, Unlike
from tests.peer.pytorch import torch
from tests.peer.test_operators import COMPARED, INFOS, NOT_COMPLEX, flat, samples_of, translated
from tests.peer.test_operators import (
    samples_leave_numpys_generator_alone as samples_leave_numpys_generator_alone,
)
from tinygrad_dl import Tensor, func, nn, stack

SAMPLES = 6  # of an operator at most; of its complex samples, fewer
RTOL, ATOL = 1e-6, 1e-8
EXAMPLES = 3
REAL, COMPLEX = torch.float64, torch.complex128


def few(found: list[Any], count: int) -> list[Any]:
    return found[:: max(1, -(-len(found) // count))]


@cache
def sample_of(name: str, dtype: Any) -> list[Any]:
    """Some samples, the same for every comparison: to make them takes longer than to compare them."""
    return few(samples_of(INFOS[name], dtype), SAMPLES)


def prepared(name: str, sample: Any) -> tuple[Any, list[Any], Any, list[Any]]:
    """Their function and ours of the inputs that require grad, and these."""
    info = INFOS[name]
    pairs: list[tuple[Any, Tensor]] = []
    arguments = [translated(v, pairs) for v in (sample.input, *sample.args)]
    options = {k: translated(v, pairs) for k, v in sample.kwargs.items()}
    hermitian = info.gradcheck_wrapper.__name__ == "gradcheck_wrapper_hermitian_input"
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
        return tuple(flat(view(info.gradcheck_wrapper(info.get_op(), *args, **kwargs))))

    def ours(*new: Any) -> Any:
        args = [swapped(v, mine, new) for v in arguments]
        kwargs = {k: swapped(v, mine, new) for k, v in options.items()}
        if hermitian:
            args[0] = args[0] + args[0].conj().mT
        return tuple(flat(view(OURS[name](*args, **kwargs))))

    return theirs, [t.detach() for t, _ in pairs], ours, [x.detach() for _, x in pairs]


def drawn(rng: np.random.Generator, shape: tuple[int, ...], dtype: Any) -> Any:
    """Random numbers, complex if the dtype is."""
    real = rng.uniform(-1, 1, shape)
    return np.asarray(real + 1j * rng.uniform(-1, 1, shape) if np.dtype(dtype).kind == "c" else real)


def agree(found: Any, expected: Any) -> None:
    assert len(found) == len(expected)
    for f, e in zip(found, expected):
        assert f.shape == tuple(e.shape)
        np.testing.assert_allclose(f.detach().numpy(), (e.detach() + 0).resolve_conj().numpy(), RTOL, ATOL)


@contextmanager
def quiet() -> Iterator[None]:
    """Samples at poles are meant."""
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        yield


def of_theirs(what: str, call: Any, *args: Any) -> Any:
    """What PyTorch gives; Unlike where it cannot, or gives a size that no machine has."""
    try:
        found = call(*args)
    except (RuntimeError, TypeError, AssertionError, ValueError, NotImplementedError, IndexError) as error:
        raise Unlike(f"torch.func.{what} fails: {error}") from None
    if any(n > 1 << 32 for x in flat(found) for n in x.shape):
        raise Unlike("PyTorch gives a size that no machine has")
    return found


def compare_forward(name: str, sample: Any) -> None:
    theirs, inputs, ours, values = prepared(name, sample)
    forward(theirs, ours, inputs, values)


def forward(theirs: Any, ours: Any, inputs: list[Any], values: list[Tensor]) -> None:
    """Compare the changes in one random direction."""
    rng = np.random.default_rng(0)
    tangents = [drawn(rng, v.shape, v.dtype) for v in values]
    with quiet():
        directions = tuple(map(torch.from_numpy, tangents))
        _, expected = of_theirs("jvp", torch.func.jvp, theirs, tuple(inputs), directions)
        _, found = func.jvp(ours, tuple(values), tuple(map(Tensor, tangents)))
    kept = [k for k, e in enumerate(expected) if e.dtype.is_floating_point or e.dtype.is_complex]
    agree([found[k] for k in kept], [expected[k] for k in kept])


def examples_of(name: str, values: list[Tensor], count: int) -> list[Any]:
    """Examples that differ little, so that they stay where the operator is defined: the batch axis in front."""
    if name == "nn.functional.ctc_loss":
        raise Unlike("the examples would be scaled, and such are no logarithms of probabilities")
    rng = np.random.default_rng(0)
    return [v.data * (1 + 0.01 * rng.uniform(-1, 1, (count, *[1] * v.ndim))) for v in values]


def compare_vmap(name: str, sample: Any) -> None:
    theirs, _, ours, values = prepared(name, sample)
    several = examples_of(name, values, EXAMPLES)
    with quiet():
        mapped = torch.func.vmap(theirs, randomness="same")
        expected = of_theirs("vmap", mapped, *map(torch.from_numpy, several))
        agree(func.vmap(ours, randomness="same")(*map(Tensor, several)), expected)


def compare_first(name: str, sample: Any) -> None:
    """Only the first input is mapped, along its last axis, and the results are put together along theirs."""
    theirs, inputs, ours, values = prepared(name, sample)
    (first,) = examples_of(name, values[:1], EXAMPLES)
    first = np.moveaxis(first, 0, -1)
    axes = (-1, *[None] * (len(values) - 1))
    with quiet():
        mapped = torch.func.vmap(theirs, axes, -1, randomness="same")
        expected = of_theirs("vmap", mapped, torch.from_numpy(first.copy()), *inputs[1:])
        agree(func.vmap(ours, axes, -1, randomness="same")(Tensor(first), *values[1:]), expected)


def compare_nested(name: str, sample: Any) -> None:
    """A vmap inside of a vmap: the first input belongs to both, the others to the outer or the inner one in turns."""
    theirs, _, ours, values = prepared(name, sample)
    several = [x.reshape(2, EXAMPLES, *x.shape[1:]) for x in examples_of(name, values, 2 * EXAMPLES)]
    outer = [0 if i % 3 != 2 else None for i in range(len(values))]
    inner = [0 if i % 3 != 1 else None for i in range(len(values))]
    given = [x if i % 3 == 0 else x[:, 0] if i % 3 == 1 else x[0] for i, x in enumerate(several)]
    with quiet():
        f = torch.func.vmap
        mapped = f(f(theirs, tuple(inner), randomness="same"), tuple(outer), randomness="same")
        expected = of_theirs("vmap", mapped, *(torch.from_numpy(x.copy()) for x in given))
        mine = func.vmap(func.vmap(ours, tuple(inner), randomness="same"), tuple(outer), randomness="same")
        agree(mine(*map(Tensor, given)), expected)


def pullbacks(theirs: Any, ours: Any, values: list[Tensor]) -> tuple[Any, Any]:
    """Their function and ours from the inputs to the gradients of the results that have any."""
    with quiet():
        results = ours(*values)
    kept = [k for k, r in enumerate(results) if r.dtype.kind in "fc"]
    rng = np.random.default_rng(1)
    seeds = [drawn(rng, results[k].shape, results[k].dtype) for k in kept]

    def their_gradients(*xs: Any) -> Any:
        outs = torch.func.vjp(lambda *xs: tuple(theirs(*xs)[k] for k in kept), *xs)
        return outs[1](tuple(map(torch.from_numpy, seeds)))

    def gradients(*xs: Any) -> Any:
        return func.vjp(lambda *xs: tuple(ours(*xs)[k] for k in kept), *xs)[1](tuple(map(Tensor, seeds)))

    return their_gradients, gradients


def compare_gradients(name: str, sample: Any) -> None:
    """The gradients of examples: vmap over vjp."""
    theirs, _, ours, values = prepared(name, sample)
    several = examples_of(name, values, EXAMPLES)
    theirs, ours = pullbacks(theirs, ours, values)
    with quiet():
        mapped = torch.func.vmap(theirs, randomness="same")
        expected = of_theirs("vmap", mapped, *map(torch.from_numpy, several))
        agree(func.vmap(ours, randomness="same")(*map(Tensor, several)), expected)


def compare_forward_over_reverse(name: str, sample: Any) -> None:
    """The change of the gradients: jvp over vjp."""
    if name == "linalg.norm.subgradients_at_zero":
        raise Unlike("PyTorch gives nan for the second derivative at zero, tinygrad_dl 0")
    theirs, inputs, ours, values = prepared(name, sample)
    forward(*pullbacks(theirs, ours, values), inputs, values)


# Windows that overlap give a place several values, and which one stays is not defined.
UNDEFINED = "nn.functional.max_unpool"
MAPPED = [
    (name, dtype)
    for name in sorted(INFOS)
    for dtype in (REAL, COMPLEX)
    if INFOS[name].supports_autograd and dtype in INFOS[name].dtypes
    if not (dtype == COMPLEX and name in NOT_COMPLEX) and not name.startswith(UNDEFINED)
]
FORWARD = [(n, d) for n, d in MAPPED if getattr(INFOS[n], "supports_fwgrad_bwgrad", False)]
COMPARISONS: dict[str, tuple[Any, list[Any]]] = {
    "forward mode": (compare_forward, FORWARD),
    "forward over reverse": (compare_forward_over_reverse, FORWARD),
    "vmap": (compare_vmap, MAPPED),
    "vmap of the first input, along other axes": (compare_first, MAPPED),
    "vmap inside of vmap": (compare_nested, MAPPED),
    "vmap over vjp": (compare_gradients, MAPPED),
}


def cases(names: list[tuple[str, Any]]) -> list[Any]:
    return [pytest.param(n, d, id=f"{n}-{str(d).removeprefix('torch.')}") for n, d in names]


@pytest.mark.parametrize(("name", "dtype"), cases(FORWARD))
def test_forward_mode_is_pytorchs(name: str, dtype: Any) -> None:
    _each(name, dtype, compare_forward)


@pytest.mark.parametrize(("name", "dtype"), cases(MAPPED))
def test_vmap_is_pytorchs(name: str, dtype: Any) -> None:
    _each(name, dtype, compare_vmap)


@pytest.mark.parametrize("name", [name for name, dtype in FORWARD if dtype == COMPLEX])
def test_forward_over_reverse_of_complex_values_is_pytorchs(name: str) -> None:
    _each(name, COMPLEX, compare_forward_over_reverse, 1)


@pytest.mark.parametrize("name", [name for name, dtype in MAPPED if dtype == REAL])
def test_vmap_inside_of_vmap_is_pytorchs(name: str) -> None:
    _each(name, REAL, compare_nested, 1)


def _each(name: str, dtype: Any, compare: Any, count: int | None = None) -> None:
    compared = 0
    count = count or (SAMPLES if dtype == REAL else 2)
    for sample in few(sample_of(name, dtype), count):
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
    """Print how many samples agree, by transformation; with the argument "all", of all samples."""
    whole = "all" in sys.argv
    for what, (compare, names) in COMPARISONS.items():
        counts: dict[Any, Counter[str]] = {REAL: Counter(), COMPLEX: Counter()}
        reasons: Counter[str] = Counter()
        for name, dtype in names:
            for sample in samples_of(INFOS[name], dtype) if whole else sample_of(name, dtype):
                try:
                    compare(name, sample)
                    counts[dtype]["agree"] += 1
                except Unlike as why:
                    counts[dtype]["nothing to compare"] += 1
                    reasons[str(why).splitlines()[0][:60]] += 1
                except Exception as error:  # whatever differs is reported
                    counts[dtype]["differ"] += 1
                    lines = [line for line in str(error).splitlines() if line.strip()][:3]
                    print(f"{what}: {name}: {dtype}: {type(error).__name__}: {' / '.join(lines)[:200]}")
        for dtype, count in counts.items():
            print(f"{what}: {dtype}: {sum(d == dtype for _, d in names)} operators, {dict(count)}")
        print(dict(reasons.most_common(6)))


if __name__ == "__main__":
    sys.exit(table())
