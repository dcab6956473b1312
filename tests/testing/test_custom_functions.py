"""gradcheck and check_backward of custom functions of PyTorch and JAX, in the forms in which people write them."""

from __future__ import annotations

import random

import numpy as np
import pytest

import tinygrad_dl as tg
from tinygrad_dl.testing import check_backward, gradcheck, gradgradcheck


def normal(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng([7, seed]).standard_normal(shape)


def kinds(f, inputs, **options) -> list[str]:
    """The kinds of what gradcheck finds, each once."""
    return list(
        dict.fromkeys(f.kind for f in gradcheck(f, inputs, raise_exception=False, **options).findings)
    )


@pytest.fixture
def torch():
    return pytest.importorskip("torch")


@pytest.fixture
def jax():
    state = np.random.get_state()  # noqa: NPY002
    module = pytest.importorskip("jax")
    before = module.config.jax_enable_x64
    module.config.update("jax_enable_x64", True)
    yield module
    module.config.update("jax_enable_x64", before)
    np.random.set_state(state)  # noqa: NPY002


def function(torch, forward, backward, **body):
    """An autograd.Function class."""
    methods = {"forward": forward, "backward": backward, **body}
    static = {k: staticmethod(v) if callable(v) else v for k, v in methods.items()}
    return type("Custom", (torch.autograd.Function,), static)


class TestPyTorch:
    def test_results_that_backward_treats_as_constants_are_left_out_and_named(self, torch):
        def forward(ctx, x):
            largest = x.max()
            ctx.mark_non_differentiable(largest)
            return 2 * x, largest

        x = torch.tensor(normal(3))
        report = gradcheck(function(torch, forward, lambda ctx, g, _: 2 * g), x)
        assert report.checked == 9 and "result 1 is cut from the graph" in str(report)
        assert gradcheck(lambda x: (x**2, x.detach().abs().sum()), x)
        # A graph that is cut as a whole is a mistake.
        assert kinds(lambda x: x.detach() ** 2, x) == ["fault"]

    def test_each_result_is_used_alone(self, torch):
        def forward(ctx, x):
            ctx.set_materialize_grads(False)
            ctx.save_for_backward(x)
            return x.sin(), x.cos()

        def careless(ctx, a, b):
            return a * ctx.saved_tensors[0].cos() - b * ctx.saved_tensors[0].sin()

        def careful(ctx, a, b):
            (x,) = ctx.saved_tensors
            parts = [] if a is None else [a * x.cos()]
            return sum(parts if b is None else [*parts, -b * x.sin()])

        x = torch.tensor(normal(3))
        assert gradcheck(function(torch, forward, careful), x)
        assert kinds(function(torch, forward, careless), x) == ["unused result"]
        halved = function(
            torch, forward, lambda ctx, a, b: careful(ctx, a, b) * (1 if b is not None else 0.5)
        )
        assert kinds(halved, x) == ["unused result"]

    def test_a_rule_for_vmap_is_compared_with_single_calls(self, torch):
        def setup(ctx, inputs, output):
            ctx.save_for_backward(*inputs)

        def made(factor):
            def vmap(info, in_dims, x, n):
                return x**n * factor, 0

            power = lambda ctx, g: (3 * g * ctx.saved_tensors[0] ** 2, None)  # noqa: E731
            return function(
                torch,
                lambda x, n: x**n,
                power,
                setup_context=lambda c, i, o: c.save_for_backward(i[0]),
                vmap=vmap,
            )

        x = torch.tensor(normal(3))
        assert gradcheck(made(1), [x, 3])
        assert kinds(made(2), [x, 3]) == ["vmap"]
        generated = function(
            torch, lambda x: x**2, lambda ctx, g: 2 * g * ctx.saved_tensors[0], setup_context=setup,
            generate_vmap_rule=True,
        )  # fmt: skip
        assert gradcheck(generated, x)

    def test_inputs_that_share_memory_or_are_nested_are_moved_one_by_one(self, torch):
        x, y = torch.tensor(normal(4)), torch.tensor(normal(4, seed=1))
        before = x.clone()
        assert gradcheck(lambda a, b: a * b, [x, x]).checked == 16
        assert gradcheck(lambda a, b: a.sum() * b, [x, x[:2]]).checked == 12
        assert gradcheck(torch.sin, x.expand(3, 4)).checked == 144
        report = gradcheck(lambda p, q: (p["w"] * q[0], p["b"][0]), [{"w": x, "b": (y,)}, [y]])
        assert list(report.errors) == ["input 0['w']", "input 0['b'][0]"]
        assert torch.equal(x, before)

    def test_what_is_not_checked_is_left_as_it_was(self, torch):
        nn = torch.nn

        class Counting(nn.Module):
            def __init__(self):
                super().__init__()
                self.register_buffer("calls", torch.zeros(()))

            def forward(self, x):
                self.calls = self.calls + 1  # another tensor
                return x * 2

        counting, norm = Counting(), nn.BatchNorm1d(3).double()
        mask = torch.ones(3, dtype=torch.int64)
        held, x = counting.calls, torch.tensor(normal(4, 3))
        states = torch.random.get_rng_state(), np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
        assert gradcheck(lambda x: counting(norm(x)), x)  # modules used from outside
        assert gradcheck(counting, x)
        noisy = lambda x: x * float(np.random.random()) * random.random()  # noqa: E731, NPY002
        report = gradcheck(noisy, x, raise_exception=False)
        assert report.verdict == "cannot tell" and "nondeterministic" in str(report)
        gradcheck(lambda x, m: x * m.mul_(2), [x, mask], raise_exception=False)
        assert counting.calls is held and held == 0 and norm.num_batches_tracked == 0
        assert not norm.running_mean.any() and mask.sum() == 3
        assert torch.equal(torch.random.get_rng_state(), states[0]) and random.getstate() == states[2]
        assert np.array_equal(np.random.get_state()[1], states[1])  # noqa: NPY002

    def test_what_pytorch_refuses_is_told_in_words(self, torch):
        def forward(ctx, x):
            ctx.mark_dirty(x.mul_(2))
            return x

        doubled, x = function(torch, forward, lambda ctx, g: 2 * g), torch.tensor(normal(3))
        report = gradcheck(doubled, x, raise_exception=False)
        assert report.findings[0].kind == "input modified" and "x.clone()" in str(report)
        assert gradcheck(lambda x: doubled.apply(x.clone()), x)
        with pytest.raises(TypeError, match="floating-point result, got Tensor of torch.int64"):
            gradcheck(torch.argmax, x)
        none = function(torch, lambda ctx, x, y: x + y, lambda ctx, g: (g, None))
        report = gradcheck(none, [x, x.clone()], raise_exception=False)
        assert "does backward return None for this input" in str(report)
        assert gradcheck(none, [x.clone().requires_grad_(), x])

    def test_tensors_of_other_kinds(self, torch):
        with torch.inference_mode():
            inferred = torch.ones(2, dtype=torch.float64)
        assert gradcheck(torch.sin, inferred) and gradcheck(torch.sin, np.ones(2), framework="torch")
        for given in (torch.ones(2, dtype=torch.bfloat16), torch.eye(2, dtype=torch.float64).to_sparse()):
            with pytest.raises(TypeError, match="input 0: expected a dense tensor of float64, got"):
                gradcheck(torch.sin, given)
        large = gradcheck(torch.exp, torch.tensor([709.0, 1.0], dtype=torch.float64))
        assert "nan" not in str(large) and "probably wrong" not in str(large)

    def test_a_scripted_module_has_no_forward_mode_to_compare(self, torch):
        with pytest.warns(DeprecationWarning):
            scripted = torch.jit.script(torch.nn.Linear(3, 2).double())
        assert gradcheck(scripted, torch.tensor(normal(2, 3)))

    def test_complex_results_and_an_infinite_derivative_beside_others(self, torch):
        x = torch.tensor(normal(4))
        assert gradcheck(torch.fft.fft, x)
        report = gradcheck(torch.sqrt, torch.zeros(3, dtype=torch.float64), raise_exception=False)
        assert report.verdict == "cannot tell" and {f.kind for f in report.findings} == {"domain"}


class TestJAX:
    def test_complex_results_are_compared_with_their_convention(self, jax):
        x = jax.numpy.array(normal(4))
        assert gradcheck(jax.numpy.fft.fft, x) and gradgradcheck(lambda x: jax.numpy.fft.fft(x**3), x)
        wrong = jax.custom_vjp(lambda x: jax.numpy.fft.fft(x))
        wrong.defvjp(lambda x: (wrong(x), None), lambda _, g: (jax.numpy.fft.fft(jax.numpy.conj(g)).real,))
        assert kinds(wrong, x) == ["fault"]

    def test_keys_of_random_numbers_are_no_inputs_to_differentiate(self, jax):
        f = lambda key, x: x * jax.random.normal(key, x.shape)  # noqa: E731
        assert list(gradcheck(f, [jax.random.key(0), jax.numpy.ones(3)]).errors) == ["input 1"]

    def test_a_result_behind_stop_gradient_is_left_out_and_a_part_of_one_is_not(self, jax):
        x, stop = jax.numpy.array(normal(3)), jax.lax.stop_gradient
        report = gradcheck(lambda x: (x**2, stop(x).sum()), x)
        assert report.checked == 9 and "result 1 is cut from the graph" in str(report)
        assert kinds(lambda x: (x**2, x * stop(x)), x) == ["fault"]
        assert kinds(lambda x: stop(x) ** 2, x) == ["fault"]

    def test_a_rule_that_computes_another_value_is_found(self, jax):
        other = jax.custom_vjp(jax.numpy.sin)
        other.defvjp(lambda x: (jax.numpy.cos(x), x), lambda x, g: (g * jax.numpy.cos(x),))
        assert kinds(other, jax.numpy.array(normal(3))) == ["forward rule"]
        assert not kinds(jax.jit(lambda x: (1 + x * 1e-9) - 1), jax.numpy.array(normal(3)))

    def test_a_backward_that_returns_no_tuple_is_told_so(self, jax):
        square = jax.custom_vjp(lambda x: x**2)
        square.defvjp(lambda x: (x**2, x), lambda x, g: 2 * x * g)
        report = gradcheck(square, jax.numpy.ones(2), raise_exception=False)
        assert report.findings[0].kind == "shape" and "Return a tuple" in str(report)


class TestPlaces:
    """What is wrong in a function of many parts, and in which line."""

    def linear(self, torch):
        def forward(ctx, x, w, b):
            ctx.save_for_backward(x, w)
            return x @ w + b

        def backward(ctx, g):
            x, w = ctx.saved_tensors
            dx = g @ w.T
            dw = x.T @ g / len(x)
            return dx, dw, g.sum(0)

        return function(torch, forward, backward)

    def test_the_line_of_a_custom_function_and_the_mistake(self, torch):
        x, w, b = (torch.tensor(normal(*shape)) for shape in ((4, 3), (3, 2), (2,)))
        bad = self.linear(torch)
        sine = function(
            torch,
            lambda ctx, x: (ctx.save_for_backward(x), x.sin())[1],
            lambda ctx, g: g * ctx.saved_tensors[0].cos(),
        )
        for f in (bad, bad.apply, lambda x, w, b: sine.apply(bad.apply(sine.apply(x), w, b))):
            report = gradcheck(f, [x, w, b], raise_exception=False)
            assert report.guesses[0].startswith("extra 1/m (input 1): the gradient is 4 times too small"), (
                str(report)
            )
            assert "test_custom_functions.py: dw = x.T @ g / len(x)" in report.places[-1]
        assert "Custom.backward is wrong for input 1 of its own" in report.places
        assert "apply" not in vars(bad)

    def test_the_innermost_module_that_is_wrong(self, torch):
        nn = torch.nn

        class Cut(nn.Module):
            def forward(self, x):
                return x + x.detach() ** 2

        class Block(nn.Module):
            def __init__(self):
                super().__init__()
                self.first, self.cut = nn.Linear(3, 3), Cut()

            def forward(self, x):
                return self.cut(torch.tanh(self.first(x)))

        model, x = nn.Sequential(nn.Linear(3, 3), Block()).double(), torch.tensor(normal(4, 3))
        for f in (model, lambda x: model(x)):
            report = gradcheck(f, x, raise_exception=False)
            assert report.places == ["module 1.cut (Cut) is wrong for input 0 of its own"]

    def test_the_line_of_a_custom_vjp(self, jax):
        jnp = jax.numpy
        scale = jax.custom_vjp(lambda x, w: (x * w).sum(0))

        def backward(saved, g):
            x, w = saved
            dx = jnp.broadcast_to(g * w, x.shape)
            dw = g * x[-1]  # the sum over the rows is missing: one term alone counts
            return dx, dw

        scale.defvjp(lambda x, w: ((x * w).sum(0), (x, w)), backward)
        report = gradcheck(scale, [jnp.array(normal(4, 3)), jnp.array(normal(3))], raise_exception=False)
        assert "test_custom_functions.py: dw = g * x[-1]" in report.places[0]


class TestByHand:
    """check_backward, which reads the two functions of a custom function without the framework's own autograd."""

    def test_settings_several_results_and_what_requires_grad_are_those_of_pytorch(self, torch):
        def power(ctx, x, n, scale):
            ctx.save_for_backward(x)
            ctx.n, ctx.scale = n, scale
            return scale * x**n

        def slope(ctx, g):
            return g * ctx.scale * ctx.n * ctx.saved_tensors[0] ** (ctx.n - 1), None, None

        def ordered(ctx, x):
            values, places = x.sort()
            ctx.mark_non_differentiable(places)
            ctx.save_for_backward(places)
            return values, places, values.exp()

        def back(ctx, g, none, h):
            (places,) = ctx.saved_tensors
            return torch.zeros_like(g).index_add(0, places, g + h)

        x = torch.tensor(normal(3))
        assert list(check_backward(function(torch, power, slope), [x, 3, 0.5]).errors) == ["x"]
        wrong = check_backward(function(torch, ordered, back), x, raise_exception=False)
        assert wrong.wrong == ["x"]
        product = function(torch, lambda ctx, x, w: x * w, lambda ctx, g: (g, None))
        ones = torch.ones(3, dtype=torch.float64)
        assert check_backward(product, [x.clone().requires_grad_(), ones])
        assert check_backward(product, [x, ones], raise_exception=False).mistake == "missing gradient"
        few = function(torch, lambda ctx, x, w: x * w, lambda ctx, g: g)
        with pytest.raises(
            ValueError, match="backward: expected a tuple with one gradient for each of 2 inputs"
        ):
            check_backward(few, [x, ones])

    def test_arguments_of_a_custom_vjp_may_be_constants_and_nested(self, jax):
        jnp = jax.numpy
        x = jnp.array(normal(3))
        power = jax.custom_vjp(lambda n, x: x**n, nondiff_argnums=(0,))
        power.defvjp(lambda n, x: (x**n, x), lambda n, x, g: (n * g * x ** (n - 1),))
        assert list(check_backward(power, [3, x]).errors) == ["x"]
        layer = jax.custom_vjp(lambda p, x: (p["w"] @ x, p["b"][0] * 2))
        layer.defvjp(
            lambda p, x: ((p["w"] @ x, p["b"][0] * 2), (p, x)),
            lambda saved, g: ({"w": jnp.outer(g[0], saved[1]), "b": (g[1],)}, saved[0]["w"].T @ g[0]),
        )
        found = check_backward(layer, [{"w": jnp.array(normal(2, 3)), "b": (x,)}, x], raise_exception=False)
        assert set(found.errors) == {"w", "p_0", "x"} and found.wrong == ["p_0"]
        square = jax.custom_vjp(lambda x: x**2)
        square.defvjp(lambda x: (x**2, x), lambda x, g: 2 * x * g)
        with pytest.raises(ValueError, match="bwd: expected a tuple with one gradient for each of 1 inputs"):
            check_backward(square, x)

    def test_mistakes_inside_a_forward_of_pytorch_are_named_with_the_line(self, torch):
        def forward(ctx, x, w):
            a = torch.sigmoid(x @ w)
            ctx.save_for_backward(x, w, a)
            return a

        def backward(ctx, g):
            x, w, a = ctx.saved_tensors
            dz = g * (1 - a)
            return dz @ w.T, x.T @ dz

        x, w = torch.tensor(normal(2, 3)), torch.tensor(normal(3, 4))
        found = check_backward(function(torch, forward, backward), [x, w], raise_exception=False)
        assert (found.wrong, found.mistake) == (["x", "w"], "wrong activation")
        assert found.guesses[0].place.endswith("a = torch.sigmoid(x @ w)")
        relu = torch.nn.functional

        def cost(x, w):
            h = relu.relu(x @ w)
            return torch.sum(h**2) / len(x), (x, w, h)

        def unmasked(cache, masked=False):
            x, w, h = cache
            dz = 2 * h / len(x) * ((h > 0) if masked else 1)
            return dz @ w.T + (0 if masked else 1e-3), x.T @ dz

        assert check_backward(cost, lambda cache: unmasked(cache, True), [x, w]).traced
        # What cannot be traced is judged all the same.
        assert not check_backward(
            lambda x: torch.linalg.det(x[:, :2].clone()), lambda g: g, x, raise_exception=False
        )

    def test_mistakes_inside_a_forward_of_jax_are_named(self, jax):
        jnp = jax.numpy
        layer = jax.custom_vjp(lambda x, w: jnp.tanh(x @ w))
        layer.defvjp(lambda x, w: (layer(x, w), (x, w)), lambda saved, g: (g @ saved[1].T, saved[0].T @ g))
        inputs = [jnp.array(normal(2, 3)), jnp.array(normal(3, 4))]
        found = check_backward(layer, inputs, raise_exception=False)
        assert (found.wrong, found.mistake) == (["x", "w"], "activation derivative")

    def test_the_line_is_that_of_the_custom_function(self, torch):
        def backward(ctx, g):
            dx = -g
            return dx

        found = check_backward(
            function(torch, lambda ctx, x: 2 * x, backward),
            torch.ones(3, dtype=torch.float64),
            raise_exception=False,
        )
        assert "test_custom_functions.py: dx = -g" in found.lines["x"]


class TestAutogradAndMyGrad:
    def test_nested_inputs_and_results_of_hips_autograd(self):
        anp, autograd = pytest.importorskip("autograd.numpy"), pytest.importorskip("autograd")
        x, w = normal(3), normal(2, 3)

        def f(p, n):
            return {"y": anp.dot(p["w"], p["x"][0]) ** n, "z": (anp.sum(p["w"]), 3)}

        report = gradcheck(f, [{"w": w, "x": [x]}, 2], framework="autograd")
        assert list(report.errors) == ["input 0['w']", "input 0['x'][0]"] and report.checked == 27
        assert gradgradcheck(f, [{"w": w, "x": [x]}, 2], framework="autograd")
        assert gradcheck(autograd.grad(lambda x: anp.sum(x**3)), x, framework="autograd")
        assert gradcheck(anp.fft.fft, normal(4), framework="autograd")  # a complex result
        with pytest.raises(TypeError, match="input 0: expected real numbers, got an array of shape"):
            gradcheck(anp.abs, x + 1j, framework="autograd")
        with pytest.raises(
            TypeError, match="expected the function to return a floating-point result, got int64"
        ):
            gradcheck(anp.argmax, x, framework="autograd")

    def test_nested_inputs_of_mygrad(self):
        mg = pytest.importorskip("mygrad")
        x, y = mg.tensor(normal(3)), mg.tensor(normal(3, seed=1))
        report = gradcheck(lambda p: {"a": p["x"] * p["y"][0]}, [{"x": x, "y": [y]}])
        assert list(report.errors) == ["input 0['x']", "input 0['y'][0]"]
        with pytest.raises(TypeError, match="got Tensor of int64"):
            gradcheck(lambda x: mg.tensor([1]), x)


class TestOwn:
    def test_nested_inputs_and_results(self):
        w, b = tg.Tensor(normal(3)), tg.Tensor(normal(3, seed=1))
        report = gradcheck(lambda p: {"y": p["w"] * p["b"], "z": [p["w"].sum()]}, [{"w": w, "b": b}])
        assert list(report.errors) == ["input 0['w']", "input 0['b']"] and report.checked == 24
        assert gradcheck(tg.concatenate, [[w, b]], order=2)
        assert gradcheck(lambda x: (x**2, x.detach()), w).checked == 9

    def test_the_likely_mistake_is_named(self):
        x, square, f = normal(4, 3), normal(3, 3), lambda x, w: x @ w
        wrong = lambda g, x, w: (g @ w.T, (x.T @ g).T)  # noqa: E731
        report = gradcheck(f, [x, square], backward=wrong, raise_exception=False)
        assert report.guesses == ["transpose (input 1): the gradient is transposed"]
        assert "  likely mistake: transpose (input 1)" in str(report)

    def test_random_states_are_left_as_they_were_after_an_error_too(self):
        def fails(x):
            random.random(), np.random.random(), tg.config.default_rng().normal()  # noqa: NPY002
            raise RuntimeError("on purpose")

        def states():
            own = tg.config.default_rng().bit_generator.state
            return random.getstate(), np.random.get_state()[2], own  # noqa: NPY002

        before = states()
        with pytest.raises(RuntimeError, match="on purpose"):
            gradcheck(fails, np.ones(2))
        assert states() == before
