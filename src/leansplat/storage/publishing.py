"""`publish`: the outputs of a piece of work put back whole and only once, however many tried.

Storage can write one object as a whole, and can refuse to when there is one already, but it knows no renaming and no
two objects at once. So outputs are first put beside each other under a name that nobody else has; then a note that
lists them is written, create-only. That one write decides: whoever finds a note of somebody else has come too late, and
takes its own back. What the note lists is then copied to where it belongs, which anyone who finds the note can finish.

    out/garden.sog                       an output
    out/.published/garden.sog.json       the note, which stays
    out/.published/garden.sog/1f0c…/0    staged, until it has been copied

Where storage knows renaming (`file://`), staged files are moved instead. What somebody who was killed has staged goes
when the next one has published.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leansplat.errors import InputError, LeansplatError
from leansplat.storage.addresses import checked, joined, last_name, local_path, parent
from leansplat.storage.connection import reach
from leansplat.storage.fetching import AT_A_TIME
from leansplat.storage.putting import create, put_file, remove

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

FOLDER = ".published"
"""Where notes and what is staged are, in the folder of what they are of."""

_FORMAT = "leansplat-published-1"


class TakenError(LeansplatError):
    """Somebody else has put an output there in the meantime."""


@dataclass(frozen=True)
class Published:
    """What a note says.

    Args:
        work: what was done, in a word that is the same whenever the same is done: a hash of it.
        files: bytes of each file by its address.
        values: what else whoever published wanted to be kept, as JSON.
    """

    work: str
    files: Mapping[str, int]
    values: Mapping[str, Any]
    _staged: Mapping[str, str] = field(repr=False, default_factory=dict)
    _token: str = field(repr=False, default="")


def note_of(output: str) -> str:
    """Where the note of an output is."""
    return joined(parent(output), FOLDER, f"{last_name(output)}.json")


def publish(output: str, files: Mapping[str, Path], *, work: str, values: Mapping[str, Any] | None = None) -> Published:
    """Put files where they belong, all of them or none.

    Args:
        output: address that these files are known by: of the only one, or of a folder that they are in.
        files: each file here, by the address that it is to have.
        work: see `Published`. Where the note of another with the same `work` is there already, that is returned, as it
            tells of the same; this is how it comes out when a piece of work was thought lost and done twice.

    Raises:
        TakenError: somebody else, whose `work` is another, was faster.
        InputError: something that nobody published is in the way, or nothing can be written there.
        AwayError: the storage could not be reached.
    """
    note, token = note_of(output), os.urandom(8).hex()
    before = published(output)
    if before is not None:
        return _same(output, before, work)
    _refuse_others(list(files))
    stage = joined(_stages(output), token)
    staged = {address: joined(stage, str(number)) for number, address in enumerate(files)}
    mine = Published(
        work, {address: path.stat().st_size for address, path in files.items()}, dict(values or {}), staged, token
    )
    try:
        _each(list(files), lambda address: put_file(files[address], staged[address]))
        winner = _decide(note, mine)
    except FileNotFoundError:  # whoever was faster has cleared what others staged
        faster = _read(note)
        if faster is None:
            raise
        winner = faster
    except BaseException:
        with suppress(Exception):
            remove(stage)
        raise
    if winner._token != token:
        remove(stage)
        return _same(output, winner, work)
    _finish(output, mine)
    return mine


def published(output: str) -> Published | None:
    """What has been published of an output, None where nothing has; brings to its end what was stopped in the middle.

    Raises:
        InputError: the note is damaged.
    """
    found = _read(note_of(output))
    if found is not None:
        _finish(output, found)
    return found


def withdraw(output: str) -> None:
    """Take an output back, with all of its files, so that another can be published."""
    found = published(output)
    if found is not None:
        _each(list(found.files), remove)
        remove(note_of(output))


def _decide(note: str, mine: Published) -> Published:
    """Write the note, or find that of whoever was faster."""
    content = {
        "format": _FORMAT,
        "work": mine.work,
        "token": mine._token,
        "files": [
            {"address": address, "bytes": size, "staged": mine._staged[address]} for address, size in mine.files.items()
        ],
        "values": mine.values,
    }
    try:
        create(note, json.dumps(content, indent=1).encode())
    except FileExistsError:
        winner = _read(note)
        if winner is None:
            raise TakenError(f"{note} was there and has gone again; somebody withdraws it, so start again") from None
        return winner
    return mine


def _same(output: str, found: Published, work: str) -> Published:
    if found.work != work:
        raise TakenError(
            f"{output} has been put there by somebody else meanwhile; theirs is kept, so choose another name"
        )
    return found


def _read(note: str) -> Published | None:
    try:
        content = reach(note, lambda files, path: files.cat_file(path))
    except FileNotFoundError:
        return None
    try:
        values = json.loads(content)
        if values["format"] != _FORMAT:
            raise ValueError(f"its format is {values['format']!r}")
        files = {checked(entry["address"]): int(entry["bytes"]) for entry in values["files"]}
        staged = {checked(entry["address"]): checked(entry["staged"]) for entry in values["files"]}
        around = f"{parent(parent(note))}/"
        if not all(address.startswith(around) for address in (*files, *staged.values())):
            raise ValueError("it names files of another folder")
        return Published(str(values["work"]), files, dict(values["values"]), staged, str(values["token"]))
    except (ValueError, KeyError, TypeError, InputError) as error:
        raise InputError(f"{note} is damaged ({error}); delete it, and what it is of, to make that again") from error


def _refuse_others(addresses: Sequence[str]) -> None:
    """Refuse to write over what nobody published."""
    for address in addresses:
        if reach(address, lambda files, path: files.isfile(path)):
            raise InputError(f"{address} already exists; choose another name, or delete it")


def _stages(output: str) -> str:
    """The folder in which everyone has a folder to stage in."""
    return joined(parent(output), FOLDER, last_name(output))


def _finish(output: str, found: Published) -> None:
    """Copy what is still staged to where it belongs."""
    stages = _stages(output)
    if reach(stages, lambda files, path: files.exists(path)):
        _each(list(found.files), lambda address: _unstage(output, found, address))
        remove(stages)


def _unstage(output: str, found: Published, address: str) -> None:
    staged, size = found._staged[address], found.files[address]
    source, target = local_path(staged), local_path(address)

    def act(files: AbstractFileSystem, path: str) -> bool:
        try:
            if source is not None and target is not None:
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(source, target)
            else:
                files.cp_file(files._strip_protocol(staged), path)
            return True
        except FileNotFoundError:  # somebody else is finishing the same, or has
            return bool(files.exists(path) and files.size(path) == size)

    if not reach(address, act):
        raise InputError(f"{note_of(output)} lists {address}, which has gone; delete that note to make it again")


def _each(addresses: Sequence[str], act: Callable[[str], None]) -> None:
    with ThreadPoolExecutor(AT_A_TIME) as pool:
        list(pool.map(act, addresses))
