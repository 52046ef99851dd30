"""The lean recipe's choice of how many Gaussians photos call for."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.tiny import tiny_capture

from leansplat.captures.capture import Capture, View
from leansplat.captures.reduction import lost_detail
from leansplat.training import LEAN_STEPS, count_for, lean
from leansplat.training.strategies import BudgetTraining

VIEW = tiny_capture().train[0]


def photographed(*photos: torch.Tensor) -> Capture:
    views = (View(str(i), VIEW.camera.resized(photo.shape[1], photo.shape[0]), photo) for i, photo in enumerate(photos))
    return Capture("made up", tuple(views), (), None)


def stripes(size: int, contrast: int) -> torch.Tensor:
    """A photo of columns that alternate between 100 and 100 + contrast."""
    return (100 + contrast * (torch.arange(size) % 2)).to(torch.uint8)[None, :, None].repeat(size, 1, 3)


def test_what_is_finer_than_half_size_is_lost_and_what_is_smooth_is_not() -> None:
    photo = stripes(40, 20)
    lost, pixels = lost_detail(replace(VIEW, photo=photo))
    assert pixels == 1600
    assert lost == pytest.approx(10 * 1600, rel=0.01)  # every pixel becomes the mean of its column and the next
    assert lost_detail(replace(VIEW, photo=torch.full_like(photo, 77))) == (0, 1600)


def test_pixels_that_a_mask_hides_have_no_detail() -> None:
    mask = torch.ones(40, 40, dtype=torch.bool)
    mask[:, :20] = False
    lost, pixels = lost_detail(replace(VIEW, photo=stripes(40, 20), mask=mask))
    assert pixels == 800
    assert lost == pytest.approx(10 * 800, rel=0.02)


def test_twice_the_photos_of_as_much_detail_call_for_twice_the_gaussians() -> None:
    one = stripes(200, 20)
    assert count_for(photographed(one)) == pytest.approx(10 * 40_000 / 500, rel=0.01)
    assert count_for(photographed(one, one)) == pytest.approx(2 * count_for(photographed(one)), rel=0.01)
    flat = torch.full_like(one, 9)
    assert count_for(photographed(one, flat)) == count_for(photographed(one))


def test_of_many_photos_some_are_looked_at_for_all() -> None:
    assert count_for(photographed(*[stripes(20, 20)] * 300)) == pytest.approx(300 * 10 * 400 / 500, rel=0.01)


def test_noise_does_not_call_for_more_gaussians_than_pixels_can_tell() -> None:
    assert count_for(photographed(stripes(200, 150))) == round(40_000 * 3 / 59)


def test_photos_without_any_detail_call_for_one() -> None:
    assert count_for(photographed(torch.zeros(20, 20, 3, dtype=torch.uint8))) == 1


def test_the_recipe_is_that_of_its_length_unless_another_is_asked_for() -> None:
    assert lean(100).iterations == LEAN_STEPS
    assert lean(100, 700) == lean(100).scaled(700)


def test_from_few_random_points_a_longer_training_begins_as_a_shorter_one_does() -> None:
    usual, longer = lean(100, 5000), lean(100, 20_000, points=False)
    assert longer.iterations == 20_000
    assert longer.reduced_steps == usual.reduced_steps == lean(100, 20_000).reduced_steps / 4
    budgets = [config.strategy(BudgetTraining) for config in (usual, longer)]
    curves = [[budget.wanted(step, 20) for step in range(1, 2250)] for budget in budgets if budget]
    assert curves[0] == curves[1]
    resets = [[step for step in range(1, 20_000) if budget.resets_opacities(step)] for budget in budgets if budget]
    assert resets[0] == resets[1]
    assert budgets[1] is not None
    assert 0.6 < budgets[1].fewer_until / 20_000 < 0.8  # and what is left has as long as it can
    assert lean(100, 700, points=False) == lean(100, 700)
    assert lean(30_000, 20_000, points=False) == lean(30_000, 20_000)
