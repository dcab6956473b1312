"""torch.amp: everything is computed in float32, so that autocast and scaling change nothing."""

from __future__ import annotations

from typing import Any


class autocast:
    """Nothing: a context manager and a decorator."""

    def __init__(
        self, device_type: Any = "cpu", dtype: Any = None, enabled: bool = True, cache_enabled: Any = None
    ) -> None:
        pass

    def __enter__(self) -> autocast:
        return self

    def __exit__(self, *exc: object) -> None:
        pass

    def __call__(self, function: Any) -> Any:
        return function


class GradScaler:
    """Passes losses and steps on unchanged."""

    def __init__(
        self,
        device: Any = "cuda",
        init_scale: float = 65536.0,
        growth_factor: float = 2.0,
        backoff_factor: float = 0.5,
        growth_interval: int = 2000,
        enabled: bool = True,
    ) -> None:
        pass

    def scale(self, outputs: Any) -> Any:
        """The outputs."""
        return outputs

    def unscale_(self, optimizer: Any) -> None:
        """Nothing."""

    def step(self, optimizer: Any, *args: Any, **kwargs: Any) -> Any:
        """The optimizer's step."""
        return optimizer.step(*args, **kwargs)

    def update(self, new_scale: Any = None) -> None:
        """Nothing."""

    def get_scale(self) -> float:
        """1."""
        return 1.0

    def is_enabled(self) -> bool:
        """False."""
        return False

    def state_dict(self) -> dict[str, Any]:
        """Nothing is kept."""
        return {}

    def load_state_dict(self, state_dict: Any) -> None:
        """Nothing."""


def custom_fwd(fwd: Any = None, **kwargs: Any) -> Any:
    """The function."""
    return fwd if fwd is not None else lambda f: f


def custom_bwd(bwd: Any = None, **kwargs: Any) -> Any:
    """The function."""
    return bwd if bwd is not None else lambda f: f
