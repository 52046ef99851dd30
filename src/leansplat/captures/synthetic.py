"""The built-in capture: photos of the synthetic still life, ray-traced here, so that a first run needs no download.

Rays of a square of pixels are traced together as NumPy arrays; before that, objects whose bounding ball the square
cannot see, or whose shadow cannot fall on it, are left out, which is what makes NumPy fast enough. Each of the samples
of a pixel looks at another spot of the lamp, so soft shadows cost nothing extra.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import torch

from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import Capture, Points, View, every_eighth
from leansplat.captures.synthetic_scene import Item, still_life
from leansplat.captures.synthetic_shapes import Array
from leansplat.errors import InputError
from leansplat.seeds import check_seed

# Samples along each side of a pixel, and pixels along each side of the square that is traced at once.
SAMPLES = 3
SQUARE = 64

# The scene is z up; captures follow COLMAP and the viewers of 3DGS, whose up is -y.
TO_WORLD = np.array([[1, 0, 0], [0, 0, -1], [0, 1, 0]], dtype=np.float64)

FIELD_OF_VIEW = math.radians(45.0)
DISTANCE = 4.8
ELEVATIONS = (math.radians(20.0), math.radians(38.0), math.radians(60.0))
LOOK_AT = (0.0, -0.05, 0.1)

LAMP_DIRECTION = np.array([-0.50, -0.55, 0.80], dtype=np.float32) / np.float32(math.sqrt(0.50**2 + 0.55**2 + 0.80**2))
LAMP_SPREAD = 0.09
LAMP_COLOR = np.array([[2.9], [2.6], [2.2]], dtype=np.float32)
SKY_COLOR = np.array([[0.42], [0.52], [0.70]], dtype=np.float32)
GROUND_COLOR = np.array([[0.28], [0.22], [0.17]], dtype=np.float32)
# Start of a shadow ray above the surface, against hits of the surface itself in single precision.
LIFT = 3e-3
# Items that hide less than this share of the surroundings are taken to hide nothing.
FAINTEST_OCCLUSION = 0.04

POINT_COUNT = 4000
POINT_POSITION_NOISE = 0.004
POINT_COLOR_NOISE = 0.02


def synthetic_capture(views: int = 60, size: int = 256, seed: int = 0) -> Capture:
    """Photos of a small procedural scene, with cameras on three rings that look inward, on a black background.

    Args:
        views: number of photos, at least 2; every 8th is a test view.
        size: width and height of a photo in pixels.
        seed: chooses the jitter of the cameras, details of patterns, and the points.

    Returns:
        A capture with about 4,000 `points`: spots on surfaces that training views see, with their colour without
        highlights, both slightly noisy, as structure from motion would find them. World up is -y, the table has a
        radius of 2.3. The same arguments give the same bits on the same kind of processor.

    Raises:
        InputError: `views` or `size` is too small, or the seed none.
    """
    if views < 2 or size < 1:
        raise InputError(f"A synthetic capture needs at least 2 views of 1 pixel, not {views} of {size}; ask for more.")
    check_seed(seed)
    items = still_life(seed)
    names = [f"view_{number:03d}.png" for number in range(views)]
    cameras = _cameras(views, size, seed)
    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:
        photos = list(pool.map(lambda camera: _photo(items, camera), cameras))
    every = [View(name, camera, photo) for name, camera, photo in zip(names, cameras, photos, strict=True)]
    held_out = every_eighth(names)
    train = tuple(view for view in every if view.name not in held_out)
    test = tuple(view for view in every if view.name in held_out)
    return Capture("synthetic", train, test, _points(items, train, seed))


def _cameras(views: int, size: int, seed: int) -> list[Camera]:
    """Cameras that take turns on the rings, so that the views held out are spread over all of them."""
    random = np.random.default_rng([seed, 1])
    per_ring = math.ceil(views / len(ELEVATIONS))
    cameras = []
    for number in range(views):
        step, ring = divmod(number, len(ELEVATIONS))
        shift = random.uniform(-1.0, 1.0, size=6)
        azimuth = 2 * math.pi * (step + ring / len(ELEVATIONS) + 0.25 * shift[0]) / per_ring
        elevation = ELEVATIONS[ring] + math.radians(3.0) * shift[1]
        distance = DISTANCE * (1.0 + 0.05 * shift[2])
        target = np.array(LOOK_AT) + 0.08 * shift[3:]
        outward = np.array(
            [math.cos(azimuth) * math.cos(elevation), math.sin(azimuth) * math.cos(elevation), math.sin(elevation)]
        )
        position = np.array(LOOK_AT) + distance * outward
        up = TO_WORLD @ np.array([0.0, 0.0, 1.0])
        cameras.append(look_at(list(TO_WORLD @ position), list(TO_WORLD @ target), list(up), FIELD_OF_VIEW, size, size))
    return cameras


def _photo(items: tuple[Item, ...], camera: Camera) -> torch.Tensor:
    """(H, W, 3) uint8."""
    image = np.zeros((camera.height, camera.width, 3), dtype=np.uint8)
    lamps = _lamps()
    offset = (np.arange(SAMPLES, dtype=np.float32) + 0.5) / SAMPLES
    for top in range(0, camera.height, SQUARE):
        for left in range(0, camera.width, SQUARE):
            rows, columns = min(SQUARE, camera.height - top), min(SQUARE, camera.width - left)
            # Sample first, pixel second: the mean over the samples of a pixel is then over whole rows of memory.
            x = np.arange(left, left + columns, dtype=np.float32) + offset[None, :, None, None]
            y = np.arange(top, top + rows, dtype=np.float32)[:, None] + offset[:, None, None, None]
            eye, directions = _rays(camera, *(grid.ravel() for grid in np.broadcast_arrays(x, y)))
            light = np.zeros((3, directions.shape[1]), dtype=np.float32)
            for hits in _first_hits(items, eye, directions):
                lamp = lamps.take(hits.rays // (rows * columns), axis=1)
                matte, shine = _shaded(items, hits, directions.take(hits.rays, axis=1), lamp)
                light[:, hits.rays] = matte + shine
            mean = light.reshape(3, SAMPLES**2, rows, columns).mean(axis=1)
            pixels = np.rint(255.0 * _encoded(mean)).astype(np.uint8)
            image[top : top + rows, left : left + columns] = pixels.transpose(1, 2, 0)
    return torch.from_numpy(image)


def _points(items: tuple[Item, ...], views: tuple[View, ...], seed: int) -> Points:
    random = np.random.default_rng([seed, 2])
    lamps = _lamps()
    positions, colors = [], []
    for view in views:
        pixels = random.random(dtype=np.float32, size=(2, math.ceil(1.7 * POINT_COUNT / len(views))))
        eye, directions = _rays(view.camera, pixels[0] * view.camera.width, pixels[1] * view.camera.height)
        for hits in _first_hits(items, eye, directions):
            seen = directions.take(hits.rays, axis=1)
            matte = [_shaded(items, hits, seen, np.repeat(lamp[:, None], seen.shape[1], axis=1))[0] for lamp in lamps.T]
            positions.append(hits.points)
            colors.append(_encoded(np.mean(matte, axis=0)))
    order = random.permutation(sum(points.shape[1] for points in positions))[:POINT_COUNT]
    place = TO_WORLD @ np.concatenate(positions, axis=1)[:, order]
    place += POINT_POSITION_NOISE * random.standard_normal(place.shape)
    color = np.concatenate(colors, axis=1)[:, order]
    color = np.clip(color + POINT_COLOR_NOISE * random.standard_normal(color.shape), 0.0, 1.0)
    return Points(_rows(place), _rows(color))


@dataclass(frozen=True)
class _Hits:
    """Where some rays of a batch first meet one item: indices of the rays (M,), points (3, M), normals (3, M)."""

    item: Item
    rays: np.ndarray
    points: Array
    normals: Array

    @property
    def ball(self) -> tuple[Array, float]:
        """Centre (3,) and radius of a ball that holds the points."""
        low, high = self.points.min(axis=1), self.points.max(axis=1)
        return 0.5 * (low + high), 0.5 * float(np.linalg.norm(high - low))


def _rays(camera: Camera, x: Array, y: Array) -> tuple[Array, Array]:
    """Eye (3,) and unit directions (3, M) in scene axes through pixel positions x, y (M,)."""
    axes = (TO_WORLD.T @ camera.world_to_camera[:3, :3].numpy().T).astype(np.float32)
    right, down = (x - camera.cx) / camera.fx, (y - camera.cy) / camera.fy
    directions = np.stack([row[0] * right + row[1] * down + row[2] for row in axes])
    directions /= np.sqrt(_dot(directions, directions))
    return (TO_WORLD.T @ camera.position.numpy()).astype(np.float32), directions


def _first_hits(items: tuple[Item, ...], eye: Array, directions: Array) -> Iterator[_Hits]:
    """The items that rays from one eye meet first, each with its rays."""
    nearest = np.full(directions.shape[1], np.inf, dtype=np.float32)
    owner = np.full(directions.shape[1], -1, dtype=np.int8)
    axis = directions.mean(axis=1)
    axis /= np.linalg.norm(axis)
    spread = math.acos(min(1.0, float((axis @ directions).min())))
    for number, item in enumerate(items):
        toward = item.position - eye
        away = float(np.linalg.norm(toward))
        if away > item.shape.reach:
            off_axis = math.acos(max(-1.0, min(1.0, float(axis @ toward) / away)))
            if off_axis > spread + math.asin(item.shape.reach / away):
                continue
        length = item.shape.distance(item.inward(eye[:, None]), item.turn_inward(directions))
        np.copyto(owner, number, where=length < nearest)
        np.minimum(nearest, length, out=nearest)
    for number, item in enumerate(items):
        rays = np.flatnonzero(owner == number)
        if rays.size:
            points = eye[:, None] + nearest.take(rays) * directions.take(rays, axis=1)
            yield _Hits(item, rays, points, item.turn_outward(item.shape.normals(item.inward(points))))


def _shaded(items: tuple[Item, ...], hits: _Hits, seen: Array, lamp: Array) -> tuple[Array, Array]:
    """Linear light (3, M) that leaves hits against the directions `seen` (3, M): what all views see, and the polish.

    Lambert's law and Blinn-Phong for the lamp (directions (3, M)); a sky above and a ground below for the rest, dimmed
    by the share of the hemisphere that bounding balls of other items cover.
    """
    finish = hits.item.finish(hits.item.inward(hits.points))
    normals = hits.normals
    facing = np.maximum(_dot(normals, lamp), 0.0)
    facing *= _unshadowed(items, hits, lamp, facing)
    openness = _openness(items, hits)
    up = 0.5 + 0.5 * normals[2]
    surroundings = (GROUND_COLOR + (SKY_COLOR - GROUND_COLOR) * up) * openness
    matte = finish.diffuse * (LAMP_COLOR * facing + surroundings)

    cosine = np.maximum(-_dot(normals, seen), 0.0)
    half = lamp - seen
    half /= np.sqrt(_dot(half, half))
    highlight = np.maximum(_dot(normals, half), 0.0) ** finish.shininess * (facing > 0.0) * (0.04 * finish.shininess)
    mirrored = seen[2] + 2.0 * cosine * normals[2]
    ahead = np.clip(0.5 + 0.9 * mirrored, 0.0, 1.0)
    reflection = (GROUND_COLOR + (SKY_COLOR - GROUND_COLOR) * ahead) * openness
    fresnel = 0.35 + 0.65 * (1.0 - cosine) ** 5
    return matte, finish.specular * (LAMP_COLOR * highlight + fresnel * reflection)


def _unshadowed(items: tuple[Item, ...], hits: _Hits, lamp: Array, facing: Array) -> Array:
    """(M,) 1 where the lamp is seen, 0 where an item hides it. The table (first) hides nothing that faces the lamp."""
    lit = np.ones(facing.shape, dtype=np.float32)
    center, radius = hits.ball
    origins = hits.points + LIFT * hits.normals
    for item in items[1:]:
        # Cull by the cylinder along the lamp's direction that holds both balls, widened for the lamp's size.
        toward = item.position - center
        along = float(toward @ LAMP_DIRECTION)
        reach = item.shape.reach + radius
        room = reach + LAMP_SPREAD * max(along + reach, 0.0)
        if along < -reach or float(toward @ toward) - along**2 > room**2:
            continue
        rays = np.flatnonzero((facing > 0.0) & (lit > 0.0))
        if rays.size:
            heading = item.turn_inward(lamp.take(rays, axis=1))
            distance = item.shape.distance(item.inward(origins.take(rays, axis=1)), heading)
            lit[rays[distance < np.inf]] = 0.0
    return lit


def _openness(items: tuple[Item, ...], hits: _Hits) -> Array:
    """(M,) share of the light from all around that other items leave.

    Each is taken as a ball, which hides cos(tilt) r^2 / d^2 of the hemisphere; a little is taken off so that items far
    away hide exactly nothing and need not be looked at.
    """
    openness = np.ones(hits.rays.shape, dtype=np.float32)
    center, spread = hits.ball
    for item in items[1:]:
        radius = 0.8 * item.shape.reach
        away = float(np.linalg.norm(item.position - center)) - spread
        if item is hits.item or (away > 0.0 and (radius / away) ** 2 < FAINTEST_OCCLUSION):
            continue
        toward = item.position[:, None] - hits.points
        squared = _dot(toward, toward)
        tilt = np.maximum(_dot(toward, hits.normals) / np.sqrt(squared), 0.0)
        openness *= 1.0 - tilt * np.maximum(np.minimum(radius**2 / squared, 1.0) - FAINTEST_OCCLUSION, 0.0)
    return openness


def _lamps() -> Array:
    """(3, SAMPLES^2) unit directions to spots spread evenly over the round lamp (a sunflower's spiral)."""
    number = np.arange(SAMPLES**2) + 0.5
    radius = LAMP_SPREAD * np.sqrt(number / SAMPLES**2)
    angle = math.pi * (3.0 - math.sqrt(5.0)) * number
    side = np.cross(LAMP_DIRECTION, (0.0, 0.0, 1.0))
    side /= np.linalg.norm(side)
    other = np.cross(LAMP_DIRECTION, side)
    spots = LAMP_DIRECTION[:, None] + radius * (np.cos(angle) * side[:, None] + np.sin(angle) * other[:, None])
    return (spots / np.linalg.norm(spots, axis=0)).astype(np.float32)


def _encoded(light: Array) -> Array:
    """sRGB in [0, 1] of linear light, rolled off at both ends like film (Narkowicz's fit of the ACES curve, 2015)."""
    exposed = 0.42 * light
    display = exposed * (2.51 * exposed + 0.03) / (exposed * (2.43 * exposed + 0.59) + 0.14)
    display = np.minimum(display, 1.0)
    return np.where(display < 0.0031308, 12.92 * display, 1.055 * np.maximum(display, 1e-8) ** (1 / 2.4) - 0.055)


def _dot(first: Array, second: Array) -> Array:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _rows(columns: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(columns.T, dtype=np.float32))
