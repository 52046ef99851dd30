"""`render`: a scene and a camera to a picture, whatever the scene comes as. The front door's renderer.

    view = leansplat.render("scene.ply", camera, depth="median")
    view.image, view.alpha, view.depth

Behind it is an engine (`leansplat.engines`), by default the CPU's.
"""

from __future__ import annotations

import os
from collections.abc import Sequence

from torch import Tensor

from leansplat import engines, formats
from leansplat.cameras import Camera
from leansplat.engines.engine import Depth, Renderer, Rendering
from leansplat.gaussians import Gaussians

__all__ = ["Depth", "Rendering", "prepare", "render"]


def render(
    scene: Gaussians | Renderer | str | os.PathLike[str],
    camera: Camera,
    *,
    background: Sequence[float] | Tensor = (0.0, 0.0, 0.0),
    sh_degree: int | None = None,
    depth: Depth | None = None,
    engine: str = "cpu",
) -> Rendering:
    """Render a scene from a camera, as 3DGS does: sorted by depth and blended front to back.

    The image and its alpha are differentiable in the six tensors of `Gaussians` that require gradients, on whatever
    device those are; the depth is not. What is rendered is where the engine has its tensors.

    Args:
        scene: Gaussians; a file or folder as `leansplat.read` takes it, which is read anew every time; or what
            `prepare` made of either, to render it many times.
        camera: OpenCV axes, in world units.
        background: (r, g, b) behind the scene, in [0, 1].
        sh_degree: highest degree of spherical harmonics to evaluate; by default all that are stored.
        depth: which depth to render besides. With z_i the depths of the Gaussians that draw at a pixel (of their
            centres, along the camera's axis, in world units), nearest first, alpha_i how opaque each is there, and
            T_i = (1 - alpha_1) ... (1 - alpha_(i-1)) the light that reaches it from the eye:
            "expected" is sum_i alpha_i T_i z_i / sum_i alpha_i T_i, smooth, and between surfaces where one shows
            through the other; 0 where nothing is drawn.
            "median" is z_k of the first Gaussian with T_k (1 - alpha_k) <= 1/2, always on a surface; 0 where more than
            half of the light passes through the scene.
        engine: what renders, a name in `leansplat.engines.ENGINES`; what is prepared has its own.

    Returns:
        image (H, W, 3), not clamped, alpha (H, W) in [0, 1], and depth (H, W) or None; float32.

    Raises:
        SceneFileError: the file cannot be read.
        InputError: there is no such engine.
        ValueError: the scene has no such degree, or there is no such depth.
    """
    if isinstance(scene, str | os.PathLike):
        scene = formats.read(scene)
    background = tuple(map(float, background))
    if not isinstance(scene, Gaussians):
        return scene.render(camera, background, sh_degree=sh_degree, depth=depth)
    return engines.named(engine).render(scene, camera, background=background, sh_degree=sh_degree, depth=depth)


def prepare(scene: Gaussians | str | os.PathLike[str], engine: str = "cpu") -> Renderer:
    """A scene in an engine's own layout, for `render` to take many times without converting it again.

    It is a copy, and has no gradients.

    Raises:
        SceneFileError: the file cannot be read.
        InputError: there is no such engine.
    """
    return engines.named(engine).renderer(scene if isinstance(scene, Gaussians) else formats.read(scene))
