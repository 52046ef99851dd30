"""Outputs appear whole and once, whoever is killed where and however many put them there."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from support.patience import PATIENCE

from leansplat.errors import InputError, LeansplatError
from leansplat.storage import TakenError, fetch, files_under, publish, published, publishing, put_bytes, withdraw


def files(folder: Path, **contents: bytes) -> dict[str, Path]:
    folder.mkdir(exist_ok=True)
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def at(place: str, here: dict[str, Path]) -> dict[str, Path]:
    return {f"{place}/out/{name}": path for name, path in here.items()}


def visible(place: str) -> dict[str, int]:
    return {file.name: file.bytes for file in files_under(f"{place}/out")}


def everything(place: str) -> set[str]:
    return {file.name for file in files_under(f"{place}/out", hidden=True)}


def test_outputs_appear_together_with_a_note_and_nothing_else(place: str, tmp_path: Path) -> None:
    here = at(place, files(tmp_path / "here", scene=b"12345", record=b"{}"))
    publish(f"{place}/out/scene", here, work="w", values={"answer": 42})
    assert visible(place) == {"scene": 5, "record": 2}
    assert everything(place) == {"scene", "record", ".published/scene.json"}
    found = published(f"{place}/out/scene")
    assert found is not None
    assert (found.work, found.values) == ("w", {"answer": 42})
    assert found.files == {f"{place}/out/scene": 5, f"{place}/out/record": 2}


def test_what_is_done_twice_is_published_once(place: str, tmp_path: Path) -> None:
    first = at(place, files(tmp_path / "a", scene=b"first"))
    second = at(place, files(tmp_path / "b", scene=b"second"))
    publish(f"{place}/out/scene", first, work="w", values={"by": 1})
    assert publish(f"{place}/out/scene", second, work="w", values={"by": 2}).values == {"by": 1}
    assert visible(place) == {"scene": 5}


def test_of_two_writers_one_wins_and_the_other_says_so(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both have staged everything before either writes its note."""
    if place.startswith("memory"):
        pytest.skip("the memory of a process is written to by one thread at a time")
    together = threading.Barrier(2)
    decide = publishing._decide

    def at_once(*arguments: object) -> object:
        together.wait(timeout=PATIENCE)
        return decide(*arguments)

    monkeypatch.setattr(publishing, "_decide", at_once)
    came: dict[str, object] = {}

    def write(who: str) -> None:
        here = at(place, files(tmp_path / who, scene=who.encode() * 100, record=who.encode()))
        try:
            came[who] = publish(f"{place}/out/scene", here, work=who)
        except LeansplatError as error:
            came[who] = error

    writers = [threading.Thread(target=write, args=(who,)) for who in ("x", "yy")]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    (winner,) = [who for who, what in came.items() if not isinstance(what, Exception)]
    (loser,) = [what for what in came.values() if isinstance(what, Exception)]
    assert isinstance(loser, TakenError)
    assert "has been put there by somebody else meanwhile; theirs is kept" in str(loser)
    assert visible(place) == {"scene": 100 * len(winner), "record": len(winner)}
    assert everything(place) == {"scene", "record", ".published/scene.json"}


def test_who_is_killed_before_the_note_has_published_nothing(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = at(place, files(tmp_path / "here", scene=b"12345"))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_decide", _killed)
        patch.setattr(publishing, "remove", lambda address: None)
        with pytest.raises(KeyboardInterrupt):
            publish(f"{place}/out/scene", here, work="w")
    assert published(f"{place}/out/scene") is None
    assert all(name.startswith(".published/") for name in everything(place))
    publish(f"{place}/out/scene", here, work="w")
    assert everything(place) == {"scene", ".published/scene.json"}


def test_who_is_killed_after_the_note_is_finished_by_whoever_comes_next(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = at(place, files(tmp_path / "here", scene=b"12345", record=b"{}"))
    with monkeypatch.context() as patch:
        patch.setattr(publishing, "_unstage", _killed)
        with pytest.raises(KeyboardInterrupt):
            publish(f"{place}/out/scene", here, work="w")
    assert "scene" not in everything(place)
    assert published(f"{place}/out/scene") is not None
    assert visible(place) == {"scene": 5, "record": 2}
    assert everything(place) == {"scene", "record", ".published/scene.json"}


def test_a_note_whose_answer_got_lost_is_known_as_ones_own(
    place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The connection breaks after the write, which is then tried again, and finds what it has written itself."""
    create = publishing.create

    def twice(address: str, content: bytes) -> None:
        create(address, content)
        create(address, content)

    monkeypatch.setattr(publishing, "create", twice)
    publish(f"{place}/out/scene", at(place, files(tmp_path / "here", scene=b"12345")), work="w")
    assert visible(place) == {"scene": 5}


def test_what_nobody_published_is_not_written_over(place: str, tmp_path: Path) -> None:
    put_bytes(b"somebody's", f"{place}/out/scene")
    with pytest.raises(InputError, match="already exists"):
        publish(f"{place}/out/scene", at(place, files(tmp_path / "here", scene=b"1")), work="w")
    assert visible(place) == {"scene": 10}


def test_what_is_withdrawn_can_be_published_anew(place: str, tmp_path: Path) -> None:
    here = at(place, files(tmp_path / "here", scene=b"12345", record=b"{}"))
    publish(f"{place}/out/scene", here, work="w")
    withdraw(f"{place}/out/scene")
    publish(f"{place}/out/scene", at(place, files(tmp_path / "other", scene=b"123")), work="v")
    assert visible(place) == {"scene": 3}
    fetch(f"{place}/out/scene", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == b"123"


@pytest.mark.parametrize("content", [b"no json", b"{}", b'{"format": "leansplat-published-1"}'])
def test_a_note_that_is_damaged_is_refused(place: str, content: bytes) -> None:
    put_bytes(content, publishing.note_of(f"{place}/out/scene"))
    with pytest.raises(InputError, match="is damaged"):
        published(f"{place}/out/scene")


def test_a_note_cannot_name_files_elsewhere(place: str, tmp_path: Path) -> None:
    publish(f"{place}/out/scene", at(place, files(tmp_path / "here", scene=b"12345")), work="w")
    note = publishing.note_of(f"{place}/out/scene")
    fetch(note, tmp_path / "note")
    text = (tmp_path / "note").read_text().replace(f"{place}/out/scene", f"{place}/elsewhere")
    put_bytes(text.encode(), note)
    with pytest.raises(InputError, match="it names files of another folder"):
        withdraw(f"{place}/out/scene")


def _killed(*_: object) -> None:
    raise KeyboardInterrupt
