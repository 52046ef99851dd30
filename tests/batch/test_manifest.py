"""Manifests: what a line means, and the sentence with its number for one that means nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from leansplat.batch.asked import Asked
from leansplat.batch.manifest import read_manifest
from leansplat.errors import InputError


def read(tmp_path: Path, *lines: Any) -> list[Asked]:
    path = tmp_path / "scenes.jsonl"
    path.write_text("".join(f"{line if isinstance(line, str) else json.dumps(line)}\n" for line in lines))
    return list(read_manifest(path))


def test_paths_are_relative_to_the_manifest_and_names_are_those_of_inputs_or_outputs(tmp_path: Path) -> None:
    plain, named, other = read(
        tmp_path,
        {"input": "scans/hall.compressed.ply"},
        {"input": "/data/garden.ply", "capture": "photos/garden", "output": "web/small.sog"},
        {"input": "s3://scenes/fox.spz", "output": "fox.v2"},
    )
    assert (plain.name, plain.source, plain.suffix) == ("hall", str(tmp_path / "scans/hall.compressed.ply"), None)
    assert (named.name, named.suffix, named.source) == ("web/small", ".sog", "/data/garden.ply")
    assert named.capture == str(tmp_path / "photos/garden")
    assert (other.name, other.source, other.suffix) == ("fox.v2", "s3://scenes/fox.spz", None)
    assert plain.where == f"{tmp_path / 'scenes.jsonl'}:1"


@pytest.mark.parametrize(
    ("target", "options"),
    [
        ("10MB", ("--size", "10MB")),
        ("25 %", ("--keep", "25 %")),
        (300_000, ("--count", "300000")),
        ({"max-drop": 0.1}, ("--max-drop", "0.1")),
        ({"max_drop": 0.1}, ("--max-drop", "0.1")),
        (None, ()),
    ],
)
def test_a_target_is_a_size_a_share_a_count_or_says_what_it_is(tmp_path: Path, target: Any, options: tuple) -> None:
    (asked,) = read(tmp_path, {"input": "a.ply", "target": target})
    assert asked.options == options


def test_options_are_names_with_values_or_words_as_they_are_typed(tmp_path: Path) -> None:
    wanted = ("--steps", "500", "--floaters", "--protect", "box:0,0,0,1,1,1", "sphere:0,0,0,1")
    protected = ["box:0,0,0,1,1,1", "sphere:0,0,0,1"]
    named = {"steps": 500, "floaters": True, "quiet": False, "protect": protected}
    first, second = read(tmp_path, {"input": "a.ply", "options": named}, {"input": "b.ply", "options": [*wanted]})
    assert first.options == second.options == wanted


def test_empty_lines_count_for_nothing_but_for_the_numbers_of_others(tmp_path: Path) -> None:
    first, second = read(tmp_path, "", {"input": "a.ply"}, "   ", {"input": "b.ply"})
    assert [asked.where.rpartition(":")[2] for asked in (first, second)] == ["2", "4"]


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("{", "is not JSON"),
        ('"a.ply"', "is not an object"),
        ({"inptu": "a.ply"}, "has the key 'inptu'; known are input, capture, target, output, options"),
        ({"output": "a.sog"}, "has no input"),
        ({"input": 3}, "has input 3"),
        ({"input": "a.ply", "output": "../a.sog"}, "stays within the folder"),
        ({"input": "a.ply", "output": "/a.sog"}, "stays within the folder"),
        ({"input": "a.ply", "output": "x/.sog"}, "a name before its suffix"),
        ({"input": "a.ply", "target": 0.5}, "has target 0.5"),
        ({"input": "a.ply", "target": True}, "has target True"),
        ({"input": "a.ply", "options": "--steps 5"}, "has options '--steps 5'"),
        ({"input": "a.ply", "options": {"-o": "x"}}, "that is not the name of an option"),
        ({"input": "a.ply", "options": {"steps": {"a": 1}}}, "has steps {'a': 1}"),
    ],
)
def test_a_line_that_means_nothing_is_refused_with_its_number(tmp_path: Path, line: Any, complaint: str) -> None:
    with pytest.raises(InputError) as error:
        read(tmp_path, {"input": "fine.ply"}, line)
    assert str(error.value).startswith(f"{tmp_path / 'scenes.jsonl'}:2 ")
    assert complaint in str(error.value)


def test_a_manifest_of_nothing_or_of_other_bytes_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="names no scene"):
        read(tmp_path, "")
    (tmp_path / "scenes.jsonl").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="not text in UTF-8"):
        list(read_manifest(tmp_path / "scenes.jsonl"))
