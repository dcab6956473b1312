"""The Tensors that ranks hold in common: named, compared, copied from rank 0, and averaged over the ranks."""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias, Union

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.distributed.gradients import Reducer
from tinygrad_dl.distributed.world import World, ranks_text, world
from tinygrad_dl.errors import CommunicationError, DTypeError, UninitializedError
from tinygrad_dl.nn import Module
from tinygrad_dl.tensor import Tensor

#: What functions of this package take: a model, its Tensors, pairs (name, Tensor), or a dict of them.
Tensors: TypeAlias = Union[Module, Iterable[Any], Mapping[str, Any]]


def named(called: str, tensors: Tensors, buffers: bool = True) -> dict[str, Tensor]:
    """Name -> Tensor of what a function was given. Raises DTypeError, UninitializedError."""
    if isinstance(tensors, Module):
        found: dict[str, Any] = dict(tensors.named_parameters())
        if buffers:
            found.update(tensors.named_buffers())
    elif isinstance(tensors, Mapping):
        found = dict(tensors)
    elif isinstance(tensors, Iterable) and not isinstance(tensors, (Tensor, np.ndarray, str, bytes)):
        entries = list(tensors)
        pairs = bool(entries) and all(isinstance(e, tuple) and len(e) == 2 for e in entries)
        found = dict(entries) if pairs else {x_name(x, i): x for i, x in enumerate(entries)}
    else:
        raise DTypeError(
            f"{called}: expected a model or its parameters, such as model.parameters(), got {describe(tensors)}"
        )
    for name, tensor in found.items():
        if not isinstance(tensor, Tensor):
            raise DTypeError(f"{called}: {name}: expected a Tensor, got {describe(tensor)}")
        try:
            tensor.shape  # noqa: B018 - a parameter of a lazy layer has none
        except UninitializedError as error:
            raise UninitializedError(
                f"{called}: {name}: {error}. Call the model once before it is spread over the ranks."
            ) from None
    return found


def x_name(tensor: Any, i: int) -> str:
    """The name of a Tensor that came without one."""
    return getattr(tensor, "name", None) or f"parameter {i}"


def broadcast(model_or_parameters: Tensors) -> None:
    """Give every rank the parameters and buffers of rank 0, in place.

    Takes a model, Tensors such as `model.parameters()`, pairs (name, Tensor), or a dict of them. Raises
    CommunicationError, which names the Tensor, where names, shapes or dtypes differ between ranks.

    >>> from tinygrad_dl import nn
    >>> broadcast(nn.Linear(2, 3))
    """
    tensors = named("broadcast", model_or_parameters)
    group = world()
    if group.size == 1:
        return
    check_alike("broadcast", tensors, group)
    for tensor in tensors.values():
        array = np.ascontiguousarray(tensor._data)
        group.broadcast_array(array)
        if array is not tensor._data:
            tensor._data[...] = array


def check_alike(called: str, tensors: Mapping[str, Tensor], group: World) -> None:
    """Raise CommunicationError on all ranks where names, shapes or dtypes of the Tensors differ between them."""
    kinds = group.gather([(name, t.shape, str(t.dtype)) for name, t in tensors.items()])
    for rank, other in enumerate(kinds):
        if other == kinds[0]:
            continue
        for first, its in zip(kinds[0], other):
            if first != its:
                raise CommunicationError(
                    f"{called}: expected the same Tensors on all ranks, got {_text(first)} on rank 0, and "
                    f"{_text(its)} on rank {rank}"
                )
        raise CommunicationError(
            f"{called}: expected the same Tensors on all ranks, got {len(kinds[0])} on rank 0, and {len(other)} on "
            f"rank {rank}"
        )


def _text(kind: tuple[str, tuple[int, ...], str]) -> str:
    name, shape, dtype = kind
    return f"{name} {dtype}{shape}"


def average_gradients(params: Tensors, weight: float | None = None) -> None:
    """Replace each `.grad` by its average over the ranks, in place: all ranks call it after `backward`.

    g = sum_r weight_r g_r / sum_r weight_r over the ranks r; without `weight` their plain mean. Where the loss is a
    mean over examples, `weight=` the number of examples of this rank makes it the mean over all of them. A rank of
    weight 0 adds nothing; a parameter that has no gradient on one rank, but on another, counts as 0 there. Raises
    CommunicationError, ValueRangeError.

    >>> from tinygrad_dl import Tensor
    >>> w = Tensor([1.0, 2.0], requires_grad=True)
    >>> (w * w).sum().backward()
    >>> average_gradients([w])
    >>> w.grad
    Tensor([2., 4.])
    """
    tensors = named("average_gradients", params, buffers=False)
    Reducer(tensors, world(), check=True).average(1.0 if weight is None else weight)


def all_equal(tensors: Mapping[str, Tensor], group: World, when: str) -> None:
    """Raise CommunicationError on all ranks where the bits of a Tensor differ between them: its name, and `when`."""
    sums = np.array([zlib.crc32(np.ascontiguousarray(t._data).data) for t in tensors.values()], np.int64)
    # One exchange: the largest sums, and the smallest as the largest of the negative ones.
    ends = group.reduce(np.concatenate([sums, -sums]), "max")
    differing = np.flatnonzero(ends[: sums.size] != -ends[sums.size :])
    if not differing.size:
        return
    first = int(differing[0])
    all_sums = [int(value) for value in group.gather(int(sums[first]))]
    others = [rank for rank, value in enumerate(all_sums) if value != all_sums[0]]
    name = list(tensors)[first]
    raise CommunicationError(
        f"expected the same bits on all ranks {when}, got another {name} on {ranks_text(others)} than on rank 0"
        f"{f', as for {differing.size - 1} more parameters' if differing.size > 1 else ''}. Was something changed on "
        "some ranks only, or are their processors or libraries of different kinds?"
    )
