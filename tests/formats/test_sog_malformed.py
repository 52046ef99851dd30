"""Bad SOG files: each is refused with one sentence that names the file, without taking much memory."""

from __future__ import annotations

import io
import json
import tracemalloc
import zipfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image
from support.scene_comparison import random_scene, read_or_refuse, refusal

from leansplat import formats
from leansplat.errors import SceneFileError

Members = dict[str, bytes]


@cache
def good() -> Members:
    images, meta = formats.sog.pack(formats.sog.encode(random_scene(100)))
    return {**images, "meta.json": meta}


def bundle(members: Members, **options: Any) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", **options) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def webp(width: int, height: int, *, lossless: bool = True, kind: str = "WEBP") -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(np.full((height, width, 4), 252, np.uint8)).save(buffer, kind, lossless=lossless)
    return buffer.getvalue()


def with_meta(change: Callable[[dict[str, Any]], object]) -> Members:
    meta = json.loads(good()["meta.json"])
    change(meta)
    return {**good(), "meta.json": json.dumps(meta).encode()}


def put(*keys: str | int, value: Any) -> Members:
    """The good scene with one entry of meta.json replaced."""

    def change(meta: Any) -> None:
        for key in keys[:-1]:
            meta = meta[key]
        meta[keys[-1]] = value

    return with_meta(change)


def without(*names: str) -> Members:
    return {name: content for name, content in good().items() if name not in names}


BAD_MEMBERS: dict[str, tuple[Callable[[], Members], str]] = {
    "no meta.json": (lambda: without("meta.json"), "no meta.json"),
    "an image is missing": (lambda: without("quats.webp"), "no quats.webp"),
    "meta.json is not JSON": (lambda: {**good(), "meta.json": b"{"}, "not a JSON object"),
    "meta.json is a list": (lambda: {**good(), "meta.json": b"[]"}, "not a JSON object"),
    "meta.json is nested deeply": (lambda: {**good(), "meta.json": b"[" * 200_000}, "not a JSON object"),
    "meta.json is huge": (lambda: {**good(), "meta.json": b" " * (5 << 20)}, "bytes, where"),
    "no version": (lambda: with_meta(lambda meta: meta.pop("version")), "no version"),
    "version 3": (lambda: put("version", value=3), "version 3"),
    "count is missing": (lambda: with_meta(lambda meta: meta.pop("count")), "count is not a whole number"),
    "count is negative": (lambda: put("count", value=-1), "count is not a whole number"),
    "count is true": (lambda: put("count", value=True), "count is not a whole number"),
    "count is more than pixels": (lambda: put("count", value=145), "12 x 12 pixels"),
    "count is a million": (lambda: put("count", value=10**6), "12 x 12 pixels"),
    "count is 200 million": (lambda: put("count", value=2 * 10**8), "claims 200,000,000 Gaussians"),
    "count is 10^12": (lambda: put("count", value=10**12), "count is not a whole number"),
    "a codebook is short": (
        lambda: put("scales", "codebook", value=[0.0] * 255),
        "scales.codebook is not a list of 256",
    ),
    "a codebook has null": (lambda: put("sh0", "codebook", 5, value=None), "sh0.codebook is not a list of 256"),
    "a codebook has infinity": (lambda: put("shN", "codebook", 5, value=1e300), "shN.codebook is not a list of 256"),
    "a codebook has a huge integer": (lambda: put("shN", "codebook", 5, value=10**400), "is not a list of 256"),
    "mins are text": (lambda: put("means", "mins", value="abc"), "means.mins is not a list of 3"),
    "no means": (lambda: with_meta(lambda meta: meta.pop("means")), "means.files is not a list of 2"),
    "one file of positions": (lambda: put("means", "files", value=["means_l.webp"]), "means.files is not a list of 2"),
    "a file name is a number": (lambda: put("quats", "files", value=[3]), "quats.files is not a list of 1"),
    "a path climbs": (lambda: put("quats", "files", value=["../quats.webp"]), "outside of its folder"),
    "a path is absolute": (lambda: put("quats", "files", value=["/etc/passwd"]), "outside of its folder"),
    "a path of Windows": (lambda: put("quats", "files", value=["..\\quats.webp"]), "outside of its folder"),
    "a file is the folder": (lambda: put("quats", "files", value=[".."]), "outside of its folder"),
    "degree 4": (lambda: put("shN", "bands", value=4), "shN.bands is not a whole number"),
    "degree 2 with the palette of 3": (lambda: put("shN", "bands", value=2), "of 15 coefficients"),
    "a palette of more entries than it has": (lambda: put("shN", "count", value=129), "129 of 15 are expected"),
    "a palette of no entries": (lambda: put("shN", "count", value=0), "shN.count is not a whole number"),
    "a palette of 65,537 entries": (lambda: put("shN", "count", value=65537), "shN.count is not a whole number"),
    "labels beyond the palette": (lambda: put("shN", "count", value=3), "beyond its palette"),
    "a palette of the wrong width": (lambda: {**good(), "shN_centroids.webp": webp(950, 2)}, "950 pixels wide"),
    "an image that is too small": (lambda: {**good(), "sh0.webp": webp(9, 9)}, "9 x 9 pixels"),
    "an image that is far too large": (lambda: {**good(), "sh0.webp": webp(2000, 100)}, "2000 x 100 pixels"),
    "a lossy image": (lambda: {**good(), "sh0.webp": webp(12, 12, lossless=False)}, "lossy or animated"),
    "an image of another kind": (lambda: {**good(), "sh0.webp": webp(12, 12, kind="PNG")}, "not WebP"),
    "an empty image": (lambda: {**good(), "sh0.webp": b""}, "not WebP"),
    "an image cut off": (lambda: {**good(), "sh0.webp": good()["sh0.webp"][:-30]}, "cut off or damaged"),
    "an image that is only a head": (lambda: {**good(), "sh0.webp": good()["sh0.webp"][:26]}, "cut off or damaged"),
    "a rotation with a wrong tag": (lambda: {**good(), "quats.webp": good()["sh0.webp"]}, "stand for nothing"),
}


@pytest.mark.parametrize("case", BAD_MEMBERS)
def test_a_bundle_with_something_wrong_in_it_is_refused(tmp_path: Path, case: str) -> None:
    make, expected = BAD_MEMBERS[case]
    assert expected in refusal(tmp_path, "bad.sog", bundle(make()))


@pytest.mark.parametrize("case", [case for case in BAD_MEMBERS if case != "no meta.json"])
def test_a_folder_with_something_wrong_in_it_is_refused(tmp_path: Path, case: str) -> None:
    members = BAD_MEMBERS[case][0]()
    for name, content in members.items():
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SceneFileError, match=r"\.$") as caught:
        formats.sog.read(tmp_path / "meta.json")
    assert "\n" not in str(caught.value)


def test_a_file_outside_the_folder_is_not_read(tmp_path: Path) -> None:
    inside = tmp_path / "inside"
    inside.mkdir()
    for name, content in put("quats", "files", value=["../quats.webp"]).items():
        (tmp_path / name if name == "quats.webp" else inside / name).write_bytes(content)
    with pytest.raises(SceneFileError, match="outside of its folder"):
        formats.read(inside / "meta.json")


def test_a_bundle_cut_off_anywhere_is_refused(tmp_path: Path) -> None:
    whole = bundle(good())
    for end in [4, 30, 100, *range(200, len(whole), len(whole) // 40), len(whole) - 22, len(whole) - 1]:
        assert "whole zip" in refusal(tmp_path, "bad.sog", whole[:end])


def test_a_damaged_member_is_refused(tmp_path: Path) -> None:
    whole = bytearray(bundle(good()))
    at = whole.find(good()["sh0.webp"])
    whole[at + 40] ^= 1
    assert "sh0.webp that is cut off or damaged" in refusal(tmp_path, "bad.sog", bytes(whole))


def test_zips_of_others_may_deflate_their_members(tmp_path: Path) -> None:
    (tmp_path / "scene.sog").write_bytes(bundle(good(), compression=zipfile.ZIP_DEFLATED))
    assert len(formats.read(tmp_path / "scene.sog")) == 100


def test_other_kinds_of_packing_are_refused(tmp_path: Path) -> None:
    assert "unusual way" in refusal(tmp_path, "bad.sog", bundle(good(), compression=zipfile.ZIP_LZMA))


def lying_about_size(members: Members, name: str, size: int) -> bytes:
    """A deflated bundle whose directory gives one member another size."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
        archive.getinfo(name).file_size = size
    return buffer.getvalue()


BOMBS: dict[str, Callable[[], bytes]] = {
    "an image of 16383 x 16383": lambda: bundle({**good(), "sh0.webp": huge_image()}),
    "a megabyte of zeros for meta.json": lambda: bundle({"meta.json": bytes(300 << 20)}, compression=8),
    "zeros that claim to be few": lambda: lying_about_size({**good(), "sh0.webp": bytes(300 << 20)}, "sh0.webp", 900),
    "a palette of zeros": lambda: bundle({**good(), "shN_centroids.webp": bytes(300 << 20)}, compression=8),
    "a hundred thousand members": lambda: bundle({f"{k}": b"" for k in range(100_000)}),
}


def huge_image() -> bytes:
    """The head of a lossless image of the largest size, which a decoder would take a gigabyte for."""
    bits = (16382 | 16382 << 14).to_bytes(4, "little")
    return b"RIFF" + (100).to_bytes(4, "little") + b"WEBPVP8L" + (80).to_bytes(4, "little") + b"\x2f" + bits + bytes(75)


@pytest.mark.parametrize("case", BOMBS)
def test_bombs_take_little_memory(tmp_path: Path, case: str) -> None:
    content = BOMBS[case]()
    tracemalloc.start()
    try:
        refusal(tmp_path, "bomb.sog", content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 20 * 2**20 + len(content)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_change_to_a_bundle_is_read_or_refused(tmp_path: Path, data: st.DataObject) -> None:
    whole = bytearray(bundle(good()))
    for _ in range(data.draw(st.integers(1, 4))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "changed.sog").write_bytes(whole)
    read_or_refuse(tmp_path / "changed.sog")
