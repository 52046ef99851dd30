"""Regions of a scene that shrinking keeps its hands off, or to which it keeps: `--protect` and `--only`.

A region is a part of the world that is named by a text:

    box:x0,y0,z0,x1,y1,z1      between two opposite corners
    sphere:x,y,z,r             around a point
    points.ply                 around each point of a .ply, as far as its points are apart
    points.ply:0.05            the same within this distance

A Gaussian belongs to where its centre is when shrinking begins, and stays what it was then however it moves.
`Freedom.of` makes of all regions what may be removed and what may be changed.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import torch
from scipy.spatial import cKDTree
from torch import Tensor

from leansplat.arrays import AnyScene, blocks
from leansplat.captures.point_cloud import read_point_cloud
from leansplat.errors import InputError

_SPACINGS = 3.0
"""A point's reach in median distances between nearest points. Where points are strewn evenly over a surface, 998 of
1,000 spots have a point that near (1 - exp(-9 log 2), since half of them have none within one), on a grid all have."""

_FORMS = "box:x0,y0,z0,x1,y1,z1, sphere:x,y,z,r or a .ply of points, such as points.ply or points.ply:0.05"

_log = logging.getLogger("leansplat")


class Region(Protocol):
    """A part of the world."""

    @property
    def text(self) -> str:
        """What it was made of, as the user gave it."""

    def holds(self, positions: np.ndarray) -> np.ndarray:
        """(n,) bool, which of some finite positions (n, 3) in the world are in it."""


@dataclass(frozen=True)
class Box:
    """Between two corners, whose order does not matter; edges belong to it."""

    text: str
    corners: np.ndarray

    def holds(self, positions: np.ndarray) -> np.ndarray:
        within = (positions >= self.corners.min(axis=0)) & (positions <= self.corners.max(axis=0))
        return np.asarray(within.all(axis=1))


@dataclass(frozen=True)
class Ball:
    """Within `radius` of some points (P, 3)."""

    text: str
    points: cKDTree
    radius: float

    def holds(self, positions: np.ndarray) -> np.ndarray:
        distances, _ = self.points.query(positions, distance_upper_bound=np.nextafter(self.radius, np.inf))
        return np.asarray(np.isfinite(distances))


def parse_region(text: str) -> Region:
    """The region that a text names; a .ply of points is read.

    Raises:
        InputError: it is none of the forms above, a number is missing or not finite, a radius is not above 0, or no
            radius is given and none can be told from the points.
        CaptureError: the .ply cannot be read as points.
    """
    kind, _, rest = text.partition(":")
    if kind == "box":
        return Box(text, np.array(_numbers(text, rest, 6)).reshape(2, 3))
    if kind == "sphere":
        *centre, radius = _numbers(text, rest, 4)
        return Ball(text, cKDTree([centre]), _checked(radius, text))
    name, _, last = text.rpartition(":")
    if name.lower().endswith(".ply"):
        return _around_points(text, Path(name), _checked(_numbers(text, last, 1)[0], text))
    if text.lower().endswith(".ply"):
        return _around_points(text, Path(text), None)
    raise InputError(f"{text} is no region; give {_FORMS}.")


def inside(gaussians: AnyScene, regions: Sequence[Region]) -> Tensor:
    """(N,) bool, on the CPU: which Gaussians have their centre in one of the regions; none that is not finite."""
    found = np.zeros(len(gaussians), bool)
    scene = gaussians.arrays()
    for part in blocks(len(scene)):
        positions = scene.means[part].astype(np.float64) + scene.origin
        rows = np.flatnonzero(np.isfinite(positions).all(axis=1))
        for region in regions:
            found[part.start + rows] |= region.holds(positions[rows])
    return torch.from_numpy(found)


@dataclass(frozen=True)
class Freedom:
    """What shrinking may do to each of N Gaussians.

    Args:
        removable: (N,) bool, which may be removed, or merged into others.
        changeable: (N,) bool, which may be changed in any way; all that are removable are.
        sentence: what that means, for the user; empty where there are no regions.
    """

    removable: Tensor
    changeable: Tensor
    sentence: str

    @classmethod
    def of(cls, gaussians: AnyScene, *, protect: Sequence[Region] = (), only: Sequence[Region] = ()) -> Freedom:
        """What some regions leave of a scene to be shrunk.

        Gaussians in a region to `protect` are never removed, though they are tuned with the others. Where there are
        regions to keep to (`only`), all outside of these are left as they are: neither removed nor changed. What is in
        both kinds of region is tuned and never removed. A region to protect that has no Gaussian is warned of.

        Raises:
            InputError: a region of `only` has no Gaussian, so that it is not where the user takes it to be; or all
                Gaussians in them are protected.
        """
        count = len(gaussians)
        for region in protect:
            if not inside(gaussians, [region]).any():
                _log.warning(
                    "%s has no Gaussian in it, so it protects nothing; %s", region.text, _whereabouts(gaussians)
                )
        for region in only:
            if not inside(gaussians, [region]).any():
                raise InputError(f"{region.text} has no Gaussian in it; {_whereabouts(gaussians)}.")
        protected = inside(gaussians, protect)
        changeable = inside(gaussians, only) if only else torch.ones(count, dtype=torch.bool)
        removable = changeable & ~protected
        if count and not removable.any():
            raise InputError("All Gaussians that may be changed are protected; make a region smaller or leave it out.")
        said = []
        if only:
            said.append(
                f"{count - int(changeable.sum()):,} of {count:,} Gaussians are outside of the regions to keep to "
                "and are left as they are"
            )
        if protect:
            kept = f"{int((protected & changeable).sum()):,} {'of the others' if only else f'of {count:,} Gaussians'}"
            said.append(f"{kept} are protected: they may be tuned but not removed")
        return cls(removable, changeable, "; ".join(said))

    @property
    def least(self) -> int:
        """How few Gaussians can be left."""
        return len(self.removable) - int(self.removable.sum())

    def check_count(self, count: int) -> None:
        """Refuse a number of Gaussians to keep that the regions do not allow.

        Raises:
            InputError: so few cannot be left.
        """
        if count < self.least:
            raise InputError(
                f"{count:,} Gaussians cannot be reached: {self.sentence}, which is {self.least:,} together; ask for "
                "more or for smaller regions."
            )


def _around_points(text: str, path: Path, radius: float | None) -> Ball:
    found = read_point_cloud(path)
    if found is None:
        raise InputError(f"{path} has no points; give a .ply with some.")
    points = np.unique(found.positions.numpy(), axis=0)
    tree = cKDTree(points)
    if radius is None:
        if len(points) == 1:
            raise InputError(f"{path} has one point, which does not say how far it reaches; give {path}:RADIUS.")
        nearest, _ = tree.query(points, k=[2])
        radius = _SPACINGS * float(np.median(nearest))
    return Ball(text, tree, radius)


def _numbers(text: str, listed: str, count: int) -> list[float]:
    words = listed.split(",")
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        expected = f"{count} finite numbers are" if count > 1 else "a finite number is"
        raise InputError(f"{text} is no region: {expected} expected after the last colon; give {_FORMS}.")
    return numbers


def _checked(radius: float, text: str) -> float:
    if not radius > 0:
        raise InputError(f"{text} has a radius of {radius:g}; give one above 0.")
    return radius


def _whereabouts(gaussians: AnyScene) -> str:
    """Where nine tenths of the centres are, for whoever has another idea of it."""
    scene = gaussians.arrays()
    positions = scene.means[np.isfinite(scene.means).all(axis=1)].astype(np.float64) + scene.origin
    if len(positions) == 0:
        return "the scene has none with a place at all"
    low, high = (", ".join(f"{value:.4g}" for value in np.quantile(positions, q, axis=0)) for q in (0.05, 0.95))
    return f"nine tenths of the scene lie between ({low}) and ({high}) on each axis"
