"""`Blocks`: into how many blocks a scene is cut, said as a number or by how many Gaussians one has at most."""

from __future__ import annotations

import re
from dataclasses import dataclass

from leansplat.configs import Config
from leansplat.errors import InputError

LEAST = 100
"""Gaussians that a block has at least: of fewer there is nothing to learn from its own views."""

MOST_BLOCKS = 9999

_UNITS = {"": 1, "k": 1_000, "m": 1_000_000}


@dataclass(frozen=True)
class Blocks(Config):
    """How a scene is cut, by one of two.

    Raises:
        InputError: a value is out of range, or both or neither are given.
    """

    count: int | None = None
    """Blocks, 1 to 9,999."""

    most: int | None = None
    """Gaussians that a block has at most, 100 or more."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.count is None) == (self.most is None):
            raise InputError(
                "blocks are said by their number or by how many Gaussians one has at most; give one of them"
            )
        if self.count is not None and not 1 <= self.count <= MOST_BLOCKS:
            raise InputError(f"setting blocks is {self.count:,}; give 1 to {MOST_BLOCKS:,}, or Gaussians such as 500k")
        if self.most is not None and self.most < LEAST:
            raise InputError(f"a block has {self.most:,} Gaussians at most; give {LEAST} or more")

    def of(self, gaussians: int) -> int:
        """Blocks of a scene of so many Gaussians, fewer than asked for where one would have less than `LEAST`.

        Raises:
            InputError: there would be more than 9,999.
        """
        wanted = self.count if self.count is not None else -(-gaussians // (self.most or 1))
        if wanted > MOST_BLOCKS:
            raise InputError(
                f"{gaussians:,} Gaussians in blocks of {self.most:,} would be {wanted:,} blocks; make them larger, so "
                f"that there are at most {MOST_BLOCKS:,}"
            )
        return max(1, min(wanted, gaussians // LEAST))


def parse_blocks(text: str) -> Blocks:
    """The blocks that a text names: "40" is a number of blocks, "500k" or "0.5M" Gaussians that one has at most.

    Raises:
        InputError: it is neither.
    """
    found = re.fullmatch(r"\s*([0-9]+(?:\.[0-9]+)?)\s*([km]?)\s*", text, re.IGNORECASE)
    if found is None:
        raise InputError(f"--blocks is {text!r}; give a number of blocks such as 40, or Gaussians a block such as 500k")
    unit = _UNITS[found[2].lower()]
    value = float(found[1]) * unit
    if value != round(value):
        raise InputError(f"--blocks is {text!r}, which is no whole number; give one such as 40 or 500k")
    return Blocks(count=round(value)) if unit == 1 else Blocks(most=round(value))
