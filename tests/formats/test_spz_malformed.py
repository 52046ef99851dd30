"""Bad SPZ files: each is refused with one sentence that names the file, and takes no more memory than is allowed."""

from __future__ import annotations

import gzip
import struct
import tracemalloc
import zlib

import pytest
import zstandard
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support import plain_spz
from support.scene_comparison import read_or_refuse, refusal

from leansplat import formats

COUNT = 5
PAYLOAD = plain_spz.payload(3, COUNT, 3)
HEADER = 16
ROW = 9 + 1 + 3 + 3 + 4 + 45
SECTIONS = plain_spz.sections(4, COUNT, 3)
CONTENTS = list(SECTIONS.values())
STREAMS = [zstandard.compress(content) for content in CONTENTS]
HEAD_4 = plain_spz.header(4, COUNT, 3, streams=6)
GOOD = {version: plain_spz.scene(version, COUNT) for version in (2, 3, 4)}
BILLION = 10**9


def packed(head: bytes, body: bytes = PAYLOAD[HEADER:]) -> bytes:
    return gzip.compress(head + body)


def with_streams(**changes: bytes) -> bytes:
    """Version 4 with the zstd streams of some sections replaced, their lengths as they should be."""
    streams = [changes.get(name, stream) for name, stream in zip(SECTIONS, STREAMS, strict=True)]
    return plain_spz.version_4(HEAD_4, CONTENTS, streams=streams)


def frame_of_window(exponent: int) -> bytes:
    """A zstd frame that asks for a window of 2^(10 + exponent) bytes, with one empty last block."""
    return b"\x28\xb5\x2f\xfd" + bytes([0b0000_0000, exponent << 3]) + b"\x01\x00\x00"


def bomb(size: int) -> bytes:
    """A zstd stream of `size` zeros, told nowhere."""
    compressor = zstandard.ZstdCompressor(write_content_size=False).compressobj()
    piece = bytes(1 << 20)
    return b"".join([*(compressor.compress(piece) for _ in range(size >> 20)), compressor.flush()])


REFUSED = {
    "nothing": (b"", "not an SPZ file"),
    "another magic": (b"NOPE" + GOOD[4][4:], "not an SPZ file"),
    "gzip of something else": (gzip.compress(b"a text about Gaussians"), "not an SPZ file"),
    "gzip of less than a header": (gzip.compress(b"NGSP\3\0\0"), "end early"),
    "gzip of nothing": (gzip.compress(b""), "end early"),
    "half a gzip header": (GOOD[3][:7], "cut off or damaged"),
    "a payload that is not compressed": (PAYLOAD, "version 3, which is compressed by gzip"),
    "version 1": (packed(plain_spz.header(1, COUNT, 3)), "version 1, where 2, 3, 4 can be read"),
    "version 4 in gzip": (packed(plain_spz.header(4, COUNT, 3)), "version 4, which is compressed by zstd"),
    "version 5": (
        plain_spz.version_4(plain_spz.header(5, COUNT, 3, streams=6), CONTENTS),
        "version 5, where 2, 3, 4 can be read",
    ),
    "SH degree 5": (packed(plain_spz.header(3, COUNT, 5)), "SH degree 5"),
    "255 fractional bits": (packed(plain_spz.header(3, COUNT, 3, bits=255)), "255 fractional bits"),
    "one Gaussian too many": (packed(plain_spz.header(3, COUNT + 1, 3)), "end early"),
    "one Gaussian too few": (packed(plain_spz.header(3, COUNT - 1, 3)), "goes on after its 4"),
    "a lower SH degree": (packed(plain_spz.header(3, COUNT, 2)), "goes on after"),
    "a higher SH degree": (packed(plain_spz.header(3, COUNT, 4)), "end early"),
    "version 2 that is 3": (packed(plain_spz.header(2, COUNT, 3)), "goes on after"),
    "a billion Gaussians": (packed(plain_spz.header(3, BILLION, 3)), "Gaussians are 65,000,000,000 bytes"),
    "4 billion Gaussians, version 4": (
        plain_spz.version_4(plain_spz.header(4, 2**32 - 1, 3, streams=6), CONTENTS),
        "4,294,967,295 Gaussians",
    ),
    "extensions without the flag": (plain_spz.scene(3, COUNT, extensions=bytes(12)), "goes on after"),
    "extensions of 2 MiB": (plain_spz.scene(3, COUNT, flags=2, extensions=bytes(2 << 20)), "goes on after"),
    "bytes after the gzip stream": (GOOD[3] + b"more", "cut off or damaged"),
    "a wrong checksum": (GOOD[3][:-8] + bytes(8), "cut off or damaged"),
    "version 4 with bytes after it": (GOOD[4] + b"more", "table of streams is wrong"),
    "no streams": (plain_spz.version_4(plain_spz.header(4, COUNT, 3, streams=0), []), "0 streams where 6"),
    "seven streams": (
        plain_spz.version_4(plain_spz.header(4, COUNT, 3, streams=7), [*CONTENTS, b"more"]),
        "7 streams where 6",
    ),
    "six streams, degree 0": (plain_spz.version_4(plain_spz.header(4, COUNT, 0, streams=6), CONTENTS), "where 5"),
    "a table inside the header": (HEAD_4 + struct.pack("<I12x", 8) + GOOD[4][32:], "their table at 8 of"),
    "a table after the end": (HEAD_4 + struct.pack("<I12x", 2**32 - 1) + GOOD[4][32:], "their table at 4,294,967,295"),
    "a table of wrong lengths": (
        plain_spz.version_4(HEAD_4, CONTENTS, lengths=[len(content) + 1 for content in CONTENTS]),
        "table of streams is wrong",
    ),
    "a table of lengths that wrap around": (
        plain_spz.version_4(HEAD_4, CONTENTS, lengths=[len(content) + 2**63 for content in CONTENTS]),
        "table of streams is wrong",
    ),
    "a stream that is not zstd": (with_streams(alphas=b"alphas"), "zstd stream cannot be read"),
    "a stream that is too short": (with_streams(colors=zstandard.compress(CONTENTS[2][:-1])), "end early"),
    "a stream that is too long": (with_streams(colors=zstandard.compress(CONTENTS[2] + b"x")), "goes on after"),
    "a stream that is cut off": (with_streams(sh=STREAMS[5][:-3]), "end early"),
    "an empty stream": (with_streams(scales=b""), "end early"),
    "a window of 2 GiB": (with_streams(alphas=frame_of_window(21)), "zstd stream cannot be read"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_in_one_sentence(tmp_path, case):
    content, expected = REFUSED[case]
    assert expected in refusal(tmp_path, "bad.spz", content)


BOUNDARIES = [0, 15, 16, *(HEADER + COUNT * width for width in (9, 10, 13, 16, 20)), HEADER + COUNT * ROW - 1]


@pytest.mark.parametrize("length", [*BOUNDARIES, HEADER + 1, HEADER + 3 * COUNT])
def test_a_payload_cut_at_any_boundary_is_refused(tmp_path, length):
    assert "end early" in refusal(tmp_path, "bad.spz", gzip.compress(PAYLOAD[:length]))


@pytest.mark.parametrize("version", [2, 3, 4])
def test_a_file_cut_anywhere_is_refused(tmp_path, version):
    for length in range(len(GOOD[version])):
        refusal(tmp_path, "bad.spz", GOOD[version][:length])


@pytest.mark.parametrize("version", [2, 3, 4])
@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused(tmp_path, version, data):
    content = bytearray(GOOD[version])
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "bad.spz").write_bytes(content)
    read_or_refuse(tmp_path / "bad.spz")


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_damaged_payload_is_read_or_refused(tmp_path, data):
    content = bytearray(PAYLOAD)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "bad.spz").write_bytes(gzip.compress(content))
    read_or_refuse(tmp_path / "bad.spz")


BOMBS = {
    "gzip that goes on for 256 MiB": lambda: zlib_bomb(PAYLOAD, 1 << 28),
    "zstd that goes on for 256 MiB": lambda: with_streams(sh=bomb(1 << 28)),
    "a count of 900,000 in a few bytes": lambda: gzip.compress(plain_spz.header(3, 900_000, 3)),
}


def zlib_bomb(start: bytes, size: int) -> bytes:
    compressor = zlib.compressobj(1, wbits=31)
    piece = bytes(1 << 20)
    pieces = [compressor.compress(start), *(compressor.compress(piece) for _ in range(size >> 20))]
    return b"".join([*pieces, compressor.flush()])


@pytest.mark.parametrize("case", BOMBS)
def test_a_bomb_takes_no_more_memory_than_its_header_justifies(tmp_path, case):
    content = BOMBS[case]()
    tracemalloc.start()
    try:
        refusal(tmp_path, "bad.spz", content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < (80 << 20)


def test_a_rotation_longer_than_1_is_still_finite(tmp_path):
    sections = plain_spz.sections(3, COUNT, 0) | {"rotations": b"\xff\xff\xff\xff" * COUNT}
    (tmp_path / "odd.spz").write_bytes(gzip.compress(plain_spz.header(3, COUNT, 0) + b"".join(sections.values())))
    assert formats.read(tmp_path / "odd.spz").quats.isfinite().all()
