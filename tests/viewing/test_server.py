"""The server of the page: what it serves, and what it refuses, with hostile requests written byte by byte."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack, closing, suppress
from pathlib import Path

import pytest
from support.patience import PATIENCE

from leansplat.errors import InputError
from leansplat.viewing.server import THREADS, Entry, PageServer, entry, part_of

SECRET = b"nobody may read this"
DATA = bytes(range(256)) * 40


@pytest.fixture
def server(tmp_path: Path) -> Iterator[PageServer]:
    (tmp_path / "scene.ply").write_bytes(DATA)
    (tmp_path / "secret.txt").write_bytes(SECRET)
    served = PageServer()
    served.add({"": entry("index.html", b"page"), "scenes/1/scene.ply": Entry(tmp_path / "scene.ply")})
    served.start()
    yield served
    served.stop()


def connected(server: PageServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)


def answer(
    server: PageServer, path: str, *lines: str, host: str | None = None, method: str = "GET"
) -> tuple[int, bytes]:
    """Status and everything after the head, 0 where the connection was closed without a word."""
    head = [f"{method} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{server.port}'}", *lines, "", ""]
    with closing(connected(server)) as connection:
        connection.sendall("\r\n".join(head).encode("latin-1"))
        received = b""
        with suppress(ConnectionResetError):
            while part := connection.recv(1 << 16):
                received += part
    if not received:
        return 0, b""
    start, _, body = received.partition(b"\r\n\r\n")
    return int(start.split()[1]), body


def scene(server: PageServer) -> str:
    return f"/{server.token}/scenes/1/scene.ply"


def test_it_serves_its_table(server: PageServer) -> None:
    assert answer(server, f"/{server.token}/") == (200, b"page")
    assert answer(server, scene(server)) == (200, DATA)
    assert answer(server, scene(server), method="HEAD") == (200, b"")


@pytest.mark.parametrize(
    "path",
    [
        "/{}/../secret.txt", "/{}/scenes/1/../../../secret.txt", "/{}/scenes/1/%2e%2e/secret.txt",
        "/{}/scenes/1/..%2fsecret.txt", "/{}/scenes/1/..\\secret.txt", "/{}//etc/passwd", "/{}/%2fetc%2fpasswd",
        "/{}/scenes/1/scene.ply%00.txt", "/{}/scenes/1", "/{}/scenes/1/", "/{}/scenes", "/{}/secret.txt",
        "/{}", "/etc/passwd", "file:///etc/passwd",
    ],
)  # fmt: skip
def test_no_path_leads_out_of_the_table(server: PageServer, path: str) -> None:
    status, body = answer(server, path.format(server.token))
    assert status == 404
    assert SECRET not in body
    assert b"root:" not in body


@pytest.mark.parametrize("token", ["", "wrong", "%00", "é" * 22, "a" * 60_000])
def test_a_wrong_token_gets_nothing(server: PageServer, token: str) -> None:
    status, body = answer(server, f"/{token}/scenes/1/scene.ply")
    assert status in (404, 414)
    assert DATA[:64] not in body


@pytest.mark.parametrize(
    "host", ["example.com", "example.com:{}", "127.0.0.1", "127.0.0.1.example.com:{}", "[::1]:{}", " "]
)
def test_another_host_gets_nothing(server: PageServer, host: str) -> None:
    assert answer(server, scene(server), host=host.format(server.port))[0] == 421


def test_two_hosts_get_nothing(server: PageServer) -> None:
    assert answer(server, scene(server), "Host: example.com")[0] == 421


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "CONNECT", "TRACE", "NONSENSE"])
def test_nothing_can_be_done_but_reading(server: PageServer, method: str) -> None:
    assert answer(server, scene(server), method=method)[0] in (501, 405)


@pytest.mark.parametrize(
    ("asked", "part"),
    [
        ("bytes=0-0", DATA[:1]),
        ("bytes=100-199", DATA[100:200]),
        ("bytes=10000-", DATA[10000:]),
        ("bytes=-7", DATA[-7:]),
        ("bytes=-999999999", DATA),
        ("bytes=5-99999999999999999", DATA[5:]),
    ],
)
def test_a_range_is_served_as_asked(server: PageServer, asked: str, part: bytes) -> None:
    assert answer(server, scene(server), f"Range: {asked}") == (206, part)


@pytest.mark.parametrize(
    "asked",
    [
        "bytes=20000-", "bytes=9-5", "bytes=-0", "bytes=-", "bytes=a-b", "bytes=0-1,5-6", "bytes=0-,0-,0-",
        "bytes=0--1", "items=0-5", "bytes=99999999999999999999999-", "bytes= 1-2", "0-5", "bytes=" + "1" * 5000 + "-",
    ],
)  # fmt: skip
def test_a_range_that_is_none_is_refused(server: PageServer, asked: str) -> None:
    status, body = answer(server, scene(server), f"Range: {asked}")
    assert status == 416
    assert DATA[:64] not in body


def test_an_empty_file_has_no_range() -> None:
    assert part_of("bytes=0-", 0) is None


@pytest.mark.parametrize(
    "nonsense", [b"\x00" * 500, b"GET\r\n\r\n", b"\r\n" * 50, b"GET / HTTP/9.9\r\n\r\n", b"\xff\xfe{}"]
)
def test_nonsense_does_no_harm(server: PageServer, nonsense: bytes) -> None:
    with closing(connected(server)) as connection:
        connection.sendall(nonsense)
        connection.shutdown(socket.SHUT_WR)
        with suppress(OSError):
            connection.recv(100)
    assert answer(server, f"/{server.token}/")[0] == 200


def test_endless_headers_are_cut_off(server: PageServer) -> None:
    status, _ = answer(server, scene(server), *(f"X-{number}: a" for number in range(500)))
    assert status in (0, 431)
    assert answer(server, f"/{server.token}/")[0] == 200


def test_a_thousand_connections_at_once_are_bounded_and_survived(
    server: PageServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leansplat.viewing.server._Handler.timeout", 2.0)
    before = threading.active_count()
    with ExitStack() as stack:
        for _ in range(1000):  # who say nothing
            stack.callback(connected(server).close)
        deadline = time.monotonic() + PATIENCE
        while threading.active_count() < before + THREADS and time.monotonic() < deadline:
            time.sleep(0.01)
        assert threading.active_count() <= before + THREADS
    deadline = time.monotonic() + PATIENCE
    status = 0
    while status != 200 and time.monotonic() < deadline:
        status, _ = answer(server, f"/{server.token}/")
    assert status == 200


def test_a_client_that_takes_nothing_is_let_go(
    server: PageServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leansplat.viewing.server._Handler.timeout", 0.5)
    with open(tmp_path / "scene.ply", "wb") as large:
        large.truncate(200_000_000)
    before = threading.active_count()
    with closing(connected(server)) as connection:
        connection.sendall(f"GET {scene(server)} HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n\r\n".encode())
        connection.recv(100)
        assert threading.active_count() == before + 1
        deadline = time.monotonic() + PATIENCE
        while threading.active_count() > before and time.monotonic() < deadline:
            time.sleep(0.05)
        assert threading.active_count() == before


def test_it_listens_on_this_machine_only_and_tokens_differ(server: PageServer) -> None:
    assert server.server_address[0] == "127.0.0.1"
    other = PageServer()
    assert other.token != server.token
    assert len(other.token) >= 20
    other.server_close()


def test_a_port_that_is_taken_is_said_in_one_sentence(server: PageServer) -> None:
    with pytest.raises(InputError, match=rf"port {server.port} cannot be used .* choose another --port"):
        PageServer(server.port)
    with pytest.raises(InputError, match="--port is 70000"):
        PageServer(70000)


def test_a_file_that_has_gone_is_not_served(server: PageServer, tmp_path: Path) -> None:
    (tmp_path / "scene.ply").unlink()
    assert answer(server, scene(server))[0] == 410
