"""Opacities and sizes of a scene before and after, as histograms of equal bins."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from leansplat.activation import opacity_of, scale_of
from leansplat.formats import read_arrays
from leansplat.report import Axis, Chart, Series

_BINS = 25
_TAIL = 0.5
"""Percent of the sizes at either end, that go into the outermost bins."""

_SHARE = Axis("share of the Gaussians, %", ".2f", low=0.0)


def histograms(name: str, color: int, before: Path | None, after: Path | None) -> list[Chart]:
    """Two charts of what is there of both scenes; none where there is neither.

    Args:
        name: of the run; color: its number.
    """
    files = [(label, path) for label, path in (("before", before), ("after", after)) if path is not None]
    scenes = [(label, *_values(path)) for label, path in files]
    if not scenes:
        return []
    alone = len(scenes) == 1
    opacity_edges = np.linspace(0, 1, _BINS + 1)
    sizes = np.concatenate([values for _, _, values in scenes])
    low, high = np.percentile(sizes, [_TAIL, 100 - _TAIL]) if len(sizes) else (1e-3, 1.0)
    size_edges = np.geomspace(low, max(high, 1.01 * low), _BINS + 1)

    def series(part: int, edges: np.ndarray) -> list[Series]:
        return [
            Series(
                name if alone else f"{name}, {label}",
                _shares(values[part], edges),
                color,
                dashed=label == "before" and not alone,
            )
            for label, *values in scenes
        ]

    return [
        Chart(f"Opacities of {name}", Axis("opacity", ".2f", low=0, high=1), _SHARE, series(0, opacity_edges), "steps"),
        Chart(
            f"Sizes of {name}",
            Axis("size: mean standard deviation, scene units", ".3g", log=True),
            _SHARE,
            series(1, size_edges),
            "steps",
        ),
    ]


def _values(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """(N,) opacities, and (N,) geometric means of the three standard deviations, of what is finite."""
    scene = read_arrays(path).finite_equivalent()
    finite = scene.finite()
    return opacity_of(scene.opacities[finite]), scale_of(scene.scales[finite].mean(axis=1, dtype=np.float64))


def _shares(values: np.ndarray, edges: np.ndarray) -> Sequence[tuple[float, float]]:
    """The lower edge of each bin with the percentage in it, and the upper edge of the last."""
    counts, _ = np.histogram(np.clip(values, edges[0], edges[-1]), edges)
    shares = 100 * counts / max(1, len(values))
    return [*zip(edges[:-1].tolist(), shares.tolist(), strict=True), (float(edges[-1]), 0.0)]
