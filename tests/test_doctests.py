"""Every example in a docstring of the package runs and shows what it says."""

from __future__ import annotations

import doctest
import importlib
import inspect
from collections.abc import Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from tests.layout import PACKAGES, ROOT
from tests.printed import Checker, with_expected_digits
from tinygrad_dl.errors import MissingExtraError

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def names() -> list[str]:
    """The modules' import names. pytest itself would import nn/ as `nn`."""
    return [
        package if path.stem == "__init__" else f"{package}.{path.stem}"
        for package, folder in PACKAGES.items()
        for path in sorted((ROOT / folder).glob("*.py"))
        if path.stem != "__main__"
    ]


def modules() -> Iterator[ModuleType]:
    """Each module that can be imported here."""
    for name in names():
        try:
            yield importlib.import_module(name)
        except Exception:
            continue  # the test below says why


@pytest.mark.parametrize("name", names())
def test_the_module_imports_unless_its_extra_is_absent(name: str) -> None:
    try:
        importlib.import_module(name)
    except MissingExtraError as error:
        pytest.skip(str(error))


def documented(module: ModuleType) -> Iterator[tuple[str, str]]:
    """Name and docstring of what the module defines: itself, its functions and classes, their methods.

    doctest's own finder misses operations, which are built from source and have globals of their own.
    """
    yield module.__name__, module.__doc__ or ""
    waiting: list[tuple[str, Any]] = list(vars(module).items())
    seen = set()
    while waiting:
        name, thing = waiting.pop(0)
        thing = inspect.unwrap(thing) if callable(thing) else thing
        if isinstance(thing, (staticmethod, classmethod)):
            thing = thing.__func__
        if isinstance(thing, property):
            thing = thing.fget
        if getattr(thing, "__module__", None) != module.__name__ or id(thing) in seen:
            continue
        if not (inspect.isroutine(thing) or inspect.isclass(thing)):
            continue
        seen.add(id(thing))
        yield f"{module.__name__}.{name}", thing.__doc__ or ""
        if inspect.isclass(thing):
            waiting += [(f"{name}.{inner}", value) for inner, value in vars(thing).items()]


def examples() -> Iterator[Any]:
    parser = doctest.DocTestParser()
    for module in modules():
        for name, text in documented(module):
            test = parser.get_doctest(text, vars(module), name, module.__file__, 0)
            if test.examples:
                yield pytest.param(test, id=name)


@pytest.mark.parametrize("example", list(examples()))
def test_the_example_in_the_docstring_is_true(example: doctest.DocTest) -> None:
    example.globs = {"np": np} | example.globs
    said: list[str] = []
    failed, _ = doctest.DocTestRunner(Checker(), optionflags=FLAGS).run(example, out=said.append)
    if "MissingExtraError: " in "".join(said):
        pytest.skip("".join(said).rsplit("MissingExtraError: ", 1)[1].splitlines()[0])
    assert not failed, "".join(said)


def test_examples_of_functions_classes_methods_and_operations_are_found() -> None:
    module = ModuleType("made_here")
    exec(
        '"""M.\n>>> 1\n1\n"""\n'
        'def f():\n    """F."""\n'
        'class C:\n    """C."""\n    @property\n    def p(self):\n        """P."""\n'
        '    @staticmethod\n    def s():\n        """S."""\n'
        "from os.path import join\n",
        vars(module),
    )
    apart: dict[str, Any] = {"__name__": "elsewhere"}
    exec('def built():\n    """B."""\nbuilt.__module__ = "made_here"', apart)
    module.built = apart["built"]  # type: ignore[attr-defined]
    assert [name for name, _ in documented(module)] == [
        "made_here",
        "made_here.f",
        "made_here.C",
        "made_here.built",
        "made_here.C.p",
        "made_here.C.s",
    ]


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("Tensor(0.6931472)", "Tensor(0.69314706)"),
        ("array([ 0.5       , -1.0526645 ])", "array([ 0.49999998, -1.05266449])"),
        ("0.1 3.000000000000001e-05", "0.1 3.0000000000000005e-05"),
    ],
)
def test_numbers_may_differ_in_their_last_bits(expected: str, got: str) -> None:
    assert with_expected_digits(expected, got) == expected


@pytest.mark.parametrize(
    ("expected", "got"),
    [
        ("0.6931472", "0.6931487"),  # 2e-6
        ("0.6931471805599453", "0.6931471805599"),  # as float64
        ("0.693", "0.694"),
        ("0.0", "1e-17"),
        ("3", "4"),
        ("Tensor(0.5)", "Tensor([0.5])"),
        ("0.5 0.25", "0.5"),
    ],
)
def test_other_numbers_and_other_words_are_found(expected: str, got: str) -> None:
    assert with_expected_digits(expected, got) != expected
