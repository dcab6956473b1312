"""N ranks give one process's parameters at the same global batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.distributed import exactness
from tests.distributed.launch import needs_mpi, run


@pytest.fixture(scope="module")
def one_process(tmp_path_factory: pytest.TempPathFactory) -> dict[str, np.ndarray]:
    path = tmp_path_factory.mktemp("one") / "results.npz"
    done = run(0, "exactness", path)
    assert not done.returncode, done.stderr
    return dict(np.load(path))


@needs_mpi
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_every_number_of_ranks_gives_the_results_of_one_process(
    ranks: int, one_process: dict[str, np.ndarray], tmp_path: Path
) -> None:
    done = run(ranks, "exactness", tmp_path / "results.npz")
    assert not done.returncode, done.stdout + done.stderr
    found = np.load(tmp_path / "results.npz")
    assert set(found) == set(one_process) and len(one_process) > 5 * len(exactness.cases())
    for name, expected in one_process.items():
        assert found[name].shape == expected.shape, name
        np.testing.assert_allclose(found[name], expected, rtol=1e-12, atol=1e-12, err_msg=name)
