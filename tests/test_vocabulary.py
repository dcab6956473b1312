"""Names of other libraries: each is answered with the name here, and each name here exists."""

from __future__ import annotations

import copy
import importlib
import inspect
import pickle
import re
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import data, nn, optim, tensor, train, viz, vocabulary
from tinygrad_dl.nn import functional as F

ROWS = [row for sections in vocabulary.TABLE.values() for rows in sections.values() for row in rows]
OURS: dict[str, Any] = {
    "tg": tg,
    "nn": nn,
    "F": F,
    "optim": optim,
    "data": data,
    "train": train,
    "viz": viz,
    "np": np,
    "x": tg.ones(2),
    "y": tg.ones(2),
    "model": nn.Sequential(nn.Linear(2, 3)),
    "layer": nn.Linear(2, 3),
    "optimizer": optim.Optimizer,
    "loss": tg.ones(()),
    "trainer": train.Trainer,
    "Trainer": train.Trainer,
}


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.there)
def test_every_name_on_this_side_of_the_table_exists(row: vocabulary.Row) -> None:
    text = row.here.replace("{name}", "floor") + " " + row.note.replace("`", "")
    text = re.sub(r'"[^"]*"', '""', text)  # names of files
    for owner, path in re.findall(r"(?<![\w.)])([A-Za-z]+)\.([a-zA-Z_][\w.]*)", text):
        found = OURS.get(owner)
        assert found is not None or owner in ("train_part",), owner
        for name in path.rstrip(".").split("."):
            if owner == "np":
                break  # NumPy's functions are there
            found = getattr(found, name)


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.there)
def test_every_row_says_something(row: vocabulary.Row) -> None:
    assert row.there and (row.here or row.note)


def test_the_names_that_a_tensor_answers_are_those_of_the_table() -> None:
    listed = {name for place, name in vocabulary.index() if place == "Tensor"}
    own = {n for n in listed if n not in tensor.ELSEWHERE}
    assert tensor.ELSEWHERE <= listed
    assert all(hasattr(tg.Tensor, name) for name in own), "add the name to tensor.ELSEWHERE"


@pytest.mark.parametrize("name", sorted(tensor.ELSEWHERE))
def test_a_method_of_another_library_is_an_attribute_error_with_advice(name: str) -> None:
    x = tg.ones(2)
    assert not hasattr(x, name) and not hasattr(tg.Tensor, name) and name not in dir(x)
    with pytest.raises(AttributeError, match=rf"^Tensor\.{name}: \w") as caught:
        getattr(x, name)
    assert "no such name" not in str(caught.value) and caught.value.name == name


@pytest.mark.parametrize(
    ("expression", "message"),
    [
        ("x.view(1, 2)", "Tensor.view: use x.reshape(2, 3)"),
        ("x.unsqueeze(0)", "Tensor.unsqueeze: use tg.expand_dims(x, axis=0); or x[None]"),
        (
            "x.size(0)",
            "Tensor.size: use x.shape[0]; x.size is the number of elements, as in NumPy",
        ),
        ("tg.zeros(2, 3)", "zeros: too many arguments; use tg.zeros((2, 3)); the shape is one argument"),
        ("tg.randn_like(x)", "tg.randn_like: use tg.randn(x.shape)"),
        (
            "x.sum(dim=0)",
            "sum: dim: there is no such argument; use axis=1; in functions of Tensors; nn and nn.functional take dim, "
            "as in PyTorch",
        ),
        (
            "x.cumsum(dim=0)",
            "cumsum: dim: there is no such argument; use axis=1; in functions of Tensors; nn and nn.functional take "
            "dim, as in PyTorch",
        ),
        (
            "x.cumprod(dim=0)",
            "cumprod: dim: there is no such argument; use axis=1; in functions of Tensors; nn and nn.functional take "
            "dim, as in PyTorch",
        ),
        (
            "x.random_()",
            "Tensor.random_: use x = tg.randint(0, 10, x.shape); Tensors are values: an assignment gives the name a "
            "new one",
        ),
        ("x.ndimension()", "Tensor.ndimension: use x.ndim; an attribute, not a method"),
        ("x.logical_not()", "Tensor.logical_not: use tg.logical_not(x); not every function is a method"),
        (
            "x.exp_()",
            "Tensor.exp_: use x = tg.exp(x); likewise the other functions: no operation works in place",
        ),
        ("x.slogdet()", "Tensor.slogdet: use tg.linalg.slogdet(x)"),
        ("x.mean(0, keepdim=True)", "mean: keepdim: there is no such argument; use keepdims=True"),
        ("x.std(unbiased=True)", "std: unbiased: there is no such argument; use correction=1"),
        (
            "tg.stack([x, x], dim=0)",
            "stack: dim: there is no such argument; use axis=1; in functions of Tensors; nn and nn.functional take "
            "dim, as in PyTorch",
        ),
        ("x.floor()", "Tensor.floor: use tg.floor(x); not every function is a method"),
        ("x.cuda()", "Tensor.cuda: there is one device, the CPU; leave the call out"),
        ("tg.cat([x, x])", "tg.cat: use tg.concat([a, b], axis=1)"),
        ("tg.unsqueeze(x, 0)", "tg.unsqueeze: use tg.expand_dims(x, axis=0); or x[None]"),
        ("tg.from_numpy(x)", "tg.from_numpy: use tg.asarray(a); shares the memory of the array"),
        ("tg.Linear(2, 3)", "tg.Linear: use nn.Linear"),
        ("tg.Tensro", "tg.Tensro: there is no such name. Did you mean tg.Tensor?"),
        ("tg.zxqwv", "tg.zxqwv: there is no such name"),
        ("nn.Conv2D(1, 2, 3)", "nn.Conv2D: use nn.Conv2d(3, 16, 3); images are (N, C, H, W)"),
        ("nn.relu(x)", "nn.relu: use F.relu"),
        ("nn.RELU()", "nn.RELU: there is no such name. Did you mean nn.ReLU?"),
        ("nn.cross_entropy", "nn.cross_entropy: use F.cross_entropy"),
        ("nn.Adam", "nn.Adam: use optim.Adam"),
        ("optim.Adm", "optim.Adm: there is no such name. Did you mean optim.Adam?"),
        ("F.relu_(x)", "F.relu_: use F.relu(x); no operation works in place"),
        (
            "model.fit(x, x)",
            "Linear has no attribute 'fit': use train.Trainer(model, loss, optimizer).fit(X, y, epochs=5)",
        ),
    ],
)
def test_an_unknown_name_is_answered_with_the_right_one(expression: str, message: str | None) -> None:
    names = {"x": tg.ones(2), "tg": tg, "nn": nn, "optim": optim, "F": F, "model": nn.Linear(2, 2)}
    with pytest.raises((AttributeError, TypeError)) as caught:
        eval(expression, names)
    if message is not None:
        assert str(caught.value) == message


def test_tg_tensor_called_like_torch_tensor_names_tensor() -> None:
    with pytest.raises(TypeError, match=r"^tg\.tensor: use tg\.Tensor\(\[1\.0, 2\.0\]\); copies arrays$"):
        tg.tensor([1.0])  # type: ignore[operator]
    assert importlib.import_module("tinygrad_dl.tensor") is tg.tensor


def test_the_number_of_elements_is_an_int_like_any_other() -> None:
    size = tg.ones((2, 3)).size
    assert size == 6 and isinstance(size, int) and type(size * 2) is int
    assert (
        repr(size) == "6" and type(copy.copy(size)) is int and type(pickle.loads(pickle.dumps(size))) is int
    )


def test_an_axis_is_positional_where_numpy_has_it_so() -> None:
    x = np.arange(6.0).reshape(2, 3)
    i = np.array([[1], [0]])
    for name, expected, arguments in (
        ("stack", np.stack([x, x], 1), ([tg.asarray(x)] * 2, 1)),
        ("concat", np.concatenate([x, x], 1), ([tg.asarray(x)] * 2, 1)),
        ("concatenate", np.concatenate([x, x], 1), ([tg.asarray(x)] * 2, 1)),
        ("take", np.take(x, [0], 1), (tg.asarray(x), np.array([0]), 1)),
        ("take_along_axis", np.take_along_axis(x, i, 1), (tg.asarray(x), i, 1)),
        ("repeat", np.repeat(x, 2, 1), (tg.asarray(x), 2, 1)),
        ("sort", np.sort(-x, 0), (tg.asarray(-x), 0)),
        ("argsort", np.argsort(-x, 0), (tg.asarray(-x), 0)),
    ):
        assert getattr(tg, name)(*arguments).tolist() == expected.tolist()


def test_tensors_are_copied_pickled_and_inspected_as_before() -> None:
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for twin in (copy.copy(x), copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.tolist() == [1.0, 2.0] and twin.requires_grad
    assert not hasattr(x, "_repr_mimebundle_") and not hasattr(nn, "__wrapped__")
    assert "view" not in dict(inspect.getmembers(tg.ones((2, 2))))
    assert "reshape" in dir(x)


def test_reading_attributes_takes_the_usual_path() -> None:
    assert "__getattr__" not in {name for kind in tg.Tensor.__mro__ for name in vars(kind)}


def test_the_table_is_loaded_when_a_name_is_unknown() -> None:
    program = (
        "import sys, tinygrad_dl as tg\n"
        "assert 'tinygrad_dl.vocabulary' not in sys.modules\n"
        "hasattr(tg.ones(2), 'view')\n"
        "assert 'tinygrad_dl.vocabulary' in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=300)


@pytest.mark.parametrize(
    ("name", "advice"),
    [
        ("half", 'use x.astype("float16")'),
        ("long", 'use x.astype("int64")'),
        ("ge", "use x >= y"),
        ("mul", "use x * y"),
    ],
)
def test_names_of_one_row_have_their_own_answer(name: str, advice: str) -> None:
    assert vocabulary.hint("Tensor", name) == advice
