"""Where the cameras come from that a scene is looked at from."""

from __future__ import annotations

from pathlib import Path

import pytest
from support import camera_files
from support.arrangements import place, ring
from support.capture_folder import write_nerfstudio
from support.tiny import tiny_capture

from leansplat import formats
from leansplat.errors import CaptureError
from leansplat.runs import create_run
from leansplat.shrinking import sources
from leansplat.shrinking.sources import find_source

SCENE = place(50)


def write_cameras(path: Path, count: int = 3, size: int = 900) -> Path:
    return camera_files.write_cameras(path, [camera.resized(size, size // 3) for camera in ring(count, 4.0, 0.0)])


@pytest.fixture(autouse=True)
def nothing_is_made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*arguments: object, **named: object) -> None:
        raise AssertionError("cameras were made up")

    monkeypatch.setattr(sources, "made_up_views", refuse)


def test_cameras_that_are_asked_for_come_before_those_beside_the_scene(tmp_path: Path) -> None:
    scene = tmp_path / "scene.ply"
    formats.write(SCENE, scene)
    write_cameras(tmp_path / "cameras.json", 3)
    asked = write_cameras(tmp_path / "others.json", 4)
    assert len(find_source(SCENE, scene).cameras) == 3
    found = find_source(SCENE, scene, cameras=asked)
    assert (found.kind, len(found.cameras)) == ("cameras", 4)
    assert str(asked) in found.told


@pytest.mark.parametrize("place_of_cameras", ["scene.cameras.json", "cameras.json"])
def test_cameras_beside_a_file_are_found(tmp_path: Path, place_of_cameras: str) -> None:
    formats.write(SCENE, tmp_path / "scene.ply")
    write_cameras(tmp_path / place_of_cameras)
    assert find_source(SCENE, tmp_path / "scene.ply").kind == "cameras"


def test_cameras_of_an_output_folder_of_3dgs_are_found_from_its_point_cloud(tmp_path: Path) -> None:
    folder = tmp_path / "point_cloud" / "iteration_7"
    folder.mkdir(parents=True)
    formats.write(SCENE, folder / "point_cloud.ply")
    write_cameras(tmp_path / "cameras.json")
    assert find_source(SCENE, folder / "point_cloud.ply").kind == "cameras"
    assert find_source(SCENE, tmp_path).kind == "cameras"


def test_no_side_of_a_view_is_longer_than_asked_and_a_downscale_counts_instead(tmp_path: Path) -> None:
    file = write_cameras(tmp_path / "cameras.json", size=900)
    sizes = {
        (camera.width, camera.height)
        for camera in find_source(SCENE, SCENE, cameras=file, view_size=300).cameras.values()
    }
    assert sizes == {(300, 100)}
    camera = next(iter(find_source(SCENE, SCENE, cameras=file, view_size=300, downscale=2).cameras.values()))
    whole = next(iter(find_source(SCENE, SCENE, cameras=file, view_size=2000).cameras.values()))
    assert whole.width == 900
    assert (camera.width, camera.height, camera.fx) == (450, 150, whole.fx / 2)


def test_photos_bring_their_cameras_their_split_and_themselves_to_judge_by(tmp_path: Path) -> None:
    capture = tiny_capture()
    found = find_source(SCENE, SCENE, capture=write_nerfstudio(capture, tmp_path))
    assert found.kind == "photos"
    assert found.photos is not None
    assert len(found.cameras) == len(found.photos.train) + len(found.photos.test)
    assert found.held_back == tuple(view.name for view in found.photos.test)


def test_a_run_knows_the_photos_that_its_scene_was_trained_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    photos = write_nerfstudio(tiny_capture(), tmp_path / "photos")
    run = create_run(tmp_path / "run", "train", {"capture": str(photos), "downscale": 1}, {}, seed=0)
    run.write_scene(SCENE)
    for scene in (tmp_path / "run", tmp_path / "run" / "scene.ply"):
        assert find_source(SCENE, scene).kind == "photos"
    assert any("trained on" in message for message in caplog.messages)
    asked = write_cameras(tmp_path / "others.json", 4)
    assert find_source(SCENE, tmp_path / "run", cameras=asked).kind == "cameras"
    photos.rename(tmp_path / "moved")
    write_cameras(tmp_path / "run" / "cameras.json")
    assert find_source(SCENE, tmp_path / "run").kind == "cameras"


def test_photos_that_are_too_long_are_loaded_smaller_with_a_word(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = write_nerfstudio(tiny_capture(), tmp_path)
    whole = find_source(SCENE, SCENE, capture=folder)
    longest = max(camera.width for camera in whole.cameras.values())
    half = find_source(SCENE, SCENE, capture=folder, view_size=longest // 2)
    assert max(camera.width for camera in half.cameras.values()) == longest // 2
    assert any("half" in message for message in caplog.messages)


def test_a_file_of_cameras_that_is_not_there_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match=r"none\.json"):
        find_source(SCENE, SCENE, cameras=tmp_path / "none.json")
