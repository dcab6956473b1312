"""The command tinygrad-dl: runs a command, and turns every error into one clear line and an exit code.

0: success. 1: failure. 2: usage error. 130: interrupted by Ctrl-C.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from tinygrad_dl.errors import MissingExtraError, TinygradError

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command and return its exit code."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    try:
        code = _run(words)
        sys.stdout.flush()  # a closed pipe raises here, and not after main has returned
        return code
    except KeyboardInterrupt:
        return _failed("interrupted", INTERRUPTED)
    except BrokenPipeError:
        # The reader closed the pipe, as `head` does. Without devnull, Python's flush at exit would fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (TinygradError, OSError) as error:
        return _failed(" ".join(str(error).split()), 1)


def _run(arguments: Sequence[str]) -> int:
    try:
        from tinygrad_dl import commands
    except MissingExtraError as error:
        return _run_without_click(list(arguments), error)
    return commands.run(arguments)


def _run_without_click(arguments: list[str], error: MissingExtraError) -> int:
    """What works with NumPy alone: the version, and the doctor, which says what to install."""
    from tinygrad_dl import __version__, environment

    if arguments == ["--version"]:
        print(f"tinygrad_dl {__version__}")
        return 0
    if arguments[:1] == ["doctor"] and set(arguments[1:]) <= {"--json"}:
        print(environment.as_json() if "--json" in arguments else environment.as_text())
        return 0
    return _failed(f"{error} What else is missing: tinygrad-dl doctor", 1)


def _failed(message: str, code: int) -> int:
    print(f"tinygrad-dl: {message}", file=sys.stderr)
    return code
