"""The server of the playground: on this machine only, for the one who has the token, a process for each tab."""

from __future__ import annotations

import asyncio
import json
import os
import secrets
import socket
import sys
import webbrowser
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

from tinygrad_dl.errors import TinygradError, ValueRangeError, missing_extra
from tinygrad_dl.playground.messages import MAX_BYTES
from tinygrad_dl.playground.presets import PRESETS
from tinygrad_dl.playground.state import MAX_LAYERS, MAX_UNITS, Config
from tinygrad_dl.playground.worker import HEADER

try:
    import uvicorn
    import websockets  # noqa: F401 - uvicorn speaks WebSocket with it
    from starlette.applications import Starlette
    from starlette.datastructures import Headers
    from starlette.requests import Request
    from starlette.responses import FileResponse, HTMLResponse, JSONResponse, PlainTextResponse, Response
    from starlette.routing import BaseRoute, Route, WebSocketRoute
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket, WebSocketDisconnect
except ImportError as error:
    raise missing_extra(str(error.name).partition(".")[0], "web", "the playground") from None

PAGE = Path(__file__).with_name("page")
TYPES = {".html": "text/html", ".js": "text/javascript", ".css": "text/css", ".svg": "image/svg+xml"}
MAX_TABS = 16
GRAPHS = 8  # pages with graphs that are kept, the last ones
PAGE_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
    "frame-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
# The page of a graph has its scripts inside, WebAssembly among them, and asks for nothing.
GRAPH_POLICY = (
    "default-src 'none'; script-src 'unsafe-inline' 'wasm-unsafe-eval' blob: data:; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; worker-src blob:; base-uri 'none'; form-action 'none'"
)


class Guard:
    """Lets requests in that are for this machine by name, so that no other site's name can lead here."""

    def __init__(self, app: ASGIApp, hosts: set[str]) -> None:
        self.app, self.hosts = app, hosts

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            headers = Headers(scope=scope)
            origin = headers.get("origin")
            foreign = origin is not None and origin not in {f"http://{host}" for host in self.hosts}
            if headers.get("host") not in self.hosts or foreign:
                if scope["type"] == "http":
                    await PlainTextResponse("This address is for this machine only.", 403)(
                        scope, receive, send
                    )
                else:
                    await WebSocket(scope, receive, send).close(1008)
                return
        await self.app(scope, receive, send)


class Playground:
    """The application: the page, its files, and a socket for each tab. `token` is asked of the page and the socket."""

    def __init__(self, port: int, token: str | None = None) -> None:
        self.port, self.token = port, token or secrets.token_urlsafe(16)
        self.graphs: dict[str, str] = {}
        self.workers: set[asyncio.subprocess.Process] = set()
        self.tabs = 0
        routes: list[BaseRoute] = [
            Route("/", self._index),
            Route("/start.json", self._start),
            Route("/graph/{name}", self._graph),
            Route("/page/{name}", self._file),
            WebSocketRoute("/tab", self._tab),
        ]
        self.app = Guard(
            Starlette(routes=routes, lifespan=self._lifespan), {f"127.0.0.1:{port}", f"localhost:{port}"}
        )

    @property
    def url(self) -> str:
        """The address to open."""
        return f"http://127.0.0.1:{self.port}/?token={self.token}"

    @asynccontextmanager
    async def _lifespan(self, app: Starlette) -> AsyncIterator[None]:
        yield
        for worker in list(self.workers):
            await _end(worker)

    def _allowed(self, given: str | None) -> bool:
        return secrets.compare_digest((given or "").encode(), self.token.encode())

    def _with_token(
        self, answer: Callable[[], Response], request: Request, policy: str = PAGE_POLICY
    ) -> Response:
        if not self._allowed(request.query_params.get("token")):
            text = (
                "This page needs the token in its address: open the one that tinygrad-dl playground printed."
            )
            return PlainTextResponse(text, 403)
        return _safe(answer(), policy)

    async def _index(self, request: Request) -> Response:
        return self._with_token(lambda: FileResponse(PAGE / "index.html", media_type="text/html"), request)

    async def _start(self, request: Request) -> Response:
        start = {
            "presets": [preset.as_json() for preset in PRESETS],
            "default": Config().as_json(),
            "limits": {"layers": MAX_LAYERS, "units": MAX_UNITS},
        }
        return self._with_token(lambda: JSONResponse(start), request)

    async def _graph(self, request: Request) -> Response:
        text = self.graphs.get(request.path_params["name"])
        if text is None:
            return _safe(PlainTextResponse("This graph is no longer here: draw it again.", 404), PAGE_POLICY)
        return self._with_token(lambda: HTMLResponse(text), request, GRAPH_POLICY)

    async def _file(self, request: Request) -> Response:
        # The page's files are public; they are found by name in a list, so no path leads out of the folder.
        files = {path.name: path for path in PAGE.iterdir() if path.suffix in TYPES}
        path = files.get(request.path_params["name"])
        if path is None:
            return _safe(PlainTextResponse("There is no such file.", 404), PAGE_POLICY)
        return _safe(FileResponse(path, media_type=TYPES[path.suffix]), PAGE_POLICY)

    async def _tab(self, socket: WebSocket) -> None:
        # Browsers say where a page comes from; what says nothing is not a page.
        if not self._allowed(socket.query_params.get("token")) or socket.headers.get("origin") is None:
            await socket.close(1008)
            return
        await socket.accept()
        if self.tabs >= MAX_TABS:
            text = f"expected at most {MAX_TABS} tabs, got one more: close one of them"
            await socket.send_text(json.dumps({"type": "error", "message": text, "final": True}))
            await socket.close(1013)
            return
        self.tabs += 1
        try:
            await self._serve(socket)
        finally:
            self.tabs -= 1

    async def _serve(self, socket: WebSocket) -> None:
        worker = await _start_worker()
        self.workers.add(worker)
        try:
            reading = asyncio.create_task(self._to_worker(socket, worker))
            writing = asyncio.create_task(self._to_page(worker, socket))
            done, left = await asyncio.wait({reading, writing}, return_when=asyncio.FIRST_COMPLETED)
            for task in left:
                task.cancel()
            if writing in done and reading not in done:  # the worker ended by itself
                text = "the training process ended unexpectedly: the page connects again"
                with suppress(RuntimeError, WebSocketDisconnect):
                    await socket.send_text(json.dumps({"type": "error", "message": text}))
                    await socket.close(1011)
            await asyncio.gather(reading, writing, return_exceptions=True)
        finally:
            self.workers.discard(worker)
            await _end(worker)

    async def _to_worker(self, socket: WebSocket, worker: asyncio.subprocess.Process) -> None:
        assert worker.stdin is not None
        while True:
            event = await socket.receive()
            if event["type"] == "websocket.disconnect":
                return
            text = event.get("text")
            if not isinstance(text, str):
                message = "message: expected a text, got bytes"
                await socket.send_text(json.dumps({"type": "error", "message": message}))
                continue
            # One line a message: in JSON a line break inside of a string is written otherwise.
            worker.stdin.write(text.replace("\r", " ").replace("\n", " ").encode("utf-8", "replace") + b"\n")
            with suppress(ConnectionError):
                await worker.stdin.drain()

    async def _to_page(self, worker: asyncio.subprocess.Process, socket: WebSocket) -> None:
        assert worker.stdout is not None
        with suppress(asyncio.IncompleteReadError, ConnectionError, WebSocketDisconnect):
            while True:
                kind, length = HEADER.unpack(await worker.stdout.readexactly(HEADER.size))
                block = await worker.stdout.readexactly(length)
                if kind == b"F":
                    await socket.send_bytes(block)
                else:
                    await socket.send_text(self._kept(block.decode()))

    def _kept(self, text: str) -> str:
        """An answer as the page gets it: a graph is kept here, and the page is told its address."""
        if not text.startswith('{"type": "graph"'):
            return text
        answer = json.loads(text)
        name = secrets.token_urlsafe(8)
        self.graphs[name] = answer.pop("html")
        while len(self.graphs) > GRAPHS:
            del self.graphs[next(iter(self.graphs))]
        return json.dumps({**answer, "url": f"/graph/{name}?token={self.token}"})


def _safe(response: Response, policy: str) -> Response:
    response.headers["Content-Security-Policy"] = policy
    response.headers["Referrer-Policy"] = "no-referrer"
    response.headers["X-Content-Type-Options"] = "nosniff"
    response.headers["Cache-Control"] = "no-store"
    return response


async def _start_worker() -> asyncio.subprocess.Process:
    # Matrices are small and tabs are many: one thread each.
    alone = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tinygrad_dl.playground.worker",
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **alone},
        limit=2**20,
    )


async def _end(worker: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        worker.kill()
    await worker.wait()


def listening(port: int) -> socket.socket:
    """A socket on the loopback address, on this port or, for 0, on a free one. Raises ValueRangeError."""
    made = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, os.name != "nt")
    try:
        made.bind(("127.0.0.1", port))
    except OSError as error:
        made.close()
        raise ValueRangeError(
            f"playground: --port: expected a free port, got {port} ({error.strerror}). Without --port one is chosen."
        ) from None
    return made


def serve(port: int = 0, open_browser: bool = True, announce: Callable[[str], Any] = print) -> None:
    """Serve the playground until Ctrl-C. `announce` is called with the address once it can be opened."""
    made = listening(port)
    playground = Playground(made.getsockname()[1])
    config = uvicorn.Config(
        playground.app,
        log_level="error",
        access_log=False,
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MAX_BYTES * 4,
        timeout_graceful_shutdown=2,
    )
    server = Server(config, lambda: _ready(playground, open_browser, announce))
    try:
        server.run(sockets=[made])
    except KeyboardInterrupt:
        pass
    finally:
        made.close()
    if not server.started:
        raise TinygradError("playground: the server could not be started")


class Server(uvicorn.Server):
    """A server that calls a function when it is ready."""

    def __init__(self, config: uvicorn.Config, ready: Callable[[], Awaitable[None] | None]) -> None:
        super().__init__(config)
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets=sockets)
        self._ready()


def _ready(playground: Playground, open_browser: bool, announce: Callable[[str], Any]) -> None:
    announce(f"The playground is at {playground.url}\nCtrl-C ends it.")
    if open_browser:
        webbrowser.open(playground.url)
