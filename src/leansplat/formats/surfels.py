"""Scenes of 2DGS (Huang et al., "2D Gaussian Splatting", 2024): flat Gaussians, with two scales where 3DGS has three.

The third axis, the normal, has no thickness. It gets one of 1/10,000 of the smaller of the other two: far too thin to
show in an image, and yet a number that every format and optimiser can work with.
"""

from __future__ import annotations

import logging
import math
from pathlib import Path

import numpy as np

_LOG_THINNESS = math.log(1e-4)

_log = logging.getLogger("leansplat")


def log_thickness(scales: np.ndarray) -> np.ndarray:
    """(N,) logarithms of the thickness of flat Gaussians with these scales, (N, 2) logarithms."""
    return scales.min(axis=1) + _LOG_THINNESS


def report_flat(path: Path) -> None:
    """Say that a file is of 2DGS, and what became of it."""
    _log.warning(
        "%s: its Gaussians have two scales, as 2DGS writes them, and were read as flat ones, 10,000 times thinner than "
        "wide; 2DGS draws them a little differently",
        path,
    )
