"""leansplat: make 3D Gaussian Splatting scenes small. Train, trim, compress and evaluate, on a CPU.

    import leansplat

    capture = leansplat.load_capture("photos/fox", downscale=4)
    leansplat.train(capture, run="runs/fox")
    leansplat.trim("runs/fox", capture, leansplat.TrimmingConfig(keep=0.25), run="runs/fox-25")
    print(leansplat.evaluate("runs/fox-25", capture).psnr)
    picture = leansplat.render("runs/fox-25", capture.test[0].camera).image

Every name below is imported on first use, so that `import leansplat` and `leansplat --help` do not wait for PyTorch.
"""

from __future__ import annotations

import os
from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from leansplat.cameras import Camera
    from leansplat.captures import load as load_capture
    from leansplat.captures.capture import Capture
    from leansplat.compression import CompressionConfig, compress
    from leansplat.engines.engine import Engine
    from leansplat.engines.statistics import ViewStatistics
    from leansplat.errors import CaptureError, InputError, LeansplatError, RunError, SceneFileError
    from leansplat.evaluation import evaluate
    from leansplat.formats import read, write
    from leansplat.gaussians import Gaussians
    from leansplat.pruning import TrimmingConfig, trim
    from leansplat.rendering import prepare, render
    from leansplat.shrinking import ShrinkingConfig, Target, shrink
    from leansplat.training import TrainingConfig, train

# How long OpenMP's threads spin before they sleep. By default almost for ever, so that a thread that another process
# keeps off its core holds up all others; a short spin still spares most sleeps. GNU counts the spins, LLVM and Intel
# (macOS, conda) milliseconds. Both are read once, as OpenMP is loaded; see `leansplat.simd.openmp`.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")
    os.environ.setdefault("KMP_BLOCKTIME", "1")

__version__ = "0.1.0"

__all__ = [
    "Camera",
    "Capture",
    "CaptureError",
    "CompressionConfig",
    "Engine",
    "Gaussians",
    "InputError",
    "LeansplatError",
    "RunError",
    "SceneFileError",
    "ShrinkingConfig",
    "Target",
    "TrainingConfig",
    "TrimmingConfig",
    "ViewStatistics",
    "__version__",
    "compress",
    "evaluate",
    "load_capture",
    "prepare",
    "read",
    "render",
    "shrink",
    "train",
    "trim",
    "write",
]

_WHERE = {
    "Camera": ("leansplat.cameras", "Camera"),
    "Capture": ("leansplat.captures.capture", "Capture"),
    "CaptureError": ("leansplat.errors", "CaptureError"),
    "CompressionConfig": ("leansplat.compression", "CompressionConfig"),
    "Engine": ("leansplat.engines.engine", "Engine"),
    "Gaussians": ("leansplat.gaussians", "Gaussians"),
    "InputError": ("leansplat.errors", "InputError"),
    "LeansplatError": ("leansplat.errors", "LeansplatError"),
    "RunError": ("leansplat.errors", "RunError"),
    "SceneFileError": ("leansplat.errors", "SceneFileError"),
    "ShrinkingConfig": ("leansplat.shrinking", "ShrinkingConfig"),
    "Target": ("leansplat.shrinking", "Target"),
    "TrainingConfig": ("leansplat.training", "TrainingConfig"),
    "TrimmingConfig": ("leansplat.pruning", "TrimmingConfig"),
    "ViewStatistics": ("leansplat.engines.statistics", "ViewStatistics"),
    "compress": ("leansplat.compression", "compress"),
    "evaluate": ("leansplat.evaluation", "evaluate"),
    "load_capture": ("leansplat.captures", "load"),
    "prepare": ("leansplat.rendering", "prepare"),
    "read": ("leansplat.formats", "read"),
    "render": ("leansplat.rendering", "render"),
    "shrink": ("leansplat.shrinking", "shrink"),
    "train": ("leansplat.training", "train"),
    "trim": ("leansplat.pruning", "trim"),
    "write": ("leansplat.formats", "write"),
}

_PARTS = (
    "captures",
    "compression",
    "datasets",
    "engines",
    "formats",
    "merging",
    "metrics",
    "paper",
    "pruning",
    "report",
    "shrinking",
    "training",
    "viewpoints",
)
"""Packages that hold the rest, such as `leansplat.engines.cpu`."""


def __getattr__(name: str) -> Any:
    if name in _PARTS:
        return import_module(f"leansplat.{name}")
    if name not in _WHERE:
        raise AttributeError(f"module 'leansplat' has no attribute {name!r}")
    module, attribute = _WHERE[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted(__all__)
