"""NumPy's functions called on Tensors (NEP 18): each is computed by our operations and recorded.

A handler has NumPy's name and NumPy's parameters: an argument is honored, or it is refused by its name. A function
without a handler raises DTypeError, as ours of the same name may mean something else. Parameters annotated `Data`
are differentiable; the others are options, in whose place a Tensor counts as its value.
"""

from __future__ import annotations

from tinygrad_dl.numpy_functions.calls import OUT_ADVICE, call, store, without_gradient

__all__ = ["OUT_ADVICE", "call", "store", "without_gradient"]
