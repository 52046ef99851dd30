"""Adam (Kingma and Ba 2015) with the numbers that 3DGS gives it: the same in every engine, and for what has its own.

They are those of a step with one view. A step with the mean gradient of n views is to move a scene as far as n steps
with one view each would, whose noise adds up by its squares: the learning rates grow by sqrt(n). What Adam forgets in
n steps it forgets in one: the betas are taken to the power of n. The mean of n gradients is smaller by sqrt(n), and so
is epsilon. This is the rule of Grendel (Zhao et al. 2024, arXiv 2406.18533). Steps are counted in views, so that the
bias of moments does not depend on how these came in batches.
"""

from __future__ import annotations

import math
from typing import NamedTuple

BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-15


class BatchedAdam(NamedTuple):
    """Adam's numbers for a step with the mean gradient of some views.

    Args:
        rate: what learning rates are multiplied with.
        beta1, beta2, epsilon: as in Adam.
    """

    rate: float
    beta1: float
    beta2: float
    epsilon: float

    @classmethod
    def of(cls, views: int) -> BatchedAdam:
        """Those for a number of views, at least 1."""
        root = math.sqrt(views)
        return cls(root, BETA1**views, BETA2**views, EPSILON / root)


def bias_corrections(step: int) -> tuple[float, float]:
    """What the two moments are multiplied with at a step, counted from 1, because they start at zero.

    Args:
        step: views seen by all steps so far, this one's included.
    """
    return 1.0 / (1.0 - BETA1**step), 1.0 / (1.0 - BETA2**step)
