"""`render`: Gaussians and a camera to an image, differentiable.

One autograd function wraps the CPU kernels. It works on the packed layout; `render` packs `Gaussians` on the way in, so
that gradients reach the six tensors, and takes `PackedGaussians` as they are, which is what training does.
"""

from __future__ import annotations

from typing import Any, get_args

import numpy as np
import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.cpu import rasterizer
from leansplat.engines.cpu.packed import PackedGaussians, pack
from leansplat.engines.cpu.rasterizer import Pass
from leansplat.engines.engine import BLACK, Background, Depth, Rendering
from leansplat.engines.statistics import ViewStatistics
from leansplat.gaussians import Gaussians


def render(
    gaussians: Gaussians | PackedGaussians,
    camera: Camera,
    *,
    background: Background | Tensor = BLACK,
    sh_degree: int | None = None,
    statistics: ViewStatistics | None = None,
    mask: Tensor | None = None,
    depth: Depth | None = None,
) -> Rendering:
    """Render a scene, as 3DGS does: sorted by depth and blended front to back.

    Differentiable with respect to the six tensors of `Gaussians`, or `data` of `PackedGaussians`, through `image` and
    `alpha`. Gaussians behind the near plane or too faint to draw are left out, with zero gradient, as are those with
    NaN or an infinity that means nothing; an opacity of +inf is opaque, one of -inf transparent, a scale of -inf flat.

    Args:
        gaussians: the scene; pack it once (`render.pack`) to render it many times.
        background: colour behind the scene, in [0, 1].
        sh_degree: highest spherical harmonics degree to evaluate; by default all that are stored.
        statistics: updated in place: the views, radii and weights now, the gradients by the backward pass.
        mask: (H, W) bool, the pixels whose weights count in `statistics`; all by default. The image is whole.
        depth: which depth to render too, "expected" or "median"; see `Rendering`.

    Raises:
        ValueError: there is no such depth, `sh_degree` is above what is stored, or `statistics` are for another number
            of Gaussians.

    Example:
        >>> rendering = render(gaussians, camera)
        >>> rendering.image.shape
        torch.Size([480, 640, 3])
    """
    packed = gaussians if isinstance(gaussians, PackedGaussians) else pack(gaussians)
    degree = packed.sh_degree if sh_degree is None else sh_degree
    if not 0 <= degree <= packed.sh_degree:
        raise ValueError(f"sh_degree is {degree}; the scene has degrees 0 to {packed.sh_degree}")
    if statistics is not None and statistics.views_seen.shape[0] != packed.count:
        raise ValueError(f"statistics of {statistics.views_seen.shape[0]} Gaussians given for {packed.count}")
    if depth is not None and depth not in get_args(Depth):
        raise ValueError(f"depth is {depth!r}; it is 'expected' or 'median'")
    image, alpha, depths = _Render.apply(packed.data, packed, camera, background, degree, statistics, mask, depth)
    return Rendering(image.permute(1, 2, 0), alpha, depths)


def forward(
    packed: PackedGaussians,
    camera: Camera,
    background: Background | Tensor,
    sh_degree: int | None = None,
    statistics: ViewStatistics | None = None,
) -> Pass:
    """The forward pass of a packed scene, outside autograd; arguments as `render` takes them."""
    return rasterizer.forward(
        packed.data.detach().numpy(),
        packed.count,
        camera.relative_to(packed.origin),
        np.asarray(background, np.float32).reshape(3),
        packed.sh_degree if sh_degree is None else sh_degree,
        packed.antialiased,
        statistics.views_seen.numpy() if statistics is not None else None,
        statistics.max_radius.numpy() if statistics is not None else None,
    )


class _Render(torch.autograd.Function):
    """Packed parameters to a planar image (3, H, W), alpha (H, W), and depth (H, W) if asked for."""

    @staticmethod
    def forward(
        ctx: Any,
        data: Tensor,
        packed: PackedGaussians,
        camera: Camera,
        background: Background | Tensor,
        sh_degree: int,
        statistics: ViewStatistics | None,
        mask: Tensor | None,
        depth: Depth | None,
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        rendered = forward(packed, camera, background, sh_degree, statistics)
        if statistics is not None and statistics.weight_sum is not None and statistics.weight_max is not None:
            kept = rasterizer.ALL_PIXELS if mask is None else mask.contiguous().numpy()
            sums, maxima = statistics.weight_sum.numpy(), statistics.weight_max.numpy()
            rasterizer.add_blending_weights(rendered, sums, maxima, kept)
        image, alpha = torch.from_numpy(rendered.image), torch.from_numpy(1.0 - rendered.transmittance)
        depths = None
        if depth is not None:
            expected, median = rasterizer.depths(rendered)
            depths = torch.from_numpy(expected if depth == "expected" else median)
            ctx.mark_non_differentiable(depths)
        if ctx.needs_input_grad[0]:
            ctx.rendered = rendered
            ctx.statistics = statistics
            # Kept so that autograd notices when one of them is changed in place before the backward pass needs it.
            ctx.save_for_backward(data, image)
        ctx.set_materialize_grads(False)
        return image, alpha, depths

    @staticmethod
    def backward(
        ctx: Any, image_gradient: Tensor | None, alpha_gradient: Tensor | None, _depth_gradient: Tensor | None
    ) -> tuple[Tensor | None, ...]:
        _ = ctx.saved_tensors
        rendered, statistics = ctx.rendered, ctx.statistics
        if image_gradient is None and alpha_gradient is None:
            return (None,) * 8
        if image_gradient is None:
            image_gradient = torch.zeros(rendered.image.shape)
        gradient = rasterizer.backward(
            rendered,
            image_gradient.contiguous().numpy(),
            alpha_gradient.contiguous().numpy() if alpha_gradient is not None else None,
            statistics.gradient_sum.numpy() if statistics is not None else None,
        )
        return torch.from_numpy(gradient), *(None,) * 7
