"""Bad .npz files: each is refused with one sentence, before memory is taken for what it claims."""

from __future__ import annotations

import io
import os
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.clustered_scene import clustered
from support.scene_comparison import random_scene, read_or_refuse, refusal

from leansplat.formats import c3dgs_npz

Arrays = dict[str, np.ndarray]
NAME = "bad.npz"


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("good") / "scene.npz"
    c3dgs_npz.pack(clustered(60, 12, 8), path)
    return path.read_bytes()


def arrays_of(content: bytes) -> Arrays:
    return dict(np.load(io.BytesIO(content), allow_pickle=False))


def saved(arrays: Arrays, *, allow_pickle: bool = False) -> bytes:
    handle = io.BytesIO()
    np.savez_compressed(handle, allow_pickle=allow_pickle, **arrays)
    return handle.getvalue()


def without(name: str) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.__delitem__(name)


def with_(name: str, make: Callable[[np.ndarray], np.ndarray]) -> Callable[[Arrays], None]:
    return lambda arrays: arrays.__setitem__(name, make(arrays[name]))


def set_(row: int, value: int) -> Callable[[np.ndarray], np.ndarray]:
    def change(values: np.ndarray) -> np.ndarray:
        values = values.copy()
        values[row] = value
        return values

    return change


DAMAGES: list[tuple[str, Callable[[Arrays], None], str]] = [
    *((f"no {name}", without(name), f"no array {name}") for name in ("xyz", "opacity", "scaling", "rotation")),
    ("no scale", without("opacity_scale"), "no array opacity_scale"),
    ("no zero point", without("scaling_zero_point"), "no array scaling_zero_point"),
    ("no features", without("features_rest"), "no array features_rest"),
    ("indices without a table to fit", without("feature_indices"), "features_dc has shape"),
    ("float codes", with_("opacity", lambda a: a.astype(np.float32)), "opacity has type float32"),
    ("float64 centres", with_("xyz", lambda a: a.astype(np.float64)), "xyz has type float64"),
    ("big endian centres", with_("xyz", lambda a: a.astype(">f2")), "xyz has type float16"),
    ("fewer opacities", with_("opacity", lambda a: a[:-1]), "opacity has shape"),
    ("fewer centres", with_("xyz", lambda a: a[:-1]), "has shape"),
    ("flat centres", with_("xyz", lambda a: a[:, :2]), "xyz has shape"),
    ("a single number", with_("xyz", lambda a: a[0, 0]), "xyz is a single number"),
    ("fewer indices", with_("feature_indices", lambda a: a[:-1]), "feature_indices has shape"),
    ("too high an index", with_("feature_indices", set_(3, 99)), "outside of its table"),
    ("a negative index", with_("gaussian_indices", set_(3, -1)), "outside of its table"),
    ("uneven tables", with_("rotation", lambda a: a[:-1]), "rotation has shape"),
    ("odd coefficients", with_("features_rest", lambda a: a[:, :7]), "features_rest has shape"),
    ("SH degree 4", with_("features_rest", lambda a: np.zeros((len(a), 24, 3), np.int8)), "features_rest has shape"),
    ("scale of zero", with_("rotation_scale", lambda a: a * 0), "rotation has the scale"),
    ("scale not a number", with_("rotation_scale", lambda a: a * np.nan), "rotation has the scale"),
    ("infinite scale", with_("rotation_scale", lambda a: a * np.inf), "rotation has the scale"),
    ("negative scale", with_("rotation_scale", lambda a: -a), "rotation has the scale"),
    ("two scales", with_("rotation_scale", lambda a: np.repeat(a, 2)), "rotation_scale is not one number"),
    ("far zero point", with_("rotation_zero_point", lambda a: a * 0 + 1000), "zero point 1000"),
    ("not quantised", with_("quantization", np.logical_not), "without quantisation"),
    ("huge codebook", with_("features_dc", lambda a: np.zeros((70_000, 1, 3), np.int8)), "70000 rows for 60"),
]


@pytest.mark.parametrize(("damage", "words"), [row[1:] for row in DAMAGES], ids=[row[0] for row in DAMAGES])
def test_arrays_that_do_not_fit_are_refused(
    tmp_path: Path, good: bytes, damage: Callable[[Arrays], None], words: str
) -> None:
    arrays = arrays_of(good)
    damage(arrays)
    assert words in refusal(tmp_path, NAME, saved(arrays))


def test_a_pickle_is_never_loaded(tmp_path: Path, good: bytes) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.system, (f"touch {tmp_path / 'was_here'}",)

    arrays = arrays_of(good) | {"xyz": np.array([Evil()], dtype=object)}
    assert "Python objects" in refusal(tmp_path, NAME, saved(arrays, allow_pickle=True))
    assert not (tmp_path / "was_here").exists()


def rewritten(content: bytes, change: Callable[[str, bytes], bytes], level: int = 9) -> bytes:
    """The same zip with other bytes in its members."""
    handle = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as old, zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)), compresslevel=level)
    return handle.getvalue()


def in_header(name: str, old: bytes, new: bytes) -> Callable[[str, bytes], bytes]:
    """Replace text in the header of an array, which keeps its length."""

    def change(member: str, content: bytes) -> bytes:
        if member != f"{name}.npy":
            return content
        end = 10 + int.from_bytes(content[8:10], "little")
        assert old in content[:end]
        header = content[:end].rstrip().replace(old, new)
        return header.ljust(end - 1) + b"\n" + content[end:]

    return change


HEADERS = [
    ("a count that the bytes deny", in_header("xyz", b"(60, 3)", b"(61, 3)")),
    ("a count of 10^12", in_header("xyz", b"(60, 3)", b"(1000000000000, 3)")),
    ("a negative count", in_header("xyz", b"(60, 3)", b"(-60, -3)")),
    ("a type that is none", in_header("xyz", b"'<f2'", b"'<q9'")),
    ("not a dictionary", in_header("xyz", b"{'descr'", b"['descr'")),
    ("another magic", lambda name, content: b"\x93NUMPX" + content[6:] if name == "xyz.npy" else content),
    ("a later version", lambda name, content: content[:6] + b"\2" + content[7:] if name == "xyz.npy" else content),
    ("nothing but a magic", lambda name, content: content[:8] if name == "xyz.npy" else content),
    ("bytes after the end", lambda name, content: content + b"\0" if name == "opacity.npy" else content),
    ("bytes missing", lambda name, content: content[:-1] if name == "features_rest.npy" else content),
]


@pytest.mark.parametrize("change", [row[1] for row in HEADERS], ids=[row[0] for row in HEADERS])
def test_headers_that_lie_are_refused(tmp_path: Path, good: bytes, change: Callable[[str, bytes], bytes]) -> None:
    refusal(tmp_path, NAME, rewritten(good, change))


def peak_of_refusal(folder: Path, content: bytes) -> tuple[str, int]:
    tracemalloc.start()
    try:
        sentence = refusal(folder, NAME, content)
        return sentence, tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("name", ["xyz", "opacity_scale", "quantization", "mip_splatting"])
def test_a_bomb_is_refused_before_it_is_unpacked(tmp_path: Path, good: bytes, name: str) -> None:
    """200 million zeros, which deflate to 200 kB, in an array that should hold far less."""
    kinds = {"xyz": ("<f2", (70_000_000, 3)), "opacity_scale": ("<f4", (50_000_000,))}
    kind, shape = kinds.get(name, ("|b1", (200_000_000,)))
    arrays = arrays_of(good) | {"mip_splatting": np.array([True])}
    bomb = io.BytesIO()
    np.lib.format.write_array_header_1_0(bomb, {"descr": kind, "fortran_order": False, "shape": shape})
    handle = io.BytesIO()
    with zipfile.ZipFile(handle, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for each, values in arrays.items():
            with archive.open(f"{each}.npy", "w", force_zip64=True) as member:
                if each != name:
                    np.lib.format.write_array(member, values)
                    continue
                member.write(bomb.getvalue())
                for _ in range(np.dtype(kind).itemsize * int(np.prod(shape)) // 1_000_000):
                    member.write(bytes(1_000_000))
    sentence, peak = peak_of_refusal(tmp_path, handle.getvalue())
    assert name in sentence or "Gaussians in" in sentence
    assert peak < 20e6


def test_a_member_that_holds_more_than_the_zip_says_is_not_unpacked_beyond_it(tmp_path: Path, good: bytes) -> None:
    """Sizes in the zip's directory are made to fit the header; the deflated stream behind them goes on."""
    content = bytearray(rewritten(good, lambda name, data: data + bytes(50_000_000) if name == "xyz.npy" else data))
    with zipfile.ZipFile(io.BytesIO(content)) as archive, zipfile.ZipFile(io.BytesIO(good)) as before:
        size, claimed = archive.getinfo("xyz.npy").file_size, before.getinfo("xyz.npy").file_size
    assert content.count(size.to_bytes(4, "little")) == 2
    content = content.replace(size.to_bytes(4, "little"), claimed.to_bytes(4, "little"))
    _, peak = peak_of_refusal(tmp_path, bytes(content))
    assert peak < 20e6


@pytest.mark.parametrize(
    ("content", "words"),
    [(b"", ""), (b"PK\3\4", ""), (b"PK\5\6" + bytes(18), "no array xyz"), (b"not a zip at all", "")],
    ids=["empty", "a magic alone", "a zip without members", "text"],
)
def test_what_is_no_archive_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    assert words in refusal(tmp_path, NAME, content)


def test_an_archive_cut_off_anywhere_is_refused(tmp_path: Path, good: bytes) -> None:
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        starts = [entry.header_offset for entry in archive.infolist()]
        ends = {archive.start_dir, len(good) - 22, len(good) - 1}
    for length in sorted({*starts, *(start + 10 for start in starts), *ends} - {0}):
        refusal(tmp_path, NAME, good[:length])


@pytest.mark.parametrize("flag", ["encrypted", "another packing", "checksum"])
def test_members_that_cannot_be_unpacked_are_refused(tmp_path: Path, good: bytes, flag: str) -> None:
    content = bytearray(good)
    with zipfile.ZipFile(io.BytesIO(good)) as archive:
        entry = archive.getinfo("xyz.npy")
        directory = good.index(b"PK\1\2", archive.start_dir)
    while good[directory + 46 : directory + 46 + 7] != b"xyz.npy":
        directory = good.index(b"PK\1\2", directory + 4)
    for start, offset in ((entry.header_offset, 6), (directory, 8)):
        if flag == "encrypted":
            content[start + offset] |= 1
        elif flag == "another packing":
            content[start + offset + 2] = 12
        else:
            content[start + offset + 8] ^= 255
    refusal(tmp_path, NAME, bytes(content))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_flipped_bytes_give_a_scene_or_a_sentence(tmp_path: Path, good: bytes, data: st.DataObject) -> None:
    content = bytearray(good)
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / NAME).write_bytes(bytes(content))
    read_or_refuse(tmp_path / NAME)


def test_nothing_is_left_of_a_file_that_could_not_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError("out of luck")

    monkeypatch.setattr(np.lib.format, "write_array", fail)
    with pytest.raises(OSError, match="out of luck"):
        c3dgs_npz.write(random_scene(5), tmp_path / NAME)
    assert list(tmp_path.iterdir()) == []
