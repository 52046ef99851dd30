"""What all processes find about a scene that no model holds, such as one as a file will have it: process 0 hands it out
each time, every process looks at its share of the views, and the sums are known to all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from leansplat.cameras import Camera
from leansplat.captures.capture import View
from leansplat.distributed.channel import Channel
from leansplat.engines.engine import Background, Engine
from leansplat.engines.sensitivity import Sensitivity
from leansplat.engines.shared import SharedGaussians
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.progress import Progress


def as_message(scene: SharedGaussians) -> tuple[dict[str, Any], list[Tensor]]:
    """A scene to be told: a header, and its tensors and tables that are read, with the rows of the tables last."""
    gaussians, tables = scene.gaussians, scene.tables
    values = [tables[name][0] if name in tables else getattr(gaussians, name) for name in TENSOR_NAMES]
    header = {"antialiased": gaussians.antialiased, "origin": list(gaussians.origin), "tables": list(tables)}
    return header, [*values, *(rows for _, rows in tables.values())]


def of_message(told: Mapping[str, Any], tensors: Sequence[Tensor]) -> SharedGaussians:
    """The scene that `as_message` has told."""
    values = dict(zip(TENSOR_NAMES, tensors, strict=False))
    rows = dict(zip(told["tables"], tensors[len(TENSOR_NAMES) :], strict=True))
    count = len(values["means"])
    own: dict[str, Any] = {
        name: each.new_zeros(1).expand(count, *each.shape[1:]) if name in rows else each
        for name, each in values.items()
    }
    gaussians = Gaussians(**own, antialiased=told["antialiased"], origin=tuple(told["origin"]))
    return SharedGaussians(gaussians, {name: (values[name], each) for name, each in rows.items()})


def shared_loss(
    channel: Channel,
    engine: Engine,
    told: Mapping[str, Any],
    tensors: Sequence[Tensor],
    views: Sequence[View],
    places: Sequence[int],
    of: int,
    background: Background,
    ssim_weight: float,
) -> tuple[list[float], list[Tensor]]:
    """The losses of `of` views, of which this process looks at those with these places, and the gradients of their mean
    by the tensors and tables of a message."""
    known = len(TENSOR_NAMES)
    leaves = [each.detach().clone().requires_grad_() for each in tensors[:known]]
    losses, gradients = torch.zeros(of, dtype=torch.float64), [torch.zeros_like(each) for each in leaves]
    if views:
        scene = of_message(told, [*leaves, *tensors[known:]])
        mean, found = engine.mean_loss(scene, views, background, ssim_weight)
        losses[list(places)] = torch.tensor(found, dtype=torch.float64)
        by = torch.autograd.grad(mean * (len(views) / of), leaves, materialize_grads=True)
        gradients = [each.contiguous() for each in by]
    channel.add_up([losses, *gradients])
    return losses.tolist(), gradients


def shared_sensitivity(
    channel: Channel,
    engine: Engine,
    scene: Gaussians,
    cameras: Sequence[Camera],
    masks: Sequence[Tensor | None],
    background: Background,
    progress: Progress | None = None,
) -> Sensitivity:
    """`Engine.sensitivity`, of which this process looks at every so many of the cameras."""
    place = channel.place
    mine, hidden = cameras[place.rank :: place.count], masks[place.rank :: place.count]

    def pixels(camera: Camera, mask: Tensor | None) -> int:
        return camera.height * camera.width if mask is None else int(mask.count_nonzero())

    share = sum(map(pixels, mine, hidden)) / sum(map(pixels, cameras, masks))
    if share > 0:
        found = engine.sensitivity(scene, mine, background, hidden, progress)
    else:
        coefficients = 1 + scene.shN.shape[1]
        found = Sensitivity(torch.zeros(len(scene), 3 * coefficients), torch.zeros(len(scene), 6))
    sums = [(each * share).contiguous() for each in (found.colors, found.covariances)]
    channel.add_up(sums)
    return Sensitivity(*sums)


class KnownGradients(torch.autograd.Function):
    """A value whose gradients by some tensors are known already."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, gradients: Sequence[Tensor], *tensors: Tensor) -> Tensor:
        ctx.gradients = gradients
        return value.clone()

    @staticmethod
    def backward(ctx: Any, by_value: Tensor) -> tuple[Tensor | None, ...]:
        return None, None, *(by_value * each for each in ctx.gradients)
