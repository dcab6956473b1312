"""Hyperparameter search: samplers, storage, processes, and recovery from killed processes."""

from __future__ import annotations

import math
import os
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.layout import ROOT
from tests.waiting import wait_until
from tinygrad_dl.errors import AnomalyError, DTypeError, FileFormatError, MissingExtraError, ValueRangeError
from tinygrad_dl.train import search
from tinygrad_dl.train.optuna_study import alive, open_storage
from tinygrad_dl.train.space import Range

SPACE: dict[str, Range] = {"lr": search.LogUniform(1e-4, 1.0), "units": search.Whole(1, 9)}


def valley(setting: search.Setting) -> float:
    """Lowest at a learning rate of 0.01 and 4 units."""
    return math.log10(setting["lr"] / 0.01) ** 2 + (setting["units"] - 4) ** 2 / 10


def test_without_optuna_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(MissingExtraError, match=r'pip install "tinygrad_dl\[search\]"'):
        search.run(valley, SPACE)


def test_optuna_is_not_imported_before_it_is_used() -> None:
    code = "import sys, tinygrad_dl.train.search; sys.exit('optuna' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


requires_optuna = pytest.mark.skipif(
    not __import__("importlib.util").util.find_spec("optuna"), reason="searches need optuna (extra search)"
)


@requires_optuna
@pytest.mark.parametrize("sampler", ["tpe", "random"])
def test_a_search_finds_the_valley_and_the_seed_repeats_it(sampler: str) -> None:
    found = search.run(valley, SPACE, 60, sampler=sampler, rng=0)
    assert found.best_value < 0.5 and found.best["units"] in (2, 3, 4, 5, 6)
    assert found.best == search.run(valley, SPACE, 60, sampler=sampler, rng=0).best
    assert found.best != search.run(valley, SPACE, 60, sampler=sampler, rng=1).best


@requires_optuna
def test_a_grid_is_tried_once_however_many_trials_are_asked_for() -> None:
    space = {"lr": search.LogUniform(1e-4, 1.0, points=5), "units": search.Whole(3, 5, points=3)}
    found = search.run(valley, space, 100, sampler="grid")
    tried = [(t.params["lr"], t.params["units"]) for t in found.study.trials]
    assert len(tried) == len(set(tried)) == 15
    assert found.best == {"lr": pytest.approx(0.01), "units": 4}


@requires_optuna
@pytest.mark.parametrize("killed", [1, 2, 3])
def test_a_grid_that_was_killed_at_any_point_is_completed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int
) -> None:
    class Killed(BaseException):
        pass

    def objective(setting: search.Setting) -> float:
        if setting.trial.number == killed:
            raise Killed
        return setting["x"]

    def run() -> search.Found:
        space = {"x": search.Uniform(0, 1, points=4)}
        return search.run(objective, space, 10, sampler="grid", storage=tmp_path / "journal")

    from optuna.study import Study

    def optimize(study: Any, value: Any, n_trials: int, catch: Any) -> None:
        """As if the process died in a trial: nobody marks it, nor another that was under way, as failed."""
        if not study.trials:
            study.ask().set_user_attr("process", [socket.gethostname(), os.getpid()])
        trial = study.ask()
        study.tell(trial, value(trial))

    with monkeypatch.context() as context:
        context.setattr(Study, "optimize", optimize)
        with pytest.raises(Killed):
            run()
    found = run()
    assert sorted(t.params["x"] for t in found.ranked) == pytest.approx([0, 1 / 3, 2 / 3, 1])


@requires_optuna
def test_coarse_to_fine() -> None:
    coarse = search.run(valley, SPACE, 20, sampler="random", rng=0)
    space = coarse.finer()
    assert space["lr"].high / space["lr"].low < 1e4 / 2  # type: ignore[attr-defined]
    fine = search.run(valley, space, 20, sampler="random", rng=0)
    middle = len(fine.ranked) // 2
    assert fine.ranked[middle].value < coarse.ranked[middle].value


@requires_optuna
def test_one_minus_beta_and_choices_come_as_they_are_used() -> None:
    space = {"beta": search.OneMinus(0.001, 0.1), "kind": search.Choice("a", "b")}
    found = search.run(
        lambda s: abs(s["beta"] - 0.99) + (s["kind"] == "b"), space, 30, sampler="random", rng=0
    )
    assert found.best["kind"] == "a" and 0.95 < found.best["beta"] < 0.999
    assert list(found.study.trials[0].params) == ["1 - beta", "kind"]
    assert found.finer()["kind"] == search.Choice("a")
    assert "0.99" in found.table(3) or "0.98" in found.table(3)


@requires_optuna
def test_unpromising_trials_are_pruned_and_diverged_ones_say_why() -> None:
    def objective(setting: search.Setting) -> float:
        for epoch in range(20):
            setting.report(setting["x"] * (1 + 1 / (epoch + 1)))
        if setting["x"] > 0.95:
            return math.nan
        if setting["x"] > 0.9:
            raise AnomalyError("the loss became inf in epoch 3. Is the learning rate too high?")
        return setting["x"]

    found = search.run(objective, {"x": search.Uniform(0, 1)}, 30, rng=0, sampler="random")
    states = [t.state.name for t in found.study.trials]
    assert states.count("PRUNED") > 5 and states.count("COMPLETE") >= 5
    every = search.run(objective, {"x": search.Uniform(0.9, 1)}, 10, pruner=None, rng=0, sampler="random")
    assert "pruned: the loss became inf in epoch 3" in every.table()
    assert "pruned: the objective returned nan" in every.table()
    with pytest.raises(ValueRangeError, match="expected a trial with a finite value, got none of 10 trials"):
        every.best  # noqa: B018
    with pytest.raises(ValueRangeError, match="none of 10 trials"):
        every.plot()


@requires_optuna
def test_a_trainer_reports_by_a_callback() -> None:
    from tests.train.test_trainer import points, trainer

    lengths = []

    def objective(setting: search.Setting) -> float:
        t = trainer(lr=setting["lr"], callbacks=[setting.pruning(quantity)])
        history = t.fit(points(), points(seed=1), 3, rng=0)
        lengths.append(len(history))
        return history["dev_loss"][-1]

    quantity = "dev_loss"
    found = search.run(objective, {"lr": search.LogUniform(1e-3, 1)}, 3, rng=0)
    assert lengths == [3, 3, 3] and len(found.study.trials[0].intermediate_values) == 3
    with pytest.raises(
        ValueRangeError, match="expected a quantity to maximize as the search does, got dev_loss"
    ):
        search.run(objective, {"lr": search.LogUniform(1e-3, 1)}, 1, maximize=True)
    quantity = "f1"
    with pytest.raises(ValueRangeError, match="expected one of epoch, loss, .*, got 'f1'"):
        search.run(objective, {"lr": search.LogUniform(1e-3, 1)}, 1)


@requires_optuna
@pytest.mark.parametrize("file", ["search.journal", "search.db"])
def test_earlier_trials_count_when_a_search_resumes(tmp_path: Path, file: str) -> None:
    storage = tmp_path / "runs" / file
    first = search.run(valley, SPACE, 5, storage=storage, sampler="random", rng=0)
    assert len(first.study.trials) == 5
    second = search.run(valley, SPACE, 8, storage=storage, sampler="random", rng=0)
    drawn = [t.params["lr"] for t in second.study.trials]
    assert len(drawn) == len(set(drawn)) == 8, "the seed must not draw the same again"
    assert len(search.run(valley, SPACE, 8, storage=storage).study.trials) == 8
    with pytest.raises(ValueRangeError, match="got 'search' in .*, which minimizes. Pass another name="):
        search.run(valley, SPACE, 8, storage=storage, maximize=True)


@requires_optuna
def test_processes_share_a_search(tmp_path: Path) -> None:
    found = search.run(valley, SPACE, 8, storage=tmp_path / "search.journal", processes=2, rng=0)
    assert len(found.ranked) == len(found.study.trials) == 8
    assert len({t.params["lr"] for t in found.study.trials}) == len(found.study.trials)
    assert len({t.user_attrs["process"][1] for t in found.study.trials} - {os.getpid()}) in (1, 2)


@requires_optuna
def test_a_killed_search_resumes_and_tries_the_interrupted_trial_again(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import sys, time
            from tinygrad_dl.train import search

            def objective(setting):
                if len(sys.argv) > 2 and setting.trial.number == 2:
                    print("in the third", flush=True)
                    time.sleep(600)
                return setting["x"]

            found = search.run(objective, {"x": search.Uniform(0, 1)}, 5, storage=sys.argv[1], rng=0)
            print(len(found.ranked))
            """
        )
    )
    journal = tmp_path / "search.journal"
    call = [sys.executable, str(script), str(journal)]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([*call, "wait"], stdout=subprocess.PIPE, text=True, env=env)
    assert killed.stdout is not None and killed.stdout.readline() == "in the third\n"
    killed.kill()
    killed.wait()
    killed.stdout.close()
    assert subprocess.run(call, capture_output=True, text=True, env=env, check=True).stdout == "5\n"
    trials = search.run(valley, {"x": search.Uniform(0, 1)}, 5, storage=journal).study.trials
    assert [t.state.name for t in trials] == ["COMPLETE", "COMPLETE", "FAIL", *["COMPLETE"] * 3]
    assert trials[3].params == trials[2].params


@requires_optuna
@pytest.mark.skipif(os.name != "posix", reason="signals and parents of processes are POSIX's")
def test_the_processes_of_a_killed_search_end(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        textwrap.dedent(
            """
            import os, pathlib, sys, time
            from tinygrad_dl.train import search

            def objective(setting):
                pathlib.Path(sys.argv[1], f"{os.getpid()}.pid").touch()
                time.sleep(0.1)
                return setting["x"]

            if __name__ == "__main__":
                storage = os.path.join(sys.argv[1], "search.journal")
                search.run(objective, {"x": search.Uniform(0, 1)}, 1000, storage=storage, processes=2)
            """
        )
    )
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    killed = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=env)

    def workers() -> list[int]:
        return [int(p.stem) for p in tmp_path.glob("*.pid")]

    wait_until(lambda: len(workers()) >= 2 or killed.poll() is not None)
    assert killed.poll() is None
    killed.kill()
    killed.wait()
    wait_until(lambda: not any(map(alive, workers())))


@pytest.mark.skipif(os.name != "posix", reason="zombies are POSIX's")
def test_a_process_that_ended_and_was_not_reaped_is_not_alive() -> None:
    assert alive(os.getpid()) and not alive(2**22 + 1)
    ended = subprocess.Popen([sys.executable, "-c", ""])
    if Path("/proc/self/stat").exists():
        wait_until(lambda: not alive(ended.pid))
    ended.wait()
    assert not alive(ended.pid)


@requires_optuna
def test_tables_and_plots() -> None:
    found = search.run(valley, SPACE, 12, rng=0)
    lines = found.table().splitlines()
    assert lines[0].split() == ["trial", "value", "lr", "units"] and len(lines) == 13
    assert [int(line.split()[0]) for line in lines[1:]] == [t.number for t in found.ranked]
    pytest.importorskip("matplotlib", reason="plots need matplotlib (extra viz)")
    for kind in ("history", "slice", "contour", "parallel"):
        assert found.plot(kind).axes
    with pytest.raises(ValueRangeError, match="kind: expected one of history, slice"):
        found.plot("pie")


@requires_optuna
def test_wrong_calls_are_explained() -> None:
    def run(**changed: Any) -> None:
        search.run(**{"objective": valley, "space": SPACE, "trials": 1, **changed})

    for changed, kind, message in (
        ({"objective": 3}, DTypeError, "objective: expected a function of a Setting, got int"),
        ({"space": {}}, ValueRangeError, "expected at least one hyperparameter"),
        ({"space": {"lr": (0, 1)}}, DTypeError, r"space\['lr'\]: expected a range such as LogUniform"),
        ({"trials": 0}, ValueRangeError, "trials: expected an integer of at least 1, got 0"),
        (
            {"sampler": "bayes"},
            ValueRangeError,
            "sampler: expected one of tpe, random, grid, or a sampler of Optuna, got 'bayes'",
        ),
        ({"processes": 2}, ValueRangeError, "expected one that several processes can share, got None"),
    ):
        with pytest.raises(kind, match=message):
            run(**changed)


@requires_optuna
def test_an_objective_that_other_processes_cannot_import_is_refused(tmp_path: Path) -> None:
    with pytest.raises(
        DTypeError, match="expected a function at the top level of a module, .*, got a lambda"
    ):
        search.run(lambda s: 0.0, SPACE, 4, storage=tmp_path / "journal", processes=2)
    with pytest.raises(ValueRangeError, match="keep: expected a fraction"):
        search.run(valley, SPACE, 2).finer(0)


@requires_optuna
def test_a_study_is_resumed_with_its_own_hyperparameters(tmp_path: Path) -> None:
    where = tmp_path / "journal"
    kind = search.Choice("a", "b")
    search.run(valley, SPACE, 2, storage=where)
    for space in ({"lr": SPACE["lr"]}, {**SPACE, "units": kind}, {**SPACE, "units": search.Uniform(1, 9)}):
        with pytest.raises(
            ValueRangeError,
            match=r"search.run: space: expected the hyperparameters and choices of the trials that the study 'search' "
            r"has, got others for units. Pass another name=.",
        ):
            search.run(lambda s: 0.0, space, 3, storage=where)
    search.run(lambda s: 0.0, {"kind": kind}, 2, storage=where, name="choices")
    with pytest.raises(ValueRangeError, match="got others for kind"):
        search.run(lambda s: 0.0, {"kind": search.Choice("a", "c")}, 3, storage=where, name="choices")


@requires_optuna
@pytest.mark.parametrize("name", ["a?b=1.db", "a%20b.db", "a#b.db", "a b.db"])
def test_the_file_of_a_storage_has_the_name_that_was_given(name: str, tmp_path: Path) -> None:
    for trials in (1, 2):
        found = search.run(lambda s: s["x"], {"x": search.Uniform(0, 1)}, trials, storage=tmp_path / name)
    assert os.listdir(tmp_path) == [name] and len(found.study.trials) == 2


@requires_optuna
def test_pruning_knows_built_in_metrics_and_asks_for_others() -> None:
    from tests.train.test_trainer import points, trainer

    def objective(setting: search.Setting) -> float:
        callbacks = [setting.pruning(*arguments)]
        metrics = {"iou": lambda target, prediction: 0.5}
        t = trainer(lr=setting["lr"], metrics=["balanced_accuracy"], callbacks=callbacks)
        if arguments[0] == "dev_iou":
            t = trainer(lr=setting["lr"], metrics=metrics, callbacks=callbacks)
        return float(t.fit(points(), points(seed=1), 2, rng=0)[arguments[0]][-1])

    def run() -> search.Found:
        return search.run(objective, {"lr": search.LogUniform(1e-3, 1)}, 2, maximize=True, rng=0)

    pytest.importorskip("sklearn", reason="balanced accuracy is scikit-learn's")
    arguments: tuple[Any, ...] = ("dev_balanced_accuracy",)
    assert len(run().ranked) == 2
    arguments = ("dev_iou", "max")
    assert len(run().ranked) == 2
    arguments = ("dev_iou",)
    with pytest.raises(
        ValueRangeError, match="Setting.pruning: expected a metric of which it is known whether"
    ):
        run()


@requires_optuna
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"maximize": "yes"}, "search.run: maximize: expected True or False"),
        ({"rng": "0"}, "search.run: rng: expected an int"),
        ({"pruner": "mean"}, 'search.run: pruner: expected "median", None or a pruner of Optuna'),
        ({"name": 3}, "search.run: name: expected a string"),
        ({"space": [1]}, "search.run: space: expected a dict of ranges"),
    ],
)
def test_other_options_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises((ValueRangeError, DTypeError), match=message):
        search.run(valley, options.pop("space", SPACE), 1, **options)


@requires_optuna
@pytest.mark.parametrize("content", [b"hello\n", b"1\n2\n", b'{"a": 1}\n', b"\xff\x00\n", b"[]\n", None])
def test_a_file_that_is_no_journal_is_refused_and_stays_as_it_was(
    content: bytes | None, tmp_path: Path
) -> None:
    path = tmp_path / "notes.txt"
    path.mkdir() if content is None else path.write_bytes(content)
    with pytest.raises(
        FileFormatError, match=r"^search.run: storage: expected a new file, or a journal .* got .*notes"
    ):
        search.run(valley, SPACE, 1, storage=path)
    assert content is None or path.read_bytes() == content
    database = tmp_path / "notes.db"
    database.write_bytes(b"something else than a database, and long enough to be looked at" * 20)
    with pytest.raises(ValueRangeError, match=r"can be opened, got sqlite:.*notes.db"):
        search.run(valley, SPACE, 1, storage=database)
    with pytest.raises(
        ValueRangeError, match=r"expected the URL of a database that SQLAlchemy knows.*got nosuch://"
    ):
        search.run(valley, SPACE, 1, storage="nosuch://host/name")


@requires_optuna
def test_an_attempt_to_open_a_database_that_fails_closes_its_connections(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import optuna
    from sqlalchemy.exc import IntegrityError

    disposed: list[Any] = []

    class Engine:
        def dispose(self) -> None:
            disposed.append(self)

    class Storage:
        made = 0

        def __init__(self, url: str, **options: Any) -> None:
            self.engine = Engine()
            Storage.made += 1
            if Storage.made == 1:  # as where another process makes the tables at the same moment
                raise IntegrityError("CREATE TABLE", None, Exception("it exists"))

    monkeypatch.setattr(optuna.storages, "RDBStorage", Storage)
    opened = open_storage("sqlite:///unused.db")
    assert Storage.made == 2 and len(disposed) == 1 and opened.engine not in disposed
