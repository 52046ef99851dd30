"""`leansplat compress`: what it writes, prints and refuses."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
from support.capture_folder import write_nerfstudio
from support.command_line import run_json
from support.tiny import blobs, tiny_capture

from leansplat import formats
from leansplat.cli import main


@pytest.fixture
def scene(tmp_path: Path) -> Path:
    formats.write(blobs(), tmp_path / "scene.ply")
    return tmp_path / "scene.ply"


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return write_nerfstudio(tiny_capture(), tmp_path / "photos")


def test_a_scene_is_trained_through_the_format_and_measured(scene: Path, photos: Path, tmp_path: Path, capsys) -> None:
    target, folder = tmp_path / "out.sog", tmp_path / "run"
    formats.write(replace(blobs(), sh0=0.7 * blobs().sh0), scene, overwrite=True)  # too dark, which training mends
    before = scene.read_bytes()
    arguments = ["compress", str(scene), "--capture", str(photos), "-o", str(target), "--run", str(folder)]
    found = run_json(capsys, *arguments, "--steps", "5", "--no-lpips")
    assert found["file"] == str(target)
    assert found["bytes"] == target.stat().st_size == sum(found["parts"].values())
    assert found["plain_bytes"] == (folder / "plain.sog").stat().st_size
    assert found["ratio"] == found["ply_bytes"] / found["bytes"]
    assert {name: found[name]["psnr"] > 20 for name in ("original", "plain", "compressed")}
    assert found["compressed"]["lpips"] is None
    assert [set(view) for view in found["worst"]] == [{"name", "loss"}] * len(found["worst"]) != []
    metrics = json.loads((folder / "metrics.json").read_text())
    assert metrics == {name: found[name] for name in metrics}
    assert json.loads((folder / "config.json").read_text())["settings"]["compression"]["fine_tuning"]["steps"] == 5
    assert scene.read_bytes() == before
    assert found["written"] == "fine-tuned"
    assert main([*arguments, "--steps", "5", "--no-lpips", "--resume", "--overwrite"]) == 0
    shown = capsys.readouterr().out
    for words in ("means_l", "as given", "encoded", "fine-tuned", "Largest losses", "times smaller"):
        assert words in shown


def test_what_fine_tuning_made_worse_is_not_called_fine_tuned(
    scene: Path, photos: Path, tmp_path: Path, capsys
) -> None:
    """The photos are of this very scene."""
    arguments = ["compress", str(scene), "--capture", str(photos), "--steps", "2", "--no-lpips", "--overwrite"]
    arguments += ["-o", str(tmp_path / "out.compressed.ply")]
    found = run_json(capsys, *arguments)
    assert found["written"] == "plain"
    assert found["compressed"] == found["plain"]
    assert main(arguments) == 0
    shown = capsys.readouterr()
    assert "fine-tuned" not in shown.out
    assert "the file is only encoded" in shown.err


@pytest.mark.parametrize("suffix", [".sog", ".spz", ".compressed.ply", ".npz"])
def test_without_a_capture_only_sizes_are_told(scene: Path, tmp_path: Path, suffix: str, capsys) -> None:
    target = tmp_path / f"out{suffix}"
    found = run_json(capsys, "compress", str(scene), "-o", str(target))
    assert found["bytes"] == target.stat().st_size
    assert found["original"] is found["compressed"] is None
    assert len(formats.read(target)) == found["gaussians"] == 60


def test_what_cannot_be_done_is_said_before_any_work(scene: Path, photos: Path, tmp_path: Path, capsys) -> None:
    (tmp_path / "there.spz").write_bytes(b"")
    run = ["--capture", str(photos), "--run", str(tmp_path / "run")]
    for output, options, words in (
        ("there.spz", run, "already exists"),
        ("out.splat", run, "ends in none of"),
        ("out.spz", ["--run", str(tmp_path / "run")], "need the views of a capture"),
        ("out.spz", ["--capture", str(photos), "--resume"], "no run folder to resume"),
        ("out.sog", [*run, "--palette-size", "0"], "palette_size is 0"),
        ("out.spz", [*run, "--palette-size", "64"], "there is no setting palette_size in SpzCodec"),
        ("out.compressed.ply", [*run, "--sh-loss", "1"], "there is no setting sh_loss in CompressedPlyCodec"),
        ("out.ply", [], "give one of .compressed.ply, .npz, .sog, .spz"),
    ):
        assert main(["compress", str(scene), "-o", str(tmp_path / output), *options]) == 2
        assert words in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert not (tmp_path / "out.spz").exists()
