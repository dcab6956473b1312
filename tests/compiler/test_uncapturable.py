"""What a program cannot repeat runs eagerly and is told once, with its line; with fullgraph=True it is an error."""

from __future__ import annotations

import contextlib
import datetime
import itertools
import re
import threading
import time
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.compiler.capture import leaves_of
from tinygrad_dl.errors import CompileError

LOG: list[float] = []
TIMES = {"calls": 0}
GENERATOR = np.random.default_rng(0)
NUMBERS = itertools.cycle([1.0])
LOCAL = threading.local()
LOCAL.scale = 2.0
OBJECTS = np.array([2.0, 3.0], object)
W = tg.Tensor([1.0, 2.0], requires_grad=True)
LINE = r" \(.*test_uncapturable\.py:\d+\)"


def counting(x: Any) -> Any:
    TIMES["calls"] += 1
    return x * 2


def hooked(x: Any) -> Any:
    y = x * W
    y.register_hook(lambda g: g * 2)
    y.sum().backward()
    return y.detach()


def hooked_leaf(x: Any) -> Any:
    W.grad = None
    handle = W.register_hook(lambda g: g * 2)
    (x * W).sum().backward()
    handle.remove()
    return x * 2


def asking(x: Any) -> Any:
    if x.sum() > 0:
        return x * 2
    return x


def data_dependent(x: Any) -> Any:
    return x[: int(x[0])]


def writing(x: Any) -> Any:
    x += 1
    return tg.asarray(x) * 2


MODEL = nn.Linear(2, 2)
WEIGHTS = MODEL.state_dict()


def loading(x: Any) -> Any:
    MODEL.load_state_dict(WEIGHTS)
    return x * 2


def saving(x: Any) -> Any:
    with contextlib.suppress(OSError, ImportError):
        tg.save({"x": x}, "no such folder/x.safetensors")
    return x * 2


def dtyped(x: Any) -> Any:
    tg.set_default_dtype("float32")
    return x * 2


def seeding(x: Any) -> Any:
    tg.manual_seed(0)
    return x * tg.rand((2,))


def endless(x: Any) -> Any:
    for i in NUMBERS:
        return x * i


class Counter:
    def __init__(self) -> None:
        self.n = 0

    def call(self, x: Any) -> Any:
        y = x * 2
        self.n += 1
        return y


COUNTER = Counter()

# Each with the text after "runs eagerly: ", as a pattern: to the letter; the line follows.
KINDS: dict[str, tuple[Callable[[Any], Any], str]] = {
    "branch": (asking, "the truth of a Tensor reads values in Python"),
    "item": (lambda x: x * x.sum().item(), r"Tensor\.item\(\) reads values in Python"),
    "float": (lambda x: x * float(x.sum()), r"Tensor\.item\(\) reads values in Python"),
    "numpy": (lambda x: x * tg.asarray(x.numpy()), r"Tensor\.numpy\(\) reads values in Python"),
    "tolist": (lambda x: x * x.tolist()[0], r"Tensor\.tolist\(\) reads values in Python"),
    "data": (lambda x: x * x.data[0], r"Tensor\.data reads values in Python"),
    "text": (lambda x: x * len(f"{x}"), "the text of a Tensor reads values in Python"),
    "index": (lambda x: x * [1.0, 2.0][tg.argmax(x)], "a Tensor as an index reads values in Python"),
    "shape": (data_dependent, r"Tensor\.item\(\) reads values in Python"),
    "print": (lambda x: (print("x"), x * 2)[1], "it calls print"),
    "append": (lambda x: (LOG.append(1.0), x * 2)[1], "it changes LOG, which a program cannot repeat"),
    "count": (counting, r"it changes TIMES\['calls'\], which a program cannot repeat"),
    "time": (lambda x: x * (time.time() > 0), "it calls time.time"),
    "now": (lambda x: x * (datetime.datetime.now().year > 0), "it calls datetime.now"),
    "array": (lambda x: x * np.array([1.0, 2.0], np.float32), "it calls numpy.array"),
    "generator": (lambda x: x * (2 if GENERATOR.random() < 2 else 3), "it draws from GENERATOR in Python"),
    "numpy.random": (
        lambda x: x * (np.random.default_rng().random() < 2),
        "it draws random numbers with NumPy",
    ),
    "hook": (hooked, "a hook of a Tensor ran"),
    "hook of a leaf": (hooked_leaf, "a hook of a Tensor ran"),
    "seed": (seeding, "it calls manual_seed"),
    "default dtype": (dtyped, "it calls set_default_dtype"),
    "save": (saving, "it calls save"),
    "load": (loading, "it calls load_state_dict"),
    "iterator": (lambda x: x * next(iter([1.0])), "it calls next"),
    "closure": (endless, "NUMBERS is an iterator, which moves on at every call"),
    "thread": (lambda x: x * LOCAL.scale, "LOCAL has attributes of each thread's own"),
    "objects": (lambda x: x * OBJECTS[0], "it can read OBJECTS, an array of objects"),
    "attribute": (COUNTER.call, r"it changes Counter\.call\.n, which a program cannot repeat"),
    "made": (
        lambda x: tg.Tensor([1.0, 2.0], requires_grad=True),
        "it returns a Tensor that it has made and that requires grad",
    ),
    "open graphs": (
        lambda x: (x * W, x + W),
        r"it returns Tensors that require grad: call it under no_grad\(\), or compile the whole step",
    ),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_told_once_and_an_error_with_fullgraph(kind: str, capsys: Any) -> None:
    function, pattern = KINDS[kind]
    name = re.escape(getattr(function, "__qualname__", ""))
    text = re.compile(f"compile: {name} runs eagerly: {pattern}{LINE}")
    values = [[2.0, 1.0], [2.0, 1.0], [1.0, 3.0], [1.0, -4.0], [2.0, 5.0], [1.0, 1.0]]
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        compiled = tg.compile(function)
        for value in values:
            W.grad = None
            expected = function(tg.Tensor(value))
            gradient, W.grad = W.grad, None
            got = compiled(tg.Tensor(value))
            for a, b in zip(leaves_of(got), leaves_of(expected), strict=True):
                np.testing.assert_allclose(a.detach().numpy(), b.detach().numpy())
            assert (W.grad is None) == (gradient is None)
            if gradient is not None:
                np.testing.assert_allclose(W.grad.numpy(), gradient.numpy())  # type: ignore[union-attr]
    told = [str(w.message) for w in caught]
    assert len(told) == 1 and text.fullmatch(told[0]), told
    with pytest.raises(CompileError) as error:
        strict = tg.compile(function, fullgraph=True)
        for value in values:
            strict(tg.Tensor(value))
    assert text.fullmatch(str(error.value)), error.value
    W.grad = None
    LOG.clear()


def test_a_compile_error_names_the_line_that_cannot_be_captured() -> None:
    function = KINDS["item"][0]
    with pytest.raises(CompileError) as error:
        tg.compile(function, fullgraph=True)(tg.Tensor([1.0, 2.0]))
    assert f":{function.__code__.co_firstlineno})" in str(error.value)


def test_the_line_is_that_of_the_change_and_else_that_of_the_function() -> None:
    for function, offset in ((counting, 1), (Counter().call, 2), (KINDS["open graphs"][0], 0)):
        with pytest.raises(CompileError) as error:
            tg.compile(function, fullgraph=True)(tg.Tensor([1.0, 2.0]))
        assert str(error.value).endswith(f":{function.__code__.co_firstlineno + offset})")


def test_a_model_whose_call_cannot_be_captured_names_a_line_of_its_forward() -> None:
    class Two(nn.Linear):
        def forward(self, x: Any) -> Any:
            y = super().forward(x)
            return y, y * 2

    with pytest.raises(CompileError) as error:
        tg.compile(Two(2, 1), fullgraph=True)(tg.ones((1, 2)))
    assert str(error.value).endswith(f":{Two.forward.__code__.co_firstlineno})")


def test_an_array_that_a_step_writes_to_is_written_every_time() -> None:
    compiled = tg.compile(writing)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(5):
            x = np.float32([1, 2])
            assert compiled(x).tolist() == [4, 6] and x.tolist() == [2, 3]
    assert re.fullmatch(
        "compile: writing runs eagerly: it writes to the array x in Python" + LINE, str(caught[0].message)
    )


def test_anomaly_detection_runs_eagerly_and_finds_what_it_looks_for() -> None:
    w = tg.Tensor([1.0, 0.0], requires_grad=True)

    def step(x: Any) -> Any:
        w.grad = None
        (w**0.5 * x).sum().backward()

    compiled = tg.compile(step)
    for _ in range(4):
        compiled(tg.Tensor([1.0, 1.0]))
    with tg.detect_anomaly(), pytest.raises(RuntimeError, match="not finite|infinite|anomaly|inf"):
        compiled(tg.Tensor([1.0, 1.0]))
    compiled(tg.Tensor([1.0, 1.0]))


def test_a_hook_that_is_registered_later_runs_every_time() -> None:
    model = nn.Linear(2, 1)
    optimizer = optim.SGD(model.parameters(), lr=0.0)
    seen: list[int] = []

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = model(x).sum()
        loss.backward()
        optimizer.step()
        return loss

    compiled = tg.compile(step)
    x = tg.Tensor([[1.0, 2.0]])
    for _ in range(5):
        compiled(x)
    handle = model.weight.register_hook(lambda g: seen.append(1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _ in range(5):
            compiled(x)
        assert len(seen) == 5
        handle.remove()
        for _ in range(5):
            compiled(x)
    assert len(seen) == 5


def test_backward_through_a_graph_from_before_runs_eagerly() -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    def step(loss: Any) -> Any:
        w.grad = None
        loss.backward()

    compiled = tg.compile(step)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for i in range(5):
            compiled((w * i).sum())
            assert w.grad is not None and w.grad.tolist() == [i, i]
    assert len(caught) == 1 and "backward went through a graph that was recorded before" in str(
        caught[0].message
    )
