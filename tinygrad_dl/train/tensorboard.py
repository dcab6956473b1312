"""TensorBoard: training as events that TensorBoard shows."""

from __future__ import annotations

import io
import os
import time
import warnings
from collections.abc import Callable, Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

import numpy as np

from tinygrad_dl import asarray
from tinygrad_dl.arguments import Size, checked
from tinygrad_dl.errors import DTypeError, ShapeError, missing_extra
from tinygrad_dl.nn.warnings import warn_once
from tinygrad_dl.train.callback import Callback
from tinygrad_dl.train.runs import hyperparameters_of, tag_of
from tinygrad_dl.typing import NDArray

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer
    from tinygrad_dl.viz.graph.model import GraphModel

BINS = 40


class TensorBoard(Callback):
    """Log training as TensorBoard events in a folder: `tensorboard --logdir folder` shows them.

    Each epoch: its values, those of the training and the dev part in one chart. Every `histograms` epochs: the weights
    and the gradients of the last step (0: never). `images(trainer)`: a dict of pictures to show after each epoch,
    arrays (H, W), (H, W, 3) or (H, W, 4), uint8 or floats in [0, 1], or matplotlib figures. `graph`: the model as it
    computes the first batch. `hyperparameters`: a dict of numbers and strings beside those of the optimizer. What
    was written is on disk after each epoch, and the file is closed however training ends. Raises MissingExtraError
    without the extra `tensorboard`.
    """

    last = rank_zero_only = True

    @checked
    def __init__(
        self,
        folder: str | os.PathLike[str],
        *,
        histograms: Size = 1,
        images: Callable[[Any], Mapping[str, Any]] | None = None,
        graph: bool = True,
        hyperparameters: Mapping[str, Any] | None = None,
    ) -> None:
        self.folder = os.fspath(folder)
        self.histograms, self.images, self.graph = int(histograms), images, bool(graph)
        self.hyperparameters = dict(hyperparameters or {})
        self._protos: Any = None
        self._writer: Any = None
        self._gradients: dict[str, NDArray] = {}
        self._hook: Any = None

    def on_fit_begin(self, trainer: Trainer) -> None:
        self._protos = _library()
        self._writer = self._protos.EventFileWriter(self.folder)
        settings = {**hyperparameters_of(trainer), **self.hyperparameters}
        named = {
            name: value if isinstance(value, (bool, int, float)) else str(value)
            for name, value in settings.items()
        }
        self._add(self._protos.hparams.hparams_pb(named, trial_id=os.path.abspath(self.folder)), 0)
        if self.graph and trainer.epoch == 0:
            self._hook = trainer.model.register_forward_pre_hook(self._draw)

    def watches_step(self) -> bool:
        return self._hook is not None

    def _draw(self, model: Any, inputs: tuple[Any, ...]) -> None:
        """Write the graph of the model, once it is given inputs."""
        self._remove_hook()
        try:
            computed = _computed(model, inputs)
        except Exception as error:  # a picture must not end the training
            computed = None
            warn_once("TensorBoard: graph", f"TensorBoard: graph: the model could not be drawn: {error}")
        if computed is not None:
            graph = _graph_def(self._protos, computed)
            event = self._protos.Event(wall_time=time.time(), graph_def=graph.SerializeToString())
            self._writer.add_event(event)

    def _remove_hook(self) -> None:
        if self._hook is not None:
            self._hook.remove()
            self._hook = None

    def on_batch_end(self, trainer: Trainer) -> None:
        due = self.histograms and (trainer.epoch + 1) % self.histograms == 0
        if due and trainer.batch == trainer.batches:
            self._gradients = {
                name: p.grad.data.copy() for name, p in trainer.model.named_parameters() if p.grad is not None
            }

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        step, value_of = epoch["epoch"], self._protos.Summary.Value
        values = [
            value_of(tag=tag_of(name), simple_value=value)
            for name, value in epoch.items()
            if name != "epoch" and isinstance(value, (int, float, np.integer, np.floating))
        ]
        if self.histograms and step % self.histograms == 0:
            arrays = {f"weights/{name}": p.data for name, p in trainer.model.named_parameters()}
            arrays.update({f"gradients/{name}": g for name, g in self._gradients.items()})
            for tag, array in arrays.items():
                finite = np.asarray(array, np.float64)[np.isfinite(array)]
                if finite.size:
                    values.append(value_of(tag=tag, histo=_histogram(self._protos, finite)))
            self._gradients = {}
        for name, picture in (self.images(trainer) if self.images else {}).items():
            values.append(value_of(tag=name, image=_image(self._protos, name, picture)))
        self._add(self._protos.Summary(value=values), step)
        self._writer.flush()

    def _add(self, summary: Any, step: int) -> None:
        self._writer.add_event(self._protos.Event(wall_time=time.time(), step=step, summary=summary))

    def on_fit_end(self, trainer: Trainer) -> None:
        self._remove_hook()
        if self._writer is None:
            return
        writer, self._writer = self._writer, None
        try:
            status = "STATUS_FAILURE" if trainer.interrupted else "STATUS_SUCCESS"
            ended = self._protos.SessionEndInfo(
                status=self._protos.Status.Value(status), end_time_secs=time.time()
            )
            data = self._protos.HParamsPluginData(session_end_info=ended)
            tag, metadata = self._protos.session_end_tag, self._protos.metadata_of(data)
            value = self._protos.Summary.Value(tag=tag, metadata=metadata)
            summary = self._protos.Summary(value=[value])
            writer.add_event(self._protos.Event(wall_time=time.time(), summary=summary))
        finally:
            writer.close()


# TensorBoard's messages, by the module of its package that defines them.
_MESSAGES = {
    "compat.proto.attr_value_pb2": ("AttrValue",),
    "compat.proto.event_pb2": ("Event",),
    "compat.proto.graph_pb2": ("GraphDef",),
    "compat.proto.node_def_pb2": ("NodeDef",),
    "compat.proto.summary_pb2": ("HistogramProto", "Summary"),
    "compat.proto.tensor_shape_pb2": ("TensorShapeProto",),
    "compat.proto.versions_pb2": ("VersionDef",),
    "plugins.hparams.plugin_data_pb2": ("HParamsPluginData", "SessionEndInfo"),
    "plugins.hparams.api_pb2": ("Status",),
    "summary.writer.event_file_writer": ("EventFileWriter",),
}


class _Protos:
    """TensorBoard's own writer and messages, which its modules make when they are imported."""

    def __init__(self) -> None:
        for module, names in _MESSAGES.items():
            found = import_module(f"tensorboard.{module}")
            for name in names:
                setattr(self, name, getattr(found, name))
        metadata = import_module("tensorboard.plugins.hparams.metadata")
        self.hparams = import_module("tensorboard.plugins.hparams.summary_v2")
        self.session_end_tag = metadata.SESSION_END_INFO_TAG
        self.metadata_of = metadata.create_summary_metadata

    if TYPE_CHECKING:

        def __getattr__(self, name: str) -> Any: ...


def _library() -> _Protos:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            return _Protos()
    except ImportError:
        raise missing_extra("tensorboard", "tensorboard", "TensorBoard") from None


def _histogram(protos: _Protos, values: NDArray) -> Any:
    counts, edges = np.histogram(values, BINS)
    return protos.HistogramProto(
        min=float(values.min()),
        max=float(values.max()),
        num=float(values.size),
        sum=float(values.sum()),
        sum_squares=float(np.square(values).sum()),
        bucket_limit=edges[1:].tolist(),
        bucket=counts.astype(float).tolist(),
    )


def _image(protos: _Protos, name: str, picture: Any) -> Any:
    """A picture as TensorBoard stores it, in PNG."""
    from PIL import Image

    if hasattr(picture, "savefig"):
        file = io.BytesIO()
        picture.savefig(file, format="png")
        with Image.open(file) as opened:
            width, height = opened.size
        return protos.Summary.Image(
            height=height, width=width, colorspace=4, encoded_image_string=file.getvalue()
        )
    array = np.asarray(getattr(picture, "data", picture) if hasattr(picture, "requires_grad") else picture)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[:, :, 0]
    if array.ndim not in (2, 3) or (array.ndim == 3 and array.shape[2] not in (3, 4)) or not array.size:
        raise ShapeError(
            f"TensorBoard: images: {name}: expected an array (H, W), (H, W, 3) or (H, W, 4), got {array.shape}"
        )
    if array.dtype.kind == "f":
        array = np.clip(np.nan_to_num(array), 0, 1) * 255 + 0.5
    elif array.dtype != np.uint8:
        raise DTypeError(
            f"TensorBoard: images: {name}: expected uint8 or floats in [0, 1], got {array.dtype}"
        )
    file = io.BytesIO()
    Image.fromarray(array.astype(np.uint8)).save(file, "PNG")
    return protos.Summary.Image(
        height=array.shape[0],
        width=array.shape[1],
        colorspace=1 if array.ndim == 2 else array.shape[2],
        encoded_image_string=file.getvalue(),
    )


def _computed(model: Any, inputs: tuple[Any, ...]) -> GraphModel | None:
    """The graph of the model for one or two examples of its inputs, in eval mode; None for inputs of other kinds."""
    from tinygrad_dl.viz import draw

    if not all(hasattr(x, "data") and hasattr(x, "shape") and len(x.shape) for x in inputs):
        return None
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        output = model(*(asarray(np.array(x.data[:2])) for x in inputs))
        return draw(output, model, show=("shape",), repeats=False).graph
    finally:
        for module, training in modes:
            module.training = training


def _graph_def(protos: _Protos, graph: GraphModel) -> Any:
    """A graph as TensorBoard draws it: names with slashes are its boxes, here one for each module."""
    paths = {module.id: module.path.replace(".", "/") for module in graph.modules}
    kinds = {module.id: module.kind for module in graph.modules}
    names = {}
    for node in graph.nodes:
        path = paths.get(node.module, "")
        label = (
            node.name.rpartition(".")[2] if node.kind == "parameter" and node.name else node.op or node.kind
        )
        label = "".join(c if c.isalnum() or c in "_.-" else "_" for c in label).strip("_.-") or "value"
        names[node.id] = f"{path}/{label}_{node.id}" if path else f"{label}_{node.id}"
    sources: dict[str, list[str]] = {}
    for edge in sorted(graph.edges, key=lambda edge: edge.position):
        if edge.source in names:
            sources.setdefault(edge.target, []).append(names[edge.source])
    definition = protos.GraphDef(versions=protos.VersionDef(producer=22))
    for node in graph.nodes:
        made = protos.NodeDef(
            name=names[node.id], op=node.op or node.kind, input=sources.get(node.id, []), device="/cpu:0"
        )
        if node.shape is not None:
            shape = protos.TensorShapeProto(dim=[protos.TensorShapeProto.Dim(size=n) for n in node.shape])
            made.attr["_output_shapes"].CopyFrom(
                protos.AttrValue(list=protos.AttrValue.ListValue(shape=[shape]))
            )
        if node.module in kinds:
            made.attr["module"].CopyFrom(protos.AttrValue(s=kinds[node.module].encode()))
        definition.node.append(made)
    return definition
