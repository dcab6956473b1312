"""Machine code that is kept from process to process, in the user's cache directory.

To make it takes most of the time of a first program. A file's name is the digest of all that the code follows from, and
its text begins with a digest of the rest, as LLVM ends the process over a damaged file. What is in it is run: a folder
that others may write to is not used. The environment variable TINYGRAD_DL_CACHE names another folder, or is "off".
"""

from __future__ import annotations

import os
import sys
import tempfile
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

VARIABLE = "TINYGRAD_DL_CACHE"
OFF = ("off", "0", "no", "false")
FILES = 256  # that are kept; those that were used the longest ago go first


def folder() -> Path | None:
    """Where machine code is kept, made if it is not there; None if it is not to be kept, or cannot be."""
    named = os.environ.get(VARIABLE, "")
    if named.lower() in OFF:
        return None
    try:
        found = (Path(named) if named else _caches() / "tinygrad_dl") / "programs"
        found.mkdir(mode=0o700, parents=True, exist_ok=True)
        about = found.stat()
    except (OSError, RuntimeError, ValueError):  # such as a user without a home
        return None
    if hasattr(os, "getuid") and (about.st_uid != os.getuid() or about.st_mode & 0o022):
        return None
    return found


def _caches() -> Path:
    if sys.platform == "win32":
        return Path(os.environ["LOCALAPPDATA"]) if "LOCALAPPDATA" in os.environ else Path.home()
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Caches"
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")


def load(key: str) -> bytes | None:
    """The machine code of a key; None if there is none that is whole."""
    where = folder()
    if where is None:
        return None
    with suppress(OSError):
        file = where / key
        content = file.read_bytes()
        if content[:32] != sha256(content[32:]).digest():
            return None
        with suppress(OSError):  # where files can be read only
            os.utime(file)
        return content[32:]
    return None


def store(key: str, code: bytes) -> None:
    """Keep machine code; where that is not possible, nothing happens."""
    where = folder()
    if where is None:
        return
    with suppress(OSError):
        handle, name = tempfile.mkstemp(dir=where)
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(sha256(code).digest() + code)
            os.replace(name, where / key)
        except OSError:
            os.unlink(name)
            raise
        files = list(where.iterdir())
        if len(files) > FILES:
            files.sort(key=lambda file: file.stat().st_mtime)
            for old in files[: len(files) - FILES]:
                old.unlink(missing_ok=True)
