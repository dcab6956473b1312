"""MLflow: training as runs of an MLflow tracking server."""

from __future__ import annotations

import importlib
import json
import os
import tempfile
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import nn, optim
from tinygrad_dl.arguments import checked
from tinygrad_dl.errors import FileFormatError, missing_extra
from tinygrad_dl.files import save
from tinygrad_dl.nn.architecture import load_model
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.runs import hyperparameters_of
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer

WEIGHTS, CLASSES = "model.safetensors", "classes.json"
LONGEST = 500  # characters of a value that every version of the server takes


class MLflow(Callback):
    """Log training as a run of MLflow: parameters, the values of each epoch, artifacts, and the model at the end.

    `experiment`: its name; `tracking_uri`: the server, None for MLflow's own setting. `parameters`: beside those of
    the optimizer; `artifacts`: files and folders to store when training has ended. With `model`, the trained model is
    stored as well: `mlflow.pyfunc.load_model(f"runs:/{run_id}/model").predict(x)` gives its outputs, or the predictions
    for a frame where one was fitted. A run ends as FINISHED, as KILLED after Ctrl-C, or as FAILED; a resumed training
    goes on with its run. `run_id` is the run. Raises MissingExtraError without the extra `mlflow`.
    """

    last = rank_zero_only = True

    @checked
    def __init__(
        self,
        experiment: str = "Default",
        *,
        tracking_uri: str | None = None,
        run_name: str | None = None,
        parameters: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
        artifacts: Iterable[str | os.PathLike[str]] = (),
        model: bool = True,
    ) -> None:
        self.experiment, self.tracking_uri, self.run_name = experiment, tracking_uri, run_name
        self.parameters, self.tags = dict(parameters or {}), dict(tags or {})
        self.artifacts = [os.fspath(path) for path in artifacts]
        self.model = bool(model)
        self.run_id: str | None = None
        self._client: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        _library()

    def on_epoch_begin(self, trainer: Trainer) -> None:
        if self._client is None:  # only now is it known whether a checkpoint has been resumed
            self._begin_run(trainer)

    def _begin_run(self, trainer: Trainer) -> None:
        library = _library()
        client = library.MlflowClient(tracking_uri=self.tracking_uri)
        if trainer.resuming and self.run_id is not None:
            client.update_run(self.run_id, status="RUNNING")
        else:
            run = client.create_run(
                self._experiment_id(library, client), run_name=self.run_name, tags=self.tags or None
            )
            self.run_id = run.info.run_id
            settings = {**hyperparameters_of(trainer), **self.parameters}
            param = library.entities.Param
            client.log_batch(
                self.run_id, params=[param(name, str(value)[:LONGEST]) for name, value in settings.items()]
            )
        self._client = client

    def _experiment_id(self, library: Any, client: Any) -> str:
        found = client.get_experiment_by_name(self.experiment)
        if found is not None:
            return str(found.experiment_id)
        try:
            return str(client.create_experiment(self.experiment))
        except library.MlflowException:  # another process has just made it
            found = client.get_experiment_by_name(self.experiment)
            if found is None:
                raise
            return str(found.experiment_id)

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        metric, now = _library().entities.Metric, int(1000 * time.time())
        values = [
            metric(name, float(value), now, epoch["epoch"])
            for name, value in epoch.items()
            if name != "epoch" and isinstance(value, (int, float, np.integer, np.floating))
        ]
        self._client.log_batch(self.run_id, metrics=values)

    def on_fit_end(self, trainer: Trainer) -> None:
        if self._client is None:
            return
        client, self._client = self._client, None
        status = "FAILED"
        if trainer.interrupted and trainer.history.stopped.startswith("interrupted"):
            status = "KILLED"
        try:
            for path in self.artifacts:
                if os.path.isdir(path):
                    client.log_artifacts(self.run_id, path, os.path.basename(os.path.abspath(path)))
                elif not trainer.interrupted or os.path.exists(path):
                    client.log_artifact(self.run_id, path)
            if self.model and not trainer.interrupted:
                self._log_model(client, trainer)
            if not trainer.interrupted:
                status = "FINISHED"
        finally:
            client.set_terminated(self.run_id, status)

    def _log_model(self, client: Any, trainer: Trainer) -> None:
        from mlflow import pyfunc

        from tinygrad_dl import __version__

        with tempfile.TemporaryDirectory() as folder:
            data, stored = Path(folder, "data"), Path(folder, "model")
            data.mkdir()
            save(trainer.model, data / WEIGHTS, preprocess=trainer.table)
            own = {type(module) for module in trainer.model.modules()}
            names = {
                cls.__name__: f"{cls.__module__}:{cls.__qualname__}"
                for cls in own
                if not cls.__module__.startswith("tinygrad_dl.")
            }
            (data / CLASSES).write_text(json.dumps(dict(sorted(names.items()))), encoding="utf-8")
            pyfunc.save_model(
                str(stored),
                loader_module="tinygrad_dl.train.mlflow",
                data_path=str(data),
                pip_requirements=[f"tinygrad_dl[train]=={__version__}", f"numpy=={np.__version__}"],
            )
            client.log_artifacts(self.run_id, str(stored), "model")

    def state_dict(self) -> dict[str, Any]:
        return {"run_id": self.run_id}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        self.run_id = state.get("run_id")


class Predictor:
    """A stored model as MLflow calls it."""

    def __init__(self, model: Any) -> None:
        from tinygrad_dl.train.trainer import Trainer

        parameters = list(model.parameters()) or [nn.Parameter(np.zeros(1, np.float32))]
        self.model = model
        self._trainer = Trainer(model, nn.MSELoss(), optim.SGD(parameters, lr=1.0), progress="off")
        self._trainer.table = getattr(model, "preprocess", None)

    def predict(self, data: Any, params: Mapping[str, Any] | None = None) -> NDArray:
        """The outputs for rows, arrays or a frame; of a frame that was fitted, the predictions."""
        table = self._trainer.table
        if table is not None:
            return np.asarray(table.predictions(self._trainer.predict(data)))
        x = np.asarray(data)
        # Weights and inputs have one dtype, and frames of numbers have float64.
        dtypes = [p.data.dtype for p in self.model.parameters() if p.data.dtype.kind == "f"]
        return self._trainer.predict(x.astype(dtypes[0]) if dtypes and x.dtype.kind == "f" else x)


def _load_pyfunc(path: str) -> Predictor:
    """What MLflow calls to load a model: the classes of your own that it is made of are imported, nothing else."""
    names = json.loads(Path(path, CLASSES).read_text(encoding="utf-8"))
    classes = {}
    for name, place in names.items():
        module, _, qualified = place.partition(":")
        try:
            found: Any = importlib.import_module(module)
            for part in qualified.split("."):
                found = getattr(found, part)
        except (ImportError, AttributeError) as error:
            raise FileFormatError(
                f"MLflow: {name}: expected the class {qualified} of the module {module}, which the model is made of: "
                f"{error}. Define it in a module that can be imported where the model is loaded."
            ) from None
        classes[name] = found
    return Predictor(load_model(Path(path, WEIGHTS), classes))


def _library() -> Any:
    try:
        import mlflow
    except ImportError:
        raise missing_extra("mlflow-skinny", "mlflow", "MLflow") from None
    return mlflow
