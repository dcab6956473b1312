"""Running an exported file as others do: onnxruntime, and ONNX's reference evaluator."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, no_grad

onnx = pytest.importorskip("onnx", reason="exports need the extra onnx")
onnxruntime = pytest.importorskip("onnxruntime", reason="exports are verified with onnxruntime (extra test)")


def arrays(value: Any) -> Iterator[np.ndarray]:
    """The arrays of a nested result, in order."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, (tuple, list)):
        for part in value:
            yield from arrays(part)
    elif value is not None:
        yield value.detach().numpy() if isinstance(value, Tensor) else np.asarray(value)


def as_inputs(args: Sequence[np.ndarray]) -> list[Any]:
    return [Tensor(x) if x.dtype.kind == "f" else x for x in args]


class Runtimes:
    """A file in each runtime; `reference`: whether ONNX's own evaluator implements what it needs."""

    def __init__(self, path: Path, reference: bool = True) -> None:
        self.session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        self.runs = {"onnxruntime": self.session.run}
        if reference:
            from onnx.reference import ReferenceEvaluator

            self.runs["reference"] = ReferenceEvaluator(str(path)).run

    def results(self, args: Sequence[np.ndarray]) -> dict[str, list[np.ndarray]]:
        """What each runtime computes."""
        feed = dict(zip([i.name for i in self.session.get_inputs()], args))
        with np.errstate(all="ignore"):
            return {name: run(None, feed) for name, run in self.runs.items()}

    def check(self, model: Any, args: Sequence[np.ndarray], rtol: float = 1e-5) -> None:
        """Both compute what the model computes."""
        training = getattr(model, "training", None)
        if training is not None:
            model.eval()
        with no_grad():
            expected = list(arrays(model(*as_inputs(args))))
        if training:
            model.train()
        for runtime, got in self.results(args).items():
            assert len(got) == len(expected), runtime
            for g, e in zip(got, expected):
                assert (np.shape(g), g.dtype) == (e.shape, e.dtype), runtime
                np.testing.assert_allclose(g, e, rtol=rtol, atol=1e-5, err_msg=runtime)


def results(path: Path, args: Sequence[np.ndarray], reference: bool = True) -> dict[str, list[np.ndarray]]:
    return Runtimes(path, reference).results(args)


def check(path: Path, model: Any, args: Sequence[np.ndarray], reference: bool = True) -> None:
    Runtimes(path, reference).check(model, args)
