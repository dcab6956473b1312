"""Modes that record a graph, or do not."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.modes import Mode, is_grad_enabled, modes
from tinygrad_dl.modes import enable_grad as enable_grad
from tinygrad_dl.modes import no_grad as no_grad


class set_grad_enabled(Mode):
    """Record or not: at once when it is called, and as a context manager until the end of the block."""

    setting = "recording"

    def __new__(cls, mode: bool) -> Any:
        return object.__new__(cls)

    def __init__(self, mode: bool) -> None:
        super().__init__()
        self.before, self.value = modes.recording, bool(mode)
        modes.recording = self.value

    def _state(self) -> Any:
        return self.before

    def _fresh(self) -> Any:
        modes.recording, value = self.before, self.value
        made = set_grad_enabled(value)
        return made

    def __call__(self, function: Any) -> Any:
        modes.recording = self.before
        from tinygrad_dl.modes import enable_grad, no_grad

        return (enable_grad if self.value else no_grad)()(function)


class inference_mode(Mode):
    """As no_grad; inference_mode(False) records."""

    setting = "recording"

    def __new__(cls, mode: Any = True) -> Any:
        if callable(mode):
            return no_grad()(mode)
        return object.__new__(cls)

    def __init__(self, mode: Any = True) -> None:
        super().__init__()
        self.value = not mode

    def _fresh(self) -> Any:
        return inference_mode(not self.value)


def is_inference_mode_enabled() -> bool:
    """Whether nothing is recorded."""
    return not is_grad_enabled()
