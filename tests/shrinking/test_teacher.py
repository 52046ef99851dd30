"""The capture that a scene's own renders make."""

from __future__ import annotations

from dataclasses import replace

import torch
from support.arrangements import place, ring

from leansplat.cameras import Camera
from leansplat.gaussians import Gaussians
from leansplat.rendering import render
from leansplat.shrinking.teacher import blended, teacher_capture


def cameras(count: int) -> dict[str, Camera]:
    return {f"view{number:02}": camera for number, camera in enumerate(ring(count, 4.0, 0.0))}


def scene() -> Gaussians:
    return place(300)


def test_a_photo_is_what_the_scene_shows_from_there_to_half_a_level() -> None:
    given = scene()
    capture = teacher_capture(given, cameras(3), background=(0.2, 0.4, 0.6))
    for view in capture.train:
        shown = render(given, view.camera, background=(0.2, 0.4, 0.6)).image.clamp(0, 1)
        assert float((view.photo.float() / 255 - shown).abs().max()) <= 0.5 / 255 + 1e-6
    assert capture.background == (0.2, 0.4, 0.6)


def test_every_eighth_view_is_held_back_unless_others_are_named() -> None:
    named = cameras(17)
    usual = teacher_capture(scene(), named)
    assert [view.name for view in usual.test] == ["view00", "view08", "view16"]
    assert len(usual.train) == 14
    asked = teacher_capture(scene(), named, held_back=["view03"])
    assert [view.name for view in asked.test] == ["view03"]
    assert teacher_capture(scene(), cameras(7)).test == ()


def test_pixels_that_a_mask_hides_stay_hidden() -> None:
    named = cameras(2)
    mask = torch.zeros(named["view00"].height, named["view00"].width, dtype=torch.bool)
    capture = teacher_capture(scene(), named, masks={"view00": mask})
    assert capture.train[0].mask is mask
    assert capture.train[1].mask is None


def test_with_photos_three_parts_photo_and_one_part_render_teach_and_renders_alone_judge() -> None:
    named, given = cameras(17), scene()
    renders = teacher_capture(given, named)
    photos = teacher_capture(replace(given, sh0=-given.sh0), dict(list(named.items())[:10]))
    both = blended(renders, photos)
    taken = {view.name: view.photo.float() for view in photos.train}
    for view, render_view in zip(both.train, renders.train, strict=True):
        expected = render_view.photo.float()
        if view.name in taken:
            expected = 0.75 * taken[view.name] + 0.25 * expected
        assert float((view.photo.float() - expected).abs().max()) <= 0.5
    assert both.test == renders.test
