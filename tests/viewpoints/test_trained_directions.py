"""Reading from harmonics where cameras stood."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from support.photographed_scenes import harmonics_of, photographed_table, ring

from leansplat.cameras import look_at
from leansplat.gaussians import Gaussians
from leansplat.rendering import render
from leansplat.viewpoints.trained_directions import evenly_spread, trained_directions

PLACES = ring()
SCENE = photographed_table(PLACES)
DIRECTIONS = trained_directions(SCENE.arrays())


def test_harmonics_of_each_degree_obey_the_addition_theorem() -> None:
    rays = evenly_spread(40)
    values, cosines = harmonics_of(rays), rays @ rays.T
    legendre = [cosines, (3 * cosines**2 - 1) / 2, (5 * cosines**3 - 3 * cosines) / 2]
    for degree, (part, expected) in enumerate(zip((slice(0, 3), slice(3, 8), slice(8, 15)), legendre, strict=True), 1):
        products = values[:, part] @ values[:, part].T
        np.testing.assert_allclose(products, (2 * degree + 1) / (4 * math.pi) * expected, atol=1e-9)


@pytest.mark.parametrize("coefficient", range(15))
def test_harmonics_are_those_that_the_renderer_evaluates(coefficient: int) -> None:
    ray = np.array([0.36, -0.48, 0.8])
    shN = torch.zeros(1, 15, 3)
    shN[0, coefficient] = 0.3
    one = Gaussians(
        torch.zeros(1, 3), torch.tensor([[1.0, 0, 0, 0]]), torch.zeros(1, 3), torch.full((1,), 9.0),
        torch.zeros(1, 1, 3), shN,
    )  # fmt: skip
    rendering = render(one, look_at((-5 * ray).tolist(), (0, 0, 0), (0, 1, 0), 0.2, 9, 9))
    colour = float(rendering.image[4, 4, 0] / rendering.alpha[4, 4])
    assert colour == pytest.approx(0.5 + 0.3 * harmonics_of(ray[None])[0, coefficient], abs=1e-4)


def test_a_neighbourhood_was_likelier_seen_from_its_cameras_than_from_behind() -> None:
    rows = np.arange(len(DIRECTIONS.centres))
    for place in PLACES[::5]:
        offsets = DIRECTIONS.centres - place
        rays = offsets / np.linalg.norm(offsets, axis=1, keepdims=True)
        assert (DIRECTIONS.along_rays(rows, rays) > DIRECTIONS.along_rays(rows, -rays)).mean() > 0.9


def test_cameras_stood_where_bearings_meet() -> None:
    random = np.random.default_rng(1)
    elsewhere = random.uniform(-6, 6, (400, 3))
    elsewhere = elsewhere[np.linalg.norm(elsewhere[:, None] - PLACES, axis=2).min(axis=1) > 1]
    here, there = (DIRECTIONS.at_places(places, 0.5) for places in (PLACES, elsewhere))
    assert (here[:, None] > there).mean() > 0.97


def test_the_likeliest_direction_counts_zero_and_all_others_less() -> None:
    rows = np.repeat(np.arange(20), 300)
    found = DIRECTIONS.along_rays(rows, np.tile(evenly_spread(300), (20, 1))).reshape(20, 300)
    np.testing.assert_allclose(found.max(axis=1), 0, atol=1e-9)


@pytest.mark.parametrize("degree", [1, 2])
def test_fewer_harmonics_tell_less_but_tell(degree: int) -> None:
    directions = trained_directions(SCENE.with_sh_degree(degree).arrays())
    below = PLACES * (1, -1, 1)
    assert directions.at_places(PLACES, 0.5).mean() > directions.at_places(below, 0.5).mean()


@pytest.mark.parametrize("scene", [SCENE.with_sh_degree(0), SCENE.with_sh_degree(0).with_sh_degree(3)])
def test_without_harmonics_nothing_is_known_and_everything_is_alike(scene: Gaussians) -> None:
    directions = trained_directions(scene.arrays())
    assert not directions.known
    assert not directions.at_places(PLACES, 0.5).any()


def test_a_lone_gaussian_is_a_neighbourhood() -> None:
    assert len(trained_directions(SCENE[:1].arrays()).centres) == 1
