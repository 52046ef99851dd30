"""`SogOptions`: what can be chosen of a SOG file."""

from __future__ import annotations

from dataclasses import dataclass

from leansplat.errors import InputError
from leansplat.formats.sog.codebooks import LARGEST_PALETTE
from leansplat.seeds import check_seed


@dataclass(frozen=True)
class SogOptions:
    """How a SOG scene is written.

    Raises:
        InputError: a value is outside the range its description gives.
    """

    palette_size: int | None = None
    """Entries of the palette of spherical harmonics, 1 to 65,536; about one per Gaussian by default."""

    seed: int = 0
    """Of what is drawn while the palette is found."""

    def __post_init__(self) -> None:
        check_seed(self.seed)
        if self.palette_size is not None and not 1 <= self.palette_size <= LARGEST_PALETTE:
            raise InputError(f"setting palette_size is {self.palette_size}; give 1 to {LARGEST_PALETTE}")
