"""How captures of a sweep are written on the command line."""

from __future__ import annotations

from pathlib import Path

import pytest

from leansplat.errors import InputError
from leansplat.paper.sources import Source, load_source, parse_source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos", Source("photos", "photos")),
        ("fox=photos@4", Source("fox", "photos", 4)),
        ("fox=photos@4@white", Source("fox", "photos", 4, "white")),
        ("fox=photos@white@4", Source("fox", "photos", 4, "white")),
        ("garden=photos", Source("garden", "photos", 4)),
        ("garden=photos@2", Source("garden", "photos", 2)),
        ("truck=photos", Source("truck", "photos", 1)),
        ("at=a@b", Source("at", "a@b")),
        ("synthetic", Source("synthetic", "synthetic")),
    ],
)
def test_a_source_is_read_as_written(text: str, expected: Source, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    (tmp_path / "a@b").mkdir()
    assert parse_source(text) == expected


@pytest.mark.parametrize("text", ["fox=nowhere", "../x=photos", "a/b=photos", "photos@0", "fox="])
def test_a_source_without_a_usable_name_or_folder_is_refused(text: str, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    with pytest.raises(InputError, match="NAME=FOLDER"):
        parse_source(text)


def test_the_built_in_capture_needs_no_folder(monkeypatch) -> None:
    monkeypatch.setattr("leansplat.captures.synthetic_capture", lambda: "the built-in one")
    assert load_source(parse_source("try=synthetic")) == "the built-in one"
