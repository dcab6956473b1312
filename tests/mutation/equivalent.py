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
    Equivalent("evidence.py", "def _examined", "2 becomes 3 in `2` of `_extrapolated((above - below)",
               "an estimate of the rounding of a mean, which counts four times"),
    Equivalent("evidence.py", "def nearby", (
        "50 becomes 51 in `50` of `max(abs(float", "16 becomes 17 in `16` of `16 * EPS",
    ), "a step, and an estimate of the rounding that it brings: a few percent more are as good"),
    Equivalent("evidence.py", "def nearby", (
        "Gt becomes GtE in `width > 0.3 * narrow", "Gt becomes GtE in `narrow > 0.3 * width",
        "Gt becomes GtE in `narrow > rounding",
    ), "sampled widths that are a part of each other to the last bit; where all are 0, low and high are equal"),
    Equivalent("evidence.py", "def _around", (
        "0 becomes 1 in `0` of `np.random.default_rng(0)", "1.0 becomes 2.0 in `1.0` of `np.maximum(np.abs(a)",
        "1 becomes 2 in `1` of `rng.uniform(-1, 1", "1 becomes 2 in `1` of `rng.uniform(-1, 1, a.shape)` (2)",
    ), "any points next to this one will do"),
    Equivalent("evidence.py", "def _extrapolated", "4 becomes 5 in `4` of `range(4)",
               "another column of the table, which is used where its errors are smaller"),
    Equivalent("evidence.py", "def _extrapolated", (
        "Lt becomes LtE in `error < errors", "Lt becomes LtE in `error < best_error",
    ), "of two values with the same error either will do"),
    Equivalent("evidence.py", "def _extrapolated", (
        "sign dropped in `-1` of `values[-1]", "1 becomes 2 in `1` of `values[-1]",
    ), "the value for an output without a usable difference, whose error is infinite"),
    Equivalent("evidence.py", "def _noise", (
        "1.0 becomes 2.0 in `1.0` of `max(abs(x), 1.0)", "1.0 becomes 2.0 in `1.0` of `(1.0, -1.0)",
        "1.0 becomes 2.0 in `1.0` of `(1.0, -1.0)` (2)",
    ), "samples with twice the spacing, which is as small"),
    Equivalent("evidence.py", "def _quantum", "1 becomes 2 in `1` of `values[-1",
               "the smallest step but one: a jump between these two is found by either way"),
    Equivalent("evidence.py", "def _quantum", (
        "10000.0 becomes 10001.0", "100 becomes 101", "4 becomes 5 in `4` of `0.0 if flat",
        "5 becomes 6 in `5` of `away", "Lt becomes LtE in `away[j] / 5 < jump",
    ), "bounds between smooth functions, whose ratio is 16, and jumps, whose ratio is thousands; a jump is at least a "
       "quarter of the change"),
    Equivalent("evidence.py", "def _quantum", "Lt becomes LtE in `sudden < LOCAL",
               "nothing is away from the line there, as its slope is that of this step"),
    Equivalent("evidence.py", "def _quantum", "Gt becomes GtE in `away[:-1] > ",
               "where both are 0 there is no jump to be found"),
    Equivalent("evidence.py", "def _reason", "start becomes noise in `start` of `np.isfinite(start",
               "the noise is a part of the value, and finite where that is"),
    Equivalent("evidence.py", "def _reason", (
        "4 becomes 5 in `4` of `values", "0 becomes 1 in `0` of `near", "1 becomes 2 in `1` of `near",
    ), "another pair of the smallest steps: a jump is as high at both, and a root at least halves"),
    Equivalent("evidence.py", "def _reason", (
        "Gt becomes GtE in `last > 64", "64 becomes 65 in `64` of `64 * noise", "Gt becomes GtE in `last > 0.5",
        "Gt becomes GtE in `change > 64", "64 becomes 65 in `64` of `64 * noise[o]` (2)", "Lt becomes LtE in `h[",
        "Gt becomes GtE in `differences[1:]",
    ), "thresholds that measured values do not meet to the last bit; 64 stands for far above the noise"),
    Equivalent("numeric_gradient.py", "def ", (
        "operands swapped in `g @ (above - start)", "operands swapped in `g @ (start - below)",
        "operands swapped in `np.abs(g) @ np.abs(start)", "operands swapped in `self.g @ self.f(moved)",
    ), "the product of two vectors"),
    Equivalent("numeric_gradient.py", "lambda arrays: np.array([self.g @ self.f(arrays)])",
               "operands swapped in `self.g @ self.f", "the product of two vectors"),
    Equivalent("numeric_gradient.py", "def __init__", (
        "LtE becomes Lt in `gap <= 0.001", "4 becomes 5 in `4` of `4 * self.noise",
    ), "a gap that meets an estimate of the rounding to the last bit, or is a fifth larger, may be looked at or not"),
    Equivalent("numeric_gradient.py", "def trust", (
        "LtE becomes Lt in `np.abs(np.asarray(a)", "Gt becomes GtE in `np.abs(central) > 1000.0",
        "1000.0 becomes 1001.0",
    ), "an element at the very threshold may be looked at more closely or not: it is clear either way"),
    Equivalent("numeric_gradient.py", "def nearest", (
        "LtE becomes Lt in `gap <= CLOSE", "LtE becomes Lt in `low - slack <= flat",
        "Gt becomes GtE in `error > 0.1 * size", "Gt becomes GtE in `error > 0.001 * np.max",
        "Lt becomes LtE in `self.around[i]", "Lt becomes LtE in `flat[i] < low",
    ), "numbers that are equal to an estimated bound to the last bit; a gradient that equals `low` is accepted before"),
    Equivalent("numeric_gradient.py", "def _is_nearby", "LtE becomes Lt in `lowest <= a",
               "the bounds are those of a sample, with two percent of slack"),
    Equivalent("numeric_gradient.py", "def error", (
        "LtE becomes Lt in `np.linalg.norm(correct)", "Lt becomes LtE in `np.linalg.norm(a) < 1e-14",
    ), "norms that are equal to a bound to the last bit; of empty arrays the relative error is 0 too"),
    Equivalent("numeric_gradient.py", "def error", "a becomes self in `a` of `a is None or np.shape(a)",
               "None has no axes and is nan as an array, whose error is infinite"),
    Equivalent("numeric_gradient.py", "def agrees", "a becomes self in `a` of `a is None or np.shape(a)",
               "None has no axes and is nan as an array, which does not agree"),
    Equivalent("numeric_gradient.py", "def _agrees", (
        "Lt becomes LtE in `error < CLOSE", "Lt becomes LtE in `error < CLOSE` (2)", "Lt becomes LtE in `noise < 0.001",
        "Gt becomes GtE in `off > noise", "Lt becomes LtE in `noise < 0.0001",
    ), "numbers that are equal to an estimated bound to the last bit"),
    Equivalent("numeric_gradient.py", "def _along_directions", (
        "0 becomes 1 in `0` of `np.random.default_rng(0)", "sign dropped in `-1.0` of `rng.choice(",
        "1.0 becomes 2.0 in `1.0` of `rng.choice(",
        "1.0 becomes 2.0 in `1.0` of `rng.choice([-1.0, 1.0], a.shape)` (2)",
    ), "any directions will do"),
    Equivalent("numeric_gradient.py", "def _along_directions", (
        "2 becomes 3 in `2` of `2 * error", "LtE becomes Lt in `low - slack <= given",
        "Lt becomes LtE in `error < 0.05",
    ), "an error is an estimate, and counts more than once"),
    Equivalent("numeric_gradient.py", "def _along_directions", "0.0 becomes 1.0 in `0.0` (2)",
               "a scale of 1 for numbers below 1: the steps beside 0 are for edges of a domain, which were met before"),
    Equivalent("laws.py", "def check(self", ("True becomes False in `True`", "True becomes False in `True` (2)"),
               "the check goes element by element at once, as it does where the directions disagree"),
    Equivalent("disagreement.py", "def judge", "LtE becomes Lt in `low - error - allowed",
               "a number that is equal to an estimated bound to the last bit"),
    Equivalent("disagreement.py", "def describe_ratio",
               "0.0 becomes 1.0 in `0.0` of `float(np.sum(analytic * numeric)) / product",
               "a gradient that is not 0 is no multiple of 0, by 1 neither"),
    Equivalent("disagreement.py", "def describe_ratio", (
        "Lt becomes LtE in `np.linalg.norm(analytic - ratio", "Lt becomes LtE in `abs(ratio - known)",
        "Gt becomes GtE in `abs(ratio - 1)",
    ), "a number that is equal to a threshold to the last bit"),
    Equivalent("laws.py", "def difference", "a becomes b in `a` of `f",
               "both have one shape there"),
    Equivalent("laws.py", "def linearity", "3 becomes 4 in `3` of `3 * _size", "a tolerance a third larger"),
    Equivalent("laws.py", "def adjointness", "Add becomes Sub in `forward + reverse", "finite where both are"),
    Equivalent("laws.py", "(subject: Subject)", (
        "0 becomes 1 in `0` of `subject.seeds(0", "0 becomes 1 in `0` of `subject.seeds(0)` (2)",
        "1 becomes 2 in `1` of `subject.seeds(1)",
    ), "any random gradient will do"),
    Equivalent("linalg.py", "slogdet(", (
        "x becomes t in `x` of `is_complex(x)`", "x becomes out in `x` of `is_complex(x)`",
        "Add becomes Sub in `rate.real + 0j`",
    ), "all are complex together; 0j makes a number complex by either sign"),
    Equivalent("linalg.py", "def cofactors", (
        "x becomes determinants in `x` of `isinstance(x, Value)`",
        "x becomes determinants in `x` of `isinstance(x, Value)` (2)",
        "x becomes determinants in `x` of `isinstance(x, Value)` (3)",
    ), "both are Tensors, or arrays"),
    Equivalent("linalg.py", "def _regular_cofactors", (
        "Lt becomes LtE in `x.shape[-1] < 8`", "sign dropped in `-1` of `x.shape[-1] < 8`",
        "1 becomes 2 in `1` of `x.shape[-1] < 8`", "8 becomes 9", "sign dropped in `-1` of `np.abs(",
        "1 becomes 2 in `1` of `np.abs(", "Lt becomes LtE in `condition <",
        "x becomes determinants in `x` of `np.finfo(x.dtype)`",
        "1 becomes 2 in `1` of `np.finfo(", "0 becomes 1 in `0` of `determinants != 0`",
    ), "which of two ways is taken, by an estimate of the condition"),
    Equivalent("linalg.py", "def _solve_all", "Gt becomes GtE in `len(call.shape(1)) > 1` (2)",
               "systems that share a vector are solved one by one"),
    Equivalent("pool.py", "def max_pool_and_change", (
        "x becomes t in `x` of `lowest(x.dtype)`", "t becomes x in `t` of `change.view(t.dtype)`",
    ), "both have one dtype"),
    Equivalent("pool.py", "def max_pool_gradient", (
        "x becomes out in `x` of `lowest(x.dtype)`", "and becomes or in `out.size > 0 and",
        "out becomes x in `out` of `out.size > 0`", "x becomes out in `x` of `x.dtype.kind`",
        "out becomes x in `out` of `np.isnan(out.max())`",
    ), "both have one dtype and are empty together; looking for nan where there is none finds none"),
    Equivalent("pool.py", "def max_pool_gradient", (
        "and becomes or in `xp is not x and", "x becomes out in `x` of `xp is not x and",
        "x becomes f in `x` of `xp is not x and", "out becomes x in `out` of `out == bottom`",
    ), "what is outside is looked for where it is not a maximum"),
    Equivalent("pool.py", "def max_pool_gradient", (
        "out becomes x in `out` of `_empty_space(out, f)`", "out becomes x in `out` of `in_layout_of(g, out)`",
    ), "both have the same examples, channels, dtype and layout"),
    Equivalent("pool.py", "def max_pool_gradient", (
        "Add becomes Sub in `number + 1` of `number + 1 == len(positions)`",
        "Eq becomes NotEq in `part.dtype == g.dtype`",
    ), "the last position is compared like the others; an array is allocated where one could be written"),
    Equivalent("normalize.py", "def _into", "a becomes b in `a` of `a.ndim and",
               "an array is allocated where the memory of `a` could be written"),
    Equivalent("spectral.py", "def _complex", "False becomes True", "whether astype copies"),
    Equivalent("spectral.py", "def _derivative_of_eigh", "Sub becomes Add in `1 - np.eye(n, dtype=w.dtype)`",
               "the diagonal is 0, or imaginary rounding, as check_free_phase has seen"),
    Equivalent("spectral.py", "def _derivative_of_eig(", "Sub becomes Add in `1 - unit",
               "the diagonal is 0, or imaginary rounding, as check_free_phase has seen"),
    Equivalent("spectral.py", "def _derivative_of_eig(", "Add becomes Sub in `conjugated(w[..., None, :]",
               "the diagonal is divided into zeros, by 1 or by -1"),
    Equivalent("spectral.py", "def _derivative_of_eig(", "1 becomes 2 in `1` of `x_shape[-1]`", "the matrix is square"),
    Equivalent("triangular.py", "n <= SMALL", (
        "sign dropped in `-1` of `factor.shape[-1]", "1 becomes 2 in `1` of `factor.shape[-1]",
        "sign dropped in `-1` of `a.shape[-1]", "1 becomes 2 in `1` of `a.shape[-1]",
        "factor becomes t in `factor` of `factor.shape",
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
    Equivalent("elementwise.py", "def _derivative_in_exponent", "1 becomes 2 in `1` of `where(still, 1, ",
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
    Equivalent("linalg.py", "def cofactors", "operands swapped in `rotated @ power",
               "a matrix and its polynomials commute"),
    Equivalent("losses.py", "def _clamped_log", "Lt becomes LtE",
               "at e^-100 the logarithm is -100 too"),
    Equivalent("losses.py", "def _clamped_log", "1 becomes 2 in `1` of `where(small, 1, x)",
               "the value is not used: it is chosen away outside"),
    Equivalent("losses.py", "cross_entropy", "x_dtype becomes x in `x_dtype` of",
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
    Equivalent("elementwise.py", "(g: NDArray, ", (
        "1 becomes 2 in `1` of `where(length == 0, 1, length)", "x becomes out in `x` of `is_complex(x)",
    ), "the value is not used: it is chosen away outside; out is complex where x is"),
    Equivalent("elementwise.py", "is_complex(x) else g * 0", "1 becomes 2 in `1` of `where(x == 0, 1, x)",
               "the value is not used: it is chosen away outside"),
    Equivalent("elementwise.py", "def _derivative_in_exponent", (
        "Add becomes Sub in `x + 0 * y", "y becomes out in `y` of `is_complex(y)",
        "y becomes out in `y` of `x + 0 * y",
    ), "0j makes a real number complex by either sign; out is complex where y is"),
    Equivalent("reduce.py", "def _fast_of_extremes", "NotEq becomes Eq in `out != out",
               "a shortcut is not taken; the general rule gives the same"),
    Equivalent("reduce.py", "def _of_deviation", "1 becomes 2 in `1` of `where(still, 1,",
               "the value is not used: it is chosen away outside"),
    Equivalent("scan.py", "def _products_moved", "out becomes x in `out` of `axis % out.ndim`",
               "both have as many axes"),
    Equivalent("trigonometry.py", "is_complex(x)", "x becomes out in `x` of `is_complex(x)",
               "out is complex where x is"),
    Equivalent("trigonometry.py", "def _over_length_squared", "1 becomes 2 in `1` of `where(length == 0, 1,",
               "the value is not used: it is chosen away outside"),
    Equivalent("spectral.py", "def eig(", (
        "sign dropped in `-1` of `x.shape[-1]`", "1 becomes 2 in `1` of `x.shape[-1]`",
    ), "the matrix is square"),
    Equivalent("norms.py", "def _moved_pinv", (
        "x becomes t in `x` of `x.shape[-2] <", "x becomes out in `x` of `x.shape[-2] <",
        "x becomes t in `x` of `x.shape[-2] < x.shape[-1]` (2)",
        "x becomes out in `x` of `x.shape[-2] < x.shape[-1]` (2)",
        "sign dropped in `-1` of `x.shape[-2] <", "1 becomes 2 in `1` of `x.shape[-2] <",
    ), "which of two ways is taken, by the size of the products"),
    Equivalent("linear.py", "lambda g, w, x_shape", (
        "Eq becomes NotEq in `g.ndim == 2", "2 becomes 3 in `2` of `g.dot(w) if g.ndim == 2",
    ), "the product of all rows at once, or as they are stacked"),
    Equivalent("losses.py", "def _reduced_all", "1 becomes 2 in `1` of `where(nothing, 1, count)",
               "the value is not used: it is chosen away outside"),
    Equivalent("losses.py", "def _bce_derivative", "Lt becomes LtE in `product < 1e-12`",
               "where both are equal either will do"),
    Equivalent("losses.py", "def softmax_cross_entropy_change", "target becomes s in `target` of `target.shape`",
               "each sample has one sum"),
    Equivalent("losses.py", "def softmax_cross_entropy_gradient", (
        "positions becomes s in `positions` of `len(", "positions becomes target in `positions` of `len(",
    ), "each sample has one target, one place and one sum"),
    Equivalent("losses.py", "def softmax_cross_entropy_", "x_dtype becomes positions in `x_dtype` of ",
               "positions is None there, for float64; a derivative is converted to the dtype of its value"),
    Equivalent("losses.py", "def coefficients", "dtype becomes weight in `dtype` of `np.ones(",
               "weight is None there, for float64; the ones are added to an array of the dtype"),
    Equivalent("activations.py", "def _elu_fast", (
        "x becomes out in `x` of `x.size and", "x becomes out in `x` of `x.max() < np.inf",
    ), "out is infinite where x is"),
    Equivalent("activations.py", "_between(x, -3, 3) + (x >= 3)", (
        "3 becomes 4 in `3` of `np.clip(x, -3, 3)`", "3 becomes 4 in `3` of `np.clip(x, -3, 3)` (2)",
    ), "between the bounds nothing is cut off; outside, a finite number is multiplied by 0"),
    Equivalent("index.py", "def _index_of_all", "1 becomes 2 in `1` of `getattr(part, 'ndim', 1)`",
               "what is no array is not one without axes"),
    Equivalent("index.py", "def _index_of_all", "0 becomes 1 in `0`",
               "without an array in the index the result has its axes in order"),
    Equivalent("index.py", "def _in_order", "order becomes x in `order` of `range(len(order))`",
               "axes that are in order are put in order"),
    Equivalent("index.py", "def _setitem_all", (
        "False becomes True in `False` of `np.broadcast_to(", "Gt becomes GtE in `len(own) > len(shape)`",
    ), "only the shape counts; nothing is cut off"),
    Equivalent("index.py", "def _take_all", "1 becomes 2 in `1` of `call.batched[:1]`", "there is one input"),
    Equivalent("normalization.py", "def _standardize_rule", (
        "view becomes x in `view` of `view is None`", "view becomes eps in `view` of `view is None`",
        "view becomes center in `view` of `view is None`", "view becomes needs_input_grad in `view` of `view is None`",
        "fit becomes x in `fit` of `view is None and", "fit becomes w in `fit` of `view is None and",
        "fit becomes eps in `fit` of `view is None and", "fit becomes center in `fit` of `view is None and",
        "fit becomes needs_input_grad in `fit` of `view is None and",
    ), "a shortcut is not taken: what is summed here is summed by the engine too"),
    Equivalent("depthwise.py", "def weight_gradient", (
        "sign dropped in `-1` of `np.einsum(", "1 becomes 2 in `1` of `np.einsum(",
    ), "what this sum leaves is summed in the next line"),
    Equivalent("im2col.py", "def input_gradient", (
        "w becomes y in `w` of `_band_is_faster(", "LtE becomes Lt in `w.shape[0] <= 3",
        "w becomes y in `w` of `w.shape[0] <= 3", "0 becomes 1 in `0` of `w.shape[0] <= 3",
        "Mult becomes Div in `3 * w.shape[1]`", "3 becomes 4 in `3` of `3 * w.shape[1]`",
        "w becomes y in `w` of `3 * w.shape[1]`", "1 becomes 2 in `1` of `3 * w.shape[1]`",
    ), "which of several ways is taken, by an estimate of the time"),
    Equivalent("im2col.py", "def _col2im", (
        "w becomes y in `w` of `range(2, w.ndim)`", "Mult becomes Div in `prod(f.counts) * c * k`",
        "Mult becomes Div in `prod(f.counts) * c`",
    ), "both have as many axes; blocks may have any size"),
    Equivalent("im2col.py", "def _blocks", (
        "1 becomes 2 in `1` of `max(1, min(", "n becomes elements in `n` of `min(n, BLOCK",
        "1 becomes 2 in `1` of `max(1, elements)`", "elements becomes n in `elements` of `max(1, elements)`",
    ), "blocks may have any size"),
    Equivalent("im2col.py", "def convolve", "w becomes x in `w` of `range(2, w.ndim)`", "both have as many axes"),
    Equivalent("im2col.py", "def _columns", (
        "and becomes or in `c * f.kernel[-1] < SHORT_RUN", "Lt becomes LtE in `c * f.kernel[-1] < SHORT_RUN",
        "Mult becomes Div in `c * f.kernel[-1]`", "Gt becomes GtE in `k > 1` of `c * f.kernel[-1]",
        "1 becomes 2 in `1` of `c * f.kernel[-1] < SHORT_RUN", "Mult becomes Div in `count * k",
    ), "which of two ways is taken, by an estimate of the time; blocks may have any size"),
    Equivalent("im2col.py", "def _input_gradient_by_rows", (
        "w becomes y in `w` of `range(2, w.ndim)`", "Mult becomes Div in `prod(f.counts[:-1]) * prod(lead)",
        "sign dropped in `-1` of `f.counts[:-1]`", "1 becomes 2 in `1` of `f.counts[:-1]`",
    ), "both have as many axes; blocks may have any size"),
    Equivalent("im2col.py", "def _band_is_faster", (
        "0 becomes 1 in `0` of `(w.shape[0]", "1 becomes 2 in `1` of `(w.shape[0]",
        "Sub becomes Add in `f.counts[-1] + kernel - 1`", "operands swapped in `f.counts[-1] + kernel - 1`",
        "Add becomes Sub in `f.counts[-1] + kernel`", "1 becomes 2 in `1` of `f.counts[-1] + kernel - 1`",
        "LtE becomes Lt in `filters * f.counts", "Mult becomes Div in `filters * f.counts",
        "sign dropped in `-1` of `f.kernel[:-1]`", "1 becomes 2 in `1` of `f.kernel[:-1]`",
        "Lt becomes LtE in `c < SHORT_RUN`", "GtE becomes Gt in `kernel >= 4", "4 becomes 5 in `4` of `plain and small",
        "LtE becomes Lt in `width <= 4 * kernel", "Mult becomes Div in `4 * kernel", "4 becomes 5 in `4` of `width",
    ), "which of two ways is taken, by an estimate of the time"),
    Equivalent("im2col.py", "def _input_gradient_by_phases", "2 becomes 3 in `2` of `2 * axes + 2` (2)",
               "the odd numbers up to the same one"),
    Equivalent("index.py", "def plain_key", "and becomes or in `active and modes.watchers`",
               "an array of one index picks what the number does"),
    Equivalent("recurrent.py", "def _lstm_moved", (
        "w_hh becomes h in `w_hh` of `w_hh.shape[1]`", "w_hh becomes c in `w_hh` of `w_hh.shape[1]`",
    ), "both have the hidden features as their axis 1"),
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
