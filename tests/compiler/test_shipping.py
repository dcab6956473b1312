"""A model as one file that needs NumPy only: in a process without the package, for any number of rows."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import data, nn
from tinygrad_dl.errors import CompileError

STANDARD = {"csv", "sys", "datetime", "typing", "__future__"}


def alone(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run Python with NumPy and the standard library only; importing the package fails."""
    start = (
        "import sys, runpy, importlib.abc\n"
        "class Refuse(importlib.abc.MetaPathFinder):\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.split('.')[0] in ('tinygrad_dl', 'pandas', 'sklearn'): raise ImportError(name)\n"
        "sys.meta_path.insert(0, Refuse()); sys.argv = sys.argv[1:]\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    return subprocess.run(
        [sys.executable, "-c", start, *arguments], cwd=folder, capture_output=True, text=True, check=False
    )


def loaded(path: Path) -> dict[str, Any]:
    space: dict[str, Any] = {"__name__": "predict"}
    exec(compile(path.read_text(encoding="utf-8"), str(path), "exec"), space)
    return space


def imports(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    found = {a.name for n in ast.walk(tree) if isinstance(n, ast.Import) for a in n.names}
    return found | {str(n.module) for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}


def table_of_houses(**options: Any) -> tuple[data.Table, Any]:
    pd = pytest.importorskip("pandas", reason="tables need the extra data")
    pytest.importorskip("sklearn", reason="tables need the extra data")
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "area": [None, *rng.normal(80, 20, 39).round(1)], "city": [None, *rng.choice(["Kobe", "Nara"], 39)],
            "sold": pd.date_range("2020-01-20", periods=40, freq="20D").astype(str),
            "new": rng.choice([True, False], 40), "price": rng.normal(300, 50, 40).round(2),
        }
    )  # fmt: skip
    return data.Table(frame, options.pop("target", "price"), quiet=True, **options), frame


def convolutional() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(64, 3)
    )  # fmt: skip


def test_a_table_is_predicted_from_a_csv_file_without_the_package(tmp_path: Path) -> None:
    table, frame = table_of_houses()
    table.split((0.7, 0.3), rng=0)
    model = nn.Sequential(
        nn.Linear(len(table.features), 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(), nn.Linear(8, 1)
    )
    model(tg.Tensor(table.x))
    tg.compile(model).save(tmp_path / "predict.py", preprocess=table)
    assert model.training, "the mode of the model is what it was"
    assert [p.name for p in tmp_path.iterdir()] == ["predict.py"]
    assert imports(tmp_path / "predict.py") == {"numpy", *STANDARD}
    frame.drop(columns="price").to_csv(tmp_path / "new.csv", index=False)
    ran = alone(tmp_path, "predict.py", "new.csv")
    assert ran.returncode == 0, ran.stderr
    expected = table.predictions(model.eval()(tg.Tensor(table.transform(frame))).detach().numpy())
    name, *lines = ran.stdout.split()
    assert name == "price"
    np.testing.assert_allclose([float(line) for line in lines], expected, rtol=1e-5)
    rows = frame.astype(object).where(frame.notna(), None).to_dict("records")
    np.testing.assert_allclose(loaded(tmp_path / "predict.py")["predict"](rows), expected, rtol=1e-5)


def test_a_file_that_does_not_fit_is_one_clear_line(tmp_path: Path) -> None:
    table, _ = table_of_houses()
    model = nn.Linear(len(table.fit().features), 1)
    tg.compile(model).save(tmp_path / "predict.py", preprocess=table)
    (tmp_path / "bad.csv").write_text("area,city,sold,new\nbig,Kobe,2020-01-01,True\n", encoding="utf-8")
    (tmp_path / "few.csv").write_text("area\n1\n", encoding="utf-8")
    for arguments, message in (
        (["bad.csv"], "bad.csv: area: row 0: expected a number, got 'big'"),
        (["few.csv"], "few.csv: expected the columns city, sold, new, got area"),
        ([], "expected the path of one CSV file"),
    ):  # fmt: skip
        ran = alone(tmp_path, "predict.py", *arguments)
        assert ran.returncode == 1 and message in ran.stderr and "Traceback" not in ran.stderr


def test_classes_and_embeddings_are_predicted(tmp_path: Path) -> None:
    table, frame = table_of_houses(target="city", embed=["new"], drop=["sold", "price"])
    table.fit()

    class Model(nn.Module):
        def __init__(self) -> None:
            self.new = nn.Embedding(table.levels["new"], 2)
            self.head = nn.Linear(len(table.features) + 2, len(table.classes or []))

        def forward(self, x: Any, codes: Any) -> Any:
            return self.head(tg.concat([x, self.new(codes[:, 0])], axis=1))

    model = Model()
    tg.compile(model).save(tmp_path / "predict.py", preprocess=table)
    x, codes = table.transform(frame)
    expected = table.predictions(model(tg.Tensor(x), codes).detach().numpy())
    got = loaded(tmp_path / "predict.py")["predict"]({name: list(frame[name]) for name in ("area", "new")})
    assert got.tolist() == expected.tolist() and set(got) <= {"Kobe", "Nara"}


@pytest.mark.parametrize(
    "make, shape",
    [
        (convolutional, (1, 8, 8)),
        (lambda: nn.LSTM(3, 4, batch_first=True), (5, 3)),
        (lambda: nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, batch_first=True), 1), (5, 8)),
    ],
)  # fmt: skip
def test_a_standardized_model_takes_any_number_of_rows(
    make: Any, shape: tuple[int, ...], tmp_path: Path
) -> None:
    x = np.random.default_rng(0).normal(2, 3, (9, *shape)).astype(np.float32)
    model, scale = make().eval(), data.Standardize().fit(x)
    tg.compile(model).save(tmp_path / "predict.py", preprocess=scale)
    predict = loaded(tmp_path / "predict.py")["predict"]
    for rows in (1, 4, 9):
        expected, got = model(tg.Tensor(scale(x[:rows]))), predict(x[:rows])
        expected = (expected[0] if isinstance(expected, tuple) else expected).detach().numpy()
        np.testing.assert_allclose(got[0] if isinstance(got, tuple) else got, expected, rtol=1e-5, atol=1e-5)


def test_what_cannot_be_shipped_is_one_clear_error(tmp_path: Path) -> None:
    x = np.ones((4, 6), np.float32)
    scale = data.Standardize().fit(x)
    with pytest.raises(
        CompileError, match="any number of rows, but with 7 rows it raises|but with 5 rows it raises"
    ):
        tg.compile(nn.Sequential(nn.Flatten(0), nn.Unflatten(0, (4, 6)))).save(
            tmp_path / "p.py", preprocess=scale
        )
    with pytest.raises(TypeError, match="preprocess: expected a fitted data.Table or data.Standardize"):
        tg.compile(nn.Linear(6, 1)).save(tmp_path / "p.py", preprocess=3)
    with pytest.raises(RuntimeError, match="expected fitted statistics"):
        tg.compile(nn.Linear(6, 1)).save(tmp_path / "p.py", preprocess=data.Standardize())
    assert not list(tmp_path.iterdir())
