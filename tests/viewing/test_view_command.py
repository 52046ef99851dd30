"""`leansplat view` as a process: what it prints, that a browser can open what it prints, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from support.browser import Opened
from support.camera_files import write_cameras
from support.command_line import fails
from support.patience import PATIENCE
from support.rendered_scenes import camera, surfaces

from leansplat import formats
from leansplat.viewing import Viewing


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    formats.write(surfaces(), tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


@contextmanager
def viewing(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "leansplat.cli", "view", "--no-open", *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            yield process
        finally:
            process.kill()


def test_it_says_what_it_shows_serves_it_and_ends_with_ctrl_c(opened: Callable[..., Opened], scene: Path) -> None:
    small = scene.with_name("small.splat")
    formats.write(surfaces()[::2], small)
    write_cameras(scene.with_name("scene.cameras.json"), [camera(40, 30)])
    with viewing(scene, small, "--json") as process:
        assert process.stdout is not None
        said = json.loads(process.stdout.readline())
        expected = [(path.name, count, path.stat().st_size) for path, count in ((scene, 600), (small, 300))]
        assert [(each["name"], each["gaussians"], each["bytes"]) for each in said["scenes"]] == expected
        page = opened(said["address"], size=(700, 500)).ready()
        cards = page.page.locator("#cards").inner_text()
        assert "600 Gaussians" in cards
        assert "300 Gaussians" in cards
        assert page.errors == page.elsewhere() == []
        process.send_signal(signal.SIGINT)
        out, error = process.communicate(timeout=PATIENCE)
        assert (process.returncode, out) == (0, "")
        assert "Traceback" not in error
        assert "a temporary .ply" in error
        with pytest.raises(urllib.error.URLError):
            urllib.request.urlopen(said["address"], timeout=PATIENCE)


def test_the_address_comes_first_and_then_a_table(scene: Path) -> None:
    with viewing(scene, "--up", "z") as process:
        assert process.stdout is not None
        assert process.stdout.readline().startswith("http://127.0.0.1:")
        assert process.stdout.readline().split() == ["scene", "Gaussians", "size"]
        assert process.stdout.readline().split() == ["scene.ply", "600", "0.15", "MB"]
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=PATIENCE) == 0


def test_the_address_waits_for_neither_pytorch_nor_numba() -> None:
    code = """
import sys
from leansplat.viewing import Viewing
with Viewing():
    print(sorted({"torch", "numba", "scipy", "cv2"} & set(sys.modules)))
"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"


def test_what_is_converted_is_deleted_in_the_end(scene: Path, tmp_path: Path) -> None:
    formats.write(surfaces(), tmp_path / "scene.spz")
    before = dict(os.environ)
    os.environ["TMPDIR"] = str(tmp_path / "temporary")
    (tmp_path / "temporary").mkdir()
    try:
        with viewing(tmp_path / "scene.spz", "--json") as process:
            assert process.stdout is not None
            process.stdout.readline()
            assert list((tmp_path / "temporary").rglob("scene.ply"))
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
        assert not list((tmp_path / "temporary").rglob("scene.ply"))
    finally:
        os.environ.clear()
        os.environ.update(before)


def test_a_scene_that_cannot_be_read_is_said_on_the_page_too(opened: Callable[..., Opened], scene: Path) -> None:
    with Viewing() as served:
        page = opened(served.address)
        assert "reading" in page.told()
    page.page.wait_for_timeout(300)
    assert "its terminal says which" in page.told()


def test_bad_arguments_get_one_sentence(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "nothing.ply" in fails(capsys, "view", "nothing.ply")
    assert "10 scenes; give 1 to 9" in fails(capsys, "view", *[scene] * 10)
