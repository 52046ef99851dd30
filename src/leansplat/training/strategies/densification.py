"""Adaptive density control: where the loss keeps pulling Gaussians across the screen there are too few of them.

Small ones are cloned, large ones split in two, and those that became transparent or too large are removed (Kerbl et al.
2023, section 5.2). How large is too large depends on how far away it is: see `too_large`. All decisions are made first,
on a few numbers for each Gaussian; then one gather rebuilds parameters and moments, in Morton order. Now and then all
opacities are pulled down, and what the photos do not need does not come back.
"""

from __future__ import annotations

import logging
import math
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError, RunError
from leansplat.ordering import morton_order
from leansplat.training.lengths import check_least, check_not_negative, scaled_interval, scaled_length, scaled_reset
from leansplat.training.strategies.strategy import AfterStep, Strategy, strategy

if TYPE_CHECKING:
    from leansplat.engines.engine import Model
    from leansplat.training.state import TrainingState

_log = logging.getLogger("leansplat")

SPLIT_SHRINK = 1.6
"""A split Gaussian's two halves have its scales divided by this."""


@dataclass(frozen=True)
class DensificationCounts:
    """What one densification did: Gaussians cloned, split, removed afterwards (of these `large` ones only for their
    size, the others because they were transparent), and left."""

    cloned: int
    split: int
    pruned: int
    large: int
    gaussians: int


@strategy("densification")
@dataclass(frozen=True)
class Densification(Strategy):
    """The published densification and opacity resets; the defaults are those of the reference implementation.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    after: int = 500
    """Densification happens after this step."""

    until: int = 15_000
    """Densification and opacity resets happen before this step."""

    every: int = 100
    """Steps between densifications, at least 1."""

    gradient: float = 2e-4
    """A Gaussian grows when its mean screen-space position gradient (normalised device units) reaches this."""

    size: float = 0.01
    """A growing Gaussian is cloned up to this scale (longest axis, in units of the scene extent) and split above."""

    prune_opacity: float = 0.005
    """Gaussians of lower opacity are removed at every densification."""

    prune_size: float = 0.1
    """Gaussians of larger scale are removed late in densification: longest axis, in units of the scene extent, with
    room for what is farther away than that; see `too_large`."""

    prune_large_after: int = 25
    """Densifications before Gaussians are removed for their size, which also waits for the first opacity reset. The
    published schedule has as many before that reset, so there the number changes nothing; a scaled run of an earlier
    version, which did not have this setting, goes on by this rule."""

    prune_radius: float = 0.0
    """Gaussians of larger screen radius in pixels are removed when those of larger scale are; 0 removes none.

    The paper's text and its code's settings say 20, but that code clears the radii just before it compares them, so its
    published results were made without this rule.
    """

    reset_every: int = 3000
    """Steps between pulling all opacities down to `reset_opacity`, at least 1; Gaussians that are not needed stay
    there."""

    reset_opacity: float = 0.01
    """Opacity that a reset leaves at most, between 0 and 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, after=0, until=0, every=1, prune_large_after=0, reset_every=1)
        check_not_negative(self, "gradient", "size", "prune_opacity", "prune_size", "prune_radius")
        if not 0 < self.reset_opacity < 1:
            raise InputError(f"setting reset_opacity is {self.reset_opacity}; give a value between 0 and 1")

    def scaled(self, before: int, after: int) -> Densification:
        start, until = (scaled_length(length, before, after) for length in (self.after, self.until))
        return replace(
            self,
            after=start,
            until=until,
            every=scaled_interval(self.every, until - start, before, after),
            reset_every=scaled_reset(self.reset_every, before, after),
        )

    def wants_statistics(self, step: int) -> bool:
        return step < self.until

    def densifies(self, step: int) -> bool:
        """Whether Gaussians are cloned, split and pruned after `step`."""
        return self.after < step < self.until and step % self.every == 0

    def prunes_large(self, step: int) -> bool:
        """Whether the densification after `step` also removes Gaussians that are too large.

        That is once opacities were reset and enough densifications have had the chance to split what is large: what a
        scene starts from may be as large as the gaps between its points.
        """
        return step > max(self.reset_every, self.after + self.prune_large_after * self.every)

    def resets_opacities(self, step: int, *, white_background: bool = False) -> bool:
        """Whether opacities are pulled down after `step`.

        On a white background there is one more reset when densification starts, as published: white Gaussians would
        otherwise fill the empty space at no cost.
        """
        if step >= self.until:
            return False
        return step % self.reset_every == 0 or (white_background and step == self.after)

    def after_step(self, after: AfterStep) -> None:
        state = after.state
        if self.densifies(state.step):
            cameras = after.cameras() if self.prunes_large(state.step) else None
            counts = densify(state, self, cameras=cameras)
            self._judge(counts, state.step)
            after.log("densified", **asdict(counts))
        if self.resets_opacities(state.step, white_background=min(after.capture.background) >= 1):
            reset_opacities(state.model, self.reset_opacity)
            after.log("opacities_reset")

    def _judge(self, counts: DensificationCounts, step: int) -> None:
        """Say where removing by size took most of a scene, and end where nothing is left."""
        if counts.gaussians == 0:
            raise RunError(
                f"no Gaussian is left after step {step}: {counts.large} of the last ones were too large for the scene "
                f"and {counts.pruned - counts.large} had become transparent; check that the cameras fit the photos "
                "and the points"
            )
        if counts.large > counts.gaussians:
            _log.warning(
                "step %d removed %d Gaussians for their size and left %d; a larger prune_size keeps them",
                *(step, counts.large, counts.gaussians),
            )


def densify(state: TrainingState, config: Densification, *, cameras: Tensor | None) -> DensificationCounts:
    """Clone, split and prune once; the scene is in Morton order afterwards, and statistics begin anew.

    Clones and halves start with zero moments, what they came from keeps its own (a split Gaussian is gone).

    Args:
        state: its statistics were gathered over the steps since the last densification; its generator draws where
            halves land, from the Gaussian that was split.
        config: thresholds.
        cameras: (V, 3) positions of the training cameras to remove by size and screen radius too; None removes none so.
    """
    model, statistics, extent = state.model, state.statistics.to("cpu"), state.extent
    # Decisions are the CPU's: a few numbers per Gaussian, and draws that are the same wherever the model lives.
    scales = model.attribute("scales").cpu()
    opacity = model.attribute("opacities").cpu().sigmoid()
    size = scales.amax(dim=1).exp()

    grows = statistics.mean_gradient() >= config.gradient
    small = size <= config.size * extent
    cloned = (grows & small).nonzero()[:, 0]
    split = (grows & ~small).nonzero()[:, 0]
    stays = (~(grows & ~small)).nonzero()[:, 0]

    sources = torch.cat([stays, cloned, split, split])
    is_half = torch.arange(len(sources)) >= len(stays) + len(cloned)
    fresh = torch.arange(len(sources)) >= len(stays)
    shrink = torch.where(is_half, 1 / SPLIT_SHRINK, 1.0)

    means = model.attribute("means").cpu()[sources]
    halves = sources[is_half]
    quats = model.attribute("quats").cpu()[halves]
    means[is_half] += random_offsets(quats, scales[halves], state.generator)

    visible = opacity[sources] >= config.prune_opacity
    kept = visible
    if cameras is not None:
        kept = kept & ~too_large(means, size[sources] * shrink, cameras, config, extent)
        if config.prune_radius > 0:
            kept &= statistics.max_radius[sources] * shrink <= config.prune_radius

    chosen = kept.nonzero()[:, 0]
    chosen = chosen[morton_order(means[chosen])]
    state.rebuild(sources[chosen], fresh[chosen])
    state.statistics = ViewStatistics.zeros(len(model), device=model.device)
    new_halves = is_half[chosen].nonzero()[:, 0]
    model.write("means", new_halves, means[chosen[new_halves]])
    model.write("scales", new_halves, scales[sources[chosen[new_halves]]] - math.log(SPLIT_SHRINK))
    return DensificationCounts(
        cloned=len(cloned),
        split=len(split),
        pruned=len(sources) - len(chosen),
        large=int(visible.sum()) - len(chosen),
        gaussians=len(chosen),
    )


def too_large(means: Tensor, size: Tensor, cameras: Tensor, config: Densification, extent: float) -> Tensor:
    """(N,) bool, which Gaussians are in the cameras' way.

    These are larger than `prune_size` R, where R is the scene extent, and nearer to a camera than 2 R, or than R plus
    their own size. Within 2 R, as wide as the cameras stand, this is the published limit, which is there against fog
    between cameras and scene. Farther away that limit would delete what photos show: a distant background has few
    points, with gaps of more than a tenth of R between them, and its Gaussians begin, and may stay, as large as those.

    Args:
        means: (N, 3) positions.
        size: (N,) longest axes (deviations), in world units like everything here.
        cameras: (V, 3) positions of the cameras.
        extent: R.
    """
    large = size > config.prune_size * extent
    candidates = large.nonzero()[:, 0]
    distance, _ = cKDTree(cameras.numpy()).query(means[candidates].numpy())
    large[candidates] = torch.from_numpy(distance) < extent + size[candidates].clamp(min=extent)
    return large


def reset_opacities(model: Model, ceiling: float) -> None:
    """Lower every opacity to at most `ceiling` (after the sigmoid) and forget the moments of all opacities.

    Gaussians that the photos need recover within a few hundred steps, the others are pruned.
    """
    logit = math.log(ceiling / (1 - ceiling))
    model.write("opacities", torch.arange(len(model)), model.attribute("opacities").clamp(max=logit))
    model.clear_moments("opacities")


def random_offsets(quats: Tensor, scales: Tensor, generator: torch.Generator) -> Tensor:
    """(M, 3) draws from zero-mean Gaussians of rotations `quats` (M, 4) and log deviations `scales` (M, 3)."""
    local = torch.randn(scales.shape, generator=generator) * scales.exp()
    quats = torch.nn.functional.normalize(quats, dim=1)
    w, xyz = quats[:, :1], quats[:, 1:]
    # Rotation by a unit quaternion: v + 2 w (u x v) + 2 u x (u x v).
    cross = torch.linalg.cross(xyz, local)
    return local + 2 * w * cross + 2 * torch.linalg.cross(xyz, cross)
