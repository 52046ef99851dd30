"""`leansplat eval`: the means, the table and the bytes of a scene, and photos that are missing."""

from __future__ import annotations

import numpy as np
import pytest
from support.capture_folder import write_nerfstudio
from support.command_line import run_json

from leansplat.captures.synthetic import synthetic_capture
from leansplat.cli import main
from leansplat.formats import read, write


def test_eval_prints_means_of_its_views(scene, capture, capsys) -> None:
    values = run_json(capsys, "eval", scene, "--capture", capture, "--lpips", "none")
    assert [view["name"] for view in values["views"]] == ["view_000.png", "view_008.png"]
    assert values["psnr"] == pytest.approx(np.mean([view["psnr"] for view in values["views"]]))
    assert values["bytes"] == scene.stat().st_size
    assert values["lpips"] is None


def test_eval_counts_all_files_of_a_scene(scene, capture, tmp_path, capsys) -> None:
    (tmp_path / "sog").mkdir()
    write(read(scene), tmp_path / "sog" / "meta.json")
    values = run_json(capsys, "eval", tmp_path / "sog" / "meta.json", "--capture", capture, "--lpips", "none")
    assert values["bytes"] == sum(file.stat().st_size for file in (tmp_path / "sog").iterdir())


def test_eval_prints_a_table_for_people(scene, capture, capsys) -> None:
    assert main(["eval", str(scene), "--capture", str(capture), "--lpips", "none"]) == 0
    text = capsys.readouterr().out
    assert text.splitlines()[0].split() == ["view", "PSNR", "SSIM", "LPIPS"]
    assert "view_008.png" in text
    assert "200 Gaussians" in text


def test_photos_that_are_missing_are_reported_and_skipped(scene, tmp_path, capsys) -> None:
    folder = write_nerfstudio(synthetic_capture(views=9, size=16), tmp_path / "photos")
    (folder / "images" / "view_003.png").unlink()
    values = run_json(capsys, "eval", scene, "--capture", folder, "--lpips", "none", "--split", "train")
    assert len(values["views"]) == 7
    assert main(["eval", str(scene), "--capture", str(folder), "--lpips", "none"]) == 0
    assert "view_003.png" in capsys.readouterr().err
