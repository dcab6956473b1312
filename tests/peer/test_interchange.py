"""Models trained one step here and in PyTorch, from the same weights, agree: outputs, gradients, new weights."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from tinygrad_dl import Tensor, config, nn, optim

torch = pytest.importorskip("torch", reason="PyTorch, which these models are compared with, is not installed")


@pytest.fixture(autouse=True)
def in_float64() -> Iterator[None]:
    before = config.get_default_dtype()
    config.set_default_dtype("float64")
    torch.set_default_dtype(torch.float64)
    yield
    config.set_default_dtype(before)
    torch.set_default_dtype(torch.float32)


def lenet(library: Any) -> Any:
    return library.Sequential(
        library.Conv2d(1, 6, 5, padding=2), library.ReLU(), library.MaxPool2d(2),
        library.Conv2d(6, 16, 5), library.ReLU(), library.MaxPool2d(2), library.Flatten(),
        library.Linear(400, 120), library.ReLU(), library.Linear(120, 84), library.ReLU(), library.Linear(84, 10),
    )  # fmt: skip


def lstm_classifier(library: Any) -> Any:
    class Classifier(library.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            self.lstm = library.LSTM(5, 8, num_layers=2, bidirectional=True, batch_first=True)
            self.head = library.Linear(16, 10)

        def forward(self, x: Any) -> Any:
            out, _ = self.lstm(x)
            return self.head(out[:, -1])

    return Classifier()


def transformer_encoder(library: Any) -> Any:
    class Encoder(library.Module):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__()
            layer = library.TransformerEncoderLayer(
                8, 2, 16, dropout=0.0, activation="gelu", batch_first=True
            )
            self.encoder = library.TransformerEncoder(layer, 2, library.LayerNorm(8))
            self.head = library.Linear(8, 10)

        def forward(self, x: Any) -> Any:
            return self.head(self.encoder(x).mean(1))

    return Encoder()


@pytest.mark.parametrize(
    ("build", "shape"),
    [(lenet, (4, 1, 28, 28)), (lstm_classifier, (4, 6, 5)), (transformer_encoder, (4, 6, 8))],
)
@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_a_step_of_training_agrees_with_pytorch(build: Any, shape: tuple[int, ...], optimizer: str) -> None:
    torch.manual_seed(0)
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal(shape), rng.integers(0, 10, shape[0])
    theirs, ours = build(torch.nn), build(nn)
    ours.load_state_dict({name: value.numpy() for name, value in theirs.state_dict().items()})
    losses = []
    for model, library, data, targets, chosen in (
        (theirs, torch.nn, torch.tensor(x), torch.tensor(y), getattr(torch.optim, optimizer)),
        (ours, nn, Tensor(x), Tensor(y), getattr(optim, optimizer)),
    ):
        steps = chosen(model.parameters(), lr=0.05)
        for _ in range(2):
            steps.zero_grad()
            loss = library.CrossEntropyLoss()(model(data), targets)
            loss.backward()
            steps.step()
        losses.append(loss.detach().item())
    assert losses[0] == pytest.approx(losses[1], rel=1e-9)
    gradients = {name: p.grad for name, p in ours.named_parameters()}
    for name, parameter in theirs.named_parameters():
        np.testing.assert_allclose(gradients[name].data, parameter.grad.numpy(), atol=1e-8, err_msg=name)
    after = ours.state_dict()
    assert list(after) == list(theirs.state_dict())
    for name, value in theirs.state_dict().items():
        np.testing.assert_allclose(after[name], value.numpy(), atol=1e-6, err_msg=name)


def test_a_pytorch_model_takes_our_weights_back() -> None:
    ours, theirs = lenet(nn), lenet(torch.nn)
    theirs.load_state_dict({name: torch.tensor(array) for name, array in ours.state_dict().items()})
    x = np.random.default_rng(1).standard_normal((2, 1, 28, 28))
    with torch.no_grad():
        np.testing.assert_allclose(ours(Tensor(x)).data, theirs(torch.tensor(x)).numpy(), atol=1e-9)
