"""PyTorch's CPU generator: the Mersenne Twister mt19937, and what PyTorch makes of its 32-bit numbers.

`Generator` is a np.random.Generator too, so that the core's layers and initializers draw from it by `rng=`. Facts of
the stream (which bits, how many draws, in what order) follow ATen's CPU kernels; the tests compare them with PyTorch's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import contextmanager
from functools import wraps
from typing import Any, TypeVar

import numpy as np

from tinygrad_dl.errors import DTypeError, UnreadError, ValueRangeError
from tinygrad_dl.modes import active, modes, tell
from tinygrad_dl.torch.boundary import is_ours, lift, lower

F = TypeVar("F", bound=Callable[..., Any])

# rand of float32 takes 24 bits of one number, float64 takes 53 bits of two.
_BITS32, _SCALE32 = np.uint64((1 << 24) - 1), np.float32(2.0**-24)
_BITS64, _SCALE64 = np.uint64((1 << 53) - 1), 2.0**-53
# Constants of ATen's sampler of gamma numbers, which are float32 there
_THIRD, _SQUEEZE = float(np.float32(1 / 3)), float(np.float32(0.0331))
_BITS16, _SCALE16 = np.uint64((1 << 11) - 1), 2.0**-11


class Generator(np.random.Generator):
    """A generator of random numbers with PyTorch's stream: the same seed gives PyTorch's numbers."""

    def __init__(self, device: Any = "cpu") -> None:
        super().__init__(np.random.MT19937())
        self._next_normal: float | None = None
        self.device = "cpu"
        self.manual_seed(67280421310721)  # PyTorch's default

    def __reduce__(self) -> Any:
        return (_default, ()) if self is default_generator else (_restored, (self.get_state_dict(),))

    def __deepcopy__(self, memo: dict[int, Any]) -> Generator:
        return self  # layers of a copied model draw from the same generator, as PyTorch's do

    def manual_seed(self, seed: int) -> Generator:
        """Begin the stream of a seed; returns the generator."""
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)):
            raise DTypeError(f"manual_seed: expected an int, got {seed!r:.40}")
        if not -(2**63) <= seed < 2**64:
            raise ValueRangeError(f"manual_seed: expected an int of 64 bits, got {seed}")
        self._seed = int(seed) & (2**64 - 1)
        # The generator of NumPy is seeded by init_genrand of 32 bits, as ATen's is.
        self.bit_generator._legacy_seeding(self._seed & 0xFFFFFFFF)  # type: ignore[attr-defined]
        self._next_normal = None
        return self

    def seed(self) -> int:
        """Begin at a seed that differs from call to call, and return it."""
        self.manual_seed(time.time_ns() & (2**52 - 1))
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream began with."""
        return self._seed

    def get_state_dict(self) -> dict[str, Any]:
        """Where the stream is, as NumPy's dict, with the normal number drawn ahead."""
        return {"state": self.bit_generator.state, "next": self._next_normal, "seed": self._seed}

    def set_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from such a state."""
        self.bit_generator.state = state["state"]
        self._next_normal, self._seed = state["next"], state["seed"]

    # The 32-bit numbers and what they become

    def raw(self, n: int) -> np.ndarray:
        """The next n numbers of 32 bits."""
        if active:
            tell("read", "drawing PyTorch's random numbers")
        found: np.ndarray = self.bit_generator.random_raw(n)
        return found

    def raw64(self, n: int) -> np.ndarray:
        """The next n numbers of 64 bits, each of two, the first one in front."""
        return _joined(self.raw(2 * n))

    def doubles(self, n: int) -> np.ndarray:
        """n uniform numbers in [0, 1) of 53 bits."""
        return _doubles(self.raw64(n))

    def floats(self, n: int) -> np.ndarray:
        """n uniform numbers in [0, 1) of 24 bits, float32."""
        found: np.ndarray = (self.raw(n) & _BITS32).astype(np.float32) * _SCALE32
        return found

    def uniforms(self, shape: Any, low: float, high: float, dtype: Any) -> np.ndarray:
        """Uniform numbers in [low, high): x * (high - low) + low, in the dtype."""
        sizes, kind = _sizes(shape), np.dtype(dtype)
        n = math.prod(sizes)
        if kind == np.float64:
            return (self.doubles(n) * (high - low) + low).reshape(sizes)
        if kind == np.float16:
            x = ((self.raw(n) & _BITS16) * _SCALE16).astype(np.float32)
            span, begin = (
                np.float32(np.float16(high)) - np.float32(np.float16(low)),
                np.float32(np.float16(low)),
            )
            return (x * span + begin).astype(np.float16).reshape(sizes)
        begin, span = np.float32(low), np.float32(high) - np.float32(low)
        return fused(self.floats(n), span, begin).reshape(sizes)

    def normals(self, shape: Any, mean: float, std: float, dtype: Any, in_order: bool = True) -> np.ndarray:
        """Normal numbers: Box-Muller, in blocks of 16 from 16 numbers on, before that two at a time in float64.

        `in_order`: whether they are for a contiguous Tensor. If not, all are drawn two at a time.
        """
        sizes, kind = _sizes(shape), np.dtype(dtype)
        n = math.prod(sizes)
        if n < 16 or not in_order:
            drawn = np.array([self._one_normal(mean, std) for _ in range(n)], np.float64)
            return drawn.astype(kind).reshape(sizes)
        real = np.float64 if kind == np.float64 else np.float32
        u = self.doubles(n) if real == np.float64 else self.floats(n)
        out = np.empty(n, real)
        whole = n - n % 16
        out[:whole] = _boxes(u[:whole], mean, std)
        if n % 16:  # the last 16 once more, from new numbers
            last = self.doubles(16) if real == np.float64 else self.floats(16)
            out[-16:] = _boxes(last, mean, std)
        return out.astype(kind, copy=False).reshape(sizes)

    def _one_normal(self, mean: float, std: float) -> float:
        if self._next_normal is not None:
            ahead, self._next_normal = self._next_normal, None
            return ahead * std + mean
        u1, u2 = self.doubles(2).tolist()
        r, theta = math.sqrt(-2.0 * math.log1p(-u2)), 2.0 * math.pi * u1
        self._next_normal = r * math.sin(theta)
        return r * math.cos(theta) * std + mean

    def exponentials(self, shape: Any, rate: float, dtype: Any) -> np.ndarray:
        """Exponential numbers, -log(1 - u) / rate."""
        sizes = _sizes(shape)
        drawn = -np.log1p(-self.doubles(math.prod(sizes))) / rate
        return drawn.astype(dtype).reshape(sizes)

    # One number after the other, as each takes as many draws as it needs

    def _one_double(self) -> float:
        high, low = self.raw(2).tolist()
        return float(((high << 32 | low) & (1 << 53) - 1) * _SCALE64)

    def standard_gammas(self, concentration: np.ndarray) -> np.ndarray:
        """Numbers of the gamma distributions with these concentrations: Marsaglia and Tsang's rejection."""
        return _each(self._one_gamma, concentration)

    def _one_gamma(self, alpha: float) -> float:
        scale = 1.0
        if alpha < 1:
            if alpha == 0:
                return 0.0
            scale, alpha = (1 - self._one_double()) ** (1 / alpha), alpha + 1
        d = alpha - _THIRD
        c = 1 / math.sqrt(9 * d)
        while True:
            x = self._one_normal(0.0, 1.0)
            y = 1 + c * x
            if y <= 0:
                continue
            v, u = y**3, 1 - self._one_double()
            if u < 1 - _SQUEEZE * x**4 or math.log(u) < 0.5 * x * x + d * (1 - v + math.log(v)):
                return scale * d * v

    def poissons(self, rate: np.ndarray) -> np.ndarray:
        """Numbers of the Poisson distributions: products of uniform numbers below 10, Hoermann's rejection above."""
        return _each(self._one_poisson, rate)

    def _one_poisson(self, rate: float) -> float:
        if rate < 10:
            count, product, least = 0, 1.0, math.exp(-rate)
            while rate:
                product *= self._one_double()
                if product <= least:
                    break
                count += 1
            return count
        b = 0.931 + 2.53 * math.sqrt(rate)
        a = -0.059 + 0.02483 * b
        inverse_alpha, v_r = 1.1239 + 1.1328 / (b - 3.4), 0.9277 - 3.6224 / (b - 2)
        while True:
            u, v = self._one_double() - 0.5, self._one_double()
            us = 0.5 - abs(u)
            k = math.floor((2 * a / us + b) * u + rate + 0.43) if us else -1
            if us >= 0.07 and v <= v_r:
                return k
            if k < 0 or (us < 0.013 and v > us):
                continue
            bound = -rate + k * math.log(rate) - math.lgamma(k + 1)
            if not v or math.log(v) + math.log(inverse_alpha) - math.log(a / (us * us) + b) <= bound:
                return k

    def binomials(self, count: np.ndarray, prob: np.ndarray) -> np.ndarray:
        """Numbers of the binomial distributions: sums of geometric numbers where few are expected, else rejection."""
        pairs = np.broadcast(count, prob)
        kind = np.result_type(prob).type
        drawn = [self._one_binomial(float(n), kind(p), kind) for n, p in pairs]
        return np.array(drawn, np.float64).reshape(pairs.shape)

    def _one_binomial(self, count: float, prob: Any, kind: Any) -> float:
        if count <= 0 or prob <= 0:
            return 0.0
        if prob >= 1:
            return count
        if prob > 0.5:
            return count - self._one_binomial(count, kind(1) - prob, kind)
        if kind(count) * prob >= 10:
            return self._rejected_binomial(
                count, float(prob), float(np.sqrt(kind(count) * prob * (kind(1) - prob)))
            )
        found, total, scale = 0.0, 0.0, math.log1p(-float(prob))
        while True:
            u = self._one_double()
            total += math.ceil(math.log(u) / scale) if u else math.inf
            if total > count:
                return found
            found += 1

    def _rejected_binomial(self, n: float, p: float, spread: float) -> float:
        """Hoermann's transformed rejection, for n * p of at least 10 and p of at most 1/2."""
        b = 1.15 + 2.53 * spread
        a, c, v_r = -0.0873 + 0.0248 * b + 0.01 * p, n * p + 0.5, 0.92 - 4.2 / b
        r, alpha, m = p / (1 - p), (2.83 + 5.1 / b) * spread, math.floor((n + 1) * p)
        while True:
            u, v = self._one_double() - 0.5, self._one_double()
            us = 0.5 - abs(u)
            k = math.floor((2 * a / us + b) * u + c) if us else -1
            if k < 0 or k > n:
                continue
            if us >= 0.07 and v <= v_r:
                return k
            bound = (
                (m + 0.5) * math.log((m + 1) / (r * (n - m + 1)))
                + (n + 1) * math.log((n - m + 1) / (n - k + 1))
                + (k + 0.5) * math.log(r * (n - k + 1) / (k + 1))
                + (_stirling_tail(m) + _stirling_tail(n - m) - _stirling_tail(k) - _stirling_tail(n - k))
            )
            if not v or math.log(v * alpha / (a / (us * us) + b)) <= bound:
                return k

    def log_normals(self, shape: Any, mean: float, std: float, dtype: Any) -> np.ndarray:
        """exp of normal numbers that are drawn two at a time, in float64."""
        return _each(lambda _: math.exp(self._one_normal(mean, std)), np.zeros(_sizes(shape))).astype(dtype)

    def booleans(self, p: Any, shape: Any) -> np.ndarray:
        """True with the probability p: a number, or one for each element."""
        sizes = _sizes(shape)
        n = math.prod(sizes)
        if isinstance(p, np.ndarray):
            u = self.doubles(n) if p.dtype == np.float64 else self.floats(n)
            return np.asarray(u.reshape(sizes) < p)
        return np.asarray(self.doubles(n) < p).reshape(sizes)

    def randints(self, low: int, high: int, shape: Any) -> np.ndarray:
        """Integers in [low, high), the remainder of 32 bits, of 64 for wide ranges."""
        sizes = _sizes(shape)
        n, span = math.prod(sizes), high - low
        found = (self.raw64(n) if span >= 2**32 else self.raw(n)) % np.uint64(span)
        return (found.astype(np.int64) + low).reshape(sizes)

    def order(self, n: int) -> np.ndarray:
        """The numbers 0 to n - 1 in random order: from the front, each exchanged with one that is not before it."""
        found = list(range(n))
        if n > 1:
            ahead = self.raw(n - 1) % np.arange(n, 1, -1, dtype=np.uint64)
            for i, z in enumerate(ahead.tolist()):
                found[i], found[i + z] = found[i + z], found[i]
        return np.array(found, np.int64)

    # What the core's layers call

    def random(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return self.uniforms(() if size is None else size, 0.0, 1.0, dtype)

    def standard_normal(self, size: Any = None, dtype: Any = np.float64, out: Any = None) -> Any:
        return self.normals(() if size is None else size, 0.0, 1.0, dtype)

    def normal(self, loc: Any = 0.0, scale: Any = 1.0, size: Any = None) -> Any:
        return self.normals(() if size is None else size, loc, scale, np.float64)

    def uniform(self, low: Any = 0.0, high: Any = 1.0, size: Any = None) -> Any:
        return self.uniforms(() if size is None else size, low, high, np.float64)

    def permutation(self, x: Any, axis: int = 0) -> Any:
        return (
            self.order(int(x))
            if isinstance(x, (int, np.integer))
            else np.take(x, self.order(np.shape(x)[axis]), axis)
        )


def _each(draw: Any, parameter: Any) -> np.ndarray:
    """One draw for each element of an array, in order."""
    flat = np.array([draw(x) for x in np.asarray(parameter, np.float64).reshape(-1).tolist()], np.float64)
    return flat.reshape(np.shape(parameter))


def _stirling_tail(k: float) -> float:
    """log k! without Stirling's formula of k + 1."""
    if k < 10:
        return math.lgamma(k + 1) - (k + 0.5) * math.log(k + 1) + (k + 1) - 0.5 * math.log(2 * math.pi)
    square = (k + 1) ** 2
    return (1 / 12 - (1 / 360 - 1 / 1260 / square) / square) / (k + 1)


def _joined(numbers: np.ndarray) -> np.ndarray:
    """Pairs of 32 bits as numbers of 64, the first of a pair in front."""
    found: np.ndarray = (numbers[0::2] << np.uint64(32)) | numbers[1::2]
    return found


def _doubles(numbers: np.ndarray) -> np.ndarray:
    """Numbers of 64 bits as uniform ones in [0, 1), of which each takes 53 bits."""
    found: np.ndarray = (numbers & _BITS64) * _SCALE64
    return found


def _sizes(shape: Any) -> tuple[int, ...]:
    return (int(shape),) if isinstance(shape, (int, np.integer)) else tuple(int(n) for n in shape)


def _boxes(u: np.ndarray, mean: float, std: float) -> np.ndarray:
    """Blocks of 16 uniform numbers as normal ones: 8 radii from the first half, 8 angles from the second."""
    kind = u.dtype.type
    blocks = u.reshape(-1, 2, 8)
    first, angle = kind(1) - blocks[:, 0], kind(2 * math.pi) * blocks[:, 1]
    if kind is np.float64:
        radius, sine, cosine = np.sqrt(-2 * np.log(first)), np.sin(angle), np.cos(angle)
        return (np.stack([radius * cosine, radius * sine], 1) * std + mean).reshape(-1)
    radius, (sine, cosine) = np.sqrt(kind(-2) * _log(first)), _sine_and_cosine(angle)
    pairs = np.stack([radius * cosine, radius * sine], 1)
    return fused(pairs, np.float32(std), np.float32(mean)).reshape(-1)


# PyTorch's float32 kernels use the polynomials of the Cephes library, whose last bits differ from those of NumPy's
# functions, and fused multiply-adds.


def fused(a: Any, b: Any, c: Any) -> np.ndarray:
    """a * b + c of float32, rounded once: the product of two is exact in float64."""
    exact = np.asarray(a, np.float64) * np.asarray(b, np.float64) + np.asarray(c, np.float64)
    found: np.ndarray = exact.astype(np.float32)
    return found


_LOG = (
    7.0376836292e-2,
    -1.1514610310e-1,
    1.1676998740e-1,
    -1.2420140846e-1,
    1.4249322787e-1,
    -1.6668057665e-1,
    2.0000714765e-1,
    -2.4999993993e-1,
    3.3333331174e-1,
)
_COSINE = (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
_SINE = (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1)
# pi / 4 in three parts, so that the remainder of an angle keeps its bits
_EIGHTH = (0.78515625, 2.4187564849853515625e-4, 3.77489497744594108e-8)


def _polynomial(coefficients: tuple[float, ...], x: np.ndarray) -> np.ndarray:
    y = np.full_like(x, np.float32(coefficients[0]))
    for c in coefficients[1:]:
        y = fused(y, x, np.float32(c))
    return y


def _log(x: np.ndarray) -> np.ndarray:
    """The logarithm of float32 numbers above 0 by Cephes' polynomial."""
    f = np.float32
    x = np.maximum(x, f(1.17549435e-38))
    mantissa, exponent = np.frexp(x)
    low = mantissa < f(math.sqrt(0.5))
    e = exponent.astype(f) - low
    x = np.where(low, mantissa + mantissa, mantissa).astype(f) - f(1)
    z = x * x
    y = fused(_polynomial(_LOG, x) * x, z, e * f(-2.12194440e-4))
    return fused(e, f(0.693359375), x + fused(z, f(-0.5), y))


def _sine_and_cosine(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sine and cosine of float32 angles of at least 0 by Cephes' polynomials, for the nearest multiple of pi / 4."""
    f = np.float32
    octant = ((x * f(4 / math.pi)).astype(np.int32) + 1) & ~1
    for part in _EIGHTH:
        x = fused(octant.astype(f), f(-part), x)
    z = x * x
    c = fused(_polynomial(_COSINE, z) * z, z, z * f(-0.5)) + f(1)
    s = fused(_polynomial(_SINE, z) * z, x, x)
    even = (octant & 2) == 0
    sine, cosine = np.where(even, s, c), np.where(even, c, s)
    return np.where(octant & 4, -sine, sine), np.where((octant - 2) & 4, cosine, -cosine)


default_generator: Any = Generator()


def _default() -> Any:
    return default_generator


def _restored(state: dict[str, Any]) -> Generator:
    made = Generator()
    made.set_state_dict(state)
    return made


class DropoutDraws(np.random.Generator):
    """What the core's dropout draws, where it keeps an element if the draw is at least p: PyTorch keeps it if its
    number of 53 bits is below 1 - p.

    It draws from the default generator's bits, so that a compiled step, which repeats the draw, can set them back.
    """

    def __init__(self) -> None:
        super().__init__(default_generator.bit_generator)

    def __reduce__(self) -> Any:
        return _dropout_draws, ()

    def __deepcopy__(self, memo: dict[int, Any]) -> DropoutDraws:
        return self

    def random(self, size: Any = None, dtype: Any = None, out: Any = None) -> Any:
        sizes = _sizes(() if size is None else size)
        return 1.0 - _doubles(_joined(self.bit_generator.random_raw(2 * math.prod(sizes)))).reshape(sizes)


dropout_draws = DropoutDraws()


def _dropout_draws() -> DropoutDraws:
    return dropout_draws


def generator_of(given: Any) -> Generator:
    """The generator given, or the default one."""
    if modes.levels:
        for level in modes.levels:
            if level.visible and level.randomness != "same":
                raise RuntimeError(
                    "vmap: called random operation while in randomness error mode. Please either use the 'same' or "
                    "'different' randomness flags on vmap or perform the randomness operation out of vmap"
                    if level.randomness == "error"
                    else "vmap: this random operation does not draw differently for each example. Draw before vmap."
                )
    found: Generator = default_generator if given is None else given
    if not isinstance(found, Generator):
        raise DTypeError(f"generator: expected a torch.Generator, got {type(given).__name__}")
    return found


def memory_order(x: Any) -> tuple[int, ...] | None:
    """The axes as they follow each other in memory, where that is another order: the one in which PyTorch draws."""
    if x.level is not None or x.ndim < 2 or x._data.flags.c_contiguous or 0 in x._data.strides:
        return None
    axes = tuple(sorted(range(x.ndim), key=lambda axis: -x._data.strides[axis]))
    return None if axes == tuple(range(x.ndim)) else axes


def drawn_as(x: Any, draw: Callable[[tuple[int, ...]], np.ndarray]) -> np.ndarray:
    """An array of x's shape: what is drawn for a shape, in the order of x's memory."""
    axes = memory_order(x)
    if axes is None:
        return draw(tuple(x.shape))
    return draw(tuple(x.shape[a] for a in axes)).transpose(np.argsort(axes).tolist())


def drawing(f: F) -> F:
    """A function that draws: inside of func.vmap with randomness="different", it is called for each example."""

    @wraps(f)
    def call(*args: Any, **kwargs: Any) -> Any:
        mapped = [level for level in modes.levels if level.visible] if modes.levels else ()
        if not mapped:
            return f(*args, **kwargs)
        if mapped[-1].randomness != "different":
            generator_of(None)  # raises where nothing may be drawn
            try:
                return f(*args, **kwargs)
            except UnreadError:
                raise RuntimeError(
                    "Vmap does not currently support same randomness with a batched tensor input. "
                    "Please use different randomness with vmap"
                ) from None
        level, lifted = mapped[-1], any(is_ours(x) for x in args)

        def one(*given: Any, **named: Any) -> Any:
            nonlocal lifted
            before, modes.levels = modes.levels, tuple(x for x in modes.levels if x is not level)
            try:
                result = call(*(map(lift, given) if lifted else given), **named)
            finally:
                modes.levels = before
            lifted = lifted or is_ours(result)
            return lower(result)

        one.__name__ = f.__name__
        results = level.each(one, tuple(lower(x) if is_ours(x) else x for x in args), kwargs)
        return lift(results) if lifted else results

    return call  # type: ignore[return-value]


def manual_seed(seed: int) -> Generator:
    """Seed the default generator: what is drawn next are PyTorch's numbers for this seed."""
    return generator_of(None).manual_seed(seed)


def seed() -> int:
    """Seed the default generator with a number that differs from call to call; returns it."""
    return generator_of(None).seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return generator_of(None).initial_seed()


@contextmanager
def fork_rng(devices: Any = (), enabled: bool = True, **kwargs: Any) -> Any:
    """Set the default generator back at the end of the block."""
    state = default_generator.get_state_dict()
    try:
        yield
    finally:
        if enabled:
            default_generator.set_state_dict(state)
