"""Where a gradient would end in a NumPy array: a warning, an error that names the way, or a result that is right."""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor

WRITTEN = (
    "A Tensor that requires grad is written into an array as a number, and its gradient ends there. Collect "
    "Tensors in a list and use stack(list), assign to a Tensor, or write t.detach()."
)


def assign(a: Any, t: Any) -> None:
    a[0] = t


def add_to_element(a: Any, t: Any) -> None:
    a[0] += t


def fill(a: Any, t: Any) -> None:
    a.fill(t)


def assign_flat(a: Any, t: Any) -> None:
    a.flat[0] = t


def collect(a: Any, t: Any) -> None:
    a[:1] = np.fromiter([t], a.dtype)


def start_from(a: Any, t: Any) -> None:
    a[0] = np.sum(np.zeros(2), initial=t)


@pytest.mark.parametrize("dtype", [float, int, complex])
@pytest.mark.parametrize("write", [assign, add_to_element, fill, assign_flat])
def test_a_recorded_tensor_written_into_an_array_warns_that_its_gradient_ends(
    write: Callable[[Any, Any], None], dtype: Any
) -> None:
    if write is add_to_element and dtype is not float:
        pytest.skip("the sum is of another dtype")
    t = Tensor([1.0, 2.0], requires_grad=True)
    a = np.zeros(2, dtype)
    with pytest.warns(UserWarning) as found:
        write(a, (t * t)[1])
    assert str(found[0].message) == WRITTEN and found[0].filename == __file__
    assert a[0] == 4


@pytest.mark.parametrize("write", [collect, start_from])
def test_numpys_functions_that_ask_for_the_number_warn_too(write: Callable[[Any, Any], None]) -> None:
    a = np.zeros(2)
    with pytest.warns(UserWarning) as found:
        write(a, Tensor(4.0, requires_grad=True))
    assert str(found[0].message) == WRITTEN and found[0].filename == __file__
    assert a[0] == 4


def test_what_is_detached_or_asked_for_as_a_number_does_not_warn() -> None:
    t = Tensor([1.0, 2.0], requires_grad=True)
    a = np.zeros(2)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        a[0] = t[1].detach()
        a[1] = float(t[1])
        assert a.tolist() == [2, 2]
        assert (int(t[1]), complex(t[1]), math.sqrt(t[0]), t[0].item()) == (2, 2 + 0j, 1, 1)
        assert [float(v) for v in t] == list(map(float, t)) == [1, 2]
        assert f"{t[0]:.1f}" == "1.0"
        with tg.no_grad():
            a[0] = t[0]
        assert a[0] == 1


def test_writing_more_than_one_element_is_refused() -> None:
    a = np.zeros(2)
    with pytest.raises(RuntimeError, match="this Tensor requires grad, which NumPy cannot record"):
        a[:] = Tensor([1.0, 2.0], requires_grad=True)
    assert a.tolist() == [0, 0]


def test_the_data_of_a_parameter_is_updated_in_place_by_its_gradient() -> None:
    p = Tensor([1.0, 2.0], requires_grad=True)
    (p * p).sum().backward()
    array = p.data
    p.data += -0.25 * p.grad
    np.testing.assert_allclose(p.data, [0.5, 1.0])
    p.data -= 0.25 * p.grad
    np.testing.assert_allclose(p.data, [0, 0], atol=1e-7)
    p.data *= p.grad
    assert p.data is array and p.requires_grad and p.is_leaf and p.dtype == np.float32


def test_out_is_filled_with_what_is_not_recorded() -> None:
    x, a = Tensor(np.array([4.0, 9.0])), np.zeros(2)
    for call, expected in (
        (lambda: np.sqrt(x, out=a), [2, 3]),
        (lambda: np.add(x, 1, out=a), [5, 10]),
        (lambda: np.add(x, 1, out=a, where=[True, False]), [5, 10]),
        (lambda: np.cumsum(x, out=a), [4, 13]),
        (lambda: np.clip(x, 5, 6, out=a), [5, 6]),
        (lambda: np.add.accumulate(x, out=a), [4, 13]),
        (lambda: np.sort(np.flip(x), axis=0), [4, 9]),
    ):
        result = call()
        np.testing.assert_allclose(np.asarray(result), expected)
    total = np.zeros(())
    assert np.sum(x, out=total) is total and total == 13
    assert np.max(x, axis=0, out=total) is total and total == 9
    target = Tensor(np.zeros(2))
    assert np.exp(x * 0, out=target) is target and target.tolist() == [1, 1]
    np.copyto(a, x)
    assert a.tolist() == [4, 9]


X = Tensor([1.0, 2.0], requires_grad=True)
FULL = (
    "out= would overwrite an array, and what was overwritten cannot be recorded. Leave out= away, and write "
    "x = x + t for array += t."
)
REFUSED: list[tuple[Callable[[Any], Any], str]] = [
    (lambda a: np.cumsum(X, out=a), f"np.cumsum: {FULL}"),
    (lambda a: np.exp(X, out=a), f"np.exp: {FULL}"),
    (lambda a: np.copyto(a, X), f"np.copyto: {FULL}"),
    (lambda a: np.add(a, 1, out=X), f"np.add: {FULL}"),
    (
        lambda a: a.__iadd__(X),
        "np.add: array += t and the like: out= would overwrite an array, and what was overwritten cannot be "
        "recorded. Write x = x + t, use no_grad() to update a parameter, or t.detach().",
    ),
    (lambda a: np.cumsum(X.detach(), out=np.zeros(3)), "np.cumsum: out: expected an array of shape (2,), got (3,)"),
    (lambda a: np.cumsum(X.detach(), out=np.zeros(2, int)), "np.cumsum: out: the result is float32, and out is int64"),
    (lambda a: np.cumsum(X.detach(), out=[0, 0]), "np.cumsum: out: expected an array, got list [0, 0]"),
]  # fmt: skip


@pytest.mark.parametrize(("call", "message"), REFUSED)
def test_out_is_refused_where_a_gradient_would_end_or_nothing_fits(call: Any, message: str) -> None:
    a = np.ones(2, np.float32)
    with pytest.raises((TypeError, ValueError)) as error:
        call(a)
    assert str(error.value) == message
    assert a.tolist() == [1, 1] and X.tolist() == [1, 2]


TENSORS_AS_OPTIONS: list[Callable[[Any], Any]] = [
    lambda t: tg.isclose(Tensor([1.0, 2.0]), Tensor([1.05, 3.0]), rtol=t(0.1)),
    lambda t: tg.isclose(np.array([1.0]), np.array([1.05]), atol=t(0.1)),
    lambda t: np.allclose(Tensor([1.0, 2.0]), Tensor([1.05, 2.0]), rtol=t(0.1)),
    lambda t: np.allclose(np.ones(2), np.ones(2), rtol=t(0.1)),
    lambda t: np.isclose(np.ones(2), np.ones(2) * 1.05, atol=t(0.1)),
    lambda t: tg.tile(Tensor([1.0, 2.0]), t(2)),
    lambda t: tg.tile(np.ones(2), t([2, 1])),
    lambda t: tg.repeat(Tensor([1.0, 2.0]), t([2, 1])),
    lambda t: np.roll(Tensor([1.0, 2.0]), t(1)),
    lambda t: tg.clip(Tensor([1.0, 2.0]), t(1.5)),
    lambda t: np.percentile(Tensor([1.0, 2.0]), t(50)),
    lambda t: np.var(Tensor([1.0, 2.0]), ddof=t(1)),
    lambda t: np.pad(Tensor([1.0, 2.0]), t(1), constant_values=t(3.0)),
    lambda t: np.sum(Tensor([1.0, 2.0]), axis=t(0), initial=t(3.0)),
]


@pytest.mark.parametrize("call", TENSORS_AS_OPTIONS)
def test_a_tensor_as_an_option_counts_as_its_value(call: Callable[..., Any]) -> None:
    found, expected = call(lambda v: tg.asarray(np.array(v))), call(lambda v: np.array(v))
    np.testing.assert_array_equal(np.asarray(found), np.asarray(expected))


def test_assert_allclose_takes_a_tensor_as_its_tolerance() -> None:
    np.testing.assert_allclose(np.ones(2), np.ones(2), rtol=Tensor(0.1))  # type: ignore[arg-type]


def test_the_gradient_of_tile_by_a_tensor_adds_the_copies() -> None:
    x = Tensor([1.0, 2.0], requires_grad=True)
    tg.tile(x, tg.asarray(np.array([2, 2]))).sum().backward()
    assert x.grad.tolist() == [4, 4]


@pytest.mark.parametrize("recorded", [False, True])
@pytest.mark.parametrize(
    "call",
    [
        lambda x, t: tg.sum(x**2, axis=t(1)),
        lambda x, t: tg.take(x**2, np.array([1, 0]), axis=t(1)),
        lambda x, t: tg.repeat(x**2, 2, axis=t(0)),
        lambda x, t: tg.cumulative_sum(x**2, axis=t(1)),
        lambda x, t: tg.flip(x**2, axis=t(0)) * x,
        lambda x, t: tg.var(x, axis=t(1), correction=t(1)),
        lambda x, t: tg.sort(x**2, axis=t(0)) * x,
    ],
)
def test_gradients_are_right_where_an_option_was_a_tensor(call: Callable[..., Any], recorded: bool) -> None:
    found = []
    for option in (lambda v: tg.asarray(np.array(v)), lambda v: v):
        x = Tensor([[1.0, 5.0], [3.0, 2.0]], requires_grad=True)
        call(x, option).sum().backward(create_graph=recorded)
        found.append(x.grad.data)
    np.testing.assert_allclose(found[0], found[1], rtol=1e-6)


def test_an_option_whose_gradient_would_be_lost_is_refused() -> None:
    with pytest.raises(RuntimeError) as error:
        np.pad(X, 1, constant_values=X[0])
    assert str(error.value) == (
        "np.pad: constant_values: there is no gradient for this argument, and the Tensor requires grad. "
        "Call .detach() on it."
    )
    with pytest.raises(RuntimeError) as error:
        tg.arange(X[0], 5)
    assert str(error.value) == (
        "arange: start: there is no gradient for this argument, and the Tensor requires grad. "
        "Call .detach() on it, or use linspace."
    )


METHODS: list[Callable[[Any], Any]] = [
    lambda x: x.reshape(3, 2, order="F"),
    lambda x: x.reshape((3, 2), order="A"),
    lambda x: x.flatten("F"),
    lambda x: x.flatten(order="K"),
    lambda x: x.ravel(order="F"),
    lambda x: x.ravel("A"),
    lambda x: x.ravel("K"),
    lambda x: x.copy("F"),
]


@pytest.mark.parametrize("fortran", [False, True])
@pytest.mark.parametrize("call", METHODS)
def test_methods_honor_the_order_of_elements(call: Callable[[Any], Any], fortran: bool) -> None:
    array = np.arange(6.0).reshape(2, 3)
    array = np.asfortranarray(array) if fortran else array
    x = tg.asarray(array).requires_grad_()
    found, expected = call(x), call(array)
    np.testing.assert_array_equal(found.data, expected)
    assert found.data.flags.f_contiguous == expected.flags.f_contiguous
    (found * expected).sum().backward()
    np.testing.assert_array_equal(x.grad.data, array)


def test_an_unknown_order_is_refused() -> None:
    for call, message in (
        (lambda x: x.reshape(3, 2, order="K"), 'reshape: order: expected "C", "F" or "A", got str \'K\''),
        (lambda x: x.ravel("x"), 'ravel: order: expected "C", "F", "A" or "K", got str \'x\''),
        (lambda x: x.copy("x"), 'copy: order: expected "C", "F", "A" or "K", got str \'x\''),
        (lambda x: x.to_device("cpu", stream=1), "to_device: stream: expected None, got int 1"),
    ):
        with pytest.raises(ValueError) as error:
            call(Tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0]]))
        assert str(error.value) == message
