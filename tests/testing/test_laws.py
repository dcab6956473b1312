"""Each law of differentiable functions: what breaks it is said, and nothing else is."""

from __future__ import annotations

from itertools import count

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl.testing import laws
from tinygrad_dl.testing.frameworks.adapter import Adapter, normal
from tinygrad_dl.testing.laws import NotApplicable, Subject, broken, difference

M = np.array([[1.0, 2.0, -1.0], [0.5, -3.0, 4.0]])
X, Y = np.array([0.3, -1.0, 2.0]), np.array([1.5, 0.7])


class Planted(Adapter):
    """Functions given as they are: the value M @ x + y and its derivatives, where a test plants no others."""

    def __init__(self, value=None, vjp=None, jvp=None, names=("x", "y")):
        super().__init__()
        self.names = list(names)
        self.value = value or (lambda x, y: (M.astype(x.dtype) @ x + y,))
        self.vjp = vjp or (lambda g, x, y: (M.T.astype(g.dtype) @ g, g))
        self.jvp = jvp or (lambda v, *arrays: (M @ v[0] + v[1],))


def said(law, arrays=(X, Y), elementwise=False, **planted):
    adapter = Planted(**planted)
    subject = Subject(None, arrays, "numpy", elementwise=elementwise, prepared=lambda given: adapter)
    return [message for message in law(subject) if message]


def of_pair(f, backward, *arrays, elementwise=False):
    return Subject(f, arrays, backward=backward, elementwise=elementwise)


@pytest.mark.parametrize("name", laws.LAWS)
def test_right_functions_keep_each_law(name):
    subjects = [
        Subject(lambda x, y: tg.sin(x) * y, [X[None], np.stack([X, 1 + X])], elementwise=True),
        Subject(lambda x, y: (x @ y, tg.exp(y)), [M, M.T.copy()]),
        of_pair(lambda x: 2 * x, lambda g, x: 2 * g, np.array(3.0)),
        of_pair(lambda x: 2 * x, lambda g, x: 2 * g, np.empty((0, 2))),
        Subject(tg.sin, [np.empty((0, 2))]),
    ]
    for subject in subjects:
        try:
            assert broken(laws.LAWS[name], subject) == ""
        except NotApplicable:
            assert name in ("second order", "adjointness", "broadcasting", "each input alone")


def test_arrays_differ_by_more_than_a_part_of_the_scale_or_of_themselves():
    a = np.array([[1.0, 2.0], [np.nan, np.inf]])
    assert difference("w", a, a.copy(), 0.0, 0.0) == "" and difference("w", a[:0], a[:0], 0.0, 0.0) == ""
    assert difference("w", a, a + [[0, 1.9e-3], [0, 0]], 0.0, 1e-3) == ""
    assert difference("w", a, a + [[0, 2.1e-3], [0, 0]], 0.0, 1e-3) == "w[0, 1]: 2 and 2.0021"
    assert difference("w", a, a + [[0, 2.1e-3], [0, 0]], 0.2, 1e-3) == ""
    assert difference("w", a, a * [[1, 1], [1, -1]], 9.0, 1e-3) == "w[1, 1]: inf and -inf"
    assert difference("w", np.array(1.0), np.array(3.0), 1.0, 1e-3) == "w: 1 and 3"
    assert difference("w", a, a[0], 1.0, 1e-3) == "w: the shapes are (2, 2) and (2,)"


def test_the_size_is_that_of_the_largest_finite_number_and_the_precision_that_of_the_coarsest_dtype():
    assert laws._size(np.array([1.0, -5.0, np.inf]), np.array([np.nan, 2.0])) == 5
    assert laws._size(np.empty(0)) == laws._size() == 0
    for dtypes, exact in (
        (["f8"], 1e-9),
        (["f4"], 1e-3),
        (["f8", "f4"], 1e-3),
        (["f2", "f8"], 1e-2),
        ([], 1e-9),
    ):
        arrays = [np.ones(2, d) for d in dtypes]
        adapter = Planted(value=lambda *arrays: ())
        assert laws._exact(Subject(None, arrays, "numpy", prepared=lambda a: adapter)) == exact  # noqa: B023


def test_seeds_are_those_of_their_number_in_the_dtype_of_the_results():
    results = [np.ones((2, 3), np.float32), np.ones(2)]
    subject = Subject(None, [X], "numpy", prepared=lambda a: Planted(value=lambda x: results))
    for number in (0, 1):
        for seed, drawn, result in zip(subject.seeds(number), normal((number, 11), [(2, 3), (2,)]), results):
            assert seed.dtype == result.dtype and np.array_equal(seed, drawn.astype(result.dtype))
    assert [s.shape for s in subject.seeds(0, [np.ones(4)])] == [(4,)]


def test_what_is_not_linear_in_the_gradient_of_the_result_is_said_with_its_input():
    right = M.T
    for off, found in ((1e-11, False), (1e-7, True)):
        messages = said(laws.linearity, vjp=lambda g, x, y: (right @ g, g + off * g * np.abs(g)))  # noqa: B023
        assert ([m.startswith("the gradient of y by vjp(2 u - 3 v) and 2 vjp(u) - 3 vjp(v)[0]: ") for m in messages]
                == [True] * found)  # fmt: skip
    (message,) = said(laws.linearity, vjp=lambda g, x, y: (right @ g, g + 1e-10))
    assert message == "the gradient of y is not 0 where that of the result is"
    # Beside numbers that are large nothing is known of small ones.
    large = lambda g, x, y: (np.array([1e6, 1, 1]) * (right @ g) + [0, 1e-4 * np.abs(g).sum(), 0], g)  # noqa: E731
    assert said(laws.linearity, vjp=large) == []
    # Shapes that change from call to call are another law's.
    for changing in range(4):
        calls = count()
        assert said(laws.linearity, vjp=lambda g, x, y: (right @ g, g[: 1 + (next(calls) != changing)])) == []  # noqa: B023


def test_forward_mode_that_is_not_adjoint_is_said_with_both_numbers():
    u, v = normal((0, 11), [(2,)])[0], normal((5, 11), [(3,), (2,)])
    right = u @ (M @ v[0] + v[1])
    assert said(laws.adjointness) == []
    for factor, found in ((1 + 1e-11, False), (1 + 1e-7, True), (-1, True)):
        messages = said(laws.adjointness, jvp=lambda v, *arrays: (factor * (M @ v[0] + v[1]),))  # noqa: B023
        expected = f"u @ (J v) is {factor * right:.9g} by jvp, and (J.T u) @ v is {right:.9g} by vjp"
        assert messages == [expected] * found
    # The tolerance is a part of the sum of the magnitudes of all summands.
    scale = np.abs(u * (M @ v[0] + v[1])).sum() + np.abs((u @ M) * v[0]).sum() + np.abs(u * v[1]).sum()
    for part, found in ((0.99e-9, False), (1.01e-9, True)):
        wrong = lambda v, *arrays: (M @ v[0] + v[1] + [part * scale / u[0], 0],)  # noqa: E731, B023
        assert len(said(laws.adjointness, jvp=wrong)) == found
    assert said(laws.adjointness, jvp=lambda v, *arrays: (np.full(2, np.nan),)) == []
    assert said(laws.adjointness, vjp=lambda g, x, y: (np.ones(4), g)) == []
    for subject in (of_pair(np.sin, lambda g, x: g, X),):
        with pytest.raises(NotApplicable, match="the function has no forward mode"):
            list(laws.adjointness(subject))
    with pytest.raises(NotApplicable, match="the function has no forward mode"):
        said(laws.adjointness, jvp=lambda v, *arrays: None)


def test_shapes_and_dtypes_are_compared_in_float64_and_in_float32():
    law, right, back = laws.shapes_and_dtypes, Planted().value, Planted().vjp
    assert said(law) == []
    own = lambda g, x, y: (back(g, x, y)[0].astype(x.dtype), g.astype(y.dtype))  # noqa: E731
    assert said(law, vjp=own, value=lambda x, y: (right(x, y)[0].astype("f8"),)) == [
        "the result of float32 inputs has the dtype float64"
    ]
    two = lambda g, x, y: own(g[0], x, y)  # noqa: E731
    assert said(law, vjp=two, value=lambda x, y: (*right(x, y), np.ones(2 + (x.dtype == "f4")))) == [
        "result 1 of float32 inputs has the dtype float64",
        "result 1 has the shape (3,) for float32 inputs, (2,) for float64",
    ]
    assert said(law, vjp=lambda g, x, y: (back(g, x, y)[0], g.astype("f8"))) == [
        "the gradient of y has the dtype float64, the input float32"
    ]
    assert said(law, vjp=lambda g, x, y: (back(g, x, y)[0].astype("f4"), g)) == [
        "the gradient of x has the dtype float32, the input float64"
    ]
    assert (
        said(law, vjp=lambda g, x, y: (back(g, x, y)[0], g[:, None]))
        == ["the gradient of y has the shape (2, 1), the input (2,)"] * 2
    )
    assert said(law, vjp=lambda g, x, y: (None, g)) == []


def summed(g, shape):
    """A gradient summed over the axes along which an input of a shape was broadcast."""
    g = g.sum(axis=tuple(range(g.ndim - len(shape))))
    return g.sum(axis=tuple(k for k, n in enumerate(shape) if n == 1), keepdims=True)


def test_inputs_that_broadcast_are_compared_with_those_written_out():
    law, x, y = laws.broadcasting, np.array([[0.5], [2.0]]), np.arange(1.0, 13).reshape(2, 2, 3)
    product = lambda x, y: (x * y,)  # noqa: E731
    right = lambda g, x, y: (summed(g * y, x.shape), summed(g * x, y.shape))  # noqa: E731
    given = {"arrays": (x, y), "elementwise": True, "value": product}
    assert said(law, vjp=right, **given) == said(law, vjp=right, **{**given, "arrays": (x[0], y)}) == []
    assert said(law, vjp=right, **{**given, "arrays": (y[:1], y)}) == []
    for off, found in ((1e-10, False), (1e-6, True)):
        wrong = lambda g, x, y: (right(g, x, y)[0] + off * (x.ndim == 2), right(g, x, y)[1])  # noqa: E731, B023
        messages = said(law, vjp=wrong, **given)
        assert len(messages) == found
        assert all(
            m.startswith("the gradient of x, and the sum of that written out[0, 0]: ") for m in messages
        )
        changed = lambda x, y: (x * y + off * (x.ndim == 2),)  # noqa: E731, B023
        messages = said(law, vjp=right, **{**given, "value": changed})
        assert len(messages) == found
        assert all(m.startswith("the result, and that of inputs written out[0, 0, 0]: ") for m in messages)
    # A gradient that does not have the shape of its input is another law's.
    assert said(law, vjp=lambda g, x, y: (np.ones(5), right(g, x, y)[1]), **given) == []
    assert (
        said(law, vjp=lambda g, x, y: (0 * x, 0 * y), **{**given, "value": lambda x, y: ((x * y).sum(),)})
        == []
    )
    for arrays, elementwise in (((x, y), False), ((x,), True)):
        with pytest.raises(NotApplicable, match="there are no inputs that broadcast together"):
            said(law, arrays, elementwise, value=lambda *a: a, vjp=lambda g, *a: a)


def test_an_input_alone_has_the_same_gradient():
    law = laws.each_input_alone

    def careless(x, y):
        return x * y if y.requires_grad else x * y * 3

    def raising(x, y):
        if y.requires_grad and not x.requires_grad:
            raise ValueError("no x")
        return x * y

    with pytest.raises(NotApplicable, match="there is one input"):
        list(law(Subject(tg.exp, [X])))
    with pytest.raises(NotApplicable, match="backward= gives all gradients"):
        list(law(of_pair(np.multiply, lambda g, x, y: (g * y, g * x), X, X)))
    (message,) = filter(None, law(Subject(careless, [X, X + 1])))
    assert message.startswith("the gradient of input 0 with those of the others, and alone[0]: ")
    assert list(filter(None, law(Subject(raising, [X, X + 1])))) == [
        "the gradient of input 1 alone raises ValueError: no x"
    ]

    product = lambda x, y: x * y  # noqa: E731
    prepared = Subject(product, [X, X + 1]).made
    applied = type("Applied", (), {"apply": staticmethod(product)})
    called = type("Called", (), {"__new__": lambda cls, x, y: x * y})

    class Instance:
        apply = None

        def __call__(self, x, y):
            return x * y

    for f in (applied, called, Instance()):
        assert list(filter(None, law(Subject(f, [X, X + 1], prepared=prepared)))) == []


def test_two_calls_give_the_same_bits():
    calls, law = count(), laws.determinism
    value, back = Planted().value, Planted().vjp
    assert said(law, vjp=lambda g, x, y: (None, g * [np.nan, 1])) == []
    assert said(law, value=lambda x, y: (np.array([np.nan, 1.0]),)) == []
    assert said(law, value=lambda x, y: (value(x, y)[0] + 1e-13 * next(calls),)) == [
        "two calls with the same inputs give different values"
    ]
    assert said(law, vjp=lambda g, x, y: (back(g, x, y)[0], g * (1 + 1e-15 * next(calls)))) == [
        "two calls give different gradients of y"
    ]
    # A buffer of the last call that is used again shows where another call was between.
    buffer = np.zeros(3)
    kept = lambda g, x, y: (np.copyto(buffer, buffer + M.T @ g), buffer.copy(), g)[1:]  # noqa: E731
    assert said(law, vjp=kept) == ["two calls give different gradients of x"]


def test_writing_into_inputs_and_into_the_gradient_of_the_result_is_said():
    f = lambda x, y: np.multiply(x, y, out=y)  # noqa: E731
    forward = of_pair(f, lambda g, x, y: (g, g), X.copy(), X + 1)
    assert next(laws.memory(forward)) == "the function writes into input 1"
    both = of_pair(np.negative, lambda g, x: (x.fill(0), np.negative(g, out=g))[1], X.copy())
    assert list(laws.memory(both)) == [
        "backward writes into g, the gradient of the result", "backward writes into input 0"
    ]  # fmt: skip


def test_the_order_in_memory_does_not_matter():
    law = laws.layout
    x = np.arange(6.0).reshape(2, 3) + 1
    wrong_value = of_pair(lambda x: 2 * x if x.flags.c_contiguous else 2 * x + 1e-3, lambda g, x: 2 * g, x)
    messages = [m for m in law(wrong_value) if m]
    assert messages == ["the result, and that of inputs laid out column by column[0, 0]: 2 and 2.001"]
    for spoiled in (
        lambda g, x: 2 * g if g.flags.c_contiguous else 3 * g,
        lambda g, x: 2 * g if x.flags.c_contiguous else 3 * g,
    ):
        (message,) = filter(None, law(of_pair(lambda x: 2 * x, spoiled, x)))
        assert message.startswith(
            "the gradient of input 0, and that with arrays laid out column by column[0, 0]: "
        )


def named(name, f):
    f.__name__ = f.__qualname__ = name
    return f


def test_gradients_of_both_orders_are_compared_with_differences():
    def sine(wrong):
        @tg.op(lambda g, x: g * (tg.cos(x) if isinstance(x, tg.Tensor) else np.cos(x) * wrong))
        def planted_sine(x):
            return np.sin(x)

        return planted_sine

    assert "1.0001 times what it should be" in next(laws.gradient(Subject(sine(1.0001), [X])))
    assert list(laws.gradient(Subject(sine(1 + 1e-7), [X]))) == []
    with pytest.raises(NotApplicable, match="backward= has first derivatives only"):
        list(laws.second_order(of_pair(np.sin, lambda g, x: g * np.cos(x), X)))
    # Only the third derivative of the fourth power is wrong.
    second = tg.op(lambda g, x: 0 * g * x)(named("planted_second", lambda x: 12 * x**2))
    first = tg.op(lambda g, x: g * second(x))(named("planted_first", lambda x: 4 * x**3))
    power = tg.op(lambda g, x: g * first(x))(named("planted_power", lambda x: x**4))
    assert list(laws.second_order(Subject(power, [X]))) == []
    assert "fault" in next(laws.second_order(Subject(first, [X])))
    cosine = tg.op(lambda g, x: -1.0005 * g * tg.sin(x))(named("planted_cosine", lambda x: np.cos(x)))
    of_sine = tg.op(lambda g, x: g * cosine(x))(named("planted_sine_of_cosine", lambda x: np.sin(x)))
    assert "1.0005 times" in next(laws.second_order(Subject(of_sine, [X])))
    # Where there is no derivative, nothing is said.
    assert list(laws.gradient(Subject(tg.sqrt, [np.zeros(1)]))) == []
