"""How a report writes numbers."""

from __future__ import annotations

from leansplat.experiments.published import Score

NONE = "–"
"""In place of a number that does not exist."""

SCORE_HEADS = ("SSIM", "PSNR", "LPIPS", "MB")


def decibels(value: float) -> str:
    return f"{value:.2f}"


def similarity(value: float) -> str:
    """SSIM."""
    return f"{value:.3f}"


def distance(value: float | None) -> str:
    """LPIPS."""
    return NONE if value is None else f"{value:.3f}"


def megabytes(value: float) -> str:
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def percent(share: float) -> str:
    """A share that was measured."""
    return f"{100 * share:.0f} %" if share >= 0.0995 else f"{100 * share:.1f} %"


def score_cells(score: Score) -> tuple[str, ...]:
    """The four numbers of Table 1, under `SCORE_HEADS`."""
    return similarity(score.ssim), decibels(score.psnr), distance(score.lpips), megabytes(score.megabytes)


def difference(score: Score, other: Score) -> str:
    """How much better or worse in quality `score` is than `other`."""
    text = f"{score.psnr - other.psnr:+.2f} dB, SSIM {score.ssim - other.ssim:+.3f}"
    if score.lpips is None or other.lpips is None:
        return text
    return f"{text}, LPIPS {score.lpips - other.lpips:+.3f}"


def span(values: list[float]) -> str:
    """Differences in dB: one, or the smallest and the largest."""
    low, high = f"{min(values):+.2f}", f"{max(values):+.2f}"
    return f"{low} dB" if low == high else f"{low} to {high} dB"
