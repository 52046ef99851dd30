"""`SpzCodec`: Niantic's format, where the bytes of spherical harmonics are as coarse as the photos allow."""

from __future__ import annotations

import zlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import numpy as np

from leansplat import formats
from leansplat.compression.codecs.registry import Codec, codec
from leansplat.compression.format_quantiser import FileQuantiser, SpzQuantiser
from leansplat.compression.harmonics import FINER, WIDEST_STEPS, check_loss, coarsest_steps, color_weights, steps_of
from leansplat.compression.preparation import Prepared, Subject
from leansplat.errors import InputError
from leansplat.formats import SpzOptions
from leansplat.formats.options import SpzVersion
from leansplat.formats.spz.container import unpack
from leansplat.gaussians import Gaussians

_PIECE = 1 << 20

_MOST_OCTAVES = 6
"""From the Gaussian that shows most to one whose steps may be finest: a Gaussian's share of 1 in 4,000."""


@codec
@dataclass(frozen=True)
class SpzCodec(Codec):
    """See `Codec`. A file is one stream, so its parts are estimates: each is deflated alone, which comes close.

    Raises:
        InputError: an option is outside the range its description gives.
    """

    suffix: ClassVar[str] = ".spz"
    parts_are_estimates: ClassVar[bool] = True

    sh_loss: float | None = None
    """What coarser harmonics may cost on training views before fine-tuning, in dB of PSNR, at least 0, for which they
    are as fine as the format can say. By default what the usual bits cost and what fine-tuning wins back, which depends
    on its steps: 0.15 dB in 500, 1.5 dB in 5,000."""

    sh_bits: tuple[int, int] | None = None
    """Bits of harmonics, 1 to 8, of degree 1 and of those above, the same for all Gaussians; by default each has as
    many as `sh_loss` allows, without a capture 5 and 4."""

    sh_octaves: float | None = None
    """Width, in octaves up to 8, of the steps of harmonics of the Gaussian that shows most, others' being wider by what
    they show less: instead of what `sh_loss` finds. Below 0 the finest steps go to more and more Gaussians."""

    version: SpzVersion = SpzOptions.version
    """Of the format: 3 opens in every viewer of SPZ, 4 is a little smaller."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loss("sh_loss", self.sh_loss)
        self._options()  # which refuses what is out of range
        if self.sh_octaves is not None and not -_MOST_OCTAVES <= self.sh_octaves <= WIDEST_STEPS:
            raise InputError(f"setting sh_octaves is {self.sh_octaves}; give {-_MOST_OCTAVES} to {WIDEST_STEPS}")

    def quantiser(self, steps: int) -> FileQuantiser:
        return SpzQuantiser(options=self._options())

    def prepare(self, subject: Subject) -> Prepared:
        if self.sh_bits is not None:
            return super().prepare(subject)
        weights = color_weights(subject.sensitivity)
        if self.sh_octaves is None:
            loss, tuned = subject.loss_on_photos(), subject.fine_tuning.steps
            steps = coarsest_steps(subject.gaussians, weights, loss, self.sh_loss, steps=tuned)
        else:
            steps = steps_of(weights, self.sh_octaves)
        told = {"sh_steps": {f"{step:g}": int((steps == step).sum()) for step in np.unique(steps)}}
        return Prepared(subject.gaussians, SpzQuantiser(steps, self._options()), told)

    def grades(self, count: int) -> tuple[Codec, ...]:
        if self.sh_bits is not None or self.sh_octaves is not None:
            return (self,)
        octaves = np.arange(WIDEST_STEPS, -_MOST_OCTAVES - FINER, -FINER)
        return tuple(replace(self, sh_octaves=float(each)) for each in octaves)

    def write(self, gaussians: Gaussians, path: Path, *, overwrite: bool = False) -> None:
        formats.write(gaussians, path, overwrite=overwrite, options=self._options())

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        encoded = unpack(path)
        positions = np.ascontiguousarray(encoded.positions.astype("<i4").view(np.uint8).reshape(-1, 4)[:, :3])
        others = {name: getattr(encoded, name) for name in ("alphas", "colors", "scales", "rotations", "shN")}
        return {name: _deflated(section) for name, section in {"positions": positions, **others}.items()}

    def _options(self) -> SpzOptions:
        return SpzOptions(self.version, SpzOptions.sh_bits if self.sh_bits is None else self.sh_bits)


def _deflated(section: np.ndarray) -> int:
    content = np.ascontiguousarray(section).reshape(-1).view(np.uint8)
    stream = zlib.compressobj(9)
    pieces = (stream.compress(content[start : start + _PIECE].tobytes()) for start in range(0, len(content), _PIECE))
    return sum(map(len, pieces)) + len(stream.flush())
