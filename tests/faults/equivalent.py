"""Planted changes that change no result, each with the reason. No test can notice them.

Found again by the file, a piece of the function's source and the words of the change, so lines may move.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.faults.mutants import Mutant


class Equivalent(NamedTuple):
    """Changes of one file that are known to be harmless; `within`: a piece of the function (as ast.unparse)."""

    file: str
    within: str
    change: str
    reason: str


EQUIVALENT: tuple[Equivalent, ...] = ()


def reason_for(mutant: Mutant) -> str | None:
    """Why a change makes no difference, or None where it does."""
    for known in EQUIVALENT:
        if (
            known.file == mutant.path.name
            and known.within in mutant.within
            and mutant.what.startswith(known.change)
        ):
            return known.reason
    return None
