"""`report`: what a compression saved and what it cost, on views held out: bytes by part, quality, and the worst views.

Measured are the scene that was given, the file as it would be without fine-tuning and the file, both as they are read.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from leansplat.captures.capture import Capture
from leansplat.compression.compressor import CompressionResult
from leansplat.evaluation import Evaluation, LpipsNet, evaluate

_NORMALS = 3
_WORST = 3


@dataclass(frozen=True)
class ViewLoss:
    """A view and what compression costs it.

    Args:
        name: file name of the photo.
        loss: PSNR of the scene given minus that of the file, in dB.
    """

    name: str
    loss: float


@dataclass(frozen=True)
class CompressionReport:
    """What a compression saved and cost.

    Args:
        bytes: of the file.
        plain_bytes: of the file without fine-tuning.
        ply_bytes: of the vertices of the scene given, as 3DGS writes them to a .ply.
        parts: bytes by part of the file, as its codec's `bytes_by_part` gives them.
        gaussians: in the file.
        original, plain, compressed: quality of the scene given, of the file without fine-tuning, of the file; None
            where there are no held-out views.
        worst: the three views that lose most, the worst first.
    """

    bytes: int
    plain_bytes: int
    ply_bytes: int
    parts: Mapping[str, int]
    gaussians: int
    original: Evaluation | None
    plain: Evaluation | None
    compressed: Evaluation | None
    worst: tuple[ViewLoss, ...]

    @property
    def ratio(self) -> float:
        """How many times smaller the file is than the .ply."""
        return self.ply_bytes / self.bytes

    def to_json(self) -> dict[str, Any]:
        """What metrics.json of a run holds and `compress --json` prints; infinities are null."""
        return {
            "bytes": self.bytes,
            "plain_bytes": self.plain_bytes,
            "ply_bytes": self.ply_bytes,
            "ratio": self.ratio,
            "parts": dict(self.parts),
            "gaussians": self.gaussians,
            **{
                name: None if evaluation is None else evaluation.to_json()
                for name, evaluation in (
                    ("original", self.original), ("plain", self.plain), ("compressed", self.compressed)
                )
            },
            "worst": [
                {"name": view.name, "loss": view.loss if math.isfinite(view.loss) else None} for view in self.worst
            ],
        }  # fmt: skip


def report(result: CompressionResult, capture: Capture | None, *, lpips: LpipsNet | None = "vgg") -> CompressionReport:
    """Measure a compression on the views of `capture` that were held out; without a capture or such views, sizes only.

    Args:
        lpips: network of the LPIPS distance, or None to leave it out.
    """
    original = plain = compressed = None
    worst: list[ViewLoss] = []
    if capture is not None and capture.test:
        original = evaluate(result.original, capture, lpips=lpips, fps=False)
        compressed = evaluate(result.gaussians, capture, lpips=lpips, fps=False, file_size=result.bytes)
        plain = (
            compressed
            if result.plain is result.gaussians
            else evaluate(result.plain, capture, lpips=lpips, fps=False, file_size=result.plain_bytes)
        )
        pairs = zip(original.views, compressed.views, strict=True)
        losses = [
            ViewLoss(before.name, 0.0 if before.psnr == after.psnr else before.psnr - after.psnr)  # both may be perfect
            for before, after in pairs
        ]
        worst = sorted(losses, key=lambda view: -view.loss)[:_WORST]
    return CompressionReport(
        bytes=result.bytes,
        plain_bytes=result.plain_bytes,
        ply_bytes=4 * (result.original.parameters_per_gaussian + _NORMALS) * len(result.original),
        parts=result.codec.bytes_by_part(result.path),
        gaussians=len(result.gaussians),
        original=original,
        plain=plain,
        compressed=compressed,
        worst=tuple(worst),
    )
