"""Wrong input for the testing kit: each argument of a working call replaced by what does not fit, one at a time."""

from __future__ import annotations

import warnings

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import nn, testing
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.testing import strategies

LOOP: list = []
LOOP.append(LOOP)
# Numbers that are sizes are at most 100, as a strategy that is made need not be one that is drawn in a second.
BAD = {
    "None": None, "text": "abc", "a number as text": "0.1", "bytes": b"x", "-1": -1, "0": 0, "2**40": 2**40,
    "10**30": 10**30, "0.5": 0.5, "-0.5": -0.5, "inf": np.inf, "nan": np.nan, "1j": 1j, "empty list": [],
    "ints": [1, 2, 3], "floats": [1.0, 2.0], "ragged": [[1.0, 2.0], [3.0]], "list of None": [None],
    "a list that holds itself": LOOP, "tuple": (1, 2), "dict": {"a": 1}, "set": {1}, "function": lambda *a: a,
    "function of nothing": lambda: 0, "class": int, "object": object(), "array": np.ones(3), "integers": np.arange(3),
    "empty array": np.empty((0, 3)), "objects": np.array([None, 1], dtype=object), "texts": np.array(["a"]),
    "complex array": np.ones(2) * 1j, "float32 Tensor": tg.ones(3), "recorded": tg.Tensor([1.0], requires_grad=True),
    "module": nn.Linear(2, 2), "generator": np.random.default_rng(0), "dtype": np.dtype("float32"), "...": ...,
}  # fmt: skip

X = np.array([1.0, 2.0])
CHECK = {
    "f": lambda x: (x * x).sum(), "inputs": X, "backward": None, "fast": False, "step": 1e-5, "atol": 1e-6,
    "rtol": 1e-5, "float32": False, "seed": 0, "raise_exception": False,
}  # fmt: skip
DOCTOR = {"backward": lambda x: 2 * x, "inputs": X, "seed": 0, "raise_exception": False}
CALLS = [
    (testing.gradcheck, {**CHECK, "order": 1}),
    (testing.gradcheck, {**CHECK, "backward": lambda g, x: 2 * g * x}),
    (testing.gradgradcheck, CHECK),
    (testing.check_backward, {"forward": lambda x: (x * x).sum(), **DOCTOR}),
    (
        testing.Finding,
        {"kind": "fault", "message": "", "input": "x", "element": (0,), "output": (), "analytic": 1.0},
    ),
    (testing.Report, {"order": 1, "limit": 8}),
    (testing.GradcheckError, {"report": testing.Report()}),
    (testing.BackwardError, {"diagnosis": testing.Diagnosis()}),
    (strategies.shapes, {"min_dims": 0, "max_dims": 3, "min_side": 0, "max_side": 4}),
    (strategies.broadcastable_shapes, {"count": 2, "max_dims": 3, "max_side": 4}),
    (
        strategies.arrays,
        {"shape": (2,), "dtype": "float64", "domain": None, "special": False, "framework": None},
    ),
    (strategies.tensors, {"requires_grad": True, "shape": (2,), "dtype": "float64", "domain": None}),
    (strategies.basic_indices, {"shape": (2, 3)}),
    (strategies.integer_indices, {"shape": (2, 3)}),
    (strategies.mask_indices, {"shape": (2, 3)}),
    (strategies.indices, {"shape": (2, 3)}),
    (strategies.axes, {"ndim": 2, "allow_none": True, "allow_tuple": True}),
    (strategies.einsums, {"max_operands": 2, "max_side": 2}),
    (strategies.convolutions, {"dims": 2, "max_side": 4}),
    (strategies.modules, {"max_layers": 2}),
    (strategies.optimizers, {"closures": False, "matrices": False}),
    (strategies.operations, {"differentiable": True}),
    (
        strategies.programs,
        {"max_inputs": 2, "max_lines": 3, "assignments": True, "framework": "tinygrad_dl"},
    ),
]


def test_wrong_arguments_of_the_testing_kit_raise_the_errors_of_the_package():
    clear, obscure = 0, []
    for function, given in CALLS:
        function(**given)
        for argument in given:
            for name, value in BAD.items():
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    try:
                        function(**{**given, argument: value})
                    except TinygradError as error:
                        clear += 1
                        assert error.__cause__ is None and (
                            error.__context__ is None or error.__suppress_context__
                        )
                    except Exception as error:
                        obscure.append(
                            f"{function.__name__}({argument}={name}): {type(error).__name__}: {error}"
                        )
    assert clear > 1000
    # What is left comes out of a function of the user's own, such as int(array).
    assert len(obscure) <= 0.01 * (clear + len(obscure)), "\n".join(obscure)
