"""Every module of nn: exported and verified for several batch sizes, or refused with the reason."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.onnx.modules import CONTAINERS, SAMPLES, Sample
from tests.onnx.runtimes import Runtimes
from tinygrad_dl import nn
from tinygrad_dl.onnx import ExportError, export

MODULES = [
    name
    for name in nn.__all__
    if isinstance(getattr(nn, name), type) and issubclass(getattr(nn, name), nn.Module)
]
PAGE = (Path(__file__).parents[2] / "docs" / "onnx.md").read_text(encoding="utf-8")


def test_every_module_has_a_sample() -> None:
    assert sorted(MODULES) == sorted([*SAMPLES, *CONTAINERS])


def with_rows(sample: Sample, args: tuple[np.ndarray, ...], rows: int) -> list[np.ndarray]:
    """The inputs with another number of rows."""
    if sample.axis is False:
        return list(args)
    axis = 0 if sample.axis is True else sample.axis
    return [np.take(x, np.arange(rows) % x.shape[axis], axis=axis) for x in args]


@pytest.mark.parametrize("name", [n for n, s in SAMPLES.items() if not s.reason])
def test_a_module_computes_the_same_in_onnx(name: str, tmp_path: Path) -> None:
    sample, path = SAMPLES[name], tmp_path / "m.onnx"
    model, args = sample.make(), sample.inputs(np.random.default_rng(0))
    model.train()
    export(model, args, path, dynamic_batch=sample.axis)
    assert model.training, "the mode of the model is what it was"
    runtimes = Runtimes(path)
    for rows in (1, 4):
        runtimes.check(model, with_rows(sample, args, rows))
    assert f"| `{name}` | exported |" in PAGE, "make onnx-table"


@pytest.mark.parametrize("name", [n for n, s in SAMPLES.items() if s.reason])
def test_what_onnx_cannot_express_is_refused_with_the_module(name: str, tmp_path: Path) -> None:
    sample = SAMPLES[name]
    model = nn.Sequential()
    model.add_module("inner", sample.make())

    class Model(nn.Module):
        def __init__(self) -> None:
            self.body = model

        def forward(self, *args: object) -> object:
            return self.body.inner(*args)

    with pytest.raises(ExportError, match=f"'body.inner' \\({name}\\)"):
        export(
            Model(), sample.inputs(np.random.default_rng(0)), tmp_path / "m.onnx", dynamic_batch=sample.axis
        )
    assert not list(tmp_path.iterdir())
    assert f"| `{name}` | refused: {sample.reason} |" in PAGE, "make onnx-table"
