import math

import pytest
import torch

from leansplat.cameras import Camera, look_at, scene_extent


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


def test_the_scene_extent_of_one_camera_is_usable():
    assert scene_extent([camera()]) == 1.0
