"""Scenes and captures of a fraction of a unit: drawn, trained and looked at like those of ten units."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.arrangements import panorama, photographed, place, walk
from support.arrangements import ring as ring_of_cameras
from support.capture_folder import write_nerfstudio
from support.photographed_scenes import photographed_table, ring
from support.small_worlds import smaller_camera, smaller_cameras, smaller_capture, smaller_scene

from leansplat import captures, engines
from leansplat.cameras import Camera, scene_extent
from leansplat.captures.common_point import common_point, near_plane
from leansplat.captures.inria_cameras import read_cameras
from leansplat.near_plane import NEAR
from leansplat.processes.telling import camera_as_json, camera_of
from leansplat.records import camera_json, read_camera
from leansplat.scoring import mean_score, view_scores
from leansplat.training import TrainingConfig, train
from leansplat.training.random_start import scene_box
from leansplat.viewpoints import made_up_views

SMALL = 2.0**-8
TABLE = photographed_table(ring())[::4]
RING = ring_of_cameras(12, 6.0, 0.0)


def test_cameras_around_something_of_a_few_units_have_the_published_plane() -> None:
    assert near_plane(RING) == NEAR
    assert near_plane(smaller_cameras(RING, 0.2)) == NEAR


@pytest.mark.parametrize("factor", [0.1, SMALL])
def test_cameras_around_something_small_have_one_in_proportion(factor: float) -> None:
    assert near_plane(smaller_cameras(RING, factor)) == pytest.approx(NEAR * 6 * factor, rel=0.2)


@pytest.mark.parametrize(
    "cameras",
    [
        pytest.param(walk(20), id="walking through"),
        pytest.param(panorama(12, 0.0), id="on one spot"),
        pytest.param(panorama(12, 0.01), id="nearly on one spot"),
        pytest.param(RING[:1], id="one"),
        pytest.param([RING[0], RING[0]], id="all the same"),
    ],
)
@pytest.mark.parametrize("factor", [1.0, SMALL])
def test_cameras_that_agree_on_no_point_tell_nothing(cameras: list[Camera], factor: float) -> None:
    assert near_plane(smaller_cameras(cameras, factor)) == NEAR


def test_however_small_it_is_the_plane_is_not_at_the_camera() -> None:
    assert near_plane(smaller_cameras(RING, 1e-12)) == pytest.approx(1e-4 * NEAR)


@pytest.mark.parametrize("near", [0.0, -1.0, float("inf"), float("nan")])
def test_a_near_plane_is_positive_and_finite(near: float) -> None:
    with pytest.raises(ValueError, match="near plane"):
        replace(RING[0], near=near)


def test_a_record_of_a_camera_has_its_near_plane() -> None:
    small = replace(RING[0], near=0.01)
    assert read_camera(json.loads(json.dumps(camera_json(small)))).near == 0.01
    older = {name: value for name, value in camera_json(small).items() if name != "near"}
    assert read_camera(older).near == NEAR


def test_other_processes_are_told_the_near_plane_of_a_camera() -> None:
    small = replace(RING[0], near=0.01)
    assert camera_of(json.loads(json.dumps(camera_as_json(small)))).near == 0.01


@pytest.mark.parametrize("engine", ["cpu", "torch"])
def test_a_small_scene_is_drawn_like_a_large_one(engine: str) -> None:
    view = RING[3].resized(48, 48)
    large = engines.named(engine).renderer(TABLE).render(view, (0.0, 0.0, 0.0), depth="median")
    scene = engines.named(engine).renderer(smaller_scene(TABLE, SMALL))
    cut_off = scene.render(smaller_camera(view, SMALL), (0.0, 0.0, 0.0))
    small = scene.render(replace(smaller_camera(view, SMALL), near=SMALL * NEAR), (0.0, 0.0, 0.0), depth="median")
    assert not cut_off.image.any()
    torch.testing.assert_close(small.image, large.image, atol=2e-4, rtol=0)
    assert large.depth is not None
    assert small.depth is not None
    shown = large.alpha > 0.9
    torch.testing.assert_close(small.depth[shown] / SMALL, large.depth[shown], atol=0.05, rtol=0)


def test_a_small_capture_on_disk_is_loaded_with_its_plane(tmp_path: Path) -> None:
    capture = photographed(RING, place(500))
    folder = write_nerfstudio(smaller_capture(capture, SMALL), tmp_path / "small")
    views = captures.load(folder).train
    near = near_plane(smaller_cameras(RING, SMALL))
    cameras = [view.camera for view in views] + list(captures.cameras_of(folder).values())
    assert [camera.near for camera in cameras] == pytest.approx([near] * len(cameras), rel=0.05)
    assert {view.camera.near for view in captures.load(write_nerfstudio(capture, tmp_path / "large")).train} == {NEAR}


def test_small_cameras_of_a_file_have_their_plane(tmp_path: Path) -> None:
    entries = [
        {
            "img_name": f"{number:03}",
            "width": camera.width,
            "height": camera.height,
            "fx": camera.fx,
            "fy": camera.fy,
            "position": camera.position.tolist(),
            "rotation": camera.world_to_camera[:3, :3].T.tolist(),
        }
        for number, camera in enumerate(smaller_cameras(RING, SMALL))
    ]
    (tmp_path / "cameras.json").write_text(json.dumps(entries), encoding="utf-8")
    found = read_cameras(tmp_path / "cameras.json")
    (near,) = {camera.near for camera in found.values()}
    assert near == pytest.approx(near_plane(smaller_cameras(RING, SMALL)))


def test_a_small_capture_is_learned_as_well_as_a_large_one(tmp_path: Path) -> None:
    capture = photographed(ring_of_cameras(24, 6.0, 0.0), place(2000))
    reached = []
    for factor in (1.0, SMALL):
        folder = write_nerfstudio(smaller_capture(capture, factor), tmp_path / str(factor))
        loaded = captures.load(folder)
        result = train(loaded, replace(TrainingConfig().scaled(200), seed=3), tmp_path / f"run {factor}")
        renderer = engines.named("cpu").renderer(result.gaussians)
        reached.append(mean_score(view_scores(renderer, loaded.test, loaded.background, None)).psnr)
    assert reached[0] > 14
    assert reached[1] > reached[0] - 1


def test_a_small_capture_has_an_extent_and_a_box_to_start_in() -> None:
    small = [replace(camera, near=SMALL * NEAR) for camera in smaller_cameras(RING, SMALL)]
    assert scene_extent(small) == pytest.approx(SMALL * scene_extent(RING))
    box, small_box = scene_box(RING), scene_box(small)
    assert box is not None
    assert small_box is not None
    assert small_box[1] == pytest.approx(SMALL * box[1])
    assert common_point(small) is not None


@pytest.mark.parametrize("factor", [0.05, SMALL, 2.0**-12])
def test_as_many_views_of_a_small_object_are_made_up_and_all_show_it(factor: float) -> None:
    expected = made_up_views(TABLE, 16, size=48)
    small = smaller_scene(TABLE, factor)
    found = made_up_views(small, 16, size=48)
    assert (found.kind, found.known) == (expected.kind, expected.known) == ("object", True)
    assert len(found.cameras) == len(expected.cameras)
    scene = engines.named("cpu").renderer(small)
    for camera in found.cameras.values():
        assert float(scene.render(camera, (0.0, 0.0, 0.0)).alpha.mean()) > 0.1
