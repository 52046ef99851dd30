"""Paths of cameras for looking at a scene that came without photos.

What there is to look at is read from the Gaussians, each with the weight of its opacity. Scenes have strays far away
and often a shell of sky, which a mean or a bounding box would follow; so the body of the scene is found by medians
first, and then framed whole: with its full height, in the picture's own shape.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Literal, get_args

import torch
from torch import Tensor

from leansplat.cameras import Camera, look_at
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians

Up = Literal["x", "y", "z", "minus-x", "minus-y", "minus-z"]

_FIELD_OF_VIEW = math.radians(50)
_ELEVATION = math.radians(20)
_CORE = 0.906
"""Share of the weight, nearest to the middle, that makes up the core of the scene."""
_BODY = 2.0
"""What lies within so many times the core's reach belongs to the body, the rest is strays."""
_FRAMED = 0.998
"""Share of the body's weight inside each edge of every picture; sides, top and bottom together keep nine tenths."""
_EMPTY_SPACE = 4.0
"""Where the distance grows so many times over from one fiftieth of the weight to the next, a shell begins."""
_ALL_AROUND = 0.7
"""Length of the mean direction of what is beyond: 0 for a sphere, 0.5 for a dome, 1 for an object that stands apart."""
_DEVIATIONS = 2.0
"""A Gaussian reaches so many standard deviations around its centre."""
_MARGIN = 1.08
_HALVINGS = 12
"""Steps of the search for the height that the camera looks at."""
_FAINTEST = 1 / 255
"""Nothing is drawn of a Gaussian of less opacity."""
_ENOUGH = 200_000
"""So many Gaussians say where a scene is; of larger ones every so manyth is looked at."""
_NEAREST = 0.4
"""What is looked at stays this far from the camera: twice the renderer's near plane."""
_SMALLEST = 1e-4
"""No scene is taken to be smaller: at the nearest distance, single precision places nothing better."""
_LARGEST_DEVIATION = 1e19
"""The square of a larger one is not finite in single precision, so it is not drawn."""


def orbit(gaussians: Gaussians, count: int, *, up: Up = "minus-y", width: int = 800, height: int = 600) -> list[Camera]:
    """`count` cameras on a circle around the scene, 20 degrees above its middle, all looking at the middle.

    The circle is as narrow as it can be with the body of the scene inside every picture from any place on it: at least
    nine tenths of the Gaussians by opacity, unless more than a tenth lie in a shell far around the others.

    Args:
        gaussians: the scene, at least one Gaussian.
        count: cameras, evenly spaced, at least 1.
        up: the world direction that points up; scenes from COLMAP usually have "minus-y", from nerfstudio "z".
        width, height: image size in pixels.

    Raises:
        InputError: the scene is empty, or a number is below 1.
    """
    if len(gaussians) == 0:
        raise InputError("the scene has no Gaussians to orbit; give --capture to render it from a capture's cameras")
    if min(count, width, height) < 1:
        raise InputError(f"an orbit of {count} views at {width}x{height} cannot be rendered; use 1 or more of each")
    vertical, first, second = _axes(up)
    tangent = math.tan(_FIELD_OF_VIEW / 2)
    body = _body(gaussians, torch.stack([first, second, vertical])).centred(tangent * height / width)
    # A scene smaller than the renderer's near plane is looked at from further away, through a longer lens.
    while (distance := body.distance(tangent, tangent * height / width)) < body.reach + _NEAREST:
        tangent /= 2
    cameras = []
    for index in range(count):
        angle = 2 * math.pi * index / count
        around = math.cos(angle) * first + math.sin(angle) * second
        position = body.middle + distance * (math.cos(_ELEVATION) * around + math.sin(_ELEVATION) * vertical)
        field_of_view = 2 * math.atan(tangent)
        cameras.append(
            look_at(position.tolist(), body.middle.tolist(), vertical.tolist(), field_of_view, width, height)
        )
    return cameras


@dataclass(frozen=True)
class _Body:
    """What an orbit looks at, as rings around the vertical line through its middle.

    Args:
        middle: (3,) world point.
        vertical: (3,) unit vector that points up.
        radius: (B,) how far each Gaussian reaches from the vertical line.
        bottom, top: (B,) between which heights above the middle it reaches.
        weight: (B,) its opacity.
    """

    middle: Tensor
    vertical: Tensor
    radius: Tensor
    bottom: Tensor
    top: Tensor
    weight: Tensor

    def raised(self, height: float) -> _Body:
        """The same seen from a middle that is higher by so much."""
        return replace(
            self, middle=self.middle + height * self.vertical, bottom=self.bottom - height, top=self.top - height
        )

    @property
    def reach(self) -> float:
        """How much nearer to the camera than the middle the body begins."""
        nearer = self.radius * math.cos(_ELEVATION) + self.top * math.sin(_ELEVATION)
        return _quantile(nearer, self.weight, _FRAMED)

    def distance(self, across: float, along: float) -> float:
        """Distance from the middle at which the body fits a picture of these half sizes (at depth 1)."""
        sideways = self.radius * math.hypot(1 / across, math.cos(_ELEVATION)) + self.top * math.sin(_ELEVATION)
        edges = [_quantile(sideways, self.weight, _FRAMED), self._inside(along, 1.0), self._inside(along, -1.0)]
        return _MARGIN * max(edges)

    def centred(self, along: float) -> _Body:
        """The same with its middle where it stays as far from the upper as from the lower edge of the picture."""
        high = _quantile(torch.maximum(self.top.abs(), self.bottom.abs()), self.weight, _FRAMED)
        low = -high
        for _ in range(_HALVINGS):
            body = self.raised((low + high) / 2)
            if body._inside(along, 1.0) > body._inside(along, -1.0):
                low = (low + high) / 2
            else:
                high = (low + high) / 2
        return self.raised((low + high) / 2)

    def _inside(self, along: float, sign: float) -> float:
        """Distance at which the body is inside the upper (1) or lower (-1) edge.

        A point at height v, and a towards the camera, has depth D - a cos e - v sin e and stands v cos e - a sin e
        above the middle of the picture (e is the elevation); the largest D over its whole ring keeps it inside.
        """
        sine, cosine = math.sin(_ELEVATION), math.cos(_ELEVATION)
        height = torch.maximum(*(edge * (sine + sign * cosine / along) for edge in (self.bottom, self.top)))
        return _quantile(height + self.radius * abs(cosine - sign * sine / along), self.weight, _FRAMED)


def _body(gaussians: Gaussians, axes: Tensor) -> _Body:
    """The body of a scene along unit vectors `axes` (3, 3), the vertical one last."""
    finite = gaussians.means.isfinite().all(dim=1)
    if not bool(finite.any()):
        raise InputError("no Gaussian of the scene has a finite centre; there is nothing to orbit")
    weight = gaussians.opacities.detach().double().sigmoid().nan_to_num(0.0)
    drawn = finite & (weight >= _FAINTEST)
    if not bool(drawn.any()):
        drawn, weight = finite, torch.ones_like(weight)
    rows = drawn.nonzero()[:, 0]
    rows = rows[:: math.ceil(len(rows) / _ENOUGH)]
    gaussians, weight = gaussians.detach()[rows], weight[rows]
    centres = gaussians.means.double() @ axes.T
    middle = torch.tensor([_quantile(line, weight, 0.5) for line in centres.T], dtype=torch.float64)
    inside = (centres - middle).norm(dim=1) <= _BODY * _core(centres - middle, weight)
    centres, weight = centres[inside], weight[inside]
    spread = _DEVIATIONS * _deviations(gaussians[inside], axes)
    edges = [(_quantile(line, weight, 1 - _FRAMED), _quantile(line, weight, _FRAMED)) for line in centres.T]
    middle = torch.tensor([(low + high) / 2 for low, high in edges], dtype=torch.float64)
    offsets = centres - middle
    return _Body(
        middle=axes.T @ middle + torch.tensor(gaussians.origin, dtype=torch.float64),
        vertical=axes[2],
        radius=(offsets[:, :2].norm(dim=1) + spread[:, :2].amax(dim=1)).clamp(min=_SMALLEST),
        bottom=offsets[:, 2] - spread[:, 2],
        top=offsets[:, 2] + spread[:, 2],
        weight=weight,
    )


def _core(offsets: Tensor, weight: Tensor) -> float:
    """Radius of the core of Gaussians at `offsets` (N, 3) from the middle: what a shell surrounds, or else most."""
    distances = offsets.norm(dim=1)
    before = _quantile(distances, weight, 0.5)
    for percent in range(52, 92, 2):
        distance = _quantile(distances, weight, percent / 100)
        if distance > _EMPTY_SPACE * before > 0:
            beyond = distances >= distance
            directions = torch.nn.functional.normalize(offsets[beyond], dim=1)
            if float((weight[beyond] @ directions).norm() / weight[beyond].sum()) < _ALL_AROUND:
                return before
        before = distance
    return _quantile(distances, weight, _CORE)


def _deviations(gaussians: Gaussians, axes: Tensor) -> Tensor:
    """(N, 3) standard deviations along unit vectors `axes` (3, 3); 0 for a Gaussian too large to be drawn."""
    w, x, y, z = torch.nn.functional.normalize(gaussians.quats.double(), dim=1).unbind(dim=1)
    rotation = torch.stack(
        [
            torch.stack([1 - 2 * (y * y + z * z), 2 * (x * y - w * z), 2 * (x * z + w * y)], dim=1),
            torch.stack([2 * (x * y + w * z), 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)], dim=1),
            torch.stack([2 * (x * z - w * y), 2 * (y * z + w * x), 1 - 2 * (x * x + y * y)], dim=1),
        ],
        dim=1,
    )
    deviations = ((axes @ rotation) * gaussians.scales.double().exp()[:, None, :]).norm(dim=2)
    return deviations.where(deviations < _LARGEST_DEVIATION, 0.0)


def _quantile(values: Tensor, weight: Tensor, share: float) -> float:
    """The smallest of `values` (N,) that has `share` of the weight (N,) at or below it."""
    ordered, order = values.sort()
    total = weight[order].cumsum(dim=0)
    index = int(torch.searchsorted(total, share * float(total[-1])))
    return float(ordered[min(index, len(ordered) - 1)])


def _axes(up: Up) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors: `up`, and two at right angles to it and to each other."""
    if up not in get_args(Up):
        raise InputError(f"up is {up!r}; it must be one of {', '.join(get_args(Up))}")
    axis = "xyz".index(up[-1])
    identity = torch.eye(3, dtype=torch.float64)
    sign = -1.0 if up.startswith("minus") else 1.0
    return sign * identity[axis], identity[(axis + 1) % 3], identity[(axis + 2) % 3]
