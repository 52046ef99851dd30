"""Pages to put anywhere: one file that opens from disk with the network cut, and a folder on any web server."""

from __future__ import annotations

import base64
import html
import io
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.browser import Opened
from support.camera_files import write_cameras
from support.command_line import fails, run_json
from support.rendered_scenes import camera, surfaces

from leansplat import formats
from leansplat.cameras import Camera
from leansplat.metrics.psnr import psnr
from leansplat.rendering import render
from leansplat.viewing import standalone, write_folder, write_page
from leansplat.viewing.opening import camera_json

VIEW = camera(160, 120, off_centre=True)
OTHER = camera(160, 120)


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("scene") / "still life <1>.ply"
    formats.write(surfaces(1500), path)
    return path


def agreement(page: Opened, view: Camera, background: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> float:
    """PSNR between what the page opens with, at the size of the camera, and our render of the scene."""
    page.do("it.setSize(given[0], given[1])", [view.width, view.height])
    return psnr(page.picture(), render(surfaces(1500), view, background=background).image.clamp(0, 1))


def test_one_file_opens_from_disk_without_a_network_at_its_camera(
    opened: Callable[..., Opened], tmp_path: Path, scene: Path
) -> None:
    path = write_page(
        scene, tmp_path / "page.html", cameras={"first": VIEW, "second": OTHER}, background=(1.0, 1.0, 1.0)
    )
    page = opened(path.as_uri(), offline=True).ready()
    assert agreement(page, VIEW, (1.0, 1.0, 1.0)) > 30  # .sog rounds a scene that was never trained
    page.do("it.jump(1)")
    assert agreement(page, OTHER, (1.0, 1.0, 1.0)) > 30
    assert page.page.title().startswith("still life <1>.ply")
    assert page.elsewhere() == page.errors == []
    assert not [url for url in page.asked if url.startswith("file:") and url != path.as_uri()]


def test_a_sog_is_put_into_the_page_as_it_is(opened: Callable[..., Opened], tmp_path: Path, scene: Path) -> None:
    small = tmp_path / "small.sog"
    formats.write(surfaces(1500), small)
    (tmp_path / "page.html").write_text(standalone(small, cameras={"a": VIEW}, title="A & B"), encoding="utf-8")
    page = opened((tmp_path / "page.html").as_uri(), offline=True).ready()
    page.do("it.setSize(given[0], given[1])", [VIEW.width, VIEW.height])
    assert psnr(page.picture(), render(small, VIEW).image.clamp(0, 1)) > 38
    assert page.page.title().startswith("A & B")


def test_a_page_works_inside_another_one(opened: Callable[..., Opened], tmp_path: Path, scene: Path) -> None:
    inner = html.escape(standalone(scene, cameras={"a": VIEW}), quote=True)
    (tmp_path / "outer.html").write_text(
        f'<!doctype html><title>report</title><iframe srcdoc="{inner}" width="160" height="120"></iframe>',
        encoding="utf-8",
    )
    page = opened((tmp_path / "outer.html").as_uri(), offline=True)
    inside = page.page.frames[1]
    for _ in range(600):
        if inside.evaluate("window.leansplat?.firstPicture ?? null"):
            break
        page.page.wait_for_timeout(50)
    assert inside.evaluate("Math.max(...window.leansplat.stage.pixels().data.filter((_, at) => at % 4 < 3))") > 100
    assert page.errors == page.elsewhere() == []


def test_no_page_names_an_address_elsewhere_that_a_browser_would_fetch(scene: Path) -> None:
    page = standalone(scene)
    assert "default-src 'none'" in page
    assert "<link" not in page.replace('<link rel="icon" href="data:,">', "")
    assert "PlayCanvas Ltd" in page


@contextmanager
def static(folder: Path) -> Iterator[str]:
    """Any web server: Python's own."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_folder_streams_levels_from_any_web_server(
    opened: Callable[..., Opened], tmp_path: Path, scene: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("leansplat.viewing.pages._STREAMED", 1000)
    index = write_folder(scene, tmp_path / "site", cameras={"a": VIEW})
    assert index == tmp_path / "site" / "index.html"
    assert len(formats.read(tmp_path / "site/scene/lod-meta.json", level=1)) == 375
    with static(tmp_path / "site") as address:
        page = opened(address).ready()
        assert agreement(page, VIEW) > 30
        assert any("shN_centroids" in url for url in page.asked)
        assert page.elsewhere() == page.errors == []
    write_folder(scene, tmp_path / "site", overwrite=True)


def test_levels_that_a_ladder_made_are_kept(tmp_path: Path) -> None:
    fine = surfaces(400)
    path = formats.write_levels([fine, fine[::4]], tmp_path / "levels")
    write_folder(path, tmp_path / "site", cameras={"a": VIEW})
    copied = tmp_path / "site" / "scene"
    for file in path.parent.rglob("*"):
        if file.is_file():
            assert (copied / file.relative_to(path.parent)).read_bytes() == file.read_bytes()


def test_the_poster_is_our_render_of_the_opening_camera(tmp_path: Path, scene: Path) -> None:
    page = standalone(scene, cameras={"a": VIEW})
    description = json.loads(page.partition('id="description">')[2].partition("</script>")[0])
    jpeg = base64.b64decode(description["poster"].partition(",")[2])
    poster = torch.from_numpy(np.asarray(Image.open(io.BytesIO(jpeg))).copy()).float() / 255
    assert psnr(poster, render(scene, VIEW).image.clamp(0, 1)) > 25
    expected = camera_json(VIEW, surfaces(1500).arrays(), name="a")
    assert description["cameras"][0] == expected


def test_the_command_writes_a_file_or_a_folder(tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_cameras(tmp_path / "cameras.json", [OTHER])
    made = run_json(capsys, "page", scene, "-o", tmp_path / "page.html", "--cameras", tmp_path / "cameras.json")
    assert made["bytes"] == (tmp_path / "page.html").stat().st_size < 2_500_000
    made = run_json(capsys, "page", scene, "-o", tmp_path / "site")
    assert made["files"] == len([file for file in (tmp_path / "site").rglob("*") if file.is_file()])
    assert "already exists" in fails(capsys, "page", scene, "-o", tmp_path / "page.html")


def test_a_folder_of_something_else_is_never_replaced(
    tmp_path: Path, scene: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("my site", encoding="utf-8")
    assert "folder of something else" in fails(capsys, "page", scene, "-o", tmp_path / "site", "--overwrite")
    assert (tmp_path / "site" / "index.html").read_text(encoding="utf-8") == "my site"
