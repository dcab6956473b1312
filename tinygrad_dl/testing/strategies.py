"""Hypothesis strategies for testing gradient code: shapes, arrays, Tensors, indices, axes, options, programs.

Built on hypothesis.extra.numpy; `programs()` is defined in tinygrad_dl.testing.random_programs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np

from tinygrad_dl.arguments import LARGEST, Bounds, Count, Size, checked, refuse_unfit
from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError, missing_extra
from tinygrad_dl.op import OPS, Domain
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.frameworks import module_of

try:
    from hypothesis import strategies as st
    from hypothesis.extra import numpy as hnp
except ImportError as error:  # pragma: no cover - the test extra is not installed
    raise missing_extra("hypothesis", "test", "tinygrad_dl.testing.strategies") from error

SPECIAL = (0.0, -0.0, 1.0, -1.0, 1e-8, -1e-8, 1e4, -1e4)


#: A number of axes: NumPy's arrays have up to 64, Hypothesis draws up to 32.
Dims: TypeAlias = Annotated[int, Bounds(least=0, most=32)]
#: A number of things to draw one by one.
Few: TypeAlias = Annotated[int, Bounds(least=1, most=100)]


@checked
def shapes(
    min_dims: Dims = 0, max_dims: Dims = 3, min_side: Size = 0, max_side: Size = 4
) -> st.SearchStrategy[Any]:
    """Shapes of arrays, including empty and zero-dimensional ones.

    >>> from hypothesis import find
    >>> find(shapes(min_dims=1, min_side=1), lambda s: True)
    (1,)
    """
    for what, low, high in (("dims", min_dims, max_dims), ("side", min_side, max_side)):
        if low > high:
            raise ValueRangeError(
                f"shapes: expected min_{what} of at most max_{what}, got min_{what}={low} and max_{what}={high}"
            )
    choices: list[st.SearchStrategy[Any]] = [st.just(())] if not min_dims else []
    if max_dims:
        choices.append(
            hnp.array_shapes(
                min_dims=max(min_dims, 1), max_dims=max_dims, min_side=min_side, max_side=max_side
            )
        )
    return st.one_of(choices)


@checked
def broadcastable_shapes(count: Few = 2, max_dims: Dims = 3, max_side: Count = 4) -> st.SearchStrategy[Any]:
    """Tuples of shapes that broadcast together.

    >>> from hypothesis import find
    >>> find(broadcastable_shapes(2), lambda s: True)
    ((), ())
    """
    return hnp.mutually_broadcastable_shapes(num_shapes=count, max_dims=max_dims, max_side=max_side).map(
        lambda found: found.input_shapes
    )


def _shape(shape: Any, what: str) -> tuple[int, ...]:
    """A shape as a tuple; an int is one axis."""
    sizes = shape if isinstance(shape, (tuple, list)) else [shape]
    if not all(isinstance(n, (int, np.integer)) and not isinstance(n, bool) for n in sizes):
        raise DTypeError(f"{what}: shape: expected ints, got {describe(shape)}")
    if any(n < 0 for n in sizes) or math.prod(sizes) > LARGEST or len(sizes) > 32:
        raise ValueRangeError(
            f"{what}: shape: expected up to 32 ints of at least 0 with a product of at most {LARGEST}, got "
            f"{describe(shape)}"
        )
    return tuple(int(n) for n in sizes)


def _intervals(domain: Domain) -> list[tuple[float, float]]:
    """The parts of a domain's range that are far enough from the values to avoid."""
    low = domain.low if math.isfinite(domain.low) else -1e4
    high = domain.high if math.isfinite(domain.high) else 1e4
    parts = [(low, high)]
    for point in domain.avoid:
        below, above = point - domain.gap, point + domain.gap
        parts = [
            (start, end)
            for a, b in parts
            for start, end in ((a, min(b, below)), (max(a, above), b))
            if start <= end
        ]
    return list(dict.fromkeys(parts))


def _grid(low: float, high: float, whole: bool) -> st.SearchStrategy[float] | None:
    """The numbers of an interval that are multiples of 1/64, or of a smaller power of 2 where these are few."""
    # Such numbers are easy to read, and exact in every dtype.
    for n in (1.0,) if whole else (2.0**k for k in range(6, 60)):
        first, last = math.ceil(low * n), math.floor(high * n)
        if last - first >= 16 or (whole and first <= last):
            return st.integers(first, last).map(lambda i, n=n: i / n)  # type: ignore[misc]
    return None if whole else st.just(low)


def _rounded_up(x: float, dtype: np.dtype) -> float:
    """The smallest number of a dtype that is at least x."""
    near = dtype.type(x)
    return float(near if float(near) >= x else np.nextafter(near, dtype.type(np.inf)))


def arrays(
    shape: Any = None,
    dtype: Any = "float64",
    domain: Domain | None = None,
    special: bool = False,
    framework: str | None = None,
) -> st.SearchStrategy[Any]:
    """Arrays of a shape (or a strategy for shapes) and dtype, within a Domain and away from its kinks.

    The real parts of complex ones are; their imaginary parts are any numbers.
    `special` mixes in 0, -0, ones, subnormal, tiny and huge values, and ties, as far as they are in the domain.
    `framework`: "torch", "jax", "mygrad" or "tinygrad_dl" for arrays of that framework, with the same bits. Raises
    DTypeError, ValueRangeError.

    >>> from hypothesis import find
    >>> find(arrays(shape=(2,)), lambda a: True)
    array([0., 0.])
    """
    refuse_unfit(arrays, (shape, dtype, domain, special, framework), {}, "arrays")
    drawn = _arrays_of("arrays", shape, dtype, domain, special)
    if framework is None or framework == "numpy":
        return drawn
    asarray = module_of(framework, "arrays").asarray
    if framework == "jax":
        asarray(np.empty(0, dtype))  # a dtype that JAX does not make is refused here, and not in the test
    return drawn.map(asarray)


def _arrays_of(
    what: str, shape: Any, dtype: Any, domain: Domain | None, special: bool
) -> st.SearchStrategy[np.ndarray]:
    refuse_unfit(arrays, (shape, dtype, domain, special), {}, what)
    try:
        dtype = np.dtype(dtype)
    except (TypeError, ValueError):
        raise DTypeError(f"{what}: dtype: expected a dtype, got {describe(dtype)}") from None
    if dtype.kind not in "biufc":
        raise DTypeError(f"{what}: dtype: expected a dtype of numbers, got {dtype}")
    if shape is None:
        size = shapes()
    else:
        size = shape if isinstance(shape, st.SearchStrategy) else st.just(_shape(shape, what))
    within = domain if domain is not None else Domain()
    if dtype.kind == "c":
        return _complex(what, size, dtype, domain, special)
    whole = dtype.kind in "biu"
    if within.distinct or within.make is not None:
        # Such domains know how to draw their arrays; Hypothesis shrinks only the seed.
        return _sampled(size, dtype, within)
    parts = _intervals(within if dtype.kind not in "bu" else Domain(0, 1 if dtype.kind == "b" else 2))
    if dtype.kind == "f":
        parts = [(a, b) for a, b in parts if _rounded_up(a, dtype) <= b]
    # The part nearest to 0 comes first: Hypothesis shrinks to it.
    grids = [
        _grid(*part, whole)
        for part in sorted(parts, key=lambda p: min(abs(p[0]), abs(p[1])) * (p[0] * p[1] > 0))
    ]
    choices = [grid for grid in grids if grid is not None]
    if not choices:
        raise ValueRangeError(
            f"{what}: domain: expected one with values of {dtype} in it, got {within!r} with a gap of {within.gap:g}"
        )
    if special:
        tiny = float(np.finfo(dtype).smallest_subnormal) if dtype.kind == "f" else 1.0
        fitting = [
            x
            for x in (*SPECIAL, tiny, -tiny)
            if (domain is None or any(a <= x <= b for a, b in parts))
            and (
                not whole
                or (x == int(x) and np.iinfo("int8").min <= x <= 127 and (x >= 0 or dtype.kind == "i"))
            )
        ]
        choices += [st.sampled_from(fitting)] if fitting else []
    return _filled(size, dtype, st.one_of(choices), parts if domain is not None else [])


@st.composite
def _sampled(draw: st.DrawFn, size: st.SearchStrategy[Any], dtype: np.dtype, domain: Domain) -> np.ndarray:
    return domain.sample(np.random.default_rng(draw(st.integers(0, 2**32 - 1))), draw(size)).astype(dtype)


@st.composite
def _complex(
    draw: st.DrawFn,
    what: str,
    size: st.SearchStrategy[Any],
    dtype: np.dtype,
    domain: Domain | None,
    special: bool,
) -> np.ndarray:
    part = np.finfo(dtype).dtype
    real: np.ndarray = draw(_arrays_of(what, size, part, domain, special))
    found = real.astype(dtype)
    found.imag = draw(_arrays_of(what, real.shape, part, None, special))
    return found


@st.composite
def _filled(
    draw: st.DrawFn,
    size: st.SearchStrategy[Any],
    dtype: np.dtype,
    elements: st.SearchStrategy[Any],
    parts: Sequence[tuple[float, float]],
) -> np.ndarray:
    fill = st.nothing() if dtype.itemsize == 8 else None
    found: np.ndarray = draw(hnp.arrays(np.float64, draw(size), elements=elements, fill=fill))
    rounded = found.astype(dtype)
    if dtype.kind == "f" and dtype.itemsize < 8:
        # Rounding may leave the domain: the neighbor is in it.
        for low, high in parts:
            inside = (found >= low) & (found <= high)
            exact = rounded.astype(np.float64)
            up, down = inside & (exact < low), inside & (exact > high)
            rounded[up] = np.nextafter(rounded[up], dtype.type(np.inf))
            rounded[down] = np.nextafter(rounded[down], dtype.type(-np.inf))
    return rounded


@checked
def tensors(
    requires_grad: bool = True,
    *,
    shape: Any = None,
    dtype: Any = "float64",
    domain: Domain | None = None,
    special: bool = False,
) -> st.SearchStrategy[Tensor]:
    """Tensors that require grad; options as for `arrays`.

    >>> from hypothesis import find
    >>> find(tensors(shape=(2,)), lambda t: True)
    Tensor([0., 0.], dtype=float64, requires_grad=True)
    """
    drawn = _arrays_of("tensors", shape, dtype, domain, special)
    if requires_grad and np.dtype(dtype).kind not in "fc":
        raise DTypeError(
            f"tensors: dtype: expected a floating or complex dtype, as the Tensors require grad, got "
            f"{np.dtype(dtype)}. Pass requires_grad=False?"
        )
    return drawn.map(lambda array: Tensor(array, requires_grad=requires_grad))


def basic_indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Basic indices of an array: integers, slices, None and Ellipsis.

    >>> from hypothesis import find
    >>> find(basic_indices((3,)), lambda key: key == 0)
    0
    """
    return hnp.basic_indices(_shape(shape, "basic_indices"), allow_newaxis=True)


def integer_indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Tuples of integer arrays, possibly with repeats, that index an array of the shape (without empty axes).

    >>> from hypothesis import find
    >>> find(integer_indices((3,)), lambda key: len(key[0]) == 2)
    (array([0, 0]),)
    """
    sizes = _shape(shape, "integer_indices")
    if not math.prod(sizes) or not sizes:
        raise ShapeError(f"integer_indices: shape: expected at least one axis and no empty one, got {sizes}")
    return hnp.integer_array_indices(sizes, result_shape=hnp.array_shapes(max_dims=2, max_side=3))


def mask_indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Boolean masks of the shape.

    >>> from hypothesis import find
    >>> find(mask_indices((2,)), lambda key: True)
    array([False, False])
    """
    return hnp.arrays(bool, _shape(shape, "mask_indices"))


def indices(shape: tuple[int, ...]) -> st.SearchStrategy[Any]:
    """Any index of an array of the shape: basic, integer arrays or a mask."""
    sizes = _shape(shape, "indices")
    choices = [basic_indices(sizes), mask_indices(sizes)]
    if sizes and 0 not in sizes:
        choices.append(integer_indices(sizes))
    return st.one_of(choices)


@checked
def axes(ndim: Dims, allow_none: bool = True, allow_tuple: bool = True) -> st.SearchStrategy[Any]:
    """Axes of an array with `ndim` dimensions: None, an integer, possibly negative, or a tuple of distinct ones.

    >>> from hypothesis import find
    >>> find(axes(2, allow_none=False), lambda axis: True)
    0
    """
    choices: list[Any] = [st.none()] if allow_none else []
    if not ndim and allow_tuple:
        choices.append(st.just(()))  # no axis at all
    if not ndim and not choices:
        raise ValueRangeError("axes: ndim: expected at least 1 without None and tuples, got 0")
    if ndim:
        choices.append(st.integers(-ndim, ndim - 1))
        if allow_tuple:
            choices.append(hnp.valid_tuple_axes(ndim))
    return st.one_of(choices)


@checked
def einsums(max_operands: Few = 3, max_side: Few = 3) -> st.SearchStrategy[tuple[str, list[np.ndarray]]]:
    """An einsum expression with its operands: sums, traces, products and transposes, but no broadcasting.

    >>> from hypothesis import find
    >>> expression, operands = find(einsums(max_operands=1), lambda e: e[0].startswith("a->"))
    >>> expression
    'a->'
    """
    return _einsums(max_operands, max_side)


@st.composite
def _einsums(draw: st.DrawFn, max_operands: int = 3, max_side: int = 3) -> tuple[str, list[np.ndarray]]:
    letters = "abcd"
    sizes = {letter: draw(st.integers(1, max_side)) for letter in letters}
    terms = [
        "".join(draw(st.lists(st.sampled_from(letters), min_size=1, max_size=3)))
        for _ in range(draw(st.integers(1, max_operands)))
    ]
    used = sorted(set("".join(terms)))
    out = "".join(draw(st.permutations(draw(st.lists(st.sampled_from(used), unique=True, max_size=3)))))
    return f"{','.join(terms)}->{out}", [draw(arrays(shape=tuple(sizes[c] for c in term))) for term in terms]


@checked
def convolutions(
    dims: Annotated[int, Bounds(least=1, most=3)] = 2, max_side: Few = 6
) -> st.SearchStrategy[dict[str, Any]]:
    """Consistent arguments of a convolution: input, weight, stride, padding, dilation, groups.

    >>> from hypothesis import find
    >>> sorted(find(convolutions(dims=1), lambda c: True))
    ['dilation', 'groups', 'input', 'padding', 'stride', 'weight']
    """
    return _convolutions(dims, max_side)


@st.composite
def _convolutions(draw: st.DrawFn, dims: int = 2, max_side: int = 6) -> dict[str, Any]:
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


@checked
def modules(max_layers: Few = 3, framework: str = "tinygrad_dl") -> st.SearchStrategy[tuple[Any, Any]]:
    """A small Sequential model in float64 and an input for it.

    `framework`: whose model it is, "tinygrad_dl" or "torch"; the same draw has the same layers and weights in both.
    Raises ValueRangeError for another name.

    >>> from hypothesis import find
    >>> model, x = find(modules(max_layers=1), lambda found: True)
    >>> model(x).shape[0] == x.shape[0]
    True
    """
    _refuse_without_modules("modules", framework)
    return _modules(max_layers, framework)


def _refuse_without_modules(what: str, framework: str) -> None:
    if framework not in ("tinygrad_dl", "torch"):
        raise ValueRangeError(f"{what}: framework: expected 'tinygrad_dl' or 'torch', got {framework!r}")


@st.composite
def _modules(draw: st.DrawFn, max_layers: int, framework: str) -> tuple[Any, Any]:
    from tinygrad_dl import nn

    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    rows, width = draw(st.integers(2, 4)), draw(st.integers(1, 4))
    x = rng.uniform(-2, 2, (rows, width))
    layers: list[tuple[str, tuple[int, ...]]] = []
    for _ in range(draw(st.integers(1, max_layers))):
        kind = draw(st.sampled_from(("Linear", "Tanh", "Sigmoid", "Softplus", "LayerNorm", "BatchNorm1d")))
        if kind == "Linear":
            units = draw(st.integers(1, 4))
            layers.append((kind, (width, units)))
            width = units
        else:
            layers.append((kind, (width,) if kind.endswith(("Norm", "Norm1d")) else ()))
    made = [getattr(nn, kind)(*sizes, **({"rng": rng} if kind == "Linear" else {})) for kind, sizes in layers]
    model = nn.Sequential(*made).double()
    if framework == "tinygrad_dl":
        return model, Tensor(x)
    torch: Any = import_module("torch")
    theirs = torch.nn.Sequential(*(getattr(torch.nn, kind)(*sizes) for kind, sizes in layers)).double()
    theirs.load_state_dict({name: torch.tensor(value) for name, value in model.state_dict().items()})
    return theirs, torch.tensor(x)


@checked
def optimizers(
    closures: bool = False, matrices: bool = False, framework: str = "tinygrad_dl"
) -> st.SearchStrategy[tuple[str, dict[str, Any]]]:
    """The name of an optimizer in tinygrad_dl.optim and options for it with which the loss decreases.

    `closures` includes LBFGS, whose step requires a closure; `matrices` includes Muon, for matrices only.
    `framework="torch"`: only names and options that torch.optim has, too, where they mean the same. Raises
    ValueRangeError for another name.

    >>> from hypothesis import find
    >>> find(optimizers(), lambda found: found[0] == "SGD")[0]
    'SGD'
    """
    _refuse_without_modules("optimizers", framework)
    return _optimizers(closures, matrices, framework)


@st.composite
def _optimizers(
    draw: st.DrawFn, closures: bool, matrices: bool, framework: str
) -> tuple[str, dict[str, Any]]:
    from inspect import isclass, signature

    from tinygrad_dl import optim

    module: Any = optim if framework == "tinygrad_dl" else import_module("torch.optim")
    names = [
        name
        for name, value in vars(optim).items()
        if isclass(value) and name != "Optimizer" and hasattr(module, name)
    ]
    excluded = {name for name, included in (("LBFGS", closures), ("Muon", matrices)) if not included}
    name = draw(st.sampled_from(sorted(set(names) - excluded)))
    known = signature(getattr(module, name)).parameters
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


@checked
def operations(differentiable: bool = True) -> st.SearchStrategy[Any]:
    """Operations of the registry.

    >>> from hypothesis import find
    >>> find(operations(), lambda op: op.name == "exp").name
    'exp'
    """
    return st.sampled_from([op for op in OPS.values() if op.differentiable or not differentiable])


def settings_of_profile() -> Any:
    """The settings of the current profile of Hypothesis."""
    import hypothesis

    return hypothesis.settings.default


if TYPE_CHECKING:
    from tinygrad_dl.testing.random_programs import programs as programs
else:  # a type checker shall still report unknown names

    def __getattr__(name):
        # random_programs imports the strategies above, so it is imported on first use.
        if name == "programs":
            from tinygrad_dl.testing.random_programs import programs

            return programs
        raise AttributeError(f"tinygrad_dl.testing.strategies has no attribute {name!r}")
