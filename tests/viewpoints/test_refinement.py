"""Moving views to where all that they show was most likely photographed from."""

from __future__ import annotations

import numpy as np
import pytest
from support.photographed_scenes import photographed_room, photographed_table, ring

from leansplat.gaussians import Gaussians
from leansplat.near_plane import NEAR
from leansplat.viewpoints import MadeUpViews, made_up_views, search
from leansplat.viewpoints.candidates import Candidate
from leansplat.viewpoints.panorama import Surroundings, Surveyor
from leansplat.viewpoints.refinement import evidence, facing, refined
from leansplat.viewpoints.trained_directions import trained_directions

PLACES = ring()
SCENE = photographed_table(PLACES)


@pytest.fixture(scope="module")
def surveyor() -> Surveyor:
    return Surveyor(SCENE, trained_directions(SCENE.arrays()), NEAR)


def view_from(place: np.ndarray) -> Candidate:
    middle = SCENE.means.double().mean(dim=0).numpy()
    away = middle - place
    distance = float(np.linalg.norm(away))
    return Candidate(place, away / distance, 0.0, distance, np.zeros(0, np.int64), np.zeros(0), np.zeros(0))


def test_views_far_from_where_photos_were_taken_come_nearer(surveyor: Surveyor) -> None:
    random = np.random.default_rng(0)
    far = [view_from(place * (1.6, 1.0, 1.6) + (0, -1.5, 0)) for place in PLACES[::4]]
    moved = [refined(view, surveyor, random) for view in far]

    def distances(views: list[Candidate]) -> np.ndarray:
        return np.array([np.linalg.norm(PLACES - view.place, axis=1).min() for view in views])

    assert np.median(distances(moved)) < 0.9 * np.median(distances(far))


def test_a_view_never_becomes_less_likely(surveyor: Surveyor) -> None:
    for place in PLACES[::6]:
        view = view_from(place)
        moved = refined(view, surveyor, np.random.default_rng(1))
        before, after = (evidence(surveyor.ahead(each.place, facing(each.forward))) for each in (view, moved))
        assert after >= before
        assert np.linalg.norm(moved.forward) == pytest.approx(1)


def test_a_picture_of_nothing_is_the_least_likely() -> None:
    nothing = Surroundings(np.full(4, np.inf), np.full(4, -1), np.full(4, -np.inf))
    unlikely = Surroundings(np.ones(4), np.zeros(4, np.int64), np.full(4, -100.0))
    assert evidence(nothing) < evidence(unlikely)


def test_cameras_ahead_see_what_is_around(surveyor: Surveyor) -> None:
    """The same surface at the same distance by one picture as by the six."""
    place = PLACES[0]
    rotation = facing(view_from(place).forward)
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)
    ahead, around = surveyor.ahead(place, rotation), surveyor.around(place)
    met = np.isfinite(ahead.distance)
    assert met.any()
    seen = np.isfinite(around.distance)
    assert np.median(ahead.distance[met]) == pytest.approx(np.median(around.distance[seen]), rel=0.25)


def likelihood_of(found: MadeUpViews, scene: Gaussians) -> float:
    surveyor = Surveyor(scene, trained_directions(scene.arrays()), NEAR)
    forward = [camera.world_to_camera[2, :3].numpy() for camera in found.cameras.values()]
    places = [camera.position.numpy() for camera in found.cameras.values()]
    each = [evidence(surveyor.ahead(*pose)) for pose in zip(places, map(facing, forward), strict=True)]
    return float(np.mean(each))


def test_the_search_refines_the_views_of_a_place_and_leaves_those_of_an_object(monkeypatch: pytest.MonkeyPatch) -> None:
    room, table = photographed_room(ring(12, radius=1.5, height=0.5)), SCENE[::4]
    refined_room, refined_table = (made_up_views(scene, 8, size=32) for scene in (room, table))
    monkeypatch.setattr(search, "refined", lambda view, *_: view)
    plain_room, plain_table = (made_up_views(scene, 8, size=32) for scene in (room, table))
    assert (refined_room.kind, refined_table.kind) == ("place", "object")
    assert likelihood_of(refined_room, room) > likelihood_of(plain_room, room) + 0.1
    assert likelihood_of(refined_table, table) == likelihood_of(plain_table, table)
