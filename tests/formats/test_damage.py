"""Files of every format, damaged in hundreds of ways: what reads them gives a scene or one sentence, nothing else.

Bytes are flipped, cut out and doubled, and texts are mangled where they are; in archives also behind the checksums.
"""

from __future__ import annotations

import io
import json
import random
import re
import zipfile
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from support.inria_files import Training
from support.scene_comparison import random_scene, read_or_refuse

from leansplat import formats
from leansplat.errors import RunError
from leansplat.formats import SpzOptions
from leansplat.training.checkpoint import Checkpoint, read_checkpoint, write_checkpoint
from leansplat.training.config import TrainingConfig
from leansplat.training.state import TrainingState

Damage = Callable[[bytes, random.Random], bytes]

ODD = (
    b"{",
    b"}",
    b"[",
    b"(",
    b")",
    b"'",
    b'"',
    b"\\",
    b"\0",
    b"\n",
    b"-1",
    b"1e999",
    b"NaN",
    b"9" * 30,
    b"\xff",
    b"null",
)


def flipped(content: bytes, dice: random.Random) -> bytes:
    changed = bytearray(content)
    for _ in range(dice.randint(1, 4)):
        changed[dice.randrange(len(changed))] = dice.randrange(256)
    return bytes(changed)


def cut_off(content: bytes, dice: random.Random) -> bytes:
    return content[: dice.randrange(len(content))]


def cut_out(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[:start] + content[start + dice.randint(1, 64) :]


def doubled(content: bytes, dice: random.Random) -> bytes:
    start = dice.randrange(len(content))
    return content[: start + dice.randint(1, 64)] + content[start:]


def mangled(content: bytes, dice: random.Random) -> bytes:
    """With something odd in its first text, where sizes and names are."""
    texts = [found.span() for found in re.finditer(rb"[ -~\n]{20,}", content)][:3]
    start, end = dice.choice(texts) if texts else (0, len(content))
    at = dice.randrange(start, end)
    return content[:at] + dice.choice(ODD) + content[at + dice.randint(0, 3) :]


PLAIN: tuple[Damage, ...] = (flipped, cut_off, cut_out, doubled, mangled)


def within_zip(content: bytes, dice: random.Random) -> bytes:
    """An archive whose checksums are right, with damage in a member, most often in its first bytes."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = dice.choice(list(members))
    start = dice.choice((130, len(members[name])))
    members[name] = dice.choice(PLAIN)(members[name][:start], dice) + members[name][start:]
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for each, data in members.items():
            archive.writestr(each, data)
    return buffer.getvalue()


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small scene in every format, and a training's checkpoint."""
    folder = tmp_path_factory.mktemp("good")
    scene = random_scene(40, 1)
    for name in (
        "scene.ply",
        "scene.compressed.ply",
        "scene.spz",
        "scene.sog",
        "scene.splat",
        "scene.glb",
        "scene.npz",
    ):
        formats.write(scene, folder / name)
    formats.write(scene, folder / "four.spz", options=SpzOptions(version=4))
    formats.write(scene, folder / "meta.json")
    leaf = {"lods": {"0": {"file": 0, "offset": 0, "count": 40}}}
    levels = {"version": 1, "lodLevels": 1, "counts": [40], "filenames": ["meta.json"], "tree": {"children": [leaf]}}
    (folder / "lod-meta.json").write_text(json.dumps(levels))
    content = (folder / "scene.glb").read_bytes()
    size = int.from_bytes(content[12:16], "little")
    text = json.loads(content[20 : 20 + size])
    text["buffers"][0]["uri"] = "buffer.bin"
    (folder / "buffer.bin").write_bytes(content[28 + size :])
    (folder / "scene.gltf").write_text(json.dumps(text))
    Training(random_scene(5), steps=1).save(folder / "scene.pth")
    config = TrainingConfig(sh_degree=1)
    state = TrainingState.begin(scene, config, 1.0, step=0)
    write_checkpoint(folder / "scene.safetensors", Checkpoint(state, config, {}))
    return folder


ARCHIVE = (*PLAIN, within_zip, within_zip, within_zip)
CASES: list[tuple[str, tuple[Damage, ...], int]] = [
    ("scene.ply", PLAIN, 100),
    ("scene.compressed.ply", PLAIN, 100),
    ("scene.spz", PLAIN, 100),
    ("four.spz", PLAIN, 100),
    ("scene.splat", PLAIN, 30),
    ("scene.glb", PLAIN, 150),
    ("scene.gltf", PLAIN, 150),
    ("scene.npz", ARCHIVE, 400),
    ("scene.sog", ARCHIVE, 150),
    ("meta.json", PLAIN, 100),
    ("sh0.webp", PLAIN, 50),
    ("lod-meta.json", PLAIN, 150),
    ("scene.pth", ARCHIVE, 200),
]


@pytest.mark.parametrize(("name", "damages", "times"), CASES, ids=[case[0] for case in CASES])
def test_a_damaged_file_gives_a_scene_or_a_sentence(
    good: Path, name: str, damages: tuple[Damage, ...], times: int
) -> None:
    content = (good / name).read_bytes()
    scene = good / ("meta.json" if name.endswith(".webp") else name)
    dice = random.Random(name)
    try:
        for _ in range(times):
            (good / name).write_bytes(dice.choice(damages)(content, dice))
            read_or_refuse(scene)
    finally:
        (good / name).write_bytes(content)


def test_a_damaged_checkpoint_of_a_run_is_a_checkpoint_or_a_sentence(good: Path, tmp_path: Path) -> None:
    content = (good / "scene.safetensors").read_bytes()
    dice = random.Random(0)
    for _ in range(150):
        (tmp_path / "bad.safetensors").write_bytes(dice.choice(PLAIN)(content, dice))
        with suppress(RunError):
            read_checkpoint(tmp_path / "bad.safetensors")
