"""What happens at which step: the published 3DGS schedule as functions of the config and the step, without state.

Steps count from 1. Because nothing here remembers anything, a resumed run and a fine-tuning that goes on after the last
step (the position rate then stays at its final value) need no special care.
"""

from __future__ import annotations

import math

from leansplat.training.config import TrainingConfig


def position_rate(config: TrainingConfig, step: int, extent: float) -> float:
    """Learning rate of `means` at `step`: exponential between the two rates of the config, times the scene extent."""
    progress = min(max(step / config.position_rate_steps, 0.0), 1.0)
    log_rate = (1 - progress) * math.log(config.position_rate) + progress * math.log(config.position_rate_final)
    return math.exp(log_rate) * extent


def rates(config: TrainingConfig) -> dict[str, float]:
    """Learning rates of all attributes but `means`, whose rate is that of `position_rate`."""
    return {
        "quats": config.quat_rate,
        "scales": config.scale_rate,
        "opacities": config.opacity_rate,
        "sh0": config.sh0_rate,
        "shN": config.shN_rate,
    }


def sh_degree(config: TrainingConfig, step: int) -> int:
    """Degree of the spherical harmonics that are rendered and trained at `step`."""
    return min(config.sh_degree, step // config.sh_degree_every)


def gathers_statistics(config: TrainingConfig, step: int) -> bool:
    """Whether the render of `step` adds to the statistics that densification reads."""
    return step < config.densify_until


def densifies(config: TrainingConfig, step: int) -> bool:
    """Whether Gaussians are cloned, split and pruned after `step`."""
    return config.densify_from < step < config.densify_until and step % config.densify_every == 0


def prunes_large(config: TrainingConfig, step: int) -> bool:
    """Whether the densification after `step` also removes Gaussians that are too large.

    That is once opacities were reset and enough densifications have had the chance to split what is large: what a scene
    starts from may be as large as the gaps between its points.
    """
    splitting = config.densify_from + config.prune_large_after * config.densify_every
    return step > max(config.reset_opacities_every, splitting)


def prunes_faint(config: TrainingConfig, step: int) -> bool:
    """Whether Gaussians of low opacity are removed after `step`, although densification has ended."""
    return config.densify_until <= step < config.opacity_pruning_until and step % config.densify_every == 0


def prunes_masked(config: TrainingConfig, step: int) -> bool:
    """Whether Gaussians that the learned mask has hidden are removed after `step`; the last step leaves none behind."""
    return config.mask_weight > 0 and (step % config.densify_every == 0 or step == config.iterations)


def resets_opacities(config: TrainingConfig, step: int, *, white_background: bool = False) -> bool:
    """Whether opacities are pulled down after `step`.

    On a white background there is one more reset when densification starts, as published: white Gaussians would
    otherwise fill the empty space at no cost.
    """
    if step >= config.densify_until:
        return False
    return step % config.reset_opacities_every == 0 or (white_background and step == config.densify_from)
