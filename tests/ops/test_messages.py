"""What the errors of operations say, to the letter."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as td
from tinygrad_dl import Tensor
from tinygrad_dl.errors import TinygradError

x = td.ones((2, 3))

WRONG: list[tuple[Callable[[], Any], type[Exception], str]] = [
    (
        lambda: x + td.ones(4),
        ValueError,
        "add((2, 3), (4,)): the shapes do not broadcast: aligned from the right, two sizes must be equal or one of "
        "them 1. Reshape one of them?",
    ),
    (
        lambda: td.sum(x, axis=2),
        ValueError,
        "sum((2, 3), axis=2): axis 2 is out of bounds for array of dimension 2",
    ),
    (
        lambda: td.sum(x, axis=2),
        IndexError,
        "sum((2, 3), axis=2): axis 2 is out of bounds for array of dimension 2",
    ),
    (lambda: x.reshape(4), ValueError, "reshape: the shape (2, 3) has 6 elements, but (4,) needs 4"),
    (
        lambda: x.reshape(4, -1),
        ValueError,
        "reshape: the shape (2, 3) has 6 elements, but (4, -1) needs a multiple of 4",
    ),
    (
        lambda: td.concat([x, td.ones(3)]),
        ValueError,
        "concat: (2, 3) and (3,) have a different number of axes. Reshape one, or stack them?",
    ),
    (
        lambda: td.concat([x, td.ones((2, 2))]),
        ValueError,
        "concat: (2, 3) and (2, 2) differ in axis 1; along axis=0 only they may",
    ),
    (lambda: td.concat([]), ValueError, "concat: expected at least one array, got an empty sequence"),
    (
        lambda: td.stack([x, td.ones(3)]),
        ValueError,
        "stack: expected equal shapes, got (2, 3) and (3,). concat joins along an axis.",
    ),
    (
        lambda: td.split(x, 2, axis=1),
        ValueError,
        "split: 3 elements along axis 1 do not make 2 equal parts. Give the positions to split at, such as "
        "split(x, [2, 5]).",
    ),
    (lambda: td.squeeze(x, 0), ValueError, "squeeze: axis 0 of the shape (2, 3) has size 2, not 1"),
    (
        lambda: td.permute_dims(x, (0,)),
        ValueError,
        "permute_dims: the shape (2, 3) has 2 axes: expected each once, such as (0, 1), got (0,)",
    ),
    (
        lambda: td.broadcast_to(x, (4,)),
        ValueError,
        "broadcast_to: the shape (2, 3) does not broadcast to (4,): aligned from the right, each of its sizes must "
        "be the one expected or 1",
    ),
    (
        lambda: td.moveaxis(x, 0, 2),
        ValueError,
        "moveaxis: axis 2 is out of bounds for an array with 2 axes",
    ),
    (lambda: td.unstack(x, axis=3), IndexError, "unstack: axis 3 is out of bounds for an array with 2 axes"),
    (
        lambda: td.roll(x, 1.5),
        TypeError,
        "roll: expected a shift that is an int, or a tuple of ints for several axes, got 1.5",
    ),
    (
        lambda: td.take(x, np.array([5]), axis=0),
        IndexError,
        "take((2, 3), (1,), axis=0): index 5 is out of bounds for axis 0 with size 2",
    ),
    (
        lambda: td.pad(x, 1, "mean"),
        ValueError,
        "pad: expected a mode of constant, edge, reflect, symmetric, wrap, got 'mean'",
    ),
    (lambda: td.quantile(x, 1.5), ValueError, "quantile: expected q in [0, 1], got 1.5"),
    (
        lambda: td.median(td.zeros(0)),
        ValueError,
        "median: expected at least one element, got shape (0,)",
    ),
    (
        lambda: td.searchsorted(x, 1.0),
        ValueError,
        "searchsorted: expected a sorted array with one axis, (N,), got shape (2, 3)",
    ),
    (
        lambda: td.nonzero(Tensor(1.0)),
        ValueError,
        "nonzero: expected at least one axis, got shape (). Use reshape(x, (1,)) first.",
    ),
    (
        lambda: td.interp(x, td.ones(3), td.ones(2)),
        ValueError,
        "interp: expected xp and fp of shape (N,) with N > 0, got (3,) and (2,)",
    ),
    (lambda: td.meshgrid(x), ValueError, "meshgrid: expected arrays with one axis, got shape (2, 3)"),
    (lambda: td.sin("a"), TypeError, "sin: expected a Tensor, an array or a number, got str 'a'"),
    (lambda: x + None, TypeError, "add: expected a Tensor, an array or a number, got NoneType None"),
    (
        lambda: x & x,
        TypeError,
        "bitwise_and: expected integers or booleans, got float32 and float32. Convert them with astype, or "
        "compare for a mask first?",
    ),
    (
        lambda: Tensor([1, 2]) ** -1,
        ValueError,
        "power: an integer to a negative power is not an integer. Make one of them floating first, such as x ** -1.0.",
    ),
    (
        lambda: td.astype(Tensor([1j]), "float32"),
        TypeError,
        "astype: complex values do not fit float32; take the real part first",
    ),
    (lambda: td.zeros(2.5), TypeError, "zeros: expected an int or a tuple of ints for the shape, got 2.5"),
    (lambda: td.eye(-1), ValueError, "eye: expected sizes of at least 0, got (-1, -1)"),
    (lambda: td.arange(0, 1, 0), ValueError, "arange: the step is not 0"),
    (lambda: td.linspace(0, 1, -1), ValueError, "linspace: num: expected an int of at least 0, got int -1"),
    (
        lambda: td.ones(2, device="gpu"),
        ValueError,
        "ones: expected the device \"cpu\", the only one, got 'gpu'",
    ),
    (lambda: td.finfo("int32"), TypeError, "finfo: expected a floating dtype, got int32"),
    (
        lambda: td.linalg.solve(np.eye(2, dtype="float16"), np.ones(2, "float16")),
        TypeError,
        "solve((2, 2), (2,)): array type float16 is unsupported in linalg",
    ),
    (
        lambda: td.nn.functional.cross_entropy(Tensor([[1, 2]]), Tensor([0])),
        TypeError,
        "cross_entropy: expected floating logits, got int64. Convert them, such as with .astype('float32').",
    ),
    (
        lambda: f"{x:.2f}",
        TypeError,
        "format '.2f' is for one number; this Tensor has the shape (2, 3). Format .item(), or each element of "
        ".tolist().",
    ),
    (
        lambda: list(Tensor(1.0)),
        TypeError,
        "a Tensor without axes cannot be iterated over; .item() gives its number",
    ),
    (
        lambda: x[np.zeros((3, 3), bool)],
        IndexError,
        "getitem((2, 3), key=an array of shape (3, 3) and dtype bool): boolean index did not match indexed array "
        "along axis 0; size of axis is 2 but size of corresponding boolean axis is 3",
    ),
    (
        lambda: td.isdtype(td.float32, "float"),
        ValueError,
        "isdtype: expected kind to be a dtype or one of bool, signed integer, unsigned integer, integral, "
        "real floating, complex floating, numeric, got 'float'",
    ),
]


@pytest.mark.parametrize(
    ("call", "kind", "message"), WRONG, ids=[message.split(":")[0] for *_, message in WRONG]
)
def test_an_error_says_what_came_and_what_was_needed(
    call: Callable[[], Any], kind: type[Exception], message: str
) -> None:
    with pytest.raises(kind) as error:
        call()
    assert str(error.value) == message
    assert isinstance(error.value, TinygradError)


def test_a_derivative_that_does_not_exist_is_refused_when_the_operation_is_recorded() -> None:
    leaf = Tensor([1.0], requires_grad=True)
    with pytest.raises(RuntimeError) as error:
        td.nextafter(leaf, 2.0)
    assert str(error.value) == (
        "nextafter: no derivative with respect to x: it steps from one floating number to the next. Call .detach() "
        "on it if no gradient should flow."
    )
    assert td.nextafter(leaf.detach(), 2.0).item() > 1


def test_op_without_its_rules_says_where_they_stand() -> None:
    @td.op
    def doubled(x: Any) -> Any:
        return x * 2

    with pytest.raises(TypeError) as error:
        doubled(Tensor([1.0]))
    assert str(error.value) == (
        "@op: expected a function on arrays, got an array of shape (1,) and dtype float32. Write the rules in "
        "parentheses after @op, one per input: @op(lambda g, x: ...)"
    )
