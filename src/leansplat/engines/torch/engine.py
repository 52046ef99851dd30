"""The torch engine: a device and a rasteriser, for scenes that are trained and for those that are only rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.batch import mean_of
from leansplat.engines.engine import BLACK, Background, Depth, Engine, Facts, Moments, Rendering
from leansplat.engines.sensitivity import Sensitivity
from leansplat.engines.shared import SharedGaussians
from leansplat.engines.torch.loss import photometric_loss
from leansplat.engines.torch.memory import memory_of
from leansplat.engines.torch.model import TorchModel, TorchRenderer, rendering
from leansplat.engines.torch.projection import rotation_matrices
from leansplat.engines.torch.rasterizer import Rasteriser, rasterise
from leansplat.engines.torch.targets import Targets
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.progress import Progress

_ROWS, _COLUMNS = (0, 0, 0, 1, 1, 2), (0, 1, 2, 1, 2, 2)
"""Places of a covariance's entries xx, xy, xz, yy, yz, zz."""


class TorchEngine:
    """See `engines.engine.Engine`.

    Args:
        name: what it is called.
        rasterise: what draws.
        device: where the tensors are.
        probing: whether the effects of removal are estimated through the rasteriser, where they would take too long to
            be summed exactly.
    """

    def __init__(
        self, name: str, rasterise: Rasteriser, device: torch.device | str = "cpu", *, probing: bool = False
    ) -> None:
        self.name = name
        self._rasterise = rasterise
        self._device = torch.device(device)
        self._targets = Targets(self._device)
        self._probing = probing

    def check(self) -> None:
        pass

    def begin(self, gaussians: Gaussians, rates: Mapping[str, float], moments: Moments | None = None) -> TorchModel:
        scene = self._own(gaussians)
        if moments is None:
            held = Moments(_zeros_like(scene), _zeros_like(scene), 0)
        else:
            held = Moments(self._own(moments.first), self._own(moments.second), moments.steps)
        return TorchModel(self.name, self._rasterise, scene, held, rates, self._targets, probing=self._probing)

    def layout(self, facts: Facts) -> Mapping[str, tuple[str, Sequence[int]]]:
        count, coefficients = facts.count, (facts.sh_degree + 1) ** 2
        shapes = {
            "means": [count, 3],
            "quats": [count, 4],
            "scales": [count, 3],
            "opacities": [count],
            "sh0": [count, 1, 3],
            "shN": [count, coefficients - 1, 3],
        }
        parts = ("", "first_moment.", "second_moment.")
        return {f"{part}{name}": ("F32", shape) for part in parts for name, shape in shapes.items()}

    def load(self, tensors: Mapping[str, Tensor], facts: Facts, rates: Mapping[str, float]) -> TorchModel:
        def part(prefix: str) -> Gaussians:
            found: dict[str, Any] = {name: tensors[f"{prefix}{name}"].to(self._device) for name in TENSOR_NAMES}
            return Gaussians(**found, antialiased=facts.antialiased, origin=facts.origin)

        moments = Moments(part("first_moment."), part("second_moment."), facts.steps)
        return TorchModel(self.name, self._rasterise, part(""), moments, rates, self._targets, probing=self._probing)

    def renderer(self, gaussians: Gaussians) -> TorchRenderer:
        return TorchRenderer(self._own(gaussians), self._rasterise)

    def render(
        self,
        scene: Gaussians | SharedGaussians,
        camera: Camera,
        *,
        background: Background = BLACK,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        moved = scene.to(self._device)
        gaussians = moved.copied() if isinstance(moved, SharedGaussians) else moved
        with memory_of(len(gaussians), camera, trained=True):
            return rendering(self._rasterise, gaussians, camera, background, sh_degree, depth)

    def mean_loss(
        self, scene: Gaussians | SharedGaussians, views: Sequence[View], background: Background, ssim_weight: float
    ) -> tuple[Tensor, list[float]]:
        moved = scene.to(self._device)
        gaussians = moved.copied() if isinstance(moved, SharedGaussians) else moved
        losses = []
        for view in views:
            image = self.render(gaussians, view.camera, background=background).image
            photo, mask = self._targets.photo(view), self._targets.mask(view)
            losses.append(photometric_loss(image, photo, ssim_weight, mask))
        return mean_of(losses)

    def sensitivity(
        self,
        gaussians: Gaussians,
        cameras: Sequence[Camera],
        background: Background,
        masks: Sequence[Tensor | None] | None = None,
        progress: Progress | None = None,
    ) -> Sensitivity:
        scene = self._own(gaussians)
        masks = [None] * len(cameras) if masks is None else masks
        axes = rotation_matrices(scene.quats) * scene.scales.exp()[:, None]
        entries = (axes @ axes.mT)[:, _ROWS, _COLUMNS].requires_grad_()
        covariances = torch.zeros(len(scene), 3, 3, device=self._device)
        covariances[:, _ROWS, _COLUMNS] = entries
        covariances[:, _COLUMNS, _ROWS] = entries
        colors = torch.cat([scene.sh0, scene.shN], dim=1).requires_grad_()
        scene = replace(scene, sh0=colors[:, :1], shN=colors[:, 1:])
        behind = torch.tensor(background, dtype=torch.float32, device=self._device)
        of_colors, of_entries, pixels = torch.zeros_like(colors), torch.zeros_like(entries), 0
        for done, (camera, mask) in enumerate(zip(cameras, masks, strict=True), start=1):
            view = camera.relative_to(scene.origin)
            with memory_of(len(scene), camera, trained=True):
                image = self._rasterise(scene, view, behind, scene.sh_degree, covariances).image
                counted = torch.ones_like(image[..., 0]) if mask is None else mask.to(image)
                total = (image * counted[..., None]).sum()
                by_colors, by_entries = torch.autograd.grad(
                    total, [colors, entries], retain_graph=True, materialize_grads=True
                )
            of_colors += by_colors.abs()
            of_entries += by_entries.abs()
            pixels += camera.width * camera.height if mask is None else int(mask.count_nonzero())
            if progress is not None:
                progress(done, len(cameras), {"gaussians": len(scene)})
        # Sigma = trace * normalised, and the trace counts as a parameter of its own.
        trace = (2 * scene.scales).logsumexp(dim=1).exp()
        return Sensitivity((of_colors / pixels).flatten(1).cpu(), (of_entries * trace[:, None] / pixels).cpu())

    def _own(self, gaussians: Gaussians) -> Gaussians:
        """A copy of a scene as float32 on the device, without extras and comments."""
        copies: dict[str, Any] = {
            name: getattr(gaussians, name).detach().to(self._device, torch.float32, copy=True) for name in TENSOR_NAMES
        }
        return Gaussians(**copies, antialiased=gaussians.antialiased, origin=gaussians.origin)


def _zeros_like(scene: Gaussians) -> Gaussians:
    zeros: dict[str, Any] = {name: torch.zeros_like(getattr(scene, name)) for name in TENSOR_NAMES}
    return replace(scene, **zeros)


ENGINE: Engine = TorchEngine("torch", rasterise)
