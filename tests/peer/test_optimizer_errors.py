"""PyTorch's database of wrong input for optimizers: one clear error each, or a stated reason to take it."""

from __future__ import annotations

import re
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import TinygradError

torch = pytest.importorskip("torch", reason="PyTorch, whose database of errors this is, is not installed")
pytest.importorskip("expecttest", reason="PyTorch's optimizer database needs the package expecttest")
database = pytest.importorskip(
    "torch.testing._internal.common_optimizers", reason="this PyTorch has no optimizer database"
)

# What PyTorch refuses for the sake of how it computes a step, and what is computed here as it stands.
LEGITIMATE = {
    "lr as Tensor doesn't work with foreach & not capturable": "foreach changes nothing here",
    "betas must be either both floats or both Tensors": "each may be a number or a Tensor of one element",
    r"betas\[0\] as a Tensor is not supported for capturable=False and foreach=True": "foreach changes nothing here",
}


def cases() -> list[Any]:
    found = []
    for info in database.optim_db:
        if info.name == "SparseAdam":  # gradients are never sparse here
            continue
        for i, entry in enumerate(info.optim_error_inputs_func(device="cpu", dtype=torch.float32)):
            found.append(pytest.param(info.name, entry, id=f"{info.name}-{i}"))
    return found


def converted(value: Any) -> Any:
    """PyTorch's parameters, groups and options as ours; the same object where it is the same."""
    known: dict[int, Any] = {}

    def convert(x: Any) -> Any:
        if isinstance(x, torch.Tensor):
            if id(x) not in known:
                array = x.detach().numpy()
                trained = isinstance(x, torch.nn.Parameter) and array.dtype.kind == "f"
                known[id(x)] = Tensor(array, requires_grad=trained)
            return known[id(x)]
        if isinstance(x, dict):
            return {k: convert(v) for k, v in x.items()}
        return type(x)(map(convert, x)) if isinstance(x, (list, tuple)) else x

    return convert(value)


@pytest.mark.parametrize(("name", "entry"), cases())
def test_wrong_input_is_refused_clearly_or_for_a_reason_taken(name: str, entry: Any) -> None:
    wrong = entry.optimizer_error_input
    params = converted(wrong.params)
    if params is None:
        params = [Tensor(np.ones((2, 2), "float32"), requires_grad=True)]
    options = converted(wrong.kwargs)

    def use() -> None:
        optimizer = getattr(optim, name)(params, **options)
        for group in optimizer.param_groups:
            for p in group["params"]:
                p.grad = tg.ones_like(p)
        optimizer.step(lambda: Tensor(1.0))

    if wrong.desc in LEGITIMATE:
        use()
        return
    with pytest.raises(TinygradError, match=f"^{re.escape(name)}(: |\\.step: )") as caught:
        use()
    assert isinstance(caught.value, (TypeError, ValueError)) and caught.value.__cause__ is None
