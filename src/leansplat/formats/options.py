"""What can be chosen of files whose format leaves a choice; without the formats, so that nobody waits for them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, TypeAlias

from leansplat.errors import InputError
from leansplat.seeds import check_seed

SpzVersion: TypeAlias = Literal[3, 4]

LARGEST_PALETTE = 1 << 16
"""Entries that a SOG file's labels of 16 bits can tell apart."""

USUAL_SH_BITS = (5, 4)
"""Bits of an SPZ file's harmonics of degree 1, and of those above, which Niantic's own writer has."""


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


@dataclass(frozen=True)
class SpzOptions:
    """How an SPZ file is written.

    Raises:
        InputError: a value is outside the range its description gives.
    """

    version: SpzVersion = 3
    """Of the format: 3 opens in every viewer of SPZ, 4 is a little smaller."""

    sh_bits: tuple[int, int] = USUAL_SH_BITS
    """Bits for spherical harmonics, 1 to 8: of degree 1, and of those above. More look better and take more bytes."""

    def __post_init__(self) -> None:
        if self.version not in (3, 4):
            raise InputError(f"setting version is {self.version}; an .spz is written in version 3 or 4")
        if not all(1 <= bits <= 8 for bits in self.sh_bits):
            first, others = self.sh_bits
            raise InputError(f"an .spz has 1 to 8 bits for spherical harmonics, not {first} and {others}")


@dataclass(frozen=True)
class LevelOptions:
    """How levels of detail are cut up and written.

    Raises:
        InputError: a value is outside the range its description gives.
    """

    chunk_gaussians: int = 512 * 1024
    """Most Gaussians of a leaf, and about how many of a level lie together in a folder; 1 and up."""

    chunk_extent: float | None = None
    """How long a leaf may be at its longest, in world units above 0; by default a quarter of the radius within which
    nine tenths of the scene's opacity lie."""

    chunk_min_gaussians: int = 8 * 1024
    """With so few Gaussians a leaf may be as long as it is; 1 and up."""

    sog: SogOptions = field(default_factory=SogOptions)
    """Of each folder."""

    def __post_init__(self) -> None:
        for name in ("chunk_gaussians", "chunk_min_gaussians"):
            if getattr(self, name) < 1:
                raise InputError(f"setting {name} is {getattr(self, name)}; give 1 or more")
        if self.chunk_extent is not None and not self.chunk_extent > 0:
            raise InputError(f"setting chunk_extent is {self.chunk_extent}; give a length above 0")
