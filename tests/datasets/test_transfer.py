"""Fetching scenes: what arrives, what is asked of the server, and what is refused."""

from __future__ import annotations

import io
import json
import random
import struct
import zipfile
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from support.colmap_files import CameraRow, ImageRow, PointRow, write_binary
from support.zip_server import Fault, ZipServer, noise, serving, zipped

import leansplat
from leansplat import datasets
from leansplat.cli import main
from leansplat.datasets import transfer
from leansplat.datasets.catalogue import Scene
from leansplat.errors import InputError, LeansplatError

PHOTO = 300_000
NEEDED = {
    "sparse/0/cameras.bin": noise(100, 1),
    "sparse/0/points3D.bin": noise(50_000, 2) * 3,  # shrinks
    "images_2/a.JPG": noise(PHOTO, 3),
    "images_2/b.JPG": noise(PHOTO, 4),
    "images_2/c.JPG": noise(PHOTO, 5),
}
OTHER = {
    "images/a.JPG": noise(4 * PHOTO, 6),
    "images_20/a.JPG": noise(1000, 7),
    "poses_bounds.npy": noise(1000, 8),
    "sparse.txt": b"not in sparse",
}
SCENE = {f"room/{name}": data for name, data in {**OTHER, **NEEDED}.items()}
ARCHIVE = zipped({"bonsai/images_2/a.JPG": noise(PHOTO, 9), "roomy/sparse/x": b"other", **SCENE, "end.txt": b"end"})


@pytest.fixture
def server() -> Iterator[ZipServer]:
    with serving(ARCHIVE) as server:
        yield server


def room(server: ZipServer, name: str = "room") -> Scene:
    return Scene(name, "mipnerf360", server.url, name, 2)


def files(folder: Path) -> dict[str, bytes]:
    return {
        path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()
    }


# What arrives


def test_a_scene_is_its_cameras_and_its_photos_at_the_papers_size(server: ZipServer, tmp_path: Path) -> None:
    (fetched,) = datasets.download([room(server)], tmp_path / "new" / "data")
    assert fetched.folder == tmp_path / "new" / "data" / "room"
    assert files(tmp_path) == {f"new/data/room/{name}": data for name, data in NEEDED.items()}
    total = sum(map(len, NEEDED.values()))
    assert (fetched.files, fetched.bytes, fetched.new) == (len(NEEDED), total, total)


def test_only_the_directory_and_the_files_needed_cross_the_network(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path)
    packed = sum(info.compress_size for info in zipfile.ZipFile(io.BytesIO(ARCHIVE)).infolist() if needed(info))
    assert packed <= server.sent < packed + 5000
    assert server.sent < len(ARCHIVE) / 2
    assert len(server.asked) < 8


def needed(info: zipfile.ZipInfo) -> bool:
    return info.filename.removeprefix("room/") in NEEDED


def test_full_is_all_that_the_archive_has_of_the_scene(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path, full=True)
    assert files(tmp_path) == SCENE


def test_several_scenes_of_one_archive_read_its_directory_once(server: ZipServer, tmp_path: Path) -> None:
    server.content = zipped({name.replace("room", scene): data for scene in ("a", "b") for name, data in SCENE.items()})
    fetched = datasets.download([room(server, "a"), room(server, "b")], tmp_path)
    assert [one.folder.name for one in fetched] == ["a", "b"]
    assert files(tmp_path / "a") == files(tmp_path / "b") == NEEDED
    assert [first for _, first, _ in server.asked].count(0) == 1


def test_a_large_archive_with_zip64_fields_is_read(server, tmp_path, monkeypatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(zipfile, "ZIP64_LIMIT", 1000)
        server.content = zipped(SCENE)
    assert b"PK\x06\x06" in server.content  # the zip64 end of the directory
    datasets.download([room(server)], tmp_path)
    assert files(tmp_path / "room") == NEEDED


def test_what_arrives_is_a_capture_that_trains_at_the_papers_size(server, tmp_path) -> None:
    images = [ImageRow(f"{number:02}.png", 1, (1, 0, 0, 0), (number, 0, 5)) for number in range(10)]
    points = [PointRow((0, 0, 0), (1, 2, 3)), PointRow((1, 1, 1), (4, 5, 6))]
    write_binary(tmp_path / "model", [CameraRow(1, "PINHOLE", 48, 32, (40, 40, 24, 16))], images, points)
    packed = {f"room/sparse/0/{name}": data for name, data in files(tmp_path / "model").items()}
    for image in images:
        photo = io.BytesIO()
        Image.fromarray(np.full((16, 24, 3), 50, np.uint8)).save(photo, "PNG")
        packed[f"room/images_2/{image.name}"] = photo.getvalue()
    server.content = zipped(packed)
    scene = room(server)
    (fetched,) = datasets.download([scene], tmp_path / "data")
    capture = leansplat.load_capture(fetched.folder, downscale=scene.downscale)
    assert {(view.camera.width, view.camera.height) for view in capture.train} == {(24, 16)}
    assert [view.name for view in capture.test] == [image.name for image in images[:: scene.test_every]]


# Going on after a stop


def test_what_is_there_is_not_fetched_again(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path)
    times = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")}
    server.sent = 0
    (fetched,) = datasets.download([room(server)], tmp_path)
    assert (fetched.files, fetched.new) == (len(NEEDED), 0)
    assert server.sent < 5000
    assert {path: path.stat().st_mtime_ns for path in tmp_path.rglob("*")} == times


@pytest.mark.parametrize("budget", [1500, 10_000, 200_000, 700_000, 900_000])
def test_a_download_that_was_cut_off_fetches_only_the_rest(server: ZipServer, tmp_path: Path, budget: int) -> None:
    server.budget = budget
    with pytest.raises(LeansplatError, match=r"scenes.zip could not be read.*keeps what is there"):
        datasets.download([room(server)], tmp_path)
    whole = files(tmp_path / "room")
    assert whole.items() < NEEDED.items()
    server.budget, server.sent = None, 0
    (fetched,) = datasets.download([room(server)], tmp_path)
    assert files(tmp_path / "room") == NEEDED
    rest = sum(len(data) for name, data in NEEDED.items() if name not in whole)
    assert fetched.new == rest
    assert server.sent < rest + 5000


def test_a_connection_that_drops_in_a_file_sends_no_byte_of_it_twice(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path / "undisturbed")
    undisturbed, server.sent = server.sent, 0
    server.always = Fault(drop_after=100_000)
    datasets.download([room(server)], tmp_path / "disturbed")
    assert files(tmp_path / "disturbed" / "room") == NEEDED
    assert server.sent == undisturbed


def test_progress_counts_bytes_from_those_that_are_there_to_all(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path)
    (tmp_path / "room/images_2/b.JPG").unlink()
    calls: list[tuple[int, int]] = []
    datasets.download([room(server)], tmp_path, progress=lambda done, total, _: calls.append((done, total)))
    total = sum(map(len, NEEDED.values()))
    assert calls[0] == (total - PHOTO, total)
    assert calls[-1] == (total, total)
    assert [done for done, _ in calls] == sorted(done for done, _ in calls)


# What must not be written


def test_wrong_bytes_are_an_error_and_leave_nothing_of_the_file(server: ZipServer, tmp_path: Path) -> None:
    place = ARCHIVE.index(NEEDED["images_2/b.JPG"][:1000])
    server.content = ARCHIVE[:place] + b"?" + ARCHIVE[place + 1 :]
    with pytest.raises(LeansplatError, match=r"room/images_2/b.JPG is damaged"):
        datasets.download([room(server)], tmp_path)
    left = files(tmp_path / "room")
    assert "images_2/b.JPG" not in left
    assert left.items() < NEEDED.items()


def test_a_file_that_differs_is_replaced_only_on_request(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path)
    mine = tmp_path / "room/images_2/a.JPG"
    mine.write_bytes(bytes(PHOTO))
    with pytest.raises(InputError, match=r"a.JPG is not the file room/images_2/a.JPG of .*--overwrite"):
        datasets.download([room(server)], tmp_path)
    assert mine.read_bytes() == bytes(PHOTO)
    datasets.download([room(server)], tmp_path, overwrite=True)
    assert files(tmp_path / "room") == NEEDED


@pytest.mark.parametrize(
    "name",
    [
        "sparse/../../../evil",
        "sparse/0/..",
        "../evil",
        "C:/evil",
        "sparse\\..\\evil",
        "sparse//etc/evil",
        "./sparse/evil",
        "sparse/evil\n",
    ],
)
@pytest.mark.parametrize("full", [False, True])
def test_a_name_that_could_leave_its_folder_is_refused(server, tmp_path, name: str, full: bool) -> None:
    server.content = zipped({**SCENE, f"room/{name}": b"evil"})
    with pytest.raises(LeansplatError, match="leaves its folder; nothing of this archive is used") as error:
        datasets.download([room(server)], tmp_path / "data", full=full)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_names_outside_the_scene_are_not_looked_at(server: ZipServer, tmp_path: Path) -> None:
    server.content = zipped({**SCENE, "/etc/evil": b"evil", "../evil": b"evil"})
    datasets.download([room(server)], tmp_path / "data", full=True)
    assert files(tmp_path) == {f"data/{name}": data for name, data in SCENE.items()}


def with_entry(change) -> bytes:
    """The archive, with what `change` does to the directory entry of room/images_2/b.JPG."""
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name, data in SCENE.items():
            archive.writestr(name, data)
        change(archive.getinfo("room/images_2/b.JPG"))
    return content.getvalue()


def link(info: zipfile.ZipInfo) -> None:
    info.external_attr = 0o120777 << 16


def encrypted(info: zipfile.ZipInfo) -> None:
    info.flag_bits |= 1


def unusual(info: zipfile.ZipInfo) -> None:
    info.compress_type = zipfile.ZIP_LZMA


def far_away(info: zipfile.ZipInfo) -> None:
    info.header_offset = 1 << 30


def huge(info: zipfile.ZipInfo) -> None:
    info.file_size = 1 << 31


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (link, "is a link or a device"),
        (encrypted, "is encrypted or packed in an unusual way"),
        (unusual, "is encrypted or packed in an unusual way"),
        (far_away, "lies outside the archive"),
        (huge, r"promises 2,14\d.\d MB; none of it is used"),
    ],
)
def test_what_no_dataset_holds_is_refused_before_anything_is_written(server, tmp_path, change, sentence) -> None:
    server.content = with_entry(change)
    with pytest.raises(LeansplatError, match=sentence):
        datasets.download([room(server)], tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_file_that_is_there_twice_is_refused(server: ZipServer, tmp_path: Path) -> None:
    content = io.BytesIO(ARCHIVE)
    with zipfile.ZipFile(content, "a") as archive:
        archive.writestr("room/images_2/b.JPG", b"another")
    server.content = content.getvalue()
    with pytest.raises(LeansplatError, match="is there twice"):
        datasets.download([room(server)], tmp_path)


@pytest.mark.parametrize("claimed", [0, 1, PHOTO - 1, PHOTO + 1, 2 * PHOTO])
def test_a_directory_that_lies_about_a_size_gets_nothing_written(server, tmp_path, claimed: int) -> None:
    def lie(info: zipfile.ZipInfo) -> None:
        info.file_size = claimed

    server.content = with_entry(lie)
    written: list[int] = []
    with pytest.raises(LeansplatError, match=r"b.JPG is damaged"):
        datasets.download([room(server)], tmp_path, progress=lambda done, *_: written.append(done))
    assert "images_2/b.JPG" not in files(tmp_path / "room")
    assert max(written) <= sum(map(len, NEEDED.values())) - PHOTO + claimed


def test_a_small_file_that_unpacks_to_more_than_it_promises_is_cut_off(server, tmp_path) -> None:
    bomb = zipped({**SCENE, "room/sparse/0/bomb": bytes(50 << 20)})
    place = bomb.rindex(b"room/sparse/0/bomb") - 46 + 24  # the unpacked size in its directory entry
    assert struct.unpack_from("<I", bomb, place) == (50 << 20,)
    server.content = bomb[:place] + struct.pack("<I", 1000) + bomb[place + 4 :]
    written: list[int] = []
    with pytest.raises(LeansplatError, match="bomb is damaged"):
        datasets.download([room(server)], tmp_path, progress=lambda done, *_: written.append(done))
    assert max(written) <= sum(map(len, NEEDED.values())) + 1000
    assert not (tmp_path / "room/sparse/0/bomb").exists()


def test_a_disk_without_room_is_known_before_the_start(server, tmp_path, monkeypatch) -> None:
    total = sum(map(len, NEEDED.values()))
    monkeypatch.setattr(transfer, "disk_usage", lambda _: SimpleNamespace(free=total - 1))
    with pytest.raises(InputError, match=r"data needs 1.1 MB and has 1.1 MB free"):
        datasets.download([room(server)], tmp_path / "data")
    assert list(tmp_path.iterdir()) == []
    monkeypatch.setattr(transfer, "disk_usage", lambda _: SimpleNamespace(free=total))
    datasets.download([room(server)], tmp_path / "data")


def test_a_file_in_the_place_of_the_folder_is_one_sentence(server: ZipServer, tmp_path: Path) -> None:
    (tmp_path / "data").write_bytes(b"")
    with pytest.raises(InputError, match=r"cannot be created .*choose another folder"):
        datasets.download([room(server)], tmp_path / "data")


@pytest.mark.parametrize("content", [b"", b"<html>not found</html>" * 100, ARCHIVE[:-30], ARCHIVE[400_000:]])
def test_what_is_no_zip_archive_is_one_sentence(server: ZipServer, tmp_path: Path, content: bytes) -> None:
    server.content = content
    with pytest.raises(LeansplatError, match=r"scenes.zip"):
        datasets.download([room(server)], tmp_path / "data")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_that_lacks_the_scene_or_its_photos_says_so(server: ZipServer, tmp_path: Path) -> None:
    with pytest.raises(LeansplatError, match=r"has no files in flowers/sparse"):
        datasets.download([room(server, "flowers")], tmp_path)
    with pytest.raises(LeansplatError, match=r"has no files in bonsai/sparse"):
        datasets.download([room(server, "bonsai")], tmp_path)
    with pytest.raises(LeansplatError, match=r"has no files in flowers/;"):
        datasets.download([room(server, "flowers")], tmp_path, full=True)


def test_any_damage_to_an_archive_is_found_or_harmless(tmp_path: Path) -> None:
    small = {"room/sparse/0/points3D.bin": bytes(range(50)) * 20, "room/images_2/a.JPG": noise(300)}
    good = zipped(small)
    choose = random.Random(7)
    (tmp_path / "archives").mkdir()
    scene = Scene("room", "mipnerf360", "https://nowhere.invalid/scenes.zip", "room", 2)
    messages = []
    for trial in range(300):
        bad = bytearray(good)
        for _ in range(choose.randrange(1, 4)):
            bad[choose.randrange(len(bad))] = choose.randrange(256)
        del bad[choose.choice([len(bad), len(bad), choose.randrange(len(bad))]) :]
        (tmp_path / "archives/scenes.zip").write_bytes(bad)
        out = tmp_path / str(trial)
        try:
            datasets.download([scene], out, archives=tmp_path / "archives")
        except LeansplatError as error:
            messages.append(str(error))
        for name, data in files(out).items():
            assert data == small[name]
    assert len(messages) > 100
    assert not any("\n" in message for message in messages)


# Archives that are here


def test_archives_that_are_here_are_used_without_the_network(tmp_path: Path) -> None:
    (tmp_path / "archives").mkdir()
    (tmp_path / "archives/scenes.zip").write_bytes(ARCHIVE)
    scene = Scene("room", "mipnerf360", "https://nowhere.invalid/a/scenes.zip", "room", 2)
    datasets.download([scene], tmp_path, archives=tmp_path / "archives")
    assert files(tmp_path / "room") == NEEDED


def test_an_archive_that_is_not_in_the_folder_comes_from_the_network(server: ZipServer, tmp_path: Path) -> None:
    datasets.download([room(server)], tmp_path / "data", archives=tmp_path)
    assert files(tmp_path / "data/room") == NEEDED


def test_a_folder_of_archives_that_is_not_there_is_named(server: ZipServer, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent is not a folder"):
        datasets.download([room(server)], tmp_path, archives=tmp_path / "absent")


# The command


@pytest.fixture
def catalogue(server: ZipServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scene room, from this machine."""
    monkeypatch.setattr(datasets, "scenes", lambda name: (room(server, name),))


@pytest.mark.usefixtures("catalogue")
def test_the_command_fetches_a_scene_and_tells_its_terms(tmp_path: Path, capsys) -> None:
    assert main(["download", "room", "-o", str(tmp_path)]) == 0
    shown = capsys.readouterr()
    assert files(tmp_path / "room") == NEEDED
    assert shown.out.splitlines()[0].startswith(f"{tmp_path / 'room'}: 5 files, 1.05 MB, 1.05 MB of it new")
    assert "--downscale 2" in shown.out
    assert "https://jonbarron.info/mipnerf360/" in shown.out
    assert shown.err.splitlines()[-1].startswith("download: 1.1 of 1.1 MB")


@pytest.mark.usefixtures("catalogue")
def test_the_command_prints_what_a_program_needs_to_go_on(tmp_path: Path, capsys) -> None:
    assert main(["download", "room", "-o", str(tmp_path), "--full", "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["scenes"] == [
        {
            "name": "room",
            "dataset": "mipnerf360",
            "folder": str(tmp_path / "room"),
            "downscale": 2,
            "test_every": 8,
            "files": len(SCENE),
            "bytes": sum(map(len, SCENE.values())),
            "new_bytes": sum(map(len, SCENE.values())),
        }
    ]
    assert list(values["terms"]) == ["mipnerf360"]


@pytest.mark.usefixtures("catalogue")
def test_the_command_fails_in_one_sentence(server: ZipServer, tmp_path: Path, capsys) -> None:
    server.always = Fault(status=404)
    assert main(["download", "room", "-o", str(tmp_path)]) == 1
    assert capsys.readouterr().err.startswith(f"leansplat: {server.url}: the server answers 404")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["gardn", "-o", "x"], "'gardn' is not known"),
        (["garden"], "garden needs a folder to go to; give -o FOLDER"),
        (["lpips", "--full"], "lpips has no --full"),
    ],
)
def test_the_command_says_what_is_missing(arguments: list[str], sentence: str, capsys) -> None:
    assert main(["download", *arguments]) == 2
    assert sentence in capsys.readouterr().err
