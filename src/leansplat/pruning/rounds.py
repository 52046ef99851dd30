"""One round of pruning: score a scene over the views it is trained on, and remove what is worth least.

What goes is decided by levels (`selection`), so that a round is one cut. Whoever prunes calls this: trimming in all its
rounds, and work that decides for itself how far to go next.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from torch import Tensor

from leansplat.captures.capture import Capture
from leansplat.engines.statistics import ViewStatistics
from leansplat.errors import InputError
from leansplat.pruning.config import Unseen
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.evidence import Evidence
from leansplat.pruning.selection import removal_levels
from leansplat.training.state import TrainingState


@dataclass(frozen=True)
class Pruned:
    """What a round did to the N Gaussians before it.

    Args:
        kept: (M,) int64, the rows that are left, in rising order.
        seen: (N,) bool, whether any training view sees a Gaussian.
    """

    kept: Tensor
    seen: Tensor

    @property
    def unseen_removed(self) -> int:
        """How many of those that went no view sees."""
        return int((~self.seen).sum()) - int((~self.seen[self.kept]).sum())


def prune(
    state: TrainingState,
    capture: Capture,
    cut: Callable[[Tensor], Tensor],
    criterion: str,
    unseen: Unseen = "opacity",
    *,
    protected: Tensor | None = None,
    statistics: ViewStatistics | None = None,
    ssim_weight: float = 0.2,
) -> Pruned:
    """Score a scene over the training views of `capture`, and keep what a cut of the levels keeps.

    Args:
        state: changed in place, with all that belongs to the Gaussians.
        cut: from levels (N,) to a mask (N,) of those that are kept; see `selection`.
        criterion: a name in `CRITERIA`.
        unseen: what becomes of Gaussians that no view sees; see `TrimmingConfig.unseen`.
        protected: (N,) bool, Gaussians that stay whatever they are worth.
        statistics: gradients to judge by; by default they are gathered where the criterion reads them.
        ssim_weight: of the loss whose gradients are gathered.
    """
    evidence = Evidence(state.model, capture.train, capture.background, statistics, ssim_weight)
    scores = CRITERIA[criterion](evidence)
    seen = evidence.seen.cpu()
    levels = removal_levels([score.cpu() for score in scores], evidence.opacity.cpu(), seen, unseen)
    if protected is not None:
        levels = levels.masked_fill(protected.cpu(), math.inf)
    kept = cut(levels).nonzero()[:, 0]
    state.select(kept)
    return Pruned(kept, seen)


def check_protected(protected: Tensor | None, count: int) -> None:
    """Refuse to go below what is protected.

    Raises:
        InputError: there are more protected Gaussians than `count`.
    """
    if protected is not None and int(protected.sum()) > count:
        raise InputError(
            f"{int(protected.sum()):,} Gaussians are protected, more than the {count:,} to keep; keep more"
        )
