"""Training: the recipe, its schedule and strategies, checkpoints, and the loop that puts them together.

The names below are imported on first use, so that reading settings does not wait for PyTorch and the kernels.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leansplat.training.checkpoint import read_checkpoint
    from leansplat.training.config import TrainingConfig
    from leansplat.training.initialisation import gaussians_from_points
    from leansplat.training.lengths import MOST_STEPS
    from leansplat.training.pace import check_minutes, lean_within
    from leansplat.training.recipes import LEAN_STEPS, count_for, lean
    from leansplat.training.state import TrainingState, training_step
    from leansplat.training.trainer import TrainingResult, train

__all__ = [
    "LEAN_STEPS",
    "MOST_STEPS",
    "TrainingConfig",
    "TrainingResult",
    "TrainingState",
    "check_minutes",
    "count_for",
    "gaussians_from_points",
    "lean",
    "lean_within",
    "read_checkpoint",
    "train",
    "training_step",
]

_WHERE = {
    "LEAN_STEPS": "recipes",
    "MOST_STEPS": "lengths",
    "TrainingConfig": "config",
    "TrainingResult": "trainer",
    "TrainingState": "state",
    "check_minutes": "pace",
    "count_for": "recipes",
    "gaussians_from_points": "initialisation",
    "lean": "recipes",
    "lean_within": "pace",
    "read_checkpoint": "checkpoint",
    "train": "trainer",
    "training_step": "state",
}


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module 'leansplat.training' has no attribute {name!r}")
    return getattr(import_module(f"leansplat.training.{_WHERE[name]}"), name)
