"""A report in a real browser, from disk with the network cut: values under the pointer, wipes, themes, and a scene."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from support.browser import PATIENCE, Opened
from support.capture_folder import write_nerfstudio
from support.tiny import tiny_capture

import leansplat
from leansplat.evaluation import evaluate_run
from leansplat.run_report import write_report


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a training and a trimming of it, with the trimmed scene inside."""
    folder = tmp_path_factory.mktemp("report")
    photos = write_nerfstudio(tiny_capture(20), folder / "photos")
    capture = leansplat.load_capture(photos)
    recipe = replace(leansplat.TrainingConfig().scaled(260), random_points=300, sh_degree=0)
    short = leansplat.TrimmingConfig(keep=0.5, rounds=2, every=60, finetune=80)
    trained = leansplat.train(photos, recipe, folder / "trained")
    trimmed = leansplat.trim(folder / "trained", photos, short, folder / "trimmed")
    for made in (trained, trimmed):
        assert made.run is not None
        evaluate_run(made.run, made.gaussians, capture, lpips=None)
    output = folder / "report.html"
    assert write_report([folder / "trained", folder / "trimmed"], output, embed=True) == []
    return output


@pytest.fixture
def shown(opened: Callable[..., Opened], report: Path) -> Callable[..., Any]:
    def show(width: int = 1200, **options: Any) -> Opened:
        return opened(report.as_uri(), size=(width, 900), offline=True, **options)

    return show


def test_it_asks_for_nothing_and_nothing_is_wrong_with_it(shown: Callable[..., Opened]) -> None:
    page = shown()
    assert page.page.title() == "trained and trimmed"
    assert page.elsewhere() == page.errors == []


def test_pointing_at_a_curve_shows_its_value_there(shown: Callable[..., Opened]) -> None:
    page = shown().page
    chart = page.locator(".chart").filter(has_text="Loss in training, over steps")
    drawing = chart.locator("svg[role=img]")
    drawing.scroll_into_view_if_needed()
    box = drawing.bounding_box()
    width = float(drawing.get_attribute("viewBox").split()[2])
    x, y, step, loss = json.loads(chart.locator(".series").first.get_attribute("data-points"))[1]
    assert not chart.locator(".tip").is_visible()
    page.mouse.move(box["x"] + x * box["width"] / width, box["y"] + y * box["width"] / width)
    assert chart.locator(".tip").is_visible()
    told = chart.locator(".tip").inner_text()
    assert f"training steps: {step}" in told
    assert f"trained: {loss}" in told


def test_the_keyboard_goes_along_a_curve_and_says_the_values(shown: Callable[..., Opened]) -> None:
    page = shown().page
    chart = page.locator(".chart").filter(has_text="Opacities of trimmed")
    first, second = json.loads(chart.locator(".series").first.get_attribute("data-points"))[:2]
    chart.locator("svg[role=img]").focus()
    for point in (first, second):
        page.keyboard.press("ArrowRight")
        assert f"opacity: {point[2]}" in chart.locator("[aria-live]").text_content()


def test_a_run_is_hidden_in_all_charts_and_shown_again(shown: Callable[..., Opened]) -> None:
    page = shown().page
    series = page.locator(".series[data-series=trimmed]")
    assert series.count() > 2
    button = page.locator(".legend button[data-series=trimmed]").first
    for hidden, pressed in ((True, "false"), (False, "true")):
        button.click()
        assert [each.get_attribute("hidden") is not None for each in series.all()] == [hidden] * series.count()
        assert button.get_attribute("aria-pressed") == pressed


def test_the_slider_wipes_from_one_picture_to_the_other(shown: Callable[..., Opened]) -> None:
    page = shown().page
    view = page.locator(".comparison").last
    stage, wipe, over = view.locator(".sides"), view.locator(".wipe"), view.locator(".side.over")
    assert over.locator("figcaption").inner_text() == "after"
    wipe.focus()
    page.keyboard.press("Home")
    assert at(stage) == 0
    page.keyboard.press("ArrowRight")
    assert at(stage) == 1
    stage.scroll_into_view_if_needed()
    box = stage.bounding_box()
    page.mouse.move(box["x"] + 0.25 * box["width"], box["y"] + 20)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.75 * box["width"], box["y"] + 20, steps=3)
    page.mouse.up()
    assert at(stage) == pytest.approx(75, abs=1)
    left = over.evaluate("it => getComputedStyle(it).clipPath.match(/([0-9.]+)%\\)/)[1]")
    assert float(left) == at(stage)
    assert wipe.input_value() == str(round(at(stage)))


def at(stage: Any) -> float:
    return float(stage.evaluate("it => it.style.getPropertyValue('--at')").rstrip("%"))


def test_any_two_pictures_are_compared_and_the_difference_is_shown_alone(shown: Callable[..., Opened]) -> None:
    view = shown().page.locator(".comparison").last
    buttons = view.locator(".controls button[aria-pressed]")
    words = buttons.all_inner_texts()
    assert words[:3] == ["before | after", "before | photo", "after | photo"]
    for number, label in enumerate(words):
        buttons.nth(number).click()
        assert view.locator(".side.shown figcaption").all_inner_texts() == label.split(" | ")
        assert view.locator(".wipe").is_disabled() == (" | " not in label)


def test_on_a_phone_nothing_runs_off_sideways_and_at_night_it_is_dark(shown: Callable[..., Opened]) -> None:
    page = shown(390, color_scheme="dark", has_touch=True, is_mobile=True).page
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert page.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(16, 19, 24)"
    light = shown(390, color_scheme="light").page
    assert light.evaluate("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"


def test_without_scripts_every_picture_and_curve_is_there(shown: Callable[..., Opened]) -> None:
    page = shown(java_script_enabled=False).page
    pictures = page.locator(".side img")
    assert pictures.count() > 6
    assert all(picture.is_visible() for picture in pictures.all())
    assert all(line.bounding_box()["width"] > 0 for line in page.locator(".chart .line").all())
    assert not page.locator(".controls").first.is_visible()


def test_the_scene_inside_is_drawn_and_asks_for_nothing(shown: Callable[..., Opened]) -> None:
    page = shown()
    page.page.locator("iframe").scroll_into_view_if_needed()
    deadline = time.monotonic() + PATIENCE
    while not page.page.frames[-1].evaluate("window.leansplat?.firstPicture ?? null"):
        assert time.monotonic() < deadline, page.errors
        time.sleep(0.05)
    drawn = page.page.frames[-1].evaluate("window.leansplat.stage.pixels().data.some((v, n) => n % 4 < 3 && v > 60)")
    assert drawn
    assert page.elsewhere() == page.errors == []
