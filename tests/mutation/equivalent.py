"""Equivalent mutants: changes that change no result, each with the reason. No test can kill them.

A mutant is identified by its file, a piece of the source of its function, and the description of the change or its
beginning (without a backtick at the end), so lines may move. The second of several equal descriptions ends in "(2)";
it is listed in full.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.mutation.mutants import Mutant


class Equivalent(NamedTuple):
    """Equivalent mutants of one file; `within`: a piece of the function (as ast.unparse writes it)."""

    file: str
    within: str
    change: str | tuple[str, ...]
    reason: str


EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent("evidence.py", "def nearby", "Gt becomes GtE in `narrow > rounding",
               "a width that equals the estimate of the rounding"),
    Equivalent("evidence.py", "def _extrapolated", "LtE becomes Lt in `value - error <= high",
               "intervals that touch in one point, of estimates; where all errors are 0 all values are one"),
    Equivalent("evidence.py", "def _noise", (
        "above becomes x in `above` of `np.isfinite(above)", "above becomes start in `above` of",
        "sign dropped in `-1` of `spacings[-1]", "12 becomes 13 in `12` of `2.0 ** (-12)",
    ), "an estimate that may be twice as large"),
    Equivalent("evidence.py", "def _quantum", "operands swapped in `float(values[j, o] - start[o]) - line_slope * high",
               "its absolute value is taken"),
    Equivalent("normalize.py", "def _into", "a becomes b in `a` of `a.ndim and",
               "an array is allocated where the memory of `a` could be written"),
    Equivalent("spectral.py", "def _complex", "False becomes True", "whether astype copies"),
    Equivalent("spectral.py", "def _derivative_of_eigh", "Sub becomes Add in `1 - np.eye(n, dtype=w.dtype)`",
               "the diagonal is 0, or imaginary rounding, as check_free_phase has seen"),
    Equivalent("spectral.py", "def _derivative_of_eig(", "Sub becomes Add in `1 - unit`",
               "the diagonal is 0, or imaginary rounding, as check_free_phase has seen"),
    Equivalent("spectral.py", "def _derivative_of_eig(", "Add becomes Sub in `conjugated(w[..., None, :]",
               "the diagonal is divided into zeros, by 1 or by -1"),
    Equivalent("spectral.py", "def _derivative_of_eig(", "1 becomes 2 in `1` of `x_shape[-1]`", "the matrix is square"),
    Equivalent("triangular.py", "n <= SMALL", (
        "sign dropped in `-1` of `factor.shape[-1]", "1 becomes 2 in `1` of `factor.shape[-1]",
        "sign dropped in `-1` of `a.shape[-1]", "1 becomes 2 in `1` of `a.shape[-1]",
        "factor becomes t in `factor` of `factor.shape[-1]",
    ), "the matrix is square, and both have its shape"),
    Equivalent("triangular.py", "n <= SMALL", ("LtE becomes Lt", "2 becomes 3 in `2` of `n // 2"),
               "a triangle may be halved anywhere, or not at all"),
    Equivalent("spectral.py", "def _derivative_of_svd", "Sub becomes Add in `1 - np.eye(k, dtype=s.dtype)`",
               "the diagonals of both summands are imaginary and cancel each other, as check_free_phase has seen"),
    Equivalent("activations.py", "lambda g, x: g * where(x > 0, 0, x)", "Gt becomes GtE",
               "at 0 both branches are 0"),
    Equivalent("elementwise.py", "_share(", (
        "Gt becomes GtE", "Lt becomes LtE",
    ), "ties are taken out first"),
    Equivalent("elementwise.py", "def _derivative_in_exponent", "1 becomes 2 in `1` of `where(still, 1, x)",
               "the value is not used: it is chosen away outside"),
    Equivalent("elementwise.py", "def _derivative_of_power", "1 becomes 2 in `1` of `where(y == 0, 1, y - 1)`",
               "the value is not used: it is chosen away outside"),
    Equivalent("matmul.py", "def _to_left", "Gt becomes GtE in `len(x_shape) > 1",
               "g is 0-d there, and an axis of size 1 broadcasts as none does"),
    Equivalent("matmul.py", "def _to_right", "sign dropped in `-1` of `expand_dims(x, -1)",
               "x has one axis: behind it is place 1 as well as -1"),
    Equivalent("fourier.py", "def _sized", "Gt becomes GtE in `extra > 0", "no zeros are added, or nothing is cut off"),
    Equivalent("fourier.py", "def _to_half", "1 becomes 2 in `1` of `-1 if a == axis % g.ndim else 1",
               "NumPy takes any negative size for the one to work out"),
    Equivalent("linalg.py", "def cofactors", (
        "Mult becomes Div in `u @ (_products_of_others(s)", "Mult becomes Div in `u @ adjugate.mT",
    ), "the sign is 1 or -1: dividing by it is multiplying"),
    Equivalent("linalg.py", "def _frames", "Mult becomes Div",
               "the sign is 1 or -1: dividing by it is multiplying"),
    Equivalent("linalg.py", "def cofactors", "Mult becomes Div in `n * np.finfo(s.dtype).eps`",
               "the way for singular matrices serves the others too"),
    Equivalent("linalg.py", "def cofactors", "operands swapped in `turned @ power",
               "a matrix and its polynomials commute"),
    Equivalent("losses.py", "def _clamped_log", "Lt becomes LtE",
               "at e^-100 the logarithm is -100 too"),
    Equivalent("losses.py", "def _clamped_log", "1 becomes 2 in `1` of `where(small, 1, x)",
               "the value is not used: it is chosen away outside"),
    Equivalent("losses.py", "def _cross_entropy_rule", "x_dtype becomes x in `x_dtype` of `_coefficients(",
               "NumPy takes what has a dtype for that dtype"),
    Equivalent("index.py", "def _put_back", "or becomes and",
               "an axis of size 1 is spread and then summed to size 1 again by the un-broadcasting"),
    Equivalent("index.py", "def _written", (
        "sign dropped in `-1` of `np.full", "1 becomes 2 in `1` of ",
    ), "only places that were written are read"),
    Equivalent("codegen.py", "def _record_lines",
               "In becomes NotIn in `x in differentiable` of `len(inputs) == 1 and x in differentiable`",
               "the one input has a node there, and the choice between node and constant is made once more"),
    Equivalent("codegen.py", "def _record_lines", "GtE becomes Gt in `set(users) >= set(differentiable)`",
               "a condition is asked for that holds whenever there is something to record"),
    Equivalent("codegen.py", "def vjp_source", (
        "negation dropped in `not selective`", "selective becomes op in `selective` of `not selective`",
        "selective becomes named in `selective` of `not selective`",
        "selective becomes recording in `selective` of `not selective`",
    ), "a node of one input is reached for the sake of that input: the condition that is asked holds"),
    Equivalent("backward.py", "def backward_pass", tuple(
        f"wanted becomes {name} in `wanted` of `wanted is not None`" for name in ("retain", "roots", "needed")
    ), "what is due is looked for where nothing can be due; `needed` comes whenever `wanted` does"),
    Equivalent("backward.py", "def _complete", (
        "or becomes and in `recording or owned`",
        "owned becomes recording in `owned` of `recording or owned`",
    ), "a gradient that nothing else references is copied once more before it is handed out"),
    Equivalent("backward.py", "def unbroadcast", "False becomes True in `False",
               "the reshape that follows drops the axes of size 1"),
    Equivalent("backward.py", "def backward_pass", "negation dropped in `not recording` (2)",
               "sums are allocated where they could be in place; += on Tensors allocates anyway"),
    Equivalent("backward.py", "def _complete", (
        "owned becomes recording in `owned` of `owned and node.op is None`",
        "owned becomes wanted in `owned` of `owned and node.op is None`",
        "owned becomes needed in `owned` of `owned and node.op is None`",
    ), "each is None there: a gradient that nothing else references is copied once more"),
    Equivalent("recurrent.py", "def _gru_steps", "w_hh becomes h in `w_hh` of `w_hh.shape[1]`",
               "both have the hidden features as their axis 1"),
    Equivalent("recurrent.py", "def _rnn_rule", "x becomes out in `x` of `range",
               "both have the steps as their axis 0"),
    Equivalent("pooling.py", "def _to_max_fast", (
        "out becomes x in `out` of `min(step, len(out))`", "out becomes x in `out` of `out.shape[1]`",
        "out becomes x in `out` of `empty_space(",
    ), "both have the same examples, channels and dtype"),
    Equivalent("pooling.py", "def _to_max_fast", "out becomes x in `out` of `in_order_of(g, out)`",
               "only the order in memory is read"),
    Equivalent("pooling.py", "def _to_max_fast", "out becomes x in `out` of `_zeros_like_windows(out, f)`",
               "examples, channels and dtype are the same, and of the order in memory only speed depends"),
    Equivalent("pooling.py", "def _to_max_fast", (
        "1 becomes 2 in `1` of `max(1, CACHED", "out becomes x in `out` of `CACHED * len(out)`",
        "1 becomes 2 in `1` of `max(1, out.size)`", "out becomes x in `out` of `max(1, out.size)`",
    ), "how many examples make a block does not change what is computed for each"),
    Equivalent("special.py", "def _share", (
        "out becomes x in `out` of `isinstance(out", "out becomes y in `out` of `isinstance(out",
    ), "a shortcut for finite values; the general formula gives the same"),
    Equivalent("special.py", "def _share", (
        "0 becomes 1 in `0` of `where(infinite, 0, x)`", "0 becomes 1 in `0` of `where(infinite, 0, out)`",
    ), "the value is not used: it is chosen away outside"),
    Equivalent("special.py", "def _share", "out becomes x in `out` of `out == -np.inf`",
               "where x is -inf its share is 0 by either formula, and where out is, x is too"),
    Equivalent("special.py", "def _weight", "out becomes x in `out` of `out == -np.inf`",
               "where x is -inf its weight is 0 by either formula, and where out is, x is too"),
    Equivalent("special.py", "def _weight", "0 becomes 1 in `0` of `where(out == -np.inf",
               "x is -inf there, so that its weight is 0 whatever is taken away"),
    Equivalent("special.py", "def _share", "out becomes x in `out` of `out == np.inf`",
               "where x is inf out is too, and where only out is, the share is 0 by either formula"),
    Equivalent("special.py", "def _share", (
        "Gt becomes GtE in `out > 0", "0 becomes 1 in `0` of `(x == out) & (out > 0)`",
    ), "what is compared is used where out is infinite only"),
    Equivalent("special.py", "def _share", "out becomes x in `out` of `(x == out) & (out > 0)` (2)",
               "the condition beside it says that the two are equal"),
    Equivalent("special.py", "def _share", "out becomes x in `out` of `where(y == out, 0.5, 1)`",
               "the condition around it says that the two are equal"),
    Equivalent("norms.py", "def _derivative_of_norm", (
        "out becomes x in `out` of `out == 0 if ord > 1", "1 becomes 2 in `1` of `out == 0 if ord > 1",
    ), "an element that is 0 has the slope 0 either way, since its sign is 0"),
    Equivalent("norms.py", "def _derivative_of_norm", (
        "1 becomes 2 in `1` of `where(out == 0, 1, out)", "1 becomes 2 in `1` of `where(out == 0, 1, out)` (2)",
        "1 becomes 2 in `1` of `where(still, 1, ",
    ), "the value is not used: it is chosen away outside"),
    Equivalent("norms.py", "def _derivative_of_norm", "Gt becomes GtE in `ord > 1",
               "ord is not 1 there: that has a line of its own"),
    Equivalent("norms.py", "def _derivative_of_norm", "out becomes x in `out` of `where(out == 0, 1, out)` (3)",
               "the share of an element that is 0 is 0, whatever it is divided by"),
    Equivalent("spectral.py", "def _derivative_of_eigh", "Add becomes Sub in `w[..., None, :]",
               "the diagonal is divided into zeros, by 1 or by -1"),
    Equivalent("spectral.py", "def _derivative_of_svd", "Add becomes Sub in `(row - column) * (row + column) + np.eye",
               "the diagonal is divided into zeros, by 1 or by -1"),
    Equivalent("spectral.py", "def eigh(", "1 becomes 2 in `1` of `x.shape[-1]`",
               "the matrix is square"),
    Equivalent("spectral.py", "def _derivative_of_eigh", "1 becomes 2 in `1` of `x_shape[-1]`",
               "the matrix is square"),
    Equivalent("recurrent.py", "def _lstm_steps", (
        "w_hh becomes h in `w_hh` of `w_hh.shape[1]`", "w_hh becomes c in `w_hh` of `w_hh.shape[1]`",
    ), "both have the hidden features as their axis 1"),
    Equivalent("reduce.py", "def _fast_to_extremes", "NotEq becomes Eq in `best != best`",
               "a shortcut is not taken; the general rule gives the same"),
    Equivalent("reduce.py", "def _deviation_rule", "1 becomes 2 in `1` of `where(still, 1,",
               "the value is not used: it is chosen away outside"),
    Equivalent("triangular.py", "def _halved", "1 becomes 2 in `1` of `x.shape[-1]`",
               "the matrix is square"),
    Equivalent("conv.py", "def _conv_fast", (
        "held becomes stride in `held`", "held becomes padding in `held`", "held becomes dilation in `held`",
        "held becomes groups in `held`", "held becomes needs_input_grad in `held`",
    ), "where nothing is held the windows are built: the same sum"),
    Equivalent("trigonometry.py", "def _share_of_length", "1 becomes 2 in `1` of `where(still, 1,",
               "the value is not used: it is chosen away outside"),
    Equivalent("convert.py", "def coerce", "x becomes what in `x` of `type(x) is np.ndarray`",
               "a plain array is looked at through another view of it"),
    Equivalent("dispatch.py", "def explain", (
        "error becomes op in `error` of `isinstance(error, TinygradError)`",
        "error becomes inputs in `error` of `isinstance(error, TinygradError)`",
        "error becomes options in `error` of `isinstance(error, TinygradError)`",
    ), "an error of the package's is of none of the modules below, and is raised as it is there"),
    Equivalent("dispatch.py", "def explain", (
        "op becomes inputs in `op` of `op.defaults.get(name, op)`",
        "op becomes options in `op` of `op.defaults.get(name, op)`",
        "op becomes error in `op` of `op.defaults.get(name, op)`",
    ), "any object that is no option will do for no default"),
    Equivalent("graph.py", "def constant_entry", "data becomes x in `data`",
               "a number has the shape and the dtype of what it was given as"),
    Equivalent("convert.py", "def attach", "data becomes entry in `data` of `data is None`",
               "a value that was not kept is wrapped, and no rule that runs reads it"),
    Equivalent("dispatch.py", "def apply_without_tensors", (
        "op becomes inputs in `op` of `coerce(op.name, x)`", "op becomes options in `op` of `coerce(op.name, x)`",
    ), "what cannot be computed with was refused before: the name is for a message that does not come"),
    Equivalent("dispatch.py", "def apply_without_tensors", "and becomes or in `x is None and name in op.defaults`",
               "beside scalars of NumPy's only numbers come here, which stay as they are"),
    Equivalent("normalization.py", "def _standardize_fast", (
        "and becomes or in `needs[0] and g.flags.c_contiguous`",
        "0 becomes 1 in `0` of `needs[0] and g.flags.c_contiguous`",
    ), "memory is asked for that is not read, or that lies in another order"),
    Equivalent("normalization.py", "def _standardize_fast", (
        "view becomes x in `view` of `view is not None`", "view becomes scale in `view` of `view is not None`",
        "view becomes needs_input_grad in `view` of `view is not None`",
    ), "what is reshaped to None stays as it is"),
    Equivalent("normalization.py", "def _seen", "shape becomes a in `shape` of `shape is None`",
               "what is reshaped to None stays as it is"),
    Equivalent("normalization.py", "def _standardize_fast", (
        "and becomes or in `layout.along_rows and x.flags.c_contiguous`",
        "x becomes scale in `x` of `x.flags.c_contiguous`",
    ), "the size of NumPy's buffers changes the time that it takes, nothing else"),
    Equivalent("normalization.py", "def _standardize_fast", "x becomes scale in `x` of `_pieces(x, layout)`",
               "in how many parts something is computed does not change it"),
    Equivalent("normalization.py", "def _standardize_fast", (
        "needs_input_grad becomes view", "or becomes and in `view is None or not needs_input_grad",
        "view becomes needs_input_grad in `view` of `view is None", "view becomes scale in `view` of `view is None",
        "view becomes x in `view` of `view is None",
    ), "the gradient is written into an array of its own, or not: the same values"),
    Equivalent("normalization.py", "def _of_standardized", "operands swapped in `x - mean(x, axis=axis, keepdims=True)",
               "only its square counts"),
    Equivalent("normalization.py", "def _of_standardized", (
        "t becomes center in `t` of `isinstance(t", "t becomes eps in `t` of `isinstance(t",
        "t becomes fit in `t` of `isinstance(t", "t becomes view in `t` of `isinstance(t",
        "t becomes w in `t` of `isinstance(t", "t becomes x in `t` of `isinstance(t",
    ), "the plain rule gives what the fast one gives; x is an array where t is"),
    Equivalent("normalization.py", "def _of_standardized", "x becomes t in `x` of `layout_of(x.shape",
               "both have one shape"),
    Equivalent("normalize.py", "def summed(", "1 becomes 2 in `1` of `kept == (1,)", "a shortcut is not taken"),
    Equivalent("normalize.py", "def summed_product", (
        "a becomes b in `a` of `[1] * (a.ndim - 2)", "a becomes b in `a` of `a.shape[i] if i in kept else 1",
        "a becomes b in `a` of `np.einsum('ij,ij->j', rows, other).reshape(-1, a.shape[1])",
        "a becomes b in `a` of `range(a.ndim)",
    ), "both have one shape"),
    Equivalent("normalize.py", "def _applied", (
        "1 becomes 2 in `1` of `[1] * (a.ndim - 2)", "1 becomes 2 in `1` of `b.ndim >= a.ndim - 1",
        "1 becomes 2 in `1` of `b.shape[1 - a.ndim:]", "2 becomes 3 in `2` of `[1] * (a.ndim - 2)",
        "2 becomes 3 in `2` of `a.ndim > 2 and channels", "Gt becomes GtE in `a.ndim > 2", "GtE becomes Gt in `b.ndim",
        "Sub becomes Add in `1 - a.ndim", "Sub becomes Add in `a.ndim - 1", "Sub becomes Add in `a.ndim - 2",
        "a becomes b in `a` of `[1] * (a.ndim - 2)", "a becomes b in `a` of `a.ndim > 2 and channels == a.shape[1]",
        "a becomes b in `a` of `b.ndim >= a.ndim - 1", "a becomes b in `a` of `b.shape[1 - a.ndim:]",
        "a becomes b in `a` of `out is None or out is a", "a becomes function in `a` of `out is None or out is a",
        "b becomes a in `b` of `(b.size, *[1] * (a.ndim - 2))", "b becomes a in `b` of `b.ndim >= a.ndim - 1",
        "b becomes a in `b` of `b.size if b.ndim >= a.ndim - 1", "operands swapped in `1 - a.ndim",
        "operands swapped in `a.ndim - 1", "operands swapped in `a.ndim - 2",
        "or becomes and in `out is None or out is a",
        "out becomes a in `out` of `out is None or out is a", "out becomes b in `out` of `out is None or out is a",
        "out becomes b in `out` of `out is None or out is a` (2)",
        "out becomes function in `out` of `out is None or out is a",
        "out becomes function in `out` of `out is None or out is a` (2)",
    ), "a shortcut is not taken, or gives what the general way gives"),
    Equivalent("normalize.py", "def _applied", (
        "a becomes b in `a` of `a if out is a else channels_first(made.reshape(channels_last",
        "a becomes function in `a` of `a if out is a else channels_first(made.reshape(channels_last",
        "a becomes out in `a` of `a if out is a else channels_first(made.reshape(channels_last` (2)",
        "out becomes b in `out` of `a if out is a else channels_first(made.reshape(channels_last",
        "out becomes function in `out` of `a if out is a else channels_first(made.reshape(channels_last",
    ), "both look at one memory"),
    Equivalent("normalize.py", "def standardize_gradient", (
        "needs_input_grad becomes layout", "needs_input_grad becomes layout in `needs_input_grad` (2)",
        "needs_input_grad becomes layout in `needs_input_grad` (3)",
        "needs_input_grad becomes layout in `needs_input_grad` (4)",
        "needs_input_grad becomes layout in `needs_input_grad` (6)",
    ), "a gradient that nobody asked for is computed, and not used"),
    Equivalent("normalize.py", "def standardize_gradient", "LtE becomes Lt in `{*layout.b} <= {*both}",
               "the sum of g gives the same"),
    Equivalent("normalize.py", "layout.elements or 1", "1 becomes 2 in `1` of `layout.elements or 1",
               "without elements nothing is divided"),
)  # fmt: skip


def _is(what: str, change: str) -> bool:
    return what == change or (what.startswith(change) and what.endswith("`") and not change.endswith("`"))


def reason_for(mutant: Mutant) -> str | None:
    """Why a change makes no difference, or None where it does."""
    for known in EQUIVALENT:
        changes = (known.change,) if isinstance(known.change, str) else known.change
        if (
            known.file == mutant.path.name
            and known.within in mutant.within
            and any(_is(mutant.what, change) for change in changes)
        ):
            return known.reason
    return None
