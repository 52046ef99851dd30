"""The CPU engine: `CpuModel` for scenes that are trained, and packed scenes for those that are only rendered."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.engines.batch import mean_of
from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.covariance_backward import COVARIANCE_ROWS
from leansplat.engines.cpu.model import CpuModel, row_rates
from leansplat.engines.cpu.packed import LANES, SCALES, SH0, PackedGaussians, pack, unpack_rows
from leansplat.engines.cpu.rendering import forward, render
from leansplat.engines.engine import BLACK, Background, Depth, Engine, Facts, Moments, Rendering
from leansplat.engines.sensitivity import Sensitivity
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import Gaussians
from leansplat.metrics.loss import photometric_loss
from leansplat.progress import Progress


class CpuEngine:
    """See `engines.engine.Engine`."""

    name = "cpu"

    def check(self) -> None:
        pass

    def begin(self, gaussians: Gaussians, rates: Mapping[str, float], moments: Moments | None = None) -> CpuModel:
        packed = pack(gaussians.detach())
        if moments is None:
            first, second, steps = packed.zeros(), packed.zeros(), 0
        else:
            first, second, steps = pack(moments.first).data, pack(moments.second).data, moments.steps
        return CpuModel(packed, first, second, row_rates(rates, packed.data.shape[1]), steps)

    def layout(self, facts: Facts) -> Mapping[str, tuple[str, Sequence[int]]]:
        shape = [-(-facts.count // LANES), SH0.start + 3 * (facts.sh_degree + 1) ** 2, LANES]
        return dict.fromkeys(("data", "first_moment", "second_moment"), ("F32", shape))

    def load(self, tensors: Mapping[str, Tensor], facts: Facts, rates: Mapping[str, float]) -> CpuModel:
        packed = PackedGaussians(tensors["data"], facts.count, facts.antialiased, facts.origin)
        first, second = tensors["first_moment"], tensors["second_moment"]
        return CpuModel(packed, first, second, row_rates(rates, packed.data.shape[1]), facts.steps)

    def renderer(self, gaussians: Gaussians) -> PackedRenderer:
        return PackedRenderer(pack(gaussians.detach()))

    def render(
        self,
        scene: Gaussians | SharedGaussians,
        camera: Camera,
        *,
        background: Background = BLACK,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        return render(pack(scene), camera, background=background, sh_degree=sh_degree, depth=depth)

    def mean_loss(
        self, scene: Gaussians | SharedGaussians, views: Sequence[View], background: Background, ssim_weight: float
    ) -> tuple[Tensor, list[float]]:
        packed = pack(scene)
        return mean_of(
            photometric_loss(
                render(packed, view.camera, background=background).image, view.photo, ssim_weight, view.mask
            )
            for view in views
        )

    def sensitivity(
        self,
        gaussians: Gaussians,
        cameras: Sequence[Camera],
        background: Background,
        masks: Sequence[Tensor | None] | None = None,
        progress: Progress | None = None,
    ) -> Sensitivity:
        packed = pack(gaussians.detach())
        masks = [None] * len(cameras) if masks is None else masks
        # Sigma = trace * normalised, and the trace counts as a parameter of its own.
        trace = (2 * packed.attribute(SCALES)).logsumexp(dim=1).exp()
        sums = packed.zeros()
        pixels = 0
        spare = rasterizer.SpareSums()
        for done, (camera, mask) in enumerate(zip(cameras, masks, strict=True), start=1):
            counted = torch.ones(camera.height, camera.width) if mask is None else mask.to(torch.float32)
            by_image = counted.expand(3, -1, -1).contiguous().numpy()
            gradient = rasterizer.covariance_gradient(forward(packed, camera, background), by_image, spare)
            sums += torch.from_numpy(gradient).abs_()
            del gradient  # as large as the scene
            pixels += int(counted.count_nonzero())
            if progress is not None:
                progress(done, len(cameras), {"gaussians": packed.count})
        sums /= pixels
        colors, covariances = (
            unpack_rows(sums[:, rows], packed.count) for rows in (slice(SH0.start, None), slice(COVARIANCE_ROWS))
        )
        return Sensitivity(colors, covariances * trace[:, None])


@dataclass(frozen=True)
class PackedRenderer:
    """See `engines.engine.Renderer`."""

    packed: PackedGaussians

    def render(
        self,
        camera: Camera,
        background: Background = BLACK,
        *,
        sh_degree: int | None = None,
        depth: Depth | None = None,
    ) -> Rendering:
        return render(self.packed, camera, background=background, sh_degree=sh_degree, depth=depth)


ENGINE: Engine = CpuEngine()
