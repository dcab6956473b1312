"""Functions of shapes: views, joins and parts, with PyTorch's arguments."""

from __future__ import annotations

import builtins
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import linalg
from tinygrad_dl.tensor import Tensor as Value
from tinygrad_dl.torch.boundary import function, is_ours, root_of, wrapped
from tinygrad_dl.torch.dtypes import Size, numpy_of, result_type_of
from tinygrad_dl.torch.elementwise import astype
from tinygrad_dl.torch.reductions import checked_dim
from tinygrad_dl.torch.registry import METHODS, TORCH, as_tensor, public


def sizes(given: Sequence[Any]) -> tuple[int, ...]:
    """Sizes given one by one or as one tuple, Tensors among them as numbers."""
    if len(given) == 1 and isinstance(given[0], (tuple, list)):
        given = given[0]
    return tuple(int(n) for n in given)


def reshaped(x: Any, shape: tuple[int, ...], what: str) -> Any:
    """The elements in another shape, one size of which may be -1."""
    known = math.prod(n for n in shape if n >= 0)
    if builtins.any(n == -1 for n in shape):
        if known == 0 or x.size % known:
            raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {x.size}")
    elif known != x.size:
        raise RuntimeError(f"shape '{list(shape)}' is invalid for input of size {x.size}")
    return tg.reshape(x, shape)


@public(view=True, method=True)
def reshape(input: Any, *shape: Any, **named: Any) -> Any:
    """The same elements in another shape, a view where that is possible."""
    return reshaped(input, sizes(shape or tuple(named.values())), "reshape")


def _viewable(x: Any, shape: tuple[int, ...]) -> bool:
    """Whether another shape can show the same memory."""
    view = x._data.view()
    try:
        view.shape = tuple(
            view.size // max(1, math.prod(m for m in shape if m != -1)) if n == -1 else n for n in shape
        )
    except AttributeError:
        return False
    return True


@public(view=True, torch=False)
def view(input: Any, *shape: Any, **named: Any) -> Any:
    """The same memory in another shape, or with another dtype."""
    shape = shape or tuple(named.values())
    if len(shape) == 1 and not isinstance(shape[0], (int, tuple, list, Value, np.integer)):
        return wrapped(input._data.view(numpy_of(shape[0])))
    new = sizes(shape)
    out = reshaped(input, new, "view")
    if (
        input.level is None
        and not input._data.flags.c_contiguous
        and not np.may_share_memory(out._data, input._data)
    ):
        raise RuntimeError(
            "view size is not compatible with input tensor's size and stride (at least one dimension spans across two "
            "contiguous subspaces). Use .reshape(...) instead."
        )
    return out


@public(view=True, torch=False)
def view_as(input: Any, other: Any) -> Any:
    """The same memory in the shape of another Tensor."""
    return view.core(input, tuple(other.shape))


@public(view=True, torch=False)
def reshape_as(input: Any, other: Any) -> Any:
    """The same elements in the shape of another Tensor."""
    return tg.reshape(input, tuple(other.shape))


@public(view=True)
def flatten(input: Any, start_dim: int = 0, end_dim: int = -1) -> Any:
    """The axes from one to another as one."""
    if not input.ndim:
        return tg.reshape(input, (1,))
    first, last = checked_dim(input, start_dim), checked_dim(input, end_dim)
    if first > last:
        raise RuntimeError("flatten() has invalid args: start_dim cannot come after end_dim")
    shape = input.shape
    return tg.reshape(input, (*shape[:first], math.prod(shape[first : last + 1]), *shape[last + 1 :]))


@public(view=True)
def unflatten(input: Any, dim: int, sizes: Any) -> Any:
    """One axis as several."""
    dim, shape = checked_dim(input, dim), input.shape
    new = [int(n) for n in sizes]
    if -1 in new:
        new[new.index(-1)] = shape[dim] // math.prod(n for n in new if n != -1)
    return reshaped(input, (*shape[:dim], *new, *shape[dim + 1 :]), "unflatten")


@public(view=True)
def ravel(input: Any) -> Any:
    """All elements along one axis."""
    return tg.reshape(input, (-1,)) if input.size else tg.reshape(input, (0,))


@public(view=True)
def squeeze(input: Any, dim: Any = None) -> Any:
    """Without axes of size 1, all of them or some; others stay."""
    if dim is None:
        chosen = tuple(d for d, n in enumerate(input.shape) if n == 1)
    else:
        given = dim if isinstance(dim, (tuple, list)) else (dim,)
        chosen = tuple(
            d for d in (checked_dim(input, d) for d in given) if input.ndim and input.shape[d] == 1
        )
    shape = tuple(n for d, n in enumerate(input.shape) if d not in chosen)
    return tg.reshape(input, shape)


@public(view=True)
def unsqueeze(input: Any, dim: int) -> Any:
    """With a new axis of size 1."""
    return tg.expand_dims(input, axis=checked_dim(input, dim, 1))


@public(view=True, aliases=("swapaxes", "swapdims"))
def transpose(input: Any, dim0: int, dim1: int) -> Any:
    """Two axes exchanged."""
    a, b = checked_dim(input, dim0), checked_dim(input, dim1)
    return tg.swapaxes(input, a, b) if input.ndim else tg.reshape(input, ())


@public(view=True)
def permute(input: Any, *dims: Any, **named: Any) -> Any:
    """The axes in another order."""
    order = sizes(dims or tuple(named.values()))
    if len(order) != input.ndim:
        raise RuntimeError(
            "permute(sparse_coo): number of dimensions in the tensor input does not match the length of the desired "
            f"ordering of dimensions i.e. input.dim() = {input.ndim} is not equal to len(dims) = {len(order)}"
        )
    return tg.permute_dims(input, tuple(checked_dim(input, d) for d in order))


@public(view=True)
def t(input: Any) -> Any:
    """The transpose of a matrix; a vector as it is."""
    if input.ndim > 2:
        raise RuntimeError(f"t() expects a tensor with <= 2 dimensions, but self is {input.ndim}D")
    return tg.permute_dims(input, tuple(range(input.ndim))[::-1])


@public(view=True, aliases=("moveaxis",))
def movedim(input: Any, source: Any, destination: Any) -> Any:
    """Axes moved to other places."""
    return tg.moveaxis(input, source, destination)


@public(view=True, lazy=True)
def adjoint(input: Any) -> Any:
    """The last two axes exchanged, and conjugated."""
    out = tg.swapaxes(input, -1, -2)
    return out.conj() if out.dtype.kind == "c" else out


@public(view=True, torch=False)
def expand(input: Any, *shape: Any, **named: Any) -> Any:
    """Axes of size 1 repeated, without copying; -1 keeps a size."""
    new = list(sizes(shape or tuple(v for k, v in named.items() if k != "implicit")))
    old = (1,) * (len(new) - input.ndim) + tuple(input.shape)
    if len(new) < input.ndim:
        raise RuntimeError(
            f"expand: the number of sizes provided ({len(new)}) must be greater or equal to the number of dimensions "
            f"in the tensor ({input.ndim})"
        )
    for i, n in enumerate(new):
        if n == -1:
            new[i] = old[i]
        elif old[i] not in (1, n):
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({old[i]}) at non-singleton "
                f"dimension {i}. Target sizes: {new}. Tensor sizes: {list(input.shape)}"
            )
    return tg.broadcast_to(input, tuple(new))


@public(view=True, torch=False)
def expand_as(input: Any, other: Any) -> Any:
    """Broadcast to the shape of another Tensor."""
    return tg.broadcast_to(input, tuple(other.shape))


@public(view=True)
def broadcast_to(input: Any, size: Any) -> Any:
    """Broadcast to a shape."""
    return expand.core(input, tuple(size))


@public(view=True, method=False)
def broadcast_tensors(*tensors: Any) -> Any:
    """Several Tensors broadcast to one shape."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    return list(tg.broadcast_arrays(*given))


def broadcast_shapes(*shapes: Any) -> Any:
    """The shape that several broadcast to."""
    return Size(np.broadcast_shapes(*[tuple(s) if isinstance(s, (list, tuple)) else (s,) for s in shapes]))


@public(torch=False)
def repeat(input: Any, *repeats: Any, **named: Any) -> Any:
    """The Tensor repeated along each axis."""
    times = sizes(repeats or tuple(named.values()))
    if len(times) < input.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor"
        )
    return tg.tile(input, times)


@public
def tile(input: Any, *dims: Any, **named: Any) -> Any:
    """The Tensor repeated along its last axes."""
    return tg.tile(input, sizes(dims or tuple(named.values())))


@public
def repeat_interleave(input: Any, repeats: Any = None, dim: Any = None, *, output_size: Any = None) -> Any:
    """Each element, or slice along an axis, repeated."""
    if repeats is None:
        return wrapped(np.repeat(np.arange(input.size), input._data))
    times = repeats._data if isinstance(repeats, Value) else repeats
    x = tg.reshape(input, (-1,)) if dim is None else input
    return tg.repeat(x, np.asarray(times), axis=0 if dim is None else dim)


@public
def flip(input: Any, *dims: Any, **named: Any) -> Any:
    """Axes reversed; a copy."""
    given = sizes(dims or tuple(named.values()))
    return tg.flip(input, axis=given) if given else input * 1


@public
def fliplr(input: Any) -> Any:
    """The second axis reversed."""
    return tg.flip(input, axis=1)


@public
def flipud(input: Any) -> Any:
    """The first axis reversed."""
    return tg.flip(input, axis=0)


@public
def rot90(input: Any, k: int = 1, dims: Any = (0, 1)) -> Any:
    """Turned by quarters in the plane of two axes."""
    a, b = dims
    k %= 4
    if k == 0:
        return input * 1 if input.dtype.kind != "b" else astype(input, "bool")
    if k == 2:
        return tg.flip(input, axis=(a, b))
    turned = tg.swapaxes(input, a, b)
    return tg.flip(turned, axis=a) if k == 1 else tg.flip(turned, axis=b)


@public
def roll(input: Any, shifts: Any, dims: Any = None) -> Any:
    """Moved along axes; what leaves at the end enters at the front."""
    if dims is None or dims == ():
        return tg.reshape(tg.roll(tg.reshape(input, (-1,)), shifts, axis=0), input.shape)
    return tg.roll(input, shifts, axis=dims)


# Joining


def _joined(tensors: Any) -> list[Any]:
    """Tensors of one dtype; empty vectors, which torch.cat skips, are left out where others have axes."""
    given = [as_tensor(x) for x in tensors]
    if not given:
        raise RuntimeError("torch.cat(): expected a non-empty list of Tensors")
    if len({x.dtype for x in given}) > 1:
        kind = result_type_of([x if x.ndim else np.empty(1, x.dtype) for x in given])
        given = [astype(x, kind) for x in given]
    return given


@public(method=False, aliases=("concat", "concatenate"))
def cat(tensors: Any, dim: int = 0) -> Any:
    """Tensors one behind another along an axis."""
    given = _joined(tensors)
    kept = [x for x in given if x.shape != (0,)]
    return tg.concat(kept or given[:1], axis=dim)


@public(method=False)
def stack(tensors: Any, dim: int = 0) -> Any:
    """Tensors of one shape along a new axis."""
    given = _joined(tensors)
    for i, x in enumerate(given):
        if x.shape != given[0].shape:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(given[0].shape)} at entry 0 and "
                f"{list(x.shape)} at entry {i}"
            )
    return tg.stack(given, axis=dim)


def _at_least(x: Any, ndim: int) -> Any:
    if ndim == 3 and x.ndim == 2:
        return tg.expand_dims(x, axis=2)
    if ndim == 3 and x.ndim == 1:
        return tg.reshape(x, (1, -1, 1)) if x.size else tg.reshape(x, (1, 0, 1))
    return tg.reshape(x, (1,) * (ndim - x.ndim) + tuple(x.shape)) if x.ndim < ndim else x


@public(method=False)
def hstack(tensors: Any) -> Any:
    """Side by side: along the second axis, of vectors the first."""
    given = [_at_least(x, 1) for x in _joined(tensors)]
    return tg.concat(given, axis=0 if given[0].ndim == 1 else 1)


@public(method=False, aliases=("row_stack",))
def vstack(tensors: Any) -> Any:
    """One below another: along the first axis."""
    return tg.concat([_at_least(x, 2) for x in _joined(tensors)], axis=0)


@public(method=False)
def dstack(tensors: Any) -> Any:
    """Along the third axis."""
    return tg.concat([_at_least(x, 3) for x in _joined(tensors)], axis=2)


@public(method=False)
def column_stack(tensors: Any) -> Any:
    """Vectors as columns beside matrices."""
    given = [tg.reshape(x, (x.size, 1)) if x.ndim < 2 else x for x in _joined(tensors)]
    return tg.concat(given, axis=1)


for _n in (1, 2, 3):

    def _make(n: int) -> Any:
        def at_least(*tensors: Any) -> Any:
            given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
            found = tuple(_at_least(x, n) for x in given)
            return found[0] if len(given) == 1 and given is tensors else found

        at_least.__name__ = f"atleast_{n}d"
        at_least.__doc__ = f"Tensors of at least {n} axes."
        return at_least

    public(method=False, view=True)(_make(_n))


@public(method=False)
def block_diag(*tensors: Any) -> Any:
    """Matrices along the diagonal of one."""
    given = [_at_least(x, 2) for x in _joined(tensors)]
    columns = sum(x.shape[1] for x in given)
    rows, start = [], 0
    for x in given:
        widths: Any = ((0, 0), (start, columns - start - x.shape[1]))
        rows.append(tg.pad(x, widths))
        start += x.shape[1]
    return tg.concat(rows, axis=0)


@public(method=False)
def cartesian_prod(*tensors: Any) -> Any:
    """All combinations of the elements of vectors."""
    if len(tensors) == 1:
        return tensors[0]
    return tg.stack([tg.reshape(g, (-1,)) for g in tg.meshgrid(*tensors, indexing="ij")], axis=-1)


@public(method=False)
def combinations(input: Any, r: int = 2, with_replacement: bool = False) -> Any:
    """All choices of r elements of a vector."""
    import itertools

    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    found = np.array(list(choose(range(input.shape[0]), r)), np.int64).reshape(-1, r)
    return tg.take(input, found, axis=0)


@public(method=False, view=True)
def meshgrid(*tensors: Any, indexing: Any = None) -> Any:
    """The coordinates of a grid."""
    given = tensors[0] if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    if indexing is None:
        warnings.warn(
            "torch.meshgrid: in an upcoming release, it will be required to pass the indexing argument.",
            stacklevel=4,
        )
    return tuple(tg.meshgrid(*given, indexing=indexing or "ij"))


# Parts


@public(view=True)
def split(input: Any, split_size_or_sections: Any, dim: int = 0) -> Any:
    """Parts of a size along an axis, the last one may be smaller; or of given sizes."""
    dim = checked_dim(input, dim)
    n = input.shape[dim]
    given = split_size_or_sections
    if isinstance(given, (int, np.integer)):
        if given <= 0 and n:
            raise RuntimeError(f"split expects split_size be positive, but got split_size={given}")
        cuts = [builtins.min(int(given), n - i) for i in range(0, n, int(given))] if n else [0]
    else:
        cuts = [int(s) for s in given]
        if sum(cuts) != n:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {n} (input tensor's size at dimension {dim}), "
                f"but got split_sizes={cuts}"
            )
    return tuple(_parts(input, dim, cuts))


def _parts(x: Any, dim: int, lengths: Sequence[int]) -> list[Any]:
    found, begin = [], 0
    for length in lengths:
        found.append(x[(slice(None),) * dim + (slice(begin, begin + length),)])
        begin += length
    return found


@public(view=True, torch=True)
def split_with_sizes(input: Any, split_sizes: Any, dim: int = 0) -> Any:
    """Parts of given sizes along an axis."""
    return split.core(input, list(split_sizes), dim)


@public(view=True)
def chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """At most so many parts of one size, the last one may be smaller."""
    if chunks <= 0:
        raise RuntimeError("chunk expects `chunks` to be greater than 0")
    n = input.shape[checked_dim(input, dim)]
    return split.core(input, builtins.max(-(-n // chunks), 1), dim) if n else (input,) * chunks


@public(view=True)
def tensor_split(input: Any, indices_or_sections: Any, dim: int = 0) -> Any:
    """Parts between indices, or so many of sizes as equal as can be."""
    dim, given = checked_dim(input, dim), indices_or_sections
    n = input.shape[dim]
    given = given._data.tolist() if isinstance(given, Value) else given
    if isinstance(given, int):
        size, rest = divmod(n, given)
        return tuple(_parts(input, dim, [size + (i < rest) for i in range(given)]))
    ends = [*given, n]
    begins = [0, *given]
    return tuple(input[(slice(None),) * dim + (slice(a, b),)] for a, b in zip(begins, ends))


@public(view=True)
def hsplit(input: Any, indices_or_sections: Any) -> Any:
    """Parts along the second axis, of a vector the first."""
    return tensor_split.core(input, indices_or_sections, 0 if input.ndim == 1 else 1)


@public(view=True)
def vsplit(input: Any, indices_or_sections: Any) -> Any:
    """Parts along the first axis."""
    return tensor_split.core(input, indices_or_sections, 0)


@public(view=True)
def dsplit(input: Any, indices_or_sections: Any) -> Any:
    """Parts along the third axis."""
    return tensor_split.core(input, indices_or_sections, 2)


@public(view=True)
def unbind(input: Any, dim: int = 0) -> Any:
    """The slices along an axis, without it."""
    dim = checked_dim(input, dim)
    return tuple(input[(slice(None),) * dim + (i, Ellipsis)] for i in range(input.shape[dim]))


@public(view=True)
def narrow(input: Any, dim: int, start: Any, length: int) -> Any:
    """`length` slices along an axis from `start` on."""
    dim, start = checked_dim(input, dim), int(start)
    n = input.shape[dim]
    start = start + n if start < 0 else start
    if length < 0 or start + length > n:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({n}).")
    return input[(slice(None),) * dim + (slice(start, start + length),)]


@public(view=True)
def select(input: Any, dim: int, index: Any) -> Any:
    """One slice along an axis, without it."""
    return input[(slice(None),) * checked_dim(input, dim) + (int(index), Ellipsis)]


@public(view=True)
def diagonal(input: Any, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Any:
    """The diagonal of two axes, along a new last one."""
    return linalg.diagonal(tg.moveaxis(input, (dim1, dim2), (-2, -1)), offset=offset)


@public
def diag(input: Any, diagonal: int = 0) -> Any:
    """The diagonal of a matrix, or the matrix with a diagonal."""
    return tg.diag(input, diagonal)


@public
def diagflat(input: Any, offset: int = 0) -> Any:
    """The matrix with all elements along a diagonal."""
    return tg.diag(tg.reshape(input, (-1,)), offset)


@public
def diag_embed(input: Any, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Any:
    """Matrices with the last axis along a diagonal."""
    n = input.shape[-1] + abs(offset)
    rows = np.arange(input.shape[-1]) + builtins.max(-offset, 0)
    columns = np.arange(input.shape[-1]) + builtins.max(offset, 0)
    out = tg.zeros((*input.shape[:-1], n, n), dtype=input.dtype)
    from tinygrad_dl.ops.index import setitem

    out = setitem(out, input, (Ellipsis, rows, columns))
    return tg.moveaxis(out, (-2, -1), (dim1, dim2))


@public
def trace(input: Any) -> Any:
    """The sum of the diagonal."""
    return tg.trace(input)


@public(in_place=True)
def tril(input: Any, diagonal: int = 0) -> Any:
    """Zeros above a diagonal."""
    return tg.tril(input, k=diagonal)


@public(in_place=True)
def triu(input: Any, diagonal: int = 0) -> Any:
    """Zeros below a diagonal."""
    return tg.triu(input, k=diagonal)


@public(view=True, torch=False)
def unfold(input: Any, dimension: int, size: int, step: int) -> Any:
    """Windows of a size along an axis, in a new last one."""
    if not input.ndim:
        return tg.reshape(input, (1,))
    dim = checked_dim(input, dimension)
    starts = np.arange(0, input.shape[dim] - size + 1, step)
    windows = tg.take(input, starts[:, None] + np.arange(size), axis=dim)
    out = tg.moveaxis(windows, dim + 1, -1)
    if input.level is None:  # a view, which writing to reaches
        shown = np.lib.stride_tricks.sliding_window_view(input._data, size, dim, writeable=True)
        out._data = shown[(slice(None),) * dim + (slice(None, None, step),)]
    return out


@public(view=True, aliases=("positive",))
def alias(input: Any) -> Any:
    """The Tensor itself."""
    return tg.reshape(input, input.shape)


@public(method=False)
def tril_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
) -> Any:
    """The positions of the lower triangle, as two rows."""
    return wrapped(
        np.stack(np.tril_indices(row, offset, col)).astype(np.int64 if dtype is None else numpy_of(dtype))
    )


@public(method=False)
def triu_indices(
    row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None, layout: Any = None
) -> Any:
    """The positions of the upper triangle, as two rows."""
    return wrapped(
        np.stack(np.triu_indices(row, offset, col)).astype(np.int64 if dtype is None else numpy_of(dtype))
    )


@public(torch=False)
def sum_to_size(input: Any, *size: Any) -> Any:
    """The sums that undo a broadcast from a shape."""
    shape = sizes(size)
    lead = input.ndim - len(shape)
    axes = tuple(range(lead)) + tuple(
        lead + d for d, n in enumerate(shape) if n == 1 and input.shape[lead + d] != 1
    )
    return tg.reshape(tg.sum(input, axes), shape) if axes else input


@public(view=True)
def unsafe_chunk(input: Any, chunks: int, dim: int = 0) -> Any:
    """chunk."""
    return chunk.core(input, chunks, dim)


@public(view=True)
def unsafe_split(input: Any, split_size: int, dim: int = 0) -> Any:
    """split."""
    return split.core(input, split_size, dim)


def _strided_positions(size: Any, stride: Any, offset: int) -> Any:
    grid = np.asarray(offset)
    for n, step in zip(size, stride):
        grid = grid[..., None] + np.arange(n) * step
    return grid


@function(view=True)
def _as_strided(input: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    if input.level is None and not input._data.flags.c_contiguous:
        raise RuntimeError("as_strided: expected a contiguous Tensor; call contiguous() or clone() first")
    where = _strided_positions(size, stride, storage_offset or 0)
    out = tg.take(tg.reshape(input, (-1,)), where, axis=0)
    if input.level is None:
        step = input._data.itemsize
        out._data = np.ndarray(
            tuple(size),
            input.dtype,
            input._data.reshape(-1),
            (storage_offset or 0) * step,
            [s * step for s in stride],
        )
    return out


def as_strided(input: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    """A view of the memory with sizes, steps and a first element of its own, also where the Tensor is a view."""
    if not is_ours(input) or input.level is not None or input._base is None:
        return _as_strided(input, size, stride, storage_offset)
    root = root_of(input)
    if root._data.dtype != input._data.dtype:
        raise RuntimeError(
            "as_strided: expected a Tensor of its own, got a view of another dtype; call clone() first"
        )
    begin = input.storage_offset() if storage_offset is None else storage_offset
    return _as_strided(
        root.detach() if input.node is None and root.node is not None else root, size, stride, begin
    )


TORCH["as_strided"] = METHODS["as_strided"] = as_strided


@public
def as_strided_scatter(input: Any, src: Any, size: Any, stride: Any, storage_offset: Any = None) -> Any:
    """The Tensor with the elements of such a view replaced."""
    from tinygrad_dl.ops.index import setitem

    where = _strided_positions(size, stride, storage_offset or 0)
    flat = setitem(tg.reshape(input, (-1,)), tg.reshape(src, (-1,)), where.reshape(-1))
    return tg.reshape(flat, input.shape)
