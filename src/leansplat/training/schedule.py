"""What rates and degrees hold at which step: the published 3DGS schedule as functions of the config and the step.

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
