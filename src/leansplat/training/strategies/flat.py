"""Settings of strategies by the names that they had when `TrainingConfig` held them all.

Runs, checkpoints and the jobs of sweeps from then say them so, and go on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from leansplat.training.strategies.densification import Densification
from leansplat.training.strategies.faint_pruning import FaintPruning
from leansplat.training.strategies.learned_mask import LearnedMask
from leansplat.training.strategies.strategy import Strategy

_DENSIFICATION = {
    "densify_from": "after",
    "densify_until": "until",
    "densify_every": "every",
    "densify_gradient": "gradient",
    "densify_size": "size",
    "prune_opacity": "prune_opacity",
    "prune_size": "prune_size",
    "prune_large_after": "prune_large_after",
    "prune_radius": "prune_radius",
    "reset_opacities_every": "reset_every",
    "reset_opacity": "reset_opacity",
}
_FAINT_PRUNING = {"opacity_pruning_until": "until", "opacity_pruning_threshold": "opacity"}
_LEARNED_MASK = {"mask_weight": "weight", "mask_rate": "rate", "mask_threshold": "threshold"}

MASK = {"mask": "strategy.learned-mask.mask"}
"""What checkpoints call the tensor of the learned mask, then and now."""


def core_and_strategies(
    settings: Mapping[str, Any], strategies: tuple[Strategy, ...] = (Densification(),)
) -> tuple[dict[str, Any], tuple[Strategy, ...]]:
    """Settings that are not of strategies, and the strategies that all of them mean.

    Args:
        settings: some of them by the old names.
        strategies: whose settings count where `settings` have none.

    Raises:
        InputError: a setting is of another type or out of range.
    """
    old = _DENSIFICATION | _FAINT_PRUNING | _LEARNED_MASK
    core = {name: value for name, value in settings.items() if name not in old}
    before = {each.name: each for each in strategies}

    def changed(kind: type[Strategy], names: Mapping[str, str], **others: Any) -> Any:
        held = before[kind.name].to_json() if kind.name in before else {}
        given = {new: settings[name] for name, new in names.items() if name in settings}
        return kind.from_json({**held, **others, **given})

    densification: Densification = changed(Densification, _DENSIFICATION)
    found: list[Strategy] = [densification] if densification.until > 0 else []
    if "learned-mask" in before or settings.get("mask_weight"):
        found.append(changed(LearnedMask, _LEARNED_MASK, every=densification.every))
    if "faint-pruning" in before or settings.get("opacity_pruning_until"):
        found.append(changed(FaintPruning, _FAINT_PRUNING, start=densification.until, every=densification.every))
    return core, tuple(found)
