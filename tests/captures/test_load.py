"""`load` as a whole: the layout is picked by content, and the same scene in two layouts is the same scene."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from PIL import Image
from support.capture_folder import write_nerfstudio
from support.colmap_files import CameraRow, ImageRow, write_binary
from support.real_captures import CAPTURES, needs
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, save_photo, write

from leansplat.captures import Capture, View, cameras_of, load, synthetic_capture
from leansplat.errors import CaptureError, InputError


def test_the_layout_is_picked_by_content_colmap_first_then_blender_then_transforms(tmp_path: Path) -> None:
    for index in range(3):
        save_photo(tmp_path / f"images/{index}.png", index)
    frames = [frame(camera, f"images/{index}.png") for index, camera in enumerate(cameras(3))]
    write(tmp_path / "transforms.json", frames, fl_x=71.0)
    assert load(tmp_path).train[0].camera.fx == 71
    write(tmp_path / "transforms_train.json", frames[:2], fl_x=72.0)
    write(tmp_path / "transforms_test.json", frames[2:], fl_x=72.0)
    assert load(tmp_path).train[0].camera.fx == 72
    row = CameraRow(1, "SIMPLE_PINHOLE", WIDTH, HEIGHT, (73.0, 24.0, 18.0))
    images = [ImageRow(f"{index}.png", 1, (1.0, 0, 0, 0), (0.0, 0, index)) for index in range(3)]
    write_binary(tmp_path / "sparse", (row,), images, ())
    assert load(tmp_path).train[0].camera.fx == 73
    assert load(tmp_path / "transforms.json").train[0].camera.fx == 71
    blender = load(tmp_path / "transforms_train.json")
    assert blender.train[0].camera.fx == 72
    assert [view.name for view in blender.test] == ["2.png"]
    assert blender.name == tmp_path.name


def test_every_eighth_photo_by_name_is_for_testing(tmp_path: Path) -> None:
    names = [f"{index:02}.png" for index in (5, 3, 11, 0, 8, 1, 2, 4, 6, 7, 9, 10, 12, 13, 14, 15, 16)]
    for index, name in enumerate(names):
        save_photo(tmp_path / name, index, 8, 6)
    frames = [frame(camera, name) for camera, name in zip(cameras(17), names, strict=True)]
    write(tmp_path / "transforms.json", frames, camera_angle_x=0.8)
    loaded = load(tmp_path)
    assert [view.name for view in loaded.test] == ["00.png", "08.png", "16.png"]
    assert [view.name for view in loaded.train] == sorted(set(names) - {"00.png", "08.png", "16.png"})
    for view in loaded.train:  # each photo stays with its own name and camera
        index = names.index(view.name)
        assert (view.photo.numpy() == np.asarray(Image.open(tmp_path / view.name))).all()
        torch.testing.assert_close(view.camera.world_to_camera, cameras(17)[index].world_to_camera)


def test_what_is_no_capture_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CaptureError, match="does not exist"):
        load(tmp_path / "nowhere")
    with pytest.raises(CaptureError, match="is not a capture; give a folder with"):
        load(tmp_path)
    (tmp_path / "scene.ply").write_bytes(b"ply\n")
    with pytest.raises(CaptureError, match="is not a capture; give a capture's folder"):
        load(tmp_path / "scene.ply")


def test_settings_out_of_range_are_refused(tmp_path: Path) -> None:
    for downscale in (0, -2, 1.5):
        with pytest.raises(InputError, match="downscale is"):
            load(tmp_path, downscale=downscale)  # type: ignore[arg-type]
    for background in ((0, 0), (0, 0, 2), (0, float("nan"), 0)):
        with pytest.raises(InputError, match="background is"):
            load(tmp_path, background=background)  # type: ignore[arg-type]


def by_name(capture: Capture) -> dict[str, View]:
    return {view.name: view for view in (*capture.train, *capture.test)}


def similarity(source: np.ndarray, target: np.ndarray) -> tuple[float, np.ndarray, np.ndarray]:
    """Scale, rotation and translation that map points (N, 3) best onto others (Umeyama 1991, Eq. 40-43)."""
    source_mean, target_mean = source.mean(axis=0), target.mean(axis=0)
    left, values, right = np.linalg.svd((target - target_mean).T @ (source - source_mean))
    signs = np.array([1.0, 1.0, np.sign(np.linalg.det(left @ right))])
    rotation = left * signs @ right
    scale = float((values * signs).sum() / ((source - source_mean) ** 2).sum())
    return scale, rotation, target_mean - scale * rotation @ source_mean


@needs("fox")
@needs("fox_ngp")
def test_two_calibrations_of_the_fox_agree_on_what_they_see() -> None:
    """COLMAP's undistorted photos and instant-ngp's distorted ones, each with its own world and intrinsics.

    A point of COLMAP's model is projected into both views of a photo; the patches around the two pixels must show the
    same thing. The two calibrations are independent (their principal points differ by 4 px, and rotations make up for
    it), so agreement is to a fraction of a pixel at 270x480: measured median 0.26, 95 % within 0.56; without
    undistortion the same measure is 0.80 and 1.94, and half a pixel in the convention would be 0.7 everywhere.
    """
    fox, ngp = load(CAPTURES / "fox", downscale=4), load(CAPTURES / "fox_ngp")
    left, right = by_name(fox), by_name(ngp)
    assert sorted(left) == sorted(right)
    assert [view.name for view in fox.test] == [view.name for view in ngp.test]
    centres = [np.stack([views[name].camera.position.numpy() for name in sorted(left)]) for views in (left, right)]
    scale, rotation, translation = similarity(*centres)
    residuals = np.linalg.norm(scale * centres[0] @ rotation.T + translation - centres[1], axis=1)
    assert residuals.max() < 0.005 * ngp.extent  # measured 0.0031

    assert fox.points is not None
    points = fox.points.positions.double()[::40]
    moved = torch.from_numpy(scale * points.numpy() @ rotation.T + translation)
    side = 48
    window = cv2.createHanningWindow((side, side), cv2.CV_32F)
    shifts, correlations = [], []
    for name in sorted(left)[::7]:
        pixels, patches = [], []
        seen = np.ones(len(points), dtype=bool)
        for view, world in ((left[name], points), (right[name], moved)):
            pixel, depth = view.camera.project(world)
            pixels.append(pixel.numpy())
            patches.append(view.photo.numpy().astype(np.float32).mean(axis=2))
            size = np.array([view.camera.width, view.camera.height])
            seen &= (depth.numpy() > 0) & ((pixels[-1] > side / 2) & (pixels[-1] < size - side / 2)).all(axis=1)
        for index in np.flatnonzero(seen):
            a, b = (
                cv2.getRectSubPix(photo, (side, side), tuple((pixel[index] - 0.5).tolist()))
                for photo, pixel in zip(patches, pixels, strict=True)
            )
            shifts.append(cv2.phaseCorrelate(a, b, window)[0])
            correlations.append(np.corrcoef(a.ravel(), b.ravel())[0, 1])
    distances = np.linalg.norm(shifts, axis=1)
    assert len(distances) > 1000
    assert np.median(distances) < 0.4
    assert np.percentile(distances, 95) < 0.8
    assert np.abs(np.mean(shifts, axis=0)).max() < 0.25
    assert np.percentile(correlations, 5) > 0.98  # measured 0.996; 0.963 without undistortion


@needs("fox")
@needs("fox_ngp")
def test_undistorted_photos_of_two_calibrations_are_the_same_picture() -> None:
    """One view warped onto the other by what its cameras say of projected points must give the other's photo.

    Two pinhole cameras at one place see pictures that differ by a homography; it is fitted to the points' pixels alone.
    Measured: 35 dB on average, 30.7 at worst; the stored photos of the two captures are 25.7 to 28.8 dB apart.
    """
    fox, ngp = load(CAPTURES / "fox", downscale=4), load(CAPTURES / "fox_ngp")
    left, right = by_name(fox), by_name(ngp)
    names = sorted(left)[::5]
    scale, rotation, translation = similarity(
        *(np.stack([views[name].camera.position.numpy() for name in sorted(left)]) for views in (left, right))
    )
    assert fox.points is not None
    points = fox.points.positions.double()
    moved = torch.from_numpy(scale * points.numpy() @ rotation.T + translation)
    to_index = np.array([[1, 0, -0.5], [0, 1, -0.5], [0, 0, 1]])  # from our pixel centres to OpenCV's
    scores = []
    for name in names:
        a, b = left[name], right[name]
        here, depth = a.camera.project(points)
        there, _ = b.camera.project(moved)
        size = torch.tensor([a.camera.width, a.camera.height])
        seen = (depth > 0) & ((here > 0) & (here < size)).all(dim=1)
        homography, _ = cv2.findHomography(here[seen].numpy(), there[seen].numpy(), 0)
        matrix = to_index @ homography @ np.linalg.inv(to_index)
        flags = cv2.INTER_CUBIC | cv2.WARP_INVERSE_MAP
        warped = cv2.warpPerspective(b.photo.numpy(), matrix, (a.camera.width, a.camera.height), flags=flags)
        middle = (slice(16, -16), slice(16, -16))
        error = warped[middle].astype(np.float64) - a.photo.numpy()[middle]
        scores.append(-10 * np.log10((error**2).mean() / 255**2))
    assert min(scores) > 29
    assert np.mean(scores) > 33


def test_a_camera_far_from_all_others_is_named(tmp_path: Path) -> None:
    shots = cameras(9)
    frames = []
    for index, camera in enumerate(shots):
        save_photo(tmp_path / f"{index}.png", index)
        frames.append(frame(camera, f"{index}.png"))
    write(tmp_path / "transforms.json", frames, camera_angle_x=0.8)
    assert load(tmp_path).warnings == ()
    frames[4]["transform_matrix"][2][3] = 3000.0
    write(tmp_path / "transforms.json", frames, camera_angle_x=0.8)
    loaded = load(tmp_path)
    (warning,) = loaded.warnings
    assert "1 of 7 training cameras" in warning
    assert "4.png at 2999 from the middle" in warning
    assert "4.png" in [view.name for view in loaded.train]
    assert loaded.extent < 5


@pytest.mark.parametrize("distortion", [(), (0.1, -0.03, 0.001, 0.002)])
def test_cameras_without_photos_are_those_of_the_views(tmp_path: Path, distortion: tuple[float, ...]) -> None:
    folder = write_nerfstudio(synthetic_capture(views=6, size=24), tmp_path / "capture")
    file = folder / "transforms.json"
    content = json.loads(file.read_text(encoding="utf-8"))
    content |= {"camera_model": "OPENCV", **dict(zip(("k1", "k2", "p1", "p2"), distortion, strict=False))}
    file.write_text(json.dumps(content), encoding="utf-8")
    loaded = load(folder)
    expected = {view.name: view.camera for view in sorted((*loaded.train, *loaded.test), key=lambda view: view.name)}
    found = cameras_of(folder)
    assert list(found) == list(expected)
    for name, camera in expected.items():
        assert (found[name].width, found[name].height) == (camera.width, camera.height)
        assert torch.equal(found[name].K, camera.K)
        assert torch.equal(found[name].world_to_camera, camera.world_to_camera)
