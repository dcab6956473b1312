"""Programs for PyTorch run here; tests/peer compares their losses with PyTorch's."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest

import tinygrad_dl.torch as torch
from tests.torch_layer.programs import PROGRAMS


@pytest.mark.parametrize("program", PROGRAMS, ids=lambda program: program.__name__)
def test_a_program_for_pytorch_runs_and_its_losses_repeat(program: Callable[[Any], list[float]]) -> None:
    losses = program(torch)
    assert all(math.isfinite(loss) for loss in losses)
    assert losses == program(torch)
