"""Files and folders come from storage whole, or not at all with a sentence; `file://` and `memory://` like S3."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from support.patience import PATIENCE
from support.s3_server import S3Server

from leansplat.errors import InputError
from leansplat.storage import (
    AwayError,
    Cache,
    Listed,
    NothingThereError,
    connection,
    fetch,
    fetching,
    files_under,
    identity,
    listed_file,
    put_bytes,
    put_file,
    reach,
    remove,
    scratch_folder,
)


def fill(place: str) -> None:
    for name, content in {"a.ply": b"scene", "photos/1.jpg": b"one", "photos/sub/2.jpg": b"" * 2 + b"22"}.items():
        put_bytes(content, f"{place}/{name}")


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_with_all_that_is_below_it(place: str, tmp_path: Path) -> None:
    fill(place)
    fetch(f"{place}/photos", tmp_path / "here")
    assert contents(tmp_path / "here") == {"1.jpg": b"one", "sub/2.jpg": b"22"}


def test_a_file_comes_alone(place: str, tmp_path: Path) -> None:
    fill(place)
    assert fetch(f"{place}/a.ply", tmp_path / "b.ply").read_bytes() == b"scene"
    assert [path.name for path in tmp_path.iterdir() if path.name != "store"] == ["b.ply"]


def test_a_large_file_goes_and_comes_in_parts(s3: S3Server, tmp_path: Path) -> None:
    address, content = f"{s3.bucket()}/large", os.urandom(1 << 20) * 110
    (tmp_path / "large").write_bytes(content)
    put_file(tmp_path / "large", address)
    assert fetch(address, tmp_path / "back").read_bytes() == content


def test_what_is_not_there_is_told(place: str, tmp_path: Path) -> None:
    with pytest.raises(NothingThereError, match=f"there is nothing at {place}/none"):
        fetch(f"{place}/none", tmp_path / "here")
    assert listed_file(f"{place}/none") is None
    assert not (tmp_path / "here").exists()


def test_a_missing_bucket_is_told(s3: S3Server, tmp_path: Path) -> None:
    for act in (lambda: files_under("s3://no-such/a"), lambda: put_bytes(b"", "s3://no-such/a")):
        with pytest.raises(InputError, match="there is no bucket s3://no-such "):
            act()


def test_a_missing_right_is_told(s3: S3Server) -> None:
    def refuse(files: object, path: str) -> None:
        raise PermissionError("Access Denied")

    with pytest.raises(InputError, match=r"may not be used \(Access Denied\); check the rights"):
        reach(f"{s3.bucket()}/a", refuse)


def test_a_missing_package_is_told_with_what_installs_it() -> None:
    code = """
import sys
sys.modules["s3fs"] = None
from leansplat.storage import files_under
try:
    files_under("s3://bucket/a")
except Exception as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=PATIENCE, check=True)
    assert done.stdout.startswith("InputError s3://bucket/a cannot be reached without a package for s3://")
    assert "pip install 'leansplat[s3]'" in done.stdout


def test_a_file_that_comes_with_another_size_is_fetched_again_and_then_refused(place: str, tmp_path: Path) -> None:
    fill(place)
    (entry,) = files_under(f"{place}/a.ply")
    with pytest.raises(AwayError, match="should have 6 bytes and came with others, 3 times"):
        fetch(entry.address, tmp_path / "here", [Listed(entry.address, entry.name, 6, "")])
    assert not (tmp_path / "here").exists()


@pytest.mark.parametrize("name", ["../escaped", "a/../../b", "/etc/x", "a\\..\\b"])
def test_a_name_that_leads_out_of_the_folder_is_refused(place: str, tmp_path: Path, name: str) -> None:
    fill(place)
    with pytest.raises(InputError, match="has a name that is no path below its folder"):
        fetch(place, tmp_path / "here", [Listed(f"{place}/a.ply", name, 5, "")])
    assert not (tmp_path / "here").exists()


def test_what_does_not_fit_is_refused_before_anything_is_fetched(place: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="free some space or choose another scratch folder"):
        fetch(place, tmp_path / "here", [Listed(f"{place}/a.ply", "a.ply", 1 << 60, "")])


def test_an_identity_changes_with_what_is_there(place: str) -> None:
    fill(place)
    before = identity(files_under(place))
    assert identity(files_under(place)) == before
    put_bytes(b"scenf", f"{place}/a.ply")
    changed = identity(files_under(place))
    remove(f"{place}/photos")
    assert len({before, changed, identity(files_under(place))}) == 3


def test_a_server_that_comes_back_is_waited_for(s3: S3Server) -> None:
    address = f"{s3.bucket()}/a"
    put_bytes(b"kept", address)
    s3.stop()
    back = threading.Timer(1.5, s3.start)
    back.start()
    try:
        began = time.monotonic()
        assert [file.bytes for file in files_under(address)] == [4]
        assert time.monotonic() - began > 1
    finally:
        back.join()


def test_a_server_that_stays_away_is_given_up(s3: S3Server, monkeypatch: pytest.MonkeyPatch) -> None:
    address = f"{s3.bucket()}/a"
    monkeypatch.setattr(connection, "PATIENCE", 0.5)
    s3.stop()
    try:
        with pytest.raises(AwayError, match=f"{address} could not be reached for 0 s"):
            files_under(address)
    finally:
        s3.start()


def test_a_cache_fetches_once_what_two_need_and_again_what_has_changed(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(place)
    fetched = []
    monkeypatch.setattr(
        "leansplat.storage.cache.fetch",
        lambda address, *rest: fetched.append(address) or fetching.fetch(address, *rest),
    )
    cache = Cache(tmp_path / "cache", limit=1_000)
    cache.bring(place, tmp_path / "one")
    cache.bring(place, tmp_path / "two")
    assert fetched == [place]
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    put_bytes(b"other", f"{place}/a.ply")
    cache.bring(place, tmp_path / "three")
    assert fetched == [place, place]
    assert contents(tmp_path / "three")["a.ply"] == b"other"
    cache.clear()
    assert not (tmp_path / "cache").exists()
    assert contents(tmp_path / "one")["a.ply"] == b"scene"


def test_a_cache_forgets_what_was_not_used_for_longest(place: str, tmp_path: Path) -> None:
    for name in "abc":
        put_bytes(name.encode() * 400, f"{place}/{name}")
    cache = Cache(tmp_path / "cache", limit=1_000)
    for number, name in enumerate(["a", "b", "a", "c"]):
        cache.bring(f"{place}/{name}", tmp_path / str(number))
        time.sleep(0.01)
    held = {path.read_bytes()[:1] for path in (tmp_path / "cache").glob("*/content")}
    assert held == {b"a", b"c"}


def test_scratch_goes_also_after_a_failure_and_that_of_the_dead_goes_with_the_next(tmp_path: Path) -> None:
    root = tmp_path / "scratch"

    def fail() -> None:
        with scratch_folder() as folder:
            (folder / "file").write_bytes(b"x")
            raise ValueError("on purpose")

    with pytest.raises(ValueError, match="on purpose"):
        fail()
    assert list(root.iterdir()) == []
    dead = root / ".leansplat-0123456789abcdef.tmp"
    (dead / "sub").mkdir(parents=True)
    with scratch_folder() as living, scratch_folder():
        assert living.exists()
        assert not dead.exists()
