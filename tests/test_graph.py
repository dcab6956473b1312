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
from tests.leaves import gradient, leaf
from tinygrad_dl.errors import GraphError
from tinygrad_dl.graph import Node, ancestors
from tinygrad_dl.tensor import Tensor


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
        "backward: the graph was freed by an earlier backward (found at `multiply`). "
        "Pass retain_graph=True to the first call if you need a second."
    )
    assert gradient(x) == 6


def test_a_graph_that_records_its_gradient_is_kept_unless_that_is_declined() -> None:
    for retain, kept in ((None, True), (True, True), (False, False)):
        x = leaf(3.0)
        y = x**3
        y.backward(create_graph=True, retain_graph=retain)
        assert x.grad is not None and x.grad.requires_grad and x.grad.item() == 27
        if kept:
            y.backward()
        else:
            with pytest.raises(GraphError, match="the graph was freed by an earlier backward"):
                y.backward()


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
    with pytest.raises(GraphError, match="found at `exp`"):
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
