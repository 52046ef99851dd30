"""The synthetic scene: a still life on an inlaid round table, every pattern of it computed, no asset read.

A pattern is a function of a point in an object's own axes, so it is the same from every view; what changes with the
view is only the polish (`Finish.specular`), as on real things. Patterns are as fine as a few pixels of a 256x256 photo,
because a scene that blur could explain would not test a reconstruction.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from leansplat.captures.synthetic_shapes import Array, Box, Cone, Shape, Slab, Sphere, Torus


@dataclass(frozen=True)
class Finish:
    """How a surface answers light, at M points.

    Args:
        diffuse: (3, M) linear RGB albedo in [0, 1].
        specular: (3, M) or (3, 1) strength and tint of what the surface mirrors.
        shininess: Blinn-Phong exponent; a higher one makes a smaller, brighter highlight.
    """

    diffuse: Array
    specular: Array
    shininess: float


@dataclass(frozen=True)
class Item:
    """A shape, where it is, and its finish as a function of points (3, M) in its own axes.

    Args:
        position: (3,) of the shape's origin; the scene is z up, its floor at z = 0.
        axes: (3, 3) whose columns are the shape's axes in the scene.
    """

    name: str
    shape: Shape
    position: Array
    axes: Array
    finish: Callable[[Array], Finish]

    def inward(self, points: Array) -> Array:
        """Scene points (3, M) in the shape's axes."""
        return self.turn_inward(points - self.position[:, None])

    def turn_inward(self, directions: Array) -> Array:
        return _combine(self.axes.T, directions)

    def turn_outward(self, directions: Array) -> Array:
        return _combine(self.axes, directions)


def still_life(seed: int) -> tuple[Item, ...]:
    """The objects, the table first; `seed` chooses veins, sprinkles and the shade of tiles, not the arrangement."""
    random = np.random.default_rng([seed, 0])
    table = Slab(radius=2.3, thickness=0.14)
    marble, gold, cherry, ball = Sphere(0.58), Sphere(0.19), Sphere(0.15), Sphere(0.3)
    cube = Box((0.36, 0.36, 0.36), bevel=0.03)
    donut = Torus(ring=0.4, tube=0.2)
    cone, bobble = Cone(radius=0.36, height=1.1), Sphere(0.1)
    return (
        _item("table", table, (0.0, 0.0, 0.0), _table_top(random)),
        _item("marble", marble, (-0.5, 0.62, 0.58), _marble(random)),
        _item("cube", cube, (-0.92, -0.55, 0.36), _puzzle(random, cube), turn=0.5),
        _item("donut", donut, (0.72, -0.72, 0.2), _donut(random, donut)),
        _item("cone", cone, (0.85, 0.6, 0.55), _spiral(cone)),
        _item("bobble", bobble, (0.85, 0.6, 1.13), _plain((0.8, 0.55, 0.12), (0.9, 0.7, 0.3), 40.0)),
        _item("ball", ball, (-0.1, -1.15, 0.3), _beach_ball, turn=0.4, lean=0.7),
        _item("gold", gold, (0.12, 0.0, 0.19), _plain((0.42, 0.26, 0.06), (1.0, 0.76, 0.32), 60.0)),
        _item("cherry", cherry, (-0.32, -0.3, 0.15), _plain((0.62, 0.03, 0.05), (0.5, 0.5, 0.5), 80.0)),
    )


def _item(
    name: str,
    shape: Shape,
    position: tuple[float, float, float],
    finish: Callable[[Array], Finish],
    turn: float = 0.0,
    lean: float = 0.0,
) -> Item:
    """`turn` radians about the vertical, after `lean` radians about the x axis."""
    c, s, d, t = math.cos(turn), math.sin(turn), math.cos(lean), math.sin(lean)
    axes = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]]) @ np.array([[1, 0, 0], [0, d, -t], [0, t, d]])
    return Item(name, shape, np.array(position, dtype=np.float32), axes.astype(np.float32), finish)


def _combine(matrix: Array, vectors: Array) -> Array:
    """matrix (3, 3) @ vectors (3, M), skipping the work where the matrix is the identity."""
    if np.array_equal(matrix, np.eye(3, dtype=np.float32)):
        return vectors
    x, y, z = vectors
    return np.stack([row[0] * x + row[1] * y + row[2] * z for row in matrix])


def _table_top(random: np.random.Generator) -> Callable[[Array], Finish]:
    """Checkered stone tiles, a brass ring, a band of wooden triangles, a second ring, and a walnut rim."""
    tile, inner, band, ring = 0.29, 1.72, 2.16, 0.05
    brightness = random.uniform(0.72, 1.12, size=(32, 32)).astype(np.float32)
    noise = _noise(random)
    cream, teal = _color(0.80, 0.70, 0.54), _color(0.045, 0.20, 0.23)
    brass, walnut, maple = _color(0.62, 0.42, 0.13), _color(0.17, 0.075, 0.03), _color(0.66, 0.42, 0.20)

    def stone(points: Array) -> Array:
        across, along = points[0] / tile, points[1] / tile
        i, j = np.floor(across).astype(np.int32), np.floor(along).astype(np.int32)
        grain = noise(5.0 * points) + 0.5 * noise(17.0 * points)
        shade = brightness[i & 31, j & 31] * (0.72 + 0.4 * grain)
        joint = np.maximum(np.abs(across - i - 0.5), np.abs(along - j - 0.5)) > 0.465
        return np.where(joint, np.float32(0.05), np.where((i + j) & 1, teal, cream) * shade)

    def wood(points: Array, around: Array) -> Array:
        # Teeth: a triangle wave around the table against the way across the band.
        angle = np.arctan2(points[1], points[0]) * np.float32(48 / (2 * math.pi))
        tooth = 2.0 * np.abs(angle - np.floor(angle) - 0.5)
        inlaid = (tooth > (around - inner - ring) / (band - inner - ring)) & (around < band)
        grain = noise(np.stack([9.0 * points[0], 9.0 * points[1], 40.0 * around + 40.0 * points[2]]))
        return np.where(inlaid, maple, walnut) * (0.75 + 0.5 * grain)

    def finish(points: Array) -> Finish:
        around = np.hypot(points[0], points[1])
        diffuse = np.empty_like(points)
        diffuse[:] = brass
        stony = np.flatnonzero(around < inner)
        diffuse[:, stony] = stone(points.take(stony, axis=1))
        wooden = (around > inner + ring) & ((around < band) | (around > band + ring))
        planks = np.flatnonzero(wooden)
        diffuse[:, planks] = wood(points.take(planks, axis=1), around.take(planks))
        polish = np.where(around < inner, np.float32(0.10), np.where(wooden, np.float32(0.05), brass))
        return Finish(diffuse, polish, 50.0)

    return finish


def _marble(random: np.random.Generator) -> Callable[[Array], Finish]:
    noise = _noise(random)
    white, blue, gold = _color(0.86, 0.85, 0.82), _color(0.05, 0.13, 0.36), _color(0.70, 0.43, 0.10)

    def finish(points: Array) -> Finish:
        swirl = noise(2.6 * points) + 0.5 * noise(5.7 * points) + 0.25 * noise(12.0 * points)
        wave = np.sin(9.0 * points[2] + 4.0 * points[0] + 9.0 * swirl)
        mix = 0.5 + 0.5 * wave
        body = blue + (white - blue) * mix * mix
        vein = np.exp(-((wave - 0.15) ** 2) * 60.0)
        return Finish(body + (gold - body) * vein, _color(0.25, 0.25, 0.25), 90.0)

    return finish


def _puzzle(random: np.random.Generator, cube: Box) -> Callable[[Array], Finish]:
    white, yellow, red = (0.80, 0.78, 0.72), (0.85, 0.60, 0.02), (0.62, 0.02, 0.03)
    orange, blue, green = (0.85, 0.22, 0.01), (0.01, 0.10, 0.50), (0.01, 0.36, 0.10)
    palette = np.array([white, yellow, red, orange, blue, green], dtype=np.float32)
    stickers = palette[random.permutation(np.repeat(np.arange(6), 9))].reshape(6, 3, 3, 3)
    plastic = _color(0.015, 0.015, 0.018)

    def finish(points: Array) -> Finish:
        inside = points / np.array(cube.half, dtype=np.float32)[:, None]
        axis = np.abs(inside).argmax(axis=0)
        every = np.arange(points.shape[1])
        face = 2 * axis + (inside[axis, every] > 0)
        u, v = 1.5 * (inside[(axis + 1) % 3, every] + 1.0), 1.5 * (inside[(axis + 2) % 3, every] + 1.0)
        i, j = np.clip(u, 0, 2.99).astype(np.int32), np.clip(v, 0, 2.99).astype(np.int32)
        off_u, off_v = np.maximum(np.abs(u - i - 0.5) - 0.28, 0.0), np.maximum(np.abs(v - j - 0.5) - 0.28, 0.0)
        sticker = np.hypot(off_u, off_v) < 0.13
        return Finish(np.where(sticker, stickers[face, i, j].T, plastic), _color(0.12, 0.12, 0.12), 35.0)

    return finish


def _donut(random: np.random.Generator, donut: Torus) -> Callable[[Array], Finish]:
    """Dough, icing that runs down in drips, and sprinkles: short bars, one in each cell of a grid on the surface."""
    cell = 0.105
    rows, columns = round(2 * math.pi * donut.tube / cell), round(2 * math.pi * donut.ring / cell)
    palette = np.array([(0.9, 0.85, 0.1), (0.05, 0.45, 0.75), (0.9, 0.9, 0.88), (0.1, 0.55, 0.15), (0.85, 0.25, 0.02)])
    hue = palette[random.integers(len(palette), size=(rows, columns))].astype(np.float32)
    direction = random.uniform(0, math.pi, size=(rows, columns)).astype(np.float32)
    shift = random.uniform(-0.12, 0.12, size=(2, rows, columns)).astype(np.float32)
    noise = _noise(random)
    dough, icing = _color(0.62, 0.33, 0.12), _color(0.82, 0.20, 0.34)

    def finish(points: Array) -> Finish:
        x, y, z = points
        around = np.arctan2(y, x)
        over = np.arctan2(z, np.hypot(x, y) - donut.ring)
        iced = z > donut.tube * (0.05 + 0.2 * np.sin(6.0 * around) + 0.13 * np.sin(11.0 * around + 1.0))
        u = (around / (2 * math.pi) + 0.5) * columns
        v = (over / (2 * math.pi) + 0.5) * rows
        j, i = np.minimum(u.astype(np.int32), columns - 1), np.minimum(v.astype(np.int32), rows - 1)
        du, dv = u - j - 0.5 - shift[0, i, j], v - i - 0.5 - shift[1, i, j]
        c, s = np.cos(direction[i, j]), np.sin(direction[i, j])
        sprinkle = np.hypot(np.maximum(np.abs(du * c + dv * s) - 0.22, 0.0), dv * c - du * s) < 0.13
        baked = dough * (0.75 + 0.5 * noise(14.0 * points))
        diffuse = np.where(iced, np.where(sprinkle, hue[i, j].T, icing), baked)
        return Finish(diffuse, np.where(iced, np.float32(0.22), np.float32(0.02)), 30.0)

    return finish


def _spiral(cone: Cone) -> Callable[[Array], Finish]:
    red, white, navy = _color(0.66, 0.035, 0.045), _color(0.84, 0.80, 0.72), _color(0.02, 0.05, 0.20)

    def finish(points: Array) -> Finish:
        turn = np.arctan2(points[1], points[0]) / np.float32(2 * math.pi)
        height = points[2] / cone.height + 0.5
        stripe = 7.0 * height + turn
        place = stripe - np.floor(stripe)
        color = np.where(place < 0.45, red, np.where((place > 0.66) & (place < 0.78), navy, white))
        return Finish(color, _color(0.1, 0.1, 0.1), 25.0)

    return finish


def _beach_ball(points: Array) -> Finish:
    blue, white, yellow, red = (0.02, 0.22, 0.55), (0.84, 0.82, 0.76), (0.80, 0.50, 0.02), (0.68, 0.04, 0.05)
    wedges = np.array([blue, white, yellow, white, red, white], dtype=np.float32)
    turn = np.arctan2(points[1], points[0]) / np.float32(2 * math.pi) + 0.5
    wedge = np.minimum((6.0 * turn).astype(np.int32), 5)
    pole = np.hypot(points[0], points[1]) < 0.06
    return Finish(np.where(pole, _color(*yellow), wedges[wedge].T), _color(0.2, 0.2, 0.2), 40.0)


def _plain(
    diffuse: tuple[float, float, float], specular: tuple[float, float, float], shininess: float
) -> Callable[[Array], Finish]:
    def finish(points: Array) -> Finish:
        return Finish(np.broadcast_to(_color(*diffuse), points.shape), _color(*specular), shininess)

    return finish


def _noise(random: np.random.Generator) -> Callable[[Array], Array]:
    """Value noise in [0, 1]: random values on a lattice of unit cells (repeating every 16), blended smoothly."""
    lattice = random.random(16**3, dtype=np.float32)

    def noise(points: Array) -> Array:
        cell = np.floor(points)
        x, y, z = points - cell
        i, j, k = (cell.astype(np.int32)) & 15
        x, y, z = (t * t * (3.0 - 2.0 * t) for t in (x, y, z))
        low, high = i * 256, ((i + 1) & 15) * 256
        near, far = j * 16, ((j + 1) & 15) * 16
        above = (k + 1) & 15
        rows = []
        for start in (low + near, low + far, high + near, high + far):
            first = lattice[start + k]
            rows.append(first + z * (lattice[start + above] - first))
        left, right = rows[0] + y * (rows[1] - rows[0]), rows[2] + y * (rows[3] - rows[2])
        return left + x * (right - left)

    return noise


def _color(red: float, green: float, blue: float) -> Array:
    return np.array([[red], [green], [blue]], dtype=np.float32)
