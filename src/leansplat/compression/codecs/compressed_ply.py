"""`CompressedPlyCodec`: PlayCanvas's older format, which codes each Gaussian by itself and leaves nothing to choose."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from leansplat import formats
from leansplat.compression.codecs.registry import Codec, codec
from leansplat.compression.format_quantiser import FileQuantiser, RowQuantiser
from leansplat.formats import compressed_ply
from leansplat.gaussians import Gaussians


@codec
@dataclass(frozen=True)
class CompressedPlyCodec(Codec):
    """See `Codec`; there are no options."""

    suffix: ClassVar[str] = ".compressed.ply"

    def quantiser(self, steps: int) -> FileQuantiser:
        return RowQuantiser(compressed_ply)

    def write(self, gaussians: Gaussians, path: Path, *, overwrite: bool = False) -> None:
        formats.write(gaussians, path, overwrite=overwrite)

    def bytes_by_part(self, path: Path) -> dict[str, int]:
        encoded = compressed_ply.unpack(path)
        parts = {"chunks": encoded.ranges.nbytes}
        parts |= dict.fromkeys(("positions", "rotations", "scales", "colors"), 4 * len(encoded))
        parts["shN"] = encoded.shN.nbytes
        return {"header": path.stat().st_size - sum(parts.values()), **parts}
