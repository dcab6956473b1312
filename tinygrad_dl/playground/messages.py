"""What the page may ask for: each message is read and checked before anything happens."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from tinygrad_dl.errors import DTypeError, ValueRangeError
from tinygrad_dl.playground.state import (
    MAX_RUNS,
    MAX_STEPS,
    MAX_UNITS,
    Config,
    configs_of,
    one_of,
    parsed,
    whole,
    words,
)
from tinygrad_dl.playground.takehome import FORMATS

MAX_BYTES = 200_000  # a thousand drawn points take about 60,000
SPEEDS = 200  # steps per frame
MAX_NUMBER = 2**31  # of configurations, which the page counts so that it knows the frames of the newest

# type -> field -> least and most
NUMBERS: dict[str, dict[str, tuple[int, int]]] = {
    "play": {"speed": (1, SPEEDS)},
    "pause": {},
    "advance": {"steps": (1, 1000)},
    "epoch": {},
    "seek": {"step": (0, MAX_STEPS)},
    "seen": {},
    "unit": {"run": (0, MAX_RUNS - 1), "layer": (0, 8), "unit": (0, MAX_UNITS)},
    "weight": {"run": (0, MAX_RUNS - 1), "layer": (0, 8), "unit": (0, MAX_UNITS), "input": (0, 4096)},
    "check": {"run": (0, MAX_RUNS - 1)},
    "diagnosis": {"run": (0, MAX_RUNS - 1)},
    "rates": {"run": (0, MAX_RUNS - 1)},
    "surface": {"run": (0, MAX_RUNS - 1)},
    "graph": {"run": (0, MAX_RUNS - 1)},
    "export": {"run": (0, MAX_RUNS - 1)},
    "example": {"index": (0, 10_000)},
    "csv": {},
    "configure": {"step": (0, MAX_STEPS), "number": (0, MAX_NUMBER)},
}


@dataclass(frozen=True)
class Message:
    """A checked message: its type, its integers, and the configurations or the word that some carry."""

    type: str
    numbers: dict[str, int]
    runs: tuple[Config, ...] = ()
    format: str = ""
    content: str = ""
    target: str = ""


def read(text: str) -> Message:
    """The message in a text from the page. Raises ValueRangeError and DTypeError, which say what is wrong.

    >>> read('{"type": "advance", "steps": 10}').numbers
    {'steps': 10}
    """
    if len(text) > MAX_BYTES:
        raise ValueRangeError(f"message: expected at most {MAX_BYTES} characters, got {len(text)}")
    given = parsed(text)
    if not isinstance(given, dict):
        raise DTypeError(f"message: expected an object, got {type(given).__name__}")
    kind = one_of("message.type", given.get("type"), tuple(NUMBERS))
    extra = {"configure": ["runs"], "export": ["format"], "csv": ["content", "target"]}.get(kind, [])
    wanted = {"type", *NUMBERS[kind], *extra}
    if set(given) != wanted:
        fields: Any = ", ".join(sorted(wanted))
        raise ValueRangeError(f"{kind}: expected the fields {fields}, got {', '.join(sorted(given))[:100]}")
    numbers = {name: whole(f"{kind}.{name}", given[name], *limits) for name, limits in NUMBERS[kind].items()}
    if kind == "configure":
        return Message(kind, numbers, runs=configs_of(given["runs"]))
    if kind == "export":
        return Message(kind, numbers, format=one_of("export.format", given["format"], FORMATS))
    if kind == "csv":
        content, target = (words(f"csv.{name}", given[name]) for name in extra)
        return Message(kind, numbers, content=content, target=target)
    return Message(kind, numbers)
