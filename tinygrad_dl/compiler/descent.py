"""How optimizers' steps are written in the source: each as the formulas of its paper.

An entry gives the lines for one parameter: {p} is the parameter, {g} its gradient, and {m}, {v}, ... its averages. The
options that the lines name become arguments of the program, and so does t, the number of steps.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tinygrad_dl.compiler.program import NotLowered

# Up to so many parameters of several lines each are written out; more in a loop.
WRITTEN_OUT = 6

Lines = list[str]


def _gradient(group: dict[str, Any]) -> tuple[Lines, str]:
    """The lines before an update, and the gradient that it descends along."""
    sign = "-" if group.get("maximize") else ""
    if group.get("decoupled_weight_decay"):
        lines = ["{p} *= 1 - [lr] * [weight_decay]"] if group["weight_decay"] else []
        return lines + ([f"{{g}} = {sign}{{g}}"] if sign else []), "{g}"
    if group["weight_decay"]:
        return [f"{{g}} = {sign}{{g}} + [weight_decay] * {{p}}"], "{g}"
    return ([f"{{g}} = {sign}{{g}}"] if sign else []), "{g}"


def _sgd(group: dict[str, Any]) -> Lines:
    lines, g = _gradient(group)
    if not group["momentum"]:
        return [*lines, f"{{p}} -= [lr] * {g}"]
    share = "(1 - [dampening]) * " if group["dampening"] else ""
    lines.append(f"{{momentum_buffer}}[...] = [momentum] * {{momentum_buffer}} + {share}{g}")
    if group["nesterov"]:
        return [*lines, f"{{p}} -= [lr] * ({g} + [momentum] * {{momentum_buffer}})"]
    return [*lines, "{p} -= [lr] * {momentum_buffer}"]


def _adam(group: dict[str, Any]) -> Lines:
    lines, g = _gradient(group)
    lines += [
        f"{{exp_avg}}[...] = [beta1] * {{exp_avg}} + (1 - [beta1]) * {g}",
        f"{{exp_avg_sq}}[...] = [beta2] * {{exp_avg_sq}} + (1 - [beta2]) * {g}**2",
    ]
    v = "{exp_avg_sq}"
    if group["amsgrad"]:
        v = "{max_exp_avg_sq}"
        lines.append(f"{v}[...] = np.maximum({v}, {{exp_avg_sq}})")
    step = f"[lr] * {{exp_avg}} / (1 - [beta1]**[t]) / (np.sqrt({v} / (1 - [beta2]**[t])) + [eps])"
    return [*lines, f"{{p}} -= {step}"]


def _rmsprop(group: dict[str, Any]) -> Lines:
    if group["centered"]:
        raise NotLowered
    lines, g = _gradient(group)
    lines.append(f"{{square_avg}}[...] = [alpha] * {{square_avg}} + (1 - [alpha]) * {g}**2")
    step = f"{g} / (np.sqrt({{square_avg}}) + [eps])"
    if group["momentum"] <= 0:
        return [*lines, f"{{p}} -= [lr] * {step}"]
    lines.append(f"{{momentum_buffer}}[...] = [momentum] * {{momentum_buffer}} + {step}")
    return [*lines, "{p} -= [lr] * {momentum_buffer}"]


def _adagrad(group: dict[str, Any]) -> Lines:
    lines, g = _gradient(group)
    rate = "[lr] / (1 + ([t] - 1) * [lr_decay])" if group["lr_decay"] else "[lr]"
    return [*lines, f"{{sum}} += {g}**2", f"{{p}} -= {rate} * {g} / (np.sqrt({{sum}}) + [eps])"]


def _adamax(group: dict[str, Any]) -> Lines:
    lines, g = _gradient(group)
    return [
        *lines,
        f"{{exp_avg}}[...] = [beta1] * {{exp_avg}} + (1 - [beta1]) * {g}",
        f"{{exp_inf}}[...] = np.maximum([beta2] * {{exp_inf}}, np.abs({g}) + [eps])",
        "{p} -= [lr] / (1 - [beta1]**[t]) * {exp_avg} / {exp_inf}",
    ]


UPDATES: dict[str, Callable[[dict[str, Any]], Lines]] = {
    "SGD": _sgd, "Adam": _adam, "AdamW": _adam, "RMSprop": _rmsprop, "Adagrad": _adagrad,
    "Adamax": _adamax,
}  # fmt: skip


def lines_of(optimizer: Any, group: dict[str, Any]) -> Lines:
    """The lines for one parameter of a group; raises NotLowered for an optimizer that has no entry."""
    kind = type(optimizer)
    if kind.__module__.partition(".")[0] != "tinygrad_dl" or kind.__name__ not in UPDATES:
        raise NotLowered(kind.__name__)
    return UPDATES[kind.__name__](group)


def option(group: dict[str, Any], name: str) -> float:
    """The value of what a line names in brackets; beta1 and beta2 are the two of `betas`."""
    return float(group["betas"][int(name[-1]) - 1] if name in ("beta1", "beta2") else group[name])
