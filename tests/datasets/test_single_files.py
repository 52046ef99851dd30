"""Scenes that are no COLMAP capture in an archive: one that lies file by file on a server, and a NeRF Blender scene."""

from __future__ import annotations

import io
import json
import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.zip_server import Fault, ZipServer, noise, serving, zipped

import leansplat
from leansplat import datasets
from leansplat.cli import main
from leansplat.datasets.catalogue import Scene
from leansplat.datasets.single_files import KnownFile, known_files
from leansplat.errors import InputError, LeansplatError

POSE = np.eye(4)


def photo(colour: int, mode: str = "RGB", kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.new(mode, (32, 24), (colour,) * len(mode)).save(file, kind)
    return file.getvalue()


def transforms(names: list[str]) -> bytes:
    """Cameras in a row that look along -z, as NeRF's files have them."""
    frames = []
    for number, name in enumerate(names):
        pose = POSE.copy()
        pose[0, 3] = number
        frames.append({"file_path": name, "transform_matrix": pose.tolist()})
    return json.dumps({"camera_angle_x": 0.7, "frames": frames}).encode()


PHOTOS = {f"images/{number:04}.jpg": photo(10 * number, kind="JPEG") for number in range(10)}
FILES = {**PHOTOS, "transforms.json": transforms(list(PHOTOS))}


def name_in_git(content: bytes) -> str:
    done = subprocess.run(["git", "hash-object", "--stdin"], input=content, capture_output=True, check=True)
    return done.stdout.decode().strip()


@pytest.fixture(scope="module")
def known() -> tuple[KnownFile, ...]:
    """The files, named as git itself does."""
    return known_files("\n".join(f"{name_in_git(data)} {len(data)} {name}" for name, data in FILES.items()))


@pytest.fixture
def server() -> Iterator[ZipServer]:
    with serving(b"not here") as server:
        server.files = {f"/tree/fox/{name}": data for name, data in FILES.items()}
        yield server


@pytest.fixture
def fox(server: ZipServer, known: tuple[KnownFile, ...]) -> Scene:
    tree = server.url.replace("scenes.zip", "tree")
    return Scene("fox", "instant-ngp", tree, "fox", 2, patterns=(".+",), files=known)


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_single_files_arrive_as_a_capture_in_a_request_each(server: ZipServer, fox: Scene, tmp_path: Path) -> None:
    told: list[tuple[int, int]] = []
    (fetched,) = datasets.download([fox], tmp_path, progress=lambda done, total, _: told.append((done, total)))
    assert files(tmp_path / "fox") == FILES
    assert (fetched.files, fetched.new) == (len(FILES), sum(map(len, FILES.values())))
    assert len(server.asked) == len(FILES)
    assert told[-1] == (fetched.bytes, fetched.bytes)
    capture = leansplat.load_capture(tmp_path / "fox", downscale=fox.downscale)
    assert (len(capture.train), len(capture.test)) == (8, 2)


def test_single_files_that_are_there_are_not_asked_for_again(server: ZipServer, fox: Scene, tmp_path: Path) -> None:
    datasets.download([fox], tmp_path)
    (tmp_path / "fox/images/0003.jpg").unlink()
    server.asked.clear()
    (fetched,) = datasets.download([fox], tmp_path)
    assert [path for path, _, _ in server.asked] == ["/tree/fox/images/0003.jpg"]
    assert fetched.new == len(FILES["images/0003.jpg"])
    assert files(tmp_path / "fox") == FILES


def test_a_single_file_that_differs_is_replaced_only_on_request(fox: Scene, tmp_path: Path) -> None:
    datasets.download([fox], tmp_path)
    mine = tmp_path / "fox/transforms.json"
    mine.write_bytes(b"x" * len(FILES["transforms.json"]))
    with pytest.raises(InputError, match=r"is not the file fox/transforms.json of .*--overwrite"):
        datasets.download([fox], tmp_path)
    datasets.download([fox], tmp_path, overwrite=True)
    assert files(tmp_path / "fox") == FILES


def test_other_bytes_of_the_same_size_leave_nothing_of_the_file(server, fox: Scene, tmp_path: Path) -> None:
    there = FILES["images/0004.jpg"]
    server.files["/tree/fox/images/0004.jpg"] = there[:-1] + bytes([there[-1] ^ 1])
    with pytest.raises(LeansplatError, match=r"images/0004.jpg is not the file that it was"):
        datasets.download([fox], tmp_path)
    left = files(tmp_path / "fox")
    assert "images/0004.jpg" not in left
    assert left.items() < FILES.items()


def test_a_file_of_another_size_is_refused(server: ZipServer, fox: Scene, tmp_path: Path) -> None:
    server.files["/tree/fox/transforms.json"] = b"{}"
    with pytest.raises(LeansplatError, match=r"transforms.json"):
        datasets.download([fox], tmp_path)
    assert "transforms.json" not in files(tmp_path / "fox")


def test_a_server_that_sends_whole_files_will_do(server: ZipServer, fox: Scene, tmp_path: Path) -> None:
    server.always = Fault(whole=True)
    datasets.download([fox], tmp_path)
    assert files(tmp_path / "fox") == FILES


def test_a_connection_that_drops_in_a_single_file_is_opened_again(server, fox: Scene, tmp_path: Path) -> None:
    server.always = Fault(drop_after=200)
    datasets.download([fox], tmp_path)
    assert files(tmp_path / "fox") == FILES


def test_the_command_tells_the_terms_of_the_fox(fox: Scene, tmp_path: Path, monkeypatch, capsys) -> None:
    monkeypatch.setattr(datasets, "scenes", lambda _: (replace(fox, downscale=4),))
    assert main(["download", "fox", "-o", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert "--downscale 4" in shown
    assert "research and evaluation only" in shown


def test_a_blender_scene_is_its_two_splits_without_maps_of_depth(server: ZipServer, tmp_path: Path) -> None:
    wanted = {
        "transforms_train.json": transforms([f"./train/r_{number}" for number in range(3)]),
        "transforms_test.json": transforms([f"./test/r_{number}" for number in range(2)]),
        **{f"train/r_{number}.png": photo(number, "RGBA") for number in range(3)},
        **{f"test/r_{number}.png": photo(number, "RGBA") for number in range(2)},
    }
    rest = {
        "transforms_val.json": transforms(["./val/r_0"]),
        "val/r_0.png": photo(0, "RGBA"),
        "test/r_0_depth_0000.png": noise(900),
        "test/r_0_normal_0000.png": noise(900),
    }
    server.content = zipped({f"chair/{name}": data for name, data in {**wanted, **rest}.items()})
    chair = replace(datasets.find("chair"), archive=server.url)
    datasets.download([chair], tmp_path)
    assert files(tmp_path / "chair") == wanted
    capture = leansplat.load_capture(tmp_path / "chair", downscale=chair.downscale)
    assert (len(capture.train), len(capture.test)) == (3, 2)
    datasets.download([chair], tmp_path, full=True)
    assert files(tmp_path / "chair") == {**wanted, **rest}
