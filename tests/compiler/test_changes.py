"""What changes between the calls of a compiled training step: it goes on as the eager step does.

Each change is made after some steps of a small network; both then take more. The results, parameters and gradients
are compared after every step, and so are the errors.
"""

from __future__ import annotations

import copy
import os
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.compiler.test_steps import BACKENDS
from tinygrad_dl import nn, optim

RNG = np.random.default_rng(0)
X = RNG.normal(size=(6, 4)).astype("f")
Y = RNG.integers(0, 3, 6)
CHANGES: list[tuple[str, list[Callable[[Any], Any]], dict[str, Any]]] = []


def network(seed: int = 1) -> Any:
    tg.manual_seed(seed)
    return nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 3))


def square() -> Any:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 4), nn.Tanh(), nn.Linear(4, 4))


def normalized() -> Any:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))


def noisy() -> Any:
    tg.manual_seed(1)
    return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Dropout(0.4), nn.Linear(5, 3))


class World:
    """A model with its optimizer, and the arguments of the next step."""

    def __init__(self, make: Any = network, opt: Any = None, at0: Any = None) -> None:
        self.model: Any = make()
        opt = opt or (lambda p: optim.SGD(p, lr=0.1, momentum=0.9))
        self.optimizer, self.loss = opt(self.model.parameters()), nn.CrossEntropyLoss()
        self.args = [tg.asarray(X), Y]
        if at0 is not None:
            at0(self)

    def step(self, zero: bool) -> Callable[..., Any]:
        model, optimizer, loss = self.model, self.optimizer, self.loss

        def step(x: Any, y: Any) -> Any:
            if zero:
                optimizer.zero_grad()
            value = loss(model(x), y)
            value.backward()
            optimizer.step()
            return value

        return step

    def state(self) -> list[Any]:
        grads = [None if p.grad is None else p.grad.numpy().copy() for p in self.model.parameters()]
        return [*(np.array(v) for v in self.model.state_dict().values()), *grads]


def change(name: str, changes: list[Callable[[Any], Any]], **options: Any) -> None:
    CHANGES.append((name, changes, options))


change(
    "lr",
    [
        lambda w: w.optimizer.param_groups[0].update(lr=0.01),
        lambda w: w.optimizer.param_groups[0].update(lr=0.0),
    ],
)
change(
    "momentum0",
    [
        lambda w: w.optimizer.param_groups[0].update(momentum=0.0),
        lambda w: w.optimizer.param_groups[0].update(momentum=0.5),
    ],
)
change(
    "nesterov",
    [
        lambda w: w.optimizer.param_groups[0].update(nesterov=True),
        lambda w: w.optimizer.param_groups[0].update(maximize=True),
    ],
)
change(
    "wd",
    [
        lambda w: w.optimizer.param_groups[0].update(weight_decay=0.3),
        lambda w: w.optimizer.param_groups[0].update(weight_decay=0.0),
    ],
)
ADAPTIVE: dict[str, Callable[[Any], Any]] = {
    "Adam": lambda p: optim.Adam(p, lr=0.05),
    "AdamW": lambda p: optim.AdamW(p, lr=0.05),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01),
    "NAdam": lambda p: optim.NAdam(p, lr=0.02),
    "RAdam": lambda p: optim.RAdam(p, lr=0.05),
}
for kind, adaptive in ADAPTIVE.items():
    change(kind + " wd", [lambda w: w.optimizer.param_groups[0].update(weight_decay=0.3)], opt=adaptive)
    change(kind + " maximize", [lambda w: w.optimizer.param_groups[0].update(maximize=True)], opt=adaptive)
change(
    "Adam: betas",
    [
        lambda w: w.optimizer.param_groups[0].update(betas=(0.5, 0.6)),
        lambda w: w.optimizer.param_groups[0].update(betas=[0.6, 0.7]),
        lambda w: w.optimizer.param_groups[0]["betas"].__setitem__(0, 0.1),
        lambda w: w.optimizer.param_groups[0].update(eps=1e-2),
    ],
    opt=lambda p: optim.Adam(p, lr=0.05),
)
change(
    "Adam: amsgrad",
    [lambda w: w.optimizer.param_groups[0].update(amsgrad=True)],
    opt=lambda p: optim.Adam(p, lr=0.05),
)
change(
    "Adam: tensor lr",
    [lambda w: w.optimizer.param_groups[0]["lr"].data.__setitem__((), 0.2)],
    opt=lambda p: optim.Adam(p, lr=tg.Tensor(0.05)),
)
change("Adam: state cleared", [lambda w: w.optimizer.state.clear()], opt=lambda p: optim.Adam(p, lr=0.05))
change(
    "Adam: state one deleted",
    [lambda w: w.optimizer.state.pop(w.model[0].weight)],
    opt=lambda p: optim.Adam(p, lr=0.05),
)
change(
    "Adam: step set",
    [lambda w: w.optimizer.state[w.model[0].weight].update(step=100)],
    opt=lambda p: optim.Adam(p, lr=0.05),
)
change(
    "Adam: state array inplace",
    [lambda w: w.optimizer.state[w.model[0].weight]["exp_avg"].__setitem__(Ellipsis, 3.0)],
    opt=lambda p: optim.Adam(p, lr=0.05),
)
change(
    "Adam: state array replaced",
    [lambda w: w.optimizer.state[w.model[0].weight].update(exp_avg=np.full((5, 4), 3.0, np.float32))],
    opt=lambda p: optim.Adam(p, lr=0.05),
)
change(
    "Adam: state load",
    [lambda w: w.optimizer.load_state_dict(copy.deepcopy(w.saved))],
    opt=lambda p: optim.Adam(p, lr=0.05),
    at0=lambda w: setattr(w, "saved", copy.deepcopy(w.optimizer.state_dict())),
)
change(
    "freeze",
    [
        lambda w: (w.model[0].weight.requires_grad_(False), setattr(w.model[0].weight, "grad", None)),
        lambda w: w.model[0].weight.requires_grad_(True),
    ],
)
change(
    "freeze keep grad",
    [lambda w: w.model[0].weight.requires_grad_(False), lambda w: w.model[0].weight.requires_grad_(True)],
)
change("freeze all but", [lambda w: w.model[0].requires_grad_(False), lambda w: w.model.requires_grad_(True)])
change(
    "replace param",
    [lambda w: setattr(w.model[0], "weight", nn.Parameter(np.ones((5, 4), np.float32) * 0.1))],
)
change(
    "replace param add group",
    [
        lambda w: (
            setattr(w.model[0], "weight", nn.Parameter(np.ones((5, 4), np.float32) * 0.1)),
            w.optimizer.add_param_group({"params": [w.model[0].weight], "lr": 0.01}),
        )
    ],
)
change(
    "replace layer",
    [
        lambda w: (tg.manual_seed(4), w.model.__setitem__(1, nn.ReLU())),
        lambda w: w.model.append(nn.Softplus()),
    ],
)
change("p.data rebind", [lambda w: setattr(w.model[0].weight, "data", np.ones((5, 4), np.float32) * 0.1)])
change(
    "p.data rebind fortran",
    [lambda w: setattr(w.model[0].weight, "data", np.asfortranarray(np.ones((5, 4), np.float32) * 0.1))],
)
change(
    "p.data rebind strided",
    [
        lambda w: setattr(
            w.model[0].weight, "data", (np.arange(40, dtype=np.float32).reshape(5, 8) * 0.01)[:, ::2]
        )
    ],
)
change(
    "p.data shared",
    [
        lambda w: setattr(w.model[0].bias, "data", w.buf),
    ],
    at0=lambda w: setattr(w, "buf", np.zeros(5, np.float32)),
)
change("load state", [lambda w: w.model.load_state_dict(network(7).state_dict())])
change("load state assign", [lambda w: w.model.load_state_dict(network(7).state_dict(), assign=True)])
change("double", [lambda w: w.model.double()])
change("tie", [lambda w: setattr(w.model[2], "weight", w.model[0].weight)], make=square)


def addhook(w):
    w.h = w.model[0].register_forward_hook(lambda m, a, o: o * 2)


change("fwd hook", [addhook, lambda w: w.h.remove()])


def addpre(w):
    w.h = w.model[0].register_forward_pre_hook(lambda m, a: (a[0] * 2,))


change("pre hook", [addpre, lambda w: w.h.remove()])


def addbwd(w):
    w.h = w.model[0].register_full_backward_hook(
        lambda m, gi, go: tuple(None if g is None else g * 3 for g in gi)
    )


change("bwd hook", [addbwd, lambda w: w.h.remove()])


def tenshook(w):
    w.h = w.model[0].weight.register_hook(lambda g: g * 3)


change("param hook", [tenshook, lambda w: w.h.remove()])
change(
    "group",
    [lambda w: w.optimizer.add_param_group({"params": [w.extra]})],
    at0=lambda w: setattr(w, "extra", nn.Parameter(np.ones(3, np.float32))),
)


def moregroup(w):
    g = w.optimizer.param_groups[0]
    p = g["params"].pop()
    w.optimizer.add_param_group({"params": [p], "lr": 0.001})


change("split group", [moregroup])
change("param removed from group", [lambda w: w.optimizer.param_groups[0]["params"].pop()])
change("eval", [lambda w: w.model.eval(), lambda w: w.model.train()], make=noisy)
change(
    "dropout p",
    [
        lambda w: setattr(w.model[2], "p", 0.9),
        lambda w: setattr(w.model[2], "p", 0.0),
        lambda w: setattr(w.model[2], "p", 1.0),
        lambda w: setattr(w.model[2], "p", 0.3),
    ],
    make=noisy,
)
change(
    "bn momentum",
    [
        lambda w: setattr(w.model[1], "momentum", 0.9),
        lambda w: setattr(w.model[1], "momentum", None),
        lambda w: setattr(w.model[1], "eps", 0.1),
        lambda w: w.model[1].reset_running_stats(),
    ],
    make=normalized,
)
change(
    "bn buffers rebind",
    [lambda w: setattr(w.model[1].running_mean, "data", np.ones(5, np.float32))],
    make=normalized,
)
change("bn buffers replace", [lambda w: setattr(w.model[1], "running_mean", tg.ones(5))], make=normalized)
change("reseed", [lambda w: tg.manual_seed(9)], make=noisy)
change(
    "loss attr",
    [
        lambda w: setattr(w.loss, "label_smoothing", 0.3),
        lambda w: setattr(w.loss, "reduction", "sum"),
        lambda w: setattr(w.loss, "weight", tg.Tensor([1.0, 2.0, 3.0])),
        lambda w: w.loss.weight.data.__setitem__(0, 9.0),
    ],
)
change("grad set", [lambda w: setattr(w.model[0].weight, "grad", tg.ones((5, 4)))])
change("zero_grad False", [lambda w: None], zero=False)
change(
    "sched",
    [lambda w: w.sch.step(), lambda w: w.sch.step()],
    at0=lambda w: setattr(w, "sch", optim.lr_scheduler.StepLR(w.optimizer, 1, 0.5)),
)
change("init_ inplace", [lambda w: nn.init.constant_(w.model[0].weight, 0.3)])
change("prune mask weightnorm", [lambda w: nn.utils.parametrizations.weight_norm(w.model[0])])
change("spectral", [lambda w: nn.utils.parametrizations.spectral_norm(w.model[0])])
change("optimizer zero_grad patched", [lambda w: setattr(w.optimizer, "zero_grad", lambda *a: None)])
change("lr numpy", [lambda w: w.optimizer.param_groups[0].update(lr=np.float32(0.01))])
change("lr numpy array", [lambda w: w.optimizer.param_groups[0].update(lr=np.array(0.01))])
change("lr inf", [lambda w: w.optimizer.param_groups[0].update(lr=float("inf"))])
change("x nan", [lambda w: w.args.__setitem__(0, tg.asarray(X * np.nan))])
change("x dtype", [lambda w: w.args.__setitem__(0, tg.asarray(X.astype("d")))])
change("x f16", [lambda w: w.args.__setitem__(0, tg.asarray(X.astype("e")))])
change(
    "x fortran",
    [
        lambda w: w.args.__setitem__(0, tg.asarray(np.asfortranarray(X))),
        lambda w: w.args.__setitem__(0, tg.asarray(X[::-1])),
        lambda w: w.args.__setitem__(0, tg.asarray(X[:, ::-1])),
        lambda w: w.args.__setitem__(0, tg.asarray(np.repeat(X, 2, 1)[:, ::2])),
    ],
)


def ro(w):
    a = X.copy()
    a.flags.writeable = False
    w.args[0] = tg.asarray(a)


change("x readonly", [ro])
change("x numpy", [lambda w: w.args.__setitem__(0, X)])
change("x list", [lambda w: w.args.__setitem__(0, X.tolist())])
change("x requires grad", [lambda w: w.args.__setitem__(0, tg.Tensor(X, requires_grad=True))])
change(
    "x shape",
    [
        lambda w: w.args.__setitem__(slice(0, 2), [tg.asarray(X[:3]), Y[:3]]),
        lambda w: w.args.__setitem__(slice(0, 2), [tg.asarray(X[:1]), Y[:1]]),
    ],
)
change("x broadcast", [lambda w: w.args.__setitem__(0, tg.asarray(np.broadcast_to(X[0], (6, 4))))])
change(
    "y dtype",
    [
        lambda w: w.args.__setitem__(1, Y.astype("int32")),
        lambda w: w.args.__setitem__(1, tg.asarray(Y)),
        lambda w: w.args.__setitem__(1, Y.tolist()),
    ],
)
change("x big endian", [lambda w: w.args.__setitem__(0, X.astype(">f4"))])


def trace(compiled: str, changes: Any, options: dict[str, Any]) -> list[Any]:
    """The results, states and errors of all steps."""
    options = dict(options)
    zero = options.pop("zero", True)
    world, found = World(**options), []
    step = world.step(zero)
    if compiled:
        step = tg.compile(step, backend=compiled)
    tg.manual_seed(5)
    for alter in [*changes, lambda w: None]:
        for _ in range(4):
            try:
                found.append([np.array(step(*world.args).item()), *world.state()])
            except Exception as error:
                found.append(f"{type(error).__name__}: {error}")
        alter(world)
    return found


THOROUGH = os.environ.get("HYPOTHESIS_PROFILE") == "thorough"
NATIVE = find_spec("llvmlite") is not None
CASES = [
    pytest.param(backend, changes, options, id=f"{name}-{backend}")
    for i, (name, changes, options) in enumerate(CHANGES)
    for j, backend in enumerate(["numpy", "llvm"])
    if (NATIVE or backend == "numpy") and (THOROUGH or not NATIVE or (i + j) % 2)
]


@pytest.mark.parametrize(("backend", "changes", "options"), CASES)
def test_a_compiled_step_goes_on_as_the_eager_one(backend: str, changes: Any, options: Any) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        expected, got = trace("", changes, options), trace(backend, changes, options)
    assert len(expected) == len(got)
    for i, (a, b) in enumerate(zip(expected, got)):
        if isinstance(a, str) or isinstance(b, str):
            assert a == b, f"step {i}"
            continue
        for x, y in zip(a, b, strict=True):
            assert (x is None) == (y is None), f"step {i}"
            if x is not None:
                assert x.dtype == y.dtype
                np.testing.assert_allclose(y, x, rtol=2e-4, atol=2e-5, err_msg=f"step {i}")


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("change", ["decay", "cleared", "momentum"])
def test_a_run_that_an_option_ends_has_drawn_nothing(change: str, backend: str) -> None:
    """Draws come before the update in a step; the numbers of the update are looked at before the draws."""

    def trained(wrap: Any) -> Any:
        tg.manual_seed(0)
        model = nn.Sequential(nn.Linear(3, 4), nn.Dropout(0.5), nn.Linear(4, 2))
        optimizer = optim.SGD(model.parameters(), lr=0.01, momentum=0.9 if change == "momentum" else 0.0)
        generator = np.random.default_rng(1)

        def step(x: Any) -> Any:
            x = x + tg.randn(x.shape, rng=generator)
            optimizer.zero_grad()
            loss = (model(x) ** 2).mean()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        for i in range(12):
            if i == 7 and change == "cleared":
                optimizer.state.clear()
            elif i == 7:
                optimizer.param_groups[0]["weight_decay" if change == "decay" else "momentum"] = 0.5 * (i % 2)
            yield step(tg.ones((5, 3))).item(), generator.bit_generator.state

    got, expected = (list(trained(w)) for w in (lambda f: tg.compile(f, backend=backend), lambda f: f))
    for (loss, state), (right, drawn) in zip(got, expected, strict=True):
        np.testing.assert_allclose(loss, right, rtol=1e-5)
        assert state == drawn


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("inside", [False, True])
def test_gradients_of_frozen_parameters_are_never_stale(inside: bool, backend: str) -> None:
    """An optimizer updates what has a gradient, if it requires one or not."""

    def trained(wrap: Any) -> Any:
        tg.manual_seed(0)
        model, scale = nn.Linear(2, 2), nn.Parameter(tg.ones((2,)))
        optimizer = optim.SGD([*model.parameters(), scale], lr=0.01, momentum=0.5)

        def step(x: Any) -> Any:
            if inside:
                optimizer.zero_grad(set_to_none=False)
            else:
                model.zero_grad()
            loss = (model(x) * scale).mean()
            loss.backward()
            optimizer.step()
            return loss

        step = wrap(step)
        for i in range(16):
            if i == 3:
                scale.requires_grad_(False)
            if i == 8:
                optimizer.zero_grad()
            if i == 12:
                scale.grad = tg.ones((2,))
            step(tg.ones((3, 2)))
            yield scale.numpy().copy() if i >= 3 else None, scale.grad is None

    got, expected = (list(trained(w)) for w in (lambda f: tg.compile(f, backend=backend), lambda f: f))
    for (value, none), (right, missing) in zip(got, expected, strict=True):
        assert none == missing
        if right is not None:
            np.testing.assert_allclose(value, right, rtol=1e-5)
