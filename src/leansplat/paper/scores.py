"""`Score`: quality and size of a scene, the four numbers of the paper's tables, and how they are written."""

from __future__ import annotations

from dataclasses import dataclass

from leansplat.report.numbers import decibels, distance, megabytes, similarity

SCORE_HEADS = ("SSIM", "PSNR", "LPIPS", "MB")


@dataclass(frozen=True)
class Score:
    """Quality and size of a scene, or means over scenes.

    Args:
        ssim, psnr, lpips: the quality on held-out views, PSNR in dB; LPIPS is None where it was not measured.
        megabytes: size of the scene file, in units of 10^6 bytes (the paper does not say which MB it means).
    """

    ssim: float
    psnr: float
    lpips: float | None
    megabytes: float


def score_cells(score: Score) -> tuple[str, ...]:
    """The four numbers of Table 1, under `SCORE_HEADS`."""
    return similarity(score.ssim), decibels(score.psnr), distance(score.lpips), megabytes(score.megabytes)


def difference(score: Score, other: Score) -> str:
    """How much better or worse in quality `score` is than `other`."""
    text = f"{score.psnr - other.psnr:+.2f} dB, SSIM {score.ssim - other.ssim:+.3f}"
    if score.lpips is None or other.lpips is None:
        return text
    return f"{text}, LPIPS {score.lpips - other.lpips:+.3f}"
