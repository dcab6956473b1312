"""`optimizer.state` is the state: what a user does to it counts at the next step, and `state_dict()` tells it."""

from __future__ import annotations

import copy
import pickle
from collections import defaultdict
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tests.optim.test_optimizer import give_gradients, parameters
from tinygrad_dl import Tensor, optim
from tinygrad_dl.errors import DTypeError, ShapeError, ValueRangeError
from tinygrad_dl.optim.fused import FUSED_SIZE

ALONE, TOGETHER = [(FUSED_SIZE + 3,)], [(3,), (2, 2), (), (1,)]
both = pytest.mark.parametrize("shapes", [ALONE, TOGETHER], ids=["alone", "fused"])


def trained(shapes: list[tuple[int, ...]], **options: Any) -> tuple[list[Tensor], optim.Adam]:
    params = parameters(*shapes)
    optimizer = optim.Adam(params, lr=0.1, **options)
    for seed in range(3):
        give_gradients(params, seed)
        optimizer.step()
    return params, optimizer


def cleared(optimizer: Any) -> None:
    optimizer.state.clear()


def replaced(optimizer: Any) -> None:
    optimizer.state = {}


def replaced_by_defaultdict(optimizer: Any) -> None:
    optimizer.state = defaultdict(dict)


def deleted(optimizer: Any) -> None:
    for p in list(optimizer.state):
        del optimizer.state[p]


def emptied(optimizer: Any) -> None:
    for p in optimizer.state:
        optimizer.state[p] = {}


def emptied_in_place(optimizer: Any) -> None:
    for state in optimizer.state.values():
        state.clear()


def entries_deleted(optimizer: Any) -> None:
    for state in optimizer.state.values():
        del state["exp_avg"], state["exp_avg_sq"]
        state["step"] = 0


def arrays_replaced(optimizer: Any) -> None:
    for state in optimizer.state.values():
        state.update(step=0, exp_avg=np.zeros_like(state["exp_avg"]), exp_avg_sq=0 * state["exp_avg_sq"])


def arrays_zeroed(optimizer: Any) -> None:
    for state in optimizer.state.values():
        state["step"] = 0
        state["exp_avg"][...] = 0
        state["exp_avg_sq"].fill(0)


RESETS = [
    cleared, replaced, replaced_by_defaultdict, deleted, emptied, emptied_in_place, entries_deleted, arrays_replaced,
    arrays_zeroed,
]  # fmt: skip


@both
@pytest.mark.parametrize("reset", RESETS)
def test_a_state_that_is_reset_is_that_of_a_new_optimizer(
    reset: Callable[[Any], None], shapes: list[tuple[int, ...]]
) -> None:
    params, optimizer = trained(shapes)
    reset(optimizer)
    others = [Tensor(p.data, requires_grad=True) for p in params]
    fresh = optim.Adam(others, lr=0.1)
    for seed in range(5, 8):
        give_gradients(params, seed)
        give_gradients(others, seed)
        optimizer.step()
        fresh.step()
    for i, (p, q) in enumerate(zip(params, others)):
        np.testing.assert_array_equal(p.data, q.data)
        np.testing.assert_array_equal(
            optimizer.state_dict()["state"][i]["exp_avg"], fresh.state_dict()["state"][i]["exp_avg"]
        )
        assert optimizer.state[p]["step"] == 3


@both
@pytest.mark.parametrize("kind", ["array", "list", "Tensor", "float32", "Fortran"])
def test_an_array_that_is_put_into_a_state_is_continued_from(
    kind: str, shapes: list[tuple[int, ...]]
) -> None:
    params, optimizer = trained(shapes)
    for p in params:
        m = np.full(p.shape, 0.5)
        given: Any = {
            "array": m, "list": m.tolist(), "Tensor": Tensor(m), "float32": m.astype("f4"), "Fortran": m.copy("F"),
        }[kind]  # fmt: skip
        optimizer.state[p].update(exp_avg=given, exp_avg_sq=np.ones(p.shape), step=9)
    before = [p.data.copy() for p in params]
    for p in params:
        p.grad = Tensor(np.zeros(p.shape))
    optimizer.step()
    # m = 0.9 * 0.5, v = 0.999, t = 10
    step = 0.1 * (0.45 / (1 - 0.9**10)) / (np.sqrt(0.999 / (1 - 0.999**10)) + 1e-8)
    for p, old in zip(params, before):
        np.testing.assert_allclose(p.data, old - step, rtol=1e-6)
        assert optimizer.state[p]["step"] == 10 and optimizer.state[p]["exp_avg"].dtype == p.dtype


def test_a_step_that_is_set_for_one_of_fused_parameters_counts_for_it_alone() -> None:
    params, optimizer = trained(TOGETHER)
    optimizer.state[params[0]]["step"] = 0
    give_gradients(params)
    optimizer.step()
    assert [optimizer.state[p]["step"] for p in params] == [1, 4, 4, 4]


@both
def test_an_array_put_into_two_states_is_not_shared(shapes: list[tuple[int, ...]]) -> None:
    p, q = parameters(shapes[0], shapes[0])
    optimizer = optim.SGD([p, q], lr=0.1, momentum=0.5)
    give_gradients([p, q])
    optimizer.step()
    optimizer.state[q]["momentum_buffer"] = optimizer.state[p]["momentum_buffer"]
    for one in (p, q):
        one.grad = Tensor(np.ones(one.shape))
    buffer = optimizer.state[p]["momentum_buffer"].copy()
    optimizer.step()
    for one in (p, q):
        np.testing.assert_allclose(optimizer.state[one]["momentum_buffer"], 0.5 * buffer + 1)


def test_the_state_before_the_first_step_is_empty() -> None:
    (p,) = parameters((2,))
    optimizer = optim.Adam([p])
    assert optimizer.state[p] == {} and optimizer.state_dict()["state"] == {0: {}}
    optimizer.load_state_dict(optimizer.state_dict())
    give_gradients([p])
    optimizer.step()
    assert optimizer.state[p]["step"] == 1


def test_keys_and_entries_of_the_users_own_are_kept_and_saved() -> None:
    params, optimizer = trained(TOGETHER)
    optimizer.state[params[0]]["note"] = 3.5
    optimizer.state["shared"] = {"best": 1.0}
    give_gradients(params)
    optimizer.step()
    saved = optimizer.state_dict()["state"]
    assert saved[0]["note"] == 3.5 and saved["shared"] == {"best": 1.0}
    assert [optimizer.state[p]["step"] for p in params] == [4, 4, 4, 4]


@both
def test_a_dict_that_a_user_holds_stays_the_state(shapes: list[tuple[int, ...]]) -> None:
    params, optimizer = trained(shapes)
    held = {p: {key: np.copy(v) for key, v in optimizer.state[p].items()} for p in params}
    whole: dict[Any, Any] = {}
    for p in params:
        optimizer.state[p] = held[p]
    give_gradients(params)
    optimizer.step()
    assert all(held[p]["step"] == 4 and optimizer.state[p] is held[p] for p in params)
    for p in params:
        held[p]["step"] = 0
        held[p]["exp_avg"] = np.zeros(p.shape)
    optimizer.step()
    assert {int(optimizer.state[p]["step"]) for p in params} == {1}
    optimizer.state = whole
    optimizer.step()
    optimizer.step()
    assert {state["step"] for state in whole.values()} == {2}
    whole.clear()
    optimizer.step()
    assert {state["step"] for state in whole.values()} == {1}
    inner = optimizer.state[params[-1]]
    inner["step"] = 6
    optimizer.step()
    assert inner["step"] == 7 and optimizer.state[params[-1]] is inner


@both
@pytest.mark.parametrize("held", [False, True])
def test_every_way_to_write_into_a_state_counts(shapes: list[tuple[int, ...]], held: bool) -> None:
    def zeros(state: Any) -> dict[str, Any]:
        return {k: v * 0 for k, v in state.items()}

    def pop(state: Any) -> None:
        for key in list(state):
            state.pop(key)

    def popitem(state: Any) -> None:
        while state:
            state.popitem()

    def union(state: Any) -> None:
        state |= zeros(state)

    def set_default(state: Any) -> None:
        new = zeros(state)
        dict.clear(state)
        for key, value in new.items():
            state.setdefault(key, value)

    for write in (pop, popitem, union, set_default, lambda state: state.update(zeros(state))):
        params, optimizer = trained(shapes)
        if held:
            optimizer.state = {p: dict(state) for p, state in optimizer.state.items()}
        optimizer.step()
        for p in params:
            write(optimizer.state[p])
        optimizer.step()
        assert {optimizer.state[p]["step"] for p in params} == {1}
        for p in params:
            assert p.grad is not None
            np.testing.assert_allclose(optimizer.state[p]["exp_avg"], 0.1 * p.grad.data)


def test_two_optimizers_of_one_state_see_each_others_steps() -> None:
    params, optimizer = trained(TOGETHER)
    give_gradients(params)
    other = copy.copy(optimizer)
    assert other.state is optimizer.state
    for one in (other, optimizer, other, other, optimizer):
        before = {p: optimizer.state[p]["exp_avg"].copy() for p in params}
        one.step()
        for p in params:
            assert p.grad is not None
            np.testing.assert_allclose(
                optimizer.state[p]["exp_avg"], 0.9 * before[p] + 0.1 * p.grad.data, rtol=1e-12
            )
    assert {optimizer.state[p]["step"] for p in params} == {8}


class Lazy(optim.Optimizer):
    """Its update makes the state itself and rebinds it, as one would write it first."""

    def __init__(self, params: Any, lr: float = 0.1) -> None:
        super().__init__(params, {"lr": lr})

    def update(self, p: Any, g: Any, state: Any, group: Any, workspace: Any) -> None:
        state["average"] = 0.5 * state.get("average", np.zeros_like(p)) + g
        p -= group["lr"] * state["average"]


@both
def test_a_state_that_an_update_rebinds_is_seen_and_saved(shapes: list[tuple[int, ...]]) -> None:
    params = parameters(*shapes)
    optimizer = Lazy(params)
    for _ in range(2):
        for p in params:
            p.grad = Tensor(np.ones(p.shape))
        optimizer.step()
    for i, p in enumerate(params):
        np.testing.assert_array_equal(optimizer.state[p]["average"], np.full(p.shape, 1.5))
        assert optimizer.state_dict()["state"][i]["average"].shape == p.shape
    optimizer.state.clear()
    optimizer.step()
    np.testing.assert_array_equal(optimizer.state[params[0]]["average"], np.ones(params[0].shape))


def test_groups_that_are_removed_reordered_or_added_are_updated_as_they_are() -> None:
    params = parameters((2,), (3,), (4,))
    optimizer = optim.Adam([{"params": [p]} for p in params[:2]], lr=0.1)
    give_gradients(params)
    optimizer.step()
    optimizer.param_groups.reverse()
    optimizer.add_param_group({"params": params[2:]})
    optimizer.step()
    del optimizer.param_groups[1]
    before = params[0].data.copy()
    optimizer.step()
    np.testing.assert_array_equal(params[0].data, before)
    assert [optimizer.state[p]["step"] for p in params] == [2, 3, 2]
    assert set(optimizer.state_dict()["state"]) == {0, 1}
    optimizer.param_groups[0]["params"].append(params[0])
    optimizer.step()
    assert optimizer.state[params[0]]["step"] == 3


def test_copies_and_pickles_continue_from_an_edited_state() -> None:
    params, optimizer = trained(TOGETHER)
    optimizer.state[params[1]]["exp_avg"] = np.ones(params[1].shape)
    give_gradients(params)
    twins = [copy.deepcopy((params, optimizer)), pickle.loads(pickle.dumps((params, optimizer)))]
    optimizer.step()
    for others, twin in twins:
        give_gradients(others)
        twin.step()
        for p, q in zip(params, others):
            np.testing.assert_array_equal(p.data, q.data)


@pytest.mark.parametrize(
    ("entry", "error", "message"),
    [
        (
            {"exp_avg": np.ones(5)},
            ShapeError,
            r"^Adam.step: state: exp_avg: expected the shape \(3,\), got \(5,\)$",
        ),
        ({"exp_avg": 0.0}, ShapeError, r"exp_avg: expected the shape \(3,\), got \(\)$"),
        ({"exp_avg": "x"}, DTypeError, r"exp_avg: expected an array of shape \(3,\), got str 'x'$"),
        (
            {"step": -1},
            ValueRangeError,
            "^Adam.step: state: step: expected an integer of at least 0, got int -1$",
        ),
        ({"step": 0.5}, ValueRangeError, "step: expected an integer of at least 0, got float 0.5$"),
        ({"step": "one"}, DTypeError, "step: expected a number, got str 'one'$"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_before_anything_changes(
    entry: dict[str, Any], error: type[Exception], message: str
) -> None:
    params, optimizer = trained([(2,), (3,), (FUSED_SIZE + 3,)])
    before = [p.data.copy() for p in params]
    optimizer.state[params[1]].update(entry)
    with pytest.raises(error, match=message):
        optimizer.step()
    for p, old in zip(params, before):
        np.testing.assert_array_equal(p.data, old)
    assert optimizer.state[params[0]]["step"] == 3


def test_a_state_that_is_no_dict_is_refused() -> None:
    params, optimizer = trained(TOGETHER)
    optimizer.state[params[0]] = 3
    with pytest.raises(DTypeError, match="^Adam.step: state: expected a dict for each parameter, got int 3$"):
        optimizer.step()
    optimizer.state = None  # type: ignore[assignment]
    with pytest.raises(DTypeError, match="^Adam.step: state: expected a dict, got NoneType None$"):
        optimizer.step()


@pytest.mark.parametrize(
    ("option", "value", "error", "message"),
    [
        ("lr", "0.1", DTypeError, "^Adam: lr: expected a number of at least 0, got str '0.1'$"),
        ("lr", -1.0, ValueRangeError, "^Adam: lr: expected a number of at least 0, got -1.0$"),
        ("lr", float("nan"), ValueRangeError, "^Adam: lr: expected a number of at least 0, got nan$"),
        ("betas", 0.9, DTypeError, r"^Adam: betas: expected a pair of numbers in \[0, 1\), got float 0.9$"),
        (
            "betas",
            [0.9, 1.0],
            ValueRangeError,
            r"betas: expected a pair of numbers in \[0, 1\), got \[0.9, 1.0\]$",
        ),
        ("eps", None, DTypeError, "^Adam: eps: expected a number of at least 0, got NoneType None$"),
        ("amsgrad", "no", DTypeError, "^Adam: amsgrad: expected True or False, got str 'no'$"),
        (
            "params",
            "abc",
            DTypeError,
            r'^Adam: param_groups\[1\]: expected a dict with a list of Tensors as "params"',
        ),
        ("params", [3], DTypeError, "^Adam: params: expected Tensors, got int$"),
    ],
)
def test_an_option_that_is_edited_is_refused_at_the_step_before_anything_changes(
    option: str, value: Any, error: type[Exception], message: str
) -> None:
    p, q = parameters((2,), (3,))
    optimizer = optim.Adam([{"params": [p]}, {"params": [q]}], lr=0.1)
    for edited in (False, True):  # before the first step, and after one
        give_gradients([p, q])
        if edited:
            optimizer.step()
        before, right = [p.data.copy(), q.data.copy()], optimizer.param_groups[1][option]
        optimizer.param_groups[1][option] = value
        with pytest.raises(error, match=message):
            optimizer.step()
        for one, old in zip((p, q), before):
            np.testing.assert_array_equal(one.data, old)
        optimizer.param_groups[1][option] = right
    optimizer.step()
    del optimizer.param_groups[0][option]
    with pytest.raises((ValueRangeError, DTypeError), match=r"param_groups\[0\]: expected"):
        optimizer.step()


def test_an_option_that_changes_in_place_is_compared_at_every_step() -> None:
    (p,) = parameters((2,))
    betas, rate = [0.9, 0.99], Tensor(0.1)
    optimizer = optim.Adam([p], lr=rate, betas=betas)  # type: ignore[arg-type]
    give_gradients([p])
    optimizer.step()
    betas[0] = 2.0
    with pytest.raises(ValueRangeError, match="betas: expected a pair of numbers"):
        optimizer.step()
    betas[0] = 0.9
    rate.data[...] = -1.0
    with pytest.raises(ValueRangeError, match="lr: expected a number of at least 0"):
        optimizer.step()


@pytest.mark.parametrize("dtype", ["complex64", "int64"])
def test_a_parameter_that_cannot_have_a_gradient_is_refused_with_the_reason(dtype: str) -> None:
    elementwise = "Only floating and complex Tensors have gradients"
    for make in (optim.SGD, optim.Muon, optim.Adafactor, optim.LBFGS):
        advice = elementwise if make.elementwise else "real and imaginary part"
        if dtype == "complex64" and make.elementwise:
            continue
        with pytest.raises(DTypeError, match=rf"expected a floating dtype, got {dtype}\. .*{advice}"):
            make([Tensor(np.ones((2, 2), dtype))])


def test_a_gradient_from_before_its_parameter_was_changed_is_refused() -> None:
    (p,) = parameters((3,))
    optimizer = optim.SGD([p], lr=0.1)
    p.grad = Tensor(np.ones(3))
    p.data = np.zeros((2, 3))
    with pytest.raises(
        ShapeError, match=r"^SGD.step: expected a gradient of the parameter's shape \(2, 3\) .* got \(3,\)"
    ):
        optimizer.step()


def test_a_group_without_parameters_and_a_wrong_closure() -> None:
    (p,) = parameters((3,))
    optimizer = optim.SGD([p], lr=0.1)
    optimizer.add_param_group({"params": []})
    give_gradients([p])
    optimizer.step()
    with pytest.raises(DTypeError, match="^SGD.step: closure: expected a function, got int 3$"):
        optimizer.step(3)  # type: ignore[arg-type]
    with pytest.raises(DTypeError, match="^SGD: params: expected a list of Tensors, got set$"):
        optimizer.add_param_group({"params": {1}})
    with pytest.raises(
        DTypeError,
        match=r"^SGD: params: expected the parameters, .* got dict. Pass model.parameters\(\), whose values",
    ):
        optim.SGD({"params": [p]})  # type: ignore[arg-type]
