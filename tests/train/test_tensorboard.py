"""TensorBoard: what is written is read back with TensorBoard's own reader."""

from __future__ import annotations

import io
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.train.test_trainer import points, trainer
from tinygrad_dl import nn, optim
from tinygrad_dl.errors import DTypeError, MissingExtraError, ShapeError
from tinygrad_dl.train import Callback, TensorBoard, Trainer


def read(folder: Path) -> Any:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    found = EventAccumulator(str(folder), size_guidance={"histograms": 0, "scalars": 0, "images": 0})
    found.Reload()
    return found


def test_without_tensorboard_the_extra_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "tensorboard"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    with pytest.raises(MissingExtraError, match=r"tinygrad_dl\[tensorboard\]"):
        trainer(callbacks=[TensorBoard(tmp_path)]).fit(points(), epochs=1)


class TestEvents:
    @pytest.fixture(autouse=True)
    def _needs_tensorboard(self) -> None:
        pytest.importorskip("tensorboard", reason="events need tensorboard (extra tensorboard)")

    def test_the_values_of_each_epoch_are_read_back(self, tmp_path: Path) -> None:
        t = trainer(callbacks=[TensorBoard(tmp_path)])
        history = t.fit(points(), points(seed=1), 3, rng=0)
        found = read(tmp_path)
        for tag, name in (("loss/train", "loss"), ("accuracy/dev", "dev_accuracy"), ("lr/train", "lr")):
            assert [e.step for e in found.Scalars(tag)] == [1, 2, 3]
            np.testing.assert_allclose([e.value for e in found.Scalars(tag)], history[name], rtol=1e-6)

    @pytest.mark.parametrize("compiled", [False, True])
    def test_histograms_hold_the_weights_and_the_gradients(self, tmp_path: Path, compiled: bool) -> None:
        model = nn.Linear(2, 2)
        seen: dict[str, np.ndarray] = {}

        class Keep(Callback):
            def on_backward(self, trainer: Any) -> None:
                seen["gradient"] = model.weight.grad.data.copy()

        t = Trainer(
            model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=0.1), progress="off",
            callbacks=[Keep(), TensorBoard(tmp_path, histograms=2)], compile=compiled,
        )  # fmt: skip
        t.fit(points(), epochs=4, rng=0)
        found = read(tmp_path)
        assert [h.step for h in found.Histograms("weights/weight")] == [2, 4]
        for tag, array in (("weights/weight", model.weight.data), ("gradients/weight", seen["gradient"])):
            last = found.Histograms(tag)[-1].histogram_value
            assert last.num == array.size and sum(last.bucket) == array.size
            np.testing.assert_allclose(
                [last.min, last.max, last.sum, last.sum_squares],
                [array.min(), array.max(), array.sum(), np.square(array).sum()],
                rtol=1e-4, atol=1e-6,
            )  # fmt: skip

    def test_images_are_read_back_pixel_by_pixel(self, tmp_path: Path) -> None:
        image = pytest.importorskip("PIL.Image", reason="pictures are Pillow's")
        gray = np.linspace(0, 1, 12).reshape(3, 4)
        color = np.arange(36, dtype=np.uint8).reshape(3, 4, 3)
        pictures = {"gray": gray, "color": color, "one channel": gray[:, :, None]}
        trainer(callbacks=[TensorBoard(tmp_path, images=lambda trainer: pictures)]).fit(points(), epochs=1)
        found = read(tmp_path)
        for tag, expected in (
            ("gray", np.round(gray * 255)),
            ("color", color),
            ("one channel", np.round(gray * 255)),
        ):
            (event,) = found.Images(tag)
            assert (event.height, event.width) == (3, 4)
            with image.open(io.BytesIO(event.encoded_image_string)) as opened:
                np.testing.assert_array_equal(np.asarray(opened), expected)

    @pytest.mark.parametrize(
        ("picture", "error", "message"),
        [
            (np.zeros(3), ShapeError, r"images: bad: expected an array \(H, W\).*, got \(3,\)"),
            (np.zeros((2, 2), int), DTypeError, "images: bad: expected uint8 or floats in .*, got int64"),
        ],
    )
    def test_other_arrays_are_no_images(self, tmp_path: Path, picture: Any, error: Any, message: str) -> None:
        callback = TensorBoard(tmp_path, images=lambda trainer: {"bad": picture})
        with pytest.raises(error, match=message):
            trainer(callbacks=[callback]).fit(points(), epochs=1)

    def test_the_graph_has_the_modules_as_boxes_and_shapes_at_the_edges(self, tmp_path: Path) -> None:
        from tensorboard.compat.proto.graph_pb2 import GraphDef

        t = trainer(callbacks=[TensorBoard(tmp_path)])
        before = t.model[1].running_mean.data.copy()
        t.fit(points(), epochs=0)
        np.testing.assert_array_equal(before, t.model[1].running_mean.data)
        t.fit(points(), epochs=1)
        graph = GraphDef.FromString(read(tmp_path).Graph().SerializeToString())
        names = {node.name for node in graph.node}
        assert {name.partition("/")[0] for name in names if "/" in name} >= {"0", "1", "4"}
        assert len(names) == len(graph.node) and all(i in names for node in graph.node for i in node.input)
        weights = [node for node in graph.node if node.name.startswith("4/weight")]
        sizes = [dim.size for dim in weights[0].attr["_output_shapes"].list.shape[0].dim]
        assert len(weights) == 1 and sizes == [2, 8]

    def test_hyperparameters_and_the_end_of_a_run_are_read_back(self, tmp_path: Path) -> None:
        from tensorboard.plugins.hparams import metadata

        callback = TensorBoard(tmp_path, hyperparameters={"hidden": 8, "data": "points", "shuffled": True})
        trainer(lr=0.25, callbacks=[callback]).fit(points(), epochs=2, batch_size=16)
        content = read(tmp_path).PluginTagToContent(metadata.PLUGIN_NAME)
        start = metadata.parse_session_start_info_plugin_data(content[metadata.SESSION_START_INFO_TAG])
        assert start.hparams["lr"].number_value == 0.25 and start.hparams["batch_size"].number_value == 16
        assert start.hparams["optimizer"].string_value == "Adam" and start.hparams["hidden"].number_value == 8
        assert start.hparams["shuffled"].bool_value and start.hparams["data"].string_value == "points"
        end = metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG])
        assert end.status == 1  # STATUS_SUCCESS

    @pytest.mark.parametrize("error", [KeyboardInterrupt, ZeroDivisionError])
    def test_the_file_is_closed_when_training_ends_by_an_exception(self, tmp_path: Path, error: Any) -> None:
        from tensorboard.plugins.hparams import metadata

        class Fail(Callback):
            def on_epoch_begin(self, trainer: Any) -> None:
                if trainer.epoch == 1:
                    raise error

        callback = TensorBoard(tmp_path)
        t = trainer(callbacks=[Fail(), callback])
        with pytest.raises(error):
            t.fit(points(), epochs=3)
        assert callback._writer is None and callback._hook is None
        found = read(tmp_path)
        assert len(found.Scalars("loss/train")) == 1
        content = found.PluginTagToContent(metadata.PLUGIN_NAME)
        end = metadata.parse_session_end_info_plugin_data(content[metadata.SESSION_END_INFO_TAG])
        assert end.status == 2  # STATUS_FAILURE
