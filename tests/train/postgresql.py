"""A PostgreSQL server of the tests' own: on loopback, with data and a port of its own, and never run as root."""

from __future__ import annotations

import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.waiting import wait_until

START = 120  # seconds


def programs() -> Path | None:
    """The folder of initdb and postgres, which Debian does not put on the path."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda p: int(p.parent.name), reverse=True)
    found += [Path(p).resolve().parent for p in [shutil.which("initdb")] if p]
    needed = ("initdb", "postgres", "pg_isready", "createdb")
    return next((p for p in found if all((p / program).exists() for program in needed)), None)


def free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


class Server:
    """A running server; `url(name)` makes a database."""

    def __init__(self, bin: Path, folder: Path, user: str | None) -> None:
        self.bin, self.folder, self.user = bin, folder, user
        self.port, self.password = free_port(), secrets.token_hex(8)
        self._databases = 0
        (folder / "password").write_text(self.password)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        self._run(
            "initdb", "-D", str(folder / "data"), "-U", "search", "--pwfile", str(folder / "password"),
            "-A", "scram-sha-256", "-E", "UTF8", "--locale=C", "--no-sync",
        )  # fmt: skip
        self.start()

    def _run(self, program: str, *arguments: str, check: bool = True) -> int:
        """Run a program of PostgreSQL; its output is in the error where it fails."""
        done = subprocess.run(
            [str(self.bin / program), *arguments],
            user=self.user,
            cwd=self.folder,
            env={"PATH": os.defpath, "PGPASSWORD": self.password},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=START,
        )
        if check:
            assert done.returncode == 0, done.stdout + done.stderr
        return done.returncode

    def start(self) -> None:
        settings = {
            "listen_addresses": "127.0.0.1",
            "port": str(self.port),
            "unix_socket_directories": "",
            "fsync": "off",
            "max_connections": "60",
        }
        with open(self.folder / "log", "ab") as log:
            self.process = subprocess.Popen(
                [str(self.bin / "postgres"), "-D", "data", *(f"--{k}={v}" for k, v in settings.items())],
                user=self.user,
                cwd=self.folder,
                env={"PATH": os.defpath},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        ready = "-h", "127.0.0.1", "-p", str(self.port), "-q"
        wait_until(
            lambda: self.process.poll() is not None or not self._run("pg_isready", *ready, check=False),
            self.log,
        )
        assert self.process.poll() is None, self.log()

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """End the server: SIGINT closes its connections, SIGQUIT is as good as a crash."""
        if self.process.poll() is None:
            self.process.send_signal(how)
            try:
                self.process.wait(START)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()

    def log(self) -> str:
        return (self.folder / "log").read_text(errors="replace")

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._databases += 1
        name = f"search{self._databases}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "search", name)
        return f"postgresql://search:{self.password}@127.0.0.1:{self.port}/{name}"


@contextmanager
def server() -> Iterator[Server]:
    """Start a server, and end it; RuntimeError with the reason where there is none to start."""
    bin = programs()
    if bin is None:
        raise RuntimeError("no PostgreSQL server is installed (Debian's package postgresql)")
    user = None
    if os.getuid() == 0:  # the server refuses root
        user = next((u for u in ("postgres", "nobody") if u in {p.pw_name for p in pwd.getpwall()}), None)
        if user is None:
            raise RuntimeError("the server does not run as root, and there is no user postgres or nobody")
    folder = Path(tempfile.mkdtemp(prefix="postgresql-"))
    running = None
    try:
        running = Server(bin, folder, user)
        yield running
    finally:
        if running is not None:
            running.stop()
        shutil.rmtree(folder, ignore_errors=True)
