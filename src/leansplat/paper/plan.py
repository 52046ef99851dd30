"""`make_plan`: every table, figure and ablation of the paper as jobs.

An experiment is a function that yields the jobs it wants, each after those it needs. Experiments that want the same job
yield it under the same name, so shared rows and shared bases are run once. All lengths are the paper's times a scale.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from leansplat.errors import InputError
from leansplat.paper.jobs import Job, Plan
from leansplat.paper.sources import Source
from leansplat.pruning import CRITERIA
from leansplat.seeds import check_seed
from leansplat.training import MOST_STEPS, TrainingConfig
from leansplat.training.strategies import LearnedMask

BASE, SHORT, CONTROL = "base", "7k", "control"
"""Variants: the 3DGS baseline of 30,000 steps, its schedule cut off after 7,000, and trimming that removes nothing."""

GAMMAS = {
    "gradient": (0.225, 0.275, 0.325, 0.375, 0.45, 0.5, 0.55, 0.6),
    "opacity": (0.025, 0.05, 0.075, 0.1, 0.15, 0.2, 0.25, 0.3),
}
"""gamma_iter of Table 1 for the paper's rule and for opacity alone."""

ONE_SHOT_GAMMAS = {rule: gammas[1::2] for rule, gammas in GAMMAS.items()}
"""Rows of Table 1 that pruning all at once is compared with; it prunes to the same counts."""

KEPT = (50, 25, 10, 5)
"""Percent kept where frames per second are measured."""

CRITERIA_KEPT = (25, 10, 5)
"""Percent kept where criteria are compared."""

NO_PRIOR_THRESHOLDS = (0.005, 0.05, 0.1, 0.2)
"""Opacities below which training without a prior prunes. The paper does not give its own; .005 is that of 3DGS."""

MASK_WEIGHTS = (1.25e-4, 5e-4, 2e-3, 8e-3)
"""Weights of the learned mask; Compact-3DGS has 5e-4."""

FINETUNING = (5_000, 20_000)
"""Steps after pruning in the authors' code and in the paper's Fig. 2; its text has 10,000."""

MIDDLE = "gradient-0.45"
"""The row that keeps about a quarter: fine-tuned for other lengths, and the ticket of the lottery."""

TICKETS = {"fair": "the fair ticket", "authors": "the authors' ticket"}
"""Tickets of the lottery, and what a report calls them."""

COMPRESSED_GAMMAS = (0.375, 0.45, 0.5)
"""Rows of Table 1 that Table 2 compresses; the paper does not give its own."""

FILES = {
    "npz": (".npz", 5_000),
    "sog-plain": (".sog", 0),
    "sog": (".sog", 5_000),
    "spz-plain": (".spz", 0),
    "spz": (".spz", 5_000),
}
"""What scenes are compressed to, by the end of the variant's name: suffix, and steps of fine-tuning, 0 to only encode.

The .npz is c3dgs (Niedermayr et al. 2024), which the paper compresses with; the open formats are not in the paper.
"""

REPEATED = (BASE, CONTROL, "gradient-0.375", "gradient-0.5", "opacity-0.1", "opacity-0.2")
"""Variants that seeds after the first repeat."""

CHECKPOINT_KEPT = (BASE, MIDDLE)
"""Variants whose last checkpoint other jobs start from."""


@dataclass(frozen=True)
class Recipe:
    """Makes the jobs of one capture and one seed.

    Args:
        scale: length of every schedule in units of the paper's.
    """

    capture: str
    seed: int
    scale: float

    def steps(self, published: int) -> int:
        """A published length in steps, scaled."""
        return max(1, round(published * self.scale))

    def train(self, variant: str, **settings: Any) -> Job:
        """A training by the 30,000-step schedule; settings are those of `TrainingConfig`, put in after scaling."""
        length = self.steps(30_000)
        return self._job(variant, "train", {"schedule": length, "iterations": length, **settings}, None)

    def trim(
        self,
        variant: str,
        *,
        rounds: int = 10,
        every: int = 500,
        finetune: int = 10_000,
        count_of: str | None = None,
        **settings: Any,
    ) -> Job:
        """A trimming of the base; further settings are those of `TrimmingConfig`."""
        lengths = {"rounds": rounds, "every": self.steps(every), "finetune": self.steps(finetune)}
        needed = None if count_of is None else self._name(count_of)
        return self._job(variant, "trim", {**settings, **lengths}, self._name(BASE), needed)

    def base(self) -> Job:
        return self.train(BASE)

    def gamma(self, rule: str, gamma: float, source: str = "fresh") -> Job:
        """A row of Table 1: by `rule`, "gradient" or "opacity"; stale gradients are called "stale-0.45"."""
        name = rule if source == "fresh" else source
        return self.trim(f"{name}-{gamma:g}", gamma=gamma, criterion=rule, gradient_source=source)

    def keep(self, criterion: str, percent: int) -> Job:
        """The base trimmed to exactly some percent of its Gaussians."""
        return self.trim(f"{criterion}-keep-{percent}", keep=percent / 100, criterion=criterion)

    def lottery(self, ticket: str) -> Job:
        """The Gaussians of the middle row, drawn anew at their positions and trained like a base."""
        length = self.steps(30_000)
        settings = {"schedule": length, "iterations": length, "ticket": ticket}
        return self._job(f"lottery-{ticket}", "lottery", settings, self._name(MIDDLE))

    def compress(self, variant: str, file: str) -> Job:
        """The scene of another variant as one of `FILES`: "base" as "npz" is "base-npz"."""
        suffix, steps = FILES[file]
        settings = {"suffix": suffix, "steps": self.steps(steps) if steps else 0}
        return self._job(f"{variant}-{file}", "compress", settings, self._name(variant))

    def _name(self, variant: str) -> str:
        return f"{self.capture}/{variant}-s{self.seed}"

    def _job(
        self, variant: str, kind: str, settings: dict[str, Any], base: str | None, count_of: str | None = None
    ) -> Job:
        return Job(self.capture, variant, kind, settings, base, self.seed, count_of)


def _baselines(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    # 3DGS-7k is not a shorter schedule: it is the 30,000-step one, looked at early.
    yield recipe.train(SHORT, iterations=recipe.steps(7_000))


def _gradient_rows(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    yield from (recipe.gamma("gradient", gamma) for gamma in GAMMAS["gradient"])


def _table_1(recipe: Recipe) -> Iterator[Job]:
    yield from _baselines(recipe)
    yield recipe.trim(CONTROL, control=True)
    for rule, gammas in GAMMAS.items():
        yield from (recipe.gamma(rule, gamma) for gamma in gammas)


def _table_2(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    yield recipe.compress(BASE, "npz")
    for gamma in COMPRESSED_GAMMAS:
        trimmed = recipe.gamma("gradient", gamma)
        yield trimmed
        yield from (recipe.compress(trimmed.variant, file) for file in FILES)


def _crops(recipe: Recipe) -> Iterator[Job]:
    yield from _baselines(recipe)
    yield from _gradient_rows(recipe)


def _figure_7a(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    for rule, gammas in ONE_SHOT_GAMMAS.items():
        for gamma in gammas:
            iterative = recipe.gamma(rule, gamma)
            yield iterative
            yield recipe.trim(
                f"one-shot-{iterative.variant}",
                criterion=rule,
                rounds=1,
                every=1,
                finetune=30_000,
                count_of=iterative.variant,
            )
    for threshold in NO_PRIOR_THRESHOLDS:
        yield recipe.train(
            f"no-prior-{threshold:g}",
            opacity_pruning_until=recipe.steps(25_000),
            opacity_pruning_threshold=threshold,
        )


def _figure_7b(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    yield from (recipe.keep("gradient", percent) for percent in KEPT)


def _figure_7c(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    yield recipe.gamma("gradient", 0.45)


def _figure_8(recipe: Recipe) -> Iterator[Job]:
    yield from _gradient_rows(recipe)
    # A mask starts far from where it removes; in fewer steps of the same size it would never get there.
    rate = LearnedMask().rate / recipe.scale
    yield from (recipe.train(f"mask-{weight:g}", mask_weight=weight, mask_rate=rate) for weight in MASK_WEIGHTS)


def _criteria(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    for percent in CRITERIA_KEPT:
        yield from (recipe.keep(criterion, percent) for criterion in CRITERIA)


def _stale(recipe: Recipe) -> Iterator[Job]:
    yield recipe.base()
    yield from (recipe.gamma("gradient", gamma, "stale") for gamma in GAMMAS["gradient"])


def _finetuning(recipe: Recipe) -> Iterator[Job]:
    yield from _figure_7c(recipe)
    for length in FINETUNING:
        yield recipe.trim(
            f"{MIDDLE}-finetune-{length}", gamma=0.45, criterion="gradient", gradient_source="fresh", finetune=length
        )


def _lottery(recipe: Recipe) -> Iterator[Job]:
    yield from _figure_7c(recipe)
    yield from (recipe.lottery(ticket) for ticket in TICKETS)


EXPERIMENTS: dict[str, Callable[[Recipe], Iterator[Job]]] = {
    "table 1": _table_1,
    "table 2": _table_2,
    "figure 3": _table_1,
    "figure 4": _crops,
    "figure 5": _crops,
    "figure 6": _crops,
    "figure 7a": _figure_7a,
    "figure 7b": _figure_7b,
    "figure 7c": _figure_7c,
    "figure 8": _figure_8,
    "criteria": _criteria,
    "stale": _stale,
    "finetuning": _finetuning,
    "lottery": _lottery,
}
"""Every experiment by name."""


def make_plan(
    sources: Sequence[Source],
    experiments: Sequence[str] = tuple(EXPERIMENTS),
    *,
    scale: float = 1.0,
    seeds: Sequence[int] = (1,),
) -> Plan:
    """The jobs of some experiments on some captures, each job once, after those it needs.

    Args:
        experiments: names in `EXPERIMENTS`.
        scale: length of every schedule in units of the paper's, above 0.
        seeds: the first runs everything; others run what is in `REPEATED`, to show the spread.

    Raises:
        InputError: a name, a seed or the scale makes no sense, no capture is given, or two have one name.
    """
    if not sources:
        raise InputError("no capture is given; name one with --captures, such as fox=photos/fox@4")
    unknown = [name for name in experiments if name not in EXPERIMENTS]
    if unknown:
        raise InputError(f"there is no experiment {unknown[0]!r}; choose from {', '.join(EXPERIMENTS)}")
    if not 0 < scale < float("inf"):
        raise InputError(f"the schedule cannot be scaled to {scale}; give a number above 0, such as 0.1")
    if not seeds:
        raise InputError("no seed is given; give at least one, such as 1")
    for seed in seeds:
        check_seed(seed)
    if scale > MOST_STEPS / TrainingConfig().iterations:
        raise InputError(f"a schedule scaled to {scale:g} is above {MOST_STEPS:,} steps; give less")
    names = [source.name for source in sources]
    if len(set(names)) < len(names):
        raise InputError(f"two captures are called {max(names, key=names.count)}; give them names, as in NAME=FOLDER")
    jobs: dict[str, Job] = {}
    for source in sources:
        for seed in dict.fromkeys(seeds):
            recipe = Recipe(source.name, seed, scale)
            for experiment in experiments:
                for job in EXPERIMENTS[experiment](recipe):
                    if seed == seeds[0] or job.variant in REPEATED:
                        jobs.setdefault(job.name, job)
    return Plan(scale, tuple(sources), tuple(jobs.values()))
