"""torch.onnx: there is no export from this layer."""

from __future__ import annotations

from typing import Any


def export(*args: Any, **kwargs: Any) -> Any:
    """Raises: there is no export from this layer."""
    raise NotImplementedError("torch.onnx.export: there is no export to ONNX from tinygrad_dl.torch")


def is_in_onnx_export() -> bool:
    """False."""
    return False
