"""What needs no MPI: one process, how batches are cut, and the engine's early gradients."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.distributed.launch import needs_mpi
from tinygrad_dl import distributed, nn, optim, train
from tinygrad_dl.data import DataLoader
from tinygrad_dl.distributed.gradients import Reducer
from tinygrad_dl.distributed.trial import ONE_MACHINE, fit, launcher
from tinygrad_dl.distributed.world import Pending, World
from tinygrad_dl.errors import CommunicationError


class Rank(World):
    """A rank of a world whose other ranks have the same as this one."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size
        self.begun: list[int] = []

    def start_sum(self, array: np.ndarray) -> Pending:
        array *= self.size
        self.begun.append(array.size)
        return Pending()

    def gather(self, value: Any) -> list[Any]:
        return [value] * self.size


@pytest.mark.parametrize("n", [0, 1, 7, 23])
@pytest.mark.parametrize("ranks", [1, 2, 3, 4])
def test_no_example_is_lost_or_doubled_and_the_order_is_common(n: int, ranks: int) -> None:
    x = np.arange(n, dtype=float)
    whole = [batch.tolist() for (batch,) in DataLoader(x, 6, shuffle=True, rng=0)]
    loaders = [DataLoader(x, 6, shuffle=True, rng=0, shard=Rank(r, ranks)) for r in range(ranks)]
    parts = [[batch.tolist() for (batch,) in loader] for loader in loaders]
    assert [sum(batch, []) for batch in zip(*parts)] == whole
    for batch in zip(*parts):
        sizes = [len(part) for part in batch]
        assert sizes == sorted(sizes, reverse=True) and max(sizes) - min(sizes) <= 1


def test_a_part_without_an_example_has_the_shapes_of_the_others() -> None:
    examples = [(np.ones((2, 3)), i) for i in range(5)]
    (x, y), *_ = DataLoader(examples, 1, shard=Rank(1, 2))
    assert (x.shape, y.shape) == ((0, 2, 3), (0,))


def test_each_rank_transforms_its_part_with_draws_of_its_own() -> None:
    def noise(x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        return x + rng.random(x.shape)

    def drawn(rank: int) -> list[float]:
        loader = DataLoader(np.zeros(8), 8, transform=noise, rng=0, shard=Rank(rank, 2))
        return [value for (batch,) in loader for value in batch.tolist()]

    assert drawn(0) == drawn(0) and not set(drawn(0)) & set(drawn(1))


def test_a_loader_refuses_what_is_no_world() -> None:
    with pytest.raises(TypeError, match=r"DataLoader: shard: expected a distributed.World .*, got int 2"):
        DataLoader(np.zeros(3), shard=2)  # type: ignore[arg-type]


def test_buckets_are_exchanged_while_backward_goes_on() -> None:
    model = nn.Sequential(*[nn.Linear(4, 4) for _ in range(4)])
    world = Rank(0, 2)
    reducer = Reducer(dict(model.named_parameters()), world, bucket=16 * 4)
    seen: list[int] = []
    x = tg.rand((3, 4)).requires_grad_()
    first = model[0](x)
    first.register_hook(lambda g: seen.append(len(world.begun)))
    rest = model[3](model[2](model[1](first)))
    assert reducer.backward(rest.sum(), weight=3) == 6
    # The weights before backward, then the three later layers, before the gradient of the first one's result.
    assert seen == [4] and len(world.begun) == 5
    expected = [p.grad.numpy() for p in model.parameters() if p.grad is not None]
    model.zero_grad()
    model(x).sum().backward()
    for p, g in zip(model.parameters(), expected):
        assert p.grad is not None
        np.testing.assert_allclose(g, p.grad.numpy(), rtol=1e-5, atol=1e-6)


def test_gradients_that_come_early_are_those_that_come_at_the_end() -> None:
    w, v = (tg.rand((3, 3), dtype="float64", rng=i).requires_grad_() for i in (0, 1))

    def loss() -> tg.Tensor:
        a = tg.tanh(w @ v)
        return (a @ w + w.sum() * v).sum()  # each is used several times

    loss().backward()
    assert w.grad is not None and v.grad is not None
    expected = w.grad.numpy(), v.grad.numpy()
    w.grad = v.grad = None
    Reducer({"w": w, "v": v}, Rank(0, 2)).backward(loss())
    np.testing.assert_allclose(w.grad.numpy(), expected[0], rtol=1e-14)  # type: ignore[attr-defined]
    np.testing.assert_allclose(v.grad.numpy(), expected[1], rtol=1e-14)  # type: ignore[attr-defined]


def test_a_parameter_without_a_gradient_has_none_afterwards() -> None:
    w, v = tg.ones(2).requires_grad_(), tg.ones(2).requires_grad_()
    (w * 2).sum().backward()
    Reducer({"w": w, "v": v}, Rank(0, 2)).average(weight=5)
    assert v.grad is None and w.grad is not None and w.grad.tolist() == [2, 2]


def test_in_one_process_everything_is_as_it_was_given() -> None:
    x = tg.ones(2).requires_grad_()
    assert distributed.all_reduce(x, "mean") is not x and distributed.all_reduce(x, "mean").requires_grad
    assert distributed.all_reduce(3) == 3 and distributed.all_reduce(np.float32(2)) == 2
    assert distributed.gather({"a": 1}) == [{"a": 1}]
    distributed.broadcast(nn.Linear(2, 2))
    distributed.barrier()
    for wrong, message in (
        (lambda: distributed.all_reduce("a"), "all_reduce: x: expected numbers, got"),
        (
            lambda: distributed.all_reduce(1, "product"),
            "all_reduce: op: expected one of sum, mean, max, min, got",
        ),
        (lambda: distributed.all_reduce(x, "max"), "for a Tensor that requires grad, got 'max'"),
        (lambda: distributed.broadcast(3), "broadcast: expected a model or its parameters"),
        (lambda: distributed.broadcast([np.ones(2)]), "broadcast: parameter 0: expected a Tensor, got"),
        (
            lambda: distributed.average_gradients([x], weight=-1),
            "weight: expected a number of at least 0, got -1",
        ),
        (lambda: distributed.world(timeout=0), "timeout: expected a number of seconds above 0, got 0"),
    ):
        with pytest.raises((TypeError, ValueError, RuntimeError), match=message):
            wrong()


def test_what_ranks_do_not_agree_on_is_said_with_who_has_what() -> None:
    class Three(World):
        size = 3

        def gather(self, value: Any) -> list[Any]:
            return [1, 2, 1]

    with pytest.raises(
        CommunicationError, match="^the seed: .* same on all ranks, got 1 on ranks 0 and 2, 2 on rank 1$"
    ):
        Three().agree("the seed", 1)


@pytest.mark.parametrize("distributed", [3, "gloo", train.DataParallel(check_every=0)])
def test_a_trainer_refuses_other_ways_to_be_distributed(distributed: Any) -> None:
    model = nn.Linear(2, 2)
    with pytest.raises((TypeError, ValueError), match="expected"):
        train.Trainer(model, nn.MSELoss(), optim.SGD(model.parameters()), distributed=distributed)


def test_a_link_is_fitted_to_the_times_of_a_ring() -> None:
    sizes, ranks = (8, 1000, 10**6), 3
    times = {n: 4 * 2e-6 + 4 / 3 * n * 1e-9 for n in sizes}
    np.testing.assert_allclose(fit(times, ranks), (2e-6, 1e-9), rtol=1e-9)


@needs_mpi
def test_a_launcher_of_another_mpi_is_an_error_that_says_what_to_do() -> None:
    # One process of MPI, where Slurm says that there are four: srun without the plugin for this MPI.
    code = (
        "import os; os.environ.pop('OMPI_COMM_WORLD_SIZE', None); os.environ['SLURM_STEP_NUM_TASKS'] = '4'\n"
        "from tinygrad_dl import distributed; distributed.world()"
    )
    done = subprocess.run(
        [str(launcher()), "-n", "1", sys.executable, "-c", code],
        env={**os.environ, **ONE_MACHINE}, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    assert "world: expected the 4 processes that the launcher started, got 1" in done.stderr
    assert done.returncode and "srun --mpi=pmix" in done.stderr


@needs_mpi
def test_the_doctor_lets_two_processes_exchange_arrays(capsys: pytest.CaptureFixture[str]) -> None:
    commands = pytest.importorskip("tinygrad_dl.commands", reason="the command needs click")
    assert commands.run(["doctor", "--mpi", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["ranks"] == 2 and found["hosts"] == 1 and found["latency"] > 0 and "error" not in found
