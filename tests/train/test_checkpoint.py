"""Checkpoint: runs that are interrupted, killed, damaged."""

from __future__ import annotations

import io
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.layout import ROOT
from tests.train.test_trainer import points, trainer, weights
from tinygrad_dl import optim
from tinygrad_dl.data import DataLoader
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.train import Callback, Checkpoint, EarlyStopping, Progress, Schedule, Trainer

pytest.importorskip("safetensors", reason="checkpoints are safetensors files")


def run(folder: Path, epochs: int = 6, said: io.StringIO | None = None, **options: Any) -> Trainer:
    t = trainer(callbacks=[Checkpoint(folder, **options), EarlyStopping("loss", patience=4)])
    t.progress = Progress("epoch", stream=said or io.StringIO())
    t.fit(points(), points(seed=1), epochs, rng=0)
    return t


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


@pytest.mark.skipif(not hasattr(os, "fork"), reason="the test forks, which this system cannot")
def test_a_run_killed_at_50_random_moments_ends_in_the_same_bits(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.train.killed", str(tmp_path), "50"],
        cwd=ROOT, env={**os.environ, "OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False, timeout=900,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("killed 50 times")


def test_the_newest_checkpoints_remain_and_include_the_last_epoch(tmp_path: Path) -> None:
    run(tmp_path, epochs=7, every=3, keep=2)
    assert names(tmp_path) == ["epoch-000006.safetensors", "epoch-000007.safetensors"]


def test_a_finished_run_has_nothing_left_to_do(tmp_path: Path) -> None:
    first, said = run(tmp_path), io.StringIO()
    again = run(tmp_path, said=said)
    assert len(again.history) == 6 and "resumed after epoch 6, from" in said.getvalue()
    np.testing.assert_array_equal(weights(first), weights(again))
    longer = run(tmp_path, epochs=8)
    assert longer.history["epoch"] == list(range(1, 9))


def test_a_run_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    def stopping() -> Trainer:
        t = trainer(lr=0.0, callbacks=[Checkpoint(tmp_path), EarlyStopping("lr", patience=2)])
        t.fit(points(), epochs=9, rng=0)
        return t

    assert len(stopping().history) == len(stopping().history) == 3
    assert stopping().history.stopped.startswith("lr has not improved")


def test_a_second_fit_of_one_trainer_trains_on(tmp_path: Path) -> None:
    t = run(tmp_path, epochs=2)
    t.fit(points(), epochs=2)
    assert len(t.history) == 4


@pytest.mark.parametrize("damage", ["truncated", "flip", "empty"])
def test_a_damaged_checkpoint_is_skipped_for_the_one_before(damage: str, tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", epochs=6)
    run(tmp_path / "broken", epochs=6)
    newest = tmp_path / "broken" / "epoch-000006.safetensors"
    content = bytearray(newest.read_bytes())
    content[-5] ^= 1
    newest.write_bytes({"truncated": content[: len(content) // 2], "flip": content, "empty": b""}[damage])
    said = io.StringIO()
    again = run(tmp_path / "broken", epochs=6, said=said)
    lines = said.getvalue().splitlines()
    assert lines[0].startswith("checkpoint skipped: load: ") and "is damaged" in lines[0]
    assert lines[1].startswith("resumed after epoch 5, from ")
    np.testing.assert_array_equal(weights(whole), weights(again))


def test_a_partial_file_of_a_killed_run_is_removed(tmp_path: Path) -> None:
    (tmp_path / ".epoch-000003.safetensors.77.safetensors").write_bytes(b"half")
    run(tmp_path, epochs=1)
    assert names(tmp_path) == ["epoch-000001.safetensors"]


def test_without_resuming_old_checkpoints_are_removed(tmp_path: Path) -> None:
    run(tmp_path, epochs=3)
    t = run(tmp_path, epochs=1, resume=False)
    assert len(t.history) == 1 and names(tmp_path) == ["epoch-000001.safetensors"]


def test_impossible_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueRangeError, match="Checkpoint: every: expected an int of at least 1, got int 0"):
        Checkpoint(tmp_path, every=0)


def test_a_script_with_two_fits_does_nothing_when_run_again(tmp_path: Path) -> None:
    def script(stop: int = 99) -> Trainer:
        class Stop(Callback):
            def on_epoch_begin(self, trainer: Trainer) -> None:
                if trainer.epoch == stop:
                    raise KeyboardInterrupt

        t = trainer(callbacks=[EarlyStopping("loss", patience=9), Checkpoint(tmp_path / f"{path}"), Stop()])
        t.fit(points(), epochs=3, rng=0)
        t.optimizer.param_groups[0]["lr"] *= 0.5
        t.fit(points(seed=1), epochs=3, rng=1)
        return t

    path = "whole"
    first, again = script(), script()
    assert len(first.history) == len(again.history) == 6
    np.testing.assert_array_equal(weights(first), weights(again))
    for stop in (2, 3, 4, 5):
        path = f"stopped {stop}"
        with pytest.raises(KeyboardInterrupt):
            script(stop)
        resumed = script()
        assert resumed.history["lr"] == first.history["lr"] and len(resumed.history) == 6
        np.testing.assert_array_equal(weights(first), weights(resumed))


def test_a_second_fit_that_stopped_early_stays_stopped(tmp_path: Path) -> None:
    def script() -> Trainer:
        t = trainer(lr=0.0, callbacks=[EarlyStopping("lr", patience=2), Checkpoint(tmp_path)])
        t.fit(points(), epochs=9, rng=0)
        t.fit(points(), epochs=9, rng=0)
        return t

    first, again = script(), script()
    assert len(first.history) == len(again.history) == 6
    assert again.history.stopped == first.history.stopped == "lr has not improved since epoch 4 (0)"


def test_a_folder_with_the_name_of_a_checkpoint_is_passed_over(tmp_path: Path) -> None:
    (tmp_path / "epoch-000099.safetensors").mkdir()
    (tmp_path / ".epoch-folder").mkdir()
    assert len(run(tmp_path, epochs=2).history) == len(run(tmp_path, epochs=2).history) == 2


def test_the_checkpoint_of_another_optimizer_is_refused(tmp_path: Path) -> None:
    run(tmp_path, epochs=1)
    t = trainer(callbacks=[Checkpoint(tmp_path), EarlyStopping("loss", patience=4)])
    t.optimizer = optim.SGD(t.model.parameters(), lr=0.1)
    before = weights(t)
    with pytest.raises(
        ValueRangeError, match="expected the state of SGD, this Trainer's optimizer, got that of Adam"
    ):
        t.fit(points(), epochs=2)
    np.testing.assert_array_equal(weights(t), before)


def test_one_checkpoint_does_not_carry_weights_into_another_trainer(tmp_path: Path) -> None:
    keep = Checkpoint(tmp_path)
    trainer(callbacks=[keep]).fit(points(), epochs=1)
    second = trainer(seed=1, callbacks=[keep])
    before = weights(second)
    with pytest.raises(
        ValueRangeError, match="Checkpoint: expected the Trainer whose run is in .*got another one"
    ):
        second.fit(points(), epochs=1)
    np.testing.assert_array_equal(weights(second), before)


@pytest.mark.parametrize("kind", ["arrays", "generator"])
def test_an_epoch_is_resumed_in_its_middle(kind: str, tmp_path: Path) -> None:
    class Stop(Callback):
        last = True

        def __init__(self, at: tuple[int, int]) -> None:
            self.at = at

        def on_batch_end(self, trainer: Trainer) -> None:
            if (trainer.epoch, trainer.batch) == self.at:
                raise KeyboardInterrupt

    data: Any = points()
    if kind == "generator":
        batches = list(DataLoader(data, 12))

        def data() -> Any:
            yield from batches

    def script(name: str, at: tuple[int, int] = (-1, 0), said: Any = None) -> Trainer:
        schedule = Schedule(lambda epoch: 0.7**epoch, per="batch")
        t = trainer(
            metrics=["accuracy", "top5"],
            callbacks=[schedule, Checkpoint(tmp_path / name, every_batches=2), Stop(at)],
        )
        t.progress = Progress("epoch", stream=said or io.StringIO())
        t.fit(data, points(seed=1), 3, batch_size=12, rng=0)
        return t

    whole = script("whole")
    assert whole.batches > 2
    with pytest.raises(KeyboardInterrupt):
        script("parts", (1, 3))
    assert names(tmp_path / "parts") == ["epoch-000001-batch-000002.safetensors", "epoch-000001.safetensors"]
    resumed = script("parts", said=(said := io.StringIO()))
    assert "resumed after epoch 1, batch 2 of the next one, from" in said.getvalue()
    np.testing.assert_array_equal(weights(whole), weights(resumed))
    for name in ("loss", "accuracy", "dev_loss", "lr"):
        assert whole.history[name] == resumed.history[name]
    if kind == "arrays":
        with pytest.raises(
            ValueRangeError, match="batch_size: expected 16, to go on in the middle of an epoch, got 8"
        ):
            loader = DataLoader(points(), 8)
            loader.load_state_dict({"seed": 0, "epoch": 1, "batch": 2, "batch_size": 16})
