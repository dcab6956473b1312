"""PyTorch's database of operators' error inputs: what it refuses is refused here too, in words, or is NumPy's to take.

`python -m tests.peer.test_operator_errors` prints a table: how many inputs raise one clear error, how many raise
something obscure, and which are taken.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_dl.errors import TinygradError

torch = pytest.importorskip("torch", reason="PyTorch, whose error inputs these are, is not installed")
pytest.importorskip("expecttest", reason="PyTorch's operator database needs the package expecttest")
operators = pytest.importorskip(
    "tests.peer.test_operators", reason="this PyTorch has no operator database that can be read"
)

INFOS = {name: info for name, info in operators.INFOS.items() if info.error_inputs_func is not None}

# What PyTorch refuses and NumPy or the array API takes: the reason, by operator.
NUMPYS: dict[str, str] = {
    "linalg.cross": "the other axes broadcast",
    "masked_fill": "a number of another kind gives the common dtype",
    "mean": "integers have a mean, and no axes named are none reduced",
    "narrow": "is a slice here, and slices end where the array does",
    "narrow_copy": "is a slice here, and slices end where the array does",
    "nn.functional.max_pool1d": "nothing, pooled, is nothing",
    "nn.functional.max_pool3d": "nothing, pooled, is nothing",
    "roll": "shifts and axes broadcast, and no shifts move nothing",
    "trace": "further axes are a batch",
    "tril": "a vector broadcasts to a matrix",
    "triu": "a vector broadcasts to a matrix",
}


def reason_to_take(name: str, case: Any) -> str | None:
    """Why an input that PyTorch refuses gives a result here; None if there is no reason."""
    values = (case.sample_input.input, *case.sample_input.args)
    if "on the same device" in str(case.error_regex):
        return "there is one device"
    if not case.error_regex and any(isinstance(v, (int, float)) for v in values):
        return "Python numbers are taken"
    if name.startswith("nn.functional.linear_cross_entropy") and "K-dimensional" in str(case.error_regex):
        return "an example without a batch is taken"
    return NUMPYS.get(name)


def error_inputs(info: Any) -> list[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = np.random.get_state()  # noqa: NPY002, the one that PyTorch draws from
        try:
            torch.manual_seed(0)
            return list(info.error_inputs(torch.device("cpu")))
        except Exception:  # some need a device that is not there
            return []
        finally:
            np.random.set_state(before)  # noqa: NPY002


def outcome(name: str, case: Any) -> tuple[str, str]:
    """What came of one error input: clear, obscure, taken, or untranslated, and what was said."""
    sample = case.sample_input
    if "out" in sample.kwargs:
        return "untranslated", "out="
    try:
        arguments = [operators.translated(v, []) for v in (sample.input, *sample.args)]
        options = {k: operators.translated(v, []) for k, v in sample.kwargs.items()}
    except Exception as error:
        return "untranslated", str(error)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        try:
            result = operators.OURS[name](*arguments, **options)
        except operators.Unlike as why:
            return "untranslated", str(why)
        except TinygradError as error:
            return "clear", str(error)
        except Exception as error:
            trace, modules = error.__traceback__, set()
            while trace is not None:
                modules.add(str(trace.tb_frame.f_globals.get("__name__")).partition(".")[0])
                trace = trace.tb_next
            if (
                "tinygrad_dl" not in modules
            ):  # the translation of the arguments failed, or NumPy without a Tensor
                return "untranslated", f"{type(error).__name__}: {error}"
            return "obscure", f"{type(error).__name__}: {error}"
    return "taken", f"{getattr(result, 'shape', result)!r:.80}"


def shown(case: Any) -> str:
    sample = case.sample_input
    values = [
        str(tuple(v.shape)) + str(v.dtype)[5:] if hasattr(v, "shape") else repr(v)[:60]
        for v in (sample.input, *sample.args)
    ]
    return f"({', '.join(values)}, {sample.kwargs}): PyTorch: {str(case.error_regex)[:90]}"


@pytest.mark.parametrize("name", sorted(INFOS))
def test_what_pytorch_refuses_is_refused_in_words(name: str) -> None:
    for case in error_inputs(INFOS[name]):
        kind, said = outcome(name, case)
        assert kind != "obscure", f"{name}{shown(case)}\nhere: {said}"
        assert kind != "taken" or reason_to_take(name, case), f"{name}{shown(case)}\nhere: {said}"


def table() -> Iterator[str]:
    yield "| operator | inputs | clear | obscure | taken | untranslated |"
    yield "|---|---|---|---|---|---|"
    kinds = ("clear", "obscure", "taken", "untranslated")
    for name in sorted(INFOS):
        outcomes = [(*outcome(name, case), case) for case in error_inputs(INFOS[name])]
        counts = [str(sum(kind == k for kind, _, _ in outcomes)) for k in kinds]
        yield f"| `{name}` | {len(outcomes)} | {' | '.join(counts)} |"
        for kind, said, case in outcomes:
            if kind == "obscure" or kind == "taken" and not reason_to_take(name, case):
                yield f"    {kind}: {shown(case)}; here: {said}"


if __name__ == "__main__":
    print("\n".join(table()))
