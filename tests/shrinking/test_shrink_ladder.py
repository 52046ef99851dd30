"""Several sizes of a scene from one run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from support.arrangements import place, ring
from support.camera_files import write_cameras

from leansplat import formats
from leansplat.cli import main
from leansplat.errors import InputError
from leansplat.shrinking import LadderResult, ShrinkingConfig, parse_ladder, shrink_ladder

SCENE = place(600)
QUICK = ShrinkingConfig(steps=30, view_size=48)


@pytest.fixture(scope="module")
def given(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scene whose Gaussians have numbers, with its cameras beside it."""
    folder = tmp_path_factory.mktemp("given")
    numbered = replace(SCENE, extras={"number": torch.arange(len(SCENE)).float()})
    formats.write(numbered, folder / "scene.ply")
    write_cameras(folder / "cameras.json", ring(9, 6.0, 0.0))
    return folder / "scene.ply"


@pytest.fixture(scope="module")
def made(given: Path) -> LadderResult:
    return shrink_ladder(given, given.parent / "web", parse_ladder("25%,75%,50%"), QUICK, suffix=".ply")


def nested(finer: torch.Tensor, coarser: torch.Tensor) -> bool:
    """Whether some numbers, each once, are all among others."""
    return len(coarser.unique()) == len(coarser) and bool(torch.isin(coarser, finer).all())


def test_each_level_is_a_part_of_the_one_above_and_tuned_for_itself(made: LadderResult) -> None:
    scenes = [formats.read(level.file) for level in made.levels]
    assert [len(scene) for scene in scenes] == [990, 660, 330]
    numbers = [scene.extras["number"].long() for scene in scenes]
    assert nested(torch.arange(len(SCENE)), numbers[0])
    for finer, coarser in ((0, 1), (1, 2)):
        assert nested(numbers[finer], numbers[coarser])
        same = torch.searchsorted(numbers[finer].sort().values, numbers[coarser])
        before = scenes[finer].sh0[numbers[finer].argsort()[same]]
        assert not torch.equal(before, scenes[coarser].sh0)


def test_what_viewers_stream_has_the_same_levels(made: LadderResult) -> None:
    meta = made.folder / "streamed" / "lod-meta.json"
    for number, level in enumerate(made.levels):
        assert len(formats.read(meta, level=number)) == level.gaussians


def test_every_level_is_in_the_table_and_in_the_plot(made: LadderResult) -> None:
    written = json.loads((made.folder / "levels.json").read_text())["levels"]
    assert [level["gaussians"] for level in written] == [990, 660, 330]
    drops = [level["loss"]["own"]["psnr"] for level in written]
    assert drops == sorted(drops, reverse=True)
    assert (made.folder / "levels.svg").read_text().startswith("<?xml")


def test_sizes_are_held_by_every_level_and_the_command_shows_them(
    given: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "web"
    arguments = ["shrink", str(given), "-o", str(folder), "--ladder", "16kB,12kB", "--steps", "20"]
    assert main([*arguments, "--view-size", "48"]) == 0
    text = capsys.readouterr().out
    for size in (16, 12):
        assert 970 * size <= (folder / f"{size}kB.sog").stat().st_size <= 1000 * size
        assert f"{size}kB.sog" in text
    assert main([*arguments, "--view-size", "48"]) == 2
    assert "not empty" in capsys.readouterr().err


def test_a_folder_that_is_a_file_is_one_sentence(given: Path) -> None:
    with pytest.raises(InputError, match="is a file"):
        shrink_ladder(given, given, parse_ladder("50%,25%"), QUICK)
