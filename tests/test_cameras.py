import math

import pytest
import torch
from support.real_captures import CAPTURES, needs

from leansplat.cameras import Camera, lone_cameras, look_at, scene_extent
from leansplat.captures import load


def intrinsics(fx=100.0, fy=120.0, cx=50.0, cy=40.0):
    return torch.tensor([[fx, 0, cx], [0, fy, cy], [0, 0, 1]], dtype=torch.float64)


def camera(**settings):
    values = {"world_to_camera": torch.eye(4), "K": intrinsics(), "width": 100, "height": 80} | settings
    return Camera(**values)


def test_projection_follows_the_pinhole_formula():
    # u = fx x / z + cx, v = fy y / z + cy, worked out by hand.
    pixels, depths = camera().project(torch.tensor([[0.0, 0, 2], [1, 0, 2], [0, -1, 4], [0, 0, -3]]))
    assert pixels[:3].tolist() == [[50, 40], [100, 40], [50, 10]]
    assert depths.tolist() == [2, 2, 4, -3]


def test_projection_uses_the_pose():
    # A quarter turn about y: what is at world +x comes to lie straight ahead; then five units further away.
    pose = torch.tensor([[0.0, 0, -1, 0], [0, 1, 0, 0], [1, 0, 0, 5], [0, 0, 0, 1]])
    view = camera(world_to_camera=pose)
    pixels, depths = view.project(torch.tensor([[3.0, 0, 0]]))
    assert pixels.tolist() == [[50, 40]]
    assert depths.tolist() == [8]
    assert view.position.tolist() == [-5, 0, 0]


def test_values_are_kept_in_double_precision():
    view = camera(world_to_camera=torch.eye(4, dtype=torch.float32))
    assert view.world_to_camera.dtype == torch.float64
    assert view.K.dtype == torch.float64
    assert (view.fx, view.fy, view.cx, view.cy) == (100, 120, 50, 40)
    assert view.project(torch.zeros(1, 3))[0].dtype == torch.float64


def test_looking_at_a_target_puts_it_in_the_middle_and_up_upwards():
    position, target = [3.0, -2.0, 1.0], [0.5, 0.25, 4.0]
    view = look_at(position, target, up=[0, 0, 1], fov_x=1.0, width=64, height=48)
    points = torch.tensor([target, [target[0], target[1], target[2] + 0.1]], dtype=torch.float64)
    pixels, depths = view.project(points)
    torch.testing.assert_close(pixels[0], torch.tensor([32.0, 24.0], dtype=torch.float64))
    assert depths[0].item() == pytest.approx(math.dist(position, target))
    assert pixels[1, 1] < pixels[0, 1]  # rows count downwards
    assert pixels[1, 0].item() == pytest.approx(32)
    torch.testing.assert_close(view.position, torch.tensor(position, dtype=torch.float64))


def test_looking_at_makes_a_rotation_and_the_asked_field_of_view():
    view = look_at([1.0, 2, 3], [0.0, 0, 0], up=[0, 1, 0], fov_x=0.8, width=100, height=30)
    rotation = view.world_to_camera[:3, :3]
    torch.testing.assert_close(rotation @ rotation.T, torch.eye(3, dtype=torch.float64))
    assert torch.linalg.det(rotation).item() == pytest.approx(1)
    # A ray half the field of view off the axis meets the image border.
    edge = torch.linalg.inv(view.world_to_camera) @ torch.tensor([math.tan(0.4), 0, 1, 1], dtype=torch.float64)
    assert view.project(edge[None, :3])[0][0, 0].item() == pytest.approx(100)
    assert view.fx == view.fy


def test_resizing_scales_every_projected_point_with_the_image():
    view = camera(K=intrinsics(cx=33.25, cy=61.5))
    small = view.resized(25, 40)
    points = torch.tensor([[0.3, -0.2, 1.5], [-1.0, 0.4, 3.0]])
    expected = view.project(points)[0] * torch.tensor([0.25, 0.5])
    torch.testing.assert_close(small.project(points)[0], expected)
    assert (small.width, small.height) == (25, 40)
    assert (view.width, view.height) == (100, 80)


def test_moving_to_a_device_moves_both_matrices():
    # `meta` holds no values, which Camera's own checks need; the CPU is the one device every machine has.
    moved = camera().to("cpu")
    assert torch.equal(moved.K, intrinsics())
    assert moved.world_to_camera.device.type == "cpu"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"world_to_camera": torch.eye(3)}, r"must be \(4, 4\)"),
        ({"K": torch.eye(4)}, r"K \(3, 3\)"),
        ({"width": 0}, "0x80"),
        ({"height": -1}, "100x-1"),
        ({"K": intrinsics(fx=0)}, "focal"),
        ({"K": intrinsics(fy=-1)}, "focal"),
        ({"K": intrinsics(cx=float("nan"))}, "not finite"),
        ({"world_to_camera": torch.full((4, 4), float("inf"))}, "not finite"),
    ],
)
def test_cameras_that_cannot_be_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        camera(**settings)


def test_the_scene_extent_is_the_largest_distance_from_the_mean_position_and_a_tenth():
    positions = [[0.0, 0, 0], [2.0, 0, 0], [1.0, 3.0, 0]]  # mean (1, 1, 0); the furthest is 2 away
    views = []
    for position in positions:
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, 3] = -torch.tensor(position)
        views.append(camera(world_to_camera=pose))
    assert scene_extent(views) == pytest.approx(2.2)


def at(positions):
    """Cameras at positions (V, 3)."""
    views = []
    for position in torch.as_tensor(positions, dtype=torch.float64):
        pose = torch.eye(4, dtype=torch.float64)
        pose[:3, 3] = -position
        views.append(camera(world_to_camera=pose))
    return views


def published(cameras):
    """1.1 times the largest distance from the mean position."""
    positions = torch.stack([view.position for view in cameras])
    return 1.1 * float((positions - positions.mean(dim=0)).norm(dim=1).max())


def ring(count, radius=2.0):
    angles = [2 * math.pi * index / count for index in range(count)]
    return [[radius * math.cos(a), radius * math.sin(a), 0.1 * (i % 3)] for i, a in enumerate(angles)]


FAR = {
    "one far away": [[3000.0, 0, 0]],
    "one ten times as far": [[0.0, 0, 22.0]],
    "two in opposite directions": [[3000.0, 0, 0], [-40.0, 900, 0]],
    "two beside each other": [[3000.0, 0, 0], [3000.0, 1, 0]],
    "one beyond the square of what a double holds": [[1e200, 0, 0]],
}


@pytest.mark.parametrize("count", [8, 40])
@pytest.mark.parametrize("far", FAR.values(), ids=list(FAR))
def test_cameras_far_from_all_others_do_not_move_the_scene_extent(far, count):
    near = ring(count)
    assert lone_cameras(at(far + near)) == list(range(len(far)))
    assert scene_extent(at(near + far)) == published(at(near))


LAYOUTS = {
    "ring": ring(9),
    "four": ring(4),
    "row": [[0.3 * index, 0, 0] for index in range(50)],
    "grid": [[float(x), float(y), 0] for x in range(8) for y in range(5)],
    "two clusters": ring(30, 1.0) + [[x + 500, y, z] for x, y, z in ring(20, 1.0)],
    "a few photos of four taken from far": ring(60, 1.0) + [[x + 80, y, z] for x, y, z in ring(4, 1.0)],
    "approach": [[0.05 * 1.1**index, 0, 0] for index in range(40)],
    "one four times as far": [*ring(12), [0.0, 0, 8.0]],
    "three, one of them far": [[0.0, 0, 0], [1.0, 0, 0], [0.0, 3000, 0]],
    "a third of them far, each elsewhere": [*ring(8), *([1000.0 * x, 1000 * y, 0] for x, y, _ in ring(4))],
}


@pytest.mark.parametrize("positions", LAYOUTS.values(), ids=list(LAYOUTS))
def test_other_layouts_keep_the_published_extent_to_the_bit(positions):
    assert lone_cameras(at(positions)) == []
    assert scene_extent(at(positions)) == published(at(positions))


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=needs(name)) for name in ("fox", "chair_blender", "south_building", "tumbler", "fruit")],
)
def test_real_captures_keep_the_published_extent_to_the_bit(name):
    capture = load(CAPTURES / name, downscale=4, points=False)
    assert capture.extent == published([view.camera for view in capture.train])


def test_cameras_that_turn_in_one_place_have_the_extent_of_one_camera():
    # Positions that a file gives as rotations and translations agree only up to rounding.
    place = [40.0, 20.0, -7.0]
    views = [look_at(place, [40 + math.cos(a), 20 + math.sin(a), -7.2], [0, 0, 1], 1.0, 20, 20) for a in range(12)]
    assert float(torch.stack([view.position for view in views]).std(dim=0).max()) > 0
    assert scene_extent(views) == 1.0


def test_the_scene_extent_of_one_camera_is_usable():
    assert scene_extent([camera()]) == 1.0
