"""Masks as captures keep them: where they are found, what images they may be, and what is left of photos."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.colmap_files import CameraRow, ImageRow, write_binary
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, save_photo, write

from leansplat.captures import Capture, View, load
from leansplat.captures.listing import Mask
from leansplat.captures.masks import read_hidden
from leansplat.errors import CaptureError
from leansplat.runs import hash_capture

NAMES = ("a.png", "b.png", "c.png")


def holes(width: int = WIDTH, height: int = HEIGHT, seed: int = 0) -> np.ndarray:
    """(H, W) bool, true where the pixel counts: all but a few blocks of 6x6."""
    coarse = np.random.default_rng(seed).random((height // 6 + 1, width // 6 + 1)) < 0.8
    coarse[0, 0], coarse[1, 1] = True, False
    return np.repeat(np.repeat(coarse, 6, axis=0), 6, axis=1)[:height, :width]


def save_mask(path: Path, counts: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(counts, 255, 0).astype(np.uint8)).save(path)


def nerfstudio(folder: Path, names: tuple[str, ...] = NAMES, **values: object) -> Path:
    """Photos in `images` and a transforms.json; `values` go to the file, or as a list by frame into the frames."""
    by_frame = [{k: v[i] for k, v in values.items() if isinstance(v, list)} for i in range(len(names))]
    shared = {key: value for key, value in values.items() if not isinstance(value, list)}
    frames = []
    for index, (camera, name) in enumerate(zip(cameras(len(names)), names, strict=True)):
        save_photo(folder / "images" / name, index)
        frames.append(frame(camera, f"images/{name}", **{k: v for k, v in by_frame[index].items() if v is not None}))
    write(folder / "transforms.json", frames, **{"fl_x": 60.0, "fl_y": 60.0, "w": WIDTH, "h": HEIGHT} | shared)
    return folder


def colmap(folder: Path, names: tuple[str, ...] = NAMES, parameters: tuple[float, ...] = (60.0, 24.0, 18.0)) -> Path:
    model = "SIMPLE_PINHOLE" if len(parameters) == 3 else "OPENCV"
    images = [ImageRow(name, 1, (1, 0, 0, 0), (0.1 * index, 0, 2)) for index, name in enumerate(names)]
    write_binary(folder / "sparse/0", [CameraRow(1, model, WIDTH, HEIGHT, parameters)], images, [])
    for index, name in enumerate(names):
        save_photo(folder / "images" / name, index)
    return folder


def views(capture: Capture) -> dict[str, View]:
    return {view.name: view for view in (*capture.train, *capture.test)}


def masks(capture: Capture) -> dict[str, np.ndarray | None]:
    return {name: None if view.mask is None else view.mask.numpy() for name, view in views(capture).items()}


def said(capture: Capture, words: str) -> str:
    (sentence,) = [warning for warning in capture.warnings if words in warning]
    return sentence


@pytest.mark.parametrize("make", [nerfstudio, colmap])
@pytest.mark.parametrize(
    "file",
    [
        "masks/{name}.png",
        "masks/{stem}.png",
        "masks/{stem}.jpg",
        "masks/{stem}.jpg.png",
        "masks/{stem}.mask.png",
        "masks/{stem}_mask.png",
        "masks/{upper}.PNG",
    ],
)
def test_a_mask_named_after_its_photo_is_found_in_either_layout(
    make: Callable[[Path], Path], file: str, tmp_path: Path
) -> None:
    folder = make(tmp_path)
    for index, name in enumerate(NAMES):
        stem = name[:-4]
        save_mask(folder / file.format(name=name, stem=stem, upper=name.upper()), holes(seed=index))
    loaded = load(folder)
    for index, name in enumerate(NAMES):
        assert (masks(loaded)[name] == holes(seed=index)).all()
    hidden = np.mean([1 - holes(seed=index).mean() for index in range(3)])
    sentence = f"3 of 3 photos have masks, which hide {100 * hidden:.1f} % of them on average."
    assert said(loaded, "have masks") == sentence


def test_masks_of_photos_in_subfolders_lie_in_the_same_subfolders(tmp_path: Path) -> None:
    folder = colmap(tmp_path, ("left/a.jpg", "left/b.jpg", "right/a.jpg"))
    save_mask(folder / "masks/left/a.jpg.png", holes(seed=0))
    save_mask(folder / "masks/right/a.png", holes(seed=1))
    loaded = load(folder)
    assert (masks(loaded)["left/a.jpg"] == holes(seed=0)).all()
    assert (masks(loaded)["right/a.jpg"] == holes(seed=1)).all()
    assert masks(loaded)["left/b.jpg"] is None
    assert said(loaded, "have masks").endswith("and 1 have none and count whole (first: left/b.jpg).")


def test_the_masks_that_a_transforms_file_names_are_used_for_their_frames_or_for_all(tmp_path: Path) -> None:
    paths = ["masks/0.png", ".\\masks\\1.png", None]
    folder = nerfstudio(tmp_path / "frames", mask_path=paths)
    for index in range(2):
        save_mask(folder / f"masks/{index}.png", holes(seed=index))
    loaded = load(folder)
    assert [None if m is None else bool((m == holes(seed=i)).all()) for i, m in enumerate(masks(loaded).values())]
    assert (masks(loaded)["a.png"] == holes(seed=0)).all()
    assert (masks(loaded)["b.png"] == holes(seed=1)).all()
    assert masks(loaded)["c.png"] is None
    folder = nerfstudio(tmp_path / "shared", mask_path="masks/hood.png")
    save_mask(folder / "masks/hood.png", holes(seed=4))
    assert all((mask == holes(seed=4)).all() for mask in masks(load(folder)).values())


def test_a_mask_for_all_photos_or_all_of_a_folder_applies_beside_their_own(tmp_path: Path) -> None:
    folder = colmap(tmp_path, ("left/a.png", "left/b.png", "right/a.png"))
    save_mask(folder / "masks/left/camera_mask.png", holes(seed=5))
    save_mask(folder / "masks/left/a.png.png", holes(seed=6))
    save_mask(folder / "camera_mask.png", holes(seed=7))
    loaded = masks(load(folder))
    assert (loaded["left/a.png"] == holes(seed=5) & holes(seed=6)).all()
    assert (loaded["left/b.png"] == holes(seed=5)).all()
    assert (loaded["right/a.png"] == holes(seed=7)).all()


def test_a_photo_called_mask_keeps_its_mask_for_itself(tmp_path: Path) -> None:
    folder = colmap(tmp_path, ("mask.png", "b.png"))
    save_mask(folder / "masks/mask.png", holes())
    loaded = masks(load(folder))
    assert (loaded["mask.png"] == holes()).all()
    assert loaded["b.png"] is None
    (folder / "masks/mask.png").rename(folder / "masks/camera_mask.png")
    assert all((mask == holes()).all() for mask in masks(load(folder)).values())


def test_photos_that_differ_in_their_suffix_alone_do_not_share_a_mask(tmp_path: Path) -> None:
    folder = colmap(tmp_path, ("a.png", "a.jpg", "b.png"))
    save_mask(folder / "masks/a.png", holes())
    loaded = masks(load(folder))
    assert (loaded["a.png"] == holes()).all()
    assert loaded["a.jpg"] is None
    save_mask(folder / "masks/a.jpg.png", holes(seed=1))
    assert (masks(load(folder))["a.jpg"] == holes(seed=1)).all()


def test_a_dynamic_mask_beside_its_photo_hides_what_is_white(tmp_path: Path) -> None:
    """The convention of instant-ngp, the opposite of the others'."""
    folder = nerfstudio(tmp_path)
    save_mask(folder / "images/dynamic_mask_a.png", ~holes())
    assert (masks(load(folder))["a.png"] == holes()).all()


KINDS: dict[str, Callable[[np.ndarray], Image.Image]] = {
    "of two values": lambda m: Image.fromarray(m),
    "with 1 for white": lambda m: Image.fromarray(m.astype(np.uint8)),
    "of 16 bits": lambda m: Image.fromarray(m.astype(np.uint16) * 65535),
    "of 16 bits with 1 for white": lambda m: Image.fromarray(m.astype(np.uint16)),
    "of 32 bits": lambda m: Image.fromarray(m.astype(np.int32) * 7),
    "in colours": lambda m: Image.fromarray(m[..., None] * np.array([0, 0, 200], np.uint8)),
    "with a palette": lambda m: palette(m),
    "with alpha that is opaque": lambda m: Image.fromarray(np.dstack([255 * m] * 3 + [0 * m + 255]).astype(np.uint8)),
    "cut out by alpha": lambda m: Image.fromarray(np.dstack([0 * m + 255] * 3 + [255 * m]).astype(np.uint8)),
    "grey with alpha": lambda m: Image.fromarray(np.dstack([0 * m + 255, 255 * m]).astype(np.uint8), "LA"),
}


def palette(counts: np.ndarray) -> Image.Image:
    image = Image.fromarray(np.where(counts, 0, 1).astype(np.uint8), "P")
    image.putpalette([128, 0, 0, 0, 0, 0])  # entry 0 is dark red and so counts, entry 1 is black
    return image


@pytest.mark.parametrize("kind", KINDS)
def test_black_hides_and_all_else_counts_in_every_kind_of_image(kind: str, tmp_path: Path) -> None:
    path = tmp_path / ("mask.tif" if kind == "of 32 bits" else "mask.png")
    KINDS[kind](holes()).save(path)
    assert (read_hidden(Mask(path)) == ~holes()).all()
    assert (read_hidden(Mask(path, hides="white")) == holes()).all()


def test_in_a_lossy_image_what_is_nearly_black_hides(tmp_path: Path) -> None:
    Image.fromarray(np.where(holes(), 255, 0).astype(np.uint8)).save(tmp_path / "mask.jpg", quality=60)
    pixels = np.asarray(Image.open(tmp_path / "mask.jpg"))
    assert ((pixels > 0) & ~holes()).any()
    assert (read_hidden(Mask(tmp_path / "mask.jpg")) == ~holes()).mean() > 0.98


def test_a_mask_of_nothing_hidden_gives_the_capture_without_masks(tmp_path: Path) -> None:
    plain, masked = colmap(tmp_path / "plain"), colmap(tmp_path / "masked")
    for name in NAMES:
        save_mask(masked / f"masks/{name}.png", np.ones((HEIGHT, WIDTH), bool))
    loaded = load(masked)
    assert all(mask is None for mask in masks(loaded).values())
    assert hash_capture(loaded) == hash_capture(load(plain))
    assert said(loaded, "have masks") == "3 of 3 photos have masks, which hide 0.0 % of them on average."


@pytest.mark.parametrize("downscale", [1, 2, 5])
@pytest.mark.parametrize("distorted", [False, True])
def test_no_pixel_that_counts_is_made_of_anything_hidden(downscale: int, distorted: bool, tmp_path: Path) -> None:
    lens = (60.0, 61.0, 24.0, 18.0, -0.2, 0.05, 0.002, -0.003) if distorted else (60.0, 24.0, 18.0)
    folder = colmap(tmp_path, parameters=lens)
    counts = holes(seed=2)
    save_mask(folder / "masks/b.png", counts)
    before = views(load(folder, downscale=downscale))["b.png"]
    pixels = np.asarray(Image.open(folder / "images/b.png"))
    Image.fromarray(np.where(counts[..., None], pixels, 255 - pixels)).save(folder / "images/b.png")
    after = views(load(folder, downscale=downscale))["b.png"]
    assert before.mask is not None
    assert torch.equal(before.mask, after.mask)
    assert tuple(before.mask.shape) == tuple(before.photo.shape[:2]) == (before.camera.height, before.camera.width)
    assert torch.equal(before.photo[before.mask], after.photo[after.mask])
    assert not torch.equal(before.photo, after.photo)
    # Nor is much more hidden than that: about the rim that interpolation and reduction reach.
    assert 0.1 < float(before.mask.double().mean()) <= counts.mean()


def test_a_pixel_of_a_smaller_photo_counts_only_if_all_of_it_does(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    counts = np.random.default_rng(1).random((HEIGHT, WIDTH)) < 0.95
    save_mask(folder / "masks/b.png", counts)
    blocks = counts.reshape(HEIGHT // 3, 3, WIDTH // 3, 3).all(axis=(1, 3))
    assert (masks(load(folder, downscale=3))["b.png"] == blocks).all()


def test_reduced_copies_go_with_reduced_masks_or_else_with_whole_ones(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    for index, name in enumerate(NAMES):
        save_photo(folder / f"images_2/{name}", index, WIDTH // 2, HEIGHT // 2)
        save_mask(folder / f"masks/{name}.png", holes(seed=index))
    half = holes(WIDTH // 2, HEIGHT // 2, seed=8)
    save_mask(folder / "masks_2/a.png.png", half)
    loaded = masks(load(folder, downscale=2))
    assert (loaded["a.png"] == half).all()
    assert (loaded["b.png"] == holes(seed=1)[::2, ::2]).all()
    assert (masks(load(folder))["a.png"] == holes(seed=0)).all()


@pytest.mark.parametrize("downscale", [1, 2])
def test_masks_of_another_size_and_the_same_shape_are_brought_to_the_photos(downscale: int, tmp_path: Path) -> None:
    folder = nerfstudio(tmp_path, mask_path=["masks/a.png", None, None])
    small = holes(WIDTH // 2, HEIGHT // 2)
    save_mask(folder / "masks_2/a.png", small)
    loaded = masks(load(folder, downscale=downscale))["a.png"]
    assert loaded is not None
    expected = np.repeat(np.repeat(small, 2, 0), 2, 1) if downscale == 1 else small
    assert not (loaded & ~expected).any()
    assert loaded.mean() > expected.mean() - 0.25


def test_a_mask_of_another_shape_is_refused(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    save_mask(folder / "masks/b.png", np.ones((WIDTH, HEIGHT), bool))
    with pytest.raises(CaptureError, match=r"masks/b\.png is 36x48 but its photo .*b\.png is 48x36, another shape"):
        load(folder)


def test_a_damaged_mask_or_one_that_is_no_image_is_refused_by_name(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    (folder / "masks").mkdir()
    (folder / "masks/b.png").write_bytes(b"no image")
    with pytest.raises(CaptureError, match=r"masks/b\.png cannot be read"):
        load(folder)
    save_mask(folder / "masks/b.png", holes())
    whole = (folder / "masks/b.png").read_bytes()
    (folder / "masks/b.png").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(CaptureError, match=r"masks/b\.png cannot be"):
        load(folder)


def test_a_mask_stored_like_a_photo_that_is_turned_is_turned_with_it(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    upright = save_photo(folder / "images/b.png", 1)
    exif = Image.Exif()
    for orientation, turns in ((6, 1), (8, 3)):
        exif[0x0112] = orientation
        Image.fromarray(np.rot90(upright, turns).copy()).save(folder / "images/b.png", exif=exif)
        for stored in (holes(), np.rot90(holes(), turns).copy()):
            save_mask(folder / "masks/b.png", stored)
            view = views(load(folder))["b.png"]
            assert (view.photo.numpy() == upright).all()
            assert (view.mask.numpy() == holes()).all()


def test_alpha_is_composed_as_ever_and_a_mask_hides_besides(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    save_photo(folder / "images/b.png", 1, channels=4)
    before = views(load(folder, background=(1, 1, 1)))["b.png"]
    assert before.mask is None
    save_mask(folder / "masks/b.png", holes())
    after = views(load(folder, background=(1, 1, 1)))["b.png"]
    assert torch.equal(before.photo, after.photo)
    assert (after.mask.numpy() == holes()).all()


def test_photos_that_are_hidden_whole_are_left_out_and_reported(tmp_path: Path) -> None:
    folder = colmap(tmp_path, ("a.png", "b.png", "c.png", "d.png"))
    save_mask(folder / "masks/c.png", np.zeros((HEIGHT, WIDTH), bool))
    loaded = load(folder)
    assert sorted(views(loaded)) == ["a.png", "b.png", "d.png"]
    assert said(loaded, "left out").startswith("The masks of 1 photos hide all of them (first: c.png); these")
    for name in ("b.png", "d.png"):
        save_mask(folder / f"masks/{name}", np.zeros((HEIGHT, WIDTH), bool))
    with pytest.raises(CaptureError, match=r"leaves 0 views for training and 1 for testing.* invert the masks"):
        load(folder)


def test_masks_that_hide_nearly_everything_may_be_inverted_and_that_is_said(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    counts = np.zeros((HEIGHT, WIDTH), bool)
    counts[:6, :6] = True
    for name in NAMES:
        save_mask(folder / f"masks/{name}.png", counts)
    assert "inverted" in said(load(folder), "black hides and white counts")
    for name in NAMES:
        save_mask(folder / f"masks/{name}.png", ~counts)
    assert not any("inverted" in warning for warning in load(folder).warnings)


def test_a_folder_of_masks_of_no_photo_is_reported_with_the_nearest(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    save_mask(folder / "masks/a_mask_final.png", holes())
    save_mask(folder / "masks/x.png", holes())
    loaded = load(folder)
    assert all(mask is None for mask in masks(loaded).values())
    sentence = said(loaded, "has no image that is named after a photo")
    assert "as a.png.png would be for a.png; the nearest is" in sentence
    assert sentence.endswith("; every photo counts whole.")
    assert not any("counts whole" in warning for warning in load(colmap(tmp_path / "none")).warnings)


def test_a_folder_of_another_name_that_may_hold_masks_is_named(tmp_path: Path) -> None:
    folder = colmap(tmp_path / "capture")
    save_mask(folder / "Mask/a.png", holes())
    assert said(load(folder), "call it masks").startswith(f"{folder / 'Mask'} may hold masks, which are not used")
    save_mask(folder / "masks/a.png", holes())
    assert not any("call it masks" in warning for warning in load(folder).warnings)


def test_a_mask_that_is_named_and_not_there_is_reported(tmp_path: Path) -> None:
    folder = nerfstudio(tmp_path, mask_path=["masks/a.png", "a.png", None])
    loaded = load(folder)
    assert all(mask is None for mask in masks(loaded).values())
    assert "names masks for 2 photos that do not exist (first: a.png)" in said(loaded, "names masks")
    nerfstudio(tmp_path, mask_path=[3, None, None])
    with pytest.raises(CaptureError, match="a mask_path is not the path of a file"):
        load(folder)


def test_the_memory_that_masks_take_is_counted(tmp_path: Path) -> None:
    folder = colmap(tmp_path)
    needed = 3 * WIDTH * HEIGHT * 3
    load(folder, max_memory=needed)
    for name in NAMES:
        save_mask(folder / f"masks/{name}.png", holes())
    with pytest.raises(CaptureError, match="--downscale 2"):
        load(folder, max_memory=needed)
    assert hash_capture(load(folder)) != hash_capture(replace_masks(load(folder)))


def replace_masks(capture: Capture) -> Capture:
    train, test = (tuple(replace(view, mask=None) for view in side) for side in (capture.train, capture.test))
    return replace(capture, train=train, test=test)
