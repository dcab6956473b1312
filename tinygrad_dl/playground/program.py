"""The Python program of a configuration: the page runs its first part, and the learner takes all of it home."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

from tinygrad_dl.playground.state import Config, Layer

NAN = 'float("nan")'
EXAMPLES = {
    "circles": "examples = datasets.circles(n={n}, noise={noise}, factor=0.5, seed={seed})",
    "moons": "examples = datasets.moons(n={n}, noise={noise}, seed={seed})",
    "spirals": "examples = datasets.spirals(n={n}, classes=3, noise={noise}, seed={seed})",
    "flower": "examples = datasets.planar_flower(n={n}, noise={noise}, seed={seed})",
    "blobs": "examples = datasets.blobs(n={n}, centers=3, std=0.5 + 4 * {noise}, seed={seed})",
    "digits": "examples = datasets.load_digits()",
}
ACTIVATIONS = {
    "relu": "nn.ReLU()",
    "tanh": "nn.Tanh()",
    "sigmoid": "nn.Sigmoid()",
    "leaky_relu": "nn.LeakyReLU()",
}
INITIALIZATIONS = {
    "zeros": "nn.init.zeros_(weight)",
    "large": "nn.init.normal_(weight, std=10.0, rng=rng)",
    "xavier": "nn.init.xavier_normal_(weight, rng=rng)",
    "he": 'nn.init.kaiming_normal_(weight, nonlinearity="relu", rng=rng)',
}
OPTIMIZERS = {
    "sgd": "optim.SGD(model.parameters(), lr={rate})",
    "momentum": "optim.SGD(model.parameters(), lr={rate}, momentum=0.9)",
    "adagrad": "optim.Adagrad(model.parameters(), lr={rate})",
    "rmsprop": "optim.RMSprop(model.parameters(), lr={rate})",
    "adam": "optim.Adam(model.parameters(), lr={rate})",
}


class Position(NamedTuple):
    """Where a layer of the configuration is in the Sequential: its weight, and the output that is shown."""

    weight: int
    output: int


def modules(config: Config) -> tuple[list[str], list[Position]]:
    """The modules of the Sequential as Python, and the place of each layer, the output layer last."""
    lines: list[str] = []
    positions: list[Position] = []
    inputs, side, channels = config.inputs, 8, 0
    for layer in config.layers:
        if layer.kind == "conv":
            lines += [] if channels else ["nn.Unflatten(1, (1, 8, 8))"]
            weight = len(lines)
            lines.append(f"nn.Conv2d({channels or 1}, {layer.units}, 3, padding=1{_bias(layer)})")
            lines += [f"nn.BatchNorm2d({layer.units})"] if layer.batch_norm else []
            lines += _activation(layer)
            positions.append(Position(weight, len(lines) - 1))
            lines.append("nn.MaxPool2d(2)")
            channels, side = layer.units, side // 2
            inputs = channels * side * side
        else:
            lines += ["nn.Flatten()"] if channels else []
            channels = 0
            weight = len(lines)
            lines.append(f"nn.Linear({inputs}, {layer.units}{_bias(layer)})")
            lines += [f"nn.BatchNorm1d({layer.units})"] if layer.batch_norm else []
            lines += _activation(layer)
            positions.append(Position(weight, len(lines) - 1))
            inputs = layer.units
        lines += [f"nn.Dropout({layer.dropout!r})"] if layer.dropout else []
    lines += ["nn.Flatten()"] if channels else []
    positions.append(Position(len(lines), len(lines)))
    lines.append(f"nn.Linear({inputs}, {config.outputs})")
    return lines, positions


def _bias(layer: Layer) -> str:
    # Batch normalization subtracts it again: its gradient would be rounding noise, which Adam makes large.
    return ", bias=False" if layer.batch_norm else ""


def _activation(layer: Layer) -> list[str]:
    return [ACTIVATIONS[layer.activation]] if layer.activation in ACTIVATIONS else []


def penalties(config: Config) -> list[tuple[int, float, float]]:
    """(place of the weight in the Sequential, L1, L2) of each layer that has a penalty."""
    _, positions = modules(config)
    amounts = [(layer.l1, layer.l2) for layer in config.layers] + [(config.output_l1, config.output_l2)]
    return [(place.weight, l1, l2) for place, (l1, l2) in zip(positions, amounts) if l1 or l2]


def _data(config: Config) -> list[str]:
    n, noise, seed = config.count, config.noise, config.seed
    if config.data == "points":
        rows = [f"    ({x!r}, {y!r}, {label})," for x, y, label in config.points]
        lines = ["points = np.array([", *rows, "])", "x, y = points[:, :2], points[:, 2].astype(int)"]
    elif config.data == "csv":
        rows = [f"    ({', '.join(map(repr, row))})," for row in config.table.rows]
        lines = ["table = np.array([", *rows, "])", "x, y = table[:, :-1], table[:, -1]"]
        lines += ["y = y.astype(int)"] if config.classes else []
    elif config.data == "xor":
        lines = [
            f"x = rng.uniform(-1, 1, ({n}, 2))",
            "y = (x[:, 0] * x[:, 1] > 0).astype(int)",
            f"x = x + {noise / 2!r} * rng.standard_normal(x.shape)",
        ]
    elif config.data == "regression":
        lines = [
            f"x = rng.uniform(-1, 1, ({n}, 1))",
            f"y = np.sin(4 * x[:, 0]) + x[:, 0] + {noise!r} * rng.standard_normal({n})",
        ]
    else:
        lines = [EXAMPLES[config.data].format(n=n, noise=noise, seed=seed)]
        if config.data == "digits":
            lines += [
                f"chosen = rng.permutation(len(examples))[:{n}]",
                f"x = examples.x[chosen].reshape({n}, 64) + {noise!r} * rng.standard_normal(({n}, 64))",
                "y = examples.y[chosen]",
            ]
        else:
            lines.append("x, y = examples.x, examples.y")
    m = config.training
    lines += ["order = rng.permutation(len(x))", f"train, dev = order[:{m}], order[{m}:]"]
    if config.normalize:
        # A feature that hardly varies, such as a pixel at the edge, is not blown up.
        lines += [
            "scale = x[train].std(0)",
            "x = (x - x[train].mean(0)) / np.maximum(scale, 0.1 * scale.max() + 1e-8)",
        ]
    if config.data == "csv" and not config.classes:
        lines.append("y = (y - y[train].mean()) / (y[train].std() + 1e-8)")
    lines.append("x = x.astype(np.float32)")
    if config.outputs == 1:
        lines.append("y = y.astype(np.float32).reshape(-1, 1)")
    return lines


def setup(config: Config) -> str:
    """The first part of the program: the examples, the network, and a function that takes one step."""
    parts, _ = modules(config)
    sets = ["from tinygrad_dl.data import datasets"] if config.data in EXAMPLES else []
    loss = {0: "nn.MSELoss()", 2: "nn.BCEWithLogitsLoss()"}.get(config.classes, "nn.CrossEntropyLoss()")
    right = {
        0: None,
        2: "((outputs.data > 0) == (y[rows] > 0)).mean()",
    }.get(config.classes, "(outputs.data.argmax(1) == y[rows]).mean()")
    cost = ["def cost(x, y):", "    loss = loss_of(model(x), y)"]
    for weight, l1, l2 in penalties(config):
        cost += [f"    loss = loss + {l1!r} * abs(model[{weight}].weight).sum()"] if l1 else []
        cost += [f"    loss = loss + {l2!r} * (model[{weight}].weight ** 2).sum()"] if l2 else []
    cost.append("    return loss")
    rate = f"{config.rate!r} / (1 + {config.decay!r} * epoch)" if config.decay else repr(config.rate)
    lines = [
        "import numpy as np",
        "",
        "import tinygrad_dl as tg",
        "from tinygrad_dl import nn, optim",
        *sets,
        "",
        f"rng = np.random.default_rng({config.seed})  # draws the split and the weights",
        f"tg.manual_seed({config.seed})  # draws dropout's masks",
        "",
        "# The examples: the training part, and the dev part that is only measured.",
        *_data(config),
        "",
        "# The network and its optimizer.",
        "model = nn.Sequential(",
        *(f"    {part}," for part in parts),
        ")",
        "for name, weight in model.named_parameters():",
        '    if name.endswith("bias"):',
        "        nn.init.zeros_(weight)",
        "    elif weight.ndim > 1:  # not batch normalization's",
        f"        {INITIALIZATIONS[config.initialization]}",
        f"loss_of = {loss}",
        f"optimizer = {OPTIMIZERS[config.optimizer].format(rate=repr(config.rate))}",
        "",
        "",
        *cost,
        "",
        "",
        "@tg.compile",
        "def step(x, y):",
        '    """Minimize the cost of a batch by one step."""',
        "    optimizer.zero_grad()",
        "    loss = cost(x, y)",
        "    loss.backward()",
        "    optimizer.step()",
        "    return loss",
        "",
        "",
        "def batch_of(i):",
        '    """The rows of step i: each epoch has an order of its own."""',
        f"    epoch, k = divmod(i, {config.steps_per_epoch})",
        f"    order = np.random.default_rng([{config.seed}, epoch]).permutation(train)",
        f"    return order[k * {config.batch} : (k + 1) * {config.batch}]",
        "",
        "",
        "def rate_of(i):",
        '    """The learning rate of step i."""',
        *([f"    epoch = i // {config.steps_per_epoch}"] if config.decay else []),
        f"    return {rate}",
        "",
        "",
        "def train_step(i):",
        '    """Take step i, and return the loss of its batch."""',
        '    optimizer.param_groups[0]["lr"] = rate_of(i)',
        "    rows = batch_of(i)",
        "    return step(tg.asarray(x[rows]), tg.asarray(y[rows])).item()",
        "",
        "",
        "def measure(rows):",
        '    """The loss and the accuracy on these rows."""'
        if right
        else '    """The loss on these rows; there is no accuracy in regression."""',
        "    model.eval()",
        "    with tg.no_grad():",
        "        outputs = model(tg.asarray(x[rows]))",
        "        loss = loss_of(outputs, tg.asarray(y[rows])).item()",
        "    model.train()",
        f"    return loss, {f'float({right})' if right else NAN}",
    ]
    return "\n".join(lines) + "\n"


def training(config: Config, steps: int) -> str:
    """The second part of the program: the steps, and what they reached."""
    accuracy = ", accuracy {accuracy:.4f}" if config.classes else ""
    return f"""

for i in range({steps}):
    train_step(i)

for name, rows in (("train", train), ("dev", dev)):
    loss, accuracy = measure(rows)
    print(f"{{name}}: loss {{loss:.6f}}{accuracy}")
"""


def title(config: Config) -> str:
    """The data and the sizes of the layers, such as `moons, 2-4-2-1`."""
    sizes = [config.inputs, *(layer.units for layer in config.layers), config.outputs]
    return f"{config.data}, {'-'.join(map(str, sizes))}"


def program(config: Config, steps: int) -> str:
    """The whole program, which prints what the page shows after this number of steps."""
    about = f'"""{title(config)}: {steps} steps, as trained in the playground of tinygrad_dl."""\n\n'
    return about + setup(config) + training(config, steps)


def notebook(config: Config, steps: int) -> str:
    """The program as a Jupyter notebook."""
    head, blocks = f"# {title(config)}\n\nAs trained in the playground of tinygrad_dl.", []
    for block in (setup(config) + training(config, steps)).split("\n\n\n"):
        blocks.append(block.strip("\n"))
    cells: list[dict[str, Any]] = [_cell("markdown", head)]
    cells += [_cell("code", block) for block in blocks if block]
    for i, cell in enumerate(cells):
        cell["id"] = f"cell-{i}"
    kernel = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    return (
        json.dumps({"cells": cells, "metadata": kernel, "nbformat": 4, "nbformat_minor": 5}, indent=1) + "\n"
    )


def _cell(kind: str, text: str) -> dict[str, Any]:
    cell: dict[str, Any] = {"cell_type": kind, "metadata": {}, "source": text.splitlines(keepends=True)}
    return {**cell, "execution_count": None, "outputs": []} if kind == "code" else cell
