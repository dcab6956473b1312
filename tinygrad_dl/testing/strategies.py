"""Hypothesis strategies for testing gradient code: shapes, arrays, Tensors, indices, axes, options, programs.

Built on hypothesis.extra.numpy; `programs()` is defined in tinygrad_dl.testing.random_programs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from tinygrad_dl.errors import missing_extra
from tinygrad_dl.op import OPS, Domain
from tinygrad_dl.tensor import Tensor

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:  # pragma: no cover - the test extra is not installed
    raise missing_extra("hypothesis", "test", "tinygrad_dl.testing.strategies") from error

SPECIAL = (0.0, -0.0, 1.0, -1.0, 1e-8, -1e-8, 1e4, -1e4)


def shapes(
    min_dims: int = 0, max_dims: int = 3, min_side: int = 0, max_side: int = 4
) -> st.SearchStrategy[Any]:
    """Shapes of arrays, including empty and zero-dimensional ones.

    >>> from hypothesis import find
    >>> find(shapes(min_dims=1, min_side=1), lambda s: True)
    (1,)
    """
    return hnp.array_shapes(min_dims=min_dims, max_dims=max_dims, min_side=min_side, max_side=max_side) if (
        min_dims > 0
    ) else st.one_of(
        st.just(()),
        hnp.array_shapes(min_dims=1, max_dims=max(max_dims, 1), min_side=min_side, max_side=max_side),
    )  # fmt: skip


def broadcastable_shapes(count: int = 2, max_dims: int = 3, max_side: int = 4) -> st.SearchStrategy[Any]:
    """Tuples of shapes that broadcast together.

    >>> from hypothesis import find
    >>> find(broadcastable_shapes(2), lambda s: True)
    ((), ())
    """
    return hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=max_dims, max_side=max_side).map(
        lambda found: found.input_shapes
    )


def _away(x: np.ndarray, domain: Domain) -> np.ndarray:
    for point in domain.avoid:
        x = np.where(np.abs(x - point) < domain.gap, point + np.where(x < point, -1, 1) * domain.gap, x)
    return x


@st.composite
def arrays(
    draw: Any,
    shape: Any = None,
    dtype: Any = "float64",
    domain: Domain | None = None,
    special: bool = False,
) -> np.ndarray:
    """Arrays of a shape (or a strategy for shapes) and dtype, within a Domain and away from its kinks.

    `special` mixes in 0, -0, ones, tiny and huge values, and ties.

    >>> from hypothesis import find
    >>> find(arrays(shape=(2,)), lambda a: True)
    array([0., 0.])
    """
    domain = domain if domain is not None else Domain()
    size = draw(shape if shape is not None else shapes()) if not isinstance(shape, tuple) else shape
    # Such domains know how to draw their arrays; Hypothesis shrinks only the seed.
    if domain.distinct or domain.make is not None:
        return domain.sample(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), size).astype(dtype)
    width = np.finfo(dtype).bits if np.dtype(dtype).kind == "f" else 64
    # Multiples of 1/64 are easy to read and exact in every dtype.
    ordinary = st.integers(int(np.ceil(domain.low * 64)), int(np.floor(domain.high * 64))).map(
        lambda n: n / 64
    )
    elements = st.one_of(ordinary, st.sampled_from(SPECIAL)) if special else ordinary
    x = draw(hnp.arrays(np.float64, size, elements=elements, fill=st.nothing() if width == 64 else None))
    return (x if special else _away(x, domain)).astype(dtype)


@st.composite
def tensors(draw: Any, /, requires_grad: bool = True, **options: Any) -> Tensor:
    """Tensors that require grad; options as for `arrays`.

    >>> from hypothesis import find
    >>> find(tensors(shape=(2,)), lambda t: True)
    Tensor([0., 0.], dtype=float64, requires_grad=True)
    """
    return Tensor(draw(arrays(**options)), requires_grad=requires_grad)


def basic_indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Basic indices of an array: integers, slices, None and Ellipsis.

    >>> from hypothesis import find
    >>> find(basic_indices((3,)), lambda key: key == 0)
    0
    """
    return hnp.basic_indices(shape, allow_newaxis=True)


def integer_indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Tuples of integer arrays, possibly with repeats, that index an array of the shape (without empty axes).

    >>> from hypothesis import find
    >>> find(integer_indices((3,)), lambda key: len(key[0]) == 2)
    (array([0, 0]),)
    """
    return hnp.integer_array_indices(shape, result_shape=hnp.array_shapes(max_dims=2, max_side=3))


def mask_indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Boolean masks of the shape.

    >>> from hypothesis import find
    >>> find(mask_indices((2,)), lambda key: True)
    array([False, False])
    """
    return hnp.arrays(bool, shape)


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Any index of an array of the shape: basic, integer arrays or a mask."""
    choices = [basic_indices(shape), mask_indices(shape)]
    if shape and 0 not in shape:
        choices.append(integer_indices(shape))
    return st.one_of(choices)


def axes(ndim: int, allow_none: bool = True, allow_tuple: bool = True) -> st.SearchStrategy[Any]:
    """Axes of an array with `ndim` dimensions: None, an integer, possibly negative, or a tuple of distinct ones.

    >>> from hypothesis import find
    >>> find(axes(2, allow_none=False), lambda axis: True)
    0
    """
    choices: list[Any] = [st.none()] if allow_none or not ndim else []
    if ndim:
        choices.append(st.integers(-ndim, ndim - 1))
        if allow_tuple:
            choices.append(hnp.valid_tuple_axes(ndim))
    return st.one_of(choices)


@st.composite
def einsums(draw: Any, max_operands: int = 3, max_side: int = 3) -> tuple[str, list[np.ndarray]]:
    """An einsum expression with its operands: sums, traces, products and transposes, but no broadcasting.

    >>> from hypothesis import find
    >>> expression, operands = find(einsums(max_operands=1), lambda e: e[0].startswith("a->"))
    >>> expression
    'a->'
    """
    letters = "abcd"
    sizes = {letter: draw(st.integers(1, max_side)) for letter in letters}
    terms = [
        "".join(draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3)))
        for _ in range(draw(st.integers(1, max_operands)))
    ]
    used = sorted(set("".join(terms)))
    out = "".join(draw(st.permutations(draw(st.lists(st.sampled_from(used), unique=True, max_size=3)))))
    return f"{','.join(terms)}->{out}", [draw(arrays(shape=tuple(sizes[c] for c in term))) for term in terms]


@st.composite
def convolutions(draw: Any, dims: int = 2, max_side: int = 6) -> dict[str, Any]:
    """Consistent arguments of a convolution: input, weight, stride, padding, dilation, groups.

    >>> from hypothesis import find
    >>> sorted(find(convolutions(dims=1), lambda c: True))
    ['dilation', 'groups', 'input', 'padding', 'stride', 'weight']
    """
    groups = draw(st.integers(1, 2))
    in_channels, out_channels = groups * draw(st.integers(1, 2)), groups * draw(st.integers(1, 2))
    kernel = tuple(draw(st.integers(1, 3)) for _ in range(dims))
    dilation = tuple(draw(st.integers(1, 2)) for _ in range(dims))
    padding = tuple(draw(st.integers(0, 2)) for _ in range(dims))
    # A padded input is at least as large as the dilated kernel.
    smallest = [max(1, d * (k - 1) + 1 - 2 * p) for k, d, p in zip(kernel, dilation, padding)]
    size = tuple(draw(st.integers(low, max(low, max_side))) for low in smallest)
    return {
        "input": draw(arrays(shape=(draw(st.integers(1, 2)), in_channels, *size))),
        "weight": draw(arrays(shape=(out_channels, in_channels // groups, *kernel))),
        "stride": tuple(draw(st.integers(1, 3)) for _ in range(dims)),
        "padding": padding,
        "dilation": dilation,
        "groups": groups,
    }


@st.composite
def modules(draw: Any, max_layers: int = 3) -> tuple[Any, Tensor]:
    """A small Sequential model in float64 and an input Tensor for it.

    >>> from hypothesis import find
    >>> model, x = find(modules(max_layers=1), lambda found: True)
    >>> model(x).shape[0] == x.shape[0]
    True
    """
    from tinygrad_dl import nn

    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, width = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    x = Tensor(rng.uniform(-2, 2, (rows, width)))
    layers: list[Any] = []
    for _ in range(draw(st.integers(1, max_layers))):
        kind = draw(st.sampled_from(("linear", "tanh", "sigmoid", "softplus", "layer norm", "batch norm")))
        if kind == "linear":
            units = draw(st.integers(1, 4))
            layers.append(nn.Linear(width, units, rng=rng))
            width = units
        else:
            activations = {"tanh": nn.Tanh, "sigmoid": nn.Sigmoid, "softplus": nn.Softplus}
            norms = {"layer norm": nn.LayerNorm, "batch norm": nn.BatchNorm1d}
            layers.append(activations[kind]() if kind in activations else norms[kind](width))
    return nn.Sequential(*layers).double(), x


@st.composite
def optimizers(draw: Any, closures: bool = False, matrices: bool = False) -> tuple[str, dict[str, Any]]:
    """The name of an optimizer in tinygrad_dl.optim and options for it with which the loss decreases.

    `closures` includes LBFGS, whose step requires a closure; `matrices` includes Muon, for matrices only.

    >>> from hypothesis import find
    >>> find(optimizers(), lambda found: found[0] == "SGD")[0]
    'SGD'
    """
    from inspect import isclass, signature

    from tinygrad_dl import optim

    names = [name for name, value in vars(optim).items() if isclass(value) and name != "Optimizer"]
    excluded = {name for name, included in (("LBFGS", closures), ("Muon", matrices)) if not included}
    name = draw(st.sampled_from(sorted(set(names) - excluded)))
    known = signature(getattr(optim, name)).parameters
    settings = {key: draw(value) for key, value in OPTIMIZER_SETTINGS.items() if key in known}
    # SGD requires momentum for Nesterov.
    if settings.get("nesterov") and "dampening" in known:
        settings["nesterov"] = settings["momentum"] > 0
    return name, settings


OPTIMIZER_SETTINGS: dict[str, st.SearchStrategy[Any]] = {
    "lr": st.sampled_from((1e-3, 1e-2, 1e-1)),
    "weight_decay": st.sampled_from((0.0, 1e-2)),
    "momentum": st.sampled_from((0.0, 0.9)),
    "nesterov": st.booleans(),
    "betas": st.tuples(st.sampled_from((0.8, 0.9)), st.sampled_from((0.99, 0.999))),
    "amsgrad": st.booleans(),
    "centered": st.booleans(),
    "decoupled_weight_decay": st.booleans(),
    "line_search_fn": st.sampled_from((None, "strong_wolfe")),
}


def operations(differentiable: bool = True) -> st.SearchStrategy[Any]:
    """Operations of the registry.

    >>> from hypothesis import find
    >>> find(operations(), lambda op: op.name == "exp").name
    'exp'
    """
    return st.sampled_from([op for op in OPS.values() if op.differentiable or not differentiable])


def __getattr__(name: str) -> Any:
    # random_programs imports the strategies above, so it is imported on first use.
    if name == "programs":
        from tinygrad_dl.testing.random_programs import programs

        return programs
    raise AttributeError(f"tinygrad_dl.testing.strategies has no attribute {name!r}")
