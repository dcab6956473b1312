"""Checkpoints resume on another number of ranks, also within an epoch; dropout is the same in every run."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.distributed.launch import needs_mpi, run

pytest.importorskip("safetensors", reason="checkpoints are safetensors files")
pytestmark = needs_mpi


def trained(folder: Path, ranks: int, plan: str, dropout: float = 0.0) -> dict[str, np.ndarray]:
    done = run(ranks, "resuming", folder, plan, dropout, folder.parent / f"{folder.name}.npz")
    assert not done.returncode, done.stdout + done.stderr
    return dict(np.load(folder.parent / f"{folder.name}.npz"))


def test_a_run_resumes_on_another_number_of_ranks_with_the_same_results(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 0, "6")
    trained(tmp_path / "parts", 3, "2.3")
    trained(tmp_path / "parts", 2, "4.2")
    parts = trained(tmp_path / "parts", 0, "6")
    assert set(parts) == set(whole)
    for name, expected in whole.items():
        np.testing.assert_allclose(parts[name], expected, rtol=1e-11, atol=1e-12, err_msg=name)


def test_dropout_is_the_same_in_a_run_that_is_resumed_on_as_many_ranks(tmp_path: Path) -> None:
    whole = trained(tmp_path / "whole", 2, "4", dropout=0.3)
    parts = trained(tmp_path / "parts", 2, "2.3,4", dropout=0.3)
    for name, expected in whole.items():
        np.testing.assert_array_equal(parts[name], expected, err_msg=name)
