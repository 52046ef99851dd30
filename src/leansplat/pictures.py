"""Renders as PNG files: one a view, or photo and renders side by side."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath

import torch
from PIL import Image
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import Capture, View
from leansplat.engines.cpu import render
from leansplat.engines.cpu.packed import pack
from leansplat.errors import InputError
from leansplat.files import replacing
from leansplat.gaussians import Gaussians
from leansplat.origin import warn_if_apart
from leansplat.progress import Progress

_log = logging.getLogger("leansplat")

_GAP = 4
"""Pixels of white between pictures that stand side by side."""


def to_bytes(image: Tensor) -> Tensor:
    """(H, W, 3) uint8 of a render in [0, 1]; values outside are clamped."""
    return (image.detach().clamp(0, 1) * 255).round().to(torch.uint8)


def cut_out(view: View) -> Tensor:
    """The photo of a view, (H, W, 3) uint8; (H, W, 4) with what its mask hides transparent where it has a mask."""
    if view.mask is None:
        return view.photo
    return torch.cat([view.photo, 255 * view.mask[..., None].to(torch.uint8)], dim=2)


def write_png(image: Tensor, path: str | Path, *, overwrite: bool = False) -> None:
    """Write an (H, W, 3) image, or one with alpha (H, W, 4), uint8 or float in [0, 1].

    Raises:
        InputError: the file exists and `overwrite` is false, or it cannot be written.
    """
    pixels = image if image.dtype == torch.uint8 else to_bytes(image)
    with replacing(path, overwrite=overwrite) as handle:
        Image.fromarray(pixels.contiguous().numpy()).save(handle, format="PNG")


def render_views(
    gaussians: Gaussians,
    cameras: Mapping[str, Camera],
    folder: str | Path,
    *,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    overwrite: bool = False,
    progress: Progress | None = None,
) -> list[Path]:
    """Render a scene from some cameras into PNG files in `folder`, which is made if needed.

    Args:
        cameras: cameras by name; "left/0001.jpg" becomes `folder/left/0001.png`.
        overwrite: whether files already there may be replaced; others are left alone.
        progress: told after each view.

    Returns:
        The files written, in the order of `cameras`.

    Raises:
        InputError: two names give one file, a name leads out of the folder, or a file cannot be written.
    """
    paths = {name: Path(folder) / _relative_png(name) for name in cameras}
    if len(set(paths.values())) < len(paths):
        paths = {name: Path(folder) / _relative_png(f"{name}.png") for name in cameras}
    if not overwrite:
        _refuse_existing(paths.values())
    warn_if_apart(gaussians.means, gaussians.origin, list(cameras.values()))
    packed = pack(gaussians.detach())
    empty = []
    for done, name in enumerate(cameras, start=1):
        paths[name].parent.mkdir(parents=True, exist_ok=True)
        with torch.inference_mode():
            image, alpha, _ = render(packed, cameras[name], background=background)
        if not bool(alpha.any()):
            empty.append(name)
        write_png(image, paths[name], overwrite=overwrite)
        if progress is not None:
            progress(done, len(cameras), {})
    if empty:
        _log.warning(
            "%d of %d views show nothing of the scene (first: %s); check that their cameras and it are in one frame",
            len(empty),
            len(cameras),
            empty[0],
        )
    return list(paths.values())


def side_by_side(capture: Capture, scenes: Sequence[Gaussians], *, most: int = 4) -> Tensor:
    """(H, W, 3) uint8: up to `most` test views, evenly chosen, a row each: the photo, then a render of every scene.

    What a mask hides of a photo is shown at a quarter of its brightness.
    """
    views = capture.test[:: max(1, -(-len(capture.test) // most))]
    packed = [pack(scene.detach()) for scene in scenes]
    rows = []
    with torch.inference_mode():
        for view in views:
            renders = [render(scene, view.camera, background=capture.background).image for scene in packed]
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
