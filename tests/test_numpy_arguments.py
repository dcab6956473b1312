"""Every argument of every NumPy function on Tensors is honored or refused, never ignored.

CALLS has a working call of each function with a handler, and for each further parameter values other than the
default. The tests enumerate NumPy's own signatures, so that a parameter without an entry fails.
"""

from __future__ import annotations

from inspect import Parameter
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import Tensor
from tinygrad_dl.errors import TinygradError
from tinygrad_dl.numpy_functions.calls import handler_parameters, handlers, name_of, numpys_signature
from tinygrad_dl.testing import gradcheck, gradgradcheck

RNG = np.random.default_rng(0)
X = np.array([[3.0, 1.0, 4.5], [2.0, 7.0, 6.5]])
V = np.array([0.5, 3.0, 1.0, 2.0])
S = np.array([[4.0, 1.0, 0.5], [9.0, 5.0, 1.5], [8.0, 7.0, 6.0]])  # its triangles differ
P = S @ S.T / 10 + np.triu(S, 1)  # positive definite by its lower triangle
B = np.array([[True, False, True], [False, True, True]])
N = np.array([[3.0, np.nan, 4.5], [2.0, 7.0, np.inf]])
Z = np.array([[0.0, 0.0, 1.0], [0.0, 2.0, 0.0]])
F = np.asfortranarray(X)
I = np.array([[0, 1, 2], [2, 0, 1]])


class Call:
    """The positional arguments of a call, of which arrays become Tensors, and values of further parameters."""

    def __init__(self, *args: Any, **others: list[Any]) -> None:
        self.args, self.others = args, others


AXES = [0, 1, -1, (0, 1)]
ONE_AXIS = [0, 1, -1]
ORDERS = ["F", "A", "C", "K"]
DTYPES = [np.float32, "float64"]
MASKS = [B, np.array([True, True, False])]
SAFE = ["no", "equiv", "safe", "same_kind", "unsafe", "abc"]
LIKE = {
    "dtype": ["int64"],
    "order": [*ORDERS, "x"],
    "subok": [False],
    "shape": [(2, 2)],
    "device": ["cpu", "gpu"],
}
REDUCED = {"axis": AXES, "keepdims": [True]}
FFT1 = {"n": [2, 5], "axis": [0], "norm": ["ortho", "forward", "x"]}
FFT2 = {"s": [(2, 4)], "axes": [(1, 0)], "norm": ["ortho", "x"]}
SORTED = {
    "kind": ["stable", "heapsort", "mergesort", "quicksort", "x"],
    "order": ["x"],
    "stable": [True, False],
}

CALLS: dict[Any, Call | list[Call]] = {
    np.all: Call(Z, **REDUCED, where=MASKS),
    np.any: Call(Z, **REDUCED, where=MASKS),
    np.sum: Call(X, **REDUCED, dtype=DTYPES, initial=[3, 2.5], where=MASKS),
    np.prod: Call(X, **REDUCED, dtype=DTYPES, initial=[3, 2.5], where=MASKS),
    np.max: Call(X, **REDUCED, initial=[5.0, np.array([5.0, 6.0])], where=MASKS),
    np.amax: Call(X, **REDUCED, initial=[5.0], where=MASKS),
    np.min: Call(X, **REDUCED, initial=[1.5], where=MASKS),
    np.amin: Call(X, **REDUCED, initial=[1.5], where=MASKS),
    np.ptp: Call(X, **REDUCED),
    np.mean: Call(X, **REDUCED, dtype=[np.float32, int], where=MASKS),
    np.var: Call(X, **REDUCED, dtype=[np.float32, int], ddof=[1], where=MASKS, mean=[X.mean() + 1], correction=[1]),
    np.std: Call(X, **REDUCED, dtype=[np.float32, int], ddof=[1], where=MASKS, mean=[X.mean() + 1], correction=[1]),
    np.count_nonzero: Call(Z, **REDUCED),
    np.argmax: Call(X, axis=ONE_AXIS, keepdims=[True]),
    np.argmin: Call(X, axis=ONE_AXIS, keepdims=[True]),
    np.average: Call(X, axis=AXES, weights=[X + 1], returned=[True], keepdims=[True]),
    np.median: Call(X, axis=AXES, overwrite_input=[True, "x"], keepdims=[True]),
    np.quantile: Call(
        X, 0.3, axis=AXES, overwrite_input=[True], keepdims=[True],
        method=["lower", "higher", "midpoint", "nearest", "hazen", "weibull", "median_unbiased", "x"],
    ),
    np.percentile: Call(
        X, 30, axis=AXES, overwrite_input=[True], keepdims=[True], method=["lower", "inverted_cdf", "x"]
    ),
    np.cumsum: Call(X, axis=ONE_AXIS, dtype=DTYPES),
    np.cumprod: Call(X, axis=ONE_AXIS, dtype=DTYPES),
    np.nansum: Call(N[:1], **REDUCED, dtype=DTYPES, initial=[3], where=[B[:1]]),
    np.nanprod: Call(N[:1], **REDUCED, dtype=DTYPES, initial=[3], where=[B[:1]]),
    np.nanmax: Call(N, **REDUCED, initial=[5.0], where=[B]),
    np.nanmin: Call(N, **REDUCED, initial=[2.5], where=[B]),
    np.nanmean: Call(N[:1], axis=[1], keepdims=[True], dtype=[np.float32], where=[B[:1]]),
    np.nanvar: Call(
        N[:1], axis=[1], keepdims=[True], dtype=[np.float32], ddof=[1], where=[B[:1]], mean=[4.0], correction=[1]
    ),
    np.nanstd: Call(
        N[:1], axis=[1], keepdims=[True], dtype=[np.float32], ddof=[1], where=[B[:1]], mean=[4.0], correction=[1]
    ),
    np.nancumsum: Call(N[:1], axis=ONE_AXIS, dtype=DTYPES),
    np.nancumprod: Call(N[:1], axis=ONE_AXIS, dtype=DTYPES),
    np.clip: [
        Call(X, 2.0, 5.0),
        Call(X, min=[2.0], max=[5.0]),
    ],
    np.round: Call(X / 3, decimals=[1, -1]),
    np.around: Call(X / 3, decimals=[1]),
    np.fix: Call(X - 3.3),
    np.real: Call(X),
    np.imag: Call(X),
    np.angle: Call(X - 3.2, deg=[True]),
    np.real_if_close: [Call(X, tol=[10]), Call(X + 1e-15j, tol=[1e-3, 1.0])],
    np.sinc: Call(np.array([0.0, 1e-9, 0.01, 0.07, 0.08, 0.5, -1.0, 30.3])),
    np.nan_to_num: Call(
        np.array([np.nan, np.inf, -np.inf, 1.0]), copy=[False], nan=[3.0], posinf=[5], neginf=[-5.0]
    ),
    np.isclose: Call(X, X + 0.1, rtol=[0.1, np.array([0.1, 0.0, 0.1])], atol=[0.2], equal_nan=[True]),
    np.allclose: Call(X, X + 0.1, rtol=[0.2], atol=[0.2], equal_nan=[True]),
    np.where: [Call(B, X, -X), Call(B)],
    np.select: Call([B, ~B], [X, X * 2], default=[3.0]),
    np.choose: Call(I, [X, X * 2, X * 3], mode=["wrap", "clip", "x"]),
    np.diff: Call(X, n=[0, 2, 9, -1], axis=ONE_AXIS, prepend=[1.0, X], append=[1.0, X]),
    np.ediff1d: Call(V, to_end=[3.0, [1.0, 2.0]], to_begin=[4.0]),
    np.interp: Call(
        np.array([-1.0, 0.7, 9.0]), np.array([0.0, 1.0, 3.0]), np.array([5.0, 2.0, 8.0]),
        left=[1.0], right=[2.0], period=[4.0, 0],
    ),
    np.unwrap: Call(np.array([0.0, 2.0, 5.0, 9.0, 20.0]), discont=[4.0], axis=[0], period=[5.0]),
    np.gradient: [
        Call(np.outer(V, X[0]) ** 2, axis=[0, (1,), (0, 1)], edge_order=[2, 3]),
        Call(V**2, np.array([0.0, 1.0, 3.0, 3.5]), axis=[0], edge_order=[2]),
        Call(np.outer(V, X[0]) ** 2, 2.0, np.array([0.0, 1.0, 3.0]), edge_order=[2]),
    ],
    np.convolve: [
        Call(V, X[0], mode=["same", "valid", "x"]), Call(X[0][:2], V, mode=["same", "valid"]),
    ],
    np.correlate: [
        Call(V, X[0], mode=["same", "full", "x"]), Call(X[0][:2], V, mode=["same", "full"]),
        Call(X[0], V, mode=["same", "full"]),
    ],
    np.polyval: Call(V, X),
    np.vander: Call(V, N=[2, 6, 0, -1], increasing=[True]),
    np.linspace: [
        Call(
            np.array(1.0), 4.0, num=[3, 1, 0, -1], endpoint=[False], retstep=[True], dtype=["int64"], axis=[0],
            device=["cpu", "gpu"],
        ),
        Call(V, 4.0, num=[3], axis=[0, 1, -1], dtype=["float32"]),
    ],
    np.logspace: Call(np.array(0.0), 2.0, num=[3], endpoint=[False], base=[2.0], dtype=["float32"], axis=[0]),
    np.zeros_like: Call(X, **LIKE),
    np.ones_like: Call(X, **LIKE),
    np.full_like: Call(X, 3.0, **LIKE),
    np.copy: [Call(X, order=[*ORDERS, "x"], subok=[True]), Call(F, order=ORDERS)],
    np.reshape: [
        Call(X, (3, 2), order=["F", "A", "C", "K"], copy=[True, False]), Call(F, (3, 2), order=["F", "A"]),
        Call(X.T, -1, order=["F", "A", "C"]),
    ],
    np.ravel: [Call(x, order=[*ORDERS, "x"]) for x in (X, F, X[:, ::-1], X[None].transpose(2, 0, 1))],
    np.transpose: Call(X, axes=[(0, 1), (1, 0)]),
    np.moveaxis: Call(X, 0, 1),
    np.swapaxes: Call(X, 0, 1),
    np.rollaxis: Call(np.ones((2, 3, 4)), 2, start=[1, 3, -1, 5]),
    np.expand_dims: Call(X, (0, 2)),
    np.squeeze: Call(X[None], axis=[0]),
    np.broadcast_to: Call(X, (2, 2, 3), subok=[True]),
    np.broadcast_arrays: Call(X, V[:3], subok=[True]),
    np.atleast_1d: Call(X[0, 0], X),
    np.atleast_2d: Call(V),
    np.atleast_3d: [Call(V), Call(X), Call(X[None])],
    np.resize: Call(X, (4, 2)),
    np.flip: Call(X, axis=AXES),
    np.fliplr: Call(X),
    np.flipud: Call(X),
    np.rot90: Call(X, k=[0, 2, 3, -1, 5], axes=[(1, 0), (0, 0)]),
    np.roll: Call(X, 1, axis=[0, 1]),
    np.repeat: Call(X, 2, axis=[0, 1]),
    np.tile: Call(X, (2, 1, 2)),
    np.tril: Call(X, k=[1, -1]),
    np.triu: Call(X, k=[1, -1]),
    np.diag: Call(V, k=[1, -1]),
    np.diagflat: Call(X, k=[1]),
    np.diagonal: Call(np.arange(24.0).reshape(2, 3, 4), offset=[1], axis1=[2], axis2=[2]),
    np.trace: Call(np.arange(24.0).reshape(2, 3, 4), offset=[1], axis1=[2], axis2=[2], dtype=["float32"]),
    np.take: Call(X, [1, 0], axis=[0, 1], mode=["wrap", "clip", "x"]),
    np.take_along_axis: Call(X, I[:, :2], axis=[1]),
    np.compress: Call([False, True], X, axis=[0, 1]),
    np.extract: Call(B, X),
    np.delete: Call(X, 1, axis=[0, 1]),
    np.insert: [
        Call(X, 1, 9.0, axis=[0, 1]), Call(X, [0, 2], np.array([8.0, 9.0]), axis=[1]),
        Call(V, slice(0, 2), np.array([8.0, 9.0]), axis=[0]),
    ],
    np.append: Call(X, X, axis=[0, 1]),
    np.trim_zeros: Call(np.array([0.0, 0.0, 3.0, 0.0, 1.0, 0.0]), trim=["f", "b", "x"], axis=[0]),
    np.pad: Call(X, 1, mode=["edge", "reflect", "symmetric", "wrap", "mean", "x"]),
    np.concatenate: Call([X, X], axis=[1, None], dtype=["float32"], casting=SAFE),
    np.stack: Call([X, X], axis=[1, -1], dtype=["float32"], casting=SAFE),
    np.vstack: Call([X, X], dtype=["float32"], casting=SAFE),
    np.hstack: Call([X, X], dtype=["float32"], casting=SAFE),
    np.dstack: Call([X, X]),
    np.column_stack: Call([V, V]),
    np.block: [Call([[X, X], [X, X]]), Call([X, X[:, :1]]), Call([[1.0, V]]), Call(X)],
    np.split: Call(X, 2, axis=[0]),
    np.array_split: Call(X, 2, axis=[1]),
    np.hsplit: [Call(X, 3), Call(V, [1])],
    np.vsplit: Call(X, 2),
    np.dsplit: Call(np.ones((2, 2, 4)), [1, 3]),
    np.meshgrid: Call(V, X[0], copy=[False], sparse=[True], indexing=["ij", "x"]),
    np.sort: [Call(X, axis=[0, None], **SORTED)],
    np.argsort: Call(X, axis=[0, None], **SORTED),
    np.partition: Call(np.array([[5.0, 1.0, 4.0, 2.0]]), 1, axis=[None, 1], kind=["x"], order=["x"]),
    np.argpartition: Call(np.array([[5.0, 1.0, 4.0, 2.0]]), 1, axis=[None, 1], kind=["x"], order=["x"]),
    np.searchsorted: Call(np.array([1.0, 2.0, 3.0]), X, side=["right", "x"], sorter=[np.array([0, 1, 2])]),
    np.digitize: Call(X, np.array([2.0, 4.5]), right=[True]),
    np.nonzero: Call(Z),
    np.argwhere: Call(Z),
    np.flatnonzero: Call(Z),
    np.isin: Call(I, [1, 2], assume_unique=[True], invert=[True], kind=["sort", "table", "x"]),
    np.unique: Call(
        np.array([[2.0, 1.0, 2.0], [2.0, 1.0, 2.0], [np.nan, np.nan, 3.0]]), return_index=[True], return_inverse=[True],
        return_counts=[True], axis=[0, 1], equal_nan=[False], sorted=[True],
    ),
    np.union1d: Call(V, np.array([9.0, 2.0])),
    np.dot: Call(X, X.T),
    np.vdot: Call(X, X),
    np.inner: Call(X, X),
    np.outer: Call(X, V),
    np.kron: Call(X, V),
    np.tensordot: Call(X, X, axes=[0, ([0], [0]), np.array([[0, 1], [0, 1]])]),
    np.cross: [
        Call(np.outer([1.0, 2.0, 3.0], X[0]) ** 2, S, axisa=[0], axisb=[0], axisc=[0], axis=[0]),
    ],
    np.einsum: Call(
        "ij,kj->ik", X, X, optimize=[True, "greedy", "x"], dtype=["float32"], order=["F", "x"], casting=SAFE
    ),
    np.linalg.cholesky: Call(P, upper=[True]),
    np.linalg.eigh: Call(S, UPLO=["U", "L", "x"]),
    np.linalg.eigvalsh: Call(S, UPLO=["U", "L", "x"]),
    np.linalg.eig: Call(np.array([[1.0, -2.0], [3.0, 1.0]])),
    np.linalg.eigvals: Call(np.array([[1.0, -2.0], [3.0, 1.0]])),
    np.linalg.qr: Call(X, mode=["complete", "r", "raw", "x"]),
    np.linalg.svd: Call(S, full_matrices=[False], compute_uv=[False], hermitian=[True]),
    np.linalg.inv: Call(S),
    np.linalg.solve: Call(S, X.T),
    np.linalg.det: Call(S),
    np.linalg.slogdet: Call(S),
    np.linalg.matrix_power: Call(S, 3),
    np.linalg.multi_dot: Call([X, X.T, X]),
    np.linalg.lstsq: Call(X.T, np.ones(3), rcond=[-1, 0.3]),
    np.linalg.pinv: Call(S, rcond=[0.2], hermitian=[True], rtol=[0.2]),
    np.linalg.tensorinv: Call(np.eye(6).reshape(2, 3, 6) + 1, ind=[2, 0]),
    np.linalg.tensorsolve: Call(
        np.arange(36.0).reshape(2, 3, 6) % 7 + np.eye(6).reshape(2, 3, 6) * 9, X, axes=[None, (0, 2)]
    ),
    np.linalg.norm: Call(X, ord=[1, -1, 2, np.inf, "nuc", "fro", "x"], axis=[0, (0, 1)], keepdims=[True]),
    np.linalg.cond: Call(S, p=[1, -2, "fro"]),
    np.linalg.matrix_rank: Call(S, tol=[3.0], hermitian=[True], rtol=[0.5]),
    np.ndim: Call(X),
    np.shape: Call(X),
    np.size: Call(X, axis=[0]),
    np.iscomplexobj: Call(X),
    np.isrealobj: Call(X),
    np.iscomplex: Call(X),
    np.isreal: Call(X),
    np.isposinf: Call(N),
    np.isneginf: Call(N),
    np.array_equal: Call(N, N, equal_nan=[True]),
    np.array_equiv: Call(X, X),
    np.can_cast: Call(X.astype("float32"), "int64", casting=["unsafe"]),
    np.result_type: Call(X, X.astype("float32")),
    np.common_type: Call(X),
    np.min_scalar_type: Call(X),
    np.may_share_memory: Call(X, X, max_work=[1]),
    np.shares_memory: Call(X, X, max_work=[1]),
    np.tril_indices_from: Call(S, k=[1]),
    np.triu_indices_from: Call(S, k=[1]),
    np.diag_indices_from: Call(S),
    np.array2string: Call(
        X / 3, max_line_width=[10], precision=[2], suppress_small=[True], separator=[", "], prefix=["x"],
        formatter=[{"float": str}], threshold=[1], edgeitems=[1], sign=["+"], floatmode=["fixed"], suffix=["x"],
        legacy=["1.13"],
    ),
    np.array_repr: Call(X / 3, max_line_width=[10], precision=[2], suppress_small=[True]),
    np.array_str: Call(X / 3, max_line_width=[10], precision=[2], suppress_small=[True]),
    np.fft.fftshift: Call(X, axes=[0, (0, 1)]),
    np.fft.ifftshift: Call(X, axes=[0, (0, 1)]),
    **{getattr(np.fft, name): Call(X, **FFT1) for name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft")},
    **{getattr(np.fft, name): Call(X, **FFT2) for name in ("fft2", "ifft2", "rfft2", "irfft2")},
    **{getattr(np.fft, name): Call(X, **FFT2) for name in ("fftn", "ifftn", "rfftn", "irfftn")},
}  # fmt: skip
# What older versions of NumPy do not have.
for _module, _name, _call in (
    (np, "cumulative_sum", Call(V, axis=[0], dtype=DTYPES, include_initial=[True])),
    (np, "cumulative_prod", Call(V, axis=[0], dtype=DTYPES, include_initial=[True])),
    (np, "trapezoid", Call(X, x=[np.array([0.0, 1.0, 3.0]), X], dx=[2.0], axis=[0])),
    (np, "astype", Call(X, "float32", copy=[False], device=["cpu", "gpu"])),
    (np, "permute_dims", Call(X, axes=[(0, 1)])),
    (np, "matrix_transpose", Call(X)),
    (np, "unstack", Call(X, axis=[1])),
    (np, "unique_all", Call(V)),
    (np, "unique_counts", Call(V)),
    (np, "unique_inverse", Call(V)),
    (np, "unique_values", Call(V)),
    (np.linalg, "matrix_transpose", Call(X)),
    (np.linalg, "outer", Call(V, V)),
    (np.linalg, "tensordot", Call(X, X, axes=[0, ([0], [0])])),
    (np.linalg, "matmul", Call(X, X.T)),
    (np.linalg, "vecdot", Call(X, X, axis=[0])),
    (np.linalg, "cross", Call(S, S + 1, axis=[0])),
    (np.linalg, "svdvals", Call(X)),
    (np.linalg, "matrix_norm", Call(X, keepdims=[True], ord=[1, "nuc", "x"])),
    (np.linalg, "vector_norm", Call(X, axis=[0], keepdims=[True], ord=[1, np.inf])),
    (np.linalg, "diagonal", Call(X, offset=[1])),
    (np.linalg, "trace", Call(X, offset=[1], dtype=["float32"])),
):
    if hasattr(_module, _name):
        CALLS[getattr(_module, _name)] = _call

# What an argument permits, or how, so that the result is the same with it; and what is filled with anything.
WITHOUT_VALUES = {np.empty_like, np.copyto}
FUNCTIONS = sorted(set(handlers()) - WITHOUT_VALUES, key=name_of)


def calls_of(function: Any) -> list[Call]:
    found = CALLS[function]
    return found if isinstance(found, list) else [found]


def tensors(x: Any, recorded: bool = True) -> Any:
    if isinstance(x, np.ndarray):
        out = tg.asarray(x)
        return out.requires_grad_() if x.dtype.kind == "f" and recorded else out
    return [tensors(v, recorded) for v in x] if isinstance(x, list) else x


def tensors_for(function: Any, args: Any) -> list[Any]:
    complex_values = name_of(function).startswith("np.fft.") or function in (np.linalg.eig, np.linalg.eigvals)
    return [tensors(x, not complex_values or "shift" in name_of(function)) for x in args]


def compare(found: Any, expected: Any) -> None:
    if isinstance(expected, (tuple, list)):
        assert isinstance(found, type(expected)) or hasattr(expected, "_fields")
        assert len(found) == len(expected)
        for one, other in zip(found, expected):
            compare(one, other)
    elif isinstance(expected, (np.ndarray, np.generic)):
        data = found.data if isinstance(found, Tensor) else np.asarray(found)
        assert data.shape == expected.shape and data.dtype == expected.dtype
        exact = expected.dtype.kind not in "fc"
        narrow = expected.dtype.itemsize < 8 or expected.dtype == np.complex64
        rtol = 0 if exact else 1e-6 if narrow else 1e-12
        np.testing.assert_allclose(data, expected, rtol=rtol, atol=rtol * 10)
        if expected.ndim > 1 and isinstance(found, Tensor) and expected.base is None and data.base is None:
            assert data.flags.f_contiguous == expected.flags.f_contiguous
    elif isinstance(expected, str):
        assert found.replace("Tensor", "array") == expected or "Tensor" in found
    else:
        assert found == expected


def try_both(function: Any, args: Any, kwargs: dict[str, Any]) -> None:
    """Our result equals NumPy's, or the package refuses the call."""
    try:
        found = function(
            *map(tensors, args),
            **{key: tensors(v) if key in ("prepend",) else v for key, v in kwargs.items()},
        )
    except TinygradError:
        return
    try:
        expected = function(*args, **kwargs)
    except Exception as error:
        raise AssertionError(f"NumPy refuses {kwargs}: {error}") from error
    compare(found, expected)


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
@pytest.mark.filterwarnings(
    "ignore::RuntimeWarning", "ignore::UserWarning", "ignore:numpy.fix:DeprecationWarning"
)
def test_the_plain_call_gives_numpys_values(function: Any) -> None:
    if function is np.take_along_axis and np.lib.NumpyVersion(np.__version__) < "2.3.0":
        pytest.skip("its axis has no default")
    for call in calls_of(function):
        compare(function(*tensors_for(function, call.args)), function(*call.args))


@pytest.mark.parametrize("function", FUNCTIONS, ids=name_of)
@pytest.mark.filterwarnings("ignore::RuntimeWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_every_argument_is_honored_or_refused(function: Any) -> None:
    calls = calls_of(function)
    tried = {key for call in calls for key in call.others}
    known = handler_parameters(handlers()[function])
    for position, parameter in enumerate(numpys_signature(function).parameters.values()):
        if parameter.kind in (Parameter.VAR_POSITIONAL, Parameter.VAR_KEYWORD) or parameter.name == "out":
            continue
        given = any(position < len(call.args) for call in calls)
        if parameter.name not in known:
            assert not given
            with pytest.raises(TinygradError) as error:
                function(*tensors_for(function, calls[0].args), **{parameter.name: object()})
            assert str(error.value) == (
                f"{name_of(function)}: the argument {parameter.name}= is not supported on a Tensor"
            )
        else:
            assert given or parameter.name in tried, f"no value of {parameter.name} is tried"
    parameters = numpys_signature(function).parameters
    others = any(p.kind is Parameter.VAR_KEYWORD for p in parameters.values())
    for call in calls:
        for key, values in call.others.items():
            for value in values if key in parameters or others else []:  # older NumPy has fewer
                try_both(function, call.args, {key: value})


HONORED: list[tuple[Any, list[Any], list[dict[str, Any]]]] = [
    # what the table's tests would also accept refused
    (np.reshape, [X, (3, 2)], [{"order": "F"}, {"order": "A"}]),
    (np.reshape, [F, (3, 2)], [{"order": "A"}]),
    (np.ravel, [X], [{"order": "F"}, {"order": "K"}, {"order": "A"}]),
    (np.ravel, [X.T], [{"order": "F"}, {"order": "K"}, {"order": "A"}]),
    (np.copy, [X], [{"order": "F"}]),
    (np.sum, [X], [{"where": B}, {"initial": 3}, {"where": B, "initial": 3, "axis": 0, "keepdims": True}]),
    (np.prod, [X], [{"where": B}, {"initial": 3}, {"where": B, "axis": 1}]),
    (np.max, [X], [{"initial": 5.0}, {"initial": 5.0, "where": B, "axis": 0}]),
    (np.max, [np.ones((0, 2))], [{"initial": 5.0}, {"initial": 5.0, "axis": 0}]),
    (np.max, [np.ones((0, 2))], [{"initial": 5.0, "axis": 0, "keepdims": True}]),
    (np.min, [X], [{"initial": 5.0, "where": B, "axis": 1}]),
    (np.mean, [X], [{"where": B, "axis": 1}, {"dtype": "float32"}]),
    (np.var, [X], [{"where": B, "axis": 1}, {"ddof": 1}, {"dtype": "float32"}, {"mean": 4.0}]),
    (np.std, [X], [{"where": B, "axis": 1}, {"ddof": 1, "where": B}]),
    (np.all, [Z], [{"where": B}]),
    (np.any, [Z], [{"where": B}]),
    (np.concatenate, [[X, X]], [{"dtype": "float32"}, {"axis": None}]),
    (np.sort, [X], [{"axis": None}, {"kind": "heapsort"}, {"stable": True}]),
    (np.argsort, [X], [{"axis": None}]),
    (np.partition, [V, 1], [{"axis": None}]),
    (np.take_along_axis, [X, np.array([1, 4])], [{"axis": None}]),
    (np.take, [X, [5, -7]], [{"mode": "wrap"}, {"mode": "clip"}]),
    (np.cross, [S, S + 1], [{"axis": 0}, {"axisa": 0}, {"axisc": 0, "axisb": 0}]),
    (np.interp, [np.array([5.3]), V[:1] + np.arange(3), V[:3]], [{"period": 4.0}]),
    (np.average, [X], [{"returned": True, "axis": 1}, {"returned": True, "weights": X}]),
    (np.unique, [X], [{"axis": 0}]),
    (np.meshgrid, [V, V], [{"sparse": True}, {"sparse": True, "indexing": "ij"}]),
    (np.linalg.svd, [S], [{"compute_uv": False}, {"compute_uv": False, "hermitian": True}]),
    (np.linalg.eigvalsh, [S], [{"UPLO": "U"}, {"UPLO": "L"}, {}]),
    (np.linalg.matrix_rank, [S], [{"tol": 3.0}, {"rtol": 0.5}, {"hermitian": True}]),
    (np.linalg.pinv, [S], [{"rcond": 0.2}, {"hermitian": True}]),
    (np.linalg.qr, [S], [{"mode": "r"}]),
    (np.einsum, ["ij,kj->ik", X, X], [{"dtype": "float32", "casting": "same_kind"}, {"order": "F"}]),
    (np.zeros_like, [X], [{"shape": (2, 2)}, {"order": "F"}, {"dtype": int}]),
    (np.add, [X, X], [{"dtype": "float32"}, {"casting": "unsafe", "dtype": "int64"}, {"order": "F"}]),
    (np.exp, [X], [{"dtype": "float32"}]),
    (np.vecdot if hasattr(np, "vecdot") else np.add, [X, X], [{"axis": 0} if hasattr(np, "vecdot") else {}]),
    (np.add.reduce, [X], [{"where": B}, {"initial": 3}, {"dtype": "float32"}, {"axis": None}, {"keepdims": True}]),
    (np.maximum.reduce, [X], [{"where": B, "initial": 2.5}, {"initial": 5.0}]),
    (np.logical_and.reduce, [Z], [{"where": B}]),
    (np.maximum.accumulate, [X], [{}, {"axis": 1}]),
    (np.minimum.accumulate, [X], [{}, {"axis": 1}]),
    (np.multiply.outer, [V, X], [{"dtype": "float32"}]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("function", "args", "kwargs"),
    [(function, args, kwargs) for function, args, every in HONORED for kwargs in every],
)
def test_an_argument_is_honored(function: Any, args: Any, kwargs: Any) -> None:
    compare(function(*map(tensors, args), **kwargs), function(*args, **kwargs))


DIFFERENTIABLE = {
    "reshape F": lambda x: np.reshape(x, (3, 2), order="F") ** 2 * X.reshape(3, 2),
    "reshape A": lambda x: np.reshape(x.T, (6, 1), order="A") ** 2 * X.reshape(6, 1),
    "ravel F": lambda x: np.ravel(x, "F") ** 2 * X.reshape(-1),
    "ravel K": lambda x: np.ravel(x.T, "K") ** 2 * X.reshape(-1),
    "sort None": lambda x: np.sort(x, axis=None) ** 2 * X.reshape(-1),
    "sum where": lambda x: np.sum(x**3, where=B, axis=0, initial=2),
    "prod where": lambda x: np.prod(x, where=B, axis=0, initial=2),
    "max where": lambda x: np.max(x**2, where=B, axis=0, initial=1.5),
    "mean where": lambda x: np.mean(x**3, where=B, axis=1),
    "var where": lambda x: np.var(x, where=B, axis=1),
    "std where": lambda x: np.std(x, where=B, axis=1),
    "var mean": lambda x: np.var(x, mean=x[0, 0]),
    "initial": lambda x: np.sum(x, initial=x[0, 0] ** 2) * x,
    "nansum": lambda x: np.nansum(np.where(B, x, np.nan) ** 2, axis=0),
    "nanmean": lambda x: np.nanmean(np.where(B, x, np.nan) ** 2, axis=1),
    "nanvar": lambda x: np.nanvar(np.where(B, x, np.nan), axis=1),
    "nanmax": lambda x: np.nanmax(np.where(B, x, np.nan) ** 2, axis=1),
    "degrees": lambda x: np.degrees(x) ** 2 + np.radians(x) ** 2,
    "sinc": lambda x: np.sinc(x / 4),
    "sinc near 0": lambda x: np.sinc(x / 200 - 0.015),
    "fmax": lambda x: np.fmax(x, 2 * X - 2.7) ** 2 + np.fmin(x, 2 * X - 2.7) ** 3,
    "fmod": lambda x: np.fmod(-x, 1.7) ** 2 + np.fmod(7.3, x) ** 2,
    "logaddexp2": lambda x: np.logaddexp2(x, X.T.reshape(2, 3)),
    "nan_to_num": lambda x: np.nan_to_num(np.where(B, x, np.nan)) ** 2,
    "gradient": lambda x: np.gradient(x, axis=1, edge_order=2) ** 2,
    "gradient spacing": lambda x: np.gradient(X, np.sort(x[0]), axis=1)[0] ** 2,
    "append": lambda x: np.append(x, x**2, axis=0) ** 2,
    "insert": lambda x: np.insert(x, [0, 2], x[:, :2], axis=1) ** 2,
    "delete": lambda x: np.delete(x, 1, axis=1) ** 2,
    "rot90": lambda x: np.rot90(x) ** 2 * X.T,
    "rollaxis": lambda x: np.rollaxis(x, 1) ** 2,
    "atleast_3d": lambda x: np.atleast_3d(x) ** 2,
    "partition": lambda x: np.partition(x, 1, axis=None) ** 2,
    "hsplit": lambda x: np.hsplit(x, 3)[1] ** 2,
    "linspace": lambda x: np.linspace(x, x[0, 0] ** 2, 4) ** 2,
    "tg.linspace": lambda x: tg.linspace(x[0, 0] ** 2, x[1, 1], 4) ** 2,
    "tg.full": lambda x: tg.full((2, 2), x[0, 0]) ** 2,
    "full_like": lambda x: np.full_like(x, x[0, 0]) ** 2,
    "angle": lambda x: np.angle(x) + x**2,
    "real_if_close": lambda x: np.real_if_close(x) ** 2,
    "interp period": lambda x: np.interp(x, [0.2, 1.1, 2.3], [1.0, 5.0, 2.0], period=3.0) ** 2,
    "unwrap": lambda x: np.unwrap(x * 3) ** 2,
    "trapezoid": lambda x: np.trapezoid(x**2, np.cumsum(x, axis=1), axis=1),
    "convolve": lambda x: np.convolve(x[0], x[1], "same") ** 2,
    "correlate": lambda x: np.correlate(x[0], x[1, :2], "full") ** 2,
    "polyval": lambda x: np.polyval(x[0], x[1]),
    "vander": lambda x: np.vander(x[0]) ** 2,
    "cross": lambda x: np.cross(x, X[::-1] + x, axis=1),
    "concatenate": lambda x: np.concatenate([x, X], axis=None) ** 2,
    "clip": lambda x: np.clip(x, 2.5, x[0, 2] + 1) ** 2,
    "take wrap": lambda x: np.take(x, [5, -7], mode="wrap") ** 2,
    "svd": lambda x: np.linalg.svd(x, compute_uv=False) ** 2,
    "svd hermitian": lambda x: np.linalg.svd(x[:, :2], hermitian=True)[1] ** 2,
    "eigh U": lambda x: np.linalg.eigh(x[:, :2], UPLO="U")[0] ** 2,
    "eigh L": lambda x: np.linalg.eigh(x[:, :2], UPLO="L")[1] ** 2,
    "eigvalsh": lambda x: np.linalg.eigvalsh(x[:, :2]) ** 2,
    "cholesky": lambda x: np.linalg.cholesky(x[:, :2] @ x[:, :2].T) ** 2,
    "pinv": lambda x: np.linalg.pinv(x[:, :2], hermitian=True),
    "qr": lambda x: np.linalg.qr(x[:, :2], mode="r") ** 2,
    "add dtype": lambda x: np.add(x, x**2, dtype="float64") ** 2,
    "accumulate": lambda x: np.maximum.accumulate(x, 1) ** 2,
    "select": lambda x: np.select([x > 4.2, x > 2.2], [x**2, x**3], default=x),
    "choose": lambda x: np.choose(I, [x, x**2, x**3]),
    "block": lambda x: np.block([[x, x**2]]) ** 2,
    "percentile of q": lambda x: np.percentile(X, x[0] * 10, axis=1) ** 2,
}


@pytest.mark.parametrize("name", DIFFERENTIABLE)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_derivatives_of_first_and_second_order_are_right(name: str) -> None:
    function = DIFFERENTIABLE[name]
    if "trapezoid" in name and not hasattr(np, "trapezoid"):
        pytest.skip("NumPy before 2.0 calls it trapz")
    gradcheck(function, X)
    gradgradcheck(function, X)


# Ufuncs

UFUNCS = sorted(
    {f for f in vars(np).values() if isinstance(f, np.ufunc) and f.signature is None},
    key=lambda f: f.__name__,
)
OPTIONS: list[dict[str, Any]] = [
    {}, {"order": "F"}, {"order": "C"}, {"order": "K"}, {"order": "A"}, {"order": "x"}, {"subok": False},
    {"dtype": "float32"}, {"dtype": "float64"}, {"dtype": "int64"}, {"dtype": bool}, {"casting": "no"},
    {"casting": "unsafe"}, {"casting": "x"}, {"casting": "unsafe", "dtype": "int32"}, {"where": B}, {"where": True},
    {"signature": "dd->d"}, {"signature": "d->d"}, {"signature": "ff->f"}, {"abc": 1},
]  # fmt: skip


def tolerance(x: Any) -> float:
    return 2e-3 if x.dtype == np.float16 else 1e-6


def outcome(call: Any) -> Any:
    try:
        return call()
    except TinygradError as error:
        return error
    except TypeError as error:  # Python's own, for an argument that NumPy does not know either
        assert "unexpected keyword argument" in str(error)
        return error


@pytest.mark.parametrize("ufunc", UFUNCS, ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_option_of_a_ufunc_is_honored_or_refused(ufunc: np.ufunc) -> None:
    for arrays in ((X, X[::-1] - 1.5), (I, I + 1), (B, ~B), (F, 2.5), (X.astype("float32"), np.float32(2))):
        inputs = arrays[: ufunc.nin]
        recorded = [tg.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        for options in OPTIONS:
            found = outcome(lambda r=recorded, o=options: ufunc(*r, **o))
            if isinstance(found, Exception):
                continue
            assert "abc" not in options and options.get("where", True) is True
            expected = ufunc(*inputs, **options)
            for one, other in zip(*((v if isinstance(v, tuple) else (v,)) for v in (found, expected))):
                assert one.dtype == other.dtype and one.shape == other.shape, options
                np.testing.assert_allclose(one.data, other, rtol=tolerance(other), atol=1e-12)
                if "order" in options:
                    assert one.data.flags.f_contiguous == other.flags.f_contiguous, options


REDUCING: list[dict[str, Any]] = [
    {}, {"axis": None}, {"axis": 1}, {"axis": (0, 1)}, {"axis": -1}, {"keepdims": True}, {"dtype": "float32"},
    {"initial": 2}, {"initial": None}, {"where": B}, {"where": B, "initial": 2}, {"out": None}, {"abc": 1},
]  # fmt: skip


@pytest.mark.parametrize("method", ["reduce", "accumulate", "reduceat", "outer", "at"])
@pytest.mark.parametrize("ufunc", [f for f in UFUNCS if f.nin == 2 and f.nout == 1], ids=lambda f: f.__name__)
@pytest.mark.filterwarnings("ignore::RuntimeWarning")
def test_every_option_of_a_ufuncs_method_is_honored_or_refused(ufunc: np.ufunc, method: str) -> None:
    call = getattr(ufunc, method)
    if method == "at":
        with pytest.raises(TinygradError):
            call(tg.asarray(X), np.array([0]), 1.0)
        return
    every = {
        "reduce": REDUCING,
        "accumulate": REDUCING[:1] + REDUCING[2:],
        "outer": OPTIONS,
        "reduceat": [{}],
    }
    for array in (X, I, B):
        inputs = {"outer": (array, array[0]), "reduceat": (array, [0, 1])}.get(method, (array,))
        recorded = [tg.asarray(x) if isinstance(x, np.ndarray) else x for x in inputs]
        for options in every[method]:
            found = outcome(lambda r=recorded, o=options: call(*r, **o))
            if isinstance(found, Exception):
                continue
            assert "abc" not in options
            expected = call(*inputs, **options)
            assert found.dtype == expected.dtype and found.shape == expected.shape, options
            np.testing.assert_allclose(found.data, expected, rtol=tolerance(expected), atol=1e-12)
