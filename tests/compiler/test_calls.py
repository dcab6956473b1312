"""How a compiled function is called: arguments, results, errors, threads, and what happens besides the results."""
# ruff: noqa: B023, NPY002, E721 - closures over loop variables, and legacy draws, are what is tested

from __future__ import annotations

import collections
import copy
import datetime
import gc
import math
import os
import pickle
import random
import sys
import tempfile
import time
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim, pytree
from tinygrad_dl.errors import GraphError

both = pytest.mark.parametrize(
    "be",
    [
        "numpy",
        pytest.param(
            "llvm",
            marks=pytest.mark.skipif(find_spec("llvmlite") is None, reason="llvmlite is not installed"),
        ),
    ],
)
pytestmark = pytest.mark.filterwarnings(
    "ignore:compile. ", "ignore:This process:DeprecationWarning", "ignore:.*_ufunc_out:DeprecationWarning"
)


def close(a: Any, b: Any) -> None:
    a = np.asarray(a.detach().numpy() if isinstance(a, tg.Tensor) else a)
    b = np.asarray(b.detach().numpy() if isinstance(b, tg.Tensor) else b)
    assert a.shape == b.shape and a.dtype == b.dtype
    np.testing.assert_allclose(a, b, rtol=1e-5)


def A(*values: float) -> tg.Tensor:
    return tg.Tensor(list(map(float, values)))


@both
def test_one_array_given_twice_has_a_program_of_its_own(be: str) -> None:
    c = tg.compile(lambda a, b: a * 2 + b * 3, backend=be)
    x = A(1, 2)
    y = A(5, 6)
    for _ in range(4):
        close(c(x, x), x * 5)
    close(c(x, y), x * 2 + y * 3)
    close(c(y, x), y * 2 + x * 3)
    for _ in range(4):
        close(c(x, y), x * 2 + y * 3)
    close(c(x, x), x * 5)


@both
def test_two_tensors_that_share_an_array_count_as_one(be: str) -> None:
    c = tg.compile(lambda a, b: a * 2 + b * 3, backend=be)
    x = np.float32([1, 2])
    y = A(5, 6)
    p, q = tg.asarray(x), tg.asarray(x)
    for _ in range(4):
        close(c(p, q), x * 5)
    close(c(p, y), x * 2 + y.numpy() * 3)


@both
def test_a_parameter_given_as_an_argument_is_not_taken_for_one_of_them(be: str) -> None:
    w = A(1, 2)
    c = tg.compile(lambda a: a * w, backend=be)
    for _ in range(4):
        close(c(w), A(1, 4))
    close(c(A(5, 6)), A(5, 12))
    for _ in range(4):
        close(c(A(5, 6)), A(5, 12))
    close(c(w), A(1, 4))


@both
def test_an_argument_that_is_returned_is_the_argument(be: str) -> None:
    c = tg.compile(lambda a: a, backend=be)
    for i in range(5):
        x = A(i, 2)
        r = c(x)
        close(r, x)
        x.data[0] = 9
        e = (lambda a: a)(x)
        assert (r.data[0] == 9) == (e.data[0] == 9), "identity not shared"


@both
def test_an_argument_that_is_returned_still_has_a_gradient(be: str) -> None:
    c = tg.compile(lambda a: a, backend=be)
    for _i in range(5):
        x = tg.Tensor([1.0, 2.0], requires_grad=True)
        r = c(x)
        assert r.requires_grad
        (r * 2).sum().backward()
        assert x.grad is not None


@both
def test_a_parameter_that_is_returned_still_requires_grad(be: str) -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    c = tg.compile(lambda a: (w, a * 2), backend=be)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for _i in range(5):
            r, _ = c(A(1, 1))
            assert r.requires_grad


@both
def test_a_tensor_of_the_closure_that_is_returned_is_that_tensor(be: str) -> None:
    w = A(1, 2)
    c = tg.compile(lambda a: (w, a * 2), backend=be)
    for _i in range(5):
        r, _ = c(A(1, 1))
        close(r, w)
        w.data[0] += 1
        close(r, w)


@both
def test_a_view_of_an_argument_is_not_written_over(be: str) -> None:
    c = tg.compile(lambda a: a.reshape(1, 2), backend=be)
    held = []
    for i in range(6):
        x = A(i, i)
        r = c(x)
        held.append((r, i))
    for r, i in held:
        close(r, tg.Tensor([[float(i), float(i)]]))


@both
def test_results_that_are_held_stay_as_they_are(be: str) -> None:
    c = tg.compile(lambda a: (a * 2, (a * 2).sum(), a @ a), backend=be)
    held = [(c(A(i, i)), i) for i in range(8)]
    for (p, q, r), i in held:
        close(p, A(2 * i, 2 * i))
        close(q, np.float32(4 * i))
        close(r, np.float32(2 * i * i))


@both
def test_arrays_of_results_stay_as_they_are(be: str) -> None:
    c = tg.compile(lambda a: a * 2, backend=be)
    held = [(c(A(i, i)).numpy(), i) for i in range(8)]
    for p, i in held:
        close(p, A(2 * i, 2 * i))


@both
def test_slices_of_results_stay_as_they_are(be: str) -> None:
    c = tg.compile(lambda a: a * 2, backend=be)
    held = [(c(A(i, i)).numpy()[:1], i) for i in range(8)]
    for p, i in held:
        close(p, A(2 * i))


@both
def test_buffers_of_results_stay_as_they_are(be: str) -> None:
    c = tg.compile(lambda a: a * 2, backend=be)
    held = [(memoryview(c(A(i, i)).numpy()), i) for i in range(8)]
    for p, i in held:
        assert p[0] == 2 * i


@both
def test_results_in_a_graph_stay_as_they_are(be: str) -> None:
    c = tg.compile(lambda a: a * 2, backend=be)
    w = tg.Tensor([1.0, 1.0], requires_grad=True)
    ls = []
    for i in range(8):
        ls.append((c(A(i, i)) * w).sum())
    for i, l in enumerate(ls):
        w.grad = None
        l.backward()
        close(w.grad, A(2 * i, 2 * i))


@both
def test_a_result_that_is_written_to_does_not_count_afterwards(be: str) -> None:
    c = tg.compile(lambda a: a * 2, backend=be)
    for i in range(6):
        r = c(A(i, i))
        close(r, A(2 * i, 2 * i))
        r.data[...] = 99


@both
def test_an_argument_is_read_at_every_call(be: str) -> None:
    c = tg.compile(lambda a: a * 2, backend=be)
    x = A(1, 2)
    for i in range(6):
        x.data[0] = i
        close(c(x), A(2 * i, 4))


@both
def test_a_result_may_be_the_next_argument(be: str) -> None:
    def f(a):
        return a * 2 + 1

    c = tg.compile(f, backend=be)
    x = e = A(1, 2)
    for _i in range(8):
        x = c(x)
        e = f(e)
        close(x, e)


@both
def test_two_results_may_be_the_next_arguments(be: str) -> None:
    def f(a, b):
        return (b + 1, a * 2)

    c = tg.compile(f, backend=be)
    x = e = (A(1, 2), A(3, 4))
    for _i in range(8):
        x = c(*x)
        e = f(*e)
        close(x[0], e[0])
        close(x[1], e[1])


@both
def test_numbers_are_told_apart_by_type_and_sign(be: str) -> None:
    c = tg.compile(lambda a, s: a * s, backend=be)
    for v in (2.0, 3.0, 2, True, 0.0, -0.0, float("nan"), float("inf"), np.float32(2), np.float64(2)):
        for i in range(5):
            e = (lambda a, s: a * s)(A(i + 1, 2), v)
            g = c(A(i + 1, 2), v)
            close(g, e)
            assert np.array_equal(np.signbit(g.numpy()), np.signbit(e.numpy()))


@both
def test_nan_as_an_argument_has_one_program(be: str) -> None:
    c = tg.compile(lambda a, s: a * s, backend=be)
    for _i in range(100):
        c(A(1, 2), float("nan"))
    assert len(c._entries) < 5, len(c._entries)


@both
def test_numbers_that_change_every_time_do_not_fill_the_memory(be: str) -> None:
    c = tg.compile(lambda a, s: a * s, backend=be)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(400):
            close(c(A(1, 2), i), A(i, 2 * i))
    n = sum(map(len, c._entries.values()))
    assert n <= 100, n


@both
def test_objects_that_change_every_time_do_not_fill_the_memory(be: str) -> None:
    class C:
        pass

    c = tg.compile(lambda a, o: a * o.s, backend=be)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for i in range(200):
            o = C()
            o.s = float(i)
            close(c(A(1, 2), o), A(i, 2 * i))
    n = sum(map(len, c._entries.values()))
    assert n <= 100, n


@both
def test_what_changes_at_every_call_is_reported_once(be: str) -> None:
    s = [0]
    c = tg.compile(lambda a: a * s[0], backend=be)
    with warnings.catch_warnings(record=True) as w:
        warnings.simplefilter("always")
        for i in range(200):
            s[0] = i
            close(c(A(1, 2)), A(i, 2 * i))
    assert len(w) == 1, [str(x.message) for x in w]


@both
def test_arguments_by_name_count_by_name(be: str) -> None:
    def f(a, b):
        return a * 2 + b * 3

    c = tg.compile(f, backend=be)
    x = A(1, 2)
    y = A(5, 6)
    for _ in range(4):
        close(c(a=x, b=y), f(x, y))
    for _ in range(4):
        close(c(b=y, a=x), f(x, y))
        close(c(x, b=y), f(x, y))
        close(c(b=x, a=y), f(y, x))


@both
def test_the_order_of_a_dict_counts(be: str) -> None:
    def f(d):
        out = 0
        for _k, v in d.items():
            out = out * 2 + v
        return out

    c = tg.compile(f, backend=be)
    x = A(1, 2)
    y = A(5, 6)
    for _ in range(4):
        close(c({"a": x, "b": y}), f({"a": x, "b": y}))
        close(c({"b": y, "a": x}), f({"b": y, "a": x}))


@both
def test_elements_of_arrays_read_in_python_are_not_stale(be: str) -> None:
    for f in (
        lambda x, w: x * w[0],
        lambda x, w: x * float(w[0]),
        lambda x, w: x * 2 if w[0] > 0 else x * 3,
        lambda x, w: x * max(w),
        lambda x, w: x * sum(v for v in w),
        lambda x, w: x * tg.asarray([w[0], w[1]]),
        lambda x, w: x * tg.Tensor([w, w])[0],
        lambda x, w: x * int(w[1]),
        lambda x, w: (lambda q: x * q[0])(w),
        lambda x, w: x * w.item(0),
        lambda x, w: x * (w @ w),
        lambda x, w: x * np.linalg.norm(w),
        lambda x, w: x if 3 in w else x * 2,
        lambda x, w: x * tg.Tensor(w)[0],
        lambda x, w: x * tg.asarray(w[:1]),
    ):
        c = tg.compile(f, backend=be)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _i in range(5):
                close(c(A(1, 2), np.float32([2, 3])), f(A(1, 2), np.float32([2, 3])))
            for _i in range(5):
                close(c(A(1, 2), np.float32([-2, 5])), f(A(1, 2), np.float32([-2, 5])))


@both
def test_values_read_in_python_are_never_stale(be: str) -> None:
    ops = [
        lambda x: float(x.sum()),
        lambda x: int(x.sum()),
        lambda x: bool(x.sum()),
        lambda x: x.sum().item(),
        lambda x: x.tolist()[0],
        lambda x: x.numpy()[0],
        lambda x: np.asarray(x)[0],
        lambda x: np.array(x)[0],
        lambda x: x.data[0],
        lambda x: x.detach().data[0],
        lambda x: float(f"{x.sum().item()}"),
        lambda x: len(str(x)),
        lambda x: len(repr(x)),
        lambda x: len(f"{x}"),
        lambda x: 1.0 if x.sum() > 0 else 2.0,
        lambda x: 1.0 if (x == x).all() else 2.0,
        lambda x: math.exp(x.sum()),
        lambda x: [1, 2, 3][tg.argmax(x)],
        lambda x: complex(x.sum()).real,
        lambda x: round(float(x.sum())),
        lambda x: x.__array__()[0],
        lambda x: memoryview(x.numpy())[0],
        lambda x: np.from_dlpack(x)[0],
        lambda x: copy.deepcopy(x).sum(),
        lambda x: copy.copy(x).sum(),
        lambda x: np.sum(np.asarray(x)),
        lambda x: max(x),
        lambda x: sum(x),
        lambda x: sorted(x.tolist())[0],
        lambda x: tg.Tensor([x.sum(), x[0]]).sum(),
        lambda x: tg.asarray([x[0], x[1]]).sum(),
        lambda x: tg.stack([x, x]).sum(),
        lambda x: np.stack([x, x]).sum(),
        lambda x: float(np.float32(x.sum())),
        lambda x: hash(x) * 0 + 1.0,
        lambda x: 1.0 if 3.0 in x else 2.0,
        lambda x: range(5)[tg.argmax(x)],
        lambda x: pickle.loads(pickle.dumps(x)).sum(),
        lambda x: (x[x > 1.5]).sum(),
        lambda x: tg.nonzero(x > 1.5)[0].sum() if hasattr(tg, "nonzero") else x.sum(),
        lambda x: tg.unique_values(x).sum() if hasattr(tg, "unique_values") else x.sum(),
        lambda x: x.to_device("cpu").sum() if hasattr(x, "to_device") else x.sum(),
        lambda x: np.exp(x).sum(),
        lambda x: np.float32(3) * x.sum(),
        lambda x: tg.tensor_float(x) if hasattr(tg, "tensor_float") else x.sum(),
        lambda x: tg.full((2,), float(x[0])).sum(),
        lambda x: tg.zeros(int(x[0]) + 1).sum() + x.shape[0],
        lambda x: tg.arange(int(x[1])).sum(),
        lambda x: x.astype("int32").sum(),
        lambda x: x.astype("float64").sum(),
        lambda x: tg.isfinite(x).sum() if hasattr(tg, "isfinite") else x.sum(),
    ]
    bad = []
    for k, o in enumerate(ops):

        def f(x):
            return x * o(x)

        c = tg.compile(f, backend=be)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                for v in (
                    [1.0, 2.0],
                    [1.0, 2.0],
                    [1.0, 2.0],
                    [1.0, 2.0],
                    [5.0, 1.0],
                    [-3.0, 1.0],
                    [2.0, 7.0],
                    [0.0, 3.0],
                ):
                    try:
                        e = f(A(*v))
                        ex = None
                    except Exception as err:
                        ex = err
                    try:
                        g = c(A(*v))
                        gx = None
                    except Exception as err:
                        gx = err
                    if ex or gx:
                        assert type(ex) == type(gx), (k, ex, gx)
                    else:
                        close(g, e)
            except AssertionError as err:
                bad.append((k, str(err)[:150]))
    assert not bad, bad


@both
def test_an_argument_gets_its_gradient(be: str) -> None:
    def f(x):
        (x * x).sum().backward()
        return x.grad

    c = tg.compile(f, backend=be)
    for i in range(8):
        x = tg.Tensor([1.0 + i, 2.0], requires_grad=True)
        g = c(x)
        close(g, A(2 + 2 * i, 4))
        close(x.grad, A(2 + 2 * i, 4))


@both
def test_gradients_of_an_argument_add_up(be: str) -> None:
    def f(x):
        (x * x).sum().backward()

    c = tg.compile(f, backend=be)
    x = tg.Tensor([1.0, 2.0], requires_grad=True)
    for i in range(8):
        c(x)
        close(x.grad, A(2 * (i + 1), 4 * (i + 1)))


@both
def test_an_error_in_the_middle_of_a_step_leaves_the_parameters(be: str) -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    o = optim.SGD([w], lr=0.1)
    boom = [False]

    def f(x):
        o.zero_grad()
        l = (w * x).sum()
        l.backward()
        if boom[0]:
            raise ValueError("boom")
        o.step()
        return l

    c = tg.compile(f, backend=be)
    for _i in range(5):
        c(A(1, 1))
    b = w.data.copy()
    boom[0] = True
    for _ in range(3):
        try:
            c(A(1, 1))
            assert 0
        except ValueError:
            pass
    close(w, b)
    boom[0] = False
    c(A(1, 1))
    close(w, b - np.float32(0.1))
    for _ in range(4):
        c(A(1, 1))


@both
def test_an_error_during_a_capture_leaves_nothing_switched_on(be: str) -> None:

    def f(x, k):
        if k:
            raise KeyError("k")
        return x * 2

    c = tg.compile(f, backend=be)
    for k in (1, 0, 0, 1, 0, 0, 1):
        try:
            close(c(A(1, 2), k), A(2, 4))
            assert not k
        except KeyError:
            assert k
    assert sys.getprofile() is None and gc.isenabled()


@both
def test_a_compiled_function_may_call_itself(be: str) -> None:
    c = None

    def f(x, n):
        return x * 2 if n == 0 else c(x, n - 1) + 1

    c = tg.compile(f, backend=be)
    for _ in range(5):
        close(c(A(1, 2), 3), A(5, 7))


@both
def test_compiled_functions_may_call_each_other(be: str) -> None:
    s = [2.0]
    inner = tg.compile(lambda x: x * s[0], backend=be)
    outer = tg.compile(lambda x: inner(x) + 1, backend=be)
    for _ in range(5):
        close(outer(A(1, 2)), A(3, 5))
        close(inner(A(1, 2)), A(2, 4))
    s[0] = 3.0
    for _ in range(5):
        close(outer(A(1, 2)), A(4, 7))
        close(inner(A(1, 2)), A(3, 6))


@both
def test_a_compiled_function_that_is_replaced_counts(be: str) -> None:
    d = {"i": tg.compile(lambda x: x * 2, backend=be)}
    outer = tg.compile(lambda x: d["i"](x) + 1, backend=be)
    for _ in range(5):
        close(outer(A(1, 2)), A(3, 5))
    d["i"] = tg.compile(lambda x: x * 5, backend=be)
    for _ in range(5):
        close(outer(A(1, 2)), A(6, 11))


@both
def test_no_grad_around_a_call_counts(be: str) -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    c = tg.compile(lambda x: x * w, backend=be)
    for _ in range(4):
        with tg.no_grad():
            assert not c(A(1, 2)).requires_grad
    for _ in range(5):
        r = c(A(1, 2))
        assert r.requires_grad
        w.grad = None
        r.sum().backward()
        close(w.grad, A(1, 2))
    with tg.no_grad():
        assert not c(A(1, 2)).requires_grad


@both
def test_an_update_by_hand_is_made_every_time(be: str) -> None:
    res = []
    for comp in (0, 1):
        w = tg.Tensor([1.0, 2.0], requires_grad=True)

        def f(x):
            w.grad = None
            l = ((w * x - 3) ** 2).sum()
            l.backward()
            with tg.no_grad():
                w.data -= 0.1 * w.grad.data
            return l

        c = tg.compile(f, backend=be) if comp else f
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res.append([c(A(1, i)).item() for i in range(8)] + w.tolist())
    assert np.allclose(*res), res


@both
def test_elements_that_a_step_sets_are_set_every_time(be: str) -> None:
    res = []
    for comp in (0, 1):
        w = tg.Tensor([1.0, 2.0])

        def f(x):
            with tg.no_grad():
                w[0] = x[0] * 2
                v = w
                v += 1
            return (w * x).sum() + v.sum()

        c = tg.compile(f, backend=be) if comp else f
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res.append([c(A(1 + i, i)).item() for i in range(8)] + w.tolist())
    assert np.allclose(*res), res


@both
def test_attributes_that_a_step_sets_are_set_every_time(be: str) -> None:
    res = []
    for comp in (0, 1):

        class C:
            pass

        s = C()
        s.h = tg.Tensor([0.0, 0.0])
        s.n = 0

        def f(x):
            s.h = s.h * 0.5 + x
            s.n += 1
            return s.h * s.n

        c = tg.compile(f, backend=be) if comp else f
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            res.append([c(A(1 + i, i)).tolist() for i in range(8)])
    assert np.allclose(*res), res


@both
def test_side_effects_on_objects_happen_every_time(be: str) -> None:
    logs = []
    for comp in (0, 1):
        log = []
        dq = collections.deque()
        st = set()
        d = collections.defaultdict(list)
        cnt = collections.Counter()
        b = bytearray()

        class K:
            n = 0

        k = K()
        fs = [
            lambda x: (log.append(1), x * 2)[1],
            lambda x: (dq.append(1), x * 2)[1],
            lambda x: (st.add(len(st)), x * 2)[1],
            lambda x: (d["a"].append(1), x * 2)[1],
            lambda x: (cnt.update("a"), x * 2)[1],
            lambda x: (b.append(1), x * 2)[1],
            lambda x: (setattr(K, "n", K.n + 1), x * 2)[1],
        ]

        def g(x):
            K.n += 1
            return x * 2

        def g2(x):
            k.n += 1
            return x * 2

        def g3(x, acc=None):
            if acc is None:
                acc = []
            acc.append(1)
            return x * len(acc)

        def g4(x):
            g4.n = getattr(g4, "n", 0) + 1
            return x * 2

        out = []
        for f in [*fs, g, g2, g3, g4]:
            c = tg.compile(f, backend=be) if comp else f
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                out.append([c(A(1 + i, i)).tolist() for i in range(8)])
        logs.append((out, len(log), len(dq), len(st), len(d["a"]), cnt["a"], len(b), K.n, k.n, g4.n))
    assert logs[0] == logs[1], list(zip(*logs))[1:]


@both
def test_what_is_written_to_a_file_is_written_every_time(be: str) -> None:
    ns = []
    for comp in (0, 1):
        fh = tempfile.TemporaryFile("w+")

        def f(x):
            fh.write("a")
            return x * 2

        c = tg.compile(f, backend=be) if comp else f
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            [c(A(1, 2)) for _ in range(7)]
        ns.append(fh.tell())
        fh.close()
    assert ns[0] == ns[1], ns


@both
def test_random_numbers_of_python_and_numpy_are_drawn_every_time(be: str) -> None:
    before = random.getstate(), np.random.get_state()
    g = np.random.default_rng(0)
    rs = np.random.RandomState(0)
    for f in (
        lambda x: x * random.random(),
        lambda x: x * 2 if random.random() < 0.5 else x * 3,
        lambda x: x * np.random.rand(),
        lambda x: x * 2 if np.random.rand() < 0.5 else x * 3,
        lambda x: x * 2 if g.random() < 0.5 else x * 3,
        lambda x: x * 2 if rs.rand() < 0.5 else x * 3,
        lambda x: x * random.choice([1.0, 2.0, 3.0]),
        lambda x: x * tg.asarray(g.normal(size=2).astype("f")),
        lambda x: x * tg.asarray(np.random.default_rng().normal(size=2).astype("f")),
        lambda x: x * 2 if np.random.default_rng().random() < 0.5 else x * 3,
    ):
        c = tg.compile(f, backend=be)
        with warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always")
            for _ in range(6):
                c(A(1, 2))
        assert len(w) == 1, (f.__code__.co_firstlineno, f.__code__.co_names, [str(x.message) for x in w])
    random.setstate(before[0])
    np.random.set_state(before[1])


@both
def test_the_time_is_read_every_time(be: str) -> None:
    for f in (
        lambda x: x * (time.time() > 0),
        lambda x: x * (time.perf_counter() > 0),
        lambda x: x * (datetime.datetime.now().year > 0),
        lambda x: x * (datetime.date.today().year > 0),
    ):
        c = tg.compile(f, backend=be)
        with warnings.catch_warnings(record=True) as w:
            warnings.simplefilter("always")
            for _ in range(6):
                c(A(1, 2))
        assert len(w) == 1, [str(x.message) for x in w]


@both
def test_a_generator_of_its_own_is_drawn_from_in_order(be: str) -> None:
    res = []
    for comp in (0, 1):
        g = np.random.default_rng(0)

        def f(x):
            return nn.functional.dropout(x, 0.5, rng=g)

        try:
            f(A(1, 2))
            g = np.random.default_rng(0)
        except TypeError:
            return
        c = tg.compile(f, backend=be) if comp else f
        res.append([c(A(1, 2, 3, 4)).tolist() for _ in range(8)])
        g = np.random.default_rng(7)
        res[-1] += [c(A(1, 2, 3, 4)).tolist() for _ in range(8)]
    assert np.allclose(*res), res


@both
def test_backward_of_a_compiled_function_repeats_what_a_generator_of_its_own_drew(be: str) -> None:
    g = np.random.default_rng(0)
    w = tg.Tensor(np.ones(64), requires_grad=True)
    c = tg.compile(lambda x: nn.functional.dropout(x * w, 0.5, rng=g), backend=be)
    for _ in range(6):
        w.grad = None
        out = c(A(*np.arange(1.0, 65.0)))
        g.random()  # moves the generator on
        out.sum().backward()
        assert np.allclose(out, w.grad)


@both
def test_every_dtype_and_layout_of_an_argument(be: str) -> None:
    def f(x):
        return (x * 2 + 1, x.sum(), x.T if x.ndim == 2 else x)

    base = np.arange(24.0).reshape(4, 6)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for dt in ("f", "d", "e", "i4", "i8", "u1", "?", "F", "D", ">f4", ">f8", "i2"):
            c = tg.compile(f, backend=be)
            b = (base % 2 if dt == "?" else base).astype(dt)
            ro = b.copy()
            ro.flags.writeable = False
            for a in (
                b,
                np.asfortranarray(b),
                b[::-1],
                b[:, ::-1],
                b[::2],
                b[:, ::3],
                b.T.copy().T,
                ro,
                np.broadcast_to(b[:1], (4, 6)),
                b[:0],
                b[:, :0],
                np.lib.stride_tricks.sliding_window_view(b, (2, 2))[0, 0],
            ):
                for _ in range(4):
                    x = tg.asarray(a)
                    e = f(x)
                    g = c(x)
                    for p, q in zip(g, e):
                        close(p, q)
            z = np.array(3).astype(dt)
            for _ in range(4):
                for p, q in zip(c(tg.asarray(z)), f(tg.asarray(z))):
                    close(p, q)


@both
def test_arguments_that_are_not_aligned(be: str) -> None:
    raw = np.zeros(33, np.uint8)
    a = raw[1:33].view("f4")
    a[:] = np.arange(8)
    c = tg.compile(lambda x: x * 2, backend=be)
    for i in range(5):
        a[0] = i
        close(c(tg.asarray(a)), a * 2)


@both
def test_layouts_that_alternate(be: str) -> None:
    c = tg.compile(lambda x: x @ x.T, backend=be)
    b = np.random.default_rng(0).normal(size=(4, 6)).astype("f")
    for i in range(12):
        a = [b, np.asfortranarray(b), b[::-1], b[:, ::-1]][i % 4]
        close(c(tg.asarray(a)), a @ a.T)


@both
def test_copies_and_pickles_of_a_compiled_model_are_models_of_their_own(be: str) -> None:
    m = nn.Sequential(nn.Linear(2, 3), nn.Tanh())
    c = tg.compile(m, backend=be)
    with tg.no_grad():
        for _ in range(4):
            r = c(A(1, 2).reshape(1, 2))
        for twin in (copy.deepcopy(c), pickle.loads(pickle.dumps(c)), copy.copy(c)):
            for _ in range(5):
                close(twin(A(1, 2).reshape(1, 2)), r)
        tw = copy.deepcopy(c)
        for _ in range(4):
            tw(A(1, 2).reshape(1, 2))
        tw[0].weight.data[...] = 0
        tw[0].bias.data[...] = 0
        close(tw(A(1, 2).reshape(1, 2)), r * 0)
        close(c(A(1, 2).reshape(1, 2)), r)


@both
def test_what_is_set_on_a_compiled_model_is_set_on_the_model(be: str) -> None:
    m = nn.Sequential(nn.Linear(2, 3), nn.Dropout(0.5))
    c = tg.compile(m, backend=be)
    c.eval()
    assert not m.training
    c.training = True
    assert m.training, "attribute set on compiled does not reach the model"


@both
def test_steps_of_several_threads_come_one_after_the_other(be: str) -> None:
    w = tg.Tensor(np.zeros(50, np.float32), requires_grad=True)
    o = optim.SGD([w], lr=1.0)

    def f(x):
        o.zero_grad()
        l = (w * x).sum()
        l.backward()
        o.step()
        return l

    c = tg.compile(f, backend=be)
    x = tg.ones(50)
    with ThreadPoolExecutor(4) as p:
        list(p.map(lambda i: c(x), range(200)))
    close(w, np.full(50, -200, np.float32))


@both
def test_threads_with_other_shapes_share_a_function(be: str) -> None:
    c = tg.compile(lambda x: x * 2 + x.shape[0], backend=be)

    def g(i):
        a = np.full(1 + i % 5, i, np.float32)
        return np.allclose(c(tg.asarray(a)).numpy(), a * 2 + a.size)

    with ThreadPoolExecutor(4) as p:
        assert all(p.map(g, range(300)))


@both
def test_a_forked_child_runs_and_compiles(be: str) -> None:
    c = tg.compile(lambda x: x * 2, backend=be)
    for _ in range(4):
        c(A(1, 2))
    pid = os.fork()
    if pid == 0:
        try:
            close(c(A(3, 4)), A(6, 8))
            c2 = tg.compile(lambda x: x * 5, backend=be)
            for _ in range(4):
                close(c2(A(1, 2)), A(5, 10))
            os._exit(0)
        except BaseException:
            os._exit(1)
    assert os.waitpid(pid, 0)[1] == 0


@both
def test_a_compiled_model_is_freed(be: str) -> None:
    m = nn.Linear(2, 2)
    c = tg.compile(m, backend=be)
    r = weakref.ref(m)
    with tg.no_grad():
        for _ in range(5):
            c(tg.ones((1, 2)))
    del m, c
    gc.collect()
    assert r() is None


@both
def test_results_of_several_calls_have_gradients(be: str) -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)

    def f(x):
        return (x * w).sum()

    c = tg.compile(f, backend=be)
    for _i in range(6):
        l = c(A(1, 2))
        w.grad = None
        l.backward()
        close(w.grad, A(1, 2))
    l1 = c(A(1, 2))
    l2 = c(A(3, 4))
    w.grad = None
    (l1 + l2).backward()
    close(w.grad, A(4, 6))


@both
def test_backward_after_a_change_is_an_error(be: str) -> None:
    w = tg.Tensor([1.0, 2.0], requires_grad=True)
    s = [2.0]

    def f(x):
        return (x * w * s[0]).sum()

    c = tg.compile(f, backend=be)
    for _i in range(6):
        x = A(1, 2)
        l = c(x)
        w.grad = None
        l.backward()
        close(w.grad, A(2, 4))
    e = f(A(1, 2))
    l = c(A(1, 2))
    s[0] = 5.0
    w.grad = None
    e.backward()
    w.grad.numpy().copy()
    w.grad = None
    try:
        l.backward()
        assert 0
    except RuntimeError as err:
        assert "backward: expected what" in str(err)


@both
def test_backward_of_a_compiled_dropout_uses_the_mask_that_was_drawn(be: str) -> None:
    w = tg.Tensor(np.ones(20, np.float32), requires_grad=True)

    def f(x):
        return nn.functional.dropout(x * w, 0.5)

    c = tg.compile(f, backend=be)
    for _i in range(8):
        w.grad = None
        r = c(tg.ones(20))
        r.sum().backward()
        close(w.grad, r.detach())


@both
def test_results_whose_graph_was_freed_require_grad_as_in_eager(be: str) -> None:
    model = nn.Linear(2, 1)

    def step(x: Any) -> Any:
        model.zero_grad()
        out = model(x)
        loss = (out**2).mean()
        loss.backward()
        return loss, {"out": out, "values": out.detach()}, model.weight.grad

    compiled = tg.compile(step, backend=be)  # type: ignore[call-overload]
    for rows in (3, 3, 3, 3, 4, 4, 5, 5, 6, 7, 8):
        x = tg.ones((rows, 2))
        expected, got = step(x), compiled(x)
        for (_, a), (_, b) in zip(pytree.leaves(expected), pytree.leaves(got), strict=True):
            assert a.requires_grad == b.requires_grad and a.is_leaf == b.is_leaf
        assert got[1]["out"].requires_grad and not got[1]["values"].requires_grad
        for result in (got[0], got[1]["out"].sum(), got[0] * 2):
            with pytest.raises(GraphError, match="freed by an earlier backward"):
                result.backward()
    assert "one program for any number of rows" in compiled.explain()


@both
def test_results_and_gradients_that_are_equal_have_arrays_of_their_own(be: str) -> None:
    a, b = tg.ones((2, 3)).requires_grad_(), tg.ones((2, 3)).requires_grad_()

    def step(x: Any) -> Any:
        a.grad = b.grad = None
        ((a + b) * x).sum().backward()
        return x * 2, x * 2, a.grad * 1

    compiled = tg.compile(step, backend=be, fullgraph=True)  # type: ignore[call-overload]
    for i in range(6):
        found = [*compiled(tg.ones((2, 3)) * i), a.grad, b.grad]
        expected = [2 * i, 2 * i, i, i, i]
        for n, result in enumerate(found):  # to change one changes no other
            close(result, np.full((2, 3), expected[n], np.float32))
            result[...] = -1
