"""`TrimmingConfig`: how far to trim, by what rule and at what pace; with a sentence on each field."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.pruning.criteria import CRITERIA
from leansplat.pruning.schedule import EASED, PAPERS, Schedule
from leansplat.seeds import check_seed
from leansplat.training.lengths import MOST_STEPS

GradientSource = Literal["fresh", "stale"]
Unseen = Literal["opacity", "keep", "prune"]

GAUSSIANPOP = "gaussianpop"
PAPERS_CRITERIA = ("gradient", "opacity")
"""The paper's rule and its comparison."""


@dataclass(frozen=True)
class TrimmingConfig(Config):
    """How a scene is trimmed. How far has no default; for the rest the defaults are what does best at equal counts.

    The paper is what `criterion` "gradient" does: with it, and with its comparison "opacity", the schedule too is by
    default the paper's. Defaults that depend on other settings (`criterion` and the five of the schedule) are filled
    in when a config is made.

    Exactly one of `keep`, `count`, `gamma`, `target_sparsity` and `control` says how far to go.

    Raises:
        InputError: none or several of them are given, or a value is of another type or outside the range its
            description gives.
    """

    keep: float | None = None
    """Share of the Gaussians that is left at the end, above 0 and at most 1; hit exactly."""

    count: int | None = None
    """Number of Gaussians left at the end, at least 1; hit exactly. A scene that has fewer keeps all."""

    gamma: float | None = None
    """The paper's quantile, above 0 and below 1: every round removes what is below it in opacity and in gradient.

    It is not the share removed: a Gaussian must be low in both. The paper goes from .225 (removes 2-3 % a round) to .6
    (28-29 %); with `criterion` opacity, where it is the share, from .025 to .3.
    """

    target_sparsity: float | None = None
    """The paper's gamma_target, above 0 and below 1, from which its Eq. 6 makes `gamma`: 1 - (1 - target)^(1 / rounds).

    It is the share removed in all for a criterion of one score, such as opacity; a criterion of several removes far
    less, because a Gaussian must be low in all. The log has both, predicted and real; `keep` hits a share exactly.
    """

    control: bool = False
    """Train as long but remove nothing: what the extra training alone gives."""

    criterion: str = ""
    """What a Gaussian is judged by: a name in `leansplat.pruning.criteria.CRITERIA`.

    By default "gaussianpop", how much the images change without it. With what is the paper's, `gamma`,
    `target_sparsity` and stale gradients, it is "gradient": Eq. 5, low in opacity and in gradient. "opacity" is the
    paper's comparison.
    """

    gradient_source: GradientSource = "fresh"
    """Gather gradients over all training views before every round, or use those from before the first round throughout.

    "stale" is what the authors' code does: the mean over the last steps before densification ended, never refreshed. A
    scene without a training checkpoint has none; they are then gathered once, before the first round.
    """

    unseen: Unseen = "opacity"
    """Gaussians that no training view sees have no gradient and no effect. "opacity": these count as zero, so that with
    the paper's rule opacity decides, as in its code; "prune": they go first; "keep": they go last, never by `gamma`."""

    rounds: int = 10
    """Rounds of pruning, at least 1; the first is at the start."""

    every: int = 500
    """Steps after each round, at least 1."""

    finetune: int = 10_000
    """Steps after the steps of the last round."""

    batch: int = 1
    """Views of a step, at least 1, with rates that follow; all numbers of steps count views. See
    `TrainingConfig.batch`."""

    spacing: float | None = None
    """Power of the share of the rounds that are done, above 0, in how many Gaussians are left after each; see
    `selection.count_after_round`. 1 keeps the same share in every round, less removes more in the first ones."""

    position_rate: float | None = None
    """Learning rate of `means` at the first step, above 0, in units of the rate at the end of training; it falls
    exponentially to that. It is never above the rate that training began with."""

    rate: float | None = None
    """Learning rates of all other attributes at the first step, in units of those of training, above 0."""

    final_rate: float | None = None
    """The same at the last step, 0 or more; they go from one to the other along a cosine."""

    pressure: float | None = None
    """How far the opacity logit of a Gaussian falls, between the first round and the last, for each halving of the
    Gaussians, if every view sees it and nothing holds it up; 0 or more. Only with `keep` and `count`."""

    seed: int = 0
    """Seed of the order of the views."""

    checkpoint_every: int = 2500
    """Steps between checkpoints in the run folder; the last step always has one. Does not change the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        aims = ("keep", "count", "gamma", "target_sparsity")
        chosen = [name for name in aims if getattr(self, name) is not None]
        chosen += ["control"] if self.control else []
        if len(chosen) != 1:
            given = " and ".join(chosen) or "none"
            raise InputError(f"trimming needs exactly one of {', '.join(aims)} and control; given: {given}")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise InputError(f"setting keep is {self.keep}; give a share above 0 and at most 1 (100%)")
        if self.gamma is not None and not 0 < self.gamma < 1:
            raise InputError(f"setting gamma is {self.gamma}; give a quantile between 0 and 1, such as 0.45")
        if self.target_sparsity is not None and not 0 < self.target_sparsity < 1:
            raise InputError(f"setting target_sparsity is {self.target_sparsity}; give a share between 0 and 1")
        at_least = {"count": 1, "rounds": 1, "every": 1, "finetune": 0, "batch": 1, "checkpoint_every": 1}
        for name, least in at_least.items():
            value = getattr(self, name)
            if value is not None and value < least:
                raise InputError(f"setting {name} is {value}; give {least} or more")
            if value is not None and value > MOST_STEPS:
                raise InputError(f"setting {name} is above {MOST_STEPS:,}; give less")
        check_seed(self.seed)
        for name in ("spacing", "position_rate", "rate"):
            value = getattr(self, name)
            if value is not None and not 0 < value <= 1e6:
                raise InputError(f"setting {name} is {value}; give a number above 0 and at most a million")
        for name in ("final_rate", "pressure"):
            value = getattr(self, name)
            if value is not None and not 0 <= value <= 1e6:
                raise InputError(f"setting {name} is {value}; give a number from 0 to a million")
        if self.pressure and self.keep is None and self.count is None:
            raise InputError("setting pressure needs a share or a count to go down to; give keep or count with it")
        if not self.criterion:
            papers = self.quantile is not None or self.gradient_source == "stale"
            object.__setattr__(self, "criterion", "gradient" if papers else GAUSSIANPOP)
        if self.criterion not in CRITERIA:
            raise InputError(f"setting criterion is {self.criterion!r}; give one of {', '.join(CRITERIA)}")
        defaults = PAPERS if self.criterion in PAPERS_CRITERIA else EASED
        if self.keep is None and self.count is None:
            defaults = defaults._replace(pressure=0.0)
        for name, value in defaults._asdict().items():
            if getattr(self, name) is None:
                object.__setattr__(self, name, value)

    @property
    def iterations(self) -> int:
        """Training steps in all."""
        return self.rounds * self.every + self.finetune

    @property
    def steps_of_rounds(self) -> int:
        """Steps between the first round and the last."""
        return (self.rounds - 1) * self.every

    @property
    def schedule(self) -> Schedule:
        """`spacing`, the rates, and `pressure`."""
        return Schedule(*(getattr(self, name) for name in Schedule._fields))

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> TrimmingConfig:
        """The config that `to_json` made `settings` of; what older versions did not write was the paper's."""
        if isinstance(settings, Mapping) and "criterion" in settings:
            settings = {**PAPERS._asdict(), **settings}
        return super().from_json(settings)

    @property
    def quantile(self) -> float | None:
        """gamma_iter of every round: `gamma`, or what Eq. 6 makes of `target_sparsity`; None with another aim."""
        if self.target_sparsity is not None:
            return 1 - (1 - self.target_sparsity) ** (1 / self.rounds)
        return self.gamma
