"""The summary: its numbers, its picture, and that it leaves no trace."""

from __future__ import annotations

import numpy as np

from tinygrad_dl import Tensor, config, nn
from tinygrad_dl.config import default_rng


def model() -> nn.Sequential:
    return nn.Sequential(nn.Linear(4, 3), nn.BatchNorm1d(3), nn.ReLU(), nn.Dropout(0.5), nn.Linear(3, 2))


def test_the_table_to_the_letter() -> None:
    small = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2).requires_grad_(False))
    assert (
        str(nn.summary(small, (5, 4)))
        == """\
layer          in      out     parameters  mult-adds  memory  mode
-------------------------------------------------------------------
Sequential     (5, 4)  (5, 2)          23         90   160 B  train
|-- 0: Linear  (5, 4)  (5, 3)          15         60    60 B  train
|-- 1: ReLU    (5, 3)  (5, 3)                           60 B  train
`-- 2: Linear  (5, 3)  (5, 2)           8         30    40 B  train
-------------------------------------------------------------------
parameters: 23 (92 B), 8 of them frozen
multiply-adds: 90; activations: 160 B"""
    )


def test_nothing_is_changed_by_a_summary() -> None:
    net = model().train()
    net[3].eval()
    net(Tensor(np.ones((3, 4), "float32"))).sum().backward()
    saved, grad, state = net.state_dict(), net[0].weight.grad, default_rng().bit_generator.state
    modes = [module.training for module in net.modules()]
    net.summary(Tensor(np.ones((1, 4), "float32")))
    assert all(np.array_equal(value, saved[name]) for name, value in net.state_dict().items())
    assert net[0].weight.grad is grad and config.default_rng().bit_generator.state == state
    assert [module.training for module in net.modules()] == modes
    assert all(module._hooks is None for module in net.modules())


def test_on_an_error_the_table_ends_at_the_layer_that_failed() -> None:
    net = nn.Sequential(nn.Linear(4, 3), nn.Linear(2, 2), nn.ReLU())
    shown = nn.summary(net, (5, 4))
    assert isinstance(shown.error, ValueError)
    lines = str(shown).splitlines()
    assert lines[-3].split() == [
        "`--",
        "1:",
        "Linear",
        "(5,",
        "3)",
        "failed",
        "6",
        "train",
    ] and "ReLU" not in str(shown)
    assert lines[-1].startswith("stopped by ShapeError: linear: x (5, 3) and weight (2, 2)")
    assert all(module._hooks is None for module in net.modules())


def test_shared_and_unused_layers_and_repeated_calls_are_told() -> None:
    class Net(nn.Module):
        def __init__(self) -> None:
            self.layer = nn.Linear(2, 2)
            self.same = self.layer
            self.spare = nn.Linear(2, 2)

        def forward(self, x: Tensor) -> Tensor:
            return self.layer(self.layer(x))

    shown = nn.summary(Net(), (1, 2))
    text = str(shown)
    assert shown.parameters == 12 and shown.multiply_adds == 8
    assert (
        "layer: Linear x2" in text
        and "(as above)" in text
        and "spare: Linear" in text
        and "not called" in text
    )
