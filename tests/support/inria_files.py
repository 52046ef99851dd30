"""Files of 3DGS made for tests: checkpoints with an Adam that really stepped, entries of cameras.json."""

from __future__ import annotations

import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.gaussians import Gaussians

EXTENT = 2.5
RATES = {
    "xyz": 1.6e-6 * EXTENT,
    "f_dc": 0.003,
    "f_rest": 0.0002,
    "opacity": 0.025,
    "scaling": 0.006,
    "rotation": 0.0015,
}
"""In the order of the optimiser's groups, which is not that of the file."""

ENTRIES = ["active_sh_degree", "xyz", "f_dc", "f_rest", "scaling", "rotation", "opacity"]
ENTRIES += ["max_radii2D", "xyz_gradient_accum", "denom", "optimizer", "spatial_lr_scale"]


def random_scene(count: int = 37, degree: int = 3) -> Gaussians:
    generator = torch.Generator().manual_seed(4)
    shapes = ((3,), (4,), (3,), (), (1, 3), ((degree + 1) ** 2 - 1, 3))
    return Gaussians(*(torch.randn(count, *shape, generator=generator) for shape in shapes))


def by_their_names(gaussians: Gaussians) -> dict[str, Tensor]:
    return {
        "xyz": gaussians.means,
        "f_dc": gaussians.sh0,
        "f_rest": gaussians.shN,
        "opacity": gaussians.opacities[:, None],
        "scaling": gaussians.scales,
        "rotation": gaussians.quats,
    }


def by_our_names(values: Mapping[str, Tensor]) -> Gaussians:
    return Gaussians(
        means=values["xyz"],
        quats=values["rotation"],
        scales=values["scaling"],
        opacities=values["opacity"][:, 0],
        sh0=values["f_dc"],
        shN=values["f_rest"],
    )


class Training:
    """A scene that PyTorch's Adam has taken some steps with, as 3DGS sets it up."""

    def __init__(self, scene: Gaussians | None = None, steps: int = 5) -> None:
        scene = scene if scene is not None else random_scene()
        values = by_their_names(scene)
        self.parameters = {name: torch.nn.Parameter(values[name].clone()) for name in RATES}
        groups = [{"params": [self.parameters[name]], "lr": rate, "name": name} for name, rate in RATES.items()]
        groups[0]["lr"] = np.float64(RATES["xyz"])  # its schedule computes with NumPy
        self.optimizer = torch.optim.Adam(groups, lr=0.0, eps=1e-15)
        self._generator = torch.Generator().manual_seed(7)
        count = len(scene)
        self.statistics = {
            "max_radii2D": torch.arange(count) + 1.5,
            "xyz_gradient_accum": (torch.arange(count) / 8)[:, None],
            "denom": (torch.arange(count) % 5)[:, None].float(),
        }
        for _ in range(steps):
            self.step(self.random_gradients())

    def random_gradients(self) -> dict[str, Tensor]:
        return {name: torch.randn(p.shape, generator=self._generator) for name, p in self.parameters.items()}

    def step(self, gradients: Mapping[str, Tensor]) -> None:
        for name, parameter in self.parameters.items():
            parameter.grad = gradients[name].clone()
        self.optimizer.step()

    def gaussians(self) -> Gaussians:
        return by_our_names({name: parameter.detach().clone() for name, parameter in self.parameters.items()})

    def capture(self, **changes: Any) -> tuple[Any, ...]:
        """The tuple that 3DGS saves, with entries of `ENTRIES` replaced by `changes`."""
        entries = {
            "active_sh_degree": 3,
            **self.parameters,
            **self.statistics,
            "optimizer": self.optimizer.state_dict(),
            "spatial_lr_scale": np.float64(EXTENT),
            **changes,
        }
        return tuple(entries[name] for name in ENTRIES)

    def save(self, path: Path, iteration: int = 30_000, **changes: Any) -> Path:
        torch.save((self.capture(**changes), iteration), path)
        return path


def rewrite_pickle(path: Path, change: Callable[[bytes], bytes], compression: int = zipfile.ZIP_STORED) -> None:
    """Replace the pickle inside a file that `torch.save` wrote."""
    with zipfile.ZipFile(path) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in entries.items():
            archive.writestr(name, change(content) if name.endswith("/data.pkl") else content)


def camera_entry(camera: Camera, name: str) -> dict[str, Any]:
    """As 3DGS writes a camera: its pose is the inverse of world-to-camera."""
    pose = torch.linalg.inv(camera.world_to_camera)
    return {
        "id": 0,
        "img_name": name,
        "width": camera.width,
        "height": camera.height,
        "position": pose[:3, 3].tolist(),
        "rotation": pose[:3, :3].tolist(),
        "fy": camera.fy,
        "fx": camera.fx,
    }
