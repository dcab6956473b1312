"""The server: who is let in, what a socket is answered, and that nothing is left running."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.playground.test_tab import SMALL, decoded
from tests.waiting import wait_until

pytest.importorskip("websockets")
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection, connect


def get(address: str, path: str, **headers: str) -> tuple[int, dict[str, str], str]:
    parts = urlsplit(address)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port or 0, timeout=60)
    connection.putrequest("GET", path, skip_host="Host" in headers)
    for name, value in headers.items():
        connection.putheader(name, value)
    connection.endheaders()
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, dict(answer.getheaders()), text


def tab(address: str, origin: str | None = "same", host: str | None = None, token: str | None = None) -> Any:
    parts = urlsplit(address)
    given = token if token is not None else parts.query.removeprefix("token=")
    own = f"http://{parts.netloc}"
    return connect(
        f"ws://{parts.netloc}/tab?token={given}",
        origin=own if origin == "same" else origin,  # type: ignore[arg-type]
        additional_headers={} if host is None else {"Host": host},
        open_timeout=60,
        max_size=None,
        proxy=None,
    )


def send(connection: ClientConnection, **message: Any) -> None:
    connection.send(json.dumps(message))


def frame_of(connection: ClientConnection) -> dict[str, Any]:
    while True:
        block = connection.recv(timeout=60)
        if isinstance(block, bytes):
            return decoded(block)[0]


def test_the_page_needs_the_token_and_its_files_do_not(address: str) -> None:
    query = urlsplit(address).query
    status, headers, text = get(address, f"/?{query}")
    assert status == 200 and "main.js" in text
    assert "default-src 'none'" in headers["content-security-policy"]
    for path in (
        "/",
        "/?token=",
        "/?token=wrong",
        "/start.json",
        "/start.json?token=%C3%A9",
    ):
        assert get(address, path)[0] == 403, path
    assert get(address, "/page/main.js")[0] == 200
    assert get(address, f"/graph/nothing?{query}")[0] == 404


@pytest.mark.parametrize(
    "name", ["..%2Fserver.py", "..%2f..%2fcli.py", "%2Fetc%2Fpasswd", "server.py", ".", "%00"]
)
def test_only_the_pages_own_files_are_served(address: str, name: str) -> None:
    assert get(address, f"/page/{name}")[0] == 404


@pytest.mark.parametrize("host", ["example.com", "127.0.0.1", "localhost:1", ""])
def test_other_host_names_are_refused(address: str, host: str) -> None:
    assert get(address, f"/?{urlsplit(address).query}", Host=host)[0] in (400, 403)
    if host:
        with pytest.raises((InvalidStatus, ConnectionClosed)), tab(address, host=host) as connection:
            connection.recv(timeout=60)


@pytest.mark.parametrize("origin", ["http://example.com", "null", "https://127.0.0.1", None])
def test_other_origins_are_refused(address: str, origin: str | None) -> None:
    with pytest.raises((InvalidStatus, ConnectionClosed)), tab(address, origin=origin) as connection:
        connection.recv(timeout=60)


def test_a_socket_needs_the_token(address: str) -> None:
    with pytest.raises((InvalidStatus, ConnectionClosed)), tab(address, token="wrong") as connection:
        connection.recv(timeout=60)


def test_wrong_messages_are_answered_and_training_goes_on(address: str) -> None:
    with tab(address) as connection:
        send(connection, type="configure", runs=[SMALL], step=4, number=1)
        assert frame_of(connection)["runs"][0]["step"] == 4
        for wrong in ("", "{", "\n\r\n", '{"type": "pla\ny"}', "é" * 1000, json.dumps({"type": "exec"})):
            connection.send(wrong)
            assert json.loads(connection.recv(timeout=60))["type"] == "error"
        connection.send(b"\0\1\2")
        assert "expected a text" in json.loads(connection.recv(timeout=60))["message"]
        send(connection, type="seen")
        send(connection, type="advance", steps=2)
        assert frame_of(connection)["runs"][0]["step"] == 6


def test_a_message_that_is_far_too_long_closes_its_own_tab_only(address: str) -> None:
    with tab(address) as other, tab(address) as connection:
        with pytest.raises(ConnectionClosed):
            connection.send("x" * 2_000_000)
            connection.recv(timeout=60)
        send(other, type="configure", runs=[SMALL], step=0, number=1)
        assert frame_of(other)["fresh"]


def test_a_graph_has_an_address_of_its_own(address: str) -> None:
    with tab(address) as connection:
        send(connection, type="configure", runs=[SMALL], step=0, number=1)
        frame_of(connection)
        send(connection, type="graph", run=0)
        answer = json.loads(connection.recv(timeout=60))
    status, headers, text = get(address, answer["url"])
    assert status == 200 and "<html" in text and "connect-src" not in headers["content-security-policy"]
    assert get(address, answer["url"].partition("?")[0])[0] == 403


def children(pid: int) -> list[int]:
    listed = Path(f"/proc/{pid}/task/{pid}/children")
    return [int(word) for word in listed.read_text().split()] if listed.exists() else []


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="processes are counted in /proc")
def test_closed_tabs_and_the_end_of_the_server_end_their_processes() -> None:
    pytest.importorskip("uvicorn")
    with (
        subprocess.Popen(
            [sys.executable, "-m", "tinygrad_dl", "playground", "--no-open"],
            stdout=subprocess.PIPE,
            text=True,
        ) as server,
        ExitStack() as stack,
    ):
        stack.callback(server.kill)
        assert server.stdout is not None
        address = server.stdout.readline().split()[-1]
        tabs = [stack.enter_context(tab(address)) for _ in range(10)]
        for i, connection in enumerate(tabs):
            send(connection, type="configure", runs=[{**SMALL, "seed": i}], step=2, number=1)
        assert [frame_of(connection)["runs"][0]["step"] for connection in tabs] == [2] * 10
        workers = children(server.pid)
        assert len(workers) == 10
        send(tabs[0], type="play", speed=200)  # closed while it trains
        for connection in tabs[:6]:
            connection.close()
        wait_until(lambda: len(children(server.pid)) == 4)
        os.kill(children(server.pid)[0], signal.SIGKILL)  # one worker ends by itself: its tab is told
        wait_until(lambda: len(children(server.pid)) == 3)
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        wait_until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in workers))


def test_a_port_in_use_is_an_error_in_one_line() -> None:
    pytest.importorskip("uvicorn")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        ran = subprocess.run(
            [sys.executable, "-m", "tinygrad_dl", "playground", "--no-open", "--port", str(port)],
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 1 and ran.stderr.startswith(
        "tinygrad-dl: playground: --port: expected a free port"
    )
    assert len(ran.stderr.splitlines()) == 1
