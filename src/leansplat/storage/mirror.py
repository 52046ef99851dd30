"""`Mirror`: a run folder kept in storage while it grows, so that another machine can go on with it.

Whenever a file of the folder appears, changes or goes (a checkpoint, above all), a snapshot is taken: what is new is
put into objects of their own, then a list of all of them is written under the next number. Since the list comes last
and objects never change, whichever list has the highest number is of a folder as it was at one moment. The log is put
last of all files, so that it tells everything up to the newest checkpoint; a run that is gone on with cuts the rest.
"""

from __future__ import annotations

import json
import logging
import os
import re
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from typing import Any

from leansplat.errors import InputError, LeansplatError
from leansplat.storage.addresses import checked, joined
from leansplat.storage.connection import reach
from leansplat.storage.fetching import AT_A_TIME, Listed, NothingThereError, fetch, files_under
from leansplat.storage.putting import create, put_bytes, put_file, remove

EVERY = 1.0
"""Seconds between two looks at the folder."""

_LIST = re.compile(r"(\d{8})\.json")
_PATIENCE = 20.0
_SMALL = 4 << 20
"""Bytes up to which a file is read as a whole first, as it may grow meanwhile."""
_PASSING = re.compile(r"\.leansplat.*")
"""Names of what is only there while something works."""

_log = logging.getLogger("leansplat")


class Mirror:
    """A folder here, and what is kept of it at an address.

    Args:
        folder: the run folder; it need not be there yet.
        address: the folder in storage, which has nothing else in it.
        work: what the run is of, in a word that is the same whenever the same is done; nothing else is gone on with.
        every: seconds between two looks.
        told: makes what is kept of a small file from its content, for files that name what is on this machine only.

    Example:
        >>> mirror = Mirror(Path("runs/garden"), "s3://bucket/.work/garden")       # doctest: +SKIP
        >>> mirror.restore()                                                       # doctest: +SKIP
        >>> with mirror:                                                           # doctest: +SKIP
        ...     leansplat.train(capture, run="runs/garden", resume=True)
    """

    def __init__(
        self,
        folder: Path,
        address: str,
        *,
        work: str = "",
        every: float = EVERY,
        told: Callable[[str, bytes], bytes] = lambda name, content: content,
    ) -> None:
        self._folder, self._address, self._work, self._every = folder, checked(address), work, every
        self._told = told
        self._number = 0
        self._kept: dict[str, dict[str, Any]] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None
        self._lost = False

    def restore(self) -> bool:
        """Bring the newest snapshot here, into a folder that is not there or empty; False where there is none.

        One of other work is deleted.

        Raises:
            InputError: what is kept is damaged.
            AwayError: the storage could not be reached.
        """
        for _ in range(3):  # another that is still at work may delete what is being read
            found = self._newest()
            if found is None:
                return False
            try:
                if self._bring(found):
                    return True
                self.remove()
                return False
            except InputError:
                if self._newest() == found:
                    raise
        raise InputError(f"{self._address} changes all the time; something else works on the same")

    def __enter__(self) -> Mirror:
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Keep what is there now, too, and stop looking."""
        self.stop()
        self._keep()

    def stop(self) -> None:
        """Look no more, and leave what is kept as it is."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()

    def remove(self) -> None:
        """Delete what is kept, once it is not needed any more; the next snapshot would be the first again."""
        self._number, self._kept = 0, {}
        remove(self._address)

    def snapshot(self) -> bool:
        """Keep the folder as it is now; False where nothing is new.

        Raises:
            LeansplatError: it could not be kept.
            FileNotFoundError, FileExistsError: the folder changed meanwhile, or somebody else keeps the same run.
        """
        now = self._look()
        quiet = {name for name in now if name.endswith(".jsonl")}
        if {name: stamp for name, stamp in now.items() if name not in quiet} == {
            name: entry["stamp"] for name, entry in self._kept.items() if name not in quiet
        }:
            return False
        token = os.urandom(4).hex()
        kept, new = {}, []
        for number, name in enumerate(sorted(now, key=lambda name: (name in quiet, name))):
            before = self._kept.get(name)
            if before is not None and before["stamp"] == now[name]:
                kept[name] = before
            else:
                new.append((name, f"objects/{self._number + 1:08d}-{token}-{number}"))
        with ThreadPoolExecutor(AT_A_TIME) as pool:
            for quietly in (False, True):
                chosen = [(name, place) for name, place in new if (name in quiet) == quietly]
                sizes = list(pool.map(lambda pair: self._put(pair[0], pair[1], now[pair[0]]), chosen))
                for (name, place), size in zip(chosen, sizes, strict=True):
                    kept[name] = {"object": place, "bytes": size, "stamp": now[name]}
        self._write_list(kept)
        return True

    def _watch(self) -> None:
        while not self._stop.wait(self._every):
            self._keep()

    def _keep(self) -> None:
        if self._lost:
            return
        try:
            self.snapshot()
        except FileNotFoundError:  # an old checkpoint that was dropped meanwhile: the next look sees what is there
            return
        except FileExistsError:
            self._lost = True
            _log.warning("%s is kept by another process, too; this one keeps nothing there any more", self._address)
        except (LeansplatError, OSError) as error:
            _log.warning("checkpoints could not be kept at %s (%s); trying again", self._address, error)

    def _look(self) -> dict[str, list[int]]:
        """Size and time of change of each file, by its path below the folder."""
        found = {}
        for path in self._folder.rglob("*"):
            with suppress(FileNotFoundError):
                if path.is_file() and not path.is_symlink() and not _PASSING.fullmatch(path.name):
                    state = path.stat()
                    found[path.relative_to(self._folder).as_posix()] = [state.st_size, state.st_mtime_ns]
        return found

    def _put(self, name: str, place: str, stamp: list[int]) -> int:
        path, address = self._folder / name, joined(self._address, place)
        if stamp[0] <= _SMALL:
            content = self._told(name, path.read_bytes())
            put_bytes(content, address, patience=_PATIENCE)
            return len(content)
        put_file(path, address, patience=_PATIENCE)
        state = path.stat()
        if [state.st_size, state.st_mtime_ns] != stamp:
            raise FileNotFoundError(f"{path} changed while it was read")
        return stamp[0]

    def _write_list(self, kept: dict[str, dict[str, Any]]) -> None:
        number = self._number + 1
        create(self._list(number), json.dumps({"work": self._work, "files": kept}, indent=1).encode())
        before, self._kept, self._number = self._kept, kept, number
        if number > 1:
            used = {entry["object"] for entry in kept.values()}
            with suppress(LeansplatError, OSError):  # what stays goes with all the rest
                remove(self._list(number - 1))
                for entry in before.values():
                    if entry["object"] not in used:
                        remove(joined(self._address, entry["object"]))

    def _list(self, number: int) -> str:
        return joined(self._address, f"{number:08d}.json")

    def _newest(self) -> int | None:
        try:
            names = [entry.name for entry in files_under(self._address)]
        except NothingThereError:
            return None
        numbers = [int(found[1]) for found in map(_LIST.fullmatch, names) if found]
        return max(numbers, default=None)

    def _bring(self, number: int) -> bool:
        """Bring a snapshot here, unless it is of other work."""
        place = self._list(number)
        try:
            content = json.loads(reach(place, lambda files, path: files.cat_file(path)))
            if content["work"] != self._work:
                return False
            entries = {str(name): dict(entry) for name, entry in content["files"].items()}
            listed = [
                Listed(joined(self._address, str(entry["object"])), name, int(entry["bytes"]), "")
                for name, entry in entries.items()
            ]
        except (FileNotFoundError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise InputError(f"{place} is damaged ({error}); delete it to begin again") from error
        if self._folder.exists():
            self._folder.rmdir()
        fetch(self._address, self._folder, listed)
        now = self._look()
        self._number = number
        self._kept = {name: {**entry, "stamp": now[name]} for name, entry in entries.items()}
        return True
