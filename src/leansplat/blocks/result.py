"""`BlocksResult`: what shrinking in blocks made, and what was lost on the way."""

from __future__ import annotations

import statistics
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from leansplat.blocks.work import BlockJudged, BlockMade


@dataclass(frozen=True)
class BlocksResult:
    """What shrinking in blocks made.

    Args:
        path: the file.
        bytes: of it, or of all files that belong to it.
        gaussians: that it has.
        original: Gaussians of the scene that was given; original_bytes: of its file.
        blocks: what became of each.
        judged: what was lost of each, among its neighbours as they became.
        told: what there is to say, sentence by sentence.
        seconds: time for everything.
        memory: bytes that a process of a block had in memory at most; 0 where blocks were not given to processes.
        driver_memory: bytes that this process had in memory at most, so far; 0 where the system does not say.
    """

    path: Path
    bytes: int
    gaussians: int
    original: int
    original_bytes: int
    blocks: tuple[BlockMade, ...]
    judged: tuple[BlockJudged, ...]
    told: tuple[str, ...]
    seconds: float
    memory: int
    driver_memory: int

    @property
    def psnr(self) -> float | None:
        """Mean over all views of all blocks, in dB, where the block is in the picture; None where there are none."""
        each = [value for judged in self.judged for value in judged.psnr]
        return statistics.fmean(each) if each else None

    @property
    def worst(self) -> float | None:
        """The lowest mean of a block."""
        return min((judged.mean for judged in self.judged if judged.mean is not None), default=None)

    @property
    def ssim(self) -> float | None:
        each = [value for judged in self.judged for value in judged.ssim]
        return statistics.fmean(each) if each else None

    def to_json(self) -> dict[str, Any]:
        """Values for `--json`."""
        return {
            "file": str(self.path),
            "bytes": self.bytes,
            "gaussians": self.gaussians,
            "original": {"bytes": self.original_bytes, "gaussians": self.original},
            "blocks": [
                {name: value for name, value in made.to_json().items() if name != "cameras"} | {"psnr": judged.mean}
                for made, judged in zip(self.blocks, self.judged, strict=True)
            ],
            "loss": {"own": {"psnr": self.psnr, "ssim": self.ssim, "lpips": None}, "worst_block": self.worst},
            "seconds": self.seconds,
            "memory": self.memory,
            "driver_memory": self.driver_memory,
            "told": list(self.told),
        }
