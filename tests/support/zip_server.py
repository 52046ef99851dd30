"""A web server on this machine for one file or several, which misbehaves on request, and zip archives to put there."""

from __future__ import annotations

import io
import random
import re
import threading
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


@dataclass(frozen=True)
class Fault:
    """What is wrong with an answer.

    Args:
        status: answer this instead of the file.
        location: with a status of 3xx, where it redirects to.
        drop_after: close the connection after this many bytes of the body.
        claim: added to the length in the header.
        whole: ignore that a part was asked for.
        shift: send the bytes from this much farther on, and say so.
        total: size of the whole file to state, if not the real one.
        at_most: send no more than this many bytes of what was asked for, and say so.
    """

    status: int = 0
    location: str = ""
    drop_after: int | None = None
    claim: int = 0
    whole: bool = False
    shift: int = 0
    total: int | None = None
    at_most: int = 1 << 40


@dataclass
class ZipServer:
    """Serves `content` at every path that has no file of its own.

    Args:
        files: by path.
        faults: of the next answers, in order.
        always: of all answers after those.
        budget: bytes of bodies until it stops sending any, on all connections.
        asked: for each request, the path and the first and last byte asked for.
        sent: bytes of bodies sent.
    """

    url: str
    content: bytes
    files: dict[str, bytes] = field(default_factory=dict)
    faults: list[Fault] = field(default_factory=list)
    always: Fault = Fault()
    budget: int | None = None
    asked: list[tuple[str, int, int]] = field(default_factory=list)
    sent: int = 0


@contextmanager
def serving(content: bytes) -> Iterator[ZipServer]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            fault = server.faults.pop(0) if server.faults else server.always
            content = server.files.get(self.path, server.content)
            size = len(content)
            span = re.fullmatch(r"bytes=(\d+)-(\d+)", self.headers["Range"])
            assert span is not None
            first, last = int(span[1]), int(span[2])
            server.asked.append((self.path, first, last))
            if fault.status:
                self.send_response(fault.status)
                if fault.location:
                    self.send_header("Location", fault.location)
                self.end_headers()
                return
            if fault.whole:
                first, last = 0, size - 1
                self.send_response(200)
            else:
                first += fault.shift
                last = min(last + fault.shift, size - 1, first + fault.at_most - 1)
                self.send_response(206)
                self.send_header("Content-Range", f"bytes {first}-{last}/{fault.total or size}")
            body = content[first : last + 1]
            self.send_header("Content-Length", str(len(body) + fault.claim))
            body = body[: fault.drop_after]
            if server.budget is not None:
                body = body[: server.budget]
                server.budget -= len(body)
            server.sent += len(body)  # before the client sees any of this answer, so that a test may reset it after
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Quiet(ThreadingHTTPServer):
        def handle_error(self, request: object, client_address: object) -> None:
            """A client that hangs up early, as one should on an answer of another size, is no news."""

    with Quiet(("127.0.0.1", 0), Handler) as http:
        server = ZipServer(f"http://127.0.0.1:{http.server_address[1]}/scenes.zip", content)
        thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        thread.start()
        try:
            yield server
        finally:
            http.shutdown()
            thread.join()


def noise(size: int, seed: int = 0) -> bytes:
    """Bytes that do not compress, like those of photos."""
    return random.Random(seed).randbytes(size)


def zipped(files: Mapping[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> bytes:
    """A zip archive of these files, in this order."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w", compression) as archive:
        for name, data in files.items():
            info = zipfile.ZipInfo(name)
            info.compress_type = compression
            archive.writestr(info, data)
    return content.getvalue()
