"""ONNX: models as files that other runtimes run. Needs the extra `onnx`."""

from __future__ import annotations

from tinygrad_dl.onnx.export import ExportError, export

__all__ = ["ExportError", "export"]
