"""Floaters, found by what views say: Gaussians in free space that spoil renders, and those buried where no view sees.

With photos, a floater is what lies in free space (`free_space`) and makes renders worse. Each Gaussian's effect on the
error is known exactly (`RemovalEffects`), but a third of a sound scene looks better off without any one of its
Gaussians, and worse off without all of these. So the candidates are judged once more together: with C the picture, C'
the picture without all of them, and E the photo, the error changes by the sum over pixels of (C' - C) (C + C' - 2 E),
of which each has the share that its own dC has of C' - C. Only those go whose share is a gain that can be seen; among
them may be neighbours of the worst, which seem good for hiding these. It goes in rounds, since floaters hide others.

Without photos a scene's own renders have the floaters in them, so nothing makes these worse. Then only geometry counts:
what one or two views have right before them and at least three others look through. A floater that all views show alike
is not to be told from an object, and nothing is said to be unseen, since made-up views are no proof.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components
from scipy.spatial import cKDTree
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture, View
from leansplat.engines.engine import Model
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress
from leansplat.shrinking.free_space import votes
from leansplat.strays import distances

Kind = Literal["harmful", "inconsistent", "unseen"]

_ROUNDS = 3
_FAINTEST = 1 / 255
"""Of the blending weight: what is fainter in every pixel changes no photo."""

_SPOILT_PART = 1e-3
_SPOILT_BY = 0.05
"""A floater is worth removing where that is as good as setting right a thousandth of a picture that is a twentieth of
the range off, all views together."""

_GLARING = 10.0
"""Times as much as is worth removing, from which on neighbours are suspected of hiding it."""

_REACH = 4.0
"""Standard deviations along its longest axis, beyond which a floater hides hardly anything."""

_CLOSE_UP = 2
_ELSEWHERE = 0.05
"""Without photos: a floater fills so many views at most, and others that show it have so little of it on average."""

_IN_THE_FACE = 0.25
"""Without photos: a floater is so much nearer to a view than what is behind it."""

_PLACE = 0.05
"""Of the radius of the scene: floaters so near to each other are in one place."""


@dataclass(frozen=True)
class Place:
    """Floaters of one kind that lie together.

    Args:
        kind: "harmful", "inconsistent" or "unseen".
        centre: (x, y, z) mean of their centres in the world.
        extent: (x, y, z) sides of the box around their centres.
        count: how many there are.
    """

    kind: Kind
    centre: tuple[float, float, float]
    extent: tuple[float, float, float]
    count: int


@dataclass(frozen=True)
class Floaters:
    """What was found in a scene of N Gaussians.

    Args:
        rows: (N,) bool, the floaters.
        evidence: what they were judged by.
        counts: how many there are of each kind.
        outside: how many Gaussians no view has in its picture, which are none for all that is known.
        places: where they are, the largest number first, those of one kind together.
    """

    rows: Tensor
    evidence: Literal["photos", "own renders"]
    counts: dict[Kind, int]
    outside: int
    places: tuple[Place, ...]

    def to_json(self) -> dict[str, Any]:
        return {
            "count": int(self.rows.sum()),
            "evidence": self.evidence,
            "counts": self.counts,
            "outside": self.outside,
            "places": [asdict(place) for place in self.places],
        }

    def describe(self, most: int = 10) -> str:
        """Lines for people: how many there are and why, and where; at most `most` places of each kind."""
        meaning = {
            "harmful": "in free space, where they make renders unlike the photos",
            "inconsistent": "in front of one or two views, in free space for the others",
            "unseen": "behind surfaces for views from all around",
        }
        total = int(self.rows.sum())
        lines = [f"{total:,} of {len(self.rows):,} Gaussians are floaters, judged by {self.evidence}."]
        for kind, count in self.counts.items():
            places = [place for place in self.places if place.kind == kind]
            lines.append(f"{count:,} {kind} ({meaning[kind]}), in {len(places):,} places:")
            lines += [
                f"  {place.count:,} around ({_listed(place.centre)}), within {_listed(place.extent)}"
                for place in places[:most]
            ]
            if len(places) > most:
                lines.append(f"  and {sum(place.count for place in places[most:]):,} in smaller places")
        if self.outside:
            lines.append(f"{self.outside:,} are outside of every picture and stay: nothing is known of them.")
        return "\n".join(lines)


def find_floaters(
    gaussians: Gaussians,
    capture: Capture,
    *,
    own_renders: bool,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> Floaters:
    """Find the floaters of a scene, by the training views of a capture.

    Args:
        own_renders: whether the photos are renders of this scene (see `teacher_capture`), which prove less.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        progress: told after each pass over the views.
    """
    found: dict[Kind, Tensor] = {}
    if own_renders:
        found["inconsistent"] = _inconsistent(gaussians, capture.train, engine, progress)
        looked_at = _looked_at(gaussians, capture.train)
    else:
        looked_at = _looked_at(gaussians, capture.train)
        found["harmful"] = _harmful(gaussians, capture, engine, progress)
        found["unseen"] = _unseen(gaussians, capture.train, engine) & ~found["harmful"]
    extent = distances(gaussians).extent
    places = [place for kind, rows in found.items() for place in _places(kind, gaussians, rows, extent)]
    return Floaters(
        rows=torch.stack(list(found.values())).any(dim=0),
        evidence="own renders" if own_renders else "photos",
        counts={kind: int(rows.sum()) for kind, rows in found.items()},
        outside=int((~looked_at).sum()),
        places=tuple(places),
    )


def _harmful(gaussians: Gaussians, capture: Capture, engine: str, progress: Progress | None) -> Tensor:
    """(N,) bool: those in free space that make renders worse, round by round."""
    pixels = sum(view.camera.width * view.camera.height for view in capture.train) / max(1, len(capture.train))
    worth_it = _SPOILT_PART * pixels * 3 * _SPOILT_BY**2
    left = torch.arange(len(gaussians))
    for number in range(_ROUNDS):
        scene = gaussians[left]
        model = engines.named(engine).begin(scene, {})
        effect = model.removal_effects(capture.train, capture.background).error_change.cpu()
        suspects = (effect < 0) | _near(scene, effect < -_GLARING * worth_it)
        if not suspects.any() or suspects.all():
            break
        rest = engines.named(engine).renderer(scene[~suspects])
        candidates = suspects.clone()
        candidates[suspects] = votes(scene[suspects], rest, capture.train).isolated()
        gone = _worth_removing_together(model, scene, candidates, capture, engine, worth_it)
        if progress is not None:
            progress(number + 1, _ROUNDS, {"floaters": len(gaussians) - len(left) + int(gone.sum())})
        left = left[~gone]
        if not gone.any():
            break
    found = torch.ones(len(gaussians), dtype=torch.bool)
    found[left] = False
    return found


def _worth_removing_together(
    model: Model, scene: Gaussians, candidates: Tensor, capture: Capture, engine: str, worth_it: float
) -> Tensor:
    """(N,) bool: those of the `candidates` (N,) bool with a share in making things better by so much; see `_shares`.

    Whoever is put back changes the shares of the others, so it is asked again until nobody is.
    """
    gone = candidates
    while gone.any():
        before, gone = gone, gone & (_shares(model, scene, gone, capture, engine) < -worth_it)
        if torch.equal(before, gone):
            break
    return gone


def _shares(model: Model, scene: Gaussians, rows: Tensor, capture: Capture, engine: str) -> Tensor:
    """(N,) by how much the squared error changes for each Gaussian of `rows` (N,) bool if all of them go.

    The slope of the error in the direction of dC, taken halfway from C to C', which is as if the photo were off by half
    the way back.
    """
    without = engines.named(engine).renderer(scene[~rows])
    total = torch.zeros(len(scene))
    for view in capture.train:
        before, after = (each.render(view.camera, capture.background).image.cpu() for each in (model, without))
        halfway = view.photo.float() / 255 + (before - after) / 2
        total += model.removal_effects([replace(view, photo=halfway)], capture.background).slope.cpu()
    return total


def _near(scene: Gaussians, rows: Tensor) -> Tensor:
    """(N,) bool: Gaussians whose centre is within reach of one of `rows` (N,) bool."""
    if not rows.any():
        return rows
    reach = _REACH * scene.scales[rows].max(dim=1).values.double().exp().numpy()
    distance, nearest = cKDTree(scene.means[rows].double().numpy()).query(scene.means.double().numpy())
    return torch.from_numpy(distance <= reach[nearest])


def _unseen(gaussians: Gaussians, views: Sequence[View], engine: str) -> Tensor:
    """(N,) bool: those that no view shows, though there are views all around."""
    total, largest = engines.named(engine).begin(gaussians, {}).blending_weights(views)
    found = ((largest < _FAINTEST) & (total < 1)).cpu()  # many faint ones may make a haze together
    if found.any():
        found[found.clone()] = votes(gaussians[found], engines.named(engine).renderer(gaussians), views).enclosed()
    return found


def _inconsistent(gaussians: Gaussians, views: Sequence[View], engine: str, progress: Progress | None) -> Tensor:
    """(N,) bool: those that one or two views are full of and at least three others look through."""
    model = engines.named(engine).begin(gaussians, {})
    count = len(gaussians)
    total, best = torch.zeros(count), torch.zeros(count, _CLOSE_UP)
    which, shown_by = torch.full((count, _CLOSE_UP), -1), torch.zeros(count)
    for number, view in enumerate(views):
        weight = model.blending_weights([view])[0].cpu()
        total += weight
        shown_by += weight > 0
        ranked, order = torch.cat([best, weight[:, None]], dim=1).sort(dim=1, descending=True, stable=True)
        numbers = torch.cat([which, torch.full((count, 1), number)], dim=1).gather(1, order)
        best, which = ranked[:, :_CLOSE_UP], numbers[:, :_CLOSE_UP]
    elsewhere = (total - best.sum(dim=1)) / (shown_by - _CLOSE_UP).clamp(min=1)
    suspects = (total > 0) & (elsewhere <= _ELSEWHERE * best[:, 0])
    found = suspects.clone()
    if suspects.any() and not suspects.all():
        rest = engines.named(engine).renderer(gaussians[~suspects])
        judged = votes(gaussians[suspects], rest, views, without=which[suspects], progress=progress)
        found[suspects] = judged.isolated() & (judged.nearest <= _IN_THE_FACE)
    return found


def _looked_at(gaussians: Gaussians, views: Sequence[View]) -> Tensor:
    """(N,) bool: whether the centre is in the picture of any view."""
    positions = gaussians.world_means()
    found = torch.zeros(len(gaussians), dtype=torch.bool)
    for view in views:
        left = (~found).nonzero()[:, 0]
        pixels, depths = view.camera.project(positions[left])
        size = torch.tensor([view.camera.width, view.camera.height])
        found[left] = (depths > view.camera.near) & ((pixels >= 0) & (pixels < size)).all(dim=1)
    return found


def _places(kind: Kind, gaussians: Gaussians, rows: Tensor, extent: float) -> list[Place]:
    """Where the Gaussians of `rows` (N,) bool are, most first."""
    positions = gaussians[rows].world_means().numpy()
    place = _place_of(positions, _PLACE * extent)
    order = np.argsort(place, kind="stable")
    groups = np.split(positions[order], np.flatnonzero(np.diff(place[order])) + 1) if len(order) else []
    found = [Place(kind, _point(group.mean(axis=0)), _point(np.ptp(group, axis=0)), len(group)) for group in groups]
    return sorted(found, key=lambda each: (-each.count, each.centre))


def _place_of(positions: np.ndarray, side: float) -> np.ndarray:
    """(M,) int64: a number for each of some positions (M, 3), the same for those in cells of this side that touch."""
    if len(positions) == 0 or side <= 0:
        return np.zeros(len(positions), np.int64)
    cells, member = np.unique(np.floor(positions / side), axis=0, return_inverse=True)
    pairs = cKDTree(cells).query_pairs(1.5, p=np.inf, output_type="ndarray")
    links = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(len(cells), len(cells)))
    _, numbers = connected_components(links, directed=False)
    return np.asarray(numbers[member.reshape(-1)], np.int64)


def _point(values: np.ndarray) -> tuple[float, float, float]:
    x, y, z = values.tolist()
    return x, y, z


def _listed(values: Sequence[float]) -> str:
    return ", ".join(f"{value:.4g}" for value in values)
