"""Falling learning rates: whatever fine-tunes a scene ends with small steps, or the last views would weigh most."""

from __future__ import annotations

import math


def cosine(done: float, final: float) -> float:
    """1 when nothing is done, `final` when all is, half a cosine between (Loshchilov and Hutter 2017, Eq. 5)."""
    return final + (1 - final) * (1 + math.cos(math.pi * done)) / 2
