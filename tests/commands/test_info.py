"""`leansplat info`: what it counts in a scene, and how it draws it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from support.command_line import run_json
from support.random_cloud import cloud

from leansplat.cli import main
from leansplat.formats import write


def test_info_counts_what_is_in_the_file(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    values = run_json(capsys, "info", scene)
    expected = cloud(200)
    opacity = torch.sigmoid(expected.opacities)
    assert values["gaussians"] == 200
    assert values["bytes"] == scene.stat().st_size
    assert values["sh_degree"] == 1
    assert values["parameters"] == 200 * (3 + 4 + 3 + 1 + 3 + 9)
    assert values["bounds_min"] == pytest.approx(expected.means.amin(dim=0).tolist())
    assert values["bounds_max"] == pytest.approx(expected.means.amax(dim=0).tolist())
    assert values["opacity_histogram"] == np.histogram(opacity.numpy(), bins=10, range=(0, 1))[0].tolist()


def test_info_draws_the_longest_bar_for_the_fullest_bin(scene: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["info", str(scene)]) == 0
    text = capsys.readouterr().out
    bars = [line for line in text.splitlines() if line[3:4] == "-" and line[0].isdigit()]
    counts = {int(line.split()[-1]): line.count("#") for line in bars}
    assert len(bars) == 10
    assert counts[max(counts)] == max(counts.values()) == 40
    assert "200" in text


def test_info_of_a_scene_with_nonfinite_gaussians_counts_them(tmp_path, capsys) -> None:
    broken = cloud(10)
    broken.means[3, 0] = float("nan")
    broken.opacities[5] = float("nan")
    write(broken, tmp_path / "broken.ply")
    values = run_json(capsys, "info", tmp_path / "broken.ply")
    assert (values["gaussians"], values["nonfinite"], sum(values["opacity_histogram"])) == (10, 2, 8)


def test_info_of_an_empty_scene_works(tmp_path, capsys) -> None:
    write(cloud(0), tmp_path / "none.ply")
    values = run_json(capsys, "info", tmp_path / "none.ply")
    assert (values["gaussians"], values["bounds_min"], sum(values["opacity_histogram"])) == (0, None, 0)
    assert main(["info", str(tmp_path / "none.ply")]) == 0
