"""Cameras for scenes that have none, and the sheet that shows them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.photographed_scenes import photographed_table, ring

from leansplat.errors import InputError
from leansplat.gaussians import concatenate
from leansplat.near_plane import NEAR
from leansplat.rendering import render
from leansplat.viewpoints import MadeUpViews, contact_sheet, made_up_views
from leansplat.viewpoints.candidates import Candidate
from leansplat.viewpoints.choice import choose
from leansplat.viewpoints.panorama import RAYS, SOLID_ANGLES, Surveyor
from leansplat.viewpoints.places import spread_out
from leansplat.viewpoints.trained_directions import trained_directions

PLACES = ring()
SCENE = photographed_table(PLACES)


@pytest.fixture(scope="module")
def views() -> MadeUpViews:
    return made_up_views(SCENE, 24, size=(64, 48))


def positions(found: MadeUpViews) -> np.ndarray:
    return np.stack([camera.position.numpy() for camera in found.cameras.values()])


def forward(found: MadeUpViews) -> np.ndarray:
    return np.stack([camera.world_to_camera[2, :3].numpy() for camera in found.cameras.values()])


def test_cameras_are_where_the_scene_was_photographed_from(views: MadeUpViews) -> None:
    """A ring at a height of 1.5 around a table: above it, and not below, where anybody could stand as well."""
    assert views.known
    height = -positions(views)[:, 1]
    assert (height > 0).mean() > 0.9
    nearest = np.linalg.norm(positions(views)[:, None] - PLACES, axis=2).min(axis=1)
    anywhere = np.random.default_rng(0).normal(size=(500, 3))
    anywhere *= np.linalg.norm(PLACES[0]) / np.linalg.norm(anywhere, axis=1, keepdims=True)
    assert np.median(nearest) < 0.6 * np.median(np.linalg.norm(anywhere[:, None] - PLACES, axis=2).min(axis=1))


def test_cameras_look_at_the_scene(views: MadeUpViews) -> None:
    for camera in views.cameras.values():
        assert (camera.width, camera.height) == (64, 48)
        assert float(render(SCENE, camera).alpha.mean()) > 0.2


def test_up_is_away_from_the_table_on_the_side_of_the_cameras(views: MadeUpViews) -> None:
    assert views.up @ (0, -1, 0) > 0.9
    down = np.stack([camera.world_to_camera[1, :3].numpy() for camera in views.cameras.values()])
    assert (down @ views.up <= 1e-9).all()


def test_names_sort_in_their_order_and_every_view_has_its_sureness(views: MadeUpViews) -> None:
    assert sorted(views.cameras) == list(views.cameras)
    assert len(views.sureness) == len(views.cameras) == 24
    assert ((views.sureness > 0) & (views.sureness <= 1)).all()


def test_unseen_counts_the_gaussians_in_no_picture() -> None:
    away = replace(SCENE[:10], means=SCENE.means[:10] + torch.tensor([0.0, 500.0, 0.0]))
    found = made_up_views(concatenate([SCENE[::20], away]), 2, size=48)
    seen = np.zeros(210, bool)
    for camera in found.cameras.values():
        pixels, depth = camera.project(concatenate([SCENE[::20], away]).means.double())
        inside = (pixels >= 0).all(dim=1) & (pixels < torch.tensor([camera.width, camera.height])).all(dim=1)
        seen |= (inside & (depth > 0)).numpy()
    assert found.unseen == (~seen).sum()


def test_the_same_seed_gives_the_same_cameras_and_another_seed_others(views: MadeUpViews) -> None:
    again, other = made_up_views(SCENE, 24, size=(64, 48)), made_up_views(SCENE[::10], 4, size=32, seed=1)
    np.testing.assert_array_equal(positions(again), positions(views))
    np.testing.assert_array_equal(forward(again), forward(views))
    assert (positions(other) != positions(made_up_views(SCENE[::10], 4, size=32))).any()


def test_a_scene_far_from_zero_has_the_same_cameras_there(views: MadeUpViews) -> None:
    far = made_up_views(replace(SCENE, origin=(5e5, -4e6, 128.0)), 24, size=(64, 48))
    np.testing.assert_allclose(positions(far) - (5e5, -4e6, 128.0), positions(views), atol=1e-6)
    np.testing.assert_allclose(forward(far), forward(views), atol=1e-6)


@pytest.mark.parametrize("scale", [30.0, 0.001])
def test_scenes_of_any_size_are_seen(scale: float) -> None:
    scene = replace(SCENE, means=SCENE.means * scale, scales=SCENE.scales + float(np.log(scale)))
    found = made_up_views(scene, 8, size=48)
    assert all(float(render(scene, camera).alpha.mean()) > 0.05 for camera in found.cameras.values())


def test_without_harmonics_an_object_is_seen_from_outside() -> None:
    found = made_up_views(SCENE.with_sh_degree(0), 16, size=48)
    assert not found.known
    assert found.kind == "object"
    towards = (SCENE.means.double().mean(dim=0).numpy() - positions(found)) * forward(found)
    assert (towards.sum(axis=1) > 0).mean() > 0.9


@pytest.mark.parametrize("count", [1, 5, 100])
def test_scenes_of_a_few_gaussians_have_views(count: int) -> None:
    found = made_up_views(SCENE[:count], 4, size=32)
    assert 1 <= len(found.cameras) <= 4


def test_gaussians_that_are_not_finite_are_not_looked_for() -> None:
    broken = SCENE.means.clone()
    broken[0, 0] = torch.nan
    assert len(made_up_views(replace(SCENE, means=broken)[:500], 4, size=32).cameras) == 4


def test_what_cannot_be_is_said_in_a_sentence() -> None:
    with pytest.raises(InputError, match="no Gaussians with finite numbers"):
        made_up_views(SCENE[:0])
    with pytest.raises(InputError, match="use 1 or more"):
        made_up_views(SCENE, 0)
    with pytest.raises(InputError, match="seed is -1"):
        made_up_views(SCENE, seed=-1)


def test_surroundings_have_the_surface_where_it_is() -> None:
    surveyor = Surveyor(SCENE, trained_directions(SCENE.arrays()), NEAR)
    place = np.array([0.0, -4.0, 0.0])
    seen = surveyor.around(place)
    down, up = (int((RAYS @ (0.02, sign, 0.01)).argmax()) for sign in (1, -1))
    assert seen.distance[down] == pytest.approx(4.0 - 1.6, abs=0.1)
    assert np.isinf(seen.distance[up])
    assert seen.neighbourhood[up] == -1
    assert SOLID_ANGLES.sum() == pytest.approx(1)


def test_points_spread_out_are_no_nearer_than_those_left_out() -> None:
    points = np.random.default_rng(0).normal(size=(500, 3))
    chosen = spread_out(points, 40)
    assert 30 <= len(chosen) <= 40
    assert chosen[0] == 0
    apart = np.linalg.norm(points[chosen][:, None] - points[chosen], axis=2)
    left = np.linalg.norm(points[:, None] - points[chosen], axis=2).min(axis=1)
    assert left.max() <= apart[apart > 0].min()


def candidate(shown: list[int], score: float) -> Candidate:
    return Candidate(
        np.zeros(3), np.array([0, 0, 1.0]), score, 1.0, np.array(shown), np.full(len(shown), 0.25), np.ones(len(shown))
    )


def test_the_next_view_is_the_one_that_shows_what_was_not_seen() -> None:
    views = [candidate([0, 1], 0.0), candidate([0, 1], 0.0), candidate([2, 3], -0.1)]
    assert set(choose(views, np.array([1, 1, 0.9]), 4, 2).tolist()) == {0, 2}


def test_what_only_doubtful_views_show_attracts_none() -> None:
    views = [candidate([0, 1], 0.0), candidate([0, 1], 0.0), candidate([2, 3], -7.0)]
    assert set(choose(views, np.array([1, 1, 1e-3]), 4, 2).tolist()) == {0, 1}


def test_a_sheet_shows_all_cameras_and_replaces_no_file_unasked(tmp_path: Path, views: MadeUpViews) -> None:
    path = tmp_path / "cameras.png"
    contact_sheet(SCENE, views.cameras, path, sureness=views.sureness, up=views.up)
    with Image.open(path) as sheet:
        first = np.asarray(sheet.crop((20, 30, 200, 150)))
        columns = sheet.width // 200
        assert sheet.height == -(-24 // columns) * 150 + 480
    camera = next(iter(views.cameras.values())).resized(200, 150)
    expected = (render(SCENE, camera).image[30:150, 20:200].clamp(0, 1) * 255).round().numpy()
    np.testing.assert_allclose(first, expected, atol=1)
    with pytest.raises(InputError, match="already exists"):
        contact_sheet(SCENE, views.cameras, path)
    with pytest.raises(InputError, match="no cameras to show"):
        contact_sheet(SCENE, {}, tmp_path / "none.png")


@pytest.mark.parametrize("count", [1, 5, 24])
def test_a_scene_that_no_place_shows_well_is_seen_from_all_around(count: int, caplog: pytest.LogCaptureFixture) -> None:
    torch.manual_seed(1)
    few = replace(SCENE[:9], means=torch.randn(9, 3), scales=torch.full((9, 3), -4.0))
    found = made_up_views(few, count, size=32)
    assert len(found.cameras) == count
    assert count < 8 or "circle around it" in caplog.text
