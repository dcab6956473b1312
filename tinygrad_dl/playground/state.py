"""What a run of the playground is: data, network and optimizer, as one value with limits that a link can carry."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any, TypeVar
from urllib.parse import quote, unquote

from tinygrad_dl.errors import DTypeError, ValueRangeError

KINDS = ("circles", "moons", "spirals", "flower", "blobs", "xor", "regression", "digits", "points", "csv")
ACTIVATIONS = ("relu", "tanh", "sigmoid", "leaky_relu", "linear")
INITIALIZATIONS = ("zeros", "large", "xavier", "he")
OPTIMIZERS = ("sgd", "momentum", "adagrad", "rmsprop", "adam")

MAX_LAYERS = 8
MAX_UNITS = 32
MAX_EXAMPLES = 1000
MAX_COLUMNS = 16
MAX_CELLS = 8000
MAX_LABELS = 6
MAX_STEPS = 100_000
MAX_RUNS = 2
MAX_SEED = 2**31 - 1
CLASSES = {"spirals": 3, "blobs": 3, "digits": 10}  # the others have two
T = TypeVar("T")


def real(name: str, value: Any, least: float, most: float) -> float:
    """The value as a float in [least, most]; raises DTypeError or ValueRangeError."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise DTypeError(f"{name}: expected a number, got {shortened(value)}")
    if not least <= value <= most:  # also nan, and integers too large for a float
        raise ValueRangeError(f"{name}: expected a number from {least:g} to {most:g}, got {shortened(value)}")
    return float(value)


def whole(name: str, value: Any, least: int, most: int) -> int:
    """The value as an int in [least, most]; raises DTypeError or ValueRangeError."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        raise DTypeError(f"{name}: expected an integer, got {shortened(value)}")
    if not least <= value <= most:
        raise ValueRangeError(f"{name}: expected an integer from {least} to {most}, got {shortened(value)}")
    return value


def flag(name: str, value: Any) -> bool:
    """The value, if it is true or false; raises DTypeError."""
    if not isinstance(value, bool):
        raise DTypeError(f"{name}: expected true or false, got {shortened(value)}")
    return value


def one_of(name: str, value: Any, allowed: Sequence[str]) -> str:
    """The value, if it is one of the allowed words; raises ValueRangeError."""
    if not isinstance(value, str) or value not in allowed:
        raise ValueRangeError(f"{name}: expected one of {', '.join(allowed)}, got {shortened(value)}")
    return value


def words(name: str, value: Any) -> str:
    """The value, if it is a text; raises DTypeError."""
    if not isinstance(value, str):
        raise DTypeError(f"{name}: expected a text, got {shortened(value)}")
    return value


def shortened(value: Any) -> str:
    """The value's text for a message, not longer than a line."""
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 10**30:
        return "an integer of more than 30 digits"
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."


def build(name: str, kind: type[T], given: Any) -> T:
    """An instance of a dataclass from a JSON object; what is absent has its default, what is unknown is refused."""
    if not isinstance(given, Mapping):
        raise DTypeError(f"{name}: expected an object, got {shortened(given)}")
    known = [f.name for f in fields(kind)]  # type: ignore[arg-type]
    unknown = [key for key in given if key not in known]
    if unknown:
        raise ValueRangeError(f"{name}: expected keys among {', '.join(known)}, got {shortened(unknown[0])}")
    return kind(**given)


@dataclass(frozen=True)
class Layer:
    """A hidden layer: dense, or a convolution with 3x3 windows and 2x2 max pooling."""

    kind: str = "dense"
    units: int = 4
    activation: str = "tanh"
    batch_norm: bool = False
    dropout: float = 0.0
    l1: float = 0.0
    l2: float = 0.0

    def __post_init__(self) -> None:
        checked = {
            "kind": one_of("layer.kind", self.kind, ("dense", "conv")),
            "units": whole("layer.units", self.units, 1, MAX_UNITS),
            "activation": one_of("layer.activation", self.activation, ACTIVATIONS),
            "batch_norm": flag("layer.batch_norm", self.batch_norm),
            "dropout": real("layer.dropout", self.dropout, 0, 0.9),
            "l1": real("layer.l1", self.l1, 0, 1),
            "l2": real("layer.l2", self.l2, 0, 1),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)


@dataclass(frozen=True)
class Table:
    """Rows of numbers from a learner's file, the target last: a class's index, or a number where there are no labels.

    >>> Table(rows=[[1.5, 0], [2.5, 1], [3.5, 0], [4.5, 1]], columns=["x"]).rows[1]
    (2.5, 1.0)
    """

    rows: tuple[tuple[float, ...], ...] = ()
    columns: tuple[str, ...] = ()
    labels: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        columns, labels = (
            _names("columns", self.columns, MAX_COLUMNS),
            _names("labels", self.labels, MAX_LABELS),
        )
        if not isinstance(self.rows, (list, tuple)):
            raise DTypeError(f"table.rows: expected a list of rows, got {shortened(self.rows)}")
        if len(self.rows) > MAX_EXAMPLES or len(self.rows) * len(columns) > MAX_CELLS:
            raise ValueRangeError(
                f"table.rows: expected at most {MAX_EXAMPLES} rows and {MAX_CELLS} numbers, got {len(self.rows)} "
                f"rows of {len(columns)}"
            )
        made = []
        for row in self.rows:
            if not isinstance(row, (list, tuple)) or len(row) != len(columns) + 1:
                raise ValueRangeError(
                    f"table.rows: expected {len(columns) + 1} numbers in a row, got {shortened(row)}"
                )
            *values, answer = row
            last = (
                float(whole("table.rows: class", answer, 0, len(labels) - 1))
                if labels
                else real("table.rows: target", answer, -1e9, 1e9)
            )
            made.append((*(real("table.rows", value, -1e9, 1e9) for value in values), last))
        for name, value in {"rows": tuple(made), "columns": columns, "labels": labels}.items():
            object.__setattr__(self, name, value)

    def as_json(self) -> dict[str, Any]:
        """The table as what JSON can hold."""
        return {
            "rows": [list(row) for row in self.rows],
            "columns": list(self.columns),
            "labels": list(self.labels),
        }


def _names(name: str, given: Any, most: int) -> tuple[str, ...]:
    if not isinstance(given, (list, tuple)) or len(given) > most:
        raise ValueRangeError(
            f"table.{name}: expected a list of at most {most} names, got {shortened(given)}"
        )
    for one in given:
        if not isinstance(one, str) or len(one) > 40:
            raise ValueRangeError(
                f"table.{name}: expected names of at most 40 characters, got {shortened(one)}"
            )
    return tuple(given)


@dataclass(frozen=True)
class Config:
    """Everything that determines a run: the same configuration gives the same numbers.

    Fields out of their limits raise ValueRangeError, fields of another type DTypeError.

    >>> Config(data="moons", layers=({"units": 3},)).layers[0].units
    3
    """

    data: str = "circles"
    points: tuple[tuple[float, float, int], ...] = ()  # drawn by hand: x, y, class; for data="points"
    table: Table = field(default_factory=Table)  # from a file, for data="csv"
    examples: int = 200
    noise: float = 0.1
    train: float = 0.5  # the part of the examples that is trained on
    normalize: bool = True
    layers: tuple[Layer, ...] = field(default_factory=lambda: (Layer(), Layer(units=2)))
    output_l1: float = 0.0
    output_l2: float = 0.0
    initialization: str = "xavier"
    optimizer: str = "adam"
    rate: float = 0.03
    decay: float = 0.0  # rate / (1 + decay * epoch)
    batch_size: int = 10
    seed: int = 0

    def __post_init__(self) -> None:
        checked = {
            "data": one_of("data", self.data, KINDS),
            "points": _points(self.points),
            "table": self.table if isinstance(self.table, Table) else build("table", Table, self.table),
            "examples": whole("examples", self.examples, 12, MAX_EXAMPLES),
            "noise": real("noise", self.noise, 0, 1),
            "train": real("train", self.train, 0.1, 0.9),
            "normalize": flag("normalize", self.normalize),
            "layers": _layers(self.layers),
            "output_l1": real("output_l1", self.output_l1, 0, 1),
            "output_l2": real("output_l2", self.output_l2, 0, 1),
            "initialization": one_of("initialization", self.initialization, INITIALIZATIONS),
            "optimizer": one_of("optimizer", self.optimizer, OPTIMIZERS),
            "rate": real("rate", self.rate, 1e-6, 10),
            "decay": real("decay", self.decay, 0, 10),
            "batch_size": whole("batch_size", self.batch_size, 1, MAX_EXAMPLES),
            "seed": whole("seed", self.seed, 0, MAX_SEED),
        }
        for name, value in checked.items():
            object.__setattr__(self, name, value)
        self._check_together()

    def _check_together(self) -> None:
        kinds = [layer.kind for layer in self.layers]
        convolutions = kinds.count("conv")
        if convolutions and self.data != "digits":
            raise ValueRangeError(
                f"layers: expected dense layers, got a convolution for {self.data}, not images"
            )
        if convolutions > 2 or "conv" in kinds[convolutions:]:
            raise ValueRangeError("layers: expected at most two convolutions, before all dense layers")
        if self.data == "points" and len(self.points) < 4:
            raise ValueRangeError(f"points: expected at least 4 points, got {len(self.points)}")
        if self.data == "csv":
            if len(self.table.rows) < 4:
                raise ValueRangeError(f"table: expected at least 4 rows, got {len(self.table.rows)}")
            if len(self.table.columns) < 1 + bool(self.table.labels) or len(self.table.labels) == 1:
                raise ValueRangeError(
                    "table: expected two columns or more and two classes or more, or one column and a number, got "
                    f"{len(self.table.columns)} columns and {len(self.table.labels)} classes"
                )
        if any(layer.batch_norm for layer in self.layers) and self.batch < 2:
            raise ValueRangeError("batch_size: expected at least 2 with batch normalization, got 1")

    @property
    def count(self) -> int:
        """The number of examples, of which there are as many in each class where the data set asks for it."""
        if self.data in ("points", "csv"):
            return len(self.points if self.data == "points" else self.table.rows)
        if self.data == "spirals":
            return self.examples // 3 * 3
        return self.examples // 2 * 2 if self.data == "flower" else self.examples

    @property
    def training(self) -> int:
        """The number of examples that are trained on; at least one is left for the dev part."""
        return min(max(1, round(self.count * self.train)), self.count - 1)

    @property
    def batch(self) -> int:
        """The number of examples in a step."""
        return min(self.batch_size, self.training)

    @property
    def steps_per_epoch(self) -> int:
        """The number of whole batches in the training part; what is left over comes in another epoch's order."""
        return self.training // self.batch

    @property
    def inputs(self) -> int:
        """The number of features of an example."""
        return {"digits": 64, "regression": 1, "csv": len(self.table.columns)}.get(self.data, 2)

    @property
    def shown(self) -> int:
        """The number of features that are drawn: the pixels, or those that are the axes of the picture."""
        return self.inputs if self.data == "digits" else 2 if self.classes else 1

    @property
    def classes(self) -> int:
        """The number of classes; 0 for regression."""
        if self.data in ("regression", "csv"):
            return len(self.table.labels) if self.data == "csv" else 0
        return CLASSES.get(self.data, 2)

    @property
    def outputs(self) -> int:
        """The number of the network's outputs: a logit for each class, or one for two classes."""
        return self.classes if self.classes > 2 else 1

    def as_json(self) -> dict[str, Any]:
        """The configuration as what JSON can hold; `Config.from_json` reads it."""
        made = asdict(self)
        points = [list(p) for p in self.points]
        return {**made, "points": points, "table": self.table.as_json(), "layers": list(made["layers"])}

    @classmethod
    def from_json(cls, given: Any) -> Config:
        """The configuration of a JSON object. Raises ValueRangeError and DTypeError."""
        return build("config", cls, given)


def _points(given: Any) -> tuple[tuple[float, float, int], ...]:
    if not isinstance(given, (list, tuple)):
        raise DTypeError(f"points: expected a list of [x, y, class], got {shortened(given)}")
    if len(given) > MAX_EXAMPLES:
        raise ValueRangeError(f"points: expected at most {MAX_EXAMPLES} points, got {len(given)}")
    made = []
    for point in given:
        if not isinstance(point, (list, tuple)) or len(point) != 3:
            raise DTypeError(f"points: expected [x, y, class], got {shortened(point)}")
        x, y, label = point
        made.append(
            (
                real("points: x", x, -10, 10),
                real("points: y", y, -10, 10),
                whole("points: class", label, 0, 1),
            )
        )
    return tuple(made)


def _layers(given: Any) -> tuple[Layer, ...]:
    if not isinstance(given, (list, tuple)):
        raise DTypeError(f"layers: expected a list of layers, got {shortened(given)}")
    if len(given) > MAX_LAYERS:
        raise ValueRangeError(f"layers: expected at most {MAX_LAYERS} layers, got {len(given)}")
    return tuple(layer if isinstance(layer, Layer) else build("layer", Layer, layer) for layer in given)


def configs_of(given: Any) -> tuple[Config, ...]:
    """One or two configurations, of runs side by side, from a JSON list."""
    if not isinstance(given, (list, tuple)) or not 1 <= len(given) <= MAX_RUNS:
        raise ValueRangeError(
            f"runs: expected a list of 1 to {MAX_RUNS} configurations, got {shortened(given)}"
        )
    return tuple(Config.from_json(run) for run in given)


def to_fragment(configs: Sequence[Config], step: int = 0) -> str:
    """The state as a URL's fragment, which a browser does not send anywhere.

    >>> from_fragment(to_fragment([Config(seed=7)], step=3))[0][0].seed
    7
    """
    state = {"runs": [config.as_json() for config in configs], "step": step}
    return quote(json.dumps(state, separators=(",", ":")), safe="")


def from_fragment(fragment: str) -> tuple[tuple[Config, ...], int]:
    """The configurations and the step of a fragment. Raises ValueRangeError and DTypeError."""
    try:
        state = parsed(unquote(fragment.removeprefix("#")))
    except RecursionError:
        raise ValueRangeError("link: expected the state of a playground, got another text") from None
    if not isinstance(state, dict) or set(state) != {"runs", "step"}:
        raise ValueRangeError("link: expected the state of a playground, got another text")
    return configs_of(state["runs"]), whole("step", state["step"], 0, MAX_STEPS)


def parsed(text: str) -> Any:
    """The value of a JSON text; numbers that are not finite are refused. Raises ValueRangeError."""

    def refuse(word: str) -> float:
        raise ValueRangeError(f"expected finite numbers, got {word}")

    def finite(word: str) -> float:
        value = float(word)
        return value if math.isfinite(value) else refuse(word)

    def integer(word: str) -> int:
        return int(word) if len(word) <= 40 else int(refuse("an integer of more than 40 digits"))

    try:
        return json.loads(text, parse_constant=refuse, parse_float=finite, parse_int=integer)
    except json.JSONDecodeError as error:
        raise ValueRangeError(f"expected JSON, got a text with an error at character {error.pos}") from None
    except RecursionError:
        raise ValueRangeError("expected JSON, got a text that is nested too deep") from None
