"""Compression of an SPZ file's bytes by several threads, whose number does not change the result.

A gzip stream is made piece by piece: each is compressed on its own, but with the bytes before it as its dictionary, and
ends at a whole byte, so that the results follow one another as one stream. zstd divides its input by itself. Levels are
those after which more time hardly makes files smaller, measured on trained scenes.

Harmonics have few symbols, so deflate finds short matches everywhere and compares a thousand of them at every byte. In
trained scenes that pays; in noisy ones a code for each byte by itself is often smaller, and a hundred times faster. A
sample says which.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import BinaryIO

_THREADS = min(4, os.cpu_count() or 1)

_GZIP_HEAD = b"\x1f\x8b\x08" + bytes(6) + b"\xff"
"""Deflate, no name, no time, no system: the same on every machine."""

_GZIP_LEVEL = 8
_HISTORY = 1 << 15
"""Bytes that deflate looks back."""

_SAMPLES = 8
_SAMPLE = 1 << 15
_WORTH_SEARCHING = 1 / 16
"""Part of the bytes of harmonics that a search for matches must save to be made."""

_ZSTD_LEVEL = 16
_ZSTD_SEARCH_LOG = 3  # of 5 at this level; spherical harmonics have few symbols, so that every search is a long one
_ZSTD_WINDOW_LOG = 21
_ZSTD_JOB = 1 << 21


def write_gzip(pieces: Iterable[tuple[bytes, int]], handle: BinaryIO) -> None:
    """Write bytes as one gzip member, each piece by a strategy of deflate."""
    remaining = iter(pieces)
    history, checksum, size = b"", 0, 0
    handle.write(_GZIP_HEAD)
    with ThreadPoolExecutor(_THREADS) as threads:
        while batch := list(islice(remaining, 2 * _THREADS)):
            histories = [history]
            for piece, _ in batch:
                checksum = zlib.crc32(piece, checksum)
                size += len(piece)
                histories.append((histories[-1] + piece[-_HISTORY:])[-_HISTORY:])
            history = histories.pop()
            for deflated in threads.map(_deflated, batch, histories):
                handle.write(deflated)
    handle.write(zlib.compressobj(wbits=-15).flush())  # a last, empty block
    handle.write(struct.pack("<II", checksum, size % 2**32))


def zstd_stream(pieces: Iterable[bytes], size: int) -> bytes:
    """Bytes, `size` in all, as one zstd frame that says its size."""
    import zstandard

    parameters = zstandard.ZstdCompressionParameters.from_level(
        _ZSTD_LEVEL,
        window_log=_ZSTD_WINDOW_LOG,
        search_log=_ZSTD_SEARCH_LOG,
        threads=_THREADS,
        job_size=_ZSTD_JOB,
        write_content_size=True,
    )
    stream = zstandard.ZstdCompressor(compression_params=parameters).compressobj(size=size)
    return b"".join([*map(stream.compress, pieces), stream.flush()])


def gzip_strategy(content: bytes | memoryview) -> int:
    """The strategy of deflate for harmonics: a search for matches, or where a sample hardly gains by it, none."""
    starts = [part * (len(content) - _SAMPLE) // (_SAMPLES - 1) for part in range(_SAMPLES)]
    few = len(content) <= _SAMPLES * _SAMPLE
    sample = bytes(content) if few else b"".join(content[start : start + _SAMPLE] for start in starts)
    fast = {strategy: len(_deflated((sample, strategy), b"")) for strategy in (zlib.Z_RLE, zlib.Z_HUFFMAN_ONLY)}
    best = min(fast, key=fast.__getitem__)
    searched = len(_deflated((sample, zlib.Z_DEFAULT_STRATEGY), b""))
    return zlib.Z_DEFAULT_STRATEGY if searched < (1 - _WORTH_SEARCHING) * fast[best] else best


def _deflated(piece: tuple[bytes, int], history: bytes) -> bytes:
    content, strategy = piece
    compressor = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, -15, strategy=strategy, zdict=history)
    return compressor.compress(content) + compressor.flush(zlib.Z_SYNC_FLUSH)
