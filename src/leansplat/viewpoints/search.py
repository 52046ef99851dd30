"""`made_up_views`: cameras for a scene that came without any, as a person would have held them.

The scene's harmonics tell where its cameras stood (`trained_directions`). Places that they make likely (`places`) are
surveyed with small pictures to all sides (`panorama`), the best views from each are kept (`candidates`), and of those a
few that together show what sure views show (`choice`). Those of a place are moved to where all that they show was most
likely photographed from (`refinement`), those of an object to where it fills the picture (`framing`). All are turned
level (`upright`).
"""

from __future__ import annotations

import logging
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from torch import Tensor

from leansplat.camera_paths import orbit
from leansplat.cameras import Camera, look_at
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.progress import Progress
from leansplat.seeds import check_seed
from leansplat.viewpoints.candidates import Candidate, Kind, candidates_from
from leansplat.viewpoints.choice import choose, sureness
from leansplat.viewpoints.framing import FIELDS_OF_VIEW, framed
from leansplat.viewpoints.panorama import Surveyor
from leansplat.viewpoints.places import likely_places, reach_of
from leansplat.viewpoints.refinement import refined
from leansplat.viewpoints.trained_directions import trained_directions
from leansplat.viewpoints.upright import up_direction

_PLACES = 200
_LONGEST_SIDE = 800
_OF_WHICH = 2
"""Different views of an object for each that is chosen of them."""
_FEWEST = 8
"""With fewer views, what is not in them would be lost, and none would be left to judge by."""
_UPWARDS = math.sin(math.radians(20))
"""Where nothing is known, no view looks up more steeply."""
_DOUBTFUL = 0.1
"""Sureness of views that nothing speaks for."""


_log = logging.getLogger("leansplat")


@dataclass(frozen=True)
class MadeUpViews:
    """Cameras that were found for a scene.

    Args:
        cameras: by a name that sorts in the order of the mapping, from "view_000" on; in world units.
        sureness: (n,) in (0, 1], in that order, how much like a photo's view each is.
        kind: "object", seen from outside with nothing around it, or "place".
        up: (3,) unit vector in the world.
        known: whether the scene's harmonics told where its cameras were.
        unseen: how many Gaussians no view has in its picture.
    """

    cameras: Mapping[str, Camera]
    sureness: np.ndarray
    kind: Kind
    up: np.ndarray
    known: bool
    unseen: int


def made_up_views(
    gaussians: Gaussians,
    count: int = 128,
    *,
    size: tuple[int, int] | int = _LONGEST_SIDE,
    seed: int = 0,
    engine: str = "cpu",
    about: Tensor | None = None,
    progress: Progress | None = None,
) -> MadeUpViews:
    """Find `count` cameras, or fewer where there are not as many views worth having.

    The same seed and scene give the same cameras.

    Args:
        gaussians: a scene of at least one Gaussian with finite parameters.
        count: cameras, at least 1.
        size: (width, height) of their pictures in pixels, or the side of a square picture.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        about: (N,) bool, what the views are to show; the others only hide it, or stand around it. All by default.
        progress: told after each place that was looked around from.

    Raises:
        InputError: the scene has no finite Gaussians, a number is below 1, or there is no such engine.
    """
    check_seed(seed)
    width, height = size if isinstance(size, tuple) else (size, size)
    if min(count, width, height) < 1:
        raise InputError(f"{count} views of {width}x{height} pixels cannot be made up; use 1 or more of each")
    finite = gaussians.finite_equivalent()
    if not bool(finite.finite().all()):
        about = None if about is None else about[finite.finite()]
        finite = finite[finite.finite()]
    if len(finite) == 0:
        raise InputError("the scene has no Gaussians with finite numbers; there is nothing to look at")
    random = np.random.default_rng(seed)
    scene = finite.detach().arrays()
    directions = trained_directions(scene)
    reach = reach_of(scene)
    surveyor = Surveyor(finite, directions, reach.near, engine)
    places = likely_places(scene, directions, reach, _PLACES, random)
    surroundings = []
    for done, place in enumerate(places, start=1):
        surroundings.append(surveyor.around(place))
        if progress is not None:
            progress(done, len(places), {})
    wanted = None if about is None else directions.share_of(scene.means, about.cpu().numpy())
    candidates, kind = candidates_from(list(places), surroundings, wanted)
    if len(candidates) < (1 if about is not None else min(count, _FEWEST)):
        return _around(gaussians, count, width, height)
    field = FIELDS_OF_VIEW[kind]
    if kind == "object" and about is None:
        # A part of an object would be hidden by the others from where it fills the picture.
        half_angle = math.atan(math.tan(field / 2) * min(1.0, height / width))
        candidates = framed(candidates, scene, half_angle, _OF_WHICH * count, near=reach.near)
    if not directions.known:
        # Nothing but custom tells the top of a table from its underside.
        usual = up_direction(scene, places, known=False)
        candidates = [view for view in candidates if float(view.forward @ usual) < _UPWARDS] or candidates
    sure = sureness(candidates)
    chosen = choose(candidates, sure, len(directions.centres), count)
    views = [candidates[index] for index in chosen]
    if kind == "place" and directions.known:
        views = [refined(view, surveyor, random) for view in views]
    up = up_direction(scene, np.stack([view.place for view in views]), directions.known)
    cameras = {
        f"view_{number:03}": replace(_camera(view, up, gaussians.origin, field, width, height), near=reach.near)
        for number, view in enumerate(views)
    }
    return MadeUpViews(cameras, sure[chosen], kind, up, directions.known, _unseen(gaussians, cameras))


def _around(gaussians: Gaussians, count: int, width: int, height: int) -> MadeUpViews:
    """A circle of cameras, where hardly any place shows anything: of scenes that are sparse or faint."""
    _log.warning("no places were found that show the scene well, so its views are from a circle around it")
    circle = orbit(gaussians, count, width=width, height=height)
    cameras = {f"view_{number:03}": camera for number, camera in enumerate(circle)}
    doubtful = np.full(count, _DOUBTFUL)
    return MadeUpViews(cameras, doubtful, "object", np.array([0.0, -1.0, 0.0]), False, _unseen(gaussians, cameras))


def _camera(
    view: Candidate, up: np.ndarray, origin: tuple[float, float, float], field: float, width: int, height: int
) -> Camera:
    place = view.place + np.array(origin)
    if abs(float(up @ view.forward)) > 1 - 1e-6:
        up = np.roll(up, 1)
    return look_at(place.tolist(), (place + view.forward).tolist(), up.tolist(), field, width, height)


def _unseen(gaussians: Gaussians, cameras: Mapping[str, Camera]) -> int:
    """How many Gaussians have their centre in no picture."""
    means = gaussians.world_means().detach().cpu()
    means = means[means.isfinite().all(dim=1)]
    broken = len(gaussians) - len(means)
    for camera in cameras.values():
        pixels, depth = camera.project(means)
        x, y = pixels.unbind(dim=1)
        means = means[~((depth > 0) & (x >= 0) & (x < camera.width) & (y >= 0) & (y < camera.height))]
    return broken + len(means)
