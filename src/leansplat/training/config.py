"""`TrainingConfig`: the published 3DGS recipe as one value, a sentence for each field.

All lengths and intervals are in training steps, counted from 1, and the defaults are those of the reference
implementation that came with the paper (Kerbl et al. 2023). What happens to the Gaussians between steps is the business
of its strategies, each with settings of its own. `scaled` makes the same recipe shorter or longer.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any, TypeVar

from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.seeds import check_seed
from leansplat.training.lengths import MOST_STEPS, check_least, check_not_negative, scaled_length
from leansplat.training.strategies import Densification, Strategy
from leansplat.training.strategies.flat import core_and_strategies
from leansplat.training.strategies.strategy import named

Kind = TypeVar("Kind", bound=Strategy)


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a scene is trained.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    iterations: int = 30_000
    """Training steps, one view each; at least 1. Prefer `scaled`, which changes the schedule with it. With a batch,
    this and all other lengths count views."""

    batch: int = 1
    """Views of a step, at least 1. The scene is updated by the mean of what they say, with learning rates that follow
    (`leansplat.engines.adam`), and a step counts as so many."""

    seed: int = 0
    """Seed of everything random: order of the views, starting points, where split Gaussians land."""

    sh_degree: int = 3
    """Degree of the spherical harmonics at the end, 0 to 3."""

    sh_degree_every: int = 1000
    """Steps between raising the degree by one, starting from 0."""

    antialiased: bool = False
    """Train with opacity compensation (Mip-Splatting's screen-space filter)."""

    random_points: int = 100_000
    """How many random Gaussians to start from when the capture has no points."""

    random_background: bool = False
    """Render on a new random colour every step instead of the capture's background, which discourages holes."""

    reduction: int = 1
    """Factor by which photos are reduced in width and height in the first `reduced_steps`, at least 1. Smaller photos
    show the coarse first, and take less time."""

    reduced_steps: int = 0
    """Steps with reduced photos, before those of full size."""

    ssim_weight: float = 0.2
    """Weight w of the loss (1 - w) * L1 + w * (1 - SSIM), 0 to 1."""

    position_rate: float = 1.6e-4
    """Learning rate of `means` at the first step, in units of the scene extent."""

    position_rate_final: float = 1.6e-6
    """Learning rate of `means` from `position_rate_steps` on, in units of the scene extent."""

    position_rate_steps: int = 30_000
    """Steps over which the learning rate of `means` falls exponentially."""

    sh0_rate: float = 2.5e-3
    """Learning rate of `sh0`."""

    shN_rate: float = 2.5e-3 / 20
    """Learning rate of `shN`."""

    opacity_rate: float = 0.05
    """Learning rate of `opacities`: the published value, which later versions of that code halved."""

    scale_rate: float = 5e-3
    """Learning rate of `scales`."""

    quat_rate: float = 1e-3
    """Learning rate of `quats`."""

    strategies: tuple[Strategy, ...] = (Densification(),)
    """What happens to the Gaussians between steps, in this order: one strategy of each name at most."""

    checkpoint_every: int = 5000
    """Steps between checkpoints in the run folder; the last step always has one. Does not change the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_least(self, iterations=1, random_points=1, checkpoint_every=1, position_rate_steps=1, sh_degree_every=1)
        check_least(self, reduction=1, reduced_steps=0, batch=1)
        check_seed(self.seed)
        check_not_negative(
            self, "ssim_weight", *(f"{name}_rate" for name in ("sh0", "shN", "opacity", "scale", "quat"))
        )
        if self.sh_degree not in range(4):
            raise InputError(f"setting sh_degree is {self.sh_degree}; give 0, 1, 2 or 3")
        if self.ssim_weight > 1:
            raise InputError(f"setting ssim_weight is {self.ssim_weight}; give 0 to 1")
        if not (self.position_rate > 0 and self.position_rate_final > 0):
            raise InputError("settings position_rate and position_rate_final must be above 0 to decay exponentially")
        names = [each.name for each in self.strategies]
        if len(set(names)) < len(names):
            raise InputError(f"setting strategies has {', '.join(names)}; give each at most once")

    def strategy(self, kind: type[Kind]) -> Kind | None:
        """Its strategy of a kind; None where it has none."""
        return next((each for each in self.strategies if isinstance(each, kind)), None)

    def adjusted(self, kind: type[Strategy], **settings: Any) -> TrainingConfig:
        """The same recipe with other settings of one strategy, which comes last where it has none of that kind.

        Example:
            >>> TrainingConfig().adjusted(Densification, every=50).strategies[0].every
            50
        """
        if self.strategy(kind) is None:
            return replace(self, strategies=(*self.strategies, kind(**settings)))
        changed = (replace(each, **settings) if isinstance(each, kind) else each for each in self.strategies)
        return replace(self, strategies=tuple(changed))

    def without(self, kind: type[Strategy]) -> TrainingConfig:
        """The same recipe without a strategy."""
        return replace(self, strategies=tuple(each for each in self.strategies if not isinstance(each, kind)))

    def with_settings(self, settings: Mapping[str, Any]) -> TrainingConfig:
        """The same recipe with other settings, those of strategies by the names that `strategies.flat` has for them.

        Raises:
            InputError: a setting is unknown, of another type or out of range.
        """
        core, strategies = core_and_strategies(settings, self.strategies)
        known = {name: value for name, value in self.to_json().items() if name != "strategies"}
        return replace(super().from_json({**known, **core}), strategies=strategies)

    def scaled(self, iterations: int) -> TrainingConfig:
        """The same recipe in `iterations` steps: every other length of the schedule in proportion, if it can be.

        Each is rounded to the nearest step (halves up) and is at least 1, or stays 0. Two intervals have a floor, which
        is what they were if that is lower: opacities are reset at most every 75 steps, and densifications, and what
        else is done again and again, stay as far apart as they are while 40 of them fit in; below it they come closer
        to have 40, but not under 36 steps. Learning rates, thresholds, `prune_large_after` and `checkpoint_every` stay.
        """
        if iterations < 1:
            raise InputError(f"setting iterations is {iterations}; give 1 or more")
        if iterations > MOST_STEPS:
            raise InputError(f"setting iterations is above {MOST_STEPS:,}; give less")
        before = self.iterations
        return replace(
            self,
            iterations=iterations,
            position_rate_steps=scaled_length(self.position_rate_steps, before, iterations),
            sh_degree_every=scaled_length(self.sh_degree_every, before, iterations),
            reduced_steps=scaled_length(self.reduced_steps, before, iterations),
            strategies=tuple(each.scaled(before, iterations) for each in self.strategies),
        )

    def to_json(self) -> dict[str, Any]:
        """The settings as a dict that JSON can hold: `strategies` are settings by name."""
        return {**asdict(self), "strategies": {each.name: each.to_json() for each in self.strategies}}

    @classmethod
    def from_json(cls, settings: Mapping[str, Any]) -> TrainingConfig:
        """The config that `to_json` made `settings` of, in this version or one from before there were strategies.

        A setting that is missing is newer than what `settings` were written by, and its default is what was done then.

        Raises:
            InputError: a setting is unknown, of another type or out of range.
            RunError: it has a strategy that is not known here.
        """
        core = {name: value for name, value in settings.items() if name != "strategies"}
        if "strategies" in settings:
            found = settings["strategies"]
            if not isinstance(found, Mapping) or not all(isinstance(each, Mapping) for each in found.values()):
                raise InputError(f"setting strategies is {found!r}; give the settings of each by its name")
            strategies = tuple(named(name).from_json(each) for name, each in found.items())
        else:
            core, strategies = core_and_strategies(core)
        return replace(super().from_json(core), strategies=strategies)
