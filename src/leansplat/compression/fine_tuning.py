"""`fine_tune`: train a scene through a file format, so that what a reader of the file gets looks right.

The parameters that are trained stay floats. Every step renders what a decoder would make of them, and the gradient goes
straight through the rounding. What a format can say is a `Quantiser`; this loop knows nothing else of it, nor how its
parameters are shared or coded. Log, checkpoints and resuming are those of training.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from leansplat import engines
from leansplat.captures.capture import Capture, View
from leansplat.compression.config import FineTuningConfig
from leansplat.compression.state import FineTuningState, read_state, write_state
from leansplat.engines.engine import Background, Engine
from leansplat.engines.shared import SharedGaussians
from leansplat.errors import CaptureError, RunError
from leansplat.gaussians import Gaussians
from leansplat.live import Shown
from leansplat.progress import Progress
from leansplat.runs import Run
from leansplat.training import loop
from leansplat.training.annealing import cosine
from leansplat.training.batches import check_batch, views_of_batch
from leansplat.training.config import TrainingConfig


class Quantiser(Protocol):
    """A file format as training sees it.

    Latents are the float parameters that are trained, float32 tensors by name: the six tensors of the scene for a
    format that codes each Gaussian by itself, rows of tables and what is left of each Gaussian for one that shares.
    Everything else that decides the next step (codebooks, labels, ranges) is the quantiser's own state. A format F with
    `encode` and `decode` needs `decode(encode(gaussians))`, put back into the order of the latents, and
    `fake_quantisation.straight_through`.
    """

    def begin(self, gaussians: Gaussians) -> dict[str, Tensor]:
        """Latents of a scene to start from, not shared with its tensors; sets the own state for the first step."""

    def render_parameters(self, latents: Mapping[str, Tensor]) -> SharedGaussians:
        """The scene that a decoder would give, row by row the same Gaussians every time.

        Differentiable in the latents, straight through what has no useful gradient. Does not change the own state.
        """

    def rates(self, recipe: TrainingConfig) -> Mapping[str, float]:
        """Learning rate of each latent but "means", if there is one of that name: its rate is the config's."""

    def step(self, latents: Mapping[str, Tensor], step: int) -> None:
        """Adapt the own state to latents that Adam has just moved for the `step`-th time."""

    def tensors(self) -> dict[str, Tensor]:
        """The own state, for a checkpoint."""

    def load(self, tensors: Mapping[str, Tensor]) -> None:
        """Take back what `tensors` gave.

        Raises:
            ValueError, KeyError: these are not the tensors of such a quantiser.
        """


@dataclass(frozen=True)
class FineTuningResult:
    """What fine-tuning made.

    Args:
        latents: the parameters, without gradients; encode them with the quantiser, whose state belongs to them.
        seconds: time spent, over all sittings.
    """

    latents: Mapping[str, Tensor]
    seconds: float


def fine_tune(
    scene: Gaussians | None,
    capture: Capture,
    quantiser: Quantiser,
    config: FineTuningConfig,
    run: Run | None = None,
    *,
    recipe: TrainingConfig | None = None,
    engine: str = "cpu",
    checkpoint: Path | None = None,
    progress: Progress | None = None,
    begun: Callable[[Mapping[str, Tensor]], None] | None = None,
) -> FineTuningResult:
    """Train what `quantiser` codes a scene with, on the training views of `capture`.

    Args:
        scene: where to start; not needed when a checkpoint is resumed.
        quantiser: the format; its state moves along.
        run: gets log and checkpoints, or None.
        recipe: learning rates and the weight of SSIM; those of 3DGS by default.
        engine: what renders, a name in `engines.ENGINES`.
        checkpoint: the last one of `run`, to go on from, which the caller has found to be of these settings; see
            `training.session`. None to begin.
        progress: see `leansplat.progress.Progress`.
        begun: told the latents before the first step; not when a checkpoint is resumed.

    Raises:
        CaptureError: the capture has no training views.
        RunError: the checkpoint is damaged or of another quantiser, or the loss is not finite.
    """
    if not capture.train:
        raise CaptureError(f"capture {capture.name} has no training views; check its split")
    check_batch(config.batch, len(capture.train))
    recipe = recipe or TrainingConfig()
    if run is not None and checkpoint is not None:
        state, tensors = read_state(checkpoint)
        try:
            quantiser.load(tensors)
        except (ValueError, KeyError) as error:
            raise RunError(f"{checkpoint} is of another file format; start a new run") from error
        loop.go_back(run, state.step)
    elif scene is None:
        raise RunError("there is no checkpoint to resume and no scene to start from; give the scene")
    else:
        latents = quantiser.begin(scene)
        if begun is not None:
            begun(latents)
        state = FineTuningState.begin(latents, len(scene), config.seed)
    renders = engines.named(engine)
    rates = {**quantiser.rates(recipe), "means": config.position_rate * capture.extent}

    def one_step() -> float:
        left = cosine(state.step / config.steps, config.final_rate)
        state.set_rates({name: left * rate for name, rate in rates.items()})
        number, batch = len(capture.train), config.batch
        if batch == 1:
            indices = [state.next_view(number)]
        else:
            indices = views_of_batch(config.seed, state.step // batch, batch, number)[: config.steps - state.step]
        views = [capture.train[index] for index in indices]
        return _step(state, quantiser, renders, views, capture.background, recipe.ssim_weight)

    def decoded() -> Gaussians:
        with torch.no_grad():
            return quantiser.render_parameters(state.latents).copied()

    loop.run_steps(
        state,
        one_step,
        0,
        config.steps,
        run=run,
        save=lambda path: write_state(path, state, quantiser.tensors()),
        checkpoint_every=config.checkpoint_every,
        progress=progress,
        quality=(lambda: loop.quality_on(renders.renderer(decoded()), capture.test, capture.background))
        if capture.test
        else None,
        shown=Shown(lambda: (scene := decoded())[torch.arange(len(scene))], capture),
    )
    return FineTuningResult({name: latent.detach() for name, latent in state.latents.items()}, state.seconds)


def _step(
    state: FineTuningState,
    quantiser: Quantiser,
    engine: Engine,
    views: Sequence[View],
    background: Background,
    ssim_weight: float,
) -> float:
    """Render views of the decoded scene, compare them with their photos, update every latent; returns the mean loss."""
    scene = quantiser.render_parameters(state.latents)
    loss, losses = engine.mean_loss(scene, views, background, ssim_weight)
    for view, value in zip(views, losses, strict=True):
        if not math.isfinite(value):
            raise RunError(f"the loss is {value} at step {state.step + 1}, view {view.name}; check that photo")
    before = state.step
    state.update(loss, len(views))
    with torch.no_grad():
        for step in range(before + 1, state.step + 1):
            quantiser.step(state.latents, step)
    return float(loss.detach())
