"""torch.types: names of types for annotations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tinygrad_dl.torch.dtypes import Size, device, dtype
from tinygrad_dl.torch.tensor import Tensor

_Number = (int, float, bool)
Number = int | float | bool
_int, _float, _bool, _complex, _dtype, _device = int, float, bool, complex, dtype, device
_size = Size | list[int] | tuple[int, ...]
Device = device | str | int | None
_TensorOrTensors = Tensor | Sequence[Tensor]
FileLike = Any

#: Sizes of layers: one number for all axes, or one for each
_size_any_t = _size_1_t = _size_2_t = _size_3_t = _size_4_t = _size_5_t = _size_6_t = int | tuple[int, ...]
_ratio_any_t = _ratio_2_t = _ratio_3_t = float | tuple[float, ...]
