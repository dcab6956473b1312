"""torch.Tensor: views and writing in place, gradients through both, indexing, conversions, text, errors."""

from __future__ import annotations

import copy
import gc
import math
import pickle
import warnings
from typing import Any

import numpy as np
import pytest

import tinygrad_dl as tg
import tinygrad_dl.torch as torch


@pytest.fixture
def peer() -> Any:
    return pytest.importorskip("torch", reason="PyTorch is one of the peers, installed by the extra `peer`")


def same(x: Any, expected: Any) -> bool:
    return bool(np.array_equal(x.detach().numpy(), np.asarray(expected)))


@pytest.mark.parametrize(
    ("view", "position"),
    [
        (lambda x: x[0], (0,)),
        (lambda x: x[0][1], (0, 1)),
        (lambda x: x.t()[1], (slice(None), 1)),
        (lambda x: x.view(-1)[4:], None),
        (lambda x: x.transpose(0, 1), (Ellipsis,)),
        (lambda x: x.unsqueeze(0)[0, 1], (1,)),
        (lambda x: x.chunk(3, 1)[2], (slice(None), slice(2, 3))),
        (lambda x: x.narrow(1, 0, 2), (slice(None), slice(0, 2))),
        (lambda x: x.diagonal(), ([0, 1], [0, 1])),
        (lambda x: x.detach()[1], (1,)),
        (lambda x: x.data.flatten()[:3], (0,)),
        (lambda x: torch.unbind(x, 1)[0], (slice(None), 0)),
        (lambda x: x.permute(1, 0).select(0, 2), (slice(None), 2)),
        (lambda x: x.T.squeeze(0), (Ellipsis,)),
    ],
)
def test_writing_through_a_view_reaches_the_tensor(view: Any, position: Any) -> None:
    x = torch.zeros(2, 3)
    expected = np.zeros((2, 3), np.float32)
    if position is None:
        expected.reshape(-1)[4:] = 7
    else:
        expected[position] = 7
    view(x).fill_(7)
    assert same(x, expected)


@pytest.mark.parametrize(
    ("start", "view"),
    [
        ([[1 + 2j, 3 - 1j], [0.5j, 4.0]], lambda t, x: t.view_as_real(x)),
        ([[1 + 2j, 3 - 1j], [0.5j, 4.0]], lambda t, x: t.view_as_real(x.T)[..., 1]),
        ([[1 + 2j, 3 - 1j], [0.5j, 4.0]], lambda t, x: t.view_as_complex(t.view_as_real(x))),
        ([[1 + 2j, 3 - 1j], [0.5j, 4.0]], lambda t, x: x[1].real),
        ([[1 + 2j, 3 - 1j], [0.5j, 4.0]], lambda t, x: x.imag),
        (1 + 2j, lambda t, x: t.view_as_real(x)),
        ([[1.0, 2.0], [3.0, 4.0]], lambda t, x: t.view_as_complex(x)),
        ([[1.0, 2.0, 5.0, 6.0], [3.0, 4.0, 7.0, 8.0]], lambda t, x: t.view_as_complex(x[:, 2:])),
        ([[1.0, 2.0], [3.0, 4.0]], lambda t, x: t.linalg.diagonal(x)),
        ([1.0, 2.0, 3.0], lambda t, x: x.unbind()[2]),
        ([1.0, 2.0, 3.0], lambda t, x: x.select(0, -1)),
        ([1.0, 2.0, 3.0], lambda t, x: t.cartesian_prod(x)),
        (3.0, lambda t, x: x.transpose(0, 0)),
        ([1.0, 2.0, 3.0, 4.0], lambda t, x: x[2:].as_strided((2,), (1,), 1)),
        ([1.0, 2.0, 3.0, 4.0], lambda t, x: x[1:].as_strided((2,), (2,))),
        ([[1.0, 2.0], [3.0, 4.0]], lambda t, x: x.T.as_strided((2,), (3,))),
        ([1.0, 2.0], lambda t, x: t.Tensor(x)),
        ([1.0, 2.0], lambda t, x: t.from_numpy(x.numpy(force=True))),
    ],
)
def test_a_result_that_shares_memory_in_pytorch_does_so_here(peer: Any, start: Any, view: Any) -> None:
    expected = peer.tensor(start)
    theirs = view(peer, expected)
    theirs += 2
    x = torch.tensor(start)
    ours = view(torch, x)
    ours += 2
    assert ours.tolist() == theirs.tolist() and x.tolist() == expected.tolist()


def test_gradients_pass_views_of_complex_numbers_as_numbers_and_back(peer: Any) -> None:
    gradients = []
    for t in (torch, peer):
        x = t.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
        y = t.view_as_real(t.view_as_complex(x) ** 2)
        (y * y[..., :1]).sum().backward()
        gradients.append(x.grad.numpy())
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)


def test_a_recorded_write_through_numbers_of_complex_ones_raises() -> None:
    w = torch.tensor([1 + 2j], requires_grad=True)
    x = w * 1
    for view in (x.real, torch.view_as_real(x)):
        with pytest.raises(RuntimeError, match="view of another dtype"):
            view.mul_(2)
    assert x.tolist() == [1 + 2j]


@pytest.mark.parametrize(
    "conjugate",
    [
        lambda x: x.conj(),
        lambda x: torch.conj(x)[0],
        lambda x: x.adjoint(),
        lambda x: x.H,
        lambda x: x.mH[0],
        lambda x: x.detach().conj(),
    ],
)
def test_a_write_to_a_conjugate_which_would_not_reach_the_tensor_raises(conjugate: Any) -> None:
    x = torch.tensor([[1 + 2j, 3.0]])
    y = conjugate(x)
    for write in (lambda: y.add_(1), lambda: y.__setitem__(0, 1)):
        with pytest.raises(RuntimeError, match="has values of its own"):
            write()
    assert x.tolist() == [[1 + 2j, 3.0]]
    assert y.clone().add_(1).tolist() == (y + 1).tolist()


def test_a_conjugate_without_its_tensor_and_a_resolved_one_are_written_to() -> None:
    y = torch.tensor([1 + 2j]).conj()
    assert y.mul_(2).tolist() == [2 - 4j]
    x = torch.tensor([1 + 2j])
    assert x.conj().resolve_conj().mul_(2).tolist() == [2 - 4j] and x.tolist() == [1 + 2j]
    assert x.conj_physical_().add_(1).tolist() == [2 - 2j]
    real = torch.tensor([1.0])
    real.conj().add_(1)  # PyTorch's is the Tensor itself
    assert real.tolist() == [2.0]


@pytest.mark.parametrize(
    ("name", "start"),
    [
        ("view_as_real", [1.0, 2.0]),
        ("view_as_complex", [1, 2]),
        ("view_as_complex", [1.0, 2.0, 3.0]),
        ("view_as_complex", 1.0),
    ],
)
def test_views_of_complex_numbers_of_something_else_raise_as_in_pytorch(
    peer: Any, name: str, start: Any
) -> None:
    with pytest.raises(RuntimeError) as theirs:
        getattr(peer, name)(peer.tensor(start))
    with pytest.raises(RuntimeError) as ours:
        getattr(torch, name)(torch.tensor(start))
    assert str(ours.value).split("scalar type")[0] == str(theirs.value).split("scalar type")[0]


@pytest.mark.parametrize("view", [lambda x: x[:, :, 0].T, lambda x: x[:, 1:, 0], lambda x: x[0, 1:]])
def test_view_as_complex_of_memory_in_another_order_raises_as_in_pytorch(peer: Any, view: Any) -> None:
    for t in (torch, peer):
        with pytest.raises(RuntimeError, match="stride (1|divisible by 2)"):
            t.view_as_complex(view(t.zeros(2, 3, 3))[..., :2])


def test_compile_computes_what_the_function_computes() -> None:
    model, x = torch.nn.Linear(2, 1), torch.ones(3, 2)
    compiled = torch.compile(model, mode="max-autotune")
    for _ in range(4):
        assert torch.allclose(compiled(x), model(x))
    assert torch.equal(torch.compile(dynamic=True)(abs)(-x), x)
    with pytest.warns(UserWarning, match=r"runs eagerly: writing in place \(mul_\)"):
        result = torch.compile(lambda x: x.view(2, 1).mul_(2))(torch.ones(2))
    assert type(result) is torch.Tensor and result.size(0) == 2


def test_every_view_shows_what_another_one_writes() -> None:
    x = torch.arange(6.0)
    rows, columns = x.view(2, 3), x.view(2, 3).t()
    rows[1, 0] = 10
    columns.mul_(2)
    x += 1
    assert same(x, [1, 3, 5, 21, 9, 11]) and same(rows, [[1, 3, 5], [21, 9, 11]])
    assert same(columns, [[1, 21], [3, 9], [5, 11]])


def test_gradients_follow_a_write_through_a_view() -> None:
    w = torch.tensor([1.0, 2.0, 3.0, 4.0], requires_grad=True)
    x = (w * 1).view(2, 2)
    before = x * x  # saves x as it is now
    x[0].mul_(10)
    x[1][1] = w[0] * w[1]
    (x.sum() + before.sum()).backward()
    assert same(x, [[10, 20], [3, 2]])
    assert same(w.grad, [10 + 2 + 2, 10 + 1 + 4, 1 + 6, 8])


def test_a_view_made_before_a_write_has_the_gradient_of_what_was_written() -> None:
    w = torch.tensor([2.0, 3.0], requires_grad=True)
    x = w * 1
    first = x[0]
    x.mul_(w)  # first shows w[0] ** 2 now
    first.backward()
    assert same(first, 4) and same(w.grad, [4, 0])


def test_what_a_graph_saved_is_not_changed_by_a_later_write() -> None:
    w = torch.tensor([1.0, 2.0], requires_grad=True)
    x = torch.tensor([3.0, 4.0])
    y = (w * x).sum()
    x.zero_()
    y.backward()
    assert same(w.grad, [3, 4]) and same(x, [0, 0])
    with torch.no_grad():
        z = (w * w).sum() if torch.is_grad_enabled() else None
    assert z is None


@pytest.mark.parametrize(
    "write",
    [
        lambda w: w.add_(1),
        lambda w: w[0].zero_(),
        lambda w: w.__setitem__(0, 5.0),
        lambda w: w.view(-1).mul_(2),
    ],
)
def test_leaves_that_require_grad_are_not_written_while_recording(write: Any) -> None:
    w = torch.ones(3, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        write(w)
    with torch.no_grad():
        write(w)
    assert w.requires_grad and w.is_leaf and not same(w, np.ones(3))


def test_data_is_the_same_memory_without_the_graph() -> None:
    w = torch.ones(3, requires_grad=True)
    (w * 3).sum().backward()
    w.data += -0.5 * w.grad
    w.data[0] = 9
    w.grad.data.zero_()
    assert same(w, [9, -0.5, -0.5]) and same(w.grad, [0, 0, 0]) and w.requires_grad


def test_an_expanded_tensor_is_not_written() -> None:
    x = torch.zeros(3, 1).expand(3, 4)
    with pytest.raises(RuntimeError, match="more than one element of the written-to tensor"):
        x.add_(1)


def test_inplace_and_out_overwrite() -> None:
    x = torch.tensor([-1.0, 2.0])
    y = torch.nn.ReLU(inplace=True)(x)
    assert y is x and same(x, [0, 2])
    assert torch.nn.functional.leaky_relu(x.neg_(), 0.5, inplace=True) is x and same(x, [0, -1])
    out = torch.empty(2)
    assert torch.add(x, 1, out=out) is out and same(out, [1, 0])
    with pytest.raises(RuntimeError, match="don't support automatic differentiation"):
        torch.mul(x, torch.ones(2, requires_grad=True), out=out)


def test_a_write_in_place_keeps_shape_and_kind_of_dtype() -> None:
    x = torch.tensor([1, 2])
    with pytest.raises(RuntimeError, match="can't be cast"):
        x += 0.5
    with pytest.raises(RuntimeError, match="doesn't match the broadcast shape"):
        x += torch.ones(3, 2, dtype=torch.long)
    x *= 2
    assert same(x, [2, 4]) and x.dtype == torch.int64


def test_numpy_shares_memory_both_ways() -> None:
    a = np.zeros(3, np.float32)
    x = torch.from_numpy(a)
    x.add_(1)
    a[0] = 5
    assert same(x, [5, 1, 1]) and a[1] == 1
    y = torch.zeros(2)
    y.numpy()[0] = 3
    y.add_(1)
    assert same(y, [4, 1])
    with pytest.raises(RuntimeError, match="requires grad"):
        torch.ones(2, requires_grad=True).numpy()


def test_dtypes_of_results_are_pytorchs() -> None:
    i, f, d = torch.tensor([1, 2]), torch.tensor([1.0, 2.0]), torch.tensor([1.0], dtype=torch.double)
    assert (i + 1.5).dtype == (i / 2).dtype == (i + f).dtype == torch.sqrt(i).dtype == torch.float32
    assert (f + torch.tensor(1.0, dtype=torch.double)).dtype == torch.float32 and (
        f + d
    ).dtype == torch.float64
    assert (
        (i > 1).dtype == torch.bool and (i > 1).sum().dtype == torch.int64 and i.float().dtype == torch.float
    )
    assert torch.tensor(True).long().dtype == torch.int64 and str(f.dtype) == "torch.float32"
    assert (
        f.to("cpu") is f
        and f.to(torch.float64).dtype == torch.double
        and f.type("torch.LongTensor").dtype == torch.long
    )
    assert torch.float32 == np.float32 and np.zeros(1, torch.float64).dtype == np.float64


def test_the_vocabulary_of_shapes() -> None:
    x = torch.arange(24).view(2, 3, 4)
    assert (
        x.size() == torch.Size([2, 3, 4])
        and x.size(-1) == 4
        and x.dim() == 3
        and x.numel() == 24
        and x.size == 24
    )
    assert x.transpose(0, 1).shape == (3, 2, 4) and x.permute(2, 0, 1).size() == (4, 2, 3)
    assert (
        x.flatten(1).shape == (2, 12)
        and x.unsqueeze(-1).shape == (2, 3, 4, 1)
        and x.repeat(2, 1, 1).shape == (4, 3, 4)
    )
    assert [p.shape[1] for p in x.split([1, 2], dim=1)] == [1, 2] and len(x.chunk(4, dim=2)) == 4
    assert x[:, None, ..., 0].shape == (2, 1, 3) and x[x > 20].tolist() == [21, 22, 23]
    values, indices = x.float().max(dim=2)
    assert values.shape == indices.shape == (2, 3) and indices.dtype == torch.int64
    with pytest.raises(RuntimeError, match="view size is not compatible"):
        x.transpose(0, 1).view(-1)


def test_text_is_pytorchs() -> None:
    assert repr(torch.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(torch.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert repr(torch.tensor([1.0, 2.0])) == "tensor([1., 2.])" and repr(torch.tensor(3.0)) == "tensor(3.)"
    assert repr(torch.ones(1, requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(torch.ones(1, requires_grad=True) * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert repr(torch.tensor([1e-6, 1.0])) == "tensor([1.0000e-06, 1.0000e+00])"
    assert repr(torch.zeros(0)) == "tensor([])" and repr(torch.zeros(2, 0)) == "tensor([], size=(2, 0))"
    assert repr(torch.tensor([True])) == "tensor([True])" and f"{torch.tensor(1.5):.2f}" == "1.50"
    assert repr(torch.ones(2, dtype=torch.double)) == "tensor([1., 1.], dtype=torch.float64)"


def test_copies_are_leaves_and_files_keep_what_they_were(tmp_path: Any) -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    for twin in (copy.deepcopy(x), pickle.loads(pickle.dumps(x))):
        assert twin.requires_grad and same(twin, [1, 2]) and isinstance(twin, torch.Tensor)
    with pytest.raises(RuntimeError, match="explicitly by the user"):
        copy.deepcopy(x * 2)
    state = {"w": x, "step": 3, "nested": [torch.arange(3), {"name": "a"}], "half": torch.ones(2, 2).t()}
    torch.save(state, tmp_path / "x.pt")
    back = torch.load(tmp_path / "x.pt")
    assert same(back["w"], [1, 2]) and back["step"] == 3 and back["nested"][1] == {"name": "a"}
    assert back["nested"][0].dtype == torch.int64 and back["half"].shape == (2, 2)


class Evil:
    def __reduce__(self) -> Any:
        return print, ("never",)


def test_loading_runs_no_code_of_the_file(tmp_path: Any, capsys: Any) -> None:
    torch.save({"x": Evil()}, tmp_path / "evil.pt")
    with pytest.raises(pickle.UnpicklingError, match=r"names __builtin__\.print"):
        torch.load(tmp_path / "evil.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"x": 1}))
    with pytest.raises(RuntimeError, match="zip format"):
        torch.load(tmp_path / "old.pt")
    assert capsys.readouterr().out == ""


def test_modules_have_tensors_of_this_layer_everywhere() -> None:
    model = torch.nn.Transformer(8, 2, 1, 1, 16)
    assert all(isinstance(p, torch.nn.Parameter) and p.data.dim() > 0 for p in model.parameters())
    norm = torch.nn.BatchNorm1d(3)
    norm(torch.randn(4, 3))
    assert isinstance(norm.running_mean, torch.Tensor) and norm.state_dict()["running_mean"].size(0) == 3
    lazy = torch.nn.LazyLinear(4)
    optimizer = torch.optim.SGD(lazy.parameters(), lr=0.1)
    lazy(torch.ones(2, 3)).sum().backward()
    optimizer.step()
    assert isinstance(lazy, torch.nn.Linear) and lazy.weight.shape == (4, 3) and lazy.weight.grad is not None


def test_hooks_and_functions_see_tensors_of_this_layer() -> None:
    seen: list[Any] = []
    layer = torch.nn.Linear(2, 2)
    layer.register_forward_hook(lambda m, args, out: seen.append((args[0], out)))
    x = torch.ones(1, 2, requires_grad=True)
    x.register_hook(lambda g: seen.append(g))
    torch.nn.Sequential(layer, torch.nn.Tanh())(x).sum().backward()
    assert all(isinstance(t, torch.Tensor) for t in (*seen[0], seen[1]))


class Cube(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Any, factor: float) -> Any:
        ctx.save_for_backward(x)
        ctx.factor = factor
        return factor * x**3

    @staticmethod
    def backward(ctx: Any, g: Any) -> Any:
        (x,) = ctx.saved_tensors
        return g * ctx.factor * 3 * x**2, None


def test_autograd_functions_are_differentiated_twice() -> None:
    x = torch.tensor([1.0, 2.0], requires_grad=True)
    y = Cube.apply(x, 2.0)
    (first,) = torch.autograd.grad(y.sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(first.sum(), x)
    assert same(y, [2, 16]) and same(first, [6, 24]) and same(second, [12, 24])
    gc.collect()


def test_transformations_of_functions() -> None:
    x = torch.randn(3, 2)
    assert torch.func.vmap(lambda v: v.view(-1).sum())(x).shape == (3,)
    assert same(torch.func.grad(lambda v: (v**2).sum())(torch.ones(2)), [2, 2])
    jacobian = torch.autograd.functional.jacobian(lambda v: v**2, torch.ones(2))
    assert same(jacobian, [[2, 0], [0, 2]])
    model = torch.nn.Linear(2, 1)
    out = torch.func.functional_call(model, {"weight": torch.ones(1, 2), "bias": torch.zeros(1)}, (x,))
    assert torch.allclose(out, x.sum(1, keepdim=True))


def test_what_programs_carry_along_does_nothing() -> None:
    assert not torch.cuda.is_available() and torch.cuda.device_count() == 0
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    x = torch.randn(2, 2).to(device, non_blocking=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        y = torch.nn.DataParallel(torch.nn.Linear(2, 2))(x)
    scaler = torch.amp.GradScaler("cuda", enabled=False)
    scaler.scale(y.sum()).backward()
    torch.backends.cudnn.benchmark = True
    assert torch.distributed.is_available() is False and torch.compile(torch.nn.ReLU())(x).min() >= 0
    assert (
        isinstance(torch.FloatTensor([1, 2]), torch.FloatTensor) and torch.LongTensor([1]).dtype == torch.long
    )
    with pytest.raises(RuntimeError, match="there is no device"):
        x.to("cuda")
    with pytest.warns(UserWarning, match="Implicit dimension choice"):
        torch.nn.functional.softmax(x)
    with pytest.warns(UserWarning, match="no bfloat16"):
        x.to(torch.bfloat16)


def test_names_that_are_left_out_say_why() -> None:
    with pytest.raises(AttributeError, match=r"^torch\.quantize_per_tensor: quantization is left out$"):
        _ = torch.quantize_per_tensor
    with pytest.raises(
        AttributeError, match=r"^torch\.nn\.Linaer: there is no such name\. Did you mean torch\.nn\.Linear\?"
    ):
        _ = torch.nn.Linaer


def test_the_core_knows_nothing_of_the_layer() -> None:
    x = tg.ones(2)
    assert type(x + x) is tg.Tensor and type(tg.nn.Linear(2, 2)(x)) is tg.Tensor
    with pytest.raises(AttributeError, match=r"Tensor\.view"):
        x.view(1, 2)  # type: ignore[attr-defined]
    assert all("torch" not in name for name in tg.OPS)


def test_the_generator_is_a_stream_of_its_own() -> None:
    tg.manual_seed(0)
    expected = tg.rand(3).tolist()
    tg.manual_seed(0)
    torch.manual_seed(1)
    torch.rand(5)
    torch.nn.Linear(3, 3)
    assert tg.rand(3).tolist() == expected
    torch.manual_seed(1)
    first = torch.rand(4)
    state = torch.get_rng_state()
    second = torch.randn(3)
    torch.set_rng_state(state)
    assert torch.equal(second, torch.randn(3)) and not torch.equal(first, torch.rand(4))


def test_no_reference_cycle_is_left() -> None:
    gc.collect()
    gc.disable()
    try:
        x = torch.ones(3, requires_grad=True)
        y = (x * 2).view(3, 1)
        y[0] = 5
        y.sum().backward()
        del x, y
        assert gc.collect() == 0
    finally:
        gc.enable()


def test_warnings_of_the_layer_are_few() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.nn.LSTM(3, 4, 2, dropout=0.5)(torch.randn(5, 2, 3))


@pytest.mark.filterwarnings("ignore:divide by zero")
@pytest.mark.parametrize(
    ("function", "value", "slope"),
    [
        (lambda x: torch.xlogy(x, 2.0), 0.0, math.log(2.0)),
        (lambda x: torch.xlogy(x, 0.0), 0.0, 0.0),
        (torch.logit, 0.0, math.inf),
        (torch.logit, 0.3, 1 / 0.21),
        (torch.logit, -0.5, math.nan),
        (lambda x: torch.polygamma(1, x), 0.0, -math.inf),
        (torch.i0, 0.0, 0.0),
    ],
    ids=["xlogy", "xlogy of 0", "logit at 0", "logit", "logit outside", "polygamma", "i0"],
)
def test_slopes_at_the_ends_of_domains_are_those_of_pytorch(
    function: Any, value: float, slope: float
) -> None:
    x = torch.tensor(value, dtype=torch.float64, requires_grad=True)
    function(x).backward()
    assert x.grad.item() == pytest.approx(slope, rel=1e-12, abs=1e-15, nan_ok=True)


def test_the_second_derivative_of_a_bessel_function_at_0() -> None:
    x = torch.tensor(0.0, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(torch.i0(x), x, create_graph=True)
    slope.backward()
    assert x.grad.item() == pytest.approx(0.5, rel=1e-12)  # I0'' = I0 - I1(x) / x


def test_names_are_found_under_the_paths_of_pytorchs_files() -> None:
    from tinygrad_dl.torch.autograd.function import Function
    from tinygrad_dl.torch.nn.common_types import _size_2_t
    from tinygrad_dl.torch.nn.modules.utils import _pair
    from tinygrad_dl.torch.nn.utils.clip_grad import clip_grad_norm_
    from tinygrad_dl.torch.nn.utils.stateless import functional_call
    from tinygrad_dl.torch.nn.utils.weight_norm import weight_norm
    from tinygrad_dl.torch.utils.data._utils.collate import default_collate

    assert _pair(3) == (3, 3) and _pair([1, 2]) == (1, 2) and _size_2_t is not None
    assert Function is torch.autograd.Function and functional_call is torch.func.functional_call
    assert clip_grad_norm_ is torch.nn.utils.clip_grad_norm_ and weight_norm is torch.nn.utils.weight_norm
    assert default_collate([torch.ones(2), torch.zeros(2)]).shape == (2, 2)
