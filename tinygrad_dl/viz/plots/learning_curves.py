"""Learning curves."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tinygrad_dl.arguments import checked
from tinygrad_dl.directions import Mode, higher_is_better
from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.typing import NDArray
from tinygrad_dl.viz.plots.axes import COLORS, legend, new_figure, plain, tidy

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


class Run(Protocol):
    """What maps the names of metrics to a value per epoch: a train.History, a dict of lists."""

    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: object, /) -> bool: ...
    def __iter__(self) -> Iterator[Any]: ...


@checked
def plot_history(
    history: Run,
    *others: Run,
    names: Sequence[str] | None = None,
    labels: Sequence[str] | None = None,
    log: bool | None = None,
    ax: Axes | None = None,
    mode: Mode | Mapping[str, Mode] | None = None,
) -> Figure:
    """Plot the metrics of a run over its epochs, training and dev set together, the best epoch marked.

    `history`, `others`: runs (History, or mappings name -> list); several have different colors and `labels`.
    `names`: which metrics, by default all, each on axes of its own. `log`: a logarithmic axis, by default for
    losses that fall by a factor of thirty. `ax`: axes for a single metric. `mode`: "max" or "min", or a dict by
    name, for metrics whose name does not tell which values are better; no best epoch is marked without. Returns
    the figure. Raises ValueRangeError, DTypeError.

    >>> figure = plot_history({"loss": [1.0, 0.5, 0.4], "dev_loss": [1.1, 0.7, 0.8]})
    >>> [ax.get_ylabel() for ax in figure.axes]
    ['loss']
    """
    runs = [history, *others]
    for run in runs:
        lists = not isinstance(run, Mapping) or all(_length(run[name]) for name in run)
        if (
            not lists
            or not (hasattr(run, "keys") or hasattr(run, "names"))
            or not hasattr(run, "__getitem__")
        ):
            raise DTypeError(
                "plot_history: expected a train.History or a dict of lists such as {'loss': [1.0, 0.5]}, got "
                f"{type(run).__name__}"
            )
    modes: Mapping[str, Mode] = mode if isinstance(mode, Mapping) else {}
    if mode is not None and not isinstance(mode, Mapping):
        modes = dict.fromkeys(names or _metrics(history), mode)
    for value in modes.values():
        if value not in ("max", "min"):
            raise ValueRangeError(f'plot_history: mode: expected "max" or "min", got {value!r}')
    wanted = list(names or _metrics(runs[0]))
    if labels is not None and len(labels) != len(runs):
        raise ValueRangeError(f"plot_history: labels: expected {len(runs)}, one per run, got {len(labels)}")
    for name in wanted:
        for run in runs:
            if name in run and not _is_numeric(run[name]):
                raise DTypeError(f"plot_history: {name}: expected numbers, got {_first(run[name])!r}")
        if not any(key in run for run in runs for key in (name, f"dev_{name}")):
            raise ValueRangeError(
                f"plot_history: names: expected one of {', '.join(_metrics(history))}, got {name!r}"
            )
    if not wanted or not _length(runs[0]["loss" if "loss" in runs[0] else wanted[0]]):
        raise ValueRangeError("plot_history: expected a history of at least one epoch, got an empty one")
    if ax is not None and len(wanted) > 1:
        raise ValueRangeError(
            f"plot_history: expected one metric for ax, got {len(wanted)}. Choose one with names=: {', '.join(wanted)}"
        )
    figure: Any  # of given axes, as matplotlib types it, perhaps a SubFigure
    if ax is None:
        figure = new_figure("plot_history", (4.8 * len(wanted), 3.6))
        all_axes = [figure.add_subplot(1, len(wanted), i + 1) for i in range(len(wanted))]
    else:
        figure, all_axes = ax.figure, [ax]
    titles = list(labels or ()) or [getattr(run, "name", "") or f"run {i}" for i, run in enumerate(runs, 1)]
    for axes, name in zip(all_axes, wanted):
        for i, run in enumerate(runs):
            _curve(axes, run, name, titles[i] if len(runs) > 1 else "", i, len(runs) > 1, modes.get(name))
        low, high = _range(runs, name)
        if log or (log is None and name.endswith("loss") and low > 0 and high / low > 30):
            axes.set_yscale("log")
        axes.set(xlabel="epoch", ylabel=name.replace("_", " "))
        axes.locator_params(axis="x", integer=True)
        tidy(axes)
        named = [str(line.get_label()) for line in axes.lines]
        legend(axes, [label for label in named if label.startswith(tuple(titles))], frameon=False)
        plain(axes.yaxis.label)
    return figure


def _metrics(run: Run) -> list[str]:
    names = list(getattr(run, "names", None) or run)
    hidden = {"epoch", "lr", "seconds"}
    return [
        name
        for name in names
        if name not in hidden and not str(name).startswith("dev_") and _is_numeric(run[name])
    ]


def _is_numeric(values: object) -> bool:
    try:
        return np.asarray(values, float).ndim == 1
    except (TypeError, ValueError):
        return False


def _first(values: Any) -> Any:
    return next((v for v in values if not isinstance(v, (int, float))), values)


def _length(values: Any) -> int:
    return len(values) if hasattr(values, "__len__") else 0


def _numbers(run: Run) -> NDArray:
    if "epoch" in run:
        return np.asarray(run["epoch"])
    return np.arange(1, len(run[next(iter(run))]) + 1)


def _range(runs: Sequence[Run], name: str) -> tuple[float, float]:
    both = [key for key in (name, f"dev_{name}") for run in runs if key in run]
    values = np.concatenate([np.asarray(run[key], float) for run in runs for key in both if key in run])
    values = values[np.isfinite(values)]
    return (float(values.min()), float(values.max())) if len(values) else (0.0, 0.0)


def _curve(
    ax: Axes, run: Run, name: str, title: str, i: int, several: bool, mode: Mode | None = None
) -> None:
    """The curves of one metric of one run: training set, and dev set with its best epoch marked."""
    color, dev_color = (COLORS[i % len(COLORS)],) * 2 if several else COLORS[:2]
    epochs = _numbers(run)
    prefix = f"{title}: " if title else ""
    marker = "o" if len(epochs) == 1 else None
    if name in run:
        # The axis has a name such as dev_loss already.
        label = (title or "dev") if name.startswith("dev_") else f"{prefix}train"
        ax.plot(epochs, run[name], color=color, marker=marker, label=label, alpha=0.9)
    dev = f"dev_{name}"
    if dev not in run:
        return
    values = np.asarray(run[dev], float)
    label = f"{prefix}dev"
    rises = getattr(run, "higher_is_better", higher_is_better)(name, mode)
    if rises is not None and np.isfinite(values).any():
        best = int(np.nanargmax(values) if rises else np.nanargmin(values))
        label += f", best {values[best]:.4g} in epoch {epochs[best]}"
        ax.plot(epochs[best], values[best], "o", color=dev_color, markersize=7, fillstyle="none")
    style = "--" if several else "-"
    ax.plot(epochs, values, color=dev_color, marker=marker, label=label, linestyle=style)
