"""compare_frameworks finds what differs between two frameworks, and nothing where they are the same."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest
from hypothesis import given, settings

import tinygrad_dl as tg
from tinygrad_dl.testing import FrameworkDifferenceError, compare_frameworks, differential, strategies
from tinygrad_dl.testing.random_programs import DIALECTS, Program


def test_a_framework_agrees_with_itself():
    found = compare_frameworks("tinygrad_dl", "tinygrad_dl", operations=["sin", "hypot", "relu"], programs=3)
    assert (
        found
        and found.operations == ["sin", "hypot", "relu"]
        or sorted(found.operations) == ["hypot", "relu", "sin"]
    )
    assert "tinygrad_dl and tinygrad_dl agree in 3 operations and 3 programs" in str(found)


@pytest.fixture
def altered(monkeypatch):
    """A framework whose tanh, sin and maximum are not ours."""
    module = ModuleType("altered_framework")
    module.sin = lambda x: tg.where(x > 100.0, tg.sin(x) + 1e-3, tg.sin(x))
    module.abs = lambda x: tg.where(x == 0.0, 0.9 * x, tg.abs(x))
    module.exp = lambda x: tg.where(x == 0.0, 1.0 + 3.0 * x, tg.exp(x))
    monkeypatch.setitem(sys.modules, "altered_framework", module)
    monkeypatch.setitem(differential.PLACES, "tinygrad_dl", ("altered_framework", "tinygrad_dl"))
    monkeypatch.setitem(differential.PLACES, "numpy", ("tinygrad_dl",))


def test_values_and_gradients_that_differ_are_shown_with_what_differences_say(altered):
    found = compare_frameworks(
        "tinygrad_dl", "numpy", operations=["sin", "abs", "exp", "tanh"], programs=0, dtypes=["float64"],
        raise_exception=False,
    )  # fmt: skip
    said = {(d.name, d.what): d for d in found.differences}
    assert set(said) == {("sin", "value"), ("abs", "gradient"), ("exp", "gradient")}
    value = said["sin", "value"]
    assert value.inputs == (1000.0,) and value.first == pytest.approx(np.sin(1e3) + 1e-3)
    kink = said["abs", "gradient"]
    assert (kink.first, kink.second, kink.expected) == (0.9, 0.0, "-1 to 1")
    slope = said["exp", "gradient"]
    assert (slope.first, slope.second, slope.expected) == (3.0, 1.0, "1")
    assert "gradient of exp(0) in float64: tinygrad_dl 3, numpy 1, differences 1" in str(found)
    with pytest.raises(
        FrameworkDifferenceError, match="tinygrad_dl and numpy differ in 1 ways in 1 operations"
    ):
        compare_frameworks("tinygrad_dl", "numpy", operations=["sin"], programs=0, dtypes=["float64"])


def test_unknown_names_are_refused():
    with pytest.raises(ValueError, match="compare_frameworks: expected one of 'torch', 'jax', .* got 'tf'"):
        compare_frameworks("torch", "tf")
    with pytest.raises(ValueError, match="operations: expected names of operations, got 'sine'"):
        compare_frameworks("tinygrad_dl", "tinygrad_dl", operations=["sine"])
    with pytest.raises(ValueError, match="programs: framework: expected one of .*, got 'tf'"):
        strategies.programs(framework="tf")
    with pytest.raises(ValueError, match="framework: expected one of"):
        strategies.arrays(framework="tf")


def test_the_known_differences_from_pytorch_are_found():
    pytest.importorskip("torch")
    found = compare_frameworks(
        "tinygrad_dl", "torch", operations=["hypot", "logaddexp", "tanh"], programs=5, raise_exception=False
    )
    said = {(d.name, d.what, d.dtype): d for d in found.differences}
    assert {name for name, _, _ in said} == {"hypot", "logaddexp"}
    at_zero = said["hypot", "gradient in x", "float64"]
    assert at_zero.inputs == (0.0, 0.0) and at_zero.first == 0 and np.isnan(at_zero.second)
    assert at_zero.expected == "-1 to 1"


@pytest.mark.parametrize("framework", [name for name in DIALECTS if name != "jax"])
def test_a_program_is_the_same_function_in_every_framework(framework):
    if framework != "tinygrad_dl":
        pytest.importorskip(framework)
    module = differential.module_of(framework)

    @given(strategies.programs(max_lines=5, assignments=framework != "autograd"))
    @settings(max_examples=20)
    def check(program):
        theirs = program.to(framework)
        adapter = module.adapter(theirs, [module.asarray(np.array(x)) for x in program.inputs])
        np.testing.assert_allclose(
            adapter.value(*program.inputs)[0], program(*program.inputs), rtol=1e-9, atol=1e-9
        )
        assert f"{framework.replace('_dl', '')}" in theirs.source

    check()


def test_a_program_for_jax_has_no_assignment_in_place():
    lines = [
        "v0 = x0 * 1.0; v0[0] = 0.5",
        "v1 = tg.permute_dims(v0, (0,))",
        "return (tg.sigmoid(v1) * 2.0).sum()",
    ]
    program = Program([np.zeros(2)], lines)
    for_jax = program.to("jax")
    assert for_jax.lines[0] == "v0 = (x0 * 1.0).at[0].set(0.5)"
    assert "import jax.numpy as jnp" in for_jax.source and "x0 = jnp.array([0.0, 0.0])" in for_jax.source
    with pytest.raises(ValueError, match="expected a program without assignments for HIPS autograd"):
        program.to("autograd")
    jax = pytest.importorskip("jax")
    assert float(for_jax(jax.numpy.zeros(2))) == pytest.approx(program(np.zeros(2)), rel=1e-6)


def test_arrays_of_a_framework_have_the_same_bits():
    from hypothesis import find

    torch = pytest.importorskip("torch")
    tiny = find(
        strategies.arrays(shape=(2,), framework="torch", special=True, dtype="float32"),
        lambda a: bool((a != 0).all() and (a.abs() < 1e-40).all()),
    )
    assert tiny.dtype == torch.float32 and float(tiny[0]) == float(np.finfo(np.float32).smallest_subnormal)
    assert find(strategies.arrays(shape=(0, 2), framework="torch"), lambda a: True).shape == (0, 2)
    assert isinstance(find(strategies.arrays(framework="tinygrad_dl"), lambda a: True), tg.Tensor)


@pytest.mark.parametrize("low", [0.1, 1 / 3, 0.5 + 1e-9])
def test_rounding_to_float32_does_not_leave_the_domain(low):
    from tinygrad_dl.op import Domain

    @given(strategies.arrays(shape=(3,), dtype="float32", domain=Domain(low, low + 1e-7)))
    @settings(max_examples=20)
    def check(x):
        assert np.all((x.astype(np.float64) >= low) & (x.astype(np.float64) <= low + 1e-6))

    check()
    with pytest.raises(ValueError, match="expected one with values of float32 in it"):
        strategies.arrays(dtype="float32", domain=Domain(1 + 1e-9, 1 + 1e-8))
