"""Sequences of different lengths: padding, packing, and recurrent layers that take packed ones."""

from __future__ import annotations

import copy
import itertools
import pickle
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, asarray, nn
from tinygrad_dl.autograd import grad
from tinygrad_dl.errors import ShapeError, ValueRangeError
from tinygrad_dl.nn.utils.rnn import (
    PackedSequence,
    invert_permutation,
    pack_padded_sequence,
    pack_sequence,
    pad_packed_sequence,
    pad_sequence,
    unpack_sequence,
    unpad_sequence,
)


def sequences(*lengths: int, size: int = 3) -> list[Tensor]:
    rng = np.random.default_rng(len(lengths))
    return [Tensor(rng.standard_normal((length, size)), requires_grad=True) for length in lengths]


def test_sequences_are_padded_on_the_side_and_with_the_value_asked_for() -> None:
    parts = [Tensor([1.0, 2.0, 3.0]), Tensor([]), Tensor([4.0])]
    assert pad_sequence(parts, batch_first=True).tolist() == [[1, 2, 3], [0, 0, 0], [4, 0, 0]]
    assert pad_sequence(parts, padding_value=9.0).tolist() == [[1, 9, 4], [2, 9, 9], [3, 9, 9]]
    assert pad_sequence(parts, True, padding_side="left").tolist() == [[1, 2, 3], [0, 0, 0], [0, 0, 4]]
    whole = pad_sequence([asarray(np.array([1, 2])), asarray(np.array([3]))])
    assert whole.dtype == np.int64 and whole.tolist() == [[1, 3], [2, 0]]


def test_packing_goes_step_by_step_longest_sequence_first_and_back() -> None:
    packed = pack_sequence([Tensor([1.0, 2.0]), Tensor([3.0]), Tensor([4.0, 5.0, 6.0])], enforce_sorted=False)
    assert packed.data.tolist() == [4, 1, 3, 5, 2, 6] and packed.batch_sizes.tolist() == [3, 2, 1]
    assert packed.sorted_indices.tolist() == [2, 0, 1] and packed.unsorted_indices.tolist() == [1, 2, 0]
    assert invert_permutation(packed.sorted_indices).tolist() == packed.unsorted_indices.tolist()
    padded, lengths = pad_packed_sequence(packed, batch_first=True, padding_value=-1.0, total_length=4)
    assert padded.tolist() == [[1, 2, -1, -1], [3, -1, -1, -1], [4, 5, 6, -1]] and lengths.tolist() == [
        2,
        1,
        3,
    ]
    assert [part.tolist() for part in unpack_sequence(packed)] == [[1, 2], [3], [4, 5, 6]]
    assert [part.tolist() for part in unpad_sequence(padded, lengths, batch_first=True)] == [
        [1, 2],
        [3],
        [4, 5, 6],
    ]


def test_padding_longer_than_the_longest_sequence_is_left_out() -> None:
    packed = pack_padded_sequence(Tensor(np.ones((5, 2, 1))), Tensor([2, 1]))
    assert packed.data.shape == (3, 1) and packed.sorted_indices is None is packed.unsorted_indices


def test_gradients_pass_packing_and_padding_once_to_each_element_and_not_to_padding() -> None:
    x = Tensor(np.zeros((3, 2)), requires_grad=True)
    padded, _ = pad_packed_sequence(pack_padded_sequence(x, [1, 3], enforce_sorted=False), padding_value=5.0)
    padded.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [[1, 1], [0, 1], [0, 1]]
    parts = sequences(2, 0, 3)
    (pad_sequence(parts) ** 2).sum().backward()
    for part in parts:
        assert part.grad is not None and np.array_equal(part.grad.data, 2 * part.data)


def test_a_packed_sequence_changes_its_dtype_and_is_copied_and_pickled() -> None:
    packed = pack_sequence([Tensor([1.0, 2.0]), Tensor([3.0])])
    assert packed.to("cpu") is packed.float() is packed.cpu()
    assert packed.double().data.dtype == np.float64 and packed.half().data.dtype == np.float16
    for twin in (copy.deepcopy(packed), pickle.loads(pickle.dumps(packed))):
        assert type(twin) is PackedSequence and twin.data.tolist() == packed.data.tolist()
    with pytest.raises(
        ValueError, match="^to: expected the device \"cpu\", which is the only one, got 'cuda:0'$"
    ):
        packed.to("cuda:0")


LAYERS = list(
    itertools.product([nn.RNN, nn.GRU, nn.LSTM], [False, True], [[5, 3, 3, 1], [2, 5, 1, 4], [2, 2]])
)


@pytest.mark.parametrize(("kind", "bidirectional", "lengths"), LAYERS)
def test_a_recurrent_layer_treats_each_packed_sequence_as_if_it_came_alone(
    kind: Any, bidirectional: bool, lengths: list[int]
) -> None:
    layer = kind(3, 4, num_layers=2, bidirectional=bidirectional, rng=0).double()
    parts = sequences(*lengths)
    directions = 4 if bidirectional else 2
    h, c = (
        Tensor(a, requires_grad=True) for a in np.random.default_rng(0).random((2, directions, len(parts), 4))
    )
    lstm = kind is nn.LSTM
    out, last = layer(pack_sequence(parts, enforce_sorted=False), (h, c) if lstm else h)
    assert isinstance(out, PackedSequence)
    got = [*unpack_sequence(out), *(last if lstm else (last,))]
    alone = [layer(part, (h[:, i], c[:, i]) if lstm else h[:, i]) for i, part in enumerate(parts)]
    ends = zip(*(end if lstm else (end,) for _, end in alone))
    wanted = [*(out for out, _ in alone), *(np.stack(list(end), axis=1) for end in ends)]
    for a, b in zip(got, wanted):
        np.testing.assert_allclose(a.data, b.data, atol=1e-12)
    leaves = [*parts, *layer.parameters(), h, *([c] if lstm else [])]
    first = grad(sum((a**3).sum() for a in got), leaves, retain_graph=True)
    for a, b, d in zip(
        first,
        grad(sum((b**3).sum() for b in wanted), leaves),
        grad(sum((a**3).sum() for a in got), leaves, create_graph=True),
    ):
        np.testing.assert_allclose(a.data, b.data, atol=1e-11)
        np.testing.assert_allclose(a.data, d.data, atol=1e-11)


def test_a_projected_lstm_and_one_with_the_batch_first_take_packed_sequences() -> None:
    layer = nn.LSTM(3, 5, proj_size=2, bidirectional=True, batch_first=True).double()
    x = Tensor(np.ones((2, 4, 3)))
    out, (h, c) = layer(pack_padded_sequence(x, [4, 2], batch_first=True))
    padded, _ = pad_packed_sequence(out, batch_first=True)
    assert (padded.shape, h.shape, c.shape) == ((2, 4, 4), (2, 2, 2), (2, 2, 5))
    np.testing.assert_allclose(padded.data[1, :2], layer(x[1, :2])[0].data, atol=1e-12)


def test_float32_stays_float32_in_packed_sequences() -> None:
    layer = nn.GRU(2, 3)
    out, last = layer(pack_padded_sequence(Tensor(np.ones((3, 2, 2), np.float32)), [3, 1]))
    out.data.sum().backward()
    assert out.data.dtype == last.dtype == np.float32
    assert all(p.grad is not None and p.grad.dtype == np.float32 for p in layer.parameters())


@pytest.mark.parametrize(
    ("call", "kind", "message"),
    [
        (
            lambda x: pack_padded_sequence(x, [1, 2]), ValueRangeError,
            "pack_padded_sequence: expected decreasing lengths, got [1, 2]. "
            "Pass enforce_sorted=False to have them sorted.",
        ),
        (
            lambda x: pack_padded_sequence(x, [3, 0]), ValueRangeError,
            "pack_padded_sequence: expected at least one length, each from 1 to T = 3, got [3, 0]",
        ),
        (
            lambda x: pack_padded_sequence(x, [4, 1]), ValueRangeError,
            "pack_padded_sequence: expected at least one length, each from 1 to T = 3, got [4, 1]",
        ),
        (
            lambda x: pack_padded_sequence(x[:, :0], np.zeros(0, int)), ValueRangeError,
            "pack_padded_sequence: expected at least one length, each from 1 to T = 3, got []",
        ),
        (
            lambda x: pack_padded_sequence(x, [3]), ShapeError,
            "pack_padded_sequence: expected 2 lengths, one per sequence, got 1",
        ),
        (
            lambda x: pack_padded_sequence(x[0], [3]), ShapeError,
            "pack_padded_sequence: expected an input of at least the axes T and N, got the shape (2,)",
        ),
        (
            lambda x: pad_packed_sequence(pack_padded_sequence(x, [3, 1]), total_length=2), ValueRangeError,
            "pad_packed_sequence: expected total_length of at least 3, the longest sequence, got 2",
        ),
        (
            lambda x: pad_sequence([x, x[:, :1]]), ShapeError,
            "pad_sequence: expected at least one sequence, and shapes that differ in the first size only, got "
            "[(3, 2), (3, 1)]",
        ),
        (
            lambda x: pad_sequence([]), ShapeError,
            "pad_sequence: expected at least one sequence, and shapes that differ in the first size only, got []",
        ),
        (
            lambda x: pad_sequence([x], padding_side="top"), ValueRangeError,
            "pad_sequence: expected padding_side 'right' or 'left', got 'top'",
        ),
        (
            lambda x: unpad_sequence(x, [1]), ShapeError,
            "unpad_sequence: expected 2 lengths, one per sequence, got 1",
        ),
        (
            lambda x: nn.RNN(4, 2)(pack_padded_sequence(x[..., None], [3, 1])), ShapeError,
            "RNN: expected input packed sequences of (L, I) with I = input_size = 4, got (4, 1) [in RNN(4, 2)]",
        ),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_explained(call: Any, kind: type[Exception], message: str) -> None:
    with pytest.raises(kind) as error:
        call(Tensor(np.zeros((3, 2), np.float32)))
    assert str(error.value) == message
