"""`simplify`: exactly so many Gaussians, without training. What changes the pictures least is done first: a Gaussian
goes, or two neighbours become one.

What a step costs is measured over the views where there are any (`worth`), or guessed from the geometry. Effects of
many steps do not add up, so a round takes a third of the Gaussians at most, and then all is measured anew. With views,
two things follow that have a closed form, because a pixel is linear in colours and in each opacity: opacities go
towards where the error is least, and in the end colours are fitted to the pictures.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from leansplat import engines
from leansplat.activation import LEAST_SCALE, log_of, logit_of, opacity_of
from leansplat.arrays import TENSOR_NAMES, GaussianArrays
from leansplat.captures.capture import Capture
from leansplat.errors import InputError
from leansplat.gaussians import Gaussians
from leansplat.merging.colours import fit_colours
from leansplat.merging.costs import pair_costs
from leansplat.merging.moments import AREA, COVARIANCE, OPACITY, merge_pairs, moments
from leansplat.merging.pairs import disjoint, evened, neighbours
from leansplat.merging.worth import Worth, by_geometry, by_views
from leansplat.progress import Progress

_ROUND = 0.35
"""Share of the Gaussians that a round takes away, at most."""

_COHERENT = 2.0
"""How many times what it shows alone a removal counts: holes that overlap add up, while merged pairs err either way.

At 1, a ball of 400 opaque blobs loses 6 dB more on the way to 100; scenes of surfaces keep 0.1 dB more at a tenth."""

_FADING = 0.3
"""Of the step that would be best for each opacity alone, what is taken: those that overlap all take theirs."""

_LARGEST_FADING = 0.3
"""Change of the logarithm of an opacity in a round, at most."""

_NOISE = 1 / 255**2
"""Change of the pictures up to which an opacity hardly moves: one level in one pixel."""

_OPAQUE = 0.9995
"""The largest opacity that merging and fading make; a logit of 7.6, from which training could still come back."""

_FAINTEST = 1 / 255
"""Nothing is drawn of a Gaussian of less opacity."""


@dataclass(frozen=True)
class Simplified:
    """A scene of fewer Gaussians, and where each comes from.

    Args:
        gaussians: M Gaussians, in the order of the scene that they come from; extras are those of `sources`.
        sources: (M,) int64, rising, of the Gaussians that each stands for, the one in whose place it is: of every two
            that became one, that of more mass.
        became: (N,) int64, for each Gaussian of the scene before, the one that it is now part of; -1 if it went.
        unseen: how many Gaussians that could be drawn no view showed; 0 without views.
        unseen_kept: how many Gaussians stand for those.
    """

    gaussians: Gaussians
    sources: Tensor
    became: Tensor
    unseen: int = 0
    unseen_kept: int = 0


def simplify(
    gaussians: Gaussians,
    count: int,
    capture: Capture | None = None,
    *,
    protected: Tensor | None = None,
    engine: str = "cpu",
    progress: Progress | None = None,
    seed: int = 0,
    another: Callable[[], bool] | None = None,
) -> Simplified:
    """The scene with exactly `count` Gaussians (all, where there are no more), without training.

    With a capture, its training views judge; photos of real cameras or a scene's own renders
    (`shrinking.teacher.teacher_capture`). Gaussians that none of them shows are thinned out in the same proportion as
    the others: merged among themselves by their geometry alone, never dropped unless they could not be drawn at all.
    Without a capture, all is by geometry, and the result is the same bits on any number of threads.

    Args:
        protected: (N,) bool, Gaussians that stay as they are, bit for bit.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        progress: told how many of the Gaussians that are to go have gone.
        seed: of the order in which views fit the colours.
        another: asked before each round that views judge, whether there is time for it; from where there is none, all
            is by geometry.

    Raises:
        InputError: the count is below 1 or below the number of protected Gaussians, or there is no such engine.
    """
    total = len(gaussians)
    fixed = np.zeros(total, bool) if protected is None else protected.cpu().numpy().astype(bool)
    if fixed.shape != (total,):
        raise ValueError(f"protected has shape {fixed.shape} where {(total,)} is expected")
    if count < 1:
        raise InputError(f"{count} Gaussians make no scene; ask for at least 1.")
    if fixed.sum() > count:
        raise InputError(f"{int(fixed.sum()):,} Gaussians are protected, which is more than {count:,}; protect fewer.")
    if total <= count:
        return Simplified(gaussians, torch.arange(total), torch.arange(total))
    thinning = _Thinning(gaussians.detach().to("cpu").arrays(), fixed, count, progress)
    thinning.drop_what_is_never_drawn()
    if capture is None or not capture.train:
        thinning.by_geometry(np.ones(len(thinning.scene), bool), count)
    else:
        thinning.by_views(capture, engine, seed, another or (lambda: True))
    sources = torch.from_numpy(thinning.sources)
    extras = {name: values.cpu()[sources] for name, values in gaussians.extras.items()}
    return Simplified(
        gaussians=replace(Gaussians.from_arrays(thinning.scene), extras=extras),
        sources=sources,
        became=torch.from_numpy(thinning.became),
        unseen=thinning.unseen,
        unseen_kept=thinning.unseen_kept,
    )


class _Thinning:
    """A scene on its way down to `count`, of M Gaussians now.

    Args:
        scene: as it is now, without extras.
        fixed: (M,) bool, what stays as it is.
        sources, became, unseen, unseen_kept: see `Simplified`.
    """

    def __init__(self, scene: GaussianArrays, fixed: np.ndarray, count: int, progress: Progress | None) -> None:
        self.scene = replace(scene, extras={})
        self.fixed = fixed
        self.sources: np.ndarray = np.arange(len(scene))
        self.became: np.ndarray = np.arange(len(scene))
        self.unseen = self.unseen_kept = 0
        self._count = count
        self._surplus = len(scene) - count
        self._progress = progress

    def drop_what_is_never_drawn(self) -> None:
        """Let go, as far as there are too many, Gaussians that are not finite or too faint to be drawn, those first."""
        finite = self.scene.finite_equivalent().finite()
        opacity = np.where(finite, opacity_of(self.scene.opacities), -1.0)
        useless = np.flatnonzero(~(opacity >= _FAINTEST) & ~self.fixed)
        useless = useless[np.argsort(opacity[useless], kind="stable")][: self._surplus]
        if len(useless):
            nothing = np.zeros(0, np.int64)
            self._replace(moments(self.scene), nothing, nothing, useless)

    def by_geometry(self, among: np.ndarray, count: int) -> np.ndarray:
        """Bring those of a mask (M,) down to a count by merging, judged by their geometry alone; the mask of them."""
        while (surplus := int(among.sum()) - count) > 0:
            rows = moments(self.scene)
            worth = by_geometry(self.scene, rows)
            among = among[self._round(rows, worth, among, _steps(among, surplus), removing=False)]
        return among

    def by_views(self, capture: Capture, engine: str, seed: int, another: Callable[[], bool]) -> None:
        """Bring the scene down to its count by what training views show, as long as there is time for `another` round,
        and then fit opacities and colours to them."""
        worth = self._measured(capture, engine)
        seen = worth.exposure > 0
        left = self._share_of_unseen(~seen)
        aim = self._count - left
        while (surplus := int(seen.sum()) - aim) > 0 and another():
            seen = seen[self._round(moments(self.scene), worth, seen, _steps(seen, surplus), removing=True)]
            worth = self._measured(capture, engine)
            self._fade(worth, seen & ~self.fixed)
        seen = self.by_geometry(seen, aim)
        self.by_geometry(~seen, left)
        fitted = fit_colours(Gaussians.from_arrays(self.scene), capture, engine, seed)
        colours = {name: getattr(fitted, name).numpy() for name in ("sh0", "shN")}
        for name, values in colours.items():
            values[self.fixed] = getattr(self.scene, name)[self.fixed]
        self.scene = replace(self.scene, **colours)

    def _measured(self, capture: Capture, engine: str) -> Worth:
        model = engines.named(engine).begin(Gaussians.from_arrays(self.scene), {})
        return by_views(model, moments(self.scene), capture.train, capture.background)

    def _share_of_unseen(self, unseen: np.ndarray) -> int:
        """How many Gaussians shall stand for those of a mask (M,) that no view shows: as many in proportion."""
        self.unseen = int(unseen.sum())
        fixed = int((unseen & self.fixed).sum())
        free = self.unseen - fixed
        if free:
            movable = len(unseen) - int(self.fixed.sum())
            share = (self._count - int(self.fixed.sum())) * free / movable
            free = max(1, round(share)) if share > 0 else 0
        self.unseen_kept = fixed + free
        return self.unseen_kept

    def _fade(self, worth: Worth, rows: np.ndarray) -> None:
        """Scale the opacities of a mask (M,) towards where each alone would make the error least.

        The error is a parabola in the logarithm of an opacity, as far as a pixel is linear in it, with `change` its
        curvature; so its least place is known.
        """
        assert worth.slope is not None
        step = _FADING * worth.slope / (2 * (worth.change + _NOISE))
        opacity = opacity_of(self.scene.opacities) * np.exp(step.clip(-_LARGEST_FADING, _LARGEST_FADING))
        faded = np.where(rows, logit_of(np.minimum(opacity, _OPAQUE)), self.scene.opacities)
        self.scene = replace(self.scene, opacities=faded.astype(np.float32))

    def _round(self, rows: np.ndarray, worth: Worth, among: np.ndarray, steps: int, *, removing: bool) -> np.ndarray:
        """Do the `steps` that change pictures least, of those that share no Gaussian; all are from a mask (M,).

        Args:
            rows: (M, ROW) moments of the scene.
            removing: whether a Gaussian may also go.

        Returns:
            (M,) bool, which places of the scene are left.
        """
        members = np.flatnonzero(among & ~self.fixed).astype(np.int32)
        centres = rows[members, :COVARIANCE]
        first, second = (members[side] for side in neighbours(centres))
        sh0, shN = (getattr(self.scene, name).reshape(len(rows), -1) for name in ("sh0", "shN"))
        costs: np.ndarray = np.empty(len(first), np.float32)
        pair_costs(rows, sh0, shN, worth.change, worth.exposure, first, second, costs)
        if removing:
            first, second = np.concatenate([first, members]), np.concatenate([second, members])
            costs = np.concatenate([costs, (_COHERENT * worth.change[members]).astype(np.float32)])
        else:
            costs = evened(costs, first, second, len(rows))
        order = np.argsort(costs, kind="stable")
        chosen = disjoint(order, first, second, steps, self.fixed.copy())
        first, second = first[chosen], second[chosen]
        gone = first == second
        return self._replace(rows, first[~gone], second[~gone], first[gone])

    def _replace(self, rows: np.ndarray, first: np.ndarray, second: np.ndarray, gone: np.ndarray) -> np.ndarray:
        """Merge pairs, in the place of the one of more mass, and take others away; (M,) bool, which places are left."""
        mass = rows[:, OPACITY] * rows[:, AREA]
        first, second = (np.where((mass[first] >= mass[second]) == side, first, second) for side in (True, False))
        pairs = len(first)
        means, quats, scales = np.empty((pairs, 3)), np.empty((pairs, 4)), np.empty((pairs, 3))
        opacities, shares = np.empty(pairs), np.empty(pairs)
        merge_pairs(rows, first, second, means, quats, scales, opacities, shares)
        share = shares[:, None, None].astype(np.float32)
        merged = {
            "means": means,
            "quats": quats,
            "scales": log_of(np.maximum(scales, LEAST_SCALE)),
            "opacities": logit_of(np.minimum(opacities, _OPAQUE)),
            "sh0": share * self.scene.sh0[first] + (1 - share) * self.scene.sh0[second],
            "shN": share * self.scene.shN[first] + (1 - share) * self.scene.shN[second],
        }
        left: np.ndarray = np.ones(len(rows), bool)
        left[second] = left[gone] = False
        arrays: dict[str, Any] = {}
        places: np.ndarray = np.cumsum(left) - 1
        for name in TENSOR_NAMES:
            arrays[name] = getattr(self.scene, name)[left]
            arrays[name][places[first]] = merged[name]
        self.scene = replace(self.scene, **arrays)
        self.fixed = self.fixed[left]
        self.sources = self.sources[left]
        places[gone] = -1
        places[second] = places[first]
        self.became = np.where(self.became >= 0, places[self.became], -1)
        if self._progress is not None:
            self._progress(self._surplus + self._count - len(self.scene), self._surplus, {})
        return left


def _steps(among: np.ndarray, surplus: int) -> int:
    """How many Gaussians a round takes from a mask, so that all rounds take the same share of what they find."""
    now = int(among.sum())
    rounds = math.ceil(math.log((now - surplus) / now) / math.log(1 - _ROUND)) if surplus < now else 1
    return surplus if rounds <= 1 else now - round(now * ((now - surplus) / now) ** (1 / rounds))
