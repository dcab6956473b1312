"""PyTorch: functions of tensors, autograd.Function classes and Modules, whose parameters are moved in place."""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.testing.frameworks.adapter import (
    Adapter,
    Gradient,
    IsWrong,
    cut_note,
    forward_finding,
    load,
    named_leaves,
    no_result,
    normal,
    seeds_of,
)
from tinygrad_dl.testing.frameworks.pytorch_places import function_places, places
from tinygrad_dl.testing.report import Finding
from tinygrad_dl.typing import NDArray

torch: Any = load("torch")

CONTIGUOUS = "Use .reshape for .view, and .contiguous() before code that reads memory."


def adapter(f: Any, inputs: Any) -> Adapter:
    """The adapter of a function, an autograd.Function class, or a Module."""
    return TorchFunction(f, inputs)


class TorchFunction(Adapter):
    """A function of tensors.

    The inputs to check are moved in place, as the function may use them from outside, and restored; so are the
    buffers of a Module and the state of the random generator, which is the same in each call.
    """

    in_float64 = " In PyTorch: x.double(), and model.double() for the parameters of a Module."

    def __init__(self, f: Any, inputs: Any) -> None:
        super().__init__()
        self.of, self.modules = f, modules_of(f)
        self.module = f if isinstance(f, torch.nn.Module) else None
        custom = getattr(f, "__self__", f)  # a class, or its apply
        self.custom = isinstance(custom, type) and issubclass(custom, torch.autograd.Function)
        self.once = self.custom and custom.backward.__globals__ is vars(torch.autograd.function)
        self.own_jvp = self.custom and custom.jvp is not torch.autograd.Function.jvp
        self.batched = self.custom and (
            custom.generate_vmap_rule or custom.vmap is not torch.autograd.Function.vmap
        )
        self.f: Callable[..., Any] = custom.apply if self.custom else f
        every = list(inputs) if isinstance(inputs, (list, tuple)) else [inputs]
        if not _tensors(every):  # framework="torch" with NumPy's arrays
            every = [torch.from_numpy(np.array(x)) if isinstance(x, np.ndarray) else x for x in every]
        self.inputs, given = _with_memory_of_their_own(every)
        tensors = {name: x for name, x in given.items() if _is_float(x)}
        selected = {name: x for name, x in tensors.items() if x.requires_grad} or tensors
        self.live: list[Any] = list(selected.values())
        self.names = list(selected)
        if self.module is not None:
            for name, p in self.module.named_parameters():
                if p.requires_grad and not any(p is x for x in self.live):
                    self.live.append(p)
                    self.names.append(name)
        for name, x in zip(self.names, self.live):
            if x.is_complex():
                raise DTypeError(
                    f"gradcheck: {name}: expected real numbers, got {x.dtype}. Check a function of the real and the "
                    "imaginary part, torch.view_as_real(x)."
                )
            if x.layout != torch.strided or x.dtype not in (torch.float64, torch.float32, torch.float16):
                raise DTypeError(
                    f"gradcheck: {name}: expected a dense tensor of float64, got {x.dtype}, {x.layout}."
                    f"{self.in_float64}"
                )
        self.arrays = [x.detach().cpu().numpy().copy() for x in self.live]
        self.leaves = all(x.is_leaf for x in self.live)
        kept = [*self.live, *(x for x in given.values() if not any(x is y for y in self.live))]
        self.before = [(x, x.detach().clone(), x.requires_grad) for x in kept]
        #: The numbers of results that require no grad where others do: these are not compared.
        self.cut: list[int] | None = None
        self.random = torch.random.get_rng_state()
        self.draws: bool | None = None  # whether the function draws random numbers
        # Where they share memory with NumPy, tensors are moved fast.
        self.views = [_view(x) for x in self.live]
        self.buffers = [
            (owner, name, b, b.clone())
            for module in self.modules
            for owner in module.modules()
            for name, b in owner._buffers.items()
            if b is not None
        ]
        self.many = False

    @contextmanager
    def _placed(self, arrays: Sequence[NDArray], requires_grad: bool) -> Iterator[list[Any]]:
        self._move(arrays)
        moved = [x for x in self.live if x.is_leaf]
        was = [x.requires_grad for x in moved]
        try:
            for x in moved:
                x.requires_grad_(requires_grad)
            yield self.live
        finally:
            for x, flag in zip(moved, was):
                x.requires_grad_(flag)
            self._after()

    def _move(self, arrays: Sequence[NDArray]) -> None:
        if self.draws is not False:
            torch.random.set_rng_state(self.random)
        for x, view, array in zip(self.live, self.views, arrays):
            if view is not None:
                np.copyto(view, array)
            else:
                with torch.no_grad():
                    x.copy_(torch.from_numpy(np.ascontiguousarray(array)))

    def _after(self) -> None:
        if self.draws is None:
            self.draws = not torch.equal(torch.random.get_rng_state(), self.random)
        if self.draws:
            torch.random.set_rng_state(self.random)
        if self.buffers:
            with torch.no_grad():
                for owner, name, b, copy in self.buffers:
                    owner._buffers[name] = b
                    b.copy_(copy)

    def _call(self) -> list[Any]:
        return self._compared(self.f(*self.inputs))

    def _compared(self, result: Any) -> list[Any]:
        """The results whose gradients are compared."""
        results = [t for t in _tensors(result) if _is_float(t)]
        if not results:
            raise no_result(result)
        if self.cut is None:
            return results
        return [t for o, t in enumerate(results) if o not in self.cut]

    def _leave_out_constants(self, arrays: Sequence[NDArray]) -> None:
        if self.cut is None:
            with self._placed(arrays, True), torch.enable_grad():
                cut = [not t.requires_grad for t in self._call()]
            self.cut = [o for o, is_cut in enumerate(cut) if is_cut and not all(cut)]

    def note(self) -> str:
        return cut_note(self.cut) if self.cut else ""

    def value(self, *arrays: NDArray) -> tuple[NDArray, ...]:
        self._leave_out_constants(arrays)
        self._move(arrays)
        try:
            with torch.no_grad():
                results = tuple(t.detach().cpu().numpy().copy() for t in self._call())
            self._note(arrays)
            return results
        finally:
            self._after()

    def _note(self, arrays: Sequence[NDArray]) -> None:
        if self.watching:
            self.note_writes(self.names, [x.detach().cpu().numpy() for x in self.live], arrays)

    def _grad(
        self,
        g: Any,
        arrays: Sequence[NDArray],
        arrange: Callable[[Any], Any] = lambda s: s,
        repeat: bool = False,
    ) -> list[Any]:
        with self._placed(arrays, True) as live, torch.enable_grad():
            outputs = self._call()
            pairs = [
                (o, arrange(torch.as_tensor(np.array(s), dtype=o.dtype).reshape(o.shape)))
                for o, s in zip(outputs, seeds_of(g))
                if o.requires_grad
            ]
            if not pairs:
                return [None] * len(live)
            before = [s.numpy().copy() for _, s in pairs] if self.watching else []
            results, seeds = [o for o, _ in pairs], [s for _, s in pairs]
            if repeat:
                torch.autograd.grad(results, live, seeds, retain_graph=True, allow_unused=True)
            found = torch.autograd.grad(results, live, seeds, allow_unused=True)
            if self.watching:
                found = tuple(None if d is None else d.clone() for d in found)  # one may be g itself
                self._note(arrays)
                self.note_writes(["g"] * len(before), [s.numpy() for _, s in pairs], before)
            return list(found)

    def jvp(self, tangents: Sequence[NDArray], *arrays: NDArray) -> tuple[NDArray, ...] | None:
        if not self.leaves:
            return None
        try:
            if self._uses_captured(arrays):
                return None
            with self._placed(arrays, False) as live, _forward_mode(), torch.enable_grad():
                forward_ad = torch.autograd.forward_ad
                with forward_ad.dual_level():
                    moved = [x.detach().clone() for x in live]
                    along = [torch.from_numpy(np.array(t)) for t in tangents]
                    pairs = [
                        forward_ad.unpack_dual(result)
                        for result in self._at([forward_ad.make_dual(x, t) for x, t in zip(moved, along)])
                    ]
                    changes = [torch.zeros_like(p) if c is None else c for p, c in pairs]
                    return tuple(c.detach().cpu().numpy().copy() for c in changes)
        except (NotImplementedError, RuntimeError):
            if self.own_jvp:
                raise
            return None  # an operation of it has no forward mode

    def _at(self, tensors: Sequence[Any]) -> list[Any]:
        """The results with other tensors in the place of those to check."""
        moved = {id(x): t for x, t in zip(self.live, tensors)}
        inputs = [_replaced(x, moved) for x in self.inputs]
        if self.module is None:
            return self._compared(self.f(*inputs))
        parameters = {n: moved[id(p)] for n, p in self.module.named_parameters() if id(p) in moved}
        return self._compared(torch.func.functional_call(self.module, parameters, tuple(inputs)))

    def _uses_captured(self, arrays: Sequence[NDArray]) -> bool:
        """Whether the function uses the tensors themselves, from outside, in the place of its arguments."""
        moved = [a + 0.01 * (1 + np.abs(a)) for a in arrays]
        expected = self.value(*arrays)
        with self._placed(moved, False), torch.no_grad():
            tensors = [torch.from_numpy(np.array(a)) for a in arrays]
            found = [t.detach().cpu().numpy().copy() for t in self._at(tensors)]
        return not all(
            np.allclose(a, b, rtol=1e-9, atol=1e-12, equal_nan=True) for a, b in zip(expected, found)
        )

    def vjp(self, g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
        return tuple(None if d is None else d.detach().cpu().numpy().copy() for d in self._grad(g, arrays))

    def gradient(self, seed: tuple[int, int]) -> Adapter:
        def first(live: Sequence[Any], outputs: Sequence[Any], seed: tuple[int, int]) -> list[Any]:
            usable = [o for o in outputs if o.requires_grad]
            if not usable:
                return [torch.zeros_like(x) for x in live]
            seeds = [torch.as_tensor(s) for s in normal(seed, [tuple(o.shape) for o in usable])]
            seeds = [s.to(o.dtype) for s, o in zip(seeds, usable)]
            found = torch.autograd.grad(usable, live, seeds, create_graph=True, allow_unused=True)
            return [torch.zeros_like(x) if d is None else d for d, x in zip(found, live)]

        def at_order(steps: list[tuple[int, int]]) -> Adapter:
            def graph(live: Sequence[Any]) -> list[Any]:
                if self.once:  # PyTorch sees this only where the gradient of the result requires grad
                    raise RuntimeError("backward is marked with @once_differentiable")
                results = self._call()
                for step in steps:
                    results = first(live, results, step)
                return results

            def value(*arrays: NDArray) -> tuple[NDArray, ...]:
                with self._placed(arrays, True) as live, torch.enable_grad():
                    return tuple(d.detach().cpu().numpy().copy() for d in graph(live))

            def vjp(g: Any, *arrays: NDArray) -> tuple[NDArray | None, ...]:
                with self._placed(arrays, True) as live, torch.enable_grad():
                    results = graph(live)
                    pairs = [
                        (o, torch.as_tensor(np.array(s), dtype=o.dtype).reshape(o.shape))
                        for o, s in zip(results, seeds_of(g))
                        if o.requires_grad
                    ]
                    if not pairs:
                        return (None,) * len(live)
                    found = torch.autograd.grad(
                        [o for o, _ in pairs], live, [s for _, s in pairs], allow_unused=True
                    )
                    return tuple(None if d is None else d.detach().cpu().numpy().copy() for d in found)

            return Gradient(self, value, vjp, lambda seed: at_order([*steps, seed]))

        return at_order([seed])

    def findings(self) -> list[Finding]:
        """Gradients once more from one graph, in another memory layout, and for one input alone, are the same."""
        outputs = self.value(*self.arrays)
        g = tuple(normal((0, 0), [o.shape for o in outputs]))
        expected = self._grad(g, self.arrays)
        found = self._again(g, expected)
        try:
            strided = self._grad(g, self.arrays, _strided)
            same = all(_same(a, b) for a, b in zip(expected, strided))
            message = (
                "" if same else "is another for the same gradient of the result in another memory layout"
            )
        except Exception as error:
            message = f"fails for a gradient of the result that is not contiguous: {_first_line(error)}"
        if message:
            found.append(Finding("non-contiguous", f"the gradient {message}. {CONTIGUOUS}"))
        try:
            found += forward_finding(self)
        except (NotImplementedError, RuntimeError) as error:
            found.append(Finding("forward mode", f"jvp fails: {_first_line(error)}"))
        if self.custom and len(self.live) > 1 and self.leaves:
            found += self._one_by_one(g, expected)
        if self.custom and len(outputs) > 1:
            found += self._results_one_by_one(g, expected)
        if self.batched:
            found += self._in_batches()
        return found

    def _results_one_by_one(self, g: tuple[NDArray, ...], expected: Sequence[Any]) -> list[Finding]:
        """Check backward where one result alone is used: the gradients of the others are zeros, or None."""
        parts = []
        for o in range(len(g)):
            try:
                with self._placed(self.arrays, True) as live, torch.enable_grad():
                    result = self._call()[o]
                    seed = torch.as_tensor(g[o], dtype=result.dtype)
                    parts.append(torch.autograd.grad(result, live, seed, allow_unused=True))
            except Exception as error:
                words = (
                    f"backward fails where only result {o} is used ({_first_line(error)}): after "
                    "ctx.set_materialize_grads(False) the gradients of the other results are None"
                )
                return [Finding("unused result", words)]
        total = [_sum([part[k] for part in parts]) for k in range(len(self.live))]
        if all(_same(a, b) for a, b in zip(expected, total)):
            return []
        words = (
            "the gradients where each result is used alone do not add up to the gradient where all are used: look at "
            "the gradients of results that are not used, zeros, or None after ctx.set_materialize_grads(False)"
        )
        return [Finding("unused result", words)]

    def _in_batches(self) -> list[Finding]:
        """Check that torch.vmap over two sets of inputs gives what two calls do."""
        if self.draws or any(_tensors(x) for x in self.inputs if not isinstance(x, torch.Tensor)):
            return []
        dims = tuple(0 if isinstance(x, torch.Tensor) else None for x in self.inputs)
        factors = (1.0, 0.9)
        with self._placed(self.arrays, False), torch.no_grad():
            sets = [
                [x.clone() * c if isinstance(x, torch.Tensor) and _is_float(x) else x for x in self.inputs]
                for c in factors
            ]
            together = [
                torch.stack(pair) if isinstance(pair[0], torch.Tensor) else pair[0] for pair in zip(*sets)
            ]
            expected = [self._compared(self.f(*one)) for one in sets]
            try:
                found = self._compared(torch.vmap(self.f, in_dims=dims)(*together))
            except Exception as error:
                return [Finding("vmap", f"torch.vmap of the function fails: {_first_line(error)}")]
        if all(_same(torch.stack(pair), t) for *pair, t in zip(*expected, found)):
            return []
        words = (
            "torch.vmap over two sets of inputs gives another result than two calls: look at the rule `vmap`"
        )
        return [Finding("vmap", words)]

    def _again(self, g: tuple[NDArray, ...], expected: Sequence[Any]) -> list[Finding]:
        """Check that a second backward pass through a graph gives what the first did."""
        try:
            repeated = self._grad(g, self.arrays, repeat=True)
        except RuntimeError:  # a function of the user's may free what it saved
            return []
        if all(_same(a, b) for a, b in zip(expected, repeated)):
            return []
        words = (
            "the gradient is another in a second backward pass through the same graph: backward changes what forward "
            "saved, in place. Compute a new tensor, g * y for y.mul_(g)."
        )
        return [Finding("saved tensor modified", words)]

    def _one_by_one(self, g: tuple[NDArray, ...], expected: Sequence[Any]) -> list[Finding]:
        """Check each input with the others as constants: ctx.needs_input_grad."""
        every, names = self.live, self.names
        found = []
        for k, (x, name) in enumerate(zip(every, names)):
            others = [y for j, y in enumerate(every) if j != k and y.requires_grad]
            try:
                for y in others:
                    y.requires_grad_(False)
                self.live, self.views = [x], [_view(x)]
                only = self._grad(g, [self.arrays[k]])
                same = _same(expected[k], only[0])
                message = "is another" if not same else ""
            except Exception as error:
                message = f"fails ({_first_line(error)})"
            finally:
                self.live, self.views = every, [_view(y) for y in every]
                for y in others:
                    y.requires_grad_(True)
            if message:
                words = (
                    f"the gradient {message} where no other input requires grad: look at ctx.needs_input_grad"
                )
                found.append(Finding("needs_input_grad", words, input=name))
        return found

    def places(self, wrong: Sequence[str], is_wrong: IsWrong) -> list[str]:
        if self.custom:
            return function_places(self.of.__self__ if hasattr(self.of, "__self__") else self.of, wrong)

        def run() -> list[Any]:
            with self._placed(self.arrays, True), torch.enable_grad():
                return self._call()

        try:
            return places(run, self.modules, is_wrong)
        except Exception:  # this is a help, and no check of its own
            return []

    def explain(self, error: Exception) -> Finding | None:
        text = str(error)
        if isinstance(error, RuntimeError) and "view size is not compatible" in text:
            words = f"backward fails for a gradient of the result that is not contiguous. {CONTIGUOUS}"
            return Finding("non-contiguous", words)
        if isinstance(error, RuntimeError) and "returned an invalid gradient at index" in text:
            index = re.search(r"index (\d+)", text)
            k = int(index[1]) if index else -1
            name = f"input {k}" if k >= 0 else ""
            words = f"{_first_line(error)}. Sum over the axes along which the input was broadcast?"
            return Finding("shape", words, input=name)
        if isinstance(error, RuntimeError) and "leaf Variable that requires grad" in text:
            words = (
                "the function writes into an input, which PyTorch refuses where that requires grad. To check a "
                "function that works in place, give it a copy: gradcheck(lambda x: f(x.clone()), x)"
            )
            return Finding("input modified", words)
        if isinstance(error, RuntimeError) and "modified by an inplace operation" in text:
            words = (
                "a tensor that was saved for backward is changed in place before backward runs: save a clone"
            )
            return Finding("saved tensor modified", words)
        if isinstance(error, RuntimeError) and "once_differentiable" in text:
            words = "backward is marked with @once_differentiable: it has no second derivative"
            return Finding("second derivative", words)
        if isinstance(error, RuntimeError) and ("incorrect number of gradients" in text):
            return Finding(
                "fault", f"{_first_line(error)}: backward returns one gradient per input of forward"
            )
        return None

    def close(self) -> None:
        torch.random.set_rng_state(self.random)
        with torch.no_grad():
            for x, copy, _ in self.before:
                x.copy_(copy)
        for x, _, requires_grad in self.before:
            if x.is_leaf:
                x.requires_grad_(requires_grad)


@contextmanager
def _forward_mode() -> Iterator[None]:
    """PyTorch compiles rules of forward mode when it is first used, in a way that it warns of itself."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.script", category=DeprecationWarning)
        yield


def _with_memory_of_their_own(inputs: list[Any]) -> tuple[list[Any], dict[str, Any]]:
    """The inputs, where tensors that share memory are copies, and all tensors in them by name, each once.

    A tensor is moved element by element, and so each element has to have memory of its own.
    """
    given: dict[str, Any] = {}
    copies: dict[int, Any] = {}
    for name, x in named_leaves(inputs):
        if not isinstance(x, torch.Tensor) or id(x) in copies or any(x is y for y in given.values()):
            continue
        copy = x
        if _overlaps(x) or x.is_inference() or any(_may_share(x, y) for y in given.values()):
            copy = copies[id(x)] = x.detach().clone(memory_format=torch.contiguous_format)
            copy.requires_grad_(x.requires_grad)
        given[name] = copy
    return [_replaced(x, copies) for x in inputs] if copies else inputs, given


def _overlaps(x: Any) -> bool:
    """Whether several elements of a tensor are one in memory, as after expand."""
    return x.layout == torch.strided and any(n > 1 and s == 0 for n, s in zip(x.shape, x.stride()))


def _may_share(x: Any, y: Any) -> bool:
    """Whether two tensors may have elements in the same memory."""
    if torch.strided not in (x.layout, y.layout) or x.layout != y.layout or not x.numel() or not y.numel():
        return False
    (a, b), (c, d) = _bounds(x), _bounds(y)
    return bool(x.untyped_storage().data_ptr() == y.untyped_storage().data_ptr() and a <= d and c <= b)


def _bounds(x: Any) -> tuple[int, int]:
    """The first and the last byte of a tensor in its storage."""
    start = x.storage_offset()
    last = start + sum((n - 1) * s for n, s in zip(x.shape, x.stride()))
    return start * x.element_size(), (last + 1) * x.element_size() - 1


def _replaced(x: Any, others: dict[int, Any]) -> Any:
    """Nested lists, tuples and dicts with other tensors in the place of some."""
    if isinstance(x, (list, tuple, dict)):
        return refill(x, iter([others.get(id(leaf), leaf) for _, leaf in leaves(x)]))
    return others.get(id(x), x)


def modules_of(f: Any) -> list[Any]:
    """The Module that a function is, or those that it uses from outside."""
    if isinstance(f, torch.nn.Module):
        return [f]
    found, reached = [], [getattr(f, "__self__", None), *getattr(f, "args", ()), getattr(f, "func", None)]
    function = inspect.unwrap(getattr(f, "__func__", f)) if callable(f) else f
    for cell in getattr(function, "__closure__", None) or ():
        with suppress(ValueError):  # a name that has no value yet
            reached.append(cell.cell_contents)
    names = getattr(getattr(function, "__code__", None), "co_names", ())
    reached += [function.__globals__[name] for name in names if name in getattr(function, "__globals__", {})]
    for x in reached:
        parts = x if isinstance(x, (list, tuple)) else x.values() if isinstance(x, dict) else [x]
        found += [part for part in parts if isinstance(part, torch.nn.Module)]
    return found


def _sum(gradients: Sequence[Any]) -> Any:
    """The sum of gradients, None if there is none."""
    present = [d for d in gradients if d is not None]
    return sum(present[1:], present[0]) if present else None


def _is_float(x: Any) -> bool:
    return bool(x.is_floating_point() or x.is_complex())


def _view(x: Any) -> NDArray | None:
    """The memory of a tensor as an array, None where NumPy cannot have it."""
    try:
        view: NDArray = x.detach().numpy()
    except (RuntimeError, TypeError):
        return None
    return (
        view
        if view.flags.writeable and all(s != 0 or n <= 1 for s, n in zip(view.strides, view.shape))
        else None
    )


def _tensors(x: Any) -> list[Any]:
    return [t for _, t in leaves(x) if isinstance(t, torch.Tensor)]


def _strided(x: Any) -> Any:
    """The same values in another order in memory, or with gaps between them."""
    if x.ndim > 1 and sum(n > 1 for n in x.shape) > 1:
        order = list(range(x.ndim))[::-1]
        return x.permute(order).contiguous().permute(order)
    wide = torch.zeros((*x.shape, 2), dtype=x.dtype)
    wide[..., 0] = x
    return wide[..., 0]


def _same(a: Any, b: Any) -> bool:
    if a is None or b is None:
        zero = a if b is None else b
        return zero is None or not bool(zero.any())
    return bool(a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-12, equal_nan=True))


def _first_line(error: Exception) -> str:
    return " ".join(str(error).split("\n")[0].split())[:200]


def asarray(array: NDArray) -> Any:
    """A tensor with the values of an array, bit by bit, laid out in memory alike; a copy, as tensors are moved."""
    return torch.from_numpy(np.array(array))
