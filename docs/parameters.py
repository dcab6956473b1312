"""The parameters of a class or function as a table: what each takes, its default, and what it is."""

from __future__ import annotations

import inspect
import typing
from typing import Any

import numpy as np

from tinygrad_dl.arguments import expected, hints

# What parameters of a name are, wherever they are.
MEANINGS = {
    "affine": "whether scale and shift are learned",
    "align_corners": "whether the corners of input and output are at the same places",
    "amsgrad": "whether to divide by the largest average of squares so far",
    "atol": "absolute tolerance",
    "axis": "the axis or axes along which to compute",
    "batch_first": "whether inputs are (N, T, ...) instead of (T, N, ...)",
    "batch_size": "examples in each batch",
    "betas": "decay rates of the averages of the gradient and of its square",
    "bias": "whether to add a learned bias",
    "bidirectional": "whether to read the sequence in both directions",
    "callbacks": "objects that are called at points of the training",
    "capturable": "accepted as in PyTorch; changes nothing",
    "ceil_mode": "whether a window may reach beyond the end",
    "centered": "whether to subtract the square of the mean gradient",
    "correction": "the divisor is n - correction",
    "count_include_pad": "whether padding counts in the mean",
    "device": 'accepted as in PyTorch; "cpu" is the only device',
    "differentiable": "refused if True: the update is not recorded",
    "dilation": "distance between the elements of the kernel",
    "dim": "the axis along which to compute",
    "dropout": "the probability with which elements are set to 0 in training",
    "dtype": "the dtype of the parameters or the result; the default dtype if None",
    "elementwise_affine": "whether a scale, and a shift, is learned for each element",
    "embed_dim": "the size of a token's vector",
    "embedding_dim": "the size of each vector",
    "eps": "a small number that is added to a divisor",
    "foreach": "accepted as in PyTorch; changes nothing",
    "fused": "accepted as in PyTorch; changes nothing",
    "gamma": "the factor by which the learning rate is multiplied",
    "groups": "into how many groups channels are divided, each with kernels of its own",
    "hidden_size": "the size of the hidden state",
    "ignore_index": "a target that does not contribute to the loss",
    "in_channels": "channels of the input",
    "in_features": "the size of the last axis of the input",
    "inplace": "accepted as in PyTorch; the result is a new Tensor",
    "input_size": "the size of an element of the sequence",
    "keepdim": "whether reduced axes stay, with size 1",
    "keepdims": "whether reduced axes stay, with size 1",
    "kernel_size": "the size of the window, one number or one for each dimension",
    "label_smoothing": "the part of the target that is spread over all classes",
    "last_epoch": "the epoch after which to continue; -1 for a new run",
    "lr": "the learning rate",
    "max_norm": "the largest norm; longer vectors are rescaled",
    "maximize": "whether to ascend instead of descend",
    "metrics": "names or functions of what to measure in each epoch",
    "mode": "the way in which values in between are computed",
    "momentum": "the weight of earlier gradients; in normalization, of the new batch",
    "nesterov": "whether to use Nesterov's momentum",
    "nonlinearity": "the activation",
    "norm_type": "the order of the norm",
    "normalized_shape": "the shape of the last axes, over which to normalize",
    "num_channels": "channels of the input",
    "num_classes": "the number of classes",
    "num_embeddings": "the number of vectors",
    "num_features": "channels of the input",
    "num_groups": "into how many groups channels are divided",
    "num_heads": "the number of attention heads",
    "num_layers": "how many layers are stacked",
    "optimizer": "the optimizer whose learning rate is changed",
    "out_channels": "channels of the output",
    "out_features": "the size of the last axis of the output",
    "output_size": "the spatial size of the output",
    "p": "a probability, or the order of a norm",
    "padding": "what is added on both sides of each spatial dimension",
    "padding_idx": "the row that stays as it is, for padding",
    "padding_mode": "what the padding consists of",
    "params": "the parameters to update, or groups of them",
    "pos_weight": "the weight of positive targets",
    "progress": "how the training is shown",
    "reduce": "deprecated as in PyTorch: use reduction",
    "reduction": "whether to return the mean, the sum, or one loss for each element",
    "return_indices": "whether to return the positions of the maxima, too",
    "rng": "a generator or a seed of the random numbers; the default generator if None",
    "rtol": "relative tolerance",
    "scale_factor": "the factor by which the spatial size grows",
    "size_average": "deprecated as in PyTorch: use reduction",
    "stride": "the step between windows",
    "track_running_stats": "whether to keep the averages that are used in evaluation",
    "weight_decay": "the factor of the L2 penalty, or of the decay of the weights",
}


def words(hint: Any) -> str:
    """What an annotation asks for, in words; nothing where it does not say."""
    if hint is Any or isinstance(hint, (str, typing.TypeVar)) or hint is inspect.Parameter.empty:
        return ""
    if hint is np.ndarray or typing.get_origin(hint) is np.ndarray:
        return "an array"
    text = expected(hint).replace(
        "an array, True, False, an int, a number or a generic", "an array or a number"
    )
    return "" if "Any" in text else text


def table(made: Any) -> list[tuple[str, str, str, str]]:
    """(name, what it takes, its default, what it is) of each parameter."""
    function = made.__init__ if isinstance(made, type) else made
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except ValueError:
        return []
    # In other parts of the package the same names are other things.
    module = str(made.__module__)
    meanings = (
        MEANINGS if module.startswith(("tinygrad_dl.nn", "tinygrad_dl.optim", "tinygrad_dl.ops")) else {}
    )
    declared = hints(function) if inspect.isfunction(inspect.unwrap(function)) else {}
    rows = []
    for parameter in parameters[1 if isinstance(made, type) else 0 :]:
        stars = {parameter.VAR_POSITIONAL: "*", parameter.VAR_KEYWORD: "**"}.get(parameter.kind, "")
        hint = declared.get(parameter.name, inspect.Parameter.empty)
        default = "" if parameter.default is parameter.empty else repr(parameter.default)
        if " at 0x" in default or len(default) > 40:
            default = getattr(parameter.default, "__name__", "...")
        takes = "" if stars else words(hint)
        rows.append((stars + parameter.name, takes, default, meanings.get(parameter.name, "")))
    return rows
