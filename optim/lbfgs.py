"""L-BFGS."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.modes import enable_grad
from tinygrad_dl.optim.optimizer import Optimizer, copied
from tinygrad_dl.optim.wolfe import Place, strong_wolfe
from tinygrad_dl.tensor import Tensor


class LBFGS(Optimizer):
    """L-BFGS: Newton's direction, estimated from the last changes of place and gradient. For full batches.

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
        params: Iterable[Any],
        lr: float | Any = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        super().__init__(
            params,
            {
                "lr": lr,
                "max_iter": max_iter,
                "max_eval": max_iter * 5 // 4 if max_eval is None else max_eval,
                "tolerance_grad": tolerance_grad,
                "tolerance_change": tolerance_change,
                "history_size": history_size,
                "line_search_fn": line_search_fn,
            },
        )

    def check(self, group: dict[str, Any]) -> None:
        self.refuse_below(group, 0, "lr", "tolerance_grad", "tolerance_change")
        self.refuse_below(group, 1, "max_iter", "max_eval", "history_size")
        came = group["line_search_fn"]
        self.refuse(came not in (None, "strong_wolfe"), "line_search_fn", 'None or "strong_wolfe"', came)
        if self.param_groups:
            raise ValueRangeError("LBFGS: one group of parameters is needed: all move along one direction")

    def step(self, closure: Callable[[], Any] | None = None) -> Any:
        """Move along up to `max_iter` directions; returns the loss before. Raises DTypeError, GraphError."""
        if closure is None:
            raise DTypeError(
                "LBFGS.step: a closure is needed, because it computes the loss at several places: a function "
                "that calls zero_grad(), computes the loss, calls backward() and returns the loss"
            )
        group, params = self.param_groups[0], self.param_groups[0]["params"]
        # There is one state; as in PyTorch it stands with the first parameter.
        state = self.state.setdefault(params[0], {"func_evals": 0, "n_iter": 0})
        with enable_grad():
            first = closure()
        if all(p.grad is None for p in params):
            raise self._no_gradients()
        self._check_finite()
        self.stepped = True
        state["func_evals"] += 1
        loss, g = float(first), self._gradient()
        if not self._steep(g):
            return first
        with np.errstate(all="ignore"):
            self._iterate(closure, group, state, loss, g)
        return first

    def _iterate(
        self,
        closure: Callable[[], Any],
        group: dict[str, Any],
        state: dict[str, Any],
        loss: float,
        g: np.ndarray,
    ) -> None:
        lr, tolerance = float(group["lr"]), float(group["tolerance_change"])
        most, evaluations = group["max_iter"], 1
        for i in range(1, most + 1):
            state["n_iter"] += 1
            d = self._direction(g, state, group["history_size"])
            t = lr if state["n_iter"] > 1 else min(1.0, 1.0 / float(np.abs(g).sum())) * lr
            state.update(d=d, t=t, prev_flat_grad=g, prev_loss=loss)
            slope, before = float(g @ d), loss
            if slope > -tolerance:
                break
            if group["line_search_fn"] is not None:
                origin = [p._data.copy() for p in self.param_groups[0]["params"]]
                found, looked = strong_wolfe(
                    lambda t, d=d, origin=origin: self._look(closure, origin, t, d),  # type: ignore[misc]
                    d,
                    t,
                    Place(0.0, loss, g, slope),
                    group["max_eval"] - evaluations,
                )
                state["t"], loss, g = t, _, _ = found.t, found.loss, found.g
                self._move(t, d)
            else:
                self._move(t, d)
                looked = int(i < most)  # after the last there is no use for the loss
                if looked:
                    loss, g = self._evaluate(closure)
            evaluations += looked
            state["func_evals"] += looked
            if (
                evaluations >= group["max_eval"]
                or not self._steep(g)
                or float(np.abs(d * t).max()) <= tolerance
                or abs(loss - before) < tolerance
            ):
                break

    def _direction(self, g: np.ndarray, state: dict[str, Any], size: int) -> np.ndarray:
        """-H g, after the last step's pair has been added to the history."""
        if state["n_iter"] == 1:
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
        shares = []
        for y, s, r in zip(reversed(ys), reversed(ss), reversed(ro)):
            shares.append(float(s @ d) * r)
            d -= y * shares[-1]
        d *= state["H_diag"]
        for y, s, r, share in zip(ys, ss, ro, reversed(shares)):
            d += s * (share - float(y @ d) * r)
        return d

    def _gradient(self) -> np.ndarray:
        """All gradients in one row, zeros where there is none."""
        params = self.param_groups[0]["params"]
        return np.concatenate(
            [np.zeros(p.size, p.dtype) if p.grad is None else p.grad._data.reshape(-1) for p in params]
        )

    def _steep(self, g: np.ndarray) -> bool:
        return not float(np.abs(g).max(initial=0.0)) <= self.param_groups[0]["tolerance_grad"]

    def _move(self, t: float, d: np.ndarray) -> None:
        begin = 0
        for p in self.param_groups[0]["params"]:
            p._data += (d[begin : begin + p.size] * t).reshape(p.shape).astype(p.dtype, copy=False)
            begin += p.size

    def _evaluate(self, closure: Callable[[], Any]) -> tuple[float, np.ndarray]:
        with enable_grad():
            loss = float(closure())
        return loss, self._gradient()

    def _look(
        self, closure: Callable[[], Any], origin: list[np.ndarray], t: float, d: np.ndarray
    ) -> tuple[float, np.ndarray]:
        """Loss and gradient at a distance; the parameters are back at the origin afterwards."""
        self._move(t, d)
        try:
            return self._evaluate(closure)
        finally:
            for p, array in zip(self.param_groups[0]["params"], origin):
                p._data[...] = array

    def restored(
        self, where: str, p: Tensor, values: Mapping[str, Any], group: dict[str, Any]
    ) -> dict[str, Any]:
        """The saved state, copied; PyTorch's working memory "al" is left out."""
        total = sum(q.size for q in group["params"])
        taken: dict[str, Any] = {}
        for key, value in values.items():
            if key in ("d", "prev_flat_grad"):
                taken[key] = _flat(where, key, value, total)
            elif key in ("old_dirs", "old_stps"):
                taken[key] = [_flat(where, key, part, total) for part in value or ()]
            elif key == "ro":
                taken[key] = [float(part) for part in value or ()]
            elif key in ("n_iter", "func_evals"):
                taken[key] = int(value)
            elif key in ("t", "H_diag", "prev_loss") and value is not None:
                taken[key] = float(value)
        return copied(taken)


def _flat(where: str, key: str, value: Any, size: int) -> np.ndarray:
    array = np.array(value._data if isinstance(value, Tensor) else value)
    if array.shape != (size,):
        raise ValueRangeError(f"{where}: {key} has the shape {array.shape}; the parameters need ({size},)")
    return array
