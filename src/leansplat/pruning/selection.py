"""Which Gaussians go: the paper's Eq. 5 as a number per Gaussian, so that any threshold or exact count is one cut.

Eq. 5 keeps a Gaussian that reaches the gamma quantile in opacity OR in gradient; it removes those below both. Replace
values by ranks, and "below both" is "the larger of the two ranks is below that of the quantile". That larger rank is
the Gaussian's level: cut it at the quantile for the paper's rule, or remove the lowest levels until a wanted number is
left. The same works for any criterion, with one quantity or with several. Ranks have no ties, so a quantile that falls
on many equal values (a gradient of zero) removes what it should.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from leansplat.pruning.config import Unseen


def ranks(values: Tensor, tie_break: Tensor) -> Tensor:
    """(N,) int64: 0 for the smallest value to N - 1; equal values are ordered by `tie_break`, then by index."""
    order = np.lexsort((tie_break.numpy(), values.numpy()))
    result = torch.empty(len(values), dtype=torch.int64)
    result[torch.from_numpy(order)] = torch.arange(len(values))
    return result


def removal_levels(quantities: Sequence[Tensor], tie_break: Tensor, seen: Tensor, unseen: Unseen = "opacity") -> Tensor:
    """(N,) float64 level of each Gaussian: the lowest are removed first.

    Args:
        quantities: one or more (N,) tensors that a criterion judges by; what is low in all of them has a low level.
        tie_break: (N,) decides between equal values of a lone quantity.
        seen: (N,) bool, whether any training view sees a Gaussian.
        unseen: see `TrimmingConfig.unseen`.
    """
    # Equal values of one quantity are ordered by the next.
    tie_breaks = [*quantities[1:], quantities[0]] if len(quantities) > 1 else [tie_break]
    each = torch.stack([ranks(values, other) for values, other in zip(quantities, tie_breaks, strict=True)])
    level = each.amax(dim=0).to(torch.float64)
    if len(quantities) > 1:
        # Gaussians can share the largest rank; the smallest one, as a fraction, decides between them.
        level += each.amin(dim=0) / (level.numel() + 1)
    if unseen == "prune":
        level = torch.where(seen, level, level - 2.0 * len(level))
    elif unseen == "keep":
        level = torch.where(seen, level, level + 2.0 * len(level))
    return level


def keep_by_quantile(levels: Tensor, gamma: float) -> Tensor:
    """(N,) bool, which Gaussians Eq. 5 keeps at quantile `gamma` (linear between ranks); the highest always stays.

    The quantile lies at rank gamma (N - 1), and what is below it has a lower rank.
    """
    kept = levels.floor() >= gamma * (len(levels) - 1)
    if len(levels) and not bool(kept.any()):
        kept[levels.argmax()] = True
    return kept


def keep_by_count(levels: Tensor, count: int) -> Tensor:
    """(N,) bool, the `count` Gaussians of the highest levels (all, where there are no more)."""
    kept = torch.ones(len(levels), dtype=torch.bool)
    surplus = len(levels) - count
    if surplus > 0:
        kept[levels.argsort(stable=True)[:surplus]] = False
    return kept


def count_after_round(start: int, end: int, number: int, rounds: int, spacing: float = 1.0) -> int:
    """How many Gaussians are left after round `number` (from 1) of `rounds` on the way from `start` to `end`.

    start (end / start)^((number / rounds)^spacing): with a spacing of 1 every round keeps the same share of what it
    finds, which is gentler at the end than equal numbers would be; below 1 the first rounds remove more.
    """
    if number >= rounds:
        return end
    return max(end, round(start * (end / start) ** ((number / rounds) ** spacing)))
