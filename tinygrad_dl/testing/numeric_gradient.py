"""The gradient of one input of a hand-written forward, by finite differences, and which gradients agree with it."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from tinygrad_dl.testing import finite_differences
from tinygrad_dl.testing.evidence import EPS, Evidence, examine, nearby
from tinygrad_dl.typing import NDArray

# A relative error below this is rounding: central differences in float64 are good to about 1e-10.
CLOSE = 1e-6
# Where this many elements are wrong for certain, the others are not looked at more closely.
ENOUGH = 2
# A closer look is taken at every element that disagrees, and at the directions below.
DIRECTIONS = 2


class NumericGradient:
    """The derivatives of g @ f in one array: from the left, from the right, their mean and their noise."""

    def __init__(
        self, f: Callable[[Sequence[NDArray]], NDArray], arrays: Sequence[NDArray], k: int, g: NDArray
    ) -> None:
        self.f, self.arrays, self.k, self.g = f, arrays, k, g
        start, shape = f(arrays), arrays[k].shape
        steps = [finite_differences.step_for(float(x)) for x in arrays[k].reshape(-1)]
        self.steps = np.array(steps).reshape(shape)
        moved = list(arrays)
        moved[k] = arrays[k].copy()
        flat = moved[k].reshape(-1)
        right, left, rows = [], [], []
        for i, h in enumerate(steps):
            x = flat[i]
            flat[i] = x + h
            above = f(moved)
            flat[i] = x - h
            below = f(moved)
            flat[i] = x
            right.append(float(g @ (above - start)) / h)
            left.append(float(g @ (start - below)) / h)
            rows.append((above - below) / (2 * h))
        #: The Jacobian: a row for each element of the input, a column for each output.
        self.jacobian = np.array(rows).reshape(len(steps), start.size)
        self.right, self.left = np.array(right).reshape(shape), np.array(left).reshape(shape)
        self.central = (self.right + self.left) / 2
        # The values are rounded, and the difference divides their rounding error by the step.
        self.scale = 8 * EPS * max(float(np.abs(g) @ np.abs(start)), 1e-12)
        self.noise = self.scale / self.steps
        gap, size = np.abs(self.right - self.left), np.maximum(np.abs(self.right), np.abs(self.left))
        #: Where both sides agree to the noise and the curvature, as those of a smooth function do.
        self.smooth = (gap <= 1e-3 * size + 4 * self.noise).reshape(-1)
        self.examined: dict[int, Evidence] = {}
        self.unclear: dict[int, str] = {}  # elements whose derivative cannot be told, and why
        self.kinks: set[int] = set()
        self.settled = np.zeros(self.central.size, bool)
        self.around: dict[int, tuple[float, float]] = {}
        self.judged: list[tuple[NDArray, bool | None]] = []

    def trust(self, a: NDArray) -> None:
        """Where another gradient, autograd's, agrees and both sides do, no closer look is needed."""
        central, noise = self.central.reshape(-1), self.noise.reshape(-1)
        agree = np.abs(np.asarray(a).reshape(-1) - central) <= CLOSE * np.abs(central) + noise
        self.settled = agree & self.smooth & (np.abs(central) > 1e3 * noise)

    def line(self, direction: NDArray) -> Callable[[float], NDArray]:
        """The function g @ f along a direction."""

        def at(h: float) -> NDArray:
            moved = list(self.arrays)
            moved[self.k] = self.arrays[self.k] + h * direction
            return np.array([self.g @ self.f(moved)])

        return at

    def _examine(self, i: int) -> Evidence:
        if i not in self.examined:
            direction = np.zeros(self.central.size)
            direction[i] = 1.0
            x = float(self.arrays[self.k].reshape(-1)[i])
            self.examined[i] = examine(self.line(direction.reshape(self.central.shape)), x)
        return self.examined[i]

    def nearest(self, a: NDArray | None) -> NDArray:
        """The gradient that is nearest to `a` among the correct ones: at a kink there is an interval of them."""
        if a is None or np.shape(a) != self.central.shape:
            return self.central
        correct = self.central.copy().reshape(-1)
        flat, noise = np.asarray(a, np.float64).reshape(-1), self.noise.reshape(-1)
        gap = np.abs(flat - correct)
        flagged = np.flatnonzero(~(gap <= CLOSE * np.abs(correct) + noise))
        self.unclear, wrong = {}, 0
        for i in flagged[np.argsort(-np.nan_to_num(gap[flagged], nan=np.inf), kind="stable")].tolist():
            if self.settled[i]:
                wrong += 1
                continue
            if wrong >= ENOUGH and self.smooth[i]:
                continue
            evidence = self._examine(i)
            low, high, error = evidence.interval(0)
            if evidence.reason[0]:
                self.unclear[i] = evidence.reason[0]
                correct[i] = flat[i]
                continue
            slack = error + CLOSE * max(abs(low), abs(high))
            if evidence.is_kink(0):
                self.kinks.add(i)
            if low - slack <= flat[i] <= high + slack:
                correct[i] = flat[i]
                size = max(abs(low), abs(high), abs(flat[i]))
                if error > 0.1 * size and error > 1e-3 * np.max(np.abs(self.central), initial=0.0):
                    self.unclear[i] = f"the output is rounded to about {float(evidence.noise[0]):.2g} around"
            elif self._is_nearby(i, float(flat[i])):
                self.kinks.add(i)
                correct[i] = flat[i]
            elif not evidence.is_kink(0) and self.around[i][0] < self.around[i][1]:
                self.unclear[i] = "there are many kinks next to"
                correct[i] = flat[i]
            else:
                correct[i] = low if flat[i] < low else high
                wrong += 1
        return correct.reshape(self.central.shape)

    def _is_nearby(self, i: int, a: float) -> bool:
        """Whether a derivative is between those at points next to this one, which differ only around kinks."""
        if i not in self.around:
            low, high = nearby(lambda arrays: np.array([self.g @ self.f(arrays)]), self.arrays, self.k, i)
            self.around[i] = (float(low[0]), float(high[0]))
        lowest, highest = self.around[i]
        return lowest <= a <= highest

    def _told(self, a: NDArray) -> NDArray:
        """The elements of a gradient whose derivatives can be told: at the edge of a domain it may be infinite."""
        told = np.ones(self.central.size, bool)
        told[list(self.unclear)] = False
        return np.asarray(a, np.float64).reshape(-1)[told]

    def error(self, a: NDArray | None) -> float:
        """The courses' relative error, against the nearest correct gradient; infinite where there is none."""
        if a is None or np.shape(a) != self.central.shape:
            return float("inf")
        correct = self.nearest(a)
        a, correct = self._told(a), self._told(correct)
        if np.linalg.norm(correct) <= np.linalg.norm(self.noise) and np.linalg.norm(a) < 1e-14:
            # Both are 0 up to the error of the differences, whose relative error says nothing.
            return 0.0
        error = finite_differences.relative_error(a, correct)
        return float("inf") if np.isnan(error) else error

    def agrees(self, a: NDArray | None) -> bool | None:
        """Whether `a` is a correct gradient; None where the function's rounding hides that."""
        if a is None or np.shape(a) != self.central.shape:
            return False
        a = np.array(a, np.float64)
        for other, verdict in self.judged:  # autograd's is usually the same
            if np.allclose(a, other, rtol=1e-9, atol=0.0):
                return verdict
        self.judged.append((a, self._agrees(a)))
        return self.judged[-1][1]

    def _agrees(self, a: NDArray) -> bool | None:
        error = self.error(a)
        if error == float("inf"):
            return False
        told, correct = self._told(a), self._told(self.nearest(a))
        off, noise = float(np.linalg.norm(told - correct)), float(np.linalg.norm(self.noise))
        size = max(float(np.linalg.norm(told)), float(np.linalg.norm(correct)))
        if error < CLOSE and noise < 1e-3 * size:
            return True
        if off > noise and not error < CLOSE:
            return False
        if noise < 1e-4 * size or not size:
            return True
        return self._along_directions(a) if np.isfinite(a).all() else None

    def _along_directions(self, a: NDArray) -> bool | None:
        """Judge a gradient that is lost in the noise of its elements by sums of many of them."""
        largest = float(np.max(np.abs(a), initial=0.0))
        rng = np.random.default_rng(0)
        directions = [a / largest] if largest else []
        directions += [rng.choice([-1.0, 1.0], a.shape) for _ in range(DIRECTIONS)]
        told = False
        for direction in directions:
            evidence = examine(self.line(direction), float(np.max(np.abs(self.arrays[self.k]), initial=0.0)))
            # Where several elements are at kinks, a sum of correct derivatives may be outside of both sides.
            if evidence.reason[0] or evidence.is_kink(0):
                continue
            given = float(np.sum(a * direction))
            low, high, error = evidence.interval(0)
            slack = 2 * error + 1e-5 * max(abs(low), abs(high))
            if not low - slack <= given <= high + slack:
                return False
            told = told or error < 0.05 * max(abs(given), abs(low), abs(high))
        return True if told else None
