"""Scenes in storage for batches: one that is converted in no time, and one that takes long enough to be killed."""

from __future__ import annotations

import json
from pathlib import Path

from leansplat import formats
from leansplat.batch.tasks import Place, Task
from leansplat.storage import files_under, joined, put_file, reach
from support.capture_folder import write_nerfstudio
from support.tiny import blobs, tiny_capture


def names(address: str, *, hidden: bool = False) -> set[str]:
    """Names of the files below an address."""
    return {file.name for file in files_under(address, hidden=hidden)}


def read(address: str) -> bytes:
    """The content of a file at an address."""
    return reach(address, lambda files, path: files.cat_file(path))


def write_photographed(folder: Path) -> Path:
    """A capture and a scene, which a trimming of 4,900 steps keeps one checkpoint of before the last, after 2,500."""
    write_nerfstudio(tiny_capture(), folder / "photos")
    formats.write(blobs(2000), folder / "scene.ply")
    return folder


def trimming(store: str, photographed: Path, name: str = "trimmed") -> Task:
    """The trimming of what `write_photographed` wrote, with that put into a storage."""
    for path in photographed.rglob("*.*"):
        put_file(path, joined(store, "in", path.relative_to(photographed).as_posix()))
    return Task(
        name,
        (
            *("trim", Place(f"{store}/in/scene.ply", "input"), "--capture", Place(f"{store}/in/photos", "input")),
            *("--keep", "50%", "--rounds", "2", "--every", "500", "--finetune", "3900", "--threads", "1"),
            *("-o", Place(f"{store}/out/{name}", "run")),
        ),
        f"{store}/out/{name}.log",
    )


def has_checkpoint(store: str, name: str = "trimmed") -> bool:
    """Whether the storage has a checkpoint to go on from."""
    lists = [file for file in names(store, hidden=True) if file.startswith(f"out/.published/{name}.run/0")]
    return any(b".safetensors" in read(joined(store, file)) for file in sorted(lists)[-1:])


def went_on(store: str, name: str = "trimmed") -> None:
    """Assert that a run is whole, and was gone on with from a checkpoint rather than begun again."""
    events = [json.loads(line) for line in read(f"{store}/out/{name}/log.jsonl").splitlines()]
    resumed = [event["step"] for event in events if event["event"] == "resumed"]
    steps = [event["step"] for event in events if event["event"] == "progress"]
    # A fast machine may have come to its last checkpoint before it was killed.
    assert resumed in ([32500], [34900]), f"went on at {resumed}"
    assert len(set(steps)) == len(steps)
    assert max(steps) == 34900
    assert {"scene.ply", "metrics.json", "config.json"} <= names(f"{store}/out/{name}")
    assert not [file for file in names(store, hidden=True) if ".run/" in file]
