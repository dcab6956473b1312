"""How a call treats what comes in: arrays of other classes, scalars, lists of Tensors, and errors."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tests.leaves import leaf
from tinygrad_dl import Tensor
from tinygrad_dl.errors import DTypeError, GraphError


class Marked(np.ndarray):
    """A class of arrays with arithmetic of its own."""

    def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
        return "something else"


def test_an_array_of_another_class_computes_as_a_plain_one() -> None:
    x, marked = leaf([1.0, 2.0]), np.array([3.0, 4.0]).view(Marked)
    y = td.multiply(x, marked)
    assert type(y.data) is np.ndarray and y.tolist() == [3, 8]
    y.sum().backward()
    assert x.grad is not None and type(x.grad.data) is np.ndarray and x.grad.tolist() == [3, 4]


def test_an_array_of_cupy_reaches_the_forward_function_as_it_is() -> None:
    class OnAnotherDevice:
        shape, dtype = (2,), np.dtype(np.float64)

    OnAnotherDevice.__module__ = "cupy"
    seen: list[Any] = []

    @td.op(lambda g: g, None)
    def first_of_two(x: Any, y: Any) -> Any:
        seen.append(y)
        return x + 0

    elsewhere = OnAnotherDevice()
    first_of_two(leaf([1.0, 2.0]), elsewhere)
    assert seen == [elsewhere]


@pytest.mark.parametrize(
    "dtype", [np.float16, np.float32, np.float64, np.complex64, np.complex128, np.int8, bool]
)
def test_asarray_of_an_array_or_a_scalar_of_numpys_keeps_its_dtype(dtype: Any) -> None:
    assert td.asarray(np.ones(2, dtype)).dtype == dtype
    assert td.asarray(np.ones((), dtype)[()]).dtype == dtype


def test_asarray_shares_an_array_that_has_the_dtype_already() -> None:
    array = np.ones(2, np.float32)
    assert np.shares_memory(td.asarray(array, dtype=np.float32).data, array)
    assert not np.shares_memory(td.asarray(array, dtype=np.float64).data, array)


def test_asarray_stacks_a_list_of_tensors_without_a_graph() -> None:
    assert td.asarray([Tensor([1.0, 2.0]), Tensor([3.0, 4.0])]).tolist() == [[1, 2], [3, 4]]
    assert td.asarray([Tensor(1.0), 2.0]).tolist() == [1, 2]
    with td.no_grad():
        assert td.asarray([leaf(1.0), leaf(2.0)]).tolist() == [1, 2]


def test_asarray_does_not_cut_a_list_of_tensors_off_from_their_graph() -> None:
    with pytest.raises(GraphError, match="the list holds Tensors that require grad"):
        td.asarray([Tensor(1.0), leaf(2.0)])


def test_an_error_class_of_somebody_elses_passes_the_forward_function_unchanged() -> None:
    class Unwilling(ValueError):
        pass

    @td.op(lambda g: g)
    def never(x: Any) -> Any:
        raise Unwilling("no")

    with pytest.raises(Unwilling, match="^no$"):
        never(leaf([1.0]))


@pytest.mark.parametrize(("wrong", "told"), [("text", "str 'text'"), (None, "NoneType None")])
@pytest.mark.parametrize(
    "x", [np.ones(2), [1.0], 1.0, Tensor([1.0])], ids=["array", "list", "number", "Tensor"]
)
def test_what_is_no_number_is_refused_beside_whatever_is_one(x: Any, wrong: Any, told: str) -> None:
    with pytest.raises(DTypeError) as caught:
        td.add(x, wrong)
    assert str(caught.value) == f"add: expected a Tensor, an array or a number, got {told}"


def test_a_list_for_an_input_that_may_be_left_out_is_weak_as_everywhere() -> None:
    for x in (np.array([0.0, 1.0], np.float32), np.float32(0)):
        y = td.clip(x, [0.1, 0.2], None)
        assert y.dtype == np.float32 and y[0] == np.float32(0.1)


def test_options_reach_an_operation_that_is_called_on_lists_alone() -> None:
    y = td.sum([[1.0, 2.0], [3.0, 4.0]], axis=1, keepdims=True)
    assert type(y) is Tensor and y.tolist() == [[3], [7]]


def test_constants_that_are_joined_are_a_constant() -> None:
    assert not td.concat([Tensor([1.0]), Tensor([2.0])]).requires_grad
    assert td.concat([Tensor([1.0]), leaf([2.0])]).requires_grad


def test_a_complex_result_of_real_values_that_require_grad_is_recorded() -> None:
    joined = td.concat([x := leaf([1.0]), np.array([1j])])
    assert joined.dtype == np.complex128 and joined.requires_grad
    joined.backward(np.array([2 + 3j, 1j]))
    assert x.grad.dtype == x.dtype and x.grad.tolist() == [2]


def test_a_sequence_that_a_rule_names_is_differentiated_when_backward_records() -> None:
    @td.op(lambda g, i, arrays: g * arrays[1 - i], variadic=True)
    def product_of_both(arrays: Any, /) -> Any:
        return arrays[0] * arrays[1]

    x, y = leaf([2.0]), leaf([5.0])
    product_of_both([x, y]).backward(create_graph=True)
    assert x.grad is not None and x.grad.tolist() == [5]
    assert td.autograd.grad(x.grad, [y])[0].tolist() == [1]
    (plain,) = td.autograd.grad(product_of_both([x, y]), [x])
    assert plain.tolist() == [5] and not plain.requires_grad
