"""`evaluate`: how good a scene looks on photos it was not trained on, how big it is, and how fast it renders.

Everything is measured as 3DGS papers do: renders clamped to [0, 1] against the 8-bit photos at the size the capture was
loaded with, one number per view, and the plain mean over views. Pixels that a view's mask hides are left out. A number
that cannot be measured is null with its reason.
"""

from __future__ import annotations

import math
import os
import statistics
import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal

import torch

from leansplat import engines
from leansplat.captures.as_trained import opened
from leansplat.captures.capture import Capture, View
from leansplat.engines.engine import Background, Renderer
from leansplat.errors import CaptureError, InputError
from leansplat.formats import read, scene_bytes, scene_path
from leansplat.gaussians import Gaussians
from leansplat.metrics.lpips import SMALLEST, Lpips
from leansplat.origin import warn_if_apart
from leansplat.progress import Progress
from leansplat.provenance import trained_with, warn_of_another_background
from leansplat.runs import Run
from leansplat.scoring import ViewScore, mean_score, view_scores
from leansplat.training.coverage import warn_of_empty_views

LpipsNet = Literal["vgg", "alex"]

_FPS_RUNS = 3


@dataclass(frozen=True)
class Evaluation:
    """Quality, size and speed of a scene.

    Args:
        psnr, ssim, lpips: means over `views`.
        lpips_net: the network and input range LPIPS was measured with, such as "vgg, [0,1]"; None without LPIPS.
        lpips_reason: why `lpips` is None, in a line; None where it was measured.
        gaussians: how many Gaussians the scene has.
        bytes: size of the scene file on disk; None for a scene that is in no file.
        fps: frames per second over the views' cameras, rendering alone; None where it was not measured.
        views: the score of each view, by name.
    """

    psnr: float
    ssim: float
    lpips: float | None
    lpips_net: str | None
    lpips_reason: str | None
    gaussians: int
    bytes: int | None
    fps: float | None
    views: tuple[ViewScore, ...]

    def to_json(self) -> dict[str, Any]:
        """What `metrics.json` holds and `eval --json` prints. JSON has no infinity: an infinite PSNR is null."""
        values = asdict(self)
        for scores in (values, *values["views"]):
            if math.isinf(scores["psnr"]):
                scores["psnr"] = None
        return values


def evaluate(
    scene: Gaussians | str | os.PathLike[str],
    capture: Capture | str | os.PathLike[str],
    *,
    lpips: LpipsNet | None = "vgg",
    split: Literal["test", "train"] = "test",
    fps: bool = True,
    file_size: int | None = None,
    engine: str = "cpu",
    progress: Progress | None = None,
) -> Evaluation:
    """Render the views of a capture that were held out and compare them with the photos.

    Args:
        scene: Gaussians, a scene file of any tool, or a folder with a scene.
        capture: photos with cameras, or the folder of a capture, which is loaded as the scene was trained.
        lpips: network of the LPIPS distance, or None to leave it out.
        split: which views to score; only those held out ("test") say how good a scene is.
        fps: whether to measure frames per second: the median of three passes over the views after a first one.
        file_size: bytes of the scene's file, handed on to the result; by default those of the file that `scene` names.
        engine: what renders, a name in `leansplat.engines.ENGINES`.
        progress: told after each view.

    Raises:
        SceneFileError: the scene cannot be read.
        CaptureError: the capture cannot be loaded, or has no view in this split.

    Example:
        >>> evaluate("runs/fox", "photos/fox").psnr  # doctest: +SKIP
    """
    capture, _ = opened(capture, scene, points=False)
    if isinstance(scene, Gaussians):
        gaussians = scene
    else:
        warn_of_another_background(trained_with(scene), capture.background)
        file = scene_path(scene)
        gaussians, file_size = read(file), scene_bytes(file) if file_size is None else file_size
    views = capture.test if split == "test" else capture.train
    if not views:
        raise CaptureError(
            f"capture {capture.name!r} has no {split} views to evaluate on; it needs at least one photo there"
        )
    warn_if_apart(gaussians.means, gaussians.origin, [view.camera for view in (*capture.train, *capture.test)])
    warn_of_empty_views(gaussians, views, capture.background, split)
    renderer = engines.named(engine).renderer(gaussians)
    network, reason = load_lpips(lpips, views)
    scores = view_scores(renderer, views, capture.background, network, progress)
    speed = frames_per_second(renderer, views, capture.background) if fps else None
    mean = mean_score(scores)
    assert mean.psnr is not None
    assert mean.ssim is not None
    return Evaluation(
        psnr=mean.psnr,
        ssim=mean.ssim,
        lpips=mean.lpips,
        lpips_net=network.name if network else None,
        lpips_reason=reason,
        gaussians=len(gaussians),
        bytes=file_size,
        fps=speed,
        views=tuple(scores),
    )


def evaluate_run(run: Run, gaussians: Gaussians, capture: Capture, *, lpips: LpipsNet | None = "vgg") -> Evaluation:
    """Evaluate the scene a run has just written, on the views held out, and keep the result as its metrics.json.

    Raises:
        CaptureError: the capture holds no view out.
    """
    evaluation = evaluate(gaussians, capture, lpips=lpips, file_size=scene_bytes(run.scene_path))
    run.write_metrics(evaluation.to_json())
    return evaluation


def frames_per_second(scene: Renderer, views: Sequence[View], background: Background) -> float:
    """Frames a second over the views' cameras: the median of three passes after one that warms up the kernels."""
    durations = []
    with torch.inference_mode():
        for _ in range(1 + _FPS_RUNS):
            start = time.perf_counter()
            for view in views:
                drawn = scene.render(view.camera, background)
            drawn.alpha[0, 0].item()  # a card draws while Python goes on; this waits for it
            durations.append(time.perf_counter() - start)
    return len(views) / statistics.median(durations[1:])


def load_lpips(net: LpipsNet | None, views: Sequence[View]) -> tuple[Lpips | None, str | None]:
    """LPIPS if it can be measured on all views, else the reason why not."""
    if net is None:
        return None, "LPIPS was not asked for"
    least = SMALLEST[net]
    if any(min(view.camera.width, view.camera.height) < least for view in views):
        return None, f"LPIPS with {net} needs views of {least}x{least} pixels or more"
    try:
        return Lpips(net), None
    except InputError as error:
        return None, str(error)
