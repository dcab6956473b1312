"""Generated code: it can be read, its lines stand in tracebacks, and operations of one form share a compilation."""

from __future__ import annotations

import inspect
import linecache
import subprocess
import sys
import traceback
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.leaves import leaf
from tinygrad_dl import OPS, Tensor, codegen
from tinygrad_dl.errors import ShapeError


def in_a_new_process(program: str) -> str:
    """What a program prints that imports the package afresh: no operation has been called there yet."""
    command = [sys.executable, "-c", program]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_the_source_of_an_operation_is_its_block_before_and_after_the_first_call() -> None:
    program = (
        "import inspect, tinygrad_dl as tg\n"
        "before = inspect.getsource(tg.exp), str(inspect.signature(tg.exp))\n"
        "tg.exp(tg.Tensor([1.0]))\n"
        "assert before == (inspect.getsource(tg.exp), str(inspect.signature(tg.exp)))\n"
        "print(before[0])"
    )
    lines = in_a_new_process(program).splitlines()
    assert lines[0].startswith("@op(lambda g, out: g * out") and lines[1].startswith("def exp(x")
    assert "return np.exp(x)" in lines[-1] or "return np.exp(x)" in lines[-2]


def test_ipython_shows_the_block_of_an_operation() -> None:
    oinspect = pytest.importorskip("IPython.core.oinspect", reason="IPython is not installed")
    tg.exp(Tensor([1.0]))
    assert oinspect.getsource(tg.exp).startswith("@op(lambda g, out: g * out")


def test_the_lines_of_a_generated_call_stand_in_a_traceback() -> None:
    with pytest.raises(ShapeError) as caught:
        tg.add(leaf([1.0, 2.0]), np.ones(3))
    linecache.checkcache()  # a debugger forgets files that are gone
    text = "".join(traceback.format_tb(caught.tb))
    assert 'File "<tinygrad_dl call of add>"' in text and ", in add" in text
    assert "explain(op, (x_data, y_data), (), error)" in text


@pytest.mark.parametrize(("create_graph", "what"), [(False, "vjp"), (True, "vjp, recorded")])
def test_the_lines_of_a_generated_vjp_stand_in_a_traceback(create_graph: bool, what: str) -> None:
    @tg.op(lambda g, x: undefined(g, x))  # type: ignore[name-defined]  # noqa: F821
    def wrong_in_its_rule(x: Any) -> Any:
        return x + 0

    with pytest.raises(NameError) as caught:
        wrong_in_its_rule(leaf([1.0])).backward(create_graph=create_graph)
    text = "".join(traceback.format_tb(caught.tb))
    assert f'File "<tinygrad_dl {what} of wrong_in_its_rule>"' in text
    assert "return (rule0(g, x),)" in text


def test_every_generated_source_can_be_read_line_by_line() -> None:
    x = leaf([1.0, 2.0])
    tg.tanh(x).sum().backward()
    assert linecache.getline("<tinygrad_dl call of tanh>", 1).startswith("def call(x, /):")
    assert inspect.getsource(OPS["tanh"].vjp).startswith("def vjp(node, g):")
    assert linecache.getlines("<tinygrad_dl vjp of tanh>")[-1] == "    return (rule0(g, out),)"


def test_operations_of_one_form_share_a_compilation() -> None:
    def defined(name: str) -> Any:
        @tg.op(lambda g, argument: g * argument, name=name)
        def of_one_form(argument: Any, /, *, option: float = 1.0) -> Any:
            return argument * 2 * option

        return of_one_form

    first, second = defined("first_of_its_form"), defined("second_of_its_form")
    assert first(leaf([1.0])).tolist() == [2]
    before = codegen._compiled.cache_info()
    assert second(leaf([1.0]), option=2.0).tolist() == [4]
    after = codegen._compiled.cache_info()
    assert after.misses == before.misses and after.hits == before.hits + 1
    assert first.__code__.co_code == second.__code__.co_code
    assert first.__code__.co_filename != second.__code__.co_filename


def test_nothing_is_generated_at_the_import() -> None:
    program = (
        "import linecache, tinygrad_dl\nfrom tinygrad_dl import codegen\n"
        "print(codegen._compiled.cache_info().misses, [f for f in linecache.cache if f.startswith('<tiny')])"
    )
    assert in_a_new_process(program).split() == ["0", "[]"]


@pytest.mark.parametrize("x", [np.array([1.0, 4.0]), np.array([1.0, 4.0], np.float32), np.array(4.0)])
def test_an_array_goes_straight_to_the_forward_function(x: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(tg.sqrt.__globals__, "apply_without_tensors", None)
    y = tg.sqrt(x)
    assert not isinstance(y, Tensor) and y.dtype == x.dtype
    np.testing.assert_array_equal(y, np.sqrt(x))


def test_an_error_on_an_array_is_explained_as_on_a_tensor() -> None:
    messages = []
    for x in (np.ones((2, 3)), Tensor(np.ones((2, 3))), [[1.0] * 3] * 2):
        with pytest.raises(ValueError) as caught:
            tg.sum(x, axis=5)
        messages.append(str(caught.value))
    assert messages[0].startswith("sum") and messages[0] == messages[1] == messages[2]


def test_what_is_cached_for_the_rules_is_not_part_of_the_result_on_an_array() -> None:
    @tg.op(lambda g, twice: g * twice, cached=("twice",))
    def squared_with_a_cache(x: Any) -> Any:
        return x * x, 2 * x

    assert squared_with_a_cache(np.array([3.0])).tolist() == [9]
