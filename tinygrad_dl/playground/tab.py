"""A tab: its runs, whether they are played, and the answers to the page's messages. No process, no socket."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from tinygrad_dl.errors import TinygradError, ValueRangeError
from tinygrad_dl.playground import inside, takehome
from tinygrad_dl.playground.messages import Message, read
from tinygrad_dl.playground.session import Session
from tinygrad_dl.playground.state import MAX_STEPS, Config
from tinygrad_dl.playground.table import read_csv
from tinygrad_dl.typing import NDArray

REPLAY = 200  # steps between two frames while a link's step is approached
DETAILS = 8  # frames between two tables of the layers while playing


def frame(header: Mapping[str, Any], arrays: Mapping[str, NDArray]) -> bytes:
    """A binary frame: the length of the header (uint32, little-endian), the header as JSON, then the arrays.

    The header has under "arrays" each array's dtype (u1, i1 or f4), shape and offset after the header, a multiple of 4.
    """
    places, parts, offset = {}, [], 0
    for name, array in arrays.items():
        data = np.ascontiguousarray(array).tobytes()
        places[name] = {"dtype": array.dtype.str[1:], "shape": array.shape, "offset": offset}
        padding = -len(data) % 4
        parts += [data, b"\0" * padding]
        offset += len(data) + padding
    text = json.dumps({**header, "arrays": places}, separators=(",", ":"), allow_nan=False).encode()
    text += b" " * (-len(text) % 4)
    return struct.pack("<I", len(text)) + text + b"".join(parts)


class Tab:
    """What one page controls. `receive` answers a message, `work` trains and gives the next frame.

    A frame is made when the page has seen the last one, so a page that is slow or hidden slows its training down
    and nothing piles up.
    """

    def __init__(self) -> None:
        self.sessions: list[Session] = []
        self.speed = 0  # steps per frame; 0: paused
        self.until = 0  # a step to be reached before anything else
        self.example = 0
        self.number = 0  # of the configuration, as the page counts them
        self._seen = True
        self._stale = False  # whether there is something that no frame has shown
        self._frames = 0
        self._new = False

    @property
    def waiting(self) -> bool:
        """Whether there is nothing to do before the next message."""
        return not self._seen or not (self._stale or self.speed or self._behind)

    @property
    def _behind(self) -> bool:
        return any(s.step < min(self.until, MAX_STEPS) and not s.diverged for s in self.sessions)

    def receive(self, text: str) -> Iterator[str]:
        """Answer a message; one that is wrong is answered by one error and changes nothing."""
        try:
            message = read(text)
            answer = self._answer(message)
        except TinygradError as error:
            yield json.dumps({"type": "error", "message": " ".join(str(error).split())})
            return
        if answer is not None:
            yield json.dumps({"type": message.type, **message.numbers, **answer}, allow_nan=False)

    def _answer(self, message: Message) -> dict[str, Any] | None:
        kind, numbers = message.type, message.numbers
        if kind == "seen":
            self._seen = True
            return None
        if kind == "configure":
            self._configure(message.runs, numbers["step"], numbers["number"])
            return None
        if kind == "csv":
            return read_csv(message.content, message.target)
        if not self.sessions:
            raise ValueRangeError(f"{kind}: expected a configuration first, got none yet")
        if kind in ("pause", "play", "advance", "epoch", "seek", "example"):
            self._control(kind, numbers)
            return None
        if numbers["run"] >= len(self.sessions):
            raise ValueRangeError(f"{kind}.run: expected a run that is there, got {numbers['run']}")
        session = self.sessions[numbers["run"]]
        if kind == "unit":
            return inside.unit(session, numbers["layer"], numbers["unit"])
        if kind == "weight":
            return inside.weight(session, numbers["layer"], numbers["unit"], numbers["input"])
        if kind == "check":
            return inside.check(session)
        if kind == "diagnosis":
            return {"findings": inside.diagnosis(session)}
        if kind == "rates":
            return inside.rates(session)
        if kind == "surface":
            return inside.surface(self.sessions, numbers["run"])
        if kind == "graph":
            return {"html": inside.graph(session)}
        return {"format": message.format, **takehome.export(session, message.format)}

    def _configure(self, runs: tuple[Config, ...], step: int, number: int) -> None:
        self.sessions = [Session(config) for config in runs]
        self.number = number
        self.speed, self.until, self._stale, self._new, self._seen = 0, step, True, True, True

    def _control(self, kind: str, numbers: dict[str, int]) -> None:
        if kind == "seek":
            last = min(len(s.batch_losses) for s in self.sessions)
            if numbers["step"] > last:
                raise ValueRangeError(f"seek.step: expected a step from 0 to {last}, got {numbers['step']}")
            for session in self.sessions:
                session.seek(numbers["step"])
        elif kind in ("advance", "epoch") and self._behind:  # on the way to a link's step: that far, and on
            per = self.sessions[0].config.steps_per_epoch
            until = self.until + numbers["steps"] if kind == "advance" else (self.until // per + 1) * per
            self.until = min(until, MAX_STEPS)
        elif kind == "advance":
            for session in self.sessions:
                session.advance(numbers["steps"])
        elif kind == "epoch":
            for session in self.sessions:
                per = session.config.steps_per_epoch
                session.advance(per - session.step % per)
        elif kind == "example":
            self.example = numbers["index"]
        self._stale = True
        if kind != "example":
            self.speed = numbers.get("speed", 0)
        if kind in ("pause", "seek"):
            self.until = 0

    def work(self) -> bytes | None:
        """Train as far as one frame goes, and return it; None if there is nothing to do before the next message."""
        if self.waiting:
            return None
        if self._behind:
            for session in self.sessions:
                session.advance(min(self.until - session.step, REPLAY))
        elif self.speed:
            for session in self.sessions:
                session.advance(self.speed)
            if all(s.diverged for s in self.sessions):
                self.speed = 0
        self._seen = self._stale = False
        return self.frame()

    def frame(self) -> bytes:
        """What the page shows now, as bytes."""
        return frame(*self.view())

    def view(self) -> tuple[dict[str, Any], dict[str, NDArray]]:
        """What the page shows now: the header, and the arrays by run and name."""
        details = self._frames % DETAILS == 0 or not self.speed
        self._frames += 1
        runs: list[dict[str, Any]] = []
        arrays: dict[str, NDArray] = {}
        for i, session in enumerate(self.sessions):
            run: dict[str, Any] = session.status()
            made = {**session.pictures(self.example), **session.weights(), **session.curves()}
            if self._new:
                made |= {f"examples_{name}": array for name, array in session.examples().items()}
                run["extent"] = session.extent() if session.config.data != "digits" else None
                run["classes"] = session.config.classes
            if details:
                run["layers"] = session.layers()
            runs.append(run)
            arrays |= {f"{i}/{name}": array for name, array in made.items()}
        header = {
            "runs": runs, "playing": bool(self.speed), "replaying": self._behind, "fresh": self._new,
            "number": self.number,
        }  # fmt: skip
        self._new = False
        return header, arrays
