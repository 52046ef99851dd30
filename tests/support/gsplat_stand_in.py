"""A stand-in for gsplat 1.5.3: its `rasterization`, parameter by parameter, and its `meta`, shape by shape.

It draws with our own reference rasteriser, on a CPU. What it says of gsplat are facts, which the tests compare with the
installed package where there is one.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.torch import gsplat
from leansplat.engines.torch.projection import DILATION, project, visible
from leansplat.engines.torch.rasterizer import picture
from leansplat.engines.torch.targets import Targets
from leansplat.gaussians import Gaussians
from leansplat.near_plane import NEAR

META = {
    "batch_ids", "camera_ids", "gaussian_ids", "radii", "means2d", "depths", "conics", "opacities", "tile_width",
    "tile_height", "tiles_per_gauss", "isect_ids", "flatten_ids", "isect_offsets", "width", "height", "tile_size",
    "n_batches", "n_cameras",
}  # fmt: skip
"""What gsplat puts into `meta`; the stand-in leaves out what belongs to tiles."""

_LARGEST_OPACITY = 1 - 2**-24


def rasterization(
    means: Tensor,
    quats: Tensor,
    scales: Tensor,
    opacities: Tensor,
    colors: Tensor,
    viewmats: Tensor,
    Ks: Tensor,
    width: int,
    height: int,
    near_plane: float = 0.01,
    far_plane: float = 1e10,
    radius_clip: float = 0.0,
    eps2d: float = 0.3,
    sh_degree: int | None = None,
    packed: bool = True,
    tile_size: int = 16,
    backgrounds: Tensor | None = None,
    render_mode: Literal["RGB", "D", "ED", "RGB+D", "RGB+ED"] = "RGB",
    sparse_grad: bool = False,
    absgrad: bool = False,
    rasterize_mode: Literal["classic", "antialiased"] = "classic",
    channel_chunk: int = 32,
    distributed: bool = False,
    camera_model: Literal["pinhole", "ortho", "fisheye", "ftheta"] = "pinhole",
    segmented: bool = False,
    covars: Tensor | None = None,
    with_ut: bool = False,
    with_eval3d: bool = False,
    radial_coeffs: Tensor | None = None,
    tangential_coeffs: Tensor | None = None,
    thin_prism_coeffs: Tensor | None = None,
    ftheta_coeffs: Any = None,
    rolling_shutter: Any = "GLOBAL",
    viewmats_rs: Tensor | None = None,
) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """One view of one scene. What the stand-in cannot do it refuses, and shapes are asserted as gsplat does."""
    count = len(means)
    assert count > 0
    assert means.shape == (count, 3)
    assert quats.shape == (count, 4)
    assert scales.shape == (count, 3)
    assert opacities.shape == (count,)
    assert viewmats.shape == (1, 4, 4)
    assert Ks.shape == (1, 3, 3)
    assert backgrounds is not None
    assert backgrounds.shape == (1, 3)
    assert covars is None or covars.shape == (count, 3, 3)
    assert sh_degree is not None
    assert colors.shape[0] == count
    assert colors.shape[2] == 3
    assert (sh_degree + 1) ** 2 <= colors.shape[1]
    for values in (means, quats, scales, opacities, colors, viewmats, Ks, backgrounds):
        assert values.dtype == torch.float32
    assert (eps2d, near_plane, camera_model, render_mode) == (DILATION, NEAR, "pinhole", "RGB")
    assert not any((absgrad, distributed, sparse_grad, with_ut, with_eval3d, segmented))

    # Back to logarithms, without the infinite slopes that they have where a scale or a distance to opaque is 0.
    scene = Gaussians(
        means,
        quats,
        scales.clamp(min=1e-30).log(),
        opacities.clamp(1e-30, _LARGEST_OPACITY).logit(),
        colors[:, :1],
        colors[:, 1:],
        antialiased=rasterize_mode == "antialiased",
    )
    camera = Camera(viewmats[0].double(), Ks[0].double(), width, height)
    projection = project(scene, camera, sh_degree, visible(scene, camera, sh_degree), covars)
    rows = projection.rows
    conics = torch.linalg.inv(projection.covariances.detach()).flatten(1)[:, [0, 1, 3]]
    radii = projection.half_extents().detach().ceil().clamp(min=1).to(torch.int32)
    meta: dict[str, Any] = dict.fromkeys(META)
    meta |= {"width": width, "height": height, "tile_size": tile_size, "n_batches": 1, "n_cameras": 1}
    if packed:
        zeros = torch.zeros_like(rows)
        meta |= {"batch_ids": zeros, "camera_ids": zeros, "gaussian_ids": rows, "radii": radii, "conics": conics}
        meta |= {"means2d": projection.means, "depths": projection.depths, "opacities": projection.opacities}
    else:
        spread = {
            name: values.new_zeros(count, *values.shape[1:]).index_copy(0, rows, values)[None]
            for name, values in (
                ("radii", radii),
                ("means2d", projection.means),
                ("conics", conics),
                ("depths", projection.depths),
                ("opacities", projection.opacities),
            )
        }
        meta |= spread
        # The image is made of what `meta` holds, so that it has gradients.
        projection = replace(projection, means=spread["means2d"][0, rows])
    image, alpha = picture(projection, camera, backgrounds[0])
    return image[None], alpha[None, ..., None], meta


def without_values(**named: Any) -> tuple[Tensor, Tensor, dict[str, Any]]:
    """What `rasterization` would give for tensors of the device "meta", with gradients to all of them."""
    given = {name: values for name, values in named.items() if isinstance(values, Tensor)}
    assert {values.device.type for values in given.values()} == {"meta"}
    means = named["means"]
    centres = means[:, :2] * 1
    names = ("quats", "scales", "opacities", "colors") if named["covars"] is None else ("covars", "opacities", "colors")
    drawn = centres.sum() + sum(given[name].sum() for name in names)
    image = drawn.expand(1, named["height"], named["width"], 3)
    rows = torch.arange(len(means), device=means.device)
    meta = {"means2d": centres, "conics": means.detach(), "gaussian_ids": rows}
    return image, image[..., :1], meta


@contextmanager
def in_place_of_gsplat(packed: bool = True, device: str = "cpu", *, values: bool = True) -> Iterator[None]:
    """The engine gsplat with the stand-in, as if all that it needs were there.

    Args:
        device: "cpu", or "meta", whose tensors have no values but in a `FarDevice`.
        values: whether there are any to draw with.
    """
    engine: Any = gsplat.ENGINE
    with pytest.MonkeyPatch.context() as patch:
        drawn = rasterization if values else without_values
        patch.setattr(gsplat, "rasterization", lambda: drawn)
        patch.setattr(gsplat, "missing", list)
        patch.setattr(gsplat, "load_kernels", str)
        patch.setattr(engine, "_rasterise", gsplat.GsplatRasteriser(packed))
        patch.setattr(engine, "_device", torch.device(device))
        patch.setattr(engine, "_targets", Targets(torch.device(device)))
        patch.setattr(engine, "_ready", False)
        yield
