"""`Schedule`: how trimming goes down, in Gaussians from round to round and in learning rates from step to step.

The paper keeps the same share in every round and trains at the rates that training ended with. Those are too low for
what is left to grow and move into the gaps, positions' most of all, and constant rates leave every parameter in the
noise of the last few views. So most Gaussians go in the first rounds, and rates start higher and end lower.

Between rounds every step also lowers the opacity logits of all that its view sees by the same small force (natural
selection, arXiv 2511.16980). What the photos need holds itself up; what another Gaussian can show as well, or what
answers only the noise of a few photos, has faded before it goes, and the others have taken over.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from leansplat.training.annealing import cosine

if TYPE_CHECKING:
    from leansplat.training.config import TrainingConfig

_MOST_FORCE = 0.2
"""Of what a step can move, at most: where steps are few, a scene is not to fade before it could hold itself up."""


class Schedule(NamedTuple):
    """The pace of a trimming; see the fields of the same names of `TrimmingConfig`."""

    spacing: float
    position_rate: float
    rate: float
    final_rate: float
    pressure: float

    def position_factor(self, done: float, training: TrainingConfig) -> float:
        """What the position rate at the end of training is multiplied by when `done`, 0 to 1, of the steps are made.

        No more than makes it the rate that training began with: recipes differ in how far theirs falls.
        """
        most = max(1.0, training.position_rate / training.position_rate_final)
        return min(self.position_rate, most) ** (1 - done)

    def rate_factor(self, done: float) -> float:
        """What the learning rates of all other attributes are multiplied by."""
        return self.rate * cosine(done, self.final_rate / self.rate)

    def force(self, kept: float, steps: int, rate: float) -> float:
        """What a step between the first round and the last takes from the opacity logits of what its view sees.

        Args:
            kept: share of the Gaussians that is left at the end, above 0 and at most 1.
            steps: those between the first round and the last, at least 1.
            rate: learning rate of opacities, by about which a step can move a logit.
        """
        return min(self.pressure * -math.log2(kept) / steps, _MOST_FORCE * rate)


PAPERS = Schedule(spacing=1.0, position_rate=1.0, rate=1.0, final_rate=1.0, pressure=0.0)
"""That of Trimming the Fat."""

EASED = Schedule(spacing=0.5, position_rate=100.0, rate=3.0, final_rate=0.02, pressure=2.0)
"""Chosen on fox and tumbler at a tenth, and its pressure on the six captures of benchmarks/trimming_defaults.py at a
twentieth, all with 1,500 steps."""
