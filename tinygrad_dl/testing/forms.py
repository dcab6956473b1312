"""The forms in which people write a forward and a backward: functions, methods, layers, lists of layers, networks.

Each is read as a function of flat arrays: the inputs to differentiate, by name. `read` chooses the form.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, cast

import numpy as np

from tinygrad_dl.convert import describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.pytree import leaves, refill
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.testing.calls import refuse_call
from tinygrad_dl.typing import NDArray

# What backward calls the gradient of the output, if that is its only parameter.
GRADIENT = re.compile(
    r"g|up(stream)?|delta|grad\w*|d|d_?(out\w*|loss|score|scores|pred|[A-Za-z]\d?|[A-Z]\w*)|\w+_grad"
)
# So many calls are watched for writes into their inputs.
LOOKS = 12
FORMS = (
    "forward(*inputs) with backward(g, cache), backward(cache), backward(g, *inputs), backward(*inputs) or "
    "backward(g); a dictionary of parameters in place of the inputs; a layer with forward(x) and backward(dout); a "
    "list of layers; a network with loss(x, t) and gradient(x, t)"
)


class Pair:
    """A forward and a backward, as functions of the arrays to differentiate."""

    names: list[str]  # of the inputs to differentiate
    arrays: list[NDArray]  # their values, in float64
    form: str  # how forward and backward were read
    captured = False  # whether forward uses the arrays themselves, and not its arguments
    placing = False  # whether the arrays are moved, too, as backward may use them from outside

    def __init__(self) -> None:
        self.state = np.random.get_state()  # noqa: NPY002
        self.draws: bool | None = None  # whether forward draws from np.random
        self.looked = 0  # calls whose inputs were compared with what they were
        self.modified: list[str] = []  # the inputs that forward wrote into
        self.spoiled: list[str] = []  # the inputs that backward wrote into
        self.writes_into_g = False

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        """The output as a flat array, at values of the inputs to differentiate."""
        raise NotImplementedError

    def gradients(self, g: NDArray, arrays: Sequence[NDArray]) -> dict[str, Any]:
        """The learner's gradients by the name of the input, without the missing ones."""
        raise NotImplementedError

    def traced(self, tensors: Sequence[Any]) -> Any:
        """The output of forward on Tensors."""
        raise NotImplementedError

    def seen(self) -> list[Any]:
        """All arrays whose sizes may be a wrong factor."""
        return list(self.arrays)

    def may_be_captured(self) -> bool:
        """Whether the arrays that were given can be moved in place."""
        return False

    def keep(self, names: Sequence[str]) -> None:
        """Differentiate these inputs only."""
        raise NotImplementedError

    def restore(self) -> None:
        """Leave the objects that were given as they were."""

    def _refuse_unfit(self) -> None:
        if not self.arrays:
            raise DTypeError(
                "check_backward: expected at least one floating-point array among the inputs, got none: there is no "
                "gradient to check"
            )
        for name, array in zip(self.names, self.arrays):
            if not np.isfinite(array).all():
                raise ValueRangeError(f"check_backward: {name}: expected finite numbers, got nan or infinity")

    @contextmanager
    def _same_random_numbers(self) -> Iterator[None]:
        """NumPy's global generator draws the same in each call."""
        if self.draws is False:
            yield
            return
        with random_state(self.state):
            before: Any = np.random.get_state()  # noqa: NPY002
            yield
            after: Any = np.random.get_state()  # noqa: NPY002
            self.draws = before[2] != after[2] or not np.array_equal(before[1], after[1])

    def _note_writes(self, into: list[str], values: Sequence[Any], arrays: Sequence[NDArray]) -> None:
        self.looked += 1
        if self.looked > LOOKS:  # each call writes or none
            return
        for name, value, array in zip(self.names, values, arrays):
            same = np.shape(value) == array.shape and np.array_equal(value, array, equal_nan=True)
            if not same and name not in into:
                into.append(name)


class Functions(Pair):
    """A forward and a backward function, called as the courses write them."""

    def __init__(self, forward: Callable[..., Any], backward: Callable[..., Any], inputs: Any) -> None:
        super().__init__()
        self.forward, self.backward = forward, backward
        self.by_name = isinstance(inputs, Mapping)  # forward takes one dictionary of parameters
        given = [inputs] if self.by_name else list(inputs) if isinstance(inputs, (tuple, list)) else [inputs]
        #: The arguments of forward: arrays, and lists, tuples and dictionaries of them, whose entries are inputs too.
        self.tree = tuple(_plain_tree(v) for v in given)
        self.top = _names(forward, len(given))
        self.every = _leaf_names(self.tree, ["" if self.by_name else name for name in self.top])
        given = [leaf for v in given for leaf in (_leaves_of(v) if _is_nested(v) else [v])]
        # Methods of one object, which caches what backward needs: backward takes the gradient of the output.
        owner = getattr(forward, "__self__", None)
        self.layer = owner is not None and owner is getattr(backward, "__self__", None)
        self.given = given
        self.values = [_as_array(v) for v in given]
        for name, v in zip(self.every, self.values):
            _refuse_complex(name, v, "a real input")
        # Positions of the inputs to differentiate: the floating-point arrays.
        self.live = [
            k for k, v in enumerate(self.values) if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        ]
        for k in self.live:
            self.values[k] = self.values[k].astype(np.float64)
        self._follow()
        self._refuse_unfit()
        expected = "the dictionary of parameters" if self.by_name else "one per input"
        refuse_call("check_backward: forward", forward, self.pack(self.values), expected)
        self.form = ""

    def _follow(self) -> None:
        self.names = [self.every[k] for k in self.live]
        self.arrays = [self.values[k] for k in self.live]

    def keep(self, names: Sequence[str]) -> None:
        kept = [k for k in self.live if self.every[k] in names]
        if kept != self.live:  # the arrays may be others than those given, at which the pair is judged
            self.live = kept
            self._follow()

    def pack(self, values: Sequence[Any]) -> list[Any]:
        """The arguments of forward: one dictionary of parameters, or the inputs one by one."""
        rest = iter(values)
        return [refill(v, rest) if _is_nested(v) else next(rest) for v in self.tree]

    def run(self, values: Sequence[Any]) -> tuple[Any, Any, bool]:
        """The output, the cache, and whether there is one; NumPy's global generator draws the same each time."""
        with self._same_random_numbers():
            result = self.forward(*self.pack(values))
        cached = isinstance(result, tuple) and len(result) == 2
        output, cache = result if cached else (result, None)
        if isinstance(output, (np.ndarray, np.generic)) and output.dtype.kind in "biu":
            raise DTypeError(
                f"check_backward: forward: expected a floating-point output, got {describe(output)}: there is nothing "
                "to differentiate"
            )
        if not isinstance(output, Tensor) and not is_numeric(output):
            raise DTypeError(
                "check_backward: forward: expected it to return the output as an array or a number, or "
                f"(output, cache), got {_outline(result)}. Put everything else into the cache."
            )
        return output, cache, cached

    def _at(self, arrays: Sequence[Any]) -> list[Any]:
        values = [np.array(v) if isinstance(v, np.ndarray) else v for v in self.values]
        for k, array in zip(self.live, arrays):
            values[k] = array.copy() if isinstance(array, np.ndarray) else array
        return values

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        values = self._at(arrays)
        with self._placed(arrays):
            flat = np.array(_plain(self.run(values)[0]), np.float64).reshape(-1)
        self._note_writes(self.modified, [values[k] for k in self.live], arrays)
        return flat

    def gradients(self, g: NDArray, arrays: Sequence[NDArray]) -> dict[str, Any]:
        with self._placed(arrays):
            # Copies, since forward and backward may write into their arguments and the cache.
            shown = self._at(arrays)
            output, cache, cached = self.run(shown)
            copies = self._at(arrays)
            seed: Any = g.reshape(np.shape(output)).copy() if np.ndim(output) else float(g.reshape(()))
            before = np.array(seed)
            packed = self.pack(copies)
            g_name, inputs = "g", "parameters" if self.by_name else ", ".join(self._arguments())
            choices: list[tuple[list[Any], str]]
            if cached:
                choices = [([seed, cache], f"{g_name}, cache"), ([cache], "cache")]
            elif self._takes_gradient(output):
                choices = [
                    ([seed, *packed], f"{g_name}, {inputs}"),
                    ([seed], g_name),
                    (packed, inputs),
                    ([], ""),
                ]
            else:
                choices = [([seed, *packed], f"{g_name}, {inputs}"), (packed, inputs), ([seed], g_name)]
            with random_state(self.state):
                arguments, words = _matching_arguments(self.backward, choices)
                result = self.backward(*arguments)
        self.writes_into_g |= not np.array_equal(seed, before)
        if not self.modified:
            self._note_writes(self.spoiled, [shown[k] for k in self.live], arrays)
            self._note_writes(self.spoiled, [copies[k] for k in self.live], arrays)
        returned = "(output, cache)" if cached else "the output"
        kind = "a dictionary" if isinstance(result, Mapping) else "gradients in order"
        self.form = f"forward({inputs}) returns {returned}, backward({words}) returns {kind}"
        return self._by_name(result)

    def _arguments(self) -> list[str]:
        return [
            f"parameters {k}" if isinstance(v, Mapping) else name
            for k, (name, v) in enumerate(zip(self.top, self.tree))
        ]

    def traced(self, tensors: Sequence[Any]) -> Any:
        return self.run(self._at(tensors))[0]

    def seen(self) -> list[Any]:
        output, cache, _ = self.run(self._at(self.arrays))
        return [*self.values, *arrays_in(cache), _plain(output)]

    def may_be_captured(self) -> bool:
        given = [self.given[k] for k in self.live]
        return all(isinstance(x, np.ndarray) and x.dtype == np.float64 and x.flags.writeable for x in given)

    @contextmanager
    def _placed(self, arrays: Sequence[NDArray]) -> Iterator[None]:
        """Write values into the arrays that were given, if these are used, and restore them."""
        placing = self.captured or self.placing and self.may_be_captured()
        given = [cast(NDArray, self.given[k]) for k in self.live] if placing else []
        before = [x.copy() for x in given]
        try:
            for x, array in zip(given, arrays):
                x[...] = array
            yield
        finally:
            for x, array in zip(given, before):
                x[...] = array

    def restore(self) -> None:
        if self.layer:
            self.run(self._at(self.arrays))  # the object keeps arrays, and not the Tensors of the trace

    def _takes_gradient(self, output: Any) -> bool:
        """Whether the only parameter of a backward is the gradient of the output, and not the input."""
        if self.layer or np.size(output) != 1:
            return True
        names = parameters_of(self.backward)
        return len(names) == 1 and names[0] not in self.every and GRADIENT.fullmatch(names[0]) is not None

    def _by_name(self, result: object) -> dict[str, Any]:
        live, nested = list(self.names), any(_is_nested(v) for v in self.tree)
        if isinstance(result, Mapping):
            found = named(result, live)
            if nested:
                inside, rest = set[str](), iter(self.every)
                for v in self.tree:
                    one = [next(rest) for _ in (_leaves_of(v) if _is_nested(v) else [v])]
                    if isinstance(v, Mapping):
                        inside |= set(one)
                        found |= _matched(v, result, iter(one))
                # Of forward(X, parameters), X is data where backward gives no gradient of it.
                self.keep([n for n in live if n in inside or n in found])
            return {n: d for n, d in found.items() if n in live}
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        if self.layer and len(results) == 1:
            live = live[:1]  # a loss layer gives the gradient of its scores, and none of the labels
            self.keep(live)
        if nested and len(results) == len(self.tree):
            found = _matched(self.tree, tuple(results), iter(self.every))
            return {n: d for n, d in found.items() if n in live}
        # One result per input, None for the integers, or one per input to differentiate; a Python number among arrays
        # is a setting, unless it has a gradient.
        numbers = [n for k, n in zip(self.live, self.names) if type(self.given[k]) is float]
        names = self.every if len(results) == len(self.every) else live
        without = [n for n in live if n not in numbers]
        if without and numbers:
            none = (
                {n for n, r in zip(names, results) if r is None}
                if len(results) == len(names)
                else set(numbers)
            )
            live = [n for n in live if n not in numbers or n not in none]
            self.keep(live)
            names = names if len(results) == len(names) else live
        if len(results) != len(names):
            raise ShapeError(
                f"check_backward: expected backward to return the gradients of {', '.join(live)}, got {len(results)} "
                "results"
            )
        return {n: _gradient(r) for n, r in zip(names, results) if r is not None and n in live}


def _is_nested(x: Any) -> bool:
    """Whether an argument is a dictionary, or a list that holds arrays and is none itself."""
    if isinstance(x, Mapping):
        return True
    return isinstance(x, (list, tuple)) and any(
        isinstance(v, (np.ndarray, Tensor)) or _is_nested(v) for v in x
    )


def _leaves_of(x: Any) -> list[Any]:
    return [leaf for _, leaf in leaves(_plain_tree(x))]


def _plain_tree(x: Any) -> Any:
    """Nested dictionaries and lists with lists of numbers as arrays."""
    if isinstance(x, Mapping):
        return {str(key): _plain_tree(v) for key, v in x.items()}
    if _is_nested(x):
        parts = [_plain_tree(v) for v in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return np.array(x) if isinstance(x, list) and _as_array(x) is not x else x


def _leaf_names(tree: Sequence[Any], names: Sequence[str]) -> list[str]:
    """What the inputs are called: `x`, `W1` in a dictionary, `layers[0]` in a list; in full if that is not unique."""
    short, full = [], []

    def walk(x: Any, last: str, path: str) -> None:
        if isinstance(x, Mapping):
            for key, v in x.items():
                walk(v, key, f"{path}.{key}" if path else key)
        elif _is_nested(x):
            for k, v in enumerate(x):
                walk(v, f"{last}[{k}]", f"{path}[{k}]")
        else:
            short.append(last)
            full.append(path)

    for x, name in zip(tree, names):
        walk(x, name, name)
    unique = [f if short.count(s) > 1 else s for s, f in zip(short, full)]
    if len(set(unique)) != len(unique):
        raise ValueRangeError(
            f"check_backward: inputs: expected different names in all of them, got {', '.join(unique)}"
        )
    return unique


def _matched(inputs: Any, result: Any, names: Iterator[str]) -> dict[str, Any]:
    """The gradients in a result that is nested as the inputs are, by the names of these; None is no gradient."""
    found: dict[str, Any] = {}
    if isinstance(inputs, Mapping):
        for key, v in inputs.items():
            keys = [
                k
                for k in (f"d{key}", key, *gradient_names(key))
                if isinstance(result, Mapping) and k in result
            ]
            found |= _matched(v, result[keys[0]] if keys else None, names)
    elif _is_nested(inputs):
        fits = isinstance(result, (list, tuple)) and len(result) == len(inputs)
        for k, v in enumerate(inputs):
            found |= _matched(v, result[k] if fits else None, names)
    else:
        name = next(names)
        found = {} if result is None else {name: _gradient(result)}
    return found


class Parameter:
    """An array that a layer or a network holds: where it is held, and where backward leaves its gradient."""

    def __init__(self, name: str, array: NDArray, owner: Any, key: Any) -> None:
        self.name, self.array, self.owner, self.key = name, array, owner, key
        self.start = np.array(array, np.float64)

    def gradient(self, result: Any) -> Any:
        """The gradient after a call of backward, None where there is none."""
        if isinstance(result, Mapping):
            return named(result, [str(self.key)]).get(str(self.key))
        grads = getattr(self.owner, "grads", None)
        if isinstance(grads, Mapping):
            return named(grads, [str(self.key)]).get(str(self.key))
        if isinstance(grads, (list, tuple)) and isinstance(self.key, int):
            return _gradient(grads[self.key]) if self.key < len(grads) else None
        for attribute in gradient_names(str(self.key)):
            if isinstance(value := getattr(self.owner, attribute, None), np.ndarray):
                return _gradient(value)
        return None


class Objects(Pair):
    """Layers with forward and backward, a list of them, or a network with loss and gradient."""

    def __init__(self, subject: Any, inputs: Any) -> None:
        super().__init__()
        self.layers = list(subject.values()) if isinstance(subject, Mapping) else subject
        self.layers = list(self.layers) if isinstance(self.layers, (list, tuple)) else [self.layers]
        self.network = (
            len(self.layers) == 1
            and has(subject, "loss", "gradient")
            and not has(subject, "forward", "backward")
        )
        given = list(inputs) if isinstance(inputs, (tuple, list)) and not _is_table(inputs) else [inputs]
        first = self.layers[0].loss if self.network else self.layers[0].forward
        self.values = [_as_array(v) for v in given]
        refuse_call("check_backward: forward", first, self.values, "one per input")
        self.every = _names(first, len(given))
        for name, v in zip(self.every, self.values):
            _refuse_complex(name, v, "a real input")
        self.snapshot = Snapshot(self.layers)
        self.places = self.snapshot.places
        self.parameters = [
            p for k, layer in enumerate(self.layers) for p in _parameters(layer, self._prefix(k))
        ]
        self.live = [
            k for k, v in enumerate(self.values) if isinstance(v, np.ndarray) and v.dtype.kind == "f"
        ]
        for k in self.live:
            self.values[k] = self.values[k].astype(np.float64)
        with np.errstate(all="ignore"):
            output = self._forward(self._inputs([]))
            if not is_numeric(output):
                raise DTypeError(
                    "check_backward: forward: expected it to return the output as an array or a number, got "
                    f"{_outline(output)}"
                )
            result = self._backward(np.ones(np.shape(output)), self._inputs([]))
        taken = (
            len(named(result, [self.every[k] for k in self.live])) if isinstance(result, Mapping) else None
        )
        if taken is not None:
            self.live = [k for k in self.live if self.every[k] in named(result, self.every)]
        elif not isinstance(result, (tuple, list)):
            self.live = self.live[:1] if result is not None else []
        self.parameters = [p for p in self.parameters if p.gradient(result) is not None or self.network]
        self._follow()
        words = "loss(x, t) and gradient(x, t)" if self.network else "forward(x) and backward(dout)"
        what = type(self.layers[0]).__name__ if len(self.layers) == 1 else f"{len(self.layers)} layers"
        parts = [self.every[k] for k in self.live] + [p.name for p in self.parameters]
        self.form = f"{what} with {words}; gradients of {', '.join(parts)}"
        self.restore()
        self._refuse_unfit()

    def _prefix(self, k: int) -> str:
        return f"{k}." if len(self.layers) > 1 else ""

    def _follow(self) -> None:
        self.names = [self.every[k] for k in self.live] + [p.name for p in self.parameters]
        self.arrays = [self.values[k] for k in self.live] + [p.start for p in self.parameters]

    def keep(self, names: Sequence[str]) -> None:
        self.live = [k for k in self.live if self.every[k] in names]
        self.parameters = [p for p in self.parameters if p.name in names]
        self._follow()

    def _inputs(self, arrays: Sequence[Any]) -> list[Any]:
        values = [np.array(v) if isinstance(v, np.ndarray) else v for v in self.values]
        for k, array in zip(self.live, arrays):
            values[k] = array.copy() if isinstance(array, np.ndarray) else array
        return values

    def _forward(self, values: Sequence[Any]) -> Any:
        with self._same_random_numbers():
            if self.network:
                return self.layers[0].loss(*values)
            out = self.layers[0].forward(*values)
            for layer in self.layers[1:]:
                out = layer.forward(out)
        return out

    def _backward(self, g: Any, values: Sequence[Any]) -> Any:
        with random_state(self.state):
            if self.network:
                return self.layers[0].gradient(*values)
            for layer in reversed(self.layers):
                takes = parameters_of(layer.backward)
                g = (
                    layer.backward(g)
                    if takes or not hasattr(layer.backward, "__self__")
                    else layer.backward()
                )
        return g

    @contextmanager
    def _set(self, arrays: Sequence[Any]) -> Iterator[None]:
        """Put values in the place of the parameters, and restore these."""
        moved = arrays[len(self.live) :]
        try:
            for p, value in zip(self.parameters, moved):
                if isinstance(value, np.ndarray) and p.array.dtype == np.float64 and p.array.flags.writeable:
                    p.array[...] = value  # views of it follow
                else:
                    for place in self.places.get(id(p.array), []):
                        place(value.copy() if isinstance(value, np.ndarray) else value)
            yield
        finally:
            for p in self.parameters:
                for place in self.places.get(id(p.array), []):
                    place(p.array)
                if p.array.flags.writeable:
                    p.array[...] = p.start

    def value(self, arrays: Sequence[NDArray]) -> NDArray:
        values = self._inputs(arrays)
        with self._set(arrays):
            flat = np.array(_plain(self._forward(values)), np.float64).reshape(-1)
        self._note_writes(self.modified, [values[k] for k in self.live], arrays[: len(self.live)])
        return flat

    def gradients(self, g: NDArray, arrays: Sequence[NDArray]) -> dict[str, Any]:
        values = self._inputs(arrays)
        with self._set(arrays):
            output = self._forward(values)
            seed: Any = g.reshape(np.shape(output)).copy() if np.ndim(output) else float(g.reshape(()))
            before = np.array(seed)
            result = self._backward(seed, values)
            found = {p.name: p.gradient(result) for p in self.parameters}
            held = [values[k] for k in self.live] + [p.array for p in self.parameters]
            if not self.modified:
                self._note_writes(self.spoiled, held, arrays)
        self.writes_into_g |= not np.array_equal(seed, before)
        found = {name: np.array(v) for name, v in found.items() if v is not None}
        live = [self.every[k] for k in self.live]
        if isinstance(result, Mapping):
            return found | named(result, live)
        results = list(result) if isinstance(result, (tuple, list)) else [result]
        names = self.every if len(results) == len(self.every) else live
        if len(results) < len(live):
            raise ShapeError(
                f"check_backward: expected backward to return the gradients of {', '.join(live)}, got {len(results)} "
                "results"
            )
        return found | {n: _gradient(r) for n, r in zip(names, results) if r is not None and n in live}

    def traced(self, tensors: Sequence[Any]) -> Any:
        values = self._inputs(tensors)
        with self._set(tensors):
            return self._forward(values)

    def seen(self) -> list[Any]:
        return [*self.values, *self.arrays, self.value(self.arrays)]

    def restore(self) -> None:
        self.snapshot.restore()


class Snapshot:
    """What layers hold: their attributes, lists, dictionaries and arrays, and all places in which each array is."""

    def __init__(self, roots: Sequence[Any]) -> None:
        self.containers: list[tuple[Any, Any]] = []
        self.copies: list[tuple[NDArray, NDArray]] = []
        self.places: dict[int, list[Callable[[Any], None]]] = {}
        seen: set[int] = set()
        stack = list(roots)
        while stack:
            item = stack.pop()
            if id(item) in seen:
                continue
            seen.add(id(item))
            if isinstance(item, np.ndarray):
                if item.flags.writeable:
                    self.copies.append((item, item.copy()))
                continue
            held: Any
            entries: list[tuple[Any, Callable[[Any], None] | None]]
            if isinstance(item, dict):
                held = dict(item)
                entries = [(held[k], _setter(item, k)) for k in held]
            elif isinstance(item, list):
                held = list(item)
                entries = [(v, _setter(item, k)) for k, v in enumerate(held)]
            elif isinstance(item, tuple):
                entries = [(v, None) for v in item]
                held = None
            elif hasattr(item, "__dict__") and not isinstance(item, type) and not callable_only(item):
                stack.append(vars(item))
                continue
            else:
                continue
            if held is not None:
                self.containers.append((item, held))
            for value, place in entries:
                if place is not None and isinstance(value, np.ndarray):
                    self.places.setdefault(id(value), []).append(place)
                stack.append(value)

    def restore(self) -> None:
        """Put everything back."""
        for item, held in self.containers:
            if isinstance(item, list):
                item[:] = held
            else:
                item.clear()
                item.update(held)
        for array, copy in self.copies:
            array[...] = copy


def _setter(container: Any, key: Any) -> Callable[[Any], None]:
    return lambda value: container.__setitem__(key, value)


def callable_only(x: object) -> bool:
    """Whether an object is a function, a method or a module, and no layer."""
    return inspect.isroutine(x) or inspect.ismodule(x) or inspect.isclass(x)


def has(subject: object, *methods: str) -> bool:
    """Whether an object has all these methods."""
    return all(callable(getattr(subject, name, None)) for name in methods)


def is_layer(subject: object) -> bool:
    """Whether an object has forward and backward, or loss and gradient."""
    return not isinstance(subject, type) and (
        has(subject, "forward", "backward") or has(subject, "loss", "gradient")
    )


def _is_table(x: Any) -> bool:
    return bool(x) and all(isinstance(row, (float, int, list)) for row in x)


def _parameters(layer: Any, prefix: str, seen: frozenset[int] = frozenset()) -> list[Parameter]:
    """The floating-point arrays that a layer or network learns, each once."""
    if id(layer) in seen:
        return []
    params, found = getattr(layer, "params", None), []
    entries: list[tuple[str, Any, Any]] = []
    if isinstance(params, Mapping) and params:
        entries = [(str(key), key, value) for key, value in params.items()]
    elif isinstance(params, (list, tuple)) and params:
        attributes = {
            id(v): k for k, v in getattr(layer, "__dict__", {}).items() if isinstance(v, np.ndarray)
        }
        entries = [(attributes.get(id(v), f"params[{k}]"), k, v) for k, v in enumerate(params)]
    elif not isinstance(params, (Mapping, list, tuple)):
        # Attributes: W is a parameter if backward leaves a dW.
        entries = [(k, k, v) for k, v in list(getattr(layer, "__dict__", {}).items())]
        entries = [
            e for e in entries if not e[0].startswith("_") and e[0] not in ("x", "out", "mask", "y", "t")
        ]
    for name, key, value in entries:
        if isinstance(value, np.ndarray) and value.dtype.kind == "f" and value.flags.writeable:
            found.append(Parameter(f"{prefix}{name}", value, layer, key))
    if not (isinstance(params, (Mapping, list, tuple)) and params):
        inner = getattr(layer, "layers", None)
        inner = list(inner.values()) if isinstance(inner, Mapping) else inner
        if isinstance(inner, (list, tuple)):
            for k, part in enumerate(inner):
                found += _parameters(part, f"{prefix}{k}.", seen | {id(layer)})
    return found


def read(forward: Any, backward: Any, inputs: Any, missing: object) -> Pair:
    """Choose the form of what was given; refuse in words what is none."""
    several = (
        isinstance(forward, (list, tuple)) and len(forward) > 0 and all(is_layer(layer) for layer in forward)
    )
    several = (
        several or isinstance(forward, Mapping) and len(forward) > 0 and all(map(is_layer, forward.values()))
    )
    if several or is_layer(forward) and not (callable(backward) and inputs is not missing):
        if inputs is missing:
            inputs = backward
        if inputs is missing or inputs is None:
            raise DTypeError(
                "check_backward: inputs: expected what the first layer takes, as check_backward(layer, x)"
            )
        return Objects(forward, inputs)
    given: tuple[tuple[str, Any], ...] = (("forward", forward), ("backward", backward))
    for name, value in given:
        if not callable(value):
            got = "nothing" if value is missing else describe(value)
            raise DTypeError(f"check_backward: {name}: expected a function, got {got}")
    if inputs is missing:
        raise DTypeError(f"check_backward: inputs: expected the arrays that forward takes. It takes: {FORMS}")
    of: Any = forward
    return Functions(of, backward, inputs)


def gradient_names(name: str) -> tuple[str, ...]:
    """How the gradient of an input is called."""
    return (f"d{name}", f"grad_{name}", f"grad{name}", f"{name}_grad", f"d_{name}")


def named(result: Mapping[Any, Any], names: Sequence[str]) -> dict[str, Any]:
    """The gradients of these inputs in a dictionary, without the missing ones."""
    found = {}
    for name in names:
        for key in (f"d{name}", name, *gradient_names(name)):
            if result.get(key) is not None:
                found[name] = _gradient(result[key])
                break
    return found


def arrays_in(cache: object) -> Iterator[NDArray]:
    """Yield the arrays in a cache of nested tuples, lists and dictionaries."""
    stack = [cache]
    while stack:
        item = stack.pop()
        if isinstance(item, np.ndarray):
            yield item
        elif isinstance(item, Mapping):
            stack += list(item.values())
        elif isinstance(item, (tuple, list)):
            stack += list(item)


@contextmanager
def random_state(state: dict[str, Any] | tuple[Any, ...]) -> Iterator[None]:
    """Set NumPy's global random state in a block and restore it: courses draw dropout masks from it."""
    before = np.random.get_state()  # noqa: NPY002
    np.random.set_state(state)  # noqa: NPY002
    try:
        yield
    finally:
        np.random.set_state(before)  # noqa: NPY002


def _as_array(x: object) -> Any:
    """An input as an array where it is one; anything else as it is."""
    if isinstance(x, Tensor):
        return x.detach().numpy().copy()
    if not isinstance(x, (np.ndarray, list, float, np.floating)):
        return x
    try:
        return np.array(x)
    except (ValueError, TypeError, RecursionError):  # ragged: it is no array
        return x


def _plain(x: object) -> Any:
    return x.detach().numpy() if isinstance(x, Tensor) else x


def is_numeric(x: object) -> bool:
    """Whether an output is a number or an array of real numbers."""
    if isinstance(x, (list, tuple, Mapping, str, bytes)) or x is None:
        return False
    try:
        return np.asarray(x).dtype.kind in "biuf"
    except (ValueError, TypeError):
        return False


def _outline(x: object) -> str:
    if isinstance(x, (tuple, list)):
        return f"a {type(x).__name__} of {len(x)} ({', '.join(type(part).__name__ for part in x[:4])})"
    return describe(x)


def _refuse_complex(what: str, x: object, expected: str) -> None:
    if isinstance(x, complex) or getattr(getattr(x, "dtype", None), "kind", None) == "c":
        raise DTypeError(
            f"check_backward: {what}: expected {expected}, got {describe(x)}. Pass real and imaginary parts as two "
            "arrays, or check an operation for complex values with gradcheck."
        )


def _gradient(x: object) -> NDArray:
    _refuse_complex("backward", x, "real gradients")
    if is_numeric(_plain(x)) or isinstance(x, list):
        try:
            return np.asarray(_plain(x), np.float64)
        except (ValueError, TypeError):
            pass
    raise DTypeError(f"check_backward: backward: expected gradients as arrays, got {_outline(x)}")


def _names(forward: Callable[..., Any], count: int) -> list[str]:
    names = parameters_of(forward)
    return names[:count] if len(names) >= count else [f"x{i}" for i in range(count)]


def parameters_of(function: Callable[..., Any]) -> list[str]:
    """The names of the positional parameters of a function."""
    try:
        parameters = list(inspect.signature(function).parameters.values())
    except (TypeError, ValueError):
        return []
    return [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]


def _matching_arguments(
    function: Callable[..., Any], choices: Sequence[tuple[list[Any], str]]
) -> tuple[list[Any], str]:
    """The first list of arguments that the signature of the function accepts, and what it is called.

    One that leaves parameters with a default alone is preferred: backward(cache, lambd=0.7).
    """
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return choices[0]
    required = sum(
        p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
        for p in signature.parameters.values()
    )
    for arguments, words in sorted(choices, key=lambda choice: not len(choice[0]) == required > 0):
        try:
            signature.bind(*arguments)
        except TypeError:
            continue
        return arguments, words
    raise DTypeError(
        f"check_backward: expected backward to take (g, cache) or (cache) when forward returns (output, cache), "
        f"otherwise (g, *inputs), (*inputs) or (g), got {signature}. Where yours takes more, such as the labels, wrap "
        "it: lambda saved: backward(*saved, X, Y), with a forward that returns the cost and (parameters, cache)"
    )
