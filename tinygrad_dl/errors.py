"""Exceptions: each says what was called, what was expected, what it got and what to do."""

from numpy.linalg import LinAlgError


class TinygradError(Exception):
    """Base of every exception that this package raises on purpose."""


class ShapeError(TinygradError, ValueError):
    """Shapes that do not fit together."""


class ValueRangeError(TinygradError, ValueError):
    """A value outside of what is allowed."""


class DTypeError(TinygradError, TypeError):
    """A dtype or a type that cannot be used here."""


class IndexRangeError(TinygradError, IndexError):
    """An index that does not fit the array."""


class AxisError(TinygradError, ValueError, IndexError):
    """An axis that the array does not have."""


class MatrixError(TinygradError, LinAlgError):
    """A matrix that the operation cannot work with: not square, singular, not positive definite. A ValueError too."""


class OutOfMemoryError(TinygradError, MemoryError):
    """An array that is larger than the memory that is free."""


class GraphError(TinygradError, RuntimeError):
    """The graph is not in a state that allows the call."""


class UnreadError(GraphError):
    """The values of a Tensor that has others for each example, read inside of func.vmap."""


class UninitializedError(GraphError, ValueError):
    """A parameter of a lazy layer that has no values before the first input."""


class CompileError(TinygradError, RuntimeError):
    """A function that cannot be compiled, where `fullgraph=True` asks for it, or that has not been captured yet."""


class AnomalyError(TinygradError, RuntimeError):
    """A NaN, an infinity or a changed array, found by detect_anomaly."""


class ProcessError(TinygradError, RuntimeError):
    """Processes that end before they have done anything."""


class CommunicationError(TinygradError, RuntimeError):
    """An exchange between the processes of a run that failed: one of them is missing, or has something else."""


class FileFormatError(TinygradError, ValueError):
    """A file that is damaged or of another kind."""


class MissingExtraError(TinygradError, ImportError):
    """An optional package is not installed."""


def missing_extra(package: str, extra: str, what: str) -> MissingExtraError:
    """The error for an absent optional package: what needs it and the command that installs it."""
    return MissingExtraError(
        f"{what} needs the package {package}, which is not installed. "
        f'Install it with: pip install "tinygrad_dl[{extra}]"'
    )
