"""How near to a camera things are drawn: up to the published 0.2 units, and nearer where everything is smaller.

Units are what a tool made of them. A figurine in metres is a tenth of one across and photographed from as far away; a
near plane at 0.2 would cut it off.
"""

from __future__ import annotations

NEAR = 0.2
"""Depth up to which nothing is drawn, in world units: the published near plane."""

_SMALLEST = 1e-4
"""Nothing is taken to be smaller, in units."""


def near_plane_of_size(size: float) -> float:
    """The near plane for something that is `size` units large: `NEAR`, or as much less as it is smaller than a unit."""
    return NEAR * min(1.0, max(_SMALLEST, size))
