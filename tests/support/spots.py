"""Photos of a known pattern through a known lens: soft dots drawn where the lens formula puts world points.

The distortion formula is written out from its definition (Brown's model as COLMAP and OpenCV document it), so that what
the loader undoes is checked against a formula and not against the library it uses.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

SPOT_SIGMA = 2.0  # pixels


def distorted(x: np.ndarray, y: np.ndarray, coefficients: Sequence[float]) -> tuple[np.ndarray, np.ndarray]:
    """Normalised image coordinates after distortion by k1, k2, p1, p2[, k3[, k4, k5, k6]]."""
    k1, k2, p1, p2, k3, k4, k5, k6 = (*coefficients, 0, 0, 0, 0)[:8] if len(coefficients) < 8 else coefficients
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return (
        x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x),
        y * radial + 2 * p2 * x * y + p1 * (r2 + 2 * y * y),
    )


def draw(width: int, height: int, centres: np.ndarray) -> np.ndarray:
    """(H, W, 3) uint8: grey 60 with a Gaussian dot of height 180 at each centre (N, 2), pixel centres at +0.5."""
    columns, rows = np.arange(width) + 0.5, np.arange(height) + 0.5
    image = np.full((height, width), 60.0)
    for x, y in centres:
        across = np.exp(-0.5 * ((columns - x) / SPOT_SIGMA) ** 2)
        down = np.exp(-0.5 * ((rows - y) / SPOT_SIGMA) ** 2)
        image += 180 * down[:, None] * across[None, :]
    return np.repeat(np.rint(np.clip(image, 0, 255)).astype(np.uint8)[:, :, None], 3, axis=2)


def centroid(photo: np.ndarray, near: np.ndarray, radius: int = 8) -> np.ndarray:
    """(2,) centre of mass of what is brighter than the background within `radius` of `near`, pixel centres at +0.5."""
    left, top = (int(value) - radius for value in near)
    window = photo[max(top, 0) : top + 2 * radius + 1, max(left, 0) : left + 2 * radius + 1, 0].astype(np.float64) - 60
    window[window < 3] = 0
    rows, columns = np.mgrid[: window.shape[0], : window.shape[1]] + 0.5
    mass = window.sum()
    return np.array([(columns * window).sum() / mass + max(left, 0), (rows * window).sum() / mass + max(top, 0)])
