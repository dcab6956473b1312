"""Looking inside a run: a weight's gradient as a sum, a unit's value, gradient checking, the diagnosis, the graph."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

import tinygrad_dl as tg
from tinygrad_dl import func, nn, optim
from tinygrad_dl.data import TensorDataset
from tinygrad_dl.errors import ValueRangeError
from tinygrad_dl.playground.program import penalties
from tinygrad_dl.playground.session import Session, number
from tinygrad_dl.testing import gradcheck
from tinygrad_dl.train import History, Monitor, Trainer, diagnose, find_rate
from tinygrad_dl.typing import NDArray
from tinygrad_dl.viz import draw

TERMS = 8  # of a sum, the largest ones
SURFACE = 25  # points of the loss surface in each direction


def _check(name: str, index: int, count: int) -> None:
    if not 0 <= index < count:
        raise ValueRangeError(f"{name}: expected an index from 0 to {count - 1}, got {index}")


def _largest(terms: NDArray) -> list[int]:
    with np.errstate(all="ignore"):
        return np.argsort(-np.abs(np.nan_to_num(terms)), kind="stable")[:TERMS].tolist()


def unit(session: Session, layer: int, index: int) -> dict[str, Any]:
    """A unit for the first example of the next batch: the sum that is its value, its output, both gradients.

    z = sum_j w_j a_j + b of a dense layer. Raises ValueRangeError for a layer or unit that is not there.
    """
    _check("layer", layer, len(session.positions))
    module = session.model[session.positions[layer].weight]
    weight: NDArray = module.weight.data
    _check("unit", index, len(weight))
    row = int(session.space["batch_of"](session.step)[0])
    seen = session.look(session.space["batch_of"](session.step))
    made: dict[str, Any] = {
        "layer": layer,
        "unit": index,
        "example": row,
        "inputs": weight.shape[1],
        "bias": None if module.bias is None else number(module.bias.data[index]),
        "bias_gradient": None if module.bias is None else number(seen.biases[layer][index]),
        "sum": number(np.mean(seen.sums[layer][0, index])),
        "output": number(np.mean(seen.outputs[layer][0, index])),
        "sum_gradient": number(np.sum(seen.sum_gradients[layer][0, index])),
        "gradient": number(np.sum(seen.gradients[layer][0, index])),
    }
    if weight.ndim == 2:
        inputs = seen.inputs[layer][0]
        made["terms"] = [
            {"input": j, "weight": number(weight[index, j]), "value": number(inputs[j])}
            for j in _largest(weight[index] * inputs)
        ]
    return made


def weight(session: Session, layer: int, index: int, source: int) -> dict[str, Any]:
    """A weight of a dense layer: its value, its gradient on the next batch, and the sum that made it.

    dL/dw = sum over examples of (dL/dz of the unit) * (the input) + the penalty's part. Raises ValueRangeError.
    """
    _check("layer", layer, len(session.positions))
    place = session.positions[layer].weight
    values: NDArray = session.model[place].weight.data
    if values.ndim != 2:
        raise ValueRangeError(f"weight: expected a dense layer, got layer {layer}, a convolution")
    _check("unit", index, len(values))
    _check("input", source, values.shape[1])
    rows: NDArray = session.space["batch_of"](session.step)
    seen = session.look(rows)
    deltas, inputs = seen.sum_gradients[layer][:, index], seen.inputs[layer][:, source]
    value = float(values[index, source])
    penalty = sum(
        l1 * float(np.sign(value)) + 2 * l2 * value
        for where, l1, l2 in penalties(session.config)
        if where == place
    )
    return {
        "layer": layer,
        "unit": index,
        "input": source,
        "value": number(value),
        "gradient": number(float(seen.weights[layer][index, source]) + penalty),
        "penalty": number(penalty),
        "batch": len(rows),
        "terms": [
            {"example": int(rows[k]), "delta": number(deltas[k]), "value": number(inputs[k])}
            for k in _largest(deltas * inputs)
        ],
    }


def _copy(session: Session) -> Any:
    """The model in float64 without dropout, whose masks would be drawn again at each evaluation."""
    model = copy.deepcopy(session.model).double()
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    return model


def _penalized(loss: Any, session: Session, weight_at: Callable[[int], Any]) -> Any:
    """The loss with L1 and L2 of each layer that has them."""
    for place, l1, l2 in penalties(session.config):
        w = weight_at(place)
        loss = loss + l1 * abs(w).sum() + l2 * (w * w).sum()
    return loss


def check(session: Session) -> dict[str, Any]:
    """Gradient checking of the present state on the next batch: every parameter against central differences."""
    model = _copy(session)
    named = dict(model.named_parameters())
    rows = session.space["batch_of"](session.step)
    x = tg.asarray(session.x[rows].astype(np.float64))
    y = session.y[rows]
    y = tg.asarray(y.astype(np.float64) if y.dtype.kind == "f" else y)

    def cost(*values: Any) -> Any:
        out = func.functional_call(model, dict(zip(named, values)), x)
        loss = session.space["loss_of"](out, y)
        return _penalized(loss, session, lambda place: values[list(named).index(f"{place}.weight")])

    values = [tg.Tensor(p.data, requires_grad=True, name=name) for name, p in named.items()]
    fast = sum(p.data.size for p in values) > 400
    with np.errstate(all="ignore"):
        report = gradcheck(cost, values, fast=fast, raise_exception=False)
    return {
        "passed": bool(report),
        "text": str(report),
        "count": report.checked,
        "error": number(max(report.errors.values(), default=0.0)),
    }


def diagnosis(session: Session) -> list[dict[str, str]]:
    """The problems of the run so far in words, each with its evidence and advice; none for a healthy run."""
    epochs = []
    for i, m in enumerate(session.measured[1:]):
        row = {"epoch": i + 1, "loss": m.train_loss, "dev_loss": m.dev_loss, "lr": session.config.rate}
        if session.config.classes:
            row |= {"accuracy": m.train_accuracy, "dev_accuracy": m.dev_accuracy}
        epochs.append(row)
    if not epochs:
        return []
    monitor = Monitor()
    monitor.steps.append(session.step)
    for i, layer in enumerate(session.layers()):
        name = f"layer {i + 1}"
        missing = float("nan")
        monitor.gradients[f"{name} weight"] = [
            {
                "norm": missing if layer["norm"] is None else layer["norm"],
                "ratio": missing if layer["ratio"] is None else layer["ratio"],
            }
        ]
        monitor.activations[name] = [{"dead": layer["dead"] / layer["units"]}]
    return [finding._asdict() for finding in diagnose(History(epochs), monitor)]


def rates(session: Session) -> dict[str, Any]:
    """The learning-rate range test from the present weights: rates, smoothed losses, the suggested rate."""
    model = copy.deepcopy(session.model)
    kind = type(session.optimizer)
    momentum = {"momentum": 0.9} if session.config.optimizer == "momentum" else {}
    make: Any = optim.SGD if kind is optim.SGD else kind

    def cost(out: Any, y: Any) -> Any:
        loss = session.space["loss_of"](out, y)
        return _penalized(loss, session, lambda place: model[place].weight)

    trainer = Trainer(
        model,
        cost,
        make(model.parameters(), lr=session.config.rate, **momentum),
        progress="off",
        allow_nan=True,
        compile=False,
    )
    rows = session.train_rows
    data = TensorDataset(session.x[rows], session.y[rows])
    found = find_rate(trainer, data, 1e-5, 10.0, 80, batch_size=session.config.batch, rng=session.config.seed)
    return {
        "rates": found.rates,
        "losses": [number(loss) for loss in found.smooth],
        "suggestion": found.suggestion,
    }


def surface(sessions: Sequence[Session], run: int) -> dict[str, Any]:
    """A run's training loss over the plane in which the weights moved most, and the runs' paths in this plane.

    The axes are the first two principal components of the weights along the paths, from where the run is now. Runs
    of networks with other shapes are left out. Raises ValueRangeError before the first steps.
    """
    session = sessions[run]
    now = _vector(session.model.state_dict(), session)
    shapes = [p.shape for p in session.model.parameters()]
    same = [s for s in sessions if [p.shape for p in s.model.parameters()] == shapes]
    paths = [s.path(partial(_vector, session=s)) for s in same]
    moved = np.concatenate(paths) - now
    moved = np.where(np.isfinite(moved), moved, 0.0)
    if len(moved) < 3 or not moved.any():
        raise ValueRangeError("surface: expected a run of two epochs or more, got one that has hardly begun")
    _, sizes, axes = np.linalg.svd(moved, full_matrices=False)
    flat = [(path - now) @ axes[:2].T for path in paths]
    every = moved @ axes[:2].T
    low, high = every.min(0), every.max(0)
    margin = 0.2 * (high - low) + 0.05 * (high - low).max()
    low, high = low - margin, high + margin
    points = np.stack(np.meshgrid(*np.linspace(low, high, SURFACE).T), axis=-1).reshape(-1, 2)
    model = copy.deepcopy(session.model).eval()
    rows = session.train_rows[:200]
    x, y = tg.asarray(session.x[rows]), tg.asarray(session.y[rows])
    losses = []
    with tg.no_grad(), np.errstate(all="ignore"):
        for point in points:
            _put(model, now + point @ axes[:2])
            losses.append(_short(session.space["loss_of"](model(x), y).item()))
    return {
        "size": SURFACE,
        "losses": losses,
        "extent": [_short(value) for value in (low[0], high[0], low[1], high[1])],
        "paths": [[_short(value) for value in path.ravel()] for path in flat],
        "names": [sessions.index(s) for s in same],
        "explained": _short((sizes[:2] ** 2).sum() / (sizes**2).sum()),
    }


def _vector(arrays: Mapping[str, Any], session: Session) -> NDArray:
    """The parameters among these arrays, one after the other."""
    names = [name for name, _ in session.model.named_parameters()]
    return np.concatenate([np.asarray(arrays[name], np.float64).ravel() for name in names])


def _put(model: Any, values: NDArray) -> None:
    at = 0
    for p in model.parameters():
        p.data[...] = values[at : at + p.data.size].reshape(p.shape)
        at += p.data.size


def _short(value: float) -> float | None:
    return number(float(f"{value:.4g}"))


def graph(session: Session) -> str:
    """The page with the graph of one example's loss and the player of its backward pass."""
    model = copy.deepcopy(session.model)
    for p in model.parameters():
        p.grad = None
    row = session.space["batch_of"](session.step)[:1]
    model.eval()
    x = tg.Tensor(session.x[row], name="x")
    loss = session.space["loss_of"](model(x), tg.asarray(session.y[row]))
    return draw(loss, model, names={"x": x, "loss": loss}).html()
