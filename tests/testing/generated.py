"""Random hand-written networks and layers, correct or with one planted mistake: what the doctor is measured on.

python -m tests.testing.generated [--cases N] [--seed S]   prints the tables of false alarms and of named mistakes.
`draw(seed)` gives correct code, `draw(seed, planted=True)` code with a mistake that changes its gradients.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from tinygrad_dl.testing import check_backward

Rng = np.random.Generator


class Case(NamedTuple):
    """What to pass to check_backward, the mistake planted in it, and the inputs whose gradients may be wrong."""

    family: str
    arguments: tuple[Any, ...]
    mistake: str
    about: str


def pick(rng: Rng, *options: Any) -> Any:
    return options[int(rng.integers(len(options)))]


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def leaky(z):
    return np.where(z > 0, z, 0.01 * z)


ACTIVATIONS = {
    "tanh": (np.tanh, lambda z, a: 1 - a**2),
    "sigmoid": (sigmoid, lambda z, a: a * (1 - a)),
    "relu": (lambda z: np.maximum(0, z), lambda z, a: z > 0),
    "leaky": (leaky, lambda z, a: np.where(z > 0, 1, 0.01)),
}
# Mistaken derivatives of each activation.
MISTAKEN = {
    "tanh": {
        "sigmoid for tanh": lambda z, a: a * (1 - a),
        "relu for tanh": lambda z, a: a > 0,
        "derivative at z": lambda z, a: 1 - z**2,
        "forgotten square": lambda z, a: 1 - a,
        "square alone": lambda z, a: a**2,
        "activation derivative": lambda z, a: 1.0,
    },
    "sigmoid": {
        "tanh for sigmoid": lambda z, a: 1 - a**2,
        "relu for sigmoid": lambda z, a: a > 0.5,
        "derivative at z": lambda z, a: z * (1 - z),
        "forgotten factor": lambda z, a: 1 - a,
        "factor alone": lambda z, a: a,
        "activation derivative": lambda z, a: 1.0,
    },
    "relu": {
        "tanh for relu": lambda z, a: 1 - a**2,
        "wrong way round": lambda z, a: z < 0,
        "value for derivative": lambda z, a: a,
        "activation derivative": lambda z, a: 1.0,
    },
    "leaky": {
        "relu for leaky": lambda z, a: z > 0,
        "activation derivative": lambda z, a: 1.0,
    },
}


def dense(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """An L-layer network as the Deep Learning Specialization writes it."""
    depth = int(rng.integers(1, 5))
    m = int(rng.integers(3, 9))  # of 2, a missing 1/m is a factor of 2
    sizes = [int(rng.integers(2, 6)) for _ in range(depth)]
    loss = pick(rng, "bce", "softmax", "mse")
    sizes.append(1 if loss == "bce" else int(rng.integers(2, 4)))
    activation = pick(rng, *ACTIVATIONS)
    init = pick(rng, "0.01", "he", "xavier", "normal")
    zero_bias = rng.random() < 0.6
    lambd = float(pick(rng, 0.0, 0.0, 0.1, 0.7))
    keep = float(pick(rng, 1.0, 1.0, 0.5, 0.8))
    style = pick(rng, "cache", "cache", "parameters", "arrays")
    single = rng.random() < 0.2
    X = rng.standard_normal((sizes[0], m)).astype("f4" if single else "f8")
    if loss == "bce":
        Y = (rng.random((1, m)) > 0.5).astype(X.dtype)
    elif loss == "softmax":
        Y = np.eye(sizes[-1], dtype=X.dtype)[rng.integers(sizes[-1], size=m)].T
    else:
        Y = rng.standard_normal((sizes[-1], m)).astype(X.dtype)
    p = {}
    layers = range(1, depth + 1)
    for k in layers:
        scale = {
            "0.01": 0.01,
            "he": np.sqrt(2 / sizes[k - 1]),
            "xavier": sizes[k - 1] ** -0.5,
            "normal": 1.0,
        }[init]
        p[f"W{k}"] = rng.standard_normal((sizes[k], sizes[k - 1])) * scale
        p[f"b{k}"] = np.zeros((sizes[k], 1)) if zero_bias else rng.standard_normal((sizes[k], 1)) * 0.3
    masks = {k: rng.random((sizes[k], m)) < keep for k in range(1, depth)}
    act, slope = ACTIVATIONS[activation]
    wrong = MISTAKEN[activation].get(mistake)
    stale: dict[str, Any] = {}
    at = int(rng.integers(1, depth + 1))

    def run(p):
        A, caches = X, []
        for k in layers:
            Z = p[f"W{k}"] @ A + p[f"b{k}"]
            D = None
            if k < depth:
                out = raw = act(Z)
                if keep < 1:
                    D = masks[k]
                    out = raw * D / keep
            elif loss == "bce":
                out = raw = sigmoid(Z)
            elif loss == "softmax":
                e = np.exp(Z - Z.max(axis=0, keepdims=True))
                out = raw = e / e.sum(axis=0, keepdims=True)
            else:
                out = raw = Z
            caches.append((A, p[f"W{k}"], Z, raw, D))
            A = out
        if loss == "bce":
            cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
        elif loss == "softmax":
            cost = -np.sum(Y * np.log(A)) / m
        else:
            cost = np.sum((A - Y) ** 2) / (2 * m)
        if lambd:
            cost = cost + lambd / (2 * m) * sum(np.sum(np.square(p[f"W{k}"])) for k in layers)
        if mistake == "stale cache":
            return cost, stale.setdefault("cache", (A, caches))
        return cost, (A, caches)

    def back(cache):
        AL, caches = cache
        n = 1 if mistake == "missing 1/m" else m
        g = {}
        dZ = AL - Y
        if mistake == "sign":
            dZ = Y - AL
        if mistake == "factor 2":
            dZ = 2 * dZ
        if mistake == "output derivative":
            dZ = -(Y / AL) + (1 - Y) / (1 - AL)
        for k in reversed(layers):
            A_prev, W, Z, A, D = caches[k - 1]
            if k < depth:
                dA = dZ
                if keep < 1:
                    if mistake != "dropout mask":
                        dA = dA * D
                    if mistake != "dropout scale":
                        dA = dA / keep
                dZ = dA * (wrong or slope)(Z, A)
            dW = dZ @ A_prev.T / n
            db = np.sum(dZ, axis=1, keepdims=True) / n
            if k == at:
                if mistake == "1/m missing in one":
                    dW = dW * m
                if mistake == "extra 1/m":
                    db = db / m
                if mistake == "transpose":
                    dW = dW.T
                if mistake == "missing sum":
                    db = dZ / n
                if mistake == "wrong axis":
                    db = np.sum(dZ, axis=0, keepdims=True) / n
                if mistake == "sum over everything":
                    db = np.sum(dZ) / n * np.ones_like(db)
                if mistake == "keepdims":
                    db = np.sum(dZ, axis=1) / n
                if mistake == "mean for sum":
                    db = np.mean(dZ, axis=1, keepdims=True)
                    db = db / n
                if mistake == "X for A":
                    dW = dZ @ X.T / n
                if mistake == "sign in one":
                    dW = -dW
                if mistake == "zero gradient":
                    db = np.zeros_like(db)
            if lambd and mistake != "L2 term":
                dW = dW + (lambd if mistake == "L2 scale" else lambd / m) * W
            g[f"dW{k}"], g[f"db{k}"] = dW, db
            if mistake == "untransposed weights" and k == max(at, 2):
                W = W.T
            dZ = W.T @ dZ
        if mistake == "layers swapped":
            g[f"db{at}"], g[f"db{at - 1}"] = g[f"db{at - 1}"], g[f"db{at}"]
        if mistake == "missing gradient":
            del g[f"db{at}"]
        return g

    if mistake:
        sums = loss != "softmax" or at < depth  # the gradients of logits add up to 0
        fits = {
            "dropout mask": keep < 1 and depth > 1, "dropout scale": keep < 1 and depth > 1,
            "L2 term": lambd, "L2 scale": lambd, "stale cache": style == "cache",
            "output derivative": loss == "bce", "X for A": at > 1 and sizes[at - 1] == sizes[0],
            "untransposed weights": depth > 1 and sizes[max(at, 2) - 1] == sizes[max(at, 2)],
            "layers swapped": at > 1 and sizes[at] == sizes[at - 1],
            # Of one row, a sum over the wrong axis is none.
            "wrong axis": sizes[at] > 1 and sums, "sum over everything": sizes[at] > 1 and sums,
            "transpose": (sizes[at] > 1 or sizes[at - 1] > 1) and (not lambd or sizes[at] == sizes[at - 1]),
        }.get(mistake, depth > 1 if wrong else True)  # fmt: skip
        if not fits:
            raise NotApplicable
    if style == "cache":
        arguments: tuple[Any, ...] = (run, back, p)
    elif style == "parameters":
        arguments = (lambda p: run(p)[0], lambda p: back(run(p)[1]), p)
    else:
        names = list(p)

        def forward(*arrays):
            return run(dict(zip(names, arrays)))

        def backward(cache):
            g = back(cache)
            return tuple(g.get(f"d{n}") for n in names)

        if mistake in ("missing gradient", "stale cache"):
            raise NotApplicable
        arguments = (forward, backward, list(p.values()))
    about = (
        f"{sizes} m={m} {activation} {loss} {init} lambda={lambd} keep={keep} {style} at={at} f32={single}"
    )
    return arguments, about


class NotApplicable(Exception):
    """The mistake cannot be made in what was drawn."""


def batch_norm(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """Batch or layer normalization as a function of x, gamma and beta."""
    m, n = int(rng.integers(3, 8)), int(rng.integers(2, 5))
    axis = 0 if mistake in ("beta not summed",) else pick(rng, 0, 0, 1)
    x = rng.standard_normal((m, n)) * pick(rng, 0.5, 1.0, 3.0) + rng.standard_normal()
    gamma = rng.uniform(0.5, 1.5, n) if rng.random() < 0.7 else np.ones(n)
    beta = rng.standard_normal(n) if rng.random() < 0.7 else np.zeros(n)
    eps = pick(rng, 1e-8, 1e-5)
    if axis == 1 and n < 3:
        raise NotApplicable
    if mistake in ("gamma forgotten", "dgamma without hat") and np.all(gamma == 1):
        raise NotApplicable

    def forward(x, gamma, beta):
        mu = x.mean(axis=axis, keepdims=True)
        c = x - mu
        var = (c**2).mean(axis=axis, keepdims=True)
        std = np.sqrt(var + eps)
        hat = c / std
        return gamma * hat + beta, (hat, std, gamma)

    def backward(g, cache):
        hat, std, gamma = cache
        dbeta, dgamma = g.sum(axis=0), (g * hat).sum(axis=0)
        if mistake == "dgamma without hat":
            dgamma = g.sum(axis=0)
        if mistake == "dgamma not summed":
            dgamma = g * hat
        if mistake == "beta not summed":
            dbeta = g
        if mistake == "beta mean":
            dbeta = g.mean(axis=0)
        d = g if mistake == "gamma forgotten" else g * gamma
        mean = lambda v: v.mean(axis=axis, keepdims=True)  # noqa: E731
        dx = (d - mean(d) - hat * mean(d * hat)) / std
        if mistake == "mean as a constant":
            dx = (d - hat * mean(d * hat)) / std
        if mistake == "variance as a constant":
            dx = (d - mean(d)) / std
        if mistake == "both as constants":
            dx = d / std
        if mistake == "sums for means":
            dx = dx * x.shape[axis]
        return dx, dgamma, dbeta

    return (forward, backward, [x, gamma, beta]), f"({m}, {n}) axis={axis} eps={eps}"


def softmax(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """A softmax layer, as a function of its logits."""
    m, n = int(rng.integers(2, 6)), int(rng.integers(2, 5))
    x = rng.standard_normal((m, n)) * pick(rng, 0.1, 1.0, 4.0)

    def forward(x):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        a = e / e.sum(axis=1, keepdims=True)
        return a, a

    def backward(g, a):
        if mistake == "elementwise derivative":
            return g * a * (1 - a)
        if mistake == "sum not subtracted":
            return g * a
        if mistake == "sum over the wrong axis":
            return a * (g - (g * a).sum(axis=0, keepdims=True))
        return a * (g - (g * a).sum(axis=1, keepdims=True))

    return (forward, backward, x), f"({m}, {n})"


def convolution(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """A convolution by loops, as in the course."""
    m, size, c, out, f = (int(rng.integers(1, 3)), int(rng.integers(4, 6)), int(rng.integers(1, 3)), 2, 2)
    stride, pad = int(rng.integers(1, 3)), int(rng.integers(0, 2))
    x, W = rng.standard_normal((m, size, size, c)), rng.standard_normal((f, f, c, out)) * 0.5
    b = rng.standard_normal((1, 1, 1, out)) if rng.random() < 0.5 else np.zeros((1, 1, 1, out))
    n = (size - f + 2 * pad) // stride + 1
    if mistake == "stride forgotten" and stride == 1 or mistake == "padding not cut" and not pad:
        raise NotApplicable

    def forward(A_prev, W, b):
        padded = np.pad(A_prev, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        Z = np.zeros((m, n, n, out))
        for i in range(m):
            for h in range(n):
                for w in range(n):
                    for k in range(out):
                        part = padded[i, h * stride : h * stride + f, w * stride : w * stride + f, :]
                        Z[i, h, w, k] = np.sum(part * W[:, :, :, k]) + float(b[0, 0, 0, k])
        return Z, (A_prev, W, b)

    def backward(dZ, cache):
        A_prev, W, b = cache
        dW, db = np.zeros(W.shape), np.zeros(b.shape)
        padded = np.pad(A_prev, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        dpad = np.zeros(padded.shape)
        step = 1 if mistake == "stride forgotten" else stride
        for i in range(m):
            for h in range(n):
                for w in range(n):
                    for k in range(out):
                        hs, ws = slice(h * step, h * step + f), slice(w * step, w * step + f)
                        if mistake == "dA overwritten":
                            dpad[i, hs, ws, :] = W[:, :, :, k] * dZ[i, h, w, k]
                        else:
                            dpad[i, hs, ws, :] += W[:, :, :, k] * dZ[i, h, w, k]
                        if mistake == "dW overwritten":
                            dW[:, :, :, k] = padded[i, hs, ws, :] * dZ[i, h, w, k]
                        else:
                            dW[:, :, :, k] += padded[i, hs, ws, :] * dZ[i, h, w, k]
                        if mistake == "db overwritten":
                            db[:, :, :, k] = dZ[i, h, w, k]
                        else:
                            db[:, :, :, k] += dZ[i, h, w, k]
        dA = dpad[:, pad : pad + size, pad : pad + size, :]
        if mistake == "padding not cut":
            dA = dpad
        if mistake == "db a mean":
            db = db / (m * n * n)
        if mistake == "dW divided by m":
            dW = dW / (m * n * n)
        if mistake == "sign":
            dA, dW, db = -dA, -dW, -db
        return dA, dW, db

    return (forward, backward, [x, W, b]), f"m={m} {size} c={c} stride={stride} pad={pad}"


def pooling(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """Pooling by loops; ReLU before it makes ties."""
    m, size, c, f = int(rng.integers(1, 3)), 4, int(rng.integers(1, 3)), 2
    mode = (
        "max"
        if mistake.startswith("max")
        else "average"
        if mistake.startswith("average")
        else pick(rng, "max", "average")
    )
    x = rng.standard_normal((m, size, size, c))
    if rng.random() < 0.5 and not mistake:
        x = np.maximum(x, 0)
    n = size // f

    def forward(A):
        Z = np.zeros((m, n, n, c))
        for i, h, w, k in np.ndindex(Z.shape):
            part = A[i, h * f : h * f + f, w * f : w * f + f, k]
            Z[i, h, w, k] = part.max() if mode == "max" else part.mean()
        return Z, A

    def backward(dZ, A):
        dA = np.zeros_like(A)
        for i, h, w, k in np.ndindex(dZ.shape):
            at = (i, slice(h * f, h * f + f), slice(w * f, w * f + f), k)
            part = A[at]
            if mode == "max":
                mask = part == part.max()
                if mask.sum() > 1:  # the first one
                    mask = np.arange(f * f).reshape(f, f) == np.argmax(part)
                if mistake == "max: no mask":
                    mask = np.ones_like(part)
                if mistake == "max: shared":
                    mask = mask / (f * f)
                dA[at] += mask * dZ[i, h, w, k]
            else:
                dA[at] += (
                    dZ[i, h, w, k] * np.ones((f, f)) / (1 if mistake == "average: not divided" else f * f)
                )
        return dA

    return (forward, backward, x), f"m={m} c={c} {mode}"


def recurrent(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """A recurrent network through time, with a cost."""
    T, m, n_x, n_a = (
        int(rng.integers(2, 5)),
        int(pick(rng, 1, 3, 4)),
        int(rng.integers(2, 4)),
        int(rng.integers(2, 5)),
    )
    x, y = rng.standard_normal((T, n_x, m)), rng.standard_normal((T, n_a, m))
    s = pick(rng, 0.1, 0.5, 1.0)
    p = {
        "Wax": rng.standard_normal((n_a, n_x)) * s,
        "Waa": rng.standard_normal((n_a, n_a)) * s,
        "ba": rng.standard_normal((n_a, 1)) * s,
    }

    def forward(p):
        a, states, cost = np.zeros((n_a, m)), [], 0.0
        for t in range(T):
            before = a
            a = np.tanh(p["Wax"] @ x[t] + p["Waa"] @ before + p["ba"])
            states.append((before, a))
            cost = cost + 0.5 * np.sum((a - y[t]) ** 2) / m
        return cost, (states, p)

    def backward(cache):
        states, p = cache
        g = {f"d{k}": np.zeros_like(v) for k, v in p.items()}
        da_next = np.zeros((n_a, m))
        for t in reversed(range(T)):
            before, a = states[t]
            da = (a - y[t]) / (1 if mistake == "missing 1/m" else m)
            if mistake != "no gradient through time":
                da = da + da_next
            dz = da * (1 - a**2)
            if mistake == "activation derivative":
                dz = da
            if mistake == "forgotten square":
                dz = da * (1 - a)
            if mistake == "overwritten":
                g["dWax"], g["dWaa"] = dz @ x[t].T, dz @ before.T
            else:
                g["dWax"] += dz @ x[t].T
                g["dWaa"] += dz @ before.T
            if mistake == "bias overwritten":
                g["dba"] = dz.sum(axis=1, keepdims=True)
            else:
                g["dba"] += dz.sum(axis=1, keepdims=True)
            da_next = (p["Waa"] if mistake == "untransposed weights" else p["Waa"].T) @ dz
        if mistake == "sign":
            g = {k: -v for k, v in g.items()}
        if mistake == "missing gradient":
            del g["dba"]
        return g

    if mistake == "missing 1/m" and m == 1:
        raise NotApplicable
    return (forward, backward, p), f"T={T} m={m} {n_x} {n_a} scale={s}"


class Affine:
    """The fully connected layer of Deep Learning from Scratch."""

    def __init__(self, W, b, mistake=""):
        self.params, self.grads = [W, b], [np.zeros_like(W), np.zeros_like(b)]
        self.mistake = mistake

    def forward(self, x):
        W, b = self.params
        self.x = x
        return x @ W + b

    def backward(self, dout):
        W, b = self.params
        dW, db = self.x.T @ dout, dout.sum(axis=0)
        if self.mistake == "mean for sum":
            db = dout.mean(axis=0)
        if self.mistake == "sign in one":
            dW = -dW
        if self.mistake == "transpose":
            dW = dW.T
        if self.mistake == "missing sum":
            db = dout
        self.grads[0], self.grads[1] = dW, db
        return dout @ W.T


class Activation:
    """A layer that caches what backward needs, and writes into the gradient as the book's ReLU does."""

    def __init__(self, name, mistake=""):
        self.name, self.mistake = name, mistake

    def forward(self, x):
        self.x, self.out = x, ACTIVATIONS[self.name][0](x)
        return self.out

    def backward(self, dout):
        if self.name == "relu" and not self.mistake:
            dout[self.x <= 0] = 0
            return dout
        slope = MISTAKEN[self.name].get(self.mistake, ACTIVATIONS[self.name][1])
        return dout * slope(self.x, self.out)


class SoftmaxWithLoss:
    """Softmax and cross-entropy; the loss layer of the book."""

    def __init__(self, mistake=""):
        self.mistake = mistake

    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.t, self.y = t, e / e.sum(axis=1, keepdims=True)
        return -np.sum(np.log(self.y[np.arange(len(x)), t])) / len(x)

    def backward(self, dout=1):
        d = self.y.copy()
        if self.mistake != "label not subtracted":
            d[np.arange(len(d)), self.t] -= 1
        return dout * d / (1 if self.mistake == "missing 1/m" else len(d))


class Network:
    """A network of layers with a loss, as in the book: params, loss and gradient."""

    def __init__(self, layers, last):
        self.layers, self.last = layers, last
        self.params, self.grads = {}, {}
        affine = [layer for layer in layers if isinstance(layer, Affine)]
        for k, layer in enumerate(affine, 1):
            self.params[f"W{k}"], self.params[f"b{k}"] = layer.params
        self.affine = affine

    def loss(self, x, t):
        for layer in self.layers:
            x = layer.forward(x)
        return self.last.forward(x, t)

    def gradient(self, x, t):
        self.loss(x, t)
        dout = self.last.backward(1)
        for layer in reversed(self.layers):
            dout = layer.backward(dout)
        grads = {}
        for k, layer in enumerate(self.affine, 1):
            grads[f"W{k}"], grads[f"b{k}"] = layer.grads
        return grads


def classes(rng: Rng, mistake: str = "", corrected: bool = False) -> tuple[Any, ...]:
    """Layer classes, alone, in a list, or in a network; `corrected`: what the mistake is planted in, without it."""
    m, a, b, c = (int(v) for v in rng.integers(2, 6, size=4))
    m += 1
    name = pick(rng, *ACTIVATIONS)
    if mistake in ("label not subtracted", "missing 1/m"):
        form = "network"
    elif mistake in MISTAKEN[name]:
        form = pick(rng, "layer", "list", "network")
    elif mistake:
        form = pick(rng, "affine", "list", "network")
    else:
        form = pick(rng, "layer", "affine", "list", "network", "loss")
    in_affine = mistake in ("mean for sum", "sign in one", "transpose", "missing sum")
    if (
        mistake
        and not in_affine
        and mistake not in MISTAKEN[name]
        and mistake not in ("label not subtracted", "missing 1/m")
    ):
        raise NotApplicable
    if corrected:
        mistake = ""
    x, t = rng.standard_normal((m, a)), rng.integers(c, size=m)
    scale = pick(rng, 0.01, 0.5, 1.0)

    def affine(i, o, mistake=""):
        bias = np.zeros(o) if rng.random() < 0.6 else rng.standard_normal(o)
        return Affine(rng.standard_normal((i, o)) * scale, bias, mistake)

    layers = [affine(a, b, mistake if in_affine else ""), Activation(name, mistake), affine(b, c)]
    about = f"{form} ({m}, {a}, {b}, {c}) {name} scale={scale}"
    if form == "layer":
        return (Activation(name, mistake), x), about
    if form == "affine":
        return (layers[0], x), about
    if form == "list":
        return (layers, x), about
    if form == "loss":
        loss = SoftmaxWithLoss()
        return (loss, [rng.standard_normal((m, c)), t]), about
    return (Network(layers, SoftmaxWithLoss(mistake)), [x, t]), about


def logistic(rng: Rng, mistake: str = "") -> tuple[Any, ...]:
    """Logistic regression by a loop over examples."""
    n, m = int(rng.integers(2, 5)), int(rng.integers(3, 7))
    X, Y = rng.standard_normal((n, m)), (rng.random(m) > 0.5) * 1.0
    w, b = (
        rng.standard_normal(n) * pick(rng, 0.0, 0.01, 1.0),
        np.array(rng.standard_normal() * pick(rng, 0, 1)),
    )

    def forward(p):
        cost = 0
        for i in range(m):
            a = sigmoid(np.dot(p["w"], X[:, i]) + p["b"])
            cost = cost - (Y[i] * np.log(a) + (1 - Y[i]) * np.log(1 - a))
        return cost / m

    def backward(p):
        dw, db = np.zeros(n), 0.0
        for i in range(m):
            dz = sigmoid(np.dot(p["w"], X[:, i]) + p["b"]) - Y[i]
            if mistake == "sign":
                dz = -dz
            if mistake == "factor 2":
                dz = 2 * dz
            dw = X[:, i] * dz if mistake == "overwritten" else dw + X[:, i] * dz
            db = db + dz
        k = 1 if mistake == "missing 1/m" else m
        return {"dw": dw / k, "db": db / k if mistake != "1/m missing in one" else db}

    return (forward, backward, {"w": w, "b": b}), f"{n} {m}"


Family = Callable[..., tuple[Any, ...]]
ACTIVATION = {"wrong activation", "activation derivative"}
# Family -> mistake -> the names that are right.
FAMILIES: dict[Family, dict[str, set[str]]] = {
    dense: {
        "missing 1/m": {"missing 1/m"},
        "sign": {"sign"},
        "factor 2": {"factor 2"},
        "output derivative": {"activation derivative"},
        "1/m missing in one": {"missing 1/m"},
        "extra 1/m": {"extra 1/m"},
        "transpose": {"transpose"},
        "missing sum": {"missing sum"},
        "wrong axis": {"wrong axis"},
        "sum over everything": {"wrong axis"},
        "keepdims": {"shape"},
        "mean for sum": {"mean for sum", "extra 1/m"},
        "X for A": {"wrong layer"},
        "sign in one": {"sign"},
        "zero gradient": {"zero gradient"},
        "L2 term": {"L2 term"},
        "L2 scale": {"L2 term"},
        "dropout mask": {"dropout mask"},
        "dropout scale": {"dropout not scaled"},
        "untransposed weights": {"transpose"},
        "layers swapped": {"wrong layer"},
        "missing gradient": {"missing gradient"},
        "stale cache": {"stale cache"},
        **{name: {"wrong activation"} for of in MISTAKEN.values() for name in of},
        "activation derivative": {"activation derivative"},
    },
    batch_norm: {
        "dgamma without hat": {"wrong layer", "missing factor"},
        "dgamma not summed": {"missing sum"},
        "beta not summed": {"missing sum"},
        "beta mean": {"mean for sum", "extra 1/m"},
        "gamma forgotten": {"missing factor"},
        "mean as a constant": {"missing path"},
        "variance as a constant": {"missing path"},
        "both as constants": {"missing path"},
        "sums for means": {"missing 1/m"},
    },
    softmax: {
        "elementwise derivative": {"wrong activation", "missing path"},
        "sum not subtracted": {"missing path"},
        "sum over the wrong axis": {"wrong axis"},
    },
    convolution: {
        "dA overwritten": {"overwritten"},
        "dW overwritten": {"overwritten"},
        "db overwritten": {"overwritten"},
        "stride forgotten": {"wrong positions"},
        "padding not cut": {"padding not cut"},
        "db a mean": {"mean for sum", "extra 1/m"},
        "dW divided by m": {"mean for sum", "extra 1/m"},
        "sign": {"sign"},
    },
    pooling: {
        "max: no mask": {"missing mask"},
        "max: shared": {"extra 1/m", "mean for sum"},
        "average: not divided": {"missing 1/m"},
    },
    recurrent: {
        "missing 1/m": {"missing 1/m"},
        "no gradient through time": {"missing path"},
        "activation derivative": {"activation derivative"},
        "forgotten square": {"wrong activation"},
        "overwritten": {"overwritten"},
        "bias overwritten": {"overwritten"},
        "untransposed weights": {"transpose"},
        "sign": {"sign"},
        "missing gradient": {"missing gradient"},
    },
    classes: {
        "mean for sum": {"mean for sum", "extra 1/m"},
        "sign in one": {"sign"},
        "transpose": {"transpose"},
        "missing sum": {"missing sum"},
        "label not subtracted": {"missing path", "missing term"},
        "missing 1/m": {"missing 1/m"},
        **{name: {"wrong activation"} for of in MISTAKEN.values() for name in of},
        "activation derivative": {"activation derivative"},
    },
    logistic: {
        "missing 1/m": {"missing 1/m"},
        "1/m missing in one": {"missing 1/m"},
        "sign": {"sign"},
        "factor 2": {"factor 2"},
        "overwritten": {"overwritten"},
    },
}
WEIGHTS = {
    dense: 4,
    batch_norm: 1,
    softmax: 1,
    convolution: 0.3,
    pooling: 0.3,
    recurrent: 1,
    classes: 2,
    logistic: 0.5,
}


def draw(seed: int, planted: bool = False) -> Case:
    """Draw correct code, or code with a mistake; what is drawn depends on the seed alone."""
    rng = np.random.default_rng([26, seed, planted])
    weights = np.array([WEIGHTS[f] for f in FAMILIES]) / sum(WEIGHTS.values())
    while True:
        family = list(FAMILIES)[int(rng.choice(len(FAMILIES), p=weights))]
        mistake = pick(rng, *FAMILIES[family]) if planted else ""
        inner = int(rng.integers(2**32))
        try:
            arguments, about = family(np.random.default_rng(inner), mistake)
        except NotApplicable:
            continue
        if planted and not _shows(family, inner, mistake):
            continue
        return Case(family.__name__, arguments, mistake, about)


def _shows(family: Family, inner: int, mistake: str) -> bool:
    """Whether the mistake changes a gradient: a forgotten mask of ones does not."""
    try:
        # Which form the layers have depends on the mistake.
        as_planted = (mistake, True) if family is classes else ("",)
        right, _ = family(np.random.default_rng(inner), *as_planted)
    except NotApplicable:
        return True
    wrong, _ = family(np.random.default_rng(inner), mistake)
    try:
        a, b = gradients_of(right), gradients_of(wrong)
    except Exception:
        return True
    if len(a) != len(b) or any(x.shape != y.shape for x, y in zip(a, b)):
        return mistake != "stale cache" or True
    if mistake == "stale cache":
        return True
    return any(np.linalg.norm(x - y) > 1e-3 * np.linalg.norm(x) + 1e-30 for x, y in zip(a, b))


def gradients_of(arguments: tuple[Any, ...]) -> list[np.ndarray]:
    """The gradients that the code gives, in a fixed order."""
    if len(arguments) == 2:
        subject, inputs = arguments
        xs = inputs if isinstance(inputs, list) else [inputs]
        if hasattr(subject, "gradient"):
            return [np.asarray(v) for v in subject.gradient(*xs).values()]
        layers = subject if isinstance(subject, list) else [subject]
        out = xs
        for layer in layers:
            out = [layer.forward(*out)]
        g = np.random.default_rng(0).standard_normal(np.shape(out[0]))
        for layer in reversed(layers):
            g = layer.backward(g)
        return [np.asarray(g), *(np.asarray(v) for layer in layers for v in getattr(layer, "grads", []))]
    forward, backward, inputs = arguments
    args = inputs if isinstance(inputs, list) else [inputs]
    result = forward(*args)
    if isinstance(result, tuple):
        out, cache = result
        g = np.random.default_rng(0).standard_normal(np.shape(out))
        found = backward(g, cache) if np.ndim(out) else backward(cache)
    else:
        found = backward(*args)
    values = (
        found.values() if isinstance(found, dict) else found if isinstance(found, (tuple, list)) else [found]
    )
    return [np.asarray(v) for v in values if v is not None]


def measure(seeds: range, planted: bool) -> tuple[Counter, Counter, Counter, list[str]]:
    """Cases, found and named, each by family and mistake, and a line for each case that went wrong."""
    cases, found, named = Counter(), Counter(), Counter()
    lines = []
    for seed in seeds:
        case = draw(seed, planted)
        key = (case.family, case.mistake)
        cases[key] += 1
        try:
            diagnosis = check_backward(*case.arguments, raise_exception=False)
        except Exception as error:
            lines.append(f"{seed} {case.family} {case.mistake!r} {case.about}: raised {error!r}")
            continue
        if not planted:
            found[key] += not diagnosis
            if not diagnosis:
                lines.append(f"{seed} {case.family} {case.about}: {diagnosis}")
            continue
        found[key] += not diagnosis
        families = {f.__name__: f for f in FAMILIES}
        right = diagnosis.mistake in FAMILIES[families[case.family]][case.mistake]
        named[key] += right
        if not right:
            lines.append(f"{seed} {case.family} {case.mistake!r} {case.about}: {diagnosis}")
    return cases, found, named, lines


def main() -> None:
    """Print both tables."""
    parser = argparse.ArgumentParser(prog="python -m tests.testing.generated", description=__doc__)
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", choices=("correct", "planted"))
    parser.add_argument("--show", type=int, default=0, help="print so many of the cases that went wrong")
    options = parser.parse_args()
    for planted in (False, True):
        if options.only == ("correct", "planted")[not planted]:
            continue
        cases, found, named, lines = measure(range(options.seed, options.seed + options.cases), planted)
        if planted:
            print("| family | mistake | cases | found | named |\n| --- | --- | ---: | ---: | ---: |")
            for key in sorted(cases):
                print(f"| {key[0]} | {key[1]} | {cases[key]} | {found[key]} | {named[key]} |")
            print(f"| **all** | | {cases.total()} | {found.total()} | {named.total()} |")
        else:
            print("| family | cases | false alarms |\n| --- | ---: | ---: |")
            for key in sorted(cases):
                print(f"| {key[0]} | {cases[key]} | {found[key]} |")
            print(f"| **all** | {cases.total()} | {found.total()} |")
        print(f"{len(lines)} not as they should be")
        for line in lines[: options.show]:
            print(line)
        sys.stdout.flush()


if __name__ == "__main__":
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    main()
