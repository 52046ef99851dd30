"""`desk_of`: the folder of a batch whose outputs go to an address, on the machine that gives out the work.

Locks and a journal that is appended to need a disk. They are in a folder of this machine that belongs to the address,
and what a batch writes for people is put beside the outputs at the end of each sitting, with the journal. Another
machine begins with that journal; where it lacks something, the notes of what was published tell.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path

from leansplat.batch.journal import NAME as JOURNAL
from leansplat.batch.planning import PAGE, RESULTS, TABLE, Batch, Scene
from leansplat.storage import (
    Cache,
    Listed,
    NothingThereError,
    checked,
    files_under,
    identity,
    is_address,
    joined,
    put_file,
    reach,
    remove,
    scratch_root,
    withdraw,
)


def desk_folder(address: str) -> Path:
    """The folder of this machine that belongs to the address of a batch."""
    return scratch_root() / "batches" / sha256(checked(address).encode()).hexdigest()[:16]


@contextmanager
def desk_of(batch: Batch) -> Iterator[None]:
    """Bring the journal of a batch here where this machine has less of it, and put back what is new at the end."""
    if not batch.store:
        yield
        return
    journal = batch.output / JOURNAL
    try:
        known = reach(joined(batch.store, JOURNAL), lambda files, path: files.cat_file(path))
    except FileNotFoundError:
        known = b""
    if len(known) > (journal.stat().st_size if journal.exists() else 0):
        journal.write_bytes(known)
    try:
        yield
    finally:
        for name in (JOURNAL, RESULTS, TABLE, PAGE):
            if (batch.output / name).exists():
                put_file(batch.output / name, joined(batch.store, name))


def forget_fetched(scenes: Sequence[Scene]) -> None:
    """Delete what was fetched to this machine for several scenes to use."""
    if any(is_address(address) for scene in scenes for address in (scene.asked.source, scene.asked.capture or "")):
        Cache().clear()


def take_back(output: str) -> None:
    """Clear the address of an output, whoever has put there what is there."""
    withdraw(output)
    remove(output)


def fingerprints_below(address: str) -> Callable[[str], str]:
    """`fingerprint` for outputs below an address, from one look at all of them.

    Each name in the list counts for itself and for all folders around it.
    """
    found: dict[str, list[Listed]] = {}
    try:
        listed = files_under(address)
    except NothingThereError:
        listed = []
    root = checked(address)
    for file in listed:
        place = file.address
        while len(place) > len(root):
            found.setdefault(place, []).append(file)
            place = place.rpartition("/")[0]
    return lambda output: identity(found[output]) if output in found else ""
