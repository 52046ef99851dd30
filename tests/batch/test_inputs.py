"""What a batch finds in folders and by patterns, how it is called, and which outputs would be each other's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from support.random_cloud import cloud

from leansplat import formats
from leansplat.batch.inputs import asked_for
from leansplat.batch.planning import Batch, planned
from leansplat.commands.batch import understood
from leansplat.errors import InputError


@pytest.fixture
def scenes(tmp_path: Path) -> Path:
    """Scenes in all the ways in which they lie about."""
    folder = tmp_path / "scenes"
    for name in ("b.ply", "a.compressed.ply", "hall/north.spz", "hall/north.sog.json", "notes.txt", ".hidden/x.ply"):
        _touch(folder / name)
    for name in ("run/config.json", "run/scene.ply", "run/checkpoints/step_1.safetensors", "begun/config.json"):
        _touch(folder / name)
    for name in ("inria/cfg_args", "inria/input.ply", "inria/point_cloud/iteration_7000/point_cloud.ply"):
        _touch(folder / name)
    for name in ("photos/sparse/0/points3D.ply", "photos/sparse_pc.ply", "streamed/lod-meta.json"):
        _touch(folder / name)
    (folder / "streamed" / "0_0").mkdir()
    for place in ("streamed/0_0", "unpacked"):
        _touch(folder / place / "meta.json", json.dumps({"version": 2, "means": {}}))
    _touch(folder / "other" / "meta.json", json.dumps({"title": "something else"}))
    return folder


def _touch(path: Path, text: str = "") -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def found(words: list[Path | str], takes: str = "scene", output: Path = Path("elsewhere")) -> dict[str, str]:
    return {asked.name: asked.source for asked in asked_for([str(word) for word in words], takes, output)}


def test_a_folder_is_searched_and_a_scene_of_many_files_counts_once(scenes: Path, caplog) -> None:
    expected = {
        "a": "a.compressed.ply",
        "b": "b.ply",
        "hall/north": "hall/north.spz",
        "inria": "inria",
        "run": "run",
        "streamed": "streamed/lod-meta.json",
        "unpacked": "unpacked/meta.json",
    }
    assert found([scenes]) == {name: str(scenes / path) for name, path in expected.items()}
    assert "begun is a run without a scene yet; it is left out" in caplog.text


def test_outputs_within_the_inputs_are_not_inputs_the_next_time(scenes: Path) -> None:
    before = found([scenes], output=scenes / "small")
    _touch(scenes / "small" / "b.sog")
    assert found([scenes], output=scenes / "small") == before


def test_folders_that_link_to_each_other_are_entered_once(scenes: Path) -> None:
    (scenes / "hall" / "up").symlink_to(scenes, target_is_directory=True)
    assert len(found([scenes])) == 7


def test_a_pattern_names_scenes_by_what_its_stars_stand_for(scenes: Path) -> None:
    assert set(found([scenes / "*.ply"])) == {"a", "b"}
    assert found([scenes / "**" / "*.spz"]) == {"hall/north": str(scenes / "hall/north.spz")}
    assert set(found([scenes / "[br]*"])) == {"b", "run"}
    with pytest.raises(InputError, match="matches no scene"):
        found([scenes / "*.splat"])


def test_what_is_named_by_itself_is_called_by_itself(scenes: Path) -> None:
    assert set(found([scenes / "hall/north.spz", scenes / "run"])) == {"north", "run"}
    with pytest.raises(InputError, match=r"missing\.ply does not exist"):
        found([scenes / "missing.ply"])


def test_captures_and_runs_are_found_where_a_command_takes_those(scenes: Path) -> None:
    _touch(scenes / "photos" / "sparse" / "0" / "cameras.bin")
    for name in ("images.bin", "points3D.bin"):
        _touch(scenes / "photos" / "sparse" / "0" / name)
    _touch(scenes / "fox" / "transforms.json")
    assert set(found([scenes], "capture")) == {"photos", "fox"}
    _touch(scenes / "b.ply.json")
    assert set(found([scenes], "run")) == {"run", "b"}
    with pytest.raises(InputError, match="holds no capture"):
        found([scenes / "hall"], "capture")


def plan(tmp_path: Path, inputs: list[Path], command: str = "shrink", **options: Any) -> list[str]:
    batch = Batch([str(path) for path in inputs], tmp_path / "out", command, **options)
    return [str(Path(scene.output(batch)).relative_to(tmp_path / "out")) for scene in planned(batch, understood)]


def test_outputs_lie_as_inputs_do(tmp_path: Path) -> None:
    for name in ("a.ply", "hall/north.spz"):
        _touch(tmp_path / "in" / name)
    assert plan(tmp_path, [tmp_path / "in"]) == ["a.sog", "hall/north.sog"]
    assert plan(tmp_path, [tmp_path / "in"], form="compressed.ply") == ["a.compressed.ply", "hall/north.compressed.ply"]
    assert plan(tmp_path, [tmp_path / "in"], "info") == ["a.json", "hall/north.json"]
    assert plan(tmp_path, [tmp_path / "in"], "render", options=["--orbit", "3"]) == ["a", "hall/north"]


@pytest.mark.parametrize(
    ("files", "command", "complaint"),
    [
        (["a.ply", "a.spz"], "shrink", "would both become"),
        (["a.ply", "A.spz"], "shrink", "would both become"),
        (["results.ply"], "info", "which is the batch's own"),
        (["a.ply", "a/b.ply"], "render", "would be written into the folder that"),
    ],
)
def test_outputs_that_would_be_each_others_are_refused(
    tmp_path: Path, files: list[str], command: str, complaint: str
) -> None:
    for name in files:
        _touch(tmp_path / "in" / name)
    with pytest.raises(InputError, match=complaint):
        plan(tmp_path, [tmp_path / "in"], command, options=["--orbit", "3"] if command == "render" else [])


@pytest.mark.parametrize(
    ("command", "options", "form", "complaint"),
    [
        ("shrink", ["--sise", "10MB"], None, "shrink cannot be run so: Unrecognized options: --sise, 10MB;"),
        ("shrink", ["--keep", "300%"], None, "300% is not a share"),
        ("shrink", ["--size", "10"], None, "size '10' has no unit"),
        ("shrink", ["--size", "1MB", "--preset", "web"], None, "--preset is a target already; leave --size out"),
        ("shrink", ["--steps", "-1"], None, "setting steps is -1"),
        ("shrink", ["--ladder", "10"], None, "'10'"),
        ("shrink", ["--blocks", "none"], None, "'none'"),
        ("shrink", ["--seed", "-1"], None, "seed is -1"),
        ("trim", ["--capture", "x"], None, "trimming needs exactly one of keep, count, gamma"),
        ("trim", ["--capture", "x", "--keep", "25%", "--rounds", "0"], None, "rounds"),
        ("compress", ["--steps", "-1"], None, "steps is -1"),
        ("convert", ["--spz-sh-bits", "4", "9"], "spz", "1 to 8 bits for spherical harmonics"),
        ("convert", ["--spz-version", "4"], "sog", "leave the options of SPZ out"),
        ("render", ["--orbit", "0"], None, "--orbit is 0; give 1 to"),
        ("compress", ["--palette-size", "0"], None, "palette"),
        ("compress", ["--palette-size", "64"], "spz", "palette_size"),
        ("shrink", ["-o", "x.sog"], None, "every scene gets an output of its own"),
        ("shrink", ["--run", "x"], None, "--run is not for many scenes"),
        ("shrink", ["--resume"], None, "--resume is not for many scenes"),
        ("shrink", ["--show-cameras", "x.png"], None, "--show-cameras is not for many scenes"),
        ("shrink", ["another.ply"], None, "Unrecognized options: another.ply"),
        ("trim", ["--keep", "25%"], None, "Missing from leansplat trim: --capture"),
        ("trim", ["--capture", "x"], "sog", "trim writes no scene file, so leave --format out"),
        ("convert", [], None, "say which, such as --format spz"),
        ("convert", [], "jpeg", "does not end in the suffix of a known format"),
        ("view", [], None, "view is not a command for many scenes"),
        ("batch", [], None, "batch is not a command for many scenes"),
    ],
)
def test_a_command_that_cannot_be_run_on_many_is_refused_before_anything(
    tmp_path: Path, command: str, options: list[str], form: str | None, complaint: str
) -> None:
    _touch(tmp_path / "in" / "a.ply")
    with pytest.raises(InputError) as error:
        plan(tmp_path, [tmp_path / "in"], command, options=options, form=form)
    assert complaint in str(error.value)
    assert not (tmp_path / "out").exists()


def test_a_manifest_decides_for_each_scene_and_its_mistakes_have_a_line(tmp_path: Path) -> None:
    formats.write(cloud(5), tmp_path / "a.ply")
    path = tmp_path / "scenes.jsonl"
    lines: list[dict[str, Any]] = [
        {"input": "a.ply", "target": "1MB"},
        {"input": "a.ply", "output": "web/a.spz", "options": {"steps": 3}},
    ]
    path.write_text("\n".join(map(json.dumps, lines)))
    assert plan(tmp_path, [path]) == ["a.sog", "web/a.spz"]
    path.write_text("\n".join(map(json.dumps, [*lines, {"input": "a.ply", "output": "c", "options": {"stepz": 3}}])))
    with pytest.raises(InputError, match=r"scenes.jsonl:3: shrink cannot be run so: Unrecognized options: --stepz"):
        plan(tmp_path, [path])
    path.write_text(json.dumps({"input": "a.ply", "output": "a.jpeg"}))
    assert plan(tmp_path, [path]) == ["a.jpeg.sog"]
    path.write_text(json.dumps({"input": "a.ply", "capture": "x", "output": "a.ply"}))
    with pytest.raises(InputError, match=r"scenes.jsonl:1.*trim does not write"):
        plan(tmp_path, [path], "trim")
    path.write_text(json.dumps({"input": "a.ply", "capture": "x"}))
    assert plan(tmp_path, [path], "trim", options=["--keep", "5%"]) == ["a"]
    with pytest.raises(InputError, match="is given another with --capture"):
        plan(tmp_path, [path], "trim", options=["--keep", "5%", "--capture", "y"])
