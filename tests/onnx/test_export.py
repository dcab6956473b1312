"""onnx.export: models end to end, names, inputs, outputs, preprocessing, and what it refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.onnx.runtimes import Runtimes, check, onnx, results
from tinygrad_dl import nn
from tinygrad_dl.data import Standardize
from tinygrad_dl.onnx import ExportError

F32 = np.float32


def drawn(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).standard_normal(shape, F32)


class LSTMClassifier(nn.Module):
    def __init__(self) -> None:
        self.embedding = nn.Embedding(20, 8, padding_idx=0)
        self.lstm = nn.LSTM(8, 6, batch_first=True, bidirectional=True)
        self.head = nn.Linear(12, 3)

    def forward(self, tokens: Any) -> Any:
        states, _ = self.lstm(self.embedding(tokens))
        return self.head(states.mean(axis=1))


def lenet() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.Tanh(), nn.AvgPool2d(2), nn.Conv2d(6, 16, 5), nn.Tanh(),
        nn.AvgPool2d(2), nn.Flatten(), nn.Dropout(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 10),
    )  # fmt: skip


def test_lenet_is_exported_with_any_batch_size(tmp_path: Path) -> None:
    model = lenet()
    model(drawn(8, 1, 28, 28))  # running statistics that are not 0 and 1
    tg.onnx.export(model, drawn(1, 1, 28, 28), tmp_path / "m.onnx")
    runtimes = Runtimes(tmp_path / "m.onnx")
    for rows in (1, 7):
        runtimes.check(model, [drawn(rows, 1, 28, 28)])
    kinds = [node.op_type for node in onnx.load(tmp_path / "m.onnx").graph.node]
    assert kinds[:4] == ["Conv", "BatchNormalization", "Tanh", "AveragePool"] and "Gemm" in kinds


def test_an_lstm_classifier_takes_tokens(tmp_path: Path) -> None:
    model = LSTMClassifier()
    tokens = np.random.default_rng(0).integers(0, 20, (4, 7))
    tg.onnx.export(model, tokens, tmp_path / "m.onnx")
    check(tmp_path / "m.onnx", model, [np.random.default_rng(1).integers(0, 20, (9, 7))])
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [i.name for i in graph.input] == ["tokens"]
    assert [d.dim_param or d.dim_value for d in graph.input[0].type.tensor_type.shape.dim] == ["batch", 7]


def test_a_transformer_encoder_with_a_mask_as_input_is_exported(tmp_path: Path) -> None:
    model = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 2)
    mask = np.triu(np.full((5, 5), -np.inf, F32), 1)
    tg.onnx.export(model, {"src": drawn(2, 5, 8), "mask": mask}, tmp_path / "m.onnx", dynamic_batch=(0, None))
    graph = onnx.load(tmp_path / "m.onnx").graph
    assert [i.name for i in graph.input] == ["src", "mask"]
    x = drawn(6, 5, 8)
    expected = model.eval()(tg.Tensor(x), mask=tg.Tensor(mask)).detach().numpy()
    for (got,) in results(tmp_path / "m.onnx", [x, mask]).values():
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_parameters_keep_their_names_and_nodes_are_named_after_modules(tmp_path: Path) -> None:
    model = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    tg.onnx.export(model, drawn(2, 5, 8), tmp_path / "m.onnx")
    graph = onnx.load(tmp_path / "m.onnx").graph
    stored = {t.name: onnx.numpy_helper.to_array(t) for t in graph.initializer}
    state = model.state_dict()
    assert set(state) <= set(stored)
    for name, array in state.items():
        np.testing.assert_array_equal(stored[name], array)
    assert "linear1/MatMul" in [n.name for n in graph.node]
    assert len({n.name for n in graph.node}) == len(graph.node)


def test_inputs_and_outputs_can_be_named(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, a: Any, b: Any) -> Any:
            return {"sum": a + b, "product": a * b}

    path = tmp_path / "m.onnx"
    tg.onnx.export(Two(), (drawn(2, 3), drawn(2, 3)), path)
    graph = onnx.load(path).graph
    assert [i.name for i in graph.input] == ["a", "b"] and [o.name for o in graph.output] == [
        "sum",
        "product",
    ]
    tg.onnx.export(Two(), (drawn(2, 3), drawn(2, 3)), path, input_names=["x", "y"], output_names=["s", "p"])
    graph = onnx.load(path).graph
    assert [i.name for i in graph.input] == ["x", "y"] and [o.name for o in graph.output] == ["s", "p"]


def test_the_size_of_the_example_can_be_fixed(tmp_path: Path) -> None:
    tg.onnx.export(nn.Linear(3, 2), drawn(4, 3), tmp_path / "m.onnx", dynamic_batch=False)
    shape = onnx.load(tmp_path / "m.onnx").graph.input[0].type.tensor_type.shape
    assert [d.dim_value for d in shape.dim] == [4, 3]


def test_a_standardization_becomes_a_part_of_the_file(tmp_path: Path) -> None:
    x = drawn(20, 3) * F32(5) + F32(2)
    scale, model = Standardize().fit(x), nn.Linear(3, 2)
    tg.onnx.export(model, x, tmp_path / "m.onnx", preprocess=scale)
    expected = model(tg.Tensor(scale(x))).detach().numpy()
    for (got,) in results(tmp_path / "m.onnx", [x]).values():
        np.testing.assert_allclose(got, expected, rtol=1e-5, atol=1e-5)


def test_a_model_of_float64_and_a_function_are_exported(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.SiLU(), nn.LayerNorm(4)).double()
    tg.onnx.export(model, drawn(2, 3).astype(float), tmp_path / "m.onnx")
    check(tmp_path / "m.onnx", model, [drawn(5, 3).astype(float)])
    weight = tg.Tensor(drawn(3, 3), name="weight")
    tg.onnx.export(lambda x: (x @ weight).tanh(), drawn(2, 3), tmp_path / "f.onnx")
    check(tmp_path / "f.onnx", lambda x: (x @ weight).tanh(), [drawn(6, 3)])


def test_shared_layers_and_lazy_ones_and_weight_norm_are_exported(tmp_path: Path) -> None:
    shared = nn.Linear(3, 3)
    model = nn.Sequential(
        shared, nn.ReLU(), shared, nn.utils.parametrizations.weight_norm(nn.Linear(3, 4)), nn.LazyLinear(2)
    )
    tg.onnx.export(model, drawn(2, 3), tmp_path / "m.onnx")
    check(tmp_path / "m.onnx", model, [drawn(5, 3)])


@pytest.mark.parametrize("make", [
    lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, padding=1, output_padding=1, groups=2),
    lambda: nn.ConvTranspose2d(4, 6, 2, stride=3, dilation=2, groups=4 // 2),
    lambda: nn.MaxPool2d(2, 3, ceil_mode=True, return_indices=True),
    lambda: nn.AvgPool2d(3, 2, padding=1, divisor_override=2),
    lambda: nn.Conv2d(4, 4, 3, padding="same", padding_mode="circular"),
    lambda: nn.Upsample(size=(4, 9), mode="bilinear", align_corners=True),
])  # fmt: skip
def test_options_of_layers_are_exported(make: Any, tmp_path: Path) -> None:
    model = make()
    tg.onnx.export(model, drawn(2, 4, 7, 7), tmp_path / "m.onnx")
    check(tmp_path / "m.onnx", model, [drawn(3, 4, 7, 7)], reference=False)


@pytest.mark.parametrize(
    "make", [lambda: nn.RNN(6, 4, nonlinearity="relu"), lambda: nn.LSTM(6, 4, proj_size=3)]
)
def test_recurrent_layers_take_initial_states(make: Any, tmp_path: Path) -> None:
    model = make()
    tg.onnx.export(model, drawn(5, 2, 6), tmp_path / "m.onnx", dynamic_batch=1)
    check(tmp_path / "m.onnx", model, [drawn(5, 3, 6)], reference=False)


def test_a_model_that_computes_with_numpy_is_refused(tmp_path: Path) -> None:
    class Masked(nn.Module):
        def forward(self, x: Any) -> Any:
            return x * (x.detach().numpy() > 0)

    for batch in (True, False):
        with pytest.raises(ExportError, match="Masked|computes with its inputs only"):
            tg.onnx.export(Masked(), drawn(4, 3), tmp_path / "m.onnx", dynamic_batch=batch)
    assert not list(tmp_path.iterdir())


def test_a_model_for_one_batch_size_is_refused_with_the_way_out(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Unflatten(1, (3, 1)), nn.Flatten(0), nn.Unflatten(0, (2, 6)))
    with pytest.raises(ExportError, match="any number of rows.*dynamic_batch=False"):
        tg.onnx.export(model, drawn(4, 3), tmp_path / "m.onnx")
    tg.onnx.export(model, drawn(4, 3), tmp_path / "m.onnx", dynamic_batch=False)
    check(tmp_path / "m.onnx", model, [drawn(4, 3)])


@pytest.mark.parametrize(
    "change, error, message",
    [
        ({"model": 3}, TypeError, "expected a Module or a function, got"),
        ({"example": "x"}, TypeError, "expected an array, a tuple of arrays or a dict of them"),
        ({"example": ()}, ValueError, "at least one input"),
        ({"example": {}}, ValueError, "at least one input"),
        ({"path": 3}, TypeError, "path: expected"),
        ({"output_names": 3}, TypeError, "output_names: expected"),
        ({"example": np.zeros((0, 3), F32)}, ValueError, "at least one row"),
        ({"input_names": ["a", "b"]}, ValueError, "expected 1 different names"),
        ({"input_names": "a"}, TypeError, "input_names: expected"),
        ({"output_names": ["weight"]}, ValueError, "that no input or parameter has"),
        ({"dynamic_batch": 5}, ValueError, r"expected an axis of input of shape \(2, 3\), got 5"),
        ({"dynamic_batch": "yes"}, TypeError, "dynamic_batch: expected True, False, an axis"),
        ({"preprocess": object()}, TypeError, "preprocess: expected a fitted data.Standardize or data.Table"),
    ],
)
def test_a_wrong_argument_is_one_clear_error(
    change: dict[str, Any], error: type[Exception], message: str, tmp_path: Path
) -> None:
    given = {"model": nn.Linear(3, 2), "example": drawn(2, 3), "path": tmp_path / "m.onnx"} | change
    with pytest.raises(error, match=message):
        tg.onnx.export(**given)
    assert not list(tmp_path.iterdir())


def test_without_the_package_the_error_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(ImportError, match=r"tinygrad_dl\[onnx\]"):
        tg.onnx.export(nn.Linear(3, 2), drawn(2, 3), tmp_path / "m.onnx")


def test_a_table_becomes_a_part_of_the_file(tmp_path: Path) -> None:
    pytest.importorskip("pandas", reason="tables need the extra data")
    pytest.importorskip("sklearn", reason="tables need the extra data")
    from tinygrad_dl.data import Table

    rng = np.random.default_rng(0)
    frame = {
        "area": [None, *rng.normal(80, 20, 19).round(1)], "city": [None, *rng.choice(["Kobe", "Nara"], 19)],
        "zip": rng.choice(["a", "b", "c"], 20), "price": rng.normal(300, 50, 20),
    }  # fmt: skip
    table = Table(frame, "price", embed=["zip"], quiet=True).fit()

    class Model(nn.Module):
        def __init__(self) -> None:
            self.zip = nn.Embedding(table.levels["zip"], 2)
            self.head = nn.Linear(len(table.features) + 2, 1)

        def forward(self, x: Any, codes: Any) -> Any:
            return self.head(tg.concat([x, self.zip(codes[:, 0])], axis=1))

    model = Model()
    tg.onnx.export(model, table.frame, tmp_path / "m.onnx", preprocess=table)
    new = {"area": [50.0, np.nan, 90.0], "city": ["Nara", "", "Lima"], "zip": ["c", "a", "z"]}
    x, codes = table.transform(new)
    expected = table.predictions(model(tg.Tensor(x), codes).detach().numpy())
    feeds = [np.array(new["area"], F32), np.array(new["city"], object), np.array(new["zip"], object)]
    for (got,) in results(tmp_path / "m.onnx", [f[:, None] for f in feeds]).values():
        np.testing.assert_allclose(got[:, 0], expected, rtol=1e-5)
    dated = Table({"day": ["2020-01-01", "2021-02-02"], "y": [1.0, 2.5]}, "y", quiet=True).fit()
    with pytest.raises(ValueError, match="got the date 'day'.*tg.compile"):
        tg.onnx.export(nn.Linear(3, 1), dated.frame, tmp_path / "d.onnx", preprocess=dated)
