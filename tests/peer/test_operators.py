"""PyTorch's own operator database: the same values and gradients in float64 and complex128, at kinks and ties too.

The samples, edge cases among them, are PyTorch's; operators.py says which function here is the counterpart and how
arguments translate. `python -m tests.peer.test_operators` prints a table of them.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

from tests.peer.operators import OURS, Unlike, of_functional
from tinygrad_dl import Tensor, autograd
from tinygrad_dl import sum as sum_of

torch = pytest.importorskip(
    "torch", reason="PyTorch, which the operations are compared with, is not installed"
)
pytest.importorskip("expecttest", reason="PyTorch's operator database needs the package expecttest")
database = pytest.importorskip(
    "torch.testing._internal.common_methods_invocations", reason="this PyTorch has no operator database"
)

SAMPLES = 40  # of an operator at most, evenly spread
RTOL, ATOL = 1e-6, 1e-8

# What PyTorch has for complex values, and NumPy not, with the reason
NOT_COMPLEX: dict[str, str] = {
    "double": "it converts complex values to real ones",
    "log_softmax.with_dtype": "its samples convert complex values to real ones",
    "logaddexp": "NumPy has it for real values only",
    "nn.functional.softmin.with_dtype": "its samples convert complex values to real ones",
    "softmax.with_dtype": "its samples convert complex values to real ones",
}


@pytest.fixture(autouse=True)
def samples_leave_numpys_generator_alone() -> Iterator[None]:
    before = np.random.get_state()  # noqa: NPY002, the one that PyTorch draws from
    yield
    np.random.set_state(before)  # noqa: NPY002


def name_of(info: Any) -> str:
    return f"{info.name}.{info.variant_test_name}" if info.variant_test_name else info.name


REAL, COMPLEX = torch.float64, torch.complex128
for info in database.op_db:
    counterpart = of_functional(name_of(info))
    if counterpart is not None and info.dtypes & {REAL, COMPLEX}:
        OURS.setdefault(name_of(info), counterpart)
INFOS = {name_of(info): info for info in database.op_db if name_of(info) in OURS}
CASES = [
    pytest.param(name, dtype, id=f"{name}-{str(dtype).removeprefix('torch.')}")
    for name in sorted(INFOS)
    for dtype in (REAL, COMPLEX)
    if dtype in INFOS[name].dtypes and not (dtype == COMPLEX and name in NOT_COMPLEX)
]


def _magnitude(x: Any) -> Any:
    return (x * x.conj()).real


# Vectors have a free sign, or phase: their magnitudes are compared, and what is free beyond that is left out.
COMPARED: dict[str, Callable[[Any], Any]] = {
    "linalg.eigh": lambda r: (r[0], _magnitude(r[1])),
    "linalg.eig": lambda r: (r[0], _magnitude(r[1])),
    "linalg.svd": lambda r: _singular(r[0], r[1], r[2]),
    "svd": lambda r: _singular(r[0], r[1], r[2].mT),
    "max.reduction_with_dim": lambda r: r[0] if isinstance(r, tuple) else r,
    "min.reduction_with_dim": lambda r: r[0] if isinstance(r, tuple) else r,
    "sort": lambda r: r[0] if isinstance(r, tuple) else r,
    "median": lambda r: r[0] if isinstance(r, tuple) else r,
    "nanmedian": lambda r: r[0] if isinstance(r, tuple) else r,
    "msort": lambda r: r,
    "topk": lambda r: r[0] if isinstance(r, tuple) else r,
    "linalg.inv_ex": lambda r: r[0] if isinstance(r, tuple) else r,
    "linalg.solve_ex": lambda r: r[0] if isinstance(r, tuple) else r,
    "linalg.cholesky_ex": lambda r: r[0] if isinstance(r, tuple) else r,
    "linalg.lstsq.grad_oriented": lambda r: r[0] if isinstance(r, tuple) else r,
}


def _singular(u: Any, s: Any, vh: Any) -> Any:
    k = s.shape[-1]
    u, vh = u[..., :k], vh[..., :k, :]
    return _magnitude(u), s, _magnitude(vh)


def translated(value: Any, leaves: list[tuple[Any, Tensor]]) -> Any:
    """PyTorch's tensors and dtypes as ours; pairs of those that require grad go to `leaves`."""
    if isinstance(value, torch.Tensor):
        tensor = Tensor(value.numpy(force=True).copy(), requires_grad=value.requires_grad)
        if value.requires_grad:
            leaves.append((value, tensor))
        return tensor
    if isinstance(value, torch.dtype):
        return str(value).removeprefix("torch.")
    if isinstance(value, (tuple, list)):
        return (
            type(value)(translated(v, leaves) for v in value)
            if type(value) in (tuple, list)
            else tuple(value)
        )
    return value


def flat(result: Any) -> list[Any]:
    if isinstance(result, (tuple, list)):
        return [part for r in result for part in flat(r)]
    return [result]


def samples_of(info: Any, dtype: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        found = list(info.sample_inputs("cpu", dtype, requires_grad=info.supports_autograd))
    step = max(1, -(-len(found) // SAMPLES))
    return found[::step]


def check(name: str, sample: Any) -> None:
    """Value and gradient of one sample, PyTorch's against ours. Raises Unlike where there is nothing to compare."""
    info = INFOS[name]
    leaves: list[tuple[Any, Tensor]] = []
    arguments = [translated(v, leaves) for v in (sample.input, *sample.args)]
    options = {k: translated(v, leaves) for k, v in sample.kwargs.items()}
    wrapper = info.gradcheck_wrapper
    if wrapper.__name__ == "gradcheck_wrapper_hermitian_input":
        arguments[0] = arguments[0] + arguments[0].conj().mT
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # samples at poles are meant
        warnings.simplefilter("ignore")
        theirs = wrapper(info.get_op(), sample.input, *sample.args, **sample.kwargs)
        out = OURS[name](*arguments, **options)
    view = COMPARED.get(name, lambda r: r)
    expected, found = flat(view(theirs)), flat(view(out))
    assert len(expected) == len(found), f"{len(expected)} results are expected, {len(found)} came"
    for e, f in zip(expected, found):
        assert tuple(e.shape) == f.shape, f"the shape {tuple(e.shape)} is expected, {f.shape} came"
        np.testing.assert_allclose(f.detach().numpy(), e.numpy(force=True), RTOL, ATOL, err_msg="value")
    pairs = [(e, f) for e, f in zip(expected, found) if e.requires_grad]
    if not pairs or not leaves:
        return
    rng = np.random.default_rng(0)
    seeds = [_cotangent(rng, f) for _, f in pairs]
    goal = sum((e * torch.from_numpy(s)).real.sum() for (e, _), s in zip(pairs, seeds))
    given = torch.autograd.grad(goal, [t for t, _ in leaves], allow_unused=True)
    total: Any = sum(sum_of((f * s).real) for (_, f), s in zip(pairs, seeds))
    came = (
        autograd.grad(total, [x for _, x in leaves], allow_unused=True)
        if isinstance(total, Tensor) and total.requires_grad
        else [None] * len(leaves)
    )
    for i, (e, f) in enumerate(zip(given, came)):
        zero = np.zeros(leaves[i][1].shape, leaves[i][1].dtype)
        expected_gradient = zero if e is None else e.numpy(force=True)
        gradient = zero if f is None else f.detach().numpy()
        assert gradient.dtype == zero.dtype
        np.testing.assert_allclose(gradient, expected_gradient, RTOL, ATOL, err_msg=f"gradient of input {i}")


def _cotangent(rng: np.random.Generator, x: Tensor) -> np.ndarray:
    """Random numbers of the shape of x, complex if x is."""
    real = rng.uniform(0.5, 1.5, x.shape)
    return np.asarray(real + 1j * rng.uniform(0.5, 1.5, x.shape) if x.dtype.kind == "c" else real)


def checked(name: str, dtype: Any) -> tuple[int, list[str]]:
    """How many samples of an operator agree, and what those that have no counterpart were about."""
    agreed, unlike = 0, []
    for sample in samples_of(INFOS[name], dtype):
        try:
            check(name, sample)
        except Unlike as why:
            unlike.append(str(why))
        except Exception as error:
            shown = ", ".join([str(getattr(v, "shape", v)) for v in (sample.input, *sample.args)])
            raise AssertionError(f"{name}({shown}, {sample.kwargs})\n{error}") from error
        else:
            agreed += 1
    return agreed, unlike


@pytest.mark.parametrize(("name", "dtype"), CASES)
def test_value_and_gradient_are_pytorchs(name: str, dtype: Any) -> None:
    agreed, unlike = checked(name, dtype)
    assert agreed, f"no sample was compared: {unlike}"


def test_every_counterpart_named_is_in_the_database() -> None:
    assert sorted(set(OURS) - set(INFOS)) == []
    assert sorted(set(NOT_COMPLEX) - {name for name, info in INFOS.items() if COMPLEX in info.dtypes}) == []


def table() -> Iterator[str]:
    yield "| operator of PyTorch | dtype | samples that agree | left out |"
    yield "|---|---|---|---|"
    for case in CASES:
        name, dtype = case.values
        start = f"| `{name}` | {str(dtype).removeprefix('torch.')} |"
        try:
            agreed, unlike = checked(name, dtype)
            left_out = "; ".join(f"{unlike.count(u)}: {u}" for u in dict.fromkeys(unlike))
            yield f"{start} {agreed} | {left_out} |"
        except AssertionError as error:
            yield f"{start} differs | {' / '.join(line for line in str(error).splitlines() if line)[:200]} |"


if __name__ == "__main__":
    print("\n".join(table()))
