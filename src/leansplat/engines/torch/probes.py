"""`ProbedEffects`: sums of squares over pixels from any rasteriser with gradients, by random signs.

A pixel changes without a Gaussian of opacity sigma by minus the derivative of its colour C by log sigma. With z a
random sign for each pixel and channel, the square of d (sum z C) / d log sigma has the sum of the squared changes as
its expectation, as the signs of different pixels cancel; each try is one more backward pass. `PROBES` of them in a view
rank Gaussians as the exact sums do (benchmarks/probes.py: rank correlations of 0.99 and above, over 22 to 50 views).
How the squared error grows in the direction of the change is one backward pass of that error, and needs no signs.

Where alphas are capped, or a pixel ends early, the derivative is not exactly the change.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cached_property

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.removal_effects import RemovalEffects
from leansplat.engines.torch.rasterizer import Rasteriser
from leansplat.gaussians import Gaussians

PROBES = 8
"""Backward passes a view."""

_MOST_OPAQUE = 10.0
"""A logit beyond which one minus the opacity is lost in rounding; alphas are capped before."""


class ProbedEffects(RemovalEffects):
    """Effects of which `change` and `slope` are probed, and the others summed exactly, when they are first read.

    What Speedy-Splat and LightGaussian count is not in reach of a rasteriser's gradients: opacities know only a
    multiple of a Gaussian's value, and ranks by that are others (0.86 to 0.88 in benchmarks/probes.py).

    Args:
        probed: gives `change` and `slope`.
        summed: gives all, exactly and slowly.
    """

    def __init__(self, probed: Callable[[], tuple[Tensor, Tensor]], summed: Callable[[], RemovalEffects]) -> None:
        vars(self).update(_probe=probed, _sum=summed)

    @cached_property
    def _probed(self) -> tuple[Tensor, Tensor]:
        found: tuple[Tensor, Tensor] = vars(self)["_probe"]()
        return found

    @cached_property
    def _summed(self) -> RemovalEffects:
        found: RemovalEffects = vars(self)["_sum"]()
        return found

    @property
    def change(self) -> Tensor:
        return self._probed[0]

    @property
    def slope(self) -> Tensor:
        return self._probed[1]

    @property
    def value_gradient(self) -> Tensor:
        return self._summed.value_gradient

    @property
    def visibility(self) -> Tensor:
        return self._summed.visibility

    @property
    def drawn(self) -> Tensor:
        return self.change > 0


def add_probed(
    rasterise: Rasteriser,
    gaussians: Gaussians,
    camera: Camera,
    photo: Tensor,
    background: Tensor,
    mask: Tensor | None,
    seed: int,
    change: Tensor,
    slope: Tensor,
) -> None:
    """Add what a view would lose without each Gaussian to `change` and `slope` (N,), in place.

    Args:
        photo: (H, W, 3) in [0, 1].
        mask: (H, W) bool, true where a pixel counts; None where all do.
        seed: of the view's signs.
    """
    logits = gaussians.opacities.detach().clamp(max=_MOST_OPAQUE).requires_grad_()
    image = rasterise(replace(gaussians.detach(), opacities=logits), camera, background, gaussians.sh_degree).image
    by_logarithm = 1 / (-logits.detach()).sigmoid()
    counts = torch.ones_like(image) if mask is None else mask[..., None].expand_as(image).to(image)

    def effect(weights: Tensor, *, again: bool) -> Tensor:
        """Of every Gaussian on the sum over weighted pixels."""
        found: Tensor
        (found,) = torch.autograd.grad(image, logits, weights * counts, retain_graph=again, materialize_grads=True)
        return torch.where(found == 0, 0.0, -found * by_logarithm)  # logits that are not numbers are not drawn

    slope += effect(2 * (image.detach() - photo), again=True)
    generator = torch.Generator(device=image.device).manual_seed(seed)
    for left in reversed(range(PROBES)):
        signs = torch.randint(2, image.shape, generator=generator, device=image.device).to(image) * 2 - 1
        change += effect(signs, again=left > 0).square() / PROBES
