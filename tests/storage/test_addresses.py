"""What counts as an address, and the names made of one."""

from __future__ import annotations

from pathlib import Path

import pytest

from leansplat.errors import InputError
from leansplat.storage import checked, is_address, joined, last_name, local_path, parent


@pytest.mark.parametrize("text", ["s3://bucket/a.ply", "gs://b/c", "file:///tmp/a", "memory://a", "ftp://x/y"])
def test_what_has_a_scheme_is_an_address(text: str) -> None:
    assert is_address(text)


@pytest.mark.parametrize("text", ["a.ply", "/tmp/a", "C:/scenes/a.ply", "C:\\scenes", "scenes/s3:/x", "", "https:"])
def test_what_has_none_is_a_path(text: str) -> None:
    assert not is_address(text)


def test_names_are_put_together_and_taken_apart_again() -> None:
    address = joined("s3://bucket/scenes/", "hall", "a.ply")
    assert address == "s3://bucket/scenes/hall/a.ply"
    assert last_name(address) == "a.ply"
    assert parent(address) == "s3://bucket/scenes/hall"
    assert checked("S3://bucket/scenes//") == "s3://bucket/scenes"
    assert local_path("file:///data/a.ply") == Path("/data/a.ply")
    assert local_path(address) is None


@pytest.mark.parametrize(
    ("address", "wrong"),
    [
        ("scenes/a.ply", "is not an address"),
        ("ftp://host/a.ply", "a scheme that is not known"),
        ("s3://", "names no place"),
        ("s3://bucket/../other", "has . or .. in it"),
    ],
)
def test_what_is_no_address_is_refused_in_a_sentence(address: str, wrong: str) -> None:
    with pytest.raises(InputError, match=wrong):
        checked(address)


def test_a_bucket_is_in_no_folder() -> None:
    with pytest.raises(InputError, match="is in no folder"):
        parent("s3://bucket")
