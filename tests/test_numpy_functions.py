"""NumPy's functions and operators on Tensors record and give Tensors, or say why they cannot."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl import Tensor

ARRAY = np.array([[3.0, 1.0], [2.0, 5.0]])
UFUNCS = [op for op in td.OPS.values() if op.ufunc is not None and op.ufunc.signature is None]

CALLS: list[Callable[[Any], Any]] = [
    lambda x: np.sum(x, axis=0),
    lambda x: np.sum(x, 0, keepdims=True),
    lambda x: np.sum(x, dtype=np.float32),
    lambda x: np.prod(x, axis=-1),
    lambda x: np.mean(x),
    lambda x: np.std(x, 1, ddof=1),
    lambda x: np.var(x, correction=1),
    lambda x: np.max(x, axis=1),
    lambda x: np.amin(x),
    lambda x: np.ptp(x, axis=0),
    lambda x: np.clip(x, 2, 3),
    lambda x: np.clip(x, a_min=2, a_max=None),
    lambda x: np.where(x > 2, x, 0),
    lambda x: np.where(x > 2)[0],
    lambda x: np.concatenate([x, np.ones((1, 2))]),
    lambda x: np.concatenate((x, x), axis=1),
    lambda x: np.stack([x, x], -1),
    lambda x: np.vstack([x, x[0]]),
    lambda x: np.hstack([x, x]),
    lambda x: np.column_stack([x[0], x]),
    lambda x: np.split(x, 2)[1],
    lambda x: np.array_split(x[0], 3)[0],
    lambda x: np.sort(x, kind="stable"),
    lambda x: np.sort(x, 0),
    lambda x: np.argsort(x),
    lambda x: np.cumsum(x),
    lambda x: np.cumprod(x, axis=1),
    lambda x: np.diff(x, n=1, axis=0),
    lambda x: np.median(x, axis=0),
    lambda x: np.percentile(x, [50, 20]),
    lambda x: np.quantile(x, 0.3, axis=1),
    lambda x: np.average(x, axis=0, weights=np.array([1.0, 3.0])),
    lambda x: np.interp(x, [0.0, 5.0], [1.0, 2.0]),
    lambda x: np.transpose(x),
    lambda x: np.transpose(x, (0, 1)),
    lambda x: np.reshape(x, -1),
    lambda x: np.ravel(x),
    lambda x: np.expand_dims(x, 1),
    lambda x: np.squeeze(x[None]),
    lambda x: np.moveaxis(x, 0, 1),
    lambda x: np.swapaxes(x, 0, 1),
    lambda x: np.broadcast_to(x, (3, 2, 2)),
    lambda x: np.repeat(x, 2, axis=1),
    lambda x: np.tile(x, 2),
    lambda x: np.roll(x, 1),
    lambda x: np.flip(x),
    lambda x: np.fliplr(x),
    lambda x: np.pad(x, 1),
    lambda x: np.pad(x, ((0, 1), (1, 0)), mode="edge"),
    lambda x: np.pad(x, 1, constant_values=3),
    lambda x: np.take(x, [1, 0], axis=1),
    lambda x: np.take_along_axis(x, np.array([[0], [1]]), 1),
    lambda x: np.tril(x, -1),
    lambda x: np.meshgrid(x[0], x[1], indexing="ij")[0],
    lambda x: np.atleast_2d(x[0]),
    lambda x: np.matmul(x, x),
    lambda x: np.dot(x, x[0]),
    lambda x: np.einsum("ij,jk->ik", x, x),
    lambda x: np.linalg.norm(x),
    lambda x: np.linalg.inv(x),
    lambda x: np.linalg.solve(x, x),
    lambda x: np.add.reduce(x),
    lambda x: np.add.reduce(x, axis=None, keepdims=True),
    lambda x: np.multiply.reduce(x, 1),
    lambda x: np.maximum.reduce(x),
    lambda x: np.logaddexp.reduce(x),
    lambda x: np.add.accumulate(x),
    lambda x: np.multiply.accumulate(x, 1),
    lambda x: np.multiply.outer(x[0], x),
    lambda x: np.rint(x / 2),
    lambda x: np.fabs(-x),
    lambda x: np.divmod(x, 2)[1],
    lambda x: np.full_like(x, 2),
    lambda x: np.zeros_like(x),
    lambda x: np.round(x / 3, 1),
    lambda x: np.copy(x),
    lambda x: np.unique(x),
    lambda x: np.unique(x, return_counts=True)[1],
    lambda x: np.searchsorted(np.sort(x[0]), x),
    lambda x: np.isclose(x, 3.0),
    lambda x: np.argmax(x, axis=0),
    lambda x: np.real(x),
]


@pytest.mark.parametrize("number", range(len(CALLS)))
def test_a_function_of_numpy_gives_on_a_tensor_the_tensor_of_its_value(number: int) -> None:
    call = CALLS[number]
    result, expected = call(Tensor(ARRAY, requires_grad=True)), call(ARRAY)
    assert type(result) is Tensor
    np.testing.assert_allclose(result.data, expected, rtol=1e-14)
    assert result.dtype == expected.dtype


def test_what_numpys_functions_compute_is_recorded() -> None:
    x = Tensor(ARRAY, requires_grad=True)
    np.sum(np.exp(np.concatenate([x, x])) * ARRAY[0]).backward()
    np.testing.assert_allclose(x.grad.data, 2 * np.exp(ARRAY) * ARRAY[0])


@pytest.mark.parametrize("op", UFUNCS, ids=lambda op: op.name)
def test_a_ufunc_of_an_array_and_a_tensor_is_the_operation(op: Any) -> None:
    integers = np.array([1, 0, 3])
    domains = op.domain if isinstance(op.domain, tuple) else (op.domain,) * op.ufunc.nin
    floats = any(kinds.startswith("d") for kinds in op.ufunc.types)
    inputs = [d.sample(np.random.default_rng(0), (3,)) if floats else integers for d in domains]
    result = op.ufunc(*inputs[:-1], Tensor(inputs[-1]))
    assert type(result) is Tensor
    np.testing.assert_allclose(result.data, op.ufunc(*inputs), rtol=1e-14)


SYMBOLS = "add sub mul truediv floordiv mod pow matmul and_ or_ xor lshift rshift eq ne lt le gt ge".split()


@pytest.mark.parametrize("name", SYMBOLS)
def test_every_operator_works_from_both_sides_and_in_place(name: str) -> None:
    symbol = getattr(operator, name)
    integers = name in ("and_", "or_", "xor", "lshift", "rshift")
    x, y = np.array([[3, 2], [1, 4]]), np.array([[1, 2], [2, 1]])
    x, y = (x, y) if integers else (x / 2, y / 2)
    expected = symbol(x, y)
    for result in (symbol(Tensor(x), Tensor(y)), symbol(x, Tensor(y)), symbol(Tensor(x), y)):
        assert type(result) is Tensor and result.dtype == expected.dtype
        np.testing.assert_array_equal(result.data, expected)
    number = 2 if integers else 1.5
    if name != "matmul":
        np.testing.assert_array_equal(symbol(Tensor(x), number).data, symbol(x, number))
        np.testing.assert_array_equal(symbol(number, Tensor(x)).data, symbol(number, x))
    in_place = getattr(operator, "i" + name.strip("_"), None)
    if in_place is not None:
        z = before = Tensor(x)
        z = in_place(z, y)
        assert type(z) is Tensor
        np.testing.assert_array_equal(z.data, expected)
        np.testing.assert_array_equal(before.data, x)


def test_divmod_works_from_both_sides() -> None:
    x = Tensor([7.0, -7.0])
    assert [t.tolist() for t in divmod(x, 2)] == [[3, -4], [1, 1]]
    assert [t.tolist() for t in divmod(15, x)] == [[2, -3], [1, -6]]


def test_an_array_times_a_tensor_is_a_tensor_that_is_recorded() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    y = np.array([3.0, 4.0]) * x
    assert type(y) is Tensor
    y.sum().backward()
    assert x.grad.tolist() == [3, 4]


REFUSED: list[tuple[Callable[[Tensor], Any], str]] = [
    (
        lambda x: np.save("file", x),
        "np.save cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
    ),
    (
        lambda x: np.bincount(x),
        "np.bincount cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
    ),
    (
        lambda x: np.modf(x),
        "np.modf cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
    ),
    (
        lambda x: np.add.at(x, 0, 1),
        "np.add.at cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
    ),
    (
        lambda x: np.subtract.reduce(x),
        "np.subtract.reduce cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
    ),
    (
        lambda x: np.percentile(x, 50, weights=np.ones(2), method="inverted_cdf"),
        "np.percentile: the argument weights= is not supported on a Tensor",
    ),
    (
        lambda x: np.add(x, x, where=np.array(True)),
        "np.add: the argument where= is not supported on a Tensor",
    ),
    (
        lambda x: np.exp(x, out=np.ones(2)),
        "np.exp: out= would overwrite an array, and what was overwritten cannot be recorded. Leave out= away, and "
        "write x = x + t for array += t.",
    ),
    (
        lambda x: np.sum(x, out=np.ones(())),
        "np.sum: out= would overwrite an array, and what was overwritten cannot be recorded. Leave out= away, and "
        "write x = x + t for array += t.",
    ),
]


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_what_numpy_cannot_do_with_a_tensor_raises_and_says_so(call: Any, message: str) -> None:
    with pytest.raises(TypeError) as error:
        call(Tensor([1.0, 2.0], requires_grad=True))
    assert str(error.value) == message


def test_adding_a_tensor_to_an_array_in_place_is_refused() -> None:
    array = np.ones(2)
    with pytest.raises(TypeError, match="out= would overwrite an array"):
        array += Tensor([1.0, 2.0], requires_grad=True)
    assert array.tolist() == [1, 1]


def test_an_array_of_a_tensor_is_allowed_detached_only_and_never_of_objects() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    for make in (np.asarray, np.array, lambda t: np.array([t, t])):
        with pytest.raises(RuntimeError) as error:
            make(x)
        assert str(error.value) == (
            "numpy: this Tensor requires grad, which NumPy cannot record. Use .detach().numpy()."
        )
    assert np.asarray(x.detach()).dtype == np.float32
    assert np.asarray(x.detach(), dtype="int64").tolist() == [1, 2]


def test_another_library_may_answer_for_its_own_arrays() -> None:
    class Other:
        def __array_function__(self, function: Any, types: Any, args: Any, kwargs: Any) -> str:
            return "other"

        def __array_ufunc__(self, *args: Any, **kwargs: Any) -> str:
            return "other"

    assert np.concatenate([Tensor([1.0]), Other()]) == "other"


@pytest.mark.parametrize(
    "name",
    """
    abs all any argmax argmin argsort astype clip conj copy cumprod cumsum dot exp flatten item log
    max mean min nonzero prod ravel repeat reshape round searchsorted sort sqrt squeeze std sum
    swapaxes take tolist transpose var T mT real imag shape dtype ndim size nbytes itemsize
    """.split(),
)
def test_a_tensor_has_the_familiar_methods_and_attributes_of_an_array(name: str) -> None:
    x = Tensor(ARRAY)
    if name in ("shape", "dtype", "ndim", "size", "nbytes", "itemsize"):
        assert getattr(x, name) == getattr(ARRAY, name)
    else:
        assert getattr(x, name) is not None


@pytest.mark.parametrize(
    "call",
    [
        lambda x: x.sum(0),
        lambda x: x.std(axis=1),
        lambda x: x.clip(2, 3),
        lambda x: x.cumsum(),
        lambda x: x.cumsum(1),
        lambda x: x.cumprod(0),
        lambda x: x.take([0, 0], axis=1),
        lambda x: x.repeat(2, axis=0),
        lambda x: x.argmax(1),
        lambda x: x.flatten(),
        lambda x: x.swapaxes(0, 1),
        lambda x: x.dot(x),
        lambda x: x.round(),
        lambda x: x.nonzero()[0],
        lambda x: x.copy(),
        lambda x: x.conj(),
        lambda x: x.all(axis=0),
        lambda x: round(x[0, 0] * 1.3),
    ],
)
def test_methods_are_called_as_numpys(call: Callable[[Any], Any]) -> None:
    result, expected = call(Tensor(ARRAY)), call(ARRAY)
    np.testing.assert_allclose(result.data, expected)
