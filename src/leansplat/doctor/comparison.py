"""`Checks`: what an engine does beside what the CPU's does, as numbers with the most that each may be."""

from __future__ import annotations

import math
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from leansplat import engines
from leansplat.cameras import Camera, look_at
from leansplat.captures.capture import View
from leansplat.doctor.scene import BACKGROUND, cameras_around, made_up_scene, photos_of, spoilt
from leansplat.engines.engine import Model
from leansplat.gaussians import TENSOR_NAMES, Gaussians
from leansplat.scoring import mean_score, view_scores
from leansplat.training import TrainingConfig, TrainingState, training_step

STEPS = 200
"""Of the training that is compared."""

SIZES = ((1_000, 64), (10_000, 256), (100_000, 512))
"""Gaussians, and pixels a side, of the steps that are timed."""

_TOO_SLOW = 2.0
"""Seconds of a step after which larger scenes are left out."""

_RATES = {"means": 1e-4, "quats": 1e-3, "scales": 5e-3, "opacities": 0.05, "sh0": 2.5e-3, "shN": 1.25e-4}


@dataclass(frozen=True)
class Finding:
    """One comparison.

    Args:
        what: is compared.
        found: how far the engine is from the CPU's; NaN where it gave no number.
        most: it may be.
    """

    what: str
    found: float
    most: float

    @property
    def fine(self) -> bool:
        return self.found <= self.most  # which NaN is not


@dataclass(frozen=True)
class Checks:
    """Comparisons with the CPU's engine, whose own side is worked out once.

    Args:
        steps: of the training.
        sizes: Gaussians, and pixels a side, of the steps that are timed.
    """

    steps: int = STEPS
    sizes: tuple[tuple[int, int], ...] = SIZES

    def findings(self, engine: str) -> Iterator[Finding]:
        """Every comparison of an engine, as it is made. What goes wrong on the way is raised."""
        yield from self._drawing(engine)
        yield from self._knowing(engine)
        psnr, expected = self._trained(engine), self._trained_on_the_cpu
        yield Finding(f"PSNR after {self.steps} steps, of {expected:.2f} dB", abs(psnr - expected), 0.3)

    def step_times(self, engine: str) -> dict[str, float | None]:
        """Seconds of a training step by its size; None where it would take too long."""
        found: dict[str, float | None] = {}
        seconds = 0.0
        for count, size in self.sizes:
            name = f"{count:,} Gaussians at {size}x{size}"
            if seconds > _TOO_SLOW:
                found[name] = None
                continue
            scene = made_up_scene(count)
            view = photos_of(scene, cameras_around(4, size)[:1])[0]
            model = engines.named(engine).begin(spoilt(scene), _RATES)
            seconds = found[name] = _median_seconds(lambda: model.step(view, BACKGROUND, 3, 0.2))  # noqa: B023
        return found

    @cached_property
    def _scene(self) -> Gaussians:
        return made_up_scene(300)

    def _drawing(self, engine: str) -> Iterator[Finding]:
        for antialiased in (False, True):
            scene = replace(self._scene, antialiased=antialiased)
            (image, gradients), (expected, expected_gradients) = (_drawn(name, scene) for name in (engine, "cpu"))
            kind = "antialiased picture" if antialiased else "picture"
            difference = (image - expected).abs()
            yield Finding(f"{kind}, mean difference", float(difference.mean()), 2e-4)
            yield Finding(f"{kind}, largest difference", float(difference.max()), 0.02)
            for name in TENSOR_NAMES:
                error = _relative(gradients[name], expected_gradients[name])
                yield Finding(f"{kind}, gradient of {name}", error, 0.01)
        nothing = engines.named(engine).render(self._scene, _looking_away(), background=BACKGROUND).image.cpu()
        yield Finding("picture of nothing", float((nothing - torch.tensor(BACKGROUND)).abs().max()), 1e-6)

    def _knowing(self, engine: str) -> Iterator[Finding]:
        views = photos_of(self._scene, cameras_around(4, 64))
        model, expected = (engines.named(name).begin(spoilt(self._scene), _RATES) for name in (engine, "cpu"))
        for what, gathered, most in (
            ("views that see a Gaussian", _views_seen, 0.02),
            ("extents on the image", _extents, 0.02),
            ("gradients on the image", _screen_gradients, 0.01),
        ):
            yield Finding(what, _relative(gathered(model, views), gathered(expected, views)), most)
        (weights, _), (wanted, _) = (each.blending_weights(views) for each in (model, expected))
        yield Finding("blending weights", _relative(weights, wanted), 0.01)
        effects, wanted_effects = (each.removal_effects(views, BACKGROUND) for each in (model, expected))
        # An engine may estimate the sum of squares by random signs, whose mean is right.
        total = float(effects.change.sum() / wanted_effects.change.sum())
        yield Finding("changes by removal, in all", abs(total - 1), 0.15)
        yield Finding("slopes of the error by removal", _relative(effects.slope, wanted_effects.slope), 0.01)

    @cached_property
    def _trained_on_the_cpu(self) -> float:
        return self._trained("cpu")

    def _trained(self, engine: str) -> float:
        """PSNR on views that were not trained on; NaN where a loss on the way is not finite."""
        views = photos_of(self._scene, cameras_around(9, 48))
        config = TrainingConfig(iterations=self.steps, sh_degree=3, strategies=())
        state = TrainingState.begin(spoilt(self._scene), config, 1.0, engine=engine)
        for number in range(self.steps):
            loss = training_step(state, views[1 + number % (len(views) - 1)], config, BACKGROUND)
            if not math.isfinite(loss):
                return math.nan
        found = mean_score(view_scores(state.model, views[:1], BACKGROUND)).psnr
        return math.nan if found is None else found


def _drawn(engine: str, scene: Gaussians) -> tuple[Tensor, dict[str, Tensor]]:
    """A picture, and the gradients of a sum over it in which every value has a weight of its own."""
    leaves: dict[str, Any] = {name: getattr(scene, name).clone().requires_grad_() for name in TENSOR_NAMES}
    image = (
        engines.named(engine).render(replace(scene, **leaves), cameras_around(4, 64)[1], background=BACKGROUND).image
    )
    weights = torch.rand(image.shape, generator=torch.Generator().manual_seed(2)).to(image)
    (image * weights).sum().backward()
    return image.detach().cpu(), {name: leaf.grad for name, leaf in leaves.items()}


def _looking_away() -> Camera:
    return look_at((3, 0, 0), (6, 0, 0), (0, 0, 1), 0.8, 40, 30)


def _views_seen(model: Model, views: Sequence[View]) -> Tensor:
    return model.gather_statistics(views, BACKGROUND, 0.2).views_seen.float()


def _extents(model: Model, views: Sequence[View]) -> Tensor:
    return model.gather_statistics(views, BACKGROUND, 0.2).max_radius


def _screen_gradients(model: Model, views: Sequence[View]) -> Tensor:
    return model.gather_statistics(views, BACKGROUND, 0.2).gradient_sum


def _relative(found: Tensor, expected: Tensor) -> float:
    """The norm of the difference, in norms of what is expected."""
    found, expected = found.detach().cpu().double(), expected.detach().cpu().double()
    return float((found - expected).norm() / expected.norm().clamp(min=1e-30))


def _median_seconds(step: Callable[[], object], times: int = 5) -> float:
    """Of some calls after a first one; fewer where they take long."""
    durations = []
    step()
    for _ in range(times):
        start = time.perf_counter()
        step()
        durations.append(time.perf_counter() - start)
        if durations[-1] > _TOO_SLOW:
            break
    return statistics.median(durations)
