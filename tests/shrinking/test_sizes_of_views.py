"""In how many pixels a scene without photos is looked at."""

from __future__ import annotations

import pytest
from support.photographed_scenes import photographed_room, photographed_table, ring

from leansplat.gaussians import Gaussians
from leansplat.shrinking import sources
from leansplat.shrinking.sources import find_source
from leansplat.shrinking.teacher import teacher_capture

TABLE = photographed_table(ring())[::4]
ROOM = photographed_room(ring(12, radius=1.5, height=0.5))[::2]


@pytest.mark.parametrize(
    ("scene", "given", "sides"),
    [(TABLE, None, {14, 30, 60}), (ROOM, None, {48}), (TABLE, 40, {40}), (ROOM, 40, {40})],
    ids=["object", "place", "object in a known size", "place in a known size"],
)
def test_an_object_trains_in_several_sizes_where_none_is_known(
    scene: Gaussians, given: int | None, sides: set[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sources, "VIEW_SIZE", 48)
    source = find_source(scene, scene, count=18, view_size=given)
    teacher = teacher_capture(scene, source.cameras, held_back=source.held_back)
    assert {view.camera.width for view in teacher.train} == sides
    assert {view.camera.width for view in teacher.test} == {given or 48}
    assert source.held_back is not None
    assert len(teacher.test) == len(source.held_back) == -(-len(source.cameras) // 8)
