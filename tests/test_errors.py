"""What errors say, word by word: what was called, what came, what was needed, what to do."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import config, errors
from tinygrad_dl.errors import (
    AxisError,
    DTypeError,
    GraphError,
    IndexRangeError,
    ShapeError,
    TinygradError,
    ValueRangeError,
)
from tinygrad_dl.tensor import Tensor

x = Tensor(np.ones((2, 3)), requires_grad=True)
i = Tensor([1, 2, 3])
L = Tensor([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda: x @ x,
            ShapeError,
            "matmul: (2, 3) @ (2, 3): the last size of the first (3) must equal the second-to-last of the "
            "second (2). Transpose one of them?",
        ),
        (
            lambda: x @ 2.0,
            ShapeError,
            "matmul: (2, 3) @ (): both need at least one axis. Multiply by a number with *.",
        ),
        (
            lambda: x @ Tensor([1.0, 2.0]),
            ShapeError,
            "matmul: (2, 3) @ (2,): the last size of the first (3) must equal the size of the second (2). "
            "Transpose one of them?",
        ),
        (
            lambda: x + Tensor([1.0, 2.0]),
            ShapeError,
            "add((2, 3), (2,)): the shapes do not broadcast: aligned from the right, two sizes must be "
            "equal or one of them 1. Reshape one of them?",
        ),
        (lambda: x.reshape(4), ShapeError, "reshape: the shape (2, 3) has 6 elements, but (4,) needs 4"),
        (
            lambda: x.reshape(-1, -1),
            ShapeError,
            "reshape: expected sizes of 0 or more, of which one may be -1 and is worked out, got (-1, -1)",
        ),
        (
            lambda: x.reshape(-1, 4),
            ShapeError,
            "reshape: the shape (2, 3) has 6 elements, but (-1, 4) needs a multiple of 4",
        ),
        (
            lambda: x.sum(axis=2),
            AxisError,
            "sum((2, 3), axis=2): axis 2 is out of bounds for array of dimension 2",
        ),
        (lambda: x.mean(axis=(0, 0)), ShapeError, "mean((2, 3), axis=(0, 0)): duplicate value in 'axis'"),
        (
            lambda: tg.concat([x, L]),
            ShapeError,
            "concat: (2, 3) and (3,) have a different number of axes. Reshape one, or stack them?",
        ),
        (
            lambda: tg.concat([x, Tensor(np.ones((3, 2)))]),
            ShapeError,
            "concat: (2, 3) and (3, 2) differ in axis 1; along axis=0 only they may",
        ),
        (
            lambda: tg.concat([]),
            ValueRangeError,
            "concat: expected at least one array, got an empty sequence",
        ),
        (lambda: tg.concat(3), DTypeError, "concat: expected a sequence of arrays, got int 3"),
        (
            lambda: tg.stack([x, L]),
            ShapeError,
            "stack: expected equal shapes, got (2, 3) and (3,). concat joins along an axis.",
        ),
        (
            lambda: tg.permute_dims(x, (0, 0)),
            ShapeError,
            "permute_dims: the shape (2, 3) has 2 axes: expected each once, such as (0, 1), got (0, 0)",
        ),
        (
            lambda: x[2],
            IndexRangeError,
            "getitem((2, 3), key=2): index 2 is out of bounds for axis 0 with size 2",
        ),
        (
            lambda: x[0, 0, 0],
            IndexRangeError,
            "getitem((2, 3), key=(0, 0, 0)): too many indices for array: array is 2-dimensional, but 3 "
            "were indexed",
        ),
        (
            lambda: x[L],
            IndexRangeError,
            "indexing: expected integers, slices or booleans, got an array of float32",
        ),
        (
            lambda: x[np.array([0, 5])],
            IndexRangeError,
            "getitem((2, 3), key=array([0, 5])): index 5 is out of bounds for axis 0 with size 2",
        ),
        (
            lambda: x[np.array([True, False, True])],
            IndexRangeError,
            "getitem((2, 3), key=array([ True, False,  True])): boolean index did not match indexed array "
            "along axis 0; size of axis is 2 but size of corresponding boolean axis is 3",
        ),
        (
            lambda: tg.broadcast_to(x, (3, 3)),
            ShapeError,
            "broadcast_to: the shape (2, 3) does not broadcast to (3, 3): aligned from the right, each of "
            "its sizes must be the one expected or 1",
        ),
        (lambda: x.squeeze(0), ShapeError, "squeeze: axis 0 of the shape (2, 3) has size 2, not 1"),
        (
            lambda: tg.expand_dims(x, 5),
            AxisError,
            "expand_dims((2, 3), axis=5): axis 5 is out of bounds for array of dimension 3",
        ),
        (
            lambda: x.__setitem__(0, 1.0),
            GraphError,
            "x[...] = ... on a leaf that requires grad would change what was recorded. Do it under "
            "no_grad(), or compute a new Tensor.",
        ),
        (
            lambda: (x * 1).__setitem__(0, np.ones(5)),
            ShapeError,
            "setitem((2, 3), (5,), key=0): could not broadcast input array from shape (5,) into shape (3,)",
        ),
        (
            lambda: x.__iadd__(1),
            GraphError,
            "x += ... on a leaf that requires grad would change what was recorded. Do it under no_grad(), "
            "or compute a new Tensor.",
        ),
        (
            lambda: Tensor([1.0]).__iadd__(np.ones(3)),
            ShapeError,
            "x += y: the result has the shape (3,), but x has (1,)",
        ),
        (lambda: i.__iadd__(1.5), DTypeError, "x += y: the result is float64, but x is int64"),
        (
            lambda: Tensor([1, 2], requires_grad=True),
            DTypeError,
            "requires_grad: only floating and complex Tensors have gradients; this one is int64. Make it floating "
            "first, with .astype('float32').",
        ),
        (
            lambda: x.backward(),
            GraphError,
            "backward: expected a gradient for a result of shape (2, 3), got none. Reduce it to one number first, "
            "such as with .sum() or .mean(), or pass the gradient.",
        ),
        (
            lambda: L.sum().backward(),
            GraphError,
            "backward: this Tensor does not require grad: nothing it depends on does, or the graph was cut "
            "by detach(), no_grad or NumPy",
        ),
        (
            lambda: (x * 2).backward(np.ones(3)),
            ShapeError,
            "backward: expected a gradient of the result's shape (2, 3), got (3,)",
        ),
        (lambda: (x * 2).backward("a"), DTypeError, "asarray: expected numbers or booleans, got str 'a'"),
        (
            lambda: x.numpy(),
            GraphError,
            "numpy: this Tensor requires grad, which NumPy cannot record. Use .detach().numpy().",
        ),
        (lambda: x.item(), ShapeError, "item: expected one element, got 6 of the shape (2, 3)"),
        (
            lambda: bool(x),
            ValueRangeError,
            "the truth of a Tensor of shape (2, 3) is not one answer: use .any() or .all()",
        ),
        (lambda: len(Tensor(1.0)), DTypeError, "len: a Tensor without axes has no length"),
        (lambda: float(x), ShapeError, "item: expected one element, got 6 of the shape (2, 3)"),
        (
            lambda: range(3)[Tensor(1.0)],
            DTypeError,
            "index: expected one integer without axes, got a Tensor of shape () and dtype float32",
        ),
        (lambda: x + "a", DTypeError, "add: expected a Tensor, an array or a number, got str 'a'"),
        (lambda: x + None, DTypeError, "add: expected a Tensor, an array or a number, got NoneType None"),
        (
            lambda: tg.exp(None),
            DTypeError,
            "exp: expected a Tensor, an array or a number, got NoneType None",
        ),
        (
            lambda: x + np.array([object()]),
            DTypeError,
            "add: expected a Tensor, an array or a number, got an array of shape (1,) and dtype object",
        ),
        (
            lambda: tg.exp([x[0, 0], 2.0]),
            GraphError,
            "asarray: the list holds Tensors that require grad, and its array would be cut off from the "
            "graph. Use stack(list), or detach() them.",
        ),
        (
            lambda: Tensor([[1, 2], [3]]),
            ShapeError,
            "Tensor: expected nested lists with rows of equal length, got rows of different lengths. "
            "Pad them to one length first.",
        ),
        (lambda: Tensor("abc"), DTypeError, "Tensor: expected numbers or booleans, got str 'abc'"),
        (
            lambda: Tensor([1.0], dtype="foo"),
            DTypeError,
            "Tensor: dtype: expected a dtype of numbers or None, got str 'foo'",
        ),
        (
            lambda: setattr(x, "grad", np.ones(2)),
            ShapeError,
            "grad: expected the shape (2, 3) and the dtype float64, got (2,) and float64",
        ),
        (
            lambda: setattr(x * 2, "data", np.ones(2)),
            GraphError,
            "data: the result of an operation keeps its shape and dtype; use detach() first",
        ),
        (lambda: setattr(x, "name", 3), DTypeError, "name: expected a string or None, got int 3"),
        (
            lambda: L.register_hook(print),
            GraphError,
            "register_hook: this Tensor does not require grad, so it receives no gradient",
        ),
        (
            lambda: L.retain_grad(),
            GraphError,
            "retain_grad: this Tensor does not require grad, so it receives no gradient",
        ),
        (
            lambda: (x * 2).requires_grad_(False),
            GraphError,
            "requires_grad_: this Tensor is the result of an operation; use detach() instead",
        ),
        (
            lambda: Tensor(np.ones((2, 3, 4))).T,
            ShapeError,
            "T: expected a matrix, got the shape (2, 3, 4). Use .mT for the last two axes or "
            "permute_dims(axes).",
        ),
        (lambda: L.mT, ShapeError, "mT: expected at least two axes, got the shape (3,)"),
        (
            lambda: tg.asarray([1.0], copy=False),
            ValueRangeError,
            "asarray: copy=False, but a new array is needed for this object and dtype",
        ),
        (
            lambda: x.to_device("gpu"),
            ValueRangeError,
            "to_device: expected the device \"cpu\", the only one, got 'gpu'",
        ),
        (
            lambda: np.add(x, x, out=np.ones((2, 3))),
            DTypeError,
            "np.add: out= would overwrite an array, and what was overwritten cannot be recorded. Leave "
            "out= away, and write x = x + t for array += t.",
        ),
        (
            lambda: np.frexp(x),
            DTypeError,
            "np.frexp cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
        ),
        (
            lambda: np.histogram(x),
            DTypeError,
            "np.histogram cannot work on a Tensor. Use .detach().numpy(), or an operation of tinygrad_dl.",
        ),
        (
            lambda: tg.set_default_dtype("int32"),
            DTypeError,
            "set_default_dtype: expected a floating dtype, such as float32, got int32",
        ),
        (
            lambda: config.default_rng("a"),
            DTypeError,
            "rng: expected a np.random.Generator, an int seed or None, got str",
        ),
        (
            lambda: (x * 1j).sum().backward(),
            GraphError,
            "backward: expected a gradient for a complex result, got none: only a real number can be minimized. "
            "Reduce it to a real one first, such as with abs() or .real, or pass the gradient.",
        ),
        (
            lambda: tg.relu(x * 1j).sum() + tg.softplus(x * 1j),
            GraphError,
            "softplus: it is a function of real numbers, and has no derivative for complex ones. "
            "Take real(x), imag(x) or abs(x) first, or call .detach() if no gradient should flow.",
        ),
        (
            lambda: L << 1,
            DTypeError,
            "bitwise_left_shift: expected integers or booleans, got float32 and int. Convert them with "
            "astype, or compare for a mask first?",
        ),
        (
            lambda: tg.take(x, np.array([9]), axis=0),
            IndexRangeError,
            "take((2, 3), (1,), axis=0): index 9 is out of bounds for axis 0 with size 2",
        ),
    ],
)
def test_an_error_says_what_was_called_what_came_and_what_to_do(
    call: Callable[[], Any], error: type[Exception], message: str
) -> None:
    with pytest.raises(error) as caught:
        call()
    assert str(caught.value) == message
    assert type(caught.value) is error


@pytest.mark.parametrize(
    ("kind", "builtin"),
    [
        (ShapeError, ValueError),
        (ValueRangeError, ValueError),
        (DTypeError, TypeError),
        (IndexRangeError, IndexError),
        (AxisError, ValueError),
        (AxisError, IndexError),
        (GraphError, RuntimeError),
        (errors.AnomalyError, RuntimeError),
        (errors.MissingExtraError, ImportError),
    ],
)
def test_each_error_is_the_built_in_one_that_people_catch(
    kind: type[Exception], builtin: type[Exception]
) -> None:
    assert issubclass(kind, builtin) and issubclass(kind, TinygradError)


def test_numpys_error_is_not_shown_below_ours() -> None:
    with pytest.raises(ShapeError) as caught:
        x + L.reshape(3, 1)[:2].reshape(2) * np.ones((5, 2))
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


def test_a_wrong_option_is_named_by_python_itself() -> None:
    with pytest.raises(TypeError, match=r"sum\(\) got an unexpected keyword argument 'axes'"):
        tg.sum(x, axes=0)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"add\(\) missing 1 required positional argument: 'y'"):
        tg.add(x)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match=r"exp\(\) takes 1 positional argument but 2 were given"):
        tg.exp(x, x)  # type: ignore[call-arg]


@pytest.mark.parametrize("recording", [True, False])
@pytest.mark.parametrize("watched", [True, False])
def test_errors_are_the_same_with_and_without_recording_and_watching(recording: bool, watched: bool) -> None:
    with (
        tg.enable_grad() if recording else tg.no_grad(),
        tg.detect_anomaly() if watched else tg.enable_grad(),
    ):
        for call in (lambda: x @ x, lambda: tg.concat([x, x.T]), lambda: x.sum(axis=5)):
            with pytest.raises((ShapeError, AxisError)) as caught:
                call()
            first = str(caught.value)
            with pytest.raises((ShapeError, AxisError)) as caught:
                call()
            assert str(caught.value) == first


def test_arrays_alone_meet_the_same_errors() -> None:
    a = np.ones((2, 3))
    for ours, theirs in (
        (lambda: tg.matmul(a, a), lambda: tg.matmul(x, x)),
        (lambda: tg.add(a, a.T), lambda: x + x.T),
    ):
        messages = []
        for call in (ours, theirs):
            with pytest.raises(ShapeError) as caught:
                call()
            messages.append(str(caught.value))
        assert messages[0] == messages[1]


def test_numpys_warnings_in_forward_point_at_no_line_of_backward() -> None:
    t = Tensor([0.0, 1.0], requires_grad=True)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        y = t.log()
    assert [str(w.message) for w in caught] == ["divide by zero encountered in log"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        y.sum().backward()
    assert t.grad is not None and t.grad.tolist() == [np.inf, 1]
