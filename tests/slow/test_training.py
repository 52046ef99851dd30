"""Training as a whole: it learns what held-out photos look like, and a process that is killed loses nothing."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from support.tiny import tiny_capture

from leansplat.captures.capture import Capture
from leansplat.engines.cpu import render
from leansplat.gaussians import Gaussians
from leansplat.runs import open_run
from leansplat.training import TrainingConfig, train

TESTS = Path(__file__).parents[1]
ITERATIONS = 800


def psnr(image: torch.Tensor, photo: torch.Tensor) -> float:
    return float(-10 * torch.log10(((image - photo / 255) ** 2).mean()))


def held_out_psnr(gaussians: Gaussians, capture: Capture) -> list[float]:
    renders = [render(gaussians, view.camera, background=capture.background).image for view in capture.test]
    return [psnr(image.detach().clamp(0, 1), view.photo) for image, view in zip(renders, capture.test, strict=True)]


@pytest.mark.parametrize("background", [(0.0, 0.0, 0.0), (1.0, 1.0, 1.0)], ids=["black", "white"])
def test_a_trained_scene_predicts_held_out_photos(background: tuple[float, float, float]) -> None:
    capture = tiny_capture(views=24, background=background)
    result = train(capture, TrainingConfig().scaled(ITERATIONS))
    for view, found in zip(capture.test, held_out_psnr(result.gaussians, capture), strict=True):
        photo = view.photo.float()
        constant = psnr(photo.mean(dim=(0, 1)).expand_as(photo) / 255, view.photo)
        neighbour = max(psnr(other.photo / 255, view.photo) for other in capture.train)
        # Without learning the scene one can guess the mean colour, or repeat the most similar training photo; training
        # must leave less than half of the squared error that the better guess leaves, which is 3 dB.
        assert found > max(constant, neighbour) + 3


@pytest.mark.long
def test_a_killed_process_goes_on_to_the_same_bits(tmp_path: Path) -> None:
    script = """
import os, signal, sys
from dataclasses import replace
from support.tiny import tiny_capture
from leansplat.training import TrainingConfig, train
from leansplat.training.strategies import Densification

folder, kill_at, resume = sys.argv[1], int(sys.argv[2]), sys.argv[3] == "resume"

def after_step(state):
    if state.step == kill_at:
        os.kill(os.getpid(), signal.SIGKILL)

config = replace(TrainingConfig().scaled(300), checkpoint_every=70).adjusted(Densification, every=10)
train(tiny_capture(), config, folder, resume=resume, after_step=after_step)
"""
    import leansplat

    paths = [str(TESTS), str(Path(leansplat.__file__).parents[1])]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(paths)}

    def run(folder: str, kill_at: int, mode: str) -> int:
        command = [sys.executable, "-c", script, str(tmp_path / folder), str(kill_at), mode]
        return subprocess.run(command, env=environment, check=False).returncode

    assert run("whole", -1, "start") == 0
    assert run("killed", 145, "start") == -signal.SIGKILL
    assert open_run(tmp_path / "killed").checkpoints() == [70, 140]
    assert not open_run(tmp_path / "killed").scene_path.exists()
    assert run("killed", 215, "resume") == -signal.SIGKILL
    assert run("killed", -1, "resume") == 0
    whole, killed = (open_run(tmp_path / name).scene_path.read_bytes() for name in ("whole", "killed"))
    assert whole == killed
