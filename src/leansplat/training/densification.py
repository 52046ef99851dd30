"""Adaptive density control: where the loss keeps pulling Gaussians across the screen there are too few of them.

Small ones are cloned, large ones split in two, and those that became transparent or too large are removed (Kerbl et al.
2023, section 5.2). How large is too large depends on how far away it is: see `too_large`. All decisions are made first,
on a few numbers a Gaussian; then one gather rebuilds parameters and moments, in Morton order. Like gsplat's operations,
the functions here change a scene and its optimiser together.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from scipy.spatial import cKDTree
from torch import Tensor

from leansplat.engines.engine import Model
from leansplat.engines.statistics import ViewStatistics
from leansplat.ordering import morton_order
from leansplat.training.config import TrainingConfig

_SPLIT_SHRINK = 1.6
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


def densify(
    model: Model,
    statistics: ViewStatistics,
    config: TrainingConfig,
    extent: float,
    generator: torch.Generator,
    *,
    cameras: Tensor | None,
) -> tuple[DensificationCounts, Tensor]:
    """Clone, split and prune once; the scene is in Morton order afterwards.

    Clones and halves start with zero moments, what they came from keeps its own (a split Gaussian is gone).

    Returns:
        what was done, and for each Gaussian of the new scene the index of the one it comes from, (M,) int64.

    Args:
        statistics: gathered over the steps since the last densification, of the scene as it is.
        config: thresholds.
        extent: scene extent, the unit of the sizes.
        generator: draws where halves land: from the Gaussian that was split.
        cameras: (V, 3) positions of the training cameras to remove by size and screen radius too; None removes none so.
    """
    # Decisions are the CPU's: a few numbers a Gaussian, and draws that are the same wherever the model lives.
    scales = model.attribute("scales").cpu()
    opacity = model.attribute("opacities").cpu().sigmoid()
    size = scales.amax(dim=1).exp()
    statistics = statistics.to("cpu")

    grows = statistics.mean_gradient() >= config.densify_gradient
    small = size <= config.densify_size * extent
    cloned = (grows & small).nonzero()[:, 0]
    split = (grows & ~small).nonzero()[:, 0]
    stays = (~(grows & ~small)).nonzero()[:, 0]

    sources = torch.cat([stays, cloned, split, split])
    is_half = torch.arange(len(sources)) >= len(stays) + len(cloned)
    fresh = torch.arange(len(sources)) >= len(stays)
    shrink = torch.where(is_half, 1 / _SPLIT_SHRINK, 1.0)

    means = model.attribute("means").cpu()[sources]
    halves = sources[is_half]
    quats = model.attribute("quats").cpu()[halves]
    means[is_half] += _random_offsets(quats, scales[halves], generator)

    visible = opacity[sources] >= config.prune_opacity
    kept = visible
    if cameras is not None:
        kept = kept & ~too_large(means, size[sources] * shrink, cameras, config, extent)
        if config.prune_radius > 0:
            kept &= statistics.max_radius[sources] * shrink <= config.prune_radius

    chosen = kept.nonzero()[:, 0]
    chosen = chosen[morton_order(means[chosen])]
    model.rebuild(sources[chosen], fresh[chosen])
    new_halves = is_half[chosen].nonzero()[:, 0]
    model.write("means", new_halves, means[chosen[new_halves]])
    model.write("scales", new_halves, scales[sources[chosen[new_halves]]] - math.log(_SPLIT_SHRINK))
    counts = DensificationCounts(
        cloned=len(cloned),
        split=len(split),
        pruned=len(sources) - len(chosen),
        large=int(visible.sum()) - len(chosen),
        gaussians=len(chosen),
    )
    return counts, sources[chosen]


def too_large(means: Tensor, size: Tensor, cameras: Tensor, config: TrainingConfig, extent: float) -> Tensor:
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


def _random_offsets(quats: Tensor, scales: Tensor, generator: torch.Generator) -> Tensor:
    """(M, 3) draws from zero-mean Gaussians of rotations `quats` (M, 4) and log deviations `scales` (M, 3)."""
    local = torch.randn(scales.shape, generator=generator) * scales.exp()
    quats = torch.nn.functional.normalize(quats, dim=1)
    w, xyz = quats[:, :1], quats[:, 1:]
    # Rotation by a unit quaternion: v + 2 w (u x v) + 2 u x (u x v).
    cross = torch.linalg.cross(xyz, local)
    return local + 2 * w * cross + 2 * torch.linalg.cross(xyz, cross)
