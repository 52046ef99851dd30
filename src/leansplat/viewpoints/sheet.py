"""`contact_sheet`: what some cameras see, in one picture, and where they stand.

Beside the views stand two plans of the scene, from above and from the side, drawn with its Gaussians' own colours, with
every camera as a wedge in the direction that it looks.
"""

from __future__ import annotations

import math
import os
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from PIL import Image, ImageDraw

from leansplat import engines
from leansplat.activation import color_of, opacity_of
from leansplat.cameras import Camera
from leansplat.engines.engine import BLACK, Background
from leansplat.errors import InputError
from leansplat.files import replacing
from leansplat.gaussians import Gaussians

_WIDTH = 200
"""Pixels of a view across."""
_PLAN = 480
"""Pixels along each side of a plan."""
_SHOWN = 60_000
"""Gaussians drawn in a plan."""
_WEDGE = 14.0
"""Pixels from a camera to the end of its wedge."""
_LABEL = (255, 220, 0)
_WALL = (28, 28, 30)


def contact_sheet(
    gaussians: Gaussians,
    cameras: Mapping[str, Camera],
    path: str | os.PathLike[str],
    *,
    sureness: Sequence[float] | np.ndarray | None = None,
    up: Sequence[float] | np.ndarray | None = None,
    background: Background = BLACK,
    engine: str = "cpu",
    overwrite: bool = False,
) -> None:
    """Write a PNG with a small render of every camera, and plans of the scene with all cameras in them.

    Args:
        cameras: at least one, by the name that is written on its view.
        sureness: a number for each camera, written beside its name.
        up: (3,) world direction that the plans are laid out by; by default what is up in the cameras' pictures.

    Raises:
        InputError: there are no cameras, the file exists and `overwrite` is false, or it cannot be written.
    """
    if not cameras:
        raise InputError(f"there are no cameras to show in {path}; give at least one")
    numbers = [""] * len(cameras) if sureness is None else [f"  {value:.2f}" for value in sureness]
    views = _views(gaussians, cameras, numbers, background, engine)
    columns = max(math.ceil(math.sqrt(len(views))), math.ceil(2 * _PLAN / _WIDTH))
    height = max(view.height for view in views)
    rows = -(-len(views) // columns)
    sheet = Image.new("RGB", (columns * _WIDTH, rows * height + _PLAN), _WALL)
    for number, view in enumerate(views):
        sheet.paste(view, (number % columns * _WIDTH, number // columns * height))
    for number, plan in enumerate(_plans(gaussians, list(cameras.values()), up)):
        sheet.paste(plan, (number * _PLAN, rows * height))
    with replacing(path, overwrite=overwrite) as handle:
        sheet.save(handle, format="PNG")


def _views(
    gaussians: Gaussians, cameras: Mapping[str, Camera], numbers: Sequence[str], background: Background, engine: str
) -> list[Image.Image]:
    scene = engines.named(engine).renderer(gaussians)
    views = []
    for (name, camera), number in zip(cameras.items(), numbers, strict=True):
        small = camera.resized(_WIDTH, max(1, round(_WIDTH * camera.height / camera.width)))
        image = scene.render(small, background).image.detach().cpu().clamp(0, 1)
        view = Image.fromarray((image * 255).round().to(torch.uint8).contiguous().numpy())
        ImageDraw.Draw(view).text((4, 3), name + number, fill=_LABEL, stroke_width=1, stroke_fill=(0, 0, 0))
        views.append(view)
    return views


def _plans(
    gaussians: Gaussians, cameras: Sequence[Camera], up: Sequence[float] | np.ndarray | None
) -> list[Image.Image]:
    """The scene from above and from the side."""
    places = np.stack([camera.position.cpu().numpy() for camera in cameras])
    ahead = np.stack([camera.world_to_camera[2, :3].cpu().numpy() for camera in cameras])
    down = np.stack([camera.world_to_camera[1, :3].cpu().numpy() for camera in cameras]).mean(axis=0)
    vertical = _unit(np.asarray(up, np.float64) if up is not None else -down, np.array([0.0, -1.0, 0.0]))
    aside = _unit(np.cross(np.eye(3)[int(np.abs(vertical).argmin())], vertical), np.eye(3)[0])
    depth = np.cross(vertical, aside)
    step = -(-len(gaussians) // _SHOWN)
    scene = gaussians.detach()[::step].arrays()
    means, colours = scene.world_means(), (color_of(scene.sh0[:, 0]).clip(0, 1) * 255).astype(np.uint8)
    usable = np.isfinite(means).all(axis=1) & (opacity_of(scene.opacities) > 0.1)
    means, colours = means[usable], colours[usable]
    middle = np.median(places, axis=0)
    reach = 1.3 * float(np.quantile(np.linalg.norm(places - middle, axis=1), 0.95))
    if len(means):
        nearest = np.sort(np.linalg.norm(means - middle, axis=1))
        reach = max(reach, float(nearest[len(nearest) // 2]))
    plans = []
    for axes, hidden, title in (
        ((aside, depth), -vertical, "from above"),
        ((aside, -vertical), depth, "from the side"),
    ):
        order = np.argsort(-(means @ hidden), kind="stable")
        plans.append(_plan(means[order], colours[order], places, ahead, np.stack(axes), middle, reach, title))
    return plans


def _plan(
    means: np.ndarray,
    colours: np.ndarray,
    places: np.ndarray,
    ahead: np.ndarray,
    axes: np.ndarray,
    middle: np.ndarray,
    reach: float,
    title: str,
) -> Image.Image:
    scale = _PLAN / 2 / max(reach, 1e-12)
    pixels = (means - middle) @ axes.T * scale + _PLAN / 2
    inside = ((pixels >= 0) & (pixels < _PLAN)).all(axis=1)
    canvas = np.full((_PLAN, _PLAN, 3), _WALL, np.uint8)
    columns, rows = pixels[inside].astype(np.int64).T
    canvas[rows, columns] = colours[inside]
    plan = Image.fromarray(canvas)
    draw = ImageDraw.Draw(plan)
    for place, forward in zip((places - middle) @ axes.T * scale + _PLAN / 2, ahead @ axes.T, strict=True):
        across = np.array([-forward[1], forward[0]])
        corners = [place, place + _WEDGE * (forward + across / 2), place + _WEDGE * (forward - across / 2)]
        draw.polygon([tuple(corner) for corner in corners], outline=_LABEL)
    draw.text((6, 4), title, fill=_LABEL)
    return plan


def _unit(vector: np.ndarray, otherwise: np.ndarray) -> np.ndarray:
    length = float(np.linalg.norm(vector))
    return vector / length if length > 1e-9 else otherwise
