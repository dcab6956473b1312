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

# Estimates in seconds, of one thread of a usual processor. They are right within a factor of two.
CALL = 8e-6  # of an operation, or of its rules, in eager
ELEMENT = 6e-10  # of a primitive for each element
PRODUCT = 5e-11  # of a product for each multiplication
MODULE = 1e-4  # of a module's call, backward and update, before anything is known of it
MAKING, PRIMITIVE = 0.15, 0.001  # of a program, and for each of its primitives

# A program takes a third to a half of eager's time: so many times the time that it takes to make must be ahead.
GAIN = 2.5
PROGRAMS = 4  # that are made of one function: batches of many sizes are run eagerly


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
    """A function that is compiled if `planned` calls of it are worth it, or if that is asked for (`always`)."""

    def __init__(self, function: Callable[..., Any], roots: Sequence[Any], always: bool) -> None:
        self.function, self.roots, self.always = function, roots, always
        self.compiled: Any = None
        self.made = 0
        self._planned = 0.0
        self._stopped = False

    def __call__(self, planned: int, *batch: Any) -> Any:
        """Call the function, of whose kind `planned` calls are expected."""
        if self.compiled is None:
            if self._stopped or not (self.always or self._may_pay(planned, batch)):
                return self.function(*batch)
            self._compile()
        assert self.compiled is not None
        if self.compiled.given_up and not self.always:
            self._stopped, self.compiled = True, None
            return self.function(*batch)
        self._planned = planned
        return self.compiled(*batch)

    def _compile(self) -> None:
        from tinygrad_dl.compiler.compiled import Compiled  # only here: it takes time to import

        self.compiled = Compiled(self.function, False, "auto", self._worth, not self.always)
        self.compiled._reach.add_reachable(self.roots)

    def _may_pay(self, planned: int, batch: Sequence[Any]) -> bool:
        """Whether the calls may take long enough, by what can be told without recording one."""
        if find_spec("llvmlite") is None:
            return False
        modules = [m for root in self.roots if hasattr(root, "modules") for m in root.modules()]
        weights = sum(p.size for root in self.roots if hasattr(root, "parameters") for p in root.parameters())
        shape = getattr(batch[0], "shape", (1,)) if batch else (1,)
        positions = prod(shape[:1]) * prod(shape[2:]) if batch else 1
        seconds = MODULE * (len(modules) + 2) + (ELEMENT + PRODUCT) * 3 * weights * positions
        return planned * seconds > GAIN * MAKING

    def _worth(self, lowered: Lowered) -> str:
        if self.always:
            return ""
        if self.made >= PROGRAMS:
            return f"there are {PROGRAMS} programs for other batches"
        eager, making = estimated(lowered)
        if self._planned * eager <= GAIN * making:
            return "the calls that are planned take less time in eager than making a program"
        self.made += 1
        return ""


def estimated(lowered: Lowered) -> tuple[float, float]:
    """About how long a captured function takes in eager, and its program to make, in seconds."""
    from tinygrad_dl.compiler.program import VIEW, Call, Prim, Var, Vjp

    eager = CALL * sum(isinstance(step, (Call, Vjp)) for step in lowered.program.steps) + CALL
    prims = [step for step in lowered.steps if isinstance(step, Prim)]
    for prim in prims:
        size = max((x.size for x in (*prim.reads(), *prim.writes())), default=0)
        if prim.kind == "matmul":
            x = prim.inputs[0]
            out = prim.outputs[0]
            if isinstance(x, Var) and out is not None:
                eager += PRODUCT * out.size * x.shape[-1]
        elif prim.kind not in VIEW:
            eager += ELEMENT * size
    return eager, MAKING + PRIMITIVE * len(prims)
