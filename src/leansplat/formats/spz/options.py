"""`SpzOptions`: what can be chosen of an SPZ file."""

from __future__ import annotations

from dataclasses import dataclass

from leansplat.errors import InputError
from leansplat.formats.spz.container import Version
from leansplat.formats.spz.encoding import USUAL_SH_BITS


@dataclass(frozen=True)
class SpzOptions:
    """How an SPZ file is written.

    Raises:
        InputError: a value is outside the range its description gives.
    """

    version: Version = 3
    """Of the format: 3 opens in every viewer of SPZ, 4 is a little smaller."""

    sh_bits: tuple[int, int] = USUAL_SH_BITS
    """Bits for spherical harmonics, 1 to 8: of degree 1, and of those above. More look better and take more bytes."""

    def __post_init__(self) -> None:
        if self.version not in (3, 4):
            raise InputError(f"setting version is {self.version}; an .spz is written in version 3 or 4")
        if not all(1 <= bits <= 8 for bits in self.sh_bits):
            first, others = self.sh_bits
            raise InputError(f"an .spz has 1 to 8 bits for spherical harmonics, not {first} and {others}")
