"""Floaters that were put into a place, and a place without any."""

from __future__ import annotations

import json
import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.arrangements import looking, place, ring
from support.camera_files import write_cameras
from torch import Tensor

from leansplat import formats
from leansplat.captures.capture import Capture, View
from leansplat.engines.cpu import pack, render
from leansplat.gaussians import Gaussians, concatenate
from leansplat.rendering import prepare
from leansplat.scoring import mean_score, view_scores
from leansplat.shrinking import ShrinkingConfig, Target, shrink
from leansplat.shrinking.floaters import find_floaters
from leansplat.shrinking.free_space import votes
from leansplat.shrinking.teacher import teacher_capture

SIZE = 40
CAMERAS = [camera.resized(SIZE, SIZE) for camera in ring(24, 5.0, 0.0)]
ORIGIN = (1000.0, -500.0, 20.0)


def blobs(means: Tensor, size: float, seed: int = 0) -> Gaussians:
    """Nearly opaque round Gaussians of glaring colours."""
    generator = torch.Generator().manual_seed(seed)
    return Gaussians(
        means=means,
        quats=torch.tensor([[1.0, 0.0, 0.0, 0.0]]).repeat(len(means), 1),
        scales=torch.full((len(means), 3), math.log(size)),
        opacities=torch.full((len(means),), 1.5),
        sh0=3 * torch.randn(len(means), 1, 3, generator=generator),
        shN=torch.zeros(len(means), 0, 3),
    )


def trained() -> Gaussians:
    """The place, as training would have it: every colour and place a little wrong."""
    generator = torch.Generator().manual_seed(1)
    scene = place(3000)
    return replace(
        scene,
        sh0=scene.sh0 + 0.05 * torch.randn(scene.sh0.shape, generator=generator),
        means=scene.means + 0.01 * torch.randn(scene.means.shape, generator=generator),
    )


def in_the_air(groups: int = 6) -> Gaussians:
    """Groups of four between the ball in the middle and the cameras around it."""
    generator = torch.Generator().manual_seed(2)
    angles = 2 * math.pi * (torch.arange(groups) + 0.3) / groups
    middles = torch.stack([2.6 * angles.cos(), 2.6 * angles.sin(), 0.7 + 0 * angles], dim=1)
    return blobs((middles[:, None] + 0.08 * torch.randn(groups, 4, 3, generator=generator)).reshape(-1, 3), 0.12)


def photos() -> Capture:
    """Of the place as it is; every fourth is held out."""
    true = pack(place(3000))
    views = [
        View(f"{number:02}", camera, (255 * render(true, camera).image.clamp(0, 1)).round().byte())
        for number, camera in enumerate(CAMERAS)
    ]
    train = tuple(view for number, view in enumerate(views) if number % 4)
    return Capture("place", train, tuple(views[::4]), None)


def quality(scene: Gaussians, views: tuple[View, ...]) -> float:
    found = mean_score(view_scores(prepare(scene), views, (0.0, 0.0, 0.0))).psnr
    assert found is not None
    return found


def test_floaters_in_the_air_are_found_and_little_else() -> None:
    capture, clean, planted = photos(), trained(), in_the_air()
    scene = concatenate([clean, planted])
    found = find_floaters(scene, capture, own_renders=False)
    are = torch.arange(len(scene)) >= len(clean)
    harmful = found.counts["harmful"]
    recall = float(found.rows[are].float().mean())
    precision = recall * len(planted) / harmful
    assert recall >= 0.9
    assert precision >= 0.9
    assert found.evidence == "photos"
    before, after = (quality(each, capture.test) for each in (scene, scene[~found.rows]))
    assert after > before + 1
    assert after > quality(clean, capture.test) - 0.2


def test_a_sound_scene_loses_next_to_nothing_and_is_no_worse() -> None:
    capture, clean = photos(), trained()
    found = find_floaters(clean, capture, own_renders=False)
    assert found.counts["harmful"] <= 0.001 * len(clean)
    assert quality(clean[~found.rows], capture.test) > quality(clean, capture.test) - 0.01


def test_what_no_view_shows_is_found_and_what_no_view_looks_at_stays() -> None:
    buried = blobs(0.1 * torch.randn(5, 3, generator=torch.Generator().manual_seed(3)), 0.05)  # inside the ball
    above = blobs(torch.tensor([[0.0, 0.0, 80.0], [1.0, 0.0, 90.0]]), 0.1)
    clean = replace(place(6000), opacities=torch.full((len(place(6000)),), 8.0))
    scene = concatenate([clean, buried, above])
    found = find_floaters(scene, photos(), own_renders=False)
    assert found.rows[len(clean) : len(clean) + 5].all()
    assert not found.rows[len(clean) + 5 :].any()
    assert found.counts["unseen"] >= 5
    assert found.outside >= 2
    assert "outside of every picture and stay" in found.describe()


def test_places_say_where_floaters_are_in_the_world() -> None:
    moved = replace(concatenate([trained(), in_the_air(3)]), origin=ORIGIN)
    capture = photos().relative_to((-ORIGIN[0], -ORIGIN[1], -ORIGIN[2]))
    found = find_floaters(moved, capture, own_renders=False)
    harmful = [place for place in found.places if place.kind == "harmful"]
    middles = in_the_air(3).means.reshape(3, 4, 3).mean(dim=1).double() + torch.tensor(ORIGIN)
    assert len(harmful) == 3
    for middle in middles:
        nearest = min(harmful, key=lambda each: float((torch.tensor(each.centre) - middle).norm()))
        assert float((torch.tensor(nearest.centre) - middle).norm()) < 0.15
        assert nearest.count >= 3
        assert max(nearest.extent) < 0.6
    told = json.loads(json.dumps(found.to_json()))
    assert sum(place["count"] for place in told["places"]) == told["count"] == int(found.rows.sum())
    assert "harmful (in free space, where they make renders unlike the photos), in 3 places" in found.describe()


def test_without_photos_what_fills_one_view_and_others_look_through_is_found() -> None:
    clean, cameras = place(3000), [camera.resized(SIZE, SIZE) for camera in ring(36, 5.0, 25.0)]
    close = torch.stack([camera.position + 0.3 * camera.world_to_camera[2, :3] for camera in cameras[:3]])
    planted = blobs(close.float(), 0.03)
    scene = concatenate([clean, planted])
    capture = teacher_capture(scene, {str(number): camera for number, camera in enumerate(cameras)}, held_back=[])
    found = find_floaters(scene, capture, own_renders=True)
    assert found.rows[len(clean) :].all()
    assert found.rows.sum() <= 1.005 * len(planted) + 0.002 * len(clean)
    assert found.evidence == "own renders"
    assert set(found.counts) == {"inconsistent"}


def test_without_photos_what_all_views_show_alike_counts_as_an_object() -> None:
    scene = concatenate([place(3000), in_the_air()])
    capture = teacher_capture(scene, {str(number): camera for number, camera in enumerate(CAMERAS)}, held_back=[])
    found = find_floaters(scene, capture, own_renders=True)
    assert found.rows.sum() <= 0.002 * len(scene)


def test_the_same_scene_gives_the_same_floaters() -> None:
    scene = concatenate([trained(), in_the_air()])
    first, second = (find_floaters(scene, photos(), own_renders=False) for _ in range(2))
    assert torch.equal(first.rows, second.rows)


@pytest.mark.parametrize("views", [2, 5])
def test_views_vote_whether_a_place_is_before_on_or_behind_their_surface(views: int) -> None:
    across = torch.linspace(-4, 4, 60)
    wall = torch.stack([*torch.meshgrid(across, across, indexing="ij"), torch.full((60, 60), 5.0)], dim=2).reshape(
        -1, 3
    )
    surface = replace(blobs(wall, 0.1), opacities=torch.full((3600,), 6.0))
    cameras = [looking((0.3 * number - 0.5, 0.0, 0.0), (0.0, 0.0, 1.0), SIZE) for number in range(views)]
    taken = [View(str(number), camera, torch.zeros(SIZE, SIZE, 3).byte()) for number, camera in enumerate(cameras)]
    asked = blobs(torch.tensor([[0.0, 0.0, 3.0], [0.0, 0.0, 5.1], [0.0, 0.0, 7.0], [0.0, 0.0, -3.0]]), 0.05)
    found = votes(asked, prepare(surface), taken)
    assert found.free.tolist() == [views, 0, 0, 0]
    assert found.on.tolist() == [0, views, 0, 0]
    assert found.hidden.tolist() == [0, 0, views, 0]
    assert found.isolated().tolist() == [views >= 3, False, False, False]
    assert found.nearest.tolist()[:3] == pytest.approx([0.6, 1.02, 1.4], rel=0.05)
    mute = torch.zeros(4, 1, dtype=torch.int64)
    assert votes(asked, prepare(surface), taken, without=mute).free.tolist() == [views - 1, 0, 0, 0]


@pytest.mark.parametrize("floaters", [True, False])
def test_the_answer_counts_the_scene_as_it_was_before_floaters_went(floaters: bool, tmp_path: Path) -> None:
    cameras = [camera.resized(SIZE, SIZE) for camera in ring(36, 5.0, 25.0)]
    close = torch.stack([camera.position + 0.3 * camera.world_to_camera[2, :3] for camera in cameras[:3]])
    scene = concatenate([place(1000), blobs(close.float(), 0.03)])
    formats.write(scene, tmp_path / "scene.ply")
    write_cameras(tmp_path / "cameras.json", cameras)
    result = shrink(
        tmp_path / "scene.ply", tmp_path / "small.ply", Target(count=900), ShrinkingConfig(steps=0), floaters=floaters
    )
    assert len(result.original) == len(scene)
    assert len(result.gaussians) == 900
    assert (result.floaters is not None and int(result.floaters.rows.sum()) >= 2) == floaters
