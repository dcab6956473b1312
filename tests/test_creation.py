"""Making Tensors: shapes, dtypes, and what the default dtype decides."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl import Tensor


@pytest.mark.parametrize("make", [td.zeros, td.ones, td.empty])
def test_new_tensors_take_the_default_dtype_unless_told(make: Any) -> None:
    assert make(3).dtype == np.float32
    assert make((2, 0), dtype="int8").dtype == np.int8
    assert make(()).shape == ()
    td.set_default_dtype("float64")
    try:
        assert make([2]).dtype == np.float64
    finally:
        td.set_default_dtype("float32")


def test_a_range_of_integers_is_integers_and_one_with_floats_takes_the_default_dtype() -> None:
    assert td.arange(3).dtype == np.int64 and td.arange(3).tolist() == [0, 1, 2]
    assert td.arange(0, 1, 0.25).dtype == np.float32
    assert td.arange(5, 0, -2).tolist() == [5, 3, 1]
    assert td.arange(5, 0).shape == (0,)


def test_linspace_reaches_its_ends_or_leaves_the_last_out() -> None:
    assert td.linspace(0, 1, 5).tolist() == [0, 0.25, 0.5, 0.75, 1]
    assert td.linspace(0, 1, 4, endpoint=False).tolist() == [0, 0.25, 0.5, 0.75]
    assert td.linspace(2, 3, 1).tolist() == [2] and td.linspace(0, 1, 0).shape == (0,)


def test_the_value_decides_the_dtype_of_full() -> None:
    assert td.full(2, 1.5).dtype == np.float32
    assert td.full(2, 1).dtype == np.int64
    assert td.full(2, True).dtype == np.bool_
    assert td.full(2, 1j).dtype == np.complex64
    assert td.full((2,), Tensor(np.array(1.0))).dtype == np.float64


def test_what_is_like_a_tensor_has_its_shape_and_dtype_and_no_graph() -> None:
    x = Tensor(np.ones((2, 3)), requires_grad=True)
    for y in (td.zeros_like(x), td.ones_like(x), td.empty_like(x), td.full_like(x, 2)):
        assert (y.shape, y.dtype, y.requires_grad) == ((2, 3), np.float64, False)
    assert td.zeros_like(x, dtype="int64").dtype == np.int64


def test_the_identity_may_be_shifted_and_need_not_be_square() -> None:
    np.testing.assert_array_equal(td.eye(2, 3, k=1).data, np.eye(2, 3, 1))
    np.testing.assert_array_equal(td.eye(3, k=-1).data, np.eye(3, k=-1))


def test_asarray_shares_and_tensor_copies() -> None:
    array = np.zeros(3)
    shared, copied = td.asarray(array), Tensor(array)
    array[0] = 1
    assert shared[0].item() == 1 and copied[0].item() == 0
    assert td.asarray(shared) is shared
    again = td.asarray(shared, copy=True)
    again.data[1] = 5
    assert shared[1].item() == 0


def test_a_copy_of_a_recorded_tensor_passes_the_gradient() -> None:
    x = Tensor([1.0], requires_grad=True)
    td.asarray(x, copy=True).backward()
    assert x.grad.tolist() == [1]


def test_dlpack_goes_both_ways() -> None:
    x = td.arange(3)
    assert np.from_dlpack(x).tolist() == [0, 1, 2]
    array = np.zeros(2)
    shared = td.from_dlpack(array)
    array[0] = 1
    assert shared.tolist() == [1, 0]
    with pytest.raises(RuntimeError, match="requires grad"):
        np.from_dlpack(Tensor([1.0], requires_grad=True))


# Where arrays lie


@pytest.mark.parametrize("size", [0, 1, 5000])
def test_a_tensor_of_a_read_only_array_has_a_writeable_copy(size: int) -> None:
    given = np.arange(size, dtype=">f8")
    given.flags.writeable = False
    for array in (td.Tensor(given).data, copy.deepcopy(td.asarray(given)).data):
        np.testing.assert_array_equal(array, given)
        assert array.flags.writeable and not np.shares_memory(array, given)
    assert td.Tensor(given).dtype == given.dtype


def test_a_copy_keeps_the_order_in_memory() -> None:
    given = np.asfortranarray(np.arange(10000.0).reshape(100, 100))
    assert td.Tensor(given).data.flags.f_contiguous and td.Tensor(given.T).data.flags.c_contiguous
    np.testing.assert_array_equal(td.Tensor(given).data, given)


def test_linspace_and_full_record_the_tensors_they_are_made_of() -> None:
    start, stop = (Tensor(v, requires_grad=True) for v in (1.0, 4.0))
    out = td.linspace(start, stop, 4)
    assert out.tolist() == [1, 2, 3, 4] and out.dtype == np.float32
    out.sum().backward()
    assert (start.grad.item(), stop.grad.item()) == (2, 2)
    assert td.linspace(Tensor([1.0, 2.0]), 3.0, 3).tolist() == [[1, 2], [2, 2.5], [3, 3]]
    assert td.linspace(start.detach(), 4.0, 2, endpoint=False).dtype == np.float32
    value = Tensor(3.0, requires_grad=True)
    td.full((2, 2), value).sum().backward()
    assert value.grad.item() == 4


def test_linspace_refuses_what_is_not_a_number_of_values() -> None:
    for num, message in (
        (1.5, "linspace: num: expected an int of at least 0, got float 1.5"),
        ("3", "linspace: num: expected an int of at least 0, got str '3'"),
    ):
        with pytest.raises(TypeError) as error:
            td.linspace(0, 1, num)  # type: ignore[arg-type]
        assert str(error.value) == message


def test_asarray_refuses_a_copy_that_it_was_told_not_to_make() -> None:
    with pytest.raises(ValueError, match="copy=False, but a new array is needed"):
        td.asarray(Tensor([1.0]), dtype="float64", copy=False)
