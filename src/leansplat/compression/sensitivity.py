"""How sensitive images are to the parameters of each Gaussian: which of them may be rounded or shared, and which not.

    S(p) = 1 / (sum of P_v) * sum over views v of |dE_v / dp|

with E_v the sum of all values of image v and P_v its pixels: Niedermayr et al. 2024, Eq. 4, of the pixels that no mask
hides. One backward pass a view, no photo needed. p goes through the colour coefficients and the six entries of the
covariance normalised by its trace.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.compression.covariance import log_size
from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.covariance_backward import COVARIANCE_ROWS
from leansplat.engines.cpu.packed import SCALES, SH0, PackedGaussians, unpack_rows
from leansplat.progress import Progress


@dataclass(frozen=True)
class Sensitivity:
    """S of the parameters of N Gaussians; zero where no view shows them.

    Args:
        colors: (N, 3 K) float32, of `sh0` and `shN`, coefficient by coefficient.
        covariances: (N, 6) float32, of the entries xx, xy, xz, yy, yz, zz of the normalised covariance.
    """

    colors: Tensor
    covariances: Tensor

    def __getitem__(self, rows: Tensor) -> Sensitivity:
        """That of the Gaussians at a mask (N,) or at indices (M,)."""
        return Sensitivity(self.colors[rows], self.covariances[rows])

    @property
    def of_color(self) -> Tensor:
        """(N,) that of a Gaussian's colour: the largest of its coefficients'."""
        return self.colors.amax(dim=1)

    @property
    def of_shape(self) -> Tensor:
        """(N,) that of a Gaussian's shape: the largest of its normalised covariance's entries'."""
        return self.covariances.amax(dim=1)


def sensitivity(
    packed: PackedGaussians,
    cameras: Sequence[Camera],
    background: tuple[float, float, float],
    progress: Progress | None = None,
    *,
    masks: Sequence[Tensor | None] | None = None,
) -> Sensitivity:
    """Sensitivity of the images of at least one camera.

    Args:
        packed: the scene of N Gaussians.
        background: (r, g, b) it is rendered on.
        progress: told after each camera, of "gaussians" only.
        masks: of each camera's photo, (H, W) bool, true where a pixel counts, or None where all do.
    """
    masks = [None] * len(cameras) if masks is None else masks
    data = packed.data.detach()
    sums = torch.zeros_like(data)
    pixels = 0
    for done, (camera, mask) in enumerate(zip(cameras, masks, strict=True), start=1):
        rendered = rasterizer.forward(
            data.numpy(),
            packed.count,
            camera.relative_to(packed.origin),
            np.array(background, np.float32),
            packed.sh_degree,
            packed.antialiased,
        )
        counted = torch.ones(camera.height, camera.width) if mask is None else mask.to(torch.float32)
        gradient = rasterizer.covariance_gradient(rendered, counted.expand(3, -1, -1).contiguous().numpy())
        sums += torch.from_numpy(gradient).abs_()
        pixels += int(counted.count_nonzero())
        if progress is not None:
            progress(done, len(cameras), {"gaussians": packed.count})
    rows = unpack_rows(sums, packed.count) / pixels
    # Sigma = trace * normalised, and the trace counts as a parameter of its own.
    trace = (2 * log_size(packed.attribute(SCALES).detach())).exp()
    return Sensitivity(rows[:, SH0.start :].contiguous(), rows[:, :COVARIANCE_ROWS] * trace[:, None])
