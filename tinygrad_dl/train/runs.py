"""What the tools that record runs are told of one: its hyperparameters, and the names of its values."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tinygrad_dl.nn.summary import parameter_count

if TYPE_CHECKING:
    from tinygrad_dl.train.trainer import Trainer


def hyperparameters_of(trainer: Trainer) -> dict[str, Any]:
    """The settings of a run that are known: of the optimizer, the loss, the batches and the model."""
    found: dict[str, Any] = {
        "model": type(trainer.model).__name__,
        "parameters": parameter_count(trainer.model),
        "loss": getattr(trainer.loss, "__name__", type(trainer.loss).__name__),
        "optimizer": type(trainer.optimizer).__name__,
        "epochs": trainer.first_epoch + trainer.epochs,
    }
    batch_size = getattr(trainer.loader, "batch_size", None)
    if batch_size is not None:
        found["batch_size"] = int(batch_size)
    for name, value in trainer.optimizer.param_groups[0].items():
        if name != "params" and value is not None:
            # Some optimizers keep a rate in a Tensor.
            value = value.item() if hasattr(value, "item") else value
            found[name] = value if isinstance(value, (bool, int, float, str)) else str(value)
    return found


def tag_of(name: str) -> str:
    """The name of a value of the history as a chart and a line in it: "dev_loss" is "loss/dev"."""
    return f"{name[4:]}/dev" if name.startswith("dev_") else f"{name}/train"
