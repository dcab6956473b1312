"""Trainer."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl import nn, optim
from tinygrad_dl.data import DataLoader, Subset, TensorDataset
from tinygrad_dl.errors import AnomalyError, DTypeError, ShapeError, TinygradError, ValueRangeError
from tinygrad_dl.train import AveragedWeights, Callback, ClipGradients, EarlyStopping, Schedule, Trainer


def points(n: int = 40, seed: int = 0) -> TensorDataset:
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(n, 2)).astype(np.float32)
    return TensorDataset(x, (x[:, 0] > 0).astype(np.int64))


def trainer(seed: int = 0, lr: float = 0.05, **options: Any) -> Trainer:
    tg.manual_seed(seed)
    model = nn.Sequential(nn.Linear(2, 8), nn.BatchNorm1d(8), nn.ReLU(), nn.Dropout(0.2), nn.Linear(8, 2))
    options = {"metrics": ["accuracy"], "progress": "off", **options}
    return Trainer(model, nn.CrossEntropyLoss(), optim.Adam(model.parameters(), lr=lr), **options)


def weights(t: Trainer) -> np.ndarray:
    return np.concatenate([np.ravel(value) for value in t.model.state_dict().values()])


def test_it_learns_and_measures_every_epoch() -> None:
    t = trainer()
    history = t.fit(points(), points(seed=1), 30, batch_size=8, rng=0)
    assert history is t.history and len(history) == 30
    assert history.names == [
        "epoch", "loss", "accuracy", "dev_loss", "dev_accuracy", "lr", "seconds",
    ]  # fmt: skip
    assert history["epoch"] == list(range(1, 31))
    assert history["dev_loss"][-1] < history["dev_loss"][0] / 2
    assert t.evaluate(points(seed=2))["accuracy"] > 0.9


def test_it_does_what_the_plain_loop_does() -> None:
    data = points()
    t = trainer()
    t.fit(DataLoader(data, 7, shuffle=True, rng=3), epochs=3)
    twin = trainer()
    model, optimizer, loss = twin.model, twin.optimizer, nn.CrossEntropyLoss()
    loader = DataLoader(data, 7, shuffle=True, rng=3)
    for _ in range(3):
        for x, y in loader:
            optimizer.zero_grad()
            loss(model(x), y).backward()
            optimizer.step()
    np.testing.assert_array_equal(weights(t), weights(twin))


def test_the_loss_of_an_epoch_is_the_mean_over_examples() -> None:
    t = trainer(lr=0.0)
    t.model.eval()
    data = points(10)
    expected = t.evaluate(data)["loss"]
    assert t.evaluate(data, batch_size=3)["loss"] == pytest.approx(expected, rel=1e-6)


def test_evaluating_and_predicting_change_neither_mode_nor_running_averages() -> None:
    t = trainer()
    t.model.train()
    before = weights(t)
    t.evaluate(points())
    out = t.predict(points(), batch_size=7)
    assert out.shape == (40, 2) and t.predict(np.zeros((0, 2), np.float32)).shape == (0, 2)
    np.testing.assert_allclose(out, t.predict(points().x), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(before, weights(t))
    assert t.model.training
    t.model.eval()
    t.evaluate(points())
    assert not t.model.training


def test_a_second_fit_continues() -> None:
    t = trainer()
    t.fit(points(), epochs=2)
    assert t.fit(points(), epochs=3)["epoch"] == [1, 2, 3, 4, 5]
    assert len(t.fit(points(), epochs=0)) == 5


def test_a_run_resumed_from_its_state_ends_in_the_same_bits() -> None:
    def make() -> Trainer:
        return trainer(callbacks=[EarlyStopping("loss", patience=50), Schedule(lambda epoch: 0.9**epoch)])

    whole = make()
    whole.fit(points(), points(seed=1), 6, rng=0)
    first = make()
    first.fit(points(), points(seed=1), 3, rng=0)
    state = first.state_dict()
    tg.manual_seed(99)
    second = make()
    second.loader = DataLoader(points(), 64, shuffle=True, rng=5)
    second.load_state_dict(state)
    second.fit(second.loader, points(seed=1), 3)
    np.testing.assert_array_equal(weights(whole), weights(second))
    for name in ("loss", "dev_loss", "lr", "accuracy"):
        assert whole.history[name] == second.history[name]


def test_a_state_of_another_kind_of_run_is_refused() -> None:
    with pytest.raises(ValueRangeError, match="expected 1 callbacks as in this Trainer, got 0"):
        trainer(callbacks=[EarlyStopping()]).load_state_dict(trainer().state_dict())


class Log(Callback):
    """Records its calls."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def on_fit_begin(self, trainer: Trainer) -> None:
        self.calls.append("fit")

    def on_epoch_begin(self, trainer: Trainer) -> None:
        self.calls.append(f"epoch {trainer.epoch}")

    def on_backward(self, trainer: Trainer) -> None:
        assert all(p.grad is not None for p in trainer.model.parameters())
        self.calls.append("backward")

    def on_batch_end(self, trainer: Trainer) -> None:
        self.calls.append(f"batch {trainer.batch}/{trainer.batches}")

    def on_epoch_end(self, trainer: Trainer, epoch: dict[str, Any]) -> None:
        self.calls.append(f"end of {epoch['epoch']}")

    def on_fit_end(self, trainer: Trainer) -> None:
        self.calls.append("done")


def test_callbacks_are_called_in_their_order() -> None:
    log = Log()
    trainer(callbacks=[log]).fit(points(6), epochs=2, batch_size=4)
    one = ["backward", "batch 1/2", "backward", "batch 2/2"]
    assert log.calls == ["fit", "epoch 0", *one, "end of 1", "epoch 1", *one, "end of 2", "done"]


def test_an_interruption_keeps_the_completed_epochs_and_ends_the_callbacks() -> None:
    class Interrupt(Log):
        def on_batch_end(self, trainer: Trainer) -> None:
            if trainer.epoch == 2:
                raise KeyboardInterrupt

    log = Interrupt()
    t = trainer(callbacks=[log])
    with pytest.raises(KeyboardInterrupt):
        t.fit(points(), epochs=9)
    assert len(t.history) == 2 and t.history.stopped == "interrupted in epoch 3"
    assert log.calls[-1] == "done"


def test_a_loss_of_nan_is_an_error_that_says_where_unless_allowed() -> None:
    bad = points(8)
    bad.x[5, 0] = np.nan
    with pytest.raises(
        AnomalyError,
        match=r"expected a finite loss, got nan in epoch 1, batch 2. Is the learning rate \(0.05\)",
    ):
        trainer().fit(DataLoader(bad, 4), epochs=1)
    history = trainer(allow_nan=True).fit(DataLoader(bad, 4), epochs=1)
    assert np.isnan(history["loss"][0])


def test_a_subclass_takes_batches_of_another_structure() -> None:
    class Named(Trainer):
        def forward(self, batch: Any) -> tuple[Any, Any]:
            return self.model(batch["x"]), batch["y"]

    data = [{"x": row, "y": label} for row, label in zip(points().x, points().y)]
    model = nn.Linear(2, 2)
    t = Named(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), progress="off")
    assert len(t.fit(data, epochs=2)) == 2
    with pytest.raises(DTypeError, match=r"expected a batch \(x, y\), got dict. For batches"):
        trainer().fit(data, epochs=1)


def test_wrong_uses_are_explained() -> None:
    model = nn.Linear(2, 2)
    loss, optimizer = nn.CrossEntropyLoss(), optim.SGD(model.parameters())
    with pytest.raises(DTypeError, match="model: expected an nn.Module, got function"):
        Trainer(lambda x: x, loss, optimizer)
    with pytest.raises(DTypeError, match="loss: expected a callable such as"):
        Trainer(model, None, optimizer)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="optimizer: expected an optimizer such as"):
        Trainer(model, loss, None)
    with pytest.raises(DTypeError, match="expected Callback objects"):
        Trainer(model, loss, optimizer, callbacks=[print])  # type: ignore[list-item]
    with pytest.raises(ValueRangeError, match="expected one of accuracy, .*, got 'acuracy'"):
        Trainer(model, loss, optimizer, metrics=["acuracy"])
    with pytest.raises(ValueRangeError, match="expected one of auto, bar, epoch, off"):
        Trainer(model, loss, optimizer, progress="loud")
    with pytest.raises(ValueRangeError, match="epochs: expected an integer of at least 0, got 1.5"):
        trainer().fit(points(), epochs=1.5)  # type: ignore[arg-type]
    with pytest.raises(ValueRangeError, match="expected at least one batch"):
        trainer().fit(DataLoader(points(3), 4, drop_last=True))
    with pytest.raises(ValueRangeError, match="expected at least one example"):
        trainer().evaluate(points(0))


@pytest.mark.parametrize(
    "data",
    [
        points(),
        (points().x, points().y),
        DataLoader(points(), 7),
        Subset(points(), range(40)),
        list(zip(points().x, points().y)),
        points().x,
        points().x.tolist(),
        tg.Tensor(points().x),
        TensorDataset(points().x),
        [(x, y) for x, y in DataLoader(points(), 40)][0],
    ],
    ids=["data set", "tuple", "loader", "subset", "list", "array", "numbers", "Tensor", "x alone", "batch"],
)
def test_predict_takes_what_fit_takes(data: Any) -> None:
    t = trainer()
    np.testing.assert_allclose(t.predict(data), t.predict(points().x), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (
            lambda t: t.predict(points(), batch_size=0),
            ValueRangeError,
            "Trainer: batch_size: expected an int of at",
        ),
        (lambda t: t.evaluate(points(), batch_size="8"), DTypeError, "Trainer: batch_size: expected an int"),
        (lambda t: t.predict([[1.0, 2.0], [3.0]]), ShapeError, "predict: x: expected rows of equal length"),
        (lambda t: t.predict(3.0), DTypeError, "Trainer.predict: x: expected a data set, a tuple"),
        (lambda t: t.predict(np.array(["a"])), DTypeError, "predict: x: expected numbers, got <U1"),
        (lambda t: t.fit(b for b in []), ValueRangeError, "fit: expected at least one batch, got none"),
        (
            lambda t: t.fit(points(), (b for b in [])),
            DTypeError,
            "fit: dev: expected a data set.*got generator",
        ),
        (lambda t: t.fit(points(), 3), DTypeError, "Trainer.fit: dev: expected a data set.*got int"),
        (
            lambda t: t.fit(points(), {"x": points().x}),
            DTypeError,
            "Trainer.fit: dev: expected a data set.*got dict",
        ),
        (lambda t: t.evaluate(3), DTypeError, "Trainer.evaluate: expected a data set.*got int"),
        (lambda t: t.fit(points(), epochs=1, rng=-1), TinygradError, "Trainer.fit: rng: expected .*seed"),
        (lambda t: t.fit({"x": points().x}), DTypeError, "expected the name of the targets beside a dict"),
        (
            lambda t: t.fit(points(), batch_size=0),
            ValueRangeError,
            "Trainer.fit: batch_size: expected an int of at",
        ),
        (lambda t: t.fit(points(), rng="0"), DTypeError, "Trainer.fit: rng: expected"),
        (
            lambda t: t.load_state_dict({}),
            ValueRangeError,
            "expected what Trainer.state_dict returns, got dict with",
        ),
        (
            lambda t: trainer(callbacks=EarlyStopping()),
            DTypeError,
            "callbacks: expected a list of Callback objects",
        ),
        (lambda t: trainer(allow_nan="yes"), DTypeError, "Trainer: allow_nan: expected True or False"),
    ],
)
def test_wrong_arguments_are_named(call: Any, error: type[Exception], message: str) -> None:
    t = trainer()
    before = weights(t)
    with pytest.raises(error, match=message):
        call(t)
    np.testing.assert_array_equal(weights(t), before)


def test_the_loss_of_a_summed_criterion_is_the_mean_per_example() -> None:
    histories = []
    for reduction in ("mean", "sum"):
        t = trainer(lr=0.0)
        t.loss = nn.CrossEntropyLoss(reduction=reduction)
        t.model[3].p = 0.0
        histories.append(t.fit(points(), points(seed=1), 2, batch_size=40))
    for name in ("loss", "dev_loss"):
        np.testing.assert_allclose(histories[0][name], histories[1][name], rtol=1e-5)


def test_evaluating_gives_every_module_its_own_mode_back() -> None:
    t = trainer()
    t.model.train()
    t.model[1].eval()  # a frozen normalization
    t.evaluate(points())
    t.predict(points())
    assert t.model.training and not t.model[1].training and t.model[3].training


def test_a_failing_loss_leaves_the_modes_as_they_were() -> None:
    t = trainer()
    t.model.train()
    t.loss = lambda output, target: 1 / 0
    with pytest.raises(ZeroDivisionError) as caught:
        t.evaluate(points())
    assert t.model.training and tg.is_grad_enabled() and caught.value.__traceback__ is not None


def lines_of(call: Any) -> list[int]:
    """The lines of trainer.py that a call runs, in order."""
    lines: list[int] = []
    interrupt_at(call, -1, lines)
    return lines


def interrupt_at(call: Any, number: int, lines: list[int]) -> None:
    """Raise KeyboardInterrupt before the line of trainer.py with that number in the order of execution."""

    def trace(frame: Any, event: str, _: Any) -> Any:
        if not frame.f_code.co_filename.endswith("trainer.py"):
            return None
        if event == "line":
            lines.append(frame.f_lineno)
            if len(lines) == number:
                raise KeyboardInterrupt
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        call()
    finally:
        sys.settrace(before)


@pytest.mark.parametrize("method", ["evaluate", "predict"])
def test_an_interruption_between_any_two_lines_leaves_the_modes(method: str) -> None:
    t = trainer()
    t.model.train()
    t.model[1].eval()

    def call() -> None:
        getattr(t, method)(points(6), batch_size=4)

    total = len(lines_of(call))
    for number in range(1, total + 1):
        with pytest.raises(KeyboardInterrupt):
            interrupt_at(call, number, [])
        assert tg.is_grad_enabled(), number
        assert [m.training for m in t.model.modules()] == [True, True, False, True, True, True], number


def test_every_callback_is_ended_although_one_fails() -> None:
    class Fail(Callback):
        def on_fit_end(self, trainer: Trainer) -> None:
            raise ValueError("mine")

    log = Log()
    with pytest.raises(ValueError, match="mine"):
        trainer(callbacks=[Fail(), log]).fit(points(), epochs=1)
    assert log.calls[-1] == "done"


def test_a_state_is_not_changed_by_further_training() -> None:
    averaged, schedule = AveragedWeights(0.5), Schedule(lambda epoch: 1.0)
    t = trainer(callbacks=[averaged, schedule])
    t.fit(points(), epochs=2)
    state = t.state_dict()
    average = {name: value.copy() for name, value in state["callbacks"][0]["average"].items()}
    t.fit(points(), epochs=2)
    assert len(state["history"]) == 2
    for name, value in average.items():
        np.testing.assert_array_equal(value, state["callbacks"][0]["average"][name])
    t.load_state_dict(state)
    assert len(t.history) == 2 and t.epoch == 2


def test_an_interrupted_fit_ends_its_callbacks_and_goes_on() -> None:
    class Ends(Callback):
        begun = ended = 0

        def on_fit_begin(self, trainer: Trainer) -> None:
            self.begun += 1

        def on_fit_end(self, trainer: Trainer) -> None:
            self.ended += 1

    def make() -> tuple[Trainer, Ends]:
        ends = Ends()
        return trainer(callbacks=[ends]), ends

    t, _ = make()
    total = len(lines_of(lambda: t.fit(points(6), points(6), 1, batch_size=4)))
    for number in range(1, total + 1):
        t, ends = make()
        with pytest.raises(KeyboardInterrupt):
            interrupt_at(lambda t=t: t.fit(points(6), points(6), 1, batch_size=4), number, [])
        assert tg.is_grad_enabled() and not t.resuming
        assert abs(ends.begun - ends.ended) <= 1  # 1: in the middle of beginning or ending it
        before = len(t.history)
        assert len(t.fit(points(6), points(6), 1)) == before + 1


@pytest.mark.parametrize("clip", [False, True])
def test_compiled_steps_train_as_eager_ones_do(clip: bool) -> None:
    results = []
    for compile in (False, True):
        t = trainer(compile=compile, callbacks=[ClipGradients(0.1)] if clip else [])
        # Its gradient is 0 up to rounding, as the mean is taken off: Adam would make steps of that.
        t.model[0].bias.requires_grad_(False)  # type: ignore[index]
        t.fit(points(), points(seed=1), 6, batch_size=8, rng=0)
        results.append((weights(t), t.history["loss"], t.history["dev_accuracy"]))
    for eager, compiled in zip(*results):
        np.testing.assert_allclose(compiled, eager, rtol=1e-3, atol=1e-5)


def test_compiled_steps_have_the_errors_of_eager_ones() -> None:
    for compile in (False, True):
        t = trainer(compile=compile)
        data = points()
        data.x[:] = np.nan
        with pytest.raises(AnomalyError, match="expected a finite loss, got nan in epoch 1, batch 1"):
            t.fit(data, epochs=2, batch_size=8)
        with pytest.raises(DTypeError, match="expected a batch \\(x, y\\), got Tensor"):
            t.fit([np.ones((3, 2), np.float32)], epochs=1)
        model = nn.Linear(2, 1)
        own = Trainer(
            model,
            lambda x, y: x * 1.0,
            optim.SGD(model.parameters(), lr=0.1),
            progress="off",
            compile=compile,
        )
        with pytest.raises(ShapeError, match="expected one number per batch"):
            own.fit(points(), epochs=1, batch_size=8)

    class Own(Trainer):
        def forward(self, batch: Any) -> tuple[Any, Any]:
            return self.model(batch[0]), batch[1]

    model = nn.Linear(2, 2)
    with pytest.raises(ValueRangeError, match="Own has a forward of its own"):
        Own(model, nn.CrossEntropyLoss(), optim.SGD(model.parameters(), lr=0.1), compile=True)
    with pytest.raises(
        ValueRangeError, match="Trainer: compile: expected True, False or 'auto', got str 'no'"
    ):
        trainer(compile="no")
