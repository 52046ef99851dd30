"""SOG in levels of detail, by splat-transform and by hand; and bad files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from support import splat_transform
from support.scene_comparison import random_scene
from torch import Tensor

from leansplat import formats
from leansplat.cli import main
from leansplat.errors import SceneFileError
from leansplat.gaussians import Gaussians, concatenate

FINE, OTHER, COARSE, SKY = (random_scene(count, 0, seed=count) for count in (90, 60, 50, 7))


def content() -> dict[str, Any]:
    """Two levels; two leaves, of which the second has nothing at level 1; and rows that no leaf has."""
    first = {"0": {"file": 0, "offset": 0, "count": 90}, "1": {"file": 2, "offset": 10, "count": 30}}
    second = {"0": {"file": 1, "offset": 20, "count": 40}}
    return {
        "version": 1,
        "lodLevels": 2,
        "counts": [130, 30],
        "filenames": ["0_0/meta.json", "0_1/meta.json", "1_0/meta.json"],
        "tree": {"children": [{"lods": first}, {"children": [{"lods": second}]}]},
    }


@pytest.fixture(scope="module")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("streamed")
    for name, scene in {"0_0": FINE, "0_1": OTHER, "1_0": COARSE, "env": SKY}.items():
        (folder / name).mkdir()
        formats.write(scene, folder / name / "meta.json")
    return folder


def written(folder: Path, **changes: Any) -> Path:
    (folder / "lod-meta.json").write_text(json.dumps(content() | changes))
    return folder / "lod-meta.json"


def part(folder: Path, name: str) -> Gaussians:
    return formats.read(folder / name / "meta.json")


def ordered(means: Tensor) -> Tensor:
    return means[means[:, 0].argsort()]


def test_the_finest_level_is_read_as_one_scene(scenes: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = written(scenes)
    found = formats.read(path)
    assert torch.equal(found.means, concatenate([part(scenes, "0_0"), part(scenes, "0_1")[20:60]]).means)
    assert f"{path}: level 0 of 2 was read, where 0 is the finest" in caplog.text
    assert len(caplog.records) == 1


def test_another_level_is_read_where_it_is_asked_for(scenes: Path) -> None:
    found = formats.read(written(scenes), level=1)
    assert torch.equal(found.means, part(scenes, "1_0")[10:40].means)
    with pytest.raises(SceneFileError, match="has no level 2; it has 2, from 0, the finest, on"):
        formats.read(written(scenes), level=2)
    with pytest.raises(SceneFileError, match="has no levels of detail"):
        formats.read(scenes / "0_0" / "meta.json", level=1)


def test_the_environment_belongs_to_every_level(scenes: Path) -> None:
    path = written(scenes, environment="env/meta.json")
    assert [len(formats.read(path, level=level)) for level in (0, 1)] == [137, 37]
    assert torch.equal(formats.read(path, level=1)[30:].means, part(scenes, "env").means)


def test_bytes_are_those_of_all_levels(scenes: Path) -> None:
    path = written(scenes, environment="env/meta.json")
    assert formats.scene_bytes(path) == sum(file.stat().st_size for file in scenes.rglob("*") if file.is_file())


def test_the_command_line_converts_a_level(scenes: Path, tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr("leansplat.cli._send_log_to_stderr", lambda: None)
    for options, count in (([], 130), (["--level", "1"], 30)):
        target = tmp_path / f"{count}.ply"
        assert main(["convert", str(written(scenes)), str(target), "--json", *options]) == 0
        assert json.loads(capsys.readouterr().out)["gaussians"] == count


def test_one_scene_alone_is_not_written_as_levels(tmp_path: Path) -> None:
    with pytest.raises(SceneFileError, match="made of several scenes by `leansplat shrink --ladder`"):
        formats.write(FINE, tmp_path / "lod-meta.json")
    assert list(tmp_path.iterdir()) == []


def leaf(**entry: Any) -> dict[str, Any]:
    return {"lods": {"0": {"file": 0, "offset": 0, "count": 90} | entry}}


REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "another version": ({"version": 2}, "of version 2"),
    "no levels": ({"lodLevels": "two"}, "'lodLevels' is missing"),
    "no tree": ({"tree": None}, "'tree' is missing"),
    "a count that is wrong": ({"counts": [131, 30]}, "130 Gaussians of level 0, and not 131"),
    "too few counts": ({"counts": []} | {"lodLevels": 1, "tree": leaf(count=91)}, "rows up to 91"),
    "a file outside": ({"filenames": ["../0_0/meta.json"] * 3}, "outside its folder"),
    "an absolute file": ({"filenames": ["/etc/passwd", "a", "b"]}, "outside its folder"),
    "a web address": ({"filenames": ["https://example.org/meta.json", "a", "b"]}, "names a file"),
    "a name that is a number": ({"filenames": [3, "a", "b"]}, "names a file 3"),
    "a name of two lines": ({"filenames": ["a\nb", "a", "b"]}, "names a file"),
    "the same file twice": ({"filenames": ["0_0/meta.json"] * 3}, "names a file twice"),
    "the same file under two names": ({"filenames": ["0_0/meta.json", "./0_0/meta.json", "b"]}, "a file twice"),
    "an environment outside": ({"environment": "../env.json"}, "outside its folder"),
    "a file that no list has": ({"counts": [90], "tree": leaf(file=9)}, "no entry 9 in a list of 3"),
    "rows beyond the end": ({"counts": [90], "tree": leaf(offset=1)}, "rows up to 91 of 0_0/meta.json, which has 90"),
    "10^15 rows": ({"counts": [], "tree": leaf(count=10**15)}, "which has 90"),
    "10^30 rows": ({"counts": [], "tree": leaf(count=10**30)}, "'count' is negative or too large"),
    "a negative offset": ({"counts": [90], "tree": leaf(offset=-1)}, "'offset' is negative"),
    "rows of two leaves": ({"counts": [], "tree": {"children": [leaf(), leaf(offset=89, count=1)]}}, "the same rows"),
    "a leaf that is a list": ({"tree": {"lods": []}}, "'lods' is missing or not of type dict"),
    "a child that is a number": ({"tree": {"children": [3]}}, "no object"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_bad_files_are_refused_in_one_sentence(scenes: Path, case: str) -> None:
    changes, expected = REFUSED[case]
    path = written(scenes, **changes)
    with pytest.raises(SceneFileError) as caught:
        formats.read(path)
    assert str(caught.value).startswith(str(path))
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_link_out_of_the_folder_is_not_followed(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "0_0").symlink_to(scenes / "0_0")
    leaves = {"tree": leaf(), "counts": [90], "filenames": ["0_0/meta.json"]}
    with pytest.raises(SceneFileError, match="outside its folder"):
        formats.read(written(tmp_path, **leaves))


def test_a_file_that_is_missing_is_named(scenes: Path) -> None:
    path = written(scenes, filenames=["0_9/meta.json", "0_1/meta.json", "1_0/meta.json"])
    with pytest.raises(SceneFileError, match=r"0_9/meta\.json does not exist"):
        formats.read(path)


def test_what_splat_transform_streams_is_read_back_level_by_level(tmp_path: Path) -> None:
    levels = {0: random_scene(2500, 0, seed=1), 1: random_scene(700, 0, seed=2), -1: random_scene(40, 0, seed=3)}
    for level, scene in levels.items():
        formats.write(scene, tmp_path / f"{level}.ply")
    tagged = [(str(tmp_path / f"{level}.ply"), "--tag-lod", str(level)) for level in levels]
    splat_transform.run(
        *("--gpu", "cpu", "--lod-chunk-count", "1", "--lod-chunk-min", "1", "--lod-chunk-extent", "3"),
        *(word for words in tagged for word in words),
        str(tmp_path / "out" / "lod-meta.json"),
    )
    path = tmp_path / "out" / "lod-meta.json"
    assert len(json.loads(path.read_text())["filenames"]) > 2
    for level in (0, 1):
        found = formats.read(path, level=level)
        expected = concatenate([levels[level], levels[-1]])
        assert len(found) == len(expected)
        for axis in range(3):
            ours, theirs = (scene.means[:, axis].sort().values for scene in (found, expected))
            assert torch.allclose(ours, theirs, atol=2e-3)
        ours, theirs = (scene.opacities.sigmoid().sort().values for scene in (found, expected))
        assert torch.allclose(ours, theirs, atol=5e-3)  # theirs are rounded down
