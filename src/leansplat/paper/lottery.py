"""The lottery-ticket test: keep only where a trimmed scene has its Gaussians, forget everything else, train again.

Trimming the Fat reports that this fails to converge. Its code makes it hard in ways that have nothing to do with the
question: scales of about one unit of the world, moments of the Gaussians as they were, and a position rate that is at
its end. So there are two ways to draw the ticket: as the authors did, and a fair one that begins like a training.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

import torch

from leansplat.captures import Points
from leansplat.training import TrainingConfig, TrainingState, gaussians_from_points
from leansplat.training.strategies import Densification

Ticket = Literal["authors", "fair"]


def lottery_config(config: TrainingConfig, ticket: Ticket) -> TrainingConfig:
    """The recipe to train a ticket with: `config` without densification, and with the final position rate throughout
    for the authors' ticket."""
    rate = config.position_rate_final if ticket == "authors" else config.position_rate
    return replace(config.without(Densification), position_rate=rate)


def lottery_ticket(trimmed: TrainingState, config: TrainingConfig, ticket: Ticket) -> TrainingState:
    """The state to train a ticket from: the means of a trimmed scene, everything else drawn anew.

    Args:
        trimmed: where trimming ended.
        config: what `lottery_config` returned; its seed draws the ticket.
        ticket: "authors": quats, log scales, opacity logits and colours from N(0, 1), Adam's moments kept. "fair": as
            training begins, scales from the neighbours, opacity 0.1, random colours, fresh moments.
    """
    generator = torch.Generator().manual_seed(config.seed)
    scene = trimmed.gaussians()
    if ticket == "authors":
        drawn = replace(
            scene,
            quats=torch.randn(scene.quats.shape, generator=generator),
            scales=torch.randn(scene.scales.shape, generator=generator),
            opacities=torch.randn(scene.opacities.shape, generator=generator),
            sh0=torch.randn(scene.sh0.shape, generator=generator),
            shN=torch.randn(scene.shN.shape, generator=generator),
        )
        return trimmed.restarted(drawn, config, generator)
    points = Points(scene.means, torch.rand(len(scene), 3, generator=generator))
    fresh = gaussians_from_points(points, trimmed.extent, sh_degree=scene.sh_degree)
    fresh = replace(fresh, antialiased=scene.antialiased, origin=scene.origin)
    return TrainingState.begin(fresh, config, trimmed.extent, generator=generator, engine=trimmed.model.engine)
