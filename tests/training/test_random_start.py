"""Random points to start from: every view has its share of them in its picture, however the cameras stand."""

from __future__ import annotations

import math

import pytest
import torch
from support.arrangements import ARRANGEMENTS, looking, photographed, place, ring
from support.real_captures import CAPTURES, needs
from support.tiny import ring_of_cameras

from leansplat.cameras import Camera, look_at, scene_extent
from leansplat.captures import load
from leansplat.evaluation import evaluate
from leansplat.training import TrainingConfig, train
from leansplat.training.random_start import points_in_view, random_points_in, random_start, scene_box

COUNT = 8000


def start(cameras: list[Camera], seed: int = 0, count: int = COUNT) -> torch.Tensor:
    points = random_start(cameras, scene_extent(cameras), count, torch.Generator().manual_seed(seed))
    assert bool((points.colors == 0.5).all())
    return points.positions


def in_picture(camera: Camera, positions: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels (M, 2) and depths (M,) of what is in front of the camera and in its picture."""
    pixels, depths = camera.project(positions)
    inside = (depths > 0.2) & (pixels > 0).all(dim=1) & (pixels[:, 0] < camera.width) & (pixels[:, 1] < camera.height)
    return pixels[inside], depths[inside]


@pytest.mark.parametrize("cameras", ARRANGEMENTS.values(), ids=list(ARRANGEMENTS))
def test_every_view_sees_points_all_over_its_picture(cameras: list[Camera]) -> None:
    positions = start(cameras)
    assert len(positions) == COUNT
    for camera in cameras:
        pixels, _ = in_picture(camera, positions)
        assert len(pixels) >= 0.95 * COUNT / len(cameras)
        quarters = (pixels * 2 / camera.width).long()
        assert len(quarters.unique(dim=0)) == 4


@pytest.mark.parametrize("cameras", ARRANGEMENTS.values(), ids=list(ARRANGEMENTS))
def test_points_are_between_the_spacing_of_the_cameras_and_a_few_extents_away(cameras: list[Camera]) -> None:
    """Both bounds may be far apart; what must not happen is that all points are very near or very far."""
    positions = start(cameras)
    centres = torch.stack([camera.position for camera in cameras])
    extent = scene_extent(cameras)
    nearest = torch.cdist(positions.double(), centres, compute_mode="donot_use_mm_for_euclid_dist").amin(dim=1)
    assert float(nearest.max()) <= 5 * math.hypot(1, 0.55, 0.55) * extent
    assert float(nearest.quantile(0.9)) > 0.3 * min(extent, 10)


@pytest.mark.parametrize("distance", [4.0, 40.0])
def test_cameras_around_an_object_get_the_box_and_nothing_else(distance: float) -> None:
    cameras = ring(40, distance, 0.0)
    box = scene_box(cameras)
    assert box is not None
    expected = random_points_in(*box, COUNT, torch.Generator().manual_seed(3)).positions
    assert torch.equal(start(cameras, seed=3), expected)


@pytest.mark.parametrize("name", [pytest.param(n, marks=needs(n)) for n in ("chair_blender", "fox_ngp", "fruit")])
def test_real_captures_of_objects_start_as_they_always_have(name: str) -> None:
    """The rule that benchmarks were made with: uniform in the cube around the point nearest to all axes."""
    cameras = [view.camera for view in load(CAPTURES / name, downscale=4).train]
    positions = torch.stack([camera.position for camera in cameras])
    forward = torch.stack([camera.world_to_camera[2, :3] for camera in cameras])
    projector = torch.eye(3, dtype=torch.float64) - forward[:, :, None] * forward[:, None, :]
    middle = torch.linalg.lstsq(projector.reshape(-1, 3), (projector @ positions[:, :, None]).reshape(-1, 1)).solution
    depths = ((middle[:, 0] - positions) * forward).sum(dim=1)
    half = (depths * torch.tensor([max(c.width / c.fx, c.height / c.fy) / 2 for c in cameras])).median()
    draws = 2 * torch.rand(COUNT, 3, generator=torch.Generator().manual_seed(0)) - 1
    torch.testing.assert_close(start(cameras), (middle[:, 0] + half * draws).float(), rtol=1e-5, atol=1e-5)


def test_views_beside_the_box_get_their_share_and_the_box_keeps_the_rest() -> None:
    cameras = ARRANGEMENTS["inward and a few outward"]
    box = scene_box(cameras)
    assert box is not None
    inside = ((start(cameras) - box[0].float()).abs() <= box[1]).all(dim=1)
    assert float(inside.float().mean()) == pytest.approx(35 / 40, abs=0.02)


def test_the_box_around_an_object_is_where_the_cameras_look() -> None:
    shift = torch.tensor([1.0, 2.0, 3.0])
    directions = [(1, 0, 0.5), (0, 1, 0.5), (-1, 0, 0.5), (0.6, -0.8, -0.5)]
    cameras = [
        look_at([float(s) + 4 * d for s, d in zip(shift, direction, strict=True)], shift.tolist(), (0, 0, 1), 0.7, 8, 8)
        for direction in directions
    ]
    box = scene_box(cameras)
    assert box is not None
    torch.testing.assert_close(box[0].float(), shift)
    assert box[1] == pytest.approx(4 * math.sqrt(1.25) * math.tan(0.35), rel=1e-2)


def test_the_ring_of_test_cameras_looks_at_the_origin() -> None:
    box = scene_box(ring_of_cameras(6))
    assert box is not None
    torch.testing.assert_close(box[0], torch.zeros(3, dtype=torch.float64), atol=1e-9, rtol=0)


@pytest.mark.parametrize("name", ["row sideways", "outward", "panorama", "single", "drone"])
def test_without_a_common_point_there_is_no_box(name: str) -> None:
    assert scene_box(ARRANGEMENTS[name]) is None


@pytest.mark.parametrize("radius", [1e-15, 1e-6, 1e-3])
def test_cameras_that_turn_about_one_place_have_no_box_however_their_positions_are_rounded(radius: float) -> None:
    ways = [(1, 0, 0.1), (0, 1, -0.1), (-1, 0, 0.1), (0, -1, -0.1)]
    cameras = [look_at([-radius * d for d in way], way, (0, 0, 1), 0.7, 8, 8) for way in ways]
    assert scene_box(cameras) is None


def test_points_in_view_are_uniform_over_pixels_and_over_the_logarithm_of_depth() -> None:
    wide = look_at((3, -1, 2), (0, 4, 1), (0, 0, 1), 1.2, 90, 30)
    others = [looking((0.5 * index, 0, 0), (0, 1, 0)) for index in range(9)]
    points = points_in_view([wide], others, 4.0, 20_000, torch.Generator().manual_seed(0))
    pixels, depths = in_picture(wide, points.positions)
    assert len(pixels) >= 19_990  # rounding at the edges
    middle = torch.tensor([45.0, 15.0], dtype=torch.float64)
    torch.testing.assert_close(pixels.mean(dim=0) / middle, torch.ones(2, dtype=torch.float64), rtol=0.02, atol=0)
    torch.testing.assert_close(pixels.std(dim=0) * math.sqrt(3), middle, rtol=0.02, atol=0)
    logarithm = (depths / 0.5).log() / math.log(5 * 4.0 / 0.5)
    assert float(logarithm.min()) == pytest.approx(0, abs=1e-3)
    assert float(logarithm.max()) == pytest.approx(1, abs=1e-3)
    assert float(logarithm.mean()) == pytest.approx(0.5, abs=0.01)


def test_points_follow_the_seed() -> None:
    cameras = ARRANGEMENTS["walk"]
    assert torch.equal(start(cameras), start(cameras))
    assert not torch.equal(start(cameras), start(cameras, seed=1))


LEARNT = [
    "tangent, 2 degrees inward",
    "turned by 40 degrees",
    "outward",
    "walk",
    "row sideways",
    "panorama on a tripod",
]


@pytest.mark.parametrize("name", LEARNT)
def test_training_learns_the_place_from_any_arrangement(name: str) -> None:
    capture = photographed(ARRANGEMENTS[name], place())
    darkness = [10 * math.log10(1 / float(((view.photo / 255) ** 2).mean())) for view in capture.train]
    scene = train(capture, TrainingConfig(random_points=5000).scaled(300)).gaussians
    scores = evaluate(scene, capture, lpips=None, split="train", fps=False).views
    gains = sorted(score.psnr - dark for score, dark in zip(scores, darkness, strict=True))
    assert gains[0] > 1  # no view stays black
    assert sum(gains) / len(gains) > 6
