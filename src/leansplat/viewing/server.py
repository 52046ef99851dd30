"""A web server for one page on this machine: what it may serve stands in a table, and nothing else can be asked for.

It listens on the loopback interface only. Addresses begin with a token that nobody can guess, and the Host header must
be this server's own, so that no page of another site can reach it by a name that it points here. A request names an
entry of the table and never a path. All that can be done but reading are the actions of another table, none by default,
each by a POST without a body that a page of this server sends. A fixed number of threads serves a connection each, with
a time limit for every read and write; whoever comes when all are busy is sent away.
"""

from __future__ import annotations

import hmac
import json
import os
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO, cast
from urllib.parse import unquote, urlsplit

from leansplat.errors import InputError

THREADS = 48
"""Connections that are served at once; a browser opens six."""
PATIENCE = 15.0
"""Seconds that a read or a write may take."""
_LARGEST_PART = 1 << 20
_RANGE = re.compile(r"bytes=(\d{0,18})-(\d{0,18})")
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".json": "application/json",
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".webp": "image/webp",
    ".txt": "text/plain; charset=utf-8",
}
POLICY = (
    "default-src 'none'; script-src 'self' blob:; worker-src blob:; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' blob: data:; connect-src 'self' blob: data:; frame-src 'self'; base-uri 'none'; "
    "form-action 'none'; frame-ancestors 'self'"
)
"""What the page may do: load from this server, and nothing from anywhere else."""

Content = bytes | Path | Callable[[], bytes]


@dataclass(frozen=True)
class Entry:
    """Something that is served: bytes, a file, or what makes the bytes when it is asked for."""

    content: Content
    type: str = "application/octet-stream"


def entry(name: str, content: Content) -> Entry:
    """An entry whose type follows from its name."""
    return Entry(content, _TYPES.get(Path(name).suffix, "application/octet-stream"))


class PageServer(ThreadingHTTPServer):
    """Serves a table of entries; `add` may be called at any time, also while it runs.

    Raises:
        InputError: the port is taken, or there is no such port.
    """

    daemon_threads = True
    request_queue_size = 128
    allow_reuse_address = os.name != "nt"

    def __init__(self, port: int = 0) -> None:
        if not 0 <= port < 1 << 16:
            raise InputError(f"--port is {port}; give 1 to 65535, or leave it out for one that is free")
        self.token = secrets.token_urlsafe(16)
        self._table: dict[str, Entry | Future[Entry]] = {}
        self._actions: dict[str, Callable[[], bool]] = {}
        self._free = threading.BoundedSemaphore(THREADS)
        try:
            super().__init__(("127.0.0.1", port), _Handler)
        except OSError as error:
            raise InputError(
                f"port {port} cannot be used ({error.strerror}); choose another --port or leave it out"
            ) from error

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}/{self.token}/"

    def add(self, entries: Mapping[str, Entry | Future[Entry]]) -> None:
        """Serve these too, by their names; a future is waited for when it is asked for."""
        self._table = {**self._table, **entries}

    def find(self, name: str) -> Entry | Future[Entry] | None:
        return self._table.get(name)

    def allow(self, name: str, action: Callable[[], bool]) -> None:
        """Let a POST to `name` do something; the action says whether it could be done."""
        self._actions = {**self._actions, name: action}

    def action(self, name: str) -> Callable[[], bool] | None:
        return self._actions.get(name)

    def start(self) -> None:
        """Serve in a thread of its own, until `stop`."""
        threading.Thread(target=self.serve_forever, args=(0.1,), daemon=True).start()

    def stop(self) -> None:
        self.shutdown()
        self.server_close()

    def process_request(self, request: Any, client_address: Any) -> None:
        if not self._free.acquire(blocking=False):
            with suppress(OSError):
                request.settimeout(0.1)
                request.sendall(b"HTTP/1.0 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\n\r\n")
            self.shutdown_request(request)
            return
        try:
            super().process_request(request, client_address)
        except BaseException:
            self._free.release()
            raise

    def process_request_thread(self, request: Any, client_address: Any) -> None:
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._free.release()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away or talks nonsense is nobody's concern."""


class _Handler(BaseHTTPRequestHandler):
    timeout = PATIENCE
    server_version = "leansplat"
    sys_version = ""

    def do_GET(self) -> None:
        self._answer(body=True)

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_POST(self) -> None:
        if not self._is_for_us():
            return
        name = self._name()
        action = None if name is None else cast(PageServer, self.server).action(name)
        origins = self.headers.get_all("Origin") or []
        if action is None:
            self._refuse(HTTPStatus.METHOD_NOT_ALLOWED)
        elif self.headers.get("Content-Length", "0") != "0" or "Transfer-Encoding" in self.headers:
            self._refuse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE)
        elif any(origin.lower() not in [f"http://{host}" for host in self._hosts] for origin in origins):
            self._refuse(HTTPStatus.FORBIDDEN)
        elif action():
            self._begin(HTTPStatus.NO_CONTENT, _TYPES[".json"], 0)
        else:
            self._refuse(HTTPStatus.CONFLICT)

    @property
    def _hosts(self) -> tuple[str, str]:
        port = cast(PageServer, self.server).port
        return f"127.0.0.1:{port}", f"localhost:{port}"

    def _is_for_us(self) -> bool:
        """Whether the request came by this server's own name; refuses it where it did not."""
        hosts = self.headers.get_all("Host") or []
        if len(hosts) == 1 and hosts[0].lower() in self._hosts:
            return True
        self._refuse(HTTPStatus.MISDIRECTED_REQUEST)
        return False

    def _name(self) -> str | None:
        """What is asked for, where the token is right."""
        token, slash, name = unquote(urlsplit(self.path).path.removeprefix("/")).partition("/")
        right = hmac.compare_digest(token.encode(errors="replace"), cast(PageServer, self.server).token.encode())
        return name if right and slash else None

    def _answer(self, *, body: bool) -> None:
        if not self._is_for_us():
            return
        name = self._name()
        found = None if name is None else cast(PageServer, self.server).find(name)
        if isinstance(found, Future):
            try:
                found = found.result(timeout=600)
            except Exception:
                self._refuse(HTTPStatus.SERVICE_UNAVAILABLE)
                return
        if found is None:
            self._refuse(HTTPStatus.NOT_FOUND)
        elif isinstance(found.content, Path):
            self._send_file(found, found.content, body)
        else:
            content = found.content if isinstance(found.content, bytes) else found.content()
            self._begin(HTTPStatus.OK, found.type, len(content))
            if body:
                self.wfile.write(content)

    def _send_file(self, found: Entry, path: Path, body: bool) -> None:
        try:
            handle = open(path, "rb")  # noqa: SIM115 - closed below
        except OSError:
            self._refuse(HTTPStatus.GONE)
            return
        with handle:
            size = os.fstat(handle.fileno()).st_size
            asked = self.headers.get("Range")
            if asked is None:
                self._begin(HTTPStatus.OK, found.type, size)
                first, last = 0, size - 1
            else:
                part = part_of(asked, size)
                if part is None:
                    self._refuse(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, {"Content-Range": f"bytes */{size}"})
                    return
                first, last = part
                self._begin(
                    HTTPStatus.PARTIAL_CONTENT,
                    found.type,
                    last - first + 1,
                    {"Content-Range": f"bytes {first}-{last}/{size}"},
                )
            if body:
                self._copy(handle, first, last - first + 1)

    def _copy(self, handle: BinaryIO, first: int, count: int) -> None:
        handle.seek(first)
        while count > 0:
            part = handle.read(min(count, _LARGEST_PART))
            if not part:  # the file has become shorter; the length that was promised tells the browser
                return
            self.wfile.write(part)
            count -= len(part)

    def _begin(self, status: HTTPStatus, kind: str, length: int, more: Mapping[str, str] | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(length))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-store")
        self.send_header("Content-Security-Policy", POLICY)
        self.send_header("Cross-Origin-Resource-Policy", "same-origin")
        self.send_header("Referrer-Policy", "no-referrer")
        self.send_header("X-Content-Type-Options", "nosniff")
        for name, value in (more or {}).items():
            self.send_header(name, value)
        self.end_headers()

    def _refuse(self, status: HTTPStatus, more: Mapping[str, str] | None = None) -> None:
        self._begin(status, _TYPES[".json"], len(body := json.dumps({"error": status.phrase}).encode()), more)
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Nothing: people look at the page."""


def part_of(header: str, size: int) -> tuple[int, int] | None:
    """First and last byte of what a Range header asks for; None where it asks for no one part of the file.

    One range is understood, `bytes=FIRST-LAST`, `bytes=FIRST-` or `bytes=-LENGTH`. An end beyond the file is the
    file's end. Several ranges, other units and nonsense are refused.
    """
    match = _RANGE.fullmatch(header.strip())
    if match is None or match[1] == match[2] == "" or size == 0:
        return None
    if match[1] == "":
        length = min(int(match[2]), size)
        return (size - length, size - 1) if length else None
    first = int(match[1])
    last = min(int(match[2]), size - 1) if match[2] else size - 1
    return (first, last) if first <= last else None
