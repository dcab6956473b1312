"""Searches and cross-validation on the workers of a Dask cluster, one of which is killed along the way."""

from __future__ import annotations

import os
import signal
import threading
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.waiting import wait_until
from tinygrad_dl.errors import DTypeError, ValueRangeError

pytest.importorskip("distributed", reason="clusters need distributed (extra dask)")
pytest.importorskip("optuna", reason="searches need optuna (extra search)")
pytest.importorskip("sklearn", reason="the estimators are scikit-learn's (extra data)")

import distributed
import joblib
from sklearn.datasets import load_diabetes, load_iris
from sklearn.model_selection import GridSearchCV, cross_val_score

from tests import how_to
from tests.layout import ROOT
from tests.train import searched
from tinygrad_dl.files import alive
from tinygrad_dl.train import Classifier, Regressor, search


@pytest.fixture(scope="module")
def client() -> Iterator[Any]:
    """Two workers, each a process with one thread, on loopback."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        cluster = distributed.LocalCluster(
            n_workers=2,
            threads_per_worker=1,
            processes=True,
            host="127.0.0.1",
            dashboard_address="127.0.0.1:0",
        )
        with cluster, distributed.Client(cluster) as client:
            yield client


def kill_one(client: Any, begun: Path) -> threading.Thread:
    """Kill the worker that first leaves its process number in a file."""

    def kill() -> None:
        wait_until(lambda: begun.exists() and begun.read_text().endswith("\n"))
        os.kill(int(begun.read_text().split()[-1]), signal.SIGKILL)

    thread = threading.Thread(target=kill, daemon=True)
    thread.start()
    return thread


def is_first(begun: Path) -> bool:
    """Whether no other process has been here; it leaves its number."""
    try:
        with open(begun, "x") as file:
            file.write(f"{os.getpid()}\n")
    except FileExistsError:
        return False
    return True


class Network:
    """Makes the model of an estimator, and notes the process in which it does."""

    def __init__(self, begun: Path) -> None:
        self.begun = begun

    def __call__(self, inputs: int, outputs: int) -> Any:
        from tinygrad_dl import nn

        if is_first(self.begun):
            time.sleep(60)  # for the one that kills this process
        return nn.Sequential(nn.Linear(inputs, 8), nn.Tanh(), nn.Linear(8, outputs))


def test_cross_validation_gives_the_same_scores_though_a_worker_is_killed(
    client: Any, tmp_path: Path
) -> None:
    x, y = load_iris(return_X_y=True)
    model = Classifier(Network(tmp_path / "begun"), epochs=8, lr=0.02, random_state=0)
    killing = kill_one(client, tmp_path / "begun")
    with joblib.parallel_config("dask"):
        scores = cross_val_score(model, x, y, cv=4)
    killing.join()
    assert not alive(int((tmp_path / "begun").read_text()))
    np.testing.assert_allclose(scores, cross_val_score(model, x, y, cv=4), atol=0.06)
    assert scores.mean() > 0.8


def test_a_grid_search_finds_the_same_on_a_cluster(client: Any) -> None:
    x, y = load_diabetes(return_X_y=True)
    grid = {"lr": [1e-5, 0.02], "hidden": [(8,)]}
    model = Regressor(epochs=10, random_state=0)
    with joblib.parallel_config("dask"):
        found = GridSearchCV(model, grid, cv=2).fit(x, y)
    here = GridSearchCV(model, grid, cv=2).fit(x, y)
    assert found.best_params_ == here.best_params_ == {"lr": 0.02, "hidden": (8,)}
    key = "mean_test_score"
    np.testing.assert_allclose(found.cv_results_[key], here.cv_results_[key], rtol=1e-3, atol=1e-3)
    assert found.best_estimator_.predict(x[:3]).shape == (3,)


def test_a_search_on_a_cluster_runs_each_trial_once_though_a_worker_is_killed(
    client: Any, tmp_path: Path
) -> None:
    begun, storage = tmp_path / "begun", tmp_path / "search.journal"

    def objective(setting: search.Setting) -> float:  # any function: Dask sends it by value
        if is_first(begun):
            time.sleep(600)
        setting.report(setting["x"])
        return setting["x"]

    space = {"x": search.Uniform(0, 1), "kind": search.Choice("a")}
    killing = kill_one(client, begun)
    found = search.run(objective, space, 12, storage=storage, client=client, rng=0)
    killing.join()
    assert searched.refuse_lost_or_doubled(found.study, 12)["tried again"] == 1
    assert {t.user_attrs["process"][1] for t in found.ranked}.isdisjoint({os.getpid()})
    more = search.run(objective, space, 14, storage=storage, client=client, processes=1)
    searched.refuse_lost_or_doubled(more.study, 14)


def test_the_programs_of_the_how_to_print_the_output_shown(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    how_to.run(ROOT / "docs" / "howto" / "cross-validate-on-a-cluster.md")


def test_an_error_of_the_objective_is_raised_here(client: Any, tmp_path: Path) -> None:
    def objective(setting: search.Setting) -> float:
        raise OverflowError("too much")

    with pytest.raises(OverflowError, match="too much"):
        search.run(objective, searched.SPACE, 3, storage=tmp_path / "journal", client=client)


def test_what_is_no_cluster_is_refused(client: Any, tmp_path: Path) -> None:
    with pytest.raises(DTypeError, match="client: expected a dask.distributed.Client, got str"):
        search.run(searched.brief, searched.SPACE, 1, storage=tmp_path / "journal", client="tcp://x")  # type: ignore[arg-type]
    with pytest.raises(
        ValueRangeError, match="storage: expected one that several processes can share, got None"
    ):
        search.run(searched.brief, searched.SPACE, 1, client=client)
