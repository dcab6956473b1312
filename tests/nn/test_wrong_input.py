"""Wrong input of layers, functions, initializers and utilities: one clear error, and nothing is changed before it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, nn
from tinygrad_dl.errors import DTypeError, IndexRangeError, ShapeError, TinygradError, ValueRangeError
from tinygrad_dl.nn import functional as F


def ones(*shape: int) -> Tensor:
    return tg.ones(shape)


SCORES = Tensor(np.random.default_rng(0).random((5, 4)).astype(np.float32))
CLASSES = np.array([0, 1, 2, 3, 0])


def raised(call: Callable[[], Any]) -> TinygradError:
    with pytest.raises(TinygradError) as caught:
        call()
    error = caught.value
    assert error.__cause__ is None and (error.__context__ is None or error.__suppress_context__)
    return error


# What learners type


def test_nested_lists_are_taken_as_arrays() -> None:
    np.testing.assert_allclose(F.softmax([[1.0, 1.0]], -1).numpy(), [[0.5, 0.5]])  # type: ignore[arg-type]
    assert F.conv2d([[[[1.0, 2.0]]]], [[[[3.0]]]]).tolist() == [[[[3.0, 6.0]]]]  # type: ignore[arg-type]
    assert F.layer_norm([[1.0, 3.0]], [2], eps=0).tolist() == [[-1.0, 1.0]]  # type: ignore[arg-type]
    out = nn.BatchNorm1d(2, eps=1e-12)([[1.0, 2.0], [3.0, 6.0]])
    assert out.tolist() == [[-1.0, -1.0], [1.0, 1.0]]
    assert nn.Conv2d(1, 3, 1)([[[[1.0]]]]).shape == (1, 3, 1, 1)
    assert nn.LSTM(2, 3)([[[1.0, 2.0]]])[0].shape == (1, 1, 3)
    assert nn.Sequential(nn.Flatten(), nn.Linear(2, 1))([[[1.0, 2.0]]]).shape == (1, 1)


def test_nested_lists_are_taken_by_layers_with_hooks_which_run_once() -> None:
    layer, seen = nn.BatchNorm1d(2), []
    layer.register_forward_pre_hook(lambda module, args: seen.append(args))
    assert layer([[1.0, 2.0], [3.0, 4.0]]).shape == (2, 2)
    assert len(seen) == 1 and layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: F.softmax(None, -1), "softmax: input: expected a Tensor or an array, got NoneType None"),
        (
            lambda: F.conv2d("a", ones(1, 1, 1, 1)),
            "conv2d: input: expected a Tensor or an array, got str 'a'",
        ),
        (
            lambda: nn.Conv2d(2, 3, 1)(None),
            "Conv2d: input: expected a Tensor or an array, got NoneType None "
            "[in Conv2d(2, 3, kernel_size=(1, 1), stride=(1, 1))]",
        ),
        (
            lambda: nn.LSTM(2, 3)(None),
            "LSTM: input: expected a Tensor, an array or a PackedSequence, got NoneType None [in LSTM(2, 3)]",
        ),
        (
            lambda: nn.Sequential(nn.Tanh(), nn.Flatten())(None),
            "Tanh: input: expected a Tensor or an array, got NoneType None [in Sequential.0: Tanh()]",
        ),
        (
            lambda: nn.init.normal_(None),
            "normal_: tensor: expected a Tensor, got NoneType None. Pass one parameter, such as layer.weight.",
        ),
        (
            lambda: nn.utils.clip_grad_norm_([1.0], 1.0),
            "clip_grad_norm_: parameters: expected a model, a Tensor or several Tensors, got float 1.0 as number 0",
        ),
        (
            lambda: F.gelu(np.array(["a"])),
            "gelu: input: expected a Tensor or an array, got an array of shape (1,) and dtype <U1",
        ),
    ],
)
def test_what_is_no_array_is_refused_by_the_name_of_the_argument(call: Any, words: str) -> None:
    assert str(raised(call)) == words


def test_a_layer_in_the_place_of_its_weight_is_told_so() -> None:
    message = str(raised(lambda: nn.init.xavier_uniform_(nn.Linear(2, 2))))  # type: ignore[arg-type]
    assert message.startswith("xavier_uniform_: tensor: expected a Tensor, got Linear Linear(in_features=2, ")
    assert message.endswith(". Pass one parameter, such as layer.weight.")


def test_errors_of_the_users_own_code_stay_as_they_are() -> None:
    class Own(nn.Module):
        def forward(self, x: Any) -> Any:
            return x["missing"]

    for model in (Own(), nn.Sequential(nn.ReLU(), Own())):
        with pytest.raises((KeyError, IndexError, TypeError)) as caught:
            model({} if isinstance(model, Own) else ones(2))
        if isinstance(model, Own):
            assert type(caught.value) is KeyError

    def distance(x: Any, y: Any) -> Any:
        raise ZeroDivisionError("mine")

    with pytest.raises(ZeroDivisionError, match="^mine$"):
        F.triplet_margin_with_distance_loss(ones(2, 2), ones(2, 2), ones(2, 2), distance_function=distance)


# Options


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: nn.LSTM(3, 5, batch_first="False"),
            DTypeError,
            "LSTM: batch_first: expected True or False, got str 'False'",
        ),
        (
            lambda: nn.GRU(3, 5, bias="False"),
            DTypeError,
            "GRU: bias: expected True or False, got str 'False'",
        ),
        (
            lambda: F.dropout(ones(2), training="False"),
            DTypeError,
            "dropout: training: expected True or False, got str 'False'",
        ),
        (
            lambda: F.relu(ones(2), inplace="no"),
            DTypeError,
            "relu: inplace: expected True or False, got str 'no'",
        ),
        (
            lambda: F.max_pool1d(ones(1, 1, 4), 2, return_indices="no"),
            DTypeError,
            "max_pool1d: return_indices: expected True or False, got str 'no'",
        ),
        (
            lambda: nn.BatchNorm1d(2, eps=0),
            ValueRangeError,
            "BatchNorm1d: eps: expected a number above 0, got int 0",
        ),
        (
            lambda: nn.BatchNorm2d(2, eps=-1.0),
            ValueRangeError,
            "BatchNorm2d: eps: expected a number above 0, got float -1.0",
        ),
        (
            lambda: F.batch_norm(ones(3, 2), None, None, training=True, eps=0.0),
            ValueRangeError,
            "batch_norm: eps: expected a number above 0, got float 0.0",
        ),
        (
            lambda: nn.LayerNorm(2, eps=-1.0),
            ValueRangeError,
            "LayerNorm: eps: expected a number of at least 0, got float -1.0",
        ),
        (
            lambda: nn.HuberLoss(delta=1 + 0j),
            DTypeError,
            "HuberLoss: delta: expected a number above 0, got complex (1+0j)",
        ),
        (
            lambda: nn.LSTM(0, 5),
            ValueRangeError,
            "LSTM: input_size: expected an int of at least 1, got int 0",
        ),
        (
            lambda: nn.Linear(2**40, 1),
            ValueRangeError,
            (
                "Linear: in_features: expected an int of at least 0 and at most 2147483647, got int "
                "1099511627776"
            ),
        ),
        (
            lambda: nn.Conv1d(4, 5, 3, padding=2**40),
            ValueRangeError,
            (
                "Conv1d: padding: expected an int of at least 0 or a sequence of them or a string and at "
                "most 2147483647, got int 1099511627776"
            ),
        ),
        (
            lambda: nn.Conv1d(4, 5, 3, stride=b"x"),
            DTypeError,
            "Conv1d: stride: expected an int of at least 1 or a sequence of them, got bytes b'x'",
        ),
        (
            lambda: nn.Linear(True, 2),
            ValueRangeError,
            "Linear: in_features: expected an int of at least 0, got bool True",
        ),
        (
            lambda: nn.GRU(3, 5.0),
            DTypeError,
            "GRU: hidden_size: expected an int of at least 1, got float 5.0",
        ),
        (
            lambda: nn.MaxPool2d((2, 2, 2)),
            ShapeError,
            "MaxPool2d: kernel_size=(2, 2, 2): expected an int or 2 ints, one for each spatial dimension",
        ),
        (
            lambda: F.max_pool2d(ones(1, 1, 4, 4), 2, padding=-1),
            ValueRangeError,
            "max_pool2d: padding: expected an int of at least 0 or a sequence of them, got int -1",
        ),
        (
            lambda: nn.LocalResponseNorm(-1),
            ValueRangeError,
            "LocalResponseNorm: size: expected an int of at least 1, got int -1",
        ),
        (
            lambda: F.rrelu(ones(2), 0.3, 0.1),
            ValueRangeError,
            "rrelu: expected lower of at most upper, got lower=0.3 and upper=0.1",
        ),
        (
            lambda: nn.RReLU(0.3, 0.1),
            ValueRangeError,
            "RReLU: expected lower of at most upper, got lower=0.3 and upper=0.1",
        ),
        (
            lambda: nn.Hardtanh(1.0, -1.0),
            ValueRangeError,
            "Hardtanh: expected min_val below max_val, got min_val=1.0 and max_val=-1.0",
        ),
        (lambda: nn.CELU(0.0), ValueRangeError, "CELU: expected alpha other than 0, got 0"),
        (
            lambda: F.lp_pool1d(ones(1, 1, 4), 0, 2),
            ValueRangeError,
            "lp_pool1d: norm_type: expected a number above 0, got int 0",
        ),
        (
            lambda: F.dropout(ones(2), 1.5, training=False),
            ValueRangeError,
            "dropout: p: expected a number in [0, 1], got float 1.5",
        ),
        (
            lambda: nn.GELU("erf"),
            ValueRangeError,
            "GELU: approximate: expected one of 'none', 'tanh', got str 'erf'",
        ),
        (
            lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2], div_value=0),
            ValueRangeError,
            "AdaptiveLogSoftmaxWithLoss: div_value: expected a number above 0, got int 0",
        ),
        (
            lambda: nn.Embedding(4, 3, _weight=ones(3, 3)),
            ShapeError,
            "Embedding: expected _weight of shape (4, 3), got (3, 3)",
        ),
        (
            lambda: nn.init.normal_(ones(2), std=-1),
            ValueRangeError,
            "normal_: std: expected a number of at least 0, got int -1",
        ),
        (
            lambda: nn.init.trunc_normal_(ones(2), std=0),
            ValueRangeError,
            "trunc_normal_: std: expected a number above 0, got int 0",
        ),
        (
            lambda: nn.init.uniform_(ones(2), 1, 0),
            ValueRangeError,
            "uniform_: expected a of at most b, got a=1 and b=0",
        ),
        (
            lambda: nn.init.xavier_normal_(ones(2, 2), gain="2"),
            DTypeError,
            "xavier_normal_: gain: expected a number of at least 0, got str '2'",
        ),
        (
            lambda: nn.utils.clip_grad_norm_([ones(2)], -1.0),
            ValueRangeError,
            "clip_grad_norm_: expected max_norm of at least 0, got -1.0",
        ),
        (
            lambda: nn.utils.clip_grad_norm_([ones(2)], 1.0, error_if_nonfinite="no"),
            DTypeError,
            "clip_grad_norm_: error_if_nonfinite: expected True or False, got str 'no'",
        ),
        (
            lambda: nn.utils.parametrizations.weight_norm(nn.Linear(2, 2), dim=7),
            ValueError,
            "weight_norm: expected dim to be an axis of a weight of shape (2, 2), got 7",
        ),
    ],
)
def test_options_are_honored_or_refused(call: Any, kind: type[Exception], words: str) -> None:
    error = raised(call)
    assert isinstance(error, kind) and str(error) == words


def test_a_refused_option_is_refused_every_time_and_a_right_one_taken() -> None:
    for _ in range(2):
        assert F.dropout(ones(2), 0.5, training=False).tolist() == [1.0, 1.0]
        with pytest.raises(ValueRangeError):
            F.dropout(ones(2), -0.5, training=False)
    assert F.max_pool1d(ones(1, 1, 4), [2], stride=np.array([2])).shape == (1, 1, 2)
    assert F.dropout(ones(2), np.float32(0.5), training=np.True_).shape == (2,)  # type: ignore[arg-type]
    assert nn.RNN(2, 3, bias=0, batch_first=1).batch_first == 1  # type: ignore[arg-type]


def test_an_initializer_that_refuses_leaves_the_weight() -> None:
    layer = nn.Linear(2, 2)
    before = layer.weight.data.copy()
    raised(lambda: nn.init.uniform_(layer.weight, 0.0, float("inf")))
    raised(lambda: nn.init.kaiming_uniform_(layer.weight, nonlinearity="abc"))
    np.testing.assert_array_equal(layer.weight.data, before)


# Losses


@pytest.mark.parametrize(
    ("call", "kind", "words"),
    [
        (
            lambda: F.multi_margin_loss(SCORES, CLASSES, weight=ones(5)),
            ShapeError,
            (
                "multi_margin_loss: expected weight to have one number for each of the 4 classes of the "
                "input (5, 4), got the shape (5,)"
            ),
        ),
        (
            lambda: F.multi_margin_loss(SCORES, CLASSES, weight=()),
            ShapeError,
            (
                "multi_margin_loss: expected weight to have one number for each of the 4 classes of the "
                "input (5, 4), got the shape (0,)"
            ),
        ),
        (
            lambda: F.multi_margin_loss(SCORES, [0.7, 1.9, 2.5, 3.0, 0.0]),
            DTypeError,
            (
                "multi_margin_loss: expected integers in target, got float32. Convert them with "
                ".astype('int64')."
            ),
        ),
        (
            lambda: F.multi_margin_loss(SCORES, [0, 1, 2, 3, 4]),
            IndexRangeError,
            "multi_margin_loss: expected target classes from 0 to 3, got 4",
        ),
        (
            lambda: F.multilabel_margin_loss(SCORES, SCORES * 3),
            DTypeError,
            (
                "multilabel_margin_loss: expected integers in target, got float32. Convert them with "
                ".astype('int64')."
            ),
        ),
        (
            lambda: F.ctc_loss(ones(3, 1, 2), [[1.5]], [3], [1]),
            DTypeError,
            "ctc_loss: expected integers in targets, got float32. Convert them with .astype('int64').",
        ),
        (
            lambda: F.ctc_loss(ones(3, 1, 2), [[1]], [2.5], [1]),
            DTypeError,
            (
                "ctc_loss: expected integers in input_lengths, got float32. Convert them with "
                ".astype('int64')."
            ),
        ),
        (
            lambda: F.ctc_loss(ones(3, 1, 2), 1, [3], [1]),
            ShapeError,
            "ctc_loss: expected targets (N, S), or all in a row, got the shape ()",
        ),
        (
            lambda: F.nll_loss(SCORES, CLASSES, weight=ones(3)),
            ShapeError,
            (
                "nll_loss: expected weight to have one number for each of the 4 classes of the input (5, 4), "
                "got the shape (3,)"
            ),
        ),
        (
            lambda: F.nll_loss(1.0, 0),
            ShapeError,
            "nll_loss: expected log-probabilities of shape (C,) or (N, C, ...), got a scalar",
        ),
        (
            lambda: F.cross_entropy(SCORES, ones(5, 4) / 4, ignore_index=1),
            ValueRangeError,
            (
                "cross_entropy: ignore_index is for targets of classes, got ignore_index=1 with "
                "probabilities. Set the probabilities of what does not count to 0."
            ),
        ),
        (
            lambda: F.linear_cross_entropy(ones(2, 3), ones(2), ones(2, 2)),
            ShapeError,
            "linear_cross_entropy: expected linear_weight of shape (C, ..., in), got (2,)",
        ),
        (
            lambda: F.binary_cross_entropy(ones(2), ones(2), weight=ones(3, 2)),
            ShapeError,
            "binary_cross_entropy: expected weight to broadcast to the input (2,), got the shape (3, 2)",
        ),
        (
            lambda: F.binary_cross_entropy_with_logits(ones(2), ones(2), pos_weight=ones(3)),
            ShapeError,
            (
                "binary_cross_entropy_with_logits: expected pos_weight to broadcast to the input (2,), got "
                "the shape (3,)"
            ),
        ),
        (
            lambda: nn.AdaptiveLogSoftmaxWithLoss(4, 6, [2])(ones(2, 4), [0.5, 1.0]),
            DTypeError,
            (
                "AdaptiveLogSoftmaxWithLoss: expected integers in target, got float32. Convert them with "
                ".astype('int64'). [in AdaptiveLogSoftmaxWithLoss]"
            ),
        ),
    ],
)
def test_losses_check_classes_weights_and_lengths(call: Any, kind: type[Exception], words: str) -> None:
    error = raised(call)
    assert isinstance(error, kind) and str(error).replace("\n", "") == words


def test_cosine_embedding_counts_only_the_targets_1_and_minus_1() -> None:
    x, y = [[1.0, 0.0]] * 3, [[0.0, 1.0]] * 3
    loss = F.cosine_embedding_loss(x, y, [1.0, 1.9, -1.0], reduction="none")
    assert loss.tolist() == [1.0, 0.0, 0.0]  # as in PyTorch: 1.9 is neither


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy_with_weights_that_sum_to_0_is_nan(smoothing: float) -> None:
    x = Tensor(SCORES.numpy(), requires_grad=True)
    loss = F.cross_entropy(x, CLASSES, weight=np.zeros(4), label_smoothing=smoothing)
    loss.backward()
    assert np.isnan(loss.item()) and x.grad is not None and np.isnan(x.grad.numpy()).all()
    assert F.cross_entropy(x, CLASSES, weight=np.zeros(4), reduction="sum").item() == 0.0
    assert np.isnan(F.nll_loss(x, CLASSES, weight=np.zeros(4)).item())


# Nothing is changed before


@pytest.mark.parametrize(
    "wrong",
    [
        {"running_var": np.ones(4)},
        {"running_var": np.ones(3, int)},
        {"weight": np.ones(2)},
        {"bias": 1.0},
        {"running_var": None},
        {"input": np.ones((4, 3), complex)},
        {"eps": 1j},
        {"momentum": "a"},
    ],
)
@pytest.mark.parametrize("function", [F.batch_norm, F.instance_norm])
def test_norms_update_nothing_before_they_refuse(function: Any, wrong: dict[str, Any]) -> None:
    shape = (4, 3) if function is F.batch_norm else (4, 3, 2)
    mean = np.zeros(3)
    given = {"input": np.ones(shape), "running_mean": mean, "running_var": np.ones(3), **wrong}
    if function is F.batch_norm:
        given["training"] = True
    elif "input" in wrong:
        given["input"] = np.ones((4, 3, 2), complex)
    before = {name: x.copy() for name, x in given.items() if isinstance(x, np.ndarray)}
    raised(lambda: function(**given))
    for name, x in before.items():
        np.testing.assert_array_equal(given[name], x)


def test_a_wrong_running_var_is_named() -> None:
    words = "batch_norm: expected running_var of shape (3,), one element for each channel of the input (4, 3), got (4,)"
    assert str(raised(lambda: F.batch_norm(ones(4, 3), np.zeros(3), np.ones(4), training=True))) == words


def test_a_batch_that_batch_norm_refuses_is_not_counted() -> None:
    layer = nn.BatchNorm1d(3)
    raised(lambda: layer(ones(1, 3)))
    assert layer.num_batches_tracked.item() == 0
    layer(ones(2, 3))
    assert layer.num_batches_tracked.item() == 1


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: F.layer_norm(ones(2, 3), 3, ones(1)),
            "layer_norm: expected weight of normalized_shape = (3,), got (1,)",
        ),
        (
            lambda: F.rms_norm(ones(2, 3), 3, ones(2, 3)),
            "rms_norm: expected weight of normalized_shape = (3,), got (2, 3)",
        ),
        (lambda: F.group_norm(ones(2, 4), 2, ones(1)), "group_norm: expected weight of shape (4,), got (1,)"),
        (
            lambda: F.batch_norm(ones(3), None, None, training=True),
            "batch_norm: expected an input (N, C, ...) of at least 2 axes, got the shape (3,)",
        ),
        (
            lambda: F.batch_norm(ones(3, 2), None, None),
            "batch_norm: expected running_mean and running_var outside training, got None",
        ),
        (
            lambda: F.scaled_dot_product_attention(ones(3), ones(3), ones(3)),
            (
                "scaled_dot_product_attention: expected query (..., L, E), key (..., S, E) and value (..., "
                "S, V), got (3,), (3,) and (3,)"
            ),
        ),
    ],
)
def test_parameters_of_a_shape_that_would_broadcast_are_refused(call: Any, words: str) -> None:
    assert str(raised(call)) == words
