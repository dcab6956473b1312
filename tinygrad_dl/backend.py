"""The array library underneath: NumPy, or what answers its functions (NEP 13 and 18).

Forward functions call `np.`: given a CuPy array, NumPy hands the call to CuPy. Only this file names CuPy.
"""

from __future__ import annotations

from typing import Any, TypeGuard

import numpy as np


def is_array(x: object) -> TypeGuard[np.ndarray]:
    """Whether `x` is an array or a NumPy scalar (a Python number or a list is not)."""
    return isinstance(x, (np.ndarray, np.generic)) or type(x).__module__.split(".")[0] == "cupy"


def to_cpu(x: Any) -> np.ndarray:
    """The values as a NumPy array, copied from the GPU when they are there."""
    return x.get() if type(x).__module__.split(".")[0] == "cupy" else np.asarray(x)
