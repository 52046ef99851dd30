"""`TrainingConfig`: the published 3DGS recipe as one value, a sentence a field.

All lengths and intervals are in training steps, counted from 1, and the defaults are those of the reference
implementation that came with the paper (Kerbl et al. 2023). `scaled` makes the same recipe shorter or longer.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

from leansplat.configs import Config
from leansplat.errors import InputError
from leansplat.seeds import check_seed

MOST_STEPS = 10**9
"""No schedule is longer; at a millisecond a step this is twelve days."""

_SCALED_WITH_ITERATIONS = (
    "position_rate_steps",
    "sh_degree_every",
    "densify_from",
    "densify_until",
    "densify_every",
    "reset_opacities_every",
    "opacity_pruning_until",
)

_ENOUGH_DENSIFICATIONS = 40
_FEWEST_VIEWS = 36
"""A shorter schedule keeps `densify_every` as long as that leaves enough densifications; below, it shortens it to have
them, but never under the fewest views. The mean gradient of a Gaussian over few views is mostly noise, and ever more of
them pass the threshold, which makes scenes larger and not better: benchmarks/schedules.py has the numbers."""

_SHORTEST_RECOVERY = 75
"""`scaled` resets opacities no more often than this. What the photos need has to come back before the next reset, or
before the end, and a scene of random points has to be cleared of what they do not need even in a short training."""


@dataclass(frozen=True)
class TrainingConfig(Config):
    """How a scene is trained.

    Raises:
        InputError: a value is of another type or outside the range its description gives.
    """

    iterations: int = 30_000
    """Training steps, one view each; at least 1. Prefer `scaled`, which changes the schedule with it."""

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

    densify_from: int = 500
    """Densification happens after this step."""

    densify_until: int = 15_000
    """Densification and opacity resets happen before this step."""

    densify_every: int = 100
    """Steps between densifications."""

    densify_gradient: float = 2e-4
    """A Gaussian grows when its mean screen-space position gradient (normalised device units) reaches this."""

    densify_size: float = 0.01
    """A growing Gaussian is cloned up to this scale (longest axis, in units of the scene extent) and split above."""

    prune_opacity: float = 0.005
    """Gaussians of lower opacity are removed at every densification."""

    prune_size: float = 0.1
    """Gaussians of larger scale are removed late in densification: longest axis, in units of the scene extent, with
    room for what is farther away than that; see `densification.too_large`."""

    prune_large_after: int = 25
    """Densifications before Gaussians are removed for their size, which also waits for the first opacity reset. The
    published schedule has as many before that reset, so there the number changes nothing; a scaled run of an earlier
    version, which did not have this setting, goes on by this rule."""

    prune_radius: float = 0.0
    """Gaussians of larger screen radius in pixels are removed when those of larger scale are; 0 removes none.

    The paper's text and its code's settings say 20, but that code clears the radii just before it compares them, so its
    published results were made without this rule.
    """

    reset_opacities_every: int = 3000
    """Steps between pulling all opacities down to `reset_opacity`; Gaussians that are not needed stay there."""

    reset_opacity: float = 0.01
    """Opacity that a reset leaves at most, between 0 and 1."""

    opacity_pruning_until: int = 0
    """After densification and up to this step, `densify_every` steps apart, Gaussians below `opacity_pruning_threshold`
    are removed. Off by default; Trimming the Fat's "no 3D prior" ablation (Fig. 7a) goes on to 25,000."""

    opacity_pruning_threshold: float = 0.005
    """Opacity below which Gaussians are removed until `opacity_pruning_until`."""

    mask_weight: float = 0.0
    """Weight of the penalty of the learned mask of `training.mask` (Compact-3DGS: 5e-4); 0 trains without a mask."""

    mask_rate: float = 0.01
    """Learning rate of the mask's logits."""

    mask_threshold: float = 0.01
    """A Gaussian whose mask falls to this is gone."""

    checkpoint_every: int = 5000
    """Steps between checkpoints in the run folder; the last step always has one. Does not change the result."""

    def __post_init__(self) -> None:
        super().__post_init__()
        steps = ("iterations", "random_points", "checkpoint_every", "prune_large_after", *_SCALED_WITH_ITERATIONS)
        for name in steps:
            floor = 0 if name in ("densify_from", "densify_until", "prune_large_after", "opacity_pruning_until") else 1
            if getattr(self, name) < floor:
                raise InputError(f"setting {name} is {getattr(self, name)}; give {floor} or more")
            if getattr(self, name) > MOST_STEPS:
                raise InputError(f"setting {name} is above {MOST_STEPS:,}; give less")
        check_seed(self.seed)
        for entry in fields(self):
            value = getattr(self, entry.name)
            if entry.type == "float" and not (math.isfinite(value) and value >= 0):
                raise InputError(f"setting {entry.name} is {value}; give a finite number that is not negative")
        if self.sh_degree not in range(4):
            raise InputError(f"setting sh_degree is {self.sh_degree}; give 0, 1, 2 or 3")
        if self.ssim_weight > 1:
            raise InputError(f"setting ssim_weight is {self.ssim_weight}; give 0 to 1")
        if not 0 < self.mask_threshold < 1:
            raise InputError(f"setting mask_threshold is {self.mask_threshold}; give a value between 0 and 1")
        if not 0 < self.reset_opacity < 1:
            raise InputError(f"setting reset_opacity is {self.reset_opacity}; give a value between 0 and 1")
        if not (self.position_rate > 0 and self.position_rate_final > 0):
            raise InputError("settings position_rate and position_rate_final must be above 0 to decay exponentially")

    def scaled(self, iterations: int) -> TrainingConfig:
        """The same recipe in `iterations` steps: every other length of the schedule in proportion, if it can be.

        Each is rounded to the nearest step (halves up) and is at least 1, or stays 0. Two intervals have a floor, which
        is what they were if that is lower: opacities are reset at most every 75 steps, and `densify_every` stays as it
        is while 40 densifications fit in; below it shortens to what lets them, but not under 36 steps. Learning rates,
        thresholds, `prune_large_after` and `checkpoint_every` stay.
        """
        if iterations < 1:
            raise InputError(f"setting iterations is {iterations}; give 1 or more")
        if iterations > MOST_STEPS:
            raise InputError(f"setting iterations is above {MOST_STEPS:,}; give less")
        lengths = {
            name: max(1, (2 * getattr(self, name) * iterations + self.iterations) // (2 * self.iterations))
            for name in _SCALED_WITH_ITERATIONS
            if getattr(self, name) > 0
        }
        scaled = replace(self, iterations=iterations, **lengths)
        enough = (scaled.densify_until - scaled.densify_from) // _ENOUGH_DENSIFICATIONS
        shortest = min(self.densify_every, max(enough, _FEWEST_VIEWS))
        recovery = min(self.reset_opacities_every, _SHORTEST_RECOVERY)
        return replace(
            scaled,
            densify_every=max(scaled.densify_every, shortest),
            reset_opacities_every=max(scaled.reset_opacities_every, recovery),
        )
