"""LLVM's assembly language, written line by line: typed values and the instructions that make them.

Text is all that LLVM needs, and writing it costs a fraction of building objects for instructions first. A value is a
scalar (one lane) or a vector; an instruction's type is that of its operands.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np

from tinygrad_dl.compiler.program import NotLowered
from tinygrad_dl.compiler.sizes import Size, parts_of

FLOATS = ("float", "double")
#: LLVM's type of an element in memory, by NumPy's name for it.
KINDS = {"f4": "float", "f8": "double", "i8": "i64", "i4": "i32", "b1": "i8"}
BYTES = {"float": 4, "double": 8, "i64": 8, "i32": 4, "i8": 1, "i1": 1, "ptr": 8}
INTEGER_OF = {"float": "i32", "double": "i64"}
#: A size that follows from the number of rows, as it stands in the text: its type, slope and rest.
SIZE = re.compile(r"%size\.(i\d+)\.(-?\d+)\.(-?\d+)")
#: The line of a function that reads the number of rows, where that is no argument.
ROWS = "  %rows = load i64, ptr %count"


class Val(NamedTuple):
    """A value of the program: what stands for it in the text, the type of an element, and how many there are."""

    text: str
    kind: str
    lanes: int = 1

    @property
    def type(self) -> str:
        return type_of(self.kind, self.lanes)


def type_of(kind: str, lanes: int = 1) -> str:
    return kind if lanes == 1 else f"<{lanes} x {kind}>"


def kind_of(dtype: np.dtype) -> str:
    """LLVM's type of an array's elements in memory; KeyError for those that native code does not know."""
    return KINDS[np.dtype(dtype).str[1:]]


def constant(kind: str, value: float | bool, lanes: int = 1) -> Val:
    """A constant, the same in every lane."""
    if kind in FLOATS:
        exact = float(np.float32(value)) if kind == "float" else float(value)
        text = f"0x{struct.unpack('<Q', struct.pack('<d', exact))[0]:016X}"
    elif kind == "i1":
        text = "true" if value else "false"
    elif isinstance(value, Size):
        if lanes != 1:
            raise NotLowered("a vector of sizes that follow from the number of rows")
        text = f"%size.{kind}.{value.slope}.{value.rest}"
    else:
        text = str(int(value))
    return Val(text if lanes == 1 else f"splat ({kind} {text})", kind, lanes)


def constants(kind: str, values: Sequence[int | bool]) -> Val:
    """A vector of integers or truth values that differ."""
    if len(values) == 1 or all(v == values[0] for v in values):
        return constant(kind, values[0], len(values))
    words = [f"{kind} {'true' if v else 'false'}" if kind == "i1" else f"{kind} {int(v)}" for v in values]
    return Val(f"<{', '.join(words)}>", kind, len(values))


class Code:
    """The body of one function, and the declarations that it needs."""

    def __init__(self, declarations: set[str]) -> None:
        self.lines: list[str] = ["entry:"]
        self.heads: list[str] = []  # what comes before all lines, also if it is written later
        self.block = "entry"
        self.declarations = declarations
        self._count = 0

    # Instructions

    def _new(self, text: str, kind: str, lanes: int) -> Val:
        self._count += 1
        name = f"%v{self._count}"
        self.lines.append(f"  {name} = {text}")
        return Val(name, kind, lanes)

    def do(self, text: str) -> None:
        """An instruction without a result."""
        self.lines.append(f"  {text}")

    def binary(self, op: str, x: Val, y: Val) -> Val:
        """`op` is an instruction's name, with its flags: "fadd contract"."""
        return self._new(f"{op} {x.type} {x.text}, {y.text}", x.kind, x.lanes)

    def add(self, x: Val, y: Val) -> Val:
        return self.binary("fadd contract" if x.kind in FLOATS else "add", x, y)

    def sub(self, x: Val, y: Val) -> Val:
        return self.binary("fsub contract" if x.kind in FLOATS else "sub", x, y)

    def mul(self, x: Val, y: Val) -> Val:
        return self.binary("fmul contract" if x.kind in FLOATS else "mul", x, y)

    def div(self, x: Val, y: Val) -> Val:
        return self.binary("fdiv", x, y)

    def neg(self, x: Val) -> Val:
        if x.kind in FLOATS:
            return self._new(f"fneg {x.type} {x.text}", x.kind, x.lanes)
        return self.sub(constant(x.kind, 0, x.lanes), x)

    def compare(self, condition: str, x: Val, y: Val) -> Val:
        """`condition` as in fcmp ("olt", "uno") or icmp ("slt")."""
        op = "fcmp" if x.kind in FLOATS else "icmp"
        return self._new(f"{op} {condition} {x.type} {x.text}, {y.text}", "i1", x.lanes)

    def select(self, condition: Val, x: Val, y: Val) -> Val:
        return self._new(
            f"select {condition.type} {condition.text}, {x.type} {x.text}, {y.type} {y.text}", x.kind, x.lanes
        )

    def convert(self, op: str, x: Val, kind: str) -> Val:
        """`op` is bitcast, sext, zext, trunc, fpext, fptrunc, sitofp, uitofp, fptosi, ..."""
        return self._new(f"{op} {x.type} {x.text} to {type_of(kind, x.lanes)}", kind, x.lanes)

    def call(self, name: str, kind: str, *args: Val, lanes: int | None = None) -> Val:
        """Call a function (an intrinsic of LLVM's, or one of libm's) that gives `kind`."""
        many = args[0].lanes if lanes is None else lanes
        types = ", ".join(a.type for a in args)
        self.declarations.add(f"declare {type_of(kind, many)} @{name}({types})")
        given = ", ".join(f"{a.type} {a.text}" for a in args)
        return self._new(f"call {type_of(kind, many)} @{name}({given})", kind, many)

    def intrinsic(self, name: str, *args: Val) -> Val:
        """An intrinsic whose result has the type of its arguments: sqrt, fabs, rint, fmuladd, ..."""
        x = args[0]
        return self.call(f"llvm.{name}.{suffix(x.kind, x.lanes)}", x.kind, *args)

    def fma(self, x: Val, y: Val, z: Val) -> Val:
        """x * y + z, rounded once where the processor can."""
        return self.intrinsic("fmuladd", x, y, z)

    # Vectors

    def splat(self, x: Val, lanes: int) -> Val:
        """A scalar in every lane."""
        if lanes == 1 or x.lanes == lanes:
            return x
        if x.text[0] != "%":
            return Val(f"splat ({x.kind} {x.text})", x.kind, lanes)
        one = self._new(
            f"insertelement {type_of(x.kind, lanes)} poison, {x.kind} {x.text}, i64 0", x.kind, lanes
        )
        return self.shuffle(one, [0] * lanes)

    def shuffle(self, x: Val, order: Sequence[int], y: Val | None = None) -> Val:
        """Lanes of x (and of y, numbered after those of x) in another order; -1 for a lane that does not matter."""
        if x.lanes == 1:
            return self.splat(x, len(order))
        if len(order) == 1:
            return self.lane(x, order[0])
        mask = ", ".join("i32 poison" if i < 0 else f"i32 {i}" for i in order)
        other = "poison" if y is None else y.text
        return self._new(
            f"shufflevector {x.type} {x.text}, {x.type} {other}, <{len(order)} x i32> <{mask}>",
            x.kind,
            len(order),
        )

    def lane(self, x: Val, i: int) -> Val:
        return x if x.lanes == 1 else self._new(f"extractelement {x.type} {x.text}, i64 {i}", x.kind, 1)

    def joined(self, parts: Sequence[Val]) -> Val:
        """Scalars as the lanes of one vector."""
        if len(parts) == 1:
            return parts[0]
        many = type_of(parts[0].kind, len(parts))
        whole = "poison"
        for i, x in enumerate(parts):
            whole = self._new(
                f"insertelement {many} {whole}, {x.kind} {x.text}, i64 {i}", x.kind, len(parts)
            ).text
        return Val(whole, parts[0].kind, len(parts))

    def indices(self, values: Sequence[int]) -> Val:
        """A vector of integers, which may follow from the number of rows."""
        parts = [parts_of(v) for v in values]
        rests = constants("i64", [rest for _, rest in parts])
        if not any(slope for slope, _ in parts):
            return rests
        rows = self.splat(constant("i64", next(v for v in values if isinstance(v, Size)).rows), len(values))
        return self.add(self.mul(rows, constants("i64", [slope for slope, _ in parts])), rests)

    # Memory

    def at(self, pointer: Val, index: Val, kind: str) -> Val:
        """The address of an element, or, for a vector of indices, of several."""
        text = f"getelementptr inbounds {kind}, ptr {pointer.text}, {index.type} {index.text}"
        return self._new(text, "ptr", index.lanes)

    def load(self, pointer: Val, kind: str, lanes: int = 1, mask: Val | None = None) -> Val:
        """Neighbors in memory; where `mask` is false nothing is read and the lane holds zero."""
        if mask is None:
            return self._new(
                f"load {type_of(kind, lanes)}, ptr {pointer.text}, align {BYTES[kind]}", kind, lanes
            )
        many = type_of(kind, lanes)
        name = f"llvm.masked.load.{suffix(kind, lanes)}.p0"
        self.declarations.add(f"declare {many} @{name}(ptr, <{lanes} x i1>, {many})")
        return self._new(
            f"call {many} @{name}(ptr align {BYTES[kind]} {pointer.text}, {mask.type} {mask.text},"
            f" {many} zeroinitializer)",
            kind,
            lanes,
        )

    def store(self, x: Val, pointer: Val, mask: Val | None = None) -> None:
        if mask is None:
            self.do(f"store {x.type} {x.text}, ptr {pointer.text}, align {BYTES[x.kind]}")
            return
        name = f"llvm.masked.store.{suffix(x.kind, x.lanes)}.p0"
        self.declarations.add(f"declare void @{name}({x.type}, ptr, <{x.lanes} x i1>)")
        self.do(
            f"call void @{name}({x.type} {x.text}, ptr align {BYTES[x.kind]} {pointer.text}, {mask.type} {mask.text})"
        )

    def gather(self, pointers: Val, kind: str, mask: Val | None = None) -> Val:
        """Elements from anywhere, one for each lane."""
        n = pointers.lanes
        many, name = type_of(kind, n), f"llvm.masked.gather.{suffix(kind, n)}.v{n}p0"
        self.declarations.add(f"declare {many} @{name}(<{n} x ptr>, <{n} x i1>, {many})")
        lanes = mask or constant("i1", True, n)
        return self._new(
            f"call {many} @{name}(<{n} x ptr> align {BYTES[kind]} {pointers.text}, {lanes.type} {lanes.text},"
            f" {many} zeroinitializer)",
            kind,
            n,
        )

    def scatter(self, x: Val, pointers: Val, mask: Val | None = None) -> None:
        n = pointers.lanes
        name = f"llvm.masked.scatter.{suffix(x.kind, n)}.v{n}p0"
        self.declarations.add(f"declare void @{name}({x.type}, <{n} x ptr>, <{n} x i1>)")
        lanes = mask or constant("i1", True, n)
        self.do(
            f"call void @{name}({x.type} {x.text}, <{n} x ptr> align {BYTES[x.kind]} {pointers.text},"
            f" {lanes.type} {lanes.text})"
        )

    # Control

    def label(self) -> str:
        self._count += 1
        return f"b{self._count}"

    def start(self, label: str) -> None:
        self.lines.append(f"{label}:")
        self.block = label

    @contextmanager
    def loop(
        self, first: Val, end: Val, step: int, carried: Sequence[Val] = (), perhaps: bool = False
    ) -> Iterator[tuple[Val, list[Val], list[Val]]]:
        """A loop that runs at least once, unless `perhaps` is set: its index, and the carried values.

        The third of what it yields is a list for the caller to fill with the new values of what is carried; after the
        loop it holds their last ones.
        """
        head, done, before = self.label(), self.label(), self.block
        if perhaps:
            some = self.compare("slt", first, end)
            self.do(f"br i1 {some.text}, label %{head}, label %{done}")
        else:
            self.do(f"br label %{head}")
        self.start(head)
        at = len(self.lines)
        self._count += 1
        index = Val(f"%v{self._count}", first.kind)
        values = []
        for x in carried:
            self._count += 1
            values.append(Val(f"%v{self._count}", x.kind, x.lanes))
        new: list[Val] = []
        yield index, values, new
        following = self._new(f"add nuw nsw i64 {index.text}, {step}", "i64", 1)
        again = self.compare("slt", following, end)
        self.do(f"br i1 {again.text}, label %{head}, label %{done}")
        phis = [f"  {index.text} = phi i64 [ {first.text}, %{before} ], [ {following.text}, %{self.block} ]"]
        for x, value, last in zip(carried, values, new):
            phis.append(
                f"  {value.text} = phi {x.type} [ {x.text}, %{before} ], [ {last.text}, %{self.block} ]"
            )
        self.lines[at:at] = phis
        inside = self.block
        self.start(done)
        if perhaps:
            new[:] = [
                self._new(
                    f"phi {x.type} [ {x.text}, %{before} ], [ {last.text}, %{inside} ]", x.kind, x.lanes
                )
                for x, last in zip(carried, new)
            ]

    @property
    def sized(self) -> bool:
        """Whether the code needs to know the number of rows, as `i64 %rows`."""
        return any("%size." in line for line in self.lines)

    def text(self, name: str, arguments: Sequence[str], result: str = "void") -> str:
        """The function's definition. Loops stay functions of their own: LLVM's time grows with more than the length."""
        lines = [self.lines[0], *self.heads, *self.lines[1:]]
        for kind, slope, rest in sorted(set(SIZE.findall("\n".join(lines)))):
            size = f"%size.{kind}.{slope}.{rest}"
            last = f"trunc i64 {size}.b to {kind}" if kind != "i64" else f"add i64 {size}.b, 0"
            at = lines.index(ROWS) + 1 if ROWS in lines else 1
            lines[at:at] = [
                f"  {size}.a = mul nsw i64 %rows, {slope}",
                f"  {size}.b = add nsw i64 {size}.a, {rest}",
                f"  {size} = {last}",
            ]
        body = "\n".join(lines)
        linkage = "internal " if result == "void" else ""
        return f"define {linkage}{result} @{name}({', '.join(arguments)}) nounwind noinline {{\n{body}\n}}\n"


def suffix(kind: str, lanes: int) -> str:
    """How the names of intrinsics spell a type: v16f32."""
    own = {"float": "f32", "double": "f64", "ptr": "p0"}.get(kind, kind)
    return own if lanes == 1 else f"v{lanes}{own}"
