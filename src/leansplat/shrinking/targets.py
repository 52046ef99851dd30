"""`Target`: what a scene is to be shrunk to, in the words people use: bytes, Gaussians, a share, a loss they accept."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from leansplat.configs import Config
from leansplat.errors import InputError

PRESETS: dict[str, dict[str, int]] = {
    "web": {"size": 10_000_000},
    "phone": {"size": 5_000_000, "count": 300_000},
    "quest": {"count": 400_000},
}
"""Targets by what they are for.

A page of 10 MB is loaded in ten seconds over 8 Mbit/s. Users of a Quest 3 headset report some 400,000 Gaussians at 72
frames per second; what a phone draws differs widely, and 300,000 is a cautious guess.
"""


@dataclass(frozen=True)
class Target(Config):
    """How far to shrink. Without any of these: as far as no one sees it, see `leansplat.shrinking.judging`.

    `size` and `count` may stand together, and both are then limits; all others stand alone.

    Raises:
        InputError: a value is of another type or outside the range its description gives, or several exclude another.
    """

    size: int | None = None
    """Bytes of the file, at least 1, which it stays under by at most 3 %."""

    count: int | None = None
    """Gaussians, at least 1; hit exactly, unless `size` allows fewer or the scene has fewer."""

    keep: float | None = None
    """Share of the Gaussians, above 0 and at most 1; hit exactly."""

    max_drop: float | None = None
    """PSNR in dB, above 0, that views which nothing was trained on may lose against the scene as it was given."""

    max_lpips_rise: float | None = None
    """LPIPS, above 0, that such views may gain likewise."""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in ("size", "count"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise InputError(f"setting {name} is {value}; give 1 or more")
        if self.keep is not None and not 0 < self.keep <= 1:
            raise InputError(f"setting keep is {self.keep}; give a share above 0 and at most 1 (100%)")
        for name in ("max_drop", "max_lpips_rise"):
            value = getattr(self, name)
            if value is not None and not (math.isfinite(value) and value > 0):
                raise InputError(f"setting {name} is {value}; give a finite number above 0")
        named = [name for name, value in self.to_json().items() if value is not None]
        if len(named) > 1 and set(named) not in ({"size", "count"}, {"max_drop", "max_lpips_rise"}):
            raise InputError(
                f"targets {' and '.join(named)} exclude each other; give one of them, or a size with a count, "
                "or a drop with a rise of LPIPS"
            )

    @property
    def of_quality(self) -> bool:
        """Whether it is a limit on what may be lost, so that size and count are what comes of it."""
        return (self.size, self.count, self.keep) == (None, None, None)

    def count_of(self, gaussians: int) -> int | None:
        """Gaussians to keep of so many, where that alone is said."""
        if self.keep is not None:
            return max(1, round(self.keep * gaussians))
        return None if self.count is None else min(self.count, gaussians)

    def too_many(self, gaussians: int) -> tuple[str, ...]:
        """What there is to say where more are to be kept than a scene has."""
        if self.count is None or self.size is not None or self.count <= gaussians:
            return ()
        return (f"the scene has {gaussians:,} Gaussians, fewer than the {self.count:,} asked for; none was removed",)

    def described(self) -> str:
        """In a few words, such as "400,000 Gaussians"."""
        parts = []
        if self.size is not None:
            parts.append(f"{self.size / 1e6:.6g} MB")
        if self.count is not None:
            parts.append(f"{self.count:,} Gaussian{'' if self.count == 1 else 's'}")
        if self.keep is not None:
            parts.append(f"{100 * self.keep:.6g} % of the Gaussians")
        if self.max_drop is not None:
            parts.append(f"a drop of at most {self.max_drop:g} dB")
        if self.max_lpips_rise is not None:
            parts.append(f"a rise of LPIPS of at most {self.max_lpips_rise:g}")
        return " and ".join(parts) or "no visible loss"


def preset(name: str) -> Target:
    """The target of a preset.

    Raises:
        InputError: there is none of this name.
    """
    if name not in PRESETS:
        raise InputError(f"preset is {name!r}; give one of {', '.join(PRESETS)}")
    values: dict[str, Any] = dict(PRESETS[name])
    return Target(**values)
