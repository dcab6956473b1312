"""What goes wrong on one rank ends all of them soon, says what it was once, and leaves the last checkpoint whole."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.distributed.launch import needs_mpi, run
from tinygrad_dl.files import load

pytest.importorskip("safetensors", reason="checkpoints are safetensors files")

#: How it goes wrong -> what is said, once.
ENDINGS = {
    "raises": "ArithmeticError: the sum is wrong",
    "all": "ArithmeticError: the sum is wrong",
    "killed": "signal 9",
    "leaves": "rank 2 has ended the program before it",
    "hangs": "rank 2 did not come, and does not answer",
}
#: What differs -> what every rank says.
DIFFERENCES = {
    "shapes": r"Trainer.fit: the model: expected the same on all ranks, got \[\('0.weight', \(6, 4\)",
    "examples": "DataLoader: the number of examples: .*, got 40 on ranks 0 and 1, 30 on rank 2",
    "data": r"Trainer.fit: train: the values \(checksums\): expected the same on all ranks",
    "files": r"Trainer.fit: train: the files \(checksums\): expected the same on all ranks",
    "code": r"Trainer.fit: the program's code \(checksum\): expected the same on all ranks",
    "batches": "Trainer.fit: train: the number of batches: .*, got 4 on ranks 0 and 1, 8 on rank 2",
    "seeds": "Trainer.fit: rng: expected the same on all ranks",
    "options": "Trainer.fit: the optimizer: expected the same on all ranks",
    "diverges": r"after step 12 of this fit \(epoch 3, batch 4\), got another 2.bias on rank 2 than on rank 0",
}


@needs_mpi
@pytest.mark.parametrize("how", ENDINGS)
def test_a_rank_that_goes_wrong_ends_all_and_leaves_a_whole_checkpoint(how: str, tmp_path: Path) -> None:
    done = run(3, "failing", how, tmp_path)
    said = done.stdout + done.stderr
    assert done.returncode and "is done" not in done.stdout, said
    assert len(re.findall(ENDINGS[how], said)) == 1, said
    if how in ("raises", "all"):
        assert said.count("a hook of the program's own") == 1, said
    files = sorted(tmp_path.glob("*.safetensors"))
    assert [file.stem for file in files] == ["epoch-000001", "epoch-000002"], said
    assert [load(file)["epoch"] for file in files] == [1, 2]


@needs_mpi
def test_what_differs_between_ranks_is_found_on_all_of_them(tmp_path: Path) -> None:
    done = run(3, "failing", ",".join(DIFFERENCES), tmp_path)
    assert not done.returncode and "is done" not in done.stdout, done.stdout + done.stderr
    for how, said in DIFFERENCES.items():
        for rank in range(3):
            assert re.search(f"{how} on rank {rank}: .*{said}", done.stdout), done.stdout
        assert len(list(tmp_path.glob(f"{how}/*.safetensors"))) == (2 if how == "diverges" else 0)
