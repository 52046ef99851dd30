"""Strays: Gaussians so far out that a scene without them looks the same.

Trainers leave some at 10^6 or 5 10^8, where no photo shows them. A far sky, though, and a second place that is worth as
much as the first are far too, so distance alone does not make a stray: all that is as far as one or farther must also
weigh next to nothing, both in opacity and in the picture from the middle of the scene.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from leansplat.gaussians import Gaussians

FAR = 100.0
"""A stray is at least this many extents of the scene from its middle."""

_SHARE_OF_EXTENT = 0.9
_SHARE_OF_OPACITY = 1e-2
_SHARE_OF_PICTURE = 1e-3
_GAP = 2.0


@dataclass(frozen=True)
class Distances:
    """How far the Gaussians of a scene are, and what they weigh.

    Args:
        of: (N,) float64, distances from the middle, which is the median of the centres weighted by opacity on each
            axis; infinite or NaN for those that are not finite.
        extent: the distance from the middle within which nine tenths of the opacity lie, sizes included.
        opacity: (N,) float64, shares of the summed opacity.
        picture: (N,) float64, shares of the picture from the middle: opacity times the square of the angle that a
            Gaussian spans (the product of its two largest standard deviations over the squared distance, at least the
            extent; at most 1).
    """

    of: Tensor
    extent: float
    opacity: Tensor
    picture: Tensor

    def strays(self) -> Tensor:
        """(N,) bool: those beyond a radius of at least `FAR` extents, if all of them together weigh next to nothing.

        That is less than a hundredth of the opacity and a thousandth of the picture. The radius is the least that does,
        but never cuts through a place that matters: what is farther is at least twice as far as what is not.
        """
        found = torch.zeros(len(self.of), dtype=torch.bool)
        far = torch.where((self.of > FAR * self.extent) & self.of.isfinite(), self.of, 0)
        inwards = far.argsort(descending=True, stable=True)[: int((far > 0).sum())]
        if len(inwards) == 0 or not bool((self.opacity > 0).any()):
            return found
        light = (self.opacity[inwards].cumsum(0) < _SHARE_OF_OPACITY) & (
            self.picture[inwards].cumsum(0) < _SHARE_OF_PICTURE
        )
        next_inwards = torch.cat([far[inwards[1:]], far.new_zeros(1)])
        ends = light & (far[inwards] >= _GAP * next_inwards)
        found[inwards[: int(ends.nonzero().max()) + 1 if ends.any() else 0]] = True
        return found


def distances(gaussians: Gaussians) -> Distances:
    """Measure a scene; on the CPU, in float64. What is not finite weighs nothing."""
    means, scales, logits = (
        tensor.detach().cpu().double() for tensor in (gaussians.means, gaussians.scales, gaussians.opacities)
    )
    opacity = logits.sigmoid().where(means.isfinite().all(dim=1) & (scales < torch.inf).all(dim=1), 0.0).nan_to_num(0.0)
    middle = torch.stack([_quantile(means[:, axis], opacity, 0.5) for axis in range(3)])
    of = (means - middle).norm(dim=1)
    sizes = scales.sort(dim=1).values.exp()
    extent = float(_quantile(of + sizes[:, 2], opacity, _SHARE_OF_EXTENT))
    nearest = of.clamp(min=max(extent, torch.finfo(torch.float64).tiny))
    angles = (sizes[:, 1] / nearest).clamp(max=1) * (sizes[:, 2] / nearest).clamp(max=1)
    picture = (opacity * angles).nan_to_num(0.0)
    return Distances(of, extent, _shares(opacity), _shares(picture))


def strays(gaussians: Gaussians) -> Tensor:
    """(N,) bool on the CPU: which Gaussians are strays, see `Distances`."""
    return distances(gaussians).strays()


def describe(gaussians: Gaussians, rows: Tensor) -> str:
    """How many of a scene's Gaussians `rows` (N,) bool are, how far, and what they weigh; in a few words."""
    found = distances(gaussians)
    count = int(rows.sum())
    return (
        f"{count:,} of {len(gaussians):,} Gaussians, {'up to ' if count > 1 else ''}{float(found.of[rows].max()):.3g} "
        f"from the middle of a scene of radius {found.extent:.3g}, with {_percent(found.opacity[rows])} of its opacity "
        f"and {_percent(found.picture[rows])} of the picture from there"
    )


def _percent(shares: Tensor) -> str:
    share = 100 * float(shares.sum())
    return f"{share:.2g} %" if share >= 0.01 else "less than 0.01 %"


def _quantile(values: Tensor, weights: Tensor, share: float) -> Tensor:
    """The least value that, with all below it, has this share of the weight; 0 where nothing weighs anything."""
    if not bool((weights > 0).any()):
        return values.new_zeros(())
    ordered, order = values[weights > 0].sort()
    cumulated = weights[weights > 0][order].cumsum(0)
    return ordered[int(torch.searchsorted(cumulated, share * cumulated[-1]))]


def _shares(weights: Tensor) -> Tensor:
    total = weights.sum()
    return weights / total if float(total) > 0 else weights
