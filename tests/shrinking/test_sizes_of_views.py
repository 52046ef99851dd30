"""In how many pixels a scene without photos is looked at."""

from __future__ import annotations

import pytest
from support.photographed_scenes import photographed_room, photographed_table, ring

from leansplat.gaussians import Gaussians
from leansplat.shrinking.sources import find_source
from leansplat.shrinking.teacher import teacher_capture

TABLE = photographed_table(ring())[::4]
ROOM = photographed_room(ring(12, radius=1.5, height=0.5))[::2]


@pytest.mark.parametrize(("scene", "sides"), [(TABLE, {14, 30, 60}), (ROOM, {48})], ids=["object", "place"])
def test_an_object_trains_in_several_sizes_and_is_judged_in_one(scene: Gaussians, sides: set[int]) -> None:
    source = find_source(scene, scene, count=18, view_size=48)
    teacher = teacher_capture(scene, source.cameras, held_back=source.held_back)
    assert {view.camera.width for view in teacher.train} == sides
    assert {view.camera.width for view in teacher.test} == {48}
    assert source.held_back is not None
    assert len(teacher.test) == len(source.held_back) == -(-len(source.cameras) // 8)
