"""`measure`: all that is measured on the file of a finished job, so that reports need neither scenes nor captures.

Beside quality, size and speed that is a histogram of opacities, and the render of one held-out view to cut crops from.
"""

from __future__ import annotations

import platform
from pathlib import Path

import torch

from leansplat import formats
from leansplat.captures import Capture, View
from leansplat.evaluation import evaluate
from leansplat.gaussians import Gaussians
from leansplat.pictures import write_png
from leansplat.rendering import render
from leansplat.runs import Run

_BINS = 64


def pictured(capture: Capture) -> View:
    """The held-out view that pictures show: the middle one by name."""
    return capture.test[len(capture.test) // 2]


def measure(run: Run, file: Path, capture: Capture) -> None:
    """Measure a scene file of `run`, write its picture, and last metrics.json, which says that the job is finished.

    Measured is what a reader makes of the file. metrics.json holds what `Evaluation.to_json` has; "opacity_histogram",
    how many Gaussians have an opacity in each of 64 equal bins of [0, 1]; "pictured", the name of the view in the
    picture; "processor", which fps is of.
    """
    view = pictured(capture)
    gaussians = formats.read(file)
    evaluation = evaluate(gaussians, capture, file_size=formats.scene_bytes(file))
    with torch.inference_mode():
        image = render(gaussians, view.camera, background=capture.background).image
    write_png(image, run.picture_path, overwrite=True)
    run.write_metrics(
        {
            **evaluation.to_json(),
            "opacity_histogram": opacity_histogram(gaussians),
            "pictured": view.name,
            "processor": processor(),
        }
    )


def opacity_histogram(gaussians: Gaussians) -> list[int]:
    """How many Gaussians have an opacity in [k / 64, (k + 1) / 64); the last bin has those of opacity 1 too."""
    bins = (torch.sigmoid(gaussians.opacities.double()) * _BINS).long().clamp(0, _BINS - 1)
    return [int(count) for count in torch.bincount(bins, minlength=_BINS)]


def processor() -> str:
    """Name of the processor, as far as the system tells."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        return next(line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()
