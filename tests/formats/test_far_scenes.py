"""Files of scenes far from zero: they hold as much as near it, or say what they do not."""

from __future__ import annotations

import json
import logging
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from support import splat_transform
from support.far_captures import ECEF, UTM
from support.plain_gltf import parts
from support.plain_ply import body, header, names, value
from support.scene_comparison import assert_same_bits, random_scene

from leansplat import formats
from leansplat.gaussians import WORLD, Gaussians, Origin

SAYING = [".ply", ".sog", ".compressed.ply", ".npz", ".glb"]
SILENT = [".spz", ".splat"]


def offset(scene: Gaussians, origin: Origin = UTM) -> torch.Tensor:
    return scene.world_means() - torch.tensor(origin, dtype=torch.float64)


@pytest.fixture
def said(caplog: pytest.LogCaptureFixture) -> pytest.LogCaptureFixture:
    caplog.set_level(logging.WARNING, "leansplat")
    return caplog


@pytest.mark.parametrize("origin", [UTM, ECEF, (-3e6, 0.0, 0.0)])
@pytest.mark.parametrize("suffix", SAYING)
def test_a_far_scene_is_where_it_was_after_any_format_that_says_where(suffix: str, origin: Origin, tmp_path: Path):
    """As near its place as the same scene near zero is."""
    near = random_scene(count=300, degree=0)
    for name, scene in (("near", near), ("far", replace(near, origin=origin))):
        formats.write(scene, tmp_path / f"{name}{suffix}")
    first, second = (formats.read(tmp_path / f"{name}{suffix}") for name in ("near", "far"))
    assert first.origin == WORLD != second.origin
    assert torch.allclose(offset(second, origin), first.means.double(), atol=2e-6)


@pytest.mark.parametrize("suffix", SILENT)
def test_what_cannot_say_where_a_scene_is_holds_it_near_zero_and_names_the_shift(suffix: str, tmp_path: Path, said):
    scene = replace(random_scene(count=300, degree=0), origin=UTM)
    formats.write(scene, tmp_path / f"scene{suffix}")
    assert "origin (552031, 4182230, 12), which its positions are relative to; this is lost" in said.text
    found = formats.read(tmp_path / f"scene{suffix}")
    assert found.origin == WORLD
    assert float(found.means.abs().max()) < 20


@pytest.mark.parametrize("suffix", [".sog", ".compressed.ply", ".npz"])
def test_what_only_we_read_of_a_file_is_told_when_it_is_written(suffix: str, tmp_path: Path, said):
    scene = random_scene(count=30, degree=0)
    formats.write(scene, tmp_path / f"near{suffix}")
    assert "positions are relative to" not in said.text
    formats.write(replace(scene, origin=UTM), tmp_path / f"far{suffix}")
    assert "positions are relative to (552031, 4182230, 12)" in said.text


def double_ply(folder: Path, origin: Origin, encoding: str) -> Path:
    """A file of doubles whose x, y and z are those of `plain_ply` and an offset."""
    properties = [(name, "double") for name in names(0)]
    shift = dict(zip("xyz", origin, strict=True))
    values = lambda name, row: -4.0 if name.startswith("scale") else value(name, row) + shift.get(name, 0.0)  # noqa: E731
    path = folder / "doubles.ply"
    path.write_bytes(header(properties, 40, encoding) + body(properties, 40, encoding, values))
    return path


@pytest.mark.parametrize("encoding", ["ascii", "binary_little_endian", "binary_big_endian"])
def test_double_coordinates_are_kept_far_from_zero(encoding: str, tmp_path: Path, said) -> None:
    far = (552_031.37, 4_182_230.71, 12.0)
    found = formats.read(double_ply(tmp_path, far, encoding))
    near = torch.tensor([[value(axis, row) for axis in "xyz"] for row in range(40)], dtype=torch.float64)
    assert torch.allclose(offset(found, far), near, atol=0.006 if encoding == "ascii" else 1e-5)  # of nine digits
    assert not said.records
    assert formats.read(double_ply(tmp_path, WORLD, encoding)).origin == WORLD


def test_a_scene_of_another_tool_in_far_floats_is_told_and_stays_where_it_is(tmp_path: Path, said) -> None:
    """What the file rounded is gone, but nothing more: written again it has the same bytes."""
    scene = random_scene(count=300, degree=1)
    world = (scene.means.double() + torch.tensor(UTM, dtype=torch.float64)).float()
    path, again = tmp_path / "floats.ply", tmp_path / "again.ply"
    formats.write(replace(scene, means=world), path)
    found = formats.read(path)
    assert "positions are float32 around (55203" in said.text
    assert "steps are 0.25" in said.text
    assert torch.equal(found.world_means(), world.double())
    assert float(found.means.abs().max()) < 20
    said.clear()
    formats.write(found, again)
    assert again.read_bytes() == path.read_bytes()
    assert not said.records


def test_a_file_near_zero_is_written_as_ever_whatever_its_origin(tmp_path: Path) -> None:
    """Only what float32 would round is written as doubles."""
    scene = random_scene(count=20, degree=0)
    scene = replace(scene, means=scene.means.round() + 0.0)  # no -0
    formats.write(scene, tmp_path / "plain.ply")
    formats.write(scene.relative_to((64.0, -8.0, 2.0)), tmp_path / "moved.ply")
    assert (tmp_path / "plain.ply").read_bytes() == (tmp_path / "moved.ply").read_bytes()


def test_an_npz_reader_that_knows_no_origin_finds_the_arrays_it_knows(tmp_path: Path) -> None:
    scene = random_scene(count=20, degree=0)
    formats.write(scene, tmp_path / "near.npz")
    formats.write(replace(scene, origin=UTM), tmp_path / "far.npz")
    near, far = np.load(tmp_path / "near.npz"), np.load(tmp_path / "far.npz")
    assert set(far.files) - set(near.files) == {"origin"}
    assert all(np.array_equal(near[name], far[name]) for name in near.files)


@pytest.mark.parametrize("wrong", ["nowhere", [1, 2], [1, 2, "3"]])
def test_an_origin_that_is_no_point_is_refused(wrong, tmp_path: Path) -> None:
    path = tmp_path / "scene.sog"
    formats.write(replace(random_scene(count=20, degree=0), origin=UTM), path)
    with zipfile.ZipFile(path) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    meta = json.loads(files["meta.json"])
    assert meta["extras"]["origin"] == list(UTM)
    files["meta.json"] = json.dumps({**meta, "extras": {"origin": wrong}}).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(formats.SceneFileError, match=r"extras\.origin is not a list of 3 numbers"):
        formats.read(path)


def test_plyfile_reads_the_doubles_we_write(tmp_path: Path) -> None:
    plyfile = pytest.importorskip("plyfile")
    scene = replace(random_scene(count=50, degree=1), origin=UTM)
    formats.write(scene, tmp_path / "scene.ply")
    vertex = plyfile.PlyData.read(tmp_path / "scene.ply")["vertex"]
    found = np.stack([vertex["x"], vertex["y"], vertex["z"]], axis=1)
    assert np.abs(found - scene.world_means().numpy()).max() < 1e-8
    assert np.array_equal(vertex["opacity"], scene.opacities.numpy())
    assert np.array_equal(vertex["rot_3"], scene.quats[:, 3].numpy())


@pytest.mark.parametrize("suffix", [".ply", ".sog", ".compressed.ply"])
def test_splat_transform_reads_the_files_of_far_scenes(suffix: str, tmp_path: Path) -> None:
    """Doubles as float32, and the others near zero: a note that it does not know does no harm."""
    scene = replace(random_scene(count=50, degree=0), origin=UTM)
    source, target = tmp_path / f"far{suffix}", tmp_path / "theirs.ply"
    formats.write(scene, source)
    splat_transform.convert(source, target)
    found = _floats(target)
    expected = formats.read(source)
    expected = expected.world_means() if suffix == ".ply" else expected.means
    order, theirs = (np.lexsort(np.round(table, 1).T) for table in (expected.numpy(), found))
    assert np.abs(found[theirs] - expected.numpy()[order]).max() < (0.3 if suffix == ".ply" else 1e-3)


def _floats(path: Path) -> np.ndarray:
    """(N, 3) x, y and z as floats in a .ply of splat-transform."""
    plyfile = pytest.importorskip("plyfile")
    vertex = plyfile.PlyData.read(path)["vertex"]
    return np.stack([vertex["x"], vertex["y"], vertex["z"]], axis=1).astype(np.float64)


def test_gltf_has_the_origin_as_the_translation_of_its_node(tmp_path: Path) -> None:
    formats.write(replace(random_scene(count=20, degree=0), origin=UTM), tmp_path / "scene.glb")
    document, _ = parts(tmp_path / "scene.glb")
    assert document["nodes"] == [{"mesh": 0, "translation": [-UTM[0], -UTM[1], UTM[2]]}]  # y up


def test_a_comment_about_the_origin_is_never_taken_along_by_itself(tmp_path: Path) -> None:
    """It is read, so it is no comment any more; one that a scene brings otherwise says nothing."""
    scene = random_scene(count=20, degree=0, comments=("leansplat origin 1 2 3", "mine"))
    formats.write(scene, tmp_path / "scene.ply")
    found = formats.read(tmp_path / "scene.ply")
    assert found.comments == ("mine",)
    assert_same_bits(replace(found, comments=()), replace(scene, comments=()))
    formats.write(replace(scene, origin=UTM), tmp_path / "scene.compressed.ply")
    assert formats.read(tmp_path / "scene.compressed.ply").comments == ("mine",)
