"""`SpzCodec`: Niantic's format, where the bytes of spherical harmonics are as coarse as the photos allow."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np

from leansplat import formats
from leansplat.compression.codecs.registry import Codec, codec
from leansplat.compression.format_quantiser import FileQuantiser, SpzQuantiser
from leansplat.compression.harmonics import check_loss, coarsest_steps, color_weights
from leansplat.compression.preparation import Prepared, Subject
from leansplat.formats import SpzOptions
from leansplat.formats.options import SpzVersion
from leansplat.formats.spz.container import unpack
from leansplat.gaussians import Gaussians

_PIECE = 1 << 20


@codec
@dataclass(frozen=True)
class SpzCodec(Codec):
    """See `Codec`. A file is one stream, so its parts are estimates: each is deflated alone, which comes close.

    Raises:
        InputError: an option is outside the range its description gives.
    """

    suffix: ClassVar[str] = ".spz"
    parts_are_estimates: ClassVar[bool] = True

    sh_loss: float = 1.5
    """What coarser harmonics may cost on training views before fine-tuning, in dB of PSNR, at least 0, for which they
    are as fine as the format can say."""

    sh_bits: tuple[int, int] | None = None
    """Bits of harmonics, 1 to 8, of degree 1 and of those above, the same for all Gaussians; by default each has as
    many as `sh_loss` allows, without a capture 5 and 4."""

    version: SpzVersion = SpzOptions.version
    """Of the format: 3 opens in every viewer of SPZ, 4 is a little smaller."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loss("sh_loss", self.sh_loss)
        self._options()  # which refuses what is out of range

    def quantiser(self, steps: int) -> FileQuantiser:
        return SpzQuantiser(options=self._options())

    def prepare(self, subject: Subject) -> Prepared:
        if self.sh_bits is not None:
            return super().prepare(subject)
        weights = color_weights(subject.sensitivity)
        steps = coarsest_steps(subject.gaussians, weights, subject.loss_on_photos(), self.sh_loss)
        told = {"sh_steps": {f"{step:g}": int((steps == step).sum()) for step in np.unique(steps)}}
        return Prepared(subject.gaussians, SpzQuantiser(steps, self._options()), told)

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
