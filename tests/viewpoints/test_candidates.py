"""Which way to look from places, and what kind of scene that makes."""

from __future__ import annotations

import numpy as np
import pytest

from leansplat.viewpoints.candidates import candidates_from
from leansplat.viewpoints.panorama import RAYS, Surroundings


def surroundings(seen: np.ndarray) -> Surroundings:
    """Something at a distance of 2 in the directions `seen` (P,) bool, of neighbourhoods by direction."""
    neighbourhood = np.where(seen, np.arange(len(RAYS)) % 40, -1)
    return Surroundings(np.where(seen, 2.0, np.inf), neighbourhood, np.where(seen, -0.2, -np.inf))


@pytest.mark.parametrize(
    ("least", "kind"),
    [
        pytest.param(0.5, "place", id="a wall that was photographed from one side"),
        pytest.param(-1.0, "place", id="a room"),
        pytest.param(0.95, "object", id="a thing that fills half a picture"),
    ],
)
def test_a_place_fills_pictures_and_an_object_has_nothing_around_it(least: float, kind: str) -> None:
    seen = surroundings(RAYS[:, 2] > least)
    views, found = candidates_from([np.zeros(3)] * 3, [seen] * 3)
    assert found == kind
    assert all(view.forward[2] > 0.5 for view in views) or least < 0
