"""Photos as they reach training: their pixels, their size, the camera that fits them, and the memory they take."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, save_photo, write

from leansplat.captures import Capture, View, load, photos
from leansplat.captures.lens import Lens
from leansplat.captures.photo_header import read_photo_header
from leansplat.captures.photos import read_photo
from leansplat.errors import CaptureError
from leansplat.memory import available_memory

ORIENTATION = 0x0112


def capture(folder: Path, width: int = WIDTH, height: int = HEIGHT) -> Path:
    """Two views, images/0.png and images/1.png, with an off-centre principal point."""
    frames = [frame(camera, f"images/{index}.png") for index, camera in enumerate(cameras(2))]
    for index in range(2):
        save_photo(folder / f"images/{index}.png", index, width, height)
    write(folder / "transforms.json", frames, fl_x=60.0, fl_y=62.0, cx=20.0, cy=20.0, w=width, h=height)
    return folder


def first(capture: Capture) -> View:
    """The view of images/0.png, which is the test view of `capture`."""
    return capture.test[0]


def test_downscaling_averages_areas_and_scales_the_camera(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    pixels = np.asarray(Image.open(folder / "images/0.png")).astype(np.float64)
    view = first(load(folder, downscale=3))
    expected = pixels.reshape(HEIGHT // 3, 3, WIDTH // 3, 3, 3).mean(axis=(1, 3))
    assert np.abs(view.photo.numpy() - expected).max() <= 0.51
    assert view.photo.dtype == torch.uint8
    camera = view.camera
    assert (camera.width, camera.height) == (16, 12)
    assert (camera.fx, camera.fy, camera.cx, camera.cy) == pytest.approx((20, 62 / 3, 20 / 3, 20 / 3))


@pytest.mark.parametrize("downscale", [2, 4, 5])
def test_sizes_that_do_not_divide_keep_projections_on_the_same_part_of_the_photo(
    tmp_path: Path, downscale: int
) -> None:
    folder = capture(tmp_path, width=47, height=35)
    points = torch.tensor([[0.1, 0.2, 0.0], [-0.3, 0.1, 0.2]], dtype=torch.float64)
    whole, small = first(load(folder)), first(load(folder, downscale=downscale))
    assert small.photo.shape[:2] == (round(35 / downscale), round(47 / downscale))
    a, _ = whole.camera.project(points)
    b, _ = small.camera.project(points)
    scale = torch.tensor([small.camera.width / 47, small.camera.height / 35], dtype=torch.float64)
    torch.testing.assert_close(a * scale, b)
    # Area resampling keeps the mean of the photo.
    assert float(small.photo.float().mean()) == pytest.approx(float(whole.photo.float().mean()), abs=0.6)


def test_a_folder_of_reduced_photos_is_used_when_the_downscale_matches(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    reduced = [save_photo(folder / f"images_2/{i}.png", 10 + i, WIDTH // 2, HEIGHT // 2) for i in range(2)]
    view = first(load(folder, downscale=2))
    assert (view.photo.numpy() == reduced[0]).all()
    assert (view.camera.fx, view.camera.cy) == (30, 10)
    assert tuple(first(load(folder, downscale=3)).photo.shape) == (12, 16, 3)
    assert tuple(first(load(folder)).photo.shape) == (HEIGHT, WIDTH, 3)
    # The whole-size photos may be gone; then only this downscale works.
    for index in range(2):
        (folder / f"images/{index}.png").unlink()
    assert (first(load(folder, downscale=2)).photo.numpy() == reduced[0]).all()
    with pytest.raises(CaptureError, match=r"none exists .* use the --downscale whose folder of photos is there"):
        load(folder)


def test_reduced_photos_may_be_rounded_by_a_pixel_but_no_more(tmp_path: Path) -> None:
    folder = capture(tmp_path, width=47, height=35)
    for index in range(2):
        save_photo(folder / f"images_2/{index}.png", index, 24, 17)
    camera = first(load(folder, downscale=2)).camera
    assert (camera.width, camera.height) == (24, 17)
    assert (camera.fx, camera.fy) == pytest.approx((60 * 24 / 47, 62 * 17 / 35))
    save_photo(folder / "images_2/1.png", 1, 24, 19)
    loaded = load(folder, downscale=2)
    assert tuple(loaded.train[0].photo.shape) == (18, 24, 3)
    assert "1 reduced copies" in loaded.warnings[0]
    assert "images_2/1.png is 24x19, where 1/2 of 47x35 is 24x18" in loaded.warnings[0]


def save_turned(path: Path, pixels: np.ndarray, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    Image.fromarray(pixels).save(path, exif=exif)


@pytest.mark.parametrize("orientation", [2, 3, 6, 8])
def test_an_exif_orientation_does_not_turn_a_photo_that_fits_its_camera(tmp_path: Path, orientation: int) -> None:
    folder = capture(tmp_path)
    pixels = save_photo(folder / "images/0.png", 0)
    save_turned(folder / "images/0.png", pixels, orientation)
    loaded = load(folder)
    assert (first(loaded).photo.numpy() == pixels).all()
    assert loaded.warnings == ()


def test_an_exif_orientation_is_followed_and_reported_where_only_so_the_photo_fits(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    upright = save_photo(folder / "images/0.png", 0)
    save_turned(folder / "images/0.png", np.rot90(upright).copy(), 6)  # 6: turn clockwise to show
    loaded = load(folder)
    assert (first(loaded).photo.numpy() == upright).all()
    assert "1 photos were turned by their EXIF orientation" in loaded.warnings[0]
    Image.fromarray(np.rot90(upright).copy()).save(folder / "images/0.png")  # the same pixels without the tag
    with pytest.raises(CaptureError, match=r"0\.png is 36x48 but its camera is 48x36"):
        load(folder)


def test_every_kind_of_8_bit_photo_becomes_rgb(tmp_path: Path) -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    path = tmp_path / "photo.png"
    Image.fromarray(rgb[..., 0]).save(path)
    assert (read_photo(path) == rgb[..., :1]).all()
    Image.fromarray(rgb).quantize(256).save(path)
    assert np.abs(read_photo(path).astype(int) - rgb).max() <= 1
    grey_alpha = np.stack([rgb[..., 0], rgb[..., 1]], axis=2)
    Image.fromarray(grey_alpha, "LA").save(path)
    expected = grey_alpha[..., 0] * (grey_alpha[..., 1] / 255) + 255 - grey_alpha[..., 1]
    assert np.abs(read_photo(path, background=(1, 1, 1))[..., 2] - expected).max() <= 0.501
    palette = Image.fromarray(rgb[..., 0] // 128).convert("P")
    palette.save(path, transparency=palette.getpixel((0, 0)))
    composed = read_photo(path, background=(0, 1, 0))
    assert composed[0, 0].tolist() == [0, 255, 0]
    for suffix in (".bmp", ".tif", ".ppm"):
        Image.fromarray(rgb).save(tmp_path / f"photo{suffix}")
        assert (read_photo(tmp_path / f"photo{suffix}") == rgb).all()
    Image.fromarray(rgb).save(tmp_path / "photo.webp", lossless=True)
    assert (read_photo(tmp_path / "photo.webp") == rgb).all()
    Image.fromarray(np.full((8, 8), 40000, np.uint16)).save(path)
    with pytest.raises(CaptureError, match="convert it to 8-bit RGB"):
        read_photo(path)


@pytest.mark.parametrize("suffix", ["png", "jpg"])
def test_a_damaged_photo_is_refused_by_name(tmp_path: Path, suffix: str) -> None:
    folder = capture(tmp_path)
    pixels = np.random.default_rng(0).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / f"whole.{suffix}")
    whole = (tmp_path / f"whole.{suffix}").read_bytes()
    for size in (0, 10, len(whole) // 2):
        (folder / "images/1.png").write_bytes(whole[:size])
        with pytest.raises(CaptureError, match=r"images/1\.png cannot be (decoded|read as a photo)") as raised:
            load(folder)
        assert "\n" not in str(raised.value)
    (folder / "images/1.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 48 36\n")
    with pytest.raises(CaptureError, match="cannot be read as a photo"):
        load(folder)


def test_photos_that_do_not_fit_in_memory_are_refused_before_any_is_decoded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = capture(tmp_path)
    needed = 2 * WIDTH * HEIGHT * 3
    assert len(load(folder, max_memory=needed).train) == 1

    def decoded(*_: object, **__: object) -> np.ndarray:
        raise AssertionError("a photo was decoded")

    monkeypatch.setattr(photos, "read_photo", decoded)
    with pytest.raises(CaptureError, match=r"2 photos need 0\.0 MB .* use --downscale 2\."):
        load(folder, max_memory=needed - 1)
    monkeypatch.setattr(photos, "available_memory", lambda: needed)
    with pytest.raises(CaptureError, match=r"need .* use --downscale 2"):
        load(folder)
    monkeypatch.setattr(photos, "available_memory", lambda: None)
    with pytest.raises(AssertionError, match="a photo was decoded"):
        load(folder)


def test_the_suggested_downscale_is_enough(tmp_path: Path) -> None:
    folder = capture(tmp_path)
    with pytest.raises(CaptureError) as raised:
        load(folder, max_memory=1000)
    suggested = int(str(raised.value).rsplit(" ", 1)[1].rstrip("."))
    assert len(load(folder, downscale=suggested, max_memory=1000).train) == 1


def test_the_available_memory_is_plausible_here() -> None:
    available = available_memory()
    assert available is None or 1e6 < available < 1e15


def test_the_stored_size_comes_from_the_header(tmp_path: Path) -> None:
    save_photo(tmp_path / "a.png", width=13, height=7)
    assert read_photo_header(tmp_path / "a.png")[:2] == (13, 7)


def test_a_lens_refuses_to_be_a_pinhole_camera_while_it_distorts() -> None:
    lens = Lens(50, 50, 20, 15, 40, 30, (0.1, 0.0, 0.0, 0.0))
    with pytest.raises(ValueError, match="not a pinhole"):
        lens.camera(np.eye(4))
    assert Lens(50, 50, 20, 15, 40, 30, (0.0,) * 5).distortion == ()
