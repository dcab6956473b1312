"""Native code for lowered programs, by LLVM: fused loops over vectors, products by the BLAS that NumPy has loaded.

A stretch of primitives becomes one function `run(table, numbers)`: `table` holds the addresses of arrays, `numbers` the
numbers of this run. Each fused group is one loop nest in a function of its own, made for its shapes; groups of the same
structure share one. Loops are written with vectors to begin with (see `Nest`), so what LLVM has to do is little and the
same everywhere.
"""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import cache
from hashlib import sha256
from math import prod
from pathlib import Path
from typing import Any

import numpy as np

from tinygrad_dl.compiler import functions, stored, threads
from tinygrad_dl.compiler.assembly import BYTES, FLOATS, KINDS, ROWS, Code, Val, constant, constants, kind_of
from tinygrad_dl.compiler.fusion import Group
from tinygrad_dl.compiler.program import (
    CONVOLUTIONS,
    ELEMENTWISE,
    REDUCE,
    NotLowered,
    Number,
    Operand,
    Prim,
    Var,
)
from tinygrad_dl.compiler.sizes import Size
from tinygrad_dl.typing import DTypeLike

try:
    import llvmlite.binding as _binding
except ImportError:  # pragma: no cover
    _binding = None
binding: Any = _binding

WIDTH = 64  # bytes of a vector; LLVM makes several of it where the processor's are shorter
CHUNK = 128  # additions in a row before a sum goes on in another accumulator
SHARED = 256  # elements from which on plain loops take their length as an argument
# Multiplications of a product up to which it is made here, as BLAS is slower: with registers of 512 bits (OpenBLAS
# takes 1.1 to 2 times as long for nearly all shapes up to there) and with shorter ones. To measure again, compile
# `a @ b` of several shapes with `small` replaced.
SMALL, SMALL_SHORT = 3_000_000, 200_000
# The same in a program whose convolutions two threads share. BLAS would let one of them wait while the other writes
# columns, and its own thread waits for work busily, on a core that ours need. A step of the benchmark's wide CNN takes
# 0.6 of the time with it; with shorter registers, as long: there BLAS stays.
SMALL_SHARED = 1 << 25
# Up to how many rows a product with a matrix that lies transposed is made of dot products, which read it once and as it
# lies, and up to how many multiplications, where the memory is what limits.
FEW_ROWS, MANY_DOTS = 2, 1 << 20
DOTS = 8  # of them at a time
# From where on two threads share a loop (elements) or a product (multiplications): to wake a thread takes 10 us.
DIVIDED, DIVIDED_PRODUCT = 1 << 18, 1 << 22
ACCUMULATORS = 10  # of a tile, from which on additions need not wait for each other
BLOCK = 1 << 17  # bytes of a packed panel that are used before the next
PRODUCTS = ("sgemm", "dgemm", "sgemv", "dgemv")  # of BLAS: of two matrices, and of a matrix and a vector
PACKED = 1 << 18  # bytes of a right matrix from which on its panels are packed


def machine() -> Any:
    """The processor that code is made for; an engine owns its own."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=binding.get_host_cpu_name(), features=features().flatten(), opt=2)


def features() -> Any:
    return binding.get_host_cpu_features()


@cache
def registers() -> int:
    """How many vectors of WIDTH bytes the processor's registers hold."""
    have = features()
    if have.get("avx512f"):
        return 32
    return 8 if have.get("avx") or not have.get("sse2") else 4


@cache
def openblas() -> Any:
    """The OpenBLAS that came with NumPy; None if there is none."""
    folder = Path(np.__file__).parent
    for path in [*folder.parent.glob("numpy.libs/*openblas*"), *folder.glob(".dylibs/*openblas*")]:
        try:
            return ctypes.CDLL(str(path))
        except OSError:
            continue
    return None


@cache
def blas() -> dict[str, tuple[int, bool]]:
    """Addresses of NumPy's own PRODUCTS, and whether their integers have 64 bits; empty if there are none."""
    library = openblas()
    for pattern, wide in (
        ("scipy_cblas_{}64_", True), ("cblas_{}64_", True), ("scipy_cblas_{}", False), ("cblas_{}", False),
    ):  # fmt: skip
        if library is not None and all(hasattr(library, pattern.format(name)) for name in PRODUCTS):
            return {
                name: (ctypes.cast(getattr(library, pattern.format(name)), ctypes.c_void_p).value or 0, wide)
                for name in PRODUCTS
            }
    return {}


@cache
def wide_blas() -> bool:
    """Whether NumPy's BLAS uses vectors as long as the processor has; OpenBLAS has none of 512 bits for AMD's."""
    if not features().get("avx512f"):
        return True
    library = openblas()
    for name in (
        "scipy_openblas_get_corename64_",
        "openblas_get_corename64_",
        "scipy_openblas_get_corename",
        "openblas_get_corename",
    ):
        if library is not None and hasattr(library, name):
            f = getattr(library, name)
            f.restype = ctypes.c_char_p
            return (f() or b"").decode() in ("SkylakeX", "Cooperlake", "SapphireRapids")
    return True


@cache
def small(shared: bool = False) -> int:
    """Up to how many multiplications a product is made here and not by BLAS; `shared`: by two threads."""
    if not wide_blas():
        return 1 << 62
    if registers() != 32:
        return SMALL_SHORT
    return SMALL_SHARED if shared else SMALL


@dataclass
class Place:
    """Where an array lies: the entry of the table, elements from its start, and elements from index to index.

    In a part of a program that is repeated, `step` is how many elements further it lies at every turn.
    """

    slot: int
    offset: int
    strides: tuple[int, ...]
    shape: tuple[int, ...]
    dtype: Any
    step: int = 0

    @property
    def contiguous(self) -> bool:
        expected = 1
        for n, s in zip(reversed(self.shape), reversed(self.strides)):
            if n != 1 and s != expected:
                return False
            expected *= n
        return True


def contiguous_strides(shape: Sequence[int]) -> tuple[int, ...]:
    strides, step = [], 1
    for n in reversed(shape):
        strides.append(step)
        step *= n
    return tuple(reversed(strides))


def viewed(kind: str, place: Place, params: dict[str, Any], shape: tuple[int, ...]) -> Place | None:
    """The place of a view of an array; None if the elements would have to move."""
    if kind == "transpose":
        strides = tuple(place.strides[a] for a in params["axes"])
        return replace(place, strides=strides, shape=shape)
    if kind == "broadcast":
        extra = len(shape) - len(place.shape)
        strides = (0,) * extra + tuple(0 if n == 1 else s for n, s in zip(place.shape, place.strides))
        return replace(place, strides=strides, shape=shape)
    if kind == "reshape":
        strides_ = reshaped(place.shape, place.strides, shape)
        return None if strides_ is None else replace(place, strides=strides_, shape=shape)
    if kind == "strided":
        start = (*params["start"], *(0 for _ in place.shape[len(params["start"]) :]))
        offset = place.offset + sum(i * s for i, s in zip(start, place.strides))
        strides = tuple(place.strides[a] * step for a, step, _ in params["axes"])
        return replace(place, offset=offset, strides=strides, shape=shape)
    offset, strides_list = place.offset, []
    axis = 0
    index = list(params["index"])
    if Ellipsis in index:
        at = index.index(Ellipsis)
        index[at : at + 1] = [slice(None)] * (len(place.shape) - sum(p is not None for p in index) + 1)
    index += [slice(None)] * (len(place.shape) - sum(p is not None for p in index))
    for p in index:
        if p is None:
            strides_list.append(0)
            continue
        n, s = place.shape[axis], place.strides[axis]
        axis += 1
        if isinstance(p, slice) and p == slice(None):
            strides_list.append(s)
        elif isinstance(p, slice):
            start_, _, step = p.indices(n)
            offset += start_ * s if prod(shape) else 0
            strides_list.append(step * s)
        else:
            offset += (p % n) * s
    return replace(place, offset=offset, strides=tuple(strides_list), shape=shape)


def reshaped(shape: Sequence[int], strides: Sequence[int], new: Sequence[int]) -> tuple[int, ...] | None:
    """The strides of a view of another shape; None if there is no such view."""
    if not prod(shape):
        return contiguous_strides(new)
    old = [(n, s) for n, s in zip(shape, strides) if n != 1]
    found: list[int] = []
    sizes = list(new)
    i = 0
    while sizes:
        if sizes[0] == 1:
            found.append(0)
            sizes.pop(0)
            continue
        # The fewest old and new axes whose sizes multiply to the same.
        have, want, run, j = old[i][0], sizes[0], 1, i + 1
        while have != want:
            if have < want:
                if old[j - 1][1] != old[j][1] * old[j][0]:
                    return None
                have *= old[j][0]
                j += 1
            else:
                want *= sizes[run]
                run += 1
        step = old[j - 1][1]
        own = []
        for n in reversed(sizes[:run]):
            own.append(step)
            step *= n
        found += reversed(own)
        del sizes[:run]
        i = j
    return tuple(found)


SCRATCH = -1  # in place of an entry of the table: the memory of a part of a program that is repeated
COMPARES = {
    "greater": "gt",
    "greater_equal": "ge",
    "less": "lt",
    "less_equal": "le",
    "equal": "eq",
    "not_equal": "ne",
}
# What a loop with one of these computes takes long enough to be worth no more than one vector at a time.
HEAVY = frozenset("exp expm1 log log1p sigmoid softplus tanh erf power sin cos divide sqrt".split())


#: Elementwise primitives by what they have native code for: any result, numbers, floats.
OF_ANY = frozenset(
    """greater greater_equal less less_equal equal not_equal logical_and logical_or logical_not isnan isinf isfinite
    where cast positive""".split()
)
OF_NUMBERS = frozenset("add subtract multiply negative square maximum minimum sign abs".split())
OF_INTEGERS = frozenset(("floor_divide", "remainder"))
OF_FLOATS = frozenset("divide reciprocal power arctan2 softplus".split()).union(
    functions.INTRINSICS, functions.FUNCTIONS
)


def supported(prim: Prim) -> bool:
    """Whether a primitive has native code."""
    variables = [v for v in (*prim.inputs, *prim.outputs) if isinstance(v, Var)]
    if any(v.dtype.str[1:] not in KINDS or not v.dtype.isnative for v in variables):
        return False
    kinds = {v.dtype.kind for v in variables}
    if prim.kind in ELEMENTWISE or prim.kind == "positive":
        (out,) = prim.outputs
        assert out is not None
        return (
            prim.kind in OF_ANY
            or (prim.kind in OF_NUMBERS and out.dtype.kind in "fi")
            or (prim.kind in OF_FLOATS and out.dtype.kind == "f")
            or (prim.kind in OF_INTEGERS and out.dtype.kind == "i")
        )
    if prim.kind in REDUCE:
        return prim.kind in ("sum", "prod", "max", "min") and kinds <= {"f", "i"}
    if prim.kind == "scatter":
        return prim.outputs[0] is not None and prim.outputs[0].dtype.kind == "f"
    return prim.kind not in ("matmul", *CONVOLUTIONS) or kinds <= {"f"}


def combined(b: Code, kind: str, x: Val, y: Val) -> Val:
    """One more element of a reduction: nan stays visible."""
    if kind in ("sum", "prod"):
        floating = x.kind in FLOATS
        name = {"sum": "add", "prod": "mul"}[kind]
        return b.binary(f"f{name} reassoc nsz contract" if floating else name, x, y)
    condition = "gt" if kind == "max" else "lt"
    if x.kind not in FLOATS:
        return b.select(b.compare(f"s{condition}", x, y), x, y)
    kept = b.binary("or", b.compare(f"o{condition}", x, y), b.compare("uno", x, x))
    return b.select(kept, x, y)


def neutral(kind: str, reduction: str, lanes: int = 1) -> Val:
    if reduction in ("sum", "prod"):
        return constant(kind, 0 if reduction == "sum" else 1, lanes)
    if kind in FLOATS:
        return constant(kind, float("-inf") if reduction == "max" else float("inf"), lanes)
    bits = 8 * BYTES[kind] - 1
    return constant(kind, -(2**bits) if reduction == "max" else 2**bits - 1, lanes)


def folded(b: Code, kind: str, v: Val, rows: int, columns: int, over: str) -> Val:
    """The first rows * columns lanes of a vector reduced over rows or columns, in halves."""
    many, keep = (rows, columns) if over == "rows" else (columns, rows)
    # Where element i of what is reduced lies, for each of what is kept.
    lanes = [
        [k * columns + i if over == "columns" else i * columns + k for k in range(keep)] for i in range(many)
    ]
    while len(lanes) > 1:
        half = -(-len(lanes) // 2)
        none = [v.lanes] * keep  # lane 0 of the second operand
        low = [k for own in lanes[:half] for k in own]
        high = [k for i in range(half) for k in (lanes[i + half] if i + half < len(lanes) else none)]
        x = v if low == list(range(v.lanes)) else b.shuffle(v, low)
        v = combined(b, kind, x, b.shuffle(v, high, neutral(v.kind, kind, v.lanes)))
        lanes = [[i * keep + k for k in range(keep)] for i in range(half)]
    return v if lanes[0] == list(range(v.lanes)) else b.shuffle(v, lanes[0])


@dataclass
class Array:
    """How a loop nest reaches an array (or counts, for what an index is worth): elements from index to index."""

    pointer: Val | None
    kind: str
    steps: list[int]  # by dimension of the nest


@dataclass
class Tile:
    """The elements that a vector holds: `rows` of `columns`, in the first lanes of `lanes`."""

    rows: int
    columns: int
    lanes: int

    @property
    def active(self) -> int:
        return self.rows * self.columns

    def mask(self, lanes: int, active: int) -> Val | None:
        return None if active == lanes else constants("i1", [i < active for i in range(lanes)])


def ceil_power(n: int) -> int:
    return 1 << max(0, n - 1).bit_length()


class Nest:
    """A fused group as a loop nest whose body computes a vector of elements.

    The innermost dimension is the vectors': in pieces of `WIDTH` bytes and one of what remains, or, if its rows are
    shorter, several rows to a vector. A row of up to `fusion.ROW` elements is one vector where the group reduces rows
    and computes on with what came out, such as softmax: see `Group.row`. Reductions are carried in registers through
    all loops that they reduce, which are the inner ones, level by level, so that long sums lose few digits.
    """

    def __init__(self, emitter: Emitter, group: Group, places: dict[int, Place]) -> None:
        self.emitter, self.group = emitter, group
        self.shape, self.stored = group.shape, group.stored
        self.reads = {x.serial: x for x in group.reads()}
        self.variables = {
            **self.reads,
            **{p.outputs[0].serial: p.outputs[0] for p in group.prims if p.outputs[0] is not None},
        }
        self.entries: list[Place] = []
        self._pointers: dict[tuple[int, int, int, str], int] = {}
        self.numbers = sorted({x.index for p in group.prims for x in p.inputs if isinstance(x, Number)})
        self._plan(places)
        #: Whether two threads may share the outermost loop.
        total = prod(self.shape)
        large = total >= DIVIDED and not isinstance(total, Size)
        divisible = large and not emitter.alone and threads.wanted()
        self.divided = divisible and (self.plain or self._separable())

    def _separable(self) -> bool:
        first = self.levels[0]
        return (
            first != self.piece_dim and first not in self.any_reduced and self.sizes[first] > 1
            and not any(self._in_memory(r) for r in range(len(self.reduced)))
        )  # fmt: skip

    @property
    def bounds(self) -> tuple[int, int, int]:
        """Where the outermost loop begins, is divided, and ends."""
        size = self.sizes[0] if self.plain else self.sizes[self.levels[0]]
        return 0, size // 2 // self.width * self.width if self.plain else size // 2, size

    # Plan: dimensions, arrays, tiles

    def _pointer(self, place: Place) -> int:
        key = (place.slot, place.offset, place.step, kind_of(place.dtype))
        if key not in self._pointers:
            self._pointers[key] = len(self.entries)
            self.entries.append(place)
        return self._pointers[key]

    def _plan(self, places: dict[int, Place]) -> None:
        shape, n = self.shape, len(self.shape)
        steps: dict[Any, list[int]] = {}
        self.pointer_of: dict[Any, int] = {}
        self.takes: dict[
            int, tuple[int, int]
        ] = {}  # elements from column to column, and how many columns there are
        takes = {p.inputs[0].serial for p in self.group.prims if p.kind in ("take", "rows")}  # type: ignore[union-attr]

        def spread(place: Place) -> list[int]:
            extra = n - len(place.shape)
            if extra < 0:
                raise NotLowered("shapes")
            own = [0 if size == 1 else s for size, s in zip(place.shape, place.strides)]
            return [0] * extra + own

        for serial in self.reads:
            if serial in takes:
                self.pointer_of[serial] = self._pointer(places[serial])
                continue
            steps[serial] = spread(places[serial])
            self.pointer_of[serial] = self._pointer(places[serial])
        self.reduced: list[tuple[Prim, frozenset[int]]] = []
        for prim in self.group.prims:
            out = prim.outputs[0]
            assert out is not None
            if prim.kind in REDUCE:
                over = frozenset(prim.params["axes"])
                self.reduced.append((prim, over))
                if out.serial in self.stored:
                    place = places[out.serial]
                    self.pointer_of[out.serial] = self._pointer(place)
                    if prim.params["keepdims"]:
                        steps[out.serial] = [0 if i in over else s for i, s in enumerate(place.strides)]
                    else:
                        rest = iter(place.strides)
                        steps[out.serial] = [0 if i in over else next(rest) for i in range(n)]
            elif out.serial in self.stored:
                steps[out.serial] = spread(places[out.serial])
                self.pointer_of[out.serial] = self._pointer(places[out.serial])
            if prim.kind == "iota":
                steps["iota", out.serial] = [
                    int(i == prim.params["axis"] + n - len(out.shape)) for i in range(n)
                ]
            if prim.kind in ("take", "rows"):
                x = prim.inputs[0]
                assert isinstance(x, Var)
                along, across = places[x.serial].strides[:: 1 if prim.kind == "take" else -1]
                steps["take", out.serial] = [*[0] * (n - 1), along]
                self.takes[out.serial] = across, x.shape[1 if prim.kind == "take" else 0]
        axes = [i for i in range(n) if shape[i] != 1]
        row = self.group.row
        reduced_axes = {axis for _, reduced in self.reduced for axis in reduced}
        own_axes = [set(r) for _, r in self.reduced]
        inner = None
        if axes:
            inner = n - 1 if row else max(axes, key=lambda i: (self._worth(steps, i), i))
        outer = [i for i in axes if i != inner]
        outer.sort(key=lambda i: -max((abs(s[i]) for s in steps.values()), default=0))
        order = outer + ([inner] if inner is not None else [])
        dims: list[list[int]] = []
        for i in order:
            if dims and not (row and i == inner):
                j = dims[-1][-1]
                fits = all(s[j] == s[i] * shape[i] for s in steps.values())
                if fits and all((i in r) == (j in r) for r in own_axes):
                    dims[-1].append(i)
                    continue
            dims.append([i])
        if not dims:
            dims = [[]]
        self.sizes = [prod(shape[i] for i in d) for d in dims]
        self.inside = [d[-1] if d else None for d in dims]
        self.steps = {key: [0 if i is None else s[i] for i in self.inside] for key, s in steps.items()}
        self.dims_reduced = [
            frozenset(k for k, i in enumerate(self.inside) if i is not None and i in r)
            for _, r in self.reduced
        ]
        self.any_reduced = {k for k, i in enumerate(self.inside) if i is not None and i in reduced_axes}
        self._choose_tiles(row)

    def _worth(self, steps: dict[Any, list[int]], axis: int) -> float:
        """How well vectors lie along an axis: stores count more than loads, and neighbors most."""
        worth = 0.0
        seldom = {p.outputs[0].serial for p, _ in self.reduced if p.outputs[0] is not None}
        for serial, s in steps.items():
            var = self.variables.get(serial)
            weight = 0.1 if serial in seldom else 2.0 if serial in self.stored else 1.0
            if var is not None and len([d for d in s if d]) == 0:
                continue
            worth += weight * (s[axis] == 1) - weight * (abs(s[axis]) > 1)
        return worth if self.shape[axis] >= 4 else worth - 2.5

    def _choose_tiles(self, row: bool) -> None:
        kinds = [kind_of(v.dtype) for v in self.variables.values()]
        width = WIDTH // max([BYTES[k] for k in kinds if k in FLOATS] or [8])
        self.width = width
        columns = self.sizes[-1]
        rows = self.sizes[-2] if len(self.sizes) > 1 else 1
        heavy = any(p.kind in HEAVY for p in self.group.prims) or len(self.group.prims) > 6
        last = len(self.sizes) - 1
        self.tall = row or (columns <= width // 2 and rows > 1)
        if self.tall:  # several rows to a vector
            if len(self.sizes) == 1:
                self.sizes.insert(0, 1)
                self.inside.insert(0, None)
                self.steps = {key: [0, *s] for key, s in self.steps.items()}
                self.dims_reduced = [frozenset(k + 1 for k in d) for d in self.dims_reduced]
                self.any_reduced = {k + 1 for k in self.any_reduced}
                last += 1
                rows = 1
            many = max(1, min(width // columns, rows))
            self.piece_dim = last - 1
            self.pieces = self._pieces(rows, many)
        else:
            # Sums of few terms at a time are slow; so are rows read in short pieces.
            reduces_outer = any(last not in d and d for d in self.dims_reduced)
            reduces_inner = any(last in d for d in self.dims_reduced)
            if self.reduced and not heavy and (reduces_inner or reduces_outer) and registers() > 4:
                width *= 4
                while width > self.width and width > columns:
                    width //= 2
            self.piece_dim = last
            self.pieces = self._pieces(columns, width)
        # Levels: dimensions that are not reduced, then the reduced ones; the pieces before those where sums over the
        # outer ones could be carried in vectors.
        others = [k for k in range(len(self.sizes)) if k != self.piece_dim and not (self.tall and k == last)]
        free = [k for k in others if k not in self.any_reduced]
        bound = [k for k in others if k in self.any_reduced]
        carried = any(
            (self.piece_dim not in d or self.sizes[self.piece_dim] <= 8 * self.width) and d - {last}
            for d in self.dims_reduced
        )
        self.levels = (
            [*free, self.piece_dim, *bound] if bound and carried else [*free, *bound, self.piece_dim]
        )

    def _pieces(self, size: int, width: int) -> list[tuple[int, int, int]]:
        """(start, how many pieces, width): the whole ones, and what remains.

        Of a size that follows from the number of rows, what remains is handled one by one.
        """
        if isinstance(size, Size):
            return [(0, size, width), *([(width, size, 1)] if width > 1 else [])]
        found = [(0, size // width, width)] if size >= width else []
        rest = size % width
        return [*found, (size - rest, 1, rest)] if rest else found

    @property
    def key(self) -> Any:
        """Everything that the code depends on."""
        local: dict[int, int] = {}

        def name(x: Operand) -> Any:
            if isinstance(x, Var):
                return "v", local.setdefault(x.serial, len(local)), x.dtype.str, x.shape == self.shape
            if isinstance(x, Number):
                return "n", self.numbers.index(x.index)
            return type(x).__name__, repr(x)

        prims = tuple(
            (
                p.kind,
                tuple(map(name, p.inputs)),
                tuple(map(name, p.outputs)),
                p.outputs[0].serial in self.stored,
                tuple(p.params.get("axes", ())),
                p.params.get("axis"),
            )  # fmt: skip
            for p in self.group.prims
            if p.outputs[0] is not None
        )
        steps = tuple(
            (local.get(k, -1) if not isinstance(k, tuple) else (k[0], local[k[1]]), tuple(s))
            for k, s in self.steps.items()
        )
        pointers = tuple((local[k], p) for k, p in self.pointer_of.items())
        sizes = "any" if self.plain else tuple(self.sizes)
        takes = tuple(self.takes.values())
        return (
            prims,
            steps,
            pointers,
            sizes,
            tuple(self.levels),
            self.tall,
            tuple(self.inside),
            takes,
            self.divided and not self.plain,
        )

    @property
    def plain(self) -> bool:
        """One dimension in neighboring elements: the length can be an argument."""
        return (
            len(self.sizes) == 1 and not self.reduced and self.sizes[0] >= SHARED
            and all(s[0] in (0, 1) for s in self.steps.values())
        )  # fmt: skip

    # Code

    def write(self, name: str) -> str:
        b = self.b = Code(self.emitter.declarations)
        arguments = [f"ptr %p{i}" for i in range(len(self.entries))]
        arguments += [f"double %n{i}" for i in range(len(self.numbers))]
        self.given = {index: Val(f"%n{i}", "double") for i, index in enumerate(self.numbers)}
        self.arrays: dict[Any, Array] = {}
        for key, own in self.steps.items():
            pointer = Val(f"%p{self.pointer_of[key]}", "ptr") if key in self.pointer_of else None
            kind = kind_of(self.variables[key].dtype) if pointer is not None else "i64"
            self.arrays[key] = Array(pointer, kind, own)
        if self.plain:
            arguments += ["i64 %first", "i64 %end"]
            self._plain_loops()
        else:
            arguments += ["i64 %first", "i64 %end"] if self.divided else []
            self._initialize()
            self._level(0, {}, None, {})
        b.do("ret void")
        if b.sized:
            arguments.append("i64 %rows")
            self.emitter.sized.add(name)
        return b.text(name, arguments)

    def _plain_loops(self) -> None:
        b, width = self.b, self.width
        first, end = Val("%first", "i64"), Val("%end", "i64")
        values: dict[Any, Val] = {}
        self._load_fixed(values, [0], {}, None)
        whole = b.add(first, b.binary("and", b.sub(end, first), constant("i64", -width)))
        with b.loop(first, whole, width, perhaps=isinstance(self.sizes[0], Size)) as (i, _, _):
            self._body({0: i}, Tile(1, width, width), values)
        rest, done = b.label(), b.label()
        more = b.compare("slt", whole, end)
        b.do(f"br i1 {more.text}, label %{rest}, label %{done}")
        b.start(rest)
        with b.loop(whole, end, 1) as (i, _, _):
            self._body({0: i}, Tile(1, 1, 1), values)
        b.do(f"br label %{done}")
        b.start(done)

    def _first_kept(self, r: int) -> int:
        """The level from which on a reduction's result is carried: all loops from there on are ones that it reduces."""
        first = len(self.levels)
        while first and self.levels[first - 1] in self.dims_reduced[r]:
            first -= 1
        return first

    def _in_memory(self, r: int) -> bool:
        """Whether loops further out are reduced too, so that results are gathered in memory."""
        return any(k in self.dims_reduced[r] for k in self.levels[: self._first_kept(r)])

    def _initialize(self) -> None:
        """Results that are gathered in memory begin with what changes nothing."""
        b = self.b
        for r, (prim, _) in enumerate(self.reduced):
            out = prim.outputs[0]
            assert out is not None
            if out.serial not in self.stored or not self._in_memory(r):
                continue
            array = self.arrays[out.serial]
            kept = [k for k, n in enumerate(self.sizes) if k not in self.dims_reduced[r] and n > 1]
            with ExitStack() as stack:
                index = {}
                for k in kept:
                    i, _, _ = stack.enter_context(
                        b.loop(constant("i64", 0), constant("i64", self.sizes[k]), 1)
                    )
                    index[k] = i
                b.store(neutral(array.kind, prim.kind), self._address(array, index))

    def _level(
        self, level: int, index: dict[int, Val], tile: Tile | None, values: dict[Any, Val]
    ) -> dict[int, Val]:
        """The loops from a level on; gives the results so far of the reductions that go on above."""
        if level == len(self.levels):
            assert tile is not None
            return self._written(level, index, tile, self._body(index, tile, values))
        dim = self.levels[level]
        open_ = [r for r in range(len(self.reduced)) if self._first_kept(r) <= level]
        results: dict[int, Val] = {}
        pieces = self.pieces if dim == self.piece_dim else [(0, self.sizes[dim], 1)]
        for start, count, width in pieces:
            inside = tile
            if dim == self.piece_dim:
                columns = self.sizes[-1] if self.tall else width
                rows = width if self.tall else 1
                inside = Tile(rows, columns, ceil_power(rows * columns))
            own = dict(values)
            self._load_fixed(own, self.levels[level:], index, inside)
            found = self._loop(level, start, count, width, index, inside, own, open_)
            for r, v in found.items():
                if dim == self.piece_dim:
                    assert inside is not None
                    v = self._closed(r, v, inside)
                results[r] = combined(self.b, self.reduced[r][0].kind, results[r], v) if r in results else v
        return self._written(level, index, tile, results)

    def _loop(
        self, level: int, start: int, count: int, width: int, index: dict[int, Val], tile: Tile | None,
        values: dict[Any, Val], open_: list[int],
    ) -> dict[int, Val]:  # fmt: skip
        b, dim = self.b, self.levels[level]
        at, last, perhaps = constant("i64", start), constant("i64", start), False
        if isinstance(count, Size):  # whole pieces up to a multiple of their width, or what remains
            size = constant("i64", count)
            span = start or width
            cut = b.sub(size, b.binary("urem", size, constant("i64", span))) if span > 1 else size
            at, last = (cut, size) if start else (at, cut)
            perhaps = span > 1
        else:
            last = constant("i64", start + count * width)
        if level == 0 and self.divided:
            with b.loop(Val("%first", "i64"), Val("%end", "i64"), 1) as (i, _, _):
                self._level(1, {dim: i}, tile, values)
            return {}
        if count == 1:
            return self._level(level + 1, {**index, dim: at}, tile, values)
        kinds = [self.reduced[r][0].kind for r in open_]
        units = [self._unit(r, level, tile) for r in open_]

        def once(first: Val, end: Val) -> list[Val]:
            with b.loop(first, end, width, units, perhaps) as (i, have, new):
                found = self._level(level + 1, {**index, dim: i}, tile, values)
                new += [combined(b, k, h, found[r]) for k, h, r in zip(kinds, have, open_)]
            return new

        few = bool(start) if isinstance(count, Size) else count <= 2 * CHUNK
        if few or not open_:
            return dict(zip(open_, once(at, last)))
        # Two loops, so that no accumulator takes many additions.
        if isinstance(count, Size):
            perhaps = True
            whole = b.sub(last, b.binary("urem", last, constant("i64", CHUNK * width)))
        else:
            whole = constant("i64", start + count // CHUNK * CHUNK * width)
        with b.loop(at, whole, CHUNK * width, units, perhaps) as (i, have, new):
            parts = once(i, b.add(i, constant("i64", CHUNK * width)))
            new += [combined(b, k, h, p) for k, h, p in zip(kinds, have, parts)]
        if isinstance(count, Size) or count % CHUNK:
            parts = once(whole, last)
            new = [combined(b, k, h, p) for k, h, p in zip(kinds, new, parts)]
        return dict(zip(open_, new))

    def _form(self, r: int, level: int, tile: Tile | None) -> Tile:
        """What a reduction's value is inside of the loop of a level: which elements it stands for."""
        last = len(self.sizes) - 1
        reduced = self.dims_reduced[r]
        if level >= self.levels.index(self.piece_dim):
            assert tile is not None
            if self.tall and last in reduced and self.piece_dim not in reduced:
                return Tile(tile.rows, 1, tile.rows)
            return tile
        if self.tall and last not in reduced:
            return Tile(1, self.sizes[last], self.sizes[last])
        return Tile(1, 1, 1)

    def _unit(self, r: int, level: int, tile: Tile | None) -> Val:
        prim = self.reduced[r][0]
        out = prim.outputs[0]
        assert out is not None
        return neutral(kind_of(out.dtype), prim.kind, self._form(r, level, tile).lanes)

    def _closed(self, r: int, v: Val, tile: Tile) -> Val:
        """A result after the loop over pieces: its lanes put together as far as they are reduced."""
        prim, last = self.reduced[r][0], len(self.sizes) - 1
        reduced = self.dims_reduced[r]
        if self.piece_dim not in reduced:
            return v
        if self.tall and last not in reduced:
            return folded(self.b, prim.kind, v, tile.rows, tile.columns, "rows")
        return folded(self.b, prim.kind, v, 1, tile.active, "columns")

    def _written(
        self, level: int, index: dict[int, Val], tile: Tile | None, results: dict[int, Val]
    ) -> dict[int, Val]:
        """Store the results that are complete here; the others go on."""
        b = self.b
        rest: dict[int, Val] = {}
        for r, v in results.items():
            if self._first_kept(r) != level:
                rest[r] = v
                continue
            prim = self.reduced[r][0]
            out = prim.outputs[0]
            assert out is not None
            if out.serial not in self.stored:
                continue
            form = self._form(r, level - 1, tile)
            if self.piece_dim in self.dims_reduced[r] and level > self.levels.index(self.piece_dim):
                # Loops inside of that over pieces are not reduced: every piece is closed at once.
                assert tile is not None
                v, form = self._closed(r, v, tile), self._form(r, -1, None)
            array = self.arrays[out.serial]
            own = {k: i for k, i in index.items() if k not in self.dims_reduced[r]}
            if self._in_memory(r):
                v = combined(b, prim.kind, b.splat(self._load(array, own, form), form.lanes), v)
            self._store(array, v, own, form)
        return rest

    # Memory

    def _offset(self, array: Array, index: dict[int, Val]) -> Val | None:
        b = self.b
        total: Val | None = None
        for k, i in index.items():
            step = array.steps[k]
            if not step or i.text == "0":
                continue
            term = i if step == 1 else b.binary("mul nsw", i, constant("i64", step))
            total = term if total is None else b.binary("add nsw", total, term)
        return total

    def _address(self, array: Array, index: dict[int, Val]) -> Val:
        assert array.pointer is not None
        at = self._offset(array, index)
        return array.pointer if at is None else self.b.at(array.pointer, at, array.kind)

    def _tile_steps(self, array: Array, tile: Tile) -> tuple[int, int]:
        """Elements from row to row and from column to column; 0 where there is but one."""
        rows = array.steps[self.piece_dim] if self.tall and tile.rows > 1 else 0
        return rows, array.steps[-1] if tile.columns > 1 else 0

    def _load(self, array: Array, index: dict[int, Val], tile: Tile) -> Val:
        """The elements of a tile; one scalar if they are all the same."""
        b, (rows, columns) = self.b, self._tile_steps(array, tile)
        n, r, c = tile.lanes, tile.rows, tile.columns
        if array.pointer is None:  # an index
            at = self._offset(array, index)
            base = constant("i64", 0) if at is None else at
            if not rows and not columns:
                return base
            own = constants(
                "i64", [(i // c) * rows + (i % c) * columns if i < tile.active else 0 for i in range(n)]
            )
            return b.add(b.splat(base, n), own)
        base = self._address(array, index)
        if not rows and not columns:
            return self._truth(b.load(base, array.kind))
        if (rows, columns) == (c, 1) or (r == 1 and columns == 1) or (c == 1 and rows == 1):
            return self._truth(b.load(base, array.kind, n, tile.mask(n, tile.active)))
        if 1 <= columns <= 4 and c > 3 and (r == 1 or rows):  # row by row
            parts = []
            for i in range(r):
                at = base if not i else b.at(base, constant("i64", i * rows), array.kind)
                if columns == 1:
                    parts.append(b.load(at, array.kind, c))
                    continue
                # Neighbors are read at once and every second (third, fourth) is taken; nothing beyond the last.
                span = (c - 1) * columns + 1
                whole = ceil_power(span)
                near = b.load(at, array.kind, whole, tile.mask(whole, span))
                parts.append(b.shuffle(near, [k * columns for k in range(c)]))
            return self._truth(self._side_by_side(parts, n))
        if not columns or not rows:
            many, step = (r, rows) if not columns else (c, columns)
            part = (
                b.load(base, array.kind, many)
                if step == 1
                else b.gather(self._spread(base, array.kind, [i * step for i in range(many)]), array.kind)
            )
            part = self._truth(part)
            order = [(i // c if not columns else i % c) if i < tile.active else -1 for i in range(n)]
            return part if order == list(range(many)) else b.shuffle(part, order)
        offsets = [(i // c) * rows + (i % c) * columns if i < tile.active else 0 for i in range(n)]
        return self._truth(
            b.gather(self._spread(base, array.kind, offsets), array.kind, tile.mask(n, tile.active))
        )

    def _side_by_side(self, parts: list[Val], lanes: int) -> Val:
        """Short vectors one after the other in a longer one."""
        size = parts[0].lanes
        while len(parts) > 1:
            joined = [self.b.shuffle(x, range(2 * size), y) for x, y in zip(parts[::2], parts[1::2])]
            if len(parts) % 2:
                joined.append(self.b.shuffle(parts[-1], [*range(size), *[-1] * size]))
            parts, size = joined, 2 * size
        order = [i if i < size else -1 for i in range(lanes)]
        return parts[0] if size == lanes else self.b.shuffle(parts[0], order)

    def _spread(self, base: Val, kind: str, offsets: list[int]) -> Val:
        return self.b.at(base, self.b.indices(offsets), kind)

    def _truth(self, v: Val) -> Val:
        return self.b.convert("trunc", v, "i1") if v.kind == "i8" else v

    def _store(self, array: Array, v: Val, index: dict[int, Val], tile: Tile) -> None:
        b, (rows, columns) = self.b, self._tile_steps(array, tile)
        n, r, c = tile.lanes, tile.rows, tile.columns
        v = b.splat(v, n)
        if v.kind == "i1":
            v = b.convert("zext", v, "i8")
        base = self._address(array, index)
        if n == 1:
            b.store(v, base)
        elif (rows, columns) == (c, 1) or (r == 1 and columns == 1) or (c == 1 and rows == 1):
            b.store(v, base, tile.mask(n, tile.active))
        elif 1 <= columns <= 4 and c > 3 and (r == 1 or rows):
            whole = ceil_power((c - 1) * columns + 1)
            for i in range(r):
                at = base if not i else b.at(base, constant("i64", i * rows), array.kind)
                if columns == 1:
                    b.store(b.shuffle(v, range(i * c, i * c + c)), at)
                    continue
                hits = [k % columns == 0 and k // columns < c for k in range(whole)]
                wide = b.shuffle(v, [i * c + k // columns if hit else -1 for k, hit in enumerate(hits)])
                b.store(wide, at, constants("i1", hits))
        else:
            offsets = [(i // c) * rows + (i % c) * columns if i < tile.active else 0 for i in range(n)]
            b.scatter(v, self._spread(base, array.kind, offsets), tile.mask(n, tile.active))

    def _load_fixed(
        self, values: dict[Any, Val], ahead: Sequence[int], index: dict[int, Val], tile: Tile | None
    ) -> None:
        """Load what the loops ahead do not change, before them."""
        for serial in self.reads:
            array = self.arrays.get(serial)
            if array is None or serial in values or any(array.steps[k] for k in ahead):
                continue
            if tile is None and array.steps[-1]:
                continue
            values[serial] = self._load(array, index, Tile(1, 1, 1) if tile is None else tile)

    # The body

    def _body(self, index: dict[int, Val], tile: Tile, fixed: dict[Any, Val]) -> dict[int, Val]:
        """All primitives for one tile; gives what each reduction takes from it."""
        b = self.b
        values = dict(fixed)
        rows: dict[int, Val] = {}  # values that belong to rows, not to elements
        row = Tile(tile.rows, 1, tile.rows)
        found: dict[int, Val] = {}
        last = len(self.sizes) - 1

        def value(x: Operand, dtype: DTypeLike, form: Tile) -> Val:
            """An operand, converted, in every lane."""
            if isinstance(x, Var):
                of_row = form is row and self.tall
                if x.serial in rows:
                    v = rows[x.serial]
                    if not of_row and v.lanes > 1:
                        key = "wide", x.serial
                        if key not in values:
                            order = [i // tile.columns if i < tile.active else -1 for i in range(tile.lanes)]
                            values[key] = b.shuffle(v, order)
                        v = values[key]
                else:
                    v = values[("row", x.serial) if of_row else x.serial]
                return b.splat(self._converted(v, x.dtype, dtype), form.lanes)
            if isinstance(x, Number):
                return b.splat(self._converted(self.given[x.index], np.dtype(float), dtype), form.lanes)
            return self._constant(x, dtype, form.lanes)

        # Everything is read before anything is written, as some is written where it was read.
        for prim in self.group.prims:
            of_row = self._of_row(prim)
            for x in prim.reads():
                key: Any = ("row", x.serial) if of_row else x.serial
                if x.serial in self.arrays and x.serial in self.reads and key not in values:
                    values[key] = self._load(self.arrays[x.serial], index, row if of_row else tile)
        reduction = 0
        for prim in self.group.prims:
            out = prim.outputs[0]
            assert out is not None
            if prim.kind in REDUCE:
                v = value(prim.inputs[0], out.dtype, tile)
                reduced = self.dims_reduced[reduction]
                if self.tall and last in reduced and self.piece_dim not in reduced:
                    v = folded(b, prim.kind, v, tile.rows, tile.columns, "columns")
                    if reduced == {last}:
                        rows[out.serial] = v
                found[reduction] = v
                reduction += 1
                continue
            form = row if self._of_row(prim) else tile
            if prim.kind in ("take", "rows"):
                v = self._taken(prim, index, form, value)
            elif prim.kind == "iota":
                v = self._load(self.arrays["iota", out.serial], index, form)
            else:
                v = self._compute(prim, value, out, form)
            if form is row and self.tall:
                rows[out.serial] = v
            else:
                values[out.serial] = v
            if out.serial in self.stored:
                self._store(self.arrays[out.serial], v, index, form)
        return found

    def _of_row(self, prim: Prim) -> bool:
        """Whether a primitive computes one value for each row."""
        out = prim.outputs[0]
        assert out is not None
        return self.group.row and prim.kind not in REDUCE and self.shape[-1] != 1 and out.shape != self.shape

    def _taken(self, prim: Prim, index: dict[int, Val], form: Tile, value: Callable[..., Val]) -> Val:
        """x[i, column[i]], or x[row[i], j]."""
        b = self.b
        x, at = prim.inputs
        out = prim.outputs[0]
        assert isinstance(x, Var) and out is not None
        one = Tile(1, 1, 1)
        column = value(at, np.dtype(np.int64), one)
        step, columns = self.takes[out.serial]
        near = self.arrays["take", out.serial].steps[-1] == 1 and form.rows == 1
        if (
            column.lanes == 1 and form.lanes > 1 and near
        ):  # the same row for all lanes, whose elements are neighbors
            row = self._clamped(column, columns)
            start = self._load(self.arrays["take", out.serial], index, one)
            at_ = b.add(start, b.mul(row, constant("i64", step)))
            pointer = b.at(Val(f"%p{self.pointer_of[x.serial]}", "ptr"), at_, kind_of(x.dtype))
            mask = form.mask(form.lanes, form.active)
            return self._truth(b.load(pointer, kind_of(x.dtype), form.lanes, mask))
        column = self._clamped(b.splat(column, form.lanes), columns)
        start = b.splat(self._load(self.arrays["take", out.serial], index, form), form.lanes)
        here = b.add(start, b.mul(column, b.splat(constant("i64", step), form.lanes)))
        kind = kind_of(x.dtype)
        pointer = b.at(Val(f"%p{self.pointer_of[x.serial]}", "ptr"), here, kind)
        if form.lanes == 1:
            return self._truth(b.load(pointer, kind))
        return self._truth(b.gather(pointer, kind, form.mask(form.lanes, form.active)))

    def _clamped(self, i: Val, count: int) -> Val:
        """An index, such that nothing beyond an array is read."""
        b, zero = self.b, constant("i64", 0, i.lanes)
        most = b.splat(constant("i64", count - 1), i.lanes)
        i = b.select(b.compare("slt", i, zero), zero, i)
        return b.select(b.compare("sgt", i, most), most, i)

    def _constant(self, x: complex | None, dtype: DTypeLike, lanes: int) -> Val:
        assert x is not None and not isinstance(x, complex)
        kind = np.dtype(dtype)
        if kind.kind == "b":
            return constant("i1", bool(x), lanes)
        return constant(kind_of(kind), x, lanes)

    def _converted(self, v: Val, dtype: DTypeLike, to: DTypeLike) -> Val:
        b = self.b
        dtype, to = np.dtype(dtype), np.dtype(to)
        if dtype == to:
            return v
        if to.kind == "b":
            return b.compare("une" if v.kind in FLOATS else "ne", v, constant(v.kind, 0, v.lanes))
        kind = kind_of(to)
        if dtype.kind == "b":
            return b.convert("uitofp" if kind in FLOATS else "zext", v, kind)
        wider = to.itemsize > dtype.itemsize
        if v.kind in FLOATS and kind in FLOATS:
            return b.convert("fpext" if wider else "fptrunc", v, kind)
        if v.kind in FLOATS:  # saturating: no value of an array's may be undefined
            own = f"llvm.fptosi.sat.{_suffix(kind, v.lanes)}.{_suffix(v.kind, v.lanes)}"
            return b.call(own, kind, v)
        if kind in FLOATS:
            return b.convert("sitofp", v, kind)
        return b.convert("sext" if wider else "trunc", v, kind)

    def _compute(self, prim: Prim, value: Callable[..., Val], out: Var, form: Tile) -> Val:
        """An elementwise primitive's instructions."""
        b, kind, xs, dtype = self.b, prim.kind, prim.inputs, out.dtype
        if kind in COMPARES:
            common = _common(xs)
            x, y = (value(v, common, form) for v in xs)
            if x.kind in FLOATS:
                return b.compare(("u" if kind == "not_equal" else "o") + COMPARES[kind], x, y)
            sign = "" if kind in ("equal", "not_equal") else "s"
            return b.compare(sign + COMPARES[kind], x, y)
        if kind in ("logical_and", "logical_or"):
            return b.binary(kind[8:], value(xs[0], bool, form), value(xs[1], bool, form))
        if kind == "logical_not":
            return b.binary("xor", value(xs[0], bool, form), constant("i1", True, form.lanes))
        if kind in ("isnan", "isinf", "isfinite"):
            common = _common(xs)
            x = value(xs[0], common, form)
            if x.kind not in FLOATS:
                return constant("i1", kind == "isfinite", form.lanes)
            if kind == "isnan":
                return b.compare("uno", x, x)
            name = "oeq" if kind == "isinf" else "olt"
            return b.compare(name, b.intrinsic("fabs", x), constant(x.kind, float("inf"), x.lanes))
        if kind == "where":
            return b.select(value(xs[0], bool, form), value(xs[1], dtype, form), value(xs[2], dtype, form))
        if kind in ("cast", "positive"):
            return value(xs[0], dtype, form)
        if dtype.kind == "b":
            raise NotLowered(f"{kind} of truth values")
        v = [value(x, dtype, form) for x in xs]
        if kind in ("add", "subtract", "multiply"):
            return {"add": b.add, "subtract": b.sub, "multiply": b.mul}[kind](*v)
        if kind == "negative":
            return b.neg(v[0])
        if kind == "square":
            return b.mul(v[0], v[0])
        floating = v[0].kind in FLOATS
        zero, one = constant(v[0].kind, 0, form.lanes), constant(v[0].kind, 1, form.lanes)
        if kind in ("maximum", "minimum"):
            condition = "gt" if kind == "maximum" else "lt"
            if not floating:
                return b.select(b.compare(f"s{condition}", *v), *v)
            chosen = b.select(b.compare(f"o{condition}", *v), *v)
            return b.select(b.compare("uno", v[0], v[0]), v[0], chosen)
        if kind == "sign":
            up, down = (b.compare(("o" if floating else "s") + c, v[0], zero) for c in ("gt", "lt"))
            y = b.select(
                up, one, b.select(down, b.neg(one) if floating else constant(one.kind, -1, form.lanes), zero)
            )
            return b.select(b.compare("uno", v[0], v[0]), v[0], y) if floating else y
        if not floating:
            if kind == "abs":
                return b.select(b.compare("slt", v[0], zero), b.neg(v[0]), v[0])
            if kind in ("floor_divide", "remainder"):
                return self._divided(kind, *v)
            raise NotLowered(f"{kind} of integers")
        if kind == "divide":
            return b.div(*v)
        if kind == "reciprocal":
            return b.div(one, v[0])
        if kind == "power":
            if xs[1] in (3, 4) and not isinstance(xs[1], (Var, Number)):
                two = b.mul(v[0], v[0])
                return b.mul(two, v[0] if xs[1] == 3 else two)
            return b.intrinsic("pow", *v)
        if kind == "arctan2":
            return b.intrinsic("atan2", *v)
        if kind == "softplus":
            tail = functions.log1p(b, functions.exp(b, b.neg(b.intrinsic("fabs", v[0]))))
            return b.add(b.select(b.compare("olt", v[0], zero), zero, v[0]), tail)
        try:
            return functions.function(b, kind, v[0])
        except KeyError:
            raise NotLowered(kind) from None

    def _divided(self, kind: str, x: Val, y: Val) -> Val:
        """The quotient of integers rounded down, or what remains; as NumPy has it, 0 for a divisor of 0."""
        b = self.b
        zero, one = constant(x.kind, 0, x.lanes), constant(x.kind, 1, x.lanes)
        none, minus = b.compare("eq", y, zero), b.compare("eq", y, constant(x.kind, -1, x.lanes))
        safe = b.select(b.binary("or", none, minus), one, y)  # the least integer has no opposite
        q = b.binary("sdiv", x, safe)
        r = b.sub(x, b.mul(q, safe))
        signs = b.compare("slt", b.binary("xor", r, safe), zero)
        down = b.binary("and", b.compare("ne", r, zero), signs)
        if kind == "remainder":
            return b.select(down, b.add(r, safe), r)
        q = b.select(down, b.sub(q, one), q)
        return b.select(none, zero, b.select(minus, b.neg(x), q))


def _suffix(kind: str, lanes: int) -> str:
    own = {"float": "f32", "double": "f64"}.get(kind, kind)
    return own if lanes == 1 else f"v{lanes}{own}"


def _common(xs: Sequence[Operand]) -> Any:
    """The dtype in which NumPy compares."""
    arrays = [np.empty(x.shape and (0,), x.dtype) for x in xs if isinstance(x, Var)]
    numbers = [0.0 if isinstance(x, Number) else x for x in xs if not isinstance(x, Var)]
    common = np.result_type(*arrays, *[n for n in numbers if n is not None])
    return np.dtype(np.int64) if common.kind == "b" else common


@dataclass
class Repeated:
    """A part of a program that is called for some turns: its function, and the bytes that it needs."""

    name: str
    nbytes: int = 0


class Emitter:
    """Writes one module: functions for groups and small products, and the `run...` that call them in order."""

    def __init__(self) -> None:
        self.declarations: set[str] = set()
        self.texts: list[str] = []
        self.functions: list[str] = []
        self.addresses: dict[str, int] = {}  # of this process, by name
        self._made: dict[Any, str] = {}
        self._workspaces: dict[str, tuple[int, tuple[int, int, int]]] = {}
        self.workspace = 0  # bytes that products need to pack panels, at the address in entry 1 of the table
        self.sized: set[str] = (
            set()
        )  # functions that are given the number of rows, which entry 2 of the table holds
        self.alone = False  # whether what is written now has but one thread
        self.shared = False  # whether two threads share the program's convolutions: see SMALL_SHARED
        self._turn: Val | None = None  # of a part that is repeated

    def begin(self) -> int:
        """Start a function of the program, to which the following groups and products belong; its number."""
        self.functions.append(f"run{len(self.functions)}")
        self._start()
        self.b.do("%place = getelementptr inbounds ptr, ptr %table, i64 1")
        self.b.do("%workspace = load ptr, ptr %place")
        return len(self.functions) - 1

    def _start(self) -> None:
        self.b = Code(self.declarations)
        self._slots: dict[int, Val] = {}
        self._loaded: dict[int, Val] = {}
        self.b.do("%count = getelementptr inbounds i64, ptr %table, i64 2")
        self.b.lines.append(ROWS)

    def end(self) -> None:
        """Finish the function that was begun last."""
        self.b.do("ret i32 0")
        self.texts.append(self.b.text(self.functions[-1], ["ptr %table", "ptr %numbers"], "i32"))

    @contextmanager
    def repeated(self, name: str, alone: bool, scratch: Callable[[], int]) -> Iterator[Repeated]:
        """A function `name` of what is written inside, to be called for a number of turns: see `repeat`.

        `scratch` tells, when all is written, how many bytes it needs in memory of its own.
        """
        outside = self.b, self._slots, self._loaded, self.workspace, self.alone
        self._start()
        self.workspace, self.alone = 0, self.alone or alone
        part = Repeated(name)
        yield part
        self.b.do("ret void")
        begin = -(-scratch() // 64) * 64
        self.b.heads.append(f"  %workspace = getelementptr inbounds i8, ptr %scratch, i64 {begin}")
        part.nbytes = -(-(begin + self.workspace) // 64) * 64
        arguments = ["ptr %table", "ptr %numbers", "ptr %scratch", "i64 %first", "i64 %end"]
        self.texts.append(self.b.text(name, arguments))
        self.b, self._slots, self._loaded, self.workspace, self.alone = outside

    @contextmanager
    def turns(self) -> Iterator[None]:
        """The loop of a part over its turns: what is written inside is done at each."""
        with self.b.loop(Val("%first", "i64"), Val("%end", "i64"), 1, perhaps=True) as (i, _, _):
            self._turn = i
            yield
            self._turn = None

    def repeat(self, part: Repeated, turns: int, scratch: Place, divided: bool) -> None:
        """Call a part for a number of turns, in two threads if it is divided; each half has a memory of its own."""
        b = self.b
        count, given = constant("i64", turns), self.address(scratch)
        if not divided:
            b.do(
                f"call void @{part.name}(ptr %table, ptr %numbers, ptr {given.text}, i64 0, i64 {count.text})"
            )
            return
        c = Code(self.declarations)
        table, numbers, own = (
            c.load(c.at(Val("%args", "ptr"), constant("i64", i), "ptr"), "ptr") for i in range(3)
        )
        c.do(f"%count = getelementptr inbounds i64, ptr {table.text}, i64 2")
        c.lines.append(ROWS)
        second = c.compare("ne", Val("%which", "i64"), constant("i64", 0))
        middle = c.binary("udiv", count, constant("i64", 2))
        first = c.select(second, middle, constant("i64", 0))
        end = c.select(second, count, middle)
        own = c.at(own, c.mul(Val("%which", "i64"), constant("i64", part.nbytes)), "i8")
        words = f"ptr {table.text}, ptr {numbers.text}, ptr {own.text}, i64 {first.text}, i64 {end.text}"
        c.do(f"call void @{part.name}({words})")
        c.do("ret void")
        self.texts.append(c.text(f"half.{part.name}", ["ptr %args", "i64 %which"]))
        self._in_halves(f"half.{part.name}", [Val("%table", "ptr"), Val("%numbers", "ptr"), given])

    def address(self, place: Place) -> Val:
        """Where an array begins."""
        b, kind = self.b, kind_of(place.dtype)
        if place.slot == SCRATCH:
            base = Val("%scratch", "ptr")
        else:
            if place.slot not in self._slots:
                at = b.at(Val("%table", "ptr"), constant("i64", place.slot), "ptr")
                self._slots[place.slot] = b.load(at, "ptr")
            base = self._slots[place.slot]
        if place.offset:
            base = b.at(base, constant("i64", place.offset), kind)
        if place.step and self._turn is not None:
            base = b.at(base, b.mul(self._turn, constant("i64", place.step)), kind)
        return base

    def number(self, index: int) -> Val:
        if index not in self._loaded:
            self._loaded[index] = self.b.load(
                self.b.at(Val("%numbers", "ptr"), constant("i64", index), "double"), "double"
            )
        return self._loaded[index]

    def group(self, group: Group, places: dict[int, Place]) -> None:
        """One loop nest: its primitives computed element by element; stored results are written to their places."""
        if not prod(group.shape):
            for prim in group.prims:
                self._fill_empty(prim, places)
            return
        nest = Nest(self, group, places)
        name = self._made.get(key := nest.key)
        if name is None:
            name = self._made[key] = f"group{len(self._made)}"
            self.texts.append(nest.write(name))
        args = [*(self.address(p) for p in nest.entries), *(self.number(i) for i in nest.numbers)]
        if nest.divided:
            start, middle, end = nest.bounds
            self._divide(name, args, [(start, middle), (middle, end)])
        else:
            args += [constant("i64", 0), constant("i64", nest.sizes[0])] if nest.plain else []
            args += [Val("%rows", "i64")] if name in self.sized else []
            self.b.do(f"call void @{name}({', '.join(f'{x.type} {x.text}' for x in args)})")

    def _divide(
        self, name: str, args: list[Val], halves: Sequence[Sequence[int]], workspace: int = 0
    ) -> None:
        """Call a function for both halves of its work, in two threads; its last arguments are those of a half.

        With a workspace, which is the last argument before these, each half has its own.
        """
        key = "halves", name, tuple(map(tuple, halves)), workspace
        half = self._made.get(key)
        if half is None:
            half = self._made[key] = f"half{len(self._made)}"
            c = Code(self.declarations)
            second = c.compare("ne", Val("%which", "i64"), constant("i64", 0))
            own = [
                c.load(c.at(Val("%args", "ptr"), constant("i64", i), "i64"), x.kind)
                for i, x in enumerate(args)
            ]
            if workspace:
                own[-1] = c.at(own[-1], c.mul(Val("%which", "i64"), constant("i64", workspace)), "i8")
            own += [c.select(second, constant("i64", y), constant("i64", x)) for x, y in zip(*halves)]
            c.do(f"call void @{name}({', '.join(f'{x.type} {x.text}' for x in own)})")
            c.do("ret void")
            self.texts.append(c.text(half, ["ptr %args", "i64 %which"]))
        self._in_halves(half, args)

    def _in_halves(self, half: str, args: Sequence[Val]) -> None:
        """Call a function for both halves of some work, in two threads: its arguments are a record, and which half."""
        b, pool = self.b, threads.pool()
        record = Val(f"%record{len(b.lines)}", "ptr")
        b.heads.append(f"  {record.text} = alloca [{len(args)} x i64], align 8")  # once, not at every turn
        for i, x in enumerate(args):
            b.do(f"store {x.type} {x.text}, ptr {b.at(record, constant('i64', i), 'i64').text}, align 8")
        parallel, own = self._outside("parallel", pool.parallel), self._outside("pool", pool.address)
        b.do(f"call void {parallel.text}(ptr {own.text}, ptr @{half}, ptr {record.text})")

    def _outside(self, name: str, address: int) -> Val:
        """An address of this process, which is put into the module once it is loaded: code is kept without it."""
        self.addresses[name] = address
        self.declarations.add(f"@outside.{name} = global i64 0")
        return self.b._new(f"load ptr, ptr @outside.{name}", "ptr", 1)

    def _fill_empty(self, prim: Prim, places: dict[int, Place]) -> None:
        """What reductions of nothing give."""
        (out,) = prim.outputs
        if prim.kind in REDUCE and out is not None and out.size and out.serial in places:
            kind, b = kind_of(out.dtype), self.b
            base = self.address(places[out.serial])
            with b.loop(constant("i64", 0), constant("i64", out.size), 1) as (i, _, _):
                b.store(neutral(kind, prim.kind), b.at(base, i, kind))

    def check_classes(self, place: Place, n: int, classes: int, ignored: int | None) -> None:
        """Return 1 from `run` if a class index is out of range, and not the one that is ignored."""
        b = self.b
        if not n:
            return
        base, kind = self.address(place), kind_of(place.dtype)
        step = place.strides[0] if len(place.shape) == 1 else 1
        assert len(place.shape) == 1 or place.contiguous
        zero = constant("i1", False)
        with b.loop(constant("i64", 0), constant("i64", n), 1, [zero]) as (i, (have,), new):
            v = b.load(b.at(base, b.mul(i, constant("i64", step)), kind), kind)
            wrong = b.compare("uge", v, constant(kind, classes))
            if ignored is not None:
                wrong = b.binary("and", wrong, b.compare("ne", v, constant(kind, ignored)))
            new.append(b.binary("or", have, wrong))
        bad, good = b.label(), b.label()
        b.do(f"br i1 {new[0].text}, label %{bad}, label %{good}")
        b.start(bad)
        b.do("ret i32 1")
        b.start(good)

    def scatter(self, x: Place, at: Place, out: Place) -> None:
        """Add the rows of x, whose elements are neighbors, to rows of `out`."""
        b, kind = self.b, kind_of(out.dtype)
        width = WIDTH // BYTES[kind]
        columns, whole = out.shape[1], out.shape[1] // width * width
        source, target = self.address(x), self.address(out)
        most = constant("i64", out.shape[0] - 1)
        with b.loop(constant("i64", 0), constant("i64", x.shape[0]), 1) as (i, _, _):
            row = b.load(
                b.at(self.address(at), b.mul(i, constant("i64", at.strides[0])), kind_of(at.dtype)),
                kind_of(at.dtype),
            )
            row = row if row.kind == "i64" else b.convert("sext", row, "i64")
            row = b.select(b.compare("ult", row, most), row, most)  # nothing beyond the table is written
            first = b.at(source, b.mul(i, constant("i64", x.strides[0])), kind)
            there = b.at(target, b.mul(row, constant("i64", columns)), kind)

            def added(j: Val, n: int) -> None:
                mask = None if n == width else constants("i1", [k < n for k in range(width)])
                place = b.at(there, j, kind)
                total = b.binary(
                    "fadd", b.load(place, kind, width, mask), b.load(b.at(first, j, kind), kind, width, mask)
                )
                b.store(total, place, mask)

            if whole:
                with b.loop(constant("i64", 0), constant("i64", whole), width) as (j, _, _):
                    added(j, width)
            if columns > whole:
                added(constant("i64", whole), columns - whole)

    # Products

    def product(self, x: Place, y: Place, out: Place, add: bool = False) -> None:
        """Matrix products over stacks, by BLAS or, where they are small, by loops of our own.

        With `add` they are added to what lies there.
        """
        batch = out.shape[:-2]

        def steps(p: Place) -> list[int]:
            extra = len(batch) - (len(p.shape) - 2)
            return [0] * extra + [0 if n == 1 else s for n, s in zip(p.shape[:-2], p.strides)]

        own = [steps(p) for p in (x, y, out)]
        matrices = [replace(p, strides=p.strides[-2:], shape=p.shape[-2:]) for p in (x, y, out)]
        if not prod(out.shape):
            return
        addresses = [self.address(p) for p in matrices]
        b = self.b
        with ExitStack() as stack:
            for k, n in enumerate(batch):
                if n == 1:
                    continue
                i, _, _ = stack.enter_context(b.loop(constant("i64", 0), constant("i64", n), 1))
                for j, p in enumerate(matrices):
                    if own[j][k]:
                        addresses[j] = b.at(
                            addresses[j], b.mul(i, constant("i64", own[j][k])), kind_of(p.dtype)
                        )
            self._matrix_product(addresses, matrices, add)

    def _matrix_product(self, addresses: list[Val], matrices: Sequence[Place], add: bool) -> None:
        a, c, o = matrices
        m, k, n = a.shape[0], a.shape[1], c.shape[1]
        kind = kind_of(o.dtype)
        sized = any(isinstance(size, Size) for p in (a, c, o) for size in (*p.shape, *p.strides))
        if sized and not blas():
            raise NotLowered("a product of any number of rows")
        neighbors = a.strides[1] == 1 and c.strides[0] == 1
        few = not sized and neighbors and (m <= FEW_ROWS or n == 1) and m * n * k <= MANY_DOTS
        if not sized and (m * n * k <= small(self.shared) or few or not k or not blas()):
            if o.strides[1] != 1 and o.strides[0] == 1 or (n == 1 and m > 1):  # the same transposed
                a, c, o = (Place(p.slot, 0, p.strides[::-1], p.shape[::-1], p.dtype) for p in (c, a, o))
                addresses = [addresses[1], addresses[0], addresses[2]]
            self._small_product(addresses, a, c, o, kind, add)
            return
        # Of a single row or column, gemm takes up to twice the time of gemv.
        vector = 1 in (m, n)
        flip = n != 1 if vector else o.strides[1] != 1
        if flip:
            a, c, o = (Place(p.slot, 0, p.strides[::-1], p.shape[::-1], p.dtype) for p in (c, a, o))
            addresses = [addresses[1], addresses[0], addresses[2]]
            m, n = n, m
        if vector:
            self._matrix_by_vector(addresses, a, c, o, kind, add)
            return
        name = "dgemm" if kind == "double" else "sgemm"
        address, wide = blas()[name]
        integer = "i64" if wide else "i32"
        one, beta = constant(kind, 1.0).text, constant(kind, float(add)).text
        layouts = [blas_layout(p) for p in (a, c, o)]
        assert all(layouts)
        (ta, lda), (tb, ldb), (_, ldo) = layouts  # type: ignore[misc]
        sizes = [f"{integer} {constant(integer, size).text}" for size in (m, n, k, lda, ldb, ldo)]
        words = [
            "i32 101", f"i32 {ta}", f"i32 {tb}", *sizes[:3], f"{kind} {one}", f"ptr {addresses[0].text}", sizes[3],
            f"ptr {addresses[1].text}", sizes[4], f"{kind} {beta}", f"ptr {addresses[2].text}", sizes[5],
        ]  # fmt: skip
        self.b.do(f"call void {self._outside(name, address).text}({', '.join(words)})")

    def _matrix_by_vector(
        self, addresses: list[Val], a: Place, c: Place, o: Place, kind: str, add: bool
    ) -> None:
        """The product of a matrix (m, k) and a single column (k, 1), by BLAS."""
        name = "dgemv" if kind == "double" else "sgemv"
        address, wide = blas()[name]
        integer = "i64" if wide else "i32"
        layout = blas_layout(a)
        assert layout is not None
        transposed, leading = layout
        # As it lies: BLAS wants the sizes of the rows in memory, whichever way they are read.
        sizes = a.shape if transposed == 111 else a.shape[::-1]

        def number(n: int) -> str:
            return f"{integer} {constant(integer, n).text}"

        steps = [max(1, p.strides[0]) if p.shape[0] == 1 else p.strides[0] for p in (c, o)]
        words = [
            "i32 101", f"i32 {transposed}", *map(number, sizes), f"{kind} {constant(kind, 1.0).text}",
            f"ptr {addresses[0].text}", number(leading), f"ptr {addresses[1].text}", number(steps[0]),
            f"{kind} {constant(kind, float(add)).text}", f"ptr {addresses[2].text}", number(steps[1]),
        ]  # fmt: skip
        self.b.do(f"call void {self._outside(name, address).text}({', '.join(words)})")

    def _small_product(
        self, addresses: list[Val], a: Place, c: Place, o: Place, kind: str, add: bool
    ) -> None:
        key = "product", kind, a.shape, c.shape, a.strides, c.strides, o.strides, add
        name = self._made.get(key)
        if name is None:
            product = Product(self, a, c, o, kind, add)
            name = self._made[key] = f"product{len(self._made)}"
            self.texts.append(product.write(name))
            self._workspaces[name] = product.workspace * BYTES[kind], product.panels
        need, (whole, rest, span) = self._workspaces[name]
        units = whole + bool(rest)
        large = a.shape[0] * a.shape[1] * c.shape[1] >= DIVIDED_PRODUCT and units > 1
        divided = large and not self.alone and threads.wanted()
        need = -(-need // 64) * 64
        # It lies behind the block, whose length is known when the whole program is.
        self.workspace = max(self.workspace, need * (1 + divided))
        args = [*addresses, Val("%workspace" if need else "null", "ptr")]
        if divided:
            middle = (units + 1) // 2
            self._divide(name, args, [(0, middle * span, 0), (middle * span, whole * span, 1)], need)
            return
        words = [f"ptr {x.text}" for x in args]
        self.b.do(f"call void @{name}({', '.join(words)}, i64 0, i64 {whole * span}, i64 1)")

    def packing(self, kind: str) -> str:
        """The function that packs blocks of matrices that lie transposed."""
        name = f"pack.{kind}"
        if name not in self._made:
            self._made[name] = name
            self.texts.append(packing(name, kind, self.declarations))
        return name

    def assembly(self) -> str:
        """The whole module."""
        head = f'target triple = "{binding.get_default_triple()}"\n'
        return head + "\n".join(sorted(self.declarations)) + "\n\n" + "\n".join(self.texts)

    def finish(self) -> tuple[Any, list[int]]:
        """Optimized machine code: the engine that owns it, and the addresses of the functions."""
        return compiled(self.assembly(), self.functions, self.addresses)


SHARED = 32  # machine codes that are kept for further programs of the same text, such as those of a search's trials
_engines: dict[bytes, Any] = {}


def compiled(
    text: str, names: Sequence[str], outside: Mapping[str, int] | None = None
) -> tuple[Any, list[int]]:
    """The engine that owns a module's machine code, and the addresses of functions.

    `outside`: addresses that the module reads at `@outside.name`.

    LLVM's passes over the whole module are left out: the text is in registers and vectors already. With them code ran
    no faster (within 3 % on nine networks), and took twice as long to make, that of an LSTM eight times as long.
    """
    key = sha256(text.encode()).digest()
    engine = _engines.get(key)
    if engine is None:
        target = machine()
        parsed = binding.parse_assembly(text)
        parsed.verify()
        engine = binding.create_mcjit_compiler(parsed, target)
        made = (
            key,
            target.triple,
            binding.get_host_cpu_name(),
            features().flatten(),
            binding.llvm_version_info,
        )
        name = sha256(repr(made).encode()).hexdigest()
        engine.set_object_cache(lambda _, code: stored.store(name, code), lambda _: stored.load(name))
        engine.finalize_object()
        for place, address in (outside or {}).items():
            at = engine.get_global_value_address(f"outside.{place}")
            ctypes.c_uint64.from_address(at).value = address
        _engines[key] = engine
        for old in list(_engines)[:-SHARED]:
            _engines.pop(old, None)
    return engine, [engine.get_function_address(name) for name in names]


def blas_layout(p: Place) -> tuple[int, int] | None:
    """Whether BLAS reads a matrix as it lies or transposed, and its leading dimension; None if it cannot."""
    (rows, columns), (m, n) = p.strides, p.shape
    if (columns == 1 or n == 1) and (rows >= max(n, 1) or m == 1):
        return 111, max(rows if m > 1 else n, n, 1)
    if (rows == 1 or m == 1) and (columns >= max(m, 1) or n == 1):
        return 112, max(columns if n > 1 else m, m, 1)
    return None


class Product:
    """A matrix product as loops: tiles of the result are summed in registers, panel by panel of the right matrix.

    A panel that does not lie in rows, or whose rows are far apart, is first packed, into `workspace` elements. With
    `add` the products are added to what lies there.
    """

    def __init__(self, emitter: Emitter, a: Place, c: Place, o: Place, kind: str, add: bool = False) -> None:
        self.emitter, self.b = emitter, Code(emitter.declarations)
        self.m, self.k, self.n = a.shape[0], a.shape[1], c.shape[1]
        self.kind, self.width = kind, WIDTH // BYTES[kind]
        self.a, self.c, self.o = (
            Array(Val(f"%p{i}", "ptr"), kind, [0 if size == 1 else s for size, s in zip(p.shape, p.strides)])
            for i, p in enumerate((a, c, o))
        )
        room = max(1, registers() * 3 // 4)
        self.vectors = min(-(-self.n // self.width), 4 if room >= 16 else 2)
        # As many rows at a time as the registers hold, in nearly equal parts.
        most = max(1, room // self.vectors)
        parts = -(-self.m // most)
        self.height = -(-self.m // parts)
        # Code for the rows that remain takes as long to make: tiles a little lower that leave none, if there are.
        exact = max((h for h in range(1, most + 1) if self.m % h == 0), default=1)
        if exact * self.vectors >= ACCUMULATORS:
            self.height = exact
        far = self.k * self.n * BYTES[kind] > PACKED and self.m > 2 * self.height
        turned = self.c.steps[0] == 1 and self.n > 1
        self.packed = self.k > 0 and (far or turned or (self.c.steps[1] != 1 and self.n > 1))
        self.add = add
        self.dots = (
            turned and self.m <= FEW_ROWS and self.a.steps[1] == 1 and self.k >= self.width and not add
        )
        if self.dots:
            self.packed = False
        self.row = DOTS if self.dots else self.vectors * self.width  # of a packed panel
        self.block = max(
            self.width, BLOCK // (self.row * BYTES[kind]) // self.width * self.width
        )  # its rows at a time

    @property
    def workspace(self) -> int:
        """How many elements packing needs."""
        rows = self.k if self.k <= 2 * self.block else self.block
        return -(-rows // self.width) * self.width * self.row if self.packed else 0

    @property
    def panels(self) -> tuple[int, int, int]:
        """How many whole panels there are, how many columns remain, and how many a panel has."""
        return *divmod(self.n, self.row), self.row

    def write(self, name: str) -> str:
        """The function, which computes the columns from `first` to `end`, and those that remain if it is told to."""
        b = self.b
        whole, rest, span = self.panels
        first, end = Val("%first", "i64"), Val("%end", "i64")
        if whole:
            some, none = b.label(), b.label()
            b.do(f"br i1 {b.compare('slt', first, end).text}, label %{some}, label %{none}")
            b.start(some)
            with b.loop(first, end, span) as (j, _, _):
                self._panel(j, span)
            b.do(f"br label %{none}")
            b.start(none)
        if rest:
            some, none = b.label(), b.label()
            b.do(
                f"br i1 {b.compare('ne', Val('%last', 'i64'), constant('i64', 0)).text}, label %{some}, label %{none}"
            )
            b.start(some)
            self._panel(constant("i64", whole * span), rest)
            b.do(f"br label %{none}")
            b.start(none)
        b.do("ret void")
        return b.text(
            name, ["ptr %p0", "ptr %p1", "ptr %p2", "ptr %work", "i64 %first", "i64 %end", "i64 %last"]
        )

    def _panel(self, j: Val, columns: int) -> None:
        b, zero = self.b, constant("i64", 0)
        if self.dots:
            self._dot_products(j, columns)
            return
        if not self.packed or self.k <= 2 * self.block:
            self._block(j, columns, zero, constant("i64", self.k), self.add)
            return
        # The packed part of a panel stays in the cache; what comes after the first is added.
        first = constant("i64", self.block)
        self._block(j, columns, zero, first, self.add)
        with b.loop(first, constant("i64", self.k), self.block) as (q, _, _):
            left = b.sub(constant("i64", self.k), q)
            many = b.select(b.compare("slt", left, first), left, first)
            self._block(j, columns, q, many, True)

    def _dot_products(self, j: Val, columns: int) -> None:
        """All rows of the left matrix with some columns of the right one, along both at a time."""
        b, width = self.b, self.width
        whole, places = self.k // width * width, [(r, s) for r in range(self.m) for s in range(columns)]

        def added(q: Val, sums: Sequence[Val], mask: Val | None) -> list[Val]:
            left = [
                b.load(self._at(self.a, constant("i64", r), q), self.kind, width, mask) for r in range(self.m)
            ]
            first = self._at(self.c, q, j)
            right = [
                b.load(self._next(first, s * self.c.steps[1]), self.kind, width, mask) for s in range(columns)
            ]
            return [b.fma(left[r], right[s], x) for (r, s), x in zip(places, sums)]

        sums = [constant(self.kind, 0.0, width) for _ in places]
        with b.loop(constant("i64", 0), constant("i64", whole), width, sums) as (q, have, new):
            new += added(q, have, None)
        if self.k > whole:
            mask = constants("i1", [i < self.k - whole for i in range(width)])
            new = added(constant("i64", whole), new, mask)
        for (r, s), x in zip(places, new):
            total = folded(b, "sum", x, 1, width, "columns")
            b.store(total, self._next(self._at(self.o, constant("i64", r), j), s * self.o.steps[1]))

    def _block(self, j: Val, columns: int, start: Val, many: Val, more: bool) -> None:
        """The products of `many` columns of the left matrix, from `start` on, with as many rows of a panel."""
        b = self.b
        self.start, self.many, self.more = start, many, more
        if self.packed:
            self._pack(j, columns)
        whole, rest = divmod(self.m, self.height)
        if whole == 1:
            self._tile(constant("i64", 0), self.height, j, columns)
        elif whole:
            with b.loop(constant("i64", 0), constant("i64", whole * self.height), self.height) as (i, _, _):
                self._tile(i, self.height, j, columns)
        if rest:
            self._tile(constant("i64", whole * self.height), rest, j, columns)

    def _pack(self, j: Val, columns: int) -> None:
        """A panel of the right matrix in the workspace, row after row."""
        b, w, zero = self.b, self.width, constant("i64", 0)
        work = Val("%work", "ptr")
        if self.c.steps[0] == 1 and columns > 1 and self.k > 1:
            name = self.emitter.packing(self.kind)
            with b.loop(zero, self.many, w) as (q, _, _):
                left = b.sub(self.many, q)
                count = b.select(b.compare("slt", left, constant("i64", w)), left, constant("i64", w))
                for s in range(0, columns, w):
                    source = self._at(self.c, b.add(self.start, q), b.add(j, constant("i64", s)))
                    to = b.at(work, b.add(b.mul(q, constant("i64", self.row)), constant("i64", s)), self.kind)
                    many = min(w, columns - s)
                    b.do(
                        f"call void @{name}(ptr {source.text}, ptr {to.text}, i64 {self.c.steps[1]}, i64 {self.row},"
                        f" i64 {count.text}, i64 {many})"
                    )
            return
        with b.loop(zero, self.many, 1) as (q, _, _):
            source = self._at(self.c, b.add(self.start, q), j)
            to = b.at(work, b.mul(q, constant("i64", self.row)), self.kind)
            for s in range(0, columns, w):
                n = min(w, columns - s)
                self._put(self._vector(source, self.c.steps[1], s, n), self._next(to, s), 1, n)

    def _at(self, array: Array, i: Val, j: Val) -> Val:
        b = self.b
        assert array.pointer is not None
        pointer = array.pointer
        for x, step in zip((i, j), array.steps):
            if step and x.text != "0":
                pointer = b.at(pointer, x if step == 1 else b.mul(x, constant("i64", step)), array.kind)
        return pointer

    def _tile(self, i: Val, height: int, j: Val, columns: int) -> None:
        """`height` rows and `columns` columns of the result, summed over k."""
        b, zero = self.b, constant("i64", 0)
        pieces = [(s, min(self.width, columns - s)) for s in range(0, columns, self.width)]
        sums = [constant(self.kind, 0.0, ceil_power(n)) for _ in range(height) for _, n in pieces]
        if self.more:
            places = [(r, s, n) for r in range(height) for s, n in pieces]
            corner = self._at(self.o, i, j)
            sums = [
                self._vector(self._next(corner, r * self.o.steps[0]), self.o.steps[1], s, n)
                for r, s, n in places
            ]
        if self.k:
            first = self._at(self.a, i, self.start)
            panel = Val("%work", "ptr") if self.packed else self._at(self.c, zero, j)
            down, along = (self.row, 1) if self.packed else self.c.steps
            with b.loop(zero, self.many, 1, sums) as (q, have, new):
                left = b.at(first, b.mul(q, constant("i64", self.a.steps[1])), self.kind)
                right = b.at(panel, b.mul(q, constant("i64", down)), self.kind)
                if self.packed:  # what is beyond the last column does not matter
                    across = [b.load(self._next(right, s), self.kind, ceil_power(n)) for s, n in pieces]
                else:
                    across = [self._vector(right, along, s, n) for s, n in pieces]
                for r in range(height):
                    x = b.load(self._next(left, r * self.a.steps[0]), self.kind)
                    for p, y in enumerate(across):
                        new.append(b.fma(b.splat(x, y.lanes), y, have[r * len(pieces) + p]))
            sums = new
        for r in range(height):
            for p, (s, n) in enumerate(pieces):
                base = self._next(self._at(self.o, i, j), r * self.o.steps[0] + s * self.o.steps[1])
                self._put(sums[r * len(pieces) + p], base, self.o.steps[1], n)

    def _next(self, pointer: Val, elements: int) -> Val:
        return pointer if not elements else self.b.at(pointer, constant("i64", elements), self.kind)

    def _vector(self, base: Val, step: int, start: int, n: int) -> Val:
        """n elements, `step` apart, in the first lanes of a vector."""
        b, lanes = self.b, ceil_power(n)
        base = self._next(base, start * step)
        mask = None if lanes == n else constants("i1", [i < n for i in range(lanes)])
        if step == 1 or n == 1:
            return b.load(base, self.kind, lanes, mask)
        at = b.at(base, constants("i64", [i * step if i < n else 0 for i in range(lanes)]), self.kind)
        return b.gather(at, self.kind, mask)

    def _put(self, v: Val, base: Val, step: int, n: int) -> None:
        b = self.b
        mask = None if v.lanes == n else constants("i1", [i < n for i in range(v.lanes)])
        if step == 1 or n == 1:
            b.store(v, base, mask)
        else:
            at = b.at(base, constants("i64", [i * step if i < n else 0 for i in range(v.lanes)]), self.kind)
            b.scatter(v, at, mask)


def packing(name: str, kind: str, declarations: set[str]) -> str:
    """A function that turns a square block of a matrix.

    Rows of `from` (`step` apart, `many` of them, of `count` elements) become columns of `to`, whose rows are `row`
    apart. It writes whole vectors, with anything in place of what is missing.
    """
    b, w = Code(declarations), WIDTH // BYTES[kind]
    lanes = constants("i64", list(range(w)))
    mask = b.compare("slt", lanes, b.splat(Val("%count", "i64"), w))
    last = b.sub(Val("%many", "i64"), constant("i64", 1))
    rows = []
    for i in range(w):
        k = constant("i64", i)
        at = b.select(b.compare("slt", k, last), k, last)
        source = b.at(Val("%from", "ptr"), b.mul(at, Val("%step", "i64")), kind)
        rows.append(b.load(source, kind, w, mask))
    # Quarters of the square change places, then quarters of these, and so on: LLVM finds the processor's instructions
    # for such exchanges in a fifth of the time that it needs for those where all rows are interleaved.
    apart = w // 2
    while apart:
        low = [k if not k & apart else w + k - apart for k in range(w)]
        high = [k + apart if not k & apart else w + k for k in range(w)]
        for i in range(w):
            if not i & apart:
                x, y = rows[i], rows[i + apart]
                rows[i], rows[i + apart] = b.shuffle(x, low, y), b.shuffle(x, high, y)
        apart //= 2
    for i, x in enumerate(rows):
        b.store(x, b.at(Val("%to", "ptr"), b.mul(constant("i64", i), Val("%row", "i64")), kind))
    b.do("ret void")
    arguments = ["ptr %from", "ptr %to", "i64 %step", "i64 %row", "i64 %count", "i64 %many"]
    return b.text(name, arguments)
