"""Lineage: which Gaussian of the scene that work began with each one was."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from leansplat.training.strategies.strategy import Memory, Strategy, strategy


@strategy("lineage")
@dataclass(frozen=True)
class Lineage(Strategy):
    """Remember "row", (N,) int64: the number that each Gaussian had at the beginning, copies that of what they copy."""

    def memory(self, count: int) -> Memory:
        return {"row": torch.arange(count)}
