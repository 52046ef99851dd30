"""Run folders: what is in them, and that nothing is overwritten or told twice."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from leansplat.cameras import look_at
from leansplat.captures.capture import Capture, Points, View
from leansplat.errors import RunError
from leansplat.runs import (
    Run,
    at_work,
    create_run,
    has_begun,
    hash_capture,
    hash_file,
    open_run,
    package_versions,
    run_to_resume,
)


def make(folder: Path, **options: bool) -> Run:
    return create_run(folder, "train", {"iterations": 10}, {"capture": "abc"}, seed=4, **options)


def capture() -> Capture:
    camera = look_at((0, 0, -3), (0, 0, 0), (0, -1, 0), 0.7, 4, 3)
    views = [View(f"{i}.png", camera, torch.full((3, 4, 3), i, dtype=torch.uint8)) for i in range(3)]
    return Capture("c", tuple(views[1:]), tuple(views[:1]), Points(torch.zeros(2, 3), torch.ones(2, 3)))


def test_config_json_records_what_the_result_depends_on(tmp_path: Path) -> None:
    make(tmp_path / "runs" / "fox")
    config = json.loads((tmp_path / "runs" / "fox" / "config.json").read_text())
    assert config["command"] == "train"
    assert config["settings"] == {"iterations": 10}
    assert config["inputs"] == {"capture": "abc"}
    assert config["seed"] == 4
    assert config["threads"] >= 1
    assert config["versions"]["torch"] == torch.__version__


def test_an_opened_run_is_the_one_that_was_created(tmp_path: Path) -> None:
    assert make(tmp_path / "a") == open_run(tmp_path / "a")


def test_a_folder_in_use_is_refused_and_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    with pytest.raises(RunError, match="not empty"):
        make(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["notes.txt"]


def test_an_empty_folder_is_used(tmp_path: Path) -> None:
    assert make(tmp_path).folder == tmp_path


def test_a_file_is_no_folder_for_a_run(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunError, match="file"):
        make(tmp_path / "file")


def test_overwriting_removes_the_earlier_run_and_nothing_else(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.log("progress", 1)
    run.checkpoint_path(5).write_bytes(b"old")
    run.write_metrics({"psnr": 1.0})
    for path in (run.scene_path, run.picture_path, run.plain_path(".spz"), run.plain_path(".compressed.ply")):
        path.write_bytes(b"old")
    (tmp_path / "notes.txt").write_text("mine")
    (tmp_path / "report.html").write_text("mine")
    (tmp_path / "checkpoints" / "keep.txt").write_text("mine too")
    again = make(tmp_path, overwrite=True)
    left = sorted(str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if path.is_file())
    assert left == ["checkpoints/keep.txt", "config.json", "notes.txt", "report.html"]
    assert again.events() == []
    assert again.checkpoints() == []


@pytest.mark.parametrize("content", [None, "", "[]", "{}", '{"command": "train"}', "\xff"])
def test_a_folder_that_is_not_a_run_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "config.json").write_text(content, encoding="latin-1")
    with pytest.raises(RunError, match=r"config\.json"):
        open_run(tmp_path)


def test_events_come_back_in_order(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.log("progress", 10, loss=0.5)
    run.log("densified", 20, cloned=3)
    assert run.events() == [
        {"event": "progress", "step": 10, "loss": 0.5},
        {"event": "densified", "step": 20, "cloned": 3},
    ]


def test_a_line_cut_off_by_a_kill_is_not_an_event(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.log("progress", 10)
    with open(run.log_path, "a") as file:
        file.write('{"event": "progr')
    assert [event["step"] for event in run.events()] == [10]


@pytest.mark.parametrize("line", ["nonsense", "[]", '{"event": "x"}', '{"event": 3, "step": 1}'])
def test_a_damaged_line_is_named(tmp_path: Path, line: str) -> None:
    run = make(tmp_path)
    run.log("progress", 10)
    with open(run.log_path, "a") as file:
        file.write(line + "\n")
    with pytest.raises(RunError, match="line 2"):
        run.events()


def test_a_log_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.log_path.mkdir()
    with pytest.raises(RunError, match=r"log\.jsonl cannot be written"):
        run.log("progress", 1)


def test_cutting_the_log_drops_what_comes_after_the_checkpoint(tmp_path: Path) -> None:
    run = make(tmp_path)
    for step in (10, 20, 30):
        run.log("progress", step)
    with open(run.log_path, "a") as file:
        file.write('{"event"')
    run.cut_log(20)
    run.log("progress", 25)
    assert [event["step"] for event in run.events()] == [10, 20, 25]


def test_only_the_last_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run = make(tmp_path)
    for step in (900, 1000, 5, 20):
        run.checkpoint_path(step).write_bytes(b"")
    (tmp_path / "checkpoints" / "step_7.safetensors.part").write_bytes(b"")
    assert run.checkpoints() == [5, 20, 900, 1000]
    run.drop_old_checkpoints()
    assert run.checkpoints() == [900, 1000]


def test_the_end_of_a_run_is_not_told_twice(tmp_path: Path) -> None:
    """It has the step of the last checkpoint, to which a run that was killed while it was evaluated goes back."""
    run = make(tmp_path)
    run.log("progress", 20)
    run.log("finished", 20)
    run.cut_log(20)
    assert [event["event"] for event in run.events()] == ["progress"]


def test_another_input_than_the_run_began_with_is_refused(tmp_path: Path) -> None:
    run = make(tmp_path)
    run.check_input("capture", "abc")
    with pytest.raises(RunError, match="another capture"):
        run.check_input("capture", "abd")


def test_a_files_hash_is_its_sha256(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(bytes(range(256)) * 10_000)
    assert hash_file(tmp_path / "file") == hashlib.sha256(bytes(range(256)) * 10_000).hexdigest()


def test_a_captures_hash_depends_on_everything_training_sees_and_only_that() -> None:
    base = capture()
    photo = base.train[0].photo.clone()
    photo[2, 3, 1] += 1
    other_photo = replace(base.train[0], photo=photo)
    other_camera = replace(base.train[0], camera=base.train[0].camera.resized(8, 6))
    other_name = replace(base.train[0], name="other.png")
    masks = [replace(base.train[0], mask=torch.arange(12).reshape(3, 4) > number) for number in range(2)]
    assert base.points is not None
    changed = [replace(base, train=(view, base.train[1])) for view in (other_photo, other_camera, other_name, *masks)]
    changed += [
        replace(base, train=base.train[:1]),
        replace(base, train=(*base.train, *base.test), test=()),
        replace(base, background=(1.0, 1.0, 1.0)),
        replace(base, points=None),
        replace(base, points=replace(base.points, colors=torch.zeros(2, 3))),
    ]
    assert len({hash_capture(each) for each in [base, *changed]}) == 1 + len(changed)
    assert hash_capture(replace(capture(), name="elsewhere")) == hash_capture(base)


def test_versions_name_the_packages_that_decide_the_numbers() -> None:
    assert {"python", "leansplat", "torch", "numpy", "numba"} <= set(package_versions())


# Where nothing has begun


def stopped_before_it_began(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An earlier run that was being overwritten when somebody stopped it."""
    make(folder).log("progress", 1)
    (folder / "scene.ply").write_bytes(b"old")

    def stop(_: Path) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(Run, "files", property(stop))
        with pytest.raises(KeyboardInterrupt):
            make(folder, overwrite=True)


@pytest.mark.parametrize("left", ["missing", "empty", "started", "overwritten"])
def test_what_was_stopped_before_it_began_starts_over_and_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, left: str
) -> None:
    folder = tmp_path / "run"
    if left == "overwritten":
        stopped_before_it_began(folder, monkeypatch)
    elif left != "missing":
        folder.mkdir()
    if left == "started":
        (folder / "checkpoints").mkdir()
        (folder / ".leansplat.lock").write_text("process 1 on a machine")
        (folder / ".leansplat-0123456789abcdef.tmp").write_bytes(b"{")
    assert not has_begun(folder)
    with caplog.at_level(logging.WARNING, logger="leansplat"):
        assert run_to_resume(folder) is None
    assert caplog.messages == [f"{folder} holds no run that has begun; starting from the beginning"]
    made = make(folder)  # without overwrite
    assert open_run(folder) == made
    assert sorted(path.name for path in folder.iterdir()) == ["checkpoints", "config.json"]
    assert run_to_resume(folder) == open_run(folder)


@pytest.mark.parametrize("name", ["scene.ply", "notes.txt", "checkpoints/step_5.safetensors"])
def test_a_folder_with_anything_else_is_not_started_over(tmp_path: Path, name: str) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match="not a run folder"):
        run_to_resume(tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_run_that_was_stopped_before_it_began_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stopped_before_it_began(tmp_path, monkeypatch)
    with pytest.raises(RunError, match=r"stopped before it began; start it again"):
        open_run(tmp_path)


def test_work_on_a_run_clears_what_a_kill_has_left_in_it(tmp_path: Path) -> None:
    make(tmp_path)
    for place in (tmp_path, tmp_path / "checkpoints"):
        (place / ".leansplat-0123456789abcdef.tmp").write_bytes(b"half")
    with at_work(tmp_path):
        assert not list(tmp_path.rglob("*.tmp"))
    with at_work(None):
        pass
