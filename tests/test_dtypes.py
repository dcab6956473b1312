"""Dtypes as objects, and what the namespace says of itself."""

from __future__ import annotations

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl import Tensor


def test_numbers_are_weak_and_arrays_are_not() -> None:
    assert td.result_type(td.float32, 1.0) == td.float32
    assert td.result_type(Tensor([1.0]), np.float64(2)) == td.float32
    assert td.result_type(td.int8, 3) == td.int8
    assert td.result_type(td.float32, td.float64) == td.float64
    assert td.result_type(Tensor(np.array(1.0)), td.float32) == td.float64


def test_kinds_of_dtypes() -> None:
    assert td.isdtype(td.int8, "signed integer") and not td.isdtype(td.uint8, "signed integer")
    assert td.isdtype(td.complex64, ("bool", "complex floating"))
    assert td.isdtype(td.float16, "real floating") and td.isdtype("float32", td.float32)


def test_casts_that_lose_nothing() -> None:
    assert td.can_cast(td.int8, td.int16) and not td.can_cast(Tensor([1.0]), td.int64)


def test_limits_are_python_numbers() -> None:
    info = td.finfo(Tensor([1.0]))
    assert type(info.eps) is float and (info.bits, info.dtype) == (32, td.float32)
    assert td.finfo(td.complex128).dtype == td.float64
    assert (td.iinfo(td.uint8).max, td.iinfo(td.int8).min) == (255, -128)
    assert "bits=32" in repr(info) and "max=255" in repr(td.iinfo(td.uint8))
    with pytest.raises(TypeError, match="iinfo: expected an integer dtype, got float32"):
        td.iinfo(td.float32)


def test_the_namespace_describes_itself() -> None:
    assert Tensor([1.0]).__array_namespace__() is td
    assert Tensor([1.0]).__array_namespace__(api_version="2024.12") is td
    with pytest.raises(
        ValueError, match="expected one of the versions 2021.12, 2022.12, 2023.12, 2024.12, got '1999'"
    ):
        Tensor([1.0]).__array_namespace__(api_version="1999")
    info = td.__array_namespace_info__()
    assert info.default_dtypes()["real floating"] == td.float32
    assert list(info.dtypes(kind="complex floating")) == ["complex64", "complex128"]
    assert info.devices() == [info.default_device()] == ["cpu"]
    assert info.capabilities()["boolean indexing"] is True
    with pytest.raises(ValueError, match="dtypes: expected kind to be one of"):
        info.dtypes(kind="float")
    with pytest.raises(ValueError, match='device: expected "cpu", the only one'):
        info.dtypes(device="gpu")
