"""Runs the renderer and the float64 reference on one scene and loss, and measures how far apart they are."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.engines.cpu import Rendering, ViewStatistics, render
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from support.reference_renderer import Reference, in_double, loss_weights, render_reference


@dataclass(frozen=True)
class Pair:
    """What the renderer (`ours`) and the reference (`theirs`) made of one scene, and their gradients by tensor name."""

    ours: Rendering
    theirs: Reference
    our_gradients: dict[str, Tensor]
    their_gradients: dict[str, Tensor]
    screen_gradients: Tensor


def as_leaves(gaussians: Gaussians) -> Gaussians:
    """The scene with fresh tensors that collect gradients."""
    return replace(
        gaussians, **{name: getattr(gaussians, name).detach().clone().requires_grad_() for name in TENSOR_NAMES}
    )


def gradients_of(gaussians: Gaussians) -> dict[str, Tensor]:
    """Gradients collected so far by tensor name; zeros where none arrived."""
    found = {}
    for name in TENSOR_NAMES:
        values = getattr(gaussians, name)
        found[name] = torch.zeros_like(values) if values.grad is None else values.grad
    return found


def compare(
    gaussians: Gaussians,
    camera: Camera,
    *,
    background: tuple[float, float, float] = (0.0, 0.0, 0.0),
    sh_degree: int | None = None,
    image: bool = True,
    alpha: bool = True,
    statistics: ViewStatistics | None = None,
    margin: float = 1e-4,
) -> Pair:
    """Render with both, and send the same loss back through both; `image` and `alpha` say what the loss depends on."""
    double = in_double(gaussians, requires_grad=True)
    theirs = render_reference(double, camera, background=background, sh_degree=sh_degree, margin=margin)
    assert theirs.decided.double().mean() > 0.97, "too few pixels are left to compare"
    image_weights, alpha_weights = loss_weights(theirs.decided, image=image, alpha=alpha)
    screen = torch.zeros(len(gaussians), 2, dtype=torch.float64)
    loss = (theirs.image * image_weights).sum() + (theirs.alpha * alpha_weights).sum()
    if len(theirs.projection.rows):
        leaves = [getattr(double, name) for name in TENSOR_NAMES if getattr(double, name).numel()]
        *found, means = torch.autograd.grad(loss, [*leaves, theirs.projection.means])
        for leaf, gradient in zip(leaves, found, strict=True):
            leaf.grad = gradient
        screen[theirs.projection.rows] = means

    single = as_leaves(gaussians)
    ours = render(single, camera, background=background, sh_degree=sh_degree, statistics=statistics)
    ((ours.image * image_weights).sum() * float(image) + (ours.alpha * alpha_weights).sum() * float(alpha)).backward()
    return Pair(ours, theirs, gradients_of(single), gradients_of(double), screen)


def relative_error(found: Tensor, expected: Tensor) -> float:
    """|found - expected| / |expected| in the Euclidean norm; where nothing is expected, whether nothing was found."""
    found, expected = found.detach().double(), expected.detach()
    scale = float(expected.norm())
    if scale == 0:
        return 0.0 if not found.any() else float("inf")
    return float((found - expected).norm()) / scale


def largest_difference(pair: Pair) -> float:
    """Largest difference of image or alpha over the decided pixels."""
    decided = pair.theirs.decided
    image = (pair.ours.image.detach() - pair.theirs.image.detach()).abs()[decided]
    alpha = (pair.ours.alpha.detach() - pair.theirs.alpha.detach()).abs()[decided]
    return max(float(image.max()), float(alpha.max()))
