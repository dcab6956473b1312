"""The doctor finds injected mistakes, names them, and accepts correct code."""

from __future__ import annotations

from importlib.util import module_from_spec, spec_from_file_location

import numpy as np
import pytest

import tinygrad_dl as tg
from tests.layout import ROOT
from tests.testing import generated, handwritten
from tinygrad_dl import testing
from tinygrad_dl.testing import BackwardError
from tinygrad_dl.testing.numeric_gradient import NumericGradient


def check_backward(*arguments):
    return testing.check_backward(*arguments, raise_exception=False)


INJECTED = [
    (handwritten.shallow, "missing 1/m", "missing 1/m"),
    (handwritten.shallow, "sign", "sign"),
    (handwritten.shallow, "output activation derivative", "activation derivative"),
    (handwritten.shallow, "factor 2", "factor 2"),
    (handwritten.shallow, "missing 1/m in dW2", "missing 1/m"),
    (handwritten.shallow, "wrong layer's values", "wrong layer"),
    (handwritten.shallow, "extra 1/m in db2", "extra 1/m"),
    (handwritten.shallow, "activation derivative", "activation derivative"),
    (handwritten.shallow, "sigmoid for tanh", "wrong activation"),
    (handwritten.shallow, "relu for tanh", "wrong activation"),
    (handwritten.shallow, "derivative at z", "wrong activation"),
    (handwritten.shallow, "forgotten square", "wrong activation"),
    (handwritten.shallow, "transpose", "transpose"),
    (handwritten.shallow, "missing sum", "missing sum"),
    (handwritten.shallow, "wrong axis", "wrong axis"),
    (handwritten.shallow, "sum over everything", "wrong axis"),
    (handwritten.shallow, "keepdims", "shape"),
    (handwritten.shallow, "missing gradient", "missing gradient"),
    (handwritten.shallow, "stale cache", "stale cache"),
    (lambda mistake: handwritten.shallow(mistake, lambd=0.7), "L2 term", "L2 term"),
    (lambda mistake: handwritten.shallow(mistake, lambd=0.7), "L2 scale", "L2 term"),
    (handwritten.deep, "dropout mask", "dropout mask"),
    (handwritten.deep, "dropout scale", "dropout not scaled"),
    (handwritten.deep, "relu derivative", "activation derivative"),
    (handwritten.deep, "relu the wrong way round", "wrong activation"),
    (handwritten.deep, "relu as value", "wrong activation"),
    (handwritten.deep, "mean for sum", "extra 1/m"),
    (handwritten.deep, "other layer's weights", "transpose"),
    (handwritten.deep, "layers swapped", "wrong layer"),
    (handwritten.batch_norm, "dgamma without hat", "wrong layer"),
    (handwritten.batch_norm, "dgamma not summed", "missing sum"),
    (handwritten.batch_norm, "gamma forgotten", "missing factor"),
    (handwritten.batch_norm, "mean as a constant", "missing path"),
    (handwritten.batch_norm, "variance as a constant", "missing path"),
    (handwritten.batch_norm, "sums for means", "missing 1/m"),
]


@pytest.mark.parametrize(("model", "mistake", "kind"), INJECTED, ids=[f"{m}" for _, m, _ in INJECTED])
def test_an_injected_mistake_is_found_and_named_at_first_guess(model, mistake, kind):
    diagnosis = check_backward(*model(mistake))
    assert not diagnosis
    assert diagnosis.mistake == kind, str(diagnosis)


def test_a_mistake_of_an_unknown_kind_is_found_nevertheless():
    diagnosis = check_backward(*handwritten.batch_norm("variance for deviation"))
    assert diagnosis.wrong == ["x"]


@pytest.mark.parametrize(
    "model",
    [handwritten.shallow, handwritten.deep, handwritten.batch_norm, lambda: handwritten.shallow(lambd=0.7)],
    ids=["shallow", "deep with dropout", "batch norm", "L2"],
)
def test_correct_code_is_accepted(model):
    diagnosis = check_backward(*model())
    assert diagnosis, str(diagnosis)
    assert diagnosis.guesses == [] and diagnosis.traced


def test_a_forward_that_leaves_numpy_is_checked_by_finite_differences_only():
    def forward(x):
        return float(sum(float(v) ** 2 for v in x))

    diagnosis = check_backward(forward, lambda x: 2 * x, np.array([1.0, 2.0, 3.0]))
    assert diagnosis and not diagnosis.traced
    wrong = check_backward(forward, lambda x: -2 * x, np.array([1.0, 2.0, 3.0]))
    assert wrong.mistake == "sign"
    assert "differences only" in str(wrong)


def test_a_wrong_backward_raises_with_the_diagnosis():
    with pytest.raises(BackwardError, match="likely mistake: sign") as caught:
        testing.check_backward(lambda x: (x * x).sum(), lambda x: -2 * x, np.array([1.0, 2.0]))
    assert caught.value.diagnosis.wrong == ["x"]


def test_a_random_forward_is_refused_with_a_hint():
    rng = np.random.default_rng(0)
    with pytest.raises(ValueError, match="two calls with the same inputs differ"):
        check_backward(lambda x: (x * rng.random(2)).sum(), lambda x: x, np.array([1.0, 2.0]))


def test_the_global_random_state_is_restored():
    before = np.random.get_state()[1].tolist()  # noqa: NPY002
    check_backward(lambda x: (x * np.random.rand(2)).sum(), lambda x: x, np.array([1.0, 2.0]))  # noqa: NPY002
    assert np.random.get_state()[1].tolist() == before  # noqa: NPY002


def test_integer_inputs_alone_are_refused():
    with pytest.raises(TypeError, match="expected at least one floating-point array"):
        check_backward(lambda x: x.sum(), lambda x: x, np.array([1, 2]))


@pytest.mark.parametrize(
    ("forward", "backward", "inputs", "what"),
    [
        (lambda z: abs(z), lambda g, z: g * z, [np.array([1j])], "z: expected a real input"),
        (lambda x, z: (x * z).real, lambda g, x, z: g, [np.ones(1), np.ones(1, complex)], "z: expected a real input"),
        (lambda x: x * 2, lambda g, x: g * (2 + 0j), [np.ones(2)], "backward: expected real gradients"),
    ],
)  # fmt: skip
def test_complex_values_are_refused_with_a_way_out(forward, backward, inputs, what):
    with pytest.raises(tg.errors.DTypeError, match=rf"^check_backward: {what}, got .* with gradcheck\.$"):
        testing.check_backward(forward, backward, inputs)


def test_a_backward_with_other_arguments_is_refused():
    with pytest.raises(TypeError, match="expected backward to take"):
        check_backward(lambda x: x.sum(), lambda a, b, c, d: a, np.array([1.0, 2.0]))


def test_the_page_shows_the_current_guesses_of_the_doctor():
    path = ROOT / "docs" / "planted.py"
    spec = spec_from_file_location("planted_page", path)
    page = module_from_spec(spec)
    spec.loader.exec_module(page)
    assert page.PAGE.read_text() == page.fresh(), "run: python docs/planted.py"


def relu_network(seed, sizes=(5, 4, 3, 1), scale=0.01, mistake=None):
    """The course's L-layer network with zero biases: units that get only zeros are exactly at the kink."""
    rng, m = np.random.default_rng(seed), 9
    X, Y = rng.standard_normal((sizes[0], m)), (rng.random((1, m)) > 0.5) * 1.0
    layers = range(1, len(sizes))
    p = {f"W{k}": rng.standard_normal((sizes[k], sizes[k - 1])) * scale for k in layers}
    p |= {f"b{k}": np.zeros((sizes[k], 1)) for k in layers}

    def forward(p):
        A, caches = X, []
        for k in layers:
            Z = p[f"W{k}"] @ A + p[f"b{k}"]
            caches.append((A, p[f"W{k}"], Z))
            A = np.maximum(0, Z) if k < len(sizes) - 1 else handwritten.sigmoid(Z)
        return -np.sum(Y * np.log(A) + (1 - Y) * np.log(1 - A)) / m, (A, caches)

    def backward(cache):
        A, caches = cache
        grads, d = {}, (A - Y) / (1 if mistake == "missing 1/m" else m)
        for k in reversed(layers):
            before, W, Z = caches[k - 1]
            if k < len(sizes) - 1 and mistake != "activation derivative":
                d = d * (Z > 0)
            grads[f"dW{k}"], grads[f"db{k}"] = d @ before.T, d.sum(axis=1, keepdims=True)
            d = W.T @ d
        return grads

    return forward, backward, p


def test_correct_code_with_units_at_the_kink_is_accepted_and_mistakes_there_are_named():
    for seed in range(10):
        for scale in (0.01, 0.7):
            diagnosis = check_backward(*relu_network(seed, scale=scale))
            assert diagnosis and diagnosis.traced, str(diagnosis)
    for mistake in ("missing 1/m", "activation derivative"):
        for seed in range(4):
            assert check_backward(*relu_network(seed, mistake=mistake)).mistake == mistake


def test_every_derivative_between_those_of_the_two_sides_is_correct_at_a_kink():
    z = np.array([[0.0, 1.0, -1.0]])
    for at_0 in (0.0, 0.5, 1.0):
        step = lambda z, at_0=at_0: np.where(z == 0, at_0, z > 0)  # noqa: E731
        assert check_backward(lambda z: (np.maximum(0, z), z), lambda g, z, step=step: g * step(z), z)
    for wrong in (-0.5, 1.5):
        step = lambda z, wrong=wrong: np.where(z == 0, wrong, z > 0)  # noqa: E731
        assert not check_backward(lambda z: (np.maximum(0, z), z), lambda g, z, step=step: g * step(z), z)
    tied = np.array([1.0, 1.0, 0.0])
    for largest in (np.array([1.0, 0.0, 0.0]), np.array([0.5, 0.5, 0.0]), np.array([1.0, 1.0, 0.0])):
        # At other inputs it is the first of the largest ones: a backward is correct there, too.
        def backward(x, *, largest=largest):
            return largest if np.array_equal(x, tied) else np.eye(3)[np.argmax(x)]

        assert check_backward(lambda x: x.max(), backward, tied.copy())
    assert not check_backward(lambda x: x.max(), lambda g, x: g * x, tied)
    assert not check_backward(lambda x: x.max(), lambda x: np.array([1.0, 0.0, 0.1]), tied)


def test_a_wrong_gradient_between_the_derivatives_at_a_kink_is_found_at_other_inputs():
    c, b = np.array([0.5, 1.0, 2.0]), np.zeros(3)

    def cost(b):
        return np.sum(c * np.maximum(0, b))

    for right in (lambda b: c * (b > 0), lambda b: c * (b >= 0)):
        assert check_backward(cost, right, b)
    found = check_backward(cost, lambda b: 0.3 * c * (b >= 0), b)
    assert found.wrong == ["b"] and "agree at the inputs" in found.note
    # The first sums over everything; the second is beside a gradient of which nothing can be told at its inputs.
    for seed, kind in ((741, "wrong axis"), (1818, "extra 1/m")):
        found = check_backward(*generated.draw(seed, planted=True).arguments)
        assert found.wrong == ["b2"] and found.mistake == kind, str(found)


def test_a_mistake_that_a_gradient_of_zeros_hides_is_found_at_other_inputs():
    x = np.array([[1.0, 2.0], [-1.0, 0.5]])

    def network(sign):
        def forward(W, b):
            z = x @ W + b
            return np.sum(np.maximum(0, z) ** 2), (z,)

        def backward(cache):
            d = 2 * np.maximum(0, cache[0])
            return sign * x.T @ d, d.sum(axis=0)

        return forward, backward, [np.full((2, 2), 0.01), np.full(2, -1.0)]

    assert check_backward(*network(1))
    found = check_backward(*network(-1))
    assert found.wrong == ["W"] and found.mistake == "sign"


def test_a_function_that_is_nearly_right_at_small_values_is_found_at_other_inputs():
    z = np.array([0.01, -0.02, 0.015])
    slopes = {"right": lambda z: 1 - np.tanh(z) ** 2, "derivative at z": lambda z: 1 - z**2}
    slopes["float32"] = lambda z: 1 - np.tanh(z.astype(np.float32)) ** 2
    found = {
        name: check_backward(lambda z: (np.tanh(z), z), lambda g, z, slope=slope: g * slope(z), z)
        for name, slope in slopes.items()
    }
    assert found["right"] and found["float32"]
    assert found["derivative at z"].wrong == ["z"]


def test_an_output_without_elements_has_correct_gradients():
    assert check_backward(lambda x: x * 2, lambda g, x: g * 2, np.zeros((0, 3)))
    assert check_backward(lambda x: x[:0] * 2, lambda g, x: np.zeros_like(x), np.ones((2, 3)))


def test_derivatives_of_several_elements_at_kinks_need_not_lie_between_the_sides_of_their_sum():
    """The derivatives in use, 0, are correct; along (1, 1, 1) the sides have 0.002 and 0.005."""

    def forward(arrays):
        (b,) = arrays
        lost_in_rounding = 1.5e-10 * b[2]
        return np.array([0.7 + 2e-3 * max(b[0], 0) - 5e-3 * max(-b[1], 0) + lost_in_rounding])

    numeric = NumericGradient(forward, [np.zeros(3)], 0, np.ones(1))
    assert numeric.agrees(np.zeros(3)) is not False
    assert numeric.agrees(np.array([-1e-3, 0.0, 0.0])) is False


def test_a_kink_beside_the_point_does_not_spoil_the_differences():
    x = np.array([1e-7, -1e-7, 2.0])
    assert check_backward(lambda x: np.maximum(0, x).sum(), lambda x: (x > 0) * 1.0, x)
    assert not check_backward(lambda x: np.maximum(0, x).sum(), lambda x: (x < 0) * 1.0, x)


@pytest.mark.parametrize("depth", [3, 5, 8])
def test_small_gradients_of_correct_code_are_accepted_and_wrong_ones_are_found(depth):
    def network(mistake):
        rng = np.random.default_rng(depth)
        weights = {f"W{k}": rng.standard_normal((3, 3)) * 0.1 for k in range(depth)}
        x = rng.standard_normal((3, 4))

        def forward(p):
            values = [x]
            for k in range(depth):
                values.append(handwritten.sigmoid(p[f"W{k}"] @ values[-1]))
            return (values[-1] ** 2).mean(), (values, p)

        def backward(cache):
            values, p = cache
            d, grads = 2 * values[-1] / (1 if mistake else values[-1].size), {}
            for k in reversed(range(depth)):
                d = d * values[k + 1] * (1 - values[k + 1])
                grads[f"dW{k}"] = d @ values[k].T
                d = p[f"W{k}"].T @ d
            return grads

        return forward, backward, weights

    assert check_backward(*network(False))
    assert check_backward(*network(True)).mistake == "missing 1/m"


class Sigmoid:
    def forward(self, x):
        self.out = handwritten.sigmoid(x)
        return self.out

    def backward(self, dout):
        return dout * (1 - self.out) * self.out


class Relu:
    def forward(self, x):
        self.mask = x <= 0
        out = x.copy()
        out[self.mask] = 0
        return out

    def backward(self, dout):
        dout[self.mask] = 0  # writes into what it is given
        return dout


class Affine:
    def __init__(self):
        rng = np.random.default_rng(0)
        self.W, self.b = rng.standard_normal((4, 2)), rng.standard_normal(2)

    def forward(self, x):
        self.x = x
        return x @ self.W + self.b

    def backward(self, dout):
        self.dW, self.db = self.x.T @ dout, dout.sum(axis=0)
        return dout @ self.W.T


class Dropout:
    def forward(self, x, train_flg=True):
        self.mask = np.random.rand(*x.shape) > 0.5  # noqa: NPY002
        return x * self.mask

    def backward(self, dout):
        return dout * self.mask


class SoftmaxWithLoss:
    def forward(self, x, t):
        e = np.exp(x - x.max(axis=1, keepdims=True))
        self.t, self.y = t, e / e.sum(axis=1, keepdims=True)
        return -np.sum(t * np.log(self.y)) / len(x)

    def backward(self, dout=1):
        return dout * (self.y - self.t) / len(self.t)


@pytest.mark.parametrize("layer", [Sigmoid, Relu, Affine, Dropout])
def test_the_methods_of_a_layer_class_are_checked(layer):
    x = np.random.default_rng(1).standard_normal((3, 4))
    layer = layer()
    assert check_backward(layer.forward, layer.backward, x)
    assert check_backward(lambda x: layer.forward(x), lambda dout: layer.backward(dout), x)
    wrong = check_backward(layer.forward, lambda dout: -layer.backward(dout), x)
    assert wrong.mistake == "sign"
    for value in vars(layer).values():
        assert isinstance(value, np.ndarray)  # and no Tensors of the trace


def test_a_loss_layer_is_checked_with_float_labels_and_with_integers():
    layer, x = SoftmaxWithLoss(), np.random.default_rng(1).standard_normal((3, 4))
    t = np.eye(4)[[0, 1, 3]]
    for labels in (t, t.astype(int)):
        diagnosis = check_backward(layer.forward, layer.backward, [x, labels])
        assert diagnosis and list(diagnosis.errors) == ["x"]
    assert check_backward(lambda x: layer.forward(x, t), layer.backward, x)


class TwoLayerNet:
    """As in the book: methods use the network's own parameters."""

    def __init__(self):
        rng = np.random.default_rng(0)
        self.params = {"W1": rng.standard_normal((3, 4)), "W2": rng.standard_normal((4, 2))}

    def loss(self, x, t):
        self.a = np.tanh(x @ self.params["W1"])
        return ((self.a @ self.params["W2"] - t) ** 2).mean()

    def gradient(self, x, t, factor=1.0):
        a = np.tanh(x @ self.params["W1"])
        d = factor * 2 * (a @ self.params["W2"] - t) / t.size
        return {"W2": a.T @ d, "W1": x.T @ (d @ self.params["W2"].T * (1 - a**2))}


def test_a_forward_that_uses_the_arrays_from_outside_is_checked_by_moving_them():
    net, rng = TwoLayerNet(), np.random.default_rng(1)
    x, t = rng.standard_normal((5, 3)), rng.standard_normal((5, 2))
    before = {name: value.copy() for name, value in net.params.items()}
    found = check_backward(lambda p: net.loss(x, t), lambda p: net.gradient(x, t), net.params)
    assert found and "forward uses the arrays from outside" in found.note
    wrong = check_backward(lambda p: net.loss(x, t), lambda p: net.gradient(x, t, factor=-1.0), net.params)
    assert wrong.mistake == "sign" and wrong.wrong == ["W1", "W2"]
    for name, value in net.params.items():
        assert np.array_equal(value, before[name])


def test_a_forward_that_ignores_its_input_is_told_so():
    found = check_backward(lambda x: 3.0, lambda x: 2 * x, np.array([1.0, 2.0]))
    assert found.mistake == "no dependence" and found.wrong == ["x"]


@pytest.mark.parametrize("name", ["dout", "g", "dA", "dZ", "grad", "grad_output", "dy", "delta", "upstream"])
def test_the_name_of_the_only_parameter_says_that_it_is_the_gradient(name):
    x = np.array([1.0, 2.0])
    backward = eval(f"lambda {name}: {name} * three", {"three": np.array([3.0, 3.0])})
    assert check_backward(lambda x: 3 * x.sum(), backward, x)
    assert check_backward(lambda x: (x**2).sum(), lambda x: 2 * x, x)


def test_a_missing_1_over_m_is_named_where_m_is_no_size_of_an_input():
    rng = np.random.default_rng(0)
    A, T, w = rng.standard_normal((3, 6)), rng.standard_normal((1, 6)), rng.standard_normal((3, 1))
    found = check_backward(
        lambda p: ((p["w"].T @ A - T) ** 2).sum() / (2 * 6),
        lambda p: {"dw": A @ (p["w"].T @ A - T).T},
        {"w": w},
    )
    assert found.mistake == "missing 1/m" and "6 times too large" in str(found)


def test_a_missing_1_over_m_is_named_in_a_loop_over_examples():
    rng = np.random.default_rng(0)
    X, Y = rng.standard_normal((3, 5)), (rng.random(5) > 0.5) * 1.0

    def forward(p):
        cost = 0
        for i in range(5):
            a = handwritten.sigmoid((p["w"] * X[:, i]).sum() + p["b"])
            cost = cost - (Y[i] * np.log(a) + (1 - Y[i]) * np.log(1 - a))
        return cost / 5

    def backward(p):
        dw, db = np.zeros(3), 0.0
        for i in range(5):
            dz = handwritten.sigmoid((p["w"] * X[:, i]).sum() + p["b"]) - Y[i]
            dw, db = dw + X[:, i] * dz, db + dz
        return {"dw": dw, "db": db}

    found = check_backward(forward, backward, {"w": rng.standard_normal(3), "b": np.array(0.3)})
    assert found.mistake == "missing 1/m", str(found)


def test_a_backward_that_writes_into_its_gradient_is_diagnosed_as_one_that_does_not():
    def backward(dout, a):
        dout *= 1 - a
        return dout

    x = np.random.default_rng(0).standard_normal((3, 4))
    found = check_backward(lambda x: (np.tanh(x), np.tanh(x)), backward, x)
    assert found.mistake == "wrong activation" and found.traced


def test_a_forward_that_changes_its_input_is_told_so():
    def centers(x):
        x -= x.mean()
        return (x**2).sum()

    def scales(x):
        x /= 10
        return (x**2).sum()

    x = np.array([1.0, 2.0, 4.0])
    for forward, backward in ((centers, lambda x: 2 * (x - x.mean())), (scales, lambda x: 2 * x / 100)):
        found = check_backward(forward, backward, x)
        assert not found and found.mistake == "input modified" and found.wrong == []
        assert str(found).startswith("forward changes its input\n  dx: correct")
    assert x.tolist() == [1.0, 2.0, 4.0]


@pytest.mark.parametrize(
    ("result", "outline"),
    [
        (lambda x: (x, x, x.sum()), "a tuple of 3 (ndarray, ndarray, float64)"),
        (lambda x: [x, x.sum()], "a list of 2 (ndarray, float64)"),
        (lambda x: None, "NoneType None"),
        (lambda x: {"A": 1}, "dict {'A': 1}"),
        (lambda x: (None, x), "a tuple of 2 (NoneType, ndarray)"),
        (lambda x: x * 1j, "an array of shape (2,) and dtype complex128"),
    ],
)
def test_what_forward_may_return_is_said(result, outline):
    with pytest.raises(TypeError) as caught:
        check_backward(result, lambda x: x, np.array([1.0, 2.0]))
    assert str(caught.value) == (
        "check_backward: forward: expected it to return the output as an array or a number, or (output, cache), got "
        f"{outline}. Put everything else into the cache."
    )


def test_two_mistakes_in_two_gradients_are_both_said():
    x = np.random.default_rng(0).standard_normal((3, 4))
    found = check_backward(lambda a, b: (a * b).mean(), lambda a, b: (b, 2 * a / 12), [x, x + 1])
    assert "likely mistake: missing 1/m (da)" in str(found) and "\n  and: factor 2 (db)" in str(found)
    assert "or:" not in str(found)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"forward": None}, "check_backward: forward: expected a function, got NoneType None"),
        ({"backward": 3}, "check_backward: backward: expected a function, got int 3"),
        (
            {"inputs": [1.0, 2.0]},
            "check_backward: forward: expected a function of 2 arguments, one per input, got one of (x). A list of "
            "inputs is several inputs; one input is an array.",
        ),
        ({"seed": -1}, "check_backward: seed: expected an int of at least 0, got int -1"),
        ({"raise_exception": "no"}, "check_backward: raise_exception: expected True or False, got str 'no'"),
        (
            {"inputs": np.array([1.0, np.nan])},
            "check_backward: x: expected finite numbers, got nan or infinity",
        ),
        (
            {"backward": lambda x: "dx"},
            "check_backward: backward: expected gradients as arrays, got str 'dx'",
        ),
    ],
)
def test_wrong_arguments_are_named(given, message):
    arguments = {"forward": lambda x: x.sum(), "backward": lambda x: x, "inputs": np.ones(2), **given}
    with pytest.raises(tg.errors.TinygradError) as caught:
        testing.check_backward(**arguments)
    assert str(caught.value) == message


class Layer:
    """An affine layer with params and grads, as in the second volume of the book."""

    def __init__(self, factor=1.0):
        rng = np.random.default_rng(0)
        self.params = [rng.standard_normal((4, 2)), np.zeros(2)]
        self.grads = [np.zeros((4, 2)), np.zeros(2)]
        self.factor = factor

    def forward(self, x):
        self.x = x
        return x @ self.params[0] + self.params[1]

    def backward(self, dout):
        self.grads[0][...] = self.factor * self.x.T @ dout
        self.grads[1][...] = dout.sum(axis=0)
        return dout @ self.params[0].T


def test_a_layer_is_checked_with_its_parameters_and_left_as_it_was():
    x = np.random.default_rng(1).standard_normal((3, 4))
    layer = Layer()
    W, grad = layer.params[0], layer.grads[0]
    before = W.copy()
    found = check_backward(layer, x)
    assert found and list(found.errors) == ["x", "params[0]", "params[1]"] and found.traced
    assert "Layer with forward(x) and backward(dout); gradients of x, params[0], params[1]" in str(found)
    assert layer.params[0] is W and np.array_equal(W, before) and layer.grads[0] is grad and not grad.any()
    assert not hasattr(layer, "x")
    wrong = check_backward(Layer(-1.0), x)
    assert wrong.wrong == ["params[0]"] and wrong.mistake == "sign"


def test_attributes_with_their_gradients_are_parameters():
    layer, x = Affine(), np.random.default_rng(1).standard_normal((3, 4))
    assert list(check_backward(layer, x).errors) == ["x", "W", "b"]
    layer.backward = lambda dout: (
        setattr(layer, "dW", layer.x.T @ dout),
        setattr(layer, "db", dout[0]),
        dout @ layer.W.T,
    )[2]
    assert check_backward(layer, x).wrong == ["b"]


def test_a_list_of_layers_is_checked_as_one_network():
    x = np.random.default_rng(1).standard_normal((3, 4))
    found = check_backward([Layer(), Relu()], x)
    assert found and list(found.errors) == ["x", "0.params[0]", "0.params[1]"]
    assert "backward writes into dout" in found.note
    wrong = check_backward([Layer(2.0), Relu()], x)
    assert wrong.wrong == ["0.params[0]"] and wrong.mistake == "factor 2"


def test_a_network_with_loss_and_gradient_is_checked():
    net, rng = TwoLayerNet(), np.random.default_rng(1)
    inputs = [rng.standard_normal((5, 3)), rng.standard_normal((5, 2))]
    found = check_backward(net, inputs)
    assert found and list(found.errors) == ["W1", "W2"] and found.traced
    net.gradient = lambda x, t: TwoLayerNet.gradient(net, x, t, factor=-1.0)
    assert check_backward(net, inputs).mistake == "sign"


def test_a_dictionary_among_the_inputs_holds_parameters():
    rng = np.random.default_rng(0)
    X, p = rng.standard_normal((3, 5)), {"W": rng.standard_normal((2, 3)), "b": np.zeros((2, 1))}

    def forward(X, parameters):
        return parameters["W"] @ X + parameters["b"], (X, parameters)

    def backward(dZ, cache):
        X, _ = cache
        return {"dW": dZ @ X.T, "db": dZ.sum(axis=1, keepdims=True)}

    found = check_backward(forward, backward, [X, p])
    assert found and list(found.errors) == ["W", "b"]
    assert (
        found.form
        == "forward(X, parameters 1) returns (output, cache), backward(g, cache) returns a dictionary"
    )


def test_what_is_neither_a_function_nor_a_layer_is_refused():
    with pytest.raises(TypeError, match="inputs: expected what the first layer takes"):
        testing.check_backward(Layer())
    with pytest.raises(TypeError, match="inputs: expected the arrays that forward takes"):
        testing.check_backward(lambda x: x, lambda g: g)
    with pytest.raises(TypeError, match="backward: expected a function, got nothing"):
        testing.check_backward(lambda x: x)


def test_a_backward_that_writes_into_an_input_is_told_so():
    def backward(g, W, b):
        W *= 2
        return g * W / 2, g

    x = np.array([1.0, 2.0])
    found = check_backward(lambda a, b: a**2 / 2 + b, backward, [x, x + 1])
    assert found.mistake == "input modified" and "backward changes this input in place" in str(found)
    assert x.tolist() == [1.0, 2.0]


def test_the_line_that_computes_a_wrong_gradient_and_that_of_the_forward_are_named():
    found = check_backward(*handwritten.shallow("sigmoid for tanh"))
    assert "A1 = np.tanh(Z1)" in found.guesses[0].place
    assert "dW1 = dZ1 @ X.T / n" in found.lines["W1"] and "handwritten.py" in found.lines["W1"]


def test_units_that_are_0_in_several_layers_are_accepted():
    """The derivatives on both sides along one bias are 1 and 0.02 there, and that of the code is 0.0001."""
    x = np.zeros((1, 1))

    def forward(p):
        z = p["b1"] + x
        a = np.where(z > 0, z, 0.01 * z)
        z2 = -a + p["b2"]
        return np.where(z2 > 0, z2, 0.01 * z2).sum(), (z, z2)

    def backward(cache):
        z, z2 = cache
        d2 = np.where(z2 > 0, 1, 0.01)
        return {"db1": -d2 * np.where(z > 0, 1, 0.01), "db2": d2}

    assert check_backward(forward, backward, {"b1": np.zeros((1, 1)), "b2": np.zeros((1, 1))})
    wrong = check_backward(
        forward,
        lambda c: {"db1": np.full((1, 1), 3.0), "db2": backward(c)["db2"]},
        {"b1": np.zeros((1, 1)), "b2": np.zeros((1, 1))},
    )
    assert wrong.wrong == ["b1"]


def test_gradients_lost_in_rounding_are_judged_elsewhere():
    def network(factor):
        return (
            lambda x: 0.5 + 1e-19 * np.cosh(20 * x).sum(),
            lambda g, x: factor * g * 20e-19 * np.sinh(20 * x),
            np.array([-0.01, 0.02]),
        )

    right, wrong = check_backward(*network(1.0)), check_backward(*network(1.5))
    assert right and "cannot be told here" in right.note
    assert wrong.wrong == ["x"] and not wrong


def test_where_nothing_can_be_told_the_verdict_says_so_and_another_point_is_looked_for():
    def steep(x):
        return np.sqrt(x).sum()

    found = check_backward(steep, lambda g, x: g * 0.5 / np.sqrt(x + 1e-300), np.array([0.0]))
    assert found and "cannot be told here (the function is not finite below" in found.note
    jumps = check_backward(
        lambda x: np.where(x >= 0, 0.0, np.nan).sum(), lambda g, x: 3.0 + x, np.array([0.0])
    )
    assert not jumps


def test_a_saturated_cost_is_no_false_alarm():
    """1 - a has a few digits only where a is close to 1, and differences of its logarithm are those of stairs."""
    for seed in (10259, 10857):
        assert check_backward(*generated.draw(seed).arguments)


def test_inputs_and_gradients_may_be_nested_alike():
    arrays = np.random.default_rng(7)
    x, w, b = arrays.standard_normal((2, 4)), arrays.standard_normal((4, 3)), arrays.standard_normal(3)
    ones = np.ones((2, 3))

    def forward(x, layer):
        return np.sum(x @ layer[0] + layer[1])

    def backward(g, x, layer, factor=2):
        return ones @ layer[0].T, [x.T @ ones, factor * np.ones(3)]

    assert list(check_backward(forward, backward, [x, [w, b]]).errors) == ["x", "layer[0]", "layer[1]"]
    found = check_backward(forward, lambda g, x, layer: backward(g, x, layer, 3), [x, (w, b)])
    assert found.wrong == ["layer[1]"]

    def cost(p):
        return np.sum(p["one"]["W"] @ p["two"]["W"])

    def gradients(p, factor=1.0):
        g = np.ones((4, 2))
        return {"one": {"dW": g @ p["two"]["W"].T}, "two": {"W": factor * p["one"]["W"].T @ g}}

    parameters = {"one": {"W": arrays.standard_normal((4, 3))}, "two": {"W": arrays.standard_normal((3, 2))}}
    assert check_backward(cost, gradients, parameters)
    found = check_backward(cost, lambda p: gradients(p, -1.0), parameters)
    assert (found.wrong, found.mistake) == (["two.W"], "sign")
    missing = check_backward(cost, lambda p: {"one": gradients(p)["one"]}, parameters)
    assert (missing.wrong, missing.mistake) == (["two.W"], "missing gradient")


def test_a_python_number_without_a_gradient_is_a_setting():
    def leaky(x, slope):
        return np.where(x > 0, x, slope * x)

    def backward(g, x, slope):
        return g * np.where(x > 0, 1.0, slope)

    x = np.random.default_rng(7).standard_normal(6)
    for returned in (backward, lambda g, x, slope: (backward(g, x, slope), None)):
        assert list(check_backward(leaky, returned, [x, 0.1]).errors) == ["x"]
    # A parameter of the courses: b = 0.0 has a gradient, and a dictionary without it lacks one.
    found = check_backward(
        lambda p: np.sum(p["w"] * 2 + p["b"]), lambda p: {"dw": 2 * np.ones(3)}, {"w": x[:3], "b": 0.0},
    )  # fmt: skip
    assert (found.wrong, found.mistake) == (["b"], "missing gradient")
    with pytest.raises(tg.errors.DTypeError, match="expected a floating-point output, got int64"):
        check_backward(lambda x: x.argmax(), lambda x: x, x)


def test_at_the_edge_of_a_domain_the_code_is_judged_elsewhere():
    x = np.array([0.0, 1.0])
    for forward, derivative in ((np.sqrt, lambda x: 0.5 / np.sqrt(x)), (np.log, lambda x: 1 / x)):
        found = check_backward(lambda x, f=forward: np.sum(f(x)), derivative, x)
        assert found and "dx cannot be told here (the function is not finite" in found.note
        wrong = check_backward(lambda x, f=forward: np.sum(f(x)), lambda x, d=derivative: 1.1 * d(x), x)
        assert wrong.verdict == "wrong" and wrong.wrong == ["x"]


def test_parameters_of_backward_with_a_default_are_left_alone():
    x = np.random.default_rng(3).standard_normal(4)
    assert check_backward(lambda x: np.sum(x**3), lambda x, factor=3: factor * x**2, x)
    found = check_backward(lambda x: (np.sum(x**2), x), lambda cache, factor=2: factor * cache, x)
    assert found and "backward(cache)" in found.form


def test_inputs_drawn_as_the_checks_own_numbers_are_no_coincidence():
    x = np.random.default_rng(0).standard_normal(5)
    found = check_backward(lambda x: np.round(x), lambda g: g, x)
    assert found.mistake == "missing factor"
    report = testing.gradcheck(
        lambda x: x * 1.0, x, backward=lambda g, x: x, fast=True, raise_exception=False
    )
    assert not report


def test_a_sum_over_a_broadcast_axis_is_named_before_the_gradient_of_another_input():
    x, b = np.ones((2, 3)), np.ones(3)
    found = check_backward(
        lambda x, b: np.tanh(x + b), lambda g, x, b: (g * (1 - np.tanh(x + b) ** 2),) * 2, [x, b]
    )
    assert found.mistake == "missing sum" and found.guesses[0].inputs == ["b"]


@pytest.mark.parametrize("forgotten", ["stride", "padding", ""])
@pytest.mark.parametrize("pooled", [False, True])
def test_windows_at_wrong_positions_are_named(forgotten, pooled):
    rng = np.random.default_rng(5)
    x, w = (
        rng.standard_normal((2, 5, 6)),
        rng.standard_normal((3, 3)) if not pooled else np.full((3, 3), 1 / 9),
    )
    stride, pad = 2, 1

    def windows(step=stride, offset=0):
        return [
            (
                h,
                v,
                slice(h * step + offset, h * step + offset + 3),
                slice(v * step + offset, v * step + offset + 3),
            )
            for h in range(3)
            for v in range(3)
        ]

    def forward(x, w):
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        out = np.zeros((2, 3, 3))
        for h, v, rows, columns in windows():
            out[:, h, v] = [float(np.sum(one[rows, columns] * w)) for one in padded]
        return out

    def backward(g, x, w):
        padded = np.pad(x, ((0, 0), (pad, pad), (pad, pad)))
        dx, dw = np.zeros_like(padded), np.zeros_like(w)
        places = windows(1 if forgotten == "stride" else stride)
        for h, v, rows, columns in places:
            for one, into, d in zip(padded, dx, g[:, h, v]):
                into[rows, columns] += d * w
                dw += d * one[rows, columns]
        dx = dx[:, :-2, :-2] if forgotten == "padding" else dx[:, pad:-pad, pad:-pad]
        return (dx,) if pooled else (dx, dw)

    inputs = [x] if pooled else [x, w]
    found = check_backward(
        (lambda x: forward(x, w)) if pooled else forward,
        (lambda g, x: backward(g, x, w)) if pooled else backward,
        inputs,
    )
    assert found.mistake == ("wrong positions" if forgotten else None), str(found)
    if forgotten:
        assert ("stride missing" if forgotten == "stride" else "count the padding") in str(found)


def test_a_jacobian_whose_windows_move_along_one_axis_at_a_time_is_no_error():
    found = check_backward(*generated.draw(920303, planted=True).arguments)
    assert found.mistake == "wrong axis"


@pytest.mark.parametrize("scale", [0.01, 1.0])
def test_a_backward_that_uses_the_parameters_from_outside_is_judged_at_other_inputs_with_these(scale):
    rng = np.random.default_rng([5, 0])
    X, Y = rng.standard_normal((4, 6)), (rng.random((1, 6)) > 0.5) * 1.0
    parameters = {"W1": rng.standard_normal((5, 4)) * scale, "b1": np.zeros((5, 1))}
    parameters |= {"W2": rng.standard_normal((3, 5)) * scale, "b2": np.zeros((3, 1))}
    parameters |= {"W3": rng.standard_normal((1, 3)) * scale, "b3": np.zeros((1, 1))}
    before = {name: p.copy() for name, p in parameters.items()}

    def forward(p):
        A, cache = X, []
        for k in (1, 2, 3):
            Z = p[f"W{k}"] @ A + p[f"b{k}"]
            cache.append((A, Z))
            A = np.maximum(0, Z) if k < 3 else 1 / (1 + np.exp(-Z))
        return -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A)), (A, cache)

    def backward(saved, factor=1.0):
        A, cache = saved
        dZ, gradients = A - Y, {}
        for k in (3, 2, 1):
            gradients[f"dW{k}"] = dZ @ cache[k - 1][0].T / 6
            gradients[f"db{k}"] = dZ.sum(axis=1, keepdims=True) / 6
            if k > 1:
                dZ = factor * parameters[f"W{k}"].T @ dZ * (cache[k - 2][1] > 0)
        return gradients

    # Dead units leave gradients of 0, at which the inputs say little.
    assert check_backward(forward, backward, parameters)
    assert not check_backward(forward, lambda saved: backward(saved, -1.0), parameters)
    assert all(np.array_equal(p, before[name]) for name, p in parameters.items())


@pytest.mark.parametrize("scale", [1.0, 10.0])
def test_a_saturated_output_is_judged_at_other_inputs(scale):
    # 1 - a is rounded to a few digits, and so are differences of log(1 - a), and autograd's derivative of it.
    rng = np.random.default_rng([5, 10])
    X, Y = rng.standard_normal((4, 6)) * scale, (rng.random((1, 6)) > 0.5) * 1.0
    parameters = {"W1": rng.standard_normal((5, 4)), "b1": np.zeros((5, 1))}
    parameters |= {"W2": rng.standard_normal((3, 5)), "b2": np.zeros((3, 1))}
    parameters |= {"W3": rng.standard_normal((1, 3)) * 2, "b3": np.zeros((1, 1))}

    def forward(p):
        A, cache = X, []
        for k in (1, 2, 3):
            Z = p[f"W{k}"] @ A + p[f"b{k}"]
            cache.append((A, Z, p[f"W{k}"]))
            A = np.maximum(0, Z) if k < 3 else 1 / (1 + np.exp(-Z))
        return -np.mean(Y * np.log(A) + (1 - Y) * np.log(1 - A)), (A, cache)

    def backward(saved, factor=1.0):
        A, cache = saved
        dZ, gradients = factor * (A - Y), {}
        for k in (3, 2, 1):
            A_prev, _, W = cache[k - 1]
            gradients[f"dW{k}"], gradients[f"db{k}"] = dZ @ A_prev.T / 6, dZ.sum(axis=1, keepdims=True) / 6
            dZ = W.T @ dZ * (cache[k - 2][1] > 0) if k > 1 else None
        return gradients

    found = check_backward(forward, backward, parameters)
    assert found.verdict != "wrong", str(found)
    assert check_backward(forward, lambda saved: backward(saved, 2.0), parameters).verdict == "wrong"
