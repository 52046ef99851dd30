"""What made-up pictures show: of a place much, of an object nearly the whole."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from support.arrangements import place
from support.photographed_scenes import photographed_room, photographed_table, ring

from leansplat.cameras import Camera
from leansplat.gaussians import Gaussians, concatenate
from leansplat.near_plane import NEAR
from leansplat.viewpoints import made_up_views
from leansplat.viewpoints.candidates import Candidate
from leansplat.viewpoints.framing import FIELDS_OF_VIEW, framed, in_several_sizes

TABLE = photographed_table(ring())[::4]


def view_from(*position: float) -> Candidate:
    """A view that looks anywhere."""
    nothing = np.zeros(0)
    return Candidate(np.array(position), np.array([0.0, 0.0, 1.0]), 0.0, 1.0, np.zeros(0, np.int64), nothing, nothing)


def filled(scene: Gaussians, camera: Camera) -> float:
    """How much of the shorter side of a picture nearly all of a scene fills, around the middle."""
    pixels, depth = camera.project(scene.means.double())
    assert bool((depth > 0).all())
    aside = (pixels - torch.tensor([camera.width, camera.height]) / 2).norm(dim=1)
    return float(aside.quantile(0.98)) / (min(camera.width, camera.height) / 2)


def long_and_thin() -> Gaussians:
    scene = place(500)
    return replace(scene, means=torch.randn(len(scene), 3) * torch.tensor([3.0, 0.2, 0.2]))


@pytest.mark.parametrize("size", [48, (64, 48), (48, 64)])
def test_an_object_fills_every_picture(size: int | tuple[int, int]) -> None:
    found = made_up_views(TABLE, 12, size=size)
    assert found.kind == "object"
    each = [filled(TABLE, camera) for camera in found.cameras.values()]
    assert min(each) > 0.75
    assert max(each) < 1.05


def test_an_object_is_seen_from_the_side_that_it_was_to_be_seen_from() -> None:
    views = [view_from(8.0, -3.0, 1.0), view_from(-0.5, -2.0, 0.0)]
    for before, after in zip(views, framed(views, TABLE.arrays(), math.radians(20), 9), strict=True):
        towards = before.place / np.linalg.norm(before.place)
        assert after.place @ towards > 0.9 * np.linalg.norm(after.place)
        assert after.forward @ towards < -0.9


def test_of_views_that_come_out_alike_the_best_is_kept_once() -> None:
    near, far, aside = view_from(0.0, -3.0, 3.0), view_from(0.0, -6.0, 6.0), view_from(4.0, -3.0, 0.0)
    middle = framed([near], TABLE.arrays(), 0.4, 9)[0]
    far = replace(
        far, place=near.place + 2 * (near.place - (middle.place + middle.distance * middle.forward)), score=1.0
    )
    found = framed([near, far, aside], TABLE.arrays(), 0.4, 2)
    assert [view.score for view in found] == [1.0, 0.0]
    assert found[0].forward @ found[1].forward < 0.99


def test_many_views_of_an_object_are_all_different() -> None:
    found = made_up_views(TABLE, 32, size=48)
    ahead = np.stack([camera.world_to_camera[2, :3].numpy() for camera in found.cameras.values()])
    alike = ahead @ ahead.T - 2 * np.eye(len(ahead))
    assert len(ahead) > 16
    assert np.degrees(np.arccos(alike.max())) > 1


def test_a_long_object_is_seen_from_farther_where_it_looks_long() -> None:
    torch.manual_seed(0)
    end, side = framed(
        [view_from(5.0, 0.0, 0.0), view_from(0.0, 0.0, 5.0)], long_and_thin().arrays(), math.radians(20), 9
    )
    assert side.distance > 1.5 * end.distance


def test_a_few_strays_do_not_move_the_cameras_away() -> None:
    strays = replace(TABLE[:5], means=TABLE.means[:5] + 300.0)
    scenes = (TABLE, concatenate([TABLE, strays]))
    near, far = (framed([view_from(0.0, -3.0, 3.0)], each.arrays(), 0.4, 9)[0] for each in scenes)
    assert far.distance == pytest.approx(near.distance, rel=0.1)


def test_an_object_smaller_than_the_near_plane_is_in_front_of_it() -> None:
    small = replace(TABLE, means=TABLE.means * 1e-4)
    assert framed([view_from(0.0, -3.0, 3.0)], small.arrays(), 0.4, 9)[0].distance > NEAR


def test_a_view_from_the_very_middle_looks_the_way_it_did() -> None:
    alone = TABLE[:1]
    found = framed([view_from(*alone.means[0].tolist())], alone.arrays(), 0.4, 9)[0]
    np.testing.assert_allclose(found.forward, (0.0, 0.0, 1.0), atol=1e-9)


@pytest.mark.parametrize("step", [1, 2, 3, 4])
def test_an_object_is_learned_from_pictures_of_three_sizes_evenly(step: int) -> None:
    one = made_up_views(TABLE, 1, size=(160, 120)).cameras["view_000"]
    cameras = {f"{number:03}": one for number in range(96)}
    found = list(in_several_sizes(cameras, but=["007"]).values())
    assert (found[7].width, found[7].height) == (160, 120)
    widths = [camera.width for camera in (found[:7] + found[8:])[::step]]
    assert sorted(set(widths)) == [48, 100, 200]
    assert min(widths.count(width) for width in set(widths)) > len(widths) / 5
    for camera in found:
        assert camera.height == round(camera.width * 3 / 4)
        assert camera.width / camera.fx == pytest.approx(160 / one.fx)


def test_pictures_of_a_place_are_wide_and_square() -> None:
    found = made_up_views(photographed_room(ring(12, radius=1.5, height=0.5)), 6, size=48)
    assert found.kind == "place"
    for camera in found.cameras.values():
        assert (camera.width, camera.height) == (48, 48)
        assert 2 * math.atan(camera.width / 2 / camera.fx) == pytest.approx(FIELDS_OF_VIEW["place"])


def test_a_part_of_an_object_is_looked_at_from_where_it_was_found_to_be_seen() -> None:
    about = TABLE.means[:, 0] > 0
    whole, part = made_up_views(TABLE, 8, size=48), made_up_views(TABLE, 8, size=48, about=about)
    apart = [float(camera.position.norm()) for camera in part.cameras.values()]
    framed_apart = [float(camera.position.norm()) for camera in whole.cameras.values()]
    assert np.median(apart) < 0.95 * np.median(framed_apart)
