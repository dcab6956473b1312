"""Networks written by hand as in the courses, each with mistakes that are injected by name."""

from __future__ import annotations

import numpy as np


def _data(n_x=4, m=7, seed=3):
    rng = np.random.default_rng(seed)
    return rng.standard_normal((n_x, m)), (rng.uniform(size=(1, m)) > 0.5).astype(float)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


def shallow(mistake=None, lambd=0.0):
    """2-layer network: tanh, sigmoid, cross-entropy. Returns forward, backward, parameters."""
    X, Y = _data()
    m = X.shape[1]
    rng = np.random.default_rng(0)
    parameters = {
        "W1": rng.standard_normal((4, 4)) * 0.7,
        "b1": rng.standard_normal((4, 1)) * 0.3,
        "W2": rng.standard_normal((1, 4)) * 0.7,
        "b2": rng.standard_normal((1, 1)) * 0.3,
    }
    first_cache = {}

    def forward(p):
        Z1 = np.dot(p["W1"], X) + p["b1"]
        A1 = np.tanh(Z1)
        Z2 = np.dot(p["W2"], A1) + p["b2"]
        A2 = sigmoid(Z2)
        cost = -np.sum(Y * np.log(A2) + (1 - Y) * np.log(1 - A2)) / m
        if lambd:
            cost = cost + lambd / (2 * m) * (np.sum(np.square(p["W1"])) + np.sum(np.square(p["W2"])))
        cache = (Z1, A1, Z2, A2, p["W1"], p["W2"])
        if mistake == "stale cache":
            cache = first_cache.setdefault("cache", cache)
        return cost, cache

    def backward(cache):
        Z1, A1, Z2, A2, W1, W2 = cache
        n = 1 if mistake == "missing 1/m" else m
        dZ2 = A2 - Y
        if mistake == "sign":
            dZ2 = Y - A2
        if mistake == "output activation derivative":
            dZ2 = -(Y / A2) + (1 - Y) / (1 - A2)
        if mistake == "factor 2":
            dZ2 = 2 * (A2 - Y)
        dW2 = dZ2 @ A1.T / n
        if mistake == "missing 1/m in dW2":
            dW2 = dZ2 @ A1.T
        if mistake == "wrong layer's values":
            dW2 = dZ2 @ X.T / n
        db2 = np.sum(dZ2, axis=1, keepdims=True) / n
        if mistake == "extra 1/m in db2":
            db2 = np.mean(dZ2, axis=1, keepdims=True) / n
        dA1 = W2.T @ dZ2
        dZ1 = dA1 * (1 - A1**2)
        if mistake == "activation derivative":
            dZ1 = dA1
        if mistake == "sigmoid for tanh":
            dZ1 = dA1 * A1 * (1 - A1)
        if mistake == "relu for tanh":
            dZ1 = dA1 * (A1 > 0)
        if mistake == "derivative at z":
            dZ1 = dA1 * (1 - Z1**2)
        if mistake == "forgotten square":
            dZ1 = dA1 * (1 - A1)
        dW1 = dZ1 @ X.T / n
        if mistake == "transpose":
            dW1 = X @ dZ1.T / n
        db1 = np.sum(dZ1, axis=1, keepdims=True) / n
        if mistake == "missing sum":
            db1 = dZ1 / n
        if mistake == "wrong axis":
            db1 = np.sum(dZ1, axis=0, keepdims=True) / n
        if mistake == "sum over everything":
            db1 = np.sum(dZ1) / n * np.ones((4, 1))
        if mistake == "keepdims":
            db1 = np.sum(dZ1, axis=1) / n
        if lambd and mistake != "L2 term":
            dW1, dW2 = dW1 + lambd / m * W1, dW2 + lambd / m * W2
        if lambd and mistake == "L2 scale":
            dW1, dW2 = dW1 + lambd * W1, dW2 + lambd * W2
        if mistake == "swapped":
            db1, dW1 = db1, dW1.T
        grads = {"dW1": dW1, "db1": db1, "dW2": dW2, "db2": db2}
        if mistake == "missing gradient":
            del grads["db1"]
        return grads

    return forward, backward, parameters


def deep(mistake=None):
    """3-layer network 4-5-5-1 with ReLU and inverted dropout (keep 0.8) in the hidden layers."""
    X, Y = _data()
    m = X.shape[1]
    rng = np.random.default_rng(1)
    sizes = (4, 5, 5, 1)
    p = {}
    for layer in range(1, 4):
        p[f"W{layer}"] = rng.standard_normal((sizes[layer], sizes[layer - 1]))
        p[f"b{layer}"] = rng.standard_normal((sizes[layer], 1)) * 0.3
    keep = 0.8

    def forward(p):
        np.random.seed(1)  # noqa: NPY002
        A, caches = X, []
        for layer in range(1, 4):
            Z = np.dot(p[f"W{layer}"], A) + p[f"b{layer}"]
            if layer < 3:
                before, D = np.maximum(0, Z), np.random.rand(5, m) < keep  # noqa: NPY002
                out = before * D / keep
            else:
                before, D = sigmoid(Z), None
                out = before
            caches.append((A, p[f"W{layer}"], Z, D))
            A = out
        cost = -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m
        return cost, (A, caches)

    def backward(cache):
        AL, caches = cache
        grads = {}
        dZ = AL - Y
        for layer in (3, 2, 1):
            A_prev, W, Z, D = caches[layer - 1]
            if layer < 3:
                dA = dZ  # the gradient of this layer's output
                if mistake != "dropout mask":
                    dA = dA * D
                if mistake != "dropout scale":
                    dA = dA / keep
                dZ = dA * (Z > 0)
                if mistake == "relu derivative":
                    dZ = dA
                if mistake == "relu the wrong way round":
                    dZ = dA * (Z < 0)
                if mistake == "relu as value":
                    dZ = dA * np.maximum(0, Z)
            grads[f"dW{layer}"] = dZ @ A_prev.T / m
            grads[f"db{layer}"] = np.sum(dZ, axis=1, keepdims=True) / m
            if mistake == "mean for sum":
                grads[f"db{layer}"] = np.mean(dZ, axis=1, keepdims=True) / m
            if mistake == "other layer's weights" and layer == 2:
                W = caches[1][1].T
            dZ = W.T @ dZ
        if mistake == "layers swapped":
            grads["db1"], grads["db2"] = grads["db2"], grads["db1"]
        return grads

    return forward, backward, p


def batch_norm(mistake=None):
    """Batch normalization of (m, n) with gamma and beta; returns forward, backward, inputs."""
    rng = np.random.default_rng(2)
    x = rng.standard_normal((6, 3)) * 2 + 1
    gamma, beta = rng.uniform(0.5, 1.5, 3), rng.standard_normal(3)
    eps = 1e-5

    def forward(x, gamma, beta):
        mu = np.mean(x, axis=0)
        centered = x - mu
        var = np.mean(centered**2, axis=0)
        std = np.sqrt(var + eps)
        hat = centered / std
        return gamma * hat + beta, (hat, centered, std, gamma)

    def backward(g, cache):
        hat, centered, std, gamma = cache
        m = g.shape[0]
        dbeta = g.sum(axis=0)
        dgamma = (g * hat).sum(axis=0)
        if mistake == "dgamma without hat":
            dgamma = g.sum(axis=0)
        if mistake == "dgamma not summed":
            dgamma = g * hat
        dhat = g * gamma
        if mistake == "gamma forgotten":
            dhat = g
        dx = (dhat - dhat.mean(axis=0) - hat * (dhat * hat).mean(axis=0)) / std
        if mistake == "mean as a constant":
            dx = (dhat - hat * (dhat * hat).mean(axis=0)) / std
        if mistake == "variance as a constant":
            dx = (dhat - dhat.mean(axis=0)) / std
        if mistake == "variance for deviation":
            dx = dx / std
        if mistake == "sums for means":
            dx = dx * m
        return dx, dgamma, dbeta

    return forward, backward, (x, gamma, beta)
