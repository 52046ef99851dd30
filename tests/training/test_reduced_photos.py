"""Photos that are reduced in the first steps of a training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from support.tiny import tiny_capture

from leansplat.captures.capture import View
from leansplat.captures.reduction import reduced
from leansplat.training import TrainingConfig, train
from leansplat.training.photos import Photos

VIEW = tiny_capture().train[0]


def test_a_reduced_photo_has_the_means_of_the_pixels_that_it_replaces() -> None:
    small = reduced(VIEW, 2)
    means = VIEW.photo.double().reshape(20, 2, 20, 2, 3).mean(dim=(1, 3))
    assert small.photo.shape == (20, 20, 3)
    assert float((small.photo - means).abs().max()) <= 0.5


def test_points_are_where_they_were_in_a_reduced_photo() -> None:
    points = torch.rand(10, 3, dtype=torch.float64) - 0.5
    before, depth = VIEW.camera.project(points)
    after, same_depth = reduced(VIEW, 2).camera.project(points)
    torch.testing.assert_close(after, before / 2)
    assert torch.equal(depth, same_depth)


@pytest.mark.parametrize(
    ("size", "factor", "smaller"), [((41, 27), 2, (20, 14)), ((5, 1), 3, (2, 1)), ((1, 1), 4, (1, 1))]
)
def test_sizes_that_do_not_divide_are_rounded(size: tuple[int, int], factor: int, smaller: tuple[int, int]) -> None:
    view = View("a", VIEW.camera.resized(*size), torch.zeros(size[1], size[0], 3, dtype=torch.uint8))
    small = reduced(view, factor)
    assert (small.camera.width, small.camera.height) == smaller
    assert small.photo.shape == (smaller[1], smaller[0], 3)


def test_a_pixel_counts_only_where_all_that_it_replaces_count() -> None:
    mask = torch.ones(40, 40, dtype=torch.bool)
    mask[3, 7] = False
    small = reduced(replace(VIEW, mask=mask), 2)
    assert small.mask is not None
    assert (~small.mask).nonzero().tolist() == [[1, 3]]


def test_a_photo_of_which_nothing_would_count_keeps_its_size() -> None:
    mask = torch.zeros(40, 40, dtype=torch.bool)
    mask[::2, ::2] = True
    view = replace(VIEW, mask=mask)
    assert reduced(view, 2) is view


def test_photos_are_reduced_until_the_step_that_the_recipe_says_and_then_let_go() -> None:
    capture = tiny_capture()
    photos = Photos(capture.train, TrainingConfig(iterations=10, reduction=2, reduced_steps=4))
    assert [photos.view(1, step).camera.width for step in range(1, 8)] == [20] * 4 + [40] * 3
    assert photos.view(1, 3) is photos.view(1, 4)
    assert photos.view(1, 5) is capture.train[1]
    assert not photos._small


def test_training_sees_reduced_photos() -> None:
    capture, config = tiny_capture(), TrainingConfig().scaled(30)
    plain = train(capture, config).gaussians
    assert torch.equal(train(capture, replace(config, reduction=2)).gaussians.means, plain.means)
    assert not torch.equal(train(capture, replace(config, reduction=2, reduced_steps=5)).gaussians.means, plain.means)
