"""gradcheck of functions of PyTorch, JAX, HIPS autograd and MyGrad, where these are installed."""

from __future__ import annotations

import re
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest

from tests.layout import ROOT
from tinygrad_dl.testing import check_backward, gradcheck, gradgradcheck


def failure(f, inputs, **options):
    report = gradcheck(f, inputs, raise_exception=False, **options)
    assert not report
    return report


def page(name: str) -> None:
    """Run the programs of a page, and compare what they print with what it shows."""
    text = (ROOT / "docs" / name).read_text(encoding="utf-8")
    names: dict[str, object] = {"__name__": name}
    programs = re.findall(r"```python\n(.*?)```(?:\s+```text\n(.*?)```)?", text, flags=re.DOTALL)
    assert programs
    for program, shown in programs:
        said = StringIO()
        with redirect_stdout(said):
            exec(compile(program, name, "exec"), names)
        digits = re.compile(r"\d[\d.e+-]*")
        assert digits.sub("#", said.getvalue().strip()) == digits.sub("#", shown.strip())


class TestPyTorch:
    @pytest.fixture(autouse=True)
    def _torch(self):
        self.torch = pytest.importorskip("torch")
        self.x = self.torch.tensor(np.random.default_rng(0).standard_normal((3, 4)))
        self.v = self.torch.tensor([0.5, -1.0, 2.0], dtype=self.torch.float64)

    def function(self, forward, backward):
        """An autograd.Function class."""
        body = {"forward": staticmethod(forward), "backward": staticmethod(backward)}
        return type("Custom", (self.torch.autograd.Function,), body)

    @pytest.mark.parametrize("fast", [False, True])
    def test_a_function_of_tensors_is_checked_at_first_and_second_order(self, fast):
        f = lambda x: self.torch.tanh(x) * x  # noqa: E731
        assert gradcheck(f, self.x, fast=fast).checked == (1 if fast else 144)
        assert gradgradcheck(f, self.x, fast=fast) and gradcheck(f, self.v, order=3)
        assert not self.x.requires_grad
        kinked = gradcheck(self.torch.relu, self.torch.zeros(2, dtype=self.torch.float64))
        assert kinked.kinks == 2

    def test_only_tensors_that_require_grad_are_checked_and_all_are_restored(self):
        a = self.v.clone().requires_grad_()
        before = a.detach().clone()
        report = gradcheck(lambda a, b: a * b, [a, self.v])
        assert list(report.errors) == ["input 0"]
        assert self.torch.equal(a, before) and a.requires_grad and a.grad is None

    def test_float32_is_refused_and_checked_when_asked_for(self):
        with pytest.raises(TypeError, match="input 0: expected float64, got float32"):
            gradcheck(self.torch.sin, self.v.float())
        assert gradcheck(self.torch.sin, self.v.float(), float32=True, step=1e-2, atol=1e-2, rtol=1e-2)
        with pytest.raises(TypeError, match="expected real numbers, got torch.complex128"):
            gradcheck(self.torch.sin, self.v.to(self.torch.complex128))
        with pytest.raises(TypeError, match="expected at least one floating-point input"):
            gradcheck(lambda x: x, self.torch.tensor([1, 2]))

    def test_a_module_is_checked_with_its_parameters_and_left_as_it_was(self):
        nn = self.torch.nn
        model = nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.Dropout(0.5), nn.ReLU()).double()
        state = {k: v.clone() for k, v in model.state_dict().items()}
        random = self.torch.random.get_rng_state()
        report = gradcheck(model, self.x)
        assert list(report.errors) == ["input 0", "0.weight", "0.bias", "1.weight", "1.bias"]
        assert all(self.torch.equal(v, state[k]) for k, v in model.state_dict().items())
        assert self.torch.equal(self.torch.random.get_rng_state(), random)
        assert all(p.grad is None and p.requires_grad for p in model.parameters())

    def test_a_parameter_that_the_function_captured_is_moved(self):
        layer = self.torch.nn.Linear(4, 2).double()
        assert gradcheck(lambda *p: layer(self.x).pow(2), list(layer.parameters()))
        wrong = failure(lambda *p: layer(self.x).detach() * layer(self.x), list(layer.parameters()))
        assert wrong.findings[0].kind == "fault"

    def test_a_custom_function_is_checked_and_its_mistakes_are_named(self):
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b

        def right(ctx, g):
            a, b = ctx.saved_tensors
            return g * b, g * a

        inputs = [self.v, self.v.flip(0) + 0.1]
        assert gradcheck(self.function(forward, right), inputs)
        assert gradgradcheck(self.function(forward, right), inputs)

        def swapped(ctx, g):
            return right(ctx, g)[::-1]

        message = failure(self.function(forward, swapped), inputs).findings[0].message
        assert message == "this is the gradient of input 1: are the results of backward in order?"

        def needs_all(ctx, g):
            a, b = ctx.saved_tensors
            return (g * b if all(ctx.needs_input_grad) else None), g * a

        found = failure(self.function(forward, needs_all), inputs).findings
        assert [(f.kind, f.input) for f in found] == [("needs_input_grad", "input 0")]
        assert [str(f) for f in failure(self.function(forward, needs_all).apply, inputs).findings] == [
            str(f) for f in found
        ]

        def wrong_shape(ctx, g):
            a, b = ctx.saved_tensors
            return (g * b).sum(), (g * a)[:2]

        found = failure(self.function(forward, wrong_shape), inputs).findings
        assert found[0].kind == "shape" and "Sum over the axes" in found[0].message

    def test_a_backward_that_needs_a_contiguous_gradient_is_named(self):
        views = self.function(lambda ctx, a: a * 2, lambda ctx, g: (g.view(-1) * 2).view(3, 4))
        found = failure(views, self.x).findings
        assert found[0].kind == "non-contiguous" and "Use .reshape for .view" in found[0].message
        found = failure(lambda x: views.apply(x).T.exp(), self.x).findings  # PyTorch's own gradient is so
        assert [f.kind for f in found] == ["non-contiguous"]
        assert found[0].message.startswith(
            "backward fails for a gradient of the result that is not contiguous. Use "
        )

    def test_a_backward_that_writes_into_what_forward_saved_is_named(self):
        def forward(ctx, a):
            ctx.y = a.exp()
            return ctx.y.clone()

        assert gradcheck(self.function(forward, lambda ctx, g: ctx.y * g), self.x)
        found = failure(self.function(forward, lambda ctx, g: ctx.y.mul_(g)), self.x).findings
        assert [f.kind for f in found] == ["saved tensor modified"]
        assert "another in a second backward pass through the same graph" in found[0].message

    def test_a_saved_tensor_that_changes_is_named(self):
        def f(x):
            y = x.exp()
            z = y * y
            y.add_(1)
            return z + y

        assert failure(f, self.v).findings[0].kind == "saved tensor modified"

    def test_a_wrong_second_derivative_is_found(self):
        torch = self.torch

        def backward(ctx, g):
            (x,) = ctx.saved_tensors
            return g * 3 * x.detach() ** 2

        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        cube = self.function(forward, backward)
        assert gradcheck(cube, self.v)
        assert not gradgradcheck(cube, self.v, raise_exception=False)
        assert (
            gradcheck(lambda x: torch.ones(2, dtype=torch.float64) * 3, self.v, raise_exception=False)
            .findings[0]
            .kind
            == "no dependence"
        )

    def test_the_page_shows_what_comes(self):
        page("test-pytorch-function.md")


class TestJax:
    @pytest.fixture(autouse=True)
    def _jax(self):
        state = np.random.get_state()  # noqa: NPY002   # JAX's first compilation draws from it
        self.jax = pytest.importorskip("jax")
        self.jnp = self.jax.numpy
        before = self.jax.config.jax_enable_x64
        self.jax.config.update("jax_enable_x64", True)
        self.x = self.jnp.asarray(np.random.default_rng(0).standard_normal((3, 2)))
        yield
        self.jax.config.update("jax_enable_x64", before)
        np.random.set_state(state)  # noqa: NPY002

    @pytest.mark.parametrize("fast", [False, True])
    def test_functions_of_pytrees_are_checked_compiled_or_not(self, fast):
        def f(p):
            return {"y": self.jnp.tanh(p["w"] @ p["v"][0])}

        report = gradcheck(f, {"w": self.x, "v": [self.x.T]}, fast=fast)
        assert list(report.errors) == ["input 0['v'][0]", "input 0['w']"]
        assert gradcheck(self.jax.jit(self.jnp.tanh), self.x, fast=fast)
        assert gradgradcheck(self.jnp.tanh, self.x, fast=fast)

    def test_custom_vjp_and_custom_jvp_are_checked(self):
        jax, jnp = self.jax, self.jnp
        for factor in (1.0, 1.01):
            f = jax.custom_vjp(jnp.sin)
            f.defvjp(lambda x: (jnp.sin(x), x), lambda x, g, factor=factor: (factor * g * jnp.cos(x),))
            assert bool(gradcheck(f, self.x, raise_exception=False)) == (factor == 1)
            h = jax.custom_jvp(jnp.sin)
            h.defjvp(lambda p, t, factor=factor: (jnp.sin(p[0]), factor * jnp.cos(p[0]) * t[0]))
            assert bool(gradcheck(h, self.x, raise_exception=False)) == (factor == 1)
            assert gradgradcheck(h, self.x)  # of that first derivative

    def test_float32_and_complex_are_refused_with_the_way_out(self):
        with pytest.raises(TypeError, match="expected float64, got float32"):
            gradcheck(self.jnp.sin, self.x.astype("float32"))
        self.jax.config.update("jax_enable_x64", False)
        with pytest.raises(TypeError, match=r'jax.config.update\("jax_enable_x64", True\)'):
            gradcheck(self.jnp.sin, self.jnp.ones(3))
        self.jax.config.update("jax_enable_x64", True)
        with pytest.raises(TypeError, match="expected real numbers"):
            gradcheck(self.jnp.sin, self.x * 1j)

    def test_the_page_shows_what_comes(self):
        page("test-jax-custom-vjp.md")


def test_functions_of_hips_autograd_are_checked_when_it_is_named():
    anp = pytest.importorskip("autograd.numpy")
    inputs = [np.random.default_rng(0).standard_normal((3, 2)), np.ones(2)]

    def f(x, y):
        return anp.tanh(x) * y, anp.sum(x * x)

    assert gradcheck(f, inputs, framework="autograd").checked == 7 * 8
    assert gradgradcheck(f, inputs, framework="autograd")
    assert gradcheck(f, inputs, framework="autograd", fast=True)


def test_functions_of_mygrad_are_checked():
    mg = pytest.importorskip("mygrad")
    x, y = mg.tensor(np.random.default_rng(0).standard_normal((3, 2))), mg.tensor(np.ones(2))
    assert gradcheck(lambda x, y: (mg.tanh(x) * y, (x * x).sum()), [x, y]).checked == 7 * 8
    with pytest.raises(ValueError, match="expected 1 for MyGrad"):
        gradgradcheck(mg.tanh, x)


def test_an_unknown_framework_is_refused():
    with pytest.raises(
        ValueError, match="framework: expected one of 'torch', 'jax', 'autograd', 'mygrad', 'numpy', got 'tf'"
    ):
        gradcheck(np.sin, np.ones(2), framework="tf")
    assert gradcheck(np.sin, np.ones(2), framework="numpy", backward=lambda g, x: g * np.cos(x))


class TestBackwardByHand:
    """check_backward of functions of PyTorch's tensors and JAX's arrays."""

    def test_functions_of_tensors_and_their_mistakes(self):
        torch = pytest.importorskip("torch")
        x, w = (torch.tensor(a) for a in np.random.default_rng(0).standard_normal((2, 3, 3)))

        def forward(x, w):
            a = torch.tanh(x @ w)
            return a, (x, w, a)

        def backward(g, cache):
            x, w, a = cache
            dz = g * (1 - a**2)
            return dz @ w.T, x.T @ dz

        def transposed(g, cache):
            dx, dw = backward(g, cache)
            return dx, dw.T

        assert check_backward(forward, backward, [x, w])
        found = check_backward(forward, transposed, [x, w], raise_exception=False)
        assert (found.wrong, found.mistake) == (["w"], "transpose")
        named = check_backward(
            lambda p: (torch.tanh(p["w"]), p["w"]), lambda g, w: {"dw": g * torch.tanh(w)}, {"w": w},
            raise_exception=False,
        )  # fmt: skip
        assert named.wrong == ["w"]

        def writes(g, cache):
            return backward(g.mul_(2), cache)

        assert (
            "backward writes into dout" in check_backward(forward, writes, [x, w], raise_exception=False).note
        )

    @pytest.mark.parametrize("style", ["ctx", "setup_context"])
    def test_an_autograd_function_is_read_without_autograd(self, style):
        torch = pytest.importorskip("torch")

        class Product(torch.autograd.Function):
            @staticmethod
            def backward(ctx, g):
                a, b = ctx.saved_tensors
                return g * b, -g * a

            if style == "ctx":

                @staticmethod
                def forward(ctx, a, b):
                    ctx.save_for_backward(a, b)
                    return a * b

            else:

                @staticmethod
                def forward(a, b):
                    return a * b

                @staticmethod
                def setup_context(ctx, inputs, output):
                    ctx.save_for_backward(*inputs)

        a, b = torch.tensor([1.0, 2.0]), torch.tensor([3.0, 5.0])
        found = check_backward(Product, [a, b], raise_exception=False)
        assert (found.wrong, found.mistake) == (["b"], "sign")
        assert "forward(a, b) returns (output, cache), backward(g, cache)" in found.form

    def test_a_custom_vjp_is_read_with_what_it_saves(self):
        state = np.random.get_state()  # noqa: NPY002
        jax = pytest.importorskip("jax")
        before = jax.config.jax_enable_x64
        try:
            jax.config.update("jax_enable_x64", True)
            mean = jax.custom_vjp(lambda x: (x**2).mean())
            mean.defvjp(lambda x: ((x**2).mean(), x), lambda x, g: (2 * g * x,))
            found = check_backward(mean, jax.numpy.arange(4.0) + 1, raise_exception=False)
            assert (found.wrong, found.mistake) == (["x"], "missing 1/m")
        finally:
            jax.config.update("jax_enable_x64", before)
            np.random.set_state(state)  # noqa: NPY002


def test_forward_mode_of_a_custom_function_is_compared_with_backward():
    torch = pytest.importorskip("torch")

    class Sine(torch.autograd.Function):
        factor = 1.0

        @staticmethod
        def forward(x):
            return x.sin()

        @staticmethod
        def setup_context(ctx, inputs, output):
            ctx.save_for_backward(*inputs)
            ctx.save_for_forward(*inputs)

        @staticmethod
        def backward(ctx, g):
            return g * ctx.saved_tensors[0].cos()

        @staticmethod
        def jvp(ctx, t):
            return Sine.factor * t * ctx.saved_tensors[0].cos()

    x = torch.tensor([0.5, 1.0], dtype=torch.float64)
    assert gradcheck(Sine, x)
    Sine.factor = 1.1
    report = gradcheck(Sine, x, raise_exception=False)
    assert [f.kind for f in report.findings] == ["forward mode"]
    # A function that uses the tensor from outside has no forward mode that could be compared.
    assert gradcheck(lambda t: torch.sin(x) * 1.0, x)


def test_a_backward_that_is_once_differentiable_is_told_so():
    torch = pytest.importorskip("torch")

    class Once(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        @torch.autograd.function.once_differentiable
        def backward(ctx, g):
            return 3 * g * ctx.saved_tensors[0] ** 2

    x = torch.tensor([0.5, 1.0], dtype=torch.float64)
    assert gradcheck(Once, x)
    report = gradgradcheck(Once, x, raise_exception=False)
    assert report.findings[0].kind == "second derivative" and "once_differentiable" in str(report)


def test_a_gradient_of_a_custom_vjp_with_a_wrong_shape_is_a_finding():
    state = np.random.get_state()  # noqa: NPY002
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", True)
        scaled = jax.custom_vjp(lambda x, w: x * w)
        scaled.defvjp(lambda x, w: (x * w, (x, w)), lambda saved, g: (g * saved[1], g * saved[0]))
        inputs = [jax.numpy.ones(3), jax.numpy.float64(2.0)]
        report = gradcheck(scaled, inputs, raise_exception=False)
        assert report.findings[0].kind == "shape" and "Sum over the axes" in str(report)
    finally:
        jax.config.update("jax_enable_x64", before)
        np.random.set_state(state)  # noqa: NPY002


def test_many_elements_are_moved_at_once_where_jax_can():
    state = np.random.get_state()  # noqa: NPY002
    jax = pytest.importorskip("jax")
    before = jax.config.jax_enable_x64
    try:
        jax.config.update("jax_enable_x64", True)
        x, calls = jax.numpy.linspace(-1, 1, 120).reshape(40, 3), []

        def f(x):
            calls.append(type(x))
            return jax.numpy.tanh(x).sum(axis=0)

        assert gradcheck(f, x).checked == 360
        assert len(calls) < 120  # one by one it would be 240 for the differences alone
        wrong = jax.custom_vjp(jax.numpy.tanh)
        wrong.defvjp(lambda x: (jax.numpy.tanh(x), x), lambda x, g: (g * (1 - x**2),))
        assert not gradcheck(lambda x: wrong(x).sum(axis=0), x, raise_exception=False)
    finally:
        jax.config.update("jax_enable_x64", before)
        np.random.set_state(state)  # noqa: NPY002
