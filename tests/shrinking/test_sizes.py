"""Sizes as people write them."""

from __future__ import annotations

import pytest

from leansplat.errors import InputError
from leansplat.shrinking.sizes import format_bytes, parse_bytes


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("10MB", 10_000_000),
        (" 10 mb ", 10_000_000),
        ("1.5Mb", 1_500_000),
        (".5GB", 500_000_000),
        ("800 kB", 800_000),
        ("1e3 KB", 1_000_000),
        ("10MiB", 10 * 2**20),
        ("3 kib", 3 * 2**10),
        ("2GiB", 2**31),
        ("777 B", 777),
        ("10.MB", 10_000_000),
    ],
)
def test_a_number_with_a_unit_is_a_size(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("10", "has no unit"),
        ("ten MB", "not a number with a unit"),
        ("", "not a number with a unit"),
        ("MB", "not a number with a unit"),
        ("10 20 MB", "not a number with a unit"),
        ("10 TB", "unknown unit"),
        ("10 megs", "unknown unit"),
        ("0", "not above zero"),
        ("0 MB", "not above zero"),
        ("-3MB", "not above zero"),
        ("nan MB", "not a number;"),
        ("inf GB", "more than 1,000 GB"),
        ("1e30MB", "more than 1,000 GB"),
        ("0.2B", "less than a byte"),
        ("9" * 100, "has no unit"),
        ("x" * 1000, "not a number with a unit"),
    ],
)
def test_anything_else_is_refused_in_one_sentence(text: str, words: str) -> None:
    with pytest.raises(InputError, match=words) as refused:
        parse_bytes(text)
    message = str(refused.value)
    assert "give one such as 10MB" in message
    assert "\n" not in message
    assert len(message) < 200


def test_a_size_is_written_with_its_unit_and_read_back_to_three_digits() -> None:
    for size, text in ((812, "812 B"), (9_984_000, "9.98 MB"), (41_234, "41.2 kB"), (123_400_000, "123 MB")):
        assert format_bytes(size) == text
        assert parse_bytes(text) == pytest.approx(size, rel=5e-3)
