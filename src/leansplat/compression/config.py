"""`CompressionConfig`: how a scene becomes a small file of any kind; with a sentence on each field.

What can be chosen of one kind of file are the fields of its `Codec`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.seeds import check_seed
from leansplat.training.lengths import MOST_STEPS


@dataclass(frozen=True)
class TableConfig(Config):
    """How vectors are clustered.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    steps: int
    """Batches that move the centres, at least 1."""

    batch: int
    """Vectors a step looks at, at least 1; all of them where there are no more."""

    keep_above: float
    """Sensitivity, at least 0, above which a Gaussian keeps a row of its own."""

    size: int = 4096
    """Centres, at least 1."""

    decay: float = 0.8
    """What is left of a centre's past after a step, from 0 (none: Lloyd's k-means) to below 1."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("steps", "batch", "size"):
            if getattr(self, name) < 1:
                raise InputError(f"setting {name} is {getattr(self, name)}; give 1 or more")
        if not 0 <= self.decay < 1:
            raise InputError(f"setting decay is {self.decay}; give 0 or more and less than 1")
        if not self.keep_above >= 0:
            raise InputError(f"setting keep_above is {self.keep_above}; give 0 or more")


@dataclass(frozen=True)
class FineTuningConfig(Config):
    """How long a scene is fine-tuned through a file's quantiser.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    steps: int = 5000
    """Training steps, one view each; 0 leaves the scene as it is."""

    batch: int = 1
    """Views of a step, at least 1, with rates that follow; all numbers of steps count views. See
    `TrainingConfig.batch`."""

    seed: int = 0
    """Seed of the order of the views."""

    position_rate: float = 1.6e-6
    """Learning rate of centres in units of the scene extent; by default the final one of training."""

    final_rate: float = 0.02
    """Share of every learning rate, 0 to 1, that is left at the last step; they fall along half a cosine, so that the
    scene comes to rest between the steps of the file. 1 keeps them as they are."""

    checkpoint_every: int = 2500
    """Steps between checkpoints in the run folder; the last step always has one. Does not change the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name, least in (("steps", 0), ("batch", 1), ("checkpoint_every", 1)):
            if getattr(self, name) < least:
                raise InputError(f"setting {name} is {getattr(self, name)}; give {least} or more")
            if getattr(self, name) > MOST_STEPS:
                raise InputError(f"setting {name} is above {MOST_STEPS:,}; give less")
        check_seed(self.seed)
        if not (math.isfinite(self.position_rate) and self.position_rate >= 0):
            raise InputError(
                f"setting position_rate is {self.position_rate}; give a finite number that is not negative"
            )
        if not 0 <= self.final_rate <= 1:
            raise InputError(f"setting final_rate is {self.final_rate}; give 0 to 1")


@dataclass(frozen=True)
class CompressionConfig(Config):
    """How a scene is compressed.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    drop_unseen: bool = False
    """Remove the Gaussians whose colour has no effect on any training view."""

    fine_tuning: FineTuningConfig = field(default_factory=FineTuningConfig)
    """Training through what the file can say; its seed is that of all that is drawn before, too."""

    sh_degree: int | None = None
    """Highest degree of spherical harmonics to keep, 0 to 3; all by default."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.sh_degree is not None and not 0 <= self.sh_degree <= 3:
            raise InputError(f"setting sh_degree is {self.sh_degree}; give 0 to 3")

    @property
    def seed(self) -> int:
        """Seed of everything random."""
        return self.fine_tuning.seed
