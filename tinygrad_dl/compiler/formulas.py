"""How operations are written in the source: as textbooks' formulas, where primitives would not read so.

An entry is as in `lower`, for people and not for a machine: it makes primitives, or pieces of text ("formula", a value;
"lines", several of them), and names what notebooks name. What has no entry is written as its primitives.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from tinygrad_dl.compiler.capture import fixed
from tinygrad_dl.compiler.descent import WRITTEN_OUT, lines_of, option
from tinygrad_dl.compiler.lower import Builder, _plain_cross_entropy, keep_mask, options_of
from tinygrad_dl.compiler.naming import AVERAGES, Names
from tinygrad_dl.compiler.program import VIEW, Call, Effect, NotLowered, Operand, Prim, Var

# Binding strengths of NumPy expressions: what is weaker than its place asks for stands in parentheses.
SUM, PRODUCT, SIGN, ATOM = 1, 2, 3, 4

FORWARD: dict[str, Callable[..., Any]] = {}
BACKWARD: dict[str, Callable[..., Any]] = {}

#: Functions that formulas call, in the order in which the source defines them.
HELPERS = {
    "sigmoid": "def sigmoid(x):\n    return 1 / (1 + np.exp(-x))\n",
    "erf": (
        "def erf(x):\n"
        "    return np.vectorize(math.erf, otypes=[x.dtype])(x)\n"
    ),
    "log": (
        "def log(x):\n"
        '    """The logarithm, at least -100: the loss of a wrong answer stays finite."""\n'
        "    return np.maximum(np.log(x), -100)\n"
    ),
    "log_softmax": (
        "def log_softmax(x):\n"
        "    x = x - x.max(axis=1, keepdims=True)\n"
        "    return x - np.log(np.exp(x).sum(axis=1, keepdims=True))\n"
    ),
    "one_hot": "def one_hot(y, classes):\n    return np.eye(classes, dtype=np.float32)[y]\n",
    "im2col": (
        "def im2col(x, kernel, stride, padding):\n"
        '    """The windows of images (N, C, H, W) as rows: (N * rows * columns, C * kh * kw)."""\n'
        "    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding\n"
        "    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)))\n"
        "    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))[:, :, ::sh, ::sw]\n"
        "    return windows.transpose(0, 2, 3, 1, 4, 5).reshape(-1, x.shape[1] * kh * kw)\n"
    ),
    "col2im": (
        "def col2im(cols, shape, kernel, stride, padding):\n"
        '    """The other way: each row is added where its window lies; windows may overlap."""\n'
        "    (n, c, h, w), (kh, kw), (sh, sw), (ph, pw) = shape, kernel, stride, padding\n"
        "    x = np.zeros((n, c, h + 2 * ph, w + 2 * pw), cols.dtype)\n"
        "    rows, columns = (h + 2 * ph - kh) // sh + 1, (w + 2 * pw - kw) // sw + 1\n"
        "    windows = cols.reshape(n, rows, columns, c, kh, kw)\n"
        "    for i in range(kh):\n"
        "        for j in range(kw):\n"
        "            part = windows[..., i, j].transpose(0, 3, 1, 2)\n"
        "            x[:, :, i : i + sh * rows : sh, j : j + sw * columns : sw] += part\n"
        "    return x[:, :, ph : ph + h, pw : pw + w]\n"
    ),
    "max_pool": (
        "def max_pool(x, kernel, stride, padding=(0, 0)):\n"
        '    """The maximum of each window of images (N, C, H, W), and its position in the window."""\n'
        "    (kh, kw), (sh, sw), (ph, pw) = kernel, stride, padding\n"
        "    x = np.pad(x, ((0, 0), (0, 0), (ph, ph), (pw, pw)), constant_values=-np.inf)\n"
        "    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))[:, :, ::sh, ::sw]\n"
        "    windows = windows.reshape(*windows.shape[:4], kh * kw)\n"
        "    return windows.max(axis=-1), windows.argmax(axis=-1)\n"
    ),
    "max_pool_backward": (
        "def max_pool_backward(dP, at, shape, kernel, stride, padding=(0, 0)):\n"
        '    """The gradient of a window goes to its maximum, the others get none."""\n'
        "    (n, c, h, w), (kh, kw), (sh, sw), (ph, pw) = shape, kernel, stride, padding\n"
        "    dx = np.zeros((n, c, h + 2 * ph, w + 2 * pw), dP.dtype)\n"
        "    n, c, i, j = np.indices(dP.shape)\n"
        "    np.add.at(dx, (n, c, i * sh + at // kw, j * sw + at % kw), dP)\n"
        "    return dx[:, :, ph : ph + h, pw : pw + w]\n"
    ),
    "avg_pool": (
        "def avg_pool(x, kernel, stride):\n"
        '    """The mean of each window of images (N, C, H, W)."""\n'
        "    (kh, kw), (sh, sw) = kernel, stride\n"
        "    windows = np.lib.stride_tricks.sliding_window_view(x, (kh, kw), (2, 3))[:, :, ::sh, ::sw]\n"
        "    return windows.mean(axis=(-2, -1))\n"
    ),
    "avg_pool_backward": (
        "def avg_pool_backward(dP, shape, kernel, stride):\n"
        '    """The gradient of a window is shared evenly among its elements."""\n'
        "    (kh, kw), (sh, sw), (rows, columns) = kernel, stride, dP.shape[2:]\n"
        "    dx = np.zeros(shape, dP.dtype)\n"
        "    for i in range(kh):\n"
        "        for j in range(kw):\n"
        "            dx[:, :, i : i + sh * rows : sh, j : j + sw * columns : sw] += dP / (kh * kw)\n"
        "    return dx\n"
    ),
    "add_rows": (
        "def add_rows(dX, at, shape):\n"
        '    """A table of zeros with the rows of dX added at their indices."""\n'
        "    table = np.zeros(shape, dX.dtype)\n"
        "    np.add.at(table, at, dX)\n"
        "    return table\n"
    ),
    "rnn_forward": (
        "def rnn_forward(x, h, W_ih, W_hh, b_ih, b_hh):\n"
        '    """A recurrent layer over the steps of x (T, N, I): h of every step, and what each step began with."""\n'
        "    states, steps = [], []\n"
        "    for x_t in x:\n"
        "        steps.append((x_t, h))\n"
        "        h = np.tanh(x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh)\n"
        "        states.append(h)\n"
        "    return np.stack(states), steps\n"
    ),
    "rnn_backward": (
        "def rnn_backward(dH, H, steps, W_ih, W_hh):\n"
        '    """Backpropagation through time: the gradients of x, the first h and the parameters."""\n'
        "    dW_ih, dW_hh, db = np.zeros_like(W_ih), np.zeros_like(W_hh), np.zeros_like(W_ih[:, 0])\n"
        "    dx, dh = [], 0\n"
        "    for t in reversed(range(len(steps))):\n"
        "        x_t, h = steps[t]\n"
        "        da = (dH[t] + dh) * (1 - H[t] ** 2)\n"
        "        dW_ih += da.T @ x_t\n"
        "        dW_hh += da.T @ h\n"
        "        db += da.sum(axis=0)\n"
        "        dx.append(da @ W_ih)\n"
        "        dh = da @ W_hh\n"
        "    return np.stack(dx[::-1]), dh, dW_ih, dW_hh, db, db.copy()\n"
    ),
    "lstm_forward": (
        "def lstm_forward(x, h, c, W_ih, W_hh, b_ih, b_hh):\n"
        '    """An LSTM over the steps of x (T, N, I): h of every step and behind them the last c, and the gates."""\n'
        "    n, states, steps = h.shape[1], [], []\n"
        "    for x_t in x:\n"
        "        a = x_t @ W_ih.T + b_ih + h @ W_hh.T + b_hh\n"
        "        i = sigmoid(a[:, :n])  # input gate\n"
        "        f = sigmoid(a[:, n : 2 * n])  # forget gate\n"
        "        g = np.tanh(a[:, 2 * n : 3 * n])  # candidate\n"
        "        o = sigmoid(a[:, 3 * n :])  # output gate\n"
        "        c_next = f * c + i * g\n"
        "        steps.append((x_t, h, c, i, f, g, o, c_next))\n"
        "        h, c = o * np.tanh(c_next), c_next\n"
        "        states.append(h)\n"
        "    return np.stack([*states, c]), steps\n"
    ),
    "lstm_backward": (
        "def lstm_backward(dH, steps, W_ih, W_hh):\n"
        '    """Backpropagation through time: the gradients of x, the first h and c, and the parameters."""\n'
        "    dW_ih, dW_hh, db = np.zeros_like(W_ih), np.zeros_like(W_hh), np.zeros_like(W_ih[:, 0])\n"
        "    dx, dh, dc = [], 0, dH[-1]\n"
        "    for t in reversed(range(len(steps))):\n"
        "        x_t, h, c, i, f, g, o, c_next = steps[t]\n"
        "        dh = dh + dH[t]  # from the step after, and from the output of this one\n"
        "        dc = dc + dh * o * (1 - np.tanh(c_next) ** 2)\n"
        "        di = dc * g * i * (1 - i)\n"
        "        df = dc * c * f * (1 - f)\n"
        "        dg = dc * i * (1 - g**2)\n"
        "        do = dh * np.tanh(c_next) * o * (1 - o)\n"
        "        da = np.concatenate([di, df, dg, do], axis=1)\n"
        "        dW_ih += da.T @ x_t\n"
        "        dW_hh += da.T @ h\n"
        "        db += da.sum(axis=0)\n"
        "        dx.append(da @ W_ih)\n"
        "        dh, dc = da @ W_hh, dc * f\n"
        "    return np.stack(dx[::-1]), dh, dc, dW_ih, dW_hh, db, db.copy()\n"
    ),
    "gru_forward": (
        "def gru_forward(x, h, W_ih, W_hh, b_ih, b_hh):\n"
        '    """A GRU over the steps of x (T, N, I): h of every step, and the gates."""\n'
        "    n, states, steps = h.shape[1], [], []\n"
        "    for x_t in x:\n"
        "        a, u = x_t @ W_ih.T + b_ih, h @ W_hh.T + b_hh\n"
        "        r = sigmoid(a[:, :n] + u[:, :n])  # reset gate\n"
        "        z = sigmoid(a[:, n : 2 * n] + u[:, n : 2 * n])  # update gate\n"
        "        c = np.tanh(a[:, 2 * n :] + r * u[:, 2 * n :])  # candidate\n"
        "        steps.append((x_t, h, r, z, c, u[:, 2 * n :]))\n"
        "        h = (1 - z) * c + z * h\n"
        "        states.append(h)\n"
        "    return np.stack(states), steps\n"
    ),
    "gru_backward": (
        "def gru_backward(dH, steps, W_ih, W_hh):\n"
        '    """Backpropagation through time: the gradients of x, the first h and the parameters."""\n'
        "    dW_ih, dW_hh = np.zeros_like(W_ih), np.zeros_like(W_hh)\n"
        "    db_ih, db_hh = np.zeros_like(W_ih[:, 0]), np.zeros_like(W_ih[:, 0])\n"
        "    dx, dh = [], 0\n"
        "    for t in reversed(range(len(steps))):\n"
        "        x_t, h, r, z, c, u = steps[t]\n"
        "        dh = dh + dH[t]  # from the step after, and from the output of this one\n"
        "        dc = dh * (1 - z) * (1 - c**2)\n"
        "        dz = dh * (h - c) * z * (1 - z)\n"
        "        dr = dc * u * r * (1 - r)\n"
        "        da = np.concatenate([dr, dz, dc], axis=1)\n"
        "        du = np.concatenate([dr, dz, dc * r], axis=1)\n"
        "        dW_ih += da.T @ x_t\n"
        "        dW_hh += du.T @ h\n"
        "        db_ih += da.sum(axis=0)\n"
        "        db_hh += du.sum(axis=0)\n"
        "        dx.append(da @ W_ih)\n"
        "        dh = dh * z + du @ W_hh\n"
        "    return np.stack(dx[::-1]), dh, dW_ih, dW_hh, db_ih, db_hh\n"
    ),
    "windows": (
        "def windows(x, axes, start):\n"
        '    """A view of x with an axis for each (axis, step, size) in axes, from the index start."""\n'
        "    x = x[tuple(slice(i, None) for i in start)]\n"
        "    shape, strides = [n for _, _, n in axes], [x.strides[a] * step for a, step, _ in axes]\n"
        "    return np.lib.stride_tricks.as_strided(x, shape, strides)\n"
    ),
    "add_windows": (
        "def add_windows(parts, shape, places):\n"
        '    """Zeros of the given shape, with each part added where its windows lie."""\n'
        "    out = np.zeros(shape, parts[0].dtype)\n"
        "    for part, (axes, start) in zip(parts, places):\n"
        "        view = windows(out, axes, start)\n"
        "        view += part\n"
        "    return out\n"
    ),
}  # fmt: skip


class Forms:
    """The builder of a program that people read: primitives, formulas, and the names of what it computes."""

    def __init__(self, names: Names) -> None:
        self.names = names
        self.key = -1  # serial of the result of the call that is written
        self.kept: dict[int, Any] = {}  # that -> what its backward pass needs beside it
        self.hints: dict[int, str] = {}  # names for what is used several times
        self.options: dict[
            str, float
        ] = {}  # what the program is given beside arrays, and the values at the capture
        self.counted: list[Any] = []  # optimizers of which it needs the number of steps
        self.count = "t"  # what that is called
        self.b: Builder = None  # type: ignore[assignment]

    def start(self, b: Builder) -> None:
        """Begin again, with a new builder."""
        self.b = b
        for found in (self.kept, self.hints, self.options, self.counted):
            found.clear()

    def forward(self, call: Call) -> Sequence[Operand] | None:
        """The values of a call; None if it has no form of its own."""
        form = FORWARD.get(call.op.name)
        self.key = _key(call)
        if form is None:
            return None
        out = form(self, call, *call.inputs, **options_of(call))
        return list(out) if isinstance(out, tuple) else [out]

    def backward(
        self, g: Operand, call: Call, captured: Call, needed: Sequence[bool]
    ) -> Sequence[Operand] | None:
        """The contributions of a vjp; None if it has no form of its own."""
        form = BACKWARD.get(call.op.name)
        self.key = _key(captured)
        return None if form is None else form(self, g, call, needed)

    # Pieces

    def formula(
        self, text: str, *inputs: Operand, like: Any = None, shape: Any = None, name: str = "", strength: int = ATOM,
        helpers: tuple[str, ...] = (),
    ) -> Var:  # fmt: skip
        """A value that is written as `text`: {0} is the first input, {0:product} that input as a factor."""
        like = inputs[0] if like is None else like
        out = self.b.emit(
            "formula", inputs, like.shape if shape is None else shape, like.dtype, text=text, strength=strength,
            helpers=helpers,
            name=name,
        )  # fmt: skip
        return self.b.named(out, name) if name else out

    def lines(
        self, lines: Sequence[str], inputs: Sequence[Operand], outputs: Sequence[Var | None], **params: Any
    ) -> None:
        """Lines of text: {0} is the first input, {out0} the first output."""
        b = self.b
        b.steps.append(
            Prim(
                list(inputs), list(outputs), kind="lines", params={"lines": list(lines), **params}, module=b.module,
                phase=b.phase, origin=b.origin,
            )
        )  # fmt: skip

    def result(self, call: Call) -> str:
        """What follows the letter in the name of a call's result."""
        return self.names.suffix(call.outputs[0])

    def bind(self, var: Var, value: Operand) -> None:
        """Give the value of a captured variable its name."""
        name = self.names.of.get(var.serial)
        if isinstance(value, Var) and var.serial in self.names.weak:
            self.hints.setdefault(value.serial, self.names.weak[var.serial])
        if name and isinstance(value, Var) and value.kind == "result" and not value.name:
            value.name = name

    # Side effects

    def option(self, name: str, value: float, owner: str) -> str:
        """An argument of the program for an option; other options of that name with other values get a number."""
        wish, i = self.free(name, owner), 1
        while self.options.setdefault(wish, value) != value:
            i += 1
            wish = f"{self.free(name, owner)}_{i}"
        return wish

    def free(self, name: str, owner: str) -> str:
        """The name, or with its optimizer's if a parameter is called so: beta1 of Adam, of a normalization."""
        return f"{name}_{owner.lower()}" if name in self.names.inputs else name

    def update(self, optimizer: Any, gradients: dict[int, Var], state_of: Callable[..., Var]) -> bool:
        """Write an optimizer's step; False if it is written as its primitives."""
        groups = []
        for group in optimizer.param_groups:
            try:
                lines = lines_of(optimizer, group)
            except NotLowered:
                return False
            members = [p for p in group["params"] if id(p) in gradients]
            if any(set(optimizer.state[p]) - {"step"} != _slots(lines) for p in members):
                return False
            groups.append((group, lines, members))
        counts = {optimizer.state[p]["step"] for _, _, members in groups for p in members}
        timed = any("[t]" in line for _, lines, _ in groups for line in lines)
        if timed and len(counts) != 1:
            return False
        self.b.phase = "update"
        self.b.module = type(optimizer).__name__
        if timed:
            self.counted.append(optimizer)
            self.count = self.free("t", self.b.module)
        for group, lines, members in groups:
            named = [_named_options(self, line, group, self.b.module) for line in lines]
            rows = []
            for p in members:
                keys = sorted(_slots(lines))
                row = [
                    state_of(optimizer, p, ""),
                    gradients[id(p)],
                    *(state_of(optimizer, p, key) for key in keys),
                ]
                rows.append(row)
                self.b.forget(row[0], *row[2:])
            if rows:
                self._rows(named, rows, ["p", "g", *sorted(_slots(lines))])
        return True

    def _rows(self, lines: list[str], rows: list[list[Var]], keys: list[str]) -> None:
        """The lines for each parameter; in a loop, if they are many."""
        if len(lines) == 1 or len(rows) <= WRITTEN_OUT:
            for row in rows:
                numbered = {key: f"{{{i}:atom}}" for i, key in enumerate(keys)}
                changes = any(line.startswith("{g}") for line in lines)
                self.lines([_filled(line, numbered) for line in lines], row, [], always=True, rebinds=changes)
            return
        called = {"p": "p", "g": "dp"}
        variables = [Var((), np.dtype(object)) for _ in keys]
        for key, variable in zip(keys, variables):
            variable.name = called.get(key, f"{AVERAGES.get(key, key)}_p")
        names = {key: f"{{out{i}}}" for i, key in enumerate(keys)}
        head = [f"for {', '.join(names.values())} in ("]
        for i in range(len(rows)):
            slots = ", ".join(f"{{{i * len(keys) + j}}}" for j in range(len(keys)))
            head.append(f"    ({slots}),")
        body = [f"    {_filled(line, names)}" for line in lines]
        flat = [x for row in rows for x in row]
        self.lines([*head, "):", *body], flat, variables, always=True, names=True)

    def effect(self, name: str, step: Effect, gradients: dict[int, Var]) -> bool:
        """Write another side effect; False if it has no lines."""
        if name not in ("_clip_grad_norm", "_clip_grad_value"):
            return False
        clipped = [gradients[id(p)] for _, p in step.args[0] if id(p) in gradients]
        clipped = list({x.serial: x for x in clipped}.values())
        self.b.module = name[1:] + "_"
        self.b.phase = "clip"
        slots = ", ".join(f"{{{i}}}" for i in range(len(clipped)))
        several = f"({slots}{',' if len(clipped) == 1 else ''})"
        target = slots + ("," if len(clipped) == 1 else "")
        if name == "_clip_grad_value":
            bound = short(float(step.args[1]))
            lines = [f"{target} = (np.clip(d, -{bound}, {bound}) for d in {several})"]
            self.lines(lines, clipped, [], always=True, rebinds=True)
            return True
        _, limit, order, _ = step.args
        if float(order) != 2:
            return False
        out = step.outputs[0] if step.outputs else None
        if out is not None:
            out.name = out.name or "norm"
        lines = [
            f"{{out0}} = np.sqrt(sum((d**2).sum() for d in {several}))",
            f"{target} = (d * np.minimum(1, {short(float(limit))} / ({{out0}} + 1e-6)) for d in {several})",
        ]
        self.lines(lines, clipped, [out], always=True, rebinds=True)
        self.b.forget(*clipped)
        return True

    # Gradients

    def scaled(self, x: Var, g: Operand, n: int = 1) -> Operand:
        """x / n times the gradient of the loss, which is mostly 1."""
        one = isinstance(g, Var) and g.kind == "constant" and g.size == 1 and fixed(g).item() == 1
        if not one:
            x = self.b.multiply(x, g)
        return x if n == 1 else self.formula(f"{{0:product}} / {n}", x, strength=PRODUCT)


def _slots(lines: Sequence[str]) -> set[str]:
    """The averages that the lines of an update name."""
    return {found for line in lines for found in re.findall(r"{(\w+)}", line)} - {"p", "g"}


def _filled(line: str, names: dict[str, str]) -> str:
    return re.sub(r"{(\w+)}", lambda found: names[found[1]], line)


def _named_options(w: Forms, line: str, group: dict[str, Any], owner: str) -> str:
    """The line with the arguments of the program for what it has in brackets."""

    def named(found: re.Match[str]) -> str:
        return w.count if found[1] == "t" else w.option(found[1], option(group, found[1]), owner)

    return re.sub(r"\[(\w+)\]", named, line)


def _key(call: Call) -> int:
    (out, *_) = call.outputs
    assert out is not None
    return out.serial


def forward(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how results are written: `f(w, call, *inputs, **options)` returns the result, or a tuple."""
    return partial(_registered, FORWARD, names)


def backward(*names: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register how gradients are written: `f(w, g, call, needed)` returns one entry per parent."""
    return partial(_registered, BACKWARD, names)


def _registered(
    table: dict[str, Callable[..., Any]], names: Sequence[str], f: Callable[..., Any]
) -> Callable[..., Any]:
    table |= dict.fromkeys(names, f)
    return f


# Layers


@backward("linear")
def _linear(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, weight = call.inputs[:2]
    assert isinstance(x, Var) and isinstance(weight, Var)
    if len(x.shape) != 2 or x.dtype != weight.dtype:
        raise NotLowered
    dw = w.b.matmul(w.b.transpose(g), x) if needed[1] else None
    db = w.b.sum(g, 0) if needed[2:] and needed[2] else None
    return [w.b.matmul(g, weight) if needed[0] else None, dw, db][: len(call.inputs)]


@backward("relu")
def _relu(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    return [w.formula("{0:product} * ({1:sum} > 0)", g, call.inputs[0], strength=PRODUCT)]


@backward("square")
def _square(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    return [w.formula("{0:product} * 2 * {1:sign}", g, call.inputs[0], strength=PRODUCT)]


def _draw(w: Forms, p: float, shape: Any, rng: Any, name: str) -> Var:
    drawn = w.b.draw(keep_mask, (p, shape, rng), shape, bool)
    w.b.steps[-1].module = w.b.module
    drawn.name = name
    return drawn


@forward("dropout")
def _dropout(w: Forms, call: Call, x: Var, p: float = 0.5, shape: Any = None, rng: Any = None) -> Var:
    near = w.names.name(x)
    kept = _draw(
        w, p, x.shape if shape is None else shape, rng, "D" + "".join(c for c in near if c.isdigit())
    )
    w.kept[w.key] = kept
    return _dropped(w, x, kept, p)


def _dropped(w: Forms, x: Var, kept: Var, p: float) -> Var:
    if p >= 1:
        return w.formula("{0:product} * 0", x, strength=PRODUCT)
    return w.formula(f"{{0:product}} * {{1:atom}} / {short(1 - p)}", x, kept, strength=PRODUCT)


@backward("dropout")
def _dropout_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    return [_dropped(w, g, w.kept[w.key], options_of(call)["p"])]


# Losses


@forward("softmax_cross_entropy")
def _cross_entropy(w: Forms, call: Call, x: Var, target: Var, **options: Any) -> Any:
    if not _plain_cross_entropy(x, target, options):
        raise NotLowered
    logs = w.formula("log_softmax({0})", x, name=f"logA{w.names.suffix(x)}", helpers=("log_softmax",))
    w.kept[w.key] = logs
    end = {"mean": ".mean()", "sum": ".sum()", "none": ""}[options["reduction"]]
    text = f"-{{0:atom}}[np.arange({x.shape[0]}), {{1}}]{end}"
    return w.formula(text, logs, target, shape=call.outputs[0].shape, strength=SIGN)  # type: ignore[union-attr]


@backward("softmax_cross_entropy")
def _cross_entropy_vjp(w: Forms, g: Operand, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, target = call.inputs
    reduction = options_of(call)["reduction"]
    logs = w.kept.get(w.key)
    if logs is None or reduction == "none":
        raise NotLowered
    assert isinstance(x, Var)
    a = w.formula("np.exp({0})", logs, name=f"A{w.names.suffix(x)}")
    text = f"{{0:sum}} - one_hot({{1}}, {x.shape[1]})"
    d = w.formula(text, a, target, strength=SUM, helpers=("one_hot",))
    return [w.b.cast(w.scaled(d, g, x.shape[0] if reduction == "mean" else 1), x.dtype), None]


@backward("bce_with_logits")
def _bce(w: Forms, g: Operand, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, target = call.inputs
    assert isinstance(x, Var)
    reduction = options_of(call)["reduction"]
    if reduction == "none" or any(needed[1:]):
        raise NotLowered
    a = w.b.named(w.b.sigmoid(x), f"A{w.names.suffix(x)}")
    d = w.formula("{0:sum} - {1:product}", a, target, strength=SUM)
    return [w.scaled(d, g, x.size if reduction == "mean" else 1), None]


@forward("binary_cross_entropy")
def _binary(w: Forms, call: Call, x: Var, target: Operand, **options: Any) -> Var:
    text = "-({1:product} * log({0}) + (1 - {1:product}) * log(1 - {0:product}))"
    return w.formula(text, x, target, strength=SIGN, helpers=("log",))


@backward("binary_cross_entropy")
def _binary_vjp(w: Forms, g: Operand, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, target = call.inputs
    if any(needed[1:]):
        raise NotLowered
    text = "({0:sum} - {1:product}) / np.maximum({0:product} * (1 - {0:product}), 1e-12)"
    return [w.b.multiply(w.formula(text, x, target, strength=PRODUCT), g), None]


@forward("squared_error")
def _square_of_difference(w: Forms, call: Call, x: Var, y: Operand, reduction: str = "mean") -> Var:
    if not isinstance(x, Var) or reduction not in ("mean", "sum"):
        raise NotLowered
    d = w.formula("({0:sum} - {1:product}) ** 2", x, y, strength=SIGN)
    return w.b.mean(d) if reduction == "mean" else w.b.sum(d)


@backward("squared_error")
def _squared(w: Forms, g: Operand, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, y = call.inputs
    reduction = options_of(call)["reduction"]
    if reduction == "none" or any(needed[1:]) or not isinstance(x, Var):
        raise NotLowered
    d = w.formula("2 * ({0:sum} - {1:product})", x, y, strength=PRODUCT)
    return [w.scaled(d, g, x.size if reduction == "mean" else 1), None]


@forward("huber")
def _huber(w: Forms, call: Call, x: Var, y: Operand, delta: float = 1.0) -> Var:
    d, k = w.b.subtract(x, y), short(delta)
    w.b.named(d, "error")
    line = f"np.abs({{0}}) - {short(delta / 2)}"
    line = line if delta == 1 else f"{k} * ({line})"
    return w.formula(f"np.where(np.abs({{0}}) <= {k}, {{0:atom}}**2 / 2, {line})", d)


@backward("huber")
def _huber_vjp(w: Forms, g: Operand, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    if any(needed[1:]):
        raise NotLowered
    delta = options_of(call)["delta"]
    d = w.b.named(w.b.subtract(*call.inputs), "error")
    return [w.b.multiply(w.formula(f"np.clip({{0}}, {short(-delta)}, {short(delta)})", d), g), None]


# Parts of arrays


@backward("getitem")
def _getitem(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    (x,), (key,) = call.inputs, call.options
    parts = key if isinstance(key, tuple) else (key,)
    if not isinstance(x, Var) or not all(isinstance(p, (int, slice)) or p in (None, Ellipsis) for p in parts):
        raise NotLowered
    out = Var(x.shape, x.dtype)
    zeros = f"{{out0}} = np.zeros({x.shape}, np.{x.dtype.name})"
    w.lines([zeros, f"{{out0}}[{', '.join(map(index, parts)) or '()'}] = {{0}}"], [g], [out])
    return [out]


def index(p: Any) -> str:
    """A part of an index, as it is written between brackets."""
    if p is Ellipsis or p is None:
        return "..." if p is Ellipsis else "None"
    if isinstance(p, slice):
        first, last = ("" if v is None else str(v) for v in (p.start, p.stop))
        return f"{first}:{last}" + (f":{p.step}" if p.step not in (None, 1) else "")
    return str(p)


# Normalization


def _plain_norm(x: Var, axis: Any, view: Any, fit: Any, center: bool) -> tuple[tuple[int, ...], Any]:
    """The axes to average over, and the shape of the parameters if they need another, without a view of x."""
    if not center or x.dtype.kind != "f" or not x.size:
        raise NotLowered
    if view is None and fit is None:
        return tuple(axis), None
    channels = x.shape[1] if len(x.shape) > 2 else 0
    if tuple(view or ()) != (x.shape[0], channels, x.size // max(1, x.shape[0] * channels)) or tuple(
        axis
    ) != (0, 2):
        raise NotLowered
    return (0, *range(2, len(x.shape))), (channels, *(1,) * (len(x.shape) - 2))


@forward("standardize")
def _standardize(
    w: Forms, call: Call, x: Var, gamma: Var | None = None, beta: Var | None = None, axis: Any = (0,),
    eps: float = 1e-5, center: bool = True, moments: Any = None, view: Any = None, fit: Any = None,
) -> Any:  # fmt: skip
    axis, fit = _plain_norm(x, axis, view, fit, center)
    gamma, beta = (p if p is None or fit is None else w.b.reshape(p, fit) for p in (gamma, beta))
    b, s = w.b, w.result(call)
    keep = tuple(axis) != (0,)  # averages over the first axis broadcast by themselves
    mean = b.named(b.mean(x, axis, keep), f"mu{s}")
    square = w.formula("({0:sum} - {1:product}) ** 2", x, mean, strength=SIGN)
    variance = b.named(b.mean(square, axis, keep), f"var{s}")
    std = w.formula(f"np.sqrt({{0:sum}} + {short(eps)})", variance, name=f"std{s}")
    hat = w.formula("({0:sum} - {1:product}) / {2:atom}", x, mean, std, strength=PRODUCT)
    b.named(hat, f"{(w.names.name(x) or 'x')[:1]}hat{s}")
    if moments is not None:
        _track(w, moments, mean, variance, x.size // mean.size)
    w.kept[w.key] = hat, std, axis, keep, gamma
    out = hat
    if gamma is not None:
        out = w.formula("{1:product} * {0:atom}", out, gamma, strength=PRODUCT)
    return out if beta is None else b.add(out, beta)


def _track(w: Forms, moments: Any, mean: Var, variance: Var, n: int) -> None:
    """Move running statistics towards a batch's."""
    share = float(moments.momentum)
    count = None if moments.batches is None else w.b.state_of(moments.batches)
    for name, batch, own in (("mean", mean, moments.mean_share), ("var", variance, moments.var_share)):
        running = w.b.state_of(getattr(moments, name, None))
        if batch.size != running.size:
            raise NotLowered("statistics of each example")
        unbiased = n > 1 and abs(float(own) - share * n / (n - 1)) < 1e-12
        rest = f" * {n} / {n - 1}" if unbiased else ""
        text = (
            f"{short(1 - share)} * {{0:atom}} + {short(share if unbiased else float(own))} * {{1:atom}}{rest}"
        )
        batch = w.b.reshape(batch, running.shape)
        if count is not None:  # the plain average of all batches
            text = f"{{0:atom}} + ({{1:atom}}{rest} - {{0:atom}}) / ({{2:atom}} + 1)"
            w.b.assign(running, w.formula(text, running, batch, count, strength=SUM))
            continue
        w.b.assign(running, w.formula(text, running, batch, strength=SUM))


@backward("standardize")
def _standardize_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, gamma, beta = (*call.inputs, None, None)[:3]
    options = options_of(call)
    assert isinstance(x, Var)
    _plain_norm(x, *(options[name] for name in ("axis", "view", "fit", "center")))
    b = w.b
    hat, std, axis, keep, fitted = w.kept[w.key]
    dgamma = dbeta = dx = None
    rest = None if options["fit"] is None else tuple(i for i in range(len(x.shape)) if i != 1)
    if isinstance(gamma, Var) and needed[1]:
        product = b.multiply(g, hat)
        dgamma = b.fitted(product, gamma) if rest is None else b.sum(product, rest)
    if isinstance(beta, Var) and needed[2]:
        dbeta = b.fitted(g, beta) if rest is None else b.sum(g, rest)
    if needed[0]:
        d = b.named(b.multiply(g, fitted), f"d{hat.name}") if isinstance(fitted, Var) else g
        means = [b.mean(d, axis, keep), b.mean(b.multiply(d, hat), axis, keep)]
        text = "({0:sum} - {1:product} - {2:product} * {3:atom}) / {4:atom}"
        dx = w.formula(text, d, means[0], hat, means[1], std, strength=PRODUCT)
    return [dx, dgamma, dbeta][: len(call.inputs)]


# Images


def _pair(x: Any) -> tuple[int, int]:
    found = (int(x),) * 2 if isinstance(x, (int, np.integer)) else x
    if isinstance(found, str) or len(found) != 2 or not all(isinstance(n, (int, np.integer)) for n in found):
        raise NotLowered
    return int(found[0]), int(found[1])


def _conv_options(x: Var, weight: Var, options: dict[str, Any]) -> tuple[str, tuple[int, ...]]:
    """The arguments of im2col as text, and the positions of the windows."""
    if len(x.shape) != 4 or options["groups"] != 1 or _pair(options["dilation"]) != (1, 1):
        raise NotLowered
    if x.dtype != weight.dtype or x.dtype.kind != "f" or not x.size or not weight.size:
        raise NotLowered
    kernel, stride, padding = weight.shape[2:], _pair(options["stride"]), _pair(options["padding"])
    counts = tuple((n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, padding))
    if min(counts) < 1:
        raise NotLowered
    return f"{tuple(kernel)}, {stride}, {padding}", counts


@forward("conv")
def _conv(w: Forms, call: Call, x: Var, weight: Var, bias: Var | None = None, **options: Any) -> Var:
    text, counts = _conv_options(x, weight, options)
    b, filters = w.b, weight.shape[0]
    shape = (x.shape[0] * counts[0] * counts[1], weight.size // filters)
    cols = w.formula(
        f"im2col({{0}}, {text})", x, shape=shape, name=f"cols{w.result(call)}", helpers=("im2col",)
    )
    w.kept[w.key] = cols
    out = b.matmul(cols, b.transpose(b.reshape(weight, (filters, shape[1]))))
    out = out if bias is None else b.add(out, bias)
    return b.transpose(b.reshape(out, (x.shape[0], *counts, filters)), (0, 3, 1, 2))


@backward("conv")
def _conv_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    x, weight = call.inputs[:2]
    assert isinstance(x, Var) and isinstance(weight, Var)
    text, _ = _conv_options(x, weight, options_of(call))
    b, filters, cols = w.b, weight.shape[0], w.kept[w.key]
    rows = b.reshape(b.transpose(g, (0, 2, 3, 1)), (cols.shape[0], filters))
    if g.name:
        rows = b.named(rows, f"{g.name}_rows")
    dw = b.reshape(b.matmul(b.transpose(rows), cols), weight.shape) if needed[1] else None
    db = b.sum(rows, 0) if needed[2:] and needed[2] else None
    dx = None
    if needed[0]:
        spread = b.matmul(rows, b.reshape(weight, (filters, cols.shape[1])))
        dx = w.formula(
            f"col2im({{0}}, {x.shape}, {text})", spread, shape=x.shape, helpers=("col2im",)
        )  # fmt: skip
    return [dx, dw, db][: len(call.inputs)]


def _pool_options(x: Var, options: dict[str, Any], average: bool = False) -> str:
    if (
        len(x.shape) != 4
        or not x.size
        or options.get("ceil_mode")
        or _pair(options.get("dilation", 1)) != (1, 1)
    ):
        raise NotLowered
    kernel = _pair(options["kernel"])
    stride = kernel if options["stride"] is None else _pair(options["stride"])
    padding = _pair(options["padding"])
    counts = [(n + 2 * p - k) // s + 1 for n, k, s, p in zip(x.shape[2:], kernel, stride, padding)]
    if min(counts) < 1 or (average and padding != (0, 0)):
        raise NotLowered
    return f"{kernel}, {stride}" + (f", {padding}" if padding != (0, 0) else "")


@forward("max_pool")
def _max_pool(w: Forms, call: Call, x: Var, **options: Any) -> Var:
    text = _pool_options(x, options)
    out = call.outputs[0]
    assert out is not None
    made, at = Var(out.shape, out.dtype), Var(out.shape, np.dtype(np.int64))
    made.name, at.name = w.names.of.get(out.serial, "P"), f"at{w.result(call)}"
    w.lines([f"{{out0}}, {{out1}} = max_pool({{0}}, {text})"], [x], [made, at], helpers=("max_pool",))
    w.kept[w.key] = at
    return made


@backward("max_pool")
def _max_pool_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    (x,) = call.inputs
    assert isinstance(x, Var)
    text = _pool_options(x, options_of(call))
    at = w.kept[w.key]
    text = f"max_pool_backward({{0}}, {{1}}, {x.shape}, {text})"
    return [w.formula(text, g, at, shape=x.shape, helpers=("max_pool_backward",))]


@forward("avg_pool")
def _avg_pool(w: Forms, call: Call, x: Var, **options: Any) -> Var:
    text = _pool_options(x, options, True)
    if options["divisor_override"] is not None:
        raise NotLowered
    (out, *_) = call.outputs
    assert out is not None
    return w.formula(f"avg_pool({{0}}, {text})", x, shape=out.shape, helpers=("avg_pool",))


@backward("avg_pool")
def _avg_pool_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    (x,), options = call.inputs, options_of(call)
    if not isinstance(x, Var) or options["divisor_override"] is not None:
        raise NotLowered
    text = f"avg_pool_backward({{0}}, {x.shape}, {_pool_options(x, options, True)})"
    return [w.formula(text, g, shape=x.shape, helpers=("avg_pool_backward",))]


# Sequences


@forward("rows")
def _rows(w: Forms, call: Call, table: Var, indices: Operand) -> Var:
    (out, *_) = call.outputs
    if not isinstance(indices, Var) or out is None:
        raise NotLowered
    return w.formula("{0:atom}[{1}]", table, indices, shape=out.shape)


@backward("rows")
def _rows_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    (table,), (indices,) = call.inputs, call.options
    if not isinstance(table, Var) or not isinstance(indices, Var):
        raise NotLowered
    text = f"add_rows({{0}}, {{1}}, {table.shape})"
    return [w.formula(text, g, indices, shape=table.shape, helpers=("add_rows",))]


def _sequence(w: Forms, kind: str, call: Call, inputs: Sequence[Operand]) -> Var:
    out = call.outputs[0]
    assert out is not None
    made, steps = Var(out.shape, out.dtype), Var((), np.dtype(object))
    made.name, steps.name = w.names.of.get(out.serial, "H"), f"steps{w.result(call)}"
    given = [
        _zeros(w, x, ("h0", "c0")[i - 1]) if 0 < i < len(inputs) - 4 else x for i, x in enumerate(inputs)
    ]
    given = [0 if x is None else x for x in given]
    slots = ", ".join(f"{{{i}}}" for i in range(len(given)))
    helpers = ("sigmoid", f"{kind}_forward") if kind != "rnn" else (f"{kind}_forward",)
    w.lines([f"{{out0}}, {{out1}} = {kind}_forward({slots})"], given, [made, steps], helpers=helpers)
    w.kept[w.key] = steps
    return made


def _zeros(w: Forms, x: Operand, name: str) -> Operand:
    """A state to begin with, under its name if it is made of zeros."""
    made = {v.serial: s for s in w.b.steps for v in s.writes()}
    root = x
    while isinstance(root, Var) and root.serial in made and isinstance(step := made[root.serial], Prim):
        if step.kind not in VIEW:
            return x
        root = step.inputs[0]
    if not isinstance(x, Var) or not isinstance(root, Var) or root.kind != "constant" or fixed(root).any():
        return x
    return w.formula(f"np.zeros({x.shape}, np.{x.dtype.name})", like=x, shape=x.shape, name=name)


def _sequence_vjp(
    w: Forms, kind: str, given: Sequence[Operand], call: Call, needed: Sequence[bool]
) -> Sequence[Operand]:
    outputs: list[Var | None] = []
    for x, wanted in zip(call.inputs, needed):
        out = Var(x.shape, x.dtype) if wanted and isinstance(x, Var) else None
        if out is not None:
            out.name = f"d{w.names.name(x) or 'h'}"
        outputs.append(out)
    slots = ", ".join(f"{{{i}}}" for i in range(len(given)))
    targets = ", ".join("_" if v is None else f"{{out{i}}}" for i, v in enumerate(outputs))
    w.lines([f"{targets} = {kind}_backward({slots})"], given, outputs, helpers=(f"{kind}_backward",))
    return outputs


@forward("lstm")
def _lstm(w: Forms, call: Call, *inputs: Operand) -> Var:
    return _sequence(w, "lstm", call, inputs)


@backward("lstm")
def _lstm_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    steps = w.kept[w.key]
    return _sequence_vjp(w, "lstm", [g, steps, *call.inputs[3:5]], call, needed)


@forward("gru")
def _gru(w: Forms, call: Call, *inputs: Operand) -> Var:
    return _sequence(w, "gru", call, inputs)


@backward("gru")
def _gru_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    return _sequence_vjp(w, "gru", [g, w.kept[w.key], *call.inputs[2:4]], call, needed)


@forward("rnn")
def _rnn(w: Forms, call: Call, *inputs: Operand, nonlinearity: str = "tanh") -> Var:
    if nonlinearity != "tanh":
        raise NotLowered
    return _sequence(w, "rnn", call, inputs)


@backward("rnn")
def _rnn_vjp(w: Forms, g: Var, call: Call, needed: Sequence[bool]) -> Sequence[Operand]:
    steps = w.kept.get(w.key)
    if steps is None:
        raise NotLowered
    return _sequence_vjp(w, "rnn", [g, call.outputs[0], steps, *call.inputs[2:4]], call, needed)


def short(x: float) -> str:
    """A number in few digits, if these are all that count."""
    text = f"{x:.8g}"
    text = text if abs(float(text) - x) <= 1e-15 * abs(x) else repr(x)
    return re.sub(r"e([-+])0(\d)", r"e\1\2", text)
