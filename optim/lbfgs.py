"""L-BFGS."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from tinygrad_dl.arguments import Count, NonNegative
from tinygrad_dl.convert import as_pairs, describe
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.modes import enable_grad
from tinygrad_dl.optim.fused import fitting
from tinygrad_dl.optim.line_search import Point, strong_wolfe
from tinygrad_dl.optim.optimizer import Optimizer, copy_state, options
from tinygrad_dl.optim.typing import Closure, Group, Params, Rate, State
from tinygrad_dl.tensor import Tensor
from tinygrad_dl.typing import NDArray

# What a step needs of the one before; without it the search begins again.
HISTORY = {"d", "t", "prev_flat_grad", "old_dirs", "old_stps", "ro", "H_diag"}


class LBFGS(Optimizer):
    """L-BFGS: Newton's direction, estimated from the last changes of parameters and gradient. For full batches.

    d = -H g with H from the last `history_size` pairs s = p(i + 1) - p(i), y = g(i + 1) - g(i);  p += t * d
    with t = lr, or by line_search_fn="strong_wolfe". step(closure) makes up to `max_iter` of these and calls
    the closure, which has to zero the gradients, call backward and return the loss, up to `max_eval` times.
    Raises DTypeError without a closure, ValueRangeError. Source: Liu, Nocedal 1989; Nocedal, Wright 2006, 7.2.

    >>> p = Tensor([3.0, -2.0], dtype="float64", requires_grad=True)
    >>> optimizer = LBFGS([p], line_search_fn="strong_wolfe")
    >>> def closure():
    ...     optimizer.zero_grad()
    ...     loss = (p * p * Tensor([1.0, 9.0])).sum()
    ...     loss.backward()
    ...     return loss
    >>> optimizer.step(closure).item()
    45.0
    >>> bool(abs(p.data).max() < 1e-4)
    True
    """

    def __init__(
        self,
        params: Params,
        lr: Rate = 1,
        max_iter: Count = 20,
        max_eval: Count | None = None,
        tolerance_grad: NonNegative = 1e-7,
        tolerance_change: NonNegative = 1e-9,
        history_size: Count = 100,
        line_search_fn: Literal["strong_wolfe"] | None = None,
    ) -> None:
        if max_eval is None and isinstance(max_iter, int):
            max_eval = max_iter * 5 // 4
        super().__init__(params, options(locals()))

    def add_param_group(self, group: Mapping[str, Any]) -> None:
        """Add the one group. Raises ValueRangeError for a second one."""
        if self.param_groups:
            raise ValueRangeError(
                "LBFGS: params: expected one group, got several: all parameters move along one direction"
            )
        super().add_param_group(group)

    def step(self, closure: Closure | None = None) -> Any:
        """Move along up to `max_iter` directions; returns the loss before. Raises DTypeError, GraphError."""
        if closure is None:
            raise DTypeError(
                "LBFGS.step: closure: expected a function, got None: the loss is computed at several points. Pass a "
                "function that calls zero_grad(), computes the loss, calls backward() and returns the loss"
            )
        if not callable(closure):
            raise DTypeError(f"LBFGS.step: closure: expected a function, got {describe(closure)}")
        group, params = self.param_groups[0], self.param_groups[0]["params"]
        self._validate_edits(0, group, None)
        state = self._current_state(params, group)
        with enable_grad():
            first = closure()
        if all(p.grad is None for p in params):
            raise self._no_gradient_error()
        self._check_finite()
        loss = self._loss(first)
        self.stepped = True
        self.state[params[0]] = state
        state["func_evals"] += 1
        g = self._gradient()
        if not self._is_steep(g):
            return first
        with np.errstate(all="ignore"):
            self._iterate(closure, group, state, loss, g)
        return first

    def _current_state(self, params: list[Tensor], group: Group) -> State:
        """The one state there is; as in PyTorch it belongs to the first parameter. A user may have edited it."""
        self._validate_state()
        found = self.state.get(params[0], {})
        if not isinstance(found, dict):
            raise DTypeError(f"LBFGS.step: state: expected a dict for each parameter, got {describe(found)}")
        found.update(self.restore_state("LBFGS.step: state", params[0], found, group, copy=False))
        for key in [key for key, value in found.items() if value is None]:
            del found[key]
        found.setdefault("func_evals", 0)
        found.setdefault("n_iter", 0)
        return found

    def _iterate(
        self,
        closure: Closure,
        group: Group,
        state: State,
        loss: float,
        g: NDArray,
    ) -> None:
        lr, tolerance = float(group["lr"]), float(group["tolerance_change"])
        max_iter, evaluations = int(group["max_iter"]), 1
        max_eval = max_iter * 5 // 4 if group["max_eval"] is None else int(group["max_eval"])
        for i in range(1, max_iter + 1):
            state["n_iter"] += 1
            d = self._direction(g, state, group["history_size"])
            t = lr if state["n_iter"] > 1 else min(1.0, 1.0 / float(np.abs(g).sum())) * lr
            state.update(d=d, t=t, prev_flat_grad=g, prev_loss=loss)
            slope, before = float(g @ d), loss
            if slope > -tolerance:
                break
            if group["line_search_fn"] is not None:
                origin = [p._data.copy() for p in self.param_groups[0]["params"]]
                found, calls = strong_wolfe(
                    lambda t, d=d, origin=origin: self._evaluate_at(closure, origin, t, d),  # type: ignore[misc]
                    d,
                    t,
                    Point(0.0, loss, g, slope),
                    max_eval - evaluations,
                )
                state["t"], loss, g = t, _, _ = found.t, found.loss, found.g
                self._move(t, d)
            else:
                self._move(t, d)
                calls = int(i < max_iter)  # after the last step nobody needs the loss
                if calls:
                    loss, g = self._evaluate(closure)
            evaluations += calls
            state["func_evals"] += calls
            if (
                evaluations >= max_eval
                or not self._is_steep(g)
                or float(np.abs(d * t).max()) <= tolerance
                or abs(loss - before) < tolerance
            ):
                break

    def _direction(self, g: NDArray, state: State, size: int) -> NDArray:
        """-H g, after the last step's pair has been added to the history."""
        if state["n_iter"] == 1 or not HISTORY <= state.keys():
            state.update(old_dirs=[], old_stps=[], ro=[], H_diag=1.0)
            return -g
        ys, ss, ro = state["old_dirs"], state["old_stps"], state["ro"]
        y, s = g - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(y @ s)
        if curvature > 1e-10:
            if len(ys) == size:
                del ys[0], ss[0], ro[0]
            ys.append(y)
            ss.append(s)
            ro.append(1.0 / curvature)
            state["H_diag"] = curvature / float(y @ y)
        d = -g
        coefficients = []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro)):
            coefficients.append(float(s @ d) * r)
            d -= y * coefficients[-1]
        d *= state["H_diag"]
        for y, s, r, coefficient in zip(ys, ss, ro, reversed(coefficients)):
            d += s * (coefficient - float(y @ d) * r)
        return d

    def _gradient(self) -> NDArray:
        """All gradients as one vector, zeros for parameters without one."""
        params = self.param_groups[0]["params"]
        grads = [np.zeros_like(p._data) if p.grad is None else p.grad._data for p in params]
        return np.concatenate([_real(g).reshape(-1) for g in grads])

    def _is_steep(self, g: NDArray) -> bool:
        return not float(np.abs(g).max(initial=0.0)) <= self.param_groups[0]["tolerance_grad"]

    def _move(self, t: float, d: NDArray) -> None:
        begin = 0
        for p in self.param_groups[0]["params"]:
            numbers = _real(p._data)
            numbers += (
                (d[begin : begin + _size(p)] * t).reshape(numbers.shape).astype(numbers.dtype, copy=False)
            )
            begin += _size(p)

    def _evaluate(self, closure: Closure) -> tuple[float, NDArray]:
        with enable_grad():
            loss = self._loss(closure())
        return loss, self._gradient()

    def _loss(self, value: Any) -> float:
        try:
            return float(value)
        except (TypeError, ValueError):
            pass
        raise DTypeError(
            f"LBFGS.step: closure: expected a function that returns the loss, got {describe(value)}"
        )

    def _evaluate_at(
        self, closure: Closure, origin: list[NDArray], t: float, d: NDArray
    ) -> tuple[float, NDArray]:
        """Loss and gradient at the distance t along d; the parameters are back at the origin afterwards."""
        self._move(t, d)
        try:
            return self._evaluate(closure)
        finally:
            for p, array in zip(self.param_groups[0]["params"], origin):
                p._data[...] = array

    def restore_state(
        self, where: str, p: Tensor, values: Mapping[str, Any], group: Group, copy: bool = True
    ) -> State:
        """The saved state, copied; PyTorch's workspace "al" is left out."""
        total = sum(map(_size, group["params"]))
        state: State = {}
        for key, value in values.items():
            if value is None:
                continue
            if key in ("d", "prev_flat_grad"):
                state[key] = _flat(where, key, value, total)
            elif key in ("old_dirs", "old_stps"):
                state[key] = [_flat(where, key, part, total) for part in _listed(where, key, value)]
            elif key == "ro":
                state[key] = [float(fitting(f"{where}: ro", r, 0.0, p)) for r in _listed(where, key, value)]
            elif key in ("n_iter", "func_evals"):
                state[key] = fitting(f"{where}: {key}", value, 0, p)
            elif key in ("t", "H_diag", "prev_loss"):
                state[key] = fitting(f"{where}: {key}", value, 0.0, p)
        lengths = {len(state[key]) for key in ("old_dirs", "old_stps", "ro") if key in state}
        if len(lengths) > 1:
            raise ShapeError(
                f"{where}: expected old_dirs, old_stps and ro of one length, got {sorted(lengths)}"
            )
        return copy_state(state) if copy else state


def _real(x: NDArray) -> NDArray:
    """The real numbers of an array: of complex ones, both parts."""
    return as_pairs(x) if x.dtype.kind == "c" else x


def _size(p: Tensor) -> int:
    return p.size * (2 if p.dtype.kind == "c" else 1)


def _listed(where: str, key: str, value: Any) -> Sequence[Any]:
    if not isinstance(value, (list, tuple)):
        raise DTypeError(f"{where}: {key}: expected a list, got {describe(value)}")
    return value


def _flat(where: str, key: str, value: Any, size: int) -> NDArray:
    try:
        array = value._data if isinstance(value, Tensor) else np.asarray(value)
    except ValueError:  # a ragged list
        array = np.asarray(None)
    if array.dtype.kind not in "biuf":
        raise DTypeError(f"{where}: {key}: expected an array of shape ({size},), got {describe(value)}")
    if array.shape != (size,):
        raise ValueRangeError(
            f"{where}: {key}: expected the shape ({size},), as the parameters have, got {array.shape}"
        )
    return array
