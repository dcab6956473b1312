"""MLflow: runs of a real tracking server on loopback, with a database, are read back through its own client."""

from __future__ import annotations

import os
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests import how_to
from tests.layout import ROOT
from tests.train.postgresql import free_port
from tests.train.test_trainer import points, trainer
from tests.waiting import wait_until
from tinygrad_dl import nn
from tinygrad_dl.errors import MissingExtraError
from tinygrad_dl.train import Callback, Checkpoint, EarlyStopping, MLflow

QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
}
# The server needs versions of packages that this project's environment does not have: it has one of its own.
SERVER = Path(os.environ.get("MLFLOW_SERVER_PYTHON", Path(sys.prefix, "mlflow", "bin", "python")))


class Doubled(nn.Module):
    """A class of the user's own, which the stored model is made of."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)

    def forward(self, x: Any) -> Any:
        return 2 * self.inner(x)


def test_without_mlflow_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    with pytest.raises(MissingExtraError, match=r"tinygrad_dl\[mlflow\]"):
        trainer(callbacks=[MLflow()]).fit(points(), epochs=1)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a server with an SQLite database and a folder of artifacts."""
    pytest.importorskip("safetensors", reason="models are safetensors files (extra train)")
    if not SERVER.exists():
        pytest.skip("no MLflow server is installed in .venv/mlflow, nor named by MLFLOW_SERVER_PYTHON")
    patch = pytest.MonkeyPatch()
    for name, value in QUIET.items():
        patch.setenv(name, value)
    pytest.importorskip("mlflow", reason="runs need mlflow (extra mlflow)")
    folder, port = tmp_path_factory.mktemp("server"), free_port()
    command = [
        str(SERVER), "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1",
        "--backend-store-uri", f"sqlite:///{folder}/runs.db", "--artifacts-destination", str(folder / "artifacts"),
    ]  # fmt: skip
    clean = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV_"))}
    with open(folder / "log", "wb") as log:
        server = subprocess.Popen(
            command, cwd=folder, env={**clean, **QUIET}, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            start_new_session=True,
        )  # fmt: skip
    url = f"http://127.0.0.1:{port}"

    def answers() -> bool:
        try:
            with urllib.request.urlopen(f"{url}/health", timeout=10):
                return True
        except (urllib.error.URLError, ConnectionError, TimeoutError):
            return server.poll() is not None

    try:
        wait_until(answers, (folder / "log").read_text)
        assert server.poll() is None, (folder / "log").read_text()
        yield url
    finally:
        end(server)
        patch.undo()


def end(server: subprocess.Popen[bytes]) -> None:
    """End a server with its processes."""
    import signal

    os.killpg(server.pid, signal.SIGTERM)
    try:
        server.wait(30)
    except subprocess.TimeoutExpired:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


def run_of(address: str, callback: MLflow) -> Any:
    import mlflow

    return mlflow.MlflowClient(address).get_run(str(callback.run_id))


def loaded(address: str, callback: MLflow) -> Any:
    import mlflow

    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(address)
    try:
        return mlflow.pyfunc.load_model(f"runs:/{callback.run_id}/model")
    finally:
        mlflow.set_tracking_uri(before)


@pytest.mark.filterwarnings("ignore")  # MLflow's own
class TestServer:
    def test_parameters_metrics_artifacts_and_the_model_are_read_back(
        self, address: str, tmp_path: Path
    ) -> None:
        import mlflow

        (tmp_path / "notes.txt").write_text("notes")
        callback = MLflow(
            "points", tracking_uri=address, run_name="first", parameters={"hidden": 8}, tags={"by": "test"},
            artifacts=[tmp_path / "notes.txt"],
        )  # fmt: skip
        t = trainer(lr=0.25, callbacks=[callback, EarlyStopping("dev_loss", patience=50)])
        history = t.fit(points(), points(seed=1), 3, batch_size=16, rng=0)
        run, client = run_of(address, callback), mlflow.MlflowClient(address)
        assert (
            run.info.status == "FINISHED" and run.info.run_name == "first" and run.data.tags["by"] == "test"
        )
        assert client.get_experiment(run.info.experiment_id).name == "points"
        expected = {"lr": "0.25", "optimizer": "Adam", "batch_size": "16", "epochs": "3", "hidden": "8"}
        assert expected.items() <= run.data.params.items()
        for name in ("loss", "dev_accuracy"):
            found = client.get_metric_history(str(callback.run_id), name)
            assert [m.step for m in found] == [1, 2, 3]
            np.testing.assert_allclose([m.value for m in found], history[name])
        assert {f.path for f in client.list_artifacts(str(callback.run_id))} == {"notes.txt", "model"}
        x = np.random.default_rng(0).normal(size=(5, 2))
        predicted = loaded(address, callback).predict(x)
        np.testing.assert_allclose(predicted, t.predict(x.astype(np.float32)), rtol=1e-5, atol=1e-6)

    def test_a_model_of_a_class_of_your_own_and_of_a_frame_is_loaded_back(self, address: str) -> None:
        pd = pytest.importorskip("pandas", reason="frames are pandas's (extra data)")
        from tinygrad_dl import optim
        from tinygrad_dl.train import Trainer

        callback = MLflow(tracking_uri=address)
        model = Doubled()
        t = Trainer(
            model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.05), callbacks=[callback], progress="off"
        )  # fmt: skip
        rng = np.random.default_rng(0)
        frame = pd.DataFrame({"a": rng.normal(size=40), "b": rng.normal(size=40)})
        frame["kind"] = np.where(frame["a"] > 0, "right", "left")
        t.fit(frame, target="kind", epochs=10, rng=0)
        predicted = loaded(address, callback).predict(frame[["a", "b"]])
        assert t.table is not None
        np.testing.assert_array_equal(predicted, t.table.predictions(t.predict(frame)))
        assert set(predicted) == {"left", "right"}

    @pytest.mark.parametrize(
        ("error", "status"), [(KeyboardInterrupt, "KILLED"), (ZeroDivisionError, "FAILED")]
    )
    def test_a_run_ends_when_training_ends_by_an_exception(
        self, address: str, error: Any, status: str
    ) -> None:
        class Fail(Callback):
            def on_epoch_begin(self, trainer: Any) -> None:
                if trainer.epoch == 1:
                    raise error

        callback = MLflow(tracking_uri=address, artifacts=["absent.txt"])
        with pytest.raises(error):
            trainer(callbacks=[Fail(), callback]).fit(points(), epochs=3)
        run = run_of(address, callback)
        assert run.info.status == status and run.info.end_time and "loss" in run.data.metrics

    def test_a_resumed_training_goes_on_with_its_run(self, address: str, tmp_path: Path) -> None:
        import mlflow

        runs = []
        for epochs in (2, 4):
            callback = MLflow(tracking_uri=address, model=False)
            trainer(callbacks=[callback, Checkpoint(tmp_path / "kept")]).fit(points(), epochs=epochs, rng=0)
            runs.append(callback.run_id)
        assert runs[0] == runs[1]
        found = mlflow.MlflowClient(address).get_metric_history(str(runs[0]), "loss")
        assert [m.step for m in found] == [1, 2, 3, 4]

    def test_the_programs_of_the_how_to_print_the_output_shown(
        self, address: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import mlflow

        pytest.importorskip("tensorboard", reason="events need tensorboard (extra tensorboard)")
        monkeypatch.chdir(tmp_path)
        before = mlflow.get_tracking_uri()
        try:
            page = ROOT / "docs" / "howto" / "watch-training.md"
            how_to.run(page, {"http://127.0.0.1:5000": address})
        finally:
            mlflow.set_tracking_uri(before)
