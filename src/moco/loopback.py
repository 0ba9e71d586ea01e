"""A web server that only this machine reaches: one function answers what a page asks, on 127.0.0.1, until Ctrl-C.

A page of another site cannot use it: requests must name this address as their host (which a name that was pointed
here does not), and those that carry something must come from the page itself.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from urllib.parse import parse_qsl, unquote, urlsplit

from moco.errors import MocoError

HOST = "127.0.0.1"
TRIED = 20
"""Ports that are tried, one after another."""

REFUSED = frozenset(
    (1719, 1720, 1723, 2049, 3659, 4045, 4190, 5060, 5061, 6000, 6566, *range(6665, 6670), 6679, 6697, 10080)
)
"""Ports beyond 1,023 on which browsers open no page (the Fetch standard, "port blocking")."""

MOST_BYTES = 64 << 20
"""Of what a page may send."""


@dataclass(frozen=True)
class Asked:
    """What a page asks for."""

    path: str
    """As it was sent, without percent signs; it begins with /."""
    query: dict[str, str]
    body: bytes | None = None
    """What was sent along; None where the page only asks to get something."""


@dataclass(frozen=True)
class Answer:
    """What it gets."""

    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: int = 200
    keeps: bool = False
    """Whether the browser may keep it."""
    policy: str = ""
    """Of a page: what it may load (Content-Security-Policy)."""


NOT_FOUND = Answer(b"there is nothing here", status=404)


class Loopback:
    """The server, bound when it is made; `port` is the first free one from `first` on. Raises MocoError without one."""

    def __init__(self, answer: Callable[[Asked], Answer], first: int) -> None:
        if not 0 < first < 65536:
            raise MocoError(f"--port {first}: a number between 1 and 65535")
        if first in REFUSED:
            raise MocoError(f"--port {first}: browsers open no page on this port, which others use; name another")
        self.taken = 0
        """Ports that were in use."""
        for port in (one for one in range(first, min(first + TRIED, 65536)) if one not in REFUSED):
            try:
                self._server = _Server((HOST, port), _handler(answer, port))
            except OSError:
                self.taken += 1
                continue
            self.port = port
            return
        raise MocoError(f"--port {first}: this and the {self.taken - 1} after it are in use; name another")

    @property
    def address(self) -> str:
        """What to open in a browser."""
        return f"http://{HOST}:{self.port}/"

    def serve(self) -> None:
        """Answer until KeyboardInterrupt, which ends this quietly."""
        with contextlib.suppress(KeyboardInterrupt), self._server:
            self._server.serve_forever(poll_interval=0.2)

    @contextlib.contextmanager
    def serving(self) -> Iterator[str]:
        """Answer on the side; the address."""
        thread = Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        thread.start()
        try:
            yield self.address
        finally:
            self._server.shutdown()
            thread.join()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    allow_reuse_address = False  # a port that another server listens on is taken
    request_queue_size = 64

    def server_bind(self) -> None:
        """Bind, without looking up a name for the address, which may take seconds."""
        self.socket.bind(self.server_address)
        self.server_name, self.server_port = HOST, self.server_address[1]

    def handle_error(self, request: object, client_address: object) -> None:
        """A page that was closed while it was answered is nothing to tell."""


def _handler(answer: Callable[[Asked], Answer], port: int) -> type[BaseHTTPRequestHandler]:
    hosts = {f"{HOST}:{port}", f"localhost:{port}"}

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version, sys_version = "moco", ""

        def do_GET(self) -> None:
            self._give(None)

        def do_POST(self) -> None:
            origin = self.headers.get("Origin")
            length = self.headers.get("Content-Length", "")
            if origin is not None and origin.removeprefix("http://") not in hosts:
                self._send(Answer(b"pages of other sites get nothing here", status=403))
            elif not length.isdecimal() or int(length) > MOST_BYTES:
                self.close_connection = True
                self._send(Answer(f"at most {MOST_BYTES >> 20} MB can be sent".encode(), status=413))
            else:
                self._give(self.rfile.read(int(length)))

        def _give(self, body: bytes | None) -> None:
            if self.headers.get("Host") not in hosts:
                self._send(Answer(b"ask for this by its own address", status=403))
                return
            where = urlsplit(self.path)
            self._send(answer(Asked(unquote(where.path), dict(parse_qsl(where.query)), body)))

        def _send(self, given: Answer) -> None:
            self.send_response(given.status)
            self.send_header("Content-Type", given.kind)
            self.send_header("Content-Length", str(len(given.body)))
            self.send_header("Cache-Control", "max-age=86400" if given.keeps else "no-store")
            self.send_header("X-Content-Type-Options", "nosniff")
            self.send_header("Cross-Origin-Resource-Policy", "same-origin")
            if given.policy:
                self.send_header("Content-Security-Policy", given.policy)
            self.end_headers()
            with contextlib.suppress(ConnectionError):
                self.wfile.write(given.body)

        def log_message(self, *_: object) -> None:
            """Nothing: each picture would be a line."""

    return Handler
