"""`leansplat shrink`: what it prints, its exit codes, and one sentence for each thing that can be wrong."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from support.arrangements import place, ring
from support.camera_files import write_cameras

from leansplat import formats
from leansplat.cli import main
from leansplat.shrinking import format_bytes

QUICK = ["--steps", "12", "--view-size", "48"]


@pytest.fixture(scope="module")
def scene(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("given")
    formats.write(place(300), folder / "scene.ply")
    write_cameras(folder / "cameras.json", ring(9, 6.0, 0.0))
    return folder / "scene.ply"


def test_the_answer_says_what_became_smaller_from_where_and_what_was_lost(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shrink", str(scene), "-o", str(tmp_path / "small.sog"), "--keep", "50%", *QUICK]) == 0
    text = capsys.readouterr().out
    assert "660" in text
    assert "330" in text
    assert "cameras.json" in text
    assert "PSNR" in text
    assert "times smaller" in text


def test_json_has_the_same_and_nothing_else(scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "small.ply"
    assert main(["shrink", str(scene), "-o", str(out), "--size", "20kB", *QUICK, "--json"]) == 0
    values = json.loads(capsys.readouterr().out)
    assert values["target"]["size"] == 20_000
    assert values["bytes"] == out.stat().st_size <= 20_000
    assert values["gaussians"] == len(formats.read(out))
    assert values["original"] == {"bytes": scene.stat().st_size, "gaussians": 660}
    assert values["met"] is True
    assert values["cameras"]["kind"] == "cameras"
    assert values["loss"]["own"]["psnr"] > 0


def test_a_target_that_cannot_be_reached_ends_with_1_and_keeps_the_nearest_file(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "small.splat"
    assert main(["shrink", str(scene), "-o", str(out), "--max-drop", "0.000001", *QUICK, "--json"]) == 1
    printed = capsys.readouterr()
    assert json.loads(printed.out)["met"] is False
    assert "not reached" in printed.err
    assert out.exists()


@pytest.mark.parametrize(("drop", "held"), [("5", True), ("0.000001", False)])
def test_the_answer_says_that_a_limit_holds_only_where_it_does(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], drop: str, held: bool
) -> None:
    out = tmp_path / "small.splat"
    assert main(["shrink", str(scene), "-o", str(out), "--max-drop", drop, *QUICK]) == (0 if held else 1)
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith(f"{out}: "))
    assert f"{out}: {format_bytes(out.stat().st_size)}, " in line
    assert line.endswith("with a drop of at most 5 dB" if held else "times smaller")


@pytest.mark.parametrize("options", [[], ["--blocks", "2"]], ids=["whole", "blocks"])
def test_more_gaussians_than_there_are_are_said_not_to_be_there(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str]
) -> None:
    out = tmp_path / "small.sog"
    arguments = ["--count", "4000", "--steps", "0", "--view-size", "48", *options]
    assert main(["shrink", str(scene), "-o", str(out), *arguments]) == 0
    text = capsys.readouterr().out
    assert "The scene has 660 Gaussians, fewer than the 4,000 asked for; none was removed." in text
    assert len(formats.read(out)) == 660


def test_a_copy_is_told_by_the_name_that_the_scene_has(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(scene.parent)
    assert main(["shrink", "scene.ply", "-o", str(tmp_path / "same.ply"), "--count", "4000"]) == 0
    text = capsys.readouterr().out
    assert " scene.ply already is within 4,000 Gaussians" in text
    assert (tmp_path / "same.ply").read_bytes() == scene.read_bytes()


def test_files_that_were_only_tried_are_not_told_of(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = tmp_path / "filled.ply"
    some = place(30)
    formats.write(some[torch.cat([torch.arange(len(some)), torch.zeros(20, dtype=torch.long)])], given)
    out = tmp_path / "small.ply"
    assert main(["shrink", str(given), "-o", str(out), "--max-drop", "0.5", *QUICK, "--views", "16"]) == 0
    said = [line for line in capsys.readouterr().err.splitlines() if "hold no Gaussian" in line]
    assert [line.split()[1] for line in said] == [f"{given}:"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--size", "10"], "no unit"),
        (["--size", "0MB"], "not above zero"),
        (["--size", "-3 MB"], "not above zero"),
        (["--size", "ten"], "not a number"),
        (["--size", "100B"], "single Gaussian"),
        (["--count", "0"], "count is 0"),
        (["--count", "-5"], "count is -5"),
        (["--count", "5", "--keep", "50%"], "exclude each other"),
        (["--preset", "web", "--count", "5"], "--preset is a target already"),
        (["--cameras", "none.json"], "none.json"),
        (["--capture", "none"], "none"),
        (["--steps", "5", "--minutes", "1"], "steps and minutes"),
        (["--steps", "-1"], "steps is -1"),
        (["--minutes", "0"], "minutes is 0"),
        (["--protect", "cube:1"], "no region"),
        (["--only", "sphere:900,0,0,1"], "no Gaussian in it"),
        (["--max-drop", "-1"], "max_drop is -1"),
        (["--resume"], "no run folder to resume"),
    ],
)
def test_what_is_wrong_is_one_sentence_and_no_file_is_made(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], said: str
) -> None:
    out = tmp_path / "small.sog"
    options = [] if arguments[0] == "--steps" or "--minutes" in arguments else ["--steps", "12"]
    assert main(["shrink", str(scene), "-o", str(out), "--view-size", "48", *options, *arguments]) == 2
    error = capsys.readouterr().err
    lines = [line for line in error.splitlines() if line.startswith("leansplat:") and "compiling" not in line]
    assert said in lines[-1]
    assert not out.exists()


@pytest.mark.parametrize("size", ["20kB", "20 kB", "19.6KiB", "20000B", "0.02mb"])
def test_sizes_are_read_as_people_write_them(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], size: str
) -> None:
    arguments = ["shrink", str(scene), "-o", str(tmp_path / "small.ply"), "--size", size, "--steps", "0"]
    assert main([*arguments, "--view-size", "48", "--json"]) == 0
    assert 19_300 <= json.loads(capsys.readouterr().out)["bytes"] <= 20_071


def test_a_suffix_that_cannot_be_written_is_told_before_any_work(
    scene: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["shrink", str(scene), "-o", str(tmp_path / "small.obj"), "--keep", "50%"]) == 2
    assert ".sog" in capsys.readouterr().err


def test_the_views_are_drawn_where_asked(scene: Path, tmp_path: Path) -> None:
    picture = tmp_path / "views.png"
    options = ["--keep", "50%", "--show-cameras", str(picture), "--steps", "0", "--view-size", "48"]
    assert main(["shrink", str(scene), "-o", str(tmp_path / "small.ply"), *options]) == 0
    assert picture.read_bytes()[:8] == b"\x89PNG\r\n\x1a\n"
