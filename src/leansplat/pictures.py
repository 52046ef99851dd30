"""Renders as PNG files: one for each view and one for its depth, or photo and renders side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, View
from leansplat.engines.engine import Depth
from leansplat.errors import InputError
from leansplat.files import replacing
from leansplat.gaussians import Gaussians
from leansplat.origin import warn_if_apart
from leansplat.progress import Progress

_log = logging.getLogger("leansplat")

DEPTH_STEPS = 1000
"""Steps of a depth picture in one unit of the scene: millimetres where that is a metre, as nerfstudio reads depths."""

_DEEPEST = 2**16 - 1
_GAP = 4
"""Pixels of white between pictures that stand side by side."""


def to_bytes(image: Tensor) -> Tensor:
    """(H, W, 3) uint8 of a render in [0, 1]; values outside are clamped."""
    return (image.detach().clamp(0, 1) * 255).round().to(torch.uint8)


def depth_steps(depth: Tensor) -> Tensor:
    """(H, W) int32 of a depth in scene units: `DEPTH_STEPS` in each, 0 where there is none, 65,535 at most."""
    drawn = depth > 0
    return torch.where(drawn, (depth * DEPTH_STEPS).round().clamp(1, _DEEPEST), 0).to(torch.int32)


def cut_out(view: View) -> Tensor:
    """The photo of a view, (H, W, 3) uint8; (H, W, 4) with what its mask hides transparent where it has a mask."""
    if view.mask is None:
        return view.photo
    return torch.cat([view.photo, 255 * view.mask[..., None].to(torch.uint8)], dim=2)


def write_png(image: Tensor, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an (H, W, 3) image, or one with alpha (H, W, 4), uint8 or float in [0, 1]; or (H, W) int32 as 16 bits.

    Raises:
        InputError: the file exists and `overwrite` is false, or it cannot be written.
    """
    pixels = to_bytes(image) if image.dtype.is_floating_point else image
    values = pixels.cpu().contiguous().numpy()
    with replacing(path, overwrite=overwrite) as handle:
        Image.fromarray(values if values.dtype == np.uint8 else values.astype(np.uint16)).save(handle, format="PNG")


def render_views(
    gaussians: Gaussians,
    cameras: Mapping[str, Camera],
    folder: str | Path,
    *,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    depth: Depth | None = None,
    overwrite: bool = False,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> list[Path]:
    """Render a scene from some cameras into PNG files in `folder`, which is made if needed.

    Args:
        cameras: cameras by name; "left/0001.jpg" becomes `folder/left/0001.png`.
        depth: which depth to write too, "expected" or "median" (see `leansplat.render`): beside `0001.png` a
            `0001.depth.png` of 16 bits, in `DEPTH_STEPS` a unit, 0 where there is none. What is too deep for 16 bits
            gets their largest number, and a warning.
        overwrite: whether files already there may be replaced; others are left alone.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        progress: told after each view.

    Returns:
        The files written, in the order of `cameras`, a view's depth after it.

    Raises:
        InputError: two names give one file, a name leads out of the folder, or a file cannot be written.
    """
    paths = {name: Path(folder) / _relative_png(name) for name in cameras}
    if len(set(paths.values())) < len(paths):
        paths = {name: Path(folder) / _relative_png(f"{name}.png") for name in cameras}
    depths = {} if depth is None else {name: path.with_suffix(".depth.png") for name, path in paths.items()}
    written = [path for name in cameras for path in (paths[name], depths.get(name)) if path is not None]
    if len(set(written)) < len(written):
        raise InputError("a view has the name that another one's depth would get; rename its photo")
    if not overwrite:
        _refuse_existing(written)
    warn_if_apart(gaussians.means, gaussians.origin, list(cameras.values()))
    scene = engines.named(engine).renderer(gaussians)
    empty, deepest = [], 0.0
    for done, name in enumerate(cameras, start=1):
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        image, alpha, deep = scene.render(cameras[name], background, depth=depth)
        if not bool(alpha.any()):
            empty.append(name)
        write_png(image, paths[name], overwrite=overwrite)
        if deep is not None:
            deepest = max(deepest, float(deep.max()))
            write_png(depth_steps(deep), depths[name], overwrite=overwrite)
        if progress is not None:
            progress(done, len(cameras), {})
    if empty:
        _log.warning(
            "%d of %d views show nothing of the scene (first: %s); check that the cameras and "
            "the scene are in one frame",
            len(empty),
            len(cameras),
            empty[0],
        )
    if deepest * DEPTH_STEPS > _DEEPEST:
        _log.warning(
            "depths reach %.4g; those beyond %.4g are written as that, which is the most that 16 bits hold at "
            "%d steps per unit",
            deepest,
            _DEEPEST / DEPTH_STEPS,
            DEPTH_STEPS,
        )
    return written


def side_by_side(capture: Capture, scenes: Sequence[Gaussians], *, most: int = 4) -> Tensor:
    """(H, W, 3) uint8: up to `most` test views, evenly chosen, a row each: the photo, then a render of every scene.

    What a mask hides of a photo is shown at a quarter of its brightness.
    """
    views = capture.test[:: max(1, -(-len(capture.test) // most))]
    renderers = [engines.named("cpu").renderer(scene) for scene in scenes]
    rows = []
    for view in views:
        renders = [scene.render(view.camera, capture.background).image for scene in renderers]
        rows.append(_join([_shown(view), *(to_bytes(image) for image in renders)], dim=1))
    return _join(rows, dim=0)


def _shown(view: View) -> Tensor:
    """The photo of a view, dark where a mask hides it."""
    return view.photo if view.mask is None else torch.where(view.mask[..., None], view.photo, view.photo // 4)


def _join(pictures: Sequence[Tensor], dim: int) -> Tensor:
    """Pictures next to each other along `dim`, white between them and at the end of shorter ones."""
    across = max(picture.shape[1 - dim] for picture in pictures)
    length = sum(picture.shape[dim] for picture in pictures) + _GAP * (len(pictures) - 1)
    canvas = torch.full((across, length, 3) if dim == 1 else (length, across, 3), 255, dtype=torch.uint8)
    start = 0
    for picture in pictures:
        place = canvas.narrow(dim, start, picture.shape[dim]).narrow(1 - dim, 0, picture.shape[1 - dim])
        place.copy_(picture)
        start += picture.shape[dim] + _GAP
    return canvas


def _relative_png(name: str) -> Path:
    path = PurePosixPath(name)
    if path.is_absolute() or ".." in path.parts:
        raise InputError(f"view {name!r} leads out of the output folder; rename its photo")
    return Path(path.with_suffix(".png"))


def _refuse_existing(paths: Iterable[Path]) -> None:
    for path in paths:
        if path.exists():
            raise InputError(f"{path} already exists; pass --overwrite (overwrite=True) or choose another folder")
