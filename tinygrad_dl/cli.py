"""The command tinygrad-dl: runs a command, and turns what goes wrong into one clear line and an exit code.

0: done. 1: it failed. 2: it was called wrongly. 130: interrupted by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tinygrad_dl.errors import MissingExtraError, TinygradError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(given)
        sys.stdout.flush()  # what a pipe did not take shows here, and not after main has returned
        return code
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader of a pipe has gone, as `head` does; Python would complain again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (TinygradError, OSError) as error:
        return _failed(" ".join(str(error).split()), 1)


def _run(given: list[str]) -> int:
    try:
        from tinygrad_dl import commands
    except MissingExtraError as error:
        return _without_click(given, error)
    return commands.run(given)


def _without_click(given: list[str], error: MissingExtraError) -> int:
    """What works with NumPy alone: the version, and the doctor who says what to install."""
    from tinygrad_dl import __version__, environment

    if given == ["--version"]:
        print(f"tinygrad_dl {__version__}")
        return 0
    if given[:1] == ["doctor"] and set(given[1:]) <= {"--json"}:
        print(environment.as_json() if "--json" in given else environment.as_text())
        return 0
    return _failed(f"{error} What else is missing: tinygrad-dl doctor", 1)


def _failed(message: str, code: int) -> int:
    print(f"tinygrad-dl: {message}", file=sys.stderr)
    return code
