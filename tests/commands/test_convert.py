"""`leansplat convert`: what stays, formats by suffix, what is lost, versions of SPZ."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.command_line import run_json
from support.file_digests import digests
from support.random_cloud import cloud
from support.stray_scenes import STRAYS, crowd, sky, worst_move

from leansplat import formats
from leansplat.cli import main
from leansplat.gaussians import Gaussians, concatenate


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    random = torch.Generator().manual_seed(1)
    shapes = ((3,), (4,), (3,), (), (1, 3), (3, 3))
    *tensors, harmonics = (torch.randn(40, *shape, generator=random) for shape in shapes)
    gaussians = Gaussians(*tensors, 0.1 * harmonics, extras={"object": torch.arange(40.0)}, comments=("by hand",))
    formats.write(gaussians, tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


def test_convert_writes_the_same_gaussians_and_leaves_its_input_alone(tmp_path: Path, capsys) -> None:
    formats.write(cloud(200), tmp_path / "given.ply")
    before = digests(tmp_path)
    values = run_json(capsys, "convert", tmp_path / "given.ply", tmp_path / "copy.ply")
    assert digests(tmp_path)["given.ply"] == before["given.ply"]
    assert values["bytes"] == (tmp_path / "copy.ply").stat().st_size
    assert torch.equal(formats.read(tmp_path / "copy.ply").shN, cloud(200).shN)


def test_convert_drops_nonfinite_gaussians_only_on_request(tmp_path, capsys) -> None:
    broken = cloud(10)
    broken.means[3, 0] = float("nan")
    formats.write(broken, tmp_path / "broken.ply")
    kept = run_json(capsys, "convert", tmp_path / "broken.ply", tmp_path / "kept.ply")
    dropped = run_json(capsys, "convert", tmp_path / "broken.ply", tmp_path / "dropped.ply", "--drop-nonfinite")
    assert (kept["gaussians"], dropped["gaussians"]) == (10, 9)


def test_an_antialiased_scene_stays_one_through_convert(tmp_path, capsys) -> None:
    formats.write(replace(cloud(5), antialiased=True), tmp_path / "mip.ply")
    run_json(capsys, "convert", tmp_path / "mip.ply", tmp_path / "copy.ply")
    assert run_json(capsys, "info", tmp_path / "copy.ply")["antialiased"] is True


def test_what_a_format_cannot_hold_is_said_once_and_listed_in_the_answer(scene: Path, tmp_path: Path, capsys) -> None:
    target = tmp_path / "scene.spz"
    assert main(["convert", str(scene), str(target), "--json"]) == 0
    shown = capsys.readouterr()
    lost = ["1 extra property", "1 comment"]
    assert json.loads(shown.out) == {
        "file": str(target),
        "gaussians": 40,
        "bytes": target.stat().st_size,
        "lost": lost,
    }
    assert shown.err.splitlines() == [f"leansplat: {target}: SPZ cannot hold {' or '.join(lost)}; this is lost"]


def test_nothing_is_said_where_nothing_is_lost(scene: Path, tmp_path: Path, capsys) -> None:
    assert main(["convert", str(scene), str(tmp_path / "copy.ply"), "--json"]) == 0
    shown = capsys.readouterr()
    assert json.loads(shown.out)["lost"] == []
    assert shown.err == ""


@pytest.mark.parametrize(
    ("options", "magic"), [([], b"\x1f\x8b"), (["--spz-version", "3"], b"\x1f\x8b"), (["--spz-version", "4"], b"NGSP")]
)
def test_spz_is_written_in_the_version_asked_for(scene: Path, tmp_path: Path, options, magic) -> None:
    target = tmp_path / "scene.spz"
    assert main(["convert", str(scene), str(target), *options]) == 0
    assert target.read_bytes().startswith(magic)
    assert len(formats.read(target)) == 40


def test_a_suffix_of_no_format_is_told_before_the_scene_is_read(tmp_path: Path, capsys) -> None:
    assert main(["convert", str(tmp_path / "missing.ply"), str(tmp_path / "scene.xyz")]) == 2
    error = capsys.readouterr().err
    assert "scene.xyz does not end in the suffix of a known format" in error
    assert "SPZ (.spz)" in error


@pytest.mark.parametrize("suffix", [".ply", ".spz"])
def test_a_format_is_known_by_content_where_the_suffix_is_wrong(scene: Path, tmp_path: Path, suffix: str) -> None:
    assert main(["convert", str(scene), str(tmp_path / "scene.spz")]) == 0
    disguised = tmp_path / "disguised.splat"
    disguised.write_bytes((tmp_path / "scene.spz").read_bytes())
    assert main(["convert", str(disguised), str(tmp_path / f"again{suffix}")]) == 0
    assert len(formats.read(tmp_path / f"again{suffix}")) == 40


def test_an_spz_has_as_many_bits_of_harmonics_as_asked_for(scene: Path, tmp_path: Path, capsys) -> None:
    for bits in ("4", "8"):
        assert main(["convert", str(scene), str(tmp_path / f"{bits}.spz"), "--spz-sh-bits", bits, bits]) == 0
    levels = [len(formats.read(tmp_path / f"{bits}.spz").shN.unique()) for bits in ("4", "8")]
    assert levels[0] <= 17 < levels[1]
    assert main(["convert", str(scene), str(tmp_path / "x.spz"), "--spz-sh-bits", "4", "9"]) == 2
    assert "1 to 8" in capsys.readouterr().err
    assert main(["convert", str(scene), str(tmp_path / "x.sog"), "--spz-sh-bits", "4", "4"]) == 2
    assert "x.sog would be SOG; leave the options of SPZ out" in capsys.readouterr().err


@pytest.mark.parametrize("suffix", [".spz", ".ply", ".compressed.ply"])
def test_strays_are_dropped_on_request_and_counted(tmp_path: Path, capsys, suffix: str) -> None:
    strays = concatenate(STRAYS["all around"])
    formats.write(concatenate([crowd(), sky(1900), strays]), tmp_path / "far.ply")
    target = tmp_path / f"near{suffix}"
    assert main(["convert", str(tmp_path / "far.ply"), str(target), "--drop-far"]) == 0
    shown = capsys.readouterr()
    assert "dropped 6 of 1,036 Gaussians, up to 5e+08 from the middle of a scene of radius" in shown.out
    assert "1,030 Gaussians" in shown.out or suffix == ".compressed.ply"
    assert "left out" not in shown.err
    assert main(["convert", str(tmp_path / "far.ply"), str(target), "--drop-far", "--overwrite", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["dropped_far"] == 6
    found = formats.read(target)
    assert float(found.means.norm(dim=1).max()) == pytest.approx(1900, rel=1e-2)
    assert worst_move(found, concatenate([crowd(), sky(1900)])) < 4


def test_dropping_what_is_far_changes_nothing_where_nothing_is(scene: Path, tmp_path: Path, capsys) -> None:
    assert main(["convert", str(scene), str(tmp_path / "copy.ply"), "--drop-far"]) == 0
    assert "dropped nothing" in capsys.readouterr().out
    assert (tmp_path / "copy.ply").read_bytes() == scene.read_bytes()


def test_the_count_is_that_of_the_file(tmp_path: Path, capsys) -> None:
    formats.write(concatenate([crowd(), *STRAYS["one faint"]]), tmp_path / "far.ply")
    for suffix, count in ((".spz", 1000), (".sog", 1001), (".compressed.ply", 1025)):
        assert main(["convert", str(tmp_path / "far.ply"), str(tmp_path / f"far{suffix}"), "--json"]) == 0
        shown = capsys.readouterr()
        assert json.loads(shown.out)["gaussians"] == count == len(formats.read(tmp_path / f"far{suffix}"))
        assert len(shown.err.splitlines()) == (count != 1001)
