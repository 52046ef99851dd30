"""Strays: far away and next to nothing of what a scene shows."""

from __future__ import annotations

import math

import numpy as np
import pytest
from support.stray_scenes import crowd, gaussian, sky, two_places

from leansplat.gaussians import concatenate, empty
from leansplat.strays import FAR, describe, distances, strays


@pytest.mark.parametrize("place", [(1e6, 0, 0), (0, -1e6, 0), (3e5, -3e5, 5e8), (200, 0, 0)])
@pytest.mark.parametrize("opacity", [0.005, 1])
def test_one_small_gaussian_far_away_is_a_stray(place: tuple[float, float, float], opacity: float) -> None:
    found = strays(concatenate([crowd(), gaussian(place, opacity)]))
    assert np.flatnonzero(found).tolist() == [1000]


def test_several_in_different_directions_are_strays() -> None:
    places = [(1e6, 0, 0), (-1e6, 0, 0), (0, 5e8, 0), (0, 0, -300), (1e4, 1e4, 1e4)]
    assert np.flatnonzero(strays(concatenate([crowd(), *map(gaussian, places)]))).tolist() == [*range(1000, 1005)]


@pytest.mark.parametrize("distance", [100, 1000, 1e6])
def test_a_sky_is_none_however_far_it_is(distance: float) -> None:
    assert not strays(concatenate([crowd(), sky(distance)])).any()
    assert not strays(concatenate([crowd(), gaussian((distance, 0, 0), 1, distance / 10)])).any()


@pytest.mark.parametrize("distance", [1e3, 1e6, 1e9])
@pytest.mark.parametrize("count", [50, 500])
def test_a_second_place_that_matters_is_none_not_even_a_part_of_it(distance: float, count: int) -> None:
    assert not strays(concatenate([crowd(1000 - count), two_places(distance)[500 : 500 + count]])).any()


def test_faint_ones_that_weigh_something_together_are_none() -> None:
    faint = [gaussian((1e6 + k, 0, 0)) for k in range(10)]
    assert strays(concatenate([crowd(), *faint])).sum() == 10
    assert not strays(concatenate([crowd(), *(faint * 150)])).any()


def test_strays_beyond_a_sky_are_found_and_those_before_it_stay() -> None:
    sky, beyond, before = gaussian((1e6, 0, 0), 1, 1e5), gaussian((0, 5e8, 0)), gaussian((0, 5e4, 0))
    found = strays(concatenate([crowd(), sky, beyond, before]))
    assert np.flatnonzero(found).tolist() == [1001]


def test_what_is_near_enough_is_none() -> None:
    scene = crowd()
    extent = distances(scene).extent
    assert extent == pytest.approx(1.4, abs=0.15)
    for factor, expected in ((0.9, False), (1.1, True)):
        with_one = concatenate([scene, gaussian((factor * FAR * extent, 0, 0))])
        assert bool(strays(with_one)[-1]) is expected


def test_shares_are_those_of_the_formula() -> None:
    scene = concatenate([gaussian((0, 0, 0), 0.5, 0.1)] * 9 + [gaussian((40, 0, 0), 0.25, 2.0)])
    found = distances(scene)
    assert found.extent == pytest.approx(0.1)
    assert found.of[-1] == pytest.approx(40)
    assert found.opacity[-1] == pytest.approx(0.25 / 4.75)
    # At the middle a size of the extent fills the picture; far out the angle is size over distance.
    assert found.picture[-1] == pytest.approx(0.25 * (2 / 40) ** 2 / (4.5 + 0.25 * (2 / 40) ** 2))


def test_scenes_with_nothing_to_measure_have_none() -> None:
    assert strays(empty()).shape == (0,)
    assert not strays(gaussian((1e6, 0, 0))).any()
    invisible = concatenate([gaussian((0, 0, 0)), gaussian((1e9, 0, 0))])
    invisible.opacities[:] = -math.inf
    assert not strays(invisible).any()


def test_what_is_not_finite_is_none_and_disturbs_nothing() -> None:
    broken = concatenate([crowd(), gaussian((1e6, 0, 0)), gaussian((math.nan, 0, 0)), gaussian((0, math.inf, 0))])
    broken.scales[3] = math.inf
    found = strays(broken)
    assert found[1000]
    assert found.sum() == 1


def test_an_infinite_logit_counts_as_opaque() -> None:
    scene = concatenate([crowd(), gaussian((1e6, 0, 0), 1, 1e5)])
    scene.opacities[-1] = math.inf
    assert not strays(scene).any()


def test_flat_gaussians_weigh_what_they_show() -> None:
    """A scale of -inf is a deviation of 0."""
    scene = crowd()
    scene.scales[:, 2] = -math.inf
    found = distances(scene)
    assert found.opacity.sum() == pytest.approx(1)
    assert np.flatnonzero(strays(concatenate([scene, gaussian((1e6, 0, 0))]))).tolist() == [1000]


def test_a_description_says_how_many_how_far_and_what_they_weigh() -> None:
    scene = concatenate([crowd(), gaussian((1e6, 0, 0)), gaussian((0, 2e6, 0), 1)])
    said = describe(scene, strays(scene))
    assert said.startswith("2 of 1,002 Gaussians, up to 2e+06 from the middle of a scene of radius 1.")
    assert "with 0.2 % of its opacity and less than 0.01 % of the picture" in said
