"""What a scene takes on disk, wherever its files lie."""

from __future__ import annotations

import json
import logging
from pathlib import Path

import pytest
from support.scene_comparison import random_scene

from leansplat import formats
from leansplat.cli import main
from leansplat.errors import SceneFileError
from leansplat.training.start import hash_scene


@pytest.fixture(autouse=True)
def logger_as_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """`main` sends the log to standard error for good; tests after these want to catch it."""
    logger = logging.getLogger("leansplat")
    monkeypatch.setattr(logger, "handlers", logger.handlers)
    monkeypatch.setattr(logger, "propagate", logger.propagate)


def text_gltf(folder: Path) -> Path:
    """A .gltf with two buffers beside it, of which nothing but the first is used, and the first named twice."""
    formats.write(random_scene(20), folder / "scene.glb")
    content = (folder / "scene.glb").read_bytes()
    size = int.from_bytes(content[12:16], "little")
    text = json.loads(content[20 : 20 + size])
    (folder / "a buffer.bin").write_bytes(content[28 + size :])
    (folder / "other.bin").write_bytes(bytes(500))
    text["buffers"][0]["uri"] = "a%20buffer.bin"
    text["buffers"] += [{"byteLength": 4, "uri": "other.bin"}, text["buffers"][0]]
    (folder / "scene.glb").unlink()
    (folder / "scene.gltf").write_text(json.dumps(text))
    return folder / "scene.gltf"


def sog_folder(folder: Path) -> Path:
    formats.write(random_scene(300), folder / "meta.json")
    return folder / "meta.json"


@pytest.mark.parametrize("make", [sog_folder, text_gltf])
def test_bytes_are_those_of_all_files_of_the_scene(tmp_path: Path, make) -> None:
    scene = make(tmp_path)
    files = [file for file in tmp_path.iterdir() if file.is_file()]
    assert len(files) > 2
    assert set(formats.scene_files(scene)) == {file.resolve() if file != scene else file for file in files}
    assert formats.scene_files(scene)[0] == scene
    assert formats.scene_bytes(scene) == sum(file.stat().st_size for file in files)
    (tmp_path / "unrelated.txt").write_text("not of the scene")
    assert formats.scene_bytes(scene) == sum(file.stat().st_size for file in files)


@pytest.mark.parametrize("name", ["scene.ply", "scene.sog", "scene.glb", "scene.spz", "scene.npz"])
def test_bytes_of_a_single_file_are_its_own(tmp_path: Path, name: str) -> None:
    formats.write(random_scene(30), tmp_path / name)
    assert formats.scene_files(tmp_path / name) == (tmp_path / name,)
    assert formats.scene_bytes(tmp_path / name) == (tmp_path / name).stat().st_size


def test_convert_and_info_count_the_images_of_a_sog_folder(tmp_path: Path, capsys) -> None:
    formats.write(random_scene(300), tmp_path / "scene.ply")
    (tmp_path / "sog").mkdir()
    target = tmp_path / "sog" / "meta.json"
    assert main(["convert", str(tmp_path / "scene.ply"), str(target), "--json"]) == 0
    size = sum(file.stat().st_size for file in target.parent.iterdir())
    assert json.loads(capsys.readouterr().out)["bytes"] == size > 2 * target.stat().st_size
    assert main(["info", str(target), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bytes"] == size


def test_a_file_of_the_scene_that_is_missing_is_named(tmp_path: Path) -> None:
    scene = sog_folder(tmp_path)
    (tmp_path / "sh0.webp").unlink()
    with pytest.raises(SceneFileError, match=r"sh0\.webp does not exist"):
        formats.scene_bytes(scene)


def test_a_run_notices_another_image_of_the_scene_it_started_from(tmp_path: Path) -> None:
    scene = sog_folder(tmp_path)
    before = hash_scene(scene)
    other = tmp_path / "other"
    other.mkdir()
    formats.write(random_scene(300, seed=1), other / "meta.json")
    assert hash_scene(scene) == before
    (tmp_path / "means_l.webp").write_bytes((other / "means_l.webp").read_bytes())
    assert hash_scene(scene) != before
