"""Batches of sequences of different lengths, padded to the longest or packed without padding."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.arguments import Size, checked
from tinygrad_dl.convert import describe
from tinygrad_dl.creation import asarray
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.nn.state import requested_dtype
from tinygrad_dl.ops.index import getitem, setitem
from tinygrad_dl.ops.join import concat
from tinygrad_dl.ops.shape import permute_dims
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import Array, ArrayLike

__all__ = [
    "PackedSequence", "invert_permutation", "pack_padded_sequence", "pack_sequence", "pad_packed_sequence",
    "pad_sequence", "unpack_sequence", "unpad_sequence",
]  # fmt: skip


class _Parts(NamedTuple):
    data: Any
    batch_sizes: Any
    sorted_indices: Any = None
    unsorted_indices: Any = None


class PackedSequence(_Parts):
    """Sequences packed step by step without padding, as recurrent layers take them.

    data: the first steps of all sequences, longest sequence first, then the second steps, ...   batch_sizes: how
    many sequences have that step.   sorted_indices, unsorted_indices: the sorting permutation and its inverse; None if
    the sequences were given sorted.
    >>> pack_sequence([Tensor([1.0, 2.0, 3.0]), Tensor([4.0])])
    PackedSequence(data=Tensor([1., 4., 2., 3.]), batch_sizes=Tensor([2, 1, 1]), sorted_indices=None, \
unsorted_indices=None)
    """

    __slots__ = ()

    def __new__(
        cls, data: Array, batch_sizes: Any, sorted_indices: Any = None, unsorted_indices: Any = None
    ) -> PackedSequence:
        if unsorted_indices is None:
            unsorted_indices = invert_permutation(sorted_indices)
        return super().__new__(cls, data, batch_sizes, sorted_indices, unsorted_indices)

    def to(self, *args: Any, **kwargs: Any) -> PackedSequence:
        """The same sequences in another dtype; "cpu" is the only device."""
        dtype = requested_dtype("to", args, kwargs)
        return (
            self if dtype is None or dtype == self.data.dtype else self._replace(data=self.data.astype(dtype))
        )

    def float(self) -> PackedSequence:
        """The same sequences in float32."""
        return self.to(np.float32)

    def double(self) -> PackedSequence:
        """The same sequences in float64."""
        return self.to(np.float64)

    def half(self) -> PackedSequence:
        """The same sequences in float16."""
        return self.to(np.float16)

    def cpu(self) -> PackedSequence:
        """This PackedSequence."""
        return self


def invert_permutation(permutation: Any) -> Any:
    """The inverse of a permutation; None for None.

    >>> invert_permutation(Tensor([1, 2, 0]))
    Tensor([2, 0, 1])
    """
    return None if permutation is None else asarray(np.argsort(asarray(permutation)._data))


def _integers(lengths: ArrayLike) -> np.ndarray:
    return np.atleast_1d(asarray(lengths)._data.astype(np.int64))


def _swapped(x: Array) -> Any:
    return permute_dims(x, (1, 0, *range(2, x.ndim)))


def _filled(values: Any, where: np.ndarray, padding_value: Any) -> Any:
    """The values, one after another, where the mask is true, the padding elsewhere."""
    # setitem is differentiable: the gradient reaches the values and not the padding.
    return setitem(np.full(where.shape + values.shape[1:], padding_value, values.dtype), values, where)


@checked
def pack_padded_sequence(
    input: ArrayLike, lengths: ArrayLike, batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Pack a padded batch, so that recurrent layers skip the padding.

    input (T, N, ...), or (N, T, ...) with batch_first; lengths (N,), from 1 to T, longest first unless
    `enforce_sorted=False`. Raises ShapeError or ValueRangeError for lengths that do not fit.
    >>> pack_padded_sequence(Tensor([[1.0, 4.0], [2.0, 0.0]]), [2, 1]).data
    Tensor([1., 4., 2.])
    """
    name = "pack_padded_sequence"
    sizes, x = _integers(lengths), asarray(input)
    if x.ndim < 2:
        raise ShapeError(f"{name}: expected an input of at least the axes T and N, got the shape {x.shape}")
    if batch_first:
        x = _swapped(x)
    steps, batch = x.shape[:2]
    if sizes.shape != (batch,):
        raise ShapeError(f"{name}: expected {batch} lengths, one per sequence, got {sizes.size}")
    if not batch or sizes.min() < 1 or sizes.max() > steps:
        raise ValueRangeError(
            f"{name}: expected at least one length, each from 1 to T = {steps}, got {sizes.tolist()}"
        )
    order = None
    if not enforce_sorted:
        order = np.argsort(-sizes, kind="stable")
        x, sizes = getitem(x, (slice(None), order)), sizes[order]
    elif (np.diff(sizes) > 0).any():
        raise ValueRangeError(
            f"{name}: expected decreasing lengths, got {sizes.tolist()}. "
            "Pass enforce_sorted=False to have them sorted."
        )
    valid = np.arange(sizes[0])[:, None] < sizes
    data = getitem(x[: sizes[0]], valid)
    return PackedSequence(data, asarray(valid.sum(axis=1)), None if order is None else asarray(order))


@checked
def pad_packed_sequence(
    sequence: PackedSequence,
    batch_first: bool = False,
    padding_value: float = 0.0,
    total_length: Size | None = None,
) -> tuple[Tensor, Tensor]:
    """Undo pack_padded_sequence: the padded batch, sequences in their original order, and their lengths.

    (T, N, ...), or (N, T, ...) with batch_first; T is the longest length, or `total_length`.
    >>> pad_packed_sequence(pack_sequence([Tensor([1.0, 2.0]), Tensor([3.0])]), batch_first=True)
    (Tensor([[1., 2.],
            [3., 0.]]), Tensor([2, 1]))
    """
    batch_sizes = _integers(sequence.batch_sizes)
    steps = len(batch_sizes) if total_length is None else total_length
    if steps < len(batch_sizes):
        raise ValueRangeError(
            f"pad_packed_sequence: expected total_length of at least {len(batch_sizes)}, the longest sequence, "
            f"got {steps}"
        )
    valid = np.zeros((steps, batch_sizes[0]), bool)
    valid[: len(batch_sizes)] = np.arange(batch_sizes[0]) < batch_sizes[:, None]
    out, lengths = _filled(sequence.data, valid, padding_value), valid.sum(axis=0)
    if sequence.unsorted_indices is not None:
        order = _integers(sequence.unsorted_indices)
        out, lengths = getitem(out, (slice(None), order)), lengths[order]
    return (_swapped(out) if batch_first else out), asarray(lengths)


@checked
def pad_sequence(
    sequences: Iterable[Any],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Pad sequences of different lengths to the longest and stack them into a batch.

    Each (L, ...) -> (T, N, ...), or (N, T, ...) with batch_first, T the longest L. Raises ShapeError if the other
    sizes differ.
    >>> pad_sequence([Tensor([1.0, 2.0]), Tensor([3.0])], batch_first=True, padding_value=-1.0).tolist()
    [[1.0, 2.0], [3.0, -1.0]]
    """
    if padding_side not in ("right", "left"):
        raise ValueRangeError(f"pad_sequence: expected padding_side 'right' or 'left', got {padding_side!r}")
    parts = [asarray(sequence) for sequence in sequences]
    shapes = [part.shape for part in parts]
    if not parts or () in shapes or len({shape[1:] for shape in shapes}) > 1:
        raise ShapeError(
            f"pad_sequence: expected at least one sequence, and shapes that differ in the first size only, got {shapes}"
        )
    lengths = np.array([len(part) for part in parts])
    valid = np.arange(lengths.max()) < lengths[:, None]
    out = _filled(concat(parts), valid[:, ::-1] if padding_side == "left" else valid, padding_value)
    return out if batch_first else _swapped(out)


@checked
def unpad_sequence(padded_sequences: Any, lengths: ArrayLike, batch_first: bool = False) -> list[Tensor]:
    """Undo pad_sequence: each sequence without its padding.

    >>> [part.tolist() for part in unpad_sequence(Tensor([[1.0, 3.0], [2.0, 0.0]]), [2, 1])]
    [[1.0, 2.0], [3.0]]
    """
    x = padded_sequences if batch_first else _swapped(padded_sequences)
    sizes = _integers(lengths)
    if sizes.shape != x.shape[:1]:
        raise ShapeError(f"unpad_sequence: expected {x.shape[0]} lengths, one per sequence, got {sizes.size}")
    return [x[i, :length] for i, length in enumerate(sizes)]


@checked
def pack_sequence(sequences: Sequence[Any], enforce_sorted: bool = True) -> PackedSequence:
    """Pack sequences of different lengths, sorted with the longest first unless `enforce_sorted=False`.

    >>> pack_sequence([Tensor([1.0]), Tensor([2.0, 3.0])], enforce_sorted=False).data.tolist()
    [2.0, 1.0, 3.0]
    """
    for sequence in sequences:
        if not np.ndim(sequence):
            raise DTypeError(
                f"pack_sequence: expected sequences of numbers, got {describe(sequence)} as one of them"
            )
    lengths = [len(sequence) for sequence in sequences]
    return pack_padded_sequence(pad_sequence(sequences), lengths, enforce_sorted=enforce_sorted)


@checked
def unpack_sequence(packed_sequences: PackedSequence) -> list[Tensor]:
    """Undo pack_sequence: the sequences, in their original order.

    >>> [part.tolist() for part in unpack_sequence(pack_sequence([Tensor([1.0, 2.0]), Tensor([3.0])]))]
    [[1.0, 2.0], [3.0]]
    """
    return unpad_sequence(*pad_packed_sequence(packed_sequences, batch_first=True), batch_first=True)
