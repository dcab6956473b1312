"""Weights computed from other parameters before each forward: weight and spectral normalization."""

from __future__ import annotations

from typing import Any

from tinygrad_dl.arguments import Count, NonNegative, checked
from tinygrad_dl.config import default_rng
from tinygrad_dl.errors import GraphError, ShapeError, ValueRangeError
from tinygrad_dl.modes import effect
from tinygrad_dl.nn.module import M, Module
from tinygrad_dl.nn.parameter import Parameter
from tinygrad_dl.nn.utils.weight_norms import (
    as_matrix,
    divide_by_sigma,
    output_axis,
    power_iteration,
    random_unit_vector,
    slice_norms,
)
from tinygrad_dl.typing import RandomLike


def _store_weight(module: Module, name: str, weight: Any) -> None:
    # What a compiled step computes lies in memory that it uses again.
    setattr(module, name, weight if weight._data.base is None else weight.copy())


class Reparametrization:
    """A forward pre-hook that computes the attribute `name` of a module from other parameters."""

    def __init__(self, name: str) -> None:
        self.name = name

    def compute(self, module: Module) -> Any:
        """The weight computed from the parameters that replace it, which every subclass defines."""
        raise GraphError(f"{type(self).__name__} does not define compute")

    def __call__(self, module: Module, args: Any) -> None:
        effect(_store_weight, module, self.name, self.compute(module))

    @classmethod
    def of(cls, module: Module, name: str) -> Reparametrization | None:
        """The reparametrization of this kind that a module has for a weight."""
        hooks = module._hooks.of["before"].values() if module._hooks is not None else ()
        return next((hook for hook, _ in hooks if isinstance(hook, cls) and hook.name == name), None)

    def attach(self, module: Module) -> None:
        """Register the hook and compute the weight for the first time."""
        delattr(module, self.name)
        setattr(module, self.name, self.compute(module))
        module._computed = (*module._computed, self.name)
        module.register_forward_pre_hook(self)

    def detach(self, module: Module, names: tuple[str, ...]) -> None:
        """Make the weight a parameter again, with its present value."""
        value = self.compute(module)
        for suffix in names:
            delattr(module, f"{self.name}_{suffix}")
        delattr(module, self.name)
        setattr(module, self.name, Parameter(value.detach()))
        module._computed = tuple(name for name in module._computed if name != self.name)
        hooks = module._hooks.of["before"]
        for key in [key for key, (hook, _) in hooks.items() if hook is self]:
            del hooks[key]
        # Without hooks the attribute is None again, which calls check for.
        if not any(module._hooks.of.values()):
            module._hooks = None


def _weight(what: str, module: Module, name: str) -> Parameter:
    weight = getattr(module, name, None)
    if not isinstance(weight, Parameter):
        raise ValueRangeError(f"{what}: {type(module).__name__} has no parameter {name!r}")
    return weight


class WeightNorm(Reparametrization):
    """weight = g * v / |v|, the norm over all axes but `dim`."""

    def __init__(self, name: str, dim: int | None) -> None:
        super().__init__(name)
        self.dim = dim

    def compute(self, module: Module) -> Any:
        """The weight."""
        g, v = getattr(module, f"{self.name}_g"), getattr(module, f"{self.name}_v")
        return v * (g / slice_norms(v, self.dim))


@checked
def weight_norm(module: M, name: str = "weight", dim: int | None = 0) -> M:
    """Learn a weight's norm and direction separately: name_g and name_v replace the parameter.

    weight = g * v / |v|, one norm for each slice along `dim`, or one for all with dim=None.
    Source: Salimans and Kingma 2016.
    >>> from tinygrad_dl.nn import Linear
    >>> sorted(weight_norm(Linear(2, 3)).state_dict())
    ['bias', 'weight_g', 'weight_v']
    """
    weight = _weight("weight_norm", module, name)
    if dim is not None and not -weight.ndim <= dim < weight.ndim:
        raise ShapeError(
            f"weight_norm: expected dim to be an axis of a weight of shape {weight.shape}, got {dim}"
        )
    kind = WeightNorm(name, None if dim in (None, -1) else dim)
    setattr(module, f"{name}_g", Parameter(slice_norms(weight.detach(), kind.dim)))
    setattr(module, f"{name}_v", Parameter(weight.detach()))
    kind.attach(module)
    return module


@checked
def remove_weight_norm(module: M, name: str = "weight") -> M:
    """Undo weight_norm; the weight keeps its present value."""
    kind = WeightNorm.of(module, name)
    if kind is None:
        raise ValueRangeError(f"remove_weight_norm: {type(module).__name__}.{name} has no weight_norm")
    kind.detach(module, ("g", "v"))
    return module


class SpectralNorm(Reparametrization):
    """weight = orig / sigma, sigma its largest singular value, tracked by power iteration."""

    def __init__(self, name: str, iterations: int, eps: float, dim: int) -> None:
        super().__init__(name)
        self.iterations, self.eps, self.dim = iterations, eps, dim

    def vectors(self, module: Module) -> tuple[Any, Any]:
        """The buffers u and v."""
        return getattr(module, f"{self.name}_u"), getattr(module, f"{self.name}_v")

    def iterate(self, module: Module, times: int) -> None:
        """Move u and v toward the first singular vectors, in place."""
        weight = getattr(module, f"{self.name}_orig")
        power_iteration(weight, self.dim, *self.vectors(module), times, self.eps)

    def compute(self, module: Module) -> Any:
        """The weight; in training after a power iteration."""
        if module.training:
            self.iterate(module, self.iterations)
        return divide_by_sigma(getattr(module, f"{self.name}_orig"), self.dim, *self.vectors(module))


@checked
def spectral_norm(
    module: M,
    name: str = "weight",
    n_power_iterations: Count = 1,
    eps: NonNegative = 1e-12,
    dim: int | None = None,
    *,
    rng: RandomLike = None,
) -> M:
    """Divide a weight by its largest singular value: as a matrix it then stretches no vector.

    name_orig is the parameter; name_u and name_v are buffers with the singular vectors, tracked by power iteration
    in training. `dim`: the axis of the outputs (0; 1 for transposed convolutions).   Source: Miyato and others 2018.
    >>> from tinygrad_dl.nn import Linear
    >>> sorted(spectral_norm(Linear(2, 3)).state_dict())
    ['bias', 'weight_orig', 'weight_u', 'weight_v']
    """
    weight = _weight("spectral_norm", module, name)
    if n_power_iterations < 1:
        raise ValueRangeError(
            f"spectral_norm: expected n_power_iterations of at least 1, got {n_power_iterations!r}"
        )
    kind = SpectralNorm(name, n_power_iterations, eps, output_axis(module) if dim is None else dim)
    setattr(module, f"{name}_orig", Parameter(weight.detach()))
    generator = default_rng(rng)
    for suffix, size in zip("uv", as_matrix(weight._data, kind.dim).shape):
        module.register_buffer(f"{name}_{suffix}", random_unit_vector(size, weight, eps, generator))
    # As many iterations as PyTorch's parametrization starts with, so that the first forward is close to normalized.
    kind.iterate(module, 15)
    kind.attach(module)
    return module


@checked
def remove_spectral_norm(module: M, name: str = "weight") -> M:
    """Undo spectral_norm; the weight keeps its present value."""
    kind = SpectralNorm.of(module, name)
    if kind is None:
        raise ValueRangeError(f"remove_spectral_norm: {type(module).__name__}.{name} has no spectral_norm")
    kind.detach(module, ("orig", "u", "v"))
    return module
