"""How a report writes numbers."""

from __future__ import annotations

NONE = "–"
"""In place of a number that does not exist."""


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


def span(values: list[float]) -> str:
    """Differences in dB: one, or the smallest and the largest."""
    low, high = f"{min(values):+.2f}", f"{max(values):+.2f}"
    return f"{low} dB" if low == high else f"{low} to {high} dB"
