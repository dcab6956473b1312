"""einsum: Einstein's summation, brought down to diagonals, sums and one contraction."""

from __future__ import annotations

from collections.abc import Sequence
from string import ascii_letters
from typing import TYPE_CHECKING, Any, overload

import numpy as np

from tinygrad_dl.arguments import explained
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.ops.diagonals import diagonal
from tinygrad_dl.ops.matmul import contraction, operand
from tinygrad_dl.ops.reduce import sum
from tinygrad_dl.ops.shape import squeeze
from tinygrad_dl.typing import Array, ArrayLike

if TYPE_CHECKING:
    from tinygrad_dl.tensor import Tensor


@overload
def einsum(subscripts: str, /, *operands: Tensor, optimize: bool | str | Sequence[Any] = True) -> Tensor: ...
@overload
def einsum(subscripts: str, /, *operands: ArrayLike, optimize: bool | str | Sequence[Any] = True) -> Any: ...
@explained
def einsum(subscripts: str, /, *operands: ArrayLike, optimize: bool | str | Sequence[Any] = True) -> Any:
    """A product of operands, axes named by letters, summed over letters that the result does not have.

    "ij,jk->ik" is the matrix product, "ii" the trace, "...ij->...ji" a transpose; a letter twice in one
    operand is its diagonal, axes of size 1 broadcast. Without "->" the result has the letters that occur
    once, sorted. NumPy's form einsum(x, [0, 1], y, [1, 2], [0, 2]) works too. `optimize` is there for NumPy's
    sake: the order of products is chosen either way. Raises ShapeError, ValueRangeError.
    >>> einsum("ij,j->i", np.array([[1, 2], [3, 4]]), np.array([1, 10]))
    array([21, 43])
    """
    path = isinstance(optimize, (list, tuple)) and list(optimize[:1]) in (
        ["einsum_path"],
        ["greedy"],
        ["optimal"],
    )
    if (
        not isinstance(optimize, (bool, np.bool_))
        and optimize not in (0, 1, "greedy", "optimal")
        and not path
    ):
        raise ValueRangeError(
            f'einsum: optimize: expected True, False, "greedy", "optimal" or a path, got {describe(optimize)}'
        )
    if not isinstance(subscripts, str):
        subscripts, operands = _from_lists((subscripts, *operands))
    arrays = [operand("einsum", x) for x in operands]
    terms, out = _read(subscripts, arrays)
    for n, (term, x) in enumerate(zip(terms, arrays)):
        terms[n], arrays[n] = _diagonals(subscripts, term, x)
    _fit_sizes(subscripts, terms, arrays)
    for n, (term, x) in enumerate(zip(terms, arrays)):
        elsewhere = set(out).union(*terms[:n], *terms[n + 1 :])
        alone = tuple(axis for axis, letter in enumerate(term) if letter not in elsewhere)
        if alone:
            arrays[n] = sum(x, axis=alone, dtype=x.dtype)
            terms[n] = "".join(letter for letter in term if letter in elsewhere)
    return contraction(arrays, f"{','.join(terms)}->{out}")


def _from_lists(arguments: Sequence[Any]) -> tuple[str, tuple[Any, ...]]:
    """The subscripts of the form einsum(x, [0, 1], y, [1, 2], [0, 2]), as letters."""
    pairs, rest = arguments[: len(arguments) // 2 * 2], arguments[len(arguments) // 2 * 2 :]

    def letters(axes: Sequence[Any]) -> str:
        if not isinstance(axes, (list, tuple)):
            raise ValueRangeError(
                "einsum: expected subscripts such as 'ij,jk->ik', or a list of axes after each operand"
            )
        wrong = [a for a in axes if a is not Ellipsis and a not in range(52)]
        if wrong:
            raise ValueRangeError(f"einsum: expected axes from 0 to 51 or Ellipsis, got {wrong[0]!r}")
        return "".join("..." if a is Ellipsis else ascii_letters[a] for a in axes)

    given = ",".join(letters(axes) for axes in pairs[1::2])
    return (f"{given}->{letters(rest[0])}" if rest else given), tuple(pairs[0::2])


def _read(subscripts: str, arrays: Sequence[Any]) -> tuple[list[str], str]:
    """The letters of each operand and of the result, with new letters in the place of each ellipsis."""
    given, arrow, out = subscripts.replace(" ", "").partition("->")
    terms = given.split(",")
    where = f"einsum: {subscripts!r}"
    for part in (*terms, out):
        wrong = [c for c in part.replace("...", "", 1) if c not in ascii_letters]
        if wrong:
            raise ValueRangeError(f"{where}: expected letters, ',', '->' and '...', got {wrong[0]!r}")
    if len(terms) != len(arrays):
        raise ValueRangeError(f"{where}: expected {len(terms)} operands, got {len(arrays)}")
    free = [c for c in reversed(ascii_letters) if c not in subscripts]
    longest = 0
    for n, (term, x) in enumerate(zip(terms, arrays)):
        named = len(term.replace("...", ""))
        rest = x.ndim - named
        if rest < 0 or (rest and "..." not in term):
            raise ShapeError(f"{where}: operand {n} has the shape {x.shape}, but {term!r} names {named} axes")
        if rest > len(free):
            raise ShapeError(f"{where}: more axes than letters")
        longest = max(longest, rest) if "..." in term else longest
        terms[n] = term.replace("...", "".join(reversed(free[:rest])))
    dots = "".join(reversed(free[:longest]))
    if not arrow:
        every = "".join(terms)
        out = dots + "".join(sorted(c for c in set(every) if every.count(c) == 1 and c not in dots))
    elif "..." in out:
        out = out.replace("...", dots)
    elif dots:
        raise ValueRangeError(f"{where}: the result needs '...' too")
    for letter in out:
        if out.count(letter) > 1:
            raise ValueRangeError(f"{where}: the result has {letter!r} twice")
        if not any(letter in term for term in terms):
            raise ValueRangeError(f"{where}: the result has {letter!r}, which no operand has")
    return terms, out


def _diagonals(subscripts: str, term: str, x: Array) -> tuple[str, Any]:
    """An operand in which a letter occurs twice, as its diagonal over those axes."""
    for letter in dict.fromkeys(term):
        while term.count(letter) > 1:
            first = term.index(letter)
            second = term.index(letter, first + 1)
            if x.shape[first] != x.shape[second]:
                raise ShapeError(
                    f"einsum: {subscripts!r}: {letter!r} names axes of the sizes {x.shape[first]} and "
                    f"{x.shape[second]} of one operand"
                )
            x = diagonal(x, 0, first, second)
            term = term[:first] + term[first + 1 : second] + term[second + 1 :] + letter
    return term, x


def _fit_sizes(subscripts: str, terms: list[str], arrays: list[Any]) -> None:
    """Check that each letter has one size, and take out axes of size 1 that another operand broadcasts."""
    sizes: dict[str, int] = {}
    for term, x in zip(terms, arrays):
        for letter, size in zip(term, x.shape):
            if sizes.setdefault(letter, size) == 1:
                sizes[letter] = size
            elif size not in (1, sizes[letter]):
                raise ShapeError(
                    f"einsum: {subscripts!r}: {letter!r} names axes of the sizes {sizes[letter]} and {size}"
                )
    for n, (term, x) in enumerate(zip(terms, arrays)):
        ones = tuple(axis for axis, c in enumerate(term) if x.shape[axis] == 1 and sizes[c] != 1)
        if ones:
            arrays[n] = squeeze(x, ones)
            terms[n] = "".join(c for axis, c in enumerate(term) if axis not in ones)
