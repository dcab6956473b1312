"""What PyTorch's module database says is wrong is refused here by one clear error, or is allowed for a reason."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest

from tests.peer.pytorch import torch
from tests.peer.test_modules import INFOS, translated
from tinygrad_dl import nn
from tinygrad_dl.errors import TinygradError

KNOWN = [name for name, info in INFOS.items() if info.module_error_inputs_func and hasattr(nn, name)]

# What is refused there and works here, by a part of PyTorch's message, and why.
ALLOWED = {
    "should be of type bool, got: int": "0 and 1 are read as booleans",
    "does not match weight dtype": "dtypes are widened, with a warning that says so: docs/dtypes.md",
    "expected scalar type": "the weights of classes take the dtype of the input",
}


def outcome(call: Callable[[], Any]) -> str:
    """What came of a call: nothing, one of the package's errors, or another."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            call()
    except TinygradError as error:
        if error.__cause__ is not None or (error.__context__ is not None and not error.__suppress_context__):
            return f"chained: {error!r} from {error.__context__!r}"
        return "clear"
    except Exception as error:
        return f"obscure: {error!r}"
    return "silent"


@pytest.mark.parametrize("training", [True, False], ids=["train", "eval"])
@pytest.mark.parametrize("name", KNOWN)
def test_what_pytorch_refuses_is_refused_clearly(name: str, training: bool) -> None:
    info = INFOS[name]
    for sample in info.module_error_inputs_func(info, "cpu", torch.float32, False, training):
        given = sample.module_error_input

        def call(given: Any = given) -> None:
            module = getattr(nn, name)(
                *translated(given.constructor_input.args), **translated(given.constructor_input.kwargs)
            )
            module.train(training)
            if given.forward_input is not None:
                module(*translated(given.forward_input.args), **translated(given.forward_input.kwargs))

        allowed = any(text in sample.error_regex for text in ALLOWED)
        came = outcome(call)
        assert came == "clear" or (allowed and came == "silent"), f"{came}; PyTorch: {sample.error_regex}"
