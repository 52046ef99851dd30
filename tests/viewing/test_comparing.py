"""Comparing on the page: slider, side by side, blink, difference, jumping to cameras, and the photo as a side.

One page of two scenes and a capture's photos serves all tests here; each begins from a camera of the capture.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from support.browser import Opened
from support.rendered_scenes import camera, surfaces

from leansplat import formats
from leansplat.captures.capture import Capture, View
from leansplat.pictures import to_bytes
from leansplat.rendering import render
from leansplat.viewing import Viewing

WIDTH, HEIGHT = 120, 90
CAMERAS = {"a.png": camera(WIDTH, HEIGHT), "b.png": camera(WIDTH, HEIGHT, off_centre=True)}


@pytest.fixture(scope="module")
def page(browser: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Opened]:
    folder: Path = tmp_path_factory.mktemp("scenes")
    whole = surfaces(800)
    paths = [folder / "whole.ply", folder / "half.ply"]
    formats.write(whole, paths[0])
    formats.write(whole[::2], paths[1])
    photos = {name: View(name, view, to_bytes(1 - render(whole, view).image)) for name, view in CAMERAS.items()}
    capture = Capture("made up", (photos["a.png"],), (photos["b.png"],), None)
    with Viewing() as viewing:
        viewing.open([viewing.prepare(path) for path in paths], capture=capture)
        opened = Opened(browser, viewing.address, size=(900, 600)).ready()
        opened.photos = {name: view.photo.numpy() for name, view in photos.items()}  # type: ignore[attr-defined]
        opened.viewing = viewing  # type: ignore[attr-defined]
        yield opened
        assert opened.errors == opened.elsewhere() == []
        opened.close()


@pytest.fixture(autouse=True)
def at_the_first_camera(page: Opened) -> None:
    page.do(
        f"it.stage.setMode('one'); it.setSize({WIDTH}, {HEIGHT}); it.stage.first = 0; it.stage.second = 1; it.jump(0)"
    )


def alone(page: Opened, side: int) -> np.ndarray:
    page.do(f"it.stage.setMode('one'); it.stage.choose({side})")
    return page.pixels()


@pytest.mark.parametrize("split", [0.0, 0.37, 0.5, 1.0])
def test_the_halves_of_a_slider_are_the_whole_renders_bit_for_bit(page: Opened, split: float) -> None:
    left, right = alone(page, 0), alone(page, 1)
    assert (left != right).any()
    page.do(f"it.stage.split = {split}; it.stage.setMode('slider')")
    shown, column = page.pixels(), round(split * WIDTH)
    assert (shown[:, :column] == left[:, :column]).all()
    assert (shown[:, column:] == right[:, column:]).all()


def test_panes_side_by_side_are_the_renders_of_their_size_from_one_camera(page: Opened) -> None:
    pictures = [alone(page, side) for side in range(3)]
    page.do(f"it.stage.setMode('beside'); it.setSize({3 * WIDTH}, {HEIGHT})")
    shown = page.pixels()
    for side, picture in enumerate(pictures):
        assert (shown[:, side * WIDTH : (side + 1) * WIDTH] == picture).all()


def test_a_difference_is_the_absolute_error_against_the_first_scene_times_the_factor(page: Opened) -> None:
    first, second = alone(page, 0).astype(float), alone(page, 1).astype(float)
    for factor in (1, 8):
        page.do(f"it.stage.amplification = {factor}; it.stage.setMode('difference')")
        expected = np.minimum(factor * np.abs(second - first), 255)
        assert np.abs(page.pixels() - expected).max() <= factor + 1  # the two were rounded before, here after


def test_blinking_swaps_the_two_in_place_and_back(page: Opened) -> None:
    first, second = alone(page, 0), alone(page, 1)
    page.do("it.stage.choose(0)")
    for expected in (second, first):
        page.do("document.dispatchEvent(new KeyboardEvent('keydown', { key: 'b', bubbles: true }))")
        assert (page.pixels() == expected).all()


def test_the_photo_is_a_side_pixel_for_pixel_at_its_camera(page: Opened) -> None:
    assert (alone(page, 2) == page.photos["a.png"]).all()  # type: ignore[attr-defined]
    page.do("it.jump(1)")
    assert (page.pixels() == page.photos["b.png"]).all()  # type: ignore[attr-defined]


def test_the_photo_leaves_with_the_camera_that_took_it(page: Opened) -> None:
    scene = alone(page, 0)
    page.do("it.stage.choose(2)")
    page.do("it.controls.change(pose => it.controls.turn(pose, 0.2, 0))")
    moved = page.pixels()
    assert (moved != page.photos["a.png"]).any()  # type: ignore[attr-defined]
    assert (moved != scene).any()
    assert page.value("it.stage.sides[it.stage.shown].kind") == "scene"


def test_a_camera_of_the_strip_is_jumped_to_exactly(page: Opened) -> None:
    page.page.keyboard.press(".")
    page.do("0")
    assert page.page.locator("#strip [aria-current]").inner_text() == "b"
    moved = alone(page, 0)
    page.do("it.jump(0)")
    assert (alone(page, 0) != moved).any()
    page.do("it.jump(1)")
    assert (page.pixels() == moved).all()


def test_dragging_turns_around_what_is_looked_at_and_reset_brings_it_back(page: Opened) -> None:
    before = alone(page, 0)
    target, distance = page.value("it.controls.pose.target"), page.value("it.controls.pose.focus")
    page.page.mouse.move(450, 250)
    page.page.mouse.down()
    page.page.mouse.move(550, 270, steps=4)
    page.page.mouse.up()
    page.do("0")
    assert (page.pixels() != before).any()
    assert page.value("it.controls.pose.target") == pytest.approx(target, abs=1e-9)
    assert page.value("it.controls.pose.focus") == distance
    page.page.keyboard.press("r")
    page.do("0")
    assert (page.pixels() == before).all()


def test_a_newer_scene_takes_a_sides_place(page: Opened, tmp_path: Path) -> None:
    before = alone(page, 1)
    formats.write(surfaces(800)[::3], tmp_path / "newer.ply")
    from leansplat.viewing.description import scene_json

    viewing: Viewing = page.viewing  # type: ignore[attr-defined]
    newer = scene_json(viewing.prepare(tmp_path / "newer.ply"), "newer")
    page.do("await it.load(1, given)", newer)
    assert (page.pixels() != before).any()
    assert "newer" in page.page.locator("#cards").inner_text()
    page.do("await it.load(1, given)", {**newer, "url": page.value("it.description.scenes[1].url"), "name": "half.ply"})
    assert (page.pixels() == before).all()


def test_every_control_says_what_it_is(page: Opened) -> None:
    page.do("it.stage.setMode('slider')")
    unnamed = page.value(
        "[...document.querySelectorAll('button, input, canvas')]"
        ".filter(node => !(node.getAttribute('aria-label') || node.textContent.trim())).length"
    )
    assert unnamed == 0
    page.page.keyboard.press("?")
    assert page.page.locator("#help").is_visible()
    page.page.keyboard.press("Escape")


@pytest.mark.parametrize("mode", ["slider", "difference"])
def test_away_from_a_camera_nothing_is_compared_with_its_photo(page: Opened, mode: str) -> None:
    page.do(f"it.stage.setMode('{mode}'); it.stage.choose(2)")
    compared = page.pixels()
    page.do("it.place({...it.description.cameras[0], cx: 50})")
    moved = page.pixels()
    assert "choose a camera" in page.page.locator("#labels").inner_text()
    page.do("it.stage.choose(0); it.stage.setMode('one')")
    assert (page.pixels() == moved).all()
    assert (moved != compared).any()
