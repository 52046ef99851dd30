"""Commands with `--device cuda`, through the stand-in: they answer what they answer on the CPU."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.capture_folder import write_nerfstudio
from support.tiny import blobs, tiny_capture

from leansplat import formats
from leansplat.cli import main


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture, and a scene of it."""
    made = tmp_path_factory.mktemp("captured")
    write_nerfstudio(tiny_capture(views=3), made / "capture")
    formats.write(blobs(20), made / "scene.ply")
    return made


@pytest.mark.usefixtures("gsplat_stand_in")
def test_a_scene_has_the_quality_that_it_has_on_the_cpu(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = []
    for device in ("cpu", "cuda"):
        words = ["eval", str(folder / "scene.ply"), "--capture", str(folder / "capture"), "--device", device, "--json"]
        assert main(words) == 0
        told.append(json.loads(capsys.readouterr().out))
    cpu, card = told
    assert card["psnr"] == pytest.approx(cpu["psnr"], abs=0.01)
    assert card["ssim"] == pytest.approx(cpu["ssim"], abs=1e-4)
    assert cpu["psnr"] > 5


@pytest.mark.usefixtures("gsplat_stand_in")
def test_its_pictures_are_those_of_the_cpu(folder: Path, tmp_path: Path) -> None:
    for device in ("cpu", "cuda"):
        words = [
            "render",
            str(folder / "scene.ply"),
            "--capture",
            str(folder / "capture"),
            "-o",
            str(tmp_path / device),
        ]
        assert main([*words, "--device", device]) == 0
    pictures = sorted(path.relative_to(tmp_path / "cpu") for path in (tmp_path / "cpu").rglob("*.png"))
    assert pictures
    for picture in pictures:
        cpu, card = (np.asarray(Image.open(tmp_path / device / picture), int) for device in ("cpu", "cuda"))
        assert cpu.max() > 50
        assert abs(cpu - card).max() <= 1
