"""torch.compile, hooks of steps, sparse Tensors, saved Tensors, and that nothing warns of nan."""

from __future__ import annotations

import copy
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dl.torch as torch
from tinygrad_dl.torch import nn


def training(compiled: bool) -> list[float]:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 2))
    optimizer = torch.optim.Adam(model.parameters(), lr=0.05)

    def step(x: Any, y: Any) -> Any:
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(x).view(-1, 2), y)
        loss.backward()
        optimizer.step()
        return loss

    run = torch.compile(step) if compiled else step
    losses = []
    for i in range(8):
        x = torch.linspace(-1, 1 + i, 64).view(16, 4)
        losses.append(run(x, (x.sum(1) > 0).long()).item())
    if compiled:
        assert "1 side effect" in run.explain()
    return losses


def test_a_training_step_compiles_and_has_the_eager_losses() -> None:
    np.testing.assert_allclose(training(True), training(False), rtol=1e-5)


def test_a_compiled_model_is_a_model_whose_results_have_pytorchs_methods_and_gradients() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 2))
    twin, compiled = copy.deepcopy(model), torch.compile(model)
    x = torch.randn(5, 4)
    for _ in range(5):
        compiled.zero_grad()
        twin.zero_grad()
        out = compiled(x)
        out.view(-1).sum().backward()
        twin(x).sum().backward()
    assert torch.is_tensor(out) and "captured: 3 operations" in compiled.explain()
    assert len(list(compiled.parameters())) == 4 and compiled._orig_mod is model
    for p, q in zip(model.parameters(), twin.parameters()):
        assert torch.allclose(p.grad, q.grad)


def dropping(compiled: bool) -> list[float]:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv1d(2, 4, 1), nn.Dropout1d(0.3), nn.Flatten(), nn.Dropout(0.5), nn.Linear(12, 1)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=0.05)

    def step(x: Any) -> Any:
        optimizer.zero_grad()
        loss = (model(x) ** 2).mean()
        loss.backward()
        optimizer.step()
        return loss

    run = torch.compile(step) if compiled else step
    losses = [run(torch.linspace(-1, 1 + i, 48).view(8, 2, 3)).item() for i in range(8)]
    if compiled:
        assert "1 side effect" in run.explain()
    return [*losses, *torch.rand(3).tolist()]  # what is drawn afterwards


def test_a_compiled_step_with_dropout_has_the_eager_draws() -> None:
    np.testing.assert_allclose(dropping(True), dropping(False), rtol=1e-5)


def test_backward_of_a_compiled_model_has_the_mask_of_its_forward() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(4, 64), nn.Dropout(0.5))
    compiled = torch.compile(model)
    for _ in range(5):
        compiled.zero_grad()
        out = compiled(torch.ones(1, 4))
        torch.rand(1)  # moves the generator on
        out.sum().backward()
        kept = (out[0] != 0) * 2.0
        assert torch.allclose(model[0].bias.grad, kept)
    assert "captured: 2 operations" in compiled.explain()


def doubled(x: Any) -> Any:
    return x.mul_(2) + 1


def noisy(x: Any) -> Any:
    return x * torch.rand(4)


def chosen(x: Any) -> Any:
    return x * 2 if torch.equal(x, x.abs()) else x


def from_numpy(x: Any) -> Any:
    return x * torch.heaviside(x, torch.tensor(0.5))


@pytest.mark.parametrize("function", [doubled, noisy, chosen, from_numpy])
def test_what_a_program_could_not_repeat_runs_eagerly_and_says_so(function: Any) -> None:
    compiled = torch.compile(function)
    with pytest.warns(UserWarning, match="runs eagerly"):
        for i in range(6):  # the same numbers at first, which two captures could take for constants
            given = torch.tensor([1.0, 2.0, 0.0, 1.0]) if i < 3 else torch.tensor([-1.0, 2.0, i, 1.0])
            mine, other = given.clone(), given.clone()
            torch.manual_seed(i)
            found = compiled(mine)
            torch.manual_seed(i)
            assert torch.equal(found, function(other)) and torch.equal(mine, other)


def test_compile_as_a_decorator_with_options_and_disabled() -> None:
    @torch.compile(mode="max-autotune", dynamic=False)
    def f(x: Any) -> Any:
        return x.sin().unsqueeze(0), {"sum": x.sum()}

    x = torch.ones(3)
    for _ in range(4):
        a, b = f(x)
    assert tuple(a.size()) == (1, 3) and b["sum"].item() == 3
    assert torch.compile(doubled, disable=True) is doubled


def test_hooks_of_steps_run_around_each_step_until_they_are_removed() -> None:
    p = nn.Parameter(torch.ones(2))
    optimizer = torch.optim.SGD([p], lr=0.1)
    seen: list[Any] = []
    handle = optimizer.register_step_pre_hook(lambda o, args, kwargs: seen.append(("before", p.sum().item())))
    optimizer.register_step_post_hook(lambda o, args, kwargs: seen.append(args[0] is o))
    for _ in range(2):
        p.sum().backward()
        optimizer.step()
        handle.remove()
    assert seen == [("before", 2.0), True, True]


def test_sparse_tensors_are_dense_with_the_same_values() -> None:
    with pytest.warns(UserWarning, match="dense Tensor"):
        x = torch.sparse_coo_tensor([[0, 1, 1], [2, 0, 0]], [3.0, 4.0, 5.0], (2, 3))
    assert x.to_dense().tolist() == [[0, 0, 3], [9, 0, 0]]
    assert x.coalesce().indices().tolist() == [[0, 1], [2, 0]] and x.values().tolist() == [3, 9]
    assert torch.sparse.mm(x, torch.ones(3, 1)).tolist() == [[3], [9]]
    assert torch.sparse.softmax(x, 1).tolist() == [[0, 0, 1], [1, 0, 0]]
    with pytest.warns(UserWarning), pytest.raises(RuntimeError, match="out of bounds"):
        torch.sparse_coo_tensor([[2], [0]], [1.0], (2, 3))


def test_saved_tensors_without_a_gradient_are_tensors() -> None:
    class Scale(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Any, weight: Any) -> Any:
            ctx.save_for_backward(weight)
            return x * weight

        @staticmethod
        def backward(ctx: Any, g: Any) -> Any:
            (weight,) = ctx.saved_tensors
            return g * weight.view(-1), None

    x = torch.ones(2, requires_grad=True)
    Scale.apply(x, torch.tensor([2.0, 3.0])).sum().backward()
    assert x.grad.tolist() == [2, 3]


def test_nothing_warns_of_nan_infinity_and_overflow() -> None:
    inf = float("inf")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        x = torch.tensor([0.0, 1, -1, inf, 1e38], requires_grad=True)
        (
            1 / x + x.log() + x.exp() * x + x.sqrt() + (x - x) / (x - x) + x.std() + x.softmax(0)
        ).sum().backward()
        y = x.detach().clone()
        y /= 0
        y[0] = 1e300
        torch.full((2,), 1e300), torch.tensor(1e300), torch.tensor([1e5]).half(), torch.tensor([1, 2]) / 0
        torch.zeros(0).mean(), torch.tensor([3.0]).fmod(0.0), y.long(), torch.zeros(3).log_()
        nn.LayerNorm(2)(torch.full((1, 2), inf)), torch.ones(3).fill_(1e300).mul_(1e38)


def test_parameters_of_lazy_and_recurrent_layers_as_programs_initialize_them() -> None:
    lazy = nn.LazyLinear(2)
    lazy.weight.data.normal_(0, 0.01)  # there are no values yet, and nothing happens
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(torch.ones(3, 4)).sum().backward()
    optimizer.step()
    assert type(lazy) is nn.Linear and tuple(lazy.weight.shape) == (2, 4)
    layer = nn.LSTM(2, 3, 2, bidirectional=True)
    assert [n for n, _ in layer.named_parameters()] == layer._flat_weights_names
    assert [len(group) for group in layer.all_weights] == [4, 4, 4, 4]


@pytest.mark.parametrize("dtype", ["float64", "int32", "bool", "complex64", ">f4"])
def test_arrays_and_numbers_of_numpy_are_read_from_files(dtype: str, tmp_path: Any) -> None:
    array = np.asfortranarray(np.arange(6).reshape(2, 3).astype(dtype))
    torch.save({"x": array, "both": [array, array.T[:1]], "loss": np.float32(0.5)}, tmp_path / "arrays.pt")
    back = torch.load(tmp_path / "arrays.pt")
    assert (
        back["loss"] == 0.5
        and np.array_equal(back["x"], array)
        and np.array_equal(back["both"][1], array.T[:1])
    )
    assert type(back["x"]) is np.ndarray and back["x"].dtype == array.dtype.newbyteorder("=")


def test_arrays_of_objects_are_refused(tmp_path: Any) -> None:
    torch.save(np.array([None, len], dtype=object), tmp_path / "objects.pt")
    with pytest.raises(pickle.UnpicklingError, match="array of numbers"):
        torch.load(tmp_path / "objects.pt")
