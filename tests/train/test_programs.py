"""Compiled steps of the Trainer: eager's results, the same bits every time, and eager where a program does not pay."""

from __future__ import annotations

import copy
import pickle
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.data import TensorDataset
from tinygrad_dl.errors import AnomalyError
from tinygrad_dl.train import (
    AveragedWeights,
    Callback,
    ClipGradients,
    EarlyStopping,
    Monitor,
    Penalty,
    Schedule,
    Trainer,
    programs,
)

pytest.importorskip("llvmlite", reason="without it steps are eager")


@pytest.fixture
def cheap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any program is worth making."""
    monkeypatch.setattr(programs, "GAIN", 0.0)


def points(n: int = 43, seed: int = 0) -> TensorDataset:
    draw = np.random.default_rng(seed)
    x = draw.normal(size=(n, 5)).astype(np.float64)
    return TensorDataset(x, (x[:, 0] * x[:, 1] > 0).astype(np.int64) + (x[:, 2] > 1))


def network() -> nn.Module:
    tg.manual_seed(1)
    layers = [nn.Linear(5, 12), nn.Tanh(), nn.Dropout(0.2), nn.BatchNorm1d(12), nn.Linear(12, 3)]
    return nn.Sequential(*layers).astype(np.float64)


def made(
    compile: Any, callbacks: Any = (), optimizer: Callable[[Any], Any] | None = None, **options: Any
) -> Trainer:
    model = network()
    make = optimizer or (lambda p: optim.Adam(p, lr=0.01))
    options = {"metrics": ["accuracy"], "progress": "off"} | options
    return Trainer(
        model,
        nn.CrossEntropyLoss(),
        make(model.parameters()),
        callbacks=[c() if isinstance(c, type) or callable(c) else c for c in callbacks],
        compile=compile,
        **options,
    )


def in_use(t: Trainer, what: str = "step") -> int:
    """How many programs run the steps of a Trainer."""
    if what not in t._programs or t._programs[what][1].compiled is None:
        return 0
    return sum(e.verified for es in t._programs[what][1].compiled._entries.values() for e in es)


def assert_same_run(a: Trainer, b: Trainer) -> None:
    for key in a.history.epochs[0]:
        if key != "seconds":
            np.testing.assert_allclose(b.history[key], a.history[key], rtol=1e-9, err_msg=key)
    for (name, x), y in zip(a.model.state_dict().items(), b.model.state_dict().values(), strict=True):
        np.testing.assert_allclose(y, x, rtol=1e-8, atol=1e-11, err_msg=name)
    for p, q in zip(a.model.parameters(), b.model.parameters(), strict=True):
        np.testing.assert_allclose(q.grad.numpy(), p.grad.numpy(), rtol=1e-7, atol=1e-10)
        one, other = a.optimizer.state[p], b.optimizer.state[q]
        assert one.keys() == other.keys() and one["step"] == other["step"]


class Halving(Callback):
    """Reads the gradients, and changes some."""

    def __init__(self) -> None:
        self.norms: list[float] = []

    def on_backward(self, trainer: Trainer) -> None:
        p, q = list(trainer.model.parameters())[:2]
        self.norms.append(float(np.linalg.norm(p.grad.numpy())))
        p.grad = tg.asarray(p.grad.numpy() / 2)
        q.grad.data[...] *= 0.5


class Looking(Callback):
    """Sees gradients and parameters after each step."""

    def __init__(self) -> None:
        self.seen: list[float] = []

    def on_batch_end(self, trainer: Trainer) -> None:
        p = trainer.model[0].weight
        self.seen += [float(p.grad.numpy().sum()), float(p.detach().numpy().sum()), trainer.running_loss]


CALLBACKS: dict[str, list[Any]] = {
    "none": [],
    "clipped norm": [lambda: ClipGradients(norm=0.3)],
    "clipped values": [lambda: ClipGradients(value=0.02)],
    "penalty": [lambda: Penalty(1e-3, 1e-2)],
    "penalty and clipping": [lambda: Penalty(l2=1e-2), lambda: ClipGradients(norm=0.2)],
    "own": [Halving],
    "own and clipping": [Halving, lambda: ClipGradients(norm=0.2)],
    "looking": [Looking],
    "schedule": [lambda: Schedule(lambda epoch: 0.7**epoch, per="batch")],
    "averages": [lambda: AveragedWeights(0.9)],
    "early stopping": [lambda: EarlyStopping(patience=2)],
}


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("compile", ["auto", True])
@pytest.mark.parametrize("name", CALLBACKS)
def test_a_run_is_that_of_eager_steps(name: str, compile: Any) -> None:
    runs = []
    for mode in (False, compile):
        tg.manual_seed(4)
        t = made(mode, CALLBACKS[name])
        t.fit(points(), points(30, 1), 8, batch_size=10, rng=0)
        runs.append(t)
    assert in_use(runs[1]) == 2  # one for the last batch of each epoch, which is smaller
    assert in_use(runs[1], "update") == ("own" in name)
    assert in_use(runs[1], "evaluation") == 0  # 8 evaluations are too few
    assert_same_run(*runs)
    for a, b in zip(*(t.callbacks for t in runs)):
        for key in ("norms", "seen", "steps", "clipped", "best_epoch"):
            np.testing.assert_allclose(getattr(b, key, 0), getattr(a, key, 0), rtol=1e-7)
        assert getattr(b, "share", 0) == getattr(a, "share", 0)


OPTIMIZERS: dict[str, Callable[[Any], Any]] = {
    "SGD": lambda p: optim.SGD(p, lr=0.05),
    "momentum": lambda p: optim.SGD(p, lr=0.05, momentum=0.9, dampening=0.2),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01, amsgrad=True),
    "RAdam": lambda p: optim.RAdam(p, lr=0.01),
    "NAdam": lambda p: optim.NAdam(p, lr=0.01),
    "Rprop": lambda p: optim.Rprop(p, lr=0.01),
    "Adafactor": lambda p: optim.Adafactor(p, lr=0.01),
}


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_kind_of_optimizer_counts_its_steps(name: str) -> None:
    runs = []
    for mode in (False, "auto"):
        tg.manual_seed(4)
        t = made(mode, optimizer=OPTIMIZERS[name])
        t.fit(points(40), None, 6, batch_size=10, rng=0)
        t.fit(points(40), None, 2, batch_size=10, rng=1)
        runs.append(t)
    assert in_use(runs[1]) >= 1
    assert_same_run(*runs)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("kind", ["none", "clip", "monitor"])
def test_the_same_run_and_a_resumed_one_give_the_same_bits(kind: str) -> None:
    made_of = {"none": [], "clip": [lambda: ClipGradients(norm=0.1)], "monitor": [lambda: Monitor(every=7)]}
    callbacks: list[Any] = made_of[kind]  # type: ignore[assignment]

    def fit(epochs: int, state: Any = None) -> Trainer:
        tg.manual_seed(4)
        t = made("auto", callbacks)
        data = tg.data.DataLoader(points(), 10, shuffle=True, rng=0)
        t.loader = data
        if state is not None:
            t.load_state_dict(state)
        t.fit(data, points(30, 1), epochs)
        return t

    whole, again = fit(30), fit(30)

    class Saved(Callback):
        state: Any = None

        def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
            if epoch["epoch"] == 3:
                self.state = copy.deepcopy(trainer.state_dict())

    assert in_use(whole) >= 1 and in_use(whole, "evaluation") == 1
    saved = Saved()
    tg.manual_seed(4)
    t = made("auto", callbacks)
    t.callbacks.append(saved)
    t.fit(tg.data.DataLoader(points(), 10, shuffle=True, rng=0), points(30, 1), 30)
    saved.state["callbacks"] = saved.state["callbacks"][: len(callbacks)]
    resumed = fit(27, saved.state)
    for other in (again, t, resumed):
        for p, q in zip(whole.model.state_dict().values(), other.model.state_dict().values(), strict=True):
            np.testing.assert_array_equal(p, q)
        assert whole.history["loss"] == other.history["loss"]


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("allow", [False, True])
def test_a_loss_of_nan_ends_the_step_before_the_update(allow: bool) -> None:
    runs = []
    for mode in (False, "auto"):
        tg.manual_seed(4)
        t = made(mode, allow_nan=allow, optimizer=lambda p: optim.NAdam(p, lr=0.01))
        t.fit(points(40), None, 3, batch_size=10, rng=0)
        bad = points(10)
        bad.x[3] = np.nan
        before = [p.detach().numpy().copy() for p in t.model.parameters()]
        state = copy.deepcopy(dict(t.optimizer.state[t.model[0].weight]))  # type: ignore[index]
        if allow:
            t.fit(bad, None, 1, batch_size=10)
            assert all(np.isnan(p.detach().numpy()).any() for p in t.model.parameters())
        else:
            with pytest.raises(AnomalyError, match="expected a finite loss, got nan in epoch 4, batch 1"):
                t.fit(bad, None, 1, batch_size=10)
            for p, saved in zip(t.model.parameters(), before):
                np.testing.assert_array_equal(p.detach().numpy(), saved)
                assert p.grad is None
            for key, value in t.optimizer.state[t.model[0].weight].items():  # type: ignore[index]
                np.testing.assert_array_equal(value, state[key])
        runs.append(t)
    assert in_use(runs[1]) == 1
    np.testing.assert_allclose(runs[1].history["loss"][:3], runs[0].history["loss"][:3], rtol=1e-9)


def test_short_runs_are_eager_and_do_not_even_load_the_compiler() -> None:
    t = made("auto")
    t.fit(points(), points(30, 1), 5, batch_size=10, rng=0)
    assert t._programs["step"][1].compiled is None
    long = made("auto")
    long._programs.clear()
    long.first_epoch = 0
    assert programs.Programs(lambda x: x, [long.model], False)._may_pay(10**5, [tg.zeros((10, 5))])
    assert not programs.Programs(lambda x: x, [long.model], False)._may_pay(10**2, [tg.zeros((10, 5))])


def test_programs_are_made_where_the_planned_steps_are_worth_it() -> None:
    """Estimates only: no clock, so that the same run is always computed in the same way."""
    t = made("auto")
    t.fit(points(40), None, 3, batch_size=10, rng=0)
    t.first_epoch, t.epochs, t.batches, t.batch = 0, 4, 4, 1
    batch = next(iter(t.loader))
    for planned, expected in ((200, 0), (100_000, 1)):
        t.epochs = planned
        t.batches = 1
        t._programs.clear()
        for _ in range(3):
            t._train_step(batch)
        assert in_use(t) == expected


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("compile", ["auto", True])
def test_what_a_program_cannot_repeat_is_eager_and_told_only_if_it_was_asked_for(compile: Any) -> None:
    calls = []

    def loss(output: Any, target: Any) -> Any:
        calls.append(1)
        return nn.functional.cross_entropy(output, target)

    runs = []
    for mode in (False, compile):
        tg.manual_seed(4)
        model = network()
        calls.clear()
        t = Trainer(
            model, loss, optim.SGD(model.parameters(), lr=0.1), metrics=[], progress="off", compile=mode
        )
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            t.fit(points(40), None, 4, batch_size=10, rng=0)
        assert len(calls) == 16
        told = [str(w.message) for w in caught]
        if mode is True:
            assert len(told) == 1 and "it changes calls, which a program cannot repeat" in told[0]
        else:
            assert told == []
        runs.append(t)
    assert in_use(runs[1]) == 0
    for p, q in zip(runs[0].model.parameters(), runs[1].model.parameters()):
        np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


@pytest.mark.usefixtures("cheap")
def test_a_monitor_sees_its_steps() -> None:
    runs = []
    for mode in (False, "auto"):
        tg.manual_seed(4)
        t = made(mode, [lambda: Monitor(every=5)])
        t.fit(points(40), None, 6, batch_size=10, rng=0)
        runs.append(t)
    assert in_use(runs[1]) == 1
    assert_same_run(*runs)
    a, b = (t.callbacks[0] for t in runs)
    assert a.steps == b.steps == [1, 6, 11, 16, 21]  # type: ignore[attr-defined]
    for kind in ("activations", "gradients"):
        for name, one in getattr(a, kind).items():
            other = getattr(b, kind)[name]
            key = "mean" if kind == "activations" else "ratio"
            np.testing.assert_allclose([x[key] for x in other], [x[key] for x in one], rtol=1e-7)


@pytest.mark.usefixtures("cheap")
@pytest.mark.parametrize("part", ["optimizer", "loss", "model", "frozen", "rate", "norm"])
def test_what_is_replaced_during_a_run_counts(part: str) -> None:
    class Replace(Callback):
        def on_epoch_begin(self, trainer: Trainer) -> None:
            if trainer.epoch != 3:
                return
            if part == "optimizer":
                trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.05)
            elif part == "loss":
                trainer.loss = nn.CrossEntropyLoss(label_smoothing=0.2)
            elif part == "model":
                trainer.model = network()
                trainer.optimizer = optim.SGD(trainer.model.parameters(), lr=0.05)
            elif part == "frozen":
                trainer.model[0].weight.requires_grad_(False)  # type: ignore[index]
            elif part == "rate":
                trainer.optimizer.param_groups[0]["lr"] = 1e-4
            else:
                trainer.callbacks[0].norm = 1e-3  # type: ignore[attr-defined]

    runs = []
    for mode in (False, "auto"):
        tg.manual_seed(4)
        t = made(mode, [lambda: ClipGradients(norm=0.3), Replace])
        t.fit(points(40), None, 7, batch_size=10, rng=0)
        runs.append(t)
    assert in_use(runs[1]) >= 1
    np.testing.assert_allclose(runs[1].history["loss"], runs[0].history["loss"], rtol=1e-9)
    for p, q in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        np.testing.assert_allclose(q.detach().numpy(), p.detach().numpy(), rtol=1e-7, atol=1e-10)


@pytest.mark.usefixtures("cheap")
def test_copies_train_on_their_own() -> None:
    t = made("auto")
    t.fit(points(40), None, 3, batch_size=10, rng=0)
    assert in_use(t) == 1
    copies = [copy.deepcopy(t), pickle.loads(pickle.dumps(t))]
    before = [p.detach().numpy().copy() for p in t.model.parameters()]
    for twin in copies:
        tg.manual_seed(7)
        twin.fit(points(40), None, 3, batch_size=10, rng=0)
        assert in_use(twin) == 1
    for p, saved in zip(t.model.parameters(), before):
        np.testing.assert_array_equal(p.detach().numpy(), saved)
    tg.manual_seed(7)
    t.fit(points(40), None, 3, batch_size=10, rng=0)
    for twin in copies:
        for p, q in zip(t.model.parameters(), twin.model.parameters()):
            np.testing.assert_array_equal(p.detach().numpy(), q.detach().numpy())


def test_without_llvmlite_steps_are_eager(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(programs, "GAIN", 0.0)
    monkeypatch.setattr(programs, "find_spec", lambda name: None)
    t = made("auto")
    t.fit(points(40), None, 3, batch_size=10, rng=0)
    assert in_use(t) == 0


@pytest.mark.usefixtures("cheap")
def test_predictions_of_many_batches_are_compiled() -> None:
    t = made("auto")
    t.fit(points(40), None, 1, batch_size=10, rng=0)
    x = points(500).x
    by_one = t.predict(x, batch_size=10)
    assert in_use(t, "prediction") == 1
    np.testing.assert_allclose(by_one, t.predict(x), rtol=1e-9)
    many = t.evaluate(points(500), batch_size=10)
    assert in_use(t, "evaluation") == 1
    assert many == pytest.approx(t.evaluate(points(500)), rel=1e-9)


def test_a_decision_is_made_once_for_batches_of_a_shape(monkeypatch: pytest.MonkeyPatch) -> None:
    """Looking at the model at every step took more time than small steps themselves."""
    asked: list[int] = []
    may_pay = programs.Programs._may_pay
    monkeypatch.setattr(
        programs.Programs, "_may_pay", lambda self, n, batch: (asked.append(n), may_pay(self, n, batch))[1]
    )
    t = made("auto")
    t.fit(points(43), points(60, 1), 30, batch_size=10, rng=0)
    assert len(asked) == 3  # steps of 10 and of 3 examples, and evaluations
    t.fit(points(43), None, 30, batch_size=10, rng=0)  # more are planned
    assert len(asked) == 5


class Growing:
    """A loader whose batches have 10, 11, ... examples."""

    def __init__(self, end: int) -> None:
        self.batches = [tuple(map(tg.asarray, points(n).arrays)) for n in range(10, end)]

    def __len__(self) -> int:
        return len(self.batches)

    def __iter__(self) -> Any:
        return iter(self.batches)


def test_captures_are_bounded_where_every_batch_has_another_size(monkeypatch: pytest.MonkeyPatch) -> None:
    for gain, captures in ((0.0, programs.PROGRAMS), (1e9, 0)):
        monkeypatch.setattr(programs, "GAIN", gain)
        t = made("auto", optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9))
        eager = made(False, optimizer=lambda p: optim.SGD(p, lr=0.1, momentum=0.9))
        for trainer in (eager, t):
            tg.manual_seed(3)
            trainer.fit(Growing(30), None, 2)
        assert in_use(t) == captures
        assert_same_run(eager, t)


def test_captures_that_are_not_worth_a_program_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    captures: list[int] = []
    monkeypatch.setattr(programs, "GAIN", 0.0)
    monkeypatch.setattr(programs.Programs, "_worth", lambda self, lowered: captures.append(1) or "not now")
    t = made("auto")
    t.fit(Growing(40), None, 2)
    assert len(captures) <= 2 * programs.PROGRAMS and in_use(t) == 0


@pytest.mark.parametrize("kind", ["mlp", "convolutional", "recurrent"])
def test_what_may_pay_is_about_what_pays(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without a capture, a model's gain and cost are estimated within a factor of four of what the capture tells."""
    tg.manual_seed(0)
    models: dict[str, tuple[nn.Module, tuple[int, ...]]] = {
        "mlp": (nn.Sequential(nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10)), (32, 64)),
        "convolutional": (
            nn.Sequential(
                nn.Conv2d(1, 8, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(128, 10)
            ),
            (16, 1, 8, 8),
        ),
        "recurrent": (nn.Sequential(nn.Linear(6, 8), nn.Tanh(), nn.Flatten(), nn.Linear(40, 10)), (16, 5, 6)),
    }
    model, shape = models[kind]
    optimizer = optim.SGD(model.parameters(), lr=0.1)
    found: list[tuple[float, float]] = []

    def noted(self: Any, lowered: Any) -> str:
        found.append(programs.estimated(lowered))
        return "enough"

    monkeypatch.setattr(programs.Programs, "_worth", noted)
    batch = (tg.asarray(np.ones(shape, np.float32)), tg.asarray(np.zeros(shape[0], np.int64)))
    step = programs.step_of(model, nn.CrossEntropyLoss(), optimizer, [], False)
    run = programs.Programs(step, [model, optimizer], False)
    pays = [run._may_pay(n, batch) for n in range(50, 40_000, 50)]
    step(*batch)
    run(10**7, *batch)
    ((gain, making),) = found
    threshold = programs.GAIN * making / gain
    assert pays == sorted(pays) and 0.25 < 50 * (1 + pays.index(True)) / threshold < 4
