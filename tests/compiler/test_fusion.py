"""Which primitives share a loop nest, and in what order the rest runs."""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.compiler.fusion import MOST, ROW, Group, fuse, live
from tinygrad_dl.compiler.lower import Builder
from tinygrad_dl.compiler.program import Prim, Var


def argument(*shape: int, kind: str = "argument") -> Var:
    return Var(shape, np.dtype(np.float32), kind)


def groups(b: Builder, *outputs: Var) -> list[Any]:
    return fuse(b.steps, {v.serial for v in outputs})


def kinds(item: Any) -> list[str]:
    return [p.kind for p in item.prims] if isinstance(item, Group) else [item.kind]


def test_a_chain_with_its_sum_is_one_group() -> None:
    b = Builder()
    out = b.sum(b.exp(b.add(argument(30, 40), argument(40))), 0)
    (group,) = groups(b, out)
    assert kinds(group) == ["add", "exp", "sum"] and group.stored == {out.serial}


def test_only_what_others_read_is_stored() -> None:
    b = Builder()
    x = argument(30, 40)
    y = b.exp(x)
    z = b.negative(y)
    product = b.matmul(y, argument(40, 5))
    first, second = groups(b, z, product)
    assert first.stored == {y.serial, z.serial} and second.kind == "matmul"


def test_a_sum_over_long_rows_is_used_by_the_next_group() -> None:
    b = Builder()
    x = argument(30, ROW + 1)
    e = b.exp(x)
    out = b.divide(e, b.sum(e, 1, True))
    assert [kinds(g) for g in groups(b, out)] == [["exp", "sum"], ["divide"]]


def test_softmax_over_short_rows_is_one_group() -> None:
    b = Builder()
    x = argument(64, 10)
    e = b.exp(b.subtract(x, b.max(x, 1, True)))
    s = b.sum(e, 1, True)
    out = b.subtract(b.divide(e, s), b.log(s))
    (group,) = groups(b, out)
    assert group.row and group.stored == {out.serial}
    assert kinds(group) == ["max", "subtract", "exp", "sum", "divide", "log", "subtract"]


def test_what_reads_the_sum_of_all_comes_after() -> None:
    b = Builder()
    x = argument(64, 10)
    out = b.multiply(x, b.sum(x))
    assert [kinds(g) for g in groups(b, out)] == [["sum"], ["multiply"]]


def test_groups_are_bounded() -> None:
    b = Builder()
    x = y = argument(30)
    for _ in range(MOST + 5):
        y = b.add(b.multiply(y, 0.5), x)
    assert max(len(g.prims) for g in groups(b, y)) == MOST


def test_a_state_is_read_after_it_was_written() -> None:
    b = Builder()
    w, x = argument(30, kind="state"), argument(30)
    new = b.subtract(w, x)
    b.assign(w, new)
    after = b.multiply(w, 2.0)
    found = [kinds(g) for g in groups(b, after)]
    assert found == [["subtract"], ["assign"], ["multiply"]]


def test_live_keeps_what_is_wanted_and_what_changes_states() -> None:
    b = Builder()
    w, x = argument(30, kind="state"), argument(30)
    b.exp(x)
    kept = b.log(x)
    b.assign(w, b.negative(x))
    steps = live(b.steps, {kept.serial})
    assert [s.kind for s in steps if isinstance(s, Prim)] == ["log", "negative", "assign"]
