"""Adam (Kingma and Ba 2015) with the numbers that 3DGS gives it: the same in every engine, and for what has its own."""

from __future__ import annotations

BETA1 = 0.9
BETA2 = 0.999
EPSILON = 1e-15


def bias_corrections(step: int) -> tuple[float, float]:
    """What the two moments are multiplied with at a step, counted from 1, because they start at zero."""
    return 1.0 / (1.0 - BETA1**step), 1.0 / (1.0 - BETA2**step)
