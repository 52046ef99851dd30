"""A run folder in storage is always one that was there at one moment, and what replaces it never half of it."""

from __future__ import annotations

import os
import shutil
import time
from pathlib import Path

import pytest
from support.patience import PATIENCE

from leansplat.errors import InputError
from leansplat.storage import Mirror, files_under, put_bytes, putting


def run_folder(tmp_path: Path) -> Path:
    run = tmp_path / "run"
    (run / "checkpoints").mkdir(parents=True)
    (run / "config.json").write_text("{}")
    (run / ".leansplat.lock").write_text("")
    return run


def checkpoint(run: Path, step: int) -> None:
    (run / "checkpoints" / f"step_{step}.safetensors").write_bytes(os.urandom(64))
    with open(run / "log.jsonl", "a", encoding="utf-8") as log:
        log.write(f"{step}\n")


def contents(folder: Path) -> dict[str, bytes]:
    found = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    return {name: content for name, content in found.items() if not name.startswith(".leansplat")}


def restored(place: str, target: Path, work: str = "") -> dict[str, bytes] | None:
    shutil.rmtree(target, ignore_errors=True)
    return contents(target) if Mirror(target, f"{place}/m", work=work).restore() else None


def test_another_machine_finds_the_folder_as_it_was(place: str, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    mirror = Mirror(run, f"{place}/m")
    assert restored(place, tmp_path / "other") is None
    for step in (10, 20, 30):
        checkpoint(run, step)
        (run / "checkpoints" / f"step_{step - 20}.safetensors").unlink(missing_ok=True)
        assert mirror.snapshot()
        assert restored(place, tmp_path / "other") == contents(run)
    assert len(files_under(f"{place}/m")) == 1 + len(contents(run))


def test_a_line_in_the_log_alone_is_no_reason_to_keep_anything(place: str, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    mirror = Mirror(run, f"{place}/m")
    checkpoint(run, 10)
    assert mirror.snapshot()
    with open(run / "log.jsonl", "a") as log:
        log.write("more\n")
    assert not mirror.snapshot()


def test_a_kill_before_the_list_leaves_the_snapshot_of_before(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = run_folder(tmp_path)
    mirror = Mirror(run, f"{place}/m")
    checkpoint(run, 10)
    mirror.snapshot()
    before = contents(run)
    checkpoint(run, 20)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("leansplat.storage.mirror.create", killed)
    with pytest.raises(KeyboardInterrupt):
        mirror.snapshot()
    assert restored(place, tmp_path / "other") == before


def test_who_goes_on_counts_on(place: str, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    checkpoint(run, 10)
    Mirror(run, f"{place}/m").snapshot()
    second = Mirror(tmp_path / "second", f"{place}/m")
    assert second.restore()
    assert not second.snapshot()
    checkpoint(tmp_path / "second", 20)
    assert second.snapshot()
    assert restored(place, tmp_path / "third") == contents(tmp_path / "second")


def test_of_two_who_keep_the_same_run_the_later_one_stops(
    place: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = run_folder(tmp_path)
    checkpoint(run, 10)
    first, second = Mirror(run, f"{place}/m"), Mirror(run, f"{place}/m")
    first.snapshot()
    second._keep()
    assert "is kept by another process, too" in caplog.text
    assert restored(place, tmp_path / "other") == contents(run)


def test_a_run_of_something_else_is_not_gone_on_with(place: str, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    checkpoint(run, 10)
    Mirror(run, f"{place}/m", work="shrink to 50%").snapshot()
    assert restored(place, tmp_path / "other", "shrink to 25%") is None
    assert restored(place, tmp_path / "other", "shrink to 50%") is None


def test_checkpoints_are_kept_as_they_appear_and_go_at_the_end(place: str, tmp_path: Path) -> None:
    run = run_folder(tmp_path)
    with Mirror(run, f"{place}/m", every=0.02) as mirror:
        for step in (10, 20):
            checkpoint(run, step)
            deadline = time.monotonic() + PATIENCE
            while restored(place, tmp_path / "other") != contents(run):
                assert time.monotonic() < deadline
                time.sleep(0.02)
    mirror.remove()
    with pytest.raises(InputError, match="there is nothing"):
        files_under(f"{place}/m")


def test_a_list_that_is_damaged_is_refused(place: str, tmp_path: Path) -> None:
    put_bytes(b"{", f"{place}/m/00000003.json")
    with pytest.raises(InputError, match=r"00000003\.json is damaged"):
        Mirror(tmp_path / "other", f"{place}/m").restore()


def test_nothing_is_created_over_what_is_there(place: str) -> None:
    putting.create(f"{place}/a", b"first")
    with pytest.raises(FileExistsError):
        putting.create(f"{place}/a", b"second")
    assert [file.bytes for file in files_under(f"{place}/a")] == [5]
