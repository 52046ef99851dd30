"""leansplat: make 3D Gaussian Splatting scenes small. Train, trim, compress and evaluate, on a CPU.

    import leansplat

    capture = leansplat.load_capture("photos/", downscale=4)
    scene = leansplat.read("runs/fox/scene.ply")
    print(leansplat.evaluate(scene, capture).psnr)

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
    from leansplat.evaluation import evaluate
    from leansplat.formats import read, write
    from leansplat.gaussians import Gaussians
    from leansplat.pruning import TrimmingConfig, trim
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
    "CompressionConfig",
    "Gaussians",
    "TrainingConfig",
    "TrimmingConfig",
    "__version__",
    "compress",
    "evaluate",
    "load_capture",
    "read",
    "train",
    "trim",
    "write",
]

_WHERE = {
    "Camera": ("leansplat.cameras", "Camera"),
    "Capture": ("leansplat.captures.capture", "Capture"),
    "CompressionConfig": ("leansplat.compression", "CompressionConfig"),
    "Gaussians": ("leansplat.gaussians", "Gaussians"),
    "TrainingConfig": ("leansplat.training", "TrainingConfig"),
    "TrimmingConfig": ("leansplat.pruning", "TrimmingConfig"),
    "compress": ("leansplat.compression", "compress"),
    "evaluate": ("leansplat.evaluation", "evaluate"),
    "load_capture": ("leansplat.captures", "load"),
    "read": ("leansplat.formats", "read"),
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
    "metrics",
    "paper",
    "pruning",
    "report",
    "training",
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
