"""`SogCodec`: PlayCanvas's format of images, whose palette of spherical harmonics is as small as the photos allow."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from leansplat import formats
from leansplat.compression.codecs.registry import Codec, codec
from leansplat.compression.format_quantiser import FileQuantiser, SogQuantiser
from leansplat.compression.harmonics import check_loss, color_weights, palette_sizes, smallest_palette
from leansplat.compression.parts import bytes_of_members
from leansplat.compression.preparation import Prepared, Subject
from leansplat.formats import SogOptions
from leansplat.gaussians import Gaussians


@codec
@dataclass(frozen=True)
class SogCodec(Codec):
    """See `Codec`.

    Raises:
        InputError: an option is outside the range its description gives.
    """

    suffix: ClassVar[str] = ".sog"

    sh_loss: float | None = None
    """What a smaller palette may cost on training views before fine-tuning, in dB of PSNR, at least 0, for which it is
    as large as is usual. By default what the usual palette costs and what fine-tuning wins back, which depends on its
    steps: 0.15 dB in 500, 1.5 dB in 5,000."""

    palette_size: int | None = None
    """Entries of the palette, 1 to 65,536; by default as `sh_loss` allows, without a capture about one per Gaussian."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_loss("sh_loss", self.sh_loss)
        SogOptions(palette_size=self.palette_size)  # which refuses what is out of range

    def quantiser(self, steps: int) -> FileQuantiser:
        return SogQuantiser(steps=steps, palette_size=self.palette_size)

    def prepare(self, subject: Subject) -> Prepared:
        gaussians, seed, steps = subject.gaussians, subject.fine_tuning.seed, subject.fine_tuning.steps
        weights, size = color_weights(subject.sensitivity), self.palette_size
        if size is None:
            loss = subject.loss_on_photos()
            size = smallest_palette(gaussians, weights, loss, self.sh_loss, steps=steps, seed=seed)
        quantiser = SogQuantiser(steps=steps, weights=weights, palette_size=size, seed=seed)
        return Prepared(gaussians, quantiser, {"palette_size": size})

    def grades(self, count: int) -> tuple[Codec, ...]:
        if self.palette_size is not None:
            return (self,)
        return tuple(replace(self, palette_size=size) for size in palette_sizes(count))

    def write(self, gaussians: Gaussians, path: Path, *, overwrite: bool = False) -> None:
        formats.write(gaussians, path, overwrite=overwrite, options=SogOptions(palette_size=self.palette_size))

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        return bytes_of_members(path)
