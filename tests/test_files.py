import errno
import json
import os
import shutil
import stat
import sys

import pytest

from leansplat import files
from leansplat.errors import InputError
from leansplat.files import clear_abandoned, replacing, replacing_folder, write_json


def names(folder):
    return sorted(entry.name for entry in folder.iterdir())


def test_a_file_appears_whole_when_the_block_ends(tmp_path):
    with replacing(tmp_path / "a") as handle:
        handle.write(b"first, ")
        handle.flush()
        assert not (tmp_path / "a").exists()
        handle.write(b"second")
    assert (tmp_path / "a").read_bytes() == b"first, second"
    assert names(tmp_path) == ["a"]


@pytest.mark.parametrize("failure", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, failure):
    (tmp_path / "a").write_bytes(b"old")

    def write_half():
        with replacing(tmp_path / "a", overwrite=True) as handle:
            handle.write(b"half")
            raise failure

    with pytest.raises(failure):
        write_half()
    assert (tmp_path / "a").read_bytes() == b"old"
    assert names(tmp_path) == ["a"]


def test_a_reader_that_holds_the_old_file_keeps_it(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with open(tmp_path / "a", "rb") as reader:
        with replacing(tmp_path / "a", overwrite=True) as handle:
            handle.write(b"new")
        assert reader.read() == b"old"
    assert (tmp_path / "a").read_bytes() == b"new"


def test_an_existing_file_is_refused_before_any_work(tmp_path):
    (tmp_path / "a").write_bytes(b"old")
    with pytest.raises(InputError, match=r"a already exists; pass --overwrite"), replacing(tmp_path / "a"):
        pytest.fail("the block must not run")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_file_that_appears_meanwhile_is_not_overwritten(tmp_path):
    def write_late():
        with replacing(tmp_path / "a") as handle:
            handle.write(b"mine")
            (tmp_path / "a").write_bytes(b"theirs")

    with pytest.raises(InputError, match="already exists"):
        write_late()
    assert (tmp_path / "a").read_bytes() == b"theirs"
    assert names(tmp_path) == ["a"]


def test_a_missing_folder_and_a_folder_in_the_way_are_named(tmp_path):
    with pytest.raises(InputError, match=r"absent.a cannot be written because its folder does not exist"):
        write_json(tmp_path / "absent" / "a", 1)
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match="its folder does not exist"):
        write_json(tmp_path / "file" / "a", 1)
    with pytest.raises(InputError, match="is a folder"):
        write_json(tmp_path, 1, overwrite=True)


def test_a_full_disk_is_one_sentence(tmp_path):
    def fill_disk():
        with replacing(tmp_path / "a"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with pytest.raises(InputError, match=r"a cannot be written \(No space left on device\)"):
        fill_disk()
    assert names(tmp_path) == []


@pytest.mark.parametrize("number", [errno.EROFS, errno.EIO])
def test_a_disk_that_went_away_is_one_sentence(tmp_path, number):
    def lose_disk():
        with replacing(tmp_path / "a"):
            raise OSError(number, os.strerror(number))

    with pytest.raises(InputError, match=rf"a cannot be written \({os.strerror(number)}\)"):
        lose_disk()


def test_a_folder_that_went_away_is_one_sentence(tmp_path):
    (tmp_path / "out").mkdir()

    def lose_folder():
        with replacing(tmp_path / "out" / "a") as handle:
            handle.write(b"x")
            shutil.rmtree(tmp_path / "out")

    with pytest.raises(InputError, match="its folder does not exist"):
        lose_folder()


def test_another_error_of_the_system_is_passed_on_as_it_is(tmp_path):
    def read_absent():
        with replacing(tmp_path / "a"):
            (tmp_path / "absent").read_bytes()

    with pytest.raises(FileNotFoundError):
        read_absent()


@pytest.mark.skipif(sys.platform == "win32", reason="Windows makes symbolic links only for administrators")
def test_a_symbolic_link_stays_and_its_file_is_replaced(tmp_path):
    (tmp_path / "far").mkdir()
    (tmp_path / "far" / "a").write_bytes(b"old")
    (tmp_path / "link").symlink_to(tmp_path / "far" / "a")
    with replacing(tmp_path / "link", overwrite=True) as handle:
        handle.write(b"new")
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "far" / "a").read_bytes() == b"new"
    assert names(tmp_path / "far") == ["a"]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no permission bits")
def test_permissions_are_those_of_any_new_file(tmp_path):
    (tmp_path / "ordinary").write_bytes(b"")
    with replacing(tmp_path / "a") as handle:
        handle.write(b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == stat.S_IMODE((tmp_path / "ordinary").stat().st_mode)


def test_json_comes_back_as_it_was(tmp_path):
    value = {"name": "fôx", "views": [1, 2.5, None, True], "nested": {"a": []}}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8")) == value
    assert (tmp_path / "a.json").read_bytes().endswith(b"}\n")


def test_json_has_null_where_a_number_is_not_finite(tmp_path):
    value = {"psnr": float("inf"), "views": [float("nan"), (1.0, -float("inf"))]}
    write_json(tmp_path / "a.json", value)
    assert json.loads((tmp_path / "a.json").read_text()) == {"psnr": None, "views": [None, [1.0, None]]}


def test_what_json_cannot_express_touches_no_file(tmp_path):
    write_json(tmp_path / "a.json", 1)
    with pytest.raises(TypeError):
        write_json(tmp_path / "a.json", {"x": object()}, overwrite=True)
    assert json.loads((tmp_path / "a.json").read_text()) == 1


def test_only_what_a_killed_writer_left_is_cleared(tmp_path):
    abandoned = tmp_path / ".leansplat-0123456789abcdef.tmp"
    others = [
        tmp_path / name for name in (".leansplat-mine.tmp", "0123456789abcdef.tmp", ".leansplat-0123456789abcdef")
    ]
    for path in (abandoned, *others):
        path.write_bytes(b"half")
    (tmp_path / ".leansplat-fedcba9876543210.tmp").mkdir()
    (tmp_path / ".leansplat-fedcba9876543210.tmp" / "half").write_bytes(b"half")
    with replacing(tmp_path / "a") as handle:
        handle.write(b"whole")
        clear_abandoned(tmp_path)
        assert not abandoned.exists()
        assert all(path.exists() for path in others)
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert len(names(tmp_path)) == 4
    clear_abandoned(tmp_path / "nowhere")


@pytest.mark.skipif(os.name == "nt", reason="there nothing that is open can be deleted")
def test_what_is_tidied_up_before_it_is_locked_is_made_again(tmp_path, monkeypatch):
    lock, tidied = files.try_lock, []

    def after_somebody_tidied(descriptor):
        monkeypatch.setattr(files, "try_lock", lock)
        clear_abandoned(tmp_path)
        tidied.append(descriptor)
        return lock(descriptor)

    monkeypatch.setattr(files, "try_lock", after_somebody_tidied)
    with replacing(tmp_path / "a") as handle:
        handle.write(b"whole")
    monkeypatch.setattr(files, "try_lock", after_somebody_tidied)
    with replacing_folder(tmp_path / "web", owned_by="index") as folder:
        (folder / "index").write_bytes(b"new")
    assert len(tidied) == 2
    assert (tmp_path / "a").read_bytes() == b"whole"
    assert (tmp_path / "web" / "index").read_bytes() == b"new"
    assert names(tmp_path) == ["a", "web"]


def test_a_folder_appears_whole_when_the_block_ends(tmp_path):
    with replacing_folder(tmp_path / "web", owned_by="index") as folder:
        (folder / "index").write_bytes(b"new")
        assert not (tmp_path / "web").exists()
        clear_abandoned(tmp_path)  # it is being written, so it stays
        assert (folder / "index").exists()
    assert (tmp_path / "web" / "index").read_bytes() == b"new"
    assert names(tmp_path) == ["web"]


def test_a_folder_is_replaced_only_by_its_own_kind_and_only_when_asked(tmp_path):
    target = tmp_path / "web"
    target.mkdir()  # an empty one is as good as none
    with replacing_folder(target, owned_by="index") as folder:
        (folder / "index").write_bytes(b"old")
        (folder / "more").write_bytes(b"old")
    with pytest.raises(InputError, match="already exists"), replacing_folder(target, owned_by="index"):
        pytest.fail("the block must not run")
    with (
        pytest.raises(InputError, match="something else"),
        replacing_folder(target, owned_by="contents", overwrite=True),
    ):
        pytest.fail("the block must not run")
    with replacing_folder(target, owned_by="index", overwrite=True) as folder:
        (folder / "index").write_bytes(b"new")
    assert names(target) == ["index"]
    assert names(tmp_path) == ["web"]


def test_a_failure_leaves_the_old_folder_and_nothing_else(tmp_path):
    with replacing_folder(tmp_path / "web", owned_by="index") as folder:
        (folder / "index").write_bytes(b"old")

    def write_half():
        with replacing_folder(tmp_path / "web", owned_by="index", overwrite=True) as folder:
            (folder / "index").write_bytes(b"half")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_half()
    assert (tmp_path / "web" / "index").read_bytes() == b"old"
    assert names(tmp_path) == ["web"]


@pytest.mark.parametrize(("name", "expected"), [("nowhere/web", "folder around it does not exist"), ("file", "a file")])
def test_a_folder_that_cannot_be_is_refused_in_one_sentence(tmp_path, name, expected):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(InputError, match=expected), replacing_folder(tmp_path / name, owned_by="index"):
        pytest.fail("the block must not run")
