"""Names of photos: what a file lists finds the one file it can mean, and says so; what could mean two is refused."""

from __future__ import annotations

import os
import sys
import unicodedata
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.colmap_files import CameraRow, ImageRow, write_binary, write_text
from support.transforms_files import HEIGHT, WIDTH, cameras, frame, write

from leansplat.captures import Capture, load
from leansplat.errors import CaptureError

ROW = CameraRow(1, "PINHOLE", WIDTH, HEIGHT, (50.0, 50.0, WIDTH / 2, HEIGHT / 2))
Listed = Callable[[Path, Sequence[str]], None]
Writer = Callable[..., None]
tells_letters_apart = pytest.mark.skipif(
    Path(__file__.swapcase()).exists(), reason="this file system does not tell A.png from a.png"
)


def list_in_colmap(folder: Path, names: Sequence[str], place: str = "sparse/0") -> None:
    """A text model; the photos are 1, 2, 3, ... units away."""
    images = [ImageRow(name, 1, (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, float(n))) for n, name in enumerate(names, 1)]
    write_text(folder / place, (ROW,), images, ())


def list_in_transforms(folder: Path, names: Sequence[str]) -> None:
    """The same photos in a transforms file, from which paths start at the folder of the file."""
    entries = []
    for n, name in enumerate(names, 1):
        absolute = name.startswith(("/", "\\", "C:"))
        entries.append(frame(cameras(1)[0], name if absolute else f"images/{name}"))
        entries[-1]["transform_matrix"] = [[1, 0, 0, 0], [0, -1, 0, 0], [0, 0, -1, -n], [0, 0, 0, 1]]
    write(folder / "transforms.json", entries, fl_x=50.0, w=WIDTH, h=HEIGHT)


def save(path: Path, brightness: int, width: int = WIDTH, height: int = HEIGHT) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width, 3), brightness, np.uint8)).save(path)


def pairs(capture: Capture) -> dict[str, tuple[int, int]]:
    """Which photo (its brightness) each pose (its distance) has got, by the view's name."""
    views = (*capture.train, *capture.test)
    return {v.name: (round(float(v.camera.world_to_camera[2, 3])), int(v.photo[0, 0, 0]) // 50) for v in views}


# What is listed, and the file that it means; {} is a, b or c.
OTHER_NAMES = {
    "backslashes": ("left\\{}.png", "left/{}.png"),
    "another machine": ("/home/someone/garden/images/left/{}.png", "left/{}.png"),
    "another system": ("C:\\Users\\some one\\garden\\images\\{}.png", "{}.png"),
    "a network drive": ("\\\\server\\garden\\{}.png", "{}.png"),
    "capitals": ("IMG_{}.PNG", "img_{}.png"),
    "a folder with capitals": ("Left/{}.png", "left/{}.png"),
    "composed letters": (unicodedata.normalize("NFC", "é {}.png"), unicodedata.normalize("NFD", "é {}.png")),
    "decomposed letters": (unicodedata.normalize("NFD", "ß-é-{}.png"), unicodedata.normalize("NFC", "ß-é-{}.png")),
    "another suffix": ("{}.JPG", "{}.png"),
    "a suffix that is no photo's": ("{}.heic", "{}.png"),
    "no suffix": ("{}.0001", "{}.0001.webp"),
    "a folder more": ("images/{}.png", "{}.png"),
    "all at once": ("D:\\Garden\\Images\\LEFT\\Ü{}.JPEG", "left/u\u0308{}.png"),
}


@tells_letters_apart
@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
@pytest.mark.parametrize("what", OTHER_NAMES)
def test_a_name_finds_the_one_file_that_it_can_mean_and_says_so(tmp_path: Path, what: str, listing: Listed) -> None:
    listed, file = OTHER_NAMES[what]
    listing(tmp_path, [listed.format(letter) for letter in "abc"])
    for number, letter in enumerate("abc", 1):
        save(tmp_path / "images" / file.format(letter), 50 * number)
    save(tmp_path / "images" / "unlisted.png", 250)
    capture = load(tmp_path)
    found = pairs(capture)
    named = {name.rpartition("/")[2]: numbers for name, numbers in found.items()}
    assert named == {file.format(letter).rpartition("/")[2]: (n, n) for n, letter in enumerate("abc", 1)}
    said = [warning for warning in capture.warnings if "photos by names that their files do not have" in warning]
    assert len(said) == 1
    assert "lists 3 photos" in said[0]
    assert str(tmp_path / "images" / file.format("a")) in said[0]


@tells_letters_apart
def test_photos_called_as_listed_are_taken_without_a_word(tmp_path: Path) -> None:
    names = ["a.png", "A.PNG", "e\u0301.png", "\u00e9.png", "x\\y.png", "x/y.png", "b.jpg", "b.png"]
    list_in_colmap(tmp_path, names)
    for number, name in enumerate(names, 1):
        save(tmp_path / "images" / name, 25 * number)
    capture = load(tmp_path)
    assert len(capture.train) + len(capture.test) == len(names)
    assert not [warning for warning in capture.warnings if "names that their files do not have" in warning]
    views = (*capture.train, *capture.test)
    for view in views:
        distance = round(float(view.camera.world_to_camera[2, 3]))
        assert view.name == names[distance - 1]


@tells_letters_apart
@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_a_name_that_could_mean_two_files_is_refused(tmp_path: Path, listing: Listed) -> None:
    listing(tmp_path, ["IMG.png", "b.png"])
    for name in ("img.png", "Img.png", "b.png"):
        save(tmp_path / "images" / name, 50)
    with pytest.raises(CaptureError, match=r"lists .*IMG\.png, which could be .*Img\.png or .*img\.png; ") as raised:
        load(tmp_path)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_two_names_that_could_only_mean_one_file_are_refused(tmp_path: Path, listing: Listed) -> None:
    listing(tmp_path, ["/rig/left/1.png", "/rig/right/1.png", "b.png"])
    save(tmp_path / "images/1.png", 50)
    save(tmp_path / "images/b.png", 50)
    if listing is list_in_transforms:
        save(tmp_path / "1.png", 50)
    with pytest.raises(CaptureError, match=r"/rig/left/1\.png and /rig/right/1\.png, and both could only be .*1\.png"):
        load(tmp_path)


@tells_letters_apart
@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_a_file_that_another_name_means_exactly_is_not_taken_twice(tmp_path: Path, listing: Listed) -> None:
    listing(tmp_path, ["a.png", "A.png", "a.jpg", "b.png"])
    save(tmp_path / "images/a.png", 50)
    save(tmp_path / "images/b.png", 200)
    capture = load(tmp_path)
    assert pairs(capture) == {"a.png": (1, 1), "b.png": (4, 4)}
    assert len([warning for warning in capture.warnings if "lists 2 photos that do not exist" in warning]) == 1


@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_a_photo_that_its_folder_lacks_is_not_taken_from_another(tmp_path: Path, listing: Listed) -> None:
    listing(tmp_path, ["left/1.png", "left/2.png", "left/3.png"])
    save(tmp_path / "images/left/1.png", 50)
    save(tmp_path / "images/left/2.png", 100)
    save(tmp_path / "images/3.png", 150)
    save(tmp_path / "3.png", 150)
    capture = load(tmp_path)
    assert sorted(pairs(capture).values()) == [(1, 1), (2, 2)]
    assert any("lists 1 photos that do not exist" in warning for warning in capture.warnings)


@pytest.mark.parametrize("place", ["sparse/0", "sparse", "."])
def test_photos_beside_the_model_or_in_the_captures_folder_are_found(tmp_path: Path, place: str) -> None:
    names = ["a.png", "b.png"]
    for where in dict.fromkeys((place, ".")):
        folder = tmp_path / f"capture in {where.replace('/', ' ')}"
        list_in_colmap(folder, names, place)
        for number, name in enumerate(names, 1):
            save(folder / where / name, 50 * number)
        capture = load(folder)
        assert pairs(capture) == {"a.png": (1, 1), "b.png": (2, 2)}
        assert f"{folder / 'images'} has none of the photos that" in capture.warnings[0]
        assert f"those in {folder / where if where != '.' or place == '.' else folder} are used" in capture.warnings[0]
        # One photo in the right folder is enough for the others not to be looked for elsewhere.
        save(folder / "images/a.png", 200)
        with pytest.raises(CaptureError, match="leaves 0 views for training"):
            load(folder)


@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_a_capture_may_be_given_by_a_path_that_goes_up(tmp_path: Path, listing: Listed) -> None:
    folder = tmp_path / "deep/capture"
    listing(folder, ["a.png", "b.png"])
    for number, name in enumerate(("a.png", "b.png"), 1):
        save(folder / "images" / name, 50 * number)
    (tmp_path / "link").symlink_to(folder / "images")
    capture = load(tmp_path / "link/../../capture", points=False)
    assert pairs(capture) == {"a.png": (1, 1), "b.png": (2, 2)}
    assert (capture.name, capture.warnings) == ("capture", ())


@tells_letters_apart
def test_the_folder_of_photos_may_be_written_otherwise(tmp_path: Path) -> None:
    list_in_colmap(tmp_path, ["a.png", "b.png"])
    for number, name in enumerate(("a.png", "b.png"), 1):
        save(tmp_path / "IMAGES_4" / name, 25 * number, WIDTH // 4, HEIGHT // 4)
    assert load(tmp_path, downscale=4).test[0].photo[0, 0, 0] == 25
    for number, name in enumerate(("a.png", "b.png"), 1):
        save(tmp_path / "Images" / name, 50 * number)
    capture = load(tmp_path)
    assert pairs(capture) == {"a.png": (1, 1), "b.png": (2, 2)}
    assert f"those in {tmp_path / 'Images'} are used" in capture.warnings[0]
    assert load(tmp_path, downscale=4).test[0].photo[0, 0, 0] == 25
    save(tmp_path / "IMAGES/a.png", 50)
    with pytest.raises(CaptureError, match=r"images has none of the photos .*, but both .*IMAGES and .*Images have"):
        load(tmp_path)


def test_photos_in_two_wrong_folders_are_refused(tmp_path: Path) -> None:
    list_in_colmap(tmp_path, ["a.png", "b.png"])
    for folder in (tmp_path, tmp_path / "sparse/0"):
        save(folder / "a.png", 50)
        save(folder / "b.png", 50)
    with pytest.raises(
        CaptureError,
        match=r"images has none of the photos .*, but both .*sparse/0 and .* have some; move the right ones",
    ):
        load(tmp_path)


def test_a_transforms_file_may_leave_out_the_folder_of_photos(tmp_path: Path) -> None:
    write(tmp_path / "transforms.json", [frame(c, f"{n}.png") for n, c in enumerate(cameras(2))], camera_angle_x=0.8)
    for number in range(2):
        save(tmp_path / f"images/{number}.png", 50)
    capture = load(tmp_path)
    assert [view.name for view in (*capture.test, *capture.train)] == ["0.png", "1.png"]
    assert f"{tmp_path} has none of the photos" in capture.warnings[0]


def test_photos_outside_the_folder_of_a_transforms_file_are_used_where_it_says(tmp_path: Path) -> None:
    folder = tmp_path / "one/two"
    for number in range(2):
        save(tmp_path / f"photos/{number}.png", 50)
    for path in ("../../photos", str(tmp_path / "photos")):
        frames = [frame(camera, f"{path}/{number}.png") for number, camera in enumerate(cameras(2))]
        write(folder / "transforms.json", frames, camera_angle_x=0.8)
        capture = load(folder)
        assert [view.name for view in (*capture.test, *capture.train)] == ["0.png", "1.png"]
        assert capture.warnings == ()


@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_a_missing_photo_is_counted_with_the_folder_searched_and_the_nearest_name(
    tmp_path: Path, listing: Listed
) -> None:
    listing(tmp_path, ["frame_001.png", "frame_002.png", "frame_03.png"])
    save(tmp_path / "images/frame_001.png", 50)
    save(tmp_path / "images/frame_002.png", 100)
    save(tmp_path / "images/frame_003.png", 150)
    expected = (
        f"lists 1 photos that do not exist (first: frame_03.png) in {tmp_path / 'images'}, where the nearest name is "
        "frame_003.png; they are skipped."
    )
    assert expected in load(tmp_path, points=False).warnings[0]


@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_photos_that_are_all_missing_are_refused_with_what_is_there(tmp_path: Path, listing: Listed) -> None:
    listing(tmp_path, ["photo_001.png", "photo_002.png"])
    with pytest.raises(
        CaptureError, match=rf"none exists \(first: photo_001.png\) in {tmp_path}, where no name is near"
    ):
        load(tmp_path)
    (tmp_path / "images_8").mkdir()
    with pytest.raises(
        CaptureError, match=rf"in {tmp_path}, where the nearest name is images_8; .*use the --downscale"
    ):
        load(tmp_path)
    save(tmp_path / "images/photo1.png", 50)
    with pytest.raises(CaptureError, match=rf"in {tmp_path / 'images'}, where the nearest name is photo1.png"):
        load(tmp_path)


def test_lists_of_test_photos_may_spell_them_as_the_files_or_as_the_model(tmp_path: Path) -> None:
    list_in_colmap(tmp_path, [f"left\\{letter}.JPG" for letter in "abcd"])
    for number, letter in enumerate("abcd", 1):
        save(tmp_path / f"images/left/{letter}.png", 50 * number)
    (tmp_path / "sparse/0/test.txt").write_bytes(b"\xef\xbb\xbfleft\\b.JPG\r\nLeft/C.jpg\r\nleft/d.png\r\n")
    assert [view.name for view in load(tmp_path).test] == ["left/b.png", "left/c.png", "left/d.png"]

    folder = tmp_path / "transforms"
    frames = [frame(camera, f"/data/garden/images/{n}.png") for n, camera in enumerate(cameras(4))]
    lists = {"test_filenames": ["/data/garden/images/0.png", "images/1.png"]}
    write(folder / "transforms.json", frames, camera_angle_x=0.8, **lists)
    for number in range(4):
        save(folder / f"images/{number}.png", 50)
    assert [view.name for view in load(folder).test] == ["0.png", "1.png"]


@pytest.mark.parametrize("listing", [list_in_colmap, list_in_transforms])
def test_reduced_copies_are_found_under_the_same_other_names(tmp_path: Path, listing: Listed) -> None:
    listing(tmp_path, [f"/home/someone/garden/images/{letter}.JPG" for letter in "ab"])
    for number, letter in enumerate("ab", 1):
        save(tmp_path / f"images_4/{letter}.png", 50 * number, WIDTH // 4, HEIGHT // 4)
    capture = load(tmp_path, downscale=4)
    assert sorted(pairs(capture).values()) == [(1, 1), (2, 2)]
    assert capture.test[0].photo.shape == (HEIGHT // 4, WIDTH // 4, 3)
    assert any("lists 2 photos by names" in warning for warning in capture.warnings)


def test_odd_names_in_a_binary_model_find_their_photos(tmp_path: Path) -> None:
    names = ["tab\there.png", " leading.png", "trailing .png", "日本語 🌻.png", "%20.png", "it's [1] {2}.png"]
    images = [ImageRow(name, 1, (1.0, 0, 0, 0), (0.0, 0, float(n))) for n, name in enumerate(names, 1)]
    write_binary(tmp_path / "sparse/0", (ROW,), images, ())
    for number, name in enumerate(names, 1):
        save(tmp_path / "images" / name, 30 * number)
    capture = load(tmp_path)
    assert sorted(view.name for view in (*capture.train, *capture.test)) == sorted(names)


@pytest.mark.skipif(sys.platform != "linux", reason="names of files are Unicode on this system")
@pytest.mark.parametrize("writer", [write_binary, write_text])
@pytest.mark.parametrize("on_disk", [b"caf\xe9 %d.png", "café %d.png".encode()])
def test_names_that_are_not_utf_8_find_their_photos(tmp_path: Path, writer: Writer, on_disk: bytes) -> None:
    """A model from a system whose names are Latin-1, and photos that kept these bytes or were renamed to UTF-8."""
    images = [ImageRow(f"caf@ {n}.png", 1, (1.0, 0, 0, 0), (0.0, 0, float(n))) for n in (1, 2, 3)]
    writer(tmp_path / "sparse/0", (ROW,), images, ())
    listed = next((tmp_path / "sparse/0").glob("images.*"))
    listed.write_bytes(listed.read_bytes().replace(b"caf@", b"caf\xe9"))
    for number in (1, 2):
        save(tmp_path / "images" / os.fsdecode(on_disk % number), 50 * number)
    capture = load(tmp_path)
    assert sorted(pairs(capture).values()) == [(1, 1), (2, 2)]
    assert ("caf\\udce9 1.png" if on_disk.startswith(b"caf\xe9") else "café 1.png") in pairs(capture)
    assert any("lists 1 photos that do not exist (first: caf\\udce9 3.png)" in warning for warning in capture.warnings)
