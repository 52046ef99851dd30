"""The page of a run that goes on, in a real browser: curves, scenes, photos, and the button that stops the run."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browser import Opened
from support.capture_folder import write_nerfstudio
from support.patience import PATIENCE
from support.tiny import blobs, tiny_capture

from leansplat import live
from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main
from leansplat.commands.watch import seen
from leansplat.compression import CompressionConfig, FineTuningConfig, compress
from leansplat.errors import StoppedError
from leansplat.pruning import TrimmingConfig, trim
from leansplat.runs import create_run, open_run
from leansplat.training import TrainingConfig, train
from leansplat.watching import Watching
from leansplat.watching.reading import Watched

CAPTURE = tiny_capture()
CONFIG = replace(TrainingConfig().scaled(800), sh_degree=1, checkpoint_every=750)


@pytest.fixture(autouse=True)
def brisk(monkeypatch: pytest.MonkeyPatch) -> None:
    """Newer scenes sooner, so that there are several in a test."""
    monkeypatch.setattr(live, "_SCENE_EVERY", 1.0)
    monkeypatch.setattr(live, "_SHARE_OF_TIME", 1.0)


class Slow:
    """A training in a thread of its own, at at most thirty steps a second so that there is time to watch."""

    def __init__(self, folder: Path) -> None:
        self.failure: BaseException | None = None
        self.hurry = threading.Event()
        self._folder = folder
        self._thread = threading.Thread(target=self._train, daemon=True)
        self._thread.start()

    def _train(self) -> None:
        try:
            train(CAPTURE, CONFIG, self._folder, after_step=lambda state: self.hurry.wait(0.035) and None)
        except BaseException as error:
            self.failure = error

    def ended(self) -> BaseException | None:
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        return self.failure


def until(condition: Callable[[], Any], what: str) -> Any:
    deadline = time.monotonic() + PATIENCE
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen within {PATIENCE} s"
        time.sleep(0.05)
    return found


def viewer_of(page: Any) -> Any:
    """The frame of the viewer, with a first picture."""

    def found() -> Any:
        page.wait_for_timeout(10)  # in which the page tells of its frames
        frames = [frame for frame in page.frames if frame.url.endswith("/viewer/")]
        return frames[0] if frames and frames[0].evaluate("window.leansplat?.firstPicture ?? null") else None

    return until(found, "a first picture")


def state_of(address: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}state.json", timeout=PATIENCE) as response:
        state: dict[str, Any] = json.loads(response.read())
        return state


def test_a_run_is_watched_stopped_by_the_button_and_resumed_to_the_same_bits(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    folder = tmp_path / "garden"
    with Watching(folder) as watching:
        page = opened(watching.address, size=(1100, 700)).page
        until(lambda: "waiting for a run" in _text(page, "#said"), "the word that there is none yet")
        running = Slow(folder)
        until(lambda: page.locator("#charts svg .line").count() >= 2, "curves")
        until(lambda: "loss" in _text(page, "#numbers"), "numbers")
        until(lambda: "left" in _text(page, "#numbers"), "the time left")
        frame = viewer_of(page)
        cameras = frame.evaluate("window.leansplat.description.cameras.map(camera => camera.name)")
        assert cameras == [view.name for view in CAPTURE.test]
        assert frame.evaluate("window.leansplat.stage.mode") == "beside"
        assert frame.evaluate("window.leansplat.stage.photo.address") == "photos/0.png"

        frame.evaluate("window.leansplat.controls.change(pose => pose.turn(pose.down, 0.1))")
        moved = frame.evaluate("window.leansplat.stage.pose.forward")
        first = frame.evaluate("window.leansplat.stage.sides[0].scene.url")
        until(lambda: frame.evaluate("window.leansplat.stage.sides[0].scene.url") != first, "a newer scene")
        assert frame.evaluate("window.leansplat.stage.pose.forward") == moved

        page.locator("#stop").click()
        failure = running.ended()
        assert isinstance(failure, StoppedError)
        until(lambda: "it was stopped" in _text(page, "#said"), "the word that it was stopped")
        assert page.locator("#stop").is_hidden()
    step = open_run(folder).checkpoints()[-1]
    assert f"stopped after step {step} of 800" in str(failure)
    assert open_run(folder).events()[-1]["event"] == "stopped"
    assert not (folder / "live").exists()
    assert 100 < step < 750  # between two of its own checkpoints

    train(CAPTURE, CONFIG, folder, resume=True)
    train(CAPTURE, CONFIG, tmp_path / "uninterrupted")
    assert (folder / "scene.ply").read_bytes() == (tmp_path / "uninterrupted" / "scene.ply").read_bytes()


def _text(page: Any, selector: str) -> str:
    text: str = page.locator(selector).inner_text()
    return text


def test_a_finished_run_shows_its_curves_and_its_scene_and_has_no_button(
    opened: Callable[..., Opened], tmp_path: Path
) -> None:
    train(CAPTURE, replace(CONFIG, iterations=20), tmp_path / "run")
    files = sorted((tmp_path / "run").rglob("*"))
    with Watching(tmp_path / "run") as watching:
        page = opened(watching.address, size=(1100, 700)).page
        viewer_of(page)
        assert "it has finished" in _text(page, "#said")
        assert page.locator("#stop").is_hidden()
        assert _posted(watching.server, "stop")[0] == 409
    assert sorted((tmp_path / "run").rglob("*")) == files


@contextmanager
def commanded(*arguments: str | Path) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-m", "leansplat.cli", *map(str, arguments)]
    environment = {**os.environ, "BROWSER": "true %s"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=environment) as process:
        try:
            yield process
        finally:
            process.kill()


def test_view_serves_a_page_of_the_commands_own_run_which_ends_with_it(tmp_path: Path) -> None:
    photos = write_nerfstudio(synthetic_capture(views=10, size=32), tmp_path / "photos")
    folder = tmp_path / "run"
    with commanded("train", photos, "-o", folder, "--iterations", "200000", "--view") as process:
        assert process.stderr is not None
        line = next(line for line in process.stderr if "watch it: " in line)
        address = line.split("watch it: ")[1].strip()
        state = until(
            lambda: (told := state_of(address))["scene"] and told["stoppable"] and told["points"] and told,
            "a scene, a button and a curve",
        )
        assert state["gaussians"] > 0
        with urllib.request.urlopen(f"{address}viewer/{state['scene']['url']}", timeout=PATIENCE) as response:
            assert response.read(3) == b"ply"
        request = urllib.request.Request(f"{address}stop", method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as response:
            assert response.status == 204
        _, error = process.communicate(timeout=PATIENCE)
        assert process.returncode == 1
        assert "as a watcher wanted" in error
        assert "--resume goes on from there" in error
    assert open_run(folder).checkpoints()
    with pytest.raises(OSError, match=r"refused|reset"):
        state_of(address)


def test_a_run_that_keeps_nothing_is_watched_in_a_temporary_folder_and_cannot_be_stopped(
    capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("BROWSER", "true %s")
    said: list[str] = []

    def address() -> str | None:
        said.append(capfd.readouterr().err)
        found = "".join(said).partition("watch it: ")[2]
        return found.split()[0] if "\n" in found else None

    rendered = replace(CAPTURE, rendered=True)  # as shrinking does it
    with seen(True, None, "small.sog") as folder:
        assert folder is not None
        server = until(address, "an address")
        assert {name: state_of(server)[name] for name in ("name", "said")} == {"name": "small.sog", "said": "preparing"}
        run = folder / "stage-01"
        train(rendered, replace(CONFIG, iterations=10), run)
        state = until(lambda: (told := state_of(server))["state"] == "finished" and told, "the run")
        assert (state["piece"], state["stoppable"]) == ("stage-01", False)
        assert state["said"] == "this part has finished"  # the command may go on with another
    assert not folder.exists()
    with pytest.raises(OSError, match=r"refused|reset"):
        state_of(server)


@pytest.mark.parametrize("rendered", [True, False])
def test_a_scenes_own_renders_are_told_from_photos(tmp_path: Path, rendered: bool) -> None:
    watched, run = Watched(tmp_path), create_run(tmp_path / "run", "trim", {}, {}, seed=0)
    (run.folder / live.FOLDER).mkdir()
    live.Live(run.folder, live.Shown(blobs, replace(CAPTURE, rendered=rendered)))._write_views()
    shown = watched.photos(run)
    assert shown is not None
    assert shown.rendered == rendered


def _posted(server: Any, name: str, *lines: str, host: str | None = None, token: str | None = None, **how: Any) -> Any:
    """Status and body of a request as it is written here."""
    path = f"/{server.token if token is None else token}/{name}"
    head = [f"{how.get('method', 'POST')} {path} HTTP/1.1", f"Host: {host or f'127.0.0.1:{server.port}'}", *lines]
    with closing(socket.create_connection(("127.0.0.1", server.port), timeout=PATIENCE)) as connection:
        connection.sendall("\r\n".join([*head, "", how.get("body", "")]).encode("latin-1"))
        received = b""
        while part := connection.recv(1 << 16):
            received += part
    return int(received.split()[1]), received.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("work", ["trim", "compress"])
def test_trimming_and_compressing_stop_and_go_on_likewise(
    work: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live, "_LOOK_EVERY", 0.0)
    settings = TrimmingConfig(keep=0.5, rounds=2, every=10, finetune=40)

    def made(name: str, *, resume: bool = False, progress: Any = None) -> bytes:
        if work == "trim":
            trim(blobs(), CAPTURE, settings, tmp_path / name, resume=resume, progress=progress)
            return (tmp_path / name / "scene.ply").read_bytes()
        config = CompressionConfig(fine_tuning=FineTuningConfig(steps=60))
        file = tmp_path / f"{name}.spz"
        compress(blobs(), CAPTURE, file, config, tmp_path / name, resume=resume, progress=progress, overwrite=True)
        return file.read_bytes()

    def stop(done: int, total: int, values: Any) -> None:
        if (done, total) == (30, 60):
            (tmp_path / "stopped" / "live").mkdir()
            (tmp_path / "stopped" / "live" / "stop").touch()

    with pytest.raises(StoppedError, match="stopped after step 31 of 60"):
        made("stopped", progress=stop)
    assert open_run(tmp_path / "stopped").events()[-1]["event"] == "stopped"
    assert made("stopped", resume=True) == made("whole")


def test_hostile_requests_do_not_stop_a_run(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    running = Slow(folder)
    with Watching(folder) as watching:
        server = watching.server
        until(lambda: state_of(watching.address)["stoppable"], "the run")
        assert _posted(server, "stop", token="")[0] == 405
        assert _posted(server, "stop", token="wrong")[0] == 405
        assert _posted(server, "stop", host="example.com")[0] == 421
        assert _posted(server, "stop", host=f"example.com:{server.port}")[0] == 421
        assert _posted(server, "stop", "Host: example.com")[0] == 421
        assert _posted(server, "stop", "Origin: http://example.com")[0] == 403
        assert _posted(server, "stop", "Origin: null")[0] == 403
        assert _posted(server, "stop", "Content-Length: 5", body="12345")[0] == 413
        assert _posted(server, "stop", "Transfer-Encoding: chunked")[0] == 413
        for method in ("GET", "HEAD"):
            assert _posted(server, "stop", method=method)[0] == 404
        for method in ("PUT", "DELETE", "OPTIONS"):
            assert _posted(server, "stop", method=method)[0] == 501
        for name in ("stop/", "../stop", "state.json", "viewer/stop", "config.json"):
            assert _posted(server, name)[0] == 405
        for name in ("config.json", "log.jsonl", "viewer/../config.json", "live/status.json", "viewer/scenes/"):
            assert _posted(server, name, method="GET")[0] == 404
        assert not (folder / "live" / "stop").exists()
        running.hurry.set()
        assert running.ended() is None
    assert (folder / "scene.ply").is_file()


def test_a_page_without_the_button_cannot_stop_either(tmp_path: Path) -> None:
    with Watching(tmp_path / "run", stoppable=False) as watching:
        assert _posted(watching.server, "stop")[0] == 405


def test_a_wish_to_stop_an_earlier_run_does_not_stop_this_one(tmp_path: Path) -> None:
    def wish(state: Any) -> None:
        if state.step == 1:
            (tmp_path / "run" / "live").mkdir()
            (tmp_path / "run" / "live" / "stop").touch()
            os.utime(tmp_path / "run" / "live" / "stop", (1, 1))
        time.sleep(0.03)

    train(CAPTURE, replace(CONFIG, iterations=40), tmp_path / "run", after_step=wish)
    assert not (tmp_path / "run" / "live").exists()


def test_a_watcher_that_is_gone_costs_nothing_and_nothing_that_cannot_be_written_ends_a_run(tmp_path: Path) -> None:
    def come_and_go(state: Any) -> None:
        place = tmp_path / "run" / "live"
        if state.step == 1:
            place.mkdir()
            (place / "watching").touch()
            (place / "status.json.new").mkdir()  # cannot be written to
        if state.step == 30:
            seen.extend(path.name for path in place.iterdir())
            os.utime(place / "watching", (1, 1))
        if state.step == 80:
            for path in place.glob("*.*"):
                path.rmdir() if path.is_dir() else path.unlink()
        time.sleep(0.03)

    seen: list[str] = []
    train(CAPTURE, replace(CONFIG, iterations=120), tmp_path / "run", after_step=come_and_go)
    assert "views.npz" in seen
    assert "status.json" not in seen


def test_training_that_nobody_watches_knows_nothing_of_watching(tmp_path: Path) -> None:
    photos = write_nerfstudio(synthetic_capture(views=10, size=32), tmp_path / "photos")
    code = f"""
import sys, threading
from leansplat.cli import main
assert main(["train", {str(photos)!r}, "-o", {str(tmp_path / "run")!r}, "--iterations", "10"]) == 0
print([name for name in sys.modules if name.startswith("leansplat.watching")])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_what_is_not_a_folder_gets_one_sentence(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["watch", str(tmp_path / "nothing")]) == 2
    assert "is not a run folder" in capsys.readouterr().err
