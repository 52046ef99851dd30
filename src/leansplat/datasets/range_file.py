"""`RangeFile`: a file on a web server that is read in place, a part at a time.

HTTP Range requests (RFC 9110, section 14) fetch just the bytes that are read, so that `zipfile` can list an archive of
12 GB and take a few files out of it. One request goes on while reads follow one another; a connection that drops is
opened again where it stopped.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from http.client import HTTPException, HTTPMessage
from time import sleep
from typing import IO, TypeVar
from urllib.error import HTTPError
from urllib.parse import urlsplit
from urllib.request import (
    HTTPDefaultErrorHandler,
    HTTPErrorProcessor,
    HTTPHandler,
    HTTPRedirectHandler,
    HTTPSHandler,
    OpenerDirector,
    ProxyHandler,
    Request,
)
from urllib.response import addinfourl

from leansplat.errors import LeansplatError

Result = TypeVar("Result")

PAUSES = (1.0, 2.0, 4.0, 8.0)
"""Seconds to wait before each new try after a failure; any byte that arrives starts the count again."""
LARGEST_GAP = 64 << 10
"""Bytes between two reads that are fetched and thrown away rather than asked for around."""

_LARGEST_READ = 16 << 20
_TIMEOUT = 60.0
_STATUS_THAT_PASSES = {408, 425, 429, 500, 502, 503, 504}
_CONTENT_RANGE = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18})")


class RangeFile:
    """A readable, seekable binary file over HTTP, as far as `zipfile` needs one. Proxies are those of the environment.

    Args:
        url: an http or https address.
        size: bytes of the file, where they are known; all of it is asked for at once then, and a server that sends
            whole files only will do. 0 lets the first answer tell.

    Raises:
        LeansplatError: here and in `read`: the server cannot be reached, refuses, sends whole files only, or has a file
            of another size.
    """

    def __init__(self, url: str, size: int = 0) -> None:
        _check_scheme(url)
        self.url = url
        self.size = size
        self._opener = _opener()
        self._response: addinfourl | None = None
        self._response_position = 0
        self._response_stop = 0
        self._position = 0
        self._expected = max(size, 1)
        self._persistently(self._connect)

    def expect(self, stop: int) -> None:
        """Say that reading will go on to byte `stop`, so that the next request asks for all of it."""
        self._expected = min(stop, self.size)

    def read(self, size: int = -1, /) -> bytes:
        """The next `size` bytes, less at the end of the file; all that are left if negative."""
        stop = self.size if size < 0 else min(self._position + size, self.size)
        if stop - self._position > _LARGEST_READ:
            raise LeansplatError(
                f"{self.url} has a directory above {_LARGEST_READ / 1e6:,.0f} MB, so it is no archive of a dataset."
            )
        content = bytearray()
        while self._position < stop:
            content += self._persistently(lambda: self._receive(stop))
        return bytes(content)

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        position = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self.size}[whence]
        if position < 0:
            raise OSError(f"there is nothing at byte {position}")
        self._position = position
        return position

    def tell(self) -> int:
        return self._position

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        """Give the connection back."""
        if self._response is not None:
            self._response.close()
            self._response = None

    def _receive(self, stop: int) -> bytes:
        """Some of the bytes up to `stop`, at least one."""
        self._expected = max(self._expected, stop)
        gap = self._position - self._response_position
        if self._response is None or not 0 <= gap <= LARGEST_GAP or self._position >= self._response_stop:
            self._connect()
        while self._response_position < self._position:
            self._take(self._position - self._response_position)
        piece = self._take(min(stop, self._response_stop) - self._position)
        self._position += len(piece)
        return piece

    def _take(self, size: int) -> bytes:
        assert self._response is not None
        piece = self._response.read(size)
        if not piece:
            raise ConnectionError("it ended early")
        self._response_position += len(piece)
        return piece

    def _connect(self) -> None:
        """Ask for the bytes from here to where reading is expected to go on to."""
        self.close()
        headers = {"Range": f"bytes={self._position}-{self._expected - 1}", "User-Agent": "leansplat"}
        response = self._opener.open(Request(self.url, headers=headers), timeout=_TIMEOUT)
        self._response = response
        answer = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
        if answer is None and self._position == 0 and response.headers.get("Content-Length", "") == str(self.size):
            self._response_position, self._response_stop = 0, self.size
            return
        if answer is None:
            self.close()
            raise LeansplatError(
                f"{self.url}: the server sends whole files only; fetch it another way, such as `curl -L -O -C - "
                f"{self.url}`, and pass the folder it is in as --archives (archives=)."
            )
        start, last, size = map(int, answer.groups())
        if start != self._position or last < start or self.size not in (0, size):
            self.close()
            raise LeansplatError(f"{self.url} changed while it was being read; run the same command again.")
        self.size = size
        self._response_position, self._response_stop = start, last + 1

    def _persistently(self, action: Callable[[], Result]) -> Result:
        """Try until it works, with longer and longer pauses, unless the failure is one that stays."""
        failures = 0
        while True:
            try:
                return action()
            except (OSError, HTTPException, ValueError) as error:
                self.close()
                if isinstance(error, HTTPError):
                    error.close()
                    if error.code not in _STATUS_THAT_PASSES:
                        raise LeansplatError(
                            f"{self.url}: the server answers {error.code} ({error.reason}); see whether the publisher "
                            "has moved it."
                        ) from error
                if failures == len(PAUSES):
                    raise LeansplatError(
                        f"{self.url} could not be read, {failures + 1} times in a row ({_reason(error)}); check the "
                        "network and run the same command again, which keeps what is there."
                    ) from error
            sleep(PAUSES[failures])
            failures += 1


class Redirects(HTTPRedirectHandler):
    """Follows redirects to http and https, but from https only to https."""

    def redirect_request(
        self, req: Request, fp: IO[bytes], code: int, msg: str, headers: HTTPMessage, newurl: str
    ) -> Request | None:
        _check_scheme(newurl, secure=urlsplit(req.full_url).scheme == "https")
        return super().redirect_request(req, fp, code, msg, headers, newurl)


def _check_scheme(url: str, *, secure: bool = False) -> None:
    if urlsplit(url).scheme not in (("https",) if secure else ("http", "https")):
        raise LeansplatError(f"{url} is not {'an https' if secure else 'a web'} address; it is not followed.")


def _opener() -> OpenerDirector:
    """What urllib opens addresses with, less its handlers for file:, ftp: and data: addresses."""
    opener = OpenerDirector()
    for handler in (ProxyHandler, HTTPHandler, HTTPSHandler, HTTPDefaultErrorHandler, HTTPErrorProcessor, Redirects):
        opener.add_handler(handler())
    return opener


def _reason(error: Exception) -> str:
    return str(getattr(error, "reason", "")) or str(error) or type(error).__name__
