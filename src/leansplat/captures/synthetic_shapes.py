"""The solid shapes of the synthetic scene: where a ray meets them first, and which way their surface faces.

Every shape sits at the origin of its own axes, z up, and works on arrays of rays with the coordinate first, (3, M), so
that each line below is one pass over contiguous memory. Directions are unit vectors; a miss is a distance of infinity.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]

# A hit nearer than this is the surface that the ray leaves.
NEAREST = 1e-4


class Shape(Protocol):
    """What the tracer asks of a shape."""

    @property
    def reach(self) -> float:
        """Radius of a ball around the shape's origin that holds all of it."""

    def distance(self, origins: Array, directions: Array) -> Array:
        """Length (M,) of rays to the first hit; origins are (3, M), or (3, 1) where all rays share one."""

    def normals(self, points: Array) -> Array:
        """Outward unit normals (3, M) at points (3, M) on the surface."""


@dataclass(frozen=True)
class Sphere:
    radius: float

    @property
    def reach(self) -> float:
        return self.radius

    def distance(self, origins: Array, directions: Array) -> Array:
        along = _dot(origins, directions)
        # The squared distance from the centre to the line, without the cancellation of |o|^2 - along^2.
        closest = origins - along * directions
        half_chord = self.radius**2 - _dot(closest, closest)
        chord = np.sqrt(np.maximum(half_chord, 0.0))
        near, far = -along - chord, -along + chord
        length = np.where(near > NEAREST, near, far)
        return np.where((half_chord > 0.0) & (length > NEAREST), length, np.float32(np.inf))

    def normals(self, points: Array) -> Array:
        return points / self.radius


@dataclass(frozen=True)
class Box:
    """A box along the axes. `bevel` is the width over which normals turn at an edge, so that edges catch light."""

    half: tuple[float, float, float]
    bevel: float

    @property
    def reach(self) -> float:
        return float(np.linalg.norm(self.half))

    def distance(self, origins: Array, directions: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / directions
            middle = -origins * inverse
            width = np.abs(inverse) * np.array(self.half, dtype=np.float32)[:, None]
            enter, leave = (middle - width).max(axis=0), (middle + width).min(axis=0)
        length = np.where(enter > NEAREST, enter, leave)
        return np.where((enter < leave) & (length > NEAREST), length, np.float32(np.inf))

    def normals(self, points: Array) -> Array:
        inner = np.array(self.half, dtype=np.float32)[:, None] - self.bevel
        beyond = np.sign(points) * np.maximum(np.abs(points) - inner, 0.0)
        return _unit(beyond)


@dataclass(frozen=True)
class Torus:
    """A ring around the z axis, z from -tube to tube."""

    ring: float
    tube: float

    @property
    def reach(self) -> float:
        return self.ring + self.tube

    def distance(self, origins: Array, directions: Array) -> Array:
        """By stepping the distance to the surface at a time (sphere tracing), between the faces of the torus's bounding
        cylinder and ball."""
        along = _dot(origins, directions)
        closest = origins - along * directions
        half_chord = self.reach**2 - _dot(closest, closest)
        chord = np.sqrt(np.maximum(half_chord, 0.0))
        with np.errstate(divide="ignore", invalid="ignore"):
            inverse = 1.0 / directions[2]
            middle, width = -origins[2] * inverse, np.abs(inverse) * self.tube
            enter = np.maximum(-along - chord, middle - width)
            leave = np.minimum(-along + chord, middle + width)
        result = np.full(directions.shape[1], np.inf, dtype=np.float32)
        active = np.flatnonzero((half_chord > 0.0) & (leave > np.maximum(enter, NEAREST)))
        start = origins if origins.shape[1] == 1 else origins.take(active, axis=1)
        heading = directions.take(active, axis=1)
        length = np.maximum(enter.take(active), 10 * NEAREST)
        leave = leave.take(active)
        # Rays that graze the tube for long need the most steps, under 60.
        for _ in range(100):
            if active.size == 0:
                break
            step = self._gap(start + length * heading)
            hit = step < 4e-4
            result[active[hit]] = length[hit]
            length = length + step
            going = ~hit & (length < leave)
            # Leaving out finished rays costs a copy, so it waits until a quarter of them are.
            if 4 * np.count_nonzero(going) < 3 * active.size:
                active, heading, length, leave = active[going], heading[:, going], length[going], leave[going]
                start = start if start.shape[1] == 1 else start[:, going]
        return result

    def normals(self, points: Array) -> Array:
        around = np.hypot(points[0], points[1])
        off = 1.0 - self.ring / around
        return _unit(np.stack([points[0] * off, points[1] * off, points[2]]))

    def _gap(self, points: Array) -> Array:
        return np.hypot(np.hypot(points[0], points[1]) - self.ring, points[2]) - self.tube


@dataclass(frozen=True)
class Cone:
    """An upright cone with its apex at z = height / 2; it stands on something, so its base is not modelled."""

    radius: float
    height: float

    @property
    def reach(self) -> float:
        return float(np.hypot(self.radius, self.height / 2))

    @property
    def slope(self) -> float:
        return self.radius / self.height

    def distance(self, origins: Array, directions: Array) -> Array:
        """Roots of x^2 + y^2 = slope^2 (apex - z)^2 between base and apex."""
        slope = self.slope**2
        below = origins[2] - self.height / 2
        a = directions[0] ** 2 + directions[1] ** 2 - slope * directions[2] ** 2
        a = np.where(np.abs(a) < 1e-6, np.float32(1e-6), a)
        b = origins[0] * directions[0] + origins[1] * directions[1] - slope * below * directions[2]
        c = origins[0] ** 2 + origins[1] ** 2 - slope * below**2
        inside = b * b - a * c
        root = np.sqrt(np.maximum(inside, 0.0))
        result: Array = np.full(directions.shape[1], np.inf, dtype=np.float32)
        for length in ((-b - root) / a, (-b + root) / a):
            height = below + length * directions[2]
            there = (inside > 0.0) & (length > NEAREST) & (height < 0.0) & (height > -self.height)
            result = np.where(there, np.minimum(result, length), result)
        return result

    def normals(self, points: Array) -> Array:
        around = np.hypot(points[0], points[1]) + np.float32(1e-9)
        tilt = np.float32(1.0 / np.hypot(1.0, self.slope))
        return np.stack([points[0] / around * tilt, points[1] / around * tilt, np.full_like(around, self.slope * tilt)])


@dataclass(frozen=True)
class Slab:
    """A round plate whose top is at z = 0 and whose bottom, which is not modelled, is at z = -thickness."""

    radius: float
    thickness: float

    @property
    def reach(self) -> float:
        return float(np.hypot(self.radius, self.thickness))

    def distance(self, origins: Array, directions: Array) -> Array:
        with np.errstate(divide="ignore", invalid="ignore"):
            top = -origins[2] / directions[2]
            x, y = origins[0] + top * directions[0], origins[1] + top * directions[1]
            on_top = (directions[2] < 0.0) & (top > NEAREST) & (x * x + y * y < self.radius**2)
            a = directions[0] ** 2 + directions[1] ** 2
            b = origins[0] * directions[0] + origins[1] * directions[1]
            inside = b * b - a * (origins[0] ** 2 + origins[1] ** 2 - self.radius**2)
            side = (-b - np.sqrt(np.maximum(inside, 0.0))) / a
            height = origins[2] + side * directions[2]
        on_side = (inside > 0.0) & (side > NEAREST) & (height <= 0.0) & (height > -self.thickness)
        return np.where(on_top, top, np.where(on_side, side, np.float32(np.inf))).astype(np.float32, copy=False)

    def normals(self, points: Array) -> Array:
        top = points[2] > -1e-3
        around = np.hypot(points[0], points[1]) + np.float32(1e-9)
        x, y = points[0] / around, points[1] / around
        zero = np.float32(0.0)
        return np.stack([np.where(top, zero, x), np.where(top, zero, y), top.astype(np.float32)])


def _dot(first: Array, second: Array) -> Array:
    return first[0] * second[0] + first[1] * second[1] + first[2] * second[2]


def _unit(vectors: Array) -> Array:
    return vectors / np.sqrt(_dot(vectors, vectors) + np.float32(1e-20))
