"""When a Trainer's steps and evaluations run as compiled programs, and the functions that are compiled.

Whether a program pays is decided from what is planned and from the step itself, never from a clock: the same run, also
one that is resumed from a checkpoint, has to compute the same bits every time, and a program's differ from eager's in
the last place. For the same reason a program is made, compared, and used within one call: see Compiled.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from importlib.util import find_spec
from math import prod
from typing import TYPE_CHECKING, Any

from tinygrad_dl import Tensor
from tinygrad_dl.errors import DTypeError, ShapeError
from tinygrad_dl.modes import effect

if TYPE_CHECKING:
    from tinygrad_dl.compiler.lowered import Lowered

# Estimates in seconds, of one thread of a usual processor. They are right within a factor of two, rather too low where
# they are gains and too high where they are costs. To measure them again: time eager and compiled steps of some models.
CALL = 9e-6  # that a program gains for each operation, and for its rules
ELEMENT = 2.5e-10  # that it gains for each element of a primitive; products are BLAS in both
EAGER_ELEMENT, PRODUCT = 5e-10, 2e-11  # of eager, for each element, and each multiplication of a product
MAKING, PRIMITIVE = 0.07, 0.0007  # of a program without stored code, and for each of its primitives
RUNS = 6  # eager steps while a program is made and compared

# What is gained in the calls that are planned has to be so many times what making the program takes.
GAIN = 1.5
PROGRAMS = 4  # that are made of one function: batches of further sizes are run eagerly
REMEMBERED = 256  # shapes of batches for which it is known that no program pays


class NotFinite(Exception):
    """A step ended before the update, since its loss is nan or infinite: `value`."""

    def __init__(self, value: float) -> None:
        super().__init__(value)
        self.value = value


def scalar(loss: Any) -> Tensor:
    """The loss of a batch, if it is a Tensor of one element. Raises DTypeError, ShapeError."""
    if not isinstance(loss, Tensor):
        raise DTypeError(
            f"Trainer: loss: expected a function that returns a Tensor, got {type(loss).__name__}"
        )
    if loss.size != 1:
        raise ShapeError(
            f"Trainer: loss: expected one number per batch, got shape {loss.shape}. Take its mean?"
        )
    return loss


def _refuse_infinite(loss: Tensor) -> None:
    value = float(loss.item())
    if not -float("inf") < value < float("inf"):
        raise NotFinite(value)


def _detached(x: Any) -> Any:
    return x.detach() if isinstance(x, Tensor) else x


def step_of(
    model: Callable[..., Any],
    loss: Callable[[Any, Any], Any],
    optimizer: Any,
    changes: Sequence[Callable[[Any], Any]] | None,
    allow_nan: bool,
) -> Callable[..., Any]:
    """A training step as a function of a batch: output, loss, and what `changes` of the gradients returned.

    With `changes` None it ends after the backward pass.
    """

    def step(*batch: Any) -> tuple[Any, ...]:
        *inputs, target = batch
        optimizer.zero_grad()
        output = model(*inputs)
        value = scalar(loss(output, target))
        value.backward()
        if not allow_nan:
            effect(_refuse_infinite, value.detach())
        found = []
        if changes is not None:
            found = [change(model) for change in changes]
            optimizer.step()
        return _detached(output), value.detach(), *found

    return step


def update_of(optimizer: Any) -> Callable[[], None]:
    """The update alone."""

    def update() -> None:
        optimizer.step()

    return update


def evaluation_of(model: Callable[..., Any], loss: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    """Output and loss of a batch."""

    def evaluate(*batch: Any) -> tuple[Any, Any]:
        *inputs, target = batch
        output = model(*inputs)
        return output, scalar(loss(output, target))

    return evaluate


def prediction_of(model: Callable[..., Any]) -> Callable[..., Any]:
    """The output for a batch of inputs."""

    def predict(*inputs: Any) -> Any:
        return model(*inputs)

    return predict


class Programs:
    """A function that is compiled if `planned` calls of it are worth it, or if that is asked for (`always`).

    `passes`: how often it goes through the model: 2 for a step (forward and backward), 1 for a prediction.
    """

    def __init__(
        self, function: Callable[..., Any], roots: Sequence[Any], always: bool, passes: int = 2
    ) -> None:
        self.function, self.roots, self.always, self.passes = function, roots, always, passes
        self.compiled: Any = None
        self.made = 0
        self._attempts = 0
        self._planned = 0
        self._taken: set[Any] = set()  # shapes of a batch that are left to the compiler
        self._refused: dict[Any, int] = {}  # shapes -> up to how many planned calls they are run eagerly

    def __call__(self, planned: int, *batch: Any) -> Any:
        """Call the function, of whose kind `planned` calls are expected."""
        shapes = tuple([getattr(x, "shape", None) for x in batch])
        if shapes not in self._taken and not self.always:
            if self._refused.get(shapes, -1) >= planned or not self._may_pay(planned, batch):
                self._refuse(shapes, planned)
                return self.function(*batch) if self.compiled is None else self.compiled._eagerly(batch, {})
            self._taken.add(shapes)
            self._attempts += 1
        if self.compiled is None:
            self._compile()
        assert self.compiled is not None
        self._planned = planned
        result = self.compiled(*batch)
        if self.compiled.given_up and not self.always:
            self.compiled = None
            self._taken.clear()
            self._refuse(shapes, planned)
        return result

    def _refuse(self, shapes: Any, planned: int) -> None:
        if len(self._refused) >= REMEMBERED:
            self._refused.clear()
        self._refused[shapes] = planned

    def _compile(self) -> None:
        from tinygrad_dl.compiler.compiled import Compiled  # only here: it takes time to import

        self.compiled = Compiled(self.function, False, "auto", self._worth, not self.always)
        self.compiled._reach.add_reachable(self.roots)

    def _may_pay(self, planned: int, batch: Sequence[Any]) -> bool:
        """Whether calls are worth a program, by what can be told without recording one: that takes many steps' time."""
        if self.made >= PROGRAMS or self._attempts >= 2 * PROGRAMS or find_spec("llvmlite") is None:
            return False
        calls, made, weights = self._sizes(batch)
        primitives = 8 * calls
        elements = (5 * self.passes * made) + (4 * weights if self.passes != 1 else 0)
        rows = batch[0].shape[0] if batch and getattr(batch[0], "shape", ()) else 1
        products = 1.5 * self.passes * weights * rows
        eager = 2 * CALL * calls + EAGER_ELEMENT * elements + PRODUCT * products
        making = MAKING + PRIMITIVE * primitives + RUNS * eager
        return planned * (CALL * calls + ELEMENT * elements) > GAIN * making

    def _sizes(self, batch: Sequence[Any]) -> tuple[int, int, int]:
        """About how many operations and rules there are, and numbers in the layers' results and in parameters."""
        modules = [m for root in self.roots if hasattr(root, "modules") for m in root.modules()]
        layers = [m for m in modules if not any(True for _ in m.children())]
        weights = sum(p.size for root in self.roots if hasattr(root, "parameters") for p in root.parameters())
        shape: tuple[int, ...] = getattr(batch[0], "shape", ()) if batch else ()
        rows = shape[0] if shape else 1
        positions, channels, made = rows * prod(shape[2:]), shape[1] if len(shape) > 1 else 1, 0
        for layer in layers:
            shapes = [p.shape for p in layer.parameters()]
            if type(layer).__name__ == "Flatten":
                positions, channels = rows, channels * positions // max(rows, 1)
            channels = next((s[0] for s in shapes if len(s) > 1), channels)
            stride = getattr(layer, "stride", None) or getattr(layer, "kernel_size", None) or 1
            axes = max(1, len(shape) - 2)
            positions = max(rows, positions // (stride**axes if isinstance(stride, int) else prod(stride)))
            made += positions * channels
        return self.passes * len(layers) + 1, made, weights

    def _worth(self, lowered: Lowered) -> str:
        if self.always:
            return ""
        gain, making = estimated(lowered)
        if self._planned * gain <= GAIN * making:
            return "what the planned calls gain is less than it takes to make a program"
        self.made += 1
        return ""


def estimated(lowered: Lowered) -> tuple[float, float]:
    """About what a program of a captured function gains in a call, and what it takes to make it, in seconds."""
    from tinygrad_dl.compiler.program import CONVOLUTIONS, VIEW, Call, Prim, Vjp
    from tinygrad_dl.compiler.windows import multiply_adds

    calls = sum(isinstance(step, (Call, Vjp)) for step in lowered.program.steps) + 1
    prims = [step for step in lowered.steps if isinstance(step, Prim)]
    elements = products = 0
    for prim in prims:
        products += multiply_adds(prim)
        if prim.kind not in ("matmul", *VIEW) and prim.kind not in CONVOLUTIONS:
            elements += max((v.size for v in (*prim.reads(), *prim.writes())), default=0)
    eager = 2 * CALL * calls + EAGER_ELEMENT * elements + PRODUCT * products
    return CALL * calls + ELEMENT * elements, MAKING + PRIMITIVE * len(prims) + RUNS * eager
