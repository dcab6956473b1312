"""The graph: how gradients are carried, what is kept alive, what dies, and what threads share."""

from __future__ import annotations

import copy
import gc
import pickle
import threading
import tracemalloc
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

import tinygrad_dl as tg
from tinygrad_dl.errors import GraphError, ShapeError
from tinygrad_dl.graph import Node, ancestors
from tinygrad_dl.tensor import Tensor


def leaf(value: Any, dtype: Any = np.float64) -> Tensor:
    return Tensor(np.array(value, dtype), requires_grad=True)


def gradient(t: Tensor) -> np.ndarray:
    assert t.grad is not None
    return t.grad.numpy()


@pytest.fixture
def without_gc() -> Iterator[None]:
    gc.collect()
    gc.disable()
    yield
    gc.enable()


# Paths that meet


def test_a_diamond_adds_up_both_paths() -> None:
    x = leaf(3.0)
    a = x * 2
    ((a + 1) * (a * a)).backward()  # (2x + 1) 4x^2, derivative 24x^2 + 8x
    assert gradient(x) == 240


def test_a_value_that_is_used_again_later_gets_its_whole_gradient_before_it_is_passed_on() -> None:
    x = leaf(3.0)
    y = x * x
    (y + y * x).backward()
    assert gradient(x) == 33


def test_doubling_sixty_times_takes_linear_time() -> None:
    y = x = leaf(1.0)
    for _ in range(60):
        y = y + y
    y.backward()
    assert gradient(x) == 2.0**60


def test_the_same_input_twice_counts_twice() -> None:
    x = leaf([1.0, 2.0])
    (x - x).sum().backward()
    assert gradient(x).tolist() == [0, 0]
    m = leaf([[1.0, 2.0], [3.0, 4.0]])
    (m @ m).sum().backward()
    assert gradient(m).tolist() == [[7, 11], [9, 13]]


@given(
    st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5), st.sampled_from("+-*")), min_size=1, max_size=12)
)
def test_any_program_of_sums_and_products_has_the_gradient_of_forward_mode(
    program: list[tuple[int, int, str]],
) -> None:
    values = [leaf(0.5), leaf(-1.25), leaf(0.75)]
    # Forward mode on the same program: (value, derivatives in the three inputs).
    duals = [(v.item(), np.eye(3)[i]) for i, v in enumerate(values)]
    inputs = list(values)
    for i, j, sign in program:
        x, y = values[i % len(values)], values[j % len(values)]
        (a, da), (b, db) = duals[i % len(duals)], duals[j % len(duals)]
        if sign == "+":
            values.append(x + y)
            duals.append((a + b, da + db))
        elif sign == "-":
            values.append(x - y)
            duals.append((a - b, da - db))
        else:
            values.append(x * y)
            duals.append((a * b, da * b + a * db))
    values[-1].backward()
    found = [0.0 if t.grad is None else t.grad.item() for t in inputs]
    np.testing.assert_allclose(found, duals[-1][1], rtol=1e-9, atol=1e-12)


# Deep graphs

DEPTH = 100_000


def deep(x: Tensor) -> Tensor:
    y = x
    for _ in range(DEPTH):
        y = y + 1
    return y


def test_a_graph_100_000_deep_is_walked_forward_and_back() -> None:
    x = leaf(0.0)
    y = deep(x)
    y.backward()
    assert y.item() == DEPTH and gradient(x) == 1


def test_a_graph_100_000_deep_is_differentiated_with_create_graph() -> None:
    x = leaf(2.0)
    y = x
    for _ in range(DEPTH // 10):
        y = y * 1.0
    (g,) = tg.autograd.grad(y * x, x, create_graph=True)
    (h,) = tg.autograd.grad(g, x)
    assert (g.item(), h.item()) == (4, 2)


def test_a_graph_100_000_deep_dies_without_the_garbage_collector(without_gc: None) -> None:
    x = leaf(0.0)
    y = deep(x)
    node = weakref_to_node(y)
    del y
    assert node() is None


def test_a_deep_result_is_copied_and_pickled_as_a_leaf_without_history() -> None:
    y = deep(leaf(0.0))
    for made in (copy.deepcopy(y), copy.copy(y), pickle.loads(pickle.dumps(y))):
        assert made.is_leaf and made.requires_grad and made.item() == DEPTH
        assert len(ancestors([made.node])) == 1


def test_copies_keep_dtype_name_and_gradient_and_share_nothing() -> None:
    x = Tensor([1.0, 2.0], dtype="float16", requires_grad=True, name="x")
    (x * 3).sum().backward()
    for made in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert (made.name, made.dtype, made.requires_grad) == ("x", np.float16, True)
        assert made.grad.tolist() == [3, 3]
        made.data[0] = 9
        made.grad.data[0] = 9
        assert x.tolist() == [1, 2] and gradient(x).tolist() == [3, 3]


def test_deepcopy_keeps_what_is_shared_shared() -> None:
    x = leaf(1.0)
    a, b = copy.deepcopy([x, x])
    assert a is b and a is not x


# What is kept alive, and what dies


def weakref_to_node(t: Tensor) -> Callable[[], Any]:
    """Whether the node of a Tensor still lives: nodes have no weak references, their arrays do."""
    assert t.node is not None

    class Mark:
        pass

    mark = Mark()
    t.node.scope = mark
    return weakref.ref(mark)


def test_intermediates_die_with_their_last_reference(without_gc: None) -> None:
    x = leaf(np.ones(1000))
    h = x.exp()
    array, node = weakref.ref(h.data), weakref_to_node(h)
    y = (h * 2).sum()
    del h
    assert array() is not None  # exp saves its result
    del y
    assert array() is None and node() is None


def test_backward_frees_the_saved_arrays_while_the_result_lives(without_gc: None) -> None:
    x = leaf(np.ones(1000))
    h = x.exp()
    array = weakref.ref(h.data)
    y = h.sum()
    del h
    y.backward()
    assert array() is None and y.item() == pytest.approx(1000 * np.e)


def test_an_input_that_no_rule_names_is_not_kept(without_gc: None) -> None:
    x = leaf(np.ones(1000))
    h = x * 1
    array = weakref.ref(h.data)
    y = h + 1
    del h
    assert array() is None and y.requires_grad


def test_twenty_chained_sums_keep_one_array_alive(without_gc: None) -> None:
    x = leaf(np.ones(100_000))
    tracemalloc.start()
    try:
        before, _ = tracemalloc.get_traced_memory()
        y = x
        for _ in range(20):
            y = y + 1.0
        after, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert after - before < 1.1 * x.nbytes


def test_a_factor_of_a_constant_is_not_kept(without_gc: None) -> None:
    x = leaf(np.ones(1000))
    y = (x + 1) * 2.0
    assert y.node is not None and y.node.saved == (None, 2.0)


@pytest.mark.parametrize("create_graph", [False, True])
def test_a_training_step_leaves_nothing_to_the_garbage_collector(
    without_gc: None, create_graph: bool
) -> None:
    w, v = leaf(np.ones((4, 3))), leaf(np.ones(4))

    def step() -> None:
        x = tg.asarray(np.ones((5, 4)))
        loss = (((x + v) @ w).tanh() ** 2).mean()
        loss.backward(create_graph=create_graph)
        if create_graph:
            assert w.grad is not None
            (w.grad * w.grad).sum().backward()
        for p in (w, v):
            p.grad = None

    step()
    gc.collect()
    before = sum(type(thing) in (Node, Tensor) for thing in gc.get_objects())
    step()
    after = sum(type(thing) in (Node, Tensor) for thing in gc.get_objects())
    assert after == before
    assert gc.collect() == 0


def test_recorded_gradients_make_no_reference_cycle(without_gc: None) -> None:
    x = leaf([1.0, 2.0])
    (x**3).sum().backward(create_graph=True)
    assert x.grad is not None and x.grad.requires_grad
    node = weakref_to_node(x.grad)
    x.grad = None
    assert node() is None


def test_a_leaf_that_is_gone_does_not_stop_backward(without_gc: None) -> None:
    x = leaf(2.0)
    y = leaf(3.0) * x
    y.backward()
    assert gradient(x) == 3


# backward twice


def test_a_second_backward_without_retain_graph_raises_and_changes_nothing() -> None:
    x = leaf(3.0)
    y = x * x
    y.backward()
    with pytest.raises(GraphError) as caught:
        y.backward()
    assert str(caught.value) == (
        "backward: the graph was freed by an earlier backward (met at `multiply`). "
        "Pass retain_graph=True to the first call if you need a second."
    )
    assert gradient(x) == 6


def test_retain_graph_allows_a_second_backward_and_interior_gradients_do_not_pile_up() -> None:
    x = leaf(3.0)
    d = 2 * (x * x)
    d.backward(retain_graph=True)
    assert gradient(x) == 12
    d.backward()
    assert gradient(x) == 24


def test_two_results_over_one_freed_part_raise() -> None:
    x = leaf(2.0)
    h = x.exp()
    (h * 2).backward()
    with pytest.raises(GraphError, match="met at `exp`"):
        (h * 3).backward()


def test_gradients_accumulate_until_they_are_cleared() -> None:
    x = leaf([1.0, 2.0])
    for expected in ([2, 4], [4, 8]):
        (x * x).sum().backward()
        assert gradient(x).tolist() == expected
    x.grad = None
    (x * x).sum().backward()
    assert gradient(x).tolist() == [2, 4]


def test_a_gradient_that_was_read_does_not_change_when_more_is_added() -> None:
    x = leaf([1.0])
    (x * 2).sum().backward()
    first = x.grad
    (x * 2).sum().backward()
    assert first is not None and first.tolist() == [2] and gradient(x).tolist() == [4]


# No gradient shares memory with another


PROGRAMS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "add": lambda x, y: x + y,
    "subtract": lambda x, y: x - y,
    "reshape": lambda x, y: x.reshape(6) + y.reshape(6),
    "transpose": lambda x, y: x.T + y.T,
    "squeeze": lambda x, y: x[None].squeeze(0) + y,
    "getitem": lambda x, y: x[...] + y[:],
    "broadcast": lambda x, y: tg.broadcast_to(x, (2, 3)) + y,
    "where": lambda x, y: tg.where(np.ones((2, 3), bool), x, y) + y,
    "concat": lambda x, y: tg.concat([x, y]),
    "stack": lambda x, y: tg.stack([x, y]),
    "positive": lambda x, y: +x + y,
    "astype": lambda x, y: x.astype("float64") + y,
    "setitem": lambda x, y: tg.setitem(x, y, slice(None)) + x + y,
    "mean": lambda x, y: x.mean(0) + y.mean(0),
}


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_changing_one_gradient_in_place_changes_no_other(name: str, create_graph: bool) -> None:
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    out = PROGRAMS[name](x, y)
    seed = Tensor(np.ones(out.shape))
    h = out + 0
    h.retain_grad()
    h.backward(seed, create_graph=create_graph)
    assert x.grad is not None and y.grad is not None and h.grad is not None
    arrays = [x.grad.data, y.grad.data, h.grad.data, seed.data, x.data, y.data, out.data]
    before = [a.copy() for a in arrays]
    for i, array in enumerate(arrays):
        array += 100  # writable too
        for j, other in enumerate(arrays):
            if i != j:
                np.testing.assert_array_equal(other, before[j], err_msg=f"{name}: {i} and {j} share memory")
        array -= 100


@pytest.mark.parametrize("create_graph", [False, True])
@pytest.mark.parametrize("name", PROGRAMS)
def test_gradients_that_grad_returns_share_no_memory(name: str, create_graph: bool) -> None:
    x, y = leaf(np.ones((2, 3))), leaf(np.ones((2, 3)))
    out = PROGRAMS[name](x, y)
    seed = Tensor(np.ones(out.shape))
    found = tg.autograd.grad(out, [x, y, out, x], seed, create_graph=create_graph)
    arrays = [*(g.data for g in found if g is not None), seed.data]
    assert len(arrays) == 5
    for i, array in enumerate(arrays):
        array += 0
        assert not any(np.may_share_memory(array, other) for other in arrays[i + 1 :])


def test_shared_buffers_do_not_mix_up_gradients() -> None:
    x, y = leaf(2.0), leaf(3.0)
    (x / (x + y)).backward()
    assert gradient(x) == pytest.approx(0.12) and gradient(y) == pytest.approx(-0.08)
    a = leaf([1.0, 2.0])
    b = a * 1
    ((b + b) * b).sum().backward()
    assert gradient(a).tolist() == [4, 8]


# Hooks, retain_grad


def test_a_hook_sees_the_whole_gradient_once_and_may_replace_it() -> None:
    x = leaf(3.0)
    y = x * 2
    seen: list[float] = []
    y.register_hook(lambda g: seen.append(g.item()))
    y.register_hook(lambda g: g * 10)
    (y + y * y).backward()
    assert seen == [13] and gradient(x) == 260


def test_hooks_run_in_order_and_can_be_removed() -> None:
    x = leaf(1.0)
    first = x.register_hook(lambda g: g + 1)
    x.register_hook(lambda g: g * 2)
    (x * 1).backward()
    assert gradient(x) == 4
    first()
    first()
    x.grad = None
    (x * 1).backward()
    assert gradient(x) == 2


def test_a_hook_on_a_leaf_runs_at_each_backward() -> None:
    x = leaf(1.0)
    count: list[int] = []
    x.register_hook(lambda g: count.append(1))
    for _ in range(3):
        (x * x + x).backward()
    assert len(count) == 3


def test_what_a_hook_returns_or_gets_is_not_shared_with_the_gradient() -> None:
    x = leaf([1.0, 1.0])
    mine = Tensor(np.array([5.0, 5.0]))
    seen: list[Tensor] = []

    def hook(g: Tensor) -> Tensor:
        seen.append(g)
        return mine

    x.register_hook(hook)
    (x * 1).sum().backward()
    seen[0].data[:] = -1
    mine.data[:] = -1
    assert gradient(x).tolist() == [5, 5]
    (found,) = tg.autograd.grad((x * 1).sum(), x)
    assert found is not None and not np.may_share_memory(found.data, mine.data)


def test_a_hook_keeps_the_dtype_of_the_gradient() -> None:
    x = leaf([1.0], np.float32)
    x.register_hook(lambda g: g.numpy().astype(np.float64) * 2)
    (x * 1).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float32 and x.grad.tolist() == [2]


def test_a_hook_of_a_recorded_gradient_is_differentiated_too() -> None:
    x = leaf(2.0)
    y = x * x
    remove = y.register_hook(lambda g: g * y)
    (g,) = tg.autograd.grad(y, x, create_graph=True)  # y * 2x = 2x^3
    remove()
    (h,) = tg.autograd.grad(g, x)
    assert (g.item(), h.item()) == (16, 24)


def test_a_hook_with_the_wrong_shape_says_so() -> None:
    x = leaf([1.0, 2.0])
    x.register_hook(lambda g: g.sum())
    with pytest.raises(ShapeError) as caught:
        (x * 1).sum().backward()
    assert str(caught.value) == "register_hook: the hook returned a gradient of shape (); (2,) is needed"


def test_an_exception_in_a_hook_leaves_the_engine_usable() -> None:
    x = leaf(1.0)

    def fail(g: Tensor) -> None:
        raise KeyError("mine")

    remove = x.register_hook(fail)
    with pytest.raises(KeyError):
        (x * 1).backward()
    remove()
    (x * 1).backward()
    assert gradient(x) == 1


def test_a_hook_may_run_backward_itself() -> None:
    x, z = leaf(2.0), leaf(3.0)
    y = x * 2
    y.register_hook(lambda g: (z * z).backward())
    y.backward()
    assert gradient(x) == 2 and gradient(z) == 6


def test_intermediates_keep_no_gradient_unless_asked() -> None:
    x = leaf(3.0)
    y = x * 2
    z = y * y
    y.retain_grad()
    z.backward()
    assert y.grad is not None and y.grad.item() == 12 and z.grad is None


def test_retained_gradients_accumulate_as_those_of_leaves() -> None:
    x = leaf(3.0)
    y = x * 2
    y.retain_grad()
    for _ in range(2):
        (y * y).backward(retain_graph=True)
    assert y.grad is not None and y.grad.item() == 24


def test_an_assignment_moves_retain_grad_to_the_new_value() -> None:
    x = leaf([1.0, 2.0])
    y = x * 3
    y.retain_grad()
    y[0] = 7.0
    (y * y).sum().backward()
    assert gradient(x).tolist() == [0, 36]
    assert y.grad is not None and y.grad.tolist() == [14, 12]


# Dtypes and shapes


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("create_graph", [False, True])
def test_a_gradient_has_dtype_and_shape_of_its_tensor(dtype: Any, create_graph: bool) -> None:
    x, y = leaf(np.ones((2, 1)), dtype), leaf(np.ones(3), np.float64)
    b = leaf(2.0, dtype)
    (((x * 2.0 + y) * np.float64(3) / b).exp().mean() + x.sum() * y.sum()).backward(create_graph=create_graph)
    for t in (x, y, b):
        assert t.grad is not None and type(t.grad) is Tensor and type(t.grad.data) is np.ndarray
        assert (t.grad.dtype, t.grad.shape) == (t.dtype, t.shape)


def test_float32_stays_float32_with_python_numbers_and_float64_scalars() -> None:
    x = leaf([1.0, 2.0], np.float32)
    for y in (
        x * 2.0,
        x + np.float64(1),
        x * 2,
        1 / x,
        np.float64(2) ** x,
        x**2,
        x**0.5,
        -x,
        x.mean(),
        x.exp(),
    ):
        assert y.dtype == np.float32
        (g,) = tg.autograd.grad(y.sum(), x)
        assert g is not None and g.dtype == np.float32


def test_empty_arrays_have_empty_gradients() -> None:
    x = leaf(np.ones((0, 3)), np.float32)
    (x.exp() * 2).sum().backward()
    assert gradient(x).shape == (0, 3)


def test_a_gradient_given_to_backward_is_broadcast_never() -> None:
    x = leaf([1.0, 2.0])
    with pytest.raises(ShapeError):
        (x * 2).backward(1.0)
    (x * 2).backward([1, 10])
    assert gradient(x).tolist() == [2, 20]


# Assignment makes a new value


def test_assignment_is_differentiable_in_both_and_leaves_other_names_alone() -> None:
    x, v = leaf([1.0, 2.0, 3.0]), leaf(5.0)
    y = x * 1
    old = y.detach()
    y[1] = v
    (y * y).sum().backward()
    assert gradient(x).tolist() == [2, 0, 6] and gradient(v) == 10
    assert old.tolist() == [1, 2, 3]


def test_an_array_that_asarray_shares_is_not_written_by_assignments_to_the_tensor() -> None:
    array = np.array([1.0, 2.0])
    t = tg.asarray(array)
    t[0] = 9
    t += 1
    assert array.tolist() == [1, 2] and t.tolist() == [10, 3]


def test_a_view_that_was_taken_before_an_assignment_keeps_the_old_value() -> None:
    x = Tensor([1.0, 2.0, 3.0])
    view = x[1:]
    x[1] = 20.0
    assert view.tolist() == [2, 3] and x.tolist() == [1, 20, 3]


def test_changing_the_dtype_of_a_leaf_leaves_older_graphs_without_effect_on_it() -> None:
    x = leaf([1.0], np.float32)
    y = (x * 2).sum()
    x.data = x.data.astype(np.float64)
    y.backward()
    assert x.grad is None
    (x * 2).sum().backward()
    assert x.grad is not None and x.grad.dtype == np.float64


# Threads


def test_threads_build_and_differentiate_their_own_graphs() -> None:
    wrong: list[Any] = []
    start = threading.Barrier(4)

    def work(seed: int) -> None:
        start.wait()
        for k in range(200):
            x = leaf([seed, k])
            y = x
            for _ in range(5):
                y = y * x
            y.sum().backward()
            expected = 6 * np.array([seed, k], float) ** 5
            if not np.allclose(gradient(x), expected):
                wrong.append((seed, k))

    threads = [threading.Thread(target=work, args=(i,)) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_a_graph_built_in_one_thread_is_differentiated_in_another() -> None:
    x = leaf(3.0)
    y = x * x
    thread = threading.Thread(target=y.backward)
    thread.start()
    thread.join()
    assert gradient(x) == 6
