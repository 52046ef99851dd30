"""Our image against one drawn by somebody else: `@playcanvas/splat-transform`, which rasterises with WebGPU.

Without a graphics card WebGPU needs a Vulkan driver that runs on the CPU. SwiftShader is one; Debian ships it inside
the package `chromium-common`, and the Makefile unpacks it to `build/swiftshader`. PlayCanvas reads a .ply with y up:
its world is the file's turned by 180 degrees about z. It only knows cameras with square pixels that look along the
middle of the image.
"""

from __future__ import annotations

import json
import math
import os
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from support.patience import PATIENCE
from support.reference_renderer import in_double, render_reference
from support.rendered_scenes import surfaces
from torch import Tensor

from leansplat import formats
from leansplat.cameras import Camera, look_at
from leansplat.engines.cpu import render

ROOT = Path(__file__).parents[2]
COMMAND = ROOT / "node_modules/@playcanvas/splat-transform/bin/cli.mjs"
FOX = ROOT / "../shared/data/scenes/fox_opensplat.ply"
DRIVERS = (
    ROOT / "build/swiftshader/vk_swiftshader_icd.json",
    ROOT / "build/swiftshader/usr/lib/chromium/vk_swiftshader_icd.json",
    Path("/usr/lib/chromium/vk_swiftshader_icd.json"),
)

Vector = tuple[float, float, float]


def graphics_environment() -> dict[str, str]:
    """The environment in which splat-transform finds a Vulkan driver, the user's own if one is named."""
    if "VK_ICD_FILENAMES" in os.environ or "VK_DRIVER_FILES" in os.environ:
        return dict(os.environ)
    for driver in DRIVERS:
        if driver.exists():
            libraries = f"{driver.parent}:{os.environ.get('LD_LIBRARY_PATH', '')}"
            return {**os.environ, "VK_ICD_FILENAMES": str(driver), "LD_LIBRARY_PATH": libraries}
    pytest.skip("there is no Vulkan driver for the CPU: make node unpacks SwiftShader, or set VK_ICD_FILENAMES")


def their_image(scene: Path, out: Path, position: Vector, target: Vector, up: Vector, view: Camera) -> Tensor:
    """(H, W, 3) in [0, 1] as splat-transform draws `scene` from `view`, whose vectors are given in the file's axes."""
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not COMMAND.exists():
        pytest.skip("splat-transform is not installed: make node")

    def turned(vector: Vector) -> str:
        return f"{-vector[0]!r},{-vector[1]!r},{vector[2]!r}"

    fov_y = 2 * math.atan(view.height / (2 * view.fy))
    finished = subprocess.run(
        [
            "node", str(COMMAND), "--overwrite", "--quiet", f"--camera-pos={turned(position)}",
            f"--camera-target={turned(target)}",
            f"--camera-up={turned(up)}", f"--camera-fov={math.degrees(fov_y)!r}",
            f"--resolution={view.width}x{view.height}", "--background=0,0,0,1",
            str(scene), str(out),
        ],
        env=graphics_environment(), capture_output=True, text=True, timeout=PATIENCE,
    )  # fmt: skip
    assert finished.returncode == 0, finished.stderr + finished.stdout
    return torch.from_numpy(np.array(Image.open(out).convert("RGB"))).float() / 255


def psnr(found: Tensor, expected: Tensor) -> float:
    return -10 * math.log10(float((found.clamp(0, 1) - expected.clamp(0, 1)).square().mean()))


def their_falloff(power: Tensor) -> Tensor:
    """PlayCanvas lowers every Gaussian by its value at three standard deviations, where it ends."""
    return (power.exp() - math.exp(-4.5)).clamp(min=0)


def test_splat_transform_draws_the_reference_with_its_own_falloff(tmp_path: Path) -> None:
    """All but a Gaussian's edge is as in the reference: order, projection, colours, blending, background."""
    gaussians = surfaces(800, seed=90)
    gaussians = replace(gaussians, scales=gaussians.scales.clamp(max=-1.5))  # they shrink what is as large as the image
    scene = tmp_path / "surfaces.ply"
    formats.write(gaussians, scene)
    position, target, up = (0.5, -0.3, -0.5), (0.0, 0.2, 6.0), (0.1, -1.0, 0.0)
    view = look_at(position, target, up, math.radians(50), 80, 60)
    theirs = their_image(scene, tmp_path / "view.webp", position, target, up, view)
    reference = render_reference(in_double(gaussians), view, falloff=their_falloff).image
    ours = render(gaussians, view).image
    # They round to 8 bits, which alone gives 59 dB, and end a pixel one Gaussian later than 3DGS.
    assert psnr(theirs, reference) > 50
    assert psnr(theirs, ours) > 33


@pytest.mark.parametrize("number", [0, *(pytest.param(number, marks=pytest.mark.long) for number in (24, 40))])
def test_splat_transform_draws_a_real_scene_as_we_do(number: int, tmp_path: Path) -> None:
    """On a trained scene the different edges of Gaussians leave 36 to 38 dB, wrong view-dependent colours 25."""
    if not FOX.exists():
        pytest.skip("the shared data are not here: ../shared/data/scenes/fox_opensplat.ply")
    taken = json.loads(FOX.with_suffix(".cameras.json").read_text())[number]
    rotation = torch.tensor(taken["rotation"], dtype=torch.float64)  # columns: the camera's axes in the world
    position = torch.tensor(taken["position"], dtype=torch.float64)
    assert torch.allclose(rotation @ rotation.T, torch.eye(3, dtype=torch.float64), atol=1e-5)
    vectors = [tuple(vector.tolist()) for vector in (position, position + rotation[:, 2], -rotation[:, 1])]
    view = look_at(*vectors, math.radians(50), 270, 480)
    theirs = their_image(FOX, tmp_path / "view.webp", *vectors, view)
    gaussians = formats.read(FOX)
    assert psnr(theirs, render(gaussians, view).image) > 35
    assert psnr(theirs, render(replace(gaussians, shN=-gaussians.shN), view).image) < 30
