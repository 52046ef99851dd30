"""Blender-synthetic captures: one angle of view, two files for the two sides, alpha composed on the background."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.real_captures import CAPTURES, needs
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, save_photo, write

from leansplat.captures import load
from leansplat.errors import CaptureError


def capture(folder: Path) -> tuple[Path, np.ndarray]:
    """Two photos for training, one for testing and one for validation, RGBA; returns the first one's pixels."""
    poses = cameras(4)
    write(folder / "transforms_train.json", [frame(poses[i], f"./train/r_{i}") for i in (0, 1)], camera_angle_x=0.8)
    write(folder / "transforms_test.json", [frame(poses[2], "./test/r_0")], camera_angle_x=0.8)
    write(folder / "transforms_val.json", [frame(poses[3], "./val/r_0")], camera_angle_x=0.8)
    first = save_photo(folder / "train/r_0.png", 0, channels=4)
    save_photo(folder / "train/r_1.png", 1, channels=4)
    save_photo(folder / "test/r_0.png", 2, channels=4)
    return folder, first


def test_each_side_has_its_own_file_and_validation_is_left_out(tmp_path: Path) -> None:
    loaded = load(capture(tmp_path)[0])
    assert [view.name for view in loaded.train] == ["train/r_0.png", "train/r_1.png"]
    assert [view.name for view in loaded.test] == ["test/r_0.png"]
    assert loaded.points is None
    assert loaded.warnings == ()
    camera = loaded.test[0].camera
    torch.testing.assert_close(camera.world_to_camera, cameras(4)[2].world_to_camera, atol=1e-12, rtol=0)
    expected = (0.5 * WIDTH / math.tan(0.4), WIDTH / 2, HEIGHT / 2)
    assert (camera.fx, camera.cx, camera.cy) == pytest.approx(expected)
    assert camera.fy == camera.fx


@pytest.mark.parametrize("background", [None, (1.0, 1.0, 1.0), (0.2, 0.5, 1.0)])
def test_alpha_is_composed_on_the_background_which_is_black_unless_given(
    tmp_path: Path, background: tuple[float, float, float] | None
) -> None:
    folder, pixels = capture(tmp_path)
    loaded = load(folder, background=background)
    color = np.array(background or (0, 0, 0))
    alpha = pixels[..., 3:] / 255
    expected = pixels[..., :3] * alpha + 255 * color * (1 - alpha)
    assert np.abs(loaded.train[0].photo.numpy() - expected).max() <= 0.5 + 1e-3
    assert loaded.background == tuple(color)


def test_alpha_is_composed_before_photos_are_made_smaller(tmp_path: Path) -> None:
    folder, pixels = capture(tmp_path)
    view = load(folder, downscale=2, background=(1.0, 0.0, 0.0)).train[0]
    alpha = pixels[..., 3:] / 255
    composed = pixels[..., :3] * alpha + np.array([255, 0, 0]) * (1 - alpha)
    expected = composed.reshape(HEIGHT // 2, 2, WIDTH // 2, 2, 3).mean(axis=(1, 3))
    assert np.abs(view.photo.numpy() - expected).max() <= 1.01  # rounded once when composed, once when averaged
    assert view.camera.fx == pytest.approx(0.25 * WIDTH / math.tan(0.4))


def test_without_a_test_file_every_eighth_photo_is_for_testing(tmp_path: Path) -> None:
    folder, _ = capture(tmp_path)
    (folder / "transforms_test.json").unlink()
    loaded = load(folder)
    assert [view.name for view in loaded.test] == ["r_0.png"]
    assert "every 8th photo" in loaded.warnings[0]


def test_a_photo_on_both_sides_is_refused(tmp_path: Path) -> None:
    folder, _ = capture(tmp_path)
    content = json.loads((folder / "transforms_test.json").read_text())
    content["frames"][0]["file_path"] = "train/r_1.png"
    (folder / "transforms_test.json").write_text(json.dumps(content))
    with pytest.raises(CaptureError, match=r"transforms_test\.json lists r_1\.png, which transforms_train\.json lists"):
        load(folder)


def test_errors_name_the_file_of_the_side_they_are_in(tmp_path: Path) -> None:
    folder, _ = capture(tmp_path)
    (folder / "transforms_test.json").write_text("{")
    with pytest.raises(CaptureError, match=r"transforms_test\.json is not valid JSON"):
        load(folder)
    write(folder / "transforms_test.json", [frame(cameras(3)[2], "./test/r_0")])
    with pytest.raises(CaptureError, match=r"transforms_test\.json: test/r_0\.png has neither fl_x"):
        load(folder)


@needs("chair_blender")
def test_the_chair_loads_with_its_own_split_on_any_background() -> None:
    black, white = load(CAPTURES / "chair_blender"), load(CAPTURES / "chair_blender", background=(1, 1, 1))
    assert (len(black.train), len(black.test)) == (100, 50)
    view = black.train[0]
    assert view.name == "train/r_0.png"
    assert tuple(view.photo.shape) == (200, 200, 3)
    assert view.camera.fx == pytest.approx(100 / math.tan(0.5 * 0.6911112070083618))
    stored = np.asarray(Image.open(CAPTURES / "chair_blender/train/r_0.png"))
    empty = torch.from_numpy(stored[..., 3] == 0)
    solid = torch.from_numpy(stored[..., 3] == 255)
    assert bool((view.photo[empty] == 0).all())
    assert bool((white.train[0].photo[empty] == 255).all())
    assert bool((view.photo[solid] == torch.from_numpy(stored[..., :3].copy())[solid]).all())
    # The object stands at the origin: every camera looks at it, and it is what covers the middle of the photo.
    for each in (*black.train, *black.test):
        pixel, depth = each.camera.project(torch.zeros(1, 3, dtype=torch.float64))
        assert float((pixel - 100).abs().max()) < 1
        assert float(depth) == pytest.approx(4.03, abs=0.01)
