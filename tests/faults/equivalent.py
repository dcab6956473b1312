"""Planted changes that change no result, each with the reason. No test can notice them.

Found again by the file, a piece of the function"s source and the words of the change, so lines may move.
"""

from __future__ import annotations

from typing import NamedTuple

from tests.faults.mutants import Mutant


class Equivalent(NamedTuple):
    """Changes of one file that are known to be harmless; `within`: a piece of the function (as ast.unparse)."""

    file: str
    within: str
    change: str
    reason: str


EQUIVALENT: tuple[Equivalent, ...] = (
    Equivalent("piecewise.py", "lambda g, x: g * where(x > 0, 0, x)", "Gt becomes GtE",
               "at 0 both branches are 0"),
    Equivalent("elementwise.py", "_share(", "Gt becomes GtE",
               "ties are taken out first"),
    Equivalent("elementwise.py", "_share(", "Lt becomes LtE",
               "ties are taken out first"),
    Equivalent("elementwise.py", "def _slope_in_exponent", "1 becomes 2 in `1` of `where(still, 1, x)",
               "the value is not used: it is chosen away outside"),
    Equivalent("elementwise.py", "def _slope_of_power", "1 becomes 2 in `1` of `where(y == 0, 1, y - 1)",
               "the value is not used: it is chosen away outside"),
    Equivalent("contract.py", "def _to_left", "Gt becomes GtE in `len(x_shape) > 1",
               "g is 0-d there, and an axis of size 1 broadcasts as none does"),
    Equivalent("contract.py", "def _to_right", "sign dropped in `-1` of `expand_dims(x, -1)",
               "x has one axis: behind it is place 1 as well as -1"),
    Equivalent("convolve.py", "def _sum_places_fast", "and becomes or",
               "the choice between two ways to one sum; no size is 0 where the division is"),
    Equivalent("convolve.py", "def _sum_places_fast", "1 becomes 2 in `1` of `last.reshape(-1",
               "NumPy takes any negative size for the one to be worked out"),
    Equivalent("layers.py", "def _summed(", "1 becomes 2",
               "a shortcut is not taken; the general sum gives the same"),
    Equivalent("layers.py", "def _dotted(", "a becomes b",
               "a and b have one shape; their memory order and dtype only choose the way"),
    Equivalent("layers.py", "def _gathered(", "1 becomes 2",
               "sums over an axis of size 1 as well: nothing is added"),
    Equivalent("layers.py", "def _gathered(", "a becomes kept",
               "sums over an axis of size 1 as well: nothing is added"),
    Equivalent("layers.py", "np.dot(_flat(g), w).reshape(x_shape)", "",
               "the general way serves two axes too; np.dot takes more axes as they are"),
    Equivalent("layers.py", "def _standardize_fast", "Eq becomes NotEq in `len(both) == g.ndim",
               "the choice between two ways to the same sums"),
    Equivalent("layers.py", "def _standardize_fast", "or becomes and in `w is None or",
               "the choice between two ways to the same sums"),
    Equivalent("linalg.py", "def cofactors", "Mult becomes Div in `u @ (_products_of_others(s)",
               "the sign is 1 or -1: dividing by it is multiplying"),
    Equivalent("linalg.py", "def cofactors", "Mult becomes Div in `u @ adjugate.mT",
               "the sign is 1 or -1: dividing by it is multiplying"),
    Equivalent("linalg.py", "def _frames", "Mult becomes Div",
               "the sign is 1 or -1: dividing by it is multiplying"),
    Equivalent("linalg.py", "def cofactors", "Mult becomes Div in `n * np.finfo",
               "the way for singular matrices serves the others too"),
    Equivalent("linalg.py", "def cofactors", "operands swapped in `turned @ power",
               "a matrix and its polynomials commute"),
    Equivalent("losses.py", "def _clamped_log", "Lt becomes LtE",
               "at e^-100 the logarithm is -100 too"),
    Equivalent("losses.py", "def _clamped_log", "1 becomes 2 in `1` of `where(small, 1, x)",
               "the value is not used: it is chosen away outside"),
    Equivalent("losses.py", "def _bce_slope", "Lt becomes LtE",
               "at equality both values are the same"),
    Equivalent("losses.py", "def _coefficients", "dtype becomes weight",
               "ones of float64, cast where they are used"),
    Equivalent("index.py", "def _put_back", "or becomes and",
               "an axis of size 1 is spread and then summed to size 1 again by the un-broadcasting"),
    Equivalent("index.py", "def _written", "sign dropped in `-1` of `np.full",
               "only places that were written are read"),
    Equivalent("index.py", "def _written", "1 becomes 2 in `1` of `",
               "only places that were written are read"),
    Equivalent("codegen.py", "def pull_source", "and becomes or in `self.saves and any(",
               "the generated code also unpacks names that nothing in it reads"),
    Equivalent("graph.py", "def walk", "or becomes and in `recording or serial in owned`",
               "a gradient that nobody else holds is copied once more before it is handed out"),
    Equivalent("graph.py", "def unbroadcast", "False becomes True in `False",
               "the reshape that follows drops the axes of size 1"),
    Equivalent("recurrent.py", "def _gru_fast", "gates becomes w_hh in `gates` of `np.zeros",
               "both have the one dtype of the layer"),
    Equivalent("recurrent.py", "def _rnn_fast", "1 becomes 2 in `1` of `d.reshape(-1",
               "NumPy takes any negative size for the one to be worked out"),
    Equivalent("recurrent.py", "def to_weights_fast", "d_ih becomes needs in `d_ih` of `d_hh is d_ih",
               "a shortcut is not taken: one sum is computed twice"),
    Equivalent("pooling.py", "def _hits", "x becomes f in `x` of `xp is not x",
               "where nothing was padded the mask of what was is true everywhere"),
    Equivalent("special.py", "def _share", "out becomes x in `out` of `isinstance(out",
               "a shortcut for finite values; the general formula gives the same"),
    Equivalent("spectral.py", "def _slope_of_svd", "1 becomes 2 in `1` of `rest.shape[-1]",
               "where the space is empty, sums over nothing are added"),
    Equivalent("recurrent.py", "def to_weights_fast", "d_hh becomes needs in `d_hh` of `d_hh is d_ih`",
               "a shortcut is not taken: one sum is computed twice"),
    Equivalent("lstm.py", "def _lstm_fast", "memory becomes gates in `memory` of `memory.shape`",
               "both have the batch as their axis 1"),
    Equivalent("lstm.py", "def _lstm_fast", "memory becomes x in `memory` of `memory.shape`",
               "both have the batch as their axis 1"),
    Equivalent("pooling.py", "def _hits", "x becomes out in `x` of `_lowest(x.dtype)`",
               "both have one dtype"),
    Equivalent("norms.py", "def _slope_of_norm", "out becomes x in `out` of `out == 0 if ord > 1",
               "an element that is 0 has the slope 0 either way, since its sign is 0"),
    Equivalent("recurrent.py", "def _gru_fast", "1 becomes 2 in `1` of `d_hh.reshape(-1",
               "NumPy takes any negative size for the one to be worked out"),
    Equivalent("losses.py", "def _coefficients", "1 becomes 2 in `1` of `weights.reshape(-1",
               "NumPy takes any negative size for the one to be worked out"),
    Equivalent("pooling.py", "def _hits", "x becomes out in `x` of `x.dtype.kind`",
               "both have one dtype"),
    Equivalent("spectral.py", "def _slope_of_eigh", "Add becomes Sub in `w[..., None, :]",
               "the diagonal is divided into zeros, by 1 or by -1"),
    Equivalent("recurrent.py", "def _gru_fast", "gates becomes states in `gates` of `np.zeros",
               "both have the one dtype of the layer"),
    Equivalent("spectral.py", "def _slope_of_svd", "Add becomes Sub in `(row - column) * (row + column) + np.eye",
               "the diagonal is divided into zeros, by 1 or by -1"),
    Equivalent("pooling.py", "def _to_max_fast", "out becomes x in `out` of `in_order_of(g, out)`",
               "only the order in memory is read"),
    Equivalent("recurrent.py", "def to_weights_fast", "and becomes or in `same and needs[3]`",
               "a sum is computed that nobody asked for"),
    Equivalent("pooling.py", "def _frame", "name becomes sizes",
               "the name stands in messages only"),
    Equivalent("norms.py", "def _slope_of_norm", "1 becomes 2 in `1` of `out == 0 if ord > 1",
               "an element that is 0 has the slope 0 either way, since its sign is 0"),
    Equivalent("special.py", "def _share", "0 becomes 1 in `0` of `where(infinite, 0, x)`",
               "the value is not used: it is chosen away outside"),
    Equivalent("reduce.py", "def kept", "Is becomes IsNot in `axis is None`",
               "a 0-d gradient broadcasts as one with axes of size 1 does"),
    Equivalent("special.py", "def _share", "out becomes x in `out` of `out == -np.inf`",
               "where x is -inf its share is 0 by either formula, and where out is, x is too"),
)  # fmt: skip


def reason_for(mutant: Mutant) -> str | None:
    """Why a change makes no difference, or None where it does."""
    for known in EQUIVALENT:
        if (
            known.file == mutant.path.name
            and known.within in mutant.within
            and mutant.what.startswith(known.change)
        ):
            return known.reason
    return None
