"""The list of equivalent mutants names what is in the package."""

from __future__ import annotations

import ast
from pathlib import Path

import tinygrad_dl
from tests.mutation.equivalent import EQUIVALENT

ROOTS = [Path(tinygrad_dl.__file__).parent, Path(tinygrad_dl.nn.__file__).parent]


def test_each_equivalent_mutant_is_in_a_function_that_exists() -> None:
    wanted = {known.file for known in EQUIVALENT}
    sources: dict[str, str] = {}
    for root in ROOTS:
        for path in root.rglob("*.py"):
            if path.name in wanted:
                sources[path.name] = sources.get(path.name, "") + ast.unparse(
                    ast.parse(path.read_text("utf-8"))
                )
    gone = [(known.file, known.within) for known in EQUIVALENT if known.within not in sources[known.file]]
    assert not gone, "delete these from tests/mutation/equivalent.py"
