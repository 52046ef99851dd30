"""Reading a file on a web server in place, from servers that behave and servers that do not."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator
from urllib.request import Request

import pytest
from support.zip_server import Fault, ZipServer, noise, serving

from leansplat.datasets import range_file
from leansplat.datasets.range_file import RangeFile
from leansplat.errors import LeansplatError

CONTENT = noise(600_000)


@pytest.fixture
def server() -> Iterator[ZipServer]:
    with serving(CONTENT) as server:
        yield server


def test_reads_anywhere_are_the_bytes_that_are_there(server: ZipServer) -> None:
    file = RangeFile(server.url)
    choose = random.Random(1)
    assert file.size == len(CONTENT)
    for _ in range(50):
        start, size = choose.randrange(len(CONTENT) + 10), choose.randrange(100_000)
        assert file.seek(start) == start
        assert file.read(size) == CONTENT[start : start + size]
        assert file.tell() == max(start, min(start + size, len(CONTENT)))


def test_places_are_counted_from_the_start_the_end_and_here(server: ZipServer) -> None:
    file = RangeFile(server.url)
    assert file.seek(-10, os.SEEK_END) == len(CONTENT) - 10
    assert file.read() == CONTENT[-10:]
    file.seek(100)
    assert file.seek(-5, os.SEEK_CUR) == 95
    with pytest.raises(OSError, match="-1"):
        file.seek(-1)


def test_reads_that_follow_one_another_are_one_request(server: ZipServer) -> None:
    file = RangeFile(server.url)
    file.seek(1000)
    file.expect(301_000)
    server.asked.clear()
    pieces = [file.read(30_000) for _ in range(10)]
    assert b"".join(pieces) == CONTENT[1000:301_000]
    assert [(first, last) for _, first, last in server.asked] == [(1000, 300_999)]


def test_a_small_gap_is_read_over_and_a_large_one_is_not_fetched(server: ZipServer) -> None:
    file = RangeFile(server.url)
    file.expect(500_000)
    file.read(10)
    server.asked.clear()
    file.seek(range_file.LARGEST_GAP)
    assert file.read(10) == CONTENT[range_file.LARGEST_GAP :][:10]
    assert server.asked == []
    file.seek(400_000)
    assert file.read(10) == CONTENT[400_000:400_010]
    assert [first for _, first, _ in server.asked] == [400_000]


def test_a_dropped_connection_goes_on_where_it_stopped(server: ZipServer, pauses: list[float]) -> None:
    file = RangeFile(server.url)
    server.faults = [Fault(drop_after=100_000), Fault(drop_after=50_000)]
    server.asked.clear()
    server.sent = 0
    file.seek(1000)
    assert file.read() == CONTENT[1000:]
    assert [first for _, first, _ in server.asked] == [1000, 101_000, 151_000]
    assert server.sent == len(CONTENT) - 1000
    assert pauses == [range_file.PAUSES[0]] * 2


@pytest.mark.parametrize("always", [Fault(drop_after=0), Fault(status=503)], ids=["silence", "503"])
def test_a_server_that_stays_away_is_given_up_after_growing_pauses(server, pauses, always) -> None:
    file = RangeFile(server.url)
    server.always = always
    with pytest.raises(LeansplatError, match=r"scenes.zip could not be read, 5 times in a row") as error:
        file.read(10)
    assert str(error.value).count("\n") == 0
    assert pauses == list(range_file.PAUSES)
    assert pauses == sorted(set(pauses))


def test_no_server_at_all_is_one_sentence(pauses: list[float]) -> None:
    with serving(b"x") as server:
        pass
    with pytest.raises(LeansplatError, match=r"could not be read.*check the network"):
        RangeFile(server.url)


def test_an_answer_that_passes_is_waited_for(server: ZipServer, pauses: list[float]) -> None:
    server.faults = [Fault(status=500), Fault(status=429)]
    assert RangeFile(server.url).read(10) == CONTENT[:10]
    assert len(pauses) == 2


@pytest.mark.parametrize("status", [401, 403, 404, 410, 416])
def test_an_answer_that_stays_is_not_asked_for_again(server: ZipServer, pauses: list[float], status: int) -> None:
    server.always = Fault(status=status)
    with pytest.raises(LeansplatError, match=f"the server answers {status}"):
        RangeFile(server.url)
    assert len(server.asked) == 1


def test_a_server_that_sends_whole_files_is_not_read_and_the_way_out_is_named(server: ZipServer) -> None:
    server.always = Fault(whole=True)
    with pytest.raises(LeansplatError, match=r"whole files only.*curl.*--archives"):
        RangeFile(server.url)
    assert len(server.asked) == 1


def test_a_server_may_send_less_than_was_asked_for(server: ZipServer, pauses: list[float]) -> None:
    file = RangeFile(server.url)
    server.always = Fault(at_most=70_000)
    assert file.read() == CONTENT
    assert pauses == []


@pytest.mark.parametrize("claim", [-1000, 1000])
def test_a_wrong_content_length_costs_tries_and_not_bytes(server: ZipServer, claim: int) -> None:
    file = RangeFile(server.url)
    server.faults = [Fault(claim=claim)]
    assert file.read(200_000) == CONTENT[:200_000]


def test_a_content_length_that_is_never_honoured_ends_in_an_error(server: ZipServer) -> None:
    file = RangeFile(server.url)
    server.always = Fault(claim=1000, drop_after=0)
    with pytest.raises(LeansplatError, match="it ended early"):
        file.read(10)


@pytest.mark.parametrize("fault", [Fault(shift=1), Fault(total=len(CONTENT) + 1)], ids=["another part", "another size"])
def test_an_answer_about_something_else_is_refused(server: ZipServer, fault: Fault) -> None:
    file = RangeFile(server.url)
    server.always = fault
    with pytest.raises(LeansplatError, match="changed while it was being read"):
        file.read(10)


def test_a_read_of_more_than_any_directory_is_refused_before_memory_is_taken(server, monkeypatch) -> None:
    monkeypatch.setattr(range_file, "_LARGEST_READ", 1000)
    file = RangeFile(server.url)
    server.asked.clear()
    with pytest.raises(LeansplatError, match="is no archive of a dataset"):
        file.read(1001)
    assert server.asked == []


def test_a_redirect_is_followed_with_the_part_that_is_wanted(server: ZipServer) -> None:
    server.faults = [Fault(status=302, location="/moved.zip")]
    assert RangeFile(server.url).read(10) == CONTENT[:10]
    assert server.asked[1] == ("/moved.zip", 0, 0)


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://127.0.0.1/scenes.zip", "data:text/plain,x"])
def test_a_redirect_away_from_the_web_is_refused(server: ZipServer, pauses: list[float], location: str) -> None:
    server.always = Fault(status=302, location=location)
    with pytest.raises(LeansplatError, match=location.split(":")[0]):
        RangeFile(server.url)
    assert len(server.asked) == 1


def test_a_redirect_to_nowhere_is_one_sentence(server: ZipServer) -> None:
    server.always = Fault(status=302, location="http://[")
    with pytest.raises(LeansplatError, match="could not be read"):
        RangeFile(server.url)


def test_a_redirect_in_circles_ends(server: ZipServer) -> None:
    server.always = Fault(status=302, location="/scenes.zip")
    with pytest.raises(LeansplatError, match="the server answers 302"):
        RangeFile(server.url)


def test_a_redirect_from_https_to_http_is_refused() -> None:
    redirects = range_file.Redirects()
    with pytest.raises(LeansplatError, match="not an https address"):
        redirects.redirect_request(Request("https://a/x"), None, 302, "Found", {}, "http://b/x")
    followed = redirects.redirect_request(Request("https://a/x"), None, 302, "Found", {}, "https://b/x")
    assert followed.full_url == "https://b/x"


@pytest.mark.parametrize("url", ["file:///etc/passwd", "ftp://127.0.0.1/a.zip", "scenes.zip"])
def test_only_web_addresses_are_opened(url: str) -> None:
    with pytest.raises(LeansplatError, match="is not a web address"):
        RangeFile(url)


def test_the_proxy_of_the_environment_is_used(server: ZipServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", server.url.removesuffix("/scenes.zip"))
    assert RangeFile("http://nowhere.invalid/scenes.zip").read(10) == CONTENT[:10]
    assert server.asked[0][0] == "http://nowhere.invalid/scenes.zip"
