"""JAX: functions of pytrees of arrays, compiled or not, with custom_vjp and custom_jvp."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError
from tinygrad_dl.testing.frameworks.adapter import (
    Adapter,
    IsWrong,
    backward_places,
    cut_note,
    forward_finding,
    load,
    no_result,
    normal,
    seeds_of,
)
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.typing import NDArray

jax, jnp = load("jax", "jax", "jax.numpy")

COMPILED_AFTER = 16  # calls


def adapter(f: Any, inputs: Any) -> Adapter:
    """The adapter of a function of one pytree or several."""
    arguments = tuple(inputs) if isinstance(inputs, (list, tuple)) else (inputs,)
    leaves, tree = jax.tree_util.tree_flatten(arguments)
    live = [k for k, x in enumerate(leaves) if _kind(x) in "fc"]
    paths = [jax.tree_util.keystr(path) for path, _ in jax.tree_util.tree_flatten_with_path(arguments)[0]]
    names = [_name(paths[k]) for k in live]
    for name, k in zip(names, live):
        if _kind(leaves[k]) == "c":
            raise DTypeError(
                f"gradcheck: {name}: expected real numbers, got {leaves[k].dtype}. Check a function of the real and "
                "the imaginary part."
            )
        dtype = np.asarray(leaves[k]).dtype
        if dtype != np.float64 and not jax.config.jax_enable_x64:
            raise DTypeError(
                f"gradcheck: {name}: expected float64, got {dtype}. JAX makes float64 arrays after "
                'jax.config.update("jax_enable_x64", True), at the start of the program.'
            )

    arrays, cut = [np.array(leaves[k]) for k in live], list[int]()

    def flat(*values: Any) -> tuple[Any, ...]:
        every = list(leaves)
        for k, v in zip(live, values):
            every[k] = v
        result = f(*jax.tree_util.tree_unflatten(tree, every))
        results = [r for r in jax.tree_util.tree_leaves(result) if _kind(r) in "fc"]
        if not results:
            raise no_result(result)
        return tuple(r for o, r in enumerate(results) if o not in cut)

    cut += _constants(flat, arrays)
    found = JaxFunction(flat, arrays, names, jvp=True)
    found.of = f
    found.cut = cut
    return found


def _constants(f: Callable[..., tuple[Any, ...]], arrays: Sequence[NDArray]) -> list[int]:
    """The numbers of results that depend on the inputs through stop_gradient only, where others do not."""
    try:
        jaxpr = jax.make_jaxpr(f)(*arrays).jaxpr
    except Exception:  # it looks at values
        return []
    reached, seen = set(jaxpr.invars), set(jaxpr.invars)
    for equation in jaxpr.eqns:
        inputs = [v for v in equation.invars if not hasattr(v, "val")]
        if not seen.isdisjoint(inputs):
            seen.update(equation.outvars)
        if not reached.isdisjoint(inputs) and equation.primitive.name != "stop_gradient":
            reached.update(equation.outvars)
    outputs = [(v in seen, v in reached) for v in jaxpr.outvars if not hasattr(v, "val")]
    cut = [o for o, (depends, differentiable) in enumerate(outputs) if depends and not differentiable]
    return cut if len(cut) < len(jaxpr.outvars) else []


class JaxFunction(Adapter):
    """A function of arrays that returns a tuple of arrays; values are computed by the compiled function."""

    def __init__(self, f: Callable[..., Any], arrays: list[NDArray], names: list[str], jvp: bool) -> None:
        super().__init__()
        self.f, self.arrays, self.names, self.forward_mode = f, arrays, names, jvp
        # Compiling takes as long as many calls of a small function.
        self.compiled: Callable[..., Any] | None = None
        self.calls = 0
        self.of: Any = None  # the function as it was given
        self.cut: list[int] = []  # the numbers of results that are not compared

    def note(self) -> str:
        return cut_note(self.cut) if self.cut else ""

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        self.calls += 1
        if self.calls == COMPILED_AFTER:
            self.compiled = jax.jit(self.f)
        try:
            results = (self.compiled or self.f)(*(jnp.asarray(a) for a in arrays))
        except (jax.errors.ConcretizationTypeError, jax.errors.TracerArrayConversionError):
            if self.compiled is None:
                raise
            self.compiled = self.f  # it looks at values, and cannot be compiled
            results = self.f(*(jnp.asarray(a) for a in arrays))
        return tuple(np.array(r) for r in results)

    def values(self, k: int, moved: NDArray, *arrays: NDArray) -> NDArray | None:
        many = jax.vmap(self.f, in_axes=tuple(0 if j == k else None for j in range(len(arrays))))
        given = [moved if j == k else a for j, a in enumerate(arrays)]
        try:
            results = jax.jit(many)(*given)
        except Exception:  # it looks at values, or has an operation without a rule for batches
            return None
        return np.concatenate([np.array(r, np.float64).reshape(len(moved), -1) for r in results], axis=1)

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        results, pull = jax.vjp(self.f, *(jnp.asarray(a) for a in arrays))
        # JAX multiplies by the gradient of a complex result, others by its conjugate.
        seeds = tuple(
            jnp.conj(jnp.asarray(s, r.dtype)).reshape(r.shape) for s, r in zip(seeds_of(g), results)
        )
        return tuple(np.array(d) for d in pull(seeds))

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        def gradients(*values: Any) -> tuple[Any, ...]:
            results, pull = jax.vjp(self.f, *values)
            shapes = [r.shape for r in results]
            return tuple(pull(tuple(jnp.asarray(s, r.dtype) for s, r in zip(normal(seed, shapes), results))))

        return JaxFunction(gradients, self.arrays, self.names, jvp=False)

    def jvp(self, tangents: Sequence[NDArray], *arrays: NDArray) -> tuple[NDArray, ...] | None:
        if not self.forward_mode:
            return None
        values = [jnp.asarray(a) for a in arrays]
        try:
            _, changes = jax.jvp(self.f, values, [jnp.asarray(t, v.dtype) for t, v in zip(tangents, values)])
        except TypeError:  # a function with custom_vjp has no forward mode
            return None
        return tuple(np.array(c) for c in changes)

    def places(self, wrong: Sequence[str], is_wrong: IsWrong) -> list[str]:
        function: Any = self.of
        if not hasattr(function, "bwd"):
            function = getattr(function, "__wrapped__", None)  # that of jit
        if not hasattr(function, "bwd"):
            return []
        parameters = list(inspect.signature(function.fwd).parameters)
        numbers = [int(name.split()[1].partition("[")[0].partition(".")[0]) for name in wrong]
        called = [parameters[k] for k in dict.fromkeys(numbers) if k < len(parameters)]
        return backward_places(function.bwd, called, "the backward rule")

    def findings(self) -> list[Finding]:
        return self._other_value() + forward_finding(self)

    def _other_value(self) -> list[Finding]:
        """Check that the function is the same where it is differentiated: a custom rule computes it again."""
        expected = self.value(*self.arrays)
        found, _ = jax.vjp(self.f, *(jnp.asarray(a) for a in self.arrays))
        # What is compiled in another way is rounded in another way, as it is at inputs next to these.
        near = self.value(*(a * (1 + 4 * np.finfo(a.dtype).eps) for a in self.arrays))
        for o, (a, b, c) in enumerate(zip(expected, found, near)):
            rounding = 1e3 * (np.abs(c - a) + np.finfo(a.dtype).eps * np.max(np.abs(a), initial=0.0))
            away = np.abs(a - np.asarray(b))
            if np.any(away > np.maximum(1e-6 * np.abs(a), rounding)):
                words = (
                    f"result {o} is off by {np.max(away):.3g} where the function is differentiated: the rule given to "
                    "defvjp or defjvp computes another value than the function"
                )
                return [Finding("forward rule", words)]
        return []

    def explain(self, error: Exception) -> Finding | None:
        text = " ".join(str(error).split())
        if (
            "ustom VJP" not in text
            and "custom_vjp" not in text
            or not isinstance(error, (TypeError, ValueError))
        ):
            return None
        if "structure" in text or "length" in text:
            return Finding(
                "shape", f"{text[:300]}. Return a tuple with one gradient for each input, (dx,) for one."
            )
        if "shape" in text or "aval" in text:
            return Finding("shape", f"{text[:300]}. Sum over the axes along which the input was broadcast?")
        return Finding("fault", text[:300])


def _kind(x: Any) -> str:
    dtype = getattr(x, "dtype", None)
    if dtype is None:
        return "f" if isinstance(x, float) else "c" if isinstance(x, complex) else "O"
    if jnp.issubdtype(dtype, jax.dtypes.extended):  # the keys of random numbers
        return "O"
    return "f" if jnp.issubdtype(dtype, jnp.floating) else np.dtype(dtype).kind


def _name(path: str) -> str:
    number, _, rest = path.lstrip("[").partition("]")
    return f"input {number}{rest}"


def asarray(array: NDArray) -> Any:
    """The array of JAX with the same values, bit by bit."""
    if array.dtype.itemsize * (1 + (array.dtype.kind != "c")) > 8 and not jax.config.jax_enable_x64:
        raise DTypeError(
            f"arrays: dtype: expected one of at most 32 bits, got {array.dtype}. JAX makes arrays of it after "
            'jax.config.update("jax_enable_x64", True), at the start of the program.'
        )
    return jnp.asarray(np.ascontiguousarray(array).reshape(array.shape))
