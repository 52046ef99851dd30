"""`Schedule`: how trimming goes down, in Gaussians from round to round and in learning rates from step to step.

The paper keeps the same share in every round and trains at the rates that training ended with. Those are too low for
what is left to grow and move into the gaps, positions' most of all, and constant rates leave every parameter in the
noise of the last few views. So most Gaussians go in the first rounds, and rates start higher and end lower.
"""

from __future__ import annotations

from typing import NamedTuple

from leansplat.training.annealing import cosine


class Schedule(NamedTuple):
    """The pace of a trimming; see the fields of the same names of `TrimmingConfig`."""

    spacing: float
    position_rate: float
    rate: float
    final_rate: float

    def position_factor(self, done: float) -> float:
        """What the position rate at the end of training is multiplied by when `done`, 0 to 1, of the steps are made."""
        return self.position_rate ** (1 - done)

    def rate_factor(self, done: float) -> float:
        """What the learning rates of all other attributes are multiplied by."""
        return self.rate * cosine(done, self.final_rate / self.rate)


PAPERS = Schedule(spacing=1.0, position_rate=1.0, rate=1.0, final_rate=1.0)
"""That of Trimming the Fat."""

EASED = Schedule(spacing=0.5, position_rate=100.0, rate=3.0, final_rate=0.02)
"""Chosen on fox and tumbler at a tenth; benchmarks/trimming_defaults.py shows what it does on others."""
