"""A loopback HTTP server that misbehaves as told: one `Reply` of a script for each request."""

from __future__ import annotations

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Reply:
    """How one request is answered; the defaults are a server that behaves.

    `status` answers with that and no file. The body ends after `cut` bytes; with `stall` the
    connection then stays open in silence. `length` is what Content-Length claims. `always_range`
    answers 206 whatever If-Range says.
    """

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    cut: int | None = None
    length: int | None = None
    stall: bool = False
    chunked: bool = False
    always_range: bool = False


@dataclass
class Served:
    """A file of the server; `script` holds the replies to its next requests."""

    content: bytes
    etag: str = ""
    modified: str = ""
    ranges: bool = True
    kind: str = "application/zip"
    script: list[Reply] = field(default_factory=list)
    asked: list[dict[str, str]] = field(default_factory=list)

    @property
    def wanted(self) -> list[str]:
        """The Range header of every request so far."""
        return [headers.get("Range", "") for headers in self.asked]


class Server(ThreadingHTTPServer):
    """Serves `files` by path."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, Served] = {}
        self.closing = threading.Event()

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}{path}"

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that went away is what the tests are about."""


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, format: str, *args: object) -> None:
        """Nothing on standard error."""

    def do_GET(self) -> None:
        served = self.server.files.get(self.path)
        if served is None:
            self._say(404, {})
            return
        served.asked.append(dict(self.headers.items()))
        reply = served.script.pop(0) if served.script else Reply()
        if reply.status:
            self._say(reply.status, reply.headers)
            return
        self._send(served, reply)

    def _say(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _send(self, served: Served, reply: Reply) -> None:
        start = self._start(served, reply)
        if start is not None and start >= len(served.content):
            self._say(416, {"Content-Range": f"bytes */{len(served.content)}"})
            return
        body = served.content[start or 0 :]
        headers = {"Content-Type": served.kind, **reply.headers}
        if served.etag:
            headers["ETag"] = served.etag
        if served.modified:
            headers["Last-Modified"] = served.modified
        if start is not None:
            total = len(served.content)
            headers.setdefault("Content-Range", f"bytes {start}-{total - 1}/{total}")
        if reply.chunked:
            self.protocol_version = "HTTP/1.1"
            headers |= {"Transfer-Encoding": "chunked", "Connection": "close"}
            body = b"%x\r\n%b\r\n" % (len(body), body) + b"0\r\n\r\n"
        else:
            claimed = len(body) if reply.length is None else reply.length
            headers["Content-Length"] = str(claimed)
        self.send_response(200 if start is None else 206)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body if reply.cut is None else body[: reply.cut])
        self.wfile.flush()
        if reply.stall:
            self.server.closing.wait(5)
        self.close_connection = True

    def _start(self, served: Served, reply: Reply) -> int | None:
        """The first byte asked for, where a range is served."""
        wanted = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        if not wanted or not served.ranges:
            return None
        version = self.headers.get("If-Range", "")
        if version and version not in (served.etag, served.modified) and not reply.always_range:
            return None
        return int(wanted[1])


@contextmanager
def serving() -> Iterator[Server]:
    """A running server, gone afterwards."""
    server = Server()
    thread = threading.Thread(target=lambda: server.serve_forever(poll_interval=0.01), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()
